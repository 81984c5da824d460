package fs_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/cmn/hrw"
	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/fs/faultfs"
)

// disks are folders that stand for disks: made once, opened again and again.
type disks struct {
	t       *testing.T
	root    string
	paths   []string
	confDir string
	events  *events
	system  *faultfs.System
	faulty  bool // faults are armed that nothing selects
}

func newDisks(t *testing.T, count int) *disks { return newDisksIn(t, t.TempDir(), count) }

// newMemoryDisks are quick ones, for tests that do much and prove nothing of
// disks.
func newMemoryDisks(t *testing.T, count int) *disks { return newDisksIn(t, memoryDir(t), count) }

func newDisksIn(t *testing.T, root string, count int) *disks {
	d := &disks{t: t, root: root, confDir: filepath.Join(root, "conf"), events: new(events), system: faultfs.New(nil)}
	if err := os.Mkdir(d.confDir, 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range count {
		path := filepath.Join(d.root, "mp"+string(rune('1'+i)))
		if err := os.Mkdir(path, 0o755); err != nil {
			t.Fatal(err)
		}
		d.paths = append(d.paths, path)
	}
	return d
}

func (d *disks) options() fs.Options {
	opts := options(d.paths...)
	opts.ConfDir, opts.OnEvent, opts.System = d.confDir, d.events.add, d.system
	return opts
}

// cycle opens and closes, and returns what was there.
func (d *disks) cycle(change func(*fs.Options)) (*fs.Manager, error) {
	d.t.Helper()
	opts := d.options()
	if change != nil {
		change(&opts)
	}
	m, err := fs.Open(opts)
	if err == nil {
		// A fault may hit Close as well: it reports and still lets go.
		if closeErr := m.Close(); closeErr != nil && !d.faulty {
			d.t.Errorf("Close: %v", closeErr)
		}
	}
	return m, err
}

func (d *disks) mustCycle() *fs.Manager {
	d.t.Helper()
	m, err := d.cycle(nil)
	if err != nil {
		d.t.Fatalf("Open: %v", err)
	}
	return m
}

func (d *disks) move(from, to string) {
	d.t.Helper()
	if err := os.Rename(from, to); err != nil {
		d.t.Fatal(err)
	}
}

func wantText(t testing.TB, err error, texts ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error, want one with %q", texts)
		return
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("error %q does not contain %q", err, text)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("error is not one line: %q", err)
	}
}

func TestIdentitySurvivesRestart(t *testing.T) {
	t.Parallel()
	d := newDisks(t, 3)
	first := d.mustCycle()
	if first.NodeID() != "newNode1" {
		t.Errorf("node id %q", first.NodeID())
	}
	again, err := d.cycle(func(o *fs.Options) { o.NewNodeID = nil })
	if err != nil {
		t.Fatal(err)
	}
	if again.NodeID() != "newNode1" {
		t.Errorf("node id %q was not recovered from the disks", again.NodeID())
	}
	for i, mp := range again.Available().Paths {
		was := first.Available().Paths[i]
		if mp.ID != was.ID || mp.Digest != was.Digest || mp.Digest != hrw.Digest(mp.Path) || mp.Path != d.paths[i] {
			t.Errorf("%s: id %s digest %d, was %s %d", mp.Path, mp.ID, mp.Digest, was.ID, was.Digest)
		}
	}
}

func TestMovedMountPointKeepsPlacement(t *testing.T) {
	t.Parallel()
	d := newDisks(t, 2)
	first := d.mustCycle().Available()
	moved := filepath.Join(d.root, "elsewhere")
	d.move(d.paths[0], moved)
	if err := os.Mkdir(d.paths[0], 0o755); err != nil { // another disk at the old place
		t.Fatal(err)
	}
	old := d.paths[0]
	d.paths = []string{moved, d.paths[1], old}
	set := d.mustCycle().Available()
	if len(set.Paths) != 3 {
		t.Fatalf("%d mountpaths in use, want 3", len(set.Paths))
	}
	if mp := set.ByPath(moved); mp.Digest != first.ByPath(old).Digest || mp.ID != first.ByPath(old).ID {
		t.Error("the moved disk has another placement digest")
	}
	if set.ByPath(old).Digest == set.ByPath(moved).Digest {
		t.Error("two disks have one placement digest")
	}
	if d.events.count(fs.EventDisabled) != 0 {
		t.Error("a moved disk raised an alert")
	}
}

func TestReturningDiskDoesNotShareADigest(t *testing.T) {
	t.Parallel()
	d := newDisks(t, 2)
	d.mustCycle()
	away, old, all := filepath.Join(d.root, "shelf"), d.paths[0], d.paths
	d.move(old, away)
	d.paths = all[1:]
	d.mustCycle() // the operator takes the path out of the configuration
	if err := os.Mkdir(old, 0o755); err != nil {
		t.Fatal(err)
	}
	d.paths = all
	replacement := d.mustCycle().Available().ByPath(old)
	if replacement == nil || replacement.Digest != hrw.Digest(old) {
		t.Fatalf("a new disk at a forgotten path: %+v", replacement)
	}
	d.paths = append(slices.Clone(all), away)
	set := d.mustCycle().Available()
	if len(set.Paths) != 3 || set.ByPath(old).Digest != replacement.Digest || set.ByPath(away).Digest == replacement.Digest {
		t.Error("the disk that came back took or shares the digest of the one in use")
	}
}

func TestMissingMountpaths(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		damage func(d *disks, path string)
	}{
		{"directory is gone", func(d *disks, path string) { d.move(path, path+".away") }},
		{"directory is a file", func(d *disks, path string) { d.move(path, path+".away"); touch(d.t, path) }},
		{"unmounted: empty directory", func(d *disks, path string) {
			d.move(path, path+".away")
			if err := os.Mkdir(path, 0o755); err != nil {
				d.t.Fatal(err)
			}
		}},
		{"id record is damaged", func(d *disks, path string) {
			data, err := os.ReadFile(filepath.Join(path, ".ais.id"))
			if err != nil {
				d.t.Fatal(err)
			}
			data = []byte(strings.Replace(string(data), "newNode1", "newNode2", 1))
			if err := os.WriteFile(filepath.Join(path, ".ais.id"), data, 0o644); err != nil {
				d.t.Fatal(err)
			}
		}},
		{"read-only", func(d *disks, path string) {
			d.system.Inject(faultfs.Fault{Op: faultfs.OpSetXattr, Path: path, Err: unix.EROFS})
		}},
		{"id record cannot be read", func(d *disks, path string) {
			d.system.Inject(faultfs.Fault{Op: faultfs.OpRead, Path: path + "/.ais.id", Err: errDisk})
		}},
		{"lock file cannot be made", func(d *disks, path string) {
			d.system.Inject(faultfs.Fault{Op: faultfs.OpCreate, Path: path + "/.ais.lock", Err: errDisk})
		}},
		{"stat fails", func(d *disks, path string) {
			d.system.Inject(faultfs.Fault{Op: faultfs.OpStat, Path: path, Err: errDisk})
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			d := newDisks(t, 3)
			before := d.mustCycle()
			lost, id := d.paths[1], before.Available().Paths[1].ID
			tc.damage(d, lost)
			m := d.mustCycle()
			lists := m.Lists()
			if !slices.Equal(lists.Disabled, []string{lost}) || !slices.Equal(lists.Available, []string{d.paths[0], d.paths[2]}) ||
				lists.WaitingDD == nil {
				t.Errorf("lists %+v", lists)
			}
			if d.events.count(fs.EventDisabled) != 1 {
				t.Errorf("%d alerts, want 1", d.events.count(fs.EventDisabled))
			}
			if exists(lost + ".away") {
				if exists(lost+"/.ais.id") || exists(lost+"/.ais.lock") {
					t.Error("something was written where the disk is missing")
				}
				d.mustCycle() // still known at the next start
				if err := os.RemoveAll(lost); err != nil {
					t.Fatal(err)
				}
				d.move(lost+".away", lost)
				if back := d.mustCycle().Available().ByPath(lost); back == nil || back.ID != id {
					t.Error("the disk came back and is not in use")
				}
			}
		})
	}
}

func TestAllMountpathsMissing(t *testing.T) {
	t.Parallel()
	d := newDisks(t, 2)
	m, err := fs.Open(d.options())
	if err != nil {
		t.Fatal(err)
	}
	if err := m.SetClusterUUID("cluster", "lineage"); err != nil {
		t.Fatal(err)
	}
	closeManager(t, m)
	for _, path := range d.paths {
		d.move(path, path+".away")
	}
	m, err = d.cycle(func(o *fs.Options) { o.NewNodeID = nil })
	if err != nil {
		t.Fatal(err)
	}
	uuid, lineage := m.ClusterUUID()
	if len(m.Available().Paths) != 0 || len(m.Lists().Disabled) != 2 || m.NodeID() != "newNode1" || uuid != "cluster" || lineage != "lineage" {
		t.Errorf("lists %+v, node %q, cluster %q %q", m.Lists(), m.NodeID(), uuid, lineage)
	}
	if mp := m.Available().Owner(1); mp != nil {
		t.Errorf("owner %v of an empty set", mp)
	}
}

func TestConflicts(t *testing.T) {
	t.Parallel()
	other := func(d *disks, id string) string { // a disk of another node
		path := filepath.Join(d.root, "other")
		opts := options(path)
		opts.NodeID = id
		m, err := fs.Open(opts)
		if err != nil {
			d.t.Fatal(err)
		}
		closeManager(d.t, m)
		return path
	}
	for _, tc := range []struct {
		name    string
		prepare func(d *disks, o *fs.Options)
		want    []string
	}{
		{"two nodes", func(d *disks, o *fs.Options) { o.Mountpaths[other(d, "stranger")] = "" },
			[]string{"storage integrity error sie#10", "newNode1", "stranger"}},
		{"not the configured node", func(d *disks, o *fs.Options) { o.NodeID = "configured" },
			[]string{"storage integrity error sie#20", "newNode1", "configured"}},
		{"not the configured cluster", func(d *disks, o *fs.Options) { o.ClusterUUID = "cluster2" },
			[]string{"storage integrity error sie#20", "cluster1", "cluster2"}},
		{"copied disk", func(d *disks, o *fs.Options) {
			twin := filepath.Join(d.root, "twin")
			if err := os.CopyFS(twin, os.DirFS(d.paths[0])); err != nil {
				d.t.Fatal(err)
			}
			o.Mountpaths[twin] = ""
		}, []string{"storage integrity error sie#30", "twin"}},
		{"unknown missing path", func(d *disks, o *fs.Options) {
			o.TestMode = false
			o.Mountpaths = map[string]string{filepath.Join(d.root, "nowhere"): ""}
		}, []string{"storage integrity error sie#60", "nowhere"}},
		{"unsupported attributes", func(d *disks, o *fs.Options) {
			d.system.Inject(faultfs.Fault{Op: faultfs.OpSetXattr, Path: d.paths[0], Err: unix.ENOTSUP})
		}, []string{"extended attributes", "operation not supported"}},
		{"new path cannot be written", func(d *disks, o *fs.Options) {
			path := filepath.Join(d.root, "new")
			o.Mountpaths[path] = ""
			d.system.Inject(faultfs.Fault{Op: faultfs.OpCreate, Path: path, Err: unix.EROFS})
		}, []string{"read-only file system"}},
		{"no mountpaths", func(d *disks, o *fs.Options) { o.Mountpaths = nil }, []string{"at least one"}},
		{"relative", func(d *disks, o *fs.Options) { o.Mountpaths["data"] = "" }, []string{`"data"`, "absolute"}},
		{"root", func(d *disks, o *fs.Options) { o.Mountpaths["//"] = "" }, []string{"root directory"}},
		{"too long", func(d *disks, o *fs.Options) { o.Mountpaths["/"+strings.Repeat("x", 255)] = "" }, []string{"255 bytes"}},
		{"twice", func(d *disks, o *fs.Options) { o.Mountpaths[d.paths[0]+"/"] = "" }, []string{"twice"}},
		{"nested", func(d *disks, o *fs.Options) { o.Mountpaths[d.paths[0]+"/sub"] = "" }, []string{"inside"}},
		{"shared filesystem", func(d *disks, o *fs.Options) { o.TestMode = false }, []string{"shares its filesystem", "label"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			d := newDisks(t, 2)
			m, err := fs.Open(d.options())
			if err != nil {
				t.Fatal(err)
			}
			if err := m.SetClusterUUID("cluster1", "l1"); err != nil {
				t.Fatal(err)
			}
			wantText(t, m.SetClusterUUID("cluster3", "l1"), "cluster1", "cluster3")
			closeManager(t, m)
			_, err = d.cycle(func(o *fs.Options) { tc.prepare(d, o) })
			wantText(t, err, tc.want...)
			d.system.Heal()
			d.mustCycle() // nothing is spoiled, no lock is left
		})
	}
}

func TestLabelsAllowSharing(t *testing.T) {
	t.Parallel()
	d := newDisks(t, 2)
	m, err := d.cycle(func(o *fs.Options) {
		o.TestMode = false
		o.Mountpaths = map[string]string{d.paths[0]: "shared", d.paths[1]: "shared"}
	})
	if err != nil {
		t.Fatal(err)
	}
	paths := m.Available().Paths
	if paths[0].Filesystem() != paths[1].Filesystem() || len(m.Filesystems()) != 1 {
		t.Error("mountpaths of one filesystem do not share their flush rounds")
	}
	if paths[0].Label != "shared" || paths[0].Filesystem().Type == "" {
		t.Errorf("label %q, type %q", paths[0].Label, paths[0].Filesystem().Type)
	}
}

func TestLockBetweenTwoNodes(t *testing.T) {
	t.Parallel()
	d := newDisks(t, 2)
	m, err := fs.Open(d.options())
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.cycle(nil)
	wantText(t, err, "in use by another node", d.paths[0], "process")
	// One shared mountpath is enough, and those taken before are given back.
	third := filepath.Join(d.root, "a-third")
	_, err = d.cycle(func(o *fs.Options) { o.Mountpaths = map[string]string{third: "", d.paths[1]: ""} })
	wantText(t, err, "in use by another node", d.paths[1])
	if exists(third + "/.ais.id") {
		t.Error("a start that failed left an id record")
	}
	closeManager(t, m)
	closeManager(t, m) // harmless
	d.mustCycle()
}

// Whatever call fails during a start: the start fails with an error, or leaves
// mountpaths out with an alert; after it, healed, everything is as it was.
func TestStartWithAFaultAtEveryCall(t *testing.T) {
	t.Parallel()
	for _, errno := range []unix.Errno{unix.EIO, unix.ENOSPC, unix.EROFS} {
		t.Run(errno.Error(), func(t *testing.T) {
			t.Parallel()
			d := newDisks(t, 2)
			first := d.mustCycle()
			for n := 1; ; n++ {
				d.system.Restart(faultfs.Fault{Nth: n, Err: errno})
				d.events, d.faulty = new(events), true
				m, err := d.cycle(nil)
				fired := slices.ContainsFunc(d.system.Calls(), func(c faultfs.Call) bool { return errors.Is(c.Err, errno) })
				d.system.Heal()
				d.faulty = false
				if err == nil && len(m.Available().Paths) < 2 && d.events.count(fs.EventDisabled) == 0 {
					t.Errorf("fault %d: a mountpath is missing without an alert", n)
				}
				again := d.mustCycle()
				for i, mp := range again.Available().Paths {
					if len(again.Available().Paths) != 2 || mp.ID != first.Available().Paths[i].ID || mp.Digest != first.Available().Paths[i].Digest {
						t.Fatalf("fault %d: identity is not what it was: %+v", n, again.Lists())
					}
				}
				if again.NodeID() != first.NodeID() {
					t.Fatalf("fault %d: node id %q", n, again.NodeID())
				}
				if !fired || n > 500 {
					t.Logf("%d calls", n)
					return
				}
			}
		})
	}
}

// The same for the very first start.
func TestFirstStartWithAFaultAtEveryCall(t *testing.T) {
	t.Parallel()
	for n := 1; ; n++ {
		d := newDisks(t, 2)
		d.system.Inject(faultfs.Fault{Nth: n, Err: errDisk, Late: n%2 == 0})
		d.faulty = true
		_, err := d.cycle(nil)
		fired := slices.ContainsFunc(d.system.Calls(), func(c faultfs.Call) bool { return errors.Is(c.Err, errDisk) })
		d.system.Heal()
		d.faulty = false
		m := d.mustCycle()
		if len(m.Available().Paths) != 2 {
			t.Fatalf("fault %d (start: %v): %+v", n, err, m.Lists())
		}
		if !fired || n > 500 {
			return
		}
	}
}

func TestStartRemovesOldWork(t *testing.T) {
	t.Parallel()
	d := newDisks(t, 1)
	m, err := fs.Open(d.options())
	if err != nil {
		t.Fatal(err)
	}
	mp := m.Available().Paths[0]
	closeManager(t, m) // it would empty the trash
	buckets := []string{"@ais/bucket", "@ais/#ns/bucket", "@aws/@uuid#ns/bucket"}
	var old []string
	for _, bucket := range buckets {
		old = append(old, filepath.Join(mp.Path, bucket, "%wk/put.1.1.1"), filepath.Join(mp.Path, bucket, "%wk/dir/x"))
		touch(t, filepath.Join(mp.Path, bucket, "%ob/%wk/keep"))
		touch(t, filepath.Join(mp.Path, bucket, "%ob/keep"))
	}
	// It empties its trash when it starts: what is to be found by the next one
	// must not be made before it has ended.
	closeManager(t, m)
	trash := filepath.Join(mp.Path, ".$deleted/old/123/%ob/deep/file")
	for _, path := range append(old, trash, filepath.Join(mp.Path, "@stray"), filepath.Join(mp.Path, "@ais/stray")) {
		touch(t, path)
	}

	m = open(t, d.options())
	for _, path := range old {
		if exists(path) {
			t.Errorf("%s is left", path)
		}
	}
	for _, bucket := range buckets {
		if !exists(filepath.Join(mp.Path, bucket, "%ob/%wk/keep")) || !exists(filepath.Join(mp.Path, bucket, "%ob/keep")) {
			t.Errorf("%s: an object was removed", bucket)
		}
	}
	eventually(t, "trash is empty", func() bool { return !exists(filepath.Join(mp.Path, ".$deleted/old")) })
	if m.NodeID() == "" {
		t.Error("no node id")
	}
}
