package fs

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
)

// doubtfulDirs are directories in which names are missing that a loss of power
// may bring back: their flush has failed, or a removal in them, or nobody
// flushed after a removal. Who finds a name missing there, and is about to say
// so for good, flushes them first.
type doubtfulDirs struct {
	count atomic.Int64 // to skip the lock in the usual case
	mu    sync.Mutex
	dirs  map[string]int64 // the number of the last doubt
	all   bool             // too many to be kept one by one
	adds  int64
}

const maxDoubtfulDirs = 16 << 10

func (d *doubtfulDirs) add(dirs ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.adds++
	if d.all {
		return
	}
	if d.dirs == nil {
		d.dirs = make(map[string]int64)
	}
	for _, dir := range dirs {
		d.dirs[dir] = d.adds
	}
	if len(d.dirs) > maxDoubtfulDirs {
		d.dirs, d.all = nil, true
	}
	d.count.Store(int64(len(d.dirs)))
	if d.all {
		d.count.Store(1)
	}
}

// settle forgets directories that were flushed, unless there are doubts from
// after the mark, which was taken before the flush began.
func (d *doubtfulDirs) settle(dirs map[string]struct{}, mark int64) {
	if mark == 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for dir := range dirs {
		if d.dirs[dir] <= mark {
			delete(d.dirs, dir)
		}
	}
	if !d.all {
		d.count.Store(int64(len(d.dirs)))
	}
}

// mark is the state before a flush; see settle and settleAll.
func (d *doubtfulDirs) mark() int64 {
	if d.count.Load() == 0 {
		return 0
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.adds
}

// settleAll forgets everything after a flush of the whole filesystem, unless
// there are new doubts.
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

// Doubt notes that a name is gone from a directory, or may be, and that nobody
// is about to flush that. It is called after the removal.
func (fsys *Filesystem) Doubt(dir string) { fsys.doubts.add(dir) }

// Doubts tells that there is any doubtful directory.
func (fsys *Filesystem) Doubts() bool { return fsys.doubts.count.Load() > 0 }

// Doubtful tells that names which are missing in a directory may come back
// after a loss of power, although nobody is about to remove them.
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

// SettleDoubts flushes all doubtful directories: what is missing in them when it
// begins stays missing after a loss of power. Errors are those of Flush.
func (fsys *Filesystem) SettleDoubts(ctx context.Context) error {
	d := &fsys.doubts
	if d.count.Load() == 0 {
		return nil
	}
	d.mu.Lock()
	dirs, all, mark := slices.Collect(maps.Keys(d.dirs)), d.all, d.adds
	d.mu.Unlock()
	if !all {
		return fsys.Flush(ctx, FlushRequest{Dirs: dirs})
	}
	if fsys.syncfs == nil {
		return fmt.Errorf("%w: more directories than can be kept were changed, and the filesystem cannot be flushed as a whole", ErrFlushFailed)
	}
	if err := fsys.system.Syncfs(fsys.syncfs); err != nil {
		return fmt.Errorf("%w: %w", ErrFlushFailed, err)
	}
	d.settleAll(mark)
	return nil
}
