package meta

import (
	"context"
	"strconv"
	"sync/atomic"
)

type commandIDKey struct{}

// requestID is what a context carries: the id, and how many commands it has
// led to.
type requestID struct {
	id       string
	commands atomic.Int64
}

// WithCommandID returns a context that carries the id of a request. Commands
// that the request leads to are known by it, so that a request which is
// repeated, because a primary died with it, gets its first result. Each
// attempt at the request begins with a context of its own.
func WithCommandID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, commandIDKey{}, &requestID{id: id})
}

// CommandID returns the id of the request, "" if there is none.
func CommandID(ctx context.Context) string {
	if r, ok := ctx.Value(commandIDKey{}).(*requestID); ok {
		return r.id
	}
	return ""
}

// NextCommandID returns the id of the request's next command: the request's
// own for the first one, with a number for each further one; "" if the
// context carries none. An attempt that does the same steps gets the same ids.
func NextCommandID(ctx context.Context) string {
	r, ok := ctx.Value(commandIDKey{}).(*requestID)
	if !ok || r.id == "" {
		return ""
	}
	if n := r.commands.Add(1); n > 1 {
		return r.id + "." + strconv.FormatInt(n, 10)
	}
	return r.id
}
