package test

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/deploy/playground"
)

// awaitSettled waits until every object is at its owner and nothing runs, and
// returns the number of the latest rebalance.
func (c *cluster) awaitSettled() (latest int) {
	c.t.Helper()
	p := c.nodes[0]
	c.eventually("the placement is settled", func() error {
		a := call(c.t, http.MethodGet, p.URL()+"/v1/cluster?what=placement", "")
		if a.status != http.StatusOK {
			return fmt.Errorf("%d %s", a.status, a.body)
		}
		if !decode[wire.PlacementInfo](c.t, a.body).Settled {
			return fmt.Errorf("%s", a.body)
		}
		a = call(c.t, http.MethodGet, p.URL()+"/v1/cluster?what=running_all", `{"kind":"rebalance"}`)
		if a.status != http.StatusOK || strings.Contains(a.body, "rebalance[") {
			return fmt.Errorf("%d %s", a.status, a.body)
		}
		return nil
	})
	a := must(c.t, http.StatusOK, http.MethodGet, p.URL()+"/v1/cluster?what=smapvote", "")
	return int(decode[struct {
		RMD struct {
			Version int64 `json:"version"`
		} `json:"rmd"`
	}](c.t, a.body).RMD.Version)
}

// insist repeats an action on a node that others are in the way of.
func insist(t *testing.T, p *playground.Node, action, value string) {
	deadline := time.Now().Add(2 * stepTimeout)
	for {
		a, err := try(client, http.MethodPut, p.URL()+"/v1/cluster", `{"action":"`+action+`","value":`+value+`}`, "Content-Type", jsonType)
		switch {
		case err == nil && a.status == http.StatusOK:
			return
		case err != nil || a.status != http.StatusConflict && a.status != http.StatusServiceUnavailable:
			t.Errorf("%s %s: %d %s %v", action, value, a.status, a.body, err)
			return
		case time.Now().After(deadline):
			t.Errorf("%s %s: still %d %s", action, value, a.status, a.body)
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// TestStormOfTargets: six targets join two at the same time; two go into
// maintenance, one is killed and comes back, and a rebalance is stopped, all at the same
// time; those in maintenance come back together. There are as many rebalances as
// changes at most, all of it settles, every object can be read all the time and
// ends at its owner.
func TestStormOfTargets(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, 8)
	c.Mountpaths = 2
	c.upBut(6)
	p := c.nodes[0]
	createBucket(t, p, "b", "")
	objects := c.putMixed("b", 120)
	load := c.load(p, "b", objects, 2)

	for _, n := range c.targets()[2:] {
		c.start(n)
	}
	c.waitReady()
	joined := c.awaitSettled()
	t.Logf("%d rebalances for six targets", joined)
	if joined == 0 || joined > 6 {
		t.Errorf("there were %d rebalances for six targets", joined)
	}
	c.atOwners("b", objects)

	all := c.targets()
	leaving := []string{c.idOf(all[0]), c.idOf(all[5])}
	var storm sync.WaitGroup
	for _, id := range leaving {
		storm.Go(func() { insist(t, p, "start-maintenance", `{"sid":"`+id+`"}`) })
	}
	storm.Go(func() {
		// By kind: whichever runs, if one does. One that maintenance waits for is not
		// stopped (400); the target that is killed may be asked just then (503).
		if a, err := try(client, http.MethodPut, p.URL()+"/v1/cluster", `{"action":"stop","value":{"Kind":"rebalance"}}`, "Content-Type", jsonType); err != nil ||
			!slices.Contains([]int{http.StatusOK, http.StatusBadRequest, http.StatusServiceUnavailable}, a.status) {
			t.Errorf("stop: %d %s %v", a.status, a.body, err)
		}
	})
	load.nodesDie.Store(true)
	c.kill(all[3])
	c.start(all[3])
	storm.Wait()
	for _, id := range leaving {
		c.awaitFlags(p, id, flagMaintenance|flagDataMoved)
	}
	c.waitReady(p, all[1], all[2], all[3], all[4], all[6], all[7])
	load.nodesDie.Store(false)
	left := c.awaitSettled()
	c.atOwners("b", objects)

	for _, id := range leaving {
		storm.Go(func() { insist(t, p, "stop-maintenance", `{"sid":"`+id+`"}`) })
	}
	storm.Wait()
	for _, id := range leaving {
		c.awaitFlags(p, id, 0)
	}
	back := c.awaitSettled()
	t.Logf("%d rebalances while targets left and one died, %d when they came back", left-joined, back-left)
	if back > 6+2+2+2 {
		t.Errorf("the latest rebalance is g%s", strconv.Itoa(back))
	}
	load.end(c)
	c.atOwners("b", objects)
	c.atOwners("b", load.living())
	if listed := listAll(t, c.proxies(), "b", "dir", 50); len(listed) != len(objects) {
		t.Errorf("%d objects are listed, want %d", len(listed), len(objects))
	}
}
