package metasync

import (
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/aistore-go/aistore/cmn/apierr"
)

// States of a node on its way into the cluster.
type joinState int

const (
	probing joinState = iota // asks the seeds before it founds a cluster
	asking                   // asks to be admitted
	joined                   // is in the map
)

const (
	probeRounds  = 2 // without an answer, before a cluster is founded
	probePause   = 300 * time.Millisecond
	joinPause    = 250 * time.Millisecond // first pause, doubled up to
	joinPauseMax = 2 * time.Second        //
	joinFan      = 3                      // nodes asked at a time
	fencedPause  = 5 * time.Second        // before a cluster that refused is asked again
)

// joining is the node's own side of becoming a member.
type joining struct {
	state   joinState
	next    time.Time
	pause   time.Duration
	waiting int // calls under way
	rounds  int
	asked   int // rotation
}

func (j *joining) start(m *machine) {
	j.next, j.pause = m.now, joinPause
	j.state = asking
	if m.mayFound && m.identity.empty() {
		j.state = probing
	}
}

// again starts over: the cluster does not know this node any more.
func (j *joining) again(m *machine) {
	if j.state == joined {
		j.state, j.next, j.pause = asking, m.now, joinPause
	}
}

func (m *machine) tickJoin() {
	j := &m.join
	if m.leads() {
		if m.resting.why != "" {
			return
		}
		m.admitSelf()
		return
	}
	if j.state != joined && m.rests() {
		return
	}
	if j.state == joined || j.waiting > 0 || m.now.Before(j.next) || m.history.meeting.underWay() || m.history.foreign != "" {
		return
	}
	if j.state == probing {
		m.probe()
		return
	}
	j.next = m.now.Add(j.pause)
	j.pause = min(2*j.pause, joinPauseMax, m.times.Down*2/5)
	urls := m.askable()
	if hint := m.leaderHint(); hint.URL != "" {
		m.askToJoin(hint.URL, 2)
	}
	for range min(joinFan, len(urls)) {
		m.askToJoin(urls[j.asked%len(urls)], 2)
		j.asked++
	}
}

// askable are the URLs of all nodes that may know the cluster.
func (m *machine) askable() []string {
	var urls []string
	seen := map[string]bool{m.self.IntraControl.URL: true}
	add := func(url string) {
		if url != "" && !seen[url] {
			seen[url] = true
			urls = append(urls, url)
		}
	}
	if smap := m.view().Smap; smap != nil {
		if smap.Primary != nil && smap.Primary.ID != m.self.ID {
			add(m.urlOf(smap.Primary))
		}
		for _, node := range smap.Nodes() {
			if node.ID != m.self.ID {
				add(m.urlOf(node))
				add(node.IntraControl.URL) // also where it was before
			}
		}
	}
	if want := m.identity.Want; want != nil {
		for _, url := range want.URLs {
			add(url)
		}
	}
	for _, url := range m.seeds {
		add(url)
	}
	for _, url := range m.history.callers {
		add(url)
	}
	return urls
}

// probe asks the seeds for a cluster, and founds one if none knows of any.
func (m *machine) probe() {
	j := &m.join
	urls := m.askable()
	j.rounds++
	last := j.rounds > probeRounds || len(urls) == 0
	if last {
		m.found()
		return
	}
	j.next = m.now.Add(probePause)
	for _, url := range urls {
		j.waiting++
		m.call(url, KindWhois, &whoisRequest{m.envelope()}, m.times.Call/2, func(body []byte, err error) {
			j.waiting--
			var r whoisReply
			if err == nil {
				err = unmarshal(KindWhois, body, &r)
			}
			if err == nil && r.Self.UUID != "" && j.state == probing {
				m.exists(&r.Self)
				m.learnHint(r.Hint)
			}
		})
	}
}

// found makes a cluster of this node alone, once: with the documents, it is
// stored that this node has founded, and a node with stored state never founds.
// The first snapshot at index 1 makes members that join later start from a
// snapshot, never from nothing.
func (m *machine) found() {
	view, err := m.founding(m.now, m.identity.RaftID)
	if err != nil {
		m.out.fatal = err
		return
	}
	m.identity.UUID, m.identity.Lineage, m.identity.Founded = view.UUID, view.Lineage, true
	m.saveIdentity()
	data, err := newState(view, nil).encode()
	if err != nil {
		m.out.fatal = err
		return
	}
	snapshot := &raftpb.Snapshot{Data: data, Metadata: &raftpb.SnapshotMetadata{
		ConfState: &raftpb.ConfState{Voters: []uint64{m.identity.RaftID}, AutoLeave: new(false)},
		Index:     new(view.Index), Term: new(view.Term),
	}}
	hard := &raftpb.HardState{Term: new(view.Term), Vote: new(uint64(0)), Commit: new(view.Index)}
	m.putProto(bucketSnapshot, 0, snapshot)
	m.putProto(bucketHard, 0, hard)
	if err := m.restore(&stored{identity: m.identity, snapshot: snapshot, hard: hard}); err != nil {
		m.out.fatal = err
		return
	}
	m.join.state = asking // until it leads
	m.campaignAlone()
	m.log.Info("founded a cluster", "uuid", view.UUID, "lineage", view.Lineage)
}

// askToJoin asks one node; hops bounds how often its word about who leads is
// followed.
func (m *machine) askToJoin(url string, hops int) {
	j := &m.join
	j.waiting++
	asked := m.self
	req := &joinRequest{envelope: m.envelope(), Node: asked, Want: m.identity.Want}
	proof := m.introduce(url, req)
	m.call(url, KindJoin, req, m.times.Call, func(body []byte, err error) {
		j.waiting--
		var r joinReply
		var again bool
		if err == nil {
			err = unmarshal(KindJoin, body, &r)
		}
		if err == nil {
			again, err = m.judge(url, proof, &r)
		}
		switch {
		case j.state == joined:
		case again && hops > 0:
			m.askToJoin(url, hops-1)
		case err != nil:
			m.forgetHint(url)
			m.refusedBy(url, err)
		case r.Admitted && asked != m.self: // as what it no longer wants to be, see joinAt
		case r.Admitted:
			m.admitted(url, &r)
		case r.Decommissioned != nil:
			m.decommissionedBy(r.Decommissioned)
		case r.Hint.URL != "" && r.Hint.URL != url && r.Hint.ID != m.self.ID && hops > 0:
			m.learnHint(r.Hint)
			m.askToJoin(r.Hint.URL, hops-1)
		}
	})
}

// refusedBy notes why a node may not be part of the cluster that was asked.
func (m *machine) refusedBy(url string, err error) {
	switch apierr.CodeOf(err) {
	case codeDuplicate:
		m.out.fatal = err
	case codeForeign:
		m.investigate(url)
		if m.leads() || m.join.state == joined && !m.stale() {
			// A configured address that belongs to others by now: no
			// reason to doubt the own cluster.
			m.log.Debug("another cluster answers", "asked", url, "err", err)
			return
		}
		if m.superseded() {
			return
		}
		m.fenced = err.Error()
		m.join.next = m.now.Add(fencedPause)
		m.log.Error("cannot join", "asked", url, "err", err)
	default:
		if untrusted(err) {
			m.distrusted(url, err)
			return
		}
		m.log.Debug("cannot join", "asked", url, "err", err)
	}
}

// admitted takes the documents and the keys that come with the admission.
func (m *machine) admitted(url string, r *joinReply) {
	if err := m.isTheWanted(&r.envelope); err != nil {
		m.refusedBy(url, err)
		return
	}
	if r.View != nil {
		if err := m.takeView(r.View); err != nil {
			m.refusedBy(url, err)
			return
		}
	}
	m.takeKeys(r)
	if m.identity.UUID == "" {
		m.identity.UUID, m.identity.Lineage, m.identity.Want = m.view().UUID, m.view().Lineage, nil
		m.saveIdentity()
	}
	m.membership(&r.groupWord)
	m.signOf(&r.envelope)
	m.learnHint(hint{ID: r.From, URL: r.URL, Term: r.Term})
	m.fenced = ""
	m.join.state, m.join.pause = joined, joinPause
	m.alive.answered, m.alive.next = m.now, m.now
	m.log.Info("joined the cluster", "uuid", m.identity.UUID, "leader", r.From, "smap", m.view().Smap.Version)
}

// whois says who this node is and what it knows of the leader.
func (m *machine) whois(token uint64, body []byte) {
	var req whoisRequest
	if err := unmarshal(KindWhois, body, &req); err != nil {
		m.respond(token, nil, err)
		return
	}
	m.respond(token, &whoisReply{envelope: m.envelope(), Role: m.self.Role, Hint: m.leaderHint(), Self: m.ownAnnouncement()}, nil)
}
