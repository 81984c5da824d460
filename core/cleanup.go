package core

import (
	"context"
	"errors"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
	fsys "github.com/aistore-go/aistore/fs"
)

// Cleanup removes what nobody can reach. It never removes the only copy of
// anything: what cannot be read goes to quarantine, what cannot be told goes to a
// part of the trash that is kept for a day, and what lies at the wrong place stays
// unless the right one holds the same, read and compared. Whatever changed lately
// stays, too, so that nothing of what is under way is touched even if it could not be
// told from what is left over. docs/storage_svcs.md has the rules one by one.

// CleanupOptions says what is cleaned up.
type CleanupOptions struct {
	Buckets []meta.BucketEntry
	// Whole: beside the buckets, the trash is emptied and buckets that the
	// cluster does not know are moved there.
	Whole bool
	// Age is for how long something must not have changed.
	Age time.Duration
	// ZeroSize: objects without content are deleted that were neither written
	// nor read within Age.
	ZeroSize bool
	// KeepMisplaced: files that lie on another mountpath than they belong to stay,
	// whatever else there is of their names.
	KeepMisplaced bool
	// KeepUnknown: so does what has a path that no release of ours makes.
	KeepUnknown bool
	// Strangers: buckets that the cluster does not know are moved to the trash even
	// if they hold objects, and so are files of other incarnations of a bucket.
	// They may be all that is left of another history of the cluster; see docs/ha.md.
	Strangers bool
	// Confirmed tells that the buckets of this store are at present those of the cluster,
	// by the word of a primary; nil: that is never known.
	Confirmed func() bool
	// DryRun: nothing is removed or moved; what would be is counted, see CleanupCounts.Report.
	DryRun bool
	// Slices knows of slices of other targets' objects whether they are needed; nil: all are.
	Slices SliceJudge
	// Batch is how many names are looked at between two calls of Pause; it bounds
	// the memory.
	Batch int
	Pause func(context.Context) error // nil: none
	// OnError is told of what failed with a single name, and the cleanup goes on.
	OnError func(error)
}

// Cleanup removes from buckets what nobody can reach. Errors: that of Pause, the
// end of the context; all others are counted and reported, and the cleanup goes on.
func (s *Store) Cleanup(ctx context.Context, opts CleanupOptions, counts *CleanupCounts) error {
	c := cleanup{s: s, ctx: ctx, opts: opts, counts: counts, set: s.options.FS.Available()}
	c.opts.Batch = max(opts.Batch, 1)
	counts.dry.Store(opts.DryRun)
	if c.opts.Pause == nil {
		c.opts.Pause = func(ctx context.Context) error { return ctx.Err() }
	}
	c.before = s.options.Clock().Add(-opts.Age).UnixNano()
	if opts.Whole {
		if err := c.failed(c.trash()); err != nil {
			return err
		}
		c.unknownBuckets()
	}
	for _, entry := range opts.Buckets {
		if err := c.bucket(entry); err != nil {
			return err
		}
	}
	if !opts.DryRun {
		s.options.FS.RefreshCapacity()
	}
	return ctx.Err()
}

// cleanup is one call of Cleanup.
type cleanup struct {
	s      *Store
	ctx    context.Context
	opts   CleanupOptions
	counts *CleanupCounts
	set    *fsys.Set
	before int64 // ns: what changed later stays
}

// failed counts an error of a single thing, nil is none. It returns what ends the
// cleanup.
func (c *cleanup) failed(err error) error {
	if err == nil || errors.Is(err, errLeft) || apierr.StatusOf(err) == apierr.StatusNotFound { // left, or destroyed meanwhile
		return c.ctx.Err()
	}
	if c.ctx.Err() != nil {
		return c.ctx.Err()
	}
	c.counts.Errors.Add(1)
	if c.opts.OnError != nil {
		c.opts.OnError(err)
	}
	return nil
}

// removed counts what was removed, or would be.
func (c *cleanup) removed(of *CleanupCount, path string, files, bytes int64) {
	c.counts.removed(of, path, files, bytes, c.opts.DryRun)
}

// retain moves something to the part of the trash that is kept for a day.
func (c *cleanup) retain(mp *fsys.Mountpath, path string) (moved bool, err error) {
	if c.opts.DryRun {
		return true, nil
	}
	if moved, err = mp.Retain(path); err != nil {
		err = mp.IOError("clean up "+path, err)
	}
	return moved, err
}

// trash empties the trash.
func (c *cleanup) trash() error {
	if !c.opts.DryRun {
		return c.s.options.FS.EmptyTrash(c.ctx)
	}
	files, bytes, err := c.s.options.FS.TrashUse(c.ctx)
	if files > 0 {
		c.removed(&c.counts.Trash, fsys.TrashDir, files, bytes)
	}
	return err
}

func (c *cleanup) bucket(entry meta.BucketEntry) error {
	b := c.s.bucket(entry.Bck, entry.Props)
	if b == nil {
		return c.ctx.Err()
	}
	for _, mp := range c.set.All() {
		err := c.onMountpath(mp, func() error { return c.leftovers(b, mp) })
		if err := c.failed(err); err != nil {
			return err
		}
		if err := c.names(b, entry, mp); err != nil {
			return err
		}
		if err := c.slices(b, entry, mp); err != nil {
			return err
		}
	}
	garbage, err := c.s.collectGarbage(c.ctx, entry.Bck, entry.Props, c.opts.Age, c.opts.DryRun)
	if garbage.Files > 0 {
		c.removed(&c.counts.Orphans, "", int64(garbage.Files), garbage.Bytes)
	}
	if err := c.failed(err); err != nil {
		return err
	}
	for _, mp := range c.set.All() {
		err := c.onMountpath(mp, func() error { return c.emptyDirs(b, mp) })
		if err := c.failed(err); err != nil {
			return err
		}
	}
	return nil
}

// onMountpath runs something in a slot of a mountpath.
func (c *cleanup) onMountpath(mp *fsys.Mountpath, do func() error) error {
	if err := c.s.acquire(c.ctx, mp); err != nil {
		return err
	}
	defer mp.Release()
	return do()
}

// leftovers removes work files of earlier processes, and moves what has no place in
// a bucket's directory to the trash.
func (c *cleanup) leftovers(b *bucket, mp *fsys.Mountpath) error {
	unknown := !c.opts.KeepUnknown
	err := mp.OldWork(c.ctx, b.bck, c.before, unknown, func(l fsys.Leftover) (remove bool) {
		c.removed(&c.counts.OldWork, l.Path, 1, l.Size)
		return !c.opts.DryRun
	})
	if err != nil || !unknown {
		return mp.IOError("clean up "+b.bck.String(), err)
	}
	found, err := mp.UnknownEntries(b.bck, c.before)
	for _, l := range found {
		moved, err := c.retain(mp, l.Path)
		if err != nil {
			return err
		}
		if moved {
			c.removed(&c.counts.Invalid, l.Path, 1, l.Size)
		}
	}
	return mp.IOError("clean up "+b.bck.String(), err)
}

// emptyDirs removes directories of names that are gone.
func (c *cleanup) emptyDirs(b *bucket, mp *fsys.Mountpath) error {
	guard := func(remove func()) {
		b.gate.Lock()
		defer b.gate.Unlock()
		if !b.gone {
			remove()
		}
	}
	if c.opts.DryRun {
		guard = nil
	}
	n, err := mp.RemoveEmptyDirs(c.ctx, b.bck, c.before, guard)
	c.counts.EmptyDirs.Add(n)
	return mp.IOError("remove empty directories of "+b.bck.String(), err)
}

// unknownAge is for how long the directory of a bucket that the cluster does not
// know must have been there: it may be about to be told.
const unknownAge = 2 * time.Minute

// unknownBuckets moves the directories of buckets that the cluster does not know to the
// trash, which keeps them for a day. The cluster must be known to be in
// touch: a target that was away may have missed the making of a bucket.
func (c *cleanup) unknownBuckets() {
	confirmed := c.opts.Confirmed
	if confirmed == nil || !confirmed() {
		return
	}
	s := c.s
	s.applying.Lock() // no bucket comes or goes meanwhile
	defer s.applying.Unlock()
	known := make([]wire.Bck, 0, 16)
	for bck := range *s.buckets.Load() {
		known = append(known, bck)
	}
	if !confirmed() {
		return
	}
	for _, mp := range c.set.All() {
		err := c.onMountpath(mp, func() error {
			dirs, err := mp.UnknownBuckets(known, s.options.Clock().Add(-max(unknownAge, c.opts.Age)).UnixNano())
			if err != nil {
				return mp.IOError("look for unknown buckets", err)
			}
			for _, dir := range dirs {
				if dir.Holds && !c.opts.Strangers {
					c.counts.KeepUnknown.Add(1)
					s.log.Warn("a bucket that the cluster does not know stays on the disk", "path", dir.Path)
					continue
				}
				var size int64
				if c.opts.DryRun {
					if _, size, err = mp.TreeUse(c.ctx, dir.Path); err != nil {
						return mp.IOError("look at an unknown bucket", err)
					}
				}
				moved, err := c.retain(mp, dir.Path)
				if err != nil {
					return err
				}
				if moved {
					c.removed(&c.counts.UnknownBuckets, dir.Path, 1, size)
				}
			}
			return nil
		})
		if c.failed(err) != nil {
			return
		}
	}
}
