// Package selection goes through the objects that a job on many objects is
// about: a list of names, ranges of names, or everything with a prefix. Each
// target visits the part that is its own, so that on all targets together each
// object is visited once, wherever it lies; and errors count as clients expect.
package selection

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/delay"
	"github.com/aistore-go/aistore/cmn/hrw"
	"github.com/aistore-go/aistore/cmn/template"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/xact"
)

// Cluster is what jobs ask of their target about objects that other targets
// own, or hold. A name that is not there is an error with status 404; errors
// with status 503 are worth another try.
type Cluster interface {
	// Stat returns the attributes of an object whose name this target owns,
	// wherever it lies.
	Stat(ctx context.Context, key core.Key) (core.Attrs, error)
	// Remove deletes an object, wherever it lies, and returns its size.
	Remove(ctx context.Context, key core.Key) (size int64, err error)
	// Copy makes an object of another name or bucket, of one that this target
	// owns or holds, and returns the attributes of the source. sent tells that
	// another target owns the copy, and counts it for the job. With moves,
	// version and times are kept.
	Copy(ctx context.Context, job string, from, to core.Key, moves bool) (source core.Attrs, sent bool, err error)
	// Present tells which names there are in a bucket, wherever they lie.
	Present(ctx context.Context, bck wire.Bck, props *meta.Bprops, names []string) ([]bool, error)
	// Answers tells whether this target is to visit an object that it holds and
	// does not own: its owner does not have it, and nobody has a newer one.
	Answers(ctx context.Context, key core.Key, stamp core.Stamp) (bool, error)
}

// Object is one that is visited.
type Object struct {
	Key    core.Key
	Listed bool  // it is in a list of names: that it is missing is an error
	Size   int64 // bytes; -1: not known, it was named and not found in an index
	Copies int   // on its target; 0: not known
}

// Share is the part of all names that is this target's, by the cluster map of
// the moment in which the job was made. It stays the same if the map changes
// meanwhile: then Cluster finds the new owners.
type Share struct {
	smap    *meta.Smap
	settled bool
	self    string
}

// NewShare takes the share of this target in a job. Every target must see the
// same targets: one that does not is told to try again, 409.
func NewShare(env *xact.Env, spec *xact.Spec) (*Share, error) {
	view := env.View()
	if view.Smap == nil {
		return nil, apierr.Unavailable(time.Second, "t[%s] has no cluster map yet", env.NodeID)
	}
	active := view.Smap.ActiveTargets()
	same := spec.Targets == nil || len(spec.Targets) == len(active)
	for _, node := range active {
		same = same && spec.Concerns(node.ID)
	}
	if !same {
		return nil, apierr.New(apierr.StatusConflict, wire.CodeBusy, "t[%s] %q is currently busy (the targets of the cluster are changing), please try again",
			env.NodeID, spec.Kind)
	}
	return &Share{smap: view.Smap, settled: view.Placement.Settled(), self: env.NodeID}, nil
}

// owns tells by the digest of a unique name whether it is this target's.
func (s *Share) owns(digest uint64) bool {
	owner, err := s.smap.Owner(digest)
	return err == nil && owner.ID == s.self
}

// Options says what is visited, and how.
type Options struct {
	Bck          wire.Bck
	Props        *meta.Bprops
	Selection    *template.Selection
	NonRecursive bool // of a prefix: only names without a slash behind it

	// Workers is how many visits are made at a time: as it is in messages of
	// clients, so 0 is left to the job, and -1 is one for each mountpath.
	Workers int
	// ContinueOnError: an error is counted, and the others are visited. Without it
	// the first error ends the job. That a listed object is missing never does.
	ContinueOnError bool
	// NeedsRoom: a visit that finds no space (507) ends the job whatever
	// ContinueOnError says, since the others would find none either.
	NeedsRoom bool
}

const (
	// autoWorkers is how many visits are made at a time for each mountpath if
	// nobody says: enough for them to share flushes.
	autoWorkers = 8
	// maxWorkers bounds the visits at a time.
	maxWorkers = 128
	// queued is how many objects wait for a worker.
	queued = 256
)

// CheckWorkers refuses a number of workers that means nothing.
func CheckWorkers(n int) error {
	if n < -1 {
		return apierr.BadRequest("invalid num-workers %d (expected -1: one for each mountpath, 0: automatic, or a positive number)", n)
	}
	return nil
}

func workers(asked, mountpaths int) int {
	switch {
	case asked > 0:
		return min(asked, maxWorkers)
	case asked < 0:
		return max(1, mountpaths)
	}
	return min(max(1, mountpaths)*autoWorkers, maxWorkers)
}

// Each visits the objects that are this target's share, several at a time. Visits that
// fail with 503 are made again for a while. It returns nil when all were
// visited, the cause if the context has ended, or the first error.
func (s *Share) Each(ctx context.Context, x *xact.Xaction, c Cluster, o *Options, visit func(ctx context.Context, obj *Object) error) error {
	env := x.Env()
	mountpaths := len(env.Disks.Available().Paths)
	count := workers(o.Workers, mountpaths)
	group, inner := errgroup.WithContext(ctx)
	queue := make(chan *Object, queued)
	group.Go(func() error {
		defer close(queue)
		pass := func(obj *Object) error {
			select {
			case queue <- obj:
				return nil
			default:
				x.ChannelFull()
			}
			select {
			case queue <- obj:
				return nil
			case <-inner.Done():
				return inner.Err()
			}
		}
		if o.Selection.ByName() {
			return s.named(inner, o, pass)
		}
		return s.found(inner, x, c, o, pass)
	})
	for range count {
		group.Go(func() error {
			for obj := range queue {
				piece, err := x.Begin(inner)
				if err != nil {
					return err
				}
				ctx := piece.With(inner)
				err = Patiently(ctx, func() error { return visit(ctx, obj) })
				piece.End(obj.Size)
				if err = judge(inner, x, o, obj, err); err != nil {
					return err
				}
			}
			return nil
		})
	}
	x.SetParallelism(mountpaths, count)
	err := group.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// judge says what an error of one visit means for the job.
func judge(ctx context.Context, x *xact.Xaction, o *Options, obj *Object, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case IsMissing(err):
		if obj.Listed {
			x.AddError(err)
		}
		return nil
	case o.NeedsRoom && apierr.StatusOf(err) == apierr.StatusInsufficientStorage:
		return err
	case o.ContinueOnError:
		x.AddError(err)
		return nil
	}
	return err
}

// IsMissing tells the error of an object, and not of a bucket, that is not
// there.
func IsMissing(err error) bool {
	if !apierr.IsNotFound(err) {
		return false
	}
	code := apierr.CodeOf(err)
	return code != wire.CodeBckNotFound && code != wire.CodeRemoteBckNotFound
}

// named passes on the names of a list or of ranges that are this target's.
func (s *Share) named(ctx context.Context, o *Options, pass func(*Object) error) error {
	var uname []byte
	count := 0
	for name := range o.Selection.Names() {
		if count++; count%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		uname = o.Bck.AppendUname(uname[:0], name)
		if !s.owns(hrw.DigestBytes(uname)) {
			continue
		}
		obj := &Object{Key: core.Key{Bck: o.Bck, Props: o.Props, Name: name}, Listed: o.Selection.Listed(), Size: -1}
		if err := pass(obj); err != nil {
			return err
		}
	}
	return nil
}

// found passes on what the index of this target has. Where every object lies
// with its owner these are the names that the target owns; else also those that
// nobody else would visit.
func (s *Share) found(ctx context.Context, x *xact.Xaction, c Cluster, o *Options, pass func(*Object) error) error {
	walk := xact.WalkOptions{
		Bck: o.Bck, Prefix: o.Selection.Prefix(), NonRecursive: o.NonRecursive, Props: core.ListSize | core.ListCopies,
		Stamps: !s.settled, Lists: true,
	}
	if s.settled {
		walk.Owns = s.owns
	}
	return x.Walk(ctx, walk, func(ctx context.Context, f *xact.Found) error {
		if f.Entry.Tombstone {
			return nil
		}
		if !s.settled && !s.owns(hrw.Digest(o.Bck.Uname(f.Key.Name))) {
			var mine bool
			err := Patiently(ctx, func() (err error) {
				mine, err = c.Answers(ctx, f.Key, f.Entry.Attrs.Stamp)
				return err
			})
			if err != nil || !mine {
				return err
			}
		}
		return pass(&Object{Key: core.Key{Bck: o.Bck, Props: o.Props, Name: f.Key.Name}, Size: f.Entry.Attrs.Size, Copies: f.Entry.Attrs.Copies})
	})
}

// Again is after what time a client is asked to come back.
const Again = time.Second

const (
	// patience is how long a visit that fails with 503 is made again.
	patience = 30 * time.Second
	// firstPause and lastPause are between two tries.
	firstPause = 20 * time.Millisecond
	lastPause  = 2 * time.Second
)

// Patiently makes a call again for a while as long as it fails with 503: an
// owner does not answer, or is about to change.
func Patiently(ctx context.Context, call func() error) error {
	began, wait := time.Now(), firstPause
	for {
		err := call()
		if err == nil || apierr.StatusOf(err) != apierr.StatusServiceUnavailable || time.Since(began) > patience || ctx.Err() != nil {
			return err
		}
		if delay.For(ctx, wait) != nil {
			return err
		}
		wait = min(2*wait, lastPause)
	}
}
