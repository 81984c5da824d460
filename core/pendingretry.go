package core

import (
	"sync"
	"time"
)

// maxRetries bounds the names that a Retries remembers.
const maxRetries = 64 << 10

// Retries says when a worker tries a name again whose pending work has failed: after
// twice as long each time. Without it every name that comes to owe work would have all
// those tried again that have just failed. A name that holds another generation than the one
// that failed is tried at once. A nil Retries delays nothing.
type Retries struct {
	first, longest time.Duration

	mu    sync.Mutex
	names map[retryName]retry
	more  time.Time // when the names that did not fit may be tried again
}

type retryName struct {
	bid  uint64
	name string
}

type retry struct {
	stamp Stamp
	wait  time.Duration
	at    time.Time
}

// NewRetries returns one whose waits are first, twice that, and so on up to longest.
func NewRetries(first, longest time.Duration) *Retries {
	return &Retries{first: first, longest: longest, names: map[retryName]retry{}}
}

func nameOf(p *Pending) retryName { return retryName{p.Props.BID, p.Name} }

// Due tells that a name may be tried.
func (r *Retries) Due(p *Pending, now time.Time) bool {
	if r == nil {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	last, known := r.names[nameOf(p)]
	if !known {
		return len(r.names) < maxRetries || !now.Before(r.more)
	}
	return last.stamp != p.Stamp || !now.Before(last.at)
}

// Failed notes that the work on a name has failed.
func (r *Retries) Failed(p *Pending, now time.Time) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	id := nameOf(p)
	last, known := r.names[id]
	if !known && len(r.names) >= maxRetries {
		if !now.Before(r.more) {
			r.more = now.Add(r.longest)
		}
		return
	}
	wait := r.first
	if known && last.stamp == p.Stamp {
		wait = min(2*last.wait, r.longest)
	}
	r.names[id] = retry{stamp: p.Stamp, wait: wait, at: now.Add(wait)}
}

// Done forgets a name.
func (r *Retries) Done(p *Pending) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.names, nameOf(p))
}

// Next is how long a worker that has gone through all names is to wait: until one is due,
// or for first if it has been due since, and longest at most. Names that were due long ago
// owe nothing any more, and are forgotten.
func (r *Retries) Next(now time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := now.Add(r.longest)
	for id, last := range r.names {
		switch {
		case now.Sub(last.at) > r.longest:
			delete(r.names, id)
		case !last.at.After(now):
			next = now.Add(min(r.first, next.Sub(now)))
		case last.at.Before(next):
			next = last.at
		}
	}
	return next.Sub(now)
}
