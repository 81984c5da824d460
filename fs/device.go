package fs

import (
	"maps"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// deviceKind is what calls on the files of a device may wait for. A call that
// may wait is told to the scheduler, which then has to be ready to go on without
// it; on a busy machine its monitor is half of what the call costs. What is
// known not to wait is not told.
type deviceKind uint8

const (
	mayWait  deviceKind = iota // for anything: also what is not known
	onDisk                     // for the disk alone; the kernel answers from its caches, or says that it cannot
	inMemory                   // for nothing
)

// kindOf knows the filesystems that do not ask a server or another process.
func kindOf(magic int64) deviceKind {
	switch magic {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC:
		return onDisk
	case unix.TMPFS_MAGIC, unix.RAMFS_MAGIC:
		return inMemory
	}
	return mayWait
}

// devices keeps the kinds of the devices of which files were opened. It is safe
// for concurrent use.
type devices struct {
	known    atomic.Pointer[map[uint64]deviceKind]
	learning sync.Mutex
}

// maxDevices bounds what is kept; of further devices nothing is known.
const maxDevices = 1024

func (d *devices) kind(dev uint64) (kind deviceKind, known bool) {
	if all := d.known.Load(); all != nil {
		kind, known = (*all)[dev]
	}
	return kind, known
}

// learn examines the device of an open file.
func (d *devices) learn(fd int) {
	var st unix.Stat_t
	var filesystem unix.Statfs_t
	if unix.Fstat(fd, &st) != nil || unix.Fstatfs(fd, &filesystem) != nil {
		return // the next file tells
	}
	d.learning.Lock()
	defer d.learning.Unlock()
	all := make(map[uint64]deviceKind)
	if old := d.known.Load(); old != nil {
		if len(*old) >= maxDevices {
			return
		}
		maps.Copy(all, *old)
	}
	all[uint64(st.Dev)] = kindOf(int64(filesystem.Type)) //nolint:unconvert // the types differ by architecture
	d.known.Store(&all)
}
