package fs

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// unixSystem is the real System: raw calls, no poller, no retries but of EINTR.
type unixSystem struct {
	syncfsReports bool
	dirBuffers    sync.Pool // *[direntBufferSize]byte
	devices       devices
	noOpenat2     atomic.Bool
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
func (s *unixSystem) Reopen(f File, path string, flags int, dev uint64) (File, error) {
	own, ok := f.(*unixFile)
	if !ok || own.fd >= 0 {
		return s.Open(path, flags, 0)
	}
	kind, known := s.devices.kind(dev)
	if kind != mayWait {
		if fd, ok := s.openUnwaited(path, flags); ok {
			*own = unixFile{fd: fd, kind: kind, path: path}
			return own, nil
		}
	}
	fd, err := openat(path, flags, 0)
	if err != nil {
		return nil, pathError("open", path, err)
	}
	*own = unixFile{fd: fd, path: path}
	if !known && dev != 0 {
		s.devices.learn(fd)
	}
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
