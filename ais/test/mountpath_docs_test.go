package test

import (
	"path/filepath"
	"testing"
)

// TestMountpathsPage runs every command of docs/mountpaths.md, in order.
func TestMountpathsPage(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, 1)
	if err := c.WriteConfiguration(); err != nil {
		t.Fatal(err)
	}
	n := c.targets()[0]
	paths := map[string]string{}
	for _, name := range []string{"d1", "d2"} {
		paths[c.newDisk("disks/"+name)] = "pool"
	}
	c.newDisk("disks/d3")
	c.newDisk("disks/d4")
	c.startWith(n, paths)
	createBucket(t, c.nodes[0], "b", "")
	c.putObjects(30)
	page{name: "mountpaths.md", env: []string{"AIS=" + c.nodes[0].URL(), "TARGET=" + c.nodeID(n), "DISKS=" + filepath.Join(c.Root, "disks")}}.run(t)
}
