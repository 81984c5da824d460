package test

import (
	"fmt"
	"net/http"
	"syscall"
	"testing"
)

// TestTargetIsKilledWhileItMakesCopies: make-n-copies goes on under its id after a
// restart and ends well; so does the making of copies of objects that were acknowledged
// right before. Nothing is lost, and every object has all its copies.
func TestTargetIsKilledWhileItMakesCopies(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, 1)
	if err := c.WriteConfiguration(); err != nil {
		t.Fatal(err)
	}
	n := c.targets()[0]
	paths := map[string]string{}
	var all []string
	for i := range 3 {
		path := c.newDisk(fmt.Sprintf("disks/d%d", i+1))
		paths[path] = "pool"
		all = append(all, path)
	}
	c.startWith(n, paths)
	createBucket(t, c.nodes[0], "b", "")
	objects := c.putObjects(400)
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
	for i := range 200 { // and put-copies, in its midst
		name := fmt.Sprintf("new/o%03d", i)
		objects[name] = "content of " + name
		must(t, http.StatusOK, http.MethodPut, objectURL(c.nodes[0], "b", name), objects[name])
	}
	c.restartTarget(n, syscall.SIGKILL)
	every()
}
