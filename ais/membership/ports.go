package membership

import (
	"context"

	"github.com/aistore-go/aistore/core/meta"
)

// Control is what the engine needs of the control plane, see node.ControlPlane.
type Control interface {
	View() *meta.View
	IsPrimary() bool
	IsDown(nodeID string) bool
	Commit(ctx context.Context, action string, build func(*meta.View) ([]meta.Change, error)) (*meta.View, error)
}

// Mover moves data between targets: the rebalance. Its methods may be called
// again and again, and by a new primary.
type Mover interface {
	// Start sees to it that the rebalance with a number runs, or has run. One
	// with a lower number gives way to it.
	Start(ctx context.Context, rebalance int64, op *meta.Operation) error
	// State tells whether a rebalance has ended: it, or a later one. The error
	// is why it failed.
	State(ctx context.Context, rebalance int64) (done bool, err error)
}

// Nodes reaches other nodes. The context has a deadline.
type Nodes interface {
	// Tell makes a node do what the operation says: a node that has done so
	// already does nothing. The primary itself may be told, too.
	Tell(ctx context.Context, node *meta.Snode, op *meta.Operation) error
	// Held asks a target what it holds of the cluster's objects.
	Held(ctx context.Context, node *meta.Snode) (Held, error)
	// Space asks a target for its disks.
	Space(ctx context.Context, node *meta.Snode) (Space, error)
	// Serves asks a node whether it has started.
	Serves(ctx context.Context, node *meta.Snode) error
}

// Held is what a target holds.
type Held struct {
	Objects int64  `json:"objects"`
	Bytes   int64  `json:"bytes,string"`
	More    bool   `json:"more"`    // counting was given up
	Example string `json:"example"` // name of one of the objects, "" if there is none
}

// Space is the space on a target's filesystems, in bytes, by the filesystem's
// id: nodes of one machine may share them.
type Space map[string]FilesystemSpace

// FilesystemSpace is that of one.
type FilesystemSpace struct {
	Used  uint64
	Avail uint64
}
