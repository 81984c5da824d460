package node

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/core/meta"
)

// dripping is a client that sends a byte now and then. It ends with the
// connection.
func dripping(conn net.Conn) {
	drip := time.NewTicker(20 * time.Millisecond)
	defer drip.Stop()
	for range drip.C {
		if _, err := conn.Write([]byte("x")); err != nil {
			return
		}
	}
}

// TestStalledBodies: a client that stalls is not waited for, by the loop, by
// net/http, or by net/http behind the loop.
func TestStalledBodies(t *testing.T) {
	t.Parallel()
	n := newTestNode(t, meta.RoleTarget, "target001", func(o *Options) {
		o.Limits.BodyBytes, o.Limits.BodyWithin = 1<<10, 200*time.Millisecond
	})
	join(t, newTestNode(t, meta.RoleProxy, "proxy0001", nil), n)
	withObjects(n, func(_ http.ResponseWriter, r *http.Request) error {
		_, err := io.Copy(io.Discard, r.Body)
		if err != nil && apierr.StatusOf(err) != http.StatusRequestTimeout {
			t.Errorf("the handler sees %v", err)
		}
		return err
	})
	for _, header := range []string{"Content-Length: 100000", "Transfer-Encoding: chunked", "Expect: 100-continue\r\nContent-Length: 100000"} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(n.Snode().Public.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, "PUT /v1/objects/b/o HTTP/1.1\r\nHost: x\r\n"+header+"\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		in := bufio.NewReader(conn)
		if strings.HasPrefix(header, "Expect") {
			if line, err := in.ReadString('\n'); err != nil || !strings.Contains(line, "100 Continue") {
				t.Fatalf("%q %v", line, err)
			}
			if _, err := in.Discard(2); err != nil {
				t.Fatal(err)
			}
		}
		if strings.HasPrefix(header, "Transfer") {
			if _, err := io.WriteString(conn, "186a0\r\n"); err != nil {
				t.Fatal(err)
			}
		}
		began := time.Now()
		done := make(chan struct{})
		go func() {
			defer close(done)
			dripping(conn)
		}()
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatalf("%s: %v", header, err)
		}
		if res.StatusCode != http.StatusRequestTimeout {
			t.Errorf("%s: %s", header, res.Status)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("%s: the answer took %v", header, took)
		}
		_ = conn.Close()
		<-done
	}
}

// TestAnswersThatNobodyReads are broken off, from memory and from a file.
func TestAnswersThatNobodyReads(t *testing.T) {
	t.Parallel()
	n := newTestNode(t, meta.RoleTarget, "target001", func(o *Options) { o.Limits.SendTimeout = 200 * time.Millisecond })
	join(t, newTestNode(t, meta.RoleProxy, "proxy0001", nil), n)
	file := endless(t)
	ended := make(chan error, 1)
	withObjects(n, func(w http.ResponseWriter, r *http.Request) error {
		const length = 1 << 30
		w.Header().Set("Content-Length", "1073741824")
		w.Header().Set("Content-Type", "a/b")
		var err error
		if PathItems(r).Items[3] == "file" {
			_, err = io.Copy(w, io.LimitReader(file, length))
		} else {
			for piece := make([]byte, 1<<20); err == nil; {
				_, err = w.Write(piece)
			}
		}
		ended <- err
		return nil
	})
	for _, what := range []string{"memory", "file"} {
		for _, version := range []string{"1.1", "1.0"} { // the second is for net/http
			conn, err := net.Dial("tcp", strings.TrimPrefix(n.Snode().Public.URL, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(conn, "GET /v1/objects/b/"+what+" HTTP/"+version+"\r\nHost: x\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			select {
			case err := <-ended:
				if err == nil {
					t.Errorf("%s, HTTP/%s: it was all sent", what, version)
				}
			case <-time.After(20 * time.Second):
				t.Fatalf("%s, HTTP/%s: the answer still waits for its reader", what, version)
			}
			_ = conn.Close()
		}
	}
}

// endless is a file of a gigabyte that takes no room.
func endless(t *testing.T) *os.File {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "sparse"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	if err := file.Truncate(1 << 30); err != nil {
		t.Fatal(err)
	}
	return file
}
