package node

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/trust"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/transport/rpc"
)

// clusterKey is the key of the tests' cluster.
var clusterKey = trust.Key{ID: 7, Made: 1, Secret: [trust.KeySize]byte{1, 2, 3}}

// newKeyring makes a keyring with keys, or without any.
func newKeyring(t testing.TB, id string, keys ...trust.Key) *trust.Keyring {
	t.Helper()
	identity, err := trust.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	k := trust.New(trust.Options{NodeID: id, Identity: identity})
	if len(keys) > 0 {
		k.Ring().Set(keys, time.Now())
	}
	return k
}

// newTrusting starts a node that signs and verifies.
func newTrusting(t testing.TB, role, id string, keys ...trust.Key) *testNode {
	t.Helper()
	n := newTestNode(t, role, id, func(o *Options) { o.Trust = newKeyring(t, id, keys...) })
	n.cp.handle = func(context.Context, string, []byte) ([]byte, error) { return nil, nil }
	return n
}

// signedRequest is a request as a node with a keyring would send it.
func signedRequest(t testing.TB, k *trust.Keyring, id, method, url, body string, byIdentity bool) *http.Request {
	t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	req, err := http.NewRequest(method, url, reader)
	if err != nil {
		t.Fatal(err)
	}
	s := k.Sign(&trust.Call{Method: method, Host: req.URL.Host, URI: req.URL.RequestURI(), Body: trust.BufferedBody([]byte(body))}, byIdentity)
	req.Header.Set("Ais-Caller-Id", id)
	req.Header.Set("Ais-Caller-Sig", s.Code)
	req.Header.Set("Ais-Caller-Nonce", s.Nonce)
	return req
}

// send sends a request once more than it was built for, if asked to.
func send(t testing.TB, req *http.Request) answer {
	t.Helper()
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, string(data)}
}

// withEcho registers a node-to-node call that answers its body.
func withEcho(n *testNode) *atomic.Int32 {
	calls := new(atomic.Int32)
	n.Intra(wire.PathIntra, []string{"GET", "POST", "PUT"}, func(w http.ResponseWriter, r *http.Request) error {
		body, err := ReadBody(r, 1<<20)
		if err != nil {
			return err
		}
		calls.Add(1)
		return WriteText(w, r, n.Caller(r).String()+" "+string(body))
	})
	return calls
}

func TestNodesTrustEachOther(t *testing.T) {
	t.Parallel()
	a, b := newTrusting(t, meta.RoleProxy, "proxy0001", clusterKey), newTrusting(t, meta.RoleTarget, "target001", clusterKey)
	join(t, a, b)
	calls := withEcho(b)
	ctx := context.Background()
	for _, body := range []string{"", "hello"} {
		got, _, err := a.RPC().Request(ctx, rpc.Control, "POST", b.Snode().IntraControl.URL+"/v1/intra/x?y=%20z", "", []byte(body))
		if err != nil || string(got) != "p[proxy0001] "+body {
			t.Errorf("%q: %q %v", body, got, err)
		}
	}
	// a stream is covered by its length
	req, err := http.NewRequestWithContext(ctx, "PUT", b.Snode().IntraControl.URL+"/v1/intra/x", io.MultiReader(strings.NewReader("str"), strings.NewReader("eam")))
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = 6
	res, err := a.RPC().Do(rpc.Data, req)
	if err != nil || res.StatusCode != 200 {
		t.Fatalf("stream: %v %v", res, err)
	}
	_ = res.Body.Close()
	if calls.Load() != 3 {
		t.Errorf("%d calls", calls.Load())
	}
}

func TestCallersMustProveThemselves(t *testing.T) {
	t.Parallel()
	a, b := newTrusting(t, meta.RoleProxy, "proxy0001", clusterKey), newTrusting(t, meta.RoleTarget, "target001", clusterKey)
	join(t, a, b)
	calls := withEcho(b)
	url := b.Snode().IntraControl.URL + "/v1/intra/x"
	member := a.Trust()
	other := clusterKey
	other.Secret[0]++
	for _, tc := range []struct {
		name string
		req  func() *http.Request
		code string
	}{
		{"no signature", func() *http.Request {
			req := signedRequest(t, member, "proxy0001", "POST", url, "x", false)
			req.Header.Del("Ais-Caller-Sig")
			return req
		}, trust.CodeSignature},
		{"two callers", func() *http.Request {
			req := signedRequest(t, member, "proxy0001", "POST", url, "x", false)
			req.Header.Add("Ais-Caller-Id", "target001")
			return req
		}, trust.CodeSignature},
		{"wrong key", func() *http.Request {
			return signedRequest(t, newKeyring(t, "proxy0001", other), "proxy0001", "POST", url, "x", false)
		}, trust.CodeSignature},
		{"another cluster's key", func() *http.Request {
			return signedRequest(t, newKeyring(t, "proxy0001", trust.Key{ID: 9}), "proxy0001", "POST", url, "x", false)
		}, trust.CodeUnknownKey},
		{"copied id", func() *http.Request {
			return signedRequest(t, newKeyring(t, "proxy0001"), "proxy0001", "POST", url, "x", true)
		}, trust.CodeIdentity},
		{"stranger", func() *http.Request {
			return signedRequest(t, newKeyring(t, "stranger1"), "stranger1", "POST", url, "x", true)
		}, trust.CodeIdentity},
		{"another method", func() *http.Request {
			req := signedRequest(t, member, "proxy0001", "POST", url, "x", false)
			req.Method = "PUT"
			return req
		}, trust.CodeSignature},
		{"another query", func() *http.Request {
			req := signedRequest(t, member, "proxy0001", "POST", url, "x", false)
			req.URL.RawQuery = "force=true"
			return req
		}, trust.CodeSignature},
		{"another body", func() *http.Request {
			req := signedRequest(t, member, "proxy0001", "POST", url, "x", false)
			req.Body, req.GetBody = io.NopCloser(strings.NewReader("y")), nil
			return req
		}, trust.CodeSignature},
		{"an added body", func() *http.Request {
			req := signedRequest(t, member, "proxy0001", "POST", url, "", false)
			req.Body, req.ContentLength = io.NopCloser(strings.NewReader("y")), 1
			return req
		}, trust.CodeSignature},
		{"passed on", func() *http.Request {
			req := signedRequest(t, member, "proxy0001", "POST", url, "x", false)
			req.Header.Set("Ais-Caller-Passes-On", "true")
			return req
		}, trust.CodeSignature},
		{"another node's", func() *http.Request {
			req := signedRequest(t, member, "proxy0001", "POST", a.Snode().IntraControl.URL+"/v1/intra/x", "x", false)
			req.Host = req.URL.Host
			req.URL.Host = strings.TrimPrefix(b.Snode().IntraControl.URL, "http://")
			return req
		}, trust.CodeSignature},
	} {
		answer := send(t, tc.req())
		if e := answer.errorBody(t); e.Status != 403 || e.TypeCode != tc.code {
			t.Errorf("%s: %+v, want 403 %s", tc.name, e, tc.code)
		}
		if asks := answer.header.Get("Ais-Caller-Sig") != ""; asks != (tc.code == trust.CodeUnknownKey) {
			t.Errorf("%s: asks for the caller's own signature: %v", tc.name, asks)
		}
	}
	if calls.Load() != 0 {
		t.Errorf("%d calls were answered", calls.Load())
	}
}

func TestControlCallsAreNotRepeated(t *testing.T) {
	t.Parallel()
	a, b := newTrusting(t, meta.RoleProxy, "proxy0001", clusterKey), newTrusting(t, meta.RoleTarget, "target001", clusterKey)
	join(t, a, b)
	withEcho(b)
	for _, tc := range []struct {
		method, path string
		again        int
	}{
		{"POST", "/v1/intra/x", 403},
		{"PUT", "/v1/intra/x", 403},
		{"GET", "/v1/intra/x", 200},
		{"POST", "/v1/intra/list/b", 200},
		{"POST", "/v1/metasync/push", 403},
		{"POST", "/v1/metasync/raft", 200},
		{"POST", "/v1/metasync/keepalive", 200},
	} {
		req := signedRequest(t, a.Trust(), "proxy0001", tc.method, b.Snode().IntraControl.URL+tc.path, "", false)
		first, second := send(t, req), send(t, req.Clone(context.Background()))
		if first.status != 200 || second.status != tc.again {
			t.Errorf("%s %s: %d, then %d, want 200 and %d: %s", tc.method, tc.path, first.status, second.status, tc.again, second.body)
		}
		if tc.again == 403 {
			if e := second.errorBody(t); e.TypeCode != trust.CodeReplay {
				t.Errorf("%s %s: %+v", tc.method, tc.path, e)
			}
		}
	}
}

// TestCallerWithoutTheKey: a node that holds other cluster keys than the
// receiver is understood all the same, because it signs as itself then.
func TestCallerWithoutTheKey(t *testing.T) {
	t.Parallel()
	for name, keys := range map[string][2][]trust.Key{
		"the caller has none":   {nil, {clusterKey}},
		"the receiver has none": {{clusterKey}, nil},
		"neither has one":       {nil, nil},
		"each has another":      {{clusterKey}, {{ID: 8}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := newTrusting(t, meta.RoleProxy, "proxy0001", keys[0]...), newTrusting(t, meta.RoleTarget, "target001", keys[1]...)
			join(t, a, b)
			calls := withEcho(b)
			got, _, err := a.RPC().Request(context.Background(), rpc.Control, "POST", b.Snode().IntraControl.URL+"/v1/intra/x", "", []byte("hello"))
			if err != nil || string(got) != "p[proxy0001] hello" || calls.Load() != 1 {
				t.Errorf("%q %v, %d calls", got, err, calls.Load())
			}
		})
	}
}

// TestStrangersIntroduceThemselves: nodes that are not in the map may say who
// they are, and ask to be let in, and nothing else.
func TestStrangersIntroduceThemselves(t *testing.T) {
	t.Parallel()
	p := newTrusting(t, meta.RoleProxy, "proxy0001", clusterKey)
	join(t, p)
	stranger := newKeyring(t, "stranger1")
	for path, status := range map[string]int{
		"/v1/metasync/whois": 200, "/v1/metasync/join": 200, "/v1/metasync/announce": 200,
		"/v1/metasync/push": 403, "/v1/metasync/raft": 403, "/v1/metasync/pull": 403, "/v1/metasync/leave": 403,
		"/v1/metasync//join": 403, "//v1/metasync/push": 403,
	} {
		req := signedRequest(t, stranger, "stranger1", "POST", p.Snode().IntraControl.URL+path, "x", true)
		if a := send(t, req); a.status != status {
			t.Errorf("%s: %d, want %d: %s", path, a.status, status, a.body)
		}
		// nobody at all may do any of it
		if a := do(t, "POST", p.Snode().IntraControl.URL+path, "x"); a.status != 403 {
			t.Errorf("%s without a caller: %d: %s", path, a.status, a.body)
		}
	}
	// what clients may ask is answered on the intra networks, too; what changes a node is not
	for _, tc := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/v1/health", 200},
		{"GET", "/v1/daemon?what=snode", 200},
		{"PUT", "/v1/daemon", 403},
	} {
		if a := do(t, tc.method, p.Snode().IntraControl.URL+tc.path, `{"action":"rotate-logs"}`); a.status != tc.status {
			t.Errorf("%s %s: %d, want %d: %s", tc.method, tc.path, a.status, tc.status, a.body)
		}
	}
}

// TestPublicRefusesNodes: a signature is of no use on the clients' network.
func TestPublicRefusesNodes(t *testing.T) {
	t.Parallel()
	a, b := newTrusting(t, meta.RoleProxy, "proxy0001", clusterKey), newTrusting(t, meta.RoleProxy, "proxy0002", clusterKey)
	join(t, a, b)
	for _, path := range []string{"/v1/health", "/v1/daemon?what=smap", "/v1/metasync/push", "/v1/cluster/autoreg/x"} {
		answer := send(t, signedRequest(t, a.Trust(), "proxy0001", "POST", b.Snode().Public.URL+path, "", false))
		if e := answer.errorBody(t); e.Status != 403 || !strings.Contains(e.Message, "unexpected intra-cluster header on pub") {
			t.Errorf("%s: %+v", path, e)
		}
	}
	answer := send(t, signedRequest(t, a.Trust(), "proxy0001", "POST", b.Snode().Public.URL+"/v1/cluster/autoreg", "{}", false))
	if strings.Contains(answer.body, "unexpected intra-cluster header") {
		t.Errorf("autoreg: %d %s", answer.status, answer.body)
	}
}

// TestClockSkewIsNamed: a node with a wrong clock learns that this is why.
func TestClockSkewIsNamed(t *testing.T) {
	t.Parallel()
	b := newTrusting(t, meta.RoleTarget, "target001", clusterKey)
	identity, err := trust.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	late := trust.New(trust.Options{NodeID: "proxy0001", Identity: identity, Clock: func() time.Time { return time.Now().Add(-2 * time.Minute) }})
	late.Ring().Set([]trust.Key{clusterKey}, time.Now())
	a := newTestNode(t, meta.RoleProxy, "proxy0001", func(o *Options) { o.Trust = late })
	join(t, a, b)
	withEcho(b)
	_, _, err = a.RPC().Get(context.Background(), b.Snode().IntraControl.URL, "/v1/intra/x")
	var e *apierr.Error
	if !errors.As(err, &e) || e.Status != 403 || e.Code != trust.CodeClockSkew || !strings.Contains(e.Message, "2m0s ago") || !strings.Contains(e.Message, "clocks") {
		t.Errorf("%v", err)
	}
}
