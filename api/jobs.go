package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/aistore-go/aistore/cmn/wire"
)

// Names of the wire, for callers.
type (
	// JobArgs says which job to start, stop, ask for, or await.
	JobArgs = wire.JobArgs
	// JobStatus is the state of a job in the cluster.
	JobStatus = wire.JobStatus
	// JobSnaps are snapshots of jobs by target.
	JobSnaps = wire.JobSnaps
)

// StartJob starts a job and returns its id; "": there was nothing to do. The kind may be
// given by its display name. extra is what the kind has beside the arguments: of a rebalance
// the prefix of object names.
//
// A kind that has a call of its own is a 400, one that the cluster does not
// have a 501, one that is in another's way a 409.
func (c *Client) StartJob(ctx context.Context, args *JobArgs, extra string) (id string, err error) {
	query := url.Values{}
	a := *args
	if a.Bck != nil && a.Bck.Name != "" {
		b := normalized(*a.Bck)
		a.Bck, query = &b, bucketQuery(b)
	}
	if a.Force {
		query.Set(wire.QueryForce, "true")
	}
	body, err := action(wire.ActStart, extra, &a)
	if err != nil {
		return "", err
	}
	answer, err := c.call(ctx, &request{method: http.MethodPut, path: wire.PathCluster, query: query.Encode(), body: body})
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(answer.body)), nil
}

// StopJob stops the job with an id, or all running ones of a kind (of a
// bucket, if one is given). What has ended or is not known is no error.
func (c *Client) StopJob(ctx context.Context, args *JobArgs) error {
	body, err := action(wire.ActStop, "", args)
	if err != nil {
		return err
	}
	_, err = c.call(ctx, &request{method: http.MethodPut, path: wire.PathCluster, body: body, repeatable: true})
	return err
}

// JobStatus returns the state of the job with an id, or of one of a kind: the
// one that runs, else the one that ended last. A job that is not known is a
// 404.
func (c *Client) JobStatus(ctx context.Context, args *JobArgs) (*JobStatus, error) {
	status := &JobStatus{}
	return status, c.askJobs(ctx, wire.WhatStatus, "", args, status)
}

// JobStatuses returns the states of all jobs that the arguments select. With
// refresh the targets are asked first.
func (c *Client) JobStatuses(ctx context.Context, args *JobArgs, refresh bool) (list []JobStatus, err error) {
	more := ""
	if refresh {
		more = "&" + wire.QueryForce + "=true"
	}
	return list, c.askJobs(ctx, wire.WhatStatusAll, more, args, &list)
}

// JobSnaps returns what every target tells of the jobs that the arguments
// select. An id that is not known is a 404.
func (c *Client) JobSnaps(ctx context.Context, args *JobArgs) (snaps JobSnaps, err error) {
	return snaps, c.askJobs(ctx, wire.WhatQueryXactStats, "", args, &snaps)
}

// RunningJobs returns the names, "kind[id]", of running jobs: of a kind, or
// of all kinds if that is empty.
func (c *Client) RunningJobs(ctx context.Context, kind string) (names []string, err error) {
	return names, c.askJobs(ctx, wire.WhatRunningAll, "", &JobArgs{Kind: kind}, &names)
}

func (c *Client) askJobs(ctx context.Context, what, more string, args *JobArgs, into any) error {
	query := wire.JobQuery{ID: args.ID, Kind: args.Kind}
	if args.OnlyRunning {
		only := true
		query.Active = &only
	}
	if args.Bck != nil {
		query.Bck = normalized(*args.Bck)
	}
	body, err := json.Marshal(&query)
	if err != nil {
		return err
	}
	answer, err := c.call(ctx, &request{method: http.MethodGet, path: wire.PathCluster, query: whatQuery(what) + more, body: body, repeatable: true})
	if err != nil {
		return err
	}
	return answer.decodeJSON(into)
}

// JobError is a job that did not succeed: it was aborted, or ended with errors.
type JobError struct {
	Kind, ID string
	Aborted  bool
	Message  string // of the cluster
}

// Error implements error.
func (e *JobError) Error() string {
	how := "finished with errors"
	if e.Aborted {
		how = "was aborted"
	}
	return fmt.Sprintf("%s[%s] %s: %s", e.Kind, e.ID, how, e.Message)
}

// Bounds of waiting for a job.
const (
	firstPoll     = 2 * time.Second
	longestPoll   = 30 * time.Second
	defaultWait   = time.Minute
	longestWait   = 7 * 24 * time.Hour
	unseenPause   = 4 * time.Second
	idlePolls     = 2 // in a row
	nothingPolls  = 3 // in a row
	pollsATimeout = 10
)

// WaitOptions say how to wait for a job.
type WaitOptions struct {
	// Timeout bounds the wait; 0: one minute, below 0: seven days.
	Timeout time.Duration
	// Poll is the first pause between two questions; 0: two seconds. It grows by half each
	// time, to at most 30 s.
	Poll time.Duration
	// Unseen is how long a job that is not there yet is waited for; 0: 4 s.
	Unseen time.Duration
	// OnSnaps, if set, is told what the targets say, at each question.
	OnSnaps func(JobSnaps)
}

// WaitJob waits until a job has ended, or, for kinds that go on without work, is
// idle. The job is named by its id, or by its kind and maybe bucket: then all
// running ones of the kind are waited for. The error is a *JobError if the
// job did not succeed, and the context's if the time is over.
func (c *Client) WaitJob(ctx context.Context, args *JobArgs, o WaitOptions) error {
	switch {
	case o.Timeout == 0:
		o.Timeout = defaultWait
	case o.Timeout < 0:
		o.Timeout = longestWait
	}
	if o.Poll <= 0 {
		o.Poll = firstPoll
	}
	if o.Unseen <= 0 {
		o.Unseen = unseenPause
	}
	what := args.Kind
	if args.ID != "" {
		what += "[" + args.ID + "]"
	}
	ctx, cancel := context.WithTimeoutCause(ctx, o.Timeout, fmt.Errorf("waiting for %s: %w after %v", what, context.DeadlineExceeded, o.Timeout))
	defer cancel()
	w := &jobWait{client: c, args: *args, o: o, pause: o.Poll}
	if err := w.kind(ctx); err != nil {
		return err
	}
	switch {
	case w.known.IC && !w.known.Idle && w.args.ID != "":
		return w.poll(ctx, w.byStatus)
	case w.known.Idle:
		return w.poll(ctx, w.untilIdle)
	case w.args.ID != "":
		return w.poll(ctx, w.bySnaps)
	}
	w.args.OnlyRunning = true
	return w.poll(ctx, w.untilNone)
}

// jobWait is one wait.
type jobWait struct {
	client *Client
	args   JobArgs
	o      WaitOptions
	known  wire.JobKind
	pause  time.Duration
	first  time.Time // of the first question
	seen   bool
	inARow int
}

// kind finds the kind of a job of which only the id is known.
func (w *jobWait) kind(ctx context.Context) error {
	if w.args.Kind == "" {
		if w.args.ID == "" {
			return errors.New("waiting for a job: neither its id nor its kind is given")
		}
		status, err := w.client.JobStatus(ctx, &JobArgs{ID: w.args.ID})
		if err != nil {
			return err
		}
		w.args.Kind = status.Kind
	}
	var ok bool
	if w.known, ok = wire.FindJobKind(w.args.Kind); !ok {
		return fmt.Errorf("unknown kind of job %q", w.args.Kind)
	}
	w.args.Kind = w.known.Name
	return nil
}

// poll asks until the question is answered: done or an error.
func (w *jobWait) poll(ctx context.Context, ask func(context.Context) (done bool, err error)) error {
	w.first = time.Now()
	longest := min(longestPoll, max(w.o.Poll, w.o.Timeout/pollsATimeout))
	for {
		done, err := ask(ctx)
		if ctx.Err() != nil && !done {
			return context.Cause(ctx)
		}
		if err != nil || done {
			return err
		}
		if err := sleep(ctx, w.pause); err != nil {
			return context.Cause(ctx)
		}
		w.pause = min(w.pause*3/2, longest)
	}
}

// byStatus asks for the state in the cluster.
func (w *jobWait) byStatus(ctx context.Context) (done bool, err error) {
	status, err := w.client.JobStatus(ctx, &w.args)
	if err != nil {
		return false, err
	}
	if w.o.OnSnaps != nil {
		if _, err := w.snaps(ctx); err != nil && !IsNotFound(err) {
			return false, err
		}
	}
	switch {
	case status.Aborted:
		return true, &JobError{Kind: status.Kind, ID: status.UUID, Aborted: true, Message: status.Error}
	case status.EndTime == 0:
		return false, nil
	case status.Error != "":
		return true, &JobError{Kind: status.Kind, ID: status.UUID, Message: status.Error}
	}
	return true, nil
}

// snaps asks the targets.
func (w *jobWait) snaps(ctx context.Context) ([]*wire.Snap, error) {
	byTarget, err := w.client.JobSnaps(ctx, &w.args)
	if err != nil {
		return nil, err
	}
	if w.o.OnSnaps != nil {
		w.o.OnSnaps(byTarget)
	}
	var all []*wire.Snap
	for _, list := range byTarget {
		all = append(all, list...)
	}
	return all, nil
}

// noJob tells that there is no such job, and not that its bucket is missing.
func noJob(err error) bool { return IsNotFound(err) && TypeCode(err) != wire.CodeBckNotFound }

// failed is the error of jobs that did not succeed. Of jobs that have not been
// named by their id only those count that run.
func failed(snaps []*wire.Snap) error {
	for _, s := range snaps {
		if s.Aborted {
			return &JobError{Kind: s.Kind, ID: s.ID, Aborted: true, Message: s.AbortError}
		}
	}
	for _, s := range snaps {
		if s.Error != "" {
			return &JobError{Kind: s.Kind, ID: s.ID, Message: s.Error}
		}
	}
	return nil
}

// untilIdle is done when every snapshot is idle twice in a row.
func (w *jobWait) untilIdle(ctx context.Context) (done bool, err error) {
	if w.args.ID == "" {
		w.args.OnlyRunning = true
	}
	snaps, err := w.snaps(ctx)
	switch {
	case noJob(err) && w.args.ID == "":
		return true, nil
	case err != nil:
		return false, err
	case len(snaps) == 0:
		return w.seen || time.Since(w.first) >= w.o.Unseen, nil
	}
	w.seen = true
	if i := slices.IndexFunc(snaps, func(s *wire.Snap) bool { return s.Aborted }); i >= 0 {
		return true, failed(snaps[i : i+1])
	}
	if slices.ContainsFunc(snaps, func(s *wire.Snap) bool { return !s.IsIdle }) {
		w.inARow = 0
		return false, nil
	}
	w.inARow++
	w.pause = w.o.Poll
	return w.inARow >= idlePolls, failedIf(w.inARow >= idlePolls, snaps)
}

func failedIf(done bool, snaps []*wire.Snap) error {
	if !done {
		return nil
	}
	return failed(snaps)
}

// bySnaps is done when the job has ended on all targets that know it, or was aborted on one.
func (w *jobWait) bySnaps(ctx context.Context) (done bool, err error) {
	snaps, err := w.snaps(ctx)
	switch {
	case IsNotFound(err) && !w.seen && time.Since(w.first) < w.o.Unseen:
		return false, nil
	case err != nil:
		return false, err
	}
	w.seen = true
	running := slices.ContainsFunc(snaps, func(s *wire.Snap) bool { return s.EndTime.IsZero() })
	aborted := slices.ContainsFunc(snaps, func(s *wire.Snap) bool { return s.Aborted })
	if running && !aborted {
		return false, nil
	}
	return true, failed(snaps)
}

// untilNone is done when jobs of the kind have been seen to run, and then three
// times in a row none; or none at all for a while.
func (w *jobWait) untilNone(ctx context.Context) (done bool, err error) {
	snaps, err := w.snaps(ctx)
	if err != nil && !noJob(err) {
		return false, err
	}
	if len(snaps) > 0 {
		w.seen, w.inARow = true, 0
		return false, nil
	}
	w.inARow++
	w.pause = w.o.Poll
	return w.seen && w.inARow >= nothingPolls || !w.seen && time.Since(w.first) >= w.o.Unseen, nil
}
