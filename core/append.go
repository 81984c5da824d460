package core

import (
	"context"
	"crypto/rand"
	"encoding"
	"encoding/binary"
	"errors"
	"hash"
	"io"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/fs"
)

// An append builds an object out of several requests in a work file, which
// becomes the object when it is flushed. Until then nobody sees it. What is
// known of it is in memory: after a restart the handle means nothing, and the
// work file is removed with all others.

// AppendHandle names an append between two requests. A request that succeeds
// makes a new one, and the one before is not accepted any more.
type AppendHandle struct {
	Work     string // of the work file that it began with
	Checksum string // type
	State    []byte // sequence number and secret
}

const (
	appendTag    = "append"
	appendSecret = 16 // bytes
	appendState  = 8 + appendSecret
)

// appending is one append. Its fields are used by whoever holds it.
type appending struct {
	object
	id     string // the name of its first work file
	secret [appendSecret]byte
	held   bool  // by a request; changed under the table's lock alone
	used   int64 // when it was let go last, ns

	sequence uint64 // requests so far
	mp       *fs.Mountpath
	path     string // of the work file
	size     int64
	kind     string    // of the checksum
	sum      hash.Hash // of what is there; nil for none
}

func (a *appending) handle() AppendHandle {
	state := binary.BigEndian.AppendUint64(make([]byte, 0, appendState), a.sequence)
	return AppendHandle{Work: a.id, Checksum: a.kind, State: append(state, a.secret[:]...)}
}

// BeginAppend begins an append with the content that the object has now, none
// if there is none, and appends a body to it. The object itself stays as it is.
// size is that of the body, -1 if it is not known; limit is the greatest size
// of the object.
//
// Errors: those of Open but for the 404 of the object, and of Put; 503 too many
// appends are under way.
func (s *Store) BeginAppend(ctx context.Context, key Key, body io.Reader, size, limit int64) (AppendHandle, error) {
	o, err := s.resolve(key)
	if err != nil {
		return AppendHandle{}, err
	}
	if err := key.CheckWritable(); err != nil {
		return AppendHandle{}, err
	}
	if err := o.room(0); err != nil {
		return AppendHandle{}, err
	}
	if err := s.appends.admit(s); err != nil {
		return AppendHandle{}, err
	}
	a, err := s.startAppend(ctx, &o, max(size, 0), limit)
	if err == nil {
		err = s.extend(ctx, a, body, size, limit)
	}
	if err != nil {
		if a != nil {
			s.removeAppend(a)
		}
		return AppendHandle{}, s.appendError(&o, err)
	}
	s.appends.add(a, s.options.Clock().UnixNano())
	return a.handle(), nil
}

// startAppend makes the work file with the present content of the object, to
// which at least more bytes will come.
func (s *Store) startAppend(ctx context.Context, o *object, more, limit int64) (*appending, error) {
	for attempt := 0; ; attempt++ {
		a, err := s.copyForAppend(ctx, o, more, limit)
		if attempt > 0 || apierr.CodeOf(err) != wire.CodeBadChecksum {
			return a, err
		}
		if err := s.CheckContent(ctx, o.Key); err != nil {
			return nil, err
		}
	}
}

func (s *Store) copyForAppend(ctx context.Context, o *object, more, limit int64) (_ *appending, err error) {
	w := &write{s: s, object: *o, tag: appendTag}
	defer w.discard()
	a := &appending{object: *o, kind: o.Props.Checksum.Type}
	_, _ = rand.Read(a.secret[:]) // never fails: crypto/rand ends the process instead
	if a.sum, err = cksum.New(a.kind); err != nil {
		return nil, err
	}
	r, err := s.Open(ctx, o.Key)
	switch {
	case apierr.StatusOf(err) == apierr.StatusNotFound && apierr.CodeOf(err) == wire.CodeNotFound:
		err = w.create(ctx)
	case err == nil && isOver(limit, r.Size, more):
		_ = r.Close() // nothing was read
		err = errAppendTooLong(o, limit)
	case err == nil:
		err = w.copyPresent(ctx, r, a.sum)
	}
	if err != nil {
		return nil, err
	}
	if err := w.close(); err != nil {
		return nil, err
	}
	a.id, a.mp, a.path, a.size = filepath.Base(w.work), w.home, w.work, w.size
	w.work = "" // it stays
	return a, nil
}

// isOver tells that an object of a size would have more than limit bytes with
// some more; limit 0 is none.
func isOver(limit, size, more int64) bool { return limit > 0 && more > limit-size }

func errAppendTooLong(o *object, limit int64) error {
	return apierr.BadRequest("append to %s: more than %d bytes (chunks.max_monolithic_size)", o.Cname(), limit)
}

// copyPresent fills the work file with an open object, which it closes.
func (w *write) copyPresent(ctx context.Context, r *Reader, sum hash.Hash) error {
	defer func() { _ = r.Close() }() // was only read
	w.opts.Checksum = r.Checksum
	if err := r.Prepare(ctx, 0, r.Size); err != nil {
		return err
	}
	done, err := w.copyInKernel(ctx, r)
	if err != nil {
		return err
	}
	if !done {
		if err := w.create(ctx); err != nil {
			return err
		}
		w.size = r.Size
		if err := w.copyFrom(ctx, r); err != nil {
			return err
		}
	}
	return w.sumFile(ctx, sum)
}

// Append appends a body to what a handle stands for and returns the handle of
// the next request. After an error nothing was appended, and the handle is good
// for another try.
//
// Errors: those of Put; 404 nothing is being appended under the handle; 409
// another request uses it at the moment, or it was replaced by a newer one.
func (s *Store) Append(ctx context.Context, key Key, h AppendHandle, body io.Reader, size, limit int64) (AppendHandle, error) {
	o, err := s.resolve(key)
	if err != nil {
		return AppendHandle{}, err
	}
	if err := o.room(0); err != nil {
		return AppendHandle{}, err
	}
	a, err := s.appends.hold(&o, h)
	if err != nil {
		return AppendHandle{}, err
	}
	defer func() { s.appends.release(a, s.options.Clock().UnixNano()) }()
	if err := s.extend(ctx, a, body, size, limit); err != nil {
		return AppendHandle{}, s.lostAppend(a, err)
	}
	return a.handle(), nil
}

// extend appends a body to the work file. If it fails the append is what it was
// before: what more is in the file is cut off by the next request.
func (s *Store) extend(ctx context.Context, a *appending, body io.Reader, size, limit int64) (err error) {
	before, err := hashState(a.sum)
	if err != nil {
		return err
	}
	was, sequence := a.size, a.sequence
	w := &write{s: s, object: a.object, tag: appendTag}
	w.move(a.mp)
	if w.file, err = s.openAppend(ctx, a); err != nil {
		return err
	}
	defer func() {
		if closeErr := w.file.Close(); err == nil {
			err = closeErr
		}
		if err != nil {
			a.size, a.sequence = was, sequence
			a.sum, err = restored(a.kind, before, err)
		}
	}()
	n, err := w.extend(ctx, a, body, size, limit)
	if err != nil {
		return err
	}
	a.size += n
	a.sequence++
	return nil
}

// openAppend opens the work file for more, at the end of what counts.
func (s *Store) openAppend(ctx context.Context, a *appending) (f fs.File, err error) {
	if err := s.acquire(ctx, a.mp); err != nil {
		return nil, err
	}
	defer a.mp.Release()
	if f, err = s.system.Open(a.path, unix.O_RDWR|unix.O_APPEND|unix.O_NOFOLLOW, 0); err != nil {
		return nil, err
	}
	info, err := f.Stat()
	switch {
	case err == nil && info.Size < a.size:
		err = errAppendCut
	case err == nil && info.Size > a.size:
		err = f.Truncate(a.size)
	}
	if err != nil {
		_ = f.Close() // nothing was written to it
		return nil, err
	}
	return f, nil
}

// extend reads the body to its end; it returns how long it was.
func (w *write) extend(ctx context.Context, a *appending, from io.Reader, size, limit int64) (n int64, err error) {
	if isOver(limit, a.size, size) {
		return 0, errAppendTooLong(&w.object, limit) // the body need not come
	}
	started := int64(0)
	b := body{Reader: from, of: &w.object, what: "appended body", size: size}
	return b.each(ctx, w.s, func(data []byte) error {
		if n += int64(len(data)); isOver(limit, a.size, n) {
			return errAppendTooLong(&w.object, limit)
		}
		if a.sum != nil {
			_, _ = a.sum.Write(data) // hashes never fail
		}
		if err := w.append(ctx, data); err != nil {
			return err
		}
		if w.size = a.size + n; n-started >= writeBackEvery {
			if err := w.startWriteback(ctx, a.size+started); err != nil {
				return err
			}
			started = n
		}
		return nil
	})
}

// FlushAppend makes what was appended the object of its name, as a write of the
// whole content would, and ends the handle. sum is the client's checksum of the
// whole content, which must be of the type that the object gets; none: nothing
// is compared.
//
// Errors: those of Append and Put. After one the handle is good for another
// try, unless it is a 404, or the outcome of the commit is open, or a flush
// failed: then what was appended is lost.
func (s *Store) FlushAppend(ctx context.Context, key Key, h AppendHandle, sum cksum.Value) (Attrs, error) {
	o, err := s.resolve(key)
	if err != nil {
		return Attrs{}, err
	}
	a, err := s.appends.hold(&o, h)
	if err != nil {
		return Attrs{}, err
	}
	defer func() { s.appends.release(a, s.options.Clock().UnixNano()) }()
	computed := cksum.Sum(a.kind, a.sum)
	if !sum.IsNone() && a.sum != nil && !sum.Equal(computed) {
		return Attrs{}, apierr.BadChecksum(sum.Type, sum.Value, computed.Value, "of type "+a.kind+", "+o.Cname())
	}
	f, err := s.openAppend(ctx, a) // cuts off what a failed request left
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		return Attrs{}, s.lostAppend(a, err)
	}
	w := &write{
		s: s, object: o, tag: appendTag, sync: key.Props.SyncWrites(), home: a.mp, work: a.path, size: a.size, sum: computed,
	}
	attrs, err := w.commit(ctx)
	a.mp, a.path = w.home, w.work // "" once it has its name
	if err != nil {
		_ = w.close() // of files that are not used now
		w.discardSidecar()
		if errors.Is(err, fs.ErrFlushFailed) && a.path != "" {
			// The kernel drops what it could not write, and calls the next
			// flush a success.
			s.removeAppend(a)
		}
		return Attrs{}, s.lostAppend(a, w.fail(err))
	}
	return attrs, nil
}

// hashState saves the state of a hash.
func hashState(h hash.Hash) ([]byte, error) {
	if h == nil {
		return nil, nil
	}
	saver, ok := h.(encoding.BinaryMarshaler)
	if !ok {
		return nil, apierr.New(apierr.StatusInternalServerError, "", "checksum %T has no state to save", h)
	}
	return saver.MarshalBinary()
}

// restored returns a hash with a saved state, and the cause why it is needed.
func restored(kind string, state []byte, cause error) (hash.Hash, error) {
	h, err := cksum.New(kind)
	if err != nil || h == nil {
		return nil, cause
	}
	if loader, ok := h.(encoding.BinaryUnmarshaler); ok {
		if err := loader.UnmarshalBinary(state); err != nil {
			return nil, apierr.Wrap(err, apierr.StatusInternalServerError, "", "restore the state of a checksum")
		}
	}
	return h, cause
}
