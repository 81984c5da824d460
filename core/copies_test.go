package core

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/fs/crashfs"
	"github.com/aistore-go/aistore/fs/faultfs"
)

// arranger is the port that has Arrange put a copy into the place of the object.
type arranger struct{ store func() *Store }

func (c arranger) Restore(ctx context.Context, key Key) error {
	_, err := c.store().Arrange(ctx, key)
	return err
}

func (arranger) Committed(Key, Attrs) {}

func mirrorRig(t *testing.T, mountpaths, copies int, more func(*meta.Bprops)) *rig {
	var r *rig
	r = newRig(t, rigOptions{mountpaths: mountpaths, props: func(p *meta.Bprops) {
		mirrored(copies)(p)
		if more != nil {
			more(p)
		}
	}, store: func(o *Options) { o.Ports.Copies = arranger{func() *Store { return r.store }} }})
	return r
}

// arrange does what is pending, and returns what it did.
func (r *rig) arrange() (sum Arranged) {
	r.tb.Helper()
	for {
		_, all := r.pending(WorkCopies, 100)
		if len(all) == 0 {
			return sum
		}
		for i := range all {
			did, err := r.store.Arrange(context.Background(), all[i].Key)
			if err != nil {
				r.tb.Fatalf("%q: %v", all[i].Name, err)
			}
			sum.Moved, sum.Copied, sum.Removed = sum.Moved+did.Moved, sum.Copied+did.Copied, sum.Removed+did.Removed
			if _, err := r.store.PendingDone(context.Background(), WorkCopies, &all[i]); err != nil {
				r.tb.Fatal(err)
			}
		}
	}
}

// wantInstances checks that a name has one object and so many copies of it in
// all, each on another mountpath and with the content, and nothing else.
func (r *rig) wantInstances(name, content string, want int) {
	r.tb.Helper()
	all, err := r.store.Belongings(context.Background(), r.key(name))
	if err != nil {
		r.tb.Fatal(err)
	}
	found := 0
	var stamp Stamp
	for i := range all {
		b := &all[i]
		switch b.Kind {
		case BelongsObject, BelongsCopy:
			found++
			data, err := os.ReadFile(b.Path)
			if err != nil || string(data) != content || found > 1 && stamp != b.Stamp {
				r.tb.Errorf("%s: %.30q, stamp %v (%v), %v", b.Path, data, b.Stamp, stamp, err)
			}
			stamp = b.Stamp
		case BelongsSidecar:
		default:
			r.tb.Errorf("%q: %s at %s", name, b.Kind, b.Path)
		}
	}
	if found != want {
		r.tb.Errorf("%q has %d instances, want %d", name, found, want)
	}
}

func TestCopiesFollowTheObject(t *testing.T) {
	t.Parallel()
	large := []KV{{"k", strings.Repeat("v", 2000)}}
	r := mirrorRig(t, 4, 3, nil)
	names := []string{"a", "d/e", "x//y", strings.Repeat("n", 300), "side"}
	put := func(content string) {
		for _, name := range names {
			o := PutOptions{Size: int64(len(content))}
			if name == "side" {
				o.Custom = large
			}
			if _, err := r.tryPut(name, content, o); err != nil {
				t.Fatal(err)
			}
		}
	}
	listed := func(want int) {
		t.Helper()
		r.indexed()
		page, err := r.store.List(t.Context(), r.bck, r.props, ListOptions{Props: ListCopies})
		if err != nil || len(page) != len(names) {
			t.Fatalf("%d entries, %v", len(page), err)
		}
		for i := range page {
			if attrs, err := r.store.Head(t.Context(), r.key(page[i].Name)); page[i].Attrs.Copies != want || err != nil || attrs.Copies != want {
				t.Errorf("%q has %d copies, and %d by itself (%v), want %d", page[i].Name, page[i].Attrs.Copies, attrs.Copies, err, want)
			}
		}
	}
	put("one")
	listed(1)
	if did := r.arrange(); did.Copied != 2*len(names) || did.Removed != 0 {
		t.Errorf("%+v", did)
	}
	listed(3)
	for _, name := range names {
		r.wantInstances(name, "one", 3)
	}
	put("another") // nothing of what is replaced is left when it is acknowledged
	listed(1)
	for _, name := range names {
		r.wantInstances(name, "another", 1)
	}
	r.arrange()
	for _, name := range names {
		if _, err := r.patch(name, false, KV{"key", "value"}); err != nil {
			t.Fatal(err)
		}
		r.wantInstances(name, "another", 1)
	}
	r.arrange()
	if did := r.arrange(); did != (Arranged{}) {
		t.Errorf("%+v", did)
	}
	listed(3)
	for _, name := range names {
		r.wantInstances(name, "another", 3)
		if err := r.store.Delete(t.Context(), r.key(name)); err != nil {
			t.Fatal(err)
		}
	}
	if left := r.files(); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}

// TestCopiesAreTooManyOrTooFew: the number follows the properties; a node with
// fewer mountpaths makes as many as it can.
func TestCopiesAreTooManyOrTooFew(t *testing.T) {
	t.Parallel()
	r := mirrorRig(t, 3, 2, nil)
	r.put("o", "content")
	before, err := r.store.Arrange(t.Context(), r.key("o"))
	if err != nil || before.Instances != 2 || before.Short() != 0 {
		t.Errorf("%+v, %v", before, err)
	}
	stamp := func() Stamp {
		attrs, err := r.store.Head(t.Context(), r.key("o"))
		if err != nil {
			t.Fatal(err)
		}
		return attrs.Stamp
	}
	was := stamp()
	for _, tc := range []struct{ copies, instances, short int }{{3, 3, 0}, {5, 3, 2}, {2, 2, 0}, {1, 1, 0}, {3, 3, 0}} {
		props := r.props.Clone()
		props.Mirror.Enabled, props.Mirror.Copies = tc.copies > 1, tc.copies
		bmd := r.bmdWith(props)
		if err := r.store.ApplyBMD(t.Context(), r.bmd, bmd); err != nil {
			t.Fatal(err)
		}
		r.bmd, r.props = bmd, props
		did, err := r.store.Arrange(t.Context(), r.key("o"))
		if err != nil || did.Instances != tc.instances || did.Short() != tc.short {
			t.Errorf("%d copies: %+v, %v", tc.copies, did, err)
		}
		r.wantInstances("o", "content", tc.instances)
	}
	if stamp() != was {
		t.Error("the object is another one by its stamp")
	}
}

// TestDamagedObjectIsReadFromItsCopies: whatever happens to the file of the
// object, reads go on, and it is made again.
func TestDamagedObjectIsReadFromItsCopies(t *testing.T) {
	t.Parallel()
	type damage struct {
		name string
		harm func(path string) error
		sum  string // a read compares this checksum; "": none is compared
	}
	damages := []damage{
		{"removed", os.Remove, ""},
		{"shorter", func(path string) error { return os.Truncate(path, 3) }, ""},
		{"record lost", func(path string) error { return fs.Unix().SetXattr(path, XattrRecord, []byte("rubbish")) }, ""},
	}
	for _, sum := range []string{cksum.XXHash, cksum.XXHash2, cksum.MD5, cksum.CRC32C, cksum.SHA256, cksum.SHA512} {
		damages = append(damages, damage{"a bit flipped, " + sum, func(path string) error { return os.WriteFile(path, []byte("cOntent"), 0o644) }, sum})
	}
	for _, tc := range damages {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := mirrorRig(t, 3, 3, func(p *meta.Bprops) {
				if tc.sum != "" {
					p.Checksum.Type, p.Checksum.ValidateWarmGet = tc.sum, true
				}
			})
			r.put("o", "content")
			r.arrange()
			if err := tc.harm(r.fileOf("o")); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				if content, _, found := r.get("o"); !found || content != "content" {
					t.Errorf("%q, found %v", content, found)
				}
			}
			r.arrange()
			r.wantInstances("o", "content", 3)
			if err := r.store.Verify(t.Context(), r.key("o")); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestLostMountpath: the copies of what lay on it are the objects, at once; and
// there are as many as before, later.
func TestLostMountpath(t *testing.T) {
	t.Parallel()
	r := mirrorRig(t, 4, 2, nil)
	for i := range 60 {
		r.put(fmt.Sprintf("o%02d", i), fmt.Sprint("content ", i))
	}
	r.arrange()
	if err := r.fs.Remove(r.dirs[1], fs.Disable, false); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(r.dirs[1]); err != nil {
		t.Fatal(err)
	}
	r.dirs = slices.Delete(r.dirs, 1, 2)
	for i := range 60 {
		if content, _, found := r.get(fmt.Sprintf("o%02d", i)); !found || content != fmt.Sprint("content ", i) {
			t.Errorf("o%02d: %q, found %v", i, content, found)
		}
	}
	if names := r.allNames(ListOptions{Limit: 7}); len(names) != 60 {
		t.Errorf("%d names are listed", len(names))
	}
	r.arrangeAll()
	for i := range 60 {
		r.wantInstances(fmt.Sprintf("o%02d", i), fmt.Sprint("content ", i), 2)
	}
}

// arrangeAll does what resilver does.
func (r *rig) arrangeAll() (sum Arranged) {
	r.tb.Helper()
	ctx := context.Background()
	set := r.fs.Available()
	entry := meta.BucketEntry{Bck: r.bck, Props: r.props}
	visit := func(key Key) error {
		did, err := r.store.Arrange(ctx, key)
		sum.Moved, sum.Copied, sum.Removed = sum.Moved+did.Moved, sum.Copied+did.Copied, sum.Removed+did.Removed
		return err
	}
	for _, walk := range []func(mp *fs.Mountpath) error{
		func(mp *fs.Mountpath) error { return r.store.Unarranged(ctx, set, mp, entry, visit) },
		func(mp *fs.Mountpath) error { return r.store.UploadsOf(ctx, mp, entry, visit) },
		func(mp *fs.Mountpath) error { return r.store.SlicesOf(ctx, set, mp, entry, visit) },
	} {
		for _, mp := range set.All() {
			if err := walk(mp); err != nil {
				r.tb.Fatal(err)
			}
		}
	}
	return sum
}

// fill makes objects of every form and returns a check that all of it can be
// read.
func (r *rig) fill(n int) (check func()) {
	large := []KV{{"k", strings.Repeat("v", 2000)}}
	chunk := strings.Repeat("c", 5000)
	type version struct{ id, content string }
	versions := map[string][]version{}
	objects := map[string]string{}
	for i := range n {
		name := []string{"plain%d", "deep/er/%d", "escaped//%d", "side%d", "versions%d", "chunked%d", "versions-chunked%d"}[i%7]
		name = fmt.Sprintf(name, i)
		o := PutOptions{Size: -1}
		content := fmt.Sprint("content of ", name)
		switch i % 7 {
		case 3:
			o.Custom = large
		case 4, 6:
			o.Keep = KeepVersion
			for v := range 3 {
				content = fmt.Sprint(name, v)
				if i%7 == 6 {
					content += strings.Repeat(chunk, 2)
				}
				attrs, err := r.tryPut(name, content, o)
				if err != nil {
					r.tb.Fatal(err)
				}
				versions[name] = append(versions[name], version{attrs.VersionID(), content})
			}
		case 5:
			content += strings.Repeat(chunk, 3)
		}
		if len(versions[name]) == 0 {
			if _, err := r.tryPut(name, content, o); err != nil {
				r.tb.Fatal(err)
			}
		}
		objects[name] = content
	}
	id := r.create("upload")
	r.part("upload", id, 1, chunk)
	r.part("upload", id, 2, "b")
	slices := map[string][]byte{}
	for i := range n / 4 {
		name := fmt.Sprint("slice of another target/", i)
		slices[name] = randomBytes(uint64(i), 1000+i*5000)
		keep(r.tb, r.store, r.key(name), 1, 10, slices[name])
	}
	return func() {
		r.tb.Helper()
		for name, content := range slices {
			if got, err := readSliceOf(r.store, r.key(name), 1, 10); err != nil || !bytes.Equal(got, content) {
				r.tb.Errorf("%s: %d bytes, %v", name, len(got), err)
			}
		}
		for name, content := range objects {
			if got, _, found := r.get(name); !found || got != content {
				r.tb.Errorf("%s: %.30q, found %v", name, got, found)
			}
		}
		for name, all := range versions {
			for _, v := range all {
				if got, err := r.readVersion(name, v.id); err != nil || got != v.content {
					r.tb.Errorf("%s, version %s: %.30q, %v", name, v.id, got, err)
				}
			}
		}
		if parts, err := r.store.ListParts(context.Background(), r.key("upload"), id); err != nil || len(parts) != 2 {
			r.tb.Errorf("%d parts, %v", len(parts), err)
		}
		if got := len(r.allNames(ListOptions{Limit: 10})); got != len(objects) {
			r.tb.Errorf("%d names are listed, %d are there", got, len(objects))
		}
	}
}

func chunkedProps(p *meta.Bprops) {
	p.Durability = meta.DurabilitySync
	p.Chunks.MaxMonolithicSize, p.Chunks.ChunkSize = 6000, 4000
}

// TestEverythingMovesToItsMountpath: after one was attached, all that belongs to
// names that are placed on it is there, and readers see no difference meanwhile;
// and one that leaves is empty.
func TestEverythingMovesToItsMountpath(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{mountpaths: 2, props: chunkedProps})
	check := r.fill(84)
	id := r.create("later")
	r.part("later", id, 1, strings.Repeat("x", 7000))
	r.part("later", id, 2, "tail")
	var stop atomic.Bool
	var readers sync.WaitGroup
	readers.Go(func() {
		for !stop.Load() {
			check()
		}
	})
	r.attach("new")
	if !r.fs.Available().Unsettled {
		t.Error("nothing is to be moved")
	}
	did := r.arrangeAll()
	if did.Moved < 10 {
		t.Errorf("%+v", did)
	}
	set := r.fs.Available()
	if err := r.fs.Settle(set); err != nil {
		t.Fatal(err)
	}
	if r.fs.Available().Unsettled {
		t.Error("it is not settled")
	}
	check()
	if again := r.arrangeAll(); again != (Arranged{}) {
		t.Errorf("the second time: %+v", again)
	}
	leaves := r.fs.Available().Paths[0]
	if err := r.fs.BeginRemoval(leaves.Path, fs.Detach); err != nil {
		t.Fatal(err)
	}
	r.arrangeAll()
	stop.Store(true)
	readers.Wait()
	if holds, err := leaves.HoldsObjects(); holds || err != nil {
		left, _ := r.store.LeftOn(t.Context(), leaves, []meta.BucketEntry{{Bck: r.bck, Props: r.props}}, 10)
		t.Errorf("it holds objects: %v, %v, %q", holds, err, left)
	}
	if err := r.fs.FinishRemoval(leaves.Path); err != nil {
		t.Fatal(err)
	}
	check()
	if _, err := r.tryComplete("later", id, 1, 2); err != nil {
		t.Error(err)
	}
	if got, _, _ := r.get("later"); got != strings.Repeat("x", 7000)+"tail" {
		t.Errorf("%.20q", got)
	}
	r.dirs = slices.DeleteFunc(r.dirs, func(dir string) bool { return dir == leaves.Path })
}

// TestChangesWhileNamesMove: what is written, or deleted, while a name moves is
// what is there in the end.
func TestChangesWhileNamesMove(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{mountpaths: 2, props: mirrored(2)})
	const names = 40
	name := func(i int) string { return fmt.Sprintf("o%02d", i) }
	for i := range names {
		r.put(name(i), "first")
	}
	r.attach("new")
	var writers sync.WaitGroup
	last := make([]string, names)
	for g := range 4 {
		writers.Go(func() {
			for round := range 15 {
				for i := g; i < names; i += 4 {
					last[i] = fmt.Sprintf("round %d of %d", round, i)
					if (round+i)%5 == 4 {
						last[i] = ""
						if err := r.store.Delete(context.Background(), r.key(name(i))); err != nil {
							t.Error(err)
						}
						continue
					}
					if _, err := r.tryPut(name(i), last[i], PutOptions{Size: -1}); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	for range 3 {
		r.arrangeAll()
		r.arrange()
	}
	writers.Wait()
	r.arrangeAll()
	r.arrange()
	for i := range names {
		content, _, found := r.get(name(i))
		if found != (last[i] != "") || content != last[i] {
			t.Errorf("%s: %q, want %q", name(i), content, last[i])
		}
		if found {
			r.wantInstances(name(i), last[i], 2)
		}
	}
}

// crashAt runs an operation during whose n-th call the power goes, or after it if there
// are fewer (reached is false), and opens the store again over what is left. It is of
// a crashRig.
func (r *rig) crashAt(n int, run func(*rig) error) (reached bool, err error) {
	r.tb.Helper()
	sys := r.sys.(*crashfs.System)
	calls, seed := 0, uint64(n)
	var after *crashfs.System
	sys.Before(func(faultfs.Call) error {
		if calls++; calls == n {
			after = sys.Crash(seed)
		}
		return nil
	})
	err = run(r)
	if reached = after != nil; !reached {
		after = sys.Crash(seed)
	}
	_ = r.store.Close(context.Background()) // its disks are gone
	_ = r.fs.Close()
	r.sys, r.opts.BootID = after, r.opts.BootID+"x"
	r.open()
	return reached, err
}

// replayed waits until the listing index knows what the journal says.
func (r *rig) replayed() {
	r.tb.Helper()
	r.until("the journal is replayed", func() bool {
		for _, state := range r.store.IndexStates(r.props.BID) {
			if !state.Ready {
				return false
			}
		}
		return true
	})
}

// TestCrashesOfMirroredNames: the power goes at each system call of an overwrite,
// a DELETE and the making of copies. Then, whichever disk is lost on top, no
// generation comes back that is older than one that was acknowledged.
func TestCrashesOfMirroredNames(t *testing.T) {
	t.Parallel()
	for _, op := range []struct {
		name string
		run  func(*rig) error
		want string
	}{
		{"overwrite", func(r *rig) error {
			_, err := r.tryPut("o", "second", PutOptions{Size: 6})
			return err
		}, "second"},
		{"delete", func(r *rig) error { return r.store.Delete(context.Background(), r.key("o")) }, ""},
		{"arrange", func(r *rig) error {
			_, err := r.store.Arrange(context.Background(), r.key("o"))
			return err
		}, "first"},
	} {
		t.Run(op.name, func(t *testing.T) {
			t.Parallel()
			for n := 1; n < 400; n++ {
				r := crashRig(t, 3, mirrored(3))
				r.put("o", "first")
				if op.name != "arrange" {
					r.arrange()
				}
				reached, err := r.crashAt(n, op.run)
				content, _, found := r.get("o")
				if err == nil && (content != op.want || found != (op.want != "")) || content != op.want && content != "first" && content != "" {
					t.Fatalf("call %d: %q, found %v after %v", n, content, found, err)
				}
				if err != nil && !found && op.name != "delete" {
					t.Fatalf("call %d: it is gone", n)
				}
				r.arrangeAndLoseHome("o")
				if again, _, _ := r.get("o"); again != content {
					t.Fatalf("call %d: %q, and with its disk lost %q", n, content, again)
				}
				r.release()
				if !reached {
					return
				}
			}
			t.Error("it does not end")
		})
	}
}

// arrangeAndLoseHome is what comes after a crash at the worst: copies are made, what
// nobody refers to is collected, and the mountpath of a name is lost.
func (r *rig) arrangeAndLoseHome(name string) {
	r.tb.Helper()
	r.replayed()
	r.arrange()
	if _, err := r.store.CollectGarbage(r.tb.Context(), r.bck, r.props, -1e9); err != nil {
		r.tb.Fatal(err)
	}
	r.loseHome(name)
}

// loseHome takes the mountpath of a name out of use for good.
func (r *rig) loseHome(name string) {
	r.tb.Helper()
	o, err := r.store.resolve(r.key(name))
	if err != nil {
		r.tb.Fatal(err)
	}
	if err := r.fs.Remove(o.mp.Path, fs.Disable, false); err != nil {
		r.tb.Fatal(err)
	}
	r.dirs = slices.DeleteFunc(r.dirs, func(dir string) bool { return filepath.Clean(dir) == o.mp.Path })
}

// TestReadsAreSpread: with the feature, an object is read from the mountpath with
// the fewest operations in flight; without it from its own.
func TestReadsAreSpread(t *testing.T) {
	t.Parallel()
	var spread atomic.Bool
	r := newRig(t, rigOptions{mountpaths: 2, props: mirrored(2), store: func(o *Options) { o.SpreadReads = spread.Load }})
	r.put("o", "content")
	r.arrange()
	_, attrs, _ := r.get("o")
	home := attrs.Mountpath
	for range 8 {
		if err := home.Acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer home.Release()
	}
	for _, on := range []bool{false, true, false} {
		spread.Store(on)
		for range 3 {
			content, attrs, found := r.get("o")
			if !found || content != "content" || (attrs.Mountpath != home) != on {
				t.Errorf("with the feature %v: %q from %s, its own is %s", on, content, attrs.Mountpath, home)
			}
		}
	}
}

// TestRedundantWrites: with durability "redundant" whatever was acknowledged has its
// copies, also in chunks, after a loss of power, too; and what could have none is
// refused before anything of it is stored.
func TestRedundantWrites(t *testing.T) {
	t.Parallel()
	redundant := func(p *meta.Bprops) {
		mirrored(2)(p)
		chunkedProps(p)
		p.Durability = meta.DurabilityRedundant
	}
	r := crashRig(t, 2, redundant)
	contents := map[string]string{"small": "content", "large": inChunks("content"), "appended": "content"}
	r.put("small", contents["small"])
	r.put("large", contents["large"])
	h, err := r.beginAppend("appended", "content")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.flushAppend("appended", h); err != nil {
		t.Fatal(err)
	}
	for name := range contents {
		if _, err := r.patch(name, false, KV{"key", "value"}); err != nil {
			t.Fatal(err)
		}
	}
	r.crash(1, false)
	if err := r.fs.Remove(r.dirs[0], fs.Disable, false); err != nil {
		t.Fatal(err)
	}
	for name, content := range contents {
		if got, attrs, found := r.get(name); !found || got != content || len(attrs.Custom) != 1 {
			t.Errorf("%s: %.20q, %v, found %v", name, got, attrs.Custom, found)
		}
		if _, err := r.patch(name, false, KV{"key", "other"}); statusOf(err) != 503 {
			t.Errorf("%s is changed: %v", name, err)
		}
	}
	for name, content := range map[string]string{"new": "x", "new and large": inChunks("x"), "small": "other"} {
		if _, err := r.tryPut(name, content, PutOptions{Size: -1}); statusOf(err) != 503 || !strings.Contains(fmt.Sprint(err), "no other mountpath") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if names := r.allNames(ListOptions{Limit: 10}); len(names) != len(contents) {
		t.Errorf("stored: %q", names)
	}
	if content, _, _ := r.get("small"); content != "content" {
		t.Errorf("%q", content)
	}
	if err := r.store.Delete(t.Context(), r.key("small")); err != nil {
		t.Errorf("deletes go on: %v", err)
	}
}
