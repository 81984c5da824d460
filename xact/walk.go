package xact

import (
	"context"

	"golang.org/x/sync/errgroup"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/fs"
)

const (
	// walkPage is how many names a walk takes from the index at a time.
	walkPage = 1000
	// walkQueue is how many names wait for the joggers of one mountpath.
	walkQueue = 256
)

// WalkOptions says what a walk visits.
type WalkOptions struct {
	// Bck is the bucket; one without a name: all buckets, in order.
	Bck wire.Bck
	// Buckets, if set, are the buckets instead.
	Buckets []wire.Bck

	Prefix       string // of names, in their true form
	After        string // names must be greater than it: to resume
	NonRecursive bool   // only names without a slash behind the prefix
	Props        core.ListProps

	// Everything visits every file of a name where it lies: misplaced ones
	// and copies too, told by their flags (wire.EntryStatusMask). Without it
	// names are visited once, as a listing of this target shows them.
	Everything bool
	// Stamps sets Attrs.Stamp, and visits tombstones as well.
	Stamps bool
	// Owns, if set, selects by the digest of the unique name, or marks as
	// misplaced with Everything; see core.ListOptions.
	Owns func(unameDigest uint64) bool
	// OfMountpath, if set, leaves out what lies on other mountpaths.
	OfMountpath *fs.Mountpath

	// Workers is the number of joggers of each mountpath; <= 0: one.
	Workers int
	// Lists: visits only pass names on to goroutines that begin pieces of work
	// for them. Else each visit is a piece of work, see Governor.
	Lists bool
}

// Found is an object that a walk visits.
type Found struct {
	Key   core.Key
	Entry core.Entry // Attrs.Mountpath is set; see WalkOptions.Props for the rest
}

// Walk visits objects of this target, in parallel over the mountpaths, from
// the listing index: what is there throughout is visited exactly once, in the
// order of names on each mountpath. No more than a page of names is in memory.
// Joggers hold back when users need the node, see Governor. An error of visit
// ends the walk and is returned. Names that are stored or removed meanwhile may
// be visited or not; a bucket that is destroyed meanwhile has no more objects.
func (x *Xaction) Walk(ctx context.Context, o WalkOptions, visit func(ctx context.Context, f *Found) error) error {
	buckets, err := x.walkBuckets(&o)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	w := &walk{x: x, o: &o, visit: visit, group: group, ctx: ctx, queues: map[string]chan *Found{}}
	w.o.Workers = max(1, o.Workers)
	group.Go(func() error {
		defer w.close()
		for _, b := range buckets {
			if err := w.bucket(b); err != nil {
				return err
			}
		}
		return nil
	})
	err = group.Wait()
	if err == nil || x.ctx.Err() == nil {
		return err
	}
	return context.Cause(x.ctx)
}

// walkBuckets are the buckets of a walk, as they are now.
func (x *Xaction) walkBuckets(o *WalkOptions) (buckets []meta.BucketEntry, err error) {
	bmd := x.env.View().BMD
	names := o.Buckets
	if names == nil && o.Bck.Name != "" {
		names = []wire.Bck{o.Bck}
	}
	if names == nil {
		if bmd == nil {
			return nil, nil
		}
		return bmd.Buckets(nil), nil
	}
	for _, bck := range names {
		if bmd != nil {
			if props, ok := bmd.Get(bck); ok {
				buckets = append(buckets, meta.BucketEntry{Bck: bck, Props: props})
				continue
			}
		}
		return nil, apierr.BucketNotFound(bck)
	}
	return buckets, nil
}

// walk is one walk: a lister, and joggers of each mountpath that it feeds.
type walk struct {
	x      *Xaction
	o      *WalkOptions
	visit  func(context.Context, *Found) error
	group  *errgroup.Group
	ctx    context.Context
	queues map[string]chan *Found // by id of the mountpath; of the lister alone
}

func (w *walk) close() {
	for _, q := range w.queues {
		close(q)
	}
}

// bucket lists a bucket page by page.
func (w *walk) bucket(b meta.BucketEntry) error {
	opts := core.ListOptions{
		Prefix: w.o.Prefix, After: w.o.After, Limit: walkPage, NoRecursion: w.o.NonRecursive,
		Props: w.o.Props | core.ListLocation, Stamps: w.o.Stamps, Missing: w.o.Everything, Owns: w.o.Owns,
	}
	for {
		page, err := w.x.env.Store.List(w.ctx, b.Bck, b.Props, opts)
		if apierr.IsNotFound(err) {
			return nil // destroyed meanwhile
		}
		if err != nil {
			return err
		}
		for i := range page {
			if page[i].Flags&wire.EntryIsDir != 0 {
				continue
			}
			f := &Found{Key: core.Key{Bck: b.Bck, Props: b.Props, Name: page[i].Name}, Entry: page[i]}
			if err := w.pass(f); err != nil {
				return err
			}
		}
		if len(page) < opts.Limit {
			return nil
		}
		opts.After = page[len(page)-1].Name
	}
}

// pass gives an object to the joggers of its mountpath.
func (w *walk) pass(f *Found) error {
	id := ""
	if mp := f.Entry.Attrs.Mountpath; mp != nil {
		if w.o.OfMountpath != nil && mp.ID != w.o.OfMountpath.ID {
			return nil
		}
		id = mp.ID
	}
	q := w.queues[id]
	if q == nil {
		q = make(chan *Found, walkQueue)
		w.queues[id] = q
		w.x.joggers.Store(int64(len(w.queues) * w.o.Workers))
		for range w.o.Workers {
			w.group.Go(func() error { return w.jog(q) })
		}
	}
	select {
	case q <- f:
		return nil
	default:
		w.x.ChannelFull()
	}
	select {
	case q <- f:
		return nil
	case <-w.ctx.Done():
		return w.ctx.Err()
	}
}

// jog visits the objects of a mountpath.
func (w *walk) jog(q <-chan *Found) error {
	for f := range q {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		if err := w.one(f); err != nil {
			return err
		}
	}
	return nil
}

// one visits one object.
func (w *walk) one(f *Found) error {
	if w.o.Lists {
		return w.visit(w.ctx, f)
	}
	piece, err := w.x.Begin(w.ctx)
	if err != nil {
		return err
	}
	defer func() { piece.End(f.Entry.Attrs.Size) }()
	return w.visit(piece.With(w.ctx), f)
}
