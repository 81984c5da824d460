package test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestMountpathWithoutADisk: a target whose disks cannot be resolved (its mountpath is in memory)
// starts, serves, and takes another one.
func TestMountpathWithoutADisk(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, 1)
	if err := c.WriteConfiguration(); err != nil {
		t.Fatal(err)
	}
	memory, err := os.MkdirTemp("/dev/shm", "aistore-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(memory); err != nil {
			t.Error(err)
		}
	})
	n := c.targets()[0]
	first, second := filepath.Join(memory, "a"), filepath.Join(memory, "b")
	for _, dir := range []string{first, second} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	c.startWith(n, map[string]string{first: "memory"})
	c.mountpath(n, "attach-mp", second, "?mountpath_label=memory", 200)
	createBucket(t, c.nodes[0], "b", "")
	c.wantObjects(c.putObjects(20))
	c.wantFlags(n, 6)
	disk := decode[diskAnswer](t, must(t, http.StatusOK, http.MethodGet, n.URL()+"/v1/daemon?what=disk", "").body)
	if len(disk.Mountpaths) != 2 || len(disk.Mountpaths[first].Disks) != 0 || len(disk.Stats) != 0 || disk.Mountpaths[first].Avail == "0" {
		t.Errorf("what=disk: %+v", disk)
	}
	c.eventually("warning in the log", func() error {
		log := tail(filepath.Join(n.LogDir(), "aistarget.INFO"), 1<<20)
		if !strings.Contains(log, "no disks found under mountpath") {
			return errors.New("none")
		}
		return nil
	})
}

// TestReplacedDisk: a broken disk is replaced by an empty one without a restart. Objects of a
// mirrored bucket can be read all the time, and have all copies again by themselves: after a start without
// the disk, and with the new one.
func TestReplacedDisk(t *testing.T) {
	t.Parallel()
	for _, action := range []string{"attach-mp", "enable-mp"} {
		t.Run(action, func(t *testing.T) {
			t.Parallel()
			c := startCluster(t, 1, 1)
			n := c.targets()[0]
			createBucket(t, c.nodes[0], "b", "")
			all := c.putObjects(40)
			broken := c.Mountpath(n, 2)
			lost := onDisk(t, broken)
			if len(lost) == 0 || len(lost) == len(all) {
				t.Fatalf("%d of %d objects on the disk", len(lost), len(all))
			}
			createBucket(t, c.nodes[0], "m", `{"mirror":{"enabled":true,"copies":2}}`)
			mirrored := putMany(t, c.nodes[0], "m", "m%03d", 30, small)
			twoCopies := func(when string) {
				t.Helper()
				for i, name := range mirrored {
					c.eventually("two copies of "+name+" "+when, func() error {
						a, err := try(client, http.MethodGet, objectURL(c.nodes[0], "m", name), "")
						switch {
						case err != nil:
							return err
						case a.status == http.StatusNotFound, a.status == http.StatusOK && a.body != small(i):
							t.Fatalf("%s: %s: %d %q", when, name, a.status, a.body)
						case a.status != http.StatusOK:
							return fmt.Errorf("%d %s", a.status, a.body)
						}
						if a = call(t, http.MethodHead, objectURL(c.nodes[0], "m", name), ""); a.header.Get("Ais-Mirror-Copies") != "2" {
							return fmt.Errorf("%d, copies %q", a.status, a.header.Get("Ais-Mirror-Copies"))
						}
						return nil
					})
				}
			}
			twoCopies("at first")
			if err := n.Signal(syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			c.waitStopped(n)
			if err := os.Rename(broken, broken+".broken"); err != nil {
				t.Fatal(err)
			}
			c.start(n)
			c.waitReady()
			c.wantFlags(n, 6|diskFaultFlag)
			others := []string{c.Mountpath(n, 1), c.Mountpath(n, 3), c.Mountpath(n, 4)}
			c.wantMountpaths(n, others, []string{broken})
			twoCopies("without the disk")
			c.mountpath(n, action, broken, "", 404, "ErrMpathNotFound")
			if err := os.Mkdir(broken, 0o755); err != nil { // the new disk is mounted
				t.Fatal(err)
			}
			c.wantMountpaths(n, others, []string{broken}) // nobody asked for it yet
			c.mountpath(n, action, broken, "", 200)
			c.wantMountpaths(n, c.configured(n), nil)
			c.wantFlags(n, 6)
			c.eventually("copies on the new disk", func() error {
				if found, err := filepath.Glob(broken + "/@ais/m/%ob/m*"); err != nil || len(found) == 0 {
					return fmt.Errorf("%q, %w", found, err)
				}
				return nil
			})
			twoCopies("with the new disk")
			for _, name := range lost {
				must(t, http.StatusNotFound, http.MethodGet, objectURL(c.nodes[0], "b", name), "")
				must(t, http.StatusOK, http.MethodPut, objectURL(c.nodes[0], "b", name), all[name])
			}
			c.wantObjects(all)
			if len(onDisk(t, broken)) == 0 {
				t.Error("nothing is stored on the new disk")
			}
			c.restartTarget(n, syscall.SIGKILL)
			c.wantMountpaths(n, c.configured(n), nil)
			c.wantObjects(all)
		})
	}
}

// TestVolumeRecordCannotBeWritten: a volume record that cannot be written fails the operation, and the
// node goes on.
func TestVolumeRecordCannotBeWritten(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 1)
	n := c.targets()[0]
	createBucket(t, c.nodes[0], "b", "")
	all := c.putObjects(20)
	third := c.newDisk("third")
	for _, dir := range []string{n.Dir, c.Mountpath(n, 1)} {
		obstacle := filepath.Join(dir, ".ais.vmd.new") // where the next record is written first
		if err := os.Mkdir(obstacle, 0o755); err != nil {
			t.Fatal(err)
		}
		c.mountpath(n, "attach-mp", third, "", 500, "", "volume record", dir)
		c.mountpath(n, "disable-mp", c.Mountpath(n, 2), "?dntres=true", 500, "", "volume record", dir)
		c.mountpath(n, "detach-mp", c.Mountpath(n, 2), "?dntres=true", 500, "", "volume record", dir)
		c.wantMountpaths(n, c.configured(n), nil)
		if err := os.Remove(obstacle); err != nil {
			t.Fatal(err)
		}
	}
	c.wantObjects(all)
	c.restartTarget(n, syscall.SIGKILL)
	c.wantMountpaths(n, c.configured(n), nil)
	c.wantObjects(all)
}

// TestKilledWhileMountpathsComeAndGo: killed again and again while mountpaths come and go under writes, the
// node starts, has the mountpaths that were acknowledged, and every
// acknowledged object when all mountpaths are back.
func TestKilledWhileMountpathsComeAndGo(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 1)
	p, n := c.nodes[0], c.targets()[0]
	createBucket(t, p, "b", "")
	all := c.putObjects(60)
	third, paths := c.newDisk("third"), c.configured(n)
	id := c.nodeID(n)
	rounds := 4
	if longTests() {
		rounds = 20
	}
	operation := func(action, path, query string) (status int) {
		body := fmt.Sprintf(`{"action":%q,"value":%q}`, action, path)
		a, err := try(client, http.MethodPost, p.URL()+"/v1/reverse/daemon/mountpaths"+query, body, "Ais-Node-Id", id, "Content-Type", jsonType)
		if err != nil {
			return 0
		}
		return a.status
	}
	for round := range rounds {
		random := rand.New(rand.NewPCG(uint64(round), 11))
		var acknowledged atomic.Int64
		var stop atomic.Bool
		var work sync.WaitGroup
		thirdIn := slices.Contains(c.mountpaths(n).Available, third) // as acknowledged
		asked := false                                               // an operation is under way that changes it
		work.Go(func() {
			for !stop.Load() {
				action := "attach-mp"
				if thirdIn {
					action = "detach-mp"
				}
				asked = true
				status := operation(action, third, "?dntres=true") // what lies on it comes back with it
				if status == 0 || status >= 502 {
					return // killed: unknown
				}
				if status == 200 {
					thirdIn = !thirdIn
				}
				asked = false
				acknowledged.Add(1)
				operation("disable-mp", paths[3], "?dntres=true")
				operation("enable-mp", paths[3], "")
				acknowledged.Add(1)
			}
		})
		written := objects{}
		work.Go(func() {
			for i := 0; !stop.Load(); i++ {
				name := fmt.Sprintf("round%d/o%d", round, i)
				a, err := try(client, http.MethodPut, objectURL(p, "b", name), "content of "+name)
				if err == nil && a.status == http.StatusOK {
					written[name] = "content of " + name
					acknowledged.Add(1)
				}
			}
		})
		killAt := int64(5 + random.IntN(60))
		c.eventually("some work is done", func() error {
			if acknowledged.Load() < killAt {
				return fmt.Errorf("%d operations", acknowledged.Load())
			}
			return nil
		})
		if err := n.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		stop.Store(true)
		work.Wait()
		c.waitStopped(n)
		c.start(n)
		c.waitReady()
		have := c.mountpaths(n)
		in := slices.Contains(have.Available, third)
		if !asked && in != thirdIn {
			t.Errorf("round %d: attached %v, acknowledged was %v: %+v", round, in, thirdIn, have)
		}
		c.eventually("the other one is there", func() error { // it may have been disabled when the node was killed
			if status := operation("enable-mp", paths[3], ""); status != 200 && status != 204 {
				return fmt.Errorf("enable: status %d", status)
			}
			return nil
		})
		if !in { // what was written to it is there
			if status := operation("attach-mp", third, ""); status != 200 {
				t.Errorf("round %d: attach: status %d", round, status)
			}
		}
		for name, content := range written {
			all[name] = content
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		_, err := n.Smap(ctx)
		cancel()
		if err != nil {
			t.Error(err)
		}
		for name, content := range all {
			if a := call(t, http.MethodGet, objectURL(p, "b", name), ""); a.status != http.StatusOK || a.body != content {
				t.Fatalf("round %d: %s: status %d, %.60q", round, name, a.status, a.body)
			}
		}
	}
}

// TestRemovalsSurviveRestarts: what an operator asked for one path is kept over restarts and over
// operations on other paths.
func TestRemovalsSurviveRestarts(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 1)
	n := c.targets()[0]
	createBucket(t, c.nodes[0], "b", "")
	all := c.putObjects(60)
	paths := c.configured(n)
	lost := append(onDisk(t, paths[1]), onDisk(t, paths[2])...)
	c.mountpath(n, "disable-mp", paths[1], "?dntres=true", 200)
	c.mountpath(n, "detach-mp", paths[2], "?dntres=true", 200)
	for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
		c.restartTarget(n, signal)
		c.wantMountpaths(n, []string{paths[0], paths[3]}, []string{paths[1]}) // each as it was asked for
		c.wantFlags(n, 6)
		c.eventually("the target serves", func() error {
			a, err := try(client, http.MethodHead, objectURL(c.nodes[0], "b", lost[0]), "")
			if err == nil && a.status == http.StatusServiceUnavailable {
				err = fmt.Errorf("status %d", a.status)
			}
			return err
		})
		for _, name := range lost {
			must(t, http.StatusNotFound, http.MethodGet, objectURL(c.nodes[0], "b", name), "")
		}
	}
	if _, err := os.Stat(filepath.Join(paths[2], ".ais.id")); err == nil {
		t.Error("a detached disk still has the node's id")
	}
	must(t, http.StatusOK, http.MethodPut, objectURL(c.nodes[0], "b", lost[0]), "written meanwhile")
	all[lost[0]] = "written meanwhile"
	c.mountpath(n, "enable-mp", paths[2], "", 404, "ErrMpathNotFound")
	c.mountpath(n, "enable-mp", paths[1], "", 200)
	c.mountpath(n, "attach-mp", paths[2], "", 200)
	c.wantMountpaths(n, paths, nil)
	c.wantObjects(all)
	c.restartTarget(n, syscall.SIGKILL)
	c.wantMountpaths(n, paths, nil)
	c.wantObjects(all)
}

// Objects stay where they are when a mountpath is added, and are found,
// overwritten, deleted and listed all the same.
func TestObjectsOverAnAttach(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 2)
	p, n := c.nodes[0], c.targets()[0]
	createBucket(t, p, "b", "")
	all := c.putObjects(150)
	third := c.newDisk("third")
	c.mountpath(n, "attach-mp", third, "", 200)
	c.wantObjects(all)
	c.restartTarget(n, syscall.SIGTERM)
	c.wantMountpaths(n, append([]string{third}, c.configured(n)...), nil)
	c.wantObjects(all)
	i := 0
	for name := range all {
		if i++; i%3 == 0 {
			must(t, http.StatusOK, http.MethodDelete, objectURL(p, "b", name), "")
			must(t, http.StatusNotFound, http.MethodGet, objectURL(p, "b", name), "")
			delete(all, name)
			continue
		}
		all[name] = "second generation of " + name
		must(t, http.StatusOK, http.MethodPut, objectURL(p, "b", name), all[name])
	}
	c.wantObjects(all)
	seen := map[string]string{}
	for _, path := range append([]string{third}, c.configured(n)...) {
		for _, name := range onDisk(t, path) {
			if other, twice := seen[name]; twice {
				t.Errorf("%s lies on %s and on %s", name, other, path)
			}
			seen[name] = path
		}
	}
	if len(onDisk(t, third)) == 0 {
		t.Error("nothing is stored on the new mountpath")
	}
	data, err := os.ReadFile(filepath.Join(c.Mountpath(n, 1), ".ais.bmd"))
	if err != nil || !strings.Contains(string(data), `"b"`) {
		t.Errorf("copy of the bucket metadata: %v: %.100s", err, data)
	}
}
