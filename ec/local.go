package ec

import (
	"context"
	"io"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
)

// Local answers for what this target itself holds. Its methods are those of
// Holders without the id.
type Local struct {
	Store *core.Store
}

// Look implements Holders.
func (l Local) Look(ctx context.Context, key core.Key, verify bool) ([]core.Slice, error) {
	return l.Store.LookSlices(ctx, key, verify)
}

// Stage implements Holders.
func (l Local) Stage(ctx context.Context, key core.Key, sl *core.Slice, body io.Reader) (core.SliceVerdict, error) {
	return l.Store.StageSlice(ctx, key, sl, body)
}

// Commit implements Holders.
func (l Local) Commit(ctx context.Context, key core.Key, stamp core.Stamp, number int) (core.SliceVerdict, error) {
	return l.Store.CommitSlice(ctx, key, stamp, number)
}

// Mark implements Holders.
func (l Local) Mark(ctx context.Context, key core.Key, stamp core.Stamp, state core.SliceState, always bool) (core.SliceVerdict, error) {
	return l.Store.MarkSlices(ctx, key, stamp, state, always)
}

// Forget implements Holders.
func (l Local) Forget(ctx context.Context, key core.Key, stamp core.Stamp) error {
	return l.Store.ForgetMark(ctx, key, stamp)
}

// Drop implements Holders.
func (l Local) Drop(ctx context.Context, key core.Key, stamp core.Stamp, number int) error {
	return l.Store.DropSlice(ctx, key, stamp, number)
}

// Amend implements Holders.
func (l Local) Amend(ctx context.Context, key core.Key, from core.Stamp, attrs *core.Attrs) (core.SliceVerdict, error) {
	return l.Store.AmendSlice(ctx, key, from, attrs)
}

// Read implements Holders.
func (l Local) Read(ctx context.Context, key core.Key, stamp core.Stamp, number int, off, length int64) (io.ReadCloser, error) {
	r, err := l.Store.OpenSlice(ctx, key, stamp, number)
	if err != nil {
		return nil, err
	}
	if off < 0 || length < 0 || off+length > r.Length {
		_ = r.Close() // was not read
		return nil, apierr.BadRequest("bytes %d+%d of a slice of %d", off, length, r.Length)
	}
	return &sliceRange{SectionReader: io.NewSectionReader(r, off, length), r: r}, nil
}

// sliceRange is a range of an open slice.
type sliceRange struct {
	*io.SectionReader
	r *core.SliceReader
}

// Close implements io.Closer.
func (s *sliceRange) Close() error { return s.r.Close() }

// here answers a call of this target to itself.
func (e *Engine) here(id string) bool { return id == e.cluster.Self() }

// The calls of the engine: to this target without a detour.

func (e *Engine) look(ctx context.Context, id string, key core.Key, verify bool) ([]core.Slice, error) {
	if e.here(id) {
		return e.local.Look(ctx, key, verify)
	}
	return e.holders.Look(ctx, id, key, verify)
}

func (e *Engine) mark(ctx context.Context, id string, key core.Key, stamp core.Stamp, state core.SliceState, always bool) (core.SliceVerdict, error) {
	if e.here(id) {
		return e.local.Mark(ctx, key, stamp, state, always)
	}
	return e.holders.Mark(ctx, id, key, stamp, state, always)
}

func (e *Engine) forget(ctx context.Context, id string, key core.Key, stamp core.Stamp) error {
	if e.here(id) {
		return e.local.Forget(ctx, key, stamp)
	}
	return e.holders.Forget(ctx, id, key, stamp)
}

func (e *Engine) dropSlice(ctx context.Context, id string, key core.Key, stamp core.Stamp, number int) error {
	if e.here(id) {
		return e.local.Drop(ctx, key, stamp, number)
	}
	return e.holders.Drop(ctx, id, key, stamp, number)
}

func (e *Engine) read(ctx context.Context, id string, key core.Key, stamp core.Stamp, number int, off, length int64) (io.ReadCloser, error) {
	if e.here(id) {
		return e.local.Read(ctx, key, stamp, number, off, length)
	}
	return e.holders.Read(ctx, id, key, stamp, number, off, length)
}

func (e *Engine) examineAt(ctx context.Context, id string, bck wire.Bck, held []Held) ([]Verdict, error) {
	return e.holders.Examine(ctx, id, bck, held)
}
