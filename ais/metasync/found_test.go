package metasync

import (
	"slices"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/aistore-go/aistore/cmn/trust"
	"github.com/aistore-go/aistore/core/meta"
)

// What random histories have found once.

// TestAwayLongerThanItsKeysLive: a target that could not be reached is taken
// out, and the cluster keys that it holds are all of the past when it is back.
// It joins again by itself.
func TestAwayLongerThanItsKeysLive(t *testing.T) {
	s := newTestSim(t, 301, 3, 3)
	s.trusting()
	s.startWriting()
	away := s.targets()[1]
	s.partition(slices.DeleteFunc(slices.Clone(s.nodes), func(n *simNode) bool { return n == away }), []*simNode{away})
	held := away.keyring.Ring()
	s.until("it is out, and all its keys are gone", 10*time.Minute, func() bool {
		p := s.primary()
		if p == nil || slices.Contains(s.activeIDs(), away.self.ID) {
			return false
		}
		for _, key := range p.inView.Keys.Keys {
			if held.Has(key.ID) {
				return false
			}
		}
		return true
	})
	s.heal()
	s.until("it is back", 20*time.Second, func() bool { return s.quiet() && s.leased() && slices.Contains(s.activeIDs(), away.self.ID) })
	s.until("it holds the keys of today", 20*time.Second, s.keysAgree)
	if why := away.m.fencedWhy(); why != "" {
		t.Errorf("fenced: %s", why)
	}
}

// TestNoLeaseByTheOldMapOnceTheNewOneIsDecided: a target that had no lease for
// so long that a change of ownership does not wait for it comes back while the
// command that ends the change is on its way, and before it hears of the
// change. It must not get a lease then: the command counts on it.
func TestNoLeaseByTheOldMapOnceTheNewOneIsDecided(t *testing.T) {
	s := newTestSim(t, 302, 5, 3)
	s.startWriting()
	s.settleVoters(5)
	p, away := s.primary(), s.targets()[1]
	for _, pair := range [][2]string{{p.self.ID, away.self.ID}, {away.self.ID, p.self.ID}} {
		s.cut[pair] = true
	}
	s.pass(70 * time.Second) // others reach it: it stays in the map
	if s.primary() != p || !slices.Contains(s.activeIDs(), away.self.ID) {
		t.Fatal("the target is out")
	}
	joiner := s.addNode("targt009", meta.RoleTarget, false)
	s.onRaft = func(*simNode, *raftpb.Message) time.Duration { return 250 * time.Millisecond }
	var held []func()
	s.slow, s.held = func(c outCall) bool { return c.kind == KindPush && c.url == away.url() || c.kind == KindPull }, &held
	joiner.start()
	s.until("the change is about to be in force", 10*time.Second, func() bool { return p.m.smapBusy && p.m.view().Transition.Now() != nil })
	s.heal()
	s.until("the joiner is in", 10*time.Second, func() bool { return slices.Contains(s.activeIDs(), joiner.self.ID) })
	s.pass(4 * time.Second)
	s.slow, s.onRaft = nil, nil
	for _, deliver := range held {
		deliver()
	}
	s.until("all is well again", 20*time.Second, func() bool { return s.quiet() && s.leased() })
}

// TestPrimaryWithoutTheNewestKey: a primary that came to its place by a restart
// by force and cannot open the newest cluster key makes another one, which all
// can open, long before it is time for the next.
func TestPrimaryWithoutTheNewestKey(t *testing.T) {
	s := newTestSim(t, 303, 2, 0)
	s.trusting()
	s.trust.keyLife = time.Hour
	founder, other := s.nodes[0], s.nodes[1]
	founder.start()
	other.start()
	s.until("the other one has joined", 10*time.Second, func() bool { return other.m.join.state == joined && other.m.view().Keys != nil })
	if boxes := other.m.view().Keys.Newest().Boxes; trust.IsFor(other.keyring.Public(), boxes[other.self.ID]) {
		t.Fatal("it has a box already, this shows nothing")
	}
	founder.kill()
	s.pass(100 * time.Millisecond) // it stores what it was given
	other.kill()
	other.start() // what it was given when it was admitted is gone
	s.pass(3 * time.Second)
	if _, err := other.forceRestart(other.lineage()); err != nil {
		t.Fatal(err)
	}
	s.until("it makes a key", 10*time.Second, func() bool { return s.primary() == other && s.keysAgree() })
}

// TestHistoriesThatFailedOnce replays them.
func TestHistoriesThatFailedOnce(t *testing.T) {
	ownershipHistory(t, t, 12, mutationNone)
	lineageHistory(t, 1795380124024)
	lineageHistory(t, 1795380771017) // two lineages fenced each other
	randomHistory(t, 113)
}
