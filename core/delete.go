package core

import (
	"context"
	"errors"
	"path/filepath"
	"slices"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/fs"
)

// Delete removes an object. When it returns nil the removal is on stable
// storage if the bucket's durability says so. It never removes directories and
// needs no free space. If the name has noncurrent versions a delete marker takes
// its place. A damaged object goes to quarantine, or is removed if there is no
// room for it.
//
// Errors: 400 bad name; 404 no such bucket, or "<object> doesn't exist"; 500
// I/O; 503 the mountpath is busy.
func (s *Store) Delete(ctx context.Context, key Key) error {
	return s.delete(ctx, key, Stamp{})
}

// DeleteUnchanged is Delete of an object that has not changed since it had a
// stamp, see Attrs.LastChange. One that has another by now, or none, is left
// alone, which is no error.
func (s *Store) DeleteUnchanged(ctx context.Context, key Key, stamp Stamp) error {
	return s.delete(ctx, key, stamp)
}

// delete deletes a name; only what has a stamp, if that is not zero.
func (s *Store) delete(ctx context.Context, key Key, stamp Stamp) error {
	o, err := s.resolve(key)
	if err != nil {
		return err
	}
	if err := o.CheckWritable(); err != nil {
		return err
	}
	if s.stagesWrites(&o) {
		// A write whose slices are being made has its stamp already: it must not take effect
		// after this, and be older.
		turn, err := s.options.Ports.Slices.BeginWrite(ctx, key)
		switch {
		case err == nil:
			defer turn.End(false)
		case !errors.Is(err, ErrNotOwner): // else the guard refuses it
			return err
		}
	}
	after, err := s.deleteOnce(ctx, &o, stamp)
	if after.IsZero() {
		return err
	}
	return s.deleteSlices(ctx, &o, after, err)
}

// deleteOnce deletes what is here of a name. after is set if what other targets
// hold of it is to be deleted, too: a stamp greater than that of what was here.
func (s *Store) deleteOnce(ctx context.Context, o *object, stamp Stamp) (after Stamp, err error) {
	if err := s.lock(ctx, o, true); err != nil {
		return after, err
	}
	defer s.unlock(o, true)
	ticket, err := s.begin(o)
	if err != nil {
		return after, err
	}
	if s.sliced(o) {
		after = s.deletionStamp(o, stamp)
	}
	err = s.deleteLocked(ctx, o, stamp)
	if over := s.end(ticket); over != nil {
		return Stamp{}, over // also instead of "doesn't exist": somebody else may own the name by now
	}
	return after, err
}

// deleteLocked is Delete under the exclusive lock and under the guard.
func (s *Store) deleteLocked(ctx context.Context, o *object, only Stamp) error {
	now, err := s.current(o)
	if err != nil {
		return err
	}
	newest := now.newest()
	if !only.IsZero() && (newest == nil || newest.written() != only) {
		return nil
	}
	if now.nothing() || newest != nil && newest.kind.IsDeleted() {
		if err := s.settleAbsence(ctx, o); err != nil {
			return err
		}
		return apierr.New(apierr.StatusNotFound, "", "%s doesn't exist", o.Cname())
	}
	if now.damaged != "" {
		_, err := s.quarantine(o, now.damaged, now.why)
		if fs.IsNoSpace(err) {
			err = s.removeDamaged(ctx, o, &now)
		}
		if err != nil {
			return err
		}
	}
	s.changed(o)
	former, err := s.noncurrentOf(o, now.newest())
	if err != nil {
		return err
	}
	if len(former) > 0 {
		now.damaged = "" // it is in quarantine
		return s.replaceByMarker(context.WithoutCancel(ctx), o, &now)
	}
	if holder, at := now.newestHolder(o); holder != nil {
		if err := s.dropSecondName(ctx, o, at, holder.rec.stamp, o.Props.SyncWrites()); err != nil {
			return err
		}
	}
	return s.removeAll(context.WithoutCancel(ctx), o, &now)
}

// removeDamaged removes a damaged object that a client deletes and for which
// there is no room in quarantine.
func (s *Store) removeDamaged(ctx context.Context, o *object, now *existing) error {
	sidecar := s.sidecarOf(o, now.damaged)
	err := s.remove(context.WithoutCancel(ctx), o, &existing{found: true, path: now.damaged})
	if err != nil {
		return err
	}
	if sidecar != "" {
		s.unlinkGarbage(o, sidecar)
	}
	s.log.Error("damaged object deleted by a client, without room for it in quarantine", "object", o.Cname(), "path", now.damaged, "finding", now.why)
	if report := s.options.OnDamage; report != nil {
		report(Damage{Mountpath: o.mp, Key: o.Key, Err: now.why})
	}
	return nil
}

// settleAbsence makes it durable that a name is not there, wherever a removal
// before this one has not done so: it failed, or did not have to. Without it
// neither "doesn't exist" nor the removal of what is there now would last, since
// a loss of power could bring the older generation back.
func (s *Store) settleAbsence(ctx context.Context, o *object) error {
	if !o.Props.SyncWrites() {
		return nil
	}
	err := s.settleAbsenceHere(ctx, o)
	if err != nil || !o.set.Unsettled {
		return err
	}
	return s.elsewhere(ctx, o, func(at *object) error { return s.settleAbsenceHere(ctx, at) })
}

func (s *Store) settleAbsenceHere(ctx context.Context, o *object) error {
	filesystem := o.mp.Filesystem()
	if !filesystem.Doubts() {
		return nil
	}
	places := []string{filepath.Dir(o.escapedPath()), o.versionsDir()}
	if o.plain != "" {
		places = append(places, filepath.Dir(o.plain))
	}
	dirs := slices.DeleteFunc(places, func(dir string) bool { return !filesystem.Doubtful(dir) })
	err := filesystem.Flush(ctx, fs.FlushRequest{Dirs: dirs})
	if err == nil || isNotExist(err) {
		return nil
	}
	return o.mp.IOError("DELETE "+o.Cname(), err)
}

// removeAll removes what a name holds on all mountpaths, the newest generation
// last, so that no older one can come to light.
func (s *Store) removeAll(ctx context.Context, o *object, now *existing) error {
	if err := s.settleAbsence(ctx, o); err != nil {
		return err
	}
	newest := now.newest()
	if newest != nil {
		if err := s.removeHiddenNulls(ctx, o, newest, o.Props.SyncWrites()); err != nil {
			return err
		}
	}
	last := now.shareChunks()
	for i := range now.others {
		other := &now.others[i]
		if other == last {
			continue
		}
		if err := s.removeOther(ctx, other, o.Props.SyncWrites()); err != nil {
			return err
		}
	}
	if now.found {
		if err := s.remove(ctx, o, now); err != nil {
			return err
		}
	}
	if last != nil {
		if err := s.removeOther(ctx, last, o.Props.SyncWrites()); err != nil {
			return err
		}
	}
	if now.rec.sidecar { // others that writes have left go along
		for _, b := range s.straySidecarsHere(o) {
			s.unlinkGarbage(o, b.Path)
		}
	}
	return nil
}

// remove unlinks what a name holds on its mountpath, the older generation
// first, and makes that durable.
func (s *Store) remove(ctx context.Context, o *object, now *existing) error {
	if err := o.enter(); err != nil {
		return err
	}
	defer o.bucket.gate.RUnlock()
	noted, err := s.note(ctx, o, o.Props.SyncWrites())
	if err != nil {
		return o.mp.IOError("DELETE "+o.Cname(), err)
	}
	defer noted.settle()
	flush := fs.FlushRequest{Dirs: make([]string, 0, 2)}
	for _, path := range [...]string{now.older, now.path} {
		if path == "" {
			continue
		}
		err := s.system.Unlink(path)
		if err != nil && !isNotExist(err) || !o.Props.SyncWrites() {
			o.mp.Filesystem().Doubt(filepath.Dir(path)) // it may have taken place all the same
		}
		if err != nil && !isNotExist(err) {
			return o.mp.IOError("DELETE "+o.Cname(), err)
		}
		flush.Dirs = append(flush.Dirs, filepath.Dir(path))
	}
	if o.Props.SyncWrites() {
		if err := o.mp.Filesystem().Flush(ctx, flush); err != nil {
			s.verifyAfterFailedFlush(o, err)
			return o.mp.IOError("DELETE "+o.Cname(), err)
		}
	}
	noted.gone()
	now.older = "" // gone already; what is left are sidecars
	s.removeSidecars(o, now)
	o.mp.FillSpares() // there may be more space than before
	return nil
}
