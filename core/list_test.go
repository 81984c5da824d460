package core

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/fs/faultfs"
)

func TestListNoRecursion(t *testing.T) {
	t.Parallel()
	for _, mountpaths := range []int{1, 3} {
		r := newRig(t, rigOptions{mountpaths: mountpaths, root: memoryDir(t)})
		for _, name := range []string{
			"img001", "vid001", "img003", "img-test/obj1", "img-test/vid1", "img-test/pics/obj01", "img-test/pics/vid01",
			"alpha/beta/x", "alpha2/y", "a//b", "/lead", "p/q", "p",
		} {
			r.put(name, "x")
		}
		for _, c := range []struct {
			prefix string
			want   []string
		}{
			{"", []string{"/", "a/", "alpha/", "alpha2/", "img-test/", "img001", "img003", "p", "p/", "vid001"}},
			{"/", []string{"/lead"}},
			{"img-test", []string{"img-test/obj1", "img-test/pics/", "img-test/vid1"}},
			{"img-test/", []string{"img-test/obj1", "img-test/pics/", "img-test/vid1"}},
			{"img-test/pics", []string{"img-test/pics/obj01", "img-test/pics/vid01"}},
			{"img-test/pics/", []string{"img-test/pics/obj01", "img-test/pics/vid01"}},
			{"img", []string{"img-test/", "img001", "img003"}},
			{"img001", []string{"img001"}},
			{"alp", []string{"alpha/", "alpha2/"}},
			{"alpha", []string{"alpha/beta/", "alpha2/"}},
			{"alpha/b", []string{"alpha/beta/"}},
			{"a/", []string{"a//"}},
			{"a//", []string{"a//b"}},
			{"p", []string{"p", "p/q"}},
			{"nothing", nil},
		} {
			for _, limit := range []int{1, 2, 1000} {
				got := r.allNames(ListOptions{Prefix: c.prefix, NoRecursion: true, Limit: limit})
				if !slices.Equal(got, c.want) && len(got)+len(c.want) > 0 {
					t.Errorf("%d mountpaths, prefix %q by %d: %q, want %q", mountpaths, c.prefix, limit, got, c.want)
				}
			}
		}
		page, err := r.store.List(context.Background(), r.bck, r.props, ListOptions{NoRecursion: true, Props: ListSize | ListVersion})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page {
			isDir := strings.HasSuffix(e.Name, "/")
			if isDir != (e.Flags == wire.EntryIsDir) || !isDir && e.Flags != wire.EntryPresent || isDir != (e.Attrs.Version == "") {
				t.Errorf("entry %+v", e)
			}
		}
	}
}

// TestListAgainstModel compares pages with a sorted model, with prefixes and
// starting points.
func TestListAgainstModel(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{mountpaths: 4, root: memoryDir(t)})
	random := rand.New(rand.NewPCG(1, 2))
	alphabet := []string{"a", "b", "-", "/", "//", "0", "я", "a/b", "%", strings.Repeat("x", 256)}
	var model []string
	for len(model) < 120 {
		var name strings.Builder
		for range 1 + random.IntN(5) {
			name.WriteString(alphabet[random.IntN(len(alphabet))])
		}
		n := name.String()
		if strings.HasSuffix(n, "/") || slices.Contains(model, n) {
			continue
		}
		model = append(model, n)
		r.put(n, "x")
	}
	slices.Sort(model)
	for _, prefix := range []string{"", "a", "a/", "a/b", "b//", "/", "я", "xx", "a-", "zz"} {
		for _, after := range []string{"", "a", "a/b", "b-", "яя"} {
			var want []string
			for _, n := range model {
				if strings.HasPrefix(n, prefix) && n > after {
					want = append(want, n)
				}
			}
			for _, limit := range []int{1, 2, 7, 1000} {
				if got := r.allNames(ListOptions{Prefix: prefix, After: after, Limit: limit}); !slices.Equal(got, want) && len(got)+len(want) > 0 {
					t.Errorf("prefix %q after %q by %d: %d names, want %d", prefix, after, limit, len(got), len(want))
				}
			}
		}
	}
}

func TestListProps(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	want, err := r.tryPut("o", "content", PutOptions{Size: 7, Custom: []KV{{"k", "v"}}})
	if err != nil {
		t.Fatal(err)
	}
	list := func(props ListProps) Attrs {
		t.Helper()
		page, err := r.store.List(context.Background(), r.bck, r.props, ListOptions{Props: props})
		if err != nil || len(page) != 1 {
			t.Fatalf("%+v, %v", page, err)
		}
		return page[0].Attrs
	}
	if a := list(0); fmt.Sprintf("%+v", a) != fmt.Sprintf("%+v", Attrs{}) {
		t.Errorf("names only: %+v", a)
	}
	if a := list(ListSize); a.Size != 7 || a.Version != "" || a.Atime != 0 || a.Mountpath != nil || a.Copies != 0 {
		t.Errorf("size: %+v", a)
	}
	a := list(ListSize | ListChecksum | ListAtime | ListVersion | ListCopies | ListCustom | ListLocation)
	if a.Size != 7 || a.Checksum != want.Checksum || a.Atime != want.Atime || a.Version != "1" || a.Copies != 1 ||
		len(a.Custom) != 1 || a.Mountpath != want.Mountpath {
		t.Errorf("all: %+v", a)
	}
}

func TestListErrors(t *testing.T) {
	t.Parallel()
	sys := faultfs.New(nil)
	r := newRig(t, rigOptions{system: sys, store: walking})
	r.put("d/o", "x")
	if _, err := r.store.List(context.Background(), r.bck, r.props, ListOptions{Prefix: strings.Repeat("x", 4097)}); statusOf(err) != 400 {
		t.Errorf("a prefix that is too long: %v", err)
	}
	gone := r.bck
	gone.Name = "gone"
	if _, err := r.store.List(context.Background(), gone, r.props, ListOptions{}); statusOf(err) != 404 {
		t.Errorf("no bucket: %v", err)
	}
	for _, op := range []faultfs.Op{faultfs.OpReadDir, faultfs.OpGetXattr} {
		sys.Inject(faultfs.Fault{Op: op, Path: "/d", Err: unix.EIO})
		if page, err := r.store.List(context.Background(), r.bck, r.props, ListOptions{}); statusOf(err) != 500 || page != nil {
			t.Errorf("%s fails: %v, %v", op, page, err)
		}
		sys.Heal()
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := r.store.List(ctx, r.bck, r.props, ListOptions{}); err == nil {
		t.Error("a cancelled listing is whole")
	}
}

func TestAccessTimes(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	sys := faultfs.New(nil)
	r := newRig(t, rigOptions{system: sys, store: func(o *Options) { o.Clock = func() time.Time { return now } }})
	put := r.put("o", "x")
	head := func() int64 {
		t.Helper()
		a, err := r.store.Head(context.Background(), r.key("o"))
		if err != nil {
			t.Fatal(err)
		}
		return a.Atime
	}
	if put.Atime != now.UnixNano() || head() != put.Atime {
		t.Fatalf("PUT says %d, HEAD %d, the clock %d", put.Atime, head(), now.UnixNano())
	}
	sys.Reset()
	now = now.Add(time.Hour)
	unread, err := r.store.Open(context.Background(), r.key("o"))
	if err != nil || unread.Close() != nil || head() != put.Atime {
		t.Fatalf("opened and not read: HEAD %d, want the PUT's %d, %v", head(), put.Atime, err)
	}
	now = now.Add(time.Hour)
	first := now.UnixNano()
	if _, a, _ := r.get("o"); a.Atime != put.Atime {
		t.Errorf("the first GET shows %d, want the PUT's %d", a.Atime, put.Atime)
	}
	if head() != first || head() != first {
		t.Errorf("HEAD shows %d, want the GET's %d", head(), first)
	}
	now = now.Add(time.Hour)
	if _, a, _ := r.get("o"); a.Atime != first {
		t.Errorf("the second GET shows %d, want the first's %d", a.Atime, first)
	}
	if n := sys.Count(faultfs.OpSetTimes, ""); n != 0 {
		t.Errorf("%d writes of access times for two reads", n)
	}
	second := now.UnixNano()
	r.restart()
	if head() != second {
		t.Errorf("after a restart: %d, want %d", head(), second)
	}
	page, err := r.store.List(context.Background(), r.bck, r.props, ListOptions{Props: ListAtime})
	if err != nil || len(page) != 1 || page[0].Attrs.Atime != second {
		t.Errorf("listed %+v, %v", page, err)
	}
	now = now.Add(time.Hour)
	r.put("o", "y")
	if head() != now.UnixNano() {
		t.Errorf("after an overwrite: %d", head())
	}
}

// Times that somebody sets in the files by hand count, once memory holds none:
// an administrator sets them back to have objects evicted.
func TestAccessTimesSetByHand(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	ctx := context.Background()
	other := wire.Bck{Name: "other", Provider: wire.ProviderAIS}
	const hour = int64(time.Hour)
	for _, tc := range []struct {
		name string
		make func(name string)
	}{
		{"put", func(name string) { r.put(name, "x") }},
		{"empty", func(name string) { r.put(name, "") }},
		{"chunked", func(name string) { r.upload(name, "one", "two") }},
		{"a/" + strings.Repeat("n", 300), func(name string) { r.put(name, "x") }},
	} {
		tc.make(tc.name)
		head := func() int64 {
			t.Helper()
			a, err := r.store.Head(ctx, r.key(tc.name))
			if err != nil {
				t.Fatal(tc.name, err)
			}
			return a.Atime
		}
		written := head()
		if _, _, found := r.get(tc.name); !found {
			t.Fatal(tc.name)
		}
		read := head()
		if read <= written {
			t.Fatalf("%s: %d after a read, %d after the write", tc.name, read, written)
		}
		path := r.fileOf(tc.name)
		set := func(atime, mtime int64) {
			t.Helper()
			if err := r.fs.System().SetTimes(path, atime, mtime); err != nil {
				t.Fatal(err)
			}
		}
		set(written-3*hour, written-3*hour)
		if at := head(); at != read {
			t.Errorf("%s: memory knows of a read at %d, and HEAD says %d", tc.name, read, at)
		}
		if err := r.store.ClearMetadata(ctx, &other); err != nil {
			t.Fatal(err)
		}
		if at := head(); at != read { // written out, since it was the later one
			t.Errorf("%s: after the access times were written %d, want %d", tc.name, at, read)
		}
		for _, c := range []struct{ atime, mtime, want int64 }{
			{written - 3*hour, written - 3*hour, written - 3*hour},
			{written - 2*hour, -1, written - 2*hour},
			{read + hour, read + hour, read + hour},
			{written - 1, -1, written}, // as if nobody had set it
		} {
			if err := r.store.ClearMetadata(ctx, nil); err != nil {
				t.Fatal(err)
			}
			set(c.atime, c.mtime)
			if at := head(); at != c.want {
				t.Errorf("%s: times %d, %d: HEAD says %d, want %d", tc.name, c.atime, c.mtime, at, c.want)
			}
			page, err := r.store.List(ctx, r.bck, r.props, ListOptions{Prefix: tc.name, Props: ListAtime})
			if err != nil || len(page) != 1 || page[0].Attrs.Atime != c.want {
				t.Errorf("%s: times %d, %d: listed %+v, %v; want %d", tc.name, c.atime, c.mtime, page, err, c.want)
			}
			r.restart()
			if at := head(); at != c.want {
				t.Errorf("%s: times %d, %d: after a restart HEAD says %d, want %d", tc.name, c.atime, c.mtime, at, c.want)
			}
		}
	}
}

// A file that is much older than its record, because its content came slowly,
// and one whose record has the times of another object, do not look as if
// somebody had set their times.
func TestAccessTimesOfSlowWritesAndMoves(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	ctx := context.Background()
	const hour = int64(time.Hour)
	back := func(path string) (at int64) {
		t.Helper()
		at = time.Now().UnixNano() - 3*hour
		if err := r.fs.System().SetTimes(path, at, at); err != nil {
			t.Fatal(err)
		}
		return at
	}
	check := func(name string, want int64) {
		t.Helper()
		for range 2 {
			a, err := r.store.Head(ctx, r.key(name))
			if err != nil || a.Atime != want {
				t.Errorf("%s: %d, %v; want %d", name, a.Atime, err, want)
			}
			r.restart()
		}
	}

	h, err := r.beginAppend("appended", "content")
	if err != nil {
		t.Fatal(err)
	}
	work := r.workFiles()
	if len(work) != 1 {
		t.Fatal(work)
	}
	back(work[0])
	attrs, err := r.store.FlushAppend(ctx, r.key("appended"), h, cksum.Value{})
	if err != nil {
		t.Fatal(err)
	}
	check("appended", attrs.Atime)

	id := r.create("parts")
	r.part("parts", id, 1, "first")
	for _, path := range r.files("/%ob/") {
		if strings.Contains(path, "/%ch/") {
			back(path)
		}
	}
	if attrs, err = r.tryComplete("parts", id, 1); err != nil {
		t.Fatal(err)
	}
	check("parts", attrs.Atime)

	r.put("from", "content")
	at := back(r.fileOf("from"))
	if _, err := r.copy("from", "to", true); err != nil {
		t.Fatal(err)
	}
	check("to", at)
}

// The table of access times stays bounded, and what falls out of it is written.
func TestAccessTimesAreBounded(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	r.put("o", "x")
	path, table := r.fileOf("o"), r.store.access
	late := time.Now().Add(2 * time.Hour).UnixNano()
	for i := range uint64(3 * accessShards * accessPerShard) {
		table.touch(i, path, late, 0)
	}
	held := 0
	for i := range table.shards {
		held += len(table.shards[i].entries)
	}
	if held > accessShards*accessPerShard {
		t.Fatalf("%d entries", held)
	}
	eventually(t, "the access time of the file", func() bool {
		info, err := r.store.system.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Atime == late
	})
	for i := range table.shards { // the real Close would write 65,536 times
		clear(table.shards[i].entries)
	}
}
