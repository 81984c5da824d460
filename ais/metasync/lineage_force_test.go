package metasync

import (
	"slices"
	"testing"
	"time"

	"github.com/aistore-go/aistore/core/meta"
)

// TestForcedRestartIsRefusedWhileAMajorityAnswers: an operator cannot split a
// cluster that can go on by itself.
func TestForcedRestartIsRefusedWhileAMajorityAnswers(t *testing.T) {
	s := newTestSim(t, 101, 3, 3)
	s.startAll()
	s.settleVoters(5)
	lineage := s.primary().lineage()
	for _, n := range []*simNode{s.nodes[0], s.nodes[1], s.nodes[5]} {
		if _, err := n.forceRestart(lineage); !mentions(err, "leads the cluster") && !mentions(err, "a majority") {
			t.Errorf("at %s: error %v", n.self, err)
		}
	}
	// Two of five voters are gone: still a majority, also before it has a leader.
	s.primary().kill()
	for _, n := range s.nodes {
		if n.m != nil && n.self.Role == meta.RoleTarget && n.m.rlog.voter(n.m.identity.RaftID) {
			n.kill()
			break
		}
	}
	if _, err := s.nodes[1].forceRestart(lineage); !mentions(err, "3 of the 5 voters answer") {
		t.Errorf("with three of five voters: error %v", err)
	}
	for _, n := range s.up() {
		if n.lineage() != lineage {
			t.Errorf("%s changed lineage", n.self)
		}
	}
	if _, err := s.nodes[1].forceRestart("nonsense"); !mentions(err, `not to "nonsense"`) {
		t.Errorf("wrong lineage: error %v", err)
	}
	if _, err := s.nodes[1].forceRestart(""); !mentions(err, "names the lineage") {
		t.Errorf("no lineage: error %v", err)
	}
}

// TestForcedRestart: after the majority was lost for good, the cluster goes on
// from one node with everything that was acknowledged, and what returns of the
// old majority is fenced, whatever it could do together, until an operator has
// it rejoin.
func TestForcedRestart(t *testing.T) {
	for seed := range uint64(8) {
		s := newTestSim(t, 110+seed, 3, 3)
		s.startAll()
		s.settleVoters(5)
		s.mustCreate(s.primary(), "kept", 3*time.Second)
		before := s.primary().inView
		dead, left := s.loseMajority()
		s.pass(s.random(20 * time.Second))
		if s.primary() != nil {
			t.Fatal("a minority has a primary")
		}
		done, err := left.forceRestart(before.Lineage)
		if err != nil {
			s.fatalf("forced restart: %v", err)
		}
		if len(done.Adopted) != 3 || len(done.Absent) != 3 || done.Lineage == before.Lineage || done.SmapVersion < before.Smap.Version+100 {
			s.fatalf("answer %+v after map version %d", done, before.Smap.Version)
		}
		s.until("the new lineage works", 10*time.Second, func() bool { return s.primary() == left && s.converged() })
		v := left.inView
		if v.UUID != before.UUID || v.Lineage != done.Lineage || !slices.Equal(v.Ancestors, []string{before.Lineage}) || !hasBucket(v, "kept") {
			s.fatalf("view: uuid %s lineage %s ancestors %v, bucket kept: %v", v.UUID, v.Lineage, v.Ancestors, hasBucket(v, "kept"))
		}
		for _, n := range dead {
			if v.Smap.Node(n.self.ID) == nil {
				s.fatalf("%s has left the map", n.self)
			}
		}
		s.mustCreate(left, "after", 15*time.Second)

		// The old majority returns, at first where it cannot see the rest.
		together := s.chance(0.5)
		if together {
			s.partition(s.up(), dead)
		}
		for _, n := range dead {
			n.start()
			s.watch(s.random(time.Second))
		}
		if together {
			s.watch(10 * time.Second)
			s.heal()
		}
		s.watch(10 * time.Second)
		for _, n := range dead {
			if !n.fenced(done.Lineage) {
				s.fatalf("%s is not fenced: %q", n.self, n.m.fencedWhy())
			}
		}
		// Also after they are restarted alone.
		for _, n := range dead {
			n.kill()
		}
		s.partition(s.up(), dead)
		for _, n := range dead {
			n.start()
		}
		s.watch(15 * time.Second)
		for _, n := range dead {
			if n.m.leads() || !n.fenced(done.Lineage) {
				s.fatalf("%s forgot that it is fenced", n.self)
			}
		}
		s.heal()
		if err := dead[0].rejoin(before.UUID, before.Lineage); !mentions(err, "already") {
			s.fatalf("rejoin of the own lineage: %v", err)
		}
		for _, n := range dead {
			if err := n.rejoin(before.UUID, done.Lineage); err != nil {
				s.fatalf("rejoin of %s: %v", n.self, err)
			}
			if s.chance(0.5) { // a crash right after it
				n.kill()
				n.start()
			}
		}
		s.until("one cluster again", 60*time.Second, func() bool { return s.converged() && len(s.primary().inView.Smap.Nodes()) == 6 })
		s.settleVoters(5)
		delete(s.acked, "lost with the majority")
		s.checkEnd()
		if err := dead[0].rejoin(before.UUID, done.Lineage); !mentions(err, "nothing to rejoin") {
			s.fatalf("rejoin of a member: %v", err)
		}
	}
}

// TestForcedRestartAtATarget: a cluster whose proxies are all gone is brought
// back by a target; a proxy without any state then becomes primary.
func TestForcedRestartAtATarget(t *testing.T) {
	s := newTestSim(t, 130, 1, 2)
	s.startAll()
	s.mustCreate(s.primary(), "kept", 3*time.Second)
	before := s.primary().inView
	proxy, target := s.nodes[0], s.nodes[1]
	s.settleVoters(3)
	proxy.kill()
	s.nodes[2].kill()
	s.pass(5 * time.Second)
	proxy.store = newMemStorage()
	proxy.origin = Origin{Lost: "a test lost it"}
	proxy.seeds = []string{target.url()}
	proxy.start()
	s.pass(5 * time.Second)
	if !proxy.fenced("the stored state was lost (a test lost it); asking "+target.url()) || proxy.m.identity.UUID != "" {
		t.Fatalf("the proxy: uuid %q, fenced %q", proxy.m.identity.UUID, proxy.m.fencedWhy())
	}
	done, err := target.forceRestart(before.Lineage, target.self.ID)
	if err != nil {
		t.Fatal(err)
	}
	s.until("the proxy is primary", 30*time.Second, func() bool { return s.primary() == proxy && s.converged() })
	if v := proxy.inView; v.UUID != before.UUID || v.Lineage != done.Lineage || !hasBucket(v, "kept") || v.Smap.Version <= before.Smap.Version+99 {
		t.Errorf("uuid %s, lineage %s, map %d after %d", v.UUID, v.Lineage, v.Smap.Version, before.Smap.Version)
	}
	if proxy.m.fencedWhy() != "" {
		t.Errorf("still fenced: %s", proxy.m.fencedWhy())
	}
}

// TestForcedRestartTakesTheNewestDocuments, also those that stand in a log
// only and were never known to be committed, but were acknowledged.
func TestForcedRestartTakesTheNewestDocuments(t *testing.T) {
	s := newTestSim(t, 140, 5, 0)
	s.startAll()
	s.settleVoters(5)
	p := s.primary()
	var rest []*simNode
	for _, n := range s.nodes {
		if n != p {
			rest = append(rest, n)
		}
	}
	// A majority stores the change; two voters do not hear of it.
	behind, ahead := rest[:2], rest[2:]
	s.partition([]*simNode{p, ahead[0], ahead[1]}, behind)
	s.mustCreate(p, "newest", 20*time.Second)
	p.kill()
	ahead[0].kill()
	behind[0].kill()
	s.heal()
	lineage := behind[1].lineage()
	if _, err := behind[1].forceRestart(lineage, "proxy999"); !mentions(err, "proxy999 should take part") {
		t.Errorf("error %v", err)
	}
	if _, err := behind[1].forceRestart(lineage, ahead[1].self.ID); err != nil {
		t.Fatal(err)
	}
	s.until("the new lineage works", 10*time.Second, func() bool { return s.primary() == behind[1] && s.converged() })
	if !hasBucket(behind[1].inView, "newest") {
		t.Error("an acknowledged change was lost although a node that took part has it")
	}
}

// TestForcedRestartFromNothing: a proxy that lost everything, and that nobody
// can tell anything, begins a new cluster by an operator's command only.
func TestForcedRestartFromNothing(t *testing.T) {
	s := newTestSim(t, 145, 1, 1)
	s.startAll()
	uuid, lineage := s.primary().inView.UUID, s.primary().lineage()
	proxy, target := s.nodes[0], s.nodes[1]
	proxy.kill()
	proxy.store, proxy.origin, proxy.seeds = newMemStorage(), Origin{Lost: "a test lost it"}, []string{target.url()}
	proxy.start()
	s.pass(5 * time.Second)
	if _, err := proxy.forceRestart(""); !mentions(err, target.self.String()+" belongs to cluster") || !mentions(err, lineage) {
		t.Errorf("with a target that has the documents: error %v", err)
	}
	target.kill()
	s.pass(5 * time.Second)
	done, err := proxy.forceRestart("")
	if err != nil {
		t.Fatal(err)
	}
	s.until("it is primary", 5*time.Second, func() bool { return s.primary() == proxy && proxy.m.fencedWhy() == "" })
	if v := proxy.m.view(); v.UUID == uuid || v.Lineage != done.Lineage {
		t.Errorf("uuid %s, lineage %s, answer %+v", v.UUID, v.Lineage, done)
	}
	if _, err := proxy.forceRestart(""); !mentions(err, "names the lineage") {
		t.Errorf("once it has a cluster: error %v", err)
	}
}

// TestTwoForcedRestarts: an operator who forces both halves of a cluster that
// could not see each other gets one cluster when they do.
func TestTwoForcedRestarts(t *testing.T) {
	for seed := range uint64(4) {
		s := newTestSim(t, 150+seed, 5, 2)
		s.startAll()
		s.settleVoters(5)
		uuid, lineage := s.primary().inView.UUID, s.primary().lineage()
		s.primary().kill()
		up := s.up()
		a, b := up[:2], up[2:4]
		for _, n := range up[4:] {
			n.kill()
		}
		s.partition(a, b)
		for _, n := range []*simNode{a[0], b[0]} {
			if _, err := n.forceRestart(lineage); err != nil {
				s.fatalf("%s: %v", n.self, err)
			}
		}
		s.pass(5 * time.Second)
		if a[0].lineage() == b[0].lineage() || !a[0].m.leads() || !b[0].m.leads() {
			s.fatalf("both halves should go on: %s and %s", a[0].describe(), b[0].describe())
		}
		s.heal()
		s.nodes[0].seeds, s.nodes[1].seeds = nil, nil
		s.watch(15 * time.Second)
		winner, loser := a[0], b[0]
		if winner.m.fencedWhy() != "" {
			winner, loser = loser, winner
		}
		if winner.m.fencedWhy() != "" || !loser.fenced(winner.lineage()) {
			s.fatalf("one half should be fenced: %q and %q", winner.m.fencedWhy(), loser.m.fencedWhy())
		}
		for _, n := range s.up() {
			if n.m.superseded() {
				if err := n.rejoin(uuid, winner.lineage()); err != nil {
					s.fatalf("%v", err)
				}
			}
		}
		s.until("one cluster", 60*time.Second, s.converged)
	}
}

// TestTwoForcedRestartsThatOnlyAThirdKnows: both halves of a cluster were
// restarted by force and have moved since. Neither knows where the other is; a
// node that belongs to neither, and that both call, tells them.
func TestTwoForcedRestartsThatOnlyAThirdKnows(t *testing.T) {
	for seed := range uint64(4) {
		s := newTestSim(t, 170+seed, 3, 0)
		if seed%2 == 1 {
			s.trusting()
		}
		s.startAll()
		s.settleVoters(3)
		lineage := s.primary().lineage()
		third, a, b := s.nodes[0], s.nodes[1], s.nodes[2]
		third.kill()
		s.partition([]*simNode{a}, []*simNode{b})
		for _, n := range []*simNode{a, b} {
			if _, err := n.forceRestart(lineage); err != nil {
				s.fatalf("%s: %v", n.self, err)
			}
			n.kill()
			n.move("elsewhere-" + n.self.ID)
		}
		s.heal()
		a.start()
		b.start()
		s.until("both lead", 20*time.Second, func() bool { return len(s.rulers()) == 2 })
		s.pass(10 * time.Second)
		if len(s.rulers()) != 2 || s.acquainted(a, b) {
			s.fatalf("they have found each other without the third: %s and %s", a.describe(), b.describe())
		}
		third.start()
		s.until("one leads", 10*time.Second, func() bool { return len(s.rulers()) == 1 })
		winner, loser := a, b
		if winner.m.fencedWhy() != "" {
			winner, loser = loser, winner
		}
		if winner.m.fencedWhy() != "" || !loser.fenced(winner.lineage()) || !third.m.superseded() {
			s.fatalf("one half should be fenced, and the third: %q, %q and %q", winner.m.fencedWhy(), loser.m.fencedWhy(), third.m.fencedWhy())
		}
	}
}
