package target

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aistore-go/aistore/cmn/hrw"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
)

// guardRig is a guard in a control plane of its own.
type guardRig struct {
	*Guard
	leaseless atomic.Bool
	fenced    atomic.Pointer[string]
	reported  chan int64
	view      *meta.View
}

func (r *guardRig) LeaseValid() bool       { return !r.leaseless.Load() }
func (r *guardRig) Quiesced(version int64) { r.reported <- version }
func (r *guardRig) Fenced() string {
	if why := r.fenced.Load(); why != nil {
		return *why
	}
	return ""
}

func guardNode(id string) *meta.Snode {
	net := meta.NetInfo{Host: "h", Port: "1", URL: "http://h:1"}
	return meta.NewSnode(id, meta.RoleTarget, net, net, net)
}

// newGuardRig is the guard of target a, in a cluster of a and b.
func newGuardRig(tb testing.TB) *guardRig {
	tb.Helper()
	r := &guardRig{reported: make(chan int64, 100), view: &meta.View{}}
	r.Guard = NewGuard("t[a]", "a", r)
	patch := &meta.SmapPatch{Put: []*meta.Snode{guardNode("a"), guardNode("b")}, UUID: "uuid", Lineage: "lineage"}
	r.change(tb, meta.KindSmap, patch)
	r.change(tb, meta.KindPlacement, &meta.PlacementPatch{Targets: meta.NextTargets(nil, patch)})
	return r
}

// change applies one change to the view and the view to the guard.
func (r *guardRig) change(tb testing.TB, kind string, patch any) {
	tb.Helper()
	change, err := meta.NewChange(r.view, kind, patch)
	if err != nil {
		tb.Fatal(err)
	}
	next, err := r.view.Apply(&meta.Command{ID: fmt.Sprint(r.view.Index), Changes: []meta.Change{change}}, 1, r.view.Index+1)
	if err != nil {
		tb.Fatal(err)
	}
	r.view = next
	r.Apply(next)
}

// join makes target c pending.
func (r *guardRig) join(tb testing.TB) {
	r.change(tb, meta.KindTransition, &meta.TransitionPatch{Begin: &meta.PendingMap{
		Action: "join", Patch: meta.SmapPatch{Put: []*meta.Snode{guardNode("c")}}, Targets: []string{"a", "b", "c"},
	}})
}

// name finds one with the given owners now and after c is in.
func (r *guardRig) name(tb testing.TB, now, next string) (core.Key, uint64) {
	tb.Helper()
	bck := wire.Bck{Name: "b", Provider: wire.ProviderAIS}
	after := &meta.Smap{Tmap: map[string]*meta.Snode{"a": guardNode("a"), "b": guardNode("b"), "c": guardNode("c")}}
	after.Freeze()
	for i := range 10_000 {
		name := fmt.Sprint("o", i)
		digest := hrw.Digest(bck.Uname(name))
		one, err := r.view.Smap.Owner(digest)
		if err != nil {
			tb.Fatal(err)
		}
		two, err := after.Owner(digest)
		if err != nil {
			tb.Fatal(err)
		}
		if one.ID == now && two.ID == next {
			return core.Key{Bck: bck, Name: name}, digest
		}
	}
	tb.Fatalf("no name goes from %s to %s", now, next)
	return core.Key{}, 0
}

func (r *guardRig) may(tb testing.TB, now, next string) error {
	tb.Helper()
	key, digest := r.name(tb, now, next)
	t, err := r.Begin(key, digest)
	if err != nil {
		return err
	}
	return r.End(t)
}

func TestGuardRules(t *testing.T) {
	t.Parallel()
	r := newGuardRig(t)
	if err := r.may(t, "a", "a"); err != nil {
		t.Error(err)
	}
	if err := r.may(t, "b", "b"); err == nil {
		t.Error("a foreign name was let through")
	}
	if err := r.may(t, "a", "c"); err != nil {
		t.Error(err)
	}
	r.join(t)
	if err := r.may(t, "a", "a"); err != nil {
		t.Error(err)
	}
	if err := r.may(t, "a", "c"); err == nil {
		t.Error("a name that moves was let through")
	}
	r.change(t, meta.KindTransition, &meta.TransitionPatch{})
	if err := r.may(t, "a", "c"); err != nil {
		t.Error(err)
	}
	r.leaseless.Store(true)
	if err := r.may(t, "a", "a"); err == nil {
		t.Error("a write without a lease was let through")
	}
	r.leaseless.Store(false)
	why := "another lineage"
	r.fenced.Store(&why)
	if err := r.may(t, "a", "a"); err == nil {
		t.Error("a write of a fenced node was let through")
	}
	r.fenced.Store(nil)
	key, digest := r.name(t, "a", "a")
	ticket, err := r.Begin(key, digest)
	if err != nil {
		t.Fatal(err)
	}
	r.leaseless.Store(true)
	if err := r.End(ticket); err == nil {
		t.Error("a write whose lease ended was acknowledged")
	}
	r.leaseless.Store(false)
	if !r.Close(context.Background()) {
		t.Error("commits are left")
	}
	if err := r.may(t, "a", "a"); err == nil {
		t.Error("a write was let through after the end")
	}
}

// TestGuardReportsWhenDrained and not before: a commit of before holds the
// report up, one of after does not.
func TestGuardReportsWhenDrained(t *testing.T) {
	t.Parallel()
	r := newGuardRig(t)
	key, digest := r.name(t, "a", "c")
	old, err := r.Begin(key, digest)
	if err != nil {
		t.Fatal(err)
	}
	r.join(t)
	key, digest = r.name(t, "a", "a")
	fresh, err := r.Begin(key, digest)
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-r.reported:
		t.Fatal("reported while an earlier commit was under way")
	case <-time.After(20 * time.Millisecond):
	}
	if err := r.End(old); err != nil {
		t.Error(err)
	}
	if version := <-r.reported; version != r.view.Transition.Version {
		t.Errorf("reported %d, want %d", version, r.view.Transition.Version)
	}
	if err := r.End(fresh); err != nil {
		t.Error(err)
	}
}

// TestGuardNeverReportsTooEarly has writers commit all the time while
// transitions come and go: when one is reported, no commit is under way that
// began by the map before it.
func TestGuardNeverReportsTooEarly(t *testing.T) {
	t.Parallel()
	r := newGuardRig(t)
	key, digest := r.name(t, "a", "c") // may be written only while nothing is pending
	var flying atomic.Int64
	stop := make(chan struct{})
	var writers sync.WaitGroup
	for range 4 {
		writers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if ticket, err := r.Begin(key, digest); err == nil {
					flying.Add(1)
					for range 50 {
						_ = r.Epoch()
					}
					flying.Add(-1)
					if err := r.End(ticket); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	for range 100 {
		r.join(t)
		for <-r.reported != r.view.Transition.Version {
		}
		if n := flying.Load(); n != 0 {
			t.Errorf("reported while %d commits of the map before were under way", n)
		}
		r.change(t, meta.KindTransition, &meta.TransitionPatch{})
	}
	close(stop)
	writers.Wait()
}

func BenchmarkGuard(b *testing.B) {
	r := newGuardRig(b)
	key, digest := r.name(b, "a", "a")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := uint64(0); pb.Next(); i++ {
			t, err := r.Begin(key, digest)
			if err != nil {
				b.Fatal(err)
			}
			if err := r.End(t); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// TestQuiesce waits for what began before, and for nothing that begins later.
func TestQuiesce(t *testing.T) {
	t.Parallel()
	r := newGuardRig(t)
	key, digest := r.name(t, "a", "a")
	early, err := r.Begin(key, digest)
	if err != nil {
		t.Fatal(err)
	}
	bounded, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := r.Quiesce(bounded); err == nil {
		t.Fatal("a commit is under way")
	}
	// Several wait at the same time, and the one that was given up goes on.
	done := make(chan error, 3)
	for range cap(done) {
		go func() { done <- r.Quiesce(t.Context()) }()
	}
	late, err := r.Begin(key, digest)
	if err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		t.Fatalf("with a commit under way: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	if err := r.End(early); err != nil {
		t.Fatal(err)
	}
	if err := r.End(late); err != nil { // which side of the turns it is on is open
		t.Fatal(err)
	}
	for range cap(done) {
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(time.Minute):
			t.Fatal("nobody wakes who waits")
		}
	}
	next, err := r.Begin(key, digest)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.End(next); err != nil {
		t.Fatal(err)
	}
	if !r.Close(t.Context()) {
		t.Error("commits are under way at the end")
	}
}

// TestQuiesceUnderLoad: with commits all the time every turn comes to its end.
func TestQuiesceUnderLoad(t *testing.T) {
	t.Parallel()
	r := newGuardRig(t)
	key, digest := r.name(t, "a", "a")
	ctx, stop := context.WithCancel(t.Context())
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for ctx.Err() == nil {
				if ticket, err := r.Begin(key, digest); err == nil {
					_ = r.End(ticket)
				}
			}
		})
	}
	for range 500 {
		bounded, cancel := context.WithTimeout(ctx, time.Minute)
		if err := r.Quiesce(bounded); err != nil {
			t.Error(err)
		}
		cancel()
	}
	stop()
	group.Wait()
}
