package core

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/fs/faultfs"
)

// read reads an object through a Reader of the caller's.
func (r *rig) read(reader *Reader, name string) (string, error) {
	if err := r.store.OpenInto(context.Background(), r.key(name), reader); err != nil {
		return "", err
	}
	reader.Touch()
	content, err := io.ReadAll(io.NewSectionReader(reader, 0, reader.Size))
	if closeErr := reader.Close(); err == nil {
		err = closeErr
	}
	return string(content), err
}

// TestWarmReadSeesEveryChange changes an object in every way there is, between
// reads that keep its record in memory.
func TestWarmReadSeesEveryChange(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{mountpaths: 2})
	reader := new(Reader)
	for _, c := range []struct {
		name   string
		change func(t *testing.T)
		want   string // "" for 404
		status int
	}{
		{"first", func(*testing.T) { r.put("d/o", "one") }, "one", 0},
		{"overwrite of the same size", func(*testing.T) { r.put("d/o", "two") }, "two", 0},
		{"delete", func(t *testing.T) {
			if err := r.store.Delete(context.Background(), r.key("d/o")); err != nil {
				t.Fatal(err)
			}
		}, "", 404},
		{"again", func(*testing.T) { r.put("d/o", "again") }, "again", 0},
		{"bury", func(t *testing.T) {
			if _, err := r.store.Bury(context.Background(), r.key("d/o")); err != nil {
				t.Fatal(err)
			}
		}, "", 404},
		{"once more", func(*testing.T) { r.put("d/o", "once more") }, "once more", 0},
		{"removed by hand", func(t *testing.T) {
			if err := os.Remove(r.fileOf("d/o")); err != nil {
				t.Fatal(err)
			}
		}, "", 404},
		{"last", func(*testing.T) { r.put("d/o", "last") }, "last", 0},
		{"cut by hand", func(t *testing.T) {
			if err := os.Truncate(r.fileOf("d/o"), 2); err != nil {
				t.Fatal(err)
			}
		}, "", 500},
		{"after quarantine", func(*testing.T) {}, "", 404},
	} {
		c.change(t)
		for turn := range 3 { // the first fills the cache, the others use it
			content, err := r.read(reader, "d/o")
			if turn == 0 && c.status == 500 && statusOf(err) == 500 {
				break
			}
			if c.want != "" && (err != nil || content != c.want) || c.want == "" && statusOf(err) != 404 {
				t.Fatalf("%s, read %d: %q, %v", c.name, turn, content, err)
			}
			attrs, err := r.store.Head(context.Background(), r.key("d/o"))
			if c.want != "" && (err != nil || attrs.Size != int64(len(c.want))) || c.want == "" && statusOf(err) != 404 {
				t.Fatalf("%s, HEAD %d: %+v, %v", c.name, turn, attrs, err)
			}
		}
	}
	if s := r.store.MetadataStats(); s.Hits == 0 {
		t.Errorf("no read was warm: %+v", s)
	}
}

// TestWarmReadSeesAnotherRecord sets the attribute by hand: the change time of
// the file tells.
func TestWarmReadSeesAnotherRecord(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	r.put("o", "content")
	reader := new(Reader)
	for range 2 {
		if _, err := r.read(reader, "o"); err != nil {
			t.Fatal(err)
		}
	}
	path := r.fileOf("o")
	before, err := r.fs.System().Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	for after := before; after.Ctime == before.Ctime; { // the clock of files is coarse
		if err := unix.Setxattr(path, XattrRecord, []byte("garbage"), 0); err != nil {
			t.Fatal(err)
		}
		if after, err = r.fs.System().Stat(path); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.read(reader, "o"); statusOf(err) != 500 {
		t.Errorf("a damaged record is not seen: %v", err)
	}
}

func TestWarmReadOfDestroyedBucket(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	r.put("o", "old")
	reader := new(Reader)
	for range 2 {
		if _, err := r.read(reader, "o"); err != nil {
			t.Fatal(err)
		}
	}
	next := r.props.Clone()
	next.BID++
	bmd := r.bmdWith(next)
	if err := r.store.ApplyBMD(context.Background(), r.bmd, bmd); err != nil {
		t.Fatal(err)
	}
	if _, err := r.read(reader, "o"); statusOf(err) != 404 {
		t.Errorf("by the old properties: %v", err)
	}
	r.props = next
	if _, err := r.read(reader, "o"); statusOf(err) != 404 {
		t.Errorf("by the new ones: %v", err)
	}
}

// TestWarmReadCalls counts the system calls of a warm read and HEAD.
func TestWarmReadCalls(t *testing.T) {
	t.Parallel()
	sys := faultfs.New(nil)
	r := newRig(t, rigOptions{system: sys})
	r.put("d/o", "content")
	reader := new(Reader)
	for range 2 {
		if _, err := r.read(reader, "d/o"); err != nil {
			t.Fatal(err)
		}
	}
	sys.Reset()
	if _, err := r.read(reader, "d/o"); err != nil {
		t.Fatal(err)
	}
	var ops []string
	for _, c := range sys.Calls() {
		ops = append(ops, string(c.Op))
	}
	if got := strings.Join(ops, " "); got != "open stat read close" {
		t.Errorf("warm GET: %s", got)
	}
	sys.Reset()
	if _, err := r.store.Head(context.Background(), r.key("d/o")); err != nil {
		t.Fatal(err)
	}
	if calls := sys.Calls(); len(calls) != 1 || calls[0].Op != faultfs.OpStat {
		t.Errorf("warm HEAD: %v", calls)
	}
}

func TestWarmReadDoesNotAllocate(t *testing.T) {
	r := newRig(t, rigOptions{root: memoryDir(t)})
	r.put("d/o", strings.Repeat("x", 4096))
	reader, buf, key := new(Reader), make([]byte, 4096), r.key("d/o")
	ctx := context.Background()
	if n := testing.AllocsPerRun(200, func() {
		if err := r.store.OpenInto(ctx, key, reader); err != nil {
			t.Fatal(err)
		}
		reader.Touch()
		if n, err := reader.ReadAt(buf, 0); n != len(buf) {
			t.Fatal(n, err)
		}
		if err := reader.Close(); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations a warm GET", n)
	}
	if n := testing.AllocsPerRun(200, func() {
		if _, err := r.store.Head(ctx, key); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations a warm HEAD", n)
	}
}

func TestMetadataIsBounded(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{root: memoryDir(t), store: func(o *Options) { o.MetadataCache = 512 << 10 }})
	reader := new(Reader)
	for i := range 3000 {
		name := fmt.Sprintf("object-%d", i)
		r.put(name, "x")
		if _, err := r.read(reader, name); err != nil {
			t.Fatal(err)
		}
	}
	s := r.store.MetadataStats()
	if s.Bytes > 512<<10 || s.Evicted == 0 || s.Entries == 0 || s.Entries+s.Evicted != 3000 {
		t.Errorf("%+v", s)
	}
	r.store.DropRecords()
	if s := r.store.MetadataStats(); s.Bytes != 0 || s.Entries != 0 {
		t.Errorf("after clearing: %+v", s)
	}
	if content, err := r.read(reader, "object-0"); err != nil || content != "x" {
		t.Errorf("%q, %v", content, err)
	}
}

// TestMetadataExpires moves the clock: old records are read again, and access
// times reach the disk.
func TestMetadataExpires(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64
	r := newRig(t, rigOptions{store: func(o *Options) {
		o.Clock = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
		o.MetadataAge = func() time.Duration { return time.Hour }
	}})
	r.put("o", "x")
	reader := new(Reader)
	for range 2 {
		if _, err := r.read(reader, "o"); err != nil {
			t.Fatal(err)
		}
	}
	ahead.Store(int64(30 * time.Minute))
	r.store.ExpireMetadata()
	if s := r.store.MetadataStats(); s.Expired != 0 || s.Entries != 1 {
		t.Errorf("too early: %+v", s)
	}
	if _, err := r.read(reader, "o"); err != nil {
		t.Fatal(err)
	}
	ahead.Store(int64(2 * time.Hour))
	if _, err := r.read(reader, "o"); err != nil {
		t.Fatal(err)
	}
	if s := r.store.MetadataStats(); s.Expired != 1 || s.Entries != 1 {
		t.Errorf("%+v", s)
	}
	ahead.Store(int64(4 * time.Hour))
	before := time.Now()
	r.store.ExpireMetadata()
	if s := r.store.MetadataStats(); s.Expired != 2 || s.Entries != 0 {
		t.Errorf("%+v", s)
	}
	r.until("the access time is on the disk", func() bool {
		info, err := r.fs.System().Stat(r.fileOf("o"))
		return err == nil && info.Atime > before.Add(time.Hour).UnixNano()
	})
}
