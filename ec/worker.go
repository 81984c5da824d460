package ec

import (
	"context"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/delay"
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
// again, after growing pauses, for as long as it is owed.
func (e *Engine) Work(ctx context.Context, observe Observer) {
	signal := e.store.PendingSignal(core.WorkSlices)
	retries := core.NewRetries(firstPause, maxPause)
	for ctx.Err() == nil {
		began := time.Now()
		left, err := e.pass(ctx, observe, retries)
		wait := retries.Next(time.Now()) // an index may come, too, with what its names owe
		if err != nil {
			e.logger.Warn("the set of objects without slices cannot be read", "err", err)
			wait = firstPause
		}
		if err != nil || left > pendingBatch {
			// To go through so many in vain for each new name would take a processor.
			_ = delay.For(ctx, min(time.Since(began), firstPause)) // the loop looks at ctx
		}
		timer := time.NewTimer(wait)
		select {
		case <-signal:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// pass goes through the pending set once. left is how many names have failed, now or a
// moment ago.
func (e *Engine) pass(ctx context.Context, observe Observer, retries *core.Retries) (left int64, err error) {
	var at core.PendingCursor
	var failed atomic.Int64
	for ctx.Err() == nil && !at.AtEnd() {
		batch, next, err := e.store.Pending(ctx, core.WorkSlices, at, pendingBatch)
		if err != nil {
			return failed.Load(), err
		}
		var group errgroup.Group
		group.SetLimit(workers)
		for i := range batch {
			p := &batch[i]
			if !retries.Due(p, time.Now()) {
				failed.Add(1)
				continue
			}
			group.Go(func() error {
				if e.discharge(ctx, p, observe) {
					retries.Done(p)
				} else {
					retries.Failed(p, time.Now())
					failed.Add(1)
				}
				return nil
			})
		}
		_ = group.Wait() // always nil
		at = next
	}
	return failed.Load(), nil
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
	if err == nil && p.Props.EC.Enabled && !e.owns(p.Key) && e.holdsObject(ctx, p.Key) {
		// It leaves with the rebalance, and is owed where it arrives. Until then, and if its owner
		// becomes another one again, nobody else knows.
		return false
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

// holdsObject tells that this target has an object, or may have.
func (e *Engine) holdsObject(ctx context.Context, key core.Key) bool {
	_, kind, err := e.store.Look(ctx, key)
	return err != nil && !apierr.IsNotFound(err) || kind != 0 && !kind.IsDeleted()
}
