package jobs

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/xact"
)

// TestRecordsAreKept: a job that has ended is known for hours, one that runs for ever, and so is
// the latest rebalance; what is older goes with the next change of the table.
func TestRecordsAreKept(t *testing.T) {
	t.Parallel()
	now := time.Now()
	v := &meta.View{RMD: &meta.RMD{Version: 7}, Jobs: &meta.Table{Entries: map[string]json.RawMessage{}}}
	add := func(id string, ended time.Duration) {
		r := &Record{Spec: &xact.Spec{ID: id, Kind: "lru", Started: now.Add(-24 * time.Hour).UnixNano()}}
		if ended > 0 {
			r.Ended = now.Add(-ended).UnixNano()
		}
		data, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		v.Jobs.Entries[id] = data
	}
	add("running", 0)
	add("a-minute-ago", time.Minute)
	add("an-hour-ago", time.Hour)
	add("hours-ago", 3*time.Hour)
	add(meta.RebalanceID(7), 20*time.Hour)
	add(meta.RebalanceID(6), 20*time.Hour)
	change, err := put(v, &Record{Spec: &xact.Spec{ID: "next", Kind: "lru"}}, now)
	if err != nil {
		t.Fatal(err)
	}
	var patch meta.TablePatch
	if err := json.Unmarshal(change.Patch, &patch); err != nil {
		t.Fatal(err)
	}
	slices.Sort(patch.Del)
	if gone := strings.Join(patch.Del, " "); gone != "g6 hours-ago" || len(patch.Put) != 1 {
		t.Errorf("%q go, %d are written", gone, len(patch.Put))
	}
}
