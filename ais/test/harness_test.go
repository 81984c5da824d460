package test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aistore-go/aistore/deploy/playground"
)

// stepTimeout bounds every single wait of a test.
const stepTimeout = 60 * time.Second

// programs is the folder of the binaries under test, built once by TestMain.
var programs string

func TestMain(m *testing.M) {
	code, err := buildAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		code = 1
	}
	os.Exit(code)
}

func buildAndRun(m *testing.M) (code int, err error) {
	if programs = os.Getenv(envPrograms); programs != "" {
		return m.Run(), nil // one test, see inNamespaces
	}
	dir, err := os.MkdirTemp("", "aistore-test-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	programs = dir
	cmd := exec.Command("go", "build", "-o", dir, "../../cmd/aisnode", "../../cmd/ais", "../../cmd/aisloader")
	if out, err := cmd.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("build: %w\n%s", err, out)
	}
	return m.Run(), nil
}

// ports lends each cluster ten ports on each of the three networks until the
// end of its test.
var ports = struct {
	sync.Mutex
	lent map[int]bool
	next int
}{lent: map[int]bool{}}

const (
	firstPort = 12000
	portStep  = 10
	portSteps = 100 // up to where the next network begins
)

func nextPorts(t *testing.T, nodes int) int {
	t.Helper()
	ports.Lock()
	defer ports.Unlock()
	for range portSteps {
		base := firstPort + ports.next%portSteps*portStep
		ports.next++
		if ports.lent[base] || !portsFree(base, nodes) {
			continue
		}
		ports.lent[base] = true
		t.Cleanup(func() {
			ports.Lock()
			defer ports.Unlock()
			delete(ports.lent, base)
		})
		return base
	}
	t.Fatal("no free ports from 12000 to 14999")
	return 0
}

func portsFree(base, nodes int) bool {
	for _, network := range []int{0, 1000, 2000} {
		for i := range nodes {
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", base+network+i))
			if err != nil {
				return false
			}
			if l.Close() != nil {
				return false
			}
		}
	}
	return true
}

// cluster is a running playground with what tests do to it.
type cluster struct {
	*playground.Cluster
	t     *testing.T
	nodes []*playground.Node
}

// newCluster prepares a cluster in a temporary folder without starting it.
func newCluster(t *testing.T, proxies, targets int) *cluster {
	t.Helper()
	c := &playground.Cluster{
		Proxies: proxies, Targets: targets, Mountpaths: 4, Root: t.TempDir(), Bin: programs, Port: nextPorts(t, proxies+targets),
		Config: map[string]any{
			// All that a failed test may want to show.
			"log": map[string]any{"level": "4", "flush_time": "100ms"},
			// How full the machine's disk is decides nothing.
			"space": map[string]any{"cleanupwm": 97, "lowwm": 98, "highwm": 99, "out_of_space": 100},
		},
	}
	return &cluster{Cluster: c, t: t, nodes: c.Nodes()}
}

// startCluster starts a cluster, waits until it is ready and stops it at the
// end of the test. Logs of a failed test are shown.
func startCluster(t *testing.T, proxies, targets int) *cluster {
	t.Helper()
	c := newCluster(t, proxies, targets)
	c.up()
	return c
}

func (c *cluster) up() {
	c.t.Helper()
	if err := c.WriteConfiguration(); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(c.down)
	for _, n := range c.nodes {
		c.start(n)
	}
	c.waitReady()
}

func (c *cluster) down() {
	ctx, cancel := context.WithTimeout(context.Background(), stepTimeout)
	defer cancel()
	_, err := c.Stop(ctx, func(line string) { c.t.Error(line) })
	if err != nil {
		c.t.Error(err)
	}
	if c.t.Failed() {
		for _, n := range c.nodes {
			c.t.Logf("%s printed:\n%s", n.Name(), n.Output())
			c.t.Logf("%s log:\n%s", n.Name(), tail(filepath.Join(n.LogDir(), "ais"+n.Role+".INFO"), 8<<10))
		}
	}
}

func (c *cluster) start(n *playground.Node, options ...string) {
	c.t.Helper()
	if err := c.Start(n, options...); err != nil {
		c.t.Fatal(err)
	}
}

// waitReady waits until the given nodes (all, if none is given) are ready and
// see as many nodes as are given.
func (c *cluster) waitReady(nodes ...*playground.Node) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), stepTimeout)
	defer cancel()
	if err := c.WaitReady(ctx, nodes...); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) proxies() []*playground.Node { return c.nodes[:c.Proxies] }
func (c *cluster) targets() []*playground.Node { return c.nodes[c.Proxies:] }

// smap returns the cluster map that a node shows.
func (c *cluster) smap(n *playground.Node) *playground.Smap {
	c.t.Helper()
	var m *playground.Smap
	c.eventually("cluster map of "+n.Name(), func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		var err error
		m, err = n.Smap(ctx)
		return err
	})
	return m
}

// primary is the node that the given one takes for the primary.
func (c *cluster) primary(asked *playground.Node) *playground.Node {
	c.t.Helper()
	url := c.smap(asked).Primary.Public.URL
	for _, n := range c.proxies() {
		if n.URL() == url {
			return n
		}
	}
	c.t.Fatalf("the primary %s is not a node of this cluster", url)
	return nil
}

// eventually waits until check succeeds.
func (c *cluster) eventually(what string, check func() error) {
	c.t.Helper()
	c.eventuallyWithin(stepTimeout, what, check)
}

// eventuallyWithin waits for a time until check succeeds.
func (c *cluster) eventuallyWithin(limit time.Duration, what string, check func() error) {
	c.t.Helper()
	deadline := time.Now().Add(limit)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("%s: still after %v: %v", what, limit, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// answer is a response, read whole.
type answer struct {
	status int
	header http.Header
	body   string
}

// client follows redirects as the usual clients do, and never hangs.
var client = &http.Client{Timeout: stepTimeout, Transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}}

func try(hc *http.Client, method, url, body string, headers ...string) (answer, error) {
	req, err := http.NewRequestWithContext(context.Background(), method, url, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	resp, err := hc.Do(req)
	if err != nil {
		return answer{}, err
	}
	data, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(data)}, errors.Join(err, resp.Body.Close())
}

// call sends a request, follows redirects, and fails the test if there is no answer.
func call(t *testing.T, method, url, body string, headers ...string) answer {
	t.Helper()
	a, err := try(client, method, url, body, headers...)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	return a
}

// must is call with an expected status.
func must(t *testing.T, status int, method, url, body string, headers ...string) answer {
	t.Helper()
	a := call(t, method, url, body, headers...)
	if a.status != status {
		t.Fatalf("%s %s: status %d, want %d: %s", method, url, a.status, status, a.body)
	}
	return a
}

const jsonType = "application/json"

// createBucket creates an ais:// bucket with the given properties ("" for none).
func createBucket(t *testing.T, n *playground.Node, name, props string) {
	t.Helper()
	if props == "" {
		props = "null"
	}
	must(t, http.StatusOK, http.MethodPost, n.URL()+"/v1/buckets/"+name, `{"action":"create-bck","value":`+props+`}`, "Content-Type", jsonType)
}

// objectURL is the path of an object at a gateway; the name must need no escaping.
func objectURL(n *playground.Node, bucket, name string) string {
	return n.URL() + "/v1/objects/" + bucket + "/" + name
}

// listedPage is one page of a listing in JSON.
type listedPage struct {
	UUID    string `json:"uuid"`
	Token   string `json:"continuation_token"`
	Entries []struct {
		Name  string `json:"name"`
		Size  string `json:"size"`
		Flags int    `json:"flags"`
	} `json:"entries"`
}

// listPage asks for one page; message holds fields of the list message.
func listPage(t *testing.T, n *playground.Node, bucket string, message map[string]any) listedPage {
	t.Helper()
	body, err := json.Marshal(map[string]any{"action": "list", "value": message})
	if err != nil {
		t.Fatal(err)
	}
	a := must(t, http.StatusOK, http.MethodGet, n.URL()+"/v1/buckets/"+bucket, string(body), "Content-Type", jsonType)
	var page listedPage
	if err := json.Unmarshal([]byte(a.body), &page); err != nil {
		t.Fatalf("page: %v: %s", err, a.body)
	}
	return page
}

// listAll lists a bucket page by page through the given gateways in turn.
func listAll(t *testing.T, gateways []*playground.Node, bucket, prefix string, pageSize int) (names []string) {
	t.Helper()
	message := map[string]any{"prefix": prefix, "pagesize": pageSize, "props": "name"}
	for turn := 0; ; turn++ {
		page := listPage(t, gateways[turn%len(gateways)], bucket, message)
		for _, e := range page.Entries {
			names = append(names, e.Name)
		}
		if page.Token == "" {
			return names
		}
		message["uuid"], message["continuation_token"] = page.UUID, page.Token
	}
}

// filesBelow lists the regular files of a target's mountpaths that hold
// objects or may be left over, without the node's own bookkeeping.
func (c *cluster) filesBelow(n *playground.Node) (files []string) {
	c.t.Helper()
	for i := 1; i <= c.Mountpaths; i++ {
		root := c.Mountpath(n, i)
		err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			rel := strings.TrimPrefix(path, root+"/")
			if d.Type().IsRegular() && strings.HasPrefix(rel, "@") {
				files = append(files, path)
			}
			return nil
		})
		if err != nil {
			c.t.Fatal(err)
		}
	}
	return files
}

func tail(path string, limit int64) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	if int64(len(data)) > limit {
		data = data[int64(len(data))-limit:]
		if cut := bytes.IndexByte(data, '\n'); cut >= 0 {
			data = data[cut+1:]
		}
	}
	return string(data)
}

func itoa(n int) string { return strconv.Itoa(n) }
