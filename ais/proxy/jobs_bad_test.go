package proxy_test

import (
	"strings"
	"testing"

	"github.com/aistore-go/aistore/ais/aistest"
)

// TestJobsThatAreNotStarted: starts of jobs with a wrong bucket, a wrong value, or values
// that do not go together are answered by any gateway with what is wrong, and nothing
// is started. (What TestBadBulkRequests has is not repeated.)
func TestJobsThatAreNotStarted(t *testing.T) {
	t.Parallel()
	b := newBulk(t, aistest.Options{Mountpaths: 2, Promote: t.TempDir()})
	createBucket(t, b.c, "b")
	target := b.c.Targets[0].ID()
	before := b.c.Metadata.View().BMD.Version
	start := func(value string) string { return `{"action":"start","value":` + value + `}` }
	for _, tc := range []struct {
		name, method, path, body string
		status                   int
		text                     string
	}{
		{"unknown kind", "PUT", "/cluster", start(`{"Kind":"nonsense"}`), 400, "nonsense"},
		{"no kind", "PUT", "/cluster", start(`{}`), 400, "kind"},
		{"unknown key of a start", "PUT", "/cluster", start(`{"Kind":"lru","Bkt":{"name":"b"}}`), 400, "Bkt"},
		{"scrub of no bucket", "PUT", "/cluster", start(`{"Kind":"scrub","Bck":{"name":"none","provider":"ais"}}`), 404, "ais://none"},
		{"lru of no bucket", "PUT", "/cluster", start(`{"Kind":"lru","Buckets":[{"name":"none","provider":"ais"}]}`), 404, "ais://none"},
		{"forced lru of everything", "PUT", "/cluster", start(`{"Kind":"lru","Force":true}`), 400, "force"},
		{"cleanup of no bucket", "PUT", "/cluster", start(`{"Kind":"cleanup-store","Bck":{"name":"none","provider":"ais"}}`), 404, "ais://none"},
		{"warm-up of everything", "PUT", "/cluster", start(`{"Kind":"load-lom-cache"}`), 400, "bucket"},
		{"warm-up of no bucket", "PUT", "/cluster", start(`{"Kind":"load-lom-cache","Bck":{"name":"none","provider":"ais"}}`), 404, "ais://none"},
		{"rebalance of no bucket", "PUT", "/cluster", start(`{"Kind":"rebalance","Bck":{"name":"none","provider":"ais"}}`), 404, "ais://none"},
		{"resilver of no target", "PUT", "/cluster", start(`{"Kind":"resilver","DaemonID":"nobody"}`), 400, "nobody"},
		{"name of a bucket", "PUT", "/cluster", start(`{"Kind":"scrub","Bck":{"name":"a b","provider":"ais"}}`), 400, "a b"},
		{"provider of a bucket", "PUT", "/cluster", start(`{"Kind":"scrub","Bck":{"name":"b","provider":"x"}}`), 400, "x"},

		{"copies of no bucket", "POST", "/buckets/none", `{"action":"make-n-copies","value":2}`, 404, "ais://none"},
		{"no copies", "POST", "/buckets/b", `{"action":"make-n-copies","value":0}`, 400, "1 to 16"},
		{"too many copies", "POST", "/buckets/b", `{"action":"make-n-copies","value":17}`, 400, "1 to 16"},
		{"more copies than mountpaths", "POST", "/buckets/b", `{"action":"make-n-copies","value":3}`, 400, "mountpaths (2)"},
		{"copies by word", "POST", "/buckets/b", `{"action":"make-n-copies","value":"many"}`, 400, "many"},
		{"encoding of no bucket", "POST", "/buckets/none", `{"action":"ec-encode","value":{"data_slices":1,"parity_slices":1}}`, 404, "ais://none"},
		{"too many slices", "POST", "/buckets/b", `{"action":"ec-encode","value":{"data_slices":1,"parity_slices":33}}`, 400, "1 to 32"},
		{"too few targets", "POST", "/buckets/b", `{"action":"ec-encode","value":{"data_slices":2,"parity_slices":2}}`, 400, "at least 5 targets"},
		{"one number of slices", "POST", "/buckets/b", `{"action":"ec-encode","value":{"data_slices":1}}`, 400, "parity_slices"},
		{"unknown key of an encoding", "POST", "/buckets/b", `{"action":"ec-encode","value":{"slices":1}}`, 400, "slices"},
		{"encoding by another name", "POST", "/buckets/b", `{"action":"ec-encode","name":"x","value":{"data_slices":1,"parity_slices":1}}`, 400, "recover"},
		{"encoding that is disabled", "POST", "/buckets/b", `{"action":"ec-encode","value":{"enabled":false,"data_slices":1,"parity_slices":1}}`, 400, "enabled"},

		{"promote into no bucket", "POST", "/objects/none", `{"action":"promote","value":{"src":"/etc/hostname"}}`, 404, "ais://none"},
		{"promote of nothing", "POST", "/objects/b", `{"action":"promote","value":{}}`, 400, "the path is empty"},
		{"promote of a relative path", "POST", "/objects/b", `{"action":"promote","value":{"src":"x"}}`, 400, "x"},
		{"promote of what is outside", "POST", "/objects/b", `{"action":"promote","value":{"src":"/etc/hostname"}}`, 400, "/etc/hostname"},
		{"unknown key of a promotion", "POST", "/objects/b", `{"action":"promote","value":{"src":"/etc/hostname","recursive":true}}`, 400, "recursive"},

		{"summary of no bucket", "GET", "/buckets/none", `{"action":"summary-bck","value":{}}`, 404, "ais://none"},
		{"summary that is not known", "GET", "/buckets/b", `{"action":"summary-bck","value":{"uuid":"AbCdEfGhI"}}`, 404, "AbCdEfGhI"},
		{"prefix of a summary", "GET", "/buckets/b", `{"action":"summary-bck","value":{"prefix":"a/../b"}}`, 400, "prefix"},

		{"weights by what", "PUT", "/cluster", `{"action":"weigh-targets","value":{"by":"colour"}}`, 400, "colour"},
		{"weights by both", "PUT", "/cluster", `{"action":"weigh-targets","value":{"by":"capacity","capacities":{"` + target + `":1}}}`, 400, "capacities"},
		{"weights of some", "PUT", "/cluster", `{"action":"weigh-targets","value":{"capacities":{"` + target + `":1}}}`, 400, "is missing"},
		{"weights of nobody", "PUT", "/cluster", `{"action":"weigh-targets","value":{"capacities":{"nobody":1}}}`, 404, "nobody"},
		{"loss of nobody", "PUT", "/cluster", `{"action":"declare-lost","value":{"sid":"nobody","force":true}}`, 404, "nobody"},
		{"loss of no target", "PUT", "/cluster", `{"action":"declare-lost","value":{"force":true}}`, 400, "sid"},
		{"loss of one that is there", "PUT", "/cluster", `{"action":"declare-lost","value":{"sid":"` + target + `","force":true}}`, 409, "owns names"},
	} {
		res, body := send(t, follower, tc.method, b.base+tc.path, tc.body, "Content-Type: application/json")
		if res.StatusCode != tc.status {
			t.Errorf("%s: status %d, want %d: %s", tc.name, res.StatusCode, tc.status, body)
			continue
		}
		if e := errorBody(t, res, body); !strings.Contains(e.Message, tc.text) || strings.Contains(e.Message, "\n") {
			t.Errorf("%s: %q, want %q", tc.name, e.Message, tc.text)
		}
	}
	all := func() string {
		_, body := expect(t, 200, follower, "GET", b.base+"/cluster?what=qryxstats", `{}`, "Content-Type: application/json")
		return body
	}
	if started := all(); strings.Contains(started, `"id"`) {
		t.Errorf("jobs were started: %s", started)
	}
	if after := b.c.Metadata.View().BMD.Version; after != before {
		t.Errorf("the metadata of buckets was version %d and is %d", before, after)
	}
	_, id := expect(t, 200, follower, "PUT", b.base+"/cluster", start(`{"Kind":"scrub"}`), "Content-Type: application/json")
	if started := all(); !strings.Contains(started, id) {
		t.Errorf("a job that was started is not shown: %s", started)
	}
}
