package fs

import (
	"math"
	"time"
)

// flushCost is what rounds have cost on one filesystem: a flush of all of it,
// and single flushes of what was asked for. Which is cheaper depends on the
// filesystem, on the disk and on what else is written there, so it is measured.
// The rounds of a filesystem run one after the other; only they use it.
type flushCost struct {
	whole average // a flush of the whole filesystem
	wave  average // maxParallelFlushes single flushes or somewhat fewer, together
	each  average // a single flush among few
	turns uint    // decisions
}

// average is a running average that follows changes within some rounds.
type average struct {
	value time.Duration
	count uint
}

const (
	averageOver = 8  // rounds
	exploreEach = 64 // rounds, after which the dearer way is tried again
	exploreMost = 8  // times as dear as the other: it is not tried
	retryEach   = 1024
)

func (a *average) add(d time.Duration) {
	a.count++
	a.value += (d - a.value) / time.Duration(min(a.count, averageOver))
}

// prefersWhole decides for a round of so many files and directories that may be
// made durable either way.
func (c *flushCost) prefersWhole(things int) bool {
	c.turns++
	if c.whole.count == 0 || c.wave.count+c.each.count == 0 {
		return true
	}
	singles := time.Duration(math.MaxInt64)
	if c.wave.count > 0 {
		singles = c.wave.value * time.Duration(waves(things))
	}
	if c.each.count > 0 { // at most: those that run together share something
		singles = min(singles, c.each.value*time.Duration(things))
	}
	whole := c.whole.value <= singles
	switch {
	case c.turns%exploreEach == 0 && max(c.whole.value, singles) < exploreMost*min(c.whole.value, singles):
		return !whole
	case c.turns%retryEach == 0:
		return true // what others write on the filesystem comes and goes
	}
	return whole
}

func (c *flushCost) tookWhole(d time.Duration) {
	c.whole.value = min(c.whole.value, 2*d) // it may have become much cheaper; else the next ones say so
	c.whole.add(d)
}

// tookSingles notes what single flushes of so many files and directories took.
func (c *flushCost) tookSingles(things int, d time.Duration) {
	switch {
	case things >= syncfsMinFiles:
		c.wave.add(d / time.Duration(waves(things)))
	case things > 0:
		c.each.value = max(c.each.value, d/time.Duration(2*things)) // rather too much: what is said of many is a guess
		c.each.add(d / time.Duration(things))
	}
}

// waves is how often single flushes that run together have to be begun.
func waves(things int) int { return (things + maxParallelFlushes - 1) / maxParallelFlushes }
