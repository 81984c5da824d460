package rpc

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/trust"
	"github.com/aistore-go/aistore/cmn/wire"
)

// Class is a kind of traffic with connections of its own.
type Class int

// Classes of traffic.
const (
	Control   Class = iota // calls of the control plane and of clients' control requests
	Keepalive              // signs of life
	Raft                   // Raft messages
	Data                   // listings and objects between gateways and targets
	classes
)

// Options of a client. The zero value of a field means its default.
type Options struct {
	NodeID      string         // of the caller, sent as Ais-Caller-Id
	NodeName    string         // "p[id]" or "t[id]", sent as Ais-Caller-Name
	TLS         *tls.Config    // nil: plain HTTP; https URLs need it. See SetTLS
	Trust       *trust.Keyring // signs every request; nil: none is signed
	Logger      *slog.Logger   // default slog.Default()
	DialTimeout time.Duration  // default 3 s
	CallTimeout time.Duration  // of a call whose context has no deadline, default 20 s
	IdleTimeout time.Duration  // of an unused connection, default 20 s
	IdlePerHost int            // unused connections kept for each node and class, default 32
	MaxAnswer   int64          // longest answer that Call and Get take, default 64 MiB
}

// Client calls other nodes. It is safe for concurrent use.
type Client struct {
	opts       Options
	transports [classes]*http.Transport
	tls        atomic.Pointer[tls.Config]

	queues queueSet
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	once   sync.Once
}

// New returns a client; Close ends it.
func New(opts Options) *Client {
	setDefault(&opts.DialTimeout, 3*time.Second)
	setDefault(&opts.CallTimeout, 20*time.Second)
	setDefault(&opts.IdleTimeout, 20*time.Second)
	setDefault(&opts.IdlePerHost, 32)
	setDefault(&opts.MaxAnswer, 64<<20)
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	c := &Client{opts: opts}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.tls.Store(opts.TLS)
	for class := range c.transports {
		c.transports[class] = c.newTransport(Class(class))
	}
	c.queues.client = c
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// newTransport returns the connections of one class.
func (c *Client) newTransport(class Class) *http.Transport {
	opts := &c.opts
	dialer := &net.Dialer{Timeout: opts.DialTimeout, KeepAlive: 15 * time.Second}
	tr := &http.Transport{
		DialContext:           dialer.DialContext,
		TLSHandshakeTimeout:   opts.DialTimeout,
		IdleConnTimeout:       opts.IdleTimeout,
		MaxIdleConnsPerHost:   opts.IdlePerHost,
		ResponseHeaderTimeout: 0, // every call has a deadline of its own
		ExpectContinueTimeout: time.Second,
		DisableCompression:    true,
		Protocols:             new(http.Protocols),
	}
	tr.Protocols.SetHTTP1(true)
	tr.DialTLSContext = c.dialTLS(dialer)
	switch class {
	case Keepalive, Raft:
		tr.MaxIdleConnsPerHost = 2
	case Data:
		tr.ReadBufferSize, tr.WriteBufferSize = 64<<10, 64<<10
	}
	return tr
}

// Close breaks off all calls and ends every goroutine of the client.
func (c *Client) Close() {
	c.once.Do(func() {
		c.cancel()
		c.queues.close()
		for _, tr := range c.transports {
			tr.CloseIdleConnections()
		}
	})
}

// Call posts a body to another node and returns its answer. A failure that
// the node reports is an *apierr.Error as the node sent it; one on the way is
// an *UnreachableError.
func (c *Client) Call(ctx context.Context, baseURL, path string, body []byte, contentType string) ([]byte, error) {
	answer, _, err := c.Request(ctx, Control, http.MethodPost, baseURL+path, contentType, body)
	return answer, err
}

// Get asks another node; pathQuery is a path with an optional query.
func (c *Client) Get(ctx context.Context, baseURL, pathQuery string) ([]byte, http.Header, error) {
	return c.Request(ctx, Control, http.MethodGet, baseURL+pathQuery, "", nil)
}

// Request does one call of a class and returns the answer with its headers.
func (c *Client) Request(ctx context.Context, class Class, method, url, contentType string, body []byte) ([]byte, http.Header, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.opts.CallTimeout)
		defer cancel()
	}
	req, err := http.NewRequestWithContext(ctx, method, url, bytesReader(body))
	if err != nil {
		return nil, nil, &UnreachableError{URL: url, Cause: err}
	}
	if contentType != "" {
		req.Header[wire.HeaderContentType] = []string{contentType}
	}
	res, err := c.DoBuffered(class, req, body)
	if err != nil {
		return nil, nil, err
	}
	answer, err := c.readAnswer(res)
	return answer, res.Header, err
}

// bytesReader is a reader of a body, nil if there is none.
func bytesReader(body []byte) io.Reader {
	if body == nil {
		return nil
	}
	return bytes.NewReader(body)
}

// Do sends a request of a class with the caller's headers and returns the
// response whatever its status; the caller closes the body. The request's
// context must have a deadline or be cancelled by the caller. Redirects are
// not followed. The signature covers the length of the body only, because the
// body may be a stream; see DoBuffered.
func (c *Client) Do(class Class, req *http.Request) (*http.Response, error) {
	body := trust.StreamedBody(req.ContentLength)
	if req.Body == nil || req.Body == http.NoBody {
		body = trust.BufferedBody(nil)
	} else if req.ContentLength <= 0 {
		body = trust.StreamedBody(-1)
	}
	return c.signedTrip(class, req, body)
}

// DoBuffered is Do of a request whose body is at hand: the signature covers
// all of it. The request's own body is a reader of the same bytes.
func (c *Client) DoBuffered(class Class, req *http.Request, body []byte) (*http.Response, error) {
	if c.opts.Trust == nil {
		return c.signedTrip(class, req, trust.Body{})
	}
	return c.signedTrip(class, req, trust.BufferedBody(body))
}

// roundTrip sends a request as it is.
func (c *Client) roundTrip(class Class, req *http.Request) (*http.Response, error) {
	if c.ctx.Err() != nil {
		return nil, &UnreachableError{URL: req.URL.String(), Cause: errClosed}
	}
	// A map from before a switch to or from HTTPS says otherwise.
	if req.URL.Scheme = "http"; c.tls.Load() != nil {
		req.URL.Scheme = "https"
	}
	ctx, cancel := context.WithCancel(req.Context())
	stop := context.AfterFunc(c.ctx, cancel) // Close breaks calls off
	res, err := c.transports[class].RoundTrip(req.WithContext(ctx))
	if err != nil {
		stop()
		cancel()
		return nil, &UnreachableError{URL: req.URL.String(), Cause: err}
	}
	res.Body = &callBody{ReadCloser: res.Body, stop: stop, cancel: cancel}
	return res, nil
}

// callBody frees what belongs to a call when its answer is closed.
type callBody struct {
	io.ReadCloser
	stop   func() bool
	cancel context.CancelFunc
}

// Close implements io.Closer.
func (b *callBody) Close() error {
	err := b.ReadCloser.Close()
	b.stop()
	b.cancel()
	return err
}

// readAnswer reads a bounded answer and closes it; a status of 300 or more is
// an error.
func (c *Client) readAnswer(res *http.Response) ([]byte, error) {
	limit := c.opts.MaxAnswer
	var buf bytes.Buffer
	if res.ContentLength > 0 {
		buf.Grow(int(min(res.ContentLength, limit, 1<<20)) + bytes.MinRead)
	}
	read, err := buf.ReadFrom(io.LimitReader(res.Body, limit+1))
	if closeErr := res.Body.Close(); err == nil {
		err = closeErr
	}
	url := res.Request.URL.String()
	switch {
	case err != nil:
		return nil, &UnreachableError{URL: url, Cause: err}
	case read > limit:
		return nil, fmt.Errorf("answer of %s is longer than %d bytes", url, limit)
	case res.StatusCode >= http.StatusMultipleChoices:
		return nil, DecodeError(res, buf.Bytes())
	}
	return buf.Bytes(), nil
}

// DecodeError makes an error of a node's failed answer: its JSON error, its
// header in place of a body (HEAD), or, failing that, its status and text.
func DecodeError(res *http.Response, body []byte) *apierr.Error {
	if len(body) == 0 {
		body = []byte(res.Header.Get(wire.HeaderError))
	}
	var e wire.ErrorBody
	if json.Unmarshal(body, &e) == nil && e.Status >= http.StatusBadRequest {
		err := apierr.New(e.Status, e.TypeCode, "%s", e.Message)
		err.RetryAfter = retryAfter(res)
		return err
	}
	text := string(bytes.TrimSpace(body[:min(len(body), 1024)]))
	if text == "" {
		text = http.StatusText(res.StatusCode)
	}
	err := apierr.New(res.StatusCode, "", "%s: status %d: %s", res.Request.URL.Redacted(), res.StatusCode, text)
	err.RetryAfter = retryAfter(res)
	return err
}

func retryAfter(res *http.Response) time.Duration {
	seconds, err := time.ParseDuration(res.Header.Get(wire.HeaderRetryAfter) + "s")
	if err != nil || seconds < 0 {
		return 0
	}
	return seconds
}

// errClosed is the cause of calls after Close.
var errClosed = errors.New("client is closed")

// UnreachableError is a call that got no answer: the node may or may not have
// seen the request.
type UnreachableError struct {
	URL   string
	Cause error
}

// Error implements error.
func (e *UnreachableError) Error() string { return "call " + e.URL + ": " + e.Cause.Error() }

// Unwrap returns the cause.
func (e *UnreachableError) Unwrap() error { return e.Cause }
