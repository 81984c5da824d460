// Package cleanup is the job that removes what nobody can reach (kind
// cleanup-store). What goes and what stays is core.Store.Cleanup's to tell.
package cleanup

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/feature"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/xact"
)

// Registration makes the job known. slices says whether what a target keeps of objects of
// others is needed; nil: it always is.
func Registration(slices core.SliceJudge) xact.Registration {
	return xact.Registration{Kind: xact.KindCleanup, New: func(env *xact.Env, spec *xact.Spec) (xact.Job, error) {
		return newJob(env, spec, slices)
	}}
}

// job is one run.
type job struct {
	env     *xact.Env
	buckets []wire.Bck // nil: all, and what belongs to none
	args    xact.StartArgs
	slices  core.SliceJudge
	counts  core.CleanupCounts
}

func newJob(env *xact.Env, spec *xact.Spec, judge core.SliceJudge) (xact.Job, error) {
	j := &job{env: env, slices: judge}
	if len(spec.Args) > 0 {
		if err := json.Unmarshal(spec.Args, &j.args); err != nil {
			return nil, apierr.BadRequest("arguments of %s: %v", spec.Name(), err)
		}
	}
	if known := xact.FlagZeroSize | xact.FlagKeepMisplaced | xact.FlagDryRun; j.args.Flags&^known != 0 {
		return nil, apierr.BadRequest("flags of %s: %d: accepted are %d (remove objects of no bytes), %d (keep misplaced objects), and %d (dry run)",
			spec.Kind, j.args.Flags, xact.FlagZeroSize, xact.FlagKeepMisplaced, xact.FlagDryRun)
	}
	j.buckets = j.args.Buckets
	if spec.Bck.Name != "" {
		j.buckets = append(slices.Clone(j.buckets), spec.Bck)
	}
	if bmd := env.View().BMD; bmd != nil {
		for _, bck := range j.buckets {
			if _, ok := bmd.Get(bck); !ok {
				return nil, apierr.BucketNotFound(bck)
			}
		}
	}
	return j, nil
}

// Run implements xact.Job.
func (j *job) Run(ctx context.Context, x *xact.Xaction) error {
	x.SetControl(j.counts.String)
	bmd := j.env.View().BMD
	if bmd == nil {
		return apierr.Unavailable(0, "this target does not know the buckets yet")
	}
	conf, pace := j.env.Config(), x.NewPace()
	opts := core.CleanupOptions{
		Whole: j.buckets == nil, Age: conf.Space.DontCleanupTime.D(), Batch: int(conf.Space.BatchSize),
		ZeroSize:      j.args.Flags&xact.FlagZeroSize != 0,
		KeepMisplaced: j.args.Flags&xact.FlagKeepMisplaced != 0 || j.env.Disks.Available().Unsettled,
		KeepUnknown:   conf.Features.Has(feature.KeepUnknownFQN),
		Strangers:     j.args.Force,
		DryRun:        j.args.Flags&xact.FlagDryRun != 0,
		Slices:        j.slices,
		Confirmed:     j.env.Confirmed, OnError: x.AddError,
	}
	var files, bytes int64 // that were told
	tell := func() {
		if opts.DryRun {
			x.SetExt(j.counts.Report())
			return
		}
		newFiles, newBytes := j.counts.Files.Load()-files, j.counts.Bytes.Load()-bytes
		files, bytes = files+newFiles, bytes+newBytes
		x.AddObjects(newFiles, newBytes)
		j.env.Metrics.CleanedUp(int(newFiles), newBytes)
	}
	opts.Pause = func(ctx context.Context) error {
		tell()
		return pace.Wait(ctx)
	}
	if j.buckets == nil {
		opts.Buckets = bmd.Buckets(nil)
	}
	for _, bck := range j.buckets {
		if props, ok := bmd.Get(bck); ok {
			opts.Buckets = append(opts.Buckets, meta.BucketEntry{Bck: bck, Props: props})
		}
	}
	err := j.env.Store.Cleanup(ctx, opts, &j.counts)
	tell()
	return err
}
