package node

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

func TestHealth(t *testing.T) {
	t.Parallel()
	primary, other := newTestNode(t, meta.RoleProxy, "proxy0001", nil), newTestNode(t, meta.RoleProxy, "proxy0002", nil)
	target := newTestNode(t, meta.RoleTarget, "target001", nil)
	join(t, primary, other, target)
	const (
		nothing = iota
		errorJSON
		stateJSON
	)
	for _, tc := range []struct {
		node    *testNode
		query   string
		intra   bool
		status  int
		body    int
		uptimes bool
	}{
		{primary, "", false, 200, nothing, true},
		{other, "", false, 200, nothing, true},
		{target, "", false, 200, nothing, false},
		{target, "", true, 200, nothing, true},
		{primary, "readiness=true", false, 200, nothing, true},
		{target, "readiness=true", false, 200, nothing, false},
		{primary, "readiness=yes", false, 200, nothing, true},
		{primary, "prr=true", false, 200, nothing, true},
		{other, "prr=true", false, 200, nothing, true},
		{other, "prr=t", false, 200, nothing, true},
		{target, "prr=true", false, 200, nothing, false},
		{primary, "apr=true", false, 200, nothing, true},
		{other, "apr=true", false, 200, nothing, true},
		{primary, "apr=true", true, 200, nothing, true},
		{other, "apr=true", true, 400, errorJSON, false},
		{target, "apr=true", false, 200, nothing, false},
		{primary, "cii=true", false, 200, stateJSON, true},
		{other, "cii=true", false, 200, stateJSON, true},
		{target, "cii=true", false, 200, stateJSON, true},
		{primary, "cii-apr=true", false, 200, stateJSON, true},
		{other, "cii-apr=true", false, 400, errorJSON, false},
		{target, "cii-apr=true", false, 200, nothing, false},
		{primary, "cii-apr=true&cii=true", false, 400, errorJSON, false},
		{primary, "cii-apr=true&apr=true", false, 400, errorJSON, false},
		{primary, "prr=true&cii=true", false, 400, errorJSON, false},
		{other, "prr=true&cii-apr=true", false, 400, errorJSON, false},
		{primary, "unknown=1", false, 200, nothing, true},
		{primary, "x=%zz", false, 400, errorJSON, false},
	} {
		t.Run(fmt.Sprintf("%s?%s intra=%v", tc.node.Name(), tc.query, tc.intra), func(t *testing.T) {
			url := tc.node.Snode().Public.URL
			if tc.intra {
				url = tc.node.Snode().IntraControl.URL
			}
			a := do(t, "GET", url+"/v1/health?"+tc.query, "")
			if a.status != tc.status {
				t.Fatalf("status %d, want %d: %s", a.status, tc.status, a.body)
			}
			switch tc.body {
			case nothing:
				if a.body != "" {
					t.Errorf("body %q", a.body)
				}
			case errorJSON:
				e := a.errorBody(t)
				if strings.Contains(tc.query, "&") && !strings.HasPrefix(e.Message, "invalid query: ") {
					t.Errorf("message %q", e.Message)
				}
			case stateJSON:
				want := `{"smap":{"Primary":{"pub_url":"` + primary.Snode().Public.URL + `","control_url":"` + primary.Snode().IntraControl.URL +
					`","id":"proxy0001"},"uuid":"aClusterUuid1","version":"7"},"bmd":{"uuid":"aClusterUuid1","version":"12"},"rmd":{"version":"0"},"config":{"version":"3"},"etlmd":{"version":"0"},"flags":6,"public_url":"` + tc.node.Snode().Public.URL + `"}` + "\n"
				if a.body != want {
					t.Errorf("state\n%s, want\n%s", a.body, want)
				}
			}
			for _, name := range []string{"Ais-Node-Uptime", "Ais-Cluster-Uptime"} {
				ns, err := strconv.ParseInt(a.header.Get(name), 10, 64)
				if tc.uptimes != (err == nil && ns > 0) {
					t.Errorf("%s: %q, want it: %v", name, a.header.Get(name), tc.uptimes)
				}
			}
		})
	}
	if a := do(t, "HEAD", other.Snode().Public.URL+"/v1/health?prr=true", ""); a.status != 200 {
		t.Errorf("HEAD of prr by way of another proxy: %d", a.status)
	}
}

func TestHealthWhileNotServing(t *testing.T) {
	t.Parallel()
	n, target := newTestNode(t, meta.RoleProxy, "proxy0001", nil), newTestNode(t, meta.RoleTarget, "target001", nil)
	url := n.Snode().Public.URL + "/v1/health"
	expect := func(what, query string, status int, json bool) {
		t.Helper()
		a := do(t, "GET", url+query, "")
		if a.status != status || json != strings.HasPrefix(a.body, "{") {
			t.Errorf("%s: %d %q, want %d, JSON: %v", what, a.status, a.body, status, json)
		}
	}
	expect("starting", "", 503, false)
	expect("starting: readiness", "?readiness=true", 503, false)
	expect("starting: state", "?cii=true", 200, true)
	n.MarkStarted()
	expect("started, no cluster", "", 200, false)
	expect("started, no cluster: readiness", "?readiness=true", 503, false)
	expect("started, no cluster: prr", "?prr=true", 503, true)

	why := "the cluster has another history"
	n.cp.fenced.Store(&why)
	if e := do(t, "GET", url+"?readiness=true", "").errorBody(t); !strings.Contains(e.Message, why) {
		t.Errorf("readiness of a fenced node: %q", e.Message)
	}
	var state struct {
		Fenced string
		Flags  int
	}
	if err := json.Unmarshal([]byte(do(t, "GET", url+"?cii=true", "").body), &state); err != nil || state.Fenced != why || state.Flags != 4 {
		t.Errorf("state of a fenced node: %+v, %v", state, err)
	}
	expect("fenced", "", 200, false)
	n.cp.fenced.Store(nil)

	smap := join(t, n, target).Clone()
	expect("joined", "?readiness=true", 200, false)
	out := *n.Snode()
	out.Flags = meta.FlagMaintenance
	smap.Pmap[out.ID] = &out
	publish(smap.Freeze(), n, target)
	expect("maintenance", "", 200, false)
	expect("maintenance: readiness", "?readiness=true", 503, false)
	expect("maintenance: state", "?cii=true", 200, true)

	join(t, n, target)
	n.cp.stale.Store(true)
	expect("cut off", "", 200, false)
	if e := do(t, "GET", url+"?readiness=true", "").errorBody(t); e.Status != 503 || !strings.Contains(e.Message, "cut off") {
		t.Errorf("readiness of a node that no primary answers: %+v", e)
	}
	n.cp.stale.Store(false)
	expect("in touch again", "?readiness=true", 200, false)

	target.cp.leaseless.Store(true)
	if e := do(t, "GET", target.Snode().Public.URL+"/v1/health?readiness=true", "").errorBody(t); e.Status != 503 || !strings.Contains(e.Message, "owner lease") {
		t.Errorf("readiness of a target that may not write: %+v", e)
	}
	if a := do(t, "GET", target.Snode().Public.URL+"/v1/health", ""); a.status != 200 {
		t.Errorf("health of a target that may not write: %d", a.status)
	}
	target.cp.leaseless.Store(false)
	if a := do(t, "GET", target.Snode().Public.URL+"/v1/health?readiness=true", ""); a.status != 200 {
		t.Errorf("readiness of a target: %d %s", a.status, a.body)
	}
}

// TestClusterUptime: it is that of the cluster and not of the node.
func TestClusterUptime(t *testing.T) {
	t.Parallel()
	n := newTestNode(t, meta.RoleProxy, "proxy0001", nil)
	uptime := func() time.Duration {
		t.Helper()
		ns, err := strconv.ParseInt(do(t, "GET", n.Snode().Public.URL+"/v1/health", "").header.Get("Ais-Cluster-Uptime"), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return time.Duration(ns)
	}
	n.MarkStarted()
	if got := uptime(); got != 0 {
		t.Errorf("%v without a cluster", got)
	}
	smap := join(t, n).Clone()
	smap.Created = time.Now().UTC().Add(-48 * time.Hour).Format(time.DateTime)
	publish(smap.Freeze(), n)
	if got := uptime(); got < 48*time.Hour || got > 49*time.Hour {
		t.Errorf("%v, the cluster was made 48 h ago", got)
	}
	smap = smap.Clone()
	smap.Created = time.Now().UTC().Add(time.Hour).Format(time.DateTime) // by a clock that is ahead
	publish(smap.Freeze(), n)
	if got := uptime(); got <= 0 {
		t.Errorf("%v, want something positive", got)
	}
}

func TestRebalanceStatus(t *testing.T) {
	t.Parallel()
	proxy, target := newTestNode(t, meta.RoleProxy, "proxy0001", nil), newTestNode(t, meta.RoleTarget, "target001", nil)
	join(t, proxy, target)
	view := *target.View()
	view.RMD = &meta.RMD{ClusterID: "aClusterUuid1", Version: 3}
	target.cp.view.Store(&view)
	want := `{"smap_version":"7","reb_version":"7","reb_id":"3","stats":{"loc-objs":"0","loc-bytes":"0","out-objs":"0","out-bytes":"0","in-objs":"0","in-bytes":"0"},"stage":0,"aborted":false,"running":false}` + "\n"
	if a := do(t, "GET", target.Snode().IntraControl.URL+"/v1/health?rbs=true", ""); a.status != 200 || a.body != want {
		t.Errorf("%d %s, want %s", a.status, a.body, want)
	}
	for _, url := range []string{target.Snode().Public.URL, proxy.Snode().IntraControl.URL} {
		if a := do(t, "GET", url+"/v1/health?rbs=true", ""); a.status != 200 || a.body != "" {
			t.Errorf("%s: %d %q, want plain health", url, a.status, a.body)
		}
	}
	var state wire.NodeStateInfo
	get(t, target.Snode().Public.URL+"/v1/health?cii=true", &state)
	if state.RMD.Version != 3 {
		t.Errorf("rmd version %d", state.RMD.Version)
	}
}

func TestFlagsOfTheMoment(t *testing.T) {
	t.Parallel()
	n := newTestNode(t, meta.RoleProxy, "proxy0001", nil)
	flags := func() wire.NodeFlags {
		t.Helper()
		var state wire.NodeStateInfo
		get(t, n.Snode().Public.URL+"/v1/health?cii=true", &state)
		return state.Flags
	}
	expect := func(what string, want wire.NodeFlags) {
		t.Helper()
		if got := flags(); got != want {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	expect("starting", 0)
	n.MarkStarted()
	expect("started", wire.NodeStarted)
	join(t, n)
	expect("joined", wire.NodeHealthy)
	n.cp.voting.Store(true)
	expect("without a leader", wire.NodeHealthy|wire.NodeVoteInProgress)
	n.cp.voting.Store(false)
	n.alerts.certInvalid.Store(true)
	expect("bad certificate files", wire.NodeHealthy|wire.NodeCertInvalid)
	n.alerts.certInvalid.Store(false)
	expect("healthy", wire.NodeHealthy)
}

func TestPrimaryReadyWithoutPrimary(t *testing.T) {
	t.Parallel()
	n := newTestNode(t, meta.RoleProxy, "proxy0001", func(o *Options) { o.Limits.ControlTimeout = 50_000_000 })
	join(t, n)
	n.cp.primary.Store(false)
	e := do(t, "GET", n.Snode().Public.URL+"/v1/health?prr=true", "").errorBody(t)
	if e.Status != 503 || !strings.Contains(e.Message, "no primary") {
		t.Errorf("%+v", e)
	}
}
