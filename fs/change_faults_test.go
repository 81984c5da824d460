package fs_test

import (
	"bufio"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/fs/faultfs"
)

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
	weigh := func(first, others uint64) func(d *disks, m *fs.Manager) error {
		return func(d *disks, m *fs.Manager) error {
			capacities := map[string]uint64{}
			for i, path := range d.paths {
				if capacities[path] = others; i == 0 {
					capacities[path] = first
				}
			}
			return m.Weigh(capacities)
		}
	}
	return []change{
		{"weigh", nil, weigh(5, 2)},
		{"weigh otherwise", weigh(5, 2), weigh(2, 5)},
		{"weigh no more", weigh(5, 2), func(_ *disks, m *fs.Manager) error { return m.Weigh(nil) }},
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

// TestChangeWithAFaultAtEveryCall: whatever single call fails during a change, it is made
// or not made, as its answer says, also after a restart.
func TestChangeWithAFaultAtEveryCall(t *testing.T) {
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
	before, weighed := m.Lists(), m.Available().Capacities()
	d.system.Restart(faultfs.Fault{Nth: n, Err: errDisk, Late: n%2 == 0})
	err := c.run(d, m)
	fired := slices.ContainsFunc(d.system.Calls(), func(call faultfs.Call) bool { return errors.Is(call.Err, errDisk) })
	now, weighs := m.Lists(), m.Available().Capacities()
	_ = m.Close() // the fault may hit it
	d.system.Heal()
	if changed := !slices.Equal(now.Available, before.Available) || !slices.Equal(now.WaitingDD, before.WaitingDD) ||
		!slices.Equal(now.Disabled, before.Disabled) || !maps.Equal(weighs, weighed); changed != (err == nil) {
		t.Errorf("call %d: error %v; before %+v, now %+v", n, err, before, now)
	}
	again, openErr := fs.Open(d.options())
	if openErr != nil {
		t.Fatalf("call %d: the node does not start: %v", n, openErr)
	}
	defer closeManager(t, again)
	wantLists(t, again, now.Available, now.WaitingDD, now.Disabled)
	if have := again.Available().Capacities(); !maps.Equal(have, weighs) {
		t.Errorf("call %d: capacities %v, want %v", n, have, weighs)
	}
	if uuid, lineage, err := again.ClusterIdentity(); uuid != "cluster1" || lineage != "lineage1" || err != nil {
		t.Errorf("call %d: cluster %q %q %v", n, uuid, lineage, err)
	}
	return fired
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

// TestKilledDuringAChange: a node that is killed during a change starts, and every change that
// was acknowledged is made.
//
// It runs alone: a process that is being made holds, for a moment, whatever
// locks the other tests hold.
func TestKilledDuringAChange(t *testing.T) {
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

// oneLine joins the causes of an error for wantText.
func oneLine(err error) error {
	if err == nil {
		return nil
	}
	return errors.New(strings.ReplaceAll(err.Error(), "\n", "; "))
}
