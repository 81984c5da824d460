package metasync

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/aistore-go/aistore/cmn/hrw"
	"github.com/aistore-go/aistore/core/meta"
)

// targets of the sim, in order.
func (s *sim) targets() []*simNode {
	var list []*simNode
	for _, n := range s.nodes {
		if n.self.Role == meta.RoleTarget {
			list = append(list, n)
		}
	}
	return list
}

// activeIDs are the targets that own names by the primary's map.
func (s *sim) activeIDs() []string {
	var ids []string
	if p := s.primary(); p != nil {
		for _, node := range p.m.view().Smap.ActiveTargets() {
			ids = append(ids, node.ID)
		}
	}
	return ids
}

// leased tells that all targets that are up may write what they own.
func (s *sim) leased() bool {
	for _, n := range s.targets() {
		if n.m != nil && !leaseHolds(n.m.lease.sent, n.now(), n.m.times.Lease) {
			return false
		}
	}
	return true
}

// startWriting brings a cluster up, with a bucket, and clients that write.
func (s *sim) startWriting() {
	s.t.Helper()
	s.startAll()
	s.mustCreate(s.primary(), "data", 5*time.Second)
	s.until("leases", 5*time.Second, s.leased)
	s.writers(100*time.Millisecond, 50*time.Millisecond)
}

func (s *sim) quiet() bool {
	p := s.primary()
	return p != nil && s.converged() && p.inView.Transition.Now() == nil
}

func TestFirstTargetsOwnAtOnce(t *testing.T) {
	s := newTestSim(t, 201, 1, 4)
	s.startAll()
	s.until("leases", 3*time.Second, s.leased)
	v := s.primary().inView
	if len(v.Smap.ActiveTargets()) != 4 || !v.Placement.Settled() || v.Transition.Now() != nil || v.RMD.Ver() != 0 {
		t.Errorf("map v%d of %d targets, placement %+v, transition %+v, rmd %d", v.Smap.Version, len(v.Smap.ActiveTargets()), v.Placement, v.Transition, v.RMD.Ver())
	}
	if took := s.now.Sub(simStart); took > 5*time.Second {
		t.Errorf("took %s", took)
	}
}

// TestDeadTargetGoesOut: down after 5 s, out after 60 s, without a rebalance,
// and back with one.
func TestDeadTargetGoesOut(t *testing.T) {
	s := newTestSim(t, 202, 3, 3)
	s.startWriting()
	dead := s.targets()[1]
	before := s.primary().inView
	dead.kill()
	killed := s.now
	s.until("down", 7*time.Second, func() bool { return s.primary().m.down(dead.self.ID) })
	if silent := s.now.Sub(killed); silent < 3*time.Second {
		t.Errorf("down after %s", silent)
	}
	s.until("out", 75*time.Second, func() bool { return !slices.Contains(s.activeIDs(), dead.self.ID) && s.quiet() })
	if silent := s.now.Sub(killed); silent < 55*time.Second {
		t.Errorf("out after %s", silent)
	}
	v := s.primary().inView
	if v.Placement.Settled() || v.RMD.Ver() != before.RMD.Ver() || v.Smap.Version <= before.Smap.Version || v.Placement.Version <= before.Placement.Version {
		t.Errorf("placement %+v, rmd %d, map v%d", v.Placement, v.RMD.Ver(), v.Smap.Version)
	}
	committed := s.committed
	dead.start()
	s.until("return", 10*time.Second, func() bool { return slices.Contains(s.activeIDs(), dead.self.ID) && s.quiet() && s.leased() })
	if v := s.primary().inView; v.RMD.Ver() != before.RMD.Ver()+1 || !slices.Equal(v.RMD.TargetIDs, []string{dead.self.ID}) {
		t.Errorf("rmd %+v", v.RMD)
	}
	s.pass(3 * time.Second)
	if s.committed == committed {
		t.Error("nobody writes any more")
	}
}

// TestRestartIsNoChangeOfOwnership: a target that is back in time is the same.
func TestRestartIsNoChangeOfOwnership(t *testing.T) {
	s := newTestSim(t, 203, 1, 3)
	s.startWriting()
	before := s.primary().inView
	n := s.targets()[0]
	n.kill()
	s.pass(20 * time.Second)
	n.start()
	s.until("return", 10*time.Second, func() bool { return s.converged() && s.leased() })
	if v := s.primary().inView; v.Placement != before.Placement || v.Transition != before.Transition || v.RMD != before.RMD {
		t.Errorf("placement %+v, transition %+v", v.Placement, v.Transition)
	}
}

// TestStoppedTargetHoldsATransitionUp until its lease has certainly ended; the
// commit that it was in the middle of is not acknowledged.
func TestStoppedTargetHoldsATransitionUp(t *testing.T) {
	s := newTestSim(t, 204, 3, 3)
	s.startWriting()
	stopped := s.targets()[2]
	name := 0
	for !stopped.mayCommit(name) {
		name++
	}
	stopped.write(name, 20*time.Millisecond)
	stopped.pause()
	began := s.now
	s.pass(time.Second)
	joiner := s.addNode("targt009", meta.RoleTarget, false)
	joiner.start()
	s.until("the joiner is in", 90*time.Second, func() bool { return slices.Contains(s.activeIDs(), joiner.self.ID) })
	if waited := s.now.Sub(began); waited < 55*time.Second || waited > 70*time.Second {
		t.Errorf("in after %s", waited)
	}
	s.pass(time.Second)
	committed := len(s.writes[name])
	for _, w := range s.writes[name][:committed] {
		if w.node == stopped.self.ID && w.to.After(began) {
			t.Errorf("acknowledged while it was stopped: %+v", w)
		}
	}
	stopped.resume()
	s.pass(10 * time.Millisecond)
	for _, w := range s.writes[name] {
		if w.node == stopped.self.ID && w.to.After(began) {
			t.Errorf("the write of before the stop was acknowledged after it: %+v", w)
		}
	}
	s.until("all is well again", 20*time.Second, func() bool { return s.quiet() && s.leased() })
	s.pass(3 * time.Second)
}

// TestDrainedTargetIsNotWaitedFor: one that stops on a signal and has said that
// it writes no more does not hold a change up; one that has not said so does.
func TestDrainedTargetIsNotWaitedFor(t *testing.T) {
	for _, drained := range []bool{true, false} {
		s := newTestSim(t, 212, 3, 3)
		s.startWriting()
		leaver := s.targets()[1]
		told := false
		leaver.request(func(m *machine, token uint64) { m.leave(token) }, func(reply) { told = true })
		s.until("the primary knows", 5*time.Second, func() bool { return told })
		if drained {
			told = false
			leaver.request(func(m *machine, token uint64) { m.drained(token) }, func(r reply) { told = r.err == nil })
			s.until("the primary knows that it has drained", 5*time.Second, func() bool { return told })
		}
		leaver.kill()
		began := s.now
		joiner := s.addNode("targt009", meta.RoleTarget, false)
		joiner.start()
		s.until("the joiner is in", 80*time.Second, func() bool { return slices.Contains(s.activeIDs(), joiner.self.ID) })
		if waited := s.now.Sub(began); drained && waited > 5*time.Second || !drained && waited < 50*time.Second {
			t.Errorf("drained %v: in after %s", drained, waited)
		}
		s.until("out", 80*time.Second, func() bool { return !slices.Contains(s.activeIDs(), leaver.self.ID) && s.quiet() })
		leaver.start()
		s.until("back", 20*time.Second, func() bool { return slices.Contains(s.activeIDs(), leaver.self.ID) && s.quiet() && s.leased() })
	}
}

// TestJoinerThatGivesUp: a transition for a target that is gone is cancelled.
func TestJoinerThatGivesUp(t *testing.T) {
	s := newTestSim(t, 205, 3, 3)
	s.startWriting()
	stopped := s.targets()[2]
	stopped.pause()
	joiner := s.addNode("targt009", meta.RoleTarget, false)
	joiner.start()
	s.until("pending", 5*time.Second, func() bool { return s.primary().inView.Transition.Now() != nil })
	joiner.kill()
	s.until("cancelled", 15*time.Second, func() bool { return s.primary().inView.Transition.Now() == nil })
	if slices.Contains(s.activeIDs(), joiner.self.ID) {
		t.Error("the joiner is in the map")
	}
	stopped.resume()
	s.until("leases", 10*time.Second, s.leased)
	joiner.start()
	s.until("in", 10*time.Second, func() bool { return slices.Contains(s.activeIDs(), joiner.self.ID) && s.quiet() })
}

// TestNewPrimaryCountsFromItsElection: leases that its predecessor granted
// may still hold.
func TestNewPrimaryCountsFromItsElection(t *testing.T) {
	s := newTestSim(t, 206, 3, 3)
	s.startWriting()
	s.settleVoters(5)
	stopped := s.targets()[1]
	stopped.pause()
	s.pass(40 * time.Second)
	s.primary().kill()
	killed := s.now
	s.until("failover", 15*time.Second, func() bool { return s.primary() != nil })
	s.until("out", 100*time.Second, func() bool { return !slices.Contains(s.activeIDs(), stopped.self.ID) })
	if waited := s.now.Sub(killed); waited < 58*time.Second {
		t.Errorf("out %s after the old primary's end", waited)
	}
	stopped.resume()
	s.until("return", 15*time.Second, func() bool { return slices.Contains(s.activeIDs(), stopped.self.ID) && s.quiet() && s.leased() })
}

// TestRemovalLimit: at most a third of the targets goes out in ten minutes.
func TestRemovalLimit(t *testing.T) {
	s := newTestSim(t, 207, 3, 6)
	s.startAll()
	for _, n := range s.targets()[:4] {
		n.kill()
	}
	s.pass(9 * time.Minute)
	if have := len(s.activeIDs()); have != 4 {
		t.Errorf("%d targets are left, want 4", have)
	}
	for _, n := range s.targets()[:4] {
		if !s.primary().m.down(n.self.ID) && slices.Contains(s.activeIDs(), n.self.ID) {
			t.Errorf("%s is not down", n.self.ID)
		}
	}
	s.pass(4 * time.Minute)
	if have := len(s.activeIDs()); have != 3 { // a third of four
		t.Errorf("%d targets are left, want 3", have)
	}
}

func TestProxiesHaveNoRemovalLimit(t *testing.T) {
	s := newTestSim(t, 208, 6, 3)
	s.startAll()
	s.settleVoters(5)
	for _, n := range s.nodes[2:6] {
		n.kill()
		s.pass(12 * time.Second)
	}
	s.until("all dead proxies are out", 90*time.Second, func() bool { return s.primary() != nil && len(s.primary().m.view().Smap.Pmap) == 2 })
}

func TestLastTargetStays(t *testing.T) {
	for _, proxies := range []int{1, 3} {
		s := newTestSim(t, 209, proxies, 1)
		s.startAll()
		s.targets()[0].kill()
		s.pass(5 * time.Minute)
		if have := s.activeIDs(); len(have) != 1 {
			t.Errorf("%d proxies: targets %v", proxies, have)
		}
	}
}

// TestOthersVouch cuts a target off from the primary only: it stays; and it
// goes once nobody else reaches it.
func TestOthersVouch(t *testing.T) {
	s := newTestSim(t, 210, 3, 3)
	s.startWriting()
	lonely := s.targets()[0]
	p := s.primary()
	for _, pair := range [][2]string{{p.self.ID, lonely.self.ID}, {lonely.self.ID, p.self.ID}} {
		s.cut[pair] = true
	}
	s.until("others vouch for it", 10*time.Second, func() bool { return p.m.vouched(lonely.self.ID) })
	for range 180 {
		s.pass(time.Second)
		if s.primary() == p && p.m.down(lonely.self.ID) {
			t.Fatalf("down although others reach it, after %s of silence", p.m.silence(lonely.self.ID))
		}
	}
	if s.primary() != p || !slices.Contains(s.activeIDs(), lonely.self.ID) {
		t.Fatalf("primary %s, targets %v", s.primary().self.ID, s.activeIDs())
	}
	if leaseHolds(lonely.m.lease.sent, lonely.now(), lonely.m.times.Lease) {
		t.Error("it may write although the primary does not hear it")
	}
	lonely.kill()
	s.until("out", 80*time.Second, func() bool { return !slices.Contains(s.activeIDs(), lonely.self.ID) })
}

// TestGatewayWithoutAPrimarySeesForItself which targets answer.
func TestGatewayWithoutAPrimarySeesForItself(t *testing.T) {
	s := newTestSim(t, 211, 3, 3)
	s.startAll()
	s.settleVoters(5)
	alone := s.nodes[2]
	targets := s.targets()
	s.partition([]*simNode{s.nodes[0], s.nodes[1], targets[0], targets[1]}, []*simNode{alone, targets[2]})
	s.until("it sees who answers", 30*time.Second, func() bool {
		_, one := alone.m.downNodes[targets[0].self.ID]
		_, two := alone.m.downNodes[targets[1].self.ID]
		_, three := alone.m.downNodes[targets[2].self.ID]
		return one && two && !three && alone.m.stale()
	})
	s.heal()
	s.until("it hears of the primary", 15*time.Second, func() bool { return !alone.m.stale() && len(alone.m.downNodes) == 0 })
}

// TestOwnershipHistories lets clients write while targets join, die, are
// stopped and continued, clocks run at different speeds and the network
// breaks: no name ever has two targets that may commit, and in the end all
// write again.
func TestOwnershipHistories(t *testing.T) {
	histories(t, 14, 6, func(seed uint64) { ownershipHistory(t, t, seed, mutationNone) })
}

// TestOwnershipMutations shows that the histories find deliberate bugs.
func TestOwnershipMutations(t *testing.T) {
	for _, c := range []struct {
		name    string
		bug     mutation
		first   uint64 // seed
		history func(t *testing.T, report testing.TB, seed uint64, bug mutation)
	}{
		{"a new primary does not count from its election", mutationHeirless, 1, joinAfterFailover},
		{"targets get leases whatever map they have", mutationOldMap, 1, ownershipHistory},
		{"silent targets are not waited for", mutationImpatient, 14, ownershipHistory},
	} {
		t.Run(c.name, func(t *testing.T) {
			for seed := c.first; seed < c.first+*mutationSeeds; seed++ {
				if what := ownershipBug(t, seed, c.bug, c.history); what != "" {
					t.Logf("found with seed %d: %.300s", seed, what)
					return
				}
			}
			t.Errorf("not found in %d histories", *mutationSeeds)
		})
	}
}

// ownershipBug runs one history with a bug and returns what was found.
func ownershipBug(t *testing.T, seed uint64, bug mutation, history func(*testing.T, testing.TB, uint64, mutation)) (what string) {
	t.Helper()
	defer func() {
		switch r := recover().(type) {
		case nil:
		case found:
			what = r.what
		default:
			panic(r)
		}
	}()
	history(t, finder{t}, seed, bug)
	return ""
}

// TestJoinAfterFailover: a target that nobody reaches goes on writing under a
// lease that the old primary granted, while another one joins at the new one.
func TestJoinAfterFailover(t *testing.T) {
	for seed := range uint64(5) {
		joinAfterFailover(t, t, seed, mutationNone)
	}
}

func joinAfterFailover(t *testing.T, report testing.TB, seed uint64, bug mutation) {
	t.Helper()
	s := newTestSim(t, 6000+seed, 3, 3)
	s.t, s.mutation = report, bug
	for _, n := range s.nodes {
		n.rate = 0.9 + 0.2*s.rng.Float64()
	}
	s.startWriting()
	s.settleVoters(5)
	alone := s.targets()[s.rng.IntN(3)]
	joiner := s.addNode("targt009", meta.RoleTarget, false)
	var rest []*simNode
	for _, n := range s.nodes {
		joiner.seeds = append(joiner.seeds, n.url())
		if n != alone {
			rest = append(rest, n)
		}
	}
	s.primary().kill()
	s.partition(rest, []*simNode{alone})
	cut := s.now
	joiner.start()
	s.until("a new primary", 20*time.Second, func() bool { return s.primary() != nil })
	s.until("the joiner is in", 100*time.Second, func() bool { return slices.Contains(s.activeIDs(), joiner.self.ID) })
	if waited := s.now.Sub(cut); waited < 50*time.Second && bug == mutationNone {
		s.fatalf("in %s after the others lost sight of a target", waited)
	}
	s.pass(5 * time.Second)
}

// weigh has the targets own names by other capacities, if a change of owners
// can begin now.
func (s *sim) weigh(rng *rand.Rand) {
	p := s.primary()
	if p == nil {
		return
	}
	patch := meta.SmapPatch{Unweighted: rng.IntN(5) == 0}
	if !patch.Unweighted {
		patch.Capacities = map[string]uint64{}
		for _, node := range p.m.view().Smap.Nodes() {
			if node.Role == meta.RoleTarget {
				patch.Capacities[node.ID] = 1 + rng.Uint64N(20)
			}
		}
	}
	p.input(func(m *machine) {
		m.changeOwnership("weigh", func(v *meta.View) ([]meta.Change, error) {
			return BeginTransition(v, &meta.PendingMap{Action: "weigh", Patch: patch})
		}, func(error) {}) // one may be under way
	})
}

// TestCapacitiesChangeInTwoSteps: while capacities change under writes no name
// has two targets that may commit, and the shares are those of the capacities.
func TestCapacitiesChangeInTwoSteps(t *testing.T) {
	s := newTestSim(t, 230, 3, 4)
	s.startWriting()
	s.settleVoters(5)
	rng := rand.New(rand.NewPCG(230, 1))
	changes, last := 0, s.primary().inView.Placement.Ver()
	for range 12 {
		s.weigh(rng)
		if rng.IntN(3) == 0 {
			s.primary().kill()
		}
		s.pass(s.random(8 * time.Second))
		for _, n := range s.nodes {
			if n.m == nil {
				n.start()
			}
		}
		s.until("it is in force everywhere", 100*time.Second, func() bool { return s.quiet() && s.leased() })
		if now := s.primary().inView.Placement.Ver(); now > last {
			changes, last = changes+1, now
		}
	}
	if changes < 6 {
		t.Errorf("capacities have changed %d times: this tests little", changes)
	}
	smap := s.primary().inView.Smap
	patch := &meta.SmapPatch{Capacities: map[string]uint64{}}
	for i, node := range smap.ActiveTargets() {
		patch.Capacities[node.ID] = 1 + uint64(9*min(i, 1))
	}
	s.primary().input(func(m *machine) {
		m.changeOwnership("weigh", func(v *meta.View) ([]meta.Change, error) {
			return BeginTransition(v, &meta.PendingMap{Action: "weigh", Patch: *patch})
		}, func(err error) {
			if err != nil {
				s.fatalf("%v", err)
			}
		})
	})
	s.until("the last ones are in force", 100*time.Second, func() bool {
		return s.quiet() && s.leased() && s.primary().inView.Smap.ActiveTargets()[1].Capacity == 10
	})
	first := 0
	for i := range 10_000 {
		if owner, err := s.primary().inView.Smap.Owner(hrw.Mix(uint64(i))); err == nil && owner == s.primary().inView.Smap.ActiveTargets()[0] {
			first++
		}
	}
	if first < 250 || first > 400 { // a 31st
		t.Errorf("a target of capacity 1 among three of 10 owns %d of 10000 names", first)
	}
	s.checkEnd()
}

func ownershipHistory(t *testing.T, report testing.TB, seed uint64, bug mutation) {
	t.Helper()
	s := newTestSim(t, 5000+seed, 0, 0)
	proxies, targets := 1+s.rng.IntN(3), 2+s.rng.IntN(3)
	s = newTestSim(t, 5000+seed, proxies, targets)
	s.t, s.mutation = report, bug
	for _, n := range s.nodes {
		n.rate = 0.9 + 0.2*s.rng.Float64()
	}
	if seed%3 == 0 {
		s.trusting()
	}
	s.startWriting()
	s.delay = time.Duration(1+s.rng.IntN(50)) * time.Millisecond
	s.applyDelay = s.random(80 * time.Millisecond)
	s.loss = s.rng.Float64() * 0.05
	joiners := 0
	others := rand.New(rand.NewPCG(seed, 1)) // so that histories without capacities are what they were
	for range 14 {
		if seed%4 == 3 && others.IntN(3) > 0 {
			s.weigh(others)
		}
		n := s.nodes[s.rng.IntN(len(s.nodes))]
		switch s.rng.IntN(9) {
		case 0, 1:
			if !n.paused {
				n.kill()
			}
		case 2:
			if n.m == nil {
				n.start()
			}
		case 3, 4:
			if n.m != nil {
				n.pause()
			}
		case 5:
			n.resume()
		case 6:
			var a, b []*simNode
			for _, n := range s.nodes {
				if s.chance(0.6) {
					a = append(a, n)
				} else {
					b = append(b, n)
				}
			}
			s.partition(a, b)
		case 7:
			s.heal()
		case 8:
			if joiners < 2 {
				joiners++
				j := s.addNode(fmt.Sprintf("targt%03d", 100+joiners), meta.RoleTarget, false)
				j.rate = 0.9 + 0.2*s.rng.Float64()
				j.start()
			}
		}
		s.pass(s.random(40 * time.Second))
	}
	s.heal()
	s.loss, s.delay = 0, 5*time.Millisecond
	for _, n := range s.nodes {
		n.resume()
		if n.m == nil {
			n.start()
		}
	}
	s.until("all is well again", 200*time.Second, func() bool {
		return s.quiet() && s.leased() && len(s.primary().inView.Smap.Nodes()) == len(s.nodes)
	})
	s.until("all hold the cluster keys", 15*time.Second, s.keysAgree)
	committed := s.committed
	s.pass(5 * time.Second)
	if s.committed <= committed {
		s.fatalf("nobody writes any more")
	}
}
