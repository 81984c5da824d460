package work

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/aistore-go/aistore/cmd/aisloader/load"
	"github.com/aistore-go/aistore/cmd/aisloader/stats"
	"github.com/aistore-go/aistore/cmn/hrw"
	"github.com/aistore-go/aistore/cmn/wire"
)

// limits are what ends a run before its time, counted over all workers.
type limits struct {
	putBytes atomic.Int64 // of plain PUTs, under way or done
	puts     atomic.Uint64
	gets     atomic.Uint64
	counter  atomic.Uint64 // of new names
	reached  atomic.Bool   // it was said that -maxputs is reached
}

// state is what one worker remembers.
type state struct {
	payload *payload
	own     []uint64 // counters of the names that it wrote, to be read
	name    []byte
	unique  []byte
	sub     []*load.Worker // for parallel parts
}

// Run executes the operations. observe gets the statistics of each interval.
func (l *Load) Run(ctx context.Context, observe func(*load.Result)) (result *load.Result, err error) {
	p := l.p
	l.block = newBlock(p)
	for i := range p.Workers {
		s := &state{}
		if s.payload, err = newPayload(p, l.block, i); err != nil {
			return nil, err
		}
		l.states = append(l.states, s)
		defer func() { err = errors.Join(err, s.payload.close()) }()
	}
	defer func() {
		for _, s := range l.states {
			for _, sub := range s.sub {
				sub.Client.Close()
			}
		}
	}()
	return load.Run(ctx, &load.Plan{
		Workers: p.Workers, Duration: p.Duration, Rate: p.Rate, Seed: uint64(p.Seed), Options: l.session.Options, Task: l.task,
		Interval: p.StatsInterval, Observe: observe,
	})
}

// choice is the random number that belongs to the n-th of something.
func (l *Load) choice(n uint64) uint64 { return hrw.Mix(uint64(l.p.Seed) ^ hrw.Mix(n)) }

// task executes one operation. Its kind follows from its number and the seed,
// so that equal settings repeat the same sequence.
func (l *Load) task(ctx context.Context, w *load.Worker) bool {
	s, p := l.states[w.Index], l.p
	choice := l.choice(uint64(w.Number))
	if percent(choice, p.PctPut) || l.nothingToRead(s) {
		return l.write(ctx, w, s)
	}
	if percent(hrw.Mix(choice+1), p.PctList) {
		return l.listPage(ctx, w, s)
	}
	name, ok := l.pick(w, s)
	if !ok {
		return false
	}
	if percent(hrw.Mix(choice+2), p.PctFetch) {
		return l.download(ctx, w, s, name)
	}
	size, ok := l.read(ctx, w, s, name)
	if ok && percent(hrw.Mix(choice+3), p.PctUpdate) {
		return l.update(ctx, w, s, name, size, choice)
	}
	return true
}

// percent tells whether a choice falls into a share.
func percent(choice uint64, share int) bool { return share > 0 && (choice>>32)%100 < uint64(share) }

func (l *Load) nothingToRead(s *state) bool { return len(l.names) == 0 && len(s.own) == 0 }

// pick chooses the name to read; ok is false when all epochs are over. The
// name is valid until the worker's next operation.
func (l *Load) pick(w *load.Worker, s *state) (name []byte, ok bool) {
	if l.order != nil {
		k := l.limits.gets.Add(1) - 1
		if l.p.Epochs > 0 && k >= uint64(l.p.Epochs)*uint64(len(l.names)) {
			return nil, false
		}
		s.name = append(s.name[:0], l.names[l.order.At(k)]...)
		return s.name, true
	}
	i := w.Random.IntN(len(l.names) + len(s.own))
	if i < len(l.names) {
		s.name = append(s.name[:0], l.names[i]...)
	} else {
		s.name = l.maker.Append(s.name[:0], s.own[i-len(l.names)])
	}
	return s.name, true
}

// request begins a request for an object. query has no leading "?" and may be
// empty.
func (l *Load) request(w *load.Worker, r *load.Request, s *state, method string, name []byte, query string) {
	r.Reset(method, "")
	s.unique = l.session.route(w, r, name, l.p.Direct, s.unique)
	r.Path = append(append(append(r.Path, wire.PathObjects+"/"...), l.p.Bucket.Name...), '/')
	r.Path = append(appendEscaped(r.Path, name), "?provider="...)
	r.Path = append(r.Path, l.p.Bucket.Provider...)
	if l.p.Bucket.Ns.Name != "" {
		r.Path = append(append(r.Path, "&namespace=%23"...), l.p.Bucket.Ns.Name...)
	}
	if query != "" {
		r.Path = append(append(r.Path, '&'), query...)
	}
}

// attempts is how often a request is sent to a server that is not there.
const attempts = 4

// do executes a request. A server that refuses or resets the connection is
// tried again: it may be starting.
func (l *Load) do(ctx context.Context, w *load.Worker, r *load.Request) (resp load.Response, err error) {
	for attempt := 1; ; attempt++ {
		resp, err = w.Client.Do(r)
		if l.p.Direct && (err != nil || resp.Redirected) {
			l.session.outdated(ctx)
		}
		if err == nil || attempt == attempts || !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, syscall.ECONNRESET) {
			return resp, err
		}
		pause := time.NewTimer(50 * time.Millisecond << attempt)
		select {
		case <-ctx.Done():
			pause.Stop()
			return resp, err
		case <-pause.C:
		}
	}
}

// count counts an operation and shows the first errors.
func (l *Load) count(w *load.Worker, began time.Time, kind int, n int64, err error) {
	w.CountSince(began, kind, n, err)
	if err != nil && l.shown.more() {
		fmt.Fprintln(l.message, "Error:", err)
	}
}

// errorLimit is how many errors are printed one by one.
type errorLimit struct{ n atomic.Int64 }

func (e *errorLimit) more() bool { return e.n.Add(1) <= 5 }

// read GETs an object; size is what was read.
func (l *Load) read(ctx context.Context, w *load.Worker, s *state, name []byte) (size int64, ok bool) {
	w.Begin(stats.Get)
	query := ""
	if l.p.Latest {
		query = wire.QueryLatest + "=true"
	}
	r := &w.Request
	l.request(w, r, s, "GET", name, query)
	r.Verify = l.p.Verify
	if l.p.Ranged() {
		r.Headers = appendRange(r.Headers, int64(l.p.ReadOff), int64(l.p.ReadLen))
	}
	resp, err := l.do(ctx, w, r)
	l.count(w, w.Start, stats.Get, resp.Bytes, err)
	return resp.Bytes, err == nil
}
