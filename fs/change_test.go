package fs_test

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/hrw"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/fs/faultfs"
)

// newPath is a directory that the node does not know.
func (d *disks) newPath(name string) string {
	d.t.Helper()
	path := filepath.Join(d.root, name)
	if err := os.MkdirAll(path, 0o755); err != nil {
		d.t.Fatal(err)
	}
	return path
}

// object makes a file that counts as an object.
func object(t testing.TB, mountpath, name string) {
	t.Helper()
	touch(t, filepath.Join(mountpath, "@ais/bucket/%ob", name))
}

func wantStatus(t testing.TB, err error, status int, code string) {
	t.Helper()
	if err == nil || apierr.StatusOf(err) != status || apierr.CodeOf(err) != code {
		t.Errorf("error %v (status %d, code %q), want status %d, code %q", err, apierr.StatusOf(err), apierr.CodeOf(err), status, code)
	}
}

func wantLists(t testing.TB, m *fs.Manager, available, waiting, disabled []string) {
	t.Helper()
	have := m.Lists()
	for _, l := range []struct {
		name       string
		have, want []string
	}{{"available", have.Available, available}, {"waiting", have.WaitingDD, waiting}, {"disabled", have.Disabled, disabled}} {
		want := slices.Sorted(slices.Values(l.want))
		if l.have == nil || !slices.Equal(l.have, want) {
			t.Errorf("%s: %q, want %q", l.name, l.have, want)
		}
	}
}

func TestAttachSurvivesARestart(t *testing.T) {
	t.Parallel()
	d := newDisks(t, 2)
	m := open(t, d.options())
	third := d.newPath("third")
	before := m.Available()
	prepared := false
	err := m.Attach(third+"/", "label", func(mp *fs.Mountpath) error {
		prepared = mp.Path == third && m.Available() == before
		return nil
	})
	if err != nil || !prepared {
		t.Fatalf("Attach: %v; prepared before names are placed: %v", err, prepared)
	}
	wantLists(t, m, append([]string{third}, d.paths...), nil, nil)
	mp := m.Available().ByPath(third)
	if mp == nil || mp.Label != "label" || mp.Digest != hrw.Digest(third) || len(before.Paths) != 2 {
		t.Errorf("mountpath %+v; the former set has %d", mp, len(before.Paths))
	}
	closeManager(t, m)
	again := open(t, d.options())
	back := again.Available().ByPath(third)
	if back == nil || back.ID != mp.ID || back.Label != "label" || back.Digest != mp.Digest {
		t.Fatalf("after a restart: %+v, %+v", back, again.Lists())
	}
	if err := again.Remove(third, fs.Detach, false); err != nil {
		t.Fatal(err)
	}
	closeManager(t, again)
	wantLists(t, open(t, d.options()), d.paths, nil, nil)
}

// A path of the local configuration that was detached does not come back with
// a restart, as long as it is configured.
func TestDetachOfAConfiguredPath(t *testing.T) {
	t.Parallel()
	d := newDisks(t, 3)
	m := open(t, d.options())
	if err := m.Remove(d.paths[2], fs.Detach, false); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{".ais.id", ".ais.vmd"} {
		if exists(filepath.Join(d.paths[2], name)) {
			t.Errorf("%s is left on a detached mountpath", name)
		}
	}
	wantStatus(t, m.Enable(d.paths[2], nil), http.StatusNotFound, wire.CodeMountpathNotFound)
	closeManager(t, m)
	m = open(t, d.options())
	wantLists(t, m, d.paths[:2], nil, nil)
	if err := m.Attach(d.paths[2], "", nil); err != nil {
		t.Fatal(err)
	}
	closeManager(t, m)
	m = open(t, d.options())
	wantLists(t, m, d.paths, nil, nil)
	if d.events.count(fs.EventDisabled) > 0 {
		t.Error("an alert for what an operator did")
	}
}

func TestDisabledStaysDisabledAndIsNotTouched(t *testing.T) {
	t.Parallel()
	d := newDisks(t, 2)
	m := open(t, d.options())
	id := m.Available().ByPath(d.paths[1]).ID
	if err := m.Remove(d.paths[1], fs.Disable, false); err != nil {
		t.Fatal(err)
	}
	if err := m.Remove(d.paths[1], fs.Disable, false); !errors.Is(err, fs.ErrAlready) {
		t.Errorf("again: %v", err)
	}
	wantLists(t, m, d.paths[:1], nil, d.paths[1:])
	// The disk may be unmounted, and may be used by others: nothing is open.
	other := options(d.paths[1])
	other.NodeID = m.NodeID()
	borrowed, err := fs.Open(other)
	if err != nil {
		t.Fatalf("the disk was not let go: %v", err)
	}
	wantStatus(t, m.Enable(d.paths[1], nil), http.StatusBadRequest, wire.CodeInvalidMountpath) // in use by that one
	closeManager(t, borrowed)
	closeManager(t, m)

	d.system.Reset()
	m = open(t, d.options())
	wantLists(t, m, d.paths[:1], nil, d.paths[1:])
	if n := d.system.Count("", d.paths[1]+"/"); n > 3 {
		t.Errorf("a disabled mountpath was touched at the start: %d calls", n)
	}
	if err := m.Enable(d.paths[1], nil); err != nil {
		t.Fatal(err)
	}
	if err := m.Enable(d.paths[1], nil); !errors.Is(err, fs.ErrAlready) {
		t.Errorf("again: %v", err)
	}
	if back := m.Available().ByPath(d.paths[1]); back == nil || back.ID != id {
		t.Errorf("enabled: %+v", back)
	}
}

func TestRefusedChanges(t *testing.T) {
	t.Parallel()
	d := newDisks(t, 2)
	foreign := d.newPath("foreign")
	opts := options(foreign)
	opts.NodeID = "stranger"
	closeManager(t, open(t, opts))
	elsewhere := d.newPath("elsewhere")
	opts = options(elsewhere)
	opts.NodeID, opts.ClusterUUID = "newNode1", "cluster2"
	closeManager(t, open(t, opts))
	damaged := d.newPath("damaged")
	if err := os.WriteFile(filepath.Join(damaged, ".ais.id"), []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(d.root, "file")
	touch(t, file)
	m := open(t, d.options())
	if err := m.SetClusterUUID("cluster1", "l1"); err != nil {
		t.Fatal(err)
	}
	twin := filepath.Join(d.root, "twin")
	if err := os.CopyFS(twin, os.DirFS(d.paths[0])); err != nil {
		t.Fatal(err)
	}
	before := m.Available()
	for _, tc := range []struct {
		name   string
		err    error
		status int
		code   string
	}{
		{"missing", m.Attach(d.root+"/nowhere", "", nil), 404, wire.CodeMountpathNotFound},
		{"relative", m.Attach("data", "", nil), 400, wire.CodeInvalidMountpath},
		{"root", m.Attach("//", "", nil), 400, wire.CodeInvalidMountpath},
		{"too long", m.Attach("/"+string(make([]byte, 300)), "", nil), 400, wire.CodeInvalidMountpath},
		{"attached", m.Attach(d.paths[0], "", nil), 400, wire.CodeInvalidMountpath},
		{"nested", m.Attach(d.paths[0]+"/@ais", "", nil), 400, wire.CodeInvalidMountpath},
		{"around", m.Attach(d.root, "", nil), 400, wire.CodeInvalidMountpath},
		{"a file", m.Attach(file, "", nil), 400, wire.CodeInvalidMountpath},
		{"label", m.Attach(d.newPath("labelled"), "two words", nil), 400, wire.CodeInvalidMountpath},
		{"another node's", m.Attach(foreign, "", nil), 400, wire.CodeInvalidMountpath},
		{"another cluster's", m.Attach(elsewhere, "", nil), 400, wire.CodeInvalidMountpath},
		{"damaged id", m.Attach(damaged, "", nil), 400, wire.CodeInvalidMountpath},
		{"a copy", m.Attach(twin, "", nil), 400, wire.CodeInvalidMountpath},
		{"enable unknown", m.Enable("/unknown", nil), 404, wire.CodeMountpathNotFound},
		{"disable unknown", m.Remove("/unknown", fs.Disable, false), 404, wire.CodeMountpathNotFound},
		{"detach unknown", m.BeginRemoval("/unknown", fs.Detach), 404, wire.CodeMountpathNotFound},
		{"finish what does not wait", m.FinishRemoval(d.paths[0]), 404, wire.CodeMountpathNotFound},
	} {
		t.Run(tc.name, func(t *testing.T) {
			wantStatus(t, tc.err, tc.status, tc.code)
			wantText(t, tc.err)
		})
	}
	if m.Available() != before {
		t.Error("a refused change made another set")
	}
	if exists(foreign + "/.ais.vmd.new") {
		t.Error("a refused mountpath was written to")
	}
}

func TestSharedFilesystemNeedsLabels(t *testing.T) {
	t.Parallel()
	d := newDisks(t, 1)
	opts := d.options()
	opts.TestMode = false
	opts.Mountpaths = map[string]string{d.paths[0]: "pool"}
	m := open(t, opts)
	second := d.newPath("second")
	err := m.Attach(second, "", nil)
	wantStatus(t, err, http.StatusBadRequest, wire.CodeInvalidMountpath)
	wantText(t, err, "shares its filesystem", "label")
	if exists(second + "/.ais.id") {
		t.Error("a refused mountpath got an id")
	}
	if err := m.Attach(second, "pool", nil); err != nil {
		t.Fatal(err)
	}
	if m.Available().Paths[0].Filesystem() != m.Available().Paths[1].Filesystem() {
		t.Error("mountpaths of one filesystem do not share their flush rounds")
	}
	if err := m.Remove(d.paths[0], fs.Detach, false); err != nil { // the one that opened the filesystem
		t.Fatal(err)
	}
	if err := m.Available().Paths[0].CreateBucket(testBucket); err != nil {
		t.Errorf("the filesystem went with the other mountpath: %v", err)
	}
	if len(m.Filesystems()) != 1 {
		t.Errorf("%d filesystems", len(m.Filesystems()))
	}
}

func TestLastMountpath(t *testing.T) {
	t.Parallel()
	d := newDisks(t, 2)
	m := open(t, d.options())
	if err := m.Remove(d.paths[0], fs.Disable, false); err != nil {
		t.Fatal(err)
	}
	err := m.Remove(d.paths[1], fs.Disable, false)
	wantStatus(t, err, http.StatusBadRequest, wire.CodeInvalidMountpath)
	wantText(t, err, "last", "force=true")
	wantStatus(t, m.BeginRemoval(d.paths[1], fs.Detach), http.StatusBadRequest, wire.CodeInvalidMountpath)
	if err := m.Remove(d.paths[1], fs.Detach, true); err != nil {
		t.Fatal(err)
	}
	if m.Available().Owner(1) != nil || m.Capacity().Used != 0 {
		t.Error("something is in use")
	}
	closeManager(t, m)
	m = open(t, d.options())
	wantLists(t, m, nil, nil, d.paths[:1])
	if m.NodeID() != "newNode1" {
		t.Errorf("node id %q", m.NodeID())
	}
	if err := m.Attach(d.paths[1], "", nil); err != nil {
		t.Fatal(err)
	}
	wantLists(t, m, d.paths[1:], nil, d.paths[:1])

	// Without a configuration folder nothing would remember.
	opts := options(filepath.Join(t.TempDir(), "only"))
	lone := open(t, opts)
	wantStatus(t, lone.Remove(lone.Available().Paths[0].Path, fs.Disable, true), http.StatusBadRequest, wire.CodeInvalidMountpath)
}

// An operation that holds a slot ends; whoever comes later finds the other set.
func TestRemovalWaitsForOperations(t *testing.T) {
	t.Parallel()
	d := newDisks(t, 2)
	m := open(t, d.options())
	set := m.Available()
	mp := set.ByPath(d.paths[1])
	if err := mp.Acquire(t.Context()); err != nil {
		t.Fatal(err)
	}
	removed := make(chan error, 1)
	go func() { removed <- m.Remove(d.paths[1], fs.Detach, false) }()
	eventually(t, "the set is another one", func() bool { return m.Available() != set })
	if m.Available().Has(mp) {
		t.Error("new operations find the mountpath")
	}
	if !exists(d.paths[1] + "/.ais.id") {
		t.Error("the disk was let go under an operation")
	}
	select {
	case err := <-removed:
		t.Fatalf("Remove did not wait: %v", err)
	default:
	}
	mp.Release()
	if err := <-removed; err != nil {
		t.Fatal(err)
	}
	if exists(d.paths[1] + "/.ais.id") {
		t.Error("the id is still there")
	}
}

func TestHealthCheck(t *testing.T) {
	t.Parallel()
	d := newDisks(t, 2)
	now := newClock()
	opts := d.options()
	opts.Clock = now.get
	m := open(t, opts)
	object(t, d.paths[0], "some/object")
	results := make(chan fs.CheckResult, 1)
	check := func() fs.CheckResult {
		t.Helper()
		now.add(fs.CheckInterval)
		started, err := m.Check(d.paths[0], fs.CheckOptions{TestFiles: 2, ErrorLimit: 2}, func(r fs.CheckResult) { results <- r })
		if err != nil || !started {
			t.Fatalf("started %v, %v", started, err)
		}
		return <-results
	}
	if r := check(); r.Fault != "" || r.Errors != 0 || r.Took <= 0 {
		t.Errorf("healthy disk: %+v", r)
	}
	if started, err := m.Check(d.paths[0], fs.CheckOptions{}, nil); started || err != nil {
		t.Errorf("a second one within four minutes: %v, %v", started, err)
	}
	if _, err := m.Check("/unknown", fs.CheckOptions{}, nil); err == nil {
		t.Error("unknown mountpath is checked")
	}
	d.system.Inject(faultfs.Fault{Op: faultfs.OpSync, Path: "/.ais.check/", Err: unix.EIO, Times: 1})
	if r := check(); r.Fault != "" || r.Errors != 0 {
		t.Errorf("one error, and none in the second pass: %+v", r)
	}
	d.system.Inject(faultfs.Fault{Op: faultfs.OpSync, Path: "/.ais.check/", Err: unix.ENOSPC, Times: -1})
	if r := check(); r.Fault != "" {
		t.Errorf("full disk: %+v", r)
	}
	d.system.Heal()
	d.system.Inject(faultfs.Fault{Op: faultfs.OpRead, Path: "/some/object", Err: unix.EIO, Times: -1})
	if r := check(); r.Fault == "" || !errors.Is(r.First, unix.EIO) {
		t.Errorf("objects that cannot be read: %+v", r)
	}
	if infos := m.Mountpaths(); infos[0].Fault == "" || infos[1].Fault != "" || d.events.count(fs.EventFault) != 1 {
		t.Errorf("%+v, %d events", infos, d.events.count(fs.EventFault))
	}
	d.system.Heal()
	if r := check(); r.Fault != "" || m.Mountpaths()[0].Fault != "" {
		t.Errorf("healed: %+v", r)
	}
	d.move(d.paths[0], d.paths[0]+".away")
	if r := check(); r.Fault == "" {
		t.Errorf("the directory is gone: %+v", r)
	}
	d.move(d.paths[0]+".away", d.paths[0])
	if exists(d.paths[0] + "/.ais.check") {
		t.Error("files of a check are left")
	}
	// A faulty disk does not keep the operator from taking it out.
	d.system.Inject(faultfs.Fault{Path: d.paths[0] + "/", Err: unix.EIO, Times: -1})
	if err := m.Remove(d.paths[0], fs.Disable, false); err != nil {
		t.Errorf("disable of a sick disk: %v", err)
	}
	d.system.Heal()
}
