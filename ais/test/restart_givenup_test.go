package test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/deploy/playground"
)

// TestWeaknessW13_NothingIsThrownAway: a gateway that missed a bucket restarts
// the cluster by force. Those who know the bucket are told, when they rejoin,
// that the cluster does not have it; its objects stay on the disks, and turn up
// in no bucket of the new history.
func TestWeaknessW13_NothingIsThrownAway(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, 2)
	createBucket(t, c.nodes[0], "both", "")
	c.waitVoters(5)
	uuid, old := c.uuid(c.nodes[0]), lineage(t, c.nodes[0])
	left := c.secondaries()[0]
	c.kill(left)
	gateway := c.live()
	createBucket(t, gateway, "theirs", `{"versioning":{"enabled":false}}`)
	for i := range 10 {
		c.putWhenServed(gateway, "theirs", itoa(i))
	}
	var rest []*playground.Node
	for _, n := range c.nodes {
		if n != left {
			rest = append(rest, n)
		}
	}
	c.kill(rest...)
	c.start(left)
	var done forcedRestart
	c.eventually("the forced restart", func() error {
		a, err := forceRestart(left, old)
		if err == nil && a.status != http.StatusOK {
			err = fmt.Errorf("%d %s", a.status, a.body)
		}
		if err == nil {
			done = decode[forcedRestart](t, a.body)
		}
		return err
	})
	for _, n := range rest {
		c.start(n)
	}
	for _, n := range rest {
		c.waitFenced(n, done.Lineage, old)
	}
	want := `"given_up":` // of the answer to rejoin an object, of lineage a list
	told := `"lineage":"` + old + `","joined":"` + done.Lineage + `","buckets":[{"name":"ais://theirs","taken":`
	for _, n := range rest {
		a, err := rejoin(n, uuid, done.Lineage)
		if err != nil || a.status != http.StatusOK || !strings.Contains(a.body, want) || !strings.Contains(a.body, told+"false") || strings.Contains(a.body, "ais://both") {
			t.Errorf("rejoin of %s: %v %d %s", n.Name(), err, a.status, a.body)
		}
	}
	c.waitReady()
	must(t, http.StatusNotFound, http.MethodHead, left.URL()+"/v1/buckets/theirs", "")
	createBucket(t, left, "theirs", "")
	c.restart(c.targets()[0])
	for _, n := range rest {
		a := must(t, http.StatusOK, http.MethodGet, n.URL()+"/v1/daemon?what=lineage", "")
		if !strings.Contains(a.body, want) || !strings.Contains(a.body, told+"true") {
			t.Errorf("%s: %s", n.Name(), a.body)
		}
	}
	if names := listAll(t, c.proxies(), "theirs", "", 100); len(names) != 0 {
		t.Errorf("the new bucket has the objects %q of the old one", names)
	}
	kept := map[string]bool{}
	for _, n := range c.targets() {
		for _, path := range c.configured(n) {
			files, err := filepath.Glob(path + "/@ais/theirs/%ob/*")
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range files {
				if data, err := os.ReadFile(file); err != nil || string(data) != "content" {
					t.Errorf("%s: %q, %v", file, data, err)
				}
				kept[filepath.Base(file)] = true
			}
		}
	}
	if len(kept) != 10 {
		t.Errorf("%d of 10 objects are on the disks: %v", len(kept), kept)
	}
}
