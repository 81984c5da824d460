package metrics

import (
	"math/bits"
	"sync/atomic"
)

const (
	// firstBound is the upper bound of the first bucket in nanoseconds; each
	// next bound is twice as large, the last one 52 seconds.
	firstBound = 25_000
	numBounds  = 22
)

// histogram counts times in buckets whose bounds double. The last bucket has
// no bound.
type histogram struct {
	counts [numBounds + 1]atomic.Uint64
	sum    atomic.Int64 // nanoseconds
}

func (h *histogram) observe(nanos int64) {
	h.counts[slot(nanos)].Add(1)
	h.sum.Add(nanos)
}

// slot is the first bucket whose bound is not below nanos.
func slot(nanos int64) int {
	if nanos <= firstBound {
		return 0
	}
	return min(bits.Len64(uint64(nanos-1)/firstBound), numBounds)
}

// snapshot returns cumulative counts by bound in seconds, the number of
// observations and their sum in seconds.
func (h *histogram) snapshot() (buckets map[float64]uint64, count uint64, sum float64) {
	buckets = make(map[float64]uint64, numBounds)
	for i := range numBounds {
		count += h.counts[i].Load()
		buckets[float64(int64(firstBound)<<i)/1e9] = count
	}
	count += h.counts[numBounds].Load()
	return buckets, count, float64(h.sum.Load()) / 1e9
}
