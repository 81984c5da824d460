package fs_test

import (
	"math"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/fs"
)

// gauges tells what a test says of each mountpath, as if each were a filesystem
// of a TiB.
type gauges struct {
	fs.System
	mu    sync.Mutex
	pct   map[string]float64 // used, by the last element of the path
	calls int
}

func (g *gauges) Stat(path string) (fs.FileInfo, error) {
	info, err := g.System.Stat(path)
	for i, part := range strings.Split(path, "/") { // of its own device
		if len(part) == 2 && part[0] == 'd' {
			info.Dev = uint64(i)<<32 | uint64(part[1])
		}
	}
	return info, err
}

func (g *gauges) Statfs(path string) (fs.FilesystemInfo, error) {
	info, err := g.System.Statfs(path)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls++
	info.Total = 1 << 40
	info.Available = info.Total - uint64(math.Ceil(g.pct[filepath.Base(path)]/100*(1<<40)))
	return info, err
}

func (g *gauges) set(name string, pct float64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pct[name] = pct
}

func (g *gauges) asked() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.calls
}

// gauged is a manager over two filesystems, d1 and d2, with a clock of the test.
func gauged(t *testing.T, change func(*fs.Options)) (*fs.Manager, *gauges, *events, *atomic.Int64) {
	t.Helper()
	g, seen, now := &gauges{System: fs.Unix(), pct: map[string]float64{"d1": 10, "d2": 10}}, new(events), new(atomic.Int64)
	root := t.TempDir()
	opts := options(filepath.Join(root, "d1"), filepath.Join(root, "d2"))
	opts.System, opts.OnEvent = g, seen.add
	opts.Clock = func() time.Time { return time.Unix(now.Load(), 0) }
	if change != nil {
		change(&opts)
	}
	return open(t, opts), g, seen, now
}

// TestWatermarksDoNotFlicker: what a watermark began ends a percent below it, or
// when an operator sets another one.
func TestWatermarksDoNotFlicker(t *testing.T) {
	t.Parallel()
	marks := fs.DefaultWatermarks()
	m, g, seen, _ := gauged(t, func(o *fs.Options) { o.Space = func() fs.Watermarks { return marks } })
	m.Capacity()
	for _, step := range []struct {
		pct      float64
		out, low bool
	}{
		{66, false, false}, {95.5, false, true}, {96, true, true}, {95.5, true, true}, {95, true, true}, {94, false, true},
		{90.5, false, true}, {90, false, true}, {89.5, false, true}, {88.9, false, false}, {90.5, false, false}, {91, false, true},
	} {
		g.set("d1", step.pct)
		if c := m.RefreshCapacity(); c.OutOfSpace() != step.out || c.Low() != step.low {
			t.Errorf("at %g%%: out %v, low %v, want %v and %v", step.pct, c.OutOfSpace(), c.Low(), step.out, step.low)
		}
	}
	if seen.count(fs.EventSpace) != 6 {
		t.Errorf("%d events, want 6: cleanup, low, out, not out, not low, low", seen.count(fs.EventSpace))
	}
	marks.High, marks.OutOfSpace = 91, 92
	if c := m.RefreshCapacity(); c.Low() || c.OutOfSpace() {
		t.Error("a watermark that was set does not count at once")
	}
}

// TestOneFullDisk: writes to the others go on.
func TestOneFullDisk(t *testing.T) {
	t.Parallel()
	m, g, _, _ := gauged(t, nil)
	set := m.Available()
	g.set("d2", 97)
	c := m.RefreshCapacity()
	if !c.OutOfSpace() || c.Of(set.Paths[0]).OutOfSpace || !c.Of(set.Paths[1]).OutOfSpace {
		t.Fatalf("%+v", c)
	}
	if err := set.Paths[0].Room(1 << 30); err != nil {
		t.Errorf("the disk with space: %v", err)
	}
	err := set.Paths[1].Room(1)
	if apierr.StatusOf(err) != 507 || !strings.HasPrefix(err.Error(), "out of space: used 97% of total capacity on at least one of the mountpaths") {
		t.Errorf("the full disk: %v", err)
	}
	g.set("d2", 50)
	m.RefreshCapacity()
	err = set.Paths[1].Room(600 << 30) // of 512 that are left
	if apierr.StatusOf(err) != 507 || !strings.Contains(err.Error(), "the content has 600.00GiB") {
		t.Errorf("more than there is: %v", err)
	}
	g.set("d2", 10) // freed meanwhile: the figures are taken again before anybody is refused
	if err := set.Paths[1].Room(600 << 30); err != nil {
		t.Errorf("after space was freed: %v", err)
	}
}

// TestAgeOfCapacity: an empty disk is asked rarely, a full one often; and again
// after large writes.
func TestAgeOfCapacity(t *testing.T) {
	t.Parallel()
	m, g, _, now := gauged(t, func(o *fs.Options) {
		o.CapacityAge = func() (shortest, longest time.Duration) { return 8 * time.Second, 10 * time.Minute }
	})
	after := func(seconds int64) bool {
		before := g.asked()
		now.Add(seconds)
		m.Capacity()
		return g.asked() > before
	}
	m.RefreshCapacity()
	if after(599) || !after(1) {
		t.Error("below the low watermark: not every ten minutes")
	}
	before := g.asked()
	now.Add(11)
	if m.Capacity(); g.asked() != before {
		t.Error("figures for decisions are taken too often")
	}
	if m.RecentCapacity(); g.asked() == before {
		t.Error("figures for people are older than ten seconds")
	}
	g.set("d1", 82.5) // half way between 75 and 90: floor is 82
	m.RefreshCapacity()
	if after(323) || !after(1) { // 8 s + 592 s * 8/15 = 323.7 s
		t.Error("between the watermarks: not in proportion")
	}
	g.set("d1", 92)
	m.RefreshCapacity()
	if after(7) || !after(1) {
		t.Error("over the high watermark: not every 8 seconds")
	}
	g.set("d1", 10)
	m.RefreshCapacity()
	mp := m.Available().Paths[0]
	mp.Wrote(10 << 30)
	if after(1) {
		t.Error("asked after 10 GiB of 1 TiB")
	}
	mp.Wrote(1 << 30)
	if !after(0) {
		t.Error("not asked after 11 GiB of 1 TiB")
	}
}
