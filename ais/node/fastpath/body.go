package fastpath

import (
	"errors"
	"io"
	"time"
)

// Bounds of what is read from a client after its request was answered early,
// here and where net/http serves.
const (
	KeepBody      = 256 << 10       // a longer rest ends the connection, so that its sender may stop
	LingerSilence = time.Second     // without a byte
	LingerTotal   = 5 * time.Second // in all
)

// body is the body of a request of the closed grammar.
type body struct {
	c       *Conn
	left    int64
	awaited int // bytes of header and body that must be in the buffer; 0: not waiting for them
	unpaced bool
	pace    Pace
}

// begin belongs to a new request.
func (b *body) begin(c *Conn) {
	b.c, b.left, b.awaited, b.unpaced = c, c.request.ContentLength, 0, false
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	waits := !b.unpaced && b.c.in.Buffered() == 0
	if waits {
		if b.pace.deadline == nil {
			b.pace.Start(b.c.server.options.Progress, b.c.tcp.SetReadDeadline)
		}
		if err := b.pace.Before(); err != nil {
			return 0, err
		}
	}
	n, err := b.c.in.Read(p)
	b.left -= int64(n)
	if waits {
		err = b.pace.After(n, err)
		if b.left == 0 {
			b.pace.Stop()
		}
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// finish drops what is left of the body after the answer; false: the
// connection cannot go on.
func (b *body) finish() bool {
	b.pace.Stop()
	if b.left == 0 {
		return true
	}
	c := b.c
	if n := min(int64(c.in.Buffered()), b.left); n > 0 {
		_, _ = c.in.Discard(int(n)) // it is there
		b.left -= n
	}
	return b.left == 0
}

// drain reads and drops what a client still sends of a body that nobody wants,
// for a bounded time: if the connection were closed at once, a client that
// writes its whole body before it reads would see a reset instead of the
// answer. It tells whether the body has ended.
func (c *Conn) drain(r io.Reader) bool {
	c.body.unpaced = true
	if err := c.discard(r, KeepBody); errors.Is(err, io.EOF) {
		return true
	}
	// It is too long, or does not come: the answer is all there will be.
	if c.tcp.CloseWrite() == nil {
		_ = c.discard(c.in, 1<<62) // until the client closes or the time is over
	}
	return false
}

// discard reads until the limit, the end or a bound of time.
func (c *Conn) discard(r io.Reader, limit int64) error {
	var buf [4 << 10]byte
	end := time.Now().Add(LingerTotal)
	for limit > 0 {
		now := time.Now()
		if now.After(end) {
			return errStalled
		}
		if err := c.tcp.SetReadDeadline(now.Add(LingerSilence)); err != nil {
			return err
		}
		n, err := r.Read(buf[:])
		if limit -= int64(n); err != nil {
			_ = c.tcp.SetReadDeadline(time.Time{}) // fails if it is closed: the next read says so
			return err
		}
	}
	return c.tcp.SetReadDeadline(time.Time{})
}
