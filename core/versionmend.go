package core

import (
	"context"
	"errors"
	"slices"

	"github.com/aistore-go/aistore/core/index"
	fsys "github.com/aistore-go/aistore/fs"
)

// Noncurrent versions have keys of their own in the index of the mountpath on
// which they lie; docs/on_disk_layout.md, section 8.2, says which have one.

// examineVersions writes into an index what the directory of a name's versions
// on the object's mountpath says, and returns how many entries differed. A
// record is read if it is not known, or always with deep: a version's record
// never changes. The name lock must be held.
func (s *Store) examineVersions(ctx context.Context, ix *index.Index, o *object, deep bool) (changed int, err error) {
	files, err := s.versionStamps(o)
	if err != nil {
		return 0, err
	}
	if err := ix.Sync(ctx); err != nil {
		return 0, err
	}
	it, err := ix.IterateFrom(o.bucket.bid, o.Name, o.Name)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	m := versionMend{s: s, ix: ix, o: o, deep: deep}
	e, ok, err := it.NextEntry()
	if ok && e.Current && string(e.Name) == o.Name {
		e, ok, err = it.NextEntry()
	}
	known := func() bool { return err == nil && ok && !e.Current && string(e.Name) == o.Name }
	if len(files) == 0 && !known() {
		return 0, err // as nearly always
	}
	now, lookErr := s.here(o)
	if lookErr != nil {
		return 0, lookErr
	}
	if now.found {
		m.current, m.null = &now.rec, now.rec.flags&flagVersioned == 0
	}
	for err == nil && (len(files) > 0 || known()) {
		switch {
		case len(files) > 0 && (!known() || stampOfVersion(&e.Version).Compare(files[0]) < 0):
			err = m.file(files[0], nil)
			files = files[1:]
			continue
		case len(files) > 0 && stampOfVersion(&e.Version) == files[0]:
			err = m.file(files[0], e.Value)
			files = files[1:]
		default:
			m.set(stampOfVersion(&e.Version), nil)
		}
		if err == nil {
			e, ok, err = it.NextEntry()
		}
	}
	return m.changed, err
}

// versionStamps are the stamps of the files in the directory of a name's
// versions, the newest first.
func (s *Store) versionStamps(o *object) (stamps []Stamp, err error) {
	dir := o.versionsDir()
	err = s.system.ReadDir(dir, func(name []byte, _ fsys.EntryKind) error {
		if stamp, ok := stampOfInverted(string(name)); ok {
			stamps = append(stamps, stamp)
		}
		return nil
	})
	if err != nil && !isNotExist(err) {
		return nil, o.mp.IOError("read "+dir, err)
	}
	slices.SortFunc(stamps, func(a, b Stamp) int { return b.Compare(a) })
	return stamps, nil
}

// versionMend compares the versions of one name, the newest first.
type versionMend struct {
	s       *Store
	ix      *index.Index
	o       *object
	deep    bool
	current *record // on the mountpath
	null    bool    // a null version was seen: older ones are garbage
	changed int
}

// file looks at a version that has a file. known is its entry's value, if it
// has one.
func (m *versionMend) file(stamp Stamp, known []byte) error {
	var old entryValue
	value := known
	var versioned, damaged bool
	if !m.deep && old.decodeHead(known) && old.stamp == stamp {
		versioned, damaged = old.flags&valueVersioned != 0, old.flags&valueDamaged != 0
	} else {
		v := noncurrent{at: *m.o, path: m.o.versionPath(stamp)}
		found, err := m.s.loadVersion(&v, stamp)
		if err != nil {
			return err
		}
		versioned, damaged = v.rec.flags&flagVersioned != 0, v.damage != nil
		switch {
		case !found:
			value = nil
		case damaged:
			value = appendValue(nil, &record{kind: KindObject, stamp: stamp}, "")
			value[valueFlagsAt] |= valueDamaged
		default:
			value = appendValue(nil, &v.rec, m.o.mp.ID)
		}
	}
	// Of a second name of the current generation, or of one that is newer but
	// lies elsewhere, nobody can tell here what it will be.
	if value != nil && !damaged && !versioned && (m.current == nil || stamp.Compare(m.current.stamp) < 0) {
		if m.null {
			value = nil
		}
		m.null = true
	}
	if string(value) != string(known) {
		m.set(stamp, value)
	}
	return nil
}

func (m *versionMend) set(stamp Stamp, value []byte) {
	v := stamp.indexVersion()
	m.ix.SetVersion(m.o.bucket.bid, m.o.Name, &v, value)
	m.changed++
}

// mendVersions compares the noncurrent versions in the index of a bucket with
// the files and writes what differs.
func (t *indexing) mendVersions(m *mountIndex, b *bucket) (seen, changed int, err error) {
	x := t.examiner(m, b)
	root := m.mp.BucketDir(b.bck, fsys.ContentVersion)
	groups, err := t.s.namesIn(m.mp, root, nil)
	if err != nil {
		return 0, 0, err
	}
	for _, group := range groups {
		names, err := t.versionNames(m, root+"/"+group)
		if err != nil {
			return seen, x.changed, err
		}
		for _, name := range names {
			if err := x.versions(name, true); err != nil {
				return seen, x.changed, err
			}
		}
		seen += len(names)
	}
	for after := ""; ; {
		names, more, err := t.withoutFiles(m, b, after)
		if err != nil {
			return seen, x.changed, err
		}
		for _, name := range names {
			if err := x.versions(name, true); err != nil {
				return seen, x.changed, err
			}
		}
		if after = more; after == "" {
			return seen, x.changed, nil
		}
	}
}

// versionNames returns the names that have a directory of versions in a group.
// One whose name cannot be read is left out: verification finds it.
func (t *indexing) versionNames(m *mountIndex, group string) (names []string, err error) {
	if err := t.s.acquire(m.ctx, m.mp); err != nil {
		return nil, err
	}
	defer m.mp.Release()
	dirs, err := t.s.namesIn(m.mp, group, nil)
	if err != nil {
		return nil, err
	}
	for _, dir := range dirs {
		if err := m.ctx.Err(); err != nil {
			return nil, err
		}
		if err := t.s.versionsNameOf(m.mp, group+"/"+dir, func(name string) { names = append(names, name) }); err != nil {
			return nil, err
		}
	}
	return names, nil
}

// withoutFiles returns names behind one that have versions in the index and no
// directory of them, and the name behind which it has to be called again, "" if
// that was all.
func (t *indexing) withoutFiles(m *mountIndex, b *bucket, after string) (names []string, more string, err error) {
	if err := m.ix.Sync(m.ctx); err != nil {
		return nil, "", err
	}
	it, err := m.ix.IterateFrom(b.bid, "", after)
	if err != nil {
		return nil, "", err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	o := object{Key: Key{Bck: b.bck}, mp: m.mp, bucket: b}
	for count := 0; ; count++ {
		e, ok, err := it.NextEntry()
		if err != nil || !ok {
			return names, "", err
		}
		if count%1024 == 1023 && m.ctx.Err() != nil {
			return nil, "", m.ctx.Err()
		}
		if e.Current || string(e.Name) == after {
			continue
		}
		o.Name = string(e.Name)
		it.SeekPastName(e.Name)
		_, err = t.s.system.Stat(o.versionsDir())
		switch {
		case isNotExist(err):
			if names = append(names, o.Name); len(names) == mendPage {
				return names, o.Name, nil
			}
		case err != nil:
			return nil, "", m.mp.IOError("stat "+o.versionsDir(), err)
		}
	}
}

// versions examines the versions of one name under its lock.
func (x *examiner) versions(name string, deep bool) error {
	return x.locked(name, func(o *object) error {
		changed, err := x.t.s.examineVersions(x.m.ctx, x.m.ix, o, deep)
		x.changed += changed
		return err
	})
}
