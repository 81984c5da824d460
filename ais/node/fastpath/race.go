//go:build race

package fastpath

import (
	"syscall"

	"golang.org/x/sys/unix"
)

const raceEnabled = true

// The race detector knows of syscall.Read and syscall.Write that what the
// sender did before comes before what the receiver does next.

func readSocket(fd int, p []byte) (int, error) { return syscall.Read(fd, p) }

func writeSocket(fd int, p []byte) (int, error) { return syscall.Write(fd, p) }

func writeSocketMore(fd int, p []byte) (int, error) {
	_, _ = syscall.Write(-1, nil) // as below
	return unix.SendmsgN(fd, p, nil, nil, unix.MSG_MORE|unix.MSG_NOSIGNAL)
}

func writeSocketPair(fd int, pair *[2][]byte) (int, error) {
	_, _ = syscall.Write(-1, nil) // has no other effect than to tell it
	return unix.Writev(fd, pair[:])
}
