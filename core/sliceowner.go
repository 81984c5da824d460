package core

import (
	"context"
	"encoding/binary"
	"errors"
	"io"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/core/meta"
)

// What the owner of an object has to do with its slices: the steps of reads,
// writes and deletes that wait for other targets, and the note that all of a
// generation was made.

// sliced tells that other targets may hold slices or replicas of an object.
func (s *Store) sliced(o *object) bool {
	return s.options.Ports.Slices != nil && o.Props.Sliced()
}

// restoreLost has an object rebuilt of which nothing is here, in the first of
// two attempts. Its error is that of a read that finds nothing.
func (s *Store) restoreLost(ctx context.Context, o *object, attempt int) error {
	if attempt > 0 || !s.sliced(o) {
		return s.notFound(o.Key)
	}
	err := s.options.Ports.Slices.Restore(ctx, o.Key)
	if apierr.IsNotFound(err) {
		return s.notFound(o.Key)
	}
	return err
}

// protect tells the holders of slices of a write before it is acknowledged, and
// with durability "redundant" waits for those of the new generation, unless they are kept
// already.
func (w *write) protect(ctx context.Context, attrs *Attrs, kept bool) error {
	if w.handed || !w.s.sliced(&w.object) {
		return nil
	}
	port := w.s.options.Ports.Slices
	ctx = context.WithoutCancel(ctx)
	if !w.amends.IsZero() {
		return port.Amended(ctx, w.Key, w.amends, *attrs)
	}
	deleted := w.tombstone || w.marker
	_, newer, err := port.Replaced(ctx, w.Key, attrs.LastChange(), deleted, w.replaces)
	if err == nil && newer.Compare(attrs.LastChange()) > 0 {
		err = w.s.overtaken(&w.object, newer)
	}
	if err != nil || deleted || kept || w.Props.Durability != meta.DurabilityRedundant {
		return err
	}
	return port.Protect(ctx, w.Key, *attrs)
}

// overtaken is the error of a change whose stamp is smaller than one that was
// committed before: the clock has gone back, or another target has owned the
// name meanwhile. The next try has a greater stamp.
func (s *Store) overtaken(o *object, newer Stamp) error {
	s.clock.next(s.options.Clock(), newer.Clock)
	return apierr.Unavailable(retryPatch, "%s: other targets hold a newer generation of it", o.Cname())
}

// deletionStamp is that of the marks that a delete leaves; zero: it deletes only
// what has a certain stamp, and that is not what is here.
func (s *Store) deletionStamp(o *object, only Stamp) Stamp {
	now, err := s.current(o)
	if err != nil {
		return Stamp{} // the delete meets it, too
	}
	newest := now.newest()
	switch {
	case newest == nil && only.IsZero():
		return s.stamp(Stamp{})
	case newest == nil, !only.IsZero() && newest.written() != only:
		return Stamp{}
	}
	return s.stamp(newest.written())
}

// deleteSlices has the holders delete what they have of a name. local is what
// came of the delete here: that nothing was there is no error if somebody else
// had something.
func (s *Store) deleteSlices(ctx context.Context, o *object, after Stamp, local error) error {
	missing := local != nil && apierr.IsNotFound(local)
	if local != nil && !missing {
		return local
	}
	had, newer, err := s.options.Ports.Slices.Replaced(context.WithoutCancel(ctx), o.Key, after, true, !missing)
	switch {
	case err != nil:
		return err
	case newer.Compare(after) > 0:
		return s.overtaken(o, newer)
	}
	// Somebody may have rebuilt it before the holders were told.
	if err := s.RemoveOlder(ctx, o.Key, after); err != nil {
		return err
	}
	if missing && !had {
		return local
	}
	return nil
}

// XattrProtection is the extended attribute of an object's file that tells for
// which generation other targets hold all that they should.
const XattrProtection = "user.ais.ec"

const protectionMagic = "AECN"

// Protection is what an owner has noted of an object.
type Protection struct {
	Stamp   Stamp    // the generation; zero: nothing was noted
	Data    int      // slices of data; 0: replicas
	Parity  int      // slices of parity, or replicas
	Holders []string // ids of the targets that hold them, in the order of the numbers
}

const (
	tagNoteStamp  = 2
	tagNoteData   = 4
	tagNoteParity = 6
	tagNoteHolder = 8 // repeated

	// protectionBuffer is larger than any note: a holder takes at most 40 bytes.
	protectionBuffer = 128 + 40*MaxSlices
)

// NoteProtection notes that a generation is protected. If the object is of
// another one by now nothing is noted, which is no error. The note is not flushed.
func (s *Store) NoteProtection(ctx context.Context, key Key, p Protection) error {
	return s.noteProtection(ctx, key, p.Stamp, appendFrame(nil, protectionMagic, func(dst []byte) []byte {
		dst = append(dst, tagNoteStamp, stampSize)
		dst = p.Stamp.append(dst)
		dst = appendNumber(dst, tagNoteData, uint64(p.Data))
		dst = appendNumber(dst, tagNoteParity, uint64(p.Parity))
		for i, id := range p.Holders {
			number := 0
			if p.Data > 0 {
				number = i + 1
			}
			dst = appendText(dst, tagNoteHolder, string(binary.AppendUvarint(nil, uint64(number)))+id)
		}
		return dst
	}))
}

// RevokeProtection takes the note of a generation back: some of what was noted is
// not there any more. If the object is of another generation by now, or is gone, nothing is done.
func (s *Store) RevokeProtection(ctx context.Context, key Key, stamp Stamp) error {
	return s.noteProtection(ctx, key, stamp, appendFrame(nil, protectionMagic, func(dst []byte) []byte { return dst }))
}

func (s *Store) noteProtection(ctx context.Context, key Key, stamp Stamp, frame []byte) error {
	o, err := s.lockName(ctx, key, false)
	if err != nil {
		return err
	}
	defer s.unlock(&o, false)
	now, err := s.current(&o)
	if err != nil || !now.found || now.rec.written() != stamp {
		return err
	}
	s.meta.drop(o.digest)
	if err := s.system.SetXattr(now.path, XattrProtection, frame); err != nil && !isNotExist(err) {
		return o.mp.IOError("note the protection of "+o.Cname(), err)
	}
	return nil
}

// Protection returns the attributes of an object that is here and what was noted
// of it; the note is empty if it was of another generation. Nothing is restored.
// Errors are those of Open.
func (s *Store) Protection(ctx context.Context, key Key) (attrs Attrs, p Protection, err error) {
	o, err := s.resolve(key)
	if err != nil {
		return attrs, p, err
	}
	c, err := s.openOnce(ctx, &o, false)
	switch {
	case err != nil:
		return attrs, p, err
	case c.damage != nil:
		_ = c.close(s) // was not read
		return attrs, p, c.damage
	case c.file == nil:
		return attrs, p, s.notFound(key)
	case c.rec.kind.IsDeleted():
		_ = c.close(s) // was not read
		return attrs, p, s.notFound(key)
	}
	attrs = c.attrs(s, &o)
	p = s.readProtection(&c)
	if p.Stamp != attrs.LastChange() {
		p = Protection{}
	}
	return attrs, p, c.close(s)
}

// Whole reads an object of which this target has a generation, and tells whether it is all there
// and has its checksum. Without a checksum nobody can tell: it is not. Nothing is repaired.
// Errors are those of Open.
func (s *Store) Whole(ctx context.Context, key Key, stamp Stamp) (bool, error) {
	o, err := s.resolve(key)
	if err != nil {
		return false, err
	}
	c := cleanup{s: s, ctx: ctx, set: o.set}
	verified, err := c.verifiedAt(&o)
	return err == nil && !verified.IsZero() && verified == stamp, err
}

// PlacementSettled tells that no target that is not in the cluster may come back with
// anything that it held.
func (s *Store) PlacementSettled() bool {
	peers := s.options.Ports.Peers
	if peers == nil {
		return true
	}
	_, settled := peers.Placement(0)
	return settled
}

// AllMountpathsInUse tells that this target can see all that it has: none of the mountpaths
// that it knows is out of use.
func (s *Store) AllMountpathsInUse() bool {
	for _, info := range s.options.FS.Mountpaths() {
		if !info.InUse() {
			return false
		}
	}
	return true
}

// readProtection reads the note; what cannot be read counts as none.
func (s *Store) readProtection(c *candidate) (p Protection) {
	var buf [protectionBuffer]byte
	n, err := c.file.GetXattr(XattrProtection, buf[:])
	if err != nil {
		if !errors.Is(err, unix.ENODATA) {
			s.log.Warn("the note of an object's protection cannot be read", "path", c.path, "err", err)
		}
		return p
	}
	body, err := openFrameOf(protectionMagic, buf[:n])
	if err != nil {
		return p
	}
	err = fields(body, func(tag uint64) bool { return tag == tagNoteHolder }, func(tag uint64, value string) bool {
		switch tag {
		case tagNoteHolder:
			_, n := uvarint(value)
			if n > 0 {
				p.Holders = append(p.Holders, value[n:])
			}
			return n > 0
		case tagNoteStamp:
			if len(value) != stampSize {
				return false
			}
			p.Stamp = decodeStamp([]byte(value))
			return true
		case tagNoteData, tagNoteParity:
			v, ok := number(value)
			if tag == tagNoteData {
				p.Data = int(min(v, MaxSlices))
			} else {
				p.Parity = int(min(v, MaxSlices))
			}
			return ok
		}
		return tag%2 == 1
	})
	if err != nil {
		return Protection{}
	}
	return p
}

// RestoreObject stores an object of which this target has lost what others have
// kept: stamp, version, times and custom metadata are those of the attributes, and
// the body must have their size and checksum. If something as new or newer is
// here nothing is changed, which is no error. It needs the permission of the
// guard: the owner alone restores. first, if set, is called when the body was received and nothing
// can be seen of it yet, with what opens it; its error is returned. Errors are those of Put.
func (s *Store) RestoreObject(ctx context.Context, key Key, attrs *Attrs, body io.Reader, first func(content func() (io.ReadCloser, error)) error) error {
	o, err := s.resolve(key)
	if err != nil {
		return err
	}
	if attrs.BID != key.Props.BID {
		return apierr.BucketNotFound(key.Bck)
	}
	if err := o.room(attrs.Size); err != nil {
		return err
	}
	w := &write{
		s: s, object: o, sync: key.Props.SyncWrites(), tag: "restore",
		opts: PutOptions{Size: attrs.Size, Checksum: attrs.Checksum, SkipVC: true},
	}
	defer w.discard()
	if err := w.receive(ctx, body); err != nil {
		return w.fail(err)
	}
	if first != nil {
		if err := first(w.content); err != nil {
			return err
		}
	}
	if err := w.restore(context.WithoutCancel(ctx), attrs); err != nil {
		return w.fail(err)
	}
	return nil
}

// restore commits what was received with the stamp of a generation that was
// committed before.
func (w *write) restore(ctx context.Context, attrs *Attrs) error {
	if err := w.s.lock(ctx, &w.object, true); err != nil {
		return err
	}
	w.ownLock = true
	defer w.unlock()
	now, err := w.s.current(&w.object)
	if err != nil {
		return err
	}
	if newest := now.newest(); newest != nil && newest.written().Compare(attrs.LastChange()) >= 0 {
		return nil
	}
	rec := record{
		kind: w.kind(), size: w.size, bid: attrs.BID, checksum: attrs.Checksum, mtime: attrs.Mtime, atime: attrs.Atime,
		stamp: attrs.Stamp, revision: attrs.Revision, version: attrs.Version, custom: attrs.Custom, chunks: w.chunkRef(),
	}
	if attrs.Versioned {
		rec.flags |= flagVersioned
	}
	w.settlePlace(&rec, &now)
	if err := w.fileOf(ctx, &rec, w.sync); err != nil {
		return err
	}
	if err := w.close(); err != nil {
		return err
	}
	ticket, err := w.s.begin(&w.object)
	if err != nil {
		return err
	}
	err = w.place(ctx, &now, &rec)
	if over := w.s.end(ticket); err == nil {
		err = over
	}
	w.s.forget(&w.object)
	return err
}
