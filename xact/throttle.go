package xact

import (
	"context"
	"time"

	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/cmn/delay"
)

const (
	// Shares of its time that a job works while users are served: of a disk
	// that is busy up to disk_util_low_wm it takes all, up to disk_util_high_wm less and
	// less, and above disk_util_max_wm the least, so that it always ends.
	shareHigh  = 0.25
	shareLeast = 0.05
	// The same for processors, in percent.
	cpuLow  = 75
	cpuHigh = 98
	// The same for the time that operations of a disk take, in times of what they
	// take at leisure: a disk may be slow long before it is busy all the time.
	slowLow  = 2
	slowHigh = 8
	slowMost = 16
	// maxPause bounds one pause.
	maxPause = time.Second
	// pauseGrain is the least pause worth a timer: shorter ones are saved up.
	pauseGrain = 500 * time.Microsecond
	// throttleWork is what Throttle takes the work since its last call for.
	throttleWork = time.Millisecond
)

// share is the part of its time that a job may work, from 1 down to shareLeast.
// While no user is served, jobs may have everything.
func share(load LoadSample, disk *config.DiskConf) float64 {
	if !load.Users {
		return 1
	}
	of := func(percent, low, high, most int64) float64 {
		switch {
		case percent <= low:
			return 1
		case percent >= most:
			return shareLeast
		case percent >= high:
			return shareHigh - (shareHigh-shareLeast)*float64(percent-high)/float64(max(1, most-high))
		}
		return 1 - (1-shareHigh)*float64(percent-low)/float64(max(1, high-low))
	}
	const fine = 100 // parts of one
	return min(
		of(load.Disk, disk.UtilLowWM, disk.UtilHighWM, disk.UtilMaxWM),
		of(int64(min(load.Slow, slowMost)*fine), slowLow*fine, slowHigh*fine, slowMost*fine),
		of(load.CPU, cpuLow, cpuHigh, 101),
	)
}

// Pace makes one goroutine of a job hold back while users need the disks or
// processors. It is used by that goroutine alone.
type Pace struct {
	x    *Xaction
	from time.Time // when the work since the last Wait began
	owed time.Duration
}

// NewPace returns the pace of one goroutine.
func (x *Xaction) NewPace() *Pace { return &Pace{x: x} }

// Wait is called before each piece of work. It pauses in proportion to the
// work since its last call. The error is that of the context.
func (p *Pace) Wait(ctx context.Context) error {
	now := time.Now()
	if !p.from.IsZero() {
		p.owed += p.x.owes(now.Sub(p.from))
	}
	if p.owed >= pauseGrain {
		err := delay.For(ctx, min(p.owed, maxPause))
		p.owed = 0
		if err != nil {
			return err
		}
		now = time.Now()
	}
	p.from = now
	return ctx.Err()
}

// owes is the pause that some work is to be followed by.
func (x *Xaction) owes(work time.Duration) time.Duration {
	if x.env.Load == nil {
		return 0
	}
	s := share(x.env.Load.Now(), &x.env.Config().Disk)
	return time.Duration(float64(work) * (1/s - 1))
}

// Throttle holds back for a moment if users need the disks or processors: for
// work that is no Walk and has no Pace. It is called once for each object.
func (x *Xaction) Throttle(ctx context.Context) error {
	if owed := x.owes(throttleWork); owed >= pauseGrain {
		_ = delay.For(ctx, owed) // ctx tells
	}
	return ctx.Err()
}
