package xact

import (
	"context"
	"time"

	"github.com/aistore-go/aistore/cmn/config"
)

// The control loop of a Governor: it lets jobs have more, a little at a time, as
// long as users do not feel it, and takes away a good part of it when they do.
//
// What users feel cannot be told from what they get alone: they may ask for
// more, or for less. So at the beginning of each second by the clock, which is that of
// all nodes, no work of jobs is begun for a moment, and what users get then is
// compared with what they get in the rest of the second. (LEDBAT++, a transport for
// background traffic, measures what a path is without itself in this way.) As all
// nodes pause together, nobody mistakes the work of other nodes for that of users.
const (
	// period is the time from one decision to the next; it begins with the pause.
	period = time.Second
	// step divides it.
	step = 100 * time.Millisecond
	// drainSteps are those in which work that was begun before the pause ends, and
	// quietSteps those after them in which users are alone. The next one belongs to neither.
	drainSteps = 1
	quietSteps = 1
	// forget is the part of what is known of users that is forgotten in a period.
	forget = 1.0 / 8
	// enough is how many operations are to be known, of each kind of time, before
	// anything follows from them.
	enough = 16
	// Users may lose some: jobs get more below littleHarm, and less above tooMuchHarm.
	// Both are times lost in times of what users take alone.
	littleHarm  = 0.06
	tooMuchHarm = 0.12
	// Jobs get growth of what they have more, or growthLeast permits if that is more, and
	// keep shrink of it when there is too much harm.
	growth      = 0.1
	growthLeast = 0.02
	shrink      = 0.6
	// Where users do too little for that, the load decides: with a share of 1 jobs get
	// twice as much, above easyShare more as above, and up to shareHigh less.
	easyShare = 0.5
	// sleepAfter is after what time without work the loop rests.
	sleepAfter = 3 * time.Second
)

// Run looks at users and decides how much jobs may do, until the context ends. While
// there is no work it rests.
func (g *Governor) Run(ctx context.Context) {
	defer g.set(true, false, leastPermits)
	c := &control{permits: leastPermits}
	for {
		select {
		case <-g.wake:
		case <-ctx.Done():
			return
		}
		if !g.watch(ctx, c) {
			return
		}
	}
}

// watch is Run while there is work; false: the context has ended.
func (g *Governor) watch(ctx context.Context, c *control) bool {
	c.begin(g.load.Now())
	g.set(false, false, c.permits) // until it is known that there are no users
	timer := time.NewTimer(untilStep(time.Now()))
	defer timer.Stop()
	for worked := time.Now(); ; {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return false
		}
		now := time.Now()
		timer.Reset(untilStep(now))
		if g.wanted.Swap(false) || g.waits() {
			worked = now
		}
		if now.Sub(worked) >= sleepAfter {
			g.set(true, false, c.permits)
			return true
		}
		free, quiet := c.step(now, g.load.Now(), g.disk())
		g.set(free, quiet, c.permits)
	}
}

// untilStep is the time to the next step by the clock.
func untilStep(now time.Time) time.Duration {
	return now.Truncate(step).Add(step).Sub(now)
}

// waits tells that work waits for its turn.
func (g *Governor) waits() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.queues[ordinary])+len(g.queues[urgent]) > 0
}

// control is the state of the loop. It knows no clock.
type control struct {
	permits float64
	last    LoadSample
	at      time.Time // of last; zero: it has just begun
	ended   int       // the step of the period that has ended last
	alone   seen      // without jobs
	beside  seen      // with them
}

// begin begins after a rest.
func (c *control) begin(s LoadSample) {
	*c = control{permits: c.permits, last: s}
}

// step takes the load at the end of a step. free: there are no users; quiet: nothing
// is begun in the next step.
func (c *control) step(now time.Time, s LoadSample, disk *config.DiskConf) (free, quiet bool) {
	before, elapsed := c.last, now.Sub(c.at)
	if c.at.IsZero() {
		elapsed = 0
	}
	c.last, c.at = s, now
	if !s.Users {
		c.alone, c.beside = seen{}, seen{}
		return true, false
	}
	ended := stepBefore(now)
	if elapsed > 0 && elapsed < 3*step/2 { // else it was late, and is of several kinds
		switch {
		case ended < drainSteps, ended == drainSteps+quietSteps:
		case ended < drainSteps+quietSteps:
			c.alone.add(&before, &s, elapsed)
		default:
			c.beside.add(&before, &s, elapsed)
		}
	}
	if ended < c.ended { // the first one of the next period
		c.decide(share(s, disk))
	}
	c.ended = ended
	return false, (ended+1)%stepsOfPeriod < drainSteps+quietSteps
}

const stepsOfPeriod = int(period / step)

// stepBefore is which step of its period has ended now, or a moment ago.
func stepBefore(now time.Time) int {
	within := now.Add(-step / 2)
	return int(within.Sub(within.Truncate(period)) / step)
}

// decide ends a period.
func (c *control) decide(share float64) {
	harm, known := harm(&c.alone, &c.beside)
	more := c.permits + max(growth*c.permits, growthLeast)
	switch {
	case known && harm > tooMuchHarm, !known && share <= shareHigh:
		c.permits *= shrink
	case known && harm < littleHarm, !known && share > easyShare && share < 1:
		c.permits = more
	case !known && share == 1:
		c.permits = max(more, 2*c.permits)
	}
	c.permits = max(leastPermits, min(c.permits, share*mostPermits))
	c.alone.decay()
	c.beside.decay()
}
