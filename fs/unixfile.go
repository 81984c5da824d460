package fs

import (
	"errors"
	"io"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// unixFile is a File over a bare descriptor; fd is -1 once closed or taken.
type unixFile struct {
	fd     int
	locked bool // by Flock
	kind   deviceKind
	path   string
}

func (f *unixFile) Path() string { return f.path }
func (f *unixFile) Fd() uintptr  { return uintptr(f.fd) }

func (f *unixFile) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		n, err := unix.Read(f.fd, p)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return 0, pathError("read", f.path, err)
		}
		if n == 0 {
			return 0, io.EOF
		}
		return n, nil
	}
}

func (f *unixFile) ReadAt(p []byte, off int64) (int, error) {
	done := 0
	if f.kind != mayWait {
		done = f.readUnwaited(p, off)
	}
	for done < len(p) {
		n, err := unix.Pread(f.fd, p[done:], off+int64(done))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return done, pathError("pread", f.path, err)
		}
		if n == 0 {
			return done, io.EOF
		}
		done += n
	}
	return done, nil
}

func (f *unixFile) Write(p []byte) (int, error) {
	done := 0
	for done < len(p) {
		n, err := unix.Write(f.fd, p[done:])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return done, pathError("write", f.path, err)
		}
		if n == 0 {
			return done, pathError("write", f.path, io.ErrShortWrite)
		}
		done += n
	}
	return done, nil
}

func (f *unixFile) WriteAt(p []byte, off int64) (int, error) {
	done := 0
	for done < len(p) {
		n, err := unix.Pwrite(f.fd, p[done:], off+int64(done))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return done, pathError("pwrite", f.path, err)
		}
		if n == 0 {
			return done, pathError("pwrite", f.path, io.ErrShortWrite)
		}
		done += n
	}
	return done, nil
}

func (f *unixFile) Close() error {
	if f.fd < 0 {
		return nil
	}
	fd := f.fd
	f.fd = -1
	if f.locked {
		// A process that is being started has a copy of the descriptor until
		// it runs, which would keep the lock.
		_ = unix.Flock(fd, unix.LOCK_UN)
	}
	closing := unix.Close
	if f.kind == inMemory {
		closing = closeUnwaited
	}
	// EINTR of close(2) on Linux: the descriptor is gone all the same.
	if err := closing(fd); err != nil && !errors.Is(err, unix.EINTR) {
		return pathError("close", f.path, err)
	}
	return nil
}

func (f *unixFile) Stat() (FileInfo, error) {
	var st unix.Stat_t
	if f.kind != mayWait && f.statUnwaited(&st) {
		return infoOf(&st), nil
	}
	for {
		err := unix.Fstat(f.fd, &st)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return FileInfo{}, pathError("fstat", f.path, err)
		}
		return infoOf(&st), nil
	}
}

func (f *unixFile) Truncate(size int64) error {
	return pathError("ftruncate", f.path, ignoringEINTR(func() error { return unix.Ftruncate(f.fd, size) }))
}

func (f *unixFile) Sync() error {
	return pathError("fsync", f.path, ignoringEINTR(func() error { return unix.Fsync(f.fd) }))
}

func (f *unixFile) Datasync() error {
	return pathError("fdatasync", f.path, ignoringEINTR(func() error { return unix.Fdatasync(f.fd) }))
}

func (f *unixFile) StartWriteback(offset, length int64) error {
	err := unix.SyncFileRange(f.fd, offset, length, unix.SYNC_FILE_RANGE_WRITE)
	return pathError("sync_file_range", f.path, err)
}

func (f *unixFile) Preallocate(size int64) error {
	return pathError("fallocate", f.path, ignoringEINTR(func() error {
		return unix.Fallocate(f.fd, unix.FALLOC_FL_KEEP_SIZE, 0, size)
	}))
}

func (f *unixFile) GetXattr(name string, dst []byte) (int, error) {
	var stack [64]byte
	if len(name) >= len(stack) || len(dst) == 0 {
		n, err := unix.Fgetxattr(f.fd, name, dst)
		return n, pathError("fgetxattr", f.path, err)
	}
	copy(stack[:], name)
	n, _, errno := unix.Syscall6(unix.SYS_FGETXATTR, uintptr(f.fd), uintptr(unsafe.Pointer(&stack[0])),
		uintptr(unsafe.Pointer(&dst[0])), uintptr(len(dst)), 0, 0)
	if errno != 0 {
		return 0, pathError("fgetxattr", f.path, errno)
	}
	return int(n), nil
}

func (f *unixFile) SetXattr(name string, value []byte) error {
	if len(value) == 0 {
		return pathError("fsetxattr", f.path, unix.Fsetxattr(f.fd, name, nil, 0))
	}
	var stack [pathStack]byte
	attribute, err := cString(&stack, name)
	if err == nil {
		if _, _, errno := unix.Syscall6(unix.SYS_FSETXATTR, uintptr(f.fd), uintptr(unsafe.Pointer(attribute)),
			uintptr(unsafe.Pointer(&value[0])), uintptr(len(value)), 0, 0); errno != 0 {
			err = errno
		}
	}
	return pathError("fsetxattr", f.path, err)
}

func (f *unixFile) SetTimes(atime, mtime int64) error {
	times := timespecs(atime, mtime)
	_, _, errno := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(f.fd), 0, uintptr(unsafe.Pointer(&times[0])), 0, 0, 0)
	if errno != 0 {
		return pathError("futimens", f.path, errno)
	}
	return nil
}

func (f *unixFile) OSFile() *os.File {
	file := os.NewFile(uintptr(f.fd), f.path)
	f.fd = -1
	return file
}
