package node

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// TestRegisteredActions: who may ask for what, where it is done, and what is
// answered to what nobody has registered.
func TestRegisteredActions(t *testing.T) {
	t.Parallel()
	primary, other := newTestNode(t, meta.RoleProxy, "proxy0001", nil), newTestNode(t, meta.RoleProxy, "proxy0002", nil)
	target := newTestNode(t, meta.RoleTarget, "target001", nil)
	join(t, primary, other, target)
	for _, n := range []*testNode{primary, other, target} {
		says := func(w http.ResponseWriter, r *http.Request, _ *ActMsg) error { return WriteText(w, r, n.ID()) }
		item := func(w http.ResponseWriter, r *http.Request, items []string) error {
			return WriteText(w, r, n.ID()+" "+r.Method+" "+strings.Join(items, ","))
		}
		n.HandleClusterAction("fly", true, says)
		n.HandleClusterAction("hover", false, says)
		n.HandleClusterItem("wings", []string{"PUT", "DELETE"}, true, item)
		n.HandleDaemonAction("land", Clients, says)
		n.HandleDaemonAction("glide", Nodes, says)
		n.HandleDaemonItem("tail", []string{"POST"}, Clients, item)
		n.HandleDaemonItem("beak", []string{"PUT"}, Nodes, item)
		n.HandleDaemonAction("after-primary", Clients, func(w http.ResponseWriter, r *http.Request, _ *ActMsg) error {
			if err := n.FromPrimary(r); err != nil {
				return err
			}
			return WriteText(w, r, "yes")
		})
	}
	public, intra := other.Snode().Public.URL, target.Snode().IntraControl.URL
	byPrimary, byOther, toTarget := "Ais-Caller-Id: proxy0001", "Ais-Caller-Id: proxy0002", "Ais-Node-Id: target001"
	for _, tc := range []struct {
		name, method, url, body string
		headers                 []string
		status                  int
		want                    string
	}{
		{"on the primary", "PUT", public + "/v1/cluster", `{"action":"fly"}`, nil, 200, "proxy0001"},
		{"on any proxy", "PUT", public + "/v1/cluster", `{"action":"hover"}`, nil, 200, "proxy0002"},
		{"item on the primary", "PUT", public + "/v1/cluster/wings/left/1", ``, nil, 200, "proxy0001 PUT left,1"},
		{"item, wrong method", "POST", public + "/v1/cluster/wings", ``, nil, 405, "Method Not Allowed"},
		{"item, DELETE of a client", "DELETE", public + "/v1/cluster/wings/x", ``, nil, 403, "other nodes"},
		{"item, DELETE of a node", "DELETE", primary.Snode().IntraControl.URL + "/v1/cluster/wings/x", ``, []string{byOther}, 200, "proxy0001 DELETE x"},
		{"node, by reverse", "PUT", public + "/v1/reverse/daemon", `{"action":"land"}`, []string{toTarget}, 200, "target001"},
		{"node item, by reverse", "POST", public + "/v1/reverse/daemon/tail/a", ``, []string{toTarget}, 200, "target001 POST a"},
		{"node item, wrong method", "PUT", public + "/v1/reverse/daemon/tail/a", ``, []string{toTarget}, 405, "Method Not Allowed"},
		{"for nodes, by reverse", "PUT", public + "/v1/reverse/daemon", `{"action":"glide"}`, []string{toTarget}, 403, "other nodes"},
		{"for nodes, of itself", "PUT", public + "/v1/daemon", `{"action":"glide"}`, nil, 403, "other nodes"},
		{"for nodes, item by reverse", "PUT", public + "/v1/reverse/daemon/beak", ``, []string{toTarget}, 403, "other nodes"},
		{"for nodes, by a node", "PUT", intra + "/v1/daemon", `{"action":"glide"}`, []string{byOther}, 200, "target001"},
		{"for nodes, item by a node", "PUT", intra + "/v1/daemon/beak", ``, []string{byOther}, 200, "target001 PUT "},
		{"from the primary", "PUT", intra + "/v1/daemon", `{"action":"after-primary"}`, []string{byPrimary}, 200, "yes"},
		{"from another", "PUT", intra + "/v1/daemon", `{"action":"after-primary"}`, []string{byOther}, 400, "from the primary only"},
		{"passed on by the primary", "PUT", primary.Snode().Public.URL + "/v1/reverse/daemon", `{"action":"after-primary"}`, []string{toTarget}, 400, "from the primary only"},
		{"unknown action of a node", "PUT", intra + "/v1/daemon", `{"action":"swim"}`, []string{byOther}, 400, `invalid action \"swim\"`},
		{"unknown action", "PUT", public + "/v1/cluster", `{"action":"swim"}`, nil, 400, `invalid action \"swim\"`},
		{"unknown item", "PUT", public + "/v1/cluster/fins", ``, nil, 400, "fins"},
		{"unknown item of a node", "PUT", intra + "/v1/daemon/fins", ``, []string{byOther}, 400, "fins"},
		{"known, nobody's", "PUT", public + "/v1/cluster", `{"action":"bump-metasync"}`, nil, 501, "not built yet"},
		{"known item, nobody's", "POST", public + "/v1/cluster/keepalive", ``, nil, 501, "not built yet"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := do(t, tc.method, tc.url, tc.body, tc.headers...)
			if a.status != tc.status || !strings.Contains(a.body, tc.want) {
				t.Errorf("%d %s, want %d with %q", a.status, a.body, tc.status, tc.want)
			}
			if a.status == 405 && a.header.Get("Allow") == "" {
				t.Error("405 without Allow")
			}
		})
	}
}

// TestControlRequestsWhileNotServing: nothing is done before there is a
// cluster, and not on a node that may not serve.
func TestControlRequestsWhileNotServing(t *testing.T) {
	t.Parallel()
	n := newTestNode(t, meta.RoleProxy, "proxy0001", nil)
	done := func(w http.ResponseWriter, _ *http.Request, _ *ActMsg) error { w.WriteHeader(200); return nil }
	n.HandleClusterAction("fly", true, done)
	url := n.Snode().Public.URL + "/v1/cluster"
	expect := func(what string, status int, text string) {
		t.Helper()
		if a := do(t, "PUT", url, `{"action":"fly"}`); a.status != status || !strings.Contains(a.body, text) {
			t.Errorf("%s: %d %s, want %d with %q", what, a.status, a.body, status, text)
		}
	}
	expect("not started", 503, "")
	n.MarkStarted()
	expect("started, no map", 503, "")
	why := "the cluster has another history"
	n.cp.fenced.Store(&why)
	expect("fenced", 503, why)
	n.cp.fenced.Store(nil)
	join(t, n)
	n.cp.joined.Store(false)
	expect("map, not joined", 503, "the cluster is starting")
	n.cp.joined.Store(true)
	expect("serving", 200, "")
}

// TestBroadcastNamesWhoFailed: all nodes are asked, and the error says which
// of them could not do it.
func TestBroadcastNamesWhoFailed(t *testing.T) {
	t.Parallel()
	p1, p2 := newTestNode(t, meta.RoleProxy, "proxy0001", nil), newTestNode(t, meta.RoleProxy, "proxy0002", nil)
	target := newTestNode(t, meta.RoleTarget, "target001", nil)
	smap := join(t, p1, p2, target).Clone()
	url := p2.Snode().Public.URL + "/v1/cluster"
	if a := do(t, "PUT", url, `{"action":"rotate-logs"}`); a.status != 200 || a.body != "" {
		t.Errorf("nodes without log files have nothing to rotate: %d %s", a.status, a.body)
	}
	for _, n := range []*testNode{p2, target} {
		n.HandleDaemonAction("rotate-logs", Clients, func(http.ResponseWriter, *http.Request, *ActMsg) error {
			return apierr.New(507, "", "no space on %s", n.ID())
		})
	}
	e := do(t, "PUT", url, `{"action":"rotate-logs"}`).errorBody(t)
	if e.Status != 507 || !strings.Contains(e.Message, "2 of 3 nodes") || !strings.Contains(e.Message, "no space on proxy0002") || !strings.Contains(e.Message, "no space on target001") {
		t.Errorf("%+v", e)
	}
	dead := *target.Snode()
	dead.IntraControl.URL = "http://127.0.0.1:1"
	smap.Tmap[dead.ID] = &dead
	publish(smap.Freeze(), p1, p2)
	e = do(t, "PUT", url, `{"action":"rotate-logs"}`).errorBody(t)
	if e.Status != 503 || !strings.Contains(e.Message, "t[target001]") || !strings.Contains(e.Message, "p[proxy0002]") {
		t.Errorf("one that fails, one that is gone: %+v", e)
	}
	p2.HandleDaemonAction("rotate-logs", Clients, func(http.ResponseWriter, *http.Request, *ActMsg) error { return nil })
	out := smap.Clone()
	away := dead
	away.Flags = meta.FlagMaintenance
	out.Tmap[away.ID] = &away
	publish(out.Freeze(), p1, p2)
	if a := do(t, "PUT", url, `{"action":"rotate-logs"}`); a.status != 200 {
		t.Errorf("a node that is shut down in maintenance need not answer: %d %s", a.status, a.body)
	}
}

func TestClusterWideActions(t *testing.T) {
	t.Parallel()
	p1, p2 := newTestNode(t, meta.RoleProxy, "proxy0001", nil), newTestNode(t, meta.RoleProxy, "proxy0002", nil)
	target := newTestNode(t, meta.RoleTarget, "target001", nil)
	join(t, p1, p2, target)
	url := p2.Snode().Public.URL + "/v1/cluster"
	for _, tc := range []struct {
		path, body string
		status     int
		want       string
	}{
		{"", `{"action":"reset-stats","value":true}`, 200, ""},
		{"", `{"action":"reset-stats","value":false}`, 200, ""},
		{"", `{"action":"reset-stats","value":"yes"}`, 400, "expected true"},
		{"", `{"action":"reset-stats","value":1}`, 400, "expected true"},
		{"", `{"action":"reset-stats","value":null}`, 400, "expected true"},
		{"", `{"action":"reset-stats"}`, 400, "expected true"},
		{"", `{"action":"reload-creds"}`, 400, "no cloud provider is configured"},
		{"", `{"action":"reload-creds","name":"s3"}`, 400, `\"aws\" is not configured`},
		{"", `{"action":"reload-creds","name":"ais"}`, 400, "is not a cloud provider"},
		{"", `{"action":"reload-creds","name":"tape"}`, 400, "invalid backend provider"},
		{"/enable-bend/gs", ``, 400, `\"gcp\" is not configured`},
		{"/disable-bend/aws", ``, 400, `\"aws\" is not configured`},
		{"/enable-bend/ais", ``, 400, "is not a cloud provider"},
		{"/enable-bend", ``, 400, "the provider is missing"},
		{"/load-x509", ``, 400, "does not use HTTPS"},
		{"/load-x509/target001", ``, 400, "t[target001] does not use HTTPS"},
		{"/load-x509/nobody001", ``, 404, "errNodeNotFound"},
		{"/load-x509/a/b", ``, 400, "expected"},
	} {
		if a := do(t, "PUT", url+tc.path, tc.body); a.status != tc.status || !strings.Contains(a.body, tc.want) {
			t.Errorf("%s %s: %d %s, want %d with %q", tc.path, tc.body, a.status, a.body, tc.status, tc.want)
		}
	}
}

// TestClearingMetadata: of all targets, of one by its id, and of one bucket.
func TestClearingMetadata(t *testing.T) {
	t.Parallel()
	proxy := newTestNode(t, meta.RoleProxy, "proxy0001", nil)
	t1, t2 := newTestNode(t, meta.RoleTarget, "target001", nil), newTestNode(t, meta.RoleTarget, "target002", nil)
	smap := join(t, proxy, t1, t2)
	b, ns := wire.Bck{Name: "b", Provider: wire.ProviderAIS}, wire.Bck{Name: "b", Provider: wire.ProviderAIS, Ns: wire.Ns{Name: "ns"}}
	bmd := meta.NewBMD(smap.UUID, 13, meta.BucketEntry{Bck: b, Props: &meta.Bprops{}}, meta.BucketEntry{Bck: ns, Props: &meta.Bprops{}})
	var mu sync.Mutex
	var cleared []string
	for _, n := range []*testNode{proxy, t1, t2} {
		view := *n.View()
		view.BMD = bmd
		n.cp.view.Store(&view)
		n.OnClearMetadata(func(_ context.Context, bck *wire.Bck) error {
			what := "all"
			if bck != nil {
				what = bck.String()
			}
			mu.Lock()
			defer mu.Unlock()
			cleared = append(cleared, n.ID()+" "+what)
			return nil
		})
	}
	cluster, daemon := proxy.Snode().Public.URL+"/v1/cluster", proxy.Snode().Public.URL+"/v1/reverse/daemon"
	for _, tc := range []struct {
		url, name string
		status    int
		want      string
	}{
		{cluster, ``, 200, "target001 all target002 all"},
		{cluster, `target002`, 200, "target002 all"},
		{cluster, `b`, 200, "target001 ais://b target002 ais://b"},
		{cluster, `ais://#ns/b`, 200, "target001 ais://#ns/b target002 ais://#ns/b"},
		{cluster, `nob`, 404, `bucket \"ais://nob\" does not exist`},
		{cluster, `proxy0001`, 404, "does not exist"},
		{cluster, `ais://b/o`, 400, "bucket name is invalid"},
		{daemon, ``, 200, "target001 all"},
		{daemon, `target001`, 200, "target001 all"},
		{daemon, `ais://b`, 200, "target001 ais://b"},
		{daemon, `target002`, 404, "does not exist"},
	} {
		cleared = nil
		a := do(t, "PUT", tc.url, `{"action":"clear-lcache","name":"`+tc.name+`"}`, wire.HeaderNodeID+": target001")
		slices.Sort(cleared)
		if got := strings.Join(cleared, " ") + a.body; a.status != tc.status || tc.status == 200 && got != tc.want || !strings.Contains(got, tc.want) {
			t.Errorf("%s %q: %d %s, want %d with %q", tc.url, tc.name, a.status, got, tc.status, tc.want)
		}
	}
}
