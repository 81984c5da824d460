package xact

import (
	"slices"
	"strings"
	"time"

	"github.com/aistore-go/aistore/cmn/wire"
)

// Query selects jobs. What is empty selects all.
type Query struct {
	ID   string   `json:"id,omitempty"` // one, or several joined by commas: the first that is known
	Kind string   `json:"kind,omitempty"`
	Bck  wire.Bck `json:"bck"`
	// Running: true only jobs that run; false only those that do not, if there is a
	// kind and no id.
	Running *bool `json:"running,omitempty"`
}

// Find returns the job with an id, nil if it is not known.
func (r *Registry) Find(id string) *Xaction {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget(time.Now())
	return r.jobs[id]
}

// all are the jobs in the order of their starts, newest first.
func (r *Registry) all() []*Xaction {
	r.mu.Lock()
	r.forget(time.Now())
	all := make([]*Xaction, 0, len(r.jobs))
	for _, x := range r.jobs {
		all = append(all, x)
	}
	r.mu.Unlock()
	slices.SortFunc(all, func(a, b *Xaction) int {
		if c := b.started.Compare(a.started); c != 0 {
			return c
		}
		return strings.Compare(a.spec.ID, b.spec.ID)
	})
	return all
}

// Select returns the jobs that a query selects, newest first.
func (r *Registry) Select(q Query) []*Xaction {
	found := []*Xaction{}
	only := q.Running != nil && *q.Running
	if q.ID != "" {
		for id := range strings.SplitSeq(q.ID, ",") {
			x := r.Find(strings.TrimSpace(id))
			if x != nil && (q.Kind == "" || x.kind.Name == q.Kind) && (!only || x.Running()) {
				return append(found, x)
			}
		}
		return found
	}
	var kinds []string
	for _, x := range r.all() {
		runs := x.Running()
		switch {
		case q.Kind != "" && x.kind.Name != q.Kind, !x.concerns(q.Bck), only && !runs:
		case q.Kind != "" && q.Running != nil && *q.Running != runs:
		case only && q.Kind == "" && slices.Contains(kinds, x.kind.Name): // one of each kind
		default:
			kinds = append(kinds, x.kind.Name)
			found = append(found, x)
		}
	}
	return found
}

// concerns applies a bucket filter: jobs that are not of one bucket pass.
func (x *Xaction) concerns(bck wire.Bck) bool {
	return bck.Name == "" || x.kind.Scope != ScopeBucket || x.spec.Bck == bck
}

// Snaps returns the snapshots of the jobs that a query selects; never nil.
func (r *Registry) Snaps(q Query) []*wire.Snap {
	snaps := []*wire.Snap{}
	for _, x := range r.Select(q) {
		snaps = append(snaps, x.Snap())
	}
	return snaps
}

// forget drops what ended long ago, and the oldest of too many, under the lock.
func (r *Registry) forget(now time.Time) {
	if now.Sub(r.swept) < min(time.Second, r.timing.keepShort/8) {
		return
	}
	r.swept = now
	long := 0
	for _, x := range r.ended {
		if !x.kind.Short {
			long++
		}
	}
	kept := r.ended[:0]
	over := len(r.ended) - maxHistory
	for i, x := range r.ended {
		keep := r.timing.keep
		if x.kind.Short {
			if keep = r.timing.keepShort; long >= maxShort {
				keep = 0
			}
		}
		if i < over || now.Sub(x.Ended()) > keep {
			if r.jobs[x.spec.ID] == x {
				delete(r.jobs, x.spec.ID)
			}
			continue
		}
		kept = append(kept, x)
	}
	clear(r.ended[len(kept):])
	r.ended = kept
}
