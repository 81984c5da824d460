package jobs_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aistore-go/aistore/ais/aistest"
	"github.com/aistore-go/aistore/ais/jobs"
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/xact"
	"github.com/aistore-go/aistore/xact/xacttest"
)

// hook is an OnEnd that fails so many times, and then removes a bucket.
type hook struct {
	failures atomic.Int64
	calls    atomic.Int64
	refused  bool        // what it asks for is refused, instead of it failing
	late     atomic.Bool // it was called for a job that had ended long before
}

func (h *hook) end(v *meta.View, r *jobs.Record) ([]meta.Change, error) {
	h.calls.Add(1)
	h.late.Store(r.Left != "")
	if h.failures.Add(-1) >= 0 {
		if h.refused {
			return []meta.Change{{Kind: meta.KindBMD, Patch: json.RawMessage(`{"put":7}`)}}, nil
		}
		return nil, errors.New("the document does not fit")
	}
	change, err := meta.NewChange(v, meta.KindBMD, &meta.BMDPatch{Del: []wire.Bck{{Name: "extra", Provider: "ais"}}})
	return []meta.Change{change}, err
}

var copyOfB1 = &xact.Spec{
	Kind: "copy-bck", Args: json.RawMessage("{}"),
	Bck: wire.Bck{Name: "b1", Provider: "ais"}, Source: wire.Bck{Name: "b1", Provider: "ais"}, To: wire.Bck{Name: "b1", Provider: "ais"},
}

func hasBucket(c *aistest.Cluster, name string) bool {
	_, ok := c.Metadata.View().BMD.Get(wire.Bck{Name: name, Provider: "ais"})
	return ok
}

// TestEndIsTriedAgain: what is committed with the end of a job fails a few times;
// then both take effect together.
func TestEndIsTriedAgain(t *testing.T) {
	t.Parallel()
	for name, refused := range map[string]bool{"it fails": false, "its changes are refused": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := aistest.New(t, aistest.Options{Targets: 2, Jobs: kinds(nil)})
			createBucket(t, c.Proxies[0], "b1")
			createBucket(t, c.Proxies[0], "extra")
			h := &hook{refused: refused}
			h.failures.Store(2)
			engine, cl := c.Proxies[0].Jobs, clientOf(t, c.Proxies[0])
			engine.OnEnd("copy-bck", h.end)
			id, err := engine.Start(t.Context(), copyOfB1, nil)
			if err != nil {
				t.Fatal(err)
			}
			if s := cl.ended(id); s.Aborted || s.Error != "" {
				t.Errorf("%+v", s)
			}
			if hasBucket(c, "extra") || h.late.Load() {
				t.Error("the job has ended without what belongs to its end")
			}
		})
	}
}

// TestEndThatKeepsFailing: the job ends all the same, and names the error; what is
// left is done later, by whoever is the primary then.
func TestEndThatKeepsFailing(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{Proxies: 2, Targets: 2, Jobs: kinds(nil)})
	createBucket(t, c.Proxies[0], "b1")
	createBucket(t, c.Proxies[0], "extra")
	h := &hook{}
	h.failures.Store(1 << 30)
	for _, proxy := range c.Proxies {
		proxy.Jobs.OnEnd("copy-bck", h.end)
	}
	cl := clientOf(t, c.Proxies[0])
	id, err := c.Proxies[0].Jobs.Start(t.Context(), copyOfB1, nil)
	if err != nil {
		t.Fatal(err)
	}
	if s := cl.ended(id); s.Aborted || !strings.Contains(s.Error, "the document does not fit") {
		t.Errorf("%+v", s)
	}
	if calls := h.calls.Load(); calls < 5 {
		t.Errorf("it ended after %d attempts", calls)
	}
	// It is in nobody's way.
	h.failures.Store(1 << 30)
	if _, err := c.Proxies[0].Jobs.Start(t.Context(), copyOfB1, nil); err != nil {
		t.Errorf("another one: %v", err)
	}
	c.ChangeSmap(t, &meta.SmapPatch{Primary: c.Proxies[1].ID()})
	h.failures.Store(0)
	c.Proxies[1].Jobs.Notify()
	next := clientOf(t, c.Proxies[1])
	xacttest.Await(t, "what was left is done", func() bool { return next.status(id).Error == "" })
	if hasBucket(c, "extra") {
		t.Error("the bucket is still there")
	}
}

// TestAbortWhoseEndFails: a job that a user stops does nothing any more, though its
// end cannot be written down at once.
func TestAbortWhoseEndFails(t *testing.T) {
	t.Parallel()
	gate := make(chan struct{})
	defer close(gate)
	c := aistest.New(t, aistest.Options{Targets: 2, Jobs: kinds(gate, "copy-bck")})
	createBucket(t, c.Proxies[0], "b1")
	createBucket(t, c.Proxies[0], "extra")
	h := &hook{}
	h.failures.Store(3)
	engine, cl := c.Proxies[0].Jobs, clientOf(t, c.Proxies[0])
	engine.OnEnd("copy-bck", h.end)
	id, err := engine.Start(t.Context(), copyOfB1, nil)
	if err != nil {
		t.Fatal(err)
	}
	cl.stop(`{"ID":"` + id + `"}`)
	for target, list := range cl.snaps(`{"id":"` + id + `"}`) {
		if !list[0].Aborted || list[0].AbortError != "user abort" {
			t.Errorf("%s: %+v", target, list[0])
		}
	}
	if s := cl.ended(id); !s.Aborted || !strings.Contains(s.Error, "user abort") || strings.Contains(s.Error, "fit") {
		t.Errorf("%+v", s)
	}
	if hasBucket(c, "extra") {
		t.Error("the job has ended without what belongs to its end")
	}
}

// pickyJob runs until it is let go, and takes only some arguments.
func pickyJob(kind string, gate chan struct{}) xact.Registration {
	return xact.Registration{Kind: kind, New: func(_ *xact.Env, spec *xact.Spec) (xact.Job, error) {
		var args xact.StartArgs
		if err := json.Unmarshal(spec.Args, &args); err != nil || args.Force {
			return nil, apierr.BadRequest("force: not without buckets")
		}
		if kind == "copy-listrange" {
			return idleJob{}, nil
		}
		return &testJob{gate: gate}, nil
	}}
}

// TestBadArgumentsOfAFurtherStart: a request that would join a running job has its
// arguments checked like any other.
func TestBadArgumentsOfAFurtherStart(t *testing.T) {
	t.Parallel()
	gate := make(chan struct{})
	c := aistest.New(t, aistest.Options{Targets: 2, Jobs: []xact.Registration{pickyJob("lru", gate), pickyJob("copy-listrange", nil)}})
	createBucket(t, c.Proxies[0], "b1")
	cl, engine := clientOf(t, c.Proxies[0]), c.Proxies[0].Jobs
	id := cl.mustStart(`{"Kind":"lru"}`)
	if again := cl.mustStart(`{"Kind":"lru"}`); again != id {
		t.Errorf("%s joins %s", again, id)
	}
	if status, body := cl.start(`{"Kind":"lru","Force":true}`); status != 400 || !strings.Contains(body, "not without buckets") {
		t.Errorf("%d %s", status, body)
	}
	b1 := wire.Bck{Name: "b1", Provider: "ais"}
	spec := &xact.Spec{Kind: "copy-listrange", Bck: b1, Source: b1, To: b1, Args: json.RawMessage(`{}`)}
	idle, err := engine.Start(t.Context(), spec, nil)
	if err != nil {
		t.Fatal(err)
	}
	bad := *spec
	bad.Args = json.RawMessage(`{"force":true}`)
	if _, err := engine.Start(context.Background(), &bad, nil); apierr.StatusOf(err) != 400 {
		t.Errorf("further work with bad arguments: %v", err)
	}
	if more, err := engine.Start(t.Context(), spec, nil); err != nil || more != idle {
		t.Errorf("further work: %s %v, want %s", more, err, idle)
	}
	close(gate)
	cl.ended(id)
}

// TestTargetHearsOfThePrimaryFromAJob: a job that the next primary starts, and
// one that it stops, are taken by a target that has not heard of it.
func TestTargetHearsOfThePrimaryFromAJob(t *testing.T) {
	t.Parallel()
	gate := make(chan struct{})
	defer close(gate)
	c := aistest.New(t, aistest.Options{Proxies: 2, Targets: 2, Jobs: kinds(gate, "prefetch-listrange")})
	createBucket(t, c.Proxies[0], "b1")
	for i, next := range []int{1, 0} {
		if err := c.Metadata.SetLagging("target-002", true); err != nil {
			t.Fatal(err)
		}
		c.ChangeSmap(t, &meta.SmapPatch{Primary: c.Proxies[next].ID()})
		cl := clientOf(t, c.Proxies[next])
		if i == 0 {
			cl.mustStart(`{"Kind":"prefetch-listrange","Bck":{"name":"b1"}}`)
			continue
		}
		cl.stop(`{"Kind":"prefetch-listrange"}`)
		for target, list := range cl.snaps(`{"kind":"prefetch-listrange"}`) {
			if len(list) != 1 || !list[0].Aborted {
				t.Errorf("%s: %+v", target, list)
			}
		}
	}
}

// TestIDsOfLocalJobs: all targets get the same id for a job that they start by
// themselves, also after one was aborted.
func TestIDsOfLocalJobs(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{Targets: 2})
	engine, b1 := c.Proxies[0].Jobs, wire.Bck{Name: "b1", Provider: "ais"}
	first := engine.LocalID(t.Context(), "put-copies", b1, "")
	if again := engine.LocalID(t.Context(), "put-copies", b1, ""); again != first {
		t.Errorf("%s, then %s", first, again)
	}
	second := engine.LocalID(t.Context(), "put-copies", b1, first)
	if second == first {
		t.Error("the id of an aborted job is given out again")
	}
	for _, over := range []string{first, ""} { // another target, which was late; a third
		if id := engine.LocalID(t.Context(), "put-copies", b1, over); id != second {
			t.Errorf("without %q: %s, want %s", over, id, second)
		}
	}
	if id := engine.LocalID(t.Context(), "ec-put", b1, ""); id == second {
		t.Error("another kind has the same id")
	}
}
