package proxy_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/aistore-go/aistore/ais/aistest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(aistest.BothWays{M: m})
}

// follower follows redirects, as all clients of the API do.
var follower = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

// strict shows what a gateway itself answers.
var strict = &http.Client{
	Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// send does one request and reads the answer. Headers are "Key: value" lines.
func send(t *testing.T, client *http.Client, method, url, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
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
	return res, string(data)
}

// expect is send that fails the test for any other status.
func expect(t *testing.T, status int, client *http.Client, method, url, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	res, text := send(t, client, method, url, body, headers...)
	if res.StatusCode != status {
		t.Fatalf("%s %s: status %d, want %d: %s%s", method, url, res.StatusCode, status, text, res.Header.Get("Hdr-Error"))
	}
	return res, text
}

// createBucket makes an ais:// bucket through the last gateway; value is the
// JSON of its properties, if there are any.
func createBucket(t *testing.T, c *aistest.Cluster, name string, value ...string) {
	t.Helper()
	body := `{"action":"create-bck"`
	if len(value) > 0 {
		body += `,"value":` + value[0]
	}
	expect(t, 200, follower, http.MethodPost, c.Proxies[len(c.Proxies)-1].URL()+"/v1/buckets/"+name, body+"}")
}
