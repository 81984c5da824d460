package test

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aistore-go/aistore/deploy/playground"
)

// sliceFiles counts the slices and replicas that some targets hold, staged ones
// and marks included.
func (c *cluster) sliceFiles(targets []*playground.Node) (count int) {
	c.t.Helper()
	for _, n := range targets {
		for i := range c.Mountpaths {
			err := filepath.WalkDir(filepath.Join(c.Mountpath(n, i+1), "@ais"), func(path string, entry iofs.DirEntry, err error) error {
				if errors.Is(err, iofs.ErrNotExist) {
					return nil
				}
				if err == nil && !entry.IsDir() && strings.Contains(path, "/%ec/") {
					count++
				}
				return err
			})
			if err != nil {
				c.t.Fatal(err)
			}
		}
	}
	return count
}

// ecSizeLimit is the size, in bytes, below which objects of the tests have replicas
// instead of slices.
const ecSizeLimit = 1000

// slicesOf is how many slices and replicas objects are to have.
func slicesOf(all objects, data, parity int) (want int) {
	for _, content := range all {
		want += parity
		if len(content) >= ecSizeLimit {
			want += data
		}
	}
	return want
}

// wantSlices waits until exactly the slices and replicas of all objects are there.
func (c *cluster) wantSlices(targets []*playground.Node, all objects) {
	c.t.Helper()
	want := slicesOf(all, 2, 2)
	c.eventually("slices of all objects", func() error {
		if have := c.sliceFiles(targets); have != want {
			return fmt.Errorf("%d, want %d", have, want)
		}
		return nil
	})
}

// ecObjects stores objects of mixed sizes.
func (c *cluster) ecObjects(prefix string, from, count int) objects {
	c.t.Helper()
	all := objects{}
	for i := from; i < from+count; i++ {
		name := fmt.Sprintf("%s/%03d", prefix, i)
		all[name] = strings.Repeat(fmt.Sprintf("%s=%d;", name, i), 1+i%6*5000)
		must(c.t, http.StatusOK, http.MethodPut, objectURL(c.nodes[0], "b", name), all[name])
	}
	return all
}

// readable reads all objects; each may answer 503 for a while, and nothing else.
func (c *cluster) readable(all objects) {
	c.t.Helper()
	for name, content := range all {
		c.eventually("read "+name, func() error {
			a, err := try(client, http.MethodGet, objectURL(c.nodes[0], "b", name), "")
			switch {
			case err == nil && a.status == http.StatusOK && a.body == content:
				return nil
			case err == nil && (a.status == http.StatusOK || a.status == http.StatusNotFound):
				c.t.Fatalf("GET %s: %d, %d bytes of %d: %.200s", name, a.status, len(a.body), len(content), a.body)
			}
			return fmt.Errorf("%d %.200s, %w", a.status, a.body, err)
		})
	}
}

// atOnce reads all objects, each at the first try.
func (c *cluster) atOnce(all objects) {
	c.t.Helper()
	for name, content := range all {
		if a := call(c.t, http.MethodGet, objectURL(c.nodes[0], "b", name), ""); a.status != http.StatusOK || a.body != content {
			c.t.Errorf("GET %s: %d, %d bytes of %d: %.300s", name, a.status, len(a.body), len(content), a.body)
		}
	}
}

// removed waits until a dead target is in the map no more, which takes a minute
// longer than other things.
func (c *cluster) removed(dead *playground.Node) {
	c.t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		there := false
		for _, node := range c.smap(c.nodes[0]).Tmap {
			there = there || strings.Contains(string(node), `"`+dead.URL()+`"`)
		}
		if !there {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("%s is still in the map", dead.Name())
		}
	}
}

// TestErasureCoding: a bucket is encoded when that is turned on, and after each
// PUT; overwrites and deletes leave nothing; a target that is killed for ever costs no
// object, and what it held is made again by itself; then a disk is wiped.
func TestErasureCoding(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, 7)
	c.Mountpaths = 2
	c.Config["rebalance"] = map[string]any{"dest_retry_time": "2s", "repair_delay": "2s", "enabled": false, "bundle_multiplier": 2, "burst_buffer": 1024}
	c.up()
	p := c.nodes[0]
	createBucket(t, p, "b", "")
	all := c.ecObjects("before", 0, 18)

	bucket := p.URL() + "/v1/buckets/b"
	for body, want := range map[string]string{
		`{"action":"ec-encode"}`: "data_slices and parity_slices",
		`{"action":"ec-encode","value":"{\"data_slices\":5,\"parity_slices\":2}"}`:                               "requires at least 8 targets (have 7)",
		`{"action":"ec-encode","value":{"data_slices":40,"parity_slices":2}}`:                                    "ec.data_slices",
		`{"action":"ec-encode","name":"repair","value":"{\"data_slices\":2,\"parity_slices\":2}"}`:               "recover",
		`{"action":"ec-encode","value":"{\"data_slices\":2,\"parity_slices\":2,\"no_such_thing\":1}"}`:           "no_such_thing",
		`{"action":"ec-encode","value":"{\"data_slices\":2,\"parity_slices\":2,\"objsize_limit\":-2}"}`:          "ec.objsize_limit",
		`{"action":"ec-encode","value":"{\"data_slices\":2,\"parity_slices\":2,\"compression\":\"sometimes\"}"}`: "ec.compression",
	} {
		if a := call(t, http.MethodPost, bucket, body, "Content-Type", jsonType); a.status != 400 || !strings.Contains(a.body, want) {
			t.Errorf("%s: %d %s", body, a.status, a.body)
		}
	}
	set := `{"action":"set-bprops","value":{"ec":{"enabled":true,"data_slices":2,"parity_slices":2,"objsize_limit":1000}}}`
	id := must(t, http.StatusOK, http.MethodPatch, bucket, set, "Content-Type", jsonType).body
	if len(id) < 5 {
		t.Errorf("set-bprops has answered %q, want a job's id", id)
	}
	c.wantSlices(c.targets(), all)
	change := `{"action":"set-bprops","value":{"ec":{"data_slices":3}}}`
	if a := call(t, http.MethodPatch, bucket, change, "Content-Type", jsonType); a.status != 400 || !strings.Contains(a.body, "EC is already enabled on the bucket") {
		t.Errorf("other slices: %d %s", a.status, a.body)
	}
	must(t, http.StatusOK, http.MethodPatch, bucket, set, "Content-Type", jsonType) // the same again

	for name, content := range c.ecObjects("after", 0, 18) {
		all[name] = content
	}
	for name, content := range c.ecObjects("before", 0, 6) { // the same, and as long
		all[name] = content
	}
	for i := range 6 {
		name := fmt.Sprintf("after/%03d", i)
		all[name] = strings.Repeat("overwritten", 10+(5-i)*3000)
		must(t, http.StatusOK, http.MethodPut, objectURL(p, "b", name), all[name])
	}
	for i := 12; i < 18; i++ {
		name := fmt.Sprintf("before/%03d", i)
		must(t, http.StatusOK, http.MethodDelete, objectURL(p, "b", name), "")
		delete(all, name)
		if a := call(t, http.MethodGet, objectURL(p, "b", name), ""); a.status != 404 {
			t.Errorf("GET of a deleted object: %d %s", a.status, a.body)
		}
	}
	c.wantSlices(c.targets(), all)
	name := "after/005"
	c.eventually("properties of an encoded object", func() error {
		a := call(t, http.MethodHead, objectURL(p, "b", name), "")
		if a.header.Get("Ais-Ec-Data") != "2" || a.header.Get("Ais-Ec-Parity") != "2" || a.header.Get("Ais-Ec-Generation") == "" {
			return fmt.Errorf("%v", a.header)
		}
		return nil
	})

	dead := c.owner("b", name)
	if err := dead.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	c.waitStopped(dead)
	killed := time.Now()
	c.readable(all)
	t.Logf("all objects were read %v after the kill", time.Since(killed).Round(time.Millisecond))
	c.removed(dead)
	var left []*playground.Node
	for _, n := range c.targets() {
		if n != dead {
			left = append(left, n)
		}
	}
	c.wantSlices(left, all)
	t.Logf("all slices are there %v after the kill", time.Since(killed).Round(time.Millisecond))
	c.atOnce(all)

	wiped := left[0]
	if err := wiped.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	c.waitStopped(wiped)
	for i := range c.Mountpaths {
		if err := os.RemoveAll(filepath.Join(c.Mountpath(wiped, i+1), "@ais")); err != nil {
			t.Fatal(err)
		}
	}
	c.start(wiped)
	c.wantSlices(left, all)
	c.atOnce(all)
}
