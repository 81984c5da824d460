package core

import (
	"context"
	"encoding/binary"
	"errors"
	"hash"
	"io"

	"github.com/cespare/xxhash/v2"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	fsys "github.com/aistore-go/aistore/fs"
)

// Arrival tells what became of a generation that another target has sent. With
// each of them it may be removed there.
type Arrival uint8

// Arrivals.
const (
	ArrivalStored Arrival = iota + 1 // it is here now, on stable storage
	ArrivalKnown                     // it was here before, whole
	ArrivalOlder                     // what is here has replaced it
)

var arrivalNames = [...]string{"", "stored", "known", "older"}

func (a Arrival) String() string {
	if int(a) >= len(arrivalNames) {
		return "unknown"
	}
	return arrivalNames[a]
}

// errArrived ends the storing of a generation that need not be stored.
var errArrived = errors.New("the generation is here, or something newer is")

// arriving is a generation on its way to its place.
type arriving struct {
	*moveHead
	known  Arrival // with errArrived
	broken Stamp   // of one that is here and not whole: it is replaced
}

// Arrive stores a generation that another target sends, as a Departure
// describes it: with its stamp, whatever is here. It becomes the current one if
// nothing newer is here, a noncurrent version if it has a version id or what
// follows it has one, and nothing at all if it has been replaced. The content is
// compared with its length and checksum, and on stable storage when Arrive
// returns, whatever the bucket's durability. A name is never without its newest
// generation. The same again does nothing.
//
// body need not have been read to its end when Arrive returns.
//
// Errors: 400 a description that cannot be read; 404 no such bucket, or another
// incarnation of it; 500 BAD DATA CHECKSUM, a body that breaks off, I/O; 503
// this target may not write the name (see ErrNotOwner), a mountpath is busy; 507
// out of space.
func (s *Store) Arrive(ctx context.Context, key Key, head []byte, body io.Reader) (Arrival, error) {
	m, err := decodeMoveHead(head)
	if err != nil {
		return 0, apierr.Wrap(err, apierr.StatusBadRequest, "", "%s: the description of a generation cannot be read", key.Cname())
	}
	o, err := s.resolve(key.durably())
	if err != nil {
		return 0, err
	}
	switch err := o.CheckWritable(); {
	case err != nil:
		return 0, err
	case m.rec.bid != o.Props.BID:
		return 0, apierr.BucketNotFound(o.Bck)
	}
	if m.content() {
		if err := o.room(m.rec.size); err != nil {
			return 0, err
		}
	}
	w := &write{s: s, object: o, sync: true, unsummed: true, tag: "move", moved: &arriving{moveHead: m}}
	w.opts = PutOptions{Size: m.rec.size, Checksum: m.rec.checksum, Keep: KeepNull}
	if m.rec.flags&flagVersioned != 0 {
		w.opts.Keep = KeepVersion
	}
	defer w.discard()
	arrival, err := w.arrive(ctx, body)
	if err != nil {
		return 0, w.fail(err)
	}
	return arrival, nil
}

func (w *write) arrive(ctx context.Context, body io.Reader) (Arrival, error) {
	m := w.moved
	err := w.expect(ctx)
	if err == nil && m.content() {
		err = w.receiveMoved(ctx, body)
	}
	if err == nil {
		err = w.commitMoved(ctx)
	}
	switch {
	case err == nil:
		return ArrivalStored, nil
	case !errors.Is(err, errArrived):
		return 0, err
	case m.known == ArrivalKnown:
		// Whoever stored it need not have waited for the disk.
		return m.known, w.s.secure(context.WithoutCancel(ctx), &w.object)
	}
	return m.known, nil
}

// expect looks whether the generation has to be sent at all. One that is here
// and not whole is received again.
func (w *write) expect(ctx context.Context) error {
	ticket, err := w.s.begin(&w.object)
	if err == nil {
		err = w.s.end(ticket) // who may not write it should not receive it
	}
	if err != nil {
		return err
	}
	c, err := w.s.openOnce(ctx, &w.object, true)
	if err != nil {
		return err
	}
	if c.file != nil && c.rec.stamp == w.moved.rec.stamp {
		whole := c.damage == nil
		if whole && c.held {
			found, err := w.s.openContent(ctx, &w.object, &c, false)
			if err != nil {
				return errors.Join(err, c.close(w.s))
			}
			whole = found == nil && c.content.check(ctx, 0, c.rec.size) == nil
		}
		if !whole {
			w.moved.broken = c.rec.stamp
		}
	}
	if err := c.close(w.s); err != nil {
		return err
	}
	if err := w.s.lock(ctx, &w.object, false); err != nil {
		return err
	}
	defer w.s.unlock(&w.object, false)
	now, err := w.s.current(&w.object)
	if err != nil {
		return err
	}
	_, err = w.placeMoved(&now)
	return err
}

// placeMoved decides where the generation belongs beside what the name holds:
// in the place of the current one, or among the noncurrent versions. errArrived:
// nowhere. The name lock must be held.
func (w *write) placeMoved(now *existing) (current bool, err error) {
	m := w.moved
	newest := now.newest()
	same := func(rec *record) error {
		if rec.written().Compare(m.rec.written()) < 0 || rec.stamp == m.broken {
			return nil
		}
		m.known = ArrivalKnown
		return errArrived
	}
	m.known = ArrivalOlder
	if w.s.wasRemoved(&w.object, m.rec.stamp) {
		return false, errArrived
	}
	if newest != nil && newest.stamp == m.rec.stamp {
		return true, same(newest)
	}
	former, err := w.s.noncurrentOf(&w.object, nil)
	if err != nil {
		return false, err
	}
	null := m.rec.flags&flagVersioned == 0
	for i := range former {
		rec := &former[i].rec
		switch {
		case former[i].damage != nil:
		case rec.stamp == m.rec.stamp:
			if m.former || newest != nil {
				return false, same(rec)
			}
		case null && rec.flags&flagVersioned == 0 && rec.stamp.Compare(m.rec.stamp) > 0:
			return false, errArrived // there is one null version, the newest
		}
	}
	newer := newest != nil && newest.stamp.Compare(m.rec.stamp) > 0
	if newer && null && newest.flags&flagVersioned == 0 {
		return false, errArrived
	}
	switch {
	case !m.former && !newer:
		return true, nil
	case m.rec.kind == KindTombstone:
		return false, errArrived
	}
	return false, nil
}

// receiveMoved reads the content, in the chunks that it had.
func (w *write) receiveMoved(ctx context.Context, body io.Reader) error {
	m := w.moved
	content := io.Reader(&io.LimitedReader{R: body, N: m.rec.size})
	if m.trailer {
		content = &trailed{from: content, tail: body, hash: xxhash.New(), of: &w.object}
	}
	if m.rec.kind != KindChunked {
		return w.receive(ctx, content)
	}
	w.startChunks().sizes = m.chunks
	return w.stream(ctx, content, nil)
}

// trailed is a content that is compared with the checksum behind it.
type trailed struct {
	from, tail io.Reader
	hash       hash.Hash64
	of         *object
	over       error
}

// Read implements io.Reader.
func (t *trailed) Read(p []byte) (int, error) {
	if t.over != nil {
		return 0, t.over
	}
	n, err := t.from.Read(p)
	_, _ = t.hash.Write(p[:n]) // hashes never fail
	if errors.Is(err, io.EOF) {
		var sum [moveTrailer]byte
		if _, err = io.ReadFull(t.tail, sum[:]); err == nil {
			err = io.EOF
		} else if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if sent, got := binary.LittleEndian.Uint64(sum[:]), t.hash.Sum64(); errors.Is(err, io.EOF) && sent != got {
			err = apierr.New(apierr.StatusInternalServerError, wire.CodeBadChecksum,
				"BAD DATA CHECKSUM: %s: XXH64 %s of what was sent, %s of what has come", t.of.Cname(), hex64(sent), hex64(got))
		}
	}
	if err != nil {
		t.over = err
	}
	return n, err
}

// commitMoved gives the generation its place.
func (w *write) commitMoved(ctx context.Context) error {
	flushing := context.WithoutCancel(ctx)
	for {
		before, rec, prepared, err := w.lockPrepared(ctx, flushing)
		if err != nil {
			return err
		}
		w.ownLock, w.turn = true, 0
		again, err := w.commitMovedLocked(flushing, &before, &rec, prepared)
		w.unlock()
		if !again || err != nil {
			return err
		}
	}
}

// commitMovedLocked is commitMoved under the exclusive lock; again: the record
// has to be made once more.
func (w *write) commitMovedLocked(ctx context.Context, before *existing, rec *record, prepared bool) (again bool, err error) {
	now, err := w.s.current(&w.object)
	if err != nil {
		return false, err
	}
	current, err := w.placeMoved(&now)
	if err != nil {
		return false, err
	}
	if !prepared || !now.sameAs(before) {
		if *rec, err = w.nextRecord(&now); err != nil {
			return false, err
		}
		if err := w.fileOf(ctx, rec, true); err != nil {
			return false, err
		}
	}
	if err := w.close(); err != nil {
		return false, err
	}
	ticket, err := w.s.begin(&w.object)
	if err != nil {
		return false, err
	}
	if current {
		if now.found && now.rec.written() == rec.written() {
			now.rec.sidecar = false // of one name with the new one
		}
		err = w.place(ctx, &now, rec)
	} else {
		err = w.placeVersion(ctx, rec)
	}
	if over := w.s.end(ticket); err == nil {
		err = over
	}
	if err != nil {
		return false, err
	}
	w.s.forget(&w.object)
	if current && w.latest && !rec.kind.IsDeleted() {
		attrs := rec.attrs(w.mp)
		w.s.committed(&w.object, &attrs)
	}
	return false, nil
}

// movedRecord is the record of a generation that has moved, over what the name
// holds now.
func (w *write) movedRecord(now *existing) record {
	rec := w.moved.rec
	rec.chunks, rec.sidecar = w.chunkRef(), false
	w.settlePlace(&rec, now)
	return rec
}

// placeVersion makes the work file a noncurrent version, durably. It is called
// under the exclusive lock.
func (w *write) placeVersion(ctx context.Context, rec *record) error {
	noted, err := w.noteVersion(ctx)
	if err != nil {
		return err
	}
	defer noted.settle()
	dir := w.versionsDir()
	if err := w.enter(); err != nil {
		return err
	}
	err = w.nameVersion(ctx, dir, rec.stamp)
	w.bucket.gate.RUnlock()
	if err != nil {
		return err
	}
	w.s.forget(&w.object)
	if err := w.mp.Filesystem().Flush(ctx, fsys.FlushRequest{Dirs: []string{dir}}); err != nil {
		return err
	}
	noted.setVersion(rec)
	noted.keep()
	if w.Props.Mirror.Enabled {
		w.s.oweCopies(&w.object, rec.stamp)
	}
	if rec.flags&flagVersioned == 0 {
		w.removeNulls(ctx, rec)
	}
	return nil
}

// noteVersion notes that a noncurrent version comes, unless the frame that was flushed
// with the data still says so.
func (w *write) noteVersion(ctx context.Context) (*noted, error) {
	if !w.noted.holds(&w.object) {
		w.noted.cancel()
		var err error
		if w.noted, err = w.s.note(ctx, &w.object, true); err != nil {
			return nil, err
		}
	}
	w.noted.versions = true
	return &w.noted, nil
}

// nameVersion gives the work file the name of a version. The bucket's gate is held.
func (w *write) nameVersion(ctx context.Context, dir string, stamp Stamp) error {
	if err := w.s.nameVersions(ctx, &w.object, dir, true); err != nil {
		return err
	}
	w.dirs.versions.Store(holdsSome)
	if err := w.s.renameInto(w.mp, w.work, w.versionPath(stamp)); err != nil {
		return err
	}
	w.named()
	return nil
}

// Have tells whether this target, as the owner of a name, has a generation that
// another one describes, or something newer: 0 is no, and the others are those
// of Arrive. With ArrivalKnown its content was read and compared with its
// checksum, and all that the name holds is on stable storage. Errors are those of
// Arrive.
func (s *Store) Have(ctx context.Context, key Key, head []byte) (Arrival, error) {
	m, err := decodeMoveHead(head)
	if err != nil {
		return 0, apierr.Wrap(err, apierr.StatusBadRequest, "", "%s: the description of a generation cannot be read", key.Cname())
	}
	o, err := s.resolve(key.durably())
	if err != nil {
		return 0, err
	}
	if m.rec.bid != o.Props.BID {
		return 0, apierr.BucketNotFound(o.Bck)
	}
	w := &write{s: s, object: o, moved: &arriving{moveHead: m}}
	err = w.expect(ctx)
	switch {
	case err == nil:
		return 0, nil
	case !errors.Is(err, errArrived):
		return 0, err
	case m.content() && !m.former && w.moved.known == ArrivalKnown:
		if err := s.CheckContent(ctx, key); err != nil {
			return 0, err
		}
	}
	return w.moved.known, s.secure(ctx, &o)
}
