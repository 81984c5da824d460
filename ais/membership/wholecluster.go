package membership

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// GiveUp decommissions the whole cluster: all other nodes, then this one,
// which is the primary. It returns when the others have been told; the error
// names those that run and could not be told. The nodes that ctx does not wait
// for are told all the same.
func (e *Engine) GiveUp(ctx context.Context, value *wire.MembershipMsg) error {
	id := meta.CommandID(ctx)
	if id == "" {
		id = meta.NewJobID()
	}
	_, err := e.o.Control.Commit(ctx, wire.ActDecommission, func(v *meta.View) ([]meta.Change, error) {
		if v.Operations.Find(id) != nil {
			return nil, nil
		}
		if op := v.Operations.Now(); op != nil && op.Action == wire.ActDecommission {
			id = op.ID
			return nil, nil
		}
		c := &Conditions{Now: e.o.Now(), Self: e.o.Self.String()}
		if err := CheckBusy(v, c, wire.ActDecommission); err != nil {
			return nil, err
		}
		r := &Request{Action: wire.ActDecommission, Value: *value}
		var nodes []string
		for _, node := range v.Smap.Nodes() {
			if !v.Smap.IsPrimary(node.ID) {
				nodes = append(nodes, node.ID)
			}
		}
		op := r.operation(id, append(nodes, e.o.Self.ID), c.Now)
		change, err := meta.NewChange(v, meta.KindOperations, &meta.OperationsPatch{Current: op})
		return []meta.Change{change}, err
	})
	if err != nil {
		return err
	}
	e.Notify()
	select {
	case <-e.toldAll(id):
		return nil
	case <-ctx.Done():
		return apierr.Unavailable(5*time.Second, "decommissioning the cluster goes on, not all nodes have answered in time")
	}
}

// toldAll returns a channel that is closed when all others have been told.
func (e *Engine) toldAll(id string) chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.givenUp == nil {
		e.givenUp = map[string]chan struct{}{}
	}
	if e.givenUp[id] == nil {
		e.givenUp[id] = make(chan struct{})
	}
	return e.givenUp[id]
}

// giveUpCluster tells all other nodes, then this one. Once it has begun it
// does not ask any more who is primary: those who could say are going.
func (e *Engine) giveUpCluster(ctx context.Context, v *meta.View, op *meta.Operation) time.Duration {
	failed := e.tellOthers(ctx, v, op)
	for node, err := range failed {
		e.o.Logger.Error("node could not be told that the cluster is decommissioned", "node", node, "err", err)
	}
	if told := e.toldAll(op.ID); ctx.Err() == nil {
		select {
		case <-told:
		default:
			close(told)
		}
	}
	if err := e.tell(ctx, e.o.Self, op); err != nil && ctx.Err() == nil {
		e.o.Logger.Error("decommission of this node", "err", err)
		return retryPause
	}
	<-ctx.Done() // the process ends
	return idlePause
}

// StopAll tells all other nodes to stop. The error names those that run and
// could not be told.
func (e *Engine) StopAll(ctx context.Context) error {
	v := e.o.Control.View()
	if v.Smap == nil {
		return nil
	}
	failed := e.tellOthers(ctx, v, &meta.Operation{ID: meta.NewJobID(), Action: wire.ActShutdown})
	if len(failed) == 0 {
		return nil
	}
	var list []string
	for node, err := range failed {
		list = append(list, node+": "+err.Error())
	}
	return apierr.New(http.StatusBadGateway, "", "the cluster stops, but could not tell %s", strings.Join(list, "; "))
}

// tellOthers tells all nodes but this one at a time, and again those that
// run and fail. It returns the errors by name.
func (e *Engine) tellOthers(ctx context.Context, v *meta.View, op *meta.Operation) map[string]error {
	ctx, cancel := context.WithTimeout(ctx, tellPatience)
	defer cancel()
	var (
		mu     sync.Mutex
		wg     sync.WaitGroup
		failed = map[string]error{}
	)
	for _, node := range v.Smap.Nodes() {
		if node.ID == e.o.Self.ID {
			continue
		}
		wg.Go(func() {
			for {
				err := e.o.Nodes.Tell(ctx, node, op)
				if err == nil || e.o.Control.IsDown(node.ID) {
					return
				}
				select {
				case <-time.After(retryPause):
				case <-ctx.Done():
					mu.Lock()
					failed[node.String()] = err
					mu.Unlock()
					return
				}
			}
		})
	}
	wg.Wait()
	return failed
}
