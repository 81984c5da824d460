package aistest

import (
	"context"
	"slices"
	"testing"
	"time"

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

// shutdownTime bounds how long requests in flight may take when a node ends.
const shutdownTime = 30 * time.Second

// Stop ends a target as a process ends that is told to: what is in flight is answered.
// From then on it counts as down.
func (c *Cluster) Stop(tb testing.TB, n *Node) {
	tb.Helper()
	c.Metadata.leave(n.control)
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTime)
	defer cancel()
	if err := n.Shutdown(ctx); err != nil { // before the parts end that answer
		tb.Error(err)
	}
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
