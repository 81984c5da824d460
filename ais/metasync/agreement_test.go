package metasync

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/core/meta"
)

// repeat is Agent.Commit of a request with an id: build is called unless the
// request was decided before.
func (n *simNode) repeat(id string, build func(*meta.View) []meta.Change, then func(view *meta.View, built bool, err error)) {
	n.request(func(m *machine, token uint64) { m.recall(token, id) }, func(r reply) {
		if r.err != nil || r.done {
			then(r.view, false, r.err)
			return
		}
		cmd := &meta.Command{ID: r.id, Action: "test", Changes: build(n.m.view())}
		n.request(func(m *machine, token uint64) { m.commit(token, cmd) }, func(r reply) { then(r.view, true, r.err) })
	})
}

func TestRequestOfADeadPrimary(t *testing.T) {
	s := newTestSim(t, 301, 3, 3)
	s.startAll()
	s.settleVoters(5)
	build := func(v *meta.View) []meta.Change {
		changes, err := bucketChange(v, "once")
		if err != nil {
			t.Fatal(err)
		}
		return changes
	}
	old := s.primary()
	old.repeat("request", build, func(*meta.View, bool, error) {}) // the answer gets lost
	s.until("another node has it", time.Second, func() bool {
		return slices.ContainsFunc(s.nodes[1:], func(n *simNode) bool { return hasBucket(n.m.view(), "once") })
	})
	old.kill()
	s.until("failover", 10*time.Second, func() bool { return s.primary() != nil && s.primary() != old && s.converged() })
	answered := false
	s.primary().repeat("request", build, func(v *meta.View, built bool, err error) {
		answered = true
		if err != nil || built || !hasBucket(v, "once") {
			t.Errorf("the same request at the next primary: made anew %v, error %v", built, err)
		}
	})
	s.until("an answer", time.Second, func() bool { return answered })
}

// TestLostRaceIsMadeAnew: a command that came second is refused, is remembered
// as such, and does not stand in the way of the next attempt.
func TestLostRaceIsMadeAnew(t *testing.T) {
	s := newTestSim(t, 302, 3, 0)
	s.startAll()
	s.settleVoters(3)
	p := s.primary()
	stale := p.m.view()
	s.mustCreate(p, "first", time.Second)
	change := func(v *meta.View) []meta.Change {
		changes, err := bucketChange(v, "second")
		if err != nil {
			t.Fatal(err)
		}
		return changes
	}
	var got []error
	p.repeat("request", func(*meta.View) []meta.Change { return change(stale) }, func(_ *meta.View, _ bool, err error) { got = append(got, err) })
	s.until("refused", time.Second, func() bool { return len(got) == 1 })
	if !meta.IsStale(got[0]) {
		t.Fatalf("error %v", got[0])
	}
	for i, wantBuilt := range []bool{true, false} {
		p.repeat("request", change, func(v *meta.View, built bool, err error) {
			got = append(got, err)
			if built != wantBuilt || !hasBucket(v, "second") {
				t.Errorf("attempt %d: made anew %v, want %v", i, built, wantBuilt)
			}
		})
		s.until("answer", time.Second, func() bool { return len(got) == i+2 })
	}
	if got[1] != nil || got[2] != nil {
		t.Errorf("errors %v", got[1:])
	}
}

// TestOneCommandUnderWay: a request that is repeated while its command is
// under way shares its fate.
func TestOneCommandUnderWay(t *testing.T) {
	s := newTestSim(t, 303, 3, 0)
	s.startAll()
	s.settleVoters(3)
	p := s.primary()
	answers := 0
	for range 3 {
		changes, err := bucketChange(p.m.view(), "one")
		if err != nil {
			t.Fatal(err)
		}
		p.request(func(m *machine, token uint64) {
			m.commit(token, &meta.Command{ID: "same", Action: "create-bck", Changes: changes})
		}, func(r reply) {
			answers++
			if r.err != nil {
				t.Errorf("answer %d: %v", answers, r.err)
			}
		})
	}
	s.until("all are answered", time.Second, func() bool { return answers == 3 })
}

// commitChange commits one change at the primary.
func (s *sim) commitChange(action, kind string, patch any) {
	s.t.Helper()
	done := false
	p := s.primary()
	p.repeat("", func(v *meta.View) []meta.Change {
		change, err := meta.NewChange(v, kind, patch)
		if err != nil {
			s.fatalf("%v", err)
		}
		return []meta.Change{change}
	}, func(_ *meta.View, _ bool, err error) {
		if err != nil {
			s.fatalf("%s: %v", action, err)
		}
		done = true
	})
	s.until(action, 5*time.Second, func() bool { return done })
}

func TestDocumentsByRole(t *testing.T) {
	s := newTestSim(t, 304, 5, 5)
	s.limits = limits{keepEntries: 5, compactEntries: 5, recent: 3, pushed: 2}
	s.startAll()
	s.settleVoters(5)
	for i := range 12 {
		s.commitChange("operation", meta.KindOperations, &meta.OperationsPatch{Current: &meta.Operation{ID: "operation", Action: "test", Step: fmt.Sprint(i), Nodes: []string{"targt000"}}})
		s.commitChange("job", meta.KindJobs, &meta.TablePatch{Put: map[string]json.RawMessage{fmt.Sprint(i): json.RawMessage(`{}`)}})
		s.commitChange("token", meta.KindTokens, &meta.TablePatch{Put: map[string]json.RawMessage{fmt.Sprint(i): json.RawMessage(`{}`)}})
		if i == 6 {
			s.nodes[9].kill()
			s.nodes[4].kill()
		}
	}
	s.nodes[9].start()
	s.nodes[4].start()
	s.until("all agree", 20*time.Second, s.converged)
	s.checkEnd()
	for _, n := range s.nodes {
		v, member := n.inView, n.m.member()
		if (v.Voters != nil) != member || (v.Jobs != nil) != member || (v.Operations != nil) != (member || n.self.Role == meta.RoleProxy) || v.Tokens == nil {
			t.Errorf("%s (member %v) has voters %v, jobs %v, operations %v, tokens %v", n.self, member, v.Voters != nil, v.Jobs != nil, v.Operations != nil, v.Tokens != nil)
		}
	}
	// A member that leaves the group keeps nothing of it, in memory and on disk.
	var leaver *simNode
	for _, n := range s.nodes {
		if n.m.member() && n != s.primary() {
			leaver = n
		}
	}
	old := leaver.m.identity.RaftID
	s.primary().input(func(m *machine) {
		m.changeMap("remove", &meta.SmapPatch{Del: []string{leaver.self.ID}}, 1, func(err error) {
			if err != nil {
				t.Error(err)
			}
		})
	})
	s.until("it has left the group", 10*time.Second, func() bool { return s.converged() && !leaver.m.member() })
	for _, bucket := range []string{bucketEntries, bucketHard, bucketSnapshot} {
		if n := len(leaver.store.buckets[bucket]); n != 0 {
			t.Errorf("%d values of %q are stored", n, bucket)
		}
	}
	if leaver.inView.Jobs != nil || leaver.m.identity.RaftID == old {
		t.Error("it still has documents of members, or its old Raft id")
	}
	leaver.kill()
	leaver.start()
	s.until("it is back", 10*time.Second, s.converged)
	s.checkEnd()
}

// TestRefusedCommandIsRefusedEverywhere: a node that lacks the document that
// was stale comes to the same outcome.
func TestRefusedCommandIsRefusedEverywhere(t *testing.T) {
	s := newTestSim(t, 305, 3, 5)
	s.startAll()
	s.settleVoters(5)
	p := s.primary()
	job, err := meta.NewChange(p.m.view(), meta.KindJobs, &meta.TablePatch{Put: map[string]json.RawMessage{"a": json.RawMessage(`1`)}})
	if err != nil {
		t.Fatal(err)
	}
	s.commitChange("job", meta.KindJobs, &meta.TablePatch{Put: map[string]json.RawMessage{"b": json.RawMessage(`1`)}})
	changes, err := bucketChange(p.m.view(), "never")
	if err != nil {
		t.Fatal(err)
	}
	var got error
	p.request(func(m *machine, token uint64) {
		m.commit(token, &meta.Command{ID: "both", Action: "test", Changes: append(changes, job)})
	}, func(r reply) { got = r.err })
	s.until("refused", time.Second, func() bool { return got != nil })
	s.mustCreate(p, "after", 3*time.Second)
	s.until("all agree", 5*time.Second, s.converged)
	s.checkEnd()
	for _, n := range s.nodes {
		if hasBucket(n.inView, "never") {
			t.Errorf("%s has the bucket of the refused command", n.self)
		}
	}
}

// TestTwoPrimariesInARow: the primary and its successor are killed back to
// back; the next one in the order takes over.
func TestTwoPrimariesInARow(t *testing.T) {
	for seed := range uint64(12) {
		for _, targets := range []int{1, 3, 5} {
			s := newTestSim(t, 310+seed, 4, targets)
			s.startAll()
			s.settleVoters(5)
			first := s.primary()
			smap := first.inView.Smap
			second := s.node(smap.Successor(first.self.ID).ID)
			var third *meta.Snode
			for _, n := range smap.Pmap {
				if n.ID != first.self.ID && n.ID != second.self.ID && (third == nil || n.Digest > third.Digest) {
					third = n
				}
			}
			began := s.now
			first.kill()
			s.pass(s.random(300 * time.Millisecond))
			second.kill()
			s.until("the third takes over", 15*time.Second, func() bool { return s.primary() != nil && s.converged() })
			if got := s.primary().self.ID; got != third.ID {
				t.Errorf("seed %d, %d targets: primary is %s, want %s", seed, targets, got, third.ID)
			}
			if took := s.now.Sub(began); took > 8*time.Second {
				t.Errorf("seed %d, %d targets: it took %s", seed, targets, took)
			}
			s.mustCreate(s.primary(), "after", 10*time.Second)
		}
	}
}

// TestLastProxy: the proxies are lost one after another, and the last one goes
// on, with targets as voters where there are some.
func TestLastProxy(t *testing.T) {
	for _, c := range []struct{ proxies, targets, voters int }{{4, 3, 3}, {3, 0, 1}, {5, 1, 1}, {4, 6, 5}} {
		s := newTestSim(t, 330, c.proxies, c.targets)
		s.startAll()
		for left := c.proxies - 1; left > 0; left-- {
			for _, n := range s.nodes {
				if n.m != nil && n.self.Role == meta.RoleProxy && n != s.primary() {
					n.kill()
					break
				}
			}
			if left == 1 && c.targets == 0 {
				s.mustCreate(s.primary(), "alone", 10*time.Second) // who sees nobody removes nobody
				break
			}
			s.until("it is out of the map", 100*time.Second, func() bool { p := s.primary(); return p != nil && len(p.inView.Smap.Pmap) == left })
			s.mustCreate(s.primary(), fmt.Sprintf("left-%d", left), 10*time.Second)
		}
		s.settleVoters(c.voters)
	}
}

// TestPrimariesLostOneAfterAnother: each time the primary itself dies.
func TestPrimariesLostOneAfterAnother(t *testing.T) {
	for seed := range uint64(6) {
		s := newTestSim(t, 340+seed, 4, 3)
		s.startAll()
		s.settleVoters(5)
		for i := range 3 {
			old := s.primary()
			old.kill()
			s.until("another primary", 15*time.Second, func() bool { p := s.primary(); return p != nil && p != old && s.converged() })
			if smap := s.primary().inView.Smap; smap.Node(old.self.ID) != nil {
				t.Errorf("%s is still in the map", old.self)
			}
			s.mustCreate(s.primary(), fmt.Sprintf("bucket-%d", i), 10*time.Second)
		}
	}
}

func TestOneProxyManyTargets(t *testing.T) {
	s := newTestSim(t, 350, 1, 5)
	s.startAll()
	s.settleVoters(5)
	s.nodes[1].kill()
	s.nodes[2].kill()
	s.mustCreate(s.primary(), "three of five", 15*time.Second)
	p := s.primary()
	p.kill()
	s.pass(20 * time.Second)
	p.start()
	s.until("the proxy is primary again", 20*time.Second, func() bool { return s.primary() == p })
	s.mustCreate(p, "again", 20*time.Second)
}

// TestRemovedVoterLeavesAtOnce: with the command that removes a node from the
// map, its vote is gone, and the number of voters is odd (see checkGroup).
func TestRemovedVoterLeavesAtOnce(t *testing.T) {
	for seed := range uint64(5) {
		s := newTestSim(t, 360+seed, 3, 4)
		s.startAll()
		s.settleVoters(5)
		p := s.primary()
		var removed *simNode
		for _, n := range s.nodes {
			if n != p && n.m.member() {
				removed = n
			}
		}
		removed.kill()
		done := false
		p.repeat("remove", func(v *meta.View) []meta.Change {
			patch := &meta.SmapPatch{Del: []string{removed.self.ID}}
			change, err := meta.NewChange(v, meta.KindSmap, patch)
			if err != nil {
				t.Fatal(err)
			}
			return []meta.Change{change}
		}, func(v *meta.View, _ bool, err error) {
			done = true
			if err != nil {
				t.Errorf("seed %d: %v", seed, err)
				return
			}
			if _, ok := v.Voters.ByNode(removed.self.ID); ok || v.Smap.Node(removed.self.ID) != nil {
				t.Errorf("seed %d: it is still there", seed)
			}
			if n := len(p.m.rlog.conf.GetVoters()); n != 5 {
				t.Errorf("seed %d: %d voters, want 5: another node was there to take its place", seed, n)
			}
		})
		s.until("removed", 5*time.Second, func() bool { return done })
		removed.start()
		s.until("it is back", 20*time.Second, func() bool { return s.converged() && s.primary().inView.Smap.Node(removed.self.ID) != nil })
		s.settleVoters(5)
		s.checkEnd()
	}
}

// changePrimary asks the primary to make another node primary.
func (s *sim) changePrimary(to string, then func(error)) {
	s.primary().request(func(m *machine, token uint64) { m.setPrimary(token, to, 10*time.Second) }, func(r reply) { then(r.err) })
}

func TestSetPrimary(t *testing.T) {
	s := newTestSim(t, 370, 8, 2)
	s.startAll()
	s.settleVoters(5)
	for _, target := range s.nodes[:8] { // three of them have no vote at first
		old := s.primary()
		version := old.inView.Smap.Version
		var got error
		done := false
		s.changePrimary(target.self.ID, func(err error) { done, got = true, err })
		s.until("an answer", 10*time.Second, func() bool { return done })
		s.until("all agree", 5*time.Second, s.converged)
		smap := s.primary().inView.Smap
		if got != nil || s.primary() != target {
			t.Fatalf("error %v, primary %s, want %s", got, s.primary().self, target.self)
		}
		if old != target && smap.Version < version+100 {
			t.Errorf("map version %d after %d", smap.Version, version)
		}
		if smap.Node(old.self.ID) == nil || s.primary().m.view().Voters.Next != "" {
			t.Error("the old primary is gone, or the change is not over")
		}
		s.mustCreate(s.primary(), "by-"+target.self.ID, 5*time.Second)
	}
	s.checkEnd()
}

func TestSetPrimaryRefusals(t *testing.T) {
	s := newTestSim(t, 371, 3, 2)
	s.nodes[1].self.Flags = meta.FlagNonElectable
	s.startAll()
	p := s.primary()
	s.commitChange("maintenance", meta.KindSmap, &meta.SmapPatch{Put: []*meta.Snode{inMaintenance(p.inView.Smap.Node(s.nodes[2].self.ID))}})
	for _, c := range []struct {
		name, node string
		status     int
	}{
		{"unknown", "nobody", 404}, {"target", s.nodes[3].self.ID, 400}, {"non-electable", s.nodes[1].self.ID, 400},
		{"maintenance", s.nodes[2].self.ID, 400}, {"the primary itself", p.self.ID, 0},
	} {
		done := false
		version := p.m.view().Index
		s.changePrimary(c.node, func(err error) {
			done = true
			if (err == nil) != (c.status == 0) || err != nil && apierr.StatusOf(err) != c.status {
				t.Errorf("%s: error %v, want status %d", c.name, err, c.status)
			}
		})
		s.until("an answer", time.Second, func() bool { return done })
		if p.m.view().Index != version && c.status != 0 {
			t.Errorf("%s: something changed", c.name)
		}
	}
}

func inMaintenance(n *meta.Snode) *meta.Snode {
	changed := n.Clone()
	changed.Flags |= meta.FlagMaintenance
	return changed
}

// TestSecondChangeOfThePrimary at a time is refused, and does not disturb the
// first.
func TestSecondChangeOfThePrimary(t *testing.T) {
	s := newTestSim(t, 372, 3, 2)
	s.startAll()
	s.settleVoters(5)
	var others []*simNode
	for _, n := range s.nodes[:3] {
		if n != s.primary() {
			others = append(others, n)
		}
	}
	var first, second error
	answers := 0
	s.changePrimary(others[0].self.ID, func(err error) { first, answers = err, answers+1 })
	s.changePrimary(others[1].self.ID, func(err error) { second, answers = err, answers+1 })
	s.until("both are answered", 10*time.Second, func() bool { return answers == 2 })
	if first != nil || apierr.StatusOf(second) != 503 || !mentions(second, "is being changed already") {
		t.Errorf("the first: %v; the second: %v, want 503", first, second)
	}
	s.until("the first takes place", 10*time.Second, func() bool { return s.primary() == others[0] && s.converged() })
	s.checkEnd()
}

// TestSetPrimaryToADeadNode is given up, and leaves nothing behind.
func TestSetPrimaryToADeadNode(t *testing.T) {
	s := newTestSim(t, 372, 3, 2)
	s.startAll()
	s.settleVoters(5)
	p, dead := s.primary(), s.nodes[1]
	dead.kill()
	var errs []error
	s.changePrimary(dead.self.ID, func(err error) { errs = append(errs, err) })
	s.pass(time.Second)
	s.changePrimary(s.nodes[2].self.ID, func(err error) { errs = append(errs, err) })
	s.until("the second is refused", time.Second, func() bool { return len(errs) == 1 })
	if apierr.StatusOf(errs[0]) != 503 {
		t.Errorf("a second change at the same time: %v", errs[0])
	}
	s.mustCreate(p, "meanwhile", 10*time.Second)
	s.until("the first is given up", 12*time.Second, func() bool { return len(errs) == 2 })
	if apierr.StatusOf(errs[1]) != 503 || s.primary() != p || p.m.view().Voters.Next != "" {
		t.Errorf("error %v, primary %s, next %q", errs[1], s.primary().self, p.m.view().Voters.Next)
	}
	s.mustCreate(p, "afterwards", 10*time.Second)
}

// TestSetPrimaryWhileThePrimaryDies: the next leader settles it one way or the
// other.
func TestSetPrimaryWhileThePrimaryDies(t *testing.T) {
	for seed := range uint64(20) {
		s := newTestSim(t, 380+seed, 4, 2)
		s.startAll()
		s.settleVoters(5)
		old := s.primary()
		old.request(func(m *machine, token uint64) { m.setPrimary(token, s.nodes[3].self.ID, 10*time.Second) }, func(reply) {})
		s.pass(s.random(100 * time.Millisecond))
		old.kill()
		s.until("a primary", 15*time.Second, func() bool { return s.primary() != nil && s.converged() })
		s.until("nobody is next", 5*time.Second, func() bool { return s.primary().m.view().Voters.Next == "" })
		s.mustCreate(s.primary(), "after", 10*time.Second)
	}
}

// TestCommitsDuringTransfers: changes that fall into a change of the primary
// take place, once.
func TestCommitsDuringTransfers(t *testing.T) {
	s := newTestSim(t, 400, 3, 2)
	s.startAll()
	s.settleVoters(5)
	p := s.primary()
	done := 0
	s.changePrimary(s.nodes[1].self.ID, func(err error) {
		done++
		if err != nil {
			t.Error(err)
		}
	})
	var try func(i int)
	try = func(i int) {
		at := s.primary()
		if at == nil {
			at = p
		}
		at.repeat(fmt.Sprint("request", i), func(v *meta.View) []meta.Change {
			changes, err := bucketChange(v, fmt.Sprint("bucket-", i))
			if err != nil {
				t.Fatal(err)
			}
			return changes
		}, func(v *meta.View, _ bool, err error) {
			if err != nil {
				if !errors.Is(err, errDropped) && !errors.Is(err, errLost) && !meta.IsStale(err) && !isNotPrimary(err) {
					t.Errorf("bucket %d: %v", i, err)
				}
				s.after(50*time.Millisecond, func() { try(i) })
				return
			}
			done++
		})
	}
	for i := range 20 {
		s.after(s.random(400*time.Millisecond), func() { try(i) })
	}
	s.until("all are done", 10*time.Second, func() bool { return done == 21 })
	s.until("all agree", 5*time.Second, s.converged)
	for i := range 20 {
		if !hasBucket(s.primary().inView, fmt.Sprint("bucket-", i)) {
			t.Errorf("bucket %d is missing", i)
		}
	}
}
