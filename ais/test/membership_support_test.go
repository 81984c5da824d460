package test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aistore-go/aistore/deploy/playground"
)

// Flags of nodes in the map.
const (
	flagMaintenance = 4
	flagLeaving     = 8
	flagDataMoved   = 16
)

// member is what these tests read of a node's record.
type member struct {
	ID      string `json:"daemon_id"`
	Role    string `json:"daemon_type"`
	Flags   int    `json:"flags"`
	Control struct {
		URL string `json:"direct_url"`
	} `json:"intra_control_net"`
	Public struct {
		URL string `json:"direct_url"`
	} `json:"public_net"`
}

// members returns the map as a node shows it: by id, and its version.
func (c *cluster) members(asked *playground.Node) (nodes map[string]member, version string) {
	c.t.Helper()
	smap := c.smap(asked)
	nodes = map[string]member{}
	for _, all := range []map[string]json.RawMessage{smap.Pmap, smap.Tmap} {
		for id, raw := range all {
			nodes[id] = decode[member](c.t, string(raw))
		}
	}
	return nodes, smap.Version
}

// idOf is a running node's id.
func (c *cluster) idOf(n *playground.Node) string {
	c.t.Helper()
	a := must(c.t, http.StatusOK, http.MethodGet, n.URL()+"/v1/daemon?what=snode", "")
	return decode[member](c.t, a.body).ID
}

// membershipAct sends an action to the cluster through a proxy.
func membershipAct(t *testing.T, n *playground.Node, action, value string) answer {
	t.Helper()
	return call(t, http.MethodPut, n.URL()+"/v1/cluster", `{"action":"`+action+`","value":`+value+`}`, "Content-Type", jsonType)
}

// mustAct is membershipAct with an expected status. What is to succeed waits for
// a rebalance that is in its way.
func mustAct(t *testing.T, status int, n *playground.Node, action, value string) answer {
	t.Helper()
	a := membershipAct(t, n, action, value)
	for deadline := time.Now().Add(stepTimeout); status == http.StatusOK && a.status == http.StatusConflict && strings.Contains(a.body, "rebalance["); {
		if time.Now().After(deadline) {
			break
		}
		time.Sleep(50 * time.Millisecond)
		a = membershipAct(t, n, action, value)
	}
	if a.status != status {
		t.Fatalf("%s %s: status %d, want %d: %s", action, value, a.status, status, a.body)
	}
	return a
}

// refused checks the code and the text of an error.
func refused(t *testing.T, a answer, status int, code, text string) {
	t.Helper()
	var e struct {
		Code    string `json:"tcode"`
		Message string `json:"message"`
	}
	if err := json.Unmarshal([]byte(a.body), &e); err != nil || a.status != status || e.Code != code || !strings.Contains(e.Message, text) {
		t.Errorf("status %d, code %q, %q; want %d, %q, %q", a.status, e.Code, e.Message, status, code, text)
	}
}

// awaitFlags waits until a node shows another one's flags; -1 means that it is
// not in the map.
func (c *cluster) awaitFlags(asked *playground.Node, id string, flags int) {
	c.t.Helper()
	c.eventually(fmt.Sprintf("flags of %s at %s", id, asked.Name()), func() error {
		nodes, version := c.members(asked)
		now, ok := nodes[id]
		if !ok {
			now.Flags = -1
		}
		if got := now.Flags &^ 2; now.Flags != flags && (got != flags || now.Flags < 0) { // 2: information center
			return fmt.Errorf("they are %d in v%s, want %d", now.Flags, version, flags)
		}
		return nil
	})
}

// unchanged checks that a request did nothing: 200, no body, the same map.
func (c *cluster) unchanged(n *playground.Node, action, value string) {
	c.t.Helper()
	_, before := c.members(n)
	if a := mustAct(c.t, http.StatusOK, n, action, value); a.body != "" {
		c.t.Errorf("%s: body %q, want none", action, a.body)
	}
	if _, after := c.members(n); after != before {
		c.t.Errorf("%s: the map is v%s, was v%s", action, after, before)
	}
}

func sid(id string) string { return `{"sid":"` + id + `","skip_rebalance":true}` }

// status of plain health and of readiness.
func (c *cluster) health(n *playground.Node) (plain, ready int) {
	c.t.Helper()
	return call(c.t, http.MethodGet, n.URL()+"/v1/health", "").status, call(c.t, http.MethodGet, n.URL()+"/v1/health?readiness=true", "").status
}

// secondaries returns the proxies that are not the primary.
func (c *cluster) secondaries() (list []*playground.Node) {
	c.t.Helper()
	primary := c.primary(c.nodes[0])
	for _, n := range c.proxies() {
		if n != primary {
			list = append(list, n)
		}
	}
	return list
}

// operations are the membership operations as a proxy shows them.
type operations struct {
	Current *operation   `json:"current"`
	Past    []*operation `json:"past"`
}

type operation struct {
	ID     string   `json:"id"`
	Action string   `json:"action"`
	Nodes  []string `json:"nodes"`
	Step   string   `json:"step"`
	Error  string   `json:"error"`
}

func (c *cluster) operations(n *playground.Node) operations {
	c.t.Helper()
	return decode[operations](c.t, must(c.t, http.StatusOK, http.MethodGet, n.URL()+"/v1/cluster?what=operations", "").body)
}

// awaitStopped waits until a process has ended.
func (c *cluster) awaitStopped(n *playground.Node) {
	c.t.Helper()
	c.eventually(n.Name()+" stops", func() error {
		if pid := n.PID(); pid != 0 {
			return fmt.Errorf("process %d runs", pid)
		}
		return nil
	})
}

// putWhenServed writes an object, again while its owner is not ready for it.
func (c *cluster) putWhenServed(n *playground.Node, bucket, name string) {
	c.t.Helper()
	c.eventually("write of "+name, func() error {
		a := call(c.t, http.MethodPut, objectURL(n, bucket, name), "content")
		if a.status == http.StatusServiceUnavailable {
			return fmt.Errorf("status %d: %s", a.status, a.body)
		}
		if a.status != http.StatusOK {
			c.t.Fatalf("status %d: %s", a.status, a.body)
		}
		return nil
	})
}

// settledPrimary returns the primary and another proxy, once all proxies agree
// on who it is.
func (c *cluster) settledPrimary() (primary, other *playground.Node) {
	c.t.Helper()
	c.eventually("all proxies agree on the primary", func() error {
		primary, other = c.primary(c.proxies()[0]), nil
		for _, n := range c.proxies() {
			if now := c.primary(n); now != primary {
				return fmt.Errorf("%s takes %s for it, not %s", n.Name(), now.Name(), primary.Name())
			}
			if n != primary {
				other = n
			}
		}
		return nil
	})
	return primary, other
}
