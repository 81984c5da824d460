package fs

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

func TestPercentUsed(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		used, total uint64
		want        int64
	}{
		{0, 0, 0}, {0, 100, 0}, {50, 100, 50}, {999, 1000, 99}, {1000, 1000, 100}, {1500, 1000, 100},
		{890, 1000, 89},               // exactly 89: not within
		{891, 1000, 90},               // within one percent below 90: up
		{881, 1000, 88},               // down
		{901, 1000, 90},               // down
		{1 << 62, 1 << 63, 50},        // no overflow
		{1<<63 + 1<<62, 1 << 63, 100}, // used cannot be more than all
	} {
		if got := percentUsed(tc.used, tc.total, 90); got != tc.want {
			t.Errorf("percentUsed(%d, %d) = %d, want %d", tc.used, tc.total, got, tc.want)
		}
	}
}

func TestSizeText(t *testing.T) {
	t.Parallel()
	for bytes, want := range map[uint64]string{0: "0B", 1023: "1023B", 1 << 20: "1.00MiB", 1536 << 20: "1.50GiB", 1 << 63: "8.00EiB"} {
		if got := sizeText(bytes); got != want {
			t.Errorf("sizeText(%d) = %q, want %q", bytes, got, want)
		}
	}
}

const mountTable = `22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:25 / /dev/shm rw,nosuid shared:2 - tmpfs tmpfs rw,size=1k
41 22 8:17 / /mnt/d1 rw,noatime - xfs /dev/sdb1 rw,nobarrier
42 22 8:33 / /mnt/with\040blank rw - xfs /dev/sdc1 rw
43 41 8:49 / /mnt/d1/inner rw master:1 propagate_from:2 - xfs /dev/sdd1 rw
broken line
`

func TestMounts(t *testing.T) {
	t.Parallel()
	mounts := parseMounts(mountTable)
	if len(mounts) != 5 {
		t.Fatalf("%d mounts, want 5", len(mounts))
	}
	for path, source := range map[string]string{
		"/mnt/d1": "/dev/sdb1", "/mnt/d1/ais": "/dev/sdb1", "/mnt/d10": "/dev/vda", "/mnt/d1/inner/x": "/dev/sdd1",
		"/mnt/with blank/ais": "/dev/sdc1", "/home": "/dev/vda", "/dev/shm/x": "tmpfs",
	} {
		if m, ok := mountOf(mounts, path); !ok || m.source != source {
			t.Errorf("%s lies on %q, want %q", path, m.source, source)
		}
	}
	if m, _ := mountOf(mounts, "/mnt/d1"); m.options != "rw,noatime,rw,nobarrier" || m.fsType != "xfs" {
		t.Errorf("mount %+v", m)
	}
}

func FuzzMounts(f *testing.F) {
	f.Add(mountTable)
	f.Add(`1 1 1:1 / /\0 - - - - -`)
	f.Fuzz(func(t *testing.T, text string) {
		for _, m := range parseMounts(text) {
			if _, ok := mountOf([]mount{m}, m.point); !ok {
				t.Errorf("%q is not on itself", m.point)
			}
		}
	})
}

func TestDisksOf(t *testing.T) {
	t.Parallel()
	sys := t.TempDir()
	mkdir := func(path string) {
		if err := os.MkdirAll(filepath.Join(sys, path), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	link := func(from, to string) {
		mkdir(filepath.Dir(to))
		if err := os.Symlink(filepath.Join(sys, from), filepath.Join(sys, to)); err != nil {
			t.Fatal(err)
		}
	}
	mkdir("devices/sda/sda1/partition")
	mkdir("devices/sdb/slaves")
	mkdir("devices/dm-0/slaves")
	link("devices/sda/sda1", "devices/dm-0/slaves/sda1")
	link("devices/sdb", "devices/dm-0/slaves/sdb")
	link("devices/sda/sda1", "dev/block/8:1")
	link("devices/dm-0", "dev/block/253:0")
	for dev, want := range map[uint64][]string{
		unix.Mkdev(8, 1): {"sda"}, unix.Mkdev(253, 0): {"sda", "sdb"}, unix.Mkdev(0, 33): {},
	} {
		if got := disksOf(sys, dev); !slices.Equal(got, want) {
			t.Errorf("disks of %d = %q, want %q", dev, got, want)
		}
	}
}

func FuzzIDRecord(f *testing.F) {
	record := idRecord{MountpathID: "m", NodeID: "n", Path: "/p", PlacementDigest: 1 << 63, Known: []knownMountpath{{Path: "/p"}}}
	data, err := record.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := decodeIDRecord(data)
		if err != nil {
			return
		}
		again, err := r.encode()
		if err != nil {
			t.Fatal(err)
		}
		if back, err := decodeIDRecord(again); err != nil || back.NodeID != r.NodeID || back.PlacementDigest != r.PlacementDigest {
			t.Errorf("%+v came back as %+v, %v", r, back, err)
		}
	})
}

func FuzzVolumeRecord(f *testing.F) {
	record := volumeRecord{NodeID: "n", ClusterUUID: "u", Version: 1 << 63, Unsettled: true, Mountpaths: []volumeEntry{
		{Path: "/a", Label: "l", MountpathID: "m", PlacementDigest: 1 << 63, State: StateAvailable, InUse: true, MayBeStale: true},
		{Path: "/b", State: StateWaiting, Removal: Detach, Attached: true}, {Path: "/c", State: StateDetached},
	}}
	data, err := record.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := decodeVolume(data)
		if err != nil {
			return
		}
		again, err := r.encode()
		if err != nil {
			t.Fatal(err)
		}
		back, err := decodeVolume(again)
		if err != nil || !back.sameAs(r) || back.Version != r.Version {
			t.Errorf("%+v came back as %+v, %v", r, back, err)
		}
		if next := r.next(); next.Version == r.Version || !next.sameAs(r) || !next.newerThan(r) && r.Version != ^uint64(0) {
			t.Errorf("after %+v comes %+v", r, next)
		}
	})
}
