package core

import (
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/aistore-go/aistore/cmn/wire"
	fsys "github.com/aistore-go/aistore/fs"
)

// What an object was before lies in one directory a name, a file a generation;
// docs/on_disk_layout.md, section 7, has the names and the order of steps.

const (
	// versionsNameFile holds the true name of a directory of versions.
	versionsNameFile = "name"
	versionsMagic    = "ANAM"
)

// versionsDir is where the noncurrent versions of a name lie on its mountpath.
func (o *object) versionsDir() string {
	return o.mp.HashedPath(o.Bck, fsys.ContentVersion, o.Name, "")
}

func (o *object) versionPath(stamp Stamp) string { return o.versionsDir() + "/" + stamp.inverted() }

// noncurrent is one former generation of a name.
type noncurrent struct {
	at   object
	path string
	rec  record
	// damage is why the record cannot be read; rec has the stamp alone then.
	damage error
	// on are the mountpaths with a file of it whose record can be read, that of
	// path first. They are all only if noncurrentOf looked everywhere.
	on []*fsys.Mountpath
}

// noncurrentOf returns the former generations of a name, the newest first,
// without such as are garbage. current is the record of the current
// generation, nil if there is none. The name lock must be held.
func (s *Store) noncurrentOf(o *object, current *record) ([]noncurrent, error) {
	return s.formerOf(o, current, o.versionsElsewhere())
}

// formerOf is noncurrentOf on all mountpaths, or on that of the name alone.
func (s *Store) formerOf(o *object, current *record, everywhere bool) ([]noncurrent, error) {
	all, err := s.noncurrentHere(o, current, nil)
	if err == nil && everywhere {
		err = s.otherVersionDirs(o, o.mp, func(at *object) error {
			all, err = s.noncurrentHere(at, current, all)
			return err
		})
		all = mergeVersions(all)
	}
	if err != nil {
		return nil, err
	}
	return s.countNulls(all, current), nil
}

// countNulls leaves out all null versions but the newest one.
func (s *Store) countNulls(all []noncurrent, current *record) []noncurrent {
	seen := current != nil && current.flags&flagVersioned == 0
	return slices.DeleteFunc(all, func(v noncurrent) bool {
		if v.damage != nil || v.rec.flags&flagVersioned != 0 {
			return false
		}
		garbage := seen
		seen = true
		return garbage
	})
}

// noncurrentHere appends the former generations on the object's mountpath.
func (s *Store) noncurrentHere(o *object, current *record, all []noncurrent) ([]noncurrent, error) {
	if !o.dirs.mayHoldVersions(o.Bck) {
		return all, nil
	}
	err := s.formerHere(o, func(v *noncurrent, _ Stamp) { all = append(all, *v) }, current)
	return all, err
}

// formerHere calls yield for the generations in the directory of versions of a
// name, the newest first, without those that are as new as current or newer:
// second names of the current generation.
func (s *Store) formerHere(at *object, yield func(v *noncurrent, stamp Stamp), current *record) error {
	dir := at.versionsDir()
	names, err := s.namesIn(at.mp, dir, nil)
	if err != nil {
		return err
	}
	for _, name := range names {
		stamp, ok := stampOfInverted(name)
		if !ok || current != nil && stamp.Compare(current.stamp) >= 0 {
			continue
		}
		v := noncurrent{at: *at, path: dir + "/" + name}
		found, err := s.loadVersion(&v, stamp)
		if err != nil {
			return err
		}
		if found {
			yield(&v, stamp)
		}
	}
	return nil
}

// loadVersion reads the record of a former generation.
func (s *Store) loadVersion(v *noncurrent, stamp Stamp) (found bool, err error) {
	buf := s.memory.Get(recordBuffer)
	defer buf.Free()
	frame, is, err := s.frameAt(v.at.mp, v.path, buf.Bytes())
	switch {
	case err != nil:
	case is == noFile, is == noPlace:
		return false, nil
	case is == noRecord:
		err = damaged("there is none")
	default:
		err = s.decodeRecord(v.at.mp, &v.at, frame, &v.rec)
	}
	if err == nil && v.rec.bid != v.at.Props.BID {
		return false, nil
	}
	if err == nil && v.rec.stamp != stamp {
		err = damaged("it is of another generation")
	}
	if err != nil {
		if !errors.Is(err, errRecordDamaged) {
			return false, err
		}
		v.rec, v.damage = record{stamp: stamp}, badRecord(&v.at, err)
		return true, nil
	}
	v.on = []*fsys.Mountpath{v.at.mp}
	return true, nil
}

// mayHoldVersions tells whether the bucket may hold noncurrent versions on this
// mountpath.
func (d *bucketDirs) mayHoldVersions(b wire.Bck) bool {
	return d.mayHold(&d.versions, b, fsys.ContentVersion)
}

// keeps tells whether a write makes what it replaces a noncurrent version.
func (w *write) keeps(replaced *record) bool {
	switch {
	case replaced == nil || replaced.kind == KindTombstone:
		return false
	case w.moved != nil && replaced.stamp == w.moved.rec.stamp:
		return false // another record of the same generation
	case w.opts.Keep == KeepNull:
		return replaced.flags&flagVersioned != 0
	}
	return w.opts.Keep == KeepVersion
}

// settleReplaced keeps the current generation, if it is to be kept, or makes
// sure that it cannot come to light again. It is called under the exclusive
// lock, before the new generation gets its name; until then it changes nothing
// that a reader sees.
func (w *write) settleReplaced(ctx context.Context, now *existing, noted *noted) error {
	e, at := now.newestHolder(&w.object)
	if e == nil {
		return nil
	}
	if !w.keeps(&e.rec) {
		if w.opts.Keep == KeepVersion { // a tombstone, which the new generation does not stand for
			if err := w.s.removeHiddenNulls(ctx, &w.object, &e.rec, w.sync); err != nil {
				return err
			}
		}
		return w.s.dropSecondName(ctx, &w.object, at, e.rec.stamp, w.sync)
	}
	if at.mp == w.mp {
		err := w.s.link(ctx, at, e, noted, w.sync)
		e.kept = err == nil
		return err
	}
	there, err := w.s.note(ctx, at, w.sync)
	if err != nil {
		return err
	}
	defer there.settle()
	if err := w.s.link(ctx, at, e, &there, w.sync); err != nil {
		return err
	}
	there.keep()
	e.kept = true
	return nil
}

// newestHolder is what holds the newest generation of a name, and where; nil
// if there is none.
func (e *existing) newestHolder(o *object) (*existing, *object) {
	newest := e.newest()
	if newest == nil {
		return nil, nil
	}
	for i := range e.others {
		if newest == &e.others[i].rec {
			return &e.others[i].existing, &e.others[i].at
		}
	}
	return e, o
}

// link gives the current file its second name, that of a noncurrent version,
// and tells the index: its entry is seen once the name has a newer generation.
func (s *Store) link(ctx context.Context, at *object, e *existing, noted *noted, durable bool) error {
	noted.versions = true
	if err := at.enter(); err != nil {
		return err
	}
	defer at.bucket.gate.RUnlock()
	dir := at.versionsDir()
	if err := s.nameVersions(ctx, at, dir, durable); err != nil {
		return err
	}
	at.dirs.versions.Store(holdsSome)
	err := s.linkOver(e.path, at.versionPath(e.rec.stamp))
	if err != nil {
		return at.mp.IOError("keep the version of "+at.Cname(), err)
	}
	if durable {
		if err := at.mp.Filesystem().Flush(ctx, fsys.FlushRequest{Dirs: []string{dir}}); err != nil {
			return err
		}
	}
	noted.setVersion(&e.rec)
	noted.versions = false // whatever becomes of the new generation, this file is there
	return nil
}

// linkOver gives a file a further name. The name may be there: of the same file,
// if a write failed after this step, or of another one, left by a destroyed
// bucket at a time to which the clock was set back.
func (s *Store) linkOver(path, name string) error {
	err := s.system.Link(path, name)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	file, err := s.system.Stat(path)
	if err != nil {
		return err
	}
	found, err := s.system.Stat(name)
	if err != nil || found.Inode == file.Inode && found.Dev == file.Dev {
		return err
	}
	if err := s.system.Unlink(name); err != nil {
		return err
	}
	return s.system.Link(path, name)
}

// nameVersions makes the directory of a name's versions, and the file in it
// that says whose they are.
func (s *Store) nameVersions(ctx context.Context, at *object, dir string, durable bool) error {
	path := dir + "/" + versionsNameFile
	if _, err := s.system.Stat(path); !isNotExist(err) {
		return err
	}
	work, f, err := at.mp.NewWork(at.Bck, "name")
	if err != nil {
		return err
	}
	_, err = f.Write(encodeVersionsName(at.Name))
	if err == nil && durable {
		err = at.mp.Filesystem().Flush(ctx, fsys.FlushRequest{Files: []fsys.File{f}})
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = s.renameInto(at.mp, work, path)
	}
	if err != nil {
		_ = s.system.Unlink(work) // else the next start does it
	}
	return err
}

// dropSecondName removes the name of a noncurrent version that a write which
// failed, or a crash, has left to the current generation, which lies at a place; also
// on the mountpaths of copies. A slot of the mountpath of the name is held.
func (s *Store) dropSecondName(ctx context.Context, o, at *object, stamp Stamp, durable bool) error {
	if o.versionsElsewhere() {
		if err := s.removeVersionCopies(ctx, o, at.mp, stamp, durable); err != nil {
			return err
		}
	}
	if !at.dirs.mayHoldVersions(at.Bck) {
		return nil
	}
	path := at.versionPath(stamp)
	if _, err := s.system.Stat(path); err != nil {
		if isNotExist(err) {
			return nil
		}
		return at.mp.IOError("stat "+path, err)
	}
	return s.unlinkVersion(ctx, at, path, stamp, durable)
}

// unlinkVersion removes the file of a noncurrent version, and tells the index.
func (s *Store) unlinkVersion(ctx context.Context, at *object, path string, stamp Stamp, durable bool) error {
	noted, err := s.note(ctx, at, durable)
	if err != nil {
		return at.mp.IOError("remove "+path, err)
	}
	noted.versions = true
	defer noted.settle()
	err = s.system.Unlink(path)
	if err != nil && !isNotExist(err) || !durable {
		at.mp.Filesystem().Doubt(filepath.Dir(path)) // see Store.remove
	}
	if err != nil && !isNotExist(err) {
		return at.mp.IOError("remove "+path, err)
	}
	if durable {
		flush := fsys.FlushRequest{Dirs: []string{filepath.Dir(path)}}
		if err := at.mp.Filesystem().Flush(ctx, flush); err != nil {
			return at.mp.IOError("remove "+path, err)
		}
	}
	noted.dropVersion(stamp)
	noted.keep()
	return nil
}

// removeNulls removes the null versions that a new null version has replaced.
// A failure leaves garbage: only the newest null version counts.
func (w *write) removeNulls(ctx context.Context, rec *record) {
	if err := w.s.removeNullsBefore(ctx, &w.object, rec.stamp, false); err != nil {
		w.s.log.Warn("a replaced null version stays until cleanup", "object", w.Cname(), "err", err)
		again := w.s.announce(&w.object, false)
		again.doubtNulls(rec)
		again.settle()
	}
}

// doubtNulls is called when a write failed that may have taken effect, or could
// not remove the null versions it has replaced. If it is a null version itself
// they are garbage from now on, and must leave the index with it: a later
// generation would bring them to light there.
func (n *noted) doubtNulls(rec *record) {
	if rec.flags&flagVersioned == 0 && n.o.dirs.mayHoldVersions(n.o.Bck) {
		n.versions = true
	}
}

// removeHiddenNulls is called before the newest generation of a name goes: null
// versions that it has replaced, and that could not be removed, must not come
// to light.
func (s *Store) removeHiddenNulls(ctx context.Context, o *object, newest *record, durable bool) error {
	if newest.flags&flagVersioned != 0 {
		return nil
	}
	return s.removeNullsBefore(ctx, o, newest.stamp, durable)
}

// removeNullsBefore removes the noncurrent null versions that are older than a
// stamp. The exclusive lock must be held.
func (s *Store) removeNullsBefore(ctx context.Context, o *object, stamp Stamp, durable bool) error {
	all, err := s.noncurrentHere(o, &record{stamp: stamp}, nil)
	if err == nil && o.versionsElsewhere() {
		err = s.otherVersionDirs(o, o.mp, func(at *object) error {
			all, err = s.noncurrentHere(at, &record{stamp: stamp}, all)
			return err
		})
		all = mergeVersions(all)
	}
	for i := range all {
		if v := &all[i]; err == nil && v.damage == nil && v.rec.flags&flagVersioned == 0 {
			err = s.removeNoncurrent(ctx, o, v, durable)
		}
	}
	return err
}

// removeNoncurrent removes a noncurrent version and what belongs to it, its copies
// first: as long as one of its files is there the version is. A slot of the mountpath
// of the name must be held.
func (s *Store) removeNoncurrent(ctx context.Context, o *object, v *noncurrent, durable bool) error {
	if err := s.removeVersionCopies(ctx, o, v.at.mp, v.rec.stamp, durable); err != nil {
		return err
	}
	return s.withSlot(v.at.mp, o.mp, func() error {
		if err := s.unlinkVersion(ctx, &v.at, v.path, v.rec.stamp, durable); err != nil {
			return err
		}
		s.removeGeneration(&v.at, &existing{found: true, rec: v.rec, path: v.path})
		v.at.mp.FillSpares() // there may be more space than before
		return nil
	})
}

// encodeVersionsName is the content of the file that names a directory of
// versions.
func encodeVersionsName(name string) []byte {
	file := binary.LittleEndian.AppendUint32([]byte(versionsMagic), uint32(len(name)))
	file = append(file, name...)
	return appendSum(file, 0)
}

func decodeVersionsName(file []byte) (name string, err error) {
	end := len(file) - frameSum
	const head = len(versionsMagic) + 4
	if end < head || !strings.HasPrefix(string(file), versionsMagic) || int64(binary.LittleEndian.Uint32(file[4:])) != int64(end-head) ||
		xxhash.Sum64(file[:end]) != binary.LittleEndian.Uint64(file[end:]) {
		return "", damaged("name of versions")
	}
	return string(file[head:end]), nil
}
