package metasync

import (
	"errors"
	"sort"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// proposal is a command of this node that is on its way through the log.
type proposal struct {
	id    string
	index uint64 // where it stands if it is committed at all
	term  uint64 // with which it stands there
	then  func(result meta.Result, err error)
}

// errLost tells that a command is certainly not committed: another one has
// its place in the log. errDropped tells that it never got a place.
var (
	errLost    = errors.New("the command lost its place in the log to another leader")
	errDropped = errors.New("the leader takes no commands at the moment")
)

// propose appends a command to the log. then is called once with its result,
// or with errLost or errDropped, after which it may be proposed again.
func (m *machine) propose(cmd *meta.Command, then func(meta.Result, error)) {
	if first, ok := m.state.results[cmd.ID]; ok {
		then(first, nil)
		return
	}
	data, err := marshal(cmd)
	if err == nil {
		err = m.raft.Propose(data)
	}
	if err != nil {
		then(meta.Result{}, errors.Join(errDropped, err))
		return
	}
	m.expect(cmd.ID, then)
}

// expect remembers that the command was appended just now.
func (m *machine) expect(id string, then func(meta.Result, error)) {
	last, err := m.rlog.LastIndex()
	if err != nil {
		m.out.fatal = err
		return
	}
	m.proposed++
	m.proposals[id] = &proposal{id: id, index: last + m.proposed, term: m.term(), then: then}
}

// settle ends the proposal of a command that was applied, or refused with err.
func (m *machine) settle(id string, result meta.Result, err error) {
	if p := m.proposals[id]; p != nil {
		delete(m.proposals, id)
		p.then(result, err)
	}
}

// settleLost ends the proposals that can no longer be committed once the entry
// at an index is: their place is taken, or they have an older term, and terms
// never decrease along the log.
func (m *machine) settleLost(index, term uint64) {
	if len(m.proposals) == 0 {
		return
	}
	var lost []*proposal
	for _, p := range m.proposals {
		if p.index <= index || p.term < term {
			lost = append(lost, p)
		}
	}
	sort.Slice(lost, func(i, j int) bool { return lost[i].index < lost[j].index })
	for _, p := range lost {
		delete(m.proposals, p.id)
		p.then(meta.Result{}, errLost)
	}
}

// settleSnapshot ends proposals that a snapshot of another leader decided.
func (m *machine) settleSnapshot() {
	for _, r := range m.state.order {
		m.settle(r.ID, r, nil)
	}
	m.settleLost(m.rlog.applied, m.rlog.appliedTerm)
}

// commit is a request of this node to change metadata. The reply has the
// index of the command once it was applied here, or an error: errNotPrimary,
// errLost, errDropped, or a *meta.Refusal.
func (m *machine) commit(token uint64, cmd *meta.Command) {
	if !m.primary() || m.leaving != nil {
		m.reply(reply{token: token, err: m.errNotPrimary()})
		return
	}
	m.propose(cmd, func(result meta.Result, err error) {
		if err == nil && result.Refused != "" {
			err = errors.New(result.Refused)
		}
		m.reply(reply{token: token, index: result.Index, view: m.state.view, err: err})
	})
}

// commitWait is a request of this node that waits until a command is in
// effect everywhere.
type commitWait struct {
	token uint64
	index uint64
	view  *meta.View
	since time.Time
}

// await answers once an applied command is in effect on this node and on all
// that can be waited for.
func (m *machine) await(token, index uint64, view *meta.View) {
	m.commits = append(m.commits, &commitWait{token: token, index: index, view: view, since: m.now})
	m.tickCommits()
}

// tickCommits answers requests whose change is in effect on this node and on
// every other that is neither down nor lagging.
func (m *machine) tickCommits() {
	if len(m.commits) == 0 {
		return
	}
	waiting := m.commits[:0]
	for _, c := range m.commits {
		if c.index > m.effective || m.role == roleLeader && !m.acknowledged(c) {
			waiting = append(waiting, c)
			continue
		}
		m.reply(reply{token: c.token, view: c.view})
	}
	clear(m.commits[len(waiting):])
	m.commits = waiting
}

// acknowledged tells that no node has to be waited for any longer.
func (m *machine) acknowledged(c *commitWait) bool {
	done := true
	for _, node := range m.view().Smap.Nodes() {
		if node.ID == m.self.ID || c.view.Smap.Node(node.ID) == nil {
			continue
		}
		p := m.peer(node.ID)
		if p.acked >= c.index || p.lagging || m.down(node.ID) {
			continue
		}
		if silent := later(p.lastAck, c.since); m.now.Sub(silent) >= m.times.Ack {
			p.lagging = true
			m.log.Warn("node does not acknowledge changes, later ones will not wait for it", "node", node.String(), "index", c.index)
			continue
		}
		done = false
	}
	return done
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (m *machine) errNotPrimary() error {
	if smap := m.view().Smap; smap != nil && smap.Primary != nil && smap.Primary.ID != m.self.ID {
		return apierr.New(apierr.StatusServiceUnavailable, wire.CodeNotPrimary, "%s is not primary, %s is", m.self, smap.Primary)
	}
	return apierr.New(apierr.StatusServiceUnavailable, wire.CodeNotPrimary, "%s is not primary at the moment", m.self)
}

func errNotJoined(self *meta.Snode) error {
	return apierr.New(apierr.StatusServiceUnavailable, codeNotJoined, "%s has not joined a cluster yet", self)
}
