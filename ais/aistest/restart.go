package aistest

import (
	"context"
	"slices"
	"testing"

	"github.com/aistore-go/aistore/core/meta"
)

// ending ends the parts of a node, the last one first.
type ending struct{ parts []func() error }

func (e *ending) then(part func() error) { e.parts = append(e.parts, part) }

func (e *ending) end(tb testing.TB) {
	tb.Helper()
	for _, part := range slices.Backward(e.parts) {
		if err := part(); err != nil {
			tb.Error(err)
		}
	}
	e.parts = nil
}

// Stop ends a target as a process ends that is told to: what is in flight is answered.
// From then on it counts as down.
func (c *Cluster) Stop(tb testing.TB, n *Node) {
	tb.Helper()
	c.Metadata.leave(n.control)
	n.end(tb)
	c.Metadata.SetDown(n.control.id, true)
}

// Restart starts a target that was stopped, on the mountpaths that it had, under
// its id and at another address.
func (c *Cluster) Restart(tb testing.TB, n *Node) {
	tb.Helper()
	n.start(tb)
	if err := n.control.Pull(context.Background()); err != nil {
		tb.Fatal(err)
	}
	c.ChangeSmap(tb, &meta.SmapPatch{Put: []*meta.Snode{n.Snode()}})
	c.Metadata.SetDown(n.control.id, false)
}
