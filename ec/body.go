package ec

import (
	"bytes"
	"errors"
	"io"
	"sync"

	"github.com/aistore-go/aistore/core"
)

// Body is a slice or replica on its way to its holder: its bytes, and then the
// checksums of its units (see core.Store.StageSlice).
type Body interface {
	// Size is how many bytes that is.
	Size() int64
	// Open returns it from its first byte on. Opened again, after what was sent has
	// been lost on its way, it is made again from the object. A reader must be
	// closed, also one that was not read to its end; it may be read by one goroutine
	// at a time while another one opens the body again. A reader may be Blocks.
	Open() (io.ReadCloser, error)
}

// Blocks is a reader that has its bytes in memory, where they need not be copied.
type Blocks interface {
	// NextBlock waits for the next bytes, and returns one of them at least and most at most. They
	// stay as they are until the lease is released, which has to be done once, also after Close;
	// until then the pass over the object does not end. Without a lease they are never changed.
	NextBlock(most int) (data []byte, lease Lease, err error)
}

// Lease is bytes that are on loan.
type Lease interface {
	// Release gives them back; any goroutine may call it.
	Release()
}

// Again opens a slice, with its checksums, that is made anew from the object.
type Again func(number int) (io.ReadCloser, error)

// errBodyOver is that of a body which is opened when its sink has returned.
var errBodyOver = errors.New("the slice is not sent any more")

// pieceBody is the Body that Encode gives to a sink. What is opened first takes
// part in the one pass over the object.
type pieceBody struct {
	r      *sliceReader
	number int
	again  Again

	mu     sync.Mutex
	opened bool
	over   bool
	once   sync.Once
	ended  chan struct{} // closed when the first reader is not read any more
}

// Size implements Body.
func (b *pieceBody) Size() int64 {
	length := core.SliceLength(b.r.e.size, b.r.e.shape.Data)
	return length + core.SliceSums(length)
}

// Open implements Body.
func (b *pieceBody) Open() (io.ReadCloser, error) {
	b.mu.Lock()
	first, over := !b.opened, b.over
	b.opened = true
	b.mu.Unlock()
	switch {
	case over, !first && b.again == nil:
		return nil, errBodyOver
	case first:
		return &firstPass{sliceReader: b.r, b: b}, nil
	}
	return b.again(b.number)
}

// end is called when the sink has returned. A reader that it has left open goes on to be
// waited for.
func (b *pieceBody) end() {
	b.mu.Lock()
	opened := b.opened
	b.over = true
	b.mu.Unlock()
	if !opened {
		b.leave()
	}
}

func (b *pieceBody) leave() { b.once.Do(func() { close(b.ended) }) }

// firstPass is the reader that takes part in the one pass over the object.
type firstPass struct {
	*sliceReader
	b *pieceBody
}

// Close implements io.Closer.
func (f *firstPass) Close() error {
	f.b.leave()
	return nil
}

// heldBody is a Body in memory.
type heldBody []byte

// Size implements Body.
func (b heldBody) Size() int64 { return int64(len(b)) }

// Open implements Body.
func (b heldBody) Open() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
