package core

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/fs/faultfs"
)

func evictable(p *meta.Bprops) {
	p.LRU.Enabled = true
	p.Access = meta.AccessAll
}

// age makes objects as old as so many hours.
func (r *rig) age(hours int, names ...string) {
	r.tb.Helper()
	for _, name := range names {
		if err := r.fs.System().SetTimes(r.fileOf(name), time.Now().Add(-time.Duration(hours)*time.Hour).UnixNano(), -1); err != nil {
			r.tb.Fatal(err)
		}
	}
}

func (r *rig) choice(batch int, buckets ...meta.BucketEntry) EvictionChoice {
	if buckets == nil {
		buckets = []meta.BucketEntry{{Bck: r.bck, Props: r.props}}
	}
	return EvictionChoice{
		Buckets: buckets, Filesystems: r.fs.Filesystems(), Batch: batch,
		Before: func(meta.BucketEntry) int64 { return time.Now().Add(-time.Hour).UnixNano() },
	}
}

func (r *rig) oldest(c EvictionChoice) Eviction {
	r.tb.Helper()
	e, err := r.store.OldestObjects(context.Background(), c)
	if err != nil {
		r.tb.Fatal(err)
	}
	return e
}

func (r *rig) evict(x *Evictable) Kept {
	r.tb.Helper()
	kept, err := r.store.Evict(context.Background(), x)
	if err != nil {
		r.tb.Fatalf("evict %s: %v", x.Key.Cname(), err)
	}
	return kept
}

func namesOf(all []Evictable) (names []string) {
	for i := range all {
		names = append(names, all[i].Key.Name)
	}
	return names
}

// TestOldestObjects: by true access time, in batches, none that was accessed
// lately, also when the target was started anew since.
func TestOldestObjects(t *testing.T) {
	t.Parallel()
	for _, mountpaths := range []int{1, 3} {
		restarted := mountpaths > 1
		r := newRig(t, rigOptions{mountpaths: mountpaths, props: evictable})
		for i := range 12 {
			name := fmt.Sprintf("o%02d", i)
			r.put(name, "content")
			r.age(3+(i*5)%12, name) // in another order than that of names
		}
		r.put("young", "x")
		r.put("read", "x")
		r.age(9, "read")
		if _, _, found := r.get("read"); !found { // known in memory alone
			t.Fatal("it is gone")
		}
		if restarted {
			r.restart()
		}
		filesystem := r.fs.Filesystems()[0]
		var order []string
		c := r.choice(5)
		for {
			e := r.oldest(c)
			if e.Looked != 14 {
				t.Errorf("%d objects were looked at", e.Looked)
			}
			order = append(order, namesOf(e.Oldest[filesystem])...)
			if !e.More {
				break
			}
			if len(e.Oldest[filesystem]) != 5 {
				t.Fatalf("a batch of %d", len(e.Oldest[filesystem]))
			}
			c.After = e.Cursor
		}
		// i*5 mod 12 = 11, 10, ... 0
		if got := strings.Join(order, " "); got != "o07 o02 o09 o04 o11 o06 o01 o08 o03 o10 o05 o00" {
			t.Errorf("%d mountpaths: %s", mountpaths, got)
		}
	}
}

// TestEvictWhatWasChosen: nothing that was used since, and whole.
func TestEvictWhatWasChosen(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{props: func(p *meta.Bprops) { evictable(p); durable(p) }})
	names := []string{"idle", "written", "read", "patched", "deleted", strings.Repeat("long/", 300), "versions"}
	for _, name := range names {
		r.put(name, "content of "+name)
	}
	if _, err := r.tryPut("versions", "newer", PutOptions{Size: 5, Keep: KeepVersion}); err != nil {
		t.Fatal(err)
	}
	r.age(5, names...)
	e := r.oldest(r.choice(100))
	chosen := map[string]*Evictable{}
	for i := range e.Oldest[r.fs.Filesystems()[0]] {
		x := &e.Oldest[r.fs.Filesystems()[0]][i]
		chosen[x.Key.Name] = x
	}
	if len(chosen) != len(names) {
		t.Fatalf("%d were chosen", len(chosen))
	}
	r.put("written", "content of written, later")
	r.get("read")
	if _, err := r.store.SetCustom(context.Background(), r.key("patched"), []KV{{"k", "v"}}, false); err != nil {
		t.Fatal(err)
	}
	if err := r.store.Delete(context.Background(), r.key("deleted")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]Kept{
		"idle": KeptNot, "written": KeptChanged, "read": KeptAccessed, "patched": KeptChanged, "deleted": KeptGone, names[5]: KeptNot,
		"versions": KeptVersions,
	} {
		if kept := r.evict(chosen[name]); kept != want {
			t.Errorf("%.20s: %q, want %q", name, kept, want)
		}
		if _, _, found := r.get(name); found != (want != KeptNot && want != KeptGone) {
			t.Errorf("%.20s: found %v", name, found)
		}
	}
	for _, path := range r.files() {
		if strings.Contains(path, "idle") || strings.Contains(path, "/"+fs.ContentEscaped+"/") || strings.Contains(path, "/"+fs.ContentSidecar+"/") {
			t.Errorf("%s is left", path)
		}
	}
	r.restart()
	if _, _, found := r.get("idle"); found {
		t.Error("what was evicted is back after a restart")
	}
}

// TestOnlyCopiesStay: of a bucket that did not opt in, and of a remote one what
// its backend is not known to hold.
func TestOnlyCopiesStay(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{props: evictable})
	r.put("o", "x")
	r.age(5, "o")
	x := r.oldest(r.choice(1)).Oldest[r.fs.Filesystems()[0]][0]
	remote := wire.Bck{Name: "cloud", Provider: "aws"}
	for _, c := range []struct {
		name  string
		bck   wire.Bck
		props meta.Bprops
		force bool
		may   bool
	}{
		{"opted in", r.bck, meta.Bprops{LRU: r.props.LRU, Access: meta.AccessAll}, false, true},
		{"not opted in", r.bck, meta.Bprops{Access: meta.AccessAll}, false, false},
		{"not opted in, force", r.bck, meta.Bprops{Access: meta.AccessAll}, true, false},
		{"without delete", r.bck, meta.Bprops{LRU: r.props.LRU, Access: meta.AccessReadOnly}, true, false},
		{"remote", remote, meta.Bprops{LRU: r.props.LRU, Access: meta.AccessAll}, false, true},
		{"remote, off", remote, meta.Bprops{Access: meta.AccessAll}, false, false},
		{"remote, off, force", remote, meta.Bprops{Access: meta.AccessAll}, true, true},
		{"with a backend, off, force", r.bck, meta.Bprops{Access: meta.AccessAll, BackendBck: remote}, true, true},
	} {
		if may := MayEvict(meta.BucketEntry{Bck: c.bck, Props: &c.props}, c.force); may != c.may {
			t.Errorf("%s: %v", c.name, may)
		}
	}
	off := r.props.Clone()
	off.LRU.Enabled = false
	x.Key.Props = off
	if _, err := r.store.Evict(context.Background(), &x); statusOf(err) != 400 || !strings.Contains(err.Error(), "lru.enabled") {
		t.Errorf("the only copy: %v", err)
	}
	if _, _, found := r.get("o"); !found {
		t.Error("the only copy was evicted")
	}
}

// fakeBackend has objects under any name, as one that came from it.
type fakeBackend struct{ Remote }

func (fakeBackend) Fetch(context.Context, Key) (io.ReadCloser, Attrs, error) {
	return io.NopCloser(strings.NewReader("remote")), Attrs{Size: 6, Custom: []KV{{CustomSource, "aws"}}}, nil
}

func TestEvictFromRemoteBucket(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{props: evictable, store: func(o *Options) { o.Ports.Remote = fakeBackend{} }})
	r.put("local", "only here") // before the bucket had a backend
	r.props.BackendBck = wire.Bck{Name: "cloud", Provider: "aws"}
	o, err := r.store.resolve(r.key("cached"))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.store.fetch(context.Background(), &o); err != nil {
		t.Fatal(err)
	}
	r.age(5, "local", "cached")
	want := map[string]Kept{"local": KeptOnlyCopy, "cached": KeptNot}
	for _, x := range r.oldest(r.choice(10)).Oldest[r.fs.Filesystems()[0]] {
		if kept := r.evict(&x); kept != want[x.Key.Name] {
			t.Errorf("%s: %q", x.Key.Name, kept)
		}
	}
	if names := r.names(ListOptions{}); len(names) != 1 || names[0] != "local" {
		t.Errorf("left: %q", names)
	}
}

// TestEvictOnAFullDisk: without a block, and a failure leaves the object whole.
func TestEvictOnAFullDisk(t *testing.T) {
	t.Parallel()
	d := newFullDisk(t, marksOff)
	d.props.LRU.Enabled, d.props.Access = true, meta.AccessAll
	n := d.fill()
	choice := EvictionChoice{
		Buckets: []meta.BucketEntry{{Bck: d.key("").Bck, Props: d.key("").Props}}, Filesystems: d.fs.Filesystems(), Batch: 10,
		Before: func(meta.BucketEntry) int64 { return time.Now().Add(time.Hour).UnixNano() },
	}
	e, err := d.store.OldestObjects(context.Background(), choice)
	if err != nil {
		t.Fatal(err)
	}
	all := e.Oldest[d.fs.Filesystems()[0]]
	if len(all) == 0 {
		t.Fatalf("of %d objects none is old", n)
	}
	d.faults.Inject(faultfs.Fault{Op: faultfs.OpUnlink, Path: all[0].Key.Name, Err: unix.EIO})
	if _, err := d.store.Evict(context.Background(), &all[0]); statusOf(err) != 500 {
		t.Errorf("with a disk that fails: %v", err)
	}
	if size, err := d.read(all[0].Key.Name); err != nil || int64(size) != all[0].Size {
		t.Errorf("after that: %d bytes, %v", size, err)
	}
	for i := range all {
		if kept, err := d.store.Evict(context.Background(), &all[i]); err != nil || kept != KeptNot && kept != KeptAccessed {
			t.Errorf("%s: %q %v", all[i].Key.Name, kept, err)
		}
	}
	if err := d.put("again", 1000); err != nil {
		t.Errorf("after eviction: %v", err)
	}
}

// TestEvictWhileWriting: an eviction and a write of one name: the write is there
// afterwards.
func TestEvictWhileWriting(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{mountpaths: 2, props: evictable})
	for round := range 30 {
		name := fmt.Sprintf("o%d", round)
		r.put(name, "old")
		r.age(5, name)
		e := r.oldest(r.choice(100))
		var group sync.WaitGroup
		for _, x := range e.Oldest[r.fs.Filesystems()[0]] {
			group.Go(func() {
				if _, err := r.store.Evict(context.Background(), &x); err != nil {
					t.Error(err)
				}
			})
		}
		group.Go(func() { r.put(name, "new") })
		group.Wait()
		if content, _, found := r.get(name); !found || content != "new" {
			t.Fatalf("round %d: %q, found %v", round, content, found)
		}
	}
}
