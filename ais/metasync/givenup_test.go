package metasync

import (
	"fmt"
	"testing"
	"time"

	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// bucketID is the id of a bucket that a node knows, 0 if it does not.
func bucketID(view *meta.View, name string) uint64 {
	if props, ok := view.BMD.Get(wire.Bck{Name: name, Provider: wire.ProviderAIS}); ok {
		return props.BID
	}
	return 0
}

// onlyThere are the names of the buckets that a node has given up.
func (n *simNode) onlyThere() (names []string) {
	for _, g := range n.m.givenUp {
		for i := range g.Buckets {
			names = append(names, g.Buckets[i].Bck.Name)
		}
	}
	return names
}

// TestWhatOnlyOneHistoryHasIsTold: two halves of a cluster that could not see
// each other each made a bucket, one of them after a restart by force. The half
// that is given up says what the other has not, also after a restart; no bucket
// of one has the id of one of the other.
func TestWhatOnlyOneHistoryHasIsTold(t *testing.T) {
	for seed := range uint64(4) {
		s := newTestSim(t, 190+seed, 3, 3)
		s.startAll()
		s.settleVoters(5)
		s.mustCreate(s.primary(), "both", 3*time.Second)
		old := s.primary().inView
		voters := s.voters()
		var left *simNode
		for _, n := range voters {
			if n.self.Role == meta.RoleProxy && n != s.primary() {
				left = n
			}
		}
		var rest []*simNode
		for _, n := range s.nodes {
			if n != left {
				rest = append(rest, n)
			}
		}
		s.partition([]*simNode{left}, rest)
		s.until("the rest goes on", 20*time.Second, func() bool {
			p := s.primary()
			return p != nil && p != left && p.inView.Smap.IsPrimary(p.self.ID)
		})
		s.mustCreate(s.primary(), "theirs", 15*time.Second)
		s.pass(8 * time.Second)
		theirs := bucketID(s.primary().inView, "theirs")
		for _, n := range rest {
			n.kill()
		}
		s.heal()
		s.pass(8 * time.Second)
		done, err := left.forceRestart(old.Lineage)
		if err != nil {
			s.fatalf("forced restart: %v", err)
		}
		s.until("the new lineage works", 10*time.Second, func() bool { return s.primary() == left && s.converged() })
		s.mustCreate(left, "ours", 15*time.Second)
		if ours := bucketID(left.inView, "ours"); ours == 0 || theirs == 0 || ours == theirs {
			s.fatalf("bucket ids %d and %d", ours, theirs)
		}
		for _, n := range rest {
			n.start()
		}
		for _, n := range rest {
			s.until(n.self.ID+" is fenced", 20*time.Second, func() bool { return n.fenced(done.Lineage) })
		}
		for _, n := range rest {
			if err := n.rejoin(old.UUID, done.Lineage); err != nil {
				s.fatalf("rejoin of %s: %v", n.self, err)
			}
			if s.chance(0.5) { // a crash right after it
				n.kill()
				n.start()
			}
		}
		s.until("one cluster", 60*time.Second, s.converged)
		s.pass(time.Second)
		knew := 0
		for _, n := range rest {
			told := n.onlyThere()
			switch {
			case len(told) == 1 && told[0] == "theirs":
				knew++
			case len(told) > 0: // one that had not heard of it has nothing to tell
				s.fatalf("%s: only the history it gave up has %q", n.self, told)
			}
			if len(n.m.givenUp) != 1 || n.m.givenUp[0].Lineage != old.Lineage || n.m.givenUp[0].Into != done.Lineage {
				s.fatalf("%s: %+v", n.self, n.m.givenUp)
			}
			documents, err := meta.DecodeView(n.m.givenUp[0].Documents)
			if err != nil || !hasBucket(documents, "both") || documents.Smap == nil {
				s.fatalf("%s: kept documents: %v", n.self, err)
			}
			n.kill()
			n.start()
			if again := n.onlyThere(); fmt.Sprint(again) != fmt.Sprint(told) {
				s.fatalf("%s told of %q, and after a restart of %q", n.self, told, again)
			}
		}
		if knew < 3 { // a majority has acknowledged it
			s.fatalf("%d nodes tell of the bucket that is lost", knew)
		}
		if len(left.m.givenUp) > 0 {
			s.fatalf("%s has given nothing up: %+v", left.self, left.m.givenUp)
		}
		s.until("one cluster", 60*time.Second, s.converged)
		delete(s.acked, "theirs")
		s.checkEnd()
	}
}

// TestGivenUpHistoriesAreBounded keeps the newest.
func TestGivenUpHistoriesAreBounded(t *testing.T) {
	s := newTestSim(t, 199, 1, 0)
	s.startAll()
	m := s.nodes[0].m
	m.givenUp = nil
	for i := range maxGivenUp + 3 {
		m.state.view.Lineage = fmt.Sprintf("lineage-%d", i)
		if err := m.keepDocuments(); err != nil {
			t.Fatal(err)
		}
	}
	if first, last := m.givenUp[0], m.givenUp[len(m.givenUp)-1]; len(m.givenUp) != maxGivenUp || first.Lineage != "lineage-3" || last.key != maxGivenUp+2 {
		t.Errorf("%d are kept, from %s to %s (%d)", len(m.givenUp), first.Lineage, last.Lineage, last.key)
	}
	if w := m.out.writes[len(m.out.writes)-2]; w.bucket != bucketGivenUp || w.value != nil || w.end != 3 {
		t.Errorf("removed: %+v", w)
	}
}

// TestAgentRejoinTellsWhatIsLost: the answer to the operator names the buckets
// that the cluster does not have, with their properties.
func TestAgentRejoinTellsWhatIsLost(t *testing.T) {
	t.Parallel()
	nodes := newTestNodes(t, 3, 0)
	startNodes(t, nodes)
	createSoon(t, nodes, "both")
	before := nodes[0].agent.View()
	eventually(t, "three voters", func() bool {
		for _, n := range nodes {
			if !n.agent.Status().Voter {
				return false
			}
		}
		return true
	})
	left := nodes[2]
	left.kill()
	createSoon(t, nodes[:2], "only-there")
	eventually(t, "both know it", func() bool {
		return hasBucket(nodes[0].agent.View(), "only-there") && hasBucket(nodes[1].agent.View(), "only-there")
	})
	nodes[0].kill()
	nodes[1].kill()
	left.start()
	var lineage string
	eventually(t, "the forced restart", func() bool {
		done, err := left.agent.ForceRestart(timeout(t), before.Lineage, nil)
		if err == nil {
			lineage = done.Lineage
		}
		return err == nil
	})
	for i, n := range nodes[:2] {
		n.start()
		eventually(t, n.self.ID+" is fenced", func() bool { return n.agent.Fenced() != "" })
		done, err := n.agent.Rejoin(timeout(t), before.UUID, lineage)
		if err != nil || !done.Joined {
			t.Fatalf("%+v: %v", done, err)
		}
		g := done.GivenUp
		if g == nil || g.Lineage != before.Lineage || g.Joined != lineage || len(g.Buckets) != 1 || g.Buckets[0].Name != "ais://only-there" || g.Buckets[0].Taken != (i == 1) || len(g.Buckets[0].Props) < 10 {
			t.Fatalf("%s tells of %+v", n.self.ID, g)
		}
		if i == 0 {
			createSoon(t, []*testNode{left, n}, "only-there")
			eventually(t, "the name is taken", func() bool {
				list := n.agent.GivenUp()
				return len(list) == 1 && list[0].Buckets[0].Taken
			})
		}
	}
}
