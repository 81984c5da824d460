package warmup_test

import (
	"fmt"
	"testing"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/xact"
	"github.com/aistore-go/aistore/xact/warmup"
	"github.com/aistore-go/aistore/xact/xacttest"
)

// TestWarmup: every object is counted once, with its bytes; a bucket that is gone is a 404.
func TestWarmup(t *testing.T) {
	t.Parallel()
	r := xacttest.New(t, xacttest.Options{}, warmup.Registration())
	for i := range 50 {
		r.Put(fmt.Sprintf("d%d/o%d", i%3, i), "content")
	}
	if err := r.Store.Delete(t.Context(), r.Key("d0/o0")); err != nil {
		t.Fatal(err)
	}
	snap := r.Run(r.Spec(xact.KindLoadCache))
	if snap.Stats.LocalObjects != 49 || snap.Stats.LocalBytes != 49*7 || snap.Error != "" || snap.Aborted {
		t.Errorf("%+v", snap)
	}
	spec := r.Spec(xact.KindLoadCache)
	spec.Bck = wire.Bck{Name: "absent", Provider: wire.ProviderAIS}
	if err := r.Registry.Prepare(spec); !apierr.IsNotFound(err) {
		t.Errorf("a bucket that is not there: %v", err)
	}
}
