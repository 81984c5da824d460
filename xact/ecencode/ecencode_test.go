package ecencode

import (
	"strings"
	"testing"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/xact"
	"github.com/aistore-go/aistore/xact/xacttest"
)

// TestBadArguments are refused before the job starts anywhere.
func TestBadArguments(t *testing.T) {
	t.Parallel()
	r := xacttest.New(t, xacttest.Options{}, Registration(nil))
	spec := r.Spec(xact.KindECEncode)
	spec.Args = []byte(`{"recover":1}`)
	if err := r.Registry.Prepare(spec); apierr.StatusOf(err) != 400 || !strings.Contains(err.Error(), "arguments") {
		t.Errorf("%v", err)
	}
	spec = r.Spec(xact.KindECEncode)
	spec.Bck.Name, spec.BID = "", 0
	if err := r.Registry.Prepare(spec); apierr.StatusOf(err) != 400 {
		t.Errorf("no bucket: %v", err)
	}
	spec = r.Spec(xact.KindECEncode)
	spec.BID++
	if err := r.Registry.Prepare(spec); apierr.StatusOf(err) != 404 {
		t.Errorf("another incarnation: %v", err)
	}
}

// TestWaitsForTheProperties: the job that was started together with a change of
// properties waits until that is known here, and can be stopped meanwhile.
func TestWaitsForTheProperties(t *testing.T) {
	t.Parallel()
	r := xacttest.New(t, xacttest.Options{}, Registration(nil))
	x := r.Start(r.Spec(xact.KindECEncode))
	if s := x.Snap(); !s.EndTime.IsZero() {
		t.Errorf("%+v", s)
	}
	x.Abort(xact.ErrUserAbort)
	if s := r.Finish(x); s.AbortError != "user abort" || s.Error != "" {
		t.Errorf("%+v", s)
	}
}

// TestEmptyBucket: a job that finds nothing to do succeeds, and says so.
func TestEmptyBucket(t *testing.T) {
	t.Parallel()
	r := xacttest.New(t, xacttest.Options{Props: func(p *meta.Bprops) {
		p.EC.Enabled, p.EC.DataSlices, p.EC.ParitySlices = true, 1, 1
	}}, Registration(nil))
	r.View.Smap = (&meta.Smap{Version: 1, Tmap: map[string]*meta.Snode{"t1": {ID: "t1", Role: meta.RoleTarget}}, Pmap: map[string]*meta.Snode{}}).Freeze()
	s := r.Run(r.Spec(xact.KindECEncode))
	if s.Aborted || s.Error != "" || s.Stats.LocalObjects != 0 || !strings.Contains(s.ControlMessage, "phase:objects") || !strings.Contains(s.ControlMessage, "objects:0") {
		t.Errorf("%+v", s)
	}
}
