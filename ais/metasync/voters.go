package metasync

import (
	"slices"
	"sort"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"

	"github.com/aistore-go/aistore/core/meta"
)

const (
	maxVoters    = 5
	minVoters    = 3                      // of which one may be lost
	votersPause  = 300 * time.Millisecond // between two looks at the group
	learnerLimit = 20 * time.Second       // to catch up, else another node is tried
	badFor       = time.Minute            // how long such a node is left alone
	nearEnough   = 50                     // entries behind which a learner has caught up
)

// votersPolicy is the leader's care for the Raft group: it steps toward the
// desired voters, one change at a time.
type votersPolicy struct {
	busy    bool // a change is under way
	next    time.Time
	members map[uint64]*memberProgress // by raft id
	bad     map[string]time.Time       // by node id, until when
	// known is the index of an entry that follows the last change of the
	// group: once it is committed, a majority knows that the change is. 0: not
	// proposed yet.
	known      uint64
	confirming bool // it is proposed
}

type memberProgress struct {
	snapshotSince time.Time
	learnerSince  time.Time
}

func (v *votersPolicy) progress(id uint64) *memberProgress {
	if v.members == nil {
		v.members = map[uint64]*memberProgress{}
	}
	p := v.members[id]
	if p == nil {
		p = &memberProgress{}
		v.members[id] = p
	}
	return p
}

// settled is called after each change of the group.
func (v *votersPolicy) settled(m *machine) {
	for id := range v.members {
		if !m.rlog.has(id) {
			delete(v.members, id)
		}
	}
	v.next = m.now
	v.known, v.confirming = 0, false
}

// candidate is a node as a possible voter.
type candidate struct {
	node   string
	raftID uint64
	voter  bool // it is one now
	dead   bool // it may be replaced
	live   bool
}

// desiredVoters chooses the voters: the largest odd number of at most five,
// in the order of the candidates, of those who are voters and not dead or who
// are live. Dead voters stay where nobody can take their place.
func desiredVoters(candidates []candidate, self uint64) []candidate {
	size := min(maxVoters, len(candidates))
	if size%2 == 0 {
		size--
	}
	var chosen []candidate
	take := func(fits func(c *candidate) bool) {
		for i := range candidates {
			c := &candidates[i]
			if len(chosen) < size && c.raftID != 0 && fits(c) && !slices.ContainsFunc(chosen, func(o candidate) bool { return o.node == c.node }) {
				chosen = append(chosen, *c)
			}
		}
	}
	take(func(c *candidate) bool { return c.voter && !c.dead || !c.voter && c.live })
	take(func(c *candidate) bool { return c.voter })
	if len(chosen) > 0 && len(chosen)%2 == 0 {
		chosen = chosen[:len(chosen)-1]
	}
	// The leader does not vote itself out; it hands over first.
	if len(chosen) > 0 && !slices.ContainsFunc(chosen, func(c candidate) bool { return c.raftID == self }) {
		for _, c := range candidates {
			switch {
			case c.raftID != self:
			case len(chosen) == 1: // both, until leadership is handed over
				chosen = append(chosen, c)
			default:
				chosen[len(chosen)-1] = c
			}
		}
	}
	return chosen
}

// candidates returns the eligible nodes in order: primary, who is to become
// primary, electable proxies, active targets, each by descending digest.
func (m *machine) candidates() []candidate {
	view := m.view()
	nodes := view.Smap.Nodes()
	rank := func(n *meta.Snode) int {
		switch {
		case view.Smap.IsPrimary(n.ID):
			return 0
		case view.Voters != nil && n.ID == view.Voters.Next:
			return 1
		case n.Role == meta.RoleProxy:
			return 2
		}
		return 3
	}
	sort.SliceStable(nodes, func(i, j int) bool {
		a, b := nodes[i], nodes[j]
		if ra, rb := rank(a), rank(b); ra != rb {
			return ra < rb
		}
		return a.Digest > b.Digest
	})
	live, voters := 0, m.rlog.conf.GetVoters()
	for _, id := range voters {
		if member, ok := view.Voters.ByRaft(id); ok && !m.down(member.NodeID) {
			live++
		}
	}
	onlyJust := live <= len(voters)/2+1
	var list []candidate
	for _, node := range nodes {
		if node.Role == meta.RoleProxy && !node.Electable() && node.ID != m.self.ID || !node.Active() {
			continue
		}
		list = append(list, m.candidate(node, onlyJust))
	}
	return list
}

func (m *machine) candidate(node *meta.Snode, onlyJust bool) candidate {
	if node.ID == m.self.ID {
		return candidate{node: node.ID, raftID: m.identity.RaftID, voter: true, live: true}
	}
	p := m.peer(node.ID)
	c := candidate{node: node.ID, raftID: p.raftID}
	member, known := m.view().Voters.ByNode(node.ID)
	if c.raftID == 0 && known {
		c.raftID = member.RaftID
	}
	c.voter = m.rlog.voter(c.raftID)
	c.live = p.left == 0 && !p.lastSign.IsZero() && m.now.Sub(p.lastSign) < m.times.Down && m.now.After(m.voters.bad[node.ID])
	switch {
	case p.left != 0: // keeps its vote until its out-time
		c.dead = m.gone(node.ID) >= m.times.Out
	default:
		c.dead = m.silence(node.ID) >= m.times.ReplaceVoter || onlyJust && m.down(node.ID)
	}
	if p.stalled { // lives, but acknowledges nothing
		c.live = false
		c.dead = c.dead || m.now.Sub(p.stalledSince) >= m.times.ReplaceVoter || onlyJust && m.now.Sub(p.stalledSince) >= m.times.Down
	}
	return c
}

// settled tells that the loss of this node would not stop the cluster for
// want of other voters that know they are, where there are live nodes enough
// to be voters.
func (m *machine) settled() bool {
	if m.role != roleLeader {
		return true
	}
	if len(m.rlog.conf.GetVoters()) >= minVoters {
		return m.groupKnown()
	}
	return len(desiredVoters(m.candidates(), m.identity.RaftID)) < minVoters
}

// confirmVoters spreads the word that a change of the group is committed: a
// voter that does not know yet that it is one does not stand for election.
// The empty entry goes out with the commit index; whoever has it knows.
func (m *machine) confirmVoters() {
	v := &m.voters
	if v.known > 0 || v.confirming || m.rlog.joint() || m.raft.Propose(nil) != nil {
		return // the next tick tries again
	}
	v.confirming = true
	m.expect(&proposal{
		placed: func(index uint64) { v.known = index },
		thens:  []func(meta.Result, error){func(meta.Result, error) { v.confirming = false }},
	})
}

// tickVoters proposes the next change of the group, if there is one.
func (m *machine) tickVoters() {
	v := &m.voters
	m.confirmVoters()
	if m.groupBusy() || m.now.Before(v.next) || m.leaving != nil {
		return
	}
	v.next = m.now.Add(votersPause)
	candidates := m.candidates()
	m.changeVoters(candidates, desiredVoters(candidates, m.identity.RaftID))
}

// groupBusy tells that no change of the group can be proposed now.
func (m *machine) groupBusy() bool {
	return m.voters.busy || m.rlog.joint() || m.raft.BasicStatus().LeadTransferee != 0
}

// changeVoters takes one step: learners that are no longer wanted go, wanted
// nodes become learners, and once all of them have caught up they are swapped
// in by one joint change.
func (m *machine) changeVoters(candidates, wanted []candidate) {
	staged := wanted
	if leave := m.aboutToLeave(); len(leave) > 0 {
		staged = desiredVoters(without(candidates, leave), m.identity.RaftID)
	}
	if !m.stage(candidates, wanted, staged) {
		return
	}
	if len(m.departures) > 0 {
		m.tickDepartures()
		return
	}
	for _, c := range wanted {
		if !m.canVote(c) {
			return
		}
	}
	if changes := m.swap(wanted); len(wanted) > 0 && len(changes) > 0 {
		m.proposeVoters(candidates, changes)
	}
}

// stage keeps the learners that are wanted now, or as soon as nodes leave. It
// is true when there is nothing to do.
func (m *machine) stage(candidates, wanted, staged []candidate) bool {
	for _, id := range m.rlog.conf.GetLearners() {
		if !hasRaft(wanted, id) && !hasRaft(staged, id) {
			m.proposeVoters(candidates, []*raftpb.ConfChangeSingle{single(raftpb.ConfChangeRemoveNode, id)})
			return false
		}
	}
	for _, c := range append(slices.Clone(wanted), staged...) {
		if !m.rlog.has(c.raftID) {
			m.proposeVoters(candidates, []*raftpb.ConfChangeSingle{single(raftpb.ConfChangeAddLearnerNode, c.raftID)})
			return false
		}
	}
	return true
}

// swap is the change of the group that makes exactly the wanted ones voters.
func (m *machine) swap(wanted []candidate) (changes []*raftpb.ConfChangeSingle) {
	for _, c := range wanted {
		if !m.rlog.voter(c.raftID) {
			changes = append(changes, single(raftpb.ConfChangeAddNode, c.raftID))
		}
	}
	for _, id := range m.rlog.conf.GetVoters() {
		if !hasRaft(wanted, id) {
			changes = append(changes, single(raftpb.ConfChangeRemoveNode, id))
		}
	}
	return changes
}

func hasRaft(list []candidate, id uint64) bool {
	return slices.ContainsFunc(list, func(c candidate) bool { return c.raftID == id })
}

func without(list []candidate, nodes []string) []candidate {
	return slices.DeleteFunc(slices.Clone(list), func(c candidate) bool { return slices.Contains(nodes, c.node) })
}

func single(kind raftpb.ConfChangeType, id uint64) *raftpb.ConfChangeSingle {
	return &raftpb.ConfChangeSingle{Type: kind.Enum(), NodeId: new(id)}
}

// caughtUp tells a learner that follows the log closely. One that does not
// get there in time is left alone for a while.
func (m *machine) caughtUp(c candidate) bool {
	done := false
	m.raft.WithProgress(func(id uint64, _ raft.ProgressType, pr tracker.Progress) {
		if id == c.raftID {
			done = pr.State == tracker.StateReplicate && pr.RecentActive && pr.Match > 0 && pr.Match+nearEnough >= m.rlog.applied
		}
	})
	p := m.voters.progress(c.raftID)
	switch {
	case done:
	case p.learnerSince.IsZero():
		p.learnerSince = m.now
	case m.now.Sub(p.learnerSince) > learnerLimit:
		m.log.Warn("node does not catch up with the log, it becomes no voter for now", "node", c.node)
		if m.voters.bad == nil {
			m.voters.bad = map[string]time.Time{}
		}
		m.voters.bad[c.node] = m.now.Add(badFor)
		p.learnerSince = time.Time{}
	}
	return done
}

// proposeVoters commits a change of the group together with the voters
// document that describes the result.
func (m *machine) proposeVoters(candidates []candidate, changes []*raftpb.ConfChangeSingle) {
	members := m.membersAfter(candidates, changes)
	change, err := meta.NewChange(m.view(), meta.KindVoters, &meta.VotersPatch{Members: members})
	if err != nil {
		m.log.Error("cannot change the voters", "err", err)
		return
	}
	m.voters.busy = true
	cmd := &meta.Command{ID: m.nextID(), Action: "voters", Changes: []meta.Change{change}}
	m.proposeGroup(cmd, changes, func(result meta.Result, err error) {
		m.voters.busy = false
		if err := refused(result, err); err != nil {
			m.log.Info("change of the voters not committed", "err", err)
			return
		}
		m.logVoters(changes, members)
	})
}

func (m *machine) logVoters(changes []*raftpb.ConfChangeSingle, members []meta.Member) {
	voters := 0
	for _, member := range members {
		if !member.Learner {
			voters++
		}
	}
	m.log.Info("voters changed", "change", raftpb.ConfChangesToString(changes), "voters", voters)
}

// membersAfter is the voters document after a change. A node that came back
// with another Raft id appears with the new one only.
func (m *machine) membersAfter(candidates []candidate, changes []*raftpb.ConfChangeSingle) []meta.Member {
	members := map[uint64]*meta.Member{}
	nodeOf := map[uint64]string{m.identity.RaftID: m.self.ID}
	if doc := m.view().Voters; doc != nil {
		for _, member := range doc.Members {
			nodeOf[member.RaftID] = member.NodeID
		}
	}
	for _, c := range candidates {
		nodeOf[c.raftID] = c.node
	}
	conf := m.rlog.conf
	for _, id := range conf.GetVoters() {
		members[id] = &meta.Member{NodeID: nodeOf[id], RaftID: id}
	}
	for _, id := range conf.GetLearners() {
		members[id] = &meta.Member{NodeID: nodeOf[id], RaftID: id, Learner: true}
	}
	for _, change := range changes {
		id := change.GetNodeId()
		switch change.GetType() {
		case raftpb.ConfChangeRemoveNode:
			delete(members, id)
		case raftpb.ConfChangeAddLearnerNode:
			members[id] = &meta.Member{NodeID: nodeOf[id], RaftID: id, Learner: true}
		default:
			members[id] = &meta.Member{NodeID: nodeOf[id], RaftID: id}
		}
	}
	for id, member := range members {
		if member.NodeID == "" {
			delete(members, id)
			continue
		}
		for other := range members {
			if other != id && members[other].NodeID == member.NodeID && m.peer(member.NodeID).raftID == other {
				delete(members, id)
				break
			}
		}
	}
	list := make([]meta.Member, 0, len(members))
	for _, member := range members {
		list = append(list, *member)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].NodeID < list[j].NodeID })
	return list
}
