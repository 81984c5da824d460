package test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// proofUsers read objects of an encoded bucket and write new ones while targets die.
type proofUsers struct {
	c      *cluster
	names  []string     // that were there before, and are read
	all    objects      // their contents
	killed atomic.Int64 // when, unix ns; 0: not yet

	reads, retried, refused atomic.Int64 // right at the first try, early ones that were not, writes without an acknowledgement

	mu      sync.Mutex
	written objects         // acknowledged
	out     map[string]bool // names of which nobody promises anything

	stop chan struct{}
	halt func()
	done sync.WaitGroup
}

// readTries is for how long after a kill a read may have to be tried again.
const readTries = 15 * time.Second

// users begins with three readers and as many writers.
func (p ecProof) users(c *cluster, all objects) *proofUsers {
	u := &proofUsers{c: c, names: slices.Sorted(maps.Keys(all)), all: all, written: objects{}, out: map[string]bool{}, stop: make(chan struct{})}
	u.halt = sync.OnceFunc(func() { close(u.stop); u.done.Wait() })
	c.t.Cleanup(u.halt)
	for id := range 3 {
		u.done.Go(func() { u.read(uint64(id)) })
		u.done.Go(func() { u.write(id, p.size/8) })
	}
	return u
}

func (u *proofUsers) ended() bool {
	select {
	case <-u.stop:
		return true
	default:
		return false
	}
}

// early tells that a target was killed a moment ago.
func (u *proofUsers) early() bool {
	at := u.killed.Load()
	return at != 0 && time.Since(time.Unix(0, at)) < readTries
}

// choose takes any name, now and then one that was written meanwhile.
func (u *proofUsers) choose(random *rand.Rand) (name, content string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if random.IntN(4) == 0 {
		for name, content := range u.written {
			if !u.out[name] {
				return name, content
			}
			break
		}
	}
	name = u.names[random.IntN(len(u.names))]
	return name, u.all[name]
}

// read reads objects. In the moments after the kill an answer may be that it is to be
// tried again, and until those that were not protected are known, one may be missing
// that was written.
func (u *proofUsers) read(seed uint64) {
	random := rand.New(rand.NewPCG(3, seed))
	for !u.ended() {
		name, content := u.choose(random)
		early := u.early()
		a, err := try(client, http.MethodGet, objectURL(u.c.nodes[0], "b", name), "")
		switch {
		case err == nil && a.status == http.StatusOK && a.body == content:
			u.reads.Add(1)
		case (early || u.early()) && (err != nil || a.status == http.StatusServiceUnavailable || a.status == http.StatusBadGateway):
			u.retried.Add(1)
		case u.isOut(name) && (err != nil || a.status != http.StatusOK):
		default:
			u.c.t.Errorf("%v after the kill: GET %s: %d, %d bytes of %d: %.200s, %v", time.Since(time.Unix(0, u.killed.Load())), name, a.status, len(a.body), len(content), a.body, err)
		}
	}
}

func (u *proofUsers) isOut(name string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.out[name]
}

// write writes new names, one after the other, of all sizes up to one.
func (u *proofUsers) write(id, size int) {
	random := rand.New(rand.NewPCG(4, uint64(id)))
	for i := 0; !u.ended(); i++ {
		name := fmt.Sprintf("w%d/%05d", id, i)
		content := mixedContent(name, random.IntN(1+random.IntN(1+random.IntN(size))))
		a, err := try(client, http.MethodPut, objectURL(u.c.nodes[0], "b", name), content)
		if err != nil || a.status != http.StatusOK {
			u.refused.Add(1)
			u.mu.Lock()
			u.out[name] = true // it may be there all the same
			u.mu.Unlock()
			continue
		}
		u.mu.Lock()
		u.written[name] = content
		u.mu.Unlock()
	}
}

// acknowledged are the names that were written, with their contents.
func (u *proofUsers) acknowledged() objects {
	u.mu.Lock()
	defer u.mu.Unlock()
	return maps.Clone(u.written)
}

// leaveOut has names not read any more.
func (u *proofUsers) leaveOut(names []string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, name := range names {
		u.out[name] = true
	}
}

// awaitWrites waits until so many names were written.
func (u *proofUsers) awaitWrites(count int) {
	u.c.t.Helper()
	u.c.eventually("writes", func() error {
		if n := len(u.acknowledged()); n < count {
			return fmt.Errorf("%d writes of %d", n, count)
		}
		return nil
	})
}

// awaitReads waits until so many more objects were read at the first try.
func (u *proofUsers) awaitReads(count int64) {
	u.c.t.Helper()
	enough := u.reads.Load() + count
	u.c.eventually("clients read on", func() error {
		if n := u.reads.Load(); n < enough {
			return fmt.Errorf("%d reads of %d", n, enough)
		}
		return nil
	})
}

// end ends them. It returns what was written and must be there, and the names that may be
// there or not.
func (u *proofUsers) end() (written objects, unsure []string) {
	u.c.t.Helper()
	u.halt()
	u.c.t.Logf("%d reads were right at the first try, %d were to be tried again in the first %v; %d names were written, %d writes not acknowledged",
		u.reads.Load(), u.retried.Load(), readTries, len(u.written), u.refused.Load())
	for name := range u.out {
		delete(u.written, name)
	}
	return u.written, slices.Sorted(maps.Keys(u.out))
}
