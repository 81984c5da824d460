package mirror_test

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/fs/faultfs"
	"github.com/aistore-go/aistore/mirror"
	"github.com/aistore-go/aistore/xact/xacttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tally is a task that counts.
type tally struct {
	ctx    context.Context
	mu     sync.Mutex
	copied int
	errs   []error
	failed map[string]int // how often, by name; nil: nobody wants to know
	ended  atomic.Int64
}

func (t *tally) Context() context.Context                       { return t.ctx }
func (t *tally) Begin(ctx context.Context) (func(int64), error) { return func(int64) {}, ctx.Err() }
func (t *tally) End()                                           { t.ended.Add(1) }
func (t *tally) Did(p *core.Pending, did *core.Arranged, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.copied += did.Copied
	if err != nil {
		t.errs = append(t.errs, err)
		if t.failed != nil {
			t.failed[p.Name]++
		}
	}
}

func newRig(t *testing.T, mountpaths, copies int) (*xacttest.Rig, *mirror.Copies) {
	port := &mirror.Copies{}
	r := xacttest.New(t, xacttest.Options{
		Mountpaths: mountpaths,
		Props:      func(p *meta.Bprops) { p.Mirror.Enabled, p.Mirror.Copies = true, copies },
		Store:      func(o *core.Options) { o.Ports.Copies = port },
	})
	port.Use(r.Store)
	return r, port
}

func instances(t *testing.T, r *xacttest.Rig, name string) (paths []string) {
	t.Helper()
	all, err := r.Store.Belongings(t.Context(), r.Key(name))
	if err != nil {
		t.Fatal(err)
	}
	for i := range all {
		paths = append(paths, all[i].Path)
	}
	return paths
}

// TestWorkerMakesCopies: after a commit, and of an object whose file was lost,
// without anybody asking for it.
func TestWorkerMakesCopies(t *testing.T) {
	r, _ := newRig(t, 3, 2)
	task := &tally{ctx: t.Context()}
	w := mirror.Start(mirror.Options{
		Store: r.Store, Mountpaths: func() int { return 3 }, Logger: r.Env.Logger,
		Begin: func(_ context.Context, bck wire.Bck) (mirror.Task, error) {
			if bck != r.Bck {
				t.Errorf("bucket %s", bck)
			}
			return task, nil
		},
	})
	defer w.Close()
	const names = 300
	for i := range names {
		r.Put(fmt.Sprintf("d/%03d", i), "content")
	}
	settled := func() bool { return r.Store.PendingStats(core.WorkCopies).Count == 0 }
	xacttest.Await(t, "all copies are made", settled)
	for i := range names {
		if paths := instances(t, r, fmt.Sprintf("d/%03d", i)); len(paths) != 2 {
			t.Fatalf("%q", paths)
		}
	}
	task.mu.Lock()
	if task.copied != names || len(task.errs) > 0 {
		t.Errorf("%d copies, %v", task.copied, task.errs)
	}
	task.mu.Unlock()
	attrs, err := r.Store.Head(t.Context(), r.Key("d/007"))
	if err != nil || attrs.Copies != 2 {
		t.Errorf("%d copies, %v", attrs.Copies, err)
	}
	if err := os.Remove(attrs.Mountpath.Path + "/@ais/b1/%ob/d/007"); err != nil {
		t.Fatal(err)
	}
	reader, err := r.Store.Open(t.Context(), r.Key("d/007"))
	if err != nil {
		t.Fatal(err)
	}
	if err := reader.Close(); err != nil {
		t.Error(err)
	}
	xacttest.Await(t, "the object is made again", func() bool { return settled() && len(instances(t, r, "d/007")) == 2 })
	xacttest.Await(t, "tasks end", func() bool { return task.ended.Load() > 0 })
}

// TestFailuresAreTriedWithPauses: objects whose copies cannot be made are tried again after
// growing pauses, however many others are written meanwhile.
func TestFailuresAreTriedWithPauses(t *testing.T) {
	system := faultfs.New(fs.Unix())
	port := &mirror.Copies{}
	r := xacttest.New(t, xacttest.Options{
		Mountpaths: 2, System: system,
		Props: func(p *meta.Bprops) { p.Mirror.Enabled, p.Mirror.Copies = true, 2 },
		Store: func(o *core.Options) { o.Ports.Copies = port },
	})
	port.Use(r.Store)
	task := &tally{ctx: t.Context(), failed: map[string]int{}}
	w := mirror.Start(mirror.Options{
		Store: r.Store, Mountpaths: func() int { return 2 }, Logger: r.Env.Logger,
		Begin: func(context.Context, wire.Bck) (mirror.Task, error) { return task, nil },
	})
	defer w.Close()
	// A work file of a copy has a name of its own.
	system.Inject(faultfs.Fault{Op: faultfs.OpCreate, Path: "move", Err: unix.ENOSPC, Times: -1})
	began := time.Now()
	const names = 60
	for i := range names {
		name := fmt.Sprintf("o%02d", i)
		r.Put(name, "content")
		xacttest.Await(t, "its copy fails", func() bool {
			task.mu.Lock()
			defer task.mu.Unlock()
			return task.failed[name] > 0
		})
	}
	task.mu.Lock()
	// After 2, 4, 8, 16, 32, and then each 60 seconds.
	if most := 6 + int(time.Since(began)/time.Minute); task.failed["o00"] > most {
		t.Errorf("the first was tried %d times within %v", task.failed["o00"], time.Since(began))
	}
	task.mu.Unlock()
	system.Heal()
	r.Put("o00", "another one") // which does not wait for what was before it
	xacttest.Await(t, "it has a copy", func() bool {
		attrs, err := r.Store.Head(t.Context(), r.Key("o00"))
		return err == nil && attrs.Copies == 2
	})
}

// TestRestoreWithoutCopies: what has none cannot be restored.
func TestRestoreWithoutCopies(t *testing.T) {
	r, port := newRig(t, 2, 2)
	if err := port.Restore(t.Context(), r.Key("nothing")); err == nil {
		t.Error("it was restored")
	}
}
