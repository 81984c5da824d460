// Package scrub is the job scrub: it reads everything that buckets hold on each
// target, compares checksums, has what is damaged restored, and moves what
// cannot be restored to quarantine. Then it looks for objects below the level of protection
// that their bucket asks for: each is an error of the job, by name, and is mended in the
// background.
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

// Check compares what there is of an object that this target owns, slices on other
// targets included, with what there should be, and has the rest made. below tells what is
// missing, "" for nothing; copies is how many a listing shows.
type Check func(ctx context.Context, key core.Key, copies int) (below string, err error)

// Registration makes the job known to a target. Its arguments are xact.StartArgs;
// without a bucket it is about all of them.
func Registration(check Check) xact.Registration {
	return xact.Registration{Kind: xact.KindScrub, New: func(env *xact.Env, spec *xact.Spec) (xact.Job, error) {
		return newJob(env, spec, check)
	}}
}

type job struct {
	env     *xact.Env
	check   Check
	checked atomic.Int64 // objects whose copies or slices were looked at
	below   atomic.Int64 // of them, those that lack some
	buckets []wire.Bck   // nil: all
	report  atomic.Pointer[core.VerifyReport]
}

func newJob(env *xact.Env, spec *xact.Spec, check Check) (xact.Job, error) {
	var args xact.StartArgs
	if err := selection.DecodeArgs(spec, &args); err != nil {
		return nil, err
	}
	j := &job{env: env, check: check, buckets: args.Buckets}
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
		j.env.Metrics.Scrubbed(r.Objects-objects, r.Bytes-bytes)
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
	if err != nil {
		return err
	}
	for _, entry := range buckets {
		if entry.Props.EC.Enabled || entry.Props.Mirror.Enabled {
			if err := j.levels(ctx, x, entry.Bck); err != nil && !apierr.IsNotFound(err) { // destroyed meanwhile
				return err
			}
		}
	}
	return nil
}

// levels looks for objects of a bucket that are below their level of protection.
func (j *job) levels(ctx context.Context, x *xact.Xaction, bck wire.Bck) error {
	owns := func(digest uint64) bool {
		owner, err := j.env.View().Smap.Owner(digest)
		return err == nil && owner.ID == j.env.NodeID
	}
	return x.Walk(ctx, xact.WalkOptions{Bck: bck, Owns: owns, Props: core.ListCopies, Workers: levelWorkers}, func(ctx context.Context, f *xact.Found) error {
		below, err := j.check(ctx, f.Key, f.Entry.Attrs.Copies)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case apierr.IsNotFound(err):
			return nil // deleted meanwhile
		case err != nil && below == "":
			x.AddError(fmt.Errorf("%s: its protection cannot be checked: %w", f.Key.Cname(), err))
		case err != nil:
			x.AddError(fmt.Errorf("%s is below its level of protection (%s), and is not going to be mended: %w", f.Key.Cname(), below, err))
		case below != "":
			x.AddError(fmt.Errorf("%s is below its level of protection: %s; it is being mended", f.Key.Cname(), below))
		}
		j.checked.Add(1)
		if below != "" {
			j.below.Add(1)
			j.env.Metrics.ScrubFound(false)
		}
		return nil
	})
}

// levelWorkers is how many objects are checked at the same time on each mountpath.
const levelWorkers = 4

// found tells of damage: what could not be restored is an error of the job.
func (j *job) found(x *xact.Xaction, f *core.Finding) {
	j.env.Logger.Warn("scrub found damage", "job", x.String(), "bucket", f.Bucket, "object", f.Name, "version", f.Version,
		"path", f.Path, "problem", f.Problem, "action", f.Action)
	j.env.Metrics.ScrubFound(f.Action == core.FindingRepaired)
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
	text := fmt.Sprintf("verified %d objects, %d copies, %d chunks, %d versions; damaged %d: repaired %d, quarantined %d, left %d; garbage %d",
		r.Objects, r.Copies, r.Chunks, r.Versions, r.Damaged(), r.Repaired, r.Quarantined, r.Left, r.Garbage)
	if n := j.checked.Load(); n > 0 {
		text += fmt.Sprintf("; protection of %d objects, under-protected %d", n, j.below.Load())
	}
	return text
}
