// Package tcb is the jobs copy-bck and copy-listrange: they copy a bucket, or
// selected objects of one, to another bucket or to other names. Each target
// reads the objects that are its own, and sends them straight to the targets
// that own their copies.
package tcb

import (
	"context"
	"sync"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/xact"
	"github.com/aistore-go/aistore/xact/selection"
)

// Bucket makes the job copy-bck known to a target. Its arguments are Args.
func Bucket(cluster selection.Cluster) xact.Registration {
	return xact.Registration{Kind: wire.ActCopyBucket, New: func(env *xact.Env, spec *xact.Spec) (xact.Job, error) {
		var args Args
		if err := selection.DecodeArgs(spec, &args); err != nil {
			return nil, err
		}
		r, err := newRequest(cluster, env, spec, &args.CopyBucketMsg, nil)
		if err != nil {
			return nil, err
		}
		return bucketJob{r}, nil
	}}
}

type bucketJob struct{ *request }

// Run implements xact.Job.
func (j bucketJob) Run(ctx context.Context, x *xact.Xaction) error { return j.run(ctx, x) }

// Objects makes the job copy-listrange known to a target. Its arguments are
// Args. One job serves all requests of one source and
// destination; each has its own arguments.
func Objects(cluster selection.Cluster) xact.Registration {
	return xact.Registration{Kind: wire.ActCopyListRange, New: func(env *xact.Env, spec *xact.Spec) (xact.Job, error) {
		j := &objectsJob{cluster: cluster, env: env}
		first, err := j.request(spec)
		if err != nil {
			return nil, err
		}
		j.queue = []*request{first}
		return j, nil
	}}
}

// objectsJob copies for several requests, which may come at any time.
type objectsJob struct {
	cluster selection.Cluster
	env     *xact.Env

	mu      sync.Mutex
	queue   []*request // before Run
	x       *xact.Xaction
	ctx     context.Context // of Run
	closed  bool
	running sync.WaitGroup
}

func (j *objectsJob) request(spec *xact.Spec) (*request, error) {
	var args Args
	if err := selection.DecodeArgs(spec, &args); err != nil {
		return nil, err
	}
	return newRequest(j.cluster, j.env, spec, &args.CopyBucketMsg, &args.ListRange)
}

// Extend implements xact.Extender.
func (j *objectsJob) Extend(_ context.Context, spec *xact.Spec) error {
	r, err := j.request(spec)
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.x == nil {
		j.queue = append(j.queue, r)
		return nil
	}
	if _, err := selection.Bucket(j.env, spec.To, spec.ToBID); err != nil && !r.msg.DryRun {
		// Another job has to make it again.
		j.x.Abort(err)
		return apierr.Unavailable(selection.Again, "%s has just ended: %v", j.x, err)
	}
	return j.begin(r)
}

// begin starts the work of a request, under the lock.
func (j *objectsJob) begin(r *request) error {
	if j.closed || !j.x.Pending(+1) {
		return apierr.Unavailable(selection.Again, "%s has just ended", j.x)
	}
	j.running.Go(func() {
		defer j.x.Pending(-1)
		if err := r.run(j.ctx, j.x); err != nil {
			j.x.Abort(err)
		}
	})
	return nil
}

// Run implements xact.Job.
func (j *objectsJob) Run(ctx context.Context, x *xact.Xaction) error {
	j.mu.Lock()
	j.x, j.ctx = x, ctx
	var err error
	for _, r := range j.queue {
		if err == nil {
			err = j.begin(r)
		}
	}
	j.queue = nil
	j.mu.Unlock()
	if err == nil {
		err = x.UntilIdle(ctx)
	}
	j.mu.Lock()
	j.closed = true
	j.mu.Unlock()
	j.running.Wait()
	return err
}
