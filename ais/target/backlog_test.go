package target_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/ais/aistest"
	"github.com/aistore-go/aistore/core/meta"
)

// gauge is a metric of a target without labels of its own, 0 if it is not there.
func gauge(t *testing.T, n *aistest.Node, name string) (value int64) {
	t.Helper()
	_, text := expect(t, 200, follower, http.MethodGet, n.URL()+"/metrics", nil)
	for line := range strings.SplitSeq(text, "\n") {
		labels, shown, _ := strings.Cut(line, "} ")
		if !strings.HasPrefix(labels, "ais_target_"+name+"{") {
			continue
		}
		found, err := strconv.ParseFloat(shown, 64)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		value += int64(found)
	}
	return value
}

// TestMisplacedObjectsAreCounted: objects that belong to another target, or to another
// mountpath, are counted until they are where they belong.
func TestMisplacedObjectsAreCounted(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{Targets: 2})
	expect(t, 200, follower, http.MethodPost, c.Proxies[0].URL()+"/v1/buckets/b", strings.NewReader(`{"action":"create-bck"}`))
	const count = 20
	n := c.Targets[0]
	for i := range count {
		name := ownedBy(t, c, "b", n, fmt.Sprintf("o%d-", i))
		expect(t, 200, follower, http.MethodPut, object(c.Proxies[0], name), strings.NewReader("content"))
	}
	misplaced := func(what string, node, path int64) {
		t.Helper()
		var haveNode, havePath int64
		defer func() {
			if t.Failed() {
				t.Logf("%d and %d are misplaced", haveNode, havePath)
			}
		}()
		eventually(t, fmt.Sprintf("%s: %d at the wrong target, %d on the wrong mountpath", what, node, path), func() bool {
			haveNode, havePath = gauge(t, n, "misplaced_node_count"), gauge(t, n, "misplaced_mountpath_count")
			return haveNode == node && (havePath == path || path < 0 && havePath > 0)
		})
	}
	misplaced("at first", 0, 0)
	out := *n.Snode()
	out.Flags |= meta.FlagMaintenance
	c.ChangeSmap(t, &meta.SmapPatch{Put: []*meta.Snode{&out}})
	misplaced("it is out of service", count, 0)
	eventually(t, "a rebalance is owed for a while", func() bool { return gauge(t, n, "misplaced_age") > 0 })
	c.ChangeSmap(t, &meta.SmapPatch{Put: []*meta.Snode{n.Snode()}})
	misplaced("it is back", 0, 0)
	c.Settle(t)
	eventually(t, "no rebalance is owed", func() bool { return gauge(t, n, "misplaced_age") == 0 })

	mountpath(t, c, 200, "attach-mp", t.TempDir(), "?dntres=true")
	misplaced("a mountpath has come", 0, -1)
	expect(t, 200, follower, http.MethodPut, c.Proxies[0].URL()+"/v1/cluster", strings.NewReader(`{"action":"start","value":{"Kind":"resilver","DaemonID":"`+n.ID()+`"}}`))
	misplaced("after a resilver", 0, 0)
	eventually(t, "no resilver is owed", func() bool { return gauge(t, n, "misplaced_age") == 0 })
}

// TestWorkOnSlicesIsCounted: slices that are made, and objects that are rebuilt, are
// counted with their bytes; what waits for slices is, too.
func TestWorkOnSlicesIsCounted(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{Targets: 5})
	expect(t, 200, follower, http.MethodPost, c.Proxies[0].URL()+"/v1/buckets/b", strings.NewReader(
		`{"action":"create-bck","value":{"ec":{"enabled":true,"data_slices":2,"parity_slices":2,"objsize_limit":1000}}}`))
	sum := func(name string) (total int64) {
		t.Helper()
		for _, n := range c.Targets {
			total += gauge(t, n, name)
		}
		return total
	}
	const count, size = 10, 4000
	n := c.Targets[1]
	var names []string
	for i := range count {
		names = append(names, ownedBy(t, c, "b", n, fmt.Sprintf("o%d-", i)))
		expect(t, 200, follower, http.MethodPut, object(c.Proxies[0], names[i]), strings.NewReader(strings.Repeat("x", size)))
	}
	eventually(t, "all slices are made", func() bool { return sum("ec_made_count") == count*4 && sum("ec_pending_count") == 0 })
	if made := sum("ec_made_bytes"); made != count*4*size/2 {
		t.Errorf("slices of %d bytes were made, want %d", made, count*4*size/2)
	}
	c.Metadata.SetDown(c.Targets[4].ID(), true) // too few are left for all slices
	expect(t, 200, follower, http.MethodPut, object(c.Proxies[0], names[0]), strings.NewReader(strings.Repeat("y", size)))
	eventually(t, "an object waits", func() bool { return sum("ec_pending_count") == 1 && sum("ec_pending_age") > 0 })
	c.Metadata.SetDown(c.Targets[4].ID(), false)
	eventually(t, "none waits", func() bool { return sum("ec_pending_count") == 0 && sum("ec_pending_age") == 0 })

	c.Stop(t, n)
	for _, path := range n.Paths {
		if err := os.RemoveAll(filepath.Join(path, "@ais")); err != nil {
			t.Fatal(err)
		}
	}
	c.Restart(t, n)
	for _, name := range names {
		expect(t, 200, follower, http.MethodGet, object(c.Proxies[0], name), nil)
	}
	if objects, bytes := gauge(t, n, "ec_rebuilt_count"), gauge(t, n, "ec_rebuilt_bytes"); objects != count || bytes != count*size {
		t.Errorf("%d objects of %d bytes were rebuilt, want %d of %d", objects, bytes, count, count*size)
	}
}
