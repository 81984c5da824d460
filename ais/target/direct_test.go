package target_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/ais/aistest"
	"github.com/aistore-go/aistore/cmn/hrw"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// owned returns a name of bucket "b" that a target owns.
func owned(t *testing.T, c *aistest.Cluster, by *aistest.Node) string {
	t.Helper()
	bck := wire.Bck{Name: "b", Provider: wire.ProviderAIS}
	for i := range 1000 {
		name := fmt.Sprintf("dir/o %d", i)
		owner, err := c.Metadata.View().Smap.Owner(hrw.Digest(bck.Uname(name)))
		if err != nil {
			t.Fatal(err)
		}
		if owner.ID == by.ID() {
			return name
		}
	}
	t.Fatalf("%s owns nothing", by.ID())
	return ""
}

const (
	marker = "?pid=proxy-001&utm=abc&vpams="
	direct = "Ais-Smap-Version: "
)

func TestDirectAccess(t *testing.T) {
	t.Parallel()
	c := cluster(t, 2, `{"durability":"none"}`)
	one, two := c.Targets[0], c.Targets[1]
	mine, other := owned(t, c, one), owned(t, c, two)

	for _, method := range []string{"PUT", "DELETE"} {
		res, body := expect(t, 400, strict, method, object(one, mine), strings.NewReader("x"))
		if e := message(t, res, body); e.Message != "t[target-001]: "+method+"(obj) is expected to be redirected" {
			t.Error(e.Message)
		}
	}
	for _, bad := range []string{"x", "-1", "0", "1.5"} {
		expect(t, 400, strict, "PUT", object(one, mine), strings.NewReader("x"), direct+bad)
	}
	expect(t, 200, strict, "PUT", object(one, mine), strings.NewReader("mine"), direct+"1")
	expect(t, 200, strict, "PUT", object(one, mine)+marker+"1", strings.NewReader("mine"))
	if _, body := expect(t, 200, strict, "GET", object(one, mine), nil); body != "mine" {
		t.Errorf("%q", body)
	}
	expect(t, 200, strict, "HEAD", object(one, mine), nil)

	// a target that is not the owner sends a direct client on, as a gateway would
	expect(t, 200, follower, "PUT", object(one, other), strings.NewReader("other"), direct+"1")
	for method, status := range map[string]int{"GET": 301, "HEAD": 307, "PUT": 307, "DELETE": 307} {
		res, _ := expect(t, status, strict, method, object(one, other)+"?provider=ais", nil, direct+"1")
		if loc := res.Header.Get("Location"); !strings.HasPrefix(loc, object(two, other)+"?provider=ais&pid=target-001&utm=") {
			t.Errorf("%s: %s", method, loc)
		}
	}
	if _, body := expect(t, 200, follower, "GET", object(one, other), nil); body != "other" {
		t.Errorf("%q", body)
	}
	// but not one that was redirected already
	for _, method := range []string{"GET", "PUT", "DELETE", "HEAD"} {
		res, _ := expect(t, 503, strict, method, object(one, other)+marker+"1", nil)
		if res.Header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", method)
		}
	}
	c.Metadata.SetDown("target-002", true)
	res, _ := expect(t, 503, strict, "GET", object(one, other), nil)
	if res.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	expect(t, 200, strict, "DELETE", object(one, mine), nil, direct+"1")
	expect(t, 404, strict, "GET", object(one, mine), nil)
}

// TestTargetBehindCatchesUp: a request that was made by a newer map is judged
// by that map.
func TestTargetBehindCatchesUp(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"redirected", "direct"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			c := cluster(t, 2, `{"durability":"none"}`)
			one, two := c.Targets[0], c.Targets[1]
			name := owned(t, c, two)
			if err := c.Metadata.SetLagging(one.ID(), true); err != nil {
				t.Fatal(err)
			}
			left := *two.Snode()
			left.Flags |= meta.FlagMaintenance
			c.ChangeSmap(t, &meta.SmapPatch{Put: []*meta.Snode{&left}})

			if how == "redirected" {
				expect(t, 503, strict, "PUT", object(one, name)+marker+"1", strings.NewReader("x")) // by the old map
				expect(t, 200, strict, "PUT", object(one, name)+marker+"2", strings.NewReader("x"))
			} else {
				expect(t, 307, strict, "PUT", object(one, name), strings.NewReader("x"), direct+"1")
				expect(t, 200, strict, "PUT", object(one, name), strings.NewReader("x"), direct+"2")
			}
			if _, body := expect(t, 200, strict, "GET", object(one, name), nil); body != "x" {
				t.Errorf("%q", body)
			}
		})
	}
}

// TestFencedTargetDoesNotWrite, nor does it serve.
func TestFencedTargetDoesNotWrite(t *testing.T) {
	t.Parallel()
	c := cluster(t, 1, `{"durability":"none"}`)
	url := object(c.Targets[0], "o")
	expect(t, 200, strict, "PUT", url, strings.NewReader("x"), direct+"1")
	c.Metadata.SetFenced("target-001", "a test says so")
	for _, method := range []string{"PUT", "GET", "DELETE"} {
		res, body := expect(t, 503, strict, method, url, nil, direct+"1")
		if e := message(t, res, body); !strings.Contains(e.Message, "a test says so") {
			t.Error(e)
		}
	}
	c.Metadata.SetFenced("target-001", "")
	if _, body := expect(t, 200, strict, "GET", url, nil); body != "x" {
		t.Errorf("%q", body)
	}
}

func TestDirectRequestsObeyTheBucket(t *testing.T) {
	t.Parallel()
	c := cluster(t, 1, `{"access":"1795"}`)
	target := c.Targets[0]
	res, body := expect(t, 403, strict, "PUT", object(target, "o"), strings.NewReader("x"), direct+"1")
	if e := message(t, res, body); e.TypeCode != "ErrBucketAccessDenied" {
		t.Error(e)
	}
	expect(t, 404, strict, "GET", target.URL()+"/v1/objects/nob/o", nil)
}

func TestTargetRefuses(t *testing.T) {
	t.Parallel()
	c := cluster(t, 1, `{}`)
	target := c.Targets[0]
	for _, tc := range []struct {
		method, path, body, header string
		status                     int
	}{
		{"GET", "/v1/objects/b/o?archpath=x", "", "", 501},
		{"GET", "/v1/objects/b/o?etl_name=x", "", "", 501},
		{"PUT", "/v1/objects/b/o?append_type=append", "x", "", 400}, // no version of the map
		{"PUT", "/v1/objects/b/o?object_to=x", "x", direct + "1", 400},
		{"PATCH", "/v1/objects/b/o", "{}", "", 400},
		{"POST", "/v1/objects/b/o", `{"action":"rename-obj","name":"p"}`, "", 400},
		{"POST", "/v1/objects/b/o", `{"action":"rename-obj"}`, direct + "1", 400},
		{"POST", "/v1/objects/b/o", `{"action":"promote"}`, direct + "1", 400},
		{"POST", "/v1/objects/b/o", `{"action":"x"}`, "", 400},
		{"GET", "/v1/objects/b", "", "", 400},
		{"PUT", "/v1/objects/b/a%00", "x", direct + "1", 400},
		{"PUT", "/v1/objects/b/a/..%2Fb", "x", direct + "1", 400},
		{"POST", "/v1/buckets/b", `{"action":"create-bck"}`, "", 400},
		{"GET", "/v1/buckets", "", "", 400},
		{"POST", "/v1/intra/list/b", "{}", "", 400}, // no such path for clients
		{"GET", "/v1/ml/moss/b", "", "", 501},
		{"GET", "/s3/b", "", "", 501},
	} {
		var headers []string
		if tc.header != "" {
			headers = append(headers, tc.header)
		}
		res, body := expect(t, tc.status, strict, tc.method, target.URL()+tc.path, strings.NewReader(tc.body), headers...)
		message(t, res, body)
	}
	res, body := expect(t, 403, strict, "GET", object(target, "o"), nil, "Ais-Caller-Id: proxy-001")
	if e := message(t, res, body); !strings.HasPrefix(e.Message, "unexpected intra-cluster header on pub: ") {
		t.Error(e)
	}
	// names are listed for nodes of this cluster only
	intra := target.Snode().IntraData.URL + "/v1/intra/list/b"
	expect(t, 403, strict, "POST", intra, strings.NewReader("{}"))
	expect(t, 403, strict, "POST", intra, strings.NewReader("{}"), "Ais-Caller-Id: stranger1")
	expect(t, 200, strict, "POST", intra, strings.NewReader("{}"), "Ais-Caller-Id: proxy-001")
	expect(t, http.StatusBadRequest, strict, "POST", target.Snode().IntraData.URL+"/v1/intra/other/b", strings.NewReader("{}"), "Ais-Caller-Id: proxy-001")
}

// TestDestroyedBucketTakesItsObjects, also when the bucket is made again.
func TestDestroyedBucketTakesItsObjects(t *testing.T) {
	t.Parallel()
	c := cluster(t, 2, `{"durability":"none"}`)
	p := c.Proxies[0]
	expect(t, 200, follower, "PUT", object(p, "o"), strings.NewReader("x"))
	expect(t, 200, follower, "DELETE", p.URL()+"/v1/buckets/b", strings.NewReader(`{"action":"destroy-bck"}`))
	for _, target := range c.Targets {
		expect(t, 404, strict, "GET", object(target, owned(t, c, target)), nil)
	}
	expect(t, 200, follower, "POST", p.URL()+"/v1/buckets/b", strings.NewReader(`{"action":"create-bck"}`))
	expect(t, 404, follower, "GET", object(p, "o"), nil)
}
