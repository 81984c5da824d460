package target_test

import (
	"io"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
)

// hookedBody does something before its first byte is read.
type hookedBody struct {
	io.Reader
	hook func()
}

func (b *hookedBody) Read(p []byte) (int, error) {
	if b.hook != nil {
		b.hook()
		b.hook = nil
	}
	return b.Reader.Read(p)
}

// TestRetryOfAWriteThatWasNotTold is acknowledged once the former owner has
// given up what it had, and no sooner, though the write took effect the first
// time.
func TestRetryOfAWriteThatWasNotTold(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, method, query, body string
		content                   string
	}{
		{"the same", "PUT", "", "new", "new"},
		{"another PUT", "PUT", "?skip_vc=true", "newer", "newer"},
		{"PATCH", "PATCH", "", `{"value":{"a":"1"}}`, "new"},
		{"DELETE", "DELETE", "", "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			// The name goes to the second target, and back to the first.
			m := newMoving(t, `{}`)
			m.move()
			expect(t, 200, follower, "PUT", m.address, strings.NewReader("old"))
			m.c.ChangeSmap(t, &meta.SmapPatch{Put: []*meta.Snode{m.from.Snode()}})
			// It is asked before the body comes, and cannot be told after.
			body := &hookedBody{Reader: strings.NewReader("new"), hook: func() { m.c.Metadata.SetDown(m.to.ID(), true) }}
			if _, err := m.from.Store.Put(t.Context(), m.key(), body, core.PutOptions{Size: 3}); apierr.StatusOf(err) != 503 {
				t.Fatalf("%v", err)
			}
			if _, kind := m.holds(m.to); kind != core.KindObject {
				t.Errorf("the former owner has kind %d", kind)
			}
			for range 2 {
				res, text := expect(t, 503, follower, test.method, m.address+test.query, strings.NewReader(test.body))
				if e := message(t, res, text); res.Header.Get("Retry-After") == "" || !strings.Contains(e.Message, "target-002") {
					t.Errorf("%+v, Retry-After %q", e, res.Header.Get("Retry-After"))
				}
			}
			m.c.Metadata.SetDown(m.to.ID(), false)
			expect(t, 200, follower, test.method, m.address+test.query, strings.NewReader(test.body))
			if _, kind := m.holds(m.to); kind != 0 {
				t.Errorf("the former owner has kind %d", kind)
			}
			// From now on it is not needed.
			m.c.Metadata.SetDown(m.to.ID(), true)
			if test.content == "" {
				m.c.Metadata.SetDown(m.to.ID(), false)
				expect(t, 404, follower, "GET", m.address, nil)
				expect(t, 404, follower, "DELETE", m.address, nil)
				if _, kind := m.holds(m.from); kind != 0 {
					t.Errorf("its owner has kind %d", kind)
				}
				return
			}
			if _, body := expect(t, 200, follower, "GET", m.address, nil); body != test.content {
				t.Errorf("%q", body)
			}
			expect(t, 200, follower, "PUT", m.address, strings.NewReader("next"))
			expect(t, 200, follower, "PATCH", m.address, strings.NewReader(`{"value":{"b":"2"}}`))
			expect(t, 200, follower, "DELETE", m.address, nil)
		})
	}
}
