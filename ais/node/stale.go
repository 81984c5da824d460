package node

import (
	"context"
	"sync"
	"time"
)

// staleTeller is a control plane that knows when its view may be behind.
type staleTeller interface {
	// Stale tells that no primary has answered this node for some time: the
	// view is to be pulled before it is relied on.
	Stale() bool
}

const (
	// pullTime bounds the pull that a request waits for.
	pullTime = time.Second
	// pullPause is how long requests are answered from what is known after a
	// pull that failed: without a majority reads go on.
	pullPause = time.Second
)

// freshener pulls the view for requests that come to a node which was cut
// off, or stopped, for a while.
type freshener struct {
	mu    sync.Mutex
	again time.Time // no pull before
}

// freshen brings the view up to date if it may be behind. Requests at the
// same time share one pull.
func (n *Node) freshen(ctx context.Context) {
	cp := n.Control()
	st, ok := cp.(staleTeller)
	if !ok || !st.Stale() {
		return
	}
	n.fresh.mu.Lock()
	defer n.fresh.mu.Unlock()
	if !st.Stale() || time.Now().Before(n.fresh.again) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, pullTime)
	defer cancel()
	if err := cp.Pull(ctx); err != nil {
		n.logger.Warn("the primary does not answer: serving what is known here", "err", err)
	}
	n.fresh.again = time.Now().Add(pullPause)
}
