package sysinfo

import (
	"path/filepath"
	"testing"
	"time"
)

// TestLimitsOfControlGroups: what a container may use counts, not what the
// machine has.
func TestLimitsOfControlGroups(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	proc := filepath.Join(root, "proc")
	files := map[string]string{
		"proc/stat":        "cpu  100 0 0 900 0 0 0 0 0 0\n",
		"proc/meminfo":     meminfo,
		"proc/self/statm":  "200 50 20 1 0 30 0\n",
		"proc/self/cgroup": "0::/pod/node\n",

		"sys/fs/cgroup/pod/node/memory.max":     "max\n",
		"sys/fs/cgroup/pod/node/memory.current": "300000\n",
		"sys/fs/cgroup/pod/node/cpu.max":        "max 100000\n",
		"sys/fs/cgroup/pod/memory.max":          "500000\n",
		"sys/fs/cgroup/pod/memory.current":      "400000\n",
		"sys/fs/cgroup/pod/memory.stat":         "anon 1\ninactive_file 50000\n",
		"sys/fs/cgroup/pod/cpu.max":             "50000 100000\n",
		"sys/fs/cgroup/pod/cpu.stat":            "usage_usec 1000000\nnr_periods 10\nnr_throttled 0\n",
	}
	tree(t, root, files)
	start := time.Now()
	s := newSampler(proc, start)
	if avail, total := s.Memory(); avail != 150000 || total != 500000 {
		t.Errorf("memory: %d of %d, want 150000 of 500000", avail, total)
	}
	// in two seconds, 0.8 s of half a processor; 3 of 20 periods at the limit
	tree(t, root, map[string]string{"sys/fs/cgroup/pod/cpu.stat": "usage_usec 1800000\nnr_periods 30\nnr_throttled 3\n"})
	have := s.memCPU(start.Add(2 * time.Second))
	if have.CPUUtil != 80 || have.CPUThrottled != 15 || have.MemAvail != 150000 {
		t.Errorf("%+v", have)
	}
	tree(t, root, map[string]string{"sys/fs/cgroup/pod/memory.current": "900000\n"})
	if avail, _ := s.Memory(); avail != 1 {
		t.Errorf("over the limit: %d", avail)
	}
	tree(t, root, map[string]string{"proc/self/cgroup": "12:memory:/v1\n"})
	if avail, total := s.Memory(); avail != 600<<10 || total != 1000<<10 {
		t.Errorf("without groups of version 2: %d of %d", avail, total)
	}
}
