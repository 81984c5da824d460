package core

import (
	"context"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/core/meta"
	fsys "github.com/aistore-go/aistore/fs"
)

// MarkSlices gives up all generations of a name that are older than a stamp, and
// leaves a mark with it: they are superseded, or the name was deleted. It
// is on stable storage when it returns, if the bucket's writes are. If something
// as new or newer is held nothing is done, which is no error: Newest tells. Unless
// always is set, nothing is left where nothing is held.
func (s *Store) MarkSlices(ctx context.Context, key Key, stamp Stamp, state SliceState, always bool) (v SliceVerdict, err error) {
	if state != SliceSuperseded && state != SliceDeleted || stamp.IsZero() {
		return v, apierr.BadRequest("invalid mark %d of %s (expecting %d or %d)", state, key.Cname(), SliceSuperseded, SliceDeleted)
	}
	return v, s.withSlices(ctx, key, func(o *object, held []heldSlice) error {
		s.fences.raise(o.digest, stamp)
		if newest := newestSlice(o.counting(held)); newest != nil {
			v.Newest, v.State = newest.Stamp, newest.State
			v.Had = !newest.IsMark()
			if newest.Stamp.Compare(stamp) >= 0 {
				v.Done = newest.Stamp == stamp
				return nil
			}
		}
		if len(held) == 0 && !always {
			v.Done = true
			return nil
		}
		sl := Slice{Name: o.Name, State: state, Stamp: stamp, Object: Attrs{BID: o.Props.BID}}
		frame, _ := sl.frames(0)
		err := s.writeMark(ctx, o, frame)
		if err != nil && fsys.IsNoSpace(err) && len(held) > 0 {
			err = s.markInPlace(ctx, slices.DeleteFunc(slices.Clone(held), func(h heldSlice) bool { return h.Stamp.Compare(stamp) >= 0 }), frame)
		}
		if err != nil {
			return o.mp.IOError("mark the slices of "+o.Cname(), err)
		}
		v.Done = true
		s.removeSlices(held, func(h *heldSlice) bool { return h.path != slicePath(o) && h.Stamp.Compare(stamp) < 0 })
		return nil
	})
}

// counting is what is held of generations that were committed: with durability "redundant"
// what is staged alone may never be, and is told of no change.
func (o *object) counting(held []heldSlice) []heldSlice {
	if o.Props.Durability != meta.DurabilityRedundant {
		return held
	}
	return slices.DeleteFunc(slices.Clone(held), func(h heldSlice) bool { return h.Staged })
}

// writeMark puts an empty file with a record in the place of what is committed.
func (s *Store) writeMark(ctx context.Context, o *object, frame []byte) error {
	work, file, err := o.mp.NewWork(o.Bck, "mark")
	if err != nil {
		return err
	}
	err = file.SetXattr(XattrSlice, frame)
	if err == nil && o.Props.SyncWrites() {
		err = o.mp.Filesystem().Flush(context.WithoutCancel(ctx), fsys.FlushRequest{Files: []fsys.File{file}})
	}
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = s.nameSlice(o, work, slicePath(o))
	}
	if err != nil {
		s.unlinkGarbage(o, work)
		return err
	}
	return s.flushDir(ctx, o, filepath.Dir(slicePath(o)))
}

// markInPlace turns what is held of a name into marks, which needs no room.
func (s *Store) markInPlace(ctx context.Context, held []heldSlice, frame []byte) error {
	for i := range held {
		h := &held[i]
		file, err := s.system.Open(h.path, unix.O_RDWR|unix.O_NOFOLLOW, 0)
		if err != nil {
			return err
		}
		err = file.SetXattr(XattrSlice, frame)
		if err == nil && h.at.Props.SyncWrites() {
			err = h.at.mp.Filesystem().Flush(context.WithoutCancel(ctx), fsys.FlushRequest{Files: []fsys.File{file}})
		}
		if err == nil {
			err = file.Truncate(0)
		}
		if closed := file.Close(); err == nil {
			err = closed
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// ForgetMark removes a mark, if it is still the one with a stamp: nobody holds
// anything older any more.
func (s *Store) ForgetMark(ctx context.Context, key Key, stamp Stamp) error {
	return s.withSlices(ctx, key, func(o *object, held []heldSlice) error {
		s.removeSlices(held, func(h *heldSlice) bool { return h.IsMark() && h.Stamp == stamp })
		o.mp.Filesystem().Doubt(filepath.Dir(slicePath(o)))
		return nil
	})
}

// DropSlice removes a slice or replica of a generation, staged or committed: it
// is held elsewhere. A number below 0 stands for any.
func (s *Store) DropSlice(ctx context.Context, key Key, stamp Stamp, n int) error {
	return s.withSlices(ctx, key, func(o *object, held []heldSlice) error {
		s.removeSlices(held, func(h *heldSlice) bool {
			return !h.IsMark() && h.Stamp == stamp && (n < 0 || h.Number == n)
		})
		o.mp.Filesystem().Doubt(filepath.Dir(slicePath(o)))
		return nil
	})
}

// AmendSlice gives what is held of a generation the metadata of the next one,
// which has the same content. Done: it was held, and has them.
func (s *Store) AmendSlice(ctx context.Context, key Key, from Stamp, attrs *Attrs) (v SliceVerdict, err error) {
	to := attrs.LastChange()
	return v, s.withSlices(ctx, key, func(o *object, held []heldSlice) error {
		s.fences.raise(o.digest, to)
		if newest := newestSlice(o.counting(held)); newest != nil {
			v.Newest, v.State = newest.Stamp, newest.State
		}
		for i := range held {
			h := &held[i]
			v.Done = v.Done || h.Stamp == to && !h.IsMark()
			if h.IsMark() || h.Stamp != from || h.Object.Size != attrs.Size || to.Compare(from) <= 0 {
				continue
			}
			if err := s.amend(ctx, h, attrs); err != nil {
				return h.at.mp.IOError("amend the slice of "+o.Cname(), err)
			}
			v.Done, v.Had, v.Newest, v.State = true, true, to, h.State
		}
		return nil
	})
}

func (s *Store) amend(ctx context.Context, h *heldSlice, attrs *Attrs) (err error) {
	file, err := s.system.Open(h.path, unix.O_RDWR|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer func() {
		if closed := file.Close(); err == nil {
			err = closed
		}
	}()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	next := h.Slice
	next.Object, next.Stamp = *attrs, attrs.LastChange()
	flush := func() error {
		if !h.at.Props.SyncWrites() {
			return nil
		}
		return h.at.mp.Filesystem().Flush(context.WithoutCancel(ctx), fsys.FlushRequest{Files: []fsys.File{file}})
	}
	frame, tail := next.frames(info.Size)
	if tail != nil {
		if _, err := file.WriteAt(tail, info.Size); err != nil {
			return err
		}
		if err := flush(); err != nil {
			return err
		}
	}
	if err := file.SetXattr(XattrSlice, frame); err != nil {
		return err
	}
	return flush()
}
