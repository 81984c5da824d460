package ec

import (
	"context"

	"golang.org/x/sync/errgroup"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
)

// Cleanup asks here whether what a target keeps of other targets' objects can be
// needed. The owner of a name answers, who may have to ask everybody:
//
//   - a slice or replica is useless if the owner has a newer generation committed, or if
//     everybody was asked and a deletion after it is what counts; and, with erasure coding
//     switched off, if the owner has read the same generation and found it whole;
//   - a mark is useless if what counts is as new, everybody was asked, nobody holds anything that is
//     older, and no target is out that may come back with such a thing.
//
// Repair may find more to be superfluous: what is of the present generation it
// compares with the plan. Nothing is changed here.

// JudgeSlices implements core.SliceJudge.
func (e *Engine) JudgeSlices(ctx context.Context, entry meta.BucketEntry, held []core.Slice) (uses []core.SliceUse, errs []error) {
	uses = make([]core.SliceUse, len(held))
	byOwner := map[string][]int{}
	for i := range held {
		order := e.cluster.Order(core.Key{Bck: entry.Bck, Props: entry.Props, Name: held[i].Name})
		if len(order) > 0 {
			byOwner[order[0]] = append(byOwner[order[0]], i)
		}
	}
	for owner, which := range byOwner {
		questions := make([]Held, len(which))
		for n, i := range which {
			questions[n] = Held{Name: []byte(held[i].Name), Stamp: held[i].Stamp, Mark: held[i].IsMark()}
		}
		var verdicts []Verdict
		var err error
		switch {
		case e.here(owner):
			verdicts = e.Judge(ctx, entry, questions)
		case e.cluster.Down(owner):
			err = apierr.Unavailable(retryAfter, "t[%s] does not answer", owner)
		default:
			verdicts, err = e.holders.Judge(ctx, owner, entry.Bck, questions)
		}
		if err == nil && len(verdicts) != len(questions) {
			err = apierr.New(apierr.StatusInternalServerError, "", "t[%s] has answered %d of %d questions", owner, len(verdicts), len(questions))
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for n, i := range which {
			if v := &verdicts[n]; v.Error != "" {
				errs = append(errs, apierr.New(apierr.StatusInternalServerError, "", "%s: %s", entry.Bck.Cname(held[i].Name), v.Error))
			} else {
				uses[i] = v.Use
			}
		}
	}
	return uses, errs
}

// Judge answers for names that this target owns.
func (e *Engine) Judge(ctx context.Context, entry meta.BucketEntry, held []Held) []Verdict {
	verdicts := make([]Verdict, len(held))
	var group errgroup.Group
	group.SetLimit(workers)
	for i := range held {
		group.Go(func() error {
			h := &held[i]
			key := core.Key{Bck: entry.Bck, Props: entry.Props, Name: string(h.Name)}
			use, err := e.judge(ctx, key, h)
			verdicts[i].Use = use
			if err != nil {
				verdicts[i] = Verdict{Error: err.Error()}
			}
			return nil
		})
	}
	_ = group.Wait() // always nil
	return verdicts
}

func (e *Engine) judge(ctx context.Context, key core.Key, h *Held) (core.SliceUse, error) {
	if !e.owns(key) {
		return core.SliceNeeded, nil // its owner has changed: next time
	}
	attrs, _, err := e.store.Protection(ctx, key)
	switch {
	case apierr.IsNotFound(err):
		return e.judgeAbsent(ctx, key, h)
	case err != nil:
		return core.SliceNeeded, err
	}
	stamp := attrs.LastChange()
	switch order := h.Stamp.Compare(stamp); {
	case h.Mark && order <= 0:
		return e.judgeMark(ctx, key, h.Stamp)
	case h.Mark || order > 0:
		return core.SliceNeeded, nil // what is here has to give way, which repair does
	case order < 0:
		return core.SliceUseless, nil
	case key.Props.EC.Enabled:
		return core.SliceNeeded, nil
	}
	whole, err := e.store.Whole(ctx, key, stamp)
	if err != nil || !whole {
		return core.SliceNeeded, err
	}
	return core.SliceUseless, nil
}

// judgeAbsent is for a name of which the owner has no object.
func (e *Engine) judgeAbsent(ctx context.Context, key core.Key, h *Held) (core.SliceUse, error) {
	g := e.gather(ctx, key, false)
	if len(g.unknown) > 0 || !e.store.PlacementSettled() {
		return core.SliceNeeded, nil
	}
	switch {
	case g.newest.IsZero(): // it is gone since
		return core.SliceNeeded, nil
	case g.markOf(g.newest) != core.SliceDeleted || len(g.of(g.newest)) > 0:
		if key.Props.EC.Enabled || h.Mark || !e.store.AllMountpathsInUse() {
			return core.SliceNeeded, nil
		}
		return core.SliceUnclaimed, nil
	case !h.Mark:
		return core.SliceUseless, nil // older than the deletion
	}
	return g.useOfMark(g.newest), nil
}

// judgeMark is for a mark that is not newer than what the owner has.
func (e *Engine) judgeMark(ctx context.Context, key core.Key, stamp core.Stamp) (core.SliceUse, error) {
	g := e.gather(ctx, key, false)
	if len(g.unknown) > 0 || !e.store.PlacementSettled() {
		return core.SliceNeeded, nil
	}
	return g.useOfMark(stamp), nil
}

// useOfMark tells whether there is anything that a mark with a stamp is for.
func (g *gathered) useOfMark(stamp core.Stamp) core.SliceUse {
	for i := range g.pieces {
		if p := &g.pieces[i]; !p.IsMark() && p.Stamp.Compare(stamp) < 0 {
			return core.SliceNeeded
		}
	}
	return core.SliceUseless
}
