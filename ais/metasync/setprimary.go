package metasync

import (
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// maxHandoff bounds a change of the primary.
const maxHandoff = 15 * time.Second

// handoff is a change of the primary that was asked for, at the primary that
// is to give it up: it commits who comes next, hands leadership over, and
// waits until the successor has made itself primary. If that does not happen
// in time, it takes the word back.
type handoff struct {
	token uint64
	node  string
	until time.Time
	next  time.Time // next attempt
	named bool      // that it comes next is committed
	busy  bool      // a command of this change is under way
}

// setPrimary makes another proxy primary. The reply comes when it is, in the
// view that is in effect here.
func (m *machine) setPrimary(token uint64, nodeID string, within time.Duration) {
	fail := func(err error) { m.reply(reply{token: token, err: err}) }
	if !m.takesCommands() {
		fail(m.errNotPrimary())
		return
	}
	node := m.view().Smap.Node(nodeID)
	switch {
	case nodeID == m.self.ID:
		m.reply(reply{token: token})
		return
	case node == nil:
		fail(apierr.New(apierr.StatusNotFound, wire.CodeNodeNotFound, "%s: node %q is not in the cluster map (version %d)", m.self, nodeID, m.view().Smap.Version))
		return
	case node.Role != meta.RoleProxy:
		fail(apierr.BadRequest("%s cannot become primary: it is not a proxy", node))
		return
	case !node.Active():
		fail(apierr.BadRequest("%s cannot become primary: it is in maintenance or being decommissioned", node))
		return
	case !node.Electable():
		fail(apierr.BadRequest("%s cannot become primary: it is non-electable", node))
		return
	case m.handoff != nil || m.view().Voters.Next != "":
		fail(apierr.Unavailable(time.Second, "%s: the primary is being changed already", m.self))
		return
	}
	h := &handoff{token: token, node: nodeID, until: m.now.Add(within), next: m.now}
	m.handoff = h
	m.log.Info("primary is to be changed", "to", node.String())
	m.nameNext(h, nodeID, func(err error) { h.named = err == nil })
}

// nameNext commits who is to become primary.
func (m *machine) nameNext(h *handoff, next string, then func(error)) {
	change, err := meta.NewChange(m.view(), meta.KindVoters, &meta.VotersPatch{Next: &next})
	if err != nil {
		then(err)
		return
	}
	h.busy = true
	m.propose(&meta.Command{ID: m.nextID(), Action: "set-primary", Changes: []meta.Change{change}}, func(result meta.Result, err error) {
		h.busy = false
		if err = refused(result, err); err != nil {
			m.log.Info("next primary not committed", "next", next, "err", err)
		}
		then(err)
	})
}

// tickHandoff carries a change of the primary on.
func (m *machine) tickHandoff() {
	h := m.handoff
	if h == nil {
		m.tickForgottenNext()
		return
	}
	if m.view().Smap.IsPrimary(h.node) {
		if m.effective >= m.view().Index {
			m.endHandoff(nil)
		}
		return
	}
	late := !m.now.Before(h.until)
	switch {
	case late && m.now.Sub(h.until) >= m.times.Call:
		m.endHandoff(errNoMajority("the primary was not changed, or is about to"))
	case h.busy || !m.primary():
	case late:
		m.takeBack(h)
	case !h.named: // lost the race against another command
		m.nameNext(h, h.node, func(err error) { h.named = err == nil })
	case m.view().Voters.Next != h.node:
		m.endHandoff(apierr.Unavailable(time.Second, "%s did not become primary: another change came first", m.nodeName(h.node)))
	case !m.now.Before(h.next) && m.transferTo(h.node):
		h.next = m.now.Add(m.times.election() + m.times.Tick)
	}
}

// takeBack gives a change of the primary up.
func (m *machine) takeBack(h *handoff) {
	m.nameNext(h, "", func(err error) {
		if err == nil && m.handoff == h && !m.view().Smap.IsPrimary(h.node) {
			m.endHandoff(apierr.Unavailable(time.Second, "%s did not take over in time, %s stays primary", m.nodeName(h.node), m.self))
		}
	})
}

// transferTo hands leadership to a node, if it has a vote and can lead. The
// voters policy gives it a vote.
func (m *machine) transferTo(nodeID string) bool {
	p := m.peer(nodeID)
	if p.raftID == 0 || !m.rlog.voter(p.raftID) || !m.heard(nodeID) || p.stalled || m.groupBusy() {
		return false
	}
	m.log.Info("hands leadership over", "to", m.nodeName(nodeID))
	m.raft.TransferLeader(p.raftID)
	return true
}

func (m *machine) nodeName(id string) string {
	if node := m.view().Smap.Node(id); node != nil {
		return node.String()
	}
	return id
}

func (m *machine) endHandoff(err error) {
	h := m.handoff
	m.handoff = nil
	m.reply(reply{token: h.token, err: err})
}

// tickForgottenNext takes back what an earlier leader named, or this one
// before it lost leadership for a while: nobody waits for it.
func (m *machine) tickForgottenNext() {
	view := m.view()
	if !m.primary() || m.smapBusy || view.Voters == nil || view.Voters.Next == "" || m.now.Before(m.caretaker.next) {
		return
	}
	m.caretaker.next = m.now.Add(m.times.election())
	m.nameNext(&handoff{}, "", func(error) {})
}

// takeOver makes this node primary in place of a living one, which stays in
// the map.
func (m *machine) takeOver() {
	m.changeMap("set-primary", &meta.SmapPatch{Primary: m.self.ID}, versionLeap, func(err error) {
		if err == nil {
			m.log.Warn("became primary", "smap", m.view().Smap.Version)
		}
	}, m.clearNext()...)
}

// clearNext is the change that goes with every change of the primary.
func (m *machine) clearNext() []meta.Change {
	view := m.view()
	if view.Voters == nil || view.Voters.Next == "" {
		return nil
	}
	none := ""
	change, err := meta.NewChange(view, meta.KindVoters, &meta.VotersPatch{Next: &none})
	if err != nil {
		m.log.Error("cannot change the voters", "err", err)
		return nil
	}
	return []meta.Change{change}
}
