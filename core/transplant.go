package core

import (
	"context"
	"errors"
	"hash"
	"hash/crc32"
	"io"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/cmn/cksum"
	fsys "github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/memsys"
)

// errSourceDamaged: what was to be copied is not what its record says.
var errSourceDamaged = errors.New("the content does not have its checksum")

// source is a file of a name on one mountpath, open for reading.
type source struct {
	mp     *fsys.Mountpath
	file   fsys.File
	info   fsys.FileInfo
	rec    record
	former bool // a noncurrent version: what is known of accesses is not of it
}

// openSource opens a file that was found under the name lock, which is held still.
func (s *Store) openSource(mp *fsys.Mountpath, path string, rec *record) (src source, err error) {
	src = source{mp: mp, rec: *rec}
	if src.file, err = s.openFile(path); err != nil {
		return src, err
	}
	if src.info, err = src.file.Stat(); err != nil {
		_ = src.file.Close() // was not read from
	}
	return src, err
}

// transplant copies a file, with its record as it is to be at the destination,
// into a work file on the mountpath of an object, and compares its checksum on
// the way. The work file is on stable storage if durable says so. No lock is
// held: plant gives it its name. The caller discards what is returned.
//
// errSourceDamaged: the content is another one. 507: the mountpath is over the
// out-of-space mark, or has no room for it. Errors are those of disks else.
func (s *Store) transplant(ctx context.Context, at *object, src *source, rec *record, durable bool) (*write, error) {
	w := &write{s: s, object: *at, sync: durable, size: src.info.Size, tag: "move"}
	w.opts.Size = src.info.Size
	if !rec.kind.IsDeleted() { // that has the room which is kept for what a node must note
		if err := at.mp.Room(src.info.Size); err != nil {
			return w, err
		}
	}
	if err := w.create(ctx); err != nil {
		return w, err
	}
	verify, err := s.contentCheck(src)
	if err != nil {
		return w, err
	}
	if err := w.copyVerified(ctx, src, verify); err != nil {
		return w, err
	}
	err = w.onDisk(ctx, func() error {
		for _, name := range [...]string{xattrPart, XattrProtection} {
			if err := s.copyXattr(src.file, w.file, name); err != nil {
				return err
			}
		}
		if !src.former {
			rec.atime = s.access.get(w.digest, effectiveAtime(src.rec.atime, &src.info))
		}
		return w.attach(ctx, rec, durable)
	})
	if err == nil {
		err = w.close()
	}
	return w, err
}

// contentCheck returns what compares the content of a file with what is known of
// it, nil if nothing is.
func (s *Store) contentCheck(src *source) (*contentCheck, error) {
	switch {
	case src.rec.kind == KindChunked:
		return partCheck(src.file)
	case src.rec.kind != KindObject || src.rec.checksum.IsNone():
		return nil, nil
	}
	h, err := cksum.New(src.rec.checksum.Type)
	if err != nil {
		return nil, errors.Join(errSourceDamaged, err)
	}
	want := src.rec.checksum
	return &contentCheck{hash: h, size: src.rec.size, whole: func() bool { return cksum.Sum(want.Type, h).Value == want.Value }}, nil
}

type contentCheck struct {
	hash  hash.Hash
	size  int64
	whole func() bool
}

// partCheck is the contentCheck of a chunk, nil if it does not describe itself.
func partCheck(file fsys.File) (*contentCheck, error) {
	buf := make([]byte, maxPartRecord)
	n, err := file.GetXattr(xattrPart, buf)
	if errors.Is(err, unix.ENODATA) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	p, err := decodePart(buf[:n])
	if err != nil {
		return nil, errors.Join(errSourceDamaged, err)
	}
	h := crc32.New(castagnoli)
	return &contentCheck{hash: h, size: p.size, whole: func() bool { return h.Sum32() == p.crc }}, nil
}

// copyXattr copies an attribute, if the source has it.
func (s *Store) copyXattr(from, to fsys.File, name string) error {
	buf := s.memory.Get(recordBuffer)
	defer buf.Free()
	n, err := from.GetXattr(name, buf.Bytes())
	if errors.Is(err, unix.ENODATA) {
		return nil
	}
	if err != nil {
		return err
	}
	return to.SetXattr(name, buf.Bytes()[:n])
}

// copyVerified fills the work file.
func (w *write) copyVerified(ctx context.Context, src *source, check *contentCheck) error {
	if check != nil && check.size != src.info.Size {
		return errSourceDamaged
	}
	if src.rec.kind == KindObject && src.rec.size != src.info.Size {
		return errSourceDamaged
	}
	buf := w.s.memory.Get(memsys.MaxSlab)
	defer buf.Free()
	started := int64(0)
	for off := int64(0); off < src.info.Size; {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		piece := buf.Bytes()[:min(int64(len(buf.Bytes())), src.info.Size-off)]
		n, err := readIn(src.mp, src.file, piece, off)
		if n == 0 && err != nil {
			if errors.Is(err, io.EOF) {
				return errSourceDamaged
			}
			return err
		}
		if check != nil {
			_, _ = check.hash.Write(piece[:n]) // hashes never fail
		}
		if err := w.append(ctx, piece[:n]); err != nil {
			return err
		}
		if off += int64(n); off-started >= writeBackEvery {
			if err := w.onDisk(ctx, func() error { return w.file.StartWriteback(started, off-started) }); err != nil && fsys.IsNoSpace(err) {
				return err
			}
			started = off
		}
	}
	if check != nil && !check.whole() {
		return errSourceDamaged
	}
	return nil
}

// plant gives a transplanted file the place of its record on its mountpath, and
// makes that durable if the write is. What lay there, an older generation or a
// worse file of the same one, goes. The exclusive lock and a slot of the mountpath
// are held.
func (w *write) plant(ctx context.Context, rec *record) error {
	s := w.s
	before, err := s.here(&w.object)
	if err != nil {
		return err
	}
	if before.damaged != "" {
		if _, err := s.quarantine(&w.object, before.damaged, before.why); err != nil {
			return err
		}
	}
	if !w.noted.holds(&w.object) {
		w.noted.cancel()
		if w.noted, err = s.note(ctx, &w.object, w.sync); err != nil {
			return err
		}
	}
	noted := &w.noted
	defer noted.settle()
	path, err := w.takePlace(ctx, rec)
	if err != nil {
		return err
	}
	if w.set.Owner(w.digest) == w.mp {
		s.forget(&w.object)
	} else { // a copy: what is known of accesses is of the object
		s.meta.drop(w.digest)
	}
	flush := fsys.FlushRequest{Dirs: []string{filepath.Dir(path)}}
	if before.found && before.path != path && before.older == "" {
		before.older, before.olderRec = before.path, before.rec // in the other place
	}
	if before.older == path {
		before.older = before.path
	}
	if before.older != "" && before.older != path {
		if err := s.system.Unlink(before.older); err != nil && !isNotExist(err) {
			return err
		}
		flush.Dirs = append(flush.Dirs, filepath.Dir(before.older))
	}
	if w.sync {
		if err := w.mp.Filesystem().Flush(ctx, flush); err != nil {
			s.verifyAfterFailedFlush(&w.object, err)
			return err
		}
	}
	noted.publish(rec)
	before.older, before.olderRec = "", record{}
	if before.found && before.rec.written() == rec.written() {
		before.rec.sidecar = false // it has the name of the new one
	}
	before.keepChunks(rec)
	s.removeSidecars(&w.object, &before)
	return nil
}

// takePlace renames the work file to the place of its record; the escaped place
// if another name is in the way. The stamp stays.
func (w *write) takePlace(ctx context.Context, rec *record) (path string, err error) {
	for {
		path = w.plain
		if rec.place == PlaceEscaped {
			path = w.escapedPath()
		}
		err := w.renameTo(path, rec.place)
		if err == nil {
			w.named()
			return path, nil
		}
		if rec.place != PlacePlain || !fsys.IsNameProblem(err) {
			return "", err
		}
		rec.place, rec.name = PlaceEscaped, w.Name
		if err := w.attach(ctx, rec, true); err != nil {
			return "", err
		}
		if err := w.close(); err != nil {
			return "", err
		}
	}
}
