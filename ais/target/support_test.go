package target_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/aistore-go/aistore/ais/aistest"
	"github.com/aistore-go/aistore/cmn/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(aistest.BothWays{M: m}) }

// follower follows redirects, strict shows them.
var (
	follower = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	strict   = &http.Client{
		Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
)

// expect does one request; any other status fails the test. Headers are
// "Key: value" lines.
func expect(t *testing.T, status int, client *http.Client, method, address string, body io.Reader, headers ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(method, address, body)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range headers {
		key, value, _ := strings.Cut(line, ": ")
		req.Header.Add(key, value)
	}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := res.Body.Close(); err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != status {
		t.Fatalf("%s %s: status %d, want %d: %.300s%s", method, address, res.StatusCode, status, data, res.Header.Get("Hdr-Error"))
	}
	return res, string(data)
}

// message is the text of a failed answer.
func message(t *testing.T, res *http.Response, body string) wire.ErrorBody {
	t.Helper()
	if res.Request.Method == http.MethodHead {
		body = res.Header.Get("Hdr-Error")
	}
	var e wire.ErrorBody
	if err := json.Unmarshal([]byte(body), &e); err != nil || e.Status != res.StatusCode {
		t.Fatalf("error body %q: %v", body, err)
	}
	return e
}

// cluster starts a cluster with a bucket "b" of the given properties.
func cluster(t *testing.T, targets int, props string) *aistest.Cluster {
	t.Helper()
	c := aistest.New(t, aistest.Options{Targets: targets})
	expect(t, 200, follower, "POST", c.Proxies[0].URL()+"/v1/buckets/b", strings.NewReader(`{"action":"create-bck","value":`+props+`}`))
	return c
}

// object is the address of an object of "b" at a node.
func object(n *aistest.Node, name string) string {
	u := url.URL{Path: "/v1/objects/b/" + name}
	return n.URL() + u.EscapedPath()
}

// eventually waits until a condition holds; so long that only what never comes
// fails.
func eventually(tb testing.TB, what string, holds func() bool) {
	tb.Helper()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	late := time.After(time.Minute)
	for !holds() {
		select {
		case <-look.C:
		case <-late:
			tb.Fatalf("%s: not within a minute", what)
		}
	}
}
