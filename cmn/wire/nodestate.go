package wire

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// NodeFlags is the alert mask of a node: NodeHealthy, or what is wrong. In
// JSON it is a number.
type NodeFlags uint64

// Bits of NodeFlags. The numbers are wire facts.
const (
	NodeVoteInProgress       NodeFlags = 1 << 0
	NodeClusterStarted       NodeFlags = 1 << 1 // started (primary) or joined (others)
	NodeStarted              NodeFlags = 1 << 2
	NodeRebalancing          NodeFlags = 1 << 3
	NodeRebalanceInterrupted NodeFlags = 1 << 4
	NodeResilvering          NodeFlags = 1 << 5
	NodeResilverInterrupted  NodeFlags = 1 << 6
	NodeRestarted            NodeFlags = 1 << 7
	NodeOOS                  NodeFlags = 1 << 8
	NodeOOM                  NodeFlags = 1 << 9
	NodeMaintenance          NodeFlags = 1 << 10
	NodeLowCapacity          NodeFlags = 1 << 11
	NodeLowMemory            NodeFlags = 1 << 12
	NodeDiskFault            NodeFlags = 1 << 13
	NodeGoroutines           NodeFlags = 1 << 14
	NodeManyGoroutines       NodeFlags = 1 << 15
	NodeCertSoonExpires      NodeFlags = 1 << 16
	NodeCertExpired          NodeFlags = 1 << 17
	NodeCertInvalid          NodeFlags = 1 << 18
	NodeKeepaliveErrors      NodeFlags = 1 << 19
	NodeOutOfCPU             NodeFlags = 1 << 20
	NodeLowCPU               NodeFlags = 1 << 21
	NodeDiskOOS              NodeFlags = 1 << 22
	NodeDiskLowCapacity      NodeFlags = 1 << 23
	// NodeUnderProtected: objects have had fewer copies or slices than their
	// buckets ask for, for a while. It is this system's own, far above the others.
	NodeUnderProtected NodeFlags = 1 << 40

	// NodeHealthy is the exact value of a node without alerts.
	NodeHealthy = NodeClusterStarted | NodeStarted
	// NodeRed are the alerts of class "red", NodeWarning those of class "warning".
	NodeRed     = NodeOOS | NodeOOM | NodeDiskFault | NodeManyGoroutines | NodeCertExpired | NodeOutOfCPU | NodeDiskOOS
	NodeWarning = NodeRebalancing | NodeRebalanceInterrupted | NodeResilvering | NodeResilverInterrupted | NodeRestarted |
		NodeMaintenance | NodeLowCapacity | NodeLowMemory | NodeGoroutines | NodeCertSoonExpires | NodeKeepaliveErrors |
		NodeLowCPU | NodeDiskLowCapacity | NodeUnderProtected
)

// nodeFlagNames is in the order of the bits. Bits 1 and 2 are named when they
// are clear.
var nodeFlagNames = [...]string{
	"vote-in-progress", "cluster-not-started-yet", "node-not-started-yet", "rebalancing", "rebalance-interrupted",
	"resilvering", "resilver-interrupted", "restarted", "OOS", "OOM", "in-maintenance-mode", "low-usable-capacity",
	"low-memory", "disk-fault", "number-of-goroutines", "high-number-of-goroutines", "tls-cert-will-soon-expire",
	"tls-cert-expired", "tls-cert-invalid", "keep-alive-errors", "out-of-cpu", "low-cpu", "disk-OOS", "disk-low-capacity",
}

// Has tells that all bits of g are set.
func (f NodeFlags) Has(g NodeFlags) bool { return f&g == g }

// String is "ok", the name of the one alert, or "[a b]".
func (f NodeFlags) String() string {
	f ^= NodeHealthy // now a set bit is an alert, also for the two that are named when clear
	var names []string
	for i, name := range nodeFlagNames {
		if f&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	if f.Has(NodeUnderProtected) { // its bit is none of those
		names = append(names, "under-protected")
		f &^= NodeUnderProtected
	}
	if rest := f >> len(nodeFlagNames); rest != 0 {
		names = append(names, "unknown-"+strconv.FormatUint(uint64(rest<<len(nodeFlagNames)), 10))
	}
	switch len(names) {
	case 0:
		return "ok"
	case 1:
		return names[0]
	default:
		return "[" + strings.Join(names, " ") + "]"
	}
}

// PrimaryInfo names the primary in NodeStateInfo.
type PrimaryInfo struct {
	PubURL     string `json:"pub_url"`
	ControlURL string `json:"control_url"`
	ID         string `json:"id"`
}

// SmapInfo is the version of the cluster map in NodeStateInfo. The key of
// Primary has a capital letter on the wire.
type SmapInfo struct {
	Primary PrimaryInfo `json:"Primary"`
	UUID    string      `json:"uuid"`
	Version int64       `json:"version,string"`
}

// BMDInfo is the version of the bucket metadata in NodeStateInfo.
type BMDInfo struct {
	UUID    string `json:"uuid"`
	Version int64  `json:"version,string"`
}

// VersionInfo is the version of a document without a UUID in NodeStateInfo.
type VersionInfo struct {
	Version int64 `json:"version,string"`
}

// NodeStateInfo is what a node knows of the cluster's state: the body of
// health?cii=true and the field "cluster" of NodeStatus.
type NodeStateInfo struct {
	Smap   SmapInfo    `json:"smap"`
	BMD    BMDInfo     `json:"bmd"`
	RMD    VersionInfo `json:"rmd"`
	Config VersionInfo `json:"config"`
	EtlMD  VersionInfo `json:"etlmd"`
	Flags  NodeFlags   `json:"flags"`
	Fenced string      `json:"fenced,omitempty"` // why the node may not serve, "" if it may
}

// TrackerValue is one value of a tracker: {"v":"12"}.
type TrackerValue struct {
	V int64 `json:"v,string"`
}

// Tracker holds a node's cumulative statistics by their dotted names.
// Counters that are zero are absent.
type Tracker map[string]TrackerValue

// NewTracker wraps plain values.
func NewTracker(values map[string]int64) Tracker {
	t := make(Tracker, len(values))
	for name, v := range values {
		t[name] = TrackerValue{V: v}
	}
	return t
}

// Get returns a value, 0 when it is absent.
func (t Tracker) Get(name string) int64 { return t[name].V }

// FsID identifies a file system: two signed 32-bit words, in JSON "1,2".
type FsID [2]int32

// String is "1,2".
func (id FsID) String() string {
	return strconv.Itoa(int(id[0])) + "," + strconv.Itoa(int(id[1]))
}

// MarshalJSON writes "1,2".
func (id FsID) MarshalJSON() ([]byte, error) { return json.Marshal(id.String()) }

// UnmarshalJSON reads "1,2".
func (id *FsID) UnmarshalJSON(data []byte) error {
	var s string
	if err := json.Unmarshal(data, &s); err != nil {
		return err
	}
	if s == "" {
		*id = FsID{}
		return nil
	}
	first, second, ok := strings.Cut(s, ",")
	a, err := strconv.ParseInt(first, 10, 32)
	b, err2 := strconv.ParseInt(second, 10, 32)
	if !ok || err != nil || err2 != nil {
		return fmt.Errorf("invalid file system id %.40q: want two numbers with a comma between", s)
	}
	*id = FsID{int32(a), int32(b)}
	return nil
}

// FsInfo is the file system of a mountpath. Its keys have capital letters.
type FsInfo struct {
	Fs     string `json:"Fs"` // device, e.g. "/dev/nvme0n1"
	FsType string `json:"FsType"`
	FsID   FsID   `json:"FsID"`
}

// Alert suffixes of a disk name in CDF.Disks.
const (
	DiskFaulted      = "(faulted)"
	DiskOutOfSpace   = "(out-of-space)"
	DiskDisabled     = "(->disabled)"
	DiskDetached     = "(->detach)"
	DiskLowFreeSpace = "(low-free-space)"
)

// CDF is capacity, disks and file system of one mountpath.
type CDF struct {
	Label   string   `json:"mountpath_label"`
	FS      FsInfo   `json:"fs"`
	Disks   []string `json:"disks"`        // names, perhaps with an alert suffix
	Used    uint64   `json:"used,string"`  // bytes
	Avail   uint64   `json:"avail,string"` // bytes
	PctUsed int32    `json:"pct_used"`
}

// Capacity is that of a node. On a proxy all is zero and Mountpaths is nil.
type Capacity struct {
	Mountpaths map[string]*CDF `json:"mountpaths"`
	Error      string          `json:"cs_err"`             // alert text, "" when fine
	TotalUsed  uint64          `json:"total_used,string"`  // bytes
	TotalAvail uint64          `json:"total_avail,string"` // bytes
	PctMax     int32           `json:"pct_max"`
	PctAvg     int32           `json:"pct_avg"`
	PctMin     int32           `json:"pct_min"`
}

// DiskStats is what one disk did in the last interval.
type DiskStats struct {
	ReadBps  int64 `json:"RBps"` // bytes per second
	ReadAvg  int64 `json:"Ravg"` // bytes an operation
	WriteBps int64 `json:"WBps"`
	WriteAvg int64 `json:"Wavg"`
	Util     int64 `json:"Util"` // percent
}

// DiskStatsCap is the answer to what=disk of a target.
type DiskStatsCap struct {
	AllDiskStats map[string]DiskStats `json:"AllDiskStats"`
	Capacity
	// SetAside is what the target held when it was declared lost; ours.
	SetAside []SetAside `json:"set_aside,omitempty"`
}

// SetAside is what one mountpath held when its target was declared lost: it is in
// quarantine, and counts for nothing.
type SetAside struct {
	Mountpath string `json:"mountpath"`
	Dir       string `json:"dir"`
	Placement int64  `json:"placement,string"` // version that declared it
	Time      string `json:"time"`             // RFC 3339
	Counted   bool   `json:"counted"`          // else Files and Bytes are not known yet
	Files     int64  `json:"files,string"`
	Bytes     int64  `json:"bytes,string"`
	Error     string `json:"error,omitempty"` // the quarantine cannot be read
}
