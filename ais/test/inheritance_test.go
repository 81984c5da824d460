package test

import (
	"net/http"
	"strings"
	"testing"
)

// TestBucketsInheritTheConfiguration: a bucket has the sections of the cluster's
// configuration at the moment of its creation; later changes are for later
// buckets, and for those that are reset.
func TestBucketsInheritTheConfiguration(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2, 2)
	p := c.nodes[0]
	createBucket(t, p, "early", "")
	must(t, http.StatusOK, http.MethodPut, p.URL()+"/v1/cluster/set-config?checksum.type=sha256&checksum.enable_read_range=true&versioning.enabled=false&mirror.copies=3", "")
	createBucket(t, c.nodes[1], "late", "")
	createBucket(t, p, "own", `{"checksum":{"type":"md5"}}`)
	for _, tc := range []struct{ bucket, kind, version, props string }{
		{"early", "xxhash2", "1", `"enable_read_range":false`},
		{"late", "sha256", "", `"enable_read_range":true`},
		{"own", "md5", "", `"enable_read_range":true`}, // what was not mentioned
	} {
		a := must(t, http.StatusOK, http.MethodPut, objectURL(p, tc.bucket, "o"), "content")
		if a.header.Get("Ais-Checksum-Type") != tc.kind || a.header.Get("Ais-Version") != tc.version {
			t.Errorf("%s: %v", tc.bucket, a.header)
		}
		props := must(t, http.StatusOK, http.MethodHead, p.URL()+"/v1/buckets/"+tc.bucket, "").header.Get("Ais-Bucket-Props")
		if !strings.Contains(props, `"type":"`+tc.kind+`"`) || !strings.Contains(props, tc.props) || !strings.Contains(props, `"lru":{`) || strings.Contains(props, `"enabled":true,"batch`) {
			t.Errorf("%s: %s", tc.bucket, props)
		}
	}
	must(t, http.StatusOK, http.MethodPatch, p.URL()+"/v1/buckets/early", `{"action":"reset-bprops"}`, "Content-Type", jsonType)
	if a := must(t, http.StatusOK, http.MethodPut, objectURL(p, "early", "o2"), "content"); a.header.Get("Ais-Checksum-Type") != "sha256" || a.header.Get("Ais-Version") != "" {
		t.Errorf("after a reset: %v", a.header)
	}
	// An object keeps the checksum that it was written with.
	if a := must(t, http.StatusOK, http.MethodGet, objectURL(p, "early", "o"), ""); a.body != "content" || a.header.Get("Ais-Checksum-Type") != "xxhash2" || a.header.Get("Ais-Version") != "1" {
		t.Errorf("an object of before: %v", a.header)
	}
}
