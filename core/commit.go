package core

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/aistore-go/aistore/cmn/apierr"
	fsys "github.com/aistore-go/aistore/fs"
)

// commit makes a received body the object of its name. Durable writes are
// flushed before the lock is taken, and again, for the name, after it was given
// up, so that it is held for a rename; the record, which depends on the previous
// object, is checked again under the lock.
func (w *write) commit(ctx context.Context) (Attrs, error) {
	if !w.marker && !w.tombstone && w.moved == nil {
		if err := w.canBeRedundant(); err != nil {
			return Attrs{}, err
		}
	}
	defer w.endStaging()
	attrs, err := w.commitAsOwner(ctx)
	if err != nil && w.opts.Conditions.any() && apierr.StatusOf(err) == apierr.StatusPreconditionFailed {
		// The answer says what the name holds: like a read it waits until that
		// is on stable storage.
		if s := w.s; s.lock(ctx, &w.object, false) == nil {
			s.unlock(&w.object, false)
		}
	}
	if err == nil && !w.handed {
		err = w.s.makeRedundant(context.WithoutCancel(ctx), &w.object)
	}
	return attrs, err
}

func (w *write) commitOnce(ctx context.Context) (Attrs, error) {
	// From here on a client that goes away changes nothing: half of a commit
	// helps nobody.
	flushing := context.WithoutCancel(ctx)
	before, rec, prepared, err := w.lockPrepared(ctx, flushing)
	if err != nil {
		return Attrs{}, err
	}
	w.ownLock = true
	defer w.unlock()

	now, err := w.s.current(&w.object)
	if err != nil {
		return Attrs{}, err
	}
	if err := w.checkConditions(&now); err != nil {
		return Attrs{}, w.asOwner(err)
	}
	if w.identical(&now) {
		if w.verified != now.rec.stamp {
			return Attrs{}, errUnverified
		}
		return w.unchanged(flushing, &now)
	}
	prepared = prepared && now.sameAs(&before)
	if err := w.mustBeStaged(prepared, &rec); err != nil {
		return Attrs{}, err
	}
	var ticket Ticket
	for {
		if !prepared {
			if rec, err = w.nextRecord(&now); err != nil {
				return Attrs{}, err
			}
			if err := w.fileOf(flushing, &rec, w.sync); err != nil {
				return Attrs{}, err
			}
		}
		if err := w.close(); err != nil {
			return Attrs{}, err
		}
		if ticket, err = w.begin(); err != nil {
			return Attrs{}, err
		}
		if rec.written().Epoch >= w.s.options.Epoch() {
			break
		}
		// The placement changed since the stamp was made: with the old epoch
		// this write would lose against an earlier one of another owner.
		_ = w.s.end(ticket) // nothing was done under it
		if w.staging != nil {
			return Attrs{}, errRestage
		}
		prepared = false
	}
	w.owe()
	w.replaces = now.newest() != nil
	err = w.place(flushing, &now, &rec)
	if over := w.s.end(ticket); err == nil {
		err = over
	}
	if err != nil {
		return Attrs{}, err
	}
	attrs := rec.attrs(w.mp)
	w.s.forget(&w.object)
	if w.latest {
		w.s.committed(&w.object, &attrs)
	}
	return attrs, nil
}

// unlock gives the exclusive lock back, and ends what flushUnlocked began.
func (w *write) unlock() {
	if w.turn == 0 {
		w.s.unlock(&w.object, true)
		return
	}
	w.mp.Release()
	w.s.locks.settled(w.digest)
}

// prepare does what a durable write can do without the lock: the record after
// a look at the previous object, and the flush.
func (w *write) prepare(ctx, flushing context.Context) (before existing, rec record, prepared bool, err error) {
	if err = w.mp.Acquire(ctx); err != nil {
		return before, rec, false, err
	}
	defer w.mp.Release()
	if before, err = w.s.current(&w.object); err != nil {
		return before, rec, false, err
	}
	if w.identical(&before) {
		return before, rec, false, nil // most likely nothing is to be written
	}
	if rec, err = w.nextRecord(&before); err != nil {
		return before, rec, false, err
	}
	return before, rec, true, w.fileOf(flushing, &rec, true)
}

// fileOf makes the work file of a body in memory, and sets its record. On a full
// disk one without content takes a spare file, and what else it needs from the
// reserve.
func (w *write) fileOf(ctx context.Context, rec *record, flush bool) error {
	begin := func() error {
		if err := w.materialize(); err != nil {
			return err
		}
		return w.attach(ctx, rec, flush)
	}
	err := begin()
	if !w.needsRoom(rec, err) {
		return err
	}
	if !w.spare {
		w.giveUpFile()
		w.spare = true
		if path, file, none := w.mp.TakeSpare(); none == nil {
			w.home, w.work, w.file = w.mp, path, file
			err = w.attach(ctx, rec, flush)
		}
	}
	return w.withReserve(rec, err, func() error {
		w.giveUpFile()
		return begin()
	})
}

// needsRoom tells that a step of a delete has failed because the disk is full.
func (w *write) needsRoom(rec *record, err error) bool {
	return err != nil && rec.kind.IsDeleted() && fsys.IsNoSpace(err) && !errors.Is(err, fsys.ErrFlushFailed)
}

// withReserve has a step of a delete, which has returned an error, tried again for
// as long as it is space that it lacks and the mountpath has something in reserve.
func (w *write) withReserve(rec *record, err error, step func() error) error {
	for w.needsRoom(rec, err) && w.mp.ReleaseReserve() {
		err = step()
	}
	return err
}

// giveUpFile lets go of a work file for which there was no room.
func (w *write) giveUpFile() {
	if w.file != nil {
		_ = w.file.Close() // of a file that is given up
		w.file = nil
	}
	w.discardSidecar()
	w.removeWork(&w.work)
}

// sameAs tells that a name did not change between two looks.
func (e *existing) sameAs(o *existing) bool {
	return e.found == o.found && e.rec.written() == o.rec.written() && e.path == o.path && e.blocked == o.blocked && e.sameElsewhere(o)
}

// identical tells that the object already is what the client sends.
func (w *write) identical(now *existing) bool {
	if w.relaid != nil || now.found && now.rec.stamp == w.rotten || w.earlier.newerThan(now.newest()) {
		return false
	}
	if w.origin != nil {
		return now.found && now.newest() == &now.rec && now.rec.kind == KindObject && w.origin.sameAs(&now.rec, w.sum) && w.sizeOnDisk(now)
	}
	if !now.found || now.newest() != &now.rec || w.unsummed || w.opts.SkipVC || w.opts.Keep != KeepNothing || now.rec.kind != KindObject ||
		now.rec.flags&flagVersioned != 0 || now.rec.size != w.size || !now.rec.checksum.Equal(w.opts.Checksum) {
		return false
	}
	merged, err := mergeCustom(now.rec.custom, w.opts.Custom)
	if err != nil || !slices.Equal(merged, now.rec.custom) {
		return false
	}
	return w.sizeOnDisk(now)
}

func (w *write) sizeOnDisk(now *existing) bool {
	info, err := w.s.system.Stat(now.path)
	return err == nil && info.Size == now.rec.size
}

// errUnverified: the record says that the object already is what the client
// sends; whether its content does has to be seen, without the lock.
var errUnverified = errors.New("the stored content was not compared yet")

// verifyStored reads what the name holds and compares it with its checksum. Only
// if it is whole may a write leave it as it is.
func (w *write) verifyStored(ctx context.Context) error {
	c, err := w.s.openOnce(ctx, &w.object, false)
	if err != nil {
		return err
	}
	damage := c.damage
	if c.file != nil && damage == nil && c.rec.kind == KindObject {
		at := w.on(c.mp)
		damage, err = w.s.verifyContent(ctx, &at, &c)
		if damage == nil && err == nil {
			w.verified = c.rec.stamp
		} else {
			w.rotten = c.rec.stamp // also if it cannot be read: it is written anew
		}
	}
	_ = c.close(w.s) // nothing was written to it
	return ctx.Err()
}

// unchanged is the answer to an identical write. A copy leaves the object as it
// is, and as durable as if it had been written. A PUT shows as any other does
// but for the version: the object was written and accessed now. Whoever
// compares times, to send what is newer, would send it again and again else.
func (w *write) unchanged(ctx context.Context, now *existing) (Attrs, error) {
	ticket, err := w.begin()
	if err != nil {
		return Attrs{}, err
	}
	w.owe()
	if w.origin == nil {
		at := w.s.options.Clock().UnixNano()
		w.amends = now.rec.written()
		p := patch{s: w.s, object: w.object, path: now.path, old: now.rec, rec: now.rec, sync: w.sync}
		p.rec.mtime = at
		attrs, err := p.run(ctx, ticket)
		if err != nil {
			return Attrs{}, err
		}
		w.s.removeStale(ctx, &w.object, now, w.mp, w.sync)
		w.s.access.touch(w.digest, now.path, at, attrs.Atime)
		attrs.Atime = at
		return attrs, nil
	}
	if w.sync {
		err = w.flushExisting(ctx, now)
	}
	if over := w.s.end(ticket); err == nil {
		err = over
	}
	if err != nil {
		return Attrs{}, err
	}
	return now.rec.attrs(w.mp), nil
}

// flushExisting makes an object durable whose writer did not have to, or whose
// flush failed.
func (w *write) flushExisting(ctx context.Context, now *existing) (err error) {
	paths := []string{now.path}
	if now.rec.sidecar {
		paths = append(paths, sidecarPath(w.mp, &w.object, now.rec.written()))
	}
	request := fsys.FlushRequest{Bytes: w.size}
	defer func() {
		for _, f := range request.Files {
			err = errors.Join(err, f.Close())
		}
	}()
	for _, path := range paths {
		f, err := w.s.openFile(path)
		if err != nil {
			return err
		}
		request.Files = append(request.Files, f)
		request.Dirs = append(request.Dirs, filepath.Dir(path))
	}
	return w.mp.Filesystem().Flush(ctx, request)
}

// begin asks whether this target may change a name now; see Guard.
func (s *Store) begin(o *object) (Ticket, error) {
	if s.options.Guard == nil {
		return 0, nil
	}
	return s.options.Guard.Begin(o.Key, o.digest)
}

// end tells that a change has taken effect, or failed; the error forbids to
// acknowledge it.
func (s *Store) end(t Ticket) error {
	if s.options.Guard == nil {
		return nil
	}
	return s.options.Guard.End(t)
}

// nextRecord is the record of this write over what the name holds now.
func (w *write) nextRecord(now *existing) (record, error) {
	if w.moved != nil {
		return w.movedRecord(now), nil
	}
	if w.relaid != nil {
		return w.relaidRecord(now)
	}
	at := w.s.options.Clock().UnixNano()
	rec := record{
		kind: w.kind(), size: w.size, bid: w.Props.BID, checksum: w.sum, mtime: at, atime: at, chunks: w.chunkRef(),
	}
	last, inherited, stored := w.previous(now)
	rec.stamp = w.s.stamp(last)
	custom, err := mergeCustom(inherited, w.opts.Custom)
	if err != nil {
		return rec, err
	}
	rec.custom = custom
	if w.opts.Keep == KeepVersion {
		rec.flags |= flagVersioned
	}
	if rec.kind == KindTombstone {
		former, err := w.s.noncurrentOf(&w.object, now.newest())
		if err != nil {
			return rec, err
		}
		if len(former) > 0 { // as in replaceByMarker
			rec.kind = KindDeleteMarker
		}
	}
	if w.Props.Versioning.Enabled && !rec.kind.IsDeleted() {
		rec.version = nextVersion(stored, w.opts.Version, w.opts.SkipVC, custom)
	}
	if w.origin != nil {
		w.origin.takeOver(&rec)
	} else if w.sameAsEarlier(now, custom) {
		rec.version = w.earlier.Attrs.Version
	}
	rec.copies = w.plannedCopies(rec.kind)
	w.settlePlace(&rec, now)
	return rec, nil
}

// settlePlace sets where the file of a record is going to be, and its name if the
// path does not tell it. now is what the name holds.
func (w *write) settlePlace(rec *record, now *existing) {
	switch {
	case now.found:
		rec.place = now.rec.place // an existing name stays where it is
	case w.plain == "" || now.blocked:
		rec.place = PlaceEscaped
	}
	if rec.place == PlaceEscaped {
		rec.name = w.Name
	}
}

// committed tells everybody who keeps something about the name.
func (s *Store) committed(o *object, attrs *Attrs) {
	if c := s.options.Ports.Copies; c != nil {
		c.Committed(o.Key, *attrs)
	}
	if s.sliced(o) {
		s.options.Ports.Slices.Committed(o.Key, *attrs)
	}
}

// attrs is what callers see of a record.
func (r *record) attrs(mp *fsys.Mountpath) Attrs {
	return Attrs{
		Size: r.size, Checksum: r.checksum, Version: r.version, Atime: r.atime, Mtime: r.mtime, Custom: r.custom,
		Versioned: r.flags&flagVersioned != 0, Stamp: r.stamp, Revision: r.revision, BID: r.bid, Place: r.place, Mountpath: mp, Copies: 1 + len(r.copies), CopiesOn: r.copies,
		Chunks: int(r.chunks.count), LargestChunk: r.chunks.largest,
	}
}

func isNotExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }
