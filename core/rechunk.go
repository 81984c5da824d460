package core

import (
	"context"
	"errors"
	"hash/crc32"
	"io"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/cmn/wire"
)

// maxRechunks bounds how often Rechunk begins anew because the name was written
// meanwhile.
const maxRechunks = 10

// Rechunked is what Rechunk has found, or made.
type Rechunked struct {
	Attrs   Attrs // of the object as it lies now
	Changed bool  // it was stored anew
}

// ChunkSizeOf is the size of the chunks of an object of so many bytes, all but the
// last one: the size that is asked for, or more if there would be more than
// MaxParts of them. 0: it lies in one file, because that is asked for (0), or
// because it is one chunk.
func ChunkSizeOf(size, asked int64) int64 {
	if asked <= 0 || size <= asked {
		return 0
	}
	return max(asked, (size+MaxParts-1)/MaxParts)
}

// laidOut tells that an object lies in chunks of a size already; 0: in one file.
func (a *Attrs) laidOut(chunk int64) bool {
	if chunk == 0 {
		return a.Chunks == 0
	}
	return int64(a.Chunks) == (a.Size+chunk-1)/chunk && a.LargestChunk == chunk
}

// Rechunk stores an object in chunks of a size, or, with 0 or if it is not larger
// than that, in one file. One that lies like this already is left alone. Content,
// checksum, version, version id, custom metadata and times stay; the stamp grows as
// with SetCustom. The content is compared with its checksum on the way, and is
// on stable storage in its new form, whatever the bucket's durability, before the
// old one goes: whoever reads meanwhile, or after a crash, finds the one or the
// other. A write of the name that takes effect meanwhile wins, and is what is stored
// anew then. Space for the object a second time is needed.
//
// Errors are those of Open and of Put; 503: the name keeps changing, or belongs to
// another target (ErrNotOwner), or an earlier owner has something newer.
func (s *Store) Rechunk(ctx context.Context, key Key, chunkSize int64) (Rechunked, error) {
	if err := key.CheckWritable(); err != nil {
		return Rechunked{}, err
	}
	// Most objects lie as they are to lie, which their metadata tell.
	attrs, err := s.Head(ctx, key)
	if err != nil {
		return Rechunked{}, err
	}
	if attrs.laidOut(ChunkSizeOf(attrs.Size, chunkSize)) {
		return s.asItLies(ctx, key, &attrs)
	}
	checked := false
	for range maxRechunks {
		done, err := s.rechunkOnce(ctx, key, chunkSize)
		switch {
		case errors.Is(err, errMoving):
			continue
		case apierr.CodeOf(err) == wire.CodeBadChecksum && !checked:
			checked = true
			if found := s.CheckContent(ctx, key); found != nil { // else it was restored
				return Rechunked{}, found
			}
			continue
		}
		return done, err
	}
	return Rechunked{}, apierr.Unavailable(time.Second, "%s keeps changing", key.Cname())
}

// asItLies is the answer if there is nothing to do. What this process has written may
// be what an earlier call has stored anew and could not flush.
func (s *Store) asItLies(ctx context.Context, key Key, attrs *Attrs) (Rechunked, error) {
	done := Rechunked{Attrs: *attrs}
	if !s.isOwn(attrs.LastChange()) {
		return done, nil
	}
	o, err := s.resolve(key.durably())
	if err == nil {
		err = s.secure(ctx, &o)
	}
	return done, err
}

func (s *Store) rechunkOnce(ctx context.Context, key Key, chunkSize int64) (Rechunked, error) {
	o, err := s.resolve(key.durably())
	if err != nil {
		return Rechunked{}, err
	}
	r, err := s.Open(ctx, key)
	if err != nil {
		return Rechunked{}, err
	}
	opened := true
	defer func() {
		if opened {
			_ = r.Close() // was only read
		}
	}()
	size := ChunkSizeOf(r.Size, chunkSize)
	if r.laidOut(size) {
		return s.asItLies(ctx, key, &r.Attrs)
	}
	if err := o.room(r.Size); err != nil {
		return Rechunked{}, err
	}
	w := &write{
		s: s, object: o, sync: true, unsummed: true, tag: "rechunk",
		opts:   PutOptions{Size: r.Size, Checksum: r.Checksum},
		amends: r.LastChange(), relaid: &relaid{of: r.LastChange(), atime: r.Atime},
	}
	defer w.discard()
	err = w.receiveAnew(ctx, r, size)
	opened = false
	if closed := r.Close(); err == nil {
		err = closed
	}
	var attrs Attrs
	if err == nil {
		attrs, err = w.commit(ctx)
	}
	if errors.Is(err, errMoving) {
		return Rechunked{}, err
	}
	if err != nil {
		return Rechunked{}, w.fail(err)
	}
	return Rechunked{Attrs: attrs, Changed: true}, nil
}

// relaid is a generation that is stored anew.
type relaid struct {
	of    Stamp // its last change: it is no more what the name holds if that is another one
	atime int64 // ns
}

// receiveAnew stores the content of an open object in chunks of a size; 0: in one
// file.
func (w *write) receiveAnew(ctx context.Context, r *Reader, chunk int64) error {
	if err := r.Prepare(ctx, 0, r.Size); err != nil {
		return err
	}
	content := io.Reader(&storedContent{Reader: io.NewSectionReader(r, 0, r.Size), of: &w.object})
	if r.chunked != nil && r.Checksum.IsNone() {
		content = &summedChunks{from: content, of: r.chunked}
	}
	if chunk == 0 {
		return w.receive(ctx, content)
	}
	w.startChunks().size = chunk
	return w.stream(ctx, content, nil)
}

// relaidRecord is the record of a generation that is stored anew, over what the
// name holds now. errMoving: that is another one.
func (w *write) relaidRecord(now *existing) (record, error) {
	newest := now.newest()
	if newest == nil || newest.written() != w.relaid.of || w.earlier.newerThan(newest) {
		return record{}, errMoving
	}
	rec := *newest
	rec.kind, rec.chunks, rec.sidecar, rec.name = w.kind(), w.chunkRef(), false, ""
	rec.copies = w.plannedCopies(rec.kind)
	rec.atime = max(rec.atime, w.relaid.atime)
	w.restamp(&rec)
	w.settlePlace(&rec, now)
	return rec, nil
}

// restamp gives a record the stamp of a later change. Of a generation that is
// stored anew and has a version id, which is its stamp, it is that of a revision.
func (w *write) restamp(rec *record) {
	next := w.s.stamp(rec.written())
	if w.relaid != nil && rec.flags&flagVersioned != 0 {
		rec.revision = next
	} else {
		rec.stamp = next
	}
}

// storedContent is the content of an object here. Errors are those of reads.
type storedContent struct {
	io.Reader
	of *object
}

// Read implements io.Reader.
func (c *storedContent) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = c.of.mp.IOError("read "+c.of.Cname(), err)
	}
	return n, err
}

// summedChunks is the content of a chunked object that has no checksum of the
// whole: that of each chunk is compared.
type summedChunks struct {
	from io.Reader
	of   *chunkedContent
	at   int    // index of the chunk
	done int64  // bytes of it
	crc  uint32 // of these
}

// Read implements io.Reader.
func (c *summedChunks) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	for rest := p[:n]; len(rest) > 0; {
		chunk := &c.of.manifest.chunks[c.at]
		piece := rest[:min(int64(len(rest)), chunk.size-c.done)]
		c.crc = crc32.Update(c.crc, castagnoli, piece)
		c.done += int64(len(piece))
		rest = rest[len(piece):]
		if c.done < chunk.size {
			break
		}
		if c.crc != chunk.crc {
			return 0, apierr.BadChecksum(cksum.CRC32C, hex32(chunk.crc), hex32(c.crc),
				c.of.o.Cname()+", changed in chunk "+chunkName(c.of.manifest.upload, chunk.number))
		}
		c.at, c.done, c.crc = c.at+1, 0, 0
	}
	return n, err
}
