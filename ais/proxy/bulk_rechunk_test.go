package proxy_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/ais/aistest"
	"github.com/aistore-go/aistore/cmn/wire"
)

// chunked are the names in a bucket whose objects lie in chunks, with a space between.
func (b *bulk) chunked(bucket string) string {
	b.t.Helper()
	_, body := expect(b.t, 200, follower, "GET", b.base+"/buckets/"+bucket, `{"action":"list","value":{"props":"name,size,chunked"}}`, "Content-Type: application/json")
	var page wire.LsoPage
	if err := json.Unmarshal([]byte(body), &page); err != nil {
		b.t.Fatal(err)
	}
	var names []string
	for _, e := range page.Entries {
		if e.Flags&wire.EntryIsChunked != 0 {
			names = append(names, e.Name)
		}
	}
	return strings.Join(names, " ")
}

// TestRechunkBucket: objects of a bucket go into chunks and out of them, on all
// targets, by both calls; clients see no difference.
func TestRechunkBucket(t *testing.T) {
	t.Parallel()
	b := newBulk(t, aistest.Options{})
	createBucket(t, b.c, "b")
	large := strings.Repeat("0123456789", 10_000)
	for i := range 20 {
		expect(t, 200, follower, "PUT", fmt.Sprintf("%s/objects/b/large/%02d", b.base, i), large)
	}
	b.put("b", numbered("small/%02d", 0, 19)...)
	head, _ := expect(t, 200, follower, "HEAD", b.base+"/objects/b/large/07", "")

	id := b.start("POST", "/buckets/b", "rechunk", `{"objsize-limit":51200,"chunk-size":20480,"prefix":"","sync-remote":false}`)
	if s := b.status(id); s.Err != "" || s.Aborted {
		t.Fatalf("%+v", s)
	}
	if o := b.wait(id); o.LocalObjects != 20 || o.LocalBytes != 20*int64(len(large)) || o.targets != 3 {
		t.Errorf("%+v", o)
	}
	if got := b.chunked("b"); got != strings.Join(numbered("large/%02d", 0, 19), " ") {
		t.Errorf("in chunks: %s", got)
	}
	for i := range 20 {
		if _, body := expect(t, 200, follower, "GET", fmt.Sprintf("%s/objects/b/large/%02d", b.base, i), ""); body != large {
			t.Errorf("large/%02d has %d bytes", i, len(body))
		}
	}
	again, _ := expect(t, 200, follower, "HEAD", b.base+"/objects/b/large/07", "")
	for _, name := range []string{wire.HeaderObjVersion, wire.HeaderObjChecksumValue, "ETag", "Last-Modified", "Content-Length"} {
		if again.Header.Get(name) != head.Header.Get(name) {
			t.Errorf("%s was %q and is %q", name, head.Header.Get(name), again.Header.Get(name))
		}
	}
	// Names with underscores, as some versions of the tool send them.
	id = b.start("POST", "/buckets/b", "rechunk", `{"objsize_limit":51200,"chunk_size":20480,"prefix":"small/"}`)
	if s, o := b.status(id), b.wait(id); s.Err != "" || o.LocalObjects != 0 {
		t.Errorf("nothing to do: %+v, %+v", s, o)
	}
	// By the properties of the bucket: everything in one file.
	_, id = expect(t, 200, follower, "PUT", b.base+"/cluster", `{"action":"start","value":{"Kind":"rechunk","Bck":{"name":"b","provider":"ais"}}}`)
	if s, o := b.status(id), b.wait(id); s.Err != "" || s.Aborted || o.LocalObjects != 20 {
		t.Errorf("one file each: %+v, %+v", s, o)
	}
	if got := b.chunked("b"); got != "" {
		t.Errorf("in chunks: %s", got)
	}
}

func TestBadRechunkRequests(t *testing.T) {
	t.Parallel()
	b := newBulk(t, aistest.Options{Targets: 1})
	createBucket(t, b.c, "b")
	for _, tc := range []struct {
		name, bucket, value string
		status              int
		text                string
	}{
		{"no chunk size", "b", `{"objsize-limit":1000}`, 400, "chunk-size"},
		{"no value", "b", `null`, 400, "chunk-size"},
		{"a chunk size below all", "b", `{"chunk-size":1023}`, 400, "1024"},
		{"a chunk size above all", "b", `{"chunk-size":5368709121}`, 400, "5368709120"},
		{"a limit below 0", "b", `{"chunk-size":4096,"objsize-limit":-1}`, 400, "objsize-limit"},
		{"a prefix that is no name", "b", `{"chunk-size":4096,"prefix":"../x"}`, 400, "prefix"},
		{"to a backend", "b", `{"chunk-size":4096,"sync-remote":true}`, 400, "expecting remote bucket"},
		{"another type", "b", `{"chunk-size":"big"}`, 400, "chunk-size"},
		{"an unknown key", "b", `{"chunk-size":4096,"x":1}`, 400, `"x"`},
		{"no bucket", "x", `{"chunk-size":4096}`, 404, "does not exist"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			res, body := expect(t, tc.status, follower, "POST", b.base+"/buckets/"+tc.bucket, `{"action":"rechunk","value":`+tc.value+`}`)
			if e := errorBody(t, res, body); !strings.Contains(e.Message, tc.text) {
				t.Errorf("%q, want %q", e.Message, tc.text)
			}
		})
	}
	res, body := expect(t, 400, follower, "PUT", b.base+"/cluster", `{"action":"start","value":{"Kind":"rechunk"}}`)
	if e := errorBody(t, res, body); !strings.Contains(e.Message, "requires a bucket to start") {
		t.Errorf("%q", e.Message)
	}
}
