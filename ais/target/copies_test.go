package target_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aistore-go/aistore/ais/aistest"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
)

// bucketAction does an action on the bucket "b" and returns the answer's text.
func bucketAction(t *testing.T, c *aistest.Cluster, status int, method, action, value string) string {
	t.Helper()
	_, text := expect(t, status, follower, method, c.Proxies[0].URL()+"/v1/buckets/b", strings.NewReader(fmt.Sprintf(`{"action":%q,"value":%s}`, action, value)))
	return text
}

// props are the properties of the bucket "b".
func props(t *testing.T, c *aistest.Cluster) *meta.Bprops {
	t.Helper()
	p, ok := c.Metadata.View().BMD.Get(wire.Bck{Name: "b", Provider: wire.ProviderAIS})
	if !ok {
		t.Fatal("the bucket is gone")
	}
	return p
}

func copiesOf(t *testing.T, c *aistest.Cluster, name string) string {
	t.Helper()
	res, _ := expect(t, 200, follower, "HEAD", object(c.Proxies[0], name), nil)
	return res.Header.Get(wire.HeaderObjMirrorCopies)
}

// TestNumberOfCopies: new objects of a mirrored bucket get copies by themselves,
// existing ones by the job that a change of the properties starts.
func TestNumberOfCopies(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{Targets: 2, Mountpaths: 3})
	expect(t, 200, follower, "POST", c.Proxies[0].URL()+"/v1/buckets/b", strings.NewReader(`{"action":"create-bck"}`))
	const count = 20
	put := func(i int) {
		expect(t, 200, follower, "PUT", object(c.Proxies[0], fmt.Sprintf("o%02d", i)), strings.NewReader("content"))
	}
	for i := range count {
		put(i)
	}
	all := func(want string, n int) {
		t.Helper()
		eventually(t, want+" copies of each object", func() bool {
			for i := range n {
				if copiesOf(t, c, fmt.Sprintf("o%02d", i)) != want {
					return false
				}
			}
			return true
		})
	}
	all("1", count)
	if id := bucketAction(t, c, 200, "PATCH", "set-bprops", `{"mirror":{"enabled":true}}`); len(id) < 9 || strings.ContainsAny(id, " \n\"") {
		t.Errorf("the answer is %q and no id", id)
	}
	all("2", count)
	if text := bucketAction(t, c, 200, "PATCH", "set-bprops", `{"checksum":{"validate_warm_get":true}}`); text != "" {
		t.Errorf("what changes no copies is answered with %q", text)
	}
	for i := count; i < 2*count; i++ {
		put(i)
	}
	all("2", 2*count)
	for _, value := range []string{`3`, `"1"`, `2`} {
		want := strings.Trim(value, `"`)
		eventually(t, "the job before has ended", func() bool {
			res, err := http.Post(c.Proxies[0].URL()+"/v1/buckets/b", "application/json", strings.NewReader(`{"action":"make-n-copies","value":`+value+`}`))
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			return res.StatusCode == 200
		})
		all(want, 2*count)
		entries, err := c.Targets[0].Store.List(t.Context(), wire.Bck{Name: "b", Provider: wire.ProviderAIS}, props(t, c), core.ListOptions{Props: core.ListCopies})
		for i := range entries {
			if fmt.Sprint(entries[i].Attrs.Copies) != want {
				t.Errorf("%s: %d copies are listed", entries[i].Name, entries[i].Attrs.Copies)
			}
		}
		if err != nil {
			t.Error(err)
		}
	}
	// Bad numbers are refused, whatever else goes on; but a number that is too large
	// for the targets only when they are asked.
	refused := func(method, action, value, text string) {
		t.Helper()
		got := ""
		eventually(t, value+" is refused with "+text, func() bool {
			got = bucketAction(t, c, 400, method, action, value)
			return !strings.Contains(got, "currently running")
		})
		if !strings.Contains(got, text) {
			t.Errorf("%s: %s", value, got)
		}
	}
	for value, text := range map[string]string{
		`0`: "expecting 1 to 16", `17`: "expecting 1 to 16", `4`: "number of copies (4) exceeds the number of mountpaths (3)",
		`"x"`: "expecting a number from 1 to 16", `{}`: "expecting a number",
	} {
		refused("POST", "make-n-copies", value, text)
	}
	refused("PATCH", "set-bprops", `{"mirror":{"enabled":true,"copies":5}}`, "number of copies (5) exceeds the number of mountpaths (3)")
	if got := copiesOf(t, c, "o00"); got != "2" {
		t.Errorf("a refused change has changed something: %s copies", got)
	}
}

// TestMountpathLeavesWhenItsObjectsHaveMoved: nobody who reads or lists sees anything of it;
// a mirrored bucket has as many copies as there are mountpaths for, down to one and up again.
func TestMountpathLeavesWhenItsObjectsHaveMoved(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		props string
		files int // of each object, where there are mountpaths enough
	}{
		"plain":    {`{}`, 1},
		"mirrored": {`{"mirror":{"enabled":true,"copies":2}}`, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mountpathsComeAndGo(t, tc.props, tc.files)
		})
	}
}

func mountpathsComeAndGo(t *testing.T, bucketProps string, files int) {
	c := aistest.New(t, aistest.Options{Mountpaths: 3})
	bucket := c.Proxies[0].URL() + "/v1/buckets/b"
	expect(t, 200, follower, "POST", bucket, strings.NewReader(`{"action":"create-bck","value":`+bucketProps+`}`))
	const count = 60
	name := func(i int) string { return fmt.Sprintf("o%02d", i) }
	for i := range count {
		expect(t, 200, follower, "PUT", object(c.Proxies[0], name(i)), strings.NewReader(fmt.Sprint("content ", i)))
	}
	target := c.Targets[0]
	have := func(files int) {
		t.Helper()
		eventually(t, fmt.Sprintf("%d files of each object", files), func() bool {
			for i := range count {
				all, err := target.Store.Belongings(t.Context(), core.Key{Bck: wire.Bck{Name: "b", Provider: wire.ProviderAIS}, Props: props(t, c), Name: name(i)})
				if err != nil {
					t.Fatal(err)
				}
				if len(all) != files {
					return false
				}
			}
			return true
		})
	}
	have(files)
	var stop atomic.Bool
	var users sync.WaitGroup
	for g := range 2 {
		users.Go(func() {
			for i := g; !stop.Load(); i = (i + 1) % count {
				if _, text := expect(t, 200, follower, "GET", object(c.Proxies[0], name(i)), nil); text != fmt.Sprint("content ", i) {
					t.Errorf("%s: %q", name(i), text)
					return
				}
			}
		})
	}
	users.Go(func() {
		for !stop.Load() {
			_, text := expect(t, 200, follower, "GET", bucket, strings.NewReader(`{"action":"list","value":{"props":"name,atime,copies"}}`), "Content-Type: application/json")
			var page struct {
				Entries []struct {
					Name  string `json:"name"`
					Atime string `json:"atime"`
				} `json:"entries"`
			}
			if err := json.Unmarshal([]byte(text), &page); err != nil {
				t.Error(err)
				return
			}
			for i, e := range page.Entries {
				if i >= count || e.Name != name(i) || e.Atime == "" {
					t.Errorf("entry %d of %d is %+v", i, len(page.Entries), e)
					return
				}
			}
			if len(page.Entries) != count {
				t.Errorf("%d names are listed", len(page.Entries))
			}
		}
	})
	lists := func(available, waiting, disabled int) func() bool {
		return func() bool {
			l := target.Disks.Lists()
			return len(l.Available) == available && len(l.WaitingDD) == waiting && len(l.Disabled) == disabled && !target.Disks.Available().Unarranged
		}
	}
	for _, path := range target.Paths[:2] {
		mountpath(t, c, 200, "disable-mp", path, "")
	}
	eventually(t, "both are disabled", lists(1, 0, 2))
	have(1)
	mountpath(t, c, 200, "enable-mp", target.Paths[0], "")
	eventually(t, "objects have moved to it", lists(2, 0, 1))
	have(files)
	mountpath(t, c, 200, "detach-mp", target.Paths[1], "")
	mountpath(t, c, 200, "attach-mp", target.Paths[1], "")
	eventually(t, "and to the other", lists(3, 0, 0))
	mountpath(t, c, 200, "detach-mp", target.Paths[2], "")
	eventually(t, "the third is gone", lists(2, 0, 0))
	have(files)
	stop.Store(true)
	users.Wait()
}

// TestResilverIsTriedAgain: a mountpath that could not leave, because of an object that
// could not be moved, leaves by itself when that is not in the way any more.
func TestResilverIsTriedAgain(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{Mountpaths: 2})
	expect(t, 200, follower, "POST", c.Proxies[0].URL()+"/v1/buckets/b", strings.NewReader(`{"action":"create-bck"}`))
	target := c.Targets[0]
	damaged := ""
	for i := 0; damaged == ""; i++ {
		name := fmt.Sprintf("o%02d", i)
		expect(t, 200, follower, "PUT", object(c.Proxies[0], name), strings.NewReader("content"))
		if _, err := os.Stat(target.Paths[0] + "/@ais/b/%ob/" + name); err == nil {
			damaged = name
		}
	}
	if err := os.WriteFile(target.Paths[0]+"/@ais/b/%ob/"+damaged, []byte("CONTENT"), 0o644); err != nil {
		t.Fatal(err)
	}
	mountpath(t, c, 200, "detach-mp", target.Paths[0], "")
	failed := func(text string) bool {
		return strings.Contains(text, damaged) && strings.Contains(text, "cannot be moved")
	}
	eventually(t, "the resilver has failed", func() bool {
		_, text := expect(t, 200, follower, "GET", c.Proxies[0].URL()+"/v1/cluster?what=qryxstats", strings.NewReader(`{"kind":"resilver"}`))
		return failed(text)
	})
	if l := target.Disks.Lists(); len(l.WaitingDD) != 1 {
		t.Fatalf("%+v", l)
	}
	expect(t, 200, follower, "DELETE", object(c.Proxies[0], damaged), nil)
	eventually(t, "the mountpath has left", func() bool {
		l := target.Disks.Lists()
		return len(l.Available) == 1 && len(l.WaitingDD) == 0 && !target.Disks.Available().Unarranged
	})
}

// TestRefusedCopies: a bucket that is to have more copies than a target has
// mountpaths is not made, whoever says so; and one change does not start two jobs on all
// objects.
func TestRefusedCopies(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{Targets: 3, Mountpaths: 2})
	const tooMany = "number of copies (3) exceeds the number of mountpaths (2)"
	wants := func(status int, method, path, body, text string) {
		t.Helper()
		if _, got := expect(t, status, follower, method, c.Proxies[0].URL()+path, strings.NewReader(body)); !strings.Contains(got, text) {
			t.Errorf("%s: %s", body, got)
		}
	}
	wants(400, "POST", "/v1/buckets/b", `{"action":"create-bck","value":{"mirror":{"enabled":true,"copies":3}}}`, tooMany)
	wants(200, "PUT", "/v1/cluster", `{"action":"set-config","value":{"mirror":{"enabled":true,"copies":3}}}`, "")
	wants(400, "POST", "/v1/buckets/b", `{"action":"create-bck"}`, tooMany)
	wants(200, "POST", "/v1/buckets/b", `{"action":"create-bck","value":{"mirror":{"enabled":false}}}`, "")
	both := `{"action":"set-bprops","value":{"mirror":{"enabled":true,"copies":2},"ec":{"enabled":true,"data_slices":1,"parity_slices":1}}}`
	wants(409, "PATCH", "/v1/buckets/b", both, "cannot start both")
	if p := props(t, c); p.Mirror.Enabled || p.EC.Enabled {
		t.Errorf("a refused change has changed something: %+v %+v", p.Mirror, p.EC)
	}
	wants(200, "PATCH", "/v1/buckets/b", `{"action":"set-bprops","value":{"mirror":{"enabled":true,"copies":2}}}`, "")
}

// TestDetachAfterContentIsRemoved: a mountpath whose directory is gone, record and all,
// can be detached; everything is readable from copies, and has as many as before in the end.
func TestDetachAfterContentIsRemoved(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{Mountpaths: 3})
	expect(t, 200, follower, "POST", c.Proxies[0].URL()+"/v1/buckets/b", strings.NewReader(`{"action":"create-bck","value":{"mirror":{"enabled":true,"copies":2}}}`))
	const count = 40
	name := func(i int) string { return fmt.Sprintf("o%02d", i) }
	for i := range count {
		expect(t, 200, follower, "PUT", object(c.Proxies[0], name(i)), strings.NewReader(fmt.Sprint("content ", i)))
	}
	target := c.Targets[0]
	mirrored := func() bool {
		for i := range count {
			if copiesOf(t, c, name(i)) != "2" {
				return false
			}
		}
		return target.Store.PendingStats(core.WorkCopies).Count == 0
	}
	eventually(t, "all have copies", mirrored)
	gone := target.Paths[1]
	if err := os.RemoveAll(gone); err != nil {
		t.Fatal(err)
	}
	read := func() {
		t.Helper()
		for i := range count {
			if _, text := expect(t, 200, follower, "GET", object(c.Proxies[0], name(i)), nil); text != fmt.Sprint("content ", i) {
				t.Errorf("%s: %q", name(i), text)
			}
		}
	}
	read()
	mountpath(t, c, 200, "detach-mp", gone, "")
	read()
	eventually(t, "the mountpath has left", func() bool {
		l := target.Disks.Lists()
		return len(l.Available) == 2 && len(l.WaitingDD) == 0 && !target.Disks.Available().Unarranged
	})
	eventually(t, "all have copies again", mirrored)
	read()
	for i := range count {
		all, err := target.Store.Belongings(t.Context(), core.Key{Bck: wire.Bck{Name: "b", Provider: wire.ProviderAIS}, Props: props(t, c), Name: name(i)})
		if err != nil || len(all) != 2 {
			t.Errorf("%s has %d files, %v", name(i), len(all), err)
		}
	}
}
