package target

import (
	"io"
	"strings"
	"testing"
)

// slowReader says when it is read from, and waits.
type slowReader struct {
	begun, goOn chan struct{}
	io.Reader
}

func (r *slowReader) Read(p []byte) (int, error) {
	r.begun <- struct{}{}
	<-r.goOn
	return r.Reader.Read(p[:1])
}

// TestBodyIsTakenBack: who takes the body of a request back waits for the reading that is
// under way, and nothing is read afterwards: what it is read from may be closed.
func TestBodyIsTakenBack(t *testing.T) {
	t.Parallel()
	slow := &slowReader{begun: make(chan struct{}), goOn: make(chan struct{}), Reader: strings.NewReader("content")}
	b := &lentBody{from: slow}
	read := make(chan error)
	go func() {
		_, err := io.ReadFull(b, make([]byte, 1))
		read <- err
	}()
	<-slow.begun
	back := make(chan struct{})
	go func() {
		b.takeBack()
		close(back)
	}()
	select {
	case <-back:
		t.Error("it is taken back while it is read")
	default:
	}
	close(slow.goOn)
	if err := <-read; err != nil {
		t.Error(err)
	}
	<-back
	if n, err := b.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("%d bytes are read of what was taken back, %v", n, err)
	}
}
