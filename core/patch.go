package core

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/cmn/apierr"
	fsys "github.com/aistore-go/aistore/fs"
)

// XattrNext is the extended attribute in which a record is written before it
// replaces the one in XattrRecord.
const XattrNext = "user.ais.lom.next"

// SetCustom changes the custom metadata of an object: keys are added to those
// that it has, or, with replace, take their place. Content, checksum, version,
// version id and times stay; the stamp grows, unless it is the version's id. It is as durable as a write of the bucket,
// and whoever reads meanwhile, or after a crash, finds the old set or the new
// one. It needs no room for data.
//
// Errors: 400 bad name or metadata (see ValidateCustom); 404 no such bucket or
// object; 500 the object is damaged, I/O; 503 the mountpath is busy, another
// target that may hold the name does not answer.
func (s *Store) SetCustom(ctx context.Context, key Key, custom []KV, replace bool) (Attrs, error) {
	if err := ValidateCustom(custom); err != nil {
		return Attrs{}, err
	}
	o, err := s.resolve(key)
	if err != nil {
		return Attrs{}, err
	}
	if err := o.CheckWritable(); err != nil {
		return Attrs{}, err
	}
	if err := o.canBeRedundant(); err != nil {
		return Attrs{}, err
	}
	c, err := s.openWhole(ctx, &o, false, false) // a damaged one is restored, or moved aside
	if err != nil {
		return Attrs{}, err
	}
	if err := c.file.Close(); err != nil {
		return Attrs{}, o.mp.IOError("PATCH "+o.Cname(), err)
	}
	attrs, earlier, err := s.setCustom(ctx, &o, custom, replace)
	if err == nil && earlier.Told {
		_, err = s.tell(ctx, &o, attrs.Stamp, earlier.epoch)
	}
	if err == nil && s.sliced(&o) {
		err = s.options.Ports.Slices.Amended(context.WithoutCancel(ctx), key, earlier.amends, attrs)
	}
	if err == nil {
		err = s.makeRedundant(context.WithoutCancel(ctx), &o)
	}
	if err != nil {
		return Attrs{}, err
	}
	return attrs, nil
}

// setCustom is SetCustom of an object that was found whole, but for telling
// earlier owners of its name, if they are to be told.
func (s *Store) setCustom(ctx context.Context, o *object, custom []KV, replace bool) (attrs Attrs, earlier earlierState, err error) {
	if err := s.lock(ctx, o, true); err != nil {
		return attrs, earlier, err
	}
	defer s.unlock(o, true)
	now, err := s.current(o)
	if err != nil {
		return attrs, earlier, err
	}
	newest := now.newest()
	if newest == nil || newest.kind.IsDeleted() {
		return attrs, earlier, s.notFound(o.Key)
	}
	p := patch{s: s, object: *o, path: now.path, old: *newest, sync: o.Props.SyncWrites()}
	for i := range now.others {
		if other := &now.others[i]; newest == &other.rec {
			if err := s.acquire(ctx, other.at.mp); err != nil {
				return attrs, earlier, apierr.Unavailable(retryPatch, "%s: its mountpath goes out of use", o.Cname())
			}
			defer other.at.mp.Release()
			p.object, p.path = other.at, other.path
		}
	}
	kept := p.old.custom
	if replace {
		kept = nil
	}
	p.rec = p.old
	if p.rec.custom, err = mergeCustom(kept, custom); err != nil {
		return attrs, earlier, err
	}
	ticket, err := s.begin(&p.object)
	if err != nil {
		return attrs, earlier, err
	}
	earlier = s.owing(o.digest, p.old.written())
	earlier.amends = p.old.written()
	attrs, err = p.run(context.WithoutCancel(ctx), ticket)
	if err != nil {
		return attrs, earlier, p.mp.IOError("PATCH "+o.Cname(), err)
	}
	s.removeStale(context.WithoutCancel(ctx), o, &now, p.mp, p.sync)
	return attrs, earlier, nil
}

// retryPatch is when a client should come back whose object is on the move.
const retryPatch = time.Second

// patch is one record on its way into the place of another, in the attributes
// of a file that stays. It is run under the exclusive lock.
type patch struct {
	s *Store
	object
	path     string
	old, rec record
	sync     bool
	keep     bool // the stamp stays: no more changes than where copies lie

	file    fsys.File
	sidecar string // path of the new record's body, "" if it needs none
}

// run makes the change, under a ticket of the guard, which it gives back.
func (p *patch) run(ctx context.Context, ticket Ticket) (attrs Attrs, err error) {
	err = p.write(ctx)
	if over := p.s.end(ticket); err == nil {
		err = over
	}
	if err != nil {
		return Attrs{}, err
	}
	attrs = p.rec.attrs(p.mp)
	p.s.committed(&p.object, &attrs)
	return attrs, nil
}

func (p *patch) write(ctx context.Context) (err error) {
	if err := p.enter(); err != nil {
		return err
	}
	defer p.bucket.gate.RUnlock()
	// A second name that a crash left would be that of another record.
	if err := p.s.dropSecondName(ctx, &p.object, &p.object, p.old.stamp, p.sync); err != nil {
		return err
	}
	if next := p.s.stamp(p.old.written()); p.keep {
		// as it is
	} else if p.old.flags&flagVersioned != 0 {
		p.rec.revision = next // the stamp is the version's id
	} else {
		p.rec.stamp = next
	}
	p.s.meta.drop(p.digest) // and not what is known of accesses
	p.s.locks.tell(p.digest, 0)
	if p.file, err = p.s.openFile(p.path); err != nil {
		return err
	}
	defer func() {
		if closeErr := p.file.Close(); err == nil {
			err = closeErr
		}
	}()
	noted := p.s.announce(&p.object, p.sync)
	defer noted.settle()
	err = p.switchOver(ctx, false, &noted)
	if errors.Is(err, errNoRoom) && !p.rec.sidecar && !p.done() {
		err = p.switchOver(ctx, true, &noted)
	}
	p.finish(err)
	if err == nil {
		noted.publish(&p.rec)
	}
	return err
}

// switchOver writes the record to the second attribute, flushes, writes it to
// the first, and flushes: at every moment one of the two is whole, and once
// the first has been begun the second is the new one.
func (p *patch) switchOver(ctx context.Context, apart bool, noted *noted) error {
	buf := p.s.memory.Get(recordBuffer)
	defer buf.Free()
	flush := fsys.FlushRequest{Files: []fsys.File{p.file}, Journal: noted.journal()}
	frame, body, err := p.frame(buf.Bytes()[:0], apart)
	if err != nil {
		return err
	}
	if body != nil {
		defer func() { _ = body.Close() }() // flushed below, if it has to be
		flush.Files = append(flush.Files, body)
		flush.Dirs = []string{filepath.Dir(p.sidecar)}
	}
	if err := p.setXattr(XattrNext, frame); err != nil {
		return err
	}
	if p.sync {
		if err := p.mp.Filesystem().Flush(ctx, flush); err != nil {
			return err
		}
		noted.trust()
	}
	if err := p.setXattr(XattrRecord, frame); err != nil {
		return err
	}
	if !p.sync {
		return nil
	}
	// The name of the file may be that of a write whose flush goes on.
	return p.mp.Filesystem().Flush(ctx, fsys.FlushRequest{Files: []fsys.File{p.file}, Dirs: []string{filepath.Dir(p.path)}})
}

// errNoRoom: a record that would fit alone does not fit beside the other one.
var errNoRoom = errors.New("no room for a second record")

func (p *patch) setXattr(name string, frame []byte) error {
	err := p.file.SetXattr(name, frame)
	if err != nil && doesNotFit(err) && len(frame) > smallRecord {
		return fmt.Errorf("%w: %w", errNoRoom, err)
	}
	return err
}

// frame encodes the record for the attribute. A large one, and any if apart is
// true, has its body in a sidecar, which gets its name here.
func (p *patch) frame(dst []byte, apart bool) (frame []byte, body fsys.File, err error) {
	p.rec.sidecar, p.rec.name = false, ""
	if p.rec.place == PlaceEscaped {
		p.rec.name = p.Name
	}
	if frame, ok := p.rec.appendInline(dst); ok && !apart {
		return frame, nil, nil
	}
	p.rec.sidecar, p.rec.name = true, p.Name
	work, body, ref, err := p.s.writeSidecar(&p.object, &p.rec)
	if err != nil {
		return nil, nil, err
	}
	path := sidecarPath(p.mp, &p.object, p.rec.written())
	if err := p.s.renameInto(p.mp, work, path); err != nil {
		_ = body.Close() // of a file that is given up
		p.s.unlinkGarbage(&p.object, work)
		p.s.unlinkGarbage(&p.object, path) // in case it took place all the same
		return nil, nil, err
	}
	p.sidecar = path
	return ref.append(dst), body, nil
}

// done tells whether the first attribute has the new record.
func (p *patch) done() bool {
	buf := p.s.memory.Get(recordBuffer)
	defer buf.Free()
	var rec record
	n, err := p.file.GetXattr(XattrRecord, buf.Bytes())
	return err == nil && p.s.decodeRecord(p.mp, &p.object, buf.Bytes()[:n], &rec) == nil && rec.written() == p.rec.written()
}

// finish removes what is not needed any more. After a failure that leaves the
// outcome open, everything that either record needs stays.
func (p *patch) finish(err error) {
	switch {
	case err == nil:
		p.removeNext()
		if p.old.sidecar {
			p.s.unlinkGarbage(&p.object, sidecarPath(p.mp, &p.object, p.old.written()))
		}
	case !p.done():
		p.removeNext()
		if p.sidecar != "" {
			p.s.unlinkGarbage(&p.object, p.sidecar)
		}
	default:
		p.s.log.Warn("the change of custom metadata was not acknowledged, and is visible", "object", p.Cname(), "err", err)
	}
}

func (p *patch) removeNext() {
	if err := p.s.system.RemoveXattr(p.path, XattrNext); err != nil && !errors.Is(err, unix.ENODATA) && !isNotExist(err) {
		p.s.log.Warn("the second record stays until the next change", "object", p.Cname(), "path", p.path, "err", err)
	}
}

// nextOf reads the second attribute of a file whose first one is damaged: a
// loss of power in the middle of a change leaves the new record there.
func (s *Store) nextOf(mp *fsys.Mountpath, o *object, get func(name string, dst []byte) (int, error), rec *record) bool {
	buf := s.memory.Get(recordBuffer)
	defer buf.Free()
	n, err := get(XattrNext, buf.Bytes())
	return err == nil && s.decodeRecord(mp, o, buf.Bytes()[:n], rec) == nil
}
