package core

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/fs"
)

// memoryDir is a temporary directory in memory, where the machine has one that
// keeps extended attributes: for tests that do much and prove nothing of disks.
func memoryDir(tb testing.TB) string {
	tb.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "core-test-")
	if err != nil {
		return tb.TempDir()
	}
	tb.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			tb.Error(err)
		}
	})
	if err := fs.Unix().SetXattr(dir, "user.probe", []byte("1")); err != nil {
		return tb.TempDir()
	}
	return dir
}

// rig is a store over mountpaths of its own, with one bucket.
type rig struct {
	tb    testing.TB
	store *Store
	fs    *fs.Manager
	dirs  []string
	sys   fs.System
	bck   wire.Bck
	props *meta.Bprops
	bmd   *meta.BMD
	opts  Options
	space fs.Watermarks
}

// rigOptions change what newRig makes.
type rigOptions struct {
	mountpaths int // default 1
	root       string
	system     fs.System
	props      func(*meta.Bprops)
	store      func(*Options)
	space      fs.Watermarks // zero: nothing is ever short
}

func newRig(tb testing.TB, o rigOptions) *rig {
	tb.Helper()
	if o.mountpaths == 0 {
		o.mountpaths = 1
	}
	root := o.root
	if root == "" {
		root = memoryDir(tb)
	}
	if o.space == (fs.Watermarks{}) {
		o.space = fs.Watermarks{Cleanup: 97, Low: 98, High: 99, OutOfSpace: 100}
	}
	r := &rig{tb: tb, sys: o.system, space: o.space, bck: wire.Bck{Name: "b1", Provider: wire.ProviderAIS}}
	for i := range o.mountpaths {
		r.dirs = append(r.dirs, filepath.Join(root, fmt.Sprintf("mp%d", i+1)))
	}
	r.props = &meta.Bprops{Provider: wire.ProviderAIS, BID: 1<<63 | 7, Durability: meta.DurabilityNone}
	r.props.Checksum.Type = cksum.XXHash2
	r.props.Versioning.Enabled = true
	if o.props != nil {
		o.props(r.props)
	}
	r.bmd = meta.NewBMD("cluster01", 2, meta.BucketEntry{Bck: r.bck, Props: r.props})
	r.opts = Options{NodeID: "t1", Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}
	if o.store != nil {
		o.store(&r.opts)
	}
	r.open()
	tb.Cleanup(func() { r.close() })
	return r
}

// walking makes a store whose listings walk: for tests that change files behind
// its back.
func walking(o *Options) { o.WalkOnly = true }

// open starts manager and store; close ends both, as a restart does.
func (r *rig) open() {
	r.tb.Helper()
	paths := map[string]string{}
	for _, dir := range r.dirs {
		paths[dir] = ""
	}
	m, err := fs.Open(fs.Options{
		Mountpaths: paths, TestMode: true, NodeID: "t1", ClusterUUID: "cluster01", System: r.sys, Logger: r.opts.Logger,
		Space: func() fs.Watermarks { return r.space },
	})
	if err != nil {
		r.tb.Fatal(err)
	}
	r.fs = m
	r.opts.FS = m
	r.store = NewStore(r.opts)
	if err := r.store.ApplyBMD(context.Background(), nil, r.bmd); err != nil {
		r.tb.Fatal(err)
	}
}

func (r *rig) close() {
	r.tb.Helper()
	if r.store == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := r.store.Close(ctx); err != nil {
		r.tb.Error(err)
	}
	if n := r.store.locks.count(); n != 0 {
		r.tb.Errorf("%d name locks are held at the end", n)
	}
	if n := r.store.memory.InUse(); n != 0 {
		r.tb.Errorf("%d bytes of buffers are on loan at the end", n)
	}
	for _, mp := range r.fs.Available().Paths {
		if mp.InFlight() != 0 {
			r.tb.Errorf("%s: %d slots are taken at the end", mp, mp.InFlight())
		}
	}
	if err := r.fs.Close(); err != nil {
		r.tb.Error(err)
	}
	r.store = nil
}

// release closes a rig that was one of many, and lets go of its disks: a test keeps
// its rigs to the end.
func (r *rig) release() {
	r.tb.Helper()
	r.close()
	*r = rig{tb: r.tb}
}

func (r *rig) restart() {
	r.tb.Helper()
	r.close()
	r.open()
}

// bmdWith is the next bucket metadata: with the bucket if props are given.
func (r *rig) bmdWith(props ...*meta.Bprops) *meta.BMD {
	var entries []meta.BucketEntry
	for _, p := range props {
		entries = append(entries, meta.BucketEntry{Bck: r.bck, Props: p})
	}
	return meta.NewBMD("cluster01", r.bmd.Version+1, entries...)
}

func (r *rig) key(name string) Key { return Key{Bck: r.bck, Props: r.props, Name: name} }

func (r *rig) put(name, content string) Attrs {
	r.tb.Helper()
	attrs, err := r.tryPut(name, content, PutOptions{Size: int64(len(content))})
	if err != nil {
		r.tb.Fatalf("PUT %q: %v", name, err)
	}
	return attrs
}

func (r *rig) tryPut(name, content string, o PutOptions) (Attrs, error) {
	return r.store.Put(context.Background(), r.key(name), strings.NewReader(content), o)
}

// get returns the content of an object; found is false for a 404.
func (r *rig) get(name string) (content string, attrs Attrs, found bool) {
	r.tb.Helper()
	content, attrs, err := r.tryGet(name)
	switch {
	case err == nil:
		return content, attrs, true
	case statusOf(err) == 404:
		return "", Attrs{}, false
	}
	r.tb.Fatalf("GET %q: %v", name, err)
	return "", Attrs{}, false
}

func (r *rig) tryGet(name string) (string, Attrs, error) {
	reader, err := r.store.Open(context.Background(), r.key(name))
	if err != nil {
		return "", Attrs{}, err
	}
	if err := reader.Prepare(context.Background(), 0, reader.Size); err != nil {
		return "", Attrs{}, errors.Join(err, reader.Close())
	}
	reader.Touch()
	var buf bytes.Buffer
	if _, err := io.Copy(&buf, io.NewSectionReader(reader, 0, reader.Size)); err != nil {
		return "", Attrs{}, errors.Join(err, reader.Close())
	}
	return buf.String(), reader.Attrs, reader.Close()
}

func (r *rig) names(o ListOptions) []string {
	r.tb.Helper()
	page, err := r.store.List(context.Background(), r.bck, r.props, o)
	if err != nil {
		r.tb.Fatal(err)
	}
	names := make([]string, len(page))
	for i := range page {
		names[i] = page[i].Name
	}
	return names
}

// allNames lists everything, page by page.
func (r *rig) allNames(o ListOptions) []string {
	r.tb.Helper()
	all := []string{}
	for {
		page := r.names(o)
		all = append(all, page...)
		if len(page) < o.Limit {
			return all
		}
		o.After = page[len(page)-1]
	}
}

// files returns the regular files below the mountpaths whose path does not
// contain one of the given parts.
func (r *rig) files(but ...string) []string {
	r.tb.Helper()
	var files []string
	for _, dir := range r.dirs {
		err := filepath.WalkDir(dir, func(path string, entry iofs.DirEntry, err error) error {
			if err != nil {
				if errors.Is(err, iofs.ErrNotExist) { // trash is being emptied
					return nil
				}
				return err
			}
			if entry.IsDir() || strings.HasPrefix(filepath.Base(path), ".ais.") && filepath.Dir(path) == dir {
				return nil
			}
			for _, part := range append([]string{"/" + fs.IndexDir + "/", "/" + fs.JournalDir + "/", "/" + fs.SpareDir + "/"}, but...) {
				if strings.Contains(path, part) {
					return nil
				}
			}
			files = append(files, path)
			return nil
		})
		if err != nil {
			r.tb.Fatal(err)
		}
	}
	return files
}

// fileOf is the path of an object's file.
func (r *rig) fileOf(name string) string {
	r.tb.Helper()
	o, err := r.store.resolve(r.key(name))
	if err != nil {
		r.tb.Fatal(err)
	}
	now, err := r.store.current(&o)
	if err != nil || !now.found {
		r.tb.Fatalf("%q: found %v, %v", name, now.found, err)
	}
	return now.path
}

func durable(p *meta.Bprops) { p.Durability = meta.DurabilitySync }

func statusOf(err error) int { return apierr.StatusOf(err) }

// until waits for what happens in the background.
func (r *rig) until(what string, happened func() bool) {
	r.tb.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !happened() {
		select {
		case <-tick.C:
		case <-deadline:
			r.tb.Fatalf("waited in vain: %s", what)
		}
	}
}

// eventually waits until a condition holds; so long that only what never comes
// fails.
func eventually(tb testing.TB, what string, holds func() bool) {
	tb.Helper()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	late := time.After(time.Minute)
	for !holds() {
		select {
		case <-look.C:
		case <-late:
			tb.Fatalf("%s: not within a minute", what)
		}
	}
}
