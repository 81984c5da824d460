package listing_test

import (
	"testing"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/xact"
	"github.com/aistore-go/aistore/xact/listing"
	"github.com/aistore-go/aistore/xact/xacttest"
)

// TestListing: a listing is shown under its own id, counts its names, and takes no more
// pages when it was stopped.
func TestListing(t *testing.T) {
	t.Parallel()
	r := xacttest.New(t, xacttest.Options{}, listing.Registration())
	spec := r.Spec(listing.Kind)
	x := r.Start(spec)
	if !x.Pending(+1) {
		t.Fatal("it takes no page")
	}
	x.AddObjects(1000, 0)
	if s := x.Snap(); s.ID != spec.ID || s.Kind != "list" || s.Bck != r.Bck || s.IsIdle || s.Stats.LocalObjects != 1000 || !s.EndTime.IsZero() {
		t.Errorf("a page is under way: %+v", s)
	}
	x.Pending(-1)
	x.Abort(xact.ErrUserAbort)
	if s := r.Finish(x); !s.Aborted || s.AbortError != "user abort" || !s.IsIdle || s.EndTime.IsZero() {
		t.Errorf("stopped: %+v", s)
	}
	if x.Pending(+1) {
		t.Error("one that has ended takes another page")
	}
	none := r.Spec(listing.Kind)
	none.Bck.Name = ""
	if _, err := r.Registry.Start(t.Context(), none); apierr.StatusOf(err) != 400 {
		t.Errorf("no bucket: %v", err)
	}
}
