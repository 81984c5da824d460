package core

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/fs/faultfs"
)

// jobStep is what a job does with one object, for which a disk has no room. What other
// jobs do is in TestErrorAtEveryCall: copies, renames, arrivals, changes of chunks.
type jobStep struct {
	name    string
	chunked bool
	out     bool // the object is written while the mountpath of its name is out of use
	prepare func(r *rig)
	run     func(r *rig) error
	done    func(r *rig) bool
	lost    bool // the object is not there before
}

const jobContent = "content of an object, "

func jobSteps() []jobStep {
	ctx := context.Background()
	mirrored := func(r *rig) { r.props.Mirror.Enabled, r.props.Mirror.Copies = true, 2 }
	arrange := func(r *rig) error { _, err := r.store.Arrange(ctx, r.key("o")); return err }
	copies := func(r *rig) error { _, err := r.store.ArrangeCopies(ctx, r.key("o")); return err }
	two := func(r *rig) bool { return r.instancesOf("o") == 2 }
	home := func(r *rig) bool {
		o, err := r.store.resolve(r.key("o"))
		return err == nil && strings.HasPrefix(r.fileOf("o"), o.mp.Path+"/") && r.generations("o") == 1
	}
	slice := bytes.Repeat([]byte("slice "), 1000)
	var attrs Attrs
	return []jobStep{
		{name: "make-n-copies", prepare: mirrored, run: copies, done: two},
		{name: "make-n-copies of chunks", chunked: true, prepare: mirrored, run: copies, done: two},
		{name: "resilver", out: true, run: arrange, done: home},
		{name: "resilver of chunks", out: true, chunked: true, run: arrange, done: home},
		{name: "stage of a slice", run: func(r *rig) error {
			v, err := stage(r.store, r.key("s"), 1, 10, slice)
			if err == nil && v.Done {
				_, err = r.store.CommitSlice(ctx, r.key("s"), stampAt(10), 1)
			}
			return err
		}, done: func(r *rig) bool {
			content, err := readSliceOf(r.store, r.key("s"), 1, 10)
			return err == nil && bytes.Equal(content, slice)
		}},
		{name: "object from slices", lost: true, prepare: func(r *rig) {
			_, attrs, _ = r.get("o")
			if err := os.Remove(r.fileOf("o")); err != nil {
				r.tb.Fatal(err)
			}
		}, run: func(r *rig) error {
			return r.store.RestoreObject(ctx, r.key("o"), &attrs, strings.NewReader(jobContent+jobContent), nil)
		}, done: func(r *rig) bool { content, _, _ := r.get("o"); return content == jobContent+jobContent }},
	}
}

// TestNoSpaceInJobs: whichever call of a job finds no space, the job is told 507, what was
// readable is whole, nothing half is left, and the same again does it when there is room.
func TestNoSpaceInJobs(t *testing.T) {
	t.Parallel()
	for i := range jobSteps() {
		for _, op := range []faultfs.Op{faultfs.OpWrite, faultfs.OpCreate, faultfs.OpRename, faultfs.OpMkdir, faultfs.OpSetXattr, faultfs.OpPreallocate} {
			name := jobSteps()[i].name
			t.Run(name+"/"+string(op), func(t *testing.T) {
				t.Parallel()
				for n := 1; jobWithoutSpace(t, &jobSteps()[i], op, n); n++ {
					if n > 100 || t.Failed() {
						t.Fatalf("call %d", n)
					}
				}
			})
		}
	}
}

// rig makes what the step needs on two disks of a system.
func (step *jobStep) rig(t *testing.T, system fs.System, marks fs.Watermarks) *rig {
	t.Helper()
	r := newRig(t, rigOptions{system: system, mountpaths: 2, space: marks, props: func(p *meta.Bprops) { durable(p); p.Mirror.Copies = 2 }})
	out := ""
	if step.out {
		o, err := r.store.resolve(r.key("o"))
		if err != nil {
			t.Fatal(err)
		}
		out = o.mp.Path
		r.disable(out)
	}
	if step.chunked {
		id := r.create("o")
		for number := range 2 {
			r.part("o", id, number+1, jobContent)
		}
		if _, err := r.tryComplete("o", id, upTo(2)...); err != nil {
			t.Fatal(err)
		}
	} else {
		r.put("o", jobContent+jobContent)
	}
	if out != "" {
		r.enable(out)
	}
	if step.prepare != nil {
		step.prepare(r)
	}
	return r
}

// TestJobsLeaveRoom: a job does not fill a disk beyond its out-of-space mark, though it
// could: it is told 507, what is there stays readable, and the same again does it
// when there is room.
func TestJobsLeaveRoom(t *testing.T) {
	t.Parallel()
	for i := range jobSteps() {
		step := &jobSteps()[i]
		t.Run(step.name, func(t *testing.T) {
			t.Parallel()
			system := &twoDisks{System: fs.Unix(), full: "none"}
			r := step.rig(t, system, fs.Watermarks{Cleanup: 65, Low: 75, High: 90, OutOfSpace: 95})
			system.full = "@all"
			r.fs.RefreshCapacity()
			if err := step.run(r); statusOf(err) != 507 {
				t.Errorf("over the mark: status %d, %v", statusOf(err), err)
			}
			if content, _, found := r.get("o"); !step.lost && (!found || content != jobContent+jobContent) {
				t.Errorf("over the mark: found %v, %d bytes", found, len(content))
			}
			system.full = "none"
			r.fs.RefreshCapacity()
			if err := step.run(r); err != nil || !step.done(r) {
				t.Errorf("when there is room: %v, done: %v", err, step.done(r))
			}
		})
	}
}

// jobWithoutSpace has the n-th call fail; false: there are fewer.
func jobWithoutSpace(t *testing.T, step *jobStep, op faultfs.Op, n int) (reached bool) {
	disk := faultfs.New(nil)
	r := step.rig(t, disk, fs.Watermarks{})
	defer r.close()
	disk.Restart(faultfs.Fault{Op: op, Path: "/@ais/", Nth: n, Err: unix.ENOSPC})
	err := step.run(r)
	var failed faultfs.Call
	for _, call := range disk.Calls() {
		if errors.Is(call.Err, unix.ENOSPC) {
			failed = call
		}
	}
	disk.Heal()
	switch {
	case failed.Op == "" && err != nil:
		t.Errorf("no call failed, and yet: %v", err)
	case failed.Op != "" && err != nil && statusOf(err) != 507:
		t.Errorf("%v: status %d, %v", failed, statusOf(err), err)
	case err == nil && !step.done(r):
		t.Errorf("%v: it says that it is done", failed)
	}
	if content, _, found := r.get("o"); found == step.lost && err != nil || found && content != jobContent+jobContent {
		t.Errorf("%v: found %v, %d bytes", failed, found, len(content))
	}
	if left := r.files("/%ob/", "/%ch/", "/%ut/", "/%ec/", "/.ais.", "/.$deleted/"); len(left) > 0 {
		t.Errorf("%v: left behind: %q", failed, left)
	}
	if err := step.run(r); err != nil || !step.done(r) {
		t.Errorf("%v, again when there is room: %v, done: %v", failed, err, step.done(r))
	}
	if content, _, _ := r.get("o"); content != jobContent+jobContent {
		t.Errorf("%v, again: %d bytes", failed, len(content))
	}
	return failed.Op != ""
}
