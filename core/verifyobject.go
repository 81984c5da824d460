package core

import (
	"context"
	"errors"

	"github.com/aistore-go/aistore/cmn/apierr"
)

// current verifies the object itself, and has it repaired as a read with
// validation does.
func (v *verification) current() error {
	o, err := v.s.resolve(v.key)
	if err != nil {
		return err
	}
	c, err := v.s.openOnce(v.ctx, &o, true)
	if err != nil {
		return err
	}
	if c.damage == nil && (c.file == nil || c.rec.kind.IsDeleted()) {
		return c.close(v.s)
	}
	v.report.Objects++
	at := o.on(c.mp)
	err = v.inspect(&at, &c)
	if err == nil && c.damage == nil && c.content != nil {
		err = v.copiedChunks(&at, &c)
	}
	path := c.path
	if err = errors.Join(err, c.close(v.s)); err != nil || c.damage == nil {
		return err
	}
	action := FindingReported
	if v.opts.Repair {
		if action, err = v.s.repair(v.ctx, v.key); err != nil {
			return err
		}
	}
	v.found(BelongsObject, path, "", c.damage, action)
	return nil
}

// whole tells that nothing is known to be wrong with an open file.
func (c *candidate) whole() bool { return c.file != nil && c.damage == nil }

// inspect looks at an open file and all that is below its record, and sets the
// damage of the candidate.
func (v *verification) inspect(at *object, c *candidate) (err error) {
	if !c.whole() {
		return nil
	}
	content := !v.opts.SkipContent
	switch {
	case c.held:
		if c.damage, err = v.s.openContent(v.ctx, at, c, content); c.damage != nil || err != nil {
			break
		}
		v.report.Chunks += int64(len(c.content.manifest.chunks))
		if err = c.content.check(v.ctx, 0, c.rec.size); isDamage(err) {
			c.damage, err = err, nil
		}
	case content && c.rec.kind == KindObject:
		c.damage, err = v.s.verifyContent(v.ctx, at, c)
	}
	if content {
		v.report.Bytes += c.rec.size
	}
	return err
}

// repair opens a damaged object as a read with validation does, which restores
// it or moves it to quarantine.
func (s *Store) repair(ctx context.Context, key Key) (FindingAction, error) {
	props := *key.Props
	props.Checksum.ValidateWarmGet = true
	key.Props = &props
	reader, err := s.Open(ctx, key)
	if err == nil {
		return FindingRepaired, reader.Close()
	}
	if !isDamage(err) && !apierr.IsNotFound(err) {
		return "", err
	}
	_, kind, err := s.Look(ctx, key)
	switch {
	case err == nil && kind == 0:
		return FindingQuarantined, nil
	case err != nil && !isDamage(err):
		return "", err
	}
	return FindingLeft, nil
}

// copied verifies a copy on another mountpath. A damaged one goes to quarantine:
// the object itself is elsewhere.
func (v *verification) copied(b *Belonging) error {
	v.report.Copies++
	o, err := v.s.resolve(v.key)
	if err != nil {
		return err
	}
	at := o.on(b.Mountpath)
	c, err := v.openFile(&at, b.Path, false)
	if err != nil || c.damage == nil {
		return err
	}
	action := FindingReported
	if v.opts.Repair {
		if err := v.s.takeAside(v.ctx, &at, &c); err != nil {
			return err
		}
		action = FindingQuarantined
	}
	v.found(BelongsCopy, b.Path, "", c.damage, action)
	return nil
}

// copiedChunks verifies the copies of chunks of an object that is whole. A damaged
// one goes to quarantine, and is made again.
func (v *verification) copiedChunks(at *object, c *candidate) error {
	all, err := v.s.spoiltChunks(v.ctx, at, &c.rec, c.content.manifest, !v.opts.SkipContent)
	if err != nil {
		return err
	}
	for i := range all {
		x := &all[i]
		if x.first {
			continue // see copied
		}
		action := FindingReported
		if v.opts.Repair {
			if err := v.s.setChunkAside(v.ctx, at, &c.rec, x); err != nil {
				return err
			}
			action = FindingQuarantined
		}
		v.found(BelongsChunk, x.path, "", x.why, action)
	}
	return nil
}

// openFile opens and verifies one file of the name, with the copies of its chunks if
// asked for, and closes it again.
func (v *verification) openFile(at *object, path string, copies bool) (c candidate, err error) {
	if err := v.s.lockShared(v.ctx, at); err != nil {
		if errors.Is(err, errLeft) {
			err = nil
		}
		return c, err
	}
	buf := v.s.memory.Get(recordBuffer)
	c.mp = at.mp
	err = v.s.openAt(at, path, buf.Bytes(), &c)
	v.s.holdChunks(&c, err)
	buf.Free()
	v.s.unlock(at, false)
	if err == nil {
		err = v.inspect(at, &c)
	}
	if err == nil && c.damage == nil && c.content != nil && copies {
		err = v.copiedChunks(at, &c)
	}
	return c, errors.Join(err, c.close(v.s))
}

// lockShared is lockThere for a reader.
func (s *Store) lockShared(ctx context.Context, at *object) error {
	if err := s.locks.lock(ctx, at.digest, false); err != nil {
		return err
	}
	if err := s.acquire(ctx, at.mp); err != nil {
		s.locks.unlock(at.digest, false)
		return err
	}
	return nil
}
