package memsys

import (
	"runtime/debug"
	"sync"
	"time"
)

// Pressure is how short of memory the machine is.
type Pressure int32

// Levels of pressure. From High on free slabs are given up and long bodies get
// small buffers; from Extreme on caches are dropped, and work that can be
// refused is.
const (
	PressureLow Pressure = iota
	PressureModerate
	PressureHigh
	PressureExtreme
	PressureOOM
)

// String is the level as logs and metrics show it.
func (p Pressure) String() string {
	return [...]string{"low", "moderate", "high", "extreme", "OOM"}[min(max(p, PressureLow), PressureOOM)]
}

// Reading is the memory of the machine, or of what its control group allows,
// in bytes.
type Reading struct {
	Available uint64 // what this process can still get
	Total     uint64 // 0: not known, which is no pressure
	SwapUsed  uint64
}

// Limits say from when on memory is short; see the configuration section
// memsys.
type Limits struct {
	MinFree  int64 // bytes that should stay available
	PctTotal int   // the same in percent of all memory; the greater counts
	PctFree  int   // the same in percent of what was available at the start
	ToGC     int64 // bytes given up at once that are worth a garbage collection
}

// largestReserve bounds the reserve by a part of the memory, so that the
// reserve of a server does not put a laptop under pressure at all times.
const largestReserve = 8

// gcPause is the least time between two forced garbage collections.
const gcPause = time.Minute

// Monitor watches the memory and relieves its pools. Its methods may be called
// at the same time.
type Monitor struct {
	limits   Limits
	read     func() Reading
	onChange func(Pressure)
	pools    []*Pool

	mu        sync.Mutex
	level     Pressure // at the last look
	free      uint64   // available at the start
	swapUsed  uint64
	collected time.Time
	released  int64 // since the last collection
}

// NewMonitor returns a monitor that has not looked yet. onChange, if not nil,
// is called by Look with each new level.
func NewMonitor(limits Limits, read func() Reading, onChange func(Pressure), pools ...*Pool) *Monitor {
	first := read()
	return &Monitor{limits: limits, read: read, onChange: onChange, pools: pools, free: first.Available, swapUsed: first.SwapUsed}
}

// Look reads the memory and acts on what it finds.
func (m *Monitor) Look() Pressure {
	m.mu.Lock()
	defer m.mu.Unlock()
	reading := m.read()
	level := m.levelOf(reading)
	m.swapUsed = reading.SwapUsed
	was := m.level
	m.level = level
	for _, pool := range m.pools {
		pool.pressure.Store(int32(level))
		if level >= PressureHigh {
			m.released += pool.Trim()
		}
	}
	if level != was && m.onChange != nil {
		m.onChange(level)
	}
	if now := time.Now(); (level >= PressureExtreme || m.released > m.limits.ToGC) && now.Sub(m.collected) > gcPause {
		m.collected, m.released = now, 0
		debug.FreeOSMemory()
	}
	return level
}

// levelOf judges a reading. Memory that is swapped out since the last look
// raises the level by one.
func (m *Monitor) levelOf(r Reading) Pressure {
	if r.Total == 0 {
		return PressureLow
	}
	reserve := m.reserve(r.Total)
	level := PressureOOM
	switch {
	case r.Available >= 2*reserve:
		level = PressureLow
	case r.Available >= reserve+reserve/2:
		level = PressureModerate
	case r.Available >= reserve:
		level = PressureHigh
	case r.Available >= reserve/4:
		level = PressureExtreme
	}
	if level > PressureLow && r.SwapUsed > m.swapUsed {
		level = min(level+1, PressureOOM)
	}
	return level
}

// reserve is the memory that should stay available.
func (m *Monitor) reserve(total uint64) uint64 {
	reserve := uint64(max(m.limits.MinFree, 0))
	reserve = max(reserve, total/100*uint64(m.limits.PctTotal), m.free/100*uint64(m.limits.PctFree))
	return min(reserve, total/largestReserve)
}
