package target

import (
	"math"
	"sync"
	"time"

	"github.com/aistore-go/aistore/cmn/sysinfo"
	"github.com/aistore-go/aistore/cmn/wire"
)

const (
	// leastWaitOperations is of how many operations the time in one interval says
	// something about a disk.
	leastWaitOperations = 8
	// leastWait is what no disk is called slow for: a fast one takes tens of
	// microseconds at leisure, and nobody notices ten times that.
	leastWait = time.Millisecond
	// leisureWindow is the time constant with which a disk's time at leisure follows
	// what is measured there.
	leisureWindow = 5 * time.Minute
)

// diskWaits follows how long the operations of disks take, and compares that with
// what they take when the disk has little to do: a disk of users whose
// operations begin to wait for those of jobs becomes slow before it is busy all
// the time, and some, which do much at a time, are never slow though they
// are always busy.
type diskWaits struct {
	mu    sync.Mutex
	disks map[string]*diskWait
	at    time.Time
	worst float64
}

// diskWait is one disk.
type diskWait struct {
	now     float64 // ns, averaged over the window
	leisure float64 // ns
}

// apply takes the times of an interval that ends now. A disk that is used up
// to leisureUtil percent is at leisure. window is the time constant.
func (w *diskWaits) apply(waits map[string]sysinfo.DiskWait, stats map[string]wire.DiskStats, leisureUtil int64, now time.Time, window time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	elapsed := max(0, now.Sub(w.at))
	follow := func(over time.Duration) float64 {
		if w.at.IsZero() || over <= 0 {
			return 1
		}
		return 1 - math.Exp(-float64(elapsed)/float64(over))
	}
	next := make(map[string]*diskWait, len(waits))
	w.worst = 0
	for name, wait := range waits {
		d := w.disks[name]
		value := float64(wait.Mean)
		switch {
		case wait.Operations < leastWaitOperations && d == nil:
			continue
		case wait.Operations < leastWaitOperations: // nothing waits
			d.now += follow(window) * (d.leisure - d.now)
		case d == nil:
			d = &diskWait{now: value, leisure: value}
		default:
			d.now += follow(window) * (value - d.now)
			if value < d.leisure || stats[name].Util <= leisureUtil {
				d.leisure += follow(leisureWindow) * (value - d.leisure)
			}
			d.leisure = min(d.leisure, d.now)
		}
		next[name] = d
		w.worst = max(w.worst, d.now/max(d.leisure, float64(leastWait)))
	}
	w.disks, w.at = next, now
}

// slowest is how many times as long as at leisure an operation takes, of the
// disk where that is worst; see xact.LoadSample.
func (w *diskWaits) slowest() float64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.worst
}
