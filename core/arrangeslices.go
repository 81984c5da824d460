package core

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/fs"
)

// slices moves what this target holds for other targets of the name: slices,
// replicas and marks.
func (r *arrangement) slices(ctx context.Context) error {
	s := r.s
	for _, mp := range r.set.All() {
		if mp == r.mp {
			continue
		}
		at := r.on(mp)
		for _, path := range [...]string{slicePath(&at), stagedPath(&at)} {
			h := heldSlice{at: at, path: path}
			found := false
			err := r.shared(ctx, mp, func() (err error) {
				found, err = s.readSlice(mp, path, &h.Slice)
				return err
			})
			switch {
			case errors.Is(err, errSliceDamaged):
				err = r.setOtherAside(ctx, &Belonging{Path: path, Mountpath: mp, Damage: err})
			case err == nil && found && h.Object.BID == r.Props.BID && h.Name == r.Name:
				err = r.moveSlice(ctx, &h, filepath.Base(path) != filepath.Base(slicePath(&at)))
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// moveSlice moves one of them. One that is damaged goes to quarantine instead: the
// owner of the object has it made again.
func (r *arrangement) moveSlice(ctx context.Context, h *heldSlice, staged bool) error {
	s := r.s
	path := slicePath(&r.object)
	if staged {
		path = stagedPath(&r.object)
	}
	w := &write{s: s, object: r.object, sync: true, tag: "move"}
	defer w.discard()
	if err := r.copySlice(ctx, h, w); err != nil {
		if errors.Is(err, errSliceDamaged) {
			return nil
		}
		return err
	}
	moved := false
	err := r.locked(ctx, func(*existing) error {
		var was, there Slice
		found, err := s.readSlice(h.at.mp, h.path, &was)
		if err != nil || !found || was.Stamp != h.Stamp || was.State != h.State || was.Number != h.Number {
			return errors.Join(errMoving, err)
		}
		newer, err := s.readSlice(r.mp, path, &there)
		if err != nil && !errors.Is(err, errSliceDamaged) {
			return err
		}
		if moved = err != nil || !newer || there.Stamp.Compare(was.Stamp) < 0; moved {
			if err := s.nameSlice(&r.object, w.work, path); err != nil {
				return err
			}
			w.named()
			flush := fs.FlushRequest{Dirs: []string{filepath.Dir(path)}}
			if err := r.mp.Filesystem().Flush(context.WithoutCancel(ctx), flush); err != nil {
				return err
			}
		}
		return s.removeMoved(ctx, &Belonging{Path: h.path, Mountpath: h.at.mp})
	})
	if err == nil && moved {
		r.did.Moved++
		r.did.Bytes += w.size
	}
	return err
}

// copySlice copies a file of slices into a work file, and verifies what was
// written.
func (r *arrangement) copySlice(ctx context.Context, h *heldSlice, w *write) error {
	s := r.s
	if !h.IsMark() {
		if err := s.verifySlice(ctx, h); err != nil {
			return err
		}
	}
	src, err := r.openChunk(ctx, &Belonging{Path: h.path, Mountpath: h.at.mp})
	if isNotExist(err) {
		return errMoving
	}
	if err != nil {
		return err
	}
	defer func() { _ = src.file.Close() }() // was only read
	w.size, w.opts.Size = src.info.Size, src.info.Size
	if !h.IsMark() {
		if err := r.mp.Room(src.info.Size); err != nil {
			return err
		}
	}
	if err := w.create(ctx); err != nil {
		return err
	}
	if err := w.copyVerified(ctx, &src, nil); err != nil {
		return err
	}
	err = w.onDisk(ctx, func() error {
		if err := s.copyXattr(src.file, w.file, XattrSlice); err != nil {
			return err
		}
		return r.mp.Filesystem().Flush(context.WithoutCancel(ctx), fs.FlushRequest{Files: []fs.File{w.file}, Bytes: w.size})
	})
	if err == nil {
		err = w.close()
	}
	if err != nil || h.IsMark() {
		return err
	}
	copied := heldSlice{Slice: h.Slice, at: r.object, path: w.work}
	copied.Mountpath = r.mp
	if err := s.verifySlice(ctx, &copied); err != nil {
		return errors.Join(errMoving, err)
	}
	return nil
}

// SlicesOf calls visit with the names of a bucket of which a mountpath holds
// slices, replicas or marks of other targets' objects that belong to another
// mountpath of a set.
func (s *Store) SlicesOf(ctx context.Context, set *fs.Set, mp *fs.Mountpath, entry meta.BucketEntry, visit func(Key) error) error {
	if s.bucket(entry.Bck, entry.Props) == nil {
		return nil
	}
	return s.eachHashed(mp, mp.BucketDir(entry.Bck, fs.ContentSlice), func(path string) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		var sl Slice
		found := false
		err := s.withSlot(mp, nil, func() (err error) {
			found, err = s.readSlice(mp, path, &sl)
			return err
		})
		if errors.Is(err, errSliceDamaged) {
			return s.setSliceAside(ctx, entry, mp, path, err)
		}
		if err != nil || !found || sl.Object.BID != entry.Props.BID {
			return err
		}
		key := Key{Bck: entry.Bck, Props: entry.Props, Name: sl.Name}
		o, err := s.resolve(key)
		if err != nil {
			return err
		}
		if set.Owner(o.digest) == mp {
			return nil
		}
		return visit(key)
	})
}
