package sysinfo

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aistore-go/aistore/cmn/wire"
	"golang.org/x/sys/unix"
)

const (
	sectorSize = 512 // bytes, the unit of /proc/diskstats
	// maxStack limits how deep devices are stacked (crypt on LVM on RAID ...).
	maxStack = 8
)

// Disks finds the disks under mountpaths and measures them. A mountpath
// without a disk, such as one in memory, has none and is not an error. The
// methods may be called from any goroutine.
type Disks struct {
	proc, sys string // "/proc", "/sys"

	mu     sync.Mutex
	byPath map[string][]string
	last   map[string]diskCounters
	at     time.Time
	waits  map[string]DiskWait
}

// DiskWait is how long operations of a disk took, from being asked for to being done.
type DiskWait struct {
	Mean       time.Duration
	Operations int64 // it is the mean of; 0: nothing is known
}

// diskCounters are the cumulative numbers of one disk.
type diskCounters struct {
	reads, readSectors, writes, writeSectors, busyMillis uint64
	waitMillis                                           uint64 // of all operations together
}

// NewDisks returns a Disks without mountpaths.
func NewDisks() *Disks { return newDisks("/proc", "/sys") }

func newDisks(proc, sys string) *Disks {
	return &Disks{proc: proc, sys: sys, byPath: map[string][]string{}}
}

// SetMountpaths finds the disks of the given mountpaths and forgets all others.
func (d *Disks) SetMountpaths(paths []string) {
	next := make(map[string][]string, len(paths))
	for _, p := range paths {
		next[p] = d.resolve(p)
	}
	d.mu.Lock()
	d.byPath = next
	d.mu.Unlock()
}

// Of returns the sorted names of a mountpath's disks, never nil.
func (d *Disks) Of(mountpath string) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]string{}, d.byPath[mountpath]...)
}

// Sample returns what every disk did since the last call, by disk name. In
// the first call, and for a disk that is new, the rates are 0.
func (d *Disks) Sample() map[string]wire.DiskStats { return d.sample(time.Now()) }

func (d *Disks) sample(now time.Time) map[string]wire.DiskStats {
	d.mu.Lock()
	defer d.mu.Unlock()
	wanted := map[string]bool{}
	for _, names := range d.byPath {
		for _, name := range names {
			wanted[name] = true
		}
	}
	current := d.readCounters(wanted)
	elapsed := now.Sub(d.at)
	stats := make(map[string]wire.DiskStats, len(current))
	d.waits = make(map[string]DiskWait, len(current))
	for name, c := range current {
		if before, ok := d.last[name]; ok && elapsed > 0 {
			stats[name] = rates(before, c, elapsed)
			d.waits[name] = waited(before, c)
		} else {
			stats[name] = wire.DiskStats{}
		}
	}
	d.last, d.at = current, now
	return stats
}

// Waits returns how long the operations of every disk took between the last two
// calls of Sample, by disk name. The map is not changed any more.
func (d *Disks) Waits() map[string]DiskWait {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.waits
}

func waited(a, b diskCounters) (w DiskWait) {
	n := difference(b.reads, a.reads) + difference(b.writes, a.writes)
	if n == 0 {
		return w
	}
	millis := difference(b.waitMillis, a.waitMillis)
	return DiskWait{time.Duration(float64(millis) / float64(n) * float64(time.Millisecond)), int64(n)}
}

func rates(a, b diskCounters, elapsed time.Duration) wire.DiskStats {
	readBytes := difference(b.readSectors, a.readSectors) * sectorSize
	writeBytes := difference(b.writeSectors, a.writeSectors) * sectorSize
	seconds := elapsed.Seconds()
	s := wire.DiskStats{
		ReadBps:  int64(float64(readBytes) / seconds),
		WriteBps: int64(float64(writeBytes) / seconds),
		Util:     min(int64(float64(difference(b.busyMillis, a.busyMillis))/(seconds*1000)*100+0.5), 100),
	}
	if n := difference(b.reads, a.reads); n > 0 {
		s.ReadAvg = int64(readBytes / n)
	}
	if n := difference(b.writes, a.writes); n > 0 {
		s.WriteAvg = int64(writeBytes / n)
	}
	return s
}

func (d *Disks) readCounters(wanted map[string]bool) map[string]diskCounters {
	counters := make(map[string]diskCounters, len(wanted))
	if len(wanted) == 0 {
		return counters
	}
	lines(filepath.Join(d.proc, "diskstats"), func(line string) bool {
		// major minor name reads merged sectors ms writes merged sectors ms inflight busy-ms ...
		if f := strings.Fields(line); len(f) >= 13 && wanted[f[2]] {
			counters[f[2]] = diskCounters{
				reads: number(f[3]), readSectors: number(f[5]),
				writes: number(f[7]), writeSectors: number(f[9]), busyMillis: number(f[12]),
				waitMillis: number(f[6]) + number(f[10]),
			}
		}
		return true
	})
	return counters
}

// resolve returns the disks that hold the file system of a path.
func (d *Disks) resolve(path string) []string {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return nil
	}
	found := map[string]bool{}
	d.collect(d.device(uint64(st.Dev)), maxStack, found)
	if len(found) == 0 {
		// File systems such as btrfs have a device number of their own; the
		// mount table names the real device.
		if source := d.mountSource(uint64(st.Dev)); source != "" && unix.Stat(source, &st) == nil {
			d.collect(d.device(st.Rdev), maxStack, found)
		}
	}
	return slices.Sorted(maps.Keys(found))
}

func deviceNumber(dev uint64) string {
	return strconv.FormatUint(uint64(unix.Major(dev)), 10) + ":" + strconv.FormatUint(uint64(unix.Minor(dev)), 10)
}

// device returns the folder of a block device below /sys, "" if it is none.
func (d *Disks) device(dev uint64) string {
	folder, err := filepath.EvalSymlinks(filepath.Join(d.sys, "dev", "block", deviceNumber(dev)))
	if err != nil {
		return ""
	}
	return folder
}

// collect adds the disks below a device: the disk of a partition, and the
// devices that a stacked one (LVM, RAID, crypt) is made of.
func (d *Disks) collect(folder string, depth int, found map[string]bool) {
	if folder == "" || depth == 0 {
		return
	}
	if _, err := os.Stat(filepath.Join(folder, "partition")); err == nil {
		d.collect(filepath.Dir(folder), depth-1, found)
		return
	}
	slaves, err := os.ReadDir(filepath.Join(folder, "slaves"))
	if err != nil || len(slaves) == 0 {
		found[filepath.Base(folder)] = true
		return
	}
	for _, slave := range slaves {
		if below, err := filepath.EvalSymlinks(filepath.Join(folder, "slaves", slave.Name())); err == nil {
			d.collect(below, depth-1, found)
		}
	}
}

// mountSource returns the device file of the mount with that device number.
func (d *Disks) mountSource(dev uint64) (source string) {
	want := deviceNumber(dev)
	lines(filepath.Join(d.proc, "self", "mountinfo"), func(line string) bool {
		// id parent major:minor root mountpoint options [optional ...] - type source options
		left, right, ok := strings.Cut(line, " - ")
		if l, r := strings.Fields(left), strings.Fields(right); ok && len(l) > 2 && l[2] == want && len(r) > 1 && strings.HasPrefix(r[1], "/dev/") {
			source = r[1]
			return false
		}
		return true
	})
	return source
}
