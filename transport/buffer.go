package transport

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/memsys"
)

// buffer is memory on loan: a slab, or for what no slab holds a buffer of the
// largest frame. The zero buffer is empty.
type buffer struct {
	slab memsys.Buffer
	big  *[]byte
	pool *sync.Pool
}

// buffer returns memory of n bytes or more, at most maxPayload and a head.
func (e *Endpoint) buffer(n int) (b buffer, p []byte) {
	if n <= memsys.MaxSlab {
		b.slab = e.memory.Get(int64(n))
		return b, b.slab.Bytes()
	}
	b.pool = &e.big
	if big, ok := e.big.Get().(*[]byte); ok && len(*big) >= n {
		b.big = big
	} else {
		p := make([]byte, max(n, 2*e.lz4Block()))
		b.big = &p
	}
	return b, *b.big
}

// free gives the memory back; a second time it does nothing.
func (b *buffer) free() {
	b.slab.Free()
	if b.big != nil {
		b.pool.Put(b.big)
		b.big = nil
	}
}

// lz4Block is the size of a block as it is set now, in bytes.
func (e *Endpoint) lz4Block() int { return e.opts.Settings().LZ4Block }

// sendFile writes a part of a file to a TCP connection without copying it
// through this process. The position of the file is not touched.
func sendFile(to net.Conn, file *os.File, offset, length int64) error {
	tcp, ok := to.(*net.TCPConn)
	if !ok {
		return errors.New("not a TCP connection")
	}
	socket, err := tcp.SyscallConn()
	if err != nil {
		return err
	}
	from := int(file.Fd())
	for length > 0 {
		var n int
		var failed error
		err := socket.Write(func(fd uintptr) bool {
			n, failed = unix.Sendfile(int(fd), from, &offset, int(min(length, maxSendfile)))
			return !errors.Is(failed, unix.EAGAIN)
		})
		switch {
		case err != nil:
			return err
		case errors.Is(failed, unix.EINTR):
		case failed != nil:
			return os.NewSyscallError("sendfile", failed)
		case n == 0:
			return fmt.Errorf("%s ends %d bytes too early: %w", file.Name(), length, io.ErrUnexpectedEOF)
		}
		length -= int64(max(n, 0))
	}
	return nil
}

// maxSendfile is how much the kernel is asked to send at once, in bytes.
const maxSendfile = 1 << 20
