package target

import (
	"context"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
)

// backlog tells what repairs, rebalance and resilver have still to do on this target:
// objects that wait for slices, and objects that lie elsewhere than they belong. The latter
// are counted as long as there may be any, at most a levelShare of the time.
type backlog struct {
	t   *Target
	now func() time.Time

	since time.Time     // since when objects may be misplaced; zero: none are
	next  time.Time     // when they are counted again
	took  time.Duration // what the last count took
	node  int64         // what it has found, see metrics.SetMisplaced
	path  int64
}

func newBacklog(t *Target) *backlog { return &backlog{t: t, now: time.Now} }

// watch looks until the target ends.
func (b *backlog) watch() {
	tick := time.NewTicker(levelLook)
	defer tick.Stop()
	for {
		if view := b.t.control.View(); view.Smap != nil && view.BMD != nil {
			b.look(b.t.ctx, view)
		}
		select {
		case <-tick.C:
		case <-b.t.ctx.Done():
			return
		}
	}
}

// look counts once, and publishes it.
func (b *backlog) look(ctx context.Context, view *meta.View) {
	pending, waited := b.t.store.PendingStats(core.WorkSlices), time.Duration(0)
	if !pending.Oldest.IsZero() {
		waited = max(0, b.now().Sub(pending.Oldest))
	}
	b.t.metrics.SetSlicesPending(pending.Count, waited)

	set := b.t.fs.Available()
	owed := !view.Placement.Settled() || set.Unsettled || set.Unarranged || len(set.Leaving) > 0
	now := b.now()
	switch {
	case !owed:
		*b = backlog{t: b.t, now: b.now}
	case b.since.IsZero():
		b.since = now
		fallthrough
	case !now.Before(b.next):
		node, path, err := b.count(ctx, view)
		if err == nil {
			b.node, b.path = node, path
		} else if ctx.Err() == nil {
			b.t.logger.Warn("misplaced objects cannot be counted", "err", err)
		}
		b.took = b.now().Sub(now)
		b.next = b.now().Add(max(levelLook, levelShare*b.took))
	}
	age := time.Duration(0)
	if owed {
		age = max(0, b.now().Sub(b.since))
	}
	b.t.metrics.SetMisplaced(b.node, b.path, age)
}

// count looks at all names that this target holds.
func (b *backlog) count(ctx context.Context, view *meta.View) (node, path int64, err error) {
	self := b.t.node.ID()
	owns := func(digest uint64) bool {
		owner, err := view.Smap.Owner(digest)
		return err == nil && owner.ID == self
	}
	for _, entry := range view.BMD.Buckets(nil) {
		opts := core.ListOptions{Limit: levelPage, Missing: true, Owns: owns}
		for {
			page, err := b.t.store.List(ctx, entry.Bck, entry.Props, opts)
			switch {
			case apierr.IsNotFound(err): // the bucket was destroyed meanwhile
			case err != nil:
				return 0, 0, err
			}
			for i := range page {
				switch {
				case page[i].Flags&wire.EntryMisplacedNode != 0:
					node++
				case page[i].Flags&wire.EntryMisplacedMountpath != 0:
					path++
				}
			}
			if len(page) < levelPage {
				break
			}
			opts.After = page[len(page)-1].Name
		}
	}
	return node, path, nil
}
