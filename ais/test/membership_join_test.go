package test

import (
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aistore-go/aistore/deploy/playground"
)

// joinBody is what the command line tool sends: the control address and the role.
func joinBody(n *playground.Node, role string) string {
	return fmt.Sprintf(`{"daemon_type":%q,"daemon_id":"","intra_control_net":{"node_ip_addr":"127.0.0.1","daemon_port":"%d","direct_url":%q}}`,
		role, n.Port+1000, n.ControlURL())
}

type joinResult struct {
	ID        string `json:"daemon_id"`
	Rebalance string `json:"rebalance_id"`
}

func (c *cluster) join(status int, through, n *playground.Node, role string, headers ...string) joinResult {
	c.t.Helper()
	a := must(c.t, status, http.MethodPost, through.URL()+"/v1/cluster/join-by-admin", joinBody(n, role), headers...)
	if status != http.StatusOK {
		return joinResult{}
	}
	return decode[joinResult](c.t, a.body)
}

// TestJoinByAdmin: a target that stands by is taken in when an operator says so.
func TestJoinByAdmin(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2, 2)
	if err := c.WriteConfiguration(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.down)
	target := c.targets()[1]
	for _, n := range c.nodes {
		if n == target {
			c.start(n, "-standby")
		} else {
			c.start(n)
		}
	}
	c.waitReady(c.nodes[0], c.nodes[1], c.nodes[2])
	primary := c.primary(c.nodes[0])
	p := c.secondaries()[0]
	tid := c.idOf(target)
	if plain, ready := c.health(target); plain != http.StatusOK || ready != http.StatusServiceUnavailable {
		t.Errorf("health %d, readiness %d of a target that stands by, want 200 and 503", plain, ready)
	}
	createBucket(t, p, "b", "")
	c.putWhenServed(p, "b", "o")

	absent := &playground.Node{Port: 1, Role: playground.Target}
	c.join(http.StatusBadRequest, p, absent, "target")
	c.join(http.StatusBadRequest, p, target, "proxy")
	c.join(http.StatusBadRequest, p, target, "target", "Ais-Node-Flags", "1")
	if nodes, _ := c.members(p); len(nodes) != 3 {
		t.Errorf("%d nodes, want 3: nobody was added", len(nodes))
	}

	if got := c.join(http.StatusOK, p, target, "target"); got != (joinResult{ID: tid, Rebalance: "g1"}) {
		t.Errorf("joined as %+v, want %s and the first rebalance", got, tid)
	}
	if nodes, _ := c.members(primary); nodes[tid].Flags != 0 || nodes[tid].Role != "target" {
		t.Errorf("%+v is in the map", nodes[tid])
	}
	c.waitReady()
	if s := c.awaitJob(p, "g1"); s.Aborted || s.Err != "" {
		t.Errorf("the rebalance ended as %+v", s)
	}
	_, before := c.members(p)
	if got := c.join(http.StatusOK, p, target, "target"); got != (joinResult{ID: tid}) {
		t.Errorf("again: %+v", got)
	}
	if _, after := c.members(p); after != before {
		t.Errorf("again: the map is v%s, was v%s", after, before)
	}
	if got := must(t, http.StatusOK, http.MethodGet, objectURL(p, "b", "o"), "").body; got != "content" {
		t.Errorf("%q", got)
	}

	// A proxy that may not be primary, and one that may again.
	pid := c.idOf(p)
	for _, tt := range []struct {
		headers []string
		flags   int
	}{{[]string{"Ais-Node-Flags", "1"}, 1}, {nil, 0}} {
		c.join(http.StatusOK, primary, p, "proxy", tt.headers...)
		if nodes, _ := c.members(primary); nodes[pid].Flags&1 != tt.flags {
			t.Errorf("flags are %d, want bit 1 to be %d", nodes[pid].Flags, tt.flags)
		}
		if tt.flags == 1 {
			refused(t, call(t, http.MethodPut, primary.URL()+"/v1/cluster/proxy/"+pid, ""), http.StatusBadRequest, "", "it is non-electable")
		}
	}
}

// TestUnsafeRemoval: the node is out of the map at once, its process runs and
// stays out until an operator adds it again.
func TestUnsafeRemoval(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2, 3)
	p, target, proxy := c.primary(c.nodes[0]), c.targets()[0], c.secondaries()[0]
	tid, pid := c.idOf(target), c.idOf(proxy)
	createBucket(t, p, "b", "")
	refused(t, membershipAct(t, p, "rm-unsafe", `{"sid":"`+tid+`"}`), http.StatusBadRequest, "", `expecting "skip_rebalance": true`)
	mustAct(t, http.StatusOK, p, "rm-unsafe", `{"sids":["`+tid+`","`+pid+`"],"skip_rebalance":true}`)
	if nodes, _ := c.members(p); len(nodes) != 3 {
		t.Errorf("map %v, want 3 nodes", nodes)
	}
	for _, n := range []*playground.Node{target, proxy} {
		c.eventually(n.Name()+" knows that it is out", func() error {
			if a := call(t, http.MethodGet, n.URL()+"/v1/health?readiness=true", ""); !strings.Contains(a.body, "an operator has removed this node") {
				return fmt.Errorf("readiness %d %s", a.status, a.body)
			}
			return nil
		})
		if plain, ready := c.health(n); plain != http.StatusOK || ready != http.StatusServiceUnavailable {
			t.Errorf("health %d, readiness %d, want 200 and 503", plain, ready)
		}
	}
	createBucket(t, p, "b2", "")
	if nodes, _ := c.members(p); len(nodes) != 3 {
		t.Errorf("map %v: they came back by themselves", nodes)
	}
	if got := c.join(http.StatusOK, p, target, "target"); got.ID != tid {
		t.Errorf("joined as %+v", got)
	}
	if err := proxy.Signal(15); err != nil { // or by a new start
		t.Fatal(err)
	}
	c.awaitStopped(proxy)
	c.start(proxy)
	c.waitReady()
}

// TestRemovalOfATargetThatHasJustDied: its names must not have another owner
// before its lease has certainly ended. The call says that it goes on, and so
// it does.
func TestRemovalOfATargetThatHasJustDied(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 3)
	p, target := c.nodes[0], c.targets()[0]
	tid := c.idOf(target)
	createBucket(t, p, "b", "")
	if err := target.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	died := time.Now()
	a := mustAct(t, http.StatusServiceUnavailable, p, "rm-unsafe", sid(tid))
	if !strings.Contains(a.body, "goes on") || a.header.Get("Retry-After") == "" {
		t.Errorf("%s", a.body)
	}
	refused(t, membershipAct(t, p, "rm-unsafe", sid(tid)), http.StatusConflict, "ErrBusy", "rm-unsafe of ["+tid+"] is under way")
	c.awaitFlags(p, tid, -1)
	if took := time.Since(died); took < 40*time.Second {
		t.Errorf("removed %v after its death: its lease may not have ended", took)
	}
	c.eventually("the operation ends", func() error {
		if op := c.operations(p).Current; op != nil {
			return fmt.Errorf("%+v", op)
		}
		return nil
	})
	c.start(target) // it knows nothing of it, and is welcome
	c.awaitFlags(p, tid, 0)
}
