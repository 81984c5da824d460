package target_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aistore-go/aistore/ais/aistest"
	"github.com/aistore-go/aistore/ais/node"
)

// TestStalledWriteLeavesNothing: a client that stalls in the middle of a body
// gets 408, and its work file goes.
func TestStalledWriteLeavesNothing(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{Limits: node.Limits{BodyBytes: 1 << 10, BodyWithin: 200 * time.Millisecond}})
	expect(t, 200, follower, "POST", c.Proxies[0].URL()+"/v1/buckets/b", strings.NewReader(`{"action":"create-bck"}`))
	target := c.Targets[0]
	for _, length := range []int{100, 4 << 20} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(target.URL(), "http://"))
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		_, err = fmt.Fprintf(conn, "PUT /v1/objects/b/o HTTP/1.1\r\nHost: x\r\nAis-Smap-Version: 1\r\nContent-Length: %d\r\n\r\n%s", length, strings.Repeat("x", length/2))
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(res.Body)
		if res.StatusCode != http.StatusRequestTimeout || !strings.Contains(string(text), "stalled") {
			t.Errorf("%d bytes: %s %s", length, res.Status, text)
		}
		_ = conn.Close()
	}
	noWorkFiles(t, target)
	expect(t, 404, follower, "GET", object(target, "o"), nil)
}

// TestReadsAndWritesOnOneConnection mixes what the loop serves with what it
// does not.
func TestReadsAndWritesOnOneConnection(t *testing.T) {
	t.Parallel()
	c := cluster(t, 1, `{}`)
	talk := connect(t, c.Targets[0])
	ask := func(status int, method, name, header, body string) (*http.Response, string) {
		t.Helper()
		return talk(status, method, "/v1/objects/b/"+name, header, body)
	}
	for _, size := range []int{0, 1, 4 << 10, 9 << 10, 33 << 10, 300 << 10, 3 << 20} {
		body := strings.Repeat("0123456789abcdef", size/16+1)[:size]
		for _, extra := range []string{"", "Ais-Custom-Md: a=b\r\n"} { // the second is not for the loop
			ask(200, "PUT", "dir/a%20name", fmt.Sprintf("Ais-Smap-Version: 1\r\n%sContent-Length: %d\r\n", extra, size), body)
			for _, query := range []string{"", "?provider=ais", "?x=y"} { // and the last here
				res, text := ask(200, "GET", "dir/a%20name"+query, "", "")
				if text != body || res.Header.Get("Ais-Checksum-Type") != "xxhash2" || res.Header.Get("Content-Type") != "application/octet-stream" || res.Header.Get("Date") == "" {
					t.Fatalf("%d bytes%s: %d bytes %v", size, query, len(text), res.Header)
				}
				if res, _ = ask(200, "HEAD", "dir/a%20name"+query, "", ""); size > 0 && res.ContentLength != int64(size) || res.Header.Get("Ais-Name") != "dir/a name" {
					t.Fatalf("%d bytes%s: %v", size, query, res.Header)
				}
				if size > 10 {
					if res, text = ask(206, "GET", "dir/a%20name"+query, "Range: bytes=3-7\r\n", ""); text != body[3:8] || res.Header.Get("Content-Range") != fmt.Sprintf("bytes 3-7/%d", size) {
						t.Fatalf("%q %v", text, res.Header)
					}
				}
			}
		}
		ask(404, "GET", "none", "", "")
		ask(404, "HEAD", "none", "", "")
		ask(416, "GET", "dir/a%20name", "Range: bytes=99999999-\r\n", "")
		if _, text := ask(500, "PUT", "bad", "Ais-Smap-Version: 1\r\nAis-Checksum-Type: md5\r\nAis-Checksum-Value: 00\r\nContent-Length: 3\r\n", "abc"); !strings.Contains(text, "CHECKSUM") {
			t.Errorf("%s", text)
		}
		ask(400, "PUT", "direct", "Content-Length: 3\r\n", "abc")
	}
}
