package metasync

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/aistore-go/aistore/core/meta"
)

// TestRandomHistories runs clusters under message loss, duplication, delay and
// reordering, partitions (also of one direction), crashes that lose writes
// which were not durable, slow, stalled and full disks, clocks that run
// differently, lost state, nodes that are removed and primaries that are
// changed, with clients that create buckets; some with trust between the nodes
// and rotation of the cluster keys, some with clients that write objects. It
// asserts that what must never happen does not, and that the cluster comes to
// one state after it has healed.
func TestRandomHistories(t *testing.T) {
	histories(t, 50, 25, func(seed uint64) { randomHistory(t, seed) })
}

// TestSeedReplays shows that one seed gives one history.
func TestSeedReplays(t *testing.T) {
	for seed := uint64(5); seed <= 6; seed++ { // without and with trust
		a, b := randomHistory(t, seed), randomHistory(t, seed)
		if a.count != b.count || !a.now.Equal(b.now) || !maps.Equal(a.documents, b.documents) || !maps.Equal(a.primaries, b.primaries) {
			t.Errorf("two runs of %d differ: %d and %d events, %s and %s", seed, a.count, b.count, a.now, b.now)
		}
	}
}

func randomHistory(t *testing.T, seed uint64) *sim {
	t.Helper()
	s := newTestSim(t, seed, 0, 0)
	proxies, targets := 1+s.rng.IntN(4), s.rng.IntN(4)
	s = newTestSim(t, seed, proxies, targets)
	s.limits = limits{keepEntries: 1 + s.rng.Uint64N(8), compactEntries: 1 + s.rng.Uint64N(20), recent: 1 + s.rng.IntN(10), pushed: 1 + s.rng.IntN(10)}
	if s.chance(0.5) {
		for _, n := range s.nodes {
			n.rate = 0.9 + 0.2*s.rng.Float64()
		}
	}
	if seed%3 == 0 {
		s.trusting()
	}
	s.startAll()
	s.delay = time.Duration(1+s.rng.IntN(60)) * time.Millisecond
	s.applyDelay = s.random(100 * time.Millisecond)
	s.loss, s.duplicate = s.rng.Float64()*0.1, s.rng.Float64()*0.1
	if s.chance(0.3) {
		s.late = s.rng.Float64() * 0.03
	}
	if s.chance(0.5) {
		s.diskDelay = s.random(200 * time.Millisecond)
	}
	if s.chance(0.7) {
		s.crash = s.rng.Float64() * 0.002
	}
	if targets > 0 && seed%4 == 1 {
		s.writers(150*time.Millisecond, 50*time.Millisecond)
	}
	bucket := 0
	for range 25 {
		s.disturb()
		for range s.rng.IntN(4) {
			bucket++
			n := s.primary()
			if n == nil || s.chance(0.3) {
				n = s.nodes[s.rng.IntN(len(s.nodes))]
			}
			n.create(fmt.Sprintf("bucket-%d", bucket), func(*meta.View, error) {})
		}
		s.readSomewhere()
		s.pass(s.random(4 * time.Second))
	}
	s.allWell()
	s.until("one state after healing", 60*time.Second, func() bool {
		return s.converged() && len(s.primary().inView.Smap.Nodes()) == len(s.nodes)
	})
	s.soonCreate("at-the-end", 15*time.Second)
	s.until("all follow", 15*time.Second, s.converged)
	s.until("all hold the cluster keys", 15*time.Second, s.keysAgree)
	s.until("all follow", 15*time.Second, s.converged)
	s.checkEnd()
	return s
}

// allWell ends everything that is wrong with the world.
func (s *sim) allWell() {
	s.heal()
	s.loss, s.duplicate, s.late, s.crash, s.delay, s.diskDelay = 0, 0, 0, 0, 5*time.Millisecond, 2*time.Millisecond
	for _, n := range s.nodes {
		n.repairDisk()
		if n.m == nil {
			n.start()
		}
	}
}

// disturb changes what is wrong with the world.
func (s *sim) disturb() {
	n := s.nodes[s.rng.IntN(len(s.nodes))]
	switch s.rng.IntN(18) {
	case 0, 1:
		n.kill()
	case 2, 3:
		if n.m == nil {
			n.start()
		}
	case 4:
		var a, b []*simNode
		for _, n := range s.nodes {
			if s.chance(0.5) {
				a = append(a, n)
			} else {
				b = append(b, n)
			}
		}
		s.partition(a, b)
	case 5:
		other := s.nodes[s.rng.IntN(len(s.nodes))]
		s.cut[[2]string{n.self.ID, other.self.ID}] = true // one way
	case 6:
		s.heal()
	case 7:
		s.loseState(n)
	case 8:
		if p := s.primary(); p != nil {
			p.kill()
		}
	case 9: // a stall that ends by itself
		n.stallDisk()
		s.after(s.random(6*time.Second), n.repairDisk)
	case 10:
		n.disk.fails = errSimDisk
		s.after(s.random(6*time.Second), n.repairDisk)
	case 11: // nothing that it says arrives, or nothing reaches it
		for _, other := range s.nodes {
			if s.chance(0.5) {
				s.cut[[2]string{n.self.ID, other.self.ID}] = true
			} else {
				s.cut[[2]string{other.self.ID, n.self.ID}] = true
			}
		}
	case 12:
		s.removeNode(n)
	case 13:
		if p := s.primary(); p != nil {
			p.request(func(m *machine, token uint64) { m.setPrimary(token, n.self.ID, 8*time.Second) }, func(reply) {})
		}
	case 14: // a quick restart
		n.kill()
		s.after(s.random(200*time.Millisecond), func() {
			if n.m == nil {
				n.start()
			}
		})
	}
}

// removeNode takes a node that is not the primary out of the map; it joins
// again by itself.
func (s *sim) removeNode(n *simNode) {
	p := s.primary()
	if p == nil || p == n {
		return
	}
	p.input(func(m *machine) {
		smap := m.view().Smap
		patch := &meta.SmapPatch{Del: []string{n.self.ID}}
		if m.smapBusy || smap.Node(n.self.ID) == nil || meta.MovesOwnership(smap, patch) {
			return
		}
		m.changeMap("remove", patch, 1, func(error) {})
	})
}

// loseState lets a node lose everything it has stored, once in a history, if
// the rest is still a majority by a wide margin.
func (s *sim) loseState(n *simNode) {
	if s.lost || n.found || s.crash > 0 || len(s.cut) > 0 || !s.converged() || len(s.up()) < len(s.nodes) {
		return
	}
	if conf := s.primary().m.rlog.conf; len(conf.GetVoters()) < 3 || len(conf.GetVotersOutgoing()) > 0 {
		return
	}
	for _, n := range s.nodes {
		if n.m.rlog.joint() {
			return
		}
	}
	s.lost = true
	n.kill()
	n.store = newMemStorage()
	if s.trust != nil && s.chance(0.3) {
		n.identity = nil // and its key file
	}
}

// readSomewhere reads through a random node: unless the answer is marked
// stale, it must show everything that was acknowledged before.
func (s *sim) readSomewhere() {
	n := s.nodes[s.rng.IntN(len(s.nodes))]
	if n.m == nil {
		return
	}
	before := make([]string, 0, len(s.acked))
	for name := range s.acked {
		before = append(before, name)
	}
	n.request(func(m *machine, token uint64) { m.barrier(token, false) }, func(r reply) {
		if r.err != nil || r.stale {
			return
		}
		for _, name := range before {
			if s.acked[name] == n.inView.Lineage && !hasBucket(n.inView, name) {
				s.fatalf("%s does not show bucket %s, acknowledged before the read", n.self, name)
			}
		}
	})
}
