// Package resilver is the job resilver: after mountpaths came or left, everything
// on this target is brought to the mountpath where it belongs, copies are made
// where they are missing, and mountpaths that wait to leave, leave when nothing
// is on them any more.
//
// How one name is moved, and what a crash leaves of that, is the engine's
// (core.Store.Arrange). That a resilver is due is in the volume record (fs.Set,
// Unarranged), so no marker of its own is needed: the next start goes on.
package resilver

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/delay"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/xact"
)

const (
	// perMountpath is how many names of each mountpath are worked on at the same
	// time.
	perMountpath = 4
	// maxPasses is how often it begins anew for names that could not be moved;
	// one that is busy is not skipped for good.
	maxPasses = 4
	passPause = 500 * time.Millisecond
	// maxNamed is how many names of what cannot be moved are told.
	maxNamed = 16
	// maxSets bounds how often the mountpaths may change under one run.
	maxSets = 100
)

// Registration makes the kind known. returns takes a mountpath back that waits to
// leave: a user has aborted the job.
func Registration(returns func(ctx context.Context, path string) error) xact.Registration {
	return xact.Registration{Kind: xact.KindResilver, New: func(*xact.Env, *xact.Spec) (xact.Job, error) {
		return &job{returns: returns}, nil
	}}
}

// Due tells that a resilver has something to do, or may have.
func Due(set *fs.Set) bool { return set.Unsettled || set.Unarranged || len(set.Leaving) > 0 }

type job struct {
	returns func(ctx context.Context, path string) error

	visited, moved, copied, removed atomic.Int64
	again                           atomic.Int64 // names that were busy or failed, and were tried again
	pass                            atomic.Int64
	bucket                          atomic.Pointer[string]
	left                            atomic.Pointer[string]
}

// Run implements xact.Job.
func (j *job) Run(ctx context.Context, x *xact.Xaction) error {
	x.SetControl(j.control)
	env := x.Env()
	for range maxSets {
		set := env.Disks.Available()
		err := j.arrange(ctx, x, set)
		if err == nil {
			err = j.commit(ctx, x, set)
		}
		switch {
		case errors.Is(err, errSetChanged):
			continue
		case err != nil && errors.Is(context.Cause(ctx), xact.ErrUserAbort):
			return errors.Join(context.Cause(ctx), j.giveBack(env))
		}
		return err
	}
	return errSetChanged
}

// errSetChanged: mountpaths came or left meanwhile; all is to be looked at again.
var errSetChanged = errors.New("the mountpaths have changed")

func (j *job) control() string {
	text := fmt.Sprintf("visited:%d, moved:%d, copied:%d, removed:%d", j.visited.Load(), j.moved.Load(), j.copied.Load(), j.removed.Load())
	if b := j.bucket.Load(); b != nil {
		text += ", bucket:" + *b
	}
	if n := j.pass.Load(); n > 1 {
		text += fmt.Sprintf(", pass:%d, tried again:%d", n, j.again.Load())
	}
	if left := j.left.Load(); left != nil {
		text += ", " + *left
	}
	return text
}

// arrange goes through all buckets until nothing is left to do.
func (j *job) arrange(ctx context.Context, x *xact.Xaction, set *fs.Set) error {
	var failed failures
	for pass := 1; ; pass++ {
		j.pass.Store(int64(pass))
		failed = failures{}
		bmd := x.Env().View().BMD
		if bmd == nil {
			return errors.New("this target does not know the buckets yet")
		}
		for _, entry := range bmd.Buckets(nil) {
			name := entry.Bck.String()
			j.bucket.Store(&name)
			if err := j.one(ctx, x, set, entry, &failed); err != nil {
				return err
			}
		}
		if x.Env().Disks.Available() != set {
			return errSetChanged
		}
		if failed.count == 0 {
			return nil
		}
		if pass == maxPasses {
			break
		}
		j.again.Add(int64(failed.count))
		x.Env().Logger.Info("names that are busy, or cannot be moved, are tried again",
			"job", x.String(), "pass", pass, "count", failed.count, "names", strings.Join(failed.names, ", "), "first", failed.first)
		if err := delay.For(ctx, passPause<<pass); err != nil {
			return err
		}
	}
	err := failed.err()
	x.AddError(err)
	return err
}

// failures are the names that could not be moved in one pass.
type failures struct {
	mu    sync.Mutex
	count int
	names []string
	first error
}

func (f *failures) add(key *core.Key, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.count++; f.first == nil {
		f.first = err
	}
	if len(f.names) < maxNamed {
		f.names = append(f.names, key.Cname())
	}
}

func (f *failures) err() error {
	more := ""
	if n := f.count - len(f.names); n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	return fmt.Errorf("%d objects cannot be moved: %s%s: %w", f.count, strings.Join(f.names, ", "), more, f.first)
}

// one goes through one bucket.
func (j *job) one(ctx context.Context, x *xact.Xaction, set *fs.Set, entry meta.BucketEntry, failed *failures) error {
	store := x.Env().Store
	for _, list := range []func(context.Context, *fs.Mountpath, func(core.Key) error) error{
		func(ctx context.Context, mp *fs.Mountpath, visit func(core.Key) error) error {
			return store.Unarranged(ctx, set, mp, entry, visit)
		},
		func(ctx context.Context, mp *fs.Mountpath, visit func(core.Key) error) error {
			return store.UploadsOf(ctx, mp, entry, visit)
		},
		func(ctx context.Context, mp *fs.Mountpath, visit func(core.Key) error) error {
			return store.SlicesOf(ctx, set, mp, entry, visit)
		},
	} {
		// A mountpath after the other begins, and all go on at the same time.
		group, ctx := errgroup.WithContext(ctx)
		for _, mp := range set.All() {
			group.Go(func() error {
				workers, ctx := errgroup.WithContext(ctx)
				workers.SetLimit(perMountpath)
				err := list(ctx, mp, func(key core.Key) error {
					workers.Go(func() error { return j.name(ctx, x, set, key, failed) })
					return ctx.Err()
				})
				if failed := workers.Wait(); failed != nil {
					return failed
				}
				return err
			})
		}
		x.SetParallelism(len(set.All()), perMountpath*len(set.All()))
		if err := group.Wait(); err != nil {
			if cause := context.Cause(ctx); cause != nil && errors.Is(err, context.Canceled) {
				return cause
			}
			return err
		}
	}
	return nil
}

// name arranges one name. The error ends the run.
func (j *job) name(ctx context.Context, x *xact.Xaction, set *fs.Set, key core.Key, failed *failures) error {
	env := x.Env()
	if env.Disks.Available() != set {
		return errSetChanged
	}
	piece, err := x.Begin(ctx)
	if err != nil {
		return err
	}
	did, err := env.Store.Arrange(ctx, key)
	piece.End(did.Bytes)
	j.visited.Add(1)
	j.moved.Add(int64(did.Moved))
	j.copied.Add(int64(did.Copied))
	j.removed.Add(int64(did.Removed))
	if did.Moved+did.Copied > 0 {
		x.AddObjects(1, did.Bytes)
	}
	switch {
	case err == nil, apierr.IsNotFound(err): // its bucket was destroyed
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	failed.add(&key, err) // one mountpath that is full does not keep names from the others
	return nil
}

// commit lets mountpaths leave on which nothing is left, and notes that everything is
// where it belongs.
func (j *job) commit(ctx context.Context, x *xact.Xaction, set *fs.Set) error {
	env := x.Env()
	buckets := env.View().BMD.Buckets(nil)
	for _, mp := range set.Leaving {
		names, err := env.Store.LeftOn(ctx, mp, buckets, maxNamed)
		if err != nil {
			return err
		}
		if len(names) > 0 {
			err := fmt.Errorf("mountpath %s stays, because something is still on it: %s", mp.Path, strings.Join(names, ", "))
			text := err.Error()
			j.left.Store(&text)
			x.AddError(err)
			return err
		}
	}
	if env.Disks.Available() != set {
		return errSetChanged
	}
	if len(set.Leaving) == 0 {
		return env.Disks.Settle(set)
	}
	for _, mp := range set.Leaving {
		if err := env.Disks.FinishRemoval(mp.Path); err != nil {
			if apierr.IsNotFound(err) {
				return errSetChanged // it was taken back
			}
			return err
		}
		env.Logger.Info("mountpath has left, after everything on it was moved", "mountpath", mp.Path)
	}
	// What is in use is what it was arranged for, less what has left.
	now := env.Disks.Available()
	if len(now.Leaving) > 0 || !samePaths(now, set) {
		return errSetChanged
	}
	return env.Disks.Settle(now)
}

func samePaths(a, b *fs.Set) bool {
	if len(a.Paths) != len(b.Paths) {
		return false
	}
	for i := range a.Paths {
		if a.Paths[i] != b.Paths[i] {
			return false
		}
	}
	return true
}

// giveBack makes mountpaths available again that were to leave: a user has
// stopped the moving.
func (j *job) giveBack(env *xact.Env) error {
	if j.returns == nil {
		return nil
	}
	var errs []error
	for _, mp := range env.Disks.Available().Leaving {
		errs = append(errs, j.returns(context.Background(), mp.Path))
	}
	return errors.Join(errs...)
}
