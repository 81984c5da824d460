package test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aistore-go/aistore/deploy/playground"
)

type forcedRestart struct {
	Lineage     string   `json:"lineage"`
	SmapVersion string   `json:"smap_version"`
	Adopted     []string `json:"adopted"`
	Absent      []string `json:"absent"`
}

func forceRestart(n *playground.Node, lineage string) (answer, error) {
	return try(client, http.MethodPut, n.URL()+"/v1/daemon", fmt.Sprintf(`{"action":"force-restart","value":{"lineage":%q}}`, lineage), "Content-Type", jsonType)
}

func rejoin(n *playground.Node, uuid, lineage string) (answer, error) {
	return try(client, http.MethodPut, n.URL()+"/v1/daemon", fmt.Sprintf(`{"action":"rejoin","value":{"uuid":%q,"lineage":%q}}`, uuid, lineage), "Content-Type", jsonType)
}

// TestForcedRestart: three of five voters are lost, for good as it seems. What
// is left goes on by an operator's command; when the old majority returns it
// is fenced, and joins by an operator's command.
func TestForcedRestart(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, 3)
	createBucket(t, c.nodes[0], "b", "")
	for i := range 30 {
		must(t, http.StatusOK, http.MethodPut, objectURL(c.nodes[0], "b", itoa(i)), "content "+itoa(i))
	}
	c.waitVoters(5)
	uuid, old, version := c.uuid(c.nodes[0]), lineage(t, c.nodes[0]), c.version(c.nodes[0])
	for _, n := range []*playground.Node{c.nodes[0], c.nodes[1]} {
		if a, err := forceRestart(n, old); err != nil || a.status != http.StatusConflict || !strings.Contains(a.body, "refusing to restart by force") {
			t.Errorf("at %s, with everybody there: %v %d %s", n.Name(), err, a.status, a.body)
		}
	}
	if a, err := forceRestart(c.nodes[4], old); err != nil || a.status != http.StatusForbidden {
		t.Errorf("at a target with a primary: %v %d %s", err, a.status, a.body)
	}

	// All proxies but one, and the targets that vote: at least three voters.
	left := c.nodes[2]
	lost := append([]*playground.Node{c.nodes[0], c.nodes[1]}, c.targets()[:2]...)
	c.kill(lost...)
	c.eventually("standstill", func() error {
		a, err := try(client, http.MethodGet, left.URL()+"/v1/health?readiness=true", "")
		if err == nil && a.status == http.StatusOK {
			err = fmt.Errorf("%s is still ready", left.Name())
		}
		return err
	})
	var done forcedRestart
	c.eventually("the forced restart", func() error { // for a moment, a call to the dead may still be under way
		a, err := forceRestart(left, old)
		if err == nil && a.status != http.StatusOK {
			err = fmt.Errorf("%d %s", a.status, a.body)
		}
		if err == nil {
			done = decode[forcedRestart](t, a.body)
		}
		return err
	})
	if len(done.Adopted) != 2 || len(done.Absent) != 4 || done.Lineage == old {
		t.Errorf("answer %+v", done)
	}
	survivors := []*playground.Node{left, c.nodes[5]}
	for _, n := range survivors {
		c.eventually("new lineage at "+n.Name(), func() error {
			a, err := try(client, http.MethodGet, n.URL()+"/v1/health?readiness=true", "")
			if err == nil && a.status != http.StatusOK {
				err = fmt.Errorf("%d %s", a.status, a.body)
			}
			return err
		})
		if h := historyOf(t, n); h.UUID != uuid || h.Lineage != done.Lineage || len(h.Ancestors) != 1 || h.Ancestors[0] != old {
			t.Errorf("%s: %+v", n.Name(), h)
		}
	}
	if got := c.version(left); got <= version+99 || c.primary(left) != left {
		t.Errorf("map %d after %d", got, version)
	}
	if m := c.smap(left); len(m.Pmap) != 3 || len(m.Tmap) != 3 {
		t.Errorf("the absent have left the map: %d proxies, %d targets", len(m.Pmap), len(m.Tmap))
	}
	c.createEventually(left, "after")
	must(t, http.StatusOK, http.MethodHead, left.URL()+"/v1/buckets/b", "")

	// The old majority returns.
	for _, n := range lost {
		c.start(n)
	}
	for _, n := range lost {
		c.waitFenced(n, "restarted by force", done.Lineage, old, "rejoin")
	}
	if a, err := try(client, http.MethodPost, c.nodes[0].URL()+"/v1/buckets/split", `{"action":"create-bck"}`); err == nil && a.status == http.StatusOK {
		t.Error("a fenced proxy made a bucket")
	}
	// It stays so, also if it does not see the new lineage.
	c.kill(survivors...)
	c.kill(lost[0])
	c.start(lost[0])
	c.waitFenced(lost[0], "restarted by force", done.Lineage)
	time.Sleep(3 * time.Second) // longer than an election takes
	for _, n := range lost {
		c.waitFenced(n, done.Lineage)
	}
	for _, n := range survivors {
		c.start(n)
	}
	c.eventually("the new lineage", func() error {
		a, err := try(client, http.MethodGet, left.URL()+"/v1/health?prr=true", "")
		if err == nil && a.status != http.StatusOK {
			err = fmt.Errorf("%d %s", a.status, a.body)
		}
		return err
	})
	if a, err := rejoin(lost[0], uuid, old); err != nil || a.status != http.StatusConflict {
		t.Errorf("rejoin of the lineage that is over: %v %d %s", err, a.status, a.body)
	}
	if a, err := rejoin(lost[0], uuid, ""); err != nil || a.status != http.StatusBadRequest {
		t.Errorf("rejoin without a lineage: %v %d %s", err, a.status, a.body)
	}
	if a, err := rejoin(left, uuid, done.Lineage); err != nil || a.status != http.StatusConflict {
		t.Errorf("rejoin of a member: %v %d %s", err, a.status, a.body)
	}
	for i, n := range lost {
		a, err := rejoin(n, uuid, done.Lineage)
		if i == 1 { // through another proxy
			a, err = try(client, http.MethodPut, left.URL()+"/v1/reverse/daemon",
				fmt.Sprintf(`{"action":"rejoin","value":{"uuid":%q,"lineage":%q}}`, uuid, done.Lineage), "Content-Type", jsonType, "Ais-Node-Id", c.idAt(left, n))
			if err == nil && a.status == http.StatusConflict { // the first call has done it
				a.status = http.StatusOK
			}
		}
		if err != nil || a.status != http.StatusOK {
			t.Fatalf("rejoin of %s: %v %d %s", n.Name(), err, a.status, a.body)
		}
	}
	c.waitReady()
	for i := range 30 {
		c.readBack(c.nodes[0], "b", itoa(i), "content "+itoa(i))
	}
	for _, n := range c.nodes {
		if got := lineage(t, n); got != done.Lineage {
			t.Errorf("%s has lineage %s", n.Name(), got)
		}
	}
}

// TestForcedRestartAtATarget: all proxies are lost with their disks; a target
// has the documents, and a new proxy gets them from there.
func TestForcedRestartAtATarget(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 2)
	createBucket(t, c.nodes[0], "b", "")
	for i := range 10 {
		must(t, http.StatusOK, http.MethodPut, objectURL(c.nodes[0], "b", itoa(i)), "content "+itoa(i))
	}
	old := lineage(t, c.nodes[0])
	proxy, target := c.nodes[0], c.nodes[1]
	c.waitVoters(3)
	c.kill(proxy, c.nodes[2])
	damages["removed"](t, stateFile(proxy))
	onlySeed(t, proxy, target.ControlURL())
	c.start(proxy)
	c.waitFenced(proxy, "the stored state was lost", "asking "+target.ControlURL())
	var a answer
	c.eventually("the forced restart at a target", func() (err error) {
		if a, err = forceRestart(target, old); err == nil && a.status != http.StatusOK {
			err = fmt.Errorf("%d %s", a.status, a.body)
		}
		return err
	})
	done := decode[forcedRestart](t, a.body)
	c.eventually("the proxy as primary", func() error {
		a, err := try(client, http.MethodGet, proxy.URL()+"/v1/health?prr=true", "")
		if err == nil && a.status != http.StatusOK {
			err = fmt.Errorf("%d %s", a.status, a.body)
		}
		return err
	})
	if h := historyOf(t, proxy); h.Lineage != done.Lineage {
		t.Errorf("%+v, want lineage %s", h, done.Lineage)
	}
	must(t, http.StatusOK, http.MethodHead, proxy.URL()+"/v1/buckets/b", "")
	c.start(c.nodes[2]) // it was a voter, and is of the old lineage
	c.waitFenced(c.nodes[2], done.Lineage)
	if a, err := rejoin(c.nodes[2], c.uuid(proxy), done.Lineage); err != nil || a.status != http.StatusOK {
		t.Fatalf("rejoin: %v %d %s", err, a.status, a.body)
	}
	c.waitReady()
	for i := range 10 {
		c.readBack(proxy, "b", itoa(i), "content "+itoa(i))
	}
}

// waitVoters waits until so many nodes vote.
func (c *cluster) waitVoters(want int) {
	c.t.Helper()
	c.eventually(fmt.Sprintf("%d voters", want), func() error {
		if h := historyOf(c.t, c.primary(c.live())); len(h.Voters) != want {
			return fmt.Errorf("%v", h.Voters)
		}
		return nil
	})
}

// idAt is the id of a node in the map that another one shows, which may have
// to learn of it first.
func (c *cluster) idAt(asked, n *playground.Node) (found string) {
	c.t.Helper()
	type snode struct {
		Public struct {
			URL string `json:"direct_url"`
		} `json:"public_net"`
	}
	c.eventually(n.Name()+" in the map of "+asked.Name(), func() error {
		a := must(c.t, http.StatusOK, http.MethodGet, asked.URL()+"/v1/daemon?what=smap", "")
		m := decode[struct{ Pmap, Tmap map[string]snode }](c.t, a.body)
		for _, nodes := range []map[string]snode{m.Pmap, m.Tmap} {
			for id, node := range nodes {
				if node.Public.URL == n.URL() {
					found = id
					return nil
				}
			}
		}
		return errors.New("it is not in the map")
	})
	return found
}
