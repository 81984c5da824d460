package test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/aistore-go/aistore/deploy/playground"
)

// TestWeaknessW37_NodesDoNotUseThePublicNetwork: no node reaches any other by
// the address that clients use, as with a load balancer or a firewall that is
// for clients only. All works: changes that are sent to a gateway that has to
// pass them on, questions about other nodes, listings, and a failover.
func TestWeaknessW37_NodesDoNotUseThePublicNetwork(t *testing.T) {
	t.Parallel()
	if !inNamespaces(t) {
		return
	}
	nw := newNetwork(t, 3, 2)
	if err := nw.WriteConfiguration(); err != nil {
		t.Fatal(err)
	}
	inside := func(n *playground.Node) string { return fmt.Sprintf("10.88.1.%d", n.Index+1) }
	for _, n := range nw.nodes {
		space := fmt.Sprintf("node%d", n.Index)
		system(t, "ip", "-n", space, "address", "add", inside(n)+"/24", "dev", "eth0")
		editJSON(t, n.LocalFile(), func(m map[string]any) {
			net := m["host_net"].(map[string]any)
			net["hostname_intra_control"], net["hostname_intra_data"] = inside(n), inside(n)
		})
		onlySeed(t, n, fmt.Sprintf("http://%s:%d", inside(nw.nodes[0]), nw.nodes[0].Port+1000))
		for _, other := range nw.nodes {
			if other != n {
				nw.dead(n, other)
			}
		}
	}
	t.Cleanup(nw.down)
	for _, n := range nw.nodes {
		nw.start(n)
	}
	nw.waitReady()
	nw.waitVotersAlive(nw.ids())
	for i, n := range nw.proxies() {
		bucket := fmt.Sprintf("b%d", i)
		createBucket(t, n, bucket, "")
		for _, name := range numbered(8) {
			nw.putWhenServed(n, bucket, name)
		}
		if names := listAll(t, nw.proxies(), bucket, "", 3); len(names) != 8 {
			t.Errorf("listed %q", names)
		}
		for _, other := range nw.nodes {
			nw.at(n, other, http.StatusOK, http.MethodGet, "?what=node_status", "")
		}
	}
	before := nw.fullMap(nw.nodes[0])
	for id, node := range before.Tmap {
		if node.Public.URL == node.IntraControl.URL || node.IntraControl.URL == "" {
			t.Fatalf("%s has %s and %s: the networks are not separate", id, node.Public.URL, node.IntraControl.URL)
		}
	}
	old, next := nw.anyPrimary(), nw.successor(before)
	nw.kill(old)
	for _, n := range nw.proxies() {
		if n != old {
			createBucket(t, n, fmt.Sprintf("after-%d", n.Index), "")
			nw.awaitPrimary(n, before, next)
		}
	}
}
