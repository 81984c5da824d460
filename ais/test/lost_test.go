package test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/cmn/wire"
)

// quarantined are the contents of all objects, by name, that a node has set aside.
func (c *cluster) quarantined(mountpaths []string, bucket string) map[string]string {
	c.t.Helper()
	objects := map[string]string{}
	for _, root := range mountpaths {
		folders, err := filepath.Glob(filepath.Join(root, ".ais.quarantine", "lost.*"))
		if err != nil {
			c.t.Fatal(err)
		}
		for _, folder := range folders {
			err := filepath.WalkDir(folder, func(path string, entry os.DirEntry, err error) error {
				if _, name, ok := strings.Cut(path, "/"+bucket+"/%ob/"); err == nil && ok && !entry.IsDir() {
					content, err := os.ReadFile(path)
					objects[name] = string(content)
					return err
				}
				return err
			})
			if err != nil {
				c.t.Fatal(err)
			}
		}
	}
	return objects
}

// TestTargetIsLost: a target is killed for ever, and nobody waits for it once an
// operator has declared it lost; when it comes back all the same it is empty, and what
// it had is in quarantine.
func TestTargetIsLost(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 3)
	p := c.nodes[0]
	createBucket(t, p, "b", "")
	objects := c.putMixed("b", 60)
	lost := c.targets()[2]
	id := c.idOf(lost)
	var its []string
	for name := range objects {
		if c.owner("b", name) == lost {
			its = append(its, name)
		}
	}
	if len(its) < 4 {
		t.Fatalf("it owns %d of %d", len(its), len(objects))
	}
	var roots []string
	for path := range decode[wire.DiskStatsCap](t, must(t, 200, http.MethodGet, lost.URL()+"/v1/daemon?what=disk", "").body).Mountpaths {
		roots = append(roots, path)
	}
	declare := `{"sid":"` + id + `","force":true}`
	refused(t, membershipAct(t, p, "declare-lost", declare), http.StatusConflict, "ErrBusy", "it owns names")

	c.kill(lost)
	c.removed(lost)
	for _, name := range its {
		if a := call(t, http.MethodGet, objectURL(p, "b", name), ""); a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
			t.Fatalf("%s: %d %s", name, a.status, a.body)
		}
	}
	refused(t, membershipAct(t, p, "declare-lost", `{"sid":"`+id+`"}`), http.StatusBadRequest, "", `expecting "force": true`)
	refused(t, membershipAct(t, p, "declare-lost", `{"sid":"nobody01","force":true}`), http.StatusNotFound, "errNodeNotFound", "nobody01")

	rebalance := mustAct(t, http.StatusOK, p, "declare-lost", declare).body
	for name, content := range objects {
		a := call(t, http.MethodGet, objectURL(p, "b", name), "")
		owns := strings.Contains(strings.Join(its, "\n")+"\n", name+"\n")
		if owns && a.status != http.StatusNotFound || !owns && (a.status != http.StatusOK || a.body != content) {
			t.Errorf("%s, its: %v: %d %.100s", name, owns, a.status, a.body)
		}
	}
	if s := c.awaitRebalance(rebalance); s.Aborted || s.Err != "" {
		t.Errorf("%s: %+v", rebalance, s)
	}
	if page := call(t, http.MethodGet, p.URL()+"/v1/buckets/b", `{"action":"list","value":{}}`, "Content-Type", "application/json"); page.status != http.StatusOK || page.header.Get("Ais-Stale") != "" {
		t.Errorf("listing: %d, stale %q", page.status, page.header.Get("Ais-Stale"))
	}
	must(t, http.StatusOK, http.MethodPut, objectURL(p, "b", its[0]), "written meanwhile")
	must(t, http.StatusNotFound, http.MethodDelete, objectURL(p, "b", its[1]), "")

	c.start(lost)
	c.waitReady()
	c.eventually("it is a member again", func() error {
		nodes, _ := c.members(p)
		if _, there := nodes[id]; !there {
			return fmt.Errorf("%s is not in the map", id)
		}
		return nil
	})
	for range 3 {
		c.readBack(p, "b", its[0], "written meanwhile")
		for _, name := range its[1:] {
			c.eventually("nothing comes to light", func() error {
				a := call(t, http.MethodGet, objectURL(p, "b", name), "")
				switch a.status {
				case http.StatusNotFound:
					return nil
				case http.StatusServiceUnavailable:
					return fmt.Errorf("%s: 503", name)
				}
				t.Fatalf("%s: %d %.100s", name, a.status, a.body)
				return nil
			})
		}
	}
	inQuarantine := c.quarantined(roots, "b")
	if len(inQuarantine) != len(its) {
		t.Errorf("%d objects in quarantine, want %d", len(inQuarantine), len(its))
	}
	for _, name := range its {
		if inQuarantine[name] != objects[name] {
			t.Errorf("%s is not in quarantine as it was", name)
		}
	}
	c.eventually("it tells how much is in quarantine", func() error {
		files := int64(0)
		for _, a := range decode[wire.DiskStatsCap](t, must(t, 200, http.MethodGet, lost.URL()+"/v1/daemon?what=disk", "").body).SetAside {
			if !a.Counted {
				return fmt.Errorf("not counted: %+v", a)
			}
			files += a.Files
		}
		if files < int64(len(its)) {
			return fmt.Errorf("%d files", files)
		}
		return nil
	})

	// What it is given now stays, whatever happens to it.
	for _, name := range its {
		c.putEventually(p, "b", name, "new "+name)
	}
	c.kill(lost)
	c.start(lost)
	c.waitReady()
	for _, name := range its {
		c.readBack(p, "b", name, "new "+name)
	}
	if now := c.quarantined(roots, "b"); len(now) != len(its) {
		t.Errorf("%d objects in quarantine after another start, want %d", len(now), len(its))
	}
}
