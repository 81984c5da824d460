package startup

import (
	"context"
	"errors"
	"time"

	"github.com/aistore-go/aistore/ais/node"
)

// Bounds of an orderly stop: telling the primary, who may be gone itself, and
// all of it with the requests in flight.
const (
	leaveTime = 3 * time.Second
	stopTime  = 30 * time.Second
)

// Host runs a node's listeners from before the role's parts are made until
// after the last request.
type Host struct {
	Node *node.Node
	done chan struct{} // closed when the listeners have ended
	err  error         // of the listeners, valid after done
}

// Listen begins to answer; until the role has made its parts, the answer is
// that the node is starting.
func Listen(n *node.Node) *Host {
	h := &Host{Node: n, done: make(chan struct{})}
	go func() {
		defer close(h.done)
		h.err = n.Serve(context.Background())
	}()
	return h
}

// Wait returns when the context ends, the listeners end by themselves, or the
// node cannot go on; the error is that of the last.
func (h *Host) Wait(ctx context.Context, fatal <-chan error) error {
	select {
	case <-ctx.Done():
		return nil
	case <-h.done: // Stop has its error
		return nil
	case <-h.Node.ExitRequested():
		return nil
	case err := <-fatal:
		return err
	}
}

// Stop ends the node in order: it leaves the cluster, while its listeners
// still answer, so that the others look elsewhere at once; then requests in
// flight have the rest of the time to end.
func (h *Host) Stop(leave func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	if leave != nil {
		leaving, done := context.WithTimeout(ctx, leaveTime)
		if err := leave(leaving); err != nil {
			// A cluster that stops as a whole has nobody left to tell.
			h.Node.Logger().Warn("stopping without the primary's knowledge", "err", err)
		}
		done()
	}
	err := h.Node.Shutdown(ctx)
	<-h.done
	return errors.Join(err, h.err)
}

// Running is a node of either role that was started.
type Running interface {
	// Wait returns when the node is to stop; the error is why it cannot go on.
	Wait(ctx context.Context) error
	// Stop leaves the cluster, ends requests in flight, and closes everything.
	Stop() error
}

// Run starts a node and runs it until the context ends, then stops it in
// order. The error is one line for an operator.
func Run[R Running](ctx context.Context, o Options, start func(*Settings) (R, error)) error {
	settings, err := Load(o)
	if err != nil {
		return err
	}
	running, err := start(settings)
	if err != nil {
		return err
	}
	err = running.Wait(ctx)
	return errors.Join(err, running.Stop())
}
