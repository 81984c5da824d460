package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/transport/rpc"
)

const (
	// leaderPoll is how often a request that waits for a primary looks again.
	leaderPoll = 100 * time.Millisecond
	// maxPeek is the longest failed answer that is read before it is passed on.
	maxPeek = 64 << 10
	// requestIDLen is the length of the id that the first proxy gives a request.
	requestIDLen = 20
	// passBodyTime bounds an answer that is passed on, from its first byte.
	passBodyTime = 10 * time.Minute
)

// OnPrimary answers a control request by the primary's handler: here, if this
// node is the primary, else the request goes to the primary as it is and its
// answer comes back as it is. The body is buffered, so that the request can
// be tried again when the primary changes meanwhile; h reads it from its
// request, whose context carries the deadline of the whole. If a primary
// dies with the request in its hands, the next one gets it, too, under the
// same id: a change that was made already gets its first answer.
//
// Without a primary in time, or when it is plain that there is no majority to
// make one, the answer is 503 with Retry-After.
func (n *Node) OnPrimary(w http.ResponseWriter, r *http.Request, h Handler) error {
	return n.onPrimary(w, r, n.limits.ControlTimeout, h)
}

// onPrimary is OnPrimary within a time.
func (n *Node) onPrimary(w http.ResponseWriter, r *http.Request, within time.Duration, h Handler) error {
	if forwarded(r) {
		if !n.isPrimary() || n.Stopping() {
			return n.errNotPrimary("cannot answer " + r.Method + " " + r.URL.Path) // the sender looks for the next one
		}
		ctx, cancel := context.WithTimeout(r.Context(), within)
		defer cancel()
		return h(n.tellLagging(w, r), r.WithContext(meta.WithCommandID(ctx, r.Header.Get(wire.HeaderRequestID))))
	}
	if n.Stopping() {
		return apierr.Unavailable(time.Second, "%s is stopping", n.name)
	}
	body, err := readBodyWithin(w, r, n.limits.ControlBody, n.limits.ControlTimeout)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), within)
	defer cancel()
	id := meta.NewID(requestIDLen)
	var last error
	for {
		err := n.tryPrimary(meta.WithCommandID(ctx, id), w, r, body, h)
		if err == nil || !isLeaderChange(err) || sentAny(w) {
			return err
		}
		if cp := n.Control(); cp != nil && cp.Leaderless() {
			e := apierr.Unavailable(5*time.Second, "%s: no primary proxy: no majority of the voters can be reached", n.name)
			e.Cause = err
			return e
		}
		last = err
		select {
		case <-ctx.Done():
			if r.Context().Err() != nil {
				return r.Context().Err()
			}
			e := apierr.Unavailable(5*time.Second, "%s: no primary proxy answered within %v", n.name, within)
			e.Cause = last
			n.logger.Warn("control request without a primary", "method", r.Method, "path", r.URL.Path, "err", last)
			return e
		case <-time.After(leaderPoll):
		}
	}
}

// errNoPrimary is the reason to wait: nobody is known to be the primary, or
// it does not answer.
var errNoPrimary = errors.New("no primary")

// tryPrimary asks whoever is the primary now.
func (n *Node) tryPrimary(ctx context.Context, w http.ResponseWriter, r *http.Request, body []byte, h Handler) error {
	cp := n.Control()
	if cp == nil {
		return errStarting
	}
	if cp.IsPrimary() {
		local := r.WithContext(ctx)
		local.Body, local.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		return h(n.tellLagging(w, r), local)
	}
	smap := cp.View().Smap
	if smap == nil {
		return errStarting
	}
	if smap.Primary == nil || smap.Primary.ID == n.id {
		return errNoPrimary
	}
	err := n.pass(ctx, w, r, smap.Primary, r.URL.EscapedPath(), body, true)
	var unreachable *rpc.UnreachableError
	if errors.As(err, &unreachable) {
		return fmt.Errorf("%w: %w", errNoPrimary, err)
	}
	return err
}

// isLeaderChange tells a failure that another primary, or the same one a
// little later, may not have.
func isLeaderChange(err error) bool {
	switch apierr.CodeOf(err) {
	case wire.CodeNotPrimary,
		wire.CodeUnknownCaller: // this node was taken for dead and is about to join again
		return true
	}
	return errors.Is(err, errNoPrimary)
}

// mayBeLeaderChange tells a status that such an answer has.
func mayBeLeaderChange(status int) bool {
	return status == http.StatusBadRequest || status == http.StatusForbidden || status == http.StatusServiceUnavailable
}

// sentAny tells whether something of the answer is out.
func sentAny(w http.ResponseWriter) bool {
	sw, ok := w.(*writer)
	return ok && sw.sent
}

// pass sends a client's request on to another node's intra-control network
// and passes the answer back as it is. Nothing was sent to the client if the
// error is an *rpc.UnreachableError. With wantPrimary, the answer "not the
// primary" is returned as an error instead of being passed back.
func (n *Node) pass(ctx context.Context, w http.ResponseWriter, r *http.Request, to *meta.Snode, path string, body []byte, wantPrimary bool) error {
	url := to.IntraControl.URL + path
	if r.URL.RawQuery != "" {
		url += "?" + r.URL.RawQuery
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	patience := time.AfterFunc(n.limits.ControlTimeout, cancel)
	defer patience.Stop()

	req, err := http.NewRequestWithContext(ctx, r.Method, url, bytes.NewReader(body))
	if err != nil {
		return apierr.Wrap(err, http.StatusBadRequest, "", "pass the request on to %s", to)
	}
	copyHeaders(req.Header, r.Header)
	req.Header[wire.HeaderCallerPasses] = []string{"true"}
	if id := meta.CommandID(ctx); id != "" {
		req.Header[wire.HeaderRequestID] = []string{id}
	} else {
		delete(req.Header, wire.HeaderRequestID)
	}
	var replaced atomic.Bool
	stop := func() {}
	if wantPrimary {
		stop = n.whenReplaced(to, func() { replaced.Store(true); cancel() })
	}
	res, err := n.rpc.DoBuffered(rpc.Control, req, body)
	stop()
	if err == nil {
		defer func() { _ = res.Body.Close() }() // what counts was read
	}
	switch {
	case replaced.Load():
		return &rpc.UnreachableError{URL: url, Cause: fmt.Errorf("%s is not the primary any more and does not answer", to)}
	case err != nil:
		return err
	}
	patience.Reset(passBodyTime)
	var head []byte
	if wantPrimary && mayBeLeaderChange(res.StatusCode) {
		if head, err = io.ReadAll(io.LimitReader(res.Body, maxPeek)); err != nil {
			return &rpc.UnreachableError{URL: url, Cause: err}
		}
		if e := rpc.DecodeError(res, head); isLeaderChange(e) {
			return e
		}
	}
	copyHeaders(w.Header(), res.Header)
	w.WriteHeader(res.StatusCode)
	if len(head) > 0 {
		if _, err := w.Write(head); err != nil {
			return err
		}
	}
	_, err = io.Copy(w, res.Body)
	return err
}

// whenReplaced calls then once another node has been the primary for a while:
// the one that has the request neither answers nor breaks the connection off,
// as a process does that is stopped or cut off.
func (n *Node) whenReplaced(primary *meta.Snode, then func()) (stop func()) {
	const most = 5 // polls that find another one
	done := make(chan struct{})
	go func() {
		tick := time.NewTicker(leaderPoll)
		defer tick.Stop()
		for found := 0; found < most; {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			found++
			if smap := n.View().Smap; smap == nil || smap.Primary == nil || smap.Primary.ID == primary.ID {
				found = 0
			}
		}
		then()
	}()
	return sync.OnceFunc(func() { close(done) })
}

// copyHeaders copies what belongs to the message and not to the connection,
// and nothing that only nodes may say.
func copyHeaders(dst, src http.Header) {
	for name, values := range src {
		switch name {
		case "Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection",
			"Te", "Trailer", "Transfer-Encoding", "Upgrade", "Expect":
		default:
			if !strings.HasPrefix(name, "Ais-Caller-") {
				dst[name] = values
			}
		}
	}
}
