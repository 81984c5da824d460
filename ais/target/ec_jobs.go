package target

import (
	"context"

	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/ec"
	"github.com/aistore-go/aistore/xact/ecidle"
)

// Kinds of the jobs that show what goes on with the slices of a bucket.
const (
	kindECPut  = ecidle.KindPut
	kindECGet  = ecidle.KindGet
	kindECResp = ecidle.KindResp
)

// newEC makes the engine that keeps objects as slices on other targets.
func (t *Target) newEC() {
	t.ec = ec.New(ec.Options{
		Store: t.store, Cluster: ecCluster{t}, Holders: heldSlices(ecHolders{t}), Memory: t.memory, Logger: t.logger,
		OnRestored: func(key core.Key, size int64) {
			t.metrics.Rebuilt(size)
			t.sliceJob(key.Bck, kindECGet)(1, size)
		},
		OnMade: t.metrics.SlicesMade,
	})
	t.store.UseSlices(t.ec)
}

// sliceJob counts a piece of work of a bucket's idle job, which it starts if none
// runs. What it returns is called when the work is done. A job that cannot be
// started hinders no work: it is then not shown.
func (t *Target) sliceJob(bck wire.Bck, kind string) (done func(objects, bytes int64)) {
	ctx, cancel := context.WithTimeout(t.ctx, jobIDTime)
	defer cancel()
	for range 2 { // one may end at this moment
		x, err := t.jobs.StartLocal(ctx, kind, bck, nil)
		if err != nil {
			t.logger.Debug("work on slices is not shown as a job", "kind", kind, "bucket", bck, "err", err)
			break
		}
		if x.Pending(+1) {
			return func(objects, bytes int64) {
				x.AddObjects(objects, bytes)
				x.Pending(-1)
			}
		}
	}
	return func(int64, int64) {}
}

// ProtectPending makes the slices that objects owe, and has those repaired that
// a change of targets or of disks has taken, until the target ends.
func (t *Target) ProtectPending() {
	t.sweeps.Go(func() {
		t.ec.Work(t.ctx, func(key core.Key) func(ec.Outcome, error) {
			done := t.sliceJob(key.Bck, kindECPut)
			return func(out ec.Outcome, err error) {
				if err == nil {
					done(1, out.Bytes)
				} else {
					done(0, out.Bytes)
				}
			}
		})
	})
	t.sweeps.Go(t.watchProtection)
}
