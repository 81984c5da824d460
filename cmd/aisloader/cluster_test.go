package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aistore-go/aistore/ais/aistest"
	"github.com/aistore-go/aistore/api"
	"github.com/aistore-go/aistore/cmn/wire"
)

// loader is a cluster and the program beside it.
type loader struct {
	t        *testing.T
	endpoint string
	client   *api.Client
}

func newLoader(t *testing.T) *loader {
	t.Helper()
	c := aistest.New(t, aistest.Options{Proxies: 2, Targets: 3})
	client, err := api.New(api.Options{URL: c.Proxies[0].URL()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return &loader{t: t, endpoint: c.Proxies[0].URL(), client: client}
}

// run executes the program; the exit status must be as wanted.
func (l *loader) run(status int, args string) (out, message string) {
	l.t.Helper()
	var o, m bytes.Buffer
	got := execute(context.Background(), strings.Fields(args), func(name string) string {
		if name == "AIS_ENDPOINT" {
			return l.endpoint
		}
		return ""
	}, &o, &m)
	if got != status {
		l.t.Fatalf("aisloader %s: exit status %d, want %d\n%s%s", args, got, status, o.String(), m.String())
	}
	return o.String(), m.String()
}

// total runs with -json and returns the last element of the array.
func (l *loader) total(args string) map[string]count {
	l.t.Helper()
	out, message := l.run(0, args+" -json -quiet")
	_, array, ok := strings.Cut(out, "\n[")
	array, _, ended := strings.Cut(array, "\n]")
	var elements []map[string]count
	if err := json.Unmarshal([]byte("["+array+"]"), &elements); !ok || !ended || err != nil || len(elements) == 0 {
		l.t.Fatalf("aisloader %s: %v\n%s%s", args, err, out, message)
	}
	return elements[len(elements)-1]
}

type count struct {
	Count  int64 `json:"count,string"`
	Bytes  int64 `json:"bytes,string"`
	Errors int64
	P99    int64 `json:"p99_latency"`
}

// objects are the sizes of a bucket's objects, by name.
func (l *loader) objects(bucket string) map[string]int64 {
	l.t.Helper()
	found := map[string]int64{}
	for entry, err := range l.client.Objects(context.Background(), wire.Bck{Name: bucket, Provider: "ais"}, wire.LsoMsg{}) {
		if err != nil {
			l.t.Fatal(err)
		}
		found[entry.Name] = entry.Size
	}
	return found
}

func (l *loader) buckets() []string {
	l.t.Helper()
	list, err := l.client.ListBuckets(context.Background(), wire.Bck{Provider: "ais"}, wire.PresencePresent)
	if err != nil {
		l.t.Fatal(err)
	}
	var names []string
	for _, b := range list {
		names = append(names, b.Name)
	}
	return names
}

func TestPutThenGet(t *testing.T) {
	t.Parallel()
	l := newLoader(t)
	for i, how := range []string{"", " -direct", " -randomproxy", " -cksum-type=sha256 -direct", " -readertype=rand", " -readertype=file -tmpdir=" + t.TempDir(), " -cksum-type=none"} {
		bucket := fmt.Sprintf("b%d", i)
		put := l.total("-bucket=" + bucket + " -cleanup=false -pctput=100 -maxputs=60 -minsize=1 -maxsize=200000 -numworkers=4 -seed=5" + how)
		objects := l.objects(bucket)
		bytes := int64(0)
		for name, size := range objects {
			bytes += size
			if len(name) != 32 || size < 1 || size > 200000 {
				t.Errorf("%s%s: %d bytes", name, how, size)
			}
		}
		if put["put"].Count != 60 || put["put"].Errors != 0 || len(objects) != 60 || put["put"].Bytes != bytes || put["put"].P99 == 0 {
			t.Fatalf("PUT%s: %+v, and %d objects of %d bytes", how, put, len(objects), bytes)
		}
		// Every object once, and each is what was stored.
		got := l.total("-bucket=" + bucket + " -cleanup=false -epochs=1 -verifyhash -numworkers=3" + how)
		if got["get"].Count != 60 || got["get"].Errors != 0 || got["get"].Bytes != bytes || got["put"].Count != 0 {
			t.Fatalf("GET%s: %+v, want 60 objects of %d bytes", how, got, bytes)
		}
	}
	// Equal settings repeat the same names and sizes.
	if a, b := l.objects("b0"), l.objects("b1"); !maps.Equal(a, b) {
		t.Errorf("the same seed made %v and %v", a, b)
	}
}

// Which of many workers is the faster decides nothing.
func TestSameSeedSameObjects(t *testing.T) {
	t.Parallel()
	l := newLoader(t)
	for _, bucket := range []string{"a", "b"} {
		l.run(0, "-bucket="+bucket+" -cleanup=false -pctput=100 -maxputs=2000 -minsize=1 -maxsize=9 -numworkers=64 -seed=7")
	}
	if a, b := l.objects("a"), l.objects("b"); !maps.Equal(a, b) || len(a) != 2000 {
		t.Errorf("the same seed made %d and %d objects: %v and %v", len(a), len(b), a, b)
	}
}

func TestReads(t *testing.T) {
	t.Parallel()
	l := newLoader(t)
	l.run(0, "-bucket=b -cleanup=false -pctput=100 -maxputs=20 -minsize=10000 -maxsize=10000 -numworkers=2 -randomname=false -subdir=a/b -num-subdirs=3")
	objects := l.objects("b")
	for i := range 20 {
		if name := fmt.Sprintf("a/b/%05x/%x", i%3, i); objects[name] != 10000 {
			t.Errorf("no %s in %v", name, slices.Sorted(maps.Keys(objects)))
		}
	}
	for _, tc := range []struct {
		args         string
		kind         string
		count, bytes int64
	}{
		{"-epochs=2", "get", 40, 400_000},
		{"-epochs=1 -readoff=100 -readlen=50", "get", 20, 1000},
		{"-epochs=1 -readlen=1K -direct", "get", 20, 20 << 10},
		{"-epochs=1 -perm-shuffle-max=5", "get", 20, 200_000},
		{"-epochs=1 -pctmpdstream=100 -mpdstream-chunk-size=999 -mpdstream-workers=4", "get_mpdstream", 20, 200_000},
		{"-epochs=1 -pctmpdstream=100 -direct", "get_mpdstream", 20, 200_000},
		{"-epochs=1 -latest -cached -list-dirs -subdir=a", "get", 20, 200_000},
		{"-epochs=3 -rate=200 -numworkers=2", "get", 60, 600_000},
		{"-epochs=1 -trace-http", "get", 20, 200_000},
	} {
		got := l.total("-bucket=b -cleanup=false " + tc.args)
		if c := got[tc.kind]; c.Count != tc.count || c.Bytes != tc.bytes || c.Errors != 0 {
			t.Errorf("%s: %+v, want %d operations of %d bytes", tc.args, got, tc.count, tc.bytes)
		}
	}
	list := filepath.Join(t.TempDir(), "names")
	if err := os.WriteFile(list, []byte("a/b/00000/0\n\na/b/00001/1\nno name\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := l.total("-bucket=b -cleanup=false -epochs=3 -filelist=" + list); got["get"].Count != 6 || got["get"].Errors != 0 {
		t.Errorf("from a list: %+v", got)
	}
	if got := l.total("-bucket=b -cleanup=false -duration=300ms -pctlist=100 -pagesize=7 -subdir=a/b/00001"); got["list"].Count == 0 || got["list"].Errors != 0 || got["list"].Bytes == 0 || got["get"].Count != 0 {
		t.Errorf("listing: %+v", got)
	}
}

func TestMixed(t *testing.T) {
	t.Parallel()
	l := newLoader(t)
	l.run(0, "-bucket=b -cleanup=false -pctput=100 -maxputs=10 -minsize=1K -maxsize=2K -numworkers=2")
	before := l.objects("b")
	got := l.total("-bucket=b -cleanup=false -pctput=50 -pctupdate=30 -pctlist=10 -maxputs=100 -minsize=1K -maxsize=2K -numworkers=3")
	after := l.objects("b")
	if len(after) != len(before)+100 || got["put"].Count <= 100 || got["get"].Count == 0 || got["list"].Count == 0 || got["get"].Errors+got["put"].Errors+got["list"].Errors != 0 {
		t.Errorf("%d objects, then %d: %+v", len(before), len(after), got)
	}
	for name, size := range before {
		if after[name] != size {
			t.Errorf("an update changed the size of %s from %d to %d", name, size, after[name])
		}
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	l := newLoader(t)
	_, message := l.run(0, "-bucket=b -cleanup=false -pctput=100 -maxputs=5 -maxsize=1K -numworkers=2")
	if !strings.Contains(message, "Reached -maxputs=5") || len(l.objects("b")) != 5 {
		t.Errorf("%q, %d objects", message, len(l.objects("b")))
	}
	got := l.total("-bucket=b2 -cleanup=false -pctput=100 -totalputsize=100K -minsize=1K -maxsize=1K -numworkers=3")
	if n := got["put"].Count; n < 100 || n > 102 || got["put"].Bytes != n<<10 {
		t.Errorf("100 KiB in objects of 1 KiB: %+v", got)
	}
	out, _ := l.run(0, "-bucket=b -cleanup=false -duration=200ms -statsinterval=0")
	_, rest, _ := strings.Cut(out, "Actual run duration: ")
	text, _, _ := strings.Cut(rest, "\n")
	if took, err := time.ParseDuration(text); err != nil || took < 200*time.Millisecond {
		t.Errorf("200 ms took %q: %v", text, err)
	}
}

func TestBucketIsRemoved(t *testing.T) {
	t.Parallel()
	l := newLoader(t)
	// One that nobody named, one that was asked for, and one from before.
	l.run(0, "-pctput=100 -maxputs=2 -maxsize=1K")
	out, _ := l.run(0, "-bucket=b -cleanup -pctput=100 -maxputs=2 -maxsize=1K -skiplist")
	if !strings.Contains(out, "Warning: ais://b") {
		t.Errorf("no warning in %s", out)
	}
	l.run(0, "-bucket=b2 -cleanup=false -pctput=100 -maxputs=2 -maxsize=1K")
	l.run(0, "-bucket=b2 -cleanup=true -duration=0s -totalputsize=0")
	if left := l.buckets(); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	if _, message := l.run(0, "-bucket=b2 -cleanup=true -duration=0s -totalputsize=0"); !strings.Contains(message, "cleanup") {
		t.Errorf("a bucket that is not there: %q", message)
	}
}

func TestNothingToDo(t *testing.T) {
	t.Parallel()
	l := newLoader(t)
	for args, want := range map[string]string{
		"-bucket=b0 -cleanup=false":                                         "new bucket, expecting 100% PUT",
		"-bucket=b1 -cleanup=false -pctput=100 -filelist=/no/such/file":     "-filelist",
		"-bucket=b1 -cleanup=false -tokenfile=/no/such/file":                "token",
		"-bucket=b1 -cleanup=false -pctput=100 -bprops={":                   "-bprops",
		"-bucket=b1 -cleanup=false -pctput=100 -bprops={}":                  "neither",
		"-bucket=b1 -cleanup=false -pctput=100 -stats-output=/no/such/file": "-stats-output",
	} {
		if _, message := l.run(1, args); !strings.Contains(message, want) || !strings.HasPrefix(message, "aisloader exited with error: ") {
			t.Errorf("%s: %s", args, message)
		}
	}
	l.run(0, "-bucket=b1 -cleanup=true -duration=0 -totalputsize=0") // what the table left
	if err := l.client.CreateBucket(context.Background(), wire.Bck{Name: "b1", Provider: "ais"}, nil); err != nil {
		t.Fatal(err)
	}
	if _, message := l.run(1, "-bucket=b1 -cleanup=false -epochs=1"); !strings.Contains(message, "there is nothing to read") {
		t.Error(message)
	}
	if _, message := l.run(1, "-bucket=b1 -cleanup=false -epochs=1 -pctput=50"); !strings.Contains(message, "at least two objects") {
		t.Error(message)
	}
	out, _ := l.run(0, "-bucket=dry -cleanup=true -dry-run -pctput=100 -quiet")
	if !strings.Contains(out, `"name-getter": "random non-unique"`) || slices.Contains(l.buckets(), "dry") {
		t.Errorf("dry run: %v\n%s", l.buckets(), out)
	}
	if _, message := l.run(1, "-bucket=b1 -cleanup=false -filelist=cluster_test.go -duration=200ms"); !strings.Contains(message, "status 404") || !strings.Contains(message, "does not exist") {
		t.Errorf("the server's message is not shown: %s", message)
	}
}

// TestMultipartUploads: objects in parts are read back whole, and the listing
// after the run finds as many chunked ones.
func TestMultipartUploads(t *testing.T) {
	t.Parallel()
	l := newLoader(t)
	for i, how := range []string{"", " -direct"} {
		bucket := fmt.Sprintf("b%d", i)
		out, message := l.run(0, "-bucket="+bucket+" -cleanup=false -pctput=100 -maxputs=12 -pctmultipart=50 -multipart-chunks=3 -minsize=10000 -maxsize=300000 -numworkers=3 -seed=5"+how)
		if !strings.Contains(out, "MPU") || strings.Contains(out, "Warning: Expected") || strings.Contains(message, "Error") {
			t.Errorf("%s%s", out, message)
		}
		bytes := int64(0)
		for _, size := range l.objects(bucket) {
			bytes += size
		}
		if got := l.total("-bucket=" + bucket + " -cleanup=false -epochs=1 -verifyhash" + how); got["get"].Count != 12 || got["get"].Errors != 0 || got["get"].Bytes != bytes {
			t.Errorf("%+v, want 12 objects of %d bytes", got, bytes)
		}
	}
}

// TestHostileNames: whatever an object is called, it is read, compared, read in
// ranges and overwritten, by way of a gateway and straight from its owner.
func TestHostileNames(t *testing.T) {
	t.Parallel()
	l := newLoader(t)
	names := []string{
		"a b", "50%", "%41", "a%2Fb", "what?x=1", "a#b", `q"uo'te`, `back\slash`, "a+b", "a&b=c", "é世", "\xff\xfe", "...", "~x", "-rf", "a//b", "/x", "p", "p/q", "%ob/x",
		strings.Repeat("c", 256), strings.Repeat("long/", 819) + "z",
		"~x/dir%2F", "~x/%2E%2E/up", "~x/%7E/home", "~x/%7Ex/y", "~x/nul%00", "~x/line%0Abreak", "~x/50%25%7F",
	}
	bck := wire.Bck{Name: "b", Provider: wire.ProviderAIS}
	if err := l.client.CreateBucket(context.Background(), bck, nil); err != nil {
		t.Fatal(err)
	}
	sizes := map[string]int64{}
	var bytes, blanks int64
	for i, name := range names {
		content := strings.Repeat("x", 100+i)
		if _, err := l.client.PutObject(context.Background(), bck, name, api.PutArgs{Body: api.Bytes([]byte(content))}); err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		sizes[name] = int64(len(content))
		bytes += int64(len(content))
		if strings.Contains(name, " ") { // such lines of a list of names do not count
			blanks++
		}
	}
	list := filepath.Join(t.TempDir(), "names")
	if err := os.WriteFile(list, []byte(strings.Join(names, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, how := range []string{"", " -direct", " -filelist=" + list, " -direct -filelist=" + list} {
		n, all := int64(len(names)), bytes
		if strings.Contains(how, "filelist") {
			n, all = n-blanks, all-sizes["a b"]
		}
		got := l.total("-bucket=b -cleanup=false -epochs=1 -verifyhash -numworkers=3" + how)
		if got["get"].Count != n || got["get"].Errors != 0 || got["get"].Bytes != all {
			t.Errorf("GET%s: %+v, want %d objects of %d bytes", how, got, n, all)
		}
		got = l.total("-bucket=b -cleanup=false -epochs=1 -readoff=10 -readlen=20 -numworkers=3" + how)
		if got["get"].Count != n || got["get"].Errors != 0 || got["get"].Bytes != 20*n {
			t.Errorf("ranges%s: %+v", how, got)
		}
		got = l.total("-bucket=b -cleanup=false -epochs=1 -pctupdate=100 -numworkers=3" + how)
		if got["put"].Count != n || got["put"].Errors != 0 || got["get"].Errors != 0 {
			t.Errorf("updates%s: %+v", how, got)
		}
		if found := l.objects("b"); !maps.Equal(found, sizes) {
			t.Errorf("after updates%s: %q", how, slices.Sorted(maps.Keys(found)))
		}
	}
	// New names below an odd folder.
	l.run(0, "-bucket=folder -cleanup=false -pctput=100 -maxputs=10 -minsize=10 -maxsize=10 -numworkers=2 -subdir=50%/é?#x&y=z+w -num-subdirs=2")
	got := l.total("-bucket=folder -cleanup=false -epochs=1 -verifyhash -numworkers=2 -subdir=50%/é?#x&y=z+w")
	if got["get"].Count != 10 || got["get"].Errors != 0 {
		t.Errorf("below a folder: %+v", got)
	}
	for name := range l.objects("folder") {
		if !strings.HasPrefix(name, "50%/é?#x&y=z+w/0000") {
			t.Errorf("%q", name)
		}
	}
}

// TestBucketOfTheSameNameInANamespace: another bucket is not the one that is
// meant, and the one that is meant is made.
func TestBucketOfTheSameNameInANamespace(t *testing.T) {
	t.Parallel()
	l := newLoader(t)
	if err := l.client.CreateBucket(t.Context(), wire.Bck{Name: "b", Provider: "ais", Ns: wire.Ns{Name: "other"}}, nil); err != nil {
		t.Fatal(err)
	}
	l.run(0, "-bucket=ais://b -cleanup=false -pctput=100 -minsize=1 -maxsize=1 -maxputs=3 -quiet")
	if n := len(l.objects("b")); n != 3 {
		t.Errorf("%d objects", n)
	}
}
