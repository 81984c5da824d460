package ec

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
)

// TestOwnersAreAskedAgain: owners that are busy, or cannot reach others, when holders ask for what they
// hold are asked again; those that stay so are errors, and nobody believes that all was repaired.
func TestOwnersAreAskedAgain(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 6, 2, 2, nil)
	before := c.put("o", randomContent(1, 50_000))
	c.settle()
	order := c.order("o")
	c.wipe(order[0])
	holder := c.targets[order[1]]
	recoverWith := func(failures int) (asked int64, errs []error) {
		t.Helper()
		var mu sync.Mutex
		c.fail = func(call, _ string) error {
			mu.Lock()
			defer mu.Unlock()
			if call == "examine" && failures > 0 {
				failures--
				return apierr.Unavailable(time.Second, "busy")
			}
			return nil
		}
		defer func() { c.fail = nil }()
		if err := holder.engine.RecoverHeld(context.Background(), c.entry, func(n int64, failed []error) {
			mu.Lock()
			defer mu.Unlock()
			asked += n
			errs = append(errs, failed...)
		}); err != nil {
			t.Fatal(err)
		}
		return asked, errs
	}
	if asked, errs := recoverWith(100); asked != 1 || len(errs) != 1 || statusOf(errs[0]) != 503 {
		t.Errorf("an owner that stays busy: %d asked, %v", asked, errs)
	}
	if !holder.engine.HoldsLost(c.entry.Props.BID, []string{"gone"}) {
		t.Error("a repair that has failed counts as one that was whole")
	}
	if asked, errs := recoverWith(2); asked != 1 || len(errs) != 0 {
		t.Errorf("an owner that is busy for a while: %d asked, %v", asked, errs)
	}
	if attrs, _, err := c.owner("o").store.Protection(context.Background(), c.key("o")); err != nil || attrs.LastChange() != before.LastChange() {
		t.Errorf("the owner has not made it again: %+v, %v", attrs, err)
	}
	// One of the holders does not answer the owner: so many slices cannot be read.
	c.wipe(order[0])
	for _, id := range order[2:5] {
		c.set(c.down, id, true)
	}
	if asked, errs := recoverWith(0); asked != 1 || len(errs) != 1 {
		t.Errorf("an owner that cannot rebuild it: %d asked, %v", asked, errs)
	}
	for _, id := range order[2:5] {
		c.set(c.down, id, false)
	}
	if _, errs := recoverWith(0); len(errs) != 0 {
		t.Error(errs)
	}
	c.mustBeWhole("o")
}
