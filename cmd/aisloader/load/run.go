package load

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// Task executes one operation on a worker and counts it there. It returns
// false when the worker is to stop.
type Task func(ctx context.Context, w *Worker) bool

// Plan is a run: how many workers do what, and when they stop.
type Plan struct {
	Workers    int
	Duration   time.Duration // 0: no limit
	Operations int64         // of all workers together; 0: no limit
	Rate       float64       // operations a second of all workers together; 0: as fast as they can
	Seed       uint64
	Options    Options
	Task       Task

	// Interval is how often Observe gets the counts since its last call; 0:
	// never.
	Interval time.Duration
	Observe  func(*Result)
}

// Worker is one of the clients of a run. Only its own task uses it.
type Worker struct {
	Index   int
	Number  int64 // of the operation among all of the run, from 0
	Random  *rand.Rand
	Client  *Client
	Request Request

	// Start is when the operation was to begin: in a run with a rate the time
	// by its schedule, so that waiting for a slow server counts.
	Start time.Time

	current atomic.Int32 // kind of the operation under way and 1, 0 = none
	ledger  ledger
}

// Begin says which kind of operation is under way, for Result.Pending.
func (w *Worker) Begin(kind int) { w.current.Store(int32(kind) + 1) }

// Count counts an operation that began at Start.
func (w *Worker) Count(kind int, n int64, err error) { w.CountSince(w.Start, kind, n, err) }

// CountSince counts an operation that began at a given time.
func (w *Worker) CountSince(began time.Time, kind int, n int64, err error) {
	var hops *[2]Timing
	if w.Client.options.timed() {
		hops = &w.Client.Hops
	}
	w.ledger.count(kind, time.Since(began), n, hops, err)
}

// Do executes the worker's request and counts it: the bytes that it sent and
// received.
func (w *Worker) Do(kind int) (Response, error) {
	resp, err := w.Client.Do(&w.Request)
	w.Count(kind, resp.Bytes+w.Request.size(), err)
	return resp, err
}

// Run executes a plan. It returns an error only if no operation succeeded;
// single failures are counted.
func Run(ctx context.Context, plan *Plan) (*Result, error) {
	if plan.Duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, plan.Duration)
		defer cancel()
	}
	r := &run{plan: plan, began: time.Now(), total: &Result{}, finished: make(chan struct{})}
	for i := range plan.Workers {
		r.workers = append(r.workers, &Worker{
			Index: i, Random: rand.New(rand.NewPCG(plan.Seed, uint64(i))), Client: NewClient(&plan.Options),
		})
	}
	var wait, observer sync.WaitGroup
	for _, w := range r.workers {
		wait.Go(func() { r.work(ctx, w) })
	}
	if plan.Interval > 0 && plan.Observe != nil {
		observer.Go(r.observe)
	}
	wait.Wait()
	close(r.finished)
	observer.Wait()
	r.collect()
	r.total.Elapsed = time.Since(r.began)
	if r.total.Operations == 0 {
		return r.total, errors.Join(errors.New("no operation succeeded"), r.total.FirstError)
	}
	return r.total, nil
}

type run struct {
	plan     *Plan
	workers  []*Worker
	began    time.Time
	next     atomic.Int64 // number of the next operation
	total    *Result
	finished chan struct{}
}

func (r *run) work(ctx context.Context, w *Worker) {
	defer w.Client.Close()
	for ctx.Err() == nil {
		w.Number = r.next.Add(1) - 1
		if r.plan.Operations > 0 && w.Number >= r.plan.Operations {
			return
		}
		if r.plan.Rate > 0 {
			w.Start = r.began.Add(time.Duration(float64(w.Number) / r.plan.Rate * float64(time.Second)))
			if !sleepUntil(ctx, w.Start) {
				return
			}
		} else {
			w.Start = time.Now()
		}
		goOn := r.plan.Task(ctx, w)
		w.current.Store(0)
		if !goOn {
			return
		}
	}
}

// collect takes what the workers have counted since the last call, adds it to
// the total and returns it.
func (r *run) collect() *Result {
	part := &Result{}
	for _, w := range r.workers {
		w.ledger.collect(part)
		if kind := w.current.Load(); kind > 0 {
			part.Pending[kind-1]++
		}
	}
	if r.plan.Rate > 0 {
		due := int64(time.Since(r.began).Seconds() * r.plan.Rate)
		part.Queued = max(0, due-r.next.Load())
	}
	r.total.Add(&part.Counts)
	for kind := range part.Kinds {
		r.total.Kinds[kind].Add(&part.Kinds[kind])
	}
	if r.total.FirstError == nil {
		r.total.FirstError = part.FirstError
	}
	return part
}

func (r *run) observe() {
	ticker := time.NewTicker(r.plan.Interval)
	defer ticker.Stop()
	last := r.began
	for {
		select {
		case <-r.finished:
			return
		case now := <-ticker.C:
			part := r.collect()
			part.Elapsed = now.Sub(last)
			last = now
			r.plan.Observe(part)
		}
	}
}
