// Package xacttest is a target without a network, for the tests of jobs: a
// store over mountpaths of its own with one bucket, and the registry of jobs.
package xacttest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/cmn/metrics"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/xact"
)

// waitTime bounds every wait of a test.
const waitTime = 30 * time.Second

// Rig is one target.
type Rig struct {
	tb       testing.TB
	Env      *xact.Env
	Registry *xact.Registry
	Store    *core.Store
	Disks    *fs.Manager
	Bck      wire.Bck
	Props    *meta.Bprops
	View     *meta.View
	Config   *config.Cluster
}

// Options change what New makes.
type Options struct {
	Mountpaths int // default 2
	System     fs.System
	Space      func() fs.Watermarks // nil: nothing is ever short
	Props      func(*meta.Bprops)
	Config     func(*config.Cluster)
	Store      func(*core.Options)
	Load       xact.Load
	Peers      xact.Peers
	JobID      func(ctx context.Context, kind string, bck wire.Bck, over string) (string, error)
}

// New makes a target with jobs. It is closed when the test ends.
func New(tb testing.TB, o Options, jobs ...xact.Registration) *Rig {
	tb.Helper()
	if o.Mountpaths == 0 {
		o.Mountpaths = 2
	}
	r := &Rig{tb: tb, Bck: wire.Bck{Name: "b1", Provider: wire.ProviderAIS}, Config: config.DefaultCluster()}
	if o.Space == nil {
		o.Space = func() fs.Watermarks { return fs.Watermarks{Cleanup: 97, Low: 98, High: 99, OutOfSpace: 100} }
		space := &r.Config.Space // the machine's own fill level must not matter
		space.CleanupWM, space.LowWM, space.HighWM, space.OutOfSpace = 97, 98, 99, 100
	}
	if o.Config != nil {
		o.Config(r.Config)
	}
	r.Props = &meta.Bprops{Provider: wire.ProviderAIS, BID: 1<<63 | 7, Durability: meta.DurabilityNone}
	r.Props.Checksum.Type = cksum.XXHash2
	if o.Props != nil {
		o.Props(r.Props)
	}
	r.View = &meta.View{BMD: meta.NewBMD("cluster01", 2, meta.BucketEntry{Bck: r.Bck, Props: r.Props})}
	root := dir(tb)
	paths := map[string]string{}
	for i := range o.Mountpaths {
		paths[filepath.Join(root, fmt.Sprintf("mp%d", i+1))] = ""
	}
	logger := slog.New(slog.NewTextHandler(io.Discard, nil))
	var err error
	if r.Disks, err = fs.Open(fs.Options{
		Mountpaths: paths, TestMode: true, NodeID: "t1", ClusterUUID: "cluster01", System: o.System, Logger: logger,
		Space: o.Space,
	}); err != nil {
		tb.Fatal(err)
	}
	options := core.Options{FS: r.Disks, NodeID: "t1", Logger: logger}
	if o.Store != nil {
		o.Store(&options)
	}
	r.Store = core.NewStore(options)
	if err := r.Store.ApplyBMD(tb.Context(), nil, r.View.BMD); err != nil {
		tb.Fatal(err)
	}
	r.Env = &xact.Env{
		NodeID: "t1", Store: r.Store, Disks: r.Disks, Logger: logger, Metrics: metrics.New(meta.RoleTarget, "t1"), Peers: o.Peers,
		View: func() *meta.View { return r.View }, Config: func() *config.Cluster { return r.Config },
	}
	if o.Load != nil {
		r.Govern(o.Load)
	}
	r.Registry = xact.NewRegistry(xact.Options{Env: r.Env, Registrations: jobs, JobID: o.JobID})
	tb.Cleanup(r.close)
	return r
}

// Govern has the target's jobs hold back at a load. It is called before the first
// one starts.
func (r *Rig) Govern(load xact.Load) {
	g := xact.NewGovernor(load, func() *config.DiskConf { return &r.Config.Disk })
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		g.Run(ctx)
	}()
	r.tb.Cleanup(func() {
		stop()
		<-ended
	})
	r.Env.Governor = g
}

func (r *Rig) close() {
	r.Registry.Close(errors.New("the test ends"))
	ctx, cancel := context.WithTimeout(context.Background(), waitTime)
	defer cancel()
	if err := errors.Join(r.Store.Close(ctx), r.Disks.Close()); err != nil {
		r.tb.Error(err)
	}
}

// dir is a temporary directory, in memory where that keeps attributes.
func dir(tb testing.TB) string {
	tb.Helper()
	path, err := os.MkdirTemp("/dev/shm", "xact-test-")
	if err != nil {
		return tb.TempDir()
	}
	tb.Cleanup(func() {
		if err := os.RemoveAll(path); err != nil {
			tb.Error(err)
		}
	})
	if err := fs.Unix().SetXattr(path, "user.probe", []byte("1")); err != nil {
		return tb.TempDir()
	}
	return path
}

// Key names an object of the bucket.
func (r *Rig) Key(name string) core.Key { return core.Key{Bck: r.Bck, Props: r.Props, Name: name} }

// Put stores an object.
func (r *Rig) Put(name, content string) core.Attrs {
	r.tb.Helper()
	attrs, err := r.Store.Put(r.tb.Context(), r.Key(name), strings.NewReader(content), core.PutOptions{Size: int64(len(content))})
	if err != nil {
		r.tb.Fatalf("PUT %q: %v", name, err)
	}
	return attrs
}

// Spec is a new job of a kind on the bucket.
func (r *Rig) Spec(kind string) *xact.Spec {
	return &xact.Spec{ID: meta.NewJobID(), Kind: kind, Bck: r.Bck, BID: r.Props.BID}
}

// Start starts a job.
func (r *Rig) Start(spec *xact.Spec) *xact.Xaction {
	r.tb.Helper()
	x, err := r.Registry.Start(r.tb.Context(), spec)
	if err != nil {
		r.tb.Fatalf("start %s: %v", spec.Name(), err)
	}
	return x
}

// Finish waits until a job does nothing any more, and returns its last snapshot.
func (r *Rig) Finish(x *xact.Xaction) *wire.Snap {
	r.tb.Helper()
	select {
	case <-x.Done():
	case <-time.After(waitTime):
		r.tb.Fatalf("%s has not ended within %v", x, waitTime)
	}
	return x.Snap()
}

// Run runs a job of a kind to its end.
func (r *Rig) Run(spec *xact.Spec) *wire.Snap {
	r.tb.Helper()
	return r.Finish(r.Start(spec))
}

// Await waits for a condition.
func Await(tb testing.TB, what string, holds func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(waitTime); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			tb.Fatalf("not within %v: %s", waitTime, what)
		}
	}
}
