// Package apierr is the one error type of the project: a message with the
// HTTP status and the type code that a client will see. Packages that know no
// HTTP return it as well; only the listeners turn it into a response.
package apierr

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"syscall"
	"time"

	"github.com/aistore-go/aistore/cmn/wire"
)

// Error is a failure as a client sees it.
type Error struct {
	Status     int           // HTTP status, >= 400
	Code       string        // type code, "" for untyped errors
	Message    string        // names the object, the field, the accepted values
	RetryAfter time.Duration // > 0: sent as Retry-After, in seconds, rounded up
	Stale      bool          // found without asking a majority: the answer is marked as such
	Cause      error         // may be nil; not shown to clients
}

// MarkStale returns an error that was found without asking a majority, if
// stale is true; else the error as it is.
func MarkStale(err error, stale bool) error {
	var e *Error
	if !stale || !errors.As(err, &e) {
		return err
	}
	marked := *e
	marked.Stale = true
	return &marked
}

// IsStale tells an error that was found without asking a majority.
func IsStale(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Stale
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// New returns an error with a status and a type code.
func New(status int, code, format string, args ...any) *Error {
	return &Error{Status: status, Code: code, Message: fmt.Sprintf(format, args...)}
}

// Wrap is New with a cause, whose text is appended to the message.
func Wrap(cause error, status int, code, format string, args ...any) *Error {
	return &Error{Status: status, Code: code, Cause: cause, Message: fmt.Sprintf(format, args...) + ": " + cause.Error()}
}

// BadRequest is an untyped 400; the message names the field and what is accepted.
func BadRequest(format string, args ...any) *Error {
	return New(http.StatusBadRequest, "", format, args...)
}

// NotImplemented is a 501 that says what is not built yet.
func NotImplemented(format string, args ...any) *Error {
	return New(http.StatusNotImplemented, wire.CodeNotImplemented, format, args...)
}

// Unavailable is a 503 that asks the client to come back after the given time.
func Unavailable(retryAfter time.Duration, format string, args ...any) *Error {
	e := New(http.StatusServiceUnavailable, "", format, args...)
	e.RetryAfter = retryAfter
	return e
}

// BucketNotFound is the 404 of a missing bucket.
func BucketNotFound(b wire.Bck) *Error {
	switch {
	case b.IsCloud():
		return New(http.StatusNotFound, wire.CodeRemoteBckNotFound, "%s bucket %q does not exist", b.Provider, b.String())
	case b.Ns.UUID != "":
		return New(http.StatusNotFound, wire.CodeRemoteBckNotFound, "remote bucket %q does not exist", b.String())
	default:
		return New(http.StatusNotFound, wire.CodeBckNotFound, "bucket %q does not exist", b.String())
	}
}

// BucketExists is the 409 of a bucket that is there already.
func BucketExists(b wire.Bck) *Error {
	return New(http.StatusConflict, wire.CodeBucketExists, "bucket %q already exists", b.String())
}

// ObjectNotFound is the 404 of a missing object; cname is its canonical name.
func ObjectNotFound(cname string) *Error {
	return New(http.StatusNotFound, wire.CodeNotFound, "%s does not exist", cname)
}

// InvalidObjectName is the 400 of a name that cannot be an object's.
func InvalidObjectName(name, reason string) *Error {
	return New(http.StatusBadRequest, wire.CodeInvalidPath, "invalid object name %q: %s", name, reason)
}

// BadChecksum is the 500 of content that is not what its checksum says.
func BadChecksum(kind, expected, computed, what string) *Error {
	return New(http.StatusInternalServerError, wire.CodeBadChecksum, "BAD DATA CHECKSUM: %s(%s != %s), %s", kind, expected, computed, what)
}

// StatusOf returns the HTTP status of an error: 200 for nil, that of an
// *Error anywhere in the chain, else one derived from well-known causes.
func StatusOf(err error) int {
	var e *Error
	var errno syscall.Errno
	switch {
	case err == nil:
		return http.StatusOK
	case errors.As(err, &e):
		return e.Status
	case errors.Is(err, fs.ErrNotExist):
		return http.StatusNotFound
	case errors.Is(err, context.DeadlineExceeded):
		return http.StatusServiceUnavailable
	case errors.As(err, &errno):
		if errno == syscall.ENOSPC || errno == syscall.EDQUOT {
			return http.StatusInsufficientStorage
		}
		return http.StatusInternalServerError
	default:
		return http.StatusBadRequest
	}
}

// CodeOf returns the type code of an error, "" if it has none.
func CodeOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// IsNotFound tells a 404.
func IsNotFound(err error) bool { return err != nil && StatusOf(err) == http.StatusNotFound }
