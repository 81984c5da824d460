package fastpath

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// conversation is a stream of requests of all kinds on one connection.
const conversation = "GET /fast/a?x=1 HTTP/1.1\r\nHost: h\r\n\r\n" +
	"PUT /fast/b HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\nhello world" +
	"POST /ordinary HTTP/1.1\r\nHost: h\r\nA: 1\r\nContent-Length: 5\r\n\r\nabcde\r\n" +
	"HEAD /fast/c HTTP/1.1\r\nHost: h\r\nConnection: keep-alive\r\n\r\n" +
	"PUT /ordinary HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwxyz\r\n0\r\n\r\n" +
	"GET /fast/slow HTTP/1.1\r\nhost: h\r\nRange: bytes=1-2\r\n\r\n" +
	"GET /fast/fail HTTP/1.1\r\nHost: h\r\n\r\n" +
	"GET /ordinary?q HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nxy" +
	"GET /fast/last HTTP/1.1\r\nHost: h\r\n\r\n"

var anyDate = regexp.MustCompile(`Date: [^\r]*`)

// TestSplitAnywhere: however the stream is cut, the answers are the same.
func TestSplitAnywhere(t *testing.T) {
	t.Parallel()
	r := start(t, http.HandlerFunc(describe), nil)
	want := anyDate.ReplaceAllString(r.ask(t, conversation), "Date")
	if n := strings.Count(want, "HTTP/1.1 "); n != 9 {
		t.Fatalf("%d answers:\n%s", n, want)
	}
	for _, text := range []string{"fast /fast/a?x=1", "fast /fast/b 11 0d4a1185", `POST "/ordinary"`, "read=4", `["bytes=1-2"]`, "it failed", "fast /fast/last"} {
		if !strings.Contains(want, text) {
			t.Errorf("no %q in\n%s", text, want)
		}
	}
	check := func(parts ...string) {
		t.Helper()
		conn := r.dial(t)
		for _, part := range parts {
			say(t, conn, part)
		}
		_ = conn.CloseWrite()
		all, err := io.ReadAll(conn)
		if err != nil {
			t.Fatal(err)
		}
		if got := anyDate.ReplaceAllString(string(all), "Date"); got != want {
			t.Fatalf("cut into %d, the first of %d bytes:\n%s\nwant\n%s", len(parts), len(parts[0]), got, want)
		}
		_ = conn.Close()
	}
	for i := 1; i < len(conversation); i++ {
		check(conversation[:i], conversation[i:])
	}
	check(strings.Split(conversation, "")...)
}

func TestPipelining(t *testing.T) {
	t.Parallel()
	r := start(t, http.HandlerFunc(describe), nil)
	conn := r.dial(t)
	const count = 2000
	go func() {
		for i := range count {
			kind := "fast"
			if i%7 == 0 {
				kind = "ordinary"
			}
			_, _ = fmt.Fprintf(conn, "GET /%s/%d HTTP/1.1\r\nHost: h\r\n\r\n", kind, i) // the answers tell
		}
	}()
	in := bufio.NewReader(conn)
	for i := range count {
		if _, body := hear(t, in, "GET"); !strings.Contains(body, fmt.Sprintf("/%d", i)) {
			t.Fatalf("answer %d: %s", i, body)
		}
	}
}

// TestLeavesForGood: what is not of the loop is answered by net/http.
func TestLeavesForGood(t *testing.T) {
	t.Parallel()
	r := start(t, http.HandlerFunc(describe), nil)
	long := strings.Repeat("x", 9<<10)
	for name, tc := range map[string]struct{ ask, want string }{
		"huge header":        {"GET /fast/a HTTP/1.1\r\nHost: h\r\nA: " + strings.Repeat("x", 64<<10) + "\r\n\r\n", "HTTP/1.1 431 "},
		"long header":        {"GET /a HTTP/1.1\r\nHost: h\r\nA: " + long + "\r\n\r\n", "HTTP/1.1 200 "},
		"HTTP/1.0":           {"GET /fast/a HTTP/1.0\r\n\r\n", "HTTP/1.0 200 "},
		"HTTP/0.9":           {"GET /fast/a\r\n\r\n", "HTTP/1.1 400 "},
		"HTTP/2":             {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", `PRI "*"`},
		"TLS":                {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", "HTTP/1.1 400 "},
		"no host":            {"GET /fast/a HTTP/1.1\r\n\r\n", "HTTP/1.1 400 "},
		"two hosts":          {"GET /fast/a HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "HTTP/1.1 400 "},
		"length and chunks":  {"PUT /fast/a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 200 "},
		"two lengths":        {"PUT /fast/a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", "HTTP/1.1 400 "},
		"negative length":    {"PUT /fast/a HTTP/1.1\r\nHost: a\r\nContent-Length: -3\r\n\r\n", "HTTP/1.1 400 "},
		"continued line":     {"GET /fast/a HTTP/1.1\r\nHost: a\r\nA: b\r\n c\r\n\r\n", "HTTP/1.1 200 "},
		"blank before colon": {"GET /fast/a HTTP/1.1\r\nHost: a\r\nContent-Length : 3\r\n\r\nabc", "HTTP/1.1 400 "},
		"control in value":   {"GET /fast/a HTTP/1.1\r\nHost: a\r\nA: b\x01c\r\n\r\n", "HTTP/1.1 400 "},
		"bare line feeds":    {"GET /fast/a HTTP/1.1\nHost: a\n\n", "HTTP/1.1 200 "},
		"absolute form":      {"GET http://b/fast/a HTTP/1.1\r\nHost: a\r\n\r\n", `host="b"`},
		"asterisk":           {"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 "},
		"bad escape":         {"GET /fast%zz HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 400 "},
		"part of a header":   {"GET /fast/a HTTP/1.1\r\nHo", "HTTP/1.1 400 "},
		"expect":             {"PUT /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc", "100 Continue"},
		"after another":      {"GET /fast/a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.0\r\n\r\n", `GET "/b"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := r.ask(t, tc.ask); !strings.Contains(got, tc.want) {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}

func TestExpectContinue(t *testing.T) {
	t.Parallel()
	r := start(t, http.HandlerFunc(describe), nil)
	conn := r.dial(t)
	in := bufio.NewReader(conn)
	say(t, conn, "GET /fast/first HTTP/1.1\r\nHost: h\r\n\r\n")
	hear(t, in, "GET")
	say(t, conn, "PUT /fast/b HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
	if line, err := in.ReadString('\n'); err != nil || line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("%q %v", line, err)
	}
	_, _ = in.Discard(2)
	say(t, conn, "abcGET /last HTTP/1.1\r\nHost: h\r\n\r\n")
	for _, want := range []string{"read=3", `GET "/last"`} {
		if _, body := hear(t, in, "GET"); !strings.Contains(body, want) {
			t.Errorf("%q, want %q", body, want)
		}
	}
}

func TestConnectionClose(t *testing.T) {
	t.Parallel()
	r := start(t, http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.URL.Path == "/close" {
			w.Header().Set("Connection", "close")
		}
		describe(w, q)
	}), nil)
	for _, text := range []string{"GET /fast/a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "GET /close HTTP/1.1\r\nHost: h\r\n\r\n"} {
		conn := r.dial(t)
		say(t, conn, text)
		in := bufio.NewReader(conn)
		if res, _ := hear(t, in, "GET"); !res.Close {
			t.Errorf("%q: the answer does not say that it is the last", text)
		}
		if _, err := in.ReadByte(); err != io.EOF {
			t.Errorf("%q: the connection goes on: %v", text, err)
		}
	}
}

// TestHalfClose: a client that has said all gets its answer and the end.
func TestHalfClose(t *testing.T) {
	t.Parallel()
	r := start(t, http.HandlerFunc(describe), nil)
	for _, path := range []string{"/fast/a", "/b"} {
		conn := r.dial(t)
		in := bufio.NewReader(conn)
		say(t, conn, "GET "+path+" HTTP/1.1\r\nHost: h\r\n\r\n")
		hear(t, in, "GET")
		if err := conn.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if _, err := in.ReadByte(); err != io.EOF {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// TestIdleConnections: they hold no buffers, and are closed after their time.
func TestIdleConnections(t *testing.T) {
	t.Parallel()
	r := start(t, http.HandlerFunc(describe), func(o *Options) { o.IdleTimeout = 6 * time.Second })
	const count = 100
	for i := range count {
		conn := r.dial(t)
		say(t, conn, fmt.Sprintf("GET /fast/%d HTTP/1.1\r\nHost: h\r\n\r\n", i))
		hear(t, bufio.NewReader(conn), "GET")
	}
	parked := func() (n int) {
		r.each(func(c *Conn) {
			if c.state.Load() == stateIdle && c.buffers == nil {
				n++
			}
		})
		return n
	}
	if !raceEnabled { // it looks at what belongs to other goroutines
		eventually(t, "all connections are idle and hold nothing", func() bool { return parked() == count })
	}
	eventually(t, "idle connections are closed", func() bool {
		n := 0
		r.each(func(*Conn) { n++ })
		return n == 0
	})
}

func TestSlowHeader(t *testing.T) {
	t.Parallel()
	r := start(t, http.HandlerFunc(describe), func(o *Options) { o.HeaderTimeout = 500 * time.Millisecond })
	for _, first := range []string{"", "GET /fast/a HTTP/1.1\r\nHost: h\r\n\r\n"} {
		conn := r.dial(t)
		in := bufio.NewReader(conn)
		if first != "" {
			say(t, conn, first)
			hear(t, in, "GET")
		}
		began := time.Now()
		drip := time.NewTicker(20 * time.Millisecond)
		for _, b := range []byte("GET /fast/a HTTP/1.1\r\nHost: hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh\r\n\r\n") {
			<-drip.C
			if _, err := conn.Write([]byte{b}); err != nil {
				break
			}
		}
		drip.Stop()
		if _, err := in.ReadByte(); err == nil {
			t.Error("a header that took too long was answered")
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("it took %v", took)
		}
	}
}

func TestStalledBody(t *testing.T) {
	t.Parallel()
	failed := make(chan error, 10)
	r := start(t, http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if _, err := io.Copy(io.Discard, q.Body); err != nil {
			failed <- err
			http.Error(w, err.Error(), http.StatusRequestTimeout)
		}
	}), func(o *Options) {
		o.Progress = Progress{Bytes: 1 << 10, Within: 200 * time.Millisecond}
		o.Fail = func(w http.ResponseWriter, _ *http.Request, err error) {
			failed <- err
			http.Error(w, err.Error(), http.StatusRequestTimeout)
		}
	})
	for _, text := range []string{
		"PUT /fast/small HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nabc",
		"PUT /fast/large HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\nabc",
		"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\nabc",
		"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
	} {
		conn := r.dial(t)
		say(t, conn, text)
		stop := make(chan struct{})
		var dripping sync.WaitGroup
		dripping.Go(func() { // a byte now and then is no progress
			drip := time.NewTicker(30 * time.Millisecond)
			defer drip.Stop()
			for {
				select {
				case <-drip.C:
					if _, err := conn.Write([]byte("1")); err != nil {
						return
					}
				case <-stop:
					return
				}
			}
		})
		in := bufio.NewReader(conn)
		res, body := hear(t, in, "PUT")
		if res.StatusCode != http.StatusRequestTimeout {
			t.Errorf("%q: %d %s", text[:20], res.StatusCode, body)
		}
		close(stop)
		dripping.Wait()
		_ = conn.CloseWrite()
		if _, err := in.ReadByte(); err == nil {
			t.Errorf("%q: the connection goes on", text[:20])
		}
		<-failed
	}
}

// TestSlowBodyThatMakesProgress is no stall.
func TestSlowBodyThatMakesProgress(t *testing.T) {
	t.Parallel()
	r := start(t, http.HandlerFunc(describe), func(o *Options) { o.Progress = Progress{Bytes: 100, Within: time.Second} })
	for _, path := range []string{"/fast/a", "/b"} {
		conn := r.dial(t)
		say(t, conn, "PUT "+path+" HTTP/1.1\r\nHost: h\r\nContent-Length: 32000\r\n\r\n")
		tick := time.NewTicker(20 * time.Millisecond)
		for range 80 { // longer than a stall may last
			<-tick.C
			say(t, conn, strings.Repeat("x", 400))
		}
		tick.Stop()
		if res, body := hear(t, bufio.NewReader(conn), "PUT"); res.StatusCode != 200 || !strings.Contains(body, "32000") {
			t.Errorf("%s: %d %s", path, res.StatusCode, body)
		}
	}
}

// TestClientThatDoesNotRead holds nothing for ever.
func TestClientThatDoesNotRead(t *testing.T) {
	t.Parallel()
	returned := make(chan error, 1)
	r := start(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		var err error
		for err == nil {
			_, err = w.Write(make([]byte, 64<<10))
		}
		returned <- err
	}), func(o *Options) { o.SendTimeout = func() time.Duration { return 200 * time.Millisecond } })
	one := r.dial(t)
	say(t, one, "GET /a HTTP/1.1\r\nHost: h\r\n\r\n")
	if err := <-returned; err == nil {
		t.Error("no error of the write")
	}
	two := r.dial(t)
	say(t, two, strings.Repeat("GET /fast/file HTTP/1.1\r\nHost: h\r\n\r\n", 20))
	eventually(t, "connections that are not read are closed", func() bool {
		n := 0
		r.each(func(*Conn) { n++ })
		return n == 0
	})
}

// TestEarlyAnswer: a client that is still sending gets the answer and no reset.
func TestEarlyAnswer(t *testing.T) {
	t.Parallel()
	r := start(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }), nil)
	for _, tc := range []struct {
		path string
		size int
		goOn bool
	}{{"/fast/early", 100, true}, {"/fast/early", 200 << 10, true}, {"/fast/early", 3 << 20, false}, {"/a", 200 << 10, true}, {"/a", 3 << 20, false}} {
		conn := r.dial(t)
		var sending sync.WaitGroup
		sending.Go(func() {
			_, _ = fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", tc.path, tc.size)
			_, _ = conn.Write(make([]byte, tc.size)) // the answer tells
		})
		in := bufio.NewReader(conn)
		if res, _ := hear(t, in, "PUT"); res.StatusCode >= 500 {
			t.Errorf("%+v: %d", tc, res.StatusCode)
		}
		sending.Wait()
		if tc.goOn {
			say(t, conn, "GET /fast/next HTTP/1.1\r\nHost: h\r\n\r\n")
			if _, body := hear(t, in, "GET"); body != "fast /fast/next" {
				t.Errorf("%+v: then %q", tc, body)
			}
		} else if _, err := in.ReadByte(); err == nil {
			t.Errorf("%+v: the connection goes on", tc)
		}
		_ = conn.Close()
	}
}

func TestClientGoesAway(t *testing.T) {
	t.Parallel()
	entered, left := make(chan struct{}), make(chan error, 1)
	r := start(t, http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
		close(entered)
		<-q.Context().Done()
		left <- q.Context().Err()
	}), nil)
	conn := r.dial(t)
	say(t, conn, "GET /a HTTP/1.1\r\nHost: h\r\n\r\n")
	<-entered
	_ = conn.Close()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestPanics(t *testing.T) {
	t.Parallel()
	told := make(chan any, 10)
	r := start(t, http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.URL.Path == "/abort" {
			_, _ = w.Write([]byte("begun")) // it is dropped
			panic(http.ErrAbortHandler)
		}
		panic("on purpose")
	}), func(o *Options) { o.Panicked = func(cause any) { told <- cause } })
	for _, path := range []string{"/abort", "/fast/panic", "/a"} {
		if got := r.ask(t, "GET "+path+" HTTP/1.1\r\nHost: h\r\n\r\n"); got != "" {
			t.Errorf("%s: %q", path, got)
		}
	}
	if len(told) != 2 {
		t.Errorf("%d panics were told, want 2", len(told))
	}
}

func TestShutdown(t *testing.T) {
	t.Parallel()
	entered, leave := make(chan struct{}), make(chan struct{})
	r := start(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-leave
		_, _ = w.Write([]byte("finished")) // the client tells
	}), nil)
	idle, unused, busy := r.dial(t), r.dial(t), r.dial(t)
	say(t, idle, "GET /fast/a HTTP/1.1\r\nHost: h\r\n\r\n")
	inIdle := bufio.NewReader(idle)
	hear(t, inIdle, "GET")
	say(t, busy, "GET /a HTTP/1.1\r\nHost: h\r\n\r\n")
	<-entered
	down := make(chan error, 1)
	go func() { down <- r.Shutdown(context.Background()) }()
	if _, err := inIdle.ReadByte(); err != io.EOF {
		t.Errorf("idle: %v", err)
	}
	if _, err := unused.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("unused: %v", err)
	}
	select {
	case err := <-down:
		t.Fatalf("Shutdown returned with a request in flight: %v", err)
	default:
	}
	close(leave)
	if res, body := hear(t, bufio.NewReader(busy), "GET"); body != "finished" || !res.Close {
		t.Errorf("%q, last: %v", body, res.Close)
	}
	if err := <-down; err != nil {
		t.Error(err)
	}
}

func TestShutdownOutOfTime(t *testing.T) {
	t.Parallel()
	entered := make(chan struct{})
	r := start(t, http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
		close(entered)
		<-q.Context().Done()
	}), nil)
	conn := r.dial(t)
	say(t, conn, "GET /a HTTP/1.1\r\nHost: h\r\n\r\n")
	<-entered
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := r.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	r.Close()
	if n, err := conn.Read(make([]byte, 100)); err == nil {
		t.Errorf("an answer of %d bytes", n)
	}
}
