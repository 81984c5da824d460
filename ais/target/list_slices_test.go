package target_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/ais/aistest"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// pages lists the bucket "b" in pages of a size.
func pages(t *testing.T, c *aistest.Cluster, size int, flags wire.LsoFlags) (names []string, sizes map[string]int64) {
	t.Helper()
	sizes = map[string]int64{}
	for token := ""; ; {
		msg, err := json.Marshal(map[string]any{"action": "list", "value": map[string]any{
			"props": "name,size", "pagesize": size, "continuation_token": token, "flags": fmt.Sprint(uint64(flags)),
		}})
		if err != nil {
			t.Fatal(err)
		}
		res, body := expect(t, 200, follower, "GET", c.Proxies[0].URL()+"/v1/buckets/b", strings.NewReader(string(msg)), "Content-Type: application/json")
		if stale := res.Header.Get("Ais-Stale"); stale != "" {
			t.Errorf("the page is marked %q", stale)
		}
		var page wire.LsoPage
		if err := json.Unmarshal([]byte(body), &page); err != nil {
			t.Fatal(err)
		}
		for i := range page.Entries {
			names = append(names, page.Entries[i].Name)
			sizes[page.Entries[i].Name] = page.Entries[i].Size
		}
		if token = page.ContinuationToken; token == "" {
			return names, sizes
		}
	}
}

// TestListingOfLostOwners: with as many targets gone for ever as there are parity
// slices, every encoded object is listed before repair has made it again, and a deleted one
// is not.
func TestListingOfLostOwners(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{Targets: 6})
	bucket := c.Proxies[0].URL() + "/v1/buckets/b"
	expect(t, 200, follower, "POST", bucket, strings.NewReader(`{"action":"create-bck"}`))
	var all []string
	want := map[string]int64{}
	for i := range 80 {
		name := fmt.Sprintf("dir%d/o%02d", i%5, i)
		if i%5 == 0 {
			name = fmt.Sprintf("o%02d", i)
		}
		all = append(all, name)
		want[name] = int64(7 * i * 10)
		expect(t, 200, follower, "PUT", object(c.Proxies[0], name), strings.NewReader(strings.Repeat("content", i*10)))
	}
	bucketAction(t, c, 200, "PATCH", "set-bprops", `{"ec":{"enabled":true,"data_slices":2,"parity_slices":2,"objsize_limit":1000}}`)
	wantUnderProtected(t, c, c.Targets, "encoded", 0)
	remove := func(from, to int) {
		for _, name := range all[from:to] {
			expect(t, 200, follower, "DELETE", object(c.Proxies[0], name), nil)
			delete(want, name)
		}
		all = slices.Delete(all, from, to)
	}
	check := func(what string) {
		t.Helper()
		sorted, level := slices.Sorted(slices.Values(all)), []string{}
		for _, name := range sorted {
			if dir, _, below := strings.Cut(name, "/"); below {
				name = dir + "/"
			}
			level = append(level, name)
		}
		level = slices.Compact(level)
		for _, size := range []int{0, 7} {
			names, sizes := pages(t, c, size, 0)
			if !slices.Equal(names, sorted) {
				t.Errorf("%s: pages of %d: %d names are listed, want %d: %q", what, size, len(names), len(sorted), names)
			}
			for name, length := range want {
				if sizes[name] != length {
					t.Errorf("%s: %s: %d bytes, want %d", what, name, sizes[name], length)
				}
			}
			if names, _ := pages(t, c, min(size, 3), wire.LsoNoRecursion); !slices.Equal(names, level) {
				t.Errorf("%s: one level: %q, want %q", what, names, level)
			}
		}
	}
	remove(0, 5)
	check("before")
	c.ChangeSmap(t, &meta.SmapPatch{Del: []string{c.Targets[4].ID(), c.Targets[5].ID()}})
	check("two targets are gone")
	for _, name := range all[:20] {
		if res, _ := expect(t, 200, follower, http.MethodHead, object(c.Proxies[0], name), nil); res.ContentLength != want[name] {
			t.Errorf("HEAD %s: %d bytes, want %d", name, res.ContentLength, want[name])
		}
	}
	remove(10, 30)
	check("some were deleted since")
}
