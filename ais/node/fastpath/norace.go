//go:build !race

package fastpath

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const raceEnabled = false

// The sockets of the loop never block. Telling the scheduler of a call that
// takes microseconds would cost more than it gains: on an idle machine it
// wakes the runtime's monitor for every request.

func readSocket(fd int, p []byte) (int, error) {
	return result(syscall.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p))))
}

func writeSocket(fd int, p []byte) (int, error) {
	return result(syscall.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p))))
}

func writeSocketMore(fd int, p []byte) (int, error) {
	return result(syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), unix.MSG_MORE|unix.MSG_NOSIGNAL, 0, 0))
}

func writeSocketPair(fd int, pair *[2][]byte) (int, error) {
	var vector [2]unix.Iovec
	for i, p := range pair {
		vector[i].Base = unsafe.SliceData(p)
		vector[i].SetLen(len(p))
	}
	return result(syscall.RawSyscall(unix.SYS_WRITEV, uintptr(fd), uintptr(unsafe.Pointer(&vector)), uintptr(len(vector))))
}

func result(n, _ uintptr, errno syscall.Errno) (int, error) {
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
