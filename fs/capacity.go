package fs

import (
	"fmt"
	"math"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
)

const (
	// capacityMaxAge is how old the figures may be of a node that is at the high
	// watermark, and those that people are shown: a refusal ends within it after
	// space was freed.
	capacityMaxAge = 10 * time.Second
	// watermarkSlack is by how many percent the use must have fallen below a
	// watermark before what it began ends, so that neither alerts nor refusals
	// flicker.
	watermarkSlack = 1
	// capacityShare: when a hundredth of a filesystem has been written since the
	// figures were taken, they are too old, whatever the time.
	capacityShare = 100
)

// Capacity is used and available space of a node. Totals count each filesystem
// once. Decisions use PctMax, the fullest mountpath.
type Capacity struct {
	Used, Avail            uint64 // bytes
	PctMax, PctAvg, PctMin int64
	Mountpaths             []MountpathCapacity // in the order of Set.All
	Taken                  time.Time
	Marks                  Watermarks // as they were then

	set      *Set
	out, low bool          // in force, see watermarkSlack
	least    int64         // bytes: the space of the mountpath that has least
	until    int64         // bytes: the figures are too old when so many were written since the start
	age      time.Duration // how old the figures may become
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

	OutOfSpace bool // over the out-of-space mark, or hardly below it since
	Low        bool // at the high watermark, over it, or hardly below it since
	Leaving    bool // gets no new objects, and does not count for the percentages of the node
}

// OutOfSpace tells that a mountpath is over the out-of-space mark: writes to it
// must be refused.
func (c *Capacity) OutOfSpace() bool { return c.out }

// Low tells that the fullest mountpath is over the high watermark.
func (c *Capacity) Low() bool { return c.low }

// Least is the space, in bytes, of the mountpath that has least.
func (c *Capacity) Least() int64 { return c.least }

// NeedsCleanup tells that the fullest mountpath is over the watermark from which
// what nobody needs is removed.
func (c *Capacity) NeedsCleanup() bool { return c.PctMax > c.Marks.Cleanup }

// Of returns the figures of a mountpath, nil if it was not in use.
func (c *Capacity) Of(mp *Mountpath) *MountpathCapacity {
	for i := range c.Mountpaths {
		if c.Mountpaths[i].Path == mp.Path {
			return &c.Mountpaths[i]
		}
	}
	return nil
}

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
			c.PctMax, c.Marks.High, sizeText(c.Used), sizeText(c.Used+c.Avail))
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
	written atomic.Int64 // bytes of content since the start, on all mountpaths
}

// Wrote tells that so many bytes of content were written to a mountpath.
func (mp *Mountpath) Wrote(bytes int64) { mp.manager.capacity.written.Add(bytes) }

// Capacity returns the figures for decisions. How old they may be depends on
// how full the fullest mountpath is (see Options.CapacityAge), on what was
// written since, and on whether the same mountpaths are in use; only a disk that
// hangs makes them older.
func (m *Manager) Capacity() *Capacity {
	c := m.capacity.current.Load()
	return m.capacityWithin(c, m.fresh(c))
}

// RecentCapacity returns figures that are at most ten seconds old, for people.
func (m *Manager) RecentCapacity() *Capacity {
	c := m.capacity.current.Load()
	return m.capacityWithin(c, m.fresh(c) && m.options.Clock().Sub(c.Taken) < capacityMaxAge)
}

// fresh tells that figures still count: watermarks that an operator sets do so at
// once.
func (m *Manager) fresh(c *Capacity) bool {
	return c != nil && c.Marks == m.options.Space() && m.options.Clock().Sub(c.Taken) < c.age && m.capacity.written.Load() < c.until && c.set == m.Available()
}

func (m *Manager) capacityWithin(c *Capacity, fresh bool) *Capacity {
	if fresh {
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
// out-of-space mark, else nil. Of a write to one mountpath see Mountpath.Room.
func (m *Manager) OutOfSpace() error {
	if c := m.Capacity(); c.OutOfSpace() {
		return c.Err()
	}
	return nil
}

// Room returns the 507 of a write to this mountpath: it is over the
// out-of-space mark, or does not have so many bytes. size may be 0 or less: not
// known. What other mountpaths of the node have does not count.
func (mp *Mountpath) Room(size int64) error {
	c := mp.manager.Capacity()
	if !c.out && (size <= 0 || size < c.least) {
		return nil
	}
	if figures := c.Of(mp); figures != nil && figures.Err == nil && (figures.OutOfSpace || size > 0 && uint64(size) > figures.Avail) {
		if !figures.OutOfSpace { // space may have been freed since the figures were taken
			c = mp.manager.RefreshCapacity()
			figures = c.Of(mp)
		}
		return c.errFull(figures, size)
	}
	return nil
}

// errFull is the 507 of a write of a size to one mountpath, nil if that has room.
func (c *Capacity) errFull(mp *MountpathCapacity, size int64) error {
	switch {
	case mp == nil || mp.Err != nil || mp.Leaving:
		return nil //nolint:nilerr // the space could not be measured: what is written will tell
	case mp.OutOfSpace:
		return c.Err()
	case size > 0 && uint64(size) > mp.Avail:
		return apierr.New(apierr.StatusInsufficientStorage, wire.CodeCapExceeded,
			"out of space: used %d%% of total capacity on at least one of the mountpaths (total used %s out of %s): the content has %s, %s has %s left",
			c.PctMax, sizeText(c.Used), sizeText(c.Used+c.Avail), sizeText(uint64(size)), mp.Path, sizeText(mp.Avail))
	}
	return nil
}

// measure asks every filesystem once. The lock of the cache is held.
func (m *Manager) measure(before *Capacity) *Capacity {
	marks, set := m.options.Space(), m.Available()
	c := &Capacity{Taken: m.options.Clock(), Marks: marks, PctMin: 100, set: set, least: math.MaxInt64, until: math.MaxInt64}
	earlier := before
	if before == nil || before.Marks != marks {
		earlier = new(Capacity) // watermarks that an operator sets count at once
	}
	written := m.capacity.written.Load()
	asked := make(map[*Filesystem]MountpathCapacity, len(set.Paths))
	var sum, count int64
	for _, mp := range set.All() {
		figures, again := asked[mp.filesystem]
		if !again {
			figures = m.measureOne(mp, marks.High)
			asked[mp.filesystem] = figures
			c.Used += figures.Used
			c.Avail += figures.Avail
			c.until = min(c.until, written+max(1, int64(figures.Total/capacityShare)))
		}
		figures.Path, figures.Label = mp.Path, mp.Label
		was := earlier.Of(mp)
		if was == nil {
			was = new(MountpathCapacity)
		}
		figures.OutOfSpace = over(figures.PctUsed, marks.OutOfSpace, was.OutOfSpace)
		figures.Low = over(figures.PctUsed+1, marks.High, was.Low)
		figures.Leaving = len(c.Mountpaths) >= len(set.Paths)
		c.Mountpaths = append(c.Mountpaths, figures)
		if figures.Err != nil || figures.Leaving {
			continue
		}
		c.out = c.out || figures.OutOfSpace
		c.least = min(c.least, int64(min(figures.Avail, math.MaxInt64)))
		c.PctMax, c.PctMin = max(c.PctMax, figures.PctUsed), min(c.PctMin, figures.PctUsed)
		sum += figures.PctUsed
		count++
	}
	if count > 0 {
		c.PctAvg = sum / count
	} else {
		c.PctMin = 0
	}
	c.low = over(c.PctMax, marks.High, earlier.low)
	c.age = m.capacityAge(c)
	m.capacity.current.Store(c)
	if before == nil {
		before = new(Capacity)
		before.Marks.Cleanup = math.MaxInt64
	}
	if before.out != c.out || before.low != c.low || before.NeedsCleanup() != c.NeedsCleanup() {
		m.raise(Event{Kind: EventSpace, Err: c.Err(), Message: fmt.Sprintf("used capacity %d%%", c.PctMax)})
	}
	return c
}

// over tells that a mark is exceeded, or was and has not been left clearly.
func over(pct, mark int64, was bool) bool { return pct > mark || was && pct > mark-watermarkSlack }

// capacityAge is how old figures may become: the longest time up to the low
// watermark, the shortest from the high one, and in between in proportion.
func (m *Manager) capacityAge(c *Capacity) time.Duration {
	shortest, longest := m.options.CapacityAge()
	shortest = min(shortest, capacityMaxAge)
	switch low, high := c.Marks.Low, c.Marks.High; {
	case c.PctMax >= high || longest <= shortest || c.out || c.low:
		return shortest
	case c.PctMax <= low:
		return longest
	default:
		return shortest + (longest-shortest)*time.Duration(high-c.PctMax)/time.Duration(high-low)
	}
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
