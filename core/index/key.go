package index

import (
	"bytes"
	"encoding/binary"
)

// A key is the bucket id, big-endian, and the name with each 00 written as
// 00 FF, ended by 00 01: the order of keys is that of names, bytewise. A key
// of a version that is not the current one goes on with its Version. The
// mark of a bucket whose every name is in the index is the id and 00 00, which
// sorts before all names.
const (
	bidSize    = 8
	terminator = 0x01 // after 00
	escaped    = 0xff // after 00
)

func appendBID(dst []byte, bid uint64) []byte { return binary.BigEndian.AppendUint64(dst, bid) }

func appendEscaped[T string | []byte](dst []byte, name T) []byte {
	for i := range len(name) {
		dst = append(dst, name[i])
		if name[i] == 0 {
			dst = append(dst, escaped)
		}
	}
	return dst
}

// appendKey encodes the key of the current object of a name.
func appendKey(dst []byte, bid uint64, name string) []byte {
	return append(appendEscaped(appendBID(dst, bid), name), 0, terminator)
}

// keyLength is the length of what appendKey appends.
func keyLength[T string | []byte](name T) int {
	n := bidSize + len(name) + 2
	for i := range len(name) {
		if name[i] == 0 {
			n++
		}
	}
	return n
}

func appendMark(dst []byte, bid uint64) []byte { return append(appendBID(dst, bid), 0, 0) }

func isMark(key []byte) bool {
	return len(key) == bidSize+2 && key[bidSize] == 0 && key[bidSize+1] == 0
}

// appendAfter encodes a bound greater than every key of a name and not greater
// than that of any greater name.
func appendAfter[T string | []byte](dst []byte, bid uint64, name T) []byte {
	return append(appendEscaped(appendBID(dst, bid), name), 0, terminator+1)
}

// appendPast encodes a bound greater than every key of names with a prefix.
func appendPast[T string | []byte](dst []byte, bid uint64, prefix T) []byte {
	start := len(dst)
	dst = appendEscaped(appendBID(dst, bid), prefix)
	for i := len(dst) - 1; i >= start; i-- {
		if dst[i] != 0xff {
			dst[i]++
			return dst[:i+1]
		}
	}
	return append(dst[:start], bytes.Repeat([]byte{0xff}, bidSize+1)...)
}

// appendName decodes the name of a key; current tells that the key is that of
// the current object. ok is false for what is no key of a name.
func appendName(dst, key []byte) (name []byte, current, ok bool) {
	if len(key) < bidSize+2 {
		return dst, false, false
	}
	rest := key[bidSize:]
	for {
		i := bytes.IndexByte(rest, 0)
		if i < 0 || i+1 == len(rest) {
			return dst, false, false
		}
		switch rest[i+1] {
		case escaped:
			dst = append(dst, rest[:i+1]...)
			rest = rest[i+2:]
		case terminator:
			return append(dst, rest[:i]...), i+2 == len(rest), true
		default:
			return dst, false, false
		}
	}
}
