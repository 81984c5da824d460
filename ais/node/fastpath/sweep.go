package fastpath

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// sweepEvery is how often the timeouts of all connections are looked at, if
// none of them is shorter; they are as exact as that.
const sweepEvery = 200 * time.Millisecond

// handling is a request that the ordinary handler is serving.
type handling struct {
	cancel context.CancelFunc
	whole  atomic.Bool // all of the request has come: the end of the stream means that the client is gone
}

// tick moves the server's clock.
func (s *Server) tick(now time.Time) {
	s.now.Store(int64(now.Sub(s.born)))
	if date := now.UTC().Format(http.TimeFormat); s.date.Load() == nil || *s.date.Load() != date {
		s.date.Store(&date)
	}
}

// after is a deadline on the server's clock, 0 without a limit.
func (s *Server) after(d time.Duration) int64 {
	if d <= 0 {
		return 0
	}
	return s.now.Load() + int64(d)
}

// sweep looks after all timeouts of the loop, and for clients that have gone,
// until stopSweeper.
func (s *Server) sweep() {
	defer close(s.swept)
	every := sweepEvery
	for _, limit := range []time.Duration{s.options.HeaderTimeout, s.options.IdleTimeout, s.options.Progress.Within} {
		if limit > 0 {
			every = max(min(every, limit/8), time.Millisecond)
		}
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case now := <-ticker.C:
			s.tick(now)
			s.each(s.check)
		case <-s.ended:
			return
		}
	}
}

func (s *Server) stopSweeper() {
	s.endOnce.Do(func() { close(s.ended) })
	<-s.swept
}

// check looks after one connection.
func (s *Server) check(c *Conn) {
	state := c.state.Load()
	if state == stateActive {
		if h := c.handling.Load(); h != nil && h.whole.Load() && c.isGone() {
			h.cancel()
		}
		return
	}
	if state == stateClosing {
		return
	}
	if at := c.deadline.Load(); at != 0 && s.now.Load() >= at {
		if c.state.CompareAndSwap(state, stateClosing) {
			c.wake()
		}
		return
	}
	if c.parked.CompareAndSwap(true, false) && c.isGone() {
		c.wake() // it reads, and sees for itself
	}
}

// isGone tells that the client has closed its side, or the connection is
// broken, and that nothing else is left to be read.
func (c *Conn) isGone() (gone bool) {
	err := c.raw.Control(func(fd uintptr) {
		var one [1]byte
		n, _, err := unix.Recvfrom(int(fd), one[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		gone = err == nil && n == 0 || err != nil && err != unix.EAGAIN && err != unix.EINTR //nolint:errorlint // errnos, straight from the kernel
	})
	return gone || err != nil
}

// breakOff ends a connection whatever it is doing. The socket is closed by the
// connection's own goroutine.
func (c *Conn) breakOff() {
	_ = c.raw.Control(func(fd uintptr) { _ = unix.Shutdown(int(fd), unix.SHUT_RDWR) }) // fails if it is closed
	_ = c.tcp.SetWriteDeadline(time.Unix(1, 0))                                        // likewise
	c.wake()
	if h := c.handling.Load(); h != nil {
		h.cancel() // last: what its handler answers must not look whole
	}
}
