package config_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/cmn/feature"
	"github.com/aistore-go/aistore/cmn/unit"
)

const timeout = `"timeout":{"cplane_operation":"2s","max_keepalive":"5s","max_host_busy":"20s","startup_time":"1m",
	"join_startup_time":"3m","send_file_time":"5m"}`

func TestDefaultIsValid(t *testing.T) {
	t.Parallel()
	c := config.DefaultCluster()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(config.DefaultCluster(), c); diff != "" {
		t.Errorf("validation changes the defaults:\n%s", diff)
	}
	if err := c.NotBuilt(); err != nil {
		t.Error(err)
	}
}

// Clients parse sections and text forms; an answer is always complete.
func TestDefaultJSON(t *testing.T) {
	t.Parallel()
	c := config.DefaultCluster()
	c.UUID, c.Version, c.LastUpdate = "xR3k_pZ1a", 7, "2026-01-02 15:04:05.123456 +0000 UTC"
	data, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"backend":{},"mirror":{"copies":2,"burst_buffer":512,"enabled":false},` +
		`"ec":{"compression":"never","bundle_multiplier":2,"burst_buffer":512,"objsize_limit":262144,"data_slices":2,"parity_slices":2,"enabled":false,"disk_only":false},` +
		`"chunks":{"objsize_limit":"0B","max_monolithic_size":"1TiB","chunk_size":"1GiB"},` +
		`"log":{"level":"3","max_size":"64MiB","max_total":"512MiB","flush_time":"1m","stats_time":"3m","to_stderr":false},` +
		`"periodic":{"stats_time":"10s","retry_sync_time":"2s","notif_time":"30s"},` +
		`"timeout":{"cplane_operation":"2s","max_keepalive":"5s","max_host_busy":"20s","startup_time":"1m","join_startup_time":"3m","send_file_time":"5m","ec_streams_time":"10m","object_md":"2h0m","cold_get_conflict":"5s"},` +
		`"client":{"client_timeout":"10s","client_long_timeout":"5m","list_timeout":"5m"},` +
		`"proxy":{"primary_url":"","original_url":"","discovery_url":"","non_electable":false},` +
		`"space":{"cleanupwm":65,"lowwm":75,"highwm":90,"out_of_space":95,"batch_size":32768,"dont_cleanup_time":"30m"},` +
		`"lru":{"dont_evict_time":"2h0m","capacity_upd_time":"10m","batch_size":32768,"enabled":false},` +
		`"disk":{"disk_util_low_wm":20,"disk_util_high_wm":80,"disk_util_max_wm":95,"iostat_time_long":"2s","iostat_time_short":"100ms","iostat_time_smooth":"0s"},` +
		`"rebalance":{"compression":"never","bundle_multiplier":2,"burst_buffer":1024,"dest_retry_time":"2m","repair_delay":"10m","enabled":true},` +
		`"resilver":{"enabled":true},` +
		`"checksum":{"type":"xxhash2","validate_cold_get":false,"validate_warm_get":false,"validate_obj_move":false,"enable_read_range":false},` +
		`"versioning":{"enabled":true,"validate_warm_get":false,"synchronize":false},` +
		`"net":{"l4":{"proto":"tcp","sndrcv_buf_size":131072},"http":{"server_crt":"","server_key":"","client_ca_tls":"","client_auth_tls":0,"domain_tls":"","idle_conn_time":"6s","backend_idle_conn_time":"6s","idle_conns_per_host":32,"idle_conns":256,"write_buffer_size":0,"read_buffer_size":0,"use_https":false,"skip_verify":false,"chunked_transfer":true},"use_ipv6":false},` +
		`"fshc":{"test_files":4,"error_limit":2,"io_err_limit":10,"io_err_time":"10s","enabled":true},` +
		`"auth":{"client_auth_required":false},` +
		`"keepalivetracker":{"proxy":{"interval":"10s","name":"heartbeat","factor":3},"target":{"interval":"10s","name":"heartbeat","factor":3},"num_retries":3,"retry_factor":4},` +
		`"downloader":{"timeout":"1h0m"},` +
		`"transport":{"max_header":4096,"burst_buffer":1024,"idle_teardown":"4s","quiescent":"10s","lz4_block":"256KiB","lz4_frame_checksum":false},` +
		`"memsys":{"min_free":"2GiB","default_buf":"32KiB","to_gc":"4GiB","hk_time":"3m","min_pct_total":0,"min_pct_free":0},` +
		`"tcb":{"compression":"never","bundle_multiplier":2,"burst_buffer":512},` +
		`"tco":{"compression":"never","bundle_multiplier":2,"burst_buffer":512},` +
		`"arch":{"compression":"never","bundle_multiplier":2,"burst_buffer":512},` +
		`"lso":{"compression":"never","bundle_multiplier":1,"burst_buffer":32,"walk_buffer":128,"idle_time":"20s","quiescent":"5s"},` +
		`"write_policy":{"data":"immediate","md":"immediate"},` +
		`"rate_limit":{"backend":{"interval":"1m","max_tokens":1000,"enabled":false,"num_retries":3},"frontend":{"interval":"1m","max_tokens":1000,"enabled":false,"burst_size":375}},` +
		`"get_batch":{"compression":"never","bundle_multiplier":2,"burst_buffer":512,"max_wait":"20s","warmup_workers":-1,"max_soft_errs":8,"max_gfn":5},` +
		`"features":"0","uuid":"xR3k_pZ1a","config_version":"7","lastupdate_time":"2026-01-02 15:04:05.123456 +0000 UTC"}`
	if string(data) != want {
		t.Errorf("JSON of the defaults:\n%s\nwant\n%s", data, want)
	}
}

func TestParseClusterFillsDefaults(t *testing.T) {
	t.Parallel()
	c, warnings, err := config.ParseCluster([]byte(`{` + timeout + `}`))
	if err != nil || len(warnings) != 0 {
		t.Fatalf("%v %v", warnings, err)
	}
	if diff := cmp.Diff(config.DefaultCluster(), c); diff != "" {
		t.Error(diff)
	}
}

func TestParseCluster(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, sections string
		check          func(c *config.Cluster) bool
	}{
		{"sizes as people write them", `"memsys":{"min_free":"2gb","default_buf":"64kb","to_gc":"4gb","hk_time":"3m","min_pct_total":0,"min_pct_free":0}`,
			func(c *config.Cluster) bool {
				return c.Memsys.MinFree == 2*unit.GiB && c.Memsys.DefaultBufSize == 64*unit.KiB
			}},
		{"keys of a section that are missing keep their defaults", `"lru":{"enabled":true}`,
			func(c *config.Cluster) bool {
				return c.LRU.Enabled && c.LRU.DontEvictTime.D() == 2*time.Hour && c.LRU.BatchSize == 32768
			}},
		{"empty rebalance is the default", `"rebalance":{}`, func(c *config.Cluster) bool { return c.Rebalance.Enabled }},
		{"rebalance without enabled is off", `"rebalance":{"bundle_multiplier":2,"burst_buffer":1024,"dest_retry_time":"2m"}`,
			func(c *config.Cluster) bool { return !c.Rebalance.Enabled && c.Rebalance.Compression == "never" }},
		{"fshc without enabled is off", `"fshc":{"test_files":4,"error_limit":2}`,
			func(c *config.Cluster) bool { return !c.FSHC.Enabled && c.FSHC.IOErrLimit == 10 }},
		{"ec without size limit slices all", `"ec":{"data_slices":4}`,
			func(c *config.Cluster) bool {
				return c.EC.ObjSizeLimit == 0 && c.EC.DataSlices == 4 && c.EC.ParitySlices == 2
			}},
		{"empty ec has the default size limit", `"ec":{}`, func(c *config.Cluster) bool { return c.EC.ObjSizeLimit == 262144 }},
		{"zero is the default", `"net":{"http":{"idle_conn_time":"0s","idle_conns":0,"idle_conns_per_host":0}},"client":{"client_timeout":"0"}`,
			func(c *config.Cluster) bool {
				return c.Net.HTTP.IdleConnTime.D() == 6*time.Second && c.Net.HTTP.IdleConns == 256 && c.Client.Timeout.D() == 10*time.Second
			}},
		{"features are a string", `"features":"16"`, func(c *config.Cluster) bool { return c.Features.Has(feature.FsyncPUT) }},
		{"log level is a string", `"log":{"level":"4611"}`, func(c *config.Cluster) bool { return c.Log.Level.Verbosity() == 3 && c.Log.Level.Modules() == 576 }},
		{"backends", `"backend":{"aws":{},"gcp":null,"ht":{},"ais":{"teamA":["http://10.0.0.7:8080"]}}`,
			func(c *config.Cluster) bool {
				return len(c.Backend) == 3 && string(c.Backend["gcp"]) == "{}" && string(c.Backend["ais"]) == `{"teamA":["http://10.0.0.7:8080"]}`
			}},
		{"a trailing slash of a URL goes", `"proxy":{"primary_url":"http://localhost:9080/"}`,
			func(c *config.Cluster) bool { return c.Proxy.PrimaryURL == "http://localhost:9080" }},
		{"listen to the older name of auth", `"auth":{"enabled":false}`, func(c *config.Cluster) bool { return !c.Auth.Required }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c, warnings, err := config.ParseCluster([]byte(`{` + timeout + `,` + tc.sections + `}`))
			if err != nil || len(warnings) != 0 || !tc.check(c) {
				t.Errorf("%v %v %+v", warnings, err, c)
			}
		})
	}
}

func TestParseClusterWarns(t *testing.T) {
	t.Parallel()
	c, warnings, err := config.ParseCluster([]byte(`{` + timeout + `,"mirror":{"copiez":3},"distributed_sort":{"compression":"never"},
		"uuid":"foreign","config_version":"9","tracing":{"enabled":false}}`))
	if err != nil || c.UUID != "" || c.Version != 0 {
		t.Fatalf("%v %+v", err, c)
	}
	all := strings.Join(warnings, "\n")
	for _, key := range []string{"mirror.copiez", "distributed_sort", "uuid", "config_version", "tracing"} {
		if !strings.Contains(all, `"`+key+`"`) {
			t.Errorf("no warning of %s in\n%s", key, all)
		}
	}
	if len(warnings) != 5 {
		t.Errorf("%d warnings:\n%s", len(warnings), all)
	}
}

func TestParseClusterRefuses(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, file, want string }{
		{"nothing", ``, "failed to unmarshal"},
		{"an array", `[]`, "expecting a JSON object"},
		{"null", `null`, "expecting a JSON object"},
		{"a syntax error, by line", "{\n" + timeout + ",\n\"mirror\":{\"copies\":}}", "line 4"},
		{"text after the object", `{` + timeout + `} x`, "failed to unmarshal"},
		{"no timeout", `{}`, `section "timeout" is missing`},
		{"half a timeout", `{"timeout":{"cplane_operation":"2s","max_keepalive":"5s"}}`, "timeout.max_host_busy, timeout.startup_time"},
		{"half a rebalance", `{` + timeout + `,"rebalance":{"enabled":false}}`, `section "rebalance" must be complete`},
		{"half an fshc", `{` + timeout + `,"fshc":{"test_files":4}}`, "fshc.error_limit missing"},
		{"a number for a duration", `{` + timeout + `,"lru":{"dont_evict_time":7200}}`, `"lru.dont_evict_time"`},
		{"a number for a size", `{` + timeout + `,"log":{"max_size":1024}}`, `"log.max_size"`},
		{"a number for the features", `{` + timeout + `,"features":16}`, `"features"`},
		{"a number for the log level", `{` + timeout + `,"log":{"level":3}}`, `"log.level"`},
		{"a wrong provider", `{` + timeout + `,"backend":{"foo":{}}}`, `unknown provider "foo"`},
		{"a wrong remote cluster", `{` + timeout + `,"backend":{"ais":{"a":"b"}}}`, "backend.ais"},
		{"a URL with a path", `{` + timeout + `,"proxy":{"primary_url":"http://h:1/v1"}}`, "proxy.primary_url"},
		{"features that exclude each other", `{` + timeout + `,"features":"6144"}`, "exclude each other"},
		{"client authentication", `{` + timeout + `,"auth":{"client_auth_required":true}}`, "auth.client_auth_required"},
		{"client authentication by its older name", `{` + timeout + `,"auth":{"enabled":true}}`, "auth.client_auth_required"},
		{"TLS without a key", `{` + timeout + `,"net":{"http":{"use_https":true}}}`, "net.http.server_key"},
		{"tracing", `{` + timeout + `,"tracing":{"enabled":true}}`, "tracing.enabled"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, _, err := config.ParseCluster([]byte(tc.file))
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v, want one line with %q", err, tc.want)
			}
		})
	}
}

func TestRanges(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		key, value string
		want       []string // all in the message
	}{
		{"mirror.copies", "1", []string{"invalid mirror.copies: 1", "2 to 32"}},
		{"mirror.copies", "33", []string{"mirror.copies"}},
		{"mirror.burst_buffer", "-1", []string{"mirror.burst_buffer"}},
		{"ec.objsize_limit", "-2", []string{"ec.objsize_limit"}},
		{"ec.data_slices", "0", []string{"ec.data_slices"}},
		{"ec.parity_slices", "33", []string{"ec.parity_slices"}},
		{"ec.compression", "zip", []string{"ec.compression", "never always"}},
		{"ec.bundle_multiplier", "17", []string{"ec.bundle_multiplier"}},
		{"ec.burst_buffer", "31", []string{"ec.burst_buffer"}},
		{"chunks.max_monolithic_size", "1MiB", []string{"chunks.max_monolithic_size", "1GiB to 1TiB"}},
		{"chunks.chunk_size", "6GiB", []string{"chunks.chunk_size"}},
		{"chunks.objsize_limit", "2TiB", []string{"chunks.objsize_limit", "chunks.max_monolithic_size"}},
		{"client.client_timeout", "1ms", []string{"client.client_timeout", "1s to 30m"}},
		{"client.client_timeout", "6m", []string{"client.client_timeout", "client.client_long_timeout"}},
		{"space.cleanupwm", "0", []string{"space.cleanupwm"}},
		{"space.lowwm", "60", []string{"space.lowwm", "space.cleanupwm"}},
		{"space.highwm", "96", []string{"space.out_of_space", "space.highwm"}},
		{"space.out_of_space", "101", []string{"space.out_of_space"}},
		{"space.batch_size", "1", []string{"space.batch_size"}},
		{"space.dont_cleanup_time", "1m", []string{"space.dont_cleanup_time", "15m"}},
		{"lru.dont_evict_time", "1m", []string{"lru.dont_evict_time"}},
		{"lru.capacity_upd_time", "1s", []string{"lru.capacity_upd_time"}},
		{"disk.disk_util_low_wm", "80", []string{"disk.disk_util_low_wm", "disk.disk_util_high_wm"}},
		{"disk.disk_util_max_wm", "80", []string{"disk.disk_util_high_wm", "disk.disk_util_max_wm"}},
		{"disk.iostat_time_long", "1s", []string{"disk.iostat_time_long"}},
		{"disk.iostat_time_smooth", "21s", []string{"disk.iostat_time_smooth"}},
		{"log.level", "0", []string{"log.level"}},
		{"log.level", "6", []string{"log.level"}},
		{"log.level", "2097155", []string{"log.level"}},
		{"log.max_size", "300MiB", []string{"log.max_size", "log.max_total"}},
		{"log.flush_time", "2h", []string{"log.flush_time"}},
		{"periodic.stats_time", "2m", []string{"periodic.stats_time"}},
		{"periodic.retry_sync_time", "1ms", []string{"periodic.retry_sync_time"}},
		{"timeout.cplane_operation", "1ms", []string{"timeout.cplane_operation"}},
		{"timeout.cplane_operation", "3s", []string{"timeout.max_keepalive", "timeout.cplane_operation"}},
		{"timeout.join_startup_time", "90s", []string{"timeout.join_startup_time", "timeout.startup_time"}},
		{"timeout.object_md", "1m", []string{"timeout.object_md"}},
		{"timeout.cold_get_conflict", "21s", []string{"timeout.cold_get_conflict"}},
		{"timeout.ec_streams_time", "1m", []string{"timeout.ec_streams_time"}},
		{"rebalance.dest_retry_time", "11m", []string{"rebalance.dest_retry_time"}},
		{"rebalance.repair_delay", "25h", []string{"rebalance.repair_delay", "24h"}},
		{"checksum.type", "sha1", []string{"checksum.type", "none xxhash xxhash2 md5 crc32c sha256 sha512"}},
		{"net.http.idle_conn_time", "31s", []string{"net.http.idle_conn_time"}},
		{"net.http.idle_conns_per_host", "129", []string{"net.http.idle_conns_per_host"}},
		{"net.http.idle_conns", "4097", []string{"net.http.idle_conns"}},
		{"net.http.client_auth_tls", "5", []string{"net.http.client_auth_tls"}},
		{"net.http.domain_tls", "x", []string{"net.http.domain_tls"}},
		{"fshc.test_files", "3", []string{"fshc.test_files"}},
		{"fshc.io_err_time", "2m", []string{"fshc.io_err_time"}},
		{"keepalivetracker.proxy.interval", "4s", []string{"keepalivetracker.proxy.interval", "timeout.max_keepalive"}},
		{"keepalivetracker.target.interval", "50s", []string{"keepalivetracker.target.interval", "keepalivetracker.target.factor"}},
		{"keepalivetracker.num_retries", "11", []string{"keepalivetracker.num_retries"}},
		{"downloader.timeout", "2h", []string{"downloader.timeout"}},
		{"transport.max_header", "100", []string{"transport.max_header"}},
		{"transport.quiescent", "9s", nil},
		{"transport.idle_teardown", "6s", []string{"transport.quiescent", "transport.idle_teardown"}},
		{"transport.lz4_block", "128KiB", []string{"transport.lz4_block", "64KiB 256KiB 1MiB 4MiB"}},
		{"memsys.min_free", "1MiB", []string{"memsys.min_free"}},
		{"memsys.min_free", "0", nil},
		{"memsys.default_buf", "5000", []string{"memsys.default_buf", "4KiB"}},
		{"memsys.default_buf", "256KiB", []string{"memsys.default_buf"}},
		{"memsys.min_pct_free", "96", []string{"memsys.min_pct_free"}},
		{"tcb.bundle_multiplier", "0", []string{"tcb.bundle_multiplier"}},
		{"lso.quiescent", "20s", []string{"lso.quiescent", "lso.idle_time"}},
		{"get_batch.max_gfn", "9", []string{"get_batch.max_gfn", "get_batch.max_soft_errs"}},
		{"get_batch.warmup_workers", "11", []string{"get_batch.warmup_workers"}},
		{"write_policy.md", "soon", []string{"write_policy.md", "immediate delayed never"}},
		{"write_policy.data", "delayed", []string{"write_policy.data"}},
		{"rate_limit.frontend.burst_size", "501", []string{"rate_limit.frontend.burst_size", "rate_limit.frontend.max_tokens"}},
		{"rate_limit.backend.per_op_max_tokens", "get:x", []string{"rate_limit.backend.per_op_max_tokens"}},
		{"rate_limit.backend.per_op_max_tokens", "get:5000 put:10", nil},
		{"rate_limit.backend.num_retries", "11", []string{"rate_limit.backend.num_retries"}},
	} {
		t.Run(tc.key+"="+tc.value, func(t *testing.T) {
			t.Parallel()
			c := config.DefaultCluster()
			err := config.SetForTest(c, tc.key, tc.value)
			if err == nil {
				err = c.Validate()
			}
			if tc.want == nil {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if apierr.StatusOf(err) != 400 {
				t.Fatalf("%v, want a 400", err)
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
		})
	}
}

func TestCloneSharesNothing(t *testing.T) {
	t.Parallel()
	c, _, err := config.ParseCluster([]byte(`{` + timeout + `,"backend":{"aws":{}},"net":{"http":{"pub":{"server_crt":"x"}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	clone := c.Clone()
	if diff := cmp.Diff(c, clone); diff != "" {
		t.Fatal(diff)
	}
	clone.Backend["gcp"] = json.RawMessage("{}")
	clone.Backend["aws"][0] = 'x'
	clone.Net.HTTP.Pub.Certificate = "y"
	if len(c.Backend) != 1 || string(c.Backend["aws"]) != "{}" || c.Net.HTTP.Pub.Certificate != "x" {
		t.Errorf("%+v", c)
	}
}

func FuzzParseCluster(f *testing.F) {
	f.Add([]byte(`{` + timeout + `}`))
	f.Add([]byte(`{` + timeout + `,"rebalance":{"enabled":true},"backend":{"ais":{"a":["http://x:1"]}},"features":"16"}`))
	f.Add([]byte(`{"timeout":{}}`))
	data, err := json.Marshal(config.DefaultCluster())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		c, _, err := config.ParseCluster(data)
		if err != nil {
			return
		}
		out, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		again, _, err := config.ParseCluster(out)
		if err != nil {
			t.Fatalf("%s: %v", out, err)
		}
		if diff := cmp.Diff(c, again); diff != "" {
			t.Errorf("%s:\n%s", out, diff)
		}
	})
}
