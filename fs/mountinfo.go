package fs

import (
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// mount is one line of the kernel's mount table.
type mount struct {
	point   string
	device  string // "major:minor"
	fsType  string
	source  string
	options string // of the mount and of the filesystem, joined by a comma
}

// readMounts reads the mount table; nothing is fatal about not finding it.
func readMounts() []mount {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	return parseMounts(string(data))
}

// parseMounts parses lines of proc_pid_mountinfo(5):
// "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue".
func parseMounts(text string) []mount {
	var mounts []mount
	for line := range strings.Lines(text) {
		before, after, found := strings.Cut(strings.TrimSpace(line), " - ")
		head, tail := strings.Fields(before), strings.Fields(after)
		if !found || len(head) < 6 || len(tail) < 3 {
			continue
		}
		mounts = append(mounts, mount{
			point: unescapeMount(head[4]), device: head[2], fsType: tail[0],
			source: unescapeMount(tail[1]), options: head[5] + "," + tail[2],
		})
	}
	return mounts
}

// unescapeMount resolves the octal escapes of blanks and backslashes.
func unescapeMount(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if code, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				out.WriteByte(byte(code))
				i += 3
				continue
			}
		}
		out.WriteByte(s[i])
	}
	return out.String()
}

// mountOf is the mount that a path lies on: the last of the longest mount
// points that contain it.
func mountOf(mounts []mount, path string) (mount, bool) {
	var best mount
	found := false
	for _, m := range mounts {
		inside := m.point == "/" || path == m.point || strings.HasPrefix(path, m.point+"/")
		if inside && (!found || len(m.point) >= len(best.point)) {
			best, found = m, true
		}
	}
	return best, found
}

// disksOf resolves a block device to the whole disks under it: partitions to
// their disk, device mapper and RAID to their members. sysfs is "/sys" outside
// of tests. Nothing found is not an error: containers and network disks.
func disksOf(sysfs string, dev uint64) []string {
	name := strconv.FormatUint(uint64(unix.Major(dev)), 10) + ":" + strconv.FormatUint(uint64(unix.Minor(dev)), 10)
	found := make(map[string]struct{})
	collectDisks(filepath.Join(sysfs, "dev/block", name), found, 0)
	disks := make([]string, 0, len(found))
	for disk := range found {
		disks = append(disks, disk)
	}
	sort.Strings(disks)
	return disks
}

func collectDisks(link string, found map[string]struct{}, depth int) {
	const deepest = 8 // stacked devices
	dir, err := filepath.EvalSymlinks(link)
	if err != nil || depth > deepest {
		return
	}
	if _, err := os.Stat(filepath.Join(dir, "partition")); err == nil {
		dir = filepath.Dir(dir)
	}
	members, err := os.ReadDir(filepath.Join(dir, "slaves"))
	if err != nil || len(members) == 0 {
		found[filepath.Base(dir)] = struct{}{}
		return
	}
	for _, member := range members {
		collectDisks(filepath.Join(dir, "slaves", member.Name()), found, depth+1)
	}
}
