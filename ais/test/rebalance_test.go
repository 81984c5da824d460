package test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// reader reads objects all the time, each at the first try: an answer is the
// object, or a 503 with Retry-After.
type reader struct {
	reads, later atomic.Int64
	stop         chan struct{}
	done         sync.WaitGroup
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

// readAll begins to read objects through a gateway, until the returned function
// is called.
func (c *cluster) readAll(bucket string, objects map[string]string) *reader {
	r := &reader{stop: make(chan struct{})}
	for range 2 {
		r.done.Go(func() {
			hc := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 8}}
			defer hc.CloseIdleConnections()
			for {
				for name, want := range objects {
					select {
					case <-r.stop:
						return
					default:
					}
					a, err := try(hc, http.MethodGet, objectURL(c.nodes[0], bucket, name), "")
					r.reads.Add(1)
					switch {
					case err != nil:
						c.t.Errorf("GET %s: %v", name, err)
						return
					case a.status == http.StatusServiceUnavailable && a.header.Get("Retry-After") != "":
						r.later.Add(1)
					case a.status != http.StatusOK:
						c.t.Errorf("GET %s: %d %s", name, a.status, a.body)
						return
					case a.body != want:
						c.t.Errorf("GET %s: %d bytes, not the %d that were written", name, len(a.body), len(want))
						return
					}
				}
			}
		})
	}
	return r
}

func (r *reader) end(t *testing.T) {
	t.Helper()
	close(r.stop)
	r.done.Wait()
	t.Logf("%d reads, %d of them to be tried again", r.reads.Load(), r.later.Load())
}

// rebalanceStatus is what the cluster says of a job.
type rebalanceStatus struct {
	Kind    string `json:"kind"`
	UUID    string `json:"uuid"`
	Err     string `json:"err"`
	EndTime int64  `json:"end_time"`
	Aborted bool   `json:"aborted"`
}

// awaitRebalance waits until a job has ended, and returns its state.
func (c *cluster) awaitRebalance(id string) (s rebalanceStatus) {
	c.t.Helper()
	c.eventually("the end of "+id, func() error {
		a := call(c.t, http.MethodGet, c.nodes[0].URL()+"/v1/cluster?what=status", `{"id":"`+id+`"}`)
		if a.status != http.StatusOK {
			return fmt.Errorf("%d %s", a.status, a.body)
		}
		if s = decode[rebalanceStatus](c.t, a.body); s.EndTime == 0 {
			return fmt.Errorf("it runs: %s", a.body)
		}
		return nil
	})
	return s
}

// moved sums the statistics of a job over all targets.
func (c *cluster) moved(id string) (out, in int64) {
	c.t.Helper()
	a := must(c.t, http.StatusOK, http.MethodGet, c.nodes[0].URL()+"/v1/cluster?what=qryxstats", `{"id":"`+id+`"}`)
	for _, snaps := range decode[map[string][]struct {
		ID    string `json:"id"`
		Stats struct {
			Out int64 `json:"out-objs,string"`
			In  int64 `json:"in-objs,string"`
		} `json:"stats"`
	}](c.t, a.body) {
		for _, s := range snaps {
			if s.ID == id {
				out, in = out+s.Stats.Out, in+s.Stats.In
			}
		}
	}
	return out, in
}

// atOwners fails unless every object has one file, on its owner.
func (c *cluster) atOwners(bucket string, objects map[string]string) {
	c.t.Helper()
	files := map[string][]string{} // nodes by name
	for _, n := range c.targets() {
		for _, file := range c.filesBelow(n) {
			if _, name, ok := strings.Cut(file, "/"+bucket+"/%ob/"); ok {
				files[name] = append(files[name], n.Name())
			}
		}
	}
	for name := range objects {
		if owner := c.owner(bucket, name).Name(); len(files[name]) != 1 || files[name][0] != owner {
			c.t.Fatalf("%s is on %v, and owned by %s", filepath.Join(bucket, name), files[name], owner)
		}
	}
}

// upBut starts all nodes but the last few targets.
func (c *cluster) upBut(targets int) {
	c.t.Helper()
	if err := c.WriteConfiguration(); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(c.down)
	nodes := c.nodes[:len(c.nodes)-targets]
	for _, n := range nodes {
		c.start(n)
	}
	c.waitReady(nodes...)
}

// TestTargetsJoinAndLeaveUnderLoad: a target joins, one goes into maintenance and
// comes back, one is decommissioned. Every object can be read all the time, and
// ends at its owner; what moves is what changed its owner; a decommissioned target
// holds nothing.
func TestTargetsJoinAndLeaveUnderLoad(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, 4)
	c.upBut(1)
	p := c.nodes[0]
	createBucket(t, p, "b", "")
	objects := c.putMixed("b", 240)
	before := map[string]string{}
	for name := range objects {
		before[name] = c.owner("b", name).Name()
	}
	readers := c.readAll("b", objects)
	defer readers.end(t)

	c.start(c.nodes[4])
	c.waitReady()
	if s := c.awaitRebalance("g1"); s.Aborted || s.Err != "" || s.Kind != "rebalance" {
		t.Fatalf("%+v", s)
	}
	changed := int64(0)
	for name := range objects {
		if c.owner("b", name).Name() != before[name] {
			changed++
		}
	}
	if out, in := c.moved("g1"); out != in || float64(out) > 1.05*float64(changed) || out == 0 {
		t.Errorf("%d objects went out, %d came in, %d changed owners", out, in, changed)
	}
	c.atOwners("b", objects)

	tid := c.idOf(c.targets()[1])
	if a := mustAct(t, http.StatusOK, p, "start-maintenance", `{"sid":"`+tid+`"}`); a.body != "g2" {
		t.Errorf("maintenance answers %q", a.body)
	}
	c.awaitFlags(p, tid, flagMaintenance|flagDataMoved)
	if s := c.awaitRebalance("g2"); s.Aborted || s.Err != "" {
		t.Fatalf("%+v", s)
	}
	c.atOwners("b", objects)
	if a := mustAct(t, http.StatusOK, p, "stop-maintenance", `{"sid":"`+tid+`"}`); a.body != "g3" {
		t.Errorf("the end of maintenance answers %q", a.body)
	}
	c.awaitFlags(p, tid, 0)
	if s := c.awaitRebalance("g3"); s.Aborted || s.Err != "" {
		t.Fatalf("%+v", s)
	}
	c.atOwners("b", objects)

	leaving := c.targets()[0]
	tid = c.idOf(leaving)
	if a := mustAct(t, http.StatusOK, p, "decommission-node", `{"sid":"`+tid+`"}`); a.body != "g4" {
		t.Errorf("decommission answers %q", a.body)
	}
	c.awaitStopped(leaving)
	c.awaitFlags(p, tid, -1)
	if files := c.filesBelow(leaving); len(files) > 0 {
		t.Errorf("it has left with %v", files)
	}
}
