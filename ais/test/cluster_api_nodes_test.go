package test

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aistore-go/aistore/deploy/playground"
)

// TestLogsOverREST: text from an offset, both severities, and all of it packed.
func TestLogsOverREST(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 1)
	for _, n := range c.nodes {
		log := func(status int, query string) answer {
			t.Helper()
			return c.at(c.nodes[0], n, status, http.MethodGet, "?what=log"+query, "")
		}
		whole := log(200, "")
		if !strings.HasPrefix(whole.body, "Started up at ") {
			t.Errorf("%s: %.100q", n.Name(), whole.body)
		}
		if rest := log(200, "&severity=Info&offset=11"); !strings.HasPrefix(rest.body, whole.body[11:]) {
			t.Errorf("%s: not the rest", n.Name())
		}
		for _, severity := range []string{"w", "E", "error", "warning"} {
			if a := log(200, "&severity="+severity); strings.Contains(a.body, "\nI ") {
				t.Errorf("%s: informational lines with severity %s", n.Name(), severity)
			}
		}
		log(400, "&severity=x")
		log(400, "&offset=x")
		log(400, "&offset=-1")
		if a := log(400, "&offset=1000000000"); !strings.Contains(a.body, "rotated") {
			t.Error(a.body)
		}
		before := countLogs(t, n)
		c.at(c.nodes[0], n, 200, http.MethodPut, "", `{"action":"rotate-logs"}`)
		if after := countLogs(t, n); after <= before {
			t.Errorf("%s: %d files after the rotation, %d before", n.Name(), after, before)
		}
		packed := log(200, "&all=true")
		zr, err := gzip.NewReader(strings.NewReader(packed.body))
		if err != nil {
			t.Fatal(err)
		}
		files, text := 0, ""
		for tr := tar.NewReader(zr); ; files++ {
			if _, err := tr.Next(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			data, err := io.ReadAll(tr)
			if err != nil {
				t.Fatal(err)
			}
			text += string(data)
		}
		if files < 2 || !strings.Contains(text, "Started up at ") || !strings.Contains(text, "Rotated at ") {
			t.Errorf("%s: %d files with %.200q", n.Name(), files, text)
		}
	}
	before := countLogs(t, c.nodes[1])
	must(t, 200, http.MethodPut, c.nodes[0].URL()+"/v1/cluster", `{"action":"rotate-logs"}`)
	if after := countLogs(t, c.nodes[1]); after <= before {
		t.Errorf("%d files after the rotation of all, %d before", after, before)
	}
}

// countLogs is how many informational log files a node has.
func countLogs(t *testing.T, n *playground.Node) (count int) {
	t.Helper()
	entries, err := os.ReadDir(n.LogDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Type().IsRegular() && strings.Contains(e.Name(), ".INFO.") {
			count++
		}
	}
	return count
}

// TestReverse: addressing a node through any gateway.
func TestReverse(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2, 2)
	other := c.proxies()[0]
	if c.primary(other) == other {
		other = c.proxies()[1]
	}
	target := c.targets()[0]
	url := other.URL() + "/v1/reverse/"
	t.Run("errors", func(t *testing.T) {
		checkError(t, call(t, http.MethodGet, url+"cluster?what=smap", "", "Ais-Node-Id", c.nodeID(target)), 400, "daemon")
		checkError(t, call(t, http.MethodGet, url, "", "Ais-Node-Id", c.nodeID(target)), 400, "daemon")
		checkError(t, call(t, http.MethodGet, url+"daemon?what=smap", ""), 400, "Ais-Node-Id")
		must(t, 405, http.MethodPatch, url+"daemon?what=smap", "", "Ais-Node-Id", c.nodeID(target))
		a := call(t, http.MethodGet, url+"daemon?what=smap", "", "Ais-Node-Id", "nobody0001")
		checkError(t, a, 404, "non-primary, ")
		if !strings.Contains(a.body, `"tcode":"errNodeNotFound"`) {
			t.Error(a.body)
		}
		checkError(t, call(t, http.MethodGet, c.primary(other).URL()+"/v1/reverse/daemon?what=smap", "", "Ais-Node-Id", "nobody0001"), 404, `node "nobody0001"`)
	})
	t.Run("the node's own errors come back as they are", func(t *testing.T) {
		a := call(t, http.MethodGet, url+"daemon?what=nonsense", "", "Ais-Node-Id", c.nodeID(target))
		checkError(t, a, 400, "nonsense")
		if !strings.Contains(a.body, `"node":"t[`+c.nodeID(target)+`]"`) {
			t.Error(a.body)
		}
	})
	t.Run("itself", func(t *testing.T) {
		c.at(other, other, 200, http.MethodGet, "?what=node_status", "")
	})
	t.Run("what is for nodes only is not passed on", func(t *testing.T) {
		must(t, 403, http.MethodPut, url+"daemon/enable-bend/aws/begin", "", "Ais-Node-Id", c.nodeID(target))
	})
	t.Run("out of reach", func(t *testing.T) {
		id := c.nodeID(target)
		if err := target.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		c.waitStopped(target)
		if a := must(t, 502, http.MethodGet, url+"daemon?what=node_status", "", "Ais-Node-Id", id); a.body != "" {
			t.Errorf("%q", a.body)
		}
		c.start(target)
		c.waitReady()
	})
}

// TestHealthOfNodes: all forms of the question.
func TestHealthOfNodes(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2, 1)
	primary := c.primary(c.nodes[0])
	other := c.proxies()[0]
	if primary == other {
		other = c.proxies()[1]
	}
	target := c.targets()[0]
	for _, tc := range []struct {
		node   *playground.Node
		query  string
		status int
		state  bool
	}{
		{primary, "", 200, false}, {other, "", 200, false}, {target, "", 200, false},
		{primary, "?readiness=true", 200, false}, {other, "?readiness=true", 200, false}, {target, "?readiness=true", 200, false},
		{primary, "?prr=true", 200, false}, {other, "?prr=true", 200, false}, {target, "?prr=true", 200, false},
		{primary, "?apr=true", 200, false}, {other, "?apr=true", 200, false},
		{primary, "?cii=true", 200, true}, {other, "?cii=true", 200, true}, {target, "?cii=true", 200, true},
		{primary, "?cii-apr=true", 200, true}, {other, "?cii-apr=true", 400, false},
		{primary, "?prr=true&cii=true", 400, false}, {primary, "?prr=true&cii-apr=true", 400, false},
		{primary, "?cii-apr=true&cii=true", 400, false}, {primary, "?cii-apr=true&apr=true", 400, false},
	} {
		a := must(t, tc.status, http.MethodGet, tc.node.URL()+"/v1/health"+tc.query, "")
		switch {
		case tc.status != 200:
			checkError(t, a, tc.status, "")
		case tc.state:
			isJSON(t, a)
			hasKeys(t, a.body, "smap", "bmd", "rmd", "config", "etlmd", "flags")
			if strings.Contains(a.body, "fenced") || !strings.Contains(a.body, `"Primary":{"pub_url":"`+primary.URL()+`"`) {
				t.Error(a.body)
			}
		case a.body != "":
			t.Errorf("%s: %q", tc.query, a.body)
		}
	}
	must(t, 200, http.MethodHead, primary.URL()+"/v1/health", "")

	uptime := func(n *playground.Node, header string) time.Duration {
		t.Helper()
		ns, err := strconv.ParseInt(must(t, 200, http.MethodGet, n.URL()+"/v1/health", "").header.Get(header), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return time.Duration(ns)
	}
	if err := other.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	c.waitStopped(other)
	c.start(other)
	c.waitReady()
	if node, cluster := uptime(other, "Ais-Node-Uptime"), uptime(other, "Ais-Cluster-Uptime"); node <= 0 || cluster <= node {
		t.Errorf("a node that was started again: up for %v, its cluster for %v", node, cluster)
	}
	if a, b := uptime(other, "Ais-Cluster-Uptime"), uptime(primary, "Ais-Cluster-Uptime"); b < a || b-a > 10*time.Second {
		t.Errorf("the cluster is up for %v, or %v", a, b)
	}
}

// TestGatewayWithoutMajorityIsNotReady: it lives, it says why it is not ready,
// and it is ready again when it is in touch with the others.
func TestGatewayWithoutMajorityIsNotReady(t *testing.T) {
	t.Parallel()
	for _, primary := range []bool{true, false} {
		t.Run(fmt.Sprintf("the primary: %v", primary), func(t *testing.T) {
			t.Parallel()
			c := startCluster(t, 3, 1)
			alone := c.secondary()
			if primary {
				alone = c.primary(alone)
			}
			var others []*playground.Node
			for _, n := range c.nodes {
				if n != alone {
					others = append(others, n)
					if err := n.Signal(syscall.SIGSTOP); err != nil {
						t.Fatal(err)
					}
				}
			}
			wake := func() error {
				var err error
				for _, n := range others {
					err = errors.Join(err, n.Signal(syscall.SIGCONT))
				}
				return err
			}
			t.Cleanup(func() { _ = wake() })
			c.eventually("not ready", func() error {
				a, err := try(client, http.MethodGet, alone.URL()+"/v1/health?readiness=true", "")
				if err == nil && (a.status != 503 || !strings.Contains(a.body, "cut off")) {
					err = fmt.Errorf("%d %s", a.status, a.body)
				}
				return err
			})
			must(t, 200, http.MethodGet, alone.URL()+"/v1/health", "")
			if err := wake(); err != nil {
				t.Fatal(err)
			}
			c.waitReady()
		})
	}
}

// TestFlagsOfACrashedNode: the node says so for a while; one that was stopped
// in order does not.
func TestFlagsOfACrashedNode(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 2)
	crashed, stopped := c.targets()[0], c.targets()[1]
	marker := filepath.Join(crashed.Dir, ".ais.markers", "node_restarted")
	if _, err := os.Stat(marker); err != nil {
		t.Error(err)
	}
	for n, signal := range map[*playground.Node]syscall.Signal{crashed: syscall.SIGKILL, stopped: syscall.SIGTERM} {
		if err := n.Signal(signal); err != nil {
			t.Fatal(err)
		}
		c.waitStopped(n)
		c.start(n)
	}
	c.waitReady()
	for n, want := range map[*playground.Node]uint64{crashed: 6 | 128, stopped: 6, c.nodes[0]: 6} {
		c.eventually("flags of "+n.Name(), func() error {
			flags, err := nodeFlags(n)
			if err == nil && flags != want {
				err = fmt.Errorf("flags %d, want %d", flags, want)
			}
			return err
		})
	}
}

// TestQueriesWithASilentNode: a question to all nodes fails with the name of
// the one that does not answer, in bounded time; one to a node that is not
// concerned does not wait.
func TestQueriesWithASilentNode(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 2)
	silent := c.targets()[0]
	id := c.nodeID(silent)
	if err := silent.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Signal(syscall.SIGCONT) })
	began := time.Now()
	a := call(t, http.MethodGet, c.nodes[0].URL()+"/v1/cluster?what=node_stats", "")
	took := time.Since(began)
	checkError(t, a, 503, "t["+id+"]")
	if took > 25*time.Second {
		t.Errorf("the answer took %v", took)
	}
	began = time.Now()
	must(t, 200, http.MethodGet, c.nodes[0].URL()+"/v1/cluster?what=smap", "")
	must(t, 200, http.MethodGet, c.nodes[0].URL()+"/v1/health?prr=true", "")
	c.at(c.nodes[0], c.targets()[1], 200, http.MethodGet, "?what=node_status", "")
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("other questions took %v", took)
	}
	// by now it is known to be down
	began = time.Now()
	checkError(t, call(t, http.MethodGet, c.nodes[0].URL()+"/v1/cluster?what=node_stats", ""), 503, "t["+id+"]")
	checkError(t, call(t, http.MethodPut, c.nodes[0].URL()+"/v1/cluster", `{"action":"rotate-logs"}`), 503, "t["+id+"]")
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("the answers took %v, although the node is known to be down", took)
	}
	if got := countLogs(t, c.targets()[1]); got < 2 {
		t.Errorf("the other target was not told: %d log files", got)
	}
}
