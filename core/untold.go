package core

import (
	"sync"
	"sync/atomic"
)

// maxUntold bounds the names that are remembered, about half a megabyte. It is
// one for each write that takes effect while earlier owners do not answer.
const maxUntold = 1 << 14

// untold are the names whose last write took effect here and of which earlier
// owners may not know yet: telling them is under way, or has failed. A client
// that sends the same again finds its write done; it is acknowledged only when
// they were told after all. With more names than it has room for it holds all
// of them, until the placement is settled.
type untold struct {
	limit int
	any   atomic.Bool // something is held: what most writes look at

	mu    sync.Mutex
	names map[uint64]uint64 // digest of the unique name: placement epoch
	full  bool              // there was one too many
	epoch uint64            // the newest
}

// add holds a name from now on. It must be called before the write can be seen.
func (u *untold) add(digest, epoch uint64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.epoch = max(u.epoch, epoch)
	u.any.Store(true)
	before, held := u.names[digest]
	switch {
	case !held && len(u.names) >= u.limit:
		u.full = true
		return
	case u.names == nil:
		u.names = make(map[uint64]uint64)
	}
	u.names[digest] = max(before, epoch)
}

// has tells whether a name is held.
func (u *untold) has(digest uint64) bool {
	if !u.any.Load() {
		return false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	_, held := u.names[digest]
	return held || u.full
}

// remove takes a name out whose earlier owners under a placement were told.
func (u *untold) remove(digest, epoch uint64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if at, held := u.names[digest]; held && at <= epoch {
		delete(u.names, digest)
		u.any.Store(len(u.names) > 0 || u.full)
	}
}

// settled forgets everything if the placement of an epoch, or an older one, was
// the last that anything was held for: nobody has anything older any more.
func (u *untold) settled(epoch uint64) {
	if !u.any.Load() {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.epoch <= epoch {
		u.names, u.full = nil, false
		u.any.Store(false)
	}
}

// isOwn tells whether a generation is one that this process has committed. It
// goes by the clock, as far as that may be trusted: after it was set back, one of
// the process before may count as one of this.
func (s *Store) isOwn(written Stamp) bool {
	return written.Node == s.node && int64(written.Clock>>16) >= s.started/1e6 && written.Clock <= s.clock.last.Load()
}

// unsure tells whether earlier owners may not know of what is here of a name:
// telling them has failed or goes on, or the process that committed it has
// ended, and nobody knows whether it came to that.
func (s *Store) unsure(digest uint64, written Stamp) bool {
	return s.untold.has(digest) || !written.IsZero() && !s.isOwn(written)
}

// undecided tells whether the next write of a name, here without asking anybody,
// has to be told to earlier owners: what is here is of an earlier placement, or
// they may not know of it.
func (s *Store) undecided(digest uint64, written Stamp, epoch uint64) bool {
	return written.IsZero() || written.Epoch < epoch || s.unsure(digest, written)
}

// Untold tells whether earlier owners of a name may hold something since they
// were not told, as far as is known, of what this target holds of it with a
// stamp.
func (s *Store) Untold(key Key, stamp Stamp) bool {
	o, err := s.resolve(key)
	return err == nil && s.unsure(o.digest, stamp)
}
