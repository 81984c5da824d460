package test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/deploy/playground"
	"github.com/aistore-go/aistore/transport/rpc"
)

// badBodies fit no control request.
var badBodies = []string{
	"", " ", "{", "}", "[]", "[{}]", "null", "true", "17", `"text"`, "{}", "\x00\x01\xff\xfe", `{"a":`, `{"action":5}`, `{"action":null}`, `{"action":["x"]}`,
	`{"action":"\ud800"}`, `{"action":"x","value":{"a":[[[[[[[[]]]]]]]]}}`, strings.Repeat("[", 20_000), `{"action":"` + strings.Repeat("x", 70_000) + `"}`,
	`{"id":5}`, `{"id":{},"kind":[]}`, `{"tokens":5}`, `{"tokens":[5]}`, `{"daemon_id":5}`, `{"daemon_type":"proxy","intra_control_net":5}`, `{"intra_control_net":null}`,
}

// badValues are no values of actions; some actions have none and ignore it.
var badValues = []string{
	"null", "true", "5", "-1", "1e999", `"x"`, `""`, "[]", "[null]", "{}", `{"sid":5}`, `{"sid":null}`, `{"sids":"x"}`, `{"sids":[]}`, `{"sids":[null]}`, `{"sids":["a","a"]}`,
	`{"sid":"../../etc"}`, `{"sid":"` + strings.Repeat("x", 5000) + `"}`, `{"sid":"abcdefgh","timeout":"never"}`, `{"sid":"abcdefgh","timeout":-5}`, `{"sid":"abcdefgh","skip_rebalance":"yes"}`,
	`{"Kind":5}`, `{"ID":[]}`, `{"Kind":"rebalance","flags":"x"}`, `{"Kind":"rebalance","Bck":5}`, `{"log":5}`, `{"log":{"level":[]}}`, `{"space":{"lowwm":"x"}}`, `{"nonsense":{}}`,
	`{"keepalivetracker":{"proxy":null}}`, `{"timeout":{"max_keepalive":"-5s"}}`, `{"uuid":"x"}`, `{"backend":{"ais":5}}`, `{"backend":{"ais":{"x":null}}}`, `"/no/such/path"`, `"relative"`,
}

// everyAction but those that would end the processes whatever comes with them.
var everyAction = []string{
	"start", "stop", "set-config", "reset-config", "reset-stats", "rotate-logs", "reload-creds", "clear-lcache", "start-maintenance", "stop-maintenance", "shutdown-node",
	"decommission-node", "rm-unsafe", "weigh-targets", "declare-lost", "attach-mp", "enable-mp", "disable-mp", "detach-mp", "rescan-mp", "fshc-mp", "force-restart", "rejoin", "bump-metasync", "list", "",
}

// controlPaths are all paths of control requests, with items that are there
// and items that are not.
var controlPaths = []string{
	"/v1/cluster", "/v1/cluster/", "//v1//cluster", "/v1/cluster/nothing", "/v1/cluster/set-config", "/v1/cluster/proxy", "/v1/cluster/proxy/x", "/v1/cluster/proxy/%2e%2e", "/v1/cluster/attach",
	"/v1/cluster/detach", "/v1/cluster/enable-bend", "/v1/cluster/enable-bend/x/y/z", "/v1/cluster/load-x509/x", "/v1/cluster/join-by-admin", "/v1/cluster/autoreg", "/v1/cluster/keepalive",
	"/v1/cluster/keepalive/x", "/v1/cluster/daemon/x", "/v1/daemon", "/v1/daemon/nothing", "/v1/daemon/set-config", "/v1/daemon/mountpaths", "/v1/daemon/proxy/x", "/v1/daemon/join-by-admin",
	"/v1/daemon/primary-force", "/v1/daemon/enable-bend/aws/begin", "/v1/daemon/load-x509", "/v1/reverse", "/v1/reverse/x", "/v1/reverse/daemon", "/v1/reverse/daemon/mountpaths",
	"/v1/reverse/daemon/set-config", "/v1/health", "/v1/health/x", "/v1/tokens", "/v1/tokens/x", "/v1/notifs", "/v1/notifs/progress", "/v1/notifs/finished", "/v1/ic", "/v1/metasync",
	"/v1/metasync/x", "/v1/metasync/x/y", "/v1/vote/proxy", "/v1/vote/init", "/v1/xactions", "/v1/txn", "/v1/download", "/v1/sort", "/v1/etl", "/v1/held", "/v1/intra", "/v1", "/", "/v2/cluster",
}

// badQueries do not fit.
var badQueries = []string{
	"", "what", "what=", "what=nothing", "what=%00", "what=smap&what=bmd", "what=%zz", "what=log&severity=zebra", "what=log&offset=-1", "what=log&offset=99999999999999999999", "what=log&all=maybe",
	"what=status", "what=status_all", "what=qryxstats", "what=running_all", "what=remote", "what=smapvote", "prr=maybe", "prr=true&cii=true", "cii-apr=true&cii=true", "rbs=5", "readiness=", "frc=true&can=%00",
	"frc=x&prp=y", "transient=perhaps&=x", "nothing.of.this=5", "log.level=", "log.level=zebra", "a=b&" + strings.Repeat("c=d&", 200), "mountpath_label=" + strings.Repeat("x", 3000), "dntres=maybe",
}

// TestWeaknessW36_MalformedControlRequests: whatever comes in by any control
// endpoint, at clients' and at nodes' networks, is answered, as an error if it
// makes no sense, by a process that lives on. Nothing is a server's failure.
func TestWeaknessW36_MalformedControlRequests(t *testing.T) {
	t.Parallel()
	c := startInProcess(t, 2, 2, &standIn{})
	primary, other := c.settledPrimary()
	createBucket(t, primary, "b", "")
	before, _ := c.members(primary)
	ids := c.ids()
	m := &malformed{t: t, began: time.Now()}
	target := c.targets()[0]

	// As a client, on the public network of every role; a target's by reverse, too.
	nodes := []*playground.Node{primary, other, target}
	for _, path := range controlPaths {
		for _, method := range []string{"GET", "PUT", "POST", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "BREW"} {
			m.send(nodes[m.sent%3].URL(), method, path, "", "Ais-Node-Id", ids[target])
			m.send(target.ControlURL(), method, path, "") // unsigned
		}
		for i, body := range badBodies {
			m.send(other.URL(), []string{"PUT", "POST", "GET", "DELETE"}[i%4], path, body, "Ais-Node-Id", ids[target])
			m.send(nodes[i%3].URL(), []string{"DELETE", "PUT", "POST", "GET"}[i%4], path, body)
		}
	}
	for _, path := range []string{"/v1/cluster", "/v1/daemon", "/v1/reverse/daemon", "/v1/reverse/daemon/mountpaths", "/v1/health", "/v1/cluster/set-config", "/v1/reverse/daemon/set-config", "/v1/cluster/proxy/x"} {
		for i, query := range badQueries {
			for _, method := range []string{"GET", "PUT"} {
				m.send(nodes[i%2].URL(), method, path+"?"+query, "", "Ais-Node-Id", ids[nodes[i%3]])
			}
		}
	}
	for _, id := range []string{"", " ", "x", strings.Repeat("x", 9000), "../..", "a\tb", ids[target] + "," + ids[primary], "%00"} {
		for _, header := range []string{"Ais-Node-Id", "Ais-Caller-Id", "Ais-Caller-Name", "Ais-Node-Flags", "Ais-Remote-Ais-Alias", "Ais-Remote-Ais-Url", "Ais-Caller-Sig"} {
			m.send(other.URL(), "GET", "/v1/reverse/daemon?what=smap", "", header, id)
			m.send(other.URL(), "PUT", "/v1/cluster/attach?what=remote", "", header, id)
			m.send(target.ControlURL(), "POST", "/v1/metasync/keepalive", "{}", header, id)
		}
	}
	for _, action := range everyAction {
		for i, value := range badValues {
			if action == "rejoin" || action == "force-restart" {
				value = badValues[i%4]
			}
			body := `{"action":"` + action + `","value":` + value + `}`
			m.send(nodes[i%2].URL(), "PUT", "/v1/cluster", body)
			m.send(other.URL(), "PUT", "/v1/reverse/daemon", body, "Ais-Node-Id", ids[nodes[i%3]])
			m.send(other.URL(), []string{"PUT", "POST", "DELETE"}[i%3], "/v1/reverse/daemon/mountpaths", body, "Ais-Node-Id", ids[target])
		}
	}
	for _, value := range []string{"5", `"x"`, "[]", `{"rm_user_data":5}`, `{"nonsense":true}`, `{"sid":"x"}`} {
		m.send(other.URL(), "PUT", "/v1/cluster", `{"action":"decommission","value":`+value+`}`)
	}

	// As another node of the cluster, with a valid signature.
	sender := c.targetOf[c.targets()[1]].Node
	signed := func(method, path, body string) {
		m.sent++
		_, _, err := sender.RPC().Request(context.Background(), rpc.Control, method, primary.ControlURL()+path, jsonType, []byte(body))
		if status := apierr.StatusOf(err); err != nil && (status == http.StatusInternalServerError || status == http.StatusBadGateway) {
			t.Errorf("signed %s %s %.200q: %v", method, path, body, err)
		}
	}
	history := historyOf(t, primary)
	envelope := fmt.Sprintf(`"from":%q,"url":%q,"uuid":%q,"lineage":%q`, ids[c.targets()[1]], c.targets()[1].ControlURL(), history.UUID, history.Lineage)
	for _, kind := range []string{"raft", "push", "pull", "join", "keepalive", "leave", "readindex", "whois", "announce", "probe", "collect", "adopt", "trust", "nothing"} {
		for _, body := range badBodies {
			signed("POST", "/v1/metasync/"+kind, body)
		}
		if kind == "leave" {
			continue // a node that says so has left
		}
		for _, rest := range []string{
			`"term":"x"`, `"index":5.5`, `"upto":"18446744073709551615"`, `"view":{}`, `"view":null,"deltas":[null]`, `"deltas":[{}]`, `"deltas":[{"prev":"1","index":"0","command":{"changes":[null]}}]`,
			`"deltas":[{"command":{"changes":[{"kind":"smap","patch":"AAAA"}]}}]`, `"node":null`, `"node":{}`, `"node":{"daemon_id":"abcdefgh","daemon_type":"zebra"}`, `"node":{"daemon_id":"abcdefgh","daemon_type":"target"}`,
			`"id":""`, `"id":"nobody"`, `"node_id":5`, `"incarnation":"-1"`, `"raft_id":"x"`, `"ancestors":[null]`, `"hint":{"leader_term":"x"}`, `"lineage":""`,
		} {
			signed("POST", "/v1/metasync/"+kind, "{"+envelope+","+rest+"}")
		}
	}
	for _, path := range controlPaths {
		if !strings.HasPrefix(path, "/v1/") {
			continue
		}
		for i, body := range badBodies {
			signed([]string{"POST", "PUT", "GET", "DELETE"}[i%4], path, body)
		}
	}

	t.Logf("%d requests in %v, answers by status: %v", m.sent, time.Since(m.began).Round(time.Millisecond), m.seen)
	for _, n := range c.nodes {
		c.eventually(n.Name()+" serves", func() error {
			a := call(t, http.MethodGet, n.URL()+"/v1/health?readiness=true", "")
			if a.status != http.StatusOK {
				return fmt.Errorf("%d %s", a.status, a.body)
			}
			return nil
		})
		for _, name := range []string{".INFO", ".ERROR"} {
			if data, err := os.ReadFile(filepath.Join(n.LogDir(), "ais"+n.Role+name)); err == nil {
				if at := strings.Index(string(data), "panic"); at >= 0 {
					t.Errorf("%s has panicked: %.3000s", n.Name(), data[max(0, at-200):])
				}
			}
		}
	}
	after, _ := c.members(primary)
	for id, node := range before {
		if after[id] != node {
			t.Errorf("the record %+v has become %+v", node, after[id])
		}
	}
	createBucket(t, other, "after", "")
	c.putWhenServed(other, "after", "o")
}

// malformed sends requests of which none may be a server's failure.
type malformed struct {
	t     *testing.T
	began time.Time
	sent  int
	seen  map[int]int
}

func (m *malformed) send(base, method, path, body string, headers ...string) {
	m.t.Helper()
	m.sent++
	if m.seen == nil {
		m.seen = map[int]int{}
	}
	u, err := url.Parse(base)
	if err != nil {
		m.t.Fatal(err)
	}
	// As it is on the wire: a client library would not send some of these.
	target, query, _ := strings.Cut(path, "?")
	if query != "" {
		target += "?" + query
	}
	req := &http.Request{Method: method, URL: &url.URL{Scheme: "http", Host: u.Host, Opaque: target}, Host: u.Host, Header: http.Header{}}
	if strings.HasPrefix(target, "//") {
		req.URL.Opaque = "//" + u.Host + target
	}
	if body != "" {
		req.Body, req.ContentLength = http.NoBody, 0
		req, err = http.NewRequest(method, base, strings.NewReader(body))
		if err != nil {
			m.t.Fatal(err)
		}
		req.URL.Opaque = target
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header[headers[i]] = []string{headers[i+1]}
	}
	resp, err := client.Do(req)
	if err != nil {
		if strings.Contains(err.Error(), "invalid header field") || strings.Contains(err.Error(), "invalid method") {
			return // the client's own library refuses to send it
		}
		m.t.Errorf("%s %s%s %.100q: no answer: %v", method, base, path, body, err)
		return
	}
	a := readWhole(m.t, resp)
	m.seen[a.status]++
	text := a.body
	if method == http.MethodHead {
		text = a.header.Get("Hdr-Error")
	}
	switch {
	case a.status == http.StatusInternalServerError || a.status == http.StatusBadGateway:
		m.t.Errorf("%s %s%s %.100q: %d %.300s", method, base, path, body, a.status, a.body)
	case a.status < 400, a.status == http.StatusMethodNotAllowed, a.status == http.StatusServiceUnavailable && text == "":
	default:
		var e errorBody
		if err := json.Unmarshal([]byte(text), &e); err != nil || e.Status != a.status || e.Message == "" {
			m.t.Errorf("%s %s%s %.100q: %d with a body that is no error: %.300q", method, base, path, body, a.status, text)
		}
	}
}

func readWhole(t *testing.T, resp *http.Response) answer {
	t.Helper()
	data, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(data)}
}
