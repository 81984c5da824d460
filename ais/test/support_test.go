package test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aistore-go/aistore/deploy/playground"
)

// atOnce bounds an answer that must not wait for anything.
const atOnce = 10 * time.Second

// unfollowed shows redirects instead of following them.
var unfollowed = &http.Client{
	Timeout:       stepTimeout,
	Transport:     &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// single sends a request, does not follow redirects, and checks the status.
func single(t *testing.T, status int, method, url, body string, headers ...string) answer {
	t.Helper()
	a, err := try(unfollowed, method, url, body, headers...)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	if a.status != status {
		t.Fatalf("%s %s: status %d, want %d: %s", method, url, a.status, status, a.body)
	}
	return a
}

// dial opens a bare connection to a node's public address.
func dial(t *testing.T, n *playground.Node) net.Conn {
	t.Helper()
	conn, err := net.DialTimeout("tcp", strings.TrimPrefix(n.URL(), "http://"), 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(atOnce)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// exchange sends bytes as they are over a new connection and reads one answer.
// The connection stays open for sending, as that of a client that is not done.
func exchange(t *testing.T, n *playground.Node, request string) answer {
	t.Helper()
	conn := dial(t, n)
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatalf("send: %v", err)
	}
	return readAnswer(t, conn, request)
}

func readAnswer(t *testing.T, conn net.Conn, request string) answer {
	t.Helper()
	method, _, _ := strings.Cut(request, " ")
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("no answer to %.80q: %v", request, err)
	}
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("answer to %.80q: %v", request, err)
	}
	return answer{resp.StatusCode, resp.Header, string(data)}
}

// location is the address that a redirect names.
func location(t *testing.T, a answer) *url.URL {
	t.Helper()
	u, err := url.Parse(a.header.Get("Location"))
	if err != nil || u.Host == "" {
		t.Fatalf("status %d with Location %q: %v", a.status, a.header.Get("Location"), err)
	}
	return u
}

// owner is the target to which gateways redirect requests for an object.
func (c *cluster) owner(bucket, name string) *playground.Node {
	c.t.Helper()
	a := single(c.t, http.StatusMovedPermanently, http.MethodGet, objectURL(c.nodes[0], bucket, name), "")
	host := location(c.t, a).Host
	for _, n := range c.targets() {
		if n.URL() == "http://"+host {
			return n
		}
	}
	c.t.Fatalf("%s is no target of this cluster", host)
	return nil
}

// notOwner is any other target.
func (c *cluster) notOwner(bucket, name string) *playground.Node {
	owner := c.owner(bucket, name)
	for _, n := range c.targets() {
		if n != owner {
			return n
		}
	}
	c.t.Fatal("there is only one target")
	return nil
}

// fileOf finds the file of an object with a plain name.
func (c *cluster) fileOf(bucket, name string) string {
	c.t.Helper()
	for _, n := range c.targets() {
		for i := 1; i <= c.Mountpaths; i++ {
			path := filepath.Join(c.Mountpath(n, i), "@ais", bucket, "%ob", name)
			switch _, err := os.Stat(path); {
			case err == nil:
				return path
			case !errors.Is(err, os.ErrNotExist):
				c.t.Fatal(err)
			}
		}
	}
	c.t.Fatalf("no file of %s/%s on any mountpath", bucket, name)
	return ""
}

// decode reads JSON.
func decode[T any](t *testing.T, text string) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v: %.200s", err, text)
	}
	return v
}

// nodeFlags are the alerts that a node shows.
func nodeFlags(n *playground.Node) (flags uint64, err error) {
	a, err := try(client, http.MethodGet, n.URL()+"/v1/daemon?what=node_status", "")
	if err != nil {
		return 0, err
	}
	if a.status != http.StatusOK {
		return 0, fmt.Errorf("status %d: %s", a.status, a.body)
	}
	var status struct {
		Cluster struct {
			Flags uint64 `json:"flags"`
		} `json:"cluster"`
	}
	err = json.Unmarshal([]byte(a.body), &status)
	return status.Cluster.Flags, err
}

// notBuilt checks the answer to what a later release brings: 501 with a
// sentence, never a plain read or write.
func notBuilt(t *testing.T, a answer) {
	t.Helper()
	if a.status != http.StatusNotImplemented {
		t.Errorf("status %d, want 501: %s", a.status, a.body)
		return
	}
	text := a.body
	if text == "" {
		text = a.header.Get("Hdr-Error")
	}
	var e errorBody
	if err := json.Unmarshal([]byte(text), &e); err != nil || e.Status != http.StatusNotImplemented || !strings.Contains(e.Message, " is not built yet") &&
		!strings.Contains(e.Message, " are not built yet") {
		t.Errorf("no sentence: %q", text)
	}
}

// editJSON changes a configuration file.
func editJSON(t *testing.T, path string, change func(map[string]any)) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	m := decode[map[string]any](t, string(data))
	change(m)
	if data, err = json.MarshalIndent(m, "", "  "); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}
