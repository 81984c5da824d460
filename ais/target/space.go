package target

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/xact"
)

const (
	// spaceLook is the longest time between two looks at the use of space. A look
	// costs nothing unless the figures are old, see fs.Manager.Capacity.
	spaceLook = 10 * time.Second
	// cleanupEvery is how often cleanup begins by itself at most, and cleanupLongest
	// what that becomes while it finds nothing.
	cleanupEvery   = 10 * time.Minute
	cleanupLongest = 6 * time.Hour
	// evictEvery is how often eviction begins by itself after one that found nothing
	// to evict.
	evictEvery = 10 * time.Minute
)

// spaceKeeper begins cleanup and eviction by itself when space runs short: cleanup
// above space.cleanupwm; above space.highwm eviction, if cleanup was not enough.
type spaceKeeper struct {
	capacity func() *fs.Capacity // for decisions
	measure  func() *fs.Capacity // now
	ready    func() bool         // this target knows the buckets
	// run runs a job to its end and returns how many objects it has removed.
	run func(ctx context.Context, kind string) (removed int64, err error)
	now func() time.Time
	log *slog.Logger

	wake chan struct{} // one token: something has changed

	cleaned, evicted time.Time // when they ended last
	fruitless        int       // cleanups in a row that have removed nothing
	nothingToEvict   bool      // the last time
	cleanedAt        int64     // percent used after the last cleanup
}

// poke has the use of space looked at now: a watermark was crossed, or a write
// found no space. It does not block.
func (k *spaceKeeper) poke() {
	select {
	case k.wake <- struct{}{}:
	default: // there is a token
	}
}

// watch looks until the context ends.
func (k *spaceKeeper) watch(ctx context.Context) {
	tick := time.NewTicker(spaceLook)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-k.wake:
		}
		k.look(ctx)
	}
}

// look begins what is due, and returns when it has ended.
func (k *spaceKeeper) look(ctx context.Context) {
	c := k.capacity()
	if !c.NeedsCleanup() {
		k.fruitless = 0
		return
	}
	if !k.ready() {
		return
	}
	if k.cleanupDue(c) {
		removed, err := k.run(ctx, xact.KindCleanup)
		if ctx.Err() != nil {
			return
		}
		k.cleaned = k.now()
		if k.fruitless++; removed > 0 {
			k.fruitless = 0
		}
		if err != nil {
			k.log.Warn("cleanup that was to make space", "err", err)
		}
		c = k.measure()
		k.cleanedAt = c.PctMax
	}
	if !c.Low() || k.nothingToEvict && k.now().Sub(k.evicted) < evictEvery {
		return
	}
	removed, err := k.run(ctx, xact.KindLRU)
	k.evicted, k.nothingToEvict = k.now(), removed == 0
	if err != nil && ctx.Err() == nil {
		k.log.Warn("eviction that was to make space", "err", err)
	}
	k.measure()
}

// cleanupDue tells whether cleanup should begin. One that removes nothing walks
// over all files in vain, so it comes more and more rarely, unless more space is
// used than after the last one, or hardly any is left.
func (k *spaceKeeper) cleanupDue(c *fs.Capacity) bool {
	if k.cleaned.IsZero() {
		return true
	}
	every := min(cleanupEvery<<min(k.fruitless, 10), cleanupLongest)
	if c.OutOfSpace() || c.PctMax > k.cleanedAt+1 {
		every = cleanupEvery
	}
	return k.now().Sub(k.cleaned) >= every
}

// newSpaceKeeper makes the keeper of this target.
func (t *Target) newSpaceKeeper() *spaceKeeper {
	return &spaceKeeper{
		capacity: t.fs.Capacity, measure: t.fs.RefreshCapacity, now: time.Now, log: t.logger, wake: make(chan struct{}, 1),
		ready: func() bool { return t.control.View().BMD != nil && t.control.Joined() },
		run:   t.runJob,
	}
}

// runJob runs a job of this target's own to its end. Cleanup does not wait for data that moves
// (space may be what that needs), and leaves what is misplaced alone.
func (t *Target) runJob(ctx context.Context, kind string) (removed int64, err error) {
	spec := &xact.Spec{ID: meta.NewJobID(), Kind: kind, Started: time.Now().UnixNano(), Control: "short of space"}
	if kind == xact.KindCleanup {
		spec.Force = true
		if spec.Args, err = json.Marshal(xact.StartArgs{Flags: xact.FlagKeepMisplaced}); err != nil {
			return 0, err
		}
	}
	x, err := t.jobs.Start(ctx, spec)
	if err != nil {
		return 0, err
	}
	select {
	case <-x.Done():
		return x.Objects(), x.Aborted()
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// confirmed tells that the primary vouches at present for the metadata that this
// target has.
func (t *Target) confirmed() bool {
	return t.control.View().BMD != nil && t.control.Joined() && !t.control.Stale() && t.control.LeaseValid() && t.control.Fenced() == ""
}
