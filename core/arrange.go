package core

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	fsys "github.com/aistore-go/aistore/fs"
)

// maxArrangements bounds how often Arrange begins anew because somebody else has
// changed the name, beside the steps that it takes itself.
const maxArrangements = 100

// Arranged is what Arrange has done.
type Arranged struct {
	Moved   int   // files that were brought to their mountpath
	Copied  int   // copies that were made
	Removed int   // files that lay where they did not belong, and copies too many
	Bytes   int64 // that were moved and copied

	Instances int  // of the object: it and its copies; 0: there is none
	Wanted    int  // how many there are to be
	Deleted   bool // what is there is a tombstone or a delete marker
	Broken    bool // a chunk of the object is lost, in all its copies

	Versions      int // noncurrent ones
	ShortVersions int // of which there are fewer files than the properties ask for
}

// Short is how many copies of the object, and versions with too few copies, there are:
// the node has too few mountpaths, or a chunk is lost.
func (a *Arranged) Short() int { return max(0, a.Wanted-a.Instances) + a.ShortVersions }

// Arrange brings everything that a name has on this target to the mountpaths to
// which it belongs: the object, its noncurrent versions, its chunks and
// manifests, and the parts of its uploads; and sees to it that there are as many
// copies as the properties in the key say, of the generation that is current and
// no others. A source goes after what was made of it is on stable storage and has
// been compared with its checksum. Readers and writers go on meanwhile: only the
// renames are under the name's lock. It may be called again at any time, also
// after a crash, and does no more than what is left to do.
//
// Errors: 400, 404 as those of Open for a bucket, but a name that holds nothing
// is none; 500 the object is damaged, or a disk fails; 503 the name keeps changing,
// a mountpath is busy; 507 no space.
func (s *Store) Arrange(ctx context.Context, key Key) (a Arranged, err error) {
	return s.arrange(ctx, key, true)
}

// ArrangeCopies is Arrange for those who are concerned with the copies of a name
// alone: if everything on the node is known to lie where it belongs, it looks for nothing
// else, which takes a good part of the time for a small object.
func (s *Store) ArrangeCopies(ctx context.Context, key Key) (a Arranged, err error) {
	return s.arrange(ctx, key, false)
}

func (s *Store) arrange(ctx context.Context, key Key, all bool) (a Arranged, err error) {
	if err := key.CheckWritable(); err != nil {
		return a, err
	}
	for range maxArrangements {
		a.Versions, a.ShortVersions = 0, 0
		o, err := s.resolve(key)
		if err != nil {
			return a, err
		}
		r := &arrangement{s: s, object: o, did: &a}
		more, err := r.step(ctx)
		if err == nil && !more && (all || r.mayBeElsewhere()) {
			err = r.rest(ctx)
		}
		switch {
		case err != nil && !errors.Is(err, errMoving):
			return a, r.fail(err)
		case err == nil && !more:
			return a, nil
		case ctx.Err() != nil:
			return a, context.Cause(ctx)
		}
	}
	return a, apierr.Unavailable(time.Second, "%s keeps changing, or the mountpaths of %s do", key.Cname(), s.nodeName)
}

// errMoving: something has changed since it was looked at.
var errMoving = errors.New("the name has changed meanwhile")

// arrangement is one look at a name, and what is done about it.
type arrangement struct {
	s *Store
	object
	did *Arranged

	chunked bool // the current generation
}

// mayBeElsewhere tells that something beside the current generation may lie where
// it does not belong.
func (r *arrangement) mayBeElsewhere() bool {
	set := r.set
	return set.Unsettled || set.Unarranged || len(set.Leaving) > 0 || r.chunked || r.mayHaveVersions()
}

// mayHaveVersions tells that some mountpath may hold noncurrent versions of the
// bucket.
func (r *arrangement) mayHaveVersions() bool {
	return slices.ContainsFunc(r.set.All(), func(mp *fsys.Mountpath) bool {
		at := r.on(mp)
		return at.dirs.mayHoldVersions(r.Bck)
	})
}

func (r *arrangement) fail(err error) error {
	var typed *apierr.Error
	switch {
	case err == nil, errors.As(err, &typed), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, errLeft):
		return apierr.Unavailable(time.Second, "%s: a mountpath goes out of use", r.Cname())
	case errors.Is(err, errSourceDamaged):
		return badRecord(&r.object, err)
	case fsys.IsNoSpace(err):
		return apierr.Wrap(err, apierr.StatusInsufficientStorage, "", "%s cannot be moved", r.Cname())
	}
	return r.mp.IOError("move "+r.Cname(), err)
}

// look reads what the name holds on all mountpaths. The name lock is held.
func (r *arrangement) look() (e existing, err error) {
	if e, err = r.s.here(&r.object); err == nil {
		e.others, err = r.s.others(&r.object)
	}
	return e, err
}

// step does the first thing that is to be done for the current generation, if
// there is any: then more is true, and the name is to be looked at again.
func (r *arrangement) step(ctx context.Context) (more bool, err error) {
	s := r.s
	if err := s.lock(ctx, &r.object, false); err != nil {
		return false, err
	}
	now, err := r.look()
	if err != nil {
		s.unlock(&r.object, false)
		return false, err
	}
	best := r.best(&now)
	var src source
	if best != nil {
		src, err = s.openSource(best.at.mp, best.path, &best.rec)
		if r.chunked = best.rec.kind == KindChunked; err == nil && r.chunked {
			s.generations.hold(best.rec.chunks.upload) // whoever removes it does so when this is done
			defer s.generations.release(best.rec.chunks.upload)
		}
	}
	s.unlock(&r.object, false)
	if err != nil {
		return false, err
	}
	if best == nil {
		if now.damaged != "" {
			return false, badRecord(&r.object, now.why)
		}
		return false, nil // what is found elsewhere is damaged, or of nobody
	}
	defer func() { _ = src.file.Close() }() // was only read
	r.did.Instances, r.did.Wanted, r.did.Deleted = 1, 1, best.rec.kind.IsDeleted()
	if r.Props.Mirror.Enabled && !best.rec.kind.IsDeleted() {
		r.did.Wanted = max(1, r.Props.Mirror.Copies)
	}
	if best.at.mp != r.mp || now.damaged != "" {
		return true, r.bring(ctx, best, &src)
	}
	plan := r.plannedCopies(best.rec.kind)
	if more := union(plan, best.rec.copies); len(plan) > 0 && len(more) > len(best.rec.copies) {
		return true, r.setCopies(ctx, &best.rec, more) // before they are there
	}
	homes := r.homes()
	if len(plan) == 0 {
		homes = nil
	}
	if len(homes) > 0 && best.rec.kind == KindChunked {
		whole, err := r.copyChunks(ctx, best, &src)
		if err != nil {
			return false, err
		}
		if !whole {
			r.did.Broken = true // there is nothing to make copies of
			return false, nil
		}
	}
	for _, mp := range homes {
		if !r.isWhole(&now, mp, &best.rec, src.info.Size) {
			if err := r.copyTo(ctx, mp, best, &src); err != nil {
				return false, err
			}
			r.did.Copied++
			r.did.Bytes += src.info.Size
		}
		r.did.Instances++
	}
	if extra := r.extra(&now, &best.rec, plan); extra > 0 {
		return true, r.removeExtra(ctx, &best.rec, plan)
	}
	if !slices.Equal(plan, best.rec.copies) {
		return true, r.setCopies(ctx, &best.rec, plan)
	}
	return false, nil
}

// union is the ids of two ascending lists, ascending.
func union(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

// best is the file from which all else is made: of the newest generation that
// can be read, the one at the place of the name if it is there.
func (r *arrangement) best(now *existing) *other {
	var best *other
	consider := func(c *other) {
		if !c.found || best != nil && c.rec.stamp.Compare(best.rec.stamp) <= 0 {
			return
		}
		if c.rec.kind == KindObject {
			if info, err := r.s.system.Stat(c.path); err != nil || info.Size != c.rec.size {
				return
			}
		}
		best = c
	}
	consider(&other{at: r.object, existing: *now})
	for i := range now.others {
		consider(&now.others[i])
	}
	return best
}

// bring moves the current generation to the mountpath of its name.
func (r *arrangement) bring(ctx context.Context, from *other, src *source) error {
	s := r.s
	rec := from.rec
	rec.copies = r.plannedCopies(rec.kind)
	if from.at.mp == r.mp { // something that cannot be read is beside it
		return r.setAside(ctx)
	}
	if rec.kind == KindChunked {
		if err := s.carryManifest(ctx, &from.at, &r.object, rec.chunks.upload); err != nil {
			return err
		}
		s.generations.hold(rec.chunks.upload) // a collection does not see the name yet
		defer s.generations.release(rec.chunks.upload)
	}
	w, err := s.transplant(ctx, &r.object, src, &rec, true)
	defer w.discard()
	if errors.Is(err, errSourceDamaged) && len(from.rec.copies) > 0 {
		if err := s.takeAside(ctx, &from.at, &candidate{mp: from.at.mp, info: src.info, path: from.path, damage: badRecord(&r.object, err)}); err != nil {
			return err
		}
		return errMoving // another one may be whole
	}
	if err != nil {
		return err
	}
	if err := r.locked(ctx, func(now *existing) error {
		if best := r.best(now); best == nil || best.at.mp != from.at.mp || best.rec.written() != from.rec.written() {
			return errMoving
		}
		s.indexing.moving.RLock()
		defer s.indexing.moving.RUnlock()
		s.indexing.moves.Add(1)
		return w.plant(context.WithoutCancel(ctx), &rec)
	}); err != nil {
		return err
	}
	r.did.Moved++
	r.did.Bytes += src.info.Size
	return nil
}

// setAside moves a file at a place of the name whose record cannot be read to
// quarantine.
func (r *arrangement) setAside(ctx context.Context) error {
	return r.locked(ctx, func(now *existing) error {
		if now.damaged == "" {
			return nil
		}
		_, err := r.s.quarantine(&r.object, now.damaged, now.why)
		return err
	})
}

// locked runs a change under the exclusive lock, with what the name holds then.
// errMoving: its place is another one by now.
func (r *arrangement) locked(ctx context.Context, change func(now *existing) error) error {
	s, place := r.s, r.mp
	if err := s.lock(ctx, &r.object, true); err != nil {
		return err
	}
	defer s.unlock(&r.object, true)
	if r.mp != place {
		return errMoving
	}
	now, err := r.look()
	if err != nil {
		return err
	}
	return change(&now)
}

// extra counts the files on other mountpaths that are no planned copies.
func (r *arrangement) extra(now *existing, main *record, plan []string) (n int) {
	for i := range now.others {
		if !isPlanned(&now.others[i], main, plan) {
			n++
		}
	}
	if now.older != "" {
		n++
	}
	return n
}

func isPlanned(c *other, main *record, plan []string) bool {
	return c.found && c.damaged == "" && c.older == "" && c.rec.written() == main.written() && slices.Contains(plan, c.at.mp.ID)
}

// removeExtra removes them, durably: the object is at its place.
func (r *arrangement) removeExtra(ctx context.Context, main *record, plan []string) error {
	s := r.s
	return r.locked(ctx, func(now *existing) error {
		if !now.found || now.rec.written() != main.written() {
			return errMoving
		}
		now.keepChunks(main)
		s.indexing.moving.RLock()
		defer s.indexing.moving.RUnlock()
		s.indexing.moves.Add(1)
		for i := range now.others {
			c := &now.others[i]
			if isPlanned(c, main, plan) {
				continue
			}
			if c.found && c.rec.stamp.Compare(main.stamp) > 0 {
				return errMoving // it cannot be read as a whole; nothing newer is removed
			}
			if err := s.removeOther(context.WithoutCancel(ctx), c, true); err != nil {
				return err
			}
			r.did.Removed++
		}
		if now.older != "" {
			older := existing{found: true, path: now.older, rec: now.olderRec, keep: []string{main.chunks.upload}}
			if err := s.removeBeside(context.WithoutCancel(ctx), &r.object, &older); err != nil {
				return err
			}
			r.did.Removed++
		}
		return nil
	})
}

// setCopies writes where copies are to lie into the record.
func (r *arrangement) setCopies(ctx context.Context, main *record, plan []string) error {
	s := r.s
	return r.locked(ctx, func(now *existing) error {
		if !now.found || now.rec.written() != main.written() {
			return errMoving
		}
		// Of a record in a sidecar the stamp is in the name of that.
		p := patch{s: s, object: r.object, path: now.path, old: now.rec, rec: now.rec, sync: r.Props.SyncWrites(), keep: !now.rec.sidecar}
		p.rec.copies = plan
		ctx := context.WithoutCancel(ctx)
		if p.keep {
			return p.write(ctx)
		}
		ticket, err := s.begin(&p.object)
		if err != nil {
			return err
		}
		_, err = p.run(ctx, ticket)
		return err
	})
}

// isWhole tells that a mountpath has a copy of a generation's file, whose size is
// given. Its content is not read.
func (r *arrangement) isWhole(now *existing, mp *fsys.Mountpath, main *record, size int64) bool {
	for i := range now.others {
		c := &now.others[i]
		if c.at.mp != mp || !c.found || c.damaged != "" || c.rec.written() != main.written() {
			continue
		}
		info, err := r.s.system.Stat(c.path)
		return err == nil && info.Size == size
	}
	return false
}

// copyTo makes a copy on a mountpath. If it is the object itself that is damaged,
// it goes to quarantine, and a copy takes its place.
func (r *arrangement) copyTo(ctx context.Context, mp *fsys.Mountpath, main *other, src *source) error {
	s := r.s
	at := r.on(mp)
	rec := main.rec
	w, err := s.transplant(ctx, &at, src, &rec, r.Props.SyncWrites())
	defer w.discard()
	if errors.Is(err, errSourceDamaged) {
		if err := s.takeAside(ctx, &r.object, &candidate{mp: r.mp, info: src.info, path: main.path, damage: badRecord(&r.object, err)}); err != nil {
			return err
		}
		return errMoving
	}
	if err != nil {
		return err
	}
	return r.locked(ctx, func(now *existing) error {
		if !now.found || now.rec.written() != main.rec.written() || !slices.Equal(now.rec.copies, main.rec.copies) {
			return errMoving
		}
		if err := s.acquire(ctx, mp); err != nil {
			return err
		}
		defer mp.Release()
		// What memory holds of the name, and its access time, is that of the object.
		return w.plant(context.WithoutCancel(ctx), &rec)
	})
}
