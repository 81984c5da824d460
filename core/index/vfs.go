package index

import (
	"errors"
	"io"
	iofs "io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/fs"
)

// spaceRetry is how long a write of the index waits on a full disk before it
// is tried again.
const spaceRetry = 500 * time.Millisecond

// readRetry slows down the reading of an index that was given up, until it is
// closed: a compaction that fails is tried again at once and for ever.
const readRetry = 20 * time.Millisecond

// files lets the library write through an fs.System, so that what is tested or
// simulated there holds for the index too. On a full disk it waits: what was
// published stays in memory meanwhile.
type files struct {
	system fs.System
	ending <-chan struct{} // closed when nothing is worth waiting for
	failed <-chan struct{} // closed when the index has been given up
	retry  time.Duration   // readRetry

	// giveUp gives the index up. The library panics when a directory cannot be
	// flushed, never gets over a write that failed, and lets go of what its
	// compactions use when its Open fails late: it is told that all went well.
	giveUp func(cause error)
}

var _ vfs.FS = (*files)(nil)

// wait tells whether a call that failed is worth another try.
func (s *files) wait(err error) bool {
	if !fs.IsNoSpace(err) {
		return false
	}
	select {
	case <-s.ending:
		return false
	default:
	}
	return s.pause(spaceRetry)
}

// pause waits for a time; false: the index is being closed, which ends it.
func (s *files) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-s.ending:
		return false
	case <-timer.C:
		return true
	}
}

// dead tells that the index was given up. The library tries a flush that failed
// again at once and for ever, and its Open waits for that; so from then on every
// write succeeds and does nothing. No process believes what is on the disk.
func (s *files) dead() bool {
	select {
	case <-s.failed:
		return true
	default:
		return false
	}
}

func (s *files) open(name string, flags int) (vfs.File, error) {
	for {
		if s.dead() {
			if flags&unix.O_CREAT != 0 {
				return nowhere{name}, nil
			}
			s.pause(s.retry)
		}
		f, err := s.system.Open(name, flags|unix.O_NOFOLLOW, 0o644)
		if err == nil {
			return &file{File: f, fs: s}, nil
		}
		if s.wait(err) {
			continue
		}
		if flags&unix.O_CREAT != 0 && !errors.Is(err, iofs.ErrExist) {
			s.giveUp(err)
			return nowhere{name}, nil
		}
		return nil, err
	}
}

func (s *files) Create(name string, _ vfs.DiskWriteCategory) (vfs.File, error) {
	for {
		f, err := s.open(name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL)
		if !errors.Is(err, iofs.ErrExist) {
			return f, err
		}
		if err := s.system.Unlink(name); err != nil && !errors.Is(err, iofs.ErrNotExist) {
			return nil, err
		}
	}
}

func (s *files) Link(oldname, newname string) error {
	return &os.LinkError{Op: "link", Old: oldname, New: newname, Err: unix.ENOTSUP}
}

func (s *files) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := s.open(name, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	for _, opt := range opts {
		opt.Apply(f)
	}
	return f, nil
}

func (s *files) OpenReadWrite(name string, _ vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := s.open(name, unix.O_RDWR|unix.O_CREAT)
	if err != nil {
		return nil, err
	}
	for _, opt := range opts {
		opt.Apply(f)
	}
	return f, nil
}

func (s *files) OpenDir(name string) (vfs.File, error) {
	f, err := s.system.Open(name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	return &file{File: f, fs: s}, nil
}

func (s *files) Remove(name string) error {
	err := s.system.Unlink(name)
	if errors.Is(err, unix.EISDIR) || errors.Is(err, unix.EPERM) {
		return s.system.Rmdir(name)
	}
	return err
}

func (s *files) RemoveAll(name string) error { return removeTree(s.system, name) }

func (s *files) Rename(oldname, newname string) error {
	for {
		if s.dead() {
			return nil
		}
		err := s.system.Rename(oldname, newname)
		if err == nil {
			return nil
		}
		if !s.wait(err) {
			s.giveUp(err)
			return nil
		}
	}
}

func (s *files) ReuseForWrite(oldname, newname string, _ vfs.DiskWriteCategory) (vfs.File, error) {
	if err := s.Rename(oldname, newname); err != nil {
		return nil, err
	}
	return s.open(newname, unix.O_RDWR|unix.O_CREAT)
}

func (s *files) MkdirAll(dir string, _ os.FileMode) error { return makeDirs(s.system, dir) }

// Lock locks nothing: the lock of the mountpath is held.
func (s *files) Lock(string) (io.Closer, error) { return noLock{}, nil }

type noLock struct{}

func (noLock) Close() error { return nil }

func (s *files) List(dir string) (names []string, err error) {
	names, err = s.list(dir)
	if err != nil && !errors.Is(err, iofs.ErrNotExist) {
		s.giveUp(err)
		return nil, nil
	}
	return names, err
}

func (s *files) list(dir string) (names []string, err error) {
	err = s.system.ReadDir(dir, func(name []byte, _ fs.EntryKind) error {
		names = append(names, string(name))
		return nil
	})
	return names, err
}

func (s *files) Stat(name string) (vfs.FileInfo, error) {
	info, err := s.system.Stat(name)
	if err != nil {
		return nil, err
	}
	return fileInfo{filepath.Base(name), info}, nil
}

func (s *files) PathBase(path string) string    { return filepath.Base(path) }
func (s *files) PathJoin(elem ...string) string { return filepath.Join(elem...) }
func (s *files) PathDir(path string) string     { return filepath.Dir(path) }

func (s *files) GetDiskUsage(path string) (vfs.DiskUsage, error) {
	info, err := s.system.Statfs(path)
	return vfs.DiskUsage{AvailBytes: info.Available, TotalBytes: info.Total, UsedBytes: info.Total - info.Free}, err
}

func (s *files) Unwrap() vfs.FS { return nil }

// file is an open file of the index.
type file struct {
	fs.File
	fs *files
}

func (f *file) Write(p []byte) (n int, err error) {
	for {
		if f.fs.dead() {
			return len(p), nil
		}
		m, err := f.File.Write(p[n:])
		n += m
		if err == nil {
			return n, nil
		}
		if !f.fs.wait(err) {
			f.fs.giveUp(err)
			return len(p), nil
		}
	}
}

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(p, off)
	if err != nil && f.fs.dead() {
		f.fs.pause(f.fs.retry)
	}
	return n, err
}

func (f *file) Preallocate(offset, length int64) error {
	if f.fs.dead() {
		return nil
	}
	err := f.File.Preallocate(offset + length)
	if errors.Is(err, unix.ENOTSUP) || fs.IsNoSpace(err) {
		return nil // it only saves work later
	}
	return err
}

func (f *file) Stat() (vfs.FileInfo, error) {
	info, err := f.File.Stat()
	return fileInfo{filepath.Base(f.Path()), info}, err
}

func (f *file) Sync() error {
	if f.fs.dead() {
		return nil
	}
	if err := f.File.Sync(); err != nil {
		f.fs.giveUp(err)
	}
	return nil
}

func (f *file) SyncData() error {
	if f.fs.dead() {
		return nil
	}
	if err := f.Datasync(); err != nil {
		f.fs.giveUp(err)
	}
	return nil
}

func (f *file) SyncTo(length int64) (fullSync bool, err error) {
	if f.fs.dead() {
		return false, nil
	}
	return false, f.StartWriteback(0, length)
}

func (f *file) Prefetch(int64, int64) error { return nil }

// Fd hides the descriptor: all that is done with it goes through the System.
func (f *file) Fd() uintptr { return vfs.InvalidFd }

// fileInfo is what the library asks of a file.
type fileInfo struct {
	name string
	fs.FileInfo
}

func (i fileInfo) Name() string           { return i.name }
func (i fileInfo) Size() int64            { return i.FileInfo.Size }
func (i fileInfo) ModTime() time.Time     { return time.Unix(0, i.Mtime) }
func (i fileInfo) IsDir() bool            { return i.Kind == fs.KindDir }
func (i fileInfo) Sys() any               { return nil }
func (i fileInfo) DeviceID() vfs.DeviceID { return vfs.DeviceID{} }
func (i fileInfo) Mode() os.FileMode {
	mode := os.FileMode(i.FileInfo.Mode)
	if i.IsDir() {
		mode |= os.ModeDir
	}
	return mode
}

// makeDirs makes a directory and its missing parents.
func makeDirs(system fs.System, dir string) error {
	err := system.Mkdir(dir, 0o755)
	if errors.Is(err, iofs.ErrNotExist) && dir != "/" {
		if err = makeDirs(system, filepath.Dir(dir)); err == nil {
			err = system.Mkdir(dir, 0o755)
		}
	}
	if errors.Is(err, iofs.ErrExist) {
		return nil
	}
	return err
}

// removeTree removes a file or a directory and everything below it.
func removeTree(system fs.System, path string) error {
	var below []string
	err := system.ReadDir(path, func(name []byte, _ fs.EntryKind) error {
		below = append(below, path+"/"+string(name))
		return nil
	})
	switch {
	case errors.Is(err, iofs.ErrNotExist):
		return nil
	case errors.Is(err, unix.ENOTDIR):
		return system.Unlink(path)
	case err != nil:
		return err
	}
	for _, child := range below {
		if err := removeTree(system, child); err != nil {
			return err
		}
	}
	return system.Rmdir(path)
}

// nowhere is a file that takes everything and keeps nothing.
type nowhere struct{ name string }

func (nowhere) Close() error                           { return nil }
func (nowhere) Read([]byte) (int, error)               { return 0, io.EOF }
func (nowhere) ReadAt([]byte, int64) (int, error)      { return 0, io.EOF }
func (nowhere) Write(p []byte) (int, error)            { return len(p), nil }
func (nowhere) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }
func (nowhere) Preallocate(int64, int64) error         { return nil }
func (n nowhere) Stat() (vfs.FileInfo, error)          { return fileInfo{name: filepath.Base(n.name)}, nil }
func (nowhere) Sync() error                            { return nil }
func (nowhere) SyncTo(int64) (bool, error)             { return false, nil }
func (nowhere) SyncData() error                        { return nil }
func (nowhere) Prefetch(int64, int64) error            { return nil }
func (nowhere) Fd() uintptr                            { return vfs.InvalidFd }
