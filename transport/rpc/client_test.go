package rpc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/aistore-go/aistore/cmn/apierr"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newPair returns a client and a server that answers with h.
func newPair(t *testing.T, change func(*Options), h http.HandlerFunc) (*Client, string) {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	opts := Options{NodeID: "proxy0001", NodeName: "p[proxy0001]"}
	if change != nil {
		change(&opts)
	}
	c := New(opts)
	t.Cleanup(c.Close)
	return c, srv.URL
}

func TestCall(t *testing.T) {
	t.Parallel()
	c, url := newPair(t, nil, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = fmt.Fprintf(w, "%s %s %q %s %s %s", r.Method, r.URL, body, r.Header.Get("Content-Type"), r.Header.Get("Ais-Caller-Id"), r.Header.Get("Ais-Caller-Name"))
	})
	got, err := c.Call(context.Background(), url, "/v1/x?y=z", []byte("body"), "text/x")
	if want := `POST /v1/x?y=z "body" text/x proxy0001 p[proxy0001]`; err != nil || string(got) != want {
		t.Errorf("%q %v, want %q", got, err, want)
	}
	got, header, err := c.Get(context.Background(), url, "/v1/x")
	if want := `GET /v1/x ""  proxy0001 p[proxy0001]`; err != nil || string(got) != want || header.Get("Content-Length") == "" {
		t.Errorf("%q %v, want %q", got, err, want)
	}
}

func TestErrorsOfTheOtherNode(t *testing.T) {
	t.Parallel()
	c, url := newPair(t, func(o *Options) { o.MaxAnswer = 100 << 10 }, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/json":
			w.Header().Set("Retry-After", "3")
			w.WriteHeader(409)
			_, _ = io.WriteString(w, `{"tcode":"ErrBusy","message":"busy %s","status":409}`)
		case "/head":
			w.Header().Set("Hdr-Error", `{"message":"gone","status":404}`)
			w.WriteHeader(404)
		case "/text":
			http.Error(w, "no such page", 404)
		case "/bare":
			w.WriteHeader(503)
		case "/redirect":
			http.Redirect(w, r, "/json", http.StatusTemporaryRedirect)
		case "/long":
			_, _ = io.WriteString(w, strings.Repeat("x", 100<<10+1))
		case "/cut":
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "short")
		}
	})
	for path, want := range map[string]struct {
		status  int
		code    string
		message string
		retry   time.Duration
	}{
		"/json":     {409, "ErrBusy", "busy %s", 3 * time.Second},
		"/text":     {404, "", "status 404: no such page", 0},
		"/bare":     {503, "", "status 503: Service Unavailable", 0},
		"/redirect": {307, "", "status 307", 0},
	} {
		_, err := c.Call(context.Background(), url, path, nil, "")
		var e *apierr.Error
		if !errors.As(err, &e) || e.Status != want.status || e.Code != want.code || !strings.Contains(e.Message, want.message) || e.RetryAfter != want.retry {
			t.Errorf("%s: %+v, want %+v", path, err, want)
		}
	}
	_, _, err := c.Request(context.Background(), Control, http.MethodHead, url+"/head", "", nil)
	if apierr.StatusOf(err) != 404 || err.Error() != "gone" {
		t.Errorf("HEAD: %v", err)
	}
	if _, err := c.Call(context.Background(), url, "/long", nil, ""); err == nil || !strings.Contains(err.Error(), "longer than 102400 bytes") {
		t.Errorf("long answer: %v", err)
	}
	var unreachable *UnreachableError
	if _, err := c.Call(context.Background(), url, "/cut", nil, ""); !errors.As(err, &unreachable) {
		t.Errorf("cut answer: %v", err)
	}
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + ln.Addr().String()
	_ = ln.Close()
	c := New(Options{})
	defer c.Close()
	var unreachable *UnreachableError
	if _, err := c.Call(context.Background(), url, "/", nil, ""); !errors.As(err, &unreachable) || !strings.Contains(err.Error(), url) {
		t.Errorf("%v", err)
	}
	if _, err := c.Call(context.Background(), "no url", "/", nil, ""); err == nil {
		t.Error("a bad URL is called")
	}
}

func TestDeadlineAndClose(t *testing.T) {
	t.Parallel()
	entered := make(chan struct{}, 10)
	c, url := newPair(t, func(o *Options) { o.CallTimeout = 50 * time.Millisecond }, func(_ http.ResponseWriter, r *http.Request) {
		entered <- struct{}{}
		<-r.Context().Done()
	})
	if _, err := c.Call(context.Background(), url, "/", nil, ""); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a call without a deadline of its own: %v", err)
	}
	<-entered
	done := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_, err := c.Call(ctx, url, "/", nil, "")
		done <- err
	}()
	<-entered
	c.Close()
	if err := <-done; err == nil {
		t.Error("Close does not break calls off")
	}
	if _, err := c.Call(context.Background(), url, "/", nil, ""); !errors.Is(err, errClosed) {
		t.Errorf("call after Close: %v", err)
	}
	c.Close()
}

func TestConnectionsAreKeptAndNotShared(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	from := map[string]map[string]bool{}
	c, url := newPair(t, nil, func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if from[r.URL.Path] == nil {
			from[r.URL.Path] = map[string]bool{}
		}
		from[r.URL.Path][r.RemoteAddr] = true
	})
	n := c.Network()
	for range 5 {
		for _, kind := range []string{"keepalive", "join", "raft"} {
			if _, err := n.Call(context.Background(), url, kind, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	all := map[string]bool{}
	for path, addrs := range from {
		if len(addrs) != 1 {
			t.Errorf("%s: %d connections for calls one after the other", path, len(addrs))
		}
		for addr := range addrs {
			all[addr] = true
		}
	}
	if len(all) != 3 {
		t.Errorf("%d connections for 3 classes", len(all))
	}
}

func TestSend(t *testing.T) {
	t.Parallel()
	got := make(chan string, 2000)
	c, url := newPair(t, nil, func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- r.URL.Path + " " + string(body)
	})
	n := c.Network()
	const count = 500
	want := ""
	for i := range count {
		n.Send(url, fmt.Appendf(nil, "<%d>", i))
		want += fmt.Sprintf("<%d>", i)
	}
	n.Send(url, nil)
	var all strings.Builder
	for all.Len() < len(want) {
		select {
		case one := <-got:
			body, ok := strings.CutPrefix(one, "/v1/metasync/raft ")
			if !ok {
				t.Fatal(one)
			}
			all.WriteString(body)
		case <-time.After(10 * time.Second):
			t.Fatalf("arrived: %q", all.String())
		}
	}
	if all.String() != want {
		t.Error("bodies arrive out of order or changed")
	}
}

func TestSendNeverBlocks(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	var mu sync.Mutex
	var last []byte
	c, url := newPair(t, nil, func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		<-release
		mu.Lock()
		last = body
		mu.Unlock()
	})
	for i := range 3 * queueBodies {
		c.Send(url, fmt.Appendf(nil, "<%d>", i))
	}
	for range 5 {
		c.Send(url, make([]byte, queueBytes/2))
	}
	q := c.queues.peers[url]
	q.mu.Lock()
	waiting, held := len(q.waiting), q.bytes
	q.mu.Unlock()
	if waiting > queueBodies || held > queueBytes {
		t.Errorf("%d bodies of %d bytes wait", waiting, held)
	}
	end := []byte("the newest")
	c.Send(url, end)
	close(release)
	deadline := time.Now().Add(10 * time.Second)
	for {
		mu.Lock()
		ok := bytes.HasSuffix(last, end)
		mu.Unlock()
		if ok {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the newest body does not arrive")
		}
		time.Sleep(time.Millisecond)
	}
	for i := range 2 * queuePeers {
		c.Send(fmt.Sprintf("http://127.0.0.1:1/%d", i), end)
	}
	c.queues.mu.Lock()
	if peers := len(c.queues.peers); peers > queuePeers {
		t.Errorf("%d queues", peers)
	}
	c.queues.mu.Unlock()
	c.Close()
	c.Send(url, end)
}

func TestQueueTake(t *testing.T) {
	t.Parallel()
	q := &queue{wake: make(chan struct{}, 1)}
	for _, size := range []int{batchBytes - 1, 1, 1, 2 * batchBytes, 5} {
		if !q.add(make([]byte, size)) {
			t.Fatal("refused")
		}
	}
	for _, want := range []int{batchBytes, 1, 2 * batchBytes, 5, 0} {
		if got := len(q.take()); got != want {
			t.Errorf("batch of %d bytes, want %d", got, want)
		}
	}
	if q.bytes != 0 {
		t.Errorf("%d bytes are left in an empty queue", q.bytes)
	}
	(&queueSet{}).remove(q, true)
	if q.add([]byte("x")) {
		t.Error("a queue that was given up takes a body")
	}
}
