package metrics

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/aistore-go/aistore/cmn/wire"
)

// diskValues is what the disks did in the last interval, by disk name.
type diskValues struct {
	stats map[string]wire.DiskStats
	reset bool // show 0 in JSON until the next update
}

// diskMetrics are the values of a disk; the disk's name stands between the
// two parts of the dotted name.
var diskMetrics = [...]struct {
	suffix, kind, prom, help string
	of                       func(wire.DiskStats) int64
}{
	{"read.bps", KindDiskRate, "disk_read_bps", "read rate, bytes per second", func(s wire.DiskStats) int64 { return s.ReadBps }},
	{"avg.rsize", KindGauge, "disk_avg_rsize", "average read size, bytes", func(s wire.DiskStats) int64 { return s.ReadAvg }},
	{"write.bps", KindDiskRate, "disk_write_bps", "write rate, bytes per second", func(s wire.DiskStats) int64 { return s.WriteBps }},
	{"avg.wsize", KindGauge, "disk_avg_wsize", "average write size, bytes", func(s wire.DiskStats) int64 { return s.WriteAvg }},
	{"util", KindGauge, "disk_util", "utilization, percent", func(s wire.DiskStats) int64 { return s.Util }},
}

func diskName(disk, suffix string) string { return "disk." + disk + "." + suffix }

func latencyName(op Op) string { return op.String() + ".latency.seconds" }

// SetDisks replaces the values of the node's disks with those of the last
// interval.
func (r *Registry) SetDisks(stats map[string]wire.DiskStats) {
	r.disks.Store(&diskValues{stats: maps.Clone(stats)})
}

// Disks returns the values that SetDisks set.
func (r *Registry) Disks() map[string]wire.DiskStats {
	if d := r.disks.Load(); d != nil {
		return maps.Clone(d.stats)
	}
	return map[string]wire.DiskStats{}
}

// Tracker returns all values by their dotted names. Counters, sizes and
// totals are absent while they are 0; the other kinds are always there.
func (r *Registry) Tracker() map[string]int64 {
	r.countCache()
	r.countStreams()
	values := make(map[string]int64, 64)
	var current [numCounters]int64
	for c := range numCounters {
		d := &catalog[c]
		if d.targetOnly && !r.target {
			continue
		}
		current[c] = r.value(c) - r.base[c].Load()
		if current[c] != 0 || d.kind == KindLatency {
			values[d.name] = current[c]
		}
	}
	for _, d := range derived {
		if r.target || !d.targetOnly {
			values[d.name] = current[d.of]
		}
	}
	for op := range numOps {
		if r.measures(op) {
			values[latencyName(op)] = 0
		}
	}
	values[nameUptime] = int64(r.Uptime())
	values[nameStateFlags] = 0
	if !r.flagsReset.Load() {
		values[nameStateFlags] = int64(r.flags.Load())
	}
	if d := r.disks.Load(); d != nil {
		for disk, stats := range d.stats {
			for _, m := range diskMetrics {
				v := m.of(stats)
				if d.reset {
					v = 0
				}
				values[diskName(disk, m.suffix)] = v
			}
		}
	}
	return values
}

// Kinds returns the kind of every dotted name that the node knows.
func (r *Registry) Kinds() map[string]string {
	kinds := make(map[string]string, 64)
	for c := range numCounters {
		if d := &catalog[c]; r.target || !d.targetOnly {
			kinds[d.name] = d.kind
		}
	}
	for _, d := range derived {
		if r.target || !d.targetOnly {
			kinds[d.name] = d.kind
		}
	}
	for op := range numOps {
		if r.measures(op) {
			kinds[latencyName(op)] = KindHistogram
		}
	}
	kinds[nameUptime] = KindSpecial
	kinds[nameStateFlags] = KindGauge
	if d := r.disks.Load(); d != nil {
		for disk := range d.stats {
			for _, m := range diskMetrics {
				kinds[diskName(disk, m.suffix)] = m.kind
			}
		}
	}
	return kinds
}

// Reset sets what Tracker shows to 0: all of it, or with errorsOnly the names
// that begin with "err.". The uptime stays; the alert mask and the disks show
// 0 until their next update. Prometheus series are never reset.
func (r *Registry) Reset(errorsOnly bool) {
	r.countCache()
	r.countStreams()
	for c := range numCounters {
		if catalog[c].current {
			continue
		}
		if !errorsOnly || strings.HasPrefix(catalog[c].name, errPrefix) {
			r.base[c].Store(r.value(c))
		}
	}
	if errorsOnly {
		return
	}
	r.flagsReset.Store(true)
	if d := r.disks.Load(); d != nil {
		r.disks.Store(&diskValues{stats: d.stats, reset: true})
	}
}

// StatsLine is the tracker as a line of the log: names sorted, zeros and the
// uptime left out. changed is false when it equals the line of the last call.
func (r *Registry) StatsLine() (line string, changed bool) {
	values := r.Tracker()
	delete(values, nameUptime)
	var b strings.Builder
	b.WriteByte('{')
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if values[name] == 0 {
			continue
		}
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		b.WriteString(name)
		b.WriteByte(':')
		b.WriteString(strconv.FormatInt(values[name], 10))
	}
	b.WriteByte('}')
	line = b.String()
	last := r.lastLine.Swap(&line)
	return line, last == nil || *last != line
}

// measures tells that the node has a latency histogram of an operation.
func (r *Registry) measures(op Op) bool { return r.target || op != Head }
