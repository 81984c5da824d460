package core

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aistore-go/aistore/fs"
)

// Access times are kept in memory and written to the files when there is no
// more room, and at the end: a read costs no write.
const (
	accessShards   = 64 // a power of two
	accessPerShard = 1024
	// accessLag is by how much the time on disk may stay behind when an
	// entry has to make room.
	accessLag = 30 * time.Minute
	// accessBacklog is how many batches may wait to be written; more are
	// dropped.
	accessBacklog = 64
)

// accessTimes knows the last access of the objects read most recently, by the
// digest of their unique names.
type accessTimes struct {
	system fs.System
	log    *slog.Logger
	shards [accessShards]accessShard

	closed atomic.Bool
	batch  chan []accessEntry
	drain  chan chan struct{} // answered when all that was handed over before is written
	stop   chan struct{}
	done   chan struct{}
	start  sync.Once
	ending sync.Once
}

type accessShard struct {
	mu      sync.Mutex
	entries map[uint64]accessEntry
	_       [48]byte
}

type accessEntry struct {
	path   string
	at     int64 // last access, ns
	onDisk int64 // what the file says
}

func newAccessTimes(system fs.System, log *slog.Logger) *accessTimes {
	a := &accessTimes{
		system: system, log: log, batch: make(chan []accessEntry, accessBacklog),
		drain: make(chan chan struct{}), stop: make(chan struct{}), done: make(chan struct{}),
	}
	for i := range a.shards {
		a.shards[i].entries = make(map[uint64]accessEntry)
	}
	return a
}

func (a *accessTimes) shard(digest uint64) *accessShard { return &a.shards[digest%accessShards] }

// known returns the last access of a name if it is in memory.
func (a *accessTimes) known(digest uint64) (at int64, ok bool) {
	shard := a.shard(digest)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	entry, ok := shard.entries[digest]
	return entry.at, ok
}

// get returns the last access of a name, onDisk if it is not in memory.
func (a *accessTimes) get(digest uint64, onDisk int64) int64 {
	shard := a.shard(digest)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if entry, ok := shard.entries[digest]; ok {
		return max(entry.at, onDisk)
	}
	return onDisk
}

// touch notes an access. before is what get returned or the file says.
func (a *accessTimes) touch(digest uint64, path string, at, before int64) {
	shard := a.shard(digest)
	shard.mu.Lock()
	entry, known := shard.entries[digest]
	if !known {
		entry.onDisk = before
	}
	entry.path, entry.at = path, max(at, entry.at)
	var evicted []accessEntry
	if !known && len(shard.entries) >= accessPerShard {
		evicted = shard.makeRoom()
	}
	shard.entries[digest] = entry
	shard.mu.Unlock()
	if len(evicted) > 0 {
		a.hand(evicted)
	}
}

// flush hands the times to the writer of all entries of which the file's is
// older than a moment.
func (a *accessTimes) flush(olderThan int64) {
	for i := range a.shards {
		shard := &a.shards[i]
		var stale []accessEntry
		shard.mu.Lock()
		for digest, entry := range shard.entries {
			if entry.onDisk < olderThan && entry.at > entry.onDisk {
				stale = append(stale, entry)
				entry.onDisk = entry.at
				shard.entries[digest] = entry
			}
		}
		shard.mu.Unlock()
		if len(stale) > 0 {
			a.hand(stale)
		}
	}
}

// makeRoom removes an eighth of the entries, in the random order of maps, and
// returns those that the disk should know.
func (s *accessShard) makeRoom() []accessEntry {
	var stale []accessEntry
	room := accessPerShard / 8
	for digest, entry := range s.entries {
		if room == 0 {
			break
		}
		room--
		delete(s.entries, digest)
		if entry.at-entry.onDisk >= int64(accessLag) {
			stale = append(stale, entry)
		}
	}
	return stale
}

// forget drops what is known of a name: its object is another one now.
func (a *accessTimes) forget(digest uint64) {
	shard := a.shard(digest)
	shard.mu.Lock()
	delete(shard.entries, digest)
	shard.mu.Unlock()
}

// hand gives a batch to the writer, which begins with the first one.
func (a *accessTimes) hand(batch []accessEntry) {
	if a.closed.Load() {
		return
	}
	a.start.Do(func() { go a.run() })
	select {
	case a.batch <- batch:
	default: // the disk is slower than the readers: the times stay old
	}
}

func (a *accessTimes) run() {
	defer close(a.done)
	for {
		select {
		case batch := <-a.batch:
			a.writeAll(batch)
		case over := <-a.drain:
			for len(a.batch) > 0 {
				a.writeAll(<-a.batch)
			}
			close(over)
		case <-a.stop:
			return
		}
	}
}

func (a *accessTimes) writeAll(batch []accessEntry) {
	for i := range batch {
		a.write(&batch[i])
	}
}

// write sets a file's access time, unless the object was overwritten since the
// access: the new one was not read then.
func (a *accessTimes) write(entry *accessEntry) {
	info, err := a.system.Stat(entry.path)
	if err == nil && info.Mtime > entry.at {
		return
	}
	if err == nil {
		err = a.system.SetTimes(entry.path, entry.at, -1)
	}
	if err != nil && !isNotExist(err) {
		a.log.Debug("access time not written", "path", entry.path, "err", err)
	}
}

// close ends the writer and writes what is in memory until ctx ends.
func (a *accessTimes) close(ctx context.Context) error {
	var err error
	a.ending.Do(func() {
		a.closed.Store(true)
		close(a.stop)
		a.start.Do(func() { close(a.done) }) // it never ran
		<-a.done
		err = a.empty(ctx)
	})
	return err
}

// empty writes what is in memory to the files and forgets it, until ctx ends.
func (a *accessTimes) empty(ctx context.Context) error {
	for i := range a.shards {
		shard := &a.shards[i]
		shard.mu.Lock()
		entries := shard.entries
		shard.entries = make(map[uint64]accessEntry)
		shard.mu.Unlock()
		for _, entry := range entries {
			if err := ctx.Err(); err != nil {
				return err
			}
			if entry.at > entry.onDisk {
				a.write(&entry)
			}
		}
	}
	return nil
}

// clear makes the files the truth: what is in memory is written and forgotten,
// and nothing that was known before is written afterwards. A time that somebody
// sets from then on counts.
func (a *accessTimes) clear(ctx context.Context) error {
	if a.closed.Load() {
		return nil
	}
	err := a.empty(ctx)
	a.start.Do(func() { go a.run() })
	over := make(chan struct{})
	select {
	case a.drain <- over:
		<-over
	case <-a.done:
	}
	return err
}

// accessSlack is by how much a file's access time may differ from its record's
// without anybody having set it: a file is made a little before its record, and
// a write that takes longer sets the time itself, see write.setAccess.
const accessSlack = time.Minute

// effectiveAtime is the access time of an object that is not in memory: its
// file's, which reads set later and an administrator sets as he likes; or its
// record's, as long as the file's is that of the file's creation.
func effectiveAtime(recorded int64, info *fs.FileInfo) int64 {
	apart := time.Duration(info.Atime - recorded)
	switch {
	case info.Atime <= 0:
	case apart > accessSlack, apart < -accessSlack, apart > 0 && info.Atime > info.Mtime:
		return info.Atime
	}
	return recorded
}
