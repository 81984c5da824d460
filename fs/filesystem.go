package fs

import (
	"errors"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Filesystem is one filesystem (one st_dev), shared by the mountpaths that lie
// on it. It owns the flush rounds.
type Filesystem struct {
	Device string   // block device or source of the mount, "" = not found
	Type   string   // "ext4", "xfs", ...
	FsID   [2]int32 // of statfs
	Disks  []string // whole disks under it, sorted; empty = could not be resolved

	rescanned *[]string // disks as the last rescan saw them, nil: none; under Manager.changing

	dev     uint64 // st_dev
	root    string // path of the first mountpath on it, for messages
	system  System
	onEvent func(Event)
	// Kept open: each reports the write-back errors since it was opened, once. So
	// rounds have one of their own, and nobody takes an error away from them.
	syncfs, settling File

	rounds  flusher
	cost    flushCost // of rounds
	fresh   freshDirs
	doubts  doubtfulDirs
	unsaved dirtyWindow
}

// open opens what Syncfs is called with; dir lies on the filesystem.
func (fsys *Filesystem) open(dir string) (err error) {
	const flags = unix.O_RDONLY | unix.O_DIRECTORY
	if fsys.syncfs, err = fsys.system.Open(dir, flags, 0); err != nil {
		return err
	}
	if fsys.settling, err = fsys.system.Open(dir, flags, 0); err != nil {
		return errors.Join(err, fsys.close())
	}
	return nil
}

// close ends the use of a filesystem; it may not have been opened.
func (fsys *Filesystem) close() (err error) {
	for _, f := range []File{fsys.syncfs, fsys.settling} {
		if f != nil {
			err = errors.Join(err, f.Close())
		}
	}
	return err
}

// freshDirs are directories that were made and whose entry in their parent is
// not durable yet. A flush of anything below one of them flushes the parent
// as well, whoever made it.
//
// Writers with durability none never flush; so that the list stays bounded, it
// is settled by a flush of the whole filesystem when it has grown too long.
type freshDirs struct {
	count    atomic.Int64 // len(entries), to skip the lock in the usual case
	settling atomic.Bool
	mu       sync.Mutex
	entries  map[string]*freshDir
}

const maxFreshDirs = 16 << 10

type freshDir struct {
	generation uint64 // of the last beforeMkdir
	pending    int    // mkdir calls under way
	made       bool
}

// beforeMkdir is called before mkdir(2), so that nobody can find the directory
// and not its entry here.
func (fsys *Filesystem) beforeMkdir(dir string) {
	d := &fsys.fresh
	d.mu.Lock()
	entry := d.entries[dir]
	if entry == nil {
		if d.entries == nil {
			d.entries = make(map[string]*freshDir)
		}
		entry = new(freshDir)
		d.entries[dir] = entry
		d.count.Add(1)
	}
	entry.pending++
	entry.generation++
	d.mu.Unlock()
}

// afterMkdir is called when mkdir(2) has returned; exists tells whether the
// directory is there now, or may be.
func (fsys *Filesystem) afterMkdir(dir string, exists bool) {
	d := &fsys.fresh
	if d.count.Load() > maxFreshDirs && d.settling.CompareAndSwap(false, true) {
		settled := d.all()
		// A failure keeps the list as it is; the next flush meets it too.
		if err := fsys.system.Syncfs(fsys.settling); err == nil {
			d.settle(settled)
		}
		d.settling.Store(false)
	}
	d.mu.Lock()
	if entry := d.entries[dir]; entry != nil {
		entry.pending--
		entry.made = entry.made || exists
		if entry.pending == 0 && !entry.made {
			delete(d.entries, dir)
			d.count.Add(-1)
		}
	}
	d.mu.Unlock()
}

// has tells whether a directory may not be durable yet.
func (d *freshDirs) has(dir string) bool {
	if d.count.Load() == 0 {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.entries[dir] != nil
}

// settledDir is an entry of freshDirs as a flush round found it.
type settledDir struct {
	path       string
	generation uint64
}

// expand adds to dirs the parents of all fresh directories on the way from
// each of them to the root. It returns the entries that a successful flush of
// dirs makes durable.
func (d *freshDirs) expand(dirs map[string]struct{}) []settledDir {
	if d.count.Load() == 0 {
		return nil
	}
	var settled []settledDir
	var parents []string
	seen := make(map[string]struct{}, len(dirs))
	d.mu.Lock()
	defer d.mu.Unlock()
	for dir := range dirs {
		for ; len(dir) > 1; dir = filepath.Dir(dir) {
			if _, again := seen[dir]; again {
				break
			}
			seen[dir] = struct{}{}
			entry := d.entries[dir]
			if entry == nil {
				continue
			}
			parents = append(parents, filepath.Dir(dir))
			if entry.pending == 0 {
				settled = append(settled, settledDir{dir, entry.generation})
			}
		}
	}
	for _, dir := range parents {
		dirs[dir] = struct{}{}
	}
	return settled
}

// all returns every entry that is made: what a flush of the whole filesystem
// makes durable.
func (d *freshDirs) all() []settledDir {
	if d.count.Load() == 0 {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	settled := make([]settledDir, 0, len(d.entries))
	for dir, entry := range d.entries {
		if entry.pending == 0 {
			settled = append(settled, settledDir{dir, entry.generation})
		}
	}
	return settled
}

// settle forgets entries that are durable, but for those that were made again
// in the meantime.
func (d *freshDirs) settle(settled []settledDir) {
	if len(settled) == 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range settled {
		if entry := d.entries[s.path]; entry != nil && entry.generation == s.generation && entry.pending == 0 {
			delete(d.entries, s.path)
			d.count.Add(-1)
		}
	}
}

// dirtyWindow counts bytes that were written without a flush in the last 30 to
// 60 seconds: roughly what the kernel may still hold (it writes pages back
// after 30 s).
type dirtyWindow struct {
	mu               sync.Mutex
	since            time.Time
	current, earlier int64
}

const dirtyPeriod = 30 * time.Second

func (w *dirtyWindow) rotate(now time.Time) {
	switch elapsed := now.Sub(w.since); {
	case elapsed >= 2*dirtyPeriod || elapsed < 0:
		w.current, w.earlier, w.since = 0, 0, now
	case elapsed >= dirtyPeriod:
		w.current, w.earlier, w.since = 0, w.current, now
	}
}

func (w *dirtyWindow) add(n int64, now time.Time) {
	w.mu.Lock()
	w.rotate(now)
	w.current += n
	w.mu.Unlock()
}

func (w *dirtyWindow) total(now time.Time) int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rotate(now)
	return w.current + w.earlier
}

func (w *dirtyWindow) reset(now time.Time) {
	w.mu.Lock()
	w.current, w.earlier, w.since = 0, 0, now
	w.mu.Unlock()
}
