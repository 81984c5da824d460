package test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aistore-go/aistore/deploy/playground"
)

// TestRestartOfEverythingInAnyOrder: all nodes are killed and
// started again in random order, with pauses, several times. Nobody gives up
// waiting, nothing that was acknowledged is lost, and no map is older than one
// that was seen before.
func TestRestartOfEverythingInAnyOrder(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, 3)
	createBucket(t, c.nodes[0], "b", "")
	uuid, line := c.uuid(c.nodes[0]), lineage(t, c.nodes[0])
	random := rand.New(rand.NewPCG(7, 18))
	rounds := 3
	if longTests() {
		rounds = 20
	}
	for round := range rounds {
		name := fmt.Sprintf("bucket-%d", round)
		createBucket(t, c.nodes[random.IntN(3)], name, "")
		c.putEventually(c.nodes[0], name, "o", name)
		version := c.version(c.nodes[0])
		for _, i := range random.Perm(len(c.nodes)) {
			c.kill(c.nodes[i])
		}
		order := random.Perm(len(c.nodes))
		for _, i := range order {
			c.start(c.nodes[i])
			time.Sleep(time.Duration(random.IntN(700)) * time.Millisecond) // some find others there, some do not
		}
		c.waitReady()
		for _, n := range c.nodes {
			if got := c.version(n); got < version {
				t.Errorf("round %d: %s has map %d, %d was seen before", round, n.Name(), got, version)
			}
		}
		if got := c.uuid(c.nodes[0]); got != uuid || lineage(t, c.nodes[0]) != line {
			t.Fatalf("round %d: another cluster %s", round, got)
		}
		for i := range round + 1 {
			name := fmt.Sprintf("bucket-%d", i)
			c.readBack(c.nodes[random.IntN(3)], name, "o", name)
		}
	}
}

// TestRestartWithAllAddressesChanged: every node gets other ports; all
// that they are told is the new address of one of them.
func TestRestartWithAllAddressesChanged(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, 2)
	createBucket(t, c.nodes[0], "b", "")
	must(t, http.StatusOK, http.MethodPut, objectURL(c.nodes[0], "b", "o"), "before")
	before := c.smap(c.nodes[0])
	version := c.version(c.nodes[0])
	c.kill(c.nodes...)
	other := nextPorts(t, len(c.nodes))
	for i, n := range c.nodes {
		moveTo(t, n, other+i)
	}
	seed := c.nodes[4] // a target, of all
	for _, n := range c.nodes {
		onlySeed(t, n, seed.ControlURL())
	}
	for _, i := range []int{3, 1, 4, 0, 2} {
		c.start(c.nodes[i])
	}
	c.waitReady(c.nodes...)
	after := c.smap(c.nodes[0])
	for id := range before.Pmap {
		if _, ok := after.Pmap[id]; !ok {
			t.Errorf("proxy %s is not in the map any more", id)
		}
	}
	for id := range before.Tmap {
		if _, ok := after.Tmap[id]; !ok {
			t.Errorf("target %s is not in the map any more", id)
		}
	}
	for _, n := range c.nodes {
		c.eventually("new addresses at "+n.Name(), func() error {
			a, err := try(client, http.MethodGet, n.URL()+"/v1/daemon?what=smap", "")
			if err != nil {
				return err
			}
			for _, other := range c.nodes {
				if !containsAll(a.body, other.URL(), other.ControlURL()) {
					return fmt.Errorf("%s is missing", other.URL())
				}
			}
			return nil
		})
	}
	if got := c.version(c.nodes[0]); got <= version {
		t.Errorf("map version %d after %d", got, version)
	}
	c.readBack(c.nodes[0], "b", "o", "before")
	c.createEventually(c.nodes[2], "after")
}

// TestNobodyExitsBecauseOthersAreLate: a single node of a stopped
// cluster lives, says what it lacks, and serves as soon as the others come.
func TestNobodyExitsBecauseOthersAreLate(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, 2)
	createBucket(t, c.nodes[0], "b", "")
	must(t, http.StatusOK, http.MethodPut, objectURL(c.nodes[0], "b", "o"), "kept")
	c.kill(c.nodes...)
	for _, n := range []*playground.Node{c.nodes[4], c.nodes[2]} {
		c.start(n)
		c.eventually("life of "+n.Name(), func() error {
			a, err := try(client, http.MethodGet, n.URL()+"/v1/health", "")
			if err == nil && a.status != http.StatusOK {
				err = errors.New(a.body)
			}
			return err
		})
	}
	deadline := time.Now().Add(8 * time.Second)
	for time.Now().Before(deadline) { // longer than any wait inside
		for _, n := range []*playground.Node{c.nodes[4], c.nodes[2]} {
			if n.PID() == 0 {
				t.Fatalf("%s gave up: %s", n.Name(), n.Output())
			}
			must(t, http.StatusServiceUnavailable, http.MethodGet, n.URL()+"/v1/health?readiness=true", "")
		}
		time.Sleep(500 * time.Millisecond)
	}
	for _, i := range []int{3, 1, 0} {
		c.start(c.nodes[i])
	}
	c.waitReady()
	c.readBack(c.nodes[0], "b", "o", "kept")
}

func (c *cluster) uuid(n *playground.Node) string {
	c.t.Helper()
	return historyOf(c.t, n).UUID
}

func (c *cluster) version(n *playground.Node) (version int) {
	c.t.Helper()
	if _, err := fmt.Sscan(c.smap(n).Version, &version); err != nil {
		c.t.Fatal(err)
	}
	return version
}

func containsAll(text string, parts ...string) bool {
	return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(text, part) })
}
