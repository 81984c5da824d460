package node

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/aistore-go/aistore/cmn/wire"
)

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
	if cp == nil || !cp.Stale() {
		return
	}
	n.fresh.mu.Lock()
	defer n.fresh.mu.Unlock()
	if !cp.Stale() || time.Now().Before(n.fresh.again) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, pullTime)
	defer cancel()
	if err := cp.Pull(ctx); err != nil {
		n.logger.Warn("the primary does not answer: serving what is known here", "err", err)
	}
	n.fresh.again = time.Now().Add(pullPause)
}

// MarkStale marks an answer that was made without asking a majority.
func MarkStale(w http.ResponseWriter) { w.Header()[wire.HeaderStale] = staleValue }

var staleValue = []string{"true"} // shared by all answers, and never changed
