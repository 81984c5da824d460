package core

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/fs/faultfs"
)

// withoutIndex restarts a rig in a way that its mountpath has no index.
var withoutIndex = map[string]func(r *rig, sys *faultfs.System, dir string) (mend func() error){
	"no room for its state": func(_ *rig, sys *faultfs.System, _ string) func() error {
		sys.Inject(faultfs.Fault{Op: faultfs.OpWrite, Path: "/" + fs.JournalDir + "/state.new", Err: unix.ENOSPC, Times: -1})
		return func() error { sys.Heal(); return nil }
	},
	"its directory is something else": func(r *rig, _ *faultfs.System, dir string) func() error {
		if err := errors.Join(os.Rename(dir, dir+".aside"), os.WriteFile(dir, nil, 0o644)); err != nil {
			r.tb.Fatal(err)
		}
		return func() error { return errors.Join(os.Remove(dir), os.Rename(dir+".aside", dir)) }
	},
}

// TestIndexThatCannotBeOpened: what changes while a mountpath has no index is
// not in the one that it had before: that is not believed again.
func TestIndexThatCannotBeOpened(t *testing.T) {
	t.Parallel()
	for how, hinder := range withoutIndex {
		for _, mended := range []string{"by a restart", "by itself", "by an operator"} {
			t.Run(how+", mended "+mended, func(t *testing.T) {
				t.Parallel()
				sys := faultfs.New(nil)
				r := newRig(t, rigOptions{system: sys, root: memoryDir(t), store: func(o *Options) {
					if o.IndexRetry = time.Hour; mended == "by itself" {
						o.IndexRetry = time.Millisecond
					}
				}})
				for _, name := range []string{"a", "b", "c"} {
					r.put(name, name)
				}
				r.indexed()
				r.close()
				mend := hinder(r, sys, filepath.Join(r.dirs[0], fs.IndexDir))
				r.open()
				if states := r.store.Indexes(); len(states) != 1 || states[0].Usable || states[0].Ready != 0 || states[0].Buckets != 1 {
					t.Fatalf("%+v", states)
				}
				if mended == "by an operator" {
					if err := r.store.ReindexMountpath(r.dirs[0]); statusOf(err) != 503 {
						t.Errorf("made again on a disk that does not take it: %v", err)
					}
				}
				r.put("new", "new")
				if err := r.store.Delete(t.Context(), r.key("b")); err != nil {
					t.Fatal(err)
				}
				lists := func(when string) {
					t.Helper()
					if have := r.names(ListOptions{}); !slices.Equal(have, []string{"a", "c", "new"}) {
						t.Errorf("%s: %q", when, have)
					}
				}
				lists("without an index")
				if mended == "by a restart" {
					r.close()
				}
				if err := mend(); err != nil {
					t.Fatal(err)
				}
				switch mended {
				case "by a restart":
					r.open()
				case "by an operator":
					if err := r.store.ReindexMountpath(r.dirs[0]); err != nil {
						t.Fatal(err)
					}
				}
				lists("mended")
				r.indexed()
				lists("indexed")
				r.put("one more", "x")
				r.restart()
				r.indexed()
				if have := r.names(ListOptions{}); !slices.Equal(have, []string{"a", "c", "new", "one more"}) {
					t.Errorf("after a restart: %q", have)
				}
			})
		}
	}
}

// TestIndexThatWasGivenUpIsMadeAgain when an operator says so, and not before
// its minute is over otherwise.
func TestIndexThatWasGivenUpIsMadeAgain(t *testing.T) {
	t.Parallel()
	sys := faultfs.New(nil)
	r := newRig(t, rigOptions{system: sys, root: memoryDir(t)})
	r.put("a", "x")
	r.indexed()
	sys.Inject(faultfs.Fault{Path: "/" + fs.IndexDir + "/", Err: unix.EIO, Times: -1})
	for _, m := range *r.store.indexing.table.Load() {
		m.ix.GiveUp(unix.EIO)
	}
	r.put("b", "x")
	sys.Heal()
	if states := r.store.Indexes(); states[0].Usable {
		t.Fatalf("%+v", states)
	}
	for range 3 { // once is enough, and more do no harm
		if err := r.store.ReindexMountpath(r.dirs[0]); err != nil {
			t.Fatal(err)
		}
	}
	for !r.store.Indexes()[0].Usable {
		if err := t.Context().Err(); err != nil {
			t.Fatal(err)
		}
		runtime.Gosched()
	}
	r.indexed()
	if have := r.names(ListOptions{}); !slices.Equal(have, []string{"a", "b"}) {
		t.Errorf("%q", have)
	}
}
