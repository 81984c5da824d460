package test

import (
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/deploy/playground"
)

// TestNoLoopbackForStrangers: a node that others can reach tells
// them an address that they can use; one that only listens on loopback is not
// offered to them.
func TestNoLoopbackForStrangers(t *testing.T) {
	t.Parallel()
	own := globalAddress(t)
	c := newCluster(t, 1, 2)
	if err := c.WriteConfiguration(); err != nil {
		t.Fatal(err)
	}
	open, closed := []*playground.Node{c.nodes[0], c.nodes[1]}, c.nodes[2]
	for _, n := range open {
		editJSON(t, n.LocalFile(), func(m map[string]any) { m["host_net"].(map[string]any)["hostname"] = "0.0.0.0" })
	}
	if own == "" {
		// With no address but loopback there is nothing to tell.
		n := open[0]
		code, output := runNode(t, nil, "-role", n.Role, "-config", n.ClusterFile(), "-local_config", n.LocalFile())
		if code != 1 || !strings.Contains(output, "no address besides loopback") {
			t.Errorf("%d %s", code, output)
		}
		return
	}
	t.Cleanup(c.down)
	for _, n := range c.nodes {
		c.start(n)
	}
	c.waitReady()
	for _, n := range open {
		health := decode[struct {
			URL string `json:"public_url"`
		}](t, must(t, http.StatusOK, http.MethodGet, n.URL()+"/v1/health?cii=true", "").body)
		want := "http://" + net.JoinHostPort(own, itoa(n.Port))
		if health.URL != want {
			t.Errorf("%s advertises %s, want %s", n.Name(), health.URL, want)
		}
		if log := must(t, http.StatusOK, http.MethodGet, n.URL()+"/v1/daemon?what=log", "").body; !strings.Contains(log, want) {
			t.Errorf("%s does not log its address:\n%s", n.Name(), log)
		}
	}
	createBucket(t, c.nodes[0], "b", "")
	outside := "http://" + net.JoinHostPort(own, itoa(c.nodes[0].Port))
	reached, refused := 0, 0
	for i := range 40 {
		path := "/v1/objects/b/" + itoa(i)
		must(t, http.StatusOK, http.MethodPut, c.nodes[0].URL()+path, "data")
		a, err := try(unfollowed, http.MethodGet, outside+path, "")
		switch {
		case err != nil:
			t.Fatal(err)
		case a.status == http.StatusMovedPermanently:
			if host := location(t, a).Hostname(); host != own {
				t.Errorf("redirected to %s", host)
			}
			reached++
		case a.status == http.StatusServiceUnavailable:
			checkError(t, a, 503, "loopback")
			refused++
		default:
			t.Errorf("%d %s", a.status, a.body)
		}
	}
	if reached == 0 || refused == 0 {
		t.Errorf("%d redirects, %d refusals: expected some of both", reached, refused)
	}
	if a := single(t, http.StatusOK, http.MethodGet, closed.URL()+"/v1/health?cii=true", ""); !json.Valid([]byte(a.body)) || !strings.Contains(a.body, closed.URL()) {
		t.Errorf("%s", a.body)
	}
}

// globalAddress is an IPv4 address by which others can reach this machine, ""
// if it has none.
func globalAddress(t *testing.T) string {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, addr := range addrs {
		if network, ok := addr.(*net.IPNet); ok && network.IP.To4() != nil && network.IP.IsGlobalUnicast() {
			return network.IP.String()
		}
	}
	return ""
}
