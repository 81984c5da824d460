package target

import (
	"testing"
	"time"

	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/cmn/sysinfo"
	"github.com/aistore-go/aistore/cmn/unit"
	"github.com/aistore-go/aistore/cmn/wire"
)

// TestDiskUtilization: it follows what the disks do within disk.iostat_time_smooth,
// and a busy disk is measured every disk.iostat_time_short.
func TestDiskUtilization(t *testing.T) {
	t.Parallel()
	conf := config.DefaultCluster().Disk
	s, now := &diskStatus{}, time.Unix(1e9, 0)
	feed := func(util int64, steps int) int64 {
		var stats map[string]wire.DiskStats
		for range steps {
			now = now.Add(2 * time.Second)
			stats = map[string]wire.DiskStats{"sda": {Util: util}, "sdb": {Util: 1}}
			s.smooth.apply(stats, now, smoothWindow(&conf))
		}
		return stats["sda"].Util
	}
	if u := feed(0, 3); u != 0 || s.sampleEvery(&conf) != 2*time.Second {
		t.Errorf("idle: %d%%, every %v", u, s.sampleEvery(&conf))
	}
	if u := feed(100, 1); u < 15 || u > 30 {
		t.Errorf("after one interval of eight seconds' average: %d%%", u)
	}
	if u := feed(100, 10); u < 90 || s.sampleEvery(&conf) != 100*time.Millisecond {
		t.Errorf("busy for twenty seconds: %d%%, every %v", u, s.sampleEvery(&conf))
	}
	conf.UtilHighWM = 99
	if s.sampleEvery(&conf) != 2*time.Second {
		t.Error("below disk_util_high_wm: measured often")
	}
	conf.IostatSmooth = unit.Duration(10 * time.Millisecond)
	if u := feed(7, 1); u != 7 {
		t.Errorf("hardly smoothed: %d%%", u)
	}
	conf.IostatSmooth, conf.IostatLong = 0, unit.Duration(30*time.Second)
	if w := smoothWindow(&conf); w != 30*time.Second {
		t.Errorf("default window of long intervals: %v", w)
	}
}

// TestSlowDisks: a disk is slow by its own measure, what is fast in any case is
// never slow, and what it takes at leisure is not learned from what it takes
// under load.
func TestSlowDisks(t *testing.T) {
	t.Parallel()
	w, now := &diskWaits{}, time.Unix(1e9, 0)
	feed := func(steps int, mean time.Duration, operations, util int64) float64 {
		for range steps {
			now = now.Add(2 * time.Second)
			w.apply(map[string]sysinfo.DiskWait{"sda": {Mean: mean, Operations: operations}, "sdb": {Mean: time.Microsecond, Operations: 1000}},
				map[string]wire.DiskStats{"sda": {Util: util}, "sdb": {Util: 100}}, 20, now, 8*time.Second)
		}
		return w.slowest()
	}
	if s := feed(3, time.Hour, 2, 0); s > 1 {
		t.Errorf("a few operations say that it is %.1f times as slow", s)
	}
	if s := feed(10, 5*time.Millisecond, 100, 10); s > 1.01 {
		t.Errorf("at leisure: %.1f", s)
	}
	if s := feed(1, 50*time.Millisecond, 100, 60); s < 2 || s > 6 {
		t.Errorf("after one slow interval: %.1f", s)
	}
	if s := feed(1800, 50*time.Millisecond, 100, 60); s < 9 {
		t.Errorf("after an hour under load that is taken for leisure: %.1f", s)
	}
	if s := feed(20, 0, 0, 0); s > 1.1 {
		t.Errorf("when all is quiet: %.1f", s)
	}
	if s := feed(1800, 20*time.Millisecond, 100, 10); s > 1.1 {
		t.Errorf("a disk that has become another one: %.1f", s)
	}
	if s := feed(30, 900*time.Microsecond, 100, 90); s > 1 {
		t.Errorf("less than a millisecond is slow: %.1f", s)
	}
}
