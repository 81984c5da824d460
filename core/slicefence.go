package core

import "sync"

// sliceFences are the marks that came while a slice of their name was being taken
// in: what is older than the mark is refused in the end, also where nothing was
// held that the mark could have replaced.
type sliceFences struct {
	mu    sync.Mutex
	under map[uint64]*sliceFence // by digest of the name
}

type sliceFence struct {
	stagings int
	stamp    Stamp
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
		fence = new(sliceFence)
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

// raise tells those that are under way of a stamp that what they bring must not
// be older than.
func (f *sliceFences) raise(digest uint64, stamp Stamp) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fence := f.under[digest]; fence != nil && fence.stamp.Compare(stamp) < 0 {
		fence.stamp = stamp
	}
}

// refuses tells that something older than a mark is being taken in.
func (f *sliceFences) refuses(fence *sliceFence, stamp Stamp) (newest Stamp, yes bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return fence.stamp, fence.stamp.Compare(stamp) > 0
}
