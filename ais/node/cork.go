package node

import (
	"net"
	"net/http"
	"strconv"
	"sync"

	"github.com/aistore-go/aistore/cmn/wire"
)

// Answers that are written at once with their whole content are sent with one
// system call. net/http has a buffer of 4 KiB for a connection, so that the
// header and a content of that size would take two, and wake the reader twice.
const (
	corkFrom = 2 << 10  // shorter ones share net/http's buffer with the header anyway
	corkUpTo = 64 << 10 // from here on copying costs more than the call it saves
	corkRoom = 4 << 10  // for the header
)

// servedConn is a client's connection that can hold back what is written. The
// rest of it is the TCP connection itself, so that files still go out by
// sendfile. Only the goroutine of the request writes.
type servedConn struct {
	*net.TCPConn
	replay []byte  // is read before all that comes
	held   *[]byte // not nil: corked
	used   bool    // a request has come; see limitListener.connState
	stalls stalls
}

// heldPool keeps the buffers of corked connections.
var heldPool = sync.Pool{New: func() any {
	b := make([]byte, 0, corkUpTo+corkRoom)
	return &b
}}

// Write implements net.Conn.
func (c *servedConn) Write(p []byte) (int, error) {
	if c.held != nil {
		*c.held = append(*c.held, p...)
		return len(p), nil
	}
	return c.writeInTime(p)
}

// cork holds back what is written until uncork.
func (c *servedConn) cork() { c.held = heldPool.Get().(*[]byte) }

// uncork sends what was held back.
func (c *servedConn) uncork() error {
	held := c.held
	c.held = nil
	var err error
	if len(*held) > 0 {
		_, err = c.writeInTime(*held)
	}
	if cap(*held) <= 2*corkUpTo {
		*held = (*held)[:0]
		heldPool.Put(held)
	}
	return err
}

// writeWhole writes p, if it is the whole content of the answer, together
// with the header; done is false if it is not.
func (w *writer) writeWhole(p []byte) (n int, done bool, err error) {
	if len(p) < corkFrom || len(p) > corkUpTo || w.r == nil || w.r.Method == http.MethodHead {
		return 0, false, nil
	}
	length := w.w.Header()[wire.HeaderContentLength]
	if len(length) != 1 {
		return 0, false, nil
	}
	if announced, err := strconv.Atoi(length[0]); err != nil || announced != len(p) {
		return 0, false, nil //nolint:nilerr // not for us: net/http judges it
	}
	flusher, ok := w.w.(http.Flusher)
	conn, isServed := w.r.Context().Value(connKey{}).(*servedConn)
	if !ok || !isServed {
		return 0, false, nil
	}
	conn.cork()
	n, err = w.w.Write(p)
	flusher.Flush()
	if sendErr := conn.uncork(); err == nil {
		err = sendErr
	}
	return n, true, err
}
