package test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/deploy/playground"
)

// killedJobs is a cluster in which a target dies while jobs on many objects run.
type killedJobs struct {
	*cluster
	p       *playground.Node
	victim  *playground.Node
	id      string // the victim's
	root    string // files that are promoted
	summary string // id
	jobs    map[string]string
	names   []string
}

// killedObjects is how many objects each of the buckets has.
const killedObjects = 120

// body is the content of an object, 64 KiB and a little more.
func (k *killedJobs) body(i int) string {
	return fmt.Sprintf("%06d", i) + strings.Repeat("0123456789abcdef", 4<<10)
}

// TestKilledTargetAndBulkJobs: a target is killed with SIGKILL in the midst of a copy
// of a bucket, of a copy, a deletion and a promotion of objects, of a rechunk and of
// a summary; it comes back at once, or when they have ended. Each job ends, and says
// what is wrong; nothing is lost and nothing is left behind; and the same again
// does all of it. (Renames: TestKillATargetDuringARename.)
func TestKilledTargetAndBulkJobs(t *testing.T) {
	t.Parallel()
	for name, back := range map[string]bool{"and comes back": true, "and comes back when they have ended": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := &killedJobs{cluster: newCluster(t, 2, 3), jobs: map[string]string{}}
			k.Config["periodic"] = map[string]any{"notif_time": "10s"}
			k.up()
			k.p, k.victim = k.nodes[1], k.targets()[1]
			k.root = filepath.Join(k.Root, "promote")
			k.id = k.nodeID(k.victim)
			k.fill()
			k.begin()
			k.kill()
			if back {
				k.start(k.victim)
				k.waitReady()
			}
			ended := map[string]jobState{}
			for job, id := range k.jobs {
				ended[job] = k.awaitJob(k.p, id)
				t.Logf("%s: %+v", job, ended[job])
			}
			k.endOfSummary()
			if !back {
				k.start(k.victim)
				k.waitReady()
			}
			k.checkEnds(ended)
			k.again()
			k.nothingLeft()
		})
	}
}

func (k *killedJobs) kill() {
	k.t.Helper()
	if err := k.victim.Signal(syscall.SIGKILL); err != nil {
		k.t.Fatal(err)
	}
	k.waitStopped(k.victim)
}

// fill makes the buckets and the files.
func (k *killedJobs) fill() {
	k.t.Helper()
	for i := range killedObjects {
		k.names = append(k.names, fmt.Sprintf("d/%03d", i))
	}
	for _, bucket := range []string{"whole", "some", "doomed", "chunks", "promoted"} {
		createBucket(k.t, k.p, bucket, "")
	}
	var group errgroup.Group
	group.SetLimit(8)
	for _, bucket := range []string{"whole", "some", "doomed", "chunks"} {
		for i, name := range k.names {
			group.Go(func() error {
				a, err := try(client, http.MethodPut, objectURL(k.p, bucket, name), k.body(i))
				if err == nil && a.status != http.StatusOK {
					err = fmt.Errorf("PUT %s/%s: %d %s", bucket, name, a.status, a.body)
				}
				return err
			})
		}
	}
	if err := group.Wait(); err != nil {
		k.t.Fatal(err)
	}
	for i := range killedObjects {
		if err := os.WriteFile(filepath.Join(k.root, fmt.Sprintf("%03d", i)), []byte(k.body(i)), 0o600); err != nil {
			k.t.Fatal(err)
		}
	}
}

const (
	rechunkValue = `{"objsize-limit":1,"chunk-size":8192}`
	someValue    = `{"template":"d/{000..119}","tobck":{"name":"somecopy","provider":"ais"},"num-workers":1}`
	doomedValue  = `{"template":"d/{000..119}","num-workers":1}`
)

// begin starts the jobs, one object at a time where that can be said.
func (k *killedJobs) begin() {
	k.t.Helper()
	k.jobs["rechunk"] = startBulk(k.t, k.p, http.MethodPost, "/chunks", "rechunk", rechunkValue)
	k.jobs["copy-bck"] = startBulk(k.t, k.p, http.MethodPost, "/whole"+toBucket("wholecopy"), "copy-bck", `{"num-workers":1}`)
	k.jobs["copy-listrange"] = startBulk(k.t, k.p, http.MethodPost, "/some", "copy-listrange", someValue)
	k.jobs["promote"] = k.promote()
	k.jobs["delete-listrange"] = startBulk(k.t, k.p, http.MethodDelete, "/doomed", "delete-listrange", doomedValue)
	a := must(k.t, http.StatusAccepted, http.MethodGet, k.p.URL()+"/v1/buckets", `{"action":"summary-bck","value":{"uuid":"","prefix":""}}`, "Content-Type", jsonType)
	k.summary = a.body
	k.eventually("all have begun", func() error {
		for job, id := range k.jobs {
			begun := false
			for _, list := range k.snaps(k.p, id) {
				for _, s := range list {
					begun = begun || s.Stats.LocalObjects > 0 || !s.EndTime.IsZero()
				}
			}
			if !begun {
				return fmt.Errorf("%s has not", job)
			}
		}
		return nil
	})
}

func (k *killedJobs) promote() string {
	k.t.Helper()
	return must(k.t, http.StatusOK, http.MethodPost, k.p.URL()+"/v1/objects/promoted", `{"action":"promote","name":"`+k.root+`","value":{"obj":"d/"}}`).body
}

// endOfSummary asks for the summary until it has an end, whatever that is.
func (k *killedJobs) endOfSummary() {
	k.t.Helper()
	k.eventually("an end of the summary", func() error {
		a, err := try(client, http.MethodGet, k.p.URL()+"/v1/buckets", `{"action":"summary-bck","value":{"uuid":"`+k.summary+`","prefix":""}}`, "Content-Type", jsonType)
		if err != nil || a.status == http.StatusAccepted || a.status == http.StatusPartialContent {
			return fmt.Errorf("%d: %w", a.status, err)
		}
		k.t.Logf("summary: %d", a.status)
		return nil
	})
}

// checkEnds looks at how jobs have ended, and at what they have left.
func (k *killedJobs) checkEnds(ended map[string]jobState) {
	k.t.Helper()
	for job, s := range ended {
		if (s.Aborted || s.Err != "") && !strings.Contains(s.Err, k.id) {
			k.t.Errorf("%s: the error does not name the target: %+v", job, s)
		}
	}
	if s := ended["rechunk"]; s.Aborted {
		k.t.Errorf("rechunk does not go on: %+v", s)
	}
	if s := ended["copy-bck"]; s.Aborted {
		k.eventually("the destination that was made goes", func() error {
			if a := call(k.t, http.MethodHead, k.p.URL()+"/v1/buckets/wholecopy", ""); a.status != http.StatusNotFound {
				return fmt.Errorf("%d", a.status)
			}
			return nil
		})
	}
	for _, bucket := range []string{"whole", "some", "chunks"} {
		k.check(bucket, k.names)
	}
	if a := call(k.t, http.MethodHead, k.p.URL()+"/v1/buckets/somecopy", ""); a.status == http.StatusOK {
		k.check("somecopy", k.listed("somecopy"))
	}
	for _, bucket := range []string{"doomed", "promoted"} {
		k.check(bucket, k.listed(bucket))
	}
}

// listed are the names in a bucket, once every target lists again.
func (k *killedJobs) listed(bucket string) (names []string) {
	k.t.Helper()
	k.eventually("a listing of "+bucket, func() error {
		a, err := try(client, http.MethodGet, k.p.URL()+"/v1/buckets/"+bucket, `{"action":"list","value":{"props":"name"}}`, "Content-Type", jsonType)
		if err != nil || a.status != http.StatusOK {
			return fmt.Errorf("%d %s: %w", a.status, a.body, err)
		}
		names = nil
		for _, e := range decode[listedPage](k.t, a.body).Entries {
			names = append(names, e.Name)
		}
		return nil
	})
	return names
}

// check reads objects and compares them.
func (k *killedJobs) check(bucket string, names []string) {
	k.t.Helper()
	for _, name := range names {
		i := slices.Index(k.names, name)
		k.eventually("content of "+bucket+"/"+name, func() error {
			a, err := try(client, http.MethodGet, objectURL(k.p, bucket, name), "")
			if err != nil || a.status == http.StatusServiceUnavailable {
				return fmt.Errorf("%d: %w", a.status, err)
			}
			if a.status != http.StatusOK || i < 0 || a.body != k.body(i) {
				k.t.Fatalf("%s/%s: %d, %d bytes", bucket, name, a.status, len(a.body))
			}
			return nil
		})
	}
}

// again runs the jobs once more: now they do all of it, and count exactly.
func (k *killedJobs) again() {
	k.t.Helper()
	whole := startBulk(k.t, k.p, http.MethodPost, "/whole"+toBucket("wholecopy"), "copy-bck", `{}`)
	some := startBulk(k.t, k.p, http.MethodPost, "/some", "copy-listrange", someValue)
	left := len(k.listed("doomed"))
	doomed := startBulk(k.t, k.p, http.MethodDelete, "/doomed", "delete-listrange", doomedValue)
	promoted := k.promote()
	chunks := startBulk(k.t, k.p, http.MethodPost, "/chunks", "rechunk", rechunkValue)
	for job, id := range map[string]string{"copy-bck": whole, "delete-listrange": doomed, "promote": promoted, "rechunk": chunks} {
		if s := k.awaitJob(k.p, id); s.Aborted || s.Err != "" {
			k.t.Errorf("%s again: %+v", job, s)
		}
	}
	k.eventually("the copy of objects is idle", func() error {
		for _, list := range k.snaps(k.p, some) {
			for _, s := range list {
				if s.Error != "" || s.Aborted {
					k.t.Fatalf("copy-listrange again: %+v", s)
				}
				if !s.IsIdle {
					return fmt.Errorf("%+v", s)
				}
			}
		}
		return nil
	})
	for job, want := range map[string]struct {
		id string
		n  int
	}{"copy-bck": {whole, killedObjects}, "copy-listrange": {some, killedObjects}, "delete-listrange": {doomed, left}} {
		if n := k.copied(k.p, want.id); n != int64(want.n) {
			k.t.Errorf("%s counts %d, want %d", job, n, want.n)
		}
	}
	for _, bucket := range []string{"wholecopy", "somecopy", "promoted", "chunks"} {
		if names := k.listed(bucket); !slices.Equal(names, k.names) {
			k.t.Errorf("%s has %d names", bucket, len(names))
		}
		k.check(bucket, k.names)
	}
	if names := k.listed("doomed"); len(names) > 0 {
		k.t.Errorf("not deleted: %v", names)
	}
	sums := k.summaryNow()
	for _, bucket := range []string{"chunks", "promoted", "some", "somecopy", "whole", "wholecopy"} {
		if s := sums[bucket]; s.Count.Present != killedObjects || s.Total.Present != uint64(killedObjects*len(k.body(0))) {
			k.t.Errorf("summary of %s: %+v", bucket, s)
		}
	}
}

func (k *killedJobs) summaryNow() map[string]wire.BucketSummary {
	k.t.Helper()
	ask := func(id string) answer {
		return call(k.t, http.MethodGet, k.p.URL()+"/v1/buckets", `{"action":"summary-bck","value":{"uuid":"`+id+`","prefix":""}}`, "Content-Type", jsonType)
	}
	id := ask("").body
	sums := map[string]wire.BucketSummary{}
	k.eventually("a summary", func() error {
		a := ask(id)
		if a.status != http.StatusOK {
			return fmt.Errorf("%d %s", a.status, a.body)
		}
		for _, s := range decode[[]wire.BucketSummary](k.t, a.body) {
			sums[s.Name] = s
		}
		return nil
	})
	return sums
}

// nothingLeft: no work files, no file of a chunk that belongs to no object, and
// nothing of a bucket that is gone.
func (k *killedJobs) nothingLeft() {
	k.t.Helper()
	const chunksOfOne = 9 // 65,542 bytes by 8,192; the first is the object's file
	k.eventually("no work files, and as many chunks as objects have", func() error {
		var work []string
		chunks, manifests := 0, 0
		for _, target := range k.targets() {
			for _, path := range k.filesBelow(target) {
				switch {
				case strings.Contains(path, "/%wk/"):
					work = append(work, path)
				case strings.Contains(path, "/%ch/"):
					chunks++
				case strings.Contains(path, "/%ut/"):
					manifests++
				}
			}
		}
		if len(work) > 0 || chunks != killedObjects*(chunksOfOne-1) || manifests != killedObjects {
			return fmt.Errorf("%d chunks, %d manifests, work files %v", chunks, manifests, work)
		}
		return nil
	})
	for _, bucket := range []string{"whole", "some", "chunks", "promoted", "doomed", "somecopy", "wholecopy"} {
		must(k.t, http.StatusOK, http.MethodPut, objectURL(k.p, bucket, "writable"), "x")
	}
}
