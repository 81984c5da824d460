package memsys

import (
	"sync"
	"testing"
)

func TestClassOf(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		size int64
		want int
	}{
		{-1, MinSlab}, {0, MinSlab}, {1, MinSlab}, {4096, MinSlab}, {4097, 8 << 10}, {8192, 8 << 10},
		{8193, 16 << 10}, {65536, 64 << 10}, {65537, 128 << 10}, {131073, 256 << 10},
		{MaxSlab, MaxSlab}, {MaxSlab + 1, MaxSlab}, {1 << 40, MaxSlab},
	} {
		p := New(0)
		b := p.Get(c.size)
		if got := len(b.Bytes()); got != c.want {
			t.Errorf("Get(%d): slab of %d bytes, want %d", c.size, got, c.want)
		}
		b.Free()
	}
}

func TestPoolCountsAndBounds(t *testing.T) {
	t.Parallel()
	p := New(numClasses * MaxSlab) // one slab of the largest class
	a, b := p.Get(MaxSlab), p.Get(MaxSlab)
	if p.InUse() != 2*MaxSlab {
		t.Fatalf("InUse %d", p.InUse())
	}
	a.Free()
	a.Free() // nothing happens
	b.Free()
	if p.InUse() != 0 || p.Kept() != MaxSlab {
		t.Fatalf("InUse %d, Kept %d, want 0 and one slab", p.InUse(), p.Kept())
	}
	p.Trim()
	if p.Kept() != 0 {
		t.Fatalf("Kept %d after Trim", p.Kept())
	}
	var zero Buffer
	zero.Free()
}

func TestPoolDoesNotAllocate(t *testing.T) {
	p := New(0)
	warm := p.Get(64 << 10)
	warm.Free()
	if n := testing.AllocsPerRun(100, func() { b := p.Get(64 << 10); b.Free() }); n != 0 {
		t.Fatalf("%v allocations a Get and Free", n)
	}
}

func TestPoolConcurrent(t *testing.T) {
	t.Parallel()
	p := New(1 << 20)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 2000 {
				b := p.Get(int64(i*37*(g+1)) % (300 << 10))
				s := b.Bytes()
				s[0], s[len(s)-1] = byte(g), byte(g)
				if s[0] != byte(g) || s[len(s)-1] != byte(g) {
					t.Error("slab shared by two holders")
				}
				b.Free()
			}
		})
	}
	wg.Wait()
	if p.InUse() != 0 {
		t.Fatalf("InUse %d at the end", p.InUse())
	}
	if kept := p.Kept(); kept > 1<<20+MaxSlab {
		t.Fatalf("keeps %d bytes", kept)
	}
}

func BenchmarkGetFree(b *testing.B) {
	p := New(0)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			buf := p.Get(128 << 10)
			buf.Free()
		}
	})
}
