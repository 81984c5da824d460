package wire

import (
	"encoding/binary"
	"fmt"
)

// LsoMark says how new what a target lists under a name is. Of two targets
// that list one name, the greater mark counts.
type LsoMark struct {
	Epoch, Clock, Node uint64
	Tombstone          bool // the name was deleted: nothing is listed
}

// Newer tells that m is greater than o. Without a mark nothing is newer.
func (m *LsoMark) Newer(o *LsoMark) bool {
	switch {
	case m == nil || o == nil:
		return o == nil && m != nil
	case m.Epoch != o.Epoch:
		return m.Epoch > o.Epoch
	case m.Clock != o.Clock:
		return m.Clock > o.Clock
	}
	return m.Node > o.Node
}

// markSize is the encoded size of a mark: three numbers, little-endian, and a
// byte that is 1 for a tombstone.
const markSize = 25

// AppendMarks appends the marks of all entries, in order; all must have one.
func (p *LsoPage) AppendMarks(dst []byte) []byte {
	for i := range p.Entries {
		m := p.Entries[i].Mark
		dst = binary.LittleEndian.AppendUint64(dst, m.Epoch)
		dst = binary.LittleEndian.AppendUint64(dst, m.Clock)
		dst = binary.LittleEndian.AppendUint64(dst, m.Node)
		if m.Tombstone {
			dst = append(dst, 1)
		} else {
			dst = append(dst, 0)
		}
	}
	return dst
}

// SetMarks gives every entry its mark from what AppendMarks made.
func (p *LsoPage) SetMarks(data []byte) error {
	if len(data) != markSize*len(p.Entries) {
		return fmt.Errorf("%d bytes of marks for %d entries", len(data), len(p.Entries))
	}
	marks := make([]LsoMark, len(p.Entries))
	for i := range marks {
		le := data[i*markSize:]
		marks[i] = LsoMark{
			Epoch: binary.LittleEndian.Uint64(le), Clock: binary.LittleEndian.Uint64(le[8:]), Node: binary.LittleEndian.Uint64(le[16:]),
			Tombstone: le[24] == 1,
		}
		p.Entries[i].Mark = &marks[i]
	}
	return nil
}
