package proxy

import (
	"context"
	"net/http"
	"sync"

	"github.com/aistore-go/aistore/ais/jobs"
	"github.com/aistore-go/aistore/ais/membership"
	"github.com/aistore-go/aistore/ais/metasync"
	"github.com/aistore-go/aistore/ais/node"
	"github.com/aistore-go/aistore/cmn/wire"
)

// newMembership makes what carries out membership operations.
func (p *Proxy) newMembership() *membership.Engine {
	return membership.New(membership.Options{
		Self: p.node.Snode(), Control: p.control, Nodes: &nodes{p.node}, Logger: p.logger, Begin: metasync.BeginTransition,
	})
}

// Membership returns what carries out membership operations on this node.
func (p *Proxy) Membership() *membership.Engine { return p.membership }

// Jobs returns what starts and watches jobs on this node.
func (p *Proxy) Jobs() *jobs.Engine { return p.jobs }

// RunMembership carries out membership operations and watches jobs while this
// node is the primary, until stop is called.
func (p *Proxy) RunMembership() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { p.membership.Run(ctx) })
	running.Go(func() { p.jobs.Run(ctx) })
	running.Go(func() { p.rebalances.run(ctx) })
	running.Go(func() { p.endForgottenRenames(ctx) })
	return func() {
		cancel()
		running.Wait()
	}
}

// registerMembership puts the handlers of membership calls in place.
func (p *Proxy) registerMembership() {
	n := p.node
	for _, action := range []string{
		wire.ActStartMaintenance, wire.ActStopMaintenance, wire.ActShutdownNode, wire.ActDecommissionNode, wire.ActRemoveUnsafe,
	} {
		n.HandleClusterAction(action, true, p.changeMembership)
	}
	n.HandleClusterAction(wire.ActWeighTargets, true, p.weighTargets)
	n.HandleClusterAction(wire.ActDeclareLost, true, p.declareLost)
	n.HandleClusterAction(wire.ActShutdown, true, p.shutdownCluster)
	n.HandleClusterAction(wire.ActDecommission, true, p.decommissionCluster)
	n.HandleClusterItem(wire.ItemProxy, []string{http.MethodPut}, true, p.setPrimary)
	n.HandleClusterItem(wire.ItemJoinByAdmin, []string{http.MethodPost}, true, p.joinByAdmin)
	n.HandleClusterItem(wire.ItemDaemon, []string{http.MethodDelete}, true, p.removeItself)
}

// changeMembership takes nodes out of service, out of the cluster, or back.
// The answer is the id of the rebalance that has begun, or empty.
func (p *Proxy) changeMembership(w http.ResponseWriter, r *http.Request, msg *node.ActMsg) error {
	var value wire.MembershipMsg
	if err := node.DecodeValue(msg.Value, &value, "the value of action "+msg.Action); err != nil {
		return err
	}
	request, err := membership.NewRequest(msg.Action, &value)
	if err != nil {
		return err
	}
	rebalance, err := p.membership.Do(r.Context(), request)
	if err != nil {
		return err
	}
	if rebalance == "" {
		w.WriteHeader(http.StatusOK)
		return nil
	}
	return node.WriteText(w, r, rebalance)
}
