package jobs

import (
	"context"

	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/xact"
)

// Control is what the engine needs of the control plane, see node.ControlPlane.
type Control interface {
	View() *meta.View
	IsPrimary() bool
	IsDown(nodeID string) bool
	Commit(ctx context.Context, action string, build func(*meta.View) ([]meta.Change, error)) (*meta.View, error)
}

// Targets reaches the jobs of targets. Contexts have deadlines. An error of a
// target that cannot be reached is an *rpc.UnreachableError or has the status
// 503.
type Targets interface {
	// Prepare asks a target whether a job can start there.
	Prepare(ctx context.Context, target *meta.Snode, spec *xact.Spec) error
	// Start starts a job, or gives it a further request; see xact.Registry.
	Start(ctx context.Context, target *meta.Snode, spec *xact.Spec) error
	// Stop aborts jobs by id; those that do not run are left alone. It returns when they do nothing any
	// more, or after some seconds.
	Stop(ctx context.Context, target *meta.Snode, stop *Stop) error
	// Report asks a target for jobs by id, and for all jobs that run.
	Report(ctx context.Context, target *meta.Snode, ids []string) ([]*wire.Snap, error)
}

// Stop says which jobs of a target to abort, and why.
type Stop struct {
	IDs   []string `json:"ids,omitempty"`
	Kind  string   `json:"kind,omitempty"` // without ids: all of a kind,
	Bck   wire.Bck `json:"bck"`            // on a bucket if it has a name
	Cause string   `json:"cause"`
}

// With adds changes of other documents to the commit that makes a job: both take effect
// or none. It may complete the spec. It is called again, with a fresh spec, if
// the race was lost. An error is that of the start.
type With func(v *meta.View, spec *xact.Spec) ([]meta.Change, error)

// OnEnd adds changes of other documents to the commit that ends a job. It looks at the
// documents as they are, and changes only what the job itself has left in them: it is
// called again if the commit was lost, and if it has failed. A job whose OnEnd
// fails again and again ends without; it is called later on with the record of
// the end (Record.Left is set then), when users may have taken into use
// what the job has left.
type OnEnd func(v *meta.View, record *Record) ([]meta.Change, error)
