package metasync

import (
	"testing"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/core/meta"
)

// TestMinorityPrimaryRefusesSoon: a change that a cut off primary has taken is
// answered 503 within one election timeout of its stepping down.
func TestMinorityPrimaryRefusesSoon(t *testing.T) {
	for seed := range uint64(8) {
		s := newTestSim(t, 440+seed, 3, 2)
		s.startAll()
		s.settleVoters(5)
		old := s.primary()
		s.partition([]*simNode{old}, s.nodes[1:])
		changes, err := bucketChange(old.m.view(), "minority")
		if err != nil {
			t.Fatal(err)
		}
		var got error
		old.request(func(m *machine, token uint64) {
			m.commit(token, &meta.Command{ID: "minority", Action: "create-bck", Changes: changes})
		}, func(r reply) { got = r.err })
		s.until("it steps down", 3*time.Second, func() bool { return old.m.role != roleLeader })
		s.until("the client is answered", old.m.times.election()+old.m.times.Tick, func() bool { return got != nil })
		if apierr.StatusOf(got) != 503 || !mentions(got, "no majority of the voters can be reached") {
			t.Errorf("seed %d: error %v", seed, got)
		}
		s.until("waiting has no use", old.m.times.election()+old.m.times.Caretaker+old.m.times.Keepalive, func() bool {
			return old.m.leaderless() > old.m.times.election()+old.m.times.Caretaker
		})
		s.heal()
		s.until("one cluster again", 30*time.Second, s.converged)
		if old.m.leaderless() != 0 {
			t.Errorf("seed %d: it sees no leader", seed)
		}
		s.checkEnd()
	}
}

// TestNodesSeeThatNobodyLeads, members of the group and others alike.
func TestNodesSeeThatNobodyLeads(t *testing.T) {
	s := newTestSim(t, 450, 3, 5)
	s.startAll()
	s.settleVoters(5)
	var voters []*simNode
	for _, n := range s.nodes {
		if n.m.member() {
			voters = append(voters, n)
		}
	}
	for _, n := range voters[:3] {
		n.kill()
	}
	s.pass(10 * time.Second)
	for _, n := range s.up() {
		if since := n.m.leaderless(); since < 5*time.Second {
			t.Errorf("%s (member %v) thinks that somebody led %s ago", n.self, n.m.member(), since)
		}
		stale := false
		began := s.now
		n.request(func(m *machine, token uint64) { m.barrier(token, false) }, func(r reply) { stale = r.stale })
		s.until("the read is answered", n.m.times.Barrier+200*time.Millisecond, func() bool { return stale })
		if took := s.now.Sub(began); took > n.m.times.Barrier+200*time.Millisecond {
			t.Errorf("%s: a read took %s", n.self, took)
		}
	}
	for _, n := range voters[:3] {
		n.start()
	}
	s.until("all is well", 30*time.Second, s.converged)
	for _, n := range s.nodes {
		s.until("everybody sees a leader", 3*time.Second, func() bool { return n.m.leaderless() == 0 })
	}
}

// TestPushOfAnEarlierLeaderIsRefused, and nothing of it is taken.
func TestPushOfAnEarlierLeaderIsRefused(t *testing.T) {
	s := newTestSim(t, 451, 3, 4)
	s.startAll()
	s.settleVoters(5)
	var outsider *simNode
	for _, n := range s.nodes {
		if !n.m.member() {
			outsider = n
		}
	}
	old := s.primary()
	// What the old primary pushes is on its way for a long time.
	late := []func(){}
	s.slow = func(c outCall) bool {
		return c.kind == KindPush && c.url == outsider.url() && s.byURL[c.url] != nil && len(late) == 0
	}
	s.held = &late
	s.mustCreate(old, "one", 10*time.Second)
	s.slow = nil
	old.kill()
	s.until("failover", 10*time.Second, func() bool { return s.primary() != nil && s.primary() != old && s.converged() })
	before, term := outsider.m.view(), outsider.m.pushTerm
	if len(late) == 0 {
		t.Fatal("no push is late")
	}
	for _, deliver := range late {
		deliver()
	}
	s.pass(50 * time.Millisecond)
	if outsider.m.view() != before || outsider.m.pushTerm != term || term < s.primary().m.term() {
		t.Errorf("term %d after %d, leader's %d", outsider.m.pushTerm, term, s.primary().m.term())
	}
}

// TestQuickRestartOfAnyNode within a second or two: whoever was primary is
// primary, with the same map.
func TestQuickRestartOfAnyNode(t *testing.T) {
	for seed := range uint64(10) {
		s := newTestSim(t, 460+seed, 3, 2)
		s.startAll()
		s.settleVoters(5)
		primary, version := s.primary(), s.primary().inView.Smap.Version
		for _, n := range s.nodes {
			n.kill()
			s.pass(s.random(2 * time.Second))
			n.start()
			s.until("all is as before", 15*time.Second, func() bool { return s.converged() && s.primary() == primary })
		}
		if got := primary.inView.Smap.Version; got != version {
			t.Errorf("seed %d: map version %d, want %d", seed, got, version)
		}
	}
}

// TestDeadVoterIsReplacedAtOnceWhenItMatters: with one more loss the cluster
// would stop.
func TestDeadVoterIsReplacedAtOnceWhenItMatters(t *testing.T) {
	s := newTestSim(t, 470, 3, 4)
	s.startAll()
	s.settleVoters(5)
	p := s.primary()
	var dead []*simNode
	for _, n := range s.nodes {
		if n != p && n.m.member() && len(dead) < 2 {
			n.kill()
			dead = append(dead, n)
		}
	}
	s.until("five live voters", 9*time.Second, func() bool {
		live := 0
		for _, n := range s.up() {
			if p.m.rlog.voter(n.m.identity.RaftID) {
				live++
			}
		}
		return live == 5 && !p.m.rlog.joint()
	})
	// Two more may be lost.
	for _, n := range s.up() {
		if n != p && len(dead) < 4 {
			n.kill()
			dead = append(dead, n)
		}
	}
	s.mustCreate(p, "goes on", 15*time.Second)
	for _, n := range dead {
		n.start()
	}
	s.until("one state", 30*time.Second, s.converged)
	s.settleVoters(5)
	s.checkEnd()
}

// TestLossOfTheFounder, as early as possible: once the group has three voters
// that know it, the others go on.
func TestLossOfTheFounder(t *testing.T) {
	for seed := range uint64(30) {
		s := newTestSim(t, 480+seed, 3, 2)
		for _, n := range s.nodes {
			n.start()
		}
		s.until("the founder is not needed", 20*time.Second, func() bool {
			p := s.primary()
			return p != nil && len(p.m.view().Smap.Nodes()) == 5 && p.m.settled()
		})
		s.primary().kill()
		s.until("the others go on", 20*time.Second, func() bool { return s.primary() != nil && s.converged() })
		s.mustCreate(s.primary(), "without the founder", 10*time.Second)
	}
}

// TestReadAtALoneLeaderThatJustStarted: with one voter, nobody else can tell
// what was committed before it was restarted; it waits for its own disk.
func TestReadAtALoneLeaderThatJustStarted(t *testing.T) {
	for seed := range uint64(20) {
		s := newTestSim(t, 520+seed, 1, 1)
		s.diskDelay = 50 * time.Millisecond
		s.startAll()
		p := s.primary()
		s.mustCreate(p, "before", 5*time.Second)
		p.kill()
		p.start()
		for range 40 { // whenever it is asked
			for _, n := range s.nodes {
				n.request(func(m *machine, token uint64) { m.barrier(token, false) }, func(r reply) {
					if r.err == nil && !r.stale && !hasBucket(n.inView, "before") {
						t.Errorf("seed %d: %s does not show what was acknowledged before", seed, n.self)
					}
				})
			}
			s.pass(10 * time.Millisecond)
		}
		s.until("one state", 10*time.Second, s.converged)
	}
}
