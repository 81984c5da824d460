package resilver_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/cmn/hrw"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/fs/faultfs"
	"github.com/aistore-go/aistore/xact"
	"github.com/aistore-go/aistore/xact/resilver"
	"github.com/aistore-go/aistore/xact/xacttest"
)

type rig struct {
	*xacttest.Rig
	t *testing.T
}

func newRig(t *testing.T, o xacttest.Options) *rig {
	var r *rig
	r = &rig{t: t, Rig: xacttest.New(t, o, resilver.Registration(func(_ context.Context, path string) error {
		return r.Store.ChangeMountpaths(func(prepare fs.Prepare) error { return r.Disks.Enable(path, prepare) })
	}))}
	return r
}

func (r *rig) attach(name string) string {
	r.t.Helper()
	path := filepath.Join(filepath.Dir(r.Disks.Available().Paths[0].Path), name)
	if err := os.MkdirAll(path, 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := r.Store.ChangeMountpaths(func(prepare fs.Prepare) error { return r.Disks.Attach(path, "", prepare) }); err != nil {
		r.t.Fatal(err)
	}
	return path
}

func (r *rig) spec() *xact.Spec {
	return &xact.Spec{ID: meta.NewJobID(), Kind: xact.KindResilver, Targets: []string{r.Env.NodeID}}
}

func (r *rig) fill(n int) {
	for i := range n {
		name := fmt.Sprintf("d/%d", i)
		r.Put(name, "content of "+name)
	}
}

// check reads all objects and counts their files.
func (r *rig) check(n, instances int) {
	r.t.Helper()
	r.readable(n)
	for i := range n {
		name := fmt.Sprintf("d/%d", i)
		if all, err := r.Store.Belongings(r.t.Context(), r.Key(name)); err != nil || len(all) != instances {
			r.t.Errorf("%s: %d files, %v", name, len(all), err)
		}
	}
}

// readable reads all objects.
func (r *rig) readable(n int) {
	r.t.Helper()
	for i := range n {
		name := fmt.Sprintf("d/%d", i)
		reader, err := r.Store.Open(r.t.Context(), r.Key(name))
		if err != nil {
			r.t.Fatal(err)
		}
		data, err := io.ReadAll(io.NewSectionReader(reader, 0, reader.Size))
		if err = errors.Join(err, reader.Close()); err != nil || string(data) != "content of "+name {
			r.t.Errorf("%s: %q, %v", name, data, err)
		}
	}
}

// TestMountpathsComeAndLeave: everything is where it belongs when the job has
// ended, and a mountpath that was to leave has left, empty.
func TestMountpathsComeAndLeave(t *testing.T) {
	t.Parallel()
	const objects = 120
	r := newRig(t, xacttest.Options{Mountpaths: 2, Props: func(p *meta.Bprops) { p.Mirror.Enabled, p.Mirror.Copies = true, 2 }})
	r.fill(objects)
	third := r.attach("third")
	if !resilver.Due(r.Disks.Available()) {
		t.Error("nothing is to be done")
	}
	snap := r.Run(r.spec())
	if snap.Aborted || snap.Error != "" || snap.Stats.LocalObjects == 0 || !strings.Contains(snap.ControlMessage, "moved:") {
		t.Errorf("%+v", snap)
	}
	if resilver.Due(r.Disks.Available()) {
		t.Error("there is still something to be done")
	}
	r.check(objects, 2)
	first := r.Disks.Available().Paths[0].Path
	for path, how := range map[string]fs.Removal{first: fs.Disable, third: fs.Detach} {
		if err := r.Disks.BeginRemoval(path, how); err != nil {
			t.Fatal(err)
		}
	}
	if snap := r.Run(r.spec()); snap.Aborted || snap.Error != "" {
		t.Errorf("%+v", snap)
	}
	if set := r.Disks.Available(); len(set.Leaving) != 0 || len(set.Paths) != 1 || resilver.Due(set) {
		t.Errorf("%+v", set)
	}
	r.check(objects, 1) // there is one mountpath
	for _, path := range []string{first, third} {
		if entries, err := filepath.Glob(path + "/@ais/b1/%ob/d/*"); err != nil || len(entries) > 0 {
			t.Errorf("%s: %d objects are left, %v", path, len(entries), err)
		}
	}
	if err := r.Store.ChangeMountpaths(func(prepare fs.Prepare) error { return r.Disks.Enable(first, prepare) }); err != nil {
		t.Fatalf("it was not disabled: %v", err)
	}
	if snap := r.Run(r.spec()); snap.Aborted || snap.Error != "" {
		t.Errorf("%+v", snap)
	}
	r.check(objects, 2)
}

// TestWeighedMountpaths: when the capacities of mountpaths have changed everything can be read,
// and is where it belongs after the job; and the same back.
func TestWeighedMountpaths(t *testing.T) {
	t.Parallel()
	const objects = 150
	r := newRig(t, xacttest.Options{Mountpaths: 3, Props: func(p *meta.Bprops) { p.Mirror.Enabled, p.Mirror.Copies = true, 2 }})
	r.fill(objects)
	if snap := r.Run(r.spec()); snap.Aborted || snap.Error != "" {
		t.Fatalf("%+v", snap)
	}
	paths := r.Disks.Available().Paths
	for _, capacities := range []map[string]uint64{{paths[0].Path: 1, paths[1].Path: 1, paths[2].Path: 20}, nil} {
		if err := r.Store.ChangeMountpaths(func(fs.Prepare) error { return r.Disks.Weigh(capacities) }); err != nil {
			t.Fatal(err)
		}
		if !resilver.Due(r.Disks.Available()) {
			t.Error("nothing is to be done")
		}
		for i := range objects {
			if _, err := r.Store.Head(t.Context(), r.Key(fmt.Sprintf("d/%d", i))); err != nil {
				t.Errorf("before it was moved: %v", err)
			}
		}
		for i := range objects / 3 {
			name := fmt.Sprintf("d/%d", i)
			r.Put(name, "content of "+name) // at its new place, and what lies elsewhere goes
		}
		if snap := r.Run(r.spec()); snap.Aborted || snap.Error != "" || snap.Stats.LocalObjects == 0 {
			t.Errorf("%+v", snap)
		}
		if resilver.Due(r.Disks.Available()) {
			t.Error("there is still something to be done")
		}
		r.check(objects, 2)
		perDisk := map[string]int{}
		for i := range objects {
			attrs, err := r.Store.Head(t.Context(), r.Key(fmt.Sprintf("d/%d", i)))
			if err != nil {
				t.Fatal(err)
			}
			perDisk[attrs.Mountpath.Path]++
		}
		if most := perDisk[paths[2].Path]; capacities != nil && most < objects*3/4 || capacities == nil && most > objects/2 {
			t.Errorf("capacities %v: objects by mountpath %v", capacities, perDisk)
		}
	}
}

// busy is a target whose users need all of its disks.
type busy struct{}

func (busy) Now() xact.LoadSample { return xact.LoadSample{Disk: 100, CPU: 100, Users: true} }

// TestUserAbortReturnsMountpaths: who stops the moving does not want it to leave;
// a newer run that replaces one goes on with it.
func TestUserAbortReturnsMountpaths(t *testing.T) {
	t.Parallel()
	const objects = 200
	r := newRig(t, xacttest.Options{Mountpaths: 3, Load: busy{}})
	r.fill(objects)
	path := r.Disks.Available().Paths[0].Path
	if err := r.Disks.BeginRemoval(path, fs.Disable); err != nil {
		t.Fatal(err)
	}
	first := r.Start(r.spec())
	second := r.Start(r.spec())
	if snap := r.Finish(first); !snap.Aborted || !strings.Contains(snap.AbortError, "renewal") {
		t.Errorf("%+v", snap)
	}
	if len(r.Disks.Available().Leaving) != 1 {
		t.Error("it does not wait any more")
	}
	xacttest.Await(t, "it has begun", func() bool {
		text := second.Snap().ControlMessage
		return strings.HasPrefix(text, "visited:") && !strings.HasPrefix(text, "visited:0,")
	})
	second.Abort(xact.ErrUserAbort)
	if snap := r.Finish(second); !snap.Aborted {
		t.Errorf("%+v", snap)
	}
	if set := r.Disks.Available(); len(set.Leaving) != 0 || len(set.Paths) != 3 || !resilver.Due(set) {
		t.Errorf("%+v", set)
	}
	r.readable(objects)
	// What was being moved may be in two places; the next one brings it in order.
	if snap := r.Run(r.spec()); snap.Aborted {
		t.Errorf("%+v", snap)
	}
	r.check(objects, 1)
}

// TestWhatCannotBeMovedStays: a mountpath on which something is left does not
// leave, and the job says what it is.
func TestWhatCannotBeMovedStays(t *testing.T) {
	t.Parallel()
	r := newRig(t, xacttest.Options{Mountpaths: 2})
	r.fill(40)
	leaves := r.Disks.Available().Paths[0]
	damaged := ""
	for i := range 40 {
		name := fmt.Sprintf("d/%d", i)
		if attrs, err := r.Store.Head(t.Context(), r.Key(name)); err == nil && attrs.Mountpath == leaves {
			damaged = name
		}
	}
	if err := os.WriteFile(leaves.Path+"/@ais/b1/%ob/"+damaged, []byte("CONTENT OF "+damaged), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := r.Disks.BeginRemoval(leaves.Path, fs.Detach); err != nil {
		t.Fatal(err)
	}
	snap := r.Run(r.spec())
	if !snap.Aborted || !strings.Contains(snap.Error, damaged) || !strings.Contains(snap.ControlMessage, ", pass:4, tried again:3") {
		t.Errorf("%+v", snap)
	}
	if set := r.Disks.Available(); len(set.Leaving) != 1 {
		t.Errorf("%+v", set)
	}
	if err := r.Store.Delete(t.Context(), r.Key(damaged)); err != nil {
		t.Fatal(err)
	}
	if snap := r.Run(r.spec()); snap.Aborted {
		t.Errorf("%+v", snap)
	}
	if set := r.Disks.Available(); len(set.Leaving) != 0 {
		t.Errorf("%+v", set)
	}
}

// TestAFullMountpath: what belongs to a mountpath that is full stays where it is and is
// named; all else is brought to where it belongs.
func TestAFullMountpath(t *testing.T) {
	t.Parallel()
	const objects = 60
	system := faultfs.New(fs.Unix())
	r := newRig(t, xacttest.Options{Mountpaths: 1, System: system})
	r.fill(objects)
	old := r.Disks.Available().Paths[0].Path
	full, free := r.attach("full"), r.attach("free")
	// What was written before shows on which mountpath each name belongs.
	belongs := func(path string) (names []string) {
		for i := range objects {
			name := fmt.Sprintf("d/%d", i)
			if r.Disks.Available().Owner(hrw.Digest(r.Bck.Uname(name))).Path == path {
				names = append(names, name)
			}
		}
		return names
	}
	if len(belongs(full)) == 0 || len(belongs(free)) == 0 {
		t.Fatal("nothing is to be moved")
	}
	system.Inject(faultfs.Fault{Op: faultfs.OpWrite, Path: full + "/@", Err: unix.ENOSPC, Times: -1})
	snap := r.Run(r.spec())
	if !snap.Aborted || !strings.Contains(snap.Error, fmt.Sprintf("%d objects cannot be moved", len(belongs(full)))) {
		t.Errorf("%+v", snap)
	}
	if !resilver.Due(r.Disks.Available()) {
		t.Error("there is nothing more to be done")
	}
	lies := func(path string, names []string) {
		t.Helper()
		for _, name := range names {
			if all, err := r.Store.Belongings(t.Context(), r.Key(name)); err != nil || len(all) != 1 || !strings.HasPrefix(all[0].Path, path+"/") {
				t.Errorf("%s: %+v, %v", name, all, err)
			}
		}
	}
	lies(free, belongs(free))
	lies(old, belongs(full))
	r.check(objects, 1)
	system.Heal()
	if snap := r.Run(r.spec()); snap.Aborted || snap.Error != "" {
		t.Errorf("%+v", snap)
	}
	lies(full, belongs(full))
	r.check(objects, 1)
}
