package transport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/aistore-go/aistore/cmn/apierr"
)

// echo answers with header, size and a checksum of the body.
func echo(_ context.Context, m *Incoming) ([]byte, error) {
	data, err := io.ReadAll(m)
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "%s %d %08x", m.Header, len(data), checksum(data)), nil
}

func echoOf(header string, body []byte) string {
	return fmt.Sprintf("%s %d %08x", header, len(body), checksum(body))
}

// count is a receiver that answers with how many bytes a message has.
func count(_ context.Context, m *Incoming) ([]byte, error) {
	n, err := io.Copy(io.Discard, m)
	return fmt.Appendf(nil, "%d", n), err
}

func open(data []byte) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
}

var sizes = []int{0, 1, 100, 4096, maxInline - 200, maxInline, maxInline + 1, 200 << 10, chunk, chunk + 1, 1 << 20, 5<<20 + 77}

func TestMessagesArriveWhole(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, o := range map[string]struct {
		stream StreamOptions
		set    Settings
		file   bool
		self   bool
		noise  bool
	}{
		"plain":          {},
		"self-verifying": {self: true},
		"files":          {file: true, self: true},
		"three":          {stream: StreamOptions{Connections: 3}},
		"lz4":            {stream: StreamOptions{Compress: true}},
		"lz4 noise":      {stream: StreamOptions{Compress: true}, noise: true},
		"lz4 1MiB sums":  {stream: StreamOptions{Compress: true}, set: Settings{LZ4Block: 1 << 20, LZ4RawSum: true}},
		"lz4 4MiB self":  {stream: StreamOptions{Compress: true}, set: Settings{LZ4Block: 4 << 20}, self: true},
		"lz4 64KiB file": {stream: StreamOptions{Compress: true}, set: Settings{LZ4Block: 64 << 10}, file: true, self: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			set := DefaultSettings()
			if o.set.LZ4Block > 0 {
				set.LZ4Block, set.LZ4RawSum = o.set.LZ4Block, o.set.LZ4RawSum
			}
			p := newPair(t, Options{Settings: func() Settings { return set }})
			receive(t, p.b, "f", echo)
			s := p.a.Open("b", "f", o.stream)
			var all sync.WaitGroup
			for i, size := range sizes {
				data := body(size, byte(i))
				if o.noise {
					x := uint32(i + 1)
					for j := range data {
						x = x*1664525 + 1013904223
						data[j] = byte(x >> 24)
					}
				}
				header := fmt.Sprintf("message %d", i)
				m := &Message{Header: []byte(header), Size: int64(size), Open: open(data), SelfVerifying: o.self}
				if o.file {
					path := filepath.Join(dir, fmt.Sprintf("%s-%d", strings.ReplaceAll(name, " ", "-"), i))
					if err := os.WriteFile(path, append([]byte("before"), data...), 0o600); err != nil {
						t.Fatal(err)
					}
					m.Open = func() (io.ReadCloser, error) {
						f, err := os.Open(path)
						if err == nil {
							_, err = f.Seek(6, io.SeekStart)
						}
						return f, err
					}
				}
				all.Add(1)
				m.Done = func(answer []byte, err error) {
					defer all.Done()
					if want := echoOf(header, data); err != nil || string(answer) != want {
						t.Errorf("verdict %q, %v; want %q", answer, err, want)
					}
				}
				if err := s.Send(t.Context(), m); err != nil {
					t.Fatal(err)
				}
			}
			closeStream(t, s)
			all.Wait()
			if c := p.a.Counts(); c.OutMessages != int64(len(sizes)) || c.Failed != 0 || c.Streams != 0 || c.Resent != 0 {
				t.Errorf("counts %+v", c)
			}
			if c := p.b.Counts(); c.InMessages != int64(len(sizes)) || p.b.granted.Load() != 0 {
				t.Errorf("counts %+v, granted %d", c, p.b.granted.Load())
			}
			if use := p.b.memory.InUse(); use != 0 {
				eventually(t, "the receiver's memory is given back", func() bool { return p.b.memory.InUse() == 0 })
			}
		})
	}
}

// sendOne sends a message and returns its verdict.
func sendOne(tb testing.TB, s *Stream, m *Message) result {
	tb.Helper()
	done := make(chan result, 2)
	m.Done = func(answer []byte, err error) { done <- result{string(answer), err} }
	if err := s.Send(context.Background(), m); err != nil {
		tb.Fatal(err)
	}
	return await(tb, "verdict", done)
}

func TestReceiversErrorsReachTheSender(t *testing.T) {
	t.Parallel()
	p := newPair(t, Options{})
	receive(t, p.b, "f", func(_ context.Context, m *Incoming) ([]byte, error) {
		switch string(m.Header) {
		case "refuse":
			return nil, apierr.New(409, "ErrOlder", "an older stamp")
		case "panic":
			panic("at the receiver")
		}
		return []byte("have it"), nil // without reading the body
	})
	s := p.a.Open("b", "f", StreamOptions{})
	defer closeStream(t, s)
	for _, size := range []int{10, 3 << 20} {
		data := body(size, 1)
		opened := false
		m := &Message{Header: []byte("refuse"), Size: int64(size), Open: func() (io.ReadCloser, error) {
			opened = true
			return io.NopCloser(bytes.NewReader(data)), nil
		}}
		r := sendOne(t, s, m)
		if apierr.StatusOf(r.err) != 409 || apierr.CodeOf(r.err) != "ErrOlder" || r.err.Error() != "an older stamp" {
			t.Errorf("%d bytes: verdict %+v", size, r)
		}
		if size > maxInline && opened {
			t.Error("the body was opened though the receiver did not want it")
		}
		m.Header = []byte("accept")
		if r := sendOne(t, s, m); r.err != nil || r.answer != "have it" {
			t.Errorf("%d bytes: verdict %+v", size, r)
		}
		m.Header = []byte("panic")
		if r := sendOne(t, s, m); apierr.StatusOf(r.err) != 500 {
			t.Errorf("%d bytes: verdict %+v", size, r)
		}
	}
}

func TestSendersErrorsEndTheWork(t *testing.T) {
	t.Parallel()
	p := newPair(t, Options{})
	received := make(chan error, 4)
	receive(t, p.b, "f", func(_ context.Context, m *Incoming) ([]byte, error) {
		_, err := io.Copy(io.Discard, m)
		received <- err
		return nil, nil // a careless handler: the failure of the body counts
	})
	s := p.a.Open("b", "f", StreamOptions{})
	defer closeStream(t, s)
	broken := errors.New("disk is broken")
	half := func() (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(bytes.NewReader(body(1<<20, 1)), errReader{broken})), nil
	}
	if r := sendOne(t, s, &Message{Size: 2 << 20, Open: half}); !errors.Is(r.err, broken) {
		t.Errorf("verdict %+v", r)
	}
	if err := await(t, "handler", received); err == nil || !strings.Contains(err.Error(), "disk is broken") {
		t.Errorf("the receiver saw %v", err)
	}
	short := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body(100, 1))), nil }
	if r := sendOne(t, s, &Message{Size: 2 << 20, Open: short}); !errors.Is(r.err, io.ErrUnexpectedEOF) {
		t.Errorf("verdict %+v", r)
	}
	if r := sendOne(t, s, &Message{Size: 200, Open: short}); !errors.Is(r.err, io.ErrUnexpectedEOF) {
		t.Errorf("verdict %+v", r)
	}
	if r := sendOne(t, s, &Message{Size: 200, Open: func() (io.ReadCloser, error) { return nil, broken }}); !errors.Is(r.err, broken) {
		t.Errorf("verdict %+v", r)
	}
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }
