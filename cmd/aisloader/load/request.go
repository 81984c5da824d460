package load

import (
	"io"
	"time"
)

// Request is one request to a server. Its buffers belong to whoever fills it
// and are reused.
type Request struct {
	Addr    string // host:port
	Method  string
	Path    []byte // escaped, with the query
	Headers []byte // complete lines, each ending in CRLF
	Body    []byte
	Size    int64 // of the body; 0 = that of Body, more = Body is repeated
	Keep    bool  // the body of the answer is kept, up to maxKept bytes
	Verify  bool  // the answer's checksum is compared with its body

	// Reader, if there is one, has the Size bytes of the body in place of Body.
	// It is read from its beginning each time that they are sent.
	Reader io.ReadSeeker

	// Gateway tells that Addr redirects what has a body. A large body is then
	// sent to the server that takes it only: the gateway gets the same request
	// with an empty one.
	Gateway bool
}

// Reset empties a request and keeps its buffers.
func (r *Request) Reset(method, addr string) {
	*r = Request{Method: method, Addr: addr, Path: r.Path[:0], Headers: r.Headers[:0]}
}

// AddHeader adds a header line.
func (r *Request) AddHeader(name, value string) {
	r.Headers = append(r.Headers, name...)
	r.Headers = append(r.Headers, ": "...)
	r.Headers = append(r.Headers, value...)
	r.Headers = append(r.Headers, "\r\n"...)
}

func (r *Request) size() int64 {
	if r.Size > 0 {
		return r.Size
	}
	return int64(len(r.Body))
}

// sendsLength tells whether the request has a body, be it an empty one.
func (r *Request) sendsLength() bool {
	return r.size() > 0 || (r.Method != "GET" && r.Method != "HEAD")
}

// Response is what the generator needs to know of an answer. Its slices are
// valid until the next request of the worker.
type Response struct {
	Status        int
	Bytes         int64  // of the body, read to its end
	Length        int64  // announced by Content-Length, also of a HEAD
	Location      []byte // of a redirect
	Redirected    bool   // the answer is that of a second server
	Body          []byte // kept; always that of an error
	ChecksumType  []byte
	ChecksumValue []byte
}

// Timing is where the time of one exchange went; see Options.Timed.
type Timing struct {
	Connect  time.Duration // making the connection; 0 if there was one
	Request  time.Duration // writing the request
	Wait     time.Duration // from there to the first byte of the answer
	Header   time.Duration // reading the header
	Response time.Duration // reading the body
}

func (t *Timing) add(o *Timing) {
	t.Connect += o.Connect
	t.Request += o.Request
	t.Wait += o.Wait
	t.Header += o.Header
	t.Response += o.Response
}
