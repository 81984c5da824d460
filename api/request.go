package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aistore-go/aistore/cmn/wire"
)

// maxControlBody is the size of the largest answer of a control call, in bytes.
const maxControlBody = 512 << 20

// request is one call, before it is known where it goes and how often.
type request struct {
	method     string
	path       string // decoded: "/v1/objects/bucket/name"
	query      string // encoded
	header     http.Header
	body       []byte     // of a control call, nil for none
	payload    Payload    // of an upload, nil for none
	repeatable bool       // sending it twice does no harm
	object     *objectRef // of an object request: may go straight to the owner

	interrupted bool // an earlier attempt broke off and may have been executed
}

// objectRef names the object that decides the owner.
type objectRef struct {
	bck  wire.Bck
	name string
}

// do sends a request until it is answered with success, and returns the
// response; the caller closes its body. Redirects are followed with method and
// body. A status of 400 or above is an *Error.
func (c *Client) do(ctx context.Context, req *request) (*http.Response, error) {
	for attempt := 1; ; attempt++ {
		resp, err := c.attempt(ctx, req)
		if err == nil {
			return resp, nil
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("%s %s: %w", req.method, req.path, context.Cause(ctx))
		}
		delay, again := c.retryDelay(req, err, attempt)
		if !again {
			return nil, err
		}
		if err := sleep(ctx, delay); err != nil {
			return nil, fmt.Errorf("%s %s: %w", req.method, req.path, err)
		}
	}
}

// attempt sends a request once: to the owner if the client places by itself,
// else, or when the owner declines, through a proxy.
func (c *Client) attempt(ctx context.Context, req *request) (*http.Response, error) {
	if req.object != nil && c.options.Direct {
		if resp, err, final := c.attemptDirect(ctx, req); final {
			return resp, err
		}
	}
	return c.follow(ctx, req, c.base.Load())
}

// follow sends a request to a node and goes where it is redirected.
func (c *Client) follow(ctx context.Context, req *request, node *url.URL) (*http.Response, error) {
	target := nodeURL(node, req)
	for hop := 0; hop <= maxRedirects; hop++ {
		resp, err := c.send(ctx, req, target, hop > 0)
		if err != nil {
			return nil, err
		}
		next, err := redirection(resp)
		if err != nil {
			return nil, err
		}
		if next == nil {
			return resp, nil
		}
		// The token is for the cluster; it never leaves TLS for plain text.
		if target.Scheme == "https" && next.Scheme != "https" && c.options.Token != "" {
			return nil, fmt.Errorf("refusing the redirect from %s to %s: it leaves TLS", target.Host, next.Host)
		}
		target = next
	}
	return nil, fmt.Errorf("%s %s: more than %d redirects", req.method, req.path, maxRedirects)
}

// nodeURL is the URL of a request at a node.
func nodeURL(node *url.URL, req *request) *url.URL {
	path := node.Path + req.path
	return &url.URL{Scheme: node.Scheme, Host: node.Host, Path: path, RawPath: escapeName(path), RawQuery: req.query}
}

// redirection returns where a response points to and ends that response, or
// nil if it is no redirect.
func redirection(resp *http.Response) (*url.URL, error) {
	switch resp.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		return nil, nil
	}
	finish(resp)
	location := resp.Header.Get(wire.HeaderLocation)
	if location == "" {
		return nil, fmt.Errorf("redirect (%d) without a location from %s", resp.StatusCode, resp.Request.URL.Host)
	}
	next, err := resp.Request.URL.Parse(location)
	if err != nil {
		return nil, fmt.Errorf("redirect from %s: %w", resp.Request.URL.Host, err)
	}
	if next.Scheme != "http" && next.Scheme != "https" {
		return nil, fmt.Errorf("redirect from %s to the scheme %q", resp.Request.URL.Host, next.Scheme)
	}
	return next, nil
}

// send makes one HTTP exchange. The response is a success or a redirect.
// Redirected tells that the URL comes from a Location: the marker in it stands
// for the token, which stays with the host that it was meant for.
func (c *Client) send(ctx context.Context, req *request, target *url.URL, redirected bool) (*http.Response, error) {
	httpReq := (&http.Request{
		Method: req.method, URL: target, Host: target.Host, Header: http.Header{},
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}).WithContext(ctx)
	for name, values := range req.header {
		httpReq.Header[name] = values
	}
	httpReq.Header[wire.HeaderUserAgent] = []string{c.options.UserAgent}
	if c.options.Token != "" && (!redirected || target.Hostname() == c.base.Load().Hostname()) {
		httpReq.Header["Authorization"] = []string{"Bearer " + c.options.Token}
	}
	if req.repeatable {
		// Present but empty: not sent, and it lets the transport try again when
		// the server closed an idle connection under the request.
		httpReq.Header["X-Idempotency-Key"] = []string{}
	}
	if err := attachBody(httpReq, req); err != nil {
		return nil, err
	}
	resp, err := c.carrier.RoundTrip(httpReq)
	if err != nil {
		return nil, &url.Error{Op: httpMethodTitle(req.method), URL: target.Scheme + "://" + target.Host + target.EscapedPath(), Err: err}
	}
	if resp.Request == nil {
		resp.Request = httpReq
	}
	if resp.StatusCode >= http.StatusBadRequest {
		failed := decodeError(req.method, resp)
		finish(resp)
		return nil, failed
	}
	return resp, nil
}

// attachBody opens the body. From expectFromSize on, and for streams, the
// first answer is awaited before anything is sent: a proxy redirects at once,
// and what it would have been sent would be sent twice.
func attachBody(httpReq *http.Request, req *request) error {
	switch {
	case req.payload != nil:
		size := req.payload.Size()
		if size == 0 {
			httpReq.Body = http.NoBody
			return nil
		}
		body, err := req.payload.Open(httpReq.Context())
		if err != nil {
			return err
		}
		httpReq.Body, httpReq.ContentLength = body, size
		httpReq.GetBody = func() (io.ReadCloser, error) { return req.payload.Open(httpReq.Context()) }
		if size < 0 || size >= expectFromSize {
			httpReq.Header["Expect"] = []string{"100-continue"}
		}
	case req.body != nil:
		httpReq.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(req.body)), nil }
		httpReq.Body, httpReq.ContentLength = io.NopCloser(bytes.NewReader(req.body)), int64(len(req.body))
		httpReq.Header[wire.HeaderContentType] = []string{wire.ContentJSON}
	}
	return nil
}

// httpMethodTitle is the operation of a url.Error: "Get", "Put".
func httpMethodTitle(method string) string { return method[:1] + strings.ToLower(method[1:]) }

// finish reads what is left of a body, if it is little, and closes it, so that
// the connection can be used again.
func finish(resp *http.Response) {
	// A body that cannot be drained only costs its connection.
	_, _ = io.CopyN(io.Discard, resp.Body, maxDrainedAtClose)
	_ = resp.Body.Close()
}

// reply is the whole answer of a control call.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// call makes a control call within the control timeout and reads its answer.
func (c *Client) call(ctx context.Context, req *request) (*reply, error) {
	return c.callUntil(ctx, req, c.options.ControlTimeout, nil)
}

// callUntil is call with a limit for each attempt; a failure for which final
// returns true is not repeated.
func (c *Client) callUntil(ctx context.Context, req *request, limit time.Duration, final func(error) bool) (*reply, error) {
	for attempt := 1; ; attempt++ {
		answer, err := c.callOnce(ctx, req, limit)
		if err == nil {
			return answer, nil
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("%s %s: %w", req.method, req.path, context.Cause(ctx))
		}
		delay, again := c.retryDelay(req, err, attempt)
		if !again || final != nil && final(err) {
			return nil, err
		}
		if kind := classify(err); kind == brokenConnection || kind == timedOut {
			req.interrupted = true
		}
		if err := sleep(ctx, delay); err != nil {
			return nil, fmt.Errorf("%s %s: %w", req.method, req.path, err)
		}
	}
}

func (c *Client) callOnce(ctx context.Context, req *request, limit time.Duration) (*reply, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	resp, err := c.attempt(ctx, req)
	if err != nil {
		return nil, err
	}
	defer finish(resp)
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxControlBody+1))
	if err != nil {
		return nil, fmt.Errorf("reading the answer to %s %s: %w", req.method, req.path, err)
	}
	if len(body) > maxControlBody {
		return nil, fmt.Errorf("the answer to %s %s is longer than %d bytes", req.method, req.path, maxControlBody)
	}
	return &reply{status: resp.StatusCode, header: resp.Header, body: body}, nil
}

// decodes tells the statuses whose body is a value.
func (r *reply) decodes() bool {
	return r.status == http.StatusOK || r.status == http.StatusPartialContent
}

// decodeJSON reads the body into v.
func (r *reply) decodeJSON(v any) error {
	if !r.decodes() {
		return fmt.Errorf("unexpected status %d", r.status)
	}
	if err := json.Unmarshal(r.body, v); err != nil {
		return fmt.Errorf("cannot decode the answer: %w", err)
	}
	return nil
}

// action encodes an action message.
func action(name, object string, value any) ([]byte, error) {
	data, err := json.Marshal(wire.ActMsg{Action: name, Name: object, Value: value})
	if err != nil {
		return nil, fmt.Errorf("encoding the action %q: %w", name, err)
	}
	return data, nil
}

// getJSON makes a GET and decodes its JSON answer into v.
func (c *Client) getJSON(ctx context.Context, path, query string, header http.Header, v any) error {
	answer, err := c.call(ctx, &request{method: http.MethodGet, path: path, query: query, header: header, repeatable: true})
	if err != nil {
		return err
	}
	return answer.decodeJSON(v)
}

// asError is errors.As for *Error.
func asError(err error) (*Error, bool) {
	var e *Error
	ok := errors.As(err, &e)
	return e, ok
}
