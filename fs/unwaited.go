//go:build amd64 || arm64 || riscv64

package fs

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Calls that do not wait, made without telling the scheduler. Each of them
// may have nothing to say: then the ordinary call decides.

const (
	resolveCached = 0x20 // RESOLVE_CACHED of openat2(2), Linux 5.12 and later

	// mostUnwaited bounds what is copied by one such call, whose processor
	// nobody else gets meanwhile.
	mostUnwaited = 128 << 10
)

// openUnwaited opens for reading what can be found without a disk.
func (s *unixSystem) openUnwaited(path string, flags int) (fd int, ok bool) {
	if s.noOpenat2.Load() {
		return -1, false
	}
	var stack [pathStack]byte
	name, err := cString(&stack, path)
	if err != nil {
		return -1, false
	}
	// What is no file must not be waited for either.
	how := unix.OpenHow{Flags: uint64(flags | unix.O_CLOEXEC | unix.O_LARGEFILE | unix.O_NONBLOCK), Resolve: resolveCached}
	dirfd := unix.AT_FDCWD
	r, _, errno := unix.RawSyscall6(unix.SYS_OPENAT2, uintptr(dirfd), uintptr(unsafe.Pointer(name)),
		uintptr(unsafe.Pointer(&how)), unsafe.Sizeof(how), 0, 0)
	if errno == unix.ENOSYS || errno == unix.EINVAL {
		s.noOpenat2.Store(true) // an older kernel, or a sandbox
	}
	return int(r), errno == 0
}

func (f *unixFile) statUnwaited(st *unix.Stat_t) bool {
	_, _, errno := unix.RawSyscall(unix.SYS_FSTAT, uintptr(f.fd), uintptr(unsafe.Pointer(st)), 0)
	return errno == 0
}

// readUnwaited reads what is in memory, 0 bytes if nothing is.
func (f *unixFile) readUnwaited(p []byte, off int64) int {
	if len(p) == 0 || len(p) > mostUnwaited {
		return 0
	}
	var n uintptr
	var errno unix.Errno
	if f.kind == inMemory {
		n, _, errno = unix.RawSyscall6(unix.SYS_PREAD64, uintptr(f.fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), uintptr(off), 0, 0)
	} else {
		vector := unix.Iovec{Base: &p[0], Len: uint64(len(p))}
		n, _, errno = unix.RawSyscall6(unix.SYS_PREADV2, uintptr(f.fd), uintptr(unsafe.Pointer(&vector)), 1, uintptr(off), 0, unix.RWF_NOWAIT)
	}
	if errno != 0 {
		return 0
	}
	return int(n)
}

// closeUnwaited closes a descriptor of a file in memory. (On a disk the last one
// of a file that was replaced frees its blocks.)
func closeUnwaited(fd int) error {
	if _, _, errno := unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0); errno != 0 {
		return errno
	}
	return nil
}
