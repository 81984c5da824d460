package target

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/cmn/metrics"
	"github.com/aistore-go/aistore/cmn/sysinfo"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/fs"
)

// diskStatus tells clients of this target's disks; see node.StatusSource. What
// the disks do is measured at regular intervals, see sample.
type diskStatus struct {
	disks   *fs.Manager
	load    *sysinfo.Disks
	metrics *metrics.Registry
	damaged atomic.Int64                           // objects in quarantine, or damaged in their place, as far as is known
	count   func() (int64, error)                  // counts them
	walks   func() int64                           // see walked
	pending func() (n int64, oldest time.Duration) // objects that wait for copies; may be nil
	below   func() bool                            // objects have been below their level of protection for long; may be nil
	known   atomic.Pointer[fs.Set]                 // whose disks load watches
	smooth  smoothing
	waits   diskWaits
	conf    func() *config.DiskConf // nil: utilization is not smoothed
}

func newDiskStatus(disks *fs.Manager, m *metrics.Registry) *diskStatus {
	s := &diskStatus{disks: disks, load: sysinfo.NewDisks(), metrics: m}
	s.sample()
	return s
}

// sample measures what the disks did since the last call.
func (s *diskStatus) sample() {
	s.watch()
	stats, window := s.load.Sample(), time.Duration(0)
	if s.conf != nil {
		window = smoothWindow(s.conf())
	}
	now := time.Now()
	s.smooth.apply(stats, now, window)
	leisure := int64(math.MaxInt64)
	if s.conf != nil {
		leisure = s.conf().UtilLowWM
	}
	s.waits.apply(s.load.Waits(), stats, leisure, now, window)
	s.metrics.SetDisks(stats)
}

// look counts what shows in the status of this node.
func (s *diskStatus) look() {
	s.countQuarantine()
	if s.walks != nil {
		s.metrics.SetWalked(s.walks())
	}
	if s.pending != nil {
		s.metrics.SetCopiesPending(s.pending())
	}
}

// countQuarantine counts the objects in quarantine: an operator may have
// removed some. A mountpath that cannot be read leaves the count as it is.
func (s *diskStatus) countQuarantine() {
	if s.count == nil {
		return
	}
	if n, err := s.count(); err == nil {
		s.damaged.Store(n)
	}
	s.metrics.SetQuarantined(s.damaged.Load())
}

// foundDamage counts one more.
func (s *diskStatus) foundDamage() { s.metrics.SetQuarantined(s.damaged.Add(1)) }

// watch finds the disks of the mountpaths in use, if these have changed.
func (s *diskStatus) watch() {
	set := s.disks.Available()
	if s.known.Swap(set) == set {
		return
	}
	paths := make([]string, 0, len(set.Paths))
	for _, mp := range set.All() {
		paths = append(paths, mp.Path)
	}
	s.load.SetMountpaths(paths)
}

// Capacity implements node.StatusSource.
func (s *diskStatus) Capacity() wire.Capacity {
	s.watch()
	have := s.disks.RecentCapacity()
	c := wire.Capacity{
		TotalUsed: have.Used, TotalAvail: have.Avail,
		PctMax: int32(have.PctMax), PctAvg: int32(have.PctAvg), PctMin: int32(have.PctMin),
		Mountpaths: make(map[string]*wire.CDF, len(have.Mountpaths)),
	}
	if err := have.Err(); err != nil {
		c.Error = err.Error()
	}
	infos := make(map[string]*fs.MountpathInfo)
	for _, info := range s.disks.Mountpaths() {
		infos[info.Path] = &info
	}
	for i := range have.Mountpaths {
		mp := &have.Mountpaths[i]
		c.Mountpaths[mp.Path] = &wire.CDF{
			Label: mp.Label, Used: mp.Used, Avail: mp.Avail, PctUsed: int32(mp.PctUsed),
			Disks: withAlert(s.load.Of(mp.Path), diskAlert(mp, infos[mp.Path], s.hung(mp.Path))),
			FS:    wire.FsInfo{Fs: mp.Filesystem.Device, FsType: mp.Filesystem.Type, FsID: wire.FsID(mp.Filesystem.FsID)},
		}
	}
	return c
}

// hung tells that a mountpath does not answer.
func (s *diskStatus) hung(path string) bool {
	mp := s.disks.Find(path)
	return mp != nil && mp.Hung()
}

// diskAlert is the worst that is to be told of a mountpath, in brackets, ""
// for nothing.
func diskAlert(mp *fs.MountpathCapacity, info *fs.MountpathInfo, hung bool) string {
	switch {
	case mp.Err != nil, hung, info != nil && info.Fault != "":
		return "(faulted)"
	case mp.OutOfSpace:
		return "(out-of-space)"
	case info != nil && info.State == fs.StateWaiting && info.Removal == fs.Disable:
		return "(->disabled)"
	case info != nil && info.State == fs.StateWaiting:
		return "(->detach)"
	case mp.Low:
		return "(low-free-space)"
	}
	return ""
}

func withAlert(disks []string, alert string) []string {
	for i := range disks {
		disks[i] += alert
	}
	return disks
}

// Mountpaths implements node.StatusSource.
func (s *diskStatus) Mountpaths() wire.MountpathList {
	lists := s.disks.Lists()
	return wire.MountpathList{Available: lists.Available, Waiting: lists.WaitingDD, Disabled: lists.Disabled}
}

// Disks implements node.StatusSource.
func (s *diskStatus) Disks() map[string]wire.DiskStats { return s.metrics.Disks() }

// Alerts implements node.StatusSource. What an operator disabled is no fault.
func (s *diskStatus) Alerts() wire.NodeFlags {
	var flags wire.NodeFlags
	capacity := s.disks.RecentCapacity()
	switch {
	case capacity.OutOfSpace():
		flags |= wire.NodeOOS | wire.NodeDiskOOS
	case capacity.Low():
		flags |= wire.NodeLowCapacity | wire.NodeDiskLowCapacity
	}
	inUse := 0
	for _, info := range s.disks.Mountpaths() {
		if info.InUse() {
			inUse++
		}
		if info.Lost != nil || info.Fault != "" {
			flags |= wire.NodeDiskFault
		}
	}
	for _, mp := range s.disks.Available().All() {
		if mp.Hung() {
			flags |= wire.NodeDiskFault
		}
	}
	if inUse == 0 || s.damaged.Load() > 0 {
		flags |= wire.NodeDiskFault
	}
	if s.below != nil && s.below() {
		flags |= wire.NodeUnderProtected
	}
	return flags
}

// exportBMD has copies of the bucket metadata written to the mountpaths.
func exportBMD(disks *fs.Manager, bmd *meta.BMD) {
	if data, err := bmd.Encode(); err == nil {
		disks.ExportBMD(data)
	}
}
