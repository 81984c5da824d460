package scrub_test

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/xact"
	"github.com/aistore-go/aistore/xact/scrub"
	"github.com/aistore-go/aistore/xact/xacttest"
)

// rot changes one byte of an object's file.
func rot(t *testing.T, r *xacttest.Rig, name string) {
	t.Helper()
	attrs, err := r.Store.Head(t.Context(), r.Key(name))
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(attrs.Mountpath.BucketDir(r.Bck, fs.ContentObject)+"/"+name, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("X"), 2); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func spec(r *xacttest.Rig) *xact.Spec {
	s := r.Spec(xact.KindScrub)
	s.Args = json.RawMessage(`{}`)
	return s
}

// protected finds no object below its level.
func protected(context.Context, core.Key, int) (string, error) { return "", nil }

// TestScrub: what is whole stays; what is damaged and has nothing to be restored from goes to quarantine,
// is an error of the job with its name, and is not served.
func TestScrub(t *testing.T) {
	t.Parallel()
	r := xacttest.New(t, xacttest.Options{Props: func(p *meta.Bprops) { p.Durability = meta.DurabilityNone }}, scrub.Registration(protected))
	for _, name := range []string{"whole", "rotten", "other"} {
		r.Put(name, "content of "+name)
	}
	if snap := r.Run(spec(r)); snap.Error != "" || snap.Stats.LocalObjects != 3 || !strings.Contains(snap.ControlMessage, "verified 3 objects") {
		t.Errorf("healthy: %+v", snap)
	}
	rot(t, r, "rotten")
	snap := r.Run(spec(r))
	if !strings.Contains(snap.Error, "rotten") || !strings.Contains(snap.ControlMessage, "damaged 1: repaired 0, quarantined 1, left 0") {
		t.Errorf("%q, %q", snap.Error, snap.ControlMessage)
	}
	if _, err := r.Store.Head(t.Context(), r.Key("rotten")); !apierr.IsNotFound(err) {
		t.Errorf("what is damaged: %v", err)
	}
	for _, name := range []string{"whole", "other"} {
		if _, err := r.Store.Head(t.Context(), r.Key(name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if snap := r.Run(spec(r)); snap.Error != "" || snap.Stats.LocalObjects != 2 {
		t.Errorf("again: %+v", snap)
	}
	counted := r.Env.Metrics.Tracker()
	if counted["scrub.n"] < 6 || counted["scrub.size"] == 0 || counted["scrub.damaged.n"] != 1 || counted["scrub.repaired.n"] != 0 {
		t.Errorf("counted %v", counted)
	}
	absent := r.Spec(xact.KindScrub)
	absent.Args = json.RawMessage(`{"buckets":[{"name":"absent","provider":"ais"}]}`)
	if err := r.Registry.Prepare(absent); !apierr.IsNotFound(err) {
		t.Errorf("a bucket that is not there: %v", err)
	}
}
