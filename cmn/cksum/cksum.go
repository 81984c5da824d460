// Package cksum names the checksum types of the REST API and computes them.
// Values are lowercase hex of the big-endian digest.
package cksum

import (
	"crypto/md5"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"hash/crc32"

	"github.com/cespare/xxhash/v2"
)

// Types, in the order in which they are listed to users.
const (
	None    = "none"
	XXHash  = "xxhash"
	XXHash2 = "xxhash2" // the same algorithm as XXHash under another name
	MD5     = "md5"
	CRC32C  = "crc32c"
	SHA256  = "sha256"
	SHA512  = "sha512"
)

// types are all accepted names.
var types = [...]string{None, XXHash, XXHash2, MD5, CRC32C, SHA256, SHA512}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Value is a checksum: its type and its digest in lowercase hex. The zero
// Value, and any of type None, is no checksum.
type Value struct {
	Type  string
	Value string
}

// IsNone tells that there is no checksum.
func (v Value) IsNone() bool { return v.Type == "" || v.Type == None || v.Value == "" }

// String is "type[value]".
func (v Value) String() string {
	if v.IsNone() {
		return None
	}
	return v.Type + "[" + v.Value + "]"
}

// Equal compares two checksums. XXHash and XXHash2 are one algorithm; two
// absent checksums are not equal.
func (v Value) Equal(o Value) bool {
	return !v.IsNone() && !o.IsNone() && SameAlgorithm(v.Type, o.Type) && v.Value == o.Value
}

// SameAlgorithm tells whether two type names mean one algorithm.
func SameAlgorithm(a, b string) bool {
	return a == b || (a == XXHash && b == XXHash2) || (a == XXHash2 && b == XXHash)
}

// Validate returns an error that lists the accepted names if kind is not one.
func Validate(kind string) error {
	for _, t := range types {
		if t == kind {
			return nil
		}
	}
	return fmt.Errorf("invalid checksum type %q (expected one of %v)", kind, types)
}

// New returns the hash of a type, nil for None. An unknown type is an error.
func New(kind string) (hash.Hash, error) {
	switch kind {
	case None:
		return nil, nil
	case XXHash, XXHash2:
		return xxhash.New(), nil
	case MD5:
		return md5.New(), nil
	case CRC32C:
		return crc32.New(castagnoli), nil
	case SHA256:
		return sha256.New(), nil
	case SHA512:
		return sha512.New(), nil
	}
	return nil, Validate(kind)
}

// Sum returns the value of a hash made by New.
func Sum(kind string, h hash.Hash) Value {
	if h == nil {
		return Value{Type: None}
	}
	var buf [sha512.Size]byte
	return Value{Type: kind, Value: hex.EncodeToString(h.Sum(buf[:0]))}
}

// Of returns the checksum of a block of bytes; kind must be valid.
func Of(kind string, data []byte) (Value, error) {
	h, err := New(kind)
	if err != nil || h == nil {
		return Value{Type: kind}, err
	}
	h.Write(data)
	return Sum(kind, h), nil
}
