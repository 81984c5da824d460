package xact

import (
	"context"
	"time"
)

// Pending counts pieces of work of an idle kind that begin (+1) and end (-1):
// a job without any for a while is idle, and then ends. False means
// that the job has ended: it takes no more work, and the caller starts another.
// What began is to be ended also when the job was aborted meanwhile.
func (x *Xaction) Pending(n int) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if n > 0 && !x.ended.IsZero() {
		return false
	}
	x.pending += n
	if x.pending <= 0 {
		x.pending, x.idleFrom = 0, time.Now()
	}
	close(x.changed)
	x.changed = make(chan struct{})
	return true
}

// UntilIdle returns nil when there was no work for a minute: then the job has
// ended and takes no more. The error is why the job was aborted. A job of an idle
// kind that has no loop of its own is Run by this.
func (x *Xaction) UntilIdle(ctx context.Context) error {
	for {
		x.mu.Lock()
		left := x.timing.idleEnd - time.Since(x.idleFrom)
		changed := x.changed
		if x.pending == 0 && left <= 0 {
			if x.ended.IsZero() {
				x.ended = time.Now()
			}
			x.mu.Unlock()
			return nil
		}
		if x.pending > 0 {
			left = x.timing.idleEnd
		}
		x.mu.Unlock()
		timer := time.NewTimer(left)
		select {
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		case <-changed:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// isIdle is what snapshots tell, under the lock: of an idle kind that there was no work
// for a few seconds, of any other that it does not run.
func (x *Xaction) isIdle() bool {
	switch {
	case !x.ended.IsZero():
		return true
	case !x.kind.Idle:
		return false
	}
	return x.pending == 0 && time.Since(x.idleFrom) >= x.quiet()
}

// quiet is how long an idle kind has no work before it is called idle: longer than
// it takes to learn that a target is gone.
func (x *Xaction) quiet() time.Duration {
	const least = 4 * time.Second
	if x.timing.idleEnd < least {
		return x.timing.idleEnd / 2
	}
	return max(least, x.env.Config().Timeout.MaxKeepalive.D()+time.Second)
}

// takes tells that a request is new to this job, and remembers it.
func (x *Xaction) takes(request string) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if _, known := x.requests[request]; known {
		return false
	}
	x.requests[request] = struct{}{}
	return true
}
