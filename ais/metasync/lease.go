package metasync

import (
	"context"
	"time"

	"github.com/aistore-go/aistore/core/meta"
)

// An owner lease is a target's right to commit writes. The target counts it
// from the moment at which it sent a keepalive that the primary answered with
// a grant, so that it ends at the target before it ends at the primary. The
// primary grants only as long as it knows by a majority that it is primary:
// the next one counts from its own election, which a grant can outlive by no
// more than grantFresh and the lease.

// grantFresh is how old the majority's last word may be, in keepalive
// intervals, that a primary needs to grant leases.
const grantFresh = 2

// leaseState is the target's own side.
type leaseState struct {
	sent time.Time // of the last keepalive that was granted, zero: there is no lease
	had  bool      // there was one since the start
}

// granted notes the answer to a keepalive that was sent at a time.
func (m *machine) granted(sent time.Time, r *keepaliveReply) {
	switch {
	case r.Unknown:
		m.lease.sent = time.Time{}
	case r.Lease && m.self.Role == meta.RoleTarget:
		m.lease.sent, m.lease.had = later(m.lease.sent, sent), true
	}
}

// leaseHolds tells that a lease which was granted for a keepalive sent at a
// time still holds, by the monotonic and by the wall clock: the first does
// not count the time in which a machine sleeps, the second may be set back.
func leaseHolds(sent, now time.Time, lease time.Duration) bool {
	return !sent.IsZero() && now.Sub(sent) < lease && now.Round(0).Sub(sent.Round(0)) < lease
}

// hasServed tells that this node could do its work since the start: a target
// has had a lease.
func (m *machine) hasServed() bool { return m.self.Role != meta.RoleTarget || m.lease.had }

// leaseValid tells, at a target, that it may commit now.
func (m *machine) leaseValid() bool { return leaseHolds(m.lease.sent, m.now, m.times.Lease) }

// LeaseValid tells that this target may commit writes to the names that it
// owns. It neither blocks nor allocates.
func (a *Agent) LeaseValid() bool {
	sent := a.leaseSent.Load()
	return sent != nil && leaseHolds(*sent, a.o.Clock.Now(), a.machine.times.Lease)
}

// publishLease makes the machine's lease known to LeaseValid.
func (a *Agent) publishLease() {
	sent := a.machine.lease.sent
	if have := a.leaseSent.Load(); have == nil || !have.Equal(sent) {
		a.leaseSent.Store(&sent)
	}
}

// Quiesced tells the primary that no commit is under way on this target which
// was let through before the transition with this version was in effect.
func (a *Agent) Quiesced(version int64) {
	select {
	case a.inbox <- func() { a.machine.quiesce(version) }:
	case <-a.ctx.Done():
	}
}

// Leave tells the primary that this node is about to stop, as Stop does, and
// leaves the control plane running, so that requests in flight can end.
func (a *Agent) Leave(ctx context.Context) error {
	_, err := a.request(ctx, func(m *machine, token uint64) { m.leave(token) })
	return err
}

// Drained tells the primary, after Leave, that this target has ended all its
// commits and begins none until it is started again: a change of ownership
// need not wait for the end of its lease.
func (a *Agent) Drained(ctx context.Context) error {
	_, err := a.request(ctx, func(m *machine, token uint64) { m.drained(token) })
	return err
}

func (m *machine) drained(token uint64) {
	url := m.leaderHint().URL
	if url == "" || m.leads() {
		m.reply(reply{token: token})
		return
	}
	req := &leaveRequest{envelope: m.envelope(), Quiesced: quiescedForGood}
	m.call(url, KindLeave, req, m.times.Call/2, func(_ []byte, err error) { m.reply(reply{token: token, err: err}) })
}

// quiesce notes it and has the next keepalive sent at once.
func (m *machine) quiesce(version int64) {
	m.quiesced = version
	m.alive.next = m.now
	if m.leads() {
		m.tickOwnership()
	}
}

// grants tells, at the leader, whether the sender of a keepalive may have a
// lease: it is a target of the map, works with the present map, and does not
// hold up a change of it.
func (m *machine) grants(id string, effective uint64) bool {
	m.noteOwners() // a change may be so new that no tick has seen it
	node := m.view().Smap.Node(id)
	o := &m.ownership
	switch {
	case !m.primary() || m.leaving != nil || node == nil || node.Role != meta.RoleTarget:
		return false
	case effective < o.index && m.mutation != mutationOldMap:
		return false
	case o.confirmed.IsZero() || m.now.Sub(o.confirmed) >= grantFresh*m.times.Keepalive:
		return false
	}
	return m.view().Transition.Now() == nil || m.hasQuiesced(id) || m.now.Sub(o.since) < m.times.Ack && !o.decided
}

// grant notes that a keepalive is answered with a lease.
func (m *machine) grant(p *peer) { p.granted = m.now }

// ungranted is how long a target has had no grant, as far as this leader can
// say; what former leaders granted ends with the time since its election.
func (m *machine) ungranted(id string) time.Duration {
	if m.mutation == mutationHeirless {
		return m.now.Sub(m.peer(id).granted)
	}
	return m.now.Sub(later(m.peer(id).granted, m.leaderSince))
}
