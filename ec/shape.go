package ec

import (
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
)

// Shape is how an object is kept on other targets.
type Shape struct {
	Data   int // slices of data; 0: Parity replicas
	Parity int
}

// ShapeOf is that of an object with a size, by the properties of its bucket.
func ShapeOf(p *meta.Bprops, size int64) Shape {
	limit := p.EC.ObjSizeLimit
	if limit < 0 || size < limit {
		return Shape{Parity: p.EC.ParitySlices}
	}
	return Shape{Data: p.EC.DataSlices, Parity: p.EC.ParitySlices}
}

// Replicated tells that whole copies are kept.
func (s Shape) Replicated() bool { return s.Data == 0 }

// Pieces is how many slices or replicas there are.
func (s Shape) Pieces() int { return s.Data + s.Parity }

// numbers are those of all pieces, in the order of their holders. Replicas have
// the number 0 each.
func (s Shape) numbers() []int {
	all := make([]int, s.Pieces())
	if !s.Replicated() {
		for i := range all {
			all[i] = i + 1
		}
	}
	return all
}

// columns is how many blocks of data a stripe has.
func (s Shape) columns() int64 { return int64(max(s.Data, 1)) }

// stripe is a part of the object that is encoded at once.
type stripe struct {
	start int64 // of the object's bytes
	size  int64 // of them, at most columns blocks
	block int64 // bytes of each block
}

// stripeAt is the stripe with a number of an object of a size.
func (s Shape) stripeAt(n, size int64) stripe {
	full := s.columns() * core.SliceBlock
	st := stripe{start: n * full, size: full, block: core.SliceBlock}
	if left := size - st.start; left < full {
		st.size = left
		st.block = (left + s.columns() - 1) / s.columns()
	}
	return st
}

// stripes is how many stripes an object has; an empty one has none.
func (s Shape) stripes(size int64) int64 {
	full := s.columns() * core.SliceBlock
	return (size + full - 1) / full
}
