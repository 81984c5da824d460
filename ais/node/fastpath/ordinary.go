package fastpath

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// serveOrdinary has the ordinary handler answer the request, or has it answer
// with c.err; false: the connection must end.
func (c *Conn) serveOrdinary() bool {
	request, err := c.read()
	if err != nil {
		return false // handed over
	}
	s := c.server
	c.body.pace.Stop()
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	h := &handling{cancel: cancel}
	in := &ordinaryBody{c: c, r: request.Body, whole: &h.whole}
	if request.Body == http.NoBody || request.ContentLength == 0 {
		in.r = nil
		h.whole.Store(true)
	} else {
		in.pace.Start(s.options.Progress, c.tcp.SetReadDeadline)
		request.Body = in
	}
	request.RemoteAddr = c.remote
	request = request.WithContext(ctx)
	w := newResponse(c, request, in)
	c.handling.Store(h)
	if c.err != nil {
		if name := c.errField[0]; name != "" {
			w.header[name] = []string{c.errField[1]}
			c.errField = [2]string{}
		}
		s.options.Fail(w, request, c.err)
	} else {
		s.options.Handler.ServeHTTP(w, request)
	}
	c.handling.Store(nil)
	keep := w.finish()
	in.pace.Stop()
	if w.deadlines {
		_ = c.tcp.SetDeadline(time.Time{}) // fails if it is closed: the next read says so
	}
	if in.r != nil && !in.whole.Load() {
		keep = c.drain(in.r) && keep
	}
	w.release()
	return keep && c.state.Load() == stateActive
}

// read parses the request by http.ReadRequest. What that does not take is
// handed over.
func (c *Conn) read() (*http.Request, error) {
	if c.consumed {
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(c.saved)))
		if err != nil {
			return nil, err // it was of the closed grammar
		}
		c.body.unpaced = true // who reads it paces it
		r.Body = io.NopCloser(&c.body)
		return r, nil
	}
	all, _ := c.in.Peek(c.in.Buffered()) // it is there
	r, err := http.ReadRequest(c.in)
	if err != nil {
		c.leaveWith(all)
		return nil, err
	}
	c.consumed = true
	return r, nil
}

// ordinaryBody is the body of a request of the ordinary handler.
type ordinaryBody struct {
	c      *Conn
	r      io.Reader // nil: there is none
	whole  *atomic.Bool
	pace   Pace
	closed bool

	damaged bool // what follows cannot be a request
}

// Read implements io.Reader.
func (b *ordinaryBody) Read(p []byte) (int, error) {
	if b.closed {
		return 0, http.ErrBodyReadAfterClose
	}
	if err := b.pace.Before(); err != nil {
		return 0, err
	}
	n, err := b.r.Read(p)
	switch err = b.pace.After(n, err); {
	case err == nil:
	case errors.Is(err, io.EOF):
		b.pace.Stop()
		b.whole.Store(true)
	default:
		b.damaged = true
	}
	return n, err
}

// Close implements io.Closer. What is left of the body is read after the
// answer.
func (b *ordinaryBody) Close() error {
	b.closed = true
	return nil
}
