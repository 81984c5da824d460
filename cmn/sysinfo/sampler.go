package sysinfo

import (
	"math"
	"path/filepath"
	"sync"
	"time"

	"github.com/aistore-go/aistore/cmn/wire"
	"golang.org/x/sys/unix"
)

// minInterval is the shortest time over which a rate is computed; calls that
// follow faster see the rates of the last interval.
const minInterval = time.Second

// Sampler reads the state of machine and process. Rates need two readings:
// the first is made by New. Its methods may be called from any goroutine.
type Sampler struct {
	proc, sys string // "/proc", "/sys"

	mu        sync.Mutex
	last      sample
	cpuUtil   int64   // percent, machine
	pctCPU    float64 // percent of one processor, this process
	throttled int64   // percent of the time in which the group's limit was reached
}

// sample is a reading of the cumulative counters.
type sample struct {
	at         time.Time
	busy, idle uint64 // ticks, machine
	user, sys  time.Duration
	group      group
}

// New returns a sampler and makes the first reading.
func New() *Sampler { return newSampler("/proc", time.Now()) }

func newSampler(proc string, now time.Time) *Sampler {
	s := &Sampler{proc: proc, sys: filepath.Join(filepath.Dir(proc), "sys")}
	s.last = s.read(now)
	return s
}

// MemCPU returns the state of now. What cannot be read is 0. Where the control
// groups of this process allow less than the machine has, memory and
// utilization are those of what they allow.
func (s *Sampler) MemCPU() wire.MemCPU { return s.memCPU(time.Now()) }

func (s *Sampler) memCPU(now time.Time) wire.MemCPU {
	current := s.read(now)
	s.mu.Lock()
	if elapsed := now.Sub(s.last.at); elapsed >= minInterval {
		s.cpuUtil = percent(current.busy-s.last.busy, current.busy-s.last.busy+current.idle-s.last.idle)
		s.pctCPU = float64(current.user+current.sys-s.last.user-s.last.sys) / float64(elapsed) * 100
		s.throttled = 0
		if g, before := &current.group, &s.last.group; g.cpus > 0 && before.cpus > 0 {
			s.cpuUtil = min(100, int64(math.Round(float64(g.used-before.used)*100/(float64(elapsed)*g.cpus))))
			s.throttled = percent(g.held-before.held, g.periods-before.periods)
		}
		s.last = current
	}
	cpuUtil, pctCPU, throttled := s.cpuUtil, s.pctCPU, s.throttled
	s.mu.Unlock()

	mem := s.readMem()
	procMem := s.readProcMem()
	info := wire.MemCPU{
		MemUsed:    procMem.Resident,
		MemAvail:   mem.ActualFree,
		PctCPUUsed: pctCPU,
		LoadAvg:    s.readLoad(),
		CPUUtil:    cpuUtil, CPUThrottled: throttled,
		Mem: &mem,
		Proc: &wire.ProcInfo{Mem: procMem, CPU: wire.ProcCPU{
			User: uint64(current.user.Milliseconds()), System: uint64(current.sys.Milliseconds()),
			Total:    uint64((current.user + current.sys).Milliseconds()),
			LastTime: now.UnixMilli(), Percent: pctCPU,
		}},
	}
	total := mem.Total
	if g := &current.group; g.memLimit > 0 && g.memLimit < total {
		total, info.MemAvail = g.memLimit, min(info.MemAvail, g.memAvail)
	}
	if total > 0 {
		info.PctMemUsed = float64(procMem.Resident) * 100 / float64(total)
	}
	return info
}

func (s *Sampler) read(now time.Time) sample {
	r := sample{at: now}
	r.busy, r.idle = s.readCPU()
	r.group = s.readGroup()
	var usage unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &usage) == nil {
		r.user, r.sys = time.Duration(usage.Utime.Nano()), time.Duration(usage.Stime.Nano())
	}
	return r
}

// percent is part of whole, rounded, 0 to 100. Counters that went back, as
// they do in containers, are no negative percentage.
func percent(part, whole uint64) int64 {
	if whole == 0 || whole > math.MaxInt64 || part > whole {
		return 0
	}
	return int64(math.Round(float64(part) * 100 / float64(whole)))
}

// Memory returns the bytes that this process can still get, and those that
// machine and control groups allow it in all; 0 if they are not known.
func (s *Sampler) Memory() (avail, total uint64) {
	mem, g := s.readMem(), s.readGroup()
	avail, total = mem.ActualFree, mem.Total
	if g.memLimit > 0 && g.memLimit < total {
		avail, total = min(avail, g.memAvail), g.memLimit
	}
	return avail, total
}
