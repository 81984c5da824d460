package test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/aistore-go/aistore/deploy/playground"
)

// startThreeDisks starts a cluster of a gateway and a target with three disks, and a
// bucket "b".
func startThreeDisks(t *testing.T) (c *cluster, n *playground.Node, disks []string) {
	t.Helper()
	c = newCluster(t, 1, 1)
	if err := c.WriteConfiguration(); err != nil {
		t.Fatal(err)
	}
	n = c.targets()[0]
	paths := map[string]string{}
	for i := range 3 {
		path := c.newDisk(fmt.Sprintf("disks/d%d", i+1))
		paths[path] = "pool"
		disks = append(disks, path)
	}
	c.startWith(n, paths)
	createBucket(t, c.nodes[0], "b", "")
	return c, n, disks
}

// putChunked stores objects of two chunks.
func (c *cluster) putChunked(all objects, folder string, count int) {
	c.t.Helper()
	for i := range count {
		name := fmt.Sprintf("%s/o%03d", folder, i)
		address := objectURL(c.nodes[0], "b", name)
		id := must(c.t, http.StatusOK, http.MethodPost, address, `{"action":"mpt-upload"}`).body
		parts := []string{"first of " + name, ", second of " + name}
		for number, part := range parts {
			must(c.t, http.StatusOK, http.MethodPut, fmt.Sprintf("%s?uploadId=%s&partNumber=%d", address, id, number+1), part)
		}
		must(c.t, http.StatusOK, http.MethodPost, address+"?uploadId="+id,
			`{"action":"mpt-complete","value":[{"part-number":1,"etag":""},{"part-number":2,"etag":""}]}`)
		all[name] = parts[0] + parts[1]
	}
}

// chunksOn is how many chunks, beside the first of each object, lie on a disk.
func chunksOn(t *testing.T, path string) (n int) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(path, "@ais/b/%ch"), func(_ string, entry os.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			n++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestTargetIsKilledWhileItMakesCopies: make-n-copies goes on under its id after a
// restart and ends well; so does the making of copies of objects that were acknowledged
// right before. Nothing is lost, and every object has all its copies.
func TestTargetIsKilledWhileItMakesCopies(t *testing.T) {
	t.Parallel()
	c, n, all := startThreeDisks(t)
	objects := c.putObjects(300)
	chunked := 50
	c.putChunked(objects, "chunked", chunked)
	files := func() (sum int) {
		for _, path := range all {
			sum += len(onDisk(t, path))
		}
		return sum
	}
	every := func() {
		t.Helper()
		c.eventually("each object has three files", func() error {
			for _, path := range all {
				if have := len(onDisk(t, path)); have != len(objects) {
					return fmt.Errorf("%d of %d objects on %s", have, len(objects), path)
				}
				if have := chunksOn(t, path); have != chunked {
					return fmt.Errorf("%d of %d second chunks on %s", have, chunked, path)
				}
			}
			return nil
		})
		c.wantObjects(objects)
	}
	job := startBulk(t, c.nodes[0], http.MethodPost, "/b", "make-n-copies", "3")
	c.eventually("some copies are made", func() error {
		if files() == len(objects) {
			return fmt.Errorf("none yet")
		}
		return nil
	})
	c.restartTarget(n, syscall.SIGKILL)
	if s := c.awaitJob(c.nodes[0], job); s.Aborted || s.Err != "" {
		t.Errorf("make-n-copies: %+v", s)
	}
	every()
	c.putChunked(objects, "newchunked", 20) // and put-copies, in its midst
	chunked += 20
	for i := range 150 {
		name := fmt.Sprintf("new/o%03d", i)
		objects[name] = "content of " + name
		must(t, http.StatusOK, http.MethodPut, objectURL(c.nodes[0], "b", name), objects[name])
	}
	c.restartTarget(n, syscall.SIGKILL)
	every()
}
