package test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/aistore-go/aistore/deploy/playground"
)

// From kill -9 of the primary to the next change that is accepted, at default
// settings: a median of 5 seconds and no more than 15 is promised.
func TestTenFailovers(t *testing.T) {
	c := startCluster(t, 3, 3)
	var took []time.Duration
	for round := range 10 {
		old := c.anyPrimary()
		oldURL := old.URL()
		var asked *playground.Node
		for _, n := range c.proxies() {
			if n != old {
				asked = n
			}
		}
		began := time.Now()
		c.signal(old, syscall.SIGKILL)
		c.waitStopped(old)
		for {
			a, err := try(client, http.MethodPost, asked.URL()+fmt.Sprintf("/v1/buckets/round-%d", round), `{"action":"create-bck","value":null}`, "Content-Type", jsonType)
			if err != nil {
				t.Fatal(err)
			}
			if a.status == http.StatusOK {
				break
			}
			if a.status != http.StatusServiceUnavailable {
				t.Fatalf("round %d: %d %s", round, a.status, a.body)
			}
			if time.Since(began) > stepTimeout {
				t.Fatalf("round %d: no primary within %v", round, stepTimeout)
			}
		}
		took = append(took, time.Since(began))
		c.start(old)
		c.eventually("the old primary is back as one of three proxies", func() error {
			m := c.smap(asked)
			if len(m.Pmap) != 3 || m.Primary.Public.URL == oldURL {
				return errors.New("not yet")
			}
			return nil
		})
		c.waitReady()
	}
	slices.Sort(took)
	t.Logf("failovers: median %v, longest %v, all %v", took[len(took)/2].Round(time.Millisecond), took[9].Round(time.Millisecond), took)
	if median := took[len(took)/2]; median > 5*time.Second {
		t.Errorf("the median of 10 failovers is %v, 5s are promised", median)
	}
	if took[9] > 15*time.Second {
		t.Errorf("the longest of 10 failovers took %v, 15s are promised", took[9])
	}
}

// A primary that was stopped for a while and goes on has been replaced: it
// must notice, and must not answer as if nothing had happened.
func TestPrimaryThatWasStoppedStepsDown(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, 3)
	old := c.anyPrimary()
	oldURL := old.URL()
	var rest []*playground.Node
	for _, n := range c.proxies() {
		if n != old {
			rest = append(rest, n)
		}
	}
	c.signal(old, syscall.SIGSTOP)
	// The stopped process still takes connections, and never answers.
	began := time.Now()
	createBucket(t, rest[1], "asked-of-the-stopped", "")
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("a change took %v while the primary was stopped", took)
	}
	c.eventually("a new primary", func() error {
		if c.smap(rest[0]).Primary.Public.URL == oldURL {
			return errors.New("still the stopped one")
		}
		return nil
	})
	createBucket(t, rest[0], "meanwhile", "")
	c.signal(old, syscall.SIGCONT)
	// The first answer after its return must know of what happened.
	a := must(t, http.StatusOK, http.MethodHead, oldURL+"/v1/buckets/meanwhile", "")
	if a.header.Get("Ais-Stale") != "" {
		t.Errorf("the answer is marked stale although a majority can be reached: %v", a.header)
	}
	createBucket(t, old, "later", "")
	c.eventually("it is an ordinary proxy now", func() error {
		m := c.smap(old)
		if len(m.Pmap) != 3 || m.Primary.Public.URL == oldURL {
			return fmt.Errorf("primary %s of %d proxies", m.Primary.Public.URL, len(m.Pmap))
		}
		return nil
	})
}

// Proxies are lost one after another, each as soon as the cluster has got over
// the loss of the one before it; the last one goes on taking changes. Then the
// primary and another one are lost at a time.
func TestProxiesLostOneAfterAnother(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 4, 3)
	shortTimes(c)
	c.up()
	ids := c.ids()
	began := time.Now()
	for left := 3; left >= 1; left-- {
		c.waitVotersAlive(ids)
		primary := c.anyPrimary()
		var victim *playground.Node
		for _, n := range c.proxies() {
			if n != primary && n.PID() != 0 {
				victim = n
			}
		}
		c.kill(victim)
		createBucket(t, primary, fmt.Sprintf("with-%d-proxies", left), "")
	}
	c.waitVotersAlive(ids)
	t.Logf("three of four proxies lost, and the cluster has got over it, after %v", time.Since(began).Round(time.Millisecond))
	createBucket(t, c.anyPrimary(), "with-one-proxy", "")
	for _, n := range c.proxies() {
		if n.PID() == 0 {
			c.start(n)
		}
	}
	c.waitReady()
	c.waitVotersAlive(ids)

	first := c.anyPrimary()
	var second *playground.Node
	for _, n := range c.proxies() {
		if n != first {
			second = n
		}
	}
	firstURL, secondURL := first.URL(), second.URL()
	c.signal(first, syscall.SIGKILL)
	c.signal(second, syscall.SIGKILL)
	var rest *playground.Node
	for _, n := range c.proxies() {
		if n != first && n != second {
			rest = n
		}
	}
	c.eventually("another primary after two were killed", func() error {
		if url := c.smap(rest).Primary.Public.URL; url == firstURL || url == secondURL {
			return errors.New("still " + url)
		}
		return nil
	})
	createBucket(t, rest, "after-two", "")
}

// shortTimes configures a cluster that notices losses as soon as it can be
// told to: nodes are down after 2 s, silent voters replaced after 10 s.
func shortTimes(c *cluster) {
	c.Config["timeout"] = map[string]string{
		"cplane_operation": "1s", "max_keepalive": "2s", "max_host_busy": "20s",
		"startup_time": "1m", "join_startup_time": "3m", "send_file_time": "5m",
	}
	tracker := map[string]any{"interval": "2s", "factor": 3}
	c.Config["keepalivetracker"] = map[string]any{"proxy": tracker, "target": tracker, "num_retries": 3}
}

// waitVotersAlive waits until the cluster has got over its losses: as many as
// can be of the nodes that run are voters. A dead one is a voter only where
// there is nobody to take its place.
func (c *cluster) waitVotersAlive(ids map[*playground.Node]string) {
	c.t.Helper()
	running := map[string]bool{}
	for _, n := range c.nodes {
		if n.PID() != 0 {
			running[ids[n]] = true
		}
	}
	c.eventually("no voter is dead that can be replaced", func() error {
		voters := historyOf(c.t, c.anyPrimary()).Voters
		alive := 0
		for _, id := range voters {
			if running[id] {
				alive++
			}
		}
		want := min(len(running), 5)
		if alive == len(voters) {
			want -= (want + 1) % 2 // an even number is never chosen
		}
		if alive < want {
			return fmt.Errorf("%d of %v run, %d could", alive, voters, want)
		}
		return nil
	})
}
