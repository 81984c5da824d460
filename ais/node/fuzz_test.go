package node

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// fuzzed are the nodes that fuzzed requests are put to.
func fuzzed(f *testing.F) (proxy, target *testNode) {
	f.Helper()
	proxy, target = newTestNode(f, meta.RoleProxy, "proxy0001", nil), newTestNode(f, meta.RoleTarget, "target001", nil)
	join(f, proxy, target)
	return proxy, target
}

// answerOf puts a request to a handler. Whatever comes in, the answer is one
// that a client can make something of: a handler that panics is a 500.
func answerOf(t *testing.T, h http.Handler, method, target, body string, headers http.Header) {
	t.Helper()
	r := httptest.NewRequest(method, "http://127.0.0.1/", strings.NewReader(body))
	u, err := url.Parse(target)
	if err != nil {
		return // net/http refuses it before
	}
	r.URL = u
	for name, values := range headers {
		r.Header[name] = values
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code == http.StatusInternalServerError || w.Code < 200 || w.Code > 599 {
		t.Errorf("%s %q with %q: %d %s", method, target, body, w.Code, w.Body)
	}
}

func FuzzActionMessage(f *testing.F) {
	proxy, target := fuzzed(f)
	for _, body := range []string{
		``, `{}`, `null`, `[]`, `{"action":"reset-stats","value":"x"}`, `{"action":"reset-stats","value":true}`, `{"ACTION":"rotate-logs"}`,
		`{"action":"start","value":{"Kind":"lru","Bck":{"name":"b"},"Buckets":[{}]}}`, `{"action":"start","value":{"Kind":"rebalance","flags":16}}`,
		`{"action":"stop","value":{"ID":"g"}}`, `{"action":"stop","value":{"Kind":"lru","Bck":null}}`, `{"action":"stop","value":null}`,
		`{"action":"clear-lcache","name":"b"}`, `{"action":"reload-creds","name":"s3"}`, `{"action":"set-config","value":{"log":{"level":"x"}}}`,
		`{"action":"start-maintenance","value":{"sid":"x"}}`, `{"action":{"action":1}}`, "{\"action\":\"\xff\"}",
	} {
		f.Add(body, "", "")
		f.Add(body, "/load-x509/x", "what=remote")
	}
	for _, item := range []string{"/attach", "/detach", "/set-config", "/enable-bend/aws", "/proxy/x", "/join-by-admin", "/a/b/c", "//", "/%2f"} {
		f.Add("", item, "what=remote&log.level=x&=&transient=yes")
	}
	asNode := http.Header{wire.HeaderCallerID: {"proxy0001"}, wire.HeaderRemoteAISAlias: {"ab"}}
	f.Fuzz(func(t *testing.T, body, item, query string) {
		if strings.Contains(query, "#") || strings.Contains(item, "?") {
			return
		}
		if strings.Contains(body, "shutdown") || strings.Contains(body, "decommission") {
			return // it would do it
		}
		for _, method := range []string{http.MethodPut, http.MethodPost} {
			answerOf(t, publicHandler{proxy.Node}, method, wire.PathCluster+item+"?"+query, body, nil)
			answerOf(t, publicHandler{proxy.Node}, method, wire.PathDaemon+item+"?"+query, body, nil)
			answerOf(t, intraHandler{target.Node}, method, wire.PathDaemon+item+"?"+query, body, asNode)
		}
	})
}

func FuzzJobQuery(f *testing.F) {
	proxy, _ := fuzzed(f)
	for _, body := range []string{
		``, `{}`, `null`, `{"ID":"AbC123xyz","Kind":"","DaemonID":"","Bck":null,"Buckets":null}`, `{"kind":"lru-eviction","show_active":null}`,
		`{"id":"g-1"}`, `{"bck":{"name":"b","provider":"s3","namespace":{"uuid":"@","name":"#"}}}`, `{"kind":5}`, `[{}]`, "\xff",
	} {
		for _, what := range []string{"status", "status_all", "qryxstats", "running_all"} {
			f.Add(what, body)
		}
	}
	f.Fuzz(func(t *testing.T, what, body string) {
		answerOf(t, publicHandler{proxy.Node}, http.MethodGet, wire.PathCluster+"?what="+url.QueryEscape(what), body, nil)
	})
}

func FuzzNotification(f *testing.F) {
	proxy, _ := fuzzed(f)
	f.Add(`{"uuid":"AbC123xyz","node_id":"target001","kind":"lru","message":"e30="}`)
	f.Add(`{"uuid":5}`)
	f.Add(``)
	asNode := http.Header{wire.HeaderCallerID: {"target001"}}
	f.Fuzz(func(t *testing.T, body string) {
		answerOf(t, intraHandler{proxy.Node}, http.MethodPost, wire.PathNotifs+"/finished", body, asNode)
	})
}

func FuzzTokenExpiry(f *testing.F) {
	f.Add(jwt("a", 1700000000))
	f.Add("a.b.c")
	f.Add("..")
	f.Fuzz(func(t *testing.T, token string) {
		if got := tokenExpiry(token); got < 0 {
			t.Errorf("%q: %d", token, got)
		}
	})
}

func FuzzRemoteCluster(f *testing.F) {
	for _, seed := range []string{"teamA", "http://127.0.0.1:8080", "https://h/", "a..b", "what", "", "http://[::1]:1", "http://%zz"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if address, err := remoteURL(text); err == nil {
			if again, err := remoteURL(address); err != nil || again != address {
				t.Errorf("%q becomes %q, and that %q, %v", text, address, again, err)
			}
		}
		if validateAlias(text) == nil && (strings.ContainsAny(text, "/?#&= \x00") || len(text) > 64) {
			t.Errorf("alias %q is taken", text)
		}
	})
}
