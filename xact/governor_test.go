package xact_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/xact"
)

// node is one on which users and jobs compete: what jobs do makes the operations of
// users longer, and users do fewer.
type node struct {
	t        *testing.T
	governor *xact.Governor
	stop     context.CancelFunc
	all      sync.WaitGroup

	rate   atomic.Int64  // operations of users a second while no job works; 0: there are none
	takes  time.Duration // each of them, then
	harm   float64       // by what part of it each permit that is in use makes it longer
	sample xact.LoadSample
	at     time.Time
	used   time.Time // when there were users last
	part   float64   // of an operation

	working atomic.Int64 // pieces under way
	worked  atomic.Int64 // ns, of pieces that have ended
	pieces  atomic.Int64
}

// newNode starts the governor of a node.
func newNode(t *testing.T, rate int64, harm float64) *node {
	n := &node{t: t, takes: time.Millisecond, harm: harm, at: time.Now()}
	n.rate.Store(rate)
	disk := config.DefaultCluster().Disk
	n.governor = xact.NewGovernor(n, func() *config.DiskConf { return &disk })
	var ctx context.Context
	ctx, n.stop = context.WithCancel(t.Context())
	n.all.Go(func() { n.governor.Run(ctx) })
	synctest.Wait()
	return n
}

// Now implements xact.Load.
func (n *node) Now() xact.LoadSample {
	now := time.Now()
	slower := 1 + n.harm*float64(n.working.Load())
	rate := n.rate.Load()
	n.part += float64(rate) * now.Sub(n.at).Seconds() / slower
	n.at = now
	done := int64(n.part)
	n.part -= float64(done)
	n.sample.Served[0].Count += done
	n.sample.Served[0].Time += time.Duration(float64(done) * float64(n.takes) * slower)
	if rate > 0 {
		n.used = now
	}
	n.sample.Users = !n.used.IsZero() && now.Sub(n.used) < 2*time.Second
	return n.sample
}

// job works with some goroutines until the context ends; each piece takes a while.
func (n *node) job(ctx context.Context, goroutines int, begin func(context.Context) (*xact.Piece, error), takes time.Duration) (pieces *atomic.Int64) {
	pieces = &atomic.Int64{}
	for range goroutines {
		n.all.Go(func() {
			for {
				piece, err := begin(ctx)
				if err != nil {
					return
				}
				n.work(takes)
				n.pieces.Add(1)
				pieces.Add(1)
				piece.End(-1)
			}
		})
	}
	return pieces
}

// work does something for a while, which users feel.
func (n *node) work(takes time.Duration) {
	n.working.Add(1)
	time.Sleep(takes)
	n.working.Add(-1)
	n.worked.Add(int64(takes))
}

// end ends the governor, and waits for jobs that have been told to end.
func (n *node) end() {
	n.stop()
	n.all.Wait()
}

// permits is how many goroutines' time jobs have for a while.
func (n *node) permits(d time.Duration) float64 {
	before := n.worked.Load()
	time.Sleep(d)
	return float64(n.worked.Load()-before) / float64(d)
}

// TestShareOfJobs: without users jobs have everything; with users as much as
// they do not feel, at least a little; and everything again when the users have gone.
func TestShareOfJobs(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name        string
		rate        int64
		harm        float64
		load        xact.LoadSample
		least, most float64 // permits that jobs come to have
	}{
		{"no users", 0, 0.5, xact.LoadSample{CPU: 100, Disk: 100}, 15.5, 16.1},
		{"users feel nothing", 500, 0, xact.LoadSample{}, 12, 13},
		{"users feel each permit", 500, 0.05, xact.LoadSample{}, 0.6, 4},
		{"users feel it much", 500, 1, xact.LoadSample{}, 0.07, 0.3},
		{"few users, an idle node", 2, 0.5, xact.LoadSample{}, 12, 13},
		{"few users, a busy node", 2, 0.5, xact.LoadSample{CPU: 99}, 0.07, 0.11},
		{"users feel nothing, a busy disk", 500, 0, xact.LoadSample{Disk: 99}, 1, 3.3},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := newNode(t, tc.rate, tc.harm)
				n.sample = tc.load // before the governor looks
				ctx, cancel := context.WithCancel(t.Context())
				n.job(ctx, 16, n.governor.Begin, 4*time.Millisecond)
				time.Sleep(2 * time.Minute)
				if p := n.permits(30 * time.Second); p < tc.least || p > tc.most {
					t.Errorf("jobs have %.2f permits, want %.2f to %.2f", p, tc.least, tc.most)
				}
				n.rate.Store(0)
				time.Sleep(3 * time.Second)
				if p := n.permits(time.Second); p < 15.5 {
					t.Errorf("when users have gone jobs have %.2f permits of 16", p)
				}
				n.rate.Store(tc.rate)
				time.Sleep(300 * time.Millisecond)
				if p := n.permits(10 * time.Second); tc.rate > 0 && p > 1.5*tc.most {
					t.Errorf("when users have come back jobs have %.2f permits", p)
				}
				cancel()
				n.end()
			})
		})
	}
}

// TestJobsShareOneBudget: however many goroutines and jobs there are, they have
// together what one has; repair comes first, and no job gets nothing.
func TestJobsShareOneBudget(t *testing.T) {
	t.Parallel()
	permits := func(jobs, goroutines int) (all float64) {
		synctest.Test(t, func(t *testing.T) {
			n := newNode(t, 500, 1)
			ctx, cancel := context.WithCancel(t.Context())
			for range jobs {
				n.job(ctx, goroutines, n.governor.Begin, 5*time.Millisecond)
			}
			time.Sleep(10 * time.Second)
			all = n.permits(30 * time.Second)
			cancel()
			n.end()
		})
		return all
	}
	one, many := permits(1, 1), permits(5, 20)
	if many > 1.2*one || one < 0.08 {
		t.Errorf("one goroutine has %.2f permits, five jobs of 20 have %.2f", one, many)
	}
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, 500, 1)
		ctx, cancel := context.WithCancel(t.Context())
		other := n.job(ctx, 20, n.governor.Begin, 5*time.Millisecond)
		repair := n.job(ctx, 2, n.governor.BeginRepair, 5*time.Millisecond)
		time.Sleep(time.Minute)
		if r, o := repair.Load(), other.Load(); r < 2*o || o < 100 {
			t.Errorf("%d pieces of repair, %d others", r, o)
		}
		cancel()
		n.end()
	})
}

// TestUsersAreAloneForAMoment: at the beginning of each second nothing is begun.
func TestUsersAreAloneForAMoment(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, 500, 0)
		ctx, cancel := context.WithCancel(t.Context())
		n.job(ctx, 4, n.governor.Begin, time.Millisecond)
		time.Sleep(10 * time.Second)
		for range 5 {
			now := time.Now()
			time.Sleep(now.Truncate(time.Second).Add(time.Second + 10*time.Millisecond).Sub(now))
			before := n.pieces.Load()
			time.Sleep(180 * time.Millisecond)
			if during := n.pieces.Load() - before; during > 0 {
				t.Errorf("%d pieces in the pause", during)
			}
			time.Sleep(700 * time.Millisecond)
			if n.pieces.Load() == before {
				t.Error("no piece in the rest of the second")
			}
		}
		cancel()
		n.end()
	})
}

// TestWorkOfOtherNodes: two nodes of which each waits for work that the other one
// does for it get on, and what the other one does is not charged here.
func TestWorkOfOtherNodes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := newNode(t, 500, 1), newNode(t, 500, 1)
		ctx, cancel := context.WithCancel(t.Context())
		var done atomic.Int64
		send := func(from, to *node) {
			for {
				piece, err := from.governor.Begin(ctx)
				if err != nil {
					return
				}
				from.work(time.Millisecond)
				resume := piece.Rest()
				there, err := to.governor.Begin(ctx)
				if err != nil {
					return
				}
				to.work(time.Millisecond)
				there.End(-1)
				resume()
				piece.End(-1)
				done.Add(1)
			}
		}
		for range 8 {
			a.all.Go(func() { send(a, b) })
			b.all.Go(func() { send(b, a) })
		}
		time.Sleep(10 * time.Second)
		before := done.Load()
		time.Sleep(10 * time.Second)
		// Each has a tenth of its time, four fifths of the seconds, for 1 ms here and 1 ms there.
		if n := done.Load() - before; n < 600 || n > 1100 {
			t.Errorf("%d objects in 10 s", n)
		}
		cancel()
		a.end()
		b.end()
	})
}

// TestStopped: who waits for a permit learns that the job has ended, and takes
// nothing from the others.
func TestStopped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, 500, 1)
		stays, cancel := context.WithCancel(t.Context())
		others := n.job(stays, 4, n.governor.Begin, 5*time.Millisecond)
		time.Sleep(10 * time.Second)
		for range 50 {
			ctx, leave := context.WithTimeout(stays, 20*time.Millisecond)
			if piece, err := n.governor.Begin(ctx); err == nil {
				piece.End(0)
			}
			leave()
		}
		before := others.Load()
		time.Sleep(10 * time.Second)
		if got := others.Load() - before; got < 100 {
			t.Errorf("%d pieces in 10 s", got)
		}
		cancel()
		n.end()
		synctest.Wait()
		if n.working.Load() != 0 {
			t.Error("something goes on")
		}
	})
	var none *xact.Governor
	piece, err := none.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	piece.Rest()()
	piece.End(1)
}
