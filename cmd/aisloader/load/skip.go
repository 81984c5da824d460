package load

import (
	"io"
	"syscall"

	"golang.org/x/sys/unix"
)

// skipFrom is the length of a body from which the kernel throws it away
// without copying it: half of the cost of reading a large body is the copy.
const skipFrom = 64 << 10

// skipper discards bytes of a plain TCP connection (MSG_TRUNC, see tcp(7)).
// The function that it hands to the runtime is made once.
type skipper struct {
	left  int64
	done  int64
	err   error
	drain func(fd uintptr) bool
}

// discard throws n bytes away; the returned number says how many.
func (s *skipper) discard(raw syscall.RawConn, n int64) (int64, error) {
	s.left, s.done, s.err = n, 0, nil
	if s.drain == nil {
		s.drain = s.read
	}
	if err := raw.Read(s.drain); err != nil {
		return s.done, err
	}
	return s.done, s.err
}

// read takes what has arrived; false means that more is to be waited for.
func (s *skipper) read(fd uintptr) bool {
	for s.left > 0 {
		n, _, errno := unix.Syscall6(unix.SYS_RECVFROM, fd, 0, uintptr(min(s.left, 1<<20)), unix.MSG_TRUNC|unix.MSG_DONTWAIT, 0, 0)
		switch {
		case errno == unix.EAGAIN:
			return false
		case errno == unix.EINTR:
			continue
		case errno != 0:
			s.err = errno
			return true
		case n == 0:
			s.err = io.ErrUnexpectedEOF
			return true
		}
		s.left -= int64(n)
		s.done += int64(n)
	}
	return true
}
