package load

import (
	"math"
	"math/bits"
	"time"
)

// Each power of two is divided into 32 parts: a value is known to 3 %.
const (
	subBits = 5
	buckets = (64 - subBits) << subBits
)

// Histogram counts durations with a relative error of at most 1/32.
type Histogram struct {
	counts   [buckets]int64
	total    int64
	sum      time.Duration
	min, max time.Duration
}

// Add counts one duration.
func (h *Histogram) Add(d time.Duration) {
	if h.total == 0 || d < h.min {
		h.min = d
	}
	h.max = max(h.max, d)
	h.total++
	h.sum += d
	h.counts[bucketOf(d)]++
}

// Merge adds the counts of another histogram.
func (h *Histogram) Merge(o *Histogram) {
	if o.total == 0 {
		return
	}
	if h.total == 0 || o.min < h.min {
		h.min = o.min
	}
	h.max = max(h.max, o.max)
	h.total += o.total
	h.sum += o.sum
	for i, n := range o.counts {
		h.counts[i] += n
	}
}

// Min, Max and Mean of all durations; 0 if there are none.
func (h *Histogram) Min() time.Duration { return h.min }
func (h *Histogram) Max() time.Duration { return h.max }
func (h *Histogram) Mean() time.Duration {
	if h.total == 0 {
		return 0
	}
	return h.sum / time.Duration(h.total)
}

// Quantile returns a duration that the share q (0 to 1) does not exceed.
func (h *Histogram) Quantile(q float64) time.Duration {
	rank := max(0, int64(math.Ceil(q*float64(h.total)))-1)
	for i, n := range h.counts {
		if rank -= n; rank < 0 {
			return min(upperBound(i), h.max)
		}
	}
	return h.max
}

func bucketOf(d time.Duration) int {
	v := uint64(max(d, 0))
	if v < 1<<subBits {
		return int(v)
	}
	shift := bits.Len64(v) - subBits - 1
	return shift<<subBits + int(v>>shift)
}

func upperBound(i int) time.Duration {
	if i < 1<<(subBits+1) {
		return time.Duration(i)
	}
	shift := i>>subBits - 1
	return time.Duration((uint64(i&(1<<subBits-1)) + 1<<subBits + 1) << shift)
}
