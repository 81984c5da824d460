package core

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	fsys "github.com/aistore-go/aistore/fs"
)

// After a mountpath was added, or came back, an object may lie on another one
// than that of its name; the set of mountpaths is unsettled then. Reads look at
// the place of the name first and, on a miss, at all others; writes go to the
// place and remove what lies elsewhere; the greatest stamp is the object.

// place finds the mountpath of an object in a set.
func (s *Store) place(o *object, set *fsys.Set) error {
	mp := set.Owner(o.digest)
	if mp == nil {
		return apierr.Unavailable(time.Second, "%s has no mountpath in use", s.nodeName)
	}
	o.set = set
	o.move(mp)
	return nil
}

// move makes the object one of another mountpath.
func (o *object) move(mp *fsys.Mountpath) {
	o.mp, o.dirs, o.plain = mp, o.bucket.on(o.set, mp), ""
	if fsys.IsPlainName(o.Name) {
		o.plain = o.dirs.objects + o.Name
	}
}

// on is the object as it lies, or would lie, on a mountpath.
func (o *object) on(mp *fsys.Mountpath) object {
	if mp == o.mp || mp == nil {
		return *o
	}
	at := *o
	at.move(mp)
	return at
}

// errLeft: a mountpath is not in the set any more.
var errLeft = errors.New("mountpath is out of use")

// acquire takes a slot of a mountpath that is not the object's place. errLeft:
// it has left, and what lies on it is not to be looked at. Every nil is
// followed by one Release.
func (s *Store) acquire(ctx context.Context, mp *fsys.Mountpath) error {
	err := mp.Acquire(ctx)
	if s.options.FS.Available().Has(mp) {
		return err
	}
	if err == nil {
		mp.Release()
	}
	return errLeft
}

// elsewhere calls do for each mountpath but that of the object's place, with a
// slot of it.
func (s *Store) elsewhere(ctx context.Context, o *object, do func(at *object) error) error {
	for _, mp := range o.set.All() {
		if mp == o.mp {
			continue
		}
		if err := s.acquire(ctx, mp); err != nil {
			if errors.Is(err, errLeft) {
				continue
			}
			return err
		}
		at := o.on(mp)
		err := do(&at)
		mp.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

// lockThere is lock for an object where it was found, which need not be its
// place. errLeft: the mountpath is out of use.
func (s *Store) lockThere(ctx context.Context, at *object) error {
	if err := s.locks.lock(ctx, at.digest, true); err != nil {
		return err
	}
	if err := s.acquire(ctx, at.mp); err != nil {
		s.locks.unlock(at.digest, true)
		return err
	}
	return nil
}

// other is what a name holds on a mountpath that is not its place.
type other struct {
	at object
	existing
	// becomes: a copy of what has become a noncurrent version, and stays as a copy
	// of that (versioncopies.go).
	becomes bool
}

// others looks at all mountpaths but the place of a name.
func (s *Store) others(o *object) (found []other, err error) {
	err = s.elsewhere(context.Background(), o, func(at *object) error {
		e, err := s.here(at)
		if err == nil && (e.found || e.damaged != "") {
			found = append(found, other{at: *at, existing: e})
		}
		return err
	})
	return found, err
}

// newest is the record of the greatest stamp, nil if there is none.
func (e *existing) newest() *record {
	var newest *record
	if e.found {
		newest = &e.rec
	}
	for i := range e.others {
		o := &e.others[i]
		if o.found && (newest == nil || o.rec.stamp.Compare(newest.stamp) > 0) {
			newest = &o.rec
		}
	}
	return newest
}

// nothing tells that there is no file to remove or to move aside.
func (e *existing) nothing() bool { return !e.found && e.damaged == "" && len(e.others) == 0 }

// sameElsewhere tells that nothing changed on other mountpaths between two looks.
func (e *existing) sameElsewhere(o *existing) bool {
	return slices.EqualFunc(e.others, o.others, func(a, b other) bool {
		return a.at.mp == b.at.mp && a.found == b.found && a.rec.written() == b.rec.written() && a.path == b.path && a.damaged == b.damaged
	})
}

// openElsewhere looks for a name on all other mountpaths and returns the better
// of what is there and of here, which it closes if it is not that one.
func (s *Store) openElsewhere(ctx context.Context, o *object, here candidate, buf []byte) (candidate, error) {
	best := here
	err := s.elsewhere(ctx, o, func(at *object) error {
		c, err := s.openHere(at, buf)
		if err != nil {
			return err
		}
		if c.betterThan(&best) {
			best, c = c, best
		}
		if c.file != nil {
			return c.file.Close()
		}
		return nil
	})
	if err != nil && best.file != nil {
		_ = best.file.Close() // was not read from
	}
	return best, err
}

// removeElsewhere removes what a write has superseded on other mountpaths. A
// failure leaves an older generation that nobody reads as long as the newer one
// is there; the next write or delete tries again.
func (s *Store) removeElsewhere(ctx context.Context, o *object, stamp Stamp, now *existing) {
	if len(now.others) == 0 {
		return
	}
	s.indexing.moving.RLock()
	defer s.indexing.moving.RUnlock()
	s.indexing.moves.Add(1)
	s.keepCopies(now)
	for i := range now.others {
		other := &now.others[i]
		// A copy would be the object once more if the disk of the new one were lost.
		durable := len(other.rec.copies) > 0 && other.at.Props.SyncWrites()
		if err := s.removeOther(ctx, other, durable); err != nil {
			s.log.Warn("an older generation stays on another mountpath", "object", other.at.Cname(),
				"mountpath", other.at.mp.Path, "err", err)
			if len(other.rec.copies) > 0 {
				s.oweCopies(o, stamp)
			}
		}
	}
}

// removeOther removes an object from a mountpath that is not its place; a
// damaged one goes to quarantine.
func (s *Store) removeOther(ctx context.Context, o *other, durable bool) error {
	if err := s.acquire(ctx, o.at.mp); err != nil {
		if errors.Is(err, errLeft) {
			return nil
		}
		return err
	}
	defer o.at.mp.Release()
	noted, err := s.note(ctx, &o.at, durable)
	if err != nil {
		return o.at.mp.IOError("remove "+o.at.Cname(), err)
	}
	defer noted.settle()
	if o.damaged != "" {
		if _, err := s.quarantine(&o.at, o.damaged, o.why); err != nil {
			return err
		}
	}
	var dirs []string
	if o.becomes {
		if err := s.link(ctx, &o.at, &o.existing, &noted, durable); err != nil {
			s.log.Warn("a copy of a noncurrent version has to be made again", "object", o.at.Cname(), "mountpath", o.at.mp.Path, "err", err)
		} else {
			o.kept = true
		}
	}
	for _, path := range [...]string{o.older, o.path} {
		if path == "" {
			continue
		}
		err := s.system.Unlink(path)
		if err != nil && !isNotExist(err) || !durable {
			o.at.mp.Filesystem().Doubt(filepath.Dir(path)) // see Store.remove
		}
		if err != nil && !isNotExist(err) {
			return o.at.mp.IOError("remove "+path, err)
		}
		dirs = append(dirs, filepath.Dir(path))
	}
	if durable && len(dirs) > 0 {
		if err := o.at.mp.Filesystem().Flush(ctx, fsys.FlushRequest{Dirs: dirs}); err != nil {
			return o.at.mp.IOError("remove "+o.at.Cname(), err)
		}
	}
	if noted.versions {
		noted.look() // nobody knows what became of the copy
	} else {
		noted.gone()
	}
	s.removeSidecars(&o.at, &o.existing)
	return nil
}
