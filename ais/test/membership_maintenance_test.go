package test

import (
	"net/http"
	"strings"
	"testing"
)

// TestMaintenanceOfNodes: targets and proxies go out of service and come back;
// what is so already is left as it is.
func TestMaintenanceOfNodes(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, 3)
	p := c.secondaries()[0]
	t1, t2, p2 := c.idOf(c.targets()[0]), c.idOf(c.targets()[1]), c.idOf(c.secondaries()[1])
	primary := c.idOf(c.primary(p))

	// Without buckets nothing has to move.
	if a := mustAct(t, http.StatusOK, p, "start-maintenance", `{"sid":"`+t1+`"}`); a.body != "" {
		t.Errorf("body %q, want none", a.body)
	}
	c.awaitFlags(p, t1, flagMaintenance|flagDataMoved)
	mustAct(t, http.StatusOK, p, "stop-maintenance", `{"sid":"`+t1+`"}`)
	c.awaitFlags(p, t1, 0)

	createBucket(t, p, "b", "")
	c.putWhenServed(p, "b", "o")
	for _, action := range []string{"start-maintenance", "shutdown-node", "decommission-node"} {
		refused(t, membershipAct(t, p, action, sid(primary)), http.StatusBadRequest, "", "it is the primary")
		refused(t, membershipAct(t, p, action, sid("unknown01")), http.StatusNotFound, "errNodeNotFound", "node unknown01 not present in Smap v")
		refused(t, membershipAct(t, p, action, `{"sids":["`+t1+`","unknown01"],"skip_rebalance":true}`), http.StatusNotFound, "errNodeNotFound", "unknown01")
		refused(t, membershipAct(t, p, action, `{"sid":"`+t1+`","sids":["`+t2+`"]}`), http.StatusBadRequest, "", "exclude each other")
		refused(t, membershipAct(t, p, action, `{"sid":"`+t1+`","quickly":true}`), http.StatusBadRequest, "", `unknown field "quickly"`)
	}
	if nodes, _ := c.members(p); nodes[t1].Flags != 0 {
		t.Errorf("flags of %s are %d after refusals", t1, nodes[t1].Flags)
	}

	// A batch of a target and a proxy.
	if a := mustAct(t, http.StatusOK, p, "start-maintenance", `{"sids":["`+t1+`","`+p2+`"],"skip_rebalance":true}`); a.body != "" {
		t.Errorf("body %q, want none", a.body)
	}
	for _, n := range c.nodes { // the answer came when all had the map
		nodes, _ := c.members(n)
		if nodes[t1].Flags != flagMaintenance|flagDataMoved || nodes[p2].Flags != flagMaintenance {
			t.Errorf("%s shows flags %d and %d", n.Name(), nodes[t1].Flags, nodes[p2].Flags)
		}
	}
	if plain, ready := c.health(c.targets()[0]); plain != http.StatusOK || ready != http.StatusServiceUnavailable {
		t.Errorf("health %d, readiness %d, want 200 and 503", plain, ready)
	}
	status := must(t, http.StatusOK, http.MethodGet, p.URL()+"/v1/reverse/daemon?what=node_status", "", "Ais-Node-Id", t1)
	if got := decode[struct {
		Status string `json:"status"`
	}](t, status.body).Status; got != "maintenance" {
		t.Errorf("status %q, want maintenance", got)
	}
	// Everything else is asked of the node itself.
	must(t, http.StatusOK, http.MethodGet, p.URL()+"/v1/reverse/daemon?what=smap", "", "Ais-Node-Id", t1)
	must(t, http.StatusOK, http.MethodGet, p.URL()+"/v1/reverse/daemon?what=mountpaths", "", "Ais-Node-Id", t1)
	c.unchanged(p, "start-maintenance", `{"sids":["`+t1+`","`+p2+`"]}`)

	// It still learns what changes.
	createBucket(t, p, "meanwhile", "")
	if bmd := must(t, http.StatusOK, http.MethodGet, c.targets()[0].URL()+"/v1/daemon?what=bmd", ""); !strings.Contains(bmd.body, "meanwhile") {
		t.Errorf("a node in maintenance does not know the new bucket: %s", bmd.body)
	}

	mustAct(t, http.StatusOK, p, "stop-maintenance", `{"sids":["`+t1+`","`+p2+`"]}`)
	c.awaitFlags(p, t1, 0)
	c.awaitFlags(p, p2, 0)
	c.unchanged(p, "stop-maintenance", sid(t1))
	if got := must(t, http.StatusOK, http.MethodGet, objectURL(p, "b", "o"), "").body; got != "content" {
		t.Errorf("object %q after maintenance", got)
	}
	for _, op := range c.operations(p).Past {
		if op.Step != "done" || op.Error != "" {
			t.Errorf("%+v", op)
		}
	}
}

// TestTheLastTarget is not taken out of service by mistake.
func TestTheLastTarget(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 1)
	p, target := c.nodes[0], c.idOf(c.nodes[1])
	for _, action := range []string{"start-maintenance", "shutdown-node", "decommission-node"} {
		refused(t, membershipAct(t, p, action, `{"sid":"`+target+`"}`), http.StatusBadRequest, "ErrNotEnoughTargets", "no active target would remain")
	}
	mustAct(t, http.StatusOK, p, "start-maintenance", `{"sid":"`+target+`","force":true}`)
	c.awaitFlags(p, target, flagMaintenance|flagDataMoved)
	mustAct(t, http.StatusOK, p, "stop-maintenance", `{"sid":"`+target+`"}`)
	c.awaitFlags(p, target, 0)
}

// TestShutdownOfANode: the process ends in order and stays in the map; started
// again, it is in maintenance.
func TestShutdownOfANode(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2, 3)
	p, proxy, target := c.primary(c.nodes[0]), c.secondaries()[0], c.targets()[0]
	tid, pid := c.idOf(target), c.idOf(proxy)
	mustAct(t, http.StatusOK, p, "shutdown-node", `{"sids":["`+tid+`","`+pid+`"],"skip_rebalance":true}`)
	c.awaitStopped(target)
	c.awaitStopped(proxy)
	for _, n := range []string{target.Output(), proxy.Output()} {
		if n != "" {
			t.Errorf("printed %q", n)
		}
	}
	nodes, _ := c.members(p)
	if len(nodes) != 5 || nodes[tid].Flags != flagMaintenance|flagDataMoved || nodes[pid].Flags != flagMaintenance {
		t.Errorf("%d nodes, flags %d and %d", len(nodes), nodes[tid].Flags, nodes[pid].Flags)
	}
	createBucket(t, p, "quickly", "") // nobody waits for them
	refused(t, membershipAct(t, p, "stop-maintenance", `{"sid":"`+tid+`","timeout":"300ms"}`), http.StatusBadRequest, "", "is unreachable: it has not answered within 300ms")

	c.start(target)
	c.start(proxy)
	mustAct(t, http.StatusOK, p, "stop-maintenance", `{"sids":["`+tid+`","`+pid+`"],"timeout":"20s"}`)
	c.awaitFlags(p, tid, 0)
	c.awaitFlags(p, pid, 0)
	c.waitReady()
	if got := c.idOf(target); got != tid {
		t.Errorf("id %q, was %q", got, tid)
	}
}
