package test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/deploy/playground"
)

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

// movedNames are statistics of a rebalance.
type movedNames struct {
	Local int64 `json:"loc-objs,string"`
	Out   int64 `json:"out-objs,string"`
	In    int64 `json:"in-objs,string"`
}

// moved sums the statistics of a job over all active targets.
func (c *cluster) moved(id string) (sum movedNames) {
	c.t.Helper()
	a := must(c.t, http.StatusOK, http.MethodGet, c.nodes[0].URL()+"/v1/cluster?what=qryxstats", `{"id":"`+id+`"}`)
	for _, snaps := range decode[map[string][]struct {
		ID    string     `json:"id"`
		Stats movedNames `json:"stats"`
	}](c.t, a.body) {
		for _, s := range snaps {
			if s.ID == id {
				sum.Local, sum.Out, sum.In = sum.Local+s.Stats.Local, sum.Out+s.Stats.Out, sum.In+s.Stats.In
			}
		}
	}
	return sum
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

// owners are the targets that own names, by name.
func (c *cluster) owners(bucket string, names ...map[string]string) map[string]string {
	c.t.Helper()
	owners := map[string]string{}
	for _, list := range names {
		for name := range list {
			owners[name] = c.owner(bucket, name).Name()
		}
	}
	return owners
}

// wellMoved waits for the end of a rebalance. It has sent what changed its owner
// since before, and at most 5 % more, beside names that are written meanwhile.
func (c *cluster) wellMoved(id, bucket string, before map[string]string, written int64) {
	c.t.Helper()
	if s := c.awaitRebalance(id); s.Aborted || s.Err != "" || s.Kind != "rebalance" {
		c.t.Fatalf("%+v", s)
	}
	changed := int64(0)
	for name, owner := range before {
		if c.owner(bucket, name).Name() != owner {
			changed++
		}
	}
	moved := c.moved(id) // those that are sent by targets that leave are not counted
	if moved.Out > moved.In || moved.In == 0 || float64(moved.In) > 1.05*float64(changed)+float64(written) {
		c.t.Errorf("%s: %+v, and %d changed owners", id, moved, changed)
	}
}

// TestTargetsJoinAndLeaveUnderLoad: three targets become six, one goes into
// maintenance and comes back, two are decommissioned, while users read, write and
// delete. Every object can be read all the time and ends at its owner, and what is
// deleted stays deleted; what moves is what changed its owner; targets that leave
// hold nothing.
func TestTargetsJoinAndLeaveUnderLoad(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, 6)
	c.Mountpaths = 2
	c.upBut(3)
	p := c.nodes[0]
	createBucket(t, p, "b", "")
	objects := c.putMixed("b", 160)
	const writers, written = 2, 2 * 8
	load := c.load(p, "b", objects, writers)
	for i := range 3 {
		before := c.owners("b", objects)
		c.start(c.nodes[4+i])
		c.waitReady(c.nodes[:5+i]...)
		c.wellMoved(fmt.Sprintf("g%d", i+1), "b", before, written)
	}
	c.atOwners("b", objects)

	tid := c.idOf(c.targets()[1])
	for i, action := range []string{"start-maintenance", "stop-maintenance"} {
		before, id := c.owners("b", objects), fmt.Sprintf("g%d", 4+i)
		if a := mustAct(t, http.StatusOK, p, action, `{"sid":"`+tid+`"}`); a.body != id {
			t.Errorf("%s answers %q", action, a.body)
		}
		c.wellMoved(id, "b", before, written)
		c.awaitFlags(p, tid, []int{flagMaintenance | flagDataMoved, 0}[i])
		c.atOwners("b", objects)
	}

	leaving := []*playground.Node{c.targets()[0], c.targets()[4]}
	ids := []string{c.idOf(leaving[0]), c.idOf(leaving[1])}
	before := c.owners("b", objects)
	if a := mustAct(t, http.StatusOK, p, "decommission-node", fmt.Sprintf(`{"sids":[%q,%q]}`, ids[0], ids[1])); a.body != "g6" {
		t.Errorf("decommission answers %q", a.body)
	}
	c.wellMoved("g6", "b", before, written)
	for i, n := range leaving {
		c.awaitStopped(n)
		c.awaitFlags(p, ids[i], -1)
		if files := c.filesBelow(n); len(files) > 0 {
			t.Errorf("%s has left with %v", n.Name(), files)
		}
	}
	load.end(c)
	c.atOwners("b", objects)
	c.atOwners("b", load.living())
}
