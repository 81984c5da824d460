package ec

import (
	"context"
	"testing"

	"github.com/aistore-go/aistore/core"
)

// TestOwedUntilItHasMoved: an object whose owner is another target by now owes its slices here
// until it has moved.
func TestOwedUntilItHasMoved(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 6, 2, 2, nil)
	c.put("o", randomContent(1, 50_000))
	first := c.owner("o")
	pass := func() int64 {
		t.Helper()
		left, err := first.engine.pass(context.Background(), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		return left
	}
	c.set(c.removed, first.id, true)
	if left := pass(); left != 1 || !first.store.IsPending(context.Background(), core.WorkSlices, c.key("o")) {
		t.Errorf("the object is here, and owes nothing (%d)", left)
	}
	c.set(c.removed, first.id, false)
	c.settle()
	c.mustBeWhole("o")

	attrs := c.put("o", randomContent(2, 50_000))
	c.set(c.removed, first.id, true)
	if err := first.store.RemoveOlder(context.Background(), c.key("o"), core.Stamp{Epoch: attrs.Stamp.Epoch + 1}); err != nil {
		t.Fatal(err)
	}
	if left := pass(); left != 0 {
		t.Errorf("%d objects owe slices, after the only one has moved", left)
	}
}
