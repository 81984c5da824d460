package proxy

import (
	"context"
	"errors"
	"fmt"

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

	host  *startup.Host
	log   *logging.Log
	state *statefile.File

	stopStats func()
}

// Run starts a gateway and runs it until the context ends, then stops it in
// order. The error is one line for an operator.
func Run(ctx context.Context, o startup.Options) error {
	settings, err := startup.Load(o)
	if err != nil {
		return err
	}
	running, err := Start(settings)
	if err != nil {
		return err
	}
	err = running.host.Wait(ctx, running.Agent.Fatal())
	return errors.Join(err, running.Stop())
}

// Start makes a gateway of its parts and returns when it answers; it may not
// belong to a cluster yet.
func Start(s *startup.Settings) (_ *Running, err error) {
	p := &Running{}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close())
		}
	}()
	// First of all, what only one process may have: one that comes too late
	// must not touch the log of the running one.
	if p.state, err = statefile.Open(s.Local.ConfDir); err != nil {
		return nil, err
	}
	if p.log, err = s.OpenLog(); err != nil {
		return nil, err
	}
	id, err := s.ProxyID()
	if err != nil {
		return nil, err
	}
	registry := metrics.New(meta.RoleProxy, id)
	if p.Node, err = node.New(node.Options{
		Role: meta.RoleProxy, ID: id, Local: s.Local, Cluster: s.Cluster, Override: s.Override, Env: s.Env,
		Log: p.log, Metrics: registry, Version: s.Build,
	}); err != nil {
		return nil, err
	}
	p.host = startup.Listen(p.Node)
	seeds, mayFound := s.Seeds(p.Node.Snode())
	p.Agent, err = metasync.New(metasync.Options{
		Self: p.Node.Snode(), Network: p.Node.RPC().Network(), Storage: p.state, Logger: p.log.Logger("cluster"),
		InitialConfig: s.Cluster, Seeds: seeds, MayFound: mayFound, OnKeepalive: registry.Keepalive,
	})
	if err != nil {
		return nil, err
	}
	p.Agent.OnApply(func(before, after *meta.View) error {
		if after.Config != nil && after.Config != before.Config {
			if err := s.Reconfigure(after.Config.Cluster, p.log, registry); err != nil {
				return fmt.Errorf("cluster configuration v%d: %w", after.Config.Version, err)
			}
		}
		return nil
	})
	p.Node.SetControl(p.Agent)
	New(p.Node, p.Agent, p.log.Logger("ais")).Register()
	p.Agent.Start(context.Background())
	p.stopStats = s.LogStats(p.log, registry)
	p.Node.MarkStarted()
	return p, nil
}

// Stop leaves the cluster, ends requests in flight, and closes everything.
func (p *Running) Stop() error {
	err := p.host.Stop(p.Agent.Stop)
	p.host = nil
	return errors.Join(err, p.close())
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
