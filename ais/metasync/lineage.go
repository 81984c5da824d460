package metasync

import (
	"fmt"
	"slices"
	"time"

	"go.etcd.io/raft/v3/raftpb"
)

// Origin is what a node knows of its past from elsewhere than its stored state.
type Origin struct {
	// Lost says in a few words why there is no stored state although there
	// was some once; "" if that is not so. Such a node never founds a cluster.
	Lost string
	// UUID and Lineage are those of the cluster that the node's data belongs
	// to, "" if it has none or belongs to nobody yet.
	UUID, Lineage string
	// Conflict says why its data belongs to no one cluster, "" if it does.
	Conflict string
}

// anyData in identity.Brought: an operator has said that the data is this
// cluster's although it does not agree whose it is.
const anyData = "*"

// wanted is the only cluster that a node without state may join.
type wanted struct {
	UUID    string   `json:"uuid,omitempty"`    // "": any
	Lineage string   `json:"lineage,omitempty"` // "": any of that cluster
	Why     string   `json:"why"`               // it has no state
	URLs    []string `json:"urls,omitempty"`    // where members were
}

// history is the node's own past, and what it does about it.
type history struct {
	foreign   string // why the node's data does not fit its state, "" if it does
	signer    Signer
	announced map[string]*announced // by node id
	elsewhere map[string]*announced // by node id: what nodes that are of another lineage of this cluster have said here
	meeting   meeting
	announce  struct {
		next  time.Time
		pause time.Duration
	}
	callers   []string             // URLs that nodes have called from while this one has no cluster
	nextProbe time.Time            // of a newborn cluster
	suspects  map[string]time.Time // by URL: when it may be asked again who it is
	force     *forcing
	taking    takingPart
}

// begin is called once, before anything that was stored is used.
func (m *machine) begin(o *machineOptions) {
	id, origin := &m.identity, &o.origin
	if origin.Conflict == "" && origin.UUID != "" && origin.UUID == id.UUID {
		id.Brought = nil // it is written down by now that the data is this cluster's
	}
	m.history = history{signer: o.signer, announced: map[string]*announced{}, elsewhere: map[string]*announced{}, suspects: map[string]time.Time{}}
	switch {
	case origin.Conflict != "" && !slices.Contains(id.Brought, anyData):
		m.history.foreign = origin.Conflict
	case id.UUID == "" && id.Want == nil && origin.Lost != "":
		id.Want = &wanted{UUID: origin.UUID, Lineage: origin.Lineage, Why: "the stored state was lost (" + origin.Lost + ")"}
	case id.UUID == "" && id.Want == nil && origin.UUID != "":
		id.Want = &wanted{UUID: origin.UUID, Lineage: origin.Lineage, Why: "the stored state was lost (the mountpaths belong to a cluster, the state file is new)"}
	case id.UUID != "" && origin.UUID != "" && id.UUID != origin.UUID && !slices.Contains(id.Brought, origin.UUID):
		m.history.foreign = fmt.Sprintf("the mountpaths belong to cluster %q, the stored state to cluster %q", origin.UUID, id.UUID)
	}
	if id.Want != nil {
		m.log.Warn("this node has no state of its own", "why", id.Want.Why, "joins", id.Want.UUID, "lineage", id.Want.Lineage)
	}
	m.incarnation = laterIncarnation(id.Incarnation, o.incarnation, o.now)
	id.Incarnation = m.incarnation
	m.saveIdentity()
}

// laterIncarnation is the number of a start: greater than that of every
// earlier start of the same node, also if the state was lost in between and
// the clock was right, and not to be guessed.
func laterIncarnation(last, random uint64, now time.Time) uint64 {
	const randomBits = 24
	return max(last+1, uint64(now.Unix())<<randomBits|random&(1<<randomBits-1))
}

// empty tells that a node with this identity belongs to no cluster and never did.
func (i *identity) empty() bool { return i.UUID == "" && i.Want == nil }

// ancestors are the lineages before this one, oldest first.
func (m *machine) ancestors() []string { return m.view().Ancestors }

// superseded tells that this node belongs to a lineage that another one has
// replaced: it takes part in nothing.
func (m *machine) superseded() bool { return m.identity.Superseded != "" }

// mayTakePart tells that this node may vote, stand for election and store what
// a leader sends: it has met the others, and its lineage is in force.
func (m *machine) mayTakePart() bool {
	return !m.superseded() && !m.history.meeting.underWay() && m.history.taking.newer == ""
}

// mayPublish tells that the documents may be put into effect here.
func (m *machine) mayPublish() bool { return m.history.foreign == "" }

// meet notices newer lineages and clusters of others. saw is what a node says
// of itself, checked.
func (m *machine) meet(saw *announcement) {
	switch {
	case saw.UUID == "":
		return
	case m.identity.UUID == "":
		if m.join.state == probing {
			m.exists(saw)
		}
		return
	case saw.UUID != m.identity.UUID:
		m.meetStranger(saw)
		return
	case saw.Lineage == m.identity.Lineage && saw.Superseded != "":
		m.supersede(saw.Superseded, saw.id())
		return
	}
	if newerLineage(saw.Lineage, saw.Ancestors, m.identity.Lineage, m.ancestors()) {
		m.supersede(saw.Lineage, saw.id())
	}
}

// newerLineage tells that lineage a takes precedence over b: it descends from
// it or, if an operator has restarted both halves of a cluster by force, it
// has the longer line, or else the greater id. Both sides decide alike.
func newerLineage(a string, ancestorsOfA []string, b string, ancestorsOfB []string) bool {
	switch {
	case a == b || a == "" || b == "":
		return false
	case slices.Contains(ancestorsOfA, b):
		return true
	case slices.Contains(ancestorsOfB, a):
		return false
	case len(ancestorsOfA) != len(ancestorsOfB):
		return len(ancestorsOfA) > len(ancestorsOfB)
	}
	return a > b
}

// supersede fences this node for good: another lineage goes on. Only an
// operator's rejoin ends it.
func (m *machine) supersede(lineage, by string) {
	if m.superseded() {
		return
	}
	if t := &m.history.taking; t.underWay(m.now) {
		if t.newer == "" {
			t.newer, t.toldBy = lineage, by
			m.stopTakingPart()
		}
		return
	}
	m.identity.Superseded = lineage
	m.saveIdentity()
	m.log.Error("the cluster goes on as another lineage; this node is fenced", "own", m.identity.Lineage, "newer", lineage, "told by", by)
	m.stopTakingPart()
}

// stopTakingPart ends leadership and everything that waits for the group.
func (m *machine) stopTakingPart() {
	// What a leader of a higher term sends makes a follower of this node.
	term := m.term() + 1
	if err := m.raft.Step(&raftpb.Message{
		Type: raftpb.MsgHeartbeat.Enum(), From: new(uint64(noPeer)), To: new(m.identity.RaftID), Term: new(term), Commit: new(uint64(0)),
	}); err != nil {
		m.log.Debug("step down", "err", err)
	}
	m.followRole()
	m.endWaits(errFenced(m.self, "the cluster goes on as another lineage"))
	m.join.state, m.hint = asking, hint{}
}

// noPeer is a Raft id that no node has: ids are odd.
const noPeer = 2

// endWaits ends with an error all requests whose outcome depends on the group.
func (m *machine) endWaits(err error) {
	m.settleThose(func(*proposal) bool { return true }, err)
	m.dropDepartures()
	if h := m.handoff; h != nil {
		m.handoff = nil
		m.reply(reply{token: h.token, err: err})
	}
	for _, c := range m.commits {
		m.reply(reply{token: c.token, err: err})
	}
	m.commits = nil
	for _, list := range [][]*reader{m.reads.next, m.reads.round, m.reads.ready} {
		for _, r := range list {
			m.endRead(r, err)
		}
	}
	m.reads = reads{number: m.reads.number + 1}
	for _, w := range m.pushes {
		m.respond(w.token, nil, err)
	}
	m.pushes = nil
	for _, a := range m.admission.queue {
		if a.token != 0 {
			m.respond(a.token, nil, err)
		}
	}
	m.admission = admission{}
}

// rebirth replaces everything that this node knows of its cluster by other
// contents of its storage, in one write: after a crash it has the old or the
// new ones. The identity is that of st.
func (m *machine) rebirth(st *stored, reason error) error {
	m.endWaits(reason)
	m.identity = st.identity
	for _, bucket := range []string{bucketHard, bucketSnapshot, bucketEntries, bucketView, bucketPushed} {
		m.remove(bucket, 0, endOfKeys)
	}
	m.saveIdentity()
	if st.hard != nil {
		m.putProto(bucketHard, 0, st.hard)
	}
	if st.snapshot != nil {
		m.putProto(bucketSnapshot, 0, st.snapshot)
	}
	if st.view != nil {
		st.view = st.view.For(m.self.Role, false)
		data, err := st.view.Encode()
		if err != nil {
			return err
		}
		m.put(bucketView, 0, data)
	}
	m.docs, m.docsSaved, m.recent = nil, 0, recent{}
	m.viewBatch, m.publishedDocs, m.unplaced, m.leaderSeen = m.durable.next(), false, nil, m.now
	m.published, m.effective, m.replayTo, m.pushTerm = 0, 0, 0, 0
	m.detached, m.role, m.leader, m.leaderSince = false, 0, 0, time.Time{}
	m.routes, m.peers, m.downNodes = map[uint64]route{}, map[string]*peer{}, map[string]struct{}{}
	m.hint, m.voters, m.removals, m.smapBusy = hint{}, votersPolicy{}, nil, false
	m.pulling, m.pullTo, m.fenced = false, 0, ""
	m.caretaker = caretaker{primarySign: m.now}
	m.trust.smap, m.trust.keys = nil, nil
	m.quiesced = 0 // versions of transitions are those of one lineage
	m.ownership, m.lease, m.lookout = ownership{asked: map[string]time.Time{}}, leaseState{}, lookout{}
	m.history.meeting = meeting{number: m.history.meeting.number + 1}
	m.history.taking = takingPart{} // what it met was about the node that it was
	m.history.announced, m.history.elsewhere = map[string]*announced{}, map[string]*announced{}
	m.join = joining{state: asking, next: m.now, pause: joinPause}
	m.alive.answered = time.Time{}
	return m.restore(st)
}
