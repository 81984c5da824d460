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
}

// Result is what a run did. Latency is that of single operations, redirects
// included.
type Result struct {
	Operations int64         `json:"operations"`
	Errors     int64         `json:"errors"`
	Bytes      int64         `json:"bytes"` // of bodies, sent and received
	Elapsed    time.Duration `json:"elapsed_ns"`
	Latency    Histogram     `json:"-"`
	FirstError error         `json:"-"`
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
		total.Operations += r.Operations
		total.Errors += r.Errors
		total.Bytes += r.Bytes
		total.Latency.Merge(&r.Latency)
		if total.FirstError == nil {
			total.FirstError = r.FirstError
		}
	}
	if total.Operations == 0 {
		return total, errors.Join(errors.New("no operation succeeded"), total.FirstError)
	}
	return total, nil
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
		if ctx.Err() != nil {
			return
		}
		addr, request := w.plan.Next(w.random, number)
		began := time.Now()
		n, err := w.execute(addr, &request)
		if err != nil {
			result.Errors++
			if result.FirstError == nil {
				result.FirstError = err
			}
			continue
		}
		result.Operations++
		result.Bytes += n
		result.Latency.Add(time.Since(began))
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
	return resp.Bytes + int64(len(request.Body)), nil
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
