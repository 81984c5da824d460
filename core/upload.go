package core

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/cmn/wire"
	fsys "github.com/aistore-go/aistore/fs"
)

// upload is an object that comes in parts. All of it is on the disks: what is
// in memory is made of that when it is asked for, and may be forgotten while
// nobody uses it.
type upload struct {
	id      string
	bck     wire.Bck
	bid     uint64
	name    string
	created int64
	custom  []KV

	// gate is held shared while a part gets its name, and exclusively while
	// the upload ends, so that a part is counted or refused. publishing is for
	// one part at a time, so that what is counted is what has the name.
	gate       uploadGate
	publishing chan struct{}
	ended      bool
	aborting   bool // its file is removed, maybe not for good: all it takes is another abort

	mu    sync.Mutex // for what follows
	parts map[int]*storedPart
	whole wholeSum

	inTable tableEntry
}

// storedPart is a part that has its name.
type storedPart struct {
	partRecord
	mp      *fsys.Mountpath
	durable bool // it was flushed by this process
}

// CreateOptions is what is known of an object whose parts are to come.
type CreateOptions struct {
	Custom []KV // custom metadata of the object
}

// CreateUpload begins an upload and returns its id. It is as durable as a
// write, and stays until it is completed or aborted, across restarts.
//
// Errors: 400 bad name or custom metadata; 404 no such bucket; 501 remote
// bucket; 507 out of space; 503.
func (s *Store) CreateUpload(ctx context.Context, key Key, opts CreateOptions) (id string, err error) {
	o, err := s.resolveUpload(key)
	if err != nil {
		return "", err
	}
	if err := ValidateCustom(opts.Custom); err != nil {
		return "", err
	}
	if err := o.room(0); err != nil {
		return "", err
	}
	custom, err := mergeCustom(nil, opts.Custom)
	if err != nil {
		return "", err
	}
	u := s.newUpload(&o, newUploadID(), strings.Clone(key.Name))
	u.created, u.custom = s.options.Clock().UnixNano(), custom
	m := manifest{state: stateUpload, upload: u.id, bid: u.bid, name: u.name, created: u.created, custom: u.custom}
	path := uploadPath(o.mp, &o, u.id)
	if err := s.writeManifest(context.WithoutCancel(ctx), &o, path, m.encode(), key.Props.SyncWrites()); err != nil {
		s.removeChunks(&o, u.id, nil) // in case it took place all the same
		return "", err
	}
	s.uploads.add(u)
	return u.id, nil
}

// newUpload is an upload in memory that has no parts yet.
func (s *Store) newUpload(o *object, id, name string) *upload {
	return &upload{
		id: id, bck: o.Bck, bid: o.Props.BID, name: name, gate: s.uploads.gateOf(id), publishing: make(chan struct{}, 1),
		parts: map[int]*storedPart{}, whole: newWholeSum(o.Props.Checksum.Type),
	}
}

func newWholeSum(kind string) wholeSum {
	return wholeSum{kind: kind, next: 1, nobody: kind == cksum.None}
}

// resolveUpload is resolve for an object that may come in parts.
func (s *Store) resolveUpload(key Key) (object, error) {
	o, err := s.resolve(key)
	if err == nil {
		err = o.CheckWritable()
	}
	return o, err
}

// noUpload is the 404 of an upload that does not exist, or not any more.
func noUpload(o *object, id string) error {
	return apierr.New(apierr.StatusNotFound, wire.CodeNotFound, "multipart upload %.64q of %s does not exist", id, o.Cname())
}

// useUpload finds an upload of an object, in memory or on the disks. Every nil
// error is followed by one uploads.doneWith.
func (s *Store) useUpload(ctx context.Context, o *object, id string) (*upload, error) {
	if !isUploadID(id) {
		return nil, noUpload(o, id)
	}
	for {
		u, wait := s.uploads.use(id)
		switch {
		case u != nil && (u.bck != o.Bck || u.bid != o.Props.BID || u.name != o.Name):
			s.uploads.doneWith(u)
			return nil, noUpload(o, id)
		case u != nil:
			return u, nil
		case wait == nil:
			u, err := s.loadUpload(ctx, o, id)
			s.uploads.loaded(id, u)
			return u, err
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// loadUpload reads an upload from the disks: that of an earlier run of this
// process, or one that was forgotten.
func (s *Store) loadUpload(ctx context.Context, o *object, id string) (*upload, error) {
	m, err := s.findUpload(o, id)
	if err != nil {
		return nil, err
	}
	if m == nil {
		return nil, noUpload(o, id)
	}
	u := s.newUpload(o, id, m.name)
	u.created, u.custom = m.created, m.custom
	// A crash between a commit and the end of its upload leaves both.
	finished, err := s.isObject(ctx, o, id)
	if err == nil && !finished {
		finished, err = s.wasObject(o, id, nil)
	}
	if err != nil {
		return nil, err
	}
	if finished {
		if err := s.forgetUpload(ctx, o, id); err != nil {
			return nil, err
		}
		return nil, noUpload(o, id)
	}
	for _, mp := range s.options.FS.Available().All() {
		err := s.withSlot(mp, nil, func() error {
			chunks, err := s.chunksHere(mp, o, id, nil)
			if err != nil {
				return err
			}
			for i := range chunks {
				number := chunks[i].Number
				p, ok, err := s.readPart(chunks[i].Path)
				if err != nil {
					return err
				}
				if !ok || p.number != number || p.upload != id || p.bid != u.bid {
					continue
				}
				if known := u.parts[number]; known == nil || known.clock < p.clock {
					u.parts[number] = &storedPart{partRecord: p, mp: mp}
				}
			}
			return nil
		})
		if err != nil {
			return nil, s.partError(o, mp, err)
		}
	}
	for _, p := range u.parts {
		s.clock.next(s.options.Clock(), p.clock) // what comes now is later
	}
	u.continueWhole()
	return u, nil
}

// continueWhole finds out whether the parts on the disks came in order, and so
// where the checksum of the whole goes on.
func (u *upload) continueWhole() {
	w := &u.whole
	last := uint64(0)
	for n := 1; n <= len(u.parts); n++ {
		p := u.parts[n]
		if p == nil || p.clock <= last || p.wholeType != w.kind {
			w.next = 0
			return
		}
		last, w.state, w.next = p.clock, []byte(p.wholeState), n+1
	}
}

// findUpload looks for the file of an upload on all mountpaths; nil if there
// is none.
func (s *Store) findUpload(o *object, id string) (found *manifest, err error) {
	for _, mp := range s.options.FS.Available().All() {
		err := s.withSlot(mp, nil, func() error {
			path := uploadPath(mp, o, id)
			file, err := s.readSmall(mp, path, maxManifest)
			if isNotExist(err) {
				return nil
			}
			if err != nil {
				return err
			}
			m, err := decodeManifest(file)
			if err != nil {
				s.log.Warn("damaged upload", "path", path, "err", err)
				return nil
			}
			if m.state == stateUpload && m.upload == id && m.bid == o.Props.BID && m.name == o.Name {
				found = m
			}
			return nil
		})
		if err != nil || found != nil {
			return found, err
		}
	}
	return nil, nil
}

// isObject tells whether a name's object is the generation of an upload id.
func (s *Store) isObject(ctx context.Context, o *object, id string) (bool, error) {
	at := *o
	if err := s.lock(ctx, &at, false); err != nil {
		return false, err
	}
	defer s.unlock(&at, false)
	now, err := s.current(&at)
	return err == nil && now.refersTo(id), err
}

// refersTo tells whether anything that a name holds has chunks of an id.
func (e *existing) refersTo(id string) bool {
	if e.found && e.rec.chunks.upload == id || e.olderRec.chunks.upload == id {
		return true
	}
	for i := range e.others {
		if e.others[i].refersTo(id) {
			return true
		}
	}
	return false
}

// forgetUpload removes the file of an upload that became an object. Once that
// object was replaced nothing else tells that the upload is finished, so that
// the removal is as durable as the object. A file that cannot be removed stays:
// whoever replaces the object tries again. The error is that of a flush.
func (s *Store) forgetUpload(ctx context.Context, o *object, id string) error {
	for _, mp := range s.options.FS.Available().All() {
		err := s.withSlot(mp, nil, func() error {
			path := uploadPath(mp, o, id)
			if err := s.system.Unlink(path); err != nil {
				if !isNotExist(err) {
					s.log.Warn("a finished upload stays until it is collected", "object", o.Cname(), "upload", id, "err", err)
				}
				return nil
			}
			if !o.Props.SyncWrites() {
				return nil
			}
			return mp.Filesystem().Flush(context.WithoutCancel(ctx), fsys.FlushRequest{Dirs: []string{filepath.Dir(path)}})
		})
		if err != nil {
			return s.partError(o, mp, err)
		}
	}
	return nil
}

// ListParts returns the parts of an upload that have arrived, by number.
// Errors: 404 no such upload; 503.
func (s *Store) ListParts(ctx context.Context, key Key, id string) ([]Part, error) {
	o, err := s.resolveUpload(key)
	if err != nil {
		return nil, err
	}
	u, err := s.useUpload(ctx, &o, id)
	if err != nil {
		return nil, err
	}
	defer s.uploads.doneWith(u)
	if err := u.gate.enter(ctx, false); err != nil {
		return nil, err
	}
	defer u.gate.leave(false)
	if u.over() {
		return nil, noUpload(&o, id)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	parts := make([]Part, 0, len(u.parts))
	for _, p := range u.parts {
		parts = append(parts, p.part())
	}
	slices.SortFunc(parts, func(a, b Part) int { return a.Number - b.Number })
	return parts, nil
}

// AbortUpload ends an upload and removes its parts. Errors: 404 no such
// upload; 500 I/O: the upload may be there still; 503.
func (s *Store) AbortUpload(ctx context.Context, key Key, id string) error {
	o, err := s.resolveUpload(key)
	if err != nil {
		return err
	}
	u, err := s.useUpload(ctx, &o, id)
	if err != nil {
		return err
	}
	defer s.uploads.doneWith(u)
	if err := u.gate.enter(ctx, true); err != nil {
		return err
	}
	defer u.gate.leave(true)
	if u.ended {
		return noUpload(&o, id)
	}
	// First what makes the parts an upload: after a crash it must not come
	// back with fewer of them.
	for _, mp := range s.options.FS.Available().All() {
		err := s.withSlot(mp, nil, func() error {
			removed, err := s.endUpload(context.WithoutCancel(ctx), mp, &o, id)
			u.aborting = u.aborting || removed
			return err
		})
		if err != nil {
			return s.partError(&o, mp, err)
		}
	}
	u.ended = true
	s.removeChunks(&o, id, nil)
	return nil
}

// over tells that no further step may be done with an upload but its abort.
func (u *upload) over() bool { return u.ended || u.aborting }

// endUpload removes the file of an upload from a mountpath, durably if it has to
// be: also where an earlier attempt has removed it and could not flush that. It
// tells whether there was a file that is gone now.
func (s *Store) endUpload(ctx context.Context, mp *fsys.Mountpath, o *object, id string) (removed bool, err error) {
	path := uploadPath(mp, o, id)
	dir := filepath.Dir(path)
	err = s.system.Unlink(path)
	if err != nil && !isNotExist(err) {
		mp.Filesystem().Doubt(dir) // it may have taken place all the same
		return false, err
	}
	removed = err == nil
	if !o.Props.SyncWrites() || !removed && !mp.Filesystem().Doubtful(dir) {
		return removed, nil
	}
	if err := mp.Filesystem().Flush(ctx, fsys.FlushRequest{Dirs: []string{dir}}); err != nil && !isNotExist(err) {
		return removed, err
	}
	return removed, nil
}
