package fs

import (
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// unixSystem is the real System: raw calls, no poller, no retries but of EINTR.
type unixSystem struct {
	syncfsReports bool
	dirBuffers    sync.Pool // *[direntBufferSize]byte
}

const direntBufferSize = 32 << 10

// Unix returns the System of the machine.
func Unix() System {
	s := &unixSystem{syncfsReports: kernelAtLeast(5, 8)}
	s.dirBuffers.New = func() any { return new([direntBufferSize]byte) }
	return s
}

func kernelAtLeast(major, minor int) bool {
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return false
	}
	parts := strings.SplitN(unix.ByteSliceToString(uts.Release[:]), ".", 3)
	if len(parts) < 2 {
		return false
	}
	gotMajor, err1 := strconv.Atoi(parts[0])
	gotMinor, err2 := strconv.Atoi(strings.TrimRight(parts[1], "-+abcdefghijklmnopqrstuvwxyz"))
	return err1 == nil && err2 == nil && (gotMajor > major || gotMajor == major && gotMinor >= minor)
}

func pathError(op, path string, err error) error {
	if err == nil {
		return nil
	}
	return &os.PathError{Op: op, Path: path, Err: err}
}

// pathStack holds a usual path with its NUL on the stack; longer ones are
// copied to the heap.
const pathStack = 320

// cString makes a NUL-terminated copy of s, in stack if it fits. A string that
// contains NUL is EINVAL.
func cString(stack *[pathStack]byte, s string) (*byte, error) {
	if strings.IndexByte(s, 0) >= 0 {
		return nil, unix.EINVAL
	}
	if len(s) < len(stack) {
		copy(stack[:], s)
		stack[len(s)] = 0
		return &stack[0], nil
	}
	buf := make([]byte, len(s)+1)
	copy(buf, s)
	return &buf[0], nil
}

func openat(path string, flags int, mode uint32) (int, error) {
	var stack [pathStack]byte
	name, err := cString(&stack, path)
	if err != nil {
		return -1, err
	}
	dirfd := unix.AT_FDCWD
	for {
		fd, _, errno := unix.Syscall6(unix.SYS_OPENAT, uintptr(dirfd), uintptr(unsafe.Pointer(name)),
			uintptr(flags|unix.O_CLOEXEC|unix.O_LARGEFILE), uintptr(mode), 0, 0)
		if errno == 0 {
			return int(fd), nil
		}
		if errno != unix.EINTR {
			return -1, errno
		}
	}
}

func (*unixSystem) Open(path string, flags int, mode uint32) (File, error) {
	fd, err := openat(path, flags, mode)
	if err != nil {
		return nil, pathError("open", path, err)
	}
	return &unixFile{fd: fd, path: path}, nil
}

// Reopen implements Reopener.
func (s *unixSystem) Reopen(f File, path string, flags int, mode uint32) (File, error) {
	own, ok := f.(*unixFile)
	if !ok || own.fd >= 0 {
		return s.Open(path, flags, mode)
	}
	fd, err := openat(path, flags, mode)
	if err != nil {
		return nil, pathError("open", path, err)
	}
	own.fd, own.path = fd, path
	return own, nil
}

func (*unixSystem) Rename(oldpath, newpath string) error {
	if err := renameat(oldpath, newpath); err != nil {
		return &os.LinkError{Op: "rename", Old: oldpath, New: newpath, Err: err}
	}
	return nil
}

func (*unixSystem) Link(oldpath, newpath string) error {
	if err := unix.Link(oldpath, newpath); err != nil {
		return &os.LinkError{Op: "link", Old: oldpath, New: newpath, Err: err}
	}
	return nil
}

func renameat(oldpath, newpath string) error {
	var oldStack, newStack [pathStack]byte
	from, err := cString(&oldStack, oldpath)
	if err != nil {
		return err
	}
	to, err := cString(&newStack, newpath)
	if err != nil {
		return err
	}
	dirfd := unix.AT_FDCWD
	if _, _, errno := unix.Syscall6(unix.SYS_RENAMEAT2, uintptr(dirfd), uintptr(unsafe.Pointer(from)),
		uintptr(dirfd), uintptr(unsafe.Pointer(to)), 0, 0); errno != 0 {
		return errno
	}
	return nil
}

func (*unixSystem) Unlink(path string) error {
	var stack [pathStack]byte
	name, err := cString(&stack, path)
	if err == nil {
		dirfd := unix.AT_FDCWD
		if _, _, errno := unix.Syscall(unix.SYS_UNLINKAT, uintptr(dirfd), uintptr(unsafe.Pointer(name)), 0); errno != 0 {
			err = errno
		}
	}
	return pathError("unlink", path, err)
}

func (*unixSystem) Rmdir(path string) error {
	return pathError("rmdir", path, unix.Rmdir(path))
}

func (*unixSystem) Mkdir(path string, mode uint32) error {
	return pathError("mkdir", path, unix.Mkdir(path, mode))
}

func (*unixSystem) Stat(path string) (FileInfo, error) {
	var stack [pathStack]byte
	name, err := cString(&stack, path)
	if err != nil {
		return FileInfo{}, pathError("stat", path, err)
	}
	var st unix.Stat_t
	dirfd := unix.AT_FDCWD
	for {
		_, _, errno := unix.Syscall6(unix.SYS_NEWFSTATAT, uintptr(dirfd), uintptr(unsafe.Pointer(name)),
			uintptr(unsafe.Pointer(&st)), unix.AT_SYMLINK_NOFOLLOW, 0, 0)
		switch errno {
		case 0:
			return infoOf(&st), nil
		case unix.EINTR:
		default:
			return FileInfo{}, pathError("stat", path, errno)
		}
	}
}

func (s *unixSystem) ReadDir(path string, fn func(name []byte, kind EntryKind) error) error {
	fd, err := openat(path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return pathError("open", path, err)
	}
	buf := s.dirBuffers.Get().(*[direntBufferSize]byte)
	err = readDirents(fd, path, buf[:], fn)
	s.dirBuffers.Put(buf)
	if closeErr := unix.Close(fd); err == nil && closeErr != nil {
		err = pathError("close", path, closeErr)
	}
	return err
}

// readDirents parses struct linux_dirent64: inode 8 bytes, offset 8, record
// length 2, type 1, name up to NUL.
func readDirents(fd int, path string, buf []byte, fn func(name []byte, kind EntryKind) error) error {
	for {
		n, err := unix.Getdents(fd, buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return pathError("readdir", path, err)
		}
		if n == 0 {
			return nil
		}
		for rest := buf[:n]; len(rest) > 19; {
			length := int(*(*uint16)(unsafe.Pointer(&rest[16])))
			kind, name := rest[18], rest[19:length]
			rest = rest[length:]
			for i, c := range name {
				if c == 0 {
					name = name[:i]
					break
				}
			}
			if len(name) == 0 || name[0] == '.' && (len(name) == 1 || len(name) == 2 && name[1] == '.') {
				continue
			}
			if err := fn(name, direntKind(kind)); err != nil {
				return err
			}
		}
	}
}

func direntKind(kind byte) EntryKind {
	switch kind {
	case unix.DT_REG:
		return KindFile
	case unix.DT_DIR:
		return KindDir
	case unix.DT_UNKNOWN:
		return KindUnknown
	}
	return KindOther
}

func (*unixSystem) GetXattr(path, name string, dst []byte) (int, error) {
	if len(dst) == 0 {
		n, err := unix.Lgetxattr(path, name, nil)
		return n, pathError("getxattr", path, err)
	}
	var pathBytes, nameBytes [pathStack]byte
	file, err := cString(&pathBytes, path)
	if err != nil {
		return 0, pathError("getxattr", path, err)
	}
	attribute, err := cString(&nameBytes, name)
	if err != nil {
		return 0, pathError("getxattr", path, err)
	}
	n, _, errno := unix.Syscall6(unix.SYS_LGETXATTR, uintptr(unsafe.Pointer(file)), uintptr(unsafe.Pointer(attribute)),
		uintptr(unsafe.Pointer(&dst[0])), uintptr(len(dst)), 0, 0)
	if errno != 0 {
		return 0, pathError("getxattr", path, errno)
	}
	return int(n), nil
}

func (*unixSystem) SetXattr(path, name string, value []byte) error {
	return pathError("setxattr", path, unix.Lsetxattr(path, name, value, 0))
}

func (*unixSystem) RemoveXattr(path, name string) error {
	return pathError("removexattr", path, unix.Lremovexattr(path, name))
}

func (*unixSystem) SetTimes(path string, atime, mtime int64) error {
	times := timespecs(atime, mtime)
	return pathError("utimensat", path, unix.UtimesNanoAt(unix.AT_FDCWD, path, times[:], unix.AT_SYMLINK_NOFOLLOW))
}

func (*unixSystem) Statfs(path string) (FilesystemInfo, error) {
	var st unix.Statfs_t
	if err := ignoringEINTR(func() error { return unix.Statfs(path, &st) }); err != nil {
		return FilesystemInfo{}, pathError("statfs", path, err)
	}
	unit := uint64(st.Frsize)
	if unit == 0 {
		unit = uint64(st.Bsize)
	}
	return FilesystemInfo{
		Total: st.Blocks * unit, Free: st.Bfree * unit, Available: st.Bavail * unit, FilesFree: st.Ffree,
		ID: st.Fsid.Val, Type: st.Type, ReadOnly: st.Flags&unix.ST_RDONLY != 0,
	}, nil
}

func (*unixSystem) Flock(f File) error {
	err := ignoringEINTR(func() error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) })
	if mine, ok := f.(*unixFile); ok && err == nil {
		mine.locked = true
	}
	return pathError("flock", f.Path(), err)
}

func (*unixSystem) Syncfs(f File) error {
	return pathError("syncfs", f.Path(), ignoringEINTR(func() error { return unix.Syncfs(int(f.Fd())) }))
}

func (s *unixSystem) SyncfsReportsErrors() bool { return s.syncfsReports }

func ignoringEINTR(call func() error) error {
	for {
		if err := call(); err != unix.EINTR { //nolint:errorlint // an errno, straight from the kernel
			return err
		}
	}
}

func timespecs(atime, mtime int64) [2]unix.Timespec {
	times := [2]unix.Timespec{unix.NsecToTimespec(atime), unix.NsecToTimespec(mtime)}
	if atime < 0 {
		times[0] = unix.Timespec{Nsec: unix.UTIME_OMIT}
	}
	if mtime < 0 {
		times[1] = unix.Timespec{Nsec: unix.UTIME_OMIT}
	}
	return times
}

func infoOf(st *unix.Stat_t) FileInfo {
	kind := KindOther
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		kind = KindFile
	case unix.S_IFDIR:
		kind = KindDir
	}
	return FileInfo{
		Size: st.Size, Dev: st.Dev, Inode: st.Ino, Links: uint64(st.Nlink),
		Atime: st.Atim.Nano(), Mtime: st.Mtim.Nano(), Ctime: st.Ctim.Nano(), Mode: st.Mode & 0o7777, Kind: kind,
	}
}

// unixFile is a File over a bare descriptor; fd is -1 once closed or taken.
type unixFile struct {
	fd     int
	locked bool // by Flock
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
	// EINTR of close(2) on Linux: the descriptor is gone all the same.
	if err := unix.Close(fd); err != nil && err != unix.EINTR {
		return pathError("close", f.path, err)
	}
	return nil
}

func (f *unixFile) Stat() (FileInfo, error) {
	var st unix.Stat_t
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
