package core

import (
	"context"
	"errors"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/fs"
)

// To evict is to remove what this target keeps of an object for the sake of its
// space: the copy of what a remote backend holds, or, if the bucket has opted in
// (property lru.enabled), the object itself. Nothing is removed that was read or
// changed since it was chosen.

// Evictable is an object that was chosen to be evicted.
type Evictable struct {
	Key       Key
	Stamp     Stamp // of its generation
	Atime     int64 // last access, ns
	Size      int64 // bytes
	Mountpath *fs.Mountpath

	digest uint64
	chosen int64 // ns: when
}

// Kept is why an object that was chosen was not evicted.
type Kept string

// Reasons.
const (
	KeptNot       Kept = ""                // it was evicted
	KeptGone      Kept = "gone"            // there is none any more
	KeptChanged   Kept = "changed"         // it was written since, or its metadata
	KeptAccessed  Kept = "accessed"        // it was read since
	KeptOnlyCopy  Kept = "only-copy"       // the backend is not known to hold it
	KeptVersions  Kept = "versions"        // older versions would come to light
	KeptProtected Kept = "erasure-coded"   // other targets hold parts of it
	KeptDamaged   Kept = "damaged"         // that is for repair to decide
	KeptUnsettled Kept = "owner-unsettled" // another target may hold an older one, which would come to light
	KeptNotOwner  Kept = "not-owner"       // it belongs to another target
)

// MayEvict tells whether objects of a bucket may be evicted: the backend has
// them, or the bucket has opted in. Without force a remote bucket must have
// lru.enabled, too. A bucket that does not permit DELETE keeps its objects.
func MayEvict(entry meta.BucketEntry, force bool) bool {
	p := entry.Props
	if !p.Access.Allows(meta.AccessDeleteObject) {
		return false
	}
	return p.LRU.Enabled || force && p.IsRemote(entry.Bck)
}

// Evict evicts an object if it is the one that was chosen and nobody has used it
// since; else it tells why not, which is no error. The removal is as durable as a
// DELETE, and needs no space.
//
// Errors: 400 the bucket's only copies are not to be evicted, or a bad name; 404 no such
// bucket; 500 I/O; 503 the mountpath is busy, or this target may not write.
func (s *Store) Evict(ctx context.Context, c *Evictable) (Kept, error) {
	o, err := s.resolve(c.Key)
	if err != nil {
		return KeptNot, err
	}
	if !o.Props.LRU.Enabled && !o.Props.IsRemote(o.Bck) {
		return KeptNot, apierr.BadRequest("bucket %s: the cluster holds the only copy of its objects, and its property lru.enabled is false", o.Bck)
	}
	if peers := s.options.Ports.Peers; peers != nil {
		if _, settled := peers.Placement(o.digest); !settled {
			return KeptUnsettled, nil
		}
	}
	if err := s.lock(ctx, &o, true); err != nil {
		return KeptNot, err
	}
	defer s.unlock(&o, true)
	ticket, err := s.begin(&o)
	if errors.Is(err, ErrNotOwner) {
		return KeptNotOwner, nil
	}
	if err != nil {
		return KeptNot, err
	}
	kept, err := s.evictLocked(ctx, &o, c)
	if over := s.end(ticket); over != nil {
		return KeptNot, over
	}
	return kept, err
}

// evictLocked is Evict under the exclusive lock and under the guard.
func (s *Store) evictLocked(ctx context.Context, o *object, c *Evictable) (Kept, error) {
	now, err := s.current(o)
	if err != nil {
		return KeptNot, err
	}
	newest := now.newest()
	if kept := now.whyKept(o, newest, c); kept != KeptNot {
		return kept, nil
	}
	holder, at := now.newestHolder(o)
	var info fs.FileInfo
	err = s.withSlot(at.mp, o.mp, func() (err error) {
		info, err = s.system.Stat(holder.path)
		return at.mp.IOError("stat "+holder.path, err)
	})
	if err != nil {
		return KeptNot, err
	}
	if s.access.get(o.digest, effectiveAtime(newest.atime, &info)) > c.Atime {
		return KeptAccessed, nil
	}
	former, err := s.noncurrentOf(o, newest)
	if err != nil {
		return KeptNot, err
	}
	if len(former) > 0 {
		return KeptVersions, nil
	}
	return KeptNot, s.deleteLocked(ctx, o, newest.written())
}

// whyKept tells by the records why an object is not to be evicted.
func (e *existing) whyKept(o *object, newest *record, c *Evictable) Kept {
	damaged := e.damaged != ""
	for i := range e.others {
		damaged = damaged || e.others[i].damaged != ""
	}
	remote := o.Props.IsRemote(o.Bck)
	switch {
	case damaged:
		return KeptDamaged
	case newest == nil || newest.kind.IsDeleted():
		return KeptGone
	case newest.stamp != c.Stamp, newest.revision.changedSince(c.chosen):
		return KeptChanged
	case remote && !newest.fromBackend():
		return KeptOnlyCopy
	case o.Props.EC.Enabled:
		return KeptProtected
	}
	return KeptNot
}

// changedSince tells whether a stamp was made at a moment, in nanoseconds, or
// later, as exactly as its clock says.
func (s Stamp) changedSince(ns int64) bool { return !s.IsZero() && int64(s.Clock>>16) >= ns/1e6 }

// fromBackend tells that a backend is known to hold what the record describes.
func (r *record) fromBackend() bool {
	for i := range r.custom {
		if r.custom[i].Key == CustomSource {
			return r.custom[i].Value != ""
		}
	}
	return false
}
