package proxy_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/aistore-go/aistore/ais/aistest"
	"github.com/aistore-go/aistore/cmn/wire"
)

// put stores objects through the first gateway; the content is the name.
func put(t *testing.T, c *aistest.Cluster, bucket string, names ...string) {
	t.Helper()
	for _, name := range names {
		u := url.URL{Path: "/v1/objects/" + bucket + "/" + name}
		expect(t, 200, follower, "PUT", c.Proxies[0].URL()+u.EscapedPath(), name)
	}
}

// page asks a gateway for one page in msgpack.
func page(t *testing.T, n *aistest.Node, bucket string, msg map[string]any) *wire.LsoPage {
	t.Helper()
	value, err := json.Marshal(msg)
	if err != nil {
		t.Fatal(err)
	}
	res, body := expect(t, 200, strict, "GET", n.URL()+"/v1/buckets/"+bucket, `{"action":"list","value":`+string(value)+`}`,
		"Content-Type: application/json", "Accept: text/html, application/msgpack;q=0.9")
	if got := res.Header["Content-Type"]; len(got) != 1 || got[0] != "application/msgpack" {
		t.Fatalf("content type %v", got)
	}
	p := &wire.LsoPage{}
	if err := p.DecodeMsgpack([]byte(body)); err != nil {
		t.Fatal(err)
	}
	return p
}

func names(p *wire.LsoPage) []string {
	list := []string{}
	for _, e := range p.Entries {
		list = append(list, e.Name)
	}
	return list
}

// TestListingIsWholeAtAnyPageSize, through changing gateways, with a uuid
// that is echoed, sent or not, and pages that can be asked for again.
func TestListingIsWholeAtAnyPageSize(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{Proxies: 3, Targets: 3})
	createBucket(t, c, "b", `{"durability":"none"}`)
	var want []string
	for i := range 40 {
		want = append(want, fmt.Sprintf("a/%02d", i), fmt.Sprintf("a-%02d", i), fmt.Sprintf("a%02d/x", i))
	}
	want = append(want, "a//b", "/lead", "z z", "приве́т", "a.b", strings.Repeat("long/", 300)+"end", "dir", "dir/x")
	put(t, c, "b", want...)
	slices.Sort(want)
	for _, size := range []int{1, 2, 7, 64, len(want) - 1, len(want), len(want) + 1, 0, 1 << 30} {
		var got []string
		var tokens []string
		token, uuid := "", ""
		for i := 0; ; i++ {
			p := page(t, c.Proxies[i%3], "b", map[string]any{"pagesize": size, "continuation_token": token, "uuid": uuid, "flags": "16"})
			if size > 0 && p.ContinuationToken != "" && len(p.Entries) != size {
				t.Fatalf("page size %d: a page of %d with a token", size, len(p.Entries))
			}
			if uuid != "" && p.UUID != uuid {
				t.Fatalf("uuid %q became %q", uuid, p.UUID)
			}
			got = append(got, names(p)...)
			if i%2 == 0 {
				uuid = p.UUID
			}
			tokens = append(tokens, token)
			if token = p.ContinuationToken; token == "" {
				if size == len(want) && len(p.Entries) != 0 {
					t.Errorf("an exactly full page is followed by an empty one, not by %d entries", len(p.Entries))
				}
				break
			}
			if size > 0 && token != p.Entries[size-1].Name {
				t.Errorf("token %q is not the last name", token)
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("page size %d: %d names, want %d", size, len(got), len(want))
		}
		if len(tokens) > 3 && size > 1 { // backwards, without a uuid
			for i := len(tokens) - 1; i >= 0; i -= 2 {
				p := page(t, c.Proxies[0], "b", map[string]any{"pagesize": size, "continuation_token": tokens[i]})
				if from := i * size; !slices.Equal(names(p), want[from:min(len(want), from+size)]) {
					t.Fatalf("page %d again: %q", i, names(p))
				}
			}
		}
	}
	p := page(t, c.Proxies[0], "b", map[string]any{"start_after": want[3], "pagesize": 2, "continuation_token": want[10]})
	if !slices.Equal(names(p), want[11:13]) {
		t.Errorf("start_after before the token: %q", names(p))
	}
	p = page(t, c.Proxies[0], "b", map[string]any{"start_after": want[10], "pagesize": 2})
	if !slices.Equal(names(p), want[11:13]) {
		t.Errorf("start_after: %q", names(p))
	}
	p = page(t, c.Proxies[0], "b", map[string]any{"prefix": "a/*"})
	if len(p.Entries) != 41 {
		t.Errorf("prefix: %q", names(p))
	}
	expect(t, 200, follower, "DELETE", c.Proxies[0].URL()+"/v1/objects/b/z%20z", "")
	if p := page(t, c.Proxies[1], "b", map[string]any{"prefix": "z"}); len(p.Entries) != 0 {
		t.Errorf("deleted, and listed: %q", names(p))
	}
}

func TestOneLevel(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{Targets: 3})
	createBucket(t, c, "b", `{"durability":"none"}`)
	put(t, c, "b", "img001", "vid001", "img003", "img-test/obj1", "img-test/vid1", "img-test/pics/obj01", "img-test/pics/vid01",
		"alpha/1", "alpha/beta/2", "alpha2/3", "same", "same/inner", "deep/er/name")
	for _, tc := range []struct {
		prefix string
		want   string
	}{
		{"", "alpha/ alpha2/ deep/ img-test/ img001 img003 same same/ vid001"},
		{"/", "alpha/ alpha2/ deep/ img-test/ img001 img003 same same/ vid001"},
		{"img", "img-test/ img001 img003"},
		{"img-test", "img-test/obj1 img-test/pics/ img-test/vid1"},
		{"img-test/", "img-test/obj1 img-test/pics/ img-test/vid1"},
		{"img-test/pics", "img-test/pics/obj01 img-test/pics/vid01"},
		{"img-test/pics/", "img-test/pics/obj01 img-test/pics/vid01"},
		{"alp", "alpha/ alpha2/"},
		{"alpha", "alpha/1 alpha/beta/"},
		{"alpha/b", "alpha/beta/"},
		{"img001", "img001"},
		{"same", "same same/inner"},
		{"deep/er/name", "deep/er/name"},
		{"nothing", ""},
		{"nothing/", ""},
	} {
		for _, size := range []int{0, 1, 2} {
			var got []string
			for token := ""; ; {
				p := page(t, c.Proxies[0], "b", map[string]any{"prefix": tc.prefix, "flags": "2048", "pagesize": size, "continuation_token": token})
				for _, e := range p.Entries {
					got = append(got, e.Name)
					isDir := strings.HasSuffix(e.Name, "/")
					if isDir && (e.Flags != 256 || e != (wire.LsoEntry{Name: e.Name, Flags: 256})) || !isDir && e.Flags != 64 {
						t.Errorf("entry %+v", e)
					}
				}
				if token = p.ContinuationToken; token == "" {
					break
				}
			}
			if strings.Join(got, " ") != tc.want {
				t.Errorf("prefix %q, page size %d: %q, want %q", tc.prefix, size, got, tc.want)
			}
		}
	}
}

// TestTreeWalk: who goes from level to level by what is listed comes by every
// object once and comes to an end, whatever the names.
func TestTreeWalk(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{Targets: 2})
	createBucket(t, c, "b", `{"durability":"none"}`)
	names := []string{
		"top", "p", "p/q", "/x", "//x", "/d/x", "///", "a//b", "a/b", "~x/%2F", "~x/dir%2F", "dir/in", "~x/%7E/home", "~x/%7Ex/y", "~x/%2E%2E/up", "~x/line%0A/x", "~a/b",
	}
	names[6] = "~x///%2F" // three slashes
	put(t, c, "b", names...)
	var found []string
	levels := 0
	for todo := []string{""}; len(todo) > 0; todo = todo[1:] {
		if levels++; levels > 50 {
			t.Fatalf("no end: %q", todo)
		}
		for _, e := range page(t, c.Proxies[0], "b", map[string]any{"prefix": todo[0], "flags": "2048"}).Entries {
			if e.Flags&256 != 0 {
				todo = append(todo, e.Name)
			} else {
				found = append(found, e.Name)
			}
		}
	}
	slices.Sort(names)
	if slices.Sort(found); !slices.Equal(found, names) {
		t.Errorf("found %q\nwant %q", found, names)
	}
	// The plain slash is the top level, as clients know it.
	if got := len(page(t, c.Proxies[0], "b", map[string]any{"prefix": "/", "flags": "2048"}).Entries); got != 11 {
		t.Errorf("%d entries at the top", got)
	}
}

func TestListedProperties(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{Targets: 2})
	createBucket(t, c, "b")
	expect(t, 200, follower, "PUT", c.Proxies[0].URL()+"/v1/objects/b/o", "hello world", "Ais-Custom-Md: zebra=1", "Ais-Custom-Md: ETag=abc")
	for _, tc := range []struct {
		props, flags string
		want         wire.LsoEntry
	}{
		{"", "0", wire.LsoEntry{Size: 11}},
		{"", "1", wire.LsoEntry{Size: 11, Checksum: "45ab6734b21e6968", Atime: "*"}},
		{"name", "0", wire.LsoEntry{}},
		{"name,size", "0", wire.LsoEntry{Size: 11}},
		{"name,size,version", "16", wire.LsoEntry{}},
		{"version,copies", "0", wire.LsoEntry{Version: "1", Copies: 1}},
		{"custom", "0", wire.LsoEntry{Custom: "[ETag:abc zebra:1]"}},
		{"location", "0", wire.LsoEntry{Location: "*"}},
		{"checksum,nonsense", "0", wire.LsoEntry{Checksum: "45ab6734b21e6968"}},
	} {
		p := page(t, c.Proxies[0], "b", map[string]any{"props": tc.props, "flags": tc.flags, "time_format": time.RFC3339})
		if len(p.Entries) != 1 {
			t.Fatalf("%d entries", len(p.Entries))
		}
		got, want := p.Entries[0], tc.want
		want.Name, want.Flags = "o", 64
		if want.Atime == "*" {
			if _, err := time.Parse(time.RFC3339, got.Atime); err != nil {
				t.Error(err)
			}
			want.Atime = got.Atime
		}
		if want.Location == "*" {
			id, _, _ := strings.Cut(got.Location, ":mp[")
			if id != "t[target-001]" && id != "t[target-002]" {
				t.Errorf("location %q", got.Location)
			}
			want.Location = got.Location
		}
		if got != want {
			t.Errorf("props %q flags %s: %+v, want %+v", tc.props, tc.flags, got, want)
		}
	}
}

func TestListingAsJSON(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{})
	createBucket(t, c, "b")
	url := c.Proxies[0].URL() + "/v1/buckets/b"
	_, body := expect(t, 200, strict, "GET", url, `{"action":"list","value":{"uuid":"bXk2Wp9Lq"}}`)
	if body != `{"uuid":"bXk2Wp9Lq","continuation_token":"","entries":null,"flags":0}`+"\n" {
		t.Error(body)
	}
	put(t, c, "b", "o1")
	_, body = expect(t, 200, strict, "GET", url, `{"action":"list","value":{"uuid":"bXk2Wp9Lq","pagesize":1}}`)
	if body != `{"uuid":"bXk2Wp9Lq","continuation_token":"o1","entries":[{"name":"o1","size":"2","flags":64}],"flags":0}`+"\n" {
		t.Error(body)
	}
	if _, body = expect(t, 200, strict, "GET", url, ""); !strings.Contains(body, `"o1"`) { // a browser
		t.Error(body)
	}
}

func TestBadListRequests(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{Targets: 2})
	createBucket(t, c, "b")
	base := c.Proxies[0].URL() + "/v1/buckets/"
	for _, tc := range []struct {
		name, path, value string
		status            int
		text              string
	}{
		{"no bucket", "nob", `{}`, 404, `bucket "ais://nob" does not exist`},
		{"negative page size", "b", `{"pagesize":-1}`, 400, "pagesize"},
		{"flags as number", "b", `{"flags":1}`, 400, "flags"},
		{"unknown flag", "b", `{"flags":"65536"}`, 400, "flags"},
		{"unknown key", "b", `{"prefixx":"a"}`, 400, "prefixx"},
		{"wrong type", "b", `{"prefix":1}`, 400, "prefix"},
		{"uuid", "b", `{"uuid":"-x"}`, 400, ""},
		{"prefix with dots", "b", `{"prefix":"a/../b"}`, 400, ""},
		{"prefix home", "b", `{"prefix":"~/b"}`, 400, ""},
		{"not cached", "b", `{"flags":"512"}`, 400, "remote"},
		{"diff", "b", `{"flags":"4096","props":"custom"}`, 400, "diff"},
		{"archives", "b", `{"flags":"8"}`, 501, "archive"},
		{"inventory", "b", `{"flags":"32768"}`, 501, "inventory"},
		{"long prefix", "b", `{"prefix":"` + strings.Repeat("p", 4097) + `"}`, 400, "prefix"},
		{"prefix that is not as it is written", "b", `{"prefix":"~x/a%6"}`, 400, "prefix"},
		{"token that is not as it is written", "b", `{"continuation_token":"~x/%zz"}`, 400, `invalid "continuation_token": `},
		{"name to start after that is not as it is written", "b", `{"start_after":"~x/%zz"}`, 400, `invalid "start_after": `},
		{"page size of 20 digits", "b", `{"pagesize":99999999999999999999}`, 400, "pagesize"},
		{"long list of properties", "b", `{"props":"` + strings.Repeat("size,", 2000) + `"}`, 400, "props"},
		{"long name to start after", "b", `{"start_after":"` + strings.Repeat("s", 20000) + `"}`, 400, "start_after"},
		{"long format of times", "b", `{"time_format":"` + strings.Repeat("2006", 200) + `"}`, 400, "time_format"},
		{"long token", "b", `{"continuation_token":"` + strings.Repeat("t", 17000) + `"}`, 400, "continuation_token"},
		{"empty JSON body", "b", "", 400, "failed to unmarshal"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			body := ""
			if tc.value != "" {
				body = `{"action":"list","value":` + tc.value + `}`
			}
			res, text := expect(t, tc.status, strict, "GET", base+tc.path, body, "Content-Type: application/json")
			if e := errorBody(t, res, text); !strings.Contains(e.Message, tc.text) {
				t.Errorf("%q, want %q in it", e.Message, tc.text)
			}
		})
	}
}

// TestListingNeedsEveryTarget: a page that lacks a target's names is an error
// with its name.
func TestListingNeedsEveryTarget(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{Targets: 3})
	createBucket(t, c, "b")
	url := c.Proxies[0].URL() + "/v1/buckets/b"
	fails := func(what string) {
		t.Helper()
		res, body := expect(t, 503, strict, "GET", url, `{"action":"list","value":{}}`)
		if e := errorBody(t, res, body); !strings.Contains(e.Message, "t[target-002]") || res.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %v %v", what, e, res.Header)
		}
	}
	c.Metadata.SetDown("target-002", true)
	fails("down")
	c.Metadata.SetDown("target-002", false)
	c.Metadata.SetFenced("target-002", "a test says so")
	fails("refuses")
	c.Metadata.SetFenced("target-002", "")
	expect(t, 200, strict, "GET", url, `{"action":"list","value":{}}`)
	if err := c.Targets[1].Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	fails("gone")
}

// TestNamesThatAreNotUTF8: JSON cannot carry them; msgpack can, and tokens do
// not lose their place.
func TestNamesThatAreNotUTF8(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{Targets: 2})
	createBucket(t, c, "b", `{"durability":"none"}`)
	names := []string{"a", "a\xff", "a\xff\xfe", "a\xff/x", "b\xc3", "b\xc3\xa9", "\xed\xa0\x80", "~x/%7E/\xff"}
	put(t, c, "b", names...)
	for _, size := range []int{0, 1, 3} {
		var got []string
		for token := ""; ; {
			p := page(t, c.Proxies[0], "b", map[string]any{"pagesize": size, "continuation_token": token})
			for _, e := range p.Entries {
				got = append(got, e.Name)
			}
			if token = p.ContinuationToken; token == "" {
				break
			}
		}
		slices.Sort(got)
		want := slices.Clone(names)
		if slices.Sort(want); !slices.Equal(got, want) {
			t.Errorf("by %d: %q, want %q", size, got, want)
		}
	}
	seen := 0
	for token := ""; ; {
		_, text := expect(t, 200, follower, "GET", c.Proxies[0].URL()+"/v1/buckets/b", fmt.Sprintf(`{"action":"list","value":{"pagesize":2,"continuation_token":%q}}`, token))
		var p wire.LsoPage
		if err := json.Unmarshal([]byte(text), &p); err != nil || !utf8.ValidString(text) {
			t.Fatalf("%v: %q", err, text)
		}
		for _, e := range p.Entries {
			if seen++; e.Name != "a" && e.Name != "b\u00e9" && !strings.ContainsRune(e.Name, utf8.RuneError) {
				t.Errorf("%q", e.Name)
			}
		}
		if token = p.ContinuationToken; token == "" {
			break
		}
	}
	if seen != len(names) {
		t.Errorf("%d of %d names in JSON", seen, len(names))
	}
}
