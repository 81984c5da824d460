package ec

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/memsys"
)

// Source opens the bytes of one slice from an offset on. A reader that fails, or
// whose bytes differ from their checksums, returns an error and no wrong byte.
type Source func(ctx context.Context, off, length int64) (io.ReadCloser, error)

// TooFewError is why an object cannot be read: too few of its slices are whole.
type TooFewError struct {
	Have, Need int
	Errs       error // of those that failed

	vanished bool // some were there when it was asked who has them
}

// Error implements error.
func (e *TooFewError) Error() string {
	text := fmt.Sprintf("%d slices of %d that are needed can be read", e.Have, e.Need)
	if e.Errs != nil {
		text += ": " + e.Errs.Error()
	}
	return text
}

// Unwrap returns the errors of the slices.
func (e *TooFewError) Unwrap() error { return e.Errs }

// Decode writes a range of an object of a size to w, from any Data of its slices,
// by number; of a replicated object every source is a replica, whatever its
// number. Those of data come first. A source that fails is replaced by
// another one in the midst of it; failed, if set, is told its number. The error is a
// TooFewError, or that of w or of ctx.
func (c *Codec) Decode(ctx context.Context, s Shape, size int64, sources map[int]Source, off, length int64, w io.Writer, failed func(number int, err error)) error {
	if off < 0 || length < 0 || off+length > size {
		return fmt.Errorf("range %d+%d of %d bytes", off, length, size)
	}
	if length == 0 {
		return nil
	}
	d := &decoding{c: c, shape: s, size: size, sources: sources, off: off, end: off + length, open: map[int]io.ReadCloser{}, bad: map[int]error{}, failed: failed}
	defer d.close()
	full := s.columns() * core.SliceBlock
	d.first, d.last = off/full, (off+length-1)/full
	return d.run(ctx, w)
}

// decoding is a range on its way.
type decoding struct {
	c           *Codec
	shape       Shape
	size        int64
	sources     map[int]Source
	off, end    int64 // of the object
	first, last int64 // stripes

	open   map[int]io.ReadCloser
	bad    map[int]error
	failed func(int, error)
}

func (d *decoding) close() {
	for n := range d.open {
		d.drop(n)
	}
}

func (d *decoding) drop(n int) {
	_ = d.open[n].Close() // was only read
	delete(d.open, n)
}

func (d *decoding) run(ctx context.Context, w io.Writer) error {
	columns := d.shape.columns()
	slots := max(d.shape.Pieces(), 1)
	if d.shape.Replicated() {
		slots = 1
	}
	memory := make([]memsys.Buffer, slots)
	for i := range memory {
		memory[i] = d.c.memory.Get(core.SliceBlock)
		defer memory[i].Free()
	}
	shards := make([][]byte, slots)
	for n := d.first; n <= d.last; n++ {
		st := d.shape.stripeAt(n, d.size)
		for i := range shards {
			shards[i] = memory[i].Bytes()[:0]
		}
		from, to := max(d.off, st.start)-st.start, min(d.end, st.start+st.size)-st.start
		b0, b1 := from/st.block, (to-1)/st.block
		if err := d.load(ctx, n, &st, shards, int(b0), int(b1)); err != nil {
			return err
		}
		for b := b0; b <= b1 && b < columns; b++ {
			lo, hi := max(from, b*st.block)-b*st.block, min(to, (b+1)*st.block)-b*st.block
			if _, err := w.Write(shards[b][lo:hi]); err != nil {
				return err
			}
		}
	}
	return nil
}

// load fills the blocks b0 to b1 of a stripe: from their own slices, or, if one
// of those cannot be read, from any others.
func (d *decoding) load(ctx context.Context, n int64, st *stripe, shards [][]byte, b0, b1 int) error {
	if d.shape.Replicated() {
		for _, number := range slices.Sorted(maps.Keys(d.sources)) {
			if d.read(ctx, number, n, st, &shards[0]) {
				return nil
			}
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		return d.tooFew(0, 1)
	}
	whole := true
	if d.first != d.last { // what follows needs the others: they stay in step
		b0, b1 = 0, d.shape.Data-1
	}
	for b := b0; b <= b1; b++ {
		whole = d.read(ctx, b+1, n, st, &shards[b]) && whole
	}
	if whole {
		return nil
	}
	have := 0
	for i := range shards {
		if len(shards[i]) > 0 {
			have++
		}
	}
	for i := 0; i < len(shards) && have < d.shape.Data; i++ {
		if len(shards[i]) == 0 && d.read(ctx, i+1, n, st, &shards[i]) {
			have++
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if have < d.shape.Data {
		return d.tooFew(have, d.shape.Data)
	}
	matrix, err := d.c.of(d.shape)
	if err != nil {
		return err
	}
	return matrix.ReconstructData(shards)
}

// read reads one block of a slice; false: it cannot be read, or could not be before.
func (d *decoding) read(ctx context.Context, number int, n int64, st *stripe, shard *[]byte) bool {
	if d.bad[number] != nil {
		return false
	}
	source := d.sources[number]
	if source == nil {
		return false
	}
	r := d.open[number]
	if r == nil {
		at := n * core.SliceBlock
		end := d.last*core.SliceBlock + d.shape.stripeAt(d.last, d.size).block
		var err error
		if r, err = source(ctx, at, end-at); err != nil {
			return d.fail(number, err)
		}
		d.open[number] = r
	}
	block := (*shard)[:st.block]
	if _, err := io.ReadFull(r, block); err != nil {
		d.drop(number)
		return d.fail(number, err)
	}
	*shard = block
	return true
}

func (d *decoding) fail(number int, err error) bool {
	d.bad[number] = fmt.Errorf("slice %d: %w", number, err)
	if d.failed != nil {
		d.failed(number, err)
	}
	return false
}

func (d *decoding) tooFew(have, need int) error {
	e := &TooFewError{Have: have, Need: need}
	for _, err := range d.bad {
		e.Errs = errors.Join(e.Errs, err)
		e.vanished = e.vanished || apierr.IsNotFound(err)
	}
	return e
}
