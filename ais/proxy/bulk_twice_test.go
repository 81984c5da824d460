package proxy_test

import (
	"context"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/ais/aistest"
	"github.com/aistore-go/aistore/xact"
)

// endless is a job that runs until it is stopped.
type endless struct{}

func (endless) Run(ctx context.Context, _ *xact.Xaction) error {
	<-ctx.Done()
	return context.Cause(ctx)
}

// TestSecondStarts: what becomes of a job that is started while another one of its
// kind, or one that excludes it, runs on the same buckets.
func TestSecondStarts(t *testing.T) {
	t.Parallel()
	var kinds []xact.Registration
	for _, kind := range []string{"copy-bck", "rechunk", "delete-listrange"} {
		kinds = append(kinds, xact.Registration{Kind: kind, New: func(*xact.Env, *xact.Spec) (xact.Job, error) { return endless{}, nil }})
	}
	b := newBulk(t, aistest.Options{Targets: 2, Jobs: kinds})
	for _, bucket := range []string{"a", "b", "c", "d"} {
		createBucket(t, b.c, bucket)
	}
	refused := func(status int, text, method, path, body string) {
		t.Helper()
		res, answer := expect(t, status, follower, method, b.base+path, body)
		if e := errorBody(t, res, answer); !strings.Contains(e.Message, text) {
			t.Errorf("%s: %q, want %q", body, e.Message, text)
		}
	}
	const rechunk = `{"action":"rechunk","value":{"chunk-size":4096}}`
	b.start("POST", "/buckets/a", "rechunk", `{"chunk-size":4096}`)
	refused(400, "already running", "POST", "/buckets/a", rechunk)
	refused(400, "already running", "POST", "/buckets/a", strings.Replace(rechunk, "4096", "8192", 1))
	refused(400, "already running", "PUT", "/cluster", `{"action":"start","value":{"Kind":"rechunk","Bck":{"name":"a","provider":"ais"}}}`)
	b.start("POST", "/buckets/b", "rechunk", `{"chunk-size":4096}`)
	refused(409, "currently running", "POST", "/buckets/a"+uname("renamed"), `{"action":"move-bck"}`)

	b.start("POST", "/buckets/c"+uname("copy"), "copy-bck", `{}`)
	refused(400, "already running", "POST", "/buckets/c"+uname("copy"), `{"action":"copy-bck","value":{"prefix":"x"}}`)
	b.start("POST", "/buckets/c"+uname("copy2"), "copy-bck", `{}`)

	first := b.start("DELETE", "/buckets/d", "delete-listrange", `{}`)
	if second := b.start("DELETE", "/buckets/d", "delete-listrange", `{}`); second == first {
		t.Errorf("two deletions have the id %s", first)
	}
	// A refused start has left nothing behind.
	expect(t, 404, follower, "HEAD", b.base+"/buckets/renamed", "")
	b.put("a", "writable")
}
