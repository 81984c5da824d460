package test

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
)

// index is how a target lists one of its mountpaths.
func (c *cluster) index(target int, mountpath string) (state struct {
	State          string
	Buckets, Ready int
}) {
	c.t.Helper()
	n := c.targets()[target]
	a := must(c.t, http.StatusOK, http.MethodGet, c.nodes[0].URL()+"/v1/reverse/daemon/mountpaths/index", "", "Ais-Node-Id", c.nodeID(n))
	return decode[map[string]struct {
		State          string
		Buckets, Ready int
	}](c.t, a.body)[mountpath]
}

// indexed waits until a mountpath is listed from its index.
func (c *cluster) indexed(target int, mountpath string) {
	c.t.Helper()
	c.eventually("index of "+mountpath, func() error {
		if i := c.index(target, mountpath); i.State != "ready" || i.Ready != i.Buckets || i.Buckets == 0 {
			return fmt.Errorf("%+v", i)
		}
		return nil
	})
}

// TestFilesChangedByHandAreListed after an operator has said so, and nothing
// else has changed then.
func TestFilesChangedByHandAreListed(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 1)
	p, n := c.nodes[0], c.targets()[0]
	createBucket(t, p, "b", "")
	content := map[string]string{}
	for _, name := range append(numbered(30), "dir/inner", "dir/to-copy", "removed", "later") {
		content[name] = "content of " + name
		must(t, http.StatusOK, http.MethodPut, objectURL(p, "b", name), content[name], "Ais-Custom-Md", "of="+name)
	}
	for i := 1; i <= c.Mountpaths; i++ {
		c.indexed(0, c.Mountpath(n, i))
	}
	check := func(when string) {
		t.Helper()
		want := slices.Sorted(maps.Keys(content))
		for _, size := range []int{0, 7} {
			if got := listAll(t, c.proxies(), "b", "", size); !slices.Equal(got, want) {
				t.Errorf("%s, page size %d: %s", when, size, firstDifference(got, want))
			}
		}
		for _, name := range want {
			if got := must(t, http.StatusOK, http.MethodGet, objectURL(p, "b", name), "").body; got != content[name] {
				t.Errorf("%s: %s holds %q", when, name, got)
			}
		}
	}
	check("at first")

	// A name is taken away, one comes as a copy with its attributes, to where
	// its object would lie, and a file that is no object.
	removed, later := c.fileOf("b", "removed"), c.fileOf("b", "later")
	must(t, http.StatusOK, http.MethodDelete, objectURL(p, "b", "later"), "")
	if out, err := exec.Command("cp", "--preserve=all", c.fileOf("b", "dir/to-copy"), later).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := errors.Join(os.Remove(removed), os.WriteFile(filepath.Join(filepath.Dir(removed), "note.txt"), []byte("a note"), 0o644)); err != nil {
		t.Fatal(err)
	}
	delete(content, "removed")
	content["later"] = content["dir/to-copy"]
	for i := 1; i <= c.Mountpaths; i++ {
		c.mountpath(n, "reindex-mp", c.Mountpath(n, i), "", http.StatusOK)
	}
	check("as soon as it was said")
	for i := 1; i <= c.Mountpaths; i++ {
		c.indexed(0, c.Mountpath(n, i))
	}
	check("compared")
	must(t, http.StatusNotFound, http.MethodGet, objectURL(p, "b", "removed"), "")
	must(t, http.StatusNotFound, http.MethodGet, objectURL(p, "b", "note.txt"), "")
	if a := must(t, http.StatusOK, http.MethodHead, objectURL(p, "b", "later"), ""); a.header.Get("Ais-Custom-Md") != "of=dir/to-copy" {
		t.Errorf("%v", a.header)
	}
	c.restartTarget(n, syscall.SIGKILL)
	check("after kill -9")
}

// TestMissingIndexIsCounted: while a mountpath has no index its buckets are
// listed by walking, which a metric counts, and no name is missing; then an
// operator has the index made.
func TestMissingIndexIsCounted(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 1)
	p, n := c.nodes[0], c.targets()[0]
	names := numbered(40)
	slices.Sort(names)
	buckets := []string{"a", "b", "c"}
	for _, bucket := range buckets {
		createBucket(t, p, bucket, "")
		for _, name := range names {
			must(t, http.StatusOK, http.MethodPut, objectURL(p, bucket, name), "x")
		}
	}
	mountpath := c.Mountpath(n, 1)
	c.indexed(0, mountpath)
	check := func(walked int64) {
		t.Helper()
		c.eventually("list.walk.n", func() error {
			if got := tracker(t, n)["list.walk.n"]; got != walked {
				return fmt.Errorf("%d, want %d", got, walked)
			}
			return nil
		})
		if got := series(t, n)["ais_target_list_walk_count"]; got != float64(walked) {
			t.Errorf("ais_target_list_walk_count is %g, want %d", got, walked)
		}
		for _, bucket := range buckets {
			if got := listAll(t, c.proxies(), bucket, "", 9); !slices.Equal(got, names) {
				t.Errorf("%s: %s", bucket, firstDifference(got, names))
			}
		}
	}
	check(0)
	if err := n.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	c.waitStopped(n)
	index := filepath.Join(mountpath, ".ais.index")
	if err := errors.Join(os.RemoveAll(index), os.WriteFile(index, nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	c.start(n)
	c.waitReady()
	if i := c.index(0, mountpath); i.State != "none" {
		t.Errorf("%+v", i)
	}
	check(int64(len(buckets)))
	c.mountpath(n, "reindex-mp", mountpath, "", http.StatusServiceUnavailable, "", "none can be made at the moment")
	for _, bucket := range buckets {
		must(t, http.StatusOK, http.MethodPut, objectURL(p, bucket, "written"), "x")
		must(t, http.StatusOK, http.MethodDelete, objectURL(p, bucket, names[0]), "")
	}
	names = append(names[1:], "written")
	slices.Sort(names)
	check(int64(len(buckets)))
	if err := os.Remove(index); err != nil {
		t.Fatal(err)
	}
	c.mountpath(n, "reindex-mp", mountpath, "", http.StatusOK)
	c.indexed(0, mountpath)
	check(0)
}
