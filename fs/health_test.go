package fs_test

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/fs/faultfs"
	"golang.org/x/sys/unix"
)

// watched are the options of a node that checks by itself.
func (d *disks) watched(clock *clock) fs.Options {
	opts := d.options()
	opts.Clock = clock.get
	opts.Health = func() fs.HealthPolicy {
		return fs.HealthPolicy{Enabled: true, CheckOptions: fs.CheckOptions{TestFiles: 2, ErrorLimit: 2}, Errors: 3, Period: 10 * time.Second}
	}
	return opts
}

// checks counts the health checks of a mountpath that were begun.
func (d *disks) checks(path string) int {
	d.events.mu.Lock()
	defer d.events.mu.Unlock()
	n := 0
	for _, e := range d.events.list {
		if e.Kind == fs.EventCheck && e.Mountpath == path {
			n++
		}
	}
	return n
}

// failRound makes a round of flushes on a mountpath fail.
func (d *disks) failRound(mp *fs.Mountpath, errno unix.Errno, times int) {
	d.t.Helper()
	f := workFile(d.t, mp)
	d.system.Inject(faultfs.Fault{Op: faultfs.OpSync, Path: mp.Path + "/", Err: errno, Times: times})
	err := mp.Filesystem().Flush(context.Background(), fs.FlushRequest{Files: []fs.File{f}})
	if !errors.Is(err, fs.ErrFlushFailed) {
		d.t.Fatalf("flush: %v", err)
	}
}

// noCheck makes sure that no check of the first mountpath was asked for: one
// that is asked for afterwards has run.
func (d *disks) noCheck(m *fs.Manager, what string) {
	d.t.Helper()
	other := m.Available().ByPath(d.paths[1])
	before := d.checks(other.Path)
	_ = other.IOError("probe", unix.EIO)
	eventually(d.t, "the other one is checked", func() bool { return d.checks(other.Path) > before && !m.Checking(other.Path) })
	if n := d.checks(d.paths[0]); n > 0 || m.Checking(d.paths[0]) {
		d.t.Errorf("%s: %d checks", what, n)
	}
}

func openWithBucket(t *testing.T, opts fs.Options) *fs.Manager {
	t.Helper()
	m := open(t, opts)
	for _, mp := range m.Available().Paths {
		if err := mp.CreateBucket(testBucket); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func TestFailedRoundDisablesASickDisk(t *testing.T) {
	t.Parallel()
	d, now := newDisks(t, 2), newClock()
	opts := d.watched(now)
	m, err := fs.Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	for _, mp := range m.Available().Paths {
		if err := mp.CreateBucket(testBucket); err != nil {
			t.Fatal(err)
		}
	}
	d.failRound(m.Available().ByPath(d.paths[0]), unix.EIO, -1)
	eventually(t, "the sick disk is disabled", func() bool { return m.Available().ByPath(d.paths[0]) == nil })
	eventually(t, "its check has ended", func() bool { return d.events.count(fs.EventDisabled) == 1 })
	wantLists(t, m, d.paths[1:], nil, d.paths[:1])
	fault := func(m *fs.Manager) string { return m.Mountpaths()[0].Fault }
	if !strings.HasPrefix(fault(m), "degraded: ") || m.Mountpaths()[1].Fault != "" {
		t.Errorf("faults %q and %q", fault(m), m.Mountpaths()[1].Fault)
	}
	closeManager(t, m)

	// A restart does not take it for one that an operator has disabled, nor
	// use it, although it would work again.
	d.system.Heal()
	m = open(t, opts)
	wantLists(t, m, d.paths[1:], nil, d.paths[:1])
	if fault(m) == "" {
		t.Error("a restart forgets why it is disabled")
	}
	if err := m.Enable(d.paths[0], nil); err != nil {
		t.Fatal(err)
	}
	wantLists(t, m, d.paths, nil, nil)
	if fault(m) != "" {
		t.Errorf("fault %q of a mountpath that was enabled", fault(m))
	}
	// What was found before does not delay the next check.
	d.failRound(m.Available().ByPath(d.paths[0]), unix.EIO, -1)
	eventually(t, "it is disabled again", func() bool { return m.Available().ByPath(d.paths[0]) == nil })
}

func TestASingleErrorIsLookedAt(t *testing.T) {
	t.Parallel()
	d, now := newDisks(t, 2), newClock()
	m := openWithBucket(t, d.watched(now))
	mp := m.Available().ByPath(d.paths[0])
	d.failRound(mp, unix.EIO, 1)
	eventually(t, "it was checked", func() bool { return d.checks(mp.Path) == 1 && !m.Checking(mp.Path) })
	wantLists(t, m, d.paths, nil, nil)
	if m.Mountpaths()[0].Fault != "" {
		t.Errorf("fault %q", m.Mountpaths()[0].Fault)
	}

	// For the next four minutes it takes more than one error in ten seconds.
	fail := func(times int) {
		for range times {
			_ = mp.IOError("read", unix.EIO)
		}
	}
	fail(5)
	now.add(11 * time.Second)
	fail(2)
	now.add(11 * time.Second)
	fail(2)
	if m.Checking(mp.Path) || d.checks(mp.Path) != 1 {
		t.Error("checked again for single errors")
	}
	fail(1)
	eventually(t, "it was checked again", func() bool { return d.checks(mp.Path) == 2 && !m.Checking(mp.Path) })
	now.add(fs.CheckInterval)
	fail(1)
	eventually(t, "checked four minutes later", func() bool { return d.checks(mp.Path) == 3 && !m.Checking(mp.Path) })
}

func TestWhatIsNoFaultOfADisk(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{
		"out of space":      unix.ENOSPC,
		"over quota":        unix.EDQUOT,
		"no descriptors":    unix.EMFILE,
		"no memory":         unix.ENOMEM,
		"not there":         unix.ENOENT,
		"a name":            unix.ENOTDIR,
		"a long name":       unix.ENAMETOOLONG,
		"a client left":     context.Canceled,
		"a connection":      &net.OpError{Op: "read", Err: unix.ECONNRESET},
		"a wrong request":   apierr.BadRequest("bad"),
		"a checksum":        apierr.BadChecksum("md5", "a", "b", "o"),
		"not from the disk": errors.New("too long"),
		"a short body":      io.ErrUnexpectedEOF,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newMemoryDisks(t, 2)
			m := openWithBucket(t, d.watched(newClock()))
			_ = m.Available().ByPath(d.paths[0]).IOError("PUT", err)
			d.noCheck(m, name)
		})
	}
	t.Run("a round without space", func(t *testing.T) {
		t.Parallel()
		d := newMemoryDisks(t, 2)
		m := openWithBucket(t, d.watched(newClock()))
		d.failRound(m.Available().ByPath(d.paths[0]), unix.ENOSPC, -1)
		d.noCheck(m, "ENOSPC")
		wantLists(t, m, d.paths, nil, nil)
	})
}

func TestTheLastMountpathIsNotDisabled(t *testing.T) {
	t.Parallel()
	d := newDisks(t, 1)
	m := openWithBucket(t, d.watched(newClock()))
	d.failRound(m.Available().Paths[0], unix.EIO, -1)
	eventually(t, "the fault is seen", func() bool { return m.Mountpaths()[0].Fault != "" })
	eventually(t, "the check has ended", func() bool { return !m.Checking(d.paths[0]) })
	wantLists(t, m, d.paths, nil, nil)
}

func TestHealthChecksCanBeOff(t *testing.T) {
	t.Parallel()
	d := newDisks(t, 2)
	opts := d.watched(newClock())
	opts.Health = func() fs.HealthPolicy { return fs.HealthPolicy{} }
	m := openWithBucket(t, opts)
	d.failRound(m.Available().ByPath(d.paths[0]), unix.EIO, -1)
	if m.Checking(d.paths[0]) {
		t.Error("a check is due")
	}
	if started, err := m.Check(d.paths[0], fs.CheckOptions{TestFiles: 1, ErrorLimit: 1}, nil); !started || err != nil {
		t.Errorf("an operator's check: %v, %v", started, err)
	}
	eventually(t, "the fault is seen", func() bool { return m.Mountpaths()[0].Fault != "" })
	wantLists(t, m, d.paths, nil, nil)
}

// TestHealthChecksOffAndTheDirectoryGone: without health checks nothing is disabled by itself, not
// even a mountpath whose directory is gone, is a file, or is another one; checks that are
// allowed again find it.
func TestHealthChecksOffAndTheDirectoryGone(t *testing.T) {
	t.Parallel()
	for name, replace := range map[string]func(t *testing.T, path string){
		"gone":     func(*testing.T, string) {},
		"a file":   func(t *testing.T, path string) { touch(t, path) },
		"an empty": func(t *testing.T, path string) { touch(t, filepath.Join(path, "stray")) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDisks(t, 2)
			opts := d.watched(newClock())
			opts.LookInterval = time.Millisecond
			policy, asked := opts.Health(), atomic.Int64{}
			var enabled atomic.Bool
			opts.Health = func() fs.HealthPolicy {
				asked.Add(1)
				policy := policy
				policy.Enabled = enabled.Load()
				return policy
			}
			m := openWithBucket(t, opts)
			d.move(d.paths[0], d.paths[0]+".away")
			replace(t, d.paths[0])
			from := asked.Load()
			eventually(t, "it was looked at", func() bool { return asked.Load() > from+20 })
			if n := d.checks(d.paths[0]); n > 0 || m.Checking(d.paths[0]) {
				t.Errorf("%d checks", n)
			}
			wantLists(t, m, d.paths, nil, nil)
			enabled.Store(true)
			eventually(t, "it is disabled", func() bool { return m.Available().ByPath(d.paths[0]) == nil })
		})
	}
}

func TestUnmountedDirectoryIsDisabled(t *testing.T) {
	t.Parallel()
	for name, replace := range map[string]func(t *testing.T, path string){
		"gone":     func(*testing.T, string) {},
		"a file":   func(t *testing.T, path string) { touch(t, path) },
		"an empty": func(t *testing.T, path string) { touch(t, filepath.Join(path, "stray")) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDisks(t, 2)
			opts := d.watched(newClock())
			opts.LookInterval = time.Millisecond
			m := openWithBucket(t, opts)
			d.move(d.paths[0], d.paths[0]+".away")
			replace(t, d.paths[0])
			eventually(t, "it is disabled", func() bool { return m.Available().ByPath(d.paths[0]) == nil })
			eventually(t, "with a fault", func() bool { return strings.HasPrefix(m.Mountpaths()[0].Fault, "faulted: ") })
			wantLists(t, m, d.paths[1:], nil, d.paths[:1])
		})
	}
}

// TestUnmountedAfterACheck: that a disk was found healthy a moment ago, after a
// single error, does not put off what happens when its directory goes.
func TestUnmountedAfterACheck(t *testing.T) {
	t.Parallel()
	d, now := newDisks(t, 2), newClock()
	opts := d.watched(now)
	opts.LookInterval = time.Millisecond
	m := openWithBucket(t, opts)
	mp := m.Available().ByPath(d.paths[0])
	_ = mp.IOError("read", unix.EIO)
	eventually(t, "it was checked", func() bool { return d.checks(mp.Path) == 1 && !m.Checking(mp.Path) })
	wantLists(t, m, d.paths, nil, nil)
	now.add(5 * time.Second)
	d.move(d.paths[0], d.paths[0]+".away")
	eventually(t, "it is disabled", func() bool { return m.Available().ByPath(d.paths[0]) == nil })
	wantLists(t, m, d.paths[1:], nil, d.paths[:1])
}
