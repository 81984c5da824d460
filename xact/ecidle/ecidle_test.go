package ecidle

import (
	"testing"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/xact"
	"github.com/aistore-go/aistore/xact/xacttest"
)

// TestJobs: of each kind there is one job of a bucket, which counts what others do, and can
// be stopped.
func TestJobs(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{KindPut, KindGet, KindResp} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			r := xacttest.New(t, xacttest.Options{}, Registrations()...)
			x, err := r.Env.Start(t.Context(), kind, r.Bck, nil)
			if err != nil {
				t.Fatal(err)
			}
			again, err := r.Env.Start(t.Context(), kind, r.Bck, nil)
			if err != nil || again != x {
				t.Errorf("%v and %v, %v", x, again, err)
			}
			if !x.Pending(+1) {
				t.Fatal("it takes no work")
			}
			x.AddObjects(1, 100)
			if s := x.Snap(); s.Kind != kind || s.Bck != r.Bck || s.IsIdle || s.Stats.LocalObjects != 1 || s.Stats.LocalBytes != 100 {
				t.Errorf("%+v", s)
			}
			x.Pending(-1)
			x.Abort(xact.ErrUserAbort)
			if s := r.Finish(x); !s.Aborted || s.AbortError != "user abort" || !s.IsIdle {
				t.Errorf("%+v", s)
			}
			next, err := r.Env.Start(t.Context(), kind, r.Bck, nil)
			if err != nil || next == x || !next.Running() {
				t.Errorf("after the stop: %v, %v", next, err)
			}
			if _, err := r.Env.Start(t.Context(), kind, wire.Bck{}, nil); apierr.StatusOf(err) != 400 {
				t.Errorf("no bucket: %v", err)
			}
		})
	}
}
