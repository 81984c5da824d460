package memsys

import (
	"errors"
	"io"
	"net"
)

// SGL is a scatter-gather list: content of any length in slabs of a pool, so
// that it grows without copying and goes back without garbage. The zero SGL is
// not usable; see NewSGL. It is not for use by several goroutines at once,
// except that readers may read what nobody writes any more.
type SGL struct {
	pool   *Pool
	slabs  []Buffer
	slab   int64 // size of each
	length int64
}

// NewSGL returns an empty list whose slabs fit content of about the given
// size: the smallest class that holds it, MaxSlab for more or if it is not
// known (<= 0). Free gives its memory back.
func (p *Pool) NewSGL(expected int64) *SGL {
	if expected <= 0 {
		expected = MaxSlab
	}
	return &SGL{pool: p, slab: int64(MinSlab << classOf(expected))}
}

// Len is the number of bytes written.
func (z *SGL) Len() int64 { return z.length }

// Cap is the number of bytes that its slabs hold.
func (z *SGL) Cap() int64 { return int64(len(z.slabs)) * z.slab }

// Write appends p. It never fails.
func (z *SGL) Write(p []byte) (int, error) {
	written := len(p)
	for len(p) > 0 {
		n := copy(z.room(), p)
		z.length += int64(n)
		p = p[n:]
	}
	return written, nil
}

// WriteByte appends one byte. It never fails.
func (z *SGL) WriteByte(c byte) error {
	z.room()[0] = c
	z.length++
	return nil
}

// ReadFrom appends all that r has.
func (z *SGL) ReadFrom(r io.Reader) (total int64, err error) {
	empty := 0
	for {
		n, err := r.Read(z.room())
		z.length += int64(n)
		total += int64(n)
		switch {
		case errors.Is(err, io.EOF):
			return total, nil
		case err != nil:
			return total, err
		case n > 0:
			empty = 0
		default:
			if empty++; empty > 100 {
				return total, io.ErrNoProgress
			}
		}
	}
}

// room is what is free of the last slab, never nothing.
func (z *SGL) room() []byte {
	last := z.length / z.slab
	if last == int64(len(z.slabs)) {
		z.slabs = append(z.slabs, z.pool.Get(z.slab))
	}
	return z.slabs[last].Bytes()[z.length%z.slab : z.slab]
}

// part is the longest contiguous content from an offset.
func (z *SGL) part(offset int64) []byte {
	if offset >= z.length {
		return nil
	}
	start := offset % z.slab
	end := min(z.slab, start+z.length-offset)
	return z.slabs[offset/z.slab].Bytes()[start:end]
}

// WriteTo writes the content to w, one call a slab. The list stays as it is.
func (z *SGL) WriteTo(w io.Writer) (total int64, err error) {
	for total < z.length {
		n, err := w.Write(z.part(total))
		total += int64(n)
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// ReadAt implements io.ReaderAt.
func (z *SGL) ReadAt(p []byte, offset int64) (n int, err error) {
	if offset < 0 {
		return 0, errors.New("memsys: negative offset")
	}
	for n < len(p) {
		part := z.part(offset + int64(n))
		if part == nil {
			return n, io.EOF
		}
		n += copy(p[n:], part)
	}
	return n, nil
}

// Reader returns a reader of the content from its beginning. It is valid until
// the list is freed or reset.
func (z *SGL) Reader() *io.SectionReader { return io.NewSectionReader(z, 0, z.length) }

// Buffers is the content for a vectored write, which changes the result and
// not the list.
func (z *SGL) Buffers() net.Buffers {
	buffers := make(net.Buffers, 0, len(z.slabs))
	for offset := int64(0); offset < z.length; {
		part := z.part(offset)
		buffers = append(buffers, part)
		offset += int64(len(part))
	}
	return buffers
}

// Reset makes the list empty and keeps its slabs.
func (z *SGL) Reset() { z.length = 0 }

// Free gives the slabs back and makes the list empty; it may be used again.
func (z *SGL) Free() {
	for i := range z.slabs {
		z.slabs[i].Free()
	}
	z.slabs, z.length = z.slabs[:0], 0
}
