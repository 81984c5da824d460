package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aistore-go/aistore/cmn/wire"
)

// maxErrorBody is how much of an error's body is read, in bytes.
const maxErrorBody = 64 << 10

// Error is a failure reported by the cluster. The embedded body is the JSON
// error as received: type code, message, status, node. Message is never empty.
type Error struct {
	wire.ErrorBody
	// RetryAfter is what the header Retry-After asks for, 0 without one.
	RetryAfter time.Duration
	// StartingUp tells a 503 without a body: the node or the cluster is not
	// ready yet.
	StartingUp bool
}

// Error returns the message as received.
func (e *Error) Error() string { return e.Message }

// HTTPStatus returns 200 for nil, the HTTP status of an Error anywhere in the
// chain, and -1 for every other failure (refused connection, deadline, ...).
func HTTPStatus(err error) int {
	if err == nil {
		return http.StatusOK
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Status
	}
	return -1
}

// TypeCode returns the type code of an Error, such as wire.CodeBckNotFound;
// "" if it has none.
func TypeCode(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.TypeCode
	}
	return ""
}

// IsNotFound tells that the bucket, object or node does not exist.
func IsNotFound(err error) bool { return HTTPStatus(err) == http.StatusNotFound }

// IsConflict tells that the bucket exists already or that another operation is
// in the way.
func IsConflict(err error) bool { return HTTPStatus(err) == http.StatusConflict }

// IsStartingUp tells a node or cluster that is not ready to serve yet.
func IsStartingUp(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.StartingUp
}

// IsUnreachable tells that no connection could be made.
func IsUnreachable(err error) bool {
	return err != nil && HTTPStatus(err) == -1 && classify(err) == failedToConnect
}

// decodeError turns a response with status 400 or above into an Error. It
// reads the body; the caller closes it.
func decodeError(method string, resp *http.Response) *Error {
	e := &Error{RetryAfter: parseRetryAfter(resp.Header.Get(wire.HeaderRetryAfter))}
	var text string
	if method == http.MethodHead {
		text = resp.Header.Get(wire.HeaderError)
	} else {
		// A body that breaks off still names what happened.
		data, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
		text = strings.TrimSpace(string(data))
	}
	if strings.HasPrefix(text, "{") && json.Unmarshal([]byte(text), &e.ErrorBody) == nil && e.Message != "" {
		if e.Status < http.StatusBadRequest {
			e.Status = resp.StatusCode
		}
		return e
	}
	e.ErrorBody = wire.ErrorBody{Status: resp.StatusCode, Method: method, Message: text}
	if resp.Request != nil && resp.Request.URL != nil {
		e.URLPath = resp.Request.URL.Path
	}
	switch {
	case text != "":
		if code, rest, ok := strings.Cut(text, ": "); ok && isTypeCode(code) {
			e.TypeCode, e.Message = code, rest
		}
	case resp.StatusCode == http.StatusServiceUnavailable:
		e.StartingUp = true
		e.Message = "AIStore is starting up, please try again later"
	default:
		e.Message = fmt.Sprintf("failed to execute %s request: %s", method, http.StatusText(resp.StatusCode))
	}
	return e
}

// isTypeCode tells a word such as "ErrBckNotFound".
func isTypeCode(s string) bool {
	if !strings.HasPrefix(s, "Err") && !strings.HasPrefix(s, "err") || len(s) < 4 {
		return false
	}
	for _, r := range s {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') {
			return false
		}
	}
	return true
}

// parseRetryAfter reads the header's two forms, seconds and a date.
func parseRetryAfter(value string) time.Duration {
	if value == "" {
		return 0
	}
	if seconds, err := strconv.Atoi(value); err == nil && seconds >= 0 {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, time.Until(at))
	}
	return 0
}
