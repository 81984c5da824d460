package target

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/aistore-go/aistore/ais/metasync"
	"github.com/aistore-go/aistore/ais/node"
	"github.com/aistore-go/aistore/ais/node/startup"
	"github.com/aistore-go/aistore/ais/node/statefile"
	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/cmn/feature"
	"github.com/aistore-go/aistore/cmn/logging"
	"github.com/aistore-go/aistore/cmn/metrics"
	"github.com/aistore-go/aistore/cmn/sysinfo"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/memsys"
	"github.com/aistore-go/aistore/mirror"
	"github.com/aistore-go/aistore/transport"
)

const (
	// applyTime bounds the making and removing of bucket directories that
	// one change of metadata asks for.
	applyTime = 30 * time.Second
	// closeTime bounds the writing of access times at the end.
	closeTime = 5 * time.Second
	// mendEvery is how often the directories of buckets are looked for.
	mendEvery = 5 * time.Second
	// drainTime bounds the last word to the primary, after all requests ended.
	drainTime = time.Second
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
	state    *startup.State
	metrics  *metrics.Registry
	counted  atomic.Pointer[metrics.Registry] // metrics, for the events of disks
	told     atomic.Pointer[Target]           // role, for the same
	guard    *Guard
	role     *Target
	streams  *transport.Endpoint
	repeated []func() // stop what is done at intervals
}

// Run starts a target and runs it until the context ends, then stops it in
// order. The error is one line for an operator.
func Run(ctx context.Context, o startup.Options) error { return startup.Run(ctx, o, Start) }

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
	if t.state, err = s.OpenState(checkState); err != nil {
		return nil, err
	}
	s.UseStored(metasync.StoredConfig(t.state))
	if t.log, err = s.OpenLog(); err != nil {
		return nil, err
	}
	if err := t.openDisks(); err != nil {
		return nil, err
	}
	id := t.disks.NodeID()
	keyring, err := s.Keyring(id, t.log.Logger("cluster"))
	if err != nil {
		return nil, err
	}
	t.metrics = metrics.New(meta.RoleTarget, id)
	t.counted.Store(t.metrics)
	s.Measure(t.metrics)
	if t.Node, err = node.New(node.Options{
		Role: meta.RoleTarget, ID: id, Local: s.Local, Cluster: s.Cluster, Live: s.Live, Env: s.Env,
		Log: t.log, Metrics: t.metrics, Version: s.Build, Trust: keyring,
	}); err != nil {
		return nil, err
	}
	disks := newDiskStatus(t.disks, t.metrics)
	t.Node.SetStatusSource(disks)
	t.host = startup.Listen(t.Node)
	seeds, _ := s.Seeds(t.Node.Snode())
	self := t.Node.Snode().Clone()
	capacity := t.disks.Capacity()
	self.Capacity = max(1, (capacity.Used+capacity.Avail)>>30) // GiB; counts where the cluster weighs its targets
	t.Agent, err = metasync.New(metasync.Options{
		Self: self, Network: t.Node.RPC().Network(), Storage: t.state, Logger: t.log.Logger("cluster"),
		InitialConfig: s.Cluster, Seeds: seeds, OnKeepalive: t.metrics.Keepalive,
		Trust: keyring, Signer: keyring.Signer(),
		Timeouts: metasync.TimesOf(s.Config(), meta.RoleTarget),
		Origin:   t.origin(),
	})
	if err != nil {
		return nil, err
	}

	memory := memsys.New(keptMemory)
	t.guard = NewGuard(t.Node.Name(), id, t.Agent)
	copies := &mirror.Copies{}
	t.Store = core.NewStore(core.Options{
		Ports:       core.Ports{Copies: copies},
		SpreadReads: func() bool { return s.Config().Features.Has(feature.LoadBalanceGET) },
		FS:          t.disks, NodeID: id, Memory: memory, Logger: t.log.Logger("ios"),
		OnDamage: func(core.Damage) { disks.foundDamage() },
		Guard:    t.guard, Epoch: t.guard.Epoch,
		MetadataCache: metadataCache(),
		MetadataAge:   func() time.Duration { return s.Config().Timeout.ObjectMD.D() },
	})
	copies.Use(t.Store)
	pressure := watchMemory(s.Config(), memory, t.log.Logger(logging.ModuleMemsys), t.Store.DropRecords)
	disks.count = t.Store.DamagedCount
	disks.conf = func() *config.DiskConf { return &s.Config().Disk }
	disks.walks = func() int64 { return walked(t.Store) }
	disks.pending = func() (int64, time.Duration) { return waitingCopies(t.Store) }
	disks.countQuarantine()
	t.streams = NewStreams(t.Node, t.Agent, memory, t.log.Logger(logging.ModuleTransport))
	t.role = New(Options{
		Node: t.Node, Control: t.Agent, Store: t.Store, FS: t.disks, Memory: memory, Streams: t.streams, Logger: t.log.Logger("ais"),
		Guard: t.guard, Roots: t.promoteRoots,
	})
	t.told.Store(t.role)
	t.Agent.OnApply(t.apply)
	t.Node.SetControl(t.Agent)
	t.role.Register()
	t.registerLifecycle()
	if s.Standby {
		t.Agent.StandBy()
	}
	t.Agent.Start(context.Background())
	t.role.load.slow = disks.waits.slowest
	t.role.ProtectPending()
	disks.below = t.role.levels.forLong
	t.repeated = []func(){
		s.Every(func(c *config.Cluster) time.Duration { return disks.sampleEvery(&c.Disk) }, disks.sample),
		s.Every(func(c *config.Cluster) time.Duration { return c.Disk.IostatLong.D() }, disks.look),
		s.Every(func(c *config.Cluster) time.Duration { return c.Timeout.ObjectMD.D() / 4 }, t.Store.ExpireMetadata),
		s.Every(func(*config.Cluster) time.Duration { return appendSweep }, func() { t.Store.DropAppends(appendIdle) }),
		t.role.collectGarbage(s),
		s.Every(func(*config.Cluster) time.Duration { return mendEvery }, t.role.mendDirectories),
		s.LogStats(t.log, t.metrics),
		s.Every(func(*config.Cluster) time.Duration { return min(s.Config().Memsys.HousekeepTime.D(), memoryLook) }, func() { pressure.Look() }),
	}
	t.role.keepDisks()
	t.role.sweeps.Go(func() { t.role.jobEnv.Governor.Run(t.role.ctx) })
	t.Node.MarkStarted()
	return t, nil
}

// metadataCache is how many bytes the records of objects may take in memory:
// a 512th of what this process may use, within bounds.
func metadataCache() int64 {
	const least, most = 8 << 20, 512 << 20
	_, total := sysinfo.New().Memory()
	return int64(min(max(total/512, least), most))
}

// checkState tells whose a state file is, and whether it can be relied on.
func checkState(f *statefile.File) (nodeID string, err error) { return metasync.CheckStored(f) }

// origin is what the mountpaths and the state file say about the past.
func (t *Running) origin() metasync.Origin {
	o := metasync.Origin{Lost: t.state.Lost}
	var err error
	if o.UUID, o.Lineage, err = t.disks.ClusterIdentity(); err != nil {
		o.Conflict = err.Error()
	}
	return o
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
		System: heldDisks(), Mountpaths: paths, TestMode: testMode, NodeID: id, NewNodeID: s.NewID, ConfDir: s.Local.ConfDir, Logger: logger,
		Space: func() fs.Watermarks {
			space := &s.Config().Space
			return fs.Watermarks{Cleanup: space.CleanupWM, Low: space.LowWM, High: space.HighWM, OutOfSpace: space.OutOfSpace}
		},
		CapacityAge: func() (shortest, longest time.Duration) {
			c := s.Config()
			return c.Periodic.StatsTime.D(), c.LRU.CapacityUpdTime.D()
		},
		OnEvent: func(e fs.Event) { t.diskEvent(logger, e) },
		Health: func() fs.HealthPolicy {
			conf := s.Config().FSHC
			return fs.HealthPolicy{
				Enabled: conf.Enabled, CheckOptions: fs.CheckOptions{TestFiles: conf.TestFiles, ErrorLimit: conf.ErrorLimit},
				Errors: conf.IOErrLimit, Period: conf.IOErrTime.D(),
			}
		},
	})
	if err == nil && !testMode {
		warnSharedDisk(logger, s.Local.ConfDir, paths)
	}
	return err
}

// diskEvent writes down what a disk did, counts the checks, and passes it on.
func (t *Running) diskEvent(logger *slog.Logger, e fs.Event) {
	if role := t.told.Load(); role != nil { // else the node is still starting: see keepDisks
		role.diskEvent(e)
	}
	if e.Kind != fs.EventCheck {
		logger.Warn("disk event", "kind", e.Kind.String(), "mountpath", e.Mountpath, "message", e.Message, "err", e.Err)
		return
	}
	logger.Info("health check begins", "mountpath", e.Mountpath)
	if m := t.counted.Load(); m != nil { // else the node is still starting
		m.MountpathChecked()
	}
}

// warnSharedDisk tells of a state file that waits for the disks of objects.
func warnSharedDisk(logger *slog.Logger, dir string, mountpaths map[string]string) {
	shared, err := statefile.SharedWith(dir, slices.Sorted(maps.Keys(mountpaths)))
	if len(shared) > 0 {
		logger.Warn("the cluster state is on the filesystem of a mountpath: it waits for the disk behind object data", "confdir", dir, "mountpaths", shared)
	}
	if err != nil {
		logger.Warn("cannot tell whether the cluster state shares a filesystem with a mountpath", "err", err)
	}
}

// apply puts a change of the cluster's metadata into force on this node,
// before it is acknowledged.
func (t *Running) apply(before, after *meta.View) error {
	if after.UUID != "" && (after.UUID != before.UUID || after.Lineage != before.Lineage) {
		if err := t.belong(after.UUID, after.Lineage); err != nil {
			return err
		}
		// What the new history does not know is not removed: it may be all
		// that is left of it.
		before = &meta.View{}
	}
	ctx, cancel := context.WithTimeout(context.Background(), applyTime)
	defer cancel()
	if anew, err := t.role.SetAside(ctx, after); err != nil {
		return err
	} else if anew {
		before = &meta.View{}
	}
	if after.Config != nil && after.Config != before.Config {
		t.settings.Reconfigure(after.Config.Cluster)
	}
	t.Node.Applied(after)
	t.guard.Apply(after)
	t.role.Applied(before, after)
	if after.BMD == nil || after.BMD == before.BMD {
		return nil
	}
	exportBMD(t.disks, after.BMD)
	return t.Store.ApplyBMD(ctx, before.BMD, after.BMD)
}

// belong writes on the mountpaths to which cluster and lineage they belong.
// That it may be another one than before was decided when the node was
// admitted: else nothing of it is put into force.
func (t *Running) belong(uuid, lineage string) error {
	if old, _, err := t.disks.ClusterIdentity(); err != nil || old != "" && old != uuid {
		t.log.Logger("fs").Warn("the mountpaths change clusters by an operator's command", "from", old, "to", uuid, "err", err)
		if err := t.disks.ForgetCluster(); err != nil {
			return err
		}
	}
	return t.disks.SetClusterUUID(uuid, lineage)
}

// Wait returns when the node is to stop; the error is why it cannot go on.
func (t *Running) Wait(ctx context.Context) error { return t.host.Wait(ctx, t.Agent.Fatal()) }

// Stop leaves the cluster, ends requests in flight, and closes everything.
func (t *Running) Stop() error {
	t.Node.OnDrained(t.sayDrained)
	err := t.host.Stop(t.Agent.Leave)
	t.host = nil
	t.Agent.Kill()
	return errors.Join(err, t.close(), t.removeState())
}

// sayDrained tells the primary that this target does not write any more, once
// that is true. Without it the cluster waits for the end of the lease.
func (t *Running) sayDrained() {
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	if !t.guard.Close(ctx) {
		return
	}
	if err := t.Agent.Drained(ctx); err != nil {
		t.Node.Logger().Info("stopping without telling the primary that no write is under way", "err", err)
	}
}

// close gives back what was opened, in the opposite order.
func (t *Running) close() error {
	var errs []error
	if t.host != nil {
		errs = append(errs, t.host.Stop(nil))
	}
	if t.role != nil {
		t.role.Close()
	}
	if t.streams != nil { // after the jobs that send, before the store that receivers write into
		errs = append(errs, t.streams.Close())
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
