package node

import (
	"net"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/aistore-go/aistore/ais/node/fastpath"
	"github.com/aistore-go/aistore/ais/node/objreq"
)

// newLoop returns the loop in front of a public listener; h answers what the
// role does not answer itself.
func (n *Node) newLoop(listener *limitListener, h http.Handler) *fastpath.Server {
	return fastpath.New(listener, fastpath.Options{
		Handler:       h,
		Fail:          n.failEarly,
		Panicked:      n.loopPanicked,
		HeaderTimeout: n.limits.ReadHeaderTimeout,
		IdleTimeout:   n.limits.IdleTimeout,
		SendTimeout:   n.sendTimeout,
		Progress:      n.limits.progress(),
		ConnState:     func(conn net.Conn, state http.ConnState) { listener.connState(conn, state) },
		Logger:        n.logger,
	})
}

// SetFast has a role answer simple requests of clients itself, without
// net/http. It is asked once the node serves; see fastpath.Fast.
func (n *Node) SetFast(f fastpath.Fast) {
	for _, s := range n.servers {
		if s.loop != nil {
			s.loop.SetFast(gatedFast{n, f})
		}
	}
}

// gatedFast lets simple requests through only while all is well; else they
// take the way of all others, which waits, catches up or says why not.
type gatedFast struct {
	n    *Node
	role fastpath.Fast
}

// ServeFast implements fastpath.Fast.
func (g gatedFast) ServeFast(c *fastpath.Conn, r *fastpath.Request) fastpath.Outcome {
	if !g.n.Joined() || g.n.Control().Stale() {
		return fastpath.Slow
	}
	return g.role.ServeFast(c, r)
}

// failEarly answers with an error instead of a handler.
func (n *Node) failEarly(w http.ResponseWriter, r *http.Request, err error) {
	objreq.Early(w, r)
	n.failDirect(w, r, err)
}

func (n *Node) loopPanicked(cause any) {
	n.logger.Error("panic in the loop of a connection", "panic", cause, "stack", string(debug.Stack()))
}

// sendTimeout is how long a client may leave an answer unread.
func (n *Node) sendTimeout() time.Duration {
	if n.limits.SendTimeout > 0 {
		return n.limits.SendTimeout
	}
	return n.Config().Timeout.SendFile.D()
}
