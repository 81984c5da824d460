package core

import (
	"context"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/fs"
)

// rest moves what belongs to the name beside its current generation, which is at
// its place: noncurrent versions, manifests, chunks, and the parts of uploads.
func (r *arrangement) rest(ctx context.Context) error {
	s := r.s
	if len(r.set.All()) == 1 && !r.Props.Mirror.Enabled {
		return nil
	}
	if err := s.lock(ctx, &r.object, false); err != nil {
		return err
	}
	current, err := s.here(&r.object)
	var all []Belonging
	var former []noncurrent
	if err == nil {
		all, err = s.belongings(&r.object)
	}
	if err == nil && hasVersions(all) {
		former, err = s.formerOf(&r.object, current.newest(), true)
	}
	s.unlock(&r.object, false)
	if err != nil {
		return err
	}
	if err := r.versions(ctx, former, all); err != nil {
		return err
	}
	for i := range all {
		b := &all[i]
		home := r.mp
		if b.Kind == BelongsChunk {
			home = chunkOwner(r.set, &r.object, b.Upload, b.Number)
		}
		if b.Mountpath == home || r.staysAsCopy(&current, former, b) {
			continue
		}
		var err error
		switch b.Kind {
		case BelongsManifest:
			err = r.moveManifest(ctx, b, manifestPath(r.mp, &r.object, b.Upload))
		case BelongsUpload:
			err = r.moveManifest(ctx, b, uploadPath(r.mp, &r.object, b.Upload))
		case BelongsChunk:
			err = r.moveChunk(ctx, b, home)
		case BelongsVersionName:
			err = r.dropVersionsName(b)
		case BelongsDamaged:
			err = r.setOtherAside(ctx, b)
		}
		if err != nil {
			return err
		}
	}
	return r.slices(ctx)
}

// dropVersionsName removes the file that names a directory in which no version is
// left.
func (r *arrangement) dropVersionsName(b *Belonging) error {
	return r.s.withSlot(b.Mountpath, nil, func() error {
		names, err := r.s.namesIn(b.Mountpath, filepath.Dir(b.Path), nil)
		if err != nil || len(names) != 1 {
			return err // another pass comes, or a version that cannot be read stays
		}
		return r.s.unlinkIfThere(b.Path)
	})
}

// setOtherAside moves a file to quarantine whose record cannot be read.
func (r *arrangement) setOtherAside(ctx context.Context, b *Belonging) error {
	at := r.on(b.Mountpath)
	return r.locked(ctx, func(*existing) error {
		return r.s.withSlot(b.Mountpath, r.mp, func() error {
			if _, err := r.s.system.Stat(b.Path); isNotExist(err) {
				return nil
			}
			_, err := r.s.quarantine(&at, b.Path, b.Damage)
			return err
		})
	})
}

// shared runs a look at files of a mountpath under the shared name lock.
func (r *arrangement) shared(ctx context.Context, mp *fs.Mountpath, look func() error) error {
	if err := r.s.locks.lock(ctx, r.digest, false); err != nil {
		return err
	}
	defer r.s.locks.unlock(r.digest, false)
	if err := r.s.acquire(ctx, mp); err != nil {
		return err
	}
	defer mp.Release()
	return look()
}

// carryManifest copies the manifest of an upload id to the mountpath to which the
// file that refers to it goes. One that is lost is made again by readers.
func (s *Store) carryManifest(ctx context.Context, from, to *object, upload string) error {
	var file []byte
	err := s.withSlot(from.mp, nil, func() (err error) {
		file, err = s.readSmall(from.mp, manifestPath(from.mp, from, upload), maxManifest)
		return err
	})
	if isNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.writeManifest(ctx, to, manifestPath(to.mp, to, upload), file, true)
}

// moveManifest moves a manifest, or the file of an upload, to a path on the
// mountpath of the name.
func (r *arrangement) moveManifest(ctx context.Context, b *Belonging, path string) error {
	s := r.s
	gate := s.uploads.gateOf(b.Upload)
	if err := gate.enter(ctx, true); err != nil { // nobody ends the upload meanwhile
		return err
	}
	defer gate.leave(true)
	var file []byte
	err := s.withSlot(b.Mountpath, nil, func() (err error) {
		file, err = s.readSmall(b.Mountpath, b.Path, maxManifest)
		return err
	})
	if isNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	there := false
	err = s.withSlot(r.mp, nil, func() error {
		_, err := s.system.Stat(path)
		if there = err == nil; isNotExist(err) {
			return nil
		}
		return err
	})
	if err != nil {
		return err
	}
	if !there {
		if err := s.writeManifest(ctx, &r.object, path, file, true); err != nil {
			return err
		}
		r.did.Moved++
	}
	return s.removeMoved(ctx, b)
}

// removeMoved removes a file that lies elsewhere by now, durably.
func (s *Store) removeMoved(ctx context.Context, b *Belonging) error {
	return s.withSlot(b.Mountpath, nil, func() error {
		if err := s.unlinkIfThere(b.Path); err != nil {
			return b.Mountpath.IOError("remove "+b.Path, err)
		}
		return b.Mountpath.Filesystem().Flush(context.WithoutCancel(ctx), fs.FlushRequest{Dirs: []string{filepath.Dir(b.Path)}})
	})
}

// moveChunk moves a chunk, or a part of an upload, to another mountpath. Readers
// look for it on all of them.
func (r *arrangement) moveChunk(ctx context.Context, b *Belonging, home *fs.Mountpath) error {
	s := r.s
	s.generations.hold(b.Upload) // whoever removes it does so when it is moved
	defer s.generations.release(b.Upload)
	if there, err := r.dropMoved(ctx, b, home); there || err != nil {
		return err
	}
	w, src, err := r.duplicate(ctx, b, home, true)
	defer w.discard()
	if isNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return r.switchChunk(ctx, b, w, &src)
}

// dropMoved removes a chunk that is at its place, too, as it is: a copy too many,
// or a source that a crash has left.
func (r *arrangement) dropMoved(ctx context.Context, b *Belonging, home *fs.Mountpath) (there bool, err error) {
	s := r.s
	gate := s.uploads.gateOf(b.Upload)
	if err := gate.enter(ctx, true); err != nil {
		return false, err
	}
	defer gate.leave(true)
	var at, was partRecord
	var ok bool
	err = s.withSlot(home, nil, func() (err error) {
		at, there, err = s.readPart(chunkPath(home, &r.object, b.Upload, b.Number))
		return err
	})
	if err == nil && there {
		err = s.withSlot(b.Mountpath, nil, func() (err error) {
			was, ok, err = s.readPart(b.Path)
			return err
		})
	}
	if !there || !ok || err != nil || at.clock < was.clock {
		return false, err
	}
	s.uploads.moved(b.Upload, b.Number, b.Mountpath, home)
	r.did.Removed++
	return true, s.removeMoved(ctx, b)
}

// duplicate copies a chunk to a work file on another mountpath, compared with its
// checksum, and flushed if it is to be durable. The write is to be discarded
// whatever is returned; the source is closed.
func (r *arrangement) duplicate(ctx context.Context, b *Belonging, home *fs.Mountpath, durable bool) (w *write, src source, err error) {
	s := r.s
	w = &write{s: s, object: r.on(home), sync: durable, tag: "move"}
	if src, err = r.openChunk(ctx, b); err != nil {
		return w, src, err
	}
	defer func() { _ = src.file.Close() }() // was only read
	w.size, w.opts.Size = src.info.Size, src.info.Size
	if err := home.Room(src.info.Size); err != nil {
		return w, src, err
	}
	if err := w.create(ctx); err != nil {
		return w, src, err
	}
	check, err := partCheck(src.file)
	if err != nil {
		return w, src, err
	}
	if err := w.copyVerified(ctx, &src, check); err != nil {
		return w, src, err
	}
	err = w.onDisk(ctx, func() error {
		if err := s.copyXattr(src.file, w.file, xattrPart); err != nil || !durable {
			return err
		}
		return home.Filesystem().Flush(context.WithoutCancel(ctx), fs.FlushRequest{Files: []fs.File{w.file}, Bytes: w.size})
	})
	if err == nil {
		err = w.close()
	}
	return w, src, err
}

func (r *arrangement) openChunk(ctx context.Context, b *Belonging) (src source, err error) {
	if err := r.s.acquire(ctx, b.Mountpath); err != nil {
		return src, err
	}
	defer b.Mountpath.Release()
	return r.s.openSource(b.Mountpath, b.Path, &record{})
}

// switchChunk gives the copy of a chunk its name, and takes that of the source, as
// one step for whoever adds parts to the upload, completes or aborts it.
func (r *arrangement) switchChunk(ctx context.Context, b *Belonging, w *write, src *source) error {
	s := r.s
	gate := s.uploads.gateOf(b.Upload)
	if err := gate.enter(ctx, true); err != nil {
		return err
	}
	defer gate.leave(true)
	path := chunkPath(w.mp, &w.object, b.Upload, b.Number)
	newer := false
	err := w.onDisk(ctx, func() error {
		info, err := s.system.Stat(b.Path)
		if isNotExist(err) {
			return unix.ENOENT
		}
		if err != nil {
			return err
		}
		if info.Inode != src.info.Inode || info.Mtime != src.info.Mtime {
			return errMoving // another part of that number
		}
		was, _, err := s.readPart(b.Path)
		if err != nil {
			return err
		}
		there, ok, err := s.readPart(path)
		if err != nil {
			return err
		}
		if newer = ok && there.clock >= was.clock; newer {
			return nil // it came again, or was moved before a crash
		}
		if err := w.enter(); err != nil {
			return err
		}
		defer w.bucket.gate.RUnlock()
		if err := s.renameInto(w.mp, w.work, path); err != nil {
			return err
		}
		w.named()
		return w.mp.Filesystem().Flush(context.WithoutCancel(ctx), fs.FlushRequest{Dirs: []string{filepath.Dir(path)}})
	})
	if isNotExist(err) {
		return nil // it was removed
	}
	if err != nil {
		return err
	}
	s.uploads.moved(b.Upload, b.Number, b.Mountpath, w.mp)
	if err := s.removeMoved(ctx, b); err != nil {
		return err
	}
	if !newer {
		r.did.Moved++
		r.did.Bytes += src.info.Size
	}
	return nil
}

// moved tells that a part lies on another mountpath now. The exclusive gate of the
// upload is held.
func (t *uploadTable) moved(id string, number int, from, to *fs.Mountpath) {
	t.mu.Lock()
	u := t.byID[id]
	t.mu.Unlock()
	if u == nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if p := u.parts[number]; p != nil && p.mp == from {
		next := *p
		next.mp = to
		u.parts[number] = &next
	}
}
