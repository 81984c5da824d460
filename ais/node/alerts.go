package node

import (
	"context"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/aistore-go/aistore/cmn/sysinfo"
	"github.com/aistore-go/aistore/cmn/wire"
)

// Bounds of the alerts that come from watching this node. Alerts end at other
// values than they begin, so that they do not flicker.
const (
	watchInterval = 10 * time.Second

	// Processor time of the machine, in percent, as an average over cpuWindow:
	// a machine that is busy for a minute or two is used, not overloaded.
	outOfCPU  = 95
	lowCPU    = 85
	cpuIsFine = 50
	cpuWindow = 5 * time.Minute

	// Goroutines for each processor.
	someGoroutines = 512
	manyGoroutines = 1024

	// Signs of life to the primary: one that is lost is made up for by the next
	// one, a second later.
	keepaliveFailures = 3
	keepaliveWindow   = time.Minute
	keepaliveIsFine   = 5 * time.Minute

	// restartedFor is how long a node shows that it has crashed.
	restartedFor = 10 * time.Hour
)

// reading is what a look at this node sees.
type reading struct {
	at                time.Time
	memAvail, memAll  uint64 // bytes that this process may still get, and in all
	cpu               int64  // percent of the machine, since the last reading
	goroutines, procs int
	keepaliveErrors   int64 // since the start
	joined            bool
}

// alerts are the alerts of this node that do not come from its disks.
type alerts struct {
	watched     atomic.Uint64 // of the last look
	restarted   atomic.Bool   // the last run ended in a crash
	certInvalid atomic.Bool   // the certificate files could not be read again
}

// current returns the alerts of now; up is the node's uptime.
func (a *alerts) current(up time.Duration) wire.NodeFlags {
	f := wire.NodeFlags(a.watched.Load())
	if a.restarted.Load() && up < restartedFor {
		f |= wire.NodeRestarted
	}
	if a.certInvalid.Load() {
		f |= wire.NodeCertInvalid
	}
	return f
}

// watch looks at the node at intervals, and follows the configuration, until
// the node ends.
func (n *Node) watch(ctx context.Context) {
	var (
		w       watcher
		sampler = sysinfo.New()
		tick    = time.NewTicker(time.Second)
		looked  time.Time
	)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			n.remotes.follow(ctx, n.View().Config)
			if now.Sub(looked) < watchInterval {
				continue
			}
			looked = now
			n.look(&w, sampler, now)
		}
	}
}

// look brings the alerts up to date.
func (n *Node) look(w *watcher, sampler *sysinfo.Sampler, now time.Time) {
	avail, all := sampler.Memory()
	f := w.look(reading{
		at: now, memAvail: avail, memAll: all, cpu: sampler.MemCPU().CPUUtil,
		goroutines: runtime.NumGoroutine(), procs: runtime.GOMAXPROCS(0),
		keepaliveErrors: n.metrics.KeepaliveErrors(), joined: n.Joined(),
	})
	if was := wire.NodeFlags(n.alerts.watched.Swap(uint64(f))); was != f {
		n.logger.Warn("alerts of this node have changed", "from", (was | wire.NodeHealthy).String(), "to", (f | wire.NodeHealthy).String())
	}
}

// watcher makes alerts of readings.
type watcher struct {
	flags  wire.NodeFlags
	cpu    []int64   // of the last cpuWindow
	errors []reading // of the last keepaliveWindow
	failed time.Time // when they were last too many
}

// look returns the alerts after one more reading.
func (w *watcher) look(r reading) wire.NodeFlags {
	w.lookAtMemory(r)
	w.lookAtCPU(r)
	w.lookAtGoroutines(r)
	w.lookAtKeepalive(r)
	return w.flags
}

func (w *watcher) set(flag wire.NodeFlags, on bool) {
	if on {
		w.flags |= flag
	} else {
		w.flags &^= flag
	}
}

// lookAtMemory compares with what clients warn about: 200 MiB and 1 GiB, on
// small machines 2 and 10 percent.
func (w *watcher) lookAtMemory(r reading) {
	if r.memAll == 0 {
		return // not known
	}
	out, low := min(200<<20, r.memAll/50), min(1<<30, r.memAll/10)
	if w.flags&wire.NodeOOM != 0 {
		out += out / 4
	}
	if w.flags&wire.NodeLowMemory != 0 {
		low += low / 4
	}
	isOut := r.memAvail < out
	w.set(wire.NodeOOM, isOut)
	w.set(wire.NodeLowMemory, !isOut && r.memAvail < low)
}

func (w *watcher) lookAtCPU(r reading) {
	const looks = int(cpuWindow / watchInterval)
	if w.cpu = append(w.cpu, r.cpu); len(w.cpu) < looks {
		return
	}
	w.cpu = w.cpu[len(w.cpu)-looks:]
	var sum int64
	for _, percent := range w.cpu {
		sum += percent
	}
	average := sum / int64(looks)
	had := w.flags & (wire.NodeOutOfCPU | wire.NodeLowCPU)
	w.set(wire.NodeOutOfCPU, average > outOfCPU)
	w.set(wire.NodeLowCPU, average <= outOfCPU && (average > lowCPU || had != 0 && average >= cpuIsFine))
}

func (w *watcher) lookAtGoroutines(r reading) {
	many := r.goroutines > manyGoroutines*r.procs
	w.set(wire.NodeManyGoroutines, many)
	w.set(wire.NodeGoroutines, !many && r.goroutines > someGoroutines*r.procs)
}

func (w *watcher) lookAtKeepalive(r reading) {
	if !r.joined {
		w.errors = nil // a node that looks for its cluster asks in vain
		return
	}
	w.errors = slices.DeleteFunc(append(w.errors, r), func(old reading) bool { return r.at.Sub(old.at) > keepaliveWindow })
	if r.keepaliveErrors-w.errors[0].keepaliveErrors >= keepaliveFailures {
		w.failed = r.at
	}
	w.set(wire.NodeKeepaliveErrors, !w.failed.IsZero() && r.at.Sub(w.failed) < keepaliveIsFine)
}
