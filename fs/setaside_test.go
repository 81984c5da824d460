package fs_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/fs/faultfs"
)

// held are the objects of a test, where they lie: in their places, in quarantine.
func held(t *testing.T, paths []string) (inPlace, aside []string) {
	t.Helper()
	for _, root := range paths {
		err := filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.Contains(path, "/%ob/") {
				return err
			}
			if strings.Contains(path, "/.ais.quarantine/lost.") {
				aside = append(aside, filepath.Base(path))
			} else {
				inPlace = append(inPlace, filepath.Base(path))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(inPlace)
	slices.Sort(aside)
	return inPlace, aside
}

var nothing = func() error { return nil }

// TestSetAsideWithAFaultAtEveryCall: whatever single call fails, and also if the node is
// started again then, nothing is lost, nothing counts as done that is not, and the
// same again moves the rest.
func TestSetAsideWithAFaultAtEveryCall(t *testing.T) {
	t.Parallel()
	for _, restart := range []bool{false, true} {
		for n := 1; ; n++ {
			d := newMemoryDisks(t, 3)
			m := open(t, d.options())
			for i, path := range d.paths {
				object(t, path, "old"+string(rune('0'+i)))
			}
			d.system.Restart(faultfs.Fault{Nth: n, Err: errDisk, Late: n%2 == 0})
			_, err := m.SetAside(7, nothing)
			fired := slices.ContainsFunc(d.system.Calls(), func(call faultfs.Call) bool { return errors.Is(call.Err, errDisk) })
			d.system.Heal()
			if !fired {
				if n < 15 {
					t.Fatalf("%d calls", n)
				}
				break
			}
			inPlace, aside := held(t, d.paths)
			if len(inPlace)+len(aside) != 3 {
				t.Fatalf("call %d: %q and %q", n, inPlace, aside)
			}
			if restart {
				closeManager(t, m)
				m = open(t, d.options())
			}
			if due := m.SetAsideDue(7); err == nil && due || err != nil && !due && len(inPlace) > 0 {
				t.Errorf("call %d: %v, due: %v", n, err, due)
			}
			if m.SetAsideDue(7) {
				object(t, d.paths[2], "between") // in the same bucket, on the one that is noted last
				if _, err := m.SetAside(7, nothing); err != nil {
					t.Fatalf("call %d, again: %v", n, err)
				}
			}
			inPlace, aside = held(t, d.paths)
			if len(inPlace) > 0 || !slices.Contains(aside, "old0") || !slices.Contains(aside, "old1") || !slices.Contains(aside, "old2") || m.SetAsideDue(7) {
				t.Errorf("call %d: in place %q, in quarantine %q", n, inPlace, aside)
			}
		}
	}
}

// TestSetAside: it is done once for each time that the target is declared lost, on
// mountpaths that were away as well; what comes after it stays.
func TestSetAside(t *testing.T) {
	t.Parallel()
	d := newMemoryDisks(t, 3)
	m := open(t, d.options())
	for _, path := range d.paths {
		object(t, path, "first"+filepath.Base(path))
	}
	last := d.paths[2]
	if err := m.Remove(last, fs.Disable, true); err != nil {
		t.Fatal(err)
	}
	if m.SetAsideDue(0) || !m.SetAsideDue(7) {
		t.Error("due")
	}
	// Nothing is noted before the caller has done its part.
	failed := errors.New("not yet")
	if _, err := m.SetAside(7, func() error { return failed }); !errors.Is(err, failed) || !m.SetAsideDue(7) {
		t.Errorf("%v", err)
	}
	if _, err := m.SetAside(7, nothing); err != nil || m.SetAsideDue(7) {
		t.Errorf("%v", err)
	}
	object(t, d.paths[0], "second")
	if dirs, err := m.SetAside(7, nothing); err != nil || len(dirs) > 0 {
		t.Errorf("%q %v", dirs, err)
	}
	if err := m.Enable(last, nil); err != nil {
		t.Fatal(err)
	}
	if inPlace, aside := held(t, d.paths); !slices.Equal(inPlace, []string{"second"}) || len(aside) != 3 {
		t.Errorf("in place %q, in quarantine %q", inPlace, aside)
	}
	if err := m.CountAsides(context.Background()); err != nil {
		t.Fatal(err)
	}
	all, err := m.Asides()
	if err != nil || len(all) != 3 {
		t.Fatalf("%+v %v", all, err)
	}
	for _, a := range all {
		if !a.Counted || a.Files != 1 || a.Placement != 7 || a.Time == "" || !strings.HasPrefix(a.Dir, a.Mountpath+"/.ais.quarantine/") {
			t.Errorf("%+v", a)
		}
	}
	// A new mountpath has nothing of before; an operator may remove the folders.
	if err := m.Attach(d.newPath("third"), "", nil); err != nil || m.SetAsideDue(7) {
		t.Errorf("%v", err)
	}
	for _, a := range all {
		if err := os.RemoveAll(a.Dir); err != nil {
			t.Fatal(err)
		}
	}
	closeManager(t, m)
	m = open(t, d.options())
	if m.SetAsideDue(7) || !m.SetAsideDue(9) {
		t.Error("the folders decide")
	}
	if _, err := m.SetAside(9, nothing); err != nil {
		t.Fatal(err)
	}
	if inPlace, aside := held(t, d.paths); len(inPlace) > 0 || !slices.Equal(aside, []string{"second"}) {
		t.Errorf("in place %q, in quarantine %q", inPlace, aside)
	}
	// Another cluster counts anew.
	if err := m.SetClusterUUID("c1", "l1"); err != nil {
		t.Fatal(err)
	}
	if !m.SetAsideDue(3) {
		t.Error("the placement of another cluster")
	}
}
