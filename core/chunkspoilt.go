package core

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"io"
	"path/filepath"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/naming"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/memsys"
)

// spoilt is a file of a chunk that is not what the manifest says, while another
// file of that chunk is.
type spoilt struct {
	mp     *fs.Mountpath
	path   string
	info   fs.FileInfo
	number int
	first  bool // the object's file, or a copy of it
	why    error
}

// spoiltChunks looks for such files of all chunks of a generation that has copies;
// with content it reads them. The generation is held. Errors are those of disks.
func (s *Store) spoiltChunks(ctx context.Context, o *object, rec *record, m *manifest, content bool) (all []spoilt, err error) {
	if !o.mayBeCopied(rec) {
		return nil, nil
	}
	for i := range m.chunks {
		more, err := s.spoiltFiles(ctx, o, rec, m, i, content)
		if err != nil {
			return all, err
		}
		all = append(all, more...)
	}
	return all, nil
}

// spoiltFiles is spoiltChunks of the chunk with an index.
func (s *Store) spoiltFiles(ctx context.Context, o *object, rec *record, m *manifest, i int, content bool) (bad []spoilt, err error) {
	want := &m.chunks[i]
	whole := 0
	for _, mp := range s.options.FS.Available().All() {
		x := spoilt{mp: mp, path: chunkPath(mp, o, m.upload, want.number), number: want.number, first: i == 0}
		err := s.withSlot(mp, nil, func() error {
			if x.first {
				at := o.on(mp)
				path, err := s.fileWith(&at, rec)
				if err != nil || path == "" {
					return err
				}
				x.path = path
			}
			info, err := s.system.Stat(x.path)
			x.info = info
			return ignoreMissing(err)
		})
		if err == nil && x.info.Kind == fs.KindFile {
			x.why, err = s.judgeChunk(ctx, o, &x, want, content)
			switch {
			case err != nil:
			case x.why == nil:
				whole++
			default:
				bad = append(bad, x)
			}
		}
		if err != nil && !isNotExist(err) {
			return nil, mp.IOError("look at the chunks of "+o.Cname(), err)
		}
	}
	if whole == 0 {
		return nil, nil
	}
	return bad, nil
}

// judgeChunk compares a file with what the manifest says. why is the damage.
func (s *Store) judgeChunk(ctx context.Context, o *object, x *spoilt, want *chunk, content bool) (why, err error) {
	if x.info.Size != want.size {
		return badSize(o, want.size, x.info.Size), nil
	}
	if !content {
		return nil, nil
	}
	f, err := s.openFile(x.path)
	if err != nil {
		return nil, err
	}
	crc, err := s.crcOf(ctx, x.mp, f, want.size)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if crc != want.crc {
		return apierr.New(apierr.StatusInternalServerError, wire.CodeBadChecksum, "BAD DATA CHECKSUM: %s: chunk %d has CRC-32C %s, want %s",
			o.Cname(), want.number, hex32(crc), hex32(want.crc)), nil
	}
	return nil, nil
}

// crcOf reads a file of a size.
func (s *Store) crcOf(ctx context.Context, mp *fs.Mountpath, f fs.File, size int64) (crc uint32, err error) {
	buf := s.memory.Get(memsys.MaxSlab)
	defer buf.Free()
	for off := int64(0); off < size; {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		n, err := readIn(mp, f, buf.Bytes()[:min(int64(len(buf.Bytes())), size-off)], off)
		crc = crc32.Update(crc, castagnoli, buf.Bytes()[:n])
		off += int64(n)
		if errors.Is(err, io.EOF) && off < size {
			return crc, nil // it is shorter by now: another sum
		}
		if err != nil && off < size {
			return 0, err
		}
	}
	return crc, nil
}

// setSpoiltAside moves the files of chunks to quarantine that are damaged while
// others of the same chunk are whole, so that a repair does not take them for
// copies. It tells how many. The generation is held; at is where its file lies.
func (s *Store) setSpoiltAside(ctx context.Context, at *object, rec *record, m *manifest, content bool) (n int) {
	all, err := s.spoiltChunks(ctx, at, rec, m, content)
	if err != nil {
		s.log.Warn("the copies of a damaged chunk cannot be looked at", "object", at.Cname(), "err", err)
	}
	for i := range all {
		if err := s.setChunkAside(ctx, at, rec, &all[i]); err != nil {
			s.log.Warn("a damaged chunk stays", "object", at.Cname(), "path", all[i].path, "err", err)
			continue
		}
		n++
	}
	return n
}

// setChunkAside moves one such file to quarantine. The next Arrange makes it again.
func (s *Store) setChunkAside(ctx context.Context, o *object, rec *record, x *spoilt) error {
	at := o.on(x.mp)
	if x.first {
		return s.takeAside(ctx, &at, &candidate{mp: x.mp, info: x.info, rec: *rec, path: x.path, damage: x.why})
	}
	if err := s.lockThere(ctx, &at); err != nil {
		if errors.Is(err, errLeft) {
			return nil
		}
		return err
	}
	defer s.unlock(&at, true)
	info, err := s.system.Stat(x.path)
	if err != nil || info.Inode != x.info.Inode || info.Mtime != x.info.Mtime {
		return x.mp.IOError("stat "+x.path, ignoreMissing(err)) // made again meanwhile
	}
	now := s.options.Clock()
	sum := sha256.Sum256([]byte(o.Name))
	dir := s.quarantineDir(x.mp, hex.EncodeToString(sum[:]), now)
	if err := s.makeQuarantineDir(ctx, x.mp, dir); err != nil {
		return x.mp.IOError("quarantine "+o.Cname(), err)
	}
	if err := s.system.Rename(x.path, filepath.Join(dir, filepath.Base(x.path))); err != nil {
		_ = s.system.Rmdir(dir) // else it counts as an entry
		return x.mp.IOError("quarantine "+o.Cname(), err)
	}
	s.explain(dir, why{
		Bucket: o.Bck.String(), Name: naming.Native(o.Name), Path: x.path, Time: now.UTC().Format(time.RFC3339Nano), Finding: x.why.Error(),
	})
	if o.Props.SyncWrites() {
		flush := fs.FlushRequest{Dirs: []string{dir, filepath.Dir(x.path)}}
		if err := x.mp.Filesystem().Flush(context.WithoutCancel(ctx), flush); err != nil {
			s.log.Warn("quarantine is not durable yet", "dir", dir, "err", err)
		}
	}
	s.oweCopies(o, rec.stamp)
	s.log.Error("damaged chunk moved to quarantine", "object", o.Cname(), "dir", dir, "finding", x.why)
	if report := s.options.OnDamage; report != nil {
		report(Damage{Mountpath: x.mp, Key: o.Key, Quarantine: dir, Err: x.why})
	}
	return nil
}

// mendChunks is called when a chunked object was found damaged: what can be
// told from its copies goes aside, and is made again. It tells whether it is worth
// another try.
func (s *Store) mendChunks(ctx context.Context, at *object, rec *record, m *manifest, content bool) bool {
	if m != nil {
		s.setSpoiltAside(ctx, at, rec, m, content)
	}
	return s.restore(ctx, at)
}
