package core

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"path/filepath"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/memsys"
)

// castagnoli is the polynomial of the checksum that every chunk has.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// rebuildManifest makes a lost manifest again from what the chunks say of
// themselves; nil if that is not what the record refers to.
func (s *Store) rebuildManifest(o *object, rec *record, first string) *manifest {
	m := &manifest{state: stateCompleted, upload: rec.chunks.upload, bid: rec.bid, name: o.Name}
	found := map[int]chunk{}
	add := func(mp *fs.Mountpath, path string) error {
		p, ok, err := s.readPart(path)
		if err == nil && ok && p.upload == m.upload && p.bid == m.bid && (found[p.number].mp == "" || mp == chunkOwner(o.set, o, m.upload, p.number)) {
			found[p.number] = chunk{number: p.number, size: p.size, crc: p.crc, mp: mp.ID}
		}
		return err
	}
	err := s.withSlot(o.mp, nil, func() error { return add(o.mp, first) })
	for _, mp := range s.options.FS.Available().All() {
		if err != nil {
			return nil
		}
		err = s.withSlot(mp, nil, func() error {
			chunks, err := s.chunksHere(mp, o, m.upload, nil)
			for i := range chunks {
				err = errors.Join(err, add(mp, chunks[i].Path))
			}
			return err
		})
	}
	for _, c := range found {
		m.chunks = append(m.chunks, c)
		m.size += c.size
	}
	slices.SortFunc(m.chunks, func(a, b chunk) int { return a.number - b.number })
	if len(m.chunks) > 0 {
		m.chunks[0].mp = "" // the object's file
	}
	file := m.encode()
	if err != nil || m.size != rec.size || uint32(len(file)) != rec.chunks.length || xxhash.Sum64(file) != rec.chunks.sum {
		return nil
	}
	if err := s.writeManifest(context.Background(), o, manifestPath(o.mp, o, m.upload), file, o.Props.SyncWrites()); err != nil {
		s.log.Warn("manifest was made again and cannot be written", "object", o.Cname(), "err", err)
	} else {
		s.log.Warn("lost manifest was made again", "object", o.Cname())
	}
	return m
}

// verifyChunks reads a chunked object and compares the checksum of each chunk
// and of the whole. The object stays where it is, whatever is found.
func (s *Store) verifyChunks(ctx context.Context, c *candidate, content *chunkedContent) (damage, err error) {
	if err := content.check(ctx, 0, c.rec.size); err != nil {
		if apierr.CodeOf(err) == wire.CodeBadChecksum {
			return err, nil
		}
		return nil, err
	}
	whole, err := cksum.New(c.rec.checksum.Type)
	if c.rec.checksum.IsNone() {
		whole, err = nil, nil
	}
	if err != nil {
		return badRecord(&content.o, err), nil
	}
	buf := s.memory.Get(memsys.MaxSlab)
	defer buf.Free()
	read, done := c.validating(s, &content.o)
	defer done()
	at := int64(0)
	for i := range content.manifest.chunks {
		damage, err := verifyChunk(ctx, content, i, at, whole, buf.Bytes(), read)
		if damage != nil || err != nil {
			return damage, err
		}
		at += content.manifest.chunks[i].size
	}
	if whole == nil {
		return nil, nil
	}
	if sum := cksum.Sum(c.rec.checksum.Type, whole); sum.Value != c.rec.checksum.Value {
		return apierr.BadChecksum(sum.Type, c.rec.checksum.Value, sum.Value, content.o.Cname()), nil
	}
	return nil, nil
}

// verifyChunk reads one chunk, which is offset at of the object, and adds it to the
// checksum of the whole.
func verifyChunk(ctx context.Context, content *chunkedContent, i int, at int64, whole hash.Hash, buf []byte, read readChunkPart) (damage, err error) {
	want := &content.manifest.chunks[i]
	crc := uint32(0)
	for off := int64(0); off < want.size; {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		piece := buf[:min(int64(len(buf)), want.size-off)]
		n, err := read(i, piece, off, at+off)
		if n < len(piece) {
			if apierr.CodeOf(err) == wire.CodeBadChecksum {
				return err, nil
			}
			return nil, content.o.mp.IOError("read a chunk of "+content.o.Cname(), err)
		}
		crc = crc32.Update(crc, castagnoli, piece)
		if whole != nil {
			_, _ = whole.Write(piece) // hashes never fail
		}
		off += int64(n)
	}
	if crc != want.crc {
		return apierr.BadChecksum(cksum.CRC32C, hex32(want.crc), hex32(crc),
			content.o.Cname()+", truncated or changed in chunk "+chunkName(content.manifest.upload, want.number)), nil
	}
	return nil, nil
}

func hex32(v uint32) string { return fmt.Sprintf("%08x", v) }

// quarantineChunks moves the chunks and manifests of an object whose record
// could not be read, and is gone from its place, to where its file went, each on
// its own mountpath. What another generation of the name has, what may be an
// upload, and what is being read, stays.
func (s *Store) quarantineChunks(o *object, base string) {
	all, err := s.belongings(o)
	if err != nil {
		s.log.Warn("chunks of a quarantined object cannot be looked for", "object", o.Cname(), "err", err)
		return
	}
	stays, completed := map[string]bool{}, map[string]bool{} // by upload id
	for i := range all {
		switch b := &all[i]; b.Kind {
		case BelongsChunk:
		case BelongsManifest:
			completed[b.Upload] = true
		default:
			stays[b.Upload] = true
		}
	}
	for i := range all {
		b := &all[i]
		if b.Kind != BelongsChunk && b.Kind != BelongsManifest || !completed[b.Upload] || stays[b.Upload] || s.generations.isHeld(b.Upload) {
			continue
		}
		err := s.withSlot(b.Mountpath, o.mp, func() error {
			dir := filepath.Join(b.Mountpath.Path, fs.QuarantineDir, base)
			if err := s.makeQuarantineDir(context.Background(), b.Mountpath, dir); err != nil {
				return err
			}
			err := s.system.Rename(b.Path, filepath.Join(dir, filepath.Base(b.Path)))
			if isNotExist(err) {
				return nil
			}
			return err
		})
		if err != nil {
			s.log.Warn("a chunk of a quarantined object stays", "object", o.Cname(), "path", b.Path, "err", err)
		}
	}
}
