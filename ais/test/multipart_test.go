package test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// TestKillATargetDuringAnUpload: parts come in parallel while their target is
// killed and started again, several times; what was acknowledged needs not be
// sent again, and the completed object is what was sent.
func TestKillATargetDuringAnUpload(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 2)
	createBucket(t, c.nodes[0], "b", "")
	const parts = 60
	content := make([]string, parts)
	for i := range content {
		content[i] = strings.Repeat(fmt.Sprintf("part %d of %d;", i+1, parts), 1+i*i*5)
	}
	address := objectURL(c.nodes[0], "b", "d/large.tar")
	victim := c.owner("b", "d/large.tar")
	id := must(t, http.StatusOK, http.MethodPost, address, `{"action":"mpt-upload"}`).body
	part := func(n int) error {
		a, err := try(client, http.MethodPut, address+"?uploadId="+id+"&partNumber="+strconv.Itoa(n), content[n-1])
		if err == nil && a.status != http.StatusOK {
			err = errors.New(strconv.Itoa(a.status) + " " + a.body)
		}
		return err
	}
	todo := rand.Perm(parts)
	for round := range 4 {
		var mu sync.Mutex
		var failed []int
		acknowledged := make(chan struct{}, parts)
		var senders sync.WaitGroup
		for g := range 6 {
			senders.Go(func() {
				for i := g; i < len(todo); i += 6 {
					if part(todo[i]+1) != nil {
						mu.Lock()
						failed = append(failed, todo[i])
						mu.Unlock()
						continue
					}
					acknowledged <- struct{}{}
				}
			})
		}
		if round < 3 {
			for range min(8, len(todo)) {
				<-acknowledged
			}
			if err := victim.Signal(syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
		senders.Wait()
		if todo = failed; round < 3 {
			c.waitStopped(victim)
			c.start(victim)
			c.waitReady()
		}
		if len(todo) == 0 {
			break
		}
	}
	for _, n := range todo {
		c.eventually("part "+strconv.Itoa(n+1), func() error { return part(n + 1) })
	}
	list := make([]string, parts)
	for i := range list {
		list[i] = fmt.Sprintf(`{"part-number":%d,"etag":""}`, i+1)
	}
	done := `{"action":"mpt-complete","value":[` + strings.Join(list, ",") + `]}`
	c.eventually("completion", func() error {
		a, err := try(client, http.MethodPost, address+"?uploadId="+id, done)
		if err == nil && a.status != http.StatusOK {
			err = errors.New(strconv.Itoa(a.status) + " " + a.body)
		}
		return err
	})
	whole := strings.Join(content, "")
	check := func(when string) {
		var a answer
		c.eventually("read "+when, func() (err error) {
			if a, err = try(client, http.MethodGet, address, ""); err == nil && a.status == http.StatusServiceUnavailable {
				err = errors.New(a.body)
			}
			return err
		})
		if a.status != http.StatusOK || sha256.Sum256([]byte(a.body)) != sha256.Sum256([]byte(whole)) {
			t.Errorf("%s: status %d, %d of %d bytes", when, a.status, len(a.body), len(whole))
		}
	}
	check("after the completion")
	if err := victim.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	c.waitStopped(victim)
	c.start(victim)
	c.waitReady()
	check("after another restart")
	if a := call(t, http.MethodPut, address+"?uploadId="+id+"&partNumber=1", "x"); a.status != http.StatusNotFound {
		t.Errorf("a part of a finished upload: %d %s", a.status, a.body)
	}
}
