package api

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"
)

// What is repeated, up to Options.Attempts times in all:
//
//   - a refused connection, for every request: nothing was done;
//   - a connection reset, a broken pipe, a connection closed before the answer
//     and a timeout of ours, for requests that may be repeated without harm;
//   - 429, for requests with a payload;
//   - 503 with Retry-After, for requests that may be repeated without harm.
//
// The end of the caller's context ends everything.
const (
	controlDelay      = 100 * time.Millisecond // before the second attempt
	controlDelayStep  = 50 * time.Millisecond  // more before each further one
	payloadDelay      = 100 * time.Millisecond // before the second attempt of an upload
	payloadDelayBusy  = 1500 * time.Millisecond
	maxDelay          = 4 * time.Second
	maxRetryAfter     = 10 * time.Second // a server that asks for more is not waited for
	listAttempts      = 3                // of one page after a timeout
	expectTimeout     = 3 * time.Second  // for "100 Continue", then the body is sent anyway
	expectFromSize    = 64 << 10         // bytes of body from which the first answer is awaited
	maxRedirects      = 10
	maxDrainedAtClose = 256 << 10 // bytes of an unread body that are read to keep the connection
)

// failure is what went wrong with a connection.
type failure int

const (
	notAConnectionFailure failure = iota
	failedToConnect               // refused, no route, unknown host: nothing was sent
	brokenConnection              // reset, broken pipe, closed before the answer
	timedOut
)

// classify tells the kind of a transport's error.
func classify(err error) failure {
	var netErr net.Error
	var opErr *net.OpError
	var dnsErr *net.DNSError
	switch {
	case err == nil || errors.Is(err, context.Canceled):
		return notAConnectionFailure
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH),
		errors.As(err, &dnsErr):
		return failedToConnect
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNABORTED),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		// net/http has no exported value for this one.
		strings.Contains(err.Error(), "server closed idle connection"):
		return brokenConnection
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded),
		errors.As(err, &netErr) && netErr.Timeout():
		if errors.As(err, &opErr) && opErr.Op == "dial" {
			return failedToConnect
		}
		return timedOut
	}
	return notAConnectionFailure
}

// retryDelay returns how long to wait before the next attempt; ok is false if
// there must be none. attempt is the number of attempts made so far.
func (c *Client) retryDelay(req *request, err error, attempt int) (delay time.Duration, ok bool) {
	if attempt >= c.options.Attempts {
		return 0, false
	}
	var e *Error
	if errors.As(err, &e) {
		switch {
		case e.Status == http.StatusTooManyRequests && req.payload != nil:
			return max(e.RetryAfter, grow(payloadDelayBusy, attempt)), e.RetryAfter <= maxRetryAfter
		case e.Status == http.StatusServiceUnavailable && req.repeatable && e.RetryAfter > 0:
			return e.RetryAfter, e.RetryAfter <= maxRetryAfter
		}
		return 0, false
	}
	switch classify(err) {
	case failedToConnect:
	case brokenConnection, timedOut:
		if !req.repeatable {
			return 0, false
		}
	default:
		return 0, false
	}
	if req.payload != nil {
		return grow(payloadDelay, attempt), true
	}
	return min(maxDelay, controlDelay+time.Duration(attempt-1)*controlDelayStep), true
}

// grow multiplies a first delay by 1.5 for each attempt after the first.
func grow(first time.Duration, attempt int) time.Duration {
	for ; attempt > 1; attempt-- {
		first += first / 2
	}
	return min(first, maxDelay)
}

// sleep waits, or returns the context's error.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
