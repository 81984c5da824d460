package core

import (
	"context"
	"io"
)

// Ports is what the engine asks of higher floors. Each may be nil: then the
// engine does without.
type Ports struct {
	Copies Copies
	Slices Slices
	Remote Remote
	Peers  Peers
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

// Slices keeps an object as data and parity slices, or as replicas, on other
// targets. It is asked for objects of buckets with erasure coding only. The
// contract of Restore and Committed is that of Copies; Restore is also called
// for a name of which nothing is here.
//
// Errors of Restore: 404 it is certain that the object is nowhere; 503 it may be,
// or is, where it cannot be reached now; 500 too little of it is left.
type Slices interface {
	Restore(ctx context.Context, key Key) error
	Committed(key Key, attrs Attrs)

	// Read writes a range of an object to w, from what others hold of the content
	// that attrs tells, in the midst of a read that can go on from nothing else. No
	// byte of another content is written. Errors: those of w; 503 the slices are not
	// those of this content, or cannot be reached; 404, 500 as for Restore.
	Read(ctx context.Context, key Key, attrs *Attrs, off, length int64, w io.Writer) error

	// Replaced has everybody who can be reached give up the generations of a name
	// that are older than a stamp, before the write or the delete that made it is
	// acknowledged. known: this target held what was replaced. It is called under no
	// name lock. newer is the greatest stamp that was found to exceed it, else zero;
	// had: somebody held something older.
	Replaced(ctx context.Context, key Key, stamp Stamp, deleted, known bool) (had bool, newer Stamp, err error)
	// BeginWrite waits for the turn of a write of a name that is acknowledged when its slices
	// are there, or of a deletion. Staging.End ends it. Errors: ErrNotOwner; 503 other writes of the name take their time.
	BeginWrite(ctx context.Context, key Key) (Staging, error)
	// Amended tells them of a change of metadata alone, before it is acknowledged.
	Amended(ctx context.Context, key Key, from Stamp, attrs Attrs) error
	// Protect returns when the loss of this target would lose nothing of a
	// generation.
	Protect(ctx context.Context, key Key, attrs Attrs) error
}

// Staging is the making of slices of a write before its commit. Its methods are called
// one at a time, and no name lock is held.
type Staging interface {
	// Stage returns when all slices or replicas of a generation are staged, on stable storage;
	// after an error none is wanted. content opens what was received, from its start, each time; it may
	// be called by several goroutines. What another call has staged goes. newer is set if
	// somebody holds a generation that exceeds this one. Errors: ErrNotOwner; 503 too few targets can be
	// reached; those of the holders and of content.
	Stage(ctx context.Context, attrs *Attrs, content func() (io.ReadCloser, error)) (newer Stamp, err error)
	// Keep has what was staged committed: the generation is that of the object now. After an
	// error Slices.Protect goes on.
	Keep(ctx context.Context) error
	// End gives the turn to the next write. With drop what was staged is not to become anything.
	End(drop bool)
}

// Remote is the backend of a remote bucket. Every method is called without a
// name lock. Errors carry the backend's status. Since the store refuses writes to
// remote buckets it calls only Fetch, to replace an object that is damaged.
type Remote interface {
	// Fetch opens the whole remote object. The caller closes the body.
	Fetch(ctx context.Context, key Key) (body io.ReadCloser, attrs Attrs, err error)
	// Store writes an object through and returns what the backend reports of
	// it (version, custom keys). It reads body to the end exactly once.
	Store(ctx context.Context, key Key, body io.Reader, size int64) (Attrs, error)
	// Remove deletes the remote object; a missing one is a 404.
	Remove(ctx context.Context, key Key) error
}

// Peers reaches the other targets for names whose owner changes. Its methods are
// called under no name lock; Placement must neither block nor allocate.
type Peers interface {
	// Placement returns the placement epoch, and true if under it no other
	// target can hold anything of a name.
	Placement(unameDigest uint64) (epoch uint64, settled bool)

	// Earlier returns the newest that those hold who owned a name before, if
	// that is newer than here, the stamp of what this target holds (zero:
	// nothing). With all, for a write with conditions, those who have left the
	// cluster are to be asked as well. Errors: 503 somebody cannot be asked.
	Earlier(ctx context.Context, key Key, here Stamp, all bool) (Earlier, error)

	// Supersede has those who owned a name before give up what is older than
	// the stamp of a write, before that is acknowledged. Nobody waits for those
	// who have left the cluster; all is false if there are any. Errors: 503
	// somebody cannot be told; the next write of the name tries it again.
	Supersede(ctx context.Context, key Key, stamp Stamp) (all bool, err error)

	// Gather has those who owned a name before send all generations that they
	// hold of it here, and give them up: all that was sent has arrived, or has
	// been replaced. It does nothing if here, the stamp of what this target
	// holds, is of the placement in force. Nobody waits for those who have left
	// the cluster, unless must is set; all is false if there are any. Errors: 503
	// somebody cannot be asked.
	Gather(ctx context.Context, key Key, here Stamp, must bool) (all bool, err error)

	// HandOver has the owner of a name commit a write that came here when the
	// name was this target's. ErrNotOwner: nothing was done, and either the
	// name is this target's again or its owner is about to change; the same is
	// to be tried again in a moment. Other errors are the operation's.
	HandOver(ctx context.Context, key Key, h *Handover) (Attrs, error)
}

// UsePeers sets the port Peers. It must be called before the first operation.
func (s *Store) UsePeers(p Peers) { s.options.Ports.Peers = p }

// UseSlices sets the port Slices. It must be called before the first operation.
func (s *Store) UseSlices(p Slices) { s.options.Ports.Slices = p }
