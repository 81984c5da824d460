package test

import (
	"strconv"
	"testing"
)

// TestRebalancePage runs every command of docs/rebalance.md, in order.
func TestRebalancePage(t *testing.T) {
	t.Parallel()
	runMovingPage(t, "rebalance.md")
}

// TestLifeOfNodesPage runs every command of docs/lifecycle_node.md, in order.
func TestLifeOfNodesPage(t *testing.T) {
	t.Parallel()
	runMovingPage(t, "lifecycle_node.md")
}

// runMovingPage runs a page in a cluster of three targets with thirty objects.
func runMovingPage(t *testing.T, name string) {
	t.Helper()
	c := newCluster(t, 1, 3)
	c.Mountpaths = 1
	c.up()
	createBucket(t, c.nodes[0], "b", "")
	c.putMixed("b", 30)
	n := c.targets()[0]
	page{name: name, stderr: true, dir: t.TempDir(), env: []string{
		"AIS=" + c.nodes[0].URL(), "AIS_ENDPOINT=" + c.nodes[0].URL(), "AIS_CLI_CONFIG_DIR=" + t.TempDir(), "AIS_DIRECT=",
		"TARGET=" + c.idOf(n), "DISKS=" + c.Mountpath(n, 1), "PID=" + strconv.Itoa(n.PID()),
	}}.run(t)
}
