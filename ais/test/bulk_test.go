package test

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/deploy/playground"
)

// Operations on many objects, as clients use them. Numbers of spec 13, section 20:
//
//	9  delete of a list, listed afterwards; awaited by status   TestBulkDelete
//	10 dry run of a copy counts and makes nothing               TestBulkCopy
//	11 prepend, prefix, destination made                        TestBulkCopy
//	12 copy onto itself                                         TestBulkCopy
//	13 prefetch and evict of ais:// buckets                     TestBulkDelete; ais/proxy: TestBadBulkRequests
//	24 rename                                                   TestBulkRename
//	27 snaps of a copy on all targets, with their sum           TestBulkCopy

// startBulk starts a job by an action on a bucket and returns its id.
func startBulk(t *testing.T, p *playground.Node, method, path, action, value string) string {
	t.Helper()
	a := must(t, http.StatusOK, method, p.URL()+"/v1/buckets"+path, `{"action":"`+action+`","value":`+value+`}`, "Content-Type", jsonType)
	if len(a.body) < 9 || strings.ContainsAny(a.body, "\"\n ") {
		t.Fatalf("%s: id %q", action, a.body)
	}
	return a.body
}

// jobState is what clients are told of a job.
type jobState struct {
	Err     string `json:"err"`
	EndTime int64  `json:"end_time"`
	Aborted bool   `json:"aborted"`
}

// awaitJob waits as clients do: by the job's state in the cluster.
func (c *cluster) awaitJob(p *playground.Node, id string) (s jobState) {
	c.t.Helper()
	return c.awaitJobWithin(stepTimeout, p, id)
}

// awaitJobWithin is awaitJob for a job that may take so long.
func (c *cluster) awaitJobWithin(limit time.Duration, p *playground.Node, id string) (s jobState) {
	c.t.Helper()
	c.eventuallyWithin(limit, "end of job "+id, func() error {
		a, err := try(client, http.MethodGet, p.URL()+"/v1/cluster?what=status", `{"id":"`+id+`"}`, "Content-Type", jsonType)
		if err != nil || a.status != http.StatusOK {
			return fmt.Errorf("%d %s: %w", a.status, a.body, err)
		}
		if s = decode[jobState](c.t, a.body); s.EndTime == 0 {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
	return s
}

// snaps are what all targets say of a job.
func (c *cluster) snaps(p *playground.Node, id string) map[string][]wire.Snap {
	c.t.Helper()
	a := must(c.t, http.StatusOK, http.MethodGet, p.URL()+"/v1/cluster?what=qryxstats", `{"id":"`+id+`"}`, "Content-Type", jsonType)
	return decode[map[string][]wire.Snap](c.t, a.body)
}

func putMany(t *testing.T, p *playground.Node, bucket, format string, n int, content func(i int) string) (names []string) {
	t.Helper()
	for i := range n {
		name := fmt.Sprintf(format, i)
		must(t, http.StatusOK, http.MethodPut, objectURL(p, bucket, name), content(i))
		names = append(names, name)
	}
	return names
}

func small(i int) string { return fmt.Sprintf("content %d", i) }

func toBucket(name string) string { return "?bck_to=" + url.QueryEscape("ais/@#/"+name+"/") }

func TestBulkDelete(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2, 3)
	p := c.nodes[1]
	createBucket(t, p, "b", "")
	names := putMany(t, p, "b", "d/%03d", 60, small)
	id := startBulk(t, p, http.MethodDelete, "/b", "delete-listrange", `{"objnames":["`+strings.Join(names[:50], `","`)+`"],"template":""}`)
	if s := c.awaitJob(p, id); s.Err != "" || s.Aborted {
		t.Errorf("%+v", s)
	}
	if left := listAll(t, c.proxies(), "b", "d/", 0); !slices.Equal(left, names[50:]) {
		t.Errorf("left: %v", left)
	}
	var objects, bytes int64
	for _, list := range c.snaps(p, id) {
		for _, s := range list {
			objects += s.Stats.LocalObjects
			bytes += s.Stats.LocalBytes
		}
	}
	if objects != 50 || bytes != 10*9+40*10 {
		t.Errorf("counted %d objects, %d bytes", objects, bytes)
	}
	for _, action := range []string{"evict-listrange", "prefetch-listrange"} {
		method := map[string]string{"evict-listrange": http.MethodDelete, "prefetch-listrange": http.MethodPost}[action]
		checkError(t, call(t, method, p.URL()+"/v1/buckets/b", `{"action":"`+action+`","value":{}}`), 400, "expecting remote bucket")
	}
}

func TestBulkCopy(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2, 3)
	p := c.nodes[1]
	createBucket(t, p, "src", "")
	createBucket(t, p, "empty", "")
	putMany(t, p, "src", "a/%02d", 40, small)
	putMany(t, p, "src", "b/%02d", 5, small)

	id := startBulk(t, p, http.MethodPost, "/src"+toBucket("dst"), "copy-bck", `{"dry_run":true,"prefix":"a/"}`)
	c.awaitJob(p, id)
	must(t, http.StatusNotFound, http.MethodHead, p.URL()+"/v1/buckets/dst", "")
	if n := c.copied(p, id); n != 40 {
		t.Errorf("dry run: %d", n)
	}
	id = startBulk(t, p, http.MethodPost, "/src"+toBucket("dst"), "copy-bck", `{"prefix":"a/","prepend":"abc"}`)
	if s := c.awaitJob(p, id); s.Err != "" || s.Aborted {
		t.Errorf("%+v", s)
	}
	if n := c.copied(p, id); n != 40 {
		t.Errorf("copied: %d", n)
	}
	if names := listAll(t, c.proxies(), "dst", "", 0); len(names) != 40 || names[0] != "abca/00" {
		t.Errorf("%v", names)
	}
	if a := must(t, http.StatusOK, http.MethodGet, objectURL(p, "dst", "abca/07"), ""); a.body != small(7) {
		t.Errorf("%q", a.body)
	}
	// A job that finds nothing to do is there, and succeeds.
	id = startBulk(t, p, http.MethodPost, "/empty"+toBucket("dst"), "copy-bck", `{}`)
	if s := c.awaitJob(p, id); s.Err != "" || s.Aborted || c.copied(p, id) != 0 {
		t.Errorf("%+v", s)
	}
	checkError(t, call(t, http.MethodPost, p.URL()+"/v1/buckets/src"+toBucket("src"), `{"action":"copy-bck"}`), 400, "onto itself")
}

// copied adds what all targets have copied; each of them must know the job.
func (c *cluster) copied(p *playground.Node, id string) (n int64) {
	c.t.Helper()
	snaps := c.snaps(p, id)
	if len(snaps) != len(c.targets()) {
		c.t.Errorf("%d targets know the job", len(snaps))
	}
	for _, list := range snaps {
		for _, s := range list {
			n += s.Stats.LocalObjects
		}
	}
	return n
}

func TestBulkSummary(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2, 3)
	p := c.nodes[1]
	createBucket(t, p, "b", "")
	putMany(t, p, "b", "o-%03d", 150, func(int) string { return strings.Repeat("x", 2560) })
	ask := func(n *playground.Node, uuid string) answer {
		return call(t, http.MethodGet, n.URL()+"/v1/buckets/b", `{"action":"summary-bck","value":{"uuid":"`+uuid+`","prefix":"","cached":true,"present":true}}`, "Content-Type", jsonType)
	}
	id := ask(p, "")
	if id.status != http.StatusAccepted {
		t.Fatalf("%d %s", id.status, id.body)
	}
	var sums []wire.BucketSummary
	c.eventually("a summary, by another gateway", func() error {
		a := ask(c.nodes[0], id.body)
		if a.status != http.StatusOK {
			return fmt.Errorf("%d %s", a.status, a.body)
		}
		sums = decode[[]wire.BucketSummary](t, a.body)
		return nil
	})
	if s := sums[0]; len(sums) != 1 || s.Count.Present != 150 || s.Size != (wire.SummarySize{Min: 2560, Avg: 2560, Max: 2560}) || s.Total.Present != 150*2560 || s.UsedPct != 0 {
		t.Errorf("%+v", sums)
	}
}

func TestBulkPromote(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 3)
	p := c.nodes[0]
	createBucket(t, p, "b", "")
	root := filepath.Join(c.Root, "promote")
	for i := range 30 {
		if err := os.WriteFile(filepath.Join(root, fmt.Sprintf("f%02d", i)), []byte(small(i)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a := must(t, http.StatusOK, http.MethodPost, p.URL()+"/v1/objects/b", `{"action":"promote","name":"`+root+`","value":{"obj":"p/","dls":true}}`)
	if s := c.awaitJob(p, a.body); s.Err != "" || s.Aborted {
		t.Errorf("%+v", s)
	}
	if names := listAll(t, c.proxies(), "b", "p/", 0); len(names) != 30 {
		t.Errorf("%v", names)
	}
	if left, err := os.ReadDir(root); err != nil || len(left) != 0 {
		t.Errorf("sources: %v %v", left, err)
	}
	for _, source := range []string{"/etc/hostname", c.Root, root + "/../mp1", c.targets()[0].Dir} {
		checkError(t, call(t, http.MethodPost, p.URL()+"/v1/objects/b", `{"action":"promote","name":"`+source+`"}`), 400, "invalid promote source")
	}
}

func TestBulkRename(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2, 3)
	p := c.nodes[1]
	createBucket(t, p, "old", "")
	createBucket(t, p, "taken", "")
	names := putMany(t, p, "old", "x/%03d", 100, small)
	id := startBulk(t, p, http.MethodPost, "/old"+toBucket("new"), "move-bck", "null")
	must(t, http.StatusOK, http.MethodHead, p.URL()+"/v1/buckets/new", "")
	if s := c.awaitJob(p, id); s.Err != "" || s.Aborted {
		t.Fatalf("%+v", s)
	}
	must(t, http.StatusNotFound, http.MethodHead, p.URL()+"/v1/buckets/old", "")
	if got := listAll(t, c.proxies(), "new", "", 0); !slices.Equal(got, names) {
		t.Errorf("%d names", len(got))
	}
	checkError(t, call(t, http.MethodPost, p.URL()+"/v1/buckets/new"+toBucket("taken"), `{"action":"move-bck"}`), 400, "already exists")
}

// TestKillATargetDuringARename: the old bucket is as it was, can be written to
// again, and the new one is gone; or the rename had ended before.
func TestKillATargetDuringARename(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2, 3)
	p := c.nodes[1]
	createBucket(t, p, "old", "")
	big := strings.Repeat("0123456789abcdef", 16<<10) // 256 KiB
	names := putMany(t, p, "old", "x/%03d", 200, func(i int) string { return fmt.Sprint(i) + big })
	id := startBulk(t, p, http.MethodPost, "/old"+toBucket("new"), "move-bck", "null")
	checkError(t, call(t, http.MethodDelete, objectURL(p, "old", names[0]), ""), 409, "being renamed")
	victim := c.targets()[1]
	if err := victim.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	c.waitStopped(victim)
	c.start(victim)
	c.waitReady(victim)
	s := c.awaitJob(p, id)
	bucket, gone := "old", "new"
	if !s.Aborted && s.Err == "" {
		bucket, gone = "new", "old"
	}
	t.Logf("killed in the middle: %+v; the objects are in %s", s, bucket)
	c.eventually("one of the buckets goes", func() error {
		if a := call(t, http.MethodHead, p.URL()+"/v1/buckets/"+gone, ""); a.status != http.StatusNotFound {
			return fmt.Errorf("%s: %d", gone, a.status)
		}
		return nil
	})
	for i, name := range names {
		c.eventually("content of "+name, func() error {
			a, err := try(client, http.MethodGet, objectURL(p, bucket, name), "")
			if err != nil || a.status == http.StatusServiceUnavailable {
				return fmt.Errorf("%d: %w", a.status, err)
			}
			if a.status != http.StatusOK || a.body != fmt.Sprint(i)+big {
				t.Fatalf("%s: %d, %d bytes", name, a.status, len(a.body))
			}
			return nil
		})
	}
	must(t, http.StatusOK, http.MethodPut, objectURL(p, bucket, "again"), "x")
}
