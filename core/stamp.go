package core

import (
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"sync/atomic"
	"time"
)

// Stamp orders the commits of one name, whoever made them: the greater one
// wins everywhere. The version that clients see never decides that.
type Stamp struct {
	Epoch uint64 // placement epoch
	Clock uint64 // hybrid logical clock: 48 bits of milliseconds since the epoch, 16 bits of a counter
	Node  uint64 // digest of the id of the node that committed; breaks ties
}

// stampSize is the length of a stored stamp, in bytes.
const stampSize = 24

// Compare returns -1, 0 or 1 as s is older than, equal to or newer than o.
func (s Stamp) Compare(o Stamp) int {
	if c := cmp.Compare(s.Epoch, o.Epoch); c != 0 {
		return c
	}
	if c := cmp.Compare(s.Clock, o.Clock); c != 0 {
		return c
	}
	return cmp.Compare(s.Node, o.Node)
}

// IsZero tells that there is no stamp.
func (s Stamp) IsZero() bool { return s == Stamp{} }

// append encodes the stamp as records hold it, little-endian.
func (s Stamp) append(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, s.Epoch)
	dst = binary.LittleEndian.AppendUint64(dst, s.Clock)
	return binary.LittleEndian.AppendUint64(dst, s.Node)
}

// decodeStamp reads the first stampSize bytes.
func decodeStamp(data []byte) Stamp {
	le := binary.LittleEndian
	return Stamp{Epoch: le.Uint64(data), Clock: le.Uint64(data[8:]), Node: le.Uint64(data[16:])}
}

// fileSuffix is the stamp as file names hold it: each number big-endian, 48
// hex digits, so that the order of names is that of stamps.
func (s Stamp) fileSuffix() string {
	var raw [stampSize]byte
	binary.BigEndian.PutUint64(raw[:], s.Epoch)
	binary.BigEndian.PutUint64(raw[8:], s.Clock)
	binary.BigEndian.PutUint64(raw[16:], s.Node)
	return hex.EncodeToString(raw[:])
}

// hybridClock hands out strictly growing times that never lag behind the wall
// clock nor behind any time that was seen.
type hybridClock struct {
	last atomic.Uint64
}

// next returns a time greater than every earlier one and greater than seen.
func (c *hybridClock) next(now time.Time, seen uint64) uint64 {
	wall := uint64(now.UnixMilli()) << 16
	for {
		last := c.last.Load()
		next := max(last+1, seen+1, wall)
		if c.last.CompareAndSwap(last, next) {
			return next
		}
	}
}
