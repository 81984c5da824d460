package aistest

import (
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/fs"
)

// mountpathStatus is the node.StatusSource of a target: it tells which mountpaths it
// has, and nothing else of its disks.
type mountpathStatus struct{ disks *fs.Manager }

// Capacity implements node.StatusSource: none is known.
func (mountpathStatus) Capacity() wire.Capacity { return wire.Capacity{} }

// Mountpaths implements node.StatusSource.
func (s mountpathStatus) Mountpaths() wire.MountpathList {
	lists := s.disks.Lists()
	return wire.MountpathList{Available: lists.Available, Waiting: lists.WaitingDD, Disabled: lists.Disabled}
}

// Disks implements node.StatusSource: none is known.
func (mountpathStatus) Disks() map[string]wire.DiskStats { return nil }

// Alerts implements node.StatusSource: there are none.
func (mountpathStatus) Alerts() wire.NodeFlags { return 0 }
