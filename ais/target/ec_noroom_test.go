package target_test

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/ais/aistest"
	"github.com/aistore-go/aistore/fs/faultfs"
)

// TestEncodeOnAFullDisk: a disk of one of the targets is full in the midst of ec-encode.
// The job says so, every object is whole and counted as below its level of protection if
// it is, and the same again, when there is room, makes the rest.
func TestEncodeOnAFullDisk(t *testing.T) {
	t.Parallel()
	disk := faultfs.New(nil)
	disk.Record(false)
	c := aistest.New(t, aistest.Options{Targets: 4, System: disk})
	expect(t, 200, follower, "POST", c.Proxies[0].URL()+"/v1/buckets/b", strings.NewReader(`{"action":"create-bck"}`))
	all := map[string]string{}
	for i := range 40 {
		name := fmt.Sprintf("o%02d", i)
		all[name] = strings.Repeat(name, 1+i*40) // some are replicated, most are sliced
		expect(t, 200, follower, "PUT", object(c.Proxies[0], name), strings.NewReader(all[name]))
	}
	read := func(when string) {
		t.Helper()
		for name, content := range all {
			if _, text := expect(t, 200, follower, "GET", object(c.Proxies[0], name), nil); text != content {
				t.Errorf("%s: %s: %d bytes, want %d", when, name, len(text), len(content))
			}
		}
	}
	full := c.Targets[3].Paths[0] + "/@ais/b/"
	for _, op := range []faultfs.Op{faultfs.OpWrite, faultfs.OpCreate} {
		disk.Inject(faultfs.Fault{Op: op, Path: full, Nth: 4, Times: -1, Err: unix.ENOSPC})
	}
	_, id := expect(t, 200, follower, "PATCH", c.Proxies[0].URL()+"/v1/buckets/b",
		strings.NewReader(`{"action":"set-bprops","value":{"ec":{"enabled":true,"data_slices":1,"parity_slices":1,"objsize_limit":1000}}}`))
	said := ended(t, c, id)
	if !strings.Contains(said, "out of space") || !strings.Contains(said, c.Targets[3].Paths[0]) {
		t.Errorf("the job says %s", said)
	}
	read("full")
	eventually(t, "objects below their level are counted", func() bool {
		n := underProtected(t, c.Targets)
		return n > 0 && n < len(all)
	})
	disk.Heal()
	_, id = expect(t, 200, follower, "POST", c.Proxies[0].URL()+"/v1/buckets/b", strings.NewReader(`{"action":"ec-encode","value":{"data_slices":1,"parity_slices":1}}`))
	if said := ended(t, c, strings.Trim(id, `"`)); strings.Contains(said, "out of space") {
		t.Errorf("again: the job says %s", said)
	}
	wantUnderProtected(t, c, c.Targets, "when there is room", 0)
	read("when there is room")
}
