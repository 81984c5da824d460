package ec

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
)

// Writes with durability "redundant": all slices are staged before the owner commits, and
// committed after it. Section 3 of docs/ec.md says why.

// turnTime bounds how long a write waits for others of its name.
const turnTime = 30 * time.Second

// newerError: a holder has something newer than what it was sent.
type newerError struct{ stamp core.Stamp }

// Error implements error.
func (e *newerError) Error() string { return "its stamp exceeds that of the write" }

// staging is the turn of a write. It implements core.Staging.
type staging struct {
	e   *Engine
	ctx context.Context // of the turn
	key core.Key
	run *protectRun
	end func()

	attrs core.Attrs // of what is staged
	shape Shape
	plan  []assignment
	out   Outcome
}

// BeginWrite implements core.Slices.
func (e *Engine) BeginWrite(ctx context.Context, key core.Key) (core.Staging, error) {
	if !e.owns(key) {
		return nil, core.ErrNotOwner
	}
	waiting, cancel := context.WithTimeoutCause(ctx, turnTime, apierr.Unavailable(retryAfter, "%s: other writes of it take their time", key.Cname()))
	defer cancel()
	turn, run, end, err := e.beginRun(waiting, key, true)
	if err != nil {
		return nil, err
	}
	s := &staging{e: e, ctx: context.WithoutCancel(turn), key: key, run: run, end: end}
	if err := e.settleStaged(ctx, key); err != nil {
		s.End(false)
		return nil, err
	}
	return s, nil
}

// settleStaged has those slices committed of the generation at hand that are staged: what
// is staged next at their holders takes their place. A generation that was staged and perhaps never
// committed by a former owner comes here first, if it can be read.
func (e *Engine) settleStaged(ctx context.Context, key core.Key) error {
	attrs, note, err := e.store.Protection(ctx, key)
	if err == nil && !note.Stamp.IsZero() || apierr.IsNotFound(err) && e.isNew(ctx, key) {
		return nil
	}
	g := e.gather(ctx, key, false)
	if g.newest.Compare(attrs.LastChange()) > 0 && g.onlyStaged(g.newest) && e.readable(g.of(g.newest)) != nil {
		if err := e.Restore(ctx, key); err != nil {
			e.logger.Debug("what was staged of a name cannot be read before it is overwritten", "object", key.Cname(), "err", err)
		} else if attrs, _, err = e.store.Protection(ctx, key); err != nil {
			return err
		}
		g = e.gather(ctx, key, false)
	}
	var plan []assignment
	for _, p := range g.of(attrs.LastChange()) {
		if p.Staged {
			plan = append(plan, assignment{number: p.Number, id: p.id, held: true, staged: true})
		}
	}
	return ofHolders(e.commitAll(ctx, key, attrs.LastChange(), plan))
}

// Stage implements core.Staging.
func (s *staging) Stage(ctx context.Context, attrs *core.Attrs, content func() (io.ReadCloser, error)) (newer core.Stamp, err error) {
	s.drop()
	e := s.e
	order := e.cluster.Order(s.key)
	if len(order) == 0 || order[0] != e.cluster.Self() {
		return newer, core.ErrNotOwner
	}
	s.attrs, s.shape = *attrs, ShapeOf(s.key.Props, attrs.Size)
	plan, missing := e.assign(s.shape, order[1:], nil, attrs.LastChange())
	if missing > 0 {
		return newer, apierr.Unavailable(retryAfter, "%s is not stored: %d of %s have no target, and it is to be acknowledged with all of them (durability %q)",
			s.key.Cname(), missing, s.shape, meta.DurabilityRedundant)
	}
	s.plan = plan
	s.setStaged(attrs.LastChange())
	out, failed, err := e.stageAll(ctx, received(s.key, &s.attrs, content), s.shape, s.plan)
	if err == nil && failed == nil {
		s.out = out
		return newer, nil
	}
	s.drop()
	var over *newerError
	if errors.As(failed, &over) {
		newer = over.stamp
	}
	if ctx.Err() != nil {
		return newer, context.Cause(ctx)
	}
	return newer, fmt.Errorf("%s is not stored: %w", s.key.Cname(), errors.Join(err, ofHolders(failed)))
}

// ofHolders is an error of other targets: 503, unless it has another status. It is none of
// the disks here.
func ofHolders(err error) error {
	var typed *apierr.Error
	if err == nil || errors.As(err, &typed) {
		return err
	}
	unavailable := apierr.Unavailable(retryAfter, "%v", err)
	unavailable.Cause = err
	return unavailable
}

// setStaged tells readers which generation is not one yet.
func (s *staging) setStaged(stamp core.Stamp) {
	s.e.mu.Lock()
	s.run.staged = stamp
	s.e.mu.Unlock()
}

// drop has the holders drop what they may have staged. What is left somewhere a repair
// removes.
func (s *staging) drop() {
	plan := s.plan
	if s.plan = nil; len(plan) == 0 {
		return
	}
	ids := make([]string, len(plan))
	for i := range plan {
		ids[i] = plan[i].id
	}
	stamp := s.attrs.LastChange()
	if err := errors.Join(s.e.toAll(s.ctx, ids, func(ctx context.Context, i int, id string) error {
		return s.e.dropSlice(ctx, id, s.key, stamp, plan[i].number)
	})...); err != nil {
		s.e.logger.Debug("slices of a write that was broken off stay until the next repair", "object", s.key.Cname(), "err", err)
	}
	s.setStaged(core.Stamp{})
}

// Keep implements core.Staging.
func (s *staging) Keep(ctx context.Context) error {
	s.setStaged(core.Stamp{})
	stamp := s.attrs.LastChange()
	if err := s.e.commitAll(ctx, s.key, stamp, s.plan); err != nil {
		return err
	}
	if s.e.onMade != nil {
		s.e.onMade(s.out.Pieces, s.out.Bytes)
	}
	return s.e.store.NoteProtection(ctx, s.key, core.Protection{Stamp: stamp, Data: s.shape.Data, Parity: s.shape.Parity, Holders: holdersOf(s.plan)})
}

// End implements core.Staging.
func (s *staging) End(drop bool) {
	if drop {
		s.drop()
	}
	s.end()
}

// beingStaged is the generation of a name that a write here has not committed yet;
// zero: there is none.
func (e *Engine) beingStaged(key core.Key) core.Stamp {
	e.mu.Lock()
	defer e.mu.Unlock()
	if run := e.protects[restoreID{key.Props.BID, key.Name}]; run != nil {
		return run.staged
	}
	return core.Stamp{}
}

// redundant tells that what can be read of a bucket's objects must survive as what was
// acknowledged.
func redundant(key core.Key) bool { return key.Props.Durability == meta.DurabilityRedundant }

// undecided tells why what counts of a redundant name may not count any more when its owner
// is back; "" if it will. found is what can be read; nil: the name was deleted.
func (e *Engine) undecided(g *gathered, found *readable) string {
	if found != nil {
		if g.onlyStaged(found.object.LastChange()) {
			return "its owner was about to change it"
		}
		return ""
	}
	if e.olderReadable(g) {
		return "its owner was about to delete it"
	}
	return ""
}

// olderReadable tells that a generation before the newest can be read still.
func (e *Engine) olderReadable(g *gathered) bool {
	for rest := g.without(g.newest); !rest.newest.IsZero(); rest = rest.without(rest.newest) {
		if e.readable(rest.of(rest.newest)) != nil {
			return true
		}
	}
	return false
}

// complete stages what is missing of a generation that is staged alone, before its object is
// stored and can be read: as much as there are targets for.
func (e *Engine) complete(ctx context.Context, key core.Key, found *readable, g *gathered, content func() (io.ReadCloser, error)) error {
	order := e.cluster.Order(key)
	if len(order) == 0 || order[0] != e.cluster.Self() {
		return apierr.Unavailable(retryAfter, "%s: this target does not own it any more", key.Cname())
	}
	plan, _ := e.assign(found.shape, order[1:], g, found.object.LastChange())
	_, failed, err := e.stageAll(ctx, received(key, &found.object, content), found.shape, plan)
	return errors.Join(err, ofHolders(failed))
}
