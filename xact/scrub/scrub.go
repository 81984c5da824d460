// Package scrub is the job scrub: it reads everything that buckets hold on each
// target, compares checksums, has what is damaged restored, and moves what
// cannot be restored to quarantine.
package scrub

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/xact"
	"github.com/aistore-go/aistore/xact/selection"
)

// Registration makes the job known to a target. Its arguments are xact.StartArgs;
// without a bucket it is about all of them.
func Registration() xact.Registration {
	return xact.Registration{Kind: xact.KindScrub, New: newJob}
}

type job struct {
	env     *xact.Env
	buckets []wire.Bck // nil: all
	report  atomic.Pointer[core.VerifyReport]
}

func newJob(env *xact.Env, spec *xact.Spec) (xact.Job, error) {
	var args xact.StartArgs
	if err := selection.DecodeArgs(spec, &args); err != nil {
		return nil, err
	}
	j := &job{env: env, buckets: args.Buckets}
	if spec.Bck.Name != "" {
		j.buckets = append(j.buckets, spec.Bck)
	}
	_, err := j.entries()
	return j, err
}

// entries are the buckets as they are now.
func (j *job) entries() ([]meta.BucketEntry, error) {
	bmd := j.env.View().BMD
	if j.buckets == nil {
		return bmd.Buckets(nil), nil
	}
	var entries []meta.BucketEntry
	for _, bck := range j.buckets {
		props, ok := bmd.Get(bck)
		if !ok {
			return nil, apierr.BucketNotFound(bck)
		}
		entries = append(entries, meta.BucketEntry{Bck: bck, Props: props})
	}
	return entries, nil
}

// Run implements xact.Job.
func (j *job) Run(ctx context.Context, x *xact.Xaction) error {
	buckets, err := j.entries()
	if err != nil {
		return err
	}
	x.SetControl(j.String)
	pace := x.NewPace()
	var objects, bytes int64
	count := func(r *core.VerifyReport) {
		x.AddObjects(r.Objects-objects, r.Bytes-bytes)
		objects, bytes = r.Objects, r.Bytes
		now := *r
		now.Findings = nil
		j.report.Store(&now)
	}
	report, err := j.env.Store.VerifyWalk(ctx, core.VerifyWalkOptions{
		VerifyOptions: core.VerifyOptions{Repair: true},
		Buckets:       buckets,
		Progress: func(_ core.VerifyPosition, r *core.VerifyReport) error {
			count(r)
			return pace.Wait(ctx)
		},
		OnFinding: func(f core.Finding) { j.found(x, &f) },
	})
	count(&report)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// found tells of damage: what could not be restored is an error of the job.
func (j *job) found(x *xact.Xaction, f *core.Finding) {
	j.env.Logger.Warn("scrub found damage", "job", x.String(), "bucket", f.Bucket, "object", f.Name, "version", f.Version,
		"path", f.Path, "problem", f.Problem, "action", f.Action)
	if f.Action != core.FindingRepaired {
		x.AddError(fmt.Errorf("%s/%s (%s): %s: %s", f.Bucket, f.Name, f.Kind, f.Problem, f.Action))
	}
}

// String says how far the job is, for people.
func (j *job) String() string {
	r := j.report.Load()
	if r == nil {
		return ""
	}
	return fmt.Sprintf("verified %d objects, %d copies, %d chunks, %d versions; damaged %d: repaired %d, quarantined %d, left %d; garbage %d",
		r.Objects, r.Copies, r.Chunks, r.Versions, r.Damaged(), r.Repaired, r.Quarantined, r.Left, r.Garbage)
}
