package core

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/fs/faultfs"
)

func (r *rig) beginAppend(name, body string) (AppendHandle, error) {
	return r.store.BeginAppend(context.Background(), r.key(name), strings.NewReader(body), int64(len(body)), 0)
}

func (r *rig) appendTo(name string, h AppendHandle, body string) (AppendHandle, error) {
	return r.store.Append(context.Background(), r.key(name), h, strings.NewReader(body), int64(len(body)), 0)
}

func (r *rig) flushAppend(name string, h AppendHandle) error {
	_, err := r.store.FlushAppend(context.Background(), r.key(name), h, cksum.Value{})
	return err
}

// workFiles are the files of appends on the disks.
func (r *rig) workFiles() []string { return r.files("/%ob/", "/%ox/", "/%md/", "/.$deleted/") }

func TestAppendIsInvisibleUntilItIsFlushed(t *testing.T) {
	t.Parallel()
	for _, mountpaths := range []int{1, 3} {
		r := newRig(t, rigOptions{props: durable, mountpaths: mountpaths})
		r.put("o", "old ")
		h, err := r.beginAppend("o", "and ")
		if err != nil {
			t.Fatal(err)
		}
		if h, err = r.appendTo("o", h, "new"); err != nil {
			t.Fatal(err)
		}
		if content, attrs, _ := r.get("o"); content != "old " || attrs.Version != "1" {
			t.Errorf("%q %s", content, attrs.Version)
		}
		if names := r.names(ListOptions{}); !slices.Equal(names, []string{"o"}) {
			t.Errorf("%q", names)
		}
		if err := r.flushAppend("o", h); err != nil {
			t.Fatal(err)
		}
		if content, attrs, _ := r.get("o"); content != "old and new" || attrs.Version != "2" {
			t.Errorf("%q %s", content, attrs.Version)
		}
		if err := r.flushAppend("o", h); statusOf(err) != 404 {
			t.Errorf("consumed: %v", err)
		}
		if left := r.workFiles(); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
	}
}

// TestAppendIsLostWithARestart, and the object is what it was.
func TestAppendIsLostWithARestart(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{props: durable})
	r.put("o", "old")
	h, err := r.beginAppend("o", " new")
	if err != nil {
		t.Fatal(err)
	}
	r.restart()
	if _, err := r.appendTo("o", h, "x"); statusOf(err) != 404 || !strings.Contains(err.Error(), "ais://b1/o") {
		t.Errorf("%v", err)
	}
	if content, _, _ := r.get("o"); content != "old" {
		t.Errorf("%q", content)
	}
	if left := r.workFiles(); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestOneRequestAtATimeUsesAHandle(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	h, err := r.beginAppend("o", "a")
	if err != nil {
		t.Fatal(err)
	}
	body, feed := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		_, err := r.store.Append(context.Background(), r.key("o"), h, body, -1, 0)
		ended <- err
	}()
	if _, err := feed.Write([]byte("b")); err != nil { // it holds the handle now
		t.Fatal(err)
	}
	if _, err := r.appendTo("o", h, "c"); statusOf(err) != 409 {
		t.Errorf("append beside another one: %v", err)
	}
	if err := r.flushAppend("o", h); statusOf(err) != 409 {
		t.Errorf("flush beside an append: %v", err)
	}
	if err := feed.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := r.flushAppend("o", h); statusOf(err) != 409 {
		t.Errorf("a handle that was replaced: %v", err)
	}
}

// TestAppendOverTheLimitCopiesNothing: what would be too long is refused by its
// size, before the object is copied or the body read.
func TestAppendOverTheLimitCopiesNothing(t *testing.T) {
	t.Parallel()
	sys := faultfs.New(nil)
	r := newRig(t, rigOptions{props: durable, system: sys})
	r.put("plain", strings.Repeat("x", 100_000))
	r.upload("chunked", "part one, ", "part two")
	for name, limit := range map[string]int64{"plain": 100_000, "chunked": 18} {
		sys.Reset()
		unread := strings.NewReader("more")
		_, err := r.store.BeginAppend(t.Context(), r.key(name), unread, 4, limit)
		if statusOf(err) != 400 || !strings.Contains(err.Error(), "max_monolithic_size") || unread.Len() != 4 {
			t.Errorf("%s: %v, %d bytes are left", name, err, unread.Len())
		}
		if n := sys.Count(faultfs.OpCreate, ""); n != 0 {
			t.Errorf("%s: %d files were made", name, n)
		}
		h, err := r.store.BeginAppend(t.Context(), r.key(name), strings.NewReader("more"), -1, limit+4)
		if err != nil {
			t.Fatal(err)
		}
		unread = strings.NewReader("x")
		if _, err := r.store.Append(t.Context(), r.key(name), h, unread, 1, limit+4); statusOf(err) != 400 || unread.Len() != 1 {
			t.Errorf("%s: %v", name, err)
		}
		if err := r.flushAppend(name, h); err != nil {
			t.Fatal(err)
		}
		if _, attrs, _ := r.get(name); attrs.Size != limit+4 {
			t.Errorf("%s: %d bytes", name, attrs.Size)
		}
	}
}

// TestAppendOfABodyThatBreaksOff leaves the append as it was.
func TestAppendOfABodyThatBreaksOff(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{cksum.None, cksum.XXHash2, cksum.MD5, cksum.CRC32C, cksum.SHA256, cksum.SHA512} {
		r := newRig(t, rigOptions{root: memoryDir(t), props: func(p *meta.Bprops) { p.Checksum.Type = kind }})
		h, err := r.beginAppend("o", "first ")
		if err != nil {
			t.Fatal(err)
		}
		for _, body := range []io.Reader{&breakingReader{left: 300_000}, strings.NewReader("short"), strings.NewReader(strings.Repeat("long", 500_000))} {
			if _, err := r.store.Append(context.Background(), r.key("o"), h, body, 1<<20, 0); err == nil {
				t.Error("no error")
			}
		}
		if _, err := r.store.Append(context.Background(), r.key("o"), h, strings.NewReader("too much"), 8, 13); statusOf(err) != 400 || !strings.Contains(err.Error(), "max_monolithic_size") {
			t.Errorf("%v", err)
		}
		if h, err = r.appendTo("o", h, "second"); err != nil {
			t.Fatal(err)
		}
		if err := r.flushAppend("o", h); err != nil {
			t.Fatal(err)
		}
		content, attrs, _ := r.get("o")
		if sum, err := cksum.Of(kind, []byte("first second")); content != "first second" || err != nil || attrs.Checksum.Value != sum.Value {
			t.Errorf("%s: %.40q %v", kind, content, attrs.Checksum)
		}
	}
}

func TestIdleAppendsAreDropped(t *testing.T) {
	t.Parallel()
	now := time.Now()
	r := newRig(t, rigOptions{store: func(o *Options) { o.Clock = func() time.Time { return now } }})
	old, err := r.beginAppend("old", "x")
	if err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Hour)
	young, err := r.beginAppend("young", "x")
	if err != nil {
		t.Fatal(err)
	}
	if n := r.store.DropAppends(time.Minute); n != 1 {
		t.Errorf("%d dropped", n)
	}
	if err := r.flushAppend("old", old); statusOf(err) != 404 {
		t.Errorf("%v", err)
	}
	if left := r.workFiles(); len(left) != 1 {
		t.Errorf("%q", left)
	}
	if err := r.flushAppend("young", young); err != nil {
		t.Error(err)
	}
}

// TestAppendToAnotherIncarnation of the bucket is refused.
func TestAppendToAnotherIncarnation(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	h, err := r.beginAppend("o", "x")
	if err != nil {
		t.Fatal(err)
	}
	again := r.props.Clone()
	again.BID++
	next := r.bmdWith(again)
	if err := r.store.ApplyBMD(context.Background(), r.bmd, next); err != nil {
		t.Fatal(err)
	}
	r.props, r.bmd = again, next
	if _, err := r.appendTo("o", h, "y"); statusOf(err) != 404 {
		t.Errorf("%v", err)
	}
	if err := r.flushAppend("o", h); statusOf(err) != 404 {
		t.Errorf("%v", err)
	}
}

// TestAppendFaults makes each system call of an append and of its flush fail in
// turn. After an append the handle is good for another try or the append is
// lost; after a flush the object is the old or the new one.
func TestAppendFaults(t *testing.T) {
	t.Parallel()
	for _, flushing := range []bool{false, true} {
		for _, errno := range []unix.Errno{unix.EIO, unix.ENOSPC} {
			for _, late := range []bool{false, true} {
				sys := faultfs.New(nil)
				r := newRig(t, rigOptions{system: sys, props: durable, root: memoryDir(t)})
				for n := 1; ; n++ {
					reset(r)
					r.put("o", "old ")
					h, err := r.beginAppend("o", "one ")
					if err != nil {
						t.Fatal(err)
					}
					want := "old one "
					sys.Restart(faultfs.Fault{Nth: n, Err: errno, Late: late})
					if flushing {
						err = r.flushAppend("o", h)
					} else {
						var next AppendHandle
						if next, err = r.appendTo("o", h, "two"); err == nil {
							h, want = next, want+"two"
						}
					}
					sys.Heal()
					calls := sys.Calls()
					hit := slices.IndexFunc(calls, func(c faultfs.Call) bool { return errors.Is(c.Err, errno) })
					if hit < 0 {
						if err != nil {
							t.Fatalf("fault %d was not reached, and yet: %v", n, err)
						}
						break
					}
					content, _, found := r.get("o")
					switch {
					case !found, err == nil && flushing && content != want, content != "old " && (!flushing || content != want):
						t.Fatalf("%v (late %v) in %s: %q; %v", errno, late, calls[hit], content, err)
					case err == nil && flushing:
						continue
					}
					err = r.flushAppend("o", h)
					content, _, _ = r.get("o")
					if err == nil && content != want || err != nil && statusOf(err) != 404 {
						t.Fatalf("%v (late %v) in %s: then %q; %v", errno, late, calls[hit], content, err)
					}
				}
				if left := r.workFiles(); len(left) > 0 {
					t.Logf("%v left for the next start", len(left))
				}
			}
		}
	}
}

// TestTooManyAppends: a new one waits, unless some were forgotten long ago.
func TestTooManyAppends(t *testing.T) {
	t.Parallel()
	now := time.Now()
	r := newRig(t, rigOptions{store: func(o *Options) { o.Clock = func() time.Time { return now } }})
	for i := range maxAppends {
		r.store.appends.add(&appending{id: strconv.Itoa(i), path: "/nowhere"}, now.UnixNano())
	}
	if _, err := r.beginAppend("o", "x"); statusOf(err) != 503 || !strings.Contains(err.Error(), "too much is being appended") {
		t.Errorf("%v", err)
	}
	now = now.Add(appendGuard + time.Second)
	h, err := r.beginAppend("o", "x")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.flushAppend("o", h); err != nil {
		t.Error(err)
	}
	if count, _ := r.store.appends.total(); count != 0 {
		t.Errorf("%d are left", count)
	}
}

// TestAppendToAChunkedObject begins with all of its content, and leaves no chunk
// behind; what was read before goes on.
func TestAppendToAChunkedObject(t *testing.T) {
	t.Parallel()
	for _, mountpaths := range []int{1, 3} {
		r := newRig(t, rigOptions{props: durable, mountpaths: mountpaths})
		r.upload("d/o", strings.Repeat("one ", 1000), strings.Repeat("two ", 100_000), "three ")
		want := strings.Repeat("one ", 1000) + strings.Repeat("two ", 100_000) + "three "
		reader, err := r.store.Open(context.Background(), r.key("d/o"))
		if err != nil {
			t.Fatal(err)
		}
		h, err := r.beginAppend("d/o", "four ")
		if err != nil {
			t.Fatal(err)
		}
		if content, attrs, _ := r.get("d/o"); content != want || attrs.Chunks != 3 {
			t.Errorf("before the flush: %d bytes, %d chunks", len(content), attrs.Chunks)
		}
		if h, err = r.appendTo("d/o", h, "five"); err != nil {
			t.Fatal(err)
		}
		if err := r.flushAppend("d/o", h); err != nil {
			t.Fatal(err)
		}
		sum, err := cksum.Of(cksum.XXHash2, []byte(want+"four five"))
		if err != nil {
			t.Fatal(err)
		}
		if content, attrs, _ := r.get("d/o"); content != want+"four five" || attrs.Chunks != 0 || attrs.Checksum != sum || attrs.Version != "2" {
			t.Errorf("%d bytes, %+v", len(content), attrs)
		}
		if err := reader.Prepare(context.Background(), 0, reader.Size); err != nil {
			t.Fatal(err)
		}
		if content, err := io.ReadAll(io.NewSectionReader(reader, 0, reader.Size)); err != nil || string(content) != want {
			t.Errorf("the reader from before: %d bytes, %v", len(content), err)
		}
		if err := reader.Close(); err != nil {
			t.Fatal(err)
		}
		if left := r.files("/%ob/"); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
	}
}

// TestAppendToAChunkedObjectRefused: one that is too long is refused before anything is copied,
// and one to a damaged object with what is wrong.
func TestAppendToAChunkedObjectRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	r.upload("o", strings.Repeat("x", 600), strings.Repeat("y", 600))
	begin := func(limit int64) error {
		_, err := r.store.BeginAppend(context.Background(), r.key("o"), strings.NewReader("z"), 1, limit)
		return err
	}
	if err := begin(1200); statusOf(err) != 400 || !strings.Contains(err.Error(), "max_monolithic_size") {
		t.Errorf("%v", err)
	}
	if left := r.workFiles(); len(left) > 2 { // the second chunk and the manifest
		t.Errorf("left behind: %q", left)
	}
	for _, path := range r.files("/%ob/") {
		if strings.HasSuffix(path, ".00002") {
			if err := r.fs.System().Unlink(path); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := begin(0); statusOf(err) != 500 || !strings.Contains(err.Error(), "truncated") {
		t.Errorf("%v", err)
	}
	if attrs, err := r.store.Head(context.Background(), r.key("o")); err != nil || attrs.Chunks != 2 {
		t.Errorf("the object: %+v, %v", attrs, err)
	}
}

// TestAppendOutlivesAMoveThatFails: the body of an append goes to the mountpath
// that its name has by now; if that fails the handle is good for another try.
func TestAppendOutlivesAMoveThatFails(t *testing.T) {
	t.Parallel()
	system := faultfs.New(nil)
	r := newRig(t, rigOptions{props: durable, system: system})
	handles := map[string]AppendHandle{}
	for i := range 20 {
		name := fmt.Sprintf("o%d", i)
		h, err := r.beginAppend(name, "content of "+name)
		if err != nil {
			t.Fatal(err)
		}
		handles[name] = h
	}
	second := r.attach("second")
	moved := r.placedOn(second, slices.Collect(maps.Keys(handles)))
	for _, op := range []faultfs.Op{faultfs.OpCreate, faultfs.OpWrite} {
		system.Inject(faultfs.Fault{Op: op, Path: second.Path, Err: unix.ENOSPC, Times: -1})
		for _, name := range moved {
			if err := r.flushAppend(name, handles[name]); statusOf(err) != 507 {
				t.Errorf("%s fails: %v", op, err)
			}
		}
		system.Heal()
	}
	for name, h := range handles {
		if err := r.flushAppend(name, h); err != nil {
			t.Errorf("another try: %v", err)
		}
		if content, _, _ := r.get(name); content != "content of "+name {
			t.Errorf("%q", content)
		}
	}
	if left := r.workFiles(); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}
