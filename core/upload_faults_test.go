package core

import (
	"context"
	"fmt"
	"github.com/aistore-go/aistore/fs"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/fs/faultfs"
)

// chunkOperation is a write that has to do with chunks, whose every system call
// is made to fail in turn.
type chunkOperation struct {
	name    string
	prepare func(r *rig) (id string) // makes the object "before", if there is one
	run     func(r *rig, id string) error
	before  string // content of the object, "" if there is none
	after   string // content when run has succeeded
}

var (
	oldParts = []string{strings.Repeat("old-one;", 300), "old-two;", strings.Repeat("old-three;", 200)}
	newParts = []string{strings.Repeat("new-one;", 100), strings.Repeat("new-two;", 250), "new-three;"}
)

func chunkOperations() []chunkOperation {
	before, after := strings.Join(oldParts, ""), strings.Join(newParts, "")
	large := strings.Repeat("large;", 30_000)
	object := func(r *rig) string { r.upload("o", oldParts...); return "" }
	begun := func(r *rig) string {
		r.upload("o", oldParts...)
		id := r.create("o")
		for i, content := range newParts {
			r.part("o", id, i+1, content)
		}
		return id
	}
	return []chunkOperation{
		{"create", object, func(r *rig, _ string) error {
			_, err := r.store.CreateUpload(context.Background(), r.key("o"), CreateOptions{})
			return err
		}, before, before},
		{"part", begun, func(r *rig, id string) error { return r.tryPart("o", id, 4, "another part") }, before, before},
		{"part again", begun, func(r *rig, id string) error { return r.tryPart("o", id, 2, "another part") }, before, before},
		{"complete", begun, func(r *rig, id string) error { _, err := r.tryComplete("o", id, 1, 2, 3); return err }, before, after},
		{"complete a new object", func(r *rig) string {
			id := r.create("o")
			for i, content := range newParts {
				r.part("o", id, i+1, content)
			}
			return id
		}, func(r *rig, id string) error { _, err := r.tryComplete("o", id, 3, 2, 1); return err }, "", after},
		{"abort", begun, func(r *rig, id string) error { return r.store.AbortUpload(context.Background(), r.key("o"), id) }, before, before},
		{"large PUT", object, func(r *rig, _ string) error {
			_, err := r.tryPut("o", large, PutOptions{Size: int64(len(large))})
			return err
		}, before, large},
		{"large PUT of unknown size", object, func(r *rig, _ string) error {
			_, err := r.tryPut("o", large, PutOptions{Size: -1})
			return err
		}, before, large},
		{"PUT over chunks", object, func(r *rig, _ string) error {
			_, err := r.tryPut("o", "small", PutOptions{Size: 5})
			return err
		}, before, "small"},
		{"DELETE", object, func(r *rig, _ string) error { return r.store.Delete(context.Background(), r.key("o")) }, before, ""},
	}
}

// TestChunkFaultAtEveryCall: whatever call fails, the object is the old or the
// new one, whole, an upload can be completed or has ended, and after a restart
// and a collection nothing is left that belongs to neither.
func TestChunkFaultAtEveryCall(t *testing.T) {
	for _, mode := range []struct {
		name  string
		props func(*meta.Bprops)
	}{{"sync", durable}, {"none", nil}} {
		for _, op := range chunkOperations() {
			t.Run(mode.name+"/"+op.name, func(t *testing.T) {
				t.Parallel()
				sys := faultfs.New(nil)
				r := newRig(t, rigOptions{mountpaths: 2, system: sys, root: memoryDir(t), props: func(p *meta.Bprops) {
					p.Chunks.MaxMonolithicSize, p.Chunks.ChunkSize = 100_000, 50_000
					if mode.props != nil {
						mode.props(p)
					}
				}})
				for _, fault := range []struct {
					errno unix.Errno
					late  bool
				}{{unix.EIO, false}, {unix.EIO, true}, {unix.ENOSPC, false}} {
					if calls := chunkFaultRun(t, r, sys, &op, fault.errno, fault.late); calls < 3 {
						t.Fatalf("%d system calls seen", calls)
					}
				}
			})
		}
	}
}

func chunkFaultRun(t *testing.T, r *rig, sys *faultfs.System, op *chunkOperation, errno unix.Errno, late bool) int {
	t.Helper()
	for n := 1; ; n++ {
		id := op.prepare(r)
		sys.Restart(faultfs.Fault{Nth: n, Err: errno, Late: late})
		err := op.run(r, id)
		sys.Heal()
		calls := sys.Calls()
		if len(calls) < n {
			if err != nil {
				t.Fatalf("fault %d was not reached, and yet: %v", n, err)
			}
			clean(t, r)
			return n - 1
		}
		where := fmt.Sprintf("%v (late %v) in call %d, %s: the operation said %v", errno, late, n, calls[n-1], err)
		if r.props.SyncWrites() && err == nil && isFlush(calls[n-1]) {
			t.Errorf("acknowledged without being durable: %s", where)
		}
		checkChunks(t, r, op, err, where)
		r.restart()
		checkChunks(t, r, op, err, "after a restart, "+where)
		if _, err := r.store.CollectGarbage(context.Background(), r.bck, r.props, -1e9); err != nil {
			t.Errorf("collection: %v, %s", err, where)
		}
		checkChunks(t, r, op, err, "after a collection, "+where)
		if id != "" {
			checkUploadAfter(t, r, op, id, err, where)
		}
		clean(t, r)
		if t.Failed() {
			return n
		}
	}
}

// checkChunks: the object is the old one or the new one, whole.
func checkChunks(t *testing.T, r *rig, op *chunkOperation, err error, where string) {
	t.Helper()
	content, _, found := r.get("o")
	old, new := content == op.before && found == (op.before != ""), content == op.after && found == (op.after != "")
	if err == nil && !new || !old && !new {
		t.Errorf("found %v, %d bytes: %s", found, len(content), where)
	}
	if found {
		if err := r.store.Verify(context.Background(), r.key("o")); err != nil {
			t.Errorf("%v: %s", err, where)
		}
	}
}

// checkUploadAfter: an upload that is there can be completed, and makes the
// object that was sent; one that is not there is a 404.
func checkUploadAfter(t *testing.T, r *rig, op *chunkOperation, id string, err error, where string) {
	t.Helper()
	parts, listErr := r.store.ListParts(context.Background(), r.key("o"), id)
	switch {
	case statusOf(listErr) == 404:
		if strings.HasPrefix(op.name, "part") || op.name == "create" {
			t.Errorf("the upload is gone: %s", where)
		}
		if content, _, _ := r.get("o"); err != nil && op.name != "abort" && content != op.after {
			t.Errorf("the upload is gone and the object is not there: %s", where)
		}
		return
	case listErr != nil:
		t.Errorf("list of parts: %v: %s", listErr, where)
		return
	case err == nil && !strings.HasPrefix(op.name, "part"):
		t.Errorf("the upload is still there: %s", where)
	}
	want := append([]string(nil), newParts...)
	if len(parts) == 4 {
		want = append(want, "another part")
	} else if len(parts) == 3 && parts[1].Size == int64(len("another part")) {
		want[1] = "another part"
	} else if err == nil {
		t.Errorf("an acknowledged part is lost: %s", where)
	}
	if op.name == "abort" && len(parts) < 3 {
		t.Errorf("a part of the upload has gone before the upload: %s", where)
	}
	if _, err := r.tryComplete("o", id, upTo(len(parts))...); err != nil {
		t.Errorf("completion: %v: %s", err, where)
	}
	if content, _, _ := r.get("o"); content != strings.Join(want, "") {
		t.Errorf("other content after the completion, %d bytes of %d parts: %s", len(content), len(parts), where)
	}
}

// clean removes object and uploads; nothing else may be there.
func clean(t *testing.T, r *rig) {
	t.Helper()
	if err := r.store.Delete(context.Background(), r.key("o")); err != nil && statusOf(err) != 404 {
		t.Fatal(err)
	}
	if _, err := r.store.CollectGarbage(context.Background(), r.bck, r.props, -1e9); err != nil {
		t.Fatal(err)
	}
	for _, path := range r.files("/.$deleted/") {
		_, id, _ := strings.Cut(path, "/%ut/")
		if id = id[strings.LastIndexByte(id, '/')+1:]; isUploadID(id) {
			err := r.store.AbortUpload(context.Background(), r.key("o"), id)
			if err != nil && statusOf(err) != 404 {
				t.Fatal(err)
			}
		}
	}
	if left := r.files("/.$deleted/", "/%wk/"); len(left) > 0 {
		t.Fatalf("left behind: %q", left)
	}
}

// TestAbortAfterAFailedFlush: an abort that failed when it was made durable is
// durable when the next one is acknowledged.
func TestAbortAfterAFailedFlush(t *testing.T) {
	t.Parallel()
	system := faultfs.New(nil)
	r := newRig(t, rigOptions{props: durable, system: system})
	id := r.create("o")
	dir := "/" + fs.ContentManifest + "/"
	system.Inject(faultfs.Fault{Op: faultfs.OpSyncDir, Path: dir, Err: unix.EIO})
	abort := func() error { return r.store.AbortUpload(context.Background(), r.key("o"), id) }
	if err := abort(); statusOf(err) != 500 {
		t.Errorf("not durable: %v", err)
	}
	if err := r.tryPart("o", id, 2, "late"); statusOf(err) != 404 {
		t.Errorf("a part of an upload of which nothing would be left: %v", err)
	}
	if _, err := r.store.ListParts(context.Background(), r.key("o"), id); statusOf(err) != 404 {
		t.Errorf("list: %v", err)
	}
	system.Reset()
	if err := abort(); err != nil {
		t.Errorf("another try: %v", err)
	}
	if system.Count(faultfs.OpSyncDir, dir) == 0 {
		t.Error("acknowledged, and the upload may be back after a loss of power")
	}
}

// TestChunkOnAMountpathThatLeaves: a write is not acknowledged of which a chunk
// cannot be read.
func TestChunkOnAMountpathThatLeaves(t *testing.T) {
	t.Parallel()
	for _, durability := range []string{meta.DurabilityNone, meta.DurabilitySync} {
		t.Run(durability, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, rigOptions{mountpaths: 3, root: memoryDir(t), props: func(p *meta.Bprops) {
				p.Durability, p.Chunks.MaxMonolithicSize, p.Chunks.ChunkSize = durability, 50_000, 50_000
			}})
			content := strings.Repeat("0123456789", 200_000)
			body := newSlowBody(content)
			put := make(chan error, 1)
			go func() {
				_, err := r.store.Put(context.Background(), r.key("o"), body, PutOptions{Size: int64(len(content))})
				put <- err
			}()
			<-body.begun
			o, err := r.store.resolve(r.key("o"))
			if err != nil {
				t.Fatal(err)
			}
			for _, mp := range r.fs.Available().Paths {
				if mp != o.mp {
					r.disable(mp.Path)
					break
				}
			}
			close(body.release)
			if err := <-put; statusOf(err) != 503 {
				t.Errorf("acknowledged: %v", err)
			}
			if _, _, found := r.get("o"); found {
				t.Error("there is an object")
			}
		})
	}
}
