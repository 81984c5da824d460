package test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"github.com/aistore-go/aistore/cmn/hrw"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/deploy/playground"
)

// capacitiesAt are the capacities of the targets in the map that a node shows.
func (c *cluster) capacitiesAt(n *playground.Node) map[string]uint64 {
	c.t.Helper()
	capacities := map[string]uint64{}
	for id, raw := range c.smap(n).Tmap {
		capacities[id] = decode[meta.Snode](c.t, string(raw)).Capacity
	}
	return capacities
}

// ownedBy counts the names that each target owns by the map.
func (c *cluster) ownedBy(bucket string, names []string) map[string]int {
	c.t.Helper()
	smap := new(meta.Smap)
	if err := json.Unmarshal([]byte(must(c.t, http.StatusOK, http.MethodGet, c.nodes[0].URL()+"/v1/daemon?what=smap", "").body), smap); err != nil {
		c.t.Fatal(err)
	}
	counts := map[string]int{}
	for _, name := range names {
		owner, err := smap.Owner(hrw.Digest("ais/@#/" + bucket + "/" + name))
		if err != nil {
			c.t.Fatal(err)
		}
		counts[owner.ID]++
	}
	return counts
}

// TestPlacementByCapacity: targets own names in proportion to what an operator
// says, or to their size. Objects of before are found, replaced, deleted and
// listed, nothing appears twice, and clients that compute owners from ids are
// sent on.
func TestPlacementByCapacity(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2, 3)
	p := c.secondary()
	createBucket(t, p, "b", "")
	names := numbered(120)
	content := map[string]string{}
	for _, name := range names {
		c.putWhenServed(p, "b", name)
		content[name] = "content"
	}
	ids := make([]string, 3)
	for i, n := range c.targets() {
		ids[i] = c.idOf(n)
	}
	value := func(a, b, d uint64) string {
		return fmt.Sprintf(`{"capacities":{%q:%d,%q:%d,%q:%d}}`, ids[0], a, ids[1], b, ids[2], d)
	}
	whole := func(what string) {
		t.Helper()
		for name, want := range content {
			c.readBack(p, "b", name, want)
		}
		if listed := listAll(t, c.proxies(), "b", "", 17); len(listed) != len(content) {
			t.Errorf("%s: %d names are listed, want %d", what, len(listed), len(content))
		}
	}
	before := c.ownedBy("b", names)

	for _, tc := range []struct{ value, code, text string }{
		{`null`, "", "expecting"}, {`{"by":"colour"}`, "", `have \"by\":\"colour\"`}, {`{"by":"capacity","capacities":{"x":1}}`, "", "exclude each other"},
		{fmt.Sprintf(`{"capacities":{%q:1}}`, ids[0]), "", "is missing"}, {value(1, 0, 1), "", "invalid capacity 0"}, {value(1, 1<<41, 1), "", "invalid capacity 2199023255552"},
		{`{"capacities":{"nobody01":1}}`, "errNodeNotFound", "nobody01"}, {`{"weights":{}}`, "", "weights"},
	} {
		a := membershipAct(t, p, "weigh-targets", tc.value)
		status := http.StatusBadRequest
		if tc.code != "" {
			status = http.StatusNotFound
		}
		checkError(t, a, status, "")
		refused(t, a, status, tc.code, "")
	}

	mustAct(t, http.StatusOK, p, "weigh-targets", value(1, 1, 18))
	for _, n := range c.nodes { // the answer came when all had the map
		if got := c.capacitiesAt(n); got[ids[0]] != 1 || got[ids[1]] != 1 || got[ids[2]] != 18 {
			t.Errorf("%s shows %v", n.Name(), got)
		}
	}
	after := c.ownedBy("b", names)
	if after[ids[2]] < 90 || after[ids[2]] <= before[ids[2]] || after[ids[0]] > before[ids[0]] || after[ids[1]] > before[ids[1]] {
		t.Errorf("owned before: %v, after: %v", before, after)
	}
	c.unchanged(p, "weigh-targets", value(1, 1, 18))
	whole("after the change")
	for i, name := range names {
		switch i % 3 {
		case 0:
			must(t, http.StatusOK, http.MethodPut, objectURL(p, "b", name), "replaced")
			content[name] = "replaced"
		case 1:
			must(t, http.StatusOK, http.MethodDelete, objectURL(p, "b", name), "")
			must(t, http.StatusNotFound, http.MethodGet, objectURL(p, "b", name), "")
			delete(content, name)
		}
	}
	whole("after changes of objects")

	// A client that knows ids only asks the owner of before.
	for name, want := range content {
		for _, n := range c.targets() {
			a := must(t, http.StatusOK, http.MethodGet, n.URL()+"/v1/objects/b/"+name, "")
			if a.body != want {
				t.Fatalf("%s directly of %s: %q, want %q", name, n.Name(), a.body, want)
			}
		}
	}

	// All comes back after a restart, and the owners are the same.
	for _, n := range c.nodes {
		c.kill(n)
	}
	for _, n := range c.nodes {
		c.start(n)
	}
	c.waitReady()
	if again := c.ownedBy("b", names); fmt.Sprint(again) != fmt.Sprint(after) {
		t.Errorf("after a restart: %v, was %v", again, after)
	}
	whole("after a restart")

	// The targets of this machine are of one size: as if they had none.
	mustAct(t, http.StatusOK, p, "weigh-targets", `{"by":"capacity"}`)
	sizes := c.capacitiesAt(p)
	if sizes[ids[0]] == 0 || sizes[ids[0]] != sizes[ids[1]] || sizes[ids[1]] != sizes[ids[2]] {
		t.Errorf("sizes %v", sizes)
	}
	if again := c.ownedBy("b", names); fmt.Sprint(again) != fmt.Sprint(before) {
		t.Errorf("by equal sizes: %v, was %v before capacities", again, before)
	}
	whole("by size")
	mustAct(t, http.StatusOK, p, "weigh-targets", `{"by":"nothing"}`)
	if got := c.capacitiesAt(p); got[ids[0]]+got[ids[1]]+got[ids[2]] != 0 {
		t.Errorf("capacities %v", got)
	}
	whole("without capacities")
}
