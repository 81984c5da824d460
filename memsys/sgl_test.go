package memsys

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

// What is written in any pieces is read back in any pieces, and nothing stays
// on loan.
func TestSGLHoldsWhatWasWritten(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		pool := New(0)
		sgl := pool.NewSGL(rapid.Int64Range(-1, 3*MinSlab).Draw(t, "expected"))
		var want []byte
		for range rapid.IntRange(0, 6).Draw(t, "writes") {
			piece := bytes.Repeat([]byte{byte(len(want))}, rapid.IntRange(0, 3*MinSlab).Draw(t, "piece"))
			want = append(want, piece...)
			var n int64
			var err error
			if rapid.Bool().Draw(t, "from a reader") {
				n, err = sgl.ReadFrom(iotest.HalfReader(bytes.NewReader(piece)))
			} else {
				var m int
				m, err = sgl.Write(piece)
				n = int64(m)
			}
			if err != nil || n != int64(len(piece)) {
				t.Fatalf("wrote %d of %d: %v", n, len(piece), err)
			}
		}
		if sgl.Len() != int64(len(want)) || sgl.Cap() < sgl.Len() {
			t.Fatalf("length %d of %d, capacity %d", sgl.Len(), len(want), sgl.Cap())
		}
		var all bytes.Buffer
		if n, err := sgl.WriteTo(&all); err != nil || n != sgl.Len() || !bytes.Equal(all.Bytes(), want) {
			t.Fatalf("WriteTo: %d, %v, equal %v", n, err, bytes.Equal(all.Bytes(), want))
		}
		if got := bytes.Join(sgl.Buffers(), nil); !bytes.Equal(got, want) {
			t.Fatalf("Buffers hold %d bytes", len(got))
		}
		if err := iotest.TestReader(sgl.Reader(), want); err != nil {
			t.Fatal(err)
		}
		sgl.Free()
		if pool.InUse() != 0 || sgl.Len() != 0 {
			t.Fatalf("%d bytes stay on loan, length %d", pool.InUse(), sgl.Len())
		}
		if _, err := sgl.Write([]byte("again")); err != nil || sgl.Len() != 5 {
			t.Fatalf("after Free: length %d, %v", sgl.Len(), err)
		}
		sgl.Free()
	})
}

func TestSGLReadFromFails(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	sgl := New(0).NewSGL(0)
	defer sgl.Free()
	n, err := sgl.ReadFrom(io.MultiReader(bytes.NewReader(make([]byte, 100)), iotest.ErrReader(broken)))
	if n != 100 || !errors.Is(err, broken) || sgl.Len() != 100 {
		t.Errorf("%d bytes, length %d, %v", n, sgl.Len(), err)
	}
	if _, err := sgl.ReadAt(make([]byte, 1), -1); err == nil {
		t.Error("a negative offset is read")
	}
}

func TestSGLReset(t *testing.T) {
	t.Parallel()
	pool := New(0)
	sgl := pool.NewSGL(MinSlab)
	for range 3 {
		if _, err := sgl.Write(make([]byte, 3*MinSlab)); err != nil {
			t.Fatal(err)
		}
		if err := sgl.WriteByte('x'); err != nil {
			t.Fatal(err)
		}
		sgl.Reset()
	}
	if pool.InUse() != 4*MinSlab {
		t.Errorf("%d bytes on loan", pool.InUse())
	}
	sgl.Free()
}

func BenchmarkSGL(b *testing.B) {
	pool := New(0)
	sgl := pool.NewSGL(0)
	piece := make([]byte, 4<<10)
	b.ReportAllocs()
	b.SetBytes(1 << 20)
	for b.Loop() {
		for range 256 {
			_, _ = sgl.Write(piece)
		}
		if _, err := sgl.WriteTo(io.Discard); err != nil {
			b.Fatal(err)
		}
		sgl.Free()
	}
}
