package test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aistore-go/aistore/deploy/playground"
)

// runNode runs aisnode to its end and returns its exit code and what it printed.
func runNode(t *testing.T, env []string, args ...string) (code int, output string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), stepTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(programs, "aisnode"), args...)
	cmd.Env = append(os.Environ(), env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0, out.String()
	case errors.As(err, &exit):
		return exit.ExitCode(), out.String()
	}
	t.Fatal(err)
	return 0, ""
}

func TestWrongConfigurationEndsWithOneClearLine(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, 1)
	if err := c.WriteConfiguration(); err != nil {
		t.Fatal(err)
	}
	proxy, target := c.nodes[0], c.nodes[1]
	write := func(name, content string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	changed := func(file string, change func(map[string]any)) string {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var m map[string]any
		if err := json.Unmarshal(data, &m); err != nil {
			t.Fatal(err)
		}
		change(m)
		if data, err = json.Marshal(m); err != nil {
			t.Fatal(err)
		}
		return write(filepath.Base(file), string(data))
	}
	for _, tc := range []struct {
		name string
		args []string
		env  []string
		want string // in the one line
	}{
		{"no role", []string{"-config", proxy.ClusterFile(), "-local_config", proxy.LocalFile()}, nil, "role"},
		{"unknown role", []string{"-role", "gateway", "-config", proxy.ClusterFile(), "-local_config", proxy.LocalFile()}, nil, "gateway"},
		{"no cluster configuration", []string{"-role", "proxy", "-local_config", proxy.LocalFile()}, nil, "-config"},
		{"no local configuration", []string{"-role", "proxy", "-config", proxy.ClusterFile()}, nil, "-local_config"},
		{"missing file", []string{"-role", "proxy", "-config", "/no/such/file", "-local_config", proxy.LocalFile()}, nil, "/no/such/file"},
		{"malformed JSON", []string{"-role", "proxy", "-config", write("ais.json", "{"), "-local_config", proxy.LocalFile()}, nil, "ais.json"},
		{"no timeouts", []string{"-role", "proxy", "-config", changed(proxy.ClusterFile(), func(m map[string]any) { delete(m, "timeout") }), "-local_config", proxy.LocalFile()}, nil, "timeout"},
		{"watermarks out of order", []string{"-role", "proxy", "-config", changed(proxy.ClusterFile(), func(m map[string]any) {
			m["space"] = map[string]any{"cleanupwm": 90, "lowwm": 75, "highwm": 80, "out_of_space": 95}
		}), "-local_config", proxy.LocalFile()}, nil, "space"},
		{"target without a mountpath", []string{"-role", "target", "-config", target.ClusterFile(), "-local_config", changed(target.LocalFile(), func(m map[string]any) { delete(m, "test_fspaths") })}, nil, "fspaths"},
		{"one address twice", []string{"-role", "proxy", "-config", proxy.ClusterFile(), "-local_config", changed(proxy.LocalFile(), func(m map[string]any) {
			m["host_net"].(map[string]any)["port_intra_control"] = m["host_net"].(map[string]any)["port"]
		})}, nil, "port"},
		{"primary endpoint with a path", []string{"-role", "proxy", "-config", proxy.ClusterFile(), "-local_config", proxy.LocalFile()}, []string{"AIS_PRIMARY_EP=http://127.0.0.1:1/path"}, "AIS_PRIMARY_EP"},
		{"bad id", []string{"-role", "proxy", "-config", proxy.ClusterFile(), "-local_config", proxy.LocalFile(), "-daemon_id", "a/b"}, nil, "a/b"},
		{"unknown option", []string{"-role", "proxy", "-nonsense"}, nil, "nonsense"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			code, output := runNode(t, tc.env, tc.args...)
			lines := strings.Split(strings.TrimSpace(output), "\n")
			if code != 1 || len(lines) != 1 || !strings.Contains(lines[0], tc.want) {
				t.Errorf("exit code %d, want 1 and one line with %q:\n%s", code, tc.want, output)
			}
		})
	}
}

func TestVersionAndHelp(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"version"}, {"-version"}} {
		code, output := runNode(t, nil, args...)
		if code != 0 || !strings.HasPrefix(output, "version 5.0.") || !strings.Contains(output, "build") {
			t.Errorf("%v: %d %s", args, code, output)
		}
	}
	for _, args := range [][]string{{}, {"-h"}, {"-help"}} {
		code, output := runNode(t, nil, args...)
		if code != 0 || !strings.Contains(output, "-local_config") || !strings.Contains(output, "-role") {
			t.Errorf("%v: %d %s", args, code, output)
		}
	}
}

// TestSecondProcessOnTheSameDisksOrAddressesEnds: locks and addresses are
// found out at once, with one line.
func TestSecondProcessOnTheSameDisksOrAddressesEnds(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 1)
	for _, n := range c.nodes {
		began := time.Now()
		code, output := runNode(t, nil, "-role", n.Role, "-config", n.ClusterFile(), "-local_config", n.LocalFile())
		if code != 1 || strings.Count(strings.TrimSpace(output), "\n") != 0 || output == "" {
			t.Errorf("second %s: exit code %d:\n%s", n.Role, code, output)
		}
		if took := time.Since(began); took > 4*time.Second {
			t.Errorf("second %s ended after %v, more than 4 s", n.Role, took)
		}
	}
	// Other addresses, other state, but the same disks.
	other := newCluster(t, 1, 1)
	other.Root = c.Root
	second := &playground.Node{Index: 1, Role: playground.Target, Dir: filepath.Join(t.TempDir(), "second"), Port: other.Port + 1}
	if err := os.MkdirAll(second.LogDir(), 0o755); err != nil {
		t.Fatal(err)
	}
	local, err := os.ReadFile(c.nodes[1].LocalFile())
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(local, &m); err != nil {
		t.Fatal(err)
	}
	m["confdir"], m["log_dir"] = second.Dir, second.LogDir()
	net := m["host_net"].(map[string]any)
	net["port"], net["port_intra_control"], net["port_intra_data"] = itoa(second.Port), itoa(second.Port+1000), itoa(second.Port+2000)
	data, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(second.LocalFile(), data, 0o644); err != nil {
		t.Fatal(err)
	}
	code, output := runNode(t, nil, "-role", "target", "-config", c.nodes[1].ClusterFile(), "-local_config", second.LocalFile())
	if code != 1 || strings.Count(strings.TrimSpace(output), "\n") != 0 || !strings.Contains(output, c.Mountpath(c.nodes[1], 1)) {
		t.Errorf("second target on the same disks: exit code %d:\n%s", code, output)
	}
	must(t, 200, "GET", c.nodes[1].URL()+"/v1/health", "")
}

// TestNodeComesBackWithItsCommandLineFromPs does what restart tests do.
func TestNodeComesBackWithItsCommandLineFromPs(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 1)
	before := c.smap(c.nodes[0])
	for _, n := range c.nodes {
		line, err := os.ReadFile("/proc/" + itoa(n.PID()) + "/cmdline")
		if err != nil {
			t.Fatal(err)
		}
		args := strings.Split(strings.TrimSuffix(string(line), "\x00"), "\x00")
		if err := n.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		c.waitStopped(n)
		cmd := exec.Command(args[0], args[1:]...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		c.eventually("readiness of "+n.Name(), func() error {
			a, err := try(client, "GET", n.URL()+"/v1/health?readiness=true", "")
			if err == nil && a.status != 200 {
				err = errors.New("not ready")
			}
			return err
		})
	}
	after := c.smap(c.nodes[0])
	for id := range before.Pmap {
		if _, ok := after.Pmap[id]; !ok {
			t.Errorf("proxy %s has another id now", id)
		}
	}
	for id := range before.Tmap {
		if _, ok := after.Tmap[id]; !ok {
			t.Errorf("target %s has another id now", id)
		}
	}
}

// TestStartRemovesOldWorkFilesAndTrash looks at the disk as an operator would.
func TestStartRemovesOldWorkFilesAndTrash(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 1)
	createBucket(t, c.nodes[0], "b", "")
	must(t, 200, "PUT", objectURL(c.nodes[0], "b", "o"), "data")
	n := c.nodes[1]
	if err := n.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	c.waitStopped(n)
	mountpath := c.Mountpath(n, 1)
	left := filepath.Join(mountpath, "@ais", "b", "%wk", "put.old.1")
	trashed := filepath.Join(mountpath, ".$deleted", "old", "file")
	for _, path := range []string{left, trashed} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("left over"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	c.start(n)
	c.waitReady()
	for _, path := range []string{left, trashed} {
		c.eventually("removal of "+path, func() error {
			if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
				return errors.Join(err, errors.New("it is still there"))
			}
			return nil
		})
	}
	must(t, 200, "GET", objectURL(c.nodes[0], "b", "o"), "")
}
