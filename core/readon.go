package core

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	fsys "github.com/aistore-go/aistore/fs"
)

// A disk may fail in the midst of a read, when a client already has the first
// bytes. The rest is then taken from another place that holds the same content:
// a copy on another mountpath, of the file or of the chunk, or the slices on
// other targets. What has failed once is not asked again by the same Reader.

// detourTime bounds the search for another place where the caller has set no bound.
const detourTime = 10 * time.Second

// detours are the places of an open object that have failed, and what ReadAt reads
// instead.
type detours struct {
	mu     sync.Mutex
	failed map[int][]*fsys.Mountpath // by index of the chunk; 0: the object's file

	open   fsys.File // nil: none
	on     *fsys.Mountpath
	number int // index of the chunk that is open

	stream io.ReadCloser // of slices; nil: none
	at     int64         // offset in the object of its next byte
}

// detour returns the detours of a reader, which has some from now on.
func (r *Reader) detour() *detours {
	if d := r.detours.Load(); d != nil {
		return d
	}
	r.detours.CompareAndSwap(nil, &detours{failed: map[int][]*fsys.Mountpath{}})
	return r.detours.Load()
}

func (d *detours) close() (err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open != nil {
		err = d.open.Close()
		d.open = nil
	}
	if d.stream != nil {
		_ = d.stream.Close() // of a pipe: always nil
		d.stream = nil
	}
	return err
}

// note remembers that a place of a chunk has failed.
func (d *detours) note(i int, mp *fsys.Mountpath) {
	if mp == nil || slices.Contains(d.failed[i], mp) {
		return
	}
	d.failed[i] = append(d.failed[i], mp)
}

// of returns the places of a chunk that have failed.
func (d *detours) of(i int) []*fsys.Mountpath {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.failed[i])
}

// hasFailed tells that the place at which a chunk was opened first has failed.
func (r *Reader) hasFailed(i int) bool {
	d := r.detours.Load()
	return d != nil && len(d.of(i)) > 0
}

// Unreadable notes that the File could not be read to its end, and returns what
// that means for a client (see Mountpath.IOError): Segments goes on elsewhere.
func (r *Reader) Unreadable(cause error) error { return r.unreadable(0, r.Mountpath, cause) }

func (r *Reader) unreadable(i int, mp *fsys.Mountpath, cause error) error {
	d := r.detour()
	d.mu.Lock()
	d.note(i, mp)
	d.mu.Unlock()
	if mp != nil {
		cause = mp.IOError("read "+r.key.Cname(), cause)
	}
	if r.store != nil {
		r.store.log.Warn("an object cannot be read to its end where it lies", "object", r.key.Cname(), "chunk", i, "mountpath", mp, "err", cause)
	}
	return cause
}

// another opens the next place of a chunk that has not failed; of what is not
// chunked, and of a first chunk, a copy of the object's file with the same content.
// isNotExist: there is none.
func (r *Reader) another(ctx context.Context, i int) (fsys.File, *fsys.Mountpath, error) {
	failed := r.detour().of(i)
	if i > 0 {
		for {
			f, mp, err := r.chunked.openChunk(i, failed)
			if err == nil || mp == nil || ctx.Err() != nil {
				return f, mp, err
			}
			_ = r.unreadable(i, mp, err) // it is logged
			failed = append(failed, mp)
		}
	}
	if r.store == nil || r.key.Props == nil {
		return nil, nil, errNoOther
	}
	s := r.store
	o, err := s.resolve(r.key)
	if err != nil {
		return nil, nil, err
	}
	if err := s.locks.lock(ctx, r.digest, false); err != nil {
		return nil, nil, err
	}
	defer s.locks.unlock(r.digest, false)
	buf := s.memory.Get(recordBuffer)
	defer buf.Free()
	for _, mp := range s.options.FS.Available().All() {
		if slices.Contains(failed, mp) || s.acquire(ctx, mp) != nil {
			continue
		}
		at := o.on(mp)
		c, err := s.openHere(&at, buf.Bytes())
		mp.Release()
		if err == nil && r.isOf(&c) {
			return c.file, mp, nil
		}
		if c.file != nil {
			_ = c.file.Close() // was not read from
		}
	}
	return nil, nil, errNoOther
}

// errNoOther: nothing else has the content.
var errNoOther = errors.New("no other place holds the same content")

// isOf tells that a file holds what the reader's file holds.
func (r *Reader) isOf(c *candidate) bool {
	if !c.whole() {
		return false
	}
	if r.chunked != nil {
		m := r.chunked.manifest
		return c.rec.kind == KindChunked && c.rec.chunks.upload == m.upload && c.info.Size == m.chunks[0].size
	}
	if c.rec.kind != KindObject {
		return false
	}
	other := c.rec.attrs(c.mp)
	return r.SameContent(&other)
}

// SameContent tells that two states of a name have the same bytes: one generation,
// or one whose metadata alone was changed.
func (a *Attrs) SameContent(b *Attrs) bool {
	if a.Size != b.Size || a.BID != b.BID {
		return false
	}
	return a.Stamp == b.Stamp || a.Mtime == b.Mtime && !a.Checksum.IsNone() && a.Checksum == b.Checksum
}

// slices opens the rest of the content from what other targets hold of it.
func (r *Reader) slices(ctx context.Context, start, length int64) (io.ReadCloser, error) {
	s := r.store
	if s == nil || r.key.Props == nil || !r.key.Props.EC.Enabled || s.options.Ports.Slices == nil {
		return nil, errNoOther
	}
	ctx, cancel := context.WithCancel(ctx)
	body, w := io.Pipe()
	key, attrs := r.key, r.Attrs
	go func() {
		err := s.options.Ports.Slices.Read(ctx, key, &attrs, start, length, w)
		_ = w.CloseWithError(err) // always nil
	}()
	return &sliceStream{PipeReader: body, cancel: cancel}, nil
}

// sliceStream is content on its way from slices.
type sliceStream struct {
	*io.PipeReader
	cancel context.CancelFunc
}

// Close ends the reading of slices.
func (s *sliceStream) Close() error {
	s.cancel()
	return s.PipeReader.Close()
}

// readOn reads a part of a chunk, from its offset off and that of the object at,
// which could not be read because of cause. It fills p, or returns an error.
func (r *Reader) readOn(i int, p []byte, off, at int64, cause error) (int, error) {
	if errors.Is(cause, io.EOF) || cause == nil {
		cause = io.ErrUnexpectedEOF
	}
	ctx, cancel := context.WithTimeout(context.Background(), detourTime)
	defer cancel()
	d := r.detour()
	if n := d.readOpen(r, i, p, off); n == len(p) {
		return n, nil
	}
	for {
		f, mp, err := r.another(ctx, i)
		if err != nil {
			break
		}
		d.use(f, mp, i)
		if n := d.readOpen(r, i, p, off); n == len(p) {
			return n, nil
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stream == nil || d.at != at {
		if d.stream != nil {
			_ = d.stream.Close() // of a pipe: always nil
		}
		var err error
		if d.stream, err = r.slices(context.Background(), at, r.Size-at); err != nil {
			d.stream = nil
			return 0, cause
		}
		d.at = at
	}
	n, err := io.ReadFull(d.stream, p)
	d.at += int64(n)
	if err != nil {
		_ = d.stream.Close() // of a pipe: always nil
		d.stream = nil
		return n, errors.Join(cause, err)
	}
	return n, nil
}

// use makes a file the one that ReadAt reads from.
func (d *detours) use(f fsys.File, mp *fsys.Mountpath, i int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open != nil {
		_ = d.open.Close() // was only read
	}
	d.open, d.on, d.number = f, mp, i
}

// readOpen fills p from the file that is open, if that is of the chunk; what
// it returns is less if it cannot.
func (d *detours) readOpen(r *Reader, i int, p []byte, off int64) int {
	d.mu.Lock()
	if d.open == nil || d.number != i {
		d.mu.Unlock()
		return 0
	}
	on := d.on
	n, err := readIn(on, d.open, p, off)
	if n == len(p) {
		d.mu.Unlock()
		return n
	}
	_ = d.open.Close() // was only read
	d.open = nil
	d.mu.Unlock()
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	_ = r.unreadable(i, on, err) // it is logged; the first failure is the one to report
	return 0
}

// sendPiece is Segments for what lies in one file: length bytes from offset off of
// chunk i, which is offset at of the object.
func (r *Reader) sendPiece(ctx context.Context, i int, off, length, at int64, send Send) error {
	seg := Segment{Mountpath: r.Mountpath, Offset: off, Length: length}
	var cause error
	switch {
	case r.hasFailed(i):
		cause = errNoOther
	case i == 0:
		seg.File = r.File
	default:
		var err error
		if seg.File, seg.Mountpath, err = r.chunked.openChunk(i, nil); err != nil {
			cause = r.unreadable(i, seg.Mountpath, err)
		}
	}
	for first := true; ; first = false {
		if cause == nil {
			sent, unreadable, err := send(seg)
			if i > 0 || !first {
				err = errors.Join(err, seg.File.Close())
			}
			if err != nil || unreadable == nil {
				return err
			}
			seg.Offset, seg.Length, at = seg.Offset+sent, seg.Length-sent, at+sent
			cause = r.unreadable(i, seg.Mountpath, unreadable)
		}
		f, mp, err := r.another(ctx, i)
		if err != nil {
			return r.sendSlices(ctx, at, seg.Length, cause, send)
		}
		seg.File, seg.Mountpath, cause = f, mp, nil
	}
}

// sendSlices sends what nothing here holds any more; cause is why.
func (r *Reader) sendSlices(ctx context.Context, start, length int64, cause error, send Send) error {
	body, err := r.slices(ctx, start, length)
	if err != nil {
		return cause
	}
	_, unreadable, err := send(Segment{Body: body, Length: length})
	_ = body.Close() // of a pipe: always nil
	if unreadable != nil {
		unreadable = errors.Join(cause, unreadable)
	}
	return errors.Join(err, unreadable)
}
