package ec

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/cmn/hrw"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/memsys"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testCluster is several targets in one process.
type testCluster struct {
	tb      testing.TB
	root    string
	entry   meta.BucketEntry
	mu      sync.Mutex
	targets map[string]*testTarget
	down    map[string]bool
	removed map[string]bool
	fail    func(call, id string) error // of calls between targets; nil: none fails
	calls   map[string]int              // between targets, by name
	known   bool                        // names that are not at their owners are nowhere
	lose    bool                        // what is sent of a slice is lost once, in the midst of it
	streams int                         // slices that were not in memory when they were sent
}

// testTarget is one of them.
type testTarget struct {
	c      *testCluster
	id     string
	disks  *fs.Manager
	store  *core.Store
	engine *Engine
	memory *memsys.Pool
}

func newCluster(tb testing.TB, n, data, parity int, change func(*meta.Bprops)) *testCluster {
	tb.Helper()
	root, err := os.MkdirTemp("/dev/shm", "ec-test-")
	if err != nil {
		root = tb.TempDir()
	}
	c := &testCluster{tb: tb, root: root, targets: map[string]*testTarget{}, down: map[string]bool{}, removed: map[string]bool{}, calls: map[string]int{}}
	props := &meta.Bprops{Provider: wire.ProviderAIS, BID: 1<<63 | 7, Durability: meta.DurabilityNone}
	props.Checksum.Type = cksum.XXHash2
	props.Versioning.Enabled = true
	props.EC.Enabled, props.EC.DataSlices, props.EC.ParitySlices, props.EC.ObjSizeLimit = true, data, parity, 1000
	if change != nil {
		change(props)
	}
	c.entry = meta.BucketEntry{Bck: wire.Bck{Name: "b1", Provider: wire.ProviderAIS}, Props: props}
	for i := range n {
		c.start(fmt.Sprintf("t%d", i+1))
	}
	tb.Cleanup(func() {
		for _, t := range c.targets {
			t.stop()
		}
		if err := os.RemoveAll(root); err != nil {
			tb.Error(err)
		}
	})
	return c
}

func (c *testCluster) start(id string) *testTarget {
	c.tb.Helper()
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	t := &testTarget{c: c, id: id, memory: memsys.New(0)}
	var err error
	t.disks, err = fs.Open(fs.Options{
		Mountpaths: map[string]string{filepath.Join(c.root, id, "mp1"): "", filepath.Join(c.root, id, "mp2"): ""},
		TestMode:   true, NodeID: id, ClusterUUID: "cluster01", Logger: quiet,
		Space: func() fs.Watermarks { return fs.Watermarks{Cleanup: 97, Low: 98, High: 99, OutOfSpace: 100} },
	})
	if err != nil {
		c.tb.Fatal(err)
	}
	t.store = core.NewStore(core.Options{FS: t.disks, NodeID: id, Logger: quiet, Memory: t.memory})
	t.engine = New(Options{Store: t.store, Cluster: t, Holders: c, Memory: t.memory, Logger: quiet})
	t.engine.askAgain = []time.Duration{time.Millisecond, time.Millisecond, time.Millisecond}
	t.store.UseSlices(t.engine)
	if err := t.store.ApplyBMD(context.Background(), nil, meta.NewBMD("cluster01", 2, c.entry)); err != nil {
		c.tb.Fatal(err)
	}
	c.mu.Lock()
	c.targets[id] = t
	c.mu.Unlock()
	return t
}

func (t *testTarget) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := errors.Join(t.store.Close(ctx), t.disks.Close()); err != nil {
		t.c.tb.Error(err)
	}
	if n := t.memory.InUse(); n != 0 {
		t.c.tb.Errorf("%s: %d bytes of buffers are on loan at the end", t.id, n)
	}
}

// wipe restarts a target with empty disks.
func (c *testCluster) wipe(id string) *testTarget {
	c.tb.Helper()
	c.targets[id].stop()
	if err := os.RemoveAll(filepath.Join(c.root, id)); err != nil {
		c.tb.Fatal(err)
	}
	return c.start(id)
}

func (c *testCluster) set(state map[string]bool, id string, yes bool) {
	c.mu.Lock()
	state[id] = yes
	c.mu.Unlock()
}

func (c *testCluster) key(name string) core.Key {
	return core.Key{Bck: c.entry.Bck, Props: c.entry.Props, Name: name}
}

func (c *testCluster) order(name string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	digest := hrw.Digest(c.entry.Bck.Uname(name))
	var ids []string
	for id := range c.targets {
		if !c.removed[id] {
			ids = append(ids, id)
		}
	}
	sort.Slice(ids, func(i, j int) bool {
		return hrw.Weight(hrw.Digest(ids[i]), digest) > hrw.Weight(hrw.Digest(ids[j]), digest)
	})
	return ids
}

func (c *testCluster) owner(name string) *testTarget { return c.targets[c.order(name)[0]] }

// Self, Order, Everybody and Down implement Cluster.
func (t *testTarget) Self() string { return t.id }

func (t *testTarget) Order(key core.Key) []string { return t.c.order(key.Name) }

func (t *testTarget) Everybody() []string {
	ids := t.c.order("")
	slices.Sort(ids)
	return ids
}

// AllKnown implements Cluster.
func (t *testTarget) AllKnown(core.Key) bool { return t.c.known }

func (t *testTarget) Down(id string) bool {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	return t.c.down[id]
}

// to is the target that a call goes to.
func (c *testCluster) to(call, id string) (*testTarget, error) {
	c.mu.Lock()
	t, fail := c.targets[id], c.fail
	c.calls[call]++
	if t == nil || c.down[id] || c.removed[id] {
		c.mu.Unlock()
		return nil, apierr.Unavailable(time.Second, "%s does not answer", id)
	}
	c.mu.Unlock()
	if fail != nil {
		return t, fail(call, id)
	}
	return t, nil
}

func (c *testCluster) Look(ctx context.Context, id string, key core.Key, verify bool) ([]core.Slice, error) {
	t, err := c.to("look", id)
	if err != nil {
		return nil, err
	}
	return t.engine.local.Look(ctx, key, verify)
}

func (c *testCluster) Stage(ctx context.Context, id string, key core.Key, sl *core.Slice, body Body) (core.SliceVerdict, error) {
	t, err := c.to("stage", id)
	if err != nil {
		return core.SliceVerdict{}, err
	}
	sent, err := core.DecodeSlice(sl.AppendSlice(nil))
	if err != nil {
		return core.SliceVerdict{}, err
	}
	r, err := c.open(body)
	if err != nil {
		return core.SliceVerdict{}, err
	}
	defer func() { _ = r.Close() }() // was only read
	return t.engine.local.Stage(ctx, key, &sent, r)
}

// open opens a slice that is sent, as a connection does that breaks in the midst of
// it: the second time while the first reader is still open.
func (c *testCluster) open(body Body) (io.ReadCloser, error) {
	if _, held := body.(heldBody); !held {
		c.mu.Lock()
		c.streams++
		c.mu.Unlock()
	}
	r, err := body.Open()
	if err != nil || !c.lose {
		return r, err
	}
	if _, err := io.CopyN(io.Discard, r, body.Size()/2); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	again, err := body.Open()
	return again, errors.Join(err, r.Close())
}

func (c *testCluster) Commit(ctx context.Context, id string, key core.Key, stamp core.Stamp, n int) (core.SliceVerdict, error) {
	t, err := c.to("commit", id)
	if err != nil {
		return core.SliceVerdict{}, err
	}
	return t.engine.local.Commit(ctx, key, stamp, n)
}

func (c *testCluster) Mark(ctx context.Context, id string, key core.Key, stamp core.Stamp, state core.SliceState, always bool) (core.SliceVerdict, error) {
	t, err := c.to("mark", id)
	if err != nil {
		return core.SliceVerdict{}, err
	}
	return t.engine.local.Mark(ctx, key, stamp, state, always)
}

func (c *testCluster) Forget(ctx context.Context, id string, key core.Key, stamp core.Stamp) error {
	t, err := c.to("forget", id)
	if err != nil {
		return err
	}
	return t.engine.local.Forget(ctx, key, stamp)
}

func (c *testCluster) Drop(ctx context.Context, id string, key core.Key, stamp core.Stamp, n int) error {
	t, err := c.to("drop", id)
	if err != nil {
		return err
	}
	return t.engine.local.Drop(ctx, key, stamp, n)
}

func (c *testCluster) Amend(ctx context.Context, id string, key core.Key, from core.Stamp, attrs *core.Attrs) (core.SliceVerdict, error) {
	t, err := c.to("amend", id)
	if err != nil {
		return core.SliceVerdict{}, err
	}
	return t.engine.local.Amend(ctx, key, from, attrs)
}

func (c *testCluster) Read(ctx context.Context, id string, key core.Key, stamp core.Stamp, n int, off, length int64) (io.ReadCloser, error) {
	t, err := c.to("read", id)
	if err != nil {
		return nil, err
	}
	return t.engine.local.Read(ctx, key, stamp, n, off, length)
}

func (c *testCluster) Examine(ctx context.Context, id string, _ wire.Bck, held []Held) ([]Verdict, error) {
	t, err := c.to("examine", id)
	if err != nil {
		return nil, err
	}
	return t.engine.Examine(ctx, c.entry, held), nil
}

func (c *testCluster) Judge(ctx context.Context, id string, _ wire.Bck, held []Held) ([]Verdict, error) {
	t, err := c.to("judge", id)
	if err != nil {
		return nil, err
	}
	return t.engine.Judge(ctx, c.entry, held), nil
}

// put stores an object at its owner.
func (c *testCluster) put(name string, content []byte) core.Attrs {
	c.tb.Helper()
	attrs, err := c.owner(name).store.Put(context.Background(), c.key(name), bytes.NewReader(content),
		core.PutOptions{Size: int64(len(content)), Custom: []core.KV{{Key: "k", Value: name}}})
	if err != nil {
		c.tb.Fatalf("PUT %s: %v", name, err)
	}
	return attrs
}

// settle does what is pending, at all targets that are up.
func (c *testCluster) settle() {
	c.tb.Helper()
	for id, t := range c.targets {
		if c.down[id] || c.removed[id] {
			continue
		}
		if left, err := t.engine.pass(context.Background(), nil, nil); left > 0 || err != nil {
			names, _ := t.engine.Troubles.All()
			c.tb.Fatalf("%s: objects are not protected: %v", id, names)
		}
	}
}

// recoverAll repairs everything, as the job does on all targets.
func (c *testCluster) recoverAll() {
	c.tb.Helper()
	for round := range 2 { // as a job: owners look after what they have, holders ask
		for id, t := range c.targets {
			if c.down[id] || c.removed[id] {
				continue
			}
			if round == 1 {
				err := t.engine.RecoverHeld(context.Background(), c.entry, func(_ int64, errs []error) {
					for _, err := range errs {
						c.tb.Errorf("%s: %v", id, err)
					}
				})
				if err != nil {
					c.tb.Fatal(err)
				}
				continue
			}
			page, err := t.store.List(context.Background(), c.entry.Bck, c.entry.Props, core.ListOptions{})
			if err != nil {
				c.tb.Fatal(err)
			}
			for i := range page {
				if c.owner(page[i].Name) != t {
					continue
				}
				if _, err := t.engine.ProtectObject(context.Background(), c.key(page[i].Name), ReadAll); err != nil {
					c.tb.Errorf("%s: %s: %v", id, page[i].Name, err)
				}
			}
		}
	}
}

func (t *testTarget) get(name string) ([]byte, core.Attrs, error) {
	r, err := t.store.Open(context.Background(), t.c.key(name))
	if err != nil {
		return nil, core.Attrs{}, err
	}
	data := make([]byte, r.Size)
	if err = r.Prepare(context.Background(), 0, r.Size); err == nil && r.Size > 0 {
		_, err = r.ReadAt(data, 0)
	}
	return data, r.Attrs, errors.Join(err, r.Close())
}

// mustGet reads an object at its owner.
func (c *testCluster) mustGet(name string, want []byte, was core.Attrs) {
	c.tb.Helper()
	got, attrs, err := c.owner(name).get(name)
	switch {
	case err != nil:
		c.tb.Errorf("GET %s: %v", name, err)
	case !bytes.Equal(got, want):
		c.tb.Errorf("GET %s: %d wrong bytes of %d", name, len(got), len(want))
	case attrs.Version != was.Version || attrs.LastChange() != was.LastChange() || attrs.Checksum != was.Checksum || attrs.Mtime != was.Mtime || len(attrs.Custom) != len(was.Custom):
		c.tb.Errorf("GET %s: %+v, was %+v", name, attrs, was)
	}
}

// mustBeWhole checks that an object has all that it should have, slice by slice.
func (c *testCluster) mustBeWhole(name string) {
	c.tb.Helper()
	p, err := c.owner(name).engine.VerifyProtection(context.Background(), c.key(name), true)
	if err != nil || p.Whole != p.Want {
		c.tb.Errorf("%s: %d of %d slices, %v", name, p.Whole, p.Want, err)
	}
}

// sliceFiles are the paths of all files of slices, by target.
func (c *testCluster) sliceFiles() (files map[string][]string) {
	files = map[string][]string{}
	for id := range c.targets {
		_ = filepath.WalkDir(filepath.Join(c.root, id), func(path string, entry os.DirEntry, err error) error {
			if err == nil && !entry.IsDir() && strings.Contains(path, "/"+fs.ContentSlice+"/") && !strings.Contains(path, "/.$deleted/") {
				files[id] = append(files[id], path)
			}
			return nil
		})
	}
	return files
}

func (c *testCluster) countSlices() (n int) {
	for _, files := range c.sliceFiles() {
		n += len(files)
	}
	return n
}

func statusOf(err error) int { return apierr.StatusOf(err) }
