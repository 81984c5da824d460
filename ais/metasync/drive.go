package metasync

import (
	"context"
	"sort"

	"github.com/aistore-go/aistore/core/meta"
)

// drive runs the machine: one input after another, and after each of them
// whatever it wants done.
func (a *Agent) drive() {
	m := a.machine
	ticks, stop := a.o.Clock.NewTicker(m.times.Tick)
	defer stop()
	a.pump()
	for {
		select {
		case <-a.ctx.Done():
			return
		case input := <-a.inbox:
			m.setTime(a.o.Clock.Now())
			input()
		case <-ticks:
			m.tick(a.o.Clock.Now())
		}
		a.pump()
		if a.ctx.Err() != nil {
			return
		}
	}
}

// pump does what the machine wants until it wants nothing more.
func (a *Agent) pump() {
	for a.machine.hasOutput() {
		out := a.machine.ready()
		if out.fatal != nil {
			a.fail(out.fatal)
			return
		}
		if out.batch != 0 {
			a.saving.add(out.batch, out.writes)
		}
		a.machine.installKeys()
		a.latest.Store(a.machine.view())
		if out.view != nil {
			a.offer(out.view)
		}
		for _, msg := range out.messages {
			a.o.Network.Send(msg.url, msg.body)
		}
		for _, c := range out.calls {
			a.wg.Go(func() { a.perform(c) })
		}
		a.publishStatus()
		for _, r := range out.replies {
			if ch := a.waiting[r.token]; ch != nil {
				delete(a.waiting, r.token)
				ch <- r
			}
		}
	}
	a.publishStatus()
}

// perform is one outgoing call.
func (a *Agent) perform(c outCall) {
	ctx, cancel := context.WithTimeout(a.ctx, c.timeout)
	began := a.o.Clock.Now()
	body, err := a.o.Network.Call(ctx, c.url, c.kind, c.body)
	cancel()
	if c.kind == KindKeepalive && a.o.OnKeepalive != nil {
		a.o.OnKeepalive(a.o.Clock.Now().Sub(began), err)
	}
	select {
	case a.inbox <- func() { a.machine.returned(c.id, body, err) }:
	case <-a.ctx.Done():
	}
}

// offer replaces the view that waits to be put into effect.
func (a *Agent) offer(view *meta.View) {
	select {
	case <-a.applyCh:
	default:
	}
	a.applyCh <- view // there is room: this is the only sender
}

// apply puts views into effect.
func (a *Agent) apply() {
	old := a.view.Load()
	for {
		var view *meta.View
		select {
		case view = <-a.applyCh:
		case <-a.ctx.Done():
			return
		}
		for {
			err := a.onApply(old, view)
			if err == nil {
				break
			}
			a.log.Error("change not in effect, trying again", "index", view.Index, "err", err)
			if a.pause(a.ctx, retryApply) != nil {
				return
			}
			select {
			case view = <-a.applyCh:
			default:
			}
		}
		old = view
		a.view.Store(view)
		select {
		case a.inbox <- func() { a.machine.inEffect(view.Index) }:
		case <-a.ctx.Done():
			return
		}
	}
}

// fail ends all work: the node has to exit.
func (a *Agent) fail(err error) {
	a.log.Warn("the node cannot go on", "err", err) // who is told by Fatal says it as an error
	select {
	case a.fatal <- err:
	default:
	}
	a.cancel()
}

func (a *Agent) publishStatus() {
	m := a.machine
	s := &Status{
		Joined: m.join.state == joined && m.hasServed(), Primary: m.primary(), Leader: m.leaderHint().ID, Term: m.term(), Index: m.effective,
		Voter: m.rlog.voter(m.identity.RaftID) && !m.detached, Settled: m.settled(), Stale: m.stale(), Fenced: m.fencedWhy(), Down: m.downNodes,
		LastContact: m.alive.answered, Stalled: m.stalled(),
		givenUp: m.givenUp,
	}
	if m.leaderless() > 0 && m.identity.UUID != "" {
		s.NoLeaderSince = m.leaderSeen
	}
	if m.role == roleLeader {
		for _, p := range m.peers {
			if p.lagging {
				s.Lagging = append(s.Lagging, p.id)
			}
			if m.view().Smap.Node(p.id) != nil && m.vouched(p.id) {
				s.Vouched = append(s.Vouched, p.id)
			}
		}
		sort.Strings(s.Lagging)
		sort.Strings(s.Vouched)
	}
	a.status.Store(s)
	a.publishLease()
}
