package jobs_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aistore-go/aistore/ais/aistest"
	"github.com/aistore-go/aistore/ais/jobs"
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/cmn/feature"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/xact"
	"github.com/aistore-go/aistore/xact/xacttest"
)

// testJob waits until it is let go, if it is asked to, counts, and ends.
type testJob struct {
	gate chan struct{} // nil: it ends at once
	fail error
}

func (j *testJob) Run(ctx context.Context, x *xact.Xaction) error {
	x.AddObjects(1, 10)
	if j.gate != nil {
		select {
		case <-j.gate:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return j.fail
}

// kinds are jobs of several kinds; gate holds those of the kinds in held.
func kinds(gate chan struct{}, held ...string) (all []xact.Registration) {
	for _, k := range xact.Kinds() {
		job := &testJob{}
		for _, kind := range held {
			if kind == k.Name {
				job.gate = gate
			}
		}
		reg := xact.Registration{Kind: k.Name, New: func(*xact.Env, *xact.Spec) (xact.Job, error) { return job, nil }}
		if k.Idle {
			reg.New = func(*xact.Env, *xact.Spec) (xact.Job, error) { return idleJob{}, nil }
		}
		all = append(all, reg)
	}
	return all
}

// idleJob takes requests and has nothing to do.
type idleJob struct{}

func (idleJob) Run(ctx context.Context, x *xact.Xaction) error { return x.UntilIdle(ctx) }

func (idleJob) Extend(context.Context, *xact.Spec) error { return nil }

// call makes a call and returns status and body.
func call(t *testing.T, method, url, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(bytes.TrimSpace(data))
}

// client is one who uses jobs through one proxy.
type client struct {
	t   *testing.T
	url string
}

func clientOf(t *testing.T, n *aistest.Node) client { return client{t, n.URL() + "/v1/cluster"} }

func (c client) start(value string) (int, string) {
	return call(c.t, "PUT", c.url, `{"action":"start","value":`+value+`}`)
}

func (c client) mustStart(value string) string {
	c.t.Helper()
	status, id := c.start(value)
	if status != 200 || len(id) < 2 || strings.ContainsAny(id, "\"\n{") {
		c.t.Fatalf("start %s: %d %s", value, status, id)
	}
	return id
}

func (c client) stop(value string) {
	c.t.Helper()
	if status, body := call(c.t, "PUT", c.url, `{"action":"stop","value":`+value+`}`); status != 200 || body != "" {
		c.t.Fatalf("stop %s: %d %s", value, status, body)
	}
}

func (c client) ask(what, body string) (int, string) {
	return call(c.t, "GET", c.url+"?what="+what, body)
}

func (c client) status(id string) (s jobs.Status) {
	c.t.Helper()
	status, body := c.ask("status", `{"ID":"`+id+`","Kind":"","DaemonID":"","Bck":null,"Buckets":null}`)
	if err := json.Unmarshal([]byte(body), &s); status != 200 || err != nil {
		c.t.Fatalf("status of %s: %d %s", id, status, body)
	}
	return s
}

func (c client) snaps(query string) map[string][]*wire.Snap {
	c.t.Helper()
	status, body := c.ask("qryxstats", query)
	var snaps map[string][]*wire.Snap
	if err := json.Unmarshal([]byte(body), &snaps); status != 200 || err != nil {
		c.t.Fatalf("qryxstats %s: %d %s", query, status, body)
	}
	return snaps
}

// ended waits until a job has ended, as the SDK does.
func (c client) ended(id string) (s jobs.Status) {
	c.t.Helper()
	xacttest.Await(c.t, "the end of "+id, func() bool {
		s = c.status(id)
		return s.EndTime != 0
	})
	return s
}

func createBucket(t *testing.T, n *aistest.Node, name string) {
	t.Helper()
	if status, body := call(t, "POST", n.URL()+"/v1/buckets/"+name, `{"action":"create-bck"}`); status != 200 {
		t.Fatalf("create %s: %d %s", name, status, body)
	}
}

// Facts 1, 2, 4, 5, 8, 23: a job that ends at once.
func TestSimpleJob(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{Proxies: 2, Targets: 3, Jobs: kinds(nil)})
	before := time.Now()
	for _, proxy := range c.Proxies {
		cl := clientOf(t, proxy)
		id := cl.mustStart(`{"ID":"","Kind":"lru-eviction","DaemonID":"","Bck":null,"Buckets":null}`)
		if s := cl.ended(id); s.Kind != "lru" || s.UUID != id || s.Error != "" || s.Aborted {
			t.Errorf("status: %+v", s)
		}
		snaps := cl.snaps(`{"ID":"` + id + `","Kind":"","DaemonID":"","Bck":null,"Buckets":null}`)
		if len(snaps) != 3 {
			t.Errorf("%d targets know %s", len(snaps), id)
		}
		for target, list := range snaps {
			if len(list) != 1 || list[0].ID != id || list[0].Kind != "lru" || list[0].Stats.LocalObjects != 1 {
				t.Errorf("%s: %+v", target, list)
				continue
			}
			for _, at := range []time.Time{list[0].StartTime, list[0].EndTime} {
				if at.Before(before) || at.After(time.Now()) {
					t.Errorf("%s: %v", target, at)
				}
			}
		}
		if _, body := cl.ask("qryxstats", `{"id":"`+id+`"}`); !strings.Contains(body, `"loc-objs":"1"`) || !strings.Contains(body, `"glob.id":"`) {
			t.Errorf("counters are strings: %s", body)
		}
		if status, body := cl.ask("status_all", `{"kind":"lru","node":"","show_active":false}`); status != 200 || !strings.Contains(body, id) {
			t.Errorf("status_all: %d %s", status, body)
		}
	}
}

// Facts 1, 6, 22, 23: a job that runs until it is stopped, from start to stop.
func TestRunningJob(t *testing.T) {
	t.Parallel()
	gate := make(chan struct{})
	c := aistest.New(t, aistest.Options{Proxies: 2, Targets: 2, Jobs: kinds(gate, "load-lom-cache")})
	createBucket(t, c.Proxies[0], "b1")
	createBucket(t, c.Proxies[0], "b2")
	cl := clientOf(t, c.Proxies[1])
	id := cl.mustStart(`{"Kind":"warm-up-metadata","Bck":{"name":"b1","provider":"ais","namespace":null}}`)
	if s := cl.status(id); s.EndTime != 0 || s.Kind != "load-lom-cache" {
		t.Errorf("a job that was just started: %+v", s)
	}
	if _, body := cl.ask("qryxstats", `{"kind":"load-lom-cache","show_active":true}`); strings.Count(body, `"end-time":"0001-01-01T00:00:00Z"`) != 2 {
		t.Errorf("end of a running job: %s", body)
	}
	if _, body := cl.ask("running_all", `{}`); body != `["load-lom-cache[`+id+`]"]` {
		t.Errorf("running_all: %s", body)
	}
	if again := cl.mustStart(`{"Kind":"load-lom-cache","Bck":{"name":"b1","provider":"ais"}}`); again != id {
		t.Errorf("a second one has the id %s, not %s", again, id)
	}
	if other := cl.mustStart(`{"Kind":"load-lom-cache","Bck":{"name":"b2","provider":"ais"}}`); other == id {
		t.Error("another bucket has a job of its own")
	}
	for query, want := range map[string]int{
		`{"kind":"load-lom-cache","bck":{"name":"b1","provider":"ais"}}`: 1,
		`{"kind":"load-lom-cache","show_active":true}`:                   2,
		`{"kind":"load-lom-cache","show_active":false}`:                  0,
		`{"kind":"lru","show_active":true}`:                              0,
		`{}`:                                                             2,
		`{"id":"` + id + `","kind":"load-lom-cache","show_active":false,"node":"","extra":1}`: 1,
	} {
		for target, list := range cl.snaps(query) {
			if len(list) != want {
				t.Errorf("%s: %s has %d, want %d", query, target, len(list), want)
			}
		}
	}
	cl.stop(`{"Kind":"load-lom-cache","Bck":{"name":"b2","provider":"ais"}}`)
	if s := cl.status(id); s.EndTime != 0 {
		t.Errorf("the stop of another bucket's job: %+v", s)
	}
	cl.stop(`{"ID":"` + id + `"}`)
	if s := cl.status(id); s.EndTime == 0 || !s.Aborted || !strings.Contains(s.Error, "user abort") {
		t.Errorf("after the stop: %+v", s)
	}
	for target, list := range cl.snaps(`{"id":"` + id + `"}`) {
		if !list[0].Aborted || list[0].AbortError != "user abort" || list[0].EndTime.IsZero() {
			t.Errorf("%s after the stop: %+v", target, list[0])
		}
	}
	cl.stop(`{"ID":"` + id + `"}`)      // it has ended
	cl.stop(`{"ID":"unknownXX1"}`)      // it is not known
	cl.stop(`{"Kind":"elect-primary"}`) // there is none
	if status, _ := cl.ask("qryxstats", `{"id":"`+id+`","show_active":true}`); status != 404 {
		t.Errorf("only running, by the id of an ended job: %d, want 404", status)
	}
	if again := cl.mustStart(`{"Kind":"load-lom-cache","Bck":{"name":"b1","provider":"ais"}}`); again == id {
		t.Error("a job that was stopped is handed out again")
	}
	close(gate)
}

// TestEndedOnAllTargets: who has seen that a job has ended on all targets, and starts the
// same one, gets another one, whatever the primary has been told until then.
func TestEndedOnAllTargets(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{Proxies: 2, Targets: 3, Jobs: kinds(nil)})
	createBucket(t, c.Proxies[0], "b1")
	cl := clientOf(t, c.Proxies[1])
	last := ""
	for range 20 {
		id := cl.mustStart(`{"Kind":"load-lom-cache","Bck":{"name":"b1","provider":"ais"}}`)
		if id == last {
			t.Fatalf("%s has ended and is handed out again", id)
		}
		last = id
		xacttest.Await(t, "the end of "+id+" on all targets", func() bool {
			snaps := cl.snaps(`{"id":"` + id + `"}`)
			for _, list := range snaps {
				if len(list) != 1 || list[0].EndTime.IsZero() {
					return false
				}
			}
			return len(snaps) == 3
		})
	}
}

// Fact 26, and 3: every kind is answered, built or not.
func TestEveryKindIsAnswered(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{Targets: 2})
	cl := clientOf(t, c.Proxies[0])
	for _, k := range xact.Kinds() {
		for _, name := range []string{k.Name, k.Display} {
			if name == "" {
				continue
			}
			for what, want := range map[string]string{
				"qryxstats": `{"target-001":[],"target-002":[]}`, "status_all": "null", "running_all": "[]",
			} {
				if status, body := cl.ask(what, `{"kind":"`+name+`","show_active":true}`); status != 200 || body != want {
					t.Errorf("%s of %s: %d %s", what, name, status, body)
				}
			}
		}
	}
	// Fact 17.
	if status, body := cl.ask("qryxstats", `{"ID":"unknownXX1","Kind":"","DaemonID":"","Bck":null,"Buckets":null}`); status != 404 || !strings.Contains(body, "unknownXX1") {
		t.Errorf("unknown id: %d %s", status, body)
	}
}

// Fact 7: an idle job that is stopped says so at once.
func TestIdleJob(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{Targets: 2, Jobs: kinds(nil)})
	createBucket(t, c.Proxies[0], "b1")
	cl, engine := clientOf(t, c.Proxies[0]), c.Proxies[0].Jobs
	spec := &xact.Spec{Kind: "copy-listrange", Bck: wire.Bck{Name: "b1", Provider: "ais"}, To: wire.Bck{Name: "b1", Provider: "ais"}}
	id, err := engine.Start(t.Context(), spec, nil)
	if err != nil {
		t.Fatal(err)
	}
	if more, err := engine.Start(t.Context(), spec, nil); err != nil || more != id {
		t.Errorf("further work has the id %s (%v), not %s", more, err, id)
	}
	xacttest.Await(t, "the job is idle", func() bool {
		idle := 0
		for _, list := range cl.snaps(`{"kind":"copy-objects","show_active":true}`) {
			for _, s := range list {
				if s.IsIdle && s.EndTime.IsZero() {
					idle++
				}
			}
		}
		return idle == 2
	})
	// It is in nobody's way.
	if _, err := engine.Start(t.Context(), &xact.Spec{Kind: "move-bck", Args: json.RawMessage("{}"), Bck: wire.Bck{Name: "b2", Provider: "ais"}, Source: spec.Bck, To: wire.Bck{Name: "b2", Provider: "ais"}}, nil); err != nil {
		t.Errorf("rename of a bucket with an idle job: %v", err)
	}
	cl.stop(`{"ID":"` + id + `"}`)
	for target, list := range cl.snaps(`{"id":"` + id + `"}`) {
		if !list[0].Aborted || list[0].AbortError == "" {
			t.Errorf("%s: %+v", target, list[0])
		}
	}
}

func TestCoexistenceInTheCluster(t *testing.T) {
	t.Parallel()
	gate := make(chan struct{})
	c := aistest.New(t, aistest.Options{Targets: 2, Jobs: kinds(gate, "rebalance", "copy-bck", "ec-encode")})
	for _, name := range []string{"b1", "b2"} {
		createBucket(t, c.Proxies[0], name)
	}
	cl, engine := clientOf(t, c.Proxies[0]), c.Proxies[0].Jobs
	b1, b2 := wire.Bck{Name: "b1", Provider: "ais"}, wire.Bck{Name: "b2", Provider: "ais"}
	copying := &xact.Spec{Kind: "copy-bck", Args: json.RawMessage("{}"), Bck: b2, Source: b1, To: b2}
	first, err := engine.Start(t.Context(), copying, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := engine.Start(t.Context(), copying, nil); apierr.StatusOf(err) != 400 || !strings.Contains(err.Error(), "already running") {
		t.Errorf("the same copy again: %v", err)
	}
	g1 := cl.mustStart(`{"Kind":"rebalance"}`)
	if s := cl.ended(first); !s.Aborted || !strings.Contains(s.Error, "rebalance") {
		t.Errorf("a copy when a rebalance starts: %+v", s)
	}
	began := time.Now()
	_, err = engine.Start(t.Context(), copying, nil)
	if apierr.StatusOf(err) != 409 || apierr.CodeOf(err) != wire.CodeLimitedCoexistence || time.Since(began) < 4*time.Second {
		t.Errorf("a copy while a rebalance runs: %v after %v", err, time.Since(began))
	}
	forced := *copying
	forced.Force = true
	if id, err := engine.Start(t.Context(), &forced, nil); err != nil {
		t.Errorf("by force: %v", err)
	} else {
		cl.stop(`{"ID":"` + id + `"}`)
	}
	g2 := cl.mustStart(`{"Kind":"rebalance"}`)
	if g1 == g2 || !strings.HasPrefix(g2, "g") || cl.ended(g1).Aborted != true {
		t.Errorf("a second rebalance: %s after %s", g2, g1)
	}
	for _, list := range cl.snaps(`{"id":"` + g1 + `"}`) {
		if !strings.Contains(list[0].AbortError, "renewal abort") {
			t.Errorf("%+v", list[0])
		}
	}
	cl.stop(`{"Kind":"rebalance"}`)
	if s := cl.status(g2); !s.Aborted {
		t.Errorf("%+v", s)
	}
	if _, err := engine.Start(t.Context(), copying, nil); err != nil {
		t.Errorf("after an aborted rebalance: %v", err)
	}
	close(gate)
}

// TestConflictsAreIgnored by a feature of the cluster.
func TestConflictsAreIgnored(t *testing.T) {
	t.Parallel()
	gate := make(chan struct{})
	defer close(gate)
	c := aistest.New(t, aistest.Options{Targets: 2, Jobs: kinds(gate, "rebalance", "copy-bck"), Config: func(c *config.Cluster) {
		c.Features |= feature.IgnoreLimitedCoexistence
	}})
	createBucket(t, c.Proxies[0], "b1")
	clientOf(t, c.Proxies[0]).mustStart(`{"Kind":"rebalance"}`)
	b1 := wire.Bck{Name: "b1", Provider: "ais"}
	if _, err := c.Proxies[0].Jobs.Start(t.Context(), &xact.Spec{Kind: "copy-bck", Args: json.RawMessage("{}"), Bck: b1, Source: b1, To: b1}, nil); err != nil {
		t.Error(err)
	}
}

// TestTargetThatDoesNotAnswer: a job that has no need of it starts and ends, another
// one is refused.
func TestTargetThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{Targets: 3, Jobs: kinds(nil)})
	createBucket(t, c.Proxies[0], "b1")
	c.Metadata.SetDown("target-002", true)
	smap := c.Metadata.View().Smap.Clone()
	gone := *smap.Tmap["target-002"]
	gone.IntraControl.URL = "http://127.0.0.1:1"
	c.ChangeSmap(t, &meta.SmapPatch{Put: []*meta.Snode{&gone}})
	cl := clientOf(t, c.Proxies[0])
	id := cl.mustStart(`{"Kind":"lru"}`)
	if s := cl.ended(id); s.Aborted || s.Error != "" {
		t.Errorf("%+v", s)
	}
	if snaps := cl.snaps(`{"id":"` + id + `"}`); len(snaps) != 2 {
		t.Errorf("%d targets", len(snaps))
	}
	if status, body := cl.start(`{"Kind":"prefetch-listrange","Bck":{"name":"b1"}}`); status != 503 || !strings.Contains(body, "target-002") {
		t.Errorf("%d %s", status, body)
	}
}

// TestFailureOnOneTargetEndsTheJob everywhere, and what its end commits is
// committed once.
func TestFailureOnOneTargetEndsTheJob(t *testing.T) {
	t.Parallel()
	gate := make(chan struct{})
	fails := xact.Registration{Kind: "copy-bck", New: func(env *xact.Env, _ *xact.Spec) (xact.Job, error) {
		if env.NodeID == "target-002" {
			return &testJob{fail: errors.New("disk full")}, nil
		}
		return &testJob{gate: gate}, nil
	}}
	c := aistest.New(t, aistest.Options{Targets: 3, Jobs: []xact.Registration{fails}})
	defer close(gate)
	createBucket(t, c.Proxies[0], "b1")
	engine, cl := c.Proxies[0].Jobs, clientOf(t, c.Proxies[0])
	var ends atomic.Int64
	engine.OnEnd("copy-bck", func(*meta.View, *jobs.Record) ([]meta.Change, error) {
		ends.Add(1)
		return nil, nil
	})
	b1 := wire.Bck{Name: "b1", Provider: "ais"}
	id, err := engine.Start(t.Context(), &xact.Spec{Kind: "copy-bck", Args: json.RawMessage("{}"), Bck: b1, Source: b1, To: b1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if s := cl.ended(id); !s.Aborted || !strings.Contains(s.Error, "t[target-002]: disk full") {
		t.Errorf("%+v", s)
	}
	// Some targets may not have been told yet: that is nobody's concern.
	if _, err := engine.Start(t.Context(), &xact.Spec{Kind: "copy-bck", Args: json.RawMessage("{}"), Bck: b1, Source: b1, To: b1}, nil); err != nil {
		t.Errorf("it does not start again: %v", err)
	}
	xacttest.Await(t, "it ends on all targets", func() bool {
		for _, list := range cl.snaps(`{"id":"` + id + `"}`) {
			if list[0].EndTime.IsZero() {
				return false
			}
		}
		return true
	})
	xacttest.Await(t, "each job ends once", func() bool { return ends.Load() == 2 })
}

// TestRefusedStartLeavesNothing: a job that one target refuses runs on none.
func TestRefusedStartLeavesNothing(t *testing.T) {
	t.Parallel()
	var runs atomic.Int64
	refuses := xact.Registration{Kind: "lru", New: func(env *xact.Env, _ *xact.Spec) (xact.Job, error) {
		if env.NodeID == "target-003" {
			return nil, apierr.BadRequest("copies=9: expecting at most the number of mountpaths")
		}
		runs.Add(1)
		return &testJob{}, nil
	}}
	c := aistest.New(t, aistest.Options{Targets: 3, Jobs: []xact.Registration{refuses}})
	cl := clientOf(t, c.Proxies[0])
	if status, body := cl.start(`{"Kind":"lru"}`); status != 400 || !strings.Contains(body, "copies=9") {
		t.Errorf("%d %s", status, body)
	}
	if _, body := cl.ask("status_all", `{}`); body != "null" {
		t.Errorf("a record is left: %s", body)
	}
	if snaps := cl.snaps(`{"kind":"lru"}`); fmt.Sprint(snaps) != "map[target-001:[] target-002:[] target-003:[]]" {
		t.Errorf("%v", snaps)
	}
}

// TestTargetLeaves: a job that cannot do without it is aborted, another one
// goes on; neither hangs.
func TestTargetLeaves(t *testing.T) {
	t.Parallel()
	gate := make(chan struct{})
	c := aistest.New(t, aistest.Options{Targets: 3, Jobs: kinds(gate, "lru", "prefetch-listrange")})
	createBucket(t, c.Proxies[0], "b1")
	cl := clientOf(t, c.Proxies[0])
	lru := cl.mustStart(`{"Kind":"lru"}`)
	fetch := cl.mustStart(`{"Kind":"prefetch-listrange","Bck":{"name":"b1"}}`)
	c.ChangeSmap(t, &meta.SmapPatch{Del: []string{"target-003"}})
	c.Proxies[0].Jobs.Notify()
	if s := cl.ended(fetch); !s.Aborted || !strings.Contains(s.Error, "t[target-003] has left") {
		t.Errorf("%+v", s)
	}
	if s := cl.status(lru); s.EndTime != 0 {
		t.Errorf("lru does not go on: %+v", s)
	}
	close(gate)
	if s := cl.ended(lru); s.Aborted || s.Error != "" {
		t.Errorf("%+v", s)
	}
}

// TestChangeOfPrimary: the next primary knows all jobs, watches those that run, and
// stops what was to be stopped.
func TestChangeOfPrimary(t *testing.T) {
	t.Parallel()
	gate := make(chan struct{})
	c := aistest.New(t, aistest.Options{Proxies: 2, Targets: 2, Jobs: kinds(gate, "lru", "load-lom-cache")})
	createBucket(t, c.Proxies[0], "b1")
	cl := clientOf(t, c.Proxies[0])
	done := cl.mustStart(`{"Kind":"cleanup"}`)
	cl.ended(done)
	lru := cl.mustStart(`{"Kind":"lru"}`)
	warm := cl.mustStart(`{"Kind":"load-lom-cache","Bck":{"name":"b1"}}`)
	c.ChangeSmap(t, &meta.SmapPatch{Primary: c.Proxies[1].ID()})
	c.Proxies[1].Jobs.Notify()
	for _, proxy := range c.Proxies {
		cl := clientOf(t, proxy)
		if s := cl.status(done); s.EndTime == 0 {
			t.Errorf("%+v", s)
		}
		if s := cl.status(lru); s.EndTime != 0 {
			t.Errorf("%+v", s)
		}
	}
	clientOf(t, c.Proxies[1]).stop(`{"ID":"` + warm + `"}`)
	close(gate)
	if s := clientOf(t, c.Proxies[1]).ended(lru); s.Error != "" || s.Aborted {
		t.Errorf("%+v", s)
	}
}

// TestRepeatedRequest: a client's request that is sent again, because the
// primary died with it, starts one job.
func TestRepeatedRequest(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{Targets: 2, Jobs: kinds(nil)})
	createBucket(t, c.Proxies[0], "b1")
	spec := &xact.Spec{Kind: "prefetch-listrange", Bck: wire.Bck{Name: "b1", Provider: "ais"}}
	var ids []string
	for range 2 {
		id, err := c.Proxies[0].Jobs.Start(meta.WithCommandID(t.Context(), "request-1"), spec, nil)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	if ids[0] != ids[1] {
		t.Errorf("two jobs: %v", ids)
	}
}
