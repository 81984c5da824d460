package fs_test

import (
	"context"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/fs/crashfs"
	"github.com/aistore-go/aistore/fs/faultfs"
)

// losing are two disks of a machine that loses its power.
type losing struct {
	t      *testing.T
	system *crashfs.System
	m      *fs.Manager
}

func (l *losing) open() {
	l.t.Helper()
	var err error
	l.m, err = fs.Open(fs.Options{
		Mountpaths: map[string]string{"/disk1/mp": "", "/disk2/mp": ""}, TestMode: true, NodeID: "t1", ClusterUUID: "cluster1",
		System: l.system, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Sysfs: "/nowhere",
	})
	if err != nil {
		l.t.Fatal(err)
	}
}

// object makes a durable file of an object on a mountpath.
func (l *losing) object(mp *fs.Mountpath, name string) {
	l.t.Helper()
	if err := mp.CreateBucket(testBucket); err != nil {
		l.t.Fatal(err)
	}
	path := filepath.Join(mp.BucketDir(testBucket, fs.ContentObject), name)
	f, err := l.system.Open(path, unix.O_CREAT|unix.O_WRONLY, 0o644)
	if err != nil {
		l.t.Fatal(err)
	}
	if _, err := f.Write([]byte(name)); err != nil {
		l.t.Fatal(err)
	}
	if err := l.system.Syncfs(f); err != nil {
		l.t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		l.t.Fatal(err)
	}
}

// held are the objects where they lie, each with all its bytes.
func (l *losing) held() (inPlace, aside []string) {
	for _, disk := range []string{"/disk1", "/disk2"} {
		l.system.Walk(disk, func(path string, info fs.FileInfo) {
			name := filepath.Base(path)
			switch {
			case info.Kind != fs.KindFile || !strings.Contains(path, "/%ob/"):
			case info.Size != int64(len(name)):
				l.t.Errorf("%s has %d bytes", path, info.Size)
			case strings.Contains(path, "/.ais.quarantine/lost."):
				aside = append(aside, name)
			default:
				inPlace = append(inPlace, name)
			}
		})
	}
	slices.Sort(inPlace)
	slices.Sort(aside)
	return inPlace, aside
}

// TestPowerIsLostDuringSetAside: at whatever call the power goes while what a target had
// when it was declared lost is moved into quarantine, every object is in its place or there
// when the node starts again; none is in its place once that counts as done; and the same
// again moves the rest, for good.
func TestPowerIsLostDuringSetAside(t *testing.T) {
	t.Parallel()
	all := []string{"old1", "old2"}
	seeds := uint64(6)
	if testing.Short() {
		seeds = 2
	}
	for seed := range seeds {
		for n, reached := 1, true; reached; n++ {
			l := &losing{t: t, system: crashfs.New(crashfs.Options{Disks: []crashfs.Disk{{Path: "/disk1"}, {Path: "/disk2"}}})}
			l.open()
			for i, mp := range l.m.Available().Paths {
				l.object(mp, all[i])
			}
			calls := 0
			var after *crashfs.System
			l.system.Before(func(faultfs.Call) error {
				if calls++; calls == n {
					after = l.system.Crash(seed*1000 + uint64(n))
				}
				return nil
			})
			_, err := l.m.SetAside(7, nothing)
			if reached = after != nil; !reached {
				if n < 15 {
					t.Fatalf("%d calls", n)
				}
				after = l.system.Crash(seed)
			}
			_ = l.m.Close() // its disks are gone
			l.system = after
			l.open()
			inPlace, aside := l.held()
			due := l.m.SetAsideDue(7)
			switch {
			case len(inPlace)+len(aside) != len(all):
				t.Errorf("seed %d, call %d: in place %q, in quarantine %q", seed, n, inPlace, aside)
			case err == nil && (due || len(inPlace) > 0):
				t.Errorf("seed %d, call %d: it was done, and is due: %v, in place %q", seed, n, due, inPlace)
			case !due && len(inPlace) > 0:
				t.Errorf("seed %d, call %d: nothing is due, and in place is %q", seed, n, inPlace)
			}
			if due {
				if _, err := l.m.SetAside(7, nothing); err != nil {
					t.Fatalf("seed %d, call %d, again: %v", seed, n, err)
				}
			}
			if err := l.m.CountAsides(context.Background()); err != nil {
				t.Errorf("seed %d, call %d: %v", seed, n, err)
			}
			after = l.system.Crash(seed + 77)
			_ = l.m.Close() // its disks are gone
			l.system = after
			l.open()
			if inPlace, aside := l.held(); len(inPlace) > 0 || !slices.Equal(aside, all) || l.m.SetAsideDue(7) {
				t.Errorf("seed %d, call %d, after all: in place %q, in quarantine %q", seed, n, inPlace, aside)
			}
			closeManager(t, l.m)
		}
	}
}
