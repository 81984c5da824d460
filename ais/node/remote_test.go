package node

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

func attach(t *testing.T, n *testNode, alias, url string) answer {
	t.Helper()
	return do(t, "PUT", n.Snode().Public.URL+"/v1/cluster/attach?what=remote", "", "Ais-Remote-Ais-Alias: "+alias, "Ais-Remote-Ais-Url: "+url)
}

func detach(t *testing.T, n *testNode, alias string) answer {
	t.Helper()
	return do(t, "PUT", n.Snode().Public.URL+"/v1/cluster/detach?what=remote", "", "Ais-Remote-Ais-Alias: "+alias)
}

// attachedTo is what the configuration says.
func attachedTo(t *testing.T, n *testNode) string {
	t.Helper()
	return string(n.View().Config.Backend["ais"])
}

// anotherCluster is a proxy of a cluster with the given UUID.
func anotherCluster(t *testing.T, id, uuid string) *testNode {
	t.Helper()
	n := newTestNode(t, meta.RoleProxy, id, nil)
	smap := join(t, n).Clone()
	smap.UUID = uuid
	publish(smap.Freeze(), n)
	return n
}

func TestRemoteClusters(t *testing.T) {
	t.Parallel()
	p1, p2 := newTestNode(t, meta.RoleProxy, "proxy0001", nil), newTestNode(t, meta.RoleProxy, "proxy0002", nil)
	target := newTestNode(t, meta.RoleTarget, "target001", nil)
	smap := join(t, p1, p2, target)
	there := anotherCluster(t, "proxy0009", "remoteUuid99")
	const offline = "http://127.0.0.1:1"
	online := there.Snode().Public.URL

	expect := func(what string, a answer, status int, text string) {
		t.Helper()
		if a.status != status || !strings.Contains(a.body, text) {
			t.Errorf("%s: %d %s, want %d with %q", what, a.status, a.body, status, text)
		}
	}
	expect("detach before there is any", detach(t, p2, "teamA"), 400, "no remote cluster is attached")
	for _, alias := range []string{"", "x", strings.Repeat("a", 65), "what", "a..b", "a b", "a/b", "ä1"} {
		if a := attach(t, p2, alias, online); a.status != 400 {
			t.Errorf("alias %q: %d %s", alias, a.status, a.body)
		}
	}
	for _, url := range []string{"", "127.0.0.1:8080", "ftp://127.0.0.1:8080", "http://", "http://u:p@h:1", "http://h:1/v1", "http://h:1?x=y", "http://%zz"} {
		if a := attach(t, p2, "teamA", url); a.status != 400 {
			t.Errorf("URL %q: %d %s", url, a.status, a.body)
		}
	}
	for _, query := range []string{"", "?what=", "?what=smap"} {
		a := do(t, "PUT", p2.Snode().Public.URL+"/v1/cluster/attach"+query, "", "Ais-Remote-Ais-Alias: teamA", "Ais-Remote-Ais-Url: "+online)
		expect("attach"+query, a, 400, "what")
	}
	expect("itself", attach(t, p1, "self", p1.Snode().Public.URL), 400, "is this cluster")
	if got := attachedTo(t, p1); got != "" {
		t.Fatalf("refused, and yet attached: %s", got)
	}

	expect("attach by way of any proxy", attach(t, p2, "teamA", online+"/"), 200, "")
	version := p1.View().Config.Version
	expect("again", attach(t, p2, "teamA", online), 200, "")
	if got := p1.View().Config.Version; got != version {
		t.Errorf("the same again makes version %d of %d", got, version)
	}
	expect("alias of another URL", attach(t, p2, "teamA", offline), 400, "is taken")
	expect("a UUID as alias", attach(t, p2, "remoteUuid99", offline), 400, "UUID of the attached cluster")
	expect("offline", attach(t, p2, "away", offline), 200, "")
	expect("another alias of the same cluster", attach(t, p2, "teamB", online), 200, "")
	if got, want := attachedTo(t, p1), `{"away":["`+offline+`"],"teamB":["`+online+`"]}`; got != want {
		t.Errorf("attached %s, want %s", got, want)
	}

	// the target gets the configuration and knows who they are
	conf := p1.View().Config
	target.cp.view.Store(&meta.View{Smap: smap, Config: conf})
	target.live.SetCluster(conf.Cluster)
	ask := func(n *testNode, path string) (v wire.RemoteClusters[*meta.Smap]) {
		t.Helper()
		get(t, n.Snode().Public.URL+path, &v)
		return v
	}
	eventually(t, "the target resolves the alias by itself", func() bool {
		v := ask(target, "/v1/daemon?what=remote")
		return len(v.Clusters) == 2 && v.Clusters[1].UUID == "remoteUuid99"
	})
	v := ask(target, "/v1/daemon?what=remote")
	if v.Version != conf.Version || v.Clusters[0].Alias != "away" || v.Clusters[0].UUID != "defunct" || v.Clusters[1].Smap != nil || v.Clusters[1].URL != online {
		t.Errorf("from memory: %+v", v)
	}
	v = ask(p2, "/v1/cluster?what=remote")
	if len(v.Clusters) != 2 || v.Version != 0 {
		t.Fatalf("of the cluster: %+v", v)
	}
	if c := v.Clusters[0]; c.Alias != "away" || c.UUID != "defunct" || c.Smap != nil || c.URL != "["+offline+"]" {
		t.Errorf("offline: %+v", c)
	}
	if c := v.Clusters[1]; c.Alias != "teamB" || c.UUID != "remoteUuid99" || c.Smap == nil || c.Smap.Primary.ID != "proxy0009" || c.URL != online {
		t.Errorf("online: %+v", c)
	}

	expect("detach an unknown one", detach(t, p2, "teamA"), 404, "not attached")
	expect("detach", detach(t, p2, "teamB"), 200, "")
	expect("detach", detach(t, p2, "away"), 200, "")
	expect("detach when there is none", detach(t, p2, "away"), 400, "no remote cluster is attached")
	if _, there := p1.View().Config.Backend["ais"]; there {
		t.Errorf("left over: %s", attachedTo(t, p1))
	}

	publish(testSmap(t, 8, p1, p2), p1, p2)
	expect("no target to ask", do(t, "GET", p2.Snode().Public.URL+"/v1/cluster?what=remote", ""), 400, "no active target")
}

func TestRemoteClustersAreLimited(t *testing.T) {
	t.Parallel()
	p := newTestNode(t, meta.RoleProxy, "proxy0001", nil)
	join(t, p)
	clusters := map[string][]string{}
	for i := range maxRemotes {
		clusters["c"+strings.Repeat("x", i+1)] = []string{"http://127.0.0.1:1"}
	}
	conf := config.DefaultCluster()
	conf.Version = 1
	raw, err := json.Marshal(clusters)
	if err != nil {
		t.Fatal(err)
	}
	conf.Backend["ais"] = raw
	view := *p.View()
	view.Config = &meta.Config{Cluster: conf}
	p.cp.view.Store(&view)
	if a := attach(t, p, "one-more", "http://127.0.0.1:1"); a.status != http.StatusBadRequest || !strings.Contains(a.body, "64 already") {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestReadyToBeJoined(t *testing.T) {
	t.Parallel()
	p1, p2 := newTestNode(t, meta.RoleProxy, "proxy0001", nil), newTestNode(t, meta.RoleProxy, "proxy0002", nil)
	t1, t2 := newTestNode(t, meta.RoleTarget, "target001", nil), newTestNode(t, meta.RoleTarget, "target002", nil)
	join(t, p1, p2, t1)
	ask := func(n *testNode) answer {
		return do(t, "GET", n.Snode().Public.URL+"/v1/daemon?what=smap", "", "Ais-Ready-Join-Clu: true")
	}
	if a := ask(p1); a.status != 200 || !strings.Contains(a.body, `"version":"7"`) {
		t.Errorf("one target: %d %s", a.status, a.body)
	}
	if a := ask(p2); a.status != 400 || !strings.Contains(a.body, "is not primary") {
		t.Errorf("not primary: %d %s", a.status, a.body)
	}
	join(t, p1, p2, t1, t2)
	if a := ask(p1); a.status != 400 || !strings.Contains(a.body, "rebalance") {
		t.Errorf("two targets: %d %s", a.status, a.body)
	}
	p1.cp.joined.Store(false)
	if a := ask(p1); a.status != 400 || !strings.Contains(a.body, "ready") {
		t.Errorf("starting: %d %s", a.status, a.body)
	}
}

func TestClusterMeta(t *testing.T) {
	t.Parallel()
	p1, target := newTestNode(t, meta.RoleProxy, "proxy0001", nil), newTestNode(t, meta.RoleTarget, "target001", nil)
	join(t, p1, target)
	for n, path := range map[*testNode]string{p1: "/v1/cluster", target: "/v1/daemon"} {
		var cm struct {
			Smap, BMD struct{ Version string }
			Config    struct {
				Version string `json:"config_version"`
			}
			Snode struct {
				ID string `json:"daemon_id"`
			} `json:"si"`
			PrimeTime int64 `json:"prime_time"`
			Flags     int
		}
		get(t, n.Snode().Public.URL+path+"?what=smapvote", &cm)
		if cm.Smap.Version != "7" || cm.BMD.Version != "12" || cm.Config.Version != "3" || cm.Snode.ID != n.ID() || cm.Flags != 6 || (cm.PrimeTime != 0) != (n == p1) {
			t.Errorf("%s: %+v", n.Name(), cm)
		}
	}
}
