package target

import (
	"context"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// SetAside is called with every view before it is put into force. Where the
// cluster has declared this target lost since its mountpaths were told of it last,
// they are emptied first: what was on them goes into quarantine. done tells that the
// store has begun anew, with the buckets of the view. After an error the view must not
// be put into force, and SetAside is to be called again.
func (t *Target) SetAside(ctx context.Context, after *meta.View) (done bool, err error) {
	lost := after.Placement.LostAt(t.node.ID())
	if !t.fs.SetAsideDue(lost) {
		return false, nil
	}
	t.logger.Warn("the cluster goes on without what this target held, since it was declared lost: it is moved into quarantine", "placement", lost)
	var dirs []string
	err = t.store.SetAside(ctx, after.BMD, func(moved func() error) (err error) {
		dirs, err = t.fs.SetAside(lost, moved)
		return err
	})
	if err != nil {
		t.logger.Error("what this target held when it was declared lost is not in quarantine yet: it does not serve before", "err", err)
		return false, err
	}
	t.logger.Warn("this target begins empty: what it held when it was declared lost is in quarantine", "dirs", dirs)
	t.countAsides()
	return true, nil
}

// countAsides counts, in the background, what was set aside and not counted yet.
func (t *Target) countAsides() {
	t.sweeps.Go(func() {
		if err := t.fs.CountAsides(t.ctx); err != nil && t.ctx.Err() == nil {
			t.logger.Warn("what is in quarantine since this target was declared lost was not counted", "err", err)
		}
	})
}

// knows makes sure that this target goes by a placement that is not older than one
// that declared it lost, before it says what it holds: it has to give that up first.
func (t *Target) knows(ctx context.Context, placement int64) error {
	if placement <= t.control.View().Placement.Ver() {
		return nil
	}
	if err := t.control.Pull(ctx); err != nil {
		return err
	}
	if now := t.control.View().Placement.Ver(); now < placement {
		return apierr.Unavailable(time.Second, "%s knows placement %d, and was asked by %d", t.node.Name(), now, placement)
	}
	return nil
}

// setAside is what clients see of it.
func (s *diskStatus) SetAside() (list []wire.SetAside) {
	all, err := s.disks.Asides()
	for i := range all {
		a := &all[i]
		list = append(list, wire.SetAside{
			Mountpath: a.Mountpath, Dir: a.Dir, Placement: a.Placement, Time: a.Time, Counted: a.Counted, Files: a.Files, Bytes: a.Bytes,
		})
	}
	if err != nil {
		list = append(list, wire.SetAside{Error: err.Error()})
	}
	return list
}
