package target_test

import (
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/ais/aistest"
	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/cmn/wire"
)

// TestAppend: every type of checksum, from nothing and from an object.
func TestAppend(t *testing.T) {
	t.Parallel()
	c := cluster(t, 2, `{}`)
	p := c.Proxies[0]
	for _, kind := range []string{"none", "xxhash", "xxhash2", "md5", "crc32c", "sha256", "sha512"} {
		bucket(t, c, kind, "", `{"checksum":{"type":"`+kind+`"}}`)
		for _, name := range []string{"new", "old", "large"} {
			u, want, version := at(p, kind, name), "", "1"
			switch name {
			case "old":
				want, version = "was there ", "2"
			case "large":
				want, version = strings.Repeat("large ", 100_000), "2"
			}
			if want != "" {
				expect(t, 200, follower, "PUT", u, strings.NewReader(want), "Ais-Custom-Md: k=v")
			}
			handle := ""
			for i, piece := range []string{"one ", "", strings.Repeat("two ", 60_000), "three"} {
				var body io.Reader = strings.NewReader(piece)
				if i%2 == 0 {
					body = struct{ io.Reader }{body} // no Content-Length
				}
				req, err := http.NewRequest("PUT", u+"?append_type=append&append_handle="+url.QueryEscape(handle), body)
				if err != nil {
					t.Fatal(err)
				}
				req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(piece)), nil }
				res, err := follower.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				_ = res.Body.Close()
				next := res.Header.Get("Ais-Append-Handle")
				if fields := strings.Split(next, "|"); res.StatusCode != 200 || next == handle || len(fields) != 4 || !strings.HasPrefix(fields[0], "target-") {
					t.Fatalf("%s %s: %s %q", kind, name, res.Status, next)
				}
				handle, want = next, want+piece
			}
			if name == "new" {
				expect(t, 404, follower, "GET", u, nil)
			} else if _, body := expect(t, 200, follower, "GET", u, nil); strings.Contains(body, "three") {
				t.Error("visible before the flush")
			}
			flush := u + "?append_type=flush&append_handle=" + url.QueryEscape(handle)
			sum, err := cksum.Of(kind, []byte(want))
			if err != nil {
				t.Fatal(err)
			}
			if kind != "none" {
				wrong := strings.Repeat("0", len(sum.Value))
				res, body := expect(t, 500, follower, "PUT", flush, nil, "Ais-Checksum-Type: "+kind, "Ais-Checksum-Value: "+wrong)
				if e := message(t, res, body); e.TypeCode != wire.CodeBadChecksum {
					t.Errorf("%+v", e)
				}
				expect(t, 400, follower, "PUT", flush, nil, "Ais-Checksum-Type: "+kind, "Ais-Checksum-Value: zzz")
			}
			expect(t, 400, follower, "PUT", flush, nil, "Ais-Checksum-Type: cesxxh", "Ais-Checksum-Value: 00")
			res, _ := expect(t, 200, follower, "PUT", flush, nil, "Ais-Checksum-Type: "+kind, "Ais-Checksum-Value: "+sum.Value)
			if res.Header.Get("Ais-Append-Handle") != "" || res.Header.Get("Ais-Version") != "" {
				t.Errorf("%v", res.Header)
			}
			res, body := expect(t, 200, follower, "GET", u, nil)
			if body != want || res.Header.Get("Ais-Checksum-Value") != sum.Value || res.Header.Get("Ais-Version") != version || (name != "new") != (res.Header.Get("Ais-Custom-Md") == "k=v") {
				t.Errorf("%s %s: %d bytes, want %d: %v", kind, name, len(body), len(want), res.Header)
			}
			for _, again := range []string{flush, strings.Replace(flush, "=flush", "=append", 1)} {
				res, body = expect(t, 404, follower, "PUT", again, nil)
				if e := message(t, res, body); !strings.Contains(e.Message, "ais://"+kind+"/"+name) {
					t.Errorf("%+v", e)
				}
			}
		}
	}
}

func TestAppendHandles(t *testing.T) {
	t.Parallel()
	c := cluster(t, 2, `{}`)
	p := c.Proxies[0]
	begin := func(name string) string {
		res, _ := expect(t, 200, follower, "PUT", object(p, name)+"?append_type=append", strings.NewReader("a"))
		return res.Header.Get("Ais-Append-Handle")
	}
	with := func(name, handle string) string {
		return object(p, name) + "?append_type=append&append_handle=" + url.QueryEscape(handle)
	}
	first := begin("o")
	res, _ := expect(t, 200, follower, "PUT", with("o", first), strings.NewReader("b"))
	second := res.Header.Get("Ais-Append-Handle")
	fields := strings.Split(second, "|")
	other := ownedBy(t, c, "b", c.Targets[0], "other")
	if fields[0] == c.Targets[0].Snode().ID {
		other = ownedBy(t, c, "b", c.Targets[1], "other")
	}
	same := ownedBy(t, c, "b", map[bool]*aistest.Node{true: c.Targets[0], false: c.Targets[1]}[fields[0] == c.Targets[0].Snode().ID], "same")
	for _, tc := range []struct {
		title, name, handle string
		status              int
	}{
		{"replaced", "o", first, 409},
		{"of another object", same, second, 404},
		{"of another object at another target", other, second, 404},
		{"unknown work file", "o", strings.Replace(second, fields[1], "append.0.0.0", 1), 404},
		{"another type", "o", strings.Replace(second, "xxhash2", "md5", 1), 404},
		{"another secret", "o", fields[0] + "|" + fields[1] + "|xxhash2|AAAAAAAAAAIAAAAAAAAAAAAAAAAAAAAA", 404},
		{"short state", "o", fields[0] + "|" + fields[1] + "|xxhash2|AAAA", 400},
		{"three fields", "o", strings.Join(fields[:3], "|"), 400},
		{"five fields", "o", second + "|", 400},
		{"no base64", "o", fields[0] + "|" + fields[1] + "|xxhash2|!", 400},
		{"a path", "o", fields[0] + "|../x|xxhash2|AAAA", 400},
		{"no node", "o", "|" + strings.Join(fields[1:], "|"), 400},
		{"long", "o", second + strings.Repeat("A", 600), 400},
	} {
		expect(t, tc.status, follower, "PUT", with(tc.name, tc.handle), strings.NewReader("c"))
	}
	expect(t, 200, follower, "PUT", strings.Replace(with("o", second), "=append", "=flush", 1), nil)
	if _, body := expect(t, 200, follower, "GET", object(p, "o"), nil); body != "ab" {
		t.Errorf("%q", body)
	}
}

// TestAppendThatBreaksOff: nothing of it counts, and the handle is good for
// another try.
func TestAppendThatBreaksOff(t *testing.T) {
	t.Parallel()
	c := cluster(t, 1, `{}`)
	p := c.Proxies[0]
	res, _ := expect(t, 200, follower, "PUT", object(p, "o")+"?append_type=append", strings.NewReader("first "))
	handle := res.Header.Get("Ais-Append-Handle")
	u := object(p, "o") + "?append_type=append&append_handle=" + url.QueryEscape(handle)
	res, _ = expect(t, 307, strict, "PUT", u, nil)
	location, err := res.Location()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", location.Host)
	if err != nil {
		t.Fatal(err)
	}
	request := "PUT " + location.RequestURI() + " HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + strings.Repeat("x", 300_000)
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	// While it is being sent the handle is taken.
	res, err = follower.Do(mustRequest(t, "PUT", u, ""))
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	switch res.StatusCode {
	case http.StatusConflict:
	case http.StatusOK:
		// It came before the other one and made a new handle: that one fails then.
		handle = res.Header.Get("Ais-Append-Handle")
	default:
		t.Fatal(res.Status)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, conn); err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	u = object(p, "o") + "?append_type=append&append_handle=" + url.QueryEscape(handle)
	res, _ = expect(t, 200, follower, "PUT", u, strings.NewReader("second"))
	expect(t, 200, follower, "PUT", object(p, "o")+"?append_type=flush&append_handle="+url.QueryEscape(res.Header.Get("Ais-Append-Handle")), nil)
	if _, body := expect(t, 200, follower, "GET", object(p, "o"), nil); body != "first second" {
		t.Errorf("%.100q", body)
	}
}

func mustRequest(t *testing.T, method, u, body string) *http.Request {
	t.Helper()
	req, err := http.NewRequest(method, u, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// TestAppendDoesNotSurviveAChangeOfOwners: what was appended is lost, and said
// to be.
func TestAppendDoesNotSurviveAChangeOfOwners(t *testing.T) {
	t.Parallel()
	c := cluster(t, 2, `{"durability":"none"}`)
	p := c.Proxies[0]
	name := ownedBy(t, c, "b", c.Targets[1], "o")
	res, _ := expect(t, 200, follower, "PUT", object(p, name)+"?append_type=append", strings.NewReader("x"))
	handle := url.QueryEscape(res.Header.Get("Ais-Append-Handle"))
	c.ChangeSmap(t, maintenance(c.Targets[1].Snode()))
	for _, kind := range []string{"append", "flush"} {
		res, body := expect(t, 404, follower, "PUT", object(p, name)+"?append_type="+kind+"&append_handle="+handle, strings.NewReader("y"))
		if e := message(t, res, body); !strings.Contains(e.Message, "ais://b/"+name) || !strings.Contains(e.Message, "begin again") {
			t.Errorf("%+v", e)
		}
	}
	expect(t, 404, follower, "GET", object(p, name), nil)
}
