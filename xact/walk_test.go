package xact_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/xact"
	"github.com/aistore-go/aistore/xact/xacttest"
)

func TestWalkVisitsEverythingOnce(t *testing.T) {
	var names []string
	var o xact.WalkOptions
	var fail error
	job := func(ctx context.Context, x *xact.Xaction) error {
		names = nil
		var mu sync.Mutex
		return x.Walk(ctx, o, func(_ context.Context, f *xact.Found) error {
			mu.Lock()
			defer mu.Unlock()
			names = append(names, f.Key.Name)
			if f.Entry.Attrs.Size != int64(len(f.Key.Name)) {
				return fmt.Errorf("%s has %d bytes", f.Key.Name, f.Entry.Attrs.Size)
			}
			return fail
		})
	}
	rig := xacttest.New(t, xacttest.Options{Mountpaths: 3}, kindOf("load-lom-cache", job))
	var all []string
	for i := range 2500 {
		name := fmt.Sprintf("d%d/o%04d", i%2, i)
		rig.Put(name, name)
		all = append(all, name)
	}
	rig.Put("top", "top")
	slices.Sort(all)
	for _, tc := range []struct {
		name string
		o    xact.WalkOptions
		want []string
	}{
		{"bucket", xact.WalkOptions{Bck: rig.Bck, Workers: 3}, append(slices.Clone(all), "top")},
		{"all buckets", xact.WalkOptions{}, append(slices.Clone(all), "top")},
		{"every file", xact.WalkOptions{Everything: true}, append(slices.Clone(all), "top")},
		{"prefix", xact.WalkOptions{Bck: rig.Bck, Prefix: "d0/"}, all[:1250]},
		{"not recursive", xact.WalkOptions{Bck: rig.Bck, NonRecursive: true}, []string{"top"}},
		{"resumed", xact.WalkOptions{Bck: rig.Bck, After: all[2499]}, []string{"top"}},
	} {
		o = tc.o
		o.Props = core.ListSize
		s := rig.Run(rig.Spec("load-lom-cache"))
		if slices.Sort(names); s.Aborted || !slices.Equal(names, tc.want) {
			t.Errorf("%s: %d names, want %d (%s)", tc.name, len(names), len(tc.want), s.AbortError)
		}
	}
	o, fail = xact.WalkOptions{Bck: rig.Bck, Props: core.ListSize}, errors.New("enough")
	if s := rig.Run(rig.Spec("load-lom-cache")); s.AbortError != "enough" {
		t.Errorf("the error of a visit is that of the walk: %+v", s)
	}
}

func TestAbortEndsAWalk(t *testing.T) {
	rig := xacttest.New(t, xacttest.Options{}, kindOf("load-lom-cache", func(ctx context.Context, x *xact.Xaction) error {
		return x.Walk(ctx, xact.WalkOptions{Bck: x.Spec().Bck}, func(ctx context.Context, _ *xact.Found) error {
			x.AddObjects(1, 0)
			<-ctx.Done()
			return ctx.Err()
		})
	}))
	for i := range 100 {
		rig.Put(fmt.Sprint(i), "x")
	}
	x := rig.Start(rig.Spec("load-lom-cache"))
	xacttest.Await(t, "the walk begins", func() bool { return x.Objects() > 0 })
	x.Abort(xact.ErrUserAbort)
	if s := rig.Finish(x); s.AbortError != "user abort" || s.Error != "" {
		t.Errorf("%+v", s)
	}
}

func TestJobsHoldBackForUsersOnly(t *testing.T) {
	disk := config.DefaultCluster().Disk // 20, 80, 95
	for _, tc := range []struct {
		load        xact.LoadSample
		least, most float64
	}{
		{xact.LoadSample{Disk: 100, CPU: 100}, 1, 1},
		{xact.LoadSample{Disk: 20, CPU: 50, Users: true}, 1, 1},
		{xact.LoadSample{Disk: 50, Users: true}, 0.5, 0.7},
		{xact.LoadSample{Disk: 80, Users: true}, 0.25, 0.25},
		{xact.LoadSample{Disk: 99, Users: true}, 0.05, 0.05},
		{xact.LoadSample{CPU: 99, Users: true}, 0.1, 0.25},
		{xact.LoadSample{Slow: 100}, 1, 1},
		{xact.LoadSample{Slow: 2, Disk: 10, Users: true}, 1, 1},
		{xact.LoadSample{Slow: 5, Disk: 10, Users: true}, 0.5, 0.7},
		{xact.LoadSample{Slow: 8, Users: true}, 0.25, 0.25},
		{xact.LoadSample{Slow: 1e18, Users: true}, 0.05, 0.05},
	} {
		if s := xact.Share(tc.load, &disk); s < tc.least || s > tc.most {
			t.Errorf("%+v: a share of %.2f, want %.2f to %.2f", tc.load, s, tc.least, tc.most)
		}
	}
	disk.UtilLowWM, disk.UtilHighWM = 60, 90
	if s := xact.Share(xact.LoadSample{Disk: 50, Users: true}, &disk); s != 1 {
		t.Errorf("below the configured watermark: %.2f", s)
	}
}
