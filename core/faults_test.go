package core

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/fs/faultfs"
)

// operation is one write whose every system call is made to fail in turn.
type operation struct {
	name    string
	object  string
	before  string // content, "" if the object does not exist
	after   string // content, "" if it is deleted
	prepare func(*rig)
	run     func(*rig) error
}

func faultOperations() []operation {
	put := func(name, content string, custom ...KV) func(*rig) error {
		return func(r *rig) error {
			_, err := r.tryPut(name, content, PutOptions{Size: int64(len(content)), Custom: custom})
			return err
		}
	}
	remove := func(name string) func(*rig) error {
		return func(r *rig) error { return r.store.Delete(context.Background(), r.key(name)) }
	}
	long := strings.Repeat("0123456789abcdef", 1<<16+1) // over 1 MiB
	large := KV{"k", strings.Repeat("v", 2040)}
	return []operation{
		{name: "new object in new directories", object: "d/e/f", after: "new", run: put("d/e/f", "new")},
		{name: "overwrite", object: "o", before: "old", after: "new", run: put("o", "new")},
		{name: "long body", object: "o", before: "old", after: long, run: put("o", long)},
		{name: "empty body", object: "o", before: "old", run: put("o", ""), after: "-"},
		{name: "delete", object: "o", before: "old", run: remove("o")},
		{name: "escaped overwrite", object: "a//b", before: "old", after: "new", run: put("a//b", "new")},
		{name: "escaped delete", object: "a//b", before: "old", run: remove("a//b")},
		{name: "collision", object: "p/q", after: "new", run: put("p/q", "new"), prepare: func(r *rig) { r.put("p", "file in the way") }},
		{name: "sidecar", object: "o", before: "old", after: "new", run: put("o", "new", large), prepare: func(r *rig) {
			if _, err := r.tryPut("o", "old", PutOptions{Size: 3, Custom: []KV{large}}); err != nil {
				r.tb.Fatal(err)
			}
		}},
		{name: "sidecar delete", object: "o", before: "old", run: remove("o"), prepare: func(r *rig) {
			if _, err := r.tryPut("o", "old", PutOptions{Size: 3, Custom: []KV{large}}); err != nil {
				r.tb.Fatal(err)
			}
		}},
	}
}

// TestFaultAtEveryCall makes each system call of an operation fail, once, with
// each of several errors: the object is the old or the new one, whole, an
// operation that succeeded took effect, nothing is left but in work and trash
// directories, and the next operation works.
func TestFaultAtEveryCall(t *testing.T) {
	for _, mode := range []struct {
		name  string
		props func(*meta.Bprops)
	}{{"sync", durable}, {"none", nil}} {
		for _, op := range faultOperations() {
			t.Run(mode.name+"/"+op.name, func(t *testing.T) {
				t.Parallel()
				sys := faultfs.New(nil)
				r := newRig(t, rigOptions{system: sys, props: mode.props, root: memoryDir(t)})
				for _, errno := range []unix.Errno{unix.EIO, unix.ENOSPC, unix.EROFS} {
					for _, late := range []bool{false, true} {
						calls := faultRun(t, r, sys, &op, errno, late)
						if calls < 2 {
							t.Fatalf("%d system calls seen", calls)
						}
					}
				}
			})
		}
	}
}

// faultRun fails the first call, then the second, ... until the operation ends
// before the fault; it returns how many there were.
func faultRun(t *testing.T, r *rig, sys *faultfs.System, op *operation, errno unix.Errno, late bool) int {
	t.Helper()
	for n := 1; ; n++ {
		reset(r)
		if op.prepare != nil {
			op.prepare(r)
		} else if op.before != "" {
			r.put(op.object, op.before)
		}
		version := "0"
		if _, attrs, found := r.get(op.object); found {
			version = attrs.Version
		}
		sys.Restart(faultfs.Fault{Nth: n, Err: errno, Late: late})
		err := op.run(r)
		sys.Heal()
		calls := sys.Calls()
		if len(calls) < n {
			if err != nil {
				t.Fatalf("fault %d was not reached, and yet: %v", n, err)
			}
			return n - 1
		}
		where := fmt.Sprintf("%v (late %v) in call %d, %s", errno, late, n, calls[n-1])
		checkAfterFault(t, r, op, err, version, where, errno == unix.EIO)
		if err != nil && errno == unix.ENOSPC && (calls[n-1].Op == faultfs.OpWrite || calls[n-1].Op == faultfs.OpCreate) && statusOf(err) != 507 {
			t.Errorf("%s: status %d, want 507: %v", where, statusOf(err), err)
		}
		if r.props.SyncWrites() && err == nil && isFlush(calls[n-1]) {
			t.Errorf("%s: acknowledged without being durable", where)
		}
		if t.Failed() {
			return n
		}
	}
}

// isFlush tells a call that makes an object durable. The index flushes its own
// files in the background, and no object waits for it.
func isFlush(c faultfs.Call) bool {
	flushes := []faultfs.Op{faultfs.OpSync, faultfs.OpSyncDir, faultfs.OpDatasync, faultfs.OpSyncfs}
	return slices.Contains(flushes, c.Op) && !isIndexPath(c.Path)
}

// checkAfterFault looks at the store, and, if asked to, again after a restart.
func checkAfterFault(t *testing.T, r *rig, op *operation, err error, version, where string, restart bool) {
	t.Helper()
	after := op.after
	if after == "-" {
		after = ""
	}
	for _, when := range []string{"now", "after a restart"} {
		content, attrs, found := r.get(op.object)
		old := found == (op.before != "") && content == op.before && (!found || attrs.Version == version)
		new := found == (op.after != "") && content == after
		if err == nil && !new || !old && !new {
			t.Errorf("%s: %s found %v, %d bytes, version %s; the operation said %v", where, when, found, len(content), attrs.Version, err)
		}
		if found {
			sum, sumErr := sumOf(cksum.XXHash2, []byte(content))
			if sumErr != nil || attrs.Checksum != sum {
				t.Errorf("%s: %s checksum %v of other content", where, when, attrs.Checksum)
			}
		}
		listed := slices.Contains(r.names(ListOptions{}), op.object)
		if listed != found {
			t.Errorf("%s: %s GET found %v, listing %v", where, when, found, listed)
		}
		if when == "now" {
			if left := r.files("/%ob/", "/%ox/", "/%wk/", "/%md/", "/.$deleted/"); len(left) > 0 {
				t.Errorf("%s: left behind: %q", where, left)
			}
			checkNoOrphans(t, r, where)
			if !restart {
				break
			}
			r.restart()
		} else if left := r.files("/%ob/", "/%ox/", "/%md/", "/.$deleted/"); len(left) > 0 {
			t.Errorf("%s: left behind after a restart: %q", where, left)
		}
	}
	r.put(op.object, "works again")
	if content, _, _ := r.get(op.object); content != "works again" {
		t.Errorf("%s: the next PUT is not visible", where)
	}
}

// checkNoOrphans fails if there are more sidecars than objects that need one,
// or more object files than names.
func checkNoOrphans(t *testing.T, r *rig, where string) {
	t.Helper()
	objects := r.files("/%md/", "/%wk/", "/.$deleted/")
	if names := r.names(ListOptions{}); len(objects) != len(names) {
		t.Errorf("%s: files %q, names %q", where, objects, names)
	}
}

// reset empties the bucket by deleting what is in it.
func reset(r *rig) {
	r.tb.Helper()
	for _, name := range r.names(ListOptions{}) {
		if err := r.store.Delete(context.Background(), r.key(name)); err != nil {
			r.tb.Fatal(err)
		}
	}
}

// TestNoSpaceKeepsTheOldObject is a disk that fills up and stays full.
func TestNoSpaceKeepsTheOldObject(t *testing.T) {
	t.Parallel()
	sys := faultfs.New(nil)
	r := newRig(t, rigOptions{system: sys, props: durable})
	r.put("o", "old")
	for _, fault := range []faultfs.Fault{
		{Op: faultfs.OpWrite, Err: unix.ENOSPC, Times: -1},
		{Op: faultfs.OpWrite, Err: unix.ENOSPC, Short: 10, Nth: 3, Times: -1},
		{Op: faultfs.OpCreate, Err: unix.ENOSPC, Times: -1},
		{Op: faultfs.OpSetXattr, Err: unix.ENOSPC, Times: -1},
		{Op: faultfs.OpWrite, Err: unix.EDQUOT, Times: -1},
		{Op: faultfs.OpRename, Err: unix.ENOSPC, Times: -1},
	} {
		sys.Inject(fault)
		_, err := r.tryPut("o", strings.Repeat("new", 1<<19), PutOptions{Size: 3 << 19})
		sys.Heal()
		if statusOf(err) != 507 || !strings.HasPrefix(err.Error(), "out of space") {
			t.Errorf("%s: %d %v", fault.Op, statusOf(err), err)
		}
		if content, attrs, _ := r.get("o"); content != "old" || attrs.Version != "1" {
			t.Errorf("%s: old object %q %+v", fault.Op, content, attrs)
		}
		if left := r.files("/%ob/"); len(left) > 0 {
			t.Errorf("%s: left behind: %q", fault.Op, left)
		}
	}
	// A full disk can be emptied.
	sys.Inject(faultfs.Fault{Op: faultfs.OpCreate, Err: unix.ENOSPC, Times: -1})
	sys.Inject(faultfs.Fault{Op: faultfs.OpMkdir, Err: unix.ENOSPC, Times: -1})
	if err := r.store.Delete(context.Background(), r.key("o")); err != nil {
		t.Errorf("DELETE on a full disk: %v", err)
	}
	sys.Heal()
}

// TestNoRoomForAnAnnouncedBody: a disk that cannot take a large body refuses it
// before it is sent; a filesystem that cannot reserve takes it.
func TestNoRoomForAnAnnouncedBody(t *testing.T) {
	t.Parallel()
	sys := faultfs.New(nil)
	r := newRig(t, rigOptions{system: sys})
	if r.fs.Filesystems()[0].Type == "tmpfs" {
		t.Log("in memory nothing is reserved")
		return
	}
	long := strings.Repeat("0123456789abcdef", 8<<16)
	sys.Inject(faultfs.Fault{Op: faultfs.OpPreallocate, Err: unix.ENOSPC})
	body := strings.NewReader(long)
	_, err := r.store.Put(context.Background(), r.key("o"), body, PutOptions{Size: int64(len(long))})
	if statusOf(err) != 507 || len(long)-body.Len() > streamBuffer {
		t.Errorf("%v after %d bytes", err, len(long)-body.Len())
	}
	if left := r.files("/%ob/"); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	sys.Inject(faultfs.Fault{Op: faultfs.OpPreallocate, Err: unix.ENOTSUP})
	r.put("o", long)
	if content, _, _ := r.get("o"); content != long {
		t.Error("content differs")
	}
}
