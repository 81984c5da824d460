package fs

import (
	"log/slog"
	"time"
)

// Options of a Manager. Zero values of the optional ones get their defaults.
type Options struct {
	Mountpaths map[string]string // absolute path -> label
	TestMode   bool              // make missing directories, allow sharing of disks and small volumes

	NodeID    string        // configured or remembered id, "" = as the disks say
	NewNodeID func() string // makes an id when neither the configuration nor a disk has one; may be nil if NodeID is set

	ClusterUUID string // "" = not known yet, see SetClusterUUID
	Lineage     string

	ConfDir string // folder of a further copy of the volume record, "" = none

	System System            // nil = Unix()
	Sysfs  string            // where the kernel tells of block devices, "" = /sys
	Logger *slog.Logger      // nil = slog.Default()
	Space  func() Watermarks // nil = DefaultWatermarks
	// CapacityAge says how old figures of used space may become for decisions, at
	// the high watermark (ten seconds at most) and below the low one; nil: ten
	// seconds. It is asked each time.
	CapacityAge func() (shortest, longest time.Duration)
	OnEvent     func(Event)      // nil = none; called while locks may be held: must neither block nor change anything here
	Clock       func() time.Time // nil = time.Now

	// Health says when mountpaths are checked by themselves; nil: never. It
	// is asked each time.
	Health func() HealthPolicy
	// LookInterval is how often it is seen whether the mountpaths' roots are
	// there, default 5 s.
	LookInterval time.Duration

	Slots    int           // disk operations in flight on one mountpath, default 256
	SlotWait time.Duration // longest wait for one of them, default 5 s
	HangTime time.Duration // a mountpath with an older operation hangs, default 5 s
}

// Watermarks are percentages of used capacity.
type Watermarks struct {
	Cleanup    int64
	Low        int64
	High       int64
	OutOfSpace int64
}

// DefaultWatermarks are those of a new cluster.
func DefaultWatermarks() Watermarks {
	return Watermarks{Cleanup: 65, Low: 75, High: 90, OutOfSpace: 95}
}

// Event tells the wiring above what a disk did. It may be followed by a job, an
// alert or a check; fs itself only reports.
type Event struct {
	Kind      EventKind
	Mountpath string // path; of a filesystem's events that of its first mountpath; "" = the node
	Err       error  // cause, may be nil
	Message   string
}

// EventKind is the kind of an Event.
type EventKind uint8

const (
	// EventDisabled: a known mountpath is missing, has no id, cannot be
	// written, or failed its health check; it is not in use.
	EventDisabled EventKind = iota + 1
	// EventIOError: a disk operation failed; see HealthPolicy.
	EventIOError
	// EventNoSpace: the kernel refused a write for lack of space.
	EventNoSpace
	// EventFlushFailed: a flush round failed; what its members wrote is in an
	// unknown state.
	EventFlushFailed
	// EventSpace: the fullest mountpath crossed a watermark, up or down.
	EventSpace
	// EventFault: a health check found that a disk cannot be relied on.
	EventFault
	// EventCheck: a health check begins.
	EventCheck
	// EventHung: operations do not end; see Mountpath.Hung.
	EventHung
)

// String is the kind in words.
func (k EventKind) String() string {
	switch k {
	case EventDisabled:
		return "mountpath disabled"
	case EventIOError:
		return "I/O error"
	case EventNoSpace:
		return "no space"
	case EventFlushFailed:
		return "flush failed"
	case EventSpace:
		return "used space"
	case EventFault:
		return "disk fault"
	case EventCheck:
		return "health check"
	case EventHung:
		return "disk hangs"
	}
	return "unknown event"
}

func (o *Options) setDefaults() {
	if o.System == nil {
		o.System = Unix()
	}
	if o.Sysfs == "" {
		o.Sysfs = "/sys"
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Space == nil {
		o.Space = DefaultWatermarks
	}
	if o.CapacityAge == nil {
		o.CapacityAge = func() (shortest, longest time.Duration) { return capacityMaxAge, capacityMaxAge }
	}
	if o.OnEvent == nil {
		o.OnEvent = func(Event) {}
	}
	if o.Health == nil {
		o.Health = func() HealthPolicy { return HealthPolicy{} }
	}
	if o.LookInterval <= 0 {
		o.LookInterval = 5 * time.Second
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Slots <= 0 {
		o.Slots = 256
	}
	if o.SlotWait <= 0 {
		o.SlotWait = 5 * time.Second
	}
	if o.HangTime <= 0 {
		o.HangTime = 5 * time.Second
	}
}
