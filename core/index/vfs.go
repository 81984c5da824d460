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

// files lets the library write through an fs.System, so that what is tested or
// simulated there holds for the index too. On a full disk it waits: what was
// published stays in memory meanwhile.
type files struct {
	system fs.System
	ending <-chan struct{} // closed when nothing is worth waiting for
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
	timer := time.NewTimer(spaceRetry)
	defer timer.Stop()
	select {
	case <-s.ending:
		return false
	case <-timer.C:
		return true
	}
}

func (s *files) open(name string, flags int) (vfs.File, error) {
	for {
		f, err := s.system.Open(name, flags|unix.O_NOFOLLOW, 0o644)
		if err == nil {
			return &file{File: f, fs: s}, nil
		}
		if !s.wait(err) {
			return nil, err
		}
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
	return s.open(name, unix.O_RDONLY|unix.O_DIRECTORY)
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
		if err := s.system.Rename(oldname, newname); !s.wait(err) {
			return err
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
		m, err := f.File.Write(p[n:])
		n += m
		if err == nil || !f.fs.wait(err) {
			return n, err
		}
	}
}

func (f *file) Preallocate(offset, length int64) error {
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

func (f *file) SyncData() error { return f.Datasync() }

func (f *file) SyncTo(length int64) (fullSync bool, err error) {
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
