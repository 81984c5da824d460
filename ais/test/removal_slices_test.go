package test

import (
	"net/http"
	"testing"
)

// TestSlicesBeforeATargetLeaves: a planned removal ends when what the target held of
// slices is on others, without any wait for the delay that a loss has: the next target may be
// lost at that moment. When too few would be left to hold them, it is refused; forced, it ends all the same.
func TestSlicesBeforeATargetLeaves(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, 6)
	c.up()
	p := c.nodes[0]
	createBucket(t, p, "b", "")
	must(t, http.StatusOK, http.MethodPatch, p.URL()+"/v1/buckets/b",
		`{"action":"set-bprops","value":{"ec":{"enabled":true,"data_slices":2,"parity_slices":2,"objsize_limit":1000}}}`, "Content-Type", jsonType)
	all := c.ecObjects("o", 0, 40)
	c.wantSlices(c.targets(), all)

	leaving := c.targets()[0]
	tid := c.idOf(leaving)
	held := c.sliceFiles(c.targets()[:1])
	mustAct(t, http.StatusOK, p, "decommission-node", `{"sid":"`+tid+`"}`)
	c.awaitStopped(leaving)
	want := 0
	for _, content := range all {
		want += 2
		if len(content) >= 1000 {
			want += 2
		}
	}
	left := c.targets()[1:]
	if have := c.sliceFiles(left); have != want || held == 0 {
		t.Errorf("%d slices and replicas when the target has gone, want %d; it held %d", have, want, held)
	}
	c.awaitFlags(p, tid, -1)
	c.atOnce(all)

	tid = c.idOf(left[0])
	mustAct(t, http.StatusBadRequest, p, "start-maintenance", `{"sid":"`+tid+`"}`)
	mustAct(t, http.StatusOK, p, "start-maintenance", `{"sid":"`+tid+`","force":true}`)
	c.awaitFlags(p, tid, flagMaintenance|flagDataMoved)
	c.atOnce(all)
}
