package core

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

func (r *rig) rechunk(name string, chunk int64) Rechunked {
	r.tb.Helper()
	done, err := r.store.Rechunk(context.Background(), r.key(name), chunk)
	if err != nil {
		r.tb.Fatalf("rechunk %q by %d: %v", name, chunk, err)
	}
	return done
}

// TestRechunk: an object goes from one file to chunks, to other chunks and back.
// Clients see no difference, and nothing is left behind.
func TestRechunk(t *testing.T) {
	t.Parallel()
	for _, mountpaths := range []int{1, 3} {
		for _, keep := range []Keep{KeepNothing, KeepVersion} {
			for _, custom := range []string{"v", strings.Repeat("v", 2040)} { // in the attribute, and in a sidecar
				t.Run(fmt.Sprintf("%d mountpaths, keep %d, %d bytes of metadata", mountpaths, keep, len(custom)), func(t *testing.T) {
					t.Parallel()
					r := newRig(t, rigOptions{mountpaths: mountpaths})
					content := strings.Repeat("0123456789", 100_000)
					for _, name := range []string{"dir/o", "a//b"} {
						for _, body := range []string{"former", content} {
							if _, err := r.tryPut(name, body, PutOptions{Size: int64(len(body)), Keep: keep, Custom: []KV{{"k", custom}}}); err != nil {
								t.Fatal(err)
							}
						}
						_, first, _ := r.get(name)
						for i, step := range []struct {
							chunk   int64
							chunks  int
							largest int64
						}{{300_000, 4, 300_000}, {999_999, 2, 999_999}, {1_000_000, 0, 0}, {7_000, 143, 7_000}, {0, 0, 0}} {
							done := r.rechunk(name, step.chunk)
							got, attrs, _ := r.get(name)
							if !done.Changed || attrs.Chunks != step.chunks || attrs.LargestChunk != step.largest {
								t.Errorf("step %d: changed %v, %d chunks of %d bytes", i, done.Changed, attrs.Chunks, attrs.LargestChunk)
							}
							if got != content || attrs.Checksum != first.Checksum || attrs.Version != first.Version || attrs.Mtime != first.Mtime ||
								attrs.VersionID() != first.VersionID() || attrs.ETag() != first.ETag() || !slices.Equal(attrs.Custom, first.Custom) {
								t.Errorf("step %d: %d bytes, %+v, was %+v", i, len(got), attrs, first)
							}
							if done.Attrs.LastChange() != attrs.LastChange() || attrs.LastChange().Compare(first.LastChange()) <= 0 {
								t.Errorf("step %d: changed at %v, was at %v", i, attrs.LastChange(), first.LastChange())
							}
							if again := r.rechunk(name, step.chunk); again.Changed {
								t.Errorf("step %d: the same again has stored it anew", i)
							}
							page, err := r.store.List(context.Background(), r.bck, r.props, ListOptions{Prefix: name, Props: ListSize})
							if err != nil || len(page) != 1 || page[0].Attrs.Size != int64(len(content)) || page[0].Flags&wire.EntryIsChunked != 0 != (step.chunks > 0) {
								t.Errorf("step %d: listed as %+v, %v", i, page, err)
							}
						}
						versions, err := r.store.ListVersions(context.Background(), r.key(name))
						if want := map[Keep]int{KeepNothing: 1, KeepVersion: 2}[keep]; err != nil || len(versions) != want {
							t.Errorf("%d versions, want %d: %v", len(versions), want, err)
						}
					}
					if left := r.files("/%ob/", "/%ox/", "/%ov/", "/%md/"); len(left) > 0 {
						t.Errorf("left behind: %q", left)
					}
					r.restart()
					if got, _, _ := r.get("dir/o"); got != content {
						t.Errorf("after a restart: %d bytes", len(got))
					}
				})
			}
		}
	}
}

// TestRechunkTooManyChunks: a chunk size that would make more chunks than an object
// may have is raised.
func TestRechunkTooManyChunks(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ size, asked, want int64 }{
		{0, 0, 0}, {0, 10, 0}, {10, 10, 0}, {11, 10, 10}, {100, 0, 0}, {100, -1, 0},
		{MaxParts * 10, 10, 10}, {MaxParts*10 + 1, 10, 11}, {1 << 40, 1 << 10, (1<<40 + MaxParts - 1) / MaxParts},
	} {
		if got := ChunkSizeOf(tc.size, tc.asked); got != tc.want {
			t.Errorf("%d bytes by %d: %d, want %d", tc.size, tc.asked, got, tc.want)
		}
	}
	r := newRig(t, rigOptions{})
	r.put("o", strings.Repeat("x", MaxParts+1))
	if done := r.rechunk("o", 1); done.Attrs.Chunks != MaxParts/2+1 || done.Attrs.LargestChunk != 2 {
		t.Errorf("%+v", done.Attrs)
	}
}

// TestRechunkBesideOthers: who reads while an object is stored anew reads all of
// it, and writes of the same time are not lost.
func TestRechunkBesideOthers(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{mountpaths: 3})
	body := func(n int) string { return strings.Repeat(fmt.Sprintf("%09d\n", n), 60_000) }
	r.put("o", body(0))
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var group sync.WaitGroup
	for range 3 {
		group.Go(func() {
			for ctx.Err() == nil {
				content, attrs, err := r.tryGet("o")
				if err != nil || len(content) != 600_000 || strings.Count(content, content[:10]) != 60_000 {
					t.Errorf("read %d bytes in %d chunks: %v", len(content), attrs.Chunks, err)
					return
				}
			}
		})
	}
	group.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			_, err := r.store.Rechunk(context.Background(), r.key("o"), []int64{50_000, 0, 131_072}[n%3])
			if err != nil && statusOf(err) != 503 { // 503: written all the time
				t.Errorf("rechunk: %v", err)
				return
			}
		}
	})
	const last = 60
	for n := 1; n <= last; n++ {
		r.put("o", body(n))
		if n%10 == 0 {
			if _, err := r.store.SetCustom(context.Background(), r.key("o"), []KV{{"n", fmt.Sprint(n)}}, true); err != nil {
				t.Fatal(err)
			}
		}
		if content, _, _ := r.get("o"); content != body(n) {
			t.Fatalf("write %d is lost: there is %.10q", n, content)
		}
	}
	stop()
	group.Wait()
	r.rechunk("o", 50_000)
	content, attrs, _ := r.get("o")
	if value, _ := attrs.CustomValue("n"); content != body(last) || value != fmt.Sprint(last) || attrs.Version != fmt.Sprint(last+1) {
		t.Errorf("%.10q, %+v", content, attrs)
	}
	r.rechunk("o", 0)
	if left := r.files("/%ob/"); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// TestRechunkOfDamage: what is damaged does not get a new checksum.
func TestRechunkOfDamage(t *testing.T) {
	t.Parallel()
	flip := func(t *testing.T, path string) {
		t.Helper()
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		data[len(data)/2] ^= 1
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("of one file", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, rigOptions{})
		r.put("o", strings.Repeat("x", 1<<20))
		flip(t, r.fileOf("o"))
		if _, err := r.store.Rechunk(context.Background(), r.key("o"), 1000); statusOf(err) != 500 {
			t.Errorf("%v", err)
		}
		if n, err := r.store.QuarantineCount(); err != nil || n != 1 {
			t.Errorf("%d in quarantine, %v", n, err)
		}
	})
	for _, kind := range []string{cksum.XXHash2, cksum.None} {
		t.Run("of a chunk, checksum "+kind, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, rigOptions{props: func(p *meta.Bprops) { p.Checksum.Type = kind }})
			r.put("o", strings.Repeat("x", 10_000))
			r.rechunk("o", 4_000)
			chunks := r.files("/%ob/", "/%ut/")
			if len(chunks) != 2 {
				t.Fatalf("%q", chunks)
			}
			flip(t, chunks[0])
			if _, err := r.store.Rechunk(context.Background(), r.key("o"), 0); statusOf(err) != 500 {
				t.Errorf("%v", err)
			}
			if attrs, err := r.store.Head(context.Background(), r.key("o")); err != nil || attrs.Chunks != 3 {
				t.Errorf("it is %+v, %v", attrs, err)
			}
			if left := r.files("/%ob/", "/%ut/", "/%ch/"); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

// TestRechunkOnlyAsOwner: nothing changes where the name belongs to another target.
func TestRechunkOnlyAsOwner(t *testing.T) {
	t.Parallel()
	guard := &refusing{}
	r := newRig(t, rigOptions{store: func(o *Options) { o.Guard = guard }})
	r.put("o", strings.Repeat("x", 10_000))
	guard.refuse(ErrNotOwner)
	if _, err := r.store.Rechunk(context.Background(), r.key("o"), 1_000); !errors.Is(err, ErrNotOwner) {
		t.Errorf("%v", err)
	}
	guard.refuse(nil)
	if _, attrs, _ := r.get("o"); attrs.Chunks != 0 {
		t.Errorf("%+v", attrs)
	}
	if left := r.files("/%ob/"); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	if _, err := r.store.Rechunk(context.Background(), r.key("missing"), 1_000); statusOf(err) != 404 {
		t.Errorf("of nothing: %v", err)
	}
	if _, err := r.store.Rechunk(context.Background(), Key{Bck: wire.Bck{Name: "other", Provider: "ais"}, Props: r.props, Name: "o"}, 1_000); statusOf(err) != 404 {
		t.Errorf("of no bucket: %v", err)
	}
}

// refusing is a guard that may refuse.
type refusing struct {
	mu  sync.Mutex
	why error
}

func (g *refusing) refuse(why error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.why = why
}

func (g *refusing) Begin(Key, uint64) (Ticket, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return 0, g.why
}

func (g *refusing) End(Ticket) error { return nil }

// faultyLayouts are changes of the layout of objects, whose every system call is
// made to fail.
func faultyLayouts() []faultyOperation {
	ctx := context.Background()
	prepare := func(chunk int64, custom string) func(*crashMachine) error {
		return func(m *crashMachine) error {
			_, err := m.store.Put(ctx, m.key("o"), strings.NewReader("content"), PutOptions{Size: 7, Custom: []KV{{"k", custom}}})
			if err == nil && chunk > 0 {
				_, err = m.store.Rechunk(ctx, m.key("o"), chunk)
			}
			return err
		}
	}
	rechunk := func(chunk int64) func(*crashMachine) error {
		return func(m *crashMachine) error {
			_, err := m.store.Rechunk(ctx, m.key("o"), chunk)
			return err
		}
	}
	state := func(m *crashMachine) (string, error) {
		r, err := m.store.Open(ctx, m.key("o"))
		if err != nil {
			return "", err
		}
		chunks, version := r.Chunks, r.Version
		content, err := readWhole(r)
		return fmt.Sprintf("%s, %d chunks, version %s", content, chunks, version), err
	}
	large := strings.Repeat("v", 2040)
	return []faultyOperation{
		{name: "into chunks", object: "o", before: "content, 0 chunks, version 1", after: "content, 3 chunks, version 1", prepare: prepare(0, ""), run: rechunk(3), state: state},
		{name: "into chunks, with a sidecar", object: "o", before: "content, 0 chunks, version 1", after: "content, 3 chunks, version 1", prepare: prepare(0, large), run: rechunk(3), state: state},
		{name: "into other chunks", object: "o", before: "content, 2 chunks, version 1", after: "content, 3 chunks, version 1", prepare: prepare(4, ""), run: rechunk(3), state: state},
		{name: "into one file", object: "o", before: "content, 2 chunks, version 1", after: "content, 0 chunks, version 1", prepare: prepare(4, large), run: rechunk(0), state: state},
	}
}
