package core

import (
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/core/journal"
	"github.com/aistore-go/aistore/fs"
)

// crashMutant is a system through which the engine does something wrong: a
// flush that it leaves out, an order that it does not keep.
type crashMutant struct {
	fs.System
	faults mutantFaults

	mu      sync.Mutex
	waiting map[string][]func(path string) error // by path of a work file: what is done after its rename
	removed map[string]bool                      // directories in which a name was removed last
}

// mutantFaults are the things that may be wrong. Each is called instead of the
// call that it is named after; nil: the call is as it is.
type mutantFaults struct {
	syncFile func(m *crashMutant, f fs.File) error
	syncDir  func(m *crashMutant, f fs.File) error
	syncfs   func(f fs.File) error
	setXattr func(m *crashMutant, f fs.File, name string, value []byte) error
	unlink   func(m *crashMutant, path string) error
	datasync func(f fs.File) error
	from     uint64                   // seed of the first sequence; 0: 1. Rare ones begin shortly before it is found
	frame    func(op journal.Op) bool // whether a frame is written
	journal  func(f fs.File) error    // the flush of a segment
}

func (m *crashMutant) Open(path string, flags int, mode uint32) (fs.File, error) {
	f, err := m.System.Open(path, flags, mode)
	if err != nil {
		return nil, err
	}
	return &mutantFile{File: f, mutant: m, dir: flags&unix.O_DIRECTORY != 0}, nil
}

func (m *crashMutant) Rename(oldpath, newpath string) error {
	err := m.System.Rename(oldpath, newpath)
	m.mu.Lock()
	late := m.waiting[oldpath]
	if err == nil {
		delete(m.waiting, oldpath)
		delete(m.removed, filepath.Dir(newpath))
	}
	m.mu.Unlock()
	for _, do := range late {
		if err == nil {
			err = do(newpath)
		}
	}
	return err
}

func (m *crashMutant) Unlink(path string) error {
	if m.faults.unlink != nil {
		return m.faults.unlink(m, path)
	}
	return m.System.Unlink(path)
}

func (m *crashMutant) Flock(f fs.File) error { return m.System.Flock(f.(*mutantFile).File) }

func (m *crashMutant) Syncfs(f fs.File) error {
	if m.faults.syncfs != nil {
		return m.faults.syncfs(f.(*mutantFile).File)
	}
	return m.System.Syncfs(f.(*mutantFile).File)
}

// afterRename puts something off until a work file has its name.
func (m *crashMutant) afterRename(path string, do func(path string) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.waiting[path] = append(m.waiting[path], do)
	return nil
}

type mutantFile struct {
	fs.File
	mutant *crashMutant
	dir    bool
}

func (f *mutantFile) Sync() error {
	faults := &f.mutant.faults
	switch {
	case f.dir && faults.syncDir != nil:
		return faults.syncDir(f.mutant, f.File)
	case !f.dir && faults.syncFile != nil && strings.Contains(f.Path(), "/@"):
		return faults.syncFile(f.mutant, f.File)
	}
	return f.File.Sync()
}

func (f *mutantFile) Datasync() error {
	if d := f.mutant.faults.journal; d != nil && isSegment(f.Path()) {
		return d(f.File)
	}
	if d := f.mutant.faults.datasync; d != nil {
		return d(f.File)
	}
	return f.File.Datasync()
}

func (f *mutantFile) SetXattr(name string, value []byte) error {
	if f.mutant.faults.setXattr != nil {
		return f.mutant.faults.setXattr(f.mutant, f.File, name, value)
	}
	return f.File.SetXattr(name, value)
}

func (f *mutantFile) WriteAt(p []byte, off int64) (int, error) {
	const opOffset = 14 // length, number, and tag and length of the field
	frame := isSegment(f.Path()) && off > 0 && len(p) > opOffset
	if d := f.mutant.faults.frame; d != nil && frame && !d(journal.Op(p[opOffset])) {
		return len(p), nil
	}
	return f.File.WriteAt(p, off)
}

func isSegment(path string) bool {
	return filepath.Base(filepath.Dir(path)) == fs.JournalDir && len(filepath.Base(path)) == 16
}

func isWork(path string) bool { return strings.Contains(path, "/%wk/") }

func isSidecarWork(path string) bool { return strings.Contains(path, "/%wk/record.") }

// syncAt flushes a file by its path.
func syncAt(system fs.System, path string) error {
	f, err := system.Open(path, unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return f.Close()
}

// crashMutations are ways to get durability wrong.
var crashMutations = []struct {
	name   string
	faults mutantFaults
}{
	{"work files are not flushed", mutantFaults{
		syncFile: func(*crashMutant, fs.File) error { return nil },
		syncfs:   func(fs.File) error { return nil },
	}},
	{"work files are not flushed, but in rounds with syncfs", mutantFaults{
		syncFile: func(*crashMutant, fs.File) error { return nil },
	}},
	{"fdatasync instead of fsync", mutantFaults{
		syncFile: func(_ *crashMutant, f fs.File) error { return f.Datasync() },
	}},
	{"sidecars are not flushed", mutantFaults{
		syncFile: func(_ *crashMutant, f fs.File) error {
			if isSidecarWork(f.Path()) {
				return nil
			}
			return f.Sync()
		},
	}},
	{"parts are not flushed", mutantFaults{
		syncFile: func(_ *crashMutant, f fs.File) error {
			if strings.Contains(f.Path(), "/%wk/part.") {
				return nil
			}
			return f.Sync()
		},
	}},
	{"names of parts are not flushed", mutantFaults{
		syncDir: func(_ *crashMutant, f fs.File) error {
			if strings.Contains(f.Path(), "/%ch/") {
				return nil
			}
			return f.Sync()
		},
	}},
	{"aborts and completions of uploads are not flushed", mutantFaults{
		syncDir: func(m *crashMutant, f fs.File) error {
			m.mu.Lock()
			removed := m.removed[f.Path()]
			m.mu.Unlock()
			if removed && strings.Contains(f.Path(), "/%ut/") {
				return nil
			}
			return f.Sync()
		},
		unlink: func(m *crashMutant, path string) error {
			m.mu.Lock()
			m.removed[filepath.Dir(path)] = true
			m.mu.Unlock()
			return m.System.Unlink(path)
		},
	}},
	{"appends are not flushed", mutantFaults{
		syncFile: func(_ *crashMutant, f fs.File) error {
			if strings.Contains(f.Path(), "/%wk/append.") {
				return nil
			}
			return f.Sync()
		},
	}},
	{"the flush comes after the rename", mutantFaults{
		syncFile: func(m *crashMutant, f fs.File) error {
			if !isWork(f.Path()) || isSidecarWork(f.Path()) {
				return f.Sync()
			}
			return m.afterRename(f.Path(), func(path string) error { return syncAt(m.System, path) })
		},
	}},
	{"the record comes after the rename", mutantFaults{
		setXattr: func(m *crashMutant, f fs.File, name string, value []byte) error {
			if !isWork(f.Path()) {
				return f.SetXattr(name, value)
			}
			late := append([]byte{}, value...)
			return m.afterRename(f.Path(), func(path string) error {
				if err := m.System.SetXattr(path, name, late); err != nil {
					return err
				}
				return syncAt(m.System, path)
			})
		},
	}},
	{"directories are not flushed", mutantFaults{
		syncDir: func(*crashMutant, fs.File) error { return nil },
	}},
	{"parents of new directories are not flushed", mutantFaults{
		syncDir: func(_ *crashMutant, f fs.File) error {
			if base := filepath.Base(f.Path()); base == "d2" || base == "e2" || base == "f2" || base == "%ob" || base == "d" || base == "p" {
				return nil
			}
			return f.Sync()
		},
	}},
	{"removals are not flushed", mutantFaults{
		unlink: func(m *crashMutant, path string) error {
			m.mu.Lock()
			m.removed[filepath.Dir(path)] = true
			m.mu.Unlock()
			return m.System.Unlink(path)
		},
		syncDir: func(m *crashMutant, f fs.File) error {
			m.mu.Lock()
			removed := m.removed[f.Path()]
			m.mu.Unlock()
			if removed {
				return nil
			}
			return f.Sync()
		},
	}},
	{"the start does not flush", mutantFaults{
		syncfs: func(fs.File) error { return nil },
	}},
	{"the start leaves work files", mutantFaults{
		unlink: func(m *crashMutant, path string) error {
			if isWork(path) {
				return unix.EIO
			}
			return m.System.Unlink(path)
		},
	}},
	{"changes have no journal frame", mutantFaults{
		frame: func(op journal.Op) bool { return op == journal.Bucket },
	}},
	{"journal frames are not flushed", mutantFaults{
		journal: func(fs.File) error { return nil },
	}},
	{"the journal does not tell of changes that nobody flushes", mutantFaults{
		from:  4200,
		frame: func(op journal.Op) bool { return op != journal.Unflushed },
	}},
	{"names of journal segments are not flushed", mutantFaults{
		syncDir: func(m *crashMutant, f fs.File) error {
			if filepath.Base(f.Path()) == fs.JournalDir {
				return nil
			}
			return f.Sync()
		},
	}},
	{"long bodies flush themselves, and their record does not", mutantFaults{
		syncFile: func(_ *crashMutant, f fs.File) error {
			if info, err := f.Stat(); err != nil || info.Size >= ownFlush {
				return err
			}
			return f.Sync()
		},
	}},
}

// TestCrashMutations gets durability wrong on purpose, and looks how many
// sequences it takes to find that.
func TestCrashMutations(t *testing.T) {
	if testing.Short() {
		t.Skip("searches thousands of sequences: the whole tests do, those with the race detector need not")
	}
	const most = 3000
	for _, mutation := range crashMutations {
		t.Run(mutation.name, func(t *testing.T) {
			t.Parallel()
			mutant := func(system fs.System) fs.System {
				return &crashMutant{
					System: system, faults: mutation.faults,
					waiting: make(map[string][]func(string) error), removed: make(map[string]bool),
				}
			}
			from := max(mutation.faults.from, 1)
			for seed := from; seed < from+most; seed++ {
				if err := newCrashPlan(seed).try(t, mutant); err != nil {
					t.Logf("found by sequence %d: %.300v", seed, err)
					return
				}
			}
			t.Errorf("not found by %d sequences", most)
		})
	}
}
