package metasync

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"syscall"
	"testing"
	"time"
)

func TestFiftyNodes(t *testing.T) {
	s := newTestSim(t, 24, 10, 30)
	s.startAll()
	s.settleVoters(5)
	start := s.now
	s.mustCreate(s.primary(), "wide", 3*time.Second)
	if took := s.now.Sub(start); took > time.Second {
		t.Errorf("a change took %s", took)
	}

	// Now that there is a bucket, names change their owners: ten targets that
	// join at once come in by transitions.
	start = s.now
	placement := s.primary().inView.Placement.Ver()
	for i := range 10 {
		s.addNode(fmt.Sprintf("later%03d", i), "target", false).start()
	}
	s.until("ten more targets", 10*time.Second, func() bool {
		return s.converged() && s.primary().inView.Smap.CountTargets() == 40 && s.primary().inView.Transition.Now() == nil
	})
	t.Logf("ten targets joined forty nodes within %s, by %d changes of ownership", s.now.Sub(start), s.primary().inView.Placement.Ver()-placement)

	old := s.primary()
	start = s.now
	old.kill()
	s.until("failover", 10*time.Second, func() bool { return s.primary() != nil && s.converged() })
	t.Logf("another primary of fifty nodes after %s", s.now.Sub(start))
	s.checkEnd()
}

// TestFiftyAgents lets fifty control planes run in real time in one process.
func TestFiftyAgents(t *testing.T) {
	nodes := newTestNodes(t, 10, 40)
	start := time.Now()
	for _, n := range nodes {
		n.times = Timeouts{} // those of real clusters: fifty fast nodes are more than a small machine can do
		n.start()
	}
	all := func(version int64) bool {
		for _, n := range nodes {
			view := n.agent.View()
			if !n.agent.Joined() || view.Smap == nil || len(view.Smap.Pmap)+len(view.Smap.Tmap) != len(nodes) || view.BMD.Version < version || view.Transition.Now() != nil {
				return false
			}
		}
		return true
	}
	eventually(t, "fifty nodes with one map", func() bool { return all(1) })
	joined := time.Since(start)
	t.Logf("fifty nodes, one map after %s", joined)
}

// idle is what a cluster without work costs, per node and second.
type idle struct {
	bytes, messages float64 // of all nodes on average
	plain, primary  float64 // bytes of the busiest node without a vote, and of the primary
	cpu             time.Duration
}

func (i idle) String() string {
	return fmt.Sprintf("%.0f bytes in %.1f messages, CPU %s; without a vote at most %.0f bytes, primary %.0f bytes", i.bytes, i.messages, i.cpu, i.plain, i.primary)
}

// idleMinute lets a settled cluster do nothing for a minute.
func (s *sim) idleMinute() idle {
	const minute = time.Minute
	bytes, messages := map[*simNode]int{}, 0
	s.onBytes = func(from *simNode, n int) { bytes[from] += n; messages++ }
	before := threadTime()
	s.pass(minute)
	cpu := threadTime() - before
	s.onBytes = nil

	n := float64(len(s.nodes)) * minute.Seconds()
	i := idle{messages: float64(messages) / n, cpu: time.Duration(float64(cpu) / n)}
	for node, sent := range bytes {
		i.bytes += float64(sent) / n
		switch perSecond := float64(sent) / minute.Seconds(); {
		case node.m.primary():
			i.primary = perSecond
		case !node.m.member():
			i.plain = max(i.plain, perSecond)
		}
	}
	return i
}

// threadTime is the CPU time of this thread; the caller is locked to it.
func threadTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(rusageThread, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

const rusageThread = 1 // RUSAGE_THREAD of Linux

// TestIdleCostOfANode: what a node costs hardly depends on how many there are.
func TestIdleCostOfANode(t *testing.T) {
	const most = 1.3
	settled := func(proxies, targets int) *sim {
		s := newTestSim(t, 7, proxies, targets)
		s.startAll()
		s.settleVoters(5)
		s.mustCreate(s.primary(), "b", 3*time.Second)
		s.pass(10 * time.Second)
		return s
	}
	small, large := settled(3, 7), settled(10, 40)

	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // the collector works on other threads, and slows this one down
	// The work is the same each minute; what differs is what else the machine does.
	var ten, fifty idle
	for i := range 6 {
		a, b := small.idleMinute(), large.idleMinute()
		if i == 0 {
			ten, fifty = a, b
		}
		ten.cpu, fifty.cpu = min(ten.cpu, a.cpu), min(fifty.cpu, b.cpu)
		runtime.GC()
	}
	t.Logf("of 10 nodes, each second each: %v", ten)
	t.Logf("of 50 nodes, each second each: %v", fifty)
	for _, c := range []struct {
		what      string
		ten, many float64
	}{
		{"bytes", ten.bytes, fifty.bytes},
		{"messages", ten.messages, fifty.messages},
		{"bytes of a node without a vote", ten.plain, fifty.plain},
		{"CPU", float64(ten.cpu), float64(fifty.cpu)},
	} {
		if ratio := c.many / c.ten; ratio > most {
			t.Errorf("%s: %.2f times as much at 50 nodes as at 10, at most %.1f is allowed", c.what, ratio, most)
		} else {
			t.Logf("%s: %.2f times as much at 50 nodes as at 10", c.what, ratio)
		}
	}
}
