package core

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	fsys "github.com/aistore-go/aistore/fs"
)

// SliceVerdict is what a holder answers to a step.
type SliceVerdict struct {
	// Done: the step has been taken, now or before.
	Done bool
	// Newest is the greatest stamp that is held here, and State what has it. If
	// the step was refused for that, it is greater than that of the step.
	Newest Stamp
	State  SliceState
	// Had: the step found a slice or replica to be replaced.
	Had bool
}

// Refused tells that something newer than a generation is held.
func (v *SliceVerdict) Refused(stamp Stamp) bool { return !v.Done && v.Newest.Compare(stamp) > 0 }

// StageSlice takes a slice or replica in: body is its bytes and then the
// checksums of its units, 8 bytes each. When it returns with Done, a
// commit makes it count; it is on stable storage if the bucket's writes are. The slice is refused
// without an error if something newer is held, or the same committed already: Done is set in
// the second case.
//
// Errors: 400 it is no slice of this object; 404 no such bucket; 500 a body that
// breaks off or differs from its checksums, I/O; 503 busy; 507 out of space.
func (s *Store) StageSlice(ctx context.Context, key Key, sl *Slice, body io.Reader) (v SliceVerdict, err error) {
	o, err := s.resolve(key)
	if err != nil {
		return v, err
	}
	if err := sl.check(&o); err != nil {
		return v, err
	}
	if err := o.mp.Room(sl.Length); err != nil {
		return v, err
	}
	w := sliceWrite{s: s, object: o, sl: *sl, sync: o.Props.SyncWrites()}
	defer w.discard()
	fence := s.fences.begin(o.digest)
	defer s.fences.end(o.digest)
	if stop, err := w.look(ctx, &v); stop || err != nil {
		return v, err
	}
	if err := w.receive(ctx, body); err != nil {
		return v, w.fail(err)
	}
	if err := w.finish(ctx); err != nil {
		return v, w.fail(err)
	}
	if err := s.lock(ctx, &w.object, true); err != nil {
		return v, err
	}
	defer s.unlock(&w.object, true)
	held, err := s.heldSlices(&w.object, true)
	if err != nil || w.judge(held, &v) {
		return v, err
	}
	if newest, refused := s.fences.refuses(fence, sl.Stamp); refused {
		v.Newest, v.State = newest, SliceSuperseded
		return v, nil
	}
	if w.mp != w.home {
		return v, apierr.Unavailable(time.Second, "%s: the mountpaths of %s have changed", w.Cname(), s.nodeName)
	}
	if err := s.nameSlice(&w.object, w.work, stagedPath(&w.object)); err != nil {
		return v, w.fail(err)
	}
	w.work = ""
	v.Done = true
	return v, nil
}

// nameSlice gives a work file its name, unless the bucket is gone.
func (s *Store) nameSlice(o *object, work, path string) error {
	if err := o.enter(); err != nil {
		return err
	}
	defer o.bucket.gate.RUnlock()
	return s.renameInto(o.mp, work, path)
}

// sliceWrite is a slice on its way to its place.
type sliceWrite struct {
	s *Store
	object
	sl   Slice
	sync bool

	home *fsys.Mountpath
	work string
	file fsys.File
	size int64 // of the file
}

// look tells, before a body is taken in, that it need not be.
func (w *sliceWrite) look(ctx context.Context, v *SliceVerdict) (stop bool, err error) {
	if err := w.s.lock(ctx, &w.object, false); err != nil {
		return false, err
	}
	defer w.s.unlock(&w.object, false)
	held, err := w.s.heldSlices(&w.object, false)
	return w.judge(held, v), err
}

// judge tells whether what is held makes a slice superfluous.
func (w *sliceWrite) judge(held []heldSlice, v *SliceVerdict) (stop bool) {
	*v = SliceVerdict{}
	newest := newestSlice(held)
	if newest == nil {
		return false
	}
	v.Newest, v.State = newest.Stamp, newest.State
	if newest.Stamp.Compare(w.sl.Stamp) > 0 {
		return true
	}
	for i := range held {
		h := &held[i]
		if h.Stamp == w.sl.Stamp && h.State == SliceKept && !h.Staged && h.sameShape(&w.sl) {
			v.Done = true
			return true
		}
	}
	return false
}

// sameShape tells that two are the same slice of a generation.
func (sl *Slice) sameShape(o *Slice) bool {
	return sl.Number == o.Number && sl.Data == o.Data && sl.Parity == o.Parity
}

// receive writes the bytes to a work file and compares the checksums. Pieces of the body
// go to the file as they come.
func (w *sliceWrite) receive(ctx context.Context, body io.Reader) (err error) {
	if err := w.create(ctx); err != nil {
		return err
	}
	unit := w.s.memory.Get(min(w.sl.Length, SliceUnit))
	defer unit.Free()
	in := sliceIntake{ctx: ctx, w: w, digest: xxhash.New()}
	w.sl.sums = make([]byte, 0, SliceSums(w.sl.Length))
	whole := w.sl.Length + SliceSums(w.sl.Length)
	if pieces, ok := body.(io.WriterTo); ok {
		_, err = pieces.WriteTo(&in)
	} else {
		_, err = io.CopyBuffer(struct{ io.Writer }{&in}, struct{ io.Reader }{body}, unit.Bytes())
	}
	switch {
	case in.err != nil:
		return in.err
	case err != nil || in.taken < whole:
		return w.broken("breaks off after %d of %d bytes: %v", in.taken, whole, cmp.Or(err, io.ErrUnexpectedEOF))
	case !bytes.Equal(in.theirs, w.sl.sums):
		return w.broken("differs from its checksums")
	}
	return nil
}

// sliceIntake takes the body of a slice: its bytes, and then their checksums.
type sliceIntake struct {
	ctx     context.Context
	w       *sliceWrite
	digest  *xxhash.Digest // of the unit at hand
	hashed  int64          // bytes of it
	started int64          // where writing back has begun
	taken   int64          // bytes of all
	theirs  []byte         // checksums that came
	err     error          // of this side
}

// Write implements io.Writer.
func (in *sliceIntake) Write(p []byte) (n int, err error) {
	if in.err = in.ctx.Err(); in.err != nil {
		return 0, in.err
	}
	content := p[:min(int64(len(p)), in.w.sl.Length-in.w.size)]
	if len(content) > 0 {
		in.sum(content)
		if in.err = in.w.onDisk(in.ctx, func() error { return in.w.write(content) }); in.err != nil {
			return 0, in.err
		}
		if size := in.w.size; size-in.started >= writeBackEvery {
			// What it cannot do the flush does, and reports what went wrong.
			_ = in.w.onDisk(in.ctx, func() error { return in.w.file.StartWriteback(in.started, size-in.started) })
			in.started = size
		}
	}
	sums := p[len(content):]
	if len(in.theirs)+len(sums) > len(in.w.sl.sums) {
		in.err = in.w.broken("is longer than %d bytes and their checksums", in.w.sl.Length)
		return 0, in.err
	}
	in.theirs = append(in.theirs, sums...)
	in.taken += int64(len(p))
	return len(p), nil
}

// sum adds to the checksums of the units.
func (in *sliceIntake) sum(content []byte) {
	sl := &in.w.sl
	left := sl.Length - in.w.size // with content
	for len(content) > 0 {
		n := min(int64(len(content)), SliceUnit-in.hashed)
		_, _ = in.digest.Write(content[:n]) // hashes never fail
		in.hashed += n
		left -= n
		content = content[n:]
		if in.hashed == SliceUnit || left == 0 {
			sl.sums = binary.LittleEndian.AppendUint64(sl.sums, in.digest.Sum64())
			in.digest.Reset()
			in.hashed = 0
		}
	}
}

func (w *sliceWrite) broken(format string, args ...any) error {
	e := apierr.New(apierr.StatusInternalServerError, wire.CodeBadChecksum, "slice %d of %s "+format, append([]any{w.sl.Number, w.Cname()}, args...)...)
	return e
}

func (w *sliceWrite) create(ctx context.Context) error {
	return w.onDisk(ctx, func() (err error) {
		w.home = w.mp
		if w.work, w.file, err = w.mp.NewWork(w.Bck, "slice"); err != nil {
			return err
		}
		if w.sl.Length >= writeBackEvery && w.mp.Filesystem().Type != "tmpfs" {
			if err := w.file.Preallocate(min(w.sl.Length, maxPreallocated)); err != nil && fsys.IsNoSpace(err) {
				return err
			}
		}
		return nil
	})
}

func (w *sliceWrite) onDisk(ctx context.Context, operation func() error) error {
	if err := w.mp.Acquire(ctx); err != nil {
		return err
	}
	defer w.mp.Release()
	return operation()
}

func (w *sliceWrite) write(data []byte) error {
	age := w.mp.Begin()
	n, err := w.file.Write(data)
	w.mp.End(age)
	w.size += int64(n)
	return err
}

// finish writes the record, and flushes all if it has to.
func (w *sliceWrite) finish(ctx context.Context) error {
	return w.onDisk(ctx, func() error {
		frame, tail := w.sl.frames(w.size)
		if tail != nil {
			if err := w.write(tail); err != nil {
				return err
			}
		}
		if err := w.file.SetXattr(XattrSlice, frame); err != nil {
			return err
		}
		if w.sync {
			if err := w.mp.Filesystem().Flush(context.WithoutCancel(ctx), fsys.FlushRequest{Files: []fsys.File{w.file}, Bytes: w.size}); err != nil {
				return err
			}
		} else {
			w.mp.Filesystem().AddDirty(w.size)
		}
		file := w.file
		w.file = nil
		return file.Close()
	})
}

// frames encodes the record for the attribute of a file that has size bytes. If
// it does not fit, the details are a tail to be appended.
func (sl *Slice) frames(size int64) (frame, tail []byte) {
	details := sl.appendDetails(nil)
	sl.tail = sliceTail{}
	frame = sl.append(nil, details, sl.tail)
	if len(frame) <= MaxInlineRecord {
		return frame, nil
	}
	sl.tail = sliceTail{offset: size, length: uint32(len(details)), sum: xxhash.Sum64(details)}
	return sl.append(nil, nil, sl.tail), details
}

func (w *sliceWrite) fail(err error) error {
	var typed *apierr.Error
	switch {
	case errors.As(err, &typed):
		return err
	case isNotExist(err) && w.s.bucket(w.Bck, w.Props) != w.bucket:
		return apierr.BucketNotFound(w.Bck)
	}
	return w.mp.IOError("slice of "+w.Cname(), err)
}

// discard removes what did not get its name.
func (w *sliceWrite) discard() {
	if w.file != nil {
		_ = w.file.Close() // of a file that is given up
		w.file = nil
	}
	if w.work != "" {
		w.s.unlinkGarbage(&w.object, w.work)
		w.work = ""
	}
}

// CommitSlice makes a staged slice the one that is kept of its name. Not Done:
// it is not staged here, or something newer is held.
func (s *Store) CommitSlice(ctx context.Context, key Key, stamp Stamp, n int) (v SliceVerdict, err error) {
	return v, s.withSlices(ctx, key, func(o *object, held []heldSlice) error {
		newest := newestSlice(held)
		if newest == nil {
			return nil
		}
		v.Newest, v.State = newest.Stamp, newest.State
		if newest.Stamp.Compare(stamp) > 0 {
			return nil
		}
		// What is staged takes the place of what is committed: it may be a slice of
		// the same number of another shape.
		slices.SortStableFunc(held, func(a, b heldSlice) int {
			switch {
			case a.Staged == b.Staged:
				return 0
			case a.Staged:
				return -1
			}
			return 1
		})
		for i := range held {
			h := &held[i]
			if h.Stamp != stamp || h.Number != n || h.State != SliceKept || h.at.mp != o.mp {
				continue
			}
			if h.Staged {
				if err := s.nameSlice(o, h.path, slicePath(o)); err != nil {
					return o.mp.IOError("commit the slice of "+o.Cname(), err)
				}
			}
			if err := s.flushDir(ctx, o, filepath.Dir(h.path)); err != nil {
				return err
			}
			v.Done = true
			s.removeSlices(held, func(other *heldSlice) bool { return other.at.mp != o.mp })
			return nil
		}
		return nil
	})
}

// withSlices calls do with all that is held of a name, under its exclusive lock.
func (s *Store) withSlices(ctx context.Context, key Key, do func(o *object, held []heldSlice) error) error {
	o, err := s.lockName(ctx, key, true)
	if err != nil {
		return err
	}
	defer s.unlock(&o, true)
	held, err := s.heldSlices(&o, true)
	if err != nil {
		return err
	}
	return do(&o, held)
}

// flushDir makes names in a directory durable, if the bucket's writes are.
func (s *Store) flushDir(ctx context.Context, o *object, dir string) error {
	if !o.Props.SyncWrites() {
		return nil
	}
	if err := o.mp.Filesystem().Flush(context.WithoutCancel(ctx), fsys.FlushRequest{Dirs: []string{dir}}); err != nil {
		return o.mp.IOError("slices of "+o.Cname(), err)
	}
	return nil
}

// removeSlices unlinks what nobody needs any more; what cannot be removed is
// garbage of a smaller stamp.
func (s *Store) removeSlices(held []heldSlice, which func(*heldSlice) bool) {
	for i := range held {
		if h := &held[i]; which(h) {
			s.unlinkGarbage(&h.at, h.path)
		}
	}
}
