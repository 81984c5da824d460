package core

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/fs/faultfs"
)

// longBench makes benchmarks take the time of a million versions.
var longBench = flag.Bool("long-versions", false, "run the benchmarks of a million versions")

// versionPages lists all versions of the bucket page by page: from the index,
// which must be usable, or from the files.
func (r *rig) versionPages(tb failer, limit int, indexed bool) (lines []string) {
	r.tb.Helper()
	ctx := context.Background()
	o := VersionListOptions{Limit: limit}
	for {
		var page []Version
		var err error
		if indexed {
			var ok bool
			if page, ok, err = r.store.indexedVersions(ctx, r.store.bucket(r.bck, r.props), &o); err == nil && !ok {
				err = errors.New("the index cannot be used")
			}
		} else {
			page, err = r.store.walkVersions(ctx, r.bck, r.props, &o)
		}
		if err != nil {
			tb.Fatalf("indexed %v: %v", indexed, err)
		}
		for i := range page {
			v := page[i]
			damage := v.Damage != nil
			v.Damage = nil
			lines = append(lines, fmt.Sprintf("%+v damaged %v", v, damage))
		}
		if len(page) < limit {
			return lines
		}
		o.After, o.AfterStamp = page[limit-1].Name, page[limit-1].Attrs.Stamp
	}
}

type failer interface {
	Fatalf(format string, args ...any)
}

// sameVersions fails if index and files do not list the same.
func (r *rig) sameVersions(tb failer) {
	r.tb.Helper()
	want := r.versionPages(tb, 1000, false)
	for _, limit := range []int{1, 3, 1000} {
		if got := r.versionPages(tb, limit, true); !slices.Equal(got, want) {
			tb.Fatalf("pages of %d from the index\n%s\nand from the files\n%s", limit, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

// TestVersionsInTheIndex runs random changes, restarts, kills and rebuilds:
// what the index lists is what the files say, after each.
func TestVersionsInTheIndex(t *testing.T) {
	t.Parallel()
	for _, mountpaths := range []int{1, 3} {
		t.Run(fmt.Sprint(mountpaths), func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(rt *rapid.T) {
				sys := faultfs.New(nil)
				r := newRig(t, rigOptions{mountpaths: mountpaths, root: memoryDir(t), system: sys, store: func(o *Options) { o.BootID = "boot" }})
				defer r.close()
				changeVersions(rt, r, sys)
			})
		})
	}
}

func changeVersions(rt *rapid.T, r *rig, sys *faultfs.System) {
	ctx := context.Background()
	names := rapid.SampledFrom([]string{"a", "a/b", "a//b", "nul\x00", strings.Repeat("n", 300)[:270]})
	keep := rapid.SampledFrom([]Keep{KeepNothing, KeepVersion, KeepVersion, KeepNull})
	change := func(rt *rapid.T) {
		name, k := names.Draw(rt, "name"), keep.Draw(rt, "keep")
		switch rapid.SampledFrom([]string{"put", "put", "put", "marker", "delete", "bury", "custom", "delete version"}).Draw(rt, "change") {
		case "put":
			_, _ = r.tryPut(name, "x", PutOptions{Size: 1, Keep: k, SkipVC: true, Custom: []KV{{"ETag", "e"}}})
		case "marker":
			_, _ = r.store.PutDeleteMarker(ctx, r.key(name), k)
		case "delete":
			_ = r.store.Delete(ctx, r.key(name))
		case "bury":
			_, _ = r.store.Bury(ctx, r.key(name))
		case "custom":
			_, _ = r.store.SetCustom(ctx, r.key(name), []KV{{"k", "v"}}, false)
		case "delete version":
			if all, err := r.store.ListVersions(ctx, r.key(name)); err == nil && len(all) > 0 {
				i := rapid.IntRange(0, len(all)-1).Draw(rt, "which")
				_, _ = r.store.DeleteVersion(ctx, r.key(name), all[i].Attrs.VersionID())
			}
		}
	}
	rt.Repeat(map[string]func(*rapid.T){
		"change":  change,
		"change ": change,
		"change that fails": func(rt *rapid.T) {
			op := rapid.SampledFrom([]faultfs.Op{faultfs.OpLink, faultfs.OpRename, faultfs.OpUnlink}).Draw(rt, "op")
			sys.Inject(faultfs.Fault{Op: op, Path: "/@ais/", Nth: rapid.IntRange(1, 3).Draw(rt, "nth"), Err: unix.EIO, Late: rapid.Bool().Draw(rt, "late")})
			change(rt)
			sys.Heal()
		},
		"restart": func(*rapid.T) { r.restart() },
		"kill":    func(rt *rapid.T) { r.killIndexes(func() { change(rt) }) },
		"index lost": func(*rapid.T) {
			r.close()
			for _, dir := range r.dirs {
				if err := os.RemoveAll(filepath.Join(dir, fs.IndexDir)); err != nil {
					rt.Fatal(err)
				}
			}
			r.open()
		},
		"": func(rt *rapid.T) {
			r.indexed()
			r.sameVersions(rt)
		},
	})
}

// killIndexes has the next process find index and journal as they were at some
// moment after a change began, as kill -9 leaves them.
func (r *rig) killIndexes(change func()) {
	r.tb.Helper()
	change()
	copyDir := func(from, to string) {
		err := filepath.WalkDir(from, func(path string, entry os.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return errors.Join(err, os.MkdirAll(strings.Replace(path, from, to, 1), 0o755))
			}
			data, err := os.ReadFile(path)
			if errors.Is(err, os.ErrNotExist) {
				return nil // removed meanwhile: it was not in use
			}
			return errors.Join(err, os.WriteFile(strings.Replace(path, from, to, 1), data, 0o644))
		})
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			r.tb.Fatal(err)
		}
	}
	for _, dir := range r.dirs {
		copyDir(filepath.Join(dir, fs.JournalDir), dir+".journal")
		copyDir(filepath.Join(dir, fs.IndexDir), dir+".index")
	}
	r.close()
	for _, dir := range r.dirs {
		for from, to := range map[string]string{dir + ".journal": filepath.Join(dir, fs.JournalDir), dir + ".index": filepath.Join(dir, fs.IndexDir)} {
			if err := errors.Join(os.RemoveAll(to), os.Rename(from, to)); err != nil {
				r.tb.Fatal(err)
			}
		}
	}
	r.open()
}

// TestReplacedNullsThatStay: a null version that its successor could not remove
// is seen neither in the files nor in the index, whatever becomes current after.
func TestReplacedNullsThatStay(t *testing.T) {
	t.Parallel()
	for _, durability := range []struct {
		name  string
		props func(*meta.Bprops)
	}{{"none", nil}, {"sync", durable}} {
		for _, fault := range []faultfs.Fault{
			{Op: faultfs.OpRename, Path: "/@ais/", Late: true},
			{Op: faultfs.OpUnlink, Path: "/%ov/"},
			{Op: faultfs.OpUnlink, Path: "/%ov/", Late: true},
			{Op: faultfs.OpReadDir, Path: "/%ov/"},
			{Op: faultfs.OpGetXattr, Path: "/%ov/"},
			{Op: faultfs.OpSyncDir, Path: "/@ais/"},
		} {
			for nth := 1; nth <= 3; nth++ {
				t.Run(fmt.Sprintf("%s/%v %d late %v", durability.name, fault.Op, nth, fault.Late), func(t *testing.T) {
					t.Parallel()
					replacedNullsThatStay(t, durability.props, fault, nth)
				})
			}
		}
	}
}

func replacedNullsThatStay(t *testing.T, props func(*meta.Bprops), fault faultfs.Fault, nth int) {
	sys := faultfs.New(nil)
	r := newRig(t, rigOptions{root: memoryDir(t), system: sys, props: props})
	put := func(k Keep) {
		t.Helper()
		if _, err := r.tryPut("o", "x", PutOptions{Size: 1, Keep: k, SkipVC: true}); err != nil {
			t.Fatal(err)
		}
	}
	put(KeepNull)
	put(KeepVersion)
	put(KeepVersion)
	r.indexed()
	fault.Err, fault.Nth = unix.EIO, nth
	sys.Inject(fault)
	_, _ = r.store.PutDeleteMarker(t.Context(), r.key("o"), KeepNull)
	sys.Heal()
	for range 2 {
		put(KeepVersion)
		r.indexed()
		r.sameVersions(t)
	}
}

// TestVersionsByHand: files of versions that were changed while nobody looked
// are seen after Reindex, also such as belong to no object, or are damaged.
func TestVersionsByHand(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{root: memoryDir(t)})
	for _, name := range []string{"gone", "one less", "damaged", "no object"} {
		for range 3 {
			if _, err := r.tryPut(name, "x", PutOptions{Size: 1, Keep: KeepVersion}); err != nil {
				t.Fatal(err)
			}
		}
	}
	all := func(name string) []Version {
		versions, err := r.store.ListVersions(t.Context(), r.key(name))
		if err != nil || len(versions) != 3 {
			t.Fatal(len(versions), err)
		}
		return versions
	}
	err := errors.Join(
		os.RemoveAll(filepath.Dir(all("gone")[1].path)),
		os.Remove(all("one less")[2].path),
		fs.Unix().SetXattr(all("damaged")[1].path, XattrRecord, []byte("damage")),
		os.Remove(all("no object")[0].path),
	)
	if err != nil {
		t.Fatal(err)
	}
	r.indexed()
	if n := len(r.versionPages(t, 1000, true)); n != 12 {
		t.Fatalf("%d versions before", n)
	}
	r.store.Reindex()
	if n := len(r.bucketVersions(100)); n != 1+2+3+2 {
		t.Errorf("%d versions are listed meanwhile", n)
	}
	r.indexed()
	r.sameVersions(t)
	if n := len(r.versionPages(t, 1000, true)); n != 1+2+3+2 {
		t.Errorf("%d versions", n)
	}
	// Again, now that all entries are there, and from nothing.
	r.store.Reindex()
	r.indexed()
	r.sameVersions(t)
}

// TestDamagedVersionEntry: an entry that cannot be decoded ends the use of the
// index, and the page comes from the files.
func TestDamagedVersionEntry(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{root: memoryDir(t)})
	for range 3 {
		if _, err := r.tryPut("o", "x", PutOptions{Size: 1, Keep: KeepVersion}); err != nil {
			t.Fatal(err)
		}
	}
	r.indexed()
	all, err := r.store.ListVersions(t.Context(), r.key("o"))
	if err != nil {
		t.Fatal(err)
	}
	ix := r.store.indexing.of(r.fs.Available().Paths[0])
	v := all[1].Attrs.Stamp.indexVersion()
	for _, value := range []string{"", "x", strings.Repeat("\x02", 40)} {
		ix.SetVersion(r.props.BID, "o", &v, []byte(value))
	}
	if n := len(r.bucketVersions(10)); n != 3 {
		t.Errorf("%d versions", n)
	}
	if ix.Err() == nil {
		t.Error("the index is still believed")
	}
	if n := len(r.bucketVersions(1)); n != 3 {
		t.Errorf("%d versions by one", n)
	}
	r.restart()
	r.indexed()
	r.sameVersions(t)
}

// TestNamesBesideManyVersions: a page of names steps over the versions between
// them.
func TestNamesBesideManyVersions(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{root: memoryDir(t)})
	for _, name := range []string{"a", "a/b", "c"} {
		for range 20 {
			if _, err := r.tryPut(name, "x", PutOptions{Size: 1, Keep: KeepVersion}); err != nil {
				t.Fatal(err)
			}
		}
	}
	r.put("b", "x")
	if _, err := r.store.PutDeleteMarker(t.Context(), r.key("c"), KeepVersion); err != nil {
		t.Fatal(err)
	}
	r.indexed()
	if got := r.names(ListOptions{}); !slices.Equal(got, []string{"a", "a/b", "b"}) {
		t.Errorf("%q", got)
	}
	if got := r.names(ListOptions{NoRecursion: true}); !slices.Equal(got, []string{"a", "a/", "b"}) {
		t.Errorf("one level: %q", got)
	}
}

// TestVersionPagesOpenNothing: all that a page shows comes from the index.
func TestVersionPagesOpenNothing(t *testing.T) {
	t.Parallel()
	sys := faultfs.New(nil)
	r := newRig(t, rigOptions{system: sys, mountpaths: 2})
	for i := range 30 {
		if _, err := r.tryPut(fmt.Sprintf("o%d", i%10), "content", PutOptions{Size: 7, Keep: KeepVersion, Custom: []KV{{"ETag", "tag"}}}); err != nil {
			t.Fatal(err)
		}
	}
	r.indexed()
	sys.Reset()
	page, err := r.store.ListBucketVersions(t.Context(), r.bck, r.props, VersionListOptions{Limit: 100})
	if err != nil || len(page) != 30 || page[1].ETag != "tag" || page[1].Attrs.Size != 7 || page[1].Attrs.Mtime == 0 || !page[1].Attrs.Versioned {
		t.Fatalf("%d versions, %v", len(page), err)
	}
	for _, call := range sys.Calls() {
		if strings.Contains(call.Path, "@ais") {
			t.Errorf("a page called %s", call)
		}
	}
}

// BenchmarkVersionPage is a page of 1,000 versions anywhere in a bucket: of
// names with few of them, and of one name that has them all.
func BenchmarkVersionPage(b *testing.B) {
	sizes := []int{10_000, 100_000}
	if *longBench {
		sizes = append(sizes, 1_000_000)
	}
	for _, size := range sizes {
		for _, each := range []int{10, size} {
			b.Run(fmt.Sprintf("%d/%d-of-a-name", size, each), func(b *testing.B) {
				r := newRig(b, rigOptions{})
				mp := r.fs.Available().Paths[0]
				m := (*r.store.indexing.table.Load())[mp]
				m.end() // nobody shall find out that there are no files
				<-m.tended
				ix := m.ix
				rec := record{kind: KindObject, size: 4096, flags: flagVersioned, version: "3", mtime: 1_800_000_000_000_000_000, bid: r.props.BID}
				rec.checksum.Type, rec.checksum.Value = "xxhash2", "9c2f5d4a77aa10be"
				name := func(i int) string { return fmt.Sprintf("some/directory/object-%09d", i/each) }
				stamp := func(i int) Stamp { return Stamp{Epoch: 1, Clock: uint64(size - i), Node: 7} }
				for i := range size {
					rec.stamp = stamp(i)
					value := appendValue(nil, &rec, mp.ID)
					if v := rec.stamp.indexVersion(); i%each == 0 {
						ix.Set(r.props.BID, name(i), value)
					} else {
						ix.SetVersion(r.props.BID, name(i), &v, value)
					}
					for i%1000 == 0 && ix.Backlog() > 8<<20 {
						if err := ix.Checkpoint(b.Context()); err != nil {
							b.Fatal(err)
						}
					}
				}
				if err := ix.Checkpoint(b.Context()); err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				n := 0
				for b.Loop() {
					at := n % (size - 1000)
					n += 7919_003
					o := VersionListOptions{Limit: 1000, After: name(at), AfterStamp: stamp(at)}
					page, ok, err := r.store.indexedVersions(b.Context(), r.store.bucket(r.bck, r.props), &o)
					if err != nil || !ok || len(page) != 1000 {
						b.Fatal(at, len(page), ok, err)
					}
				}
			})
		}
	}
}
