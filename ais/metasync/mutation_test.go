package metasync

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/aistore-go/aistore/core/meta"
)

var mutationSeeds = flag.Uint64("sim.mutationseeds", 30, "histories in which each deliberate bug must be found; in a quarter as many without one, nothing")

// TestMutations shows that the simulation finds deliberate bugs: each of them
// within some seeded histories, and nothing without a bug.
func TestMutations(t *testing.T) {
	for _, c := range []struct {
		name     string
		mutation mutation
	}{
		{"none", mutationNone},
		{"the vote is not stored", mutationForgottenVote},
		{"pushes of earlier leaders are taken", mutationAnyTerm},
		{"a removed node keeps its vote", mutationGhostVoter},
		{"a change is answered before a majority has it", mutationEarlyAnswer},
		{"a primary that stepped down goes on", mutationRetiredPrimary},
		{"promises do not wait for the disk", mutationEagerAnswer},
	} {
		t.Run(c.name, func(t *testing.T) {
			most := *mutationSeeds
			if c.mutation == mutationNone { // the others end with the first that finds the bug
				most /= 4
				if testing.Short() {
					most = min(most, 2)
				}
			}
			for seed := uint64(1); seed <= most; seed++ {
				what := findBug(t, 70_000+seed, c.mutation)
				switch {
				case what == "":
				case c.mutation == mutationNone:
					t.Fatalf("seed %d: %s", seed, what)
				default:
					t.Logf("found with seed %d: %.300s", seed, what)
					return
				}
			}
			if c.mutation != mutationNone {
				t.Errorf("not found in %d histories", *mutationSeeds)
			}
		})
	}
}

// found ends a history in which something is wrong.
type found struct{ what string }

// finder takes the place of the test in a history that may fail.
type finder struct{ testing.TB }

func (finder) Helper()                        {}
func (finder) Log(...any)                     {}
func (finder) Logf(string, ...any)            {}
func (finder) Fatalf(format string, a ...any) { panic(found{fmt.Sprintf(format, a...)}) }

// findBug runs one history and returns what was found. A panic of raft, which
// finds its log inconsistent, counts.
func findBug(t *testing.T, seed uint64, bug mutation) (what string) {
	t.Helper()
	s := newTestSim(t, seed, 0, 0)
	s = newTestSim(t, seed, 3+2*(s.rng.IntN(4)/3), s.rng.IntN(2))
	s.t = finder{t}
	defer func() {
		switch r := recover().(type) {
		case nil:
		case found:
			what = r.what
		default:
			what = fmt.Sprint(r)
		}
	}()
	s.mutation = bug
	s.ambush(25)
	return ""
}

// ambush is a history that does at each moment what hurts most: nodes crash
// right after they have promised something, votes arrive late, primaries are
// cut off with changes in their hands.
func (s *sim) ambush(rounds int) {
	s.startAll()
	s.delay, s.diskDelay = 20*time.Millisecond, 30*time.Millisecond
	s.late, s.duplicate = 0.02, 0.1
	s.onRaft = s.crashAfterVote
	bucket := 0
	for range rounds {
		p := s.primary()
		if p == nil {
			p = s.nodes[s.rng.IntN(len(s.nodes))]
		}
		switch s.rng.IntN(12) {
		case 0: // changes at a primary that nobody else hears from
			s.cutOff(p)
		case 1, 2: // a race for its place
			p.kill()
			s.after(s.random(400*time.Millisecond), func() {
				if p.m == nil {
					p.start()
				}
			})
		case 3: // it is cut off, and finds another one when it is back
			s.cutOff(p)
			s.after(5*time.Second+s.random(4*time.Second), s.heal)
		case 4: // it dies for longer
			p.kill()
		case 5:
			s.removeNode(s.nodes[s.rng.IntN(len(s.nodes))])
		case 7, 8, 9, 10:
			s.race(p)
		case 6:
			s.heal()
			for _, n := range s.nodes {
				if n.m == nil {
					n.start()
				}
			}
		}
		for range 3 {
			bucket++
			at := p
			if s.chance(0.3) {
				at = s.nodes[s.rng.IntN(len(s.nodes))]
			}
			at.create(fmt.Sprintf("bucket-%d", bucket), func(*meta.View, error) {})
		}
		s.readSomewhere()
		s.pass(s.random(5 * time.Second))
	}
	s.onRaft = nil
	s.allWell()
	s.until("one state after healing", 90*time.Second, func() bool {
		return s.converged() && len(s.primary().inView.Smap.Nodes()) == len(s.nodes)
	})
	s.checkEnd()
}

// race lets all others stand for election at once after a primary died; it is
// back in time to vote. They do not hear from each other, only from it.
func (s *sim) race(p *simNode) {
	p.kill()
	for _, a := range s.nodes {
		for _, b := range s.nodes {
			s.cut[[2]string{a.self.ID, b.self.ID}] = a != b && a != p && b != p
		}
	}
	s.after(2*time.Second, s.heal)
	s.after(1100*time.Millisecond, func() {
		for _, n := range s.nodes {
			if n != p && n.m != nil && n.m.member() && n.m.mayTakePart() {
				n.input(func(m *machine) { _ = m.raft.Campaign() }) // it may not be allowed to
			}
		}
		if p.m == nil {
			p.start()
		}
	})
}

// cutOff separates a node from all others, in one direction or both.
func (s *sim) cutOff(n *simNode) {
	in, out := s.chance(0.7), s.chance(0.7)
	for _, other := range s.nodes {
		if other != n {
			s.cut[[2]string{other.self.ID, n.self.ID}] = in || !out
			s.cut[[2]string{n.self.ID, other.self.ID}] = out
		}
	}
}

// crashAfterVote lets requests for votes come late, and voters crash right
// after they have voted.
func (s *sim) crashAfterVote(from *simNode, msg *raftpb.Message) (late time.Duration) {
	switch msg.GetType() {
	case raftpb.MsgVote, raftpb.MsgPreVote:
		return s.random(300 * time.Millisecond)
	case raftpb.MsgVoteResp:
		if !msg.GetReject() && s.chance(0.8) {
			life := from.life
			s.after(time.Millisecond, func() {
				if from.life == life && from.m != nil {
					from.kill()
					s.after(s.random(20*time.Millisecond), func() {
						if from.m == nil {
							from.start()
						}
					})
				}
			})
		}
	}
	return 0
}
