package core

import (
	"context"
	"slices"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/core/meta"
	fsys "github.com/aistore-go/aistore/fs"
)

// Copies of an object lie on further mountpaths of its owner, under the same
// path and with the same record. Which ones follows from the name as its own
// place does: those that would be its place if the ones before were not there. So
// when a disk is lost its objects are found where their first copies are. The same
// goes for the chunks of objects that have some (chunkcopies.go).
//
// The record names them from its commit on, before they are made: there is never
// a copy of which the record does not know, unless the name is pending
// (pending.go). An overwrite, a change of metadata and a DELETE remove the copies
// of what they replace before they are acknowledged.

// copyHomes are the mountpaths of a name's copies, beside that of its place; fewer
// than wanted if the set has no more.
func copyHomes(set *fsys.Set, digest uint64, instances int) []*fsys.Mountpath {
	if instances < 2 || len(set.Paths) < 2 {
		return nil
	}
	all := set.Order(digest)
	return all[1:min(instances, len(all))]
}

// homes are the mountpaths on which copies of the object are to lie.
func (o *object) homes() []*fsys.Mountpath {
	if !o.Props.Mirror.Enabled {
		return nil
	}
	return copyHomes(o.set, o.digest, o.Props.Mirror.Copies)
}

// plannedCopies are the ids of these mountpaths, as a record names them.
func (o *object) plannedCopies(kind Kind) []string {
	if kind != KindObject && kind != KindChunked {
		return nil
	}
	var ids []string
	for _, mp := range o.homes() {
		ids = append(ids, mp.ID)
	}
	slices.Sort(ids)
	return ids
}

// mayHaveCopies tells that what a name holds at its place may not be all.
func (o *object) mayHaveCopies(e *existing) bool {
	return e.found && len(e.rec.copies) > 0 || e.olderRec.copies != nil || o.Props.Mirror.Enabled
}

// removeStale removes copies that have an older record than the one that a
// change of metadata has just written. What cannot be removed stays pending.
func (s *Store) removeStale(ctx context.Context, o *object, now *existing, holder *fsys.Mountpath, durable bool) {
	if newest := now.newest(); newest != nil {
		now.keepChunks(newest)
	}
	for i := range now.others {
		other := &now.others[i]
		if other.at.mp == holder || len(other.rec.copies) == 0 {
			continue
		}
		if err := s.removeOther(ctx, other, durable); err != nil {
			s.log.Warn("an older copy stays on another mountpath", "object", o.Cname(), "mountpath", other.at.mp.Path, "err", err)
			s.oweCopies(o, now.rec.stamp)
		}
	}
}

// oweCopies notes, under the name lock, that copies of a name are to be looked
// after.
func (s *Store) oweCopies(o *object, stamp Stamp) {
	owed := owed{stamp: stamp, wake: o.bucket.signals}
	owed.work[WorkCopies] = true
	owed.note(s.indexing.of(o.mp), o)
}

// mustBeRedundant tells that a change is acknowledged only when a copy of it is on
// stable storage.
func (o *object) mustBeRedundant() bool {
	return o.Props.Durability == meta.DurabilityRedundant && o.Props.Mirror.Enabled
}

// canBeRedundant refuses a change, before anything is stored, that could not be
// acknowledged: 503, there is no other mountpath for the copy.
func (o *object) canBeRedundant() error {
	if !o.mustBeRedundant() || len(o.set.Paths) > 1 {
		return nil
	}
	return apierr.Unavailable(retryPatch, "%s: the node has no other mountpath in use for a copy (durability %q)", o.Cname(), meta.DurabilityRedundant)
}

// makeRedundant returns when the loss of one disk would not lose what was just
// written, if the bucket's durability asks for that. The change has taken place
// whatever it returns. Errors: 503 there is no other mountpath; those of Arrange.
func (s *Store) makeRedundant(ctx context.Context, o *object) error {
	if !o.mustBeRedundant() {
		return nil
	}
	did, err := s.ArrangeCopies(ctx, o.Key)
	switch {
	case err != nil:
		return err
	case did.Instances == 0 || did.Instances >= 2 || did.Deleted: // deleted, or replaced by a deletion, meanwhile
		return nil
	}
	return apierr.Unavailable(retryPatch, "%s is stored on one mountpath only: %s has no other for a copy (durability %q)",
		o.Cname(), s.nodeName, meta.DurabilityRedundant)
}

// openCopy looks for a copy where the file at the place of a name is missing or
// cannot be read, and has the name looked after. here is what was found; failed
// is why nothing was.
func (s *Store) openCopy(ctx context.Context, o *object, here candidate, failed error, buf []byte) (candidate, error) {
	c, err := s.openElsewhere(ctx, o, here, buf)
	if err != nil || c.rank() < 2 {
		if failed != nil {
			if c.file != nil {
				_ = c.file.Close() // of what is not served
			}
			return candidate{}, failed
		}
		return c, err
	}
	if c.mp != o.mp {
		s.oweCopies(o, c.rec.stamp)
	}
	return c, nil
}

// balanced returns the mountpath from which an object is to be read: that of the
// fewest operations in flight among those that hold it, its own if it is one of
// them.
func (s *Store) balanced(own *fsys.Mountpath, rec *record) *fsys.Mountpath {
	if len(rec.copies) == 0 || rec.kind != KindObject || s.options.SpreadReads == nil || !s.options.SpreadReads() {
		return own
	}
	best, least := own, own.InFlight()
	for _, mp := range s.options.FS.Available().Paths {
		if n := mp.InFlight(); n < least && slices.Contains(rec.copies, mp.ID) {
			best, least = mp, n
		}
	}
	return best
}

// openBalanced exchanges what was opened at the place of a name for a copy on a
// mountpath that has less to do, if there is one of the same generation.
func (s *Store) openBalanced(ctx context.Context, o *object, c candidate, buf []byte) candidate {
	mp := s.balanced(o.mp, &c.rec)
	if mp == o.mp || s.acquire(ctx, mp) != nil {
		return c
	}
	defer mp.Release()
	at := o.on(mp)
	other, err := s.openHere(&at, buf)
	if err != nil || other.rank() < 2 || other.rec.written() != c.rec.written() {
		if err == nil && other.file != nil {
			_ = other.file.Close() // was not read from
		}
		return c
	}
	_ = c.file.Close() // was not read from
	return other
}

// instances counts the files of the current generation of a name that is pending,
// under its lock; others are as many as their record says.
func (s *Store) instances(ctx context.Context, o *object, rec *record) int {
	n := 1 + len(rec.copies)
	if n == 1 || !s.owesNow(ctx, WorkCopies, o) {
		return n
	}
	n = 1
	for _, mp := range o.set.Paths {
		if mp == o.mp || !slices.Contains(rec.copies, mp.ID) {
			continue
		}
		err := s.withSlot(mp, o.mp, func() error {
			at := o.on(mp)
			e, err := s.here(&at)
			if err == nil && e.found && e.rec.written() == rec.written() {
				n++
			}
			return err
		})
		if err != nil {
			s.log.Debug("a copy cannot be counted", "object", o.Cname(), "mountpath", mp.Path, "err", err)
		}
	}
	return n
}
