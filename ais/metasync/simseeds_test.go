package metasync

import (
	"flag"
	"testing"
	"time"
)

var (
	simSeed  = flag.Uint64("sim.seed", 0, "run the history of this seed only")
	simFrom  = flag.Uint64("sim.from", 1, "seed of the first history")
	simSeeds = flag.Uint64("sim.seeds", 0, "how many histories; 0: the default of the test")
	simFor   = flag.Duration("sim.for", 0, "begin no history after this time; 0: no limit")
)

// underRace tells that the race detector watches: it makes a simulation ten
// times slower, and there is one goroutine only to be watched.
var underRace bool

// histories runs seeded histories: as many as the flags say, by default a
// fixed number of the lowest seeds. A history that fails names its seed, and
//
//	go test -run NAME ./ais/metasync -sim.seed=N
//
// replays it exactly; with SIM_TRACE=1 in the environment it shows everything
// that the nodes logged.
func histories(t *testing.T, byDefault, short uint64, run func(seed uint64)) (count uint64) {
	t.Helper()
	first, many := *simFrom, *simSeeds
	switch {
	case *simSeed != 0:
		first, many = *simSeed, 1
	case many == 0 && underRace:
		many = max(short/4, 2)
	case many == 0 && testing.Short():
		many = short
	case many == 0:
		many = byDefault
	}
	began := time.Now()
	defer func() {
		if t.Failed() {
			t.Logf("the history with seed %d failed; replay it: go test -run '^%s$' ./ais/metasync -sim.seed=%d", first+count, t.Name(), first+count)
		}
	}()
	for ; count < many && (*simFor == 0 || time.Since(began) < *simFor); count++ {
		run(first + count)
	}
	t.Logf("%d histories, seeds %d to %d", count, first, first+count-1)
	return count
}
