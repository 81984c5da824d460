package sysinfo

import (
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aistore-go/aistore/cmn/wire"
	"golang.org/x/sys/unix"
)

// tree writes files below a folder.
func tree(t *testing.T, root string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func link(t *testing.T, target, name string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, name); err != nil {
		t.Fatal(err)
	}
}

const meminfo = `MemTotal:       1000 kB
MemFree:         300 kB
MemAvailable:    600 kB
Buffers:          10 kB
Cached:          200 kB
SReclaimable:     40 kB
SwapTotal:       100 kB
SwapFree:         70 kB
HugePages_Total:   0
`

func TestMemCPU(t *testing.T) {
	t.Parallel()
	proc := t.TempDir()
	tree(t, proc, map[string]string{
		"stat":       "cpu  100 0 100 700 100 0 0 0 50 0\ncpu0 1 2 3 4\n",
		"meminfo":    meminfo,
		"loadavg":    "0.10 0.20 0.30 1/234 5678\n",
		"self/statm": "200 50 20 1 0 30 0\n",
	})
	start := time.Now()
	s := newSampler(proc, start)
	first := s.memCPU(start.Add(time.Millisecond))
	if first.CPUUtil != 0 || first.PctCPUUsed != 0 {
		t.Errorf("one reading gives no rate: %+v", first)
	}
	tree(t, proc, map[string]string{"stat": "cpu  130 10 110 720 110 5 5 15 90 0\n"}) // 75 busy, 30 idle
	have := s.memCPU(start.Add(2 * time.Second))
	page := uint64(os.Getpagesize())
	wantMem := wire.MemInfo{Total: 1000 << 10, Used: 700 << 10, Free: 300 << 10, BuffCache: 250 << 10, ActualFree: 600 << 10, ActualUsed: 400 << 10,
		SwapTotal: 100 << 10, SwapFree: 70 << 10, SwapUsed: 30 << 10}
	if have.CPUUtil != 71 {
		t.Errorf("cpu_util: have %d", have.CPUUtil)
	}
	if *have.Mem != wantMem || have.MemAvail != 600<<10 || have.MemUsed != 50*page {
		t.Errorf("memory: %+v", have)
	}
	if want := float64(50*page) * 100 / (1000 << 10); math.Abs(have.PctMemUsed-want) > 0.001 {
		t.Errorf("pct_mem_used: have %v, want %v", have.PctMemUsed, want)
	}
	if have.Proc.Mem != (wire.ProcMem{Size: 200 * page, Resident: 50 * page, Share: 20 * page}) {
		t.Errorf("process: %+v", have.Proc.Mem)
	}
	if have.LoadAvg != (wire.LoadAverage{One: 0.1, Five: 0.2, Fifteen: 0.3}) {
		t.Errorf("load: %+v", have.LoadAvg)
	}
	if c := have.Proc.CPU; c.Total < c.User || c.LastTime != start.Add(2*time.Second).UnixMilli() || c.Percent != have.PctCPUUsed {
		t.Errorf("processor: %+v", c)
	}
	// A call that follows at once repeats the rate.
	if again := s.memCPU(start.Add(2100 * time.Millisecond)); again.CPUUtil != 71 {
		t.Errorf("cpu_util: have %d", again.CPUUtil)
	}
	// Counters that went back are no rate.
	tree(t, proc, map[string]string{"stat": "cpu  1 0 1 7 1 0 0 0\n"})
	if back := s.memCPU(start.Add(4 * time.Second)); back.CPUUtil < 0 || back.CPUUtil > 100 {
		t.Errorf("cpu_util: have %d", back.CPUUtil)
	}
}

func TestNothingReadable(t *testing.T) {
	t.Parallel()
	proc := t.TempDir()
	tree(t, proc, map[string]string{"stat": "cpu x\n", "meminfo": "MemTotal\nMemFree:\n", "loadavg": "a b c", "self/statm": "1"})
	s := newSampler(proc, time.Now())
	if have := s.MemCPU(); have.MemAvail != 0 || have.CPUUtil != 0 || *have.Mem != (wire.MemInfo{}) || have.PctMemUsed != 0 || have.LoadAvg.One != 0 {
		t.Errorf("have %+v", have)
	}
}

// TestThisMachine reads the real files.
func TestThisMachine(t *testing.T) {
	t.Parallel()
	s := New()
	have := s.MemCPU()
	if have.MemUsed == 0 || have.MemAvail == 0 || have.PctMemUsed <= 0 || have.PctMemUsed > 100 || have.Mem.Total < have.MemAvail || have.Proc.Mem.Resident == 0 {
		t.Errorf("have %+v, %+v", have, have.Mem)
	}
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() { s.MemCPU() })
	}
	group.Wait()
}

const (
	diskstats1 = `   8       0 sda 100 0 1000 50 200 0 4000 70 0 1000 120 0 0 0 0
   8       1 sda1 1 0 1 1 1 0 1 1 0 1 1
   8      16 sdb 10 0 10 1 10 0 10 1 0 1 1
`
	diskstats2 = `   8       0 sda 110 0 1160 95 200 0 4000 70 0 1500 120 0 0 0 0
   8      16 sdb 10 0 10 1 30 0 2058 1 0 9999 1
   8      32 sdc 10 0 10 1 30 0 2058 1 0 9999 1
`
)

// machine makes a /sys with the device of path as given by build.
func machine(t *testing.T, path string, build func(sys, device string)) (proc, sys string) {
	t.Helper()
	root := t.TempDir()
	proc, sys = filepath.Join(root, "proc"), filepath.Join(root, "sys")
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	build(sys, filepath.Join(sys, "dev", "block", deviceNumber(st.Dev)))
	tree(t, proc, map[string]string{"diskstats": diskstats1})
	return proc, sys
}

func TestResolveDisks(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	tests := []struct {
		title string
		build func(sys, device string)
		want  []string
	}{
		{"whole disk", func(sys, device string) {
			tree(t, sys, map[string]string{"devices/sda/size": "1"})
			link(t, filepath.Join(sys, "devices/sda"), device)
		}, []string{"sda"}},
		{"partition", func(sys, device string) {
			tree(t, sys, map[string]string{"devices/sda/sda1/partition": "1"})
			link(t, filepath.Join(sys, "devices/sda/sda1"), device)
		}, []string{"sda"}},
		{"stacked over two disks", func(sys, device string) {
			tree(t, sys, map[string]string{"devices/sdb/size": "1", "devices/sda/sda1/partition": "1", "devices/dm-0/size": "1", "devices/md0/size": "1"})
			link(t, filepath.Join(sys, "devices/md0"), filepath.Join(sys, "devices/dm-0/slaves/md0"))
			link(t, filepath.Join(sys, "devices/sda/sda1"), filepath.Join(sys, "devices/md0/slaves/sda1"))
			link(t, filepath.Join(sys, "devices/sdb"), filepath.Join(sys, "devices/md0/slaves/sdb"))
			link(t, filepath.Join(sys, "devices/dm-0"), device)
		}, []string{"sda", "sdb"}},
		{"stacked on itself", func(sys, device string) {
			tree(t, sys, map[string]string{"devices/dm-0/size": "1"})
			link(t, filepath.Join(sys, "devices/dm-0"), filepath.Join(sys, "devices/dm-0/slaves/dm-0"))
			link(t, filepath.Join(sys, "devices/dm-0"), device)
		}, []string{}},
		{"no disk", func(sys, _ string) {}, []string{}},
	}
	for _, tt := range tests {
		t.Run(tt.title, func(t *testing.T) {
			t.Parallel()
			proc, sys := machine(t, path, tt.build)
			d := newDisks(proc, sys)
			d.SetMountpaths([]string{path, "/does/not/exist"})
			if have := d.Of(path); !reflect.DeepEqual(have, tt.want) {
				t.Errorf("have %v, want %v", have, tt.want)
			}
			if have := d.Of("/does/not/exist"); have == nil || len(have) != 0 {
				t.Errorf("a path that is not there has %v", have)
			}
		})
	}
}

func TestMountSource(t *testing.T) {
	t.Parallel()
	proc := t.TempDir()
	tree(t, proc, map[string]string{"self/mountinfo": "22 1 0:20 / /sys rw - sysfs sysfs rw\n30 1 0:41 / /data rw,noatime shared:5 - btrfs /dev/sdx1 rw\nnonsense\n"})
	d := newDisks(proc, "/none")
	if have := d.mountSource(unix.Mkdev(0, 41)); have != "/dev/sdx1" {
		t.Errorf("have %q", have)
	}
	if have := d.mountSource(unix.Mkdev(0, 20)); have != "" {
		t.Errorf("have %q", have)
	}
}

func TestDiskRates(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	proc, sys := machine(t, path, func(sys, device string) {
		tree(t, sys, map[string]string{"devices/sda/size": "1", "devices/sdb/size": "1", "devices/dm-0/size": "1"})
		link(t, filepath.Join(sys, "devices/sda"), filepath.Join(sys, "devices/dm-0/slaves/sda"))
		link(t, filepath.Join(sys, "devices/sdb"), filepath.Join(sys, "devices/dm-0/slaves/sdb"))
		link(t, filepath.Join(sys, "devices/dm-0"), device)
	})
	d := newDisks(proc, sys)
	start := time.Unix(1000, 0)
	if have := d.sample(start); len(have) != 0 {
		t.Errorf("without mountpaths: %v", have)
	}
	d.SetMountpaths([]string{path})
	if have := d.sample(start); !reflect.DeepEqual(have, map[string]wire.DiskStats{"sda": {}, "sdb": {}}) {
		t.Errorf("first reading: %v", have)
	}
	tree(t, proc, map[string]string{"diskstats": diskstats2})
	want := map[string]wire.DiskStats{
		"sda": {ReadBps: 160 * 512 / 2, ReadAvg: 16 * 512, Util: 25},
		"sdb": {WriteBps: 2048 * 512 / 2, WriteAvg: 2048 * 512 / 20, Util: 100},
	}
	if have := d.sample(start.Add(2 * time.Second)); !reflect.DeepEqual(have, want) {
		t.Errorf("have %v, want %v", have, want)
	}
	// Ten reads of sda took 45 ms, twenty writes of sdb no time that shows.
	if have := d.Waits(); have["sda"] != (DiskWait{4500 * time.Microsecond, 10}) || have["sdb"] != (DiskWait{0, 20}) {
		t.Errorf("waits: %v", have)
	}
	tree(t, proc, map[string]string{"diskstats": strings.ReplaceAll(diskstats1, "sdb", "gone")})
	if have := d.sample(start.Add(4 * time.Second)); len(have) != 1 || have["sda"].ReadBps != 0 {
		t.Errorf("a disk that is gone, and counters that went back: %v", have)
	}
}
