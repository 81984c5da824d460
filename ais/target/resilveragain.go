package target

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/aistore-go/aistore/xact"
	"github.com/aistore-go/aistore/xact/resilver"
)

const (
	// resilverFirst is after what time a resilver that could not do everything is
	// tried again; the time doubles with each further failure, up to resilverLongest.
	resilverFirst   = 5 * time.Second
	resilverLongest = 10 * time.Minute
)

// resilverRetry tells when a resilver that has failed is tried again. A name may
// have been in use, or a mountpath full: what is due stays due, and nobody else
// would look after it before the next start.
type resilverRetry struct {
	failures atomic.Int64 // one after the other
}

// after is how long to wait when a job has ended; 0: it is not tried again.
// What a user has stopped, or a newer job has replaced, has not failed.
func (r *resilverRetry) after(cause error) time.Duration {
	switch {
	case cause == nil:
		r.failures.Store(0)
		return 0
	case errors.Is(cause, xact.ErrUserAbort), errors.Is(cause, xact.ErrRenewal), errors.Is(cause, errStopping):
		return 0
	}
	wait := resilverFirst
	for range min(r.failures.Add(1)-1, 10) {
		wait *= 2
	}
	return min(wait, resilverLongest)
}

// resilverEnded has what a resilver has left undone tried again.
func (t *Target) resilverEnded(x *xact.Xaction) {
	wait := t.resilverRetry.after(x.Aborted())
	if wait == 0 || !resilver.Due(t.fs.Available()) {
		return
	}
	t.logger.Warn("resilver has not done everything, and is tried again", "job", x.String(), "after", wait, "err", x.Aborted())
	time.AfterFunc(wait, func() {
		running := true
		if t.ctx.Err() == nil && resilver.Due(t.fs.Available()) && len(t.jobs.Select(xact.Query{Kind: xact.KindResilver, Running: &running})) == 0 {
			t.needResilver()
		}
	})
}
