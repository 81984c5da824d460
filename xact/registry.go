package xact

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/feature"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

const (
	// maxHistory bounds how many jobs that have ended are listed; the oldest go first.
	maxHistory = 16 << 10
	// maxShort is with how many ended jobs those of Kind.Short are not listed
	// any more.
	maxShort = 1024
)

// Registry is the jobs of one target: those that run, and those that have ended
// not long ago. Its methods may be called from any goroutine.
type Registry struct {
	env    *Env
	regs   map[string]Registration
	timing timing
	onEnd  func(*Xaction)
	jobID  func(ctx context.Context, kind string, bck wire.Bck, over string) (string, error)

	mu      sync.Mutex
	jobs    map[string]*Xaction // by id; running and ended
	ended   []*Xaction          // in the order of their ends
	swept   time.Time           // when those that ended long ago were dropped
	closed  bool
	running sync.WaitGroup
	active  atomic.Int64 // that run
}

// Options are what a Registry is made of.
type Options struct {
	Env           *Env
	Registrations []Registration
	// OnEnd, if set, is told of every job that has ended here. It must not block.
	OnEnd func(*Xaction)
	// JobID, if set, returns the id of a job of a local kind on a bucket: the
	// same on all targets. over is one that it has returned before, and that was
	// aborted, "" for none. Without it, and if it fails, the target makes one.
	JobID func(ctx context.Context, kind string, bck wire.Bck, over string) (string, error)
}

// NewRegistry makes the registry of a target, and sets the environment's Start.
// Of several registrations of one kind the last counts.
func NewRegistry(o Options) *Registry {
	r := &Registry{
		env: o.Env, regs: map[string]Registration{}, timing: defaultTiming(),
		onEnd: o.OnEnd, jobID: o.JobID, jobs: map[string]*Xaction{},
	}
	for _, reg := range o.Registrations {
		r.regs[reg.Kind] = reg
	}
	o.Env.Start = r.StartLocal
	return r
}

// Active is how many jobs do something here.
func (r *Registry) Active() int { return int(r.active.Load()) }

// Built tells that jobs of a kind can be started.
func (r *Registry) Built(kind string) bool {
	_, ok := r.regs[kind]
	return ok
}

// make makes the job of a spec.
func (r *Registry) make(spec *Spec) (Kind, Job, error) {
	kind, ok := FindKind(spec.Kind)
	if !ok {
		return kind, nil, errInvalidKind(spec.Kind)
	}
	reg, ok := r.regs[kind.Name]
	if !ok {
		return kind, nil, apierr.NotImplemented("job %q is not built yet", kind.Name)
	}
	if bmd := r.env.View().BMD; bmd != nil {
		for _, b := range bucketsOf(spec) {
			if props, ok := bmd.Get(b.bck); !ok || b.bid != 0 && props.BID != b.bid {
				return kind, nil, apierr.BucketNotFound(b.bck)
			}
		}
	}
	job, err := reg.New(r.env, spec)
	return kind, job, err
}

type incarnation struct {
	bck wire.Bck
	bid uint64
}

// bucketsOf are the buckets whose end is the end of a job.
func bucketsOf(s *Spec) (all []incarnation) {
	source := s.Source
	if source.Name == "" {
		source = s.Bck
	}
	if s.BID != 0 && source.Name != "" {
		all = append(all, incarnation{source, s.BID})
	}
	if s.ToBID != 0 && s.To.Name != "" {
		all = append(all, incarnation{s.To, s.ToBID})
	}
	return all
}

// Prepare finds out whether a job can start on this target. Nothing changes.
// Errors: 400 bad arguments or already running, 404 no such bucket, 409 limited
// coexistence, 501 not built.
func (r *Registry) Prepare(spec *Spec) error {
	if _, _, err := r.make(spec); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.verdict(spec).Err
}

// verdict applies the rules of coexistence, under the lock.
func (r *Registry) verdict(spec *Spec) Verdict {
	var running []Active
	for _, x := range r.jobs {
		x.mu.Lock()
		if x.ended.IsZero() {
			running = append(running, Active{Spec: x.spec, Idle: x.kind.Idle && x.pending == 0})
		}
		x.mu.Unlock()
	}
	ignore := r.env.Config().Features&feature.IgnoreLimitedCoexistence != 0
	return Coexist("t["+r.env.NodeID+"]", spec, running, ignore)
}

// Start starts a job, or does nothing if it is known under its id already: a job that has
// ended is not run twice. A job of an idle kind is given the further request. Jobs that give way
// are aborted first; the new one begins when they have let go.
func (r *Registry) Start(ctx context.Context, spec *Spec) (*Xaction, error) {
	return r.startOrJoin(ctx, spec, false)
}

// startOrJoin is Start; with joins, a job that does the same under another id is
// returned instead. What the cluster starts does not join: its primary has decided.
func (r *Registry) startOrJoin(ctx context.Context, spec *Spec, joins bool) (*Xaction, error) {
	for {
		x, again, err := r.start(ctx, spec, joins)
		if !again {
			return x, err
		}
	}
}

func (r *Registry) start(ctx context.Context, spec *Spec, joins bool) (x *Xaction, again bool, err error) {
	r.mu.Lock()
	have := r.jobs[spec.ID]
	r.mu.Unlock()
	if have != nil && (!have.kind.Idle || have.Aborted() != nil) {
		return have, false, nil
	}
	if have != nil && have.Pending(+1) {
		defer have.Pending(-1)
		if ext, ok := have.job.(Extender); ok && have.takes(spec.Request) {
			return have, false, ext.Extend(ctx, spec)
		}
		return have, false, nil
	}
	if have != nil && !have.takes(spec.Request) {
		return have, false, nil
	}
	kind, job, err := r.make(spec)
	if err != nil {
		return nil, false, err
	}
	x = newXaction(r.env, kind, spec, job, r.timing)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, false, apierr.Unavailable(time.Second, "t[%s] is stopping", r.env.NodeID)
	}
	if r.jobs[spec.ID] != have {
		return nil, true, nil
	}
	if have != nil {
		x.continues(have)
	}
	v := r.verdict(spec)
	if v.Err != nil {
		return nil, false, v.Err
	}
	if joins && v.Join != nil {
		return r.jobs[v.Join.ID], false, nil
	}
	for _, o := range v.Abort {
		old := r.jobs[o.ID]
		old.Abort(o.Cause)
		x.after = append(x.after, old)
	}
	r.jobs[spec.ID] = x
	r.ended = slices.DeleteFunc(r.ended, func(e *Xaction) bool { return e == have })
	r.running.Add(1)
	r.active.Add(1)
	go r.run(x)
	return x, false, nil
}

// continues takes over what an idle job of the same id has counted.
func (x *Xaction) continues(old *Xaction) {
	x.after = append(x.after, old)
	for _, c := range []struct{ to, from *counter }{{&x.local, &old.local}, {&x.out, &old.out}, {&x.in, &old.in}} {
		c.to.add(c.from.objects.Load(), c.from.bytes.Load())
	}
	old.mu.Lock()
	defer old.mu.Unlock()
	for request := range old.requests {
		x.requests[request] = struct{}{}
	}
	x.started = old.started
}

func (r *Registry) run(x *Xaction) {
	defer r.running.Done()
	defer r.active.Add(-1)
	x.env.Logger.Info("job starts", "job", x.String(), "bucket", x.spec.Bck.String(), "args", x.spec.Control)
	x.run()
	snap := x.Snap()
	x.env.Logger.Info("job has ended", "job", x.String(), "objects", snap.Stats.LocalObjects, "bytes", snap.Stats.LocalBytes,
		"aborted", snap.AbortError, "err", snap.Error, "took", x.Ended().Sub(x.started))
	r.mu.Lock()
	if r.jobs[x.spec.ID] == x {
		r.ended = append(r.ended, x)
	}
	r.forget(time.Now())
	stopping := r.closed // the primary finds out what is to be started again
	r.mu.Unlock()
	if r.onEnd != nil && !stopping {
		r.onEnd(x)
	}
}

// StartLocal starts a job of a local kind, or returns the one that runs: also one that
// was started at the same moment and, without a primary, under another id.
func (r *Registry) StartLocal(ctx context.Context, kind string, bck wire.Bck, args json.RawMessage) (*Xaction, error) {
	k, ok := FindKind(kind)
	if !ok {
		return nil, errInvalidKind(kind)
	}
	if x := r.local(k.Name, bck); x != nil {
		return x, nil
	}
	id, err := r.localID(ctx, k.Name, bck)
	if err != nil {
		r.env.Logger.Warn("a job has an id of its own on this target: the primary has not given one", "kind", k.Name, "err", err)
		id = meta.NewJobID()
	}
	spec := &Spec{ID: id, Kind: k.Name, Bck: bck, Args: args, Started: time.Now().UnixNano()}
	if bmd := r.env.View().BMD; bmd != nil && bck.Name != "" {
		if props, ok := bmd.Get(bck); ok {
			spec.BID = props.BID
		}
	}
	return r.startOrJoin(ctx, spec, true)
}

// localID is the id of a job of a local kind: one whose job was not aborted here.
func (r *Registry) localID(ctx context.Context, kind string, bck wire.Bck) (id string, err error) {
	if r.jobID == nil {
		return meta.NewJobID(), nil
	}
	over := ""
	for range 3 {
		if id, err = r.jobID(ctx, kind, bck, over); err != nil || !r.isOver(id) {
			return id, err
		}
		over = id
	}
	return "", fmt.Errorf("%s was aborted on this target", id)
}

// local is the running job of a kind on a bucket.
func (r *Registry) local(kind string, bck wire.Bck) *Xaction {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, x := range r.jobs {
		if x.kind.Name == kind && x.spec.Bck == bck && x.Running() {
			return x
		}
	}
	return nil
}

// isOver tells an id whose job was aborted here.
func (r *Registry) isOver(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	x := r.jobs[id]
	return x != nil && x.Aborted() != nil
}

// Abort aborts the job with an id; false if none with it runs.
func (r *Registry) Abort(id string, cause error) bool {
	x := r.Find(id)
	if x == nil || !x.Running() {
		return false
	}
	x.Abort(cause)
	return true
}

// AbortAll aborts the running jobs that a function selects, and returns them.
func (r *Registry) AbortAll(selects func(*Xaction) bool, cause error) (aborted []*Xaction) {
	for _, x := range r.all() {
		if x.Running() && selects(x) {
			x.Abort(cause)
			aborted = append(aborted, x)
		}
	}
	return aborted
}

// Applied ends the jobs of buckets that are not there any more.
func (r *Registry) Applied(view *meta.View) {
	if view.BMD == nil {
		return
	}
	for _, x := range r.all() {
		for _, b := range bucketsOf(x.spec) {
			if props, ok := view.BMD.Get(b.bck); !ok || props.BID != b.bid {
				x.Abort(fmt.Errorf("bucket %s was destroyed", b.bck))
			}
		}
	}
}

// Close aborts all jobs and returns when they have let go.
func (r *Registry) Close(cause error) {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	for _, x := range r.all() {
		x.Abort(cause)
	}
	r.running.Wait()
}
