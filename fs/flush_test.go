package fs_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/fs/faultfs"
)

// synced lists the flushes in the order in which they happened, relative to
// the mountpath.
func synced(system *faultfs.System, mp *fs.Mountpath) []string {
	var list []string
	for _, c := range system.Calls() {
		switch c.Op {
		case faultfs.OpSync, faultfs.OpDatasync, faultfs.OpSyncDir, faultfs.OpSyncfs:
			list = append(list, string(c.Op)+" "+strings.TrimPrefix(c.Path, mp.Path))
		}
	}
	return list
}

func TestFlushOfOneWriter(t *testing.T) {
	t.Parallel()
	mp, system, _ := one(t)
	f := workFile(t, mp)
	dir := mp.BucketDir(testBucket, fs.ContentObject)
	if err := mp.Filesystem().Flush(t.Context(), fs.FlushRequest{Files: []fs.File{f}, Dirs: []string{dir}, Bytes: 7}); err != nil {
		t.Fatal(err)
	}
	want := []string{"fsync " + strings.TrimPrefix(f.Path(), mp.Path), "fsyncdir /@ais/bucket/%ob"}
	if got := synced(system, mp); !slices.Equal(got, want) {
		t.Errorf("flushed %q, want %q", got, want)
	}
}

func TestContentIsFlushedBeforeItsName(t *testing.T) {
	t.Parallel()
	mp, system, _ := one(t)
	request := fs.FlushRequest{Dirs: []string{mp.BucketDir(testBucket, fs.ContentObject), mp.BucketDir(testBucket, fs.ContentSidecar)}}
	for range 5 {
		request.Files = append(request.Files, workFile(t, mp))
	}
	if err := mp.Filesystem().Flush(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	got := synced(system, mp)
	for i, flush := range got {
		if dir := strings.HasPrefix(flush, "fsyncdir"); dir != (i >= 5) {
			t.Errorf("flush %d is %q: a name became durable before all content", i, flush)
		}
	}
	if len(got) != 7 {
		t.Errorf("flushed %q", got)
	}
}

func TestFlushOfNothing(t *testing.T) {
	t.Parallel()
	mp, system, _ := one(t)
	if err := mp.Filesystem().Flush(t.Context(), fs.FlushRequest{}); err != nil || len(system.Calls()) != 0 {
		t.Errorf("error %v, calls %v", err, system.Calls())
	}
}

func TestFlushCoversNewParents(t *testing.T) {
	t.Parallel()
	mp, system, _ := one(t)
	dir := mp.BucketDir(testBucket, fs.ContentObject)
	if err := mp.MakeDirs(dir + "/a/b/c"); err != nil {
		t.Fatal(err)
	}
	// Somebody else makes the directory; a writer below it that finds it
	// there must not be told "durable" before its parents are.
	if err := mp.Filesystem().Flush(t.Context(), fs.FlushRequest{Dirs: []string{dir + "/a/b"}}); err != nil {
		t.Fatal(err)
	}
	got := synced(system, mp)
	slices.Sort(got)
	want := []string{"fsyncdir /@ais/bucket/%ob", "fsyncdir /@ais/bucket/%ob/a", "fsyncdir /@ais/bucket/%ob/a/b"}
	if !slices.Equal(got, want) {
		t.Errorf("flushed %q, want %q", got, want)
	}
	// c is still fresh: its entry in b was made before, and b was flushed,
	// but only what a flush was asked for is settled by name.
	system.Reset()
	if err := mp.Filesystem().Flush(t.Context(), fs.FlushRequest{Dirs: []string{dir + "/a/b/c"}}); err != nil {
		t.Fatal(err)
	}
	got = synced(system, mp)
	slices.Sort(got)
	want = []string{"fsyncdir /@ais/bucket/%ob/a/b", "fsyncdir /@ais/bucket/%ob/a/b/c"}
	if !slices.Equal(got, want) {
		t.Errorf("then flushed %q, want %q", got, want)
	}
	system.Reset()
	if err := mp.Filesystem().Flush(t.Context(), fs.FlushRequest{Dirs: []string{dir + "/a/b/c"}}); err != nil {
		t.Fatal(err)
	}
	if got := synced(system, mp); !slices.Equal(got, []string{"fsyncdir /@ais/bucket/%ob/a/b/c"}) {
		t.Errorf("settled directories are flushed again: %q", got)
	}
}

func TestFlushKeepsParentsFreshAfterFailure(t *testing.T) {
	t.Parallel()
	mp, system, _ := one(t)
	dir := mp.BucketDir(testBucket, fs.ContentObject)
	if err := mp.MakeDirs(dir + "/a"); err != nil {
		t.Fatal(err)
	}
	system.Inject(faultfs.Fault{Op: faultfs.OpSyncDir, Err: errDisk, Times: -1})
	if err := mp.Filesystem().Flush(t.Context(), fs.FlushRequest{Dirs: []string{dir + "/a"}}); err == nil {
		t.Fatal("flush succeeded although fsync failed")
	}
	system.Heal()
	system.Reset()
	if err := mp.Filesystem().Flush(t.Context(), fs.FlushRequest{Dirs: []string{dir + "/a"}}); err != nil {
		t.Fatal(err)
	}
	if system.Count(faultfs.OpSyncDir, "%ob") != 2 {
		t.Errorf("the parent was not flushed again: %q", synced(system, mp))
	}
}

// gate holds the first matching call until it is opened.
type gate struct {
	op      faultfs.Op
	once    sync.Once
	reached chan struct{}
	release chan struct{}
}

func newGate(system *faultfs.System, op faultfs.Op) *gate {
	g := &gate{op: op, reached: make(chan struct{}), release: make(chan struct{})}
	system.Before(func(c faultfs.Call) {
		if c.Op == g.op {
			g.once.Do(func() {
				close(g.reached)
				<-g.release
			})
		}
	})
	return g
}

func TestFlushRounds(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name      string
		followers int
		bytes     int64
		dirty     int64
		oldKernel bool
		syncfs    int
		fsyncs    int
	}{
		{name: "few files one by one", followers: 7, fsyncs: 8},
		{name: "many small files with syncfs", followers: 8, syncfs: 1, fsyncs: 1},
		{name: "many large files one by one", followers: 8, bytes: 8 << 20, fsyncs: 9},
		{name: "other dirty bytes count", followers: 8, dirty: 64 << 20, fsyncs: 9},
		{name: "syncfs that hides errors is not used", followers: 20, oldKernel: true, fsyncs: 21},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			mp, system, _ := one(t)
			system.SetSyncfsReportsErrors(!tc.oldKernel)
			fsys := mp.Filesystem()
			fsys.AddDirty(tc.dirty)
			g := newGate(system, faultfs.OpSync)
			before := fsys.FlushStats()
			var group sync.WaitGroup
			flush := func() {
				request := fs.FlushRequest{Files: []fs.File{workFile(t, mp)}, Bytes: tc.bytes}
				group.Go(func() {
					if err := fsys.Flush(context.Background(), request); err != nil {
						t.Error(err)
					}
				})
			}
			flush()
			<-g.reached
			for range tc.followers {
				flush()
			}
			eventually(t, "all wait", func() bool { return fsys.Waiting() == tc.followers })
			close(g.release)
			group.Wait()
			after := fsys.FlushStats()
			if rounds := after.Rounds - before.Rounds; rounds != 2 {
				t.Errorf("%d rounds, want 2", rounds)
			}
			if system.Count(faultfs.OpSyncfs, "") != tc.syncfs || system.Count(faultfs.OpSync, "") != tc.fsyncs {
				t.Errorf("%d syncfs and %d fsync, want %d and %d", system.Count(faultfs.OpSyncfs, ""),
					system.Count(faultfs.OpSync, ""), tc.syncfs, tc.fsyncs)
			}
		})
	}
}

func TestFailedRoundFailsAllItsMembers(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]faultfs.Fault{
		"fsync of one file": {Op: faultfs.OpSync, Nth: 3, Err: errDisk},
		"fsync of a dir":    {Op: faultfs.OpSyncDir, Err: errDisk},
		"opening a dir":     {Op: faultfs.OpOpen, Path: "%ob", Err: errDisk},
		"fsync after work":  {Op: faultfs.OpSync, Nth: 3, Err: errDisk, Late: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mp, system, seen := one(t)
			fsys := mp.Filesystem()
			dir := mp.BucketDir(testBucket, fs.ContentObject)
			g := newGate(system, faultfs.OpSync)
			var group sync.WaitGroup
			group.Go(func() {
				if err := fsys.Flush(context.Background(), fs.FlushRequest{Files: []fs.File{workFile(t, mp)}}); err != nil {
					t.Errorf("first round: %v", err)
				}
			})
			<-g.reached
			const followers = 5
			errs := make([]error, followers)
			for i := range followers {
				f := workFile(t, mp)
				group.Go(func() {
					errs[i] = fsys.Flush(context.Background(), fs.FlushRequest{Files: []fs.File{f}, Dirs: []string{dir}})
				})
			}
			eventually(t, "all wait", func() bool { return fsys.Waiting() == followers })
			system.Inject(fault)
			close(g.release)
			group.Wait()
			for i, err := range errs {
				if !errors.Is(err, fs.ErrFlushFailed) || !errors.Is(err, unix.EIO) {
					t.Errorf("member %d got %v, want a failed flush", i, err)
				}
			}
			if seen.count(fs.EventFlushFailed) != 1 {
				t.Errorf("%d events, want 1", seen.count(fs.EventFlushFailed))
			}
			if err := fsys.Flush(t.Context(), fs.FlushRequest{Dirs: []string{dir}}); err != nil {
				t.Errorf("the round after: %v", err)
			}
		})
	}
}

func TestFailedSyncfsFailsAll(t *testing.T) {
	t.Parallel()
	mp, system, seen := one(t)
	var files []fs.File
	for range 8 {
		files = append(files, workFile(t, mp))
	}
	system.Inject(faultfs.Fault{Op: faultfs.OpSyncfs, Err: errDisk})
	err := mp.Filesystem().Flush(t.Context(), fs.FlushRequest{Files: files})
	wantErrno(t, err, unix.EIO)
	if seen.count(fs.EventFlushFailed) != 1 || system.Count(faultfs.OpSync, "") != 0 {
		t.Errorf("events %d, fsyncs %d: a failed syncfs must not be papered over", seen.count(fs.EventFlushFailed), system.Count(faultfs.OpSync, ""))
	}
}

func TestMissingDirectoryFailsOnlyItsOwn(t *testing.T) {
	t.Parallel()
	mp, system, seen := one(t)
	fsys := mp.Filesystem()
	dir := mp.BucketDir(testBucket, fs.ContentObject)
	g := newGate(system, faultfs.OpSyncDir)
	var group sync.WaitGroup
	group.Go(func() { _ = fsys.Flush(context.Background(), fs.FlushRequest{Dirs: []string{dir}}) })
	<-g.reached
	var gone, fine error
	group.Go(func() {
		gone = fsys.Flush(context.Background(), fs.FlushRequest{Dirs: []string{filepath.Join(dir, "destroyed")}})
	})
	group.Go(func() { fine = fsys.Flush(context.Background(), fs.FlushRequest{Dirs: []string{dir}}) })
	eventually(t, "both wait", func() bool { return fsys.Waiting() == 2 })
	close(g.release)
	group.Wait()
	if !errors.Is(gone, os.ErrNotExist) || fine != nil || seen.count(fs.EventFlushFailed) != 0 {
		t.Errorf("missing: %v, other: %v, events %d", gone, fine, seen.count(fs.EventFlushFailed))
	}
}

func TestFlushLeftBeforeItsRound(t *testing.T) {
	t.Parallel()
	mp, system, _ := one(t)
	fsys := mp.Filesystem()
	g := newGate(system, faultfs.OpSync)
	var group sync.WaitGroup
	group.Go(func() { _ = fsys.Flush(context.Background(), fs.FlushRequest{Files: []fs.File{workFile(t, mp)}}) })
	<-g.reached
	ctx, cancel := context.WithCancel(context.Background())
	errs := make([]error, 3)
	for i := range errs {
		f := workFile(t, mp)
		group.Go(func() { errs[i] = fsys.Flush(ctx, fs.FlushRequest{Files: []fs.File{f}}) })
	}
	eventually(t, "they wait", func() bool { return fsys.Waiting() == len(errs) })
	cancel()
	eventually(t, "they have left", func() bool { return fsys.Waiting() == 0 })
	close(g.release)
	group.Wait()
	for _, err := range errs {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error = %v, want canceled", err)
		}
	}
	if n := system.Count(faultfs.OpSync, ""); n != 1 {
		t.Errorf("%d files flushed, want 1: the others had left", n)
	}
	if err := fsys.Flush(t.Context(), fs.FlushRequest{Files: []fs.File{workFile(t, mp)}}); err != nil {
		t.Errorf("the round after: %v", err)
	}
}

// Many writers, some of which give up: every nil is preceded by a flush that
// began after its writer asked.
func TestNoAnswerBeforeItsFlush(t *testing.T) {
	t.Parallel()
	mp, system, _ := one(t)
	fsys := mp.Filesystem()
	dir := mp.BucketDir(testBucket, fs.ContentObject)
	const writers, each = 24, 20
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for i := range each {
				path, f, err := mp.NewWork(testBucket, "put")
				if err != nil {
					t.Error(err)
					return
				}
				// Marks the moment of asking in the record of calls.
				if err := f.Truncate(0); err != nil {
					t.Error(err)
				}
				ctx, cancel := context.WithCancel(context.Background())
				if (w+i)%5 == 0 {
					go cancel()
				}
				err = fsys.Flush(ctx, fs.FlushRequest{Files: []fs.File{f}, Dirs: []string{dir}})
				cancel()
				if err == nil {
					// Marks the answer.
					if err := mp.System().SetTimes(path, 1, 1); err != nil {
						t.Error(err)
					}
				}
				if err := f.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	asked, flushed, answers := make(map[string]int), make(map[string]bool), 0
	lastSyncfs := -1
	for i, c := range system.Calls() {
		switch c.Op {
		case faultfs.OpTruncate:
			asked[c.Path] = i
		case faultfs.OpSync:
			flushed[c.Path] = true
		case faultfs.OpSyncfs:
			lastSyncfs = i
			for path := range asked {
				flushed[path] = true
			}
		case faultfs.OpSetTimes:
			answers++
			if !flushed[c.Path] {
				t.Errorf("call %d: answered before a flush (asked at %d, last syncfs at %d)", i, asked[c.Path], lastSyncfs)
			}
		}
	}
	if answers < writers*each/2 {
		t.Errorf("only %d answers", answers)
	}
	t.Logf("%d answers, stats %+v", answers, fsys.FlushStats())
}

// perFile hides syncfs, to compare.
type perFile struct{ fs.System }

// TestJournalsAreFlushedOnce: all writers of a round share a mountpath's journal.
func TestJournalsAreFlushedOnce(t *testing.T) {
	t.Parallel()
	mp, system, _ := one(t)
	journal := workFile(t, mp)
	dir := mp.BucketDir(testBucket, fs.ContentObject)
	hold, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	system.Before(func(c faultfs.Call) {
		if c.Op == faultfs.OpSyncDir {
			once.Do(func() { close(hold); <-release })
		}
	})
	var group sync.WaitGroup
	flush := func(r fs.FlushRequest) {
		if err := mp.Filesystem().Flush(t.Context(), r); err != nil {
			t.Error(err)
		}
	}
	group.Go(func() { flush(fs.FlushRequest{Dirs: []string{dir}}) })
	<-hold // the first round is under way: the others gather
	for range 5 {
		group.Go(func() { flush(fs.FlushRequest{Dirs: []string{dir}, Journal: journal}) })
	}
	for mp.Filesystem().FlushStats().Requests < 6 {
		runtime.Gosched()
	}
	close(release)
	group.Wait()
	if err := mp.Filesystem().Flush(t.Context(), fs.FlushRequest{Journal: journal}); err != nil {
		t.Fatal(err)
	}
	stats := mp.Filesystem().FlushStats()
	if n := int64(system.Count(faultfs.OpDatasync, journal.Path())); n != stats.Journals || n >= 6 || n < 2 {
		t.Errorf("%d flushes of the journal, %d counted, for 6 requests in %d rounds", n, stats.Journals, stats.Rounds)
	}
}
