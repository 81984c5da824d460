package metasync

import (
	"fmt"
	"slices"
	"time"

	"github.com/aistore-go/aistore/cmn/hrw"
	"github.com/aistore-go/aistore/core/meta"
)

// simTime is a node's own clock, and a process that can be stopped and
// continued as by SIGSTOP and SIGCONT.
type simTime struct {
	rate   float64 // of the node's clock, 0: 1
	paused bool
	frozen []func() // what waits for SIGCONT, in order
	writes writes
}

var simStart = time.Unix(1_800_000_000, 0)

// now is the time by the node's own clock.
func (n *simNode) now() time.Time {
	if n.rate == 0 {
		return n.s.now
	}
	return simStart.Add(time.Duration(float64(n.s.now.Sub(simStart)) * n.rate))
}

// real is how long a time by the node's clock takes.
func (n *simNode) real(d time.Duration) time.Duration {
	if n.rate == 0 {
		return d
	}
	return time.Duration(float64(d) / n.rate)
}

// stopped keeps what a stopped process does not do now.
func (n *simNode) stopped(later func()) bool {
	if n.paused {
		n.frozen = append(n.frozen, later)
	}
	return n.paused
}

func (n *simNode) pause() { n.paused = true }

func (n *simNode) resume() {
	if !n.paused {
		return
	}
	n.paused = false
	frozen := n.frozen
	n.frozen = nil
	for _, f := range frozen {
		f()
	}
}

// inEffect puts a view into effect and then, as a target, reports a
// transition once no earlier commit is under way.
func (n *simNode) inEffect(view *meta.View) {
	if n.stopped(func() { n.inEffect(view) }) || n.m == nil || view.Index < n.inView.Index && view.Lineage == n.inView.Lineage {
		return
	}
	if n.inView.Lineage != view.Lineage {
		n.writes.wanted, n.writes.reported = 0, 0
	}
	n.inView = view
	n.s.checkOwners()
	n.input(func(m *machine) { m.inEffect(view.Index) })
	if n.self.Role == meta.RoleTarget && view.Transition.Now() != nil {
		n.writes.wanted = view.Transition.Version
		n.drained()
	}
}

// simNames is how many names the simulated clients write.
const simNames = 12

func simName(i int) uint64 { return hrw.Digest(fmt.Sprintf("ais/@#/b/name-%d", i)) }

// writes are the commits under way at one target, by the rules of the guard
// of real targets: checked at the beginning, counted, and checked again before
// the acknowledgement.
type writes struct {
	flying   []*simWrite
	wanted   int64 // transition to be reported
	reported int64
}

type simWrite struct {
	name  int
	begun time.Time // real
	rules int64     // transition in effect when it began
	life  int
}

// mayCommit is what a target's guard decides.
func (n *simNode) mayCommit(name int) bool {
	if n.m == nil || n.self.Role != meta.RoleTarget || n.inView.Smap == nil || n.m.fencedWhy() != "" {
		return false
	}
	owner, err := n.inView.Smap.Owner(simName(name))
	if err != nil || owner.ID != n.self.ID {
		return false
	}
	if p := n.inView.Transition.Now(); p != nil && p.Owner(simName(name)) != n.self.ID {
		return false
	}
	return leaseHolds(n.m.lease.sent, n.now(), n.m.times.Lease)
}

// drained reports the transition that is wanted if nothing older is flying.
func (n *simNode) drained() {
	w := &n.writes
	if w.wanted == w.reported || n.m == nil {
		return
	}
	for _, f := range w.flying {
		if f.life == n.life && f.rules < w.wanted {
			return
		}
	}
	w.reported = w.wanted
	n.input(func(m *machine) { m.quiesce(w.wanted) })
}

// write is a client's PUT at a target: the commit takes a while.
func (n *simNode) write(name int, took time.Duration) {
	if n.paused || !n.mayCommit(name) {
		return
	}
	n.s.attempts++
	w := &simWrite{name: name, begun: n.s.now, rules: n.inView.Transition.Ver(), life: n.life}
	n.writes.flying = append(n.writes.flying, w)
	n.s.after(took, func() { n.finish(w) })
}

func (n *simNode) finish(w *simWrite) {
	if n.life != w.life || n.stopped(func() { n.finish(w) }) {
		return
	}
	n.writes.flying = slices.DeleteFunc(n.writes.flying, func(f *simWrite) bool { return f == w })
	if leaseHolds(n.m.lease.sent, n.now(), n.m.times.Lease) {
		n.s.acknowledge(n, w)
	}
	n.drained()
}

// acknowledged is one write that a client was told about.
type acknowledged struct {
	node     string
	from, to time.Time
}

// acknowledge asserts that no other target had a commit of the same name
// acknowledged within the time of this one.
func (s *sim) acknowledge(n *simNode, w *simWrite) {
	a := acknowledged{node: n.self.ID, from: w.begun, to: s.now}
	for _, b := range s.writes[w.name] {
		if b.node != a.node && a.from.Before(b.to) && b.from.Before(a.to) {
			s.fatalf("name %d: %s acknowledged a write of %s to %s, and %s one of %s to %s", w.name,
				a.node, a.from.Sub(simStart), a.to.Sub(simStart), b.node, b.from.Sub(simStart), b.to.Sub(simStart))
		}
	}
	if s.writes == nil {
		s.writes = map[int][]acknowledged{}
	}
	s.writes[w.name] = append(s.writes[w.name], a)
	s.committed++
}

// checkOwners asserts that no name has two targets that may commit now.
func (s *sim) checkOwners() {
	for name := range simNames {
		owner := ""
		for _, n := range s.nodes {
			if n.paused || !n.mayCommit(name) {
				continue
			}
			if owner != "" {
				s.fatalf("%s and %s may both commit name %d", owner, n.self.ID, name)
			}
			owner = n.self.ID
		}
	}
}

// writers let clients write at every target all the time.
func (s *sim) writers(every, longest time.Duration) {
	s.after(s.random(every), func() {
		s.checkOwners()
		for _, n := range s.nodes {
			if n.self.Role == meta.RoleTarget {
				n.write(s.rng.IntN(simNames), s.random(longest)+time.Millisecond)
			}
		}
		s.writers(every, longest)
	})
}
