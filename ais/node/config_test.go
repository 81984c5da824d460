package node

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/core/meta"
)

// configured starts a cluster of a proxy and a target.
func configured(t *testing.T) (proxy, target *testNode) {
	t.Helper()
	proxy = newTestNode(t, meta.RoleProxy, "proxy0001", nil)
	target = newTestNode(t, meta.RoleTarget, "target001", nil)
	join(t, proxy, target)
	return proxy, target
}

// put changes a configuration and checks the status.
func put(t *testing.T, status int, url, body string, headers ...string) string {
	t.Helper()
	a := do(t, http.MethodPut, url, body, headers...)
	if a.status != status {
		t.Fatalf("PUT %s %s: %d %s, want %d", url, body, a.status, a.body, status)
	}
	if status == http.StatusOK {
		if a.body != "" {
			t.Errorf("PUT %s: the answer has a body: %q", url, a.body)
		}
		return ""
	}
	return a.errorBody(t).Message
}

func TestClusterConfigIsChanged(t *testing.T) {
	t.Parallel()
	proxy, _ := configured(t)
	cluster := proxy.Snode().Public.URL + "/v1/cluster"
	version := func() int64 { return proxy.cp.View().Config.Version }

	before := version()
	put(t, 200, cluster+"/set-config?mirror.copies=3&lru.enabled=true", "")
	if c := proxy.cp.View().Config; c.Version != before+1 || c.Mirror.Copies != 3 || !c.LRU.Enabled || !strings.HasSuffix(c.LastUpdate, " +0000 UTC") {
		t.Errorf("%+v", c)
	}
	put(t, 200, cluster, `{"action":"set-config","name":"","value":{"mirror":{"copies":4},"features":"16"}}`)
	if c := proxy.cp.View().Config; c.Version != before+2 || c.Mirror.Copies != 4 || c.Mirror.BurstBuffer != 512 || c.Features != 16 {
		t.Errorf("%+v", c)
	}
	for _, bad := range []struct {
		status int
		query  string
		want   string
	}{
		{400, "", "no properties to update"},
		{400, "transient=true", "no properties to update"},
		{400, "mirror.copiez=3", `unknown property "mirror.copiez"`},
		{400, "mirror.copies=3&uts=1", `unknown property "uts"`},
		{400, "mirror.copies=%zz", "mirror.copies"},
		{400, "mirror.copies=5&ec.data_slices=0", "invalid ec.data_slices"},
		{400, "net.http.use_https=true", "net.http.server_crt"},
		{400, "net.http.use_https=true&net.http.server_crt=/no/such.crt&net.http.server_key=/no/such.key", "/no/such.crt"},
		{400, "mirror.copies=5&transient=true", "mirror (cluster-scoped) configuration cannot be changed transiently"},
		{501, "net.http.idle_conns=5&transient=true", `"net"`},
	} {
		if message := put(t, bad.status, cluster+"/set-config?"+bad.query, ""); !strings.Contains(message, bad.want) {
			t.Errorf("%s: %q, want %q", bad.query, message, bad.want)
		}
	}
	for value, want := range map[string]string{
		`{}`:                         "no properties to update",
		`{"mirror":{"copiez":3}}`:    `unknown property "mirror.copiez"`,
		`{"mirror":{"copies":"x"}}`:  `property "mirror.copies"`,
		`{"lru":{"enabled":1}}`:      `property "lru.enabled"`,
		`[1]`:                        "expecting a JSON object",
		`{"config_version":"9"}`:     `property "config_version" is readonly`,
		`{"log":{"level":3}}`:        `property "log.level"`,
		`{"log":{"flush_time":100}}`: `property "log.flush_time"`,
	} {
		if message := put(t, 400, cluster, `{"action":"set-config","value":`+value+`}`); !strings.Contains(message, want) {
			t.Errorf("%s: %q, want %q", value, message, want)
		}
	}
	if c := proxy.cp.View().Config; c.Version != before+2 || c.Mirror.Copies != 4 {
		t.Errorf("a refused change has changed something: %+v", c)
	}
	if message := put(t, 400, cluster+"/set-config/x?mirror.copies=3", ""); !strings.Contains(message, "set-config") {
		t.Error(message)
	}
}

// A transient change of the cluster reaches every node, and no document.
func TestClusterConfigIsChangedTransiently(t *testing.T) {
	t.Parallel()
	proxy, target := configured(t)
	cluster := proxy.Snode().Public.URL + "/v1/cluster"
	put(t, 200, cluster+"/set-config?log.level=4&transient=true", "")
	put(t, 200, cluster+"?transient=true", `{"action":"set-config","value":{"disk":{"disk_util_low_wm":11}}}`)
	for _, n := range []*testNode{proxy, target} {
		if c := n.Config(); c.Log.Level != 4 || c.Disk.UtilLowWM != 11 {
			t.Errorf("%s: %+v %+v", n.Name(), c.Log, c.Disk)
		}
	}
	if c := proxy.cp.View().Config; c.Version != 3 || c.Log.Level != 3 {
		t.Errorf("%+v", c)
	}
	if a := do(t, http.MethodGet, cluster+"?what=cluster_config", ""); !strings.Contains(a.body, `"level":"3"`) {
		t.Error(a.body)
	}
	// One that does not fit what a node overrides is that node's error.
	if err := target.live.Change(config.ParsePairs(func(yield func(k, v string) bool) { yield("disk.disk_util_high_wm", "50") }), false); err != nil {
		t.Fatal(err)
	}
	if message := put(t, 400, cluster+"/set-config?disk.disk_util_low_wm=60&transient=true", ""); !strings.Contains(message, target.Name()) {
		t.Error(message)
	}
	put(t, 200, cluster, `{"action":"reset-config"}`)
	for _, n := range []*testNode{proxy, target} {
		if c := n.Config(); c.Log.Level != 3 || c.Disk.UtilLowWM != 20 || c.Disk.UtilHighWM != 80 {
			t.Errorf("%s after a reset: %+v %+v", n.Name(), c.Log, c.Disk)
		}
	}
}

func TestNodeConfigIsChanged(t *testing.T) {
	t.Parallel()
	proxy, target := configured(t)
	url, to := proxy.Snode().Public.URL, "Ais-Node-Id: "+target.ID()
	put(t, 200, url+"/v1/reverse/daemon/set-config?disk.disk_util_low_wm=10", "", to)
	put(t, 200, url+"/v1/reverse/daemon?transient=true", `{"action":"set-config","value":{"log":{"level":"5"}}}`, to)
	put(t, 200, url+"/v1/daemon/set-config?lru.enabled=true", "")
	if c := target.Config(); c.Disk.UtilLowWM != 10 || c.Log.Level != 5 || c.LRU.Enabled {
		t.Errorf("%+v %+v", c.Disk, c.Log)
	}
	if c := proxy.Config(); c.Disk.UtilLowWM != 20 || c.Log.Level != 3 || !c.LRU.Enabled {
		t.Errorf("%+v %+v", c.Disk, c.Log)
	}
	for what, want := range map[string]string{"config": `"disk_util_low_wm":10`, "cluster_config": `"disk_util_low_wm":20`} {
		if a := do(t, http.MethodGet, url+"/v1/reverse/daemon?what="+what, "", to); !strings.Contains(a.body, want) {
			t.Errorf("what=%s: %s", what, a.body)
		}
	}
	for query, want := range map[string]string{
		"ec.data_slices=3":                "ec configuration can only be globally updated",
		"checksum.type=md5":               "cksum configuration can only be globally updated",
		"mirror.copies=3&transient=true":  "mirror (cluster-scoped) configuration cannot be changed transiently",
		"keepalivetracker.proxy.name=x":   "readonly",
		"log.none=1":                      "unknown property",
		"log.level=4&log.max_size=1GiB":   "log.max_total",
		"log.level=4&log.flush_time=soon": "invalid log.flush_time",
	} {
		if message := put(t, 400, url+"/v1/reverse/daemon/set-config?"+query, "", to); !strings.Contains(message, want) {
			t.Errorf("%s: %q", query, message)
		}
	}
	if message := put(t, 400, url+"/v1/reverse/daemon/set-config?log.level=4", ""); !strings.Contains(message, "missing node ID") {
		t.Error(message)
	}
	put(t, 404, url+"/v1/reverse/daemon/set-config?log.level=4", "", "Ais-Node-Id: nosuchnode")
	put(t, 403, target.Snode().Public.URL+"/v1/daemon/set-config?log.level=4", "")
	if c := target.Config(); c.Log.Level != 5 {
		t.Errorf("%+v", c.Log)
	}
	put(t, 200, url+"/v1/reverse/daemon", `{"action":"reset-config"}`, to)
	put(t, 200, url+"/v1/reverse/daemon", `{"action":"reset-config"}`, to)
	if c := target.Config(); c.Disk.UtilLowWM != 20 || c.Log.Level != 3 {
		t.Errorf("after a reset: %+v %+v", c.Disk, c.Log)
	}
}

func TestConfigShowsTheMountpathsThatThereAre(t *testing.T) {
	t.Parallel()
	target := newTestNode(t, meta.RoleTarget, "target001", func(o *Options) { o.Local.FSPaths = config.FSPaths{"/old": "x", "/mp1": "nvme"} })
	url := target.Snode().Public.URL + "/v1/daemon?what=config"
	if a := do(t, http.MethodGet, url, ""); !strings.Contains(a.body, `"fspaths":{"paths":{"/mp1":"nvme","/old":"x"}}`) {
		t.Error(a.body)
	}
	target.SetStatusSource(fakeDisks{})
	if a := do(t, http.MethodGet, url, ""); !strings.Contains(a.body, `"fspaths":{"paths":{"/mp1":""}}`) {
		t.Error(a.body)
	}
}

func TestConfigBeforeTheClusterHasStarted(t *testing.T) {
	t.Parallel()
	proxy := newTestNode(t, meta.RoleProxy, "proxy0001", nil)
	proxy.MarkStarted()
	if a := do(t, http.MethodPut, proxy.Snode().Public.URL+"/v1/cluster/set-config?mirror.copies=3", ""); a.status != http.StatusServiceUnavailable {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestExports(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := newTestNode(t, meta.RoleProxy, "proxy0001", func(o *Options) { o.Local.ConfDir = dir })
	smap := join(t, n)
	n.Applied(n.cp.View())
	exported := func(name, key, want string) func() bool {
		return func() bool {
			data, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				return false
			}
			var object map[string]any
			if err := json.Unmarshal(data, &object); err != nil {
				t.Fatalf("%s: %v: %s", name, err, data)
			}
			return object[key] == want
		}
	}
	eventually(t, "the map is exported", exported(ExportSmap, "version", "7"))
	eventually(t, "the buckets are exported", exported(ExportBMD, "version", "12"))
	eventually(t, "the configuration is exported", exported(ExportConfig, "config_version", "3"))
	for version := int64(8); version < 60; version++ {
		next := *smap
		next.Version = version
		view := *n.cp.View()
		view.Smap = next.Freeze()
		n.cp.view.Store(&view)
		n.Applied(&view)
	}
	eventually(t, "the last map is exported", exported(ExportSmap, "version", "59"))
	eventually(t, "nothing else is left", func() bool {
		left, err := filepath.Glob(filepath.Join(dir, ".ais.*.new"))
		return err == nil && len(left) == 0
	})
	for _, name := range []string{ExportSmap, ExportBMD, ExportConfig} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", name, info, err)
		}
	}
}

// What cannot be exported is told, and everything else goes on.
func TestExportsFail(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := newTestNode(t, meta.RoleProxy, "proxy0001", func(o *Options) { o.Local.ConfDir = dir })
	join(t, n)
	if err := os.Mkdir(filepath.Join(dir, ExportSmap+".new"), 0o755); err != nil {
		t.Fatal(err)
	}
	n.Applied(n.cp.View())
	eventually(t, "it is in the log", func() bool { return strings.Contains(n.log.String(), "metadata not exported") })
	if a := do(t, http.MethodGet, n.Snode().Public.URL+"/v1/daemon?what=smap", ""); a.status != 200 {
		t.Errorf("%d", a.status)
	}
}

func TestAddressesFollowThePrimary(t *testing.T) {
	t.Parallel()
	old := newTestNode(t, meta.RoleProxy, "proxy0001", nil)
	n := newTestNode(t, meta.RoleProxy, "proxy0002", nil)
	third := newTestNode(t, meta.RoleProxy, "proxy0003", nil)
	join(t, old, n, third)
	view := *old.cp.View()
	conf := view.Config.Clone()
	conf.Proxy = config.ProxyConf{PrimaryURL: old.Snode().IntraControl.URL, OriginalURL: old.Snode().IntraControl.URL, DiscoveryURL: "http://find.example:9080"}
	view.Config = &meta.Config{Cluster: conf}
	for _, o := range []*testNode{old, n, third} {
		o.cp.view.Store(&view)
		o.Applied(&view)
	}
	if v := old.cp.View().Config.Version; v != 3 {
		t.Fatalf("version %d of a configuration that was right", v)
	}
	// The primary is gone, the second node takes over.
	after := view
	after.Smap = testSmap(t, 107, n, third)
	for _, o := range []*testNode{n, third} {
		o.cp.view.Store(&after)
		o.cp.primary.Store(o == n)
	}
	third.Applied(&after)
	n.Applied(&after)
	own := n.Snode().IntraControl.URL
	eventually(t, "the address is corrected", func() bool { return n.cp.View().Config.Proxy.PrimaryURL == own })
	c := n.cp.View().Config
	if c.Version != 4 || c.Proxy.OriginalURL != third.Snode().IntraControl.URL || c.Proxy.DiscoveryURL != "http://find.example:9080" {
		t.Errorf("%+v", c.Proxy)
	}
	if third.cp.View().Config.Version != 3 {
		t.Error("a node that is not the primary has changed the configuration")
	}
}
