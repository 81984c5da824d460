// Package names makes the names of new objects and picks those of objects to
// read, without a lock and, but for the text of a new name, without memory of
// what was picked.
package names

import (
	"strconv"

	"github.com/aistore-go/aistore/cmn/hrw"
)

// Length of a random name, in characters.
const Length = 32

// Maker makes the name of the object with a number: the same for equal
// settings. It may be used from any goroutine.
type Maker struct {
	Prefix  string // "" or ends in a slash
	Subdirs uint64 // 0 = none
	Random  bool
	Seed    uint64
	Loader  uint64 // number of this loader
	Bits    uint   // low bits of a counted name that hold it
}

// Append appends the name of an object.
//
// A counted name is the hexadecimal number (counter << Bits | Loader); a
// random one has 160 bits of a hash of seed, loader and counter.
func (m *Maker) Append(to []byte, counter uint64) []byte {
	to = append(to, m.Prefix...)
	if m.Subdirs > 0 {
		to = appendHex(to, counter%m.Subdirs, 5)
		to = append(to, '/')
	}
	if !m.Random {
		return strconv.AppendUint(to, counter<<m.Bits|m.Loader, 16)
	}
	const letters = "abcdefghijklmnopqrstuvwxyz234567"
	state := hrw.Mix(m.Seed^hrw.Mix(m.Loader)) ^ hrw.Mix(counter)
	for range 4 {
		state = hrw.Mix(state + 1)
		for bits, i := state, 0; i < Length/4; i++ {
			to = append(to, letters[bits&31])
			bits >>= 5
		}
	}
	return to
}

func appendHex(to []byte, n uint64, digits int) []byte {
	const letters = "0123456789abcdef"
	for i := digits - 1; i >= 0; i-- {
		to = append(to, letters[n>>(4*i)&15])
	}
	return to
}
