package fs

import (
	"testing"
	"time"
)

// simulate runs rounds on a disk and returns how many of the last hundred
// flushed the whole filesystem.
func simulate(c *flushCost, things int, whole time.Duration, singles func(things int) time.Duration) (wholes int) {
	const rounds = 4 * retryEach
	for i := range rounds {
		if c.prefersWhole(things) {
			c.tookWhole(whole)
			if i >= rounds-100 {
				wholes++
			}
		} else {
			c.tookSingles(things, singles(things))
		}
	}
	return wholes
}

func TestTheCheaperFlushIsChosen(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	together := func(one time.Duration) func(int) time.Duration {
		return func(things int) time.Duration { return one * time.Duration(waves(things)) }
	}
	serial := func(one time.Duration) func(int) time.Duration {
		return func(things int) time.Duration { return one * time.Duration(things) }
	}
	for _, tc := range []struct {
		name     string
		things   int
		whole    time.Duration
		singles  func(int) time.Duration
		min, max int // rounds of a hundred that flush the whole filesystem
	}{
		{"a disk that turns", 32, 4 * ms, serial(4 * ms), 100, 100},
		{"flushes share the disk's", 32, 4 * ms, together(4 * ms), 95, 100},
		{"others write much on the filesystem", 32, 900 * ms, serial(ms), 0, 5},
		{"a quick disk with a slow flush of everything", 64, 20 * ms, together(ms), 0, 5},
		{"few", 8, 4 * ms, serial(ms / 10), 0, 5},
	} {
		var c flushCost
		for range 10 {
			c.tookSingles(2, tc.singles(2))
		}
		if n := simulate(&c, tc.things, tc.whole, tc.singles); n < tc.min || n > tc.max {
			t.Errorf("%s: %d of 100 rounds flush the whole filesystem, want %d to %d", tc.name, n, tc.min, tc.max)
		}
	}
	// What others write comes and goes.
	var c flushCost
	c.tookSingles(2, 2*ms)
	simulate(&c, 16, 900*ms, serial(ms))
	if n := simulate(&c, 16, 2*ms, serial(ms)); n < 95 {
		t.Errorf("%d of 100 rounds flush the whole filesystem, which has become cheap", n)
	}
}
