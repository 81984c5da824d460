package fastpath

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// countingGate counts, and refuses from a number of calls on.
type countingGate struct{ entered, left, refuse int }

var errRefused = errors.New("the disk does not answer")

func (g *countingGate) Enter() (uint32, error) {
	if g.refuse > 0 && g.entered >= g.refuse {
		return 0, errRefused
	}
	g.entered++
	return uint32(g.entered), nil
}

func (g *countingGate) Leave(ticket uint32) {
	if int(ticket) == g.entered {
		g.left++
	}
}

// The gate is held while the kernel reads a file, and not while a client does
// not.
func TestGate(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, make([]byte, 8<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = unix.Close(pair[0]), unix.Close(pair[1]) }()
	gate, offset, sent := &countingGate{}, int64(0), 0
	for err == nil {
		var n int
		n, err = SendFile(pair[0], int(f.Fd()), gate, &offset, 8<<20)
		sent += max(n, 0)
	}
	if !errors.Is(err, unix.EAGAIN) || FileError(err) != nil || sent == 0 || int64(sent) != offset {
		t.Errorf("a client that does not read: %d bytes, %v", sent, err)
	}
	if gate.entered == 0 || gate.left != gate.entered {
		t.Errorf("entered %d times, left %d times", gate.entered, gate.left)
	}
	if _, err := SendFile(pair[0], int(f.Fd()), &countingGate{refuse: 1, entered: 1}, &offset, 1); !errors.Is(FileError(err), errRefused) {
		t.Errorf("a gate that refuses: %v", err)
	}
	if FileError(nil) != nil || FileError(unix.EPIPE) != nil {
		t.Error("errors of the connection count as those of the file")
	}

	gate = &countingGate{refuse: 2}
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, &io.LimitedReader{R: &File{File: f, Gate: gate}, N: 8 << 20}, make([]byte, 1000))
	if n != 2000 || !errors.Is(err, errRefused) || gate.left != 2 {
		t.Errorf("copied %d bytes, %v, left %d times", n, err, gate.left)
	}
}
