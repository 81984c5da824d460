package fastpath

import (
	"errors"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// writing is what is being sent. It lives in the connection so that the
// callbacks need no allocation.
type writing struct {
	first, second []byte
	more          bool // a file follows at once: the kernel may hold back first to send both together
	file          int
	gate          Gate // of the file's disk; nil: none
	offset        *int64
	left, sent    int64
	err           error

	send, sendFile func(fd uintptr) bool
	armed          bool  // a write deadline is set
	moved          bool  // something was sent since
	armedAt        int64 // by the server's clock
}

// send writes two buffers as one. Usually that is one system call; if the
// client does not read, it waits as long as Options.SendTimeout allows without
// a byte going out.
func (c *Conn) send(first, second []byte) error {
	w := &c.write
	w.first, w.second, w.err = first, second, nil
	if !c.inside || !w.send(uintptr(c.fd)) {
		if err := c.raw.Write(w.send); err != nil && w.err == nil {
			w.err = err
		}
	}
	w.first, w.second = nil, nil
	return c.sent()
}

// sendFile sends a part of a file; fewer bytes than asked for without an error
// mean that the file has ended.
func (c *Conn) sendFile(file int, gate Gate, offset *int64, length int64) (int64, error) {
	w := &c.write
	w.file, w.gate, w.offset, w.left, w.sent, w.err = file, gate, offset, length, 0, nil
	if !c.inside || !w.sendFile(uintptr(c.fd)) {
		if err := c.raw.Write(w.sendFile); err != nil && w.err == nil {
			w.err = err
		}
	}
	w.offset, w.gate = nil, nil
	return w.sent, c.sent()
}

// sent ends a writing.
func (c *Conn) sent() error {
	w := &c.write
	if w.armed {
		w.armed = false
		_ = c.tcp.SetWriteDeadline(time.Time{}) // fails if it is closed: the next write says so
	}
	return w.err
}

// sendStep writes until all is out or the socket is full (false).
func (c *Conn) sendStep(fd uintptr) bool {
	w := &c.write
	var pair [2][]byte
	for {
		var n int
		var err error
		switch {
		case len(w.first) == 0 && len(w.second) == 0:
			return true
		case len(w.second) == 0 && w.more:
			n, err = writeSocketMore(int(fd), w.first)
		case len(w.second) == 0:
			n, err = writeSocket(int(fd), w.first)
		case len(w.first) == 0:
			n, err = writeSocket(int(fd), w.second)
		default:
			pair[0], pair[1] = w.first, w.second
			n, err = writeSocketPair(int(fd), &pair)
		}
		if n > 0 {
			w.moved = true
			m := min(n, len(w.first))
			w.first, w.second = w.first[m:], w.second[n-m:]
		}
		if again, failed := c.full(err, "write"); failed {
			return true
		} else if again {
			return false
		}
	}
}

// sendFileStep is sendStep for a file.
func (c *Conn) sendFileStep(fd uintptr) bool {
	const most = 4 << 20
	w := &c.write
	for w.left > 0 {
		n, err := SendFile(int(fd), w.file, w.gate, w.offset, min(w.left, most))
		if FileError(err) != nil {
			w.err = err
			return true
		}
		if n > 0 {
			w.moved = true
			w.left -= int64(n)
			w.sent += int64(n)
		}
		if again, failed := c.full(err, "sendfile"); failed {
			return true
		} else if again {
			return false
		}
		if n == 0 && err == nil {
			return true // the file is shorter
		}
	}
	return true
}

// full tells what an error of a write means: the socket is full, or the
// connection has failed.
func (c *Conn) full(err error, call string) (again, failed bool) {
	w := &c.write
	switch {
	case err == nil || errors.Is(err, unix.EINTR):
		return false, false
	case errors.Is(err, unix.EAGAIN):
		s := c.server
		if now := s.now.Load(); !w.armed || w.moved && now-w.armedAt > int64(time.Second) {
			w.armed, w.moved, w.armedAt = true, false, now
			if err := c.tcp.SetWriteDeadline(time.Now().Add(s.options.SendTimeout())); err != nil {
				w.err = err
				return false, true
			}
		}
		return true, false
	}
	w.err = &net.OpError{Op: call, Net: "tcp", Source: c.tcp.LocalAddr(), Addr: c.tcp.RemoteAddr(), Err: os.NewSyscallError(call, err)}
	return false, true
}
