package test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/deploy/playground"
)

// killedKeeping is a cluster in which a target dies in the middle of jobs that go
// through all that there is.
type killedKeeping struct {
	jobCluster
	kinds     []string // of the jobs
	p, victim *playground.Node
	id        string             // the victim's
	all       map[string]objects // by bucket
	garbage   []string           // files
	jobs      map[string]string  // ids by kind
}

// keptBuckets is what each of the jobs is about. The objects of "worn" are so large and so
// old that some of them are to be evicted.
var keptBuckets = map[string]string{"scrub": "checked", "load-lom-cache": "warm", "cleanup-store": "dirty", "lru": "worn", "move-bck": "old"}

const (
	keptObjects = 600 // in each bucket
	wornObjects = 280
	wornSize    = 256 << 10
)

// TestKilledTargetAndHousekeeping: a target is killed with SIGKILL in the middle of a
// scrub, a warm-up of metadata, a cleanup, an eviction and a rename; it comes back at
// once, or when they have ended. Each job ends as its kind does, what is evicted is gone
// and everything else is whole, nothing is left behind, and the same again does all of it.
func TestKilledTargetAndHousekeeping(t *testing.T) {
	t.Parallel()
	lookers, rename := []string{"scrub", "load-lom-cache", "cleanup-store", "lru"}, []string{"move-bck"}
	for name, v := range map[string]struct {
		kinds []string
		back  bool
		wait  string // for a target
		held  int    // after how many calls on files of each bucket
	}{
		"and comes back":                             {lookers, true, "1m", 40},
		"and comes back when they have ended":        {lookers, false, "10s", 120}, // eviction has looked at all objects, and removes some
		"rename, and comes back":                     {rename, true, "1m", 40},
		"rename, and comes back when that has ended": {rename, false, "10s", 120},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := &killedKeeping{jobCluster: newJobCluster(t, 2, 3), kinds: v.kinds, all: map[string]objects{}, jobs: map[string]string{}}
			k.Mountpaths = 1
			k.Config["periodic"] = map[string]any{"notif_time": v.wait, "stats_time": "1s"}
			if k.evicts() {
				k.Config["space"] = map[string]any{"cleanupwm": 5, "lowwm": 10, "highwm": 25, "out_of_space": 95}
				k.smallDisks(64)
			}
			k.up()
			k.p, k.victim = k.nodes[1], k.targets()[1]
			k.id = k.nodeID(k.victim)
			k.fill()
			k.begin(v.held)
			k.kill(k.victim)
			k.letGo()
			if v.back {
				k.start(k.victim)
				k.waitReady()
			}
			ended := map[string]jobState{}
			for kind, id := range k.jobs {
				ended[kind] = k.awaitJob(k.p, id)
				t.Logf("%s: %+v", kind, ended[kind])
			}
			if !v.back {
				k.start(k.victim)
				k.waitReady()
			}
			k.checkEnds(ended, v.back)
			k.again()
		})
	}
}

func (k *killedKeeping) evicts() bool { return slices.Contains(k.kinds, "lru") }

// fill makes the buckets, and has the victim forget what it remembers of them. Then it waits
// until no target is about to make space by itself.
func (k *killedKeeping) fill() {
	k.t.Helper()
	var group errgroup.Group
	group.SetLimit(8)
	for _, kind := range k.kinds {
		bucket := keptBuckets[kind]
		props, count, size := "", keptObjects, 2000
		if bucket == "worn" {
			props, count, size = `{"lru":{"enabled":true}}`, wornObjects, wornSize
		}
		createBucket(k.t, k.p, bucket, props)
		k.all[bucket] = objects{}
		for i := range count {
			name := fmt.Sprintf("d%d/%03d", i%3, i)
			content := mixedContent(bucket+"/"+name, size+i)
			k.all[bucket][name] = content
			group.Go(func() error {
				a, err := try(client, http.MethodPut, objectURL(k.p, bucket, name), content)
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
	k.restartTarget(k.victim, syscall.SIGTERM)
	if !k.evicts() {
		return
	}
	k.eventually("every target has looked for what it may evict", func() error {
		looked := 0
		for _, list := range k.snapsOfKind("lru") {
			for _, s := range list {
				if !s.EndTime.IsZero() {
					looked++
					break
				}
			}
		}
		if looked < len(k.targets()) {
			return fmt.Errorf("%d of %d", looked, len(k.targets()))
		}
		return nil
	})
	for i := range 20 {
		k.garbage = append(k.garbage, filepath.Join(k.Mountpath(k.victim, 1), "@ais/dirty/%wk", fmt.Sprintf("put.0123abcd.1.%d", i)))
	}
	for _, path := range k.garbage {
		if err := os.WriteFile(path, []byte("left by a crash"), 0o600); err != nil {
			k.t.Fatal(err)
		}
	}
	k.age()
}

// snapsOfKind are what all targets say of jobs of a kind.
func (k *killedKeeping) snapsOfKind(kind string) map[string][]wire.Snap {
	k.t.Helper()
	a := must(k.t, http.StatusOK, http.MethodGet, k.p.URL()+"/v1/cluster?what=qryxstats", `{"kind":"`+kind+`"}`, "Content-Type", jsonType)
	return decode[map[string][]wire.Snap](k.t, a.body)
}

// age has the objects of "worn" look as if nobody had read them for three hours.
func (k *killedKeeping) age() {
	k.t.Helper()
	for _, n := range k.targets() {
		for _, path := range k.filesBelow(n) {
			if strings.Contains(path, "/@ais/worn/%ob/") {
				if err := os.Chtimes(path, time.Now().Add(-3*time.Hour), time.Time{}); err != nil {
					k.t.Fatal(err)
				}
			}
		}
	}
}

// startKept starts a job of a kind.
func (k *killedKeeping) startKept(kind string) (id string) {
	k.t.Helper()
	bucket := keptBuckets[kind]
	if kind == "move-bck" {
		return startBulk(k.t, k.p, http.MethodPost, "/"+bucket+toBucket("new"), kind, "null")
	}
	value := fmt.Sprintf(`{"action":"start","value":{"Kind":%q,"Bck":{"name":%q,"provider":"ais"}}}`, kind, bucket)
	return must(k.t, http.StatusOK, http.MethodPut, k.p.URL()+"/v1/cluster", value, "Content-Type", jsonType).body
}

// begin starts the jobs, and waits until each is held up by the victim's disk.
func (k *killedKeeping) begin(after int) {
	k.t.Helper()
	k.hold(fmt.Sprintf("disk:/%d/@ais/ %d", k.victim.Index-k.Proxies+1, after))
	for _, kind := range k.kinds {
		k.jobs[kind] = k.startKept(kind)
	}
	k.eventually("the jobs have done what they can without the victim's disk", func() error {
		for kind, id := range k.jobs {
			snaps := k.snaps(k.p, id)
			for node, list := range snaps {
				for _, s := range list {
					if kind != "move-bck" && node != k.id && s.EndTime.IsZero() {
						return fmt.Errorf("%s runs on %s", kind, node)
					}
					if node == k.id && !s.EndTime.IsZero() {
						k.t.Fatalf("%s has ended on the victim: %+v", kind, s)
					}
				}
			}
			if len(snaps[k.id]) == 0 {
				return fmt.Errorf("%s has not begun on the victim", kind)
			}
		}
		return nil
	})
}

// checkEnds looks at how the jobs have ended, and at what is there.
func (k *killedKeeping) checkEnds(ended map[string]jobState, back bool) {
	k.t.Helper()
	for kind, s := range ended {
		failed := s.Aborted || s.Err != ""
		switch {
		case failed && !strings.Contains(s.Err, k.id):
			k.t.Errorf("%s: the error does not name the target: %+v", kind, s)
		case kind == "move-bck": // below
		case failed && back:
			k.t.Errorf("%s does not go on: %+v", kind, s)
		case !failed && !back:
			k.t.Errorf("%s does not miss the target: %+v", kind, s)
		}
	}
	if s, renames := ended["move-bck"]; renames {
		k.checkRename(!s.Aborted && s.Err == "")
	} else {
		k.whole("")
	}
}

// checkRename looks at what a rename has left, done or not. In the end the bucket has the
// name that it had.
func (k *killedKeeping) checkRename(done bool) {
	k.t.Helper()
	bucket, gone := "old", "new"
	if done {
		bucket, gone = gone, bucket
	}
	k.eventually("one of the buckets goes", func() error {
		if a := call(k.t, http.MethodHead, k.p.URL()+"/v1/buckets/"+gone, ""); a.status != http.StatusNotFound {
			return fmt.Errorf("%s: %d", gone, a.status)
		}
		return nil
	})
	k.whole(bucket)
	must(k.t, http.StatusOK, http.MethodDelete, objectURL(k.p, bucket, "d0/000"), "") // it can be written to
	must(k.t, http.StatusOK, http.MethodPut, objectURL(k.p, bucket, "d0/000"), k.all["old"]["d0/000"])
	if !done {
		return
	}
	if s := k.awaitJob(k.p, startBulk(k.t, k.p, http.MethodPost, "/new"+toBucket("old"), "move-bck", "null")); s.Aborted || s.Err != "" {
		k.t.Errorf("renamed back: %+v", s)
	}
}

// whole reads everything that must be there, of the renamed bucket under its present
// name, and of "worn" what is listed.
func (k *killedKeeping) whole(renamed string) {
	k.t.Helper()
	for bucket, all := range k.all {
		asked := bucket
		if bucket == "old" {
			asked = renamed
		}
		var listed []string
		k.eventually("a listing of "+asked, func() error {
			a, err := try(client, http.MethodGet, k.p.URL()+"/v1/buckets/"+asked, `{"action":"list","value":{"props":"name"}}`, "Content-Type", jsonType)
			if err != nil || a.status != http.StatusOK {
				return fmt.Errorf("%d %s: %w", a.status, a.body, err)
			}
			listed = nil
			for _, e := range decode[listedPage](k.t, a.body).Entries {
				listed = append(listed, e.Name)
			}
			return nil
		})
		if bucket != "worn" && len(listed) != len(all) {
			k.t.Errorf("%s: %d names are listed of %d", asked, len(listed), len(all))
		}
		there := map[string]bool{}
		for _, name := range listed {
			there[name] = true
		}
		for name, content := range all {
			a := call(k.t, http.MethodGet, objectURL(k.p, asked, name), "")
			if !there[name] && a.status == http.StatusNotFound && bucket == "worn" {
				continue
			}
			if a.status != http.StatusOK || a.body != content {
				k.t.Errorf("%s/%s: %d, %d bytes of %d", asked, name, a.status, len(a.body), len(content))
			}
		}
		if bucket == "worn" {
			k.t.Logf("%d of %d objects are left of %s", len(listed), len(all), bucket)
		}
	}
}

// again runs the jobs once more, and looks for what is left behind.
func (k *killedKeeping) again() {
	k.t.Helper()
	if k.evicts() {
		k.age()
	}
	for _, kind := range k.kinds {
		if s := k.awaitJob(k.p, k.startKept(kind)); s.Aborted || s.Err != "" {
			k.t.Errorf("%s again: %+v", kind, s)
		}
	}
	k.whole("new")
	for _, n := range k.targets() {
		k.eventually("nothing is left behind on "+n.Name(), func() error {
			var left []string
			for _, path := range k.filesBelow(n) {
				if strings.Contains(path, "/%wk/") || strings.Contains(path, "/@ais/old/") {
					left = append(left, path)
				}
			}
			aside, err := filepath.Glob(filepath.Join(k.Mountpath(n, 1), ".ais.quarantine", "*"))
			if left = append(left, aside...); len(left) > 0 {
				err = errors.Join(err, fmt.Errorf("left: %v", left))
			}
			return err
		})
	}
}
