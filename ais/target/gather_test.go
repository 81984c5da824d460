package target_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/ais/aistest"
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
)

// keep writes a version at a target itself.
func (m *moving) keep(n *aistest.Node, content string) error {
	_, err := n.Store.Put(context.Background(), m.key(), strings.NewReader(content), core.PutOptions{Size: int64(len(content)), Keep: core.KeepVersion})
	return err
}

// versions are those that a target holds, the newest first.
func (m *moving) versions(n *aistest.Node) (contents []string) {
	m.t.Helper()
	ctx := context.Background()
	all, err := n.Store.ListVersions(ctx, m.key())
	if err != nil {
		m.t.Fatal(err)
	}
	for i := range all {
		if all[i].Kind == core.KindDeleteMarker {
			contents = append(contents, "marker")
			continue
		}
		r, err := n.Store.OpenVersion(ctx, m.key(), all[i].Attrs.VersionID())
		if err != nil {
			m.t.Fatal(err)
		}
		content, err := io.ReadAll(io.NewSectionReader(r, 0, r.Size))
		if err := errors.Join(err, r.Close()); err != nil {
			m.t.Fatal(err)
		}
		contents = append(contents, string(content))
	}
	return contents
}

// TestVersionsAreBroughtHome: whatever a client does to a name with versions at
// its new owner, that one has all of them afterwards, and the former one none.
func TestVersionsAreBroughtHome(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("0123456789", 40_000)
	for name, test := range map[string]struct {
		do   func(*moving) error
		want []string
	}{
		"versioned PUT": {func(m *moving) error { return m.keep(m.to, "new") }, []string{"new", "third", big, "first"}},
		"delete marker": {func(m *moving) error {
			_, err := m.to.Store.PutDeleteMarker(context.Background(), m.key(), core.KeepVersion)
			return err
		}, []string{"marker", "third", big, "first"}},
		"plain PUT": {func(m *moving) error {
			expect(m.t, 200, follower, "PUT", m.address, strings.NewReader("plain"))
			return nil
		}, []string{"plain", big, "first"}},
		"DELETE": {func(m *moving) error {
			expect(m.t, 200, follower, "DELETE", m.address, nil)
			expect(m.t, 404, follower, "GET", m.address, nil)
			return nil
		}, []string{"marker", big, "first"}},
		"PATCH": {func(m *moving) error {
			expect(m.t, 200, follower, "PATCH", m.address, strings.NewReader(`{"value":{"a":"1"}}`))
			return nil
		}, []string{"third", big, "first"}},
		"copy to another name": {func(m *moving) error {
			expect(m.t, 200, follower, "PUT", m.address+"?object_to=ais/@%23/b/copy", nil)
			return nil
		}, []string{"third", big, "first"}},
		"completion": {func(m *moving) error {
			id := uploadOf(m.t, m.address)
			expect(m.t, 200, follower, "PUT", partURL(m.address, id, 1), strings.NewReader("part"))
			expect(m.t, 200, follower, "POST", m.address+"?uploadId="+id, completion(1))
			return nil
		}, []string{"part", big, "first"}},
		"removal of a version": {func(m *moving) error {
			if err := m.to.Store.Gather(context.Background(), m.key()); err != nil {
				return err
			}
			all, err := m.to.Store.ListVersions(context.Background(), m.key())
			if err == nil && len(all) != 3 {
				err = fmt.Errorf("%d versions", len(all))
			}
			if err == nil {
				_, err = m.to.Store.DeleteVersion(context.Background(), m.key(), all[1].Attrs.VersionID())
			}
			return err
		}, []string{"third", "first"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMoving(t, `{}`)
			for _, content := range []string{"first", big, "third"} {
				if err := m.keep(m.from, content); err != nil {
					t.Fatal(err)
				}
			}
			m.move()
			if err := test.do(m); err != nil {
				t.Fatal(err)
			}
			if have := m.versions(m.to); !slices.Equal(have, test.want) {
				t.Errorf("versions %.40q, want %.40q", have, test.want)
			}
			if left := m.versions(m.from); len(left) > 0 {
				t.Errorf("left at the former owner: %.40q", left)
			}
			if name != "copy to another name" { // the former owner may own that one
				m.nothingLeftOfVersions()
			}
		})
	}
}

// nothingLeftOfVersions is nothingLeft but for the files that name directories.
func (m *moving) nothingLeftOfVersions() {
	m.t.Helper()
	for _, path := range bucketFiles(m.t, m.from) {
		if !strings.HasSuffix(path, "/name") {
			m.t.Errorf("left at the old owner: %s", path)
		}
	}
}

// TestVersionsAreElsewhere: as long as a former owner that may hold versions
// cannot be asked, nothing is done that could go without them.
func TestVersionsAreElsewhere(t *testing.T) {
	t.Parallel()
	m := newMoving(t, `{}`)
	if err := m.keep(m.from, "first"); err != nil {
		t.Fatal(err)
	}
	m.move()
	m.c.Metadata.SetDown(m.from.ID(), true) // in maintenance: it is out
	if err := m.keep(m.to, "second"); err != nil {
		t.Errorf("a PUT does not wait for one that is out: %v", err)
	}
	_, err := m.to.Store.DeleteVersion(context.Background(), m.key(), "null")
	if apierr.StatusOf(err) != 503 {
		t.Errorf("removal of a version: %v", err)
	}
	m.c.Metadata.SetDown(m.from.ID(), false)
	m.c.ChangeSmap(t, &meta.SmapPatch{Put: []*meta.Snode{m.from.Snode()}}) // the name goes back
	if err := m.keep(m.from, "third"); err != nil {
		t.Fatal(err)
	}
	if have := m.versions(m.from); !slices.Equal(have, []string{"third", "second", "first"}) {
		t.Errorf("%q", have)
	}
}
