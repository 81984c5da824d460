package test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// mirroredLoad is what clients read and write meanwhile.
type mirroredLoad struct {
	c     *cluster
	ended chan struct{}
	once  sync.Once
	wait  sync.WaitGroup
	done  atomic.Int64 // operations that were answered with 200

	mu      sync.Mutex
	took    []time.Duration
	written map[string]string
}

// loadMirrored begins to read objects that exist, which must be whole or refused with 503
// whatever becomes of a disk, and to write others, which may be refused.
func (c *cluster) loadMirrored(names []string) *mirroredLoad {
	l := &mirroredLoad{c: c, ended: make(chan struct{}), written: map[string]string{}}
	c.t.Cleanup(func() { _ = l.stop() })
	for worker := range 4 {
		l.wait.Go(func() {
			for i := worker; ; i++ {
				select {
				case <-l.ended:
					return
				default:
				}
				if worker == 0 {
					l.write(i)
				} else {
					l.read(names[i%len(names)], small(i%len(names)))
				}
			}
		})
	}
	return l
}

func (l *mirroredLoad) read(name, want string) {
	began := time.Now()
	a, err := try(client, http.MethodGet, objectURL(l.c.nodes[0], "b", name), "")
	switch {
	case err != nil:
		l.c.t.Errorf("%s: %v", name, err)
	case a.status == http.StatusOK && a.body == want:
		l.done.Add(1)
		l.mu.Lock()
		l.took = append(l.took, time.Since(began))
		l.mu.Unlock()
	case a.status != http.StatusServiceUnavailable:
		l.c.t.Errorf("%s: %d %q", name, a.status, a.body)
	}
}

func (l *mirroredLoad) write(i int) {
	name, content := fmt.Sprintf("w%d", i%100), fmt.Sprintf("written %d", i)
	a, err := try(client, http.MethodPut, objectURL(l.c.nodes[0], "b", name), content)
	if err != nil {
		l.c.t.Errorf("%s: %v", name, err)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if a.status == http.StatusOK {
		l.done.Add(1)
		l.written[name] = content
	} else {
		delete(l.written, name) // it is the one before or this one
	}
}

// await waits for more operations.
func (l *mirroredLoad) await(what string, more int64) {
	l.c.t.Helper()
	want := l.done.Load() + more
	l.c.eventually(what, func() error {
		if n := l.done.Load(); n < want {
			return fmt.Errorf("%d of %d", n, want)
		}
		return nil
	})
}

// slowness is by how much the machine is slower than one on which half of these reads take
// 10 ms, at least 1.
func (l *mirroredLoad) slowness() float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	slices.Sort(l.took)
	return max(1, l.took[len(l.took)/2].Seconds()/0.010)
}

// stop ends it and returns what was written.
func (l *mirroredLoad) stop() map[string]string {
	l.once.Do(func() { close(l.ended) })
	l.wait.Wait()
	return l.written
}

// A disk that is unmounted while the target runs, under load, is found and disabled within
// 10 s, and stays so over a restart, with the alert; the others serve, and what was on it
// has all its copies again though nobody asked for that.
func TestUnmountedDiskIsDisabled(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 1)
	n := c.nodes[len(c.nodes)-1]
	paths := c.configured(n)
	gone, others := paths[0], slices.Clone(paths[1:])
	createBucket(t, c.nodes[0], "b", `{"durability":"redundant","mirror":{"enabled":true,"copies":2}}`)
	names := putMany(t, c.nodes[0], "b", "o%03d", 60, small)
	load := c.loadMirrored(names)
	load.await("reads and writes before", 50)
	if err := os.Rename(gone, gone+".away"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(gone, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	c.eventually("the mountpath is disabled", func() error {
		if have := c.mountpaths(n); !slices.Contains(have.Disabled, gone) {
			return errors.New("in use")
		}
		return nil
	})
	if took, bound := time.Since(began), time.Duration(float64(10*time.Second)*load.slowness()); took > bound {
		t.Errorf("it was in use for %v under load, want at most %v", took, bound)
	}
	load.await("reads and writes after", 50)
	written := load.stop()
	if len(written) == 0 {
		t.Error("nothing was written")
	}
	// Nobody has asked for it: each object has two copies again, and no alert is left.
	for i, name := range names {
		written[name] = small(i)
	}
	for name, content := range written {
		c.eventually("two copies of "+name, func() error {
			if a := must(t, http.StatusOK, http.MethodGet, objectURL(c.nodes[0], "b", name), ""); a.body != content {
				t.Fatalf("%s: %q, want %q", name, a.body, content)
			}
			if a := call(t, http.MethodHead, objectURL(c.nodes[0], "b", name), ""); a.header.Get("Ais-Mirror-Copies") != "2" {
				return fmt.Errorf("%d, copies %q", a.status, a.header.Get("Ais-Mirror-Copies"))
			}
			return nil
		})
	}
	c.eventually("nothing is below its level of protection", func() error {
		if count, err := c.underProtected(c.targets()); count != 0 || err != nil {
			return fmt.Errorf("%d objects, %w", count, err)
		}
		return nil
	})
	c.wantMountpaths(n, others, []string{gone})
	c.wantFlags(n, 6|diskFaultFlag)
	log := tail(filepath.Join(n.LogDir(), "aistarget.INFO"), 1<<20)
	if want := "health check: the disk cannot be relied on, the mountpath is disabled mountpath=" + gone; !strings.Contains(log, want) {
		t.Errorf("not in the log: %s", want)
	}
	if err := os.Remove(gone); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(gone+".away", gone); err != nil {
		t.Fatal(err)
	}
	c.restartTarget(n, 15)
	c.wantMountpaths(n, others, []string{gone})
	c.wantFlags(n, 6|diskFaultFlag)
	c.mountpath(n, "enable-mp", gone, "", http.StatusOK)
	c.wantMountpaths(n, paths, nil)
	c.wantFlags(n, 6)
}
