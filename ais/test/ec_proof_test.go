package test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aistore-go/aistore/deploy/playground"
)

// underProtected sums the metric of some targets for the bucket "b".
func (c *cluster) underProtected(targets []*playground.Node) (count int, err error) {
	for _, n := range targets {
		a, err := try(client, http.MethodGet, n.URL()+"/metrics", "")
		if err != nil {
			return 0, err
		}
		for line := range strings.SplitSeq(a.body, "\n") {
			labels, value, _ := strings.Cut(line, "} ")
			if strings.HasPrefix(labels, "ais_target_underprotected_count{") && strings.Contains(labels, `bucket="ais://b"`) {
				n, err := strconv.Atoi(value)
				if err != nil {
					return 0, err
				}
				count += n
			}
		}
	}
	return count, nil
}

// listedNames are all names of the bucket "b"; an error if a page is not answered.
func (c *cluster) listedNames() (names []string, err error) {
	for token := ""; ; {
		a, err := try(client, http.MethodGet, c.nodes[0].URL()+"/v1/buckets/b",
			fmt.Sprintf(`{"action":"list","value":{"props":"name","pagesize":500,"continuation_token":%q}}`, token), "Content-Type", jsonType)
		if err != nil || a.status != http.StatusOK {
			return nil, fmt.Errorf("%d %.200s, %w", a.status, a.body, err)
		}
		page := decode[listedPage](c.t, a.body)
		for _, e := range page.Entries {
			names = append(names, e.Name)
		}
		if token = page.Token; token == "" {
			return names, nil
		}
	}
}

// ecProof is one proof that erasure coding survives the loss of targets.
type ecProof struct {
	data, parity, targets int
	objects, size         int // how many, and how large at most, in bytes
}

// TestTargetsDieForEver: as many targets as a bucket has parity slices are killed for
// ever while clients read and write. Every object that was fully protected is read, in
// the first 15 s with further tries, is listed as soon as the dead ones have left the
// map, and is at full protection again soon, verified slice by slice; then a disk is
// wiped.
func TestTargetsDieForEver(t *testing.T) {
	t.Parallel()
	proofs := []ecProof{{data: 2, parity: 2, targets: 7, objects: 400, size: 60_000}}
	if longTests() {
		proofs = []ecProof{
			{data: 2, parity: 2, targets: 7, objects: 10_000, size: 800_000},
			{data: 4, parity: 2, targets: 9, objects: 10_000, size: 800_000},
		}
	}
	for _, p := range proofs {
		t.Run(fmt.Sprintf("%d+%d over %d", p.data, p.parity, p.targets), func(t *testing.T) { p.run(t) })
	}
}

func (p ecProof) run(t *testing.T) {
	c := newCluster(t, 1, p.targets)
	c.Mountpaths = 2
	c.Config["rebalance"] = map[string]any{"dest_retry_time": "2s", "repair_delay": "2s", "enabled": false, "bundle_multiplier": 2, "burst_buffer": 1024}
	c.up()
	createBucket(t, c.nodes[0], "b", "")
	set := fmt.Sprintf(`{"action":"set-bprops","value":{"ec":{"enabled":true,"data_slices":%d,"parity_slices":%d,"objsize_limit":%d}}}`, p.data, p.parity, ecSizeLimit)
	must(t, http.StatusOK, http.MethodPatch, c.nodes[0].URL()+"/v1/buckets/b", set, "Content-Type", jsonType)
	all := objects{}
	random := rand.New(rand.NewPCG(1, 2))
	for i := range p.objects {
		name := fmt.Sprintf("o/%05d", i)
		all[name] = mixedContent(name, random.IntN(random.IntN(p.size)+1))
		must(t, http.StatusOK, http.MethodPut, objectURL(c.nodes[0], "b", name), all[name])
	}
	p.wantProtection(c, c.targets(), all)

	dead, left := c.targets()[:p.parity], c.targets()[p.parity:]
	for _, n := range dead {
		c.signal(n, syscall.SIGKILL)
	}
	killed := time.Now()
	end := make(chan struct{})
	var busy sync.WaitGroup
	names := slices.Sorted(maps.Keys(all))
	var (
		reads   atomic.Int64 // right ones
		mu      sync.Mutex
		written = objects{}
	)
	for id := range 3 {
		busy.Go(func() {
			rng := rand.New(rand.NewPCG(3, uint64(id)))
			for i := 0; ; i++ {
				select {
				case <-end:
					return
				default:
				}
				if id == 0 {
					name := fmt.Sprintf("w/%05d", i)
					a, err := try(client, http.MethodPut, objectURL(c.nodes[0], "b", name), name)
					if err == nil && a.status == http.StatusOK {
						mu.Lock()
						written[name] = name
						mu.Unlock()
					}
					continue
				}
				name := names[rng.IntN(len(names))]
				early := time.Since(killed) < 15*time.Second
				a, err := try(client, http.MethodGet, objectURL(c.nodes[0], "b", name), "")
				switch {
				case err == nil && a.status == http.StatusOK && a.body == all[name]:
					reads.Add(1)
				case early && (err != nil || a.status == http.StatusServiceUnavailable || a.status == http.StatusBadGateway):
				default:
					t.Errorf("%v after the kill: GET %s: %d, %d bytes of %d: %.200s, %v", time.Since(killed), name, a.status, len(a.body), len(all[name]), a.body, err)
				}
			}
		})
	}
	stop := sync.OnceFunc(func() { close(end); busy.Wait() })
	defer stop()
	for _, n := range dead {
		c.waitStopped(n)
		c.removed(n)
	}
	t.Logf("the dead are out of the map %v after the kill", time.Since(killed).Round(time.Millisecond))
	c.eventually("a listing", func() error {
		have, err := c.listedNames()
		if err != nil {
			return err
		}
		for _, name := range names {
			if _, found := slices.BinarySearch(have, name); !found {
				t.Errorf("%s is not listed", name)
				break
			}
		}
		return nil
	})
	began := time.Now()
	c.eventually("objects whose slices are gone are counted, or mended already", func() error {
		n, err := c.underProtected(left)
		t.Logf("%d are under-protected", n)
		return err
	})
	enough := reads.Load() + 100
	c.eventually("clients read on", func() error {
		if n := reads.Load(); n < enough {
			return fmt.Errorf("%d reads of %d", n, enough)
		}
		return nil
	})
	stop()
	for name, content := range written {
		all[name] = content
	}
	p.wantProtection(c, left, all)
	t.Logf("%d objects are at full protection %v after the dead ones have left", len(all), time.Since(began).Round(time.Millisecond))
	c.atOnce(all)

	wiped := left[0]
	c.signal(wiped, syscall.SIGKILL)
	c.waitStopped(wiped)
	if err := os.RemoveAll(filepath.Join(c.Mountpath(wiped, 1), "@ais")); err != nil {
		t.Fatal(err)
	}
	c.start(wiped)
	c.waitReady(append(c.nodes[:1:1], left...)...)
	p.wantProtection(c, left, all)
	c.atOnce(all)
}

// wantProtection waits, for five minutes, until nothing is under-protected and exactly
// the slices and replicas of all objects are there; then it has all of them verified.
func (p ecProof) wantProtection(c *cluster, targets []*playground.Node, all objects) {
	c.t.Helper()
	want := slicesOf(all, p.data, p.parity)
	for deadline := time.Now().Add(5 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		n, err := c.underProtected(targets)
		have := c.sliceFiles(targets)
		if err == nil && n == 0 && have == want {
			break
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("%d objects are under-protected, %d slices of %d, %v", n, have, want, err)
		}
	}
	id := must(c.t, http.StatusOK, http.MethodPut, c.nodes[0].URL()+"/v1/cluster",
		`{"action":"start","value":{"kind":"scrub","bck":{"name":"b","provider":"ais"}}}`, "Content-Type", jsonType).body
	if s := c.awaitJob(c.nodes[0], id); s.Err != "" || s.Aborted {
		c.t.Errorf("scrub: %+v", s)
	}
}
