package core

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/core/meta"
)

// sendName sends a name from one store to another and removes what has arrived;
// the arrivals are those of the parcels, in order.
func sendName(from, to *rig, name string) (arrivals []Arrival, removed bool, err error) {
	ctx := context.Background()
	d, err := from.store.Depart(ctx, from.key(name))
	if err != nil {
		return nil, false, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	for _, p := range d.Parcels() {
		body, err := p.Open(ctx)
		if err != nil {
			return arrivals, false, err
		}
		arrival, err := to.store.Arrive(ctx, to.key(name), p.Head, body)
		if err := errors.Join(err, body.Close()); err != nil {
			return arrivals, false, err
		}
		arrivals = append(arrivals, arrival)
	}
	removed, err = d.Remove(ctx)
	return arrivals, removed, err
}

// describe is everything that a name holds, but for what differs between
// targets: mountpaths, places and upload ids.
func (r *rig) describe(name string) string {
	r.tb.Helper()
	ctx := context.Background()
	all, err := r.store.ListVersions(ctx, r.key(name))
	if err != nil {
		r.tb.Fatal(err)
	}
	var text strings.Builder
	for i := range all {
		v := &all[i]
		a := &v.Attrs
		fmt.Fprintf(&text, "%v current=%v stamp=%v revision=%v version=%s sum=%v mtime=%d custom=%v versioned=%v chunks=%d/%d",
			v.Kind, v.Current, a.Stamp, a.Revision, a.Version, a.Checksum, a.Mtime, a.Custom, a.Versioned, a.Chunks, a.LargestChunk)
		if !v.Kind.IsDeleted() {
			reader, err := r.store.OpenVersion(ctx, r.key(name), a.VersionID())
			if err != nil {
				r.tb.Fatal(err)
			}
			content, err := io.ReadAll(io.NewSectionReader(reader, 0, reader.Size))
			if err := errors.Join(err, reader.Close()); err != nil {
				r.tb.Fatal(err)
			}
			fmt.Fprintf(&text, " content=%d/%.40q", len(content), content)
		}
		text.WriteByte('\n')
	}
	attrs, kind, err := r.store.Look(ctx, r.key(name))
	if err != nil {
		r.tb.Fatal(err)
	}
	fmt.Fprintf(&text, "look %d %v %d", kind, attrs.Stamp, attrs.Atime)
	return text.String()
}

// twoStores are two targets.
func twoStores(t testing.TB, props func(*meta.Bprops)) (from, to *rig) {
	t.Helper()
	from = newRig(t, rigOptions{mountpaths: 3, props: props, store: func(o *Options) { o.NodeID = "t1" }})
	to = newRig(t, rigOptions{mountpaths: 2, props: props, store: func(o *Options) { o.NodeID = "t2" }})
	return from, to
}

func smallChunks(p *meta.Bprops) {
	p.Chunks = config.ChunksConf{MaxMonolithicSize: 50_000, ChunkSize: 20_000}
}

// TestNamesMoveWhole: whatever a name holds is at the other target as it was,
// and nothing of it stays.
func TestNamesMoveWhole(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	text := func(n int) string { return strings.Repeat("0123456789", n/10+1)[:n] }
	versioned := PutOptions{Size: -1, Keep: KeepVersion}
	put := func(r *rig, name, content string, o PutOptions) {
		r.tb.Helper()
		if _, err := r.tryPut(name, content, o); err != nil {
			r.tb.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		props   func(*meta.Bprops)
		prepare func(r *rig, name string)
	}{
		"small":         {nil, func(r *rig, n string) { put(r, n, "content", PutOptions{Size: 7, Custom: []KV{{"k", "v"}}}) }},
		"empty":         {nil, func(r *rig, n string) { put(r, n, "", PutOptions{}) }},
		"large":         {nil, func(r *rig, n string) { put(r, n, text(3<<20), PutOptions{Size: 3 << 20}) }},
		"no sum":        {func(p *meta.Bprops) { p.Checksum.Type = cksum.None }, func(r *rig, n string) { put(r, n, text(300_000), PutOptions{Size: -1}) }},
		"small, no sum": {func(p *meta.Bprops) { p.Checksum.Type = cksum.None }, func(r *rig, n string) { put(r, n, "x", PutOptions{Size: -1}) }},
		"in chunks":     {smallChunks, func(r *rig, n string) { put(r, n, text(130_001), PutOptions{Size: 130_001}) }},
		"grown chunks":  {smallChunks, func(r *rig, n string) { put(r, n, text(90_000), PutOptions{Size: -1}) }},
		"in parts":      {nil, func(r *rig, n string) { r.upload(n, text(10), text(70_000), text(5)) }},
		"sidecar":       {nil, func(r *rig, n string) { put(r, n, "content", PutOptions{Size: 7, Custom: []KV{{"k", text(2000)}}}) }},
		"tombstone": {nil, func(r *rig, n string) {
			if _, err := r.store.Bury(ctx, r.key(n)); err != nil {
				r.tb.Fatal(err)
			}
		}},
		"versions": {smallChunks, func(r *rig, n string) {
			put(r, n, "null", PutOptions{Size: -1})
			put(r, n, text(70_000), versioned)
			put(r, n, "third", PutOptions{Size: -1, Keep: KeepVersion, Custom: []KV{{"k", text(2000)}}})
			if _, err := r.store.SetCustom(ctx, r.key(n), []KV{{"k", "changed"}}, true); err != nil {
				r.tb.Fatal(err)
			}
			if _, err := r.store.PutDeleteMarker(ctx, r.key(n), KeepVersion); err != nil {
				r.tb.Fatal(err)
			}
			put(r, n, "last", versioned)
		}},
		"a delete marker": {nil, func(r *rig, n string) {
			put(r, n, "first", versioned)
			if _, err := r.store.PutDeleteMarker(ctx, r.key(n), KeepVersion); err != nil {
				r.tb.Fatal(err)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from, to := twoStores(t, c.props)
			for _, name := range []string{"o", "a//b", strings.Repeat("n", 300), "dir/" + "x"} {
				c.prepare(from, name)
				if name == "o" { // the access time is the last one
					if _, _, err := from.tryGet(name); err != nil && statusOf(err) != 404 {
						t.Fatal(err)
					}
				}
				want := from.describe(name)
				arrivals, removed, err := sendName(from, to, name)
				if err != nil || !removed || slices.ContainsFunc(arrivals, func(a Arrival) bool { return a != ArrivalStored }) {
					t.Fatalf("%q: %v, removed %v, %v", name, arrivals, removed, err)
				}
				if got := to.describe(name); got != want {
					t.Errorf("%q is\n%s\nwas\n%s", name, got, want)
				}
				if got := from.describe(name); !strings.HasPrefix(got, "look 0 ") {
					t.Errorf("%q: %s is left", name, got)
				}
			}
			if files := from.files("/%wk/", "/name"); len(files) > 0 {
				t.Errorf("left behind: %v", files)
			}
			to.restart()
			for _, name := range []string{"o", "a//b"} {
				if got := to.describe(name); strings.HasPrefix(got, "look 0") {
					t.Errorf("%q is gone after a restart", name)
				}
			}
		})
	}
}

// TestNewerWinsWhereverItIs: what has moved never replaces anything newer, and
// sending again does nothing.
func TestNewerWinsWhereverItIs(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	from, to := twoStores(t, nil)
	past := time.Now().Add(-time.Hour)
	from.store.options.Clock = func() time.Time { return past }

	from.put("newer there", "old")
	newer := to.put("newer there", "new")
	if arrivals, removed, err := sendName(from, to, "newer there"); err != nil || !removed || arrivals[0] != ArrivalOlder {
		t.Errorf("an older one: %v, removed %v, %v", arrivals, removed, err)
	}
	if content, attrs, _ := to.get("newer there"); content != "new" || attrs.Stamp != newer.Stamp {
		t.Errorf("an older one has replaced it: %q", content)
	}

	from.put("deleted there", "old")
	if _, err := to.store.Bury(ctx, to.key("deleted there")); err != nil {
		t.Fatal(err)
	}
	if arrivals, _, err := sendName(from, to, "deleted there"); err != nil || arrivals[0] != ArrivalOlder {
		t.Errorf("one that was deleted: %v, %v", arrivals, err)
	}
	if _, _, found := to.get("deleted there"); found {
		t.Error("a deleted object has come back")
	}

	from.put("twice", "content")
	d, err := from.store.Depart(ctx, from.key("twice"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	for i, want := range []Arrival{ArrivalStored, ArrivalKnown} {
		body, err := d.Parcels()[0].Open(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := to.store.Arrive(ctx, to.key("twice"), d.Parcels()[0].Head, body); err != nil || got != want {
			t.Errorf("time %d: %v, %v", i+1, got, err)
		}
	}
	from.put("twice", "meanwhile")
	if removed, err := d.Remove(ctx); err != nil || removed {
		t.Errorf("one that has changed meanwhile: removed %v, %v", removed, err)
	}
	if content, _, _ := from.get("twice"); content != "meanwhile" {
		t.Errorf("what has changed meanwhile is %q", content)
	}
}

// TestBadArrivals: what is not as it was announced leaves nothing, and what was
// there stays.
func TestBadArrivals(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	text := strings.Repeat("0123456789", 30_000)
	for name, props := range map[string]func(*meta.Bprops){
		"summed": nil, "no sum": func(p *meta.Bprops) { p.Checksum.Type = cksum.None }, "in chunks": smallChunks,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from, to := twoStores(t, props)
			to.put("o", "before")
			before := to.describe("o")
			files := to.files()
			from.store.options.Clock = func() time.Time { return time.Now().Add(time.Hour) }
			from.put("o", text)
			d, err := from.store.Depart(ctx, from.key("o"))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = d.Close() }()
			p := d.Parcels()[0]
			open := func() io.Reader {
				body, err := p.Open(ctx)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = body.Close() })
				return body
			}
			all, err := io.ReadAll(open())
			if err != nil {
				t.Fatal(err)
			}
			flipped := slices.Clone(all)
			flipped[len(flipped)/2] ^= 1
			head := slices.Clone([]byte(p.Head))
			head[len(head)/2] ^= 1
			other := to.key("o")
			other.Props = other.Props.Clone()
			other.Props.BID++
			for what, try := range map[string]func() error{
				"a flipped bit": func() error {
					_, err := to.store.Arrive(ctx, to.key("o"), p.Head, strings.NewReader(string(flipped)))
					return err
				},
				"cut off": func() error {
					_, err := to.store.Arrive(ctx, to.key("o"), p.Head, io.LimitReader(open(), p.Size-1))
					return err
				},
				"nothing":        func() error { _, err := to.store.Arrive(ctx, to.key("o"), p.Head, strings.NewReader("")); return err },
				"a damaged head": func() error { _, err := to.store.Arrive(ctx, to.key("o"), head, open()); return err },
				"another bucket": func() error { _, err := to.store.Arrive(ctx, other, p.Head, open()); return err },
			} {
				if err := try(); err == nil {
					t.Errorf("%s is accepted", what)
				}
			}
			if got := to.describe("o"); got != before {
				t.Errorf("is %s, was %s", got, before)
			}
			if got := to.files(); !slices.Equal(got, files) {
				t.Errorf("left behind: %v", got)
			}
			if n, err := to.store.Arrive(ctx, to.key("o"), p.Head, open()); err != nil || n != ArrivalStored {
				t.Errorf("in the end: %v, %v", n, err)
			}
			if content, _, _ := to.get("o"); content != text {
				t.Error("it has not arrived whole")
			}
		})
	}
}

// TestMisplaced: the walk finds what another target owns, in whatever form.
func TestMisplaced(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := newRig(t, rigOptions{mountpaths: 3})
	want := []string{}
	mine := map[uint64]bool{}
	add := func(name string, own bool) {
		o, err := r.store.resolve(r.key(name))
		if err != nil {
			t.Fatal(err)
		}
		mine[o.digest] = own
		if !own {
			want = append(want, name)
		}
	}
	for i := range 100 {
		name := fmt.Sprintf("dir/%03d", i)
		r.put(name, "x")
		add(name, i%3 == 0)
	}
	if _, err := r.store.Bury(ctx, r.key("dir/tombstone")); err != nil {
		t.Fatal(err)
	}
	add("dir/tombstone", false)
	for _, content := range []string{"one", "two"} {
		if _, err := r.tryPut("dir/versions", content, PutOptions{Size: -1, Keep: KeepVersion}); err != nil {
			t.Fatal(err)
		}
	}
	add("dir/versions", false)
	r.put("elsewhere", "x")
	add("elsewhere", true)
	slices.Sort(want)
	for _, page := range []int{7, 0} {
		var got []string
		err := r.store.Misplaced(ctx, r.bck, r.props, MisplacedOptions{
			Prefix: "dir/", Page: page, Owns: func(digest uint64) bool { return mine[digest] },
		}, func(name string) error {
			got = append(got, name)
			return nil
		})
		slices.Sort(got)
		if got = slices.Compact(got); err != nil || !slices.Equal(got, want) {
			t.Errorf("pages of %d: %d names, want %d (%v)", page, len(got), len(want), err)
		}
	}
}

// FuzzMoveHead: what is no description is refused, what is one stays the same.
func FuzzMoveHead(f *testing.F) {
	props := &meta.Bprops{BID: 7}
	props.Checksum.Type = cksum.XXHash2
	f.Add(sentOf(props, "content", 1, KV{"k", "v"}).head.encode())
	f.Add(sentOf(props, "content", 1).inChunks(3, 4, 0).head.encode())
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := decodeMoveHead(data)
		if err != nil {
			return
		}
		again, err := decodeMoveHead(m.encode())
		if err != nil || again.rec.stamp != m.rec.stamp || again.rec.size != m.rec.size || !slices.Equal(again.chunks, m.chunks) {
			t.Fatalf("%+v became %+v, %v", m, again, err)
		}
	})
}

// TestLargeContentIsAFile: what is sent of a large object may be taken from its
// file instead of being read, as long as the body is open; not what lies in
// chunks, or is followed by a checksum.
func TestLargeContentIsAFile(t *testing.T) {
	t.Parallel()
	content := strings.Repeat("0123456789", 30_000)
	for name, c := range map[string]struct {
		props func(*meta.Bprops)
		file  bool
	}{
		"one file": {nil, true},
		"chunks":   {smallChunks, false},
		"no sum":   {func(p *meta.Bprops) { p.Checksum.Type = cksum.None }, false},
	} {
		r := newRig(t, rigOptions{mountpaths: 2, props: c.props})
		r.put("o", content)
		d, err := r.store.Depart(t.Context(), r.key("o"))
		if err != nil {
			t.Fatal(err)
		}
		body, err := d.Parcels()[0].Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var from *os.File
		if source, ok := body.(interface{ SourceFile() (*os.File, int64) }); ok {
			var offset int64
			if from, offset = source.SourceFile(); from != nil {
				data, err := io.ReadAll(io.NewSectionReader(from, offset, int64(len(content))))
				if err != nil || string(data) != content {
					t.Errorf("%s: %d bytes, %v", name, len(data), err)
				}
			}
		}
		if (from != nil) != c.file {
			t.Errorf("%s: a file: %t", name, from != nil)
		}
		data, err := io.ReadAll(body)
		if err := errors.Join(err, body.Close(), d.Close()); err != nil || !strings.HasPrefix(string(data), content) {
			t.Errorf("%s: %d bytes are read, %v", name, len(data), err)
		}
		if from != nil && !errors.Is(from.Close(), os.ErrClosed) {
			t.Errorf("%s: the file stays open", name)
		}
	}
}

// TestReadingOutlivesTheDeparture: what was opened of a generation is read to its end
// though the departure was closed meanwhile, as by a sender who was told that the
// receiver wants no more; nobody begins to read it afterwards, and the file is let go of.
func TestReadingOutlivesTheDeparture(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	content := strings.Repeat("0123456789abcdef", 20_000) // more than what is read at once
	r.put("a", content)
	d, err := r.store.Depart(t.Context(), r.key("a"))
	if err != nil {
		t.Fatal(err)
	}
	p := d.Parcels()[0]
	bodies := make([]io.ReadCloser, 2)
	for i := range bodies {
		if bodies[i], err = p.Open(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, bodies[i], 10); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(d.Close(), d.Close()); err != nil {
		t.Fatal(err)
	}
	for i, body := range bodies {
		rest, err := io.ReadAll(body)
		if err != nil || string(rest) != content[10:] {
			t.Errorf("reading %d: %d bytes of %d, %v", i, len(rest), len(content)-10, err)
		}
		if err := body.Close(); err != nil {
			t.Error(err)
		}
	}
	if body, err := p.Open(t.Context()); err == nil {
		t.Errorf("the departure is closed, and what it has is opened: %v", body.Close())
	}
	if p.reader.File != nil {
		t.Error("the file is still open")
	}
}
