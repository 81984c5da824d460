package test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/aistore-go/aistore/deploy/playground"
)

// TestConfigurationAfterRestarts: what only a start reads is read from the
// cluster's configuration, and what cannot be in force any more does no harm.
func TestConfigurationAfterRestarts(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, 2)
	p, target := c.nodes[0], c.targets()[0]

	t.Run("an override that does not fit any more is set aside", func(t *testing.T) {
		onNode(t, http.StatusOK, p, target, "/set-config?disk.disk_util_low_wm=70&log.level=5", "")
		setConfig(t, c.nodes[1], "disk.disk_util_high_wm=60")
		check := func(low, high int) {
			t.Helper()
			if s := configOf(t, target, "config"); s.Disk.UtilLowWM != low || s.Disk.UtilHighWM != high || s.Log.Level != "5" {
				t.Errorf("%+v %+v, want %d %d and level 5", s.Disk, s.Log, low, high)
			}
		}
		check(20, 60)
		c.restart(target)
		check(20, 60)
		c.eventually("a warning", func() error {
			if a := must(t, http.StatusOK, http.MethodGet, target.URL()+"/v1/daemon?what=log&severity=warning", ""); !strings.Contains(a.body, `override of section "disk"`) &&
				!strings.Contains(a.body, `override of section \"disk\"`) {
				return fmt.Errorf("not in the log: %s", a.body)
			}
			return nil
		})
		setConfig(t, p, "disk.disk_util_high_wm=85")
		check(70, 85)
	})
	t.Run("the primary's address is kept current", func(t *testing.T) {
		if s := clusterConfig(t, p); s.Proxy.PrimaryURL != p.ControlURL() {
			t.Errorf("%+v", s.Proxy)
		}
		if err := p.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		rest := c.nodes[1]
		c.eventually("another primary with its address in the configuration", func() error {
			smap, s := mapOf(t, rest), clusterConfig(t, rest)
			if s.Proxy.PrimaryURL != smap.Primary.IntraControl.URL || s.Proxy.PrimaryURL == p.ControlURL() {
				return fmt.Errorf("%+v, the primary is %s", s.Proxy, smap.Primary.IntraControl.URL)
			}
			return nil
		})
		s := clusterConfig(t, rest)
		if s.Proxy.OriginalURL == p.ControlURL() || s.Proxy.OriginalURL == s.Proxy.PrimaryURL || s.Proxy.DiscoveryURL != c.nodes[1].ControlURL() {
			t.Errorf("%+v", s.Proxy)
		}
		c.start(p)
		c.waitReady()
	})
	t.Run("the exports show what is in force", func(t *testing.T) {
		createBucket(t, p, "exported", "")
		setConfig(t, p, "mirror.copies=6")
		for _, n := range c.nodes {
			c.eventually("exports of "+n.Name(), func() error {
				var conf shownConfig
				var smap shownMap
				bmd := map[string]any{}
				for name, into := range map[string]any{".ais.conf": &conf, ".ais.smap": &smap, ".ais.bmd": &bmd} {
					data, err := os.ReadFile(filepath.Join(n.Dir, name))
					if err != nil {
						return err
					}
					if err := json.Unmarshal(data, into); err != nil {
						t.Fatalf("%s of %s: %v: %s", name, n.Name(), err, data)
					}
				}
				if conf.Mirror.Copies != 6 || conf.UUID != smap.UUID || smap.UUID == "" || !strings.Contains(fmt.Sprint(bmd), "exported") {
					return fmt.Errorf("%+v %+v %+v", conf, smap, bmd)
				}
				return nil
			})
		}
	})
	t.Run("a start reads no export", func(t *testing.T) {
		for _, name := range []string{".ais.conf", ".ais.smap", ".ais.bmd"} {
			if err := os.WriteFile(filepath.Join(target.Dir, name), []byte("{broken"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		c.restart(target)
		c.eventually("the files are written anew", func() error {
			data, err := os.ReadFile(filepath.Join(target.Dir, ".ais.conf"))
			if err == nil && !json.Valid(data) {
				err = fmt.Errorf("%s", data)
			}
			return err
		})
	})
	t.Run("log.level is in force at once", func(t *testing.T) {
		onNode(t, http.StatusOK, p, target, "/set-config?log.level=1", "")
		lines := func() int {
			return strings.Count(must(t, http.StatusOK, http.MethodGet, target.URL()+"/v1/daemon?what=log", "").body, "configuration of this node changed")
		}
		onNode(t, http.StatusOK, p, target, "/set-config?log.level=4&log.flush_time=1ms", "")
		c.eventually("a line", func() error {
			if lines() == 0 {
				return fmt.Errorf("none")
			}
			return nil
		})
	})
	t.Run("space.out_of_space is in force at once", func(t *testing.T) {
		c.eventually("writes are taken", func() error {
			if a := call(t, http.MethodPut, objectURL(p, "exported", "before"), "x"); a.status != http.StatusOK {
				return fmt.Errorf("status %d %s", a.status, a.body)
			}
			return nil
		})
		setConfig(t, p, "space.cleanupwm=1&space.lowwm=1&space.highwm=1&space.out_of_space=1")
		c.eventually("writes are refused", func() error {
			a := call(t, http.MethodPut, objectURL(p, "exported", "after"), "x")
			if a.status != http.StatusInsufficientStorage {
				return fmt.Errorf("status %d (is the disk nearly empty?)", a.status)
			}
			return nil
		})
		setConfig(t, p, "space.cleanupwm=97&space.lowwm=98&space.highwm=99&space.out_of_space=100")
		c.eventually("writes are taken again", func() error {
			if a := call(t, http.MethodPut, objectURL(p, "exported", "after"), "x"); a.status != http.StatusOK {
				return fmt.Errorf("status %d", a.status)
			}
			return nil
		})
	})
}

// TestHTTPSIsSwitchedOnAndOff: a cluster that is told to speak HTTPS does so
// after it was restarted as a whole, with nothing removed by hand, and back.
func TestHTTPSIsSwitchedOnAndOff(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2, 2)
	crt, key := selfSigned(t)
	createBucket(t, c.nodes[0], "b", "")
	c.eventually("a write is taken", func() error {
		if a := call(t, http.MethodPut, objectURL(c.nodes[0], "b", "o"), "data"); a.status != http.StatusOK {
			return fmt.Errorf("status %d %s", a.status, a.body)
		}
		return nil
	})
	setConfig(t, c.nodes[1], url.Values{
		"net.http.use_https": {"true"}, "net.http.server_crt": {crt}, "net.http.server_key": {key}, "net.http.skip_verify": {"true"},
	}.Encode())
	if s := clusterConfig(t, c.nodes[0]); !s.Net.HTTP.UseHTTPS || s.Proxy.PrimaryURL != strings.Replace(c.nodes[0].ControlURL(), "http:", "https:", 1) {
		t.Fatalf("%+v %+v", s.Net, s.Proxy)
	}
	must(t, http.StatusOK, http.MethodGet, objectURL(c.nodes[0], "b", "o"), "") // as before until the restart
	c.awaitUseHTTPS(client, "http:", true)
	c.restartAll()
	secure := trusting(t, crt)
	for _, n := range c.nodes {
		c.eventually("readiness of "+n.Name(), func() error {
			a, err := try(secure, http.MethodGet, strings.Replace(n.URL(), "http:", "https:", 1)+"/v1/health?readiness=true", "")
			if err == nil && a.status != http.StatusOK {
				err = fmt.Errorf("status %d %s", a.status, a.body)
			}
			return err
		})
	}
	c.eventually("the object over HTTPS", func() error {
		a, err := try(secure, http.MethodGet, strings.Replace(objectURL(c.nodes[1], "b", "o"), "http:", "https:", 1), "")
		if err == nil && (a.status != http.StatusOK || a.body != "data") {
			err = fmt.Errorf("%d %q", a.status, a.body)
		}
		return err
	})
	a, err := try(secure, http.MethodPut, strings.Replace(c.nodes[1].URL(), "http:", "https:", 1)+"/v1/cluster/set-config?net.http.use_https=false", "")
	if err != nil || a.status != http.StatusOK {
		t.Fatalf("%v %d %s", err, a.status, a.body)
	}
	c.awaitUseHTTPS(secure, "https:", false)
	c.restartAll()
	c.waitReady()
	if got := must(t, http.StatusOK, http.MethodGet, objectURL(c.nodes[0], "b", "o"), ""); got.body != "data" {
		t.Errorf("back on HTTP: %q", got.body)
	}
	if s := clusterConfig(t, c.nodes[1]); s.Proxy.PrimaryURL != c.primary(c.nodes[1]).ControlURL() {
		t.Errorf("%+v", s.Proxy)
	}
}

// A node that was away while the cluster was switched to HTTPS is told by its
// own file, once: nothing is removed by hand, and its data stays.
func TestNodeThatWasAwayDuringTheSwitchToHTTPS(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2, 2)
	crt, key := selfSigned(t)
	away, rest := c.nodes[3], c.nodes[:3]
	createBucket(t, c.nodes[0], "b", "")
	must(t, http.StatusOK, http.MethodPut, objectURL(c.nodes[0], "b", "o"), "data")
	c.signal(away, syscall.SIGTERM)
	c.waitStopped(away)
	setConfig(t, c.nodes[1], url.Values{
		"net.http.use_https": {"true"}, "net.http.server_crt": {crt}, "net.http.server_key": {key}, "net.http.skip_verify": {"true"},
	}.Encode())
	for _, n := range rest {
		c.signal(n, syscall.SIGKILL)
		c.waitStopped(n)
	}
	for _, n := range rest {
		c.start(n)
	}
	secure := trusting(t, crt)
	https := func(u string) string { return strings.Replace(u, "http:", "https:", 1) }
	ready := func(n *playground.Node) {
		c.eventually("readiness of "+n.Name(), func() error {
			a, err := try(secure, http.MethodGet, https(n.URL())+"/v1/health?readiness=true", "")
			if err == nil && a.status != http.StatusOK {
				err = fmt.Errorf("status %d %s", a.status, a.body)
			}
			return err
		})
	}
	for _, n := range rest {
		ready(n)
	}
	c.start(away)
	c.eventually("it lives, and cannot join", func() error {
		if a, err := try(client, http.MethodGet, away.URL()+"/v1/health", ""); err != nil || a.status != http.StatusOK {
			return fmt.Errorf("health: %w %d", err, a.status)
		}
		return nil
	})
	must(t, http.StatusServiceUnavailable, http.MethodGet, away.URL()+"/v1/health?readiness=true", "")

	c.signal(away, syscall.SIGTERM)
	c.waitStopped(away)
	var file map[string]any
	data, err := os.ReadFile(away.ClusterFile())
	if err == nil {
		err = json.Unmarshal(data, &file)
	}
	if err != nil {
		t.Fatal(err)
	}
	file["net"] = map[string]any{"http": map[string]any{"use_https": true, "server_crt": crt, "server_key": key, "skip_verify": true}}
	if data, err = json.Marshal(file); err == nil {
		err = os.WriteFile(away.ClusterFile(), data, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	c.start(away, "-net_from_config")
	ready(away)
	c.signal(away, syscall.SIGTERM) // from now on it knows
	c.waitStopped(away)
	c.start(away)
	ready(away)
	c.eventually("the object over HTTPS", func() error {
		a, err := try(secure, http.MethodGet, https(objectURL(c.nodes[1], "b", "o")), "")
		if err == nil && (a.status != http.StatusOK || a.body != "data") {
			err = fmt.Errorf("%d %q", a.status, a.body)
		}
		return err
	})
}

// awaitUseHTTPS waits until every node has a setting: one that lags behind would
// come back with the former one, and be told by its own file.
func (c *cluster) awaitUseHTTPS(client *http.Client, scheme string, want bool) {
	c.t.Helper()
	for _, n := range c.nodes {
		c.eventually("the configuration of "+n.Name(), func() error {
			a, err := try(client, http.MethodGet, strings.Replace(n.URL(), "http:", scheme, 1)+"/v1/daemon?what=config", "")
			if err != nil {
				return err
			}
			var conf struct {
				Net struct {
					HTTP struct {
						UseHTTPS bool `json:"use_https"`
					} `json:"http"`
				} `json:"net"`
			}
			if err := json.Unmarshal([]byte(a.body), &conf); err != nil || a.status != http.StatusOK || conf.Net.HTTP.UseHTTPS != want {
				return fmt.Errorf("status %d, use_https %v, %w", a.status, conf.Net.HTTP.UseHTTPS, err)
			}
			return nil
		})
	}
}

// restartAll kills all nodes, then starts them.
func (c *cluster) restartAll() {
	c.t.Helper()
	for _, n := range c.nodes {
		if err := n.Signal(syscall.SIGKILL); err != nil {
			c.t.Fatal(err)
		}
	}
	c.eventually("all are gone", func() error {
		for _, n := range c.nodes {
			if n.PID() != 0 {
				return fmt.Errorf("%s runs", n.Name())
			}
		}
		return nil
	})
	for _, n := range c.nodes {
		c.start(n)
	}
}

// trusting is a client that trusts a certificate.
func trusting(t *testing.T, crt string) *http.Client {
	t.Helper()
	certificate, err := os.ReadFile(crt)
	if err != nil {
		t.Fatal(err)
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(certificate)
	secure := &tls.Config{RootCAs: trusted, MinVersion: tls.VersionTLS12}
	return &http.Client{Timeout: stepTimeout, Transport: &http.Transport{TLSClientConfig: secure}}
}
