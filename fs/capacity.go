package fs

import (
	"fmt"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
)

// capacityMaxAge is how old the figures may be: a refusal ends within it after
// space was freed.
const capacityMaxAge = 10 * time.Second

// Capacity is used and available space of a node. Totals count each filesystem
// once. Decisions use PctMax, the fullest mountpath.
type Capacity struct {
	Used, Avail             uint64 // bytes
	PctMax, PctAvg, PctMin  int64
	Mountpaths              []MountpathCapacity // in the order of Set.All
	Taken                   time.Time
	highWatermark, outLimit int64
}

// MountpathCapacity is the space of one mountpath's filesystem. Blocks that
// are reserved for the superuser count as used.
type MountpathCapacity struct {
	Path       string
	Label      string
	Filesystem *Filesystem
	Used       uint64
	Avail      uint64
	Total      uint64
	PctUsed    int64
	Err        error // the filesystem could not be asked; figures are zero

	OutOfSpace bool // over the out-of-space mark
	Low        bool // at the high watermark, or over it
	Leaving    bool // gets no new objects, and does not count for the percentages of the node
}

// OutOfSpace tells that writes must be refused.
func (c *Capacity) OutOfSpace() bool { return c.PctMax > c.outLimit }

// Low tells that the fullest mountpath is over the high watermark.
func (c *Capacity) Low() bool { return c.PctMax > c.highWatermark }

// Err is the text of the capacity alert: a 507 over the out-of-space mark or
// the high watermark, else nil.
func (c *Capacity) Err() error {
	switch {
	case c.OutOfSpace():
		return apierr.New(apierr.StatusInsufficientStorage, wire.CodeCapExceeded,
			"out of space: used %d%% of total capacity on at least one of the mountpaths (total used %s out of %s)",
			c.PctMax, sizeText(c.Used), sizeText(c.Used+c.Avail))
	case c.Low():
		return apierr.New(apierr.StatusInsufficientStorage, wire.CodeCapExceeded,
			"low on free space: used capacity %d%% exceeded high watermark(%d%%) (total used %s out of %s)",
			c.PctMax, c.highWatermark, sizeText(c.Used), sizeText(c.Used+c.Avail))
	}
	return nil
}

// percentUsed rounds down, but up within one percent below the high watermark,
// so that an alert does not come late.
func percentUsed(used, total uint64, high int64) int64 {
	if used >= total {
		if total == 0 {
			return 0
		}
		return 100
	}
	above, below := bits.Mul64(used, 100)
	quotient, rest := bits.Div64(above, below, total) // used < total, so it is below 100
	pct := int64(quotient)
	if rest > 0 && pct == high-1 {
		pct++
	}
	return pct
}

// sizeText is a size for people, in binary units with two decimals.
func sizeText(bytes uint64) string {
	units := [...]string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	value, i := float64(bytes), 0
	for value >= 1024 && i < len(units)-1 {
		value /= 1024
		i++
	}
	if i == 0 {
		return fmt.Sprintf("%dB", bytes)
	}
	return fmt.Sprintf("%.2f%s", value, units[i])
}

// capacityCache holds the last figures; one caller at a time refreshes them,
// the others use what is there.
type capacityCache struct {
	current atomic.Pointer[Capacity]
	mu      sync.Mutex
}

// Capacity returns the figures, at most ten seconds old unless a disk hangs.
func (m *Manager) Capacity() *Capacity {
	c := m.capacity.current.Load()
	if c != nil && m.options.Clock().Sub(c.Taken) < capacityMaxAge {
		return c
	}
	if c == nil {
		m.capacity.mu.Lock()
	} else if !m.capacity.mu.TryLock() {
		return c
	}
	defer m.capacity.mu.Unlock()
	if again := m.capacity.current.Load(); again != nil && again != c {
		return again
	}
	return m.measure(c)
}

// RefreshCapacity measures now: after a removal, an event, a full disk.
func (m *Manager) RefreshCapacity() *Capacity {
	m.capacity.mu.Lock()
	defer m.capacity.mu.Unlock()
	return m.measure(m.capacity.current.Load())
}

// OutOfSpace returns the 507 of a write when the fullest mountpath is over the
// out-of-space mark, else nil.
func (m *Manager) OutOfSpace() error {
	if c := m.Capacity(); c.OutOfSpace() {
		return c.Err()
	}
	return nil
}

// measure asks every filesystem once. The lock of the cache is held.
func (m *Manager) measure(before *Capacity) *Capacity {
	marks, set := m.options.Space(), m.Available()
	c := &Capacity{Taken: m.options.Clock(), highWatermark: marks.High, outLimit: marks.OutOfSpace, PctMin: 100}
	asked := make(map[*Filesystem]MountpathCapacity, len(set.Paths))
	var sum, count int64
	for _, mp := range set.All() {
		figures, again := asked[mp.filesystem]
		if !again {
			figures = m.measureOne(mp, marks.High)
			asked[mp.filesystem] = figures
			c.Used += figures.Used
			c.Avail += figures.Avail
		}
		figures.Path, figures.Label = mp.Path, mp.Label
		figures.OutOfSpace, figures.Low = figures.PctUsed > marks.OutOfSpace, figures.PctUsed >= marks.High
		figures.Leaving = len(c.Mountpaths) >= len(set.Paths)
		c.Mountpaths = append(c.Mountpaths, figures)
		if figures.Err != nil || figures.Leaving {
			continue
		}
		c.PctMax, c.PctMin = max(c.PctMax, figures.PctUsed), min(c.PctMin, figures.PctUsed)
		sum += figures.PctUsed
		count++
	}
	if count > 0 {
		c.PctAvg = sum / count
	} else {
		c.PctMin = 0
	}
	m.capacity.current.Store(c)
	if before != nil && (before.OutOfSpace() != c.OutOfSpace() || before.Low() != c.Low()) || before == nil && c.Low() {
		m.raise(Event{Kind: EventSpace, Err: c.Err(), Message: fmt.Sprintf("used capacity %d%%", c.PctMax)})
	}
	return c
}

func (m *Manager) measureOne(mp *Mountpath, high int64) MountpathCapacity {
	info, err := m.options.System.Statfs(mp.Path)
	if err != nil {
		m.raise(Event{Kind: EventIOError, Mountpath: mp.Path, Err: err, Message: "capacity query failed"})
		return MountpathCapacity{Filesystem: mp.filesystem, Err: err}
	}
	used := info.Total - min(info.Available, info.Total)
	return MountpathCapacity{
		Filesystem: mp.filesystem, Used: used, Avail: info.Available, Total: info.Total,
		PctUsed: percentUsed(used, info.Total, high),
	}
}
