package metasync

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// Calls of a forced restart.
const (
	KindCollect = "collect" // to every node: what do you have
	KindAdopt   = "adopt"   // to those who answered: this lineage goes on
)

const (
	adoptTries = 3
	takingTime = 15 * time.Second // from a node's answer to its adoption of the lineage
)

// forcing is a forced restart under way at this node.
type forcing struct {
	token   uint64
	of      string   // lineage that is replaced
	must    []string // ids of nodes that have to answer
	id      string
	waiting int
	began   time.Time
	until   time.Time
	asked   map[string]bool // by URL
	replies map[string]*collectReply
	result  *wire.ForcedRestart // once the new lineage exists
	view    json.RawMessage
}

func refuseForce(format string, args ...any) error {
	return apierr.New(apierr.StatusConflict, "", "refusing to restart by force: "+format, args...)
}

// forceRestart starts a new lineage from what the reachable nodes have. The
// reply's body is a wire.ForcedRestart in JSON.
func (m *machine) forceRestart(token uint64, lineage string, must []string) {
	fail := func(err error) { m.reply(reply{token: token, err: err}) }
	m.endTaking() // this node goes on by itself, and must know what it has met
	switch own := m.identity.Lineage; {
	case m.history.force != nil:
		fail(refuseForce("a forced restart is under way at this node"))
		return
	case m.history.foreign != "":
		fail(refuseForce("%s", m.history.foreign))
		return
	case lineage == "" && own == "" && m.self.Role == meta.RoleProxy && m.identity.Want != nil:
		// nothing is left of it: begin anew, if nobody knows better
	case lineage == "":
		fail(apierr.BadRequest("a forced restart names the lineage that it replaces (this node has %q)", own))
		return
	case own != "" && lineage != own && lineage != m.identity.Superseded:
		fail(refuseForce("this node belongs to lineage %q, not to %q", own, lineage))
		return
	case own == "" && m.self.Role != meta.RoleProxy:
		fail(refuseForce("this node has no documents of the cluster; ask one that has, or a proxy"))
		return
	}
	f := &forcing{
		token: token, of: lineage, must: must, id: m.nextID(), began: m.now, until: m.now.Add(m.times.Call + m.times.Tick),
		asked: map[string]bool{}, replies: map[string]*collectReply{},
	}
	if m.identity.Lineage != "" {
		own, err := m.collected()
		if err != nil {
			fail(err)
			return
		}
		f.replies[m.self.ID] = own
	}
	m.history.force = f
	m.log.Warn("a forced restart was asked for", "lineage", lineage, "nodes", must)
	for _, url := range m.askable() {
		m.collectFrom(f, url)
	}
	m.decideForce()
}

func (m *machine) collectFrom(f *forcing, url string) {
	if f.asked[url] || f.result != nil || url == m.self.IntraControl.URL {
		return
	}
	f.asked[url] = true
	f.waiting++
	m.call(url, KindCollect, &collectRequest{envelope: m.envelope(), Operation: f.id, Of: f.of}, m.times.Call, func(body []byte, err error) {
		f.waiting--
		var r collectReply
		if err == nil {
			err = unmarshal(KindCollect, body, &r)
		}
		if err != nil {
			m.log.Info("no answer to the forced restart", "asked", url, "err", err)
		} else {
			m.checked(&r.Self, m.meet)
			if f.result == nil && r.From != m.self.ID {
				f.replies[r.From] = &r
				m.collectAlso(f, &r)
			}
		}
		if m.history.force == f {
			m.decideForce()
		}
	})
}

// collectAlso asks those whom only the map of another node names.
func (m *machine) collectAlso(f *forcing, r *collectReply) {
	if r.Lineage != f.of || r.State == nil {
		return
	}
	s, err := decodeState(r.State)
	if err != nil || s.view.Smap == nil {
		return
	}
	for _, node := range s.view.Smap.Nodes() {
		if node.ID != m.self.ID && f.replies[node.ID] == nil {
			m.collectFrom(f, m.urlOf(node))
		}
	}
}

// tickForce ends the wait for nodes that do not answer, and of this node for
// the lineage that it is to adopt.
func (m *machine) tickForce() {
	if t := &m.history.taking; t.operation != "" && !t.underWay(m.now) {
		m.endTaking()
	}
	if f := m.history.force; f != nil && f.result == nil && !m.now.Before(f.until) {
		f.waiting = 0
		m.decideForce()
	}
}

func (m *machine) endForce(err error) {
	f := m.history.force
	m.history.force = nil
	if err != nil {
		m.log.Warn("no forced restart", "err", err)
		m.reply(reply{token: f.token, err: err})
		return
	}
	body, err := marshal(f.result)
	m.reply(reply{token: f.token, body: body, err: err})
}

// decideForce goes on once everybody has answered or failed.
func (m *machine) decideForce() {
	f := m.history.force
	if f == nil || f.result != nil || f.waiting > 0 {
		return
	}
	if f.of == "" {
		m.endForce(m.foundAnew(f))
		return
	}
	best, err := m.mayForce(f)
	if err == nil {
		err = m.newLineage(f, best)
	}
	if err != nil {
		m.endForce(err)
		return
	}
	m.spread(f)
}

// foundAnew founds a cluster at a proxy that has lost its state, where nobody
// who can be reached has documents of any.
func (m *machine) foundAnew(f *forcing) error {
	for _, id := range slices.Sorted(maps.Keys(f.replies)) {
		r := f.replies[id]
		return refuseForce("%s belongs to cluster %q, lineage %q; have this node rejoin that, or name that lineage to restart it from its documents", r.Self.id(), r.UUID, r.Lineage)
	}
	if len(f.must) > 0 {
		return refuseForce("%s should take part but did not answer", names(f.must))
	}
	m.identity.Want, m.fenced = nil, ""
	m.found()
	if m.out.fatal != nil {
		return m.out.fatal
	}
	f.result = &wire.ForcedRestart{Lineage: m.identity.Lineage, SmapVersion: m.view().Smap.Version, Adopted: []string{m.self.ID}, Absent: []string{}}
	return nil
}

// mayForce refuses where a forced restart would split what can go on, and
// returns the reply with the newest documents.
func (m *machine) mayForce(f *forcing) (best *collectReply, err error) {
	of := map[string]*collectReply{}
	for _, id := range slices.Sorted(maps.Keys(f.replies)) {
		r := f.replies[id]
		switch {
		case r.Lineage == f.of:
			of[id] = r
		case r.UUID == m.identity.UUID && m.identity.Superseded != "" && r.Lineage == m.identity.Superseded:
			return nil, refuseForce("the cluster goes on as lineage %q at %s; rejoin that", r.Lineage, r.Self.id())
		}
	}
	if m.superseded() && f.of != m.identity.Superseded {
		return nil, refuseForce("lineage %q has replaced lineage %q; to go on from this node all the same, name %q, "+
			"which is refused while a node of it answers", m.identity.Superseded, m.identity.Lineage, m.identity.Superseded)
	}
	if m.superseded() { // nobody of the newer lineage answers: what this node has goes on
		of[m.self.ID] = f.replies[m.self.ID]
		for id, r := range f.replies {
			if r.Lineage == m.identity.Lineage {
				of[id] = r
			}
		}
	}
	if len(of) == 0 {
		return nil, refuseForce("no reachable node has documents of lineage %q", f.of)
	}
	var missing []string
	for _, id := range f.must {
		if of[id] == nil {
			missing = append(missing, id)
		}
	}
	if len(missing) > 0 {
		return nil, refuseForce("%s should take part but did not answer with lineage %q (these did: %s)", names(missing), f.of, names(slices.Sorted(maps.Keys(of))))
	}
	for _, id := range slices.Sorted(maps.Keys(of)) {
		if r := of[id]; best == nil || best.Last.before(r.Last) {
			best = r
		}
	}
	if m.superseded() {
		return best, nil
	}
	return best, m.noMajority(f, of)
}

func names(ids []string) string {
	if len(ids) == 0 {
		return "none"
	}
	return strings.Join(ids, ", ")
}

// noMajority refuses while the group could go on by itself: a majority of the
// voters, of both groups in the middle of a change, answers as they are known
// to the newest member.
func (m *machine) noMajority(f *forcing, of map[string]*collectReply) error {
	answers := map[uint64]string{}
	var group *raftpb.ConfState
	var newest logPlace
	var voters *meta.Voters
	for _, id := range slices.Sorted(maps.Keys(of)) {
		r := of[id]
		answers[r.RaftID] = id
		if r.Leads && id != m.self.ID {
			return refuseForce("%s leads the cluster", r.Self.id())
		}
		if len(r.Group) > 0 && (group == nil || newest.before(r.Last)) {
			conf := new(raftpb.ConfState)
			if err := proto.Unmarshal(r.Group, conf); err != nil {
				return err
			}
			group, newest = conf, r.Last
		}
		if s, err := decodeState(r.State); err == nil && s.view.Voters != nil && (voters == nil || voters.Version < s.view.Voters.Version) {
			voters = s.view.Voters
		}
	}
	// Whoever has shown itself meanwhile counts as well.
	for id, a := range m.history.announced {
		if !a.at.Before(f.began) {
			answers[a.RaftID] = id
		}
	}
	var halves [][]uint64
	switch {
	case group != nil:
		halves = [][]uint64{group.GetVoters(), group.GetVotersOutgoing()}
	case voters != nil:
		var ids []uint64
		for _, member := range voters.Members {
			if !member.Learner {
				ids = append(ids, member.RaftID)
			}
		}
		halves = [][]uint64{ids}
	}
	for _, half := range halves {
		var there []string
		for _, id := range half {
			if node, ok := answers[id]; ok {
				there = append(there, node)
			}
		}
		if len(half) > 0 && len(there) <= len(half)/2 {
			return nil
		}
		if len(half) > 0 {
			slices.Sort(there)
			return refuseForce("%d of the %d voters answer (%s), a majority: the cluster can go on by itself", len(there), len(half), names(there))
		}
	}
	return nil
}
