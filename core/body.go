package core

import (
	"context"
	"io"

	"github.com/aistore-go/aistore/cmn/apierr"
)

// body is what a client sends to be stored: of a PUT, of a part, of an append.
type body struct {
	io.Reader
	of   *object
	what string // "body", "part 7", for errors
	size int64  // bytes announced; -1: it ends with io.EOF
}

// each gives the body to take, in pieces of one buffer, and returns its length.
// The pieces are at most as long together as was announced. Errors: those of
// take, as they are; 500 the body broke off or is shorter than announced; 400
// it is longer; the context's.
func (b *body) each(ctx context.Context, s *Store, take func(piece []byte) error) (total int64, err error) {
	buf := s.memory.Get(b.buffer(s))
	defer buf.Free()
	for ended := false; !ended; {
		var n int
		n, ended, err = fill(b, buf.Bytes())
		total += int64(n)
		if err != nil {
			// What ended it says more than that the request is over by now.
			return total, badBody(b.of, err, "%s broke off after %d bytes", b.what, total)
		}
		if err := ctx.Err(); err != nil {
			return total, err
		}
		if b.size >= 0 && total > b.size {
			break
		}
		if n > 0 {
			if err := take(buf.Bytes()[:n]); err != nil {
				return total, err
			}
		}
	}
	return total, b.check(total)
}

// check compares what came with what was announced.
func (b *body) check(total int64) error {
	switch {
	case b.size < 0 || total == b.size:
		return nil
	case total < b.size:
		return badBody(b.of, io.ErrUnexpectedEOF, "%s of %d bytes is shorter than announced (%d)", b.what, total, b.size)
	}
	return apierr.BadRequest("PUT %s: %s is longer than announced (%d)", b.of.Cname(), b.what, b.size)
}

// buffer is the size of the buffer for a body: one more than what comes, so that
// its end is seen, within bounds.
func (b *body) buffer(s *Store) int64 {
	switch {
	case s.memory.Tight():
		return tightBuffer
	case b.size >= 0 && b.size < streamBuffer:
		return b.size + 1
	}
	return streamBuffer
}

// fill reads until the buffer is full or the body ends.
func fill(from io.Reader, buf []byte) (n int, ended bool, err error) {
	empty := 0
	for n < len(buf) {
		m, err := from.Read(buf[n:])
		n += m
		switch {
		case err == io.EOF:
			return n, true, nil
		case err != nil:
			return n, false, err
		case m > 0:
			empty = 0
		default:
			if empty++; empty > 100 {
				return n, false, io.ErrNoProgress
			}
		}
	}
	return n, false, nil
}
