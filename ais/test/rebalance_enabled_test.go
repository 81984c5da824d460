package test

import (
	"fmt"
	"net/http"
	"testing"
)

// TestTargetJoinsWhileRebalanceIsDisabled: nothing moves, and everything can be read;
// when rebalances are allowed again what has changed its owner moves by itself.
func TestTargetJoinsWhileRebalanceIsDisabled(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, 3)
	c.Mountpaths = 2
	c.upBut(1)
	p := c.nodes[0]
	createBucket(t, p, "b", "")
	objects := c.putMixed("b", 60)
	must(t, http.StatusOK, http.MethodPut, p.URL()+"/v1/cluster/set-config?rebalance.enabled=false", "")
	c.start(c.nodes[3])
	c.waitReady()
	for name, content := range objects {
		c.readBack(p, "b", name, content)
	}
	version := func() int64 {
		return decode[struct {
			RMD struct {
				Version int64 `json:"version"`
			} `json:"rmd"`
		}](t, must(t, http.StatusOK, http.MethodGet, p.URL()+"/v1/cluster?what=smapvote", "").body).RMD.Version
	}
	if v := version(); v != 0 {
		t.Fatalf("a rebalance was asked for: g%d", v)
	}
	must(t, http.StatusOK, http.MethodPut, p.URL()+"/v1/cluster/set-config?rebalance.enabled=true", "")
	if v := version(); v != 1 {
		t.Fatalf("the latest rebalance is g%d, want g1", v)
	}
	c.eventually("g1 is known", func() error {
		if a := call(t, http.MethodGet, p.URL()+"/v1/cluster?what=status", `{"id":"g1"}`); a.status != http.StatusOK {
			return fmt.Errorf("%d %s", a.status, a.body)
		}
		return nil
	})
	if s := c.awaitRebalance("g1"); s.Aborted || s.Err != "" {
		t.Fatalf("%+v", s)
	}
	c.atOwners("b", objects)
	for name, content := range objects {
		c.readBack(p, "b", name, content)
	}
}
