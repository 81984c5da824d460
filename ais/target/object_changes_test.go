package target_test

import (
	"bytes"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aistore-go/aistore/cmn/cksum"
)

// TestCheckLock: 202 while a GET is being sent, to a client that does not read;
// a writer does not wait for it.
func TestCheckLock(t *testing.T) {
	t.Parallel()
	c := cluster(t, 1, `{"durability":"none"}`)
	p := c.Proxies[0]
	state := func(name string) int {
		res, err := follower.Do(mustRequest(t, "POST", object(p, name), `{"action":"check-lock"}`))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		if body, err := io.ReadAll(res.Body); err != nil || len(body) > 0 {
			t.Errorf("%q %v", body, err)
		}
		return res.StatusCode
	}
	content := bytes.Repeat([]byte("0123456789abcdef"), 4<<20) // more than any socket buffers
	expect(t, 200, follower, "PUT", object(p, "o"), bytes.NewReader(content))
	if got := state("o"); got != 200 {
		t.Errorf("at rest: %d", got)
	}
	if got := state("missing"); got != 200 {
		t.Errorf("missing: %d", got)
	}
	res, err := follower.Get(object(p, "o"))
	if err != nil {
		t.Fatal(err)
	}
	if got := state("o"); got != 202 {
		t.Errorf("while it is being sent: %d", got)
	}
	expect(t, 200, follower, "PUT", object(p, "o"), strings.NewReader("new")) // does not wait
	if got := state("o"); got != 202 {
		t.Errorf("while the old one is being sent: %d", got)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil || !bytes.Equal(body, content) {
		t.Errorf("%d bytes, %v", len(body), err)
	}
	_ = res.Body.Close()
	for state("o") != 200 { // the target may still be about to say that it is done
		if t.Context().Err() != nil {
			t.Fatal("never at rest again")
		}
	}
}

// TestChangesBesideReads: what readers see is old or new, whole, whatever is
// done to a name.
func TestChangesBesideReads(t *testing.T) {
	t.Parallel()
	c := cluster(t, 2, `{"durability":"none"}`)
	p := c.Proxies[0]
	contents := map[string]bool{}
	sources := make([]string, 3)
	for i := range sources {
		content := strings.Repeat(string(rune('a'+i)), 100_000*(i+1))
		contents[content] = true
		sources[i] = fmt.Sprint("source", i)
		expect(t, 200, follower, "PUT", object(p, sources[i]), strings.NewReader(content))
	}
	expect(t, 200, follower, "PUT", object(p, sources[0])+"?object_to="+url.QueryEscape("ais/@#/b/o"), nil)
	var done atomic.Bool
	var changes, readers sync.WaitGroup
	for i, source := range sources {
		changes.Go(func() {
			for j := range 15 {
				expect(t, 200, follower, "PUT", object(p, source)+"?object_to="+url.QueryEscape("ais/@#/b/o"), nil)
				spare := fmt.Sprint("spare", i, "-", j)
				expect(t, 200, follower, "PUT", object(p, source)+"?object_to="+url.QueryEscape("ais/@#/b/"+spare), nil)
				expect(t, 200, follower, "POST", object(p, spare), strings.NewReader(`{"action":"rename-obj","name":"o"}`))
				expect(t, 200, follower, "PATCH", object(p, "o"), strings.NewReader(`{"value":{"x":"`+spare+`","y":"`+spare+`"}}`))
			}
		})
	}
	for range 3 {
		readers.Go(func() {
			for !done.Load() {
				res, err := follower.Get(object(p, "o"))
				if err != nil {
					t.Error(err)
					return
				}
				body, err := io.ReadAll(res.Body)
				_ = res.Body.Close()
				custom := map[string]string{}
				for _, line := range res.Header["Ais-Custom-Md"] {
					key, value, _ := strings.Cut(line, "=")
					custom[key] = value
				}
				sum, sumErr := cksum.Of("xxhash2", body)
				if err != nil || res.StatusCode != 200 || !contents[string(body)] || sumErr != nil || sum.Value != res.Header.Get("Ais-Checksum-Value") || custom["x"] != custom["y"] {
					t.Errorf("%s: %d bytes %v %v", res.Status, len(body), custom, err)
				}
			}
		})
	}
	changes.Wait()
	done.Store(true)
	readers.Wait()
}

// TestCallsOnMovedNames: after a change of the targets an object may lie with a
// former owner; whoever owns the name now takes it over before it is changed,
// and nothing older comes back.
func TestCallsOnMovedNames(t *testing.T) {
	t.Parallel()
	u := newUnsettled(t, maintenance)
	p := u.c.Proxies[0]
	for i, name := range [...]string{u.moved[0], u.moved[1], u.moved[2], u.moved[3], u.kept[0], u.kept[1], u.kept[2], u.kept[3]} {
		before, _ := expect(t, 200, follower, "HEAD", object(p, name)+"?props=etag,version,checksum,last-modified", nil)
		switch i % 4 {
		case 0:
			expect(t, 200, follower, "PATCH", object(p, name), strings.NewReader(`{"value":{"k":"v"}}`))
			u.read(name, "old "+name)
			after, _ := expect(t, 200, follower, "HEAD", object(p, name)+"?props=etag,version,checksum,last-modified", nil)
			for _, key := range []string{"Etag", "Ais-Version", "Ais-Checksum-Value", "Last-Modified"} {
				if after.Header.Get(key) != before.Header.Get(key) {
					t.Errorf("%s of %s is %q, was %q", key, name, after.Header.Get(key), before.Header.Get(key))
				}
			}
			if res, _ := expect(t, 200, follower, "HEAD", object(p, name), nil); res.Header.Get("Ais-Custom-Md") != "k=v" {
				t.Errorf("%v", res.Header)
			}
		case 1:
			to := fmt.Sprint("renamed", i)
			expect(t, 200, follower, "POST", object(p, name), strings.NewReader(`{"action":"rename-obj","name":"`+to+`"}`))
			u.read(to, "old "+name)
			u.fails(404, name)
		case 2:
			to := fmt.Sprint("copy", i)
			expect(t, 200, follower, "PUT", object(p, name)+"?object_to="+url.QueryEscape("ais/@#/b/"+to), nil)
			u.read(to, "old "+name)
			u.read(name, "old "+name)
		case 3:
			res, _ := expect(t, 200, follower, "PUT", object(p, name)+"?append_type=append", strings.NewReader(" and new"))
			expect(t, 200, follower, "PUT", object(p, name)+"?append_type=flush&append_handle="+url.QueryEscape(res.Header.Get("Ais-Append-Handle")), nil)
			u.read(name, "old "+name+" and new")
		}
	}
	names, _ := u.list(7)
	for _, name := range []string{u.moved[1], u.kept[1]} {
		if slices.Contains(names, name) {
			t.Errorf("%s is listed", name)
		}
	}
	// A former owner that cannot be asked: nothing is changed on a guess.
	u.c.Metadata.SetDown(u.left.ID(), true)
	name := u.moved[len(u.moved)-1]
	for method, body := range map[string]string{"PATCH": `{"value":{"k":"v"}}`, "POST": `{"action":"rename-obj","name":"guess"}`} {
		res, _ := expect(t, 503, follower, method, object(p, name), strings.NewReader(body))
		if res.Header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", method)
		}
	}
	for _, query := range []string{"?append_type=append", "?object_to=" + url.QueryEscape("ais/@#/b/guess")} {
		expect(t, 503, follower, "PUT", object(p, name)+query, strings.NewReader("x"))
	}
}

// TestCallsOnChunkedObjects: copies and new names hold the whole content, keys
// change in place, and an append begins with all of it.
func TestCallsOnChunkedObjects(t *testing.T) {
	t.Parallel()
	c := cluster(t, 2, `{}`)
	p := c.Proxies[0]
	source := ownedBy(t, c, "b", c.Targets[0], "chunked")
	id := uploadOf(t, object(p, source))
	want := ""
	for i := range 5 {
		part := strings.Repeat(fmt.Sprint("part ", i), 60_000)
		want += part
		expect(t, 200, follower, "PUT", partURL(object(p, source), id, i+1), strings.NewReader(part))
	}
	expect(t, 200, follower, "POST", object(p, source)+"?uploadId="+id, completion(oneTo(5)...))
	whole := func(name string) {
		t.Helper()
		res, body := expect(t, 200, follower, "GET", object(p, name), nil)
		sum, err := cksum.Of(res.Header.Get("Ais-Checksum-Type"), []byte(body))
		if body != want || err != nil || sum.Value != res.Header.Get("Ais-Checksum-Value") {
			t.Errorf("%s: %d bytes of %d, %v, %v", name, len(body), len(want), res.Header, err)
		}
	}
	expect(t, 200, follower, "PATCH", object(p, source), strings.NewReader(`{"value":{"k":"v"}}`))
	whole(source)
	if res, _ := expect(t, 200, follower, "HEAD", object(p, source)+"?props=chunked,custom,version", nil); res.Header.Get("Ais-Chunks-Count") != "5" ||
		res.Header.Get("Ais-Custom-Md") != "k=v" || res.Header.Get("Ais-Version") != "1" {
		t.Errorf("%v", res.Header)
	}
	for i, target := range c.Targets {
		to := ownedBy(t, c, "b", target, fmt.Sprint("copy", i))
		expect(t, 200, follower, "PUT", object(p, source)+"?object_to="+url.QueryEscape("ais/@#/b/"+to), nil)
		whole(to)
		again := ownedBy(t, c, "b", target, fmt.Sprint("moved", i))
		expect(t, 200, follower, "POST", object(p, source), strings.NewReader(`{"action":"rename-obj","name":"`+again+`"}`))
		whole(again)
		expect(t, 404, follower, "GET", object(p, source), nil)
		expect(t, 200, follower, "POST", object(p, again), strings.NewReader(`{"action":"rename-obj","name":"`+source+`"}`))
		whole(source)
		if i == 0 { // it has become one file by that
			id = uploadOf(t, object(p, source))
			expect(t, 200, follower, "PUT", partURL(object(p, source), id, 1), strings.NewReader(want[:100_000]))
			expect(t, 200, follower, "PUT", partURL(object(p, source), id, 2), strings.NewReader(want[100_000:]))
			expect(t, 200, follower, "POST", object(p, source)+"?uploadId="+id, completion(1, 2))
		}
	}
	id = uploadOf(t, object(p, source))
	expect(t, 200, follower, "PUT", partURL(object(p, source), id, 1), strings.NewReader(want[:100_000]))
	expect(t, 200, follower, "PUT", partURL(object(p, source), id, 2), strings.NewReader(want[100_000:]))
	expect(t, 200, follower, "POST", object(p, source)+"?uploadId="+id, completion(1, 2))
	res, _ := expect(t, 200, follower, "PUT", object(p, source)+"?append_type=append", strings.NewReader("more"))
	expect(t, 200, follower, "PUT", object(p, source)+"?append_type=flush&append_handle="+url.QueryEscape(res.Header.Get("Ais-Append-Handle")), nil)
	want += "more"
	whole(source)
	noChunks(t, c)
}

// TestLongVersion: what a client says of the version is part of the record,
// which has its bounds.
func TestLongVersion(t *testing.T) {
	t.Parallel()
	c := cluster(t, 1, `{}`)
	res, body := expect(t, 400, follower, "PUT", object(c.Proxies[0], "o"), strings.NewReader("x"), "Ais-Version: "+strings.Repeat("v", 257))
	if e := message(t, res, body); !strings.Contains(e.Message, "Ais-Version") {
		t.Error(e)
	}
	expect(t, 404, follower, "GET", object(c.Proxies[0], "o"), nil)
}
