package core

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

func TestApplyBMDIsIdempotent(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := newRig(t, rigOptions{mountpaths: 2})
	r.put("o", "x")
	for range 3 {
		if err := r.store.ApplyBMD(ctx, r.bmd, r.bmd); err != nil {
			t.Fatal(err)
		}
		if err := r.store.ApplyBMD(ctx, nil, r.bmd); err != nil {
			t.Fatal(err)
		}
	}
	if content, _, _ := r.get("o"); content != "x" {
		t.Fatal("the object is gone")
	}
	without := r.bmdWith()
	for range 2 {
		if err := r.store.ApplyBMD(ctx, r.bmd, without); err != nil {
			t.Fatal(err)
		}
		if _, _, err := r.tryGet("o"); statusOf(err) != 404 || err.Error() != `bucket "ais://b1" does not exist` {
			t.Fatalf("GET from a destroyed bucket: %v", err)
		}
	}
	for _, dir := range r.dirs {
		if _, err := os.Stat(filepath.Join(dir, "@ais/b1")); !os.IsNotExist(err) {
			t.Errorf("%s: the bucket's directory: %v", dir, err)
		}
	}
}

// Objects that were left by an earlier incarnation, for example because the
// node was down when the bucket was destroyed, are not objects.
func TestOtherIncarnation(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := newRig(t, rigOptions{props: durable})
	r.put("o", "old")
	r.put("d/o", "old")
	r.put("a//b", "old")
	props := r.props.Clone()
	props.BID++
	r.props, r.bmd = props, r.bmdWith(props)
	r.restart() // with the new metadata and nothing to compare it with
	for _, name := range []string{"o", "d/o", "a//b"} {
		if _, _, found := r.get(name); found {
			t.Errorf("%s is found", name)
		}
		if err := r.store.Delete(ctx, r.key(name)); statusOf(err) != 404 {
			t.Errorf("DELETE %s: %v", name, err)
		}
	}
	if names := r.names(ListOptions{}); len(names) != 0 {
		t.Errorf("listed %q", names)
	}
	if got := r.names(ListOptions{NoRecursion: true}); len(got) != 0 {
		t.Errorf("virtual directories %q", got)
	}
	if attrs := r.put("o", "new"); attrs.Version != "1" {
		t.Errorf("version %s", attrs.Version)
	}
}

func TestBucketsAreSeparate(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := newRig(t, rigOptions{mountpaths: 2})
	other := wire.Bck{Name: "b1", Provider: wire.ProviderAIS, Ns: wire.Ns{Name: "ns"}}
	otherProps := r.props.Clone()
	otherProps.BID += 5
	next := meta.NewBMD("cluster01", 3, meta.BucketEntry{Bck: r.bck, Props: r.props}, meta.BucketEntry{Bck: other, Props: otherProps})
	if err := r.store.ApplyBMD(ctx, r.bmd, next); err != nil {
		t.Fatal(err)
	}
	r.put("o", "x")
	if _, err := r.store.Head(ctx, Key{Bck: other, Props: otherProps, Name: "o"}); statusOf(err) != 404 {
		t.Errorf("object of another namespace: %v", err)
	}
	page, err := r.store.List(ctx, other, otherProps, ListOptions{})
	if err != nil || len(page) != 0 {
		t.Errorf("listed %v, %v", page, err)
	}
}

func TestErrorTexts(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := newRig(t, rigOptions{})
	if _, _, err := r.tryGet("o1"); statusOf(err) != 404 || err.Error() != "t[t1]: ais://b1/o1 does not exist" {
		t.Errorf("GET: %v", err)
	}
	if _, err := r.store.Head(ctx, r.key("dir/")); statusOf(err) != 404 {
		t.Errorf("HEAD of a virtual directory: %v", err)
	}
	if _, err := r.store.Head(ctx, r.key("a/../b")); statusOf(err) != 404 || err.Error() != "t[t1]: ais://b1/~x/a/%2E%2E/b does not exist" {
		t.Errorf("HEAD of a name that only S3 clients can write: %v", err)
	}
}

// TestNothingOfADestroyedBucketIsSeenAgain: nothing of a destroyed bucket is ever seen in one of the same name: no
// object, no version, no chunk; also if its directories could not be removed.
func TestNothingOfADestroyedBucketIsSeenAgain(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := newRig(t, rigOptions{mountpaths: 2, root: memoryDir(t), props: func(p *meta.Bprops) {
		p.Chunks.MaxMonolithicSize, p.Chunks.ChunkSize = 1000, 500
	}})
	names := []string{"p", "p/q", "a//b", "dir/", strings.Repeat("n", 300)}
	for round := range 3 {
		for _, name := range names {
			if all := r.versionsOf(name); len(all) != 0 {
				t.Fatalf("round %d: %q has %v", round, name, all)
			}
			if _, _, found := r.get(name); found {
				t.Fatalf("round %d: %q is there", round, name)
			}
			if report := r.verify(name, VerifyOptions{}); report.Objects+report.Versions+report.Damaged() != 0 {
				t.Fatalf("round %d: %+v", round, report)
			}
		}
		if got := r.names(ListOptions{}); len(got) != 0 {
			t.Fatalf("round %d: listed %q", round, got)
		}
		if all := r.bucketVersions(100); len(all) != 0 {
			t.Fatalf("round %d: versions %+v", round, all)
		}
		for _, name := range names {
			for i := range 3 {
				content := strings.Repeat("x", 1+i*2000) // the last ones are in chunks
				if _, err := r.tryPut(name, content, PutOptions{Size: -1, Keep: KeepVersion, Custom: []KV{{"k", strings.Repeat("v", 2000)}}}); err != nil {
					t.Fatal(err)
				}
			}
			if all := r.versionsOf(name); len(all) != 3 {
				t.Fatalf("round %d: %q has %v", round, name, all)
			}
		}
		if round == 1 { // the directories stay: only the bucket id tells
			props := r.props.Clone()
			props.BID++
			r.props, r.bmd = props, meta.NewBMD("cluster01", r.bmd.Version+1, meta.BucketEntry{Bck: r.bck, Props: props})
			r.restart()
		} else {
			recreate(t, r)
		}
		if err := ctx.Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDestroyInTwoAttempts: a bucket whose destruction was broken off has ended
// all the same for those who had it open.
func TestDestroyInTwoAttempts(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	content := strings.Repeat("0123456789", 100_000)
	body := newSlowBody(content)
	put := make(chan error, 1)
	go func() {
		_, err := r.store.Put(context.Background(), r.key("dir/o"), body, PutOptions{Size: int64(len(content))})
		put <- err
	}()
	<-body.begun
	late, cancel := context.WithCancel(context.Background())
	cancel()
	if err := r.store.ApplyBMD(late, r.bmd, r.bmdWith()); err == nil {
		t.Error("the context has no effect")
	}
	if err := r.store.ApplyBMD(context.Background(), r.bmd, r.bmdWith()); err != nil {
		t.Fatal(err)
	}
	close(body.release)
	if err := <-put; statusOf(err) != 404 {
		t.Errorf("PUT: %v", err)
	}
	if there, err := r.fs.Available().Paths[0].BucketExists(r.bck); there || err != nil {
		t.Errorf("the bucket's directories are back: %v, %v", there, err)
	}
}

// TestAnotherHistoryKeepsWhatIsOnTheDisks: metadata that does not continue what
// this process had, without a bucket or with another one of the name, closes
// the bucket and removes nothing.
func TestAnotherHistoryKeepsWhatIsOnTheDisks(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := newRig(t, rigOptions{mountpaths: 2})
	r.put("o", "of the old history")
	onDisk := func() (found int) {
		for _, dir := range r.dirs {
			if data, err := os.ReadFile(filepath.Join(dir, "@ais/b1/%ob/o")); err == nil && string(data) == "of the old history" {
				found++
			}
		}
		return found
	}
	old, without := r.bmd, r.bmdWith()
	for range 2 {
		if err := r.store.ApplyBMD(ctx, nil, without); err != nil {
			t.Fatal(err)
		}
		if _, _, err := r.tryGet("o"); statusOf(err) != 404 || onDisk() != 1 {
			t.Fatalf("GET: %v, and %d files are on the disks", err, onDisk())
		}
	}
	if err := r.store.ApplyBMD(ctx, nil, old); err != nil {
		t.Fatal(err)
	}
	if content, _, _ := r.get("o"); content != "of the old history" {
		t.Fatalf("back in the old history: %q", content)
	}
	props := r.props.Clone()
	props.BID++
	r.props, r.bmd = props, r.bmdWith(props)
	for _, before := range []*meta.BMD{nil, r.bmd} {
		if err := r.store.ApplyBMD(ctx, before, r.bmd); err != nil {
			t.Fatal(err)
		}
		if _, _, found := r.get("o"); found || onDisk() != 1 {
			t.Fatalf("another bucket of the name has the object: %v, and %d files are on the disks", found, onDisk())
		}
	}
	r.put("o", "new")
	if content, _, _ := r.get("o"); content != "new" || onDisk() != 0 {
		t.Errorf("%q, and %d files of the old history", content, onDisk())
	}
}
