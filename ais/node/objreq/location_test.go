package objreq

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/query"
	"github.com/aistore-go/aistore/cmn/trust"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
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
		{"a number sign does not cut it", "a=1#2&b=3", "", "a=1%232&b=3&pid=p1&utm=100&vpams=11"},
		{"a number sign beside a marker", "pid=evil&a=1#2", "", "a=1%232&pid=p1&utm=100&vpams=11"},
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
	if m := ReadMarker(&q); !m.Present || m.SmapVersion != 37 || m.Sent != 36*36 || m.damaged {
		t.Errorf("marker is %+v", m)
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

// signed is a ring with one key.
func signed(at time.Time) *trust.Ring {
	ring := new(trust.Ring)
	ring.Set([]trust.Key{{ID: 7, Secret: [trust.KeySize]byte{1, 2, 3}}}, at)
	return ring
}

// TestSignedMarker: what a gateway signs, a target accepts for the same object
// and for a while, and nothing else.
func TestSignedMarker(t *testing.T) {
	t.Parallel()
	at := time.Unix(1_700_000_000, 5)
	ring := signed(at)
	bck := wire.Bck{Name: "b1", Provider: wire.ProviderAIS}
	r := httptest.NewRequest(http.MethodGet, "/v1/objects/b1/dir/o?provider=ais", http.NoBody)
	w := httptest.NewRecorder()
	if err := Send(w, r, &Request{
		Bck: bck, Object: "dir/o", NodeID: "p1", Smap: &meta.Smap{Version: 37}, Owner: targetAt("10.0.0.7"), Now: at, Ring: ring,
	}); err != nil {
		t.Fatal(err)
	}
	path, raw, _ := strings.Cut(w.Header().Get("Location"), "?")
	if path != "http://10.0.0.7:8081/v1/objects/b1/dir/o" || !strings.HasPrefix(raw, "provider=ais&pid=p1&utm=") {
		t.Errorf("Location: %s", w.Header().Get("Location"))
	}
	check := func(raw, object string, now time.Time) error {
		t.Helper()
		q, err := query.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		m := ReadMarker(&q)
		if !m.Present {
			t.Fatalf("%s: no marker", raw)
		}
		return m.Check(ring, bck, object, now)
	}
	for _, later := range []time.Duration{0, time.Second, 5 * time.Minute} { // it may come again
		if err := check(raw, "dir/o", at.Add(later)); err != nil {
			t.Errorf("after %v: %v", later, err)
		}
	}
	for name, err := range map[string]error{
		"another object":  check(raw, "dir/p", at),
		"too late":        check(raw, "dir/o", at.Add(5*time.Minute+time.Second)),
		"another gateway": check(strings.Replace(raw, "pid=p1", "pid=p2", 1), "dir/o", at),
		"another time":    check(strings.Replace(raw, "utm=", "utm=1", 1), "dir/o", at),
		"no time":         check(strings.Replace(raw, "utm=", "utm=!", 1), "dir/o", at),
		"another version": check(strings.Replace(raw, "vpams=1", "vpams=2", 1), "dir/o", at),
		"not signed":      check("pid=p1&utm=100&vpams=11", "dir/o", at),
		"no vpams":        check("pid=p1&utm=100", "dir/o", at),
		"not a marker":    check("pid=p1&utm=100&vpams=hello.world", "dir/o", at),
	} {
		if apierr.StatusOf(err) != http.StatusForbidden || apierr.CodeOf(err) != trust.CodeRedirect {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzLocation: whatever the name, the URL parses and leads to it.
func FuzzLocation(f *testing.F) {
	f.Add("a/b c%?#+", "provider=ais")
	f.Add("\x00\xff", "a=b&pid=1")
	f.Fuzz(func(t *testing.T, name, rawQuery string) {
		if strings.ContainsAny(rawQuery, "#") {
			return // no request has a fragment
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
	now := time.Now()
	l := location{
		base: "http://10.0.0.7:8081", bucket: "b1", object: "dir/train-000123.tar", query: "provider=ais", nodeID: "p1", smapVersion: 37, now: now,
		uname: []byte("ais/@#/b1/dir/train-000123.tar"), ring: signed(now),
	}
	buf := make([]byte, 0, 512)
	b.ReportAllocs()
	for b.Loop() {
		buf = l.appendTo(buf[:0])
	}
}

func BenchmarkCheckMarker(b *testing.B) {
	now := time.Now()
	bck := wire.Bck{Name: "b1", Provider: wire.ProviderAIS}
	l := location{base: "http://t", bucket: "b1", object: "dir/o", nodeID: "p1", smapVersion: 37, now: now, uname: bck.AppendUname(nil, "dir/o"), ring: signed(now)}
	_, raw, _ := strings.Cut(string(l.appendTo(nil)), "?")
	q, err := query.Parse(raw)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		m := ReadMarker(&q)
		if err := m.Check(l.ring, bck, "dir/o", now); err != nil {
			b.Fatal(err)
		}
	}
}
