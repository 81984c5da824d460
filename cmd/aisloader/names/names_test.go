package names

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestNames(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		maker   Maker
		counter uint64
		want    string
	}{
		{"counted", Maker{}, 255, "ff"},
		{"counted by the second of sixteen loaders", Maker{Loader: 1, Bits: 4}, 255, "ff1"},
		{"in a folder", Maker{Prefix: "a/b/"}, 16, "a/b/10"},
		{"spread over folders", Maker{Prefix: "a/", Subdirs: 1000}, 1018, "a/00012/3fa"},
	} {
		if got := string(tc.maker.Append(nil, tc.counter)); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}

func TestRandomNamesDifferAndRepeat(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, m := range []Maker{{Random: true, Seed: 1}, {Random: true, Seed: 2}, {Random: true, Seed: 1, Loader: 1}} {
		for i := range uint64(20000) {
			name := string(m.Append(nil, i))
			if len(name) != Length || strings.ContainsAny(name, "/%~ ") {
				t.Fatalf("name %q", name)
			}
			if seen[name] {
				t.Fatalf("%q twice", name)
			}
			seen[name] = true
		}
		if string(m.Append(nil, 7)) != string(m.Append(nil, 7)) {
			t.Error("a name is not repeated")
		}
	}
}

func TestOrderVisitsAllOnceAnEpoch(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 3000).Draw(t, "n")
		o := NewOrder(n, uint(rapid.IntRange(0, 3000).Draw(t, "shuffle")), rapid.Uint64().Draw(t, "seed"))
		for epoch := range 3 {
			seen := make([]bool, n)
			for k := range n {
				i := o.At(uint64(epoch*n + k))
				if i < 0 || i >= n || seen[i] {
					t.Fatalf("epoch %d: index %d of %d again", epoch, i, n)
				}
				seen[i] = true
			}
		}
	})
	if o := NewOrder(999983*2, 0, 3); o.At(0) == o.At(1) {
		t.Error("a prime that divides the number of names was taken")
	}
}

func BenchmarkAppend(b *testing.B) {
	b.ReportAllocs()
	m := Maker{Random: true, Seed: 1, Subdirs: 100}
	var buf [64]byte
	for i := range b.N {
		_ = m.Append(buf[:0], uint64(i))
	}
}
