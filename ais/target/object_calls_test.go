package target_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aistore-go/aistore/ais/aistest"
	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/cmn/hrw"
	"github.com/aistore-go/aistore/cmn/wire"
)

func bucket(t *testing.T, c *aistest.Cluster, name, query, props string) {
	t.Helper()
	expect(t, 200, follower, "POST", c.Proxies[0].URL()+"/v1/buckets/"+name+query, strings.NewReader(`{"action":"create-bck","value":`+props+`}`))
}

func at(n *aistest.Node, bucket, name string) string {
	u := url.URL{Path: "/v1/objects/" + bucket + "/" + name}
	return n.URL() + u.EscapedPath()
}

// ownedBy returns a name that a target owns.
func ownedBy(t *testing.T, c *aistest.Cluster, bucket string, target *aistest.Node, prefix string) string {
	t.Helper()
	b := wire.Bck{Name: bucket, Provider: wire.ProviderAIS}
	for i := range 1000 {
		name := fmt.Sprintf("%s%d", prefix, i)
		owner, err := c.Metadata.View().Smap.Owner(hrw.Digest(b.Uname(name)))
		if err != nil {
			t.Fatal(err)
		}
		if owner.ID == target.Snode().ID {
			return name
		}
	}
	t.Fatal("no name found")
	return ""
}

// TestCopy: within a bucket, to another one, to the same target and to another
// one; what is copied, and what is recomputed.
func TestCopy(t *testing.T) {
	t.Parallel()
	c := cluster(t, 2, `{}`)
	p := c.Proxies[0]
	bucket(t, c, "md5", "", `{"checksum":{"type":"md5"}}`)
	bucket(t, c, "bare", "", `{"checksum":{"type":"none"},"versioning":{"enabled":false}}`)
	bucket(t, c, "ns", "?namespace=%23n1", `{"durability":"none"}`)
	for _, size := range []int{0, 10, 200_000, 3_000_000} {
		content := strings.Repeat("0123456789", size/10)
		source := ownedBy(t, c, "b", c.Targets[0], fmt.Sprint("src-", size, "-"))
		for range 3 { // version 3
			expect(t, 200, follower, "PUT", object(p, source), strings.NewReader(content+"x"))
			expect(t, 200, follower, "PUT", object(p, source), strings.NewReader(content), "Ais-Custom-Md: a=1", "Ais-Custom-Md: b=x=y")
		}
		src, _ := expect(t, 200, follower, "HEAD", object(p, source), nil)
		for _, tc := range []struct{ bucket, query, uname, kind, version string }{
			{"b", "", "ais/@#/b/", "xxhash2", "6"},
			{"md5", "", "ais/@#/md5/", "md5", "6"},
			{"bare", "", "ais/@#/bare/", "none", ""},
			{"ns", "?namespace=%23n1", "ais/@#n1/ns/", "xxhash2", "6"},
		} {
			for i, target := range c.Targets {
				name := ownedBy(t, c, tc.bucket, target, fmt.Sprintf("dst/%d-%d-", size, i))
				to := object(p, source) + "?object_to=" + url.QueryEscape(tc.uname+name) + "&latest-ver=false&synchronize=false"
				dst := at(p, tc.bucket, name) + tc.query
				expect(t, 200, follower, "PUT", dst, strings.NewReader("was something else"), "Ais-Custom-Md: old=gone")
				for range 2 { // the second changes nothing
					res, body := expect(t, 200, follower, "PUT", to, nil)
					if body != "" || res.Header.Get("Ais-Version") != "" {
						t.Errorf("%q %v", body, res.Header)
					}
				}
				res, body := expect(t, 200, follower, "GET", dst, nil)
				custom := res.Header["Ais-Custom-Md"]
				slices.Sort(custom)
				if body != content || !slices.Equal(custom, []string{"a=1", "b=x=y"}) || res.Header.Get("Ais-Version") != tc.version {
					t.Errorf("%s: %d bytes, %v", to, len(body), res.Header)
				}
				want, err := cksum.Of(tc.kind, []byte(content))
				if err != nil {
					t.Fatal(err)
				}
				if res.Header.Get("Ais-Checksum-Value") != want.Value || !want.IsNone() && res.Header.Get("Ais-Checksum-Type") != tc.kind {
					t.Errorf("%s: checksum %v, want %v", to, res.Header, want)
				}
			}
		}
		// a source without a checksum is verified all the same, on its way
		from := ownedBy(t, c, "bare", c.Targets[0], "from")
		expect(t, 200, follower, "PUT", at(p, "bare", from), strings.NewReader(content))
		to := ownedBy(t, c, "b", c.Targets[1], "to")
		expect(t, 200, follower, "PUT", at(p, "bare", from)+"?object_to="+url.QueryEscape("ais/@#/b/"+to), nil)
		if _, body := expect(t, 200, follower, "GET", object(p, to), nil); body != content {
			t.Errorf("%d bytes", len(body))
		}
		expect(t, 200, follower, "PUT", object(p, source)+"?object_to="+url.QueryEscape("ais/@#/b/"+source), nil)
		if again, _ := expect(t, 200, follower, "HEAD", object(p, source), nil); again.Header.Get("Ais-Version") != src.Header.Get("Ais-Version") {
			t.Error("a copy onto itself made a new version")
		}
	}
}

func TestRename(t *testing.T) {
	t.Parallel()
	c := cluster(t, 2, `{}`)
	p := c.Proxies[0]
	content := strings.Repeat("renamed ", 50_000)
	for i, target := range c.Targets {
		for _, exists := range []bool{false, true} {
			from := ownedBy(t, c, "b", c.Targets[0], fmt.Sprint("from", i, exists))
			to := ownedBy(t, c, "b", target, fmt.Sprint("dir/to", i, exists))
			expect(t, 200, follower, "PUT", object(p, from), strings.NewReader("x"))
			expect(t, 200, follower, "PUT", object(p, from), strings.NewReader(content), "Ais-Custom-Md: k=v")
			before, _ := expect(t, 200, follower, "HEAD", object(p, from)+"?props=etag,version,custom,last-modified,checksum", nil)
			if exists {
				expect(t, 200, follower, "PUT", object(p, to), strings.NewReader("overwritten"), "Ais-Custom-Md: other=gone")
			}
			message := strings.NewReader(`{"action":"rename-obj","name":"` + to + `"}`)
			if res, body := expect(t, 200, follower, "POST", object(p, from), message); body != "" || res.Header.Get("Content-Length") != "0" {
				t.Errorf("%q %v", body, res.Header)
			}
			expect(t, 404, follower, "GET", object(p, from), nil)
			if _, body := expect(t, 200, follower, "GET", object(p, to), nil); body != content {
				t.Errorf("%d bytes", len(body))
			}
			after, _ := expect(t, 200, follower, "HEAD", object(p, to)+"?props=etag,version,custom,last-modified,checksum", nil)
			for _, key := range []string{"Etag", "Ais-Version", "Ais-Custom-Md", "Last-Modified", "Ais-Checksum-Value"} {
				if !slices.Equal(after.Header[key], before.Header[key]) {
					t.Errorf("%s: %q, was %q", key, after.Header[key], before.Header[key])
				}
			}
		}
	}
}

// TestRenameKeepsOneName: whoever looks at both names finds the object at one of
// them at least, also when it comes and goes.
func TestRenameKeepsOneName(t *testing.T) {
	t.Parallel()
	c := cluster(t, 2, `{"durability":"none"}`)
	p := c.Proxies[0]
	a, b := ownedBy(t, c, "b", c.Targets[0], "a"), ownedBy(t, c, "b", c.Targets[1], "b")
	content := strings.Repeat("whole ", 20_000)
	expect(t, 200, follower, "PUT", object(p, a), strings.NewReader(content))
	var done atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		defer done.Store(true)
		from, to := a, b
		for range 30 {
			expect(t, 200, follower, "POST", object(p, from), strings.NewReader(`{"action":"rename-obj","name":"`+to+`"}`))
			from, to = to, from
		}
	})
	read := func(name string) (found bool) {
		res, err := follower.Get(object(p, name))
		if err != nil {
			t.Error(err)
			return true
		}
		defer func() { _ = res.Body.Close() }()
		body, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode == 200 && string(body) != content || res.StatusCode != 200 && res.StatusCode != 404 {
			t.Errorf("%d, %d bytes, %v", res.StatusCode, len(body), err)
		}
		return res.StatusCode == 200
	}
	for !done.Load() {
		// It may move from b to a between the first two looks, and back; three
		// misses in a row without a find are more than renames explain.
		if !read(a) && !read(b) && !read(a) && !read(b) && !read(a) && !read(b) {
			t.Error("neither name has the object")
		}
	}
	wg.Wait()
}

// TestCopyOfADamagedObject is refused by whoever receives it, and the object
// goes to quarantine.
func TestCopyOfADamagedObject(t *testing.T) {
	t.Parallel()
	c := cluster(t, 2, `{}`)
	p := c.Proxies[0]
	for i, target := range c.Targets {
		from, to := ownedBy(t, c, "b", c.Targets[0], fmt.Sprint("from", i)), ownedBy(t, c, "b", target, fmt.Sprint("to", i))
		expect(t, 200, follower, "PUT", object(p, from), strings.NewReader(strings.Repeat("content", 100_000)))
		damage(t, c.Targets[0], from)
		res, body := expect(t, 500, follower, "PUT", object(p, from)+"?object_to="+url.QueryEscape("ais/@#/b/"+to), nil)
		if e := message(t, res, body); e.TypeCode != wire.CodeBadChecksum || !strings.HasPrefix(e.Message, "BAD DATA CHECKSUM") {
			t.Errorf("%+v", e)
		}
		expect(t, 404, follower, "GET", object(p, to), nil)
		expect(t, 404, follower, "GET", object(p, from), nil) // in quarantine
	}
}

func TestPatchCustom(t *testing.T) {
	t.Parallel()
	c := cluster(t, 2, `{}`)
	p := c.Proxies[0]
	expect(t, 200, follower, "PUT", object(p, "d/o"), strings.NewReader("content"), "Ais-Custom-Md: a=1")
	before, _ := expect(t, 200, follower, "HEAD", object(p, "d/o"), nil)
	for _, tc := range []struct {
		query, value string
		want         []string
	}{
		{"", `{"b":"2","c":"ü =,"}`, []string{"a=1", "b=2", "c=ü =,"}},
		{"?set-new-custom=false", `{"a":""}`, []string{"a=", "b=2", "c=ü =,"}},
		{"", `null`, []string{"a=", "b=2", "c=ü =,"}},
		{"?set-new-custom=true", `{"x":"y","ETag":"abc"}`, []string{"ETag=abc", "x=y"}},
		{"?set-new-custom=true", `{}`, nil},
		{"", `{"k":"` + strings.Repeat("v", 2047) + `"}`, []string{"k=" + strings.Repeat("v", 2047)}},
		{"?set-new-custom=true", `null`, nil},
	} {
		res, body := expect(t, 200, follower, "PATCH", object(p, "d/o")+tc.query, strings.NewReader(`{"action":"","name":"","value":`+tc.value+`}`))
		if body != "" {
			t.Errorf("%q %v", body, res.Header)
		}
		res, _ = expect(t, 200, follower, "HEAD", object(p, "d/o"), nil)
		got := slices.Clone(res.Header["Ais-Custom-Md"])
		slices.Sort(got)
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s: %q", tc.value, got)
		}
		if etag := res.Header.Get("Etag"); strings.Contains(tc.value, "ETag") != (etag == `"abc"`) {
			t.Errorf("%s: Etag %s", tc.value, etag)
		}
		for _, key := range []string{"Ais-Version", "Ais-Checksum-Value", "Ais-Atime", "Content-Length"} {
			if res.Header.Get(key) != before.Header.Get(key) {
				t.Errorf("%s: %s is %q, was %q", tc.value, key, res.Header.Get(key), before.Header.Get(key))
			}
		}
	}
	// the keys are listed
	expect(t, 200, follower, "PATCH", object(p, "d/o"), strings.NewReader(`{"value":{"shown":"in a list"}}`))
	_, page := expect(t, 200, follower, "GET", p.URL()+"/v1/buckets/b", strings.NewReader(`{"action":"list","value":{"props":"name,custom"}}`))
	if !strings.Contains(page, "shown") {
		t.Errorf("%s", page)
	}
}

// TestAppend: every type of checksum, from nothing and from an object.
func TestAppend(t *testing.T) {
	t.Parallel()
	c := cluster(t, 2, `{}`)
	p := c.Proxies[0]
	for _, kind := range []string{"none", "xxhash", "xxhash2", "md5", "crc32c", "sha256", "sha512"} {
		bucket(t, c, kind, "", `{"checksum":{"type":"`+kind+`"}}`)
		for _, name := range []string{"new", "old", "large"} {
			u, want, version := at(p, kind, name), "", "1"
			switch name {
			case "old":
				want, version = "was there ", "2"
			case "large":
				want, version = strings.Repeat("large ", 100_000), "2"
			}
			if want != "" {
				expect(t, 200, follower, "PUT", u, strings.NewReader(want), "Ais-Custom-Md: k=v")
			}
			handle := ""
			for i, piece := range []string{"one ", "", strings.Repeat("two ", 60_000), "three"} {
				var body io.Reader = strings.NewReader(piece)
				if i%2 == 0 {
					body = struct{ io.Reader }{body} // no Content-Length
				}
				req, err := http.NewRequest("PUT", u+"?append_type=append&append_handle="+url.QueryEscape(handle), body)
				if err != nil {
					t.Fatal(err)
				}
				req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(piece)), nil }
				res, err := follower.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				_ = res.Body.Close()
				next := res.Header.Get("Ais-Append-Handle")
				if fields := strings.Split(next, "|"); res.StatusCode != 200 || next == handle || len(fields) != 4 || !strings.HasPrefix(fields[0], "target-") {
					t.Fatalf("%s %s: %s %q", kind, name, res.Status, next)
				}
				handle, want = next, want+piece
			}
			if name == "new" {
				expect(t, 404, follower, "GET", u, nil)
			} else if _, body := expect(t, 200, follower, "GET", u, nil); strings.Contains(body, "three") {
				t.Error("visible before the flush")
			}
			flush := u + "?append_type=flush&append_handle=" + url.QueryEscape(handle)
			sum, err := cksum.Of(kind, []byte(want))
			if err != nil {
				t.Fatal(err)
			}
			if kind != "none" {
				wrong := strings.Repeat("0", len(sum.Value))
				res, body := expect(t, 500, follower, "PUT", flush, nil, "Ais-Checksum-Type: "+kind, "Ais-Checksum-Value: "+wrong)
				if e := message(t, res, body); e.TypeCode != wire.CodeBadChecksum {
					t.Errorf("%+v", e)
				}
				expect(t, 400, follower, "PUT", flush, nil, "Ais-Checksum-Type: "+kind, "Ais-Checksum-Value: zzz")
			}
			expect(t, 400, follower, "PUT", flush, nil, "Ais-Checksum-Type: cesxxh", "Ais-Checksum-Value: 00")
			res, _ := expect(t, 200, follower, "PUT", flush, nil, "Ais-Checksum-Type: "+kind, "Ais-Checksum-Value: "+sum.Value)
			if res.Header.Get("Ais-Append-Handle") != "" || res.Header.Get("Ais-Version") != "" {
				t.Errorf("%v", res.Header)
			}
			res, body := expect(t, 200, follower, "GET", u, nil)
			if body != want || res.Header.Get("Ais-Checksum-Value") != sum.Value || res.Header.Get("Ais-Version") != version || (name != "new") != (res.Header.Get("Ais-Custom-Md") == "k=v") {
				t.Errorf("%s %s: %d bytes, want %d: %v", kind, name, len(body), len(want), res.Header)
			}
			for _, again := range []string{flush, strings.Replace(flush, "=flush", "=append", 1)} {
				res, body = expect(t, 404, follower, "PUT", again, nil)
				if e := message(t, res, body); !strings.Contains(e.Message, "ais://"+kind+"/"+name) {
					t.Errorf("%+v", e)
				}
			}
		}
	}
}

func TestAppendHandles(t *testing.T) {
	t.Parallel()
	c := cluster(t, 2, `{}`)
	p := c.Proxies[0]
	begin := func(name string) string {
		res, _ := expect(t, 200, follower, "PUT", object(p, name)+"?append_type=append", strings.NewReader("a"))
		return res.Header.Get("Ais-Append-Handle")
	}
	with := func(name, handle string) string {
		return object(p, name) + "?append_type=append&append_handle=" + url.QueryEscape(handle)
	}
	first := begin("o")
	res, _ := expect(t, 200, follower, "PUT", with("o", first), strings.NewReader("b"))
	second := res.Header.Get("Ais-Append-Handle")
	fields := strings.Split(second, "|")
	other := ownedBy(t, c, "b", c.Targets[0], "other")
	if fields[0] == c.Targets[0].Snode().ID {
		other = ownedBy(t, c, "b", c.Targets[1], "other")
	}
	same := ownedBy(t, c, "b", map[bool]*aistest.Node{true: c.Targets[0], false: c.Targets[1]}[fields[0] == c.Targets[0].Snode().ID], "same")
	for _, tc := range []struct {
		title, name, handle string
		status              int
	}{
		{"replaced", "o", first, 409},
		{"of another object", same, second, 404},
		{"of another object at another target", other, second, 404},
		{"unknown work file", "o", strings.Replace(second, fields[1], "append.0.0.0", 1), 404},
		{"another type", "o", strings.Replace(second, "xxhash2", "md5", 1), 404},
		{"another secret", "o", fields[0] + "|" + fields[1] + "|xxhash2|AAAAAAAAAAIAAAAAAAAAAAAAAAAAAAAA", 404},
		{"short state", "o", fields[0] + "|" + fields[1] + "|xxhash2|AAAA", 400},
		{"three fields", "o", strings.Join(fields[:3], "|"), 400},
		{"five fields", "o", second + "|", 400},
		{"no base64", "o", fields[0] + "|" + fields[1] + "|xxhash2|!", 400},
		{"a path", "o", fields[0] + "|../x|xxhash2|AAAA", 400},
		{"no node", "o", "|" + strings.Join(fields[1:], "|"), 400},
		{"long", "o", second + strings.Repeat("A", 600), 400},
	} {
		expect(t, tc.status, follower, "PUT", with(tc.name, tc.handle), strings.NewReader("c"))
	}
	expect(t, 200, follower, "PUT", strings.Replace(with("o", second), "=append", "=flush", 1), nil)
	if _, body := expect(t, 200, follower, "GET", object(p, "o"), nil); body != "ab" {
		t.Errorf("%q", body)
	}
}

// TestAppendThatBreaksOff: nothing of it counts, and the handle is good for
// another try.
func TestAppendThatBreaksOff(t *testing.T) {
	t.Parallel()
	c := cluster(t, 1, `{}`)
	p := c.Proxies[0]
	res, _ := expect(t, 200, follower, "PUT", object(p, "o")+"?append_type=append", strings.NewReader("first "))
	handle := res.Header.Get("Ais-Append-Handle")
	u := object(p, "o") + "?append_type=append&append_handle=" + url.QueryEscape(handle)
	res, _ = expect(t, 307, strict, "PUT", u, nil)
	location, err := res.Location()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", location.Host)
	if err != nil {
		t.Fatal(err)
	}
	request := "PUT " + location.RequestURI() + " HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + strings.Repeat("x", 300_000)
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	// While it is being sent the handle is taken.
	res, err = follower.Do(mustRequest(t, "PUT", u, ""))
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	switch res.StatusCode {
	case http.StatusConflict:
	case http.StatusOK:
		// It came before the other one and made a new handle: that one fails then.
		handle = res.Header.Get("Ais-Append-Handle")
	default:
		t.Fatal(res.Status)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, conn); err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	u = object(p, "o") + "?append_type=append&append_handle=" + url.QueryEscape(handle)
	res, _ = expect(t, 200, follower, "PUT", u, strings.NewReader("second"))
	expect(t, 200, follower, "PUT", object(p, "o")+"?append_type=flush&append_handle="+url.QueryEscape(res.Header.Get("Ais-Append-Handle")), nil)
	if _, body := expect(t, 200, follower, "GET", object(p, "o"), nil); body != "first second" {
		t.Errorf("%.100q", body)
	}
}

func mustRequest(t *testing.T, method, u, body string) *http.Request {
	t.Helper()
	req, err := http.NewRequest(method, u, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// TestCheckLock: 202 while a GET is being sent, to a client that does not read;
// a writer does not wait for it.
func TestCheckLock(t *testing.T) {
	t.Parallel()
	c := cluster(t, 1, `{"durability":"none"}`)
	p := c.Proxies[0]
	state := func(name string) int {
		res, err := follower.Do(mustRequest(t, "POST", object(p, name), `{"action":"check-lock"}`))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		if body, err := io.ReadAll(res.Body); err != nil || len(body) > 0 {
			t.Errorf("%q %v", body, err)
		}
		return res.StatusCode
	}
	content := bytes.Repeat([]byte("0123456789abcdef"), 4<<20) // more than any socket buffers
	expect(t, 200, follower, "PUT", object(p, "o"), bytes.NewReader(content))
	if got := state("o"); got != 200 {
		t.Errorf("at rest: %d", got)
	}
	if got := state("missing"); got != 200 {
		t.Errorf("missing: %d", got)
	}
	res, err := follower.Get(object(p, "o"))
	if err != nil {
		t.Fatal(err)
	}
	if got := state("o"); got != 202 {
		t.Errorf("while it is being sent: %d", got)
	}
	expect(t, 200, follower, "PUT", object(p, "o"), strings.NewReader("new")) // does not wait
	if got := state("o"); got != 202 {
		t.Errorf("while the old one is being sent: %d", got)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil || !bytes.Equal(body, content) {
		t.Errorf("%d bytes, %v", len(body), err)
	}
	_ = res.Body.Close()
	for state("o") != 200 { // the target may still be about to say that it is done
		if t.Context().Err() != nil {
			t.Fatal("never at rest again")
		}
	}
}

// TestChangesBesideReads: what readers see is old or new, whole, whatever is
// done to a name.
func TestChangesBesideReads(t *testing.T) {
	t.Parallel()
	c := cluster(t, 2, `{"durability":"none"}`)
	p := c.Proxies[0]
	contents := map[string]bool{}
	sources := make([]string, 3)
	for i := range sources {
		content := strings.Repeat(string(rune('a'+i)), 100_000*(i+1))
		contents[content] = true
		sources[i] = fmt.Sprint("source", i)
		expect(t, 200, follower, "PUT", object(p, sources[i]), strings.NewReader(content))
	}
	expect(t, 200, follower, "PUT", object(p, sources[0])+"?object_to="+url.QueryEscape("ais/@#/b/o"), nil)
	var done atomic.Bool
	var changes, readers sync.WaitGroup
	for i, source := range sources {
		changes.Go(func() {
			for j := range 15 {
				expect(t, 200, follower, "PUT", object(p, source)+"?object_to="+url.QueryEscape("ais/@#/b/o"), nil)
				spare := fmt.Sprint("spare", i, "-", j)
				expect(t, 200, follower, "PUT", object(p, source)+"?object_to="+url.QueryEscape("ais/@#/b/"+spare), nil)
				expect(t, 200, follower, "POST", object(p, spare), strings.NewReader(`{"action":"rename-obj","name":"o"}`))
				expect(t, 200, follower, "PATCH", object(p, "o"), strings.NewReader(`{"value":{"x":"`+spare+`","y":"`+spare+`"}}`))
			}
		})
	}
	for range 3 {
		readers.Go(func() {
			for !done.Load() {
				res, err := follower.Get(object(p, "o"))
				if err != nil {
					t.Error(err)
					return
				}
				body, err := io.ReadAll(res.Body)
				_ = res.Body.Close()
				custom := map[string]string{}
				for _, line := range res.Header["Ais-Custom-Md"] {
					key, value, _ := strings.Cut(line, "=")
					custom[key] = value
				}
				sum, sumErr := cksum.Of("xxhash2", body)
				if err != nil || res.StatusCode != 200 || !contents[string(body)] || sumErr != nil || sum.Value != res.Header.Get("Ais-Checksum-Value") || custom["x"] != custom["y"] {
					t.Errorf("%s: %d bytes %v %v", res.Status, len(body), custom, err)
				}
			}
		})
	}
	changes.Wait()
	done.Store(true)
	readers.Wait()
}

// damage turns a byte of an object's file over.
func damage(t *testing.T, target *aistest.Node, name string) {
	t.Helper()
	for _, root := range target.Paths {
		path := filepath.Join(root, "@ais", "b", "%ob", name)
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			continue
		}
		if _, err := f.WriteAt([]byte{0}, 1000); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatalf("%s: no file of %s", target.Snode(), name)
}

// TestCallsOnMovedNames: after a change of the targets an object may lie with a
// former owner; whoever owns the name now takes it over before it is changed,
// and nothing older comes back.
func TestCallsOnMovedNames(t *testing.T) {
	t.Parallel()
	u := newUnsettled(t, maintenance)
	p := u.c.Proxies[0]
	for i, name := range [...]string{u.moved[0], u.moved[1], u.moved[2], u.moved[3], u.kept[0], u.kept[1], u.kept[2], u.kept[3]} {
		before, _ := expect(t, 200, follower, "HEAD", object(p, name)+"?props=etag,version,checksum,last-modified", nil)
		switch i % 4 {
		case 0:
			expect(t, 200, follower, "PATCH", object(p, name), strings.NewReader(`{"value":{"k":"v"}}`))
			u.read(name, "old "+name)
			after, _ := expect(t, 200, follower, "HEAD", object(p, name)+"?props=etag,version,checksum,last-modified", nil)
			for _, key := range []string{"Etag", "Ais-Version", "Ais-Checksum-Value", "Last-Modified"} {
				if after.Header.Get(key) != before.Header.Get(key) {
					t.Errorf("%s of %s is %q, was %q", key, name, after.Header.Get(key), before.Header.Get(key))
				}
			}
			if res, _ := expect(t, 200, follower, "HEAD", object(p, name), nil); res.Header.Get("Ais-Custom-Md") != "k=v" {
				t.Errorf("%v", res.Header)
			}
		case 1:
			to := fmt.Sprint("renamed", i)
			expect(t, 200, follower, "POST", object(p, name), strings.NewReader(`{"action":"rename-obj","name":"`+to+`"}`))
			u.read(to, "old "+name)
			u.fails(404, name)
		case 2:
			to := fmt.Sprint("copy", i)
			expect(t, 200, follower, "PUT", object(p, name)+"?object_to="+url.QueryEscape("ais/@#/b/"+to), nil)
			u.read(to, "old "+name)
			u.read(name, "old "+name)
		case 3:
			res, _ := expect(t, 200, follower, "PUT", object(p, name)+"?append_type=append", strings.NewReader(" and new"))
			expect(t, 200, follower, "PUT", object(p, name)+"?append_type=flush&append_handle="+url.QueryEscape(res.Header.Get("Ais-Append-Handle")), nil)
			u.read(name, "old "+name+" and new")
		}
	}
	names, _ := u.list(7)
	for _, name := range []string{u.moved[1], u.kept[1]} {
		if slices.Contains(names, name) {
			t.Errorf("%s is listed", name)
		}
	}
	// A former owner that cannot be asked: nothing is changed on a guess.
	u.c.Metadata.SetDown(u.left.ID(), true)
	name := u.moved[len(u.moved)-1]
	for method, body := range map[string]string{"PATCH": `{"value":{"k":"v"}}`, "POST": `{"action":"rename-obj","name":"guess"}`} {
		res, _ := expect(t, 503, follower, method, object(p, name), strings.NewReader(body))
		if res.Header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", method)
		}
	}
	for _, query := range []string{"?append_type=append", "?object_to=" + url.QueryEscape("ais/@#/b/guess")} {
		expect(t, 503, follower, "PUT", object(p, name)+query, strings.NewReader("x"))
	}
}

// TestAppendDoesNotSurviveAChangeOfOwners: what was appended is lost, and said
// to be.
func TestAppendDoesNotSurviveAChangeOfOwners(t *testing.T) {
	t.Parallel()
	c := cluster(t, 2, `{"durability":"none"}`)
	p := c.Proxies[0]
	name := ownedBy(t, c, "b", c.Targets[1], "o")
	res, _ := expect(t, 200, follower, "PUT", object(p, name)+"?append_type=append", strings.NewReader("x"))
	handle := url.QueryEscape(res.Header.Get("Ais-Append-Handle"))
	c.ChangeSmap(t, maintenance(c.Targets[1].Snode()))
	for _, kind := range []string{"append", "flush"} {
		res, body := expect(t, 404, follower, "PUT", object(p, name)+"?append_type="+kind+"&append_handle="+handle, strings.NewReader("y"))
		if e := message(t, res, body); !strings.Contains(e.Message, "ais://b/"+name) || !strings.Contains(e.Message, "begin again") {
			t.Errorf("%+v", e)
		}
	}
	expect(t, 404, follower, "GET", object(p, name), nil)
}

// TestCallsOnChunkedObjects: copies and new names hold the whole content, keys
// change in place, and an append begins with all of it.
func TestCallsOnChunkedObjects(t *testing.T) {
	t.Parallel()
	c := cluster(t, 2, `{}`)
	p := c.Proxies[0]
	source := ownedBy(t, c, "b", c.Targets[0], "chunked")
	id := uploadOf(t, object(p, source))
	want := ""
	for i := range 5 {
		part := strings.Repeat(fmt.Sprint("part ", i), 60_000)
		want += part
		expect(t, 200, follower, "PUT", partURL(object(p, source), id, i+1), strings.NewReader(part))
	}
	expect(t, 200, follower, "POST", object(p, source)+"?uploadId="+id, completion(oneTo(5)...))
	whole := func(name string) {
		t.Helper()
		res, body := expect(t, 200, follower, "GET", object(p, name), nil)
		sum, err := cksum.Of(res.Header.Get("Ais-Checksum-Type"), []byte(body))
		if body != want || err != nil || sum.Value != res.Header.Get("Ais-Checksum-Value") {
			t.Errorf("%s: %d bytes of %d, %v, %v", name, len(body), len(want), res.Header, err)
		}
	}
	expect(t, 200, follower, "PATCH", object(p, source), strings.NewReader(`{"value":{"k":"v"}}`))
	whole(source)
	if res, _ := expect(t, 200, follower, "HEAD", object(p, source)+"?props=chunked,custom,version", nil); res.Header.Get("Ais-Chunks-Count") != "5" ||
		res.Header.Get("Ais-Custom-Md") != "k=v" || res.Header.Get("Ais-Version") != "1" {
		t.Errorf("%v", res.Header)
	}
	for i, target := range c.Targets {
		to := ownedBy(t, c, "b", target, fmt.Sprint("copy", i))
		expect(t, 200, follower, "PUT", object(p, source)+"?object_to="+url.QueryEscape("ais/@#/b/"+to), nil)
		whole(to)
		again := ownedBy(t, c, "b", target, fmt.Sprint("moved", i))
		expect(t, 200, follower, "POST", object(p, source), strings.NewReader(`{"action":"rename-obj","name":"`+again+`"}`))
		whole(again)
		expect(t, 404, follower, "GET", object(p, source), nil)
		expect(t, 200, follower, "POST", object(p, again), strings.NewReader(`{"action":"rename-obj","name":"`+source+`"}`))
		whole(source)
		if i == 0 { // it has become one file by that
			id = uploadOf(t, object(p, source))
			expect(t, 200, follower, "PUT", partURL(object(p, source), id, 1), strings.NewReader(want[:100_000]))
			expect(t, 200, follower, "PUT", partURL(object(p, source), id, 2), strings.NewReader(want[100_000:]))
			expect(t, 200, follower, "POST", object(p, source)+"?uploadId="+id, completion(1, 2))
		}
	}
	id = uploadOf(t, object(p, source))
	expect(t, 200, follower, "PUT", partURL(object(p, source), id, 1), strings.NewReader(want[:100_000]))
	expect(t, 200, follower, "PUT", partURL(object(p, source), id, 2), strings.NewReader(want[100_000:]))
	expect(t, 200, follower, "POST", object(p, source)+"?uploadId="+id, completion(1, 2))
	res, _ := expect(t, 200, follower, "PUT", object(p, source)+"?append_type=append", strings.NewReader("more"))
	expect(t, 200, follower, "PUT", object(p, source)+"?append_type=flush&append_handle="+url.QueryEscape(res.Header.Get("Ais-Append-Handle")), nil)
	want += "more"
	whole(source)
	noChunks(t, c)
}

// TestLongVersion: what a client says of the version is part of the record,
// which has its bounds.
func TestLongVersion(t *testing.T) {
	t.Parallel()
	c := cluster(t, 1, `{}`)
	res, body := expect(t, 400, follower, "PUT", object(c.Proxies[0], "o"), strings.NewReader("x"), "Ais-Version: "+strings.Repeat("v", 257))
	if e := message(t, res, body); !strings.Contains(e.Message, "Ais-Version") {
		t.Error(e)
	}
	expect(t, 404, follower, "GET", object(c.Proxies[0], "o"), nil)
}
