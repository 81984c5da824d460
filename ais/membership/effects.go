package membership

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// effect does what Next wants done and notes how it went.
func (e *Engine) effect(ctx context.Context, v *meta.View, op *meta.Operation, d Decision) time.Duration {
	switch d.Effect {
	case Move:
		return e.move(ctx, op)
	case Verify:
		e.contact(ctx, v, op, d.Nodes, func(f *Facts) map[string]*Contact { return f.Left }, e.verify)
	case Tell:
		if op.Action == wire.ActDecommission {
			return e.giveUpCluster(ctx, v, op)
		}
		e.contact(ctx, v, op, d.Nodes, func(f *Facts) map[string]*Contact { return f.Told }, e.tell)
	}
	for _, id := range d.Nodes {
		if f := e.known(op.ID); !f.Told[id].done() && !f.Left[id].done() {
			return retryPause // do not hammer a node that does not answer
		}
	}
	return 0
}

func (c *Contact) done() bool { return c != nil && c.Done }

// contact calls all nodes at a time.
func (e *Engine) contact(ctx context.Context, v *meta.View, op *meta.Operation, ids []string,
	of func(*Facts) map[string]*Contact, call func(context.Context, *meta.Snode, *meta.Operation) error,
) {
	var wg sync.WaitGroup
	for _, id := range ids {
		node := v.Smap.Node(id)
		if node == nil {
			continue
		}
		since := e.o.Now()
		wg.Go(func() {
			err := call(ctx, node, op)
			e.learn(op.ID, func(f *Facts) {
				contacts := of(f)
				c := contacts[id]
				if c == nil {
					c = &Contact{Since: since}
					contacts[id] = c
				}
				c.Done, c.Down, c.Problem = err == nil, err != nil && e.o.Control.IsDown(id), ""
				if err != nil {
					c.Problem = err.Error()
				}
			})
			if err != nil && ctx.Err() == nil {
				e.o.Logger.Warn("membership operation: node", "operation", op.ID, "action", op.Action, "node", node.String(), "err", err)
			}
		})
	}
	wg.Wait()
}

func (e *Engine) tell(ctx context.Context, node *meta.Snode, op *meta.Operation) error {
	ctx, cancel := context.WithTimeout(ctx, tellTime)
	defer cancel()
	return e.o.Nodes.Tell(ctx, node, op)
}

// verify fails unless a target holds nothing any more.
func (e *Engine) verify(ctx context.Context, node *meta.Snode, _ *meta.Operation) error {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	held, err := e.o.Nodes.Held(ctx, node)
	switch {
	case err != nil:
		return fmt.Errorf("%s does not say whether its data has left: %w", node, err)
	case held.Objects > 0:
		return errHolds(node, &held)
	}
	return nil
}

func errHolds(node *meta.Snode, held *Held) error {
	atLeast := ""
	if held.More {
		atLeast = "at least "
	}
	return fmt.Errorf("%s still holds %s%d objects, %d bytes (%s)", node, atLeast, held.Objects, held.Bytes, held.Example)
}

// move starts the rebalance of an operation and looks how far it is.
func (e *Engine) move(ctx context.Context, op *meta.Operation) time.Duration {
	mover := e.theMover()
	if mover == nil {
		e.waitsFor(op, "something that moves data: this primary has nothing")
		return retryPause
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	if !e.known(op.ID).MoveBegun {
		if err := mover.Start(ctx, op.Rebalance, op); err != nil {
			e.o.Logger.Warn("rebalance not started", "operation", op.ID, "rebalance", meta.RebalanceID(op.Rebalance), "err", err)
			return retryPause
		}
		e.learn(op.ID, func(f *Facts) { f.MoveBegun = true })
		return 0
	}
	done, err := mover.State(ctx, op.Rebalance)
	if ctx.Err() != nil {
		return retryPause
	}
	e.learn(op.ID, func(f *Facts) {
		f.MoveEnded = done && err == nil
		if err != nil {
			f.MoveFailed = err.Error()
		}
	})
	if done || err != nil {
		return 0
	}
	return pollPause
}
