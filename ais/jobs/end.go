package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

const (
	// endTries is how often what is committed with the end of a job (OnEnd) may
	// fail until the job ends without it.
	endTries = 5
	// leastEndPause is the pause after the first failure; it doubles with each.
	leastEndPause = 250 * time.Millisecond
	// mostEndPause bounds it.
	mostEndPause = time.Minute
)

// endTrouble is a job whose OnEnd has failed.
type endTrouble struct {
	failures int
	next     time.Time // when to try again
}

// hookError is an end that the kind's OnEnd keeps from being committed, or what
// that wants to change.
type hookError struct {
	job   string
	cause error
}

// Error implements error.
func (h *hookError) Error() string { return fmt.Sprintf("end of %s: %v", h.job, h.cause) }

// Unwrap gives the cause.
func (h *hookError) Unwrap() error { return h.cause }

// Abort aborts a job everywhere, with a cause for people.
func (e *Engine) Abort(ctx context.Context, id, cause string) error { return e.abort(ctx, id, cause) }

// abort ends a job: its record first, so that it does not come back, then on
// the targets.
func (e *Engine) abort(ctx context.Context, id, cause string) error {
	record := Find(e.o.Control.View(), id)
	if record == nil || !record.Running() {
		return nil
	}
	err := e.end(ctx, id, func(r *Record) {
		r.Cause, r.Ended = cause, e.o.Now().UnixNano()
	})
	var hook *hookError
	if errors.As(err, &hook) {
		// It is aborted all the same; its end follows, see judge.
		e.o.Logger.Warn("the end of an aborted job cannot be written down yet", "job", record.Spec.Name(), "err", err)
		err = e.change(ctx, id, func(r *Record) bool {
			done := r.Cause != "" || !r.Running()
			r.Cause = cause
			return !done
		})
	}
	if err != nil {
		return err
	}
	stop := &Stop{IDs: []string{id}, Cause: cause}
	if err := e.each(ctx, e.upOf(e.nodes(record)), func(ctx context.Context, sn *meta.Snode) error {
		return e.o.Targets.Stop(ctx, sn, stop)
	}); err != nil {
		e.o.Logger.Info("a job was aborted, and a target is not told yet", "job", id, "err", err) // see stopRemains
	}
	return nil
}

// change commits a change of one record, unless there is none to make.
func (e *Engine) change(ctx context.Context, id string, change func(*Record) (changed bool)) error {
	_, err := e.o.Control.Commit(meta.WithCommandID(ctx, ""), "job", func(v *meta.View) ([]meta.Change, error) {
		r := Find(v, id)
		if r == nil || !change(r) {
			return nil, nil
		}
		c, err := put(v, r, e.o.Now())
		return []meta.Change{c}, err
	})
	return err
}

// end writes down that a job has ended, unless somebody was faster. A
// *hookError is one that is worth another try, by judge; after endTries the
// job ends without what its kind commits with the end.
func (e *Engine) end(ctx context.Context, id string, change func(*Record)) error {
	err := e.commitEnd(ctx, id, change, nil)
	var hook *hookError
	if !errors.As(err, &hook) {
		if err == nil {
			e.forget(id)
		}
		return err
	}
	if e.failed(id) < endTries {
		return err
	}
	if err := e.commitEnd(ctx, id, change, hook); err != nil {
		return err
	}
	e.o.Logger.Error("a job has ended without what belongs to its end: that is tried again and again", "job", hook.job, "err", hook.cause)
	return nil
}

// commitEnd commits an end, without the kind's OnEnd if that has failed. The
// arguments are dropped when nobody needs them any more.
func (e *Engine) commitEnd(ctx context.Context, id string, change func(*Record), failed *hookError) error {
	var hook *hookError // of this commit
	asked := ""         // the job, if its OnEnd takes part
	// A commit of its own, whichever request leads to it.
	_, err := e.o.Control.Commit(meta.WithCommandID(ctx, ""), "end job", func(v *meta.View) ([]meta.Change, error) {
		hook, asked = nil, ""
		r := Find(v, id)
		if r == nil || !r.Running() {
			return nil, nil
		}
		change(r)
		r.Over = nil
		if failed != nil {
			r.Left = failed.Error()
			c, err := put(v, r, e.o.Now())
			return []meta.Change{c}, err
		}
		changes, err := e.atEnd(v, r)
		if err != nil {
			hook = &hookError{r.Spec.Name(), err}
			return nil, hook
		}
		if len(changes) > 0 {
			asked = r.Spec.Name()
		}
		c, err := put(v, withoutArgs(r), e.o.Now())
		return append(changes, c), err
	})
	switch {
	case err == nil:
		return nil
	case hook != nil:
		return hook
	case asked != "" && !isControl(err):
		return &hookError{asked, err} // its changes are refused
	}
	return err
}

// atEnd is what a kind commits with the end of a job.
func (e *Engine) atEnd(v *meta.View, r *Record) ([]meta.Change, error) {
	e.mu.Lock()
	onEnd := e.onEnd[r.Spec.Kind]
	e.mu.Unlock()
	if onEnd == nil {
		return nil, nil
	}
	return onEnd(v, r)
}

// withoutArgs drops the arguments of a job that has ended.
func withoutArgs(r *Record) *Record {
	s := *r.Spec
	s.Args = nil
	r.Spec = &s
	return r
}

// isControl tells an error of the control plane: no commit would succeed now.
func isControl(err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	return apierr.CodeOf(err) == wire.CodeNotPrimary || apierr.StatusOf(err) == apierr.StatusServiceUnavailable
}

// catchUp commits what the end of a job has left undone, if it is time to try.
func (e *Engine) catchUp(ctx context.Context, r *Record) {
	id := r.Spec.ID
	if e.untilEndOf(id) > 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, commitTime)
	defer cancel()
	_, err := e.o.Control.Commit(meta.WithCommandID(ctx, ""), "end job", func(v *meta.View) ([]meta.Change, error) {
		r := Find(v, id)
		if r == nil || r.Left == "" {
			return nil, nil
		}
		changes, err := e.atEnd(v, r)
		if err != nil {
			return nil, err
		}
		r.Left = ""
		c, err := put(v, withoutArgs(r), e.o.Now())
		return append(changes, c), err
	})
	if err == nil {
		e.forget(id)
		e.o.Logger.Info("what belonged to the end of a job is done", "job", r.Spec.Name())
		return
	}
	e.failed(id)
	e.o.Logger.Warn("what belongs to the end of a job is not done yet", "job", r.Spec.Name(), "err", err)
}

// failed counts a failure at the end of a job, and returns how many there were.
func (e *Engine) failed(id string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	t := e.unended[id]
	pause := min(leastEndPause<<min(t.failures, 16), mostEndPause)
	t.failures++
	t.next = e.o.Now().Add(pause)
	e.unended[id] = t
	return t.failures
}

// forget drops what was remembered of a job that has ended.
func (e *Engine) forget(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.silent, id)
	delete(e.unended, id)
}

// prune forgets the troubles of jobs that another primary has ended.
func (e *Engine) prune(v *meta.View) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for id := range e.unended {
		if r := Find(v, id); r == nil || !r.Running() && r.Left == "" {
			delete(e.unended, id)
		}
	}
}

// untilEndOf is how long to wait until the end of a job is tried again.
func (e *Engine) untilEndOf(id string) time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	t, ok := e.unended[id]
	if !ok {
		return 0
	}
	return t.next.Sub(e.o.Now())
}

// untilEnd is the least of a pause and those until an end is tried again.
func (e *Engine) untilEnd(pause time.Duration) time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, t := range e.unended {
		pause = min(pause, max(0, t.next.Sub(e.o.Now())))
	}
	return pause
}
