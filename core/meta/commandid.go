package meta

import "context"

type commandIDKey struct{}

// WithCommandID returns a context that carries the id of a request. Commands
// that the request leads to are known by it, so that a request which is
// repeated, because a primary died with it, gets its first result.
func WithCommandID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, commandIDKey{}, id)
}

// CommandID returns the id of the request, "" if there is none.
func CommandID(ctx context.Context) string {
	id, _ := ctx.Value(commandIDKey{}).(string)
	return id
}
