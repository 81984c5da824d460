package test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aistore-go/aistore/deploy/playground"
)

func TestBucketIsVisibleOnEveryNodeWhenCreateReturns(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, 3)
	for i := range 6 {
		asked := c.proxies()[i%3]
		name := fmt.Sprintf("visible-%d", i)
		createBucket(t, asked, name, "")
		for _, n := range c.proxies() {
			must(t, http.StatusOK, http.MethodHead, n.URL()+"/v1/buckets/"+name, "")
		}
		must(t, http.StatusOK, http.MethodPut, objectURL(c.proxies()[(i+1)%3], name, "o"), "data")
		if got := must(t, http.StatusOK, http.MethodGet, objectURL(asked, name, "o"), "").body; got != "data" {
			t.Fatalf("read %q", got)
		}
		must(t, http.StatusOK, http.MethodDelete, c.proxies()[(i+2)%3].URL()+"/v1/buckets/"+name, `{"action":"destroy-bck"}`, "Content-Type", jsonType)
		for _, n := range c.proxies() {
			must(t, http.StatusNotFound, http.MethodHead, n.URL()+"/v1/buckets/"+name, "")
		}
		createBucket(t, asked, name, "")
		must(t, http.StatusNotFound, http.MethodGet, objectURL(asked, name, "o"), "")
	}
}

func TestSmallestCluster(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 1)
	createBucket(t, c.nodes[0], "b", "")
	must(t, http.StatusOK, http.MethodPut, objectURL(c.nodes[0], "b", "o"), "data")
	must(t, http.StatusOK, http.MethodGet, objectURL(c.nodes[0], "b", "o"), "")
}

func TestWholeClusterRestartsInAnyOrder(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, 3)
	createBucket(t, c.nodes[0], "kept", `{"versioning":{"enabled":false}}`)
	for i := range 50 {
		must(t, http.StatusOK, http.MethodPut, objectURL(c.nodes[0], "kept", "o"+strconv.Itoa(i)), "content "+strconv.Itoa(i))
	}
	before := c.smap(c.nodes[0])
	for round := range 3 {
		for _, n := range c.nodes {
			if err := n.Signal([]syscall.Signal{syscall.SIGKILL, syscall.SIGTERM}[round%2]); err != nil {
				t.Fatal(err)
			}
		}
		c.waitAllStopped()
		for _, i := range rand.Perm(len(c.nodes)) {
			c.start(c.nodes[i])
		}
		c.waitReady()
		after := c.smap(c.nodes[0])
		for id := range before.Pmap {
			if _, ok := after.Pmap[id]; !ok {
				t.Fatalf("proxy %s has not come back with its identity: %v", id, after.Pmap)
			}
		}
		for id := range before.Tmap {
			if _, ok := after.Tmap[id]; !ok {
				t.Fatalf("target %s has not come back with its identity", id)
			}
		}
		if a := must(t, http.StatusOK, http.MethodHead, c.nodes[2].URL()+"/v1/buckets/kept", ""); !strings.Contains(a.header.Get("Ais-Bucket-Props"), `"versioning":{"enabled":false`) {
			t.Fatalf("properties are lost: %s", a.header.Get("Ais-Bucket-Props"))
		}
		for i := range 50 {
			if got := must(t, http.StatusOK, http.MethodGet, objectURL(c.nodes[i%3], "kept", "o"+strconv.Itoa(i)), "").body; got != "content "+strconv.Itoa(i) {
				t.Fatalf("o%d holds %q", i, got)
			}
		}
	}
}

func TestAnotherProxyTakesOverWhenThePrimaryDies(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, 3)
	createBucket(t, c.nodes[0], "b", "")
	must(t, http.StatusOK, http.MethodPut, objectURL(c.nodes[0], "b", "o"), "data")
	old := c.primary(c.nodes[0])
	oldMap := c.smap(old)
	if err := old.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	var others []*playground.Node
	for _, n := range c.proxies() {
		if n != old {
			others = append(others, n)
		}
	}
	oldVersion, err := strconv.Atoi(oldMap.Version)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range others {
		c.eventually("a new primary at "+n.Name(), func() error {
			m := c.smap(n)
			version, err := strconv.Atoi(m.Version)
			switch {
			case err != nil:
				return err
			case m.Primary.ID == oldMap.Primary.ID:
				return errors.New("still the old one")
			case version < oldVersion+100:
				return fmt.Errorf("version %d after %d", version, oldVersion)
			}
			return nil
		})
	}
	createBucket(t, others[0], "after", "")
	must(t, http.StatusOK, http.MethodPut, objectURL(others[1], "after", "o"), "data")
	if got := must(t, http.StatusOK, http.MethodGet, objectURL(others[0], "b", "o"), "").body; got != "data" {
		t.Fatalf("read %q", got)
	}
	c.start(old)
	c.waitReady()
	m := c.smap(old)
	if m.Primary.ID == oldMap.Primary.ID {
		t.Fatal("the old primary took its role back")
	}
	if _, ok := m.Pmap[oldMap.Primary.ID]; !ok {
		t.Fatal("the old primary has not returned under its id")
	}
	must(t, http.StatusOK, http.MethodHead, old.URL()+"/v1/buckets/after", "")
}

func TestStoppedTargetIsDownAtOnceAndKeepsItsPlace(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, 3)
	createBucket(t, c.nodes[0], "b", "")
	for i := range 30 {
		must(t, http.StatusOK, http.MethodPut, objectURL(c.nodes[0], "b", strconv.Itoa(i)), "data")
	}
	version := c.smap(c.nodes[0]).Version
	gone := c.targets()[1]
	if err := gone.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	c.waitStopped(gone)
	served, refused := 0, 0
	for i := range 30 {
		a, err := try(client, http.MethodGet, objectURL(c.primary(c.nodes[0]), "b", strconv.Itoa(i)), "")
		switch {
		case err != nil:
			t.Fatalf("object %d: %v: the gateway redirects to a node that said it leaves", i, err)
		case a.status == http.StatusOK:
			served++
		case a.status == http.StatusServiceUnavailable && a.header.Get("Retry-After") != "":
			refused++
		default:
			t.Fatalf("object %d: %d %s (a missing owner is 503, never 404)", i, a.status, a.body)
		}
	}
	if served == 0 || refused == 0 {
		t.Fatalf("%d served, %d refused: expected some of both", served, refused)
	}
	if m := c.smap(c.nodes[0]); len(m.Tmap) != 3 || m.Version != version {
		t.Fatalf("the map changed: %d targets, version %s after %s", len(m.Tmap), m.Version, version)
	}
	a := call(t, http.MethodGet, c.nodes[0].URL()+"/v1/buckets/b", `{"action":"list","value":{}}`, "Content-Type", jsonType)
	if a.status != http.StatusServiceUnavailable || !strings.Contains(a.body, "t[") {
		t.Fatalf("an incomplete listing must be an error that names the node: %d %s", a.status, a.body)
	}
	c.start(gone)
	c.waitReady()
	for i := range 30 {
		c.eventually("object "+strconv.Itoa(i), func() error {
			a, err := try(client, http.MethodGet, objectURL(c.nodes[0], "b", strconv.Itoa(i)), "")
			if err == nil && a.status != http.StatusOK {
				err = fmt.Errorf("%d %s", a.status, a.body)
			}
			return err
		})
	}
}

func TestSignalsAndExitCodes(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		signal syscall.Signal
		code   int
	}{{syscall.SIGTERM, 143}, {syscall.SIGINT, 130}, {syscall.SIGQUIT, 131}} {
		t.Run(tc.signal.String(), func(t *testing.T) {
			t.Parallel()
			for _, role := range []int{0, 1} {
				c := newCluster(t, 1, 1)
				if err := c.WriteConfiguration(); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(c.down)
				n := c.nodes[role]
				if role == 1 {
					c.start(c.nodes[0])
				}
				cmd := exec.Command(filepath.Join(programs, "aisnode"), "-role", n.Role, "-config", n.ClusterFile(), "-local_config", n.LocalFile())
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				c.eventually("health of "+n.Name(), func() error {
					_, err := try(client, http.MethodGet, n.URL()+"/v1/health", "")
					return err
				})
				if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
					t.Fatal(err)
				}
				must(t, http.StatusOK, http.MethodGet, n.URL()+"/metrics", "")
				if err := cmd.Process.Signal(tc.signal); err != nil {
					t.Fatal(err)
				}
				err := cmd.Wait()
				var exit *exec.ExitError
				if !errors.As(err, &exit) || exit.ExitCode() != tc.code {
					t.Errorf("%s after %v: %v, want exit code %d", n.Role, tc.signal, err, tc.code)
				}
			}
		})
	}
}

func (c *cluster) waitStopped(n *playground.Node) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := n.WaitStopped(ctx); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) waitAllStopped() {
	c.t.Helper()
	for _, n := range c.nodes {
		c.waitStopped(n)
	}
}
