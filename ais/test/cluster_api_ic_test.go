package test

import (
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/aistore-go/aistore/deploy/playground"
)

// icMembers are the ids of the gateways that a node's map shows as members of
// the information center.
func (c *cluster) icMembers(n *playground.Node) (ids map[string]bool, primary string) {
	c.t.Helper()
	m := decode[struct {
		Pmap    map[string]struct{ Flags uint64 }
		Primary struct {
			ID string `json:"daemon_id"`
		} `json:"proxy_si"`
	}](c.t, must(c.t, 200, http.MethodGet, n.URL()+"/v1/daemon?what=smap", "").body)
	ids = map[string]bool{}
	for id, sn := range m.Pmap {
		if sn.Flags&2 != 0 {
			ids[id] = true
		}
	}
	return ids, m.Primary.ID
}

// TestInformationCenter: up to three gateways are members, the primary always
// is, members keep their place, and every gateway answers about jobs.
func TestInformationCenter(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 5, 1)
	before, primary := c.icMembers(c.nodes[0])
	if len(before) != 3 || !before[primary] {
		t.Fatalf("members %v, primary %s", before, primary)
	}
	for _, n := range c.proxies() {
		must(t, 404, http.MethodGet, n.URL()+"/v1/cluster?what=status", `{"id":"AbC123xyz"}`)
		must(t, 404, http.MethodGet, n.URL()+"/v1/cluster?what=status", `{"kind":"lru"}`)
		must(t, 200, http.MethodGet, n.URL()+"/v1/cluster?what=status_all", `{}`)
	}
	old := c.primary(c.nodes[0])
	if err := old.Signal(9); err != nil {
		t.Fatal(err)
	}
	var left *playground.Node
	for _, n := range c.proxies() {
		if n != old {
			left = n
		}
	}
	var after map[string]bool
	c.eventually("another primary with a full information center", func() error {
		var now string
		after, now = c.icMembers(left)
		switch {
		case now == primary:
			return errors.New("still the old primary")
		case len(after) != 3 || !after[now] || after[primary]:
			return fmt.Errorf("members %v, primary %s", after, now)
		}
		return nil
	})
	kept := 0
	for id := range before {
		if after[id] {
			kept++
		}
	}
	if kept == 0 {
		t.Errorf("no member has kept its place: %v, then %v", before, after)
	}
	// a gateway that comes back takes nobody's place
	c.start(old)
	c.waitReady()
	if now, _ := c.icMembers(left); fmt.Sprint(now) != fmt.Sprint(after) {
		t.Errorf("members %v, then %v", after, now)
	}
}
