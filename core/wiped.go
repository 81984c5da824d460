package core

import (
	"context"

	"github.com/aistore-go/aistore/cmn/wire"
	fsys "github.com/aistore-go/aistore/fs"
)

// Somebody may remove what lies on a mountpath behind the store's back (rm -r
// <mountpath>/*). The disk is healthy then, and the mountpath's id, which a
// wildcard leaves out, is there; but no file of a bucket can be made any more, and
// the listing index tells of names that are gone.

// Wiped is a mountpath on which directories of buckets were missing.
type Wiped struct {
	Mountpath *fsys.Mountpath
	Buckets   []wire.Bck
}

// MendDirectories looks whether the directories of all buckets are on all mountpaths.
// Where some are missing it makes them again, forgets the records in memory, and has
// the listing index compared with the files. It returns where that was so: what
// lay there is gone. A mountpath whose root is not what it was is left to the health checks.
func (s *Store) MendDirectories(ctx context.Context) []Wiped {
	var all []Wiped
	for _, mp := range s.options.FS.Available().Paths {
		if mp.Hung() || mp.Look() != nil {
			continue
		}
		var missing []wire.Bck
		for _, b := range *s.buckets.Load() {
			if ctx.Err() != nil {
				return all
			}
			if s.lacks(mp, b) {
				missing = append(missing, b.bck)
			}
		}
		if len(missing) > 0 && s.makeAgain(mp, missing) {
			all = append(all, Wiped{Mountpath: mp, Buckets: missing})
		}
	}
	return all
}

// lacks tells that a bucket has not its directories on a mountpath.
func (s *Store) lacks(mp *fsys.Mountpath, b *bucket) bool {
	b.gate.RLock()
	defer b.gate.RUnlock()
	if b.gone || !b.has(mp) {
		return false
	}
	for _, content := range [...]string{fsys.ContentObject, fsys.ContentWork} {
		if _, err := s.system.Stat(mp.BucketDir(b.bck, content)); isNotExist(err) {
			return true
		}
	}
	return false
}

// makeAgain makes the directories of buckets, and tells whether that was needed and
// was done.
func (s *Store) makeAgain(mp *fsys.Mountpath, missing []wire.Bck) bool {
	s.applying.Lock()
	defer s.applying.Unlock()
	if !s.options.FS.Available().Has(mp) || mp.Look() != nil {
		return false // the whole mountpath goes
	}
	table := *s.buckets.Load()
	for _, bck := range missing {
		if table[bck] == nil { // destroyed meanwhile
			continue
		}
		if err := mp.CreateBucket(bck); err != nil {
			s.log.Error("the directories of a bucket are missing and cannot be made", "bucket", bck.String(), "mountpath", mp.Path, "err", err)
			return false
		}
	}
	s.DropRecords()
	if err := s.ReindexMountpath(mp.Path); err != nil {
		s.log.Warn("a mountpath is listed by walking", "mountpath", mp.Path, "err", err)
	}
	s.log.Error("directories of buckets were removed behind the store's back: what lay there is gone", "mountpath", mp.Path, "buckets", len(missing))
	return true
}
