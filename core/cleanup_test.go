package core

import (
	"context"
	"errors"
	"fmt"

	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
	fsys "github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/fs/faultfs"
)

// cleanNow cleans up the bucket as if everything were old.
func (r *rig) cleanNow(change func(*CleanupOptions)) *CleanupCounts {
	r.tb.Helper()
	opts := CleanupOptions{
		Buckets: []meta.BucketEntry{{Bck: r.bck, Props: r.props}}, Whole: true, Age: -time.Hour, Batch: 7,
		Confirmed: func() bool { return true }, OnError: func(err error) { r.tb.Error(err) },
	}
	if change != nil {
		change(&opts)
	}
	counts := new(CleanupCounts)
	if err := r.store.Cleanup(context.Background(), opts, counts); err != nil {
		r.tb.Fatal(err)
	}
	return counts
}

// copyTo copies the file of a name to the same place on another mountpath.
func (r *rig) copyTo(name string, mp *fsys.Mountpath) string {
	r.tb.Helper()
	from := r.fileOf(name)
	to, ok := mp.PlainPath(r.bck, name)
	if !ok {
		r.tb.Fatal("not a plain name")
	}
	content, err := os.ReadFile(from)
	buf := make([]byte, recordBuffer)
	n := 0
	if err == nil {
		n, err = r.fs.System().GetXattr(from, XattrRecord, buf)
	}
	if err == nil {
		err = os.MkdirAll(filepath.Dir(to), 0o755)
	}
	if err == nil {
		err = os.WriteFile(to, content, 0o644)
	}
	if err == nil {
		err = r.fs.System().SetXattr(to, XattrRecord, buf[:n])
	}
	if err != nil {
		r.tb.Fatal(err)
	}
	return to
}

// away is a mountpath that is not that of a name.
func (r *rig) away(name string) *fsys.Mountpath {
	o, err := r.store.resolve(r.key(name))
	if err != nil {
		r.tb.Fatal(err)
	}
	for _, mp := range o.set.Paths {
		if mp != o.mp {
			return mp
		}
	}
	r.tb.Fatal("there is one mountpath")
	return nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func writeFile(t testing.TB, path, content string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// TestCleanupOfMisplaced: a file at the wrong mountpath goes if the right one holds
// the same and it is whole, or something newer. The only copy stays.
func TestCleanupOfMisplaced(t *testing.T) {
	t.Parallel()
	setup := func() (r *rig, path map[string]string) {
		r = newRig(t, rigOptions{mountpaths: 2, store: walking})
		path = map[string]string{}
		for _, name := range []string{"same", "superseded", "rotten", "only", "torn"} {
			r.put(name, "content of "+name)
			path[name] = r.copyTo(name, r.away(name))
		}
		r.put("superseded", "the newer content")
		if err := errors.Join(os.WriteFile(r.fileOf("rotten"), []byte("CONTENT OF rotten"), 0o644), os.Truncate(r.fileOf("torn"), 3), os.Remove(r.fileOf("only"))); err != nil {
			t.Fatal(err)
		}
		return r, path
	}
	r, path := setup()
	counts := r.cleanNow(nil)
	for name, stays := range map[string]bool{"same": false, "superseded": false, "rotten": true, "only": true, "torn": true} {
		if exists(path[name]) != stays {
			t.Errorf("%s: there %v", name, !stays)
		}
	}
	if counts.MisplacedLocal.Load() != 2 || counts.KeepMisplaced.Load() != 3 || counts.Files.Load() != 2 {
		t.Errorf("%s", counts)
	}
	for name, content := range map[string]string{"same": "content of same", "superseded": "the newer content"} {
		if got, _, _ := r.get(name); got != content {
			t.Errorf("%s: %q", name, got)
		}
	}
	r, path = setup()
	r.cleanNow(func(o *CleanupOptions) { o.KeepMisplaced = true })
	for name := range path {
		if !exists(path[name]) {
			t.Errorf("%s: gone although it was to be kept", name)
		}
	}
	r, path = setup()
	counts = r.cleanNow(func(o *CleanupOptions) { o.Age = time.Hour })
	if !exists(path["same"]) || counts.TooFresh.Load() != 5 || counts.Files.Load() != 0 {
		t.Errorf("what changed lately: %s", counts)
	}
}

// TestCleanupOfStrangers: what nobody committed, what cannot be read, what is of
// another bucket, and what no release of ours makes.
func TestCleanupOfStrangers(t *testing.T) {
	t.Parallel()
	setup := func() (*rig, map[string]string) {
		r := newRig(t, rigOptions{store: walking})
		mp := r.fs.Available().Paths[0]
		r.put("good", "good")
		for _, name := range []string{"bad", "foreign"} {
			r.put(name, name)
		}
		path := map[string]string{
			"bad": r.fileOf("bad"), "foreign": r.fileOf("foreign"),
			"bare":    mp.BucketDir(r.bck, fsys.ContentObject) + "/dir/bare",
			"content": mp.BucketDir(r.bck, "") + "/junk/x",
			"bucket":  mp.BucketDir(wire.Bck{Name: "unknown", Provider: "aws"}, "") + "/%ob/o",
			"work":    mp.BucketDir(r.bck, fsys.ContentWork) + "/put.0123abcd.1.7b",
			"odd":     mp.BucketDir(r.bck, fsys.ContentWork) + "/odd",
		}
		for _, name := range []string{"bare", "content", "bucket", "work", "odd"} {
			writeFile(t, path[name], name)
		}
		other := r.props.Clone()
		other.BID = 1<<63 | 8
		rec := record{kind: KindObject, size: 7, bid: other.BID, stamp: Stamp{Clock: 1}}
		frame, _ := rec.appendInline(nil)
		sys := r.fs.System()
		if err := errors.Join(sys.SetXattr(path["bad"], XattrRecord, []byte("ALOM no record")), sys.SetXattr(path["foreign"], XattrRecord, frame)); err != nil {
			t.Fatal(err)
		}
		return r, path
	}
	check := func(r *rig, path map[string]string, what string, stay ...string) {
		t.Helper()
		for name := range path {
			if exists(path[name]) != slices.Contains(stay, name) {
				t.Errorf("%s: %s: there %v", what, name, exists(path[name]))
			}
		}
		if content, _, _ := r.get("good"); content != "good" {
			t.Errorf("%s: the good object: %q", what, content)
		}
	}
	r, path := setup()
	r.cleanNow(func(o *CleanupOptions) { o.Age = time.Hour })
	check(r, path, "fresh", "bad", "foreign", "bare", "content", "bucket", "odd")
	counts := r.cleanNow(func(o *CleanupOptions) { o.Strangers = true })
	check(r, path, "old", "bucket") // of a bucket only two minutes count, and that has just been made
	if counts.Invalid.Load() != 4 || counts.OldWork.Load() != 1 {
		t.Errorf("%s", counts)
	}
	quarantined, err := r.store.Quarantine(context.Background())
	if err != nil || len(quarantined) != 2 {
		t.Errorf("in quarantine: %+v %v", quarantined, err)
	}
	retained := r.files()
	if n := slices.IndexFunc(retained, func(p string) bool { return strings.Contains(p, "/"+fsys.TrashDir+"/%retained/") }); n < 0 {
		t.Errorf("nothing is retained: %q", retained)
	}

	r, path = setup()
	r.cleanNow(func(o *CleanupOptions) { o.KeepUnknown = true; o.Confirmed = nil })
	check(r, path, "kept", "foreign", "content", "bucket", "odd")

	r, path = setup()
	r.age2(path["bucket"], 3*time.Minute)
	counts = r.cleanNow(func(o *CleanupOptions) { o.Age = -time.Second; o.Confirmed, o.Strangers = nil, true })
	if !exists(path["bucket"]) || counts.UnknownBuckets.Load() != 0 {
		t.Error("a bucket is moved away without the word of a primary")
	}
}

// age2 sets back the times of a file's directories up to the bucket's. (Their
// change times stay: only what looks at modification times sees it.)
func (r *rig) age2(path string, by time.Duration) {
	at := time.Now().Add(-by).UnixNano()
	for dir := filepath.Dir(path); strings.Contains(dir, "@"); dir = filepath.Dir(dir) {
		if err := r.fs.System().SetTimes(dir, at, at); err != nil {
			r.tb.Fatal(err)
		}
	}
}

// agedSystem tells times of change that are two hours in the past.
type agedSystem struct{ fsys.System }

func (s agedSystem) Stat(path string) (fsys.FileInfo, error) {
	info, err := s.System.Stat(path)
	info.Mtime -= int64(2 * time.Hour)
	info.Ctime -= int64(2 * time.Hour)
	return info, err
}

// TestCleanupOfUnknownBuckets: kept in the trash for a day.
func TestCleanupOfUnknownBuckets(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{system: agedSystem{fsys.Unix()}, store: walking})
	r.put("o", "x")
	mp := r.fs.Available().Paths[0]
	unknown := mp.BucketDir(wire.Bck{Name: "unknown", Provider: "aws"}, "")
	writeFile(t, unknown+"/%ob/o", "somebody's")
	empty := mp.BucketDir(wire.Bck{Name: "empty", Provider: "aws"}, "")
	if err := os.MkdirAll(empty+"/%ob/dir", 0o755); err != nil {
		t.Fatal(err)
	}
	counts := r.cleanNow(func(o *CleanupOptions) { o.Age = time.Hour })
	if !exists(unknown) || exists(empty) || counts.KeepUnknown.Load() != 1 || counts.UnknownBuckets.Load() != 1 {
		t.Fatalf("of another history: there %v, empty one there %v: %s", exists(unknown), exists(empty), counts)
	}
	counts = r.cleanNow(func(o *CleanupOptions) { o.Age = time.Hour; o.Strangers = true })
	if exists(unknown) || counts.UnknownBuckets.Load() != 1 {
		t.Fatalf("the bucket stays: %s", counts)
	}
	kept := func() []string {
		found, err := filepath.Glob(mp.Path + "/" + fsys.TrashDir + "/%retained/*.unknown/%ob/o")
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	r.restart() // empties the trash
	r.cleanNow(nil)
	found := kept()
	if len(found) != 1 {
		t.Fatalf("it is not kept: %q", found)
	}
	// A day later.
	dir := filepath.Dir(filepath.Dir(found[0]))
	aged := fmt.Sprintf("%d.unknown", time.Now().Add(-25*time.Hour).UnixNano())
	if err := os.Rename(dir, filepath.Join(filepath.Dir(dir), aged)); err != nil {
		t.Fatal(err)
	}
	r.cleanNow(nil)
	if found := kept(); len(found) != 0 {
		t.Errorf("it is kept for ever: %q", found)
	}
	if content, _, _ := r.get("o"); content != "x" {
		t.Error("the good object is gone")
	}
}

// TestCleanupOfEmptyObjects: with the flag alone, and none that was used lately.
func TestCleanupOfEmptyObjects(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{mountpaths: 2})
	for _, name := range []string{"empty", "read"} {
		r.put(name, "")
	}
	r.put("full", "x")
	r.cleanNow(nil)
	if names := r.names(ListOptions{}); len(names) != 3 {
		t.Fatalf("without the flag: %q", names)
	}
	counts := r.cleanNow(func(o *CleanupOptions) { o.ZeroSize = true; o.Age = time.Hour })
	if names := r.names(ListOptions{}); len(names) != 3 || counts.TooFresh.Load() != 2 {
		t.Fatalf("new ones: %q, %s", names, counts)
	}
	counts = r.cleanNow(func(o *CleanupOptions) { o.ZeroSize = true })
	if names := r.names(ListOptions{}); len(names) != 1 || names[0] != "full" || counts.Empty.Load() != 2 {
		t.Errorf("with the flag: %q, %s", names, counts)
	}
}

// TestCleanupOfDirectories: those that hold nothing go, with those above them.
func TestCleanupOfDirectories(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	for _, name := range []string{"a/b/c/1", "a/b/c/2", "a/d/3", "k/e/e/p", "k/x/y"} {
		r.put(name, "x")
	}
	root := r.fs.Available().Paths[0].BucketDir(r.bck, fsys.ContentObject)
	for _, name := range []string{"a/b/c/1", "a/b/c/2", "a/d/3", "k/x/y"} {
		if err := r.store.Delete(context.Background(), r.key(name)); err != nil {
			t.Fatal(err)
		}
	}
	if r.cleanNow(func(o *CleanupOptions) { o.Age = time.Hour }); !exists(root + "/a/b/c") {
		t.Error("directories in use lately are gone")
	}
	counts := r.cleanNow(nil)
	if exists(root+"/a") || exists(root+"/k/x") || !exists(root+"/k/e/e/p") || counts.EmptyDirs.Load() != 5 {
		t.Errorf("left over: %s", counts)
	}
	for _, content := range []string{fsys.ContentObject, fsys.ContentWork, fsys.ContentChunk} {
		if !exists(r.fs.Available().Paths[0].BucketDir(r.bck, content)) {
			t.Errorf("%s is gone", content)
		}
	}
	r.put("a/b/c/1", "again")
}

// TestCleanupBesideEverything: nothing of what is under way is touched, even if
// age protects nothing.
func TestCleanupBesideEverything(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{mountpaths: 3, props: func(p *meta.Bprops) {
		p.Chunks.MaxMonolithicSize, p.Chunks.ChunkSize = 8000, 3000
	}})
	ctx := context.Background()
	var stop atomic.Bool
	var cleaner, users sync.WaitGroup
	cleaner.Go(func() {
		for !stop.Load() {
			r.cleanNow(nil)
		}
	})
	rounds := 60
	if testing.Short() {
		rounds = 25
	}
	big, long := strings.Repeat("0123456789", 2000), strings.Repeat("x/", 600)+"y"
	kept := map[string]string{}
	var mu sync.Mutex
	keep := func(name, content string) {
		mu.Lock()
		defer mu.Unlock()
		kept[name] = content
	}
	users.Go(func() { // plain, chunked, escaped, large records
		for i := range rounds {
			for kind, content := range map[string]string{"d/plain": "small", "d/chunks": big, long: "escaped"} {
				name := fmt.Sprintf("%d/%s", i, kind)
				custom := []KV{{"k", strings.Repeat("v", 2000)}}
				if _, err := r.tryPut(name, content, PutOptions{Size: int64(len(content)), Custom: custom}); err != nil {
					t.Errorf("PUT %.30s: %v", name, err)
				}
				keep(name, content)
			}
		}
	})
	users.Go(func() { // names that come and go in directories of their own
		for i := range rounds {
			name := fmt.Sprintf("gone/%d/x", i%3)
			r.put(name, "x")
			if err := r.store.Delete(ctx, r.key(name)); err != nil {
				t.Error(err)
			}
		}
	})
	users.Go(func() { // appends
		for i := range rounds / 5 {
			name, content, h := fmt.Sprintf("append%d", i), "", AppendHandle{}
			var err error
			for part := range 4 {
				piece := fmt.Sprintf("part %d ", part)
				content += piece
				if part == 0 {
					h, err = r.store.BeginAppend(ctx, r.key(name), strings.NewReader(piece), int64(len(piece)), 1<<20)
				} else {
					h, err = r.store.Append(ctx, r.key(name), h, strings.NewReader(piece), int64(len(piece)), 1<<20)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			if _, err := r.store.FlushAppend(ctx, r.key(name), h, cksum.Value{}); err != nil {
				t.Errorf("append %d: %v", i, err)
			}
			keep(name, content)
		}
	})
	users.Wait()
	stop.Store(true)
	cleaner.Wait()
	r.cleanNow(nil)
	for name, content := range kept {
		if got, _, err := r.tryGet(name); err != nil || got != content {
			t.Errorf("%.30s: %d bytes, %v", name, len(got), err)
		}
	}
	if n, err := r.store.QuarantineCount(); n != 0 || err != nil {
		t.Errorf("%d in quarantine, %v", n, err)
	}
}

// TestCleanupOnADiskThatFails: whichever call fails, no object is lost.
func TestCleanupOnADiskThatFails(t *testing.T) {
	t.Parallel()
	for _, op := range []faultfs.Op{faultfs.OpStat, faultfs.OpGetXattr, faultfs.OpUnlink, faultfs.OpRename, faultfs.OpRmdir, faultfs.OpReadDir, faultfs.OpRead, faultfs.OpMkdir} {
		for nth := 1; nth <= 12; nth += 1 {
			faults := faultfs.New(nil)
			faults.Record(false)
			r := newRig(t, rigOptions{mountpaths: 2, system: faults, store: walking})
			names := []string{"a/1", "b", "c"}
			for _, name := range names {
				r.put(name, "content of "+name)
			}
			r.copyTo("b", r.away("b"))
			r.put("gone/x", "x")
			if err := r.store.Delete(context.Background(), r.key("gone/x")); err != nil {
				t.Fatal(err)
			}
			faults.Inject(faultfs.Fault{Op: op, Path: "/@ais/", Nth: nth, Err: unix.EIO})
			r.cleanNow(func(o *CleanupOptions) { o.OnError = func(error) {} })
			faults.Heal()
			for _, name := range names {
				if content, _, err := r.tryGet(name); err != nil || content != "content of "+name {
					t.Errorf("%s %d: %s: %q %v", op, nth, name, content, err)
				}
			}
			r.cleanNow(nil)
			if path, _ := r.away("b").PlainPath(r.bck, "b"); exists(path) {
				t.Errorf("%s %d: the next cleanup leaves the second copy", op, nth)
			}
			r.close()
		}
	}
}
