package test

import (
	"path/filepath"
	"testing"
)

// TestResilverPage runs every command of docs/resilver.md, in order.
func TestResilverPage(t *testing.T) {
	t.Parallel()
	runDiskPage(t, "resilver.md", 2)
}

// TestStorageServicesPage runs every command of docs/storage_svcs.md, in order.
func TestStorageServicesPage(t *testing.T) {
	t.Parallel()
	runDiskPage(t, "storage_svcs.md", 3)
}

// TestHealthOfDisksPage runs every command of docs/fshc.md, in order.
func TestHealthOfDisksPage(t *testing.T) {
	t.Parallel()
	runDiskPage(t, "fshc.md", 2)
}

// runDiskPage runs a page on a target with disks d1, d2, ..., of which some are
// in use, and a bucket b with thirty objects.
func runDiskPage(t *testing.T, name string, disks int) {
	t.Helper()
	c := newCluster(t, 1, 1)
	if err := c.WriteConfiguration(); err != nil {
		t.Fatal(err)
	}
	n := c.targets()[0]
	paths := map[string]string{}
	for i, disk := range []string{"d1", "d2", "d3", "d4"} {
		path := c.newDisk("disks/" + disk)
		if i < disks {
			paths[path] = "pool"
		}
	}
	c.startWith(n, paths)
	createBucket(t, c.nodes[0], "b", "")
	c.putObjects(30)
	page{name: name, env: []string{
		"AIS=" + c.nodes[0].URL(), "AIS_ENDPOINT=" + c.nodes[0].URL(), "AIS_CLI_CONFIG_DIR=" + t.TempDir(), "AIS_DIRECT=",
		"TARGET=" + c.nodeID(n), "DISKS=" + filepath.Join(c.Root, "disks"), "LOG=" + n.LogDir(),
	}}.run(t)
}
