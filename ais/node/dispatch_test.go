package node

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// withObjects registers a handler like that of objects.
func withObjects(n *testNode, h Handler) {
	n.Public(wire.PathObjects, []string{"PUT", "GET", "HEAD", "POST", "DELETE"}, h, "PATCH")
}

func TestMethodsAndPaths(t *testing.T) {
	t.Parallel()
	n := newTestNode(t, meta.RoleProxy, "proxy0001", nil)
	join(t, n)
	withObjects(n, func(w http.ResponseWriter, r *http.Request) error {
		return WriteText(w, r, r.Method+" "+PathItems(r).Items[3])
	})
	const allow = "DELETE, GET, HEAD, POST, PUT"
	for _, tc := range []struct {
		method, path string
		status       int
		allow        []string
		body         string // exact, unless it begins with "~": a part of it
		contentType  string
	}{
		{"GET", "/v1/objects/b/x", 200, nil, "GET x", wire.ContentTextUTF8},
		{"PATCH", "/v1/objects/b/x", 200, nil, "PATCH x", wire.ContentTextUTF8},
		{"GET", "//v1/objects/b/x//y", 200, nil, "GET x//y", wire.ContentTextUTF8},
		{"GET", "/v1/objects/b/a%2Fb+%20c", 200, nil, "GET a/b+ c", wire.ContentTextUTF8},
		{"TRACE", "/v1/objects/b/x", 405, []string{allow}, "Method Not Allowed\n", wire.ContentTextUTF8},
		{"OPTIONS", "/v1/objects/b/x", 200, []string{allow}, "", ""},
		{"PROPFIND", "/v1/objects/b/x", 405, []string{""}, "Method Not Allowed\n", wire.ContentTextUTF8},
		{"PROPFIND", "/nowhere", 405, []string{""}, "Method Not Allowed\n", wire.ContentTextUTF8},
		{"GET", "/favicon.ico", 200, nil, "", ""},
		{"GET", "/v1/health/", 200, nil, "", ""},
		{"GET", "//v1/health", 200, nil, "", ""},
		{"DELETE", "/v1/health", 200, nil, "", ""},
		{"PATCH", "/v1/health", 200, nil, "", ""},
		{"GET", "/v1/nowhere?q=1", 400, nil, "~invalid request URI: 'GET /v1/nowhere?q=1' from 127.0.0.1:", wire.ContentJSON},
		{"GET", "/v1/healthy", 400, nil, "~invalid request URI", wire.ContentJSON},
		{"GET", "/", 400, nil, "~invalid request URI", wire.ContentJSON},
		{"GET", "/v2/health", 400, nil, "~invalid request URI", wire.ContentJSON},
		{"PUT", "/v1/reverse/daemon", 400, nil, "~missing node ID: header Ais-Node-Id", wire.ContentJSON},
		{"HEAD", "/v1/reverse/daemon", 405, []string{"DELETE, GET, POST, PUT"}, "", wire.ContentTextUTF8},
		{"DELETE", "/v1/cluster", 403, nil, "~accepted from other nodes", wire.ContentJSON},
		{"PATCH", "/v1/cluster", 405, []string{"GET, POST, PUT"}, "Method Not Allowed\n", wire.ContentTextUTF8},
		{"GET", "/v1/metasync/raft", 400, nil, "~invalid request URI", wire.ContentJSON},
	} {
		t.Run(tc.method+" "+tc.path, func(t *testing.T) {
			a := do(t, tc.method, n.Snode().Public.URL+tc.path, "")
			if a.status != tc.status {
				t.Fatalf("status %d, want %d; body %q", a.status, tc.status, a.body)
			}
			if got := a.header["Allow"]; fmt.Sprint(got) != fmt.Sprint(tc.allow) {
				t.Errorf("Allow %q, want %q", got, tc.allow)
			}
			if got := a.header.Get("Content-Type"); got != tc.contentType {
				t.Errorf("Content-Type %q, want %q", got, tc.contentType)
			}
			if part, ok := strings.CutPrefix(tc.body, "~"); ok {
				if e := a.errorBody(t); !strings.Contains(e.Message, part) {
					t.Errorf("message %q, want one with %q", e.Message, part)
				}
			} else if a.body != tc.body {
				t.Errorf("body %q, want %q", a.body, tc.body)
			}
		})
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	n := newTestNode(t, meta.RoleTarget, "target001", nil)
	join(t, newTestNode(t, meta.RoleProxy, "proxy0001", nil), n)
	failure := map[string]error{
		"bucket":    apierr.BucketNotFound(wire.Bck{Name: "nob", Provider: "ais"}),
		"chars":     apierr.BadRequest("<a> & \"b\""),
		"busy":      apierr.Unavailable(1500*time.Millisecond, "come back"),
		"plain":     errors.New("something"),
		"space":     fmt.Errorf("write: %w", apierr.New(507, wire.CodeCapExceeded, "out of space")),
		"badstatus": &apierr.Error{Status: 200, Message: "wrong"},
		"starting":  errStarting,
		"gateway":   errBadGateway,
	}
	withObjects(n, func(_ http.ResponseWriter, r *http.Request) error { return failure[PathItems(r).Items[3]] })
	for _, tc := range []struct {
		name       string
		status     int
		code       string
		message    string // "" means an empty body
		retryAfter string
	}{
		{"bucket", 404, "ErrBckNotFound", `bucket "ais://nob" does not exist`, ""},
		{"chars", 400, "", `<a> & "b"`, ""},
		{"busy", 503, "", "come back", "2"},
		{"plain", 400, "", "something", ""},
		{"space", 507, "ErrCapExceeded", "write: out of space", ""},
		{"badstatus", 500, "", "wrong", ""},
		{"starting", 503, "", "", "1"},
		{"gateway", 502, "", "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			url := n.Snode().Public.URL + "/v1/objects/b%20b/" + tc.name
			get, head := do(t, "GET", url+"?x=1", ""), do(t, "HEAD", url, "")
			if get.status != tc.status || head.status != tc.status {
				t.Fatalf("GET %d, HEAD %d, want %d", get.status, head.status, tc.status)
			}
			if get.header.Get("Retry-After") != tc.retryAfter {
				t.Errorf("Retry-After %q, want %q", get.header.Get("Retry-After"), tc.retryAfter)
			}
			if tc.message == "" {
				if get.body != "" || head.header.Get("Hdr-Error") != "" {
					t.Errorf("body %q, Hdr-Error %q, want nothing", get.body, head.header.Get("Hdr-Error"))
				}
				return
			}
			e := get.errorBody(t)
			want := wire.ErrorBody{TypeCode: tc.code, Message: tc.message, Method: "GET", URLPath: "/v1/objects/b b/" + tc.name, RemoteAddr: e.RemoteAddr, Node: "t[target001]", Status: tc.status}
			if e != want || e.RemoteAddr == "" {
				t.Errorf("error %+v, want %+v", e, want)
			}
			if strings.Contains(get.body, `\u00`) {
				t.Errorf("escaped for HTML: %s", get.body)
			}
			if (tc.code == "") == strings.Contains(get.body, "tcode") {
				t.Errorf("tcode in %s", get.body)
			}
			inHeader := answer{head.status, head.header, head.header.Get("Hdr-Error") + "\n"}
			if e := inHeader.errorBody(t); e.Message != tc.message || e.Method != "HEAD" {
				t.Errorf("HEAD: %+v", e)
			}
		})
	}
}

func TestPanic(t *testing.T) {
	t.Parallel()
	n := newTestNode(t, meta.RoleProxy, "proxy0001", nil)
	join(t, n)
	withObjects(n, func(w http.ResponseWriter, r *http.Request) error {
		switch PathItems(r).Items[3] {
		case "before":
			panic("a bug")
		case "after":
			_, _ = io.WriteString(w, "half an ans")
			panic("a bug")
		case "error-after":
			_, _ = io.WriteString(w, "half an ans")
			return errors.New("disk is gone")
		}
		panic(http.ErrAbortHandler)
	})
	url := n.Snode().Public.URL + "/v1/objects/b/"
	if e := do(t, "GET", url+"before", "").errorBody(t); e.Status != 500 || strings.Contains(e.Message, "a bug") {
		t.Errorf("%+v", e)
	}
	eventually(t, "the panic is logged with its stack", func() bool {
		return strings.Contains(n.log.String(), "a bug") && strings.Contains(n.log.String(), "dispatch_test.go")
	})
	for _, name := range []string{"after", "error-after", "abort"} {
		res, err := client.Get(url + name)
		if err == nil {
			_, err = io.ReadAll(res.Body)
			_ = res.Body.Close()
		}
		if err == nil {
			t.Errorf("%s: a broken answer looks whole", name)
		}
	}
	if a := do(t, "GET", n.Snode().Public.URL+"/v1/health", ""); a.status != 200 {
		t.Errorf("health after panics: %d", a.status)
	}
}

func TestFailedHandlerLeavesNoHeaders(t *testing.T) {
	t.Parallel()
	n := newTestNode(t, meta.RoleProxy, "proxy0001", nil)
	join(t, n)
	withObjects(n, func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("Content-Length", "12345")
		w.Header().Set("Etag", `"x"`)
		w.Header().Set("Connection", "close")
		w.Header().Set("Content-Range", PathItems(r).Items[3]+"/10")
		return apierr.BadRequest("no")
	})
	a := do(t, "GET", n.Snode().Public.URL+"/v1/objects/b/o", "")
	if e := a.errorBody(t); e.Message != "no" || a.header.Get("Etag") != "" || a.header.Get("Content-Range") != "" {
		t.Errorf("%+v %v", e, a.header)
	}
	if a := do(t, "GET", n.Snode().Public.URL+"/v1/objects/b/bytes%20*", ""); a.header.Get("Content-Range") != "bytes */10" {
		t.Errorf("size of an unsatisfied range: %v", a.header)
	}
}

func TestIntraHeaderOnPublic(t *testing.T) {
	t.Parallel()
	n := newTestNode(t, meta.RoleProxy, "proxy0001", nil)
	join(t, n)
	a := do(t, "GET", n.Snode().Public.URL+"/v1/health", "", "Ais-Caller-Id: proxy0001")
	if e := a.errorBody(t); e.Status != 403 || !strings.HasPrefix(e.Message, "unexpected intra-cluster header on pub: ") {
		t.Errorf("%+v", e)
	}
}

func TestIntraNeedsKnownCaller(t *testing.T) {
	t.Parallel()
	p, other := newTestNode(t, meta.RoleProxy, "proxy0001", nil), newTestNode(t, meta.RoleTarget, "target001", nil)
	join(t, p, other)
	withObjects(p, func(w http.ResponseWriter, r *http.Request) error { return WriteText(w, r, "public") })
	p.Intra(wire.PathIntra, []string{"GET"}, func(w http.ResponseWriter, r *http.Request) error {
		return WriteText(w, r, p.Caller(r).String())
	})
	control := p.Snode().IntraControl.URL
	for _, tc := range []struct {
		name, path, caller string
		status             int
		body               string
	}{
		{"forwarded by a node", "/v1/objects/b/o", "target001", 200, "public"},
		{"forwarded by nobody", "/v1/objects/b/o", "", 403, "is not a node of this cluster"},
		{"forwarded by a stranger", "/v1/objects/b/o", "stranger1", 403, "is not a node of this cluster"},
		{"call of a node", "/v1/intra/x", "target001", 200, "t[target001]"},
		{"call of a stranger", "/v1/intra/x", "stranger1", 403, "is not a node of this cluster"},
		{"health of anybody", "/v1/health", "", 200, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var headers []string
			if tc.caller != "" {
				headers = []string{"Ais-Caller-Id: " + tc.caller, "Ais-Caller-Name: t[" + tc.caller + "]"}
			}
			a := do(t, "GET", control+tc.path, "", headers...)
			if a.status != tc.status || !strings.Contains(a.body, tc.body) {
				t.Errorf("%d %q, want %d with %q", a.status, a.body, tc.status, tc.body)
			}
			if a.status >= 400 && tc.caller != "" {
				if e := a.errorBody(t); e.Caller != "t["+tc.caller+"]" {
					t.Errorf("caller %q", e.Caller)
				}
			}
		})
	}
	if a := do(t, "GET", p.Snode().Public.URL+"/v1/intra/x", ""); a.status != 400 {
		t.Errorf("intra path on the public network: %d", a.status)
	}
}

func TestStartingNode(t *testing.T) {
	t.Parallel()
	n := newTestNode(t, meta.RoleProxy, "proxy0001", nil)
	url := n.Snode().Public.URL
	bare := func(what string, a answer) {
		t.Helper()
		if a.status != 503 || a.body != "" {
			t.Errorf("%s: %d %q, want a bare 503", what, a.status, a.body)
		}
	}
	bare("unregistered path", do(t, "GET", url+"/v1/buckets", ""))
	bare("health", do(t, "GET", url+"/v1/health", ""))
	bare("map", do(t, "GET", url+"/v1/daemon?what=smap", ""))
	withObjects(n, func(w http.ResponseWriter, r *http.Request) error { return WriteText(w, r, "served") })
	n.MarkStarted()
	bare("object before the cluster", do(t, "GET", url+"/v1/objects/b/o", ""))
	if a := do(t, "GET", url+"/v1/health", ""); a.status != 200 {
		t.Errorf("health of a started node: %d", a.status)
	}
	why := "its cluster has a newer history"
	n.cp.fenced.Store(&why)
	if e := do(t, "GET", url+"/v1/objects/b/o", "").errorBody(t); e.Status != 503 || !strings.Contains(e.Message, why) {
		t.Errorf("fenced: %+v", e)
	}
	n.cp.fenced.Store(nil)
	join(t, n)
	if a := do(t, "GET", url+"/v1/objects/b/o", ""); a.status != 200 {
		t.Errorf("object: %d", a.status)
	}
}

func TestStartingNodeServesWaiters(t *testing.T) {
	t.Parallel()
	n := newTestNode(t, meta.RoleProxy, "proxy0001", func(o *Options) { o.Limits.StartWait = 20 * time.Second })
	withObjects(n, func(w http.ResponseWriter, r *http.Request) error { return WriteText(w, r, "served") })
	n.MarkStarted()
	got := make(chan answer, 1)
	go func() { got <- do(t, "GET", n.Snode().Public.URL+"/v1/objects/b/o", "") }()
	select {
	case a := <-got:
		t.Fatalf("answered before the node had joined: %+v", a)
	case <-time.After(50 * time.Millisecond):
	}
	join(t, n)
	if a := <-got; a.status != 200 {
		t.Errorf("%+v", a)
	}
}

func TestHeaderLimit(t *testing.T) {
	t.Parallel()
	n := newTestNode(t, meta.RoleProxy, "proxy0001", func(o *Options) { o.Limits.HeaderBytes = 8 << 10; o.Limits.ReadHeaderTimeout = 100 * time.Millisecond })
	join(t, n)
	if a := do(t, "GET", n.Snode().Public.URL+"/v1/health", "", "X-Big: "+strings.Repeat("x", 32<<10)); a.status != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("oversized header: %d", a.status)
	}
	conn, err := net.Dial("tcp", strings.TrimPrefix(n.Snode().Public.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, "GET /v1/health HTTP/1.1\r\nHost:"); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	if data, err := io.ReadAll(conn); err != nil || len(data) > 0 && !strings.Contains(string(data), " 408 ") {
		t.Errorf("slow header: %q %v, want an end of the connection", data, err)
	}
}

func TestHTTP10AndPipelining(t *testing.T) {
	t.Parallel()
	n := newTestNode(t, meta.RoleProxy, "proxy0001", nil)
	join(t, n)
	conn, err := net.Dial("tcp", strings.TrimPrefix(n.Snode().Public.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	one := "GET /v1/nowhere HTTP/1.1\r\nHost: x\r\n\r\n"
	if _, err := io.WriteString(conn, one+one+"GET /v1/health HTTP/1.0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	for i, want := range []int{400, 400, 200} {
		res, err := http.ReadResponse(r, nil)
		if err != nil || res.StatusCode != want {
			t.Fatalf("answer %d: %v %v, want %d", i, res, err, want)
		}
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
	}
}

// staleControl is a control plane that was cut off.
type staleControl struct {
	*fakeControl
	stale atomic.Bool
	pulls atomic.Int32
}

func (s *staleControl) Stale() bool { return s.stale.Load() }
func (s *staleControl) Pull(context.Context) error {
	s.pulls.Add(1)
	return errors.New("no primary")
}

func TestStaleNodePullsFirst(t *testing.T) {
	t.Parallel()
	n := newTestNode(t, meta.RoleProxy, "proxy0001", nil)
	join(t, n)
	cp := &staleControl{fakeControl: n.cp}
	n.SetControl(cp)
	withObjects(n, func(w http.ResponseWriter, r *http.Request) error { return WriteText(w, r, "served") })
	for _, tc := range []struct {
		stale bool
		pulls int32
	}{{false, 0}, {true, 1}, {true, 1}} { // the third request comes within the pause
		cp.stale.Store(tc.stale)
		if a := do(t, "GET", n.Snode().Public.URL+"/v1/objects/b/o", ""); a.status != 200 || cp.pulls.Load() != tc.pulls {
			t.Errorf("stale %v: %d, %d pulls, want %d", tc.stale, a.status, cp.pulls.Load(), tc.pulls)
		}
	}
}
