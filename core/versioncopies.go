package core

import (
	"context"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
	fsys "github.com/aistore-go/aistore/fs"
)

// Copies of noncurrent versions lie in the directory of versions of their name on
// the mountpaths on which the copies of the object lie, each a file as the version
// itself. Which they are follows from the name and the bucket's properties alone: of
// several files of one stamp the one at the place of the name is the version, and if
// it is missing or damaged any other. docs/on_disk_layout.md, section 7.1, has the
// order of steps.

// versionsElsewhere tells that versions of a name, or copies of them, are to be
// looked for on other mountpaths than its own.
func (o *object) versionsElsewhere() bool { return o.set.Unsettled || o.Props.Mirror.Enabled }

// MayHoldVersions tells whether this target may hold noncurrent versions of any name
// of a bucket. It looks at no name.
func (s *Store) MayHoldVersions(bck wire.Bck, props *meta.Bprops) bool {
	b := s.bucket(bck, props)
	if b == nil {
		return false
	}
	set := s.options.FS.Available()
	return slices.ContainsFunc(set.All(), func(mp *fsys.Mountpath) bool { return b.on(set, mp).mayHoldVersions(bck) })
}

// mayBeCopied tells that there may be copies of a generation, or are to be some.
func (o *object) mayBeCopied(rec *record) bool { return len(rec.copies) > 0 || o.Props.Mirror.Enabled }

// otherVersionDirs calls do for each mountpath but one that may hold versions of
// the bucket, with a slot of it. That of the name's place is held.
func (s *Store) otherVersionDirs(o *object, but *fsys.Mountpath, do func(at *object) error) error {
	for _, mp := range o.set.All() {
		if mp == but {
			continue
		}
		at := o.on(mp)
		if !at.dirs.mayHoldVersions(o.Bck) {
			continue
		}
		if err := s.withSlot(mp, o.mp, func() error { return do(&at) }); err != nil {
			return err
		}
	}
	return nil
}

// mergeVersions makes one of the files of a version on several mountpaths: the
// first whole one of the last record. The newest version comes first.
func mergeVersions(all []noncurrent) []noncurrent {
	slices.SortStableFunc(all, func(a, b noncurrent) int {
		switch c := b.rec.stamp.Compare(a.rec.stamp); {
		case c != 0:
			return c
		case (a.damage == nil) != (b.damage == nil):
			if a.damage == nil {
				return -1
			}
			return 1
		}
		return b.rec.written().Compare(a.rec.written())
	})
	merged := all[:0]
	for _, v := range all {
		if n := len(merged); n > 0 && merged[n-1].rec.stamp == v.rec.stamp {
			if first := &merged[n-1]; v.damage == nil && first.rec.written() == v.rec.written() {
				first.on = append(first.on, v.at.mp)
			}
			continue
		}
		merged = append(merged, v)
	}
	return merged
}

// version is what callers see of a noncurrent version.
func (v *noncurrent) version() Version {
	attrs := v.rec.attrs(v.at.mp)
	attrs.Copies, attrs.CopiesOn = max(1, len(v.on)), nil
	for _, mp := range v.on {
		if mp != v.at.mp {
			attrs.CopiesOn = append(attrs.CopiesOn, mp.ID)
		}
	}
	slices.Sort(attrs.CopiesOn)
	return Version{Name: v.at.Name, Attrs: attrs, Kind: v.rec.kind, Damage: v.damage, path: v.path, rec: v.rec, at: v.at}
}

// keepCopies has the copies of what has just become a noncurrent version stay as
// copies of that when the rest goes.
func (s *Store) keepCopies(now *existing) {
	var kept *record
	if now.kept {
		kept = &now.rec
	}
	for i := range now.others {
		if now.others[i].kept {
			kept = &now.others[i].rec
		}
	}
	if kept == nil {
		return
	}
	for i := range now.others {
		c := &now.others[i]
		if c.kept || !c.found || c.damaged != "" || c.rec.written() != kept.written() || !c.at.Props.Mirror.Enabled {
			continue
		}
		info, err := s.system.Stat(c.path)
		c.becomes = err == nil && (kept.kind != KindObject || info.Size == kept.size)
	}
}

// removeVersionCopies removes the files of a version on all mountpaths but one. The
// exclusive lock, and a slot of the mountpath of the name, are held.
func (s *Store) removeVersionCopies(ctx context.Context, o *object, but *fsys.Mountpath, stamp Stamp, durable bool) error {
	return s.otherVersionDirs(o, but, func(at *object) error { return s.removeVersionFile(ctx, at, stamp, durable) })
}

// removeVersionFile removes the file of a version, if there is one on the object's
// mountpath, and its sidecar.
func (s *Store) removeVersionFile(ctx context.Context, at *object, stamp Stamp, durable bool) error {
	path := at.versionPath(stamp)
	if _, err := s.system.Stat(path); err != nil {
		return at.mp.IOError("stat "+path, ignoreMissing(err))
	}
	sidecar := s.sidecarOf(at, path)
	if err := s.unlinkVersion(ctx, at, path, stamp, durable); err != nil {
		return err
	}
	if sidecar != "" {
		s.unlinkGarbage(at, sidecar)
	}
	return nil
}

// promoteCopies makes the copies of a version that has become the object copies of
// that, where its record names them; others go. The exclusive lock is held.
func (s *Store) promoteCopies(ctx context.Context, o *object, v *Version) error {
	return s.otherVersionDirs(o, v.at.mp, func(at *object) error {
		path := at.versionPath(v.rec.stamp)
		there := noncurrent{at: *at, path: path}
		found, err := s.loadVersion(&there, v.rec.stamp)
		if err != nil || !found {
			return err
		}
		if there.damage == nil && there.rec.written() == v.rec.written() && slices.Contains(v.rec.copies, at.mp.ID) {
			done, err := s.promoteCopy(ctx, &there)
			if done || err != nil {
				return err
			}
		}
		return s.removeVersionFile(ctx, at, v.rec.stamp, o.Props.SyncWrites())
	})
}

// promoteCopy gives a copy of a version the place of a copy of the object; done is
// false if it cannot have that.
func (s *Store) promoteCopy(ctx context.Context, v *noncurrent) (done bool, err error) {
	at := &v.at
	if err := at.enter(); err != nil {
		return false, err
	}
	defer at.bucket.gate.RUnlock()
	path := at.plain
	if v.rec.place == PlaceEscaped {
		path = at.escapedPath()
		at.dirs.escaped.Store(holdsSome)
	}
	durable := at.Props.SyncWrites()
	noted, err := s.note(ctx, at, durable)
	if err != nil {
		return false, at.mp.IOError("restore a version of "+at.Cname(), err)
	}
	noted.versions = true
	defer noted.settle()
	if err := s.moveInto(ctx, at.mp, v.path, path); err != nil {
		if fsys.IsNameProblem(err) {
			return false, nil
		}
		return false, at.mp.IOError("restore a version of "+at.Cname(), err)
	}
	if durable {
		if err := at.mp.Filesystem().Flush(ctx, fsys.FlushRequest{Dirs: []string{filepath.Dir(path), filepath.Dir(v.path)}}); err != nil {
			return false, at.mp.IOError("restore a version of "+at.Cname(), err)
		}
	}
	noted.publish(&v.rec)
	noted.dropVersion(v.rec.stamp)
	return true, nil
}

// fileWith returns the path of the file of a generation on the object's mountpath,
// whether that is the current one or a noncurrent version; "": there is none.
func (s *Store) fileWith(at *object, rec *record) (path string, err error) {
	e, err := s.here(at)
	if err != nil || e.found && e.rec.written() == rec.written() {
		return e.path, err
	}
	if !at.dirs.mayHoldVersions(at.Bck) {
		return "", nil
	}
	v := noncurrent{at: *at, path: at.versionPath(rec.stamp)}
	found, err := s.loadVersion(&v, rec.stamp)
	if err != nil || !found || v.damage != nil || v.rec.written() != rec.written() {
		return "", err
	}
	return v.path, nil
}

// versionToRead finds the version with an id for a reader, and has the name looked
// after if it is not whole at the place of the name. A mountpath that fails is
// passed over if the version is mirrored. The shared name lock is held.
func (s *Store) versionToRead(ctx context.Context, o *object, id string) (*Version, error) {
	stamp, null, err := parseVersionID(id)
	if err != nil {
		return nil, err
	}
	if !null && o.dirs.mayHoldVersions(o.Bck) {
		v := noncurrent{at: *o, path: o.versionPath(stamp)}
		if found, err := s.loadVersion(&v, stamp); err == nil && found && v.damage == nil && v.rec.flags&flagVersioned != 0 {
			return s.unlessCurrent(o, &v)
		}
	}
	found, _, err := s.findVersion(o, id)
	if err != nil && apierr.StatusOf(err) != apierr.StatusNotFound && !null && o.Props.Mirror.Enabled && ctx.Err() == nil {
		for _, mp := range o.set.All() {
			v := noncurrent{at: o.on(mp)}
			v.path = v.at.versionPath(stamp)
			is := false
			failed := s.withSlot(mp, o.mp, func() (err error) {
				is, err = s.loadVersion(&v, stamp)
				return err
			})
			if failed == nil && is && v.damage == nil {
				version := v.version()
				found, err = &version, nil
				break
			}
		}
	}
	if err == nil && found.at.mp != o.mp && o.Props.Mirror.Enabled {
		s.oweCopies(o, stamp)
	}
	return found, err
}

// unlessCurrent is a noncurrent version, or the current generation if the file is a
// second name of that.
func (s *Store) unlessCurrent(o *object, v *noncurrent) (*Version, error) {
	now, err := s.here(o)
	if err != nil {
		return nil, err
	}
	version := v.version()
	version.Current = now.found && now.rec.stamp == v.rec.stamp
	return &version, nil
}

// takeVersionFileAside moves the damaged file of a version to quarantine, and has
// the version looked after.
func (s *Store) takeVersionFileAside(ctx context.Context, o *object, v *Version, c *candidate) (err error) {
	if c.info.Inode == 0 && o.Props.Mirror.Enabled && !v.Current && strings.HasPrefix(c.path, v.at.versionsDir()+"/") {
		err = s.setVersionAside(ctx, &v.at, &Belonging{Path: c.path}, c.damage)
	} else {
		err = s.takeAside(ctx, &v.at, c)
	}
	if err != nil || !o.Props.Mirror.Enabled {
		return err
	}
	return s.Owe(ctx, WorkCopies, o.Key)
}
