package membership

import (
	"context"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// probePause is the pause between two probes of a node.
const probePause = 250 * time.Millisecond

// askWidth is how many nodes are asked at a time.
const askWidth = 16

// ask finds out what only nodes can tell before an operation begins. It
// fails where the operation would end badly.
func (e *Engine) ask(ctx context.Context, r *Request, c *Conditions) error {
	v := e.o.Control.View()
	if v.Smap == nil {
		return nil // Commit says why
	}
	op, err := Admit(v, r, c, "preflight")
	if err != nil || op == nil {
		return err
	}
	switch {
	case op.Action == wire.ActStopMaintenance:
		return e.probe(ctx, v, op, r.probe)
	case op.SkipRebalance || op.Force || v.BMD.Len() == 0:
		return nil
	case op.Rebalance > 0:
		return e.checkSpace(ctx, v, op)
	case verifies(op):
		return e.checkLeft(ctx, v, op, c)
	}
	return nil
}

// probe waits until all nodes of an operation serve.
func (e *Engine) probe(ctx context.Context, v *meta.View, op *meta.Operation, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	var group errgroup.Group
	group.SetLimit(askWidth)
	for _, id := range op.Nodes {
		node := v.Smap.Node(id)
		group.Go(func() error {
			for {
				err := e.o.Nodes.Serves(ctx, node)
				if err == nil {
					return nil
				}
				select {
				case <-time.After(probePause):
				case <-ctx.Done():
					if apierr.StatusOf(err) == http.StatusServiceUnavailable {
						return apierr.BadRequest("cannot %s: %s is unreachable: it is still starting, or stopping, after %v: %v", op.Action, node, within, err)
					}
					return apierr.BadRequest("cannot %s: %s is unreachable: it has not answered within %v: %v", op.Action, node, within, err)
				}
			}
		})
	}
	return group.Wait()
}

// checkLeft notes whether targets that are out of service, and are to leave for
// good, hold data; it fails if nothing would move that.
func (e *Engine) checkLeft(ctx context.Context, v *meta.View, op *meta.Operation, c *Conditions) error {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	const hint = `add "skip_rebalance", "rm_user_data" or "force" to lose it`
	for _, id := range op.Nodes {
		node := v.Smap.Tmap[id]
		if node == nil {
			continue
		}
		held, err := e.o.Nodes.Held(ctx, node)
		switch {
		case err != nil:
			return apierr.Wrap(err, http.StatusBadRequest, "", "cannot %s %s: it does not say whether its data has left (%s)", op.Action, node, hint)
		case held.Objects > 0 && !node.Active() && v.Smap.CountTargets() > 0 && c.CanMove && v.Config.Rebalance.Enabled:
			c.Holds = true
		case held.Objects > 0 && !node.Active() && v.Smap.CountTargets() > 0:
			return apierr.BadRequest("cannot %s: %v, and nothing moves that: rebalance is disabled (%s)", op.Action, errHolds(node, &held), hint)
		case held.Objects > 0:
			return apierr.BadRequest("cannot %s: %v, and there is no other target (%s)", op.Action, errHolds(node, &held), hint)
		}
	}
	return nil
}

// checkSpace fails with 507 if what leaves does not fit on the others.
func (e *Engine) checkSpace(ctx context.Context, v *meta.View, op *meta.Operation) error {
	if op.Action == wire.ActStopMaintenance {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	leaving := map[string]bool{}
	for _, node := range activeTargets(v, op) {
		leaving[node.ID] = true
	}
	var need, room uint64
	counted := map[string]bool{}
	for _, node := range v.Smap.ActiveTargets() {
		if leaving[node.ID] {
			held, err := e.o.Nodes.Held(ctx, node)
			if err != nil {
				return apierr.Wrap(err, http.StatusServiceUnavailable, "", "cannot %s: %s does not say what it holds", op.Action, node)
			}
			size := uint64(max(0, held.Bytes))
			if held.More { // too many to count: at most what its disks hold
				space, err := e.o.Nodes.Space(ctx, node)
				if err != nil {
					return apierr.Wrap(err, http.StatusServiceUnavailable, "", "cannot %s: %s does not say what it holds", op.Action, node)
				}
				for _, fsys := range space {
					size = max(size, fsys.Used)
				}
			}
			need += size
			continue
		}
		space, err := e.o.Nodes.Space(ctx, node)
		if err != nil {
			return apierr.Wrap(err, http.StatusServiceUnavailable, "", "cannot %s: %s does not say how much space it has", op.Action, node)
		}
		for id, fsys := range space {
			if !counted[id] {
				counted[id] = true
				room += usable(fsys, v.Config.Space.OutOfSpace)
			}
		}
	}
	if need > room {
		return apierr.New(http.StatusInsufficientStorage, wire.CodeCapExceeded,
			`cannot %s: %d bytes have to move, the remaining targets have room for %d (add "skip_rebalance" or "force" to do it all the same)`,
			op.Action, need, room)
	}
	return nil
}

// usable is what may still be written to a filesystem: it is out of space at
// a percentage of its size.
func usable(fsys FilesystemSpace, outOfSpace int64) uint64 {
	total := fsys.Used + fsys.Avail
	limit := total / 100 * uint64(max(0, min(outOfSpace, 100)))
	if fsys.Used >= limit {
		return 0
	}
	return min(limit-fsys.Used, fsys.Avail)
}
