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

	mu   sync.Mutex
	took []time.Duration // by operations since they were looked at
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
				began := time.Now()
				a, err := try(client, method, objectURL(p, bucket, fmt.Sprintf("o-%03d", draw.IntN(objects))), body)
				if err == nil && a.status != http.StatusOK {
					err = fmt.Errorf("%s: %d %.200s", method, a.status, a.body)
				}
				if err != nil {
					u.err.Store(&err)
					return
				}
				u.done.Add(1)
				u.mu.Lock()
				u.took = append(u.took, time.Since(began))
				u.mu.Unlock()
			}
		})
	}
	return u
}

// pace is how users fare for a while.
type pace struct {
	rate float64       // operations per second
	p99  time.Duration // of a hundred operations all but the slowest took no longer
}

// measure looks at users for a while.
func (u *users) measure(d time.Duration) pace {
	took := func() []time.Duration {
		u.mu.Lock()
		defer u.mu.Unlock()
		all := u.took
		u.took = nil
		return all
	}
	took()
	began, before := time.Now(), u.done.Load()
	time.Sleep(d) // the measurement itself
	p := pace{rate: float64(u.done.Load()-before) / time.Since(began).Seconds()}
	if all := took(); len(all) > 0 {
		slices.Sort(all)
		p.p99 = all[len(all)*99/100]
	}
	return p
}

// busy measures while a bucket is copied, again and again. It returns how many objects
// were.
func (u *users) busy(c *cluster, bucket string, d time.Duration) (p pace, copied int64) {
	c.t.Helper()
	measured := make(chan pace, 1)
	go func() { measured <- u.measure(d) }()
	gateway := c.nodes[0]
	for goesOn := true; goesOn; {
		id := startBulk(c.t, gateway, http.MethodPost, "/"+bucket+toBucket("copy"), "copy-bck", `{}`)
		for ended := false; goesOn && !ended; {
			select {
			case p = <-measured:
				goesOn = false
				must(c.t, http.StatusOK, http.MethodPut, gateway.URL()+"/v1/cluster", `{"action":"stop","value":{"ID":"`+id+`"}}`, "Content-Type", jsonType)
			case <-time.After(50 * time.Millisecond):
				a := must(c.t, http.StatusOK, http.MethodGet, gateway.URL()+"/v1/cluster?what=status", `{"id":"`+id+`"}`)
				ended = decode[rebalanceStatus](c.t, a.body).EndTime != 0
			}
		}
		copied += c.copied(gateway, id)
		c.eventually("the copy is removed", func() error {
			a := call(c.t, http.MethodDelete, gateway.URL()+"/v1/buckets/copy", `{"action":"destroy-bck"}`, "Content-Type", jsonType)
			if a.status != http.StatusOK && a.status != http.StatusNotFound {
				return fmt.Errorf("%d %s", a.status, a.body)
			}
			return nil
		})
	}
	return p, copied
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
// those before and after it. The median is to be 80 percent at least. What becomes of the
// slowest operations is shown; the job gets on in every slice.
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
	u.measure(settle)
	var ratios, slower []float64
	before := u.measure(slice)
	for i := range rounds {
		u.busy(c, "work", settle)
		with, copied := u.busy(c, "work", slice)
		if copied == 0 {
			t.Errorf("slice %d: the job does not get on", i)
		}
		u.measure(settle)
		after := u.measure(slice)
		ratio := with.rate / ((before.rate + after.rate) / 2)
		ratios = append(ratios, ratio)
		slower = append(slower, float64(with.p99)/(float64(before.p99+after.p99)/2))
		t.Logf("slice %d: %.0f operations/s without a job, %.0f with one, %.0f after it: %.2f; 99 percent within %v, %v, %v; %d objects were copied in it",
			i, before.rate, with.rate, after.rate, ratio, before.p99, with.p99, after.p99, copied)
		before = after
	}
	slices.Sort(ratios)
	slices.Sort(slower)
	if median := ratios[len(ratios)/2]; median < 0.8 {
		t.Errorf("users keep %.2f of their throughput (all: %.2f)", median, ratios)
	} else {
		t.Logf("users keep %.2f of their throughput", median)
	}
	t.Logf("99 percent of their operations take %.2f times as long (all: %.2f)", slower[len(slower)/2], slower)
}
