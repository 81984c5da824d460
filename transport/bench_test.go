package transport

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

// BenchmarkMessages is the way of a message from Send to Done between two
// endpoints on loopback; the receiver reads and drops the body.
func BenchmarkMessages(b *testing.B) {
	for _, bench := range []struct {
		name     string
		size     int
		o        StreamOptions
		self     bool
		from     string // "file", "blocks": what the body is
		parallel int
	}{
		{"0B", 0, StreamOptions{}, false, "", 4},
		{"4KiB", 4 << 10, StreamOptions{}, false, "", 4},
		{"4KiB/lz4", 4 << 10, StreamOptions{Compress: true}, false, "", 4},
		{"1MiB", 1 << 20, StreamOptions{}, false, "", 2},
		{"64MiB", 64 << 20, StreamOptions{}, false, "", 1},
		{"64MiB/self", 64 << 20, StreamOptions{}, true, "", 1},
		{"64MiB/blocks", 64 << 20, StreamOptions{}, true, "blocks", 1},
		{"64MiB/sendfile", 64 << 20, StreamOptions{}, true, "file", 1},
		{"64MiB/lz4", 64 << 20, StreamOptions{Compress: true}, false, "", 1},
	} {
		b.Run(bench.name, func(b *testing.B) {
			p := newPair(b, Options{})
			receive(b, p.b, "f", func(_ context.Context, m *Incoming) ([]byte, error) {
				_, err := m.WriteTo(io.Discard)
				return nil, err
			})
			data := body(bench.size, 1)
			path := filepath.Join(b.TempDir(), "file")
			if err := os.WriteFile(path, data, 0o600); err != nil {
				b.Fatal(err)
			}
			opener := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
			switch bench.from {
			case "file":
				opener = func() (io.ReadCloser, error) { return os.Open(path) }
			case "blocks":
				opener = func() (io.ReadCloser, error) { return &blockBody{left: data}, nil }
			}
			s := p.a.Open("b", "f", bench.o)
			header := []byte("a header of a usual length, with names and a checksum in it, of about 100 bytes")
			var failed atomic.Pointer[error]
			done := func(_ []byte, err error) {
				if err != nil {
					failed.Store(&err)
				}
			}
			b.SetBytes(int64(bench.size))
			b.ReportAllocs()
			b.ResetTimer()
			var next atomic.Int64
			var all sync.WaitGroup
			for range bench.parallel {
				all.Go(func() {
					for next.Add(1) <= int64(b.N) {
						if err := s.Send(context.Background(), &Message{Header: header, Size: int64(bench.size), Open: opener, SelfVerifying: bench.self, Done: done}); err != nil {
							failed.Store(&err)
							return
						}
					}
				})
			}
			all.Wait()
			closeStream(b, s)
			b.StopTimer()
			if err := failed.Load(); err != nil {
				b.Fatal(*err)
			}
		})
	}
}

// blockBody is a body in memory, in blocks of 64 KiB as those of slices.
type blockBody struct {
	io.ReadCloser
	left []byte
}

func (b *blockBody) SourceHead() []byte { return nil }
func (b *blockBody) Close() error       { return nil }
func (b *blockBody) Release()           {}

func (b *blockBody) NextBlock(most int) ([]byte, Lease, error) {
	data := b.left[:min(most, 64<<10, len(b.left))]
	b.left = b.left[len(data):]
	return data, b, nil
}

// BenchmarkRawTCP is what the same bytes cost without frames: one connection,
// one write and one read after the other.
func BenchmarkRawTCP(b *testing.B) {
	for _, size := range []int{4 << 10, 64 << 20} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = ln.Close() }()
			read := make(chan error, 1)
			go func() {
				nc, err := ln.Accept()
				if err == nil {
					_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{nc}, make([]byte, 256<<10))
					_ = nc.Close()
				}
				read <- err
			}()
			nc, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				b.Fatal(err)
			}
			data := body(size, 1)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				for p := data; len(p) > 0; p = p[min(len(p), 256<<10):] {
					if _, err := nc.Write(p[:min(len(p), 256<<10)]); err != nil {
						b.Fatal(err)
					}
				}
			}
			if err := nc.Close(); err != nil {
				b.Fatal(err)
			}
			if err := <-read; err != nil {
				b.Fatal(err)
			}
		})
	}
}
