package fs_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/hrw"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/fs/faultfs"
	"golang.org/x/sys/unix"
)

func TestOwner(t *testing.T) { // counts allocations, so it runs alone
	m := open(t, options(filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b"), filepath.Join(t.TempDir(), "c")))
	set, hits := m.Available(), make(map[*fs.Mountpath]int)
	for i := range 3000 {
		digest := hrw.Digest(testBucket.Uname(string(rune(i))))
		owner := set.Owner(digest)
		hits[owner]++
		for _, mp := range set.Paths {
			if hrw.Weight(mp.Digest, digest) > hrw.Weight(owner.Digest, digest) {
				t.Fatalf("%s outweighs the owner", mp.Path)
			}
		}
	}
	for mp, n := range hits {
		if n < 850 || n > 1150 {
			t.Errorf("%s owns %d of 3000", mp.Path, n)
		}
	}
	if n := testing.AllocsPerRun(100, func() { set.Owner(42) }); n != 0 {
		t.Errorf("Owner allocates %v times", n)
	}
}

func TestCreateBucketIsDurableAndIdempotent(t *testing.T) {
	t.Parallel()
	mp, system, _ := one(t)
	b := wire.Bck{Provider: wire.ProviderAIS, Ns: wire.Ns{Name: "ns"}, Name: "new"}
	for range 2 {
		if err := mp.CreateBucket(b); err != nil {
			t.Fatal(err)
		}
	}
	flushes := mp.Filesystem().FlushStats().Requests
	if err := mp.CreateBucket(b); err != nil || mp.Filesystem().FlushStats().Requests != flushes {
		t.Errorf("a complete bucket was flushed again, or: %v", err)
	}
	for _, content := range []string{"%ob", "%ox", "%wk", "%md", "%ch", "%ut", "%ov"} {
		if !exists(mp.BucketDir(b, content)) {
			t.Errorf("no directory %s", content)
		}
	}
	for _, dir := range []string{mp.Path + "/@ais", mp.Path + "/@ais/#ns", mp.Path + "/@ais/#ns/new"} {
		if system.Count(faultfs.OpSyncDir, dir) == 0 {
			t.Errorf("%s was not flushed", dir)
		}
	}
	if yes, err := mp.BucketExists(b); !yes || err != nil {
		t.Errorf("BucketExists = %v, %v", yes, err)
	}
}

// Whatever call fails, creating and destroying a bucket can be done again.
func TestBucketWithAFaultAtEveryCall(t *testing.T) {
	t.Parallel()
	for _, errno := range []unix.Errno{unix.EIO, unix.ENOSPC} {
		mp, system, _ := one(t)
		b := wire.Bck{Provider: wire.ProviderAWS, Name: "faulty"}
		for n := 1; ; n++ {
			system.Restart(faultfs.Fault{Nth: n, Path: mp.Path, Err: errno})
			createErr := mp.CreateBucket(b)
			fired := false
			for _, c := range system.Calls() {
				fired = fired || errors.Is(c.Err, errno)
			}
			system.Heal()
			if createErr == nil && !exists(mp.BucketDir(b, fs.ContentVersion)) {
				t.Fatalf("%v, call %d: created, but it is not there", errno, n)
			}
			if err := mp.CreateBucket(b); err != nil {
				t.Fatalf("%v, call %d: creating again: %v", errno, n, err)
			}
			touch(t, mp.BucketDir(b, fs.ContentObject)+"/deep/object")
			system.Inject(faultfs.Fault{Nth: n, Path: mp.Path, Err: errno})
			trashErr := mp.TrashBucket(b)
			system.Heal()
			if trashErr == nil && exists(mp.BucketDir(b, "")) {
				t.Fatalf("%v, call %d: destroyed, but it is still there", errno, n)
			}
			if err := mp.TrashBucket(b); err != nil || exists(mp.BucketDir(b, "")) {
				t.Fatalf("%v, call %d: destroying again: %v", errno, n, err)
			}
			if !fired || n > 300 {
				break
			}
		}
	}
}

func TestTrashBucket(t *testing.T) {
	t.Parallel()
	mp, system, _ := one(t)
	object := mp.BucketDir(testBucket, fs.ContentObject) + "/a/b/c"
	touch(t, object)
	if err := mp.TrashBucket(testBucket); err != nil {
		t.Fatal(err)
	}
	if exists(object) || system.Count(faultfs.OpSyncDir, mp.Path+"/@ais") == 0 {
		t.Error("the bucket is there, or its removal is not durable")
	}
	if err := mp.CreateBucket(testBucket); err != nil {
		t.Fatal(err)
	}
	if exists(object) {
		t.Error("an object of the destroyed bucket is in the new one")
	}
	eventually(t, "trash is empty", func() bool { return !exists(mp.Path + "/.$deleted/bucket") })
	missing := testBucket
	missing.Name = "missing"
	if err := mp.TrashBucket(missing); err != nil {
		t.Errorf("a bucket that is not there: %v", err)
	}
}

func TestTrashBucketOnAFullDisk(t *testing.T) {
	t.Parallel()
	for _, op := range []faultfs.Op{faultfs.OpMkdir, faultfs.OpRename} {
		mp, system, _ := one(t)
		touch(t, mp.BucketDir(testBucket, fs.ContentObject)+"/a/b/c")
		system.Inject(faultfs.Fault{Op: op, Times: -1, Err: unix.ENOSPC})
		if err := mp.TrashBucket(testBucket); err != nil {
			t.Errorf("%s: %v", op, err)
		}
		if exists(mp.BucketDir(testBucket, "")) {
			t.Errorf("%s: the bucket is still there", op)
		}
	}
}

func TestWorkFiles(t *testing.T) {
	t.Parallel()
	mp, _, _ := one(t)
	seen := make(map[string]bool)
	for range 100 {
		path, f, err := mp.NewWork(testBucket, strings.Repeat("append-to-arch", 20))
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(path)
		if len(name) > 64 || seen[name] || filepath.Dir(path) != mp.BucketDir(testBucket, fs.ContentWork) {
			t.Errorf("work file %s", path)
		}
		seen[name] = true
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	missing := testBucket
	missing.Name = "missing"
	if _, _, err := mp.NewWork(missing, "put"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("work file of a missing bucket: %v", err)
	}
}

func TestMakeDirs(t *testing.T) {
	t.Parallel()
	mp, _, _ := one(t)
	dir := mp.BucketDir(testBucket, fs.ContentObject)
	touch(t, dir+"/file")
	if err := mp.MakeDirs(dir + "/a/b/c"); err != nil || !exists(dir+"/a/b/c") {
		t.Errorf("MakeDirs: %v", err)
	}
	wantErrno(t, mp.MakeDirs(dir+"/file"), unix.ENOTDIR)
	wantErrno(t, mp.MakeDirs(dir+"/file/below"), unix.ENOTDIR)
	wantErrno(t, mp.MakeDirs("/tmp/elsewhere"), unix.EXDEV)
	// A root that is gone is an unmounted disk; making it would fill the one below.
	if err := os.Rename(mp.Path, mp.Path+".away"); err != nil {
		t.Fatal(err)
	}
	if err := mp.MakeDirs(dir + "/x"); !errors.Is(err, os.ErrNotExist) || exists(mp.Path) {
		t.Errorf("MakeDirs below a missing root: %v", err)
	}
}

func TestSlots(t *testing.T) {
	t.Parallel()
	opts := options(filepath.Join(t.TempDir(), "mp"))
	opts.Slots, opts.SlotWait = 2, 50*time.Millisecond
	mp := open(t, opts).Available().Paths[0]
	for range 2 {
		if err := mp.Acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	err := mp.Acquire(t.Context())
	var refused *apierr.Error
	if !errors.As(err, &refused) || refused.Status != apierr.StatusServiceUnavailable || refused.RetryAfter <= 0 {
		t.Errorf("a third operation got %v, want a 503 with Retry-After", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := mp.Acquire(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("with a canceled context: %v", err)
	}
	mp.Release()
	if err := mp.Acquire(t.Context()); err != nil || mp.InFlight() != 2 {
		t.Errorf("after a release: %v, %d in flight", err, mp.InFlight())
	}
}

func TestIOError(t *testing.T) {
	t.Parallel()
	mp, _, seen := one(t)
	for _, tc := range []struct {
		err    error
		status int
		kind   fs.EventKind
	}{
		{unix.ENOSPC, 507, fs.EventNoSpace},
		{unix.EDQUOT, 507, fs.EventNoSpace},
		{unix.EMFILE, 503, 0},
		{unix.ENOENT, 404, 0},
		{unix.ENOTDIR, 500, 0},
		{unix.ENAMETOOLONG, 500, 0},
		{unix.EIO, 500, fs.EventIOError},
		{unix.EROFS, 500, fs.EventIOError},
		{apierr.BadRequest("x"), 400, 0},
	} {
		before := seen.count(tc.kind)
		all := seen.count(fs.EventIOError) + seen.count(fs.EventNoSpace)
		err := mp.IOError("put object", &os.PathError{Op: "write", Path: "/x", Err: tc.err})
		if got := apierr.StatusOf(err); got != tc.status || !errors.Is(err, tc.err) {
			t.Errorf("%v: status %d (%v), want %d", tc.err, got, err, tc.status)
		}
		if tc.kind != 0 && seen.count(tc.kind) != before+1 {
			t.Errorf("%v: no event", tc.err)
		}
		if now := seen.count(fs.EventIOError) + seen.count(fs.EventNoSpace); tc.kind == 0 && now != all {
			t.Errorf("%v: an event, although the disk is not at fault", tc.err)
		}
		if tc.status == 507 && !strings.HasPrefix(err.Error(), "out of space: used ") {
			t.Errorf("%v: text %q", tc.err, err)
		}
	}
	if mp.IOError("x", nil) != nil {
		t.Error("nil became an error")
	}
}

func TestLocationText(t *testing.T) {
	t.Parallel()
	mp, _, _ := one(t)
	want := "mp[" + mp.Path + "]"
	if disks := mp.Filesystem().Disks; len(disks) > 0 {
		want = "mp[" + mp.Path + ", [" + strings.Join(disks, " ") + "]]"
	}
	if mp.String() != want {
		t.Errorf("String() = %q, want %q", mp, want)
	}
}
