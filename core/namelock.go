package core

import (
	"context"
	"slices"
	"sync"
)

// lockShards is the number of independent tables of name locks; a power of two.
const lockShards = 256

// keptLocks is how many unused locks a shard keeps for reuse.
const keptLocks = 16

// nameLocks are shared and exclusive locks of object names, by the digest of
// the unique name (two names with one digest share a lock, which costs them
// nothing but time). A lock exists only while somebody holds it, waits for it,
// or has a change of the name under way. Waiting is first come, first served;
// no goroutine is involved.
//
// A writer whose change is visible but not yet on stable storage gives the lock
// up without ending the change: see unsettled. Until it is settled, readers
// wait, and further writers do not.
type nameLocks struct {
	shards [lockShards]lockShard
}

type lockShard struct {
	mu   sync.Mutex
	held map[uint64]*nameLock
	free []*nameLock
	_    [24]byte
}

type nameLock struct {
	readers int  // holders of the shared lock
	writer  bool // held exclusively
	sending int  // open readers, who hold no lock: they hinder nobody
	queue   []*lockWaiter

	pending int    // changes that are not settled; while there are any, readers is 0
	turn    uint64 // counts holders of the exclusive lock
	told    uint64 // the turn whose change was made known last
}

type lockWaiter struct {
	exclusive bool
	first     bool          // goes before those that do not
	granted   chan struct{} // closed when the lock is the waiter's
}

func newNameLocks() *nameLocks {
	l := &nameLocks{}
	for i := range l.shards {
		l.shards[i].held = make(map[uint64]*nameLock)
	}
	return l
}

func (l *nameLocks) shard(digest uint64) *lockShard { return &l.shards[digest%lockShards] }

// lock takes the lock of a name. It fails only with the context's error.
func (l *nameLocks) lock(ctx context.Context, digest uint64, exclusive bool) error {
	shard := l.shard(digest)
	shard.mu.Lock()
	lock := shard.held[digest]
	if lock == nil {
		lock = shard.take()
		shard.held[digest] = lock
	}
	if len(lock.queue) == 0 && lock.admits(exclusive) {
		lock.enter(exclusive)
		shard.mu.Unlock()
		return nil
	}
	waiter := &lockWaiter{exclusive: exclusive, granted: make(chan struct{})}
	lock.queue = append(lock.queue, waiter)
	shard.mu.Unlock()

	select {
	case <-waiter.granted:
		return nil
	case <-ctx.Done():
	}
	shard.mu.Lock()
	defer shard.mu.Unlock()
	select {
	case <-waiter.granted: // granted while giving up: hand it on
		lock.leave(exclusive)
	default:
		for i, w := range lock.queue {
			if w == waiter {
				lock.queue = append(lock.queue[:i], lock.queue[i+1:]...)
				break
			}
		}
	}
	shard.settle(digest, lock)
	return context.Cause(ctx)
}

// unlock gives a held lock back.
func (l *nameLocks) unlock(digest uint64, exclusive bool) {
	shard := l.shard(digest)
	shard.mu.Lock()
	lock := shard.held[digest]
	lock.leave(exclusive)
	shard.settle(digest, lock)
	shard.mu.Unlock()
}

// unsettled gives the exclusive lock up after a change that is visible and not
// yet on stable storage: other writers may enter, readers wait for settle. Every
// unsettled is followed by one retake and settled. It returns the turn of the
// change.
func (l *nameLocks) unsettled(digest uint64) (turn uint64) {
	shard := l.shard(digest)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	lock := shard.held[digest]
	lock.pending++
	lock.writer = false
	turn = lock.turn
	shard.settle(digest, lock)
	return turn
}

// retake takes the exclusive lock for a change that is not settled, before all
// others who wait. Whoever holds it meanwhile does not wait for this change, so
// it is a matter of moments.
func (l *nameLocks) retake(digest uint64) {
	shard := l.shard(digest)
	shard.mu.Lock()
	lock := shard.held[digest]
	if !lock.writer {
		lock.writer = true
		shard.mu.Unlock()
		return
	}
	waiter := &lockWaiter{exclusive: true, first: true, granted: make(chan struct{})}
	at := 0
	for at < len(lock.queue) && lock.queue[at].first {
		at++
	}
	lock.queue = slices.Insert(lock.queue, at, waiter)
	shard.mu.Unlock()
	<-waiter.granted
}

// settled ends a change and gives the retaken lock back.
func (l *nameLocks) settled(digest uint64) {
	shard := l.shard(digest)
	shard.mu.Lock()
	lock := shard.held[digest]
	lock.pending--
	lock.writer = false
	shard.settle(digest, lock)
	shard.mu.Unlock()
}

// tell notes that a change is made known to whoever keeps something about the
// name: true, unless that of a later one was. turn 0 is that of the present
// holder of the lock, which is held exclusively.
func (l *nameLocks) tell(digest, turn uint64) bool {
	shard := l.shard(digest)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	lock := shard.held[digest]
	if turn == 0 {
		turn = lock.turn
	}
	if turn < lock.told {
		return false
	}
	lock.told = turn
	return true
}

func (l *nameLock) admits(exclusive bool) bool {
	return !l.writer && (exclusive && l.readers == 0 || !exclusive && l.pending == 0)
}

func (l *nameLock) enter(exclusive bool) {
	if exclusive {
		l.writer = true
		l.turn++
	} else {
		l.readers++
	}
}

func (l *nameLock) leave(exclusive bool) {
	if exclusive {
		l.writer = false
	} else {
		l.readers--
	}
}

// settle lets in the waiters whose turn it is, and forgets an unused lock.
func (s *lockShard) settle(digest uint64, lock *nameLock) {
	for len(lock.queue) > 0 && lock.admits(lock.queue[0].exclusive) {
		waiter := lock.queue[0]
		lock.queue[0] = nil
		lock.queue = lock.queue[1:]
		if waiter.first {
			lock.writer = true // it had its turn
		} else {
			lock.enter(waiter.exclusive)
		}
		close(waiter.granted)
	}
	if len(lock.queue) > 0 || lock.writer || lock.readers > 0 || lock.pending > 0 || lock.sending > 0 {
		return
	}
	delete(s.held, digest)
	if len(s.free) < keptLocks {
		*lock = nameLock{}
		s.free = append(s.free, lock)
	}
}

func (s *lockShard) take() *nameLock {
	n := len(s.free)
	if n == 0 {
		return &nameLock{}
	}
	lock := s.free[n-1]
	s.free = s.free[:n-1]
	return lock
}

// count is the number of locks that somebody holds or waits for.
func (l *nameLocks) count() int {
	n := 0
	for i := range l.shards {
		l.shards[i].mu.Lock()
		n += len(l.shards[i].held)
		l.shards[i].mu.Unlock()
	}
	return n
}
