package api

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

func TestParseEndpoint(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"10.0.0.1:51080": "http://10.0.0.1:51080", "http://h:1/": "http://h:1", "https://h": "https://h",
		"http://h/prefix/": "http://h/prefix", "[::1]:80": "http://[::1]:80",
	} {
		if u, err := parseEndpoint(text); err != nil || u.String() != want {
			t.Errorf("%q: %v, %v", text, u, err)
		}
	}
	for _, text := range []string{"", " ", "ftp://h", "http://", "http://h?x=1", "http://h#f", "http://h:x"} {
		if u, err := parseEndpoint(text); err == nil {
			t.Errorf("%q was accepted as %v", text, u)
		}
	}
}

// FuzzEscapeName checks that a server decodes the very name.
func FuzzEscapeName(f *testing.F) {
	for _, seed := range []string{"a b", "x//y", "/x", "%41", "?#&+;", "привет", "\xff\x00", "~a..b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		node := &url.URL{Scheme: "http", Host: "h:1"}
		u := nodeURL(node, &request{path: "/v1/objects/b/" + name, query: "provider=ais"})
		again, err := url.Parse(u.String())
		if err != nil || again.Path != "/v1/objects/b/"+name || again.RawQuery != "provider=ais" {
			t.Fatalf("%q becomes %q: %v", name, u.String(), err)
		}
		if strings.ContainsAny(u.RequestURI(), " \r\n\x00") {
			t.Fatalf("%q becomes the request line %q", name, u.RequestURI())
		}
	})
}

// FuzzDecodeError checks that an error always has a message and a status.
func FuzzDecodeError(f *testing.F) {
	for _, seed := range []string{"", "text", `{"message":"m","status":404}`, `{"status":200}`, "ErrX: y", "{"} {
		f.Add(seed, 404)
	}
	f.Fuzz(func(t *testing.T, body string, status int) {
		if status < 400 || status > 599 {
			status = 500
		}
		e := decodeError(http.MethodGet, &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))})
		if e.Message == "" || e.Status < 400 {
			t.Fatalf("%q: %+v", body, e)
		}
	})
}

func TestParseAttrs(t *testing.T) {
	t.Parallel()
	for _, paths := range []string{"[/mp1 /mp2]", "/mp1,/mp2"} {
		a := parseAttrs(http.Header{
			"Content-Length": {"12"}, "Etag": {`"v1-abc"`}, wire.HeaderObjMirrorPaths: {paths}, wire.HeaderObjMirrorCopies: {"2"},
			wire.HeaderObjCustomMD: {"a=b=c", "nothing", "k="}, wire.HeaderLastModified: {"Thu, 01 Jan 2026 00:00:00 GMT"},
		})
		if a.Size != 12 || a.ETag != "v1-abc" || len(a.Paths) != 2 || a.Paths[1] != "/mp2" || a.Copies != 2 ||
			a.Custom["a"] != "b=c" || len(a.Custom) != 2 || a.Modified.Unix() != 1767225600 || !a.Atime.IsZero() {
			t.Errorf("%+v", a)
		}
	}
}

func BenchmarkOwner(b *testing.B) {
	smap := &meta.Smap{Tmap: map[string]*meta.Snode{}, Version: 1}
	for i := range 10 {
		net := meta.NetInfo{Host: "10.0.0.1", Port: strconv.Itoa(51080 + i), URL: "http://10.0.0.1:" + strconv.Itoa(51080+i)}
		node := meta.NewSnode("target00"+strconv.Itoa(i), meta.RoleTarget, net, net, net)
		smap.Tmap[node.ID] = node
	}
	r := newRouting(smap.Freeze())
	object := &objectRef{bck: wire.Bck{Provider: "ais", Name: "bucket"}, name: "images/train/000012345.jpg"}
	b.ReportAllocs()
	for b.Loop() {
		if r.owner(object) == nil {
			b.Fatal("no owner")
		}
	}
}

func BenchmarkGet4KiB(b *testing.B) {
	data := bytes.Repeat([]byte("x"), 4<<10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(data) }))
	b.Cleanup(server.Close)
	c, err := New(Options{URL: server.URL})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(c.Close)
	bck := wire.Bck{Provider: "ais", Name: "b"}
	b.ReportAllocs()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, _, err := c.GetObject(b.Context(), bck, "o", io.Discard, GetArgs{}); err != nil {
			b.Fatal(err)
		}
	}
}
