package metasync

import (
	"fmt"
	"testing"
	"testing/cryptotest"
	"time"

	"github.com/aistore-go/aistore/core/meta"
)

// newTestSim is a sim whose raft nodes draw their election timeouts from the
// seed too, which rules out parallel tests.
func newTestSim(t *testing.T, seed uint64, proxies, targets int) *sim {
	t.Helper()
	cryptotest.SetGlobalRandom(t, seed)
	return newSim(t, seed, proxies, targets)
}

func TestFounding(t *testing.T) {
	s := newTestSim(t, 1, 1, 0)
	n := s.nodes[0]
	n.start()
	s.until("the node is primary", 5*time.Second, func() bool { return s.primary() == n && n.m.effective > 0 })
	v := n.inView
	if v.UUID == "" || v.Lineage == "" || v.Smap.UUID != v.UUID || !v.Smap.IsPrimary(n.self.ID) {
		t.Fatalf("bad first view: %+v", v)
	}
	for _, kind := range []string{meta.KindSmap, meta.KindBMD, meta.KindConfig, meta.KindVoters} {
		if got := v.Document(kind).Ver(); got != 1 {
			t.Errorf("%s has version %d, want 1", kind, got)
		}
	}
	if v.Smap.Pmap[n.self.ID].Flags&meta.FlagIC == 0 {
		t.Error("the primary is not a member of the information center")
	}
	// With stored state it never founds again.
	uuid := v.UUID
	n.kill()
	n.start()
	s.until("the node is primary again", 5*time.Second, func() bool { return s.primary() == n && n.m.effective > 0 })
	if n.inView.UUID != uuid || n.inView.Smap.Version != 1 {
		t.Errorf("after a restart: uuid %s version %d, want %s and 1", n.inView.UUID, n.inView.Smap.Version, uuid)
	}
}

func TestClusterForms(t *testing.T) {
	s := newTestSim(t, 2, 3, 3)
	s.startAll()
	s.settleVoters(5)
	p := s.primary()
	if p != s.nodes[0] {
		t.Errorf("primary is %s, want the founder", p.self)
	}
	smap := p.inView.Smap
	if len(smap.Pmap) != 3 || len(smap.Tmap) != 3 {
		t.Errorf("map has %d proxies and %d targets", len(smap.Pmap), len(smap.Tmap))
	}
	for id, node := range smap.Pmap {
		if node.Flags&meta.FlagIC == 0 {
			t.Errorf("%s is not a member of the information center", id)
		}
	}
	voters := p.inView.Voters
	if len(voters.Members) != 5 {
		t.Errorf("voters document has %d members", len(voters.Members))
	}
	for id := range smap.Pmap {
		if m, ok := voters.ByNode(id); !ok || m.Learner {
			t.Errorf("proxy %s has no vote", id)
		}
	}
}

func TestVisibleEverywhereBeforeTheAnswer(t *testing.T) {
	s := newTestSim(t, 3, 3, 4)
	s.applyDelay = 50 * time.Millisecond
	s.startAll()
	s.settleVoters(5)
	for i := range 20 {
		name := fmt.Sprintf("bucket-%d", i)
		done := false
		s.primary().create(name, func(_ *meta.View, err error) {
			if err != nil {
				t.Fatal(err)
			}
			for _, n := range s.nodes {
				if !hasBucket(n.inView, name) {
					t.Errorf("%s is not in effect at %s when the answer comes", name, n.self)
				}
			}
			done = true
		})
		s.until(name, 3*time.Second, func() bool { return done })
	}
}

func TestPrimaryFails(t *testing.T) {
	s := newTestSim(t, 4, 3, 3)
	s.startAll()
	s.settleVoters(5)
	s.mustCreate(s.primary(), "before", 3*time.Second)
	old := s.primary()
	before := old.inView.Smap
	want := before.Successor(old.self.ID).ID
	old.kill()
	s.until("failover", 10*time.Second, func() bool { p := s.primary(); return p != nil && p != old && s.converged() })
	p := s.primary()
	after := p.inView.Smap
	if p.self.ID != want {
		t.Errorf("new primary is %s, want %s", p.self.ID, want)
	}
	if after.Version <= before.Version+99 || after.Pmap[old.self.ID] != nil {
		t.Errorf("version %d after %d, old primary there: %v", after.Version, before.Version, after.Pmap[old.self.ID] != nil)
	}
	s.mustCreate(p, "after", 8*time.Second)

	old.start()
	s.until("the old primary is back", 20*time.Second, func() bool { return s.converged() && s.primary().inView.Smap.Node(old.self.ID) != nil })
	if s.primary() != p {
		t.Errorf("primary is %s, want %s", s.primary().self, p.self)
	}
	if !hasBucket(old.inView, "after") {
		t.Error("the old primary misses what happened without it")
	}
	s.settleVoters(5)
	s.checkEnd()
}

func TestPrimaryRestartsQuickly(t *testing.T) {
	s := newTestSim(t, 5, 3, 3)
	s.startAll()
	s.settleVoters(5)
	old, version := s.primary(), s.primary().inView.Smap.Version
	old.kill()
	s.pass(1500 * time.Millisecond)
	old.start()
	s.until("the primary is back", 10*time.Second, func() bool { return s.primary() == old && s.converged() })
	if got := old.inView.Smap.Version; got != version {
		t.Errorf("map version %d, want it unchanged at %d", got, version)
	}
}

func TestPrimaryAndNextCrash(t *testing.T) {
	s := newTestSim(t, 6, 4, 2)
	s.startAll()
	s.settleVoters(5)
	first := s.primary()
	second := s.node(first.inView.Smap.Successor(first.self.ID).ID)
	first.kill()
	second.kill()
	s.until("the third takes over", 20*time.Second, func() bool { p := s.primary(); return p != nil && s.converged() })
	smap := s.primary().inView.Smap
	var want *meta.Snode
	for _, n := range smap.Pmap {
		if n.ID != second.self.ID && (want == nil || n.Digest > want.Digest) {
			want = n
		}
	}
	if got := s.primary().self.ID; got != want.ID {
		t.Errorf("primary is %s, want %s", got, want.ID)
	}
	s.mustCreate(s.primary(), "third", 10*time.Second)
}

func TestProxiesFailOneAfterAnother(t *testing.T) {
	s := newTestSim(t, 7, 4, 2)
	s.startAll()
	s.settleVoters(5)
	for i := 3; i > 0; i-- {
		for _, n := range s.nodes {
			if n.m != nil && n.self.Role == meta.RoleProxy && n != s.primary() {
				n.kill()
				break
			}
		}
		s.until("the proxy is out", 100*time.Second, func() bool { p := s.primary(); return p != nil && len(p.inView.Smap.Pmap) == i })
		s.mustCreate(s.primary(), fmt.Sprintf("left-%d", i), 10*time.Second)
	}
}

func TestCaretakerTargetHandsOver(t *testing.T) {
	s := newTestSim(t, 8, 3, 3)
	s.startAll()
	s.settleVoters(5)
	old := s.primary()
	var target *simNode
	for _, n := range s.nodes {
		if n.self.Role == meta.RoleTarget && n.m.rlog.voter(n.m.identity.RaftID) {
			target = n
		}
	}
	old.input(func(m *machine) { m.raft.TransferLeader(target.m.identity.RaftID) })
	s.until("the target leads", 3*time.Second, func() bool { return target.m.leads() })
	old.kill()
	s.until("a proxy takes over", 10*time.Second, func() bool { return s.primary() != nil })
	if target.m.primary() || s.primary().self.Role != meta.RoleProxy {
		t.Errorf("primary is %s", s.primary().self)
	}
	s.until("all agree", 5*time.Second, s.converged)
}

func TestCaretakerHandsBack(t *testing.T) {
	s := newTestSim(t, 23, 3, 3)
	s.startAll()
	s.settleVoters(5)
	old, version := s.primary(), s.primary().inView.Smap.Version
	old.input(func(m *machine) { m.raft.TransferLeader(m.peer(s.nodes[1].self.ID).raftID) })
	s.until("another leads", 3*time.Second, func() bool { return s.nodes[1].m.leads() })
	if s.primary() != nil {
		t.Error("a caretaker is primary")
	}
	s.until("the primary leads again", 5*time.Second, func() bool { return s.primary() == old && s.converged() })
	if got := old.inView.Smap.Version; got != version {
		t.Errorf("map version %d, want it unchanged at %d", got, version)
	}
}

func TestMinorityCannotCommit(t *testing.T) {
	s := newTestSim(t, 9, 3, 2)
	s.startAll()
	s.settleVoters(5)
	old := s.primary()
	var rest []*simNode
	for _, n := range s.nodes {
		if n != old {
			rest = append(rest, n)
		}
	}
	s.partition([]*simNode{old}, rest)
	var got error
	old.create("minority", func(_ *meta.View, err error) { got = err })
	stale := false
	old.request(func(m *machine, token uint64) { m.barrier(token, false) }, func(r reply) { stale = r.stale })
	s.until("the others have a primary", 15*time.Second, func() bool { return s.primary() != nil && s.primary() != old })
	if old.m.primary() || hasBucket(old.m.view(), "minority") {
		t.Error("the old primary went on alone")
	}
	if !stale {
		t.Error("a read without a majority was not stale")
	}
	s.heal()
	s.until("one cluster again", 30*time.Second, s.converged)
	if got == nil || s.acked["minority"] != "" || hasBucket(s.primary().inView, "minority") {
		t.Errorf("the minority's change: error %v, acknowledged in %q", got, s.acked["minority"])
	}
	if s.primary() == old {
		t.Error("the old primary is primary again")
	}
	s.checkEnd()
}

func TestWholeClusterRestarts(t *testing.T) {
	for seed := range uint64(10) {
		s := newTestSim(t, seed, 3, 3)
		s.startAll()
		s.settleVoters(5)
		s.mustCreate(s.primary(), "kept", 3*time.Second)
		uuid := s.primary().inView.UUID
		for _, n := range s.nodes {
			n.kill()
			s.pass(s.random(300 * time.Millisecond))
		}
		order := s.rng.Perm(len(s.nodes))
		for _, i := range order {
			s.nodes[i].start()
			s.pass(s.random(2 * time.Second))
		}
		s.until("the cluster is back", 60*time.Second, func() bool { return s.converged() && len(s.primary().inView.Smap.Nodes()) == 6 })
		if v := s.primary().inView; v.UUID != uuid || !hasBucket(v, "kept") {
			t.Errorf("seed %d: uuid %s (want %s), bucket kept: %v", seed, v.UUID, uuid, hasBucket(v, "kept"))
		}
		s.checkEnd()
	}
}

func TestLaggingNodeDelaysOnce(t *testing.T) {
	s := newTestSim(t, 10, 3, 3)
	s.startAll()
	s.settleVoters(5)
	p := s.primary()
	var slow *simNode
	for _, n := range s.nodes {
		if !n.m.member() {
			slow = n
		}
	}
	// It goes on to say that it lives, but puts nothing into effect.
	slow.blocked = true
	start := s.now
	s.mustCreate(p, "first", 10*time.Second)
	if took := s.now.Sub(start); took < 5*time.Second || took > 7*time.Second {
		t.Errorf("the first change took %s, want about 6 s", took)
	}
	start = s.now
	s.mustCreate(p, "second", 2*time.Second)
	if took := s.now.Sub(start); took > time.Second {
		t.Errorf("the second change took %s", took)
	}
	slow.blocked = false
	slow.input(func(m *machine) { m.published = 0 })
	s.until("the slow node catches up", 10*time.Second, func() bool { return hasBucket(slow.inView, "second") })
	s.until("it is not lagging any more", 10*time.Second, func() bool { return !p.m.peer(slow.self.ID).lagging })
	s.checkEnd()
}

func TestDuplicateID(t *testing.T) {
	s := newTestSim(t, 11, 2, 2)
	s.startAll()
	twin := &simNode{s: s, self: simSnode("targt000", meta.RoleTarget, "elsewhere"), store: newMemStorage(), seeds: []string{s.nodes[0].url()}}
	s.byURL[twin.url()] = twin
	twin.start()
	s.until("the twin ends", 5*time.Second, func() bool { return twin.dead != nil })
	if !mentions(twin.dead, "duplicate node ID") {
		t.Errorf("error %q", twin.dead)
	}
	// Once the holder is gone, the node may move.
	s.node("targt000").kill()
	twin.start()
	s.until("the node moves", 5*time.Second, func() bool { return twin.m != nil && twin.m.join.state == joined })
	if got := s.primary().m.view().Smap.Node("targt000"); !got.SameAddresses(twin.self) {
		t.Errorf("the map has %+v", got)
	}
}

func TestForeignClusterIsFenced(t *testing.T) {
	a := newTestSim(t, 12, 1, 1)
	a.startAll()
	b := newSim(t, 13, 1, 0)
	foreign := b.addNode("stranger", meta.RoleTarget, false)
	b.startAll()
	store := foreign.store
	stranger := a.addNode("stranger", meta.RoleTarget, false)
	stranger.store = store
	stranger.start()
	a.until("it is fenced", 10*time.Second, func() bool { return stranger.m.fenced != "" })
	a.pass(20 * time.Second)
	if stranger.m == nil || stranger.m.join.state == joined || a.primary().inView.Smap.Node("stranger") != nil {
		t.Error("a node of another cluster was let in")
	}
	if stranger.m.identity.UUID != b.primary().inView.UUID {
		t.Error("it changed clusters by itself")
	}
}

func TestConfiguredPrimaryJoinsWhatExists(t *testing.T) {
	s := newTestSim(t, 14, 2, 1)
	s.startAll()
	late := s.addNode("lateprox", meta.RoleProxy, true)
	late.start()
	s.until("it joins", 10*time.Second, func() bool { return late.m.join.state == joined })
	if late.m.identity.Founded || late.m.view().UUID != s.primary().inView.UUID {
		t.Error("it founded a cluster of its own")
	}
}

func TestRetriedCommandGetsItsFirstAnswer(t *testing.T) {
	s := newTestSim(t, 15, 3, 0)
	s.startAll()
	s.settleVoters(3)
	p := s.primary()
	changes, err := bucketChange(p.m.view(), "once")
	if err != nil {
		t.Fatal(err)
	}
	cmd := &meta.Command{ID: "retried", Action: "create-bck", Changes: changes}
	var results []meta.Result
	propose := func() {
		s.primary().input(func(m *machine) {
			m.propose(cmd, func(r meta.Result, err error) {
				if err != nil {
					t.Error(err)
				}
				results = append(results, r)
			})
		})
	}
	propose()
	s.until("first answer", time.Second, func() bool { return len(results) == 1 })
	propose()
	s.until("second answer", time.Second, func() bool { return len(results) == 2 })
	p.kill()
	s.until("failover", 10*time.Second, func() bool { return s.primary() != nil && s.converged() })
	propose()
	s.until("third answer", time.Second, func() bool { return len(results) == 3 })
	if results[0].Refused != "" || results[1] != results[0] || results[2] != results[0] {
		t.Errorf("answers differ: %+v", results)
	}
}

func TestGracefulStopOfThePrimary(t *testing.T) {
	s := newTestSim(t, 16, 3, 3)
	s.startAll()
	s.settleVoters(5)
	old := s.primary()
	want := old.inView.Smap.Successor(old.self.ID).ID
	left := false
	old.request(func(m *machine, token uint64) { m.leave(token) }, func(reply) { left = true })
	s.until("it has left", 5*time.Second, func() bool { return left })
	old.kill()
	s.until("the successor takes over", 2*time.Second, func() bool { return s.primary() != nil && s.converged() })
	if got := s.primary().self.ID; got != want {
		t.Errorf("primary is %s, want %s", got, want)
	}
}

func TestGracefulStopOfATarget(t *testing.T) {
	s := newTestSim(t, 17, 3, 3)
	s.startAll()
	s.settleVoters(5)
	n := s.nodes[5]
	left := false
	n.request(func(m *machine, token uint64) { m.leave(token) }, func(reply) { left = true })
	s.until("it has left", 2*time.Second, func() bool { return left })
	n.kill()
	p := s.primary()
	if !p.m.down(n.self.ID) || p.m.view().Smap.Node(n.self.ID) == nil {
		t.Error("it must be down at once, and keep its place")
	}
	start := s.now
	s.mustCreate(p, "meanwhile", time.Second)
	if took := s.now.Sub(start); took > 500*time.Millisecond {
		t.Errorf("a change waited %s for a node that left", took)
	}
	n.start()
	s.until("it is back", 10*time.Second, func() bool { return s.converged() && !p.m.down(n.self.ID) })
	if !hasBucket(n.inView, "meanwhile") {
		t.Error("it did not catch up")
	}
}

func TestSilentTargetGoesDownThenOut(t *testing.T) {
	s := newTestSim(t, 18, 3, 4)
	s.startAll()
	s.settleVoters(5)
	first, second := s.nodes[4], s.nodes[5]
	first.kill()
	p := s.primary()
	s.until("it is down", 7*time.Second, func() bool { return p.m.down(first.self.ID) })
	version := p.m.view().Smap.Version
	s.pass(3 * time.Second)
	for _, n := range s.up() {
		if _, down := n.m.downNodes[first.self.ID]; !down {
			t.Errorf("%s does not know that %s is down", n.self, first.self)
		}
	}
	if p.m.view().Smap.Version != version {
		t.Error("going down changed the map")
	}
	second.kill()
	s.until("the first is out", 70*time.Second, func() bool { return p.inView.Smap.Node(first.self.ID) == nil })
	s.pass(90 * time.Second)
	if p.inView.Smap.Node(second.self.ID) == nil {
		t.Error("more than a third of the targets was removed within ten minutes")
	}
	s.until("the second is out", 11*time.Minute, func() bool { return p.inView.Smap.Node(second.self.ID) == nil })
	first.start()
	s.until("the first is back", 20*time.Second, s.converged)
}

func TestRejoinChangesNothing(t *testing.T) {
	s := newTestSim(t, 19, 3, 3)
	s.startAll()
	s.settleVoters(5)
	version := s.primary().inView.Smap.Version
	for _, n := range s.nodes[1:] {
		n.kill()
		s.pass(100 * time.Millisecond)
		n.start()
		s.until("it is back", 10*time.Second, s.converged)
	}
	if got := s.primary().inView.Smap.Version; got != version {
		t.Errorf("map version %d, want %d", got, version)
	}
}

func TestLostStateIsANewMember(t *testing.T) {
	s := newTestSim(t, 20, 3, 2)
	s.startAll()
	s.settleVoters(5)
	n := s.nodes[1]
	old := n.m.identity.RaftID
	n.kill()
	n.store = newMemStorage()
	n.start()
	s.until("it is a voter again", 60*time.Second, func() bool {
		p := s.primary()
		return p != nil && s.converged() && !p.m.rlog.has(old) && p.m.rlog.voter(n.m.identity.RaftID) && !p.m.rlog.joint()
	})
	s.settleVoters(5)
	s.checkEnd()
}

func TestBarrierSeesWhatWasCommitted(t *testing.T) {
	s := newTestSim(t, 21, 3, 4)
	s.startAll()
	s.settleVoters(5)
	p := s.primary()
	s.applyDelay = 100 * time.Millisecond
	for i := range 10 {
		name := fmt.Sprintf("b%d-bucket", i)
		p.create(name, func(*meta.View, error) {})
		s.until("applied at the primary", 2*time.Second, func() bool { return hasBucket(p.m.view(), name) })
		pending := 0
		for _, n := range s.nodes {
			pending++
			n.request(func(m *machine, token uint64) { m.barrier(token, false) }, func(r reply) {
				pending--
				if r.err != nil || r.stale || !hasBucket(n.inView, name) {
					t.Errorf("%s: error %v, stale %v, sees the bucket %v", n.self, r.err, r.stale, hasBucket(n.inView, name))
				}
			})
		}
		s.until("all have read", 3*time.Second, func() bool { return pending == 0 })
	}
}

func TestLogIsCompacted(t *testing.T) {
	s := newTestSim(t, 22, 3, 1)
	s.startAll()
	s.settleVoters(3)
	absent := s.nodes[2]
	s.mustCreate(s.primary(), "bucket-0", 3*time.Second)
	absent.kill()
	p := s.primary()
	s.pass(6 * time.Second)
	for i := range 1800 {
		p.input(func(m *machine) {
			m.propose(&meta.Command{ID: fmt.Sprint(i), Action: "nothing"}, func(meta.Result, error) {})
		})
		s.pass(10 * time.Millisecond)
	}
	s.mustCreate(p, "bucket-1", 10*time.Second)
	if got := len(p.store.buckets[bucketEntries]); got > 1600 {
		t.Errorf("%d entries are stored", got)
	}
	absent.start()
	s.until("the absent node is back", 30*time.Second, s.converged)
	p.kill()
	s.until("failover", 20*time.Second, func() bool { return s.primary() != nil && s.converged() })
	p.start()
	s.until("the first primary is back", 20*time.Second, s.converged)
	s.checkEnd()
}
