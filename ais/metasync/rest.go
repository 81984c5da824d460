package metasync

import (
	"context"

	"github.com/aistore-go/aistore/core/meta"
)

// resting is a node that does not ask to be admitted: an operator has removed
// it, or it waits to be added.
type resting struct {
	why    string // "" if the node does not rest
	onGone func(op *meta.Operation)
	told   bool // onGone was called
}

// Rest makes this node stay out of the cluster once the cluster does not know
// it any more, until JoinAt or a new start. why is what it says then.
func (a *Agent) Rest(why string) {
	_, _ = a.request(a.ctx, func(m *machine, token uint64) { // fails only when the agent stops
		m.resting.why = why
		m.reply(reply{token: token})
	})
}

// StandBy makes a node that has never belonged to a cluster wait for JoinAt.
// Call it before Start.
func (a *Agent) StandBy() {
	if a.machine.identity.UUID == "" {
		a.machine.resting.why = "this node stands by: it waits for an operator to add it to a cluster"
	}
}

// JoinAt makes this node ask for admission at some intra-control URLs, besides
// those that it knows, and ends its rest. flags is what it wants to be in the
// map (meta.FlagNonElectable).
func (a *Agent) JoinAt(ctx context.Context, urls []string, flags uint64) error {
	_, err := a.request(ctx, func(m *machine, token uint64) {
		m.joinAt(urls, flags)
		m.reply(reply{token: token})
	})
	return err
}

// OnDecommissioned sets what is called, once, when the cluster says that it has
// decommissioned this node while it was not there. Call it before Start.
func (a *Agent) OnDecommissioned(f func(op *meta.Operation)) { a.machine.resting.onGone = f }

func (m *machine) joinAt(urls []string, flags uint64) {
	rested := m.resting.why != ""
	m.resting.why, m.resting.told = "", false
	for _, url := range urls {
		if url != m.self.IntraControl.URL {
			m.seeds = append([]string{url}, m.seeds...)
		}
	}
	if flags != m.self.Flags {
		self := *m.self
		self.Flags = flags
		m.self = &self
		rested = true
	}
	if rested && m.join.state == joined {
		m.join.state = asking
	}
	m.fenced = ""
	m.join.next, m.join.pause = m.now, joinPause
}

// rests tells that this node does not ask for admission, and says so.
func (m *machine) rests() bool {
	if m.resting.why == "" {
		return false
	}
	m.fenced = m.resting.why
	return true
}

// decommissionedBy notes that the cluster has decommissioned this node.
func (m *machine) decommissionedBy(op *meta.Operation) {
	m.resting.why = "the cluster has decommissioned this node"
	if m.resting.onGone == nil || m.resting.told {
		return
	}
	m.resting.told = true
	m.log.Warn("the cluster has decommissioned this node while it was away", "operation", op.ID)
	go m.resting.onGone(op)
}

// decommissioned returns the operation that has decommissioned an applicant
// that does not know of it, nil if there is none.
func (m *machine) decommissioned(req *joinRequest) *meta.Operation {
	view := m.view()
	if req.UUID == "" || req.Node == nil || view.Smap.Node(req.From) != nil {
		return nil
	}
	return view.Operations.Decommissioned(req.From, req.Node.VerifyingKey)
}
