package node

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/ais/node/fastpath"
)

// A client that stops reading its answer, or sending its body, would hold a
// descriptor, buffers and perhaps a work file for as long as it likes. What is
// below watches connections that net/http serves; the loop does it by itself.

// stalls is what a connection knows of its deadlines.
type stalls struct {
	sendTimeout func() time.Duration // nil: writes may take any time
	armed       time.Time            // when the write deadline was set last
	writeOther  bool                 // somebody else looks after the write deadline
	readOther   atomic.Int32         // how often somebody else has set the read deadline
}

// sendPiece is how much is sent under one deadline, where it is not moved with
// every part that the client takes: a slow client that goes on reading is not one
// that has stopped.
const sendPiece = 256 << 10

// sendMost is how much the kernel is asked to send at once.
const sendMost = 4 << 20

// TCP implements fastpath.Connection.
func (c *servedConn) TCP() *net.TCPConn { return c.TCPConn }

// Replay implements fastpath.Connection.
func (c *servedConn) Replay(head []byte) { c.replay = head }

// Read implements net.Conn.
func (c *servedConn) Read(p []byte) (int, error) {
	if len(c.replay) > 0 {
		n := copy(p, c.replay)
		if c.replay = c.replay[n:]; len(c.replay) == 0 {
			c.replay = nil
		}
		return n, nil
	}
	return c.TCPConn.Read(p)
}

// SetWriteDeadline implements net.Conn.
func (c *servedConn) SetWriteDeadline(t time.Time) error {
	c.stalls.writeOther, c.stalls.armed = !t.IsZero(), time.Time{}
	return c.TCPConn.SetWriteDeadline(t)
}

// SetReadDeadline implements net.Conn.
func (c *servedConn) SetReadDeadline(t time.Time) error {
	c.stalls.readOther.Add(1)
	return c.TCPConn.SetReadDeadline(t)
}

// SetDeadline implements net.Conn.
func (c *servedConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// arm gives the client time to take what is about to be written. The deadline
// is moved now and then, not for every write.
func (c *servedConn) arm() error {
	s := &c.stalls
	if s.sendTimeout == nil || s.writeOther {
		return nil
	}
	timeout, now := s.sendTimeout(), time.Now()
	if now.Sub(s.armed) < timeout/4 {
		return nil
	}
	s.armed = now
	return c.TCPConn.SetWriteDeadline(now.Add(timeout))
}

// writeInTime is TCPConn.Write with a bound on the time of every piece.
func (c *servedConn) writeInTime(p []byte) (written int, err error) {
	for {
		piece := p[written:min(len(p), written+sendPiece)]
		if err := c.arm(); err != nil {
			return written, err
		}
		n, err := c.TCPConn.Write(piece)
		if written += n; err != nil || written == len(p) {
			return written, err
		}
	}
}

// ReadFrom implements io.ReaderFrom. net/http sends files by sendfile only if
// it finds this method.
func (c *servedConn) ReadFrom(r io.Reader) (sent int64, err error) {
	limited, file, gate := fastpath.FileOf(r)
	switch {
	case file == nil:
		return io.Copy(struct{ io.Writer }{c}, r)
	case gate != nil:
		return c.sendBehindGate(limited, file, gate)
	}
	for limited.N > 0 {
		if err := c.arm(); err != nil {
			return sent, err
		}
		piece := io.LimitedReader{R: limited.R, N: min(limited.N, sendPiece)}
		n, err := c.TCPConn.ReadFrom(&piece)
		sent += n
		limited.N -= n
		if err != nil || n == 0 {
			return sent, err
		}
	}
	return sent, nil
}

// sendBehindGate is ReadFrom for a file whose disk is behind a gate, which
// TCPConn.ReadFrom would hold while it waits for the client.
func (c *servedConn) sendBehindGate(part *io.LimitedReader, file *os.File, gate fastpath.Gate) (sent int64, err error) {
	socket, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	fd := int(file.Fd())
	for part.N > 0 {
		if err := c.arm(); err != nil {
			return sent, err
		}
		var n int
		var failed error
		err := socket.Write(func(to uintptr) bool {
			n, failed = fastpath.SendFile(int(to), fd, gate, nil, min(part.N, sendMost))
			return !errors.Is(failed, unix.EAGAIN)
		})
		if n > 0 {
			sent += int64(n)
			part.N -= int64(n)
		}
		switch {
		case err != nil:
			return sent, err
		case failed == nil && n <= 0:
			return sent, nil // the file is shorter
		case failed != nil && !errors.Is(failed, unix.EINTR):
			if fastpath.FileError(failed) == nil {
				failed = &net.OpError{Op: "sendfile", Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: os.NewSyscallError("sendfile", failed)}
			}
			return sent, failed
		}
	}
	return sent, nil
}

// connKey is the key of the connection in a request's context.
type connKey struct{}

// withConn is the http.Server's ConnContext.
func withConn(ctx context.Context, conn net.Conn) context.Context {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	return context.WithValue(ctx, connKey{}, conn)
}
