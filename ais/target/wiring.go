package target

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aistore-go/aistore/ais/metasync"
	"github.com/aistore-go/aistore/ais/node"
	"github.com/aistore-go/aistore/ais/node/startup"
	"github.com/aistore-go/aistore/ais/node/statefile"
	"github.com/aistore-go/aistore/cmn/logging"
	"github.com/aistore-go/aistore/cmn/metrics"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/memsys"
)

const (
	// applyTime bounds the making and removing of bucket directories that
	// one change of metadata asks for.
	applyTime = 30 * time.Second
	// closeTime bounds the writing of access times at the end.
	closeTime = 5 * time.Second
	// keptMemory is how many bytes of buffers are kept for the next requests.
	keptMemory = 64 << 20
)

// Running is a target that was started.
type Running struct {
	Node  *node.Node
	Agent *metasync.Agent
	Store *core.Store

	settings *startup.Settings
	host     *startup.Host
	log      *logging.Log
	disks    *fs.Manager
	state    *statefile.File
	metrics  *metrics.Registry
	repeated []func() // stop what is done at intervals
}

// Run starts a target and runs it until the context ends, then stops it in
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

// Start makes a target of its parts and returns when it answers; it may not
// belong to a cluster yet.
func Start(s *startup.Settings) (_ *Running, err error) {
	t := &Running{settings: s}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.close())
		}
	}()
	// First of all, what only one process may have: one that comes too late
	// must not touch the log of the running one.
	if t.state, err = statefile.Open(s.Local.ConfDir); err != nil {
		return nil, err
	}
	if t.log, err = s.OpenLog(); err != nil {
		return nil, err
	}
	if err := t.openDisks(); err != nil {
		return nil, err
	}
	id := t.disks.NodeID()
	t.metrics = metrics.New(meta.RoleTarget, id)
	if t.Node, err = node.New(node.Options{
		Role: meta.RoleTarget, ID: id, Local: s.Local, Cluster: s.Cluster, Override: s.Override, Env: s.Env,
		Log: t.log, Metrics: t.metrics, Version: s.Build,
	}); err != nil {
		return nil, err
	}
	disks := newDiskStatus(t.disks, t.metrics)
	t.Node.SetStatusSource(disks)
	t.host = startup.Listen(t.Node)
	seeds, _ := s.Seeds(t.Node.Snode())
	t.Agent, err = metasync.New(metasync.Options{
		Self: t.Node.Snode(), Network: t.Node.RPC().Network(), Storage: t.state, Logger: t.log.Logger("cluster"),
		InitialConfig: s.Cluster, Seeds: seeds, OnKeepalive: t.metrics.Keepalive,
	})
	if err != nil {
		return nil, err
	}

	memory := memsys.New(keptMemory)
	var role *Target // made of the store, which asks it before every commit
	t.Store = core.NewStore(core.Options{
		FS: t.disks, NodeID: id, Memory: memory, Logger: t.log.Logger("ios"),
		OnDamage:  func(core.Damage) { disks.damaged.Add(1) },
		MayCommit: func(key core.Key) error { return role.MayCommit(key) },
	})
	role = New(Options{
		Node: t.Node, Control: t.Agent, Store: t.Store, FS: t.disks, Memory: memory, Logger: t.log.Logger("ais"),
	})
	t.Agent.OnApply(t.apply)
	t.Node.SetControl(t.Agent)
	role.Register()
	t.Agent.Start(context.Background())
	t.repeated = []func(){
		startup.Every(func() time.Duration { return s.Config().Periodic.StatsTime.D() }, disks.sample),
		s.LogStats(t.log, t.metrics),
	}
	t.Node.MarkStarted()
	return t, nil
}

// openDisks takes the mountpaths into use and finds the node's id on them.
func (t *Running) openDisks() (err error) {
	s := t.settings
	id, err := s.ConfiguredID()
	if err != nil {
		return err
	}
	paths, testMode := s.Local.Mountpaths()
	logger := t.log.Logger("fs")
	t.disks, err = fs.Open(fs.Options{
		Mountpaths: paths, TestMode: testMode, NodeID: id, NewNodeID: s.NewID, ConfDir: s.Local.ConfDir, Logger: logger,
		Space: func() fs.Watermarks {
			space := &s.Config().Space
			return fs.Watermarks{Cleanup: space.CleanupWM, Low: space.LowWM, High: space.HighWM, OutOfSpace: space.OutOfSpace}
		},
		OnEvent: func(e fs.Event) {
			logger.Warn("disk event", "kind", e.Kind.String(), "mountpath", e.Mountpath, "message", e.Message, "err", e.Err)
		},
	})
	return err
}

// apply puts a change of the cluster's metadata into force on this node,
// before it is acknowledged.
func (t *Running) apply(before, after *meta.View) error {
	if after.UUID != "" && (after.UUID != before.UUID || after.Lineage != before.Lineage) {
		if err := t.disks.SetClusterUUID(after.UUID, after.Lineage); err != nil {
			return err
		}
	}
	if after.Config != nil && after.Config != before.Config {
		if err := t.settings.Reconfigure(after.Config.Cluster, t.log, t.metrics); err != nil {
			return fmt.Errorf("cluster configuration v%d: %w", after.Config.Version, err)
		}
	}
	if after.BMD == nil || after.BMD == before.BMD {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), applyTime)
	defer cancel()
	return t.Store.ApplyBMD(ctx, before.BMD, after.BMD)
}

// Stop leaves the cluster, ends requests in flight, and closes everything.
func (t *Running) Stop() error {
	err := t.host.Stop(t.Agent.Stop)
	t.host = nil
	return errors.Join(err, t.close())
}

// close gives back what was opened, in the opposite order.
func (t *Running) close() error {
	var errs []error
	if t.host != nil {
		errs = append(errs, t.host.Stop(nil))
	}
	if t.Store != nil {
		ctx, cancel := context.WithTimeout(context.Background(), closeTime)
		defer cancel()
		errs = append(errs, t.Store.Close(ctx))
	}
	for _, stop := range t.repeated {
		stop()
	}
	if t.state != nil {
		errs = append(errs, t.state.Close())
	}
	if t.disks != nil {
		errs = append(errs, t.disks.Close())
	}
	if t.log != nil {
		errs = append(errs, t.log.Close())
	}
	return errors.Join(errs...)
}
