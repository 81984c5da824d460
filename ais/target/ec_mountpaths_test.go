package target_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/ais/aistest"
)

// TestMountpathsOfAnEncodedBucketLeave: with as many mountpaths gone, without a resilver, on
// different targets, as there are parity slices, every object can be read at once, whole and in
// ranges; and again when they are back.
func TestMountpathsOfAnEncodedBucketLeave(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{Targets: 5, Mountpaths: 2})
	bucket := c.Proxies[0].URL() + "/v1/buckets/b"
	expect(t, 200, follower, "POST", bucket, strings.NewReader(`{"action":"create-bck"}`))
	bucketAction(t, c, 200, "PATCH", "set-bprops", `{"ec":{"enabled":true,"data_slices":2,"parity_slices":2,"objsize_limit":1000}}`)
	all := map[string]string{}
	for i := range 60 {
		name := fmt.Sprintf("o%02d", i)
		all[name] = strings.Repeat(name, 1+i*40) // some below the limit, most above
		expect(t, 200, follower, "PUT", object(c.Proxies[0], name), strings.NewReader(all[name]))
	}
	wantUnderProtected(t, c, c.Targets, "encoded", 0)
	change := func(n *aistest.Node, action string) {
		t.Helper()
		expect(t, 200, follower, http.MethodPost, c.Proxies[0].URL()+"/v1/reverse/daemon/mountpaths?dntres=true",
			strings.NewReader(fmt.Sprintf(`{"action":%q,"value":%q}`, action, n.Paths[0])), "Ais-Node-Id: "+n.ID())
	}
	read := func(when string) {
		t.Helper()
		for name, content := range all {
			if _, text := expect(t, 200, follower, "GET", object(c.Proxies[0], name), nil); text != content {
				t.Errorf("%s: %s: %d bytes, want %d", when, name, len(text), len(content))
			}
			if _, text := expect(t, 206, follower, "GET", object(c.Proxies[0], name), nil, "Range: bytes=1-2"); text != content[1:3] {
				t.Errorf("%s: %s: range %q", when, name, text)
			}
		}
	}
	for _, actions := range [][2]string{{"disable-mp", "enable-mp"}, {"detach-mp", "attach-mp"}} {
		for _, action := range actions {
			for _, n := range c.Targets[:2] {
				change(n, action)
			}
			read(action)
		}
	}
}
