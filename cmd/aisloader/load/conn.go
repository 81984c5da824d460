// Package load generates load over HTTP/1.1 with as little work of its own as
// possible, so that two cores are enough to drive a server to its limit. It
// speaks to anything that serves GET and takes PUT: gateways (whose redirects
// it follows), targets, and other servers that are measured beside them.
package load

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

const (
	ioTimeout  = 60 * time.Second
	maxHeader  = 16 << 10
	readBuffer = 256 << 10
)

// Request is one operation on a server.
type Request struct {
	Kind    int // below Kinds; counted apart
	Method  string
	Path    string // escaped, with the query
	Headers string // complete lines, each ending in CRLF
	Body    []byte // sent with a Content-Length if the method is PUT
	Size    int64  // of the body; 0 = that of Body, more = Body is repeated
}

func (r *Request) size() int64 {
	if r.Size > 0 {
		return r.Size
	}
	return int64(len(r.Body))
}

// Response is what the generator needs to know of an answer.
type Response struct {
	Status   int
	Bytes    int64  // of the body, read to its end
	Location []byte // of a redirect; valid until the next call
}

// Conn is one persistent connection to one address. It is not safe for
// concurrent use.
type Conn struct {
	addr     string
	conn     net.Conn
	reader   *bufio.Reader
	out      []byte
	location []byte
	scratch  []byte
}

// NewConn returns a connection that is opened by its first request.
func NewConn(addr string) *Conn {
	return &Conn{addr: addr, scratch: make([]byte, readBuffer)}
}

// Close closes the connection; it may be used again.
func (c *Conn) Close() error {
	if c.conn == nil {
		return nil
	}
	err := c.conn.Close()
	c.conn = nil
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
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("%s %s%s: %w", r.Method, c.addr, r.Path, err), c.Close())
		}
	}()
	if c.conn == nil {
		if c.conn, err = net.DialTimeout("tcp", c.addr, ioTimeout); err != nil {
			return resp, false, err
		}
		if c.reader == nil {
			c.reader = bufio.NewReaderSize(c.conn, 64<<10)
		} else {
			c.reader.Reset(c.conn)
		}
	}
	if err := c.conn.SetDeadline(time.Now().Add(ioTimeout)); err != nil {
		return resp, false, err
	}
	if err := c.send(r); err != nil {
		return resp, false, err
	}
	if _, err := c.reader.Peek(1); err != nil {
		return resp, false, err
	}
	resp, err = c.receive()
	return resp, true, err
}

func (c *Conn) send(r *Request) error {
	c.out = append(c.out[:0], r.Method...)
	c.out = append(c.out, ' ')
	c.out = append(c.out, r.Path...)
	c.out = append(c.out, " HTTP/1.1\r\nHost: "...)
	c.out = append(c.out, c.addr...)
	c.out = append(c.out, "\r\n"...)
	c.out = append(c.out, r.Headers...)
	size := r.size()
	if r.Method == "PUT" {
		c.out = append(c.out, "Content-Length: "...)
		c.out = strconv.AppendInt(c.out, size, 10)
		c.out = append(c.out, "\r\n"...)
	}
	c.out = append(c.out, "\r\n"...)
	if size <= int64(min(len(r.Body), 16<<10)) {
		c.out = append(c.out, r.Body[:size]...)
		size = 0
	}
	if _, err := c.conn.Write(c.out); err != nil {
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

var (
	headerLength     = []byte("content-length:")
	headerLocation   = []byte("location:")
	headerConnection = []byte("connection:")
	headerEncoding   = []byte("transfer-encoding:")
)

func (c *Conn) receive() (resp Response, err error) {
	line, err := c.reader.ReadSlice('\n')
	if err != nil {
		return resp, err
	}
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.")) {
		return resp, fmt.Errorf("malformed status line %q", line)
	}
	if resp.Status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return resp, fmt.Errorf("malformed status line %q", line)
	}
	length, closing := int64(0), false
	for read := 0; ; {
		line, err := c.reader.ReadSlice('\n')
		if err != nil {
			return resp, err
		}
		if read += len(line); read > maxHeader {
			return resp, errors.New("the header is too long")
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		switch {
		case hasName(line, headerLength):
			if length, err = strconv.ParseInt(string(value(line)), 10, 64); err != nil {
				return resp, fmt.Errorf("malformed header %q", line)
			}
		case hasName(line, headerLocation):
			c.location = append(c.location[:0], value(line)...)
			resp.Location = c.location
		case hasName(line, headerConnection):
			closing = bytes.EqualFold(value(line), []byte("close"))
		case hasName(line, headerEncoding):
			return resp, fmt.Errorf("unexpected %q: a length was expected", line)
		}
	}
	for left := length; left > 0; {
		n, err := c.reader.Read(c.scratch[:min(left, readBuffer)])
		left -= int64(n)
		resp.Bytes += int64(n)
		if err != nil && left > 0 {
			return resp, errors.Join(err, io.ErrUnexpectedEOF)
		}
	}
	if closing {
		return resp, c.Close()
	}
	return resp, nil
}

func hasName(line, name []byte) bool {
	return len(line) > len(name) && bytes.EqualFold(line[:len(name)], name)
}

func value(line []byte) []byte {
	return bytes.TrimSpace(line[bytes.IndexByte(line, ':')+1:])
}
