package test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/deploy/playground"
)

// fullMap is a cluster map as clients decode it.
type fullMap struct {
	Pmap    map[string]*meta.Snode `json:"pmap"`
	Tmap    map[string]*meta.Snode `json:"tmap"`
	Primary *meta.Snode            `json:"proxy_si"`
	UUID    string                 `json:"uuid"`
	Created string                 `json:"creation_time"`
	Version int64                  `json:"version,string"`
}

func (c *cluster) fullMap(n *playground.Node) *fullMap {
	c.t.Helper()
	m := decode[fullMap](c.t, must(c.t, http.StatusOK, http.MethodGet, n.URL()+"/v1/daemon?what=smap", "").body)
	return &m
}

// successor is the node that clients expect to be primary after the one of a
// map: the active electable proxy with the highest digest, without some.
func (c *cluster) successor(m *fullMap, without ...string) *playground.Node {
	c.t.Helper()
	var next *meta.Snode
	for id, p := range m.Pmap {
		dead := id == m.Primary.ID
		for _, other := range without {
			dead = dead || id == other
		}
		if !dead && p.Flags&(1|flagMaintenance|flagLeaving) == 0 && (next == nil || p.Digest > next.Digest) {
			next = p
		}
	}
	for _, n := range c.proxies() {
		if next != nil && n.URL() == next.Public.URL {
			return n
		}
	}
	c.t.Fatal("nobody can follow")
	return nil
}

// await a primary at a gateway, by the first answer that shows another map: a
// client must never see an older one, nor a third proxy in between.
func (c *cluster) awaitPrimary(asked *playground.Node, before *fullMap, want *playground.Node) {
	c.t.Helper()
	seen := before.Version
	c.eventually("another primary at "+asked.Name(), func() error {
		m := c.fullMap(asked)
		switch {
		case m.Version < seen:
			c.t.Fatalf("%s shows map v%d after v%d", asked.Name(), m.Version, seen)
		case m.Primary.ID == before.Primary.ID:
			seen = m.Version
			return errors.New("still the old one")
		case m.Primary.Public.URL != want.URL():
			c.t.Fatalf("%s shows %s as primary, %s has the highest digest", asked.Name(), m.Primary.Public.URL, want.URL())
		case m.Version < before.Version+100:
			c.t.Fatalf("%s shows map v%d of the new primary after v%d, clients wait for 100 more", asked.Name(), m.Version, before.Version)
		case m.Pmap[before.Primary.ID] != nil:
			c.t.Fatalf("%s still shows the primary that failed", asked.Name())
		}
		return nil
	})
}

// sameMap waits until all given nodes, asked through a gateway, show one map
// and one list of buckets, byte for byte; and checks what holds for all maps.
func (c *cluster) sameMap(gateway *playground.Node, nodes []*playground.Node) *fullMap {
	c.t.Helper()
	ask := func(n *playground.Node, what string) string {
		a, err := try(client, http.MethodGet, gateway.URL()+"/v1/reverse/daemon?what="+what, "", "Ais-Node-Id", c.idAt(gateway, n))
		if err != nil || a.status != http.StatusOK {
			return fmt.Sprint(err, a.status, a.body)
		}
		return a.body
	}
	c.eventually("one map everywhere", func() error {
		for _, what := range []string{"smap", "bmd"} {
			first := ask(nodes[0], what)
			for _, n := range nodes[1:] {
				if other := ask(n, what); other != first {
					return fmt.Errorf("%s of %s: %s; of %s: %s", what, nodes[0].Name(), first, n.Name(), other)
				}
			}
		}
		return nil
	})
	m := c.fullMap(gateway)
	inIC := 0
	for _, p := range m.Pmap {
		if p.Flags&2 != 0 {
			inIC++
		}
	}
	if inIC != min(3, len(m.Pmap)) || m.Primary.Flags&2 == 0 {
		c.t.Errorf("v%d: %d of %d proxies are in the information center, the primary %v", m.Version, inIC, len(m.Pmap), m.Primary.Flags&2 != 0)
	}
	own, err := json.Marshal(m.Pmap[m.Primary.ID])
	if err != nil {
		c.t.Fatal(err)
	}
	if copied, err := json.Marshal(m.Primary); err != nil || string(own) != string(copied) {
		c.t.Errorf("v%d: the primary is %s, its record %s: %v", m.Version, copied, own, err)
	}
	return m
}

// TestContractC02C03C04_Failover: what clients see when primaries fail. The
// successor is the one that they compute, or the next one if that is dead,
// too; the version leaps; the old one is gone and comes back as a secondary; a
// primary that is back within moments keeps its role; and all nodes show one map.
func TestContractC02C03C04_Failover(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 4, 3)
	c.waitVotersAlive(c.ids())
	createBucket(t, c.nodes[0], "b", "")
	first := c.sameMap(c.nodes[0], c.nodes)
	uuid, created := first.UUID, first.Created

	// One dies.
	old, next := c.anyPrimary(), c.successor(first)
	c.kill(old)
	for _, n := range c.proxies() {
		if n != old {
			c.awaitPrimary(n, first, next)
		}
	}
	createBucket(t, next, "after-one", "")
	c.start(old)
	c.waitReady()
	second := c.sameMap(old, c.nodes)
	if second.Primary.Public.URL != next.URL() || second.Pmap[first.Primary.ID] == nil {
		t.Fatalf("the old primary came back, and the map is %+v", second)
	}
	if second.UUID != uuid || second.Created != created {
		t.Errorf("UUID %s of %s, was %s of %s", second.UUID, second.Created, uuid, created)
	}

	// One is killed and started at once.
	began := time.Now()
	c.kill(next)
	c.start(next)
	c.eventually("its return", func() error {
		_, err := try(client, http.MethodGet, next.URL()+"/v1/health", "")
		return err
	})
	took := time.Since(began)
	c.waitReady()
	third := c.sameMap(c.nodes[0], c.nodes)
	switch kept := third.Primary.ID == second.Primary.ID; {
	case kept && third.Version >= second.Version+100, !kept && third.Version < second.Version+100:
		t.Errorf("primary %s at v%d, then %s at v%d", second.Primary.ID, second.Version, third.Primary.ID, third.Version)
	case !kept && took < 2*time.Second:
		t.Errorf("a primary that was away for %v lost its role", took)
	}

	// One dies together with the one that would follow it.
	c.waitVotersAlive(c.ids())
	old, next = c.anyPrimary(), c.successor(third)
	dead := c.idOf(next)
	last := c.successor(third, dead)
	c.signal(old, syscall.SIGKILL)
	c.signal(next, syscall.SIGKILL)
	var alive []*playground.Node
	for _, n := range c.nodes {
		if n != old && n != next {
			alive = append(alive, n)
		}
	}
	for _, n := range alive {
		c.awaitPrimary(n, third, last)
	}
	createBucket(t, alive[0], "after-two", "")
	c.sameMap(alive[0], alive)
	c.start(old)
	c.start(next)
	c.waitReady()
	if m := c.sameMap(c.nodes[0], c.nodes); m.Primary.Public.URL != last.URL() || len(m.Pmap) != 4 || len(m.Tmap) != 3 {
		t.Errorf("in the end: %+v", m)
	}
}

// TestContractC12_TwoProxies: the smallest cluster that survives the loss of
// its primary has two proxies and a target, which votes.
func TestContractC12_TwoProxies(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2, 1)
	c.waitVotersAlive(c.ids())
	before := c.sameMap(c.nodes[0], c.nodes)
	old, next := c.anyPrimary(), c.successor(before)
	createBucket(t, old, "b", "")
	c.putWhenServed(old, "b", "o")
	c.kill(old)
	c.awaitPrimary(next, before, next)
	createBucket(t, next, "after", "")
	if got := must(t, http.StatusOK, http.MethodGet, objectURL(next, "b", "o"), "").body; got != "content" {
		t.Errorf("the object holds %q", got)
	}
	c.start(old)
	c.waitReady()
	c.sameMap(old, c.nodes)
}
