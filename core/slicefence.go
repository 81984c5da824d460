package core

import (
	"sync"
	"time"
)

const (
	// fenceTime is how long a mark is remembered for slices that are on their way
	// while it comes: longer than a message between targets can be.
	fenceTime = 2 * time.Minute
	// maxFences bounds the marks that are remembered: some 100 bytes each.
	maxFences = 1 << 16
)

// sliceFences are the marks that came lately. A slice that is older than one of
// its name is refused in the end, also where nothing was held that the mark could
// have replaced: the mark may overtake it on the way, or come while it is taken in.
type sliceFences struct {
	mu    sync.Mutex
	under map[uint64]*sliceFence // by digest of the name: slices are being taken in
	late  map[uint64]lateMark    // by the same
	queue []raisedMark           // the oldest first
}

type sliceFence struct {
	stagings int
	stamp    Stamp
}

type lateMark struct {
	stamp Stamp
	at    time.Time
}

type raisedMark struct {
	digest uint64
	at     time.Time
}

// begin notes that a slice of a name is being taken in. It is followed by end.
func (f *sliceFences) begin(digest uint64) *sliceFence {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.under == nil {
		f.under = make(map[uint64]*sliceFence)
	}
	fence := f.under[digest]
	if fence == nil {
		fence = &sliceFence{stamp: f.late[digest].stamp}
		f.under[digest] = fence
	}
	fence.stagings++
	return fence
}

func (f *sliceFences) end(digest uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fence := f.under[digest]
	if fence.stagings--; fence.stagings == 0 {
		delete(f.under, digest)
	}
}

// raise tells those that are under way, and those that come late, of a stamp that
// what they bring must not be older than.
func (f *sliceFences) raise(digest uint64, stamp Stamp) {
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	if fence := f.under[digest]; fence != nil && fence.stamp.Compare(stamp) < 0 {
		fence.stamp = stamp
	}
	f.forget(now)
	if f.late == nil {
		f.late = make(map[uint64]lateMark)
	}
	if before := f.late[digest].stamp; before.Compare(stamp) > 0 {
		stamp = before
	}
	f.late[digest] = lateMark{stamp, now}
	f.queue = append(f.queue, raisedMark{digest, now})
}

// forget drops what is too old, and the oldest if there is no room for one more.
func (f *sliceFences) forget(now time.Time) {
	for len(f.queue) > 0 && (len(f.queue) >= maxFences || now.Sub(f.queue[0].at) > fenceTime) {
		oldest := f.queue[0]
		f.queue = f.queue[1:]
		if f.late[oldest.digest].at.Equal(oldest.at) {
			delete(f.late, oldest.digest)
		}
	}
}

// refuses tells that something older than a mark is being taken in.
func (f *sliceFences) refuses(fence *sliceFence, stamp Stamp) (newest Stamp, yes bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return fence.stamp, fence.stamp.Compare(stamp) > 0
}
