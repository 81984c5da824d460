package test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// errorBody is what every failed request must carry.
type errorBody struct {
	Message string `json:"message"`
	Method  string `json:"method"`
	Path    string `json:"url_path"`
	Node    string `json:"node"`
	Status  int    `json:"status"`
}

func checkError(t *testing.T, a answer, status int, contains string) {
	t.Helper()
	if a.status != status {
		t.Errorf("status %d, want %d: %s", a.status, status, a.body)
		return
	}
	var e errorBody
	if err := json.Unmarshal([]byte(a.body), &e); err != nil || !strings.HasSuffix(a.body, "}\n") {
		t.Errorf("the body is not one line of JSON: %q", a.body)
		return
	}
	if e.Status != status || e.Node == "" || e.Method == "" || !strings.Contains(e.Message, contains) {
		t.Errorf("the error does not name %q: %+v", contains, e)
	}
}

func TestBadInputIsRefusedWithTheFieldNamed(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 2)
	createBucket(t, c.nodes[0], "b", "")
	must(t, http.StatusOK, http.MethodPut, objectURL(c.nodes[0], "b", "good"), "0123456789")
	files := len(c.filesBelow(c.nodes[1])) + len(c.filesBelow(c.nodes[2]))
	create := `{"action":"create-bck","value":null}`
	url := c.nodes[0].URL()
	for _, tc := range []struct {
		name, method, path, body string
		headers                  []string
		status                   int
		contains                 string
	}{
		{"bucket name with a space", "POST", "/v1/buckets/a%20b", create, nil, 400, "bucket name is invalid: may only contain letters, numbers, dashes (-), underscores (_), and dots (.)"},
		{"bucket name with two dots", "POST", "/v1/buckets/a..b", create, nil, 400, "bucket name is invalid"},
		{"bucket name too long", "POST", "/v1/buckets/" + strings.Repeat("x", 65), create, nil, 400, "bucket name is too long: 65 > 64(max length)"},
		{"reserved bucket name", "POST", "/v1/buckets/.x", create, nil, 400, "reserved bucket name"},
		{"asterisk", "POST", "/v1/buckets/*", create, nil, 400, "bucket name is invalid"},
		{"unknown provider", "GET", "/v1/objects/b/good?provider=nfs", "", nil, 400, "nfs"},
		{"provider that is not configured", "GET", "/v1/objects/b/good?provider=aws", "", nil, 404, "AWS backend is missing"},
		{"bad namespace", "GET", "/v1/objects/b/good?namespace=%23a%2Fb", "", nil, 400, "namespace"},
		{"no object name", "PUT", "/v1/objects/b/", "x", nil, 400, ""},
		{"no object at all", "PUT", "/v1/objects/b", "x", nil, 400, "too short"},
		{"name ends in a slash", "PUT", "/v1/objects/b/dir/", "x", nil, 400, "invalid object name"},
		{"dot component", "PUT", "/v1/objects/b/a/%2E/c", "x", nil, 400, "invalid object name"},
		{"dot-dot component", "PUT", "/v1/objects/b/a/%2E%2E/%2E%2E/c", "x", nil, 400, "invalid object name"},
		{"escaped dot-dot", "GET", "/v1/objects/b/%2E%2E%2F%2E%2E%2Fetc", "", nil, 400, "invalid object name"},
		{"home prefix", "PUT", "/v1/objects/b/~/x", "x", nil, 400, "invalid object name"},
		{"NUL", "PUT", "/v1/objects/b/a%00b", "x", nil, 400, "invalid object name"},
		{"newline", "PUT", "/v1/objects/b/a%0Ab", "x", nil, 400, "invalid object name"},
		{"name too long", "PUT", "/v1/objects/b/" + strings.Repeat("x", 4097), "x", nil, 400, "4096"},
		{"malformed range", "GET", "/v1/objects/b/good", "", []string{"Range", "bytes=5-2"}, 416, ""},
		{"unknown range unit", "GET", "/v1/objects/b/good", "", []string{"Range", "potatoes=0-1"}, 416, ""},
		{"several ranges", "GET", "/v1/objects/b/good", "", []string{"Range", "bytes=1-2,4-6"}, 416, ""},
		{"range beyond the end", "GET", "/v1/objects/b/good", "", []string{"Range", "bytes=10-"}, 416, ""},
		{"wrong checksum", "PUT", "/v1/objects/b/bad", "0123456789", []string{"Ais-Checksum-Type", "md5", "Ais-Checksum-Value", "badchecksum"}, 500, "BAD DATA CHECKSUM: md5(badchecksum != 781e5e245d69b566979b86e28d23f2c7)"},
		{"unknown checksum type", "PUT", "/v1/objects/b/bad", "x", []string{"Ais-Checksum-Type", "xxhash3", "Ais-Checksum-Value", "00"}, 400, "xxhash3"},
		{"custom metadata without a value", "PUT", "/v1/objects/b/bad", "x", []string{"Ais-Custom-Md", "nonsense"}, 400, "custom metadata"},
		{"custom metadata too large", "PUT", "/v1/objects/b/bad", "x", []string{"Ais-Custom-Md", "k=" + strings.Repeat("v", 2048)}, 400, "2048"},
		{"bad escape in a query", "GET", "/v1/objects/b/good?archpath=%zz", "", nil, 400, "archpath"},
		{"unknown action", "POST", "/v1/buckets/b", `{"action":"nonsense"}`, nil, 400, `invalid action "nonsense"`},
		{"malformed JSON", "POST", "/v1/buckets/b", `{"action":`, nil, 400, "failed to unmarshal"},
		{"empty body", "POST", "/v1/buckets/b", "", nil, 400, ""},
		{"unknown property", "PATCH", "/v1/buckets/b", `{"action":"set-bprops","value":{"mirrors":{}}}`, nil, 400, `unknown property "mirrors"`},
		{"read-only property", "PATCH", "/v1/buckets/b", `{"action":"set-bprops","value":{"provider":"aws"}}`, nil, 400, `property "provider" is readonly`},
		{"checksum type out of range", "PATCH", "/v1/buckets/b", `{"action":"set-bprops","value":{"checksum":{"type":"crc64"}}}`, nil, 400, "crc64"},
		{"number that must be quoted", "PATCH", "/v1/buckets/b", `{"action":"set-bprops","value":{"access":5}}`, nil, 400, "access"},
		{"unknown durability", "POST", "/v1/buckets/c", `{"action":"create-bck","value":{"durability":"maybe"}}`, nil, 400, "durability"},
		{"existing bucket", "POST", "/v1/buckets/b", create, nil, 409, `bucket "ais://b" already exists`},
		{"missing bucket", "GET", "/v1/objects/nob/o", "", nil, 404, `bucket "ais://nob" does not exist`},
		{"missing object", "GET", "/v1/objects/b/nothing", "", nil, 404, "ais://b/nothing does not exist"},
		{"delete of a missing object", "DELETE", "/v1/objects/b/nothing", "", nil, 404, "ais://b/nothing doesn't exist"},
		{"delete with a body that is not JSON", "DELETE", "/v1/objects/b/good", "nonsense", nil, 400, ""},
		{"list flags as a number", "GET", "/v1/buckets/b", `{"action":"list","value":{"flags":1}}`, nil, 400, "flags"},
		{"negative page size", "GET", "/v1/buckets/b", `{"action":"list","value":{"pagesize":-1}}`, nil, 400, "pagesize"},
		{"unknown field of the list message", "GET", "/v1/buckets/b", `{"action":"list","value":{"pagesizes":1}}`, nil, 400, "pagesizes"},
		{"prefix with dots", "GET", "/v1/buckets/b", `{"action":"list","value":{"prefix":"../x"}}`, nil, 400, "prefix"},
		{"listing of a missing bucket", "GET", "/v1/buckets/nob", `{"action":"list","value":{}}`, nil, 404, "ais://nob"},
		{"unknown URL", "GET", "/v1/nonsense", "", nil, 400, "invalid request URI"},
		{"unknown what", "GET", "/v1/daemon?what=nonsense", "", nil, 400, "nonsense"},
		{"intra-cluster header", "GET", "/v1/daemon?what=smap", "", []string{"Ais-Caller-Id", "x"}, 403, ""},
		{"archive read", "GET", "/v1/objects/b/good?archpath=x", "", nil, 501, ""},
		{"archive select", "GET", "/v1/objects/b/good?archregx=x&archmode=prefix", "", nil, 501, ""},
		{"append of what", "PUT", "/v1/objects/b/bad?append_type=more", "x", nil, 400, "append_type"},
		{"append handle", "PUT", "/v1/objects/b/bad?append_type=append&append_handle=x%7Cy", "x", nil, 400, "invalid APPEND handle"},
		{"flush without a handle", "PUT", "/v1/objects/b/bad?append_type=flush", "", nil, 400, "append_handle"},
		{"copy to nowhere", "PUT", "/v1/objects/b/good?object_to=copy", "", nil, 400, "bucket name is missing"},
		{"copy to a missing bucket", "PUT", "/v1/objects/b/good?object_to=ais%2F%40%23%2Fnob%2Fcopy", "", nil, 404, `bucket "ais://nob" does not exist`},
		{"rename to itself", "POST", "/v1/objects/b/good", `{"action":"rename-obj","name":"good"}`, nil, 400, "to self"},
		{"rename to dots", "POST", "/v1/objects/b/good", `{"action":"rename-obj","name":"../x"}`, nil, 400, "invalid object name"},
		{"custom metadata of a number", "PATCH", "/v1/objects/b/good", `{"value":{"k":1}}`, nil, 400, "custom metadata"},
		{"transform", "GET", "/v1/objects/b/good?etl_name=t", "", nil, 501, ""},
		{"part of no upload", "PUT", "/v1/objects/b/bad?uploadId=xxxxxxxxx&partNumber=1", "x", nil, 404, "does not exist"},
		{"get-batch", "GET", "/v1/ml/moss/b", `{"in":[{"objname":"good"}]}`, nil, 501, ""},
		{"list-range delete", "DELETE", "/v1/buckets/b", `{"action":"delete-listrange","value":{"objnames":["good"],"template":1}}`, nil, 400, "template"},
		{"mirror", "PATCH", "/v1/buckets/b", `{"action":"set-bprops","value":{"mirror":{"enabled":true,"copies":33}}}`, nil, 400, "copies"},
		{"erasure coding", "POST", "/v1/buckets/c", `{"action":"create-bck","value":{"ec":{"enabled":true,"data_slices":25,"parity_slices":25}}}`, nil, 400, ""},
		{"S3", "GET", "/s3/b/good", "", nil, 501, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			headers := append([]string{"Content-Type", jsonType}, tc.headers...)
			checkError(t, call(t, tc.method, url+tc.path, tc.body, headers...), tc.status, tc.contains)
		})
	}
	if after := len(c.filesBelow(c.nodes[1])) + len(c.filesBelow(c.nodes[2])); after != files {
		t.Errorf("%d files on disk, %d before", after, files)
	}
	if names := listAll(t, c.proxies(), "b", "", 0); len(names) != 1 || names[0] != "good" {
		t.Errorf("the bucket holds %v", names)
	}
}

// TestShortBodyLeavesNothing breaks an upload off in the middle.
func TestShortBodyLeavesNothing(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 1)
	createBucket(t, c.nodes[0], "b", "")
	must(t, http.StatusOK, http.MethodPut, objectURL(c.nodes[0], "b", "o"), "old content")
	for _, half := range []bool{false, true} {
		conn, err := net.DialTimeout("tcp", strings.TrimPrefix(c.nodes[1].URL(), "http://"), 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		_, err = fmt.Fprintf(conn, "PUT /v1/objects/b/o?%s HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n%s", c.marker("b", "o"), strings.Repeat("x", 300000))
		if err != nil {
			t.Fatal(err)
		}
		if half {
			if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode < 400 {
				t.Errorf("a short body was answered with %s", resp.Status)
			}
		}
		_ = conn.Close()
	}
	c.eventually("removal of the work files", func() error {
		for _, file := range c.filesBelow(c.nodes[1]) {
			if strings.Contains(file, "/%wk/") {
				return fmt.Errorf("%s is still there", file)
			}
		}
		return nil
	})
	if got := must(t, http.StatusOK, http.MethodGet, objectURL(c.nodes[0], "b", "o"), "").body; got != "old content" {
		t.Errorf("the object holds %d other bytes", len(got))
	}
}

// TestHeadErrorsTravelInAHeader: HEAD has no body.
func TestHeadErrorsTravelInAHeader(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 1)
	createBucket(t, c.nodes[0], "b", "")
	for path, status := range map[string]int{
		"/v1/buckets/nob":                        404,
		"/v1/objects/b/nothing":                  404,
		"/v1/objects/b/nothing?props=name,cheap": 400,
	} {
		a := must(t, status, http.MethodHead, c.nodes[0].URL()+path, "")
		var e errorBody
		if err := json.Unmarshal([]byte(a.header.Get("Hdr-Error")), &e); err != nil || e.Status != status || a.body != "" {
			t.Errorf("%s: header %q, body %q", path, a.header.Get("Hdr-Error"), a.body)
		}
	}
}
