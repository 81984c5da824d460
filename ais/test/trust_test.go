package test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aistore-go/aistore/deploy/playground"
)

// redirected asks a gateway and returns where it sends the client.
func redirected(t *testing.T, method, url string) string {
	t.Helper()
	status := http.StatusTemporaryRedirect
	if method == http.MethodGet {
		status = http.StatusMovedPermanently
	}
	return location(t, single(t, status, method, url, "")).String()
}

// marker is what a gateway adds to the query of a request for an object.
func (c *cluster) marker(bucket, name string) string {
	c.t.Helper()
	_, query, _ := strings.Cut(redirected(c.t, http.MethodGet, objectURL(c.nodes[0], bucket, name)), "?")
	return query
}

// withParam changes one parameter of an address, without touching the rest.
func withParam(t *testing.T, address, name string, change func(string) string) string {
	t.Helper()
	path, query, _ := strings.Cut(address, "?")
	pairs := strings.Split(query, "&")
	for i, pair := range pairs {
		if value, ok := strings.CutPrefix(pair, name+"="); ok {
			pairs[i] = name + "=" + change(value)
			return path + "?" + strings.Join(pairs, "&")
		}
	}
	t.Fatalf("%s has no parameter %s", address, name)
	return ""
}

// TestRedirectsAreSigned: a target serves what a gateway has redirected to it,
// as often as it is asked to, and refuses redirects that somebody else made.
func TestRedirectsAreSigned(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2, 2)
	gateway := c.nodes[1]
	createBucket(t, gateway, "b", "")
	must(t, http.StatusOK, http.MethodPut, objectURL(gateway, "b", "o"), "content")
	must(t, http.StatusOK, http.MethodPut, objectURL(gateway, "b", "p"), "content")

	to := redirected(t, http.MethodGet, objectURL(gateway, "b", "o")+"?provider=ais")
	for range 3 { // HTTP libraries send a redirected request again
		if a := single(t, http.StatusOK, http.MethodGet, to, ""); a.body != "content" {
			t.Errorf("body %q", a.body)
		}
	}
	flip := func(s string) string {
		return s[:len(s)-2] + map[bool]string{true: "B", false: "A"}[s[len(s)-2] == 'A'] + s[len(s)-1:]
	}
	for name, address := range map[string]string{
		"wrong signature":   withParam(t, to, "vpams", flip),
		"no signature":      withParam(t, to, "vpams", func(s string) string { return s[:strings.IndexByte(s, '.')] }),
		"another map":       withParam(t, to, "vpams", func(s string) string { return "z" + s }),
		"no vpams":          withParam(t, to, "vpams", func(string) string { return "" }),
		"nonsense":          withParam(t, to, "vpams", func(string) string { return "xyz.abc.def" }),
		"an older time":     withParam(t, to, "utm", func(string) string { return strconv.FormatInt(time.Now().Add(-time.Hour).UnixNano(), 36) }),
		"another gateway":   withParam(t, to, "pid", func(string) string { return "abcdefgh" }),
		"another object":    strings.Replace(to, "/b/o?", "/b/q?", 1),
		"another namespace": strings.Replace(to, "provider=ais", "provider=ais&namespace=%23ns", 1),
		"made up":           strings.SplitN(to, "?", 2)[0] + "?pid=" + "abcdefgh" + "&utm=" + strconv.FormatInt(time.Now().UnixNano(), 36) + "&vpams=1",
	} {
		for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
			a := single(t, http.StatusForbidden, method, address, "")
			if !strings.Contains(a.body, `"tcode":"ErrRedirectMarker"`) {
				t.Errorf("%s %s: %s", method, name, a.body)
			}
		}
		if a := single(t, http.StatusForbidden, http.MethodHead, address, ""); !strings.Contains(a.header.Get("Hdr-Error"), "redirect is not accepted") {
			t.Errorf("HEAD %s: %v", name, a.header)
		}
	}
	// what no gateway has redirected is a direct request, as ever
	direct := strings.SplitN(to, "?", 2)[0]
	if a := single(t, http.StatusOK, http.MethodGet, direct, ""); a.body != "content" {
		t.Errorf("direct read: %q", a.body)
	}
	single(t, http.StatusBadRequest, http.MethodPut, direct, "x")
	// a client cannot smuggle a marker of its own through a gateway
	for _, extra := range []string{"?pid=x&utm=1&vpams=1", "?vpams=zz&pid=evil"} {
		if a := must(t, http.StatusOK, http.MethodGet, objectURL(gateway, "b", "o")+extra, ""); a.body != "content" {
			t.Errorf("%s: %q", extra, a.body)
		}
	}
	// the redirect of a read does not open a bucket that may not be written
	createBucket(t, gateway, "ro", "")
	must(t, http.StatusOK, http.MethodPut, objectURL(gateway, "ro", "o"), "content")
	readOnly := redirected(t, http.MethodGet, objectURL(gateway, "ro", "o"))
	must(t, http.StatusOK, http.MethodPatch, gateway.URL()+"/v1/buckets/ro", `{"action":"set-bprops","value":{"access":"771"}}`, "Content-Type", jsonType)
	single(t, http.StatusOK, http.MethodGet, readOnly, "")
	single(t, http.StatusForbidden, http.MethodPut, readOnly, "other")
	single(t, http.StatusForbidden, http.MethodDelete, readOnly, "")
}

// TestNodesRefuseStrangers: what nodes say to each other, nobody else may say,
// on whatever network, and with whatever headers.
func TestNodesRefuseStrangers(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2, 1)
	createBucket(t, c.nodes[0], "b", "")
	dataURL := func(n *playground.Node) string { return fmt.Sprintf("http://%s:%d", n.Host, n.Port+2000) }
	ids := c.ids()
	primary, target := ids[c.nodes[0]], ids[c.nodes[2]]
	forged := []string{"Ais-Caller-Id", primary, "Ais-Caller-Name", "p[" + primary + "]"}
	signed := append(forged[:len(forged):len(forged)],
		"Ais-Caller-Sig", "1.h.1.m0000000.n."+strings.Repeat("A", 43), "Ais-Caller-Nonce", strings.Repeat("A", 22))
	for _, n := range c.nodes {
		for _, call := range []struct{ method, path, body string }{
			{"POST", "/v1/metasync/push", `{"from":"` + primary + `","primary":true}`},
			{"POST", "/v1/metasync/raft", "x"},
			{"POST", "/v1/metasync/join", `{}`},
			{"POST", "/v1/metasync/whois", `{}`},
			{"POST", "/v1/metasync/leave", `{"from":"` + target + `"}`},
			{"POST", "/v1/metasync/keepalive", `{}`},
			{"PUT", "/v1/daemon", `{"action":"reset-stats","value":false}`},
		} {
			for _, base := range []string{n.ControlURL(), dataURL(n)} {
				for name, headers := range map[string][]string{"no caller": nil, "forged caller": forged, "forged signature": signed} {
					if a := call3(t, call.method, base+call.path, call.body, headers...); a.status != http.StatusForbidden {
						t.Errorf("%s %s%s, %s: %d %s", call.method, base, call.path, name, a.status, a.body)
					}
				}
			}
			// and on the public network nodes are not believed at all
			for _, headers := range [][]string{forged, signed} {
				a := call3(t, call.method, n.URL()+call.path, call.body, headers...)
				if a.status != http.StatusForbidden || !strings.Contains(a.body, "unexpected intra-cluster header on pub") {
					t.Errorf("%s %s%s: %d %s", call.method, n.URL(), call.path, a.status, a.body)
				}
			}
		}
	}
	// a listing of a target's own names is for gateways
	for name, headers := range map[string][]string{"no caller": nil, "forged caller": forged, "forged signature": signed} {
		if a := call3(t, "POST", dataURL(c.nodes[2])+"/v1/intra/list/b", `{}`, headers...); a.status != http.StatusForbidden {
			t.Errorf("listing, %s: %d %s", name, a.status, a.body)
		}
	}
	// the cluster did not mind
	must(t, http.StatusOK, http.MethodPut, objectURL(c.nodes[1], "b", "o"), "content")
	if m := c.smap(c.nodes[1]); len(m.Pmap) != 2 || len(m.Tmap) != 1 {
		t.Errorf("%d proxies, %d targets", len(m.Pmap), len(m.Tmap))
	}
}

// call3 is call by clients that follow nothing.
func call3(t *testing.T, method, url, body string, headers ...string) answer {
	t.Helper()
	a, err := try(unfollowed, method, url, body, headers...)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	return a
}

// trustedNode is what the cluster map says of a node's identity.
type trustedNode struct {
	ID     string `json:"daemon_id"`
	Key    []byte `json:"verifying_key"`
	Public struct {
		URL string `json:"direct_url"`
	} `json:"public_net"`
}

// identities are the nodes of the map that a node shows, by public URL.
func (c *cluster) identities(n *playground.Node) map[string]trustedNode {
	c.t.Helper()
	a := must(c.t, http.StatusOK, http.MethodGet, n.URL()+"/v1/daemon?what=smap", "")
	m := decode[struct{ Pmap, Tmap map[string]trustedNode }](c.t, a.body)
	byURL := map[string]trustedNode{}
	for _, nodes := range []map[string]trustedNode{m.Pmap, m.Tmap} {
		for _, node := range nodes {
			byURL[node.Public.URL] = node
		}
	}
	return byURL
}

// ids are the nodes' ids.
func (c *cluster) ids() map[*playground.Node]string {
	c.t.Helper()
	all := c.identities(c.nodes[0])
	ids := map[*playground.Node]string{}
	for _, n := range c.nodes {
		ids[n] = all[n.URL()].ID
	}
	return ids
}

// TestIdentitiesAreForLife: every node has a key of its own, which nobody else
// can read, and keeps it; cluster keys are stored nowhere in the clear.
func TestIdentitiesAreForLife(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2, 2)
	before := c.identities(c.nodes[0])
	seen := map[string]bool{}
	for _, n := range c.nodes {
		path := filepath.Join(n.Dir, ".ais.node_key")
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, mode %v", path, err, info.Mode())
		}
		key := before[n.URL()].Key
		if len(key) != 32 || seen[string(key)] {
			t.Errorf("%s has the key %x", n.Name(), key)
		}
		seen[string(key)] = true
	}
	for _, n := range c.nodes {
		if err := n.Signal(9); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range c.nodes {
		c.eventually(n.Name()+" ends", func() error {
			if n.PID() != 0 {
				return fmt.Errorf("runs")
			}
			return nil
		})
		c.start(n)
	}
	c.waitReady()
	after := c.identities(c.nodes[1])
	for url, node := range before {
		if !bytes.Equal(after[url].Key, node.Key) || after[url].ID != node.ID {
			t.Errorf("%s: %+v before, %+v after the restart", url, node, after[url])
		}
	}
	createBucket(t, c.nodes[1], "b", "")
	must(t, http.StatusOK, http.MethodPut, objectURL(c.nodes[0], "b", "o"), "content")
}

// TestKeyFileOfAnyone: a key that others can read is not used.
func TestKeyFileOfAnyone(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, 0)
	if err := c.WriteConfiguration(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.down)
	n := c.nodes[0]
	path := filepath.Join(n.Dir, ".ais.node_key")
	if err := os.WriteFile(path, []byte("ais-node-key-ed25519-v1 "+base64.StdEncoding.EncodeToString(make([]byte, 32))+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	c.start(n)
	c.eventually("the node exits", func() error {
		if n.PID() != 0 {
			return fmt.Errorf("runs")
		}
		return nil
	})
	if out := n.Output(); !strings.Contains(out, "chmod 600") || !strings.Contains(out, path) {
		t.Errorf("it says %q", out)
	}
}

// TestJoinSecretOfProcesses: with a join secret, only who knows it comes in,
// and nobody is let down by a typo: the node says why, and waits.
func TestJoinSecretOfProcesses(t *testing.T) {
	t.Parallel()
	const secret, wrong = "not-to-be-found-in-a-log", "also-not-to-be-found-anywhere"
	c := newCluster(t, 2, 2)
	if err := c.WriteConfiguration(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.down)
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.Env = []string{"AIS_JOIN_SECRET=" + secret}
	c.start(c.nodes[0])
	c.Env = []string{"AIS_JOIN_SECRET_FILE=" + file}
	c.start(c.nodes[1])
	c.start(c.nodes[2])
	c.eventually("three nodes", func() error {
		if m := c.smap(c.nodes[0]); len(m.Pmap) != 2 || len(m.Tmap) != 1 {
			return fmt.Errorf("%d proxies, %d targets", len(m.Pmap), len(m.Tmap))
		}
		return nil
	})
	last := c.nodes[3]
	for name, tc := range map[string]struct {
		env []string
		why string
	}{
		"wrong": {[]string{"AIS_JOIN_SECRET=" + wrong}, "did not prove that it knows this node's join secret"},
		"none":  {nil, "AIS_JOIN_SECRET"},
	} {
		c.Env = tc.env
		c.start(last)
		c.eventually(name+": it says why it does not join", func() error {
			a, err := try(client, http.MethodGet, last.URL()+"/v1/health?readiness=true", "")
			if err == nil && (a.status != http.StatusServiceUnavailable || !strings.Contains(a.body, tc.why)) {
				err = fmt.Errorf("status %d: %s", a.status, a.body)
			}
			return err
		})
		must(t, http.StatusOK, http.MethodGet, last.URL()+"/v1/health", "")
		if m := c.smap(c.nodes[0]); len(m.Tmap) != 1 {
			t.Errorf("%s: %d targets", name, len(m.Tmap))
		}
		if err := last.Signal(15); err != nil {
			t.Fatal(err)
		}
		c.eventually(name+": it ends", func() error {
			if last.PID() != 0 {
				return fmt.Errorf("runs")
			}
			return nil
		})
	}
	c.Env = []string{"AIS_JOIN_SECRET=" + secret}
	c.start(last)
	c.waitReady()
	createBucket(t, c.nodes[0], "b", "")
	must(t, http.StatusOK, http.MethodPut, objectURL(c.nodes[1], "b", "o"), "content")
	for _, n := range c.nodes {
		err := filepath.WalkDir(n.Dir, func(path string, d os.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			data, err := os.ReadFile(path)
			if bytes.Contains(data, []byte(secret)) || bytes.Contains(data, []byte(wrong)) {
				t.Errorf("%s holds the join secret", path)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// TestCopiedID: a node that takes the id of another one, which lives, is turned
// away at once; the holder goes on.
func TestCopiedID(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2, 1)
	victim := c.identities(c.nodes[0])[c.nodes[1].URL()]
	thief := &playground.Node{Index: 9, Role: playground.Proxy, Dir: filepath.Join(c.Root, "thief"), Host: c.nodes[0].Host, Port: c.Port + 9}
	if err := os.MkdirAll(thief.LogDir(), 0o755); err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{c.nodes[1].ClusterFile(): thief.ClusterFile(), c.nodes[1].LocalFile(): thief.LocalFile()} {
		data, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	editJSON(t, thief.LocalFile(), func(m map[string]any) {
		m["confdir"], m["log_dir"] = thief.Dir, thief.LogDir()
		net := m["host_net"].(map[string]any)
		for i, key := range []string{"port", "port_intra_control", "port_intra_data"} {
			net[key] = strconv.Itoa(thief.Port + 1000*i)
		}
	})
	began := time.Now()
	c.start(thief, "-daemon_id", victim.ID)
	c.eventually("the thief exits", func() error {
		if thief.PID() != 0 {
			return fmt.Errorf("runs")
		}
		return nil
	})
	if took := time.Since(began); took > atOnce {
		t.Errorf("it took %v", took)
	}
	if out := thief.Output(); !strings.Contains(out, "duplicate node ID") {
		t.Errorf("it says %q", out)
	}
	now := c.identities(c.nodes[0])[c.nodes[1].URL()]
	if now.ID != victim.ID || !bytes.Equal(now.Key, victim.Key) {
		t.Errorf("the holder was %+v, is %+v", victim, now)
	}
	must(t, http.StatusOK, http.MethodGet, c.nodes[1].URL()+"/v1/health?readiness=true", "")
}

// TestKeysAreNotShown: no document that clients can ask for holds the cluster
// keys, sealed or not.
func TestKeysAreNotShown(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 1)
	for _, n := range c.nodes {
		for _, what := range []string{"smap", "bmd", "config", "cluster_config", "snode", "node_status", "node_stats"} {
			a := must(t, http.StatusOK, http.MethodGet, n.URL()+"/v1/daemon?what="+what, "")
			if !json.Valid([]byte(a.body)) || strings.Contains(a.body, `"boxes"`) {
				t.Errorf("%s: %.200s", what, a.body)
			}
		}
	}
}
