package target_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
)

// TestWritesAtANewOwner: version and keys go on from what the former owner has,
// its content stays where it is, and it has nothing once the write is
// acknowledged.
func TestWritesAtANewOwner(t *testing.T) {
	t.Parallel()
	completed := func(m *moving) http.Header {
		id := uploadOf(m.t, m.address)
		expect(m.t, 200, follower, "PUT", partURL(m.address, id, 1), strings.NewReader("new"))
		res, _ := expect(m.t, 200, follower, "POST", m.address+"?uploadId="+id, completion(1))
		return res.Header
	}
	written := func(query, body string, headers ...string) func(*moving) http.Header {
		return func(m *moving) http.Header {
			res, _ := expect(m.t, 200, follower, "PUT", m.address+query, strings.NewReader(body), headers...)
			return res.Header
		}
	}
	same := sumOf(t, cksum.XXHash2, "old")
	for _, test := range []struct {
		name string
		do   func(*moving) http.Header

		content, version string
		custom           []string
	}{
		{"PUT", written("", "new"), "new", "3", []string{"a=1"}},
		{"PUT with keys", written("", "new", "Ais-Custom-Md: b=2", "Ais-Custom-Md: a=3"), "new", "3", []string{"a=3", "b=2"}},
		{"PUT with a version", written("", "new", "Ais-Version: 77"), "new", "78", []string{"a=1"}},
		{"PUT that starts anew", written("?skip_vc=true", "new"), "new", "1", nil},
		{"PUT of the same", written("", "old", "Ais-Checksum-Type: xxhash2", "Ais-Checksum-Value: "+same), "old", "2", []string{"a=1"}},
		{"PUT of the same with another key", written("", "old", "Ais-Checksum-Type: xxhash2", "Ais-Checksum-Value: "+same, "Ais-Custom-Md: b=2"), "old", "3", []string{"a=1", "b=2"}},
		{"PUT of the same without a checksum", written("", "old"), "old", "3", []string{"a=1"}},
		{"completion", completed, "new", "3", []string{"a=1"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			m := newMoving(t, `{}`)
			for _, content := range []string{"older", "old"} {
				expect(t, 200, follower, "PUT", m.address, strings.NewReader(content), "Ais-Custom-Md: a=1")
			}
			before, _ := m.holds(m.from)
			m.move()
			if got := test.do(m); got.Get("Ais-Version") != test.version {
				t.Errorf("answered with version %q, want %q", got.Get("Ais-Version"), test.version)
			}
			m.has(test.content, test.version, test.custom...)
			after, _ := m.holds(m.to)
			if after.Stamp.Compare(before.Stamp) <= 0 {
				t.Errorf("stamp %v after %v", after.Stamp, before.Stamp)
			}
			if after.Mtime <= before.Mtime {
				t.Errorf("written at %d, was %d", after.Mtime, before.Mtime)
			}
			// From now on it is an object like any other.
			expect(t, 200, follower, "PUT", m.address, strings.NewReader("next"), "Ais-Version: 1")
			m.has("next", "2", test.custom...)
		})
	}
}

// TestWriteAfterADelete begins anew, also if only the former owner knows of the
// delete.
func TestWriteAfterADelete(t *testing.T) {
	t.Parallel()
	m := newMoving(t, `{}`)
	expect(t, 200, follower, "PUT", m.address, strings.NewReader("old"), "Ais-Custom-Md: a=1", "Ais-Version: 7")
	if _, err := m.from.Store.Bury(t.Context(), m.key()); err != nil {
		t.Fatal(err)
	}
	m.move()
	expect(t, 404, follower, "GET", m.address, nil)
	expect(t, 200, follower, "PUT", m.address, strings.NewReader("new"))
	m.has("new", "1")
}

// TestFormerOwnerIsDown: a target that owns names and does not answer, for the
// moment, is waited for by whoever took names from it; one that is out is not.
func TestFormerOwnerIsDown(t *testing.T) {
	t.Parallel()
	// The name goes to the second target, and back to the first: then the
	// second may have it, and is an owner of other names.
	away := func(t *testing.T) *moving {
		m := newMoving(t, `{}`)
		expect(t, 200, follower, "PUT", m.address, strings.NewReader("first"))
		m.move()
		expect(t, 200, follower, "PUT", m.address, strings.NewReader("second"))
		m.c.ChangeSmap(t, &meta.SmapPatch{Put: []*meta.Snode{m.from.Snode()}})
		return m
	}
	refused := func(t *testing.T, method, address, body string) {
		t.Helper()
		res, text := expect(t, 503, follower, method, address, strings.NewReader(body))
		if e := message(t, res, text); res.Header.Get("Retry-After") == "" || !strings.Contains(e.Message, "target-002") {
			t.Errorf("%s: %+v, Retry-After %q", method, e, res.Header.Get("Retry-After"))
		}
	}
	t.Run("down", func(t *testing.T) {
		t.Parallel()
		m := away(t)
		id := uploadOf(t, m.address)
		expect(t, 200, follower, "PUT", partURL(m.address, id, 1), strings.NewReader("part"))
		m.c.Metadata.SetDown(m.to.ID(), true)
		refused(t, "PUT", m.address, "new")
		refused(t, "PUT", m.address+"?skip_vc=true", "new")
		refused(t, "DELETE", m.address, "")
		refused(t, "PATCH", m.address, `{"value":{"a":"1"}}`)
		refused(t, "PUT", m.address+"?append_type=append", "new")
		refused(t, "PUT", m.address+"?object_to=ais/@%23/b/copy", "")
		refused(t, "POST", m.address, `{"action":"rename-obj","name":"other"}`)
		refused(t, "POST", m.address+"?uploadId="+id, `{"action":"mpt-complete","value":[{"part-number":1,"etag":""}]}`)
		m.c.Metadata.SetDown(m.to.ID(), false)
		if res, body := expect(t, 200, follower, "GET", m.address, nil); body != "second" || res.Header.Get("Ais-Version") != "2" {
			t.Errorf("%q %q", body, res.Header.Get("Ais-Version"))
		}
		expect(t, 200, follower, "POST", m.address+"?uploadId="+id, completion(1))
		if res, body := expect(t, 200, follower, "GET", m.address, nil); body != "part" || res.Header.Get("Ais-Version") != "3" {
			t.Errorf("%q %q", body, res.Header.Get("Ais-Version"))
		}
	})
	t.Run("decided", func(t *testing.T) {
		t.Parallel()
		m := away(t)
		expect(t, 200, follower, "PUT", m.address, strings.NewReader("third"))
		m.c.Metadata.SetDown(m.to.ID(), true)
		expect(t, 200, follower, "PUT", m.address, strings.NewReader("fourth"))
		if res, body := expect(t, 200, follower, "GET", m.address, nil); body != "fourth" || res.Header.Get("Ais-Version") != "4" {
			t.Errorf("%q %q", body, res.Header.Get("Ais-Version"))
		}
		expect(t, 200, follower, "DELETE", m.address, nil)
		expect(t, 404, follower, "GET", m.address, nil)
	})
	t.Run("out", func(t *testing.T) {
		t.Parallel()
		m := away(t)
		m.c.ChangeSmap(t, out(m.to.Snode()))
		if _, err := m.from.Store.Put(t.Context(), m.key(), strings.NewReader("new"), core.PutOptions{Size: 3, Conditions: core.IfAbsent()}); apierr.StatusOf(err) != 503 {
			t.Errorf("a condition on what nobody knows: %v", err)
		}
		// It begins anew: nobody knows the version.
		res, _ := expect(t, 200, follower, "PUT", m.address, strings.NewReader("new"))
		if res.Header.Get("Ais-Version") != "1" {
			t.Errorf("version %q", res.Header.Get("Ais-Version"))
		}
		m.c.ChangeSmap(t, &meta.SmapPatch{Put: []*meta.Snode{m.to.Snode()}})
		if _, body := expect(t, 200, follower, "GET", m.address, nil); body != "new" {
			t.Errorf("%q", body)
		}
	})
	t.Run("out of service and not running", func(t *testing.T) {
		t.Parallel()
		m := newMoving(t, `{}`)
		expect(t, 200, follower, "PUT", m.address, strings.NewReader("old"))
		m.move()
		m.c.Metadata.SetDown(m.from.ID(), true)
		expect(t, 503, follower, "GET", m.address, nil)
		expect(t, 200, follower, "PUT", m.address, strings.NewReader("new"))
		expect(t, 200, follower, "DELETE", m.address, nil)
		m.c.Metadata.SetDown(m.from.ID(), false)
		expect(t, 404, follower, "GET", m.address, nil)
		if names, _, _ := listed(t, m.c); len(names) != 0 {
			t.Errorf("listed %q", names)
		}
	})
}

// TestUploadWhoseOwnerChanges is lost: parts and completion are 404 at the new
// owner, and nothing of it becomes visible.
func TestUploadWhoseOwnerChanges(t *testing.T) {
	t.Parallel()
	m := newMoving(t, `{}`)
	expect(t, 200, follower, "PUT", m.address, strings.NewReader("old"))
	id := uploadOf(t, m.address)
	for n := 1; n <= 2; n++ {
		expect(t, 200, follower, "PUT", partURL(m.address, id, n), strings.NewReader("part"))
	}
	m.move()
	for _, call := range []func() (*http.Response, string){
		func() (*http.Response, string) {
			return expect(t, 404, follower, "PUT", partURL(m.address, id, 3), strings.NewReader("part"))
		},
		func() (*http.Response, string) {
			return expect(t, 404, follower, "POST", m.address+"?uploadId="+id, completion(1, 2))
		},
		func() (*http.Response, string) {
			return expect(t, 404, follower, "DELETE", m.address+"?uploadId="+id, strings.NewReader(`{"action":"mpt-abort"}`))
		},
	} {
		res, text := call()
		if e := message(t, res, text); !strings.Contains(e.Message, id) || !strings.Contains(e.Message, "does not exist here") ||
			!strings.Contains(e.Message, m.from.Name()) || !strings.Contains(e.Message, "begin again") {
			t.Errorf("%q", e.Message)
		}
	}
	if res, body := expect(t, 200, follower, "GET", m.address, nil); body != "old" || res.Header.Get("Ais-Version") != "1" {
		t.Errorf("%q %q", body, res.Header.Get("Ais-Version"))
	}
	if files := bucketFiles(t, m.to); len(files) != 0 {
		t.Errorf("at the new owner: %q", files)
	}
	// It is the owner again: the upload goes on.
	m.c.ChangeSmap(t, &meta.SmapPatch{Put: []*meta.Snode{m.from.Snode()}})
	expect(t, 200, follower, "POST", m.address+"?uploadId="+id, completion(1, 2))
	if res, body := expect(t, 200, follower, "GET", m.address, nil); body != "partpart" || res.Header.Get("Ais-Version") != "2" {
		t.Errorf("%q %q", body, res.Header.Get("Ais-Version"))
	}
}

// TestAppendWhoseOwnerChanges is lost, too, and says so; while its target does
// not answer nobody knows.
func TestAppendWhoseOwnerChanges(t *testing.T) {
	t.Parallel()
	m := newMoving(t, `{}`)
	expect(t, 200, follower, "PUT", m.address, strings.NewReader("old"))
	handle := url.QueryEscape(m.begin("+one"))
	calls := []string{m.address + "?append_type=append&append_handle=" + handle, m.address + "?append_type=flush&append_handle=" + handle}

	m.c.Metadata.SetDown(m.from.ID(), true)
	for _, call := range calls {
		res, text := expect(t, 503, follower, "PUT", call, strings.NewReader("+two"))
		if e := message(t, res, text); !strings.Contains(e.Message, "which holds what was appended") || res.Header.Get("Retry-After") == "" {
			t.Errorf("%+v, Retry-After %q", e, res.Header.Get("Retry-After"))
		}
	}
	m.c.Metadata.SetDown(m.from.ID(), false)

	// Another target has nothing of it, whoever sends the client there.
	elsewhere := ownedBy(t, m.c, "b", m.to, "other-")
	res, _ := expect(t, 307, strict, "PUT", object(m.c.Proxies[0], elsewhere), nil)
	res, text := expect(t, 400, strict, "PUT", res.Header.Get("Location")+"&append_type=append&append_handle="+handle, strings.NewReader("+two"))
	if e := message(t, res, text); !strings.Contains(e.Message, "invalid APPEND handle") || !strings.Contains(e.Message, m.from.Name()) {
		t.Errorf("%+v", e)
	}

	m.move()
	for _, call := range calls {
		res, text := expect(t, 404, follower, "PUT", call, strings.NewReader("+two"))
		if e := message(t, res, text); !strings.Contains(e.Message, "begin again") || !strings.Contains(e.Message, m.to.Name()) {
			t.Errorf("%+v", e)
		}
	}
	if res, body := expect(t, 200, follower, "GET", m.address, nil); body != "old" || res.Header.Get("Ais-Version") != "1" {
		t.Errorf("%q %q", body, res.Header.Get("Ais-Version"))
	}
	handle = url.QueryEscape(m.begin("+one"))
	expect(t, 200, follower, "PUT", m.address+"?append_type=flush&append_handle="+handle, nil)
	if res, body := expect(t, 200, follower, "GET", m.address, nil); body != "old+one" || res.Header.Get("Ais-Version") != "2" {
		t.Errorf("%q %q", body, res.Header.Get("Ais-Version"))
	}
}
