package proxy

import (
	"context"
	"errors"

	"github.com/aistore-go/aistore/ais/metasync"
	"github.com/aistore-go/aistore/ais/node"
	"github.com/aistore-go/aistore/ais/node/startup"
	"github.com/aistore-go/aistore/ais/node/statefile"
	"github.com/aistore-go/aistore/cmn/logging"
	"github.com/aistore-go/aistore/cmn/metrics"
	"github.com/aistore-go/aistore/core/meta"
)

// Running is a gateway that was started.
type Running struct {
	Node  *node.Node
	Agent *metasync.Agent

	Role *Proxy

	settings *startup.Settings
	host     *startup.Host
	log      *logging.Log
	state    *startup.State

	stopStats      func()
	stopMembership func()
}

// Run starts a gateway and runs it until the context ends, then stops it in
// order. The error is one line for an operator.
func Run(ctx context.Context, o startup.Options) error { return startup.Run(ctx, o, Start) }

// Start makes a gateway of its parts and returns when it answers; it may not
// belong to a cluster yet.
func Start(s *startup.Settings) (_ *Running, err error) {
	p := &Running{settings: s}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close())
		}
	}()
	// First of all, what only one process may have: one that comes too late
	// must not touch the log of the running one.
	if p.state, err = s.OpenState(checkState); err != nil {
		return nil, err
	}
	s.UseStored(metasync.StoredConfig(p.state))
	if p.log, err = s.OpenLog(); err != nil {
		return nil, err
	}
	id, keepID, err := s.ProxyID(p.state.NodeID)
	if err != nil {
		return nil, err
	}
	keyring, err := s.Keyring(id, p.log.Logger("cluster"))
	if err != nil {
		return nil, err
	}
	registry := metrics.New(meta.RoleProxy, id)
	s.Measure(registry)
	if p.Node, err = node.New(node.Options{
		Role: meta.RoleProxy, ID: id, Local: s.Local, Cluster: s.Cluster, Live: s.Live, Env: s.Env,
		Log: p.log, Metrics: registry, Version: s.Build, Trust: keyring,
	}); err != nil {
		return nil, err
	}
	p.host = startup.Listen(p.Node)
	seeds, mayFound := s.Seeds(p.Node.Snode())
	p.Agent, err = metasync.New(metasync.Options{
		Self: p.Node.Snode(), Network: p.Node.RPC().Network(), Storage: p.state, Logger: p.log.Logger("cluster"),
		InitialConfig: s.FirstConfig(p.Node.Snode()), Seeds: seeds, MayFound: mayFound, OnKeepalive: registry.Keepalive,
		Trust: keyring, Signer: keyring.Signer(),
		Timeouts: metasync.TimesOf(s.Config(), meta.RoleProxy),
		Origin:   metasync.Origin{Lost: p.state.Lost},
	})
	if err != nil {
		return nil, err
	}
	if err := keepID(); err != nil {
		return nil, err
	}
	p.Agent.OnApply(func(before, after *meta.View) error {
		if after.Config != nil && after.Config != before.Config {
			s.Reconfigure(after.Config.Cluster)
		}
		p.Node.Applied(after)
		p.Role.membership.Notify()
		p.Role.rebalances.notify()
		if after.Smap != before.Smap {
			p.Role.jobs.Notify()
		}
		return nil
	})
	p.Node.SetControl(p.Agent)
	p.Role = New(p.Node, p.Agent, p.log.Logger("ais"))
	p.Role.Register()
	p.registerLifecycle()
	p.Agent.Start(context.Background())
	p.stopMembership = p.Role.RunMembership()
	p.stopStats = s.LogStats(p.log, registry)
	p.Node.MarkStarted()
	return p, nil
}

// checkState tells whose a state file is, and whether it can be relied on.
func checkState(f *statefile.File) (nodeID string, err error) { return metasync.CheckStored(f) }

// Wait returns when the node is to stop; the error is why it cannot go on.
func (p *Running) Wait(ctx context.Context) error { return p.host.Wait(ctx, p.Agent.Fatal()) }

// Stop leaves the cluster, ends requests in flight, and closes everything.
func (p *Running) Stop() error {
	p.stopMembership()
	err := p.host.Stop(p.Agent.Stop)
	p.host = nil
	return errors.Join(err, p.close(), p.removeState())
}

// close gives back what was opened, in the opposite order.
func (p *Running) close() error {
	var errs []error
	if p.host != nil {
		errs = append(errs, p.host.Stop(nil))
	}
	if p.stopStats != nil {
		p.stopStats()
	}
	if p.state != nil {
		errs = append(errs, p.state.Close())
	}
	if p.log != nil {
		errs = append(errs, p.log.Close())
	}
	return errors.Join(errs...)
}
