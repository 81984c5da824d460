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
	"github.com/aistore-go/aistore/core"
)

// TestCompletionLists: what clients may write where the list of parts is
// expected. Whatever is wrong, the upload goes on.
func TestCompletionLists(t *testing.T) {
	t.Parallel()
	c := cluster(t, 1, `{"durability":"none"}`)
	address := object(c.Proxies[0], "o")
	id := uploadOf(t, address)
	for n := 1; n <= 2; n++ {
		expect(t, 200, follower, "PUT", partURL(address, id, n), strings.NewReader("x"))
	}
	for _, tc := range []struct {
		value string
		text  string
	}{
		{`[{"part-number":1},{"part-number":7}]`, "partial completion"},
		{`[{"part-number":1},{"part-number":2},{"part-number":3}]`, "partial completion"},
		{`[{"part-number":1},{"part-number":-2}]`, "partial completion"},
		{`[{"part-number":0},{"part-number":1}]`, "partial completion"},
		{`[{"part-number":1},{"part-number":9223372036854775807}]`, "partial completion"},
		{`[{"part-number":1},{"part-number":9223372036854775808}]`, "failed to unmarshal"},
		{`[{"part-number":1},{"part-number":-99999999999999999999}]`, "failed to unmarshal"},
		{`[{"part-number":1},{"part-number":"2"}]`, "failed to unmarshal"},
		{`[{"part-number":1},{"part-number":1.5}]`, "failed to unmarshal"},
		{`[{"part-number":1},{"part-number":null}]`, "partial completion"},
		{`[{},{}]`, "partial completion"},
		{`[1,2]`, "failed to unmarshal"},
		{`"1,2"`, "failed to unmarshal"},
		{`12`, "failed to unmarshal"},
		{`true`, "failed to unmarshal"},
		{`null`, "partial completion"},
		{`[]`, "partial completion"},
		{`[null,null]`, "partial completion"},
		{`[{"part-number":1,"etag":7}]`, "failed to unmarshal"},
	} {
		res, body := expect(t, 400, follower, "POST", address+"?uploadId="+id, strings.NewReader(`{"action":"mpt-complete","value":`+tc.value+`}`))
		if e := message(t, res, body); !strings.Contains(e.Message, tc.text) {
			t.Errorf("%s: %q, want %q", tc.value, e.Message, tc.text)
		}
	}
	expect(t, 404, follower, "GET", address, nil)
	expect(t, 200, follower, "POST", address+"?uploadId="+id, completion(2, 1))
	if _, body := expect(t, 200, follower, "GET", address, nil); body != "xx" {
		t.Errorf("%q", body)
	}
}

// TestLongCompletionLists: messages up to the greatest length are read, longer
// ones are 413, at the gateway and at the target.
func TestLongCompletionLists(t *testing.T) {
	t.Parallel()
	const longest = 2 << 20 // in bytes
	c := cluster(t, 1, `{"durability":"none"}`)
	address := object(c.Proxies[0], "o")
	id := uploadOf(t, address)
	for n := 1; n <= 2; n++ {
		expect(t, 200, follower, "PUT", partURL(address, id, n), strings.NewReader("x"))
	}
	res, body := expect(t, 400, follower, "POST", address+"?uploadId="+id, completion(oneTo(core.MaxParts)...))
	if e := message(t, res, body); !strings.Contains(e.Message, "partial completion") {
		t.Error(e.Message)
	}
	text, err := io.ReadAll(completion(2, 1))
	if err != nil {
		t.Fatal(err)
	}
	padded := func(length int) *strings.Reader {
		return strings.NewReader(string(text[:len(text)-1]) + strings.Repeat(" ", length-len(text)) + "}")
	}
	for _, at := range []*aistest.Node{c.Proxies[0], c.Targets[0]} {
		res, body := expect(t, 413, follower, "POST", object(at, "o")+"?uploadId="+id, padded(longest+1), "Ais-Smap-Version: 1")
		if e := message(t, res, body); !strings.Contains(e.Message, "longer than 2097152 bytes") {
			t.Error(e.Message)
		}
	}
	expect(t, 404, follower, "GET", address, nil)
	expect(t, 200, follower, "POST", address+"?uploadId="+id, padded(longest))
	if _, body := expect(t, 200, follower, "GET", address, nil); body != "xx" {
		t.Errorf("%q", body)
	}
}

// TestPartsThatBreakOff: a part whose sender goes, or stalls, in the middle is
// none: the one before it with its number stays, and so does the upload.
func TestPartsThatBreakOff(t *testing.T) {
	t.Parallel()
	c := quick(t)
	target := c.Targets[0]
	address := object(c.Proxies[0], "o")
	id := uploadOf(t, address)
	expect(t, 200, follower, "PUT", partURL(address, id, 1), strings.NewReader("first "))
	query := "?uploadId=" + id + "&partNumber="
	for _, length := range []int{1000, 3 << 20} {
		for _, number := range []string{"1", "2"} {
			gone := open(t, target, "PUT", query+number, length, strings.Repeat("x", length/2))
			if err := gone.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if res := answer(t, gone); res != nil && res.StatusCode < 400 {
				t.Errorf("a part that breaks off: %s", res.Status)
			}
			slow := open(t, target, "PUT", query+number, length, strings.Repeat("x", length/2))
			if res := answer(t, slow); res == nil || res.StatusCode != http.StatusRequestTimeout {
				t.Errorf("a part that stalls: %v", res)
			}
		}
	}
	expect(t, 400, follower, "POST", address+"?uploadId="+id, completion(1, 2)) // there is no second
	expect(t, 200, follower, "PUT", partURL(address, id, 2), strings.NewReader("second"))
	expect(t, 200, follower, "POST", address+"?uploadId="+id, completion(1, 2))
	if _, body := expect(t, 200, follower, "GET", address, nil); body != "first second" {
		t.Errorf("%.100q", body)
	}
	expect(t, 200, follower, "DELETE", address, nil)
	noChunks(t, c)
}

// quick starts a cluster that gives up clients after a short while.
func quick(t *testing.T) *aistest.Cluster {
	t.Helper()
	c := aistest.New(t, aistest.Options{Limits: shortLimits})
	expect(t, 200, follower, "POST", c.Proxies[0].URL()+"/v1/buckets/b", strings.NewReader(`{"action":"create-bck","value":{"durability":"none"}}`))
	return c
}

// open begins a request for the object "o" with a body that is not sent to its
// end.
func open(t *testing.T, n *aistest.Node, method, query string, length int, body string) *net.TCPConn {
	t.Helper()
	return openAt(t, n, method, "/v1/objects/b/o"+query, length, body)
}

func openAt(t *testing.T, n *aistest.Node, method, target string, length int, body string) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(n.URL(), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: x\r\nAis-Smap-Version: 1\r\nContent-Length: %d\r\n\r\n%s", method, target, length, body); err != nil {
		t.Fatal(err)
	}
	return conn.(*net.TCPConn) //nolint:forcetypeassert // by Dial
}

// answer reads what a node says, nil if it closes the connection.
func answer(t *testing.T, conn net.Conn) *http.Response {
	t.Helper()
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return nil
	}
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	return res
}
