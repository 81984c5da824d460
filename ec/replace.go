package ec

import (
	"context"
	"errors"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/core"
)

// Committed implements core.Slices: what is to be done is in the pending set.
func (e *Engine) Committed(core.Key, core.Attrs) {}

// Protect implements core.Slices. If the object is overwritten meanwhile, whoever does that
// makes the slices of the newer generation. If it is gone, nobody can say here whether it was deleted
// after the write: 503.
func (e *Engine) Protect(ctx context.Context, key core.Key, attrs core.Attrs) error {
	const attempts = 4
	for attempt := 1; ; attempt++ {
		_, err := e.ProtectObject(ctx, key, TrustNote)
		changed := errors.Is(err, errChanged)
		if err != nil && (ctx.Err() != nil || !changed && !errors.Is(err, context.Canceled)) {
			return ofHolders(err)
		}
		now, _, lost := e.store.Protection(ctx, key)
		switch stays := now.LastChange().Compare(attrs.LastChange()); {
		case apierr.IsNotFound(lost):
			return apierr.Unavailable(retryAfter, "%s was deleted meanwhile", key.Cname())
		case err == nil, changed && redundant(key) && lost == nil && stays > 0:
			return nil
		case attempt == attempts:
			return apierr.Unavailable(retryAfter, "%s: its slices are not all there yet: it keeps changing", key.Cname())
		}
	}
}

// Replaced implements core.Slices.
func (e *Engine) Replaced(ctx context.Context, key core.Key, stamp core.Stamp, deleted, known bool) (had bool, newer core.Stamp, err error) {
	state := core.SliceSuperseded
	if deleted {
		state = core.SliceDeleted
	}
	e.endProtect(key)
	if !deleted && !known && e.isNew(ctx, key) {
		return false, newer, nil
	}
	var before replaced
	unknown, err := e.tell(ctx, key, stamp, state, false, &before)
	if err != nil {
		return before.there(), before.newer, err
	}
	if unknown > 0 && (before.had || deleted || known) {
		// For those that could not be told, a mark is left with all others: they may be all
		// that hold what was replaced.
		if unknown, err = e.tell(ctx, key, stamp, state, true, &before); err != nil {
			return before.there(), before.newer, err
		}
		if others := len(e.cluster.Everybody()) - 1; deleted && unknown > 0 && others-unknown < key.Props.EC.ParitySlices && redundant(key) {
			return before.there(), before.newer, apierr.Unavailable(retryAfter, "%s: its deletion could be told to %d of %d other targets only, and is to survive the loss of %d targets",
				key.Cname(), others-unknown, others, key.Props.EC.ParitySlices)
		}
	}
	if deleted {
		// Whoever began before the marks were there may not have seen them; what
		// he rebuilds the caller removes.
		e.awaitRestore(ctx, key)
	}
	return before.there(), before.newer, nil
}

// replaced is what targets held of a name when they were told of a change.
type replaced struct {
	had   bool            // a slice or replica that is older
	last  core.Stamp      // the greatest of all that is older
	state core.SliceState // what that is
	newer core.Stamp      // the greatest stamp that exceeds that of the change; zero: none does
}

// there tells that the name was there: what was held is not merely what a target
// kept that has not heard of its deletion.
func (r *replaced) there() bool { return r.had && r.state != core.SliceDeleted }

func (r *replaced) add(v *core.SliceVerdict, stamp core.Stamp) {
	switch c := v.Newest.Compare(stamp); {
	case v.Newest.IsZero():
	case c > 0 && v.Newest.Compare(r.newer) > 0:
		r.newer = v.Newest
	case c < 0:
		r.had = r.had || v.Had
		if v.Newest.Compare(r.last) > 0 {
			r.last, r.state = v.Newest, v.State
		}
	}
}

// isNew tells that a name which this target had nothing of is nowhere, and leaves
// nobody to be told. A target that was not told of a deletion has left marks here, as everywhere.
func (e *Engine) isNew(ctx context.Context, key core.Key) bool {
	if !e.cluster.AllKnown(key) {
		return false
	}
	held, err := e.local.Look(ctx, key, false)
	return err == nil && len(held) == 0
}

// tell marks what all targets hold of a name that can be reached, and adds what they
// held to before; unknown is how many could not be told.
func (e *Engine) tell(ctx context.Context, key core.Key, stamp core.Stamp, state core.SliceState, always bool, before *replaced) (unknown int, err error) {
	ids := e.cluster.Everybody()
	verdicts := make([]core.SliceVerdict, len(ids))
	errs := e.toAll(ctx, ids, func(ctx context.Context, i int, id string) (err error) {
		verdicts[i], err = e.mark(ctx, id, key, stamp, state, always)
		return err
	})
	for i := range ids {
		v := &verdicts[i]
		if errs[i] != nil {
			unknown++
			e.logger.Debug("a target is not told that slices are superseded", "object", key.Cname(), "target", ids[i], "err", errs[i])
			if e.here(ids[i]) {
				err = errs[i]
			}
			continue
		}
		before.add(v, stamp)
	}
	return unknown, err
}

// markAll is tell for which something newer is an error. untold is how many could not be
// told.
func (e *Engine) markAll(ctx context.Context, key core.Key, stamp core.Stamp, state core.SliceState, always bool) (untold int, err error) {
	var before replaced
	untold, err = e.tell(ctx, key, stamp, state, always, &before)
	if err == nil && before.newer.Compare(stamp) > 0 {
		err = errChanged
	}
	return untold, err
}

// forgetAll removes the marks with a stamp: everybody was told.
func (e *Engine) forgetAll(ctx context.Context, key core.Key, stamp core.Stamp) error {
	return errors.Join(e.toAll(ctx, e.cluster.Everybody(), func(ctx context.Context, _ int, id string) error {
		return e.forget(ctx, id, key, stamp)
	})...)
}

// Amended implements core.Slices. Who cannot be told has an older generation,
// which is replaced when the object is protected again.
func (e *Engine) Amended(ctx context.Context, key core.Key, from core.Stamp, attrs core.Attrs) error {
	e.endProtect(key)
	newest := core.Stamp{}
	ids := e.cluster.Everybody()
	amended := make([]bool, len(ids))
	errs := e.toAll(ctx, ids, func(ctx context.Context, i int, id string) error {
		var v core.SliceVerdict
		var err error
		if e.here(id) {
			v, err = e.local.Amend(ctx, key, from, &attrs)
		} else {
			v, err = e.holders.Amend(ctx, id, key, from, &attrs)
		}
		amended[i] = v.Done
		if err == nil && v.Newest.Compare(attrs.LastChange()) > 0 {
			e.mu.Lock()
			if v.Newest.Compare(newest) > 0 {
				newest = v.Newest
			}
			e.mu.Unlock()
		}
		return err
	})
	if newest.Compare(attrs.LastChange()) > 0 {
		return apierr.Unavailable(retryAfter, "%s: other targets hold a newer generation of it", key.Cname())
	}
	for i, err := range errs {
		if err != nil {
			e.logger.Debug("a target is not told of new metadata", "object", key.Cname(), "target", ids[i], "err", err)
		}
	}
	return nil
}
