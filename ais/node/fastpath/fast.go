package fastpath

import (
	"context"
	"io"
	"net"
	"strings"
)

// Fast answers requests of the closed grammar without net/http.
//
// ServeFast decides first and acts then. It returns Slow before it has read
// of the body or written anything; it returns what Await says if it needs the
// body and BodyReady is false. After it has answered with Reply or ReplyFile
// it returns their outcome. One request of a connection is served at a time;
// many connections are served at the same time.
type Fast interface {
	ServeFast(c *Conn, r *Request) Outcome
}

// Outcome is what became of a request.
type Outcome uint8

const (
	// Slow leaves the request to the ordinary handler: nothing was consumed.
	Slow Outcome = iota
	// Served tells that the request was answered.
	Served
	// Broken tells that the connection has to end: an answer began and could
	// not be finished, or the client does not read.
	Broken

	awaiting // for the body
	failed   // with the error of Fail
)

// Context ends when the server is broken off. It does not end when the client
// goes away: what a Fast handler does is short, or fails by its own reads and
// writes.
func (c *Conn) Context() context.Context { return c.server.ctx }

// RemoteAddr is the client's address with its port.
func (c *Conn) RemoteAddr() string { return c.remote }

// FromLoopback tells that the client is on this machine.
func (c *Conn) FromLoopback() bool { return c.loopback }

// Header returns an empty buffer for the header of an answer. It is valid
// until the answer was sent.
func (c *Conn) Header() []byte { return c.buffers.head[:0] }

// AppendStatus appends a status line and the date. status is the code with its
// text, such as "200 OK".
func (c *Conn) AppendStatus(dst []byte, status string) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	dst = append(dst, status...)
	dst = append(dst, "\r\nDate: "...)
	dst = append(dst, *c.server.date.Load()...)
	return append(dst, '\r', '\n')
}

// AppendField appends one field of a header. Line breaks in the value become
// blanks, so that no value can end the header.
func AppendField(dst []byte, name, value string) []byte {
	dst = append(dst, name...)
	dst = append(dst, ':', ' ')
	if strings.IndexByte(value, '\n') >= 0 || strings.IndexByte(value, '\r') >= 0 {
		value = noBreaks.Replace(value)
	}
	dst = append(dst, strings.Trim(value, " \t")...)
	return append(dst, '\r', '\n')
}

var noBreaks = strings.NewReplacer("\n", " ", "\r", " ")

// BodyReady tells that the body may be read now.
func (c *Conn) BodyReady() bool {
	return !c.inside || int64(c.in.Buffered()-c.request.size) >= c.request.ContentLength
}

// Await has the request served again once its body may be read.
func (c *Conn) Await() Outcome { return awaiting }

// Body returns the body of the request; BodyReady must be true. The slices of
// the Request are not valid any more.
func (c *Conn) Body() io.Reader {
	c.consume()
	return &c.body
}

// Reply sends an answer in one write: the header, made with Header, and the
// content in one buffer, or in two.
func (c *Conn) Reply(header, content []byte) Outcome {
	if c.send(header, content) != nil {
		return Broken
	}
	return Served
}

// ReplyFile sends a header and then length bytes of an open file from an
// offset on by sendfile; gate, if not nil, is that of its disk. The error says
// why the answer is not whole: of the client's going away it is a *net.OpError, of
// the file FileError tells it, and io.ErrUnexpectedEOF if that is shorter. More of the content may follow with SendFile.
func (c *Conn) ReplyFile(header []byte, file uintptr, gate Gate, offset, length int64) (Outcome, error) {
	c.write.more = length > 0
	c.write.sent = 0
	err := c.send(header, nil)
	c.write.more = false
	if err != nil {
		return Broken, err
	}
	return c.SendFile(file, gate, offset, length)
}

// SendFile sends length bytes of an open file after what was sent already.
func (c *Conn) SendFile(file uintptr, gate Gate, offset, length int64) (Outcome, error) {
	sent, err := c.sendFile(int(file), gate, &offset, length)
	switch {
	case err != nil:
		return Broken, err
	case sent < length:
		return Broken, io.ErrUnexpectedEOF
	}
	return Served, nil
}

// FileSent is how many bytes of the file the last ReplyFile or SendFile has sent.
func (c *Conn) FileSent() int64 { return c.write.sent }

// SendBytes sends a piece of content after what was sent already.
func (c *Conn) SendBytes(p []byte) (Outcome, error) {
	if err := c.send(p, nil); err != nil {
		return Broken, err
	}
	return Served, nil
}

// Fail has the server answer with an error as it does for other requests.
func (c *Conn) Fail(err error) Outcome { return c.FailWith(err, "", "") }

// FailWith is Fail with one more field in the header, unless its name is empty.
func (c *Conn) FailWith(err error, name, value string) Outcome {
	c.err, c.errField = err, [2]string{name, value}
	return failed
}

// isLoopback tells that an address is of this machine.
func isLoopback(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}
