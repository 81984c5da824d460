// Package warmup is the job load-lom-cache: it reads the metadata of all objects
// of a bucket, so that the first requests for them find it in memory.
package warmup

import (
	"context"

	"github.com/aistore-go/aistore/xact"
	"github.com/aistore-go/aistore/xact/selection"
)

// Registration makes the job known to a target. It has no arguments.
func Registration() xact.Registration {
	return xact.Registration{Kind: xact.KindLoadCache, New: func(env *xact.Env, spec *xact.Spec) (xact.Job, error) {
		_, err := selection.Bucket(env, spec.Bck, spec.BID)
		return job{}, err
	}}
}

type job struct{}

// Run implements xact.Job. The cache of metadata is bounded: of a bucket with more
// objects than it takes, those that were read last stay.
func (job) Run(ctx context.Context, x *xact.Xaction) error {
	store := x.Env().Store
	return x.Walk(ctx, xact.WalkOptions{Bck: x.Spec().Bck, Workers: 2}, func(ctx context.Context, f *xact.Found) error {
		attrs, err := store.Head(ctx, f.Key)
		switch {
		case err == nil:
			x.AddObjects(1, attrs.Size)
		case selection.IsMissing(err):
		case ctx.Err() != nil:
			return ctx.Err()
		default:
			x.AddError(err)
		}
		return nil
	})
}
