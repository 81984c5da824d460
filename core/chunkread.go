package core

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	fsys "github.com/aistore-go/aistore/fs"
)

// Segment is a piece of an object's content that lies in one file, or comes from
// other targets.
type Segment struct {
	File      fsys.File // open for reading; nil: Body
	Mountpath *fsys.Mountpath
	Offset    int64     // in the file, bytes
	Length    int64     // bytes
	Body      io.Reader // of Length bytes, if it does not fail
}

// Gate is that of the calls that read from the File other than by its methods.
func (s *Segment) Gate() fsys.Gate { return s.Mountpath.GateOf(s.File) }

// Send takes a piece of content. It returns how many bytes of it were sent on;
// fewer than the piece has if unreadable says why its file ended or could not be
// read further, or err why nothing more can be sent.
type Send func(Segment) (sent int64, unreadable, err error)

// chunkedContent is what a Reader of a chunked object has beside the first
// chunk.
type chunkedContent struct {
	s        *Store
	o        object // where the first chunk lies
	manifest *manifest
	first    fsys.FileInfo // of the first chunk
	copied   bool          // the chunks have copies, or are to have some

	mu     sync.Mutex
	open   fsys.File // the chunk that ReadAt used last, if not the first
	on     *fsys.Mountpath
	number int // its index
}

// IsChunked tells that the content lies in several files: what is sent must go
// through Segments, or be read with ReadAt.
func (r *Reader) IsChunked() bool { return r.chunked != nil }

// Prepare checks, before anything of a range is sent, that all of it is there.
// The range must lie within the object. It costs nothing unless the object is
// chunked. Errors: 500 with "truncated" in its text, 503.
func (r *Reader) Prepare(ctx context.Context, start, length int64) error {
	if r.chunked == nil {
		return nil
	}
	c := r.chunked
	err := c.check(ctx, start, length)
	if err == nil && length == r.Size {
		c.s.inPlace.remove(c.manifest.upload, false)
	}
	if err == nil || apierr.CodeOf(err) != wire.CodeBadChecksum {
		return err
	}
	if c.s.restore(ctx, &c.o) && c.check(ctx, start, length) == nil {
		return nil
	}
	c.s.damagedInPlace(&c.o, c.manifest.upload, false, err)
	return err
}

// Segments calls send for the pieces of a range, in order. A file is open
// during the call only; send may take its descriptor with OSFile. What cannot be
// read is sent from another place of the same content, a copy or slices; if
// there is none the error is that of the reading (500, 503). An error of send ends
// it and is returned as it is.
func (r *Reader) Segments(ctx context.Context, start, length int64, send Send) error {
	if r.chunked == nil {
		return r.sendPiece(ctx, 0, start, length, start, send)
	}
	return r.chunked.each(start, length, func(i int, off, n int64) error {
		at := start
		start += n
		return r.sendPiece(ctx, i, off, n, at, send)
	})
}

// readIn reads from a file as one operation of its mountpath. Errors are io.EOF
// and those of IOError; 503 if the mountpath does not answer.
func readIn(mp *fsys.Mountpath, f fsys.File, p []byte, off int64) (int, error) {
	age, err := mp.Enter()
	if err != nil {
		return 0, err
	}
	n, err := f.ReadAt(p, off)
	mp.Leave(age)
	if err != nil && !errors.Is(err, io.EOF) {
		err = mp.IOError("read "+f.Path(), err)
	}
	return n, err
}

// ReadAt implements io.ReaderAt over the whole content; what cannot be read is read
// from another place, as by Segments. Errors beside io.EOF are those of Open.
func (r *Reader) ReadAt(p []byte, off int64) (n int, err error) {
	want := len(p)
	if off < 0 || off > r.Size {
		return 0, io.EOF
	}
	if int64(len(p)) > r.Size-off {
		p = p[:r.Size-off]
	}
	if r.chunked == nil {
		n, err = r.readPiece(0, p, off, off)
	} else {
		err = r.chunked.each(off, int64(len(p)), func(i int, at, length int64) error {
			m, err := r.readPiece(i, p[n:n+int(length)], at, off+int64(n))
			n += m
			return err
		})
	}
	if err == nil && n < want {
		err = io.EOF
	}
	return n, err
}

// readPiece fills p from offset off of chunk i, which is offset at of the object.
func (r *Reader) readPiece(i int, p []byte, off, at int64) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	if !r.hasFailed(i) {
		mp := r.Mountpath
		if r.chunked == nil {
			n, err = readIn(mp, r.File, p, off)
		} else {
			n, mp, err = r.chunked.readChunk(r.Mountpath, r.File, i, p, off)
		}
		if n == len(p) {
			return n, nil
		}
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		err = r.unreadable(i, mp, err)
	}
	m, err := r.readOn(i, p[n:], off+int64(n), at+int64(n), err)
	return n + m, err
}

// each calls do for the chunks of a range: index, offset in the chunk, length.
func (c *chunkedContent) each(start, length int64, do func(i int, off, n int64) error) error {
	at := int64(0)
	for i := range c.manifest.chunks {
		if length <= 0 {
			return nil
		}
		size := c.manifest.chunks[i].size
		if start < at+size {
			n := min(length, at+size-start)
			if err := do(i, start-at, n); err != nil {
				return err
			}
			start, length = start+n, length-n
		}
		at += size
	}
	return nil
}

// readChunk reads from one chunk. The chunk that was read last stays open: a
// copy goes through a chunk in many steps.
func (c *chunkedContent) readChunk(home *fsys.Mountpath, first fsys.File, i int, p []byte, off int64) (int, *fsys.Mountpath, error) {
	if i == 0 {
		n, err := readIn(home, first, p, off)
		return n, home, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == nil || c.number != i {
		if c.open != nil {
			_ = c.open.Close() // was only read
			c.open = nil
		}
		f, mp, err := c.openChunk(i, nil)
		if err != nil {
			return 0, mp, err
		}
		c.open, c.on, c.number = f, mp, i
	}
	n, err := readIn(c.on, c.open, p, off)
	return n, c.on, err
}

// check looks whether every chunk of a range is there and has its size.
func (c *chunkedContent) check(ctx context.Context, start, length int64) error {
	elsewhere := false
	err := c.each(start, length, func(i int, _, _ int64) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		want := &c.manifest.chunks[i]
		if i == 0 {
			if c.first.Size != want.size {
				return c.truncated(i, c.first.Size)
			}
			return nil
		}
		found, err := c.find(want, nil)
		switch {
		case err != nil:
			return err
		case found.info.Kind != fsys.KindFile:
			return c.truncated(i, -1)
		case found.info.Size != want.size:
			return c.truncated(i, found.info.Size)
		}
		elsewhere = elsewhere || found.mp != chunkOwner(c.o.set, &c.o, c.manifest.upload, want.number)
		return nil
	})
	if err == nil && elsewhere && c.copied { // the file at the place of a chunk is missing
		err = c.s.Owe(ctx, WorkCopies, c.o.Key)
	}
	return err
}

// foundChunk is a file of a chunk. The kind of info is zero if there is none.
type foundChunk struct {
	path string
	mp   *fsys.Mountpath
	info fsys.FileInfo
}

// find looks for a chunk: where the manifest says, then on all mountpaths but some. One
// that has another size than the manifest says is found only if no other is there,
// and an error of a disk counts only then.
func (c *chunkedContent) find(want *chunk, but []*fsys.Mountpath) (best foundChunk, err error) {
	all := c.s.options.FS.Available().All()
	// The second time for a chunk that is moved to where it was looked for before.
	for _, here := range [...]bool{true, false, true} {
		for _, mp := range all {
			if (mp.ID == want.mp) != here || slices.Contains(but, mp) {
				continue
			}
			found := foundChunk{mp: mp, path: chunkPath(mp, &c.o, c.manifest.upload, want.number)}
			failed := c.s.withSlot(mp, nil, func() error {
				age := mp.Begin()
				defer mp.End(age)
				info, err := c.s.system.Stat(found.path)
				if err != nil && !isNotExist(err) {
					return mp.IOError("stat "+found.path, err)
				}
				found.info = info
				return nil
			})
			switch {
			case failed != nil && err == nil:
				err = failed
			case found.info.Kind == fsys.KindFile && found.info.Size == want.size:
				return found, nil
			case found.info.Kind == fsys.KindFile && best.info.Kind != fsys.KindFile:
				best = found
			}
		}
	}
	if best.info.Kind == fsys.KindFile {
		err = nil
	}
	return best, err
}

// openChunk opens a chunk other than the first, on another mountpath than some,
// and tells where it lies.
func (c *chunkedContent) openChunk(i int, but []*fsys.Mountpath) (fsys.File, *fsys.Mountpath, error) {
	for attempt := 0; ; attempt++ {
		found, err := c.find(&c.manifest.chunks[i], but)
		if err != nil {
			return nil, nil, err
		}
		if found.info.Kind != fsys.KindFile {
			return nil, nil, c.truncated(i, -1)
		}
		age, err := found.mp.Enter()
		if err != nil {
			return nil, found.mp, err
		}
		f, err := c.s.openFile(found.path)
		found.mp.Leave(age)
		if attempt < maxRelocations && isNotExist(err) {
			continue // it was moved to another mountpath
		}
		return f, found.mp, err
	}
}

// matches tells that a file is the manifest to which a record refers.
func (c *chunkRef) matches(file []byte) bool {
	return uint32(len(file)) == c.length && xxhash.Sum64(file) == c.sum
}

// truncated is the 500 of a chunk that is missing (has is negative) or has a
// wrong size. Clients look for the word.
func (c *chunkedContent) truncated(i int, has int64) error {
	want := &c.manifest.chunks[i]
	what := "is missing"
	if has >= 0 {
		what = "has another size"
	}
	return apierr.New(apierr.StatusInternalServerError, wire.CodeBadChecksum,
		"BAD DATA CHECKSUM: %s is truncated: chunk %d of %d %s (size(%d != %d))",
		c.o.Cname(), i+1, len(c.manifest.chunks), what, want.size, max(has, 0))
}

// close gives back what ReadAt opened, and the hold on the generation.
func (c *chunkedContent) close() (err error) {
	c.mu.Lock()
	if c.open != nil {
		err = c.open.Close()
		c.open = nil
	}
	c.mu.Unlock()
	c.s.generations.release(c.manifest.upload)
	return err
}

// holdChunks keeps the files of what was found under the name lock, if it is
// chunked.
func (s *Store) holdChunks(c *candidate, err error) {
	if c.held = err == nil && c.file != nil && c.damage == nil && c.rec.kind == KindChunked; c.held {
		s.generations.hold(c.rec.chunks.upload)
	}
}

// openContent makes the rest of a reader for a chunked object whose generation
// is held, and reads all of it if it is to be validated. found is damage, after
// which the object stays where it is; err is a failure to find out.
func (s *Store) openContent(ctx context.Context, o *object, c *candidate, validate bool) (found, err error) {
	at := o.on(c.mp)
	m, err := s.loadManifest(&at, &c.rec, c.path)
	if err == nil {
		c.content = &chunkedContent{s: s, o: at, manifest: m, first: c.info, copied: o.mayBeCopied(&c.rec)}
		if size := m.chunks[0].size; c.info.Size != size && s.firstElsewhere(&at, c, size) {
			return c.content.truncated(0, c.info.Size), nil
		}
		if !validate {
			return nil, nil
		}
		if found, err = s.verifyChunks(ctx, c, c.content); found == nil && err == nil {
			s.inPlace.remove(m.upload, true)
		}
		return found, err
	}
	if apierr.CodeOf(err) == wire.CodeBadChecksum {
		return err, nil
	}
	return nil, err
}

// loadManifest reads and checks the manifest that the record of the first chunk
// refers to.
func (s *Store) loadManifest(o *object, rec *record, first string) (*manifest, error) {
	ref := &rec.chunks
	path := manifestPath(o.mp, o, ref.upload)
	var m *manifest
	err := s.withSlot(o.mp, nil, func() error {
		age := o.mp.Begin()
		defer o.mp.End(age)
		file, err := s.readSmall(o.mp, path, int(min(ref.length, maxManifest)))
		if err != nil {
			return err
		}
		if !ref.matches(file) {
			return damaged("manifest does not match the record")
		}
		m, err = decodeManifest(file)
		return err
	})
	switch {
	case err == nil && m == nil:
		return nil, apierr.Unavailable(time.Second, "%s: its mountpath is out of use", o.Cname())
	case err == nil && (m.upload != ref.upload || m.size != rec.size || m.state != stateCompleted || len(m.chunks) != int(ref.count)):
		err = damaged("manifest of another object")
	}
	if err == nil {
		return m, nil
	}
	if !errors.Is(err, errRecordDamaged) && !isNotExist(err) {
		return nil, o.mp.IOError("read "+path, err)
	}
	if m := s.manifestElsewhere(o, rec); m != nil {
		return m, nil
	}
	if m := s.rebuildManifest(o, rec, first); m != nil {
		return m, nil
	}
	return nil, apierr.Wrap(err, apierr.StatusInternalServerError, wire.CodeBadChecksum,
		"BAD DATA CHECKSUM: %s is truncated: its list of chunks is damaged or missing", o.Cname())
}
