package fs_test

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/fs/faultfs"
	"golang.org/x/sys/unix"
)

// REQ-1: disks that cannot be resolved cost the statistics of disks and
// nothing else, at the start and later.
func TestREQ1DisksThatCannotBeResolvedAreNotFatal(t *testing.T) {
	t.Parallel()
	d := newDisks(t, 1)
	opts := d.options()
	opts.Sysfs = t.TempDir() // the kernel tells nothing
	opts.TestMode = false
	opts.Mountpaths = map[string]string{d.paths[0]: "l"}
	m := open(t, opts)
	third := d.newPath("third")
	if err := m.Attach(third, "l", nil); err != nil {
		t.Fatal(err)
	}
	for _, mp := range m.Available().Paths {
		if len(mp.Filesystem().Disks) != 0 || mp.String() != "mp["+mp.Path+"]" {
			t.Errorf("%s: disks %q", mp, mp.Filesystem().Disks)
		}
	}
	if m.Capacity().Used == 0 || d.events.count(fs.EventDisabled) > 0 {
		t.Errorf("capacity %+v, %d alerts", m.Capacity(), d.events.count(fs.EventDisabled))
	}
}

// REQ-3: an empty replacement disk at a known path is taken by attach and by
// enable, and by nothing else.
func TestREQ3ReplacementDisk(t *testing.T) {
	t.Parallel()
	for name, accept := range map[string]func(*fs.Manager, string) error{
		"attach": func(m *fs.Manager, path string) error { return m.Attach(path, "", nil) },
		"enable": func(m *fs.Manager, path string) error { return m.Enable(path, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDisks(t, 2)
			first := d.mustCycle().Available().ByPath(d.paths[1])
			d.move(d.paths[1], d.paths[1]+".broken")
			d.newPath("mp2") // the new disk is mounted
			m := open(t, d.options())
			wantLists(t, m, d.paths[:1], nil, d.paths[1:])
			if info := m.Mountpaths()[1]; info.Lost == nil || info.InUse() {
				t.Errorf("%+v", info)
			}
			if err := accept(m, d.paths[1]); err != nil {
				t.Fatal(err)
			}
			wantLists(t, m, d.paths, nil, nil)
			mp := m.Available().ByPath(d.paths[1])
			if mp.ID == first.ID || mp.Digest != first.Digest {
				t.Errorf("id %s (was %s), digest %d (was %d)", mp.ID, first.ID, mp.Digest, first.Digest)
			}
			closeManager(t, m)
			wantLists(t, open(t, d.options()), d.paths, nil, nil)
		})
	}
	t.Run("of a disabled path", func(t *testing.T) {
		t.Parallel()
		d := newDisks(t, 2)
		m := open(t, d.options())
		if err := m.Remove(d.paths[1], fs.Disable, false); err != nil {
			t.Fatal(err)
		}
		d.move(d.paths[1], d.paths[1]+".broken")
		wantStatus(t, m.Enable(d.paths[1], nil), http.StatusNotFound, "ErrMpathNotFound")
		d.newPath("mp2")
		wantStatus(t, m.Attach(d.paths[1], "", nil), http.StatusBadRequest, "ErrInvalidMountpath") // disabled: enable it
		if err := m.Enable(d.paths[1], nil); err != nil {
			t.Fatal(err)
		}
		wantLists(t, m, d.paths, nil, nil)
	})
}

// REQ-6: what cannot be made durable is not done, and the answer says so.
func TestREQ6VolumeRecordThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	for _, where := range []string{"configuration folder", "other mountpath"} {
		for _, op := range []faultfs.Op{faultfs.OpCreate, faultfs.OpWrite, faultfs.OpSync, faultfs.OpRename} {
			t.Run(where+" "+string(op), func(t *testing.T) {
				t.Parallel()
				d := newDisks(t, 3)
				third := d.newPath("third")
				m := open(t, d.options())
				place := d.confDir
				if where == "other mountpath" {
					place = d.paths[0]
				}
				changes := map[string]func() error{
					"attach":  func() error { return m.Attach(third, "", nil) },
					"disable": func() error { return m.Remove(d.paths[1], fs.Disable, false) },
					"detach":  func() error { return m.Remove(d.paths[1], fs.Detach, false) },
					"wait":    func() error { return m.BeginRemoval(d.paths[1], fs.Disable) },
				}
				for name, change := range changes {
					d.system.Inject(faultfs.Fault{Op: op, Path: place + "/.ais.vmd", Err: unix.EIO})
					err := change()
					d.system.Heal()
					if apierr.StatusOf(err) != http.StatusInternalServerError || !strings.Contains(err.Error(), "volume record") || !strings.Contains(err.Error(), place) {
						t.Errorf("%s: %v", name, err)
					}
					wantLists(t, m, d.paths, nil, nil)
				}
				if exists(third + "/.ais.id") {
					t.Error("a mountpath that was refused has an id")
				}
				closeManager(t, m)
				wantLists(t, open(t, d.options()), d.paths, nil, nil)
			})
		}
	}
	t.Run("nowhere at all", func(t *testing.T) {
		t.Parallel()
		d := newDisks(t, 2)
		m := open(t, d.options())
		d.system.Inject(faultfs.Fault{Op: faultfs.OpCreate, Path: "/.ais.vmd", Err: unix.EIO, Times: -1})
		if err := m.Remove(d.paths[1], fs.Disable, true); err == nil {
			t.Error("disabled without a record, by force")
		}
		wantLists(t, m, d.paths, nil, nil)
		d.system.Heal()
	})
	t.Run("undone half", func(t *testing.T) {
		t.Parallel()
		d := newDisks(t, 2)
		m := open(t, d.options())
		// The configuration folder takes the change and no more; the other fails.
		d.system.Inject(faultfs.Fault{Op: faultfs.OpCreate, Path: d.confDir + "/.ais.vmd", Nth: 2, Err: unix.EIO, Times: -1})
		d.system.Inject(faultfs.Fault{Op: faultfs.OpCreate, Path: d.paths[0] + "/.ais.vmd", Err: unix.EIO, Times: -1})
		wantText(t, oneLine(m.Remove(d.paths[1], fs.Disable, false)), "could not be undone", d.confDir)
		d.system.Heal()
		wantLists(t, m, d.paths, nil, nil)
	})
	t.Run("a full disk is no reason", func(t *testing.T) {
		t.Parallel()
		d := newDisks(t, 2)
		third := d.newPath("third")
		m := open(t, d.options())
		d.system.Inject(faultfs.Fault{Op: faultfs.OpWrite, Path: d.paths[0] + "/", Err: unix.ENOSPC, Times: -1})
		if err := m.Attach(third, "", nil); err != nil {
			t.Errorf("a disk cannot be added to a full one: %v", err)
		}
		d.system.Heal()
		closeManager(t, m)
		wantLists(t, open(t, d.options()), append([]string{third}, d.paths...), nil, nil)
	})
}

// oneLine joins the causes of an error for wantText.
func oneLine(err error) error {
	if err == nil {
		return nil
	}
	return errors.New(strings.ReplaceAll(err.Error(), "\n", "; "))
}

// change is an operation with what is to be seen before and after it.
type change struct {
	name    string
	prepare func(d *disks, m *fs.Manager) error
	run     func(d *disks, m *fs.Manager) error
}

func changes() []change {
	last := func(d *disks) string { return d.paths[len(d.paths)-1] }
	disable := func(d *disks, m *fs.Manager) error { return m.Remove(last(d), fs.Disable, false) }
	wait := func(how fs.Removal) func(d *disks, m *fs.Manager) error {
		return func(d *disks, m *fs.Manager) error { return m.BeginRemoval(last(d), how) }
	}
	enable := func(d *disks, m *fs.Manager) error { return m.Enable(last(d), nil) }
	finish := func(d *disks, m *fs.Manager) error { return m.FinishRemoval(last(d)) }
	return []change{
		{"attach", nil, func(d *disks, m *fs.Manager) error { return m.Attach(d.newPath("third"), "", nil) }},
		{"disable", nil, disable},
		{"detach", nil, func(d *disks, m *fs.Manager) error { return m.Remove(last(d), fs.Detach, false) }},
		{"enable", disable, enable},
		{"wait to be disabled", nil, wait(fs.Disable)},
		{"wait to be detached", nil, wait(fs.Detach)},
		{"disable what waits", wait(fs.Disable), finish},
		{"detach what waits", wait(fs.Detach), finish},
		{"keep what waits", wait(fs.Detach), enable},
	}
}

// REQ-7, REQ-6, REQ-93: whatever single call fails during a change, it is made
// or not made, as its answer says, also after a restart.
func TestREQ7ChangeWithAFaultAtEveryCall(t *testing.T) {
	t.Parallel()
	for _, c := range changes() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for n := 1; ; n++ {
				if !faultyChange(t, c, n) || n > 500 || t.Failed() {
					t.Logf("%d calls", n-1)
					return
				}
			}
		})
	}
}

// faultyChange lets the n-th call fail; false: there are fewer.
func faultyChange(t *testing.T, c change, n int) bool {
	d := newMemoryDisks(t, 3)
	m := open(t, d.options())
	object(t, d.paths[2], "o") // it keeps waiting over a restart
	if err := m.SetClusterUUID("cluster1", "lineage1"); err != nil {
		t.Fatal(err)
	}
	m.ExportBMD([]byte("metadata"))
	eventually(t, "export", func() bool { return exists(d.paths[1] + "/.ais.bmd") })
	if c.prepare != nil {
		if err := c.prepare(d, m); err != nil {
			t.Fatal(err)
		}
	}
	before := m.Lists()
	d.system.Reset()
	d.system.Inject(faultfs.Fault{Nth: n, Err: errDisk, Late: n%2 == 0})
	err := c.run(d, m)
	fired := slices.ContainsFunc(d.system.Calls(), func(call faultfs.Call) bool { return errors.Is(call.Err, errDisk) })
	now := m.Lists()
	_ = m.Close() // the fault may hit it
	d.system.Heal()
	if changed := !slices.Equal(now.Available, before.Available) || !slices.Equal(now.WaitingDD, before.WaitingDD) ||
		!slices.Equal(now.Disabled, before.Disabled); changed != (err == nil) {
		t.Errorf("call %d: error %v; before %+v, now %+v", n, err, before, now)
	}
	again, openErr := fs.Open(d.options())
	if openErr != nil {
		t.Fatalf("call %d: the node does not start: %v", n, openErr)
	}
	defer closeManager(t, again)
	wantLists(t, again, now.Available, now.WaitingDD, now.Disabled)
	if uuid, lineage, err := again.ClusterIdentity(); uuid != "cluster1" || lineage != "lineage1" || err != nil {
		t.Errorf("call %d: cluster %q %q %v", n, uuid, lineage, err)
	}
	return fired
}

// REQ-93: the intent is kept for each path, and carried out for each path.
func TestREQ93RemovalsAreDurableAndEachItsOwn(t *testing.T) {
	t.Parallel()
	d := newDisks(t, 4)
	m := open(t, d.options())
	for _, path := range d.paths {
		object(t, path, "o")
	}
	if err := m.BeginRemoval(d.paths[1], fs.Disable); err != nil {
		t.Fatal(err)
	}
	if err := m.BeginRemoval(d.paths[2], fs.Detach); err != nil { // preempts the move of the first
		t.Fatal(err)
	}
	check := func(m *fs.Manager) {
		t.Helper()
		wantLists(t, m, []string{d.paths[0], d.paths[3]}, d.paths[1:3], nil)
		infos := m.Mountpaths()
		if infos[1].Removal != fs.Disable || infos[2].Removal != fs.Detach {
			t.Errorf("%q, %q", infos[1].Removal, infos[2].Removal)
		}
		set := m.Available()
		if len(set.Leaving) != 2 || !set.Unsettled || set.ByPath(d.paths[1]) != nil {
			t.Errorf("set %+v", set)
		}
	}
	check(m)
	closeManager(t, m)
	m = open(t, d.options())
	check(m)
	if err := m.FinishRemoval(d.paths[2]); err != nil {
		t.Fatal(err)
	}
	wantLists(t, m, []string{d.paths[0], d.paths[3]}, d.paths[1:2], nil)
	if err := m.FinishRemoval(d.paths[1]); err != nil {
		t.Fatal(err)
	}
	wantLists(t, m, []string{d.paths[0], d.paths[3]}, nil, d.paths[1:2])
	wantStatus(t, m.Enable(d.paths[2], nil), http.StatusNotFound, "ErrMpathNotFound")
	if err := m.Enable(d.paths[1], nil); err != nil {
		t.Fatal(err)
	}
	if err := m.BeginRemoval(d.paths[0], fs.Detach); err != nil {
		t.Fatal(err)
	}
	if err := m.Attach(d.paths[0], "", nil); err != nil { // taken back
		t.Fatal(err)
	}
	wantLists(t, m, []string{d.paths[0], d.paths[1], d.paths[3]}, nil, nil)
	// One that waits and holds nothing leaves at the next start.
	if err := m.BeginRemoval(d.paths[3], fs.Disable); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(d.paths[3], "@ais/bucket/%ob/o")); err != nil {
		t.Fatal(err)
	}
	closeManager(t, m)
	wantLists(t, open(t, d.options()), d.paths[:2], nil, d.paths[3:])
}

const changeLoopEnv = "AISTORE_FS_CHANGE_LOOP"

// The loop of changes in a process of its own: what is printed is done.
var loopSteps = [...]struct {
	name string
	run  func(m *fs.Manager, root string) error
	// available, waiting, disabled among the paths a, b, c after the step
	after string
}{
	{"attach c", func(m *fs.Manager, root string) error { return m.Attach(root+"/c", "", nil) }, "abc||"},
	{"disable b", func(m *fs.Manager, root string) error { return m.Remove(root+"/b", fs.Disable, false) }, "ac||b"},
	{"wait a", func(m *fs.Manager, root string) error { return m.BeginRemoval(root+"/a", fs.Detach) }, "c|a|b"},
	{"enable b", func(m *fs.Manager, root string) error { return m.Enable(root+"/b", nil) }, "bc|a|"},
	{"keep a", func(m *fs.Manager, root string) error { return m.Enable(root+"/a", nil) }, "abc||"},
	{"detach c", func(m *fs.Manager, root string) error { return m.Remove(root+"/c", fs.Detach, false) }, "ab||"},
}

func loopOptions(root string) fs.Options {
	opts := options(root+"/a", root+"/b")
	opts.ConfDir = root + "/conf"
	return opts
}

func changeLoop(root string) int {
	m, err := fs.Open(loopOptions(root))
	if err != nil {
		fmt.Println("error", err)
		return 1
	}
	for {
		for i := range loopSteps {
			if err := loopSteps[i].run(m, root); err != nil {
				fmt.Println("error", loopSteps[i].name, err)
				return 1
			}
			fmt.Println(i)
		}
	}
}

func loopState(m *fs.Manager) string {
	l := m.Lists()
	var text []string
	for _, list := range [][]string{l.Available, l.WaitingDD, l.Disabled} {
		letters := ""
		for _, path := range list {
			letters += filepath.Base(path)
		}
		text = append(text, letters)
	}
	return strings.Join(text, "|")
}

// REQ-7: a node that is killed during a change starts, and every change that
// was acknowledged is made.
//
// It runs alone: a process that is being made holds, for a moment, whatever
// locks the other tests hold.
func TestREQ7KilledDuringAChange(t *testing.T) {
	rounds := 25
	if testing.Short() {
		rounds = 5
	}
	for round := range rounds {
		root := t.TempDir()
		for _, name := range []string{"a", "b", "c", "conf"} {
			if err := os.Mkdir(filepath.Join(root, name), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		object(t, root+"/a", "o") // it keeps waiting over a restart
		random := rand.New(rand.NewPCG(uint64(round), 3))
		last := killAfter(t, root, 1+random.IntN(4*len(loopSteps)), random.IntN(2000))
		m, err := fs.Open(loopOptions(root))
		if err != nil {
			t.Fatalf("round %d, killed after %q: %v", round, loopSteps[last].name, err)
		}
		acked, next := loopSteps[last].after, loopSteps[(last+1)%len(loopSteps)].after
		if state := loopState(m); state != acked && state != next {
			t.Errorf("round %d, killed after %q: %s, want %s or %s", round, loopSteps[last].name, state, acked, next)
		}
		for _, info := range m.Mountpaths() {
			if info.Lost != nil {
				t.Errorf("round %d: %v", round, info.Lost)
			}
		}
		closeManager(t, m)
	}
}

// killAfter kills a process in the loop after so many steps, and some time, and
// returns the last step that it acknowledged.
func killAfter(t *testing.T, root string, steps, spin int) (last int) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), changeLoopEnv+"="+root)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	last = -1
	lines := bufio.NewScanner(out)
	for n := 0; lines.Scan(); n++ {
		if _, err := fmt.Sscan(lines.Text(), &last); err != nil {
			t.Errorf("the process ended: %s", lines.Text())
			break
		}
		if n == steps {
			for range spin * 100 { // somewhere in the next step
				_ = root
			}
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the process was not killed")
	}
	if last < 0 {
		t.FailNow()
	}
	return last
}
