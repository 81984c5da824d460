// Package rename is the job move-bck: it gives a bucket another name. The cluster
// makes the new bucket and stops writes to both before the job starts; the job
// copies everything, with versions and times; and when it has ended without
// an error on every target, the cluster removes the old bucket, else the new
// one. So until the end everything is in the old bucket, whatever happens.
//
// Each target copies what it holds. A name that moves between targets meanwhile
// may be passed over by both, so that a rename does not begin while objects
// move, and fails when they begin to.
package rename

import (
	"context"
	"strings"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/naming"
	"github.com/aistore-go/aistore/cmn/template"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/xact"
	"github.com/aistore-go/aistore/xact/selection"
)

// Cluster is what the job asks of its target.
type Cluster interface {
	selection.Cluster
	// Quiesce returns when no write is under way on this target that began
	// before the bucket metadata in force.
	Quiesce(ctx context.Context) error
	// SendName gives another bucket all generations of a name that this target holds,
	// with their stamps. sent tells that another target owns it there.
	SendName(ctx context.Context, from, to core.Key) (generations, bytes int64, sent bool, err error)
}

// Registration makes the job known to a target. It has no arguments.
func Registration(cluster Cluster) xact.Registration {
	return xact.Registration{Kind: wire.ActMoveBucket, New: func(env *xact.Env, spec *xact.Spec) (xact.Job, error) {
		return newJob(cluster, env, spec)
	}}
}

// Mark is what the property Renamed of the new bucket says while the job runs:
// "move-bck[<id>] <unique name of the old one>". The old bucket has just the
// action's name there.
func Mark(jobID string, from wire.Bck) string {
	return wire.ActMoveBucket + "[" + jobID + "] " + from.Uname("")
}

// ParseMark is the opposite of Mark; ok is false for any other text.
func ParseMark(renamed string) (jobID string, from wire.Bck, ok bool) {
	rest, found := strings.CutPrefix(renamed, wire.ActMoveBucket+"[")
	jobID, uname, closed := strings.Cut(rest, "] ")
	if !found || !closed {
		return "", from, false
	}
	from, err := naming.ParseBucketUname(uname)
	return jobID, from, err == nil
}

type job struct {
	env     *xact.Env
	cluster Cluster
	share   *selection.Share
	options selection.Options
	to      wire.Bck
	toBID   uint64
	toProps *meta.Bprops // when it runs
	epoch   uint64       // of the placement, when it began
}

func newJob(cluster Cluster, env *xact.Env, spec *xact.Spec) (*job, error) {
	everything, err := template.Select(&wire.ListRange{})
	if err != nil {
		return nil, err
	}
	j := &job{env: env, cluster: cluster, to: spec.To, toBID: spec.ToBID, options: selection.Options{Bck: spec.Source, Selection: everything}}
	if j.options.Props, err = selection.Bucket(env, spec.Source, spec.BID); err != nil {
		return nil, err
	}
	if err := env.Disks.Capacity().Err(); err != nil {
		return nil, err
	}
	j.share, err = selection.NewShare(env, spec)
	return j, err
}

// Run implements xact.Job.
func (j *job) Run(ctx context.Context, x *xact.Xaction) (err error) {
	// The new bucket was made together with the job, after it was checked.
	if j.toProps, err = selection.Bucket(j.env, j.to, j.toBID); err != nil {
		return err
	}
	if j.options.Props, err = selection.Bucket(j.env, j.options.Bck, j.options.Props.BID); err != nil {
		return err
	}
	if id, from, ok := ParseMark(j.toProps.Renamed); !ok || id != x.ID() || from != j.options.Bck || j.options.Props.Renamed == "" {
		return apierr.BadRequest("%s: %s is not being renamed to %s", x, j.options.Bck, j.to)
	}
	if err := j.cluster.Quiesce(ctx); err != nil {
		return err
	}
	j.epoch = j.env.View().Placement.Epoch()
	if err := j.settled(); err != nil {
		return err
	}
	versioned, err := j.sendVersions(ctx, x)
	if err != nil {
		return err
	}
	if err := j.share.Each(ctx, x, j.cluster, &j.options, func(ctx context.Context, obj *selection.Object) error {
		if versioned {
			if is, err := j.env.Store.KeepsVersions(ctx, obj.Key); is || err != nil {
				return err
			}
		}
		return j.copy(ctx, x, obj)
	}); err != nil {
		return err
	}
	if err := j.check(ctx, x); err != nil {
		return err
	}
	return j.settled()
}

// copy gives the new bucket one object.
func (j *job) copy(ctx context.Context, x *xact.Xaction, obj *selection.Object) error {
	if err := j.settled(); err != nil {
		return err
	}
	to := core.Key{Bck: j.to, Props: j.toProps, Name: obj.Key.Name}
	source, sent, err := j.cluster.Copy(ctx, x.ID(), obj.Key, to, true)
	if err != nil {
		if selection.IsMissing(err) {
			// Nobody may delete it, so it must be somewhere.
			return apierr.Wrap(err, apierr.StatusConflict, "", "%s is listed, and cannot be read: %v", obj.Key.Cname(), err)
		}
		return err
	}
	x.AddObjects(1, source.Size)
	if sent {
		x.AddOut(1, source.Size)
	}
	return nil
}

// checkBatch is how many names are asked about at a time.
const checkBatch = 512

// check looks that the new bucket has every name of the old one, before that goes.
func (j *job) check(ctx context.Context, x *xact.Xaction) error {
	var names []string
	look := func(ctx context.Context) error {
		if len(names) == 0 {
			return nil
		}
		there, err := j.cluster.Present(ctx, j.to, j.toProps, names)
		if err != nil {
			return err
		}
		for i, ok := range there {
			if !ok {
				return apierr.New(apierr.StatusConflict, "", "%s was copied, and is not there", j.to.Cname(naming.Native(names[i])))
			}
		}
		names = names[:0]
		return nil
	}
	options := j.options
	options.Workers = 1
	if err := j.share.Each(ctx, x, j.cluster, &options, func(ctx context.Context, obj *selection.Object) error {
		if names = append(names, obj.Key.Name); len(names) < checkBatch {
			return nil
		}
		return look(ctx)
	}); err != nil {
		return err
	}
	return selection.Patiently(ctx, func() error { return look(ctx) })
}
