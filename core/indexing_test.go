package core

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/fs/faultfs"
)

// indexed waits until the bucket is listed from the index on all mountpaths.
func (r *rig) indexed() {
	r.tb.Helper()
	for {
		ready := true
		for _, state := range r.store.IndexStates(r.props.BID) {
			ready = ready && state.Ready
		}
		if ready {
			return
		}
		if err := r.tb.Context().Err(); err != nil {
			r.tb.Fatal("the index does not become ready")
		}
		runtime.Gosched()
	}
}

// TestAPageOpensNoObject: all that a page shows comes from the index.
func TestAPageOpensNoObject(t *testing.T) {
	t.Parallel()
	sys := faultfs.New(nil)
	r := newRig(t, rigOptions{system: sys, mountpaths: 3})
	for i := range 50 {
		if _, err := r.tryPut(fmt.Sprintf("d/o%02d", i), "content", PutOptions{Size: 7, Custom: []KV{{"ETag", "tag"}, {"k", "v"}}}); err != nil {
			t.Fatal(err)
		}
	}
	r.indexed()
	sys.Reset()
	all := ListSize | ListChecksum | ListVersion | ListCopies | ListCustom | ListLocation | ListMtime | ListETag
	page, err := r.store.List(t.Context(), r.bck, r.props, ListOptions{Props: all})
	if err != nil || len(page) != 50 {
		t.Fatalf("%d entries, %v", len(page), err)
	}
	e := &page[7]
	if e.Name != "d/o07" || e.Attrs.Size != 7 || e.Attrs.Version != "1" || e.ETag != "tag" || len(e.Attrs.Custom) != 2 || e.Attrs.Mtime == 0 ||
		e.Attrs.Checksum.Value == "" || e.Attrs.Copies != 1 || e.Attrs.Mountpath == nil {
		t.Errorf("%+v", e)
	}
	for _, call := range sys.Calls() {
		if strings.Contains(call.Path, "@ais") {
			t.Errorf("a page called %s", call)
		}
	}
	if _, err := r.tryPut("large", "x", PutOptions{Size: 1, Custom: []KV{{"k", strings.Repeat("v", 1500)}}}); err != nil {
		t.Fatal(err)
	}
	page, err = r.store.List(t.Context(), r.bck, r.props, ListOptions{Props: ListCustom | ListAtime, Prefix: "large"})
	if err != nil || len(page) != 1 || len(page[0].Attrs.Custom) != 1 || page[0].Attrs.Atime == 0 {
		t.Errorf("%+v, %v", page, err)
	}
}

// TestListingAsFilesAndAsIndex: both ways list the same, whatever the options.
func TestListingAsFilesAndAsIndex(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{mountpaths: 2, root: memoryDir(t)})
	for _, name := range []string{
		"a", "a-b", "a/b", "a/c/d", "a0", "a//x", "p", "p/q", "p/", "dir/", "dir/x", "img-test/obj1", "img-test/pics/o", "img", "~x", "nul\x00in", "z\xff", ".", "..",
	} {
		r.put(name, name)
	}
	r.put("gone", "x")
	if err := r.store.Delete(t.Context(), r.key("gone")); err != nil {
		t.Fatal(err)
	}
	if _, err := r.store.Bury(t.Context(), r.key("buried")); err != nil {
		t.Fatal(err)
	}
	r.indexed()
	table := r.store.indexing.table.Load()
	for _, o := range []ListOptions{
		{}, {Props: ListSize | ListVersion | ListChecksum | ListCustom | ListCopies}, {Stamps: true}, {Missing: true},
		{NoRecursion: true}, {NoRecursion: true, Prefix: "a"}, {NoRecursion: true, Prefix: "a/"}, {NoRecursion: true, Prefix: "img"},
		{NoRecursion: true, Prefix: "p"}, {NoRecursion: true, Prefix: "dir"}, {NoRecursion: true, After: "a/"}, {Prefix: "a", After: "a-b"},
		{Prefix: "img-test"}, {After: "gone"}, {After: "not there"}, {Prefix: "nul\x00"}, {Limit: 1}, {Limit: 3, After: "a0"},
		{NoRecursion: true, Limit: 2}, {NoRecursion: true, Limit: 1, After: "img-test/"},
	} {
		indexed, err := r.store.List(t.Context(), r.bck, r.props, o)
		if err != nil {
			t.Fatal(err)
		}
		r.store.indexing.table.Store(&indexTable{})
		walked, err := r.store.List(t.Context(), r.bck, r.props, o)
		r.store.indexing.table.Store(table)
		if err != nil {
			t.Fatal(err)
		}
		if fmt.Sprintf("%+v", indexed) != fmt.Sprintf("%+v", walked) {
			t.Errorf("%+v:\nindex %+v\nfiles %+v", o, indexed, walked)
		}
	}
}

// TestIndexIsMended: whatever became of it while the node was down, listings
// are whole at once, and the index is soon.
func TestIndexIsMended(t *testing.T) {
	t.Parallel()
	in := func(r *rig, name string) []string {
		var paths []string
		for _, dir := range r.dirs {
			paths = append(paths, filepath.Join(dir, name))
		}
		return paths
	}
	for _, tc := range []struct {
		name string
		harm func(*rig) error
	}{
		{"untouched", func(*rig) error { return nil }},
		{"index lost", func(r *rig) (err error) {
			for _, path := range in(r, fs.IndexDir) {
				err = errors.Join(err, os.RemoveAll(path))
			}
			return err
		}},
		{"journal lost", func(r *rig) (err error) {
			for _, path := range in(r, fs.JournalDir) {
				err = errors.Join(err, os.RemoveAll(path))
			}
			return err
		}},
		{"state damaged", func(r *rig) (err error) {
			for _, path := range in(r, fs.JournalDir+"/state") {
				err = errors.Join(err, os.WriteFile(path, []byte("{}"), 0o644))
			}
			return err
		}},
		{"tables damaged", func(r *rig) (err error) {
			for _, path := range in(r, fs.IndexDir) {
				err = errors.Join(err, filepath.WalkDir(path, func(path string, d os.DirEntry, err error) error {
					if err != nil || d.IsDir() {
						return err
					}
					info, err := d.Info()
					if err != nil {
						return err
					}
					return os.Truncate(path, info.Size()/2)
				}))
			}
			return err
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, rigOptions{mountpaths: 2, root: memoryDir(t)})
			names := someNames(300)
			for _, name := range names {
				r.put(name, "x")
			}
			r.close()
			if err := tc.harm(r); err != nil {
				t.Fatal(err)
			}
			r.open()
			for range 2 {
				if have := r.allNames(ListOptions{Limit: 70}); !slices.Equal(have, names) {
					t.Fatalf("%d names, want %d", len(have), len(names))
				}
				r.indexed()
			}
			r.put("one more", "x")
			if have := r.allNames(ListOptions{Limit: 1000}); len(have) != len(names)+1 {
				t.Errorf("%d names", len(have))
			}
		})
	}
}

// TestFilesChangedByHand are seen after Reindex.
func TestFilesChangedByHand(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{root: memoryDir(t)})
	for _, name := range []string{"a", "b", "c"} {
		r.put(name, name)
	}
	r.indexed()
	object := func(name string) string { return filepath.Join(r.dirs[0], "@ais/b1/%ob", name) }
	if err := errors.Join(os.Rename(object("b"), object("moved")), os.Remove(object("c"))); err != nil {
		t.Fatal(err)
	}
	r.store.Reindex()
	for range 2 {
		if have := r.names(ListOptions{}); !slices.Equal(have, []string{"a", "moved"}) {
			t.Errorf("%q", have)
		}
		r.indexed()
	}
}

// TestEmptyBucketOfWhichTheIndexRemembersNames: after a loss of power a bucket
// may have no file while its index, which is not believed then, has names.
func TestEmptyBucketOfWhichTheIndexRemembersNames(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{root: memoryDir(t)})
	r.put("p/q", "content")
	r.indexed()
	b := (*r.store.buckets.Load())[r.bck]
	for _, m := range *r.store.indexing.table.Load() {
		m.ix.Doubt(b.bid)
	}
	if err := os.RemoveAll(filepath.Join(r.dirs[0], "@ais/b1/%ob/p")); err != nil {
		t.Fatal(err)
	}
	r.store.indexing.bucketMade(b)
	if have := r.names(ListOptions{}); len(have) != 0 {
		t.Errorf("before the index was compared with the files: %q", have)
	}
	r.store.Reindex()
	r.indexed()
	if have := r.names(ListOptions{}); len(have) != 0 {
		t.Errorf("afterwards: %q", have)
	}
}

// TestReindexWhileOneIsUnderWay: what was changed by hand behind a comparison
// that goes on is found by the next one.
func TestReindexWhileOneIsUnderWay(t *testing.T) {
	t.Parallel()
	system := faultfs.New(nil)
	r := newRig(t, rigOptions{system: system})
	r.put("a/x", "content")
	r.put("b/x", "content")
	r.indexed()
	file := r.fileOf("a/x")
	var once sync.Once
	system.Before(func(c faultfs.Call) {
		if c.Op != faultfs.OpReadDir || !strings.HasSuffix(c.Path, "/%ob/b") {
			return
		}
		once.Do(func() { // "a" was read
			if err := os.Link(file, filepath.Dir(file)+"/y"); err != nil {
				t.Error(err)
			}
			r.store.Reindex()
		})
	})
	r.store.Reindex()
	r.indexed()
	if names := r.names(ListOptions{}); !slices.Equal(names, []string{"a/x", "a/y", "b/x"}) {
		t.Errorf("%q", names)
	}
}

// TestReplacingAnIndexIsNotWaitedFor: who tends an index that was given up comes
// back while the table of indexes is being changed, or who changes it and waits
// for him would wait for ever.
func TestReplacingAnIndexIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{store: func(o *Options) { o.IndexRetry = 10 * time.Millisecond }})
	indexes := r.store.indexing
	m := (*indexes.table.Load())[r.fs.Available().Paths[0]]
	indexes.changing.Lock()
	m.ix.GiveUp(errors.New("a disk that failed"))
	back := make(chan struct{})
	go func() {
		indexes.awaitReplacement(m)
		close(back)
	}()
	select {
	case <-back:
	case <-time.After(30 * time.Second):
		t.Error("it waits for the change of the table")
	}
	indexes.changing.Unlock()
	r.indexed()
}

// TestListingDuringWrites: names that are there throughout are listed exactly
// once, also while they move from one mountpath to another.
func TestListingDuringWrites(t *testing.T) {
	t.Parallel()
	for _, walk := range []bool{false, true} {
		t.Run(fmt.Sprintf("walk %v", walk), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, rigOptions{mountpaths: 2, root: memoryDir(t), store: func(o *Options) { o.WalkOnly = walk }})
			steady := someNames(200)
			for _, name := range steady {
				r.put("s/"+name, "x")
			}
			r.attach("third") // a third of the names lie elsewhere now
			var done atomic.Bool
			var work sync.WaitGroup
			for w := range 3 {
				work.Go(func() {
					random := rand.New(rand.NewPCG(uint64(w), 7))
					for !done.Load() {
						name := "s/" + steady[random.IntN(len(steady))]
						if _, err := r.tryPut(name, "y", PutOptions{Size: 1}); err != nil {
							t.Error(err)
							return
						}
						name = fmt.Sprintf("s/extra-%d-%d", w, random.IntN(50))
						if random.IntN(2) == 0 {
							_, err := r.tryPut(name, "z", PutOptions{Size: 1})
							if err != nil {
								t.Error(err)
							}
						} else if err := r.store.Delete(context.Background(), r.key(name)); err != nil && statusOf(err) != 404 {
							t.Error(err)
						}
					}
				})
			}
			for range 40 {
				counts := map[string]int{}
				after := ""
				for {
					page, err := r.store.List(t.Context(), r.bck, r.props, ListOptions{Prefix: "s/", After: after, Limit: 37})
					if err != nil {
						t.Fatal(err)
					}
					for i := range page {
						counts[page[i].Name]++
						if page[i].Name <= after {
							t.Errorf("%q after %q", page[i].Name, after)
						}
						after = page[i].Name
					}
					if len(page) < 37 {
						break
					}
				}
				for _, name := range steady {
					if counts["s/"+name] != 1 {
						t.Errorf("%q is listed %d times", name, counts["s/"+name])
					}
				}
				if t.Failed() {
					break
				}
			}
			done.Store(true)
			work.Wait()
		})
	}
}

// TestIndexThatFailsIsWalkedAround: an index whose files cannot be read is no
// reason for a wrong page, nor for a failed write.
func TestIndexThatFailsIsWalkedAround(t *testing.T) {
	t.Parallel()
	sys := faultfs.New(nil)
	r := newRig(t, rigOptions{system: sys, root: memoryDir(t)})
	names := someNames(500)
	for _, name := range names[:250] {
		r.put(name, "x")
	}
	r.indexed()
	sys.Inject(faultfs.Fault{Path: "/" + fs.IndexDir + "/", Err: unix.EIO, Times: -1})
	sys.Inject(faultfs.Fault{Path: "/" + fs.JournalDir + "/", Err: unix.EIO, Times: -1})
	for _, m := range *r.store.indexing.table.Load() {
		if err := m.ix.Checkpoint(t.Context()); err == nil {
			t.Error("a checkpoint without a disk")
		}
	}
	for _, name := range names[250:] {
		r.put(name, "x")
	}
	if have := r.allNames(ListOptions{Limit: 100}); !slices.Equal(have, names) {
		t.Errorf("%d names", len(have))
	}
	sys.Heal()
	r.restart()
	if have := r.allNames(ListOptions{Limit: 100}); !slices.Equal(have, names) {
		t.Errorf("after a restart: %d names", len(have))
	}
	r.indexed()
}

// TestMissing lists what lies elsewhere than it belongs, with its status.
func TestMissing(t *testing.T) {
	t.Parallel()
	for _, walk := range []bool{false, true} {
		r := newRig(t, rigOptions{mountpaths: 2, root: memoryDir(t), store: func(o *Options) { o.WalkOnly = walk }})
		names := someNames(20)
		for _, name := range names {
			r.put(name, "x")
		}
		third := r.attach("third")
		if !walk {
			r.indexed()
		}
		want := map[string]uint16{}
		for _, name := range r.placedOn(third, names) {
			want[name] = wire.EntryMisplacedMountpath
		}
		page, err := r.store.List(t.Context(), r.bck, r.props, ListOptions{Missing: true})
		if err != nil || len(page) != len(names) || len(want) == 0 {
			t.Fatalf("%d entries, %d misplaced: %v", len(page), len(want), err)
		}
		for i := range page {
			if page[i].Flags != wire.EntryPresent|want[page[i].Name] {
				t.Errorf("%s: flags %d", page[i].Name, page[i].Flags)
			}
		}
		page, err = r.store.List(t.Context(), r.bck, r.props, ListOptions{Missing: true, Limit: 3, Owns: func(uint64) bool { return false }})
		if err != nil || len(page) != 3 || page[0].Flags != wire.EntryPresent|wire.EntryMisplacedNode {
			t.Errorf("%+v, %v", page, err)
		}
		page, err = r.store.List(t.Context(), r.bck, r.props, ListOptions{Owns: func(uint64) bool { return false }})
		if err != nil || len(page) != 0 {
			t.Errorf("%+v, %v", page, err)
		}
	}
}

// TestReplicas: a copy has the status of one, beside its main file or alone.
func TestReplicas(t *testing.T) {
	t.Parallel()
	for _, walk := range []bool{false, true} {
		r := newRig(t, rigOptions{mountpaths: 2, root: memoryDir(t), store: func(o *Options) { o.WalkOnly = walk }})
		for _, name := range []string{"whole", "orphan"} {
			r.put(name, "x")
			main := r.fileOf(name)
			from, to := r.fs.Available().Paths[0], r.fs.Available().Paths[1]
			if strings.HasPrefix(main, to.Path+"/") {
				from, to = to, from
			}
			copied := strings.Replace(main, from.Path, to.Path, 1)
			buf := make([]byte, 4096)
			n, err := fs.Unix().GetXattr(main, XattrRecord, buf)
			if err != nil {
				t.Fatal(err)
			}
			_, content, err := openFrame(buf[:n])
			var rec record
			if err = errors.Join(err, rec.decodeBody(content)); err != nil {
				t.Fatal(err)
			}
			rec.copies = []string{to.ID}
			frame, _ := rec.appendInline(nil)
			if err := errors.Join(os.WriteFile(copied, []byte("x"), 0o644), fs.Unix().SetXattr(copied, XattrRecord, frame)); err != nil {
				t.Fatal(err)
			}
			if name == "orphan" {
				if err := os.Remove(main); err != nil {
					t.Fatal(err)
				}
			}
		}
		if !walk {
			r.store.Reindex()
			r.indexed()
		}
		page, err := r.store.List(t.Context(), r.bck, r.props, ListOptions{Missing: true})
		var got []string
		for i := range page {
			got = append(got, fmt.Sprintf("%s %d", page[i].Name, page[i].Flags&wire.EntryStatusMask))
		}
		if want := []string{"orphan 4", "whole 0", "whole 3"}; err != nil || !slices.Equal(got, want) {
			t.Errorf("walk %v: %q, %v", walk, got, err)
		}
		page, err = r.store.List(t.Context(), r.bck, r.props, ListOptions{})
		if err != nil || len(page) != 1 || page[0].Name != "whole" {
			t.Errorf("walk %v, without the flag: %+v, %v", walk, page, err)
		}
	}
}

// TestValuesAreReadBack, and damage of them does no harm.
func TestValuesAreReadBack(t *testing.T) {
	t.Parallel()
	rec := record{
		kind: KindObject, place: PlaceEscaped, size: 1 << 40, bid: 7, stamp: Stamp{1, 2, 3}, mtime: 1_800_000_000_000, atime: 1_900_000_000_000,
		version: "12", custom: []KV{{"ETag", "e"}, {"k", "v"}}, copies: []string{"m1", "m2"},
	}
	rec.checksum.Type, rec.checksum.Value = "md5", "d41d8cd98f00b204e9800998ecf8427e"
	data := appendValue(nil, &rec, "m2")
	var v entryValue
	if !v.decodeHead(data) || !v.details(true) || v.kind != KindObject || v.place() != PlaceEscaped || v.flags&valueReplica == 0 ||
		v.stamp != rec.stamp || v.size != rec.size || v.mtime != rec.mtime || v.atime != rec.atime || v.copies != 2 ||
		v.checksum != rec.checksum || v.version != "12" || v.etag != "e" || !slices.Equal(v.custom, rec.custom) {
		t.Errorf("%+v", v)
	}
	for at := range data {
		if v.decodeHead(data[:at]) {
			_ = v.details(true) // must not panic
		}
	}
}

func FuzzEntryValue(f *testing.F) {
	f.Add(appendValue(nil, &record{kind: KindObject, version: "1"}, ""))
	f.Fuzz(func(t *testing.T, data []byte) {
		var v entryValue
		if v.decodeHead(data) && v.details(true) && v.size < 0 {
			t.Errorf("size %d", v.size)
		}
	})
}
