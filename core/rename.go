package core

import (
	"context"
	"path/filepath"
	"slices"

	fsys "github.com/aistore-go/aistore/fs"
)

// place gives the work file its name, makes that durable if it must be, and
// removes what it replaced. It is called under the exclusive lock, and ends
// under it.
func (w *write) place(ctx context.Context, now *existing, rec *record) error {
	if now.damaged != "" {
		_, err := w.s.quarantine(&w.object, now.damaged, now.why)
		if err != nil && rec.kind.IsDeleted() && fsys.IsNoSpace(err) {
			err = w.s.removeDamaged(ctx, &w.object, now)
		}
		if err != nil {
			return err
		}
	}
	if !w.noted.holds(&w.object) { // else its frame was flushed with the data
		w.noted.cancel()
		var err error
		if w.noted, err = w.s.note(ctx, &w.object, w.sync); err != nil {
			return err
		}
	}
	noted := &w.noted
	defer noted.settle()
	settle := func() error { return w.settleReplaced(ctx, now, noted) }
	if err := w.withReserve(rec, settle(), settle); err != nil {
		return err
	}
	path, err := w.rename(ctx, now, rec)
	if err != nil {
		noted.doubtNulls(rec)
		return err
	}
	if w.sync {
		request := fsys.FlushRequest{Dirs: []string{filepath.Dir(path)}}
		w.s.forget(&w.object)
		if w.ownLock && now.older == "" && len(now.others) == 0 && !w.dirs.mayHoldVersions(w.Bck) {
			err = w.flushUnlocked(ctx, request)
		} else {
			// What is to be removed has a name that another write may use.
			err = w.mp.Filesystem().Flush(ctx, request)
		}
		if err != nil {
			noted.doubtNulls(rec)
			w.s.verifyAfterFailedFlush(&w.object, err)
			return err
		}
	} else {
		w.mp.Filesystem().AddDirty(w.size)
	}
	if w.latest = w.s.locks.tell(w.digest, w.turn); w.latest {
		noted.publish(rec)
	} else {
		noted.look()
	}
	now.keepChunks(rec)
	now.shareChunks()
	w.s.removeElsewhere(ctx, &w.object, rec.stamp, now) // copies first: they need the chunks
	w.s.removeGeneration(&w.object, now)
	if rec.flags&flagVersioned == 0 {
		w.removeNulls(ctx, rec)
	}
	w.mp.FillSpares() // there may be more space than before
	return nil
}

// flushUnlocked makes a rename durable while other writers of the name may go
// on; readers wait. The exclusive lock is held before and after.
func (w *write) flushUnlocked(ctx context.Context, request fsys.FlushRequest) error {
	w.turn = w.s.locks.unsettled(w.digest)
	err := w.mp.Filesystem().Flush(ctx, request)
	w.s.locks.retake(w.digest)
	return err
}

// rename is the commit itself: the step after which the object is the new one.
func (w *write) rename(ctx context.Context, now *existing, rec *record) (path string, err error) {
	for {
		path = w.plain
		if rec.place == PlaceEscaped {
			path = w.escapedPath()
		}
		rename := func() error { return w.renameTo(path, rec.place) }
		w.placed = true
		if err := w.withReserve(rec, rename(), rename); err == nil {
			w.named()
			return path, nil
		} else if rec.place != PlacePlain || !fsys.IsNameProblem(err) {
			w.afterFailedRename(now, rec)
			return "", err
		}
		// Another name took the place since we looked: p and p/q.
		if w.placed = false; w.staging != nil {
			return "", errRestage
		}
		rec.place, rec.name = PlaceEscaped, w.Name
		if w.moved == nil {
			w.restamp(rec)
		}
		if err := w.attach(ctx, rec, w.sync); err != nil {
			return "", err
		}
		if err := w.close(); err != nil {
			return "", err
		}
	}
}

// renameTo gives the work file a name, unless the bucket is gone.
func (w *write) renameTo(path string, place Place) error {
	if err := w.enter(); err != nil {
		return err
	}
	defer w.bucket.gate.RUnlock()
	if place == PlaceEscaped {
		w.dirs.escaped.Store(holdsSome)
	}
	return w.s.renameInto(w.mp, w.work, path)
}

// afterFailedRename looks whether a rename that returned an error took place:
// then the new object has its name, and what belongs to it must stay.
func (w *write) afterFailedRename(old *existing, rec *record) {
	now, err := w.s.current(&w.object)
	if err != nil {
		// Unknown: sidecar and chunks stay, garbage at worst.
		work := w.work
		w.named()
		w.work = work
		return
	}
	if now.found && now.rec.written() == rec.written() {
		w.named()
		old.keepChunks(rec)
		if len(old.others) > 0 { // copies of the old one are there still
			old.keepUpload(old.rec.chunks.upload)
		}
		w.s.removeGeneration(&w.object, old)
		w.s.changed(&w.object)
	}
}

// removeGeneration removes what a commit has made superfluous: the sidecars and
// chunks of the replaced records and the older generation in the other place. A failure
// leaves garbage that nobody can see; cleanup takes it.
func (s *Store) removeGeneration(o *object, now *existing) {
	if now.older != "" {
		s.unlinkGarbage(o, now.older)
		// As long as the newer generation is there it does not matter.
		o.mp.Filesystem().Doubt(filepath.Dir(now.older))
	}
	s.removeSidecars(o, now)
}

func (s *Store) removeSidecars(o *object, now *existing) {
	if now.found && now.rec.sidecar && !now.kept {
		s.unlinkGarbage(o, sidecarPath(o.mp, o, now.rec.written()))
	}
	if now.olderRec.sidecar {
		s.unlinkGarbage(o, sidecarPath(o.mp, o, now.olderRec.written()))
	}
	for i, rec := range [...]*record{&now.rec, &now.olderRec} {
		if rec.kind == KindChunked && !slices.Contains(now.keep, rec.chunks.upload) && (i > 0 || !now.kept) && !s.isFormerCopy(o, rec) {
			s.dropChunks(o, rec)
		}
	}
}

func (s *Store) unlinkGarbage(o *object, path string) {
	if err := s.system.Unlink(path); err != nil && !isNotExist(err) {
		s.log.Warn("old generation stays until cleanup", "object", o.Cname(), "path", path, "err", err)
	}
}

// verifyAfterFailedFlush looks at a name whose flush failed: it must hold a
// good record, the old one or the new. It is called under the exclusive lock.
func (s *Store) verifyAfterFailedFlush(o *object, cause error) {
	now, err := s.current(o)
	switch {
	case err != nil:
		s.log.Error("flush failed and the object cannot be read", "object", o.Cname(), "flush", cause, "err", err)
	case now.damaged != "":
		if _, err := s.quarantine(o, now.damaged, now.why); err != nil {
			s.log.Error("flush failed and the damaged object cannot be moved", "object", o.Cname(), "err", err)
		}
	default:
		s.log.Warn("flush failed: the last write was not acknowledged", "object", o.Cname(), "present", now.found, "err", cause)
	}
	s.forget(o)
}
