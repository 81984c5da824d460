package metasync

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// proposal is an entry of this node on its way through the log. It has no
// place in it (index 0) until raft hands the entry out to be stored.
type proposal struct {
	id     string // of the command, "" if the entry has none
	data   []byte // of the entry; of a change of the group, its context
	group  bool   // it is a change of the group
	index  uint64
	term   uint64
	placed func(index uint64)
	thens  []func(result meta.Result, err error)
}

func (p *proposal) end(result meta.Result, err error) {
	for _, then := range p.thens {
		then(result, err)
	}
}

// is tells that an entry is what was proposed.
func (p *proposal) is(entry *raftpb.Entry) bool {
	switch entry.GetType() {
	case raftpb.EntryNormal:
		return !p.group && bytes.Equal(entry.GetData(), p.data)
	case raftpb.EntryConfChangeV2:
		change := new(raftpb.ConfChangeV2)
		return p.group && proto.Unmarshal(entry.GetData(), change) == nil && bytes.Equal(change.GetContext(), p.data)
	}
	return false
}

// errLost tells that a command is certainly not committed: another one has
// its place in the log. errDropped tells that it never got a place.
var (
	errLost    = errors.New("the command lost its place in the log to another leader")
	errDropped = errors.New("the leader takes no commands at the moment")
)

// errNoMajority ends requests that cannot be decided for want of voters. What
// they asked for may still take place once there is a majority again.
func errNoMajority(what string) error {
	return apierr.Unavailable(5*time.Second, "%s: no majority of the voters can be reached", what)
}

// propose appends a command to the log. then is called once with its result,
// or with errLost or errDropped, after which it may be proposed again. A
// command with the id of one that was applied gets that one's result, and
// with the id of one under way shares its fate. One that removes nodes
// from the map removes them from the group, too.
func (m *machine) propose(cmd *meta.Command, then func(meta.Result, error)) {
	if first, ok := m.state.results[cmd.ID]; ok {
		then(first, nil)
		return
	}
	if p := m.proposals[cmd.ID]; p != nil {
		p.thens = append(p.thens, then)
		return
	}
	if len(removedNodes(cmd)) > 0 {
		m.depart(cmd, then)
		return
	}
	m.proposePlain(cmd, then)
}

// proposePlain appends a command that comes without a change of the group.
func (m *machine) proposePlain(cmd *meta.Command, then func(meta.Result, error)) {
	data, err := marshal(cmd)
	if err == nil {
		err = m.raft.Propose(data)
	}
	if err != nil {
		then(meta.Result{}, errors.Join(errDropped, err))
		return
	}
	m.expect(&proposal{id: cmd.ID, data: data, thens: []func(meta.Result, error){then}})
}

// proposeGroup is propose for a command that comes with a change of the
// group, in one entry. If the command is refused, the group does not change
// either.
func (m *machine) proposeGroup(cmd *meta.Command, changes []*raftpb.ConfChangeSingle, then func(meta.Result, error)) {
	data, err := marshal(cmd)
	if err == nil {
		err = m.raft.ProposeConfChange(&raftpb.ConfChangeV2{Changes: changes, Context: data})
	}
	if err != nil {
		then(meta.Result{}, errors.Join(errDropped, err))
		return
	}
	m.expect(&proposal{id: cmd.ID, data: data, group: true, thens: []func(meta.Result, error){then}})
}

// expect remembers what was appended just now.
func (m *machine) expect(p *proposal) {
	m.unplaced = append(m.unplaced, p)
	if p.id != "" {
		m.proposals[p.id] = p
	}
}

// place finds the proposals among the entries that raft hands out. All that
// were appended are among them, in their order: one that is not never got a
// place. Raft drops a change of the group in this way while another one is
// under way.
func (m *machine) place(entries []*raftpb.Entry) {
	var dropped []*proposal
	for _, entry := range entries {
		i := slices.IndexFunc(m.unplaced, func(p *proposal) bool { return p.is(entry) })
		if i < 0 {
			continue
		}
		p := m.unplaced[i]
		dropped = append(dropped, m.unplaced[:i]...)
		m.unplaced = m.unplaced[i+1:]
		p.index, p.term = entry.GetIndex(), entry.GetTerm()
		if p.placed != nil {
			p.placed(p.index)
		}
	}
	dropped = append(dropped, m.unplaced...)
	m.unplaced = nil
	for _, p := range dropped {
		delete(m.proposals, p.id)
		p.end(meta.Result{}, errDropped)
	}
}

// settle ends the proposal of a command that was applied, or refused with err.
func (m *machine) settle(id string, result meta.Result, err error) {
	if p := m.proposals[id]; p != nil {
		delete(m.proposals, id)
		p.end(result, err)
	}
}

// settleLost ends the proposals that can no longer be committed once the entry
// at an index is: their place is taken, or they have an older term, and terms
// never decrease along the log.
func (m *machine) settleLost(index, term uint64) {
	m.settleThose(func(p *proposal) bool { return p.index != 0 && (p.index <= index || p.term < term) }, errLost)
}

// settleThose ends some proposals with an error, in their order.
func (m *machine) settleThose(which func(p *proposal) bool, err error) {
	if len(m.proposals) == 0 {
		return
	}
	var ended []*proposal
	for _, p := range m.proposals {
		if which(p) {
			ended = append(ended, p)
		}
	}
	sort.Slice(ended, func(i, j int) bool {
		a, b := ended[i], ended[j]
		return a.index < b.index || a.index == b.index && a.id < b.id
	})
	for _, p := range ended {
		delete(m.proposals, p.id)
		p.end(meta.Result{}, err)
	}
}

// settleSnapshot ends proposals that a snapshot of another leader decided.
func (m *machine) settleSnapshot() {
	for _, r := range m.state.order {
		m.settle(r.ID, r, nil)
	}
	m.settleLost(m.rlog.applied, m.rlog.appliedTerm)
}

// tickProposals gives those an answer who wait for a majority that is not
// there, or for a storage that stalls while another node leads: that one has
// the answer, for a request that is repeated there under its id.
func (m *machine) tickProposals() {
	switch all := func(*proposal) bool { return true }; {
	case len(m.proposals) == 0:
	case m.leaderless() >= m.times.election():
		m.settleThose(all, errNoMajority("the outcome is not known"))
	case m.role != roleLeader && m.stalled():
		m.settleThose(all, m.errNotPrimary())
	}
}

// attemptID is the id of the nth command that is made for a request: a
// command that was refused because another one came first is remembered as
// such, and made anew under another id.
func attemptID(request string, n int) string {
	if n == 1 {
		return request
	}
	return request + "/" + strconv.Itoa(n)
}

// recall looks for the first answer to a request. The reply has it (done), or
// the id for the command to be made. The id of no request is a new one.
func (m *machine) recall(token uint64, request string) {
	if !m.takesCommands() {
		m.reply(reply{token: token, err: m.errNotPrimary()})
		return
	}
	if request == "" {
		m.reply(reply{token: token, id: m.nextID()})
		return
	}
	for n := 1; ; n++ {
		id := attemptID(request, n)
		if p := m.proposals[id]; p != nil {
			p.thens = append(p.thens, func(result meta.Result, err error) { m.decided(token, result, err) })
			return
		}
		result, ok := m.state.results[id]
		switch {
		case !ok:
			m.reply(reply{token: token, id: id})
			return
		case !result.Stale:
			m.decided(token, result, nil)
			return
		}
	}
}

// takesCommands tells that this node commits what is asked of it.
func (m *machine) takesCommands() bool {
	if m.mutation == mutationRetiredPrimary && m.view().Smap.IsPrimary(m.self.ID) {
		return true
	}
	return m.primary() && m.leaving == nil
}

// commit is a request of this node to change metadata. The reply has the
// index of the command once it was applied here, or an error: errNotPrimary,
// errLost, errDropped, errNoMajority, or a *meta.Refusal.
func (m *machine) commit(token uint64, cmd *meta.Command) {
	if !m.takesCommands() {
		m.reply(reply{token: token, err: m.errNotPrimary()})
		return
	}
	if m.mutation == mutationEarlyAnswer {
		m.reply(reply{token: token, done: true, index: m.state.view.Index, view: m.state.view})
		token = 0
	}
	if m.mutation == mutationRetiredPrimary && m.role != roleLeader {
		result, _, err := m.state.apply(cmd, m.term(), m.state.view.Index+1)
		m.decided(token, result, err)
		return
	}
	m.propose(cmd, func(result meta.Result, err error) { m.decided(token, result, err) })
}

// decided replies to a request whose command has a result.
func (m *machine) decided(token uint64, result meta.Result, err error) {
	if err == nil && result.Refused != "" {
		err = apierr.BadRequest("%s", result.Refused)
	}
	m.reply(reply{token: token, done: err == nil, index: result.Index, view: m.state.view, err: err})
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

// refused turns the result of a command into an error, if it is one.
func refused(result meta.Result, err error) error {
	if err == nil && result.Refused != "" {
		return fmt.Errorf("refused: %s", result.Refused)
	}
	return err
}
