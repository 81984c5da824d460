package test

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/deploy/playground"
)

// What clients of jobs rely on, by its number in the list of facts:
//
//	1, 2, 3, 4, 5, 6, 8, 17, 21, 22, 23, 25, 26   here, on real processes
//	7         ais/jobs: TestIdleJob; here, on a job that copies
//	9, 13     TestBulkDelete; ais/proxy: TestBadBulkRequests
//	10, 11, 12, 27   TestBulkCopy
//	14, 15    archives: not in this release, 501
//	16        blob-download: no backend in this release
//	18        the downloader: not in this release, 501
//	19        dsort is optional: its list is empty, all else is 501
//	20        get-batch: not in this release; its kind is answered (26)
//	24        TestBulkRename, TestKillATargetDuringARename
//
// The rules of coexistence, changes of the primary, targets that leave or die:
// ais/jobs, TestKilledTargetAndItsJobs, TestKilledPrimaryAndItsJobs.
func TestFactsOfJobs(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2, 3)
	p, other := c.nodes[0], c.nodes[1]
	createBucket(t, p, "b", "")
	names := putMany(t, p, "b", "o-%02d", 40, small)

	const pythonStart = `{"action":"start","name":"","value":{"ID":"","Kind":"%s","DaemonID":"%s","Bck":%s,"Buckets":null}}`
	start := func(t *testing.T, n *playground.Node, kind, target, bck string) answer {
		t.Helper()
		return call(t, http.MethodPut, n.URL()+"/v1/cluster", fmt.Sprintf(pythonStart, kind, target, bck), "Content-Type", jsonType)
	}
	ask := func(t *testing.T, n *playground.Node, what, body string) answer {
		t.Helper()
		return call(t, http.MethodGet, n.URL()+"/v1/cluster?what="+what, body, "Content-Type", jsonType)
	}
	stop := func(t *testing.T, value string) {
		t.Helper()
		if a := must(t, http.StatusOK, http.MethodPut, p.URL()+"/v1/cluster", `{"action":"stop","value":`+value+`}`, "Content-Type", jsonType); a.body != "" {
			t.Errorf("stop %s: body %q", value, a.body)
		}
	}
	oneID := regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{7,}[A-Za-z0-9]$`)

	before := time.Now().Add(-time.Second)
	lru := start(t, other, "lru-eviction", "", "null")
	t.Run("04 a simple job, 05 its id, 08 its status", func(t *testing.T) {
		if lru.status != 200 || !oneID.MatchString(lru.body) || lru.header.Get("Content-Length") != fmt.Sprint(len(lru.body)) {
			t.Fatalf("%d %q %v", lru.status, lru.body, lru.header)
		}
		for _, n := range c.proxies() { // at once, by any gateway
			if s := decode[wire.JobStatus](t, ask(t, n, "status", `{"ID":"`+lru.body+`","Kind":"","DaemonID":"","Bck":null,"Buckets":null}`).body); s.Kind != "lru" || s.UUID != lru.body {
				t.Errorf("%+v", s)
			}
		}
		if s := c.awaitJob(other, lru.body); s.Err != "" || s.Aborted {
			t.Errorf("%+v", s)
		}
		after := time.Now().Add(time.Second)
		for target, list := range c.snaps(p, lru.body) {
			if len(list) != 1 || list[0].StartTime.Before(before) || list[0].EndTime.After(after) || list[0].EndTime.Before(list[0].StartTime) {
				t.Errorf("%s: %+v", target, list)
			}
		}
	})
	t.Run("01 times, 02 counters, 23 one id", func(t *testing.T) {
		a := ask(t, p, "qryxstats", `{"id":"`+lru.body+`"}`)
		for _, pattern := range []string{
			`"start-time":"[0-9T:.-]+(Z|[+-][0-9:]+)"`, `"end-time":"[0-9T:.-]+(Z|[+-][0-9:]+)"`, `"glob.id":"[0-9]+"`, `"id":"` + lru.body + `"`,
			`"stats":\{"loc-objs":"0","loc-bytes":"0","out-objs":"0","out-bytes":"0","in-objs":"0","in-bytes":"0"\}`,
		} {
			if n := len(regexp.MustCompile(pattern).FindAllString(a.body, -1)); n != 3 {
				t.Errorf("%s: %d times in %s", pattern, n, a.body)
			}
		}
	})
	t.Run("03 lists, 26 every kind", func(t *testing.T) {
		for _, k := range wire.JobKinds() {
			for _, name := range []string{k.Name, k.Display} {
				if name == "" {
					continue
				}
				a := ask(t, other, "qryxstats", `{"id":"","kind":"`+name+`","show_active":true,"bck":{"name":"","provider":"","namespace":{"uuid":"","name":""}}}`)
				if a.status != 200 || strings.Contains(a.body, "null") && !strings.Contains(a.body, `"id"`) || strings.Count(a.body, ":[") < 3 {
					t.Errorf("%s: %d %s", name, a.status, a.body)
				}
			}
		}
		if a := ask(t, p, "status_all", `{"kind":"dsort","node":"","show_active":false}`); a.status != 200 || strings.TrimSpace(a.body) != "null" && strings.TrimSpace(a.body) != "[]" {
			t.Errorf("%d %s", a.status, a.body)
		}
		if a := ask(t, p, "running_all", `{}`); a.status != 200 || !strings.HasPrefix(a.body, "[") {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
	t.Run("06 stop of what does not run", func(t *testing.T) {
		stop(t, `{"ID":"`+lru.body+`","Kind":"","DaemonID":"","Bck":null,"Buckets":null}`)
		stop(t, `{"ID":"unknownXX1"}`)
		stop(t, `{"Kind":"prefetch-objects"}`)
		if s := c.awaitJob(p, lru.body); s.Aborted {
			t.Errorf("%+v", s)
		}
		for _, bad := range []string{`{}`, `{"ID":"x"}`, `{"Kind":"nonsense"}`} {
			checkError(t, call(t, http.MethodPut, p.URL()+"/v1/cluster", `{"action":"stop","value":`+bad+`}`, "Content-Type", jsonType), 400, "")
		}
	})
	t.Run("05 ids of selected objects, 07 stop of an idle job", func(t *testing.T) {
		value := `{"objnames":["` + strings.Join(names[:5], `","`) + `"],"template":"","TxnUUID":"","tobck":{"name":"dst","provider":"ais","namespace":null},"prepend":"x-"}`
		id := startBulk(t, p, http.MethodPost, "/b", "copy-listrange", value)
		if !strings.HasPrefix(id, "tco-") {
			t.Errorf("id %q", id)
		}
		if again := startBulk(t, other, http.MethodPost, "/b", "copy-listrange", value); again != id {
			t.Errorf("further work has the id %q", again)
		}
		c.eventually("the job is idle", func() error {
			for target, list := range c.snaps(p, id) {
				if !list[0].IsIdle {
					return fmt.Errorf("%s: %+v", target, list[0])
				}
			}
			return nil
		})
		stop(t, `{"ID":"`+id+`"}`)
		for target, list := range c.snaps(p, id) {
			if !list[0].Aborted || list[0].AbortError != "user abort" {
				t.Errorf("%s: %+v", target, list[0])
			}
		}
		if got := listAll(t, c.proxies(), "dst", "", 0); len(got) != 5 {
			t.Errorf("copied before the stop: %v", got)
		}
	})
	t.Run("17 unknown id", func(t *testing.T) {
		for _, n := range c.proxies() {
			for _, what := range []string{"qryxstats", "status"} {
				checkError(t, ask(t, n, what, `{"ID":"AbCdEf123","Kind":"","DaemonID":"","Bck":null,"Buckets":null}`), 404, `[AbCdEf123]" not found`)
			}
		}
	})
	t.Run("19 no dsort", func(t *testing.T) {
		if a := call(t, http.MethodGet, p.URL()+"/v1/sort", ""); a.status != 200 || strings.TrimSpace(a.body) != "[]" {
			t.Errorf("%d %s", a.status, a.body)
		}
		notBuilt(t, call(t, http.MethodPost, p.URL()+"/v1/sort", `{}`, "Content-Type", jsonType))
	})
	t.Run("21 properties that start a job, 25 copies", func(t *testing.T) {
		patch := func(value string) answer {
			return must(t, http.StatusOK, http.MethodPatch, p.URL()+"/v1/buckets/b", `{"action":"set-bprops","value":`+value+`}`, "Content-Type", jsonType)
		}
		if a := patch(`{"versioning":{"enabled":true}}`); a.body != "" {
			t.Errorf("a change that starts nothing: %q", a.body)
		}
		copies := func(n int) {
			t.Helper()
			page := listPage(t, other, "b", map[string]any{"props": "name,copies"})
			if len(page.Entries) != len(names) {
				t.Errorf("%d names", len(page.Entries))
			}
			body := must(t, http.StatusOK, http.MethodGet, p.URL()+"/v1/buckets/b", `{"action":"list","value":{"props":"name,copies"}}`, "Content-Type", jsonType).body
			if got := strings.Count(body, fmt.Sprintf(`"copies":%d`, n)); got != len(names) {
				t.Errorf("%d of %d objects have %d copies: %.300s", got, len(names), n, body)
			}
		}
		id := patch(`{"mirror":{"enabled":true,"copies":2}}`).body
		if !oneID.MatchString(id) {
			t.Fatalf("id %q", id)
		}
		if s := c.awaitJob(p, id); s.Err != "" || s.Aborted {
			t.Errorf("%+v", s)
		}
		copies(2)
		for _, list := range c.snaps(p, id) {
			if list[0].Kind != "make-n-copies" || list[0].Bck.Name != "b" {
				t.Errorf("%+v", list[0])
			}
		}
		id = startBulk(t, other, http.MethodPost, "/b", "make-n-copies", `3`)
		if s := c.awaitJob(other, id); s.Err != "" || s.Aborted {
			t.Errorf("%+v", s)
		}
		copies(3)
		for _, bad := range []string{`9`, `0`, `"x"`} { // of four mountpaths
			checkError(t, call(t, http.MethodPost, p.URL()+"/v1/buckets/b", `{"action":"make-n-copies","value":`+bad+`}`, "Content-Type", jsonType), 400, "")
		}
	})
	t.Run("22 numbers of rebalances", func(t *testing.T) {
		first := start(t, p, "rebalance", "", "null")
		if s := c.awaitJob(p, first.body); first.status != 200 || s.Err != "" {
			t.Fatalf("%d %s: %+v", first.status, first.body, s)
		}
		second := start(t, other, "rebalance", "", "null")
		c.awaitJob(p, second.body)
		var n1, n2 int
		if _, err := fmt.Sscanf(first.body+" "+second.body, "g%d g%d", &n1, &n2); err != nil || n2 <= n1 {
			t.Errorf("%s, then %s (%v)", first.body, second.body, err)
		}
		if s := decode[wire.JobStatus](t, ask(t, other, "status", `{"kind":"rebalance"}`).body); s.UUID != second.body || s.EndTime == 0 {
			t.Errorf("by kind: %+v", s)
		}
		must(t, http.StatusOK, http.MethodPut, p.URL()+"/v1/cluster/set-config?rebalance.enabled=false", "")
		checkError(t, start(t, p, "rebalance", "", "null"), 400, "disabled")
		must(t, http.StatusOK, http.MethodPut, p.URL()+"/v1/cluster/set-config?rebalance.enabled=true", "")
	})
	t.Run("a resilver of one target", func(t *testing.T) {
		target := c.nodeID(c.targets()[1])
		a := start(t, other, "resilver", target, "null")
		if s := c.awaitJob(p, a.body); a.status != 200 || s.Err != "" || s.Aborted {
			t.Fatalf("%d %s: %+v", a.status, a.body, s)
		}
		if snaps := c.snaps(p, a.body); len(snaps) != 1 || len(snaps[target]) != 1 {
			t.Errorf("%+v", snaps)
		}
		checkError(t, start(t, p, "resilver", "nobody", "null"), 400, "not present")
		if a := start(t, p, "resilver", "", "null"); a.status != 501 {
			t.Errorf("of all targets: %d %s", a.status, a.body)
		}
	})
	t.Run("what cannot be started so", func(t *testing.T) {
		for kind, want := range map[string]int{
			"": 400, "nonsense": 400, "make-n-copies": 400, "ec-encode": 400, "download": 400, "delete-listrange": 400, "evict-objects": 400, "put-copies": 400,
			"prefetch-listrange": 400, "warm-up-metadata": 400, "rechunk": 400, "election": 501, "copy-bucket": 501, "get-batch": 501,
		} {
			if a := start(t, p, kind, "", "null"); a.status != want {
				t.Errorf("%q: %d %s, want %d", kind, a.status, a.body, want)
			}
		}
		checkError(t, start(t, p, "lru", "", `{"name":"none","provider":"ais","namespace":null}`), 404, "none")
		// The SDK says it in the query alone.
		a := call(t, http.MethodPut, p.URL()+"/v1/cluster?frc=true", fmt.Sprintf(pythonStart, "lru", "", "null"), "Content-Type", jsonType)
		checkError(t, a, 400, "orce")
	})
	t.Run("23 one id on all targets", func(t *testing.T) {
		a := must(t, http.StatusOK, http.MethodGet, p.URL()+"/v1/cluster?what=status_all", `{}`, "Content-Type", jsonType)
		all := decode[[]wire.JobStatus](t, a.body)
		if len(all) < 7 {
			t.Errorf("%d jobs are known: %s", len(all), a.body)
		}
		var ids []string
		for _, s := range all {
			if slices.Contains(ids, s.UUID) {
				t.Errorf("%s twice", s.UUID)
			}
			ids = append(ids, s.UUID)
		}
	})
}
