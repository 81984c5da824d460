package node

import (
	"strings"
	"testing"

	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// TestEveryKindOfJobIsAnswered: clients ask for all kinds that they know, one
// by one, and give up after the second error.
func TestEveryKindOfJobIsAnswered(t *testing.T) {
	t.Parallel()
	proxy, t1, t2 := newTestNode(t, meta.RoleProxy, "proxy0001", nil), newTestNode(t, meta.RoleTarget, "target001", nil), newTestNode(t, meta.RoleTarget, "target002", nil)
	join(t, proxy, t1, t2)
	url := proxy.Snode().Public.URL + "/v1/cluster?what="
	kinds := strings.Fields(`rebalance resilver lru lru-eviction cleanup-store cleanup load-lom-cache warm-up-metadata election elect-primary
		copy-bck copy-bucket etl-bck etl-bucket move-bck rename-bucket make-n-copies mirror put-copies ec-encode ec-bucket ec-put ec-get ec-resp
		copy-listrange copy-objects etl-listrange etl-objects archive delete-listrange delete-objects evict-listrange evict-objects
		evict-remote-bck evict-remote-bucket prefetch-listrange prefetch-objects promote promote-files blob-download download dsort etl-inline list
		summary-bck summary rechunk get-batch summary-shard shard-summary index-shard shard-index create-inventory`)
	for _, kind := range kinds {
		for what, want := range map[string]string{
			"qryxstats":   `{"target001":[],"target002":[]}`,
			"status_all":  "null",
			"running_all": "[]",
		} {
			if a := do(t, "GET", url+what, `{"Kind":"`+kind+`","Bck":null,"show_active":true}`); a.status != 200 || a.body != want+"\n" {
				t.Errorf("what=%s of %s: %d %s", what, kind, a.status, a.body)
			}
		}
		if a := do(t, "GET", url+"status", `{"kind":"`+kind+`"}`); a.status != 404 {
			t.Errorf("status of %s: %d %s", kind, a.status, a.body)
		}
	}
}

func TestAnswersAboutJobs(t *testing.T) {
	t.Parallel()
	proxy, target := newTestNode(t, meta.RoleProxy, "proxy0001", nil), newTestNode(t, meta.RoleTarget, "target001", nil)
	join(t, proxy, target)
	url := proxy.Snode().Public.URL + "/v1/cluster?what="
	for _, tc := range []struct {
		what, body string
		status     int
		want       string
	}{
		{"qryxstats", ``, 200, `{"target001":[]}`},
		{"qryxstats", `{"kind":"nonsense"}`, 404, "nonsense"},
		{"qryxstats", `{"id":"AbC123xyz","kind":"lru"}`, 404, `\"x-lru[AbC123xyz]\" not found`},
		{"qryxstats", `{"id":"AbC123xyz,BbC123xyz"}`, 404, `not found`},
		{"qryxstats", `{"id":"g17","kind":"rebalance"}`, 404, `\"x-rebalance[g17]\" not found`},
		{"qryxstats", `{"id":"?","unknown":[1]}`, 404, "not found"},
		{"qryxstats", `{"kind":"copy-bck","bck":{"name":"nob","provider":"","namespace":null}}`, 404, "ErrBckNotFound"},
		{"qryxstats", `{"kind":"copy-bck","bck":{"name":"n/o","provider":""}}`, 400, "bucket name"},
		{"qryxstats", `{"kind":"copy-bck","bck":{"name":"nob","provider":"tape"}}`, 400, "provider"},
		{"running_all", `{"kind":"nonsense"}`, 200, `[]`},
		{"running_all", `{"bck":{"name":"nob"}}`, 200, `[]`},
		{"status_all", `{"bck":{"name":"nob"}}`, 404, "ErrBckNotFound"},
		{"status_all", `{"kind":"nonsense"}`, 200, "null"},
		{"status", `{"kind":"nonsense"}`, 400, `invalid xaction (job) kind \"nonsense\"`},
		{"status", `{"id":"AbC123xyz","kind":"nonsense"}`, 400, `invalid xaction (job) kind \"nonsense\"`},
		{"status", `{"id":"AbC123xyz","kind":"warm-up-metadata"}`, 404, `\"x-warm-up-metadata[AbC123xyz]\" not found`},
		{"status", `{"Bck":{"name":"b"}}`, 404, "ErrBckNotFound"},
		{"status", `{}`, 400, "neither id nor kind"},
		{"status", `[]`, 400, "failed to unmarshal"},
		{"status", `{"id":5}`, 400, "failed to unmarshal"},
		{"status", `{"id":"x"} {}`, 400, "failed to unmarshal"},
		{"status", `{"id":"` + strings.Repeat("x", 70_000) + `"}`, 413, "longer than"},
	} {
		a := do(t, "GET", url+tc.what, tc.body)
		if a.status != tc.status || !strings.Contains(a.body, tc.want) {
			t.Errorf("what=%s %.80s: %d %s, want %d with %q", tc.what, tc.body, a.status, a.body, tc.status, tc.want)
		}
	}
}

// TestRebalancesOfOperations: the id that a membership operation hands out is
// known on every proxy.
func TestRebalancesOfOperations(t *testing.T) {
	t.Parallel()
	p1, p2, target := newTestNode(t, meta.RoleProxy, "proxy0001", nil), newTestNode(t, meta.RoleProxy, "proxy0002", nil), newTestNode(t, meta.RoleTarget, "target001", nil)
	join(t, p1, p2, target)
	view := *p1.View()
	view.Operations = &meta.Operations{
		Version: 3,
		Current: &meta.Operation{ID: "c", Action: wire.ActStartMaintenance, Nodes: []string{"target001"}, Rebalance: 5},
		Past: []*meta.Operation{
			{ID: "a", Action: wire.ActStartMaintenance, Nodes: []string{"target001"}, Rebalance: 3, Ended: 77, Error: "the disk is full"},
			{ID: "b", Action: wire.ActStartMaintenance, Nodes: []string{"proxy0002"}, Ended: 99},
		},
	}
	for _, n := range []*testNode{p1, p2} {
		n.cp.view.Store(&view)
		url := n.Snode().Public.URL + "/v1/cluster"
		running, failed := `{"kind":"rebalance","uuid":"g5","err":"","end_time":0,"aborted":false}`, `{"kind":"rebalance","uuid":"g3","err":"the disk is full","end_time":77,"aborted":false}`
		for _, tc := range []struct {
			what, body string
			status     int
			want       string
		}{
			{"status", `{"id":"g5"}`, 200, running},
			{"status", `{"id":"g5","kind":"rebalance"}`, 200, running},
			{"status", `{"kind":"rebalance"}`, 200, running},
			{"status", `{"id":"g3"}`, 200, failed},
			{"status", `{"id":"g5","kind":"lru"}`, 400, "kind mismatch"},
			{"status", `{"id":"g4"}`, 404, "[g4]"},
			{"status_all", ``, 200, "[" + running + "," + failed + "]"},
			{"status_all", `{"kind":"lru"}`, 200, "null"},
			{"running_all", ``, 200, `["rebalance[g5]"]`},
			{"running_all", `{"kind":"lru"}`, 200, `[]`},
		} {
			if a := do(t, "GET", url+"?what="+tc.what, tc.body); a.status != tc.status || !strings.Contains(a.body, tc.want) {
				t.Errorf("%s: %s %s: %d %s, want %d %s", n.Name(), tc.what, tc.body, a.status, a.body, tc.status, tc.want)
			}
		}
		for body, want := range map[string]int{
			`{"action":"stop","value":{"ID":"g5"}}`:                        400,
			`{"action":"stop","value":{"Kind":"rebalance"}}`:               400,
			`{"action":"stop","value":{"ID":"g3"}}`:                        200,
			`{"action":"start","value":{"kind":"rebalance"}}`:              409,
			`{"action":"start","value":{"kind":"rebalance"},"name":"pre"}`: 409,
		} {
			if a := do(t, "PUT", url, body); a.status != want {
				t.Errorf("%s: %s: %d %s, want %d", n.Name(), body, a.status, a.body, want)
			}
		}
	}
}

func TestStartAndStopOfJobs(t *testing.T) {
	t.Parallel()
	proxy, target := newTestNode(t, meta.RoleProxy, "proxy0001", nil), newTestNode(t, meta.RoleTarget, "target001", nil)
	join(t, proxy, target)
	url := proxy.Snode().Public.URL + "/v1/cluster"
	for _, tc := range []struct {
		action, value string
		status        int
		want          string
	}{
		{"start", `{"ID":"","Kind":"lru-eviction","DaemonID":"","Bck":null,"Buckets":null}`, 501, `job \"lru\" is not built yet`},
		{"start", `{}`, 400, "invalid xaction (job) kind"},
		{"start", `{"Kind":"nonsense"}`, 400, `invalid xaction (job) kind \"nonsense\"`},
		{"start", `{"Kind":"lru","wings":2}`, 400, "wings"},
		{"start", `[]`, 400, "failed to unmarshal"},
		{"start", `{"Kind":"prefetch-listrange"}`, 400, "requires a bucket to start"},
		{"start", `{"Kind":"lru","Bck":{"name":"nob"}}`, 404, "ErrBckNotFound"},
		{"start", `{"Kind":"lru","Buckets":[{"name":"nob"}]}`, 404, "ErrBckNotFound"},
		{"start", `{"Kind":"download"}`, 400, "separate documented API"},
		{"start", `{"Kind":"ec-encode"}`, 400, "separate documented API"},
		{"start", `{"Kind":"put-copies"}`, 400, "cannot start"},
		{"start", `{"Kind":"dsort"}`, 501, "not built yet"},
		{"start", `{"Kind":"archive"}`, 501, "not built yet"},
		{"start", `{"Kind":"copy-bucket"}`, 501, `cannot start \"copy-bck\" by this action`},
		{"start", `{"Kind":"promote"}`, 501, "an action of its own"},
		{"start", `{"Kind":"elect-primary"}`, 501, "it begins by itself"},
		{"start", `{"Kind":"resilver"}`, 501, "name one target"},
		{"start", `{"Kind":"resilver","DaemonID":"nobody01"}`, 400, "not present in"},
		{"start", `{"Kind":"resilver","DaemonID":"target001"}`, 501, "not built yet"},
		{"start", `{"Kind":"rebalance"}`, 400, "ErrNotEnoughTargets"},
		{"stop", `{"ID":"AbC123xyz"}`, 200, ""},
		{"stop", `{"ID":"g17","Kind":"rebalance"}`, 200, ""},
		{"stop", `{"Kind":"lru-eviction"}`, 200, ""},
		{"stop", `{"ID":"","Kind":""}`, 400, "neither id nor kind"},
		{"stop", `{"ID":"x"}`, 400, "invalid job id"},
		{"stop", `{"ID":"1bC123xyz"}`, 400, "invalid job id"},
		{"stop", `{"ID":"AbC123xyz,BbC123xyz"}`, 400, "invalid job id"},
		{"stop", `{"Kind":"nonsense"}`, 400, "invalid xaction"},
		{"stop", `{"Kind":"lru","Bck":{"name":"nob"}}`, 404, "ErrBckNotFound"},
	} {
		a := do(t, "PUT", url, `{"action":"`+tc.action+`","value":`+tc.value+`}`)
		if a.status != tc.status || !strings.Contains(a.body, tc.want) {
			t.Errorf("%s %s: %d %s, want %d with %q", tc.action, tc.value, a.status, a.body, tc.status, tc.want)
		}
	}
	if a := do(t, "PUT", url, `{"action":"start","name":"prefix","value":{"Kind":"rebalance"}}`); a.status != 400 || !strings.Contains(a.body, "needs a bucket") {
		t.Errorf("prefix without a bucket: %d %s", a.status, a.body)
	}
}
