package target_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aistore-go/aistore/ais/aistest"
	"github.com/aistore-go/aistore/ais/node"
)

// drip sends a text byte by byte, with a pause before each, and then the same
// byte for ever, until the connection ends.
func drip(t *testing.T, conn net.Conn, text string) {
	var work sync.WaitGroup
	work.Go(func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			<-tick.C
			next := "x"
			if i < len(text) {
				next = text[i : i+1]
			}
			if _, err := io.WriteString(conn, next); err != nil {
				return
			}
		}
	})
	t.Cleanup(func() {
		_ = conn.Close()
		work.Wait()
	})
}

// dial connects to a node.
func dial(t *testing.T, n *aistest.Node) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(n.URL(), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return conn.(*net.TCPConn) //nolint:forcetypeassert // by Dial
}

// TestTrickledBodies: a byte now and then is no progress. Whatever a client
// writes that slowly ends with 408, and all is as it was.
func TestTrickledBodies(t *testing.T) {
	t.Parallel()
	c := quick(t)
	p, target := c.Proxies[0], c.Targets[0]
	expect(t, 200, follower, "PUT", object(p, "o"), strings.NewReader("content"))
	upload := uploadOf(t, object(p, "parts"))
	expect(t, 200, follower, "PUT", partURL(object(p, "parts"), upload, 1), strings.NewReader("first"))
	begun := func(name string) (handle string) {
		res, _ := expect(t, 200, follower, "PUT", object(p, name)+"?append_type=append", strings.NewReader("first "))
		return "append_handle=" + url.QueryEscape(res.Header.Get("Ais-Append-Handle"))
	}
	one, other := begun("one"), begun("other")
	var all sync.WaitGroup
	const (
		small, large      = "Content-Length: 200", "Content-Length: 5000000"
		chunks, expect100 = "Transfer-Encoding: chunked", "Expect: 100-continue\r\nContent-Length: 5000000"
	)
	for path, headers := range map[string][]string{
		"o": {small, large, chunks, expect100}, "new": {small, large, chunks, expect100}, "new?provider=ais": {large},
		"parts?partNumber=1&uploadId=" + upload: {small, large, expect100}, "parts?partNumber=2&uploadId=" + upload: {small, large, expect100},
		"one?append_type=append&" + one: {large}, "other?append_type=append&" + other: {chunks}, // one client at a time has a handle
		"begun?append_type=append": {small, large, chunks, expect100},
	} {
		for _, header := range headers {
			all.Go(func() {
				conn := dial(t, target)
				if _, err := fmt.Fprintf(conn, "PUT /v1/objects/b/%s HTTP/1.1\r\nHost: x\r\nAis-Smap-Version: 1\r\n%s\r\n\r\n", path, header); err != nil {
					t.Error(err)
					return
				}
				in := bufio.NewReader(conn)
				chunk := ""
				if strings.HasPrefix(header, "Transfer") {
					chunk = "100000\r\n"
				}
				drip(t, conn, chunk)
				res, err := http.ReadResponse(in, nil)
				if err == nil && res.StatusCode == http.StatusContinue {
					res, err = http.ReadResponse(in, nil)
				}
				if err != nil || res.StatusCode != http.StatusRequestTimeout {
					t.Errorf("%s, %s: %v %v", path, header, res, err)
					return
				}
				if text, err := io.ReadAll(res.Body); err != nil || !strings.Contains(string(text), "stalled") {
					t.Errorf("%s, %s: %s %v", path, header, text, err)
				}
			})
		}
	}
	all.Wait()
	for _, name := range []string{"new", "begun"} {
		expect(t, 404, follower, "GET", object(p, name), nil)
	}
	expect(t, 200, follower, "POST", object(p, "parts")+"?uploadId="+upload, completion(1))
	expect(t, 200, follower, "PUT", object(p, "one")+"?append_type=flush&"+one, nil)
	expect(t, 200, follower, "PUT", object(p, "other")+"?append_type=flush&"+other, nil)
	for name, want := range map[string]string{"o": "content", "parts": "first", "one": "first ", "other": "first "} {
		if res, body := expect(t, 200, follower, "GET", object(p, name), nil); body != want || res.Header.Get("Ais-Version") != "1" {
			t.Errorf("%s: %q %v", name, body, res.Header)
		}
		expect(t, 200, follower, "POST", object(p, name), strings.NewReader(`{"action":"check-lock"}`))
	}
	noWorkFiles(t, target)
	expect(t, 200, follower, "DELETE", object(p, "parts"), nil)
	noChunks(t, c)
}

// TestTrickledHeaders: the time for a header counts from its first byte, on a new
// connection and on one that was used, at targets and gateways.
func TestTrickledHeaders(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{Limits: node.Limits{ReadHeaderTimeout: 500 * time.Millisecond}})
	var all sync.WaitGroup
	for _, n := range []*aistest.Node{c.Proxies[0], c.Targets[0]} {
		for _, used := range []bool{false, true} {
			for _, request := range []string{
				"GET /v1/health HTTP/1.1\r\nHost: x\r\nX-Slow: ", "PUT /v1/objects/b/o HTTP/1.1\r\nContent-Length: 10\r\nX-Slow: ", "",
			} {
				conn := dial(t, n)
				in := bufio.NewReader(conn)
				if used {
					if _, err := io.WriteString(conn, "GET /v1/health HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
						t.Fatal(err)
					}
					res, err := http.ReadResponse(in, nil)
					if err != nil || res.StatusCode != 200 {
						t.Fatalf("%v %v", res, err)
					}
					if _, err := io.Copy(io.Discard, res.Body); err != nil {
						t.Fatal(err)
					}
				}
				drip(t, conn, request)
				all.Go(func() { // nothing but an error may come before the end
					if text, err := io.ReadAll(in); errors.Is(err, os.ErrDeadlineExceeded) || len(text) > 0 && !strings.HasPrefix(string(text), "HTTP/1.1 4") {
						t.Errorf("used %v, %q: %.300s %v", used, request, text, err)
					}
				})
			}
		}
	}
	all.Wait()
}

// TestTrickledReads: a client that takes a byte of its answer now and then is
// given up, as one is that takes none; whole objects, chunks and ranges.
func TestTrickledReads(t *testing.T) {
	t.Parallel()
	c := quick(t)
	p, target := c.Proxies[0], c.Targets[0]
	part := strings.Repeat("0123456789abcdef", 1<<20) // more than sockets hold
	expect(t, 200, follower, "PUT", object(target, "whole"), strings.NewReader(part), "Ais-Smap-Version: 1")
	id := uploadOf(t, object(p, "chunked"))
	for n := 1; n <= 2; n++ {
		expect(t, 200, follower, "PUT", partURL(object(p, "chunked"), id, n), strings.NewReader(part))
	}
	expect(t, 200, follower, "POST", object(p, "chunked")+"?uploadId="+id, completion(1, 2))
	var begun, all sync.WaitGroup
	freed := make(chan struct{}) // until then they go on
	for _, name := range []string{"whole", "chunked"} {
		for _, header := range []string{"", "Range: bytes=5-\r\n", "Connection: close\r\n"} {
			conn := dial(t, target)
			if err := conn.SetReadBuffer(4 << 10); err != nil {
				t.Fatal(err)
			}
			if _, err := fmt.Fprintf(conn, "GET /v1/objects/b/%s HTTP/1.1\r\nHost: x\r\n%s\r\n", name, header); err != nil {
				t.Fatal(err)
			}
			begun.Add(1)
			all.Go(func() {
				one := make([]byte, 1)
				_, err := conn.Read(one)
				begun.Done()
				tick := time.NewTicker(10 * time.Millisecond)
				defer tick.Stop()
				for err == nil {
					select {
					case <-freed:
						return
					case <-tick.C:
						_, err = conn.Read(one)
					}
				}
			})
		}
	}
	begun.Wait()
	for _, name := range []string{"whole", "chunked"} {
		expect(t, 200, follower, "PUT", object(p, name), strings.NewReader("new"))
		until(t, name+" is in use no more", func() bool {
			res, err := follower.Do(mustRequest(t, "POST", object(p, name), `{"action":"check-lock"}`))
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			return res.StatusCode == 200
		})
	}
	close(freed)
	all.Wait()
	until(t, "the chunks of the old object are gone", func() bool { return len(chunkFiles(t, c)) == 0 })
}
