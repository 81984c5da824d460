package fs

import (
	"sync"
	"sync/atomic"
)

// doubtfulDirs are directories of which it is not known whether what they show
// is on stable storage: their flush has failed, or a removal in them. Who finds
// a name missing there, and is about to say so for good, flushes them first.
type doubtfulDirs struct {
	count atomic.Int64 // to skip the lock in the usual case
	mu    sync.Mutex
	dirs  map[string]struct{}
	all   bool // too many to be kept one by one
	adds  int64
}

const maxDoubtfulDirs = 16 << 10

func (d *doubtfulDirs) add(dirs ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.adds++
	if d.dirs == nil {
		d.dirs = make(map[string]struct{})
	}
	for _, dir := range dirs {
		d.dirs[dir] = struct{}{}
	}
	if len(d.dirs) > maxDoubtfulDirs {
		d.dirs, d.all = nil, true
	}
	d.count.Store(int64(len(d.dirs)))
	if d.all {
		d.count.Store(1)
	}
}

// settle forgets directories that were flushed.
func (d *doubtfulDirs) settle(dirs map[string]struct{}) {
	if d.count.Load() == 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for dir := range dirs {
		delete(d.dirs, dir)
	}
	if !d.all {
		d.count.Store(int64(len(d.dirs)))
	}
}

// mark is the state before a flush of everything; see settleAll.
func (d *doubtfulDirs) mark() int64 {
	if d.count.Load() == 0 {
		return 0
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.adds
}

// settleAll forgets everything after such a flush, unless there are new doubts.
func (d *doubtfulDirs) settleAll(mark int64) {
	if mark == 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.adds == mark {
		d.dirs, d.all = nil, false
		d.count.Store(0)
	}
}

// Doubt notes that a removal in a directory has returned an error: it may have
// taken place all the same.
func (fsys *Filesystem) Doubt(dir string) { fsys.doubts.add(dir) }

// Doubtful tells that what a directory shows may not be on stable storage,
// although nobody is about to flush it.
func (fsys *Filesystem) Doubtful(dir string) bool {
	d := &fsys.doubts
	if d.count.Load() == 0 {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	_, yes := d.dirs[dir]
	return yes || d.all
}
