package xact_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/xact"
	"github.com/aistore-go/aistore/xact/xacttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// jobFunc is a job that is one function.
type jobFunc func(ctx context.Context, x *xact.Xaction) error

func (f jobFunc) Run(ctx context.Context, x *xact.Xaction) error { return f(ctx, x) }

func kindOf(kind string, f jobFunc) xact.Registration {
	return xact.Registration{Kind: kind, New: func(*xact.Env, *xact.Spec) (xact.Job, error) { return f, nil }}
}

// untilAborted runs until it is aborted.
func untilAborted(ctx context.Context, _ *xact.Xaction) error {
	<-ctx.Done()
	return context.Cause(ctx)
}

func TestJobRunsToItsEnd(t *testing.T) {
	rig := xacttest.New(t, xacttest.Options{}, kindOf("lru", func(_ context.Context, x *xact.Xaction) error {
		x.AddObjects(3, 300)
		x.AddOut(1, 100)
		x.AddIn(2, 200)
		x.SetParallelism(4, 4)
		x.SetControl(func() string { return "evicting" })
		return nil
	}))
	spec := rig.Spec("lru")
	spec.Bck = wire.Bck{}
	snap := rig.Run(spec)
	data, err := json.Marshal(snap)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"stats":{"loc-objs":"3","loc-bytes":"300","out-objs":"1","out-bytes":"100","in-objs":"2","in-bytes":"200"}`,
		`"glob.id":"4100"`, `"ctlmsg":"evicting"`, `"aborted":false`, `"is_idle":true`, `"abort-err":""`, `"ext":null`, `"kind":"lru"`,
	} {
		if !strings.Contains(string(data), want) {
			t.Errorf("%s lacks %s", data, want)
		}
	}
	if again := rig.Start(spec); again.Objects() != 3 {
		t.Error("a job that has ended was run again")
	}
}

func TestRunningJobHasZeroEnd(t *testing.T) {
	rig := xacttest.New(t, xacttest.Options{}, kindOf("lru", untilAborted))
	x := rig.Start(rig.Spec("lru"))
	data, err := json.Marshal(x.Snap())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(data), `"end-time":"0001-01-01T00:00:00Z"`) || x.Snap().IsIdle {
		t.Errorf("snap of a running job: %s", data)
	}
}

func TestAbort(t *testing.T) {
	rig := xacttest.New(t, xacttest.Options{}, kindOf("lru", untilAborted))
	x := rig.Start(rig.Spec("lru"))
	if !rig.Registry.Abort(x.ID(), xact.ErrUserAbort) || rig.Registry.Abort(x.ID(), errors.New("again")) {
		t.Error("the first abort counts, and only that")
	}
	if s := x.Snap(); !s.Aborted || s.AbortError != "user abort" || s.EndTime.IsZero() {
		t.Errorf("an aborted job shows %+v", s)
	}
	if s := rig.Finish(x); s.Error != "" {
		t.Errorf("an abort is no error of the job: %q", s.Error)
	}
	if again := rig.Start(rig.Spec("lru")); !again.Running() {
		t.Errorf("it does not start again: %+v", again.Snap())
	}
}

func TestJobThatGivesUp(t *testing.T) {
	rig := xacttest.New(t, xacttest.Options{},
		kindOf("lru", func(context.Context, *xact.Xaction) error { return errors.New("disk full") }),
		kindOf("load-lom-cache", func(context.Context, *xact.Xaction) error { panic("oops") }))
	if s := rig.Run(rig.Spec("lru")); !s.Aborted || s.AbortError != "disk full" {
		t.Errorf("%+v", s)
	}
	if s := rig.Run(rig.Spec("load-lom-cache")); !s.Aborted || !strings.Contains(s.AbortError, "oops") {
		t.Errorf("a job that panics: %+v", s)
	}
}

func TestErrorsAreCountedAndBounded(t *testing.T) {
	rig := xacttest.New(t, xacttest.Options{}, kindOf("lru", func(_ context.Context, x *xact.Xaction) error {
		for i := range 1000 {
			x.AddError(fmt.Errorf("ais://b1/%d: %s", i, strings.Repeat("long ", 1000)))
			x.AddError(errors.New("the same"))
		}
		return nil
	}))
	s := rig.Run(rig.Spec("lru"))
	if s.Aborted || len(s.Error) > 16<<10 || !strings.Contains(s.Error, "ais://b1/0: ") || !strings.Contains(s.Error, "(2000 errors in all)") {
		t.Errorf("aborted %t, %d bytes: %s", s.Aborted, len(s.Error), s.Error)
	}
}

func TestUnknownAndUnbuiltKinds(t *testing.T) {
	rig := xacttest.New(t, xacttest.Options{})
	for kind, status := range map[string]int{"nonsense": 400, "lru": 501} {
		if err := rig.Registry.Prepare(rig.Spec(kind)); apierr.StatusOf(err) != status {
			t.Errorf("%s: %v, want %d", kind, err, status)
		}
	}
	spec := rig.Spec("lru")
	rig = xacttest.New(t, xacttest.Options{}, kindOf("lru", untilAborted))
	spec.Bck.Name = "missing"
	if err := rig.Registry.Prepare(spec); apierr.StatusOf(err) != 404 {
		t.Errorf("missing bucket: %v", err)
	}
}

func TestDestroyedBucketEndsItsJobs(t *testing.T) {
	rig := xacttest.New(t, xacttest.Options{}, kindOf("load-lom-cache", untilAborted))
	x := rig.Start(rig.Spec("load-lom-cache"))
	rig.Registry.Applied(&meta.View{BMD: meta.NewBMD("cluster01", 3)})
	if s := rig.Finish(x); !s.Aborted || !strings.Contains(s.AbortError, "destroyed") {
		t.Errorf("%+v", s)
	}
}

// extending takes work under the id of the job that runs.
type extending struct{ taken chan string }

func (e *extending) Run(ctx context.Context, x *xact.Xaction) error {
	x.Pending(+1)
	e.taken <- x.Spec().Request
	x.Pending(-1)
	return x.UntilIdle(ctx)
}

func (e *extending) Extend(_ context.Context, spec *xact.Spec) error {
	e.taken <- spec.Request
	return nil
}

func extended(kind string, job *extending) xact.Registration {
	return xact.Registration{Kind: kind, New: func(*xact.Env, *xact.Spec) (xact.Job, error) { return job, nil }}
}

func TestIdleJobTakesMoreWork(t *testing.T) {
	job := &extending{taken: make(chan string, 10)}
	rig := xacttest.New(t, xacttest.Options{}, extended("copy-listrange", job))
	rig.Registry.Shorten(time.Minute, time.Hour, time.Minute)
	spec := rig.Spec("copy-listrange")
	spec.Request = "r1"
	x := rig.Start(spec)
	for _, request := range []string{"r2", "r1", "r2", "r3"} {
		more := *spec
		more.Request = request
		if got := rig.Start(&more); got != x {
			t.Fatalf("another job took %s", request)
		}
	}
	for _, want := range []string{"r1", "r2", "r3"} {
		select {
		case <-job.taken: // r1 is taken by Run, at any time
		case <-time.After(10 * time.Second):
			t.Fatalf("%s was not taken", want)
		}
	}
	if len(job.taken) != 0 {
		t.Error("a request was taken twice")
	}
	x.Abort(xact.ErrUserAbort)
	if s := rig.Finish(x); !s.Aborted || s.AbortError != "user abort" {
		t.Errorf("an idle job that is stopped: %+v", s)
	}
}

func TestIdleJobEndsByItself(t *testing.T) {
	job := &extending{taken: make(chan string, 10)}
	rig := xacttest.New(t, xacttest.Options{}, extended("copy-listrange", job))
	rig.Registry.Shorten(50*time.Millisecond, time.Hour, time.Minute)
	spec := rig.Spec("copy-listrange")
	x := rig.Start(spec)
	s := rig.Finish(x)
	if s.Aborted || !s.IsIdle || s.EndTime.IsZero() {
		t.Errorf("%+v", s)
	}
	if x.Pending(+1) {
		t.Error("a job that has ended takes work")
	}
	more := *spec
	more.Request = "later"
	again := rig.Start(&more)
	if again == x || again.ID() != x.ID() {
		t.Error("a request for a job that has just ended goes on under its id")
	}
	if n := len(rig.Registry.Snaps(xact.Query{})); n != 1 {
		t.Errorf("%d snaps of one id", n)
	}
}

func TestLocalJobsShareTheirID(t *testing.T) {
	rig := xacttest.New(t, xacttest.Options{JobID: func(_ context.Context, _ string, _ wire.Bck, over string) (string, error) {
		if over != "" {
			return "notThe" + over, nil
		}
		return "fromPrimary", nil
	}},
		kindOf("put-copies", untilAborted))
	x, err := rig.Env.Start(t.Context(), "put-copies", rig.Bck, nil)
	if err != nil {
		t.Fatal(err)
	}
	again, err := rig.Env.Start(t.Context(), "put-copies", rig.Bck, nil)
	if err != nil || again != x || x.ID() != "fromPrimary" {
		t.Errorf("%v %v: %v", x, again, err)
	}
	x.Abort(xact.ErrUserAbort)
	rig.Finish(x)
	if other, err := rig.Env.Start(t.Context(), "put-copies", rig.Bck, nil); err != nil || other.ID() != "notThefromPrimary" {
		t.Errorf("after an abort: %v, %v", other, err)
	}
}

// TestLocalJobsStartTogether: without a primary to give an id, two starts at the same
// moment make one job.
func TestLocalJobsStartTogether(t *testing.T) {
	const starts = 4
	var asked sync.WaitGroup
	asked.Add(starts)
	rig := xacttest.New(t, xacttest.Options{JobID: func(context.Context, string, wire.Bck, string) (string, error) {
		asked.Done()
		asked.Wait() // none of them has found a job that runs
		return "", errors.New("the primary cannot be reached")
	}}, kindOf("put-copies", untilAborted))
	var started sync.WaitGroup
	jobs := make([]*xact.Xaction, starts)
	for i := range jobs {
		started.Go(func() {
			var err error
			if jobs[i], err = rig.Env.Start(t.Context(), "put-copies", rig.Bck, nil); err != nil {
				t.Error(err)
			}
		})
	}
	started.Wait()
	for _, x := range jobs[1:] {
		if x != jobs[0] {
			t.Errorf("%v beside %v", x, jobs[0])
		}
	}
	if n := rig.Registry.Active(); n != 1 {
		t.Errorf("%d jobs run", n)
	}
	jobs[0].Abort(xact.ErrUserAbort)
	rig.Finish(jobs[0])
}

func TestQueries(t *testing.T) {
	rig := xacttest.New(t, xacttest.Options{},
		kindOf("prefetch-listrange", untilAborted), kindOf("lru", func(context.Context, *xact.Xaction) error { return nil }))
	var ids []string
	for range 2 {
		ids = append(ids, rig.Start(rig.Spec("prefetch-listrange")).ID())
	}
	done := rig.Spec("lru")
	done.Bck = wire.Bck{}
	rig.Run(done)
	yes, no := true, false
	for _, tc := range []struct {
		name string
		q    xact.Query
		want int
	}{
		{"all", xact.Query{}, 3},
		{"by id", xact.Query{ID: ids[0]}, 1},
		{"list of ids", xact.Query{ID: "unknownXX, " + ids[1]}, 1},
		{"unknown", xact.Query{ID: "unknownXX"}, 0},
		{"kind and id differ", xact.Query{ID: ids[0], Kind: "lru"}, 0},
		{"running, all of a kind", xact.Query{Kind: "prefetch-listrange", Running: &yes}, 2},
		{"running, one a kind", xact.Query{Running: &yes}, 1},
		{"not running, of a kind", xact.Query{Kind: "lru", Running: &no}, 1},
		{"not running, of a kind that runs", xact.Query{Kind: "prefetch-listrange", Running: &no}, 0},
		{"false with an id counts nothing", xact.Query{ID: ids[0], Running: &no}, 1},
		{"ended by id, only running", xact.Query{ID: done.ID, Running: &yes}, 0},
		{"bucket", xact.Query{Bck: rig.Bck}, 3},
		{"another bucket: jobs of no bucket", xact.Query{Bck: wire.Bck{Name: "b2", Provider: "ais"}}, 1},
	} {
		if snaps := rig.Registry.Snaps(tc.q); snaps == nil || len(snaps) != tc.want {
			t.Errorf("%s: %d jobs, want %d", tc.name, len(snaps), tc.want)
		}
	}
}

func TestHistoryIsBounded(t *testing.T) {
	rig := xacttest.New(t, xacttest.Options{}, kindOf("lru", func(context.Context, *xact.Xaction) error { return nil }),
		kindOf("list", func(context.Context, *xact.Xaction) error { return nil }))
	rig.Registry.Shorten(time.Minute, time.Hour, 30*time.Millisecond)
	long, short := rig.Spec("lru"), rig.Spec("list")
	rig.Run(long)
	rig.Run(short)
	xacttest.Await(t, "the short-lived entry goes", func() bool { return rig.Registry.Find(short.ID) == nil })
	if rig.Registry.Find(long.ID) == nil {
		t.Error("the other one has gone, too")
	}
}

func TestNewRebalanceWaitsForTheOldOne(t *testing.T) {
	letGo := make(chan struct{})
	ran := make(chan string, 2)
	rig := xacttest.New(t, xacttest.Options{}, kindOf("rebalance", func(ctx context.Context, x *xact.Xaction) error {
		ran <- x.ID()
		if x.ID() == "g2" {
			return nil
		}
		<-ctx.Done()
		<-letGo
		return context.Cause(ctx)
	}), kindOf("copy-bck", untilAborted))
	copying := rig.Start(rig.Spec("copy-bck"))
	first := rig.Start(&xact.Spec{ID: "g1", Kind: "rebalance"})
	if s := rig.Finish(copying); !s.Aborted || !strings.Contains(s.AbortError, "rebalance") {
		t.Errorf("a copy gives way to a rebalance: %+v", s)
	}
	if id := <-ran; id != "g1" {
		t.Fatal(id)
	}
	second := rig.Start(&xact.Spec{ID: "g2", Kind: "rebalance"})
	if s := first.Snap(); s.AbortError != "renewal abort" {
		t.Errorf("%+v", s)
	}
	select {
	case id := <-ran:
		t.Fatalf("%s runs while the first still does something", id)
	case <-time.After(20 * time.Millisecond):
	}
	close(letGo)
	if s := rig.Finish(second); s.Aborted {
		t.Errorf("%+v", s)
	}
	if err := rig.Registry.Prepare(rig.Spec("copy-bck")); err != nil {
		t.Errorf("after the rebalance: %v", err)
	}
}
