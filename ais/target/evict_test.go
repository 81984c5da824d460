package target_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aistore-go/aistore/ais/aistest"
	"github.com/aistore-go/aistore/cmn/wire"
	fsys "github.com/aistore-go/aistore/fs"
)

// nearlyFull are disks of which 94 percent are used, whatever they hold.
type nearlyFull struct{ fsys.System }

func (nearlyFull) Statfs(string) (fsys.FilesystemInfo, error) {
	const total = 1 << 40
	return fsys.FilesystemInfo{Total: total, Available: total / 100 * 6}, nil
}

// TestEvictionOnEveryTarget: where space is short, objects that were not accessed for hours
// go, on all targets, whoever set the times of the files; those that were written a moment ago stay, and
// all of a bucket that did not opt in.
func TestEvictionOnEveryTarget(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{
		Targets: 3, System: nearlyFull{fsys.Unix()}, Space: fsys.Watermarks{Cleanup: 65, Low: 75, High: 90, OutOfSpace: 100},
	})
	url := c.Proxies[0].URL() + "/v1"
	for bucket, props := range map[string]string{"b": `{"lru":{"enabled":true}}`, "kept": `{}`} {
		expect(t, 200, follower, "POST", url+"/buckets/"+bucket, strings.NewReader(`{"action":"create-bck","value":`+props+`}`))
		for i := range 30 {
			expect(t, 200, follower, "PUT", fmt.Sprintf("%s/objects/%s/old%02d", url, bucket, i), strings.NewReader("content"))
		}
		expect(t, 200, follower, "PUT", url+"/objects/"+bucket+"/young", strings.NewReader("content"))
	}
	expect(t, 200, follower, "PUT", url+"/cluster", strings.NewReader(`{"action":"clear-lcache"}`))
	for _, n := range c.Targets {
		aged := 0
		for _, path := range n.Paths {
			err := filepath.WalkDir(path+"/@ais", func(file string, entry fs.DirEntry, err error) error {
				if err != nil || !entry.Type().IsRegular() || !strings.HasPrefix(entry.Name(), "old") {
					return err
				}
				aged++
				return os.Chtimes(file, time.Now().Add(-3*time.Hour), time.Time{})
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if aged < 2 {
			t.Fatalf("%s has %d objects", n.ID(), aged)
		}
	}
	_, id := expect(t, 200, follower, "PUT", url+"/cluster", strings.NewReader(`{"action":"start","value":{"Kind":"lru-eviction"}}`))
	eventually(t, "the end of the eviction", func() bool {
		var s wire.JobStatus
		_, body := expect(t, 200, follower, "GET", url+"/cluster?what=status", strings.NewReader(`{"id":"`+id+`"}`))
		if err := json.Unmarshal([]byte(body), &s); err != nil {
			t.Fatal(err)
		}
		if s.Aborted || s.Error != "" {
			t.Fatal(body)
		}
		return s.EndTime != 0
	})
	evicted := int64(0)
	for _, n := range c.Targets {
		count := n.Metrics().Tracker()["lru.evict.n"]
		if evicted += count; count == 0 {
			t.Errorf("%s has evicted nothing", n.ID())
		}
	}
	if evicted != 30 {
		t.Errorf("%d objects were evicted", evicted)
	}
	for bucket, want := range map[string]int{"b": 1, "kept": 31} {
		_, body := expect(t, 200, follower, "GET", url+"/buckets/"+bucket, strings.NewReader(`{"action":"list","value":{"props":"name"}}`), "Content-Type: application/json")
		if names := strings.Count(body, `"name":"`); names != want {
			t.Errorf("%s: %d names are left, want %d: %s", bucket, names, want, body)
		}
	}
}
