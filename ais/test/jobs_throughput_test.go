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
	rest sync.RWMutex // held to write while they ask nothing
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
				u.rest.RLock()
				began := time.Now()
				a, err := try(client, method, objectURL(p, bucket, fmt.Sprintf("o-%03d", draw.IntN(objects))), body)
				u.rest.RUnlock()
				if err == nil && a.status == http.StatusServiceUnavailable && a.header.Get("Retry-After") != "" {
					continue // the owner is changing
				}
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

// beside does work again and again until stop is closed, and returns how many objects it
// did in that time.
type beside func(stop <-chan struct{}) (objects int64)

// measureBeside measures while work is done.
func (u *users) measureBeside(work beside, d time.Duration) (p pace, objects int64) {
	stop := make(chan struct{})
	measured := make(chan pace, 1)
	go func() {
		measured <- u.measure(d)
		close(stop)
	}()
	objects = work(stop)
	return <-measured, objects
}

// copies copies a bucket, and destroys the copy.
func (c *cluster) copies(bucket string) beside {
	gateway := c.nodes[0]
	return func(stop <-chan struct{}) (copied int64) {
		for goesOn := true; goesOn; {
			id := startBulk(c.t, gateway, http.MethodPost, "/"+bucket+toBucket("copy"), "copy-bck", `{}`)
			if goesOn = !c.awaitEnd(stop, id); !goesOn {
				must(c.t, http.StatusOK, http.MethodPut, gateway.URL()+"/v1/cluster", `{"action":"stop","value":{"ID":"`+id+`"}}`, "Content-Type", jsonType)
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
		return copied
	}
}

// moves has a target leave and come back in turns. Users rest while what is left of the
// last rebalance is moved.
func (c *cluster) moves(u *users, target string) beside {
	gateway, away := c.nodes[0], false
	return func(stop <-chan struct{}) (moved int64) {
		for goesOn := true; goesOn; {
			action := "start-maintenance"
			if away {
				action = "stop-maintenance"
			}
			id := ""
			c.eventually(action, func() error {
				a := call(c.t, http.MethodPut, gateway.URL()+"/v1/cluster", `{"action":"`+action+`","value":{"sid":"`+target+`"}}`, "Content-Type", jsonType)
				if id = a.body; a.status != http.StatusOK {
					return fmt.Errorf("%d %s", a.status, a.body)
				}
				return nil
			})
			away = !away
			goesOn = !c.awaitEnd(stop, id)
			moved += c.moved(id).In
			if !goesOn {
				u.rest.Lock()
				if s := c.awaitRebalance(id); s.Aborted || s.Err != "" {
					c.t.Errorf("%+v", s)
				}
				u.rest.Unlock()
			}
		}
		return moved
	}
}

// awaitEnd waits for the end of a job; true: it was told to stop before.
func (c *cluster) awaitEnd(stop <-chan struct{}, id string) (stopped bool) {
	for {
		select {
		case <-stop:
			return true
		case <-time.After(50 * time.Millisecond):
		}
		a := must(c.t, http.StatusOK, http.MethodGet, c.nodes[0].URL()+"/v1/cluster?what=status", `{"id":"`+id+`"}`)
		if decode[rebalanceStatus](c.t, a.body).EndTime != 0 {
			return false
		}
	}
}

func (u *users) end(t *testing.T) {
	t.Helper()
	close(u.stop)
	u.all.Wait()
	if err := u.err.Load(); err != nil {
		t.Fatal(*err)
	}
}

// TestUsersKeepTheirThroughput measures what jobs leave to users: slices with and
// without a job take turns in one run, and each slice with one is compared with
// those before and after it. The job gets on in every slice.
//
// On a quiet machine (make test-long) the median is to be 80 percent at least, and the
// slowest operations may take a fifth longer. Where other work takes the machine, the median shows
// that jobs hold back at all.
func TestUsersKeepTheirThroughput(t *testing.T) {
	t.Run("copies", func(t *testing.T) {
		c, u := clusterOfUsers(t)
		u.keepThroughput(t, c.copies("work"))
	})
	t.Run("rebalance", func(t *testing.T) {
		c, u := clusterOfUsers(t)
		u.keepThroughput(t, c.moves(u, c.idOf(c.targets()[2])))
	})
}

// clusterOfUsers is a cluster with users, who have a bucket of their own, and another bucket.
func clusterOfUsers(t *testing.T) (*cluster, *users) {
	t.Helper()
	c := startCluster(t, 1, 3)
	p := c.nodes[0]
	createBucket(t, p, "users", "")
	createBucket(t, p, "work", "")
	content := strings.Repeat("0123456789abcdef", 4<<10) // 64 KiB
	objects := 1000
	if longTests() {
		objects = 3000
	}
	putMany(t, p, "users", "o-%03d", 100, func(int) string { return content })
	putMany(t, p, "work", "w-%04d", objects, func(int) string { return content })
	u := startUsers(4, p, "users", 100, content)
	t.Cleanup(func() { u.end(t) })
	return c, u
}

func (u *users) keepThroughput(t *testing.T, work beside) {
	t.Helper()
	rounds, slice, settle, least := 5, 2*time.Second, time.Second, 0.6
	if longTests() {
		rounds, slice, settle, least = 7, 8*time.Second, 3*time.Second, 0.8
	}
	u.measure(settle)
	var ratios, slower []float64
	before := u.measure(slice)
	for i := range rounds {
		with, objects := u.measureBeside(work, slice)
		if objects == 0 {
			t.Errorf("slice %d: the job does not get on", i)
		}
		u.measure(settle) // until the load of the last slice shows no more
		after := u.measure(slice)
		ratio := with.rate / ((before.rate + after.rate) / 2)
		ratios = append(ratios, ratio)
		slower = append(slower, float64(with.p99)/(float64(before.p99+after.p99)/2))
		t.Logf("slice %d: %.0f operations/s without a job, %.0f with one, %.0f after it: %.2f; 99 percent within %v, %v, %v; the job did %d objects in it",
			i, before.rate, with.rate, after.rate, ratio, before.p99, with.p99, after.p99, objects)
		before = after
	}
	slices.Sort(ratios)
	slices.Sort(slower)
	median, p99 := ratios[len(ratios)/2], slower[len(slower)/2]
	t.Logf("users keep %.2f of their throughput (all: %.2f); 99 percent of their operations take %.2f times as long (all: %.2f)", median, ratios, p99, slower)
	if median < least {
		t.Errorf("users keep %.2f of their throughput, at least %.2f is wanted", median, least)
	}
	if longTests() && p99 > 1.2 {
		t.Errorf("99 percent of their operations take %.2f times as long", p99)
	}
}
