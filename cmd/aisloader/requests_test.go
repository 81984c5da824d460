package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// recorder is a cluster of one server that answers anything, and remembers.
type recorder struct {
	*httptest.Server
	mu       sync.Mutex
	requests []string // "METHOD URI BODY"
	headers  []http.Header
	present  bool // the bucket is there
	fail     func(r *http.Request) bool
}

func newRecorder(t *testing.T) *recorder {
	t.Helper()
	rec := &recorder{}
	rec.Server = httptest.NewServer(rec)
	t.Cleanup(rec.Close)
	return rec
}

// ServeHTTP implements http.Handler.
func (rec *recorder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	text := string(body)
	if len(text) > 200 {
		text = fmt.Sprintf("(%d bytes)", len(text))
	}
	rec.mu.Lock()
	defer rec.mu.Unlock()
	rec.requests = append(rec.requests, r.Method+" "+r.RequestURI+" "+text)
	rec.headers = append(rec.headers, r.Header.Clone())
	answer := ""
	switch {
	case rec.fail != nil && rec.fail(r):
		w.WriteHeader(http.StatusInternalServerError)
		answer = `{"message":"the disk is on fire"}`
	case r.URL.Path == "/v1/buckets" && rec.present:
		answer = `[{"name":"b","provider":"ais","namespace":{"uuid":"","name":""}}]`
	case r.URL.Path == "/v1/buckets":
		answer = "[]"
	case r.Method == http.MethodGet && strings.HasPrefix(r.URL.Path, "/v1/buckets/"):
		answer = `{"uuid":"abc","continuation_token":"","flags":0,"entries":[{"name":"x","flags":8256},{"name":"y","flags":64}]}`
	case r.Method == http.MethodPost && strings.Contains(text, "mpt-upload"):
		answer = "upload-1"
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(answer)))
	_, _ = io.WriteString(w, answer)
}

// load runs the program against the recorder.
func (rec *recorder) load(t *testing.T, status int, args ...string) (out, message string) {
	t.Helper()
	var o, m bytes.Buffer
	got := execute(context.Background(), args, func(name string) string {
		switch name {
		case "AIS_ENDPOINT":
			return rec.URL
		case "HOME":
			return t.TempDir()
		}
		return ""
	}, &o, &m)
	if got != status {
		t.Fatalf("%v: exit status %d, want %d\n%s%s", args, got, status, o.String(), m.String())
	}
	return o.String(), m.String()
}

func (rec *recorder) saw(t *testing.T, want ...string) {
	t.Helper()
	rec.mu.Lock()
	defer rec.mu.Unlock()
	for _, w := range want {
		if !slices.ContainsFunc(rec.requests, func(got string) bool { return strings.HasPrefix(got, w) }) {
			t.Errorf("no %q in\n%s", w, strings.Join(rec.requests, "\n"))
		}
	}
}

func TestWithoutRequests(t *testing.T) {
	t.Parallel()
	rec := newRecorder(t)
	// A named bucket whose end nobody decided on is an error, not a default.
	if _, message := rec.load(t, 1, "-bucket=ais://b", "-pctput=100"); !strings.Contains(message, "-cleanup") {
		t.Error(message)
	}
	if out, _ := rec.load(t, 0, "-getloaderid", "-loaderid=5", "-loadernum=8"); out != "0x5\n" {
		t.Errorf("%q", out)
	}
	if out, _ := rec.load(t, 0, "version"); !strings.HasPrefix(out, "version 2.25.") {
		t.Errorf("%q", out)
	}
	for _, args := range [][]string{nil, {"usage"}, {"help"}} {
		if out, _ := rec.load(t, 0, args...); !strings.Contains(out, "Examples:") || !strings.Contains(out, "-pctput") {
			t.Errorf("%v: %q", args, out)
		}
	}
	rec.load(t, 2, "-uniquegets")
	if len(rec.requests) > 0 {
		t.Errorf("requests: %v", rec.requests)
	}
}

func TestRequestsOfARun(t *testing.T) {
	t.Parallel()
	rec := newRecorder(t)
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(`{"token":"secret"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	rec.load(t, 0, "-bucket=ais://b", "-cleanup=false", "-pctput=100", "-maxputs=1", "-minsize=9", "-maxsize=9", "-randomname=false",
		"-numworkers=1", "-tokenfile="+token, "-cksum-type=md5")
	rec.saw(t,
		// The name of the bucket is in the body of the GET.
		`GET /v1/buckets?presence=2&provider=ais {"action":"list","name":"b",`,
		"POST /v1/buckets/b?provider=ais {\"action\":\"create-bck\"",
		"PUT /v1/objects/b/0?provider=ais&skip_vc=true ",
	)
	for i, h := range rec.headers {
		if h.Get("Authorization") != "Bearer secret" || h.Get("User-Agent") != "aisloader" {
			t.Errorf("%s: %v", rec.requests[i], h)
		}
	}
	last := rec.headers[len(rec.headers)-1]
	if last.Get("Ais-Checksum-Type") != "md5" || len(last.Get("Ais-Checksum-Value")) != 32 {
		t.Errorf("PUT: %v", last)
	}
	if len(rec.requests) != 3 {
		t.Errorf("%d requests: %v", len(rec.requests), rec.requests)
	}
}

func TestCleanupAloneIsOneRequest(t *testing.T) {
	t.Parallel()
	rec := newRecorder(t)
	rec.load(t, 0, "-bucket=b", "-provider=ais", "-cleanup=true", "-duration=0s", "-totalputsize=0")
	if len(rec.requests) != 1 || !strings.HasPrefix(rec.requests[0], `DELETE /v1/buckets/b?provider=ais {"action":"destroy-bck"`) {
		t.Errorf("%v", rec.requests)
	}
}

func TestBucketProperties(t *testing.T) {
	t.Parallel()
	rec := newRecorder(t)
	rec.load(t, 1, "-bucket=b", "-cleanup=false", "-pctput=100", "-maxputs=1", "-maxsize=1", `-bprops={"mirror":{"enabled":true},"ec":{"enabled":true},"lru":{"enabled":true}}`)
	// The recorder's HEAD tells no properties: that ends the run.
	rec.saw(t, "HEAD /v1/buckets/b?")
}

func TestMultipart(t *testing.T) {
	t.Parallel()
	rec := newRecorder(t)
	rec.present = true
	out, _ := rec.load(t, 0, "-bucket=b", "-cleanup=false", "-pctput=100", "-maxputs=2", "-minsize=1000", "-maxsize=1000", "-randomname=false",
		"-numworkers=1", "-pctmultipart=100", "-multipart-chunks=3", "-skiplist")
	rec.saw(t,
		`POST /v1/objects/b/0?provider=ais {"action":"mpt-upload"`,
		"PUT /v1/objects/b/0?provider=ais&uploadId=upload-1&partNumber=1 (333 bytes)",
		"PUT /v1/objects/b/0?provider=ais&uploadId=upload-1&partNumber=2 (333 bytes)",
		"PUT /v1/objects/b/0?provider=ais&uploadId=upload-1&partNumber=3 (334 bytes)",
		`POST /v1/objects/b/0?provider=ais&uploadId=upload-1 {"action":"mpt-complete","name":"","value":[{"part-number":1,"etag":""},{"part-number":2,`,
	)
	// The recorder lists one chunked object.
	if !strings.Contains(out, "MPU") || !strings.Contains(out, "Warning: Expected 2 chunked objects but found 1") {
		t.Error(out)
	}
	rec.fail = func(r *http.Request) bool { return r.URL.Query().Get("partNumber") == "2" }
	_, message := rec.load(t, 1, "-bucket=b", "-cleanup=false", "-pctput=100", "-maxputs=1", "-minsize=1000", "-maxsize=1000", "-randomname=false",
		"-numworkers=1", "-pctmultipart=100", "-multipart-chunks=3", "-skiplist")
	rec.saw(t, `DELETE /v1/objects/b/0?provider=ais&uploadId=upload-1 {"action":"mpt-abort"`)
	if !strings.Contains(message, "the disk is on fire") {
		t.Error(message)
	}
}
