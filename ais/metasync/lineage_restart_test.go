package metasync

import (
	"fmt"
	"testing"
	"time"

	"github.com/aistore-go/aistore/core/meta"
)

// TestRestartWithAllAddressesChanged: every node comes back, in any order, at
// addresses that nobody knows, and only one of them is configured.
func TestRestartWithAllAddressesChanged(t *testing.T) {
	for seed := range uint64(12) {
		s := newTestSim(t, 200+seed, 1+int(seed%4), int(seed%3)+1)
		s.startAll()
		s.mustCreate(s.primary(), "kept", 3*time.Second)
		s.pass(s.random(10 * time.Second))
		uuid, version := s.primary().inView.UUID, s.primary().inView.Smap.Version
		for _, i := range s.rng.Perm(len(s.nodes)) {
			s.nodes[i].kill()
		}
		for i, n := range s.nodes {
			host := fmt.Sprintf("moved-%d", i)
			if s.chance(0.3) { // the addresses of another node, which is more confusing
				host = s.nodes[(i+1)%len(s.nodes)].self.ID
			}
			n.move(host)
		}
		for _, n := range s.nodes { // moves may have taken each other's place in the table
			s.byURL[n.url()] = n
		}
		seen := s.nodes[s.rng.IntN(len(s.nodes))]
		for _, n := range s.nodes {
			n.seeds = []string{seen.url()}
		}
		for _, i := range s.rng.Perm(len(s.nodes)) {
			s.nodes[i].start()
			s.pass(s.random(3 * time.Second))
		}
		s.until("the cluster is back at the new addresses", 60*time.Second, func() bool {
			if !s.converged() {
				return false
			}
			for _, n := range s.nodes {
				if now := s.primary().inView.Smap.Node(n.self.ID); now == nil || !now.SameAddresses(n.self) {
					return false
				}
			}
			return true
		})
		if v := s.primary().inView; v.UUID != uuid || v.Smap.Version <= version || !hasBucket(v, "kept") {
			t.Errorf("seed %d: uuid %s (want %s), map %d after %d, bucket kept: %v", seed, v.UUID, uuid, v.Smap.Version, version, hasBucket(v, "kept"))
		}
		s.mustCreate(s.primary(), "after", 10*time.Second)
		s.until("all follow", 10*time.Second, s.converged)
		s.checkEnd()
	}
}

// TestAnnouncementsNeedNoMajority: two of five voters find each other at new
// addresses through a third node, while no leader can be elected.
func TestAnnouncementsNeedNoMajority(t *testing.T) {
	s := newTestSim(t, 220, 3, 3)
	s.startAll()
	s.settleVoters(5)
	for _, n := range s.nodes {
		n.kill()
	}
	a, b, seed := s.nodes[1], s.nodes[2], s.nodes[5]
	for _, n := range []*simNode{a, b, seed} {
		n.move("moved-" + n.self.ID)
	}
	for _, n := range []*simNode{a, b, seed} {
		n.seeds = []string{seed.url()}
		n.start()
	}
	s.until("they know each other's addresses", 10*time.Second, func() bool {
		return a.m.urlOf(a.m.view().Smap.Node(b.self.ID)) == b.url() && b.m.urlOf(b.m.view().Smap.Node(a.self.ID)) == a.url() &&
			seed.m.urlOf(seed.m.view().Smap.Node(a.self.ID)) == a.url()
	})
	if s.primary() != nil {
		t.Error("there is a primary without a majority")
	}
}

// TestNodeDoesNotVoteBeforeItHasMetTheOthers, so that an old lineage does not
// come back to life beside a newer one.
func TestNodeDoesNotVoteBeforeItHasMetTheOthers(t *testing.T) {
	s := newTestSim(t, 230, 3, 2)
	s.startAll()
	s.settleVoters(5)
	for _, n := range s.nodes {
		n.kill()
	}
	// One address swallows every call: nothing is heard until the call's time is over.
	silent := s.nodes[4]
	for _, n := range s.nodes[:4] {
		s.cut[[2]string{n.self.ID, silent.self.ID}] = true
		n.start()
	}
	s.pass(1500 * time.Millisecond)
	for _, n := range s.nodes[:4] {
		if n.m.mayTakePart() || n.m.leader != 0 {
			t.Errorf("%s takes part before it has heard of all", n.self)
		}
	}
	s.until("a primary", 15*time.Second, func() bool { return s.primary() != nil })
}

// TestQuickRestartWaitsForNobody: where the cluster is at work, a node that
// starts takes part at once, also if others do not answer.
func TestQuickRestartWaitsForNobody(t *testing.T) {
	s := newTestSim(t, 231, 3, 3)
	s.startAll()
	s.settleVoters(5)
	s.nodes[5].kill()
	s.cut[[2]string{s.nodes[1].self.ID, s.nodes[5].self.ID}] = true
	n := s.nodes[1]
	n.kill()
	s.pass(time.Second)
	n.start()
	s.until("it takes part", 200*time.Millisecond, func() bool { return n.m.mayTakePart() })
	s.until("it is a member", 2*time.Second, func() bool { return n.m.join.state == joined })
}

// TestDuplicateIDIsFoundWithoutALeader: of two processes with one id, the
// later one ends, whether or not anybody leads.
func TestDuplicateIDIsFoundWithoutALeader(t *testing.T) {
	s := newTestSim(t, 240, 3, 1)
	s.startAll()
	s.settleVoters(3)
	n := s.nodes[1]
	s.nodes[0].kill()
	s.nodes[2].kill()
	twin := &simNode{s: s, self: simSnode(n.self.ID, n.self.Role, "elsewhere"), store: newMemStorage(), seeds: []string{n.url()}}
	for bucket, values := range n.store.buckets { // a copy of its state: cloned disks
		for key, value := range values {
			twin.store.apply([]write{{bucket: bucket, key: key, value: value}})
		}
	}
	s.byURL[twin.url()] = twin
	twin.start()
	s.until("the twin ends", 4*time.Second, func() bool { return twin.dead != nil })
	if !mentions(twin.dead, "duplicate node ID") || n.m == nil {
		t.Errorf("error %v, the first lives: %v", twin.dead, n.m != nil)
	}
}

// TestReplacedHolderEnds: a node whose id was taken over while nobody could
// reach it ends when it comes back.
func TestReplacedHolderEnds(t *testing.T) {
	s := newTestSim(t, 241, 3, 2)
	s.startAll()
	s.settleVoters(5)
	old := s.node("targt001")
	for _, n := range s.nodes {
		s.cut[[2]string{n.self.ID, old.self.ID}], s.cut[[2]string{old.self.ID, n.self.ID}] = n != old, n != old
	}
	s.pass(10 * time.Second)
	twin := &simNode{s: s, self: simSnode(old.self.ID, old.self.Role, "elsewhere"), store: newMemStorage(), seeds: []string{s.nodes[0].url()}}
	s.byURL[twin.url()] = twin
	twin.start() // the cut is by id: it is cut off, too, until it is not
	s.heal()
	for _, n := range s.nodes[:4] {
		s.cut[[2]string{old.self.ID, n.self.ID}] = false
	}
	before := twin.m.incarnation
	if before <= old.m.incarnation {
		t.Errorf("the later start has incarnation %d, the earlier one %d", before, old.m.incarnation)
	}
	s.until("one of the two ends", 20*time.Second, func() bool { return old.dead != nil || twin.dead != nil })
	s.pass(10 * time.Second)
	if (old.dead != nil) == (twin.dead != nil) {
		t.Errorf("ended: the first %v, the second %v; want one of them", old.dead, twin.dead)
	}
	dead := old.dead
	if dead == nil {
		dead = twin.dead
	}
	if !mentions(dead, "duplicate node ID") {
		t.Errorf("error %v", dead)
	}
}

// TestIncarnationsGrow, also if the state was lost or the clock was set back.
func TestIncarnationsGrow(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	first := laterIncarnation(0, 12345, now)
	for name, next := range map[string]uint64{
		"at once":                  laterIncarnation(first, 1, now),
		"the clock was set back":   laterIncarnation(first, 1, now.Add(-time.Hour)),
		"later, the state is lost": laterIncarnation(0, 1, now.Add(time.Second)),
	} {
		if next <= first {
			t.Errorf("%s: %d after %d", name, next, first)
		}
	}
}

// TestCallForAnotherNodeIsRefused: who has taken over an address does not
// answer for the one that had it.
func TestCallForAnotherNodeIsRefused(t *testing.T) {
	s := newTestSim(t, 242, 1, 2)
	s.startAll()
	n := s.node("targt000")
	e := s.primary().m.envelope()
	e.To = "targt001"
	if err := n.m.sameCluster(&e); !mentions(err, "not for it") {
		t.Errorf("error %v", err)
	}
	e.To = "targt000"
	if err := n.m.sameCluster(&e); err != nil {
		t.Error(err)
	}
}

// TestFoundingHappensOnce: a founder that lost its state joins what it
// founded, whoever starts first, and waits if nobody is there.
func TestFoundingHappensOnce(t *testing.T) {
	for seed := range uint64(6) {
		s := newTestSim(t, 250+seed, 3, 2)
		s.startAll()
		s.settleVoters(5)
		s.mustCreate(s.primary(), "kept", 3*time.Second)
		uuid := s.primary().inView.UUID
		for _, n := range s.nodes {
			n.kill()
		}
		founder := s.nodes[0]
		founder.store = newMemStorage()
		founder.origin = Origin{Lost: "the state file was removed"}
		founder.seeds = []string{s.nodes[0].url(), s.nodes[1].url()}
		founder.start()
		s.pass(20 * time.Second)
		if founder.m.identity.UUID != "" || !founder.fenced("the stored state was lost (the state file was removed); asking "+s.nodes[1].url()) {
			s.fatalf("founder: uuid %q, fenced %q", founder.m.identity.UUID, founder.m.fencedWhy())
		}
		founder.kill() // it still knows after a restart
		founder.origin = Origin{}
		founder.start()
		s.pass(5 * time.Second)
		if founder.m.identity.UUID != "" || !founder.fenced("the stored state was lost") {
			s.fatalf("founder after a restart: uuid %q, fenced %q", founder.m.identity.UUID, founder.m.fencedWhy())
		}
		for _, i := range s.rng.Perm(len(s.nodes)) {
			if n := s.nodes[i]; n.m == nil {
				n.start()
				s.pass(s.random(3 * time.Second))
			}
		}
		s.until("one cluster", 60*time.Second, func() bool { return s.converged() && s.primary().inView.Smap.Node(founder.self.ID) != nil })
		if v := founder.inView; v.UUID != uuid || !hasBucket(v, "kept") {
			s.fatalf("uuid %s, want %s", v.UUID, uuid)
		}
		s.settleVoters(5)
		s.checkEnd()
	}
}

// TestNewbornClusterGivesWay to a node that remembers another one, and joins
// it once it can.
func TestNewbornClusterGivesWay(t *testing.T) {
	s := newTestSim(t, 260, 2, 2)
	s.startAll()
	uuid := s.primary().inView.UUID
	for _, n := range s.nodes {
		n.kill()
	}
	wrong := s.addNode("wrongone", meta.RoleProxy, true)
	wrong.seeds = []string{wrong.url(), s.nodes[0].url()}
	wrong.start()
	s.until("it founds a cluster", 10*time.Second, func() bool { return wrong.m.primary() })
	founded := wrong.inView.UUID
	target := s.nodes[2]
	target.seeds = []string{wrong.url()}
	target.start() // it asks the wrong one, among others
	s.until("the newborn cluster gives way", 10*time.Second, func() bool {
		return wrong.m.identity.UUID == "" && wrong.fenced(fmt.Sprintf("cluster %q exists already", uuid))
	})
	if !wrong.fenced(target.self.String()) {
		t.Errorf("it does not say who showed it: %s", wrong.m.fencedWhy())
	}
	wrong.kill()
	wrong.start()
	for _, n := range s.nodes {
		if n.m == nil {
			n.start()
		}
	}
	s.until("one cluster of all", 30*time.Second, func() bool { return s.converged() && len(s.primary().inView.Smap.Nodes()) == 5 })
	if got := wrong.inView.UUID; got != uuid || founded == uuid {
		t.Errorf("uuid %s, want %s", got, uuid)
	}
}

// TestEstablishedClusterIgnoresStrangers, also right at a configured address.
func TestEstablishedClusterIgnoresStrangers(t *testing.T) {
	s := newTestSim(t, 261, 2, 1)
	s.startAll()
	stranger := s.addNode("stranger", meta.RoleProxy, true)
	stranger.seeds = []string{stranger.url()}
	stranger.start()
	s.until("it founds a cluster", 10*time.Second, func() bool { return stranger.m.primary() })
	s.mustCreate(stranger, "valuable", 3*time.Second)
	uuid := s.nodes[0].inView.UUID
	for _, n := range s.nodes[:3] {
		n.seeds = append(n.seeds, stranger.url())
		n.kill()
		s.pass(time.Second)
		n.start()
		s.pass(8 * time.Second)
		if n.m == nil || n.m.fencedWhy() != "" || n.inView.UUID != uuid {
			t.Errorf("%s: fenced %q, uuid %s", n.self, n.m.fencedWhy(), n.inView.UUID)
		}
	}
	if stranger.m.fencedWhy() != "" || stranger.inView.UUID == uuid {
		t.Errorf("the stranger, which has a bucket, gave way: %s", stranger.m.fencedWhy())
	}
}

// TestDataSaysWhereANodeBelongs: without state, a target joins the cluster of
// its mountpaths and no other.
func TestDataSaysWhereANodeBelongs(t *testing.T) {
	s := newTestSim(t, 270, 2, 2)
	s.startAll()
	v := s.primary().inView
	n := s.node("targt001")
	n.kill()
	n.store = newMemStorage()
	n.origin = Origin{UUID: "elsewhere", Lineage: "another-1"}
	n.start()
	s.until("it is fenced", 10*time.Second, func() bool { return n.fenced(`cluster "elsewhere"`) })
	s.pass(10 * time.Second)
	if n.m.join.state == joined || n.inView.Smap != nil {
		t.Error("it joined another cluster than that of its data")
	}
	n.kill()
	n.store = newMemStorage()
	n.origin = Origin{UUID: v.UUID, Lineage: v.Lineage}
	n.start()
	s.until("it joins", 20*time.Second, func() bool { return s.converged() && n.m.fencedWhy() == "" })

	// State and data of two clusters: nothing is put into effect.
	n.kill()
	n.origin = Origin{UUID: "elsewhere", Lineage: "another-1"}
	n.start()
	s.pass(10 * time.Second)
	if !n.fenced(`the mountpaths belong to cluster "elsewhere"`) || n.inView.Smap != nil {
		t.Errorf("fenced %q, view in effect: %v", n.m.fencedWhy(), n.inView.Smap != nil)
	}
	// An operator decides that the data is this cluster's from now on.
	if err := n.rejoin(v.UUID, v.Lineage); err != nil {
		t.Fatal(err)
	}
	n.kill()
	n.start()
	s.until("it is a member with its data", 20*time.Second, func() bool { return s.converged() && n.m.fencedWhy() == "" })
	// The same start again before the mountpaths say so, too.
	n.kill()
	n.start()
	s.until("it is a member with its data", 20*time.Second, func() bool { return s.converged() && n.m.fencedWhy() == "" })
}

// TestRestartOrders kills everything again and again and starts it in random
// order, some nodes with lost state or at other addresses: one cluster with
// one lineage, and nothing lost.
func TestRestartOrders(t *testing.T) {
	seeds := uint64(12)
	if testing.Short() {
		seeds = 5
	}
	for seed := range seeds {
		s := newTestSim(t, 1000+seed, 1+int(seed%5), 1+int(seed%4))
		s.startAll()
		uuid, lineage := s.primary().inView.UUID, s.primary().inView.Lineage
		for round := range 4 {
			s.mustCreate(s.primary(), fmt.Sprintf("bucket-%d", round), 20*time.Second)
			s.pass(s.random(5 * time.Second))
			primary := s.primary().inView.Smap.Primary.ID
			for _, i := range s.rng.Perm(len(s.nodes)) {
				s.nodes[i].kill()
				s.pass(s.random(100 * time.Millisecond))
			}
			for i, n := range s.nodes {
				if s.chance(0.3) {
					n.move(fmt.Sprintf("round-%d-%d", round, i))
				}
			}
			for _, n := range s.nodes {
				n.seeds = []string{s.nodes[0].url()}
			}
			for _, i := range s.rng.Perm(len(s.nodes)) {
				s.nodes[i].start()
				if s.chance(0.7) {
					s.pass(s.random(time.Second))
				}
			}
			s.until("the cluster is back", 90*time.Second, func() bool { return s.converged() && len(s.primary().inView.Smap.Nodes()) == len(s.nodes) })
			v := s.primary().inView
			if v.UUID != uuid || v.Lineage != lineage {
				s.fatalf("uuid %s lineage %s, want %s %s", v.UUID, v.Lineage, uuid, lineage)
			}
			t.Logf("seed %d round %d: primary %s, was %s", seed, round, v.Smap.Primary.ID, primary)
		}
		s.checkEnd()
	}
}
