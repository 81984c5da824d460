package core

import (
	"context"
	"errors"
	"path/filepath"
	"strings"

	"github.com/aistore-go/aistore/core/meta"
	fsys "github.com/aistore-go/aistore/fs"
)

// What a target keeps of objects of others may be the last that is left of them,
// and a mark may be all that keeps a deleted object from coming back. So cleanup
// removes none of it by what it sees itself: it asks who knows, see SliceJudge.

// SliceJudge knows the objects of which this target keeps slices, replicas and marks.
type SliceJudge interface {
	// JudgeSlices tells of what this target holds of a bucket's names whether anybody
	// can need it, one answer for each. It changes nothing. What it cannot find out is needed; errs says why
	// that was.
	JudgeSlices(ctx context.Context, entry meta.BucketEntry, held []Slice) (uses []SliceUse, errs []error)
}

// SliceUse tells whether a slice, a replica or a mark is needed.
type SliceUse uint8

// Uses.
const (
	// SliceNeeded: it is, or nobody can tell.
	SliceNeeded SliceUse = iota
	// SliceUseless: it is proven that nobody can need it.
	SliceUseless
	// SliceUnclaimed: erasure coding is off, and nobody has an object of the name. It was deleted
	// since, or this is what is left of it.
	SliceUnclaimed
)

// judgedAtOnce is how many slices are judged at a time; what is removed of
// them is made durable by one flush.
const judgedAtOnce = 128

// leftSlice is a file of slices that did not change lately.
type leftSlice struct {
	Slice
	path string
	size int64
}

// slices looks at all that a mountpath holds of other targets' objects.
func (c *cleanup) slices(b *bucket, entry meta.BucketEntry, mp *fsys.Mountpath) error {
	var batch []leftSlice
	var paused error
	visited := 0
	settle := func() error {
		err := c.settleSlices(entry, mp, batch)
		batch = batch[:0]
		return err
	}
	err := c.s.eachHashed(mp, mp.BucketDir(b.bck, fsys.ContentSlice), func(path string) error {
		if visited++; visited%c.opts.Batch == 0 {
			if paused = c.opts.Pause(c.ctx); paused != nil {
				return paused
			}
		}
		c.counts.Visits.Add(1)
		l, look, err := c.leftSlice(entry, mp, path)
		if err = c.failed(err); err != nil || !look {
			return err
		}
		if batch = append(batch, l); len(batch) < judgedAtOnce {
			return nil
		}
		return settle()
	})
	if paused != nil {
		return paused
	}
	if err = c.failed(err); err != nil {
		return err
	}
	return settle()
}

// leftSlice reads a file of slices; look is false if it stays, or was dealt with.
func (c *cleanup) leftSlice(entry meta.BucketEntry, mp *fsys.Mountpath, path string) (l leftSlice, look bool, err error) {
	s := c.s
	found := false
	err = c.onMountpath(mp, func() error {
		info, err := s.system.Stat(path)
		switch {
		case err != nil:
			return mp.IOError("stat "+path, ignoreMissing(err))
		case max(info.Mtime, info.Ctime) >= c.before:
			c.counts.TooFresh.Add(1)
			return nil
		}
		l.path, l.size = path, info.Size
		found, err = s.readSlice(mp, path, &l.Slice)
		return err
	})
	switch {
	case errors.Is(err, errSliceDamaged):
		if !c.opts.DryRun {
			err = s.setSliceAside(c.ctx, entry, mp, path, err)
		} else {
			err = nil
		}
		if err == nil {
			c.removed(&c.counts.Invalid, path, 1, l.size)
		}
		return l, false, err
	case err != nil || !found:
		return l, false, err
	}
	l.Staged = strings.HasSuffix(path, stagedSuffix)
	if l.Object.BID != entry.Props.BID {
		return l, false, c.strangeSlice(entry, mp, &l)
	}
	return l, true, nil
}

// strangeSlice moves a slice of an earlier bucket of the same name to the trash, which
// keeps it for a day.
func (c *cleanup) strangeSlice(entry meta.BucketEntry, mp *fsys.Mountpath, l *leftSlice) error {
	if !c.opts.Strangers || c.opts.Confirmed == nil || !c.opts.Confirmed() {
		c.counts.KeepUnknown.Add(1)
		return nil
	}
	return c.withSlice(entry, mp, l, func(*object) error {
		moved, err := c.retain(mp, l.path)
		if moved {
			c.removed(&c.counts.Invalid, l.path, 1, l.size)
		}
		return err
	})
}

// settleSlices has a batch judged, and removes what nobody needs.
func (c *cleanup) settleSlices(entry meta.BucketEntry, mp *fsys.Mountpath, batch []leftSlice) error {
	if len(batch) == 0 {
		return c.ctx.Err()
	}
	if c.opts.Slices == nil {
		c.counts.KeepSlices.Add(int64(len(batch)))
		return nil
	}
	held := make([]Slice, len(batch))
	for i := range batch {
		held[i] = batch[i].Slice
	}
	uses, errs := c.opts.Slices.JudgeSlices(c.ctx, entry, held)
	for _, err := range errs {
		if err := c.failed(err); err != nil {
			return err
		}
	}
	var dirs []string
	for i := range batch {
		l := &batch[i]
		if i >= len(uses) || uses[i] == SliceNeeded || uses[i] == SliceUnclaimed && !c.opts.Strangers {
			c.counts.KeepSlices.Add(1)
			continue
		}
		err := c.withSlice(entry, mp, l, func(o *object) error {
			of := &c.counts.Slices
			if l.IsMark() {
				of = &c.counts.Marks
			}
			switch {
			case c.opts.DryRun:
			case uses[i] == SliceUnclaimed:
				if moved, err := c.retain(mp, l.path); err != nil || !moved {
					return err
				}
			default:
				if err := c.s.system.Unlink(l.path); err != nil {
					return mp.IOError("remove "+l.path, ignoreMissing(err))
				}
				dirs = append(dirs, filepath.Dir(l.path))
			}
			c.removed(of, l.path, 1, l.size)
			return nil
		})
		if err := c.failed(err); err != nil {
			return err
		}
	}
	if len(dirs) == 0 || !entry.Props.SyncWrites() {
		return nil
	}
	// A slice must not come back, with a loss of power, after the mark that said that
	// it is superseded was removed elsewhere.
	err := c.onMountpath(mp, func() error {
		return mp.Filesystem().Flush(context.WithoutCancel(c.ctx), fsys.FlushRequest{Dirs: dirs})
	})
	return c.failed(mp.IOError("remove slices of "+entry.Bck.String(), err))
}

// withSlice calls do under the exclusive lock of a name if a file of slices is still what it was.
func (c *cleanup) withSlice(entry meta.BucketEntry, mp *fsys.Mountpath, l *leftSlice, do func(at *object) error) error {
	s := c.s
	o, err := s.resolve(Key{Bck: entry.Bck, Props: entry.Props, Name: l.Name})
	if err != nil {
		return err
	}
	at := o.on(mp)
	if err := s.lockThere(c.ctx, &at); err != nil {
		return err
	}
	defer s.unlock(&at, true)
	if err := at.enter(); err != nil {
		return err
	}
	defer at.bucket.gate.RUnlock()
	var now Slice
	found, err := s.readSlice(mp, l.path, &now)
	if err != nil || !found || now.Stamp != l.Stamp || now.State != l.State || now.Number != l.Number || now.Object.BID != l.Object.BID {
		return nil //nolint:nilerr // another look will tell
	}
	return do(&at)
}
