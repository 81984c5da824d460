package test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// TestListingNeverMissesAndNeverRepeats lists names that trap walks by
// directory, at many page sizes, through all gateways in turn.
func TestListingNeverMissesAndNeverRepeats(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, 3)
	createBucket(t, c.nodes[0], "b", `{"durability":"none"}`)
	random := rand.New(rand.NewPCG(1, 2))
	set := map[string]bool{"a": true, "a/b": true, "a-b": true, "a.b": true, "a/b/c": true, "a/b-c": true, strings.Repeat("long/", 240) + "x": true, strings.Repeat("y", 300): true}
	letters := []string{"a", "b", "-", ".x", "/", "0", "~", "é", "A"}
	for len(set) < 400 {
		var name strings.Builder
		for range 1 + random.IntN(6) {
			name.WriteString(letters[random.IntN(len(letters))])
		}
		n := strings.Trim(name.String(), "/")
		if n != "" && !strings.Contains(n, "//") && !strings.HasPrefix(n, "~/") {
			set[n] = true
		}
	}
	var want []string
	for name := range set {
		want = append(want, name)
	}
	slices.Sort(want)
	for i, name := range want {
		must(t, http.StatusOK, http.MethodPut, objectURL(c.proxies()[i%3], "b", strings.ReplaceAll(name, "~", "%7E")), "x")
	}
	for _, size := range []int{0, 1, 2, 3, 7, 50, 399, len(want), len(want) + 1, 5000} {
		if size == 1 && testing.Short() {
			continue
		}
		if got := listAll(t, c.proxies(), "b", "", size); !slices.Equal(got, want) {
			t.Errorf("page size %d: %s", size, firstDifference(got, want))
		}
	}
	for _, prefix := range []string{"a", "a/", "a/b", "a-", "long/", "nothing", "é"} {
		var below []string
		for _, name := range want {
			if strings.HasPrefix(name, prefix) {
				below = append(below, name)
			}
		}
		if got := listAll(t, c.proxies(), "b", prefix, 3); !slices.Equal(got, below) {
			t.Errorf("prefix %q: %s", prefix, firstDifference(got, below))
		}
	}
}

func TestListingWithoutRecursion(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 3)
	createBucket(t, c.nodes[0], "b", "")
	for _, name := range []string{"img001", "vid001", "img003", "img-test/obj1", "img-test/vid1", "img-test/pics/obj01", "img-test/pics/vid01"} {
		must(t, http.StatusOK, http.MethodPut, objectURL(c.nodes[0], "b", name), "x")
	}
	for prefix, want := range map[string][]string{
		"":              {"img-test/", "img001", "img003", "vid001"},
		"img-test":      {"img-test/obj1", "img-test/pics/", "img-test/vid1"},
		"img-test/":     {"img-test/obj1", "img-test/pics/", "img-test/vid1"},
		"img-test/pics": {"img-test/pics/obj01", "img-test/pics/vid01"},
		"img0":          {"img001", "img003"},
		"img001":        {"img001"},
	} {
		for _, size := range []int{0, 1, 2} {
			var got []string
			message := map[string]any{"prefix": prefix, "pagesize": size, "flags": "2048", "props": "name,size"}
			for {
				page := listPage(t, c.nodes[0], "b", message)
				for _, e := range page.Entries {
					got = append(got, e.Name)
					if strings.HasSuffix(e.Name, "/") != (e.Flags == 256) {
						t.Errorf("%s has flags %d", e.Name, e.Flags)
					}
				}
				if page.Token == "" {
					break
				}
				message["uuid"], message["continuation_token"] = page.UUID, page.Token
			}
			if !slices.Equal(got, want) {
				t.Errorf("prefix %q, page size %d: %v, want %v", prefix, size, got, want)
			}
		}
	}
}

// TestTokensCanBeReplayed: sessions are the server's own matter.
func TestTokensCanBeReplayed(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, 2)
	createBucket(t, c.nodes[0], "b", "")
	for i := range 20 {
		must(t, http.StatusOK, http.MethodPut, objectURL(c.nodes[0], "b", fmt.Sprintf("%02d", i)), "x")
	}
	first := listPage(t, c.nodes[0], "b", map[string]any{"pagesize": 5})
	if len(first.Entries) != 5 || first.Token != "04" || first.UUID == "" {
		t.Fatalf("first page: %+v", first)
	}
	for _, uuid := range []string{first.UUID, "", "unknownUUID"} {
		for turn := range 3 {
			page := listPage(t, c.proxies()[turn], "b", map[string]any{"pagesize": 5, "uuid": uuid, "continuation_token": "09"})
			if len(page.Entries) != 5 || page.Entries[0].Name != "10" || page.Token != "14" {
				t.Errorf("page after 09 with UUID %q: %+v", uuid, page)
			}
		}
	}
	last := listPage(t, c.nodes[1], "b", map[string]any{"pagesize": 20})
	if len(last.Entries) != 20 || last.Token != "19" {
		t.Fatalf("an exactly full page must carry a token: %q", last.Token)
	}
	if empty := listPage(t, c.nodes[1], "b", map[string]any{"pagesize": 20, "uuid": last.UUID, "continuation_token": last.Token}); len(empty.Entries) != 0 || empty.Token != "" {
		t.Errorf("after the last page: %+v", empty)
	}
	after := listPage(t, c.nodes[2], "b", map[string]any{"start_after": "15"})
	if len(after.Entries) != 4 || after.Entries[0].Name != "16" {
		t.Errorf("start_after: %+v", after)
	}
}

func firstDifference(got, want []string) string {
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return fmt.Sprintf("entry %d is %q, want %q (%d names, want %d)", i, got[i], want[i], len(got), len(want))
		}
	}
	return fmt.Sprintf("%d names, want %d", len(got), len(want))
}
