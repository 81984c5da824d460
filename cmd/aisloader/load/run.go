package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// Operation makes the next request of a worker. number counts the worker's
// operations from 0. addr is the server to send it to.
type Operation func(random *rand.Rand, number int) (addr string, request Request)

// Plan is a run: how many workers do what, and when they stop.
type Plan struct {
	Workers    int
	Duration   time.Duration // 0: no limit
	Operations int64         // of all workers together; 0: no limit
	Seed       uint64
	Next       Operation
	Done       func() bool // asked before each operation; nil: never
}

// Kinds is how many kinds of requests are told apart.
const Kinds = 4

// Counts are those of one kind of requests. Latency is that of single
// operations, redirects included.
type Counts struct {
	Operations int64
	Errors     int64
	Bytes      int64 // of bodies, sent and received
	Latency    Histogram
}

// Result is what a run did.
type Result struct {
	Counts                   // of all kinds together
	Kinds      [Kinds]Counts // by Request.Kind
	Elapsed    time.Duration
	FirstError error
}

// Run executes a plan. It returns an error only if no operation succeeded;
// single failures are counted.
func Run(ctx context.Context, plan *Plan) (*Result, error) {
	if plan.Duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, plan.Duration)
		defer cancel()
	}
	var (
		wait    sync.WaitGroup
		results = make([]Result, plan.Workers)
		began   = time.Now()
	)
	for i := range plan.Workers {
		share := int64(-1)
		if plan.Operations > 0 {
			share = plan.Operations / int64(plan.Workers)
			if int64(i) < plan.Operations%int64(plan.Workers) {
				share++
			}
		}
		wait.Add(1)
		go func() {
			defer wait.Done()
			w := &worker{plan: plan, random: rand.New(rand.NewPCG(plan.Seed, uint64(i))), conns: make(map[string]*Conn)}
			w.run(ctx, share, &results[i])
		}()
	}
	wait.Wait()
	total := &Result{Elapsed: time.Since(began)}
	for i := range results {
		r := &results[i]
		for kind := range r.Kinds {
			total.Kinds[kind].add(&r.Kinds[kind])
			total.add(&r.Kinds[kind])
		}
		if total.FirstError == nil {
			total.FirstError = r.FirstError
		}
	}
	if total.Operations == 0 {
		return total, errors.Join(errors.New("no operation succeeded"), total.FirstError)
	}
	return total, nil
}

func (c *Counts) add(o *Counts) {
	c.Operations += o.Operations
	c.Errors += o.Errors
	c.Bytes += o.Bytes
	c.Latency.Merge(&o.Latency)
}

type worker struct {
	plan   *Plan
	random *rand.Rand
	conns  map[string]*Conn
}

func (w *worker) run(ctx context.Context, share int64, result *Result) {
	defer func() {
		for _, c := range w.conns {
			_ = c.Close() // nothing is in flight
		}
	}()
	for number := 0; share < 0 || int64(number) < share; number++ {
		if ctx.Err() != nil || (w.plan.Done != nil && w.plan.Done()) {
			return
		}
		addr, request := w.plan.Next(w.random, number)
		began := time.Now()
		n, err := w.execute(addr, &request)
		counts := &result.Kinds[request.Kind]
		if err != nil {
			counts.Errors++
			if result.FirstError == nil {
				result.FirstError = err
			}
			continue
		}
		counts.Operations++
		counts.Bytes += n
		counts.Latency.Add(time.Since(began))
	}
}

// execute sends a request and follows one redirect.
func (w *worker) execute(addr string, request *Request) (int64, error) {
	first := *request
	resp, err := w.conn(addr).Do(&first)
	if err != nil {
		return 0, err
	}
	if resp.Status == 301 || resp.Status == 307 {
		to, path, ok := splitLocation(resp.Location)
		if !ok {
			return 0, fmt.Errorf("redirect to %q", resp.Location)
		}
		second := *request
		second.Path = path
		if resp, err = w.conn(to).Do(&second); err != nil {
			return 0, err
		}
	}
	if resp.Status >= 300 {
		return 0, fmt.Errorf("%s %s%s: status %d", request.Method, addr, request.Path, resp.Status)
	}
	return resp.Bytes + request.size(), nil
}

func (w *worker) conn(addr string) *Conn {
	c := w.conns[addr]
	if c == nil {
		c = NewConn(addr)
		w.conns[addr] = c
	}
	return c
}

func splitLocation(location []byte) (addr, path string, ok bool) {
	rest, ok := bytes.CutPrefix(location, []byte("http://"))
	if !ok {
		return "", "", false
	}
	slash := bytes.IndexByte(rest, '/')
	if slash < 0 {
		return "", "", false
	}
	return string(rest[:slash]), string(rest[slash:]), true
}
