// Package hrw computes rendezvous (highest random weight) placement: the one
// place where an object's owner and mountpath are decided. The hash is a wire
// fact: clients that place by themselves compute the same.
package hrw

import (
	"math/bits"

	"github.com/OneOfOne/xxhash"
)

// Seed is the seed of every digest that takes part in placement.
const Seed = 1103515245

// Digest is XXH64 of a name with Seed. Checksums, which have no seed, are
// computed by another library: this one takes a seed without a hash object,
// that one is faster on content.
func Digest(name string) uint64 { return xxhash.ChecksumString64S(name, Seed) }

// DigestBytes is Digest of a name held in bytes.
func DigestBytes(name []byte) uint64 { return xxhash.Checksum64S(name, Seed) }

// Mix is the weight function: a splitmix64-style finalizer over digest XOR
// digest (a wire fact).
func Mix(s uint64) uint64 {
	const (
		gamma = 0x9e3779b97f4a7c15
		m1    = 0xbf58476d1ce4e5b9
		m2    = 0x94d049bb133111eb
	)
	z := s + gamma
	z = (z ^ z>>30) * m1
	z = (z ^ z>>27) * m2
	z = (z ^ z>>31) + gamma
	z = (z ^ z>>30) * m1
	z = (z ^ z>>27) * m2
	z = (z ^ z>>31) * 5
	return bits.RotateLeft64(z, 7) * 9
}

// Weight is the weight of a node or mountpath for a name.
func Weight(nodeDigest, nameDigest uint64) uint64 { return Mix(nodeDigest ^ nameDigest) }
