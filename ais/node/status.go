package node

import (
	"runtime"

	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// StatusSource is what a target tells about its disks. The methods answer
// from memory and do not block.
type StatusSource interface {
	Capacity() wire.Capacity
	Mountpaths() wire.MountpathList
	Disks() map[string]wire.DiskStats
	// Alerts returns what is wrong with the disks, 0 if nothing is.
	Alerts() wire.NodeFlags
}

// flags are the alerts of this node: exactly wire.NodeHealthy if there is
// nothing to report.
func (n *Node) flags() wire.NodeFlags {
	var f wire.NodeFlags
	if n.Started() {
		f |= wire.NodeStarted
	}
	if n.Joined() {
		f |= wire.NodeClusterStarted
	}
	if n.inMaintenance() {
		f |= wire.NodeMaintenance
	}
	if n.electing() {
		f |= wire.NodeVoteInProgress
	}
	f |= n.certificateFlags()
	up, _ := n.uptimes()
	f |= n.alerts.current(up)
	if s := n.status.Load(); s != nil {
		f |= (*s).Alerts()
	}
	return f
}

// self returns the node as the Smap shows it, or as it announces itself.
func (n *Node) self() *meta.Snode {
	if smap := n.View().Smap; smap != nil {
		if sn := smap.Node(n.id); sn != nil {
			return sn
		}
	}
	return n.snode
}

func (n *Node) inMaintenance() bool { return !n.self().Active() }

// StateInfo is what this node knows of the cluster's state.
func (n *Node) StateInfo() wire.NodeStateInfo {
	view := n.View()
	info := wire.NodeStateInfo{Flags: n.flags(), Fenced: n.fenced()}
	if view.Smap != nil {
		info.Smap = wire.SmapInfo{UUID: view.Smap.UUID, Version: view.Smap.Version}
		if p := view.Smap.Primary; p != nil {
			info.Smap.Primary = wire.PrimaryInfo{PubURL: p.Public.URL, ControlURL: p.IntraControl.URL, ID: p.ID}
		}
	}
	if view.BMD != nil {
		info.BMD = wire.BMDInfo{UUID: view.BMD.UUID, Version: view.BMD.Version}
	}
	info.Config.Version = view.Config.Ver()
	info.RMD.Version = view.RMD.Ver()
	info.EtlMD.Version = view.ETL.Ver()
	return info
}

// healthInfo is StateInfo as /v1/health shows it: with the address that the
// node tells others.
type healthInfo struct {
	wire.NodeStateInfo
	PublicURL string `json:"public_url"`
}

func (n *Node) healthInfo() healthInfo {
	return healthInfo{NodeStateInfo: n.StateInfo(), PublicURL: n.snode.Public.URL}
}

// electing tells that this node has a vote and knows no leader.
func (n *Node) electing() bool {
	cp, ok := n.Control().(interface{ Electing() bool })
	return ok && cp.Electing()
}

// capacity is that of a target's disks; on a proxy all is zero.
func (n *Node) capacity() wire.Capacity {
	if s := n.status.Load(); s != nil {
		return (*s).Capacity()
	}
	return wire.Capacity{}
}

// syncMetrics brings the alerts that the metrics show up to date.
func (n *Node) syncMetrics() {
	n.metrics.ReplaceFlags(n.flags())
	primary := ""
	if smap := n.View().Smap; smap != nil && smap.Primary != nil {
		primary = smap.Primary.ID
	}
	n.metrics.SetPrimary(primary)
}

// stats is the answer to what=node_stats.
func (n *Node) stats() wire.NodeStats[*meta.Snode] {
	n.syncMetrics()
	return wire.NodeStats[*meta.Snode]{Snode: n.self(), Tracker: wire.NewTracker(n.metrics.Tracker()), Capacity: n.capacity()}
}

// nodeStatus is the answer to what=node_status.
func (n *Node) nodeStatus() *wire.NodeStatus[*meta.Snode] {
	s := &wire.NodeStatus[*meta.Snode]{
		NodeStats:  n.stats(),
		Status:     membershipStatus(n.self()),
		Deployment: n.deployment(),
		Version:    n.version.Software(),
		BuildTime:  n.version.Time,
		K8sPodName: n.env.PodName,
		Cluster:    n.StateInfo(),
		SysInfo:    n.sys.MemCPU(),
	}
	s.SmapVersion = s.Cluster.Smap.Version
	return s
}

// membershipStatus is the status of a node of the Smap in words.
func membershipStatus(sn *meta.Snode) string {
	switch {
	case sn.Flags&meta.FlagDecommission != 0:
		return wire.StatusDecommission
	case sn.Flags&meta.FlagMaintenance != 0:
		return wire.StatusMaintenance
	}
	return wire.StatusOnline
}

// absentStatus is the status of a node that is out of service, as another
// node answers for it.
func absentStatus(sn *meta.Snode) *wire.NodeStatus[*meta.Snode] {
	return &wire.NodeStatus[*meta.Snode]{
		NodeStats: wire.NodeStats[*meta.Snode]{Snode: sn}, Status: membershipStatus(sn),
	}
}

// deployment names the kind of environment.
func (n *Node) deployment() string {
	if n.env.PodName != "" {
		return wire.DeploymentK8s
	}
	if _, test := n.local.Mountpaths(); test {
		return wire.DeploymentDev
	}
	return runtime.GOOS
}

// targetSysInfo is the answer to what=sysinfo of a target.
func (n *Node) targetSysInfo() *wire.TargetSysInfo {
	c := n.capacity()
	info := &wire.TargetSysInfo{MemCPU: n.sys.MemCPU(), FsUsed: c.TotalUsed, FsCapacity: c.TotalUsed + c.TotalAvail}
	if info.FsCapacity > 0 {
		info.PctFsUsed = 100 * float64(info.FsUsed) / float64(info.FsCapacity)
	}
	return info
}
