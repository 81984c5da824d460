package target

import (
	"context"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/mirror"
	"github.com/aistore-go/aistore/xact"
	"github.com/aistore-go/aistore/xact/putcopies"
	"github.com/aistore-go/aistore/xact/resilver"
)

const (
	// resilverPause is the pause between attempts to start a resilver that another
	// job is in the way of.
	resilverPause = time.Second
)

// keepCopies has copies made, and what is due of moving between mountpaths done,
// until the target is closed.
func (t *Target) keepCopies() {
	t.copies = mirror.Start(mirror.Options{
		Store: t.store, Mountpaths: func() int { return len(t.fs.Available().Paths) }, Logger: t.logger,
		Begin: putcopies.NewTasks(t.jobEnv).Begin,
	})
	t.resilverNeeded = make(chan struct{}, 1)
	t.sweeps.Go(t.watchResilver)
	if resilver.Due(t.fs.Available()) {
		t.needResilver()
	}
	t.UseRepair(func(ctx context.Context, _ []MountpathLoss) error { return t.startResilver(ctx) })
}

// needResilver has a resilver started, or started again: the mountpaths have
// changed. It does not wait.
func (t *Target) needResilver() {
	select {
	case t.resilverNeeded <- struct{}{}:
	default:
	}
}

// watchResilver starts resilvers when they are needed.
func (t *Target) watchResilver() {
	for {
		select {
		case <-t.ctx.Done():
			return
		case <-t.resilverNeeded:
		}
		for last := ""; t.ctx.Err() == nil; {
			err := t.startResilver(t.ctx)
			if err == nil {
				break
			}
			if err.Error() != last { // a job may be in its way for hours
				last = err.Error()
				t.logger.Warn("resilver is started later", "err", err)
			}
			select {
			case <-t.ctx.Done():
			case <-time.After(resilverPause):
			}
		}
	}
}

// startResilver starts a resilver of this target; one that runs gives way to it.
func (t *Target) startResilver(ctx context.Context) error {
	if t.control.View().BMD == nil {
		return apierr.Unavailable(resilverPause, "%s: the buckets are not known yet", t.node.Name())
	}
	_, err := t.jobs.Start(ctx, &xact.Spec{
		ID: meta.NewJobID(), Kind: xact.KindResilver, Started: time.Now().UnixNano(), Targets: []string{t.node.ID()},
	})
	return err
}

// afterMountpathChange starts what a change of the mountpaths asks for, unless
// the operator wants none of it.
func (t *Target) afterMountpathChange(err error, wanted bool) error {
	if err == nil && wanted && t.node.Config().Resilver.Enabled && resilver.Due(t.fs.Available()) {
		t.needResilver()
	}
	return err
}

// moveOff takes a mountpath out of placement and has everything on it moved to
// the others; then it leaves. It returns when that is decided for good.
func (t *Target) moveOff(req *mountpathRequest, how fs.Removal) error {
	if err := t.fs.BeginRemoval(req.path, how); err != nil {
		if !req.force {
			return err
		}
		return t.fs.Remove(req.path, how, true)
	}
	if t.fs.Find(req.path) == nil { // its directory is gone
		return t.afterMountpathChange(nil, true)
	}
	if holds, err := t.holdsAnything(req.path); err == nil && !holds {
		return t.afterMountpathChange(t.fs.FinishRemoval(req.path), true)
	}
	t.needResilver()
	return nil
}

// waitingCopies is how many objects wait for copies, and for how long the oldest of
// them has.
func waitingCopies(store *core.Store) (n int64, oldest time.Duration) {
	p := store.PendingStats(core.WorkCopies)
	if !p.Oldest.IsZero() {
		oldest = time.Since(p.Oldest)
	}
	return p.Count, oldest
}

// holdsAnything tells whether there is anything to move off a mountpath.
func (t *Target) holdsAnything(path string) (bool, error) {
	mp := t.fs.Find(path)
	if mp == nil {
		return false, nil
	}
	return mp.HoldsObjects()
}
