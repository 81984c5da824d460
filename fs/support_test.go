package fs_test

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/fs/faultfs"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	if root := os.Getenv(changeLoopEnv); root != "" {
		os.Exit(changeLoop(root)) // this is the process that a test kills
	}
	goleak.VerifyTestMain(m)
}

var testBucket = wire.Bck{Provider: wire.ProviderAIS, Name: "bucket"}

// events collects what a manager reports.
type events struct {
	mu   sync.Mutex
	list []fs.Event
}

func (e *events) add(event fs.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = append(e.list, event)
}

func (e *events) count(kind fs.EventKind) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := 0
	for _, event := range e.list {
		if event.Kind == kind {
			n++
		}
	}
	return n
}

// options are those of a node whose mountpaths are the given folders.
func options(paths ...string) fs.Options {
	mountpaths := make(map[string]string)
	for _, path := range paths {
		mountpaths[path] = ""
	}
	return fs.Options{
		Mountpaths: mountpaths, TestMode: true, NewNodeID: func() string { return "newNode1" },
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
}

// open opens a manager and closes it at the end of the test.
func open(t testing.TB, opts fs.Options) *fs.Manager {
	t.Helper()
	m, err := fs.Open(opts)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { closeManager(t, m) })
	return m
}

func closeManager(t testing.TB, m *fs.Manager) {
	t.Helper()
	if err := m.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// one opens a manager of one mountpath, with the bucket, over a recording system.
func one(t testing.TB) (*fs.Mountpath, *faultfs.System, *events) {
	t.Helper()
	system, seen := faultfs.New(nil), new(events)
	opts := options(filepath.Join(t.TempDir(), "mp1"))
	opts.System, opts.OnEvent = system, seen.add
	m := open(t, opts)
	mp := m.Available().Paths[0]
	if err := mp.CreateBucket(testBucket); err != nil {
		t.Fatalf("CreateBucket: %v", err)
	}
	system.Reset()
	return mp, system, seen
}

// workFile makes a work file with some content.
func workFile(t testing.TB, mp *fs.Mountpath) fs.File {
	t.Helper()
	_, f, err := mp.NewWork(testBucket, "put")
	if err != nil {
		t.Fatalf("NewWork: %v", err)
	}
	t.Cleanup(func() { _ = f.Close() })
	if _, err := f.Write([]byte("content")); err != nil {
		t.Fatalf("Write: %v", err)
	}
	return f
}

// memoryDir is a temporary directory in memory, where the machine has one that
// keeps extended attributes.
func memoryDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "fs-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if fs.Unix().SetXattr(dir, "user.probe", []byte("1")) != nil {
		return t.TempDir()
	}
	return dir
}

func touch(t testing.TB, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// eventually waits for a condition that another goroutine is about to fulfil.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
		runtime.Gosched()
	}
}

var errDisk = unix.EIO

func wantErrno(t testing.TB, err error, want unix.Errno) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error = %v, want %v in its chain", err, want)
	}
}

// clock is a time that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Now()} }

func (c *clock) get() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}
