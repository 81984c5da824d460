package node

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
)

func TestPathItems(t *testing.T) {
	t.Parallel()
	for path, want := range map[string][]string{
		"/":                     {},
		"":                      {},
		"/v1":                   {"v1"},
		"/v1/":                  {"v1"},
		"/v1/buckets":           {"v1", "buckets"},
		"/v1/buckets/":          {"v1", "buckets"},
		"/v1/buckets/b":         {"v1", "buckets", "b"},
		"/v1/objects/b/":        {"v1", "objects", "b"},
		"//v1/objects/b/x":      {"v1", "objects", "b", "x"},
		"/v1/objects/b/x/y":     {"v1", "objects", "b", "x/y"},
		"/v1/objects/b/x//y":    {"v1", "objects", "b", "x//y"},
		"/v1/objects/b//x":      {"v1", "objects", "b", "/x"},
		"/v1/objects/b/x/":      {"v1", "objects", "b", "x/"},
		"/v1/objects/b/a%2Fb+c": {"v1", "objects", "b", "a/b+c"},
		"/v1/objects//x":        {"v1", "objects", "", "x"},
	} {
		u, err := url.ParseRequestURI("/" + strings.TrimPrefix(path, "/"))
		if err != nil {
			t.Fatal(err)
		}
		got := PathItems(&http.Request{URL: u})
		if strings.Join(got.Items[:got.Count], "|") != strings.Join(want, "|") || got.Count != len(want) {
			t.Errorf("%q: %q, want %q", path, got.Items[:got.Count], want)
		}
	}
	short := PathItems(httptest.NewRequest("GET", "/v1/objects/b1", nil))
	if err := short.Require(4); err == nil || err.Error() != "URL 'v1/objects/b1' is too short: expected 4 items, got 3" || apierr.StatusOf(err) != 400 {
		t.Errorf("%v", err)
	}
	if err := short.Require(3); err != nil {
		t.Error(err)
	}
}

func TestReadActMsg(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, body string
		status     int // 0: decoded
	}{
		{"full", `{"action":"create-bck","name":"n","value":{"a":1}}`, 0},
		{"other case, unknown key", `{"ACTION":"create-bck","Name":"n","VALUE":{"a":1},"more":[]}`, 0},
		{"white space", " {\"action\":\"create-bck\",\"name\":\"n\",\"value\":{\"a\":1}}\n", 0},
		{"empty", "", 400},
		{"blank", " \n", 400},
		{"cut off", `{"action":"create-bck"`, 400},
		{"not an object", `[]`, 400},
		{"two values", `{} {}`, 400},
		{"wrong type", `{"action":1}`, 400},
		{"too long", `{"action":"` + strings.Repeat("x", 2000) + `"}`, 413},
	} {
		msg, err := ReadActMsg(httptest.NewRequest("POST", "/", strings.NewReader(tc.body)), 1000)
		if tc.status == 0 {
			if err != nil || msg.Action != "create-bck" || msg.Name != "n" || string(msg.Value) != `{"a":1}` {
				t.Errorf("%s: %+v, %v", tc.name, msg, err)
			}
			continue
		}
		if apierr.StatusOf(err) != tc.status || tc.status == 400 && !strings.Contains(err.Error(), "failed to unmarshal") {
			t.Errorf("%s: %v, want %d", tc.name, err, tc.status)
		}
	}
}

func TestDecodeValue(t *testing.T) {
	t.Parallel()
	type value struct {
		Copies int `json:"copies"`
	}
	for raw, want := range map[string]struct {
		copies int
		failed string
	}{
		`{"copies":2}`:        {2, ""},
		`{"COPIES":2}`:        {2, ""},
		``:                    {7, ""},
		`null`:                {7, ""},
		`{"copies":2,"no":1}`: {0, `unknown field "no"`},
		`{"copies":"2"}`:      {0, "copies"},
	} {
		v := value{7}
		err := DecodeValue([]byte(raw), &v, "properties")
		switch {
		case want.failed == "" && (err != nil || v.Copies != want.copies):
			t.Errorf("%s: %+v, %v", raw, v, err)
		case want.failed != "" && (apierr.StatusOf(err) != 400 || !strings.Contains(err.Error(), want.failed) || !strings.Contains(err.Error(), "failed to unmarshal properties")):
			t.Errorf("%s: %v", raw, err)
		}
	}
}

// TestJSONProblem: what does not fit is named as clients know it.
func TestJSONProblem(t *testing.T) {
	t.Parallel()
	for _, tc := range [][2]string{
		{`{"action":5}`, `"action": a JSON number does not fit (expecting a string)`},
		{`[]`, `a JSON array does not fit (expecting an object)`},
		{`{"action":"a","name":{}}`, `"name": a JSON object does not fit (expecting a string)`},
		{`{"action":`, `unexpected EOF`},
	} {
		_, err := DecodeActMsg([]byte(tc[0]))
		if want := "failed to unmarshal action message: " + tc[1]; err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", tc[0], err, want)
		}
	}
	var v struct {
		Deep []struct {
			Count uint16  `json:"count"`
			Share float64 `json:"share"`
			On    bool    `json:"on"`
			List  []int   `json:"list"`
		} `json:"deep"`
	}
	for _, tc := range [][2]string{
		{`{"deep":[{"count":-1}]}`, `"deep.count": a JSON number -1 does not fit (expecting an integer)`},
		{`{"deep":[{"count":1.5}]}`, `"deep.count": a JSON number 1.5 does not fit (expecting an integer)`},
		{`{"deep":[{"share":"1"}]}`, `"deep.share": a JSON string does not fit (expecting a number)`},
		{`{"deep":[{"on":1}]}`, `"deep.on": a JSON number does not fit (expecting true or false)`},
		{`{"deep":[{"list":{}}]}`, `"deep.list": a JSON object does not fit (expecting an array)`},
	} {
		if err := DecodeValue([]byte(tc[0]), &v, "it"); err == nil || err.Error() != "failed to unmarshal it: "+tc[1] {
			t.Errorf("%s: %v, want %s", tc[0], err, tc[1])
		}
	}
}

func TestReadBody(t *testing.T) {
	t.Parallel()
	cut := httptest.NewRequest("PUT", "/", strings.NewReader("short"))
	for _, length := range []int64{-1, 5} {
		cut.ContentLength = length
		body, err := ReadBody(cut, 5)
		if err != nil || string(body) != "short" {
			t.Errorf("length %d: %q %v", length, body, err)
		}
		cut = httptest.NewRequest("PUT", "/", strings.NewReader("short"))
		cut.ContentLength = length
		if _, err := ReadBody(cut, 4); apierr.StatusOf(err) != 413 {
			t.Errorf("length %d over a limit of 4: %v", length, err)
		}
		cut = httptest.NewRequest("PUT", "/", strings.NewReader("short"))
	}
	if body, err := ReadBody(httptest.NewRequest("PUT", "/", nil), 4); err != nil || len(body) != 0 {
		t.Errorf("no body: %q %v", body, err)
	}
}

func TestItemsBelow(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/v1/daemon": "", "/v1/daemon/": "", "//v1/daemon//a//b/": "a|b", "/v1/daemon/a": "a",
	} {
		r := &http.Request{URL: &url.URL{Path: path}}
		if got := strings.Join(ItemsBelow(r, wire.PathDaemon), "|"); got != want {
			t.Errorf("%q: %q, want %q", path, got, want)
		}
	}
}

func FuzzPathItems(f *testing.F) {
	for _, seed := range []string{"", "/", "//v1/objects/b//x//y", "/v1/objects/b/a%00/..", "v1", "////"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) {
		p := PathItems(&http.Request{URL: &url.URL{Path: path}})
		if p.Count < 0 || p.Count > 4 {
			t.Fatalf("%q: %d items", path, p.Count)
		}
		// what was taken apart must be the path again, but for slashes at its ends
		joined := strings.Join(p.Items[:p.Count], "/")
		trimmed := strings.TrimLeft(path, "/")
		if joined != trimmed && joined+"/" != trimmed {
			t.Fatalf("%q: %q", path, p.Items[:p.Count])
		}
		for _, item := range p.Items[:min(p.Count, 3)] {
			if strings.Contains(item, "/") {
				t.Fatalf("%q: slash in %q", path, item)
			}
		}
	})
}

func FuzzReadActMsg(f *testing.F) {
	f.Add(`{"action":"create-bck","value":{"mirror":{"copies":2}}}`)
	f.Add(`{"action":null}{`)
	f.Fuzz(func(t *testing.T, body string) {
		msg, err := ReadActMsg(httptest.NewRequest("POST", "/", strings.NewReader(body)), 1<<20)
		if (msg == nil) == (err == nil) {
			t.Fatalf("%+v, %v", msg, err)
		}
		if err != nil && apierr.StatusOf(err) != 400 {
			t.Fatalf("status of %v", err)
		}
	})
}
