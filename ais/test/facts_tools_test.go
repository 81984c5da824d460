package test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aistore-go/aistore/deploy/playground"
)

// What programs around the cluster rely on.
//
//	23.01 aisloader without -cleanup              here; cmd/aisloader: TestWithoutRequests
//	23.02 what aisloader asks about existence     here; cmd/aisloader: TestRequestsOfARun
//	23.03 delete-listrange as a job               TestBulkDelete
//	23.04 GET to EOF, errors with a body          here; cmd/aisloader: TestNothingToDo; cmd/aisloader/load: TestAnswers
//	23.05 -ntargets on any node                   here
//	23.06 exit codes, SIGHUP                      TestSignalsAndExitCodes; SIGHUP under load here
//	23.07 ports are JSON strings                  every test: the playground writes them so; cmn/config: TestParseLocalForms
//	23.08 unknown fields in ais.json              here
//	23.09 liveness and readiness                  here
//	23.10 command line from ps                    TestNodeComesBackWithItsCommandLineFromPs
//	23.11 one bucket by a GET with a body         here; cmd/aisloader: TestRequestsOfARun
//	23.12 get-batch                               501: TestFactsOfObjects (22.09)
//	23.13 archives become visible when complete   501: TestFactsOfBuckets (19.03); objects: TestShortBodyLeavesNothing
//	23.14 answers on stdin                        here
//	23.15 the name of the process                 here
func TestFactsOfTools(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2, 2)
	if err := c.WriteConfiguration(); err != nil {
		t.Fatal(err)
	}
	for _, n := range c.nodes {
		editJSON(t, n.ClusterFile(), func(m map[string]any) {
			m["replication"] = map[string]any{"on_cold_get": false}
			m["confdir"] = "/etc/ais"
			m["space"].(map[string]any)["from_an_older_tool"] = 1
		})
	}
	t.Cleanup(c.down)
	p, early := c.nodes[0], c.targets()[0]

	c.start(early, "-ntargets", "2")
	t.Run("23.09 alive but not ready before there is a cluster", func(t *testing.T) {
		c.eventually("liveness of "+early.Name(), func() error {
			a, err := try(client, http.MethodGet, early.URL()+"/v1/health", "")
			if err == nil && a.status != http.StatusOK {
				err = fmt.Errorf("status %d", a.status)
			}
			return err
		})
		if a := must(t, http.StatusServiceUnavailable, http.MethodGet, early.URL()+"/v1/health?readiness=true", ""); a.body != "" {
			t.Errorf("%q", a.body)
		}
		// Clients print a text of their own for a 503 without a body (19.26).
		if a := must(t, http.StatusServiceUnavailable, http.MethodGet, early.URL()+"/v1/objects/b/o", ""); a.body != "" {
			t.Errorf("%q", a.body)
		}
	})
	second := c.nodes[1]
	c.start(second, "-ntargets", "2")
	t.Run("19.26 a gateway that is not in the cluster yet", func(t *testing.T) {
		c.eventually("listening of "+second.Name(), func() error {
			a, err := try(client, http.MethodGet, second.URL()+"/v1/buckets", `{"action":"list"}`, "Content-Type", jsonType)
			if err == nil && (a.status != http.StatusServiceUnavailable || a.body != "") {
				t.Errorf("%d %q", a.status, a.body)
			}
			return err
		})
	})
	c.start(p, "-ntargets", "2")
	c.start(c.targets()[1])
	c.waitReady()
	createBucket(t, p, "b", "")
	must(t, http.StatusOK, http.MethodPut, objectURL(p, "b", "o"), "data")

	t.Run("23.01 aisloader without cleanup", func(t *testing.T) {
		loader := filepath.Join(t.TempDir(), "aisloader")
		if out, err := exec.Command("go", "build", "-o", loader, "../../cmd/aisloader").CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		out, err := exec.Command(loader, "-bucket=ais://b", "-duration=1s", "-ip=127.0.0.1", "-port="+itoa(p.Port)).CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(string(out), "-cleanup") {
			t.Errorf("%v\n%s", err, out)
		}
	})
	t.Run("23.02 existence", func(t *testing.T) {
		must(t, http.StatusOK, http.MethodHead, p.URL()+"/v1/buckets/b?presence=2", "")
		must(t, http.StatusNotFound, http.MethodHead, p.URL()+"/v1/buckets/nob?presence=2", "")
		must(t, http.StatusBadRequest, http.MethodHead, p.URL()+"/v1/buckets/b?presence=many", "")
		a := call(t, http.MethodPost, p.URL()+"/v1/buckets/b", `{"action":"create-bck"}`)
		if a.status != http.StatusConflict || !strings.Contains(a.body, `"tcode":"ErrBucketAlreadyExists"`) {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
	t.Run("23.04 answers end", func(t *testing.T) {
		if a := must(t, http.StatusOK, http.MethodGet, objectURL(p, "b", "o"), ""); a.body != "data" || a.header.Get("Content-Type") != "application/octet-stream" {
			t.Errorf("%v %q", a.header, a.body)
		}
		checkError(t, call(t, http.MethodGet, objectURL(p, "b", "none"), ""), 404, "ais://b/none does not exist")
	})
	t.Run("23.08 unknown fields are told in the log", func(t *testing.T) {
		for _, n := range c.nodes {
			c.eventually("warning of "+n.Name(), func() error {
				a := must(t, http.StatusOK, http.MethodGet, n.URL()+"/v1/daemon?what=log&severity=warning", "")
				if !strings.Contains(a.body, "replication") || !strings.Contains(a.body, "from_an_older_tool") {
					return fmt.Errorf("not in the log: %s", a.body)
				}
				return nil
			})
		}
	})
	t.Run("23.11 one bucket by a GET with a body", func(t *testing.T) {
		createBucket(t, p, "other", "")
		for name, want := range map[string]string{"b": `[{"name":"b",`, "missing": "[]\n"} {
			a := must(t, http.StatusOK, http.MethodGet, p.URL()+"/v1/buckets?provider=ais&presence=2", `{"action":"list","name":"`+name+`"}`, "Content-Type", jsonType)
			if !strings.HasPrefix(a.body, want) || strings.Contains(a.body, "other") {
				t.Errorf("%s: %s", name, a.body)
			}
		}
	})
	t.Run("23.15 the name of the process", func(t *testing.T) {
		for _, n := range c.nodes {
			name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", n.PID()))
			if err != nil || string(name) != "aisnode\n" {
				t.Errorf("%s: %q %v", n.Name(), name, err)
			}
		}
	})

	t.Run("flags of healthy nodes", func(t *testing.T) {
		for _, n := range c.nodes {
			c.eventually("flags of "+n.Name(), func() error {
				flags, err := nodeFlags(n)
				if err == nil && flags != 6 {
					err = fmt.Errorf("flags %d, want 6", flags)
				}
				return err
			})
			if a := must(t, http.StatusOK, http.MethodGet, n.URL()+"/v1/health?cii=true", ""); !strings.Contains(a.body, `"flags":6`) {
				t.Errorf("%s: %s", n.Name(), a.body)
			}
		}
	})
	t.Run("metrics", func(t *testing.T) { countersOfOperations(t, c) })
	t.Run("log files", func(t *testing.T) { logFiles(t, c) })
	t.Run("23.06 SIGHUP does nothing", func(t *testing.T) {
		pids := make([]int, len(c.nodes))
		for i, n := range c.nodes {
			pids[i] = n.PID()
			if err := n.Signal(syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 20 {
			must(t, http.StatusOK, http.MethodPut, objectURL(p, "b", "hup"+itoa(i)), "data")
		}
		for i, n := range c.nodes {
			must(t, http.StatusOK, http.MethodGet, n.URL()+"/v1/health", "")
			if n.PID() != pids[i] {
				t.Errorf("%s has another process now", n.Name())
			}
		}
	})
}

// series reads a node's metrics: the sum over all labels by name.
func series(t *testing.T, n *playground.Node) map[string]float64 {
	t.Helper()
	a := must(t, http.StatusOK, http.MethodGet, n.URL()+"/metrics", "")
	sums := map[string]float64{}
	for line := range strings.Lines(a.body) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		at := strings.LastIndexByte(line, ' ')
		value, err := strconv.ParseFloat(strings.TrimSpace(line[at+1:]), 64)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		name, labels, _ := strings.Cut(line[:at], "{")
		if strings.HasPrefix(name, "ais_") && !strings.Contains(labels, "node_id=") {
			t.Errorf("no node_id: %s", line)
		}
		sums[name] += value
	}
	return sums
}

// tracker reads a node's statistics in JSON.
func tracker(t *testing.T, n *playground.Node) map[string]int64 {
	t.Helper()
	a := must(t, http.StatusOK, http.MethodGet, n.URL()+"/v1/daemon?what=node_stats", "")
	stats := decode[struct {
		Tracker map[string]struct {
			Value int64 `json:"v,string"`
		} `json:"tracker"`
	}](t, a.body)
	values := map[string]int64{}
	for name, v := range stats.Tracker {
		values[name] = v.Value
	}
	return values
}

func countersOfOperations(t *testing.T, c *cluster) {
	type sums struct {
		series  map[string]float64
		tracker map[string]int64
	}
	read := func(nodes []*playground.Node) sums {
		total := sums{map[string]float64{}, map[string]int64{}}
		for _, n := range nodes {
			for name, v := range series(t, n) {
				total.series[name] += v
			}
			for name, v := range tracker(t, n) {
				total.tracker[name] += v
			}
		}
		return total
	}
	gateways, targets := read(c.proxies()), read(c.targets())
	p := c.nodes[0]
	createBucket(t, p, "counted", "")
	for i := range 5 {
		must(t, http.StatusOK, http.MethodPut, objectURL(p, "counted", itoa(i)), "0123456789")
	}
	for i := range 4 {
		must(t, http.StatusOK, http.MethodGet, objectURL(p, "counted", itoa(i)), "")
	}
	for i := range 3 {
		must(t, http.StatusOK, http.MethodHead, objectURL(p, "counted", itoa(i)), "")
	}
	listAll(t, c.proxies()[:1], "counted", "", 100)
	for i := range 2 {
		must(t, http.StatusOK, http.MethodDelete, objectURL(p, "counted", itoa(i)), "")
	}
	must(t, http.StatusNotFound, http.MethodDelete, objectURL(p, "counted", "0"), "")
	must(t, http.StatusInternalServerError, http.MethodPut, objectURL(p, "counted", "wrong"), "x", "Ais-Checksum-Type", "md5", "Ais-Checksum-Value", "00")
	must(t, http.StatusNotFound, http.MethodGet, p.URL()+"/v1/buckets/counted2", `{"action":"list","value":{}}`, "Content-Type", jsonType)
	gatewaysAfter, targetsAfter := read(c.proxies()), read(c.targets())

	for dotted, want := range map[string]int64{
		"put.n": 5, "get.n": 4, "head.n": 3, "del.n": 2, "put.size": 50, "get.size": 40, "err.put.n": 1, "err.put.cksum.n": 1,
	} {
		if got := targetsAfter.tracker[dotted] - targets.tracker[dotted]; got != want {
			t.Errorf("targets count %s: %d, want %d", dotted, got, want)
		}
		suffix := map[string]string{"put.size": "put_bytes", "get.size": "get_bytes"}[dotted]
		if suffix == "" {
			suffix = strings.ReplaceAll(strings.TrimSuffix(dotted, ".n"), ".", "_") + "_count"
		}
		name := "ais_target_" + suffix
		if got := targetsAfter.series[name] - targets.series[name]; got != float64(want) {
			t.Errorf("%s: %v, want %d", name, got, want)
		}
	}
	for dotted, want := range map[string]int64{"put.n": 6, "get.n": 4, "del.n": 3, "lst.n": 1} {
		name := "ais_proxy_" + strings.TrimSuffix(dotted, ".n") + "_count"
		if got := gatewaysAfter.tracker[dotted] - gateways.tracker[dotted]; got != want {
			t.Errorf("gateways count %s: %d, want %d", dotted, got, want)
		}
		if got := gatewaysAfter.series[name] - gateways.series[name]; got != float64(want) {
			t.Errorf("%s: %v, want %d", name, got, want)
		}
	}
	for _, name := range []string{"get.ns.total", "put.ns.total", "head.ns.total"} {
		if targetsAfter.tracker[name] <= targets.tracker[name] {
			t.Errorf("%s did not grow", name)
		}
	}
	for _, name := range []string{"ais_target_state_flags", "ais_target_uptime", "promhttp_metric_handler_requests_total"} {
		if _, found := targetsAfter.series[name]; !found {
			t.Errorf("no series %s", name)
		}
	}
	kinds := decode[map[string]string](t, must(t, http.StatusOK, http.MethodGet, c.targets()[0].URL()+"/v1/daemon?what=metrics", "").body)
	for name, kind := range map[string]string{"get.n": "counter", "put.size": "size", "get.ns.total": "total", "get.bps": "bw"} {
		if kinds[name] != kind {
			t.Errorf("%s is of kind %q, want %q", name, kinds[name], kind)
		}
	}
}

// logFiles looks at the files and links as an operator does, and at the same
// text over the network.
func logFiles(t *testing.T, c *cluster) {
	line := regexp.MustCompile(`^[IWE] \d\d:\d\d:\d\d\.\d{6} [a-z_]+\.go:\d+ .`)
	for _, n := range []*playground.Node{c.nodes[0], c.targets()[0]} {
		base := n.URL() + "/v1/daemon?what=log"
		text := must(t, http.StatusOK, http.MethodGet, base, "")
		if !strings.HasPrefix(text.header.Get("Content-Type"), "text/plain") {
			t.Errorf("%v", text.header)
		}
		lines := strings.Split(strings.TrimSuffix(text.body, "\n"), "\n")
		if !regexp.MustCompile(`^Started up at \d{4}/\d\d/\d\d \d\d:\d\d:\d\d, host \S+, go\S+ for \w+/\w+$`).MatchString(lines[0]) {
			t.Errorf("first line: %q", lines[0])
		}
		for _, l := range lines[1:] {
			if !line.MatchString(l) || len(l) > 2048 {
				t.Errorf("line: %q", l)
			}
		}
		for _, severity := range []string{"INFO", "ERROR"} {
			link := filepath.Join(n.LogDir(), "ais"+n.Role+"."+severity)
			name, err := os.Readlink(link)
			if err != nil || !regexp.MustCompile(`^ais`+n.Role+`\.\S+\.`+severity+`\.\d{4}-\d{6}\.`+itoa(n.PID())+`$`).MatchString(filepath.Base(name)) {
				t.Errorf("%s leads to %q: %v", link, name, err)
			}
		}
		if rest := must(t, http.StatusOK, http.MethodGet, base+"&offset="+itoa(len(lines[0])+1), "").body; !strings.HasPrefix(rest, lines[1]) {
			t.Errorf("from an offset: %.80q, want %.80q", rest, lines[1])
		}
		if e := must(t, http.StatusOK, http.MethodGet, base+"&severity=error", "").body; strings.Contains(e, "\nI ") {
			t.Errorf("informative lines in the log of errors: %q", e)
		}
		checkError(t, call(t, http.MethodGet, base+"&severity=fatal", ""), 400, "fatal")
		checkError(t, call(t, http.MethodGet, base+"&offset=100000000", ""), 400, "rotated")
		archive := must(t, http.StatusOK, http.MethodGet, base+"&all=true", "").body
		z, err := gzip.NewReader(strings.NewReader(archive))
		if err != nil {
			t.Fatal(err)
		}
		header, err := tar.NewReader(z).Next()
		if err != nil || !strings.Contains(header.Name, "INFO") {
			t.Errorf("archive of all logs: %+v %v", header, err)
		}
	}
	// A target shows its own through a gateway.
	sn := decode[struct {
		ID string `json:"daemon_id"`
	}](t, must(t, http.StatusOK, http.MethodGet, c.targets()[0].URL()+"/v1/daemon?what=snode", "").body)
	a := must(t, http.StatusOK, http.MethodGet, c.nodes[1].URL()+"/v1/reverse/daemon?what=log", "", "Ais-Node-Id", sn.ID)
	if !strings.Contains(a.body, sn.ID) {
		t.Errorf("log of %s by a gateway: %.200s", sn.ID, a.body)
	}
}

// TestFactPlaygroundReadsAnswers (23.14): one here-string answers all
// questions, also those of older releases.
func TestFactPlaygroundReadsAnswers(t *testing.T) {
	t.Parallel()
	local := filepath.Join(t.TempDir(), "local")
	if out, err := exec.Command("go", "build", "-o", local, "../../deploy/local").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	c := newCluster(t, 1, 2)
	environment := append(os.Environ(), "PROXIES=", "TARGETS=", "MOUNTPATHS=", "DEMO=no", "PORT="+itoa(c.Port), "ROOT="+c.Root, "BIN="+programs)
	run := func(stdin string, args ...string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, local, args...)
		cmd.Env, cmd.Stdin = environment, strings.NewReader(stdin)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Run(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out.String())
		}
	}
	t.Cleanup(func() { run("", "kill") })
	run("2\n1\n3\ny\ny\nn\nn\n0\n", "deploy")
	if m := c.smap(c.nodes[0]); len(m.Pmap) != 1 || len(m.Tmap) != 2 {
		t.Errorf("%d proxies, %d targets", len(m.Pmap), len(m.Tmap))
	}
	for i, want := range []bool{true, true, true, false} {
		_, err := os.Stat(c.Mountpath(c.nodes[1], i+1))
		if exists := err == nil; exists != want {
			t.Errorf("mountpath %d exists: %v", i+1, exists)
		}
	}
	run("", "restart") // no answers: as before
	if m := c.smap(c.nodes[0]); len(m.Tmap) != 2 {
		t.Errorf("%d targets after a restart", len(m.Tmap))
	}
}
