package target

import (
	"encoding/json"
	"testing"

	"github.com/aistore-go/aistore/ais/jobs"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/xact"
	"github.com/aistore-go/aistore/xact/ecencode"
)

// TestAllNamesAreKnown: what a target concludes from buckets that are made and from repairs,
// and what ends that.
func TestAllNamesAreKnown(t *testing.T) {
	t.Parallel()
	bck := wire.Bck{Name: "b", Provider: wire.ProviderAIS}
	bucket := func(bid uint64, on bool) meta.BucketEntry {
		props := &meta.Bprops{Provider: wire.ProviderAIS, BID: bid}
		props.EC.Enabled = on
		return meta.BucketEntry{Bck: bck, Props: props}
	}
	view := func(epoch int64, targets string, bmd *meta.BMD, records ...*jobs.Record) *meta.View {
		v := &meta.View{
			Smap: &meta.Smap{Tmap: map[string]*meta.Snode{}}, BMD: bmd, Jobs: &meta.Table{Entries: map[string]json.RawMessage{}},
			Placement: &meta.Placement{Sets: []meta.TargetSet{{Epoch: epoch}}},
		}
		for _, id := range targets {
			v.Smap.Tmap[string(id)] = &meta.Snode{ID: string(id)}
		}
		for _, r := range records {
			data, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			v.Jobs.Entries[r.Spec.ID] = data
		}
		return v
	}
	repair := func(id string, ended int64, text, targets string) *jobs.Record {
		args, err := json.Marshal(&ecencode.Args{Recover: true})
		if err != nil {
			t.Fatal(err)
		}
		r := &jobs.Record{Spec: &xact.Spec{Kind: xact.KindECEncode, ID: id, Bck: bck, BID: 7, Args: args}, Ended: ended, Error: text}
		if ended != 0 {
			r.Spec.Args = nil // as the primary leaves it
		}
		for _, target := range targets {
			r.Targets = append(r.Targets, string(target))
		}
		return r
	}
	none, on, off := meta.NewBMD("c", 1), meta.NewBMD("c", 2, bucket(7, true)), meta.NewBMD("c", 3, bucket(7, false))
	another := meta.NewBMD("c", 4, bucket(8, true))
	for _, test := range []struct {
		name  string
		views []*meta.View
		also  func(k *allKnown, step int) // after each view
		want  bool
	}{
		{"a process has just begun", []*meta.View{view(1, "ab", on)}, nil, false},
		{"a bucket is made", []*meta.View{view(1, "ab", none), view(1, "ab", on)}, nil, true},
		{"a bucket is made, and something else changes", []*meta.View{view(1, "ab", none), view(1, "ab", on), view(1, "ab", on)}, nil, true},
		{"a bucket and a target come at once", []*meta.View{view(1, "ab", none), view(2, "abc", on)}, nil, false},
		{"the set of targets changes", []*meta.View{view(1, "ab", none), view(1, "ab", on), view(2, "ab", on)}, nil, false},
		{"it changes and changes back", []*meta.View{view(1, "ab", none), view(1, "ab", on), view(2, "a", on), view(3, "ab", on)}, nil, false},
		{"a target in maintenance leaves", []*meta.View{view(1, "ab", none), view(1, "ab", on), view(1, "a", on)}, nil, false},
		{"erasure coding is off for a while", []*meta.View{view(1, "ab", none), view(1, "ab", on), view(1, "ab", off), view(1, "ab", on)}, nil, false},
		{"another bucket has the name", []*meta.View{view(1, "ab", none), view(1, "ab", on), view(1, "ab", another), view(1, "ab", on)}, nil, true},
		{"something was damaged", []*meta.View{view(1, "ab", none), view(1, "ab", on), view(1, "ab", on)}, func(k *allKnown, step int) {
			if step == 1 {
				k.damages = func() int64 { return 1 }
			}
		}, false},
		{"a mountpath has gone", []*meta.View{view(1, "ab", none), view(1, "ab", on), view(1, "ab", on)}, func(k *allKnown, step int) {
			if step == 1 {
				other := new(fs.Set)
				k.disks = func() *fs.Set { return other }
			}
		}, false},
		{"a repair has ended", []*meta.View{view(1, "ab", on), view(1, "ab", on, repair("r", 0, "", "ab")), view(1, "ab", on, repair("r", 5, "", "ab"))}, nil, true},
		{"a repair runs", []*meta.View{view(1, "ab", none), view(1, "ab", on), view(1, "ab", on, repair("r", 0, "", "ab"))}, nil, false},
		{"a repair has failed", []*meta.View{view(1, "ab", on), view(1, "ab", on, repair("r", 0, "", "ab")), view(1, "ab", on, repair("r", 5, "damaged", "ab"))}, nil, false},
		{"a target took no part", []*meta.View{view(1, "ab", on), view(1, "ab", on, repair("r", 0, "", "a")), view(1, "ab", on, repair("r", 5, "", "a"))}, nil, false},
		{"nobody saw the repair begin", []*meta.View{view(1, "ab", on), view(1, "ab", on, repair("r", 5, "", "ab"))}, nil, false},
		{"a repair of another set", []*meta.View{view(1, "ab", on), view(1, "ab", on, repair("r", 0, "", "ab")), view(2, "ab", on, repair("r", 5, "", "ab"))}, nil, false},
		{"a repair during which a disk was lost", []*meta.View{view(1, "ab", on), view(1, "ab", on, repair("r", 0, "", "ab")), view(1, "ab", on, repair("r", 5, "", "ab"))}, func(k *allKnown, step int) {
			if step == 1 {
				other := new(fs.Set)
				k.disks = func() *fs.Set { return other }
			}
		}, false},
	} {
		set := new(fs.Set)
		k := newAllKnown(func() *fs.Set { return set }, func() int64 { return 0 })
		before := &meta.View{}
		for i, v := range test.views {
			k.applied(before, v)
			if test.also != nil {
				test.also(k, i)
			}
			before = v
		}
		if got := k.holds(7); got != test.want {
			t.Errorf("%s: %t, want %t", test.name, got, test.want)
		}
	}
}
