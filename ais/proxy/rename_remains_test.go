package proxy

import (
	"encoding/json"
	"testing"

	"github.com/aistore-go/aistore/ais/jobs"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/xact"
	"github.com/aistore-go/aistore/xact/rename"
)

// TestForgottenRenames: marks of renames whose job is not there go; the old bucket has
// everything as long as it is there.
func TestForgottenRenames(t *testing.T) {
	t.Parallel()
	const id = "job123456"
	before, after := bucketOf(oldBck, 5, wire.ActMoveBucket), bucketOf(newBck, 6, rename.Mark(id, oldBck))
	record := func(ended int64) *jobs.Record {
		return &jobs.Record{Spec: &xact.Spec{ID: id, Kind: wire.ActMoveBucket, Source: oldBck, To: newBck}, Ended: ended}
	}
	for _, tc := range []struct {
		name     string
		view     *meta.View
		record   *jobs.Record
		del, put []wire.Bck
	}{
		{"no rename", viewOf(bucketOf(oldBck, 5, ""), bucketOf(newBck, 6, "")), nil, nil, nil},
		{"the job runs", viewOf(before, after), record(0), nil, nil},
		{"the job has ended, and its end was not written", viewOf(before, after), record(7), []wire.Bck{newBck}, []wire.Bck{oldBck}},
		{"the job is not known", viewOf(before, after), nil, []wire.Bck{newBck}, []wire.Bck{oldBck}},
		{"the new bucket is gone", viewOf(before), nil, nil, []wire.Bck{oldBck}},
		{"the new bucket is gone, and the job runs", viewOf(before), record(0), nil, nil},
		{"the new bucket is another one", viewOf(before, bucketOf(newBck, 8, "")), nil, nil, []wire.Bck{oldBck}},
		{"the old bucket is gone", viewOf(after), nil, nil, []wire.Bck{newBck}},
		{"the old bucket is another one", viewOf(bucketOf(oldBck, 9, ""), after), nil, nil, []wire.Bck{newBck}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if tc.record != nil {
				data, err := json.Marshal(tc.record)
				if err != nil {
					t.Fatal(err)
				}
				tc.view.Jobs = &meta.Table{Entries: map[string]json.RawMessage{id: data}}
			}
			patch := forgottenRenames(tc.view)
			if patch == nil {
				patch = &meta.BMDPatch{}
			}
			if len(patch.Del) != len(tc.del) || len(patch.Put) != len(tc.put) {
				t.Fatalf("removed %v, put %v", patch.Del, patch.Put)
			}
			for i, b := range tc.del {
				if patch.Del[i] != b {
					t.Errorf("removed %v, want %v", patch.Del, tc.del)
				}
			}
			for i, b := range tc.put {
				if patch.Put[i].Bck != b || patch.Put[i].Props.Renamed != "" {
					t.Errorf("put %+v, want %v", patch.Put[i], b)
				}
			}
		})
	}
	if before.Props.Renamed == "" || after.Props.Renamed == "" {
		t.Error("published properties were changed")
	}
}
