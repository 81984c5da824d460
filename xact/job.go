package xact

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/cmn/metrics"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/transport"
)

// Spec is what a job is to do: made once, the same on every target, and stored
// with the job's record. A published Spec is immutable.
type Spec struct {
	ID   string `json:"id"`
	Kind string `json:"kind"`
	// Bck is what clients find the job by, see Kind.Scope: the destination of
	// copy-bck, etl-bck, move-bck and dsort, the source of all others.
	// Source and To are set for kinds that have both.
	Bck    wire.Bck `json:"bck"`
	Source wire.Bck `json:"src_bck"`
	To     wire.Bck `json:"dst_bck"`
	// BID and ToBID are the incarnations of Source (Bck without one) and To:
	// the job ends when either is destroyed. 0: not looked at.
	BID     uint64          `json:"bid,string,omitempty"`
	ToBID   uint64          `json:"to_bid,string,omitempty"`
	Args    json.RawMessage `json:"args,omitempty"`    // the kind's own
	Control string          `json:"ctlmsg,omitempty"`  // the arguments, for people
	Started int64           `json:"started,string"`    // ns since the epoch
	Targets []string        `json:"targets,omitempty"` // ids; nil: all
	// Force: the rules of coexistence do not apply.
	Force bool `json:"force,omitempty"`
	// Request is the id of the request that this is: a job of an idle kind
	// takes several, and each of them once.
	Request string `json:"request,omitempty"`
}

// StartArgs are the arguments (Spec.Args) of a job that a client has started by
// the generic call.
type StartArgs struct {
	Name    string     `json:"name,omitempty"`    // rebalance: prefix; blob-download: object
	Buckets []wire.Bck `json:"buckets,omitempty"` // beside Spec.Bck; none: all
	Flags   uint32     `json:"flags,omitempty"`
	Force   bool       `json:"force,omitempty"`
}

// Bits of StartArgs.Flags.
const (
	FlagZeroSize      = wire.JobZeroSize      // cleanup removes objects of no bytes
	FlagLatest        = wire.JobLatest        // latest version
	FlagSync          = wire.JobSync          // synchronize
	FlagKeepMisplaced = wire.JobKeepMisplaced // cleanup keeps misplaced objects
	FlagCleanup       = wire.JobCleanup       // rebalance only removes what is misplaced
	FlagDryRun        = wire.JobDryRun        // cleanup removes nothing
)

// DryRun tells that the job changes nothing: it only says what it would do.
func (s *Spec) DryRun() bool {
	var args StartArgs
	return s.Kind == KindCleanup && json.Unmarshal(s.Args, &args) == nil && args.Flags&FlagDryRun != 0
}

// Concerns tells that a target takes part.
func (s *Spec) Concerns(nodeID string) bool {
	for _, id := range s.Targets {
		if id == nodeID {
			return true
		}
	}
	return s.Targets == nil
}

// Name is the job's canonical name, "kind[id]".
func (s *Spec) Name() string { return s.Kind + "[" + s.ID + "]" }

// Job does the work of one job on one target.
type Job interface {
	// Run returns when the work is done. Errors of single objects are counted
	// (Xaction.AddError) and do not end the job unless it is to end with the first
	// one; an error of Run means that the job gives up, which ends it on
	// all targets. The cause of ctx (context.Cause) is why the job is
	// aborted; Run then returns soon, with that cause or nil, and leaves nothing behind.
	Run(ctx context.Context, x *Xaction) error
}

// Extender is a job of an idle kind that takes further work under its id.
type Extender interface {
	Job
	// Extend takes the work of a further request; it does not wait for it. The
	// caller holds a piece of pending work while it is called. Errors are the
	// client's (400 for a bad argument).
	Extend(ctx context.Context, spec *Spec) error
}

// Registration makes a kind known to a target.
type Registration struct {
	Kind string
	// New checks the arguments, and whether this target can do the job at
	// present, and returns the job. It changes nothing: it is called on
	// every target before the job starts on any. Errors are the client's: 400
	// names the argument and what is accepted.
	New func(env *Env, spec *Spec) (Job, error)
}

// Env is what jobs use of their target.
type Env struct {
	NodeID  string
	Store   *core.Store
	Disks   *fs.Manager
	View    func() *meta.View
	Config  func() *config.Cluster
	Logger  *slog.Logger
	Metrics *metrics.Registry
	Peers   Peers
	Streams *transport.Endpoint
	// Governor decides when work is begun; nil: at once.
	Governor *Governor
	// Confirmed tells that a primary vouches at present for the metadata of View;
	// nil: that is never known.
	Confirmed func() bool

	// Start starts a job of a local kind on this target, or returns the one
	// that runs: the same kind on the same bucket. It is set by the registry.
	Start func(ctx context.Context, kind string, bck wire.Bck, args json.RawMessage) (*Xaction, error)
}

// Peers reaches the owners of names. Errors carry a status; 503 is worth
// another try.
type Peers interface {
	// Owner is the target that owns a name now, which may be this one.
	Owner(bck wire.Bck, name string) (*meta.Snode, error)
	// Put has the owner of a name, which may be this target, commit a copy of an object
	// that this target owns: content, checksum, and custom keys are kept. It
	// returns the attributes of the source.
	Put(ctx context.Context, from, to core.Key) (core.Attrs, error)
	// Delete has the owner of a name, which may be this target, delete it.
	Delete(ctx context.Context, key core.Key) error
}

// Load tells how busy this target is.
type Load interface {
	// Now is the load of the moment. It is called by one goroutine, several times a
	// second while there is work for jobs.
	Now() LoadSample
}

// LoadSample is the load of a target over the last seconds.
type LoadSample struct {
	Disk int64 // percent, of the busiest disk
	// Slow is how many times as long as at leisure an operation of a disk takes, of
	// the disk where that is worst; up to 1: not longer, or not known.
	Slow   float64
	CPU    int64 // percent, of all processors
	Users  bool  // clients have been served
	Served Served
}

// timing are the times of the framework; tests shorten them.
type timing struct {
	idleEnd   time.Duration // after which an idle job ends
	keep      time.Duration // how long a job is listed after its end
	keepShort time.Duration // the same for Kind.Short
}

func defaultTiming() timing {
	return timing{idleEnd: time.Minute, keep: 2 * time.Hour, keepShort: time.Minute}
}
