package core

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/cmn/apierr"
	fsys "github.com/aistore-go/aistore/fs"
)

// commit makes a received body the object of its name. Durable writes are
// flushed before the lock is taken, and again, for the name, after it was given
// up, so that it is held for a rename; the record, which depends on the previous
// object, is checked again under the lock.
func (w *write) commit(ctx context.Context) (Attrs, error) {
	attrs, err := w.commitOnce(ctx)
	for errors.Is(err, errUnverified) {
		if err := w.verifyStored(ctx); err != nil {
			return Attrs{}, err
		}
		attrs, err = w.commitOnce(ctx)
	}
	if err != nil && w.opts.Conditions.any() && apierr.StatusOf(err) == apierr.StatusPreconditionFailed {
		// The answer says what the name holds: like a read it waits until that
		// is on stable storage.
		if s := w.s; s.lock(ctx, &w.object, false) == nil {
			s.unlock(&w.object, false)
		}
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
	if err := w.opts.Conditions.check(&w.object, &now); err != nil {
		return Attrs{}, err
	}
	if w.identical(&now) {
		if w.verified != now.rec.stamp {
			return Attrs{}, errUnverified
		}
		return w.unchanged(flushing, &now)
	}
	prepared = prepared && now.sameAs(&before)
	var ticket Ticket
	for {
		if !prepared {
			if rec, err = w.nextRecord(&now); err != nil {
				return Attrs{}, err
			}
			if err := w.materialize(); err != nil {
				return Attrs{}, err
			}
			if err := w.attach(flushing, &rec, w.sync); err != nil {
				return Attrs{}, err
			}
		}
		if err := w.close(); err != nil {
			return Attrs{}, err
		}
		if ticket, err = w.s.begin(&w.object); err != nil {
			return Attrs{}, err
		}
		if rec.stamp.Epoch >= w.s.options.Epoch() {
			break
		}
		// The placement changed since the stamp was made: with the old epoch
		// this write would lose against an earlier one of another owner.
		_ = w.s.end(ticket) // nothing was done under it
		prepared = false
	}
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
	if err = w.materialize(); err != nil {
		return before, rec, false, err
	}
	return before, rec, true, w.attach(flushing, &rec, true)
}

// sameAs tells that a name did not change between two looks.
func (e *existing) sameAs(o *existing) bool {
	return e.found == o.found && e.rec.stamp == o.rec.stamp && e.path == o.path && e.blocked == o.blocked && e.sameElsewhere(o)
}

// identical tells that the object already is what the client sends.
func (w *write) identical(now *existing) bool {
	if now.found && now.rec.stamp == w.rotten {
		return false
	}
	if w.origin != nil {
		return now.found && now.newest() == &now.rec && now.rec.kind == KindObject && w.origin.sameAs(&now.rec, w.sum) && w.sizeOnDisk(now)
	}
	if !now.found || now.newest() != &now.rec || w.opts.SkipVC || w.opts.Keep != KeepNothing || now.rec.kind != KindObject || now.rec.size != w.size ||
		!now.rec.checksum.Equal(w.opts.Checksum) {
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

// unchanged is the answer to an identical write: the object as it is, accessed
// now, and as durable as if it had been written.
func (w *write) unchanged(ctx context.Context, now *existing) (Attrs, error) {
	ticket, err := w.s.begin(&w.object)
	if err != nil {
		return Attrs{}, err
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
	attrs := now.rec.attrs(w.mp)
	if w.origin != nil {
		return attrs, nil // a copy is no access
	}
	at := w.s.options.Clock().UnixNano()
	w.s.access.touch(w.digest, now.path, at, attrs.Atime)
	attrs.Atime = at
	return attrs, nil
}

// flushExisting makes an object durable whose writer did not have to, or whose
// flush failed.
func (w *write) flushExisting(ctx context.Context, now *existing) (err error) {
	paths := []string{now.path}
	if now.rec.sidecar {
		paths = append(paths, sidecarPath(w.mp, &w.object, now.rec.stamp))
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
	at := w.s.options.Clock().UnixNano()
	rec := record{
		kind: w.kind(), size: w.size, bid: w.Props.BID, checksum: w.sum, mtime: at, atime: at, chunks: w.chunkRef(),
	}
	var inherited []KV
	stored := ""
	var last Stamp
	if newest := now.newest(); newest != nil {
		last = newest.stamp
		if !w.opts.SkipVC && !newest.kind.IsDeleted() {
			inherited, stored = newest.custom, newest.version
		}
	}
	rec.stamp = w.s.stamp(last)
	custom, err := mergeCustom(inherited, w.opts.Custom)
	if err != nil {
		return rec, err
	}
	rec.custom = custom
	if w.opts.Keep == KeepVersion {
		rec.flags |= flagVersioned
	}
	if w.Props.Versioning.Enabled && !rec.kind.IsDeleted() {
		rec.version = nextVersion(stored, w.opts.Version, w.opts.SkipVC, custom)
	}
	if w.origin != nil {
		w.origin.takeOver(&rec)
	}
	switch {
	case now.found:
		rec.place = now.rec.place // an existing name stays where it is
	case w.plain == "" || now.blocked:
		rec.place = PlaceEscaped
	}
	if rec.place == PlaceEscaped {
		rec.name = w.Name
	}
	return rec, nil
}

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
	if w.sidecarFile != nil {
		if err := w.publishSidecar(rec); err != nil {
			return err
		}
	}
	if !flush {
		return nil
	}
	request := fsys.FlushRequest{Files: []fsys.File{w.file}, Bytes: w.size}
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
	w.flushed = true
	return nil
}

// publishSidecar gives the sidecar its place. The stamp in its name is that of
// this write, so nothing refers to it until the object has its name.
func (w *write) publishSidecar(rec *record) error {
	if err := w.enter(); err != nil {
		return err
	}
	defer w.bucket.gate.RUnlock()
	path := sidecarPath(w.mp, &w.object, rec.stamp)
	if err := w.s.publish(&w.object, w.sidecarWork, path); err != nil {
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

// place gives the work file its name, makes that durable if it must be, and
// removes what it replaced. It is called under the exclusive lock, and ends
// under it.
func (w *write) place(ctx context.Context, now *existing, rec *record) error {
	if now.damaged != "" {
		if _, err := w.s.quarantine(&w.object, now.damaged, now.why); err != nil {
			return err
		}
	}
	noted := w.s.note(&w.object)
	defer noted.settle()
	if err := w.settleReplaced(ctx, now); err != nil {
		return err
	}
	path, err := w.rename(ctx, now, rec)
	if err != nil {
		return err
	}
	if w.sync {
		request := fsys.FlushRequest{Dirs: []string{filepath.Dir(path)}, Journal: noted.journal()}
		w.s.forget(&w.object)
		if w.ownLock && now.older == "" && len(now.others) == 0 && !w.dirs.mayHoldVersions(w.Bck) {
			err = w.flushUnlocked(ctx, request)
		} else {
			// What is to be removed has a name that another write may use.
			err = w.mp.Filesystem().Flush(ctx, request)
		}
		if err != nil {
			w.s.verifyAfterFailedFlush(&w.object, err)
			return err
		}
	} else {
		w.mp.Filesystem().AddDirty(w.size)
	}
	if w.latest = w.s.locks.tell(w.digest, w.turn); w.latest {
		noted.publish(rec)
	}
	now.keepChunks(rec)
	w.s.removeGeneration(&w.object, now)
	w.s.removeElsewhere(ctx, now)
	if rec.flags&flagVersioned == 0 {
		w.removeNulls(ctx, rec)
	}
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
		if err := w.renameTo(path, rec.place); err == nil {
			w.named()
			return path, nil
		} else if rec.place != PlacePlain || !fsys.IsNameProblem(err) {
			w.afterFailedRename(now, rec)
			return "", err
		}
		// Another name took the place since we looked: p and p/q.
		rec.place, rec.name = PlaceEscaped, w.Name
		rec.stamp = w.s.stamp(rec.stamp)
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
	return w.s.publish(&w.object, w.work, path)
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
	if now.found && now.rec.stamp == rec.stamp {
		w.named()
		old.keepChunks(rec)
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
	}
	s.removeSidecars(o, now)
}

func (s *Store) removeSidecars(o *object, now *existing) {
	if now.found && now.rec.sidecar && !now.kept {
		s.unlinkGarbage(o, sidecarPath(o.mp, o, now.rec.stamp))
	}
	if now.olderRec.sidecar {
		s.unlinkGarbage(o, sidecarPath(o.mp, o, now.olderRec.stamp))
	}
	for i, rec := range [...]*record{&now.rec, &now.olderRec} {
		if rec.kind == KindChunked && rec.chunks.upload != now.keep && (i > 0 || !now.kept) {
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

// committed tells everybody who keeps something about the name.
func (s *Store) committed(o *object, attrs *Attrs) {
	if c := s.options.Ports.Copies; c != nil {
		c.Committed(o.Key, *attrs)
	}
	if c := s.options.Ports.Slices; c != nil {
		c.Committed(o.Key, *attrs)
	}
}

// attrs is what callers see of a record.
func (r *record) attrs(mp *fsys.Mountpath) Attrs {
	return Attrs{
		Size: r.size, Checksum: r.checksum, Version: r.version, Atime: r.atime, Mtime: r.mtime, Custom: r.custom,
		Versioned: r.flags&flagVersioned != 0, Stamp: r.stamp, BID: r.bid, Place: r.place, Mountpath: mp, Copies: 1 + len(r.copies),
		Chunks: int(r.chunks.count), LargestChunk: r.chunks.largest,
	}
}

func isNotExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }
