package core

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/cksum"
	fsys "github.com/aistore-go/aistore/fs"
)

// CompletePart names one part at completion.
type CompletePart struct {
	Number int
	MD5    string // hex; "": not compared. Only with CompleteOptions.Listed
}

// CompleteOptions is what a client says when all parts have been sent.
type CompleteOptions struct {
	Parts []CompletePart

	// Listed makes the object of the parts that are listed, in ascending
	// order, with gaps between the numbers; others that were uploaded are
	// dropped. Else the list, in any order, must be that of all uploaded
	// parts, and they must be 1..N.
	Listed bool

	// Put is what applies to the object as to any other write: custom keys,
	// the version to go on from, and whether to look at the object before.
	// Its size and checksum do not count.
	Put PutOptions
}

// CompleteUpload makes the parts of an upload the object of its name, at once.
// When it returns nil all of it is on stable storage if the bucket's
// durability says so, and the upload has ended. After an error it goes on,
// unless the object was committed and only its last flush failed.
//
// The checksum of the object is of the bucket's type if the parts arrived one
// after the other, else CRC-32C.
//
// Errors: 404 no such upload; 400 the list is not what was uploaded ("no
// chunks", "partial completion", a gap); 503 a part may lie on a mountpath that is
// out of use; 500 one is lost; and those of Put.
func (s *Store) CompleteUpload(ctx context.Context, key Key, id string, opts CompleteOptions) (Attrs, error) {
	o, err := s.resolveUpload(key)
	if err != nil {
		return Attrs{}, err
	}
	u, err := s.useUpload(ctx, &o, id)
	if err != nil {
		return Attrs{}, err
	}
	defer s.uploads.doneWith(u)
	if err := ValidateCustom(opts.Put.Custom); err != nil {
		return Attrs{}, err
	}
	if err := u.gate.enter(ctx, true); err != nil {
		return Attrs{}, err
	}
	defer u.gate.leave(true)
	if u.over() {
		return Attrs{}, noUpload(&o, id)
	}
	parts, err := u.choose(&o, &opts)
	if err != nil {
		return Attrs{}, s.missingParts(&o, u, &opts, err)
	}
	flushing := context.WithoutCancel(ctx)
	if err := s.secureParts(flushing, &o, u, parts); err != nil {
		return Attrs{}, err
	}
	if opts.Put.Custom, err = mergeCustom(u.custom, opts.Put.Custom); err != nil {
		return Attrs{}, err
	}
	s.generations.hold(id) // nobody collects them while they become an object
	defer s.generations.release(id)
	return s.commitUpload(flushing, &o, u, parts, &opts.Put)
}

// choose checks the list of parts and returns those of the object, in order.
func (u *upload) choose(o *object, opts *CompleteOptions) ([]*storedPart, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.parts) == 0 || opts.Listed && len(opts.Parts) == 0 {
		return nil, apierr.BadRequest("%s: multipart upload %s has no chunks", o.Cname(), u.id)
	}
	if opts.Listed {
		return u.chooseListed(o, opts)
	}
	chosen := make([]*storedPart, 0, len(u.parts))
	for _, p := range u.parts {
		chosen = append(chosen, p)
	}
	slices.SortFunc(chosen, func(a, b *storedPart) int { return cmp.Compare(a.number, b.number) })
	listed := make(map[int]bool, len(opts.Parts))
	for _, p := range opts.Parts {
		if u.parts[p.Number] == nil || listed[p.Number] {
			return nil, u.partial(o, "part %d is listed and was not uploaded, or is listed twice", p.Number)
		}
		listed[p.Number] = true
	}
	if len(listed) != len(chosen) {
		return nil, u.partial(o, "%d parts are listed and %d were uploaded", len(listed), len(chosen))
	}
	for i, p := range chosen {
		if p.number != i+1 {
			return nil, apierr.BadRequest("%s: multipart upload %s: chunk at (%d) has invalid number %d (count=%d)",
				o.Cname(), u.id, i, p.number, len(chosen))
		}
	}
	return chosen, nil
}

func (u *upload) partial(o *object, format string, args ...any) error {
	e := apierr.BadRequest(format, args...)
	e.Message = o.Cname() + ": multipart upload " + u.id + ": partial completion is not allowed: " + e.Message
	return e
}

func (u *upload) chooseListed(o *object, opts *CompleteOptions) ([]*storedPart, error) {
	chosen := make([]*storedPart, 0, len(opts.Parts))
	last := 0
	for _, listed := range opts.Parts {
		p := u.parts[listed.Number]
		switch {
		case listed.Number <= last:
			return nil, apierr.New(apierr.StatusBadRequest, "InvalidPartOrder", "%s: multipart upload %s: part %d is listed after part %d",
				o.Cname(), u.id, listed.Number, last)
		case p == nil, listed.MD5 != "" && p.md5 != "" && listed.MD5 != p.part().MD5:
			return nil, apierr.New(apierr.StatusBadRequest, "InvalidPart", "%s: multipart upload %s: part %d was not uploaded, or is another one",
				o.Cname(), u.id, listed.Number)
		}
		last = listed.Number
		chosen = append(chosen, p)
	}
	return chosen, nil
}

// securePart adds a part to what is to be flushed, if it has to be.
func (s *Store) securePart(f *securing, o *object, p *storedPart) (there bool, err error) {
	path := chunkPath(p.mp, o, p.upload, p.number)
	err = s.withSlot(p.mp, nil, func() error {
		info, err := s.system.Stat(path)
		if there = err == nil && info.Size == p.size; !there || p.durable || !o.Props.SyncWrites() {
			return err
		}
		return f.add(p.mp, path, p.size)
	})
	return there, ignoreMissing(err)
}

// findPart looks for a part that is not where it was: its mountpath has left and come
// back, or it was moved while the upload was read. nil: it is nowhere.
func (s *Store) findPart(o *object, p *storedPart) (found *storedPart) {
	for _, mp := range s.options.FS.Available().All() {
		err := s.withSlot(mp, nil, func() error {
			rec, ok, err := s.readPart(chunkPath(mp, o, p.upload, p.number))
			if ok && rec.clock == p.clock && found == nil {
				found = &storedPart{partRecord: p.partRecord, mp: mp, durable: p.durable}
			}
			return err
		})
		if err != nil {
			s.log.Warn("a mountpath cannot be searched for a part", "object", o.Cname(), "mountpath", mp.Path, "err", err)
		}
	}
	return found
}

// secureParts looks whether every part is there, and makes durable what an
// earlier process may not have.
func (s *Store) secureParts(ctx context.Context, o *object, u *upload, parts []*storedPart) error {
	f := securing{s: s}
	defer f.close()
	for i, p := range parts {
		if f.full() {
			if err := f.flush(ctx); err != nil {
				return s.partError(o, o.mp, err)
			}
		}
		there, err := s.securePart(&f, o, p)
		if err == nil && !there {
			if found := s.findPart(o, p); found != nil {
				u.mu.Lock()
				u.parts[p.number], parts[i] = found, found
				u.mu.Unlock()
				there, err = s.securePart(&f, o, found)
			}
		}
		if err != nil {
			return s.partError(o, p.mp, err)
		}
		if paths := s.outOfUse(); !there && len(paths) > 0 {
			return partOutOfUse(o, u, p.number, paths)
		}
		if !there {
			return apierr.New(apierr.StatusInternalServerError, "", "%s: part %d of multipart upload %s is lost: it is missing or truncated on all mountpaths; upload it again",
				o.Cname(), p.number, p.upload)
		}
	}
	if err := f.flush(ctx); err != nil {
		return s.partError(o, o.mp, err)
	}
	return nil
}

// retryParts is when a client should come back whose parts are on a mountpath that
// is out of use: an operator has to do something first.
const retryParts = 30 * time.Second

// outOfUse are the paths of the mountpaths that the node knows and has out of use.
func (s *Store) outOfUse() (paths []string) {
	for _, info := range s.options.FS.Mountpaths() {
		if !info.InUse() {
			paths = append(paths, info.Path)
		}
	}
	return paths
}

// partOutOfUse is the 503 of a part that may lie on a mountpath that is out of use.
func partOutOfUse(o *object, u *upload, number int, paths []string) error {
	return apierr.Unavailable(retryParts,
		"%s: part %d of multipart upload %s may be on a mountpath that is out of use (%s): enable or attach it and complete the upload then, or upload the part again",
		o.Cname(), number, u.id, strings.Join(paths, ", "))
}

// missingParts is why a list of parts was refused: 503 if it names one that this
// process has not seen, and that a mountpath out of use may hold.
func (s *Store) missingParts(o *object, u *upload, opts *CompleteOptions, refused error) error {
	paths := s.outOfUse()
	if len(paths) == 0 {
		return refused
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, p := range opts.Parts {
		if p.Number > 0 && p.Number <= MaxParts && u.parts[p.Number] == nil {
			return partOutOfUse(o, u, p.Number, paths)
		}
	}
	return refused
}

// commitUpload writes the manifest and commits the first part as the object's
// file. It is called under the exclusive gate.
func (s *Store) commitUpload(ctx context.Context, o *object, u *upload, parts []*storedPart, opts *PutOptions) (attrs Attrs, err error) {
	opts.Size, opts.Checksum = -1, cksum.Value{}
	if err := checkPut(o, opts); err != nil {
		return Attrs{}, err
	}
	w := &write{s: s, object: *o, opts: *opts, sync: o.Props.SyncWrites(), flushed: true}
	first := parts[0]
	w.chunks = &chunkWriter{upload: u.id, firstSize: first.size, borrowed: chunkPath(first.mp, o, u.id, first.number)}
	w.work, w.home = w.chunks.borrowed, first.mp
	for _, p := range parts {
		w.chunks.chunks = append(w.chunks.chunks, chunk{number: p.number, size: p.size, crc: p.crc, mp: p.mp.ID})
		w.size += p.size
	}
	w.listChunks()
	if w.sum, err = u.checksum(parts); err != nil {
		return Attrs{}, err
	}
	defer w.discard()
	attrs, err = w.commit(ctx)
	if err != nil {
		err = w.fail(err)
		if is, lookErr := s.isObject(ctx, o, u.id); lookErr == nil && is {
			u.ended = true                   // the object is there: only the acknowledgement failed
			_ = s.forgetUpload(ctx, o, u.id) // the first error is the one to tell
		}
		return Attrs{}, err
	}
	u.ended = true
	if w.handed { // as one body: nobody needs the parts
		s.removeChunks(o, u.id, nil)
		return attrs, nil
	}
	if err := s.forgetUpload(ctx, o, u.id); err != nil {
		return Attrs{}, err
	}
	u.dropUnused(s, o, parts)
	return attrs, nil
}

// checksum is that of the whole: of the bucket's type if the parts came one
// after the other, else put together from those of the parts.
func (u *upload) checksum(parts []*storedPart) (cksum.Value, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	w := &u.whole
	if w.kind != cksum.CRC32C && w.next == len(parts)+1 && len(u.parts) == len(parts) {
		if w.nobody {
			return cksum.Value{}, nil
		}
		h, err := w.hashOf(w.state)
		if err != nil {
			return cksum.Value{}, err
		}
		return cksum.Sum(w.kind, h), nil
	}
	crc := uint32(0)
	for _, p := range parts {
		crc = cksum.CombineCRC32C(crc, p.crc, p.size)
	}
	return cksum.Value{Type: cksum.CRC32C, Value: hex32(crc)}, nil
}

// dropUnused removes what of a completed upload is no chunk of the object:
// parts that were not listed, and a first part that was copied to another
// mountpath.
func (u *upload) dropUnused(s *Store, o *object, used []*storedPart) {
	keep := make(map[int]bool, len(used))
	for _, p := range used[1:] {
		keep[p.number] = true
	}
	for number, p := range u.parts {
		if keep[number] {
			continue
		}
		path := chunkPath(p.mp, o, u.id, number)
		if err := s.withSlot(p.mp, nil, func() error { return s.unlinkIfThere(path) }); err != nil {
			s.log.Warn("an unused part stays until it is collected", "path", path, "err", err)
		}
	}
}

// wasObject tells whether an upload became an object that was replaced before
// the upload's file went, as a crash may leave it: there is a list of its
// chunks, and the first of them, which is the object's file then, is nowhere. It
// does not tell that of an upload while a mountpath is out of use. held is the
// mountpath of which the caller has a slot.
func (s *Store) wasObject(o *object, id string, held *fsys.Mountpath) (was bool, err error) {
	for _, info := range s.options.FS.Mountpaths() {
		if !info.InUse() {
			return false, nil
		}
	}
	first := 0
	here := func(do func(mp *fsys.Mountpath) error) {
		for _, mp := range s.options.FS.Available().All() {
			if err == nil {
				err = s.partError(o, mp, s.withSlot(mp, held, func() error { return ignoreMissing(do(mp)) }))
			}
		}
	}
	here(func(mp *fsys.Mountpath) error {
		file, err := s.readSmall(mp, manifestPath(mp, o, id), maxManifest)
		if err != nil {
			return err
		}
		m, err := decodeManifest(file)
		if err == nil && m.state == stateCompleted && m.upload == id && m.bid == o.Props.BID && m.name == o.Name && len(m.chunks) > 0 {
			first = m.chunks[0].number
		}
		return nil //nolint:nilerr // a damaged list tells nothing
	})
	if first == 0 || err != nil {
		return false, err
	}
	was = true
	here(func(mp *fsys.Mountpath) error {
		_, err := s.system.Stat(chunkPath(mp, o, id, first))
		was = was && isNotExist(err)
		return err
	})
	return was && err == nil, err
}
