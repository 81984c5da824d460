package metasync

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/aistore-go/aistore/core/meta"
)

// TestLineageHistories disturbs clusters at random: kills and restarts, at
// other addresses, partitions, an operator who restarts by force whatever
// refuses to go on, and what was lost returning later. Two lineages never both
// commit while they reach each other, and in the end there is one cluster.
func TestLineageHistories(t *testing.T) {
	forced := 0
	count := histories(t, 20, 8, func(seed uint64) { forced += lineageHistory(t, seed) })
	if count >= 8 && forced < int(count)/3 {
		t.Errorf("only %d forced restarts in %d histories: this tests little", forced, count)
	}
}

func lineageHistory(t *testing.T, seed uint64) (forced int) {
	s := newTestSim(t, 5000+seed, 1, 0)
	proxies, targets := 1+s.rng.IntN(5), s.rng.IntN(4)
	s = newTestSim(t, 5000+seed, proxies, targets)
	if seed%3 == 1 {
		s.trusting()
	}
	s.startAll()
	uuid := s.primary().inView.UUID
	s.delay, s.loss = time.Duration(1+s.rng.IntN(30))*time.Millisecond, s.rng.Float64()*0.05
	if s.chance(0.5) { // crashes at every write
		s.crash = s.rng.Float64() * 0.002
	}
	bucket := 0
	for round := range 20 {
		n := s.nodes[s.rng.IntN(len(s.nodes))]
		switch s.rng.IntN(9) {
		case 0, 1, 2:
			n.kill()
		case 3, 4:
			if n.m == nil {
				if n != s.nodes[0] && s.chance(0.3) { // somebody must be where he is known to be
					n.move(fmt.Sprintf("round-%d", round))
				}
				n.start()
			}
		case 5:
			var a, b []*simNode
			for _, n := range s.nodes {
				if s.chance(0.5) {
					a = append(a, n)
				} else {
					b = append(b, n)
				}
			}
			s.partition(a, b)
		case 6:
			s.heal()
		case 7, 8:
			if p := s.primary(); p != nil && p != n && s.chance(0.5) { // more is lost than the cluster survives
				for _, v := range s.voters() {
					if v != n && s.chance(0.8) {
						v.kill()
					}
				}
				s.watch(2 * time.Second)
			}
			if n.m != nil && n.m.identity.UUID != "" && s.primary() == nil {
				if _, err := n.forceRestart(n.lineage()); err == nil {
					forced++
				}
			}
		}
		if p := s.primary(); p != nil {
			bucket++
			p.create(fmt.Sprintf("bucket-%d", bucket), func(*meta.View, error) {})
		}
		s.readSomewhere()
		s.watch(s.random(6 * time.Second))
	}
	s.heal()
	s.loss, s.crash, s.delay = 0, 0, 5*time.Millisecond
	for _, n := range s.nodes {
		n.seeds = []string{s.nodes[0].url()}
		if n.m == nil {
			n.start()
		}
	}
	s.watch(20 * time.Second)
	s.unite(uuid)
	s.until("one cluster of all", 120*time.Second, func() bool { return s.converged() && len(s.primary().inView.Smap.Nodes()) == len(s.nodes) })
	s.soonCreate("at-the-end", 15*time.Second)
	s.until("all hold the cluster keys", 15*time.Second, s.keysAgree)
	s.until("all follow", 20*time.Second, s.converged)
	s.checkEnd()
	return forced
}

// unite does what an operator does: there must be one lineage that is in
// force; all others rejoin it.
func (s *sim) unite(uuid string) {
	s.t.Helper()
	leaders := s.rulers()
	if len(leaders) != 1 {
		s.fatalf("%d lineages are led, want 1: %v", len(leaders), slices.Sorted(maps.Keys(leaders)))
	}
	for lineage := range leaders {
		for _, n := range s.nodes {
			if n.m.identity.Lineage == lineage {
				continue
			}
			if !n.m.superseded() {
				s.fatalf("%s has lineage %s, not %s, and is not fenced: %q", n.self, n.lineage(), lineage, n.m.fencedWhy())
			}
			if err := n.rejoin(uuid, lineage); err != nil {
				s.fatalf("rejoin of %s: %v", n.self, err)
			}
		}
	}
}
