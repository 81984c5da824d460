package core

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/fs"
)

// TestCollection: what belongs to nothing goes when it is old enough, and
// nothing else does.
func TestCollection(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{mountpaths: 2, root: memoryDir(t)})
	ctx := context.Background()
	r.upload("o", oldParts...)
	r.upload("a//b", oldParts...)
	id := r.create("o")
	r.part("o", id, 1, "one")
	r.part("o", id, 2, "two")
	kept := len(r.files())
	// An abort and an overwrite that a crash has cut off.
	gone := r.upload("p", newParts...)
	if err := os.Remove(r.fileOf("p")); err != nil {
		t.Fatal(err)
	}
	other := r.create("q")
	r.part("q", other, 1, "one")
	r.part("q", other, 2, "two")
	for _, path := range r.files() {
		if strings.HasSuffix(path, "/"+other) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
	}
	all := len(r.files())
	if c, err := r.store.CollectGarbage(ctx, r.bck, r.props, time.Hour); err != nil || c.Files != 0 || len(r.files()) != all {
		t.Errorf("young files: %+v, %v", c, err)
	}
	r.restart() // what an earlier process has left needs not be old
	c, err := r.store.CollectGarbage(ctx, r.bck, r.props, time.Hour)
	if err != nil || c.Files != all-kept || c.Bytes < gone.Size-int64(len(newParts[0])) {
		t.Errorf("%+v, %v, want %d files", c, err, all-kept)
	}
	if left := r.files(); len(left) != kept {
		t.Errorf("%d files are left, want %d: %q", len(left), kept, left)
	}
	for _, name := range []string{"o", "a//b"} {
		if content, _, _ := r.get(name); content != strings.Join(oldParts, "") {
			t.Errorf("%q has another content", name)
		}
	}
	if _, err := r.tryComplete("o", id, 1, 2); err != nil {
		t.Error(err)
	}
	if _, err := r.store.CollectGarbage(ctx, r.bck, r.bmd.Buckets(nil)[0].Props.Clone(), -1e9); err != nil {
		t.Error(err)
	}
	props := r.props.Clone()
	props.BID++
	if _, err := r.store.CollectGarbage(ctx, r.bck, props, 0); apierr.StatusOf(err) != 404 {
		t.Errorf("another incarnation of the bucket: %v", err)
	}
}

// TestDamagedRecordKeepsChunks: chunks of a record that cannot be read are not
// garbage; they go to quarantine with the file.
func TestDamagedRecordKeepsChunks(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{mountpaths: 2, root: memoryDir(t)})
	r.upload("o", oldParts...)
	if err := r.store.system.SetXattr(r.fileOf("o"), XattrRecord, []byte("nonsense")); err != nil {
		t.Fatal(err)
	}
	// The chunks are there, and no manifest says whose they are.
	if c, err := r.store.CollectGarbage(context.Background(), r.bck, r.props, -1e9); err != nil || c.Files != 0 {
		t.Errorf("%+v, %v", c, err)
	}
	if _, _, err := r.tryGet("o"); statusOf(err) != 500 || !errors.Is(err, errRecordDamaged) {
		t.Errorf("GET: %v", err)
	}
	if left := r.files("/.ais.quarantine/"); len(left) > 0 {
		t.Errorf("outside of the quarantine: %q", left)
	}
	aside := r.files()
	chunks := 0
	for _, path := range aside {
		if _, _, ok := parseChunkName(path[strings.LastIndexByte(path, '/')+1:]); ok {
			chunks++
		}
	}
	if chunks != 2 {
		t.Errorf("%d chunks in quarantine: %q", chunks, aside)
	}
}

// TestDamagedRecordTakesOnlyItsOwnChunks: chunks of another generation of the
// name stay with it when one whose record cannot be read goes to quarantine.
func TestDamagedRecordTakesOnlyItsOwnChunks(t *testing.T) {
	t.Parallel()
	chunked := strings.Repeat("0123456789abcdef", 1<<12)
	for _, damaged := range []string{"current", "noncurrent"} {
		t.Run(damaged, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, rigOptions{mountpaths: 2, root: memoryDir(t), props: func(p *meta.Bprops) {
				p.Chunks.MaxMonolithicSize, p.Chunks.ChunkSize = 30_000, 20_000
			}})
			first, err := r.tryPut("o", chunked, PutOptions{Size: int64(len(chunked)), Keep: KeepVersion})
			if err != nil {
				t.Fatal(err)
			}
			second, err := r.tryPut("o", chunked[1:], PutOptions{Size: int64(len(chunked)) - 1, Keep: KeepVersion})
			if err != nil {
				t.Fatal(err)
			}
			path, whole, want := r.fileOf("o"), first.VersionID(), chunked
			if damaged == "noncurrent" {
				o, err := r.store.resolve(r.key("o"))
				if err != nil {
					t.Fatal(err)
				}
				path, whole, want = o.versionPath(first.Stamp), second.VersionID(), chunked[1:]
			}
			if err := r.store.system.SetXattr(path, XattrRecord, []byte("nonsense")); err != nil {
				t.Fatal(err)
			}
			r.verify("o", VerifyOptions{SkipContent: true, Repair: true})
			if files := r.files("/%"); len(files) == 0 {
				t.Fatal("nothing is in quarantine")
			}
			if content, err := r.readVersion("o", whole); err != nil || content != want {
				t.Errorf("the other generation: %d bytes, %v", len(content), err)
			}
		})
	}
}

// TestLostManifest: a manifest that is lost or damaged is made again.
func TestLostManifest(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{mountpaths: 3, root: memoryDir(t)})
	parts := pieces(7)
	r.upload("d/o", parts...)
	r.upload("a//b", parts...)
	for _, name := range []string{"d/o", "a//b"} {
		for _, damage := range []func(path string) error{
			os.Remove,
			func(path string) error { return os.Truncate(path, 30) },
			func(path string) error { return os.WriteFile(path, []byte("nonsense"), 0o644) },
		} {
			for _, path := range r.files() {
				if strings.HasSuffix(path, manifestSuffix) {
					if err := damage(path); err != nil {
						t.Fatal(err)
					}
				}
			}
			for range 2 {
				if content, _, err := r.tryGet(name); err != nil || content != strings.Join(parts, "") {
					t.Errorf("%q: %d bytes, %v", name, len(content), err)
				}
			}
		}
	}
}

// garbage leaves chunks without a manifest, as a target does that is killed in
// the midst of a large PUT.
func (r *rig) garbage(name string) {
	r.tb.Helper()
	id := r.create(name)
	for n := range 3 {
		r.part(name, id, n+1, fmt.Sprint("part ", n))
	}
	for _, path := range r.files() {
		if strings.HasSuffix(path, "/"+id) {
			if err := os.Remove(path); err != nil {
				r.tb.Fatal(err)
			}
		}
	}
}

// TestCollectionWaitsForMountpaths: while a mountpath is out of use nobody knows
// which chunks its records refer to, so nothing is removed.
func TestCollectionWaitsForMountpaths(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := newRig(t, rigOptions{mountpaths: 2, root: memoryDir(t)})
	names := []string{"a", "b", "c", "d", "e", "f"}
	for _, name := range names {
		r.upload(name, oldParts...)
	}
	r.garbage("left")
	r.restart()
	gone := r.fs.Available().Paths[0].Path
	if err := r.fs.Remove(gone, fs.Disable, false); err != nil {
		t.Fatal(err)
	}
	if c, err := r.store.CollectGarbage(ctx, r.bck, r.props, -time.Second); err != nil || c.Files != 0 {
		t.Errorf("with a mountpath out of use: %+v, %v", c, err)
	}
	if err := r.fs.Enable(gone, nil); err != nil {
		t.Fatal(err)
	}
	if c, err := r.store.CollectGarbage(ctx, r.bck, r.props, -time.Second); err != nil || c.Files != 3 {
		t.Errorf("with all mountpaths: %+v, %v", c, err)
	}
	for _, name := range names {
		if content, _, _ := r.get(name); content != strings.Join(oldParts, "") {
			t.Errorf("%q has another content", name)
		}
	}
}

// TestCollectionSparesWhatADetachedDiskMayNeed: objects of a disk that was
// detached are whole when it comes back, however long that takes.
func TestCollectionSparesWhatADetachedDiskMayNeed(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := newRig(t, rigOptions{mountpaths: 2, root: memoryDir(t)})
	names := []string{"a", "b", "c", "d", "e", "f"}
	for _, name := range names {
		r.upload(name, oldParts...)
	}
	gone := r.fs.Available().Paths[0].Path
	if err := r.fs.Remove(gone, fs.Detach, false); err != nil {
		t.Fatal(err)
	}
	r.garbage("later")
	for range 2 {
		if c, err := r.store.CollectGarbage(ctx, r.bck, r.props, -time.Second); err != nil || c.Files > 3 {
			t.Errorf("after a mountpath was detached: %+v, %v", c, err)
		}
		r.restart()
	}
	if err := r.fs.Attach(gone, "", nil); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if content, _, _ := r.get(name); content != strings.Join(oldParts, "") {
			t.Errorf("%q has another content", name)
		}
	}
}

// TestCollectionSparesWhatIsInUse: a PUT in the midst of its chunks and an
// upload in the midst of its parts go on, however old their files are.
func TestCollectionSparesWhatIsInUse(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := newRig(t, rigOptions{mountpaths: 2, root: memoryDir(t), props: func(p *meta.Bprops) {
		p.Chunks.MaxMonolithicSize, p.Chunks.ChunkSize = 100_000, 50_000
	}})
	collect := func() {
		t.Helper()
		if c, err := r.store.CollectGarbage(ctx, r.bck, r.props, -time.Second); err != nil || c.Files != 0 {
			t.Errorf("%+v, %v", c, err)
		}
	}
	first, rest := strings.Repeat("first;", 500_000), strings.Repeat("rest;", 100_000)
	body, client := io.Pipe()
	done := make(chan error)
	go func() {
		_, err := r.store.Put(ctx, r.key("o"), body, PutOptions{Size: int64(len(first) + len(rest))})
		done <- err
	}()
	if _, err := io.WriteString(client, first); err != nil {
		t.Fatal(err)
	}
	if len(r.files()) < 10 {
		t.Fatalf("%d files, in the midst of a PUT", len(r.files()))
	}
	collect()
	if _, err := io.WriteString(client, rest); err != nil {
		t.Fatal(err)
	}
	_ = client.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	id := r.create("p")
	r.part("p", id, 1, "one")
	collect()
	r.restart()
	collect()
	r.part("p", id, 2, "two")
	if _, err := r.tryComplete("p", id, 1, 2); err != nil {
		t.Fatal(err)
	}
	collect()
	if content, _, _ := r.get("o"); content != first+rest {
		t.Error("the PUT is not whole")
	}
	if content, _, _ := r.get("p"); content != "onetwo" {
		t.Error("the upload is not whole")
	}
}

// TestCollectionEnds: it ends with its context, and of a bucket without chunks
// it reads no more than a directory or two.
func TestCollectionEnds(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{root: memoryDir(t)})
	r.put("o", "content")
	if c, err := r.store.CollectGarbage(context.Background(), r.bck, r.props, -time.Second); err != nil || c.Files != 0 {
		t.Errorf("%+v, %v", c, err)
	}
	r.garbage("p")
	r.restart()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if c, err := r.store.CollectGarbage(ctx, r.bck, r.props, -time.Second); !errors.Is(err, context.Canceled) || c.Files != 0 {
		t.Errorf("%+v, %v", c, err)
	}
}
