package summary_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/xact"
	"github.com/aistore-go/aistore/xact/selection"
	"github.com/aistore-go/aistore/xact/summary"
	"github.com/aistore-go/aistore/xact/xacttest"
)

// newRig is the only target of a cluster, with four objects.
func newRig(t *testing.T, level summary.Level, props func(*meta.Bprops)) *xacttest.Rig {
	t.Helper()
	var cluster selection.Cluster // nothing is asked of others while the placement is settled
	r := xacttest.New(t, xacttest.Options{Props: props}, summary.Registration(cluster, level))
	target := meta.Snode{ID: "t1", Role: meta.RoleTarget}
	r.View.Smap = (&meta.Smap{Version: 1, Tmap: map[string]*meta.Snode{"t1": &target}, Pmap: map[string]*meta.Snode{}}).Freeze()
	r.Put("a/1", "12345")
	r.Put("a/2", "1234567890")
	r.Put("b", strings.Repeat("x", 5000))
	r.Put("empty", "")
	return r
}

func specOf(t *testing.T, r *xacttest.Rig, args *summary.Args) *xact.Spec {
	t.Helper()
	spec := r.Spec(wire.ActSummaryBucket)
	var err error
	if spec.Args, err = json.Marshal(args); err != nil {
		t.Fatal(err)
	}
	return spec
}

// TestSummary: objects and bytes of a bucket, or of a prefix.
func TestSummary(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil, nil)
	for prefix, want := range map[string]wire.BucketSummary{
		"":   {Count: wire.SummaryCount{Present: 4}, Size: wire.SummarySize{Min: 0, Max: 5000}, Total: wire.SummaryTotal{Present: 5015, OnDisk: 4096 + 4096 + 8192}},
		"a/": {Count: wire.SummaryCount{Present: 2}, Size: wire.SummarySize{Min: 5, Max: 10}, Total: wire.SummaryTotal{Present: 15, OnDisk: 8192}},
		"z":  {},
	} {
		x := r.Start(specOf(t, r, &summary.Args{Prefix: prefix, Buckets: []wire.Bck{r.Bck}}))
		if s := r.Finish(x); s.Aborted || s.Error != "" || uint64(s.Stats.LocalObjects) != want.Count.Present {
			t.Fatalf("%q: %+v", prefix, s)
		}
		got, ok := summary.Of(x)
		if !ok || !got.Done || got.Error != "" || len(got.Buckets) != 1 {
			t.Fatalf("%q: %+v", prefix, got)
		}
		one := got.Buckets[0]
		if one.Total.Disks == 0 || one.Bck != r.Bck {
			t.Errorf("%q: %+v", prefix, one)
		}
		one.Bck, one.Total.Disks = wire.Bck{}, 0
		if one != want {
			t.Errorf("%q: %+v, want %+v", prefix, one, want)
		}
	}
}

// TestLevelOfProtection: objects with fewer copies than their bucket asks for are
// counted, only in buckets that ask for some; an object that has gone meanwhile is none.
func TestLevelOfProtection(t *testing.T) {
	t.Parallel()
	level := func(_ context.Context, key core.Key, copies int) (string, error) {
		switch key.Name {
		case "a/1":
			return "1 of 2 copies", nil
		case "b":
			return "", apierr.New(404, wire.CodeNotFound, "it is another target's by now")
		}
		return "", nil
	}
	for mirrored, want := range map[bool]uint64{true: 1, false: 0} {
		r := newRig(t, level, func(p *meta.Bprops) { p.Mirror.Enabled = mirrored })
		x := r.Start(specOf(t, r, &summary.Args{Buckets: []wire.Bck{r.Bck}}))
		r.Finish(x)
		got, _ := summary.Of(x)
		if len(got.Buckets) != 1 || got.Buckets[0].UnderProtected != want || got.Buckets[0].Count.Present != 4 {
			t.Errorf("mirrored %v: %+v", mirrored, got)
		}
	}
	broken := func(context.Context, core.Key, int) (string, error) { return "", errors.New("the note cannot be read") }
	r := newRig(t, broken, func(p *meta.Bprops) { p.Mirror.Enabled = true })
	x := r.Start(specOf(t, r, &summary.Args{Buckets: []wire.Bck{r.Bck}}))
	if s := r.Finish(x); !s.Aborted {
		t.Errorf("%+v", s)
	}
	if got, ok := summary.Of(x); !ok || !got.Done || !strings.Contains(got.Error, "the note cannot be read") {
		t.Errorf("it has failed: %+v", got)
	}
}

// TestSummariesThatAreRefused: what cannot be counted is refused before anything is.
func TestSummariesThatAreRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil, nil)
	none := wire.Bck{Name: "none", Provider: wire.ProviderAIS}
	for name, tc := range map[string]struct {
		args   string
		status int
	}{
		"no arguments":     {``, 400},
		"unknown argument": {`{"prefx":"a"}`, 400},
		"bad prefix":       {`{"prefix":"a/../b"}`, 400},
		"no such bucket":   {`{"buckets":[{"name":"` + none.Name + `","provider":"ais"}]}`, 404},
	} {
		spec := r.Spec(wire.ActSummaryBucket)
		spec.Args = json.RawMessage(tc.args)
		if _, err := r.Registry.Start(t.Context(), spec); apierr.StatusOf(err) != tc.status {
			t.Errorf("%s: %v, want %d", name, err, tc.status)
		}
	}
}
