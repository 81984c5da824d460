package node

import (
	"math"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestWriteJSON(t *testing.T) {
	t.Parallel()
	value := map[string]any{"name": "<a&b>", "list": []int{1, 2}}
	for _, tc := range []struct {
		agent, body, hsts string
	}{
		{"", "{\"list\":[1,2],\"name\":\"<a&b>\"}\n", ""},
		{"ais/cli", "{\"list\":[1,2],\"name\":\"<a&b>\"}\n", ""},
		{"Mozilla/5.0 (X11)", "{\n    \"list\": [\n        1,\n        2\n    ],\n    \"name\": \"<a&b>\"\n}\n", "max-age=31536000; includeSubDomains"},
	} {
		for _, raw := range []bool{false, true} {
			r, w := httptest.NewRequest("GET", "/", nil), httptest.NewRecorder()
			r.Header.Set("User-Agent", tc.agent)
			var err error
			if raw {
				err = WriteRawJSON(w, r, []byte(`{"list":[1,2],"name":"<a&b>"}`))
			} else {
				err = WriteJSON(w, r, value)
			}
			if err != nil || w.Body.String() != tc.body || w.Header().Get("Strict-Transport-Security") != tc.hsts {
				t.Errorf("%q raw=%v: %v %q %v", tc.agent, raw, err, w.Body, w.Header())
			}
			if w.Header().Get("Content-Type") != "application/json; charset=utf-8" || w.Result().ContentLength != int64(len(tc.body)) {
				t.Errorf("%q: %v", tc.agent, w.Header())
			}
		}
	}
	w := httptest.NewRecorder()
	if err := WriteJSON(w, httptest.NewRequest("GET", "/", nil), math.NaN()); err == nil || w.Body.Len() > 0 || len(w.Header()) > 0 {
		t.Errorf("a value without JSON: %v, %q %v", err, w.Body, w.Header())
	}
}

func TestWriteJSONDoesNotMixAnswers(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 4<<20)
	for _, v := range []string{long, "short", long, "short"} {
		w := httptest.NewRecorder()
		if err := WriteJSON(w, httptest.NewRequest("GET", "/", nil), v); err != nil || w.Body.String() != `"`+v+"\"\n" {
			t.Fatalf("%v, %d bytes", err, w.Body.Len())
		}
	}
}

func TestHeadOfAnAnswer(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	if err := WriteText(w, httptest.NewRequest("HEAD", "/", nil), "abc"); err != nil || w.Body.Len() != 0 || w.Header().Get("Content-Length") != "3" {
		t.Errorf("%v %q %v", err, w.Body, w.Header())
	}
}
