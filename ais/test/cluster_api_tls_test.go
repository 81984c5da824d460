package test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/deploy/playground"
)

// TestCertificatesAreLoadedAgain: new certificates are in use on all nodes
// without a restart; files that cannot be used change nothing and are an alert.
func TestCertificatesAreLoadedAgain(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2, 2)
	crt, key := selfSigned(t)
	https := func(url string) string { return strings.Replace(url, "http:", "https:", 1) }
	c.Config["net"] = map[string]any{"http": map[string]any{"use_https": true, "server_crt": crt, "server_key": key}}
	c.Config["proxy"] = map[string]any{
		"primary_url": https(c.nodes[0].ControlURL()), "original_url": https(c.nodes[0].ControlURL()), "discovery_url": https(c.nodes[1].ControlURL()),
	}
	if err := c.WriteConfiguration(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.down)
	hc := &http.Client{Timeout: stepTimeout, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}, //nolint:gosec // which certificate is shown is checked below
	}}
	for _, n := range c.nodes {
		c.start(n)
	}
	allReady := func() {
		t.Helper()
		for _, n := range c.nodes {
			c.eventually("readiness of "+n.Name(), func() error {
				a, err := try(hc, http.MethodGet, https(n.URL())+"/v1/health?readiness=true", "")
				if err == nil && a.status != http.StatusOK {
					err = fmt.Errorf("status %d: %s", a.status, a.body)
				}
				return err
			})
		}
		c.eventually("all nodes in the map", func() error {
			a, err := try(hc, http.MethodGet, https(c.nodes[0].URL())+"/v1/daemon?what=smap", "")
			if err != nil {
				return err
			}
			if m := decode[playground.Smap](t, a.body); len(m.Tmap)+len(m.Pmap) != len(c.nodes) {
				return errors.New(a.body)
			}
			return nil
		})
	}
	allReady()
	send := func(status int, n *playground.Node, method, path, body string, headers ...string) answer {
		t.Helper()
		a, err := try(hc, method, https(n.URL())+path, body, headers...)
		if err != nil || a.status != status {
			t.Fatalf("%s %s: %v, status %d, want %d: %s", method, path, err, a.status, status, a.body)
		}
		return a
	}
	shown := func(n *playground.Node) string {
		t.Helper()
		facts := decode[map[string]string](t, send(200, n, http.MethodGet, "/v1/daemon?what=tls_certificate", "").body)
		for _, key := range []string{"version", "issued-by (CN)", "signature-algorithm", "public-key-algorithm", "serial-number", "valid", "warning"} {
			if _, there := facts[key]; !there {
				t.Errorf("no %q: %v", key, facts)
			}
		}
		conn, err := tls.Dial("tcp", strings.TrimPrefix(n.URL(), "http://"), &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}) //nolint:gosec // as above
		if err != nil {
			t.Fatal(err)
		}
		serial := fmt.Sprintf("%x", conn.ConnectionState().PeerCertificates[0].SerialNumber)
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
		if facts["serial-number"] != serial {
			t.Errorf("%s says it shows certificate %s, and shows %s", n.Name(), facts["serial-number"], serial)
		}
		return serial
	}
	flags := func(n *playground.Node) uint64 {
		t.Helper()
		return decode[struct{ Flags uint64 }](t, send(200, n, http.MethodGet, "/v1/health?cii=true", "").body).Flags
	}
	replace := func(path, with string) {
		t.Helper()
		data, err := os.ReadFile(with)
		if err == nil {
			err = os.WriteFile(path, data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	before := map[*playground.Node]string{}
	for _, n := range c.nodes {
		before[n] = shown(n)
	}
	gateway := c.nodes[1]

	newCrt, newKey := selfSigned(t)
	replace(crt, newCrt)
	replace(key, newKey)
	send(200, gateway, http.MethodPut, "/v1/cluster/load-x509", "")
	for _, n := range c.nodes {
		if got := shown(n); got == before[n] {
			t.Errorf("%s still shows certificate %s", n.Name(), got)
		}
	}
	allReady()
	send(200, gateway, http.MethodPost, "/v1/buckets/b", `{"action":"create-bck"}`)
	send(200, gateway, http.MethodGet, "/v1/cluster?what=node_stats", "")

	// a file that is no certificate: refused, told, and without effect
	good := shown(c.nodes[2])
	if err := os.WriteFile(crt, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	send(400, gateway, http.MethodPut, "/v1/cluster/load-x509", "")
	id := decode[map[string]any](t, send(200, c.nodes[2], http.MethodGet, "/v1/daemon?what=snode", "").body)["daemon_id"]
	send(400, gateway, http.MethodPut, "/v1/reverse/daemon/load-x509", "", "Ais-Node-Id", fmt.Sprint(id))
	if got := flags(c.nodes[2]); got&262144 == 0 {
		t.Errorf("no alert: flags %d", got)
	}
	if got := shown(c.nodes[2]); got != good {
		t.Errorf("certificate %s after a failed reload, want %s", got, good)
	}
	if err := os.Remove(crt); err != nil {
		t.Fatal(err)
	}
	send(404, gateway, http.MethodPut, "/v1/cluster/load-x509/"+fmt.Sprint(id), "")
	replace(crt, newCrt)
	send(200, gateway, http.MethodPut, "/v1/cluster/load-x509", "")
	if got := flags(c.nodes[2]); got&262144 != 0 {
		t.Errorf("the alert stays: flags %d", got)
	}
	allReady()
}
