package api_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aistore-go/aistore/api"
	"github.com/aistore-go/aistore/cmn/hrw"
	"github.com/aistore-go/aistore/cmn/wire"
)

// ownedBy returns an object name that a target owns in the present map.
func (f *fakeCluster) ownedBy(t *testing.T, id string) string {
	t.Helper()
	for i := range 1000 {
		name := "obj-" + strings.Repeat("x", i%7) + string(rune('a'+i%26)) + string(rune('a'+i/26))
		if owner, err := f.smap.Load().Owner(hrw.Digest(bucket.Uname(name))); err == nil && owner.ID == id {
			return name
		}
	}
	t.Fatalf("no name is owned by %s", id)
	return ""
}

func (f *fakeCluster) nodesAsked() string {
	var nodes []string
	for _, r := range f.requests() {
		nodes = append(nodes, r.node+":"+r.method)
	}
	return strings.Join(nodes, " ")
}

func direct(o *api.Options) { o.Direct = true }

func TestDirectGoesToTheOwner(t *testing.T) {
	t.Parallel()
	f := newFakeCluster(t, "tgtAAAAA1", "tgtBBBBB2", "tgtCCCCC3")
	c := f.client(t, direct)
	name := f.ownedBy(t, "tgtBBBBB2")
	if _, err := c.PutObject(t.Context(), bucket, name, api.PutArgs{Body: api.Bytes([]byte("x"))}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.GetObject(t.Context(), bucket, name, io.Discard, api.GetArgs{}); err != nil {
		t.Fatal(err)
	}
	if asked := f.nodesAsked(); asked != "proxy:GET tgtBBBBB2:PUT tgtBBBBB2:GET" {
		t.Fatalf("asked %s", asked)
	}
	for _, r := range f.requests()[1:] {
		if r.header.Get(wire.HeaderSmapVersion) != "1" {
			t.Errorf("%s without the version of the map: %v", r.method, r.header)
		}
	}
}

func TestStaleMapHealsItself(t *testing.T) {
	t.Parallel()
	data := bytes.Repeat([]byte("data"), 50<<10) // awaits the first answer
	for _, tt := range []struct {
		name string
		// disturb makes the client's map, of tgtAAAAA1 alone, old.
		disturb func(f *fakeCluster)
	}{
		{"a target that answers 404", func(f *fakeCluster) {
			f.setHook(func(node string, w http.ResponseWriter, r *http.Request) bool {
				if node != "tgtAAAAA1" {
					return false
				}
				fail(w, r, http.StatusNotFound, wire.CodeNotFound, "not here")
				return true
			})
		}},
		{"a target that answers 503", func(f *fakeCluster) {
			f.setHook(func(node string, w http.ResponseWriter, r *http.Request) bool {
				if node != "tgtAAAAA1" {
					return false
				}
				fail(w, r, http.StatusServiceUnavailable, "", "moving")
				return true
			})
		}},
		{"a target that redirects", func(*fakeCluster) {}},
		{"a target that is gone", func(f *fakeCluster) { f.targets["tgtAAAAA1"].server.Close() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newFakeCluster(t, "tgtAAAAA1", "tgtBBBBB2")
			f.publish(1, "tgtAAAAA1")
			c := f.client(t, direct)
			if _, err := c.PutObject(t.Context(), bucket, "first", api.PutArgs{Body: api.Bytes(data)}); err != nil {
				t.Fatal(err)
			}
			f.publish(2, "tgtBBBBB2")
			tt.disturb(f)
			f.forget()
			if _, err := c.PutObject(t.Context(), bucket, "second", api.PutArgs{Body: api.Stream(onceReader{bytes.NewReader(data)}, -1)}); err != nil {
				t.Fatalf("PUT with an old map: %v", err)
			}
			if v := c.Smap().Version; v != 2 {
				t.Fatalf("the map is still version %d (asked %s)", v, f.nodesAsked())
			}
			f.forget()
			var got bytes.Buffer
			if _, _, err := c.GetObject(t.Context(), bucket, "second", &got, api.GetArgs{Validate: true}); err != nil || !bytes.Equal(got.Bytes(), data) {
				t.Fatalf("GET: %v", err)
			}
			if asked := f.nodesAsked(); asked != "tgtBBBBB2:GET" {
				t.Fatalf("after healing asked %s", asked)
			}
		})
	}
}

// With an unchanged map a 404 is the truth: the proxy is not asked for the
// object.
func TestDirectMissIsFinal(t *testing.T) {
	t.Parallel()
	f := newFakeCluster(t, "tgtAAAAA1")
	c := f.client(t, direct)
	if _, err := c.FetchSmap(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.forget()
	if _, _, err := c.GetObject(t.Context(), bucket, "none", io.Discard, api.GetArgs{}); !api.IsNotFound(err) {
		t.Fatal(err)
	}
	if asked := f.nodesAsked(); asked != "tgtAAAAA1:GET proxy:GET" || f.requests()[1].path != wire.PathDaemon {
		t.Fatalf("asked %s", asked)
	}
}

// A DELETE whose connection to the owner broke, and which finds nothing by way
// of the proxy, has removed the object.
func TestDirectDeleteThatBreaksOff(t *testing.T) {
	t.Parallel()
	f := newFakeCluster(t, "tgtAAAAA1")
	var broke atomic.Bool
	f.setHook(func(node string, w http.ResponseWriter, r *http.Request) bool {
		if node == "proxy" || r.Method != http.MethodDelete {
			return false
		}
		if broke.Swap(true) {
			w.WriteHeader(http.StatusNotFound)
		} else {
			reset(w, r)
		}
		return true
	})
	c := f.client(t, direct)
	if err := c.DeleteObject(t.Context(), bucket, "o"); err != nil {
		t.Errorf("%v (asked %s)", err, f.nodesAsked())
	}
	if err := c.DeleteObject(t.Context(), bucket, "o"); !api.IsNotFound(err) {
		t.Errorf("a DELETE of nothing: %v", err)
	}
}

func TestDirectWithoutTargetsAsksTheProxy(t *testing.T) {
	t.Parallel()
	f := newFakeCluster(t, "tgtAAAAA1")
	f.publish(2)
	c := f.client(t, direct)
	_, _, err := c.GetObject(t.Context(), bucket, "o", io.Discard, api.GetArgs{})
	if api.TypeCode(err) != wire.CodeNoNodes {
		t.Fatal(err)
	}
}
