package names

import "math/rand/v2"

// primes that an Order steps by: greater than the square root of what is in
// memory at once, and each no divisor of most numbers.
var primes = [...]uint64{999983, 1299709, 2750159, 4256233, 7368787, 15485863, 32452843, 67867967}

// Order visits each of n names once an epoch, in an order that differs from
// epoch to epoch. Its methods may be called from any goroutine.
type Order struct {
	n        uint64
	shuffled []uint32 // nil for many names
	seed     uint64
}

// NewOrder returns an order of n names, n > 0. Up to shuffleMax names are
// shuffled; more of them are stepped through by a prime number, without
// memory.
func NewOrder(n int, shuffleMax uint, seed uint64) *Order {
	o := &Order{n: uint64(n), seed: seed}
	if uint64(n) <= uint64(shuffleMax) {
		o.shuffled = make([]uint32, n)
		for i, value := range rand.New(rand.NewPCG(seed, 0)).Perm(n) {
			o.shuffled[i] = uint32(value)
		}
	}
	return o
}

// At returns the index of the name that is visited as number k of all epochs.
func (o *Order) At(k uint64) int {
	epoch, position := k/o.n, k%o.n
	step := o.step(epoch)
	// Both factors are below 2^32 but for more names than memory holds.
	i := (position*(step%o.n) + (o.seed+epoch*7919)%o.n) % o.n
	if o.shuffled != nil {
		return int(o.shuffled[i])
	}
	return int(i)
}

// step is a prime that shares no divisor with n, so that every name is met.
func (o *Order) step(epoch uint64) uint64 {
	for i := range uint64(len(primes)) {
		if prime := primes[(o.seed%8+epoch+i)%uint64(len(primes))]; o.n%prime != 0 {
			return prime
		}
	}
	return 1
}
