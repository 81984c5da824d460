package target

import (
	"context"
	"log/slog"
	"sync"

	"github.com/aistore-go/aistore/ais/node"
	"github.com/aistore-go/aistore/cmn/metrics"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/ec"
	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/memsys"
	"github.com/aistore-go/aistore/mirror"
	"github.com/aistore-go/aistore/transport"
	"github.com/aistore-go/aistore/xact"
	"github.com/aistore-go/aistore/xact/promote"
	"github.com/aistore-go/aistore/xact/rebalance"
)

// Target is the target's part of a node: its handlers and what they call.
type Target struct {
	node    *node.Node
	control node.ControlPlane
	store   *core.Store
	fs      *fs.Manager
	memory  *memsys.Pool
	metrics *metrics.Registry
	logger  *slog.Logger
	guard   *Guard // nil: in tests that need none
	roots   func() promote.Roots
	markers markerCheck
	jobs    *xact.Registry
	jobEnv  *xact.Env
	copies  *mirror.Worker // nil before keepCopies

	resilverNeeded chan struct{} // one token: see watchResilver
	resilverRetry  resilverRetry

	ec      *ec.Engine
	known   *allKnown
	levels  *protection
	listing *sliceLister
	load    *load
	copying *copyStreams
	slicing *sliceStreams
	streams *transport.Endpoint
	space   *spaceKeeper
	losses  *recovery
	windows sync.Pool // of *[]byte, for windows of lists

	ctx    context.Context // of what runs in the background
	cancel context.CancelFunc
	sweeps sync.WaitGroup

	mover *rebalance.Mover // nil: there are no streams
}

// Options are the parts that the wiring made before.
type Options struct {
	Node    *node.Node
	Control node.ControlPlane
	Store   *core.Store
	FS      *fs.Manager
	Memory  *memsys.Pool
	Streams *transport.Endpoint
	Logger  *slog.Logger
	Jobs    []xact.Registration // beside those that are built; for tests

	Guard *Guard // nil: buckets cannot be renamed
	// Roots are where clients may promote files from; nil: nowhere.
	Roots func() promote.Roots
}

// New returns the target's part of a node; see Register. Close ends it.
func New(o Options) *Target {
	t := &Target{
		node: o.Node, control: o.Control, store: o.Store, fs: o.FS, memory: o.Memory, streams: o.Streams,
		metrics: o.Node.Metrics(), logger: o.Logger,
	}
	t.guard, t.roots = o.Guard, o.Roots
	o.Store.UsePeers(t)
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.known = newAllKnown(t.fs.Available, t.store.Damages)
	t.newEC()
	t.levels, t.listing = newProtection(t), newSliceLister(t)
	t.jobs = t.newJobs(o.Jobs)
	t.space, t.losses = t.newSpaceKeeper(), newRecovery(o.Logger)
	t.copying = t.newCopyStreams()
	t.slicing = t.newSliceStreams()
	t.keepCopies()
	t.sweeps.Go(t.levels.watch)
	t.sweeps.Go(newBacklog(t).watch)
	return t
}
