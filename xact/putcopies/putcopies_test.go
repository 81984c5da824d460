package putcopies

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/xact"
	"github.com/aistore-go/aistore/xact/xacttest"
)

func rig(t *testing.T) (*xacttest.Rig, *Tasks) {
	t.Helper()
	r := xacttest.New(t, xacttest.Options{
		JobID: func(context.Context, string, wire.Bck, string) (string, error) { return "putcopies-1", nil },
	}, Registration())
	return r, NewTasks(r.Env)
}

// TestOneJobCountsAllTasks: tasks of a bucket belong to one job, which counts what each has
// done, and is idle between them.
func TestOneJobCountsAllTasks(t *testing.T) {
	t.Parallel()
	r, tasks := rig(t)
	first, err := tasks.Begin(t.Context(), r.Bck)
	if err != nil {
		t.Fatal(err)
	}
	second, err := tasks.Begin(t.Context(), r.Bck)
	if err != nil {
		t.Fatal(err)
	}
	pending := &core.Pending{Key: r.Key("o-1")}
	first.Did(pending, &core.Arranged{Copied: 2, Bytes: 200}, nil)
	second.Did(pending, &core.Arranged{}, nil) // there was nothing to do
	second.Did(&core.Pending{Key: r.Key("o-2")}, &core.Arranged{}, errors.New("disk full"))
	end, err := first.Begin(t.Context())
	if err != nil {
		t.Error(err)
	}
	end(200)
	all := r.Registry.Snaps(xact.Query{Kind: xact.KindPutCopies})
	if len(all) != 1 {
		t.Fatalf("%d jobs", len(all))
	}
	s := all[0]
	if s.ID != "putcopies-1" || s.Bck != r.Bck || s.IsIdle || s.Stats.LocalObjects != 1 || s.Stats.LocalBytes != 200 ||
		!strings.Contains(s.Error, "o-2") || !strings.Contains(s.Error, "disk full") {
		t.Errorf("%+v", s)
	}
	first.End()
	second.End()
	third, err := tasks.Begin(t.Context(), r.Bck)
	if err != nil {
		t.Fatal(err)
	}
	defer third.End()
	if n := len(r.Registry.Snaps(xact.Query{Kind: xact.KindPutCopies})); n != 1 {
		t.Errorf("%d jobs", n)
	}
}

// TestStoppedByAUser: the task ends, and the job does not begin again by itself for a
// while.
func TestStoppedByAUser(t *testing.T) {
	t.Parallel()
	r, tasks := rig(t)
	task, err := tasks.Begin(t.Context(), r.Bck)
	if err != nil {
		t.Fatal(err)
	}
	r.Registry.AbortAll(func(*xact.Xaction) bool { return true }, xact.ErrUserAbort)
	<-task.Context().Done()
	if !errors.Is(context.Cause(task.Context()), xact.ErrUserAbort) {
		t.Errorf("%v", context.Cause(task.Context()))
	}
	task.End()
	if _, err := tasks.Begin(t.Context(), r.Bck); err == nil || !strings.Contains(err.Error(), "stopped by a user") {
		t.Errorf("%v", err)
	}
}

// TestReplacedByAnotherJob: one that gave way begins again with the next task.
func TestReplacedByAnotherJob(t *testing.T) {
	t.Parallel()
	r, tasks := rig(t)
	task, err := tasks.Begin(t.Context(), r.Bck)
	if err != nil {
		t.Fatal(err)
	}
	r.Registry.AbortAll(func(*xact.Xaction) bool { return true }, xact.ErrRenewal)
	<-task.Context().Done()
	task.End()
	again, err := tasks.Begin(t.Context(), r.Bck)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Context().Err(); err != nil {
		t.Error(err)
	}
	again.End()
}

// TestBucketIsDestroyed ends the job.
func TestBucketIsDestroyed(t *testing.T) {
	t.Parallel()
	r, tasks := rig(t)
	task, err := tasks.Begin(t.Context(), r.Bck)
	if err != nil {
		t.Fatal(err)
	}
	r.Registry.Applied(&meta.View{}) // no metadata tell nothing
	if err := task.Context().Err(); err != nil {
		t.Error(err)
	}
	r.Registry.Applied(&meta.View{BMD: meta.NewBMD("cluster01", 3)})
	<-task.Context().Done()
	if why := context.Cause(task.Context()); !strings.Contains(why.Error(), "was destroyed") {
		t.Error(why)
	}
	task.End()
}
