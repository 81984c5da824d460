package rpc

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/aistore-go/aistore/cmn/trust"
	"github.com/aistore-go/aistore/cmn/wire"
)

// maxRefusal bounds the answer of a node that does not switch protocols, in bytes.
const maxRefusal = 64 << 10

// Upgrade makes a connection of its own to a node and has it switch to another
// protocol: a POST without a body, signed like any other. The connection is
// the caller's, and not ended by Close. A failure that the node reports is an
// *apierr.Error, one on the way an *UnreachableError.
func (c *Client) Upgrade(ctx context.Context, url, protocol string) (net.Conn, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.opts.CallTimeout)
		defer cancel()
	}
	byIdentity := false
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, http.NoBody)
		if err != nil {
			return nil, &UnreachableError{URL: url, Cause: err}
		}
		req.Header["Connection"] = []string{"Upgrade"}
		req.Header["Upgrade"] = []string{protocol}
		req.Header[wire.HeaderCallerID] = []string{c.opts.NodeID}
		req.Header[wire.HeaderCallerName] = []string{c.opts.NodeName}
		if c.opts.Trust != nil {
			c.sign(req, trust.BufferedBody(nil), byIdentity)
		}
		conn, again, err := c.upgrade(req)
		if !again || byIdentity {
			return conn, err
		}
		byIdentity = true
	}
}

// upgrade makes one attempt; again: the node would take the caller's own
// signature.
func (c *Client) upgrade(req *http.Request) (conn net.Conn, again bool, err error) {
	ctx, url := req.Context(), req.URL.String()
	unreachable := func(cause error) error { return &UnreachableError{URL: url, Cause: cause} }
	if c.ctx.Err() != nil {
		return nil, false, unreachable(errClosed)
	}
	if conn, err = c.dial(ctx, req.URL.Host); err != nil {
		return nil, false, unreachable(err)
	}
	defer func() {
		if err != nil {
			_ = conn.Close() // the first error is the one to report
			conn = nil
		}
	}()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stopClient := context.AfterFunc(c.ctx, cancel)
	defer stopClient()
	broken := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(broken)
		_ = conn.SetDeadline(time.Unix(1, 0)) // fails if it is closed, which is as good
	})
	again, err = c.exchange(conn, req)
	if !stop() {
		<-broken
		return conn, false, unreachable(context.Cause(ctx))
	}
	return conn, again, err
}

// exchange sends the request and reads the answer; without an error the
// protocol is switched.
func (c *Client) exchange(conn net.Conn, req *http.Request) (again bool, err error) {
	unreachable := func(cause error) error { return &UnreachableError{URL: req.URL.String(), Cause: cause} }
	if err := req.Write(conn); err != nil {
		return false, unreachable(err)
	}
	in := bufio.NewReader(conn)
	res, err := http.ReadResponse(in, req)
	if err != nil {
		return false, unreachable(err)
	}
	if res.StatusCode == http.StatusSwitchingProtocols {
		_ = res.Body.Close() // there is none
		if in.Buffered() > 0 {
			return false, unreachable(errors.New("the node speaks before it is spoken to"))
		}
		return false, nil
	}
	again = res.StatusCode == http.StatusForbidden && res.Header.Get(wire.HeaderCallerSig) == SignAsYourself
	body, err := io.ReadAll(io.LimitReader(res.Body, maxRefusal))
	_ = res.Body.Close() // the connection is not used again
	switch {
	case err != nil:
		return again, unreachable(err)
	case res.StatusCode < http.StatusMultipleChoices:
		return false, unreachable(fmt.Errorf("it answers with status %d instead of switching protocols", res.StatusCode))
	}
	return again, DecodeError(res, body)
}

// dial makes a connection to a node, by TLS if that is configured.
func (c *Client) dial(ctx context.Context, address string) (net.Conn, error) {
	dialer := &net.Dialer{Timeout: c.opts.DialTimeout, KeepAlive: 15 * time.Second}
	if c.tls.Load() != nil {
		return c.dialTLS(dialer)(ctx, "tcp", address)
	}
	return dialer.DialContext(ctx, "tcp", address)
}
