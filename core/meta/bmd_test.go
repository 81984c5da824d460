package meta_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

func entry(bck wire.Bck) meta.BucketEntry {
	return meta.BucketEntry{Bck: bck, Props: meta.DefaultBprops(bck, defaults())}
}

func TestBMDJSON(t *testing.T) {
	t.Parallel()
	remote := wire.Bck{Name: "r", Provider: "ais", Ns: wire.Ns{UUID: "Q9wP67Uiqt", Name: "ns"}}
	local := wire.Bck{Name: "b", Provider: "ais", Ns: wire.Ns{Name: "ns1"}}
	b := meta.NewBMD("Q1wErTy7U", 12, entry(aisBck("b")), entry(local), entry(remote), entry(wire.Bck{Name: "b", Provider: "aws"}))
	data, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{`{"providers":{"ais":{"@#":{"b":{`, `"@#ns1":{"b":{`, `"@Q9wP67Uiqt#ns":{"r":{`, `"aws":{"@#":{"b":{`, `,"uuid":"Q1wErTy7U","version":"12"}`} {
		if !strings.Contains(string(data), part) {
			t.Errorf("%s is not in %s", part, data)
		}
	}
	d, err := meta.Decode(meta.KindBMD, data)
	if err != nil {
		t.Fatal(err)
	}
	again := d.(*meta.BMD)
	if diff := cmp.Diff(b.Buckets(nil), again.Buckets(nil)); diff != "" || again.Len() != 4 {
		t.Error(diff)
	}
	if got := again.Buckets(func(bck wire.Bck, _ *meta.Bprops) bool { return bck.Name == "b" && bck.Provider == "ais" }); len(got) != 2 || got[0].Bck != aisBck("b") || got[1].Bck != local {
		t.Errorf("filtered: %v", got)
	}
	if _, ok := again.Get(remote); !ok {
		t.Error("the remote bucket is not found")
	}
	for _, absent := range []wire.Bck{{Name: "b", Provider: "gcp"}, {Name: "x", Provider: "ais"}, {Name: "b", Provider: "ais", Ns: wire.Ns{UUID: "ns1"}}} {
		if _, ok := again.Get(absent); ok {
			t.Errorf("%v is found", absent)
		}
	}
	if _, ok := (*meta.BMD)(nil).Get(local); ok {
		t.Error("a bucket in no metadata")
	}
}

func TestBMDDecodeRefuses(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"no version":        `{"providers":{},"uuid":"u"}`,
		"no properties":     `{"providers":{"ais":{"@#":{"b":null}}},"uuid":"u","version":"1"}`,
		"another provider":  `{"providers":{"ais":{"@#":{"b":{"provider":"aws"}}}},"uuid":"u","version":"1"}`,
		"an alias":          `{"providers":{"s3":{"@#":{"b":{"provider":"s3"}}}},"uuid":"u","version":"1"}`,
		"no name":           `{"providers":{"ais":{"@#":{"":{"provider":"ais"}}}},"uuid":"u","version":"1"}`,
		"one bucket twice":  `{"providers":{"ais":{"@#":{"b":{"provider":"ais"}},"":{"b":{"provider":"ais"}}}},"uuid":"u","version":"1"}`,
		"a numeric version": `{"providers":{},"uuid":"u","version":1}`,
	} {
		if _, err := meta.Decode(meta.KindBMD, []byte(text)); apierr.StatusOf(err) != 400 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// founded returns a view of a new cluster with empty bucket metadata.
func founded(t rapid.TB) *meta.View {
	t.Helper()
	v := &meta.View{}
	p := node("proxyAAA", meta.RoleProxy)
	return apply(t, v, 1,
		change(t, v, meta.KindSmap, &meta.SmapPatch{UUID: "Q1wErTy7U", Lineage: "line12345", Created: "2026-08-21 10:00:00", Put: []*meta.Snode{p}, Primary: p.ID}),
		change(t, v, meta.KindBMD, &meta.BMDPatch{}),
		change(t, v, meta.KindConfig, defaults()),
		change(t, v, meta.KindVoters, &meta.VotersPatch{Members: []meta.Member{{NodeID: p.ID, RaftID: 5}}}))
}

func change(t rapid.TB, v *meta.View, kind string, patch any) meta.Change {
	t.Helper()
	c, err := meta.NewChange(v, kind, patch)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func apply(t rapid.TB, v *meta.View, index uint64, changes ...meta.Change) *meta.View {
	t.Helper()
	next, err := v.Apply(&meta.Command{ID: "c", Action: "test", Changes: changes}, 1, index)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

func TestBucketIDs(t *testing.T) {
	t.Parallel()
	v := founded(t)
	cloud := wire.Bck{Name: "c", Provider: "aws"}
	v = apply(t, v, 2, change(t, v, meta.KindBMD, &meta.BMDPatch{Put: []meta.BucketEntry{entry(aisBck("b"))}}))
	first, _ := v.BMD.Get(aisBck("b"))
	if first.BID != 1<<63|1 || v.BMD.Version != 2 {
		t.Errorf("the first bucket has the id %d in version %d", first.BID, v.BMD.Version)
	}
	// two at once have different ids, and the version leaves room for them
	v = apply(t, v, 3, change(t, v, meta.KindBMD, &meta.BMDPatch{Put: []meta.BucketEntry{entry(cloud), entry(aisBck("b2"))}}))
	remote, _ := v.BMD.Get(cloud)
	second, _ := v.BMD.Get(aisBck("b2"))
	if remote.BID != 2 || second.BID != 1<<63|3 || v.BMD.Version != 4 {
		t.Errorf("ids %d and %d in version %d", remote.BID, second.BID, v.BMD.Version)
	}
	// a change of properties keeps the id
	changed := first.Clone()
	changed.Durability = meta.DurabilityNone
	v = apply(t, v, 4, change(t, v, meta.KindBMD, &meta.BMDPatch{Put: []meta.BucketEntry{{Bck: aisBck("b"), Props: changed}}}))
	if got, _ := v.BMD.Get(aisBck("b")); got.BID != first.BID || got.Durability != meta.DurabilityNone || first.Durability != meta.DurabilitySync {
		t.Errorf("%+v", got)
	}
	// created again is another bucket, in one command too
	v = apply(t, v, 5, change(t, v, meta.KindBMD, &meta.BMDPatch{Del: []wire.Bck{aisBck("b")}, Put: []meta.BucketEntry{entry(aisBck("b"))}}))
	if got, _ := v.BMD.Get(aisBck("b")); got.BID == first.BID || got.BID != 1<<63|5 {
		t.Errorf("created again with the id %d", got.BID)
	}
	// what was meant for the bucket before is refused
	c := change(t, v, meta.KindBMD, &meta.BMDPatch{Put: []meta.BucketEntry{{Bck: aisBck("b"), Props: changed}}})
	if _, err := v.Apply(&meta.Command{Changes: []meta.Change{c}}, 1, 6); apierr.StatusOf(err) != 409 || meta.IsStale(err) {
		t.Errorf("%v", err)
	}
}

func TestBMDPatchRefuses(t *testing.T) {
	t.Parallel()
	v := founded(t)
	v = apply(t, v, 2, change(t, v, meta.KindBMD, &meta.BMDPatch{Put: []meta.BucketEntry{entry(aisBck("b"))}}))
	unknown := entry(aisBck("x"))
	unknown.Props.BID = 9
	for name, tc := range map[string]struct {
		patch  meta.BMDPatch
		status int
	}{
		"a bucket that exists":     {meta.BMDPatch{Put: []meta.BucketEntry{entry(aisBck("b"))}}, 409},
		"a bucket that is missing": {meta.BMDPatch{Put: []meta.BucketEntry{unknown}}, 404},
		"no properties":            {meta.BMDPatch{Put: []meta.BucketEntry{{Bck: aisBck("y")}}}, 400},
		"an alias of a provider":   {meta.BMDPatch{Put: []meta.BucketEntry{entry(wire.Bck{Name: "y", Provider: "s3"})}}, 400},
	} {
		c := change(t, v, meta.KindBMD, &tc.patch)
		next, err := v.Apply(&meta.Command{Changes: []meta.Change{c}}, 2, 3)
		if apierr.StatusOf(err) != tc.status {
			t.Errorf("%s: %v, want %d", name, err, tc.status)
		}
		if next.BMD != v.BMD || next.Index != 3 || next.Term != 2 {
			t.Errorf("%s: %+v", name, next)
		}
	}
}
