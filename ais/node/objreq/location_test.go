package objreq

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aistore-go/aistore/cmn/query"
)

func locationOf(object, rawQuery, provider string) string {
	l := location{
		base: "http://10.0.0.7:8081", bucket: "b1", object: object, query: rawQuery, provider: provider,
		nodeID: "p1", smapVersion: 37, now: time.Unix(0, 36*36),
	}
	return string(l.appendTo(nil))
}

func TestLocationKeepsTheName(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"o", "a/b/c", "x//y", "/x", "a b", "50%", "%41", "a?b", "a#b", "a+b", "a&b=c", "приве́т", "\xff\xfe", "a\\b", `"q"`, "[x]", "a;b", "~x", "...",
		"a\nb", "*", "a:b@c", "<>|^`{}",
	} {
		got := locationOf(name, "provider=ais", "")
		u, err := url.Parse(got)
		if err != nil {
			t.Errorf("%q: %q is not a URL: %v", name, got, err)
			continue
		}
		if want := "/v1/objects/b1/" + name; u.Path != want {
			t.Errorf("%q arrives as %q", want, u.Path)
		}
	}
}

func TestLocationQuery(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, query, provider, want string }{
		{"none", "", "", "pid=p1&utm=100&vpams=11"},
		{"kept verbatim", "b=2&a=%41+x&namespace=%40%23ns", "", "b=2&a=%41+x&namespace=%40%23ns&pid=p1&utm=100&vpams=11"},
		{"easy URL", "", "gcp", "provider=gcp&pid=p1&utm=100&vpams=11"},
		{"easy URL with query", "x=1", "ais", "x=1&provider=ais&pid=p1&utm=100&vpams=11"},
		{"a client's marker is dropped", "pid=evil&x=1&vpams=zz&utm=0&&y=2", "", "x=1&y=2&pid=p1&utm=100&vpams=11"},
		{"a value that looks like a marker stays", "props=pid", "", "props=pid&pid=p1&utm=100&vpams=11"},
	} {
		_, got, _ := strings.Cut(locationOf("o", c.query, c.provider), "?")
		if got != c.want {
			t.Errorf("%s: query is %q, want %q", c.name, got, c.want)
		}
	}
}

func TestMarkerComesBack(t *testing.T) {
	t.Parallel()
	_, raw, _ := strings.Cut(locationOf("o", "provider=ais", ""), "?")
	q, err := query.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	m := ReadMarker(&q)
	if want := (Marker{Present: true, SmapVersion: 37, Sent: 36 * 36}); m != want {
		t.Errorf("marker is %+v, want %+v", m, want)
	}
	for _, raw := range []string{"", "pid=x", "utm=1", "pid=&utm=1", "vpams=1"} {
		q, err := query.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		if m := ReadMarker(&q); m != (Marker{}) {
			t.Errorf("%q counts as a redirect: %+v", raw, m)
		}
	}
}

// FuzzLocation: whatever the name, the URL parses and leads to it.
func FuzzLocation(f *testing.F) {
	f.Add("a/b c%?#+", "provider=ais")
	f.Add("\x00\xff", "a=b&pid=1")
	f.Fuzz(func(t *testing.T, name, rawQuery string) {
		if strings.ContainsAny(rawQuery, "#") {
			t.Skip("no request has a fragment")
		}
		u, err := url.Parse(locationOf(name, url.PathEscape(rawQuery), ""))
		if err != nil {
			t.Fatal(err)
		}
		if want := "/v1/objects/b1/" + name; u.Path != want {
			t.Fatalf("%q arrives as %q", want, u.Path)
		}
		if got := u.Query().Get("vpams"); got != "11" {
			t.Fatalf("vpams is %q", got)
		}
	})
}

func BenchmarkAppendLocation(b *testing.B) {
	l := location{base: "http://10.0.0.7:8081", bucket: "b1", object: "dir/train-000123.tar", query: "provider=ais", nodeID: "p1", smapVersion: 37, now: time.Now()}
	buf := make([]byte, 0, 512)
	b.ReportAllocs()
	for b.Loop() {
		buf = l.appendTo(buf[:0])
	}
}
