package core

import (
	"context"
	"errors"

	"github.com/aistore-go/aistore/core/meta"
)

// A write to an erasure-coded bucket with durability "redundant" has all its slices staged
// at their holders before its commit: what can be read is as safe as what was acknowledged, and
// until then what it replaces is (docs/ec.md, section 3).

// errRestage: what was staged is not of the generation that the write would commit now.
var errRestage = errors.New("slices were made of another generation")

// stagesFirst tells that the slices of a write are made before its commit. Those of a
// generation that moves here exist, and of one that is stored in other chunks as well.
func (w *write) stagesFirst() bool {
	return w.s.stagesWrites(&w.object) && !w.tombstone && !w.marker && w.moved == nil && w.relaid == nil
}

// stagesWrites tells that writes of an object have their slices made before their commit.
func (s *Store) stagesWrites(o *object) bool {
	return o.Props.Durability == meta.DurabilityRedundant && o.Props.EC.Enabled && s.options.Ports.Slices != nil
}

// beginStaging waits for the turn of a write that stages first. It keeps it until
// endStaging.
func (w *write) beginStaging(ctx context.Context) (err error) {
	if w.staging != nil || !w.stagesFirst() {
		return nil
	}
	w.staging, err = w.s.options.Ports.Slices.BeginWrite(ctx, w.Key)
	return err
}

// stage has the slices of a prepared record staged. No lock is held.
func (w *write) stage(ctx context.Context, prepared bool, rec *record) error {
	if !prepared || w.staging == nil {
		return nil
	}
	w.staged = Stamp{}
	attrs := rec.attrs(w.mp)
	newer, err := w.staging.Stage(ctx, &attrs, w.content)
	if newer.Compare(rec.written()) > 0 {
		return w.s.overtaken(&w.object, newer)
	}
	if err == nil {
		w.staged = rec.written()
	}
	return err
}

// mustBeStaged refuses the commit of a record whose slices are not those that were
// staged: errRestage, unless this target must not commit anything.
func (w *write) mustBeStaged(prepared bool, rec *record) error {
	if !w.stagesFirst() || prepared && w.staged == rec.written() {
		return nil
	}
	return w.asOwner(errRestage)
}

// keepStaged has the holders commit the slices of what was committed here, and gives the
// turn to the next write. False: they are to be protected as those of other writes.
func (w *write) keepStaged(ctx context.Context) bool {
	if w.staging == nil {
		return false
	}
	defer w.endStaging()
	if !w.placed {
		return false
	}
	err := w.staging.Keep(context.WithoutCancel(ctx))
	if err != nil {
		w.s.log.Debug("slices of a write are staged and not committed yet", "object", w.Cname(), "err", err)
	}
	return err == nil
}

// endStaging gives the turn of a write to the next one. What was staged goes, unless the name
// may hold it.
func (w *write) endStaging() {
	if w.staging != nil {
		w.staging.End(!w.placed)
		w.staging, w.staged = nil, Stamp{}
	}
}
