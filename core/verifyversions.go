package core

import (
	"context"
	"errors"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/naming"
)

// version verifies a file of a noncurrent version. A damaged one goes to quarantine, and
// is made again from another one of the version; one in chunks that cannot be mended
// stays in place, as an object does.
func (v *verification) version(b *Belonging) error {
	o, err := v.s.resolve(v.key)
	if err != nil {
		return err
	}
	at := o.on(b.Mountpath)
	c, err := v.openFile(&at, b.Path, b.Mountpath == o.mp)
	if err != nil {
		return err
	}
	if c.damage == nil && b.Damage != nil {
		c.damage, c.path = badRecord(&at, b.Damage), b.Path
	}
	if c.damage == nil {
		return nil
	}
	id := b.Stamp.fileSuffix()
	if c.rec.kind != 0 {
		id = c.rec.versionID()
	}
	action := FindingReported
	switch {
	case !v.opts.Repair:
	case c.rec.kind == KindChunked: // ranges of it may be whole
		if action, err = v.s.repairVersion(v.ctx, v.key, id); err != nil {
			return err
		}
		if action == FindingRepaired {
			// What was read and found whole may have been another file of the version.
			again, err := v.openFile(&at, b.Path, b.Mountpath == o.mp)
			if err != nil && !apierr.IsNotFound(err) {
				return err
			}
			if again.damage != nil {
				if err := v.replaceVersion(&at, b, c.damage); err != nil {
					return err
				}
				action = FindingQuarantined
			}
		}
	default:
		if err := v.replaceVersion(&at, b, c.damage); err != nil {
			return err
		}
		action = FindingQuarantined
	}
	v.found(BelongsVersion, b.Path, id, c.damage, action)
	return nil
}

// replaceVersion sets a damaged file of a version aside, and has it made again from
// another one.
func (v *verification) replaceVersion(at *object, b *Belonging, finding error) error {
	if err := v.s.setVersionAside(v.ctx, at, b, finding); err != nil {
		return err
	}
	if !v.key.Props.Mirror.Enabled {
		return nil
	}
	return v.s.Owe(v.ctx, WorkCopies, v.key)
}

// repairVersion opens a damaged version in chunks as a read with validation does, which
// mends it from the copies of its chunks if it has some.
func (s *Store) repairVersion(ctx context.Context, key Key, id string) (FindingAction, error) {
	if !key.Props.Mirror.Enabled {
		return FindingLeft, nil
	}
	props := *key.Props
	props.Checksum.ValidateWarmGet = true
	key.Props = &props
	reader, err := s.OpenVersion(ctx, key, id)
	switch {
	case err == nil:
		return FindingRepaired, reader.Close()
	case isDamage(err), apierr.IsNotFound(err):
		return FindingLeft, nil
	}
	return "", err
}

// setVersionAside moves a damaged noncurrent version to quarantine, if it is
// still there.
func (s *Store) setVersionAside(ctx context.Context, at *object, b *Belonging, finding error) error {
	if err := s.lockThere(ctx, at); err != nil {
		if errors.Is(err, errLeft) {
			return nil
		}
		return err
	}
	defer s.unlock(at, true)
	if _, err := s.system.Stat(b.Path); err != nil {
		if isNotExist(err) {
			return nil
		}
		return at.mp.IOError("stat "+b.Path, err)
	}
	_, err := s.quarantine(at, b.Path, finding)
	return err
}

// versionsName verifies the file that says whose the versions are; it can be
// made again by who knows the name.
func (v *verification) versionsName(all []Belonging) error {
	checked := map[string]bool{}
	for i := range all {
		b := &all[i]
		if b.Kind != BelongsVersion {
			continue
		}
		o, err := v.s.resolve(v.key)
		if err != nil {
			return err
		}
		at := o.on(b.Mountpath)
		path := at.versionsDir() + "/" + versionsNameFile
		if checked[path] {
			continue
		}
		checked[path] = true
		name, err := v.s.readVersionsName(at.mp, path)
		if err == nil && name == v.key.Name {
			continue
		}
		if err == nil {
			err = damaged("it names %q", naming.Native(name))
		}
		if !isNotExist(err) && !errors.Is(err, errRecordDamaged) {
			return at.mp.IOError("read "+path, err)
		}
		action := FindingReported
		if v.opts.Repair {
			if err := v.s.renameVersions(v.ctx, &at, path); err != nil {
				return err
			}
			action = FindingRepaired
		}
		v.found(BelongsVersionName, path, "", err, action)
	}
	return nil
}

// renameVersions writes the file again that says whose versions these are.
func (s *Store) renameVersions(ctx context.Context, at *object, path string) error {
	if err := s.lockThere(ctx, at); err != nil {
		if errors.Is(err, errLeft) {
			return nil
		}
		return err
	}
	defer s.unlock(at, true)
	if err := at.enter(); err != nil {
		return err
	}
	defer at.bucket.gate.RUnlock()
	if err := s.system.Unlink(path); err != nil && !isNotExist(err) {
		return at.mp.IOError("remove "+path, err)
	}
	return s.nameVersions(ctx, at, at.versionsDir(), at.Props.SyncWrites())
}
