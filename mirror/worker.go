package mirror

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/delay"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
)

const (
	// batchSize is how many names are taken from the pending set at a time.
	batchSize = 256
	// perMountpath is how many names are worked on at the same time for each
	// mountpath: enough to share flushes.
	perMountpath = 4
	// firstRetry and lastRetry are after what time what has failed is tried again:
	// twice as long each time.
	firstRetry = 2 * time.Second
	lastRetry  = time.Minute
	// lookAgain is how often the pending set is looked at without a signal: what
	// a crash has left appears in it as the journal is read.
	lookAgain = 15 * time.Second
)

// Task is the work on the names of one bucket, as somebody counts and stops it.
type Task interface {
	// Context ends when the work on the bucket is to stop.
	Context() context.Context
	// Begin is called before each name, and holds the work back while others need the
	// disks; end is called with the bytes that were copied when it is done.
	Begin(ctx context.Context) (end func(bytes int64), err error)
	// Did tells what was done for one name, or why nothing was.
	Did(p *core.Pending, did *core.Arranged, err error)
	// End is called once, when there is nothing more to do for now.
	End()
}

// Options is what a Worker needs. All but Logger are required.
type Options struct {
	Store      *core.Store
	Mountpaths func() int
	// Begin is called when a bucket has names that owe copies. An error leaves
	// them for later.
	Begin  func(ctx context.Context, bck wire.Bck) (Task, error)
	Logger *slog.Logger
}

// Worker makes the copies that the pending set says are owed, on one target.
type Worker struct {
	options Options
	log     *slog.Logger
	retries *core.Retries
	stop    context.CancelFunc
	done    chan struct{}
}

// Start starts the work; Close ends it.
func Start(o Options) *Worker {
	w := &Worker{options: o, log: o.Logger, retries: core.NewRetries(firstRetry, lastRetry), done: make(chan struct{})}
	if w.log == nil {
		w.log = slog.Default()
	}
	ctx, stop := context.WithCancel(context.Background())
	w.stop = stop
	go w.run(ctx)
	return w
}

// Close ends the work and returns when nothing is under way.
func (w *Worker) Close() {
	w.stop()
	<-w.done
}

func (w *Worker) run(ctx context.Context) {
	defer close(w.done)
	retry := firstRetry
	for ctx.Err() == nil {
		began := time.Now()
		p := w.pass(ctx)
		wait := min(lookAgain, w.retries.Next(time.Now()))
		if p.failed { // as a whole, or the bucket's job cannot begin
			wait = retry
			retry = min(2*retry, lastRetry)
		} else {
			retry = firstRetry
		}
		if p.left > batchSize {
			// To go through so many in vain for each new name would take a processor.
			_ = delay.For(ctx, min(time.Since(began), time.Second)) // the loop looks at ctx
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-w.options.Store.PendingSignal(core.WorkCopies):
		}
		timer.Stop()
	}
}

// pass goes once through the pending set.
func (w *Worker) pass(ctx context.Context) *pass {
	p := &pass{w: w, tasks: map[wire.Bck]Task{}}
	if w.options.Store.PendingStats(core.WorkCopies).Count == 0 {
		return p
	}
	defer p.end()
	for at := (core.PendingCursor{}); !at.AtEnd() && ctx.Err() == nil; {
		batch, next, err := w.options.Store.Pending(ctx, core.WorkCopies, at, batchSize)
		if err != nil {
			w.log.Warn("the names that owe copies cannot be read", "err", err)
			p.failed = true
			return p
		}
		p.do(ctx, batch)
		at = next
	}
	return p
}

// pass is one pass through the pending set.
type pass struct {
	w     *Worker
	tasks map[wire.Bck]Task // nil: of a bucket that is left for later

	mu     sync.Mutex
	failed bool // something is to be tried again that is not the fault of a single name
	left   int  // names that have failed, now or a moment ago
}

func (p *pass) end() {
	for _, task := range p.tasks {
		if task != nil {
			task.End()
		}
	}
}

// task returns that of a bucket, nil if there can be none now.
func (p *pass) task(ctx context.Context, bck wire.Bck) Task {
	task, known := p.tasks[bck]
	if !known {
		var err error
		if task, err = p.w.options.Begin(ctx, bck); err != nil {
			p.w.log.Debug("copies are made later", "bucket", bck.String(), "err", err)
			task = nil
			p.fail()
		}
		p.tasks[bck] = task
	}
	return task
}

// do works on a batch, some names at the same time.
func (p *pass) do(ctx context.Context, batch []core.Pending) {
	var group errgroup.Group
	group.SetLimit(perMountpath * max(1, p.w.options.Mountpaths()))
	for i := range batch {
		if !p.w.retries.Due(&batch[i], time.Now()) {
			p.leave()
			continue
		}
		task := p.task(ctx, batch[i].Bck)
		if task == nil {
			continue
		}
		if ctx.Err() != nil || task.Context().Err() != nil {
			p.fail()
			continue
		}
		group.Go(func() error {
			p.one(ctx, task, &batch[i])
			return nil
		})
	}
	_ = group.Wait() // no error is returned
}

func (p *pass) fail() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failed = true
}

func (p *pass) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left++
}

// one makes the copies of one name.
func (p *pass) one(ctx context.Context, task Task, name *core.Pending) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(task.Context(), cancel)()
	end, err := task.Begin(ctx)
	if err != nil {
		p.fail()
		return
	}
	store := p.w.options.Store
	did, err := store.ArrangeCopies(ctx, name.Key)
	end(did.Bytes)
	if apierr.IsNotFound(err) {
		return // the bucket is gone, and its names with it
	}
	if err == nil {
		_, err = store.PendingDone(ctx, core.WorkCopies, name)
	}
	if errors.Is(err, context.Canceled) {
		p.fail()
		return
	}
	task.Did(name, &did, err)
	if err == nil {
		p.w.retries.Done(name)
		return
	}
	p.w.log.Warn("copies of an object cannot be made yet", "object", name.Cname(), "err", err)
	p.w.retries.Failed(name, time.Now())
	p.leave()
}
