package target_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aistore-go/aistore/ais/aistest"
	"github.com/aistore-go/aistore/ais/node"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
)

// shortLimits give up a client that does not send, or does not read, soon.
var shortLimits = node.Limits{BodyBytes: 1 << 10, BodyWithin: 500 * time.Millisecond, SendTimeout: 500 * time.Millisecond}

// TestStalledCalls: whoever announces a message and does not send it is given
// up, by every call that reads one, and nothing has happened.
func TestStalledCalls(t *testing.T) {
	t.Parallel()
	c := quick(t)
	p, target := c.Proxies[0], c.Targets[0]
	expect(t, 200, follower, "PUT", object(p, "o"), strings.NewReader("content"), "Ais-Custom-Md: k=v")
	var all sync.WaitGroup
	for _, tc := range []struct {
		at             *aistest.Node
		method, target string
		body           string
	}{
		{p, "GET", "/v1/buckets/b", `{"action":"list",`},
		{p, "GET", "/v1/buckets", `{"action":"list-bck",`},
		{p, "POST", "/v1/buckets/new", `{"action":"create-bck",`},
		{p, "PATCH", "/v1/buckets/b", `{"action":"set-bprops",`},
		{p, "DELETE", "/v1/buckets/b", `{"action":"destroy-bck"`},
		{p, "POST", "/v1/objects/b/o", `{"action":"rename-obj","name":"p"`},
		{p, "POST", "/ais/b/o", `{"action":"mpt-upload"`},
		{target, "POST", "/v1/objects/b/o", `{"action":"rename-obj","name":"p"`},
		{target, "PATCH", "/v1/objects/b/o?set-new-custom=true", `{"value":{"a":"b"}`},
		{target, "DELETE", "/v1/objects/b/o", `{"action":"`},
		{target, "PUT", "/v1/objects/b/o?append_type=append", "more"},
		{target, "PUT", "/v1/objects/b/o", "other"},
	} {
		all.Go(func() {
			conn := openAt(t, tc.at, tc.method, tc.target, 1000, tc.body)
			res := answer(t, conn)
			if res == nil || res.StatusCode != http.StatusRequestTimeout {
				t.Errorf("%s %s: %v", tc.method, tc.target, res)
			}
		})
	}
	all.Wait()
	res, body := expect(t, 200, follower, "GET", object(p, "o"), nil)
	if body != "content" || res.Header.Get("Ais-Custom-Md") != "k=v" || res.Header.Get("Ais-Version") != "1" {
		t.Errorf("%q %v", body, res.Header)
	}
	expect(t, 404, follower, "GET", object(p, "p"), nil)
	expect(t, 404, follower, "HEAD", p.URL()+"/v1/buckets/new", nil)
	noWorkFiles(t, target)
}

// noWorkFiles: nothing unfinished is left on a target's disks.
func noWorkFiles(t *testing.T, target *aistest.Node) {
	t.Helper()
	for _, path := range target.Paths {
		err := filepath.WalkDir(path, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && !entry.IsDir() && strings.Contains(path, "/%wk/") {
				t.Errorf("%s is still there", path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// unread sends a request whose answer nobody reads.
func unread(t *testing.T, n *aistest.Node, method, target, body string) *net.TCPConn {
	t.Helper()
	return openAt(t, n, method, target, len(body), body)
}

// TestReadsThatNobodyReads: a client that asks for an object, or for a range of
// it, and reads nothing is given up; then nothing keeps what it was reading.
func TestReadsThatNobodyReads(t *testing.T) {
	t.Parallel()
	c := quick(t)
	target := c.Targets[0]
	part := strings.Repeat("0123456789abcdef", 1<<20) // more than sockets hold
	expect(t, 200, follower, "PUT", object(target, "whole"), strings.NewReader(part), "Ais-Smap-Version: 1")
	id := uploadOf(t, object(c.Proxies[0], "chunked"))
	for n := 1; n <= 3; n++ {
		expect(t, 200, follower, "PUT", partURL(object(c.Proxies[0], "chunked"), id, n), strings.NewReader(part))
	}
	expect(t, 200, follower, "POST", object(c.Proxies[0], "chunked")+"?uploadId="+id, completion(1, 2, 3))
	for _, name := range []string{"whole", "chunked"} {
		conn := unread(t, target, "GET", "/v1/objects/b/"+name, "")
		one := make([]byte, 1)
		if _, err := io.ReadFull(conn, one); err != nil { // it has begun
			t.Fatal(err)
		}
		// Meanwhile the name is free for others.
		expect(t, 200, follower, "PUT", object(c.Proxies[0], name), strings.NewReader("new"))
		until(t, name+" is in use no more", func() bool {
			res, err := follower.Do(mustRequest(t, "POST", object(c.Proxies[0], name), `{"action":"check-lock"}`))
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			return res.StatusCode == 200
		})
		_ = conn.Close()
		if _, body := expect(t, 200, follower, "GET", object(c.Proxies[0], name), nil); body != "new" {
			t.Errorf("%s: %.20q", name, body)
		}
	}
	until(t, "the chunks of the old object are gone", func() bool { return len(chunkFiles(t, c)) == 0 })
}

// TestListingThatNobodyReads holds no disk: its page is made before it is sent.
func TestListingThatNobodyReads(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{})
	p, target := c.Proxies[0], c.Targets[0]
	expect(t, 200, follower, "POST", p.URL()+"/v1/buckets/b", strings.NewReader(`{"action":"create-bck","value":{"durability":"none"}}`))
	key := core.Key{Bck: wire.Bck{Name: "b", Provider: wire.ProviderAIS}}
	key.Props, _ = c.Metadata.View().BMD.Get(key.Bck)
	const objects = 1500 // with names of 4,000 bytes: more than sockets hold
	for i := range objects {
		key.Name = fmt.Sprintf("%s%04d", strings.Repeat("n", 3996), i)
		if _, err := target.Store.Put(context.Background(), key, strings.NewReader(""), core.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	conn := unread(t, p, "GET", "/v1/buckets/b", `{"action":"list","value":{"pagesize":10000}}`)
	reader := bufio.NewReader(conn)
	if _, err := reader.Peek(1); err != nil { // the page is on its way
		t.Fatal(err)
	}
	mountpath(t, c, 200, "disable-mp", target.Paths[0], "?dntres=true")
	expect(t, 200, follower, "DELETE", p.URL()+"/v1/buckets/b", strings.NewReader(`{"action":"destroy-bck"}`))
	res, err := http.ReadResponse(reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	if page, err := io.ReadAll(res.Body); err != nil || res.StatusCode != 200 || len(page) < objects*4000 {
		t.Errorf("%s: %d bytes, %v: %.300s", res.Status, len(page), err, page)
	}
}
