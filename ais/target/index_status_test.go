package target_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aistore-go/aistore/ais/aistest"
)

// TestIndexOfAMountpath: its state can be asked for, and it is compared with
// the files when an operator says so.
func TestIndexOfAMountpath(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{Proxies: 1, Targets: 1})
	target, id := c.Proxies[0].URL()+"/v1/reverse/daemon/mountpaths", "Ais-Node-Id: "+c.Targets[0].ID()
	states := func() (all map[string]struct {
		State          string
		Buckets, Ready int
	}) {
		_, body := expect(t, 200, follower, "GET", target+"/index", nil, id)
		t.Log(body)
		if err := json.Unmarshal([]byte(body), &all); err != nil {
			t.Fatal(err)
		}
		return all
	}
	path := ""
	await := func() {
		deadline := time.After(30 * time.Second)
		for {
			ready := true
			for path = range states() {
				ready = ready && states()[path].State == "ready" && states()[path].Ready == states()[path].Buckets
			}
			if ready && path != "" {
				return
			}
			select {
			case <-deadline:
				t.Fatal("not ready")
			default:
			}
		}
	}
	await()
	order := func(status int, path string) string {
		_, body := expect(t, status, follower, "POST", target, strings.NewReader(fmt.Sprintf(`{"action":"reindex-mp","value":%q}`, path)), "Content-Type: application/json", id)
		return body
	}
	order(200, path)
	await()
	if text := order(400, "/nowhere"); !strings.Contains(text, "is not in use") {
		t.Error(text)
	}
	expect(t, 400, follower, "GET", target+"/other", nil, id)
	expect(t, 400, follower, "GET", target, nil, id)
}
