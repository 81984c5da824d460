package test

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

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
// ever while clients read and write. Every object that was fully protected at the kill is
// read, in the first 15 s with further tries, is listed as soon as the dead ones have left
// the map, and is at full protection again within five minutes, verified slice by slice;
// those that were not are told by name. Then a disk is wiped.
func TestTargetsDieForEver(t *testing.T) {
	t.Parallel()
	proofs := []ecProof{{data: 2, parity: 2, targets: 7, objects: 400, size: 300_000}}
	if longTests() {
		proofs = []ecProof{
			{data: 2, parity: 2, targets: 7, objects: 10_000, size: 2 << 20},
			{data: 4, parity: 2, targets: 9, objects: 10_000, size: 2 << 20},
		}
	}
	for _, p := range proofs {
		t.Run(fmt.Sprintf("%d+%d over %d", p.data, p.parity, p.targets), func(t *testing.T) { p.run(t) })
	}
}

func (p ecProof) run(t *testing.T) {
	c := newCluster(t, 1, p.targets)
	c.Mountpaths = 2
	c.Config["rebalance"] = map[string]any{"dest_retry_time": "2s", "repair_delay": "2s", "bundle_multiplier": 2, "burst_buffer": 1024}
	c.up()
	createBucket(t, c.nodes[0], "b", "")
	set := fmt.Sprintf(`{"action":"set-bprops","value":{"ec":{"enabled":true,"data_slices":%d,"parity_slices":%d,"objsize_limit":%d}}}`, p.data, p.parity, ecSizeLimit)
	must(t, http.StatusOK, http.MethodPatch, c.nodes[0].URL()+"/v1/buckets/b", set, "Content-Type", jsonType)
	began := time.Now()
	all := p.fill(c)
	t.Logf("%d objects, %d MiB, were written in %v", len(all), total(all)>>20, time.Since(began).Round(time.Millisecond))
	p.wantProtection(c, c.targets(), all)
	t.Logf("all are at full protection %v after the first was written", time.Since(began).Round(time.Millisecond))

	dead, left := c.targets()[:p.parity], c.targets()[p.parity:]
	users := p.users(c, all)
	users.awaitWrites(50)
	users.killed.Store(time.Now().UnixNano())
	for _, n := range dead {
		c.signal(n, syscall.SIGKILL)
	}
	for _, n := range dead {
		c.waitStopped(n)
	}
	exposed := p.exposed(c, dead, users.acknowledged())
	t.Logf("%d objects were acknowledged and not protected yet when their owners died: %v", len(exposed), exposed)
	users.leaveOut(exposed)
	for _, n := range dead {
		c.removed(n)
	}
	gone := time.Now()
	t.Logf("the dead are out of the map %v after the kill", gone.Sub(time.Unix(0, users.killed.Load())).Round(time.Millisecond))
	c.wantListed(slices.Sorted(maps.Keys(all)))
	t.Logf("all are listed %v after that", time.Since(gone).Round(time.Millisecond))
	c.eventually("objects whose slices are gone are counted, or mended already", func() error {
		n, err := c.underProtected(left)
		t.Logf("%d are under-protected", n)
		return err
	})
	users.awaitReads(100)
	written, unsure := users.end()
	maps.Copy(all, written)
	p.wantProtection(c, left, all, unsure...)
	t.Logf("%d objects are at full protection %v after the dead ones have left", len(all), time.Since(gone).Round(time.Millisecond))
	c.atOnce(all)
	for _, name := range unsure {
		if a := call(t, http.MethodGet, objectURL(c.nodes[0], "b", name), ""); a.status == http.StatusOK && !wellMade(name, a.body) {
			t.Errorf("GET %s, which was not acknowledged or not protected: %d bytes that nobody wrote", name, len(a.body))
		}
	}

	wiped := left[0]
	c.signal(wiped, syscall.SIGKILL)
	c.waitStopped(wiped)
	if err := os.RemoveAll(filepath.Join(c.Mountpath(wiped, 1), "@ais")); err != nil {
		t.Fatal(err)
	}
	c.start(wiped)
	c.waitReady(append(c.nodes[:1:1], left...)...)
	began = time.Now()
	p.wantProtection(c, left, all, unsure...)
	t.Logf("all are at full protection %v after the target whose disk was wiped is back", time.Since(began).Round(time.Millisecond))
	c.atOnce(all)
}

// fill stores objects of sizes of all magnitudes, one of them empty.
func (p ecProof) fill(c *cluster) objects {
	c.t.Helper()
	all := objects{}
	random := rand.New(rand.NewPCG(1, 2))
	var group errgroup.Group
	group.SetLimit(8)
	for i := range p.objects {
		name, size := fmt.Sprintf("o/%05d", i), 0
		if i > 0 {
			size = int(math.Pow(float64(p.size), random.Float64()))
		}
		content := mixedContent(name, size)
		all[name] = content
		group.Go(func() error {
			a, err := try(client, http.MethodPut, objectURL(c.nodes[0], "b", name), content)
			if err == nil && a.status != http.StatusOK {
				err = fmt.Errorf("PUT %s: %d %.200s", name, a.status, a.body)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		c.t.Fatal(err)
	}
	return all
}

// total is how many bytes objects have.
func total(all objects) (bytes int64) {
	for _, content := range all {
		bytes += int64(len(content))
	}
	return bytes
}

// wellMade tells whether a content is what mixedContent makes of a name.
func wellMade(name, content string) bool { return content == mixedContent(name, len(content)) }

// exposed are those of some names whose owner is dead, and which do not have all of
// their slices: nobody promises that they can be read.
func (p ecProof) exposed(c *cluster, dead []*playground.Node, written objects) (names []string) {
	c.t.Helper()
	held := c.slicesByName(c.targets())
	for name, content := range written {
		if p.lacks(held[name], len(content)) == "" {
			continue
		}
		for _, n := range dead {
			for i := range c.Mountpaths {
				if _, err := os.Stat(filepath.Join(c.Mountpath(n, i+1), "@ais/b/%ob", name)); err == nil {
					names = append(names, name)
				}
			}
		}
	}
	slices.Sort(names)
	return names
}

// wantListed waits for a listing, which must have all of the names.
func (c *cluster) wantListed(names []string) {
	c.t.Helper()
	c.eventually("a listing", func() error {
		have, err := c.listedNames()
		if err != nil {
			return err
		}
		for _, name := range names {
			if _, found := slices.BinarySearch(have, name); !found {
				c.t.Errorf("%s is not listed", name)
				break
			}
		}
		return nil
	})
}
