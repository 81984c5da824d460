package faultfs_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/aistore-go/aistore/fs/faultfs"
	"golang.org/x/sys/unix"
)

func TestNthCallFails(t *testing.T) {
	t.Parallel()
	system, dir := faultfs.New(nil), t.TempDir()
	system.Inject(faultfs.Fault{Op: faultfs.OpMkdir, Path: "d", Nth: 2, Times: 2, Err: unix.ENOSPC})
	for i, want := range []bool{true, false, false, true} {
		err := system.Mkdir(filepath.Join(dir, "d"+string(rune('0'+i))), 0o755)
		if (err == nil) != want || err != nil && !errors.Is(err, unix.ENOSPC) {
			t.Errorf("call %d: %v", i+1, err)
		}
	}
	if err := system.Mkdir(filepath.Join(dir, "other"), 0o755); err != nil {
		t.Error(err)
	}
	if n := len(system.Calls()); n != 5 {
		t.Errorf("%d calls recorded, want 5", n)
	}
	system.Inject(faultfs.Fault{Err: unix.EROFS, Times: -1})
	for range 3 {
		if err := system.Unlink(dir + "/other"); !errors.Is(err, unix.EROFS) {
			t.Errorf("unlink: %v", err)
		}
	}
	system.Heal()
	if err := system.Rmdir(dir + "/other"); err != nil {
		t.Error(err)
	}
}

func TestShortWrite(t *testing.T) {
	t.Parallel()
	system, path := faultfs.New(nil), t.TempDir()+"/file"
	f, err := system.Open(path, unix.O_RDWR|unix.O_CREAT, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	system.Inject(faultfs.Fault{Op: faultfs.OpWrite, Nth: 2, Short: 3})
	system.Inject(faultfs.Fault{Op: faultfs.OpWrite, Nth: 2, Short: 1, Err: unix.EDQUOT})
	for i, want := range []struct {
		n   int
		err error
	}{{5, nil}, {3, io.ErrShortWrite}, {1, unix.EDQUOT}, {5, nil}} {
		if n, err := f.Write([]byte("12345")); n != want.n || !errors.Is(err, want.err) {
			t.Errorf("write %d = %d, %v", i+1, n, err)
		}
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "12345123112345" {
		t.Errorf("content %q, %v", data, err)
	}
}

func TestLateFaultAndHook(t *testing.T) {
	t.Parallel()
	system, dir := faultfs.New(nil), t.TempDir()
	var seen []faultfs.Op
	system.Before(func(c faultfs.Call) { seen = append(seen, c.Op) })
	system.Inject(faultfs.Fault{Op: faultfs.OpCreate, Err: unix.EIO, Late: true})
	if _, err := system.Open(dir+"/a", unix.O_CREAT|unix.O_RDWR, 0o644); !errors.Is(err, unix.EIO) {
		t.Errorf("open: %v", err)
	}
	if err := system.Rename(dir+"/a", dir+"/b"); err != nil {
		t.Errorf("the late fault's file is not there: %v", err)
	}
	if len(seen) != 2 || system.Count(faultfs.OpRename, "/b") != 1 || system.Calls()[0].String() == "" {
		t.Errorf("seen %v, recorded %v", seen, system.Calls())
	}
	if !system.SyncfsReportsErrors() {
		t.Log("this kernel's syncfs hides errors")
	}
	system.SetSyncfsReportsErrors(false)
	if system.SyncfsReportsErrors() {
		t.Error("the override does not count")
	}
}
