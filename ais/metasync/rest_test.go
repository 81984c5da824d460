package metasync

import (
	"testing"
	"time"

	"github.com/aistore-go/aistore/core/meta"
)

// TestARestingNodeStaysOut: a node that was removed joins again by itself,
// unless it was told to rest; then it waits to be told to join.
func TestARestingNodeStaysOut(t *testing.T) {
	s := newTestSim(t, 8101, 3, 2)
	s.startAll()
	s.settleVoters(5)
	p, n := s.primary(), s.nodes[2]
	in := func() bool { return s.primary() != nil && s.primary().m.view().Smap.Node(n.self.ID) != nil }

	s.removeNode(n)
	s.until("it is removed", 5*time.Second, func() bool { return !in() })
	s.until("it is back", 10*time.Second, func() bool { return in() && n.m.join.state == joined })

	n.input(func(m *machine) { m.resting.why = "an operator has removed it" })
	s.pass(5 * time.Second)
	if !in() {
		t.Fatal("a node that is in the map left when it was told to rest")
	}
	s.removeNode(n)
	s.until("it is removed", 5*time.Second, func() bool { return !in() })
	s.until("it says why", 10*time.Second, func() bool { return n.m.fencedWhy() == "an operator has removed it" })
	s.pass(20 * time.Second)
	if in() {
		t.Fatal("it came back by itself")
	}
	if len(p.m.view().Smap.Pmap) != 2 {
		t.Errorf("%d proxies, want 2", len(p.m.view().Smap.Pmap))
	}

	n.input(func(m *machine) { m.joinAt([]string{p.url()}, meta.FlagNonElectable) })
	s.until("it is back as what it was told to be", 10*time.Second, func() bool {
		return in() && s.primary().m.view().Smap.Node(n.self.ID).Flags&meta.FlagNonElectable != 0
	})
	n.input(func(m *machine) { m.joinAt([]string{p.url()}, 0) })
	s.until("it is electable again", 10*time.Second, func() bool {
		return in() && s.primary().m.view().Smap.Node(n.self.ID).Flags&meta.FlagNonElectable == 0 && n.m.join.state == joined
	})
}

// TestADecommissionedNodeIsTold: one that was away when it was decommissioned
// learns of it when it asks to be admitted, and is not admitted.
func TestADecommissionedNodeIsTold(t *testing.T) {
	s := newTestSim(t, 8102, 3, 2)
	n := s.nodes[2]
	n.self.VerifyingKey = []byte("the key of this life")
	s.startAll()
	s.settleVoters(5)
	n.kill()
	s.until("the others know", 30*time.Second, func() bool { return s.primary() != nil && s.primary() != n && s.primary().m.down(n.self.ID) })
	s.removeNode(n)
	s.until("it is removed", 10*time.Second, func() bool { return s.primary().m.view().Smap.Node(n.self.ID) == nil })
	op := &meta.Operation{
		ID: "operation-1", Action: "decommission-node", Nodes: []string{n.self.ID}, Step: "done", Ended: 1,
		Identities: map[string][]byte{n.self.ID: n.self.VerifyingKey},
	}
	s.commitChange("operation", meta.KindOperations, &meta.OperationsPatch{Current: op, End: true})

	told := make(chan *meta.Operation, 1)
	n.start()
	n.input(func(m *machine) { m.resting.onGone = func(op *meta.Operation) { told <- op } })
	s.until("it knows", 30*time.Second, func() bool { return n.m.resting.told })
	select {
	case got := <-told:
		if got.ID != op.ID {
			t.Errorf("told of %+v", got)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("nobody was told")
	}
	s.pass(10 * time.Second)
	if s.primary().m.view().Smap.Node(n.self.ID) != nil {
		t.Error("it was admitted")
	}
}
