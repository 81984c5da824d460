package ec

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"
	"github.com/klauspost/reedsolomon"

	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/memsys"
)

// ringDepth is how many stripes of an object are in memory at most. A sink may hold the blocks
// of five of them before it releases the first: 256 KiB that begin anywhere (see
// transport.BlockSource).
const ringDepth = 8

// Sink takes one slice or replica: Send reads body to its end, or returns early.
type Sink struct {
	Number int
	Send   func(ctx context.Context, body Body) error
}

// Encode reads an object of a size from content once and gives the wanted slices
// to their sinks, all at the same time: the slowest one sets the pace, until it has
// closed its body. It returns the error of each sink, and an error if the content could not be read to its
// end or check, which is called when it has been, refuses it; then no sink has got a whole
// slice. again makes one slice anew for a body that is opened a second time; nil: that is an
// error.
func (c *Codec) Encode(ctx context.Context, s Shape, content io.Reader, size int64, sinks []Sink, check func() error, again Again) (failed []error, err error) {
	e := &encodingRun{shape: s, size: size}
	parity := false
	for _, sink := range sinks {
		parity = parity || sink.Number > s.Data
	}
	if parity && !s.Replicated() {
		if e.matrix, err = c.of(s); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	depth := max(1, min(ringDepth, s.stripes(size)))
	blocks := int(s.columns())
	if e.matrix != nil {
		blocks = s.Pieces()
	}
	e.free = make(chan *loaded, depth)
	var memory []memsys.Buffer
	for range depth {
		l := &loaded{free: e.free, slabs: make([][]byte, blocks), blocks: make([][]byte, blocks)}
		for i := range l.slabs {
			buf := c.memory.Get(max(1, s.stripeAt(0, size).block))
			memory = append(memory, buf)
			l.slabs[i] = buf.Bytes()
		}
		e.free <- l
	}
	failed = make([]error, len(sinks))
	var all sync.WaitGroup
	for i := range sinks {
		r := &sliceReader{e: e, ctx: ctx, column: max(sinks[i].Number-1, 0), next: make(chan *loaded, depth+1), digest: xxhash.New()}
		r.left = core.SliceLength(size, s.Data)
		e.readers = append(e.readers, r)
		body := &pieceBody{r: r, number: sinks[i].Number, again: again, ended: make(chan struct{})}
		all.Go(func() {
			<-body.ended
			r.drain()
		})
		all.Go(func() {
			failed[i] = sinks[i].Send(ctx, body)
			body.end()
		})
	}
	err = e.produce(ctx, content, check)
	if err != nil {
		cancel(err)
	}
	for _, r := range e.readers {
		r.failure = err
		close(r.next)
	}
	all.Wait()
	for range depth { // blocks may be on their way to a socket still
		<-e.free
	}
	for i := range memory {
		memory[i].Free()
	}
	return failed, err
}

// encodingRun is one object on its way.
type encodingRun struct {
	shape   Shape
	size    int64
	matrix  reedsolomon.Encoder // nil: no parity is wanted
	free    chan *loaded
	readers []*sliceReader
}

// loaded is a stripe in memory.
type loaded struct {
	free   chan<- *loaded // where it goes when nobody uses it; it has room
	slabs  [][]byte       // memory of the blocks
	blocks [][]byte       // data, and parity if it is wanted
	users  atomic.Int32
}

// produce reads, encodes and hands out stripe after stripe.
func (e *encodingRun) produce(ctx context.Context, content io.Reader, check func() error) error {
	for n := range e.shape.stripes(e.size) {
		var l *loaded
		select {
		case l = <-e.free:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if err := e.load(l, n, content); err != nil {
			e.free <- l
			return err
		}
		l.users.Store(int32(len(e.readers)))
		for _, r := range e.readers {
			r.next <- l
		}
	}
	if check == nil {
		return nil
	}
	return check()
}

// load reads and encodes a stripe.
func (e *encodingRun) load(l *loaded, n int64, content io.Reader) error {
	st := e.shape.stripeAt(n, e.size)
	left := st.size
	for i := range l.blocks {
		l.blocks[i] = l.slabs[i][:st.block]
		if i >= int(e.shape.columns()) {
			continue // parity
		}
		part := min(left, st.block)
		if got, err := io.ReadFull(content, l.blocks[i][:part]); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("the object breaks off after %d of %d bytes: %w", st.start+st.size-left+int64(got), e.size, err)
		}
		clear(l.blocks[i][part:])
		left -= part
	}
	if e.matrix == nil {
		return nil
	}
	return e.matrix.Encode(l.blocks)
}

// Release gives a block back that a reader has handed out.
func (l *loaded) Release() {
	if l.users.Add(-1) == 0 {
		l.free <- l
	}
}

// sliceReader is the body of one slice.
type sliceReader struct {
	e      *encodingRun
	ctx    context.Context
	column int
	next   chan *loaded // closed after the last stripe, or when failure is set

	now  *loaded
	rest []byte // of the block at hand
	left int64  // bytes of the slice that were not read

	digest  *xxhash.Digest
	hashed  int64
	sums    []byte
	ended   bool // the checksums are complete, and rest holds them
	failure error
}

// Read implements io.Reader.
func (r *sliceReader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		if r.ended {
			return 0, io.EOF
		}
		if err := r.advance(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	if len(r.rest) == 0 && r.now != nil {
		r.release()
	}
	return n, nil
}

// WriteTo implements io.WriterTo: no block is copied on its way.
func (r *sliceReader) WriteTo(w io.Writer) (total int64, err error) {
	for {
		if len(r.rest) == 0 {
			if r.ended {
				return total, nil
			}
			if err := r.advance(); err != nil {
				return total, err
			}
			continue
		}
		n, err := w.Write(r.rest)
		total += int64(n)
		r.rest = r.rest[n:]
		if err != nil {
			return total, err
		}
		if r.now != nil {
			r.release()
		}
	}
}

// NextBlock implements Blocks.
func (r *sliceReader) NextBlock(most int) (data []byte, lease Lease, err error) {
	for len(r.rest) == 0 {
		if r.ended {
			return nil, nil, io.EOF
		}
		if err := r.advance(); err != nil {
			return nil, nil, err
		}
	}
	n := min(most, len(r.rest))
	data, r.rest = r.rest[:n:n], r.rest[n:]
	switch {
	case r.now == nil: // checksums
	case len(r.rest) == 0:
		lease, r.now = r.now, nil
	default:
		r.now.users.Add(1)
		lease = r.now
	}
	return data, lease, nil
}

// advance takes the next block, and after the last one the checksums.
func (r *sliceReader) advance() error {
	l, more := <-r.next
	if !more {
		switch {
		case r.failure != nil:
			return r.failure
		case r.left != 0:
			return io.ErrUnexpectedEOF
		}
		r.endUnit()
		r.ended, r.rest = true, r.sums
		return nil
	}
	r.now, r.rest = l, l.blocks[r.column]
	r.left -= int64(len(r.rest))
	r.sum(r.rest)
	return nil
}

// sum adds a block to the checksums while it is in the cache.
func (r *sliceReader) sum(block []byte) {
	for len(block) > 0 {
		n := min(int64(len(block)), core.SliceUnit-r.hashed)
		_, _ = r.digest.Write(block[:n]) // hashes never fail
		r.hashed += n
		block = block[n:]
		if r.hashed == core.SliceUnit {
			r.endUnit()
		}
	}
}

func (r *sliceReader) endUnit() {
	if r.hashed == 0 {
		return
	}
	r.sums = binary.LittleEndian.AppendUint64(r.sums, r.digest.Sum64())
	r.digest.Reset()
	r.hashed = 0
}

func (r *sliceReader) release() {
	l := r.now
	r.now = nil
	l.Release()
}

// drain gives back what the sink did not read.
func (r *sliceReader) drain() {
	if r.now != nil {
		r.release()
	}
	for l := range r.next {
		r.now = l
		r.release()
	}
}

// joined is the first failure of sinks with the others behind it.
func joined(failed []error) error { return errors.Join(failed...) }
