package aistest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/aistore-go/aistore/ais/node"
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/core/meta"
)

// Metadata is the cluster's documents and the views that the nodes have of
// them. Its methods may be called from any goroutine.
type Metadata struct {
	mu      sync.Mutex // of changes
	view    *meta.View
	members []*member
	down    sync.Map // node id -> true
	stale   atomic.Bool
}

// member is one node's share: it implements node.ControlPlane.
type member struct {
	all     *Metadata
	id      string
	view    atomic.Pointer[meta.View]
	lagging atomic.Bool

	leaseless atomic.Bool
	quiesced  atomic.Int64
	fenced    atomic.Pointer[string]
	apply     func(before, after *meta.View) error
}

var _ node.ControlPlane = (*member)(nil)

func newMetadata() *Metadata { return &Metadata{view: &meta.View{}} }

// member makes a node's share; it takes part once it has joined.
func (m *Metadata) member(id string) *member {
	mb := &member{all: m, id: id}
	mb.view.Store(&meta.View{})
	return mb
}

// join adds a node; apply is called with every change, as OnApply of the real
// control plane.
func (m *Metadata) join(mb *member, apply func(before, after *meta.View) error) *member {
	m.mu.Lock()
	defer m.mu.Unlock()
	mb.apply = apply
	m.members = append(m.members, mb)
	return mb
}

// leave takes a node out that hears of no change any more.
func (m *Metadata) leave(mb *member) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.members = slices.DeleteFunc(m.members, func(other *member) bool { return other == mb })
}

// SetLease takes the owner lease away from a target, or gives it back.
func (m *Metadata) SetLease(nodeID string, valid bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, mb := range m.members {
		if mb.id == nodeID {
			mb.leaseless.Store(!valid)
		}
	}
}

// Quiesced returns the last transition that a target has reported, 0 if none.
func (m *Metadata) Quiesced(nodeID string) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, mb := range m.members {
		if mb.id == nodeID {
			return mb.quiesced.Load()
		}
	}
	return 0
}

// SetDown makes a node count as down, or as up again.
func (m *Metadata) SetDown(nodeID string, down bool) {
	if down {
		m.down.Store(nodeID, true)
	} else {
		m.down.Delete(nodeID)
	}
}

// SetStale makes every barrier answer that no majority could be asked.
func (m *Metadata) SetStale(stale bool) { m.stale.Store(stale) }

// SetLagging makes a node miss all changes until it pulls, passes a barrier,
// or lags no longer.
func (m *Metadata) SetLagging(nodeID string, lagging bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, mb := range m.members {
		if mb.id == nodeID {
			mb.lagging.Store(lagging)
			if !lagging {
				return mb.catchUp()
			}
		}
	}
	return nil
}

// SetFenced makes a node refuse to serve, for a reason; "" ends that.
func (m *Metadata) SetFenced(nodeID, why string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, mb := range m.members {
		if mb.id == nodeID {
			mb.fenced.Store(&why)
		}
	}
}

// View returns the newest documents.
func (m *Metadata) View() *meta.View {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.view
}

// Change commits a change as the primary would.
func (m *Metadata) Change(action string, build func(*meta.View) ([]meta.Change, error)) (*meta.View, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	changes, err := build(m.view)
	if err != nil {
		return nil, err
	}
	next, err := m.view.Apply(&meta.Command{ID: meta.NewJobID(), Action: action, Changes: changes}, 1, m.view.Index+1)
	if err != nil {
		return nil, err
	}
	m.view = next
	var errs []error
	for _, mb := range m.members {
		if !mb.lagging.Load() {
			errs = append(errs, mb.catchUp())
		}
	}
	return next, errors.Join(errs...)
}

// catchUp publishes the newest view on a node. The lock is held.
func (mb *member) catchUp() error {
	before := mb.view.Load()
	if before == mb.all.view {
		return nil
	}
	if mb.apply != nil {
		if err := mb.apply(before, mb.all.view); err != nil {
			return fmt.Errorf("%s: %w", mb.id, err)
		}
	}
	mb.view.Store(mb.all.view)
	return nil
}

// View implements node.ControlPlane.
func (mb *member) View() *meta.View { return mb.view.Load() }

// Joined implements node.ControlPlane.
func (mb *member) Joined() bool { return mb.view.Load().Smap.Node(mb.id) != nil }

// Settled implements node.ControlPlane.
func (mb *member) Settled() bool { return true }

// Stale implements node.ControlPlane.
func (mb *member) Stale() bool { return false }

// IsPrimary implements node.ControlPlane.
func (mb *member) IsPrimary() bool { return mb.view.Load().Smap.IsPrimary(mb.id) }

// Fenced implements node.ControlPlane.
func (mb *member) Fenced() string {
	if why := mb.fenced.Load(); why != nil {
		return *why
	}
	return ""
}

// IsDown implements node.ControlPlane.
func (mb *member) IsDown(nodeID string) bool {
	_, down := mb.all.down.Load(nodeID)
	return down
}

// LeaseValid implements node.ControlPlane.
func (mb *member) LeaseValid() bool { return !mb.leaseless.Load() }

// Quiesced implements node.ControlPlane.
func (mb *member) Quiesced(version int64) { mb.quiesced.Store(version) }

// Commit implements node.ControlPlane.
func (mb *member) Commit(_ context.Context, action string, build func(*meta.View) ([]meta.Change, error)) (*meta.View, error) {
	if !mb.IsPrimary() {
		return nil, apierr.New(400, "errNotPrimary", "%s is not primary", mb.id)
	}
	return mb.all.Change(action, build)
}

// Lagging implements node.ControlPlane.
func (mb *member) Lagging() []string {
	mb.all.mu.Lock()
	defer mb.all.mu.Unlock()
	var ids []string
	for _, other := range mb.all.members {
		if other.lagging.Load() {
			ids = append(ids, other.id)
		}
	}
	return ids
}

// Leaderless implements node.ControlPlane.
func (mb *member) Leaderless() bool { return false }

// SetPrimary implements node.ControlPlane.
func (mb *member) SetPrimary(_ context.Context, nodeID string) error {
	if !mb.IsPrimary() {
		return apierr.New(400, "errNotPrimary", "%s is not primary", mb.id)
	}
	node := mb.all.View().Smap.Node(nodeID)
	switch {
	case nodeID == mb.id:
		return nil
	case node == nil:
		return apierr.New(404, "errNodeNotFound", "node %q is not in the cluster map", nodeID)
	case !node.Electable():
		return apierr.BadRequest("%s cannot become primary", node)
	}
	_, err := mb.all.Change("set-primary", func(v *meta.View) ([]meta.Change, error) {
		change, err := meta.NewChange(v, meta.KindSmap, &meta.SmapPatch{Primary: nodeID})
		change.To += 99
		return []meta.Change{change}, err
	})
	return err
}

// Barrier implements node.ControlPlane.
func (mb *member) Barrier(ctx context.Context) (stale bool, err error) {
	if mb.all.stale.Load() {
		return true, nil
	}
	return false, mb.Pull(ctx)
}

// Pull implements node.ControlPlane.
func (mb *member) Pull(context.Context) error {
	mb.all.mu.Lock()
	defer mb.all.mu.Unlock()
	return mb.catchUp()
}

// Handle implements node.ControlPlane.
func (mb *member) Handle(context.Context, string, []byte) ([]byte, error) {
	return nil, apierr.NotImplemented("nodes of one process do not call each other's control plane")
}
