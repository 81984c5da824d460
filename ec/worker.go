package ec

import (
	"context"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/aistore-go/aistore/core"
)

const (
	// workers is how many objects are protected at the same time.
	workers = 8
	// pendingBatch is how many names are taken from the pending set at a time.
	pendingBatch = 256
	// The pauses after a pass over the pending set in which something failed.
	firstPause = time.Second
	maxPause   = 30 * time.Second
)

// Observer is told of the work on pending names, for the counters of jobs. begin
// is called before the work on a name of a bucket, and what it returns after it.
type Observer func(key core.Key) (done func(out Outcome, err error))

// Work protects what the pending set names until ctx ends. What fails is tried
// again, with growing pauses, for as long as it is owed.
func (e *Engine) Work(ctx context.Context, observe Observer) {
	signal := e.store.PendingSignal(core.WorkSlices)
	pause := firstPause
	for ctx.Err() == nil {
		failed := e.pass(ctx, observe)
		if !failed {
			pause = firstPause
			select {
			case <-signal:
			case <-time.After(maxPause): // an index may have come, with what its names owe
			case <-ctx.Done():
			}
			continue
		}
		timer := time.NewTimer(pause)
		pause = min(2*pause, maxPause)
		select {
		case <-signal:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// pass goes through the pending set once.
func (e *Engine) pass(ctx context.Context, observe Observer) (failed bool) {
	var at core.PendingCursor
	var bad atomic.Bool
	for ctx.Err() == nil && !at.AtEnd() {
		batch, next, err := e.store.Pending(ctx, core.WorkSlices, at, pendingBatch)
		if err != nil {
			e.logger.Warn("the set of objects without slices cannot be read", "err", err)
			return true
		}
		var group errgroup.Group
		group.SetLimit(workers)
		for i := range batch {
			group.Go(func() error {
				if !e.discharge(ctx, &batch[i], observe) {
					bad.Store(true)
				}
				return nil
			})
		}
		_ = group.Wait() // always nil
		at = next
	}
	return bad.Load()
}

// discharge does what one name owes; false: it still owes it.
func (e *Engine) discharge(ctx context.Context, p *core.Pending, observe Observer) bool {
	var out Outcome
	var err error
	if p.Props.EC.Enabled && e.owns(p.Key) {
		done := func(Outcome, error) {}
		if observe != nil {
			done = observe(p.Key)
		}
		out, err = e.ProtectObject(ctx, p.Key, TrustNote)
		done(out, err)
	}
	if err != nil {
		if ctx.Err() == nil {
			e.logger.Debug("an object is not protected yet", "object", p.Cname(), "err", err)
		}
		return false
	}
	if _, err := e.store.PendingDone(ctx, core.WorkSlices, p); err != nil {
		e.logger.Warn("an object is protected, and stays in the set of those that are not", "object", p.Cname(), "err", err)
		return false
	}
	return true
}
