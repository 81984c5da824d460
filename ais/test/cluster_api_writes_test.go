package test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aistore-go/aistore/deploy/playground"
)

// secondary is a gateway that has to pass changes on.
func (c *cluster) secondary() *playground.Node {
	c.t.Helper()
	primary := c.primary(c.nodes[0])
	for _, n := range c.proxies() {
		if n != primary {
			return n
		}
	}
	c.t.Fatal("there is only one gateway")
	return nil
}

// TestActionsOnTheCluster: action messages and paths below /v1/cluster that
// have to do with nodes as such, sent to a gateway that is not the primary.
func TestActionsOnTheCluster(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2, 2)
	url := c.secondary().URL() + "/v1/cluster"
	put := func(t *testing.T, status int, path, body string) answer {
		t.Helper()
		return must(t, status, http.MethodPut, url+path, body, "Content-Type", jsonType)
	}
	t.Run("malformed", func(t *testing.T) {
		for body, text := range map[string]string{
			``: "empty body", `{`: "action message", `[]`: "action message", `{"action":5}`: "action message", `{"action":""}`: "invalid action", `{"action":"fly"}`: `invalid action "fly"`,
		} {
			checkError(t, put(t, 400, "", body), 400, text)
		}
		checkError(t, put(t, 400, "/wings", ``), 400, "wings")
		must(t, 413, http.MethodPut, url, `{"action":"`+strings.Repeat("x", 17<<20)+`"}`)
	})
	t.Run("reset-stats", func(t *testing.T) {
		createBucket(t, c.nodes[0], "b", "")
		for _, n := range c.proxies() {
			must(t, 200, http.MethodPut, objectURL(n, "b", "o"), "data")
			must(t, 404, http.MethodGet, n.URL()+"/v1/objects/b/nothing", "")
			must(t, 404, http.MethodGet, n.URL()+"/v1/objects/nob/o", "")
		}
		count := func(name string) (values []int64) {
			for _, n := range c.nodes {
				if v, ok := tracker(t, n)[name]; ok {
					values = append(values, v)
				}
			}
			return values
		}
		if len(count("put.n")) == 0 {
			t.Fatal("nothing was counted")
		}
		for _, value := range []string{`"yes"`, `1`, `null`, `{}`} {
			checkError(t, put(t, 400, "", `{"action":"reset-stats","value":`+value+`}`), 400, "expected true")
		}
		checkError(t, put(t, 400, "", `{"action":"reset-stats"}`), 400, "expected true")
		before := count("put.n")
		if a := put(t, 200, "", `{"action":"reset-stats","value":true}`); a.body != "" {
			t.Errorf("%q", a.body)
		}
		if got := count("err.get.n"); len(got) != 0 {
			t.Errorf("errors after a reset of errors: %v", got)
		}
		if got := count("put.n"); fmt.Sprint(got) != fmt.Sprint(before) {
			t.Errorf("a reset of errors changes put.n from %v to %v", before, got)
		}
		exported := series(t, c.targets()[0])
		put(t, 200, "", `{"action":"reset-stats","value":false}`)
		if got := count("put.n"); len(got) != 0 {
			t.Errorf("after a reset of all: %v", got)
		}
		for _, n := range c.nodes {
			if v := tracker(t, n)["up.ns.time"]; v < int64(100*time.Millisecond) {
				t.Errorf("%s: the uptime was reset: %d", n.Name(), v)
			}
		}
		if got := series(t, c.targets()[0])["ais_target_put_count"]; got != exported["ais_target_put_count"] {
			t.Errorf("the exported counter was reset from %v to %v", exported["ais_target_put_count"], got)
		}
		// one node
		must(t, 200, http.MethodPut, objectURL(c.nodes[0], "b", "o"), "data")
		owner := c.owner("b", "o")
		c.at(c.nodes[0], owner, 400, http.MethodPut, "", `{"action":"reset-stats","value":"x"}`)
		c.at(c.nodes[0], owner, 200, http.MethodPut, "", `{"action":"reset-stats","value":false}`)
		if got := tracker(t, owner)["put.n"]; got != 0 {
			t.Errorf("put.n %d after a reset of the node", got)
		}
	})
	t.Run("clear-lcache", func(t *testing.T) {
		put(t, 200, "", `{"action":"clear-lcache"}`)
		put(t, 200, "", `{"action":"clear-lcache","name":"ais://b"}`)
		put(t, 200, "", `{"action":"clear-lcache","name":"`+c.nodeID(c.targets()[0])+`"}`)
		checkError(t, put(t, 404, "", `{"action":"clear-lcache","name":"nobucket"}`), 404, `bucket "ais://nobucket" does not exist`)
		c.at(c.nodes[0], c.targets()[0], 200, http.MethodPut, "", `{"action":"clear-lcache"}`)
	})
	t.Run("reload-creds", func(t *testing.T) {
		put(t, 400, "", `{"action":"reload-creds"}`)
		checkError(t, put(t, 400, "", `{"action":"reload-creds","name":"s3"}`), 400, "not configured")
		checkError(t, put(t, 400, "", `{"action":"reload-creds","name":"ais"}`), 400, "not a cloud provider")
		checkError(t, put(t, 400, "", `{"action":"reload-creds","name":"tape"}`), 400, "tape")
	})
	t.Run("backends", func(t *testing.T) {
		checkError(t, put(t, 400, "/enable-bend/gs", ""), 400, `"gcp" is not configured`)
		checkError(t, put(t, 400, "/disable-bend/azure", ""), 400, "not configured")
		checkError(t, put(t, 400, "/enable-bend/ais", ""), 400, "not a cloud provider")
	})
	t.Run("certificates over plain HTTP", func(t *testing.T) {
		checkError(t, put(t, 400, "/load-x509", ""), 400, "HTTPS")
		checkError(t, put(t, 400, "/load-x509/"+c.nodeID(c.targets()[0]), ""), 400, "HTTPS")
		if a := put(t, 404, "/load-x509/nobody0001", ""); !strings.Contains(a.body, "errNodeNotFound") {
			t.Error(a.body)
		}
		c.at(c.nodes[0], c.targets()[0], 400, http.MethodPut, "/load-x509", "")
	})
	t.Run("jobs", func(t *testing.T) {
		put(t, 200, "", `{"action":"stop","value":{"ID":"AbC123xyz","Kind":"lru"}}`)
		put(t, 400, "", `{"action":"stop","value":{"ID":"","Kind":""}}`)
		put(t, 400, "", `{"action":"stop","value":{"ID":"x"}}`)
		checkError(t, put(t, 400, "", `{"action":"start","value":{"Kind":"cleanup","flags":2}}`), 400, "flags of cleanup-store")
		checkError(t, put(t, 400, "", `{"action":"start","value":{"Kind":"lru","Force":true}}`), 400, "force needs the buckets")
		put(t, 200, "", `{"action":"start","value":{"ID":"","Kind":"lru","DaemonID":"","Bck":null,"Buckets":null}}`)
		put(t, 200, "", `{"action":"start","value":{"Kind":"cleanup","flags":9}}`)
		checkError(t, put(t, 400, "", `{"action":"start","value":{"Kind":"prefetch-objects"}}`), 400, "requires a bucket to start")
		checkError(t, put(t, 400, "", `{"action":"start","value":{"Kind":"nonsense"}}`), 400, `invalid xaction (job) kind "nonsense"`)
	})
	t.Run("on a target, by clients", func(t *testing.T) {
		target := c.targets()[0]
		must(t, 403, http.MethodPut, target.URL()+"/v1/daemon", `{"action":"rotate-logs"}`)
		must(t, 403, http.MethodDelete, target.URL()+"/v1/daemon/mountpaths", `{}`)
		must(t, 403, http.MethodPut, target.URL()+"/v1/daemon", `{"action":"rotate-logs"}`, "Ais-Caller-Id", c.nodeID(c.nodes[0]))
		must(t, 403, http.MethodGet, c.nodes[0].URL()+"/v1/cluster?what=smap", "", "Ais-Caller-Id", c.nodeID(target))
	})
}

// TestControlRequestsDuringFailover: a change that is asked for while there is
// no primary is done by the next one.
func TestControlRequestsDuringFailover(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, 1)
	asked := c.secondary()
	if err := c.primary(asked).Signal(9); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	a := call(t, http.MethodPut, asked.URL()+"/v1/cluster/attach?what=remote", "", "Ais-Remote-Ais-Alias", "teamA", "Ais-Remote-Ais-Url", "http://127.0.0.1:1")
	if a.status != 200 {
		t.Errorf("after %v: %d %s", time.Since(began), a.status, a.body)
	}
	if got := must(t, 200, http.MethodGet, asked.URL()+"/v1/cluster?what=cluster_config", "").body; !strings.Contains(got, `"ais":{"teamA":["http://127.0.0.1:1"]}`) {
		t.Error("answered with success, and not in the configuration")
	}
}

// remoteList is the answer to what=remote.
type remoteList struct {
	A []struct {
		Smap  *playground.Smap `json:"smap"`
		URL   string           `json:"url"`
		Alias string           `json:"alias"`
		UUID  string           `json:"uuid"`
	} `json:"a"`
	Ver int64 `json:"ver"`
}

// TestRemoteClusters: attaching one cluster to another.
func TestRemoteClusters(t *testing.T) {
	t.Parallel()
	here, there := startCluster(t, 2, 2), startCluster(t, 1, 1)
	asked := here.secondary()
	remote := there.nodes[0].URL()
	uuid := decode[map[string]any](t, must(t, 200, http.MethodGet, remote+"/v1/daemon?what=smap", "").body)["uuid"]
	change := func(status int, what, alias, url string) answer {
		t.Helper()
		headers := []string{"Ais-Remote-Ais-Alias", alias}
		if url != "" {
			headers = append(headers, "Ais-Remote-Ais-Url", url)
		}
		return must(t, status, http.MethodPut, asked.URL()+"/v1/cluster/"+what, "", headers...)
	}
	list := func(n *playground.Node, path string) remoteList {
		t.Helper()
		return decode[remoteList](t, must(t, 200, http.MethodGet, n.URL()+path, "").body)
	}
	checkError(t, change(400, "detach?what=remote", "teamA", ""), 400, "no remote cluster")
	change(400, "attach", "teamA", remote)
	change(400, "attach?what=smap", "teamA", remote)
	change(400, "attach?what=remote", "x", remote)
	change(400, "attach?what=remote", "what", remote)
	change(400, "attach?what=remote", "a..b", remote)
	change(400, "attach?what=remote", "teamA", "ftp://127.0.0.1:21")
	checkError(t, change(400, "attach?what=remote", "self", asked.URL()), 400, "this cluster")

	change(200, "attach?what=remote", "teamA", remote)
	change(200, "attach?what=remote", "teamA", remote)
	checkError(t, change(400, "attach?what=remote", "teamA", "http://127.0.0.1:1"), 400, "taken")
	checkError(t, change(400, "attach?what=remote", fmt.Sprint(uuid), "http://127.0.0.1:1"), 400, "UUID")
	change(200, "attach?what=remote", "away", "http://127.0.0.1:1")
	for _, n := range here.proxies() {
		got := list(n, "/v1/cluster?what=remote")
		if len(got.A) != 2 || got.A[0].Alias != "away" || got.A[0].UUID != "defunct" || got.A[0].Smap != nil || got.A[0].URL != "[http://127.0.0.1:1]" ||
			got.A[1].Alias != "teamA" || got.A[1].UUID != uuid || got.A[1].URL != remote || got.A[1].Smap == nil || len(got.A[1].Smap.Tmap) != 1 {
			t.Errorf("%s: %+v", n.Name(), got)
		}
	}
	here.eventually("every target knows the cluster behind the alias", func() error {
		for _, n := range here.targets() {
			if got := list(n, "/v1/daemon?what=remote"); len(got.A) != 2 || got.A[1].UUID != uuid || got.A[1].Smap != nil || got.Ver == 0 {
				return fmt.Errorf("%s: %+v", n.Name(), got)
			}
		}
		return nil
	})

	// it survives a restart of the whole cluster
	for _, n := range here.nodes {
		if err := n.Signal(15); err != nil {
			t.Fatal(err)
		}
	}
	here.waitAllStopped()
	for _, n := range here.nodes {
		here.start(n)
	}
	here.waitReady()
	if got := list(asked, "/v1/cluster?what=remote"); len(got.A) != 2 {
		t.Errorf("after a restart: %+v", got)
	}

	change(200, "attach?what=remote", "teamB", remote)
	if got := list(asked, "/v1/cluster?what=remote"); len(got.A) != 2 || got.A[1].Alias != "teamB" {
		t.Errorf("a new alias of the same cluster: %+v", got)
	}
	change(404, "detach?what=remote", "teamA", "")
	change(200, "detach?what=remote", "teamB", "")
	change(200, "detach?what=remote", "away", "")
	change(400, "detach?what=remote", "away", "")
	for _, n := range here.targets() {
		here.eventually("nothing is attached at "+n.Name(), func() error {
			if a := must(t, 200, http.MethodGet, n.URL()+"/v1/daemon?what=remote", ""); a.body != `{"a":null,"ver":0}`+"\n" {
				return errors.New(a.body)
			}
			return nil
		})
	}
}

// TestTokens: checking is not built; revoking is kept, and survives a restart.
func TestTokens(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2, 1)
	url := c.secondary().URL() + "/v1/tokens"
	notBuilt(t, call(t, http.MethodPost, url, "", "Authorization", "Bearer x.y.z"))
	claims := base64.RawURLEncoding.EncodeToString([]byte(fmt.Sprintf(`{"exp":%d}`, time.Now().Add(time.Hour).Unix())))
	revoke := func(status int, body string) answer {
		t.Helper()
		return must(t, status, http.MethodDelete, url, body, "Content-Type", jsonType)
	}
	if a := revoke(200, `{"tokens":["e30.`+claims+`.c2ln"],"version":"0"}`); a.body != "" {
		t.Errorf("%q", a.body)
	}
	revoke(400, ``)
	revoke(400, `{}`)
	revoke(400, `{"tokens":[]}`)
	revoke(400, `{"tokens":[""]}`)
	revoke(400, `{"tokens":["`+strings.Repeat("x", 9000)+`"]}`)
	revoke(400, `{"tokens":"x"}`)
	if a := must(t, 405, http.MethodGet, url, ""); a.header.Get("Allow") == "" {
		t.Error("405 without Allow")
	}
}
