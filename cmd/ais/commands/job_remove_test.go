package commands

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/cmn/wire"
)

// TestRemoveServiceJobs: what has ended goes from the list of a service, what runs
// stays.
func TestRemoveServiceJobs(t *testing.T) {
	f := newFakeCluster(t)
	var removed []string
	f.service = func(w http.ResponseWriter, r *http.Request) bool {
		body, _ := io.ReadAll(r.Body)
		answer := ""
		switch r.Method + " " + r.URL.Path {
		case "GET " + wire.PathDownload:
			answer = `[{"id":"dnl-ended","description":"nightly one","all_dispatched":true,"scheduled_cnt":3,"finished_cnt":2,"error_cnt":1},
				{"id":"dnl-running","description":"nightly two","all_dispatched":true,"scheduled_cnt":3,"finished_cnt":2},
				{"id":"dnl-aborted","description":"other","aborted":true}]`
			if strings.Contains(string(body), "night") {
				answer = `[{"id":"dnl-ended","all_dispatched":true}]`
			}
		case "GET " + wire.PathSort:
			answer = `[{"id":"srt-ended","archived":true},{"id":"srt-aborted","aborted":true}]`
			if r.URL.Query().Get("regex") != "" {
				answer = "[]"
			}
		case "DELETE " + wire.PathDownload + "/remove":
			removed = append(removed, string(body))
		case "DELETE " + wire.PathSort:
			removed = append(removed, r.URL.RawQuery)
		default:
			return false
		}
		_, _ = io.WriteString(w, answer)
		return true
	}
	for _, tc := range []struct{ line, out, removed string }{
		{"job rm download dnl-one", "Removed download job dnl-one.", `{"id":"dnl-one"}`},
		{"job rm download --all", "Removed download job dnl-ended.\nRemoved download job dnl-aborted.", `{"id":"dnl-ended"} {"id":"dnl-aborted"}`},
		{"job rm download --regex night.*", "Removed download job dnl-ended.", `{"id":"dnl-ended"}`},
		{"job rm dsort --all", "Removed dsort job srt-ended.", "uuid=srt-ended"},
		{"job rm dsort --regex x", "No dsort jobs that have ended.", ""},
	} {
		removed = nil
		r := f.run(t, "", strings.Fields(tc.line)...)
		if got := strings.TrimSpace(r.out + r.err); r.code != 0 || got != tc.out || strings.Join(removed, " ") != tc.removed {
			t.Errorf("ais %s: exit code %d, %q, removed %q", tc.line, r.code, got, removed)
		}
	}
	removed = nil
	for line, want := range map[string]string{
		"job rm":                          "expected download or dsort",
		"job rm lru --all":                "expected download or dsort",
		"job rm download":                 "missing job",
		"job rm download a b":             "unexpected argument",
		"job rm download dnl-one --all":   "do not go with the id",
		"job rm download --all --regex x": "expected one of --all and --regex",
		"job rm download --regex (":       "is no regular expression",
	} {
		if text := f.fails(t, line); !strings.Contains(text, want) {
			t.Errorf("ais %s: %s", line, text)
		}
	}
	if len(removed) > 0 {
		t.Errorf("removed in spite of a wrong command: %q", removed)
	}
}
