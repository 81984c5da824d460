package core

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	fsys "github.com/aistore-go/aistore/fs"
)

// Version is one generation of a name.
type Version struct {
	Name    string
	Attrs   Attrs
	Kind    Kind // KindDeleteMarker: no content
	Current bool

	// Damage is why the version cannot be read; Attrs has no more than its
	// stamp then, and its id is not known.
	Damage error

	// ETag is the custom key of that name, in pages of a bucket's versions,
	// which have no other custom metadata and do not count chunks.
	ETag string

	path string
	rec  record
	at   object
}

// ListVersions returns all generations of a name, the newest first; none is no
// error. Errors: 400 bad name; 404 no such bucket; 500 I/O; 503 the mountpath
// is busy.
func (s *Store) ListVersions(ctx context.Context, key Key) ([]Version, error) {
	o, err := s.lockName(ctx, key, false)
	if err != nil {
		return nil, err
	}
	defer s.unlock(&o, false)
	return s.versionsOf(&o)
}

// versionsOf is ListVersions under the lock.
func (s *Store) versionsOf(o *object) ([]Version, error) {
	now, err := s.current(o)
	if err != nil {
		return nil, err
	}
	var all []Version
	holder, at := now.newestHolder(o)
	var current *record
	if holder != nil {
		current = &holder.rec
		if current.kind != KindTombstone {
			all = append(all, Version{
				Name: o.Name, Attrs: current.attrs(at.mp), Kind: current.kind, Current: true,
				path: holder.path, rec: *current, at: *at,
			})
		}
	}
	former, err := s.noncurrentOf(o, current)
	for i := range former {
		v := &former[i]
		all = append(all, v.version())
	}
	return all, err
}

// hasID tells whether a version has an id. Whether a damaged one is the null
// version nobody can tell.
func (v *Version) hasID(id string, stamp Stamp, null bool) bool {
	if v.Damage != nil {
		return !null && v.rec.stamp == stamp
	}
	return v.rec.versionID() == id
}

// findVersion returns the version with an id. The name lock must be held.
func (s *Store) findVersion(o *object, id string) (*Version, []Version, error) {
	stamp, null, err := parseVersionID(id)
	if err != nil {
		return nil, nil, err
	}
	all, err := s.versionsOf(o)
	if err != nil {
		return nil, nil, err
	}
	for i := range all {
		if all[i].hasID(id, stamp, null) {
			return &all[i], all, nil
		}
	}
	return nil, all, apierr.New(apierr.StatusNotFound, "", "%s: version %s does not exist", o.Cname(), id)
}

// OpenVersion opens one version of an object, current or not, as Open does
// with the current one.
//
// Errors: those of Open; 400 bad version id; 404 no such version; 405 the
// version is a delete marker.
func (s *Store) OpenVersion(ctx context.Context, key Key, id string) (*Reader, error) {
	o, err := s.resolve(key)
	if err != nil {
		return nil, err
	}
	for attempt := 0; ; attempt++ {
		r, err := s.openVersionOnce(ctx, &o, id)
		if attempt > o.Props.Mirror.Copies || !o.Props.Mirror.Enabled || !isDamage(err) {
			return r, err
		}
		// What was damaged is out of the way; a copy may be whole.
	}
}

func (s *Store) openVersionOnce(ctx context.Context, o *object, id string) (*Reader, error) {
	v, c, err := s.openVersion(ctx, o, id)
	if err != nil {
		return nil, err
	}
	key := o.Key
	if c.damage == nil && c.file != nil && c.rec.kind == KindDeleteMarker {
		_ = c.file.Close() // it has no content
		return nil, apierr.New(apierr.StatusMethodNotAllowed, "", "%s: version %s is a delete marker", o.Cname(), id)
	}
	if c.held {
		if found, err := s.openContent(ctx, &v.at, &c, key.Props.Checksum.ValidateWarmGet); found != nil || err != nil {
			if found != nil && err == nil && key.Props.Mirror.Enabled {
				s.mendChunks(ctx, &v.at, &c.rec, c.manifest(), key.Props.Checksum.ValidateWarmGet)
			}
			_ = c.close(s) // the error is the one to report
			return nil, errors.Join(found, err)
		}
	} else if c.damage == nil && c.file != nil && key.Props.Checksum.ValidateWarmGet {
		if c.damage, err = s.verifyContent(ctx, &v.at, &c); err != nil {
			_ = c.file.Close() // the reading's error is the one to report
			return nil, err
		}
	}
	if c.damage != nil {
		if c.file != nil {
			_ = c.file.Close() // of a file that is not served
		}
		if err := s.takeVersionFileAside(ctx, o, v, &c); err != nil {
			return nil, err
		}
		return nil, c.damage
	}
	if c.file == nil {
		return nil, apierr.New(apierr.StatusNotFound, "", "%s: version %s does not exist", o.Cname(), id)
	}
	r := &Reader{Attrs: c.attrs(s, &v.at), File: c.file, chunked: c.content, store: s, digest: o.digest}
	s.locks.beginSending(o.digest)
	if v.Current {
		r.opened = s.options.Clock().UnixNano()
	}
	return r, nil
}

// openVersion finds and opens a version under the shared lock.
func (s *Store) openVersion(ctx context.Context, o *object, id string) (v *Version, c candidate, err error) {
	if err := s.lock(ctx, o, false); err != nil {
		return nil, c, err
	}
	defer s.unlock(o, false)
	if v, err = s.versionToRead(ctx, o, id); err != nil {
		return nil, c, err
	}
	buf := s.memory.Get(recordBuffer)
	defer buf.Free()
	c.mp = v.at.mp
	err = s.openAt(&v.at, v.path, buf.Bytes(), &c)
	s.holdChunks(&c, err)
	return v, c, err
}

// HeadVersion returns attributes and kind of one version. Errors are those of
// OpenVersion, but a delete marker is none.
func (s *Store) HeadVersion(ctx context.Context, key Key, id string) (Version, error) {
	o, err := s.lockName(ctx, key, false)
	if err != nil {
		return Version{}, err
	}
	defer s.unlock(&o, false)
	v, _, err := s.findVersion(&o, id)
	if err != nil {
		return Version{}, err
	}
	return *v, v.Damage
}

// DeleteVersion removes one version for good. If it is the current one, the
// newest noncurrent version becomes current. It is as durable as a delete. A
// damaged version goes to quarantine, which counts as removed.
//
// Versions that earlier owners of the name hold are brought here first.
//
// It returns what was removed. Errors: 400 bad name or id; 404 no such bucket
// or version; 500 I/O; 503 the mountpath is busy, an earlier owner cannot be asked.
func (s *Store) DeleteVersion(ctx context.Context, key Key, id string) (Version, error) {
	o, err := s.resolve(key)
	if err != nil {
		return Version{}, err
	}
	for range maxRelocations {
		epoch, err := s.gatherAll(ctx, &o)
		if err != nil {
			return Version{}, err
		}
		v, err := s.deleteVersion(ctx, &o, id, epoch)
		if !errors.Is(err, errOwnersChanged) {
			return v, err
		}
	}
	return Version{}, apierr.Unavailable(time.Second, "DELETE %s: the owner of the name keeps changing", o.Cname())
}

// deleteVersion is DeleteVersion when all versions are here, as far as the
// placement of an epoch is concerned (0: for any reason).
func (s *Store) deleteVersion(ctx context.Context, o *object, id string, epoch uint64) (Version, error) {
	if err := s.lock(ctx, o, true); err != nil {
		return Version{}, err
	}
	defer s.unlock(o, true)
	ticket, err := s.begin(o)
	if err != nil {
		return Version{}, err
	}
	if epoch != 0 && epoch != s.options.Epoch() {
		_ = s.end(ticket) // nothing was done under it
		return Version{}, errOwnersChanged
	}
	v, err := s.deleteVersionLocked(context.WithoutCancel(ctx), o, id, epoch)
	if over := s.end(ticket); over != nil {
		return Version{}, over
	}
	return v, err
}

func (s *Store) deleteVersionLocked(ctx context.Context, o *object, id string, epoch uint64) (_ Version, err error) {
	v, all, err := s.findVersion(o, id)
	if err != nil {
		return Version{}, err
	}
	if epoch != 0 {
		if !s.removed.add(o.digest, v.rec.stamp, epoch) {
			return Version{}, errManyRemoved(o)
		}
		defer func() {
			if err != nil {
				s.removed.forget(o.digest, v.rec.stamp)
			}
		}()
	}
	s.changed(o)
	durable := o.Props.SyncWrites()
	if id == NullVersion { // older ones, if a crash has left any, must not come to light
		if err := s.removeNullsBefore(ctx, o, v.rec.stamp, durable); err != nil {
			return Version{}, err
		}
	}
	switch {
	case v.Current:
		return *v, s.deleteCurrentVersion(ctx, o, all)
	case v.Damage != nil:
		if err := s.removeVersionCopies(ctx, o, v.at.mp, v.rec.stamp, durable); err != nil {
			return Version{}, err
		}
		_, err := s.quarantine(&v.at, v.path, v.Damage)
		return *v, err
	}
	return *v, s.removeNoncurrent(ctx, o, &noncurrent{at: v.at, path: v.path, rec: v.rec}, durable)
}

// deleteCurrentVersion removes the current generation; the newest one of the
// others that is whole takes its place.
func (s *Store) deleteCurrentVersion(ctx context.Context, o *object, all []Version) error {
	now, err := s.current(o)
	if err != nil {
		return err
	}
	holder, at := now.newestHolder(o)
	if err := s.dropSecondName(ctx, o, at, holder.rec.stamp, o.Props.SyncWrites()); err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(v Version) bool { return !v.Current && v.Damage == nil })
	if i < 0 {
		return s.removeAll(ctx, o, &now)
	}
	// First what is older than the current generation but may be newer than
	// the version: it must not come to light.
	if err := s.removeSuperseded(ctx, o, &now, holder); err != nil {
		return err
	}
	place, err := s.promote(ctx, o, &all[i])
	if err != nil {
		return err
	}
	if err := s.promoteCopies(ctx, o, &all[i]); err != nil {
		return err
	}
	current := other{at: *at, existing: existing{found: true, rec: holder.rec, path: holder.path}}
	if place == holder.path { // it was replaced: only what belonged to it is left
		s.removeGeneration(at, &current.existing)
		return nil
	}
	if at.mp == o.mp {
		return s.removeBeside(ctx, o, &current.existing) // it holds the version
	}
	return s.removeOther(ctx, &current, o.Props.SyncWrites())
}

// removeSuperseded removes all that a name holds but its newest generation and
// its noncurrent versions.
func (s *Store) removeSuperseded(ctx context.Context, o *object, now, newest *existing) error {
	durable := o.Props.SyncWrites()
	for i := range now.others {
		e := &now.others[i]
		left := *e
		left.keepUpload(newest.rec.chunks.upload)
		if &e.existing == newest {
			left.found, left.path = false, ""
		}
		if left.path == "" && left.older == "" && left.damaged == "" {
			continue
		}
		if err := s.removeOther(ctx, &left, durable); err != nil {
			return err
		}
	}
	left := *now
	left.keepUpload(newest.rec.chunks.upload)
	if now == newest {
		left.found, left.path = false, ""
	}
	if left.path == "" && left.older == "" {
		return nil
	}
	return s.removeBeside(ctx, o, &left) // it holds the newest generation
}

// removeBeside is remove where the other place of the mountpath holds something
// that stays.
func (s *Store) removeBeside(ctx context.Context, o *object, now *existing) error {
	noted, err := s.note(ctx, o, o.Props.SyncWrites())
	if err != nil {
		return o.mp.IOError("remove "+now.path, err)
	}
	defer noted.settle()
	if err := s.remove(ctx, o, now); err != nil {
		return err
	}
	noted.look()
	return nil
}

// promote gives a noncurrent version the place of its record and returns it.
func (s *Store) promote(ctx context.Context, o *object, v *Version) (path string, err error) {
	if err := v.at.enter(); err != nil {
		return "", err
	}
	defer v.at.bucket.gate.RUnlock()
	path = v.at.plain
	if v.rec.place == PlaceEscaped {
		path = v.at.escapedPath()
		v.at.dirs.escaped.Store(holdsSome)
	}
	noted, err := s.note(ctx, &v.at, o.Props.SyncWrites())
	if err != nil {
		return "", v.at.mp.IOError("restore a version of "+o.Cname(), err)
	}
	noted.versions = true
	defer noted.settle()
	if err := s.moveInto(ctx, v.at.mp, v.path, path); err != nil {
		if fsys.IsNameProblem(err) {
			// The object itself holds the place, unless it is on another
			// mountpath than this version.
			return "", apierr.Unavailable(time.Second, "%s: its versions are on two mountpaths and have to be moved first", o.Cname())
		}
		return "", v.at.mp.IOError("restore a version of "+o.Cname(), err)
	}
	if o.Props.SyncWrites() {
		flush := fsys.FlushRequest{Dirs: []string{filepath.Dir(path), filepath.Dir(v.path)}}
		if err := v.at.mp.Filesystem().Flush(ctx, flush); err != nil {
			s.verifyAfterFailedFlush(&v.at, err)
			return "", v.at.mp.IOError("restore a version of "+o.Cname(), err)
		}
	}
	noted.publish(&v.rec)
	noted.dropVersion(v.rec.stamp)
	return path, nil
}
