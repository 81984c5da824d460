package wire

import "time"

// LoadAverage is that of the machine over one, five and fifteen minutes. Its
// keys have capital letters.
type LoadAverage struct {
	One     float64 `json:"One"`
	Five    float64 `json:"Five"`
	Fifteen float64 `json:"Fifteen"`
}

// MemInfo is the memory of the machine in bytes.
type MemInfo struct {
	Total      uint64 `json:"Total"`
	Used       uint64 `json:"Used"`
	Free       uint64 `json:"Free"`
	BuffCache  uint64 `json:"BuffCache"`
	ActualFree uint64 `json:"ActualFree"`
	ActualUsed uint64 `json:"ActualUsed"`
	SwapTotal  uint64 `json:"SwapTotal"`
	SwapFree   uint64 `json:"SwapFree"`
	SwapUsed   uint64 `json:"SwapUsed"`
}

// ProcCPU is the processor time of the process in milliseconds; LastTime is
// when it was read, in milliseconds since the epoch.
type ProcCPU struct {
	User     uint64  `json:"User"`
	System   uint64  `json:"System"`
	Total    uint64  `json:"Total"`
	LastTime int64   `json:"LastTime"`
	Percent  float64 `json:"Percent"`
}

// ProcMem is the memory of the process in bytes.
type ProcMem struct {
	Size     uint64 `json:"Size"`
	Resident uint64 `json:"Resident"`
	Share    uint64 `json:"Share"`
}

// ProcInfo is processor time and memory of the process.
type ProcInfo struct {
	CPU ProcCPU `json:"CPU"`
	Mem ProcMem `json:"Mem"`
}

// MemCPU is memory and processor of a node: "sys_info", and the answer to
// what=sysinfo of a proxy.
type MemCPU struct {
	MemUsed      uint64      `json:"mem_used"`     // bytes, this process
	MemAvail     uint64      `json:"mem_avail"`    // bytes, machine
	PctMemUsed   float64     `json:"pct_mem_used"` // of the machine's memory, by this process
	PctCPUUsed   float64     `json:"pct_cpu_used"` // of one processor, by this process
	LoadAvg      LoadAverage `json:"load_avg"`
	CPUUtil      int64       `json:"cpu_util"` // percent, machine
	CPUThrottled int64       `json:"cpu_throttled,omitempty"`
	Mem          *MemInfo    `json:"mem,omitempty"`
	Proc         *ProcInfo   `json:"proc,omitempty"`
}

// TargetSysInfo is the answer to what=sysinfo of a target.
type TargetSysInfo struct {
	MemCPU
	FsUsed     uint64  `json:"fs_used,string"`     // bytes
	FsCapacity uint64  `json:"fs_capacity,string"` // bytes
	PctFsUsed  float64 `json:"pct_fs_used"`
}

// NodeStats is the answer to what=node_stats. S is the type of the node's
// description (*meta.Snode), which lives above this package.
type NodeStats[S any] struct {
	Snode    S        `json:"snode"`
	Tracker  Tracker  `json:"tracker"`
	Capacity Capacity `json:"capacity"`
}

// Values of NodeStatus.Status.
const (
	StatusOnline       = ""
	StatusMaintenance  = "maintenance"
	StatusDecommission = "decommission"
)

// Values of NodeStatus.Deployment; any other is the name of the OS.
const (
	DeploymentK8s = "K8s"
	DeploymentDev = "dev" // testing environment
)

// NodeStatus is the answer to what=node_status.
type NodeStatus[S any] struct {
	NodeStats[S]
	RebalanceSnap *Snap         `json:"rebalance_snap,omitempty"` // nil when none ran since start
	Status        string        `json:"status"`
	Deployment    string        `json:"deployment"`
	Version       string        `json:"ais_version"`
	BuildTime     string        `json:"build_time"`
	K8sPodName    string        `json:"k8s_pod_name"` // environment MY_POD
	Cluster       NodeStateInfo `json:"cluster"`
	SysInfo       MemCPU        `json:"sys_info"`
	SmapVersion   int64         `json:"smap_version,string"`
}

// ClusterStats is the answer to /v1/cluster?what=node_stats: the answering
// proxy and all targets by id.
type ClusterStats[S any] struct {
	Proxy  *NodeStats[S]            `json:"proxy"`
	Target map[string]*NodeStats[S] `json:"target"`
}

// ClusterSysInfo is the answer to /v1/cluster?what=sysinfo.
type ClusterSysInfo struct {
	Proxy  map[string]*MemCPU        `json:"proxy"`
	Target map[string]*TargetSysInfo `json:"target"`
}

// SnapStats counts what a job did on one node.
type SnapStats struct {
	LocalObjects int64 `json:"loc-objs,string"`
	LocalBytes   int64 `json:"loc-bytes,string"`
	OutObjects   int64 `json:"out-objs,string"`
	OutBytes     int64 `json:"out-bytes,string"`
	InObjects    int64 `json:"in-objs,string"`
	InBytes      int64 `json:"in-bytes,string"`
}

// Snap is a job as one node shows it. An EndTime of zero means that it runs.
type Snap struct {
	Ext            any       `json:"ext"`
	StartTime      time.Time `json:"start-time"`
	EndTime        time.Time `json:"end-time"`
	Bck            Bck       `json:"bck"`
	SrcBck         Bck       `json:"src-bck"`
	DstBck         Bck       `json:"dst-bck"`
	ID             string    `json:"id"`
	Kind           string    `json:"kind"`
	ControlMessage string    `json:"ctlmsg,omitempty"`
	AbortError     string    `json:"abort-err"`
	Error          string    `json:"err"`
	GlobalID       string    `json:"glob.id"`
	Stats          SnapStats `json:"stats"`
	Aborted        bool      `json:"aborted"`
	IsIdle         bool      `json:"is_idle"`
}

// MountpathList is the answer to what=mountpaths: sorted, never null.
type MountpathList struct {
	Available []string `json:"available"`
	Waiting   []string `json:"waiting_dd"` // being disabled or detached
	Disabled  []string `json:"disabled"`
}

// RemoteClusters is the answer to what=remote. Clusters is null when none is
// attached.
type RemoteClusters[S any] struct {
	Clusters []RemoteCluster[S] `json:"a"`
	Version  int64              `json:"ver"`
}

// RemoteCluster is one attached cluster; S is the type of its map (*meta.Smap).
type RemoteCluster[S any] struct {
	Smap  S      `json:"smap"`
	URL   string `json:"url"`
	Alias string `json:"alias"`
	UUID  string `json:"uuid"`
}

// JoinResult is the answer to a node that an administrator added.
type JoinResult struct {
	NodeID      string `json:"daemon_id"`
	RebalanceID string `json:"rebalance_id"` // may be empty
}

// MembershipMsg is the value of the actions that change a node's membership.
// Exactly one of NodeID and NodeIDs is given.
type MembershipMsg struct {
	NodeID            string   `json:"sid,omitempty"`
	NodeIDs           []string `json:"sids,omitempty"`
	SkipRebalance     bool     `json:"skip_rebalance"`
	RemoveUserData    bool     `json:"rm_user_data"`
	KeepInitialConfig bool     `json:"keep_initial_config"`
	NoShutdown        bool     `json:"no_shutdown"`
	Force             bool     `json:"force,omitempty"`   // in spite of what speaks against it
	Timeout           string   `json:"timeout,omitempty"` // of stop-maintenance: how long nodes may take to answer, "10s"
}
