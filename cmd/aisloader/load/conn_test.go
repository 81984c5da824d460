package load

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// serve answers each connection with the next of the texts; what follows is
// written after the first line of a request has come.
func serve(t *testing.T, answers ...string) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for _, answer := range answers {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if _, err := bufio.NewReader(conn).ReadString('\n'); err == nil {
				_, _ = io.WriteString(conn, answer)
			}
			conn.Close()
		}
	}()
	return l.Addr().String()
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	const xxh = "Ais-Checksum-Type: xxhash\r\nAis-Checksum-Value: "
	for _, tc := range []struct {
		name, answer string
		verify       bool
		want         string // of the body, or of the error
		fails        bool
	}{
		{"with a length", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", false, "abc", false},
		{"in chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\nTrailer: x\r\n\r\n", false, "abc", false},
		{"after an interim answer", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na", false, "a", false},
		{"no content", "HTTP/1.1 204 No Content\r\n\r\n", false, "", false},
		{"the right checksum", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n" + xxh + "44bc2cf5ad770999\r\n\r\nabc", true, "abc", false},
		{"a wrong checksum", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n" + xxh + "44bc2cf5ad770998\r\n\r\nabc", true, "checksum mismatch", true},
		{"no checksum", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", true, "abc", false},
		{"type none", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nAis-Checksum-Type: none\r\n\r\nabc", true, "abc", false},
		{"a value without a type", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nAis-Checksum-Value: 11\r\n\r\nabc", true, "no type", true},
		{"an unknown type", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nAis-Checksum-Type: x\r\nAis-Checksum-Value: 11\r\n\r\nabc", true, "checksum type", true},
		{"cut off", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc", false, "unexpected EOF", true},
		{"a chunk cut off", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", false, "unexpected EOF", true},
		{"a bad chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxx\r\nab", false, "chunk size", true},
		{"not HTTP", "SSH-2.0\r\n\r\n", false, "status line", true},
		{"a bad status", "HTTP/1.1 xyz\r\n\r\n", false, "status line", true},
		{"a bad length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", false, "Content-Length", true},
		{"no length", "HTTP/1.1 200 OK\r\n\r\nabc", false, "without Content-Length", true},
		{"another encoding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", false, "gzip", true},
		{"a header without end", "HTTP/1.1 200 OK\r\n" + strings.Repeat("x: y\r\n", 5000), false, "too long", true},
		{"nothing", "", false, "EOF", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c := NewConn(serve(t, tc.answer), false, &Options{Timeout: 10 * time.Second})
			defer c.Close()
			resp, err := c.Do(&Request{Method: "GET", Path: []byte("/o"), Keep: true, Verify: tc.verify})
			switch {
			case tc.fails && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("%v, want an error with %q", err, tc.want)
			case !tc.fails && (err != nil || string(resp.Body) != tc.want || resp.Bytes != int64(len(tc.want))):
				t.Errorf("%q (%d bytes), %v; want %q", resp.Body, resp.Bytes, err, tc.want)
			}
		})
	}
}

// TestIdleConnectionIsOpenedAgain: a server that closed between two requests
// is no error.
func TestIdleConnectionIsOpenedAgain(t *testing.T) {
	t.Parallel()
	answer := "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na"
	c := NewConn(serve(t, answer, answer), false, &Options{})
	defer c.Close()
	for range 2 {
		if resp, err := c.Do(&Request{Method: "GET", Path: []byte("/o")}); err != nil || resp.Bytes != 1 {
			t.Fatalf("%+v, %v", resp, err)
		}
	}
}

// TestGatewayGetsNoLargeBody: what is long goes to the owner only; the
// gateway is asked with an empty body, on a connection that stays.
func TestGatewayGetsNoLargeBody(t *testing.T) {
	t.Parallel()
	var atGateway, atOwner, connections atomic.Int64
	owner := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		atOwner.Add(n)
	}))
	defer owner.Close()
	gateway := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		atGateway.Add(n)
		http.Redirect(w, r, owner.URL+r.URL.Path, http.StatusTemporaryRedirect)
	}))
	gateway.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	gateway.Start()
	defer gateway.Close()
	c := NewClient(&Options{})
	defer c.Close()
	body := make([]byte, 100_000)
	for _, size := range []int64{int64(len(body)), 1 << 20} { // also a body that repeats
		for range 2 {
			r := &Request{Addr: gateway.Listener.Addr().String(), Method: "PUT", Path: []byte("/o"), Body: body, Size: size, Gateway: true}
			if resp, err := c.Do(r); err != nil || !resp.Redirected {
				t.Fatalf("%+v, %v", resp, err)
			}
		}
	}
	if atGateway.Load() != 0 || atOwner.Load() != 2*(100_000+1<<20) || connections.Load() != 1 {
		t.Errorf("the gateway got %d bytes on %d connections, the owner %d bytes", atGateway.Load(), connections.Load(), atOwner.Load())
	}
	r := &Request{Addr: gateway.Listener.Addr().String(), Method: "PUT", Path: []byte("/o"), Reader: bytes.NewReader(body), Size: 90_000, Gateway: true}
	if _, err := c.Do(r); err != nil {
		t.Fatal(err)
	}
	if got := atOwner.Load() - 2*(100_000+1<<20); got != 90_000 {
		t.Errorf("%d bytes of a reader arrived", got)
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "200000")
		_, _ = w.Write(make([]byte, 200000))
	}))
	defer server.Close()
	settings := server.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	settings.ServerName = "example.com"
	c := NewClient(&Options{TLS: settings})
	defer c.Close()
	for range 2 {
		resp, err := c.Do(&Request{Addr: server.Listener.Addr().String(), Method: "GET", Path: []byte("/")})
		if err != nil || resp.Bytes != 200000 {
			t.Fatalf("%+v, %v", resp, err)
		}
	}
}

// answering is a server of fixed answers that allocates nothing itself.
func answering(tb testing.TB, size int) (addr string) {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { l.Close() })
	answer := append(fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: %d\r\n\r\n", size), make([]byte, size)...)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				for buf := make([]byte, 64<<10); ; {
					if _, err := conn.Read(buf); err != nil {
						return
					}
					if _, err := conn.Write(answer); err != nil {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}

func TestNoAllocationAnOperation(t *testing.T) {
	for _, size := range []int{4096, 1 << 20} {
		addr := answering(t, size)
		w := &Worker{Client: NewClient(&Options{})}
		defer w.Client.Close()
		operation := func() {
			w.Request.Reset("GET", addr)
			w.Request.Path = append(w.Request.Path, "/v1/objects/b/o"...)
			w.Start = time.Now()
			if resp, err := w.Do(0); err != nil || resp.Bytes != int64(size) {
				t.Fatalf("%+v, %v", resp, err)
			}
		}
		operation()
		if n := testing.AllocsPerRun(200, operation); n > 0 && !raceEnabled {
			t.Errorf("%v allocations for a GET of %d bytes", n, size)
		}
	}
}

// TestRateCountsWaiting: a server that stalls once delays the operations that
// were due meanwhile, and their latencies say so.
func TestRateCountsWaiting(t *testing.T) {
	t.Parallel()
	var n atomic.Int64
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if n.Add(1) == 10 {
			<-release
		}
		w.Header().Set("Content-Length", "0")
	}))
	defer server.Close()
	time.AfterFunc(500*time.Millisecond, func() { close(release) })
	result, err := Run(context.Background(), &Plan{Workers: 1, Operations: 60, Rate: 100, Task: func(_ context.Context, w *Worker) bool {
		w.Request.Reset("GET", server.Listener.Addr().String())
		w.Request.Path = append(w.Request.Path, '/')
		_, _ = w.Do(0)
		return true
	}})
	if err != nil {
		t.Fatal(err)
	}
	if result.Elapsed < 550*time.Millisecond {
		t.Errorf("60 operations at 100 a second took %v", result.Elapsed)
	}
	// About 40 operations were due while the server stalled.
	if late := result.Latency.Quantile(0.5); late < 50*time.Millisecond {
		t.Errorf("median latency %v: the wait was not counted", late)
	}
}

func TestObserve(t *testing.T) {
	t.Parallel()
	addr := answering(t, 10)
	var seen atomic.Int64
	result, err := Run(context.Background(), &Plan{Workers: 2, Duration: 300 * time.Millisecond, Interval: 50 * time.Millisecond,
		Observe: func(part *Result) {
			if part.Elapsed <= 0 || part.Pending[3] > 2 {
				t.Errorf("%v, %v", part.Elapsed, part.Pending)
			}
			seen.Add(part.Operations)
		},
		Task: func(_ context.Context, w *Worker) bool {
			w.Begin(3)
			w.Request.Reset("GET", addr)
			w.Request.Path = append(w.Request.Path, '/')
			_, _ = w.Do(3)
			return true
		}})
	if err != nil || seen.Load() == 0 || seen.Load() > result.Operations || result.Kinds[3].Operations != result.Operations {
		t.Errorf("%v; observed %d of %d operations", err, seen.Load(), result.Operations)
	}
}

func BenchmarkGet4KiB(b *testing.B) {
	b.ReportAllocs()
	w := &Worker{Client: NewClient(&Options{})}
	defer w.Client.Close()
	addr := answering(b, 4096)
	for range b.N {
		w.Request.Reset("GET", addr)
		w.Request.Path = append(w.Request.Path, "/v1/objects/b/o"...)
		if _, err := w.Do(0); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzReceive(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"))
	f.Add([]byte("HTTP/1.1 307 x\r\nLocation: http://a/b\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"))
	f.Fuzz(func(t *testing.T, answer []byte) {
		c := NewConn("x", false, &Options{})
		c.reader = bufio.NewReader(bytes.NewReader(answer))
		var resp Response
		_, chunked, err := c.receiveHeader(&resp)
		if err == nil {
			err = c.receiveBody(&Request{Method: "GET", Keep: true, Verify: true}, &resp, chunked)
		}
		if err == nil && resp.Bytes > int64(len(answer)) {
			t.Errorf("%d bytes of %q", resp.Bytes, answer)
		}
	})
}
