package mirror_test

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
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
	ended  atomic.Int64
}

func (t *tally) Context() context.Context       { return t.ctx }
func (t *tally) Wait(ctx context.Context) error { return ctx.Err() }
func (t *tally) End()                           { t.ended.Add(1) }
func (t *tally) Did(_ *core.Pending, did *core.Arranged, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.copied += did.Copied
	if err != nil {
		t.errs = append(t.errs, err)
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

// TestRestoreWithoutCopies: what has none cannot be restored.
func TestRestoreWithoutCopies(t *testing.T) {
	r, port := newRig(t, 2, 2)
	if err := port.Restore(t.Context(), r.Key("nothing")); err == nil {
		t.Error("it was restored")
	}
}
