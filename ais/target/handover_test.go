package target_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/ais/aistest"
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
)

// moving is a cluster of two targets, of which the first owns a name and goes
// out of service at a moment of the test's choice: then the second owns it.
type moving struct {
	t        *testing.T
	c        *aistest.Cluster
	from, to *aistest.Node
	name     string
	address  string // at the gateway
}

func newMoving(t *testing.T, props string) *moving {
	t.Helper()
	m := &moving{t: t, c: cluster(t, 2, props)}
	m.from, m.to = m.c.Targets[0], m.c.Targets[1]
	m.name = owned(t, m.c, m.from)
	m.address = object(m.c.Proxies[0], m.name)
	return m
}

// move gives the name to the other target.
func (m *moving) move() { m.c.ChangeSmap(m.t, maintenance(m.from.Snode())) }

// moveAndWrite has somebody write at the new owner. The former one, in the
// middle of a commit, cannot be asked then, and is taken for one that is out.
func (m *moving) moveAndWrite() {
	m.move()
	m.c.Metadata.SetDown(m.from.ID(), true)
	expect(m.t, 200, follower, "PUT", m.address, strings.NewReader("by another"))
	m.c.Metadata.SetDown(m.from.ID(), false)
}

func (m *moving) key() core.Key {
	m.t.Helper()
	bck := wire.Bck{Name: "b", Provider: wire.ProviderAIS}
	props, ok := m.c.Metadata.View().BMD.Get(bck)
	if !ok {
		m.t.Fatal("no bucket")
	}
	return core.Key{Bck: bck, Props: props, Name: m.name}
}

// holds returns what a target itself has of the name.
func (m *moving) holds(n *aistest.Node) (core.Attrs, core.Kind) {
	m.t.Helper()
	attrs, kind, err := n.Store.Look(context.Background(), m.key())
	if err != nil {
		m.t.Fatal(err)
	}
	return attrs, kind
}

// has checks what clients see, that the new owner holds it, and that nothing is
// left at the old one: no object, no work file, no chunk.
func (m *moving) has(content, version string, custom ...string) {
	m.t.Helper()
	res, body := expect(m.t, 200, follower, "GET", m.address, nil)
	if body != content {
		m.t.Errorf("%d bytes %.60q, want %d %.60q", len(body), body, len(content), content)
	}
	if res.Header.Get("Ais-Version") != version || strings.Join(res.Header["Ais-Custom-Md"], " ") != strings.Join(custom, " ") {
		m.t.Errorf("version %q, want %q; %q, want %q", res.Header.Get("Ais-Version"), version, res.Header["Ais-Custom-Md"], custom)
	}
	if _, kind := m.holds(m.to); kind == 0 || kind.IsDeleted() {
		m.t.Errorf("the new owner has kind %d", kind)
	}
	m.nothingLeft()
}

func (m *moving) nothingLeft() {
	m.t.Helper()
	if left := bucketFiles(m.t, m.from); len(left) > 0 {
		m.t.Errorf("left at the old owner: %q", left)
	}
	for _, path := range bucketFiles(m.t, m.to) {
		if strings.Contains(path, "/%wk/") {
			m.t.Errorf("work file at the new owner: %s", path)
		}
	}
}

// bucketFiles are all files that a target has of buckets.
func bucketFiles(t *testing.T, n *aistest.Node) (found []string) {
	t.Helper()
	for _, root := range n.Paths {
		err := filepath.WalkDir(filepath.Join(root, "@ais"), func(path string, entry os.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err == nil && !entry.IsDir() {
				found = append(found, path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return found
}

// TestOwnerChangesBeforeTheCommit: whatever was received or asked for when the
// name gets another owner is done there. The client has one answer.
func TestOwnerChangesBeforeTheCommit(t *testing.T) {
	t.Parallel()
	const large = 3 << 20
	for _, test := range []struct {
		name string
		old  string // content before, "": none
		do   func(m *moving) *http.Response

		content, version string
		custom           []string
	}{
		{"PUT", "", put("new"), "new", "1", nil},
		{"PUT over another", "old", put("new"), "new", "2", []string{"a=1"}},
		{"PUT with a checksum", "old", put("new", "Ais-Checksum-Type: md5", "Ais-Checksum-Value: "+sumOf(t, cksum.MD5, "new")), "new", "2", []string{"a=1"}},
		{"PUT with keys and a version", "old", put("new", "Ais-Custom-Md: b=2", "Ais-Version: 77"), "new", "78", []string{"a=1", "b=2"}},
		{"PUT of the same", "old", put("old", "Ais-Checksum-Type: xxhash2", "Ais-Checksum-Value: "+sumOf(t, cksum.XXHash2, "old")), "old", "1", []string{"a=1"}},
		{"PUT of the same without a checksum", "old", put("old"), "old", "2", []string{"a=1"}},
		{"PUT of nothing", "old", put(""), "", "2", []string{"a=1"}},
		{"PUT of a large body", "old", put(strings.Repeat("x", large)), strings.Repeat("x", large), "2", []string{"a=1"}},
		{"append", "old", func(m *moving) *http.Response {
			handle := m.begin("+one")
			m.onCommit(m.move)
			res, _ := expect(m.t, 200, follower, "PUT", m.address+"?append_type=flush&append_handle="+url.QueryEscape(handle), nil)
			expect(m.t, 404, follower, "PUT", m.address+"?append_type=flush&append_handle="+url.QueryEscape(handle), nil)
			return res
		}, "old+one", "2", []string{"a=1"}},
		{"completion", "old", func(m *moving) *http.Response {
			id := uploadOf(m.t, m.address)
			for n, text := range []string{"", "first part, ", "second part"} {
				if n > 0 {
					expect(m.t, 200, follower, "PUT", partURL(m.address, id, n), strings.NewReader(text))
				}
			}
			m.onCommit(m.move)
			res, _ := expect(m.t, 200, follower, "POST", m.address+"?uploadId="+id, completion(1, 2))
			expect(m.t, 404, follower, "POST", m.address+"?uploadId="+id, completion(1, 2))
			return res
		}, "first part, second part", "2", []string{"a=1"}},
		{"completion of parts out of order", "", func(m *moving) *http.Response {
			id := uploadOf(m.t, m.address)
			expect(m.t, 200, follower, "PUT", partURL(m.address, id, 2), strings.NewReader("second"))
			expect(m.t, 200, follower, "PUT", partURL(m.address, id, 1), strings.NewReader("first "))
			m.onCommit(m.move)
			res, _ := expect(m.t, 200, follower, "POST", m.address+"?uploadId="+id, completion(1, 2))
			return res
		}, "first second", "1", nil},
		{"PATCH", "old", func(m *moving) *http.Response {
			m.onCommit(m.move)
			expect(m.t, 200, follower, "PATCH", m.address, strings.NewReader(`{"value":{"b":"2"}}`))
			return nil
		}, "old", "1", []string{"a=1", "b=2"}},
	} {
		for _, durability := range []string{"none", "sync"} {
			t.Run(test.name+" "+durability, func(t *testing.T) {
				t.Parallel()
				m := newMoving(t, `{"durability":"`+durability+`"}`)
				if test.old != "" {
					expect(t, 200, follower, "PUT", m.address, strings.NewReader(test.old), "Ais-Custom-Md: a=1")
				}
				res := test.do(m)
				if res != nil && res.Header.Get("Ais-Append-Handle") == "" && res.Header.Get("Ais-Version") != "" && res.Header.Get("Ais-Version") != test.version {
					t.Errorf("answered with version %q", res.Header.Get("Ais-Version"))
				}
				m.has(test.content, test.version, test.custom...)
			})
		}
	}
}

func (m *moving) onCommit(do func()) { m.from.BeforeCommit(do) }

// begin starts an append and returns its handle.
func (m *moving) begin(text string) string {
	m.t.Helper()
	res, _ := expect(m.t, 200, follower, "PUT", m.address+"?append_type=append", strings.NewReader(text))
	return res.Header.Get("Ais-Append-Handle")
}

// put writes a body, with the change of owners right before the commit.
func put(body string, headers ...string) func(*moving) *http.Response {
	return func(m *moving) *http.Response {
		m.onCommit(m.move)
		res, _ := expect(m.t, 200, follower, "PUT", m.address, strings.NewReader(body), headers...)
		if res.Header.Get("Ais-Checksum-Value") == "" || res.Header.Get("Ais-Version") == "" {
			m.t.Errorf("answered %v", res.Header)
		}
		return res
	}
}

func sumOf(t *testing.T, kind, text string) string {
	t.Helper()
	sum, err := cksum.Of(kind, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return sum.Value
}

// TestOwnerChangesBeforeADelete: the name is deleted at the new owner.
func TestOwnerChangesBeforeADelete(t *testing.T) {
	t.Parallel()
	m := newMoving(t, `{}`)
	expect(t, 200, follower, "PUT", m.address, strings.NewReader("old"))
	m.onCommit(m.move)
	expect(t, 200, follower, "DELETE", m.address, nil)
	expect(t, 404, follower, "GET", m.address, nil)
	m.nothingLeft()
}

// TestOwnerChangesDuringCopyAndRename: of the destination at the commit of the
// copy, of the source before it goes.
func TestOwnerChangesDuringCopyAndRename(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"copy", "rename", "rename of a source that moves"} {
		for _, remote := range []bool{false, true} {
			t.Run(fmt.Sprint(kind, " to another target ", remote), func(t *testing.T) {
				t.Parallel()
				m := newMoving(t, `{}`)
				owner := m.from
				if remote {
					owner = m.to
				}
				target := ownedBy(t, m.c, "b", owner, "copy-")
				expect(t, 200, follower, "PUT", m.address, strings.NewReader("content"), "Ais-Custom-Md: a=1", "Ais-Version: 6")
				away := func() { m.c.ChangeSmap(t, maintenance(owner.Snode())) }
				if kind == "rename of a source that moves" {
					// The first commit is that of the new name, if it is here.
					if remote {
						m.from.BeforeCommit(m.move)
					} else {
						m.from.BeforeCommit(func() { m.from.BeforeCommit(m.move) })
					}
				} else {
					owner.BeforeCommit(away)
				}
				if kind == "copy" {
					expect(t, 200, follower, "PUT", m.address+"?object_to=ais/@%23/b/"+target, nil)
					if _, body := expect(t, 200, follower, "GET", m.address, nil); body != "content" {
						t.Errorf("the source has %q", body)
					}
				} else {
					expect(t, 200, follower, "POST", m.address, strings.NewReader(`{"action":"rename-obj","name":"`+target+`"}`))
					expect(t, 404, follower, "GET", m.address, nil)
				}
				res, body := expect(t, 200, follower, "GET", object(m.c.Proxies[0], target), nil)
				if body != "content" || res.Header.Get("Ais-Version") != "7" || res.Header.Get("Ais-Custom-Md") != "a=1" {
					t.Errorf("%q %v", body, res.Header)
				}
				if names, _, _ := listed(t, m.c); len(names) != map[bool]int{true: 2, false: 1}[kind == "copy"] {
					t.Errorf("listed %q", names)
				}
			})
		}
	}
}

// TestNewOwnerRefuses: a write that the new owner does not acknowledge is not
// acknowledged at all, and changes nothing.
func TestNewOwnerRefuses(t *testing.T) {
	t.Parallel()
	for name, refuse := range map[string]func(m *moving){
		"down":     func(m *moving) { m.c.Metadata.SetDown(m.to.ID(), true) },
		"no lease": func(m *moving) { m.c.Metadata.SetLease(m.to.ID(), false) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMoving(t, `{}`)
			expect(t, 200, follower, "PUT", m.address, strings.NewReader("old"))
			for method, body := range map[string]string{"PUT": "new", "PATCH": `{"value":{"a":"1"}}`, "DELETE": ""} {
				m.onCommit(func() { refuse(m); m.move() })
				res, _ := expect(t, 503, follower, method, m.address, strings.NewReader(body))
				if res.Header.Get("Retry-After") == "" {
					t.Errorf("%s: no Retry-After", method)
				}
				m.c.Metadata.SetDown(m.to.ID(), false)
				m.c.Metadata.SetLease(m.to.ID(), true)
				if got, _ := expect(t, 200, follower, "GET", m.address, nil); got.Header.Get("Ais-Version") != "1" || got.Header.Get("Ais-Custom-Md") != "" {
					t.Errorf("%s: %v", method, got.Header)
				}
				m.c.ChangeSmap(t, &meta.SmapPatch{Put: []*meta.Snode{m.from.Snode()}})
			}
			if _, body := expect(t, 200, follower, "GET", m.address, nil); body != "old" {
				t.Errorf("%q", body)
			}
			if files := bucketFiles(t, m.from); len(files) != 1 {
				t.Errorf("%q", files)
			}
			if files := bucketFiles(t, m.to); len(files) != 0 {
				t.Errorf("%q", files)
			}
		})
	}
}

// TestCommitDuringATransition waits for its end, and is made by whoever is the
// owner then.
func TestCommitDuringATransition(t *testing.T) {
	t.Parallel()
	for _, given := range []bool{false, true} {
		t.Run(fmt.Sprint("given up ", given), func(t *testing.T) {
			t.Parallel()
			m := newMoving(t, `{}`)
			expect(t, 200, follower, "PUT", m.address, strings.NewReader("old"))
			m.onCommit(func() {
				m.c.Change(t, meta.KindTransition, &meta.TransitionPatch{Begin: &meta.PendingMap{
					Action: "maintenance", Patch: *maintenance(m.from.Snode()), Targets: []string{m.to.ID()},
				}})
				m.onCommit(func() { // it tries again
					if !given {
						m.move()
					}
					m.c.Change(t, meta.KindTransition, &meta.TransitionPatch{})
				})
			})
			res, _ := expect(t, 200, follower, "PUT", m.address, strings.NewReader("new"))
			if res.Header.Get("Ais-Version") != "2" {
				t.Errorf("%v", res.Header)
			}
			if !given {
				m.has("new", "2")
				return
			}
			if _, body := expect(t, 200, follower, "GET", m.address, nil); body != "new" {
				t.Errorf("%q", body)
			}
			if _, kind := m.holds(m.from); kind != core.KindObject {
				t.Errorf("kind %d", kind)
			}
		})
	}
}

// TestConditionsAtTheNewOwner: what a write asks for is compared with what the
// new owner has, or the former one has for it.
func TestConditionsAtTheNewOwner(t *testing.T) {
	t.Parallel()
	put := func(m *moving, c core.Conditions) error {
		_, err := m.from.Store.Put(context.Background(), m.key(), strings.NewReader("new"), core.PutOptions{Size: 3, Conditions: c})
		return err
	}
	t.Run("absent", func(t *testing.T) {
		t.Parallel()
		m := newMoving(t, `{}`)
		m.onCommit(m.move)
		if err := put(m, core.IfAbsent()); err != nil {
			t.Fatal(err)
		}
		m.has("new", "1")
	})
	t.Run("absent here, and written there", func(t *testing.T) {
		t.Parallel()
		m := newMoving(t, `{}`)
		m.onCommit(m.moveAndWrite)
		if err := put(m, core.IfAbsent()); apierr.StatusOf(err) != http.StatusPreconditionFailed {
			t.Errorf("%v", err)
		}
		m.has("by another", "1")
	})
	t.Run("what the former owner has", func(t *testing.T) {
		t.Parallel()
		m := newMoving(t, `{}`)
		expect(t, 200, follower, "PUT", m.address, strings.NewReader("old"))
		attrs, _ := m.holds(m.from)
		m.onCommit(m.move)
		if err := put(m, core.Conditions{IfMatch: attrs.ETag()}); err != nil {
			t.Fatal(err)
		}
		m.has("new", "2")
	})
	t.Run("another one", func(t *testing.T) {
		t.Parallel()
		m := newMoving(t, `{}`)
		expect(t, 200, follower, "PUT", m.address, strings.NewReader("old"))
		attrs, _ := m.holds(m.from)
		m.onCommit(m.moveAndWrite)
		if err := put(m, core.Conditions{IfMatch: attrs.ETag()}); apierr.StatusOf(err) != http.StatusPreconditionFailed {
			t.Errorf("%v", err)
		}
		if _, body := expect(t, 200, follower, "GET", m.address, nil); body != "by another" {
			t.Errorf("%q", body)
		}
	})
}

// TestNewOwnerKnowsAnotherBucket: what was received for a bucket that is
// destroyed, and made again, is no object of the new one.
func TestNewOwnerKnowsAnotherBucket(t *testing.T) {
	t.Parallel()
	m := newMoving(t, `{}`)
	address := m.c.Proxies[0].URL() + "/v1/buckets/b"
	m.onCommit(func() {
		m.move()
		expect(t, 200, follower, "DELETE", address, strings.NewReader(`{"action":"destroy-bck"}`))
		expect(t, 200, follower, "POST", address, strings.NewReader(`{"action":"create-bck"}`))
	})
	expect(t, 404, follower, "PUT", m.address, strings.NewReader("new"))
	expect(t, 404, follower, "GET", m.address, nil)
}
