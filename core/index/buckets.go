package index

import (
	"sync"
	"sync/atomic"

	"github.com/aistore-go/aistore/core/journal"
)

// buckets is what an index knows of the buckets as a whole.
type buckets struct {
	unsure atomic.Int64 // names, in all buckets; to skip the lock in the usual case
	mu     sync.RWMutex
	table  map[uint64]*bucketState
}

// bucketState is one bucket. A name that is unsure has to be looked at before
// the bucket can be listed from the index.
type bucketState struct {
	complete bool   // every name is in the index
	doubts   uint64 // how often somebody said that this may not be so
	dropped  bool   // destroyed
	unsure   map[string]*doubt

	unflushed *unflushed // nil: no change that need not be durable since the last checkpoint
}

// doubt is why a name is unsure.
type doubt struct {
	pins     []journal.Pin // of changes whose outcome is not known
	replayed bool          // it is in a segment of an earlier process
}

func (b *buckets) get(bid uint64) *bucketState {
	s := b.table[bid]
	if s == nil {
		s = &bucketState{}
		b.table[bid] = s
	}
	return s
}

func (b *buckets) ready(bid uint64) bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	s := b.table[bid]
	return s != nil && s.complete && !s.dropped && len(s.unsure) == 0
}

func (b *buckets) complete(bid uint64) bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	s := b.table[bid]
	return s != nil && s.complete && !s.dropped
}

func (b *buckets) dropped(bid uint64) bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	s := b.table[bid]
	return s != nil && s.dropped
}

// doubts is how often it was said that names of a bucket may be missing.
func (b *buckets) doubts(bid uint64) uint64 {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if s := b.table[bid]; s != nil {
		return s.doubts
	}
	return 0
}

// incomplete says that names of a bucket may be missing.
func (b *buckets) incomplete(bid uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.get(bid)
	s.complete = false
	s.doubts++
}

func (b *buckets) setComplete(bid uint64, complete bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.get(bid).complete = complete
}

func (b *buckets) doubt(bid uint64, name string, pin journal.Pin, replayed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.get(bid)
	if s.dropped {
		pin.Release()
		return
	}
	if s.unsure == nil {
		s.unsure = make(map[string]*doubt)
	}
	d := s.unsure[name]
	if d == nil {
		d = &doubt{}
		s.unsure[name] = d
		b.unsure.Add(1)
	}
	d.replayed = d.replayed || replayed
	if pin != (journal.Pin{}) {
		d.pins = append(d.pins, pin)
	}
}

// settled ends the doubt about a name; it tells whether it was a replayed one.
func (b *buckets) settled(bid uint64, name string) (replayed bool) {
	if b.unsure.Load() == 0 {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.table[bid]
	if s == nil {
		return false
	}
	d := s.unsure[name]
	if d == nil {
		return false
	}
	delete(s.unsure, name)
	b.unsure.Add(-1)
	for _, pin := range d.pins {
		pin.Release()
	}
	return d.replayed
}

// drop ends a bucket and returns how many replayed names it had.
func (b *buckets) drop(bid uint64) (replayed int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.get(bid)
	for _, d := range s.unsure {
		if d.replayed {
			replayed++
		}
		for _, pin := range d.pins {
			pin.Release()
		}
	}
	b.unsure.Add(-int64(len(s.unsure)))
	s.unsure, s.complete, s.dropped = nil, false, true
	return replayed
}

// some returns up to limit unsure names of a bucket.
func (b *buckets) some(bid uint64, limit int) (names []string) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	s := b.table[bid]
	if s == nil || s.dropped {
		return nil
	}
	for name := range s.unsure {
		if len(names) == limit {
			break
		}
		names = append(names, name)
	}
	return names
}
