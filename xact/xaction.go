package xact

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aistore-go/aistore/cmn/wire"
)

// Xaction is one job on one target: its counters and its life. Its methods may
// be called from any goroutine.
type Xaction struct {
	spec   *Spec
	kind   Kind
	env    *Env
	job    Job
	timing timing

	ctx     context.Context // its cause is why the job was aborted
	cancel  context.CancelCauseFunc
	started time.Time
	done    chan struct{} // closed when Run has returned
	after   []*Xaction    // jobs that must have returned before this one runs

	local, out, in counter
	errs           errorList
	joggers        atomic.Int64
	workers        atomic.Int64
	full           atomic.Int64
	control        atomic.Pointer[func() string]
	ext            atomic.Pointer[any]

	mu       sync.Mutex
	ended    time.Time           // zero: it runs
	aborted  error               // why; nil: it was not
	pending  int                 // pieces of work, of an idle kind
	idleFrom time.Time           // when pending became 0
	changed  chan struct{}       // closed when pending changes
	requests map[string]struct{} // that were taken
}

// counter counts objects and bytes.
type counter struct{ objects, bytes atomic.Int64 }

func (c *counter) add(objects, bytes int64) {
	c.objects.Add(objects)
	c.bytes.Add(bytes)
}

func newXaction(env *Env, kind Kind, spec *Spec, job Job, t timing) *Xaction {
	x := &Xaction{
		spec: spec, kind: kind, env: env, job: job, timing: t,
		started: time.Now(), done: make(chan struct{}), changed: make(chan struct{}),
		requests: map[string]struct{}{spec.Request: {}},
	}
	x.idleFrom = x.started
	x.ctx, x.cancel = context.WithCancelCause(context.Background())
	return x
}

// ID is the job's id.
func (x *Xaction) ID() string { return x.spec.ID }

// Kind is what is known of the job's kind.
func (x *Xaction) Kind() Kind { return x.kind }

// Spec is what the job is to do.
func (x *Xaction) Spec() *Spec { return x.spec }

// Env is what the job uses of its target.
func (x *Xaction) Env() *Env { return x.env }

// String is the job's canonical name.
func (x *Xaction) String() string { return x.spec.Name() }

// Context ends when the job is aborted.
func (x *Xaction) Context() context.Context { return x.ctx }

// Done is closed when the job does nothing any more.
func (x *Xaction) Done() <-chan struct{} { return x.done }

// Job is what does the work.
func (x *Xaction) Job() Job { return x.job }

// AddObjects counts objects that were processed here.
func (x *Xaction) AddObjects(n, bytes int64) { x.local.add(n, bytes) }

// AddOut counts objects that were sent to other targets.
func (x *Xaction) AddOut(n, bytes int64) { x.out.add(n, bytes) }

// AddIn counts objects that were received from other targets.
func (x *Xaction) AddIn(n, bytes int64) { x.in.add(n, bytes) }

// Objects is how many objects were processed here.
func (x *Xaction) Objects() int64 { return x.local.objects.Load() }

// AddError counts an error, which is to name the object that it is about. All are counted;
// the first different ones are shown. Errors that an abort causes are not counted.
func (x *Xaction) AddError(err error) {
	if err == nil || x.ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.Cause(x.ctx))) {
		return
	}
	x.errs.add(err)
}

// Errors is how many errors were counted.
func (x *Xaction) Errors() int64 { return x.errs.total() }

// SetControl sets what makes the snapshot's message for people: arguments,
// and how far the job is. It must not block.
func (x *Xaction) SetControl(message func() string) { x.control.Store(&message) }

// SetExt sets the extended statistics: a value that is not changed any more,
// or one that marshals itself as it is at the moment.
func (x *Xaction) SetExt(ext any) { x.ext.Store(&ext) }

// SetParallelism tells how many goroutines the job has, for its snapshots.
func (x *Xaction) SetParallelism(joggers, workers int) {
	x.joggers.Store(int64(joggers))
	x.workers.Store(int64(workers))
}

// ChannelFull counts a moment in which a queue was full.
func (x *Xaction) ChannelFull() { x.full.Add(1) }

// Abort ends the job early; cause is what clients see. Only the first abort
// of a job that runs counts. It does not wait, see Done.
func (x *Xaction) Abort(cause error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.aborted != nil || !x.ended.IsZero() {
		return
	}
	x.aborted, x.ended = cause, time.Now()
	x.cancel(cause)
}

// Aborted is why the job was aborted, nil if it was not.
func (x *Xaction) Aborted() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.aborted
}

// Running tells that the job has neither ended nor been aborted.
func (x *Xaction) Running() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.ended.IsZero()
}

// Ended is when the job ended, zero if it runs.
func (x *Xaction) Ended() time.Time {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.ended
}

// run does the work, once the jobs that it replaces have let go.
func (x *Xaction) run() {
	defer close(x.done)
	defer x.cancel(nil)
	for _, before := range x.after {
		select {
		case <-before.done:
		case <-x.ctx.Done():
			<-before.done // what comes after this job waits for that one, too
		}
	}
	x.after = nil
	if x.ctx.Err() != nil {
		return
	}
	err := x.work()
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.ended.IsZero() {
		x.ended = time.Now()
		if err != nil {
			x.aborted = err
		}
	}
	if err != nil && !errors.Is(err, x.aborted) && !errors.Is(err, context.Canceled) {
		x.errs.add(err)
	}
}

// work runs the job. A panic ends the job and not the target.
func (x *Xaction) work() (err error) {
	defer func() {
		if p := recover(); p != nil {
			x.env.Logger.Error("a job has panicked", "job", x.String(), "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("%s: internal error: %v", x, p)
		}
	}()
	return x.job.Run(x.ctx, x)
}

// Snap is the job as clients see it.
func (x *Xaction) Snap() *wire.Snap {
	s := &wire.Snap{
		ID: x.spec.ID, Kind: x.kind.Name, StartTime: x.started,
		Bck: x.spec.Bck, SrcBck: x.spec.Source, DstBck: x.spec.To,
		ControlMessage: x.spec.Control, Error: x.errs.String(),
		Stats: wire.SnapStats{
			LocalObjects: x.local.objects.Load(), LocalBytes: x.local.bytes.Load(),
			OutObjects: x.out.objects.Load(), OutBytes: x.out.bytes.Load(),
			InObjects: x.in.objects.Load(), InBytes: x.in.bytes.Load(),
		},
	}
	if x.kind.Scope != ScopeBucket && x.kind.Name != KindSummary && x.kind.Name != "get-batch" {
		s.Bck = wire.Bck{}
	}
	packed := min(x.joggers.Load(), 1<<10-1) | min(x.workers.Load(), 1<<10-1)<<10 | min(x.full.Load(), 1<<43-1)<<20
	s.GlobalID = strconv.FormatInt(packed, 10)
	if control := x.control.Load(); control != nil {
		s.ControlMessage = (*control)()
	}
	if ext := x.ext.Load(); ext != nil && x.kind.Extended {
		s.Ext = *ext
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.ended.IsZero() {
		s.EndTime = x.ended
	}
	if x.aborted != nil {
		s.Aborted, s.AbortError = true, x.aborted.Error()
	}
	s.IsIdle = x.isIdle()
	return s
}
