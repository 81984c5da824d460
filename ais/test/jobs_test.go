package test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/deploy/playground"
)

// jobCluster is a cluster of a binary in which the kinds "lru", which resumes,
// and "prefetch-listrange", which does not, run until a file is there, and in which
// rebalances can be held in their middle.
type jobCluster struct{ *cluster }

// TestBatchPage runs the commands of docs/batch.md.
func TestBatchPage(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, 2)
	c.up()
	env := []string{"AIS=" + c.nodes[0].URL(), "AIS_ENDPOINT=" + c.nodes[0].URL(), "AIS_CLI_CONFIG_DIR=" + t.TempDir(), "AIS_DIRECT="}
	page{name: "batch.md", env: env, dir: t.TempDir(), stderr: true}.run(t)
}

func startJobCluster(t *testing.T, proxies, targets int) jobCluster {
	t.Helper()
	c := newJobCluster(t, proxies, targets)
	c.up()
	createBucket(t, c.nodes[0], "b1", "")
	return c
}

// newJobCluster prepares the cluster without starting it.
func newJobCluster(t *testing.T, proxies, targets int) jobCluster {
	t.Helper()
	bin := t.TempDir()
	cmd := exec.Command("go", "build", "-tags", "gatedjobs", "-o", bin, "../../cmd/aisnode")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	c := newCluster(t, proxies, targets)
	c.Bin = bin
	return jobCluster{c}
}

// startJob starts a job that runs until open is called.
func (c jobCluster) startJob(n *playground.Node, kind string) (id string, open func()) {
	c.t.Helper()
	gate := filepath.Join(c.t.TempDir(), "gate")
	body := fmt.Sprintf(`{"action":"start","name":%q,"value":{"Kind":%q,"Bck":{"name":"b1","provider":"ais"}}}`, gate, kind)
	id = must(c.t, 200, http.MethodPut, n.URL()+"/v1/cluster", body, "Content-Type", jsonType).body
	return id, func() {
		c.t.Helper()
		if err := os.WriteFile(gate, nil, 0o600); err != nil {
			c.t.Fatal(err)
		}
	}
}

// jobStatus is the state of a job as one gateway tells it.
func (c jobCluster) jobStatus(n *playground.Node, id string) (s wire.JobStatus, err error) {
	a, err := try(client, http.MethodGet, n.URL()+"/v1/cluster?what=status", `{"id":"`+id+`"}`, "Content-Type", jsonType)
	if err != nil {
		return s, err
	}
	if a.status != 200 {
		return s, fmt.Errorf("status of %s: %d %s", id, a.status, a.body)
	}
	return s, json.Unmarshal([]byte(a.body), &s)
}

// ended waits for the end of a job.
func (c jobCluster) ended(n *playground.Node, id string) (s wire.JobStatus) {
	c.t.Helper()
	c.eventually("the end of "+id, func() (err error) {
		if s, err = c.jobStatus(n, id); err == nil && s.EndTime == 0 {
			err = fmt.Errorf("it runs")
		}
		return err
	})
	return s
}

// running waits until a job runs on so many targets.
func (c jobCluster) running(n *playground.Node, id string, targets int) {
	c.t.Helper()
	c.eventually(fmt.Sprintf("%s runs on %d targets", id, targets), func() error {
		a, err := try(client, http.MethodGet, n.URL()+"/v1/cluster?what=qryxstats", `{"id":"`+id+`","show_active":true}`, "Content-Type", jsonType)
		if err != nil {
			return err
		}
		if got := strings.Count(a.body, `"end-time":"0001-01-01T00:00:00Z"`); a.status != 200 || got != targets {
			return fmt.Errorf("%d on %d: %s", a.status, got, a.body)
		}
		return nil
	})
}

func (c jobCluster) kill(n *playground.Node) {
	c.t.Helper()
	if err := n.Signal(syscall.SIGKILL); err != nil {
		c.t.Fatal(err)
	}
	c.awaitStopped(n)
}

// TestKilledTargetAndItsJobs: a job that resumes goes on under its id on the
// target when that is back, another one is aborted on all; either can be
// started again.
func TestKilledTargetAndItsJobs(t *testing.T) {
	t.Parallel()
	c := startJobCluster(t, 1, 3)
	gateway, victim := c.nodes[0], c.targets()[1]
	resumes, openResumes := c.startJob(gateway, "lru")
	aborted, _ := c.startJob(gateway, "prefetch-listrange")
	c.running(gateway, resumes, 3)
	c.running(gateway, aborted, 3)
	c.kill(victim)
	c.start(victim)
	c.waitReady()
	if s := c.ended(gateway, aborted); !s.Aborted || s.Error == "" {
		t.Errorf("the job that does not resume: %+v", s)
	}
	c.running(gateway, resumes, 3)
	if s, err := c.jobStatus(gateway, resumes); err != nil || s.EndTime != 0 {
		t.Errorf("the job that resumes: %+v %v", s, err)
	}
	again, openAgain := c.startJob(gateway, "prefetch-listrange")
	openAgain()
	if s := c.ended(gateway, again); s.Aborted || s.Error != "" {
		t.Errorf("started again: %+v", s)
	}
	openResumes()
	if s := c.ended(gateway, resumes); s.Aborted || s.Error != "" {
		t.Errorf("the job that resumes: %+v", s)
	}
}

// TestKilledPrimaryAndItsJobs: the next primary knows the jobs, those that run
// go on, and one can be stopped.
func TestKilledPrimaryAndItsJobs(t *testing.T) {
	t.Parallel()
	c := startJobCluster(t, 3, 2)
	primary := c.primary(c.nodes[0])
	done, open := c.startJob(primary, "prefetch-listrange")
	open()
	first := c.ended(primary, done)
	lru, openLRU := c.startJob(primary, "lru")
	fetch, _ := c.startJob(primary, "prefetch-listrange")
	c.kill(primary)
	var other *playground.Node
	for _, n := range c.proxies() {
		if n != primary {
			other = n
		}
	}
	c.eventually("the next primary knows the job", func() error {
		s, err := c.jobStatus(other, lru)
		if err == nil && s.EndTime != 0 {
			t.Fatalf("the job has ended with the primary: %+v", s)
		}
		return err
	})
	if s, err := c.jobStatus(other, done); err != nil || s != first {
		t.Errorf("a job that had ended: %+v %v, was %+v", s, err, first)
	}
	c.eventually("stop", func() error {
		a, err := try(client, http.MethodPut, other.URL()+"/v1/cluster", `{"action":"stop","value":{"ID":"`+fetch+`"}}`, "Content-Type", jsonType)
		if err == nil && a.status != 200 {
			err = fmt.Errorf("%d %s", a.status, a.body)
		}
		return err
	})
	if s := c.ended(other, fetch); !s.Aborted || !strings.Contains(s.Error, "user abort") {
		t.Errorf("%+v", s)
	}
	openLRU()
	if s := c.ended(other, lru); s.Aborted || s.Error != "" {
		t.Errorf("%+v", s)
	}
	again, openAgain := c.startJob(other, "prefetch-listrange")
	openAgain()
	if s := c.ended(other, again); s.Aborted {
		t.Errorf("%+v", s)
	}
}
