package metasync

import (
	"testing"
	"time"
)

// A target that went out and comes back has shown no sign since it is in the
// map; it must not be told to be down for that.
func TestNodeThatComesBackIsNotDown(t *testing.T) {
	for seed := range uint64(5) {
		s := newTestSim(t, 300+seed, 3, 4)
		s.startAll()
		s.settleVoters(5)
		s.mustCreate(s.primary(), "b", 3*time.Second)
		back := s.nodes[len(s.nodes)-1]
		back.kill()
		inMap := func() bool { return s.primary() != nil && s.primary().inView.Smap.Node(back.self.ID) != nil }
		s.until("out", 90*time.Second, func() bool { return !inMap() })
		// At once: nobody has asked meanwhile who is down.
		back.start()
		s.until("in", 10*time.Second, inMap)
		s.pass(200 * time.Millisecond) // two ticks
		for end := s.now.Add(4 * time.Second); s.now.Before(end); {
			s.step()
			for _, n := range s.up() {
				if _, down := n.m.downNodes[back.self.ID]; down {
					t.Fatalf("seed %d: %s takes it for down", seed, n.self)
				}
			}
		}
	}
}
