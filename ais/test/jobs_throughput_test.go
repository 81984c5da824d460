package test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aistore-go/aistore/deploy/playground"
)

// users are clients that read and write objects as fast as they can.
type users struct {
	stop chan struct{}
	all  sync.WaitGroup
	done atomic.Int64 // operations
	err  atomic.Pointer[error]
}

// startUsers starts so many; a quarter of what they do is PUT.
func startUsers(n int, p *playground.Node, bucket string, objects int, content string) *users {
	u := &users{stop: make(chan struct{})}
	for i := range n {
		u.all.Go(func() {
			draw := rand.New(rand.NewPCG(uint64(i), 7))
			for {
				select {
				case <-u.stop:
					return
				default:
				}
				method, body := http.MethodGet, ""
				if draw.IntN(4) == 0 {
					method, body = http.MethodPut, content
				}
				a, err := try(client, method, objectURL(p, bucket, fmt.Sprintf("o-%03d", draw.IntN(objects))), body)
				if err == nil && a.status != http.StatusOK {
					err = fmt.Errorf("%s: %d %.200s", method, a.status, a.body)
				}
				if err != nil {
					u.err.Store(&err)
					return
				}
				u.done.Add(1)
			}
		})
	}
	return u
}

// rate measures operations per second for a while.
func (u *users) rate(d time.Duration) float64 {
	began, before := time.Now(), u.done.Load()
	time.Sleep(d) // the measurement itself
	return float64(u.done.Load()-before) / time.Since(began).Seconds()
}

func (u *users) end(t *testing.T) {
	t.Helper()
	close(u.stop)
	u.all.Wait()
	if err := u.err.Load(); err != nil {
		t.Fatal(*err)
	}
}

// TestUsersKeepTheirThroughput measures what a job leaves to users: slices with and
// without a job take turns in one run, and each slice with one is compared with
// those before and after it. The median is to be 80 percent at least.
func TestUsersKeepTheirThroughput(t *testing.T) {
	if !longTests() {
		t.Skip("measures for minutes: make test-long")
	}
	const (
		rounds = 7
		slice  = 8 * time.Second
		settle = 3 * time.Second // until the load of the last slice shows no more
	)
	c := startCluster(t, 1, 3)
	p := c.nodes[0]
	createBucket(t, p, "users", "")
	createBucket(t, p, "work", "")
	content := strings.Repeat("0123456789abcdef", 4<<10) // 64 KiB
	putMany(t, p, "users", "o-%03d", 100, func(int) string { return content })
	putMany(t, p, "work", "w-%04d", 3000, func(int) string { return content })
	u := startUsers(4, p, "users", 100, content)
	defer u.end(t)
	u.rate(settle)
	var ratios []float64
	before := u.rate(slice)
	for i := range rounds {
		dst := fmt.Sprintf("dst%d", i)
		id := startBulk(t, p, http.MethodPost, "/work"+toBucket(dst), "copy-bck", `{}`)
		u.rate(settle)
		with := u.rate(slice)
		running := call(t, http.MethodGet, p.URL()+"/v1/cluster?what=running_all", `{"kind":"copy-bck"}`, "Content-Type", jsonType)
		copied := c.copied(p, id)
		must(t, http.StatusOK, http.MethodPut, p.URL()+"/v1/cluster", `{"action":"stop","value":{"ID":"`+id+`"}}`, "Content-Type", jsonType)
		if !strings.Contains(running.body, id) {
			t.Fatalf("the job had ended before the slice: %d objects are too few", copied)
		}
		u.rate(settle)
		after := u.rate(slice)
		ratio := with / ((before + after) / 2)
		ratios = append(ratios, ratio)
		t.Logf("slice %d: %.0f operations/s without a job, %.0f with one, %.0f after it: %.2f; the job copied %d objects", i, before, with, after, ratio, copied)
		before = after
	}
	slices.Sort(ratios)
	if median := ratios[len(ratios)/2]; median < 0.8 {
		t.Errorf("users keep %.2f of their throughput (all: %.2f)", median, ratios)
	} else {
		t.Logf("users keep %.2f of their throughput", median)
	}
}
