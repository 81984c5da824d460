package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// asNode makes the test binary a node.
const asNode = "AISNODE_TEST_AS_NODE"

func TestMain(m *testing.M) {
	if os.Getenv(asNode) != "" {
		main()
	}
	os.Exit(m.Run())
}

// unused is a port of nodes that end before they listen.
const unused = 61000

// none is an environment without variables.
func none(string) string { return "" }

func TestCommandLine(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config, local := writeConfig(t, dir, "proxy", unused, nil)
	bad := filepath.Join(dir, "bad.json")
	if err := os.WriteFile(bad, []byte("{\n\"timeout\": {]"), 0o600); err != nil {
		t.Fatal(err)
	}
	cluster := filepath.Join(dir, "cluster.json")
	if err := os.WriteFile(cluster, []byte(`{"proxy":{}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	both := []string{"-role", "proxy", "-config", config, "-local_config", local}
	for _, tc := range []struct {
		name string
		args []string
		code int
		text string // in the output
	}{
		{"nothing", nil, 0, "Usage: aisnode"},
		{"-h", []string{"-h"}, 0, "-local_config"},
		{"-help", []string{"-help"}, 0, "Usage: aisnode"},
		{"version", []string{"version"}, 0, "version 5.0"},
		{"-version", []string{"-version"}, 0, "version 5.0"},
		{"unknown option", []string{"-rol", "proxy"}, 1, "-rol"},
		{"unknown word", []string{"start"}, 1, `"start"`},
		{"no role", both[2:], 1, "-role"},
		{"wrong role", append([]string{"-role", "primary"}, both[2:]...), 1, `-role "primary": expected "proxy" or "target"`},
		{"no config", []string{"-role", "proxy", "-local_config", local}, 1, "-config"},
		{"no local config", []string{"-role", "proxy", "-config", config}, 1, "-local_config"},
		{"no such file", []string{"-role", "proxy", "-config", dir + "/nope", "-local_config", local}, 1, "no such file"},
		{"a directory", []string{"-role", "proxy", "-config", dir, "-local_config", local}, 1, "is not a file"},
		{"broken JSON", []string{"-role", "proxy", "-config", bad, "-local_config", local}, 1, "line 2"},
		{"incomplete", []string{"-role", "proxy", "-config", cluster, "-local_config", local}, 1, "timeout"},
		{"target without mountpaths", append([]string{"-role", "target"}, both[2:]...), 1, "fspaths"},
		{"bad id", append([]string{"-daemon_id", "x y"}, both...), 1, "-daemon_id"},
		{"bad override", append([]string{"-config_custom", "log.level"}, both...), 1, "-config_custom"},
		{"unknown override", append([]string{"-config_custom", "log.nothing=1"}, both...), 1, "log.nothing"},
		{"cluster-only override", append([]string{"-config_custom", "ec.enabled=true"}, both...), 1, "globally"},
		{"loopback", append([]string{"-loopback"}, both...), 1, "-loopback is not supported yet"},
		{"negative targets", append([]string{"-ntargets", "-1"}, both...), 1, "-ntargets"},
		{"of the other role", append([]string{"-start_with_lost_mountpath"}, both...), 1, "of a target"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var stderr bytes.Buffer
			code := run(tc.args, none, &stderr, nil)
			if code != tc.code || !strings.Contains(stderr.String(), tc.text) {
				t.Errorf("code %d, want %d: %s", code, tc.code, stderr.String())
			}
			if lines := strings.Count(stderr.String(), "\n"); tc.code != 0 && lines != 1 {
				t.Errorf("%d lines: %s", lines, stderr.String())
			}
		})
	}
}

func TestBadEnvironment(t *testing.T) {
	t.Parallel()
	config, local := writeConfig(t, t.TempDir(), "proxy", unused, nil)
	for name, value := range map[string]string{
		"AIS_PRIMARY_EP": "http://host/path", "AIS_DAEMON_ID": "a b", "AIS_READ_HEADER_TIMEOUT": "soon", "AIS_HOST_PORT": "x",
	} {
		var stderr bytes.Buffer
		code := run([]string{"-role", "proxy", "-config", config, "-local_config", local}, func(key string) string {
			if key == name {
				return value
			}
			return ""
		}, &stderr, nil)
		if code != 1 || !strings.Contains(stderr.String(), name) {
			t.Errorf("%s=%s: code %d: %s", name, value, code, stderr.String())
		}
	}
}

func TestPortIsTaken(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }() // of a test
	port := taken.Addr().(*net.TCPAddr).Port
	config, local := writeConfig(t, t.TempDir(), "proxy", port, nil)
	var stderr bytes.Buffer
	if code := run([]string{"-role", "proxy", "-config", config, "-local_config", local}, none, &stderr, nil); code != 1 ||
		!strings.Contains(stderr.String(), fmt.Sprint(port)) || strings.Count(stderr.String(), "\n") != 1 {
		t.Errorf("code %d: %s", code, stderr.String())
	}
}

// process is a node in a process of its own.
type process struct {
	cmd    *exec.Cmd
	args   []string
	stderr *bytes.Buffer
	url    string
}

func start(t *testing.T, role, dir string, port int, primary string, args ...string) *process {
	t.Helper()
	config, local := writeConfig(t, dir, role, port, map[string]any{"primary_url": primary})
	p := &process{args: append([]string{"-role", role, "-config", config, "-local_config", local}, args...), url: fmt.Sprintf("http://127.0.0.1:%d", port)}
	p.start(t)
	return p
}

func (p *process) start(t *testing.T) {
	t.Helper()
	p.stderr = &bytes.Buffer{}
	p.cmd = exec.Command(os.Args[0], p.args...)
	p.cmd.Env = append(os.Environ(), asNode+"=1")
	p.cmd.Stderr = p.stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			_ = p.cmd.Process.Kill() // what the test did not stop
			_ = p.cmd.Wait()
		}
	})
	p.await(t, "/v1/health?readiness=true", func(string) bool { return true })
}

// await polls until the node answers 200 with a body that is right.
func (p *process) await(t *testing.T, path string, right func(body string) bool) string {
	t.Helper()
	last := ""
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		res, err := http.Get(p.url + path)
		if err != nil {
			last = err.Error()
			continue
		}
		body, err := io.ReadAll(res.Body)
		if err := errors.Join(err, res.Body.Close()); err != nil {
			t.Fatal(err)
		}
		last = res.Status + " " + string(body)
		if res.StatusCode == http.StatusOK && right(string(body)) {
			return string(body)
		}
	}
	t.Fatalf("%s%s: %s; stderr: %s", p.url, path, last, p.stderr)
	return ""
}

// stop sends a signal and returns the exit code.
func (p *process) stop(t *testing.T, sig syscall.Signal) int {
	t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
	err := p.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) id(t *testing.T) string {
	t.Helper()
	var snode struct {
		ID string `json:"daemon_id"`
	}
	body := p.await(t, "/v1/daemon?what=snode", func(string) bool { return true })
	if err := json.Unmarshal([]byte(body), &snode); err != nil || snode.ID == "" {
		t.Fatalf("%s: %v", body, err)
	}
	return snode.ID
}

// TestNodesComeBack: a gateway and a target of their own process serve, stop
// on each signal with its code, and come back with the same command line as
// who they were, with everything that was stored.
func TestNodesComeBack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	port := freePorts(t, 6)
	primary := fmt.Sprintf("http://127.0.0.1:%d", port+1)
	proxy := start(t, "proxy", dir, port, primary, "-ntargets", "1", "-skip_startup", "-config_custom", "log.level=4")
	target := start(t, "target", dir, port+3, primary)
	ids := [2]string{proxy.id(t), target.id(t)}
	if !strings.HasSuffix(ids[0], fmt.Sprintf("p%d", port)) || !strings.HasSuffix(ids[1], fmt.Sprintf("t%d", port+3)) {
		t.Errorf("ids in a test environment: %q", ids)
	}
	request(t, "POST", proxy.url+"/v1/buckets/b", `{"action":"create-bck"}`)
	request(t, "PUT", proxy.url+"/v1/objects/b/o", "content")

	if err := proxy.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT} {
		if code := target.stop(t, sig); code != 128+int(sig) || target.stderr.Len() > 0 {
			t.Errorf("target after %v: code %d, stderr %s", sig, code, target.stderr)
		}
		if code := proxy.stop(t, sig); code != 128+int(sig) || proxy.stderr.Len() > 0 {
			t.Errorf("gateway after %v: code %d, stderr %s", sig, code, proxy.stderr)
		}
		proxy.start(t)
		target.start(t)
		if got := [2]string{proxy.id(t), target.id(t)}; got != ids {
			t.Errorf("ids are %q, were %q", got, ids)
		}
		if body := request(t, "GET", proxy.url+"/v1/objects/b/o", ""); body != "content" {
			t.Errorf("%q", body)
		}
	}
	override, err := os.ReadFile(filepath.Join(dir, "proxy", "conf", ".ais.override_config"))
	if err != nil || !strings.Contains(string(override), `"log.level":"4"`) {
		t.Errorf("override %s: %v", override, err)
	}
}

// request retries while the cluster settles.
func request(t *testing.T, method, url, body string) string {
	t.Helper()
	last := ""
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		req, err := http.NewRequest(method, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			last = err.Error()
			continue
		}
		text, err := io.ReadAll(res.Body)
		if err := errors.Join(err, res.Body.Close()); err != nil {
			t.Fatal(err)
		}
		if last = res.Status + " " + string(text); res.StatusCode == http.StatusOK {
			return string(text)
		}
		if res.StatusCode < http.StatusInternalServerError && res.StatusCode != http.StatusBadRequest {
			break
		}
	}
	t.Fatalf("%s %s: %s", method, url, last)
	return ""
}

// writeConfig writes the two files of a node below dir and returns their
// paths. The node takes port and the two that follow.
func writeConfig(t *testing.T, dir, role string, port int, proxy map[string]any) (cluster, local string) {
	t.Helper()
	own := filepath.Join(dir, role)
	if err := os.MkdirAll(own, 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(name string, value any) string {
		t.Helper()
		data, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(own, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if proxy == nil {
		proxy = map[string]any{"primary_url": "http://127.0.0.1:1"}
	}
	ports := map[string]string{"hostname": "127.0.0.1"}
	for i, key := range []string{"port", "port_intra_control", "port_intra_data"} {
		ports[key] = fmt.Sprint(port + i)
	}
	count := 0
	if role == "target" {
		count = 2
	}
	return write("ais.json", map[string]any{
			"timeout": map[string]string{
				"cplane_operation": "2s", "max_keepalive": "5s", "max_host_busy": "20s", "startup_time": "1m",
				"join_startup_time": "3m", "send_file_time": "5m",
			},
			"proxy": proxy,
		}), write("local.json", map[string]any{
			"confdir": filepath.Join(own, "conf"), "log_dir": filepath.Join(own, "log"), "host_net": ports,
			"test_fspaths": map[string]any{"root": filepath.Join(own, "disks"), "count": count, "instance": 0},
		})
}

// freePorts finds count ports in a row that nobody listens on.
func freePorts(t *testing.T, count int) int {
	t.Helper()
next:
	for range 100 {
		first, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := first.Addr().(*net.TCPAddr).Port
		open := []net.Listener{first}
		for i := 1; i < count; i++ {
			ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port+i))
			if err != nil {
				break
			}
			open = append(open, ln)
		}
		for _, ln := range open {
			if err := ln.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if len(open) < count {
			continue next
		}
		return port
	}
	t.Fatal("no free ports")
	return 0
}
