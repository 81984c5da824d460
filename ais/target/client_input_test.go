package target_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/ais/aistest"
	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/cmn/feature"
	"github.com/aistore-go/aistore/cmn/wire"
)

// TestControlBytesInProbes: HEAD of names that no object can have is 400, in a
// header that clients can read.
func TestControlBytesInProbes(t *testing.T) {
	t.Parallel()
	c := cluster(t, 1, `{"durability":"none"}`)
	for _, at := range []*aistest.Node{c.Proxies[0], c.Targets[0]} {
		for _, name := range []string{"a%00b", "%0A", "a%7Fb", "%1f", "dir/%0d%0aX-Other:%20y"} {
			res, _ := expect(t, 400, follower, "HEAD", at.URL()+"/v1/objects/b/"+name, nil)
			e := message(t, res, "")
			if e.TypeCode != wire.CodeInvalidPath || !strings.HasPrefix(e.Message, "invalid object name") || res.Header.Get("X-Other") != "" {
				t.Errorf("%s: %+v", name, e)
			}
		}
	}
}

// TestLongMessages: the message of PATCH and DELETE may have 64 KiB.
func TestLongMessages(t *testing.T) {
	t.Parallel()
	const longest = 64 << 10
	c := cluster(t, 1, `{"durability":"none"}`)
	address := object(c.Proxies[0], "o")
	for _, tc := range [][2]string{{"PATCH", `{"value":{"k":"v"}`}, {"DELETE", `{"action":""`}} {
		method, text := tc[0], tc[1]
		expect(t, 200, follower, "PUT", address+"?skip_vc=true", strings.NewReader("x"))
		padded := func(length int) *strings.Reader {
			return strings.NewReader(text + strings.Repeat(" ", length-len(text)-1) + "}")
		}
		res, body := expect(t, 413, follower, method, address, padded(longest+1))
		if e := message(t, res, body); !strings.Contains(e.Message, "longer than 65536 bytes") {
			t.Errorf("%s: %+v", method, e)
		}
		res, body = expect(t, 413, strict, method, object(c.Targets[0], "o"), onlyReader{padded(longest + 1)}, "Ais-Smap-Version: 1") // chunked
		if e := message(t, res, body); !strings.Contains(e.Message, "longer than 65536 bytes") {
			t.Errorf("%s: %+v", method, e)
		}
		if res, _ = expect(t, 200, follower, "HEAD", address, nil); res.Header.Get("Ais-Custom-Md") != "" {
			t.Errorf("%s: %v", method, res.Header)
		}
		expect(t, 200, follower, method, address, padded(longest))
	}
	expect(t, 404, follower, "HEAD", address, nil)
}

// TestActionsOnBadNames: the gateway refuses them, and redirects nobody.
func TestActionsOnBadNames(t *testing.T) {
	t.Parallel()
	c := cluster(t, 1, `{"durability":"none"}`)
	for _, action := range []string{`{"action":"rename-obj","name":"p"}`, `{"action":"mpt-upload"}`, `{"action":"mpt-complete","value":[]}`, `{"action":"check-lock"}`} {
		for _, name := range []string{"dir/", "a/%2E%2E/b", "%2E", "~/x", "~x/a/b", "~x/%zz", "nul%00", strings.Repeat("n", 4097)} {
			res, body := expect(t, 400, strict, "POST", c.Proxies[0].URL()+"/v1/objects/b/"+strings.ReplaceAll(name, "%zz", "%25zz"), strings.NewReader(action))
			if e := message(t, res, body); e.TypeCode != wire.CodeInvalidPath || !strings.HasPrefix(e.Message, "invalid object name") {
				t.Errorf("%s on %.20q: %+v", action, name, e)
			}
		}
	}
	for _, to := range []string{"dir/", "a/../b", "~/x", "~x/a/b", "~x/%2f", "nul\\u0000", ""} {
		res, body := expect(t, 400, strict, "POST", object(c.Proxies[0], "o"), strings.NewReader(`{"action":"rename-obj","name":"`+to+`"}`))
		if e := message(t, res, body); e.TypeCode != wire.CodeInvalidPath {
			t.Errorf("rename to %q: %+v", to, e)
		}
		if to == "nul\\u0000" {
			to = "nul\x00"
		}
		if to == "" {
			continue
		}
		res, body = expect(t, 400, strict, "PUT", object(c.Proxies[0], "o")+"?object_to="+url.QueryEscape("ais/@#/b/"+to), nil)
		if e := message(t, res, body); e.TypeCode != wire.CodeInvalidPath {
			t.Errorf("copy to %q: %+v", to, e)
		}
	}
}

// TestOddCustomKeys: keys and values come back as they were, however many.
func TestOddCustomKeys(t *testing.T) {
	t.Parallel()
	c := cluster(t, 1, `{"durability":"none"}`)
	address := object(c.Proxies[0], "o")
	expect(t, 200, follower, "PUT", address, strings.NewReader("x"))
	pairs := map[string]string{"a=b": "c=d", " blank ": " ", "komma,": ",", "приве́т": "мир", "tab": "a\tb", "Empty": ""}
	for i := range 120 {
		pairs[fmt.Sprint("k", i)] = fmt.Sprint(i)
	}
	text, err := json.Marshal(map[string]any{"value": pairs})
	if err != nil {
		t.Fatal(err)
	}
	expect(t, 200, follower, "PATCH", address, strings.NewReader(string(text)))
	var want []string
	for key, value := range pairs {
		want = append(want, strings.TrimSpace(key+"="+value)) // header fields have no blanks around them
	}
	slices.Sort(want)
	for _, call := range []struct{ method, query string }{{"GET", ""}, {"HEAD", ""}, {"HEAD", "?props=custom"}, {"GET", "?x=y"}} {
		res, _ := expect(t, 200, follower, call.method, address+call.query, nil)
		got := slices.Clone(res.Header["Ais-Custom-Md"])
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("%s%s: %q", call.method, call.query, got)
		}
	}
	_, page := expect(t, 200, follower, "GET", c.Proxies[0].URL()+"/v1/buckets/b", strings.NewReader(`{"action":"list","value":{"props":"custom"}}`))
	if !strings.Contains(page, "a=b") || !strings.Contains(page, "k119") {
		t.Error(page)
	}
}

// TestParametersForRemoteBuckets say nothing for a bucket of this cluster.
func TestParametersForRemoteBuckets(t *testing.T) {
	t.Parallel()
	c := cluster(t, 1, `{"durability":"none","versioning":{"enabled":true,"validate_warm_get":true}}`)
	expect(t, 200, follower, "PUT", object(c.Proxies[0], "o"), strings.NewReader("content"))
	for _, query := range []string{"latest-ver=true", "synchronize=true", "latest-ver=True&synchronize=1", "sln=true", "latest-ver=nonsense", "dont_head_remote_bck=true"} {
		if res, body := expect(t, 200, follower, "GET", object(c.Proxies[0], "o")+"?"+query, nil); body != "content" || res.Header.Get("Ais-Version") != "1" {
			t.Errorf("%s: %q %v", query, body, res.Header)
		}
		if res, _ := expect(t, 200, follower, "HEAD", object(c.Proxies[0], "o")+"?"+query, nil); res.Header.Get("Ais-Version") != "1" || res.ContentLength != 7 {
			t.Errorf("%s: %v", query, res.Header)
		}
		expect(t, 404, follower, "GET", object(c.Proxies[0], "none")+"?"+query, nil)
		expect(t, 404, follower, "HEAD", object(c.Proxies[0], "none")+"?"+query, nil)
		expect(t, 200, follower, "PUT", object(c.Proxies[0], "o")+"?object_to="+url.QueryEscape("ais/@#/b/copy")+"&"+query, nil)
	}
	expect(t, 200, follower, "GET", object(c.Proxies[0], "o")+"?validate-checksum=true", nil) // of HEAD alone
}

// TestFeaturesOfBuckets: what Skip-Loading-VersionChecksum-MD and
// Count-Object-NotFound-Stats change, set for a bucket or for the cluster.
func TestFeaturesOfBuckets(t *testing.T) {
	t.Parallel()
	both := feature.SkipVersionChecksumMD | feature.CountObjectNotFound
	flags, err := json.Marshal(both)
	if err != nil {
		t.Fatal(err)
	}
	of := aistest.New(t, aistest.Options{Config: func(conf *config.Cluster) { conf.Features |= both }})
	without := aistest.New(t, aistest.Options{})
	for _, c := range []*aistest.Cluster{of, without} {
		p, target := c.Proxies[0], c.Targets[0]
		create := func(name, props string) {
			t.Helper()
			expect(t, 200, follower, "POST", p.URL()+"/v1/buckets/"+name, strings.NewReader(`{"action":"create-bck","value":{"durability":"none"`+props+`}}`))
		}
		create("b", "")
		create("with", `,"features":`+string(flags))
		create("off", `,"features":"0"`)
		for name, on := range map[string]bool{"b": c == of, "with": true, "off": false} {
			address := p.URL() + "/v1/objects/" + name + "/o"
			sum := sumOf(t, "xxhash2", "content")
			checksum := []string{"Ais-Checksum-Type: xxhash2", "Ais-Checksum-Value: " + sum}
			put := func(body string, headers ...string) *http.Response {
				t.Helper()
				res, _ := expect(t, 200, follower, "PUT", address, strings.NewReader(body), headers...)
				return res
			}
			put("old", "Ais-Custom-Md: k=v")
			put("content", checksum...)
			again := put("content", append(checksum, "Ais-Custom-Md: l=w")...)
			version, custom := "3", "k=v l=w"
			if on {
				version, custom = "1", "l=w"
			}
			if got := strings.Join(again.Header["Ais-Custom-Md"], " "); again.Header.Get("Ais-Version") != version || got != custom {
				t.Errorf("%s: version %q, keys %q, want %q and %q", name, again.Header.Get("Ais-Version"), got, version, custom)
			}
			// What the client says of its body counts all the same.
			expect(t, 500, follower, "PUT", address, strings.NewReader("other"), checksum...)
			if _, body := expect(t, 200, follower, "GET", address, nil); body != "content" {
				t.Errorf("%s: %q", name, body)
			}
			before := target.Metrics().Tracker()["err.get.n"]
			expect(t, 404, follower, "GET", address+"-missing", nil)
			expect(t, 404, follower, "GET", address+"-missing", nil, "Range: bytes=0-1")
			want := before
			if on {
				want += 2
			}
			if got := target.Metrics().Tracker()["err.get.n"]; got != want {
				t.Errorf("%s: err.get.n is %d, want %d", name, got, want)
			}
		}
	}
}

// TestEscapedNames: every call takes names that native clients cannot write in
// their escaped form, also where they are to go.
func TestEscapedNames(t *testing.T) {
	t.Parallel()
	c := cluster(t, 2, `{"durability":"none"}`)
	p := c.Proxies[0]
	names := []string{"~x/dir%2F", "~x/%2E%2E/up", "~x/line%0Aend", "~x/%7E/home", "~x/%7Ex/y", "~x/100%25%00", "~x/%2F"}
	have := map[string]string{}
	check := func() {
		t.Helper()
		var listed []string
		var page wire.LsoPage
		_, text := expect(t, 200, follower, "GET", p.URL()+"/v1/buckets/b", strings.NewReader(`{"action":"list","value":{"props":"name"}}`))
		if err := json.Unmarshal([]byte(text), &page); err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Entries {
			listed = append(listed, e.Name)
		}
		var want []string
		for name, content := range have {
			want = append(want, name)
			if _, body := expect(t, 200, follower, "GET", object(p, name), nil); body != content {
				t.Errorf("%s: %q, want %q", name, body, content)
			}
			if res, _ := expect(t, 200, follower, "HEAD", object(p, name), nil); res.Header.Get("Ais-Name") != name {
				t.Errorf("%s is called %q", name, res.Header.Get("Ais-Name"))
			}
		}
		slices.Sort(want)
		if slices.Sort(listed); !slices.Equal(listed, want) {
			t.Errorf("listed %q, want %q", listed, want)
		}
	}
	expect(t, 200, follower, "PUT", object(p, "plain"), strings.NewReader("0"))
	have["plain"] = "0"
	from := "plain"
	for i, name := range names {
		expect(t, 200, follower, "PUT", object(p, from)+"?object_to="+url.QueryEscape("ais/@#/b/"+name), nil) // copied there
		have[name] = have[from]
		text, err := json.Marshal(map[string]string{"action": "rename-obj", "name": name})
		if err != nil {
			t.Fatal(err)
		}
		if i%2 == 1 { // renamed there, over the copy
			expect(t, 200, follower, "POST", object(p, from), strings.NewReader(string(text)))
			delete(have, from)
		}
		check()
		if i%3 == 0 {
			id := uploadOf(t, object(p, name))
			expect(t, 200, follower, "PUT", partURL(object(p, name), id, 1), strings.NewReader("part "))
			expect(t, 200, follower, "PUT", partURL(object(p, name), id, 2), strings.NewReader(name))
			expect(t, 200, follower, "POST", object(p, name)+"?uploadId="+id, completion(1, 2))
			have[name] = "part " + name
		}
		res, _ := expect(t, 200, follower, "PUT", object(p, name)+"?append_type=append", strings.NewReader("+"))
		handle := url.QueryEscape(res.Header.Get("Ais-Append-Handle"))
		expect(t, 200, follower, "PUT", object(p, name)+"?append_type=flush&append_handle="+handle, nil)
		have[name] += "+"
		expect(t, 200, follower, "PATCH", object(p, name), strings.NewReader(`{"value":{"k":"v"}}`))
		expect(t, 200, follower, "POST", object(p, name), strings.NewReader(`{"action":"check-lock"}`))
		check()
		from = name
	}
	for name := range have {
		expect(t, 200, follower, "DELETE", object(p, name), nil)
	}
	clear(have)
	check()
}

// TestLockedWhileItIsCommitted: who is about to change a name holds it for a
// moment.
func TestLockedWhileItIsCommitted(t *testing.T) {
	t.Parallel()
	c := cluster(t, 1, `{"durability":"none"}`)
	p := c.Proxies[0]
	locked := 0
	for _, put := range []func(){
		func() { expect(t, 200, follower, "PUT", object(p, "o"), strings.NewReader("content")) },
		func() { expect(t, 200, follower, "PATCH", object(p, "o"), strings.NewReader(`{"value":{"k":"v"}}`)) },
		func() { expect(t, 200, follower, "DELETE", object(p, "o"), nil) },
	} {
		c.Targets[0].BeforeCommit(func() {
			for name, status := range map[string]int{"o": http.StatusLocked, "other": http.StatusOK} {
				res, err := follower.Do(mustRequest(t, "POST", object(p, name), `{"action":"check-lock"}`))
				if err != nil {
					t.Error(err)
					return
				}
				_ = res.Body.Close()
				if res.StatusCode != status || res.ContentLength != 0 {
					t.Errorf("%s: %s, want %d", name, res.Status, status)
				}
			}
			locked++
		})
		put()
	}
	if locked != 3 {
		t.Errorf("%d commits", locked)
	}
	expect(t, 200, follower, "POST", object(p, "o"), strings.NewReader(`{"action":"check-lock"}`))
}

// TestChangesOverChunkedObjects: what takes the place of a chunked object takes
// all of it.
func TestChangesOverChunkedObjects(t *testing.T) {
	t.Parallel()
	c := cluster(t, 2, `{"durability":"none"}`)
	p := c.Proxies[0]
	for i, target := range c.Targets {
		source := ownedBy(t, c, "b", target, fmt.Sprint("source", i))
		for j, owner := range c.Targets {
			name := ownedBy(t, c, "b", owner, fmt.Sprint("chunked", i, j))
			for _, change := range []func(){
				func() {
					expect(t, 200, follower, "PUT", object(p, source)+"?object_to="+url.QueryEscape("ais/@#/b/"+name), nil)
				},
				func() {
					expect(t, 200, follower, "POST", object(p, source), strings.NewReader(`{"action":"rename-obj","name":"`+name+`"}`))
				},
			} {
				expect(t, 200, follower, "PUT", object(p, source), strings.NewReader("one piece"))
				id := uploadOf(t, object(p, name))
				for n := 1; n <= 3; n++ {
					expect(t, 200, follower, "PUT", partURL(object(p, name), id, n), strings.NewReader(strings.Repeat("x", 1000*n)))
				}
				expect(t, 200, follower, "POST", object(p, name)+"?uploadId="+id, completion(1, 2, 3))
				expect(t, 200, follower, "PATCH", object(p, name), strings.NewReader(`{"value":{"of":"the chunked one"}}`))
				change()
				res, body := expect(t, 200, follower, "GET", object(p, name), nil)
				if body != "one piece" || res.Header.Get("Ais-Custom-Md") != "" {
					t.Errorf("%.20q %v", body, res.Header)
				}
				if res, _ := expect(t, 200, follower, "HEAD", object(p, name)+"?props=chunked,size", nil); res.Header.Get("Ais-Chunks-Count") != "" || res.ContentLength != 9 {
					t.Errorf("%v", res.Header)
				}
				noChunks(t, c)
			}
		}
	}
}

// TestPutOfWhatIsThere: but for the version it is a PUT like any other.
func TestPutOfWhatIsThere(t *testing.T) {
	t.Parallel()
	c := cluster(t, 1, `{"durability":"none"}`)
	address := object(c.Proxies[0], "o")
	for _, size := range []int{0, 100, 300 << 10} {
		body := strings.Repeat("x", size)
		checksum := []string{"Ais-Checksum-Type: xxhash2", "Ais-Checksum-Value: " + sumOf(t, "xxhash2", body)}
		put := func() (answered, head http.Header) {
			t.Helper()
			res, _ := expect(t, 200, follower, "PUT", address, strings.NewReader(body), checksum...)
			answered = res.Header
			res, _ = expect(t, 200, follower, "HEAD", address+"?props=size,checksum,version,atime,custom,etag,last-modified", nil)
			if res.ContentLength != int64(size) || res.Header.Get("Last-Modified") == "" {
				t.Errorf("%v", res.Header)
			}
			for _, key := range []string{"Ais-Atime", "Ais-Version", "Ais-Checksum-Type", "Ais-Checksum-Value"} {
				if answered.Get(key) == "" || answered.Get(key) != res.Header.Get(key) {
					t.Errorf("%d bytes: PUT says %s: %q, HEAD %q", size, key, answered.Get(key), res.Header.Get(key))
				}
			}
			return answered, res.Header
		}
		first, before := put()
		second, after := put()
		if second.Get("Ais-Version") != first.Get("Ais-Version") || len(second.Get("Ais-Atime")) != 19 || second.Get("Ais-Atime") <= first.Get("Ais-Atime") {
			t.Errorf("%d bytes: %v, then %v", size, first, second)
		}
		if tag := after.Get("Etag"); tag == "" || tag == before.Get("Etag") { // it is made of the time of writing
			t.Errorf("%d bytes: tag %s, was %s", size, tag, before.Get("Etag"))
		}
		expect(t, 200, follower, "PUT", address, strings.NewReader("other"))
	}
}
