// Package makecopies is the job make-n-copies: every object of a bucket gets as
// many copies as the bucket's properties say, and loses those that are too many.
package makecopies

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/xact"
)

const (
	// MaxCopies is the greatest number that may be asked for.
	MaxCopies = 16
	// spaceEvery is after how many objects it looks whether there is room.
	spaceEvery = 128
	// propsTime is how long it waits for the properties that it is to bring about.
	propsTime = 30 * time.Second
	propsStep = 10 * time.Millisecond
)

// Args are the arguments of the job.
type Args struct {
	Copies int `json:"copies"` // instances of each object, the object itself included: 1 to 16
	// Raises: there were fewer before; it is not begun on a disk that is filling up.
	Raises bool `json:"raises,omitempty"`
}

// Validate refuses a number that no target could bring about.
func Validate(copies int) error {
	if copies < 1 || copies > MaxCopies {
		return apierr.BadRequest("invalid number of copies: %d (expecting 1 to %d)", copies, MaxCopies)
	}
	return nil
}

// CheckMountpaths refuses a number of which a target with so many mountpaths cannot
// make as many.
func CheckMountpaths(copies, mountpaths int) error {
	if copies > mountpaths {
		return apierr.BadRequest("number of copies (%d) exceeds the number of mountpaths (%d)", copies, mountpaths)
	}
	return nil
}

// Registration makes the kind known.
func Registration() xact.Registration {
	return xact.Registration{Kind: xact.KindMakeCopies, New: newJob}
}

type job struct {
	Args
	spec    *xact.Spec
	visited atomic.Int64
	short   atomic.Int64 // objects that have fewer
}

func newJob(env *xact.Env, spec *xact.Spec) (xact.Job, error) {
	j := &job{spec: spec}
	if err := json.Unmarshal(spec.Args, &j.Args); err != nil {
		return nil, apierr.BadRequest("failed to unmarshal the arguments of %s: %v", spec.Kind, err)
	}
	if err := Validate(j.Copies); err != nil {
		return nil, err
	}
	if err := CheckMountpaths(j.Copies, len(env.Disks.Available().Paths)); err != nil {
		return nil, err
	}
	if j.Raises {
		if err := hasRoom(env); err != nil {
			return nil, err
		}
	}
	return j, nil
}

// hasRoom is a 507 while the target is above the high watermark.
func hasRoom(env *xact.Env) error {
	used, high := env.Disks.Capacity().PctMax, env.Config().Space.HighWM
	if int64(used) <= int64(high) {
		return nil
	}
	return apierr.New(apierr.StatusInsufficientStorage, "", "t[%s]: no room for more copies: used capacity %d%% is above the high watermark (%d%%)", env.NodeID, used, high)
}

// Run implements xact.Job.
func (j *job) Run(ctx context.Context, x *xact.Xaction) error {
	x.SetControl(func() string {
		text := fmt.Sprintf("mnc-actmnc, copies:%d, visited:%d", j.Copies, j.visited.Load())
		if n := j.short.Load(); n > 0 {
			text += fmt.Sprintf(", with fewer copies:%d", n)
		}
		return text
	})
	env := x.Env()
	if err := j.awaitProps(ctx, env); err != nil {
		return err
	}
	// Of what was deleted there may be versions.
	props, known := env.View().BMD.Get(j.spec.Bck)
	deleted := known && env.Store.MayHoldVersions(j.spec.Bck, props)
	return x.Walk(ctx, xact.WalkOptions{Bck: j.spec.Bck, Workers: 2, Stamps: deleted, Props: core.ListSize}, func(ctx context.Context, f *xact.Found) error {
		if j.visited.Add(1)%spaceEvery == 0 {
			if err := env.Disks.OutOfSpace(); err != nil {
				return err
			}
		}
		j.one(ctx, x, f.Key, f.Entry.Tombstone)
		return nil
	})
}

// awaitProps waits until this target has the properties that the job is about.
func (j *job) awaitProps(ctx context.Context, env *xact.Env) error {
	tick := time.NewTicker(propsStep)
	defer tick.Stop()
	deadline := time.After(propsTime)
	for {
		props, ok := env.View().BMD.Get(j.spec.Bck)
		if !ok {
			return apierr.BucketNotFound(j.spec.Bck)
		}
		if Instances(props) == j.Copies {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-deadline:
			return fmt.Errorf("the properties of %s say %d copies, this job is for %d", j.spec.Bck, Instances(props), j.Copies)
		}
	}
}

// Instances is how many instances of an object the properties of a bucket ask
// for.
func Instances(p *meta.Bprops) int {
	if !p.Mirror.Enabled {
		return 1
	}
	return max(1, p.Mirror.Copies)
}

func (j *job) one(ctx context.Context, x *xact.Xaction, key core.Key, deleted bool) {
	did, err := x.Env().Store.ArrangeCopies(ctx, key)
	if apierr.IsNotFound(err) {
		return // destroyed meanwhile
	}
	if err != nil {
		x.AddError(fmt.Errorf("%s: %w", key.Cname(), err))
		return
	}
	if did.Short() > 0 {
		j.short.Add(1)
	}
	if !deleted || did.Versions > 0 {
		x.AddObjects(1, did.Bytes)
	}
}
