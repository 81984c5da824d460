package cksum

import (
	"hash/crc32"
	"testing"

	"pgregory.net/rapid"
)

func TestCombineCRC32C(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		a := rapid.SliceOfN(rapid.Byte(), 0, 3000).Draw(rt, "a")
		b := rapid.SliceOfN(rapid.Byte(), 0, 3000).Draw(rt, "b")
		got := CombineCRC32C(crc32.Checksum(a, castagnoli), crc32.Checksum(b, castagnoli), int64(len(b)))
		if want := crc32.Checksum(append(append([]byte{}, a...), b...), castagnoli); got != want {
			rt.Fatalf("%d and %d bytes: %08x, want %08x", len(a), len(b), got, want)
		}
	})
}
