package test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/transport/rpc"
)

// TestRepeatedChangeOfABucketThatIsGone: a gateway that lost its primary in the middle of
// a change asks the next one, under the same id. What was carried out is told as it was
// then, though the bucket was removed meanwhile; what was not is refused.
func TestRepeatedChangeOfABucketThatIsGone(t *testing.T) {
	t.Parallel()
	c := startInProcess(t, 2, 3, &standIn{})
	primary, gateway := c.settledPrimary()
	// passOn is what the gateway sends for a client's request.
	passOn := func(id, bucket, method, body string) (status int, text string) {
		t.Helper()
		req, err := http.NewRequest(method, primary.ControlURL()+"/v1/buckets/"+bucket, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header = http.Header{wire.HeaderCallerPasses: {"true"}, wire.HeaderRequestID: {id}, "Content-Type": {jsonType}}
		res, err := c.proxyOf[gateway].Node.RPC().DoBuffered(rpc.Control, req, []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(res.Body)
		if err := res.Body.Close(); err != nil {
			t.Error(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(answer)
	}
	for i, change := range []struct{ method, body string }{
		{http.MethodPatch, `{"action":"set-bprops","value":{"versioning":{"enabled":false}}}`},
		{http.MethodPatch, `{"action":"set-bprops","value":{"mirror":{"enabled":true,"copies":2}}}`},
		{http.MethodPatch, `{"action":"set-bprops","value":{"ec":{"enabled":true,"data_slices":1,"parity_slices":1}}}`},
		{http.MethodPost, `{"action":"make-n-copies","value":1}`},
	} {
		bucket, id := "b"+itoa(i), "request0"+itoa(i)
		createBucket(t, gateway, bucket, "")
		status, first := passOn(id, bucket, change.method, change.body)
		if status != http.StatusOK {
			t.Fatalf("%s: %d %s", change.body, status, first)
		}
		must(t, http.StatusOK, http.MethodDelete, gateway.URL()+"/v1/buckets/"+bucket, `{"action":"destroy-bck"}`, "Content-Type", jsonType)
		if status, again := passOn(id, bucket, change.method, change.body); status != http.StatusOK || again != first {
			t.Errorf("%s, repeated: %d %q, was %q", change.body, status, again, first)
		}
		if status, other := passOn("other"+id, bucket, change.method, change.body); status != http.StatusNotFound {
			t.Errorf("%s, another one: %d %q", change.body, status, other)
		}
	}
}
