package config_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/config"
)

// pairs reads "k=v&k=v" in this order.
func pairs(text string) *config.Changes {
	return config.ParsePairs(func(yield func(key, value string) bool) {
		if text == "" {
			return
		}
		for pair := range strings.SplitSeq(text, "&") {
			key, value, _ := strings.Cut(pair, "=")
			if !yield(key, value) {
				return
			}
		}
	})
}

var (
	wholeCluster     = config.Scope{}
	clusterTransient = config.Scope{Transient: true}
	oneNode          = config.Scope{Node: true}
	nodeTransient    = config.Scope{Node: true, Transient: true}
)

func TestChanges(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, query, message string // both say the same
		check                func(c *config.Cluster) bool
	}{
		{"numbers and booleans", "mirror.copies=3&lru.enabled=yes", `{"mirror":{"copies":3},"lru":{"enabled":true}}`,
			func(c *config.Cluster) bool {
				return c.Mirror.Copies == 3 && c.LRU.Enabled && c.Mirror.BurstBuffer == 512
			}},
		{"keys in any case", "Mirror.COPIES=3", `{"Mirror":{"COPIES":3}}`, func(c *config.Cluster) bool { return c.Mirror.Copies == 3 }},
		{"the first value counts", "mirror.copies=3&mirror.copies=4&MIRROR.copies=5", `{"mirror":{"copies":3}}`, func(c *config.Cluster) bool { return c.Mirror.Copies == 3 }},
		{"durations, sizes, levels", "lru.dont_evict_time=90m&log.max_size=1mb&log.level=4611", `{"lru":{"dont_evict_time":"90m"},"log":{"max_size":"1MiB","level":"4611"}}`,
			func(c *config.Cluster) bool {
				return c.LRU.DontEvictTime.String() == "1h30m" && c.Log.MaxSize == 1<<20 && c.Log.Level.Modules() == 576
			}},
		{"features", "features=16", `{"features":"16"}`, func(c *config.Cluster) bool { return c.Features == 16 }},
		{"a section in a section", "keepalivetracker.proxy.interval=20s", `{"keepalivetracker":{"proxy":{"interval":"20s"}}}`,
			func(c *config.Cluster) bool {
				return c.Keepalive.Proxy.Interval.String() == "20s" && c.Keepalive.Target.Interval.String() == "10s"
			}},
		{"values that only fit together", "timeout.cplane_operation=4s&timeout.max_keepalive=8s", `{"timeout":{"cplane_operation":"4s","max_keepalive":"8s"}}`,
			func(c *config.Cluster) bool { return c.Timeout.MaxKeepalive.String() == "8s" }},
		{"the older name of a key", "auth.enabled=false&mirror.copies=3", `{"auth":{"enabled":false},"mirror":{"copies":3}}`,
			func(c *config.Cluster) bool { return !c.Auth.Required && c.Mirror.Copies == 3 }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			before := config.DefaultCluster()
			fromQuery := pairs(tc.query)
			fromMessage, err := config.ParseMessage([]byte(tc.message))
			if err != nil {
				t.Fatal(err)
			}
			for form, changes := range map[string]*config.Changes{"query": fromQuery, "message": fromMessage} {
				if err := changes.Check(wholeCluster); err != nil {
					t.Errorf("%s: %v", form, err)
					continue
				}
				c, err := changes.Apply(before)
				if err != nil || !tc.check(c) {
					t.Errorf("%s: %v %+v", form, err, c)
				}
			}
			if diff := cmp.Diff(config.DefaultCluster(), before); diff != "" {
				t.Errorf("the configuration was changed in place:\n%s", diff)
			}
		})
	}
}

func TestMessageForms(t *testing.T) {
	t.Parallel()
	// A whole map can be given in a message only.
	changes, err := config.ParseMessage([]byte(`{"backend":{"aws":{},"ais":{"x":["http://10.0.0.1:8080/"]}},"mirror":null,"lru":{"enabled":null}}`))
	if err != nil || !slices.Equal(changes.Keys(), []string{"backend"}) {
		t.Fatalf("%v %v", changes.Keys(), err)
	}
	c, err := changes.Apply(config.DefaultCluster())
	if err != nil || len(c.Backend) != 2 {
		t.Errorf("%v %+v", err, c.Backend)
	}
	for _, empty := range []string{"", " ", "null", "{}", `{"mirror":{}}`, `{"mirror":null}`} {
		changes, err := config.ParseMessage([]byte(empty))
		if err != nil {
			t.Errorf("%q: %v", empty, err)
			continue
		}
		if err := changes.Check(wholeCluster); apierr.StatusOf(err) != 400 || !strings.Contains(err.Error(), "no properties to update") {
			t.Errorf("%q: %v", empty, err)
		}
	}
	for text, want := range map[string]string{
		`[]`:                       "expecting a JSON object",
		`{"mirror":3}`:             `property "mirror": expecting a JSON object`,
		`{"mirror":{"copies":3}`:   "expecting a JSON object",
		`{"nothing":null}`:         `unknown property "nothing"`,
		`{"mirror":{"none":null}}`: `unknown property "mirror.none"`,
	} {
		if _, err := config.ParseMessage([]byte(text)); apierr.StatusOf(err) != 400 || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func TestChangesRefused(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, query string
		scope       config.Scope
		status      int
		want        []string
	}{
		{"nothing", "", wholeCluster, 400, []string{"no properties to update"}},
		{"unknown", "Mirror.Copiez=3", wholeCluster, 400, []string{`unknown property "mirror.copiez"`}},
		{"a section", "mirror=3", wholeCluster, 400, []string{`unknown property "mirror"`}},
		{"unknown, transient", "copiez=3", clusterTransient, 400, []string{`unknown property "copiez"`}},
		{"a map", "backend.aws=x", wholeCluster, 400, []string{`"backend.aws" cannot be given as text`}},
		{"the whole map", "backend=x", wholeCluster, 400, []string{`"backend" cannot be given as text`}},
		{"no number", "mirror.copies=three", wholeCluster, 400, []string{"invalid mirror.copies", "three"}},
		{"no boolean", "lru.enabled=perhaps", wholeCluster, 400, []string{"invalid lru.enabled", "perhaps"}},
		{"a number for a duration", "lru.dont_evict_time=7200", wholeCluster, 400, []string{"invalid lru.dont_evict_time"}},
		{"out of range", "mirror.copies=33", wholeCluster, 400, []string{"invalid mirror.copies", "2 to 32"}},
		{"a contradiction", "space.lowwm=60", wholeCluster, 400, []string{"space.lowwm", "space.cleanupwm"}},
		{"a contradiction of sections", "timeout.max_keepalive=11s", wholeCluster, 400, []string{"keepalivetracker.proxy.interval", "timeout.max_keepalive"}},
		{"read-only: mountpaths", "fspaths.paths=/x", wholeCluster, 400, []string{`property "fspaths.paths" is readonly`}},
		{"read-only: buffers", "net.http.write_buffer_size=1", wholeCluster, 400, []string{`property "net.http.write_buffer_size" is readonly`}},
		{"read-only: name", "keepalivetracker.target.name=x", wholeCluster, 400, []string{`property "keepalivetracker.target.name" is readonly`}},
		{"read-only: data", "write_policy.data=delayed", wholeCluster, 400, []string{`property "write_policy.data" is readonly`}},
		{"read-only: uuid", "uuid=x", wholeCluster, 400, []string{`property "uuid" is readonly`}},
		{"read-only: version", "config_version=9", wholeCluster, 400, []string{`property "config_version" is readonly`}},
		{"read-only: electable", "proxy.non_electable=true", wholeCluster, 400, []string{`property "proxy.non_electable" is readonly`}},
		{"read-only: L4", "net.l4.proto=udp", wholeCluster, 400, []string{`property "net.l4.proto" is readonly`}},
		{"of the cluster only", "ec.data_slices=3", oneNode, 400, []string{"ec configuration can only be globally updated"}},
		{"of the cluster only, by another name", "checksum.type=md5", oneNode, 400, []string{"cksum configuration can only be globally updated"}},
		{"of the cluster only, by another name", "get_batch.max_wait=2s", oneNode, 400, []string{"getbatch configuration can only be globally updated"}},
		{"of the cluster only, transient on a node", "mirror.copies=3", nodeTransient, 400,
			[]string{"mirror (cluster-scoped) configuration cannot be changed transiently", "mirror configuration can only be globally updated"}},
		{"transient", "features=16", clusterTransient, 400, []string{"features (cluster-scoped) configuration cannot be changed transiently"}},
		{"transient: auth", "auth.client_auth_required=false", clusterTransient, 501, []string{`"auth"`}},
		{"transient: net", "net.http.idle_conns=100", clusterTransient, 501, []string{`"net"`}},
		{"transient: tracing", "tracing.enabled=true", clusterTransient, 501, []string{`"tracing"`}},
		{"transient: memsys", "memsys.min_pct_free=1", clusterTransient, 501, []string{`"memsys"`}},
		{"transient: keepalivetracker", "keepalivetracker.num_retries=4", clusterTransient, 501, []string{`"keepalivetracker"`}},
		{"transient: max_keepalive", "timeout.max_keepalive=6s", clusterTransient, 501, []string{`"timeout.max_keepalive"`}},
		{"transient: cplane_operation", "timeout.cplane_operation=1s", clusterTransient, 501, []string{`"timeout.cplane_operation"`}},
		{"transient goes before all else", "none=1&mirror.copies=x&net.none=1", clusterTransient, 501, []string{`"net"`}},
		{"authentication", "auth.client_auth_required=true", wholeCluster, 501, []string{"auth.client_auth_required", "not built yet"}},
		{"limit of rates", "rate_limit.backend.enabled=true", oneNode, 501, []string{"rate_limit.backend.enabled", "not built yet"}},
		{"tracing", "tracing.enabled=true", wholeCluster, 501, []string{"tracing", "not built yet"}},
		{"tracing, unknown", "tracing.none=true", wholeCluster, 400, []string{`unknown property "tracing.none"`}},
		{"sorting", "distributed_sort.call_timeout=1m", oneNode, 501, []string{"distributed_sort", "not built yet"}},
		{"one bad key of two", "mirror.copies=3&lru.none=1", wholeCluster, 400, []string{`unknown property "lru.none"`}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			changes := pairs(tc.query)
			err := changes.Check(tc.scope)
			if err == nil {
				_, err = changes.Apply(config.DefaultCluster())
			}
			if apierr.StatusOf(err) != tc.status {
				t.Fatalf("status %d, want %d: %v", apierr.StatusOf(err), tc.status, err)
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v, want %q", err, want)
				}
			}
		})
	}
}

// Every key of the node scope may be transient on a node, also those that are
// read at the start only.
func TestTransientOnANode(t *testing.T) {
	t.Parallel()
	for _, query := range []string{"memsys.min_pct_free=1", "keepalivetracker.num_retries=4", "timeout.max_keepalive=6s", "write_policy.md=never",
		"client.list_timeout=1m", "downloader.timeout=1m", "fshc.enabled=false", "resilver.enabled=false", "rate_limit.backend.num_retries=4"} {
		if err := pairs(query).Check(nodeTransient); err != nil {
			t.Errorf("%s: %v", query, err)
		}
	}
}

func TestSchemeOfAddresses(t *testing.T) {
	t.Parallel()
	c := config.DefaultCluster()
	c.Proxy = config.ProxyConf{PrimaryURL: "http://a:9080", DiscoveryURL: "http://b:9080"}
	c.Net.HTTP.Certificate, c.Net.HTTP.CertKey = "c.crt", "c.key"
	on, err := pairs("net.http.use_https=true").Apply(c)
	if err != nil || on.Proxy != (config.ProxyConf{PrimaryURL: "https://a:9080", DiscoveryURL: "https://b:9080"}) {
		t.Errorf("%v %+v", err, on)
	}
	off, err := pairs("net.http.use_https=false").Apply(on)
	if err != nil || off.Proxy != c.Proxy {
		t.Errorf("%v %+v", err, off)
	}
	same, err := pairs("net.http.idle_conns=100").Apply(c)
	if err != nil || same.Proxy != c.Proxy {
		t.Errorf("%v %+v", err, same)
	}
}

// FuzzParseMessage: what a client sends is refused, or gives a valid
// configuration that is the same when it is read again.
func FuzzParseMessage(f *testing.F) {
	for _, seed := range []string{`{"mirror":{"copies":3}}`, `{"backend":{"ais":{"a":["http://h:1"]}}}`, `{"log":{"level":"4"}}`, `{"net":{"http":{"pub":{"server_crt":"x"}}}}`,
		`{"features":"16","lru":null}`, `{"tracing":{"attributes":{}}}`, `{"rate_limit":{"frontend":{"burst_size":10,"per_op_max_tokens":"get:5"}}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		changes, err := config.ParseMessage(data)
		if err != nil || changes.Check(wholeCluster) != nil {
			return
		}
		c, err := changes.Apply(config.DefaultCluster())
		if err != nil {
			if s := apierr.StatusOf(err); s != 400 && s != 501 {
				t.Errorf("%s: status %d: %v", data, s, err)
			}
			return
		}
		if err := c.Validate(); err != nil {
			t.Errorf("%s: %v", data, err)
		}
		if changes.Check(oneNode) != nil {
			return
		}
		own, err := changes.Override().Apply(config.DefaultCluster())
		if err != nil {
			t.Fatalf("%s as an override: %v", data, err)
		}
		if diff := cmp.Diff(c, own); diff != "" {
			t.Errorf("%s as an override:\n%s", data, diff)
		}
	})
}
