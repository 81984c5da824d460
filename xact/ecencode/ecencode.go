// Package ecencode is the job ec-encode: it makes the slices and replicas that
// the objects of a bucket lack, and in its form "recover" compares all that is
// there with what should be, and puts it right. The work itself is that of package ec.
package ecencode

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/ec"
	"github.com/aistore-go/aistore/xact"
)

// Args are the arguments of a job.
type Args struct {
	// Recover: no note of an owner is believed: all targets are asked.
	Recover bool `json:"recover,omitempty"`
	// Read: all slices are read and compared with their checksums.
	Read bool `json:"read,omitempty"`
	// Reason is why it was started, if nobody has asked for it.
	Reason string `json:"reason,omitempty"`
}

const (
	// joggers is the number of objects that are looked after at the same time on each mountpath.
	joggers = 4
	// enableTime bounds the wait for the bucket's properties to be in effect here.
	enableTime = 30 * time.Second
	enablePoll = 20 * time.Millisecond
)

// Registration makes the kind known to a target with an engine.
func Registration(engine *ec.Engine) xact.Registration {
	return xact.Registration{Kind: xact.KindECEncode, New: func(env *xact.Env, spec *xact.Spec) (xact.Job, error) {
		j := &job{env: env, engine: engine}
		if len(spec.Args) > 0 {
			if err := json.Unmarshal(spec.Args, &j.args); err != nil {
				return nil, apierr.BadRequest("invalid arguments of %s: %v", spec.Kind, err)
			}
		}
		if spec.Bck.Name == "" {
			return nil, apierr.BadRequest("%s needs a bucket", spec.Kind)
		}
		if !j.args.Recover { // what was lost is made again as long as there is any room
			if err := env.Disks.Capacity().Err(); err != nil {
				return nil, err
			}
		}
		return j, nil
	}}
}

// job is the work on one target.
type job struct {
	env    *xact.Env
	engine *ec.Engine
	args   Args

	phase   atomic.Pointer[string]
	objects atomic.Int64 // looked after
	pieces  atomic.Int64 // slices and replicas that were made
	bytes   atomic.Int64 // of them
	asked   atomic.Int64 // slices held here whose owner was asked
	failed  atomic.Int64
	began   time.Time
}

// Run implements xact.Job.
func (j *job) Run(ctx context.Context, x *xact.Xaction) error {
	j.began = time.Now()
	x.SetControl(j.control)
	bck := x.Spec().Bck
	props, err := j.enabled(ctx, bck)
	if err != nil {
		return err
	}
	j.enter("objects")
	if err := j.encode(ctx, x, bck); err != nil {
		return err
	}
	if !j.args.Recover {
		return nil
	}
	j.enter("slices")
	return j.engine.RecoverHeld(ctx, meta.BucketEntry{Bck: bck, Props: props}, func(slices int64, errs []error) {
		j.asked.Add(slices)
		for _, err := range errs {
			j.failed.Add(1)
			x.AddError(err)
		}
	})
}

// enabled waits until erasure coding is in effect for the bucket.
func (j *job) enabled(ctx context.Context, bck wire.Bck) (*meta.Bprops, error) {
	deadline := time.Now().Add(enableTime)
	tick := time.NewTicker(enablePoll)
	defer tick.Stop()
	for {
		props, ok := j.env.View().BMD.Get(bck)
		switch {
		case !ok:
			return nil, apierr.BucketNotFound(bck)
		case props.EC.Enabled:
			return props, nil
		case time.Now().After(deadline):
			return nil, apierr.BadRequest("%s: erasure coding is not enabled", bck)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// encode looks after all objects of the bucket that this target owns.
func (j *job) encode(ctx context.Context, x *xact.Xaction, bck wire.Bck) error {
	check := ec.TrustNote
	switch {
	case j.args.Recover && j.args.Read:
		check = ec.ReadAll
	case j.args.Recover:
		check = ec.AskAll
	}
	owns := func(digest uint64) bool {
		owner, err := j.env.View().Smap.Owner(digest)
		return err == nil && owner.ID == j.env.NodeID
	}
	options := xact.WalkOptions{Bck: bck, Workers: joggers, Owns: owns, Props: core.ListSize}
	return x.Walk(ctx, options, func(ctx context.Context, f *xact.Found) error {
		out, err := j.engine.ProtectObject(ctx, f.Key, check)
		j.objects.Add(1)
		j.pieces.Add(int64(out.Pieces))
		j.bytes.Add(out.Bytes)
		x.AddOut(int64(out.Pieces), out.Bytes)
		if err != nil && !ec.Changed(err) {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			j.failed.Add(1)
			x.AddError(fmt.Errorf("%s: %w", f.Key.Cname(), err))
			return nil
		}
		x.AddObjects(1, f.Entry.Attrs.Size)
		return nil
	})
}

func (j *job) enter(phase string) { j.phase.Store(&phase) }

// control is the message for people: how far the job is, and how fast.
func (j *job) control() string {
	text := ""
	if j.args.Recover {
		text = "recover"
	}
	if j.args.Reason != "" {
		text += " (" + j.args.Reason + ")"
	}
	if phase := j.phase.Load(); phase != nil {
		text += " phase:" + *phase
	}
	seconds := max(time.Since(j.began).Seconds(), 1e-3)
	objects, bytes := j.objects.Load(), j.bytes.Load()
	text += fmt.Sprintf(" objects:%d (%.0f/s) made:%d (%.1f MiB/s) checked:%d failed:%d unprotected:%d",
		objects, float64(objects)/seconds, j.pieces.Load(), float64(bytes)/seconds/(1<<20), j.asked.Load(), j.failed.Load(),
		j.env.Store.PendingStats(core.WorkSlices).Count)
	if text[0] == ' ' {
		text = text[1:]
	}
	return text
}
