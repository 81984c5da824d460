package target

import (
	"context"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
)

// remove deletes a name that this target owns, wherever it lies. Where a
// former owner may hold an older object, a tombstone of a greater stamp takes
// the name's place first; it goes when all of them have given up what they
// had and nothing was ever moved, or with the others once the placement is settled. A former owner that is
// down is waited for, one that is out is not. If one cannot be told, the client
// is to try again: it finds a tombstone, and they are told then.
func (t *Target) remove(ctx context.Context, key core.Key) error {
	view := t.control.View()
	former := t.formerOwners(view, key)
	if len(former) == 0 {
		return t.store.Delete(ctx, key)
	}
	f, err := t.find(ctx, view, key, former)
	switch {
	case err != nil:
		return err
	case f.down:
		return t.errUnknown(key, f.unknown)
	case f.versions: // the delete marker stands for all of them
		if _, err := t.Gather(ctx, key, core.Stamp{}, false); err != nil {
			return err
		}
	}
	switch {
	case !f.live && len(f.unknown) == 0 && !(f.local.Kind == core.KindTombstone && t.store.Untold(key, f.local.Stamp)):
		if lost, err := t.lostEverywhere(ctx, key); err != nil {
			return err
		} else if !lost {
			break // its slices are left
		}
		return apierr.New(apierr.StatusNotFound, wire.CodeNotFound, "%s doesn't exist", key.Cname())
	}
	buried, err := t.store.Bury(ctx, key)
	if err != nil || !buried.Final || view.RMD.Ver() > 0 {
		// An older object may be on its way here: the tombstone stays until the
		// placement is settled, and nothing is on its way any more.
		return err
	}
	return t.store.Unbury(ctx, key, buried.Stamp)
}

// Applied takes note of a new view, before it is in effect. When the placement
// becomes settled, tombstones go, in the background: nobody holds an older
// object any more.
func (t *Target) Applied(before, after *meta.View) {
	t.jobs.Applied(after)
	t.known.applied(before, after)
	if before.Placement.Settled() || !after.Placement.Settled() || after.BMD == nil {
		return
	}
	t.sweeps.Go(func() {
		if err := t.store.RemoveTombstones(t.ctx, after.BMD); err != nil {
			t.logger.Warn("tombstones stay until the next change of the placement", "err", err)
		}
	})
}

// Close ends what runs in the background.
func (t *Target) Close() {
	if t.copies != nil {
		t.copies.Close()
	}
	t.jobs.Close(errStopping)
	t.copying.close()
	t.slicing.close()
	if t.mover != nil {
		t.mover.Close()
	}
	t.cancel()
	t.sweeps.Wait()
}
