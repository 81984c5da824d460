package test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aistore-go/aistore/deploy/playground"
)

// TestDuplicateIDEndsAtOnce: a process under an id that answers
// elsewhere ends within 4 s with one line, whether or not there is a primary
// that could refuse it. The first is not disturbed.
func TestDuplicateIDEndsAtOnce(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2, 2)
	createBucket(t, c.nodes[0], "b", "")
	twin := func(of *playground.Node, copied bool) {
		t.Helper()
		other := newCluster(t, 1, 1)
		n := &playground.Node{Index: of.Index, Role: of.Role, Dir: filepath.Join(other.Root, "twin"), Host: of.Host, Port: other.Port}
		if err := os.MkdirAll(n.LogDir(), 0o755); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"ais.json", "ais_local.json", ".ais.proxy_id", ".ais.node_key"} {
			data, err := os.ReadFile(filepath.Join(of.Dir, name))
			if os.IsNotExist(err) {
				continue
			}
			if err == nil {
				err = os.WriteFile(filepath.Join(n.Dir, name), data, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if copied { // a clone of the machine, state and all
			data, err := os.ReadFile(stateFile(of))
			if err == nil {
				err = os.WriteFile(stateFile(n), data, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		moveTo(t, n, other.Port)
		editJSON(t, n.LocalFile(), func(m map[string]any) {
			m["confdir"], m["log_dir"] = n.Dir, n.LogDir()
			m["test_fspaths"].(map[string]any)["root"] = other.Root
		})
		began := time.Now()
		code, output := runNode(t, nil, "-role", n.Role, "-config", n.ClusterFile(), "-local_config", n.LocalFile(), "-daemon_id", c.idAt(of, of))
		if code != 1 || strings.Count(strings.TrimSpace(output), "\n") != 0 || !strings.Contains(output, "duplicate node ID") {
			t.Errorf("twin of %s (state copied: %v): exit code %d:\n%s", of.Name(), copied, code, output)
		}
		if took := time.Since(began); took > 4*time.Second {
			t.Errorf("twin of %s ended after %v, more than 4 s", of.Name(), took)
		}
		must(t, http.StatusOK, http.MethodGet, of.URL()+"/v1/health", "")
	}
	twin(c.nodes[1], false)
	twin(c.nodes[2], false)
	twin(c.nodes[1], true)
	// Without a majority nobody can refuse it; the holder says it itself.
	c.kill(c.nodes[0], c.nodes[3])
	twin(c.nodes[1], true)
	twin(c.nodes[2], true)
}

// TestAddressesInUseEndAtOnce: also those of the two inner networks.
func TestAddressesInUseEndAtOnce(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 1)
	for _, network := range []int{0, 1000, 2000} {
		other := newCluster(t, 1, 1)
		if err := other.WriteConfiguration(); err != nil {
			t.Fatal(err)
		}
		n := other.nodes[0]
		taken := c.nodes[1].Port + network
		editJSON(t, n.LocalFile(), func(m map[string]any) {
			key := map[int]string{0: "port", 1000: "port_intra_control", 2000: "port_intra_data"}[network]
			m["host_net"].(map[string]any)[key] = itoa(taken)
		})
		began := time.Now()
		code, output := runNode(t, nil, "-role", n.Role, "-config", n.ClusterFile(), "-local_config", n.LocalFile())
		if code != 1 || strings.Count(strings.TrimSpace(output), "\n") != 0 || !strings.Contains(output, itoa(taken)) {
			t.Errorf("address %d in use: exit code %d:\n%s", taken, code, output)
		}
		if took := time.Since(began); took > 4*time.Second {
			t.Errorf("it ended after %v, more than 4 s", took)
		}
		// It has not begun to live: with a free address it founds its cluster.
		if _, err := os.Stat(filepath.Join(n.Dir, ".ais.proxy_id")); !os.IsNotExist(err) {
			t.Errorf("an id was kept: %v", err)
		}
	}
}
