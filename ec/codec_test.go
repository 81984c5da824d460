package ec

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/cespare/xxhash/v2"
	"pgregory.net/rapid"

	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/memsys"
)

func randomContent(seed byte, n int) []byte {
	data := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(data) // never fails
	return data
}

// encodeAll returns all slices of an object, with their checksums verified.
func encodeAll(tb testing.TB, c *Codec, s Shape, content []byte) map[int][]byte {
	tb.Helper()
	made := map[int][]byte{}
	var mu sync.Mutex
	var sinks []Sink
	for i, number := range s.numbers() {
		sinks = append(sinks, Sink{Number: number, Send: reading(func(body io.Reader) error {
			all, err := io.ReadAll(body)
			if err != nil {
				return err
			}
			length := core.SliceLength(int64(len(content)), s.Data)
			slice, sums := all[:length], all[length:]
			if int64(len(sums)) != core.SliceSums(length) {
				return fmt.Errorf("%d bytes of checksums for %d", len(sums), length)
			}
			for off := 0; off < len(slice); off += core.SliceUnit {
				if binary.LittleEndian.Uint64(sums[off/core.SliceUnit*8:]) != xxhash.Sum64(slice[off:min(off+core.SliceUnit, len(slice))]) {
					return fmt.Errorf("wrong checksum at %d", off)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			if s.Replicated() {
				number = i
			}
			made[number] = slice
			return nil
		})})
	}
	failed, err := c.Encode(context.Background(), s, bytes.NewReader(content), int64(len(content)), sinks, nil, nil)
	if err := errors.Join(err, joined(failed)); err != nil {
		tb.Fatalf("%+v, %d bytes: %v", s, len(content), err)
	}
	return made
}

// reading is a sink that opens its body once.
func reading(do func(body io.Reader) error) func(context.Context, Body) error {
	return func(_ context.Context, body Body) error {
		r, err := body.Open()
		if err != nil {
			return err
		}
		return errors.Join(do(r), r.Close())
	}
}

func sourceOf(slice []byte) Source {
	return func(_ context.Context, off, length int64) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(slice[off : off+length])), nil
	}
}

// breaking is a source that fails after some bytes.
func breaking(slice []byte, after int64) Source {
	return func(_ context.Context, off, length int64) (io.ReadCloser, error) {
		if off >= after {
			return nil, errBroken
		}
		end := min(off+length, after)
		return io.NopCloser(io.MultiReader(bytes.NewReader(slice[off:end]), errReader{})), nil
	}
}

var errBroken = errors.New("broken")

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errBroken }

// TestAllErasures: for all numbers of slices up to 6+6, whichever slices are
// gone: the object is read as long as enough are left, and never wrongly.
func TestAllErasures(t *testing.T) {
	t.Parallel()
	memory := memsys.New(0)
	c := NewCodec(memory)
	for k := 1; k <= 6; k++ {
		for m := 1; m <= 6; m++ {
			s := Shape{Data: k, Parity: m}
			for _, size := range []int{0, 1, k, k*31 + 1, k*core.SliceBlock + 7} {
				if size > 1000 && k+m > 8 && testing.Short() {
					continue
				}
				content := randomContent(byte(size), size)
				made := encodeAll(t, c, s, content)
				for gone := range uint(1) << (k + m) {
					sources := map[int]Source{}
					for n, slice := range made {
						if gone&(1<<(n-1)) == 0 {
							sources[n] = sourceOf(slice)
						}
					}
					var out bytes.Buffer
					err := c.Decode(context.Background(), s, int64(size), sources, 0, int64(size), &out, nil)
					if left := k + m - bits.OnesCount(gone); left >= k || size == 0 {
						if err != nil || !bytes.Equal(out.Bytes(), content) {
							t.Fatalf("%d+%d, %d bytes, without %b: %v", k, m, size, gone, err)
						}
						continue
					} else if err == nil && bytes.Equal(out.Bytes(), content) {
						continue // the slices that are gone hold nothing but zeros
					} else if few := (*TooFewError)(nil); !errors.As(err, &few) || few.Have != left || few.Need != k {
						t.Fatalf("%d+%d, %d bytes, without %b: %v", k, m, size, gone, err)
					}
					if !bytes.HasPrefix(content, out.Bytes()) {
						t.Fatalf("%d+%d: wrong bytes", k, m)
					}
				}
			}
		}
	}
	if n := memory.InUse(); n != 0 {
		t.Errorf("%d bytes of buffers are on loan", n)
	}
}

// TestRangesWithFailures: any range of any object, while slices break off
// anywhere, is right or an error.
func TestRangesWithFailures(t *testing.T) {
	t.Parallel()
	memory := memsys.New(0)
	c := NewCodec(memory)
	rapid.Check(t, func(rt *rapid.T) {
		s := Shape{Data: rapid.IntRange(0, 6).Draw(rt, "data"), Parity: rapid.IntRange(1, 4).Draw(rt, "parity")}
		full := int(s.columns()) * core.SliceBlock
		size := rapid.OneOf(rapid.IntRange(0, 3000), rapid.IntRange(full-2, full+2), rapid.IntRange(0, 6*full)).Draw(rt, "size")
		content := randomContent(1, size)
		made := encodeAll(t, c, s, content)
		off := rapid.IntRange(0, size).Draw(rt, "off")
		length := rapid.IntRange(0, size-off).Draw(rt, "length")
		sources, whole := map[int]Source{}, 0
		for n, slice := range made {
			switch rapid.IntRange(0, 3).Draw(rt, "state") {
			case 0:
			case 1:
				sources[n] = breaking(slice, int64(rapid.IntRange(0, len(slice)).Draw(rt, "after")))
			default:
				sources[n] = sourceOf(slice)
				whole++
			}
		}
		var out bytes.Buffer
		err := c.Decode(context.Background(), s, int64(size), sources, int64(off), int64(length), &out, nil)
		switch {
		case err == nil && !bytes.Equal(out.Bytes(), content[off:off+length]):
			rt.Fatalf("wrong bytes")
		case err != nil && whole >= max(s.Data, 1):
			rt.Fatalf("%d slices are whole: %v", whole, err)
		case err != nil && !bytes.HasPrefix(content[off:off+length], out.Bytes()):
			rt.Fatalf("wrong bytes before the error")
		}
	})
	if n := memory.InUse(); n != 0 {
		t.Errorf("%d bytes of buffers are on loan", n)
	}
}

// TestEncodeFailures: a sink that gives up does not hinder the others; content
// that breaks off, or is refused at its end, reaches no sink as a whole.
func TestEncodeFailures(t *testing.T) {
	t.Parallel()
	memory := memsys.New(0)
	c := NewCodec(memory)
	s := Shape{Data: 3, Parity: 2}
	content := randomContent(9, 40*core.SliceBlock+5)
	refused := errors.New("refused")
	for _, test := range []struct {
		name  string
		body  io.Reader
		check func() error
		want  error
	}{
		{"sinks", bytes.NewReader(content), nil, nil},
		{"breaks off", bytes.NewReader(content[:20*core.SliceBlock]), nil, io.ErrUnexpectedEOF},
		{"refused", bytes.NewReader(content), func() error { return refused }, refused},
	} {
		whole := make([]bool, s.Pieces())
		var sinks []Sink
		for i, number := range s.numbers() {
			sinks = append(sinks, Sink{Number: number, Send: reading(func(body io.Reader) error {
				switch i {
				case 0:
					return errBroken
				case 3:
					if _, err := io.CopyN(io.Discard, body, 5*core.SliceBlock+3); err != nil {
						return err
					}
					return errBroken
				}
				_, err := io.Copy(io.Discard, body)
				whole[i] = err == nil
				return err
			})})
		}
		failed, err := c.Encode(context.Background(), s, test.body, int64(len(content)), sinks, test.check, nil)
		if !errors.Is(err, test.want) {
			t.Errorf("%s: %v", test.name, err)
		}
		for i := range sinks {
			if gaveUp := i == 0 || i == 3; whole[i] != (test.want == nil && !gaveUp) || gaveUp && !errors.Is(failed[i], errBroken) {
				t.Errorf("%s: sink %d: whole %v, %v", test.name, i, whole[i], failed[i])
			}
		}
	}
	if n := memory.InUse(); n != 0 {
		t.Errorf("%d bytes of buffers are on loan", n)
	}
}

func BenchmarkEncode(b *testing.B) {
	c := NewCodec(memsys.New(64 << 20))
	s := Shape{Data: 4, Parity: 2}
	content := randomContent(1, 64<<20)
	b.SetBytes(int64(len(content)))
	b.ReportAllocs()
	for b.Loop() {
		var sinks []Sink
		for _, number := range s.numbers() {
			sinks = append(sinks, Sink{Number: number, Send: reading(func(body io.Reader) error {
				for blocks := body.(Blocks); ; {
					_, lease, err := blocks.NextBlock(core.SliceUnit)
					if errors.Is(err, io.EOF) {
						return nil
					} else if err != nil {
						return err
					}
					if lease != nil {
						lease.Release()
					}
				}
			})})
		}
		if failed, err := c.Encode(context.Background(), s, bytes.NewReader(content), int64(len(content)), sinks, nil, nil); err != nil || joined(failed) != nil {
			b.Fatal(err)
		}
	}
}
