package meta_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/cmn/config/dotted"
	"github.com/aistore-go/aistore/cmn/feature"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

func defaults() *config.Cluster { return config.DefaultCluster() }

func aisBck(name string) wire.Bck { return wire.Bck{Name: name, Provider: wire.ProviderAIS} }

// The JSON that clients decode, strictly in part.
func TestDefaultBpropsJSON(t *testing.T) {
	t.Parallel()
	p := meta.DefaultBprops(aisBck("b"), defaults())
	p.BID, p.Created = 1<<63|1, 1767225600000000000
	data, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"backend_bck":{"name":"","provider":"","namespace":{"uuid":"","name":""}},` +
		`"write_policy":{"data":"immediate","md":"immediate"},` +
		`"provider":"ais","Renamed":"",` +
		`"checksum":{"type":"xxhash2","validate_cold_get":false,"validate_warm_get":false,"validate_obj_move":false,"enable_read_range":false},` +
		`"extra":{"aws":{},"gcp":{},"oci":{}},` +
		`"rate_limit":{"backend":{"interval":"1m","max_tokens":1000,"enabled":false,"num_retries":3},` +
		`"frontend":{"interval":"1m","max_tokens":1000,"enabled":false,"burst_size":375}},` +
		`"ec":{"compression":"never","bundle_multiplier":2,"burst_buffer":512,"objsize_limit":262144,"data_slices":2,"parity_slices":2,"enabled":false,"disk_only":false},` +
		`"chunks":{"objsize_limit":"0B","max_monolithic_size":"1TiB","chunk_size":"1GiB"},` +
		`"mirror":{"copies":2,"burst_buffer":512,"enabled":false},` +
		`"lru":{"dont_evict_time":"2h0m","capacity_upd_time":"10m","batch_size":32768,"enabled":false},` +
		`"access":"18446744073709551615","features":"0","bid":"9223372036854775809","created":"1767225600000000000",` +
		`"versioning":{"enabled":true,"validate_warm_get":false,"synchronize":false},"durability":"sync"}`
	if string(data) != want {
		t.Errorf("%s\nwant\n%s", data, want)
	}
	var again meta.Bprops
	if err := json.Unmarshal(data, &again); err != nil || !cmp.Equal(*p, again) {
		t.Errorf("does not read back: %v", err)
	}
}

func TestDefaultsByKindOfBucket(t *testing.T) {
	t.Parallel()
	c := defaults()
	c.LRU.Enabled = true
	c.Features = feature.FsyncPUT | feature.S3APIviaRoot
	for _, tc := range []struct {
		bck             wire.Bck
		lru, versioning bool
		durability      string
	}{
		{aisBck("b"), false, true, meta.DurabilitySync},
		{wire.Bck{Name: "b", Provider: "ais", Ns: wire.Ns{Name: "ns"}}, false, true, meta.DurabilitySync},
		{wire.Bck{Name: "b", Provider: "ais", Ns: wire.Ns{UUID: "remote123"}}, false, false, meta.DurabilityNone},
		{wire.Bck{Name: "b", Provider: "aws"}, true, false, meta.DurabilityNone},
	} {
		p := meta.DefaultBprops(tc.bck, c)
		if err := p.Validate(); err != nil {
			t.Errorf("%s: %v", tc.bck, err)
		}
		if p.LRU.Enabled != tc.lru || p.Versioning.Enabled != tc.versioning || p.Durability != tc.durability || p.Features != feature.FsyncPUT || p.Provider != tc.bck.Provider {
			t.Errorf("%s: %+v", tc.bck, p)
		}
	}
}

func TestSyncWrites(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		durability string
		features   feature.Flags
		want       bool
	}{{"sync", 0, true}, {"none", 0, false}, {"redundant", 0, true}, {"none", feature.FsyncPUT, true}} {
		p := meta.Bprops{Durability: tc.durability, Features: tc.features}
		if p.SyncWrites() != tc.want {
			t.Errorf("%+v: %v", tc, !tc.want)
		}
	}
}

func set(t *testing.T, p *meta.Bprops, text string) error {
	t.Helper()
	var toSet meta.BpropsToSet
	if err := json.Unmarshal([]byte(text), &toSet); err != nil {
		return err
	}
	return p.Set(&toSet)
}

func TestSetBprops(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, set string
		check     func(p *meta.Bprops) bool
	}{
		{"nothing", `{}`, func(p *meta.Bprops) bool { return reflect.DeepEqual(p, meta.DefaultBprops(aisBck("b"), defaults())) }},
		{"null leaves a key", `{"mirror":null,"access":null}`, func(p *meta.Bprops) bool { return p.Access == meta.AccessAll && p.Mirror.Copies == 2 }},
		{"one key of a section", `{"checksum":{"validate_warm_get":true}}`, func(p *meta.Bprops) bool { return p.Checksum.ValidateWarmGet && p.Checksum.Type == "xxhash2" }},
		{"numbers in quotes", `{"access":"771","features":"16"}`, func(p *meta.Bprops) bool { return p.Access == meta.AccessReadOnly && p.Features == feature.FsyncPUT }},
		{"features of the cluster are dropped", `{"features":"24"}`, func(p *meta.Bprops) bool { return p.Features == feature.FsyncPUT }},
		{"sizes and durations", `{"chunks":{"objsize_limit":"1.5GiB"},"lru":{"dont_evict_time":"90m"}}`,
			func(p *meta.Bprops) bool {
				return p.Chunks.ObjSizeLimit.String() == "1536MiB" && p.LRU.DontEvictTime.String() == "1h30m"
			}},
		{"zero is the default", `{"lru":{"capacity_upd_time":"0s","batch_size":0},"chunks":{"chunk_size":"0"},"write_policy":{"data":""}}`,
			func(p *meta.Bprops) bool {
				return p.LRU.CapacityUpdTime.String() == "10m" && p.LRU.BatchSize == 32768 && p.Chunks.ChunkSize.String() == "1GiB" && p.WritePolicy.Data == "immediate"
			}},
		{"durability", `{"durability":"none"}`, func(p *meta.Bprops) bool { return !p.SyncWrites() }},
		{"a mirror that stays off", `{"mirror":{"copies":1}}`, func(p *meta.Bprops) bool { return p.Mirror.Copies == 1 && !p.Mirror.Enabled }},
		{"eviction is an explicit choice", `{"lru":{"enabled":true}}`, func(p *meta.Bprops) bool { return p.LRU.Enabled }},
		{"what is off is turned off", `{"mirror":{"enabled":false},"ec":{"enabled":false},"lru":{"enabled":false}}`, func(*meta.Bprops) bool { return true }},
		{"no backend is detached", `{"backend_bck":{"name":"","provider":""},"force":true}`, func(p *meta.Bprops) bool { return !p.HasBackend() }},
		{"extra", `{"extra":{"custom":"x","gcp":{"application_creds":"/a/b"},"aws":{"multipart_size":"-1"}}}`,
			func(p *meta.Bprops) bool {
				return p.Extra.Custom == "x" && p.Extra.GCP.ApplicationCreds == "/a/b" && p.Extra.AWS.MultipartSize == -1
			}},
		{"rates", `{"rate_limit":{"frontend":{"max_tokens":500,"burst_size":250,"per_op_max_tokens":"get:10"}}}`,
			func(p *meta.Bprops) bool {
				return p.RateLimit.Frontend.MaxTokens == 500 && p.RateLimit.Frontend.BurstSize == 250 && p.RateLimit.Frontend.PerOpMaxTokens == "get:10"
			}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			p := meta.DefaultBprops(aisBck("b"), defaults())
			if err := set(t, p, tc.set); err != nil || !tc.check(p) {
				t.Errorf("%v %+v", err, p)
			}
		})
	}
}

func TestSetBpropsRefuses(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		set    string
		status int
		want   string
	}{
		{`{"mirrorr":{}}`, 400, `unknown property "mirrorr"`},
		{`{"mirror":{"copiez":3}}`, 400, `unknown property "mirror.copiez"`},
		{`{"extra":{"http":{}}}`, 400, `unknown property "extra.http"`},
		{`{"provider":"aws"}`, 400, `property "provider" is readonly`},
		{`{"bid":"1"}`, 400, `property "bid" is readonly`},
		{`{"created":"1"}`, 400, `property "created" is readonly`},
		{`{"Renamed":"x"}`, 400, `property "Renamed" is readonly`},
		{`{"access":771}`, 400, `"access"`},
		{`{"access":"x"}`, 400, `"access"`},
		{`{"features":16}`, 400, `"features"`},
		{`{"mirror":{"copies":"2"}}`, 400, `"mirror.copies"`},
		{`{"chunks":{"chunk_size":1024}}`, 400, `"chunks.chunk_size"`},
		{`{"lru":{"dont_evict_time":7200}}`, 400, `"lru.dont_evict_time"`},
		{`{"mirror":[]}`, 400, `"mirror"`},
		{`[]`, 400, "failed to unmarshal"},
		{`{"checksum":{"type":""}}`, 400, "invalid checksum.type"},
		{`{"checksum":{"type":"sha1"}}`, 400, "none xxhash xxhash2 md5 crc32c sha256 sha512"},
		{`{"write_policy":{"data":"delayed"}}`, 400, "write_policy.data"},
		{`{"write_policy":{"md":"later"}}`, 400, "write_policy.md"},
		{`{"durability":"maybe"}`, 400, "[sync none redundant]"},
		{`{"durability":""}`, 400, "durability"},
		{`{"features":"6144"}`, 400, "exclude each other"},
		{`{"mirror":{"enabled":true,"copies":33}}`, 400, "mirror.copies"},
		{`{"ec":{"enabled":true,"data_slices":33}}`, 400, "ec.data_slices"},
		{`{"mirror":{"enabled":true},"chunks":{"objsize_limit":"1GiB"}}`, 400, "exclude each other"},
		{`{"chunks":{"objsize_limit":"1GiB","checkpoint_every":2000}}`, 400, "chunks.checkpoint_every"},
		{`{"chunks":{"chunk_size":"6GiB"}}`, 400, "chunks.chunk_size"},
		{`{"lru":{"dont_evict_time":"1m"}}`, 400, "lru.dont_evict_time"},
		{`{"lru":{"batch_size":5}}`, 400, "lru.batch_size"},
		{`{"rate_limit":{"backend":{"interval":"2h"}}}`, 400, "rate_limit.backend.interval"},
		{`{"rate_limit":{"frontend":{"burst_size":501}}}`, 400, "rate_limit.frontend.burst_size"},
		{`{"extra":{"custom":"a\u0000b"}}`, 400, "extra.custom"},
		{`{"extra":{"custom":"` + strings.Repeat("x", 129) + `"}}`, 400, "extra.custom"},
		{`{"extra":{"gcp":{"application_creds":"a/../b"}}}`, 400, "extra.gcp.application_creds"},
		{`{"extra":{"oci":{"region":" x"}}}`, 400, "extra.oci.region"},
		{`{"backend_bck":{"name":"x"}}`, 400, "backend_bck"},
		{`{"backend_bck":{"name":"x","provider":"ais"}}`, 400, "must be a remote bucket"},
		{`{"backend_bck":{"name":"x","provider":"foo"}}`, 400, "backend_bck.provider"},
		{`{"backend_bck":{"name":"x","provider":"s3"}}`, 501, "backend_bck"},
		{`{"lru":{"enabled":true},"ec":{"enabled":true}}`, 400, "not evicted"},
		{`{"lru":{"capacity_upd_time":"20m"}}`, 400, "cluster's configuration"},
		{`{"lru":{"batch_size":2048}}`, 400, "cluster's configuration"},
		{`{"rate_limit":{"backend":{"enabled":true}}}`, 501, "rate_limit.backend.enabled"},
		{`{"durability":"redundant"}`, 501, "durability"},
	} {
		t.Run(tc.set, func(t *testing.T) {
			t.Parallel()
			p := meta.DefaultBprops(aisBck("b"), defaults())
			err := set(t, p, tc.set)
			if apierr.StatusOf(err) != tc.status || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, want %d with %q", err, tc.status, tc.want)
			}
			if diff := cmp.Diff(meta.DefaultBprops(aisBck("b"), defaults()), p); diff != "" {
				t.Errorf("refused, yet changed:\n%s", diff)
			}
		})
	}
}

func TestCloudBprops(t *testing.T) {
	t.Parallel()
	cloud := wire.Bck{Name: "b", Provider: wire.ProviderAWS}
	for text, want := range map[string]string{
		`{"versioning":{"enabled":true}}`:                    "versioning.enabled",
		`{"extra":{"aws":{"multipart_size":"1MiB"}}}`:        "extra.aws.multipart_size",
		`{"extra":{"aws":{"max_pagesize":10001}}}`:           "extra.aws.max_pagesize",
		`{"extra":{"aws":{"endpoint":"ftp://x"}}}`:           "extra.aws.endpoint",
		`{"extra":{"aws":{"profile":" x"}}}`:                 "extra.aws.profile",
		`{"backend_bck":{"name":"x","provider":"gcp"}}`:      "only a bucket of provider",
		`{"extra":{"aws":{"cloud_region":"eu-central-1 "}}}`: "extra.aws.cloud_region",
	} {
		err := set(t, meta.DefaultBprops(cloud, defaults()), text)
		if apierr.StatusOf(err) != 400 || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	p := meta.DefaultBprops(cloud, defaults())
	if err := set(t, p, `{"versioning":{"enabled":false},"extra":{"aws":{"endpoint":"https://s3.example.com","profile":"p","max_pagesize":500}}}`); err != nil || p.Extra.AWS.Profile != "p" {
		t.Errorf("%v %+v", err, p.Extra)
	}
}

func TestReset(t *testing.T) {
	t.Parallel()
	p := meta.DefaultBprops(aisBck("b"), defaults())
	p.BID, p.Created = 77, 88
	if err := set(t, p, `{"durability":"none","access":"771","checksum":{"type":"md5"}}`); err != nil {
		t.Fatal(err)
	}
	got, err := p.Reset(aisBck("b"), defaults())
	want := meta.DefaultBprops(aisBck("b"), defaults())
	want.BID, want.Created = 77, 88
	if err != nil || !cmp.Equal(got, want) {
		t.Errorf("%v\n%s", err, cmp.Diff(want, got))
	}
	p.BackendBck = wire.Bck{Name: "x", Provider: "aws"}
	if _, err := p.Reset(aisBck("b"), defaults()); apierr.StatusOf(err) != 400 {
		t.Errorf("a bucket with a backend is reset: %v", err)
	}
}

// That a bucket was erasure-coded is kept when that is turned off, however it is.
func TestEncodedIsKept(t *testing.T) {
	t.Parallel()
	p := meta.DefaultBprops(aisBck("b"), defaults())
	if err := set(t, p, `{"durability":"none"}`); err != nil || p.Sliced() {
		t.Errorf("a bucket that never was: %v", err)
	}
	if err := set(t, p, `{"ec":{"enabled":true}}`); err != nil || !p.Sliced() {
		t.Fatal(err)
	}
	reset, err := p.Reset(aisBck("b"), defaults())
	if err != nil || reset.EC.Enabled || !reset.Sliced() {
		t.Errorf("after a reset: %+v, %v", reset, err)
	}
	for _, change := range []string{`{"ec":{"enabled":false}}`, `{"durability":"sync"}`} {
		if err := set(t, p, change); err != nil || p.EC.Enabled || !p.Sliced() {
			t.Errorf("%s: %+v, %v", change, p, err)
		}
	}
	if err := set(t, p, `{"encoded":false}`); apierr.StatusOf(err) != 400 {
		t.Errorf("set by a client: %v", err)
	}
}

// Every settable property is one of Bprops, and every property that is not
// read-only can be set.
func TestToSetMatchesBprops(t *testing.T) {
	t.Parallel()
	var settable []string
	for _, key := range dotted.Keys(new(meta.Bprops)) {
		if !slices.Contains([]string{"provider", "Renamed", "bid", "created", "encoded"}, key) {
			settable = append(settable, key)
		}
	}
	settable = append(settable, "force")
	got := new(meta.BpropsToSet).Keys()
	slices.Sort(settable)
	slices.Sort(got)
	// the namespace of a backend is set as a whole
	got = slices.DeleteFunc(got, func(key string) bool { return strings.HasPrefix(key, "backend_bck.namespace.") })
	settable = slices.DeleteFunc(settable, func(key string) bool { return strings.HasPrefix(key, "backend_bck.namespace.") })
	if diff := cmp.Diff(settable, got); diff != "" {
		t.Error(diff)
	}
}

func TestSetText(t *testing.T) {
	t.Parallel()
	var s meta.BpropsToSet
	for key, text := range map[string]string{"access": "ro", "mirror.copies": "3", "durability": "none", "chunks.chunk_size": "1mb", "features": "16", "checksum.validate_warm_get": "yes"} {
		if err := s.SetText(key, text); err != nil {
			t.Errorf("%s: %v", key, err)
		}
	}
	data, err := json.Marshal(s)
	const want = `{"checksum":{"validate_warm_get":true},"chunks":{"chunk_size":"1MiB"},"mirror":{"copies":3},"access":"771","features":"16","durability":"none"}`
	if err != nil || string(data) != want {
		t.Errorf("%s, %v", data, err)
	}
	for key, want := range map[string]string{"bid": "readonly", "mirror.copiez": "unknown property", "mirror": "unknown property"} {
		if err := s.SetText(key, "1"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", key, err)
		}
	}
}

func TestAccess(t *testing.T) {
	t.Parallel()
	if meta.AccessReadOnly != 771 || meta.AccessReadWrite != 831 || meta.AccessAdmin != 131072 {
		t.Errorf("%d %d %d", meta.AccessReadOnly, meta.AccessReadWrite, meta.AccessAdmin)
	}
	for text, want := range map[string]meta.Access{"": 0, "ro": 771, "rw": 831, "su": 1<<64 - 1, "5": 5, "get,Put": 5} {
		if got, err := meta.ParseAccess(text); err != nil || got != want {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
	if _, err := meta.ParseAccess("get,fly"); err == nil {
		t.Error("fly is a permission")
	}
	if a := meta.AccessNone; !a.Allows(meta.AccessGet|meta.AccessPatch) || a.Allows(meta.AccessPut) {
		t.Error("reads and PATCH are always allowed, writes are not")
	}
	if got := (meta.AccessGet | meta.AccessListObjects).Describe(); got != "GET,LIST-OBJECTS" {
		t.Error(got)
	}
}

func FuzzBpropsToSet(f *testing.F) {
	for _, seed := range []string{`{}`, `{"mirror":{"enabled":true}}`, `{"access":"771","features":"16","durability":"none"}`, `{"extra":{"aws":{"multipart_size":"5MiB"}}}`, `{"force":true}`, `null`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var toSet meta.BpropsToSet
		if err := json.Unmarshal(data, &toSet); err != nil {
			return
		}
		p := meta.DefaultBprops(aisBck("b"), defaults())
		if err := p.Set(&toSet); err != nil {
			if status := apierr.StatusOf(err); status != 400 && status != 501 {
				t.Errorf("status %d: %v", status, err)
			}
			return
		}
		if err := p.Validate(); err != nil {
			t.Errorf("what was accepted is not valid: %v", err)
		}
	})
}
