package core

import (
	"context"
	"errors"
	"io/fs"
	"sync"
	"sync/atomic"

	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
	fsys "github.com/aistore-go/aistore/fs"
)

// bucketTable is all buckets of this target by identity. It is immutable.
type bucketTable map[wire.Bck]*bucket

// bucket is one incarnation of a bucket.
type bucket struct {
	bck wire.Bck
	bid uint64

	// gate is held shared by every step that makes names or directories, and
	// exclusively while the bucket goes away, so that nothing re-creates the
	// directories of a destroyed bucket.
	gate sync.RWMutex
	gone bool

	props   atomic.Pointer[meta.Bprops] // as of the last ApplyBMD
	signals *pendingSignals

	mu   sync.Mutex // serializes changes of dirs
	dirs atomic.Pointer[[]*bucketDirs]

	judged atomic.Pointer[judged] // sidecars that need not be looked at again
}

// bucketDirs is a bucket on one mountpath.
type bucketDirs struct {
	mp      *fsys.Mountpath
	objects string // ".../%ob/"

	// Whether there may be anything in the escaped place, and noncurrent
	// versions: holdsUnknown, ...
	escaped, versions atomic.Int32
}

const (
	holdsUnknown = iota
	holdsNone
	holdsSome
)

func newBucket(bck wire.Bck, bid uint64, signals *pendingSignals) *bucket {
	b := &bucket{bck: bck, bid: bid, signals: signals}
	b.dirs.Store(new([]*bucketDirs))
	return b
}

// on returns the bucket's directories on a mountpath of a set.
func (b *bucket) on(set *fsys.Set, mp *fsys.Mountpath) *bucketDirs {
	for _, d := range *b.dirs.Load() {
		if d.mp == mp {
			return d
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	known := *b.dirs.Load()
	for _, d := range known {
		if d.mp == mp {
			return d
		}
	}
	d := &bucketDirs{mp: mp, objects: mp.BucketDir(b.bck, fsys.ContentObject) + "/"}
	grown := make([]*bucketDirs, 0, len(known)+1)
	for _, other := range append(known, d) {
		if other == d || set.Has(other.mp) { // those of mountpaths that have left go
			grown = append(grown, other)
		}
	}
	b.dirs.Store(&grown)
	return d
}

// mayHoldEscaped tells whether the escaped place may hold anything.
func (d *bucketDirs) mayHoldEscaped(b wire.Bck) bool {
	return d.mayHold(&d.escaped, b, fsys.ContentEscaped)
}

// mayHold tells whether a content type may have any files. The first call
// looks; after that only this process adds to it.
func (d *bucketDirs) mayHold(known *atomic.Int32, b wire.Bck, content string) bool {
	state := known.Load()
	if state == holdsUnknown {
		state = holdsNone
		found := errors.New("found")
		err := d.mp.System().ReadDir(d.mp.BucketDir(b, content), func([]byte, fsys.EntryKind) error { return found })
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			state = holdsSome // an entry, or an error: look at each name
		}
		if !known.CompareAndSwap(holdsUnknown, state) {
			state = known.Load()
		}
	}
	return state == holdsSome
}

// ApplyBMD makes the target's buckets those of the new bucket metadata: it
// makes the directories of buckets that are there and moves those of buckets
// (or earlier incarnations) that old had and new has not into trash. old is
// nil at the start, and where new does not continue it: another history of the
// cluster, or another cluster. Then buckets that new has not are closed, and
// what is on the disks stays there: it may be all that is left of them. It is idempotent and may be called with the same
// arguments again after an error; directories of buckets that neither document
// names are left alone.
//
// When it returns, no object of a destroyed bucket is visible, and no write to
// one will become visible.
func (s *Store) ApplyBMD(ctx context.Context, old, new *meta.BMD) error {
	s.applying.Lock()
	defer s.applying.Unlock()

	before := *s.buckets.Load()
	wanted := make(bucketTable, new.Len())
	staying := make(bucketTable, new.Len())
	var made []*bucket
	for _, entry := range new.Buckets(nil) {
		b := before[entry.Bck]
		if b == nil || b.bid != entry.Props.BID {
			b = newBucket(entry.Bck, entry.Props.BID, &s.pendingSignals)
			made = append(made, b)
		} else {
			staying[entry.Bck] = b
		}
		b.props.Store(entry.Props)
		wanted[entry.Bck] = b
	}
	var ending []*bucket
	var leaving []wire.Bck // into trash
	var destroyed []uint64 // ids
	for bck, b := range before {
		if wanted[bck] == b {
			continue
		}
		ending = append(ending, b)
		destroyed = append(destroyed, b.bid)
		if old != nil {
			leaving = append(leaving, bck)
		}
	}
	for _, entry := range old.Buckets(nil) {
		b := wanted[entry.Bck]
		if b == nil || b.bid != entry.Props.BID {
			destroyed = append(destroyed, entry.Props.BID)
		}
		if before[entry.Bck] == nil && (b == nil || b.bid != entry.Props.BID) {
			leaving = append(leaving, entry.Bck)
		}
	}

	s.buckets.Store(&staying)
	for _, b := range ending {
		b.end()
	}
	var errs []error
	for _, bck := range leaving {
		if err := ctx.Err(); err != nil {
			return errors.Join(append(errs, err)...)
		}
		if err := s.trashBucket(bck); err != nil {
			errs = append(errs, err)
			// Its directories are still there: a new incarnation of it
			// may be used all the same, the bucket id tells them apart.
		}
	}
	for _, bid := range destroyed {
		s.indexing.bucketGone(bid)
	}
	set := s.options.FS.Available()
	for _, b := range made {
		for _, mp := range set.Paths {
			if err := mp.CreateBucket(b.bck); err != nil {
				errs = append(errs, err)
			}
			b.on(set, mp)
		}
	}
	// Buckets that stayed get their directories on mountpaths that are new.
	for _, b := range staying {
		for _, mp := range set.Paths {
			if b.has(mp) {
				continue
			}
			if err := mp.CreateBucket(b.bck); err != nil {
				errs = append(errs, err)
			}
			b.on(set, mp)
		}
	}
	s.buckets.Store(&wanted)
	for _, b := range made {
		s.indexing.bucketMade(b)
	}
	s.indexing.wakeAll()
	return errors.Join(errs...)
}

// ChangeMountpaths runs a change of the mountpaths, such as fs.Manager.Attach,
// between changes of the buckets. What it passes to prepare gets the
// directories of all buckets, before any name is placed on it.
func (s *Store) ChangeMountpaths(change func(prepare fsys.Prepare) error) error {
	s.applying.Lock()
	defer s.applying.Unlock()
	defer s.indexing.refresh(true)
	return change(func(mp *fsys.Mountpath) error {
		for bck := range *s.buckets.Load() {
			if err := mp.CreateBucket(bck); err != nil {
				return err
			}
		}
		return nil
	})
}

func (b *bucket) has(mp *fsys.Mountpath) bool {
	for _, d := range *b.dirs.Load() {
		if d.mp == mp {
			return true
		}
	}
	return false
}

// end lets nobody make a name or a directory of a bucket any more.
func (b *bucket) end() {
	b.gate.Lock()
	defer b.gate.Unlock()
	b.gone = true
}

// trashBucket moves a bucket that has ended into trash, on all mountpaths.
func (s *Store) trashBucket(bck wire.Bck) error {
	var errs []error
	for _, mp := range s.options.FS.Available().All() {
		if err := mp.TrashBucket(bck); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
