package core

import (
	"context"
	"errors"
	"path/filepath"
	"slices"

	"github.com/aistore-go/aistore/cmn/hrw"
	"github.com/aistore-go/aistore/fs"
)

// Copies of a chunked object: its file, the first chunk, has copies where those
// of any object lie, each with the manifest beside it; each further chunk has as
// many, under its own path, on the mountpaths that would be its place if the ones
// before were not there. They are made in the order chunks, manifest, file, so
// that a copy of the file has all that it needs, and removed with the generation:
// the files of copies before the object's, the chunks after it.

// chunkHomes are the mountpaths on which a chunk of an object with so many
// instances is to lie, that of its place first.
func chunkHomes(set *fs.Set, o *object, upload string, number, instances int) []*fs.Mountpath {
	var stack [512]byte
	uname := o.Bck.AppendUname(stack[:0], o.Name)
	digest := hrw.DigestBytes(append(append(uname, '/'), chunkName(upload, number)...))
	return append([]*fs.Mountpath{set.Owner(digest)}, copyHomes(set, digest, instances)...)
}

// isFormerCopy tells that the chunks of a record that names copies belong to a
// noncurrent version, or may: a copy of what is one by now must not take them
// along. A slot of the mountpath of the name is held.
func (s *Store) isFormerCopy(o *object, rec *record) bool {
	if len(rec.copies) == 0 {
		return false
	}
	home := *o
	if err := s.place(&home, o.set); err != nil || !home.dirs.mayHoldVersions(home.Bck) {
		return false
	}
	if o.set.Unsettled {
		return true // they are collected if not
	}
	former, err := s.noncurrentHere(&home, nil, nil)
	return err != nil || slices.ContainsFunc(former, func(v noncurrent) bool {
		return v.damage != nil || v.rec.chunks.upload == rec.chunks.upload
	})
}

// copyChunks makes what copies of a chunked object need beside its file, where it
// is missing. whole is false if there is a chunk of which no whole file is left: the
// object stays as it is then. The generation is held.
func (r *arrangement) copyChunks(ctx context.Context, main *other, src *source) (whole bool, err error) {
	s := r.s
	m, err := s.loadManifest(&r.object, &main.rec, main.path)
	if err != nil {
		if isDamage(err) {
			s.damagedInPlace(&r.object, main.rec.chunks.upload, false, err)
			return false, nil
		}
		return false, err
	}
	if src.info.Size != m.chunks[0].size {
		return false, r.firstIsShort(ctx, main, src, m)
	}
	for i := range m.chunks[1:] {
		if whole, err := r.copyChunk(ctx, main, m, 1+i); !whole || err != nil {
			return false, err
		}
	}
	file := m.encode()
	for _, mp := range r.homes() {
		at := r.on(mp)
		path := manifestPath(mp, &at, m.upload)
		there := false
		err := s.withSlot(mp, nil, func() error {
			info, err := s.system.Stat(path)
			there = err == nil && info.Size == int64(len(file))
			return ignoreMissing(err)
		})
		if err == nil && !there {
			err = s.writeManifest(ctx, &at, path, file, r.Props.SyncWrites())
		}
		if err != nil {
			return false, mp.IOError("copy the manifest of "+r.Cname(), err)
		}
	}
	return true, nil
}

// firstIsShort moves the object's file, which has lost a part, to quarantine if a
// copy of it is whole. errMoving: it has.
func (r *arrangement) firstIsShort(ctx context.Context, main *other, src *source, m *manifest) error {
	found := &candidate{mp: r.mp, info: src.info, rec: main.rec, path: main.path}
	if !r.s.firstElsewhere(&r.object, found, m.chunks[0].size) {
		return nil
	}
	found.damage = badSize(&r.object, m.chunks[0].size, src.info.Size)
	if err := r.s.takeAside(ctx, &r.object, found); err != nil {
		return err
	}
	return errMoving
}

// copyChunk makes the copies of one chunk that are missing, and the one at its
// place if that is.
func (r *arrangement) copyChunk(ctx context.Context, main *other, m *manifest, i int) (whole bool, err error) {
	c := &m.chunks[i]
	homes := chunkHomes(r.set, &r.object, m.upload, c.number, 1+len(r.homes()))
	var missing []*fs.Mountpath
	var source *Belonging
	look := func(mp *fs.Mountpath) (bool, error) {
		path := chunkPath(mp, &r.object, m.upload, c.number)
		whole, err := r.s.isChunk(mp, path, c.size)
		if whole && source == nil {
			source = &Belonging{Kind: BelongsChunk, Path: path, Mountpath: mp, Upload: m.upload, Number: c.number}
		}
		return whole, err
	}
	for _, mp := range homes {
		whole, err := look(mp)
		if err != nil {
			return false, err
		}
		if !whole {
			missing = append(missing, mp)
		}
	}
	for _, mp := range r.set.All() {
		if len(missing) == 0 || source != nil {
			break
		}
		if _, err := look(mp); err != nil {
			return false, err
		}
	}
	if source == nil {
		return false, nil
	}
	for _, mp := range missing {
		if whole, err := r.copyChunkTo(ctx, mp, main, m, i, source); !whole || err != nil {
			return false, err
		}
	}
	return true, nil
}

// isChunk tells that there is a file of a chunk with its size.
func (s *Store) isChunk(mp *fs.Mountpath, path string, size int64) (is bool, err error) {
	err = s.withSlot(mp, nil, func() error {
		age := mp.Begin()
		defer mp.End(age)
		info, err := s.system.Stat(path)
		is = err == nil && info.Kind == fs.KindFile && info.Size == size
		return mp.IOError("stat "+path, ignoreMissing(err))
	})
	return is, err
}

// copyChunkTo copies a chunk to a mountpath and compares it on the way. If it is
// the source that is damaged, it goes to quarantine if another file of the chunk
// is whole (errMoving); else there is none (whole is false).
func (r *arrangement) copyChunkTo(ctx context.Context, mp *fs.Mountpath, main *other, m *manifest, i int, from *Belonging) (whole bool, err error) {
	s := r.s
	w, src, err := r.duplicate(ctx, from, mp, r.Props.SyncWrites())
	defer w.discard()
	switch {
	case isNotExist(err):
		return false, errMoving // it was moved
	case errors.Is(err, errSourceDamaged):
		spoilt, err := s.spoiltFiles(ctx, &r.object, &main.rec, m, i, true)
		if err != nil {
			return false, err
		}
		for k := range spoilt {
			if err := s.setChunkAside(ctx, &r.object, &main.rec, &spoilt[k]); err != nil {
				return false, err
			}
		}
		if len(spoilt) > 0 {
			return false, errMoving
		}
		return false, nil
	case err != nil:
		return false, err
	}
	path := chunkPath(mp, &w.object, m.upload, m.chunks[i].number)
	err = w.onDisk(ctx, func() error {
		if err := w.enter(); err != nil {
			return err
		}
		defer w.bucket.gate.RUnlock()
		if err := s.renameInto(mp, w.work, path); err != nil {
			return err
		}
		w.named()
		if !w.sync {
			return nil
		}
		return mp.Filesystem().Flush(context.WithoutCancel(ctx), fs.FlushRequest{Dirs: []string{filepath.Dir(path)}})
	})
	if err != nil {
		return false, mp.IOError("copy a chunk of "+r.Cname(), err)
	}
	r.did.Bytes += src.info.Size
	return true, nil
}

// staysAsCopy tells that a chunk or a manifest belongs where it lies, as a copy, with
// the current generation of its name or a noncurrent version.
func (r *arrangement) staysAsCopy(current *existing, former []noncurrent, b *Belonging) bool {
	if b.Kind != BelongsManifest && b.Kind != BelongsChunk {
		return false
	}
	for i := range former {
		if v := &former[i]; v.damage == nil && v.rec.kind == KindChunked && v.rec.chunks.upload == b.Upload {
			homes := r.homes()
			if b.Kind == BelongsManifest {
				return slices.Contains(homes, b.Mountpath)
			}
			return slices.Contains(chunkHomes(r.set, &r.object, b.Upload, b.Number, 1+len(homes)), b.Mountpath)
		}
	}
	rec := &current.rec
	if !current.found || len(rec.copies) == 0 || rec.kind != KindChunked || rec.chunks.upload != b.Upload {
		return false
	}
	switch b.Kind {
	case BelongsManifest:
		return slices.Contains(rec.copies, b.Mountpath.ID)
	case BelongsChunk:
		return slices.Contains(chunkHomes(r.set, &r.object, b.Upload, b.Number, 1+len(rec.copies)), b.Mountpath)
	}
	return false
}

// firstElsewhere tells that a file of the generation on another mountpath has the
// size of the first chunk.
func (s *Store) firstElsewhere(o *object, c *candidate, size int64) bool {
	for _, mp := range s.options.FS.Available().All() {
		if mp == c.mp || !o.mayBeCopied(&c.rec) {
			continue
		}
		is := false
		err := s.withSlot(mp, nil, func() error {
			at := o.on(mp)
			path, err := s.fileWith(&at, &c.rec)
			if err != nil || path == "" {
				return err
			}
			info, err := s.system.Stat(path)
			is = err == nil && info.Size == size
			return err
		})
		if is && err == nil {
			return true
		}
	}
	return false
}

// manifestElsewhere looks on other mountpaths for the manifest to which a record
// refers, and puts it beside the file that has the record; nil: there is none.
func (s *Store) manifestElsewhere(o *object, rec *record) *manifest {
	ref := &rec.chunks
	for _, mp := range s.options.FS.Available().All() {
		if mp == o.mp {
			continue
		}
		var file []byte
		err := s.withSlot(mp, nil, func() (err error) {
			file, err = s.readSmall(mp, manifestPath(mp, o, ref.upload), int(min(ref.length, maxManifest)))
			return err
		})
		if err != nil || !ref.matches(file) {
			continue
		}
		m, err := decodeManifest(file)
		if err != nil {
			continue
		}
		if err := s.writeManifest(context.Background(), o, manifestPath(o.mp, o, ref.upload), file, o.Props.SyncWrites()); err != nil {
			s.log.Warn("manifest was found on another mountpath and cannot be written", "object", o.Cname(), "err", err)
		} else {
			s.log.Warn("lost manifest was replaced by its copy", "object", o.Cname(), "copy", mp.Path)
		}
		return m
	}
	return nil
}
