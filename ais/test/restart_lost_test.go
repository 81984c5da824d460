package test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/aistore-go/aistore/deploy/playground"
)

// TestLostStateOfOneNode: a voter, the primary and a target come back by
// themselves with a state file that is damaged or gone, each under its id, and
// what is left of the file is kept.
func TestLostStateOfOneNode(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, 3)
	createBucket(t, c.nodes[0], "b", "")
	for i := range 30 {
		must(t, http.StatusOK, http.MethodPut, objectURL(c.nodes[0], "b", itoa(i)), "content "+itoa(i))
	}
	before, line, round := c.smap(c.nodes[0]), lineage(t, c.nodes[0]), 0
	for _, name := range []string{"removed", "emptied", "cut", "flipped bits"} {
		for _, who := range []string{"voter", "primary", "target"} {
			primary := c.primary(c.live())
			victim := primary
			switch who {
			case "voter":
				victim = c.nodes[(primary.Index+1)%3]
			case "target":
				victim = c.targets()[round%3]
			}
			round++
			c.kill(victim)
			damages[name](t, stateFile(victim))
			c.start(victim)
			c.waitReady()
			kept, err := filepath.Glob(stateFile(victim) + ".damaged.*")
			if err != nil {
				t.Fatal(err)
			}
			if name != "removed" && len(kept) == 0 {
				t.Errorf("%s of the %s: the file was not kept", name, who)
			}
			for _, path := range kept {
				if err := os.Remove(path); err != nil { // for the next round of this test
					t.Fatal(err)
				}
			}
			c.eventually(name+" of the "+who+": the log says that the state was lost", func() error {
				text := tail(filepath.Join(victim.LogDir(), "ais"+victim.Role+".INFO"), 1<<20)
				if !strings.Contains(text, "the stored state was lost") {
					return errors.New(text)
				}
				return nil
			})
			c.createEventually(c.proxies()[round%3], fmt.Sprintf("bucket-%d", round))
		}
	}
	after := c.smap(c.nodes[0])
	if len(after.Pmap) != 3 || len(after.Tmap) != 3 || lineage(t, c.nodes[0]) != line {
		t.Errorf("%d proxies, %d targets, lineage %s after %s", len(after.Pmap), len(after.Tmap), lineage(t, c.nodes[0]), line)
	}
	for id := range before.Pmap {
		if _, ok := after.Pmap[id]; !ok {
			t.Errorf("proxy %s has another id now", id)
		}
	}
	for i := range 30 {
		c.readBack(c.nodes[0], "b", itoa(i), "content "+itoa(i))
	}
}

// live is a proxy that runs.
func (c *cluster) live() *playground.Node {
	c.t.Helper()
	for _, n := range c.proxies() {
		if n.PID() != 0 {
			return n
		}
	}
	c.t.Fatal("no proxy runs")
	return nil
}

// TestFounderThatLostItsStateFoundsNothing: alone, it waits and says
// what for; with the others it is a member again.
func TestFounderThatLostItsStateFoundsNothing(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, 3)
	createBucket(t, c.nodes[0], "kept", "")
	uuid := c.uuid(c.nodes[0])
	c.kill(c.nodes...)
	founder := c.nodes[0]
	if err := os.Remove(stateFile(founder)); err != nil {
		t.Fatal(err)
	}
	c.start(founder)
	c.waitFenced(founder, "the stored state was lost", "asking "+c.nodes[1].ControlURL()+" for the cluster")
	if got := c.uuid(founder); got != "" {
		t.Fatalf("it founded %s", got)
	}
	// Nor after another start.
	if err := founder.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	c.waitStopped(founder)
	c.start(founder)
	c.waitFenced(founder, "the stored state was lost")
	for _, n := range c.nodes[1:] {
		c.start(n)
	}
	c.waitReady()
	must(t, http.StatusOK, http.MethodHead, founder.URL()+"/v1/buckets/kept", "")
	if got := c.uuid(founder); got != uuid {
		t.Errorf("cluster %s, want %s", got, uuid)
	}
}

// TestTargetWithoutStateJoinsTheClusterOfItsData, and no other: it waits
// there, without giving up, until it is told of its own.
func TestTargetWithoutStateJoinsTheClusterOfItsData(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 2)
	other := startCluster(t, 1, 1)
	createBucket(t, c.nodes[0], "b", "")
	for i := range 20 {
		must(t, http.StatusOK, http.MethodPut, objectURL(c.nodes[0], "b", itoa(i)), "content "+itoa(i))
	}
	n, uuid := c.nodes[2], c.uuid(c.nodes[0])
	c.kill(n)
	damages["removed"](t, stateFile(n))
	onlySeed(t, n, other.nodes[0].ControlURL())
	for _, export := range []string{".ais.conf", ".ais.smap"} { // a new system disk: nothing but the mountpaths is left
		if err := os.Remove(filepath.Join(n.Dir, export)); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	c.start(n)
	c.waitFenced(n, "the stored state was lost", uuid)
	if m := other.smap(other.nodes[0]); len(m.Tmap) != 1 {
		t.Errorf("the other cluster has %d targets", len(m.Tmap))
	}
	c.kill(n)
	onlySeed(t, n, c.nodes[0].ControlURL())
	c.start(n)
	c.waitReady()
	for i := range 20 {
		c.readBack(c.nodes[0], "b", itoa(i), "content "+itoa(i))
	}
}

// TestNewClusterGivesWayToAnOldOne: a proxy that was set up as the first
// of a new cluster by mistake notices the old one as soon as one of its nodes
// shows up, and joins it by itself.
func TestNewClusterGivesWayToAnOldOne(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2, 1)
	uuid := c.uuid(c.nodes[0])
	c.kill(c.nodes...)
	// One more proxy, configured as the first; nobody of the old cluster runs.
	wrong := newCluster(t, 1, 0)
	if err := wrong.WriteConfiguration(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(wrong.down)
	newcomer := wrong.nodes[0]
	wrong.start(newcomer)
	wrong.waitReady(newcomer)
	if got := wrong.uuid(newcomer); got == "" || got == uuid {
		t.Fatalf("it should have founded a cluster: %q", got)
	}
	// A target of the old cluster is told to ask there.
	target := c.nodes[2]
	onlySeed(t, target, newcomer.ControlURL())
	c.start(target)
	wrong.waitFenced(newcomer, "had founded a cluster by itself", uuid)
	c.start(c.nodes[0])
	c.start(c.nodes[1])
	c.waitReady()
	c.eventually("the newcomer in the old cluster", func() error {
		if h := historyOf(t, newcomer); h.UUID != uuid || h.Fenced != "" {
			return fmt.Errorf("cluster %q, fenced %q", h.UUID, h.Fenced)
		}
		return nil
	})
	if m := c.smap(c.nodes[1]); len(m.Pmap) != 3 {
		t.Errorf("%d proxies", len(m.Pmap))
	}
}
