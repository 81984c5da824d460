package fs_test

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/fs"
)

func TestUnsettled(t *testing.T) {
	t.Parallel()
	t.Run("empty mountpaths stay settled", func(t *testing.T) {
		t.Parallel()
		d := newDisks(t, 2)
		m := open(t, d.options())
		if err := m.Attach(d.newPath("third"), "", nil); err != nil || m.Available().Unsettled {
			t.Errorf("%v, unsettled %v", err, m.Available().Unsettled)
		}
	})
	t.Run("one that leaves takes its names along", func(t *testing.T) {
		t.Parallel()
		d := newDisks(t, 3)
		m := open(t, d.options())
		for _, path := range d.paths {
			object(t, path, "o")
		}
		if err := m.Remove(d.paths[1], fs.Disable, false); err != nil || m.Available().Unsettled {
			t.Errorf("%v, unsettled %v", err, m.Available().Unsettled)
		}
	})
	t.Run("a new one beside objects", func(t *testing.T) {
		t.Parallel()
		d := newDisks(t, 2)
		m := open(t, d.options())
		object(t, d.paths[0], "dir/o")
		third := d.newPath("third")
		if err := m.Attach(third, "", nil); err != nil {
			t.Fatal(err)
		}
		set := m.Available()
		if !set.Unsettled || set.MayBeStale(set.ByPath(third)) {
			t.Errorf("unsettled %v, stale %v", set.Unsettled, set.MayBeStale(set.ByPath(third)))
		}
		closeManager(t, m)
		m = open(t, d.options())
		if !m.Available().Unsettled {
			t.Error("forgotten by a restart")
		}
		if err := m.Settle(set); err != nil || !m.Available().Unsettled {
			t.Error("settled by a run over a former set")
		}
		if err := m.Settle(m.Available()); err != nil || m.Available().Unsettled {
			t.Errorf("not settled: %v", err)
		}
		closeManager(t, m)
		if open(t, d.options()).Available().Unsettled {
			t.Error("the end of it was forgotten by a restart")
		}
	})
	t.Run("one that comes back with objects", func(t *testing.T) {
		t.Parallel()
		d := newDisks(t, 2)
		m := open(t, d.options())
		object(t, d.paths[1], "o")
		if err := m.Remove(d.paths[1], fs.Disable, false); err != nil {
			t.Fatal(err)
		}
		if err := m.Enable(d.paths[1], nil); err != nil {
			t.Fatal(err)
		}
		set := m.Available()
		if !set.Unsettled || !set.MayBeStale(set.ByPath(d.paths[1])) || set.MayBeStale(set.ByPath(d.paths[0])) {
			t.Errorf("unsettled %v", set.Unsettled)
		}
	})
	t.Run("a disk that was missing at a start", func(t *testing.T) {
		t.Parallel()
		d := newDisks(t, 2)
		m := open(t, d.options())
		object(t, d.paths[1], "o")
		closeManager(t, m)
		d.move(d.paths[1], d.paths[1]+".away")
		d.mustCycle()
		d.move(d.paths[1]+".away", d.paths[1])
		set := open(t, d.options()).Available()
		if !set.Unsettled || !set.MayBeStale(set.ByPath(d.paths[1])) {
			t.Errorf("unsettled %v", set.Unsettled)
		}
	})
	t.Run("all disks were missing", func(t *testing.T) {
		t.Parallel()
		d := newDisks(t, 2)
		m := open(t, d.options())
		object(t, d.paths[1], "o")
		closeManager(t, m)
		for _, path := range d.paths {
			d.move(path, path+".away")
		}
		d.mustCycle()
		for _, path := range d.paths {
			d.move(path+".away", path)
		}
		if open(t, d.options()).Available().Unsettled {
			t.Error("nothing could be written meanwhile")
		}
	})
}

// The records of an earlier release are read: id records that hold the list of
// mountpaths, and no volume record.
func TestStartOnDisksOfAnEarlierRelease(t *testing.T) {
	t.Parallel()
	d := newDisks(t, 2)
	first := d.mustCycle()
	for _, path := range append(slices.Clone(d.paths), d.confDir) {
		if err := os.Remove(filepath.Join(path, ".ais.vmd")); err != nil {
			t.Fatal(err)
		}
	}
	fs.WriteFormerRecords(t, d.paths, d.confDir)
	d.move(d.paths[1], d.paths[1]+".away")
	m := d.mustCycle()
	wantLists(t, m, d.paths[:1], nil, d.paths[1:]) // it is known to be missing
	d.move(d.paths[1]+".away", d.paths[1])
	m = d.mustCycle()
	for i, mp := range m.Available().Paths {
		if was := first.Available().Paths[i]; mp.ID != was.ID || mp.Digest != was.Digest {
			t.Errorf("%s is another disk now", mp.Path)
		}
	}
	wantLists(t, m, d.paths, nil, nil)
	if exists(filepath.Join(d.confDir, ".ais.mountpaths")) {
		t.Error("the former record in the configuration folder is left")
	}
}

func TestRescan(t *testing.T) {
	t.Parallel()
	d := newDisks(t, 2)
	sys := t.TempDir()
	opts := d.options()
	opts.Sysfs = sys
	m := open(t, opts)
	if err := m.Rescan(d.paths[0]); err != nil {
		t.Errorf("nothing changed: %v", err)
	}
	wantStatus(t, m.Rescan("/unknown"), http.StatusBadRequest, wire.CodeInvalidMountpath)
	info, err := fs.Unix().Stat(d.paths[0])
	if err != nil {
		t.Fatal(err)
	}
	device := filepath.Join(sys, "devices/sdx")
	link := fs.BlockLink(sys, info.Dev)
	for _, dir := range []string{device, filepath.Dir(link)} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(device, link); err != nil {
		t.Fatal(err)
	}
	err = m.Rescan(d.paths[0])
	wantStatus(t, err, http.StatusBadRequest, wire.CodeInvalidMountpath)
	wantText(t, err, "found new disks [sdx]")
	if err := m.Rescan(d.paths[0]); err != nil {
		t.Errorf("the finding is told twice: %v", err)
	}
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	wantText(t, m.Rescan(d.paths[0]), "lost disks [sdx]")
}
