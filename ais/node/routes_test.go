package node

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

func TestMetasyncRoute(t *testing.T) {
	t.Parallel()
	a, b := newTestNode(t, meta.RoleProxy, "proxy0001", nil), newTestNode(t, meta.RoleTarget, "target001", nil)
	b.cp.handle = func(_ context.Context, kind string, body []byte) ([]byte, error) {
		if kind == "join" {
			return nil, apierr.New(409, "ErrDuplicateNode", "duplicate node ID")
		}
		return []byte(kind + ":" + string(body)), nil
	}
	// strangers call: nobody has a map yet
	network := a.RPC().Network()
	url := b.Snode().IntraControl.URL
	got, err := network.Call(context.Background(), url, "push", []byte("deltas"))
	if err != nil || string(got) != "push:deltas" {
		t.Errorf("%q %v", got, err)
	}
	if _, err := network.Call(context.Background(), url, "join", nil); apierr.CodeOf(err) != "ErrDuplicateNode" || apierr.StatusOf(err) != 409 || err.Error() != "duplicate node ID" {
		t.Errorf("%v", err)
	}
	for path, want := range map[string]int{"/v1/metasync": 400, "/v1/metasync/a/b": 400} {
		if got := do(t, "POST", url+path, "x"); got.status != want {
			t.Errorf("%s: %d, want %d", path, got.status, want)
		}
	}
	if got := do(t, "GET", url+"/v1/metasync/push", ""); got.status != 405 || got.header.Get("Allow") != "POST" {
		t.Errorf("GET: %d %v", got.status, got.header)
	}
	if got := do(t, "POST", b.Snode().Public.URL+"/v1/metasync/push", "x"); got.status >= 500 && got.status != 503 || got.status < 400 {
		t.Errorf("on the public network: %d", got.status)
	}
}

func TestLookup(t *testing.T) {
	t.Parallel()
	var table []*route
	for _, prefix := range []string{"/v1/objects", "/ais", "/v1/ml/moss", "/v1/ml", "/v1/health", "/v1/objects"} {
		table = withRoute(table, &route{prefix: prefix})
	}
	if len(table) != 5 {
		t.Errorf("%d routes, want 5: a prefix is registered once", len(table))
	}
	for path, want := range map[string]string{
		"/v1/objects": "/v1/objects", "/v1/objects/": "/v1/objects", "//v1/objects/b/o": "/v1/objects", "/v1/objectsx": "",
		"/ais": "/ais", "/ais/b/v1/objects": "/ais", "/aisx": "", "/v1/ml/moss/b": "/v1/ml/moss", "/v1/ml/mos": "/v1/ml", "/": "", "": "", "*": "",
	} {
		got := ""
		if rt := lookup(table, path); rt != nil {
			got = rt.prefix
		}
		if got != want {
			t.Errorf("%q: %q, want %q", path, got, want)
		}
	}
}

// discard is a response writer that keeps nothing.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(int)             { clear(d.header) }

func (d *discard) ReadFrom(r io.Reader) (int64, error) { return io.Copy(io.Discard, r) }

func benchmarkRequest(b *testing.B, path string, h Handler) {
	n := newTestNode(b, meta.RoleTarget, "target001", nil)
	join(b, newTestNode(b, meta.RoleProxy, "proxy0001", nil), n)
	for _, prefix := range []string{wire.PathBuckets, wire.PathObjects, wire.PathGetBatch, wire.PathIntra, wire.PathETL, wire.PathSort, wire.PathDownload, wire.PathS3, wire.PathEasyAIS} {
		n.Public(prefix, []string{"GET", "PUT"}, h)
	}
	r := httptest.NewRequest("GET", path, nil)
	r.Header.Set("User-Agent", "bench")
	w := &discard{http.Header{}}
	handler := publicHandler{n.Node}
	b.ReportAllocs()
	b.ResetTimer()
	for b.Loop() {
		handler.ServeHTTP(w, r)
	}
}

func BenchmarkRouting(b *testing.B) {
	benchmarkRequest(b, "/v1/objects/bucket/"+strings.Repeat("name/", 4)+"object?provider=ais", func(w http.ResponseWriter, r *http.Request) error {
		if PathItems(r).Count != 4 {
			return apierr.BadRequest("short")
		}
		w.WriteHeader(http.StatusOK)
		return nil
	})
}

func BenchmarkErrorAnswer(b *testing.B) {
	missing := apierr.ObjectNotFound("ais://bucket/object")
	benchmarkRequest(b, "/v1/objects/bucket/object", func(http.ResponseWriter, *http.Request) error { return missing })
}

func BenchmarkHealth(b *testing.B) {
	benchmarkRequest(b, "/v1/health", func(http.ResponseWriter, *http.Request) error { return nil })
}

// The path of every request must not grow garbage: what is counted here is
// paid for each small GET.
func TestRoutingDoesNotAllocate(t *testing.T) {
	n := newTestNode(t, meta.RoleTarget, "target001", nil)
	join(t, newTestNode(t, meta.RoleProxy, "proxy0001", nil), n)
	withObjects(n, func(w http.ResponseWriter, r *http.Request) error {
		_ = PathItems(r)
		w.WriteHeader(http.StatusOK)
		return nil
	})
	r := httptest.NewRequest("GET", "/v1/objects/bucket/object", nil)
	w := &discard{http.Header{}}
	handler := publicHandler{n.Node}
	if got := testing.AllocsPerRun(1000, func() { handler.ServeHTTP(w, r) }); got >= 1 && !raceEnabled {
		t.Errorf("%v allocations to route a request", got)
	}
}
