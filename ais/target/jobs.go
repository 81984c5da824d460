package target

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/aistore-go/aistore/ais/jobs"
	"github.com/aistore-go/aistore/ais/node"
	"github.com/aistore-go/aistore/ais/node/objreq"
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/cmn/query"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/xact"
)

const (
	// maxJobMessage bounds a message about a job, in bytes: it may hold a list
	// of names.
	maxJobMessage = 32 << 20
	// letGoTime is how long stopping a job waits until it does nothing any more.
	letGoTime = 5 * time.Second
	// jobIDTime bounds the question for the id of a job of this target's own.
	jobIDTime = 2 * time.Second
)

// errStopping is why jobs end when the target does.
var errStopping error = apierr.Unavailable(objreq.RetryAfter, "the target is stopping")

// newJobs makes the registry of jobs; more are kinds beside those that are
// built.
func (t *Target) newJobs(more []xact.Registration) *xact.Registry {
	t.load = newLoad(t.metrics)
	env := &xact.Env{
		Confirmed: t.confirmed,
		NodeID:    t.node.ID(), Store: t.store, Disks: t.fs, View: t.control.View, Config: t.node.Config,
		Logger: t.logger, Metrics: t.metrics, Peers: jobPeers{t}, Streams: t.streams,
		Governor: xact.NewGovernor(t.load, func() *config.DiskConf { return &t.node.Config().Disk }),
	}
	t.jobEnv = env
	return xact.NewRegistry(xact.Options{
		Env: env, Registrations: slices.Concat(registrations(t), t.movers(), testJobs(), more),
		OnEnd: func(x *xact.Xaction) {
			t.node.JobEnded(x.Snap())
			if x.Kind().Name == xact.KindResilver {
				t.resilverEnded(x)
			}
		},
		JobID: func(ctx context.Context, kind string, bck wire.Bck, over string) (string, error) {
			ctx, cancel := context.WithTimeout(ctx, jobIDTime)
			defer cancel()
			return t.node.JobID(ctx, kind, bck, over)
		},
	})
}

// jobCalls answers /v1/xactions to other nodes.
func (t *Target) jobCalls(w http.ResponseWriter, r *http.Request) error {
	if r.Method == http.MethodPut {
		return t.jobCommand(w, r)
	}
	q, err := query.Parse(r.URL.RawQuery)
	if err != nil {
		return err
	}
	what := q.Get(wire.QueryWhat)
	if what == whatOneSnap {
		x := t.jobs.Find(q.Get(wire.QueryUUID))
		if x == nil {
			return xact.ErrNotFound("", q.Get(wire.QueryUUID))
		}
		return node.WriteJSON(w, r, x.Snap())
	}
	body, err := node.ReadBody(r, maxJobMessage)
	if err != nil {
		return err
	}
	if what == node.WhatJobReport {
		var report node.JobReport
		if err := json.Unmarshal(body, &report); err != nil {
			return apierr.BadRequest("failed to unmarshal the question for a report: %v", err)
		}
		return node.WriteJSON(w, r, t.jobReport(report.IDs))
	}
	var selected xact.Query
	if len(body) > 0 {
		if err := json.Unmarshal(body, &selected); err != nil {
			return apierr.BadRequest("failed to unmarshal the job query: %v", err)
		}
	}
	switch what {
	case wire.WhatQueryXactStats:
		return node.WriteJSON(w, r, t.jobs.Snaps(selected))
	case wire.WhatRunningAll:
		return node.WriteJSON(w, r, t.runningJobs(selected.Kind))
	}
	return apierr.BadRequest("invalid query parameter %s=%.64q", wire.QueryWhat, what)
}

// whatOneSnap asks for the snapshot of one job.
const whatOneSnap = "getxstats"

// runningJobs are the names of jobs that run.
func (t *Target) runningJobs(kind string) []string {
	running, names := true, []string{}
	if kind != "" {
		for _, x := range t.jobs.Select(xact.Query{Kind: kind, Running: &running}) {
			names = append(names, x.String())
		}
		return names
	}
	for _, x := range t.jobs.Select(xact.Query{}) {
		if x.Running() && !x.Kind().Unlisted {
			names = append(names, x.String())
		}
	}
	return names
}

// jobReport are the jobs with these ids, and those that run.
func (t *Target) jobReport(ids []string) []*wire.Snap {
	snaps := []*wire.Snap{}
	for _, x := range t.jobs.Select(xact.Query{}) {
		if x.Running() || slices.Contains(ids, x.ID()) {
			snaps = append(snaps, x.Snap())
		}
	}
	return snaps
}

// jobCommand does what the primary says.
func (t *Target) jobCommand(w http.ResponseWriter, r *http.Request) error {
	if err := t.fromPrimary(r); err != nil {
		return err
	}
	body, err := node.ReadBody(r, maxJobMessage)
	if err != nil {
		return err
	}
	msg, err := node.DecodeActMsg(body)
	if err != nil {
		return err
	}
	switch msg.Action {
	case node.ActPrepareJob, node.ActStartJob:
		spec := &xact.Spec{}
		if err := json.Unmarshal(msg.Value, spec); err != nil {
			return apierr.BadRequest("failed to unmarshal the job: %v", err)
		}
		if err := t.knowBuckets(r.Context(), spec); err != nil {
			return err
		}
		if msg.Action == node.ActPrepareJob {
			err = t.jobs.Prepare(spec)
		} else {
			_, err = t.jobs.Start(r.Context(), spec)
		}
	case node.ActStopJob:
		stop := &jobs.Stop{}
		if err := json.Unmarshal(msg.Value, stop); err != nil {
			return apierr.BadRequest("failed to unmarshal the stop of a job: %v", err)
		}
		t.stopJobs(r.Context(), stop)
	default:
		return node.InvalidAction(msg.Action)
	}
	if err != nil {
		return err
	}
	return answerEmpty(w, http.StatusOK)
}

// fromPrimary fails if a call does not come from the primary. A target that has not heard of
// a change of primary yet asks for the metadata first; 503: it may hear of it in a
// moment.
func (t *Target) fromPrimary(r *http.Request) error {
	err := t.node.FromPrimary(r)
	if caller := t.node.Caller(r); err == nil || caller == nil || caller.Role != meta.RoleProxy {
		return err
	}
	if err := t.control.Pull(r.Context()); err != nil {
		return err
	}
	if err = t.node.FromPrimary(r); err == nil {
		return nil
	}
	late := apierr.Unavailable(time.Second, "t[%s]: %v", t.node.ID(), err)
	late.Cause = err
	return late
}

// knowBuckets pulls the metadata if a job has a bucket that this target does not
// know yet.
func (t *Target) knowBuckets(ctx context.Context, spec *xact.Spec) error {
	bmd := t.control.View().BMD
	for _, bck := range []wire.Bck{spec.Bck, spec.Source, spec.To} {
		if bck.Name == "" {
			continue
		}
		if _, ok := bmd.Get(bck); !ok {
			return t.control.Pull(ctx)
		}
	}
	return nil
}

// stopJobs aborts jobs, and returns when they do nothing any more, or after a
// while.
func (t *Target) stopJobs(ctx context.Context, stop *jobs.Stop) {
	var cause error = stopCause(stop.Cause)
	if stop.Cause == xact.ErrUserAbort.Error() {
		cause = xact.ErrUserAbort
	}
	aborted := t.jobs.AbortAll(func(x *xact.Xaction) bool {
		if stop.IDs != nil {
			return slices.Contains(stop.IDs, x.ID())
		}
		return x.Kind().Name == stop.Kind && (stop.Bck.Name == "" || x.Kind().Scope != xact.ScopeBucket || x.Spec().Bck == stop.Bck)
	}, cause)
	ctx, cancel := context.WithTimeout(ctx, letGoTime)
	defer cancel()
	for _, x := range aborted {
		select {
		case <-x.Done():
		case <-ctx.Done():
			t.logger.Info("a job that was stopped still does something", "job", x.String())
		}
	}
}

// stopCause is why another node has a job aborted.
type stopCause string

func (c stopCause) Error() string { return string(c) }

// jobPeers reaches the owners of names for jobs.
type jobPeers struct{ t *Target }

// Owner implements xact.Peers.
func (p jobPeers) Owner(bck wire.Bck, name string) (*meta.Snode, error) {
	return objreq.Owner(p.t.control.View().Smap, bck, name)
}

// Put implements xact.Peers.
func (p jobPeers) Put(ctx context.Context, from, to core.Key) (core.Attrs, error) {
	return p.t.duplicate(ctx, from, to, false)
}

// Delete implements xact.Peers.
func (p jobPeers) Delete(ctx context.Context, key core.Key) error {
	if err := p.t.staying(key); err != nil {
		return err
	}
	return p.t.asOwner(ctx, key, func() error { return p.t.remove(ctx, key) }, &changeRequest{Delete: true})
}
