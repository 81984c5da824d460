package node

import (
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/aistore-go/aistore/ais/node/fastpath"
)

// unreadTime bounds what is read before the answer of a body that no handler
// wanted.
const unreadTime = 2 * time.Second

// clientBody is the body of a request that net/http serves: it makes progress,
// or ends with 408, and what a handler leaves of it is looked after. The loop
// does so by itself.
type clientBody struct {
	io.ReadCloser
	conn   *servedConn
	pace   fastpath.Pace
	others int32 // how often somebody else had set the read deadline when pacing began

	early    bool // the answer goes out before it: net/http does not read the rest then
	ended    bool // all of it was read
	finished bool
}

// watchBody puts a clientBody in the place of a request's body; nil: there is no
// body, or the connection is one of the loop. paced tells that it has to make
// progress.
func (n *Node) watchBody(r *http.Request, paced bool) *clientBody {
	if r.ContentLength == 0 || r.Body == nil {
		return nil
	}
	conn, ok := r.Context().Value(connKey{}).(*servedConn)
	if !ok {
		return nil
	}
	body := &clientBody{ReadCloser: r.Body, conn: conn, others: conn.stalls.readOther.Load()}
	if paced {
		body.pace.Start(n.limits.progress(), conn.TCPConn.SetReadDeadline)
	}
	r.Body = body
	return body
}

// AnsweredEarly implements what objreq.Early calls.
func (b *clientBody) AnsweredEarly() { b.early = true }

// Read implements io.Reader. Nothing is watched any more once somebody sets the
// connection's deadline himself.
func (b *clientBody) Read(p []byte) (n int, err error) {
	if b.conn.stalls.readOther.Load() != b.others {
		n, err = b.ReadCloser.Read(p)
	} else {
		if err := b.pace.Before(); err != nil {
			return 0, err
		}
		n, err = b.ReadCloser.Read(p)
		err = b.pace.After(n, err)
	}
	if errors.Is(err, io.EOF) {
		b.pace.Stop()
		b.ended = true
	}
	return n, err
}

// finish is called when the handler has returned and the body may be left in
// part. net/http would wait for the rest for ever, and lose the next request if
// the answer was an early one. Nil is a body that needs nothing.
func (b *clientBody) finish(w http.ResponseWriter, r *http.Request) {
	if b == nil {
		return
	}
	b.finished = true
	if b.ended {
		return
	}
	control := http.NewResponseController(w)
	expects := r.Header["Expect"] != nil
	if !b.early {
		// net/http reads the rest before it answers, and ends the connection
		// if it does not come.
		until := time.Now().Add(unreadTime)
		if expects {
			until = longAgo
		}
		_ = control.SetReadDeadline(until) // fails if the connection is closed: then nothing waits for it
		return
	}
	// A client that waits for permission to send has sent nothing.
	if !expects && b.linger(control) {
		_ = control.SetReadDeadline(time.Time{}) // likewise; the connection goes on
		return
	}
	_ = control.SetReadDeadline(longAgo) // likewise; net/http would read on
	if closing := w.Header()["Connection"]; !r.Close && len(closing) == 0 {
		panic(http.ErrAbortHandler) // what comes next may be the body's rest or a request
	}
}

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

// linger sends what was answered and then reads and drops what the client still
// pushes, for a bounded time: if the connection were closed at once, a client
// that writes its whole body before it reads would see a reset instead of the
// answer. It tells whether the body has ended.
func (b *clientBody) linger(control *http.ResponseController) bool {
	if control.Flush() != nil {
		return false
	}
	buf := make([]byte, 32<<10)
	for end := time.Now().Add(fastpath.LingerTotal); ; {
		now := time.Now()
		if now.After(end) || control.SetReadDeadline(now.Add(fastpath.LingerSilence)) != nil {
			return false
		}
		if _, err := b.Read(buf); err != nil {
			return b.ended
		}
	}
}

// abandon is deferred: after a panic net/http would wait for the rest, too.
func (b *clientBody) abandon() {
	if b != nil && !b.finished {
		_ = b.conn.TCPConn.SetReadDeadline(longAgo) // fails if the connection is closed
	}
}
