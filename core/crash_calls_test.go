package core

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/fs/crashfs"
	"github.com/aistore-go/aistore/fs/faultfs"
)

// callCrash is one operation on one disk that loses its power.
type callCrash struct {
	version string // id of one that is looked for

	t      *testing.T
	system *crashfs.System
	fs     *fs.Manager
	store  *Store
	bck    wire.Bck
	props  *meta.Bprops
	bmd    *meta.BMD
}

func newCallCrash(t *testing.T) *callCrash {
	t.Helper()
	c := &callCrash{t: t, bck: wire.Bck{Name: "b1", Provider: wire.ProviderAIS}}
	c.system = crashfs.New(crashfs.Options{Disks: []crashfs.Disk{{Path: "/disk1", Size: crashDisk}}})
	c.props = &meta.Bprops{Provider: wire.ProviderAIS, BID: 1<<63 | 7, Durability: meta.DurabilitySync}
	c.props.Checksum.Type, c.props.Checksum.ValidateWarmGet, c.props.Versioning.Enabled = cksum.XXHash2, true, true
	c.bmd = meta.NewBMD("cluster01", 2, meta.BucketEntry{Bck: c.bck, Props: c.props})
	c.open()
	return c
}

func (c *callCrash) open() {
	c.t.Helper()
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	var err error
	c.fs, err = fs.Open(fs.Options{
		Mountpaths: map[string]string{"/disk1/mp1": ""}, TestMode: true, NodeID: "t1", ClusterUUID: "cluster01", System: c.system,
		Logger: quiet, Sysfs: "/nowhere", Space: func() fs.Watermarks { return marksOff },
	})
	if err != nil {
		c.t.Fatal(err)
	}
	c.store = NewStore(Options{FS: c.fs, NodeID: "t1", Logger: quiet, WalkOnly: true})
	if err := c.store.ApplyBMD(context.Background(), nil, c.bmd); err != nil {
		c.t.Fatal(err)
	}
}

// close gives up a store whose disk may be gone.
func (c *callCrash) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_ = c.store.Close(ctx)
	_ = c.fs.Close()
}

func (c *callCrash) key(name string) Key { return Key{Bck: c.bck, Props: c.props, Name: name} }

// state is content, version and custom key of a name, and the versions that it
// has; "" if there is nothing.
func (c *callCrash) state(name string) string {
	c.t.Helper()
	r, err := c.store.Open(context.Background(), c.key(name))
	if statusOf(err) == 404 {
		return ""
	}
	if err != nil {
		c.t.Fatalf("%s: %v", name, err)
	}
	chunks := r.Chunks
	content, err := readWhole(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = r.Close() }() // was only read
	value, _ := r.CustomValue("k")
	state := fmt.Sprintf("%s v%s %.10s/%d %d chunks", content, r.Version, value, len(value), chunks)
	versions, err := c.store.ListVersions(context.Background(), c.key(name))
	if err != nil {
		c.t.Fatal(err)
	}
	for i := range versions {
		v := &versions[i]
		value, _ := v.Attrs.CustomValue("k")
		state += fmt.Sprintf(" (%v %d %.10s)", v.Attrs.VersionID() == c.version, v.Attrs.Size, value)
	}
	return state
}

// TestPowerIsLostDuringCalls: an append, a copy, a move and changes of custom
// metadata are interrupted before each of their system calls, several times with
// other losses. Each name is what it was or what it was to be; what was
// acknowledged stays.
func TestPowerIsLostDuringCalls(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	large := strings.Repeat("L", 2000)
	put := func(c *callCrash, name, content, value string) {
		c.t.Helper()
		opts := PutOptions{Size: int64(len(content)), Custom: []KV{{"k", value}}}
		if _, err := c.store.Put(ctx, c.key(name), strings.NewReader(content), opts); err != nil {
			c.t.Fatal(err)
		}
	}
	patch := func(name, value string) func(*callCrash) error {
		return func(c *callCrash) error {
			_, err := c.store.SetCustom(ctx, c.key(name), []KV{{"k", value}}, true)
			return err
		}
	}
	rechunk := func(chunk int64) func(*callCrash) error {
		return func(c *callCrash) error {
			_, err := c.store.Rechunk(ctx, c.key("o"), chunk)
			return err
		}
	}
	version := func(c *callCrash) {
		c.t.Helper()
		for _, content := range []string{"first", "content"} {
			opts := PutOptions{Size: int64(len(content)), Custom: []KV{{"k", content}}, Keep: KeepVersion}
			attrs, err := c.store.Put(ctx, c.key("o"), strings.NewReader(content), opts)
			if err != nil {
				c.t.Fatal(err)
			}
			c.version = attrs.VersionID()
		}
	}
	for _, op := range []struct {
		name    string
		prepare func(*callCrash)
		run     func(*callCrash) error
		names   []string
	}{
		{"small keys", func(c *callCrash) { put(c, "o", "content", "old") }, patch("o", "new"), []string{"o"}},
		{"keys into a sidecar", func(c *callCrash) { put(c, "o", "content", "old") }, patch("o", large+"new"), []string{"o"}},
		{"keys out of a sidecar", func(c *callCrash) { put(c, "o", "content", large+"old") }, patch("o", "new"), []string{"o"}},
		{"keys from sidecar to sidecar", func(c *callCrash) { put(c, "a//b", "content", large+"old") }, patch("a//b", large+"newer"), []string{"a//b"}},
		{"copy", func(c *callCrash) { put(c, "o", "content", "value"); put(c, "d/e", "was", "was") }, func(c *callCrash) error {
			_, err := c.store.Copy(ctx, c.key("o"), c.key("d/e"), false)
			return err
		}, []string{"o", "d/e"}},
		{"copy with a sidecar", func(c *callCrash) { put(c, "o", "content", large) }, func(c *callCrash) error {
			_, err := c.store.Copy(ctx, c.key("o"), c.key("new/name"), false)
			return err
		}, []string{"o", "new/name"}},
		{"append to nothing", func(*callCrash) {}, func(c *callCrash) error {
			h, err := c.store.BeginAppend(ctx, c.key("o"), strings.NewReader("one "), 4, 0)
			if err == nil {
				h, err = c.store.Append(ctx, c.key("o"), h, strings.NewReader("two"), 3, 0)
			}
			if err == nil {
				_, err = c.store.FlushAppend(ctx, c.key("o"), h, cksum.Value{})
			}
			return err
		}, []string{"o"}},
		{"append", func(c *callCrash) { put(c, "o", "old ", "x") }, func(c *callCrash) error {
			h, err := c.store.BeginAppend(ctx, c.key("o"), strings.NewReader("new"), 3, 0)
			if err == nil {
				_, err = c.store.FlushAppend(ctx, c.key("o"), h, cksum.Value{})
			}
			return err
		}, []string{"o"}},
		{"keys of a version", version, patch("o", "new"), []string{"o"}},
		{"a version whose keys were changed becomes noncurrent", func(c *callCrash) {
			version(c)
			if err := patch("o", large+"new")(c); err != nil {
				c.t.Fatal(err)
			}
		}, func(c *callCrash) error {
			_, err := c.store.Put(ctx, c.key("o"), strings.NewReader("next"), PutOptions{Size: 4, Keep: KeepVersion})
			return err
		}, []string{"o"}},
		{"a generation arrives", func(c *callCrash) { put(c, "o", "content", "old") }, func(c *callCrash) error {
			return arrive(c.store, c.key("o"), sentOf(c.props, "new content", 1, KV{"k", "new"}))
		}, []string{"o"}},
		{"a generation with a sidecar arrives", func(*callCrash) {}, func(c *callCrash) error {
			return arrive(c.store, c.key("a//b"), sentOf(c.props, "new content", 1, KV{"k", large}))
		}, []string{"a//b"}},
		{"an older version arrives", version, func(c *callCrash) error {
			g := sentOf(c.props, "older", -1, KV{"k", large})
			g.head.former, g.head.rec.flags = true, flagVersioned
			return arrive(c.store, c.key("o"), g)
		}, []string{"o"}},
		{"a generation in chunks arrives", func(c *callCrash) { put(c, "o", "content", "old") }, func(c *callCrash) error {
			return arrive(c.store, c.key("o"), sentOf(c.props, "new content", 1, KV{"k", "new"}).inChunks(4, 0, 7))
		}, []string{"o"}},
		{"into chunks", func(c *callCrash) { put(c, "o", "content", "value") }, rechunk(3), []string{"o"}},
		{"into chunks, with a sidecar", func(c *callCrash) { put(c, "a//b", "content", large) }, func(c *callCrash) error {
			_, err := c.store.Rechunk(ctx, c.key("a//b"), 3)
			return err
		}, []string{"a//b"}},
		{"a version into chunks", version, rechunk(3), []string{"o"}},
		{"into one file", func(c *callCrash) {
			put(c, "o", "content", "value")
			if err := rechunk(4)(c); err != nil {
				c.t.Fatal(err)
			}
		}, rechunk(0), []string{"o"}},
		{"a version into one file", func(c *callCrash) {
			version(c)
			if err := rechunk(4)(c); err != nil {
				c.t.Fatal(err)
			}
		}, rechunk(0), []string{"o"}},
		{"a name leaves", func(c *callCrash) { put(c, "o", "content", large) }, func(c *callCrash) error {
			return depart(c.store, c.key("o"))
		}, []string{"o"}},
		{"a PUT of what is there", func(c *callCrash) { put(c, "o", "content", large+"value") }, func(c *callCrash) error {
			sum, err := cksum.Of(cksum.XXHash2, []byte("content"))
			if err == nil {
				_, err = c.store.Put(ctx, c.key("o"), strings.NewReader("content"), PutOptions{Size: 7, Checksum: sum})
			}
			return err
		}, []string{"o"}},
	} {
		t.Run(op.name, func(t *testing.T) {
			t.Parallel()
			whole := newCallCrash(t)
			op.prepare(whole)
			if err := op.run(whole); err != nil {
				t.Fatal(err)
			}
			wanted := map[string]string{}
			for _, name := range op.names {
				wanted[name] = whole.state(name)
			}
			whole.close()
			for seed := range uint64(4) {
				for n := 1; ; n++ {
					c := newCallCrash(t)
					op.prepare(c)
					before := map[string]string{}
					for _, name := range op.names {
						before[name] = c.state(name)
					}
					calls := 0
					var after *crashfs.System
					c.system.Before(func(faultfs.Call) error {
						if calls++; calls == n {
							after = c.system.Crash(seed*1000 + uint64(n))
						}
						return nil
					})
					err := op.run(c)
					reached := after != nil
					if !reached { // it has succeeded: the power goes now
						if err != nil {
							t.Fatal(err)
						}
						after = c.system.Crash(seed)
					}
					c.close()
					c.system = after
					c.open()
					for _, name := range op.names {
						got := c.state(name)
						if got != wanted[name] && (err == nil || got != before[name]) {
							t.Errorf("seed %d, call %d: %s is %.60q, was %.60q (%v)", seed, n, name, got, before[name], err)
						}
					}
					c.close()
					if !reached {
						break
					}
				}
			}
		})
	}
}
