package core

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	fsys "github.com/aistore-go/aistore/fs"
)

// attach sets the record on the work file, through a sidecar if it is large,
// and flushes both if asked to. The sidecar has its place, and that is durable,
// before the object gets its name: the two lie in different directories, and a
// crash may keep either alone.
func (w *write) attach(ctx context.Context, rec *record, flush bool) error {
	w.discardSidecar()
	if err := w.attachManifest(ctx); err != nil {
		return err
	}
	if w.file == nil { // closed by an earlier step: the record changed since
		var err error
		if w.file, err = w.s.system.Open(w.work, unix.O_RDWR|unix.O_NOFOLLOW, 0); err != nil {
			return err
		}
	}
	if err := w.setRecord(rec); err != nil {
		return err
	}
	// A loss of power may keep the new name of the file, but of its records the
	// first, without which name nobody would find it in the escaped place.
	if rec.place == PlacePlain {
		w.nameless = true
	} else if w.nameless {
		flush = true
	}
	if err := w.setAccess(rec); err != nil {
		return err
	}
	if w.sidecarFile != nil {
		if err := w.publishSidecar(rec); err != nil {
			return err
		}
	}
	if !flush {
		return nil
	}
	if !w.noted.holds(&w.object) {
		w.noted.cancel()
		w.noted = w.s.announce(&w.object, true)
	}
	request := fsys.FlushRequest{Files: []fsys.File{w.file}, Bytes: w.size, Journal: w.noted.journal()}
	if w.flushed {
		request.Bytes = 0
	}
	if w.sidecarFile != nil {
		request.Files = append(request.Files, w.sidecarFile)
		request.Dirs = []string{filepath.Dir(w.sidecarWork)}
	}
	if err := w.mp.Filesystem().Flush(ctx, request); err != nil {
		return err
	}
	w.noted.trust()
	w.flushed = true
	return nil
}

// setAccess sets the file's access time if it is not about that of the record:
// it was made long before, or the record has the time of another object.
func (w *write) setAccess(rec *record) error {
	if apart := time.Duration(rec.atime - w.made); rec.kind.IsDeleted() || apart < accessSlack/2 && apart > -accessSlack/2 {
		return nil
	}
	return w.file.SetTimes(rec.atime, -1)
}

// publishSidecar gives the sidecar its place. The stamp in its name is that of
// this write, so nothing refers to it until the object has its name.
func (w *write) publishSidecar(rec *record) error {
	if err := w.enter(); err != nil {
		return err
	}
	defer w.bucket.gate.RUnlock()
	path := sidecarPath(w.mp, &w.object, rec.written())
	w.s.sidecars.add(path)
	if err := w.s.renameInto(w.mp, w.sidecarWork, path); err != nil {
		w.s.sidecars.done(path)
		w.removeWork(&path) // in case it took place all the same
		return err
	}
	w.sidecarWork = path // removed by discard if the object does not get its name
	return nil
}

func (w *write) setRecord(rec *record) error {
	buf := w.s.memory.Get(recordBuffer)
	defer buf.Free()
	rec.sidecar = false
	if frame, ok := rec.appendInline(buf.Bytes()[:0]); ok {
		err := w.file.SetXattr(XattrRecord, frame)
		if err == nil || !doesNotFit(err) || len(frame) <= smallRecord {
			return err
		}
		// Other attributes of the file leave no room: not a full disk.
	}
	rec.sidecar = true
	rec.name = w.Name // a sidecar says whose it is
	var ref sidecarRef
	var err error
	w.sidecarWork, w.sidecarFile, ref, err = w.s.writeSidecar(&w.object, rec)
	if err != nil {
		return err
	}
	return w.file.SetXattr(XattrRecord, ref.append(buf.Bytes()[:0]))
}

// smallRecord is the size up to which a record always fits beside other
// attributes; if even that is refused the disk is full.
const smallRecord = 256

// doesNotFit tells errors with which filesystems refuse an attribute that is
// too large for what is left of the file's room.
func doesNotFit(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.E2BIG) || errors.Is(err, unix.ERANGE)
}

// close ends the writing of the work files, before they get their names.
func (w *write) close() error {
	var errs [2]error
	if w.file != nil {
		errs[0] = w.file.Close()
		w.file = nil
	}
	if w.sidecarFile != nil {
		errs[1] = w.sidecarFile.Close()
		w.sidecarFile = nil
	}
	return errors.Join(errs[:]...)
}
