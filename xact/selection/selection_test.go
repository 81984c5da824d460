package selection_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/hrw"
	"github.com/aistore-go/aistore/cmn/template"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/xact"
	"github.com/aistore-go/aistore/xact/selection"
	"github.com/aistore-go/aistore/xact/xacttest"
)

// fakeCluster answers what the visits of a selection ask; every name that is asked about
// is the target's own.
type fakeCluster struct {
	selection.Cluster
	mu      sync.Mutex
	asked   []string
	answers func(name string) (bool, error)
}

func (c *fakeCluster) Answers(_ context.Context, key core.Key, _ core.Stamp) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = append(c.asked, key.Name)
	return c.answers(key.Name)
}

// visits is a job that goes through a selection as a given target.
type visits struct {
	share   *selection.Share
	cluster selection.Cluster
	options selection.Options
	fail    func(name string) error

	mu    sync.Mutex
	names []string
	sizes map[string]int64
}

func (v *visits) Run(ctx context.Context, x *xact.Xaction) error {
	return v.share.Each(ctx, x, v.cluster, &v.options, func(_ context.Context, obj *selection.Object) error {
		if v.fail != nil {
			if err := v.fail(obj.Key.Name); err != nil {
				return err
			}
		}
		v.mu.Lock()
		defer v.mu.Unlock()
		v.names = append(v.names, obj.Key.Name)
		v.sizes[obj.Key.Name] = obj.Size
		return nil
	})
}

// rig is a target "t1" of a cluster of three, whose bucket has the objects "o-00" to
// "o-29" and "dir/a".
type rig struct {
	*xacttest.Rig
	job *visits // which runs next
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{}
	r.Rig = xacttest.New(t, xacttest.Options{}, xact.Registration{Kind: wire.ActDeleteListRange, New: func(*xact.Env, *xact.Spec) (xact.Job, error) {
		return r.job, nil
	}})
	targets := map[string]*meta.Snode{}
	for _, id := range []string{"t1", "t2", "t3"} {
		targets[id] = &meta.Snode{ID: id, Digest: hrw.Digest(id), Role: meta.RoleTarget}
	}
	r.View.Smap = (&meta.Smap{Version: 1, Tmap: targets, Pmap: map[string]*meta.Snode{}}).Freeze()
	for i := range 30 {
		r.Put(fmt.Sprintf("o-%02d", i), strings.Repeat("x", i+1))
	}
	r.Put("dir/a", "content")
	return r
}

// visit goes through a selection as one target, and returns the job and its last
// snapshot.
func (r *rig) visit(t *testing.T, as string, list *wire.ListRange, change func(*visits)) (*visits, *wire.Snap) {
	t.Helper()
	selected, err := template.Select(list)
	if err != nil {
		t.Fatal(err)
	}
	env := *r.Env
	env.NodeID = as
	spec := r.Spec(wire.ActDeleteListRange)
	spec.Targets = []string{"t3", "t2", "t1"}
	v := &visits{sizes: map[string]int64{}, options: selection.Options{Bck: r.Bck, Props: r.Props, Selection: selected}}
	if v.share, err = selection.NewShare(&env, spec); err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(v)
	}
	r.job = v
	return v, r.Run(spec)
}

// TestEveryNameHasOneTarget: the shares of all targets have each name once, whether names
// are given or are what the index of the target has.
func TestEveryNameHasOneTarget(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for name, tc := range map[string]struct {
		list wire.ListRange
		want int
		flat bool
	}{
		"a range":                {list: wire.ListRange{Template: "n-{000..199}"}, want: 200},
		"a list":                 {list: wire.ListRange{Names: []string{"o-03", "none", "dir/a"}}, want: 3},
		"a prefix":               {list: wire.ListRange{Template: "o-1"}, want: 10},
		"everything":             {list: wire.ListRange{}, want: 31},
		"everything at the top":  {list: wire.ListRange{}, want: 30, flat: true},
		"a prefix of no objects": {list: wire.ListRange{Template: "p"}, want: 0},
	} {
		var all []string
		for _, target := range []string{"t1", "t2", "t3"} {
			v, s := r.visit(t, target, &tc.list, func(v *visits) { v.options.NonRecursive = tc.flat })
			if s.Aborted || s.Error != "" {
				t.Errorf("%s, %s: %+v", name, target, s)
			}
			if tc.want > 20 && len(v.names) == 0 {
				t.Errorf("%s: %s has no share", name, target)
			}
			all = append(all, v.names...)
		}
		slices.Sort(all)
		if len(all) != tc.want || len(slices.Compact(all)) != tc.want {
			t.Errorf("%s: %d names, want %d different ones: %q", name, len(all), tc.want, all)
		}
	}
	v, _ := r.visit(t, "t1", &wire.ListRange{Template: "o-"}, nil)
	for name, size := range v.sizes {
		if want := fmt.Sprintf("o-%02d", size-1); name != want {
			t.Errorf("%s has %d bytes", name, size)
		}
	}
}

// TestWhileThePlacementIsUnsettled: what a target holds and does not own is visited if the
// cluster says that nobody else would.
func TestWhileThePlacementIsUnsettled(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	settled, _ := r.visit(t, "t1", &wire.ListRange{}, nil)
	r.View.Placement = &meta.Placement{Version: 2, Sets: []meta.TargetSet{{Epoch: 1, Targets: []string{"t1"}}, {Epoch: 2, Targets: []string{"t1", "t2", "t3"}}}}
	tries := map[string]int{}
	cluster := &fakeCluster{answers: func(name string) (bool, error) {
		if tries[name]++; tries[name] == 1 && name == "o-07" {
			return false, apierr.Unavailable(selection.Again, "its owner does not answer")
		}
		return name != "o-08", nil
	}}
	v, s := r.visit(t, "t1", &wire.ListRange{}, func(v *visits) { v.cluster = cluster })
	if s.Aborted || s.Error != "" {
		t.Fatalf("%+v", s)
	}
	for _, name := range settled.names {
		if slices.Contains(cluster.asked, name) {
			t.Errorf("%s is owned, and asked about", name)
		}
	}
	want := 31
	if slices.Contains(cluster.asked, "o-08") {
		want-- // another target visits it
	}
	if len(v.names) != want || len(slices.Compact(slices.Sorted(slices.Values(v.names)))) != want {
		t.Errorf("%d visits, want %d: %q", len(v.names), want, v.names)
	}
	if slices.Contains(cluster.asked, "o-07") && tries["o-07"] != 2 {
		t.Errorf("a question that failed with 503 was put %d times", tries["o-07"])
	}
}

// TestErrorsOfVisits: what an error of one object means for the job.
func TestErrorsOfVisits(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	missing := apierr.New(404, wire.CodeNotFound, "it does not exist")
	gone := apierr.New(404, wire.CodeBckNotFound, "the bucket does not exist")
	broken := apierr.New(500, "", "it is broken")
	names := make([]string, 60)
	for i := range names {
		names[i] = fmt.Sprintf("n-%02d", i)
	}
	listed, ranged := &wire.ListRange{Names: names}, &wire.ListRange{Template: "n-{00..59}"}
	for name, tc := range map[string]struct {
		list    *wire.ListRange
		err     error
		goOn    bool
		aborted string // text of the cause; "": it ends by itself
		error   string // text of its errors
		all     bool   // the others are visited
	}{
		"a listed object is missing":          {list: listed, err: missing, error: "does not exist", all: true},
		"one of a range is missing":           {list: ranged, err: missing, all: true},
		"the bucket is gone":                  {list: ranged, err: gone, aborted: "the bucket does not exist"},
		"an object is broken":                 {list: ranged, err: broken, aborted: "it is broken"},
		"an object is broken, and it goes on": {list: ranged, err: broken, goOn: true, error: "it is broken", all: true},
	} {
		once := sync.Once{}
		v, s := r.visit(t, "t2", tc.list, func(v *visits) {
			v.options.ContinueOnError = tc.goOn
			v.fail = func(string) (err error) {
				once.Do(func() { err = tc.err })
				return err
			}
		})
		if s.Aborted != (tc.aborted != "") || !strings.Contains(s.AbortError, tc.aborted) || !strings.Contains(s.Error, tc.error) || tc.error == "" && !s.Aborted && s.Error != "" {
			t.Errorf("%s: %+v", name, s)
		}
		if whole, _ := r.visit(t, "t2", ranged, nil); tc.all && len(v.names) != len(whole.names)-1 {
			t.Errorf("%s: %d visits, want %d", name, len(v.names), len(whole.names)-1)
		}
	}
}

// TestPatience: what fails with 503 is tried again, and nothing else is.
func TestPatience(t *testing.T) {
	t.Parallel()
	unavailable := apierr.Unavailable(selection.Again, "its owner does not answer")
	broken := errors.New("broken")
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	for name, tc := range map[string]struct {
		ctx   context.Context
		errs  []error
		want  error
		tries int
	}{
		"at once":          {t.Context(), []error{nil}, nil, 1},
		"after two tries":  {t.Context(), []error{unavailable, unavailable, nil}, nil, 3},
		"another error":    {t.Context(), []error{broken, nil}, broken, 1},
		"then another":     {t.Context(), []error{unavailable, broken, nil}, broken, 2},
		"the job is ended": {stopped, []error{unavailable, nil}, unavailable, 1},
	} {
		tries := 0
		err := selection.Patiently(tc.ctx, func() error { tries++; return tc.errs[tries-1] })
		if !errors.Is(err, tc.want) || tries != tc.tries {
			t.Errorf("%s: %v after %d tries, want %v after %d", name, err, tries, tc.want, tc.tries)
		}
	}
}

// TestSharesThatAreRefused: all targets have to see the same targets, and a number of
// workers has to mean something.
func TestSharesThatAreRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, targets := range [][]string{{"t1", "t2"}, {"t1", "t2", "t4"}, {}} {
		spec := r.Spec(wire.ActDeleteListRange)
		spec.Targets = targets
		if _, err := selection.NewShare(r.Env, spec); apierr.StatusOf(err) != 409 || !strings.Contains(err.Error(), "please try again") {
			t.Errorf("%v: %v", targets, err)
		}
	}
	for n, status := range map[int]int{-2: 400, -1: 0, 0: 0, 7: 0} {
		if err := selection.CheckWorkers(n); (err != nil) != (status != 0) || err != nil && apierr.StatusOf(err) != status {
			t.Errorf("%d workers: %v", n, err)
		}
	}
	if _, err := selection.Bucket(r.Env, r.Bck, r.Props.BID+1); apierr.StatusOf(err) != 404 {
		t.Errorf("another incarnation of the bucket: %v", err)
	}
	if props, err := selection.Bucket(r.Env, r.Bck, 0); err != nil || props.BID != r.Props.BID {
		t.Errorf("any incarnation: %+v, %v", props, err)
	}
	r.View.Smap = nil
	if _, err := selection.NewShare(r.Env, r.Spec(wire.ActDeleteListRange)); apierr.StatusOf(err) != 503 {
		t.Errorf("no map: %v", err)
	}
}
