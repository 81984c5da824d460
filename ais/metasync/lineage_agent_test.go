package metasync

import (
	"strings"
	"testing"
	"time"

	"github.com/aistore-go/aistore/core/meta"
)

// TestAgentForceRestartAndRejoin is the whole way of an operator: the majority
// is lost, one node goes on, the others return, are fenced, and rejoin.
func TestAgentForceRestartAndRejoin(t *testing.T) {
	t.Parallel()
	nodes := newTestNodes(t, 3, 1)
	startNodes(t, nodes)
	ctx := timeout(t)
	createSoon(t, nodes, "kept")
	before := nodes[0].agent.View()
	eventually(t, "three voters", func() bool {
		voters := 0
		for _, n := range nodes {
			if n.agent.Status().Voter {
				voters++
			}
		}
		return voters == 3
	})
	if _, err := nodes[1].agent.ForceRestart(ctx, before.Lineage, nil); err == nil {
		t.Error("a forced restart of a cluster that works")
	}
	var left *testNode
	var lost []*testNode
	for _, n := range nodes {
		if left == nil && n.self.Role == meta.RoleProxy && n.agent.Status().Voter && !n.agent.IsPrimary() {
			left = n
			continue
		}
		lost = append(lost, n)
	}
	for _, n := range lost {
		n.kill()
	}
	done, err := left.agent.ForceRestart(ctx, before.Lineage, []string{left.self.ID})
	if err != nil {
		t.Fatal(err)
	}
	if len(done.Adopted) != 1 || len(done.Absent) != 3 {
		t.Errorf("answer %+v", done)
	}
	eventually(t, "the new lineage works", func() bool { return left.agent.IsPrimary() && left.agent.View().Lineage == done.Lineage })
	createSoon(t, []*testNode{left}, "after")
	for _, n := range lost {
		n.start()
	}
	for _, n := range lost {
		eventually(t, n.self.ID+" is fenced", func() bool { return n.agent.Fenced() != "" })
		if _, err := createBucket(timeout(t), n.agent, "split"); err == nil {
			t.Errorf("%s took a change", n.self)
		}
	}
	for _, n := range lost {
		joined, err := n.agent.Rejoin(timeout(t), before.UUID, done.Lineage)
		if err != nil {
			t.Fatal(err)
		}
		if !joined.Joined {
			t.Errorf("%s: %+v", n.self, joined)
		}
	}
	eventually(t, "one cluster", func() bool { return allJoined(nodes, 4) })
	eventually(t, "one content", func() bool {
		for _, n := range nodes {
			v := n.agent.View()
			if v.Lineage != done.Lineage || !hasBucket(v, "kept") || !hasBucket(v, "after") || n.agent.Fenced() != "" {
				return false
			}
		}
		return true
	})
}

// TestAgentRejoinSaysWhatItWaitsFor when nobody answers, and goes on trying.
func TestAgentRejoinSaysWhatItWaitsFor(t *testing.T) {
	t.Parallel()
	nodes := newTestNodes(t, 1, 1)
	startNodes(t, nodes)
	v := nodes[1].agent.View()
	nodes[0].kill()
	eventually(t, "the target is alone", func() bool { return nodes[1].agent.Stale() })
	began := time.Now()
	joined, err := nodes[1].agent.Rejoin(timeout(t), v.UUID, "another-1")
	if err != nil || joined.Joined || joined.Waiting == "" {
		t.Errorf("%+v %v", joined, err)
	}
	if took := time.Since(began); took > rejoinWait+5*time.Second {
		t.Errorf("it took %v", took)
	}
	// That lineage does not exist: the cluster does not take it in.
	nodes[0].start()
	eventually(t, "it says why", func() bool { return strings.Contains(nodes[1].agent.Fenced(), "does not match") })
	if _, err := nodes[1].agent.Rejoin(timeout(t), v.UUID, v.Lineage); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is back", func() bool { return allJoined(nodes, 2) && nodes[1].agent.Fenced() == "" })
}
