package target

import (
	"context"
	"net/http"

	"github.com/aistore-go/aistore/ais/membership"
	"github.com/aistore-go/aistore/ais/node"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
)

// registerLifecycle lets operators take this target out of the cluster and in.
func (t *Running) registerLifecycle() {
	t.Node.RegisterLifecycle(node.Lifecycle{
		Rest: t.Agent.Rest,
		Join: func(ctx context.Context, url string, flags uint64) error {
			return t.Agent.JoinAt(ctx, []string{url}, flags)
		},
		Decommission: func(_ context.Context, o node.DecommissionOptions) error {
			if err := t.disks.Decommission(o.RemoveUserData); err != nil {
				return err
			}
			return t.settings.RemoveState(o.KeepInitialConfig)
		},
	})
	t.Agent.OnDecommissioned(func(op *meta.Operation) {
		err := t.Node.Decommission(context.Background(), node.DecommissionOptions{
			RemoveUserData: op.RemoveUserData, KeepInitialConfig: op.KeepInitialConfig, NoShutdown: op.NoShutdown,
		})
		if err != nil {
			t.Node.Logger().Error("decommission", "operation", op.ID, "err", err)
		}
	})
}

// removeState removes, at the very end, what was written after the node was
// decommissioned.
func (t *Running) removeState() error {
	o := t.Node.Decommissioned()
	if o == nil {
		return nil
	}
	return t.settings.RemoveState(o.KeepInitialConfig)
}

const (
	heldPage = 1000   // objects at a time
	heldMost = 100000 // objects, then counting ends
)

// held answers what this target holds of the objects of all buckets.
func (t *Target) held(w http.ResponseWriter, r *http.Request) error {
	answer := membership.Held{}
	// The files decide: what was removed by hand may still be listed.
	some := false
	for _, mp := range t.fs.Available().All() {
		holds, err := mp.HoldsObjects()
		if err != nil {
			return err
		}
		some = some || holds
	}
	if !some {
		return node.WriteJSON(w, r, &answer)
	}
	for _, bucket := range t.control.View().BMD.Buckets(nil) {
		after := ""
		for {
			entries, err := t.store.List(r.Context(), bucket.Bck, bucket.Props, core.ListOptions{After: after, Limit: heldPage, Props: core.ListSize})
			if err != nil {
				return err
			}
			for i := range entries {
				answer.Objects++
				answer.Bytes += entries[i].Attrs.Size
			}
			if len(entries) > 0 && answer.Example == "" {
				answer.Example = bucket.Bck.String() + "/" + entries[0].Name
			}
			if answer.Objects >= heldMost {
				answer.More = true
				return node.WriteJSON(w, r, &answer)
			}
			if len(entries) < heldPage {
				break
			}
			after = entries[len(entries)-1].Name
		}
	}
	return node.WriteJSON(w, r, &answer)
}
