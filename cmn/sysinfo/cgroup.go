package sysinfo

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// group is what the control groups (version 2) of this process allow, and what
// they have used.
type group struct {
	memLimit uint64  // bytes, 0: no limit
	memAvail uint64  // bytes up to the limit, page cache that can be dropped included
	cpus     float64 // processors, 0: no limit
	used     time.Duration
	periods  uint64 // of the limit on processors
	held     uint64 // of them, those in which it was reached
}

// maxGroups limits how deep groups are nested.
const maxGroups = 16

// readGroup reads the groups of this process from its own to the root; of
// several limits the tightest counts.
func (s *Sampler) readGroup() (g group) {
	path := ""
	lines(filepath.Join(s.proc, "self", "cgroup"), func(line string) bool {
		// hierarchy 0 is that of version 2: "0::/path"
		own, ok := strings.CutPrefix(line, "0::")
		if ok {
			path = own
		}
		return !ok
	})
	if path == "" {
		return g
	}
	root := filepath.Join(s.sys, "fs", "cgroup")
	for range maxGroups {
		g.tighten(filepath.Join(root, filepath.Clean("/"+path)))
		if path == "/" || path == "." {
			break
		}
		path = filepath.Dir(path)
	}
	return g
}

// tighten adds the limits of one group.
func (g *group) tighten(dir string) {
	if limit := word(dir, "memory.max", 0); limit != "" && limit != "max" {
		limit := number(limit)
		avail := difference(limit, difference(number(word(dir, "memory.current", 0)), field(dir, "memory.stat", "inactive_file")))
		if g.memLimit == 0 || limit < g.memLimit {
			g.memLimit = limit
		}
		if g.memAvail == 0 || avail < g.memAvail {
			g.memAvail = max(avail, 1) // 0 means that there is no limit
		}
	}
	if quota := word(dir, "cpu.max", 0); quota != "" && quota != "max" {
		period := number(word(dir, "cpu.max", 1))
		if period == 0 {
			return
		}
		if cpus := float64(number(quota)) / float64(period); cpus > 0 && (g.cpus == 0 || cpus < g.cpus) {
			g.cpus = cpus
			g.used = time.Duration(min(field(dir, "cpu.stat", "usage_usec"), math.MaxInt64/1000)) * time.Microsecond
			g.periods, g.held = field(dir, "cpu.stat", "nr_periods"), field(dir, "cpu.stat", "nr_throttled")
		}
	}
}

// word returns one word of a file of one line, "" if there is none.
func word(dir, file string, n int) string {
	data, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return ""
	}
	words := strings.Fields(string(data))
	if n >= len(words) {
		return ""
	}
	return words[n]
}

// field returns the value of a key in a file of lines "key value".
func field(dir, file, key string) (value uint64) {
	lines(filepath.Join(dir, file), func(line string) bool {
		rest, ok := strings.CutPrefix(line, key+" ")
		if ok {
			value = number(strings.TrimSpace(rest))
		}
		return !ok
	})
	return value
}
