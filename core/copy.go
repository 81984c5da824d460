package core

import (
	"context"
	"hash"
	"io"
	"slices"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/memsys"
)

// Origin is what an object takes over from another one whose copy it is.
type Origin struct {
	Size     int64
	Checksum cksum.Value // verified against the body; none: the body is taken as it comes
	Version  string      // "": the copy's version is that of an ordinary write
	Custom   []KV        // instead of what the name had before; sorted by key
	Mtime    int64       // nanoseconds; 0: now
	Atime    int64       // nanoseconds; 0: now
}

// OriginOf describes an object as the origin of a copy. Of one that moves the
// times are kept.
func OriginOf(a *Attrs, moves bool) Origin {
	from := Origin{Size: a.Size, Checksum: a.Checksum, Version: a.Version, Custom: a.Custom}
	if moves {
		from.Mtime, from.Atime = a.Mtime, a.Atime
	}
	return from
}

// Copy makes an object of another name, or of another bucket, out of one that
// this store holds: content and custom metadata are those of the source at one
// moment, the checksum is of the destination's type, and so is the durability.
// It replaces what has that name. A destination that is equal already is left
// alone. The content is read and its checksum compared; a damaged source goes
// the way of one that a validating read finds.
//
// It returns the attributes of the source: its stamp tells later whether it has
// changed. Errors are those of Open for the source and of Put for the
// destination.
func (s *Store) Copy(ctx context.Context, from, to Key, moves bool) (Attrs, error) {
	dst, err := s.resolve(to)
	if err != nil {
		return Attrs{}, err
	}
	if err := to.CheckWritable(); err != nil {
		return Attrs{}, err
	}
	if err := dst.room(0); err != nil {
		return Attrs{}, err
	}
	for attempt := 0; ; attempt++ {
		source, err := s.copyOnce(ctx, from, &dst, moves)
		if attempt > 0 || apierr.CodeOf(err) != wire.CodeBadChecksum {
			return source, err
		}
		if found := s.CheckContent(ctx, from); apierr.IsNotFound(found) {
			return Attrs{}, err // it is in quarantine already
		} else if found != nil {
			return Attrs{}, found
		}
	}
}

func (s *Store) copyOnce(ctx context.Context, from Key, dst *object, moves bool) (Attrs, error) {
	r, err := s.Open(ctx, from)
	if err != nil {
		return Attrs{}, err
	}
	defer func() { _ = r.Close() }() // was only read
	if from.Bck == dst.Bck && from.Name == dst.Name {
		return r.Attrs, s.secure(context.WithoutCancel(ctx), dst)
	}
	if !moves {
		r.Touch()
	}
	origin := OriginOf(&r.Attrs, moves)
	w := s.writeOf(dst, &origin)
	defer w.discard()
	err = w.copyContent(ctx, r)
	if err == nil {
		_, err = w.commit(ctx)
	}
	if err != nil {
		return Attrs{}, w.fail(err)
	}
	return r.Attrs, nil
}

// PutCopy stores a body that another store sends as the copy of an object. The
// body must be as long as the origin says, and have its checksum. Errors are
// those of Put.
func (s *Store) PutCopy(ctx context.Context, key Key, body io.Reader, from Origin) (Attrs, error) {
	o, err := s.resolve(key)
	if err != nil {
		return Attrs{}, err
	}
	if err := key.CheckWritable(); err != nil {
		return Attrs{}, err
	}
	if err := o.room(from.Size); err != nil {
		return Attrs{}, err
	}
	w := s.writeOf(&o, &from)
	defer w.discard()
	err = w.receive(ctx, body)
	var attrs Attrs
	if err == nil {
		attrs, err = w.commit(ctx)
	}
	if err != nil {
		return Attrs{}, w.fail(err)
	}
	return attrs, nil
}

// CheckContent reads an object and compares its checksum, as an Open that
// validates does: one that is damaged is restored, or goes to quarantine, which
// is an error.
func (s *Store) CheckContent(ctx context.Context, key Key) error {
	o, err := s.resolve(key)
	if err != nil {
		return err
	}
	c, err := s.openWhole(ctx, &o, true, true)
	if err != nil {
		return err
	}
	return c.close(s)
}

func (s *Store) writeOf(o *object, from *Origin) *write {
	return &write{
		s: s, object: *o, sync: o.Props.SyncWrites(), origin: from,
		opts: PutOptions{Size: from.Size, Checksum: from.Checksum},
	}
}

// takeOver gives the record of a copy what it has from its origin. What the
// name had before counts for the stamp alone.
func (f *Origin) takeOver(rec *record) {
	rec.custom = f.Custom
	if f.Version != "" && rec.version != "" {
		rec.version = f.Version
	}
	if f.Mtime != 0 {
		rec.mtime = f.Mtime
	}
	if f.Atime != 0 {
		rec.atime = f.Atime
	}
}

// sameAs tells that an object is such a copy already.
func (f *Origin) sameAs(rec *record, sum cksum.Value) bool {
	return !rec.kind.IsDeleted() && rec.size == f.Size && rec.checksum.Equal(sum) && rec.checksum.Type == sum.Type &&
		slices.Equal(rec.custom, f.Custom) && (rec.version == f.Version || rec.version == "" || f.Version == "")
}

// copyContent fills the work file with the content of an open object.
func (w *write) copyContent(ctx context.Context, r *Reader) error {
	if err := r.Prepare(ctx, 0, r.Size); err != nil {
		return err
	}
	if r.Size > streamBuffer {
		done, err := w.copyInKernel(ctx, r)
		if err != nil {
			return err
		}
		if done {
			return w.seal(ctx)
		}
	}
	return w.receive(ctx, io.NewSectionReader(r, 0, r.Size))
}

// copyStep is how many bytes the kernel copies while one slot of the mountpath
// is held.
const copyStep = 32 << 20

// copyInKernel makes the work file and lets the kernel copy an open object into
// it; done is false, and nothing was made, if it cannot: only within one
// filesystem it need not read every byte.
func (w *write) copyInKernel(ctx context.Context, r *Reader) (done bool, err error) {
	if r.IsChunked() || r.Size > w.monolithic() || r.Mountpath == nil || r.Mountpath.Filesystem() != w.mp.Filesystem() {
		return false, nil
	}
	if err := w.create(ctx); err != nil {
		return false, err
	}
	for w.size < r.Size {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		var n int64
		able := false
		err := w.onDisk(ctx, func() (err error) {
			n, able, err = fs.CopyRange(w.file, r.File, w.size, min(r.Size-w.size, copyStep))
			return err
		})
		switch {
		case err != nil:
			return false, err
		case !able && w.size == 0:
			_ = w.file.Close() // nothing was written to it
			w.file = nil
			w.removeWork(&w.work)
			return false, nil
		case !able || n == 0:
			return false, badBody(&w.object, io.ErrUnexpectedEOF, "the source ends after %d of %d bytes", w.size, r.Size)
		}
		w.size += n
		if w.sync {
			if err := w.startWriteback(ctx, w.size-n); err != nil {
				return false, err
			}
		}
	}
	return true, nil
}

// seal computes the checksums of a work file that the kernel wrote, and begins
// the flush of a large one.
func (w *write) seal(ctx context.Context) error {
	own, err := cksum.New(w.Props.Checksum.Type)
	if err != nil {
		return err
	}
	if err := w.sumFile(ctx, own); err != nil {
		return err
	}
	w.sum = cksum.Sum(w.Props.Checksum.Type, own)
	if w.sync && w.size >= ownFlush {
		w.flushed = true
		return w.onDisk(ctx, w.file.Datasync)
	}
	return nil
}

// sumFile feeds the work file to the hash of the bucket's type, nil for none,
// and compares it with the checksum that it must have, if one is known.
func (w *write) sumFile(ctx context.Context, own hash.Hash) (err error) {
	kind, given := w.Props.Checksum.Type, w.opts.Checksum
	var theirs hash.Hash
	if !given.IsNone() && !cksum.SameAlgorithm(kind, given.Type) {
		if theirs, err = cksum.New(given.Type); err != nil {
			return err
		}
	}
	if own != nil || theirs != nil {
		if err := w.readBack(ctx, own, theirs); err != nil {
			return err
		}
	}
	switch {
	case given.IsNone():
		return nil
	case theirs != nil:
		return w.verify(cksum.Sum(given.Type, theirs))
	}
	return w.verify(cksum.Sum(kind, own))
}

// readBack feeds the work file to hashes; either may be nil.
func (w *write) readBack(ctx context.Context, hashes ...hash.Hash) error {
	buf := w.s.memory.Get(memsys.MaxSlab)
	defer buf.Free()
	for off := int64(0); off < w.size; {
		if err := ctx.Err(); err != nil {
			return err
		}
		chunk := buf.Bytes()[:min(int64(len(buf.Bytes())), w.size-off)]
		if err := w.onDisk(ctx, func() error {
			n, err := w.file.ReadAt(chunk, off)
			if n == len(chunk) {
				return nil
			}
			return err
		}); err != nil {
			return err
		}
		for _, h := range hashes {
			if h != nil {
				_, _ = h.Write(chunk) // hashes never fail
			}
		}
		off += int64(len(chunk))
	}
	return nil
}
