package test

import (
	"fmt"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/aistore-go/aistore/deploy/playground"
)

// leaveLimit is what clients give a dead node to leave the map, and a node
// that was started again to return.
const leaveLimit = 2 * time.Minute

// TestContractC05_DeadNodesLeaveAndReturn: a proxy and a target are killed.
// Both leave the map of every node, and come back under their ids when they
// are started again, on other ports; the target with all that it has.
func TestContractC05_DeadNodesLeaveAndReturn(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, 3)
	createBucket(t, c.nodes[0], "b", "")
	names := numbered(30)
	for _, name := range names {
		must(t, http.StatusOK, http.MethodPut, objectURL(c.nodes[0], "b", name), "content "+name)
	}
	proxy, target := c.secondaries()[0], c.targets()[0]
	ids := c.ids()
	var alive []*playground.Node
	for _, n := range c.nodes {
		if n != proxy && n != target {
			alive = append(alive, n)
		}
	}
	before := c.version(alive[0])
	killed := time.Now()
	c.kill(proxy, target)
	for _, n := range alive {
		c.within(leaveLimit-time.Since(killed), "both are out at "+n.Name(), func() error {
			if m := c.fullMap(n); m.Pmap[ids[proxy]] != nil || m.Tmap[ids[target]] != nil {
				return fmt.Errorf("%d proxies and %d targets in v%d", len(m.Pmap), len(m.Tmap), m.Version)
			}
			return nil
		})
	}
	t.Logf("both out after %v", time.Since(killed).Round(time.Second))
	without := c.sameMap(alive[0], alive)
	if len(without.Pmap) != 2 || len(without.Tmap) != 2 || without.Version <= int64(before) {
		t.Errorf("map v%d of %d and %d nodes after v%d", without.Version, len(without.Pmap), len(without.Tmap), before)
	}
	if a := must(t, http.StatusOK, http.MethodGet, alive[0].URL()+"/v1/cluster?what=status_all", `{"kind":"rebalance"}`); a.body != "null\n" {
		t.Errorf("a removal of the dead has started a rebalance: %s", a.body)
	}
	createBucket(t, alive[0], "meanwhile", "")

	base := nextPorts(t, 2)
	moveTo(t, proxy, base)
	moveTo(t, target, base+1)
	started := time.Now()
	c.start(proxy)
	c.start(target)
	for _, n := range c.nodes {
		c.within(leaveLimit-time.Since(started), "both are back at "+n.Name(), func() error {
			a, err := try(client, http.MethodGet, n.URL()+"/v1/daemon?what=smap", "")
			if err != nil || a.status != http.StatusOK {
				return fmt.Errorf("%w %d", err, a.status)
			}
			m := decode[fullMap](t, a.body)
			if p, s := m.Pmap[ids[proxy]], m.Tmap[ids[target]]; p == nil || s == nil || p.Public.URL != proxy.URL() || s.Public.URL != target.URL() {
				return fmt.Errorf("v%d: %+v and %+v", m.Version, p, s)
			}
			return nil
		})
	}
	t.Logf("both back after %v", time.Since(started).Round(time.Millisecond))
	c.waitReady(c.nodes...)
	if m := c.sameMap(proxy, c.nodes); len(m.Pmap) != 3 || len(m.Tmap) != 3 || m.Version <= without.Version {
		t.Errorf("map v%d of %d and %d nodes after v%d", m.Version, len(m.Pmap), len(m.Tmap), without.Version)
	}
	for _, name := range names {
		c.readBack(proxy, "b", name, "content "+name)
	}
	must(t, http.StatusOK, http.MethodHead, proxy.URL()+"/v1/buckets/meanwhile", "")
}

// TestTargetThatSaidGoodbyeDelaysNobody: a target that was stopped in order
// has said that it writes nothing any more. Another change of the targets need
// not wait until its right to write has run out.
func TestTargetThatSaidGoodbyeDelaysNobody(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2, 3)
	createBucket(t, c.nodes[0], "b", "")
	c.putWhenServed(c.nodes[0], "b", "o")
	stopped, other := c.targets()[0], c.idOf(c.targets()[1])
	c.signal(stopped, syscall.SIGTERM)
	c.waitStopped(stopped)
	began := time.Now()
	mustAct(t, http.StatusOK, c.nodes[0], "start-maintenance", sid(other))
	c.awaitFlags(c.nodes[0], other, flagMaintenance|flagDataMoved)
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("maintenance of another target took %v", took)
	}
}
