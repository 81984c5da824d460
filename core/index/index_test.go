package index

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/aistore-go/aistore/core/journal"
	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/fs/faultfs"
)

// long makes benchmarks take the time of ten million keys.
var long = flag.Bool("long", false, "run the benchmarks that take minutes")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is an index in directories of its own.
type rig struct {
	tb    testing.TB
	x     *Index
	o     Options
	cache *Cache
}

func newRig(tb testing.TB, system fs.System) *rig {
	tb.Helper()
	if system == nil {
		system = fs.Unix()
	}
	dir, err := os.MkdirTemp("/dev/shm", "index-test-")
	if err != nil {
		dir = tb.TempDir()
	}
	r := &rig{tb: tb, cache: NewCache()}
	r.o = Options{Dir: dir + "/index", JournalDir: dir + "/journal", System: system, BootID: "boot 1", Cache: r.cache}
	if err := errors.Join(os.Mkdir(r.o.Dir, 0o755), os.Mkdir(r.o.JournalDir, 0o755)); err != nil {
		tb.Fatal(err)
	}
	r.open()
	tb.Cleanup(func() {
		r.close()
		r.cache.Close()
		if err := os.RemoveAll(dir); err != nil {
			tb.Error(err)
		}
	})
	return r
}

func (r *rig) open() {
	r.tb.Helper()
	x, err := Open(r.o)
	if err != nil {
		r.tb.Fatal(err)
	}
	r.x = x
}

func (r *rig) close() {
	r.tb.Helper()
	if r.x != nil {
		if err := r.x.Close(context.Background()); err != nil {
			r.tb.Error(err)
		}
		r.x = nil
	}
}

// kill leaves the files as kill -9 does: nothing that is in memory reaches them.
func (r *rig) kill() {
	r.tb.Helper()
	aside := r.o.JournalDir + ".killed"
	copyTree(r.tb, r.o.JournalDir, aside)
	copyTree(r.tb, r.o.Dir, r.o.Dir+".killed")
	r.close()
	for _, dir := range []string{r.o.JournalDir, r.o.Dir} {
		if err := errors.Join(os.RemoveAll(dir), os.Rename(dir+".killed", dir)); err != nil {
			r.tb.Fatal(err)
		}
	}
}

func copyTree(tb testing.TB, from, to string) {
	tb.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		tb.Fatal(err)
	}
}

func (r *rig) put(bid uint64, name, value string) {
	r.x.Publish(r.x.Begin(journal.Commit, bid, name, true), bid, name, []byte(value))
}

func (r *rig) remove(bid uint64, name string) {
	r.x.Remove(r.x.Begin(journal.Delete, bid, name, true), bid, name)
}

func (r *rig) list(bid uint64, prefix, after string) (names []string) {
	r.tb.Helper()
	if err := r.x.Sync(r.tb.Context()); err != nil {
		r.tb.Fatal(err)
	}
	it, err := r.x.Iterate(bid, prefix, after)
	if err != nil {
		r.tb.Fatal(err)
	}
	for {
		name, value, ok, err := it.Next()
		if err != nil {
			r.tb.Fatal(err)
		}
		if !ok {
			break
		}
		names = append(names, string(name)+"="+string(value))
	}
	if err := it.Close(); err != nil {
		r.tb.Fatal(err)
	}
	return names
}

func TestKeysSortAsNames(t *testing.T) {
	t.Parallel()
	name := rapid.Custom(func(t *rapid.T) string {
		return string(rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 2, 'a', '/', 0xfe, 0xff}), 1, 6).Draw(t, "name"))
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := name.Draw(t, "a"), name.Draw(t, "b")
		ka, kb := appendKey(nil, 7, a), appendKey(nil, 7, b)
		if strings.Compare(a, b) != strings.Compare(string(ka), string(kb)) {
			t.Fatalf("%q and %q: %x and %x", a, b, ka, kb)
		}
		if got, current, ok := appendName(nil, ka); string(got) != a || !current || !ok || len(ka) != keyLength(a) {
			t.Fatalf("%q: %q", a, got)
		}
		version := append(slices.Clone(ka), "stamp"...)
		if got, current, ok := appendName(nil, version); string(got) != a || current || !ok {
			t.Fatalf("version of %q: %q", a, got)
		}
		after := string(appendAfter(nil, 7, a))
		if after <= string(version) || b > a && after > string(kb) {
			t.Fatalf("after %q", a)
		}
		past := string(appendPast(nil, 7, a))
		if inside := strings.HasPrefix(b, a); inside != (string(kb) < past && string(kb) >= string(appendEscaped(appendBID(nil, 7), a))) {
			t.Fatalf("past %q, %q", a, b)
		}
		if string(appendMark(nil, 7)) >= string(ka) || past > string(appendBID(nil, 8)) {
			t.Fatalf("bounds of %q", a)
		}
	})
}

func TestEntriesInOrder(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	names := []string{"a", "a-b", "a/b", "a/c", "a0", "\x00", "z\xff", "z\xff\xff", "\xff"}
	for _, name := range names {
		r.put(1, name, "1")
		r.put(1, name, "2")
		r.put(2, name, "other bucket")
	}
	r.remove(1, "a0")
	r.remove(1, "never there")
	want := []string{"\x00=2", "a=2", "a-b=2", "a/b=2", "a/c=2", "z\xff=2", "z\xff\xff=2", "\xff=2"}
	if got := r.list(1, "", ""); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if got := r.list(1, "a/", ""); !slices.Equal(got, []string{"a/b=2", "a/c=2"}) {
		t.Errorf("%q", got)
	}
	if got := r.list(1, "a", "a/b"); !slices.Equal(got, []string{"a/c=2"}) {
		t.Errorf("%q", got)
	}
	if got := r.list(1, "z", "a"); !slices.Equal(got, []string{"z\xff=2", "z\xff\xff=2"}) {
		t.Errorf("%q", got)
	}
	if got := r.list(1, "", "a-zz"); !slices.Equal(got, want[3:]) {
		t.Errorf("after a name that is not there: %q", got)
	}
	it, err := r.x.Iterate(1, "", "")
	if err != nil {
		t.Fatal(err)
	}
	var seen []string
	for {
		name, _, ok, err := it.Next()
		if err != nil || !ok {
			break
		}
		seen = append(seen, string(name))
		if string(name) == "a" {
			it.SeekPast("a")
		}
	}
	if err := it.Close(); err != nil || !slices.Equal(seen, []string{"\x00", "a", "z\xff", "z\xff\xff", "\xff"}) {
		t.Errorf("%q, %v", seen, err)
	}
	r.x.DropBucket(1)
	r.put(1, "too late", "x")
	if got := r.list(1, "", ""); len(got) != 0 || len(r.list(2, "", "")) != len(names) {
		t.Errorf("destroyed: %q", got)
	}
}

// TestWhatANewProcessBelieves of an index that ended in each way.
func TestWhatANewProcessBelieves(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		end    func(*rig)
		boot   string
		ready  bool
		unsure int
		kept   bool
		whole  bool // once every name was looked at
	}{
		{"closed", (*rig).close, "boot 2", true, 0, true, true},
		{"killed", (*rig).kill, "boot 1", false, 3, false, true},
		{"killed after a checkpoint", func(r *rig) {
			if err := r.x.Checkpoint(r.tb.Context()); err != nil {
				r.tb.Fatal(err)
			}
			r.kill()
		}, "boot 1", false, 3, true, true},
		{"killed while it was doubted", func(r *rig) {
			if err := r.x.Checkpoint(r.tb.Context()); err != nil {
				r.tb.Fatal(err)
			}
			r.x.Doubt(1)
			r.kill()
		}, "boot 1", false, 3, true, false},
		{"lost power", (*rig).kill, "boot 2", false, 3, false, false},
		{"lost power after a checkpoint", func(r *rig) {
			if err := r.x.Checkpoint(r.tb.Context()); err != nil {
				r.tb.Fatal(err)
			}
			r.kill()
		}, "boot 2", false, 3, true, true},
		{"no boot id", (*rig).kill, "", false, 3, false, false},
		{"state damaged", func(r *rig) {
			r.close()
			flip(r.tb, r.o.JournalDir+"/state")
		}, "boot 1", false, 0, false, false},
		{"index lost", func(r *rig) {
			r.close()
			if err := os.RemoveAll(r.o.Dir); err != nil {
				r.tb.Fatal(err)
			}
			if err := os.Mkdir(r.o.Dir, 0o755); err != nil {
				r.tb.Fatal(err)
			}
		}, "boot 1", false, 0, false, false},
		{"in doubt when it was closed", func(r *rig) {
			r.x.Abandon(r.x.Begin(journal.Commit, 1, "doubt", true), 1, "doubt")
			r.close()
		}, "boot 1", false, 4, true, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			r.x.Complete(1, r.x.Doubts(1))
			for _, name := range []string{"a", "b", "c"} {
				r.put(1, name, "v")
			}
			if !r.x.Ready(1) || r.x.Ready(2) {
				t.Fatal("not ready")
			}
			tc.end(r)
			r.o.BootID = tc.boot
			r.open()
			if r.x.Ready(1) != tc.ready || len(r.x.Unsure(1, 100)) != tc.unsure {
				t.Errorf("ready %v, unsure %q", r.x.Ready(1), r.x.Unsure(1, 100))
			}
			if kept := len(r.list(1, "", "")) == 3; kept != tc.kept {
				t.Errorf("holds %q", r.list(1, "", ""))
			}
			if !r.x.Ready(1) {
				for _, name := range r.x.Unsure(1, 100) {
					r.x.Settle(1, name, []byte("looked at"))
				}
				if r.x.Ready(1) != tc.whole {
					t.Errorf("after a look at every name: ready %v", r.x.Ready(1))
				}
				r.x.Complete(1, r.x.Doubts(1))
			}
			r.close()
			r.open()
			if !r.x.Ready(1) {
				t.Error("not believed after a clean end")
			}
		})
	}
}

func flip(tb testing.TB, path string) {
	tb.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(path, data, 0o644); err != nil {
		tb.Fatal(err)
	}
}

// TestChangesOutliveAnIndexThatFails: whatever file call of it fails, it is
// given up or goes on; a new process never believes what is not there.
func TestChangesOutliveAnIndexThatFails(t *testing.T) {
	t.Parallel()
	for _, op := range []faultfs.Op{faultfs.OpWrite, faultfs.OpCreate, faultfs.OpSync, faultfs.OpDatasync, faultfs.OpRename, faultfs.OpUnlink} {
		for _, errno := range []unix.Errno{unix.EIO, unix.EROFS} {
			t.Run(fmt.Sprintf("%s %v", op, errno), func(t *testing.T) {
				t.Parallel()
				system := faultfs.New(nil)
				r := newRig(t, system)
				r.x.Complete(1, r.x.Doubts(1))
				r.put(1, "before", "v")
				system.Inject(faultfs.Fault{Op: op, Err: errno, Times: -1})
				for i := range 100 {
					r.put(1, fmt.Sprintf("name-%03d", i), "v")
				}
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				checkpoint := r.x.Checkpoint(ctx)
				if errors.Is(checkpoint, context.DeadlineExceeded) {
					t.Fatal("hangs")
				}
				if r.x.Err() == nil {
					if n := len(r.list(1, "", "")); n != 101 {
						t.Errorf("%d names", n)
					}
				} else if r.x.Ready(1) {
					t.Error("ready, and given up")
				}
				system.Heal()
				_ = r.x.Close(ctx) // it may be told again
				r.x = nil
				r.open()
				if r.x.Ready(1) && len(r.list(1, "", "")) != 101 {
					t.Errorf("believed: %q", r.list(1, "", ""))
				}
			})
		}
	}
}

// TestFullDisk: what is published while the disk is full is there, and is
// written when there is room again.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	system := faultfs.New(nil)
	r := newRig(t, system)
	r.x.Complete(1, r.x.Doubts(1))
	system.Inject(faultfs.Fault{Op: faultfs.OpWrite, Path: "/index/", Err: unix.ENOSPC, Times: -1})
	done := make(chan error, 1)
	for i := range 1000 {
		r.put(1, fmt.Sprintf("name-%03d", i), "v")
	}
	go func() { done <- r.x.Checkpoint(context.Background()) }()
	if n := len(r.list(1, "", "")); n != 1000 {
		t.Errorf("%d names", n)
	}
	system.Heal()
	if err := <-done; err != nil || r.x.Err() != nil {
		t.Errorf("%v, %v", err, r.x.Err())
	}
}

// TestCloseEndsARetryingRead: of an index that was given up nobody waits for the
// next try of a read, neither who closes it nor what it runs in the background.
func TestCloseEndsARetryingRead(t *testing.T) {
	t.Parallel()
	system := faultfs.New(nil)
	r := newRig(t, system)
	r.x.files.retry = 24 * time.Hour
	// Every one of these is a file, which a compaction reads before long.
	system.Inject(faultfs.Fault{Op: faultfs.OpRead, Path: "/index/", Err: unix.EIO, Times: -1})
	for i := 0; r.x.Err() == nil; i++ {
		r.put(1, fmt.Sprintf("name-%03d", i%10), fmt.Sprint(i))
		if err := r.x.flush(t.Context()); err != nil && r.x.Err() == nil {
			t.Fatal(err)
		}
	}
	x := r.x
	r.close()
	for closed := false; !closed; runtime.Gosched() { // Close itself does not wait for ever
		x.using.RLock()
		closed = x.closed
		x.using.RUnlock()
	}
}

// TestPauseOfARead ends with the index.
func TestPauseOfARead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	system := faultfs.New(nil)
	failed, ending := make(chan struct{}), make(chan struct{})
	s := &files{system: system, ending: ending, failed: failed, retry: 24 * time.Hour}
	if err := os.WriteFile(dir+"/data", []byte("content"), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := s.Open(dir + "/data")
	if err != nil {
		t.Fatal(err)
	}
	close(failed)
	system.Inject(faultfs.Fault{Op: faultfs.OpRead, Err: unix.EIO, Times: -1})
	ended := make(chan error, 2)
	go func() {
		_, err := f.ReadAt(make([]byte, 7), 0)
		ended <- err
	}()
	go func() {
		_, err := s.Open(dir + "/missing")
		ended <- err
	}()
	select {
	case err := <-ended:
		t.Errorf("did not wait: %v", err)
	default:
	}
	close(ending)
	for range 2 {
		if err := <-ended; !errors.Is(err, unix.EIO) && !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%v", err)
		}
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

func BenchmarkPublish(b *testing.B) {
	r := newRig(b, nil)
	value := []byte(strings.Repeat("v", 70))
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		name := fmt.Sprintf("some/directory/object-%09d", i)
		r.x.Publish(r.x.Begin(journal.Commit, 1, name, true), 1, name, value)
		i++
	}
	if err := r.x.Sync(b.Context()); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkPage is one page of 1,000 names anywhere in a bucket; with -long in
// one of ten million.
func BenchmarkPage(b *testing.B) {
	sizes := []int{100_000, 1_000_000}
	if *long {
		sizes = append(sizes, 10_000_000)
	}
	value := []byte(strings.Repeat("v", 70))
	for _, size := range sizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			r := newRig(b, nil)
			for i := range size {
				r.x.Set(1, fmt.Sprintf("some/directory/object-%09d", i), value)
				if i%1000 > 0 {
					continue
				}
				err := r.x.Sync(b.Context())
				for err == nil && r.x.Backlog() > 8<<20 {
					err = r.x.flush(b.Context())
				}
				if err != nil {
					b.Fatal(err)
				}
			}
			if err := r.x.Checkpoint(b.Context()); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				n += 7919_000
				it, err := r.x.Iterate(1, "", fmt.Sprintf("some/directory/object-%09d", n%(size-1000)))
				if err != nil {
					b.Fatal(err)
				}
				for range 1000 {
					if _, _, ok, err := it.Next(); !ok || err != nil {
						b.Fatal(ok, err)
					}
				}
				if err := it.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
