package test

import (
	"fmt"
	"net/http"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/aistore-go/aistore/deploy/playground"
)

// TestSetPrimary: through every proxy, of every proxy.
func TestSetPrimary(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, 2)
	createBucket(t, c.nodes[0], "b", "")
	ids := map[*playground.Node]string{}
	for _, p := range c.proxies() {
		ids[p] = c.idOf(p)
	}
	for i, through := range c.proxies() {
		next := c.proxies()[(i+1)%3]
		primary := c.primary(through)
		if next == primary {
			next = c.proxies()[(i+2)%3]
		}
		_, version := c.members(through)
		before, err := strconv.Atoi(version)
		if err != nil {
			t.Fatal(err)
		}
		if a := must(t, http.StatusOK, http.MethodPut, through.URL()+"/v1/cluster/proxy/"+ids[next], ""); a.body != "" {
			t.Errorf("body %q, want none", a.body)
		}
		for _, n := range c.nodes {
			c.eventually("the new primary at "+n.Name(), func() error {
				smap := c.smap(n)
				if v, err := strconv.Atoi(smap.Version); err != nil || smap.Primary.ID != ids[next] || v < before+100 {
					return fmt.Errorf("primary %s, v%s after v%d: %w", smap.Primary.ID, smap.Version, before, err)
				}
				return nil
			})
		}
		if nodes, _ := c.members(next); len(nodes) != 5 {
			t.Errorf("%d nodes, want all 5: the old primary stays", len(nodes))
		}
		must(t, http.StatusOK, http.MethodPut, through.URL()+"/v1/cluster/proxy/"+ids[next], "") // it is
		createBucket(t, primary, "b"+itoa(i), "")
	}

	p := c.nodes[0]
	url := p.URL() + "/v1/cluster/proxy/"
	refused(t, call(t, http.MethodPut, url+"unknown01", ""), http.StatusNotFound, "errNodeNotFound", "unknown01")
	refused(t, call(t, http.MethodPut, url+"unknown01?frc=true", ""), http.StatusNotFound, "errNodeNotFound", "unknown01")
	refused(t, call(t, http.MethodPut, url+c.idOf(c.targets()[0]), ""), http.StatusNotFound, "errNodeNotFound", "not present")
	notBuilt(t, call(t, http.MethodPut, url+"unknown01?frc=true&can=http://127.0.0.1:1", ""))
	secondary := c.secondaries()[0]
	mustAct(t, http.StatusOK, p, "start-maintenance", sid(ids[secondary]))
	refused(t, call(t, http.MethodPut, url+ids[secondary], ""), http.StatusBadRequest, "", "it is in maintenance")
	mustAct(t, http.StatusOK, p, "stop-maintenance", sid(ids[secondary]))
}

// TestThePrimaryDiesInTheMiddle: whoever is primary then brings the operation
// to its end.
func TestThePrimaryDiesInTheMiddle(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, 3)
	createBucket(t, c.nodes[0], "b", "")
	target := c.targets()[0]
	tid := c.idOf(target)
	for i, delay := range []time.Duration{0, 5 * time.Millisecond, 15 * time.Millisecond, 40 * time.Millisecond} {
		primary, p := c.settledPrimary()
		action, flags := "start-maintenance", flagMaintenance|flagDataMoved
		if i%2 == 1 {
			action, flags = "stop-maintenance", 0
		}
		done := make(chan answer, 1)
		go func() {
			a, err := try(client, http.MethodPut, p.URL()+"/v1/cluster", `{"action":"`+action+`","value":`+sid(tid)+`}`)
			if err != nil {
				a.body = err.Error()
			}
			done <- a
		}()
		time.Sleep(delay) // wherever it is then
		if err := primary.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if a := <-done; a.status != http.StatusOK {
			t.Errorf("%s with a primary killed after %v: status %d %s", action, delay, a.status, a.body)
		}
		c.awaitFlags(p, tid, flags)
		c.eventually("the operation ends", func() error {
			if op := c.operations(p).Current; op != nil {
				return fmt.Errorf("%+v", op)
			}
			return nil
		})
		c.start(primary)
		c.waitReady(c.proxies()...)
	}
	// A decommission, too.
	primary, p := c.settledPrimary()
	done := make(chan answer, 1)
	go func() {
		a, err := try(client, http.MethodPut, p.URL()+"/v1/cluster", `{"action":"decommission-node","value":`+sid(tid)+`}`)
		if err != nil {
			a.body = err.Error()
		}
		done <- a
	}()
	c.eventually("the operation begins", func() error {
		if nodes, _ := c.members(p); nodes[tid].ID != "" && nodes[tid].Flags == 0 {
			return fmt.Errorf("flags %d", nodes[tid].Flags)
		}
		return nil
	})
	if err := primary.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if a := <-done; a.status != http.StatusOK {
		t.Errorf("decommission: status %d %s", a.status, a.body)
	}
	c.awaitFlags(p, tid, -1)
	c.awaitStopped(target)
}

// TestClusterShutdown: all processes end in order, and come back as they were.
func TestClusterShutdown(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2, 3)
	p := c.secondaries()[0]
	createBucket(t, p, "b", "")
	c.putWhenServed(p, "b", "o")
	t1 := c.idOf(c.targets()[0])
	mustAct(t, http.StatusOK, p, "start-maintenance", sid(t1))
	before, _ := c.members(p)
	if a := mustAct(t, http.StatusOK, p, "shutdown", "null"); a.body != "" {
		t.Errorf("body %q, want none", a.body)
	}
	for _, n := range c.nodes {
		c.awaitStopped(n)
		if out := n.Output(); out != "" {
			t.Errorf("%s printed %q", n.Name(), out)
		}
	}
	for _, n := range c.nodes {
		c.start(n)
	}
	c.waitReady(c.nodes[0], c.nodes[1], c.nodes[3], c.nodes[4])
	c.eventually("all nodes are back", func() error {
		after, _ := c.members(p)
		if len(after) != len(before) || after[t1].Flags != flagMaintenance|flagDataMoved {
			return fmt.Errorf("%v, were %v", after, before)
		}
		return nil
	})
	mustAct(t, http.StatusOK, p, "stop-maintenance", `{"sid":"`+t1+`","timeout":"20s"}`)
	c.eventually("the object", func() error {
		if a := call(t, http.MethodGet, objectURL(p, "b", "o"), ""); a.body != "content" {
			return fmt.Errorf("%d %s", a.status, a.body)
		}
		return nil
	})
}

// TestClusterDecommission: nothing is left of the cluster but its
// configuration, from which another one can be started.
func TestClusterDecommission(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2, 2)
	p := c.secondaries()[0]
	createBucket(t, p, "b", "")
	c.putWhenServed(p, "b", "o")
	uuid := decode[map[string]any](t, must(t, http.StatusOK, http.MethodGet, p.URL()+"/v1/daemon?what=smap", "").body)["uuid"]
	a, err := try(client, http.MethodPut, p.URL()+"/v1/cluster", `{"action":"decommission","value":{"rm_user_data":true,"keep_initial_config":true}}`)
	if err != nil || a.status != http.StatusOK || a.body != "" {
		t.Errorf("status %d %q: %v", a.status, a.body, err)
	}
	for _, n := range c.nodes {
		c.awaitStopped(n)
		left := c.traces(n)
		if n.Role == playground.Target {
			left = append(left, c.filesBelow(n)...)
		}
		if len(left) > 0 {
			t.Errorf("%s left behind: %v", n.Name(), left)
		}
	}
	for _, n := range c.nodes {
		c.start(n)
	}
	c.waitReady()
	if got := decode[map[string]any](t, must(t, http.StatusOK, http.MethodGet, p.URL()+"/v1/daemon?what=smap", "").body)["uuid"]; got == uuid {
		t.Errorf("the same cluster %v again", got)
	}
}
