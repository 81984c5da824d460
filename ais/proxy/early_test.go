package proxy_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aistore-go/aistore/ais/aistest"
)

// dial opens a raw connection to a node.
func dial(t *testing.T, n *aistest.Node) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(n.URL(), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// answer reads the head of the next answer.
func answer(t *testing.T, conn io.Reader, method string) *http.Response {
	t.Helper()
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	return res
}

// TestAnswerGoesOutBeforeTheBody: clients that announce a body and wait for
// the redirect first, as the Python SDK does over HTTPS and curl with Expect.
func TestAnswerGoesOutBeforeTheBody(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{Targets: 2})
	createBucket(t, c, "b")
	for _, tc := range []struct {
		name, bucket, header string
		status               int
	}{
		{"small body that never comes", "b", "Content-Length: 1000\r\nConnection: close\r\n", 307},
		{"small body that never comes, kept open", "b", "Content-Length: 1000\r\n", 307},
		{"huge body that never comes", "b", "Content-Length: 10737418240\r\nConnection: close\r\n", 307},
		{"chunked body that never comes", "b", "Transfer-Encoding: chunked\r\n", 307},
		{"waits for 100", "b", "Content-Length: 1000\r\nExpect: 100-continue\r\n", 307},
		{"waits for 100, chunked", "b", "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n", 307},
		{"refused", "missing", "Content-Length: 1000\r\nConnection: close\r\n", 404},
		{"refused, huge", "missing", "Content-Length: 10737418240\r\n", 404},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			conn := dial(t, c.Proxies[0])
			began := time.Now()
			if _, err := fmt.Fprintf(conn, "PUT /v1/objects/%s/o HTTP/1.1\r\nHost: x\r\n%s\r\n", tc.bucket, tc.header); err != nil {
				t.Fatal(err)
			}
			res := answer(t, conn, http.MethodPut)
			if res.StatusCode != tc.status {
				t.Errorf("status %d, want %d", res.StatusCode, tc.status)
			}
			if tc.status == 307 && (res.Header.Get("Location") == "" || res.ContentLength != 0) {
				t.Errorf("redirect without Location or with a body: %v", res.Header)
			}
			if waited := time.Since(began); waited > 500*time.Millisecond {
				t.Errorf("the answer took %v", waited)
			}
		})
	}
}

// TestPushedBodyGetsTheAnswer: a client that writes its whole body before it
// reads anything gets the answer and not a reset.
func TestPushedBodyGetsTheAnswer(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{Targets: 2})
	createBucket(t, c, "b")
	for _, tc := range []struct {
		name, bucket string
		size         int
		status       int
	}{
		{"4 KiB", "b", 4 << 10, 307},
		{"300 KiB", "b", 300 << 10, 307},
		{"64 MiB", "b", 64 << 20, 307},
		{"64 MiB, refused", "missing", 64 << 20, 404},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			conn := dial(t, c.Proxies[0])
			if _, err := fmt.Fprintf(conn, "PUT /v1/objects/%s/o HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", tc.bucket, tc.size); err != nil {
				t.Fatal(err)
			}
			block := make([]byte, 64<<10)
			for sent := 0; sent < tc.size; sent += len(block) {
				if _, err := conn.Write(block[:min(len(block), tc.size-sent)]); err != nil {
					t.Fatalf("reset after %d bytes: %v", sent, err)
				}
			}
			res := answer(t, conn, http.MethodPut)
			if res.StatusCode != tc.status {
				t.Errorf("status %d, want %d", res.StatusCode, tc.status)
			}
		})
	}
}

// TestConnectionIsKeptAfterASmallPush: the next request on a connection is
// answered, although nobody wanted the first one's body.
func TestConnectionIsKeptAfterASmallPush(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{})
	createBucket(t, c, "b")
	conn := dial(t, c.Proxies[0])
	reader := bufio.NewReader(conn)
	for i := range 3 {
		if _, err := fmt.Fprintf(conn, "PUT /v1/objects/b/o HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"); err != nil {
			t.Fatal(err)
		}
		res, err := http.ReadResponse(reader, &http.Request{Method: http.MethodPut})
		if err != nil || res.StatusCode != 307 || res.Close {
			t.Fatalf("request %d: %v %v", i, res, err)
		}
	}
}

// TestRedirectOfAnAnnouncedBody: a client that asked for permission to send,
// and is sent elsewhere, may send its body here or not. The answer ends the
// connection, or the next request of the client could meet its end.
func TestRedirectOfAnAnnouncedBody(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{Proxies: 1, Targets: 1})
	createBucket(t, c, "b")
	conn, err := net.Dial("tcp", strings.TrimPrefix(c.Proxies[0].URL(), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }() // only read from
	request := "PUT /v1/objects/b/o HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\nExpect: 100-continue\r\n\r\n"
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusTemporaryRedirect || !res.Close {
		t.Errorf("%s, the connection ends: %v", res.Status, res.Close)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("after the answer: %v", err)
	}
}
