package core

import "github.com/aistore-go/aistore/cmn/hrw"

// LockState is what goes on with a name at one moment.
type LockState uint8

// States of a name.
const (
	Unlocked        LockState = iota
	LockedShared              // it is being read: looked at, or sent to somebody
	LockedExclusive           // it is being changed
)

// LockState tells what goes on with a name, whether or not there is an object.
// Readers count from Open to Close. A write counts while it is committed, not
// while its body arrives: it hinders nobody until then.
func (s *Store) LockState(key Key) LockState {
	return s.locks.state(hrw.Digest(key.Bck.Uname(key.Name)))
}

func (l *nameLocks) state(digest uint64) LockState {
	shard := l.shard(digest)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	lock := shard.held[digest]
	switch {
	case lock == nil:
		return Unlocked
	case lock.writer, lock.pending > 0:
		return LockedExclusive
	case lock.readers > 0 || lock.sending > 0:
		return LockedShared
	}
	return Unlocked
}

// beginSending notes a reader of a name that holds no lock; endSending, that it
// is done. They wait for nobody and let nobody wait.
func (l *nameLocks) beginSending(digest uint64) {
	shard := l.shard(digest)
	shard.mu.Lock()
	lock := shard.held[digest]
	if lock == nil {
		lock = shard.take()
		shard.held[digest] = lock
	}
	lock.sending++
	shard.mu.Unlock()
}

// unlockSending gives a shared lock back and notes that its holder goes on
// reading.
func (l *nameLocks) unlockSending(digest uint64) {
	shard := l.shard(digest)
	shard.mu.Lock()
	lock := shard.held[digest]
	lock.leave(false)
	lock.sending++
	shard.settle(digest, lock)
	shard.mu.Unlock()
}

func (l *nameLocks) endSending(digest uint64) {
	shard := l.shard(digest)
	shard.mu.Lock()
	lock := shard.held[digest]
	lock.sending--
	shard.settle(digest, lock)
	shard.mu.Unlock()
}
