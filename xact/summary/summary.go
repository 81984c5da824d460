// Package summary is the job summary-bck: it counts the objects of a bucket, or
// of several, and their bytes.
package summary

import (
	"context"
	"sync"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/template"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/xact"
	"github.com/aistore-go/aistore/xact/selection"
)

// Args are the arguments of the job.
type Args struct {
	Prefix  string     `json:"prefix,omitempty"` // of names, in the native form
	Buckets []wire.Bck `json:"buckets"`
}

// Result is what one target has counted so far.
type Result struct {
	Done    bool                 `json:"done"`
	Error   string               `json:"error,omitempty"` // why the job has failed
	Buckets []wire.BucketSummary `json:"buckets"`
}

// Level tells why an object has fewer copies or slices than its bucket asks for,
// "" if it has not; copies is how many a listing shows of it.
type Level func(ctx context.Context, key core.Key, copies int) (below string, err error)

// Registration makes the job known to a target. level may be nil: then nothing
// counts as below its level of protection.
func Registration(cluster selection.Cluster, level Level) xact.Registration {
	return xact.Registration{Kind: wire.ActSummaryBucket, New: func(env *xact.Env, spec *xact.Spec) (xact.Job, error) {
		j, err := newJob(cluster, env, spec)
		if err != nil {
			return nil, err
		}
		j.level = level
		return j, nil
	}}
}

// Job is the job on one target; see Of.
type Job struct {
	env      *xact.Env
	cluster  selection.Cluster
	share    *selection.Share
	selected *template.Selection
	buckets  []meta.BucketEntry
	level    Level // nil: not asked

	mu   sync.Mutex
	sums []wire.BucketSummary // of buckets
}

func newJob(cluster selection.Cluster, env *xact.Env, spec *xact.Spec) (*Job, error) {
	var args Args
	if err := selection.DecodeArgs(spec, &args); err != nil {
		return nil, err
	}
	j := &Job{env: env, cluster: cluster}
	var err error
	if j.selected, err = template.SelectPrefix(args.Prefix); err != nil {
		return nil, err
	}
	if j.share, err = selection.NewShare(env, spec); err != nil {
		return nil, err
	}
	for _, bck := range args.Buckets {
		props, err := selection.Bucket(env, bck, 0)
		if err != nil {
			return nil, err
		}
		j.buckets = append(j.buckets, meta.BucketEntry{Bck: bck, Props: props})
		j.sums = append(j.sums, wire.BucketSummary{Bck: bck})
	}
	return j, nil
}

// Run implements xact.Job.
func (j *Job) Run(ctx context.Context, x *xact.Xaction) error {
	disks := diskBytes(j.env)
	for i := range j.buckets {
		entry := &j.buckets[i]
		j.mu.Lock()
		j.sums[i].Total.Disks = disks
		j.mu.Unlock()
		if err := j.bucket(ctx, x, entry, &j.sums[i]); err != nil {
			return err
		}
	}
	return nil
}

// bucket counts one bucket.
func (j *Job) bucket(ctx context.Context, x *xact.Xaction, entry *meta.BucketEntry, sum *wire.BucketSummary) error {
	options := selection.Options{Bck: entry.Bck, Props: entry.Props, Selection: j.selected, Workers: 1}
	protected := entry.Props.EC.Enabled || entry.Props.Mirror.Enabled
	err := j.share.Each(ctx, x, j.cluster, &options, func(ctx context.Context, obj *selection.Object) error {
		one := ofObject(obj.Size, obj.Copies)
		if protected && j.level != nil {
			below, err := j.level(ctx, obj.Key, obj.Copies)
			if err != nil && !apierr.IsNotFound(err) { // it may be another target's by now
				return err
			}
			if below != "" {
				one.UnderProtected = 1
			}
		}
		j.mu.Lock()
		sum.Add(&one)
		j.mu.Unlock()
		x.AddObjects(1, obj.Size)
		return nil
	})
	if apierr.IsNotFound(err) {
		return nil // destroyed meanwhile: what it has is nothing
	}
	return err
}

// block is the grain in which filesystems give out space, in bytes.
const block = 4096

// ofObject is the summary of one object. What its copies on further mountpaths take
// counts as well.
func ofObject(size int64, copies int) wire.BucketSummary {
	n := uint64(max(1, copies)) //nolint:gosec // few
	bytes := uint64(max(0, size))
	return wire.BucketSummary{
		Count: wire.SummaryCount{Present: 1},
		Size:  wire.SummarySize{Min: size, Max: size},
		Total: wire.SummaryTotal{Present: n * bytes, OnDisk: n * ((bytes + block - 1) / block * block)},
	}
}

// diskBytes is the size of all disks of a target.
func diskBytes(env *xact.Env) uint64 {
	c := env.Disks.Capacity()
	return c.Used + c.Avail
}

// Of returns what a summary has counted on this target; ok is false for any
// other job.
func Of(x *xact.Xaction) (r Result, ok bool) {
	j, ok := x.Job().(*Job)
	if !ok {
		return r, false
	}
	select { // before the figures are read
	case <-x.Done():
		r.Done = true
	default:
	}
	j.mu.Lock()
	r.Buckets = append(r.Buckets, j.sums...)
	j.mu.Unlock()
	if err := x.Aborted(); err != nil {
		r.Error = err.Error()
	}
	return r, true
}
