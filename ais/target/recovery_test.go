package target

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"testing"
	"time"
)

// TestRecovery: losses wait until somebody can mend them, each mountpath once, and
// what could not be started is tried again.
func TestRecovery(t *testing.T) {
	t.Parallel()
	r := newRecovery(slog.New(slog.NewTextHandler(io.Discard, nil)))
	r.add(MountpathLoss{"/b", "first"})
	r.add(MountpathLoss{"/a", "missing"})
	r.add(MountpathLoss{"/b", "second"})
	r.add(MountpathLoss{"/c", "back since"})
	r.forget("/c")
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.run(ctx)
	}()
	calls := make(chan []MountpathLoss, 10)
	r.use(func(_ context.Context, lost []MountpathLoss) error {
		calls <- lost
		return nil
	})
	next := func() []MountpathLoss {
		t.Helper()
		select {
		case lost := <-calls:
			return lost
		case <-time.After(10 * time.Second):
			t.Fatal("nobody is asked")
			return nil
		}
	}
	if lost := next(); len(lost) != 2 || lost[0] != (MountpathLoss{"/a", "missing"}) || lost[1] != (MountpathLoss{"/b", "second"}) {
		t.Errorf("%+v", lost)
	}
	r.add(MountpathLoss{"/a", "again"})
	if lost := next(); len(lost) != 1 || lost[0].Reason != "again" {
		t.Errorf("%+v", lost)
	}
	cancel()
	<-ended

	r.add(MountpathLoss{"/a", "x"})
	fails := true
	r.use(func(context.Context, []MountpathLoss) error {
		if fails {
			return errors.New("a rebalance runs")
		}
		return nil
	})
	if r.pass(context.Background()) {
		t.Error("what could not be started is forgotten")
	}
	fails = false
	if !r.pass(context.Background()) || len(r.lost) != 0 {
		t.Errorf("%+v is left", r.lost)
	}
}
