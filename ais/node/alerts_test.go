package node

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// healthy is what a node with nothing to report sees.
func healthy(at time.Time) reading {
	return reading{at: at, memAvail: 8 << 30, memAll: 16 << 30, cpu: 10, goroutines: 100, procs: 2, joined: true}
}

func TestAlertsOfReadings(t *testing.T) {
	t.Parallel()
	const gib = 1 << 30
	for _, tc := range []struct {
		name   string
		change func(*reading)
		want   wire.NodeFlags
	}{
		{"healthy", func(*reading) {}, 0},
		{"low on memory", func(r *reading) { r.memAvail = gib - 1 }, wire.NodeLowMemory},
		{"out of memory", func(r *reading) { r.memAvail = 200<<20 - 1 }, wire.NodeOOM},
		{"a small machine", func(r *reading) { r.memAll, r.memAvail = gib, gib/9 }, 0},
		{"a small machine, low", func(r *reading) { r.memAll, r.memAvail = gib, gib/11 }, wire.NodeLowMemory},
		{"a small machine, out", func(r *reading) { r.memAll, r.memAvail = gib, gib/51 }, wire.NodeOOM},
		{"memory is not known", func(r *reading) { r.memAll, r.memAvail = 0, 0 }, 0},
		{"goroutines", func(r *reading) { r.goroutines = 1025 }, wire.NodeGoroutines},
		{"many goroutines", func(r *reading) { r.goroutines = 2049 }, wire.NodeManyGoroutines},
		{"one busy look", func(r *reading) { r.cpu = 100 }, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := healthy(time.Now())
			tc.change(&r)
			var w watcher
			if got := w.look(r); got != tc.want {
				t.Errorf("%v, want %v", got, tc.want)
			}
			if got := w.look(healthy(r.at.Add(watchInterval))); got != 0 {
				t.Errorf("it stays after recovery: %v", got)
			}
		})
	}
}

// TestMemoryAlertDoesNotFlicker: it ends at more memory than it begins at.
func TestMemoryAlertDoesNotFlicker(t *testing.T) {
	t.Parallel()
	var w watcher
	r := healthy(time.Now())
	for _, step := range []struct {
		avail uint64
		want  wire.NodeFlags
	}{
		{1<<30 - 1, wire.NodeLowMemory}, {1<<30 + 1, wire.NodeLowMemory}, {1<<30 + 1<<29, 0}, {1<<30 + 1, 0},
	} {
		r.memAvail = step.avail
		if got := w.look(r); got != step.want {
			t.Errorf("%d bytes: %v, want %v", step.avail, got, step.want)
		}
	}
}

func TestCPUAlert(t *testing.T) {
	t.Parallel()
	var w watcher
	now := time.Now()
	// minutes of a load, and the alert at their end
	for _, step := range []struct {
		minutes int
		cpu     int64
		want    wire.NodeFlags
	}{
		{4, 100, 0}, {1, 100, wire.NodeOutOfCPU}, {5, 90, wire.NodeLowCPU}, {5, 60, wire.NodeLowCPU}, {5, 40, 0}, {5, 80, 0}, {5, 86, wire.NodeLowCPU},
	} {
		var got wire.NodeFlags
		for range step.minutes * int(time.Minute/watchInterval) {
			now = now.Add(watchInterval)
			r := healthy(now)
			r.cpu = step.cpu
			got = w.look(r)
		}
		if got != step.want {
			t.Errorf("after %d minutes at %d%%: %v, want %v", step.minutes, step.cpu, got, step.want)
		}
	}
}

func TestKeepaliveAlert(t *testing.T) {
	t.Parallel()
	var w watcher
	start := time.Now()
	look := func(after time.Duration, errors int64, joined bool) wire.NodeFlags {
		r := healthy(start.Add(after))
		r.keepaliveErrors, r.joined = errors, joined
		return w.look(r)
	}
	for _, step := range []struct {
		after  time.Duration
		errors int64
		joined bool
		want   wire.NodeFlags
	}{
		{0, 20, false, 0},               // looking for its cluster
		{10 * time.Second, 25, true, 0}, // joined: what was before does not count
		{20 * time.Second, 27, true, 0}, // two in a minute
		{75 * time.Second, 27, true, 0},
		{100 * time.Second, 30, true, wire.NodeKeepaliveErrors},
		{150 * time.Second, 30, true, wire.NodeKeepaliveErrors},
		{8 * time.Minute, 30, true, 0}, // five minutes after the last
	} {
		if got := look(step.after, step.errors, step.joined); got != step.want {
			t.Errorf("after %v: %v, want %v", step.after, got, step.want)
		}
	}
}

// TestMarkerOfARun: a crash shows at the next start, an orderly stop does not.
func TestMarkerOfARun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	marker := filepath.Join(dir, ".ais.markers", "node_restarted")
	run := func(name string, want wire.NodeFlags) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			n := newTestNode(t, meta.RoleProxy, "proxy0001", func(o *Options) { o.Local.ConfDir = dir })
			join(t, n)
			if got := n.flags(); got != want {
				t.Errorf("flags %v, want %v", got, want)
			}
			if _, err := os.Stat(marker); err != nil {
				t.Errorf("no marker of the running node: %v", err)
			}
		})
		if _, err := os.Stat(marker); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: a marker after an orderly stop: %v", name, err)
		}
	}
	run("first start", wire.NodeHealthy)
	run("after an orderly stop", wire.NodeHealthy)
	if err := os.WriteFile(marker, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	run("after a crash", wire.NodeHealthy|wire.NodeRestarted)
	run("after an orderly stop again", wire.NodeHealthy)
	var a alerts
	a.restarted.Store(true)
	if a.current(9*time.Hour) != wire.NodeRestarted || a.current(11*time.Hour) != 0 {
		t.Error("the alert does not end after ten hours")
	}
}
