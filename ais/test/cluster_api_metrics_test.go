package test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
)

// TestStatisticsThatClientsRelyOn: the names, kinds and keys that tests and
// clients of the field read from nodes.
func TestStatisticsThatClientsRelyOn(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2, 2)
	createBucket(t, c.nodes[0], "b", "")
	for i := range 20 {
		must(t, 200, http.MethodPut, objectURL(c.nodes[i%2], "b", itoa(i)), "data")
		must(t, 200, http.MethodGet, objectURL(c.nodes[i%2], "b", itoa(i)), "")
	}
	t.Run("names are exact and what is zero is absent", func(t *testing.T) {
		var puts, bytes int64
		for _, n := range c.targets() {
			values := tracker(t, n)
			for _, zero := range []string{"ver.change.n", "ver.change.size", "lru.evict.n", "lru.evict.size", "stream.in.n", "stream.out.n", "err.put.n", "del.n"} {
				if v, there := values[zero]; there {
					t.Errorf("%s: %s=%d is shown", n.Name(), zero, v)
				}
			}
			for _, always := range []string{"up.ns.time", "state.flags", "get.ns", "put.ns", "get.bps", "put.bps", "kalive.ns"} {
				if _, there := values[always]; !there {
					t.Errorf("%s: no %s", n.Name(), always)
				}
			}
			puts, bytes = puts+values["put.n"], bytes+values["put.size"]
		}
		if puts != 20 || bytes != 80 {
			t.Errorf("put.n %d, put.size %d after 20 objects of 4 bytes", puts, bytes)
		}
	})
	t.Run("the raw status of every target", func(t *testing.T) {
		for id := range c.smap(c.nodes[0]).Tmap {
			a := must(t, 200, http.MethodGet, c.nodes[1].URL()+"/v1/reverse/daemon?what=node_status", "", "Ais-Node-Id", id)
			hasKeys(t, a.body, "snode", "tracker", "capacity", "status", "deployment", "ais_version", "build_time", "k8s_pod_name", "cluster", "sys_info", "smap_version")
			var s struct {
				Tracker     map[string]struct{ V string }
				Capacity    json.RawMessage
				SysInfo     json.RawMessage `json:"sys_info"`
				SmapVersion string          `json:"smap_version"`
				Cluster     struct {
					Smap, BMD, RMD, Config, EtlMD struct{ Version string }
					Flags                         uint64
				}
			}
			if err := json.Unmarshal([]byte(a.body), &s); err != nil {
				t.Fatal(err)
			}
			hasKeys(t, string(s.Capacity), "mountpaths", "cs_err", "total_used", "total_avail", "pct_max", "pct_avg", "pct_min")
			hasKeys(t, string(s.SysInfo), "mem_used", "mem_avail", "pct_mem_used", "pct_cpu_used", "load_avg", "cpu_util")
			if s.SmapVersion != s.Cluster.Smap.Version || s.Cluster.RMD.Version == "" || s.Cluster.EtlMD.Version != "0" || s.Tracker["state.flags"].V == "" {
				t.Errorf("%+v", s)
			}
		}
	})
	t.Run("an answer about a node out of service", func(t *testing.T) {
		target := c.targets()[0]
		id := c.nodeID(target)
		a := call(t, http.MethodPut, c.nodes[0].URL()+"/v1/cluster", `{"action":"start-maintenance","value":{"sid":"`+id+`","skip_rebalance":true}}`, "Content-Type", jsonType)
		if a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}
		c.eventually("the gateway answers for it", func() error {
			a := must(t, 200, http.MethodGet, c.nodes[1].URL()+"/v1/reverse/daemon?what=node_status", "", "Ais-Node-Id", id)
			s := decode[struct {
				Status   string
				Snode    map[string]any
				Tracker  any
				Capacity struct{ Mountpaths any }
				Cluster  struct{ Flags uint64 }
			}](t, a.body)
			if s.Status != "maintenance" || s.Snode["daemon_id"] != id || s.Tracker != nil || s.Capacity.Mountpaths != nil || s.Cluster.Flags != 0 {
				return fmt.Errorf("%s", a.body)
			}
			return nil
		})
		must(t, 200, http.MethodGet, c.nodes[1].URL()+"/v1/reverse/daemon?what=sysinfo", "", "Ais-Node-Id", id)
		must(t, 200, http.MethodGet, target.URL()+"/v1/health", "")
		must(t, 503, http.MethodGet, target.URL()+"/v1/health?readiness=true", "")
		lists := decode[map[string]map[string]any](t, must(t, 200, http.MethodGet, c.nodes[1].URL()+"/v1/cluster?what=mountpaths", "").body)["targets"]
		if _, there := lists[id]; there || len(lists) != 1 {
			t.Errorf("targets out of service are not asked: %v", lists)
		}
		must(t, 200, http.MethodPut, c.nodes[0].URL()+"/v1/cluster", `{"action":"stop-maintenance","value":{"sid":"`+id+`","skip_rebalance":true}}`, "Content-Type", jsonType)
	})
	t.Run("kinds of all names", func(t *testing.T) {
		known := map[string]bool{"counter": true, "total": true, "size": true, "special": true, "gauge": true, "histogram": true, "compbw": true, "latency": true, "bw": true}
		for _, n := range c.nodes {
			kinds := decode[map[string]string](t, must(t, 200, http.MethodGet, n.URL()+"/v1/daemon?what=metrics", "").body)
			for name, kind := range kinds {
				if !known[kind] {
					t.Errorf("%s: %s is of kind %q", n.Name(), name, kind)
				}
			}
			for name := range tracker(t, n) {
				if kinds[name] == "" && n.Role == "target" {
					t.Errorf("%s: %s has no kind", n.Name(), name)
				}
			}
		}
	})
	t.Run("the primary is ready", func(t *testing.T) {
		for _, n := range c.proxies() {
			must(t, 200, http.MethodGet, n.URL()+"/v1/health?prr=true", "")
		}
	})
}
