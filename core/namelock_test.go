package core

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"time"
)

func TestNameLockExcludes(t *testing.T) {
	t.Parallel()
	locks := newNameLocks()
	ctx := context.Background()
	var wg sync.WaitGroup
	var readers, writers int
	var mu sync.Mutex
	for g := range 8 {
		wg.Go(func() {
			for i := range 500 {
				digest, exclusive := uint64(i%3), (i+g)%4 == 0
				if err := locks.lock(ctx, digest, exclusive); err != nil {
					t.Error(err)
					return
				}
				if digest == 0 {
					mu.Lock()
					if exclusive {
						writers++
					} else {
						readers++
					}
					if writers > 1 || writers == 1 && readers > 0 {
						t.Errorf("%d writers and %d readers at once", writers, readers)
					}
					mu.Unlock()
					mu.Lock()
					if exclusive {
						writers--
					} else {
						readers--
					}
					mu.Unlock()
				}
				locks.unlock(digest, exclusive)
			}
		})
	}
	wg.Wait()
	if n := locks.count(); n != 0 {
		t.Fatalf("%d locks left", n)
	}
}

func TestNameLockGivesUp(t *testing.T) {
	t.Parallel()
	locks := newNameLocks()
	if err := locks.lock(context.Background(), 1, false); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	// A writer waits; a reader behind it waits its turn.
	writer := make(chan error, 1)
	go func() { writer <- locks.lock(ctx, 1, true) }()
	locks.await(t, 1, 1)
	reader := make(chan error, 1)
	go func() { reader <- locks.lock(context.Background(), 1, false) }()
	locks.await(t, 1, 2)
	cancel()
	if err := <-writer; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if err := <-reader; err != nil { // admitted once the writer has gone
		t.Fatal(err)
	}
	locks.unlock(1, false)
	locks.unlock(1, false)
	if n := locks.count(); n != 0 {
		t.Fatalf("%d locks left", n)
	}
}

// await waits until a name's queue has a length.
func (l *nameLocks) await(t *testing.T, digest uint64, length int) {
	t.Helper()
	shard := l.shard(digest)
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); runtime.Gosched() {
		shard.mu.Lock()
		lock := shard.held[digest]
		reached := lock != nil && len(lock.queue) == length
		shard.mu.Unlock()
		if reached {
			return
		}
	}
	t.Fatalf("the queue never had %d waiters", length)
}

func TestNameLockDoesNotAllocate(t *testing.T) {
	locks := newNameLocks()
	ctx := context.Background()
	if n := testing.AllocsPerRun(100, func() {
		if err := locks.lock(ctx, 5, true); err != nil {
			t.Fatal(err)
		}
		locks.unlock(5, true)
	}); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}
