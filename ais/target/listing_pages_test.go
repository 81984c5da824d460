package target_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/aistore-go/aistore/ais/aistest"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/fs"
)

// Flags of a list request.
const (
	listMissing     = 2
	listNameOnly    = 16
	listNoRecursion = 2048
)

// statusBits are those of an entry's flags that say where an object lies.
const statusBits = 1<<5 - 1

// pageOf asks a gateway for one page of "b".
func pageOf(t *testing.T, gateway *aistest.Node, flags int, prefix, token string, size int) (page wire.LsoPage) {
	t.Helper()
	msg := fmt.Sprintf(`{"action":"list","value":{"props":"name,size,status","flags":"%d","prefix":%q,"continuation_token":%q,"pagesize":%d}}`,
		flags, prefix, token, size)
	_, body := expect(t, 200, follower, "GET", gateway.URL()+"/v1/buckets/b", strings.NewReader(msg), "Content-Type: application/json")
	if err := json.Unmarshal([]byte(body), &page); err != nil {
		t.Fatal(err)
	}
	return page
}

// statuses are the entries of a page of "b": names with a colon and the status.
func statuses(t *testing.T, c *aistest.Cluster, flags int, prefix string) (entries []string) {
	t.Helper()
	page := pageOf(t, c.Proxies[0], flags, prefix, "", 0)
	for i := range page.Entries {
		e := &page.Entries[i]
		entries = append(entries, e.Name+":"+strconv.Itoa(int(e.Flags)&statusBits))
	}
	return entries
}

// TestObjectsOfAnotherTargetAreListedWithTheirStatus: MISSING tells which
// objects lie with another target than their owner.
func TestObjectsOfAnotherTargetAreListedWithTheirStatus(t *testing.T) {
	t.Parallel()
	u := newUnsettled(t, maintenance)
	u.put(u.moved[0], "new") // where it belongs now
	want := func(misplaced int) (entries []string) {
		for _, name := range u.kept {
			entries = append(entries, name+":0")
		}
		for i, name := range u.moved {
			entries = append(entries, name+":"+strconv.Itoa(min(i, 1)*misplaced))
		}
		slices.Sort(entries)
		return entries
	}
	for _, tc := range []struct {
		name   string
		flags  int
		prefix string
		want   []string
	}{
		{"with the flag", listMissing, "", want(1)},
		{"one level", listMissing | listNoRecursion, "dir/", want(1)},
		{"the level above", listMissing | listNoRecursion, "", []string{"dir/:0"}},
		{"names only", listMissing | listNameOnly, "", want(0)},
		{"without the flag", 0, "", want(0)},
	} {
		if got := statuses(t, u.c, tc.flags, tc.prefix); !slices.Equal(slices.Sorted(slices.Values(got)), tc.want) {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}

// TestObjectsOfAnotherMountpathAreListedWithTheirStatus is the same for disks
// of one target, and for an older generation that lies beside the object.
func TestObjectsOfAnotherMountpathAreListedWithTheirStatus(t *testing.T) {
	t.Parallel()
	c := cluster(t, 1, `{"durability":"none"}`)
	const count = 40
	put := func(i int) {
		expect(t, 200, follower, "PUT", object(c.Proxies[0], fmt.Sprintf("o%02d", i)), strings.NewReader("content"))
	}
	for i := range count {
		put(i)
	}
	mountpath(t, c, 200, "attach-mp", t.TempDir(), "?dntres=true")
	misplaced := func() (n int) {
		t.Helper()
		entries := statuses(t, c, listMissing, "")
		for i, entry := range entries {
			switch entry {
			case fmt.Sprintf("o%02d:0", i):
			case fmt.Sprintf("o%02d:2", i):
				n++
			default:
				t.Fatalf("entry %d of %d is %q", i, len(entries), entry)
			}
		}
		if len(entries) != count {
			t.Fatalf("%d entries of %d objects", len(entries), count)
		}
		return n
	}
	if n := misplaced(); n == 0 || n == count {
		t.Errorf("%d of %d objects belong to another mountpath", n, count)
	}
	for i := range count {
		put(i)
	}
	if n := misplaced(); n != 0 {
		t.Errorf("%d of %d objects are on another mountpath after they were written anew", n, count)
	}
}

// TestListFlagsForRemoteBuckets: flags that say something of remote buckets
// change nothing in a listing of an ais:// bucket.
func TestListFlagsForRemoteBuckets(t *testing.T) {
	t.Parallel()
	c := cluster(t, 2, `{"durability":"none"}`)
	for _, name := range []string{"a", "d/b", "d/c"} {
		expect(t, 200, follower, "PUT", object(c.Proxies[0], name), strings.NewReader("content"))
	}
	for _, flags := range []int{1, 4, 64, 128, 256, 1024, 8192} {
		if got := statuses(t, c, flags, ""); !slices.Equal(got, []string{"a:0", "d/b:0", "d/c:0"}) {
			t.Errorf("flags %d: %q", flags, got)
		}
		if got := statuses(t, c, flags|listNoRecursion, ""); !slices.Equal(got, []string{"a:0", "d/:0"}) {
			t.Errorf("flags %d, one level: %q", flags, got)
		}
	}
}

// change does one request while owners may change.
func change(t *testing.T, method, address, content string) {
	req, err := http.NewRequest(method, address, strings.NewReader(content))
	if err != nil {
		t.Error(err)
		return
	}
	res, err := follower.Do(req)
	if err != nil {
		t.Error(err)
		return
	}
	_ = res.Body.Close() // nothing of it is wanted
	switch res.StatusCode {
	case http.StatusOK, http.StatusNotFound, http.StatusServiceUnavailable:
	default:
		t.Errorf("%s %s: status %d", method, address, res.StatusCode)
	}
}

// TestPagesDuringWritesAndChanges: an object that exists throughout is listed
// exactly once, whichever gateway is asked for a page, whatever is written
// meanwhile, and whatever happens between two pages.
func TestPagesDuringWritesAndChanges(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{Proxies: 2, Targets: 3})
	expect(t, 200, follower, "POST", c.Proxies[0].URL()+"/v1/buckets/b", strings.NewReader(`{"action":"create-bck","value":{"durability":"none"}}`))
	var lasting []string
	for i := range 60 {
		lasting = append(lasting, fmt.Sprintf("%02d/lasting", i))
		expect(t, 200, follower, "PUT", object(c.Proxies[0], lasting[i]), strings.NewReader("content"))
	}
	end := make(chan struct{})
	var writers sync.WaitGroup
	for w := range 2 {
		writers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-end:
					return
				default:
				}
				name := fmt.Sprintf("%02d/%d", i%60, w)
				change(t, "PUT", object(c.Proxies[w], name), "x")
				change(t, "PUT", object(c.Proxies[w], lasting[(i*7+w)%60]), "overwritten")
				change(t, "DELETE", object(c.Proxies[w], name), "")
			}
		})
	}
	defer writers.Wait()
	defer close(end)
	list := func(what string, between func()) {
		t.Helper()
		var got []string
		token := ""
		for i := 0; ; i++ {
			page := pageOf(t, c.Proxies[i%2], 0, "", token, 7)
			for j := range page.Entries {
				if name := page.Entries[j].Name; strings.HasSuffix(name, "lasting") {
					got = append(got, name)
				}
			}
			if token = page.ContinuationToken; token == "" {
				break
			}
			if i == 3 {
				between()
			}
		}
		if !slices.Equal(got, lasting) {
			t.Errorf("%s: %d lasting objects are listed, want each of %d once: %q", what, len(got), len(lasting), got)
		}
	}
	for range 10 {
		list("writes", func() {})
	}
	attached := t.TempDir()
	list("a mountpath comes", func() { mountpath(t, c, 200, "attach-mp", attached, "?dntres=true") })
	list("a mountpath begins to leave", func() {
		if err := c.Targets[1].Disks.BeginRemoval(c.Targets[1].Paths[0], fs.Disable); err != nil {
			t.Error(err)
		}
	})
	list("a target leaves the placement", func() { c.ChangeSmap(t, maintenance(c.Targets[2].Snode())) })
	list("and afterwards", func() {})
}

// TestPagesGoOnAfterTheLongestNames: the token of a name is up to three times
// as long as the name, and a gateway takes what it has given.
func TestPagesGoOnAfterTheLongestNames(t *testing.T) {
	t.Parallel()
	c := cluster(t, 2, `{"durability":"none"}`)
	var want []string
	for _, last := range []string{"%FA", "%FB", "%FC"} {
		name := strings.Repeat("%FA", 4095) + last
		expect(t, 200, follower, "PUT", c.Proxies[0].URL()+"/v1/objects/b/"+name, strings.NewReader("x"))
		want = append(want, "~x/"+name)
	}
	token := ""
	for i := range want {
		page := pageOf(t, c.Proxies[0], listNameOnly, "", token, 1)
		if token = page.ContinuationToken; len(page.Entries) != 1 || token != want[i] {
			t.Fatalf("page %d: %d entries, token of %d bytes", i, len(page.Entries), len(token))
		}
	}
	if page := pageOf(t, c.Proxies[0], listNameOnly, "", token, 1); len(page.Entries) != 0 || page.ContinuationToken != "" {
		t.Errorf("after the last: %d entries", len(page.Entries))
	}
}
