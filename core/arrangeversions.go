package core

import (
	"context"
	"errors"
	"slices"

	"github.com/aistore-go/aistore/fs"
)

func hasVersions(all []Belonging) bool {
	return slices.ContainsFunc(all, func(b Belonging) bool { return b.Kind == BelongsVersion || b.Kind == BelongsOlder })
}

// versions brings the noncurrent versions of the name to its mountpath, and sees to
// it that there are as many copies of each as the properties say. former are those
// that count, with all mountpaths on which they lie; all is what belongs to the name.
func (r *arrangement) versions(ctx context.Context, former []noncurrent, all []Belonging) error {
	for i := range all {
		if b := &all[i]; b.Kind == BelongsVersion || b.Kind == BelongsOlder {
			if err := r.strayVersion(ctx, former, b); err != nil {
				return err
			}
		}
	}
	for i := range former {
		if v := &former[i]; v.damage == nil {
			if err := r.oneVersion(ctx, v); err != nil {
				return err
			}
		}
	}
	return nil
}

// strayVersion deals with a file that is no whole version that counts: a damaged
// one goes to quarantine if it is not all that there is, and second names, older
// records and replaced null versions go from mountpaths of which they are not.
func (r *arrangement) strayVersion(ctx context.Context, former []noncurrent, b *Belonging) error {
	at := r.on(b.Mountpath)
	if b.Path != at.versionPath(b.Stamp) {
		return nil // an older generation of the object, which is not of concern here
	}
	i := slices.IndexFunc(former, func(v noncurrent) bool { return v.rec.stamp == b.Stamp })
	counts := i >= 0 && slices.Contains(former[i].on, b.Mountpath)
	switch {
	case b.Damage != nil && (b.Mountpath != r.mp || i >= 0 && former[i].damage == nil):
		return r.setOtherAside(ctx, b)
	case b.Damage != nil || counts || b.Mountpath == r.mp:
		return nil //nolint:nilerr // damage to all that there is stays for repair to see
	}
	var unknown *noncurrent // nothing that is known has replaced it
	err := r.locked(ctx, func(now *existing) error {
		// Once more under the lock: it may have become what counts.
		newest := now.newest()
		former, err := r.s.formerOf(&r.object, newest, true)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(former, func(v noncurrent) bool { return v.rec.stamp == b.Stamp })
		if i >= 0 && slices.Contains(former[i].on, b.Mountpath) {
			return errMoving
		}
		if i < 0 && (newest == nil || newest.stamp.Compare(b.Stamp) < 0) {
			unknown = &noncurrent{at: at, path: b.Path}
			return r.s.withSlot(b.Mountpath, r.mp, func() error {
				_, err := r.s.loadVersion(unknown, b.Stamp)
				return err
			})
		}
		err = r.s.withSlot(b.Mountpath, r.mp, func() error {
			return r.s.removeVersionFile(context.WithoutCancel(ctx), &at, b.Stamp, true)
		})
		if err == nil {
			r.did.Removed++
		}
		return err
	})
	if err != nil || unknown == nil || len(unknown.on) == 0 {
		return err
	}
	if err := r.copyVersion(ctx, unknown, r.mp); err != nil {
		return err
	}
	return r.removeVersionExtra(ctx, unknown, b.Mountpath)
}

// oneVersion brings one version to its mountpath, makes the copies that it lacks,
// and removes those that are too many.
func (r *arrangement) oneVersion(ctx context.Context, v *noncurrent) error {
	s := r.s
	if v.rec.kind == KindChunked {
		s.generations.hold(v.rec.chunks.upload)
		defer s.generations.release(v.rec.chunks.upload)
	}
	homes := r.homes()
	if !slices.Contains(v.on, r.mp) {
		if err := r.copyVersion(ctx, v, r.mp); err != nil {
			return err
		}
		v.on = append([]*fs.Mountpath{r.mp}, v.on...)
		v.at, v.path = r.object, r.versionPath(v.rec.stamp)
	}
	there := 1
	if len(homes) > 0 {
		n, err := r.copyVersions(ctx, v, homes)
		if err != nil {
			return err
		}
		there = n
	}
	r.did.Versions++
	if wanted := max(1, r.Props.Mirror.Copies); r.Props.Mirror.Enabled && there < wanted {
		r.did.ShortVersions++
	}
	for _, mp := range v.on {
		if mp != r.mp && !slices.Contains(homes, mp) {
			if err := r.removeVersionExtra(ctx, v, mp); err != nil {
				return err
			}
		}
	}
	return nil
}

// copyVersions makes the copies of a version that are missing, and tells how many
// files of it there are then. Fewer than wanted: a chunk of it is lost.
func (r *arrangement) copyVersions(ctx context.Context, v *noncurrent, homes []*fs.Mountpath) (there int, err error) {
	s := r.s
	main := other{at: r.object, existing: existing{found: true, rec: v.rec, path: r.versionPath(v.rec.stamp)}}
	var src source
	if err := r.shared(ctx, r.mp, func() (err error) {
		src, err = s.openSource(r.mp, main.path, &v.rec)
		return err
	}); err != nil {
		if isNotExist(err) {
			return 0, errMoving
		}
		return 0, err
	}
	defer func() { _ = src.file.Close() }() // was only read
	if v.rec.kind == KindChunked {
		if whole, err := r.copyChunks(ctx, &main, &src); err != nil || !whole {
			return 1, err
		}
	}
	if v.rec.kind == KindObject && src.info.Size != v.rec.size {
		return 1, r.spoiltVersion(ctx, v, &src)
	}
	there = 1
	for _, mp := range homes {
		at := r.on(mp)
		whole := false
		if slices.Contains(v.on, mp) {
			err := s.withSlot(mp, nil, func() error {
				info, err := s.system.Stat(at.versionPath(v.rec.stamp))
				whole = err == nil && info.Size == src.info.Size
				return ignoreMissing(err)
			})
			if err != nil {
				return 0, err
			}
		}
		if !whole {
			if err := r.copyVersion(ctx, v, mp); err != nil {
				return 0, err
			}
		}
		there++
	}
	return there, nil
}

// spoiltVersion moves the file of a version at its place, which is damaged, to
// quarantine. errMoving: it has.
func (r *arrangement) spoiltVersion(ctx context.Context, v *noncurrent, src *source) error {
	at := r.on(src.mp)
	found := &candidate{mp: src.mp, info: src.info, path: at.versionPath(v.rec.stamp), damage: badRecord(&r.object, errSourceDamaged)}
	if v.rec.kind == KindObject && src.info.Size != v.rec.size {
		found.damage = badSize(&r.object, v.rec.size, src.info.Size)
	}
	if err := r.s.takeAside(ctx, &at, found); err != nil {
		return err
	}
	return errMoving
}

// copyVersion makes a file of a version on another mountpath out of the one that
// was found.
func (r *arrangement) copyVersion(ctx context.Context, v *noncurrent, to *fs.Mountpath) error {
	s := r.s
	from := noncurrent{at: v.at, path: v.path}
	var src source
	err := r.shared(ctx, v.at.mp, func() error {
		found, err := s.loadVersion(&from, v.rec.stamp)
		if err == nil && (!found || from.damage != nil || from.rec.written() != v.rec.written()) {
			err = errMoving
		}
		if err == nil {
			src, err = s.openSource(v.at.mp, v.path, &from.rec)
		}
		return err
	})
	if err != nil {
		return err
	}
	defer func() { _ = src.file.Close() }() // was only read
	src.former = true
	at := r.on(to)
	if from.rec.kind == KindChunked && to == r.mp { // copies have it already
		if err := s.carryManifest(ctx, &from.at, &at, from.rec.chunks.upload); err != nil {
			return err
		}
	}
	rec := from.rec
	w, err := s.transplant(ctx, &at, &src, &rec, true)
	defer w.discard()
	if errors.Is(err, errSourceDamaged) {
		return r.spoiltVersion(ctx, v, &src)
	}
	if err != nil {
		return err
	}
	err = r.locked(ctx, func(*existing) error {
		if err := r.isThere(v); err != nil {
			return err
		}
		return s.withSlot(to, r.mp, func() error { return w.plantVersion(context.WithoutCancel(ctx), &rec) })
	})
	if err == nil {
		if r.did.Bytes += src.info.Size; to == r.mp {
			r.did.Moved++
		} else {
			r.did.Copied++
		}
	}
	return err
}

// isThere tells that the file of a version is what it was. errMoving: it is not. The
// name lock is held.
func (r *arrangement) isThere(v *noncurrent) error {
	there := noncurrent{at: v.at, path: v.path}
	found := false
	err := r.s.withSlot(v.at.mp, r.mp, func() (err error) {
		found, err = r.s.loadVersion(&there, v.rec.stamp)
		return err
	})
	if err != nil || !found || there.damage != nil || there.rec.written() != v.rec.written() {
		return errors.Join(errMoving, err)
	}
	return nil
}

// removeVersionExtra removes the file of a version from a mountpath on which it is
// not to be, durably: it is at its place.
func (r *arrangement) removeVersionExtra(ctx context.Context, v *noncurrent, mp *fs.Mountpath) error {
	at := r.on(mp)
	err := r.locked(ctx, func(*existing) error {
		if err := r.isThere(&noncurrent{at: r.object, path: r.versionPath(v.rec.stamp), rec: v.rec}); err != nil {
			return err
		}
		return r.s.withSlot(mp, r.mp, func() error { return r.s.removeVersionFile(context.WithoutCancel(ctx), &at, v.rec.stamp, true) })
	})
	if err == nil {
		r.did.Removed++
	}
	return err
}

// plantVersion gives a transplanted file the name of a noncurrent version. The
// exclusive lock and a slot of the mountpath are held.
func (w *write) plantVersion(ctx context.Context, rec *record) error {
	if err := w.enter(); err != nil {
		return err
	}
	defer w.bucket.gate.RUnlock()
	noted, err := w.noteVersion(ctx)
	if err != nil {
		return err
	}
	defer noted.settle()
	dir := w.versionsDir()
	if err := w.nameVersion(ctx, dir, rec.stamp); err != nil {
		return err
	}
	if err := w.mp.Filesystem().Flush(ctx, fs.FlushRequest{Dirs: []string{dir}}); err != nil {
		return err
	}
	noted.setVersion(rec)
	noted.look() // the current generation is as it was
	return nil
}
