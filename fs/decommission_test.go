package fs_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/fs/faultfs"
	"golang.org/x/sys/unix"
)

// used makes a node with objects on three mountpaths, one of them disabled.
func used(t *testing.T) (*disks, *fs.Manager) {
	t.Helper()
	d := newMemoryDisks(t, 3)
	m := open(t, d.options())
	if err := m.SetClusterUUID("cluster1", "lineage1"); err != nil {
		t.Fatal(err)
	}
	for _, path := range d.paths {
		object(t, path, "dir/o")
		touch(t, filepath.Join(path, ".ais.quarantine/1/data"))
		touch(t, filepath.Join(path, "lost+found/of the operator"))
	}
	m.ExportBMD([]byte("first"))
	eventually(t, "export", func() bool { return exists(d.paths[1] + "/.ais.bmd") })
	m.ExportBMD([]byte("second"))
	eventually(t, "previous export", func() bool { return exists(d.paths[1] + "/.ais.bmd.prev") })
	if err := m.Remove(d.paths[2], fs.Disable, false); err != nil {
		t.Fatal(err)
	}
	return d, m
}

// wantClean checks what is left of a decommissioned node.
func wantClean(t *testing.T, d *disks, removed bool) {
	t.Helper()
	for _, path := range d.paths {
		for _, name := range []string{".ais.id", ".ais.vmd", ".ais.check"} {
			if exists(filepath.Join(path, name)) {
				t.Errorf("%s is left on %s", name, path)
			}
		}
		if exists(filepath.Join(path, "@ais/bucket/%ob/dir/o")) == removed || exists(filepath.Join(path, ".ais.quarantine/1/data")) == removed {
			t.Errorf("%s: user data is there although it was to be removed (%v), or the reverse", path, removed)
		}
		if !exists(filepath.Join(path, "lost+found/of the operator")) {
			t.Errorf("%s: a file that is not ours is gone", path)
		}
	}
	if exists(d.paths[0]+"/.ais.bmd") == removed {
		t.Error("the bucket metadata is to stay with the data, and not without")
	}
	for _, name := range []string{".ais.vmd", ".ais.decommission"} {
		if exists(filepath.Join(d.confDir, name)) {
			t.Errorf("%s is left in the configuration folder", name)
		}
	}
}

func TestDecommission(t *testing.T) {
	t.Parallel()
	for _, remove := range []bool{false, true} {
		d, m := used(t)
		if err := m.Decommission(remove); err != nil {
			t.Fatal(err)
		}
		if uuid, _ := m.ClusterUUID(); uuid != "" || len(m.Available().Paths) != 0 || len(m.Mountpaths()) != 0 {
			t.Errorf("still in use: %q %+v", uuid, m.Mountpaths())
		}
		wantClean(t, d, remove)
		if err := m.Decommission(remove); err != nil {
			t.Errorf("again: %v", err)
		}
		closeManager(t, m)
		again, err := d.cycle(func(o *fs.Options) { o.NewNodeID = func() string { return "otherNode" } })
		if err != nil {
			t.Fatal(err)
		}
		if again.NodeID() != "otherNode" || len(again.Available().Paths) != 3 {
			t.Errorf("node %q, %+v", again.NodeID(), again.Lists())
		}
	}
}

// Whatever call fails, Decommission says so or has done its work; the next
// start ends it.
func TestDecommissionWithAFaultAtEveryCall(t *testing.T) {
	t.Parallel()
	for n := 1; n < 500; n++ {
		d, m := used(t)
		d.system.Restart(faultfs.Fault{Nth: n, Err: errDisk, Late: n%2 == 0})
		err := m.Decommission(true)
		fired := slices.ContainsFunc(d.system.Calls(), func(call faultfs.Call) bool { return errors.Is(call.Err, errDisk) })
		_ = m.Close() // the fault may hit it
		d.system.Heal()
		if err == nil && fired && exists(d.paths[0]+"/.ais.id") {
			t.Errorf("call %d: no error, and nothing done", n)
		}
		begun := exists(d.confDir+"/.ais.decommission") || err == nil
		again, openErr := fs.Open(d.options())
		if openErr != nil {
			t.Fatalf("call %d: the node does not start: %v", n, openErr)
		}
		if begun {
			for _, path := range d.paths {
				if exists(filepath.Join(path, "@ais/bucket/%ob/dir/o")) {
					t.Errorf("call %d: user data is left on %s", n, path)
				}
			}
			if exists(d.confDir + "/.ais.decommission") {
				t.Errorf("call %d: a later start would remove what comes now", n)
			}
		}
		closeManager(t, again)
		if !fired {
			return
		}
	}
}

// An order that cannot be carried out at the start is dropped: what the node
// gets after that start must not be removed by the next one.
func TestDecommissionOrderIsCarriedOutOnce(t *testing.T) {
	t.Parallel()
	d, m := used(t)
	d.system.Inject(faultfs.Fault{Op: faultfs.OpReadDir, Path: d.paths[0], Err: unix.EIO, Times: -1})
	if err := m.Decommission(true); err == nil || !exists(d.confDir+"/.ais.decommission") {
		t.Fatalf("%v", err)
	}
	closeManager(t, m)
	again, err := fs.Open(d.options())
	if err != nil {
		t.Fatal(err)
	}
	d.system.Heal()
	object(t, d.paths[0], "new")
	_ = again.Close() // its sweep met the fault
	m = open(t, d.options())
	if !exists(d.paths[0] + "/@ais/bucket/%ob/new") {
		t.Error("an object that was stored after the decommission is gone")
	}
	if len(m.Available().Paths) == 0 {
		t.Error("nothing is in use")
	}
}

func TestClusterIdentity(t *testing.T) {
	t.Parallel()
	d := newDisks(t, 2)
	m := open(t, d.options())
	if uuid, lineage, err := m.ClusterIdentity(); uuid != "" || lineage != "" || err != nil {
		t.Errorf("a new node: %q %q %v", uuid, lineage, err)
	}
	if err := m.SetClusterUUID("cluster1", "lineage1"); err != nil {
		t.Fatal(err)
	}
	third := d.newPath("third")
	if err := m.Attach(third, "", nil); err != nil {
		t.Fatal(err)
	}
	// One disk is away while the lineage changes.
	if err := m.Remove(d.paths[1], fs.Disable, false); err != nil {
		t.Fatal(err)
	}
	if err := m.SetClusterUUID("cluster1", "lineage2"); err != nil {
		t.Fatal(err)
	}
	if err := m.Enable(d.paths[1], nil); err != nil {
		t.Fatal(err)
	}
	closeManager(t, m)
	m = open(t, d.options())
	if uuid, lineage, err := m.ClusterIdentity(); uuid != "cluster1" || lineage != "lineage2" || err != nil {
		t.Errorf("%q %q %v", uuid, lineage, err)
	}
	if err := m.ForgetCluster(); err != nil {
		t.Fatal(err)
	}
	closeManager(t, m)
	m = open(t, d.options())
	if uuid, lineage, err := m.ClusterIdentity(); uuid != "" || lineage != "" || err != nil {
		t.Errorf("forgotten: %q %q %v", uuid, lineage, err)
	}
	if err := m.SetClusterUUID("cluster2", "lineage3"); err != nil {
		t.Error(err)
	}
}

// Disks of two clusters: the node starts, says so, and belongs to none.
func TestClusterIdentityConflict(t *testing.T) {
	t.Parallel()
	d := newDisks(t, 2)
	for i, uuid := range []string{"cluster1", "cluster2"} {
		opts := options(d.paths[i])
		opts.NodeID, opts.ClusterUUID, opts.Lineage = "newNode1", uuid, "lineage"
		closeManager(t, open(t, opts))
	}
	m := open(t, d.options())
	uuid, lineage, err := m.ClusterIdentity()
	if uuid != "" || lineage != "" {
		t.Errorf("%q %q", uuid, lineage)
	}
	wantText(t, err, "storage integrity error sie#20", "cluster1", "cluster2", d.paths[0], d.paths[1])
	wantText(t, m.SetClusterUUID("cluster1", "lineage"), "storage integrity error sie#20")
	wantLists(t, m, d.paths, nil, nil)
	closeManager(t, m)
	m = open(t, d.options()) // the start has changed nothing
	if _, _, err := m.ClusterIdentity(); err == nil {
		t.Error("the disagreement was settled by a start")
	}
	if err := m.ForgetCluster(); err != nil {
		t.Fatal(err)
	}
	if err := m.SetClusterUUID("cluster3", "lineage"); err != nil {
		t.Error(err)
	}
}

// Copies of the metadata are on two mountpaths, follow them, and go elsewhere
// before one is detached.
func TestExports(t *testing.T) {
	t.Parallel()
	d := newDisks(t, 3)
	m := open(t, d.options())
	content := func(path string) string {
		data, err := os.ReadFile(path + "/.ais.bmd")
		if err != nil {
			return ""
		}
		return string(data)
	}
	m.ExportBMD([]byte("one"))
	m.ExportBMD([]byte("two"))
	eventually(t, "two copies", func() bool { return content(d.paths[0]) == "two" && content(d.paths[1]) == "two" })
	if content(d.paths[2]) != "" {
		t.Error("a third copy")
	}
	if err := m.Remove(d.paths[0], fs.Detach, false); err != nil {
		t.Fatal(err)
	}
	if content(d.paths[2]) != "two" || content(d.paths[0]) != "" {
		t.Errorf("after a detach: %q %q", content(d.paths[2]), content(d.paths[0]))
	}
	d.system.Inject(faultfs.Fault{Op: faultfs.OpCreate, Path: "/.ais.bmd", Err: unix.EIO, Times: -1})
	m.ExportBMD([]byte("three"))
	if err := m.Remove(d.paths[1], fs.Detach, false); err == nil {
		t.Error("detached although the copies could not be put elsewhere")
	}
	d.system.Heal()
	wantLists(t, m, d.paths[1:], nil, nil)
	if err := m.Remove(d.paths[1], fs.Detach, false); err != nil || content(d.paths[2]) != "three" {
		t.Errorf("%v, %q", err, content(d.paths[2]))
	}
}
