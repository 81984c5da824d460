package target_test

import (
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aistore-go/aistore/ais/aistest"
	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/fs/faultfs"
)

// TestCopiesOfAHungDisk: a disk that does not answer is taken out of use, and then every object of a
// mirrored bucket can be read, while it still does not answer; until then reads are
// answered, with 503 if not with the object.
func TestCopiesOfAHungDisk(t *testing.T) {
	t.Parallel()
	system := faultfs.New(nil)
	system.Record(false)
	c := aistest.New(t, aistest.Options{Mountpaths: 3, Disks: func(o *fs.Options) {
		o.System, o.Slots, o.SlotWait, o.HangTime, o.LookInterval = system, 4, 50*time.Millisecond, time.Second, 100*time.Millisecond
		o.Health = func() fs.HealthPolicy {
			return fs.HealthPolicy{Enabled: true, CheckOptions: fs.CheckOptions{TestFiles: 2, ErrorLimit: 2}, Errors: 3, Period: 10 * time.Second}
		}
	}})
	expect(t, 200, follower, "POST", c.Proxies[0].URL()+"/v1/buckets/b", strings.NewReader(`{"action":"create-bck","value":{"mirror":{"enabled":true,"copies":2}}}`))
	const count = 30
	content := func(i int) string { return strings.Repeat(fmt.Sprintf("content of %d ", i), 200) }
	name := func(i int) string { return fmt.Sprintf("o%02d", i) }
	for i := range count {
		expect(t, 200, follower, "PUT", object(c.Proxies[0], name(i)), strings.NewReader(content(i)))
	}
	eventually(t, "two copies of each", func() bool {
		for i := range count {
			if copiesOf(t, c, name(i)) != "2" {
				return false
			}
		}
		return true
	})
	hangs := c.Targets[0].Paths[0]
	if files, err := filepath.Glob(hangs + "/@ais/b/%ob/o*"); err != nil || len(files) < 4 {
		t.Fatalf("%q, %v", files, err)
	}
	release := make(chan struct{})
	answers := sync.OnceFunc(func() { close(release) })
	defer answers()
	system.Before(func(call faultfs.Call) {
		if (call.Op == faultfs.OpRead || call.Op == faultfs.OpSend) && strings.HasPrefix(call.Path, hangs+"/@ais/") {
			<-release
		}
	})
	var users sync.WaitGroup
	defer users.Wait()
	defer answers()
	for i := range count { // of which some wait for the disk
		users.Go(func() {
			res, err := follower.Get(object(c.Proxies[0], name(i)))
			if err != nil {
				t.Error(err)
				return
			}
			text, err := io.ReadAll(res.Body)
			if closed := res.Body.Close(); err != nil || closed != nil || res.StatusCode == http.StatusOK && string(text) != content(i) ||
				res.StatusCode != http.StatusOK && res.StatusCode != http.StatusServiceUnavailable {
				t.Errorf("%s: %d, %d bytes, %v", name(i), res.StatusCode, len(text), err)
			}
		})
	}
	eventually(t, "the disk is out of use", func() bool { return c.Targets[0].Disks.Available().ByPath(hangs) == nil })
	for i := range count {
		eventually(t, name(i)+" is read from its copy", func() bool { // a machine that is busy may have others answer late
			res, err := follower.Get(object(c.Proxies[0], name(i)))
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(res.Body)
			if closed := res.Body.Close(); err != nil || closed != nil || res.StatusCode == http.StatusOK && string(text) != content(i) {
				t.Fatalf("%s: %d, %d bytes, %v", name(i), res.StatusCode, len(text), err)
			}
			return res.StatusCode == http.StatusOK
		})
	}
}
