package test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/aistore-go/aistore/deploy/playground"
)

const diskFaultFlag = 1 << 13

// nodeID is the id of a running node.
func (c *cluster) nodeID(n *playground.Node) string {
	c.t.Helper()
	a := must(c.t, http.StatusOK, http.MethodGet, n.URL()+"/v1/daemon?what=snode", "")
	return decode[struct {
		ID string `json:"daemon_id"`
	}](c.t, a.body).ID
}

// mountpathCall sends a mountpath operation through a gateway.
func (c *cluster) mountpathCall(gateway, n *playground.Node, method, body, query string) answer {
	c.t.Helper()
	return call(c.t, method, gateway.URL()+"/v1/reverse/daemon/mountpaths"+query, body, "Ais-Node-Id", c.nodeID(n), "Content-Type", jsonType)
}

// mountpath does a mountpath operation and checks the status; want may be
// followed by a type code and pieces of the message.
func (c *cluster) mountpath(n *playground.Node, action, path, query string, status int, want ...string) {
	c.t.Helper()
	body, err := json.Marshal(map[string]string{"action": action, "value": path})
	if err != nil {
		c.t.Fatal(err)
	}
	method := map[string]string{"attach-mp": http.MethodPut, "detach-mp": http.MethodDelete}[action]
	if method == "" {
		method = http.MethodPost
	}
	a := c.mountpathCall(c.nodes[0], n, method, string(body), query)
	if a.status != status {
		c.t.Errorf("%s %s%s: status %d, want %d: %s", action, path, query, a.status, status, a.body)
		return
	}
	if len(want) > 0 {
		if e := decode[struct {
			TypeCode string `json:"tcode"`
		}](c.t, a.body); e.TypeCode != want[0] {
			c.t.Errorf("%s %s%s: type code %q, want %q: %s", action, path, query, e.TypeCode, want[0], a.body)
		}
		for _, text := range want[1:] {
			if !strings.Contains(a.body, text) {
				c.t.Errorf("%s %s%s: no %q in %s", action, path, query, text, a.body)
			}
		}
	}
}

// mountpathLists are the mountpaths that a target shows through a gateway.
type mountpathLists struct {
	Available []string `json:"available"`
	Waiting   []string `json:"waiting_dd"`
	Disabled  []string `json:"disabled"`
}

func (c *cluster) mountpaths(n *playground.Node) mountpathLists {
	c.t.Helper()
	gateway := c.proxies()[len(c.proxies())-1]
	a := must(c.t, http.StatusOK, http.MethodGet, gateway.URL()+"/v1/reverse/daemon?what=mountpaths", "", "Ais-Node-Id", c.nodeID(n))
	return decode[mountpathLists](c.t, a.body)
}

func (c *cluster) wantMountpaths(n *playground.Node, available, disabled []string) {
	c.t.Helper()
	have := c.mountpaths(n)
	slices.Sort(available)
	slices.Sort(disabled)
	if !slices.Equal(have.Available, available) || !slices.Equal(have.Disabled, disabled) || have.Waiting == nil || len(have.Waiting) > 0 {
		c.t.Errorf("mountpaths %+v, want available %q, disabled %q", have, available, disabled)
	}
}

// configured are the mountpaths that the playground gave a target.
func (c *cluster) configured(n *playground.Node) (paths []string) {
	for i := 1; i <= c.Mountpaths; i++ {
		paths = append(paths, c.Mountpath(n, i))
	}
	return paths
}

// newDisk is an empty directory beside the mountpaths of a target.
func (c *cluster) newDisk(name string) string {
	c.t.Helper()
	path := filepath.Join(c.Root, name)
	if err := os.MkdirAll(path, 0o755); err != nil {
		c.t.Fatal(err)
	}
	return path
}

func (c *cluster) restartTarget(n *playground.Node, signal syscall.Signal) {
	c.t.Helper()
	if err := n.Signal(signal); err != nil {
		c.t.Fatal(err)
	}
	c.waitStopped(n)
	c.start(n)
	c.waitReady()
}

func (c *cluster) wantFlags(n *playground.Node, want uint64) {
	c.t.Helper()
	c.eventually("flags of "+n.Name(), func() error {
		flags, err := nodeFlags(n)
		if flags &^= 128; err == nil && flags != want { // a node that was killed shows that for a while
			err = fmt.Errorf("flags %d, want %d", flags, want)
		}
		return err
	})
}

// objects are names with the content that each must have.
type objects map[string]string

func (c *cluster) putObjects(count int) objects {
	c.t.Helper()
	all := objects{}
	for i := range count {
		name := fmt.Sprintf("dir/o%03d", i)
		all[name] = "content of " + name
		must(c.t, http.StatusOK, http.MethodPut, objectURL(c.nodes[0], "b", name), all[name])
	}
	return all
}

// wantObjects reads all, and lists all once.
func (c *cluster) wantObjects(all objects) {
	c.t.Helper()
	for name, content := range all {
		var a answer
		c.eventually("read "+name, func() (err error) { // a target that has just come back
			a, err = try(client, http.MethodGet, objectURL(c.nodes[0], "b", name), "")
			if err == nil && a.status == http.StatusServiceUnavailable {
				err = errors.New(a.body)
			}
			return err
		})
		if a.status != http.StatusOK || a.body != content {
			c.t.Errorf("%s: status %d, %.60q, want %q", name, a.status, a.body, content)
		}
	}
	names := listAll(c.t, c.proxies(), "b", "", 50)
	want := make([]string, 0, len(all))
	for name := range all {
		want = append(want, name)
	}
	slices.Sort(want)
	if !slices.Equal(names, want) {
		c.t.Errorf("listed are %d names, want %d", len(names), len(want))
	}
}

// onDisk are the objects whose file lies on a mountpath.
func onDisk(t *testing.T, path string) (names []string) {
	t.Helper()
	root := filepath.Join(path, "@ais/b/%ob")
	err := filepath.WalkDir(root, func(file string, entry os.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			names = append(names, strings.TrimPrefix(file, root+"/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// Every row of the table of mountpath operations.
func TestMountpathOperations(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2, 2)
	p, n := c.nodes[0], c.targets()[0]
	createBucket(t, p, "b", "")
	paths := c.configured(n)
	third := c.newDisk("third")
	file := filepath.Join(c.Root, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}

	t.Run("value", func(t *testing.T) {
		for _, value := range []string{`""`, `7`, `null`, `["/a"]`, `{}`} {
			for _, action := range []string{"attach-mp", "enable-mp", "disable-mp", "detach-mp", "rescan-mp", "fshc-mp"} {
				if a := c.mountpathCall(p, n, http.MethodPost, `{"action":"`+action+`","value":`+value+`}`, ""); a.status != http.StatusBadRequest {
					t.Errorf("%s %s: status %d: %s", action, value, a.status, a.body)
				}
			}
		}
		if a := c.mountpathCall(p, n, http.MethodPost, `{"action":"format-mp","value":"/a"}`, ""); a.status != http.StatusBadRequest {
			t.Errorf("unknown action: status %d: %s", a.status, a.body)
		}
		if a := c.mountpathCall(p, n, http.MethodPost, `{"action"`, ""); a.status != http.StatusBadRequest {
			t.Errorf("no JSON: status %d: %s", a.status, a.body)
		}
	})
	t.Run("attach-mp", func(t *testing.T) {
		c.mountpath(n, "attach-mp", c.Root+"/nowhere", "", 404, "ErrMpathNotFound", "does not exist")
		for _, bad := range []string{"data/disk", "/", "//", "/" + strings.Repeat("x", 256), file, paths[0], paths[1] + "/@ais/b", filepath.Dir(paths[0])} {
			c.mountpath(n, "attach-mp", bad, "", 400, "ErrInvalidMountpath")
		}
		c.mountpath(n, "attach-mp", third, "?mountpath_label=two%20words", 400, "ErrInvalidMountpath", "label")
		c.wantMountpaths(n, paths, nil)
		c.mountpath(n, "attach-mp", third+"/", "?mountpath_label=fast", 200)
		c.wantMountpaths(n, append([]string{third}, paths...), nil)
		status := must(t, http.StatusOK, http.MethodGet, n.URL()+"/v1/daemon?what=disk", "")
		disk := decode[diskAnswer](t, status.body)
		if disk.Mountpaths[third].Label != "fast" || disk.Mountpaths[third].Avail == "" || len(disk.Mountpaths) != len(paths)+1 || disk.Stats == nil {
			t.Errorf("what=disk: %s", status.body)
		}
		c.mountpath(n, "attach-mp", third, "", 400, "ErrInvalidMountpath", "attached already")
	})
	t.Run("disable-mp", func(t *testing.T) {
		c.mountpath(n, "disable-mp", "/unknown", "", 404, "ErrMpathNotFound")
		c.mountpath(n, "disable-mp", "/unknown", "?dntres=true", 404, "ErrMpathNotFound")
		c.mountpath(n, "disable-mp", third, "", 200) // holds nothing
		c.mountpath(n, "disable-mp", third, "", 204)
		c.mountpath(n, "disable-mp", third, "?dntres=true", 204)
		c.wantMountpaths(n, paths, []string{third})
		c.wantFlags(n, 6) // what an operator did is no alert
		c.mountpath(n, "attach-mp", third, "", 400, "ErrInvalidMountpath", "disabled")
	})
	t.Run("enable-mp", func(t *testing.T) {
		c.mountpath(n, "enable-mp", "/unknown", "", 404, "ErrMpathNotFound")
		c.mountpath(n, "enable-mp", third, "", 200)
		c.mountpath(n, "enable-mp", third, "", 204)
	})
	t.Run("rescan-mp", func(t *testing.T) {
		c.mountpath(n, "rescan-mp", third, "", 200)
		c.mountpath(n, "rescan-mp", third, "?dntres=true", 200)
		c.mountpath(n, "rescan-mp", "/unknown", "", 400, "ErrInvalidMountpath", "not available")
	})
	t.Run("fshc-mp", func(t *testing.T) {
		c.mountpath(n, "fshc-mp", third, "", 200)
		c.mountpath(n, "fshc-mp", third, "", 200) // within four minutes: not again
		c.mountpath(n, "fshc-mp", "/unknown", "", 400, "ErrInvalidMountpath", "not available")
		c.eventually("result of the health check", func() error {
			log := tail(filepath.Join(n.LogDir(), "aistarget.INFO"), 1<<20)
			if !strings.Contains(log, "health check: healthy") {
				return errors.New("not in the log")
			}
			return nil
		})
		stats := must(t, http.StatusOK, http.MethodGet, n.URL()+"/v1/daemon?what=node_stats", "")
		tracker := decode[struct {
			Tracker map[string]struct {
				V string `json:"v"`
			} `json:"tracker"`
		}](t, stats.body).Tracker
		if tracker["err.fshc.n"].V != "1" {
			t.Errorf("counted %q checks, want 1", tracker["err.fshc.n"].V)
		}
	})
	t.Run("detach-mp", func(t *testing.T) {
		c.mountpath(n, "detach-mp", "/unknown", "", 404, "ErrMpathNotFound")
		c.mountpath(n, "detach-mp", third, "", 200)
		c.mountpath(n, "detach-mp", third, "", 404, "ErrMpathNotFound")
		c.mountpath(n, "enable-mp", third, "", 404, "ErrMpathNotFound")
		c.wantMountpaths(n, paths, nil)
	})
	t.Run("objects are moved off first", func(t *testing.T) {
		all := c.putObjects(60)
		full := paths[1]
		if len(onDisk(t, full)) == 0 {
			t.Fatal("no object on " + full)
		}
		c.mountpath(n, "disable-mp", full, "", 200)
		c.eventually("the mountpath leaves", func() error {
			if have := c.mountpaths(n); !slices.Contains(have.Disabled, full) {
				return fmt.Errorf("%+v", have)
			}
			return nil
		})
		if left := onDisk(t, full); len(left) > 0 {
			t.Errorf("objects on it: %q", left)
		}
		c.wantObjects(all)
		c.mountpath(n, "enable-mp", full, "", 200)
		c.eventually("objects move to it", func() error {
			if len(onDisk(t, full)) == 0 {
				return errors.New("there are none")
			}
			return nil
		})
		c.wantObjects(all)
		c.mountpath(n, "disable-mp", full, "?dntres=true", 200)
		c.mountpath(n, "enable-mp", full, "", 200)
		c.wantObjects(all)
	})
	t.Run("the last mountpath", func(t *testing.T) {
		for _, path := range paths[1:] {
			c.mountpath(n, "disable-mp", path, "?dntres=true", 200)
		}
		c.mountpath(n, "disable-mp", paths[0], "?dntres=true", 400, "ErrInvalidMountpath", "last", "force=true")
		c.mountpath(n, "detach-mp", paths[0], "?dntres=true", 400, "ErrInvalidMountpath", "last", "force=true")
		c.mountpath(n, "disable-mp", paths[0], "?dntres=true&force=true", 200)
		c.wantMountpaths(n, nil, slices.Clone(paths))
		c.wantFlags(n, 6|diskFaultFlag)
		name := ""
		for i := 0; name == ""; i++ {
			if candidate := "of the other " + itoa(i); c.owner("b", strings.ReplaceAll(candidate, " ", "-")) == n {
				name = strings.ReplaceAll(candidate, " ", "-")
			}
		}
		for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodHead, http.MethodDelete} {
			if a := call(t, method, objectURL(p, "b", name), ""); a.status != http.StatusServiceUnavailable {
				t.Errorf("%s: status %d: %s", method, a.status, a.body)
			}
		}
		for _, path := range paths {
			c.mountpath(n, "enable-mp", path, "", 200)
		}
		c.wantFlags(n, 6)
		must(t, http.StatusOK, http.MethodPut, objectURL(p, "b", name), "again")
	})
	t.Run("any method, any gateway", func(t *testing.T) {
		for i, method := range []string{http.MethodPut, http.MethodPost, http.MethodDelete} {
			body := fmt.Sprintf(`{"action":"rescan-mp","value":%q}`, paths[0])
			if a := c.mountpathCall(c.proxies()[i%2], n, method, body, ""); a.status != http.StatusOK {
				t.Errorf("%s: status %d: %s", method, a.status, a.body)
			}
		}
		if a := call(t, http.MethodPut, n.URL()+"/v1/daemon/mountpaths", `{"action":"rescan-mp","value":"`+paths[0]+`"}`); a.status != http.StatusForbidden {
			t.Errorf("asked directly: status %d: %s", a.status, a.body)
		}
		a := call(t, http.MethodPut, p.URL()+"/v1/daemon/mountpaths", `{"action":"rescan-mp","value":"`+paths[0]+`"}`)
		if a.status < 400 {
			t.Errorf("a proxy has no mountpaths: status %d: %s", a.status, a.body)
		}
	})
}

// diskAnswer is what=disk.
type diskAnswer struct {
	Stats      map[string]json.RawMessage `json:"AllDiskStats"`
	Mountpaths map[string]struct {
		Label string   `json:"mountpath_label"`
		Disks []string `json:"disks"`
		Used  string   `json:"used"`
		Avail string   `json:"avail"`
	} `json:"mountpaths"`
	Error string `json:"cs_err"`
}

// Outside of the test mode, mountpaths must say that they share a filesystem.
func TestMountpathsOfOneFilesystemNeedLabels(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, 1)
	if err := c.WriteConfiguration(); err != nil {
		t.Fatal(err)
	}
	n := c.targets()[0]
	first, second := c.newDisk("disks/a"), c.newDisk("disks/b")
	c.startWith(n, map[string]string{first: "pool"})
	c.mountpath(n, "attach-mp", second, "", 400, "ErrInvalidMountpath", "shares its filesystem", "label")
	c.mountpath(n, "attach-mp", second, "?mountpath_label=pool", 200)
	c.restartTarget(n, syscall.SIGTERM)
	c.wantMountpaths(n, []string{first, second}, nil)
}

// startWith starts a cluster of one target with these mountpaths.
func (c *cluster) startWith(n *playground.Node, paths map[string]string) {
	c.t.Helper()
	editJSON(c.t, n.LocalFile(), func(m map[string]any) {
		m["fspaths"], m["test_fspaths"] = paths, map[string]any{"root": c.Root, "count": 0, "instance": 0}
	})
	c.t.Cleanup(c.down)
	for _, node := range c.nodes {
		c.start(node)
	}
	c.waitReady()
}
