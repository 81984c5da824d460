// Package memsys keeps the memory through which object data flows: slabs of
// a few sizes, handed out and taken back without allocation, with a bound on
// what is kept for later. It knows nothing of what the bytes are.
package memsys

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

// Sizes of slabs, in bytes. Classes are the powers of two between them.
const (
	MinSlab = 4 << 10
	MaxSlab = 256 << 10

	minShift   = 12
	numClasses = 7 // 4, 8, 16, 32, 64, 128, 256 KiB
)

// DefaultKeep is how many free bytes a pool keeps if it is not told: enough
// for 64 slabs of the largest class.
const DefaultKeep = 16 << 20

// Pool hands out slabs. The zero Pool is not usable; see New. All methods may
// be called at the same time.
type Pool struct {
	classes  [numClasses]class
	inUse    atomic.Int64
	pressure atomic.Int32 // set by a Monitor
}

type class struct {
	mu   sync.Mutex
	free [][]byte // stack; its capacity is the bound, so that pushing never allocates
	size int
	_    [64]byte // classes are locked by different cores
}

// New returns a pool that keeps at most keep bytes of free slabs (at least one
// of each class); the rest is left to the garbage collector. keep <= 0 means
// DefaultKeep. No slab is allocated before it is needed.
func New(keep int64) *Pool {
	if keep <= 0 {
		keep = DefaultKeep
	}
	p := &Pool{}
	for i := range p.classes {
		size := MinSlab << i
		limit := max(int(keep/numClasses)/size, 1)
		p.classes[i] = class{size: size, free: make([][]byte, 0, limit)}
	}
	return p
}

// Buffer is a slab on loan. The zero Buffer is empty and may be freed.
type Buffer struct {
	pool  *Pool
	slab  []byte
	index int8
}

// Bytes is the whole slab, its length a class size. It must not be used after
// Free.
func (b *Buffer) Bytes() []byte { return b.slab }

// Free gives the slab back; b becomes empty, so a second Free does nothing.
func (b *Buffer) Free() {
	if b.pool == nil {
		return
	}
	b.pool.put(b.slab, int(b.index))
	*b = Buffer{}
}

// Get returns a slab of the smallest class that holds size bytes, or of the
// largest if none does. Its content is arbitrary.
func (p *Pool) Get(size int64) Buffer {
	i := classOf(size)
	c := &p.classes[i]
	p.inUse.Add(int64(c.size))
	c.mu.Lock()
	if n := len(c.free); n > 0 {
		slab := c.free[n-1]
		c.free[n-1] = nil
		c.free = c.free[:n-1]
		c.mu.Unlock()
		return Buffer{pool: p, slab: slab, index: int8(i)}
	}
	c.mu.Unlock()
	return Buffer{pool: p, slab: make([]byte, c.size), index: int8(i)}
}

func (p *Pool) put(slab []byte, i int) {
	c := &p.classes[i]
	p.inUse.Add(-int64(c.size))
	c.mu.Lock()
	if len(c.free) < cap(c.free) {
		c.free = append(c.free, slab)
	}
	c.mu.Unlock()
}

// InUse is the number of bytes on loan.
func (p *Pool) InUse() int64 { return p.inUse.Load() }

// Kept is the number of bytes in free slabs.
func (p *Pool) Kept() int64 {
	var n int64
	for i := range p.classes {
		c := &p.classes[i]
		c.mu.Lock()
		n += int64(len(c.free) * c.size)
		c.mu.Unlock()
	}
	return n
}

// crowded is how many bytes on loan are many: a thousand slow clients must not
// fill the memory.
const crowded = 64 << 20

// Tight tells that whoever can do with a smaller slab, or without one, should.
func (p *Pool) Tight() bool {
	return p.inUse.Load() > crowded || Pressure(p.pressure.Load()) >= PressureHigh
}

// Trim gives all free slabs to the garbage collector and returns how many
// bytes they had; for memory pressure.
func (p *Pool) Trim() (released int64) {
	for i := range p.classes {
		c := &p.classes[i]
		c.mu.Lock()
		released += int64(len(c.free) * c.size)
		clear(c.free)
		c.free = c.free[:0]
		c.mu.Unlock()
	}
	return released
}

// classOf returns the index of the class for size bytes.
func classOf(size int64) int {
	if size <= MinSlab {
		return 0
	}
	if size >= MaxSlab {
		return numClasses - 1
	}
	return bits.Len64(uint64(size-1)) - minShift
}
