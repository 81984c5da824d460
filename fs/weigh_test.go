package fs_test

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"testing"

	"github.com/aistore-go/aistore/cmn/hrw"
	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/fs/faultfs"
)

// shares counts the names that each mountpath gets, by the last element of its path.
func shares(m *fs.Manager, names int) map[string]int {
	counts, set := map[string]int{}, m.Available()
	for i := range names {
		counts[filepath.Base(set.Owner(hrw.Digest(fmt.Sprintf("ais/@#/b/object-%d", i))).Path)]++
	}
	return counts
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestSharesOfMountpaths: names are placed in proportion, within 3 percent over a million.
func TestSharesOfMountpaths(t *testing.T) {
	t.Parallel()
	names := 1_000_000
	if testing.Short() {
		names = 200_000
	}
	d := newMemoryDisks(t, 4)
	m := open(t, d.options())
	for _, capacities := range [][]uint64{{1, 1, 1, 1}, {1, 2, 4, 8}, {16 << 20, 1 << 20, 3 << 20, 5 << 20}} {
		named, sum := map[string]uint64{}, uint64(0)
		for i, path := range d.paths {
			named[path] = capacities[i]
			sum += capacities[i]
		}
		must(t, m.Weigh(named))
		got := shares(m, names)
		for i, path := range d.paths {
			want := float64(names) * float64(capacities[i]) / float64(sum)
			if have := float64(got[filepath.Base(path)]); have < want*0.97 || have > want*1.03 {
				t.Errorf("%v: mountpath %d has %.0f names, want %.0f", capacities, i+1, have, want)
			}
		}
	}
}

// TestWeighingMovesLittle: a capacity that grows takes names from others and moves none
// between them; the order of a name begins with its owner and goes on as if that were not there.
func TestWeighingMovesLittle(t *testing.T) {
	t.Parallel()
	const names, few = 200_000, 20_000
	d := newMemoryDisks(t, 4)
	m := open(t, d.options())
	capacities := map[string]uint64{}
	for i, path := range d.paths {
		capacities[path] = uint64(i + 1)
	}
	plain := m.Available()
	must(t, m.Weigh(map[string]uint64{d.paths[0]: 7, d.paths[1]: 7, d.paths[2]: 7, d.paths[3]: 7}))
	for i := range names {
		if digest := hrw.Digest(fmt.Sprint(i)); plain.Owner(digest) != m.Available().Owner(digest) {
			t.Fatal("equal capacities move names")
		}
	}
	must(t, m.Weigh(capacities))
	before := m.Available()
	capacities[d.paths[1]] = 4
	must(t, m.Weigh(capacities))
	after, moved := m.Available(), 0
	for i := range names {
		digest := hrw.Digest(fmt.Sprint(i))
		from, to := before.Owner(digest), after.Owner(digest)
		if from != to {
			moved++
			if to.Path != d.paths[1] {
				t.Fatalf("a name moves to %s, whose capacity is what it was", to.Path)
			}
		}
		if i >= few {
			continue
		}
		order := after.Order(digest)
		if order[0] != to || len(order) != 4 {
			t.Fatalf("the order of a name begins with %s, it belongs to %s", order[0].Path, to.Path)
		}
	}
	if share := float64(moved) / names; share < 0.97*(4.0/12-2.0/10) || share > 1.03*(4.0/12-2.0/10) {
		t.Errorf("%.4f of all names move, want %.4f", share, 4.0/12-2.0/10)
	}
	must(t, m.Remove(d.paths[3], fs.Disable, false))
	for i := range few {
		digest := hrw.Digest(fmt.Sprint(i))
		want := after.Order(digest)
		if want[0].Path == d.paths[3] {
			want = want[1:]
		}
		if got := m.Available().Owner(digest); got != want[0] {
			t.Fatalf("without a mountpath a name belongs to %s, want %s", got.Path, want[0].Path)
		}
	}
}

// TestWeighedMountpaths: capacities are there after a restart, stay with a mountpath that is
// disabled, and one that comes gets the mean; objects that may lie elsewhere are looked for.
func TestWeighedMountpaths(t *testing.T) {
	t.Parallel()
	d := newMemoryDisks(t, 3)
	m, err := fs.Open(d.options())
	must(t, err)
	weights := map[string]uint64{d.paths[0]: 10, d.paths[1]: 20, d.paths[2]: 60}
	wantStatus(t, m.Weigh(map[string]uint64{"/nowhere": 1}), 404, "ErrMpathNotFound")
	for name, bad := range map[string]map[string]uint64{
		"missing": {d.paths[0]: 1}, "zero": {d.paths[0]: 0, d.paths[1]: 1, d.paths[2]: 1}, "too great": {d.paths[0]: 1<<40 + 1, d.paths[1]: 1, d.paths[2]: 1}, "none": {},
	} {
		if err := m.Weigh(bad); err == nil || m.Available().Capacities() != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := m.Weigh(nil); !errors.Is(err, fs.ErrAlready) {
		t.Errorf("they are not weighed: %v", err)
	}
	must(t, m.Weigh(weights))
	if set := m.Available(); set.Unsettled || set.Unarranged {
		t.Error("without objects: unsettled")
	}
	if err := m.Weigh(weights); !errors.Is(err, fs.ErrAlready) {
		t.Errorf("again: %v", err)
	}
	object(t, d.paths[0], "o")
	weights[d.paths[2]] = 90
	must(t, m.Weigh(weights))
	if set := m.Available(); !set.Unsettled || !set.Unarranged {
		t.Error("with objects: nothing is to be moved")
	}
	must(t, m.Settle(m.Available()))
	closeManager(t, m)
	m = open(t, d.options())
	if got := m.Available().Capacities(); !maps.Equal(got, weights) {
		t.Errorf("after a restart: %v", got)
	}
	if m.Available().Unsettled {
		t.Error("after a restart: unsettled")
	}
	must(t, m.Remove(d.paths[1], fs.Disable, false))
	if got := m.Available().Capacities(); len(got) != 2 || got[d.paths[0]] != 10 || got[d.paths[2]] != 90 {
		t.Errorf("two of three: %v", got)
	}
	must(t, m.Enable(d.paths[1], nil))
	come := d.newPath("fourth")
	must(t, m.Attach(come, "", nil))
	if got := m.Available().Capacities(); got[d.paths[1]] != 20 || got[come] != 40 {
		t.Errorf("one came back, another is new: %v", got)
	}
	d.system.Restart(faultfs.Fault{Op: faultfs.OpRename, Path: ".ais.vmd", Err: errDisk})
	if err := m.Weigh(nil); err == nil || len(m.Available().Capacities()) != 4 {
		t.Errorf("the volume record cannot be written: %v", err)
	}
	d.system.Heal()
	must(t, m.Weigh(nil))
	if got := m.Available().Capacities(); got != nil || !m.Available().Unsettled {
		t.Errorf("taken back: %v", got)
	}
}

// TestSizes: mountpaths of one filesystem share its size.
func TestSizes(t *testing.T) {
	t.Parallel()
	d := newMemoryDisks(t, 2)
	m := open(t, d.options())
	sizes, err := m.Sizes()
	if err != nil || len(sizes) != 2 || sizes[d.paths[0]] == 0 || sizes[d.paths[0]] != sizes[d.paths[1]] {
		t.Errorf("%v, %v", sizes, err)
	}
	if total := m.Capacity().Mountpaths[0].Total >> 20; sizes[d.paths[0]] != max(1, total/2) {
		t.Errorf("%v of %d MiB", sizes, total)
	}
}
