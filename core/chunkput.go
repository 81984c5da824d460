package core

import (
	"context"
	"hash/crc32"
	"math"

	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/memsys"
)

// A PUT of more than the bucket's max_monolithic_size is stored in chunks. If
// the size is known the chunks have the bucket's chunk_size. If not, the first
// one has max_monolithic_size, for that is what had come before it was known.
// Chunks grow where there would be too many of them.

// growth keeps the number of chunks of a body without an end in bounds: each
// chunk has at least 1/growth of what came before it.
const growth = 128

// chunkWriter is what a write has of an object that is stored in chunks.
type chunkWriter struct {
	upload    string
	firstSize int64
	chunks    []chunk // those that are complete

	borrowed string // path of a part: it becomes the object's file, and stays if that fails

	ref      chunkRef
	manifest []byte
	home     *fs.Mountpath // where the manifest was written

	// Of a PUT:
	put   bool
	kept  bool      // the object has its name: nothing is to be removed
	size  int64     // of a chunk
	sizes []int64   // of all chunks, if they have to be these
	part  *partFile // the chunk that is being written
	left  int64     // bytes that it still takes
}

// chunkRef is what the record says of the chunks.
func (w *write) chunkRef() chunkRef {
	if w.chunks == nil {
		return chunkRef{}
	}
	return w.chunks.ref
}

// fileSize is the size of the object's file.
func (w *write) fileSize() int64 {
	if w.chunks == nil {
		return w.size
	}
	return w.chunks.firstSize
}

// monolithic is the greatest size of one file.
func (w *write) monolithic() int64 {
	if limit := int64(w.Props.Chunks.MaxMonolithicSize); limit > 0 && w.moved == nil && w.relaid == nil {
		return limit
	}
	return math.MaxInt64
}

// deliver stores the next bytes of a long body; w.size has them already.
func (w *write) deliver(ctx context.Context, data []byte) error {
	c := w.chunks
	if c == nil {
		if limit := w.monolithic(); w.size <= limit && w.opts.Size <= limit {
			return w.append(ctx, data)
		}
		if err := w.splitOff(ctx, w.size-int64(len(data))); err != nil {
			return err
		}
		c = w.chunks
	}
	for len(data) > 0 {
		if c.left == 0 {
			if err := w.nextChunk(ctx); err != nil {
				return err
			}
		}
		n := min(c.left, int64(len(data)))
		if _, err := c.part.Write(data[:n]); err != nil {
			return err
		}
		c.left -= n
		data = data[n:]
	}
	return nil
}

// startChunks makes the write one of chunks.
func (w *write) startChunks() *chunkWriter {
	size := max(int64(w.Props.Chunks.ChunkSize), 1)
	if w.opts.Size > 0 {
		size = max(size, (w.opts.Size+MaxParts-1)/MaxParts)
	}
	w.chunks = &chunkWriter{upload: newUploadID(), put: true, size: size}
	w.s.generations.hold(w.chunks.upload) // so that nobody collects it
	return w.chunks
}

// splitOff makes the bytes that were written before the first chunk. If the
// size was announced there are none, and chunks have equal sizes from the start.
func (w *write) splitOff(ctx context.Context, written int64) error {
	c := w.startChunks()
	if w.opts.Size > 0 {
		return nil
	}
	p := &partFile{
		s: w.s, o: &w.object, mp: w.home, path: w.work, file: w.file, sync: w.sync,
		rec: partRecord{number: 1, upload: c.upload, bid: w.Props.BID, size: written}, started: written,
	}
	w.work, w.file = "", nil
	c.part, c.left = p, w.monolithic()-written
	buf := w.s.memory.Get(memsys.MaxSlab)
	defer buf.Free()
	for off := int64(0); off < written; {
		n, err := p.file.ReadAt(buf.Bytes()[:min(int64(len(buf.Bytes())), written-off)], off)
		if n == 0 && err != nil {
			return p.fail(err)
		}
		p.rec.crc = crc32.Update(p.rec.crc, castagnoli, buf.Bytes()[:n])
		off += int64(n)
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// nextChunk ends a chunk and begins another.
func (w *write) nextChunk(ctx context.Context) error {
	c := w.chunks
	if c.part != nil {
		if err := w.endChunk(ctx); err != nil {
			return err
		}
	}
	if len(c.chunks) == 0 && w.file != nil { // the work file that was made in advance
		_ = w.file.Close() // of a file that is given up
		w.file = nil
		w.removeWork(&w.work)
	}
	var err error
	c.part, err = w.s.newPartFile(ctx, &w.object, c.upload, len(c.chunks)+1, w.sync)
	c.left = c.size
	if c.sizes != nil {
		c.left = c.sizes[len(c.chunks)]
	} else if w.opts.Size < 0 {
		c.left = max(c.size, w.size/growth)
	}
	return err
}

// endChunk makes the chunk that was written whole and durable. The first waits
// for the record; the others get their names.
func (w *write) endChunk(ctx context.Context) error {
	c := w.chunks
	p := c.part
	if err := p.seal(ctx); err != nil {
		return err
	}
	entry := p.chunk()
	if p.rec.number == 1 {
		entry.mp = ""
		w.work, w.home, w.flushed = p.path, p.mp, p.sync
		c.firstSize = p.rec.size
		p.path = ""
	} else if err := p.publish(ctx); err != nil {
		return err
	}
	c.chunks = append(c.chunks, entry)
	c.part = nil
	return nil
}

// endChunks ends the last chunk and makes the names of all durable. 503: one of
// them lies on a mountpath that has left meanwhile.
func (w *write) endChunks(ctx context.Context) error {
	c := w.chunks
	for c.part == nil || len(c.chunks)+1 < len(c.sizes) { // the last ones are empty
		if err := w.nextChunk(ctx); err != nil {
			return err
		}
	}
	if err := w.endChunk(ctx); err != nil {
		return err
	}
	var flushes fs.FlushGroup
	seen := map[string]bool{}
	for i := range c.chunks[1:] {
		id := c.chunks[1+i].mp
		if seen[id] {
			continue
		}
		seen[id] = true
		mp, err := w.mountpath(id)
		if err != nil {
			return err
		}
		request := flushes.Of(mp)
		request.Dirs = append(request.Dirs, chunkDir(mp, &w.object))
	}
	if !w.sync {
		return nil
	}
	return flushes.Flush(ctx)
}

// listChunks makes the manifest in memory: what the record says of it is known
// then.
func (w *write) listChunks() {
	c := w.chunks
	m := manifest{state: stateCompleted, upload: c.upload, bid: w.Props.BID, name: w.Name, chunks: c.chunks}
	m.chunks[0].mp = "" // the object's file, wherever that is
	c.manifest = m.encode()
	c.ref = m.ref(c.manifest)
}

// attachManifest puts the manifest on the object's mountpath, if it is not
// there yet. The caller has a slot of it.
func (w *write) attachManifest(ctx context.Context) error {
	c := w.chunks
	if c == nil || c.home == w.mp {
		return nil
	}
	path := manifestPath(w.mp, &w.object, c.upload)
	if err := w.s.putManifest(ctx, &w.object, path, c.manifest, w.sync); err != nil {
		return err
	}
	if c.home != nil {
		if err := w.s.withSlot(c.home, w.mp, func() error { return w.s.unlinkIfThere(manifestPath(c.home, &w.object, c.upload)) }); err != nil {
			w.s.log.Warn("a manifest stays until it is collected", "object", w.Cname(), "upload", c.upload, "err", err)
		}
	}
	c.home = w.mp
	return nil
}

// named notes that the work files have their names.
func (w *write) named() {
	if w.sidecarWork != "" {
		w.s.sidecars.done(w.sidecarWork)
	}
	w.work, w.sidecarWork = "", ""
	if w.chunks != nil {
		w.chunks.kept = true
	}
}

// discardChunks removes what is left of chunks that became no object.
func (w *write) discardChunks() {
	c := w.chunks
	if c == nil {
		return
	}
	if c.part != nil {
		c.part.discard()
		c.part = nil
	}
	if w.work == c.borrowed {
		w.work = "" // it is a part still
	}
	if !c.put {
		return
	}
	if !c.kept {
		w.s.removeChunks(&w.object, c.upload, nil)
	}
	w.s.generations.release(c.upload)
	w.chunks = nil
}
