package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/aistore-go/aistore/ais/jobs"
	"github.com/aistore-go/aistore/ais/node/fastpath"
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/cmn/logging"
	"github.com/aistore-go/aistore/cmn/metrics"
	"github.com/aistore-go/aistore/cmn/naming"
	"github.com/aistore-go/aistore/cmn/sysinfo"
	"github.com/aistore-go/aistore/cmn/trust"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/transport/rpc"
)

// BuildInfo is what the linker was told about this binary.
type BuildInfo struct {
	Build string // short revision, "" if unknown
	Time  string // "YYYY-MM-DD HH:MM:SS-ZZZZ"
}

// SeriesVersion is the version of the REST API that this node speaks.
const SeriesVersion = "5.0"

// Software is the version as clients see it: SeriesVersion with the build as
// a third component, which clients expect to be there.
func (b BuildInfo) Software() string {
	if b.Build == "" {
		return SeriesVersion + ".0"
	}
	return SeriesVersion + "." + b.Build
}

// Options are the parts of a node that the role, or main, has made before it.
type Options struct {
	Role    string          // meta.RoleProxy or meta.RoleTarget
	ID      string          // the node's id, for life
	Local   *config.Local   // addresses
	Cluster *config.Cluster // in force until the cluster's own configuration arrives
	Live    *config.Live    // the same with this node's overrides, later the cluster's; nil: made of Cluster
	Env     config.Env
	Log     *logging.Log // may be nil: then Logger is used and there is no what=log
	Logger  *slog.Logger // nil: Log's
	Metrics *metrics.Registry
	Version BuildInfo
	Trust   *trust.Keyring // signs and verifies requests between nodes; nil in tests only

	// Limits holds bounds of the listeners; the zero value means the defaults.
	Limits Limits
}

// Limits bound what strangers can make a node hold.
type Limits struct {
	HeaderBytes       int           // of one request's header; default 64 KiB
	ReadHeaderTimeout time.Duration // default that of the environment
	IdleTimeout       time.Duration // of a connection between requests; default 90 s
	SendTimeout       time.Duration // without a byte of an answer going out; default timeout.send_file_time
	BodyBytes         int64         // that a request's body must bring in every BodyWithin; default 1 KiB
	BodyWithin        time.Duration // default 30 s; a body that is slower, or silent for so long, ends with 408
	Connections       int           // open at a time, each listener; default 8192
	ControlBody       int64         // of a control request; default 16 MiB
	ControlTimeout    time.Duration // of a control request with its way to the primary; default 20 s
	StartWait         time.Duration // how long a request waits for a starting node; default 1 s
	SmapWait          time.Duration // how long what=smap waits for the first map; default 8 s
}

// withDefaults fills in what is zero.
func (l Limits) withDefaults(env config.Env) Limits {
	if l.HeaderBytes == 0 {
		l.HeaderBytes = 64 << 10
	}
	if l.ReadHeaderTimeout == 0 {
		l.ReadHeaderTimeout = env.ReadHeaderTimeout
	}
	if l.IdleTimeout == 0 {
		l.IdleTimeout = 90 * time.Second
	}
	if l.BodyBytes == 0 {
		l.BodyBytes = 1 << 10
	}
	if l.BodyWithin == 0 {
		l.BodyWithin = 30 * time.Second
	}
	if l.Connections == 0 {
		l.Connections = 8192
	}
	if l.ControlBody == 0 {
		l.ControlBody = 16 << 20
	}
	if l.ControlTimeout == 0 {
		l.ControlTimeout = 20 * time.Second
	}
	if l.StartWait == 0 {
		l.StartWait = time.Second
	}
	if l.SmapWait == 0 {
		l.SmapWait = 8 * time.Second
	}
	return l
}

func (l *Limits) progress() fastpath.Progress {
	return fastpath.Progress{Bytes: l.BodyBytes, Within: l.BodyWithin}
}

// Node is one node's share that does not depend on its role.
type Node struct {
	role    string
	id      string
	name    string // "p[id]" or "t[id]"
	snode   *meta.Snode
	local   *config.Local
	env     config.Env
	limits  Limits
	log     *logging.Log
	logger  *slog.Logger
	metrics *metrics.Registry
	version BuildInfo
	rpc     *rpc.Client
	trust   *trust.Keyring
	tls     atomic.Pointer[tlsConfigs]
	sys     *sysinfo.Sampler

	initial *config.Cluster
	live    *config.Live
	exports exports
	gone    gone
	keeper  addressKeeper

	background background

	control atomic.Pointer[ControlPlane]
	jobs    atomic.Pointer[jobs.Engine]
	status  atomic.Pointer[StatusSource]
	clear   atomic.Pointer[func(context.Context, *wire.Bck) error]
	routes  atomic.Pointer[routeTables]
	actions actions

	lifecycle lifecycle
	fresh     freshener

	alerts  alerts
	remotes *remotes

	phase     atomic.Int32
	bornAt    time.Time
	startedAt atomic.Int64 // ns since bornAt, 0: not yet

	servers []*server
	served  chan struct{} // closed when Serve has returned
	drained func()        // see OnDrained
}

// Phases of a node's life.
const (
	phaseStarting int32 = iota
	phaseStarted
	phaseStopping
)

// New opens the node's listeners, so that its addresses are known, and
// returns the node; nothing is answered before Serve. The error names the
// address that could not be had.
func New(opts Options) (*Node, error) {
	if opts.Role != meta.RoleProxy && opts.Role != meta.RoleTarget {
		return nil, fmt.Errorf("role %q: expected %q or %q", opts.Role, meta.RoleProxy, meta.RoleTarget)
	}
	if err := naming.ValidateNodeID(opts.ID); err != nil {
		return nil, err
	}
	if opts.Local == nil || opts.Cluster == nil || opts.Metrics == nil {
		return nil, errors.New("node: local configuration, cluster configuration and metrics are required")
	}
	n := &Node{
		role: opts.Role, id: opts.ID, name: meta.NodeName(opts.Role, opts.ID),
		local: opts.Local, env: opts.Env, limits: opts.Limits.withDefaults(opts.Env),
		log: opts.Log, logger: opts.Logger, metrics: opts.Metrics, version: opts.Version,
		initial: opts.Cluster, live: opts.Live, trust: opts.Trust,
		bornAt: time.Now(), served: make(chan struct{}), sys: sysinfo.New(),
		remotes: newRemotes(opts.Cluster.Net.HTTP.SkipVerify),
	}
	if n.logger == nil {
		n.logger = slog.Default()
		if n.log != nil {
			n.logger = n.log.Logger("ais")
		}
	}
	if n.live == nil {
		n.live = config.NewLive(config.LiveOptions{Cluster: opts.Cluster})
	}
	if err := n.startTLS(&n.live.Config().Net.HTTP); err != nil {
		return nil, err
	}
	n.rpc = rpc.New(rpc.Options{
		NodeID: n.id, NodeName: n.name, TLS: n.tls.Load().client, Trust: opts.Trust, Logger: n.logger,
		IdleTimeout: n.live.Config().Net.HTTP.IdleConnTime.D(), IdlePerHost: n.live.Config().Net.HTTP.IdleConnsPerHost,
	})
	if err := n.listen(); err != nil {
		n.closeListeners()
		n.rpc.Close()
		return nil, err
	}
	n.registerOwnRoutes()
	return n, nil
}

// ID returns the node's id.
func (n *Node) ID() string { return n.id }

// Role returns meta.RoleProxy or meta.RoleTarget.
func (n *Node) Role() string { return n.role }

// Name returns the node's name in messages: "p[id]" or "t[id]".
func (n *Node) Name() string { return n.name }

// Snode returns the node as it announces itself, with the addresses that the
// listeners have. The caller must not change it.
func (n *Node) Snode() *meta.Snode { return n.snode }

// Logger returns the node's logger.
func (n *Node) Logger() *slog.Logger { return n.logger }

// Metrics returns the node's metrics.
func (n *Node) Metrics() *metrics.Registry { return n.metrics }

// RPC returns the client for calls to other nodes.
func (n *Node) RPC() *rpc.Client { return n.rpc }

// Version returns the build information.
func (n *Node) Version() BuildInfo { return n.version }

// SetControl hands over the control plane; until then the node answers as one
// that is starting.
func (n *Node) SetControl(cp ControlPlane) { n.control.Store(&cp) }

// Control returns the control plane, nil before SetControl.
func (n *Node) Control() ControlPlane {
	if p := n.control.Load(); p != nil {
		return *p
	}
	return nil
}

// SetStatusSource hands over what a target knows of its disks.
func (n *Node) SetStatusSource(s StatusSource) { n.status.Store(&s) }

// OnClearMetadata hands over what drops the object metadata that a target has
// in memory: of one bucket, or with nil of all.
func (n *Node) OnClearMetadata(clear func(ctx context.Context, bck *wire.Bck) error) {
	n.clear.Store(&clear)
}

// View returns the cluster's documents as this node has them; never nil, and
// with a nil Smap before the node belongs to a cluster.
func (n *Node) View() *meta.View {
	if cp := n.Control(); cp != nil {
		return cp.View()
	}
	return &emptyView
}

// emptyView is never written to.
var emptyView meta.View

// MarkStarted ends the starting phase: all parts of the role are in place.
func (n *Node) MarkStarted() {
	if n.startedAt.CompareAndSwap(0, max(1, int64(time.Since(n.bornAt)))) {
		n.leaveMarker()
		n.background.run(n.watch)
	}
	n.phase.CompareAndSwap(phaseStarting, phaseStarted)
}

// Started tells that MarkStarted was called.
func (n *Node) Started() bool { return n.startedAt.Load() != 0 }

// Stopping tells that Shutdown was called.
func (n *Node) Stopping() bool { return n.phase.Load() == phaseStopping }

// Joined tells that the node serves: it was started, is a member of its
// cluster and is not fenced.
func (n *Node) Joined() bool {
	cp := n.Control()
	if cp == nil || !n.Started() || !cp.Joined() || cp.Fenced() != "" || cp.View().Smap == nil {
		return false
	}
	return true
}

// uptimes returns how long the node has been up, and how long ago its cluster
// was made, as the cluster map says; 0 before there is one.
func (n *Node) uptimes() (node, cluster time.Duration) {
	if at := n.startedAt.Load(); at != 0 {
		node = time.Since(n.bornAt) - time.Duration(at)
	}
	if smap := n.View().Smap; smap != nil {
		if created, err := time.Parse(time.DateTime, smap.Created); err == nil {
			cluster = max(1, time.Since(created)) // clocks differ
		}
	}
	return node, cluster
}

// Config returns the configuration in force: the cluster's, with this node's
// overrides. It is immutable.
func (n *Node) Config() *config.Cluster { return n.live.Config() }

// errNotPrimary is the 400 of a call that only the primary may answer.
func (n *Node) errNotPrimary(what string) *apierr.Error {
	return apierr.New(400, wire.CodeNotPrimary, "%s is not primary: %s", n.name, what)
}
