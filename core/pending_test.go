package core

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/fs/crashfs"
)

func mirrored(copies int) func(*meta.Bprops) {
	return func(p *meta.Bprops) {
		p.Durability = meta.DurabilitySync
		p.Mirror.Enabled, p.Mirror.Copies = true, copies
	}
}

// pending returns all names that owe work, read in batches of a size.
func (r *rig) pending(work Work, limit int) (names []string, all []Pending) {
	r.tb.Helper()
	for at := (PendingCursor{}); !at.AtEnd(); {
		batch, next, err := r.store.Pending(context.Background(), work, at, limit)
		if err != nil {
			r.tb.Fatal(err)
		}
		if len(batch) > limit {
			r.tb.Fatalf("a batch of %d, limit %d", len(batch), limit)
		}
		all, at = append(all, batch...), next
	}
	for i := range all {
		names = append(names, all[i].Name)
	}
	slices.Sort(names)
	return names, all
}

// crash goes on as after a loss of power, or with kill after the end of the
// process.
func (r *rig) crash(seed uint64, kill bool) {
	r.tb.Helper()
	down := r.sys.(*crashfs.System)
	after := down.Kill
	if !kill {
		after = func() *crashfs.System { return down.Crash(seed) }
		r.opts.BootID += "x"
	}
	r.sys = after()
	_ = r.store.Close(context.Background()) // its disks are gone
	_ = r.fs.Close()
	r.open()
}

func crashRig(t *testing.T, disks int, props func(*meta.Bprops)) *rig {
	o := crashfs.Options{}
	for i := range disks {
		o.Disks = append(o.Disks, crashfs.Disk{Path: fmt.Sprintf("/disks/mp%d", i+1), Size: crashDisk})
	}
	return newRig(t, rigOptions{system: crashfs.New(o), root: "/disks", mountpaths: disks, props: props, store: func(o *Options) {
		o.BootID, o.JournalSegment = "boot", 600
	}})
}

func TestPendingWorkIsThatOfWhatIsThere(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{mountpaths: 3, props: mirrored(2)})
	var want []string
	for i := range 40 {
		want = append(want, fmt.Sprintf("d/o%02d", i))
		r.put(want[i], "content")
	}
	select {
	case <-r.store.PendingSignal(WorkCopies):
	default:
		t.Error("nobody is told of it")
	}
	names, all := r.pending(WorkCopies, 7)
	if !slices.Equal(names, want) {
		t.Fatalf("pending %q", names)
	}
	stats := r.store.PendingStats(WorkCopies)
	if stats.Count != 40 || stats.Oldest.IsZero() || stats.Oldest.After(all[39].Since) {
		t.Errorf("%+v", stats)
	}
	if n := r.store.PendingStats(WorkSlices).Count; n != 0 {
		t.Errorf("%d names owe slices", n)
	}
	overwritten, mended := all[5].Name, all[6].Name
	r.put(overwritten, "other")
	for i := range all {
		done, err := r.store.PendingDone(t.Context(), WorkCopies, &all[i])
		if err != nil || done == (i == 5) {
			t.Errorf("%q: done %v, %v", all[i].Name, done, err)
		}
	}
	if names, _ = r.pending(WorkCopies, 7); len(names) != 1 || names[0] != overwritten {
		t.Errorf("pending %q", names)
	}
	if !r.store.IsPending(t.Context(), WorkCopies, r.key(overwritten)) || r.store.IsPending(t.Context(), WorkCopies, r.key(mended)) {
		t.Error("what is pending is not what is told")
	}
	if err := r.store.Owe(t.Context(), WorkCopies, r.key(mended)); err != nil {
		t.Error(err)
	}
	if n := r.store.PendingStats(WorkCopies).Count; n != 2 {
		t.Errorf("%d names are pending", n)
	}
	r.restart()
	if n := r.store.PendingStats(WorkCopies).Count; n != 2 {
		t.Errorf("%d names are pending after a restart", n)
	}
	if err := r.store.ApplyBMD(t.Context(), r.bmd, r.bmdWith()); err != nil {
		t.Fatal(err)
	}
	if n := r.store.PendingStats(WorkCopies).Count; n != 0 {
		t.Errorf("%d names of a destroyed bucket are pending", n)
	}
}

func TestPendingWorkOfDeletedNames(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{props: func(p *meta.Bprops) { p.EC.Enabled, p.EC.DataSlices, p.EC.ParitySlices = true, 2, 1 }})
	r.put("o", "content")
	_, all := r.pending(WorkSlices, 10)
	if len(all) != 1 || all[0].Stamp.IsZero() {
		t.Fatalf("%+v", all)
	}
	if err := r.store.Delete(t.Context(), r.key("o")); err != nil {
		t.Fatal(err)
	}
	if done, err := r.store.PendingDone(t.Context(), WorkSlices, &all[0]); done || err != nil {
		t.Errorf("done %v, %v", done, err)
	}
	_, all = r.pending(WorkSlices, 10)
	if len(all) != 1 || !all[0].Stamp.IsZero() {
		t.Fatalf("%+v", all)
	}
	if done, err := r.store.PendingDone(t.Context(), WorkSlices, &all[0]); !done || err != nil {
		t.Errorf("done %v, %v", done, err)
	}
	if names, _ := r.pending(WorkSlices, 10); len(names) != 0 {
		t.Errorf("pending %q", names)
	}
}

// TestPendingWorkSurvivesCrashes: whatever was acknowledged and not done is
// pending after the process was killed, or the power was lost, at any time.
func TestPendingWorkSurvivesCrashes(t *testing.T) {
	t.Parallel()
	for seed := range uint64(24) {
		for _, kill := range []bool{false, true} {
			t.Run(fmt.Sprintf("seed %d, kill %v", seed, kill), func(t *testing.T) {
				t.Parallel()
				r := crashRig(t, 2, mirrored(2))
				owe := map[string]bool{}
				for round := range 3 {
					for i := range 3 + int(seed%5) {
						name := fmt.Sprintf("o%d-%d", round, i)
						r.put(name, name)
						owe[name] = true
					}
					_, all := r.pending(WorkCopies, 100)
					for i := range all {
						if i%2 == int(seed%2) {
							if done, err := r.store.PendingDone(t.Context(), WorkCopies, &all[i]); !done || err != nil {
								t.Fatalf("done %v, %v", done, err)
							}
							owe[all[i].Name] = false
						}
					}
					r.crash(seed, kill)
					r.until("the journal is replayed", func() bool {
						names, _ := r.pending(WorkCopies, 100)
						for name, still := range owe {
							if still && !slices.Contains(names, name) {
								return false
							}
						}
						return true
					})
				}
			})
		}
	}
}
