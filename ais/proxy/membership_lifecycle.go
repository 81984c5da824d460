package proxy

import (
	"context"

	"github.com/aistore-go/aistore/ais/node"
	"github.com/aistore-go/aistore/core/meta"
)

// registerLifecycle lets operators take this gateway out of the cluster and in.
func (p *Running) registerLifecycle() {
	p.Node.RegisterLifecycle(node.Lifecycle{
		Rest: p.Agent.Rest,
		Join: func(ctx context.Context, url string, flags uint64) error {
			return p.Agent.JoinAt(ctx, []string{url}, flags)
		},
		Decommission: func(_ context.Context, o node.DecommissionOptions) error {
			return p.settings.RemoveState(o.KeepInitialConfig)
		},
	})
	p.Agent.OnDecommissioned(func(op *meta.Operation) {
		err := p.Node.Decommission(context.Background(), node.DecommissionOptions{
			RemoveUserData: op.RemoveUserData, KeepInitialConfig: op.KeepInitialConfig, NoShutdown: op.NoShutdown,
		})
		if err != nil {
			p.Node.Logger().Error("decommission", "operation", op.ID, "err", err)
		}
	})
}

// removeState removes, at the very end, what was written after the node was
// decommissioned.
func (p *Running) removeState() error {
	o := p.Node.Decommissioned()
	if o == nil {
		return nil
	}
	return p.settings.RemoveState(o.KeepInitialConfig)
}
