package metasync

import (
	"fmt"
	"testing"
	"time"

	"github.com/aistore-go/aistore/core/meta"
)

// TestStalledPrimaryHandsOver: a primary whose disk does not finish writes
// hands leadership over, does not take it back while the disk stalls, and
// stays in the map.
func TestStalledPrimaryHandsOver(t *testing.T) {
	for seed := range uint64(6) {
		for _, full := range []bool{false, true} {
			s := newTestSim(t, 420+seed, 3, 3)
			s.startAll()
			s.settleVoters(5)
			old := s.primary()
			began := s.now
			if full {
				old.disk.fails = errSimDisk
			} else {
				old.stallDisk()
			}
			changes, err := bucketChange(old.m.view(), "caught")
			if err != nil {
				t.Fatal(err)
			}
			var got []reply
			old.request(func(m *machine, token uint64) {
				m.commit(token, &meta.Command{ID: "caught", Action: "create-bck", Changes: changes})
			}, func(r reply) { got = append(got, r) })
			s.until("another node leads", 3*time.Second, func() bool { return old.m.role != roleLeader })
			s.until("another primary", 10*time.Second, func() bool { return s.primary() != nil && s.primary() != old })
			if took := s.now.Sub(began); took > 8*time.Second {
				t.Errorf("seed %d: another primary after %s", seed, took)
			}
			if s.primary().m.view().Smap.Node(old.self.ID) == nil {
				t.Errorf("seed %d: a node that lives was removed", seed)
			}
			s.mustCreate(s.primary(), "meanwhile", 10*time.Second)
			for range 100 {
				s.pass(100 * time.Millisecond)
				if old.m.role == roleLeader {
					t.Fatalf("seed %d: the stalled node leads again", seed)
				}
				if s.primary() != nil && s.primary().m.down(old.self.ID) {
					t.Fatalf("seed %d: its keepalives wait for the disk", seed)
				}
			}
			old.repairDisk()
			s.until("one state", 20*time.Second, s.converged)
			s.checkEnd()
			// Who was told to ask the next primary gets the answer there.
			if len(got) != 1 || !isNotPrimary(got[0].err) {
				t.Errorf("seed %d: answers %v to the change that was caught in it", seed, got)
			}
			answered := false
			s.primary().repeat("caught", func(v *meta.View) []meta.Change {
				changes, err := bucketChange(v, "caught")
				if err != nil {
					t.Fatal(err)
				}
				return changes
			}, func(v *meta.View, _ bool, err error) {
				answered = true
				if err != nil || !hasBucket(v, "caught") {
					t.Errorf("seed %d: asked again: %v", seed, err)
				}
			})
			s.until("an answer", 5*time.Second, func() bool { return answered })
		}
	}
}

// TestShortStall changes nothing about who leads.
func TestShortStall(t *testing.T) {
	s := newTestSim(t, 430, 3, 3)
	s.startAll()
	s.settleVoters(5)
	p := s.primary()
	term := p.m.term()
	for i := range 5 {
		p.stallDisk()
		p.create(fmt.Sprint("bucket-", i), func(*meta.View, error) {})
		s.pass(700 * time.Millisecond)
		p.repairDisk()
		s.until("the change is in effect", 2*time.Second, func() bool { return hasBucket(p.inView, fmt.Sprint("bucket-", i)) })
	}
	if p != s.primary() || p.m.term() != term {
		t.Error("leadership moved")
	}
}

// TestStalledVoters: a majority that can store goes on; nothing is answered
// that a majority has not stored.
func TestStalledVoters(t *testing.T) {
	s := newTestSim(t, 431, 3, 3)
	s.startAll()
	s.settleVoters(5)
	p := s.primary()
	var stalled []*simNode
	for _, n := range s.nodes {
		if n != p && n.m.member() && len(stalled) < 3 {
			n.stallDisk()
			stalled = append(stalled, n)
		}
	}
	answered := false
	p.create("too few", func(*meta.View, error) { answered = true })
	s.pass(2 * time.Second)
	if answered || hasBucket(p.m.view(), "too few") {
		t.Fatal("a change was answered that two of five voters have stored")
	}
	stalled[0].repairDisk()
	s.until("the change takes place", 10*time.Second, func() bool { return hasBucket(p.m.view(), "too few") })
	for _, n := range stalled {
		n.repairDisk()
	}
	s.until("one state", 20*time.Second, s.converged)
	s.checkEnd()
}

// TestStalledVoterIsReplaced, as a dead one is.
func TestStalledVoterIsReplaced(t *testing.T) {
	s := newTestSim(t, 432, 3, 4)
	s.startAll()
	s.settleVoters(5)
	p := s.primary()
	var voter *simNode
	for _, n := range s.nodes {
		if n != p && n.m.member() {
			voter = n
		}
	}
	voter.stallDisk()
	s.mustCreate(p, "one", 10*time.Second)
	s.until("it is replaced", 40*time.Second, func() bool {
		return !p.m.rlog.has(voter.m.identity.RaftID) && len(p.m.rlog.conf.GetVoters()) == 5 && !p.m.rlog.joint()
	})
	voter.repairDisk()
	s.until("one state", 20*time.Second, s.converged)
	s.checkEnd()
}

// TestIdentityFirst: nobody hears from a node that might forget who it is.
func TestIdentityFirst(t *testing.T) {
	s := newTestSim(t, 433, 1, 1)
	s.nodes[0].start()
	s.until("a primary", 5*time.Second, func() bool { return s.primary() != nil })
	n := s.nodes[1]
	n.stallDisk()
	n.start()
	s.pass(5 * time.Second)
	if s.primary().m.view().Smap.Node(n.self.ID) != nil || len(s.primary().m.routes) != 0 {
		t.Error("the node was heard before it had stored who it is")
	}
	n.repairDisk()
	s.until("it joins", 5*time.Second, s.converged)
}
