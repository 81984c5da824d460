package load

import (
	"bytes"
	"errors"
	"fmt"
)

// StatusError is an answer that is no success.
type StatusError struct {
	Method, Addr, Path string
	Status             int
	Message            string // the beginning of the body
}

// Error names the request and what the server says.
func (e *StatusError) Error() string {
	if e.Message == "" {
		return fmt.Sprintf("%s %s%s: status %d", e.Method, e.Addr, e.Path, e.Status)
	}
	return fmt.Sprintf("%s %s%s: status %d: %s", e.Method, e.Addr, e.Path, e.Status, e.Message)
}

// StatusOf is the status of an answer that was no success, 0 for other errors.
func StatusOf(err error) int {
	var e *StatusError
	if errors.As(err, &e) {
		return e.Status
	}
	return 0
}

// Client has one connection to each server that it has spoken to. It is not
// safe for concurrent use: each worker has its own.
type Client struct {
	options *Options
	secure  bool
	plain   map[string]*Conn
	tls     map[string]*Conn
	second  Request

	// Hops are the timings of the last request, first that of the server that
	// was asked, then that of the one it redirected to.
	Hops [2]Timing
}

// NewClient returns a client that makes connections when they are needed.
func NewClient(options *Options) *Client {
	return &Client{options: options, secure: options.TLS != nil, plain: map[string]*Conn{}, tls: map[string]*Conn{}}
}

// Close closes all connections.
func (c *Client) Close() {
	for _, conns := range []map[string]*Conn{c.plain, c.tls} {
		for _, conn := range conns {
			_ = conn.Close() // nothing is in flight
		}
	}
}

// Do executes a request and follows one redirect. An answer of 400 and above,
// or of a second redirect, is a StatusError.
func (c *Client) Do(r *Request) (Response, error) {
	first := c.conn(r.Addr, c.secure)
	resp, err := first.Do(r)
	c.Hops[0], c.Hops[1] = first.Timing, Timing{}
	if err != nil {
		return resp, err
	}
	if resp.Status == 301 || resp.Status == 307 {
		secure, addr, path, ok := splitLocation(resp.Location)
		if !ok {
			return resp, fmt.Errorf("redirect to %q", resp.Location)
		}
		headers, place := c.second.Headers[:0], append(c.second.Path[:0], path...)
		c.second = *r
		c.second.Path, c.second.Headers, c.second.Gateway = place, append(headers, r.Headers...), false
		conns := c.plain
		if secure {
			conns = c.tls
		}
		conn := conns[string(addr)]
		if conn == nil {
			conn = c.conn(string(addr), secure)
		}
		resp, err = conn.Do(&c.second)
		c.Hops[1], resp.Redirected = conn.Timing, true
		if err != nil {
			return resp, err
		}
	} else if r.Gateway && r.size() > probed && resp.Status < 300 {
		return resp, fmt.Errorf("%s %s%s: the server took an empty body instead of redirecting", r.Method, r.Addr, r.Path)
	}
	if resp.Status >= 300 {
		message := bytes.TrimSpace(resp.Body[:min(len(resp.Body), 300)])
		return resp, &StatusError{Method: r.Method, Addr: r.Addr, Path: string(r.Path), Status: resp.Status, Message: string(message)}
	}
	return resp, nil
}

func (c *Client) conn(addr string, secure bool) *Conn {
	conns := c.plain
	if secure {
		conns = c.tls
	}
	conn := conns[addr]
	if conn == nil {
		conn = NewConn(addr, secure, c.options)
		conns[addr] = conn
	}
	return conn
}

func splitLocation(location []byte) (secure bool, addr, path []byte, ok bool) {
	rest, ok := bytes.CutPrefix(location, []byte("http://"))
	if !ok {
		if rest, ok = bytes.CutPrefix(location, []byte("https://")); !ok {
			return false, nil, nil, false
		}
		secure = true
	}
	slash := bytes.IndexByte(rest, '/')
	if slash < 0 {
		return false, nil, nil, false
	}
	return secure, rest[:slash], rest[slash:], true
}
