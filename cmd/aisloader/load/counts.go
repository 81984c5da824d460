package load

import (
	"sync"
	"time"
)

// Kinds is how many kinds of operations are told apart.
const Kinds = 8

// Counts are those of one kind of operations. Latency is that of single
// operations, redirects included.
type Counts struct {
	Operations int64
	Errors     int64
	Bytes      int64 // of bodies, sent and received
	Latency    Histogram

	Traced int64     // operations whose times were measured
	Hops   [2]Timing // sums of them: the server that was asked, and the one it redirected to
}

// Add adds other counts.
func (c *Counts) Add(o *Counts) {
	c.Operations += o.Operations
	c.Errors += o.Errors
	c.Bytes += o.Bytes
	c.Latency.Merge(&o.Latency)
	c.Traced += o.Traced
	for i := range c.Hops {
		c.Hops[i].add(&o.Hops[i])
	}
}

// Result is what a run did.
type Result struct {
	Counts                   // of all kinds together
	Kinds      [Kinds]Counts // by kind
	Elapsed    time.Duration
	FirstError error

	Pending [Kinds]int // operations under way, by kind
	Queued  int64      // operations of a run with a rate that are due and have not begun
}

// ledger holds what one worker has counted since it was last collected. Its
// lock is the worker's alone but for the moments of collection.
type ledger struct {
	mu         sync.Mutex
	kinds      [Kinds]*Counts // nil until there is something to count
	used       [Kinds]bool
	firstError error
	_          [64]byte // ledgers are written by different cores
}

func (l *ledger) count(kind int, latency time.Duration, n int64, hops *[2]Timing, err error) {
	l.mu.Lock()
	c := l.kinds[kind]
	if c == nil {
		c = &Counts{}
		l.kinds[kind] = c
	}
	l.used[kind] = true
	if err != nil {
		c.Errors++
		if l.firstError == nil {
			l.firstError = err
		}
	} else {
		c.Operations++
		c.Bytes += n
		c.Latency.Add(latency)
		if hops != nil {
			c.Traced++
			for i := range c.Hops {
				c.Hops[i].add(&hops[i])
			}
		}
	}
	l.mu.Unlock()
}

// collect moves what was counted into a result.
func (l *ledger) collect(into *Result) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for kind := range l.kinds {
		if l.used[kind] {
			into.Kinds[kind].Add(l.kinds[kind])
			into.Add(l.kinds[kind])
			*l.kinds[kind] = Counts{}
			l.used[kind] = false
		}
	}
	if into.FirstError == nil {
		into.FirstError = l.firstError
	}
}
