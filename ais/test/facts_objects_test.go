package test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aistore-go/aistore/deploy/playground"
)

// What clients of the object calls do, and how it is answered. Numbers are
// those of the list of client behaviour (21) and of known defects (22).
//
//	21.1 redirects are followed, bodies sent again   here; api: TestObjectRoundTrip, TestLargeBodyIsNotSentToTheProxy
//	21.1 which errors are retried                    api: TestRetries, TestRefusedConnection, TestBlockedStream
//	21.1 PUT without a size is chunked               here
//	21.1 text results have no newline                here
//	21.1 validating GET                              here; api: TestRangeAndValidation
//	21.1 parallel ranges                             here
//	21.1 HEAD with presence and props                here; TestCLIPage
//	21.2 the probe before an HTTPS upload            here; ais/proxy: TestAnswerGoesOutBeforeTheBody
//	21.2 the same over TLS                           TestFactsOverHTTPS
//	21.2 attributes, resume, base URL                here; python: test_head, test_range
//	21.2 multipart, append                           here; ais/target: TestMultipart; python: test_multipart
//	21.3 Expect: 100-continue                        here
//	21.4 large bodies pushed at a gateway            here; ais/proxy: TestPushedBodyGetsTheAnswer
//	21.5 texts                                       here; get-batch: 501
//	22.01 easy URL keeps nested names                here
//	22.02 unknown checksum type                      here; TestBadInputIsRefusedWithTheFieldNamed
//	22.03 archregx on zip                            here: 501
//	22.04 blob download of a cached object           here: 501
//	22.05 "Range: bytes="                            here
//	22.06 control characters                         here; TestBadInputIsRefusedWithTheFieldNamed
//	22.07 long names in HEAD                         here
//	22.08 quoted Etag                                here
//	22.09, 22.10 get-batch                           here: 501
//	22.11 evict on ais://                            here
//	22.12 promote                                    here, and TestBulkPromote
//	22.13 multipart abort                            here
//	22.14 errors of JSON name no source file         here
func TestFactsOfObjects(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2, 3)
	p := c.nodes[0]
	createBucket(t, p, "b", "")
	const content = "0123456789"
	must(t, http.StatusOK, http.MethodPut, objectURL(p, "b", "good"), content)
	good := objectURL(p, "b", "good")

	t.Run("1.01 methods", func(t *testing.T) {
		for _, tc := range []struct{ method, path, allow string }{
			{"TRACE", "/v1/objects/b/good", "DELETE, GET, HEAD, POST, PUT"},
			{"TRACE", "/v1/buckets/b", "DELETE, GET, HEAD, PATCH, POST"},
			{"PROPFIND", "/v1/objects/b/good", ""},
			{"PROPFIND", "/v1/health", ""},
		} {
			a := exchange(t, p, tc.method+" "+tc.path+" HTTP/1.1\r\nHost: x\r\n\r\n")
			if allow, present := a.header["Allow"]; a.status != 405 || a.body != "Method Not Allowed\n" || !present || allow[0] != tc.allow ||
				a.header.Get("Content-Type") != "text/plain; charset=utf-8" {
				t.Errorf("%s %s: %d %v %q", tc.method, tc.path, a.status, a.header, a.body)
			}
		}
		for path, allow := range map[string]string{"/v1/objects/b/good": "DELETE, GET, HEAD, POST, PUT", "/v1/buckets": "DELETE, GET, HEAD, PATCH, POST"} {
			if a := exchange(t, p, "OPTIONS "+path+" HTTP/1.1\r\nHost: x\r\n\r\n"); a.status != 200 || a.body != "" || a.header.Get("Allow") != allow {
				t.Errorf("OPTIONS %s: %d %v %q", path, a.status, a.header, a.body)
			}
		}
	})
	t.Run("1.01 paths of health", func(t *testing.T) {
		for _, path := range []string{"/v1/health", "/v1/health/", "//v1/health", "///v1/health?apr=true", "/favicon.ico"} {
			if a := exchange(t, p, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n"); a.status != 200 || a.body != "" {
				t.Errorf("%s: %d %q", path, a.status, a.body)
			}
		}
	})
	t.Run("1.01 conditions and encodings are ignored", func(t *testing.T) {
		a := must(t, http.StatusOK, http.MethodGet, good, "", "If-None-Match", "*", "If-Modified-Since", time.Now().UTC().Format(http.TimeFormat), "Accept-Encoding", "gzip")
		if a.body != content || a.header.Get("Content-Encoding") != "" {
			t.Errorf("%v %q", a.header, a.body)
		}
	})
	t.Run("1.05 queries", func(t *testing.T) {
		must(t, http.StatusOK, http.MethodGet, good+"?archpath=&archregx=&etl_name=&unknown=%20&x-id=%zz", "")
		checkError(t, call(t, http.MethodGet, good+"?a=1"+strings.Repeat("&b=2", 100), ""), 400, "")
		checkError(t, call(t, http.MethodGet, good+"?unknown=%zz", ""), 400, `invalid URL escape "%zz"`)
	})
	t.Run("1.06 browsers get indentation", func(t *testing.T) {
		for _, path := range []string{"/v1/daemon?what=smap", "/v1/health?cii=true", "/v1/cluster?what=smap"} {
			browser := must(t, http.StatusOK, http.MethodGet, p.URL()+path, "", "User-Agent", "Mozilla/5.0 (X11)")
			plain := must(t, http.StatusOK, http.MethodGet, p.URL()+path, "", "User-Agent", "ais/cli")
			if !strings.Contains(browser.body, "\n    \"") || browser.header.Get("Strict-Transport-Security") != "max-age=31536000; includeSubDomains" {
				t.Errorf("%s for a browser: %v %.80q", path, browser.header, browser.body)
			}
			if strings.Count(plain.body, "\n") != 1 || plain.header.Get("Strict-Transport-Security") != "" {
				t.Errorf("%s for a program: %v %.80q", path, plain.header, plain.body)
			}
		}
	})
	t.Run("1.07 redirects", func(t *testing.T) {
		for method, status := range map[string]int{"GET": 301, "HEAD": 307, "PUT": 307, "DELETE": 307} {
			a := single(t, status, method, objectURL(p, "b", "redirected")+"?provider=ais&latest-ver=false", "")
			u := location(t, a)
			q := u.Query()
			if u.Path != "/v1/objects/b/redirected" || q.Get("pid") == "" || q.Get("utm") == "" || q.Get("provider") != "ais" || q.Get("latest-ver") != "false" {
				t.Errorf("%s: Location %s", method, u)
			}
			if sent, err := strconv.ParseInt(q.Get("utm"), 36, 64); err != nil || time.Since(time.Unix(0, sent)).Abs() > time.Minute {
				t.Errorf("%s: utm %q is not now: %v", method, q.Get("utm"), err)
			}
			if _, member := c.smap(p).Pmap[q.Get("pid")]; !member {
				t.Errorf("%s: pid %q is no gateway", method, q.Get("pid"))
			}
			switch method {
			case "GET", "HEAD":
				if a.header.Get("Content-Type") != "text/html; charset=utf-8" {
					t.Errorf("%s: %v %q", method, a.header, a.body)
				}
			default:
				if a.body != "" || a.header.Get("Content-Length") != "0" {
					t.Errorf("%s: %v %q", method, a.header, a.body)
				}
			}
		}
	})
	t.Run("1.04 HEAD names are checked by the target", func(t *testing.T) {
		a := single(t, http.StatusTemporaryRedirect, http.MethodHead, objectURL(p, "b", "dir/"), "")
		single(t, http.StatusNotFound, http.MethodHead, location(t, a).String(), "")
	})
	t.Run("1.02 names come back as they were", func(t *testing.T) { namesRoundTrip(t, c) })
	t.Run("1.08 direct access to a target", func(t *testing.T) { directAccess(t, c) })
	t.Run("1.09 HEAD has no body", func(t *testing.T) {
		for path, status := range map[string]string{"/v1/objects/b/good": "307", "/v1/objects/nob/o": "404", "/v1/buckets/b": "200", "/v1/buckets/nob": "404", "/v1/health": "200"} {
			conn := dial(t, p)
			if _, err := io.WriteString(conn, "HEAD "+path+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			data, err := io.ReadAll(conn)
			if err != nil {
				t.Fatal(err)
			}
			if head, body, found := strings.Cut(string(data), "\r\n\r\n"); !found || body != "" || !strings.HasPrefix(head, "HTTP/1.1 "+status) {
				t.Errorf("%s: %q", path, data)
			}
		}
	})

	t.Run("21.1 chunked PUT through the redirect", func(t *testing.T) {
		body := strings.Repeat("chunk of text ", 100_000)
		req, err := http.NewRequest(http.MethodPut, objectURL(p, "b", "chunked"), io.NopCloser(strings.NewReader(body)))
		if err != nil {
			t.Fatal(err)
		}
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(body)), nil }
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK || resp.Header.Get("Ais-Checksum-Value") == "" {
			t.Fatalf("%s %v", resp.Status, resp.Header)
		}
		if got := must(t, http.StatusOK, http.MethodGet, objectURL(p, "b", "chunked"), "").body; got != body {
			t.Errorf("%d bytes, want %d", len(got), len(body))
		}
	})
	t.Run("21.1 text results are verbatim", func(t *testing.T) {
		for _, path := range []string{"/v1/daemon?what=software_version", "/v1/cluster?what=target_ips"} {
			a := call(t, http.MethodGet, p.URL()+path, "")
			if a.status != http.StatusOK || a.body == "" || strings.ContainsAny(a.body, "\n\"") || a.header.Get("Content-Length") != itoa(len(a.body)) {
				t.Errorf("%s: %d %v %q", path, a.status, a.header, a.body)
			}
		}
	})
	t.Run("21.1 validating GET", func(t *testing.T) {
		a := must(t, http.StatusOK, http.MethodGet, good, "")
		if a.header.Get("Ais-Checksum-Type") != "xxhash2" || len(a.header.Get("Ais-Checksum-Value")) != 16 || a.header.Get("Content-Length") != "10" {
			t.Errorf("%v", a.header)
		}
		must(t, http.StatusOK, http.MethodPut, objectURL(p, "b", "hello"), "hello world")
		if a = must(t, http.StatusOK, http.MethodGet, objectURL(p, "b", "hello"), ""); a.header.Get("Ais-Checksum-Value") != "45ab6734b21e6968" {
			t.Errorf("%v", a.header)
		}
	})
	t.Run("21.1 ranges in parallel", func(t *testing.T) {
		body := strings.Repeat("0123456789abcdef", 1<<16)
		must(t, http.StatusOK, http.MethodPut, objectURL(p, "b", "ranges"), body)
		var wg sync.WaitGroup
		for i := range 16 {
			wg.Go(func() {
				from, to := i*len(body)/16, (i+1)*len(body)/16-1
				a, err := try(client, http.MethodGet, objectURL(p, "b", "ranges"), "", "Range", fmt.Sprintf("bytes=%d-%d", from, to))
				if err != nil || a.status != 206 || a.body != body[from:to+1] || a.header.Get("Content-Length") != itoa(to-from+1) ||
					a.header.Get("Content-Range") != fmt.Sprintf("bytes %d-%d/%d", from, to, len(body)) || a.header.Get("Accept-Ranges") != "bytes" {
					t.Errorf("range %d: %v %d %v", i, err, a.status, a.header)
				}
			})
		}
		wg.Wait()
	})
	t.Run("21.1 HEAD of present objects with all properties", func(t *testing.T) {
		const all = "name,size,checksum,atime,version,last-modified,etag,copies,ec,custom,location,chunked"
		a := must(t, http.StatusOK, http.MethodHead, good+"?presence=2&props="+all, "")
		for _, name := range []string{"Ais-Name", "Content-Length", "Ais-Checksum-Value", "Ais-Atime", "Ais-Version", "Last-Modified", "Etag", "Ais-Mirror-Copies", "Ais-Mirror-Paths", "Ais-Location", "Ais-Present"} {
			if a.header.Get(name) == "" {
				t.Errorf("no %s: %v", name, a.header)
			}
		}
		for _, name := range []string{"Ais-Ec-Data", "Ais-Chunks-Count"} {
			if a.header.Get(name) != "" {
				t.Errorf("%s of an object without: %v", name, a.header)
			}
		}
		a = must(t, http.StatusOK, http.MethodHead, good+"?props=name,size,checksum,atime", "")
		if a.header.Get("Ais-Version") != "" || a.header.Get("Content-Length") != "10" || a.header.Get("Ais-Atime") == "" {
			t.Errorf("%v", a.header)
		}
		must(t, http.StatusNotFound, http.MethodHead, objectURL(p, "b", "absent")+"?presence=2", "")
	})

	t.Run("21.1 empty objects", func(t *testing.T) {
		must(t, http.StatusOK, http.MethodPut, objectURL(p, "b", "empty"), "")
		a := must(t, http.StatusOK, http.MethodGet, objectURL(p, "b", "empty"), "")
		if a.body != "" || a.header.Get("Content-Length") != "0" || a.header.Get("Ais-Checksum-Value") != "ef46db3751d8e999" {
			t.Errorf("GET: %v", a.header)
		}
		if a = must(t, http.StatusOK, http.MethodHead, objectURL(p, "b", "empty"), ""); a.header.Get("Content-Length") != "" || a.header.Get("Ais-Present") != "true" {
			t.Errorf("HEAD: %v", a.header)
		}
		if a = must(t, http.StatusOK, http.MethodHead, objectURL(p, "b", "empty")+"?props=size", ""); a.header.Get("Content-Length") != "0" {
			t.Errorf("HEAD with props: %v", a.header)
		}
		checkError(t, call(t, http.MethodGet, objectURL(p, "b", "empty"), "", "Range", "bytes=0-"), 416, "")
	})

	t.Run("21.2 a length, an empty body, Connection: close", func(t *testing.T) {
		began := time.Now()
		request := "PUT /v1/objects/b/probe HTTP/1.1\r\nHost: x\r\nContent-Length: 1073741824\r\nConnection: close\r\n\r\n"
		a := exchange(t, p, request)
		if u := location(t, a); a.status != 307 || u.Path != "/v1/objects/b/probe" {
			t.Errorf("%d %v", a.status, a.header)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("the answer took %v", took)
		}
		must(t, http.StatusNotFound, http.MethodGet, objectURL(p, "b", "probe"), "")
	})
	t.Run("21.2 attributes", func(t *testing.T) {
		a := must(t, http.StatusOK, http.MethodHead, good, "")
		if a.header.Get("Ais-Present") != "true" || a.header.Get("Content-Length") != "10" || a.header.Get("Ais-Bucket-Name") != "b" ||
			a.header.Get("Ais-Bucket-Provider") != "ais" || !strings.HasPrefix(a.header.Get("Ais-Location"), "t[") {
			t.Errorf("%v", a.header)
		}
	})
	t.Run("21.2 resume after a broken stream", func(t *testing.T) {
		if a := must(t, http.StatusPartialContent, http.MethodGet, good, "", "Range", "bytes=4-"); a.body != content[4:] || a.header.Get("Content-Range") != "bytes 4-9/10" {
			t.Errorf("%v %q", a.header, a.body)
		}
	})
	t.Run("21.2 base URL with a slash at its end", func(t *testing.T) {
		if a := must(t, http.StatusOK, http.MethodGet, p.URL()+"//v1/objects/b/good", ""); a.body != content {
			t.Errorf("%q", a.body)
		}
		must(t, http.StatusOK, http.MethodHead, p.URL()+"//v1/buckets/b", "")
	})
	t.Run("21.2 multipart and append", func(t *testing.T) {
		id := must(t, http.StatusOK, http.MethodPost, objectURL(p, "b", "parts"), `{"action":"mpt-upload"}`).body
		for i, part := range []string{"one ", "two ", "three"} {
			must(t, http.StatusOK, http.MethodPut, objectURL(p, "b", "parts")+"?uploadId="+id+"&partNumber="+strconv.Itoa(i+1), part)
		}
		must(t, http.StatusOK, http.MethodPost, objectURL(p, "b", "parts")+"?uploadId="+id,
			`{"action":"mpt-complete","value":[{"part-number":1,"etag":""},{"part-number":2,"etag":""},{"part-number":3,"etag":""}]}`)
		if a := must(t, http.StatusOK, http.MethodGet, objectURL(p, "b", "parts"), ""); a.body != "one two three" {
			t.Errorf("%q", a.body)
		}
		a := must(t, http.StatusOK, http.MethodPut, objectURL(p, "b", "appended")+"?append_type=append&append_handle=", "one ")
		for _, more := range []string{"two ", "three"} {
			a = must(t, http.StatusOK, http.MethodPut, objectURL(p, "b", "appended")+"?append_type=append&append_handle="+url.QueryEscape(a.header.Get("Ais-Append-Handle")), more)
		}
		handle := url.QueryEscape(a.header.Get("Ais-Append-Handle"))
		must(t, http.StatusNotFound, http.MethodGet, objectURL(p, "b", "appended"), "")
		a = must(t, http.StatusOK, http.MethodPut, objectURL(p, "b", "appended")+"?append_type=flush&append_handle="+handle, "ignored")
		if a.header.Get("Ais-Append-Handle") != "" || a.body != "" || a.header.Get("Ais-Checksum-Value") != "" {
			t.Errorf("%v %q", a.header, a.body)
		}
		if a = must(t, http.StatusOK, http.MethodGet, objectURL(p, "b", "appended"), ""); a.body != "one two three" || a.header.Get("Ais-Version") != "1" {
			t.Errorf("%v %q", a.header, a.body)
		}
		checkError(t, call(t, http.MethodPut, objectURL(p, "b", "appended")+"?append_type=flush&append_handle="+handle, ""), 404, "ais://b/appended")
	})

	t.Run("21.3 Expect: 100-continue gets the redirect", func(t *testing.T) {
		a := exchange(t, p, "PUT /v1/objects/b/expected HTTP/1.1\r\nHost: x\r\nContent-Length: 1048576\r\nExpect: 100-continue\r\n\r\n")
		if a.status != 307 {
			t.Fatalf("%d %v", a.status, a.header)
		}
		// The target does want the body.
		target := c.owner("b", "expected")
		conn := dial(t, target)
		request := "PUT " + location(t, a).RequestURI() + " HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
		if _, err := io.WriteString(conn, request); err != nil {
			t.Fatal(err)
		}
		interim := make([]byte, len("HTTP/1.1 100 Continue\r\n\r\n"))
		if _, err := io.ReadFull(conn, interim); err != nil || !strings.HasPrefix(string(interim), "HTTP/1.1 100 ") {
			t.Fatalf("%q %v", interim, err)
		}
		if _, err := io.WriteString(conn, "hello"); err != nil {
			t.Fatal(err)
		}
		if a := readAnswer(t, conn, request); a.status != 200 {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
	t.Run("21.4 64 MiB pushed before reading", func(t *testing.T) {
		for _, framing := range []string{"Content-Length: 67108864", "Transfer-Encoding: chunked"} {
			conn := dial(t, p)
			if err := conn.SetDeadline(time.Now().Add(stepTimeout)); err != nil {
				t.Fatal(err)
			}
			request := "PUT /v1/objects/b/pushed HTTP/1.1\r\nHost: x\r\n" + framing + "\r\n\r\n"
			block := strings.Repeat("x", mib)
			if strings.HasPrefix(framing, "T") {
				block = "100000\r\n" + block + "\r\n"
			}
			if _, err := io.WriteString(conn, request); err != nil {
				t.Fatal(err)
			}
			for i := range 64 {
				if _, err := io.WriteString(conn, block); err != nil {
					t.Fatalf("%s: the connection broke after %d MiB: %v", framing, i, err)
				}
			}
			if strings.HasPrefix(framing, "T") {
				if _, err := io.WriteString(conn, "0\r\n\r\n"); err != nil {
					t.Fatal(err)
				}
			}
			if a := readAnswer(t, conn, request); a.status != 307 || location(t, a).Path != "/v1/objects/b/pushed" {
				t.Errorf("%s: %d %v", framing, a.status, a.header)
			}
		}
	})

	t.Run("21.4 errors reach a client that pushes", func(t *testing.T) {
		for _, tc := range []struct {
			at     *playground.Node
			path   string
			status int
		}{
			{p, "/v1/objects/nob/o", 404}, {p, "/v1/objects/b/a%00b", 400}, {p, "/v1/objects/b/o?append_type=x", 400}, {p, "/v1/nonsense", 400},
			{c.owner("b", "good"), "/v1/objects/b/good", 400}, {c.owner("b", "good"), "/v1/objects/b/good?" + c.marker("b", "good") + "&object_to=o", 400},
			{c.notOwner("b", "good"), "/v1/objects/b/good?" + c.marker("b", "good"), 503},
		} {
			conn := dial(t, tc.at)
			request := "PUT " + tc.path + " HTTP/1.1\r\nHost: x\r\nContent-Length: 33554432\r\n\r\n"
			if _, err := io.WriteString(conn, request); err != nil {
				t.Fatal(err)
			}
			block := strings.Repeat("x", mib)
			for i := range 32 {
				if _, err := io.WriteString(conn, block); err != nil {
					t.Fatalf("%s at %s: the connection broke after %d MiB: %v", tc.path, tc.at.Name(), i, err)
				}
			}
			if a := readAnswer(t, conn, request); a.status != tc.status {
				t.Errorf("%s at %s: %d %s", tc.path, tc.at.Name(), a.status, a.body)
			}
		}
	})

	t.Run("21.5 texts", func(t *testing.T) {
		a := must(t, http.StatusBadRequest, http.MethodHead, good+"?props=name,nonsense", "")
		if e := a.header.Get("Hdr-Error"); !strings.Contains(e, "invalid property") || !strings.Contains(e, "nonsense") {
			t.Errorf("HEAD with an unknown property: %q", e)
		}
		checkError(t, call(t, http.MethodPost, p.URL()+"/v1/buckets/b", `{"action":"create-bck"}`), 409, "already exists")
		for _, kind := range []string{"xxhash", "xxhash2", "md5", "crc32c", "sha256", "sha512"} {
			a := call(t, http.MethodPut, objectURL(p, "b", "wrong"), content, "Ais-Checksum-Type", kind, "Ais-Checksum-Value", "badchecksum")
			checkError(t, a, 500, "BAD DATA CHECKSUM: "+kind+"(badchecksum != ")
			must(t, http.StatusNotFound, http.MethodGet, objectURL(p, "b", "wrong"), "")
		}
		id := must(t, http.StatusOK, http.MethodPost, good, `{"action":"mpt-upload"}`).body
		checkError(t, call(t, http.MethodPost, good+"?uploadId="+id, `{"action":"mpt-complete","name":"/b/good","value":[]}`), 400, "no chunks")
		checkError(t, call(t, http.MethodPut, good+"?partNumber=1&uploadId="+id, ""), 400, "invalid size (0)")
		checkError(t, call(t, http.MethodPut, good+"?partNumber=10000&uploadId="+id, "x"), 500, "exceeds the maximum allowed")
		must(t, http.StatusOK, http.MethodPut, good+"?partNumber=1&uploadId="+id, "x")
		checkError(t, call(t, http.MethodPost, good+"?uploadId="+id, `{"action":"mpt-complete","name":"/b/good","value":[]}`), 400, "partial completion")
		must(t, http.StatusOK, http.MethodDelete, good+"?uploadId="+id, `{"action":"mpt-abort","name":"/b/good"}`)
		checkError(t, call(t, http.MethodPut, good+"?object_to="+url.QueryEscape("ais/@#/nob/o"), ""), 404, `bucket "ais://nob" does not exist`)
		checkError(t, call(t, http.MethodPost, p.URL()+"/v1/buckets/b", `{"action":"prefetch-listrange","value":{"blob-num-workers":"x"}}`), 400, "blob-num-workers")
		checkError(t, call(t, http.MethodPost, p.URL()+"/v1/objects/b", `{"action":"promote","name":"/x","value":{"src":"/y"}}`), 400, "conflicting promote source")
	})

	t.Run("22.01 easy URL keeps nested names", func(t *testing.T) {
		must(t, http.StatusOK, http.MethodPut, p.URL()+"/ais/b/e1/e2/e3", "nested")
		if a := must(t, http.StatusOK, http.MethodGet, objectURL(p, "b", "e1/e2/e3"), ""); a.body != "nested" {
			t.Errorf("%q", a.body)
		}
		must(t, http.StatusNotFound, http.MethodGet, objectURL(p, "b", "e1e2/e3"), "")
		if a := must(t, http.StatusOK, http.MethodGet, p.URL()+"/ais/b", ""); !strings.Contains(a.body, `"e1/e2/e3"`) {
			t.Errorf("listing: %.300s", a.body)
		}
		must(t, http.StatusOK, http.MethodHead, p.URL()+"/ais/b/e1/e2/e3", "")
		must(t, http.StatusOK, http.MethodDelete, p.URL()+"/ais/b/e1/e2/e3", "")
		checkError(t, call(t, http.MethodPut, p.URL()+"/ais/b", "x"), 400, `missing destination object name in the "easy URL"`)
		checkError(t, call(t, http.MethodGet, c.targets()[0].URL()+"/ais/b/good", ""), 400, `trying to execute "easy URL" via AIS target? (hint: use proxy)`)
	})
	t.Run("22.02 unknown checksum type", func(t *testing.T) {
		checkError(t, call(t, http.MethodPut, objectURL(p, "b", "bad"), "x", "Ais-Checksum-Type", "cesxxh", "Ais-Checksum-Value", "00"), 400, "cesxxh")
		must(t, http.StatusNotFound, http.MethodGet, objectURL(p, "b", "bad"), "")
	})
	t.Run("22.03 archregx on zip", func(t *testing.T) {
		must(t, http.StatusOK, http.MethodPut, objectURL(p, "b", "a.zip"), "PK")
		notBuilt(t, call(t, http.MethodGet, objectURL(p, "b", "a.zip")+"?archregx=x&archmode=regexp", ""))
		must(t, http.StatusOK, http.MethodPut, objectURL(p, "b", "a.zip"), "not locked")
	})
	t.Run("22.04 blob download", func(t *testing.T) {
		notBuilt(t, call(t, http.MethodGet, good, "", "Ais-Blob-Download", "true"))
	})
	t.Run("22.05 range without a range", func(t *testing.T) {
		for _, header := range []string{"bytes=", "bytes=-0", "bytes", "bytes=0--1", "bytes=1-0", "bytes=-1-0", "bytes=--1"} {
			a := call(t, http.MethodGet, good, "", "Range", header)
			checkError(t, a, 416, "")
		}
		if a := call(t, http.MethodGet, good, "", "Range", "bytes=10-"); a.status != 416 || a.header.Get("Content-Range") != "bytes */10" {
			t.Errorf("%d %v", a.status, a.header)
		}
	})
	t.Run("22.06 control characters", func(t *testing.T) {
		for _, name := range []string{"a%0Ab", "a%00b", "a%0Db", "a%1Fb", "a%7F%01"} {
			for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
				checkError(t, call(t, method, objectURL(p, "b", name), ""), 400, "invalid object name")
			}
		}
	})
	t.Run("22.07 long names", func(t *testing.T) {
		for _, name := range []string{strings.Repeat("y", 300), strings.Repeat("long/", 700) + "x", strings.Repeat("z", 255)} {
			must(t, http.StatusOK, http.MethodPut, objectURL(p, "b", name), "x")
			a := must(t, http.StatusOK, http.MethodHead, objectURL(p, "b", name), "")
			if a.header.Get("Ais-Name") != name || len(a.header.Values("Ais-Custom-Md")) != 0 {
				t.Errorf("%.20s...: %v", name, a.header)
			}
			must(t, http.StatusOK, http.MethodDelete, objectURL(p, "b", name), "")
		}
	})
	t.Run("22.08 Etag is quoted", func(t *testing.T) {
		must(t, http.StatusOK, http.MethodPut, objectURL(p, "b", "tagged"), "x", "Ais-Custom-Md", "ETag=abc")
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			if a := must(t, http.StatusOK, method, objectURL(p, "b", "tagged"), ""); a.header.Get("Etag") != `"abc"` || a.header.Get("Ais-Custom-Md") != "ETag=abc" {
				t.Errorf("%s: %v", method, a.header)
			}
		}
	})
	t.Run("22.09 22.10 get-batch", func(t *testing.T) {
		notBuilt(t, call(t, http.MethodGet, p.URL()+"/v1/ml/moss", `{"in":[{"objname":"good","uname":"ais/@#/b/"}]}`))
		notBuilt(t, call(t, http.MethodGet, p.URL()+"/v1/ml/moss/b", `{"in":[{"objname":"nob"}],"coer":true}`))
	})
	t.Run("22.11 evict does not delete", func(t *testing.T) {
		checkError(t, call(t, http.MethodDelete, p.URL()+"/v1/buckets/b", `{"action":"evict-remote-bck"}`), 400, "expecting remote bucket (have ais://b)")
		if a := call(t, http.MethodDelete, good, `{"action":"evict-listrange","name":"/b/good"}`); a.status < 400 {
			t.Errorf("%d %s", a.status, a.body)
		}
		checkError(t, call(t, http.MethodDelete, p.URL()+"/v1/buckets/b", `{"action":"evict-listrange","value":{"objnames":["good"]}}`), 400, "expecting remote bucket (have ais://b)")
		must(t, http.StatusOK, http.MethodGet, good, "")
	})
	t.Run("22.12 promote", func(t *testing.T) {
		checkError(t, call(t, http.MethodPost, p.URL()+"/v1/objects/b", `{"action":"promote","name":"/etc/hostname"}`), 400, "invalid promote source")
	})
	t.Run("22.13 abort of an unknown upload", func(t *testing.T) {
		a := call(t, http.MethodDelete, good+"?uploadId=xxxxxxxxx", `{"action":"mpt-abort","name":"/b/good"}`)
		checkError(t, a, 404, "does not exist")
		if strings.Contains(a.body, c.Root) {
			t.Errorf("a path of the disk: %s", a.body)
		}
		must(t, http.StatusOK, http.MethodGet, good, "")
	})
	t.Run("22.14 errors name no source file", func(t *testing.T) {
		for _, body := range []string{`{"action":`, `{"action":7}`, `[1,2]`, `{"action":"create-bck","value":{"checksum":{"type":7}}}`, `nonsense`} {
			a := call(t, http.MethodPost, p.URL()+"/v1/buckets/c", body)
			checkError(t, a, 400, "failed to unmarshal")
			if strings.Contains(a.body, ".go") {
				t.Errorf("%s", a.body)
			}
		}
	})
}
