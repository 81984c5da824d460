package core

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/aistore-go/aistore/cmn/wire"
	fsys "github.com/aistore-go/aistore/fs"
)

// The metadata cache holds the records of the objects that were read last, by
// the digest of their unique names, so that opening one that is in it needs
// neither its attribute read nor its path built. It is never believed alone: a
// reader opens the file all the same, and what it opened must be the very file
// of which the record was read.
const (
	metaShards = 64 // a power of two
	// DefaultMetadataCache is the bound of the cache, in bytes, if Options
	// names none.
	DefaultMetadataCache = 16 << 20
	// DefaultMetadataAge is for how long a record is used if Options does not
	// tell.
	DefaultMetadataAge = 2 * time.Hour
	// metaOverhead is what an entry costs beside its strings, in bytes: the
	// entry, its place in the map and in the ring.
	metaOverhead = int64(unsafe.Sizeof(metaEntry{})) + 64
)

// identity tells whether a file is the one that it was: any change of its
// content or of its attributes sets its change time.
type identity struct {
	dev, inode   uint64
	size         int64
	mtime, ctime int64
}

func identityOf(info *fsys.FileInfo) identity {
	return identity{dev: info.Dev, inode: info.Inode, size: info.Size, mtime: info.Mtime, ctime: info.Ctime}
}

// metaEntry is what is known of one object. It is immutable but for slot and
// used.
type metaEntry struct {
	digest uint64
	bucket *bucket // the incarnation
	mp     *fsys.Mountpath
	name   string
	path   string
	file   identity
	rec    record
	loaded int64 // when, ns since the epoch
	cost   int64 // bytes
	slot   int   // in the ring; under the shard's lock
	used   bool  // since the hand passed; under the shard's lock
}

// metaCache is bounded in bytes. Each shard makes room by the clock algorithm:
// what was not used since the hand passed goes.
type metaCache struct {
	limit  int64 // bytes a shard
	age    func() time.Duration
	shards [metaShards]metaShard
}

type metaShard struct {
	mu      sync.Mutex
	entries map[uint64]*metaEntry
	ring    []*metaEntry
	hand    int
	bytes   int64

	hits, misses, evicted, expired, collisions atomic.Int64
	_                                          [32]byte
}

// MetadataStats counts what the metadata cache did since the start.
type MetadataStats struct {
	Hits       int64 // reads that needed no record from the disk
	Misses     int64
	Evicted    int64 // entries that made room for others
	Expired    int64 // entries that were too old
	Collisions int64 // entries replaced by those of another name of the same digest
	Entries    int64 // now
	Bytes      int64 // now, roughly
}

func newMetaCache(limit int64, age func() time.Duration) *metaCache {
	if limit == 0 {
		limit = DefaultMetadataCache
	}
	if age == nil {
		age = func() time.Duration { return DefaultMetadataAge }
	}
	c := &metaCache{limit: limit / metaShards, age: age}
	for i := range c.shards {
		c.shards[i].entries = make(map[uint64]*metaEntry)
	}
	return c
}

func (c *metaCache) shard(digest uint64) *metaShard { return &c.shards[digest%metaShards] }

// get returns what is known of an object, nil if nothing is. The name lock
// must be held: whoever changes a name drops its entry under the exclusive one.
func (c *metaCache) get(b *bucket, mp *fsys.Mountpath, name string, digest uint64, now int64) *metaEntry {
	shard := c.shard(digest)
	shard.mu.Lock()
	e := shard.entries[digest]
	if e == nil || e.bucket != b || e.mp != mp || e.name != name {
		shard.mu.Unlock()
		shard.misses.Add(1)
		return nil
	}
	if old := now - e.loaded; old > int64(c.age()) || old < 0 {
		shard.remove(e)
		shard.mu.Unlock()
		shard.expired.Add(1)
		shard.misses.Add(1)
		return nil
	}
	e.used = true
	shard.mu.Unlock()
	shard.hits.Add(1)
	return e
}

// put keeps a record that was just read. The name lock must be held.
func (c *metaCache) put(e *metaEntry) {
	e.cost = metaOverhead + int64(len(e.path)) + e.rec.textBytes()
	if e.cost > c.limit/2 {
		return
	}
	shard := c.shard(e.digest)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if before := shard.entries[e.digest]; before != nil {
		if before.name != e.name || before.bucket != e.bucket {
			shard.collisions.Add(1)
		}
		shard.remove(before)
	}
	for shard.bytes+e.cost > c.limit {
		shard.makeRoom()
	}
	e.slot = len(shard.ring)
	shard.ring = append(shard.ring, e)
	shard.entries[e.digest] = e
	shard.bytes += e.cost
}

// makeRoom evicts one entry.
func (s *metaShard) makeRoom() {
	for {
		if s.hand >= len(s.ring) {
			s.hand = 0
		}
		e := s.ring[s.hand]
		if !e.used {
			s.remove(e)
			s.evicted.Add(1)
			return
		}
		e.used = false
		s.hand++
	}
}

func (s *metaShard) remove(e *metaEntry) {
	delete(s.entries, e.digest)
	last := len(s.ring) - 1
	s.ring[e.slot] = s.ring[last]
	s.ring[e.slot].slot = e.slot
	s.ring[last] = nil
	s.ring = s.ring[:last]
	s.bytes -= e.cost
}

// drop forgets a name. Whoever changes what a name holds calls it under the
// exclusive name lock, before anybody can read the change.
func (c *metaCache) drop(digest uint64) {
	shard := c.shard(digest)
	shard.mu.Lock()
	if e := shard.entries[digest]; e != nil {
		shard.remove(e)
	}
	shard.mu.Unlock()
}

// clear forgets everything.
func (c *metaCache) clear() {
	for i := range c.shards {
		shard := &c.shards[i]
		shard.mu.Lock()
		shard.entries = make(map[uint64]*metaEntry)
		shard.ring, shard.hand, shard.bytes = nil, 0, 0
		shard.mu.Unlock()
	}
}

// expire forgets what is too old, so that memory does not hold what nobody
// reads.
func (c *metaCache) expire(now int64) {
	oldest := now - int64(c.age())
	c.removeIf(func(s *metaShard, e *metaEntry) bool {
		if e.loaded >= oldest && e.loaded <= now {
			return false
		}
		s.expired.Add(1)
		return true
	})
}

func (c *metaCache) removeIf(is func(*metaShard, *metaEntry) bool) {
	for i := range c.shards {
		shard := &c.shards[i]
		shard.mu.Lock()
		for at := 0; at < len(shard.ring); {
			if e := shard.ring[at]; is(shard, e) {
				shard.remove(e) // the last one takes its place
				continue
			}
			at++
		}
		shard.mu.Unlock()
	}
}

func (c *metaCache) stats() MetadataStats {
	var sum MetadataStats
	for i := range c.shards {
		shard := &c.shards[i]
		shard.mu.Lock()
		sum.Entries += int64(len(shard.ring))
		sum.Bytes += shard.bytes
		shard.mu.Unlock()
		sum.Hits += shard.hits.Load()
		sum.Misses += shard.misses.Load()
		sum.Evicted += shard.evicted.Load()
		sum.Expired += shard.expired.Load()
		sum.Collisions += shard.collisions.Load()
	}
	return sum
}

// textBytes is roughly what the record's strings and slices hold.
func (r *record) textBytes() int64 {
	n := len(r.name) + len(r.version) + len(r.checksum.Value) + len(r.checksum.Type)
	for i := range r.custom {
		n += len(r.custom[i].Key) + len(r.custom[i].Value) + 2*16
	}
	for _, id := range r.copies {
		n += len(id) + 16
	}
	return int64(n)
}

// DropRecords drops all cached records, at once; the next read of an object
// reads its file's.
func (s *Store) DropRecords() { s.meta.clear() }

// ClearMetadata drops what memory holds of the objects of one bucket, or with
// nil of all: records, and the access times, which are written to the files
// first (those of all buckets). From then on the files are the truth, also
// where somebody has changed their access times by hand. The context bounds the
// time; access times that were not written then are lost, and its error is
// returned.
func (s *Store) ClearMetadata(ctx context.Context, bck *wire.Bck) error {
	if bck == nil {
		s.meta.clear()
		return s.access.clear(ctx)
	}
	s.meta.removeIf(func(_ *metaShard, e *metaEntry) bool { return e.bucket.bck == *bck })
	return s.access.clear(ctx)
}

// ExpireMetadata drops the records that were read longer than
// Options.MetadataAge ago, and hands access times that lag behind by as much to
// the disk. It is to be called now and then.
func (s *Store) ExpireMetadata() {
	now := s.options.Clock().UnixNano()
	s.meta.expire(now)
	s.access.flush(now - int64(s.meta.age()))
}

// MetadataStats tells what the metadata cache holds and did.
func (s *Store) MetadataStats() MetadataStats { return s.meta.stats() }

// forget drops what memory holds of a name: its object is another one now, or
// gone. It is called under the exclusive name lock.
func (s *Store) forget(o *object) {
	s.meta.drop(o.digest)
	s.access.forget(o.digest)
}

// changed is forget for a change that is known to be over: an earlier one that
// is not settled yet must not be told to anybody as if it were the newest.
func (s *Store) changed(o *object) {
	s.forget(o)
	s.locks.tell(o.digest, 0)
}
