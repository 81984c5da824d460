package proxy_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/ais/aistest"
	"github.com/aistore-go/aistore/cmn/wire"
)

// propsOf reads the properties of a bucket through a gateway.
func propsOf(t *testing.T, url string) map[string]any {
	t.Helper()
	res, _ := expect(t, 200, follower, http.MethodHead, url, "")
	var props map[string]any
	if err := json.Unmarshal([]byte(res.Header.Get("Ais-Bucket-Props")), &props); err != nil {
		t.Fatal(err)
	}
	return props
}

func TestBucketLife(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{Proxies: 3, Targets: 2})
	first, second := c.Proxies[1].URL()+"/v1/buckets/", c.Proxies[2].URL()+"/v1/buckets/"
	res, body := expect(t, 200, strict, "POST", first+"b", `{"action":"create-bck","value":null}`)
	if body != "" || res.ContentLength != 0 {
		t.Errorf("body %q", body)
	}
	props := propsOf(t, second+"b")
	bid := props["bid"]
	for key, want := range map[string]any{
		"provider": "ais", "Renamed": "", "access": "18446744073709551615", "features": "0", "durability": "sync",
	} {
		if props[key] != want {
			t.Errorf("%s is %v, want %v", key, props[key], want)
		}
	}
	expect(t, 200, follower, "PUT", strings.Replace(first, "buckets", "objects", 1)+"b/o", "old")
	res, body = expect(t, 409, strict, "POST", second+"b", `{"action":"create-bck"}`)
	if e := errorBody(t, res, body); e.TypeCode != "ErrBucketAlreadyExists" || e.Message != `bucket "ais://b" already exists` {
		t.Error(e)
	}
	expect(t, 200, strict, "POST", first+"b?namespace=%40%23ns", `{"action":"create-bck"}`) // another bucket

	expect(t, 200, strict, "DELETE", second+"b?provider=ais", `{"action":"destroy-bck"}`)
	expect(t, 404, strict, "HEAD", first+"b", "")
	expect(t, 200, strict, "POST", first+"b", `{"action":"create-bck","value":{"checksum":{"type":"md5"},"durability":"none"}}`)
	props = propsOf(t, first+"b")
	if props["bid"] == bid || props["durability"] != "none" || props["checksum"].(map[string]any)["type"] != "md5" {
		t.Errorf("created again: %v", props)
	}
	expect(t, 404, follower, "GET", strings.Replace(first, "buckets", "objects", 1)+"b/o", "")
}

func TestBucketProps(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{Proxies: 2})
	createBucket(t, c, "b")
	url := c.Proxies[1].URL() + "/v1/buckets/b"
	before := propsOf(t, url)
	_, body := expect(t, 200, strict, "PATCH", url, `{"action":"set-bprops","value":{"versioning":{"enabled":false},"lru":{"dont_evict_time":"3h"},"extra":{"custom":"x y"},"access":"1795"}}`)
	if body != "" {
		t.Errorf("body %q", body)
	}
	props := propsOf(t, url)
	if props["versioning"].(map[string]any)["enabled"] != false || props["access"] != "1795" ||
		props["lru"].(map[string]any)["dont_evict_time"] != "3h0m" || props["extra"].(map[string]any)["custom"] != "x y" {
		t.Errorf("%v", props)
	}
	expect(t, 403, strict, "DELETE", url, `{"action":"destroy-bck"}`)
	expect(t, 200, strict, "PATCH", url, `{"action":"reset-bprops"}`)
	after := propsOf(t, url)
	for key := range before {
		a, _ := json.Marshal(before[key])
		b, _ := json.Marshal(after[key])
		if string(a) != string(b) {
			t.Errorf("after a reset %s is %s, was %s", key, b, a)
		}
	}
	for key := range after["extra"].(map[string]any) {
		if !strings.Contains("aws gcp oci custom", key) {
			t.Errorf("extra.%s would make clients fail", key)
		}
	}
}

func TestBadBucketRequests(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{Proxies: 2})
	createBucket(t, c, "b")
	base := c.Proxies[1].URL()
	create, destroy := `{"action":"create-bck"}`, `{"action":"destroy-bck"}`
	long := strings.Repeat("b", 65)
	for _, tc := range []struct {
		name, method, path, body string
		status                   int
		code, text               string
	}{
		{"name *", "POST", "/v1/buckets/*", create, 400, "", "bucket name is invalid: may only contain"},
		{"name .", "POST", "/v1/buckets/.", create, 400, "", "bucket name"},
		{"no name", "POST", "/v1/buckets", create, 400, "", "too short"},
		{"no name, slash", "POST", "/v1/buckets/", create, 400, "", "too short"},
		{"blank", "POST", "/v1/buckets/%20", create, 400, "", "bucket name is invalid"},
		{"blanks", "POST", "/v1/buckets/bucket%20and%20name", create, 400, "", "bucket name is invalid"},
		{"slash", "POST", "/v1/buckets/bucket/name", create, 400, "", "invalid request URI"},
		{"$", "POST", "/v1/buckets/$name", create, 400, "", "bucket name is invalid"},
		{"~", "POST", "/v1/buckets/~name", create, 400, "", "bucket name is invalid"},
		{"long", "POST", "/v1/buckets/" + long, create, 400, "", "bucket name is too long: 65 > 64(max length)"},
		{"reserved", "POST", "/v1/buckets/.x", create, 400, "", `reserved bucket name ".x"`},
		{"provider", "POST", "/v1/buckets/n?provider=nfs", create, 400, "ErrInvalidBackendProvider", ""},
		{"namespace", "POST", "/v1/buckets/n?namespace=%40%23a%2Fb", create, 400, "", "namespace"},
		{"no JSON", "POST", "/v1/buckets/n", "{", 400, "", "failed to unmarshal"},
		{"empty", "POST", "/v1/buckets/n", "", 400, "", "failed to unmarshal"},
		{"unknown action", "POST", "/v1/buckets/n", `{"action":"x"}`, 400, "", `invalid action "x"`},
		{"unknown action PATCH", "PATCH", "/v1/buckets/b", `{"action":"x"}`, 400, "", `invalid action "x" (expected one of [set-bprops reset-bprops])`},
		{"unknown action DELETE", "DELETE", "/v1/buckets/b", `{"action":"x"}`, 400, "", `invalid action "x"`},
		{"unknown action GET", "GET", "/v1/buckets/b", `{"action":"x"}`, 400, "", `invalid action "x"`},
		{"unknown property", "POST", "/v1/buckets/n", `{"action":"create-bck","value":{"mirror":{"copis":1}}}`, 400, "", `unknown property "mirror.copis"`},
		{"readonly property", "PATCH", "/v1/buckets/b", `{"action":"set-bprops","value":{"provider":"aws"}}`, 400, "", `property "provider" is readonly`},
		{"access as number", "PATCH", "/v1/buckets/b", `{"action":"set-bprops","value":{"access":3}}`, 400, "", "access"},
		{"checksum type", "POST", "/v1/buckets/n", `{"action":"create-bck","value":{"checksum":{"type":"sha1"}}}`, 400, "", "sha1"},
		{"ec", "PATCH", "/v1/buckets/b", `{"action":"set-bprops","value":{"ec":{"enabled":true,"data_slices":25,"parity_slices":25}}}`, 400, "ErrNotEnoughTargets", "EC configuration (D = 25, P = 25) requires at least 51 targets"},
		{"redundant", "PATCH", "/v1/buckets/b", `{"action":"set-bprops","value":{"durability":"redundant"}}`, 501, "ErrNotImpl", "durability"},
		{"write policy", "PATCH", "/v1/buckets/b", `{"action":"set-bprops","value":{"write_policy":{"data":"never"}}}`, 400, "", "write_policy.data"},
		{"cloud", "POST", "/v1/buckets/n?provider=s3", create, 501, "ErrFailedTo", "AWS backend is missing"},
		{"skip lookup of ais", "POST", "/v1/buckets/n?dont_head_remote_bck=true", create, 501, "ErrUnsupp", "cannot skip lookup for the ais://n bucket - operation not supported"},
		{"remote cluster", "POST", "/v1/buckets/n?namespace=%40abc%23", create, 400, "", "no remote clusters"},
		{"destroy missing", "DELETE", "/v1/buckets/n", destroy, 404, "ErrBckNotFound", `bucket "ais://n" does not exist`},
		{"destroy cloud", "DELETE", "/v1/buckets/n?provider=s3", destroy, 405, "ErrUnsupp", "cannot destroy cloud bucket s3://n - operation not supported"},
		{"destroy with slash", "DELETE", "/v1/buckets/b/x", destroy, 400, "", "bucket name is invalid"},
		{"evict ais", "DELETE", "/v1/buckets/b", `{"action":"evict-remote-bck"}`, 400, "ErrNotRemoteBck", "evict-remote-bck: expecting remote bucket (have ais://b)"},
		{"head missing", "HEAD", "/v1/buckets/n", "", 404, "ErrBckNotFound", `bucket "ais://n" does not exist`},
		{"head cloud", "HEAD", "/v1/buckets/n?provider=gs", "", 404, "ErrFailedTo", "GCP backend is missing in the cluster configuration"},
		{"head remote", "HEAD", "/v1/buckets/n?namespace=%40abc%23", "", 404, "ErrRemoteBckNotFound", `remote bucket "ais://@abc/n" does not exist`},
		{"presence", "HEAD", "/v1/buckets/b?presence=abc", "", 400, "", "presence"},
		{"prefix without info", "HEAD", "/v1/buckets/b/p", "", 400, "", "bsumm_remote"},
		{"bare slash", "HEAD", "/v1/buckets/b/", "", 400, "", "invalid request URI"},
		{"props of missing", "PATCH", "/v1/buckets/n", `{"action":"set-bprops","value":{}}`, 404, "ErrBckNotFound", `bucket "ais://n" does not exist`},
		{"prefetch", "POST", "/v1/buckets/b", `{"action":"prefetch-listrange","value":{}}`, 400, "ErrNotRemoteBck", "prefetch-listrange"},
		{"archive", "PUT", "/v1/buckets/b", `{"action":"archive","value":{}}`, 501, "ErrNotImpl", "archive"},
		{"list cloud", "GET", "/v1/buckets?provider=aws", `{"action":"list"}`, 400, "ErrMissingBackend", "AWS backend is missing in the cluster configuration"},
		{"list bad provider", "GET", "/v1/buckets?provider=x", `{"action":"list"}`, 400, "ErrInvalidBackendProvider", ""},
		{"list name differs", "GET", "/v1/buckets/b", `{"action":"list","name":"c"}`, 400, "", "differs"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			res, body := expect(t, tc.status, strict, tc.method, base+tc.path, tc.body, "Content-Type: application/json")
			e := errorBody(t, res, body)
			if e.TypeCode != tc.code || !strings.Contains(e.Message, tc.text) {
				t.Errorf("%q %q, want %q and %q in the message", e.TypeCode, e.Message, tc.code, tc.text)
			}
		})
	}
	t.Run("evict of what is not here", func(t *testing.T) {
		t.Parallel()
		expect(t, 200, strict, "DELETE", base+"/v1/buckets/n", `{"action":"evict-remote-bck"}`)
		expect(t, 200, strict, "DELETE", base+"/v1/buckets/n?provider=s3&keep_bck_md=False", `{"action":"evict-remote-bck"}`)
	})
	t.Run("keys are matched in any case, unknown top-level keys are ignored", func(t *testing.T) {
		t.Parallel()
		expect(t, 200, strict, "POST", base+"/v1/buckets/any-case", `{"Action":"create-bck","NAME":"","Value":null,"extra":1}`)
	})
}

func TestListBuckets(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{Proxies: 2})
	base := c.Proxies[1].URL()
	list := func(query, name string) string {
		t.Helper()
		res, body := expect(t, 200, strict, "GET", base+"/v1/buckets"+query, `{"action":"list","name":"`+name+`","value":null}`, "Content-Type: application/json")
		if res.Header.Get("Content-Type") != wire.ContentJSONUTF8 || !strings.HasSuffix(body, "\n") {
			t.Errorf("%v %q", res.Header, body)
		}
		var buckets []wire.Bck
		if err := json.Unmarshal([]byte(body), &buckets); err != nil || buckets == nil {
			t.Fatalf("%q: %v", body, err)
		}
		var names []string
		for _, b := range buckets {
			names = append(names, b.String())
		}
		return strings.Join(names, " ")
	}
	for query, want := range map[string]string{"": "", "/?provider=ais": "", "?provider=aws&presence=2": "", "?provider=ais&namespace=%40%40%23": ""} {
		if got := list(query, ""); got != want {
			t.Errorf("%s: %q", query, got)
		}
	}
	for _, path := range []string{"b2", "b1", "b1?namespace=%40%23ns1", "b0?namespace=%40%23ns2"} {
		expect(t, 200, strict, "POST", base+"/v1/buckets/"+path, `{"action":"create-bck"}`)
	}
	for _, tc := range []struct{ query, name, want string }{
		{"", "", "ais://b1 ais://b2 ais://#ns1/b1 ais://#ns2/b0"},
		{"?provider=ais", "b1", "ais://b1 ais://#ns1/b1"},
		{"?provider=ais&namespace=%40%23ns1", "", "ais://#ns1/b1"},
		{"?provider=ais", "b9", ""},
		{"?provider=ais&presence=5&sys=true", "b2", "ais://b2"},
		{"?provider=gs&presence=3", "", ""},
	} {
		if got := list(tc.query, tc.name); got != tc.want {
			t.Errorf("%s %s: %q, want %q", tc.query, tc.name, got, tc.want)
		}
	}
}

// TestWithoutAMajority: metadata is still readable, and says so.
func TestWithoutAMajority(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{})
	createBucket(t, c, "b")
	c.Metadata.SetStale(true)
	base := c.Proxies[0].URL() + "/v1/buckets"
	for _, tc := range []struct{ method, url, body string }{
		{"HEAD", base + "/b", ""},
		{"GET", base, `{"action":"list"}`},
		{"GET", base + "/b", `{"action":"list","value":{}}`},
	} {
		if res, _ := expect(t, 200, strict, tc.method, tc.url, tc.body); res.Header.Get("Ais-Stale") != "true" {
			t.Errorf("%s %s: no Ais-Stale", tc.method, tc.url)
		}
	}
	c.Metadata.SetStale(false)
	if res, _ := expect(t, 200, strict, "HEAD", base+"/b", ""); res.Header["Ais-Stale"] != nil {
		t.Error("Ais-Stale with a majority")
	}
}
