package ec

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
)

// examineBatch is how many names a holder asks their owner about at a time.
const examineBatch = 128

// Progress counts what RecoverHeld has gone through.
type Progress func(slices int64, errs []error)

// RecoverHeld asks the owners of all that this target holds of a bucket's slices
// whether they still have the objects: what they have lost they rebuild, what
// was superseded or deleted goes. It returns when all was asked; the errors of
// single names are told to progress.
func (e *Engine) RecoverHeld(ctx context.Context, entry meta.BucketEntry, progress Progress) error {
	everybody := e.cluster.Everybody()
	var failures atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(workers)
	batches := map[string][]Held{}
	flush := func(owner string) {
		batch := batches[owner]
		delete(batches, owner)
		group.Go(func() error {
			errs := e.ask(ctx, entry, owner, batch)
			failures.Add(int64(len(errs)))
			progress(int64(len(batch)), errs)
			return ctx.Err()
		})
	}
	err := e.store.WalkSlices(ctx, entry, func(sl *core.Slice) error {
		order := e.cluster.Order(core.Key{Bck: entry.Bck, Props: entry.Props, Name: sl.Name})
		if len(order) == 0 {
			return apierr.Unavailable(retryAfter, "there is no active target")
		}
		batches[order[0]] = append(batches[order[0]], Held{Name: []byte(sl.Name), Stamp: sl.Stamp, Mark: sl.IsMark()})
		if len(batches[order[0]]) >= examineBatch {
			flush(order[0])
		}
		return ctx.Err()
	})
	for owner := range batches {
		flush(owner)
	}
	if failed := group.Wait(); err == nil {
		err = failed
	}
	if err == nil && failures.Load() == 0 {
		e.mu.Lock()
		e.repaired[entry.Props.BID] = everybody
		e.mu.Unlock()
	}
	return err
}

// HoldsLost tells that this target may hold slices of objects of a bucket that
// nobody has: one of the targets that are gone was still there when the last repair here
// began whose questions were all answered, or there was none since this process started.
func (e *Engine) HoldsLost(bid uint64, gone []string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	before, known := e.repaired[bid]
	return len(gone) > 0 && (!known || slices.ContainsFunc(gone, func(id string) bool { return slices.Contains(before, id) }))
}

// ask asks one owner, and drops what it says is superseded.
func (e *Engine) ask(ctx context.Context, entry meta.BucketEntry, owner string, batch []Held) (errs []error) {
	var verdicts []Verdict
	var err error
	if e.here(owner) {
		verdicts = e.Examine(ctx, entry, batch)
	} else if verdicts, err = e.examineAt(ctx, owner, entry.Bck, batch); err == nil && len(verdicts) != len(batch) {
		err = apierr.New(apierr.StatusInternalServerError, "", "t[%s] has answered %d of %d questions", owner, len(verdicts), len(batch))
	}
	if err != nil {
		return []error{err}
	}
	for i, v := range verdicts {
		h := &batch[i]
		key := core.Key{Bck: entry.Bck, Props: entry.Props, Name: string(h.Name)}
		switch {
		case v.Error != "":
			errs = append(errs, apierr.New(apierr.StatusInternalServerError, "", "%s: %s", key.Cname(), v.Error))
		case v.Newest.Compare(h.Stamp) > 0 && h.Mark:
			err = e.store.ForgetMark(ctx, key, h.Stamp)
		case v.Newest.Compare(h.Stamp) > 0:
			err = e.store.DropSlice(ctx, key, h.Stamp, -1)
		}
		if err != nil {
			errs = append(errs, err)
			err = nil
		}
	}
	return errs
}

// Examine looks after names that this target owns and of which another one holds
// slices or marks: what is lost is rebuilt and protected, what was deleted goes
// everywhere.
func (e *Engine) Examine(ctx context.Context, entry meta.BucketEntry, held []Held) []Verdict {
	verdicts := make([]Verdict, len(held))
	var group errgroup.Group
	group.SetLimit(workers)
	var once sync.Map // of names: a slice that is staged beside a committed one comes twice
	for i := range held {
		group.Go(func() error {
			h := &held[i]
			if _, twice := once.LoadOrStore(fmt.Sprint(string(h.Name), h.Stamp), true); twice {
				return nil
			}
			newest, err := e.examine(ctx, core.Key{Bck: entry.Bck, Props: entry.Props, Name: string(h.Name)}, h)
			verdicts[i].Newest = newest
			if err != nil && !Changed(err) {
				verdicts[i].Error = err.Error()
			}
			return nil
		})
	}
	_ = group.Wait() // always nil
	return verdicts
}

func (e *Engine) examine(ctx context.Context, key core.Key, h *Held) (newest core.Stamp, err error) {
	attrs, _, err := e.store.Protection(ctx, key)
	switch {
	case err == nil && attrs.LastChange().Compare(h.Stamp) >= 0:
		return attrs.LastChange(), nil
	case err != nil && !apierr.IsNotFound(err):
		return newest, err
	}
	// It is lost here, or was deleted, or somebody knows something newer.
	if _, err := e.ProtectObject(ctx, key, AskAll); err != nil {
		return newest, err
	}
	if attrs, _, err = e.store.Protection(ctx, key); err != nil {
		if apierr.IsNotFound(err) {
			err = nil
		}
		return newest, err
	}
	if check := attrs.LastChange(); check.Compare(h.Stamp) >= 0 {
		_, err = e.ProtectObject(ctx, key, AskAll)
		return check, err
	}
	return newest, nil
}

// Protected counts what VerifyProtection has found of one object.
type Protected struct {
	Whole      int // slices or replicas that are held, and whole if they were read
	Want       int
	Replicated bool // they are replicas
}

// VerifyProtection counts the slices or replicas of an object of this target
// that others hold, and with read compares each with its checksums. Nothing is mended.
func (e *Engine) VerifyProtection(ctx context.Context, key core.Key, read bool) (p Protected, err error) {
	attrs, _, err := e.store.Protection(ctx, key)
	if err != nil {
		return p, err
	}
	shape := ShapeOf(key.Props, attrs.Size)
	p.Want, p.Replicated = shape.Pieces(), shape.Replicated()
	g := e.gather(ctx, key, read)
	numbers, holders := map[int]bool{}, map[string]bool{}
	for _, found := range g.of(attrs.LastChange()) {
		if (Shape{Data: found.Data, Parity: found.Parity}) != shape || found.Staged || e.here(found.id) || holders[found.id] {
			continue
		}
		if shape.Replicated() || !numbers[found.Number] {
			holders[found.id], numbers[found.Number] = true, true
			p.Whole++
		}
	}
	p.Whole = min(p.Whole, p.Want)
	return p, nil
}

// Report says how far a bucket's objects of this target are protected.
func (e *Engine) Report(bck wire.Bck) (names map[string]string) {
	all, _ := e.Troubles.All()
	names = map[string]string{}
	prefix := bck.Cname("")
	for name, why := range all {
		if len(name) > len(prefix) && name[:len(prefix)] == prefix {
			names[name] = why
		}
	}
	return names
}
