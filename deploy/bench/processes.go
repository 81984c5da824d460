package main

import (
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// sample is what one turn of one server cost.
type sample struct {
	user, system float64 // microseconds of CPU an operation
	rate         float64 // operations a second
}

func (s sample) cpu() float64 { return s.user + s.system }

func (s sample) cells() string {
	return fmt.Sprintf("%.1f (%.1f + %.1f)", s.cpu(), s.user, s.system)
}

// median takes the sample with the median of the whole CPU time.
func median(samples []sample) sample {
	if len(samples) == 0 {
		return sample{user: math.NaN()}
	}
	sorted := slices.Clone(samples)
	slices.SortFunc(sorted, func(a, b sample) int {
		switch {
		case a.cpu() < b.cpu():
			return -1
		case a.cpu() > b.cpu():
			return 1
		}
		return 0
	})
	return sorted[len(sorted)/2]
}

func medianOf(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// tick is the unit of /proc/PID/stat: USER_HZ is 100 on every Linux platform.
const tick = 10 * time.Millisecond

// cpuTime is the user and system time of processes since they started.
func cpuTime(pids []int) (user, system time.Duration, err error) {
	for _, pid := range pids {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return 0, 0, err
		}
		// The second field may hold blanks; the state follows its last bracket.
		_, rest, _ := strings.Cut(string(data), ") ")
		fields := strings.Fields(rest)
		const utime, stime = 11, 12
		if len(fields) <= stime {
			return 0, 0, fmt.Errorf("/proc/%d/stat: %q", pid, data)
		}
		u, errUser := strconv.ParseInt(fields[utime], 10, 64)
		s, errSystem := strconv.ParseInt(fields[stime], 10, 64)
		if errUser != nil || errSystem != nil {
			return 0, 0, fmt.Errorf("/proc/%d/stat: %q", pid, data)
		}
		user += time.Duration(u) * tick
		system += time.Duration(s) * tick
	}
	return user, system, nil
}

// anonymous is the memory of a process that no file backs, in bytes.
func anonymous(pid int) (int64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("/proc/%d/status has no RssAnon", pid)
}
