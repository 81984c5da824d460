package core

import (
	"context"
	"strings"

	"github.com/aistore-go/aistore/cmn/hrw"
	fsys "github.com/aistore-go/aistore/fs"
)

// A read whose record is in memory takes the short way of this file: it
// allocates nothing, and opens and examines one file. Whatever is not as
// expected (another file under the name, a mountpath that has changed, an
// error) is left to the long way of open.go, which begins anew and decides.

// openWarm opens an object by its cached record; false: go the long way.
func (s *Store) openWarm(ctx context.Context, key *Key, r *Reader) bool {
	mp, digest, ok := s.lockWarm(ctx, key)
	if !ok {
		return false
	}
	now := s.options.Clock().UnixNano()
	e := s.meta.get(s.bucket(key.Bck, key.Props), mp, key.Name, digest, now)
	if e == nil {
		s.unlockWarm(mp, digest)
		return false
	}
	if len(e.rec.copies) > 0 && s.balanced(mp, &e.rec) != mp {
		s.unlockWarm(mp, digest)
		return false
	}
	age := mp.Begin()
	f, err := s.reopenFile(r.spare, e.path, e.file.dev)
	if err != nil {
		mp.End(age)
		s.unlockWarm(mp, digest)
		return false
	}
	info, err := f.Stat()
	mp.Leave(age)
	if err != nil || identityOf(&info) != e.file {
		s.locks.unlock(digest, false)
		r.spare = f
		_ = f.Close() // nothing was read of it
		return false
	}
	r.Attrs = e.rec.attrs(mp)
	r.Atime = s.access.get(digest, effectiveAtime(e.rec.atime, &info))
	r.File, r.spare, r.store, r.digest, r.opened, r.key = f, nil, s, digest, now, *key
	s.locks.unlockSending(digest)
	return true
}

// headWarm sets the attributes of an object by its cached record; false: go
// the long way.
func (s *Store) headWarm(ctx context.Context, key *Key, attrs *Attrs) bool {
	mp, digest, ok := s.lockWarm(ctx, key)
	if !ok {
		return false
	}
	defer s.unlockWarm(mp, digest)
	e := s.meta.get(s.bucket(key.Bck, key.Props), mp, key.Name, digest, s.options.Clock().UnixNano())
	if e == nil {
		return false
	}
	if len(e.rec.copies) > 0 && s.pendingCopies(mp) {
		return false
	}
	age := mp.Begin()
	info, err := s.system.Stat(e.path)
	mp.End(age)
	if err != nil || identityOf(&info) != e.file {
		return false
	}
	*attrs = e.rec.attrs(mp)
	attrs.Atime = s.access.get(digest, effectiveAtime(e.rec.atime, &info))
	return true
}

// lockWarm takes the shared lock of a name and a slot of the mountpath on which
// it lies, if that is certain. Every true is followed by one unlockWarm.
func (s *Store) lockWarm(ctx context.Context, key *Key) (mp *fsys.Mountpath, digest uint64, ok bool) {
	set := s.options.FS.Available()
	if set.Unsettled {
		return nil, 0, false
	}
	var uname [512]byte
	digest = hrw.DigestBytes(key.Bck.AppendUname(uname[:0], key.Name))
	if mp = set.Owner(digest); mp == nil {
		return nil, 0, false
	}
	if s.locks.lock(ctx, digest, false) != nil {
		return nil, 0, false
	}
	if mp.Acquire(ctx) != nil {
		s.locks.unlock(digest, false)
		return nil, 0, false
	}
	if s.options.FS.Available() != set {
		s.unlockWarm(mp, digest)
		return nil, 0, false
	}
	return mp, digest, true
}

func (s *Store) unlockWarm(mp *fsys.Mountpath, digest uint64) {
	mp.Release()
	s.locks.unlock(digest, false)
}

// remember keeps what openOnce found, for the next read. The name lock is held.
func (s *Store) remember(o *object, c *candidate) {
	if c.file == nil || c.damage != nil || c.rec.kind != KindObject {
		return
	}
	e := &metaEntry{
		digest: o.digest, bucket: o.bucket, mp: o.mp, path: c.path, file: identityOf(&c.info), rec: c.rec,
		loaded: s.options.Clock().UnixNano(),
	}
	// The name is a part of the path, if it can be, so that it is held once.
	if strings.HasSuffix(e.path, o.Name) {
		e.name = e.path[len(e.path)-len(o.Name):]
	} else {
		e.name = strings.Clone(o.Name)
	}
	s.meta.put(e)
}
