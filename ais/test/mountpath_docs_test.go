package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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
	path := os.Getenv("PATH")
	if _, err := exec.LookPath("curl"); err != nil {
		path = miniCurl(t) + string(os.PathListSeparator) + path
	}
	for _, e := range examplesOf(t, "../../docs/mountpaths.md") {
		cmd := exec.Command("/bin/sh", "-c", e.command)
		cmd.Env = append(os.Environ(), "PATH="+path, "AIS="+c.nodes[0].URL(), "TARGET="+c.nodeID(n), "DISKS="+filepath.Join(c.Root, "disks"))
		out, err := cmd.Output()
		if err != nil {
			t.Errorf("line %d: %s: %v", e.line, e.command, err)
		}
		got := strings.TrimSuffix(strings.ReplaceAll(string(out), "\r", ""), "\n")
		if want := strings.Join(e.want, "\n"); !printed(want, got) {
			t.Errorf("line %d: %s\nprinted:\n%s\nthe page says:\n%s", e.line, e.command, got, want)
		}
	}
}
