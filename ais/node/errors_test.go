package node

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
)

func FuzzErrorBody(f *testing.F) {
	f.Add("ErrBckNotFound", `bucket "ais://b" does not exist`, "/v1/objects/b/o")
	f.Add("", "\\ \x00 \x7f \u2028 é \xff <&>", "/v1/objects/a b\n")
	n := &Node{name: "t[target001]"}
	f.Fuzz(func(t *testing.T, code, message, path string) {
		r := &http.Request{Method: "GET", URL: &url.URL{Path: path}, RemoteAddr: "10.0.0.1:1"}
		line := n.encodeError(r, &apierr.Error{Status: 404, Code: code, Message: message}, 404)
		var got wire.ErrorBody
		if err := json.Unmarshal(line, &got); err != nil {
			t.Fatalf("%v: %q", err, line)
		}
		if strings.Count(string(line), "\n") != 1 || got.Status != 404 || got.Node != "t[target001]" {
			t.Fatalf("%q", line)
		}
		valid := func(s string) string { return strings.ToValidUTF8(s, "\ufffd") }
		if utf8.ValidString(message) && got.Message != message || utf8.ValidString(path) && got.URLPath != path || utf8.ValidString(code) && got.TypeCode != code {
			t.Fatalf("%+v of %q %q %q", got, code, message, valid(path))
		}
		if (code == "") == strings.Contains(string(line), `"tcode"`) && !strings.Contains(message+path, "tcode") {
			t.Fatalf("tcode: %q", line)
		}
	})
}

func TestStatusOf(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err    error
		status int
	}{
		"typed":     {apierr.BucketExists(wire.Bck{Name: "b", Provider: "ais"}), 409},
		"too large": {&http.MaxBytesError{Limit: 1}, 413},
		"plain":     {errors.New("x"), 400},
		"no status": {&apierr.Error{Message: "x"}, 500},
	} {
		if got, _ := statusOf(tc.err); got != tc.status {
			t.Errorf("%s: %d, want %d", name, got, tc.status)
		}
	}
}
