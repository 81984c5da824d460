package core

import (
	"context"
	"io"
)

// Ports is what the engine asks of higher floors. Each may be nil: then the
// engine does without.
type Ports struct {
	Copies    Copies
	Slices    Slices
	Remote    Remote
	Peers     Peers
	Placement Placement
}

// Copies keeps further copies of an object on other mountpaths of this target.
//
// Restore puts a whole, verified copy of the object back at its place and
// returns nil; it returns an error with status 404 if there is none. It is
// called without a name lock, after the damaged file went to quarantine, and
// may be called again.
//
// Committed tells that a new generation is on stable storage. It must not
// block and must not fail the write: what it cannot do now it does later.
type Copies interface {
	Restore(ctx context.Context, key Key) error
	Committed(key Key, attrs Attrs)
}

// Slices keeps an object as data and parity slices on other targets. The
// contract of both methods is that of Copies.
type Slices interface {
	Restore(ctx context.Context, key Key) error
	Committed(key Key, attrs Attrs)
}

// Remote is the backend of a remote bucket. Every method is called without a
// name lock. Errors carry the backend's status. As long as no provider is
// built the store refuses writes to remote buckets and never calls it.
type Remote interface {
	// Fetch opens the whole remote object. The caller closes the body.
	Fetch(ctx context.Context, key Key) (body io.ReadCloser, attrs Attrs, err error)
	// Store writes an object through and returns what the backend reports of
	// it (version, custom keys). It reads body to the end exactly once.
	Store(ctx context.Context, key Key, body io.Reader, size int64) (Attrs, error)
	// Remove deletes the remote object; a missing one is a 404.
	Remove(ctx context.Context, key Key) error
}

// Peers reaches the other targets for names whose owner changed.
//
// TakeOver fetches the newest record and content that earlier owners hold
// into this target (through Store.Put) and marks theirs superseded. nil means
// that the local state is now the newest; a 503, that an earlier owner could
// not be asked. It is called under no name lock, on a read that finds nothing
// while Placement says that the name may lie elsewhere.
type Peers interface {
	TakeOver(ctx context.Context, key Key) error
}

// Placement knows whether a name may still lie elsewhere.
//
// Settled returns true if no earlier owner can hold a newer generation of the
// name. It is called on every miss, must not block and must not allocate.
type Placement interface {
	Settled(unameDigest uint64) bool
}
