package test

import "testing"

// TestErasureCodingPage runs every command of docs/ec.md, in order, in a cluster of four
// targets with the buckets b, which has thirty objects, and c.
func TestErasureCodingPage(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 4)
	createBucket(t, c.nodes[0], "b", "")
	createBucket(t, c.nodes[0], "c", "")
	c.putMixed("b", 30)
	page{name: "ec.md", stderr: true, dir: t.TempDir(), env: []string{
		"AIS=" + c.nodes[0].URL(), "AIS_ENDPOINT=" + c.nodes[0].URL(), "AIS_CLI_CONFIG_DIR=" + t.TempDir(), "AIS_DIRECT=", "DISKS=" + c.Root,
	}}.run(t)
}
