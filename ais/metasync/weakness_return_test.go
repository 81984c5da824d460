package metasync

import (
	"slices"
	"testing"
	"time"

	"github.com/aistore-go/aistore/core/meta"
)

// TestWhoJoinsIsNotDown: no node takes another one for down that has just come
// into the map, whether it is new or had been down, and out, for long.
func TestWhoJoinsIsNotDown(t *testing.T) {
	for seed := range uint64(10) {
		s := newTestSim(t, 2300+seed, 3, 3)
		s.startWriting()
		n := s.targets()[1]
		n.kill()
		in := func() bool { return slices.Contains(s.activeIDs(), n.self.ID) }
		s.until("out", 75*time.Second, func() bool { return !in() })
		watch := func(what string) {
			n.start()
			s.until(what, 10*time.Second, in)
			end := s.now.Add(3 * time.Second)
			s.until("all has settled", 4*time.Second, func() bool {
				for _, other := range s.up() {
					if _, down := other.m.downNodes[n.self.ID]; down && other.inView.Smap.Node(n.self.ID) != nil {
						s.fatalf("%s: %s takes %s for down", what, other.self, n.self)
					}
				}
				return !s.now.Before(end)
			})
		}
		watch("return")
		n = s.addNode("targt009", meta.RoleTarget, false)
		watch("join")
	}
}
