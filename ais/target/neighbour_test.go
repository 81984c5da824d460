package target_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/ais/aistest"
	"github.com/aistore-go/aistore/cmn/hrw"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
)

// unsettled is a cluster of three targets with objects, of which one then
// leaves the set of owners.
type unsettled struct {
	t     *testing.T
	c     *aistest.Cluster
	left  *aistest.Node // the target that is no owner any more
	moved []string      // names that it owned
	kept  []string      // all others
}

const movedObjects = 40

func newUnsettled(t *testing.T, leave func(*meta.Snode) *meta.SmapPatch) *unsettled {
	t.Helper()
	u := &unsettled{t: t, c: cluster(t, 3, `{"durability":"none"}`)}
	u.left = u.c.Targets[2]
	bck := wire.Bck{Name: "b", Provider: wire.ProviderAIS}
	for i := range movedObjects {
		name := fmt.Sprintf("dir/o %d", i)
		u.put(name, "old "+name)
		owner, err := u.c.Metadata.View().Smap.Owner(hrw.Digest(bck.Uname(name)))
		if err != nil {
			t.Fatal(err)
		}
		if owner.ID == u.left.ID() {
			u.moved = append(u.moved, name)
		} else {
			u.kept = append(u.kept, name)
		}
	}
	if len(u.moved) < 4 {
		t.Fatalf("%d of %d names are with %s", len(u.moved), movedObjects, u.left.ID())
	}
	u.c.ChangeSmap(t, leave(u.left.Snode()))
	return u
}

func maintenance(n *meta.Snode) *meta.SmapPatch {
	n = n.Clone()
	n.Flags |= meta.FlagMaintenance
	return &meta.SmapPatch{Put: []*meta.Snode{n}}
}

func out(n *meta.Snode) *meta.SmapPatch { return &meta.SmapPatch{Del: []string{n.ID}} }

func (u *unsettled) put(name, content string) {
	u.t.Helper()
	expect(u.t, 200, follower, "PUT", object(u.c.Proxies[0], name), strings.NewReader(content))
}

func (u *unsettled) read(name, want string) {
	u.t.Helper()
	if _, body := expect(u.t, 200, follower, "GET", object(u.c.Proxies[0], name), nil); body != want {
		u.t.Errorf("GET %s: %q, want %q", name, body, want)
	}
	res, _ := expect(u.t, 200, follower, "HEAD", object(u.c.Proxies[0], name), nil)
	if res.ContentLength != int64(len(want)) {
		u.t.Errorf("HEAD %s: %d bytes, want %d", name, res.ContentLength, len(want))
	}
}

func (u *unsettled) fails(status int, name string) {
	u.t.Helper()
	for _, method := range []string{"GET", "HEAD"} {
		res, _ := expect(u.t, status, follower, method, object(u.c.Proxies[0], name), nil)
		if status == http.StatusServiceUnavailable && res.Header.Get("Retry-After") == "" {
			u.t.Errorf("%s %s: no Retry-After", method, name)
		}
	}
}

func (u *unsettled) remove(status int, name string) {
	u.t.Helper()
	expect(u.t, status, follower, "DELETE", object(u.c.Proxies[0], name), nil)
}

// list returns all names, in pages of a size, and whether they are marked as
// perhaps not all.
func (u *unsettled) list(pageSize int) (names []string, stale bool) {
	u.t.Helper()
	token := ""
	for {
		msg := fmt.Sprintf(`{"action":"list","value":{"pagesize":%d,"continuation_token":%q,"props":"name,size"}}`, pageSize, token)
		res, body := expect(u.t, 200, follower, "GET", u.c.Proxies[0].URL()+"/v1/buckets/b", strings.NewReader(msg), "Content-Type: application/json")
		stale = stale || res.Header.Get("Ais-Stale") == "true"
		var page wire.LsoPage
		if err := json.Unmarshal([]byte(body), &page); err != nil {
			u.t.Fatal(err)
		}
		for i := range page.Entries {
			if len(names) > 0 && page.Entries[i].Name <= names[len(names)-1] {
				u.t.Fatalf("%q after %q", page.Entries[i].Name, names[len(names)-1])
			}
			names = append(names, page.Entries[i].Name)
		}
		if token = page.ContinuationToken; token == "" {
			return names, stale
		}
	}
}

func (u *unsettled) lists(want []string) {
	u.t.Helper()
	slices.Sort(want)
	for _, size := range []int{1, 7, 1000} {
		if got, _ := u.list(size); !slices.Equal(got, want) {
			u.t.Errorf("pages of %d: listed %q, want %q", size, got, want)
		}
	}
}

// TestFormerOwnerIsAsked: what a target in maintenance still has is read,
// replaced and deleted as if it had been moved.
func TestFormerOwnerIsAsked(t *testing.T) {
	t.Parallel()
	u := newUnsettled(t, maintenance)
	all := slices.Concat(u.moved, u.kept)
	for _, name := range all {
		u.read(name, "old "+name)
	}
	u.lists(all)
	u.fails(404, "never was")
	u.remove(404, "never was")
	res, body := expect(t, 206, follower, "GET", object(u.c.Proxies[0], u.moved[0]), nil, "Range: bytes=4-6")
	if body != "dir" || !strings.HasPrefix(res.Header.Get("Content-Range"), "bytes 4-6/") {
		t.Errorf("range: %q %q", body, res.Header.Get("Content-Range"))
	}
	u.put(u.moved[1], "new")
	u.read(u.moved[1], "new")
	u.remove(200, u.moved[2])
	u.fails(404, u.moved[2])
	u.remove(404, u.moved[2])
	u.remove(200, u.moved[1])
	u.fails(404, u.moved[1])
	u.put(u.moved[2], "again")
	u.read(u.moved[2], "again")
	all = slices.DeleteFunc(all, func(name string) bool { return name == u.moved[1] })
	u.lists(all)

	// While the former owner does not answer, nobody knows what it has; what
	// was written since is not affected.
	u.c.Metadata.SetDown(u.left.ID(), true)
	u.fails(503, u.moved[0])
	u.fails(503, "dir/o 1 that "+neverOf(t, u))
	u.read(u.moved[2], "again")
	u.read(u.kept[0], "old "+u.kept[0])
}

// neverOf completes a name that does not exist so that the target which left
// owned it.
func neverOf(t *testing.T, u *unsettled) string {
	t.Helper()
	all := &meta.Smap{Tmap: map[string]*meta.Snode{}}
	for _, n := range u.c.Targets {
		all.Tmap[n.ID()] = n.Snode()
	}
	all.Freeze()
	bck := wire.Bck{Name: "b", Provider: wire.ProviderAIS}
	for i := range 1000 {
		owner, err := all.Owner(hrw.Digest(bck.Uname(fmt.Sprintf("dir/o 1 that never was %d", i))))
		if err != nil {
			t.Fatal(err)
		}
		if owner.ID == u.left.ID() {
			return fmt.Sprintf("never was %d", i)
		}
	}
	t.Fatal("no such name")
	return ""
}

// TestReturningTargetBringsNothingBack: what was written and deleted while a
// target was out counts, and the rest of what it has is there again.
func TestReturningTargetBringsNothingBack(t *testing.T) {
	t.Parallel()
	u := newUnsettled(t, out)
	for _, name := range u.moved {
		u.fails(503, name)
	}
	for _, name := range u.kept {
		u.read(name, "old "+name)
	}
	if names, stale := u.list(1000); !stale || len(names) != len(u.kept) {
		t.Errorf("listed %d names, marked %v", len(names), stale)
	}
	u.put(u.moved[0], "new")
	u.read(u.moved[0], "new")
	u.remove(200, u.moved[1]) // it may exist: deleted all the same
	u.fails(404, u.moved[1])
	u.remove(404, u.moved[1])
	u.put(u.moved[2], "new")
	u.remove(200, u.moved[2])
	u.fails(404, u.moved[2])

	if tombs := u.tombstones(); tombs != 2 {
		t.Errorf("%d tombstones, want 2", tombs)
	}
	u.c.ChangeSmap(t, &meta.SmapPatch{Put: []*meta.Snode{u.left.Snode()}})
	u.read(u.moved[0], "new")
	u.fails(404, u.moved[1])
	u.fails(404, u.moved[2])
	var want []string
	for _, name := range slices.Concat(u.moved[3:], u.kept) {
		u.read(name, "old "+name)
		want = append(want, name)
	}
	u.lists(slices.Concat(want, u.moved[:1]))
	u.put(u.moved[1], "third")
	u.read(u.moved[1], "third")
	u.remove(200, u.moved[0])
	u.fails(404, u.moved[0])
	u.lists(slices.Concat(want, u.moved[1:2]))

	// Once the placement is settled, no tombstone is needed.
	u.c.Settle(t)
	eventually(t, "removal of the tombstones", func() bool { return u.tombstones() == 0 })
}

// tombstones counts them on all targets.
func (u *unsettled) tombstones() (count int) {
	u.t.Helper()
	bck := wire.Bck{Name: "b", Provider: wire.ProviderAIS}
	props, ok := u.c.Metadata.View().BMD.Get(bck)
	if !ok {
		u.t.Fatal("no bucket")
	}
	for _, n := range u.c.Targets {
		entries, err := n.Store.List(context.Background(), bck, props, core.ListOptions{Stamps: true})
		if err != nil {
			u.t.Fatal(err)
		}
		for i := range entries {
			if entries[i].Tombstone {
				count++
			}
		}
	}
	return count
}

// TestReadsDuringATransition: the next owner may have the name already, before
// this target knows; without a lease nobody vouches for what is read.
func TestReadsDuringATransition(t *testing.T) {
	t.Parallel()
	c := cluster(t, 2, `{"durability":"none"}`)
	one, two := c.Targets[0], c.Targets[1]
	name := owned(t, c, one)
	expect(t, 200, follower, "PUT", object(c.Proxies[0], name), strings.NewReader("old"))
	get := func(want, stale string) {
		t.Helper()
		for method, body := range map[string]string{"GET": want, "HEAD": ""} {
			res, got := expect(t, 200, follower, method, object(c.Proxies[0], name), nil)
			if got != body || res.Header.Get("Ais-Stale") != stale {
				t.Errorf("%s: %q, marked %q, want %q, %q", method, got, res.Header.Get("Ais-Stale"), body, stale)
			}
		}
	}
	begin := &meta.TransitionPatch{Begin: &meta.PendingMap{Action: "maintenance", Patch: *maintenance(one.Snode()), Targets: []string{two.ID()}}}
	c.Change(t, meta.KindTransition, begin)
	get("old", "")
	for _, method := range []string{"PUT", "DELETE"} {
		res, _ := expect(t, 503, follower, method, object(c.Proxies[0], name), strings.NewReader(""))
		if res.Header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", method)
		}
	}
	eventually(t, "report of the transition", func() bool { return c.Metadata.Quiesced(one.ID()) == c.Metadata.View().Transition.Version })

	// The first target and the gateway miss the activation.
	for _, id := range []string{one.ID(), c.Proxies[0].ID()} {
		if err := c.Metadata.SetLagging(id, true); err != nil {
			t.Fatal(err)
		}
	}
	c.ChangeSmap(t, maintenance(one.Snode()))
	version := c.Metadata.View().Smap.Version
	expect(t, 200, strict, "PUT", object(two, name), strings.NewReader("new"), fmt.Sprint(direct, version))
	get("new", "")
	c.Metadata.SetLease(one.ID(), false)
	get("new", "true")
}

// TestReadsWhileTheOwnerIsDown go to another target: it has nothing unless the
// placement changed, and never says that there is nothing.
func TestReadsWhileTheOwnerIsDown(t *testing.T) {
	t.Parallel()
	c := cluster(t, 2, `{"durability":"none"}`)
	one, two := c.Targets[0], c.Targets[1]
	mine, other := owned(t, c, one), owned(t, c, two)
	for _, name := range []string{mine, other} {
		expect(t, 200, follower, "PUT", object(c.Proxies[0], name), strings.NewReader("old"))
	}
	c.Metadata.SetDown(one.ID(), true)
	for method, status := range map[string]int{"GET": 301, "HEAD": 307} {
		res, _ := expect(t, status, strict, method, object(c.Proxies[0], mine), nil)
		if !strings.HasPrefix(res.Header.Get("Location"), object(two, mine)) {
			t.Errorf("%s is sent to %s", method, res.Header.Get("Location"))
		}
		res, _ = expect(t, 503, follower, method, object(c.Proxies[0], mine), nil)
		if res.Header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", method)
		}
	}
	for _, method := range []string{"PUT", "DELETE"} {
		res, _ := expect(t, 503, follower, method, object(c.Proxies[0], mine), strings.NewReader(""))
		if res.Header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", method)
		}
	}
	expect(t, 200, follower, "GET", object(c.Proxies[0], other), nil)

	// The other one leaves the map and comes back: meanwhile the first had its
	// names, and what it wrote then is all that can be read while the second
	// is down.
	c.Metadata.SetDown(one.ID(), false)
	c.ChangeSmap(t, out(two.Snode()))
	expect(t, 200, follower, "PUT", object(c.Proxies[0], other), strings.NewReader("new"))
	c.ChangeSmap(t, &meta.SmapPatch{Put: []*meta.Snode{two.Snode()}})
	if res, body := expect(t, 200, follower, "GET", object(c.Proxies[0], other), nil); body != "new" || res.Header.Get("Ais-Stale") != "" {
		t.Errorf("%q %q", body, res.Header.Get("Ais-Stale"))
	}
	c.Metadata.SetDown(two.ID(), true)
	if res, body := expect(t, 200, follower, "GET", object(c.Proxies[0], other), nil); body != "new" || res.Header.Get("Ais-Stale") != "true" {
		t.Errorf("%q %q", body, res.Header.Get("Ais-Stale"))
	}
}
