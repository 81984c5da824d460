package target

import (
	"sync/atomic"

	"github.com/aistore-go/aistore/cmn/metrics"
	"github.com/aistore-go/aistore/cmn/sysinfo"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/fs"
)

// diskStatus tells clients of this target's disks; see node.StatusSource. What
// the disks do is measured at regular intervals, see sample.
type diskStatus struct {
	disks   *fs.Manager
	load    *sysinfo.Disks
	metrics *metrics.Registry
	damaged atomic.Int64 // objects found damaged since the start
}

func newDiskStatus(disks *fs.Manager, m *metrics.Registry) *diskStatus {
	s := &diskStatus{disks: disks, load: sysinfo.NewDisks(), metrics: m}
	s.load.SetMountpaths(disks.Lists().Available)
	s.sample()
	return s
}

// sample measures what the disks did since the last call.
func (s *diskStatus) sample() { s.metrics.SetDisks(s.load.Sample()) }

// Capacity implements node.StatusSource.
func (s *diskStatus) Capacity() wire.Capacity {
	have := s.disks.Capacity()
	c := wire.Capacity{
		TotalUsed: have.Used, TotalAvail: have.Avail,
		PctMax: int32(have.PctMax), PctAvg: int32(have.PctAvg), PctMin: int32(have.PctMin),
		Mountpaths: make(map[string]*wire.CDF, len(have.Mountpaths)),
	}
	if err := have.Err(); err != nil {
		c.Error = err.Error()
	}
	for i := range have.Mountpaths {
		mp := &have.Mountpaths[i]
		c.Mountpaths[mp.Path] = &wire.CDF{
			Label: mp.Label, Used: mp.Used, Avail: mp.Avail, PctUsed: int32(mp.PctUsed),
			Disks: s.load.Of(mp.Path),
			FS:    wire.FsInfo{Fs: mp.Filesystem.Device, FsType: mp.Filesystem.Type, FsID: wire.FsID(mp.Filesystem.FsID)},
		}
	}
	return c
}

// Mountpaths implements node.StatusSource.
func (s *diskStatus) Mountpaths() wire.MountpathList {
	lists := s.disks.Lists()
	return wire.MountpathList{Available: lists.Available, Waiting: lists.WaitingDD, Disabled: lists.Disabled}
}

// Disks implements node.StatusSource.
func (s *diskStatus) Disks() map[string]wire.DiskStats { return s.metrics.Disks() }

// Alerts implements node.StatusSource.
func (s *diskStatus) Alerts() wire.NodeFlags {
	var flags wire.NodeFlags
	capacity := s.disks.Capacity()
	switch {
	case capacity.OutOfSpace():
		flags |= wire.NodeOOS | wire.NodeDiskOOS
	case capacity.Low():
		flags |= wire.NodeLowCapacity | wire.NodeDiskLowCapacity
	}
	if len(s.disks.Lists().Disabled) > 0 || s.damaged.Load() > 0 {
		flags |= wire.NodeDiskFault
	}
	return flags
}
