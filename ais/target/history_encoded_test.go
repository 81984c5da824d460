package target_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/ais/aistest"
)

// TestHistoryOfEncodedObjectsIsLinearizable: objects of an encoded bucket with durability
// "redundant" are written, also in parts, appended to, read and deleted through HTTP while targets stop, one after the
// other, and return, with what they had or with empty disks, and while what they lack is repaired.
func TestHistoryOfEncodedObjectsIsLinearizable(t *testing.T) {
	t.Parallel()
	for name, loses := range map[string]bool{"targets return": false, "targets return empty": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			historyOfEncodedObjects(t, loses)
		})
	}
}

func historyOfEncodedObjects(t *testing.T, loses bool) {
	c := aistest.New(t, aistest.Options{Targets: 6})
	expect(t, 200, follower, "POST", c.Proxies[0].URL()+"/v1/buckets/b", strings.NewReader(
		`{"action":"create-bck","value":{"durability":"redundant","ec":{"enabled":true,"data_slices":2,"parity_slices":2,"objsize_limit":4000}}}`))
	h := beginHistory(t, c.Proxies[0], false)
	for _, n := range []*aistest.Node{c.Targets[0], c.Targets[3], c.Targets[0]} {
		h.phase.Add(1)
		h.more(30)
		h.breaks.Store(true)
		c.Stop(t, n)
		h.more(30)
		if loses {
			for _, path := range n.Paths {
				if err := os.RemoveAll(filepath.Join(path, "@ais")); err != nil {
					t.Fatal(err)
				}
			}
		}
		c.Restart(t, n)
		id := startRepair(t, c)
		h.more(30)
		h.breaks.Store(false)
		awaitRepair(t, c, id)
	}
	h.phase.Add(1)
	h.more(30)
	h.end()
	eventually(t, "everything has its slices", func() bool { return underProtected(t, c.Targets) == 0 })
	if said := scrubbed(t, c); strings.Contains(said, "below its level") {
		t.Errorf("the scrub says %s", said)
	}
}
