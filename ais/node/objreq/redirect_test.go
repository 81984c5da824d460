package objreq

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

func targetAt(host string) *meta.Snode {
	net := meta.NetInfo{Host: host, Port: "8081", URL: "http://" + host + ":8081"}
	return meta.NewSnode("target01", meta.RoleTarget, net, net, net)
}

// TestLoopbackIsForLoopback: a client elsewhere is not sent to itself.
func TestLoopbackIsForLoopback(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		host, client string
		sent         bool
	}{
		{"127.0.0.1", "127.0.0.1:5000", true},
		{"localhost", "127.0.0.3:5000", true},
		{"::1", "[::1]:5000", true},
		{"127.0.0.1", "10.1.2.3:5000", false},
		{"localhost", "10.1.2.3:5000", false},
		{"::1", "[2001:db8::1]:5000", false},
		{"10.0.0.7", "10.1.2.3:5000", true},
		{"10.0.0.7", "127.0.0.1:5000", true},
		{"node-7", "10.1.2.3:5000", true},
	} {
		r := httptest.NewRequest(http.MethodGet, "/v1/objects/b/o", http.NoBody)
		r.RemoteAddr = tc.client
		w := httptest.NewRecorder()
		err := Send(w, r, &Request{
			Bck: wire.Bck{Name: "b", Provider: wire.ProviderAIS}, Object: "o", NodeID: "p",
			Smap: &meta.Smap{Version: 1}, Owner: targetAt(tc.host), Now: time.Now(),
		})
		switch {
		case tc.sent && (err != nil || w.Header().Get("Location") == ""):
			t.Errorf("%s from %s: %v", tc.host, tc.client, err)
		case !tc.sent && (apierr.StatusOf(err) != http.StatusServiceUnavailable || !strings.Contains(err.Error(), "host_net.hostname")):
			t.Errorf("%s from %s: %v", tc.host, tc.client, err)
		}
	}
}

func BenchmarkRedirect(b *testing.B) {
	smap := (&meta.Smap{Version: 7, Tmap: map[string]*meta.Snode{"target01": targetAt("10.0.0.7")}}).Freeze()
	bck := wire.Bck{Name: "b", Provider: wire.ProviderAIS}
	r := httptest.NewRequest(http.MethodGet, "/v1/objects/b/dir/train-000123.tar?provider=ais", http.NoBody)
	w := discard{header: http.Header{}}
	ring := signed(time.Now())
	b.ReportAllocs()
	for b.Loop() {
		owner, err := Owner(smap, bck, "dir/train-000123.tar")
		if err != nil {
			b.Fatal(err)
		}
		if err := Send(w, r, &Request{Bck: bck, Object: "dir/train-000123.tar", NodeID: "p", Smap: smap, Owner: owner, Now: time.Now(), Ring: ring}); err != nil {
			b.Fatal(err)
		}
	}
}

// discard is an answer that nobody reads.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}
