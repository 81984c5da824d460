package core

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/core/meta"
	fsys "github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/fs/crashfs"
	"github.com/aistore-go/aistore/fs/faultfs"
)

// judgeByName answers as a table says; what is not in it is needed.
type judgeByName map[string]SliceUse

func (j judgeByName) JudgeSlices(_ context.Context, _ meta.BucketEntry, held []Slice) ([]SliceUse, []error) {
	uses := make([]SliceUse, len(held))
	for i := range held {
		uses[i] = j[held[i].Name]
	}
	return uses, nil
}

// TestCleanupOfSlices: what is useless goes, whatever is needed stays; what cannot be
// read goes to quarantine; what is of an earlier bucket goes only by force, to the trash.
func TestCleanupOfSlices(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{mountpaths: 2, props: durable, store: walking})
	judge := judgeByName{"useless": SliceUseless, "staged": SliceUseless, "mark": SliceUseless, "unclaimed": SliceUnclaimed}
	for _, name := range []string{"useless", "needed", "damaged", "strange", "unclaimed"} {
		keep(t, r.store, r.key(name), 1, 10, randomBytes(1, 1000))
	}
	if v, err := stage(r.store, r.key("staged"), 1, 10, randomBytes(1, 1000)); err != nil || !v.Done {
		t.Fatal(v, err)
	}
	for _, name := range []string{"mark", "mark that is needed"} {
		if _, err := r.store.MarkSlices(t.Context(), r.key(name), stampAt(10), SliceDeleted, true); err != nil {
			t.Fatal(err)
		}
	}
	fileOf := func(name string) string {
		o, err := r.store.resolve(r.key(name))
		if err != nil {
			t.Fatal(err)
		}
		return slicePath(&o)
	}
	if err := r.fs.System().SetXattr(fileOf("damaged"), XattrSlice, []byte("ASLI?")); err != nil {
		t.Fatal(err)
	}
	strange := Slice{Name: "strange", State: SliceSuperseded, Stamp: stampAt(1), Object: Attrs{BID: 5}}
	frame, _ := strange.frames(0)
	if err := r.fs.System().SetXattr(fileOf("strange"), XattrSlice, frame); err != nil {
		t.Fatal(err)
	}
	look := func(o *CleanupOptions) { o.Slices = judge }
	dry := r.cleanNow(func(o *CleanupOptions) {
		look(o)
		o.DryRun, o.Strangers = true, true
	})
	if got := dry.String(); got != "dry-run visits:8 keep-slices:2 slices:3 marks:1 invalid:2 rm:6/4.9KiB" {
		t.Errorf("dry run: %s", got)
	}
	for _, name := range []string{"useless", "damaged", "strange", "unclaimed", "mark"} {
		if !exists(fileOf(name)) {
			t.Errorf("dry run: %s is gone", name)
		}
	}
	if counts := r.cleanNow(nil); counts.Slices.Load()+counts.Marks.Load() != 0 || counts.Invalid.Load() != 1 {
		t.Errorf("nobody was asked: %s", counts)
	}
	if counts := r.cleanNow(func(o *CleanupOptions) { o.Slices, o.Age = judge, time.Hour }); counts.Files.Load() != 0 {
		t.Errorf("what changed lately: %s", counts)
	}
	counts := r.cleanNow(look)
	if counts.Slices.Load() != 2 || counts.Marks.Load() != 1 || counts.KeepUnknown.Load() != 1 || counts.KeepSlices.Load() != 3 {
		t.Errorf("%s", counts)
	}
	for name, want := range map[string]string{
		"useless": "", "staged": "", "mark": "", "damaged": "", "needed": "kept 1@10", "mark that is needed": "deleted 0@10", "unclaimed": "kept 1@10",
	} {
		if got := held(t, r.store, r.key(name)); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if !exists(fileOf("strange")) {
		t.Error("a slice of an earlier bucket is gone")
	}
	r.cleanNow(func(o *CleanupOptions) { o.Slices, o.Strangers = judge, true })
	if exists(fileOf("strange")) || exists(fileOf("unclaimed")) {
		t.Error("by force: they are left")
	}
	if retained, err := filepath.Glob(filepath.Join(filepath.Dir(r.dirs[0]), "*", fsys.TrashDir, "%retained", "*")); err != nil || len(retained) != 2 {
		t.Errorf("%v are kept in the trash, %v", retained, err)
	}
}

// TestCleanupOfSlicesOnADiskThatFails: whichever call fails, what is needed stays, and the
// next cleanup removes the rest.
func TestCleanupOfSlicesOnADiskThatFails(t *testing.T) {
	t.Parallel()
	for _, op := range []faultfs.Op{faultfs.OpStat, faultfs.OpGetXattr, faultfs.OpUnlink, faultfs.OpReadDir, faultfs.OpSyncDir, faultfs.OpOpen} {
		for nth := 1; nth <= 8; nth++ {
			faults := faultfs.New(nil)
			faults.Record(false)
			r := newRig(t, rigOptions{system: faults, store: walking, props: durable})
			for _, name := range []string{"needed", "useless"} {
				keep(t, r.store, r.key(name), 1, 10, randomBytes(1, 1000))
			}
			look := func(o *CleanupOptions) {
				o.Slices = judgeByName{"useless": SliceUseless}
				o.OnError = func(error) {}
			}
			faults.Inject(faultfs.Fault{Op: op, Path: "/@ais/", Nth: nth, Err: unix.EIO})
			r.cleanNow(look)
			faults.Heal()
			r.cleanNow(look)
			if needed, useless := held(t, r.store, r.key("needed")), held(t, r.store, r.key("useless")); needed != "kept 1@10" || useless != "" {
				t.Errorf("%s %d: needed %q, useless %q", op, nth, needed, useless)
			}
			r.close()
		}
	}
}

// TestPowerIsLostDuringCleanupOfSlices: a slice that cleanup has counted as removed does not
// come back (the mark against it may be gone elsewhere), and what is needed stays.
func TestPowerIsLostDuringCleanupOfSlices(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for seed := range uint64(4) {
		for n, reached := 1, true; reached; n++ {
			c := newCallCrash(t)
			for _, name := range []string{"needed", "useless"} {
				keep(t, c.store, c.key(name), 1, 10, randomBytes(1, 1000))
			}
			calls := 0
			var after *crashfs.System
			c.system.Before(func(faultfs.Call) error {
				if calls++; calls == n {
					after = c.system.Crash(seed*1000 + uint64(n))
				}
				return nil
			})
			failed := false
			err := c.store.Cleanup(ctx, CleanupOptions{
				Buckets: []meta.BucketEntry{{Bck: c.bck, Props: c.props}}, Age: -time.Hour, Slices: judgeByName{"useless": SliceUseless},
				OnError: func(error) { failed = true },
			}, new(CleanupCounts))
			if reached = after != nil; !reached {
				after = c.system.Crash(seed)
			}
			c.close()
			c.system = after
			c.open()
			useless := held(t, c.store, c.key("useless"))
			if useless != "" && (err == nil && !failed || useless != "kept 1@10") {
				t.Errorf("seed %d, call %d: it is %q (%v)", seed, n, useless, err)
			}
			if got := held(t, c.store, c.key("needed")); got != "kept 1@10" {
				t.Errorf("seed %d, call %d: what is needed is %q", seed, n, got)
			}
			c.close()
		}
	}
}
