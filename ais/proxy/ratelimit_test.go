package proxy_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/ais/aistest"
)

// limited creates a bucket with a limit that refills too slowly to matter here.
func limited(t *testing.T, c *aistest.Cluster, name, frontend string) {
	t.Helper()
	createBucket(t, c, name, `{"durability":"none","rate_limit":{"frontend":{"enabled":true,"interval":"1h",`+frontend+`}}}`)
}

func TestLimitOfRates(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{Proxies: 1, Targets: 1})
	limited(t, c, "b", `"max_tokens":20,"burst_size":4`)
	object := c.Proxies[0].URL() + "/v1/objects/b/o"
	for range 4 {
		expect(t, http.StatusOK, follower, http.MethodPut, object, "x")
	}
	res, body := expect(t, http.StatusTooManyRequests, follower, http.MethodPut, object, "x")
	e := errorBody(t, res, body)
	if e.TypeCode != "ErrRateLimitFrontend" || e.Message != "Too Many Requests" {
		t.Errorf("the 429 says %+v", e)
	}
	if res.Header.Get("Retry-After") == "" {
		t.Error("the 429 does not say when to come back")
	}
	// Each operation has tokens of its own, and HEAD and listings need none.
	for range 4 {
		expect(t, http.StatusOK, follower, http.MethodGet, object, "")
	}
	expect(t, http.StatusTooManyRequests, follower, http.MethodGet, object, "")
	for range 6 {
		expect(t, http.StatusOK, follower, http.MethodHead, object, "")
	}
	expect(t, http.StatusOK, follower, http.MethodDelete, object, "")
	// A changed limit counts at once, and without one nothing is refused.
	set := func(props string) {
		t.Helper()
		expect(t, http.StatusOK, follower, http.MethodPatch, c.Proxies[0].URL()+"/v1/buckets/b", `{"action":"set-bprops","value":`+props+`}`)
	}
	set(`{"rate_limit":{"frontend":{"enabled":false}}}`)
	for range 6 {
		expect(t, http.StatusOK, follower, http.MethodPut, object, "x")
	}
}

func TestLimitOfRatesOfOneVerb(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{Proxies: 1, Targets: 1})
	// 3,600 GETs in an hour of which two at once: one more a second.
	limited(t, c, "b", `"max_tokens":10,"burst_size":2,"per_op_max_tokens":"get:1000000"`)
	object := c.Proxies[0].URL() + "/v1/objects/b/o"
	expect(t, http.StatusOK, follower, http.MethodPut, object, "x")
	expect(t, http.StatusOK, follower, http.MethodPut, object, "x")
	expect(t, http.StatusTooManyRequests, follower, http.MethodPut, object, "x")
	served := 0
	for served < 20 { // 277 a second: they come back within moments
		res, body := send(t, follower, http.MethodGet, object, "")
		switch res.StatusCode {
		case http.StatusOK:
			served++
		case http.StatusTooManyRequests:
		default:
			t.Fatalf("%d %s", res.StatusCode, body)
		}
	}
}

// The gateways of a cluster share a limit.
func TestLimitOfRatesIsShared(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{Proxies: 2, Targets: 1})
	limited(t, c, "b", `"max_tokens":20,"burst_size":8`)
	served, refused := 0, 0
	for i := range 16 {
		gateway := c.Proxies[i%2]
		res, body := send(t, follower, http.MethodPut, gateway.URL()+"/v1/objects/b/o", "x")
		switch res.StatusCode {
		case http.StatusOK:
			served++
		case http.StatusTooManyRequests:
			refused++
		default:
			t.Fatalf("%d %s", res.StatusCode, strings.TrimSpace(body))
		}
	}
	if served != 8 || refused != 8 {
		t.Errorf("%d of 16 were served, a burst of 8 was allowed", served)
	}
}

// TestLimitOfRatesOfAllWrites: appends, parts and copies are writes, too, and
// take of the same tokens.
func TestLimitOfRatesOfAllWrites(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{Proxies: 1, Targets: 1})
	limited(t, c, "b", `"max_tokens":20,"burst_size":5`)
	object := c.Proxies[0].URL() + "/v1/objects/b/o"
	_, id := expect(t, http.StatusOK, follower, http.MethodPost, object, `{"action":"mpt-upload"}`) // needs none
	part := object + "?uploadId=" + id + "&partNumber="
	expect(t, http.StatusOK, follower, http.MethodPut, part+"1", "x")
	expect(t, http.StatusOK, follower, http.MethodPut, part+"2", "y")
	res, _ := expect(t, http.StatusOK, follower, http.MethodPut, object+"?append_type=append", "appended")
	more := "&append_handle=" + url.QueryEscape(res.Header.Get("Ais-Append-Handle"))
	expect(t, http.StatusOK, follower, http.MethodPut, object+"?append_type=flush"+more, "")
	expect(t, http.StatusOK, follower, http.MethodPut, object+"?object_to="+url.QueryEscape("ais/@#/b/copy"), "")
	for _, query := range []string{
		"", "?uploadId=" + id + "&partNumber=3", "?append_type=append", "?append_type=append" + more, "?append_type=flush" + more,
		"?object_to=" + url.QueryEscape("ais/@#/b/copy"),
	} {
		res, body := expect(t, http.StatusTooManyRequests, follower, http.MethodPut, object+query, "x")
		if e := errorBody(t, res, body); e.TypeCode != "ErrRateLimitFrontend" || res.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %+v", query, e)
		}
	}
	// The upload can be ended: neither its completion nor metadata is limited.
	expect(t, http.StatusOK, follower, http.MethodPost, object+"?uploadId="+id, `{"action":"mpt-complete","value":[{"part-number":1},{"part-number":2}]}`)
	expect(t, http.StatusOK, follower, http.MethodPatch, object, `{"value":{"k":"v"}}`)
	if _, body := expect(t, http.StatusOK, follower, http.MethodGet, object, ""); body != "xy" {
		t.Errorf("%q", body)
	}
}
