package cksum

import "hash/crc32"

// CombineCRC32C returns the CRC-32C of two pieces of data one after the other,
// of which only the checksums and the length of the second are known. It
// takes some microseconds, whatever the length.
//
// A CRC is linear over GF(2): putting n bytes behind data multiplies its
// checksum by a matrix that depends on n alone, and the matrix for 2n is the
// square of that for n.
func CombineCRC32C(first, second uint32, secondLength int64) uint32 {
	if secondLength <= 0 {
		return first
	}
	var odd, even [32]uint32 // operators for one zero bit, then for 2, 4, 8, ... of them
	odd[0] = crc32.Castagnoli
	for i := 1; i < 32; i++ {
		odd[i] = 1 << (i - 1)
	}
	square(&even, &odd)
	square(&odd, &even)
	from, to := &odd, &even // from: 4 zero bits
	for n := secondLength; n > 0; n >>= 1 {
		square(to, from)
		if n&1 != 0 {
			first = times(to, first)
		}
		from, to = to, from
	}
	return first ^ second
}

// times multiplies a matrix with a vector over GF(2).
func times(matrix *[32]uint32, vector uint32) (sum uint32) {
	for i := 0; vector != 0; i, vector = i+1, vector>>1 {
		if vector&1 != 0 {
			sum ^= matrix[i]
		}
	}
	return sum
}

func square(to, from *[32]uint32) {
	for i := range from {
		to[i] = times(from, from[i])
	}
}
