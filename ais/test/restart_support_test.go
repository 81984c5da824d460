package test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/aistore-go/aistore/deploy/playground"
)

// stateFile is the file in which a node keeps its part of the cluster state.
func stateFile(n *playground.Node) string { return filepath.Join(n.Dir, ".ais.state") }

// kill ends nodes as a power cut would, and waits until they are gone.
func (c *cluster) kill(nodes ...*playground.Node) {
	c.t.Helper()
	for _, n := range nodes {
		if err := n.Signal(syscall.SIGKILL); err != nil {
			c.t.Fatal(err)
		}
	}
	for _, n := range nodes {
		c.waitStopped(n)
	}
}

// healthState is what a node says of itself and of the cluster.
type healthState struct {
	Fenced string `json:"fenced"`
}

func health(n *playground.Node) (h healthState, err error) {
	a, err := try(client, http.MethodGet, n.URL()+"/v1/health?cii=true", "")
	if err != nil {
		return h, err
	}
	if a.status != http.StatusOK {
		return h, fmt.Errorf("status %d: %s", a.status, a.body)
	}
	return h, json.Unmarshal([]byte(a.body), &h)
}

// waitFenced waits until a node says that it is fenced for a reason with the
// given parts, and checks that it lives, is not ready, and says why everywhere.
func (c *cluster) waitFenced(n *playground.Node, parts ...string) healthState {
	c.t.Helper()
	var state healthState
	c.eventually(n.Name()+" is fenced", func() (err error) {
		if state, err = health(n); err != nil {
			return err
		}
		for _, part := range parts {
			if !strings.Contains(state.Fenced, part) {
				return fmt.Errorf("fenced %q, want %q in it", state.Fenced, part)
			}
		}
		return nil
	})
	must(c.t, http.StatusOK, http.MethodGet, n.URL()+"/v1/health", "")
	a := must(c.t, http.StatusServiceUnavailable, http.MethodGet, n.URL()+"/v1/health?readiness=true", "")
	for _, part := range parts {
		if !strings.Contains(decode[errorBody](c.t, a.body).Message, part) {
			c.t.Errorf("readiness does not say why: %s", a.body)
		}
	}
	must(c.t, http.StatusOK, http.MethodGet, n.URL()+"/v1/daemon?what=sysinfo", "")
	return state
}

// lineage is the history that a node belongs to, as its peers are told.
func lineage(t *testing.T, n *playground.Node) string {
	t.Helper()
	return historyOf(t, n).Lineage
}

type clusterHistory struct {
	UUID      string   `json:"uuid"`
	Lineage   string   `json:"lineage"`
	Ancestors []string `json:"ancestors"`
	Voters    []string `json:"voters"`
	Fenced    string   `json:"fenced"`
}

// historyOf asks a node for its lineage as an operator does.
func historyOf(t *testing.T, n *playground.Node) (h clusterHistory) {
	t.Helper()
	a := must(t, http.StatusOK, http.MethodGet, n.URL()+"/v1/daemon?what=lineage", "")
	return decode[clusterHistory](t, a.body)
}

// createEventually creates a bucket once the cluster takes changes.
func (c *cluster) createEventually(n *playground.Node, name string) {
	c.t.Helper()
	c.eventually("creation of "+name, func() error {
		a, err := try(client, http.MethodPost, n.URL()+"/v1/buckets/"+name, `{"action":"create-bck"}`, "Content-Type", jsonType)
		if err == nil && a.status != http.StatusOK && a.status != http.StatusConflict {
			err = fmt.Errorf("%d %s", a.status, a.body)
		}
		return err
	})
}

// readBack reads an object once its owner is back.
func (c *cluster) readBack(n *playground.Node, bucket, name, want string) {
	c.t.Helper()
	c.eventually("object "+name, func() error {
		a, err := try(client, http.MethodGet, objectURL(n, bucket, name), "")
		switch {
		case err != nil:
			return err
		case a.status == http.StatusOK && a.body == want:
			return nil
		case a.status == http.StatusNotFound || a.status == http.StatusOK:
			c.t.Fatalf("object %s: %d %s", name, a.status, a.body)
		}
		return errors.New(a.body)
	})
}

// putEventually writes an object once its owner may write.
func (c *cluster) putEventually(n *playground.Node, bucket, name, content string) {
	c.t.Helper()
	c.eventually("write of "+name, func() error {
		a, err := try(client, http.MethodPut, objectURL(n, bucket, name), content)
		if err == nil && a.status != http.StatusOK {
			err = fmt.Errorf("%d %s", a.status, a.body)
		}
		return err
	})
}

// damage is what happens to a state file.
var damages = map[string]func(t *testing.T, path string){
	"removed": func(t *testing.T, path string) {
		t.Helper()
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	},
	"emptied": func(t *testing.T, path string) {
		t.Helper()
		if err := os.Truncate(path, 0); err != nil {
			t.Fatal(err)
		}
	},
	"cut": func(t *testing.T, path string) {
		t.Helper()
		if err := os.Truncate(path, 10_000); err != nil {
			t.Fatal(err)
		}
	},
	"flipped bits": func(t *testing.T, path string) {
		t.Helper()
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		flipped := 0
		for at := range data { // in every stored document, and nowhere else
			if rest := data[at:]; len(rest) > 12 && (string(rest[:12]) == `{"node_id":"` || string(rest[:8]) == `{"view":`) {
				data[at+1] ^= 0x40
				flipped++
			}
		}
		if flipped == 0 {
			t.Fatal("nothing to flip")
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	},
}

// moveTo gives a stopped node other ports.
func moveTo(t *testing.T, n *playground.Node, port int) {
	t.Helper()
	n.Port = port
	editJSON(t, n.LocalFile(), func(m map[string]any) {
		net := m["host_net"].(map[string]any)
		net["port"], net["port_intra_control"], net["port_intra_data"] = itoa(port), itoa(port+1000), itoa(port+2000)
	})
}

// onlySeed configures one address to ask for a cluster, and no other.
func onlySeed(t *testing.T, n *playground.Node, url string) {
	t.Helper()
	editJSON(t, n.ClusterFile(), func(m map[string]any) {
		proxy := m["proxy"].(map[string]any)
		proxy["primary_url"], proxy["original_url"], proxy["discovery_url"] = url, "", ""
	})
}
