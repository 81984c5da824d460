package ec

import (
	"fmt"
	"sync"

	"github.com/klauspost/reedsolomon"

	"github.com/aistore-go/aistore/memsys"
)

// Codec encodes and decodes. It is safe for concurrent use.
type Codec struct {
	memory *memsys.Pool

	mu     sync.Mutex
	matrix map[Shape]reedsolomon.Encoder
}

// NewCodec returns a codec that takes its buffers from a pool.
func NewCodec(memory *memsys.Pool) *Codec {
	return &Codec{memory: memory, matrix: make(map[Shape]reedsolomon.Encoder)}
}

// of returns the matrix of a shape with slices.
func (c *Codec) of(s Shape) (reedsolomon.Encoder, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m := c.matrix[s]; m != nil {
		return m, nil
	}
	// Blocks are small, and many objects are encoded at the same time.
	m, err := reedsolomon.New(s.Data, s.Parity, reedsolomon.WithMaxGoroutines(1))
	if err != nil {
		return nil, fmt.Errorf("%d data and %d parity slices: %w", s.Data, s.Parity, err)
	}
	c.matrix[s] = m
	return m, nil
}
