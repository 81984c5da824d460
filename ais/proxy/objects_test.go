package proxy_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/ais/aistest"
	"github.com/aistore-go/aistore/cmn/hrw"
	"github.com/aistore-go/aistore/cmn/wire"
)

// errorBody checks the JSON error of an answer and returns it.
func errorBody(t *testing.T, res *http.Response, body string) wire.ErrorBody {
	t.Helper()
	if res.Request.Method == http.MethodHead {
		if body != "" {
			t.Errorf("answer to HEAD has a body %q", body)
		}
		body = res.Header.Get("Hdr-Error")
	}
	var e wire.ErrorBody
	if err := json.Unmarshal([]byte(body), &e); err != nil {
		t.Fatalf("error body %q: %v", body, err)
	}
	if e.Status != res.StatusCode {
		t.Errorf("error body says %d, the answer %d", e.Status, res.StatusCode)
	}
	return e
}

func TestRedirect(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{Proxies: 2, Targets: 3})
	createBucket(t, c, "b1")
	bck := wire.Bck{Name: "b1", Provider: wire.ProviderAIS}
	for method, status := range map[string]int{
		http.MethodGet: 301, http.MethodHead: 307, http.MethodPut: 307, http.MethodDelete: 307,
	} {
		for _, name := range []string{"o", "a/b/c", "x//y", "/x", "a b", "100%", "a?b#c", "a+b", "привет", "a..b", "..."} {
			escaped := (&url.URL{Path: name}).EscapedPath()
			u := c.Proxies[1].URL() + "/v1/objects/b1/" + strings.ReplaceAll(escaped, "+", "%2B") + "?provider=ais&x=%41+b"
			res, body := expect(t, status, strict, method, u, "")
			loc, err := res.Location()
			if err != nil {
				t.Fatal(err)
			}
			view := c.Metadata.View()
			owner, err := view.Smap.Owner(hrw.Digest(bck.Uname(name)))
			if err != nil {
				t.Fatal(err)
			}
			if loc.Scheme+"://"+loc.Host != owner.Public.URL || loc.Path != "/v1/objects/b1/"+name {
				t.Errorf("%s %q leads to %s, the owner is %s", method, name, loc, owner.Public.URL)
			}
			if !strings.HasPrefix(loc.RawQuery, "provider=ais&x=%41+b&pid=proxy-002&utm=") || loc.Query().Get("vpams") != "1" {
				t.Errorf("%s %q: query is %q", method, name, loc.RawQuery)
			}
			if len(body) > 512 || method != http.MethodHead && res.ContentLength != int64(len(body)) {
				t.Errorf("%s: body of %d bytes, length %d", method, len(body), res.ContentLength)
			}
		}
	}
}

func TestBadObjectRequests(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{Targets: 2})
	createBucket(t, c, "b1")
	createBucket(t, c, "ro", `{"access":"1795"}`) // read-only and PATCH
	base := c.Proxies[0].URL()
	long := strings.Repeat("n", 4097)
	for _, tc := range []struct {
		name, method, path, body, header string
		status                           int
		code, text                       string
	}{
		{"no bucket", "GET", "/v1/objects", "", "", 400, "", "is too short: expected 4 items, got 2"},
		{"no object", "GET", "/v1/objects/b1", "", "", 400, "", "URL 'v1/objects/b1' is too short: expected 4 items, got 3"},
		{"no object, slash", "PUT", "/v1/objects/b1/", "", "", 400, "", "too short"},
		{"trailing slash", "PUT", "/v1/objects/b1/abc/", "", "", 400, "errInvalidPath", `invalid object name "abc/"`},
		{"dots", "GET", "/v1/objects/b1/a%2F..%2Fb", "", "", 400, "errInvalidPath", "invalid object name"},
		{"dots in HEAD cannot be redirected", "HEAD", "/v1/objects/b1/a%2F..%2Fb", "", "", 400, "errInvalidPath", "invalid object name"},
		{"dot", "DELETE", "/v1/objects/b1/a/%2E/b", "", "", 400, "errInvalidPath", "invalid object name"},
		{"home", "PUT", "/v1/objects/b1/~/x", "", "", 400, "errInvalidPath", "invalid object name"},
		{"NUL", "PUT", "/v1/objects/b1/a%00b", "", "", 400, "errInvalidPath", "invalid object name"},
		{"newline", "PUT", "/v1/objects/b1/a%0Ab", "", "", 400, "errInvalidPath", "invalid object name"},
		{"too long", "PUT", "/v1/objects/b1/" + long, "", "", 400, "errInvalidPath", "invalid object name"},
		{"trailing slash in HEAD is the target's", "HEAD", "/v1/objects/b1/abc/", "", "", 404, "ErrNotFound", "does not exist"},
		{"bucket name", "GET", "/v1/objects/b$1/o", "", "", 400, "", "bucket name is invalid: may only contain letters, numbers, dashes (-), underscores (_), and dots (.)"},
		{"bucket name too long", "GET", "/v1/objects/" + long[:65] + "/o", "", "", 400, "", "bucket name is too long: 65 > 64(max length)"},
		{"reserved bucket", "GET", "/v1/objects/.x/o", "", "", 400, "", "reserved bucket name"},
		{"provider", "GET", "/v1/objects/b1/o?provider=ftp", "", "", 400, "ErrInvalidBackendProvider", ""},
		{"query escape", "GET", "/v1/objects/b1/o?archpath=%zz", "", "", 400, "", `invalid URL escape "%zz"`},
		{"no such bucket", "GET", "/v1/objects/nob/o", "", "", 404, "ErrBckNotFound", `bucket "ais://nob" does not exist`},
		{"no such bucket, HEAD", "HEAD", "/v1/objects/nob/o", "", "", 404, "ErrBckNotFound", `bucket "ais://nob" does not exist`},
		{"other namespace", "PUT", "/v1/objects/b1/o?namespace=%40%23ns1", "", "", 404, "ErrBckNotFound", `bucket "ais://#ns1/b1" does not exist`},
		{"remote cluster", "GET", "/v1/objects/b1/o?namespace=abc", "", "", 404, "ErrRemoteBckNotFound", `remote bucket "ais://@abc/b1" does not exist`},
		{"cloud without backend", "GET", "/v1/objects/b1/o?provider=s3", "", "", 404, "ErrFailedTo", "AWS backend is missing in the cluster configuration"},
		{"no such object", "GET", "/v1/objects/b1/nope", "", "", 404, "ErrNotFound", "ais://b1/nope does not exist"},
		{"delete of nothing", "DELETE", "/v1/objects/b1/nope", "", "", 404, "", "ais://b1/nope doesn't exist"},
		{"access PUT", "PUT", "/v1/objects/ro/o", "x", "", 403, "ErrBucketAccessDenied", "bucket ais://ro: PUT access denied (allowed: [GET,HEAD-OBJECT,"},
		{"access DELETE", "DELETE", "/v1/objects/ro/o", "", "", 403, "ErrBucketAccessDenied", "DELETE-OBJECT access denied"},
		{"access GET is always there", "GET", "/v1/objects/ro/o", "", "", 404, "ErrNotFound", ""},

		{"archpath", "GET", "/v1/objects/b1/o.tar?archpath=x", "", "", 501, "ErrNotImpl", "archive"},
		{"archregx", "GET", "/v1/objects/b1/o.tar?archregx=x&archmode=prefix", "", "", 501, "ErrNotImpl", "archive"},
		{"empty archive parameters are absent", "GET", "/v1/objects/b1/nope?archpath=&archregx=&etl_name=", "", "", 404, "ErrNotFound", ""},
		{"etl", "GET", "/v1/objects/b1/o?etl_name=x", "", "", 501, "ErrUnsupp", "without ETL support"},
		{"blob download", "GET", "/v1/objects/b1/o", "", "Ais-Blob-Download: true", 501, "ErrNotImpl", "blob"},
		{"archive write", "PUT", "/v1/objects/b1/o.tar?archpath=x", "x", "", 501, "ErrNotImpl", "archive"},
		{"append of what", "PUT", "/v1/objects/b1/o?append_type=more", "x", "", 400, "", `invalid query parameter append_type="more": expecting "append" or "flush"`},
		{"append handle", "PUT", "/v1/objects/b1/o?append_type=append&append_handle=nonsense", "x", "", 400, "", `invalid APPEND handle: "nonsense"`},
		{"append handle of no node", "PUT", "/v1/objects/b1/o?append_type=append&append_handle=nobody01%7Cw%7Cxxhash2%7CAAAA", "x", "", 400, "errNodeNotFound", `node "nobody01" is not in the cluster map`},
		{"handle without append_type", "PUT", "/v1/objects/b1/o?append_handle=t1%7Cw%7Cxxhash2%7CAAAA", "x", "", 400, "", `needs append_type: "append" or "flush"`},
		{"flush without a handle", "PUT", "/v1/objects/b1/o?append_type=flush", "", "", 400, "", "query parameter append_handle is missing"},
		{"append access", "PUT", "/v1/objects/ro/o?append_type=append", "x", "", 403, "ErrBucketAccessDenied", "bucket ais://ro: APPEND access denied (allowed: ["},
		{"copy to what", "PUT", "/v1/objects/b1/o?object_to=b2", "", "", 400, "", "bucket name is missing"},
		{"copy to a bucket", "PUT", "/v1/objects/b1/o?object_to=ais/@%23/b1/", "", "", 400, "", `parse-uname "ais/@#/b1/": missing object name in "ais://b1"`},
		{"copy to a missing bucket", "PUT", "/v1/objects/b1/o?object_to=ais/@%23/b2/o", "", "", 404, "ErrBckNotFound", `bucket "ais://b2" does not exist`},
		{"copy of nothing", "PUT", "/v1/objects/b1/o?object_to=ais/@%23/b1/p", "", "", 404, "ErrNotFound", "ais://b1/o does not exist"},
		{"copy of nothing onto itself", "PUT", "/v1/objects/b1/o?object_to=ais/@%23/b1/o", "", "", 404, "ErrNotFound", "ais://b1/o does not exist"},
		{"copy access", "PUT", "/v1/objects/ro/o?object_to=ais/@%23/b1/p", "", "", 403, "ErrBucketAccessDenied", "PUT access denied"},
		{"transform", "PUT", "/v1/objects/b1/o?object_to=ais/@%23/b1/p&etl_name=x", "", "", 501, "ErrUnsupp", "without ETL support"},
		{"part of an unknown upload", "PUT", "/v1/objects/b1/o?uploadId=x&partNumber=1", "x", "", 404, "ErrNotFound", "does not exist"},
		{"part without an upload", "PUT", "/v1/objects/b1/o?partNumber=1", "x", "", 400, "", "uploadId"},
		{"part: access", "PUT", "/v1/objects/ro/o?uploadId=x&partNumber=1", "x", "", 403, "ErrBucketAccessDenied", "PUT access denied"},
		{"upload: access", "POST", "/v1/objects/ro/o", `{"action":"mpt-upload"}`, "", 403, "ErrBucketAccessDenied", "access denied"},
		{"complete: access", "POST", "/v1/objects/ro/o?uploadId=x", `{"action":"mpt-complete"}`, "", 403, "ErrBucketAccessDenied", "access denied"},
		{"abort: access", "DELETE", "/v1/objects/ro/o?uploadId=xxxxxxxx", `{"action":"mpt-abort"}`, "", 403, "ErrBucketAccessDenied", "DELETE-OBJECT access denied"},
		{"abort without an action", "DELETE", "/v1/objects/b1/o?uploadId=xxxxxxxx", "", "", 400, "", `needs the action "mpt-abort"`},
		{"abort with a short id", "DELETE", "/v1/objects/b1/o?uploadId=xxxxxxx", `{"action":"mpt-abort"}`, "", 400, "", "uploadId"},
		{"abort by POST", "POST", "/v1/objects/b1/o?uploadId=xxxxxxxx", `{"action":"mpt-abort"}`, "", 400, "", `invalid action "mpt-abort"`},
		{"complete of an unknown upload", "POST", "/v1/objects/b1/o?uploadId=xxxxxxxxxxxx", `{"action":"mpt-complete","value":[{"part-number":1}]}`, "", 404, "ErrNotFound", "does not exist"},
		{"complete without an upload", "POST", "/v1/objects/b1/o", `{"action":"mpt-complete","value":[]}`, "", 400, "", "uploadId is missing"},
		{"complete with no list", "POST", "/v1/objects/b1/o?uploadId=xxxxxxxxxxxx", `{"action":"mpt-complete","value":{"a":1}}`, "", 400, "", "failed to unmarshal"},
		{"custom metadata of nothing", "PATCH", "/v1/objects/b1/o", `{"value":{"a":"b"}}`, "", 404, "ErrNotFound", "ais://b1/o does not exist"},
		{"custom metadata: no body", "PATCH", "/v1/objects/b1/o", "", "", 400, "", "failed to unmarshal"},
		{"custom metadata: a number", "PATCH", "/v1/objects/b1/o", `{"value":{"a":1}}`, "", 400, "", "custom metadata: failed to unmarshal"},
		{"custom metadata: null", "PATCH", "/v1/objects/b1/o", `{"value":{"a":null}}`, "", 400, "", `custom metadata: the value of key "a" is null`},
		{"custom metadata: empty key", "PATCH", "/v1/objects/b1/o", `{"value":{"":"x"}}`, "", 400, "", "custom metadata: empty key"},
		{"custom metadata: forbidden byte", "PATCH", "/v1/objects/b1/o", `{"value":{"k":"\u0001"}}`, "", 400, "", "control bytes"},
		{"custom metadata: too large", "PATCH", "/v1/objects/b1/o", `{"value":{"k":"` + long[:2048] + `"}}`, "", 400, "", "custom metadata: total size 2049 exceeds max 2048 bytes"},
		{"custom metadata: access", "PATCH", "/v1/objects/ro/o", `{"value":{"a":"b"}}`, "", 403, "ErrBucketAccessDenied", "UPDATE-OBJECT access denied"},
		{"promote", "POST", "/v1/objects/b1", `{"action":"promote"}`, "", 400, "", "invalid promote source"},
		{"rename of nothing", "POST", "/v1/objects/b1/o", `{"action":"rename-obj","name":"p"}`, "", 404, "ErrNotFound", "ais://b1/o does not exist"},
		{"rename to itself", "POST", "/v1/objects/b1/o", `{"action":"rename-obj","name":"o"}`, "", 400, "", "cannot rename ais://b1/o to self, nothing to do"},
		{"rename without a name", "POST", "/v1/objects/b1/o", `{"action":"rename-obj"}`, "", 400, "errInvalidPath", "invalid object name"},
		{"rename to a bad name", "POST", "/v1/objects/b1/o", `{"action":"rename-obj","name":"a/../b"}`, "", 400, "errInvalidPath", "invalid object name"},
		{"rename access", "POST", "/v1/objects/ro/o", `{"action":"rename-obj","name":"p"}`, "", 403, "ErrBucketAccessDenied", "MOVE-OBJECT access denied"},
		{"check-lock in a missing bucket", "POST", "/v1/objects/nob/o", `{"action":"check-lock"}`, "", 404, "ErrBckNotFound", `bucket "ais://nob" does not exist`},
		{"rename of nothing by an easy URL", "POST", "/ais/b1/o", `{"action":"rename-obj","name":"p"}`, "", 404, "ErrNotFound", "ais://b1/o does not exist"},
		{"unknown action by an easy URL", "POST", "/ais/b1/o", `{"action":"dance"}`, "", 400, "", `invalid action "dance"`},
		{"no body, by an easy URL", "POST", "/ais/b1/o", "", "", 400, "", "failed to unmarshal"},
		{"custom metadata by an easy URL", "PATCH", "/ais/b1/o", `{"value":{"a":"b"}}`, "", 404, "ErrNotFound", "ais://b1/o does not exist"},
		{"POST by an easy URL, no backend", "POST", "/gs/b1/o", `{"action":"check-lock"}`, "", 404, "ErrFailedTo", "GCP backend is missing"},
		{"blob download from a threshold on", "GET", "/v1/objects/b1/o", "", "Ais-Blob-Threshold: 1000", 501, "ErrNotImpl", "blob"},
		{"a threshold of 0 is none", "GET", "/v1/objects/b1/nope", "", "Ais-Blob-Threshold: 0", 404, "ErrNotFound", ""},
		{"unknown action", "POST", "/v1/objects/b1/o", `{"action":"dance"}`, "", 400, "", `invalid action "dance"`},
		{"no JSON", "POST", "/v1/objects/b1/o", `{`, "", 400, "", "failed to unmarshal"},
		{"no body", "POST", "/v1/objects/b1/o", "", "", 400, "", "failed to unmarshal"},
		{"get-batch", "GET", "/v1/ml/moss", "{}", "", 501, "ErrNotImpl", "get-batch"},
		{"download", "POST", "/v1/download", "{}", "", 501, "ErrNotImpl", "download"},
		{"etl list", "GET", "/v1/etl", "", "", 501, "ErrUnsupp", "cannot use ETL in a build without ETL support - operation not supported"},
		{"S3", "GET", "/s3/b1/o", "", "", 501, "ErrNotImpl", "S3"},
		{"S3 PUT", "PUT", "/s3/b1/o", "x", "", 501, "ErrNotImpl", "S3"},
		{"unknown path", "GET", "/v1/nothing", "", "", 400, "", "invalid request URI"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var headers []string
			if tc.header != "" {
				headers = append(headers, tc.header)
			}
			res, body := expect(t, tc.status, follower, tc.method, base+tc.path, tc.body, headers...)
			e := errorBody(t, res, body)
			if e.TypeCode != tc.code || !strings.Contains(e.Message, tc.text) {
				t.Errorf("%q %q, want %q and %q in the message", e.TypeCode, e.Message, tc.code, tc.text)
			}
		})
	}
	t.Cleanup(func() { assertNoObjects(t, c) })
}

// assertNoObjects: refused requests leave nothing on any disk.
func assertNoObjects(t *testing.T, c *aistest.Cluster) {
	t.Helper()
	for _, target := range c.Targets {
		for _, root := range target.Paths {
			for _, content := range []string{"%ob", "%wk", "%ox", "%md"} {
				dir := filepath.Join(root, "@ais", "b1", content)
				err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
					if err == nil && !d.IsDir() {
						t.Errorf("left on disk: %s", path)
					}
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		}
	}
}

func TestMethods(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{})
	base := c.Proxies[0].URL()
	for _, tc := range []struct{ method, path, allow string }{
		{"OPTIONS", "/v1/objects/b/o", "DELETE, GET, HEAD, POST, PUT"},
		{"OPTIONS", "/v1/buckets/b", "DELETE, GET, HEAD, PATCH, POST"},
	} {
		res, body := expect(t, 200, strict, tc.method, base+tc.path, "")
		if res.Header.Get("Allow") != tc.allow || body != "" {
			t.Errorf("%s %s: Allow %q, body %q", tc.method, tc.path, res.Header.Get("Allow"), body)
		}
		res, body = expect(t, 405, strict, "TRACE", base+tc.path, "")
		if res.Header.Get("Allow") != tc.allow || body != "Method Not Allowed\n" || res.Header.Get("Content-Type") != wire.ContentTextUTF8 {
			t.Errorf("TRACE %s: %v %q", tc.path, res.Header, body)
		}
	}
	if res, _ := expect(t, 405, strict, "PROPFIND", base+"/v1/objects/b/o", ""); res.Header.Get("Allow") != "" {
		t.Errorf("PROPFIND: Allow %q", res.Header.Get("Allow"))
	}
}

func TestNoTargets(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{Targets: -1})
	createBucket(t, c, "b")
	for method, status := range map[string]int{"GET": 400, "PUT": 400, "DELETE": 400, "POST": 400, "HEAD": 500, "PATCH": 500} {
		body := ""
		if method == "POST" || method == "PATCH" {
			body = `{"action":"check-lock"}`
		}
		res, body := expect(t, status, strict, method, c.Proxies[0].URL()+"/v1/objects/b/o", body)
		if e := errorBody(t, res, body); e.TypeCode != "ErrNoNodes" {
			t.Errorf("%s: %+v", method, e)
		}
	}
}

func TestOwnerDown(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{})
	createBucket(t, c, "b")
	expect(t, 200, follower, "PUT", c.Proxies[0].URL()+"/v1/objects/b/o", "x")
	c.Metadata.SetDown("target-001", true)
	for _, method := range []string{"GET", "PUT", "HEAD", "DELETE"} {
		res, _ := expect(t, 503, strict, method, c.Proxies[0].URL()+"/v1/objects/b/o", "")
		if res.Header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", method)
		}
	}
	c.Metadata.SetDown("target-001", false)
	expect(t, 200, follower, "GET", c.Proxies[0].URL()+"/v1/objects/b/o", "")
}

// TestGatewayThatLags: a bucket that was created through another gateway is
// found, although this one has not heard of it.
func TestGatewayThatLags(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{Proxies: 2, Targets: 2})
	lag := func() {
		t.Helper()
		for _, id := range []string{"proxy-002", "target-001", "target-002"} {
			if err := c.Metadata.SetLagging(id, true); err != nil {
				t.Fatal(err)
			}
		}
	}
	lag()
	expect(t, 200, follower, "POST", c.Proxies[0].URL()+"/v1/buckets/b", `{"action":"create-bck"}`)
	expect(t, 200, follower, "PUT", c.Proxies[1].URL()+"/v1/objects/b/o", "x")
	expect(t, 200, follower, "DELETE", c.Proxies[0].URL()+"/v1/buckets/b", `{"action":"destroy-bck"}`)
	lag()
	expect(t, 404, follower, "HEAD", c.Proxies[1].URL()+"/v1/buckets/b", "")
}

func TestEasyURL(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{Targets: 2})
	base := c.Proxies[0].URL()
	createBucket(t, c, "b")
	expect(t, 200, follower, "PUT", base+"/ais/b/e1/e2//e%203", "easy")
	for _, path := range []string{"/ais/b/e1/e2//e%203", "/v1/objects/b/e1/e2//e%203", "//ais/b/e1/e2//e%203?x=1", "/gs/b/e1/e2//e%203?provider=ais"} {
		if _, body := expect(t, 200, follower, "GET", base+path, ""); body != "easy" {
			t.Errorf("%s: %q", path, body)
		}
	}
	if _, body := expect(t, 200, follower, "GET", base+"/ais/b", ""); !strings.Contains(body, `"e1/e2//e 3"`) {
		t.Errorf("listing: %s", body)
	}
	for _, path := range []string{"/ais", "/ais/"} {
		if _, body := expect(t, 200, follower, "GET", base+path, ""); body != `[{"name":"b","provider":"ais","namespace":{"uuid":"","name":""}}]`+"\n" {
			t.Errorf("%s: %s", path, body)
		}
	}
	expect(t, 200, follower, "HEAD", base+"/ais/b/e1/e2//e%203", "")
	expect(t, 200, follower, "POST", base+"/ais/b/e1/e2//e%203", `{"action":"check-lock"}`)
	expect(t, 200, follower, "PATCH", base+"/ais/b/e1/e2//e%203", `{"value":{"k":"v"}}`)
	expect(t, 200, follower, "POST", base+"/ais/b/e1/e2//e%203", `{"action":"rename-obj","name":"new"}`)
	_, id := expect(t, 200, follower, "POST", base+"/ais/b/e1/e2//e%203", `{"action":"mpt-upload"}`)
	expect(t, 200, follower, "PUT", base+"/ais/b/e1/e2//e%203?partNumber=1&uploadId="+id, "part")
	expect(t, 200, follower, "POST", base+"/ais/b/e1/e2//e%203?uploadId="+id, `{"action":"mpt-complete","value":[{"part-number":1}]}`)
	if res, body := expect(t, 200, follower, "GET", base+"/ais/b/new", ""); body != "easy" || res.Header.Get("Ais-Custom-Md") != "k=v" {
		t.Errorf("after a rename: %q %v", body, res.Header)
	}
	expect(t, 200, follower, "DELETE", base+"/ais/b/new", "")
	expect(t, 200, follower, "DELETE", base+"/ais/b/e1/e2//e%203", "")
	res, body := expect(t, 400, follower, "PUT", base+"/ais/b", "x")
	if e := errorBody(t, res, body); e.Message != `missing destination object name in the "easy URL"` {
		t.Error(e.Message)
	}
	res, body = expect(t, 404, follower, "GET", base+"/gs/b/o", "")
	if e := errorBody(t, res, body); !strings.Contains(e.Message, "GCP backend is missing in the cluster configuration") {
		t.Error(e.Message)
	}
	res, body = expect(t, 400, follower, "GET", base+"/az", "")
	if e := errorBody(t, res, body); e.TypeCode != "ErrMissingBackend" {
		t.Error(e)
	}
	res, body = expect(t, 400, follower, "GET", c.Targets[0].URL()+"/ais/b/o", "")
	if e := errorBody(t, res, body); !strings.Contains(e.Message, `trying to execute "easy URL" via AIS target? (hint: use proxy)`) {
		t.Error(e)
	}
}

func TestPagesForBrowsersAreIndented(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{})
	createBucket(t, c, "b")
	res, body := expect(t, 200, follower, "GET", c.Proxies[0].URL()+"/ais", "", "User-Agent: Mozilla/5.0 (X11)")
	if !strings.Contains(body, "\n    {\n        \"name\": \"b\"") || res.Header.Get("Strict-Transport-Security") == "" {
		t.Errorf("%v %s", res.Header, body)
	}
}
