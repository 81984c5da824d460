package test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/aistore-go/aistore/ais/node/startup"
	"github.com/aistore-go/aistore/ais/proxy"
	"github.com/aistore-go/aistore/ais/target"
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/deploy/playground"
	"github.com/aistore-go/aistore/transport/rpc"
)

// standIn is a rebalance that ends when the test says so: the job itself is
// not built yet.
type standIn struct {
	mu      sync.Mutex
	started []int64
	ended   int64
}

// Start implements membership.Mover.
func (m *standIn) Start(_ context.Context, rebalance int64, _ *meta.Operation) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.started) == 0 || m.started[len(m.started)-1] != rebalance {
		m.started = append(m.started, rebalance)
	}
	return nil
}

// State implements membership.Mover.
func (m *standIn) State(_ context.Context, rebalance int64) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ended >= rebalance, nil
}

func (m *standIn) end(rebalance int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ended = max(m.ended, rebalance)
}

// inProcess is a real cluster inside of this process, so that its proxies can
// be given a stand-in for the rebalance, and its nodes can call each other.
type inProcess struct {
	*cluster
	proxyOf  map[*playground.Node]*proxy.Running
	targetOf map[*playground.Node]*target.Running
}

func startInProcess(t *testing.T, proxies, targets int, m *standIn) *inProcess {
	t.Helper()
	return startInProcessWithout(t, proxies, targets, 0, m)
}

// startInProcessWithout leaves the last few targets to the test.
func startInProcessWithout(t *testing.T, proxies, targets, later int, m *standIn) *inProcess {
	t.Helper()
	c := &inProcess{
		cluster: newCluster(t, proxies, targets),
		proxyOf: map[*playground.Node]*proxy.Running{}, targetOf: map[*playground.Node]*target.Running{},
	}
	if err := c.WriteConfiguration(); err != nil {
		t.Fatal(err)
	}
	now := c.nodes[:len(c.nodes)-later]
	for _, n := range now {
		c.launch(n, m)
	}
	for _, n := range now {
		c.awaitMember(n, len(now))
	}
	return c
}

// launch starts a node in this process, until the end of the test.
func (c *inProcess) launch(n *playground.Node, m *standIn) {
	t := c.t
	t.Helper()
	settings, err := startup.Load(startup.Options{
		Role: n.Role, ClusterFile: n.ClusterFile(), LocalFile: n.LocalFile(), Getenv: func(string) string { return "" }, Stderr: io.Discard,
	})
	if err != nil {
		t.Fatal(err)
	}
	var stop func() error
	if n.Role == playground.Proxy {
		p, err := proxy.Start(settings)
		if err != nil {
			t.Fatal(err)
		}
		p.Role.Membership().SetMover(m)
		c.proxyOf[n], stop = p, p.Stop
	} else {
		tgt, err := target.Start(settings)
		if err != nil {
			t.Fatal(err)
		}
		c.targetOf[n], stop = tgt, tgt.Stop
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// awaitMember waits until a node is ready and sees so many nodes.
func (c *inProcess) awaitMember(n *playground.Node, members int) {
	c.t.Helper()
	c.eventually(n.Name()+" is ready", func() error {
		if a := call(c.t, http.MethodGet, n.URL()+"/v1/health?readiness=true", ""); a.status != http.StatusOK {
			return fmt.Errorf("status %d: %s", a.status, a.body)
		}
		if nodes, _ := c.members(n); len(nodes) != members {
			return fmt.Errorf("it sees %d nodes", len(nodes))
		}
		return nil
	})
}

// TestMembershipBusy: one operation at a time, and none while data moves. A
// batch is one rebalance, and ends when that ends.
func TestMembershipBusy(t *testing.T) {
	t.Parallel()
	m := &standIn{}
	c := startInProcess(t, 2, 4, m)
	_, p := c.settledPrimary()
	createBucket(t, p, "b", "")
	t1, t2, t3, p2 := c.idOf(c.targets()[0]), c.idOf(c.targets()[1]), c.idOf(c.targets()[2]), c.idOf(p)

	if a := mustAct(t, http.StatusOK, p, "start-maintenance", `{"sids":["`+t1+`","`+t2+`"]}`); a.body != "g1" {
		t.Fatalf("body %q, want g1", a.body)
	}
	nodes, version := c.members(p)
	if nodes[t1].Flags != flagMaintenance || nodes[t2].Flags != flagMaintenance {
		t.Errorf("flags %d and %d while data moves", nodes[t1].Flags, nodes[t2].Flags)
	}
	for _, busy := range []struct{ name, action, value string }{
		{"the same again", "start-maintenance", `{"sid":"` + t1 + `"}`},
		{"maintenance of another", "start-maintenance", `{"sid":"` + t3 + `"}`},
		{"maintenance of a proxy", "start-maintenance", `{"sid":"` + p2 + `"}`},
		{"end of maintenance", "stop-maintenance", `{"sid":"` + t1 + `"}`},
		{"shutdown", "shutdown-node", `{"sid":"` + t3 + `"}`},
		{"decommission", "decommission-node", `{"sid":"` + t3 + `"}`},
		{"unsafe removal", "rm-unsafe", `{"sid":"` + t3 + `","skip_rebalance":true}`},
		{"rebalance", "start", `{"Kind":"rebalance"}`},
		{"rebalance that cleans up", "start", `{"Kind":"rebalance","flags":16}`},
		{"decommission of the cluster", "decommission", `{"keep_initial_config":true}`},
	} {
		a := membershipAct(t, p, busy.action, busy.value)
		if busy.action == "start" {
			refused(t, a, http.StatusConflict, "ErrBusy", "")
		} else {
			refused(t, a, http.StatusConflict, "ErrBusy", "rebalance[g1]")
		}
		if t.Failed() {
			t.Fatalf("%s: %s", busy.name, a.body)
		}
	}
	a := call(t, http.MethodPost, p.URL()+"/v1/cluster/join-by-admin", joinBody(c.targets()[3], "target"))
	refused(t, a, http.StatusConflict, "ErrBusy", "rebalance[g1]")
	if _, after := c.members(p); after != version {
		t.Errorf("the map is v%s, was v%s", after, version)
	}

	m.end(1)
	c.awaitFlags(p, t1, flagMaintenance|flagDataMoved)
	c.awaitFlags(p, t2, flagMaintenance|flagDataMoved)
	c.unchanged(p, "start-maintenance", `{"sids":["`+t1+`","`+t2+`"]}`)
	if a := mustAct(t, http.StatusOK, p, "stop-maintenance", `{"sids":["`+t1+`","`+t2+`"]}`); a.body != "g2" {
		t.Errorf("body %q, want g2", a.body)
	}
	c.awaitFlags(p, t1, 0)
	m.end(2)
	c.eventually("the rebalance is over", func() error {
		if op := c.operations(p).Current; op != nil {
			return fmt.Errorf("%+v", op)
		}
		return nil
	})

	// A decommission does not believe the rebalance that it is told of: it asks the
	// target. A real one runs beside, and takes its time.
	for i := range 200 {
		c.putWhenServed(p, "b", "o"+itoa(i))
	}
	a = mustAct(t, http.StatusOK, p, "decommission-node", `{"sid":"`+t3+`","keep_initial_config":true}`)
	if a.body != "g3" {
		t.Errorf("body %q, want g3", a.body)
	}
	m.end(3) // not everything has moved, in truth
	if nodes, _ := c.members(p); len(nodes) > 0 && nodes[t3].ID != "" && nodes[t3].Flags != flagLeaving {
		t.Errorf("flags %d, want %d", nodes[t3].Flags, flagLeaving)
	}
	for _, file := range c.filesBelow(c.targets()[2]) {
		if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) { // moved meanwhile
			t.Fatal(err)
		}
	}
	c.awaitFlags(p, t3, -1)
}

// TestSelfRemoval: a node may take itself out of the map, and nobody else
// may; no data moves.
func TestSelfRemoval(t *testing.T) {
	t.Parallel()
	c := startInProcess(t, 2, 3, &standIn{})
	primary, p := c.settledPrimary()
	createBucket(t, p, "b", "")
	leaving, other := c.targetOf[c.targets()[0]], c.targetOf[c.targets()[1]]
	path := "/v1/cluster/daemon/"
	must(t, http.StatusForbidden, http.MethodDelete, primary.URL()+path+leaving.Node.ID(), "")
	remove := func(caller *target.Running, id string) error {
		_, _, err := caller.Node.RPC().Request(context.Background(), rpc.Control, http.MethodDelete, primary.ControlURL()+path+id, "", nil)
		return err
	}
	if err := remove(other, leaving.Node.ID()); apierr.StatusOf(err) != http.StatusForbidden {
		t.Errorf("removal by another node: %v, want 403", err)
	}
	if err := remove(leaving, "unknown01"); apierr.CodeOf(err) != "errNodeNotFound" {
		t.Errorf("unknown node: %v, want errNodeNotFound", err)
	}
	if err := remove(leaving, c.idOf(primary)); apierr.StatusOf(err) != http.StatusBadRequest {
		t.Errorf("the primary: %v, want 400", err)
	}
	leaving.Agent.Rest("it has removed itself")
	if err := remove(leaving, leaving.Node.ID()); err != nil {
		t.Fatal(err)
	}
	nodes, _ := c.members(p)
	if len(nodes) != 4 {
		t.Errorf("%d nodes, want 4", len(nodes))
	}
	// The primary still reaches it; other gateways do not know it.
	a := must(t, http.StatusOK, http.MethodGet, primary.URL()+"/v1/reverse/daemon?what=snode", "", "Ais-Node-Id", leaving.Node.ID())
	if !strings.Contains(a.body, `"daemon_id":"`+leaving.Node.ID()+`"`) {
		t.Errorf("the node that left: %s", a.body)
	}
	if ops := c.operations(p); ops.Current != nil || len(ops.Past) > 0 {
		t.Errorf("%+v: a self-removal is no operation of an operator", ops)
	}
	if got := c.join(http.StatusOK, p, c.targets()[0], "target"); got.ID != leaving.Node.ID() || got.Rebalance != "g1" {
		t.Errorf("back as %+v, want rebalance g1", got)
	}
}

// TestForcedShutdownOfThePrimary: the call that stops the process of the
// primary itself; another proxy takes over.
func TestForcedShutdownOfThePrimary(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2, 2)
	primary, p := c.settledPrimary()
	old := c.idOf(primary)
	must(t, http.StatusBadRequest, http.MethodPut, primary.URL()+"/v1/daemon", `{"action":"shutdown"}`)
	must(t, http.StatusOK, http.MethodPut, p.URL()+"/v1/reverse/daemon?frc=true", `{"action":"shutdown"}`, "Ais-Node-Id", old)
	c.awaitStopped(primary)
	c.eventually("another primary", func() error {
		if now := c.smap(p).Primary.ID; now == old {
			return fmt.Errorf("still %s", now)
		}
		return nil
	})
	createBucket(t, p, "b", "")
}
