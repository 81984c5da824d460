package target_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/ais/aistest"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// listed asks for the first page of "b", in both forms.
func listed(t *testing.T, c *aistest.Cluster) (names []string, flags uint32, header http.Header) {
	t.Helper()
	const msg = `{"action":"list","value":{"props":"name,size"}}`
	address := c.Proxies[0].URL() + "/v1/buckets/b"
	res, body := expect(t, 200, follower, "GET", address, strings.NewReader(msg), "Content-Type: application/json")
	var page, packed wire.LsoPage
	if err := json.Unmarshal([]byte(body), &page); err != nil {
		t.Fatal(err)
	}
	_, body = expect(t, 200, follower, "GET", address, strings.NewReader(msg), "Content-Type: application/json", "Accept: application/msgpack")
	if err := packed.DecodeMsgpack([]byte(body)); err != nil {
		t.Fatal(err)
	}
	if packed.Flags != page.Flags || len(packed.Entries) != len(page.Entries) {
		t.Errorf("JSON has flags %d and %d names, msgpack %d and %d", page.Flags, len(page.Entries), packed.Flags, len(packed.Entries))
	}
	for i := range page.Entries {
		names = append(names, page.Entries[i].Name)
	}
	return names, page.Flags, res.Header
}

// TestListingWhileUnsettled: a page is whole and says that objects are not
// where they belong, or it is an error with the name of the target that was not
// asked. Only what a target took out of the cluster is not on it.
func TestListingWhileUnsettled(t *testing.T) {
	t.Parallel()
	u := newUnsettled(t, maintenance)
	all := slices.Concat(u.moved, u.kept)
	slices.Sort(all)
	page := func(want []string, flags uint32, stale string) {
		t.Helper()
		names, got, header := listed(t, u.c)
		if !slices.Equal(names, want) || got != flags || header.Get("Ais-Stale") != stale {
			t.Errorf("%d names, flags %d, marked %q; want %d, %d, %q", len(names), got, header.Get("Ais-Stale"), len(want), flags, stale)
		}
	}
	page(all, 1, "")

	u.c.Metadata.SetDown(u.left.ID(), true)
	res, body := expect(t, 503, follower, "GET", u.c.Proxies[0].URL()+"/v1/buckets/b", strings.NewReader(`{"action":"list","value":{}}`),
		"Content-Type: application/json")
	if e := message(t, res, body); !strings.Contains(e.Message, u.left.Name()) || res.Header.Get("Retry-After") == "" {
		t.Errorf("%+v %q", e, res.Header.Get("Retry-After"))
	}
	u.c.Metadata.SetDown(u.left.ID(), false)
	page(all, 1, "")

	u.c.ChangeSmap(t, out(u.left.Snode()))
	kept := slices.Sorted(slices.Values(u.kept))
	page(kept, 1, "true")
	u.c.ChangeSmap(t, &meta.SmapPatch{Put: []*meta.Snode{u.left.Snode()}})
	page(all, 1, "")
	u.c.Settle(t)
	page(all, 0, "")
}

// TestListingAfterANewMountpath: objects are on other disks than they belong to.
func TestListingAfterANewMountpath(t *testing.T) {
	t.Parallel()
	c := cluster(t, 2, `{"durability":"none"}`)
	write := func(content string) {
		t.Helper()
		for _, target := range c.Targets {
			expect(t, 200, follower, "PUT", object(c.Proxies[0], owned(t, c, target)), strings.NewReader(content))
		}
	}
	write("old")
	flags := func(want uint32) {
		t.Helper()
		if names, got, header := listed(t, c); len(names) != 2 || got != want || header.Get("Ais-Stale") != "" {
			t.Errorf("%q, flags %d, want %d, marked %q", names, got, want, header.Get("Ais-Stale"))
		}
	}
	flags(0)
	mountpath(t, c, 200, "attach-mp", t.TempDir(), "?dntres=true")
	flags(1)
	write("new") // where they belong now
	disks := c.Targets[0].Disks
	if err := disks.Settle(disks.Available()); err != nil {
		t.Fatal(err)
	}
	flags(0)
}
