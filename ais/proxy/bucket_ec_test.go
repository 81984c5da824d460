package proxy_test

import (
	"strings"
	"testing"

	"github.com/aistore-go/aistore/ais/aistest"
	"github.com/aistore-go/aistore/cmn/config"
)

// TestNewBucketsAreEncoded: section ec of the cluster's configuration is that of new
// buckets. What the targets cannot hold is refused, unless it is forced; a reset of
// properties brings it, too, and starts the encoding.
func TestNewBucketsAreEncoded(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{Targets: 4, Config: func(c *config.Cluster) {
		c.EC.Enabled, c.EC.DataSlices, c.EC.ParitySlices, c.EC.ObjSizeLimit, c.EC.Compression = true, 2, 1, 4096, config.CompressAlways
	}})
	bucket := c.Proxies[0].URL() + "/v1/buckets/"
	expect(t, 200, strict, "POST", bucket+"b", `{"action":"create-bck"}`)
	res, _ := expect(t, 200, strict, "HEAD", bucket+"b", "")
	props := res.Header.Get("Ais-Bucket-Props")
	for _, want := range []string{`"ec":{"compression":"always"`, `"objsize_limit":4096,"data_slices":2,"parity_slices":1,"enabled":true`} {
		if !strings.Contains(props, want) {
			t.Errorf("properties of a new bucket: %s, want %s", props, want)
		}
	}
	expect(t, 200, strict, "POST", bucket+"plain", `{"action":"create-bck","value":{"ec":{"enabled":false}}}`)
	const many = `{"action":"create-bck","value":{"ec":{"data_slices":4}%s}}`
	_, body := expect(t, 400, strict, "POST", bucket+"wide", strings.Replace(many, "%s", "", 1))
	if !strings.Contains(body, "EC configuration (D = 4, P = 1) requires at least 6 targets (have 4)") {
		t.Errorf("too few targets: %s", body)
	}
	expect(t, 200, strict, "POST", bucket+"wide", strings.Replace(many, "%s", `,"force":true`, 1))
	if _, id := expect(t, 200, strict, "PATCH", bucket+"plain", `{"action":"reset-bprops"}`); len(id) < 5 {
		t.Errorf("a reset that turns erasure coding on has answered %q, want the id of a job", id)
	}
}

// TestChangesOfErasureCoding: what may be changed of a bucket that is encoded, and what may not
// while it is.
func TestChangesOfErasureCoding(t *testing.T) {
	t.Parallel()
	b := newBulk(t, aistest.Options{Targets: 4})
	base := b.base
	createBucket(t, b.c, "b")
	content := strings.Repeat("content", 1000)
	expect(t, 200, follower, "PUT", base+"/objects/b/o", content)
	for i, step := range []struct {
		action string
		status int
		text   string // in the answer; "": it is empty, "id": it is the id of a job
	}{
		{`"set-bprops","value":{"ec":{"enabled":true,"data_slices":2,"parity_slices":1,"objsize_limit":1000}}`, 200, "id"},
		{`"set-bprops","value":{"ec":{"enabled":true,"data_slices":2,"parity_slices":1,"objsize_limit":1000}}`, 200, ""},
		{`"set-bprops","value":{"ec":{"data_slices":1}}`, 400, "EC is already enabled on the bucket"},
		{`"set-bprops","value":{"ec":{"parity_slices":2},"force":true}`, 400, "EC is already enabled on the bucket"},
		{`"set-bprops","value":{"ec":{"objsize_limit":2000}}`, 400, "to change it needs force"},
		{`"set-bprops","value":{"ec":{"objsize_limit":2000},"force":true}`, 200, ""},
		{`"set-bprops","value":{"ec":{"enabled":false}}`, 200, ""},
		{`"set-bprops","value":{"ec":{"enabled":true}}`, 200, "id"},
		{`"reset-bprops"`, 200, ""},
		{`"set-bprops","value":{"ec":{"enabled":true,"data_slices":1,"parity_slices":1}}`, 200, "id"},
	} {
		_, body := expect(t, step.status, follower, "PATCH", base+"/buckets/b", `{"action":`+step.action+`}`)
		switch {
		case step.text == "id" && (len(body) < 9 || strings.ContainsAny(body, " \"\n")), step.text == "" && body != "",
			step.text != "id" && !strings.Contains(body, step.text):
			t.Errorf("%d: %s answers %q, want %q", i, step.action, body, step.text)
		case step.text == "id":
			if s := b.status(body); s.Err != "" || s.Aborted {
				t.Errorf("%d: %s: %+v", i, step.action, s)
			}
		}
		if _, got := expect(t, 200, follower, "GET", base+"/objects/b/o", ""); got != content {
			t.Errorf("%d: after %s: %d bytes", i, step.action, len(got))
		}
	}
}
