package load

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	defaultTimeout = 60 * time.Second
	maxHeader      = 16 << 10
	maxKept        = 16 << 20 // bytes of an answer's body
	joined         = 16 << 10 // a body up to this is written with the header
	probed         = 64 << 10 // a larger body is not sent to a gateway
	readBuffer     = 64 << 10 // of bodies
)

// Options say how servers are spoken to.
type Options struct {
	TLS     *tls.Config   // for addresses that want it; nil: plain
	Timeout time.Duration // of one exchange; 0 = a minute
	Headers []byte        // lines that every request carries
	Timed   *atomic.Bool  // measure Timing while it is set; nil: never
}

func (o *Options) timed() bool { return o.Timed != nil && o.Timed.Load() }

// Conn is one persistent connection to one address. It is not safe for
// concurrent use.
type Conn struct {
	addr    string
	secure  bool
	options *Options
	conn    net.Conn
	raw     syscall.RawConn // of a plain connection
	reader  *bufio.Reader
	out     []byte
	scratch []byte
	kept    struct{ location, body, checksumType, checksumValue []byte }
	skip    skipper
	verify  verifier
	Timing  Timing // of the last exchange, if measured
}

// NewConn returns a connection that is opened by its first request.
func NewConn(addr string, secure bool, options *Options) *Conn {
	return &Conn{addr: addr, secure: secure, options: options}
}

// Close closes the connection; it may be used again.
func (c *Conn) Close() error {
	if c.conn == nil {
		return nil
	}
	err := c.conn.Close()
	c.conn, c.raw = nil, nil
	return err
}

// Do sends a request and reads the whole answer. A connection that the server
// closed while it was idle is opened again once.
func (c *Conn) Do(r *Request) (Response, error) {
	reused := c.conn != nil
	resp, started, err := c.try(r)
	if err != nil && reused && !started {
		resp, _, err = c.try(r)
	}
	return resp, err
}

func (c *Conn) try(r *Request) (resp Response, started bool, err error) {
	if resp, started, err = c.exchange(r); err != nil {
		err = errors.Join(fmt.Errorf("%s %s%s: %w", r.Method, c.addr, r.Path, err), c.Close())
	}
	return resp, started, err
}

func (c *Conn) exchange(r *Request) (resp Response, started bool, err error) {
	began := c.lap(time.Time{}, nil)
	if c.conn == nil {
		if err := c.open(); err != nil {
			return resp, false, err
		}
		began = c.lap(began, &c.Timing.Connect)
	} else {
		c.Timing.Connect = 0
	}
	timeout := c.options.Timeout
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	if err := c.conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		return resp, false, err
	}
	sendErr := c.send(r)
	if sendErr != nil && !errors.Is(sendErr, syscall.EPIPE) && !errors.Is(sendErr, syscall.ECONNRESET) {
		return resp, false, sendErr
	}
	// A server that answers early may close before it has read the body: its
	// answer is there all the same.
	began = c.lap(began, &c.Timing.Request)
	if _, err := c.reader.Peek(1); err != nil {
		return resp, false, errors.Join(sendErr, err)
	}
	began = c.lap(began, &c.Timing.Wait)
	closing, chunked, err := c.receiveHeader(&resp)
	if err != nil {
		return resp, true, err
	}
	began = c.lap(began, &c.Timing.Header)
	if err = c.receiveBody(r, &resp, chunked); err != nil {
		return resp, true, err
	}
	c.lap(began, &c.Timing.Response)
	if closing || sendErr != nil {
		return resp, true, c.Close()
	}
	return resp, true, nil
}

// lap stores the time since the last one, if times are measured.
func (c *Conn) lap(since time.Time, into *time.Duration) time.Time {
	if !c.options.timed() {
		return since
	}
	now := time.Now()
	if into != nil && !since.IsZero() {
		*into = now.Sub(since)
	}
	return now
}

func (c *Conn) open() error {
	conn, err := net.DialTimeout("tcp", c.addr, defaultTimeout)
	if err != nil {
		return err
	}
	if plain, ok := conn.(syscall.Conn); ok && !c.secure {
		if c.raw, err = plain.SyscallConn(); err != nil {
			return errors.Join(err, conn.Close())
		}
	}
	c.conn = conn
	if c.secure {
		settings := c.options.TLS
		if settings == nil {
			settings = &tls.Config{MinVersion: tls.VersionTLS12}
		}
		if settings.ServerName == "" && !settings.InsecureSkipVerify {
			settings = settings.Clone()
			settings.ServerName, _, _ = net.SplitHostPort(c.addr)
		}
		c.conn = tls.Client(conn, settings)
	}
	if c.reader == nil {
		c.reader = bufio.NewReaderSize(c.conn, 64<<10)
	} else {
		c.reader.Reset(c.conn)
	}
	return nil
}

func (c *Conn) send(r *Request) error {
	c.out = append(c.out[:0], r.Method...)
	c.out = append(c.out, ' ')
	c.out = append(c.out, r.Path...)
	c.out = append(c.out, " HTTP/1.1\r\nHost: "...)
	c.out = append(c.out, c.addr...)
	c.out = append(c.out, "\r\n"...)
	c.out = append(c.out, c.options.Headers...)
	c.out = append(c.out, r.Headers...)
	size := r.size()
	if r.Gateway && size > probed {
		size = 0
	}
	if r.sendsLength() {
		c.out = append(c.out, "Content-Length: "...)
		c.out = strconv.AppendInt(c.out, size, 10)
		c.out = append(c.out, "\r\n"...)
	}
	c.out = append(c.out, "\r\n"...)
	if r.Reader == nil && size <= int64(min(len(r.Body), joined)) {
		c.out = append(c.out, r.Body[:size]...)
		size = 0
	}
	if _, err := c.conn.Write(c.out); err != nil {
		return err
	}
	if r.Reader != nil && size > 0 {
		if _, err := r.Reader.Seek(0, io.SeekStart); err != nil {
			return err
		}
		_, err := io.CopyN(c.conn, r.Reader, size) // the kernel sends a file by itself
		return err
	}
	for size > 0 {
		n, err := c.conn.Write(r.Body[:min(size, int64(len(r.Body)))])
		if err != nil {
			return err
		}
		size -= int64(n)
	}
	return nil
}
