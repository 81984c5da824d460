package core

import (
	"container/list"
	"context"
	"sync"

	"github.com/cespare/xxhash/v2"
)

// keptParts is how many parts of unused uploads are remembered; more are read
// from the disks when they are needed.
const keptParts = 100_000

// uploadTable is the uploads in memory: those in use, and of the others those
// that were used last.
type uploadTable struct {
	mu      sync.Mutex
	byID    map[string]*upload
	loading map[string]chan struct{} // closed when the load has ended
	unused  list.List                // of *upload, the one used last in front
	kept    int                      // what the unused ones take, in parts
	gates   *nameLocks
}

// uploadGate is the shared and exclusive lock of one upload.
type uploadGate struct {
	locks  *nameLocks
	digest uint64
}

func (t *uploadTable) gateOf(id string) uploadGate {
	return uploadGate{t.gates, xxhash.Sum64String(id)}
}

// enter fails only with the context's error.
func (g *uploadGate) enter(ctx context.Context, exclusive bool) error {
	return g.locks.lock(ctx, g.digest, exclusive)
}

func (g *uploadGate) leave(exclusive bool) { g.locks.unlock(g.digest, exclusive) }

// tableEntry is what the table knows of an upload, under the table's lock.
type tableEntry struct {
	users  int
	unused *list.Element // nil while there are users
	weight int           // in parts, as of when its last user left
}

func newUploadTable() *uploadTable {
	return &uploadTable{byID: make(map[string]*upload), loading: make(map[string]chan struct{}), gates: newNameLocks()}
}

// add makes a new upload known.
func (t *uploadTable) add(u *upload) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.byID[u.id] = u
	t.rest(u)
}

// use finds an upload. If there is none, the caller waits for one who loads it,
// or, if that is nil, has to load it and call loaded. Every upload is followed
// by one doneWith.
func (t *uploadTable) use(id string) (u *upload, wait <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if u := t.byID[id]; u != nil {
		u.inTable.users++
		t.unrest(u)
		return u, nil
	}
	if loading := t.loading[id]; loading != nil {
		return nil, loading
	}
	t.loading[id] = make(chan struct{})
	return nil, nil
}

// loaded ends a load with an upload, which is in use then, or with nil.
func (t *uploadTable) loaded(id string, u *upload) {
	t.mu.Lock()
	defer t.mu.Unlock()
	close(t.loading[id])
	delete(t.loading, id)
	if u != nil {
		t.byID[id] = u
		u.inTable.users++
	}
}

// doneWith ends a use. An upload that has ended is forgotten, and so are those
// that nobody has used for long when there are many.
func (t *uploadTable) doneWith(u *upload) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if u.inTable.users--; u.inTable.users > 0 {
		return
	}
	if u.ended { // nobody else is left to change it
		if t.byID[u.id] == u {
			delete(t.byID, u.id)
		}
		return
	}
	t.rest(u)
}

// unrest takes an upload from the unused ones, if it is one.
func (t *uploadTable) unrest(u *upload) {
	if e := &u.inTable; e.unused != nil {
		t.unused.Remove(e.unused)
		t.kept -= e.weight
		e.unused = nil
	}
}

// rest makes an upload one that nobody uses, and forgets others.
func (t *uploadTable) rest(u *upload) {
	e := &u.inTable
	e.weight = 16 + len(u.parts) // nobody changes them now
	e.unused = t.unused.PushFront(u)
	t.kept += e.weight
	for t.kept > keptParts {
		oldest := t.unused.Back().Value.(*upload)
		t.unrest(oldest)
		delete(t.byID, oldest.id)
	}
}

// has tells whether an upload is in memory, or about to be.
func (t *uploadTable) has(id string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byID[id] != nil || t.loading[id] != nil
}
