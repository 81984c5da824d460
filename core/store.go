package core

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/hrw"
	"github.com/aistore-go/aistore/cmn/naming"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/memsys"
)

// Store is the object service of one target. All methods may be called at the
// same time.
type Store struct {
	options  Options
	nodeName string // "t[id]"
	node     uint64 // digest of the node's id, for stamps
	log      *slog.Logger
	memory   *memsys.Pool
	system   fs.System
	locks    *nameLocks
	clock    hybridClock
	access   *accessTimes
	appends  *appendTable
	meta     *metaCache
	writes   sync.Pool // of *write, for Put
	indexing *indexing

	generations *generations
	sidecars    sidecarsUnderWay
	inPlace     inPlace // chunked objects that are damaged
	uploads     *uploadTable
	untold      untold
	fences      sliceFences
	damages     atomic.Int64 // see Damages
	departures  departures
	removed     removedVersions

	pendingSignals pendingSignals

	started   int64        // ns: files that are older are of earlier processes
	openFlags atomic.Int32 // of reads; O_NOATIME until it is refused
	applying  sync.Mutex   // one ApplyBMD at a time
	buckets   atomic.Pointer[bucketTable]
}

// NewStore returns a store without buckets; ApplyBMD brings them. Close ends it.
func NewStore(o Options) *Store {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Memory == nil {
		o.Memory = memsys.New(0)
	}
	if o.Epoch == nil {
		o.Epoch = func() uint64 { return 0 }
	}
	s := &Store{
		options:  o,
		nodeName: meta.NodeName(meta.RoleTarget, o.NodeID),
		node:     hrw.Digest(o.NodeID),
		started:  o.Clock().UnixNano(),
		log:      o.Logger,
		memory:   o.Memory,
		system:   o.FS.System(),
		locks:    newNameLocks(),
		appends:  newAppendTable(),

		generations: newGenerations(),
		uploads:     newUploadTable(),
		untold:      untold{limit: maxUntold},

		pendingSignals: newPendingSignals(),
	}
	s.access = newAccessTimes(s.system, s.log)
	s.meta = newMetaCache(o.MetadataCache, o.MetadataAge)
	s.writes.New = func() any { return new(write) }
	s.openFlags.Store(unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_NOATIME)
	s.buckets.Store(&bucketTable{})
	s.indexing = newIndexing(s)
	return s
}

// Close writes the access times that are only in memory to the files and the
// listing indexes to the disks, and ends the store's goroutines. The context
// bounds the time; access times that were not written are lost, and an index
// that was not is checked by the next process. Requests must have ended before.
func (s *Store) Close(ctx context.Context) error {
	return errors.Join(s.access.close(ctx), s.indexing.shutdown(ctx))
}

// object is a key with everything that is found without touching a disk.
type object struct {
	Key
	bucket *bucket
	set    *fs.Set
	dirs   *bucketDirs   // on the mountpath
	mp     *fs.Mountpath // that of the name in the set, unless made by on
	digest uint64        // of the unique name: placement, name lock, access time
	plain  string        // path in the plain place, "" if the name may not lie there
}

// resolve checks a name and finds the bucket and the mountpath. Any bytes are
// a name; which of them a client may send is for its protocol to decide.
// Errors: 400 for a name that is empty or too long, 404 for a bucket that is
// not there or of which the caller knows another incarnation.
func (s *Store) resolve(key Key) (object, error) {
	if err := naming.ValidateTrue(key.Name); err != nil {
		return object{}, err
	}
	b := s.bucket(key.Bck, key.Props)
	if b == nil {
		return object{}, apierr.BucketNotFound(key.Bck)
	}
	var uname [512]byte
	digest := hrw.DigestBytes(key.Bck.AppendUname(uname[:0], key.Name))
	o := object{Key: key, bucket: b, digest: digest}
	return o, s.place(&o, s.options.FS.Available())
}

// bucket returns the bucket of today if it is the incarnation of the given
// properties.
func (s *Store) bucket(bck wire.Bck, props *meta.Bprops) *bucket {
	b := (*s.buckets.Load())[bck]
	if b == nil || b.bid != props.BID {
		return nil
	}
	return b
}

// listed returns the bucket of a listing of names with a prefix. Errors: 400 a prefix
// that is too long; 404 no such bucket.
func (s *Store) listed(bck wire.Bck, props *meta.Bprops, prefix string) (*bucket, error) {
	if len(prefix) > naming.MaxObjectName {
		return nil, apierr.BadRequest("invalid prefix: longer than %d bytes", naming.MaxObjectName)
	}
	if b := s.bucket(bck, props); b != nil {
		return b, nil
	}
	return nil, apierr.BucketNotFound(bck)
}

// lock takes the name lock, shared or exclusive, and then a slot of the
// mountpath: in this order, so that nobody waits for a name while holding a
// slot that the name's holder needs. If the mountpaths have changed since the
// object was resolved, it gets the place that it has now: whoever holds the
// slot and sees the set in force keeps the mountpath in it (see fs.Set).
func (s *Store) lock(ctx context.Context, o *object, exclusive bool) error {
	if err := s.locks.lock(ctx, o.digest, exclusive); err != nil {
		return err
	}
	for {
		err := o.mp.Acquire(ctx)
		now := s.options.FS.Available()
		if now == o.set && err == nil {
			return nil
		}
		if err == nil {
			o.mp.Release()
		}
		if now != o.set {
			err = s.place(o, now)
		}
		if err != nil {
			s.locks.unlock(o.digest, exclusive)
			return err
		}
	}
}

// lockName resolves a name and locks it; the caller unlocks it. Errors: 400 bad
// name; 404 no such bucket; 503 the mountpath is busy.
func (s *Store) lockName(ctx context.Context, key Key, exclusive bool) (object, error) {
	o, err := s.resolve(key)
	if err == nil {
		err = s.lock(ctx, &o, exclusive)
	}
	return o, err
}

func (s *Store) unlock(o *object, exclusive bool) {
	o.mp.Release()
	s.locks.unlock(o.digest, exclusive)
}

// stamp returns a stamp greater than that of the generation that it follows.
func (s *Store) stamp(previous Stamp) Stamp {
	return Stamp{
		Epoch: max(s.options.Epoch(), previous.Epoch),
		Clock: s.clock.next(s.options.Clock(), previous.Clock),
		Node:  s.node,
	}
}
