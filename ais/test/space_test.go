package test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/deploy/playground"
)

const (
	oosFlags = 1<<8 | 1<<22  // OOS, disk-OOS
	lowFlags = 1<<11 | 1<<23 // low-usable-capacity, disk-low-capacity
)

// smallDisks puts filesystems in memory, of so many MiB, under the mountpaths of the
// targets.
func (c *cluster) smallDisks(sizes ...int) {
	c.t.Helper()
	c.Mountpaths = len(sizes)
	for _, n := range c.targets() {
		for i, size := range sizes {
			path := c.Mountpath(n, i+1)
			if err := os.MkdirAll(path, 0o755); err != nil {
				c.t.Fatal(err)
			}
			if err := unix.Mount("tmpfs", path, "tmpfs", 0, fmt.Sprintf("size=%dm", size)); errors.Is(err, unix.EPERM) {
				c.cannotMount("no permission to mount filesystems")
			} else if err != nil {
				c.t.Fatal(err)
			}
			c.t.Cleanup(func() {
				if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
					c.t.Error(err)
				}
			})
			if err := unix.Setxattr(path, "user.probe", []byte("1"), 0); err != nil {
				c.cannotMount("filesystems in memory keep no attributes here")
			}
		}
	}
}

// cannotMount skips the test, or fails it where the disks are required
// (AIS_TEST_REQUIRE_MOUNT=yes), as the gate does.
func (c *cluster) cannotMount(why string) {
	c.t.Helper()
	if os.Getenv("AIS_TEST_REQUIRE_MOUNT") == "yes" {
		c.t.Fatalf("%s, and AIS_TEST_REQUIRE_MOUNT is set", why)
	}
	c.t.Skip(why)
}

// startJob starts a job by the generic call and waits for its end.
func (c *cluster) startJob(value string) {
	c.t.Helper()
	url := c.nodes[0].URL() + "/v1/cluster"
	id := must(c.t, http.StatusOK, http.MethodPut, url, `{"action":"start","value":`+value+`}`, "Content-Type", jsonType).body
	c.eventually("the end of job "+value, func() error {
		a := must(c.t, http.StatusOK, http.MethodGet, url+"?what=status", `{"id":"`+id+`"}`, "Content-Type", jsonType)
		status := decode[struct {
			End     int64  `json:"end_time"`
			Error   string `json:"err"`
			Aborted bool   `json:"aborted"`
		}](c.t, a.body)
		if status.Error != "" || status.Aborted {
			c.t.Fatalf("job %s: %s", value, a.body)
		}
		if status.End == 0 {
			return errors.New("it runs")
		}
		return nil
	})
}

func (c *cluster) counter(n *playground.Node, name string) string {
	c.t.Helper()
	a := must(c.t, http.StatusOK, http.MethodGet, n.URL()+"/v1/daemon?what=node_stats", "")
	return decode[struct {
		Tracker map[string]struct {
			Value json.Number `json:"v"`
		} `json:"tracker"`
	}](c.t, a.body).Tracker[name].Value.String()
}

// filled writes objects of 1 MiB until one is refused, and returns the names of those that
// are there, and of the refused one.
func (c *cluster) filled(prefix, content string) (there []string, refused string, message string) {
	c.t.Helper()
	for i := range 1000 {
		name := fmt.Sprintf("%s%04d", prefix, i)
		switch a := call(c.t, http.MethodPut, objectURL(c.nodes[0], "b", name), content); a.status {
		case http.StatusOK:
			there = append(there, name)
		case http.StatusInsufficientStorage:
			return there, name, a.body
		default:
			c.t.Fatalf("PUT %s: %d %s", name, a.status, a.body)
		}
	}
	c.t.Fatal("the disk is never full")
	return nil, "", ""
}

// TestFullDisk: a mountpath that is full refuses its names, before the kernel does;
// the other one goes on; reads and DELETEs work; and when there is space again the refusal and the alert end. Then
// eviction makes space in a bucket that has opted in, and in no other.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, 1)
	c.Config["space"] = map[string]any{"cleanupwm": 60, "lowwm": 70, "highwm": 80, "out_of_space": 90}
	c.Config["periodic"] = map[string]any{"stats_time": "1s"}
	c.smallDisks(64, 640)
	c.up()
	target := c.targets()[0]
	createBucket(t, c.nodes[0], "b", "")
	content := strings.Repeat("0123456789abcdef", 1<<16)

	there, refused, message := c.filled("o", content)
	if !strings.Contains(message, `"message":"out of space: used 9`) || !strings.Contains(message, "of total capacity on at least one of the mountpaths (total used ") {
		t.Errorf("507 says %s", message)
	}
	c.wantFlags(target, 6|oosFlags)
	others := 0
	for i := range 20 {
		if name := fmt.Sprintf("more%d", i); call(t, http.MethodPut, objectURL(c.nodes[0], "b", name), "x").status == http.StatusOK {
			there, others = append(there, name), others+1
		}
	}
	if others == 0 || others == 20 {
		t.Errorf("%d of 20 PUTs work while one of two mountpaths is full", others)
	}
	for _, name := range there {
		if a := must(t, http.StatusOK, http.MethodGet, objectURL(c.nodes[0], "b", name), ""); a.body != content && a.body != "x" {
			t.Errorf("%s: %d bytes of something else", name, len(a.body))
		}
	}
	if names := listAll(t, c.proxies(), "b", "", 100); len(names) != len(there) {
		t.Errorf("%d of %d names are listed", len(names), len(there))
	}
	small := c.Mountpath(target, 1)
	onSmall := func() (names []string) {
		err := filepath.WalkDir(filepath.Join(small, "@ais", "b", "%ob"), func(path string, e fs.DirEntry, err error) error {
			if err == nil && !e.IsDir() {
				names = append(names, filepath.Base(path))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	freed := time.Now()
	for _, name := range onSmall() {
		must(t, http.StatusOK, http.MethodDelete, objectURL(c.nodes[0], "b", name), "")
		there = slices.DeleteFunc(there, func(n string) bool { return n == name })
	}
	c.eventually("a PUT of what was refused", func() error {
		if a := call(t, http.MethodPut, objectURL(c.nodes[0], "b", refused), content); a.status != http.StatusOK {
			return errors.New(a.body)
		}
		return nil
	})
	if took := time.Since(freed); took > 10*time.Second {
		t.Errorf("writes are refused for %v after there is space", took)
	}
	c.wantFlags(target, 6)

	// Eviction.
	c.filled("p", content)
	for _, name := range onSmall() {
		path := filepath.Join(small, "@ais", "b", "%ob", name)
		if err := os.Chtimes(path, time.Now().Add(-3*time.Hour), time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	before := len(onSmall())
	c.startJob(`{"Kind":"lru"}`)
	if n := len(onSmall()); n != before {
		t.Errorf("%d of %d objects are left of a bucket that did not opt in", n, before)
	}
	must(t, http.StatusOK, http.MethodPatch, c.nodes[0].URL()+"/v1/buckets/b", `{"action":"set-bprops","value":{"lru":{"enabled":true}}}`, "Content-Type", jsonType)
	c.startJob(`{"Kind":"lru-eviction","Bck":{"name":"b","provider":"ais"}}`)
	after := onSmall()
	var disk unix.Statfs_t
	if err := unix.Statfs(small, &disk); err != nil {
		t.Fatal(err)
	}
	if used := 100 - 100*disk.Bavail/disk.Blocks; used > 70 || used < 66 {
		t.Errorf("%d%% are used after eviction, want 70", used)
	}
	if n := c.counter(target, "lru.evict.n"); n != fmt.Sprint(before-len(after)) {
		t.Errorf("lru.evict.n is %s, want %d", n, before-len(after))
	}
	for _, name := range after {
		must(t, http.StatusOK, http.MethodHead, objectURL(c.nodes[0], "b", name), "")
	}
	c.wantFlags(target, 6)
}

// TestContentRemovedByHand: it is noticed, the mountpath goes on to be used, and what is gone
// is not listed.
func TestContentRemovedByHand(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 1)
	target := c.targets()[0]
	createBucket(t, c.nodes[0], "b", "")
	all := c.putObjects(40)
	gone := c.configured(target)[1]
	visible, err := filepath.Glob(filepath.Join(gone, "[^.]*"))
	if err != nil || len(visible) == 0 {
		t.Fatal(visible, err)
	}
	for _, path := range visible {
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
	}
	c.wantFlags(target, 6|diskFaultFlag)
	for name, content := range all {
		must(t, http.StatusOK, http.MethodPut, objectURL(c.nodes[0], "b", name), content)
	}
	if names := listAll(t, c.proxies(), "b", "", 100); len(names) != len(all) {
		t.Errorf("%d of %d names are listed", len(names), len(all))
	}
	c.wantMountpaths(target, c.configured(target), nil)
	c.mountpath(target, "fshc-mp", gone, "", http.StatusOK)
	c.wantFlags(target, 6)
}

// TestCleanupJob: what a crash left goes, once it is old enough; what is in use stays.
func TestCleanupJob(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 2)
	createBucket(t, c.nodes[0], "b", "")
	all := c.putObjects(20)
	target := c.targets()[0]
	bucket := filepath.Join(c.Mountpath(target, 1), "@ais", "b")
	work := filepath.Join(bucket, "%wk", "put.0123abcd.1.7b")
	fresh := filepath.Join(bucket, "%ob", "fresh")
	for _, path := range []string{work, fresh} {
		if err := os.WriteFile(path, []byte("left by a crash"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c.startJob(`{"Kind":"cleanup","Bck":null,"Buckets":null}`)
	if _, err := os.Stat(work); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a work file of another process: %v", err)
	}
	if _, err := os.Stat(fresh); err != nil {
		t.Errorf("what is younger than space.dont_cleanup_time: %v", err)
	}
	if n := c.counter(target, "cleanup.store.n"); n != "1" {
		t.Errorf("cleanup.store.n is %s", n)
	}
	for name, content := range all {
		if a := must(t, http.StatusOK, http.MethodGet, objectURL(c.nodes[0], "b", name), ""); a.body != content {
			t.Errorf("%s: %q", name, a.body)
		}
	}
}
