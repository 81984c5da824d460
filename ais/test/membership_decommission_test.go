package test

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/aistore-go/aistore/deploy/playground"
)

// ownFiles are the files that a node keeps for itself: in its configuration
// folder, and at the roots of its mountpaths.
func (c *cluster) ownFiles(n *playground.Node) (files []string) {
	c.t.Helper()
	folders := []string{n.Dir}
	for i := 1; n.Role == playground.Target && i <= c.Mountpaths; i++ {
		folders = append(folders, c.Mountpath(n, i))
	}
	for _, folder := range folders {
		entries, err := os.ReadDir(folder)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			c.t.Fatal(err)
		}
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), ".ais.") && !e.IsDir() {
				files = append(files, filepath.Join(folder, e.Name()))
			}
		}
	}
	return files
}

// traces are what must be gone from a node that was decommissioned: the
// bucket metadata stays with the data.
func (c *cluster) traces(n *playground.Node) []string {
	return slices.DeleteFunc(c.ownFiles(n), func(path string) bool { return strings.HasPrefix(filepath.Base(path), ".ais.bmd") })
}

func exists(t *testing.T, path string) bool {
	t.Helper()
	_, err := os.Stat(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return err == nil
}

// TestDecommission: the node forgets the cluster and the cluster forgets the
// node; with its plain configuration it joins again, under its old id.
func TestDecommission(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2, 3)
	p, target, proxy := c.primary(c.nodes[0]), c.targets()[0], c.secondaries()[0]
	tid, pid := c.idOf(target), c.idOf(proxy)
	createBucket(t, p, "b", "")
	for i := range 30 {
		c.putWhenServed(p, "b", "o"+itoa(i))
	}
	held := len(c.filesBelow(target))
	if held == 0 || !exists(t, filepath.Join(c.Mountpath(target, 1), ".ais.vmd")) {
		t.Fatalf("%d files, own files %v", held, c.ownFiles(target))
	}

	if a := mustAct(t, http.StatusOK, p, "decommission-node",
		`{"sids":["`+tid+`","`+pid+`"],"skip_rebalance":true,"keep_initial_config":true}`); a.body != "" {
		t.Errorf("body %q, want none", a.body)
	}
	nodes, _ := c.members(p)
	if _, in := nodes[tid]; in || len(nodes) != 3 {
		t.Errorf("map %v still has %s", nodes, tid)
	}
	c.awaitStopped(target)
	c.awaitStopped(proxy)
	if left := append(c.traces(target), c.traces(proxy)...); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if got := len(c.filesBelow(target)); got != held {
		t.Errorf("%d files of objects, were %d: user data is to stay", got, held)
	}
	must(t, http.StatusNotFound, http.MethodGet, p.URL()+"/v1/reverse/daemon?what=smap", "", "Ais-Node-Id", tid)

	c.start(target, "-daemon_id", tid)
	c.start(proxy, "-daemon_id", pid)
	c.awaitFlags(p, tid, 0)
	c.awaitFlags(p, pid, 0)
	c.waitReady()

	// For good this time, with the objects and the configuration.
	mustAct(t, http.StatusOK, p, "decommission-node", `{"sid":"`+tid+`","skip_rebalance":true,"rm_user_data":true}`)
	c.awaitStopped(target)
	if left := append(c.traces(target), c.filesBelow(target)...); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if exists(t, target.ClusterFile()) || exists(t, target.LocalFile()) {
		t.Error("the plain configuration is still there")
	}
}

// TestDecommissionWithoutShutdown: the process goes on, outside of the
// cluster, and joins again when it is started anew.
func TestDecommissionWithoutShutdown(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 2)
	p, target := c.nodes[0], c.targets()[0]
	tid := c.idOf(target)
	mustAct(t, http.StatusOK, p, "decommission-node", `{"sid":"`+tid+`","no_shutdown":true,"keep_initial_config":true}`)
	c.awaitFlags(p, tid, -1)
	if plain, ready := c.health(target); plain != http.StatusOK || ready != http.StatusServiceUnavailable {
		t.Errorf("health %d, readiness %d, want 200 and 503", plain, ready)
	}
	if left := c.traces(target); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	createBucket(t, p, "b", "")
	if nodes, _ := c.members(p); len(nodes) != 2 {
		t.Errorf("map %v: the node came back by itself", nodes)
	}
	if err := target.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	c.awaitStopped(target)
	c.start(target, "-daemon_id", tid)
	c.awaitFlags(p, tid, 0)
}

// TestDecommissionOfANodeThatIsAway: it learns of it when it comes back, and
// does what it was to do.
func TestDecommissionOfANodeThatIsAway(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 3)
	p, target := c.nodes[0], c.targets()[0]
	tid := c.idOf(target)
	createBucket(t, p, "b", "")
	for i := range 30 {
		c.putWhenServed(p, "b", "o"+itoa(i))
	}
	// In maintenance it owns nothing: its end need not wait for its lease.
	mustAct(t, http.StatusOK, p, "start-maintenance", sid(tid))
	if err := target.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	c.awaitStopped(target)
	refused(t, membershipAct(t, p, "decommission-node", `{"sid":"`+tid+`"}`), http.StatusBadRequest, "", "does not say whether its data has left")
	mustAct(t, http.StatusOK, p, "decommission-node", `{"sid":"`+tid+`","skip_rebalance":true,"rm_user_data":true,"keep_initial_config":true}`)
	c.awaitFlags(p, tid, -1)

	c.start(target)
	c.awaitStopped(target) // it is told, obeys and ends
	if left := append(c.traces(target), c.filesBelow(target)...); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	c.start(target, "-daemon_id", tid) // as a new node
	c.awaitFlags(p, tid, 0)
	if err := target.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	c.awaitStopped(target)
	c.start(target) // it is not told twice
	c.waitReady()
	c.awaitFlags(p, tid, 0)
}
