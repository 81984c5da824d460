package ecencode_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/xact"
	"github.com/aistore-go/aistore/xact/ecencode"
	"github.com/aistore-go/aistore/xact/xacttest"
)

// TestNoRoomToEncode: above the high watermark a bucket is not encoded; what was lost is made
// again all the same.
func TestNoRoomToEncode(t *testing.T) {
	t.Parallel()
	r := xacttest.New(t, xacttest.Options{Space: func() fs.Watermarks { return fs.Watermarks{Cleanup: -3, Low: -2, High: -1, OutOfSpace: 100} }}, ecencode.Registration(nil))
	spec := r.Spec(xact.KindECEncode)
	if err := r.Registry.Prepare(spec); apierr.StatusOf(err) != http.StatusInsufficientStorage {
		t.Errorf("%v", err)
	}
	spec.Args = json.RawMessage(`{"recover":true}`)
	if err := r.Registry.Prepare(spec); err != nil {
		t.Errorf("repair: %v", err)
	}
}
