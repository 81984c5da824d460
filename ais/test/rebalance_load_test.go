package test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aistore-go/aistore/deploy/playground"
)

// userLoad reads, writes and deletes objects all the time while the cluster
// changes. An answer is what the object's last acknowledged change says, or a 503
// with Retry-After.
type userLoad struct {
	t       *testing.T
	gateway *playground.Node
	bucket  string
	objects map[string]string // that are only read

	reads, changes, later atomic.Int64
	// nodesDie is set while one is killed: connections may break.
	nodesDie atomic.Bool
	stop     chan struct{}
	stopOnce sync.Once
	done     sync.WaitGroup

	mu     sync.Mutex
	states map[string]string // contents of what is written; "" is deleted
}

// mixedContent is what an object holds.
func mixedContent(name string, size int) string {
	return strings.Repeat(name+"|", size/(len(name)+1)+1)[:size]
}

// putMixed stores objects of mixed sizes and returns their contents.
func (c *cluster) putMixed(bucket string, count int) map[string]string {
	c.t.Helper()
	objects := map[string]string{}
	for i := range count {
		name := fmt.Sprintf("dir%d/o%04d", i%3, i)
		objects[name] = mixedContent(name, []int{10, 1000, 70_000, 300_000}[i%4])
		must(c.t, http.StatusOK, http.MethodPut, objectURL(c.nodes[0], bucket, name), objects[name])
	}
	return objects
}

// load begins with two readers of objects and so many writers of names of their
// own; end ends it.
func (c *cluster) load(gateway *playground.Node, bucket string, objects map[string]string, writers int) *userLoad {
	u := &userLoad{t: c.t, gateway: gateway, bucket: bucket, objects: objects, stop: make(chan struct{}), states: map[string]string{}}
	for range 2 {
		u.done.Go(u.read)
	}
	for i := range writers {
		u.done.Go(func() { u.write(i) })
	}
	c.t.Cleanup(u.halt)
	return u
}

// end ends the load. Every name that was written holds what was last
// acknowledged, or nothing if that was a DELETE.
func (u *userLoad) end(c *cluster) {
	u.t.Helper()
	u.halt()
	u.t.Logf("%d reads and %d changes, %d answers to try again", u.reads.Load(), u.changes.Load(), u.later.Load())
	if u.reads.Load() == 0 {
		u.t.Error("nothing was read")
	}
	for name, want := range u.states {
		if want != "" {
			c.readBack(u.gateway, u.bucket, name, want)
		} else {
			c.expectStatus(http.StatusNotFound, http.MethodGet, objectURL(u.gateway, u.bucket, name), "")
		}
	}
}

// halt waits until nothing is asked any more.
func (u *userLoad) halt() {
	u.stopOnce.Do(func() { close(u.stop) })
	u.done.Wait()
}

// living are the names of writers that are there, with their contents; the load
// has ended.
func (u *userLoad) living() map[string]string {
	objects := map[string]string{}
	for name, content := range u.states {
		if content != "" {
			objects[name] = content
		}
	}
	return objects
}

func (u *userLoad) ended() bool {
	select {
	case <-u.stop:
		return true
	default:
		return u.t.Failed()
	}
}

func (u *userLoad) read() {
	hc := newUser()
	defer hc.CloseIdleConnections()
	for {
		for name, want := range u.objects {
			if u.ended() {
				return
			}
			if a, ok := u.ask(hc, http.MethodGet, name, ""); ok {
				u.check(&a, name, want)
			}
			u.reads.Add(1)
		}
	}
}

func (u *userLoad) check(a *answer, name, want string) {
	switch {
	case want == "" && a.status == http.StatusNotFound:
	case a.status != http.StatusOK:
		u.t.Errorf("GET %s: %d %.200q %v, it has %d bytes", name, a.status, a.body, a.header, len(want))
	case a.body != want:
		u.t.Errorf("GET %s: %d bytes %.40q, not the %d %.40q that were written", name, len(a.body), a.body, len(want), want)
	}
}

// ask asks once; ok: the answer is not that it is to be tried again.
func (u *userLoad) ask(hc *http.Client, method, name, body string) (a answer, ok bool) {
	breaks := u.nodesDie.Load()
	a, err := try(hc, method, objectURL(u.gateway, u.bucket, name), body)
	switch {
	case err != nil && (breaks || u.nodesDie.Load()):
	case err != nil:
		u.t.Errorf("%s %s: %v", method, name, err)
	case a.status == http.StatusServiceUnavailable && a.header.Get("Retry-After") != "":
	default:
		return a, true
	}
	u.later.Add(1)
	return a, false
}

// write changes and reads names that nobody else changes.
func (u *userLoad) write(writer int) {
	hc := newUser()
	defer hc.CloseIdleConnections()
	random := rand.New(rand.NewPCG(uint64(writer), 1))
	states := map[string]string{}
	for change := 0; !u.ended(); change++ {
		name := fmt.Sprintf("writer%d/%d", writer, random.IntN(8))
		switch random.IntN(5) {
		case 0:
			if u.change(hc, http.MethodDelete, name, "", states[name] == "") {
				states[name] = ""
			}
		case 1, 2:
			content := mixedContent(fmt.Sprintf("%s-%d", name, change), 1+random.IntN(3)*50_000)
			if u.change(hc, http.MethodPut, name, content, false) {
				states[name] = content
			}
		default:
			if a, ok := u.ask(hc, http.MethodGet, name, ""); ok {
				u.check(&a, name, states[name])
			}
			continue
		}
		u.changes.Add(1)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for name, content := range states {
		u.states[name] = content
	}
}

// change changes a name, as often as it takes. absent: it may have been deleted.
func (u *userLoad) change(hc *http.Client, method, name, body string, absent bool) bool {
	for deadline := time.Now().Add(stepTimeout); !u.t.Failed(); {
		a, ok := u.ask(hc, method, name, body)
		switch {
		case ok && (a.status == http.StatusOK || a.status == http.StatusNoContent), ok && method == http.MethodDelete && absent && a.status == http.StatusNotFound:
			return true
		case ok:
			u.t.Errorf("%s %s: %d %.200s", method, name, a.status, a.body)
			return false
		case time.Now().After(deadline):
			u.t.Errorf("%s %s: not within %v: %d %.200s", method, name, stepTimeout, a.status, a.body)
			return false
		}
		absent = true // whether an attempt without an answer has succeeded is not known
		time.Sleep(20 * time.Millisecond)
	}
	return false
}

func newUser() *http.Client {
	return &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 8}}
}
