package proxy

import (
	"encoding/json"
	"testing"

	"github.com/aistore-go/aistore/ais/jobs"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/xact"
	"github.com/aistore-go/aistore/xact/rename"
	"github.com/aistore-go/aistore/xact/tcb"
)

var (
	oldBck = wire.Bck{Name: "old", Provider: wire.ProviderAIS}
	newBck = wire.Bck{Name: "new", Provider: wire.ProviderAIS}
)

// patchOf is the change of the bucket metadata among changes, nil if there is none.
func patchOf(t *testing.T, changes []meta.Change, err error) *meta.BMDPatch {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if len(changes) == 0 {
		return nil
	}
	var patch meta.BMDPatch
	if err := json.Unmarshal(changes[0].Patch, &patch); err != nil {
		t.Fatal(err)
	}
	return &patch
}

func viewOf(buckets ...meta.BucketEntry) *meta.View {
	return &meta.View{BMD: meta.NewBMD("cluster01", 9, buckets...)}
}

func bucketOf(bck wire.Bck, bid uint64, renamed string) meta.BucketEntry {
	return meta.BucketEntry{Bck: bck, Props: &meta.Bprops{Provider: bck.Provider, BID: bid, Renamed: renamed, Created: int64(bid)}}
}

// TestEndOfARename: the old bucket goes only if every target has copied
// everything; in any other case it is as before.
func TestEndOfARename(t *testing.T) {
	t.Parallel()
	before, after := bucketOf(oldBck, 5, wire.ActMoveBucket), bucketOf(newBck, 6, rename.Mark("job123456", oldBck))
	other := bucketOf(newBck, 7, "")
	for _, tc := range []struct {
		name         string
		view         *meta.View
		cause, err   string
		deleted, put wire.Bck
	}{
		{"done", viewOf(before, after), "", "", oldBck, newBck},
		{"aborted", viewOf(before, after), "user abort", "", newBck, oldBck},
		{"with errors", viewOf(before, after), "", "something", newBck, oldBck},
		{"the new one has gone", viewOf(before), "bucket was destroyed", "", wire.Bck{}, oldBck},
		{"the new one has gone, and nobody noticed", viewOf(before), "", "", wire.Bck{}, oldBck},
		{"the new one is another", viewOf(before, other), "", "", wire.Bck{}, wire.Bck{}},
		{"the old one has gone", viewOf(after), "aborted", "", wire.Bck{}, newBck},
		{"neither", viewOf(), "aborted", "", wire.Bck{}, wire.Bck{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			record := &jobs.Record{Spec: &xact.Spec{ID: "job123456", Kind: wire.ActMoveBucket, Bck: newBck, Source: oldBck, To: newBck, BID: 5}, Cause: tc.cause, Error: tc.err}
			changes, err := endRename(tc.view, record)
			patch := patchOf(t, changes, err)
			var deleted, put wire.Bck
			if patch != nil {
				for _, bck := range patch.Del {
					deleted = bck
				}
				for _, entry := range patch.Put {
					if put = entry.Bck; entry.Props.Renamed != "" {
						t.Errorf("%s is still being renamed: %q", entry.Bck, entry.Props.Renamed)
					}
				}
			}
			if deleted != tc.deleted || put != tc.put {
				t.Errorf("deleted %v, changed %v", deleted, put)
			}
		})
	}
}

// TestEndOfACopy: only an aborted job takes its destination with it, and only one
// that it has made.
func TestEndOfACopy(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		made    bool
		created int64
		cause   string
		left    string
		gone    bool
	}{
		{"aborted", true, 6, "user abort", "", true},
		{"aborted, and reported as ended long ago", true, 6, "user abort", "no commit", false},
		{"done", true, 6, "", "", false},
		{"aborted, it was there before", false, 0, "user abort", "", false},
		{"aborted, it is another by now", true, 4, "user abort", "", false},
	} {
		args, err := json.Marshal(&tcb.Args{Made: tc.made, Created: tc.created})
		if err != nil {
			t.Fatal(err)
		}
		record := &jobs.Record{Spec: &xact.Spec{ID: "job123456", Kind: wire.ActCopyBucket, Source: oldBck, To: newBck, Args: args}, Cause: tc.cause, Left: tc.left}
		changes, err := endCopyBucket(viewOf(bucketOf(oldBck, 5, ""), bucketOf(newBck, 6, "")), record)
		patch := patchOf(t, changes, err)
		if gone := patch != nil && len(patch.Del) == 1 && patch.Del[0] == newBck; gone != tc.gone {
			t.Errorf("%s: gone %v", tc.name, gone)
		}
	}
}
