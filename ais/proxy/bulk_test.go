package proxy_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aistore-go/aistore/ais/aistest"
	"github.com/aistore-go/aistore/cmn/wire"
)

// bulk is a client of a cluster with operations on many objects.
type bulk struct {
	t    *testing.T
	c    *aistest.Cluster
	base string // of the last gateway, which is not the primary
}

func newBulk(t *testing.T, o aistest.Options) *bulk {
	t.Helper()
	o.Proxies = 2
	if o.Targets == 0 {
		o.Targets = 3
	}
	c := aistest.New(t, o)
	return &bulk{t, c, c.Proxies[1].URL() + "/v1"}
}

func (b *bulk) put(bucket string, names ...string) {
	b.t.Helper()
	for _, name := range names {
		expect(b.t, 200, follower, "PUT", b.base+"/objects/"+bucket+"/"+name, "content of "+name)
	}
}

// names are the names in a bucket, with a space between.
func (b *bulk) names(bucket string) string {
	b.t.Helper()
	_, body := expect(b.t, 200, follower, "GET", b.base+"/buckets/"+bucket, `{"action":"list","value":{"props":"name"}}`, "Content-Type: application/json")
	var page wire.LsoPage
	if err := json.Unmarshal([]byte(body), &page); err != nil {
		b.t.Fatal(err)
	}
	var names []string
	for _, e := range page.Entries {
		names = append(names, e.Name)
	}
	return strings.Join(names, " ")
}

func (b *bulk) start(method, path, action, value string) (id string) {
	b.t.Helper()
	_, id = expect(b.t, 200, follower, method, b.base+path, `{"action":"`+action+`","value":`+value+`}`)
	if len(id) < 9 || strings.ContainsAny(id, "\"\n ") {
		b.t.Fatalf("%s: id %q", action, id)
	}
	return id
}

// outcome is what became of a job.
type outcome struct {
	wire.SnapStats
	err     string
	aborted bool
	targets int
	snaps   []wire.Snap
}

// wait waits until a job has ended, or is idle, and adds what its targets say.
func (b *bulk) wait(id string) (o outcome) {
	b.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		_, body := expect(b.t, 200, follower, "GET", b.base+"/cluster?what=qryxstats", `{"id":"`+id+`"}`)
		var snaps map[string][]wire.Snap
		if err := json.Unmarshal([]byte(body), &snaps); err != nil {
			b.t.Fatal(err)
		}
		o = outcome{}
		over := true
		for _, list := range snaps {
			for _, s := range list {
				o.targets++
				o.snaps = append(o.snaps, s)
				o.LocalObjects += s.Stats.LocalObjects
				o.LocalBytes += s.Stats.LocalBytes
				o.OutObjects += s.Stats.OutObjects
				o.InObjects += s.Stats.InObjects
				o.err += s.Error
				o.aborted = o.aborted || s.Aborted
				over = over && (!s.EndTime.IsZero() || s.IsIdle)
			}
		}
		if over {
			return o
		}
	}
	b.t.Fatalf("job %s has not ended", id)
	return o
}

// status waits for the end of a job in the cluster.
func (b *bulk) status(id string) (s struct {
	Err     string `json:"err"`
	EndTime int64  `json:"end_time"`
	Aborted bool   `json:"aborted"`
}) {
	b.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		_, body := expect(b.t, 200, follower, "GET", b.base+"/cluster?what=status", `{"id":"`+id+`"}`)
		if err := json.Unmarshal([]byte(body), &s); err != nil {
			b.t.Fatal(err)
		}
		if s.EndTime != 0 {
			return s
		}
	}
	b.t.Fatalf("job %s has not ended", id)
	return s
}

func numbered(format string, from, to int) (names []string) {
	for i := from; i <= to; i++ {
		names = append(names, fmt.Sprintf(format, i))
	}
	return names
}

func uname(bucket string) string { return "?bck_to=" + url.QueryEscape("ais/@#/"+bucket+"/") }

func TestDeleteSelectedObjects(t *testing.T) {
	t.Parallel()
	b := newBulk(t, aistest.Options{})
	createBucket(t, b.c, "b")
	b.put("b", append(numbered("a-%02d", 0, 19), "x/1", "x/2", "x/y/3", "z")...)

	o := b.wait(b.start("DELETE", "/buckets/b", "delete-listrange", `{"template":"a-{05..30..5}","objnames":null}`))
	if o.LocalObjects != 3 || o.LocalBytes != 3*int64(len("content of a-05")) || o.err != "" || o.aborted || o.targets != 3 {
		t.Errorf("range: %+v", o)
	}
	o = b.wait(b.start("DELETE", "/buckets/b", "delete-listrange", `{"objnames":["a-00","a-01","nothing","a-00"]}`))
	if o.LocalObjects != 2 || !strings.Contains(o.err, "nothing") || o.aborted {
		t.Errorf("list: %+v", o)
	}
	o = b.wait(b.start("DELETE", "/buckets/b", "delete-listrange", `{"template":"x/","non-recurs":true,"num-workers":-1,"coer":true}`))
	if o.LocalObjects != 2 || o.err != "" {
		t.Errorf("one level of a prefix: %+v", o)
	}
	if got, want := b.names("b"), strings.Join(slices.DeleteFunc(numbered("a-%02d", 2, 19), func(s string) bool {
		return s == "a-05" || s == "a-10" || s == "a-15"
	}), " ")+" x/y/3 z"; got != want {
		t.Errorf("left: %s\nwant: %s", got, want)
	}
	id := b.start("DELETE", "/buckets/b", "delete-listrange", `{"objnames":[],"template":""}`)
	if s := b.status(id); s.Err != "" || s.Aborted {
		t.Errorf("everything: %+v", s)
	}
	if o = b.wait(id); o.LocalObjects != 17 || b.names("b") != "" {
		t.Errorf("everything: %+v, left %s", o, b.names("b"))
	}
}

func TestCopyBucket(t *testing.T) {
	t.Parallel()
	b := newBulk(t, aistest.Options{})
	createBucket(t, b.c, "src", `{"versioning":{"enabled":false}}`)
	b.put("src", append(numbered("a/%02d.jpg", 0, 29), "b.txt")...)
	expect(t, 200, follower, "PATCH", b.base+"/objects/src/b.txt", `{"action":"","value":{"key":"value"}}`)

	// Nothing is made, and all are counted.
	o := b.wait(b.start("POST", "/buckets/src"+uname("dry"), "copy-bck", `{"dry_run":true}`))
	if o.LocalObjects != 31 || o.OutObjects != 0 || o.err != "" {
		t.Errorf("dry run: %+v", o)
	}
	expect(t, 404, follower, "HEAD", b.base+"/buckets/dry", "")

	o = b.wait(b.start("POST", "/buckets/src"+uname("dst"), "copy-bck", `{"prefix":"","prepend":"p/","ext":{"jpg":".png"}}`))
	if o.LocalObjects != 31 || o.err != "" || o.aborted || o.targets != 3 || o.OutObjects == 0 || o.OutObjects != o.InObjects {
		t.Errorf("copy: %+v", o)
	}
	for _, s := range o.snaps {
		if s.Bck.Name != "dst" || s.SrcBck.Name != "src" || s.DstBck.Name != "dst" {
			t.Errorf("buckets of the snapshot: %+v", s)
		}
	}
	if got, want := b.names("dst"), strings.Join(numbered("p/a/%02d.png", 0, 29), " ")+" p/b.txt"; got != want {
		t.Errorf("copied: %s\nwant: %s", got, want)
	}
	res, body := expect(t, 200, follower, "GET", b.base+"/objects/dst/p/b.txt", "")
	if body != "content of b.txt" || !strings.Contains(strings.Join(res.Header["Ais-Custom-Md"], ","), "key=value") {
		t.Errorf("%q %v", body, res.Header)
	}
	res, _ = expect(t, 200, follower, "HEAD", b.base+"/buckets/dst", "")
	var props struct {
		Versioning struct {
			Enabled bool `json:"enabled"`
		} `json:"versioning"`
	}
	if err := json.Unmarshal([]byte(res.Header.Get(wire.HeaderBucketProps)), &props); err != nil || props.Versioning.Enabled {
		t.Errorf("the properties are not those of the source: %v %s", err, res.Header.Get(wire.HeaderBucketProps))
	}

	// Into a bucket that is there, and onto itself, as clients do who want to know what is selected.
	before := b.names("dst")
	for _, to := range []string{"dst", "src"} {
		if o := b.wait(b.start("POST", "/buckets/src"+uname(to), "copy-bck", `{"dry_run":true,"prefix":"a/","prepend":"q/"}`)); o.LocalObjects != 30 || o.err != "" {
			t.Errorf("dry run to %s: %+v", to, o)
		}
	}
	if got := b.names("dst"); got != before {
		t.Errorf("a dry run has made %s", got)
	}

	// Only a prefix; what is gone at the source goes.
	b.wait(b.start("POST", "/buckets/src"+uname("same"), "copy-bck", `{}`))
	b.put("same", "a/extra", "keep")
	expect(t, 200, follower, "DELETE", b.base+"/objects/src/a/00.jpg", "")
	o = b.wait(b.start("POST", "/buckets/src"+uname("same"), "copy-bck", `{"prefix":"a/","synchronize":true}`))
	if o.LocalObjects != 29 || o.err != "" {
		t.Errorf("synchronize: %+v", o)
	}
	if got, want := b.names("same"), strings.Join(numbered("a/%02d.jpg", 1, 29), " ")+" b.txt keep"; got != want {
		t.Errorf("synchronized: %s\nwant: %s", got, want)
	}
}

func TestCopyObjects(t *testing.T) {
	t.Parallel()
	b := newBulk(t, aistest.Options{})
	createBucket(t, b.c, "src")
	b.put("src", numbered("o-%02d", 0, 9)...)
	id := b.start("POST", "/buckets/src", "copy-listrange", `{"template":"o-{00..04}","tobck":{"name":"dst","provider":"ais","namespace":null},"TxnUUID":""}`)
	if !strings.HasPrefix(id, "tco-") {
		t.Errorf("id %s", id)
	}
	// The job that runs takes it, with arguments of its own.
	again := b.start("POST", "/buckets/src", "copy-listrange", `{"objnames":["o-07","none"],"prepend":"x-","coer":true,"tobck":{"name":"dst"}}`)
	if again != id {
		t.Errorf("another job: %s, not %s", again, id)
	}
	o := b.wait(id)
	if o.LocalObjects != 6 || !strings.Contains(o.err, "none") || o.aborted {
		t.Errorf("%+v", o)
	}
	if got := b.names("dst"); got != "o-00 o-01 o-02 o-03 o-04 x-o-07" {
		t.Errorf("copied: %s", got)
	}
	dry := b.start("POST", "/buckets/src", "copy-listrange", `{"template":"o-{00..04}","dry_run":true,"tobck":{"name":"other"}}`)
	if o := b.wait(dry); o.LocalObjects != 5 || o.err != "" {
		t.Errorf("dry run: %+v", o)
	}
	expect(t, 404, follower, "HEAD", b.base+"/buckets/other", "")
	// In the same bucket, with other names.
	same := b.start("POST", "/buckets/src", "copy-listrange", `{"objnames":["o-00"],"prepend":"copy/","tobck":{"name":"src"}}`)
	if o := b.wait(same); o.LocalObjects != 1 || same == id {
		t.Errorf("%+v %s", o, same)
	}
	// In the same bucket, with the same names: there is nothing to do.
	same = b.start("POST", "/buckets/src", "copy-listrange", `{"objnames":["o-00"],"synchronize":true,"tobck":{"name":"src"}}`)
	if o := b.wait(same); o.LocalObjects != 1 || o.err != "" {
		t.Errorf("%+v %s", o, same)
	}
	// An idle job can be stopped, and then another one begins.
	expect(t, 200, follower, "PUT", b.base+"/cluster", `{"action":"stop","value":{"ID":"`+id+`"}}`)
	if o := b.wait(id); !o.aborted || o.snaps[0].AbortError == "" {
		t.Errorf("stopped: %+v", o)
	}
	if next := b.start("POST", "/buckets/src", "copy-listrange", `{"template":"o-{08..08}","tobck":{"name":"dst"}}`); next == id {
		t.Error("the same job after it was stopped")
	} else if o := b.wait(next); o.LocalObjects != 1 {
		t.Errorf("%+v", o)
	}
}

// TestCopyOfDamagedObjects: content that does not have its checksum is copied nowhere, and
// each such object is an error of the job; all others are copied.
func TestCopyOfDamagedObjects(t *testing.T) {
	t.Parallel()
	b := newBulk(t, aistest.Options{Mountpaths: 1})
	for from, start := range map[string]func(from, to string) string{
		"src1": func(from, to string) string {
			return b.start("POST", "/buckets/"+from+uname(to), "copy-bck", `{"coer":true}`)
		},
		"src2": func(from, to string) string {
			return b.start("POST", "/buckets/"+from, "copy-listrange", `{"template":"o-","coer":true,"tobck":{"name":"`+to+`"}}`)
		},
	} {
		createBucket(t, b.c, from)
		names := numbered("o-%02d", 0, 23)
		b.put(from, names...)
		var damaged []string
		for _, n := range b.c.Targets {
			files, err := filepath.Glob(n.Paths[0] + "/@ais/" + from + "/%ob/o-*")
			if err != nil || len(files) < 2 {
				t.Fatalf("%q, %v", files, err)
			}
			for _, file := range files[:2] {
				name := filepath.Base(file)
				if err := os.WriteFile(file, []byte("CONTENT of "+name), 0o644); err != nil {
					t.Fatal(err)
				}
				damaged = append(damaged, name)
			}
		}
		o := b.wait(start(from, from+"-copy"))
		for _, name := range damaged {
			if !strings.Contains(o.err, name) {
				t.Errorf("%s: %s is not named: %s", from, name, o.err)
			}
		}
		whole := slices.DeleteFunc(names, func(name string) bool { return slices.Contains(damaged, name) })
		if got, want := b.names(from+"-copy"), strings.Join(whole, " "); got != want || o.aborted || o.LocalObjects != int64(len(whole)) {
			t.Errorf("%s: copied: %s\nwant: %s\n%+v", from, got, want, o)
		}
	}
}

func TestRenameBucket(t *testing.T) {
	t.Parallel()
	b := newBulk(t, aistest.Options{})
	createBucket(t, b.c, "old", `{"mirror":{"copies":2}}`)
	createBucket(t, b.c, "other")
	names := numbered("d/%03d", 0, 99)
	b.put("old", names...)
	before, _ := expect(t, 200, follower, "HEAD", b.base+"/objects/old/d/000", "")
	id := b.start("POST", "/buckets/old"+uname("new"), "move-bck", `null`)
	expect(t, 200, follower, "HEAD", b.base+"/buckets/new", "") // at once
	if s := b.status(id); s.Err != "" || s.Aborted {
		t.Fatalf("%+v", s)
	}
	if o := b.wait(id); o.LocalObjects != 100 || o.snaps[0].Bck.Name != "new" || o.snaps[0].SrcBck.Name != "old" {
		t.Errorf("%+v", o)
	}
	expect(t, 404, follower, "HEAD", b.base+"/buckets/old", "")
	if got := b.names("new"); got != strings.Join(names, " ") {
		t.Errorf("names: %s", got)
	}
	after, _ := expect(t, 200, follower, "HEAD", b.base+"/objects/new/d/000", "")
	for _, h := range []string{"Ais-Checksum-Value", "Ais-Version", "Last-Modified", "Content-Length"} {
		if before.Header.Get(h) != after.Header.Get(h) {
			t.Errorf("%s: %q, was %q", h, after.Header.Get(h), before.Header.Get(h))
		}
	}
	b.put("new", "d/000") // it can be written to again
	res, _ := expect(t, 200, follower, "HEAD", b.base+"/buckets/new", "")
	if props := res.Header.Get(wire.HeaderBucketProps); !strings.Contains(props, `"Renamed":""`) || !strings.Contains(props, `"copies":2`) {
		t.Errorf("properties: %s", props)
	}
	for _, bad := range []struct {
		from, to, text string
		status         int
	}{
		{"new", "other", "already exists", 400}, {"new", "new", "to itself", 400}, {"none", "x", "does not exist", 404},
	} {
		res, body := expect(t, bad.status, follower, "POST", b.base+"/buckets/"+bad.from+uname(bad.to), `{"action":"move-bck"}`)
		if !strings.Contains(errorBody(t, res, body).Message, bad.text) {
			t.Errorf("%+v: %s", bad, body)
		}
	}
	expect(t, 400, follower, "POST", b.base+"/buckets/new", `{"action":"move-bck"}`)
	expect(t, 400, follower, "POST", b.base+"/buckets/new?bck_to="+url.QueryEscape("aws/@#/x/"), `{"action":"move-bck"}`)
}

func TestSummary(t *testing.T) {
	t.Parallel()
	b := newBulk(t, aistest.Options{})
	createBucket(t, b.c, "b")
	createBucket(t, b.c, "empty")
	b.put("b", append(numbered("a/%02d", 0, 9), "long-name")...)
	ask := func(bucket, value string) (status int, body string) {
		t.Helper()
		res, body := send(t, follower, "GET", b.base+"/buckets"+bucket, `{"action":"summary-bck","value":`+value+`}`, "Content-Type: application/json")
		return res.StatusCode, body
	}
	get := func(bucket, value string) (sums []wire.BucketSummary) {
		t.Helper()
		status, id := ask(bucket, value)
		if status != 202 || strings.ContainsAny(id, "\" \n") {
			t.Fatalf("%d %s", status, id)
		}
		for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
			status, body := ask(bucket, `{"uuid":"`+id+`","prefix":"","cached":true,"present":true}`)
			if status == 202 || status == 206 {
				continue
			}
			if status != 200 {
				t.Fatalf("%d %s", status, body)
			}
			if err := json.Unmarshal([]byte(body), &sums); err != nil {
				t.Fatal(err)
			}
			return sums
		}
		t.Fatal("no result")
		return nil
	}
	size := int64(len("content of a/00"))
	sums := get("/b", `{"uuid":"","prefix":"","cached":true,"present":true}`)
	if len(sums) != 1 || sums[0].Count.Present != 11 || sums[0].Size.Min != size || sums[0].Size.Max != int64(len("content of long-name")) ||
		sums[0].Total.Present != uint64(10*size)+20 || sums[0].Total.OnDisk != 11*4096 || sums[0].Total.Disks == 0 || sums[0].Name != "b" || !sums[0].Present {
		t.Errorf("%+v", sums)
	}
	if sums = get("/b", `{"prefix":"a/*"}`); len(sums) != 1 || sums[0].Count.Present != 10 || sums[0].Size.Avg != size {
		t.Errorf("prefix: %+v", sums)
	}
	if sums = get("/empty", `{}`); len(sums) != 1 || sums[0].Count.Present != 0 || sums[0].Size != (wire.SummarySize{}) {
		t.Errorf("empty: %+v", sums)
	}
	if sums = get("", `{}`); len(sums) != 2 || sums[0].Name+sums[1].Name != "bempty" {
		t.Errorf("all: %+v", sums)
	}
	for value, status := range map[string]int{`{"uuid":"x"}`: 400, `{"uuid":"abcdefghij"}`: 404, `{"prefix":"../x"}`: 400, `{"foo":1}`: 400} {
		if got, body := ask("/b", value); got != status {
			t.Errorf("%s: %d %s", value, got, body)
		}
	}
	if status, _ := ask("/none", `{}`); status != 404 {
		t.Errorf("missing bucket: %d", status)
	}
	if status, _ := ask("?provider=aws", `{}`); status != 500 {
		t.Errorf("no bucket matches: %d", status)
	}

	// The same in a header, by HEAD.
	res, _ := expect(t, 202, follower, "HEAD", b.base+"/buckets/b/a/?bsumm_remote=false", "")
	id := res.Header.Get(wire.HeaderXactionID)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		res, _ = send(t, follower, "HEAD", b.base+"/buckets/b?bsumm_remote=false&uuid="+id, "")
		if res.Header.Get(wire.HeaderXactionID) != id || res.Header.Get(wire.HeaderBucketProps) == "" {
			t.Fatalf("%d %v", res.StatusCode, res.Header)
		}
		if res.StatusCode == 200 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("no result")
		}
	}
	var sum wire.BucketSummary
	if err := json.Unmarshal([]byte(res.Header.Get(wire.HeaderBucketSummary)), &sum); err != nil || sum.Count.Present != 10 || !sum.Present {
		t.Errorf("%v %+v", err, sum)
	}
	// Destroyed: 410.
	_, gone := ask("/empty", `{}`)
	expect(t, 200, follower, "DELETE", b.base+"/buckets/empty", `{"action":"destroy-bck"}`)
	if status, body := ask("/empty", `{"uuid":"`+gone+`"}`); status != 410 {
		t.Errorf("destroyed: %d %s", status, body)
	}
}

func TestBadBulkRequests(t *testing.T) {
	t.Parallel()
	b := newBulk(t, aistest.Options{})
	createBucket(t, b.c, "b")
	createBucket(t, b.c, "c")
	for _, tc := range []struct {
		name, method, path, body string
		status                   int
		text                     string
	}{
		{"unbalanced", "DELETE", "/b", `{"action":"delete-listrange","value":{"template":"a{1..2"}}`, 400, `has no "}" after it`},
		{"backwards", "DELETE", "/b", `{"action":"delete-listrange","value":{"template":"a{2..1}"}}`, 400, "begins behind its end"},
		{"no end", "DELETE", "/b", `{"action":"delete-listrange","value":{"template":"a%04d"}}`, 400, "no end"},
		{"name", "DELETE", "/b", `{"action":"delete-listrange","value":{"objnames":["a","../b"]}}`, 400, "objnames[1]"},
		{"unknown key", "DELETE", "/b", `{"action":"delete-listrange","value":{"objnames":["a"],"x":1}}`, 400, `"x"`},
		{"workers", "DELETE", "/b", `{"action":"delete-listrange","value":{"num-workers":-2}}`, 400, "num-workers"},
		{"missing bucket", "DELETE", "/x", `{"action":"delete-listrange","value":{}}`, 404, "does not exist"},
		{"evict", "DELETE", "/b", `{"action":"evict-listrange","value":{}}`, 400, "expecting remote bucket"},
		{"prefetch", "POST", "/b", `{"action":"prefetch-listrange","value":{}}`, 400, "expecting remote bucket"},
		{"prefetch by the wrong type", "POST", "/b", `{"action":"prefetch-listrange","value":{"blob-num-workers":"x"}}`, 400, "blob-num-workers"},
		{"onto itself", "POST", "/b" + uname("b"), `{"action":"copy-bck"}`, 400, "onto itself"},
		{"onto itself with prepend", "POST", "/b" + uname("b"), `{"action":"copy-bck","value":{"prepend":"x/"}}`, 400, "onto itself"},
		{"only what is outside", "POST", "/b" + uname("c") + "&presence=4", `{"action":"copy-bck"}`, 501, "presence"},
		{"no destination", "POST", "/b", `{"action":"copy-bck"}`, 400, "bck_to"},
		{"bad destination", "POST", "/b?bck_to=x", `{"action":"copy-bck"}`, 400, "bucket name is missing"},
		{"sync and prepend", "POST", "/b" + uname("c"), `{"action":"copy-bck","value":{"synchronize":true,"prepend":"x"}}`, 400, "prepend"},
		{"remote destination", "POST", "/b?bck_to=" + url.QueryEscape("aws/@#/x/"), `{"action":"copy-bck"}`, 404, "AWS backend"},
		{"source", "POST", "/x" + uname("c"), `{"action":"copy-bck"}`, 404, "does not exist"},
		{"no tobck", "POST", "/b", `{"action":"copy-listrange","value":{"objnames":["a"]}}`, 400, "tobck"},
		{"same names", "POST", "/b", `{"action":"copy-listrange","value":{"objnames":["a"],"tobck":{"name":"b"}}}`, 400, "onto itself"},
		{"overlap", "POST", "/b", `{"action":"copy-listrange","value":{"template":"a","prepend":"a/","tobck":{"name":"b"}}}`, 400, "overlap"},
		{"template", "POST", "/b", `{"action":"copy-listrange","value":{"template":"a{1..2","tobck":{"name":"c"}}}`, 400, `has no "}" after it`},
		{"two prefixes", "POST", "/b", `{"action":"copy-listrange","value":{"template":"a","prefix":"b","tobck":{"name":"c"}}}`, 400, "prefix"},
		{"prepend that is no beginning of a name", "POST", "/b" + uname("c"), `{"action":"copy-bck","value":{"prepend":"../x"}}`, 400, "prepend"},
		{"extension of nothing", "POST", "/b" + uname("c"), `{"action":"copy-bck","value":{"ext":{"":"x"}}}`, 400, "ext"},
		{"extension with a slash", "POST", "/b" + uname("c"), `{"action":"copy-bck","value":{"ext":{"jpg":"a/b"}}}`, 400, "ext"},
		{"unknown key of a copy", "POST", "/b" + uname("c"), `{"action":"copy-bck","value":{"prefx":"a"}}`, 400, "prefx"},
		{"workers of a copy", "POST", "/b" + uname("c"), `{"action":"copy-bck","value":{"num-workers":-2}}`, 400, "num-workers"},
		{"prefix that is none", "POST", "/b" + uname("c"), `{"action":"copy-bck","value":{"prefix":"a/../b"}}`, 400, "prefix"},
		{"name of the new bucket", "POST", "/b", `{"action":"copy-listrange","value":{"objnames":["a"],"tobck":{"name":"a b"}}}`, 400, "bucket name"},
		{"a step of nothing", "POST", "/b", `{"action":"copy-listrange","value":{"template":"a{1..9..0}","tobck":{"name":"c"}}}`, 400, "step"},
		{"a range below zero", "DELETE", "/b", `{"action":"delete-listrange","value":{"template":"a{-1..2}"}}`, 400, "a{-1..2}"},
		{"rename without a name", "POST", "/b", `{"action":"move-bck"}`, 400, "bck_to"},
		{"rename to itself", "POST", "/b" + uname("b"), `{"action":"move-bck"}`, 400, "itself"},
		{"rename to what is there", "POST", "/b" + uname("c"), `{"action":"move-bck"}`, 400, "already exists"},
		{"rename of nothing", "POST", "/x" + uname("y"), `{"action":"move-bck"}`, 404, "does not exist"},
		{"rename to another provider", "POST", "/b?bck_to=" + url.QueryEscape("aws/@#/y/"), `{"action":"move-bck"}`, 400, "can only rename to AIS"},
		{"etl keys", "POST", "/b" + uname("c"), `{"action":"copy-bck","value":{"id":"x"}}`, 400, "transformations"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			res, body := expect(t, tc.status, follower, tc.method, b.base+"/buckets"+tc.path, tc.body)
			if e := errorBody(t, res, body); !strings.Contains(e.Message, tc.text) {
				t.Errorf("%q, want %q", e.Message, tc.text)
			}
		})
	}
}
