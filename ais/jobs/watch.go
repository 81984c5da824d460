package jobs

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/xact"
)

const (
	// leastPause and mostPause bound how often targets are asked for running jobs
	// though none has told of an end: the older the youngest job, the rarer.
	leastPause = 500 * time.Millisecond
	mostPause  = 5 * time.Second
	// idlePause is how often a primary without running jobs looks.
	idlePause = 10 * time.Second
	// reportTime bounds the question to one target.
	reportTime = 4 * time.Second
	// otherPause is how often a gateway looks whether it has become primary, beside
	// being told.
	otherPause = time.Second
	// overAfter is how long after its end on a target that is written down,
	// while others go on: the target may forget it.
	overAfter = 10 * time.Minute
)

// Run watches jobs while this node is the primary, until ctx ends.
func (e *Engine) Run(ctx context.Context) {
	for ctx.Err() == nil {
		pause := otherPause
		if e.o.Control.IsPrimary() && e.o.Control.View().Smap != nil {
			pause = e.look(ctx)
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-e.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// Refresh asks the targets for running jobs now.
func (e *Engine) Refresh(ctx context.Context) {
	if e.o.Control.IsPrimary() && e.o.Control.View().Smap != nil {
		e.look(ctx)
	}
}

// look asks the targets once, and returns when to ask again.
func (e *Engine) look(ctx context.Context) time.Duration {
	view := e.o.Control.View()
	var running []*Record
	stopped := map[string]string{} // cause by id, of what was aborted
	youngest := time.Duration(1<<63 - 1)
	for _, r := range All(view) {
		if r.Cause != "" {
			stopped[r.Spec.ID] = r.Cause
		}
		switch {
		case r.Running():
			running = append(running, r)
			youngest = min(youngest, e.o.Now().Sub(time.Unix(0, r.Spec.Started)))
		case r.Left != "":
			e.catchUp(ctx, r)
		}
	}
	e.prune(view)
	starting := e.starts()
	if len(running) == 0 && len(stopped) == 0 {
		return e.untilEnd(idlePause)
	}
	reports := e.ask(ctx, view.Smap, running)
	e.stopRemains(ctx, view.Smap, reports, stopped)
	for _, r := range running {
		if ctx.Err() != nil || !e.o.Control.IsPrimary() {
			break
		}
		if starting[r.Spec.ID] {
			continue // the reports may be older than its start
		}
		if err := e.judge(ctx, view, r, reports); err != nil {
			e.o.Logger.Warn("the state of a job is not up to date", "job", r.Spec.Name(), "err", err)
		}
	}
	if len(running) == 0 {
		return e.untilEnd(idlePause)
	}
	return e.untilEnd(min(max(leastPause, youngest/8), mostPause))
}

// starts are the ids of the jobs that are being started.
func (e *Engine) starts() map[string]bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	ids := make(map[string]bool, len(e.inFlight))
	for id := range e.inFlight {
		ids[id] = true
	}
	return ids
}

// report is what one target says; nil: nothing.
type report map[string]*wire.Snap // by id

// ask asks all targets for the running jobs.
func (e *Engine) ask(ctx context.Context, smap *meta.Smap, running []*Record) map[string]report {
	var ids []string
	for _, r := range running {
		ids = append(ids, r.Spec.ID)
	}
	var mu sync.Mutex
	reports := map[string]report{}
	var group errgroup.Group
	group.SetLimit(fanOut)
	for _, sn := range e.asked(smap) {
		group.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, reportTime)
			defer cancel()
			snaps, err := e.o.Targets.Report(ctx, sn, ids)
			if err != nil {
				return nil // judged by its silence
			}
			r := report{}
			for _, s := range snaps {
				r[s.ID] = s
			}
			mu.Lock()
			defer mu.Unlock()
			reports[sn.ID] = r
			return nil
		})
	}
	_ = group.Wait() // no call returns an error
	return reports
}

// stopRemains aborts what still runs somewhere though the job was aborted: on a target that
// could not be told at the time.
func (e *Engine) stopRemains(ctx context.Context, smap *meta.Smap, reports map[string]report, stopped map[string]string) {
	for id, r := range reports {
		for job, snap := range r {
			cause, ok := stopped[job]
			if !ok || !snap.EndTime.IsZero() || smap.Tmap[id] == nil {
				continue
			}
			ctx, cancel := context.WithTimeout(ctx, callTime)
			if err := e.o.Targets.Stop(ctx, smap.Tmap[id], &Stop{IDs: []string{job}, Cause: cause}); err != nil {
				e.o.Logger.Info("a job that was aborted still runs on a target", "job", job, "target", id, "err", err)
			}
			cancel()
		}
	}
}

// judge decides what becomes of a running job.
func (e *Engine) judge(ctx context.Context, view *meta.View, r *Record, reports map[string]report) error {
	kind, _ := xact.FindKind(r.Spec.Kind)
	if e.untilEndOf(r.Spec.ID) > 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, commitTime)
	defer cancel()
	if r.Cause != "" { // it is being aborted
		return e.abort(ctx, r.Spec.ID, r.Cause)
	}
	over := map[string]Outcome{}
	if !kind.Idle {
		maps.Copy(over, r.Over)
	}
	waits, cause := 0, ""
	for _, id := range r.Targets {
		if _, ended := over[id]; ended {
			continue
		}
		outcome, why, wait := e.target(ctx, view, kind, r, id, reports[id])
		switch {
		case why != "" && cause == "":
			cause = why
		case wait:
			waits++
		case why == "":
			over[id] = outcome
		}
	}
	switch {
	case cause != "":
		return e.abort(ctx, r.Spec.ID, cause)
	case waits == 0:
		return e.finish(ctx, r, over)
	case !kind.Idle && e.isToWrite(r, over):
		return e.writeOver(ctx, r.Spec.ID, over)
	}
	return nil
}

// target judges a job on one target: how it has ended there; or why it has to be
// aborted everywhere; or that it goes on.
func (e *Engine) target(ctx context.Context, view *meta.View, kind xact.Kind, r *Record, id string, rep report) (o Outcome, cause string, wait bool) {
	now := e.o.Now()
	sn := view.Smap.Tmap[id]
	name := "t[" + id + "]"
	switch {
	case !serves(kind, sn):
		if kind.Resumes {
			return Outcome{Ended: now.UnixNano()}, "", false // the others go on
		}
		return o, name + " has left", false
	case rep == nil:
		since := e.silence(r.Spec.ID, id, now)
		switch late := now.Sub(since) > e.o.Config().Periodic.NotifTime.D(); {
		case !late, kind.Moves: // what moves data waits for all
			return o, "", true
		case kind.Resumes:
			return Outcome{Ended: now.UnixNano(), Error: name + " does not answer"}, "", false
		}
		return o, name + " does not answer", false
	}
	e.heard(r.Spec.ID, id)
	snap := rep[r.Spec.ID]
	switch {
	case snap == nil && kind.Resumes:
		e.o.Logger.Info("a job starts again on a target that was restarted", "job", r.Spec.Name(), "target", id)
		ctx, cancel := context.WithTimeout(ctx, callTime)
		defer cancel()
		if err := e.o.Targets.Start(ctx, sn, r.Spec); err != nil {
			if status := apierr.StatusOf(onTarget(sn, err)); status != apierr.StatusServiceUnavailable && status != apierr.StatusConflict {
				return o, name + ": " + err.Error(), false
			}
		}
		return o, "", true
	case snap == nil && now.Sub(time.Unix(0, r.Spec.Started)) < startTime:
		return o, "", true // the primary that was to start it may have died: the request is repeated
	case snap == nil:
		return o, name + " was restarted", false
	case snap.Aborted:
		return o, "aborted on " + name + ": " + snap.AbortError, false
	case snap.EndTime.IsZero():
		return o, "", true
	}
	return Outcome{Ended: snap.EndTime.UnixNano(), Error: snap.Error}, "", false
}

// silence notes that a target does not answer, and returns since when.
func (e *Engine) silence(job, target string, now time.Time) time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.silent[job] == nil {
		e.silent[job] = map[string]time.Time{}
	}
	if e.silent[job][target].IsZero() {
		e.silent[job][target] = now
	}
	return e.silent[job][target]
}

func (e *Engine) heard(job, target string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.silent[job], target)
}

// finish writes down that a job has ended everywhere.
func (e *Engine) finish(ctx context.Context, r *Record, over map[string]Outcome) error {
	texts := map[string]string{}
	var ended int64
	for id, o := range over {
		texts[id] = o.Error
		ended = max(ended, o.Ended)
	}
	if ended == 0 {
		ended = e.o.Now().UnixNano()
	}
	return e.end(ctx, r.Spec.ID, func(r *Record) { r.Ended, r.Error = ended, joinErrors(texts) })
}

// isToWrite tells that a target ended a job so long ago that it may forget it.
func (e *Engine) isToWrite(r *Record, over map[string]Outcome) bool {
	for id, o := range over {
		if _, written := r.Over[id]; !written && e.o.Now().Sub(time.Unix(0, o.Ended)) > overAfter {
			return true
		}
	}
	return false
}

func (e *Engine) writeOver(ctx context.Context, id string, over map[string]Outcome) error {
	return e.change(ctx, id, func(r *Record) bool {
		if !r.Running() {
			return false
		}
		r.Over = over
		return true
	})
}

// LocalID is the id of a job of a local kind on a bucket, which is the same on
// all targets: that of one that runs, else a new one. over is an id that is not
// to be given any more, since its job was aborted; "" for none.
func (e *Engine) LocalID(ctx context.Context, kind string, bck wire.Bck, over string) string {
	const fresh = 30 * time.Second
	key, now := localKey{kind, bck}, e.o.Now()
	e.mu.Lock()
	for k, l := range e.local {
		if now.Sub(l.last) > fresh || over != "" && l.id == over {
			delete(e.local, k)
		}
	}
	if l, ok := e.local[key]; ok {
		e.local[key] = localID{l.id, now}
		e.mu.Unlock()
		return l.id
	}
	e.mu.Unlock()
	var running []string
	for _, r := range e.ask(ctx, e.o.Control.View().Smap, nil) {
		for id, s := range r {
			if s.Kind == kind && s.Bck == bck && s.EndTime.IsZero() && id != over {
				running = append(running, id)
			}
		}
	}
	slices.Sort(running) // all ask for the same one
	e.mu.Lock()
	defer e.mu.Unlock()
	if l, ok := e.local[key]; ok && l.id != over { // somebody was faster
		return l.id
	}
	id := meta.NewJobID()
	if len(running) > 0 {
		id = running[0]
	}
	e.local[key] = localID{id, now}
	return id
}
