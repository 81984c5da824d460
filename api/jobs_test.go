package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aistore-go/aistore/api"
	"github.com/aistore-go/aistore/cmn/wire"
)

// jobScript answers questions about jobs: each list is used up, its last
// answer stays. An answer is a JSON text, or "404".
type jobScript struct {
	mu      sync.Mutex
	answers map[string][]string
	asked   map[string]int
	bodies  []string
}

func scriptJobs(t *testing.T, f *fakeCluster, answers map[string][]string) *jobScript {
	s := &jobScript{answers: answers, asked: map[string]int{}}
	f.setHook(func(_ string, w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != wire.PathCluster {
			return false
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		what := r.URL.Query().Get(wire.QueryWhat)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.bodies = append(s.bodies, r.Method+" "+string(body))
		if r.Method == http.MethodPut {
			what = "put"
		}
		s.asked[what]++
		list := s.answers[what]
		if len(list) == 0 {
			fail(w, r, http.StatusInternalServerError, "", "unexpected question %q", what)
			return true
		}
		if len(list) > 1 {
			s.answers[what] = list[1:]
		}
		if list[0] == "404" {
			fail(w, r, http.StatusNotFound, wire.CodeXactNotFound, "not found")
			return true
		}
		_, _ = io.WriteString(w, list[0])
		return true
	})
	return s
}

// snapsJSON is the snapshots of one job on one target.
func snapsJSON(t *testing.T, snaps ...wire.Snap) string {
	t.Helper()
	list := []*wire.Snap{}
	for i := range snaps {
		list = append(list, &snaps[i])
	}
	data, err := json.Marshal(api.JobSnaps{"t1": list})
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestStartAndStopJob(t *testing.T) {
	f := newFakeCluster(t, "t1")
	s := scriptJobs(t, f, map[string][]string{"put": {"AbC123xyz", ""}, "running_all": {`["lru[AbC123xyz]"]`}, "status_all": {"null"}})
	c := f.client(t, nil)
	id, err := c.StartJob(t.Context(), &api.JobArgs{Kind: "lru-eviction", Bck: &wire.Bck{Name: "b"}, Force: true}, "extra")
	if err != nil || id != "AbC123xyz" {
		t.Fatalf("%q %v", id, err)
	}
	if q := f.requests()[0].query; !strings.Contains(q, "frc=true") || !strings.Contains(q, "provider=ais") {
		t.Errorf("query %q", q)
	}
	for _, part := range []string{`"action":"start"`, `"name":"extra"`, `"Kind":"lru-eviction"`, `"Force":true`, `"Buckets":null`} {
		if !strings.Contains(s.bodies[0], part) {
			t.Errorf("%s lacks %s", s.bodies[0], part)
		}
	}
	if err := c.StopJob(t.Context(), &api.JobArgs{ID: id}); err != nil || !strings.Contains(s.bodies[1], `"action":"stop"`) {
		t.Errorf("%v %s", err, s.bodies[1])
	}
	if names, err := c.RunningJobs(t.Context(), "lru"); err != nil || len(names) != 1 {
		t.Errorf("%v %v", names, err)
	}
	if all, err := c.JobStatuses(t.Context(), &api.JobArgs{}, true); err != nil || len(all) != 0 {
		t.Errorf("%v %v", all, err)
	}
}

func TestWaitJob(t *testing.T) {
	began, ended := time.Now(), time.Now().Add(time.Second)
	running, done := wire.Snap{ID: "AbC123xyz", Kind: "k", StartTime: began}, wire.Snap{ID: "AbC123xyz", Kind: "k", StartTime: began, EndTime: ended, IsIdle: true}
	idle, aborted, bad := running, done, done
	idle.IsIdle = true
	aborted.Aborted, aborted.AbortError = true, "user abort"
	bad.Error = "ais://b/x: disk full"
	const stateRuns, stateDone = `{"kind":"lru","uuid":"AbC123xyz","err":"","end_time":0,"aborted":false}`, `{"kind":"lru","uuid":"AbC123xyz","err":"","end_time":17,"aborted":false}`
	const stateAborted = `{"kind":"lru","uuid":"AbC123xyz","err":"user abort","end_time":17,"aborted":true}`
	for _, tc := range []struct {
		name    string
		args    api.JobArgs
		answers map[string][]string
		asked   map[string]int
		err     string
	}{
		{"by status", api.JobArgs{ID: "AbC123xyz", Kind: "lru-eviction"}, map[string][]string{"status": {stateRuns, stateRuns, stateDone}}, map[string]int{"status": 3}, ""},
		{"only the id", api.JobArgs{ID: "AbC123xyz"}, map[string][]string{"status": {stateRuns, stateRuns, stateDone}}, map[string]int{"status": 3}, ""},
		{"aborted", api.JobArgs{ID: "AbC123xyz", Kind: "lru"}, map[string][]string{"status": {stateRuns, stateAborted}}, map[string]int{"status": 2}, "was aborted: user abort"},
		{"unknown", api.JobArgs{ID: "AbC123xyz"}, map[string][]string{"status": {"404"}}, map[string]int{"status": 1}, "not found"},
		{"idle twice in a row", api.JobArgs{ID: "AbC123xyz", Kind: "archive"},
			map[string][]string{"qryxstats": {snapsJSON(t, idle), snapsJSON(t, idle, running), snapsJSON(t, idle), snapsJSON(t, idle, done)}}, map[string]int{"qryxstats": 4}, ""},
		{"idle kind, aborted", api.JobArgs{ID: "AbC123xyz", Kind: "archive"},
			map[string][]string{"qryxstats": {snapsJSON(t, running, aborted)}}, map[string]int{"qryxstats": 1}, "user abort"},
		{"idle kind, errors", api.JobArgs{ID: "AbC123xyz", Kind: "archive"}, map[string][]string{"qryxstats": {snapsJSON(t, bad)}}, map[string]int{"qryxstats": 2}, "finished with errors: ais://b/x"},
		{"without records", api.JobArgs{ID: "AbC123xyz", Kind: "blob-download"},
			map[string][]string{"qryxstats": {"404", snapsJSON(t, running), snapsJSON(t, done)}}, map[string]int{"qryxstats": 3}, ""},
		{"by kind", api.JobArgs{Kind: "copy-bck"},
			map[string][]string{"qryxstats": {`{"t1":[]}`, snapsJSON(t, running), `{"t1":[]}`, "404", `{"t1":[]}`}}, map[string]int{"qryxstats": 5}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFakeCluster(t, "t1")
			s := scriptJobs(t, f, tc.answers)
			args := tc.args
			err := f.client(t, nil).WaitJob(t.Context(), &args, api.WaitOptions{Timeout: 20 * time.Second, Poll: time.Millisecond, Unseen: 10 * time.Second})
			if tc.err == "" && err != nil || tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)) {
				t.Errorf("%v, want %q", err, tc.err)
			}
			for what, n := range tc.asked {
				if s.asked[what] != n {
					t.Errorf("asked %s %d times, want %d", what, s.asked[what], n)
				}
			}
		})
	}
}

func TestWaitForNothing(t *testing.T) {
	f := newFakeCluster(t, "t1")
	scriptJobs(t, f, map[string][]string{"qryxstats": {`{"t1":[]}`}, "status": {`{"kind":"lru","uuid":"AbC123xyz","end_time":0}`}})
	c := f.client(t, nil)
	if err := c.WaitJob(t.Context(), &api.JobArgs{Kind: "copy-bck"}, api.WaitOptions{Poll: time.Millisecond, Unseen: time.Millisecond}); err != nil {
		t.Errorf("no job of a kind: %v", err)
	}
	err := c.WaitJob(t.Context(), &api.JobArgs{ID: "AbC123xyz", Kind: "lru"}, api.WaitOptions{Poll: time.Millisecond, Timeout: 20 * time.Millisecond})
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "lru[AbC123xyz]") {
		t.Errorf("timeout: %v", err)
	}
	for _, args := range []api.JobArgs{{}, {Kind: "nonsense"}} {
		if err := c.WaitJob(t.Context(), &args, api.WaitOptions{}); err == nil {
			t.Errorf("%+v: no error", args)
		}
	}
}
