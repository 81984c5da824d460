package hrw

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func names(n int) []uint64 {
	digests := make([]uint64, n)
	for i := range digests {
		digests[i] = Digest(fmt.Sprintf("ais/@#/b/name-%d", i))
	}
	return digests
}

type place struct{ digest, capacity uint64 }

func places(capacities ...uint64) (list []place) {
	for i, c := range capacities {
		list = append(list, place{Digest(fmt.Sprintf("target%02d", i)), c})
	}
	return list
}

// owner is the place of a name, by the definition.
func owner(list []place, name uint64) int {
	best := 0
	for i := 1; i < len(list); i++ {
		if Before(Weight(list[i].digest, name), list[i].capacity, Weight(list[best].digest, name), list[best].capacity) {
			best = i
		}
	}
	return best
}

// TestCostVectors: costs are part of who owns what; they may never change.
func TestCostVectors(t *testing.T) {
	t.Parallel()
	for weight, want := range map[uint64]uint64{
		math.MaxUint64: 0, math.MaxUint64 >> 1: 1 << 57, math.MaxUint64 >> 2: 2 << 57, 0: 64 << 57, 1: 63 << 57, 2: 8994954867970167537,
		math.MaxUint64 - 1: 1, 12345678901234567890: 83494591373068713,
	} {
		got := Cost(weight)
		if got != want {
			t.Errorf("Cost(%d) = %d, want %d", weight, got, want)
		}
	}
	sum := uint64(0)
	for _, entry := range log2 {
		sum = Mix(sum ^ entry)
	}
	if want := uint64(10815712259880943638); sum != want {
		t.Errorf("the table of logarithms sums up to %d, want %d", sum, want)
	}
}

// TestCostIsTheLogarithm, nearly, and never grows.
func TestCostIsTheLogarithm(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	last, lastWeight := Cost(0), uint64(0)
	check := func(weight uint64) {
		got := math.Ldexp(float64(Cost(weight)), -costBits)
		want := 64 - math.Log2(float64(weight)+1)
		if weight > 1<<63 { // float64 would lose what is left of it
			want = -math.Log1p(-float64(-(weight+1))/math.Ldexp(1, 64)) / math.Ln2
		}
		if math.Abs(got-want) > want/2000+1e-13 {
			t.Fatalf("Cost(%d) is %g, want %g", weight, got, want)
		}
	}
	for _, weight := range []uint64{0, 1, 2, 3, 1 << 10, 1 << 52, 1<<53 - 1, 1<<63 - 1, 1 << 63, math.MaxUint64 - 1, math.MaxUint64} {
		check(weight)
	}
	sorted := make([]uint64, 200_000)
	for i := range sorted {
		sorted[i] = rng.Uint64() >> (rng.IntN(8) * rng.IntN(8))
		if i%3 == 0 { // neighbours
			sorted[i] = sorted[max(i-1, 0)] + 1
		}
		if i%7 == 0 { // around the points of the table
			sorted[i] = uint64(rng.IntN(1<<11))<<stepBits + uint64(rng.IntN(5)) - 2
		}
	}
	slices.Sort(sorted)
	for _, weight := range sorted {
		check(weight)
		if now := Cost(weight); now > last {
			t.Fatalf("Cost(%d) = %d is more than Cost(%d) = %d", weight, now, lastWeight, last)
		} else {
			last, lastWeight = now, weight
		}
	}
}

// TestBeforeIsAnOrder: of any three places, in one way.
func TestBeforeIsAnOrder(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 4))
	pick := func() (weight, capacity uint64) {
		weight = rng.Uint64()
		if rng.IntN(2) == 0 {
			weight = math.MaxUint64 - uint64(rng.IntN(4)) // costs that are alike
		}
		return weight, 1 + rng.Uint64()>>(rng.IntN(64))>>1
	}
	for range 200_000 {
		a, ca := pick()
		b, cb := pick()
		c, cc := pick()
		ab, ba := Before(a, ca, b, cb), Before(b, cb, a, ca)
		if ab && ba || ab == ba && a != b {
			t.Fatalf("%d/%d and %d/%d: %v and %v", a, ca, b, cb, ab, ba)
		}
		if ab && Before(b, cb, c, cc) && !Before(a, ca, c, cc) {
			t.Fatalf("%d/%d before %d/%d before %d/%d, and not in a circle", a, ca, b, cb, c, cc)
		}
		if ca == cb && ab != (a > b) {
			t.Fatalf("equal capacities: %d before %d is %v", a, b, ab)
		}
	}
}

// TestEqualCapacitiesArePlain: the owner is that of the greatest weight.
func TestEqualCapacitiesArePlain(t *testing.T) {
	t.Parallel()
	list := places(7, 7, 7, 7, 7, 7, 7)
	for _, name := range names(100_000) {
		plain := 0
		for i := range list {
			if Weight(list[i].digest, name) > Weight(list[plain].digest, name) {
				plain = i
			}
			if i > 0 && Cheaper(Cost(Weight(list[i].digest, name)), Weight(list[i].digest, name), 7, Cost(Weight(list[0].digest, name)), Weight(list[0].digest, name), 7) !=
				(Weight(list[i].digest, name) > Weight(list[0].digest, name)) {
				t.Fatalf("name %d: costs order places %d and 0 otherwise than weights", name, i)
			}
		}
		if got := owner(list, name); got != plain {
			t.Fatalf("name %d belongs to %d, want %d", name, got, plain)
		}
	}
}

// TestShares: of a million names each place gets its share within 3 %, at equal
// capacities and in proportion to unequal ones.
func TestShares(t *testing.T) {
	t.Parallel()
	count := 1_000_000
	if testing.Short() {
		count = 200_000
	}
	all := names(count)
	for _, capacities := range [][]uint64{
		{1, 1, 1, 1, 1, 1}, {1, 2, 3, 4}, {3000, 3001, 2999}, {100, 100, 100, 400}, {4 << 40, 8 << 40, 16 << 40, 16 << 40},
		{5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10},
	} {
		list := places(capacities...)
		total := uint64(0)
		for _, c := range capacities {
			total += c
		}
		got := make([]int, len(list))
		for _, name := range all {
			got[owner(list, name)]++
		}
		for i, c := range capacities {
			want := float64(count) * float64(c) / float64(total)
			allowed := 0.03 * want
			if testing.Short() {
				allowed = max(allowed, 4*math.Sqrt(want))
			}
			if math.Abs(float64(got[i])-want) > allowed {
				t.Errorf("capacities %v: place %d has %d names, want %.0f", capacities, i, got[i], want)
			}
		}
	}
}

// TestMinimalMovement: names move to a place that comes or grows, from one that
// goes or shrinks, and nowhere else; and no more than the difference of shares.
func TestMinimalMovement(t *testing.T) {
	t.Parallel()
	all := names(200_000)
	before := places(10, 20, 30, 40, 25)
	for _, tc := range []struct {
		what  string
		after []place
		index int  // of the place that changes
		gains bool // names move to it only; else from it only
	}{
		{"one comes", places(10, 20, 30, 40, 25, 50), 5, true},
		{"one grows", places(10, 20, 60, 40, 25), 2, true},
		{"one shrinks", places(10, 20, 30, 15, 25), 3, false},
		{"one goes", places(10, 20, 30, 40), 4, false},
	} {
		share := func(list []place, i int) float64 {
			if i >= len(list) {
				return 0
			}
			total := uint64(0)
			for _, p := range list {
				total += p.capacity
			}
			return float64(list[i].capacity) / float64(total)
		}
		moved := 0
		for _, name := range all {
			from, to := owner(before, name), owner(tc.after, name)
			if from == to {
				continue
			}
			moved++
			if tc.gains && to != tc.index || !tc.gains && from != tc.index {
				t.Fatalf("%s: name %d moves from %d to %d", tc.what, name, from, to)
			}
		}
		want := math.Abs(share(tc.after, tc.index)-share(before, tc.index)) * float64(len(all))
		if math.Abs(float64(moved)-want) > 0.03*want {
			t.Errorf("%s: %d names move, want %.0f", tc.what, moved, want)
		}
	}
}

func BenchmarkCost(b *testing.B) {
	b.ReportAllocs()
	var sink, weight uint64
	for b.Loop() {
		weight += 0x9e3779b97f4a7c15
		sink += Cost(weight)
	}
	_ = sink
}
