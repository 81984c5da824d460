package jobs

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/cmn/feature"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/xact"
)

const (
	// conflictPatience is how long a start waits for a job that is in its way.
	conflictPatience = 5 * time.Second
	// conflictPause is the pause between its attempts.
	conflictPause = 250 * time.Millisecond
	// callTime bounds one call of one target.
	callTime = 10 * time.Second
	// commitTime bounds a commit that no request waits for.
	commitTime = 20 * time.Second
	// fanOut is how many targets are called at a time.
	fanOut = 32
	// startTime bounds the start of a job on the targets once its record is
	// written: a client that goes away does not leave it half started.
	startTime = 15 * time.Second
)

// Options are what an Engine is made of.
type Options struct {
	Node    string // "p[id]", for messages
	Control Control
	Targets Targets
	Config  func() *config.Cluster
	Logger  *slog.Logger
	Now     func() time.Time // nil: time.Now
}

// Engine starts, stops, and watches jobs on the primary. Its methods may be
// called from any goroutine.
type Engine struct {
	o    Options
	wake chan struct{}

	starting sync.Mutex // held from the check of coexistence until the record is written

	mu       sync.Mutex
	onEnd    map[string]OnEnd                // by kind
	unended  map[string]endTrouble           // jobs whose hook has failed, by id
	inFlight map[string]int                  // jobs that are being started, by id
	silent   map[string]map[string]time.Time // by job and target: since when it does not answer
	local    map[localKey]localID
}

type localKey struct {
	kind string
	bck  wire.Bck
}

type localID struct {
	id   string
	last time.Time
}

// New makes an engine; Run makes it watch.
func New(o Options) *Engine {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Engine{
		o: o, wake: make(chan struct{}, 1), onEnd: map[string]OnEnd{}, unended: map[string]endTrouble{}, inFlight: map[string]int{},
		silent: map[string]map[string]time.Time{}, local: map[localKey]localID{},
	}
}

// OnEnd sets what is committed together with the end of every job of a kind.
func (e *Engine) OnEnd(kind string, f OnEnd) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.onEnd[kind] = f
}

// Notify tells that a job may have ended somewhere, or that the documents have
// changed. It does not block.
func (e *Engine) Notify() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// Start starts a job on the targets, and returns its id when it is there on
// all of them. It makes the spec's id if there is none. The request's command
// id (meta.CommandID) makes it safe to repeat. with may be nil.
//
// The id is that of another job if that runs and does the same. Errors: 400 bad
// arguments or already running, 404 no such bucket, 409 limited coexistence,
// after some patience, 501 not built, 503 a target does not answer.
func (e *Engine) Start(ctx context.Context, spec *xact.Spec, with With) (id string, err error) {
	kind, ok := xact.FindKind(spec.Kind)
	if !ok {
		return "", apierr.BadRequest("invalid xaction (job) kind %.64q", spec.Kind)
	}
	request := meta.CommandID(ctx)
	if request == "" {
		request = meta.NewJobID()
	}
	s := *spec
	s.Kind, s.Request = kind.Name, request
	if s.Started == 0 {
		s.Started = e.o.Now().UnixNano()
	}
	refreshed := false
	for deadline := e.o.Now().Add(conflictPatience); ; {
		record, retry, err := e.tryStart(ctx, kind, &s, with, refreshed)
		switch {
		case err == nil && record == nil:
			refreshed = true
			e.Refresh(ctx)
			continue
		case err == nil:
			return e.begin(ctx, kind, record)
		case !retry || e.o.Now().After(deadline):
			return "", err
		}
		select {
		case <-ctx.Done():
			return "", err
		case <-time.After(conflictPause):
		}
	}
}

// started is a job whose record is written.
type started struct {
	*Record
	joined bool // it was there before
	spec   *xact.Spec
}

// tryStart checks a job and writes its record. retry: a moment later it may succeed.
// It returns nil if, by the records, another job keeps this one from being made, and the records
// were not refreshed: that job may have ended on all targets, which clients know who ask them.
func (e *Engine) tryStart(ctx context.Context, kind xact.Kind, spec *xact.Spec, with With, refreshed bool) (_ *started, retry bool, err error) {
	e.starting.Lock()
	defer e.starting.Unlock()
	view := e.o.Control.View()
	for _, r := range All(view) {
		if r.Spec.Request == spec.Request || spec.ID != "" && r.Spec.ID == spec.ID {
			return &started{Record: r, joined: true, spec: r.Spec}, false, nil // a request that is repeated
		}
	}
	ignore := e.o.Config().Features&feature.IgnoreLimitedCoexistence != 0
	v := xact.Coexist(e.o.Node, spec, e.active(view), ignore)
	if !refreshed && (v.Err != nil || v.Join != nil && !kind.Idle) {
		return nil, false, nil
	}
	if v.Err != nil {
		return nil, v.Retry, v.Err
	}
	if v.Join != nil {
		if r := Find(view, v.Join.ID); r != nil {
			joined := *spec
			joined.ID, joined.Started = r.Spec.ID, r.Spec.Started
			if retry, err := e.prepare(ctx, e.present(kind, r), &joined); err != nil {
				return nil, retry, err
			}
			return &started{Record: r, joined: true, spec: &joined}, false, nil
		}
	}
	targets, err := e.targetsOf(view, kind, spec)
	if err != nil {
		return nil, false, err
	}
	if spec.ID == "" {
		spec.ID = meta.NewJobID()
	}
	if retry, err := e.prepare(ctx, targets, spec); err != nil {
		return nil, retry, err
	}
	var record *Record
	_, err = e.o.Control.Commit(ctx, "start "+spec.Kind, func(v *meta.View) ([]meta.Change, error) {
		if record != nil {
			e.hold(record.Spec.ID, 0)
		}
		s := *spec
		if kind.Leaving {
			s.Targets = nil
			for _, sn := range targets { // who takes part is not plain from the map
				s.Targets = append(s.Targets, sn.ID)
			}
		}
		record = &Record{Spec: &s}
		var changes []meta.Change
		if with != nil {
			if changes, err = with(v, &s); err != nil {
				return nil, err
			}
		}
		for _, sn := range targets {
			record.Targets = append(record.Targets, sn.ID)
		}
		e.hold(s.ID, +1)
		change, err := put(v, record, e.o.Now())
		return append(changes, change), err
	})
	switch {
	case err != nil && record != nil:
		e.hold(record.Spec.ID, 0)
		return nil, false, err
	case err != nil:
		return nil, false, err
	case record == nil: // the commit of an earlier attempt at this request
		for _, r := range All(e.o.Control.View()) {
			if r.Spec.Request == spec.Request {
				return &started{Record: r, joined: true, spec: r.Spec}, false, nil
			}
		}
		return nil, true, apierr.Unavailable(time.Second, "%s: the record of %s is not in effect yet", e.o.Node, spec.Kind)
	}
	return &started{Record: record, spec: record.Spec}, false, nil
}

// prepare has targets check a job: its arguments, and whether it can start there.
// retry: a moment later it may.
func (e *Engine) prepare(ctx context.Context, targets []*meta.Snode, spec *xact.Spec) (retry bool, err error) {
	err = e.each(ctx, targets, func(ctx context.Context, sn *meta.Snode) error {
		return e.o.Targets.Prepare(ctx, sn, spec)
	})
	// By the records nothing is in the way: what still runs there is on its
	// way out, or the target's own.
	code := apierr.CodeOf(err)
	return code == wire.CodeLimitedCoexistence || code == wire.CodeXactUsePrev, err
}

// hold marks a job that is being started, so that it is not missed on targets; 0: not any more.
func (e *Engine) hold(id string, n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if n == 0 {
		delete(e.inFlight, id)
		return
	}
	e.inFlight[id] = n
}

// active are the jobs that run, for the rules of coexistence.
func (e *Engine) active(view *meta.View) (active []xact.Active) {
	for _, r := range All(view) {
		if !r.Running() {
			break
		}
		if r.Cause != "" {
			continue // on its way out; targets wait for it
		}
		kind, _ := xact.FindKind(r.Spec.Kind)
		// Whether an idle kind has work is known to targets, which check too.
		active = append(active, xact.Active{Spec: r.Spec, Idle: kind.Idle})
	}
	return active
}

// targetsOf are the targets that take part in a job. One that is known not to
// answer is left out if the job can go on without it: it may be what the job is
// to make good.
func (e *Engine) targetsOf(view *meta.View, kind xact.Kind, spec *xact.Spec) (targets []*meta.Snode, err error) {
	if view.Smap == nil {
		return nil, apierr.Unavailable(time.Second, "%s: the cluster is starting", e.o.Node)
	}
	for _, sn := range e.asked(view.Smap) {
		if spec.Concerns(sn.ID) && serves(kind, sn) && e.needed(kind, sn) {
			targets = append(targets, sn)
		}
	}
	if len(targets) == 0 {
		return nil, apierr.New(apierr.StatusServiceUnavailable, wire.CodeNotEnoughTargets, "cannot start %q: no targets", spec.Kind)
	}
	return targets, nil
}

// needed tells that a job of a kind waits for a target: one that resumes can do
// without a target that is known not to answer.
func (e *Engine) needed(kind xact.Kind, sn *meta.Snode) bool {
	return !kind.Resumes || kind.Moves || !e.o.Control.IsDown(sn.ID)
}

// present are the targets of a job that are in service and can be asked.
func (e *Engine) present(kind xact.Kind, r *Record) []*meta.Snode {
	return slices.DeleteFunc(e.nodes(r), func(sn *meta.Snode) bool { return !e.needed(kind, sn) })
}

// begin starts a job whose record is written.
func (e *Engine) begin(ctx context.Context, kind xact.Kind, job *started) (id string, err error) {
	defer e.Notify()
	defer e.hold(job.Spec.ID, 0)
	if !job.Running() || job.joined && !kind.Idle && job.Cause != "" {
		return job.Spec.ID, nil
	}
	if job.joined && !kind.Idle && job.Spec.Request != job.spec.Request {
		return job.Spec.ID, nil // the job that runs does the same
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), startTime)
	defer cancel()
	targets := e.nodes(job.Record)
	err = e.each(ctx, targets, func(ctx context.Context, sn *meta.Snode) error {
		return e.o.Targets.Start(ctx, sn, job.spec)
	})
	if err == nil {
		return job.Spec.ID, nil
	}
	if kind.Resumes && apierr.StatusOf(err) == apierr.StatusServiceUnavailable {
		return job.Spec.ID, nil // it is started where it is missing, see watch
	}
	e.o.Logger.Warn("a job could not be started", "job", job.Spec.Name(), "err", err)
	if !job.joined {
		err = errors.Join(err, e.abort(ctx, job.Spec.ID, "not started: "+err.Error()))
	}
	return "", err
}

// nodes are the targets of a job that are in service.
func (e *Engine) nodes(r *Record) (targets []*meta.Snode) {
	smap := e.o.Control.View().Smap
	kind, _ := xact.FindKind(r.Spec.Kind)
	for _, id := range r.Targets {
		if sn := smap.Tmap[id]; serves(kind, sn) {
			targets = append(targets, sn)
		}
	}
	return targets
}

// each calls several targets at a time, all of them even if one fails. The
// error is one with a status: the worst that a client can do something about.
func (e *Engine) each(ctx context.Context, targets []*meta.Snode, call func(context.Context, *meta.Snode) error) error {
	var mu sync.Mutex
	var failed []error
	var group errgroup.Group
	group.SetLimit(fanOut)
	for _, sn := range targets {
		group.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, callTime)
			defer cancel()
			if err := call(ctx, sn); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed = append(failed, onTarget(sn, err))
			}
			return nil
		})
	}
	_ = group.Wait() // the calls keep their errors in failed
	if len(failed) == 0 {
		return nil
	}
	slices.SortStableFunc(failed, func(a, b error) int { return apierr.StatusOf(a) - apierr.StatusOf(b) })
	return failed[0]
}

// onTarget is the error of a call of a target: its own, or 503.
func onTarget(sn *meta.Snode, err error) error {
	var typed *apierr.Error
	if errors.As(err, &typed) && typed.Status > 0 {
		return typed
	}
	u := apierr.Unavailable(time.Second, "%s does not answer: %v", sn, err)
	u.Cause = err
	return u
}

// Stop aborts one job, or all running ones of a kind (on a bucket, if that has
// a name) for a user. What is not known or has ended is left alone. The jobs
// do nothing any more when it returns, unless they take very long.
func (e *Engine) Stop(ctx context.Context, id, kind string, bck wire.Bck) error {
	var ids []string
	for _, r := range All(e.o.Control.View()) {
		k, _ := xact.FindKind(r.Spec.Kind)
		switch {
		case !r.Running(), id != "" && r.Spec.ID != id:
		case id == "" && (kind != "" && r.Spec.Kind != kind || bck.Name != "" && k.Scope == xact.ScopeBucket && r.Spec.Bck != bck):
		default:
			ids = append(ids, r.Spec.ID)
		}
	}
	var errs []error
	for _, id := range ids {
		errs = append(errs, e.abort(ctx, id, xact.ErrUserAbort.Error()))
	}
	if id != "" && len(ids) > 0 {
		return errors.Join(errs...)
	}
	// Jobs that targets have started by themselves have no record.
	stop := &Stop{Kind: kind, Bck: bck, Cause: xact.ErrUserAbort.Error()}
	if id != "" {
		stop = &Stop{IDs: []string{id}, Cause: stop.Cause}
	}
	smap := e.o.Control.View().Smap
	errs = append(errs, e.each(ctx, e.upOf(e.asked(smap)), func(ctx context.Context, sn *meta.Snode) error {
		return e.o.Targets.Stop(ctx, sn, stop)
	}))
	e.Notify()
	return errors.Join(errs...)
}

// upOf leaves out targets that are known not to answer: they lose their jobs
// in any case.
func (e *Engine) upOf(targets []*meta.Snode) []*meta.Snode {
	return slices.DeleteFunc(slices.Clone(targets), func(sn *meta.Snode) bool { return e.o.Control.IsDown(sn.ID) })
}

// Statuses are the records that a selector selects: the running ones first,
// then the newest.
func (e *Engine) Statuses(id, kind string, bck wire.Bck, onlyRunning bool) (all []Status) {
	for _, r := range All(e.o.Control.View()) {
		k, _ := xact.FindKind(r.Spec.Kind)
		switch {
		case id != "" && r.Spec.ID != id, kind != "" && r.Spec.Kind != kind, onlyRunning && !r.Running():
		case bck.Name != "" && k.Scope == xact.ScopeBucket && r.Spec.Bck != bck:
		default:
			all = append(all, r.status())
		}
	}
	return all
}

// joinErrors makes one text of those of several targets.
func joinErrors(texts map[string]string) string {
	var all []string
	for id, text := range texts {
		if text != "" && !slices.Contains(all, text) {
			all = append(all, "t["+id+"]: "+text)
		}
	}
	slices.Sort(all)
	return strings.Join(all, "; ")
}
