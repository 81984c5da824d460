package fs_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/fs/faultfs"
)

// TestDisksThatCannotBeResolvedAreNotFatal: disks that cannot be resolved cost the statistics of disks and
// nothing else, at the start and later.
func TestDisksThatCannotBeResolvedAreNotFatal(t *testing.T) {
	t.Parallel()
	d := newDisks(t, 1)
	opts := d.options()
	opts.Sysfs = t.TempDir() // the kernel tells nothing
	opts.TestMode = false
	opts.Mountpaths = map[string]string{d.paths[0]: "l"}
	m := open(t, opts)
	third := d.newPath("third")
	if err := m.Attach(third, "l", nil); err != nil {
		t.Fatal(err)
	}
	for _, mp := range m.Available().Paths {
		if len(mp.Filesystem().Disks) != 0 || mp.String() != "mp["+mp.Path+"]" {
			t.Errorf("%s: disks %q", mp, mp.Filesystem().Disks)
		}
	}
	if m.Capacity().Used == 0 || d.events.count(fs.EventDisabled) > 0 {
		t.Errorf("capacity %+v, %d alerts", m.Capacity(), d.events.count(fs.EventDisabled))
	}
}

// TestReplacementDisk: an empty replacement disk at a known path is taken by attach and by
// enable, and by nothing else.
func TestReplacementDisk(t *testing.T) {
	t.Parallel()
	for name, accept := range map[string]func(*fs.Manager, string) error{
		"attach": func(m *fs.Manager, path string) error { return m.Attach(path, "", nil) },
		"enable": func(m *fs.Manager, path string) error { return m.Enable(path, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDisks(t, 2)
			first := d.mustCycle().Available().ByPath(d.paths[1])
			d.move(d.paths[1], d.paths[1]+".broken")
			d.newPath("mp2") // the new disk is mounted
			m := open(t, d.options())
			wantLists(t, m, d.paths[:1], nil, d.paths[1:])
			if info := m.Mountpaths()[1]; info.Lost == nil || info.InUse() {
				t.Errorf("%+v", info)
			}
			if err := accept(m, d.paths[1]); err != nil {
				t.Fatal(err)
			}
			wantLists(t, m, d.paths, nil, nil)
			mp := m.Available().ByPath(d.paths[1])
			if mp.ID == first.ID || mp.Digest != first.Digest {
				t.Errorf("id %s (was %s), digest %d (was %d)", mp.ID, first.ID, mp.Digest, first.Digest)
			}
			closeManager(t, m)
			wantLists(t, open(t, d.options()), d.paths, nil, nil)
		})
	}
	t.Run("of a disabled path", func(t *testing.T) {
		t.Parallel()
		d := newDisks(t, 2)
		m := open(t, d.options())
		if err := m.Remove(d.paths[1], fs.Disable, false); err != nil {
			t.Fatal(err)
		}
		d.move(d.paths[1], d.paths[1]+".broken")
		wantStatus(t, m.Enable(d.paths[1], nil), http.StatusNotFound, "ErrMpathNotFound")
		d.newPath("mp2")
		wantStatus(t, m.Attach(d.paths[1], "", nil), http.StatusBadRequest, "ErrInvalidMountpath") // disabled: enable it
		if err := m.Enable(d.paths[1], nil); err != nil {
			t.Fatal(err)
		}
		wantLists(t, m, d.paths, nil, nil)
	})
}

// TestVolumeRecordThatCannotBeWritten: what cannot be made durable is not done, and the answer says so.
func TestVolumeRecordThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	for _, where := range []string{"configuration folder", "other mountpath"} {
		for _, op := range []faultfs.Op{faultfs.OpCreate, faultfs.OpWrite, faultfs.OpSync, faultfs.OpRename} {
			t.Run(where+" "+string(op), func(t *testing.T) {
				t.Parallel()
				d := newDisks(t, 3)
				third := d.newPath("third")
				m := open(t, d.options())
				place := d.confDir
				if where == "other mountpath" {
					place = d.paths[0]
				}
				changes := map[string]func() error{
					"attach":  func() error { return m.Attach(third, "", nil) },
					"disable": func() error { return m.Remove(d.paths[1], fs.Disable, false) },
					"detach":  func() error { return m.Remove(d.paths[1], fs.Detach, false) },
					"wait":    func() error { return m.BeginRemoval(d.paths[1], fs.Disable) },
				}
				for name, change := range changes {
					d.system.Inject(faultfs.Fault{Op: op, Path: place + "/.ais.vmd", Err: unix.EIO})
					err := change()
					d.system.Heal()
					if apierr.StatusOf(err) != http.StatusInternalServerError || !strings.Contains(err.Error(), "volume record") || !strings.Contains(err.Error(), place) {
						t.Errorf("%s: %v", name, err)
					}
					wantLists(t, m, d.paths, nil, nil)
				}
				if exists(third + "/.ais.id") {
					t.Error("a mountpath that was refused has an id")
				}
				closeManager(t, m)
				wantLists(t, open(t, d.options()), d.paths, nil, nil)
			})
		}
	}
	t.Run("nowhere at all", func(t *testing.T) {
		t.Parallel()
		d := newDisks(t, 2)
		m := open(t, d.options())
		d.system.Inject(faultfs.Fault{Op: faultfs.OpCreate, Path: "/.ais.vmd", Err: unix.EIO, Times: -1})
		if err := m.Remove(d.paths[1], fs.Disable, true); err == nil {
			t.Error("disabled without a record, by force")
		}
		wantLists(t, m, d.paths, nil, nil)
		d.system.Heal()
	})
	t.Run("undone half", func(t *testing.T) {
		t.Parallel()
		d := newDisks(t, 2)
		m := open(t, d.options())
		// The configuration folder takes the change and no more; the other fails.
		d.system.Inject(faultfs.Fault{Op: faultfs.OpCreate, Path: d.confDir + "/.ais.vmd", Nth: 2, Err: unix.EIO, Times: -1})
		d.system.Inject(faultfs.Fault{Op: faultfs.OpCreate, Path: d.paths[0] + "/.ais.vmd", Err: unix.EIO, Times: -1})
		wantText(t, oneLine(m.Remove(d.paths[1], fs.Disable, false)), "could not be undone", d.confDir)
		d.system.Heal()
		wantLists(t, m, d.paths, nil, nil)
	})
	t.Run("a full disk is no reason", func(t *testing.T) {
		t.Parallel()
		d := newDisks(t, 2)
		third := d.newPath("third")
		m := open(t, d.options())
		d.system.Inject(faultfs.Fault{Op: faultfs.OpWrite, Path: d.paths[0] + "/", Err: unix.ENOSPC, Times: -1})
		if err := m.Attach(third, "", nil); err != nil {
			t.Errorf("a disk cannot be added to a full one: %v", err)
		}
		d.system.Heal()
		closeManager(t, m)
		wantLists(t, open(t, d.options()), append([]string{third}, d.paths...), nil, nil)
	})
}

// TestRemovalsAreDurableAndEachItsOwn: the intent is kept for each path, and carried out for each path.
func TestRemovalsAreDurableAndEachItsOwn(t *testing.T) {
	t.Parallel()
	d := newDisks(t, 4)
	m := open(t, d.options())
	for _, path := range d.paths {
		object(t, path, "o")
	}
	if err := m.BeginRemoval(d.paths[1], fs.Disable); err != nil {
		t.Fatal(err)
	}
	if err := m.BeginRemoval(d.paths[2], fs.Detach); err != nil { // preempts the move of the first
		t.Fatal(err)
	}
	check := func(m *fs.Manager) {
		t.Helper()
		wantLists(t, m, []string{d.paths[0], d.paths[3]}, d.paths[1:3], nil)
		infos := m.Mountpaths()
		if infos[1].Removal != fs.Disable || infos[2].Removal != fs.Detach {
			t.Errorf("%q, %q", infos[1].Removal, infos[2].Removal)
		}
		set := m.Available()
		if len(set.Leaving) != 2 || !set.Unsettled || set.ByPath(d.paths[1]) != nil {
			t.Errorf("set %+v", set)
		}
	}
	check(m)
	closeManager(t, m)
	m = open(t, d.options())
	check(m)
	if err := m.FinishRemoval(d.paths[2]); err != nil {
		t.Fatal(err)
	}
	wantLists(t, m, []string{d.paths[0], d.paths[3]}, d.paths[1:2], nil)
	if err := m.FinishRemoval(d.paths[1]); err != nil {
		t.Fatal(err)
	}
	wantLists(t, m, []string{d.paths[0], d.paths[3]}, nil, d.paths[1:2])
	wantStatus(t, m.Enable(d.paths[2], nil), http.StatusNotFound, "ErrMpathNotFound")
	if err := m.Enable(d.paths[1], nil); err != nil {
		t.Fatal(err)
	}
	if err := m.BeginRemoval(d.paths[0], fs.Detach); err != nil {
		t.Fatal(err)
	}
	if err := m.Attach(d.paths[0], "", nil); err != nil { // taken back
		t.Fatal(err)
	}
	wantLists(t, m, []string{d.paths[0], d.paths[1], d.paths[3]}, nil, nil)
	// One that waits and holds nothing leaves at the next start.
	if err := m.BeginRemoval(d.paths[3], fs.Disable); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(d.paths[3], "@ais/bucket/%ob/o")); err != nil {
		t.Fatal(err)
	}
	closeManager(t, m)
	wantLists(t, open(t, d.options()), d.paths[:2], nil, d.paths[3:])
}
