package core

import (
	"context"
	"errors"
	"path/filepath"
	"slices"

	"github.com/aistore-go/aistore/cmn/apierr"
	fsys "github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/memsys"
)

// recordBuffer is the size of the buffer for an attribute: more than the
// greatest record, so that one that is too long is seen as such.
const recordBuffer = memsys.MinSlab

// escapedPath is where the object lies if it cannot lie at its plain path.
func (o *object) escapedPath() string { return o.mp.EscapedPath(o.Bck, o.Name) }

// existing is what a name holds when a write or a delete looks at it.
type existing struct {
	found bool // an object of this incarnation with a good record
	rec   record
	path  string

	// blocked: no file can be made at the plain path, because a directory is
	// there or a file where a directory is needed.
	blocked bool
	// damaged is the path of a file with a record that cannot be read, "" if
	// there is none.
	damaged string
	why     error
	// older is the path of a second, older generation of the name in the
	// other place, "" if there is none.
	older    string
	olderRec record
	// kept: the newest generation has become a noncurrent version, and what
	// belongs to it stays.
	kept bool
	// others are what the name holds on other mountpaths, if any can hold it.
	others []other
	// keep are the upload ids of chunks that stay when the rest goes: those of
	// a record that takes the place of another with the same content, and of
	// files that are still there, of which this is a copy.
	keep []string
}

// keepChunks says that the chunks of a new record are not garbage.
func (e *existing) keepChunks(rec *record) {
	e.keepUpload(rec.chunks.upload)
	for i := range e.others {
		e.others[i].keepUpload(rec.chunks.upload)
	}
}

// shareChunks says that the chunks of the newest generation go with one file of
// it, which is returned if it is on another mountpath, or stay with that; they do
// not go with its copies.
func (e *existing) shareChunks() (holder *other) {
	newest := e.newest()
	if newest == nil {
		return nil
	}
	if newest != &e.rec {
		e.keepUpload(newest.chunks.upload)
	}
	for i := range e.others {
		if o := &e.others[i]; newest == &o.rec {
			holder = o
		} else {
			o.keepUpload(newest.chunks.upload)
		}
	}
	return holder
}

// keepUpload says that the chunks of an upload id stay; "" is none.
func (e *existing) keepUpload(upload string) {
	if upload != "" && !slices.Contains(e.keep, upload) {
		e.keep = append(e.keep, upload)
	}
}

// current looks at all places of a name. It reads records, not content.
func (s *Store) current(o *object) (e existing, err error) {
	if e, err = s.here(o); err == nil && (o.set.Unsettled || o.mayHaveCopies(&e)) {
		e.others, err = s.others(o)
	}
	return e, err
}

// here looks at both places of a name on its mountpath.
func (s *Store) here(o *object) (existing, error) {
	age := o.mp.Begin()
	defer o.mp.End(age)
	var e existing
	if o.plain != "" {
		if err := s.lookAt(o, o.plain, PlacePlain, &e); err != nil {
			return existing{}, err
		}
	}
	if o.plain == "" || o.dirs.mayHoldEscaped(o.Bck) {
		if err := s.lookAt(o, o.escapedPath(), PlaceEscaped, &e); err != nil {
			return existing{}, err
		}
	}
	return e, nil
}

func (s *Store) lookAt(o *object, path string, place Place, e *existing) error {
	buf := s.memory.Get(recordBuffer)
	defer buf.Free()
	frame, found, err := s.frameAt(o.mp, path, buf.Bytes())
	switch {
	case errors.Is(err, errRecordDamaged):
		e.damaged, e.why = path, err
		return nil
	case err != nil:
		return err
	}
	switch found {
	case noFile:
		return nil
	case noRecord:
		info, err := s.system.Stat(path)
		if err != nil && !isNotExist(err) {
			return o.mp.IOError("stat "+path, err)
		}
		e.blocked = e.blocked || err == nil && info.Kind == fsys.KindDir
		return nil
	case noPlace:
		e.blocked = e.blocked || place == PlacePlain
		return nil
	}
	var rec record
	if err := s.decodeRecord(o.mp, o, frame, &rec); err != nil {
		if !errors.Is(err, errRecordDamaged) {
			return err
		}
		if s.nextOf(o.mp, o, func(name string, dst []byte) (int, error) { return s.system.GetXattr(path, name, dst) }, &rec) {
			s.seen(o, path, &rec, e)
			return nil
		}
		e.damaged, e.why = path, err
		return nil
	}
	s.seen(o, path, &rec, e)
	return nil
}

// seen adds a good record to what was found of a name.
func (s *Store) seen(o *object, path string, rec *record, e *existing) {
	if rec.bid != o.Props.BID || rec.name != "" && rec.name != o.Name {
		return // of a destroyed bucket: overwritten without a trace
	}
	if e.found && e.rec.stamp.Compare(rec.stamp) >= 0 {
		e.older, e.olderRec = path, *rec
		return
	}
	if e.found {
		e.older, e.olderRec = e.path, e.rec
	}
	e.found, e.rec, e.path = true, *rec, path
}

// decodeRecord reads a record from the value of its attribute, and from the
// sidecar if that is where the body is. Damage is an error with
// errRecordDamaged in its chain.
func (s *Store) decodeRecord(mp *fsys.Mountpath, o *object, frame []byte, rec *record) error {
	ref, whole, err := rec.decodeFrame(frame)
	if whole || err != nil {
		return err
	}
	return s.readSidecar(mp, sidecarPath(mp, o, ref.stamp), ref, rec)
}

// decodeFrame reads a record from the value of its attribute. If the body is in a
// sidecar (whole is false), it returns the reference to that.
func (r *record) decodeFrame(frame []byte) (ref sidecarRef, whole bool, err error) {
	form, content, err := openFrame(frame)
	if err != nil {
		return ref, false, err
	}
	if form == formInline {
		return ref, true, r.decodeBody(content)
	}
	ref, err = decodeReference(content)
	return ref, false, err
}

// renameInto renames a work file over a name, making the directories that are
// missing. The bucket's gate must be held.
func (s *Store) renameInto(mp *fsys.Mountpath, work, path string) error {
	err := s.system.Rename(work, path)
	if isNotExist(err) {
		if err = mp.MakeDirs(filepath.Dir(path)); err == nil {
			err = s.system.Rename(work, path)
		}
	}
	return err
}

// moveInto is renameInto for a file that is durable where it lies, and may be the only
// one of its generation: directories that are missing are durable before it is in them.
func (s *Store) moveInto(ctx context.Context, mp *fsys.Mountpath, from, path string) error {
	if err := mp.MakeDurableDirs(ctx, filepath.Dir(path)); err != nil {
		return err
	}
	return s.renameInto(mp, from, path)
}

// enter takes the bucket's gate for a step that makes names. Every nil is
// followed by one gate.RUnlock.
func (o *object) enter() error {
	o.bucket.gate.RLock()
	if o.bucket.gone {
		o.bucket.gate.RUnlock()
		return apierr.BucketNotFound(o.Bck)
	}
	return nil
}
