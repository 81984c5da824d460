package aistest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/aistore-go/aistore/ais/jobs"
	"github.com/aistore-go/aistore/ais/node"
	"github.com/aistore-go/aistore/ais/proxy"
	"github.com/aistore-go/aistore/ais/target"
	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/cmn/metrics"
	"github.com/aistore-go/aistore/cmn/trust"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/memsys"
	"github.com/aistore-go/aistore/mirror"
	"github.com/aistore-go/aistore/transport"
	"github.com/aistore-go/aistore/xact"
	"github.com/aistore-go/aistore/xact/promote"
)

// Options is what a cluster is made of; zero fields take their defaults.
type Options struct {
	Proxies    int  // default 1
	Targets    int  // default 1, negative: none
	Mountpaths int  // of each target, default 2
	Signed     bool // nodes sign what they ask each other, and verify it
	Config     func(*config.Cluster)
	Limits     node.Limits
	Logger     *slog.Logger      // default: nothing is logged
	System     fs.System         // of the targets' disks, default: the real one
	Space      fs.Watermarks     // default 100: the machine's own fill level must not matter
	Disks      func(*fs.Options) // changes the options of the targets' mountpaths; may be nil
	Jobs       []xact.Registration
	Promote    string // below which files may be promoted; "": nowhere
	// Moving: the primary does what follows from changes of the map, as a real one
	// does: rebalances, and operations on nodes.
	Moving bool
}

// Cluster is a running cluster. It ends with the test.
type Cluster struct {
	Metadata *Metadata
	Proxies  []*Node // the first is the primary
	Targets  []*Node
}

// Node is one node of a cluster.
type Node struct {
	*node.Node
	Store   *core.Store         // of a target
	Streams *transport.Endpoint // of a target
	Disks   *fs.Manager         // of a target
	Paths   []string            // mountpaths of a target
	Jobs    *jobs.Engine        // of a proxy

	ending
	start   func(testing.TB) // of a target: see Restart
	control *member
	guard   *hookedGuard // of a target
}

// URL is the node's public address.
func (n *Node) URL() string { return n.Snode().Public.URL }

// New starts a cluster and waits until it serves.
func New(tb testing.TB, o Options) *Cluster {
	tb.Helper()
	conf := config.DefaultCluster()
	if o.Space == (fs.Watermarks{}) { // jobs look at these as well
		conf.Space.CleanupWM, conf.Space.LowWM, conf.Space.HighWM, conf.Space.OutOfSpace = 97, 98, 99, 100
	}
	o = o.withDefaults()
	if o.Config != nil {
		o.Config(conf)
	}
	c := &Cluster{Metadata: newMetadata()}
	for i := range o.Proxies {
		c.Proxies = append(c.Proxies, startProxy(tb, c.Metadata, &o, conf, fmt.Sprintf("proxy-%03d", i+1)))
	}
	for i := range o.Targets {
		c.Targets = append(c.Targets, startTarget(tb, c.Metadata, &o, conf, fmt.Sprintf("target-%03d", i+1)))
	}
	c.found(tb, conf)
	return c
}

func (o Options) withDefaults() Options {
	for _, field := range []struct {
		value     *int
		byDefault int
	}{{&o.Proxies, 1}, {&o.Targets, 1}, {&o.Mountpaths, 2}} {
		if *field.value == 0 {
			*field.value = field.byDefault
		}
	}
	o.Targets = max(0, o.Targets)
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	if o.Space == (fs.Watermarks{}) {
		o.Space = fs.Watermarks{Cleanup: 100, Low: 100, High: 100, OutOfSpace: 100}
	}
	return o
}

// found makes the first documents, with all nodes in the map.
func (c *Cluster) found(tb testing.TB, conf *config.Cluster) {
	tb.Helper()
	patch := &meta.SmapPatch{UUID: meta.NewClusterUUID(), Lineage: meta.NewLineage(), Created: time.Now().UTC().Format(meta.TimeLayout)}
	for _, n := range append(append([]*Node{}, c.Proxies...), c.Targets...) {
		patch.Put = append(patch.Put, n.Snode())
	}
	patch.Primary = c.Proxies[0].ID()
	_, err := c.Metadata.Change("found", func(v *meta.View) ([]meta.Change, error) {
		var changes []meta.Change
		for _, doc := range []struct {
			kind  string
			patch any
		}{
			{meta.KindSmap, patch}, {meta.KindBMD, &meta.BMDPatch{}}, {meta.KindConfig, conf},
			{meta.KindPlacement, &meta.PlacementPatch{Targets: meta.NextTargets(nil, patch)}},
		} {
			change, err := meta.NewChange(v, doc.kind, doc.patch)
			if err != nil {
				return nil, err
			}
			changes = append(changes, change)
		}
		return changes, nil
	})
	if err != nil {
		tb.Fatal(err)
	}
}

// ChangeSmap commits a new cluster map, one version on, and the placement that
// goes with it.
func (c *Cluster) ChangeSmap(tb testing.TB, patch *meta.SmapPatch) {
	tb.Helper()
	_, err := c.Metadata.Change("test", func(v *meta.View) ([]meta.Change, error) {
		change, err := meta.NewChange(v, meta.KindSmap, patch)
		changes := []meta.Change{change}
		if err == nil && meta.MovesOwnership(v.Smap, patch) {
			change, err = meta.NewChange(v, meta.KindPlacement, &meta.PlacementPatch{Targets: meta.NextTargets(v.Smap, patch)})
			changes = append(changes, change)
		}
		return changes, err
	})
	if err != nil {
		tb.Fatal(err)
	}
}

// Change commits a change of one document.
func (c *Cluster) Change(tb testing.TB, kind string, patch any) {
	tb.Helper()
	_, err := c.Metadata.Change("test", func(v *meta.View) ([]meta.Change, error) {
		change, err := meta.NewChange(v, kind, patch)
		return []meta.Change{change}, err
	})
	if err != nil {
		tb.Fatal(err)
	}
}

// Settle tells all nodes that every object is where the present map has it.
func (c *Cluster) Settle(tb testing.TB) {
	tb.Helper()
	_, err := c.Metadata.Change("settle", func(v *meta.View) ([]meta.Change, error) {
		change, err := meta.NewChange(v, meta.KindPlacement, &meta.PlacementPatch{Targets: meta.NextTargets(v.Smap, &meta.SmapPatch{}), Settle: true})
		return []meta.Change{change}, err
	})
	if err != nil {
		tb.Fatal(err)
	}
}

func startProxy(tb testing.TB, all *Metadata, o *Options, conf *config.Cluster, id string) *Node {
	tb.Helper()
	n := &Node{}
	tb.Cleanup(func() { n.end(tb) })
	n.serve(tb, o, conf, meta.RoleProxy, id)
	n.control = all.join(all.member(id), nil)
	n.SetControl(n.control)
	role := proxy.New(n.Node, n.control, o.Logger)
	role.Register()
	if n.Jobs = role.Jobs(); o.Moving {
		tb.Cleanup(role.RunMembership())
	} else {
		n.runJobs(tb)
	}
	n.MarkStarted()
	return n
}

// runJobs watches jobs until the test ends, while the node is the primary.
func (n *Node) runJobs(tb testing.TB) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { n.Jobs.Run(ctx) })
	tb.Cleanup(func() {
		cancel()
		running.Wait()
	})
}

func startTarget(tb testing.TB, all *Metadata, o *Options, conf *config.Cluster, id string) *Node {
	tb.Helper()
	root := tb.TempDir()
	n := &Node{}
	for i := range o.Mountpaths {
		n.Paths = append(n.Paths, filepath.Join(root, fmt.Sprintf("mp%d", i+1)))
	}
	n.start = func(tb testing.TB) { n.startTarget(tb, all, o, conf, id, root) }
	tb.Cleanup(func() { n.end(tb) })
	n.start(tb)
	return n
}

// startTarget starts the target with an id whose mountpaths and other files lie below root.
func (n *Node) startTarget(tb testing.TB, all *Metadata, o *Options, conf *config.Cluster, id, root string) {
	tb.Helper()
	paths := map[string]string{}
	for _, path := range n.Paths {
		paths[path] = ""
	}
	space := o.Space
	opts := fs.Options{
		System: o.System, Mountpaths: paths, TestMode: true, NodeID: id, ConfDir: root, Logger: o.Logger, Space: func() fs.Watermarks { return space },
	}
	if o.Disks != nil {
		o.Disks(&opts)
	}
	disks, err := fs.Open(opts)
	if err != nil {
		tb.Fatal(err)
	}
	n.then(disks.Close)
	n.serve(tb, o, conf, meta.RoleTarget, id)
	n.Disks = disks
	memory := memsys.New(0)
	control := all.member(id)
	guard := &hookedGuard{Guard: target.NewGuard(n.Name(), id, control)}
	n.guard = guard
	copies := &mirror.Copies{}
	n.Store = core.NewStore(core.Options{
		FS: disks, NodeID: id, Memory: memory, Logger: o.Logger, Guard: guard, Epoch: guard.Epoch,
		Ports: core.Ports{Copies: copies},
	})
	copies.Use(n.Store)
	n.then(func() error { return n.Store.Close(context.Background()) })
	var role *target.Target
	n.control = all.join(control, func(before, after *meta.View) error {
		if anew, err := role.SetAside(context.Background(), after); err != nil {
			return err
		} else if anew {
			before = &meta.View{}
		}
		guard.Apply(after)
		role.Applied(before, after)
		return n.Store.ApplyBMD(context.Background(), before.BMD, after.BMD)
	})
	n.Streams = target.NewStreams(n.Node, n.control, memory, o.Logger)
	n.then(n.Streams.Close)
	role = target.New(target.Options{
		Node: n.Node, Control: n.control, Store: n.Store, FS: disks, Memory: memory, Streams: n.Streams, Logger: o.Logger, Jobs: o.Jobs,
		Guard: guard.Guard, Roots: func() promote.Roots { return o.promoteRoots(n.Paths) },
	})
	n.then(func() error { role.Close(); return nil })
	n.SetControl(n.control)
	n.SetStatusSource(mountpathStatus{disks})
	role.Register()
	role.ProtectPending()
	n.MarkStarted()
}

func (o *Options) promoteRoots(mountpaths []string) (roots promote.Roots) {
	if o.Promote != "" {
		roots.Allowed = []string{o.Promote}
	}
	roots.Protected = mountpaths
	return roots
}

// serve starts the node's servers.
func (n *Node) serve(tb testing.TB, o *Options, conf *config.Cluster, role, id string) {
	tb.Helper()
	dir := tb.TempDir()
	var keyring *trust.Keyring
	if o.Signed {
		identity, err := trust.NewIdentity()
		if err != nil {
			tb.Fatal(err)
		}
		keyring = trust.New(trust.Options{NodeID: id, Identity: identity})
		keyring.Ring().Set([]trust.Key{{ID: 1, Made: 1, Secret: [trust.KeySize]byte{1, 2, 3}}}, time.Now())
	}
	made, err := node.New(node.Options{
		Trust: keyring,
		Role:  role, ID: id, Cluster: conf, Logger: o.Logger, Metrics: metrics.New(role, id), Limits: o.Limits,
		Env:   config.Env{HTTPLoopOff: loopOff()},
		Local: &config.Local{ConfDir: dir, LogDir: dir, HostNet: config.HostNet{Port: "0", PortIntraControl: "0"}},
	})
	if err != nil {
		tb.Fatal(err)
	}
	n.Node = made
	served := make(chan error, 1)
	go func() { served <- made.Serve(context.Background()) }()
	n.then(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), shutdownTime)
		defer cancel()
		err := made.Shutdown(ctx)
		return errors.Join(err, <-served)
	})
}
