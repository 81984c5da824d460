package metasync

import (
	"encoding/json"
	"slices"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/aistore-go/aistore/core/meta"
)

// stageLimit is how long the removal of a member waits for others to be ready
// to take its place; after that the group just becomes smaller.
const stageLimit = 2 * time.Second

// departure is a command that removes nodes from the map, and with the same
// entry from the group. No other change of the group is under way meanwhile:
// it might be about to make a member of one of them.
type departure struct {
	cmd   *meta.Command
	since time.Time
	thens []func(meta.Result, error)
}

// departing are the nodes that a command removes from the map and that are
// members of the group.
func (m *machine) departing(cmd *meta.Command) []string {
	var nodes []string
	for _, id := range removedNodes(cmd) {
		if len(m.raftIDs(id)) > 0 {
			nodes = append(nodes, id)
		}
	}
	return nodes
}

// removedNodes are the nodes that a command takes out of the map.
func removedNodes(cmd *meta.Command) []string {
	for i := range cmd.Changes {
		if cmd.Changes[i].Kind != meta.KindSmap {
			continue
		}
		var patch meta.SmapPatch
		if json.Unmarshal(cmd.Changes[i].Patch, &patch) != nil {
			return nil // it will be refused
		}
		return slices.DeleteFunc(patch.Del, func(id string) bool {
			return slices.ContainsFunc(patch.Put, func(n *meta.Snode) bool { return n.ID == id })
		})
	}
	return nil
}

// raftIDs are the members of the group that a node is: two, while one that
// lost its state takes its own place.
func (m *machine) raftIDs(nodeID string) (ids []uint64) {
	add := func(id uint64) {
		if id != 0 && m.rlog.has(id) && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	if nodeID == m.self.ID {
		add(m.identity.RaftID)
		return ids
	}
	if member, ok := m.view().Voters.ByNode(nodeID); ok {
		add(member.RaftID)
	}
	add(m.peer(nodeID).raftID)
	for id, r := range m.routes {
		if r.node == nodeID {
			add(id)
		}
	}
	slices.Sort(ids)
	return ids
}

// depart commits a command that removes members, as soon as the group can
// change.
func (m *machine) depart(cmd *meta.Command, then func(meta.Result, error)) {
	if m.role != roleLeader {
		then(meta.Result{}, errDropped)
		return
	}
	for _, d := range m.departures {
		if d.cmd.ID == cmd.ID {
			d.thens = append(d.thens, then)
			return
		}
	}
	m.departures = append(m.departures, &departure{cmd: cmd, since: m.now, thens: []func(meta.Result, error){then}})
	m.voters.next = m.now
	m.tickDepartures()
}

// aboutToLeave are the members that a pending command removes, and a primary
// that a caretaker waits for: others get ready to take their place.
func (m *machine) aboutToLeave() []string {
	var nodes []string
	for _, d := range m.departures {
		nodes = append(nodes, m.departing(d.cmd)...)
	}
	if old := m.view().Smap.Primary; old != nil && old.ID != m.self.ID && !m.heard(old.ID) {
		nodes = append(nodes, old.ID)
	}
	return nodes
}

// tickDepartures commits the first pending removal, once all who are to take
// the place of those who leave have caught up, or have had their time.
func (m *machine) tickDepartures() {
	if len(m.departures) == 0 || m.groupBusy() {
		return
	}
	d := m.departures[0]
	leave := m.departing(d.cmd)
	if len(leave) == 0 {
		m.departures = m.departures[1:]
		m.commitDeparture(d, nil, nil)
		return
	}
	candidates := without(m.candidates(), removedNodes(d.cmd))
	for _, c := range desiredVoters(candidates, m.identity.RaftID) {
		if !m.canVote(c) && m.now.Sub(d.since) < stageLimit {
			m.voters.next = m.now
			return
		}
	}
	m.departures = m.departures[1:]
	var ready []candidate
	for _, c := range candidates {
		if m.canVote(c) {
			c.dead = c.dead || !c.live || c.raftID != m.identity.RaftID && !m.heard(c.node)
			ready = append(ready, c)
		}
	}
	changes := m.swap(desiredVoters(ready, m.identity.RaftID))
	if m.mutation == mutationGhostVoter {
		changes = nil
	}
	for _, id := range m.rlog.conf.GetLearners() {
		if slices.ContainsFunc(leave, func(node string) bool { return slices.Contains(m.raftIDs(node), id) }) {
			changes = append(changes, single(raftpb.ConfChangeRemoveNode, id))
		}
	}
	m.commitDeparture(d, candidates, changes)
}

// canVote tells a voter, and a learner that is ready to be one.
func (m *machine) canVote(c candidate) bool {
	return m.rlog.voter(c.raftID) || m.rlog.has(c.raftID) && m.caughtUp(c)
}

// commitDeparture proposes a removal with the change of the group.
func (m *machine) commitDeparture(d *departure, candidates []candidate, changes []*raftpb.ConfChangeSingle) {
	then := func(result meta.Result, err error) {
		for _, f := range d.thens {
			f(result, err)
		}
	}
	done := func(result meta.Result, err error) {
		m.voters.busy = false
		then(result, err)
	}
	m.voters.busy = true
	if len(changes) == 0 { // none of them is a member
		m.proposePlain(d.cmd, done)
		return
	}
	members := m.membersAfter(candidates, changes)
	cmd, err := m.withMembers(d.cmd, members)
	if err != nil {
		done(meta.Result{}, err)
		return
	}
	m.proposeGroup(cmd, changes, func(result meta.Result, err error) {
		if refused(result, err) == nil {
			m.logVoters(changes, members)
		}
		done(result, err)
	})
}

// withMembers adds the members of the group to a command.
func (m *machine) withMembers(cmd *meta.Command, members []meta.Member) (*meta.Command, error) {
	patch := &meta.VotersPatch{}
	whole := &meta.Command{ID: cmd.ID, Action: cmd.Action}
	for _, change := range cmd.Changes {
		if change.Kind != meta.KindVoters {
			whole.Changes = append(whole.Changes, change)
		} else if err := json.Unmarshal(change.Patch, patch); err != nil {
			return nil, err
		}
	}
	patch.Members = members
	change, err := meta.NewChange(m.view(), meta.KindVoters, patch)
	whole.Changes = append(whole.Changes, change)
	return whole, err
}

// dropDepartures ends what only a leader can do.
func (m *machine) dropDepartures() {
	pending := m.departures
	m.departures = nil
	for _, d := range pending {
		for _, then := range d.thens {
			then(meta.Result{}, errDropped)
		}
	}
}
