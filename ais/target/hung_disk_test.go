package target_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aistore-go/aistore/ais/aistest"
	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/fs/faultfs"
)

// until waits for what another goroutine is about to do.
func until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !condition(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

// A disk that answers nothing after files were opened takes a bounded number of
// threads, and its requests alone are refused.
func TestHungDisk(t *testing.T) {
	t.Parallel()
	const slots, clients = 8, 48
	system := faultfs.New(nil)
	system.Record(false)
	c := aistest.New(t, aistest.Options{Disks: func(o *fs.Options) {
		o.System, o.Slots, o.SlotWait, o.HangTime = system, slots, 100*time.Millisecond, 2*time.Second
	}})
	expect(t, 200, follower, "POST", c.Proxies[0].URL()+"/v1/buckets/b", strings.NewReader(`{"action":"create-bck","value":{}}`))
	target := c.Targets[0]
	content := strings.Repeat("0123456789abcdef", 128)
	var on [2][]string
	for i := 0; len(on[0]) < 8 || len(on[1]) < 8; i++ {
		name := fmt.Sprintf("o%d", i)
		expect(t, 200, follower, "PUT", object(c.Proxies[0], name), strings.NewReader(content))
		expect(t, 200, follower, "GET", object(c.Proxies[0], name), nil) // its record is in memory now
		at := 0
		if _, err := os.Stat(filepath.Join(target.Paths[1], "@ais/b/%ob", name)); err == nil {
			at = 1
		}
		on[at] = append(on[at], name)
	}

	var waiting atomic.Int64
	release := make(chan struct{})
	answers := sync.OnceFunc(func() { close(release) })
	defer answers()
	system.Before(func(call faultfs.Call) {
		if call.Op == faultfs.OpRead && strings.HasPrefix(call.Path, target.Paths[0]+"/") {
			waiting.Add(1)
			<-release
		}
	})
	statuses := make(chan int, clients)
	for i := range clients {
		go func() {
			res, err := follower.Get(object(c.Proxies[0], on[0][i%len(on[0])]))
			if err != nil {
				statuses <- -1
				return
			}
			_ = res.Body.Close()
			statuses <- res.StatusCode
		}()
	}
	for range clients - slots {
		if status := <-statuses; status != http.StatusServiceUnavailable {
			t.Fatalf("status %d of a read from the hung disk", status)
		}
	}
	if n := waiting.Load(); n != slots {
		t.Errorf("%d reads wait for the disk, want %d", n, slots)
	}
	for _, name := range on[1] {
		if _, text := expect(t, 200, follower, "GET", object(c.Proxies[0], name), nil); text != content {
			t.Errorf("%s from the other disk: %d bytes", name, len(text))
		}
		expect(t, 200, follower, "PUT", object(c.Proxies[0], name), strings.NewReader(content+"more"))
	}
	mp := target.Disks.Available().ByPath(target.Paths[0])
	until(t, "the disk is known to hang", mp.Hung)
	for _, method := range []string{"GET", "HEAD", "PUT", "DELETE"} {
		res, text := expect(t, 503, follower, method, object(c.Proxies[0], on[0][0]), nil)
		if e := message(t, res, text); !strings.Contains(e.Message, "does not answer") || res.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %+v, %v", method, e, res.Header)
		}
	}

	answers()
	for range slots {
		if status := <-statuses; status != http.StatusOK {
			t.Errorf("status %d of a read that was waiting", status)
		}
	}
	until(t, "it answers again", func() bool { return !mp.Hung() && mp.InFlight() == 0 })
	for _, name := range on[0] {
		if _, text := expect(t, 200, follower, "GET", object(c.Proxies[0], name), nil); text != content {
			t.Errorf("%s after all: %d bytes", name, len(text))
		}
	}
}
