package target

import (
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/cmn/metrics"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/fs/faultfs"
)

func TestDiskAlert(t *testing.T) {
	t.Parallel()
	fine := fs.MountpathInfo{State: fs.StateAvailable}
	waits := func(how fs.Removal) *fs.MountpathInfo { return &fs.MountpathInfo{State: fs.StateWaiting, Removal: how} }
	for _, tc := range []struct {
		name string
		mp   fs.MountpathCapacity
		info *fs.MountpathInfo
		want string
	}{
		{"fine", fs.MountpathCapacity{}, &fine, ""},
		{"unknown by now", fs.MountpathCapacity{}, nil, ""},
		{"low", fs.MountpathCapacity{Low: true}, &fine, "(low-free-space)"},
		{"to be disabled, and low", fs.MountpathCapacity{Low: true}, waits(fs.Disable), "(->disabled)"},
		{"to be detached", fs.MountpathCapacity{}, waits(fs.Detach), "(->detach)"},
		{"full, and to be detached", fs.MountpathCapacity{OutOfSpace: true, Low: true}, waits(fs.Detach), "(out-of-space)"},
		{"faulty, and full", fs.MountpathCapacity{OutOfSpace: true}, &fs.MountpathInfo{State: fs.StateAvailable, Fault: "degraded"}, "(faulted)"},
		{"cannot be asked", fs.MountpathCapacity{Err: unix.EIO}, &fine, "(faulted)"},
	} {
		if have := diskAlert(&tc.mp, tc.info, false); have != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, have, tc.want)
		}
	}
	if have := diskAlert(&fs.MountpathCapacity{}, &fine, true); have != "(faulted)" {
		t.Errorf("hangs: %q", have)
	}
	if disks := withAlert([]string{"sda", "sdb"}, "(faulted)"); !slices.Equal(disks, []string{"sda(faulted)", "sdb(faulted)"}) {
		t.Errorf("%q", disks)
	}
}

func TestAlertsOfDisks(t *testing.T) {
	t.Parallel()
	root, system := t.TempDir(), faultfs.New(nil)
	paths := []string{filepath.Join(root, "a"), filepath.Join(root, "b"), filepath.Join(root, "c")}
	marks := fs.Watermarks{Cleanup: 100, Low: 100, High: 100, OutOfSpace: 100}
	disks, err := fs.Open(fs.Options{
		Mountpaths: map[string]string{paths[0]: "", paths[1]: "", paths[2]: "slow"}, TestMode: true, NodeID: "t1", ConfDir: t.TempDir(),
		System: system, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Space: func() fs.Watermarks { return marks },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := disks.Close(); err != nil {
			t.Error(err)
		}
	}()
	s := newDiskStatus(disks, metrics.New("target", "t1"))
	want := func(what string, flags wire.NodeFlags, shown ...string) {
		t.Helper()
		if have := s.Alerts(); have != flags {
			t.Errorf("%s: flags %d, want %d", what, have, flags)
		}
		capacity := s.Capacity()
		for _, path := range shown {
			if capacity.Mountpaths[path] == nil {
				t.Errorf("%s: %s is not shown", what, path)
			}
		}
		if len(capacity.Mountpaths) != len(shown) {
			t.Errorf("%s: %d mountpaths are shown, want %d", what, len(capacity.Mountpaths), len(shown))
		}
	}
	want("healthy", 0, paths...)
	if c := s.Capacity(); c.Mountpaths[paths[2]].Label != "slow" || c.TotalAvail == 0 || c.Error != "" {
		t.Errorf("capacity %+v", c)
	}
	if err := disks.BeginRemoval(paths[1], fs.Disable); err != nil {
		t.Fatal(err)
	}
	want("one waits", 0, paths...)
	if err := disks.FinishRemoval(paths[1]); err != nil {
		t.Fatal(err)
	}
	want("one is disabled by an operator", 0, paths[0], paths[2])

	system.Inject(faultfs.Fault{Op: faultfs.OpSync, Path: "/.ais.check/", Err: unix.EIO, Times: -1})
	checked := make(chan fs.CheckResult, 1)
	if _, err := disks.Check(paths[0], fs.CheckOptions{TestFiles: 1, ErrorLimit: 1}, func(r fs.CheckResult) { checked <- r }); err != nil {
		t.Fatal(err)
	}
	if r := <-checked; !errors.Is(r.First, unix.EIO) {
		t.Errorf("%+v", r)
	}
	system.Heal()
	want("one is faulty", wire.NodeDiskFault, paths[0], paths[2])
	if err := disks.Remove(paths[0], fs.Disable, false); err != nil {
		t.Fatal(err)
	}
	want("the faulty one is out", 0, paths[2])

	marks.High, marks.OutOfSpace = 0, 100
	disks.RefreshCapacity()
	want("low on space", wire.NodeLowCapacity|wire.NodeDiskLowCapacity, paths[2])
	if s.Capacity().Error == "" {
		t.Error("no text of the alert")
	}
	marks.High = 100
	disks.RefreshCapacity()
	if err := disks.Remove(paths[2], fs.Disable, true); err != nil {
		t.Fatal(err)
	}
	want("the last one is out", wire.NodeDiskFault)
}

// A mountpath that failed its check is out, and the alert stays.
func TestAlertOfADiskThatFailed(t *testing.T) {
	t.Parallel()
	root, system, disabled := t.TempDir(), faultfs.New(nil), make(chan fs.Event, 1)
	paths := []string{filepath.Join(root, "a"), filepath.Join(root, "b")}
	disks, err := fs.Open(fs.Options{
		Mountpaths: map[string]string{paths[0]: "", paths[1]: ""}, TestMode: true, NodeID: "t1", ConfDir: t.TempDir(),
		System: system, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Space: func() fs.Watermarks { return fs.Watermarks{Cleanup: 100, Low: 100, High: 100, OutOfSpace: 100} },
		OnEvent: func(e fs.Event) {
			if e.Kind == fs.EventDisabled {
				disabled <- e
			}
		},
		Health: func() fs.HealthPolicy {
			return fs.HealthPolicy{Enabled: true, CheckOptions: fs.CheckOptions{TestFiles: 1, ErrorLimit: 1}, Errors: 10}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := disks.Close(); err != nil {
			t.Error(err)
		}
	}()
	s := newDiskStatus(disks, metrics.New("target", "t1"))
	system.Inject(faultfs.Fault{Op: faultfs.OpSync, Path: paths[0] + "/", Err: unix.EIO, Times: -1})
	mp := disks.Available().ByPath(paths[0])
	if err := mp.IOError("PUT", unix.EIO); err == nil {
		t.Fatal("no error")
	}
	if e := <-disabled; e.Mountpath != paths[0] || !errors.Is(e.Err, unix.EIO) {
		t.Errorf("%+v", e)
	}
	if flags := s.Alerts(); flags != wire.NodeDiskFault {
		t.Errorf("flags %d", flags)
	}
	if lists := s.Mountpaths(); !slices.Equal(lists.Available, paths[1:]) || !slices.Equal(lists.Disabled, paths[:1]) {
		t.Errorf("%+v", lists)
	}
	if err := disks.Remove(paths[0], fs.Detach, false); err != nil {
		t.Fatal(err)
	}
	if flags := s.Alerts(); flags != 0 {
		t.Errorf("flags %d after it was detached", flags)
	}
}
