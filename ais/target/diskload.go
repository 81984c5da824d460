package target

import (
	"math"
	"sync"
	"time"

	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/cmn/wire"
)

// smoothing makes the utilization of disks, of single intervals, one that jobs can
// follow without jerking: each disk's is averaged with weights that decay with a time
// constant.
type smoothing struct {
	mu   sync.Mutex
	util map[string]float64 // by disk, percent
	at   time.Time
	most float64
}

// apply replaces the utilization of an interval that ends now.
func (s *smoothing) apply(stats map[string]wire.DiskStats, now time.Time, window time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	share := 1.0
	if elapsed := now.Sub(s.at); window > 0 && !s.at.IsZero() {
		share = 1 - math.Exp(-float64(max(elapsed, 0))/float64(window))
	}
	next := make(map[string]float64, len(stats))
	s.most = 0
	for name, d := range stats {
		value := float64(d.Util)
		if before, known := s.util[name]; known {
			value = before + share*(value-before)
		}
		next[name] = value
		s.most = max(s.most, value)
		d.Util = int64(value + 0.5)
		stats[name] = d
	}
	s.util, s.at = next, now
}

// busiest is the utilization of the busiest disk, in percent.
func (s *smoothing) busiest() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int64(s.most + 0.5)
}

// smoothWindow is the time constant of the configuration: 0 means four intervals
// of iostat_time_long, up to 20 s, but one interval at least.
func smoothWindow(c *config.DiskConf) time.Duration {
	if w := c.IostatSmooth.D(); w > 0 {
		return w
	}
	long := c.IostatLong.D()
	return max(long, min(4*long, 20*time.Second))
}

// sampleEvery is the time to the next measurement: short while a disk is busy.
func (s *diskStatus) sampleEvery(c *config.DiskConf) time.Duration {
	if s.smooth.busiest() >= c.UtilHighWM {
		return c.IostatShort.D()
	}
	return c.IostatLong.D()
}
