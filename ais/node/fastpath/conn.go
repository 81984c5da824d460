package fastpath

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Connection is what the listener of a Server accepts.
type Connection interface {
	net.Conn
	// TCP is the connection itself.
	TCP() *net.TCPConn
	// Replay has the next calls of Read return these bytes before others.
	Replay(head []byte)
}

// Conn is one connection of the loop. Its methods are for the goroutine that
// serves it.
type Conn struct {
	server   *Server
	conn     Connection
	tcp      *net.TCPConn
	raw      syscall.RawConn
	remote   string
	loopback bool

	state    atomic.Int32
	deadline atomic.Int64 // in the state that it was set for, by the server's clock; 0: none
	parked   atomic.Bool  // it waits after a short read: the end of the stream may have gone unseen
	handling atomic.Pointer[handling]

	// The loop runs inside a callback of raw.Read: it may wait for more
	// without trying to read first, because no event is lost between two of
	// its steps.
	step    func(fd uintptr) bool
	inside  bool
	fd      int
	drained bool // the last read took all there was
	next    action

	buffers *buffers      // nil while the connection is idle
	in      *bufio.Reader // that of buffers
	seen    int           // bytes in it without the end of a header
	request Request
	kind    verdict
	post    bool        // the request before was a POST
	skipped int         // empty lines after it, in bytes
	used    atomic.Bool // a request has come
	left    bool        // it was handed over

	err      error
	errField [2]string // name and value of a field that goes with err

	consumed bool // the header of the request was
	saved    []byte
	body     body

	write writing
}

// States of a connection. The sweeper and Shutdown move it from one in which
// it waits to closing; the connection moves it to all others.
const (
	stateIdle    int32 = iota // nothing of a request has come
	stateReading              // a part of a header has
	stateActive               // a request is being served
	stateClosing
)

// action is why the loop left the callback.
type action uint8

const (
	closeIt   action = iota
	lookAgain        // there is something to read after all
	serveIt          // by the ordinary handler
	serveBody        // by the fast handler, which reads it
	dropBody         // of a request that was answered
	handOver
)

// aRequest is how many bytes after an answer net/http takes for a request.
const aRequest = 4

const (
	readBuffer = 8 << 10
	headBuffer = 1 << 10
)

// buffers are what a connection needs while it is not idle.
type buffers struct {
	in   *bufio.Reader
	head [headBuffer]byte // for the header of an answer
}

var pool = sync.Pool{New: func() any { return &buffers{in: bufio.NewReaderSize(nil, readBuffer)} }}

// errAgain tells that a read would have to wait.
var errAgain = errors.New("nothing to read")

// input reads the connection for its buffer.
type input struct{ c *Conn }

// Read implements io.Reader: inside the callback it does not wait.
func (i input) Read(p []byte) (int, error) {
	c := i.c
	if !c.inside {
		return c.tcp.Read(p)
	}
	for {
		n, err := readSocket(c.fd, p)
		switch {
		case err == syscall.EINTR: //nolint:errorlint // an errno, straight from the kernel
			continue
		case err == syscall.EAGAIN: //nolint:errorlint // likewise
			c.drained = true
			return 0, errAgain
		case err != nil:
			return 0, os.NewSyscallError("read", err)
		case n == 0:
			return 0, io.EOF
		}
		c.drained = n < len(p)
		return n, nil
	}
}

// serve is the life of a connection in the loop.
func (c *Conn) serve() {
	for {
		c.next, c.drained = closeIt, false
		err := c.raw.Read(c.step)
		c.inside = false
		if err != nil && !c.woken(err) {
			c.end()
			return
		}
		switch c.next {
		case lookAgain:
		case serveIt:
			if !c.serveOrdinary() {
				c.end()
				return
			}
		case serveBody:
			if !c.finish(c.server.fastHandler().ServeFast(c, &c.request)) && !(c.next == serveIt && c.serveOrdinary() || c.next == dropBody && c.drain(&c.body)) {
				c.end()
				return
			}
		case dropBody:
			if !c.drain(&c.body) {
				c.end()
				return
			}
		case handOver:
			c.leave()
			return
		default:
			c.end()
			return
		}
	}
}

// woken decides what to do when the waiting was ended by another goroutine;
// false: close the connection.
func (c *Conn) woken(err error) bool {
	if !errors.Is(err, os.ErrDeadlineExceeded) || c.tcp.SetReadDeadline(time.Time{}) != nil {
		return false
	}
	switch {
	case c.state.Load() != stateClosing:
		c.next = lookAgain
	case c.body.awaited > 0:
		c.body.awaited = 0
		c.err, c.next = errStalled, serveIt
	default:
		return false
	}
	return true
}

// run is the callback: it serves requests as long as it need not wait for
// anything but the next event, and returns false to wait for that.
func (c *Conn) run(fd uintptr) bool {
	c.inside, c.fd = true, int(fd)
	c.parked.Store(false)
	for {
		if c.in == nil {
			c.buffers = pool.Get().(*buffers)
			c.in = c.buffers.in
			c.in.Reset(input{c})
			c.seen = 0
		}
		buffered := c.in.Buffered()
		if buffered > c.seen {
			more, ok := c.look(buffered)
			if !ok {
				return true
			}
			if more {
				continue
			}
		}
		if c.drained {
			c.wait(buffered)
			return false
		}
		if _, err := c.in.Peek(buffered + 1); err != nil && !errors.Is(err, errAgain) {
			c.ended(err, buffered)
			return true
		}
	}
}

// ended decides what to do at the end of the stream: a part of a request gets
// the answer of those who wanted more of it.
func (c *Conn) ended(err error, buffered int) {
	switch {
	case !errors.Is(err, io.EOF) || buffered == 0 || c.tooFew(buffered):
	case c.body.awaited > 0:
		c.body.awaited = 0
		c.next = serveIt
	default:
		c.next = handOver
	}
}

// tooFew tells that net/http would not look at what came after an answer yet:
// empty lines count.
func (c *Conn) tooFew(buffered int) bool { return c.skipped+buffered < aRequest && c.used.Load() }

// wait prepares to wait for more.
func (c *Conn) wait(buffered int) {
	c.drained = false
	s := c.server
	switch {
	case buffered == 0:
		c.release()
		if c.state.Load() == stateActive {
			c.deadline.Store(s.after(s.options.IdleTimeout))
			c.state.CompareAndSwap(stateActive, stateIdle)
		}
	case c.body.awaited > 0:
		if c.state.Load() == stateActive {
			c.deadline.Store(s.after(s.options.Progress.Within))
			c.state.CompareAndSwap(stateActive, stateReading)
		}
	case c.state.Load() == stateActive || c.state.Load() == stateIdle && c.used.Load():
		c.deadline.Store(s.after(s.options.HeaderTimeout))
		if !c.state.CompareAndSwap(stateActive, stateReading) {
			c.state.CompareAndSwap(stateIdle, stateReading)
		}
	case c.state.Load() == stateIdle:
		c.state.CompareAndSwap(stateIdle, stateReading) // its time began when the connection did
	}
	c.parked.Store(true)
	if buffered == 0 && s.stopping.Load() && c.used.Load() {
		c.stop() // Shutdown may have come by before the connection was idle
	}
}

// look serves what is in the buffer. more tells to go on, ok false to leave
// the callback.
func (c *Conn) look(buffered int) (more, ok bool) {
	buf, _ := c.in.Peek(buffered) // it is there
	if c.post {
		n := emptyLines(buf)
		if n == buffered && n < aRequest {
			c.seen = buffered
			return false, true
		}
		c.post, c.seen, c.skipped = false, 0, n
		if n > 0 {
			_, _ = c.in.Discard(n) // it is there
			return true, true
		}
	}
	if awaited := c.body.awaited; awaited > 0 {
		if buffered < awaited {
			c.seen = buffered
			return false, true
		}
		c.body.awaited, c.seen = 0, 0
	}
	c.kind = c.request.parse(buf, c.seen)
	if c.kind == foreign && c.tooFew(buffered) {
		c.kind = incomplete
	}
	switch c.kind {
	case incomplete:
		c.seen = buffered
		if buffered == readBuffer {
			c.next = handOver // net/http takes longer headers
			return false, false
		}
		return false, true
	case foreign:
		c.next = handOver
		return false, false
	}
	c.seen, c.post, c.skipped = 0, c.request.post, 0
	if !c.begin() {
		return false, false
	}
	fast := c.server.fastHandler()
	if c.kind != simple || fast == nil || c.server.stopping.Load() {
		c.next = serveIt
		return false, false
	}
	outcome := fast.ServeFast(c, &c.request)
	if outcome == awaiting {
		if whole := int64(c.request.size) + c.request.ContentLength; whole <= readBuffer {
			c.body.awaited, c.seen = int(whole), buffered
			return false, true
		}
		c.next = serveBody
		return false, false
	}
	return true, c.finish(outcome)
}

// begin makes the connection one that serves a request; false: it is being
// closed.
func (c *Conn) begin() bool {
	switch state := c.state.Load(); {
	case state == stateClosing:
		return false
	case state != stateActive && !c.state.CompareAndSwap(state, stateActive):
		return false
	}
	if !c.used.Load() {
		c.used.Store(true)
	}
	c.consumed, c.err = false, nil
	c.body.begin(c)
	return true
}

// finish goes on after an answer; false: leave the loop for c.next.
func (c *Conn) finish(outcome Outcome) bool {
	switch outcome {
	case Served:
		c.consume()
		c.next = dropBody
		return c.body.finish()
	case Slow, failed:
		c.next = serveIt
	default:
		c.next = closeIt
	}
	return false
}

// consume takes the header of the request out of the buffer. Of one with a
// body it is kept, for an answer that needs it.
func (c *Conn) consume() {
	if c.consumed {
		return
	}
	c.consumed = true
	if c.request.ContentLength > 0 {
		head, _ := c.in.Peek(c.request.size) // it is there
		c.saved = append(c.saved[:0], head...)
	}
	_, _ = c.in.Discard(c.request.size) // it is there
}

// emptyLines counts CRs and LFs among the first four bytes: after a POST
// net/http forgives clients that end the body with them.
func emptyLines(buf []byte) (n int) {
	for _, c := range buf[:min(aRequest, len(buf))] {
		if c != '\r' && c != '\n' {
			break
		}
		n++
	}
	return n
}

// stop ends the connection if it waits for a request; it may be called by
// other goroutines.
func (c *Conn) stop() bool {
	if !c.state.CompareAndSwap(stateIdle, stateClosing) {
		return false
	}
	c.wake()
	return true
}

// wake ends the waiting of the connection's goroutine.
func (c *Conn) wake() { _ = c.tcp.SetReadDeadline(time.Unix(1, 0)) } // fails if it is closed: just as well

// leave hands the connection to net/http with what was read of it.
func (c *Conn) leave() {
	buf, _ := c.in.Peek(c.in.Buffered()) // it is there
	c.leaveWith(buf)
}

func (c *Conn) leaveWith(read []byte) {
	c.left = true
	c.conn.Replay(append([]byte(nil), read...))
	c.release()
	c.server.remove(c)
	if c.state.Swap(stateActive) == stateClosing || !c.server.outgoing.give(c.conn) {
		_ = c.tcp.Close() // nothing was answered
		c.server.options.connState(c.conn, http.StateClosed)
	}
}

// release gives the buffer back.
func (c *Conn) release() {
	if c.in != nil {
		c.in.Reset(nil)
		pool.Put(c.buffers)
		c.buffers, c.in = nil, nil
	}
}

// end closes the connection, unless it has left.
func (c *Conn) end() {
	if c.left {
		return
	}
	c.release()
	_ = c.tcp.Close() // all that was to be sent was handed to the kernel
	c.server.remove(c)
	c.server.options.connState(c.conn, http.StateClosed)
}
