package test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/deploy/playground"
)

// hold has all rebalances stop in their middle by a rule, see
// ais/target/gatedrebalance.go.
func (c jobCluster) hold(rule string) {
	c.t.Helper()
	file := filepath.Join(c.Bin, "hold")
	if err := os.WriteFile(file+".new", []byte(rule), 0o600); err != nil {
		c.t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		c.t.Fatal(err)
	}
}

// letGo has them go on.
func (c jobCluster) letGo() {
	c.t.Helper()
	if err := os.Remove(filepath.Join(c.Bin, "hold")); err != nil {
		c.t.Fatal(err)
	}
}

// newest is the id of the rebalance that was started last, "" without any.
func (c jobCluster) newest(gateway *playground.Node) (id string) {
	c.t.Helper()
	a := call(c.t, http.MethodGet, gateway.URL()+"/v1/cluster?what=qryxstats", `{"kind":"rebalance"}`)
	if a.status != http.StatusOK {
		return ""
	}
	newest := 0
	for _, snaps := range decode[map[string][]struct {
		ID string `json:"id"`
	}](c.t, a.body) {
		for _, s := range snaps {
			n, err := strconv.Atoi(strings.TrimPrefix(s.ID, "g"))
			if err != nil {
				c.t.Fatalf("the id of a rebalance: %q", s.ID)
			}
			if n > newest {
				id, newest = s.ID, n
			}
		}
	}
	return id
}

// awaitMiddle waits until a rebalance has moved so many objects: they have come,
// or were removed where they were.
func (c jobCluster) awaitMiddle(id string, objects int64) {
	c.t.Helper()
	c.eventually(id+" is in its middle", func() error {
		a, err := try(client, http.MethodGet, c.nodes[0].URL()+"/v1/cluster?what=qryxstats", `{"id":"`+id+`"}`)
		if err != nil {
			return err
		}
		if a.status != http.StatusOK {
			return fmt.Errorf("%d %s", a.status, a.body)
		}
		if moved := c.moved(id); moved.In+moved.Local < objects {
			return fmt.Errorf("%+v", moved)
		}
		return nil
	})
}

// workFiles are the files on a target that are being received.
func (c *cluster) workFiles(n *playground.Node) (files []string) {
	c.t.Helper()
	for _, file := range c.filesBelow(n) {
		if strings.Contains(file, "/%wk/") {
			files = append(files, file)
		}
	}
	return files
}

// nothingIsLeft fails unless rebalances have left nothing behind: files that
// were being received, what was moved aside, streams.
func (c *cluster) nothingIsLeft(nodes ...*playground.Node) {
	c.t.Helper()
	for _, n := range nodes {
		c.eventually("nothing is left on "+n.Name(), func() error {
			left := c.workFiles(n)
			for i := 1; i <= c.Mountpaths; i++ {
				aside, err := filepath.Glob(filepath.Join(c.Mountpath(n, i), ".ais.quarantine", "*"))
				if err != nil {
					return err
				}
				left = append(left, aside...)
			}
			if open := tracker(c.t, n)["stream.open.n"]; len(left) > 0 || open != 0 {
				return fmt.Errorf("%v, %d streams", left, open)
			}
			return nil
		})
	}
}

// awaitMoved waits until the newest rebalance has ended without an error, and
// every object is at its owner.
func (c jobCluster) awaitMoved(bucket string, objects map[string]string) {
	c.t.Helper()
	c.eventually("the newest rebalance ends", func() error {
		id := c.newest(c.nodes[0])
		a, err := try(client, http.MethodGet, c.nodes[0].URL()+"/v1/cluster?what=status", `{"id":"`+id+`"}`)
		if err != nil {
			return err
		}
		if a.status != http.StatusOK {
			return fmt.Errorf("%s: %d %s", id, a.status, a.body)
		}
		if s := decode[rebalanceStatus](c.t, a.body); s.EndTime == 0 || s.Aborted || s.Err != "" {
			return fmt.Errorf("%s", a.body)
		}
		return nil
	})
	c.atOwners(bucket, objects)
}

// TestTargetsAreKilledDuringARebalance: first the one that receives, while
// objects are on their way to it, and whose answers have not come; then the one that
// sends. Each is back after a while, the rebalance ends, nothing is lost or left
// behind, and every object can be read by whoever asks a node that lives.
func TestTargetsAreKilledDuringARebalance(t *testing.T) {
	t.Parallel()
	c := newJobCluster(t, 1, 4)
	c.Mountpaths = 2
	c.upBut(1)
	p, receiver, sender := c.nodes[0], c.nodes[4], c.nodes[2]
	createBucket(t, p, "b", "")
	objects := c.putMixed("b", 160)
	load := c.load(p, "b", objects, 1)

	c.hold("body 8")
	c.start(receiver)
	c.awaitMiddle("g1", 8)
	c.eventually("an object is half there", func() error {
		if len(c.workFiles(receiver)) == 0 {
			return fmt.Errorf("there are no work files on %s", receiver.Name())
		}
		return nil
	})
	c.killed(load, receiver)
	c.letGo()
	c.awaitMoved("b", objects)
	c.nothingIsLeft(c.targets()...)

	c.hold("answer 8")
	tid := c.idOf(sender)
	mustAct(t, http.StatusOK, p, "start-maintenance", `{"sid":"`+tid+`"}`)
	c.awaitMiddle(c.newest(p), 8)
	c.killed(load, sender)
	c.letGo()
	c.awaitFlags(p, tid, flagMaintenance|flagDataMoved)
	c.awaitMoved("b", objects)
	c.nothingIsLeft(c.targets()...)
	if files := c.filesBelow(sender); len(files) > 0 {
		t.Errorf("%s still holds %v", sender.Name(), files)
	}
	load.end(c.cluster)
	c.atOwners("b", load.living())
	if listed := listAll(t, c.proxies(), "b", "dir", 50); len(listed) != len(objects) {
		t.Errorf("%d objects are listed, want %d", len(listed), len(objects))
	}
}

// killed kills a target and starts it again.
func (c jobCluster) killed(load *userLoad, n *playground.Node) {
	c.t.Helper()
	load.nodesDie.Store(true)
	c.kill(n)
	c.start(n)
	c.eventually(n.Name()+" is back", func() error { // it is not ready in maintenance
		a, err := try(client, http.MethodGet, n.URL()+"/v1/health", "")
		if err == nil && a.status != http.StatusOK {
			err = fmt.Errorf("health: %d", a.status)
		}
		return err
	})
	load.nodesDie.Store(false)
}

// TestRebalanceIsStoppedAndThePrimaryDies: a rebalance that an operator stops in
// its middle leaves nothing that keeps the next one from running, and does not
// begin by itself; one goes on when the primary dies.
func TestRebalanceIsStoppedAndThePrimaryDies(t *testing.T) {
	t.Parallel()
	c := newJobCluster(t, 3, 3)
	c.Mountpaths = 2
	c.upBut(1)
	primary := c.primary(c.nodes[0])
	if primary == c.nodes[0] { // the other helpers ask the first node
		next := c.idOf(c.nodes[1])
		must(t, http.StatusOK, http.MethodPut, primary.URL()+"/v1/cluster/proxy/"+next, "")
		c.eventually("another primary", func() error {
			if primary = c.primary(c.nodes[0]); primary == c.nodes[0] {
				return fmt.Errorf("it is still %s", primary.Name())
			}
			return nil
		})
	}
	gateway := c.nodes[0]
	createBucket(t, gateway, "b", "")
	objects := c.putMixed("b", 120)
	load := c.load(gateway, "b", objects, 1)

	c.hold("send 0")
	c.start(c.nodes[5])
	c.waitReady()
	c.eventually("a rebalance begins", func() error {
		if id := c.newest(gateway); id != "g1" {
			return fmt.Errorf("the newest is %q", id)
		}
		return nil
	})
	for i, rule := range []string{"send 3", "body 6", "answer 9"} {
		id := fmt.Sprintf("g%d", i+1)
		value := []string{`{"ID":"` + id + `"}`, `{"Kind":"rebalance"}`, `{"ID":"` + id + `","Kind":"rebalance"}`}[i]
		must(t, http.StatusOK, http.MethodPut, gateway.URL()+"/v1/cluster", `{"action":"stop","value":`+value+`}`, "Content-Type", jsonType)
		if s := c.awaitRebalance(id); !s.Aborted || !strings.Contains(s.Err, "user abort") {
			t.Errorf("%s was stopped: %+v", id, s)
		}
		c.nothingIsLeft(c.targets()...)
		if now := c.newest(gateway); now != id {
			t.Errorf("%s was stopped, and %s has begun", id, now)
		}
		c.hold(rule)
		next := must(t, http.StatusOK, http.MethodPut, gateway.URL()+"/v1/cluster", `{"action":"start","value":{"Kind":"rebalance"}}`, "Content-Type", jsonType).body
		if want := fmt.Sprintf("g%d", i+2); next != want {
			t.Errorf("%q was started, want %q", next, want)
		}
		c.awaitMiddle(next, 3)
	}

	c.kill(primary)
	c.eventually("the next primary knows the rebalance", func() error {
		if now := c.primary(gateway); now == primary {
			return fmt.Errorf("it is still %s", now.Name())
		}
		s, err := c.jobStatus(gateway, "g4")
		if err == nil && s.EndTime != 0 {
			t.Fatalf("it has ended with the primary: %+v", s)
		}
		return err
	})
	c.letGo()
	if s := c.awaitRebalance("g4"); s.Aborted || s.Err != "" {
		t.Errorf("%+v", s)
	}
	c.atOwners("b", objects)
	c.nothingIsLeft(c.targets()...)
	load.end(c.cluster)
	c.atOwners("b", load.living())
}
