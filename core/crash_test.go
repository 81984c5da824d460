package core

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

// crashRoot, in the environment, makes the test binary the process that
// TestKillDuringWrites kills.
const crashRoot = "AIS_CORE_CRASH_TEST_ROOT"

func TestMain(m *testing.M) {
	if root := os.Getenv(crashRoot); root != "" {
		writeUntilKilled(root)
		return
	}
	goleak.VerifyTestMain(m)
}

// crashContent is what round i writes under a name; some go through the work
// file in pieces.
func crashContent(name string, i int) string {
	return strings.Repeat(fmt.Sprintf("%s=%d;", name, i), 1+i%5*6000)
}

var crashNames = []string{"p", "p/q", "a//b", "d/e/f", "o", strings.Repeat("n", 300), "x/y"}

// writeUntilKilled overwrites names for ever and prints a line for every
// acknowledged write.
func writeUntilKilled(root string) {
	tb := &processTB{}
	r := newRig(tb, rigOptions{mountpaths: 2, root: root, props: durable})
	var mu sync.Mutex
	var wg sync.WaitGroup
	for g, name := range crashNames {
		wg.Go(func() {
			for i := 1; ; i++ {
				content := crashContent(name, i)
				o := PutOptions{Size: -1}
				if g%2 == 1 { // every other name has a sidecar
					o.Custom = []KV{{"k", strings.Repeat("v", 2000)}}
				}
				if _, err := r.tryPut(name, content, o); err != nil {
					fmt.Println("error", err)
					return
				}
				mu.Lock()
				fmt.Println("ok", g, i)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

// processTB is a testing.TB for a process that is no test.
type processTB struct{ testing.TB }

func (*processTB) Helper()                      {}
func (*processTB) Cleanup(func())               {}
func (*processTB) Fatal(args ...any)            { fmt.Println(append([]any{"error"}, args...)...); os.Exit(1) }
func (*processTB) Fatalf(f string, args ...any) { fmt.Printf("error "+f+"\n", args...); os.Exit(1) }

// TestKillDuringWrites kills a process in the midst of writes and looks at what
// it left: every acknowledged write is there or was overwritten by a later one,
// whole; work files are gone after the start.
func TestKillDuringWrites(t *testing.T) {
	t.Parallel()
	root := memoryDir(t) // kill -9 loses nothing that the kernel has
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for round := range 4 {
		acknowledged := make([]int, len(crashNames))
		child := exec.Command(executable, "-test.run=^$")
		child.Env = append(os.Environ(), crashRoot+"="+root)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			fields := strings.Fields(lines.Text())
			if len(fields) != 3 || fields[0] != "ok" {
				t.Errorf("round %d: %s", round, lines.Text())
				break
			}
			g, _ := strconv.Atoi(fields[1])
			acknowledged[g], _ = strconv.Atoi(fields[2])
			if n == 100+round*37 {
				if err := child.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = child.Wait() // killed, which is an error

		r := newRig(t, rigOptions{mountpaths: 2, root: root, props: durable})
		for g, name := range crashNames {
			content, _, found := r.get(name)
			if acknowledged[g] == 0 && !found {
				continue
			}
			number, _, _ := strings.Cut(strings.TrimPrefix(content, name+"="), ";")
			i, err := strconv.Atoi(number)
			if !found || err != nil || content != crashContent(name, i) || i < acknowledged[g] {
				t.Errorf("round %d: %.20q: found %v, write %d of %d bytes, acknowledged %d", round, name, found, i, len(content), acknowledged[g])
			}
			if err := r.store.Verify(context.Background(), r.key(name)); found && err != nil {
				t.Errorf("round %d: %v", round, err)
			}
			if found {
				if err := r.store.Delete(context.Background(), r.key(name)); err != nil {
					t.Error(err)
				}
			}
		}
		if left := r.files("/%md/", "/.$deleted/"); len(left) > 0 {
			t.Errorf("round %d: left behind: %q", round, left)
		}
		r.close()
	}
}
