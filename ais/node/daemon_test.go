package node

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/cmn/logging"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// fakeDisks is what a target with one mountpath tells.
type fakeDisks struct{ alerts wire.NodeFlags }

func (fakeDisks) Capacity() wire.Capacity {
	return wire.Capacity{
		Mountpaths: map[string]*wire.CDF{"/mp1": {Disks: []string{"sda"}, Used: 25, Avail: 75, PctUsed: 25}},
		TotalUsed:  25, TotalAvail: 75, PctMax: 25, PctAvg: 25, PctMin: 25,
	}
}
func (fakeDisks) Mountpaths() wire.MountpathList {
	return wire.MountpathList{Available: []string{"/mp1"}}
}
func (fakeDisks) Disks() map[string]wire.DiskStats {
	return map[string]wire.DiskStats{"sda": {Util: 3}}
}
func (f fakeDisks) Alerts() wire.NodeFlags { return f.alerts }

// get decodes a JSON answer into dst and checks its form.
func get(t *testing.T, url string, dst any, headers ...string) answer {
	t.Helper()
	a := do(t, "GET", url, "", headers...)
	if a.status != 200 {
		t.Fatalf("GET %s: %d %s", url, a.status, a.body)
	}
	if got := a.header.Get("Content-Type"); got != wire.ContentJSONUTF8 {
		t.Errorf("GET %s: Content-Type %q", url, got)
	}
	if a.header.Get("Content-Length") == "" || !strings.HasSuffix(a.body, "\n") || strings.Count(a.body, "\n") != 1 {
		t.Errorf("GET %s: not one line with a length: %q", url, a.body)
	}
	if err := json.Unmarshal([]byte(a.body), dst); err != nil {
		t.Fatalf("GET %s: %v in %s", url, err, a.body)
	}
	return a
}

type object = map[string]any

func TestDaemonQueries(t *testing.T) {
	t.Parallel()
	proxy := newTestNode(t, meta.RoleProxy, "proxy0001", nil)
	target := newTestNode(t, meta.RoleTarget, "target001", func(o *Options) {
		o.Local.TestFSPaths = config.TestFSPaths{Root: "/tmp/ais", Count: 1}
	})
	target.SetStatusSource(fakeDisks{})
	join(t, proxy, target)
	for _, n := range []*testNode{proxy, target} {
		url := n.Snode().Public.URL + "/v1/daemon?what="
		var doc object
		get(t, url+"smap", &doc)
		if doc["version"] != "7" || doc["proxy_si"].(object)["daemon_id"] != "proxy0001" {
			t.Errorf("%s: smap %v", n.Name(), doc)
		}
		get(t, url+"bmd", &doc)
		if doc["version"] != "12" {
			t.Errorf("%s: bmd %v", n.Name(), doc)
		}
		clear(doc)
		get(t, url+"config", &doc)
		for _, key := range []string{"confdir", "log_dir", "host_net", "mirror", "log", "features", "config_version", "uuid"} {
			if _, ok := doc[key]; !ok {
				t.Errorf("%s: config has no %q: %v", n.Name(), key, slices.Sorted(maps.Keys(doc)))
			}
		}
		clear(doc)
		get(t, url+"snode", &doc)
		if doc["daemon_id"] != n.ID() || doc["daemon_type"] != n.Role() {
			t.Errorf("%s: snode %v", n.Name(), doc)
		}
		clear(doc)
		get(t, url+"node_stats", &doc)
		if doc["tracker"].(object)["up.ns.time"].(object)["v"] == "0" || doc["snode"].(object)["daemon_id"] != n.ID() {
			t.Errorf("%s: node_stats %v", n.Name(), doc)
		}
		if got := doc["tracker"].(object)["state.flags"].(object)["v"]; got != "6" {
			t.Errorf("%s: state.flags %v", n.Name(), got)
		}
		var status struct {
			Version     string `json:"ais_version"`
			Status      *string
			Deployment  string
			BuildTime   string             `json:"build_time"`
			SmapVersion string             `json:"smap_version"`
			Cluster     wire.NodeStateInfo `json:"cluster"`
			SysInfo     wire.MemCPU        `json:"sys_info"`
			Capacity    object
		}
		get(t, url+"node_status", &status)
		if status.Version != "5.0.1a2b3c4" || status.SmapVersion != "7" || status.Cluster.Flags != wire.NodeHealthy ||
			status.Status == nil || *status.Status != "" || status.SysInfo.MemAvail == 0 || status.BuildTime == "" {
			t.Errorf("%s: node_status %+v", n.Name(), status)
		}
		if isTarget := n == target; isTarget != (status.Deployment == "dev") || isTarget != (status.Capacity["total_used"] == "25") {
			t.Errorf("%s: deployment %q, capacity %v", n.Name(), status.Deployment, status.Capacity)
		}
		var kinds map[string]string
		get(t, url+"metrics", &kinds)
		if kinds["get.n"] != "counter" || kinds["state.flags"] != "gauge" {
			t.Errorf("%s: metrics %v", n.Name(), kinds)
		}
		clear(doc)
		get(t, url+"sysinfo", &doc)
		if _, ok := doc["fs_used"]; ok != (n == target) || doc["mem_avail"] == nil {
			t.Errorf("%s: sysinfo %v", n.Name(), doc)
		}
		if a := do(t, "GET", url+"software_version", ""); a.body != "5.0.1a2b3c4" || a.header.Get("Content-Type") != wire.ContentTextUTF8 {
			t.Errorf("%s: software_version %q", n.Name(), a.body)
		}
		for what, want := range map[string]int{"": 400, "nonsense": 400, "tls_certificate": 404, "log": 404} {
			if e := do(t, "GET", url+what, "").errorBody(t); e.Status != want {
				t.Errorf("%s: what=%s: %+v, want %d", n.Name(), what, e, want)
			}
		}
		if a := do(t, "GET", n.Snode().Public.URL+"/metrics", ""); a.status != 200 || !strings.Contains(a.body, "state_flags") {
			t.Errorf("%s: /metrics: %d", n.Name(), a.status)
		}
	}
}

func TestTargetQueries(t *testing.T) {
	t.Parallel()
	proxy, target := newTestNode(t, meta.RoleProxy, "proxy0001", nil), newTestNode(t, meta.RoleTarget, "target001", nil)
	join(t, proxy, target)
	url := target.Snode().Public.URL + "/v1/daemon?what="
	if a := do(t, "GET", url+"mountpaths", ""); a.status != 503 {
		t.Errorf("mountpaths before there are any: %d", a.status)
	}
	target.SetStatusSource(fakeDisks{alerts: wire.NodeOOS})
	for what, want := range map[string]string{
		"mountpaths": `{"available":["/mp1"],"waiting_dd":[],"disabled":[]}`,
		"disk": `{"AllDiskStats":{"sda":{"RBps":0,"Ravg":0,"WBps":0,"Wavg":0,"Util":3}},"mountpaths":{"/mp1":{"mountpath_label":"","fs":{"Fs":"","FsType":"","FsID":"0,0"},` +
			`"disks":["sda"],"used":"25","avail":"75","pct_used":25}},"cs_err":"","total_used":"25","total_avail":"75","pct_max":25,"pct_avg":25,"pct_min":25}`,
		"remote": `{"a":null,"ver":0}`,
	} {
		if a := do(t, "GET", url+what, ""); a.status != 200 || a.body != want+"\n" {
			t.Errorf("what=%s: %d %s, want %s", what, a.status, a.body, want)
		}
		if a := do(t, "GET", proxy.Snode().Public.URL+"/v1/daemon?what="+what, ""); a.status != 400 {
			t.Errorf("what=%s of a proxy: %d, want 400", what, a.status)
		}
	}
	var state wire.NodeStateInfo
	get(t, target.Snode().Public.URL+"/v1/health?cii=true", &state)
	if state.Flags != wire.NodeHealthy|wire.NodeOOS {
		t.Errorf("flags %d", state.Flags)
	}
}

func TestDaemonActions(t *testing.T) {
	t.Parallel()
	proxy, target := newTestNode(t, meta.RoleProxy, "proxy0001", nil), newTestNode(t, meta.RoleTarget, "target001", nil)
	join(t, proxy, target)
	public, intra := target.Snode().Public.URL+"/v1/daemon", target.Snode().IntraControl.URL+"/v1/daemon"
	caller := "Ais-Caller-Id: proxy0001"
	for _, tc := range []struct {
		name, method, url, body string
		headers                 []string
		status                  int
		message                 string
	}{
		{"target, public", "PUT", public, `{"action":"reset-stats","value":true}`, nil, 403, "accepted from other nodes"},
		{"target, public DELETE", "DELETE", public + "/mountpaths", `{}`, nil, 403, "accepted from other nodes"},
		{"target, unknown caller", "PUT", intra, `{"action":"reset-stats","value":true}`, nil, 403, "not a node of this cluster"},
		{"target, node", "PUT", intra, `{"action":"reset-stats","value":true}`, []string{caller}, 200, ""},
		{"not a bool", "PUT", intra, `{"action":"reset-stats","value":"x"}`, []string{caller}, 400, "failed to unmarshal"},
		{"no value", "PUT", intra, `{"action":"reset-stats"}`, []string{caller}, 400, "failed to unmarshal"},
		{"next", "PUT", intra, `{"action":"start","value":{}}`, []string{caller}, 501, `"start" on a node is not built yet`},
		{"next item", "PUT", intra + "/mountpaths", `{}`, []string{caller}, 501, "mountpaths is not built yet"},
		{"unknown action", "PUT", intra, `{"action":"fly"}`, []string{caller}, 400, `invalid action "fly"`},
		{"unknown item", "PUT", intra + "/wings", `{}`, []string{caller}, 400, "wings"},
		{"malformed", "PUT", intra, `{"action":`, []string{caller}, 400, "failed to unmarshal"},
		{"empty", "PUT", intra, ``, []string{caller}, 400, "failed to unmarshal"},
		{"proxy", "PUT", proxy.Snode().Public.URL + "/v1/daemon", `{"ACTION":"reset-stats","value":false}`, nil, 200, ""},
		{"rotate without files", "PUT", proxy.Snode().Public.URL + "/v1/daemon", `{"action":"rotate-logs"}`, nil, 404, "no log files"},
		{"cluster, next", "PUT", proxy.Snode().Public.URL + "/v1/cluster", `{"action":"start-maintenance","value":{"sid":"x"}}`, nil, 501, "not built yet"},
		{"cluster, next item", "POST", proxy.Snode().Public.URL + "/v1/cluster/autoreg", `{}`, nil, 501, "not built yet"},
		{"cluster, unknown action", "PUT", proxy.Snode().Public.URL + "/v1/cluster", `{"action":"fly"}`, nil, 400, `invalid action "fly"`},
		{"cluster, unknown item", "PUT", proxy.Snode().Public.URL + "/v1/cluster/wings", ``, nil, 400, "wings"},
		{"too long", "PUT", proxy.Snode().Public.URL + "/v1/cluster", `{"action":"` + strings.Repeat("x", 17<<20) + `"}`, nil, 413, "longer than"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := do(t, tc.method, tc.url, tc.body, tc.headers...)
			if a.status != tc.status {
				t.Fatalf("%d %s, want %d", a.status, a.body, tc.status)
			}
			if tc.message == "" {
				if a.body != "" {
					t.Errorf("body %q", a.body)
				}
			} else if e := a.errorBody(t); !strings.Contains(e.Message, tc.message) {
				t.Errorf("message %q, want one with %q", e.Message, tc.message)
			}
		})
	}
}

func TestLogQueries(t *testing.T) {
	t.Parallel()
	log, err := logging.New(logging.Options{Dir: t.TempDir(), Role: meta.RoleProxy})
	if err != nil {
		t.Fatal(err)
	}
	n := newTestNode(t, meta.RoleProxy, "proxy0001", func(o *Options) { o.Log, o.Logger = log, nil })
	t.Cleanup(func() {
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	})
	join(t, n)
	url := n.Snode().Public.URL + "/v1/daemon?what=log"
	eventually(t, "the log says where the node listens", func() bool {
		return strings.Contains(do(t, "GET", url, "").body, n.Snode().Public.URL)
	})
	whole := do(t, "GET", url+"&severity=Info&offset=0", "")
	if rest := do(t, "GET", url+"&offset=10", ""); rest.body != whole.body[10:] {
		t.Errorf("from byte 10: %q", rest.body)
	}
	for query, want := range map[string]int{"&offset=100000000": 400, "&offset=x": 400, "&severity=z": 400} {
		if e := do(t, "GET", url+query, "").errorBody(t); e.Status != want {
			t.Errorf("%s: %+v", query, e)
		}
	}
	zr, err := gzip.NewReader(bytes.NewReader([]byte(do(t, "GET", url+"&all=true", "").body)))
	if err != nil {
		t.Fatal(err)
	}
	if h, err := tar.NewReader(zr).Next(); err != nil || !strings.HasPrefix(h.Name, "aisproxy.") {
		t.Errorf("archive: %+v %v", h, err)
	}
	if a := do(t, "PUT", n.Snode().Public.URL+"/v1/daemon", `{"action":"rotate-logs"}`); a.status != 200 {
		t.Errorf("rotate-logs: %d %s", a.status, a.body)
	}
}

func TestClusterQueries(t *testing.T) {
	t.Parallel()
	p1, p2 := newTestNode(t, meta.RoleProxy, "proxy0001", nil), newTestNode(t, meta.RoleProxy, "proxy0002", nil)
	t1, t2 := newTestNode(t, meta.RoleTarget, "target001", nil), newTestNode(t, meta.RoleTarget, "target002", nil)
	t1.SetStatusSource(fakeDisks{})
	t2.SetStatusSource(fakeDisks{})
	smap := join(t, p1, p2, t1, t2)
	url := p2.Snode().Public.URL + "/v1/cluster?what="
	for what, want := range map[string]string{
		"backends":   `[]`,
		"remote":     `{"a":null,"ver":0}`,
		"mountpaths": `{"targets":{"target001":{"available":["/mp1"],"waiting_dd":[],"disabled":[]},"target002":{"available":["/mp1"],"waiting_dd":[],"disabled":[]}}}`,
	} {
		if a := do(t, "GET", url+what, ""); a.status != 200 || a.body != want+"\n" {
			t.Errorf("what=%s: %d %s, want %s", what, a.status, a.body, want)
		}
	}
	var doc object
	get(t, url+"smap", &doc)
	get(t, url+"bmd", &doc)
	get(t, url+"snode", &doc)
	if doc["daemon_id"] != "proxy0002" {
		t.Errorf("snode %v", doc)
	}
	clear(doc)
	get(t, url+"cluster_config", &doc)
	if _, local := doc["confdir"]; local || doc["config_version"] != "3" {
		t.Errorf("cluster_config %v", doc)
	}
	var stats wire.ClusterStats[*meta.Snode]
	get(t, url+"node_stats", &stats)
	if stats.Proxy.Snode.ID != "proxy0002" || len(stats.Target) != 2 || stats.Target["target001"].Capacity.TotalUsed != 25 {
		t.Errorf("node_stats %+v", stats)
	}
	var info wire.ClusterSysInfo
	get(t, url+"sysinfo", &info)
	if len(info.Proxy) != 2 || len(info.Target) != 2 || info.Target["target002"].FsUsed != 25 {
		t.Errorf("sysinfo %+v", info)
	}
	if a := do(t, "GET", url+"target_ips", ""); a.body != "127.0.0.1,127.0.0.1,127.0.0.1,127.0.0.1,127.0.0.1,127.0.0.1" {
		t.Errorf("target_ips %q", a.body)
	}
	for _, what := range []string{"", "config", "stats", "metrics", "log", "disk", "node_status"} {
		if e := do(t, "GET", url+what, "").errorBody(t); e.Status != 400 {
			t.Errorf("what=%s: %+v", what, e)
		}
	}

	// a target that is gone fails the question with its name
	gone := smap.Clone()
	dead := *t2.Snode()
	dead.IntraControl.URL = "http://127.0.0.1:1"
	gone.Tmap[dead.ID] = &dead
	publish(gone.Freeze(), p1, p2, t1)
	if e := do(t, "GET", url+"node_stats", "").errorBody(t); e.Status != 503 || !strings.Contains(e.Message, "t[target002]") {
		t.Errorf("node_stats without a target: %+v", e)
	}
}

func TestJobQueries(t *testing.T) {
	t.Parallel()
	proxy, target := newTestNode(t, meta.RoleProxy, "proxy0001", nil), newTestNode(t, meta.RoleTarget, "target001", nil)
	join(t, proxy, target)
	url := proxy.Snode().Public.URL + "/v1/cluster?what="
	for _, tc := range []struct {
		what, body string
		status     int
		want       string
	}{
		{"status", `{"ID":"AbC123xyz","Kind":"","Bck":null}`, 404, "AbC123xyz"},
		{"status", `{"kind":"copy-bck","bck":{"name":"","provider":""}}`, 404, "copy-bck"},
		{"status", `{}`, 400, "neither id nor kind"},
		{"status", ``, 400, "neither id nor kind"},
		{"status", `{"kind":"copy-bck","bck":{"name":"nob"}}`, 404, "ais://nob"},
		{"status", `{"id":`, 400, "failed to unmarshal"},
		{"status_all", `{"show_active":true}`, 200, "null\n"},
		{"running_all", ``, 200, "[]\n"},
	} {
		a := do(t, "GET", url+tc.what, tc.body)
		if a.status != tc.status || !strings.Contains(a.body, tc.want) {
			t.Errorf("what=%s %s: %d %s, want %d with %q", tc.what, tc.body, a.status, a.body, tc.status, tc.want)
		}
	}
	join(t, proxy) // no targets
	if a := do(t, "GET", url+"qryxstats", ""); a.body != "{}\n" {
		t.Errorf("qryxstats without targets: %d %s", a.status, a.body)
	}
	proxy.cp.joined.Store(false)
	for _, what := range []string{"status", "status_all", "qryxstats"} {
		if a := do(t, "GET", url+what, `{"kind":"x"}`); a.status != 503 || a.body != "" {
			t.Errorf("what=%s before the cluster: %d %q", what, a.status, a.body)
		}
	}
}

func TestConfigMasksSecrets(t *testing.T) {
	t.Parallel()
	conf := config.DefaultCluster()
	conf.Backend = config.BackendConf{"aws": json.RawMessage(`{"region":"eu","a":[{"Secret_Access_Key":"hunter2"}]}`)}
	n := newTestNode(t, meta.RoleProxy, "proxy0001", func(o *Options) { o.Cluster = conf })
	smap := join(t, n)
	n.cp.view.Store(&meta.View{Smap: smap, Config: &meta.Config{Cluster: conf}})
	for _, path := range []string{"/v1/cluster?what=cluster_config", "/v1/daemon?what=config", "/v1/daemon?what=smapvote"} {
		a := do(t, "GET", n.Snode().Public.URL+path, "")
		if strings.Contains(a.body, "hunter2") || !strings.Contains(a.body, maskedSecret) || !strings.Contains(a.body, `"region":"eu"`) {
			t.Errorf("%s: %s", path, a.body)
		}
	}
	if !strings.Contains(string(conf.Backend["aws"]), "hunter2") {
		t.Error("the configuration itself was changed")
	}
}
