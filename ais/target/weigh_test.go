package target_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/ais/aistest"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
)

// TestMountpathsAreWeighed: by their sizes, by numbers, and not any more; objects are read
// meanwhile, and move by themselves. Bad values are refused and change nothing.
func TestMountpathsAreWeighed(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{Mountpaths: 2})
	p, target := c.Proxies[0], c.Targets[0]
	expect(t, 200, follower, "POST", p.URL()+"/v1/buckets/b", strings.NewReader(`{"action":"create-bck"}`))
	const count = 40
	for i := range count {
		expect(t, 200, follower, "PUT", object(p, fmt.Sprintf("o%02d", i)), strings.NewReader(fmt.Sprint("content ", i)))
	}
	weigh := func(status int, value string) string {
		t.Helper()
		_, text := expect(t, status, follower, "PUT", p.URL()+"/v1/reverse/daemon", strings.NewReader(`{"action":"weigh-mountpaths","value":`+value+`}`), "Ais-Node-Id: "+target.ID())
		return text
	}
	numbers := func(a, b int) string {
		return fmt.Sprintf(`{"capacities":{%q:%d,%q:%d}}`, target.Paths[0], a, target.Paths[1], b)
	}
	for value, want := range map[string]string{
		`{"by":"colour"}`: `have \"by\":\"colour\"`, `{"by":"nothing","capacities":{"/x":1}}`: "exclude each other", `{"capacities":{"/x":1}}`: "is not found",
		fmt.Sprintf(`{"capacities":{%q:1}}`, target.Paths[0]): "is missing", numbers(1, 0): "invalid capacity 0", `{}`: "expecting",
	} {
		status := 400
		if strings.Contains(want, "not found") {
			status = 404
		}
		if text := weigh(status, value); !strings.Contains(text, want) {
			t.Errorf("%s: %s", value, text)
		}
	}
	if text := weigh(200, `{"by":"capacity"}`); strings.TrimSpace(text) != "{}" { // they share a filesystem
		t.Errorf("by capacity: %s", text)
	}
	on := func() (n int) {
		for i := range count {
			if attrs, err := target.Store.Head(t.Context(), keyOf(t, c, fmt.Sprintf("o%02d", i))); err == nil && attrs.Mountpath.Path == target.Paths[1] {
				n++
			}
		}
		return n
	}
	before := on()
	if text := weigh(200, numbers(1, 30)); !strings.Contains(text, `:30`) {
		t.Errorf("by numbers: %s", text)
	}
	whole := func() {
		t.Helper()
		for i := range count {
			if _, text := expect(t, 200, follower, "GET", object(p, fmt.Sprintf("o%02d", i)), nil); text != fmt.Sprint("content ", i) {
				t.Errorf("o%02d: %q", i, text)
			}
		}
	}
	whole()
	settled := func() bool { set := target.Disks.Available(); return !set.Unarranged && !set.Unsettled }
	eventually(t, "the objects have moved", settled)
	if after := on(); after <= before || after < count*3/4 {
		t.Errorf("%d of %d objects lay on a mountpath with 30 times the capacity, now %d", before, count, after)
	}
	whole()
	expect(t, 200, follower, "PUT", p.URL()+"/v1/cluster", strings.NewReader(`{"action":"weigh-targets","value":{"by":"nothing"}}`))
	if set := target.Disks.Available(); set.Capacities() != nil {
		t.Errorf("the cluster takes it back: %v", set.Capacities())
	}
	eventually(t, "the objects have moved back", settled)
	if after := on(); after != before {
		t.Errorf("%d objects lay on the second mountpath, now %d", before, after)
	}
	whole()
}

func keyOf(t *testing.T, c *aistest.Cluster, name string) core.Key {
	t.Helper()
	return core.Key{Bck: wire.Bck{Name: "b", Provider: wire.ProviderAIS}, Props: props(t, c), Name: name}
}
