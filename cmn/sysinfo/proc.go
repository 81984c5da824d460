package sysinfo

import (
	"bufio"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/aistore-go/aistore/cmn/wire"
)

// maxFile limits what is read of one file of /proc or /sys.
const maxFile = 1 << 20

// lines calls visit for every line of a file until it returns false. A file
// that cannot be read has no lines.
func lines(path string, visit func(line string) bool) {
	f, err := os.Open(path)
	if err != nil {
		return
	}
	defer func() { _ = f.Close() }() // read only
	scanner := bufio.NewScanner(io.LimitReader(f, maxFile))
	for scanner.Scan() {
		if !visit(scanner.Text()) {
			return
		}
	}
}

// readCPU returns the busy and idle ticks of all processors since boot.
func (s *Sampler) readCPU() (busy, idle uint64) {
	lines(filepath.Join(s.proc, "stat"), func(line string) bool {
		fields := strings.Fields(line)
		if len(fields) < 5 || fields[0] != "cpu" {
			return true
		}
		// user nice system idle iowait irq softirq steal; the guest columns
		// that follow are contained in user and nice.
		for i, field := range fields[1:min(len(fields), 9)] {
			if n := number(field); i == 3 || i == 4 {
				idle += n
			} else {
				busy += n
			}
		}
		return false
	})
	return busy, idle
}

// readMem returns the machine's memory in bytes.
func (s *Sampler) readMem() wire.MemInfo {
	values := make(map[string]uint64, 64)
	lines(filepath.Join(s.proc, "meminfo"), func(line string) bool {
		name, rest, ok := strings.Cut(line, ":")
		if fields := strings.Fields(rest); ok && len(fields) > 0 {
			values[name] = number(fields[0]) * 1024
		}
		return true
	})
	m := wire.MemInfo{
		Total:      values["MemTotal"],
		Free:       values["MemFree"],
		BuffCache:  values["Buffers"] + values["Cached"] + values["SReclaimable"],
		ActualFree: values["MemAvailable"],
		SwapTotal:  values["SwapTotal"],
		SwapFree:   values["SwapFree"],
	}
	m.Used = difference(m.Total, m.Free)
	m.ActualUsed = difference(m.Total, m.ActualFree)
	m.SwapUsed = difference(m.SwapTotal, m.SwapFree)
	return m
}

// readProcMem returns the memory of this process in bytes.
func (s *Sampler) readProcMem() (m wire.ProcMem) {
	lines(filepath.Join(s.proc, "self", "statm"), func(line string) bool {
		if f := strings.Fields(line); len(f) >= 3 {
			page := uint64(os.Getpagesize())
			m = wire.ProcMem{Size: number(f[0]) * page, Resident: number(f[1]) * page, Share: number(f[2]) * page}
		}
		return false
	})
	return m
}

func (s *Sampler) readLoad() (l wire.LoadAverage) {
	lines(filepath.Join(s.proc, "loadavg"), func(line string) bool {
		if f := strings.Fields(line); len(f) >= 3 {
			l = wire.LoadAverage{One: float(f[0]), Five: float(f[1]), Fifteen: float(f[2])}
		}
		return false
	})
	return l
}

// number reads a decimal, 0 if it is none.
func number(s string) uint64 {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func float(s string) float64 {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return 0
	}
	return f
}

func difference(a, b uint64) uint64 {
	if b > a {
		return 0
	}
	return a - b
}
