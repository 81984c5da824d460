package test

import (
	"net/http"
	"testing"
)

// TestConfigurationIsRefused: every way in which a change can be wrong, with
// its status and what its message must say; nothing of it is made.
func TestConfigurationIsRefused(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2, 1)
	if err := c.WriteConfiguration(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.down)
	second := c.nodes[1]
	c.start(second)
	t.Run("5.13 the cluster has not started", func(t *testing.T) {
		c.eventually("listening of "+second.Name(), func() error {
			a, err := try(client, http.MethodPut, second.URL()+"/v1/cluster/set-config?mirror.copies=3", "")
			if err == nil && a.status != http.StatusServiceUnavailable {
				t.Errorf("%d %s", a.status, a.body)
			}
			return err
		})
	})
	c.start(c.nodes[0])
	c.start(c.targets()[0])
	c.waitReady()
	p, target := c.nodes[0], c.targets()[0]
	before := *clusterConfig(t, p)
	for _, tc := range []struct {
		row, query, message string // a query, or the value of an action message with its query
		status              int
		want                []string
	}{
		{"5.1 unknown key", "Mirror.Copiez=3", "", 400, []string{`unknown property "mirror.copiez"`}},
		{"5.1 unknown key in a message", "", `{"mirror":{"copiez":3}}`, 400, []string{`unknown property "mirror.copiez"`}},
		{"5.1 unknown section in a message", "", `{"mirrorr":{"copies":3}}`, 400, []string{`unknown property "mirrorr"`}},
		{"5.2 no key", "", "", 400, []string{"no properties to update"}},
		{"5.2 no key but transient", "transient=true", "", 400, []string{"no properties to update"}},
		{"5.2 no key in a message", "", `{}`, 400, []string{"no properties to update"}},
		{"5.3 not a number", "mirror.copies=three", "", 400, []string{"invalid mirror.copies", "three"}},
		{"5.3 not a duration in a message", "", `{"lru":{"dont_evict_time":7200}}`, 400, []string{"lru.dont_evict_time"}},
		{"5.4 out of range", "mirror.copies=33", "", 400, []string{"invalid mirror.copies", "2 to 32"}},
		{"5.4 out of range in a message", "", `{"periodic":{"stats_time":"2m"}}`, 400, []string{"invalid periodic.stats_time", "1s to 1m"}},
		{"5.5 watermarks", "space.lowwm=50", "", 400, []string{"space.lowwm", "space.cleanupwm"}},
		{"5.5 two sections", "timeout.max_keepalive=11s", "", 400, []string{"keepalivetracker.proxy.interval", "timeout.max_keepalive"}},
		{"5.5 health checker", "fshc.error_limit=1", "", 400, []string{"fshc.error_limit"}},
		{"5.6 read-only", "fspaths.paths=/x", "", 400, []string{`property "fspaths.paths" is readonly`}},
		{"5.6 read-only", "net.http.write_buffer_size=1024", "", 400, []string{`property "net.http.write_buffer_size" is readonly`}},
		{"5.6 read-only", "keepalivetracker.proxy.name=x", "", 400, []string{`property "keepalivetracker.proxy.name" is readonly`}},
		{"5.6 read-only", "write_policy.data=delayed", "", 400, []string{`property "write_policy.data" is readonly`}},
		{"5.8 cluster-only, transient", "mirror.copies=3&transient=true", "", 400, []string{"mirror (cluster-scoped) configuration cannot be changed transiently"}},
		{"5.8 cluster-only, transient", "checksum.type=md5&transient=true", "", 400, []string{"cksum (cluster-scoped) configuration cannot be changed transiently"}},
		{"5.8 cluster-only, transient message", "transient=true", `{"features":"16"}`, 400, []string{"features (cluster-scoped) configuration cannot be changed transiently"}},
		{"5.9 auth", "auth.client_auth_required=true&transient=true", "", 501, []string{"auth"}},
		{"5.9 net", "net.http.idle_conns=100&transient=true", "", 501, []string{"net"}},
		{"5.9 tracing", "tracing.enabled=true&transient=true", "", 501, []string{"tracing"}},
		{"5.9 memsys", "memsys.min_pct_free=5&transient=true", "", 501, []string{"memsys"}},
		{"5.9 keepalivetracker", "transient=true", `{"keepalivetracker":{"num_retries":4}}`, 501, []string{"keepalivetracker"}},
		{"5.9 timeout.max_keepalive", "timeout.max_keepalive=6s&transient=true", "", 501, []string{"timeout.max_keepalive"}},
		{"5.9 timeout.cplane_operation", "timeout.cplane_operation=1s&transient=true", "", 501, []string{"timeout.cplane_operation"}},
		{"5.9 before anything else", "none=1&mirror.copies=x&net.none=1&transient=true", "", 501, []string{"net"}},
		{"5.10 authentication is not built", "auth.client_auth_required=true", "", 501, []string{"auth.client_auth_required"}},
		{"5.14 all or nothing", "mirror.copies=3&log.level=5&lru.none=1", "", 400, []string{`unknown property "lru.none"`}},
		{"5.14 all or nothing in a message", "", `{"mirror":{"copies":3},"log":{"level":"6"}}`, 400, []string{"log.level"}},
	} {
		t.Run(tc.row, func(t *testing.T) {
			for _, gateway := range c.proxies() {
				url, body := gateway.URL()+"/v1/cluster/set-config?"+tc.query, ""
				if tc.message != "" {
					url, body = gateway.URL()+"/v1/cluster?"+tc.query, `{"action":"set-config","value":`+tc.message+`}`
				}
				a := call(t, http.MethodPut, url, body)
				for _, want := range tc.want {
					checkError(t, a, tc.status, want)
				}
			}
		})
	}
	t.Run("5.7 cluster-only on one node", func(t *testing.T) {
		for key, name := range map[string]string{
			"auth.client_auth_required=false": "auth", "proxy.discovery_url=http://x:1": "proxy", "checksum.type=md5": "cksum", "tcb.burst_buffer=64": "tcb", "tco.burst_buffer=64": "tco",
			"arch.burst_buffer=64": "arch", "lso.walk_buffer=64": "lso", "rebalance.enabled=false": "rebalance", "ec.data_slices=3": "ec", "get_batch.max_wait=2s": "getbatch",
			"net.http.idle_conns=100": "net", "transport.max_header=1024": "transport", "chunks.chunk_size=1MiB": "chunks", "mirror.copies=3": "mirror",
			"periodic.stats_time=11s": "periodic", "features=16": "features", "versioning.enabled=false": "versioning", "backend.aws=x": "backend",
		} {
			checkError(t, onNode(t, 400, p, target, "/set-config?"+key, ""), 400, name+" configuration can only be globally updated")
			checkError(t, onNode(t, 400, p, target, "/set-config?transient=true&"+key, ""), 400, name+" (cluster-scoped) configuration cannot be changed transiently")
		}
		checkError(t, onNode(t, 400, p, second, "", `{"action":"set-config","value":{"mirror":{"copies":3}}}`), 400, "mirror configuration can only be globally updated")
	})
	t.Run("5.11 no node is named", func(t *testing.T) {
		checkError(t, call(t, http.MethodPut, p.URL()+"/v1/reverse/daemon/set-config?log.level=4", ""), 400, "missing node ID")
	})
	t.Run("5.12 another node is named", func(t *testing.T) {
		if a := call(t, http.MethodPut, p.URL()+"/v1/reverse/daemon/set-config?log.level=4", "", "Ais-Node-Id", "nosuchnode"); a.status != 404 {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
	t.Run("a target takes it from the cluster only", func(t *testing.T) {
		if a := call(t, http.MethodPut, target.URL()+"/v1/daemon/set-config?log.level=5", ""); a.status != http.StatusForbidden {
			t.Errorf("%d %s", a.status, a.body)
		}
		must(t, http.StatusOK, http.MethodPut, second.URL()+"/v1/daemon/set-config?log.level=5", "")
		must(t, http.StatusOK, http.MethodPut, second.URL()+"/v1/daemon", `{"action":"reset-config"}`)
	})
	for _, n := range c.nodes {
		if now := clusterConfig(t, p); *now != before || configOf(t, n, "config").Log.Level != "4" {
			t.Errorf("what was refused has changed something at %s:\n%+v\n%+v", n.Name(), *now, before)
		}
	}
}
