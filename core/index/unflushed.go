package index

import (
	"sync/atomic"

	"github.com/aistore-go/aistore/core/journal"
)

// unflushed is the frame of a bucket whose names change while nobody waits until
// that is on stable storage. After a loss of power the bucket is compared with
// the files, so the frame is kept until the filesystem was flushed after the
// last change under it.
type unflushed struct {
	pin     journal.Pin
	changes atomic.Int64 // under way
}

// markUnflushed makes sure, before such a change, that a loss of power does not
// leave a bucket that is believed. It returns nil if nothing is believed anyway;
// else end follows when the change has taken place.
func (x *Index) markUnflushed(bid uint64) *unflushed {
	if u := x.buckets.unflushedNow(bid); u != nil {
		return u
	}
	x.marking.Lock()
	defer x.marking.Unlock()
	if u := x.buckets.unflushedNow(bid); u != nil {
		return u
	}
	if x.failure.Load() != nil || x.untracked.Load() {
		return nil
	}
	pin, err := x.journal.Append(journal.Unflushed, bid, "")
	if err == nil {
		if err = pin.File().Datasync(); err != nil {
			pin.Release()
		}
	}
	if err != nil {
		x.log.Warn("commit journal cannot be written: after a crash the index is made again", "dir", x.options.JournalDir, "err", err)
		x.untrack()
		return nil
	}
	u := &unflushed{pin: pin}
	u.changes.Store(1)
	x.buckets.setUnflushed(bid, u)
	return u
}

func (u *unflushed) end() {
	if u != nil {
		u.changes.Add(-1)
	}
}

// Unflushed says that something has changed in a bucket, and that it is not
// known whether it is on stable storage.
func (x *Index) Unflushed(bid uint64) { x.markUnflushed(bid).end() }

// flushUnflushed flushes the filesystem if that makes frames superfluous, and
// lets those go. It is called under checkpointing.
func (x *Index) flushUnflushed() error {
	x.superseded = append(x.superseded, x.buckets.takeUnflushed()...)
	var done, kept []*unflushed
	for _, u := range x.superseded {
		if u.changes.Load() == 0 {
			done = append(done, u)
		} else {
			kept = append(kept, u)
		}
	}
	if len(done) == 0 {
		return nil
	}
	if err := syncAll(x.options.System, x.options.JournalDir); err != nil {
		return err
	}
	x.superseded = kept
	for _, u := range done {
		u.pin.Release()
	}
	return nil
}

// unflushedNow returns the frame of a bucket for one more change, nil if there
// is none.
func (b *buckets) unflushedNow(bid uint64) *unflushed {
	b.mu.RLock()
	defer b.mu.RUnlock()
	s := b.table[bid]
	if s == nil || s.unflushed == nil {
		return nil
	}
	s.unflushed.changes.Add(1)
	return s.unflushed
}

func (b *buckets) setUnflushed(bid uint64, u *unflushed) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.get(bid).unflushed = u
}

// takeUnflushed takes the frames of all buckets: from here on no change is added
// to them.
func (b *buckets) takeUnflushed() (all []*unflushed) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.table {
		if s.unflushed != nil {
			all = append(all, s.unflushed)
			s.unflushed = nil
		}
	}
	return all
}
