package metrics

import (
	"math"
	"testing"
)

func TestSlot(t *testing.T) {
	t.Parallel()
	tests := []struct {
		nanos int64
		want  int
	}{
		{0, 0}, {1, 0}, {25_000, 0}, {25_001, 1}, {50_000, 1}, {50_001, 2}, {100_000, 2}, {100_001, 3}, {200_000, 3},
		{25_000 << 21, 21}, {25_000<<21 + 1, 22}, {math.MaxInt64, 22},
	}
	for _, tt := range tests {
		if have := slot(tt.nanos); have != tt.want {
			t.Errorf("%d: have %d, want %d", tt.nanos, have, tt.want)
		}
	}
}

func TestHistogramIsCumulative(t *testing.T) {
	t.Parallel()
	var h histogram
	for _, nanos := range []int64{1, 30_000, 60_000, math.MaxInt32 * 1000} {
		h.observe(nanos)
	}
	buckets, count, sum := h.snapshot()
	if len(buckets) != numBounds || count != 4 || buckets[0.000025] != 1 || buckets[0.00005] != 2 || buckets[0.0001] != 3 || buckets[52.4288] != 3 || sum < 2147 {
		t.Fatalf("have %v, %d, %v", buckets, count, sum)
	}
}
