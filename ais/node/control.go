package node

import (
	"context"

	"github.com/aistore-go/aistore/core/meta"
)

// ControlPlane is what a node needs of the replicated metadata. All methods
// are safe for concurrent use; those without a context neither block nor lock.
type ControlPlane interface {
	// View returns the documents as this node applied them last; never nil.
	// Its Smap is nil before the node belongs to a cluster.
	View() *meta.View
	// Joined tells that this node is an accepted member of its cluster and
	// has been in touch with a primary since it was started.
	Joined() bool
	// Settled tells that the cluster can go on without this node, as far as it
	// is large enough for that: a primary that has not shared its vote yet is
	// not settled.
	Settled() bool
	// Stale tells that no primary has answered this node for some time: the
	// view is to be pulled before it is relied on.
	Stale() bool
	// IsPrimary tells that this node is the primary, as far as it knows.
	IsPrimary() bool
	// Fenced says in one sentence why this node may not serve, "" if it may.
	Fenced() string
	// IsDown tells a node of the Smap that does not answer at present.
	IsDown(nodeID string) bool
	// LeaseValid tells that this target may commit writes: the primary has
	// granted it an owner lease that still holds.
	LeaseValid() bool
	// Quiesced tells the primary that no commit is under way on this target
	// which was let through before a transition was in effect; see
	// meta.Transition.
	Quiesced(version int64)

	// Lagging are the ids of nodes that do not acknowledge changes and are not
	// waited for, as this node knows them as primary; nil elsewhere.
	Lagging() []string
	// Leaderless tells that nobody has led the cluster for so long that it is
	// of little use to wait for a primary.
	Leaderless() bool

	// SetPrimary makes a proxy primary and returns when it is; on the primary
	// only, elsewhere the error has the code errNotPrimary.
	SetPrimary(ctx context.Context, nodeID string) error
	// Commit changes metadata; on the primary only, elsewhere the error has
	// the code errNotPrimary. build is called again if the race was lost.
	Commit(ctx context.Context, action string, build func(*meta.View) ([]meta.Change, error)) (*meta.View, error)
	// Barrier returns when View holds everything that was committed before
	// the call; stale tells that no majority could be asked.
	Barrier(ctx context.Context) (stale bool, err error)
	// Pull brings the view up to date with the primary's.
	Pull(ctx context.Context) error
	// Handle answers a call of another node's control plane, see PathMetasync.
	Handle(ctx context.Context, kind string, body []byte) ([]byte, error)
}
