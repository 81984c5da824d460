package ec

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/core"
)

// Outcome is what protecting an object took.
type Outcome struct {
	Pieces int   // slices and replicas that were made
	Bytes  int64 // of them

	holders []string // who holds all of the generation, in the order of the numbers
}

// errChanged: the object is of another generation than a moment ago.
var errChanged = errors.New("the object has changed meanwhile")

// Changed tells that an object was overwritten or deleted while its slices were made:
// whoever did that looks after it.
func Changed(err error) bool { return errors.Is(err, errChanged) }

// Check says how thoroughly ProtectObject looks.
type Check int

// The ways of looking.
const (
	TrustNote Check = iota // what has a note for its generation is protected
	AskAll                 // all targets are asked what they hold
	ReadAll                // and read it to compare it with its checksums
)

// ProtectObject makes all slices or replicas of an object of this target that are
// missing, and returns when they are durable. Done again it finds it done. An object
// that is gone needs none: what is left of it with others is put right.
//
// Errors: 503 too few targets can be reached; others are those of the holders, of
// reading the object, or say what is held instead.
func (e *Engine) ProtectObject(ctx context.Context, key core.Key, check Check) (out Outcome, err error) {
	ctx, end, err := e.beginProtect(ctx, key)
	if err != nil {
		return out, err
	}
	defer end()
	defer func() { e.note(key, err) }()
	for attempt := 0; ; attempt++ {
		attrs, note, err := e.store.Protection(ctx, key)
		if apierr.IsNotFound(err) {
			return out, e.settleAbsent(ctx, key)
		}
		if err != nil {
			return out, err
		}
		if !key.Props.EC.Enabled {
			return out, nil
		}
		shape := ShapeOf(key.Props, attrs.Size)
		stamp := attrs.LastChange()
		if check == TrustNote && e.lacks(&note, shape) == "" {
			return out, nil
		}
		made, err := e.protect(ctx, key, &attrs, shape, check, attempt == 0 && check == TrustNote && note.Stamp.IsZero())
		out.Pieces, out.Bytes = out.Pieces+made.Pieces, out.Bytes+made.Bytes
		if e.onMade != nil && made.Pieces > 0 {
			e.onMade(made.Pieces, made.Bytes)
		}
		if err == nil {
			return out, e.store.NoteProtection(ctx, key, core.Protection{Stamp: stamp, Data: shape.Data, Parity: shape.Parity, Holders: made.holders})
		}
		if attempt >= 2 || ctx.Err() != nil {
			if errors.Is(context.Cause(ctx), errChanged) {
				err = errChanged
			}
			return out, err
		}
	}
}

// protectRun is the making of slices of one object. There is one at a time, and
// it ends early when the object is overwritten or deleted: what it has read must not
// come to a holder after the holder was told of that.
type protectRun struct {
	cancel context.CancelCauseFunc
	done   chan struct{}
	// A write that makes its slices before its commit has the turn. It ends by itself, and soon.
	write  bool
	staged core.Stamp // the generation of a write that is not committed here yet; zero: none. Under Engine.mu
}

// beginProtect waits for its turn. What it returns is called at the end.
func (e *Engine) beginProtect(ctx context.Context, key core.Key) (context.Context, func(), error) {
	ctx, _, end, err := e.beginRun(ctx, key, false)
	return ctx, end, err
}

// beginRun is beginProtect; a write does not wait for the slices of older generations.
func (e *Engine) beginRun(ctx context.Context, key core.Key, write bool) (context.Context, *protectRun, func(), error) {
	id := restoreID{key.Props.BID, key.Name}
	for {
		e.mu.Lock()
		before := e.protects[id]
		if before == nil {
			run := &protectRun{done: make(chan struct{}), write: write}
			ctx, run.cancel = context.WithCancelCause(ctx)
			e.protects[id] = run
			e.mu.Unlock()
			return ctx, run, func() {
				run.cancel(nil)
				e.mu.Lock()
				delete(e.protects, id)
				e.mu.Unlock()
				close(run.done)
			}, nil
		}
		e.mu.Unlock()
		if write && !before.write {
			before.cancel(errChanged)
		}
		select {
		case <-before.done:
		case <-ctx.Done():
			return nil, nil, nil, context.Cause(ctx)
		}
	}
}

// endProtect returns when no slices are being made of what a name held before
// the call. What a write stages, which is not committed then, its holders refuse.
func (e *Engine) endProtect(key core.Key) {
	e.mu.Lock()
	run := e.protects[restoreID{key.Props.BID, key.Name}]
	e.mu.Unlock()
	if run != nil && !run.write {
		run.cancel(errChanged)
		<-run.done
	}
}

func (e *Engine) note(key core.Key, err error) {
	if errors.Is(err, context.Canceled) || errors.Is(err, errChanged) {
		return
	}
	e.Troubles.set(key, err)
}

// assignment is a slice or replica that a target is to hold.
type assignment struct {
	number int
	id     string
	held   bool // it does already
	staged bool // but has not committed it
}

// protect makes what is missing of one generation. With direct nobody is asked
// before: the first targets in order are expected to hold nothing, or what they should.
func (e *Engine) protect(ctx context.Context, key core.Key, attrs *core.Attrs, shape Shape, check Check, direct bool) (out Outcome, err error) {
	order := e.cluster.Order(key)
	if len(order) == 0 || order[0] != e.cluster.Self() {
		return out, apierr.Unavailable(retryAfter, "%s: this target does not own it any more", key.Cname())
	}
	stamp := attrs.LastChange()
	var g *gathered
	if !direct {
		if g, err = e.dropUnfinished(ctx, key, e.gather(ctx, key, check == ReadAll), stamp); err != nil {
			return out, err
		}
		if g.newest.Compare(stamp) > 0 {
			return out, e.giveWay(ctx, key, g, stamp)
		}
	}
	plan, missing := e.assign(shape, order[1:], g, stamp)
	if g != nil {
		if err := e.degrade(ctx, key, stamp, plan, missing); err != nil {
			return out, err
		}
	}
	if out, err = e.fill(ctx, e.stored(key, attrs), shape, plan); err != nil {
		return out, err
	}
	out.holders = holdersOf(plan)
	if missing > 0 {
		return out, apierr.Unavailable(retryAfter, "%s: %d of %s have no target: %d are active", key.Cname(), missing, shape, len(order))
	}
	if g != nil {
		return out, e.clear(ctx, key, g, stamp, plan)
	}
	return out, nil
}

// assign gives each number a holder: who holds it already, or the first targets
// in order that hold nothing of the generation. missing is how many have none.
func (e *Engine) assign(shape Shape, order []string, g *gathered, stamp core.Stamp) (plan []assignment, missing int) {
	taken := map[string]bool{}
	numbers := shape.numbers()
	var open []int
	var have []piece
	if g != nil {
		active := map[string]bool{}
		for _, id := range order {
			active[id] = true
		}
		for _, p := range g.of(stamp) {
			if active[p.id] && (Shape{Data: p.Data, Parity: p.Parity}) == shape { // not what lies here, or at a target out of service
				have = append(have, p)
			}
		}
	}
	for _, number := range numbers {
		found := false
		for _, p := range have {
			if p.Number == number && !taken[p.id] {
				plan = append(plan, assignment{number: number, id: p.id, held: true, staged: p.Staged})
				taken[p.id], found = true, true
				break
			}
		}
		if !found {
			open = append(open, number)
		}
	}
	for _, id := range order {
		if len(open) == 0 {
			break
		}
		if !taken[id] && !e.cluster.Down(id) {
			plan = append(plan, assignment{number: open[0], id: id})
			taken[id] = true
			open = open[1:]
		}
	}
	return plan, len(open)
}

// fill stages what is not held, reading the object once, and commits all.
func (e *Engine) fill(ctx context.Context, from *source, shape Shape, plan []assignment) (out Outcome, err error) {
	out, failed, err := e.stageAll(ctx, from, shape, plan)
	if err != nil {
		return out, err
	}
	return out, errors.Join(failed, e.commitAll(ctx, from.key, from.attrs.LastChange(), plan))
}

// stageAll stages what is not held, and notes in the plan what is now. failed are the errors
// of holders; err: the object could not be read.
func (e *Engine) stageAll(ctx context.Context, from *source, shape Shape, plan []assignment) (out Outcome, failed, err error) {
	var sinks []Sink
	stamp := from.attrs.LastChange()
	length := core.SliceLength(from.attrs.Size, shape.Data)
	var mu sync.Mutex
	for i := range plan {
		a := &plan[i]
		if a.held {
			continue
		}
		sl := &core.Slice{
			Name: from.key.Name, State: core.SliceKept, Stamp: stamp, Number: a.number, Data: shape.Data, Parity: shape.Parity, Length: length, Object: *from.attrs,
		}
		sinks = append(sinks, Sink{Number: a.number, Send: func(ctx context.Context, body Body) error {
			v, err := e.holders.Stage(ctx, a.id, from.key, sl, body)
			switch {
			case err != nil:
				return fmt.Errorf("t[%s]: %w", a.id, err)
			case !v.Done:
				refused := apierr.Unavailable(retryAfter, "t[%s] holds something newer of %s", a.id, from.key.Cname())
				refused.Cause = &newerError{v.Newest}
				return refused
			}
			mu.Lock()
			a.held, a.staged = true, true
			out.Pieces++
			out.Bytes += length
			mu.Unlock()
			return nil
		}})
	}
	failed, err = e.deliver(ctx, from, shape, sinks)
	return out, failed, err
}

// commitAll has the holders commit what they have staged of a plan.
func (e *Engine) commitAll(ctx context.Context, key core.Key, stamp core.Stamp, plan []assignment) error {
	var ids []string
	var steps []*assignment
	for i := range plan {
		if a := &plan[i]; a.held && a.staged {
			ids, steps = append(ids, a.id), append(steps, a)
		}
	}
	return errors.Join(e.toAll(ctx, ids, func(ctx context.Context, i int, id string) error {
		v, err := e.holders.Commit(ctx, id, key, stamp, steps[i].number)
		if err == nil && !v.Done {
			err = apierr.Unavailable(retryAfter, "t[%s] has not staged slice %d of %s", id, steps[i].number, key.Cname())
		}
		return err
	})...)
}

// clear removes what is superfluous once all of a generation is held: older
// ones, second slices of a number, and marks.
func (e *Engine) clear(ctx context.Context, key core.Key, g *gathered, stamp core.Stamp, plan []assignment) error {
	wanted := map[string]int{}
	for _, a := range plan {
		wanted[a.id] = a.number
	}
	var ids []string
	var extra []piece
	for _, p := range g.pieces {
		number, holds := wanted[p.id]
		if p.Stamp == stamp && !p.IsMark() && holds && number == p.Number {
			continue
		}
		if holds && !p.Staged {
			continue // the commit has replaced it
		}
		ids, extra = append(ids, p.id), append(extra, p)
	}
	return errors.Join(e.toAll(ctx, ids, func(ctx context.Context, i int, id string) error {
		p := &extra[i]
		if p.IsMark() {
			if len(g.unknown) > 0 || !e.store.PlacementSettled() {
				return nil // somebody may hold what it is for, perhaps one who is out of the cluster
			}
			return e.forget(ctx, id, key, p.Stamp)
		}
		return e.dropSlice(ctx, id, key, p.Stamp, p.Number)
	})...)
}

// dropUnfinished has the holders drop what they have staged of generations that are
// newer than the object here and did not come to be. It returns what else is held.
func (e *Engine) dropUnfinished(ctx context.Context, key core.Key, g *gathered, stamp core.Stamp) (*gathered, error) {
	for g.newest.Compare(stamp) > 0 && e.unfinished(g) {
		staged := g.of(g.newest)
		ids := make([]string, len(staged))
		for i := range staged {
			ids[i] = staged[i].id
		}
		if err := errors.Join(e.toAll(ctx, ids, func(ctx context.Context, i int, id string) error {
			return e.dropSlice(ctx, id, key, staged[i].Stamp, staged[i].Number)
		})...); err != nil {
			return nil, err
		}
		g = g.without(g.newest)
	}
	return g, nil
}

// giveWay is for an object here that is older than what others hold.
func (e *Engine) giveWay(ctx context.Context, key core.Key, g *gathered, stamp core.Stamp) error {
	err := e.Restore(ctx, key)
	switch {
	case err == nil:
		return errChanged
	case apierr.IsNotFound(err):
		e.logger.Warn("an object that was deleted while this target could not know it goes", "object", key.Cname())
		if err := e.store.RemoveOlder(ctx, key, g.newest); err != nil {
			return err
		}
		return errChanged
	}
	return fmt.Errorf("what this target holds (%x) is older than what others know: %w", stamp.Clock, err)
}

// settleAbsent puts right what others hold of a name that this target owns and
// has nothing of: it is rebuilt, or was deleted and goes everywhere.
func (e *Engine) settleAbsent(ctx context.Context, key core.Key) error {
	if err := e.Restore(ctx, key); !apierr.IsNotFound(err) || !e.owns(key) {
		if apierr.IsNotFound(err) {
			return nil // another target looks after it
		}
		return err
	}
	g := e.gather(ctx, key, false)
	if redundant(key) || !g.without(g.newest).newest.IsZero() {
		var err error
		if g, err = e.dropUnfinished(ctx, key, g, core.Stamp{}); err != nil {
			return err
		}
	}
	if g.newest.IsZero() {
		return nil
	}
	if g.markOf(g.newest) != core.SliceDeleted {
		return errChanged
	}
	untold, err := e.markAll(ctx, key, g.newest, core.SliceDeleted, false)
	if err != nil {
		return err
	}
	if len(g.unknown) > 0 || untold > 0 {
		return e.unreachable(key, g, "its deletion is to be told to targets that do not answer")
	}
	if !e.store.PlacementSettled() {
		return nil // the marks stay for those who are out of the cluster; cleanup removes them
	}
	return e.forgetAll(ctx, key, g.newest)
}
