package metasync

import (
	"time"

	"github.com/aistore-go/aistore/core/meta"
)

const (
	// versionLeap is what a failover adds to the version of the map (a wire
	// fact: clients and tests wait for it).
	versionLeap = 100
	// heardLately is how fresh a sign of life is for leadership to be handed
	// to a node.
	heardLately = 1500 * time.Millisecond
	// maxHandovers bounds attempts to hand leadership to one node.
	maxHandovers = 3
	// handBackLimit is how long leadership is offered to a primary that lives
	// but does not take it.
	handBackLimit = 15 * time.Second
)

// caretaker is the state of a leader that is not the map's primary.
type caretaker struct {
	primarySign time.Time // last sign of the map's primary, seen by this node
	livesSince  time.Time // since when it has lived without leading, zero if it does not live
	next        time.Time // next attempt to hand over
	attempts    map[string]int
}

// becomeLeader prepares for leading, in whatever role.
func (m *machine) becomeLeader() {
	m.detached = false
	m.fenced = "" // a majority of the own cluster has just said otherwise
	for _, p := range m.peers {
		p.greeted, p.pushing, p.needs, p.lagging = false, false, false, false
		p.acked, p.ackedBy = 0, 0
		p.lastAck, p.pushAgain = time.Time{}, time.Time{}
	}
	m.caretaker.next, m.caretaker.livesSince, m.caretaker.attempts = m.now, time.Time{}, map[string]int{}
	m.voters.busy, m.voters.next = false, m.now.Add(votersPause)
	m.voters.members, m.voters.bad, m.voters.known, m.voters.confirming = nil, nil, 0, false
	m.removals = nil
	m.leadOwnership()
}

func (m *machine) loseLeadership() {
	m.dropDepartures()
	queue := m.admission.queue
	m.admission.queue = nil
	for _, a := range queue {
		if a.token != 0 {
			m.respond(a.token, &joinReply{envelope: m.envelope(), Hint: m.leaderHint()}, nil)
		}
	}
	m.tickCommits()
}

// tickCaretaker ends a term without a primary: leadership goes back to the
// map's primary while that may still return, then to its successor, who
// commits the failover.
func (m *machine) tickCaretaker() {
	view := m.view()
	c := &m.caretaker
	if view.Smap.IsPrimary(m.self.ID) || m.smapBusy || m.raft.BasicStatus().LeadTransferee != 0 {
		return
	}
	if view.Voters.Next == m.self.ID && view.Smap.Node(m.self.ID).Electable() {
		m.takeOver()
		return
	}
	next := m.successor()
	if old := view.Smap.Primary; old != nil {
		p := m.peer(old.ID)
		lives := p.left == 0 && !p.stalled && !p.lastSign.IsZero() && m.now.Sub(p.lastSign) < heardLately
		switch {
		case !lives:
			c.livesSince = time.Time{}
		case c.livesSince.IsZero():
			c.livesSince = m.now
		}
		switch {
		case lives && (next == nil || m.now.Sub(c.livesSince) < handBackLimit):
			m.handOver(old)
			return
		case !lives && p.left == 0 && m.now.Sub(c.primarySign) < m.times.Caretaker:
			return
		}
	}
	switch {
	case next == nil:
		if !m.now.Before(c.next) { // all refused: from the start
			clear(c.attempts)
		}
	case next.ID == m.self.ID:
		m.failOver()
	default:
		m.handOver(next)
	}
}

// successor is the live electable proxy with the highest digest, other than
// the map's primary, leaving out those that did not take leadership.
func (m *machine) successor() *meta.Snode {
	smap := m.view().Smap
	var next *meta.Snode
	for _, node := range smap.Nodes() {
		if smap.IsPrimary(node.ID) || !node.Electable() || m.caretaker.attempts[node.ID] >= maxHandovers ||
			m.now.Before(m.voters.bad[node.ID]) {
			continue
		}
		if node.ID != m.self.ID && (!m.heard(node.ID) || m.peer(node.ID).stalled) || node.ID == m.self.ID && m.stalled() {
			continue
		}
		if next == nil || node.Digest > next.Digest {
			next = node
		}
	}
	return next
}

// heard tells a node with a fresh sign of life.
func (m *machine) heard(id string) bool {
	p := m.peer(id)
	return p.left == 0 && !p.lastSign.IsZero() && m.now.Sub(p.lastSign) < 2*m.times.Keepalive
}

// handOver offers leadership to a node, once each election timeout. A node
// that has no vote gets one first, by the voters policy.
func (m *machine) handOver(node *meta.Snode) {
	c := &m.caretaker
	id := m.peer(node.ID).raftID
	if m.now.Before(c.next) || id == 0 || !m.rlog.voter(id) {
		return
	}
	c.next = m.now.Add(m.times.election() + m.times.Tick)
	c.attempts[node.ID]++
	m.log.Info("hands leadership over", "to", node.String())
	m.raft.TransferLeader(id)
}

// failOver makes this node primary. The one that failed is removed; one that
// lives but cannot lead, because its storage stalls, stays in the map.
func (m *machine) failOver() {
	patch := &meta.SmapPatch{Primary: m.self.ID}
	if old := m.view().Smap.Primary; old != nil && !m.heard(old.ID) {
		patch.Del = []string{old.ID}
	}
	m.changeMap("failover", patch, versionLeap, func(err error) {
		if err == nil {
			m.log.Warn("became primary", "smap", m.view().Smap.Version, "removed", patch.Del)
		}
	}, m.clearNext()...)
}
