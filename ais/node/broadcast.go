package node

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/transport/rpc"
)

// broadcastTime bounds one node's part of a broadcast.
const broadcastTime = 10 * time.Second

// Broadcast makes the same call to several nodes at a time; this node may be
// one of them. pathQuery begins with /v1/. A node that answers 404 has nothing
// to do; one that is out of service and does not answer is left out. All others
// are asked even if one fails, and the error names every one that did.
func (n *Node) Broadcast(ctx context.Context, nodes []*meta.Snode, method, pathQuery string, body []byte) error {
	var mu sync.Mutex
	failed := map[string]error{}
	var group errgroup.Group
	group.SetLimit(fanOutWidth)
	for _, sn := range nodes {
		group.Go(func() error {
			if err := n.tell(ctx, sn, method, pathQuery, body); err != nil && !apierr.IsNotFound(err) {
				mu.Lock()
				failed[sn.String()] = err
				mu.Unlock()
			}
			return nil
		})
	}
	_ = group.Wait() // the calls keep their errors in failed
	return n.broadcastError(pathQuery, failed, len(nodes))
}

// tell makes one call. A node that is out of service need not answer.
func (n *Node) tell(ctx context.Context, sn *meta.Snode, method, pathQuery string, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, patienceWith(n.isDown(sn), broadcastTime))
	defer cancel()
	_, _, err := n.rpc.Request(ctx, rpc.Control, method, sn.IntraControl.URL+pathQuery, wire.ContentJSON, body)
	var unreachable *rpc.UnreachableError
	if errors.As(err, &unreachable) && !sn.Active() {
		return nil
	}
	return err
}

// broadcastError makes one error of those of several nodes. Its status is the
// one that they agree on, or 503 if some did not answer.
func (n *Node) broadcastError(what string, failed map[string]error, of int) error {
	if len(failed) == 0 {
		return nil
	}
	status, code := 0, ""
	var texts []string
	for _, name := range slices.Sorted(maps.Keys(failed)) {
		err := failed[name]
		s, _ := statusOf(err)
		switch {
		case status == 0:
			status, code = s, apierr.CodeOf(err)
		case status != s:
			status, code = http.StatusServiceUnavailable, ""
		}
		texts = append(texts, name+": "+err.Error())
	}
	e := apierr.New(status, code, "%s: %s failed on %d of %d nodes: %s", n.name, what, len(failed), of, strings.Join(texts, "; "))
	if status == http.StatusServiceUnavailable {
		e.RetryAfter = time.Second
	}
	return e
}
