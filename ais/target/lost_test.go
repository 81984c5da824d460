package target_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/hrw"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
)

// declare sends an operator's command and returns the text of its error.
func (u *unsettled) declare(status int, value string) string {
	u.t.Helper()
	address := u.c.Proxies[0].URL() + "/v1/cluster"
	res, body := expect(u.t, status, follower, "PUT", address, strings.NewReader(`{"action":"declare-lost","value":`+value+`}`))
	if status == 200 {
		return body
	}
	return message(u.t, res, body).Message
}

// gone makes the target that left one that does not run.
func newLost(t *testing.T) *unsettled {
	t.Helper()
	u := newUnsettled(t, out)
	u.c.Metadata.SetDown(u.left.ID(), true)
	return u
}

// TestTargetIsDeclaredLost: what only it has does not exist from then on, and
// nothing waits for it.
func TestTargetIsDeclaredLost(t *testing.T) {
	t.Parallel()
	u := newLost(t)
	written, conditional, deleted, patched := u.moved[0], u.moved[1], u.moved[2], u.moved[3]
	at := func(name string) string { return object(u.c.Proxies[0], name) }
	u.fails(503, conditional)
	if err := u.create(conditional); apierr.StatusOf(err) != 503 {
		t.Errorf("%v", err)
	}
	u.put(written, "new "+written)

	if body := u.declare(200, `{"sid":"`+u.left.ID()+`","force":true}`); body != "g1" { // the rebalance that settles
		t.Errorf("%q", body)
	}
	for _, name := range u.moved[1:] {
		u.fails(404, name)
	}
	u.read(written, "new "+written)
	for _, name := range u.kept {
		u.read(name, "old "+name)
	}
	if err := u.create(conditional); err != nil {
		t.Error(err)
	}
	u.read(conditional, "new "+conditional)
	u.remove(404, deleted)
	expect(t, 404, follower, "PATCH", at(patched), strings.NewReader(`{"value":{"a":"1"}}`))
	names, stale := u.list(7)
	if want := slices.Sorted(slices.Values(append([]string{written, conditional}, u.kept...))); stale || !slices.Equal(names, want) {
		t.Errorf("listed %d names, want %d; stale: %v", len(names), len(want), stale)
	}
	epoch := u.c.Metadata.View().Placement.Ver()
	u.declare(200, `{"sids":["`+u.left.ID()+`"]}`) // again: nothing happens
	if now := u.c.Metadata.View().Placement.Ver(); now != epoch {
		t.Errorf("placement %d after %d", now, epoch)
	}
}

// TestLostTargetComesBack: it is empty, what it had is in quarantine, and nothing
// of it comes to light.
func TestLostTargetComesBack(t *testing.T) {
	t.Parallel()
	u := newLost(t)
	before := files(t, u.left.Paths)
	u.declare(200, `{"sid":"`+u.left.ID()+`","force":true}`)
	lost := u.c.Metadata.View().Placement.LostAt(u.left.ID())
	rewritten := u.moved[0]
	u.put(rewritten, "new "+rewritten)
	u.c.Metadata.SetDown(u.left.ID(), false)
	u.c.ChangeSmap(t, &meta.SmapPatch{Put: []*meta.Snode{u.left.Snode()}})

	u.read(rewritten, "new "+rewritten)
	for _, name := range u.moved[1:] {
		u.fails(404, name)
	}
	for _, name := range u.kept {
		u.read(name, "old "+name)
	}
	if names, _ := u.list(0); len(names) != 1+len(u.kept) {
		t.Errorf("listed %q", names)
	}
	// It takes writes of its names, and its new content stays when it is told once more.
	for _, name := range u.moved[1:] {
		u.put(name, "after "+name)
	}
	u.c.Change(t, meta.KindPlacement, &meta.PlacementPatch{Targets: u.c.Metadata.View().Placement.Current()})
	for _, name := range u.moved[1:] {
		u.read(name, "after "+name)
	}
	// Everything is in quarantine, as it was.
	found := map[string]string{}
	for _, root := range u.left.Paths {
		aside := filepath.Join(root, ".ais.quarantine", fmt.Sprintf("lost.%d", lost))
		for path, content := range files(t, []string{aside}) {
			found[strings.Replace(path, aside, root, 1)] = content
		}
	}
	objects := 0
	for path, content := range before {
		if found[path] != content {
			t.Errorf("%s: %.30q in quarantine, want %.30q", path, found[path], content)
		}
		if strings.Contains(path, "/%ob/") {
			objects++
		}
	}
	if objects != len(u.moved) {
		t.Errorf("%d objects in quarantine, want %d", objects, len(u.moved))
	}
	eventually(t, "it is counted", func() bool {
		all, err := u.left.Disks.Asides()
		if err != nil {
			t.Fatal(err)
		}
		n, bytes := int64(0), int64(0)
		for _, a := range all {
			if !a.Counted || a.Placement != lost {
				return false
			}
			n, bytes = n+a.Files, bytes+a.Bytes
		}
		return n == int64(len(found)) && bytes > 0
	})
}

// create writes an object that must not be there yet.
func (u *unsettled) create(name string) error {
	u.t.Helper()
	bck := wire.Bck{Name: "b", Provider: wire.ProviderAIS}
	view := u.c.Metadata.View()
	owner, err := view.Smap.Owner(hrw.Digest(bck.Uname(name)))
	if err != nil {
		u.t.Fatal(err)
	}
	props, _ := view.BMD.Get(bck)
	content := "new " + name
	for _, n := range u.c.Targets {
		if n.ID() == owner.ID {
			_, err = n.Store.Put(u.t.Context(), core.Key{Bck: bck, Props: props, Name: name}, strings.NewReader(content),
				core.PutOptions{Size: int64(len(content)), Conditions: core.Conditions{IfNoneMatch: "*"}})
		}
	}
	return err
}

// files are the contents of all files below directories of buckets.
func files(t *testing.T, roots []string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, root := range roots {
		err := filepath.WalkDir(filepath.Join(root, "@ais"), func(path string, entry os.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			content, err := os.ReadFile(path)
			all[path] = string(content)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// TestTargetsThatAreNotLost: what would lose data by mistake is refused, and says why.
func TestTargetsThatAreNotLost(t *testing.T) {
	t.Parallel()
	u := newLost(t)
	id := u.left.ID()
	active := u.c.Targets[0].ID()
	for _, bad := range []struct {
		status      int
		value, says string
	}{
		{400, `{}`, "no target is named"},
		{400, `{"sid":"` + id + `"}`, `expecting "force": true`},
		{400, `{"sid":"` + id + `","sids":["x"],"force":true}`, "exclude each other"},
		{400, `{"sids":["` + id + `",""],"force":true}`, "no target is named"},
		{400, `7`, "declare-lost"},
		{404, `{"sid":"nobody01","force":true}`, "nobody01"},
		{400, `{"sid":"` + u.c.Proxies[0].ID() + `","force":true}`, "is a gateway"},
		{409, `{"sid":"` + active + `","force":true}`, "it owns names"},
		{409, `{"sids":["` + id + `","` + active + `"],"force":true}`, "it owns names"},
	} {
		if text := u.declare(bad.status, bad.value); !strings.Contains(text, bad.says) {
			t.Errorf("%s: %q", bad.value, text)
		}
	}
	if lost := u.c.Metadata.View().Placement.Lost; len(lost) > 0 {
		t.Errorf("lost: %v", lost)
	}
	// In maintenance: it runs, or it does not.
	u.c.Metadata.SetDown(id, false)
	u.c.ChangeSmap(t, maintenance(u.left.Snode()))
	if text := u.declare(409, `{"sid":"`+id+`","force":true}`); !strings.Contains(text, "it runs") {
		t.Errorf("%q", text)
	}
	u.read(u.moved[0], "old "+u.moved[0])
	u.c.Metadata.SetDown(id, true)
	u.declare(200, `{"sid":"`+id+`","force":true}`)
	u.fails(404, u.moved[0])
}

// TestLostTargetIsAskedTooEarly: it does not say what it holds before it knows that
// it was declared lost.
func TestLostTargetIsAskedTooEarly(t *testing.T) {
	t.Parallel()
	u := newLost(t)
	if err := u.c.Metadata.SetLagging(u.left.ID(), true); err != nil {
		t.Fatal(err)
	}
	u.declare(200, `{"sid":"`+u.left.ID()+`","force":true}`)
	u.c.Metadata.SetDown(u.left.ID(), false)
	u.c.ChangeSmap(t, maintenance(u.left.Snode())) // the others know, and may ask it
	u.c.Change(t, meta.KindPlacement, &meta.PlacementPatch{Targets: append([]string{}, u.c.Metadata.View().Placement.Current()...)})
	for _, name := range u.moved {
		res, err := follower.Get(object(u.c.Proxies[0], name))
		if err != nil {
			t.Fatal(err)
		}
		if err := res.Body.Close(); err != nil {
			t.Fatal(err)
		}
		if res.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d", name, res.StatusCode)
		}
	}
	if names, _ := u.list(0); len(names) != len(u.kept) {
		t.Errorf("listed %d names, want %d", len(names), len(u.kept))
	}
}
