package transport

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
)

// headedBody is bytes and a file behind them.
type headedBody struct {
	io.Reader
	file *os.File
	head []byte
}

func (b headedBody) Close() error                  { return b.file.Close() }
func (b headedBody) SourceFile() (*os.File, int64) { return b.file, 0 }
func (b headedBody) SourceHead() []byte            { return b.head }

// counted counts the bytes that are read.
type counted struct {
	io.Reader
	n *atomic.Int64
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// TestFilesWithAHead: a body of bytes and a file arrives whole, and the file is
// not read where it can be sent as it is.
func TestFilesWithAHead(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]struct {
		stream StreamOptions
		self   bool
		reads  bool
	}{
		"by sendfile":    {self: true},
		"compressed":     {stream: StreamOptions{Compress: true}, self: true, reads: true},
		"with checksums": {reads: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t, Options{})
			receive(t, p.b, "f", echo)
			s := p.a.Open("b", "f", o.stream)
			var reads atomic.Int64
			for i, headSize := range []int{0, 300, chunk + 5} {
				head, data := body(headSize, 7), body(3<<20+i, byte(i))
				path := filepath.Join(t.TempDir(), "file")
				if err := os.WriteFile(path, data, 0o600); err != nil {
					t.Fatal(err)
				}
				r := sendOne(t, s, &Message{
					Header: []byte("m"), Size: int64(len(head) + len(data)), SelfVerifying: o.self,
					Open: func() (io.ReadCloser, error) {
						f, err := os.Open(path)
						return headedBody{counted{io.MultiReader(bytes.NewReader(head), f), &reads}, f, head}, err
					},
				})
				if want := echoOf("m", append(head, data...)); r.err != nil || r.answer != want {
					t.Errorf("a head of %d bytes: %q, %v; want %q", headSize, r.answer, r.err, want)
				}
			}
			closeStream(t, s)
			if (reads.Load() > 0) != o.reads {
				t.Errorf("%d bytes were read", reads.Load())
			}
		})
	}
}

// TestHeadedFileIsShorter: a file that is shorter than the message says ends it
// with an error, and the connection goes on.
func TestHeadedFileIsShorter(t *testing.T) {
	t.Parallel()
	p := newPair(t, Options{})
	receive(t, p.b, "f", count)
	s := p.a.Open("b", "f", StreamOptions{})
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, body(1<<20, 1), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		size int64
		want string
	}{{100 + 2<<20, ""}, {100 + 1<<20, fmt.Sprint(100 + 1<<20)}} {
		head := body(100, 2)
		r := sendOne(t, s, &Message{Size: c.size, SelfVerifying: true, Open: func() (io.ReadCloser, error) {
			f, err := os.Open(path)
			return headedBody{io.MultiReader(bytes.NewReader(head), f), f, head}, err
		}})
		if r.answer != c.want || (r.err == nil) != (c.want != "") {
			t.Errorf("%d bytes: %q, %v", c.size, r.answer, r.err)
		}
	}
	closeStream(t, s)
	if c := p.a.Counts(); c.Broken != 0 {
		t.Errorf("the connection broke: %+v", c)
	}
}
