// Package remove is the job delete-listrange: it deletes the objects that a
// list, a template or a prefix selects.
package remove

import (
	"context"

	"github.com/aistore-go/aistore/cmn/template"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/xact"
	"github.com/aistore-go/aistore/xact/selection"
)

// Registration makes the job known to a target. Its arguments are a
// wire.RemoveMsg.
func Registration(cluster selection.Cluster) xact.Registration {
	return xact.Registration{Kind: wire.ActDeleteListRange, New: func(env *xact.Env, spec *xact.Spec) (xact.Job, error) {
		return newJob(cluster, env, spec)
	}}
}

type job struct {
	cluster selection.Cluster
	share   *selection.Share
	options selection.Options
}

func newJob(cluster selection.Cluster, env *xact.Env, spec *xact.Spec) (*job, error) {
	var msg wire.RemoveMsg
	if err := selection.DecodeArgs(spec, &msg); err != nil {
		return nil, err
	}
	selected, err := template.Select(&msg.ListRange)
	if err != nil {
		return nil, err
	}
	if err := selection.CheckWorkers(msg.NumWorkers); err != nil {
		return nil, err
	}
	props, err := selection.Bucket(env, spec.Bck, spec.BID)
	if err != nil {
		return nil, err
	}
	share, err := selection.NewShare(env, spec)
	if err != nil {
		return nil, err
	}
	return &job{cluster: cluster, share: share, options: selection.Options{
		Bck: spec.Bck, Props: props, Selection: selected, NonRecursive: msg.NonRecursive,
		Workers: msg.NumWorkers, ContinueOnError: msg.ContinueOnError,
	}}, nil
}

// Run implements xact.Job.
func (j *job) Run(ctx context.Context, x *xact.Xaction) error {
	return j.share.Each(ctx, x, j.cluster, &j.options, func(ctx context.Context, obj *selection.Object) error {
		size, err := j.cluster.Remove(ctx, obj.Key)
		if err == nil {
			x.AddObjects(1, size)
		}
		return err
	})
}
