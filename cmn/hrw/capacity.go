package hrw

import "math/bits"

// Placement by capacity: weighted rendezvous hashing.
//
// Among places with capacities c, a name belongs to the one with the least
// Cost(Weight)/c. Cost is an exponentially distributed variable of a uniform
// one, so a place gets names in proportion to its capacity; and what a place
// costs depends on nobody else, so a change of one place's capacity moves names
// to it or from it and nowhere else. Equal capacities give the order of plain
// Weight, exactly.
//
// All of it is integer arithmetic, the same on every platform: it decides who
// owns what, so two nodes must never differ by a rounding.

const (
	costBits  = 57             // of Cost behind the binary point: 64 - log2 is less than 2^7
	tableBits = 10             // of a mantissa that choose a segment of the logarithm
	stepBits  = 63 - tableBits // of a mantissa within a segment
	stepMask  = uint64(1)<<stepBits - 1
)

// Cost is -log2((w+1)/2^64) of a weight as Weight returns it, with 57 bits
// behind the binary point: 64 for weight 0, 0 for the greatest. It never grows
// with the weight. The logarithm is interpolated between 1,024 points for each
// power of two; no Cost is off by more than a 2,000th of itself.
func Cost(weight uint64) uint64 {
	n := weight + 1
	if n == 0 {
		return 0
	}
	zeros := bits.LeadingZeros64(n)
	mantissa := n << zeros // 1.63 fixed point, at least 1
	segment := mantissa << 1 >> (64 - tableBits)
	from, to := log2[segment], log2[segment+1]
	high, low := bits.Mul64(to-from, mantissa&stepMask)
	fraction := from + (high<<(64-stepBits) | low>>stepBits)
	// 64 - log2(n) = 64 - (63 - zeros) - fraction
	return uint64(zeros+1)<<costBits - fraction
}

// Before tells that a place with weight a (see Weight) and a capacity comes
// before one with weight b and another capacity, for the name that both weights
// are for. Of places that are the same in both, neither does. Capacities are at
// least 1, in any unit; all are in the same one.
func Before(a, capacityA, b, capacityB uint64) bool {
	if capacityA == capacityB {
		return a > b
	}
	return Cheaper(Cost(a), a, capacityA, Cost(b), b, capacityB)
}

// Cheaper is Before for weights whose costs are known already.
func Cheaper(costA, a, capacityA, costB, b, capacityB uint64) bool {
	highA, lowA := bits.Mul64(costA, capacityB)
	highB, lowB := bits.Mul64(costB, capacityA)
	switch {
	case highA != highB:
		return highA < highB
	case lowA != lowB:
		return lowA < lowB
	}
	return a > b
}

// log2 are the logarithms of 1 + i/1024 to base 2, with 57 bits behind the
// binary point. It never changes.
var log2 = log2Table()

func log2Table() (table [1<<tableBits + 1]uint64) {
	for i := range 1 << tableBits {
		table[i] = log2Of(1<<63 | uint64(i)<<stepBits)
	}
	table[1<<tableBits] = 1 << costBits
	return table
}

// log2Of is the logarithm of a number from 1 to less than 2, in 1.63 fixed
// point, one bit for each squaring.
func log2Of(x uint64) (result uint64) {
	for range costBits {
		high, low := bits.Mul64(x, x) // 2.126 fixed point
		result <<= 1
		if high>>63 != 0 {
			result |= 1
			x = high
		} else {
			x = high<<1 | low>>63
		}
	}
	return result
}
