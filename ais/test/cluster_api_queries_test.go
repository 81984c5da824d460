package test

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aistore-go/aistore/deploy/playground"
)

// at asks a node by way of a gateway.
func (c *cluster) at(gateway, n *playground.Node, status int, method, item, body string) answer {
	c.t.Helper()
	return must(c.t, status, method, gateway.URL()+"/v1/reverse/daemon"+item, body, "Ais-Node-Id", c.nodeID(n))
}

// keys are those of a JSON object, sorted.
func keys(t *testing.T, text string) []string {
	t.Helper()
	return slices.Sorted(maps.Keys(decode[map[string]json.RawMessage](t, text)))
}

// hasKeys fails unless a JSON object has all the keys.
func hasKeys(t *testing.T, text string, want ...string) {
	t.Helper()
	have := keys(t, text)
	for _, key := range want {
		if !slices.Contains(have, key) {
			t.Errorf("no key %q among %v", key, have)
		}
	}
}

// isJSON checks the form of an answer in JSON.
func isJSON(t *testing.T, a answer) {
	t.Helper()
	if got := a.header.Get("Content-Type"); got != "application/json; charset=utf-8" {
		t.Errorf("Content-Type %q", got)
	}
	if !strings.HasSuffix(a.body, "\n") || strings.Count(a.body, "\n") != 1 || a.header.Get("Content-Length") != strconv.Itoa(len(a.body)) {
		t.Errorf("not one line with its length: %q", a.body)
	}
}

// TestQueriesOfTheCluster: what clients ask of /v1/cluster, of any gateway.
func TestQueriesOfTheCluster(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2, 3)
	createBucket(t, c.nodes[0], "b", "")
	other := c.proxies()[0]
	if c.primary(other) == other {
		other = c.proxies()[1]
	}
	base := other.URL() + "/v1/cluster"
	ask := func(t *testing.T, status int, what, body string) answer {
		t.Helper()
		a := must(t, status, http.MethodGet, base+"?what="+what, body, "Content-Type", jsonType)
		if status == http.StatusOK && what != "target_ips" {
			isJSON(t, a)
		}
		return a
	}
	t.Run("smap", func(t *testing.T) {
		a := ask(t, 200, "smap", "")
		if got, want := keys(t, a.body), []string{"creation_time", "pmap", "proxy_si", "tmap", "uuid", "version"}; !slices.Equal(got, want) {
			t.Errorf("keys %v, want %v", got, want)
		}
		m := decode[struct {
			Pmap, Tmap map[string]struct {
				ID     string       `json:"daemon_id"`
				Digest json.Number  `json:"id_digest"`
				Type   string       `json:"daemon_type"`
				Flags  *json.Number `json:"flags"`
				Public struct {
					Host string `json:"node_ip_addr"`
					Port string `json:"daemon_port"`
					URL  string `json:"direct_url"`
				} `json:"public_net"`
			}
			Created string `json:"creation_time"`
		}](t, a.body)
		if len(m.Pmap) != 2 || len(m.Tmap) != 3 {
			t.Errorf("%d proxies, %d targets", len(m.Pmap), len(m.Tmap))
		}
		for id, sn := range m.Tmap {
			if sn.ID != id || sn.Type != "target" || sn.Digest == "" || sn.Flags == nil || sn.Public.URL != "http://"+sn.Public.Host+":"+sn.Public.Port {
				t.Errorf("%s: %+v", id, sn)
			}
		}
		if _, err := time.Parse("2006-01-02 15:04:05", m.Created); err != nil {
			t.Error(err)
		}
	})
	t.Run("bmd", func(t *testing.T) {
		a := ask(t, 200, "bmd", "")
		hasKeys(t, a.body, "providers", "uuid", "version")
		if !strings.Contains(a.body, `"ais":{"@#":{"b":{`) {
			t.Error(a.body)
		}
	})
	t.Run("snode", func(t *testing.T) {
		if got := decode[map[string]any](t, ask(t, 200, "snode", "").body)["daemon_id"]; got != c.nodeID(other) {
			t.Errorf("%v", got)
		}
	})
	t.Run("smapvote", func(t *testing.T) {
		hasKeys(t, ask(t, 200, "smapvote", "").body, "smap", "bmd", "rmd", "config", "si", "prime_time", "flags")
	})
	t.Run("cluster_config", func(t *testing.T) {
		a := ask(t, 200, "cluster_config", "")
		hasKeys(t, a.body, "backend", "mirror", "ec", "log", "timeout", "proxy", "space", "lru", "auth", "net", "config_version", "uuid", "lastupdate_time", "features")
		if strings.Contains(a.body, `"confdir"`) {
			t.Error("the node's own configuration is in the cluster's")
		}
	})
	t.Run("node_stats", func(t *testing.T) {
		stats := decode[struct {
			Proxy struct {
				Snode map[string]any `json:"snode"`
			} `json:"proxy"`
			Target map[string]struct {
				Tracker  map[string]struct{ V string } `json:"tracker"`
				Capacity struct {
					Mountpaths map[string]any `json:"mountpaths"`
					TotalUsed  string         `json:"total_used"`
				} `json:"capacity"`
			} `json:"target"`
		}](t, ask(t, 200, "node_stats", "").body)
		if stats.Proxy.Snode["daemon_id"] != c.nodeID(other) || len(stats.Target) != 3 {
			t.Errorf("%+v", stats)
		}
		for id, s := range stats.Target {
			if s.Tracker["up.ns.time"].V == "" || len(s.Capacity.Mountpaths) != c.Mountpaths || s.Capacity.TotalUsed == "" {
				t.Errorf("%s: %+v", id, s)
			}
		}
	})
	t.Run("sysinfo", func(t *testing.T) {
		info := decode[struct {
			Proxy, Target map[string]json.RawMessage
		}](t, ask(t, 200, "sysinfo", "").body)
		if len(info.Proxy) != 2 || len(info.Target) != 3 {
			t.Errorf("%d proxies (the one that answers, too), %d targets", len(info.Proxy), len(info.Target))
		}
		for _, raw := range info.Target {
			hasKeys(t, string(raw), "mem_used", "mem_avail", "pct_mem_used", "pct_cpu_used", "load_avg", "cpu_util", "fs_used", "fs_capacity", "pct_fs_used")
		}
	})
	t.Run("mountpaths", func(t *testing.T) {
		lists := decode[map[string]map[string]struct{ Available, Disabled []string }](t, ask(t, 200, "mountpaths", "").body)["targets"]
		if len(lists) != 3 || len(lists[c.nodeID(c.targets()[0])].Available) != c.Mountpaths {
			t.Errorf("%+v", lists)
		}
	})
	t.Run("backends", func(t *testing.T) {
		if got := ask(t, 200, "backends", "").body; got != "[]\n" {
			t.Error(got)
		}
	})
	t.Run("remote", func(t *testing.T) {
		if got := ask(t, 200, "remote", "").body; got != `{"a":null,"ver":0}`+"\n" {
			t.Error(got)
		}
	})
	t.Run("target_ips", func(t *testing.T) {
		a := ask(t, 200, "target_ips", "")
		if a.body != strings.TrimSuffix(strings.Repeat("127.0.0.1,", 9), ",") || strings.HasPrefix(a.header.Get("Content-Type"), "application/json") {
			t.Errorf("%q %q", a.header.Get("Content-Type"), a.body)
		}
	})
	t.Run("jobs", func(t *testing.T) {
		ask(t, 400, "status", `{}`)
		ask(t, 404, "status", `{"ID":"AbC123xyz","Kind":"","DaemonID":"","Bck":null,"Buckets":null}`)
		ask(t, 404, "status", `{"kind":"lru"}`)
		ask(t, 404, "status", `{"kind":"copy-bck","bck":{"name":"nob"}}`)
		if got := ask(t, 200, "status_all&frc=true", `{"kind":"","node":"","show_active":false}`).body; got != "null\n" {
			t.Error(got)
		}
		if got := ask(t, 200, "running_all", `{"kind":"lru-eviction"}`).body; got != "[]\n" {
			t.Error(got)
		}
		snaps := decode[map[string]json.RawMessage](t, ask(t, 200, "qryxstats", `{"kind":"put-copies","show_active":true}`).body)
		if len(snaps) != 3 || string(snaps[c.nodeID(c.targets()[1])]) != "[]" {
			t.Errorf("%s", snaps)
		}
		ask(t, 404, "qryxstats", `{"id":"AbC123xyz"}`)
		ask(t, 404, "qryxstats", `{"kind":"nonsense"}`)
	})
	t.Run("services", func(t *testing.T) {
		for path, want := range map[string]string{"/v1/download": "[]\n", "/v1/sort": "[]\n"} {
			if got := must(t, 200, http.MethodGet, other.URL()+path, `{"id":"","regex":"","only_active_tasks":false}`).body; got != want {
				t.Errorf("%s: %q", path, got)
			}
		}
		must(t, 404, http.MethodGet, other.URL()+"/v1/download", `{"id":"dnl-AbC123xyz"}`)
		must(t, 400, http.MethodGet, other.URL()+"/v1/download", `{"id":"dnl-AbC123xyz","regex":"x"}`)
		must(t, 400, http.MethodGet, other.URL()+"/v1/download", `{"regex":"("}`)
		must(t, 404, http.MethodDelete, other.URL()+"/v1/download/abort", `{"id":"dnl-AbC123xyz"}`)
		must(t, 400, http.MethodDelete, other.URL()+"/v1/download/remove", `{}`)
		must(t, 400, http.MethodDelete, other.URL()+"/v1/download/fly", `{"id":"dnl-AbC123xyz"}`)
		notBuilt(t, call(t, http.MethodPost, other.URL()+"/v1/download", `{}`))
		must(t, 404, http.MethodGet, other.URL()+"/v1/sort?uuid=srt-AbC123xyz", "")
		must(t, 404, http.MethodDelete, other.URL()+"/v1/sort/abort?uuid=srt-AbC123xyz", "")
		must(t, 404, http.MethodDelete, other.URL()+"/v1/sort?uuid=srt-AbC123xyz", "")
		notBuilt(t, call(t, http.MethodPost, other.URL()+"/v1/sort", `{}`))
		for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodPost, http.MethodDelete} {
			a := must(t, 501, method, other.URL()+"/v1/etl/x", "")
			e := decode[map[string]any](t, a.body)
			if e["tcode"] != "ErrUnsupp" || e["message"] != "cannot use ETL in a build without ETL support - operation not supported" {
				t.Errorf("%s: %s", method, a.body)
			}
		}
	})
	t.Run("what is not served here", func(t *testing.T) {
		for _, what := range []string{"", "config", "stats", "metrics", "log", "disk", "node_status", "nonsense"} {
			checkError(t, ask(t, 400, what, ""), 400, "what")
		}
	})
	t.Run("a browser gets indented JSON", func(t *testing.T) {
		a := must(t, 200, http.MethodGet, base+"?what=snode", "", "User-Agent", "Mozilla/5.0 (X11)")
		if !strings.Contains(a.body, "\n    \"") || a.header.Get("Strict-Transport-Security") == "" {
			t.Errorf("%v %s", a.header, a.body)
		}
	})
	t.Run("wrong methods", func(t *testing.T) {
		for method, status := range map[string]int{http.MethodDelete: 403, http.MethodPatch: 405, http.MethodHead: 405} {
			a := must(t, status, method, base, "")
			if status == 405 && a.header.Get("Allow") == "" {
				t.Errorf("%s: no Allow", method)
			}
		}
	})
}

// TestQueriesOfNodes: what clients ask of /v1/daemon, directly and by way of a
// gateway.
func TestQueriesOfNodes(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2, 2)
	gateway := c.proxies()[1]
	for _, n := range []*playground.Node{c.proxies()[0], gateway, c.targets()[0]} {
		isTarget := n.Role == "target"
		ask := func(t *testing.T, status int, what string) answer {
			t.Helper()
			direct := must(t, status, http.MethodGet, n.URL()+"/v1/daemon?what="+what, "")
			by := must(t, status, http.MethodGet, gateway.URL()+"/v1/reverse/daemon?what="+what, "", "Ais-Node-Id", c.nodeID(n))
			if status == 200 && direct.header.Get("Content-Type") != by.header.Get("Content-Type") {
				t.Errorf("directly %q, by way of a gateway %q", direct.header.Get("Content-Type"), by.header.Get("Content-Type"))
			}
			return by
		}
		t.Run(n.Role+itoa(n.Index), func(t *testing.T) {
			if a, b := ask(t, 200, "smap"), must(t, 200, http.MethodGet, c.nodes[0].URL()+"/v1/daemon?what=smap", ""); a.body != b.body {
				t.Errorf("maps differ:\n%s%s", a.body, b.body)
			}
			hasKeys(t, ask(t, 200, "bmd").body, "providers", "uuid", "version")
			hasKeys(t, ask(t, 200, "config").body, "confdir", "log_dir", "host_net", "mirror", "config_version", "uuid")
			hasKeys(t, ask(t, 200, "snode").body, "public_net", "intra_control_net", "intra_data_net", "daemon_type", "daemon_id", "flags", "id_digest")
			hasKeys(t, ask(t, 200, "node_stats").body, "snode", "tracker", "capacity")
			hasKeys(t, ask(t, 200, "smapvote").body, "smap", "si", "prime_time")
			kinds := decode[map[string]string](t, ask(t, 200, "metrics").body)
			if kinds["get.n"] != "counter" || kinds["get.ns.total"] != "total" || kinds["up.ns.time"] != "special" || kinds["state.flags"] != "gauge" {
				t.Errorf("%v", kinds)
			}
			a := ask(t, 200, "sysinfo")
			if have := slices.Contains(keys(t, a.body), "fs_used"); have != isTarget {
				t.Errorf("file systems in sysinfo: %v", have)
			}
			if a := ask(t, 200, "software_version"); len(strings.Split(a.body, ".")) < 3 || strings.ContainsAny(a.body, "\n\"") {
				t.Errorf("%q", a.body)
			}
			ask(t, 404, "tls_certificate")
			ask(t, 400, "nonsense")
			ask(t, 400, "")
			for what, status := range map[string]int{"mountpaths": 200, "disk": 200, "remote": 200, "remote&cii=true": 200} {
				if !isTarget {
					status = 400
				}
				a := ask(t, status, what)
				switch {
				case !isTarget:
				case what == "mountpaths":
					if got, want := keys(t, a.body), []string{"available", "disabled", "waiting_dd"}; !slices.Equal(got, want) || strings.Contains(a.body, "null") {
						t.Errorf("%s", a.body)
					}
				case what == "disk":
					hasKeys(t, a.body, "AllDiskStats", "mountpaths", "cs_err", "total_used", "total_avail", "pct_max", "pct_avg", "pct_min")
				default:
					if a.body != `{"a":null,"ver":0}`+"\n" {
						t.Error(a.body)
					}
				}
			}
			status := ask(t, 200, "node_status").body
			hasKeys(t, status, "snode", "tracker", "capacity", "status", "deployment", "ais_version", "build_time", "k8s_pod_name", "cluster", "sys_info", "smap_version")
			if slices.Contains(keys(t, status), "rebalance_snap") {
				t.Error("a rebalance is shown, none ran")
			}
			if got := decode[struct{ Deployment string }](t, status).Deployment; got != "dev" && got != "linux" {
				t.Errorf("deployment %q", got)
			}
		})
	}
	t.Run("the proxy's readiness to be joined by another cluster", func(t *testing.T) {
		primary := c.primary(gateway)
		a := must(t, 400, http.MethodGet, primary.URL()+"/v1/daemon?what=smap", "", "Ais-Ready-Join-Clu", "true")
		if !strings.Contains(a.body, "rebalance") {
			t.Error(a.body)
		}
	})
}
