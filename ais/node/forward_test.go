package node

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// withBuckets registers a control handler that answers with who it is and
// what it was sent.
func withBuckets(n *testNode) *atomic.Int32 {
	var calls atomic.Int32
	n.Public(wire.PathBuckets, []string{"POST", "PUT"}, func(w http.ResponseWriter, r *http.Request) error {
		return n.OnPrimary(w, r, func(w http.ResponseWriter, r *http.Request) error {
			calls.Add(1)
			if _, ok := r.Context().Deadline(); !ok {
				return errors.New("no deadline")
			}
			body, err := ReadBody(r, 64<<20)
			if err != nil {
				return err
			}
			if strings.HasPrefix(string(body), "fail") {
				return apierr.New(409, wire.CodeBucketExists, "bucket %q already exists", "ais://b")
			}
			w.Header().Set("X-Own", "yes")
			return WriteText(w, r, fmt.Sprintf("%s %s?%s %d %s", n.Name(), r.URL.Path, r.URL.RawQuery, len(body), r.Header.Get("Authorization")))
		})
	})
	return &calls
}

func TestForwardToPrimary(t *testing.T) {
	t.Parallel()
	p1, p2 := newTestNode(t, meta.RoleProxy, "proxy0001", nil), newTestNode(t, meta.RoleProxy, "proxy0002", nil)
	join(t, p1, p2)
	withBuckets(p1)
	calls2 := withBuckets(p2)
	big := strings.Repeat("x", 3<<20)
	for _, n := range []*testNode{p1, p2} {
		a := do(t, "POST", n.Snode().Public.URL+"/v1/buckets/a%20b?provider=ais", big, "Authorization: Bearer abc")
		if want := fmt.Sprintf("p[proxy0001] /v1/buckets/a b?provider=ais %d Bearer abc", len(big)); a.status != 200 || a.body != want || a.header.Get("X-Own") != "yes" {
			t.Errorf("by %s: %d %q %v, want %q", n.Name(), a.status, a.body, a.header, want)
		}
	}
	e := do(t, "POST", p2.Snode().Public.URL+"/v1/buckets/b", "fail").errorBody(t)
	if e.Status != 409 || e.TypeCode != wire.CodeBucketExists || e.Node != "p[proxy0001]" || e.Caller != "p[proxy0002]" {
		t.Errorf("the primary's error comes back as %+v", e)
	}
	if calls2.Load() != 0 {
		t.Error("handled by a proxy that is not primary")
	}
	if a := do(t, "POST", p2.Snode().Public.URL+"/v1/buckets/b", strings.Repeat("x", 17<<20)); a.status != 413 {
		t.Errorf("oversized body: %d", a.status)
	}
	if e := do(t, "POST", p2.Snode().IntraControl.URL+"/v1/buckets/b", "x", "Ais-Caller-Id: proxy0001").errorBody(t); e.TypeCode != wire.CodeNotPrimary || e.Status != 400 {
		t.Errorf("forwarded to a proxy that is not primary: %+v", e)
	}
}

func TestForwardFollowsLeaderChange(t *testing.T) {
	t.Parallel()
	dead := newTestNode(t, meta.RoleProxy, "proxy0000", nil)
	p1, p2, p3 := newTestNode(t, meta.RoleProxy, "proxy0001", nil), newTestNode(t, meta.RoleProxy, "proxy0002", nil), newTestNode(t, meta.RoleProxy, "proxy0003", nil)
	join(t, dead, p1, p2, p3)
	for _, n := range []*testNode{p1, p2, p3} {
		withBuckets(n)
	}
	unreachable := testSmap(t, 8, dead, p1, p2, p3)
	gone := *dead.Snode()
	gone.IntraControl.URL = "http://127.0.0.1:1"
	unreachable.Pmap[gone.ID], unreachable.Primary = &gone, &gone
	for _, tc := range []struct {
		name   string
		before *meta.Smap
		sender *testNode
	}{
		{"primary is dead", unreachable.Freeze(), p3},
		{"primary does not know that it is", testSmap(t, 9, p1, p2, p3, dead), p3},
		{"sender is to be primary and does not know", testSmap(t, 10, p2, p1, p3, dead), p2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			publish(tc.before, p1, p2, p3)
			for _, n := range []*testNode{p1, p2, p3} {
				n.cp.primary.Store(false)
			}
			got := make(chan answer, 1)
			go func() {
				got <- do(t, "POST", tc.sender.Snode().Public.URL+"/v1/buckets/b", "body")
			}()
			select {
			case a := <-got:
				t.Fatalf("answered without a primary: %+v", a)
			case <-time.After(150 * time.Millisecond):
			}
			publish(testSmap(t, 100, p2, p1, p3, dead), p1, p2, p3)
			if a := <-got; a.status != 200 || a.body != "p[proxy0002] /v1/buckets/b? 4 " {
				t.Errorf("%d %q", a.status, a.body)
			}
		})
	}
}

func TestPrimaryLosesItsRoleMeanwhile(t *testing.T) {
	t.Parallel()
	p1, p2 := newTestNode(t, meta.RoleProxy, "proxy0001", nil), newTestNode(t, meta.RoleProxy, "proxy0002", nil)
	join(t, p1, p2)
	withBuckets(p2)
	p1.Public(wire.PathBuckets, []string{"POST"}, func(w http.ResponseWriter, r *http.Request) error {
		return p1.OnPrimary(w, r, func(_ http.ResponseWriter, r *http.Request) error {
			if body, err := io.ReadAll(r.Body); err != nil || string(body) != "body" {
				t.Errorf("body %q, %v", body, err)
			}
			publish(testSmap(t, 108, p2, p1), p1, p2)
			return fmt.Errorf("commit: %w", apierr.New(400, wire.CodeNotPrimary, "lost it"))
		})
	})
	if a := do(t, "POST", p1.Snode().Public.URL+"/v1/buckets/b", "body"); a.status != 200 || !strings.HasPrefix(a.body, "p[proxy0002]") {
		t.Errorf("%d %q", a.status, a.body)
	}
}

// A primary that was stopped (SIGSTOP) has the request and says nothing.
func TestForwardLeavesAPrimaryThatHangs(t *testing.T) {
	t.Parallel()
	p1, p2, p3 := newTestNode(t, meta.RoleProxy, "proxy0001", nil), newTestNode(t, meta.RoleProxy, "proxy0002", nil), newTestNode(t, meta.RoleProxy, "proxy0003", nil)
	join(t, p1, p2, p3)
	withBuckets(p2)
	withBuckets(p3)
	ids := make(chan string, 2)
	p1.Public(wire.PathBuckets, []string{"POST"}, func(w http.ResponseWriter, r *http.Request) error {
		return p1.OnPrimary(w, r, func(_ http.ResponseWriter, r *http.Request) error {
			ids <- meta.CommandID(r.Context())
			publish(testSmap(t, 108, p2, p1, p3), p1, p2, p3)
			<-r.Context().Done()
			return r.Context().Err()
		})
	})
	began := time.Now()
	if a := do(t, "POST", p3.Snode().Public.URL+"/v1/buckets/b", "body"); a.status != 200 || !strings.HasPrefix(a.body, "p[proxy0002]") {
		t.Errorf("%d %q", a.status, a.body)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
	if id := <-ids; id == "" {
		t.Error("the request had no id: it could be done twice")
	}
}

func TestForwardWithoutPrimary(t *testing.T) {
	t.Parallel()
	n := newTestNode(t, meta.RoleProxy, "proxy0001", func(o *Options) { o.Limits.ControlTimeout = 200 * time.Millisecond })
	calls := withBuckets(n)
	join(t, n)
	n.cp.primary.Store(false)
	a := do(t, "POST", n.Snode().Public.URL+"/v1/buckets/b", "body")
	if e := a.errorBody(t); e.Status != 503 || !strings.Contains(e.Message, "no primary proxy answered") || a.header.Get("Retry-After") != "5" {
		t.Errorf("%+v %v", e, a.header)
	}
	if calls.Load() != 0 {
		t.Error("handled without being primary")
	}
}

func TestErrorOfTheHandlerIsNotRetried(t *testing.T) {
	t.Parallel()
	n := newTestNode(t, meta.RoleProxy, "proxy0001", nil)
	join(t, n)
	calls := 0
	n.Public(wire.PathBuckets, []string{"POST"}, func(w http.ResponseWriter, r *http.Request) error {
		return n.OnPrimary(w, r, func(_ http.ResponseWriter, r *http.Request) error {
			calls++
			_, err := n.RPC().Call(r.Context(), "http://127.0.0.1:1", "/v1/x", nil, "")
			return err
		})
	})
	if e := do(t, "POST", n.Snode().Public.URL+"/v1/buckets/b", "x").errorBody(t); e.Status != 503 || calls != 1 {
		t.Errorf("%+v after %d calls", e, calls)
	}
}

func TestStoppingPrimaryPassesOn(t *testing.T) {
	t.Parallel()
	p1, p2 := newTestNode(t, meta.RoleProxy, "proxy0001", nil), newTestNode(t, meta.RoleProxy, "proxy0002", nil)
	join(t, p1, p2)
	withBuckets(p1)
	withBuckets(p2)
	p1.phase.Store(phaseStopping) // has its listeners still open
	got := make(chan answer, 1)
	go func() { got <- do(t, "POST", p2.Snode().Public.URL+"/v1/buckets/b", "body") }()
	select {
	case a := <-got:
		t.Fatalf("answered by a primary that stops: %+v", a)
	case <-time.After(150 * time.Millisecond):
	}
	if a := do(t, "POST", p1.Snode().Public.URL+"/v1/buckets/b", "body"); a.status != 503 || a.header.Get("Retry-After") == "" {
		t.Errorf("asked directly: %+v", a)
	}
	publish(testSmap(t, 107, p2, p1), p1, p2)
	if a := <-got; a.status != 200 || !strings.HasPrefix(a.body, "p[proxy0002]") {
		t.Errorf("%+v", a)
	}
	p1.phase.Store(phaseStarted)
}

func TestReverse(t *testing.T) {
	t.Parallel()
	p1, p2 := newTestNode(t, meta.RoleProxy, "proxy0001", nil), newTestNode(t, meta.RoleProxy, "proxy0002", nil)
	target, away := newTestNode(t, meta.RoleTarget, "target001", nil), newTestNode(t, meta.RoleTarget, "target002", nil)
	target.SetStatusSource(fakeDisks{})
	smap := join(t, p1, p2, target, away).Clone()
	maintained, dead := *away.Snode(), *away.Snode()
	maintained.Flags = meta.FlagMaintenance
	dead.ID, dead.IntraControl.URL = "target666", "http://127.0.0.1:1"
	decommissioned := maintained
	decommissioned.ID, decommissioned.Flags = "target003", meta.FlagDecommission
	smap.Tmap[maintained.ID], smap.Tmap[dead.ID], smap.Tmap[decommissioned.ID] = &maintained, &dead, &decommissioned
	publish(smap.Freeze(), p1, p2, target, away)
	for _, tc := range []struct {
		name, method, path, node, body string
		status                         int
		part                           string // of the body; "" wants an empty one
		code                           string
	}{
		{"self", "GET", "/daemon?what=snode", "proxy0002", "", 200, `"daemon_id":"proxy0002"`, ""},
		{"target", "GET", "/daemon?what=mountpaths", "target001", "", 200, `"/mp1"`, ""},
		{"target, trailing slash", "GET", "/daemon/?what=mountpaths", "target001", "", 200, `"/mp1"`, ""},
		{"another proxy", "GET", "/daemon?what=snode", "proxy0001", "", 200, `"daemon_id":"proxy0001"`, ""},
		{"action", "PUT", "/daemon", "target001", `{"action":"reset-stats","value":true}`, 200, "", ""},
		{"item", "DELETE", "/daemon/mountpaths", "target001", `{}`, 501, "is not built yet", wire.CodeNotImplemented},
		{"the node's own error", "GET", "/daemon?what=nonsense", "target001", "", 400, "t[target001]", ""},
		{"not daemon", "GET", "/cluster?what=smap", "target001", "", 400, "invalid path", ""},
		{"nothing", "GET", "", "target001", "", 400, "invalid path", ""},
		{"no header", "GET", "/daemon?what=smap", "", "", 400, "Ais-Node-Id", ""},
		{"unknown node", "GET", "/daemon?what=smap", "target404", "", 404, "non-primary, ", "errNodeNotFound"},
		{"maintenance", "GET", "/daemon?what=node_status", "target002", "", 200, `"status":"maintenance"`, ""},
		{"decommission", "GET", "/daemon?what=node_status", "target003", "", 200, `"status":"decommission"`, ""},
		{"maintenance, else", "GET", "/daemon?what=snode", "target002", "", 200, `"daemon_id":"target002"`, ""},
		{"unreachable", "GET", "/daemon?what=smap", "target666", "", 502, "", ""},
		{"method", "PATCH", "/daemon", "target001", "", 405, "Method Not Allowed\n", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var headers []string
			if tc.node != "" {
				headers = []string{"Ais-Node-Id: " + tc.node}
			}
			a := do(t, tc.method, p2.Snode().Public.URL+"/v1/reverse"+tc.path, tc.body, headers...)
			if a.status != tc.status || !strings.Contains(a.body, tc.part) || tc.part == "" && a.body != "" {
				t.Fatalf("%d %q, want %d with %q", a.status, a.body, tc.status, tc.part)
			}
			if tc.code != "" {
				if e := a.errorBody(t); e.TypeCode != tc.code {
					t.Errorf("code %q, want %q", e.TypeCode, tc.code)
				}
			}
		})
	}
	if e := do(t, "GET", p1.Snode().Public.URL+"/v1/reverse/daemon?what=smap", "", "Ais-Node-Id: target404").errorBody(t); strings.Contains(e.Message, "non-primary") {
		t.Errorf("the primary says %q", e.Message)
	}
}

// TestNoPrimaryIsAnsweredEarly: where it is plain that there is no majority, a
// client does not wait for the whole time.
func TestNoPrimaryIsAnsweredEarly(t *testing.T) {
	t.Parallel()
	p := newTestNode(t, meta.RoleProxy, "proxy0001", nil)
	join(t, p)
	withBuckets(p)
	p.cp.primary.Store(false)
	p.cp.leaderless.Store(true)
	began := time.Now()
	e := do(t, "POST", p.Snode().Public.URL+"/v1/buckets/b", "x").errorBody(t)
	if e.Status != 503 || !strings.Contains(e.Message, "no majority of the voters can be reached") {
		t.Errorf("answer %+v", e)
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("answered after %s", took)
	}
}

// TestRequestIDTravels: all attempts at one request carry one id, and a client
// cannot choose it.
func TestRequestIDTravels(t *testing.T) {
	t.Parallel()
	p1, p2 := newTestNode(t, meta.RoleProxy, "proxy0001", nil), newTestNode(t, meta.RoleProxy, "proxy0002", nil)
	join(t, p1, p2)
	ids := make(chan string, 10)
	var refusals atomic.Int32
	for _, n := range []*testNode{p1, p2} {
		n.Public(wire.PathBuckets, []string{"POST"}, func(w http.ResponseWriter, r *http.Request) error {
			return n.OnPrimary(w, r, func(w http.ResponseWriter, r *http.Request) error {
				ids <- meta.CommandID(r.Context())
				if refusals.Add(1)%2 == 1 { // a primary that steps down meanwhile
					return apierr.New(503, wire.CodeNotPrimary, "not any more")
				}
				return WriteText(w, r, meta.NextCommandID(r.Context()))
			})
		})
	}
	seen := map[string]bool{"": true, "chosen": true}
	for _, n := range []*testNode{p1, p2} {
		a := do(t, "POST", n.Snode().Public.URL+"/v1/buckets/b", "x", "Ais-Request-Id: chosen")
		first, second := <-ids, <-ids
		if a.status != 200 || first != second || a.body != first || seen[first] {
			t.Errorf("by %s: %d %q, ids %q and %q", n.Name(), a.status, a.body, first, second)
		}
		seen[first] = true
	}
}

// TestAnswerNamesLaggingNodes: who makes a change learns which nodes do not
// have it yet, also through another proxy.
func TestAnswerNamesLaggingNodes(t *testing.T) {
	t.Parallel()
	p1, p2 := newTestNode(t, meta.RoleProxy, "proxy0001", nil), newTestNode(t, meta.RoleProxy, "proxy0002", nil)
	join(t, p1, p2)
	withBuckets(p1)
	withBuckets(p2)
	for _, ids := range [][]string{nil, {"proxy0002"}, {"proxy0002", "target001"}} {
		p1.cp.lagging.Store(&ids)
		for _, n := range []*testNode{p1, p2} {
			a := do(t, "POST", n.Snode().Public.URL+"/v1/buckets/b", "x")
			if got, want := a.header.Get("Ais-Lagging"), strings.Join(ids, ","); a.status != 200 || got != want {
				t.Errorf("by %s: %d, lagging %q, want %q", n.Name(), a.status, got, want)
			}
		}
	}
}
