// Package putcopies is the job put-copies: the copies of a mirrored bucket's new
// objects, as clients see their making. It begins by itself and ends when
// there is nothing left for a while; the work itself is that of package mirror.
package putcopies

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/mirror"
	"github.com/aistore-go/aistore/xact"
)

// restTime is for how long the job of a bucket does not begin again by itself after
// somebody has stopped it.
const restTime = time.Minute

// Registration makes the kind known.
func Registration() xact.Registration {
	return xact.Registration{Kind: xact.KindPutCopies, New: func(*xact.Env, *xact.Spec) (xact.Job, error) { return job{}, nil }}
}

// job waits until there is nothing more to do.
type job struct{}

// Run implements xact.Job.
func (job) Run(ctx context.Context, x *xact.Xaction) error { return x.UntilIdle(ctx) }

// Tasks starts the jobs for a mirror.Worker.
type Tasks struct {
	env *xact.Env

	mu   sync.Mutex
	last map[wire.Bck]*xact.Xaction
}

// NewTasks returns what starts jobs in an environment.
func NewTasks(env *xact.Env) *Tasks { return &Tasks{env: env, last: map[wire.Bck]*xact.Xaction{}} }

// Begin is mirror.Options.Begin.
func (t *Tasks) Begin(ctx context.Context, bck wire.Bck) (mirror.Task, error) {
	t.mu.Lock()
	last := t.last[bck]
	t.mu.Unlock()
	if last != nil && errors.Is(last.Aborted(), xact.ErrUserAbort) && time.Since(last.Ended()) < restTime {
		return nil, fmt.Errorf("%s was stopped by a user", last)
	}
	x, err := t.env.Start(ctx, xact.KindPutCopies, bck, nil)
	if err != nil {
		return nil, err
	}
	if !x.Pending(+1) {
		return nil, fmt.Errorf("%s is ending", x)
	}
	t.mu.Lock()
	t.last[bck] = x
	t.mu.Unlock()
	return &task{x}, nil
}

type task struct{ x *xact.Xaction }

// Context implements mirror.Task.
func (t *task) Context() context.Context { return t.x.Context() }

// Begin implements mirror.Task.
func (t *task) Begin(ctx context.Context) (end func(bytes int64), err error) {
	piece, err := t.x.Begin(ctx)
	return piece.End, err
}

// Did implements mirror.Task.
func (t *task) Did(p *core.Pending, did *core.Arranged, err error) {
	if err != nil {
		t.x.AddError(fmt.Errorf("%s: %w", p.Cname(), err))
		return
	}
	if did.Copied > 0 {
		t.x.AddObjects(1, did.Bytes)
	}
}

// End implements mirror.Task.
func (t *task) End() { t.x.Pending(-1) }
