package ec

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/delay"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
)

// examineBatch is how many names a holder asks their owner about at a time.
const examineBatch = 128

// Progress counts what RecoverHeld has gone through.
type Progress func(slices int64, errs []error)

// maxAskAgain bounds the names of which RecoverHeld remembers that they are to be asked again.
const maxAskAgain = 1 << 16

// pausesOfAsking are the pauses before owners are asked again that could not answer for some
// names: targets were out of reach, or busy.
func pausesOfAsking() []time.Duration {
	return []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, 30 * time.Second, 30 * time.Second}
}

// RecoverHeld asks the owners of all that this target holds of a bucket's slices
// whether they still have the objects: what they have lost they rebuild, what
// was superseded or deleted goes. Names that cannot be answered for at the moment are asked for again, after
// growing pauses. It returns when all was asked; the errors of single names that are left are told to progress.
func (e *Engine) RecoverHeld(ctx context.Context, entry meta.BucketEntry, progress Progress) error {
	everybody := e.cluster.Everybody()
	r := &recovery{e: e, entry: entry, progress: progress, batches: map[string][]Held{}}
	left, err := r.round(ctx, len(e.askAgain) > 0, func(visit func(Held) error) error {
		return e.store.WalkSlices(ctx, entry, func(sl *core.Slice) error {
			return visit(Held{Name: []byte(sl.Name), Stamp: sl.Stamp, Mark: sl.IsMark()})
		})
	})
	for i := 0; err == nil && len(left) > 0; i++ {
		if err = delay.For(ctx, e.askAgain[i]); err != nil {
			break
		}
		again := left
		left, err = r.round(ctx, i+1 < len(e.askAgain), func(visit func(Held) error) error {
			for _, h := range again {
				if err := visit(h); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err == nil && r.failures.Load() == 0 {
		e.mu.Lock()
		e.repaired[entry.Props.BID] = everybody
		e.mu.Unlock()
	}
	return err
}

// recovery is one run of RecoverHeld.
type recovery struct {
	e        *Engine
	entry    meta.BucketEntry
	progress Progress
	failures atomic.Int64
	batches  map[string][]Held // by owner, not asked yet
	asked    bool              // all names have been counted

	mu    sync.Mutex
	later []Held // to be asked again
}

// round asks the owners of all names that walk visits. With again those are returned that are to
// be asked once more.
func (r *recovery) round(ctx context.Context, again bool, walk func(visit func(Held) error) error) ([]Held, error) {
	r.later = nil
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(workers)
	flush := func(owner string) {
		batch := r.batches[owner]
		delete(r.batches, owner)
		group.Go(func() error {
			r.ask(ctx, owner, batch, again)
			return ctx.Err()
		})
	}
	err := walk(func(h Held) error {
		order := r.e.cluster.Order(core.Key{Bck: r.entry.Bck, Props: r.entry.Props, Name: string(h.Name)})
		if len(order) == 0 {
			return apierr.Unavailable(retryAfter, "there is no active target")
		}
		owner := order[0]
		if r.batches[owner] = append(r.batches[owner], h); len(r.batches[owner]) >= examineBatch {
			flush(owner)
		}
		return ctx.Err()
	})
	for owner := range r.batches {
		flush(owner)
	}
	if failed := group.Wait(); err == nil {
		err = failed
	}
	r.asked = true
	return r.later, err
}

// ask asks one owner, and tells of the outcome.
func (r *recovery) ask(ctx context.Context, owner string, batch []Held, again bool) {
	errs, later := r.e.ask(ctx, r.entry, owner, batch)
	count := int64(len(batch))
	if r.asked { // asked again
		count = 0
	}
	if len(later) > 0 {
		r.mu.Lock()
		if again = again && len(r.later)+len(later) <= maxAskAgain; again {
			for _, l := range later {
				r.later = append(r.later, l.held...)
			}
		}
		r.mu.Unlock()
		if !again {
			for _, l := range later {
				errs = append(errs, l.why)
			}
		}
	}
	r.failures.Add(int64(len(errs)))
	r.progress(count, errs)
}

// unanswered are names that are to be asked again.
type unanswered struct {
	held []Held
	why  error
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

// ask asks one owner, and drops what it says is superseded. later is what it could not
// answer for at the moment.
func (e *Engine) ask(ctx context.Context, entry meta.BucketEntry, owner string, batch []Held) (errs []error, later []unanswered) {
	var verdicts []Verdict
	var err error
	switch {
	case e.here(owner):
		verdicts = e.Examine(ctx, entry, batch)
	case e.cluster.Down(owner):
		err = apierr.Unavailable(retryAfter, "t[%s] does not answer", owner)
	default:
		verdicts, err = e.examineAt(ctx, owner, entry.Bck, batch)
	}
	if err == nil && len(verdicts) != len(batch) {
		err = apierr.New(apierr.StatusInternalServerError, "", "t[%s] has answered %d of %d questions", owner, len(verdicts), len(batch))
	}
	switch {
	case err != nil && apierr.StatusOf(err) == apierr.StatusServiceUnavailable:
		return nil, []unanswered{{batch, err}}
	case err != nil:
		return []error{err}, nil
	}
	for i, v := range verdicts {
		h := &batch[i]
		key := core.Key{Bck: entry.Bck, Props: entry.Props, Name: string(h.Name)}
		switch {
		case v.Error != "" && v.Again:
			later = append(later, unanswered{batch[i : i+1], apierr.Unavailable(retryAfter, "%s: %s", key.Cname(), v.Error)})
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
	return errs, later
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
				verdicts[i].Error, verdicts[i].Again = err.Error(), apierr.StatusOf(err) == apierr.StatusServiceUnavailable
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
