package proxy_test

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/aistore-go/aistore/ais/aistest"
)

// lockedBuffer is a log that several nodes write.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write implements io.Writer.
func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

// taken returns what was written since it was asked last.
func (b *lockedBuffer) taken() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.buf.Reset()
	return b.buf.String()
}

// TestWritePolicies: all three say when metadata is to be written, it is written
// at once, and whoever asks for less is warned if this cluster has the only copy.
func TestWritePolicies(t *testing.T) {
	t.Parallel()
	var log lockedBuffer
	c := aistest.New(t, aistest.Options{Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	base := c.Proxies[0].URL()
	for _, policy := range []string{"immediate", "delayed", "never"} {
		created, changed := "new-"+policy, "set-"+policy
		log.taken()
		createBucket(t, c, created, `{"write_policy":{"data":"immediate","md":"`+policy+`"}}`)
		createBucket(t, c, changed)
		expect(t, 200, follower, "PATCH", base+"/v1/buckets/"+changed, `{"action":"set-bprops","value":{"write_policy":{"md":"`+policy+`"}}}`)
		warnings := log.taken()
		for _, bucket := range []string{created, changed} {
			if warned := strings.Contains(warnings, "level=WARN") && strings.Contains(warnings, "ais://"+bucket); warned != (policy == "never") {
				t.Errorf("%s: warned %v: %s", bucket, warned, warnings)
			}
			res, _ := expect(t, 200, follower, "HEAD", base+"/v1/buckets/"+bucket, "")
			if !strings.Contains(res.Header.Get("Ais-Bucket-Props"), `"write_policy":{"data":"immediate","md":"`+policy+`"}`) {
				t.Errorf("%s: %s", bucket, res.Header.Get("Ais-Bucket-Props"))
			}
			object := base + "/v1/objects/" + bucket + "/o"
			expect(t, 200, follower, "PUT", object, "content", "Ais-Custom-Md: k=v")
			expect(t, 200, follower, "PUT", object, "new")
			c.Targets[0].Store.DropRecords() // what memory alone had would be lost
			if res, body := expect(t, 200, follower, "GET", object, ""); body != "new" || res.Header.Get("Ais-Version") != "2" || res.Header.Get("Ais-Custom-Md") != "k=v" {
				t.Errorf("%s: %q %v", bucket, body, res.Header)
			}
		}
	}
	for _, value := range []string{`{"data":"delayed"}`, `{"data":"never"}`, `{"md":"later"}`, `{"md":1}`} {
		res, body := expect(t, 400, follower, "PATCH", base+"/v1/buckets/set-never", `{"action":"set-bprops","value":{"write_policy":`+value+`}}`)
		if e := errorBody(t, res, body); !strings.Contains(e.Message, "write_policy") {
			t.Errorf("%s: %s", value, e.Message)
		}
	}
}
