package remove

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/xact/xacttest"
)

// alone is a cluster of one target.
type alone struct {
	store *core.Store
	fail  func(name string) error // before the removal; may be nil
}

func (c *alone) Remove(ctx context.Context, key core.Key) (int64, error) {
	if c.fail != nil {
		if err := c.fail(key.Name); err != nil {
			return 0, err
		}
	}
	attrs, err := c.store.Head(ctx, key)
	if err != nil {
		return 0, err
	}
	return attrs.Size, c.store.Delete(ctx, key)
}

func (c *alone) Stat(ctx context.Context, key core.Key) (core.Attrs, error) {
	return c.store.Head(ctx, key)
}

func (c *alone) Copy(context.Context, string, core.Key, core.Key, bool) (core.Attrs, bool, error) {
	return core.Attrs{}, false, errors.New("not of this job")
}

func (c *alone) Present(context.Context, wire.Bck, *meta.Bprops, []string) ([]bool, error) {
	return nil, errors.New("not of this job")
}

func (c *alone) Answers(context.Context, core.Key, core.Stamp) (bool, error) { return true, nil }

// rig is a target with ten objects "o-0" to "o-9".
func rig(t *testing.T, fail func(name string) error) *xacttest.Rig {
	t.Helper()
	cluster := &alone{fail: fail}
	r := xacttest.New(t, xacttest.Options{}, Registration(cluster))
	cluster.store = r.Store
	target := meta.Snode{ID: "t1", Role: meta.RoleTarget}
	r.View.Smap = (&meta.Smap{Version: 1, Tmap: map[string]*meta.Snode{"t1": &target}, Pmap: map[string]*meta.Snode{}}).Freeze()
	for i := range 10 {
		r.Put(fmt.Sprintf("o-%d", i), "0123456789")
	}
	return r
}

func remove(t *testing.T, r *xacttest.Rig, args string) *wire.Snap {
	t.Helper()
	spec := r.Spec(wire.ActDeleteListRange)
	spec.Args = []byte(args)
	return r.Run(spec)
}

func TestErrorsOfSingleObjects(t *testing.T) {
	t.Parallel()
	broken := func(name string) error {
		if name == "o-3" {
			return apierr.New(500, "", "o-3 is broken")
		}
		return nil
	}
	t.Run("the first ends the job", func(t *testing.T) {
		t.Parallel()
		if s := remove(t, rig(t, broken), `{"template":"o-{0..9}"}`); !s.Aborted || !strings.Contains(s.AbortError, "o-3 is broken") {
			t.Errorf("%+v", s)
		}
	})
	t.Run("or it goes on", func(t *testing.T) {
		t.Parallel()
		if s := remove(t, rig(t, broken), `{"template":"o-{0..9}","coer":true}`); s.Aborted || !strings.Contains(s.Error, "o-3 is broken") || s.Stats.LocalObjects != 9 {
			t.Errorf("%+v", s)
		}
	})
	t.Run("missing names of a range are left out", func(t *testing.T) {
		t.Parallel()
		if s := remove(t, rig(t, nil), `{"template":"o-{5..500}"}`); s.Aborted || s.Error != "" || s.Stats.LocalObjects != 5 || s.Stats.LocalBytes != 50 {
			t.Errorf("%+v", s)
		}
	})
	t.Run("missing names of a list are errors and no more", func(t *testing.T) {
		t.Parallel()
		if s := remove(t, rig(t, nil), `{"objnames":["o-1","x","o-2"]}`); s.Aborted || !strings.Contains(s.Error, "x") || s.Stats.LocalObjects != 2 {
			t.Errorf("%+v", s)
		}
	})
	t.Run("a 503 is tried again", func(t *testing.T) {
		t.Parallel()
		var tries atomic.Int32
		s := remove(t, rig(t, func(name string) error {
			if name == "o-1" && tries.Add(1) < 4 {
				return apierr.Unavailable(time.Second, "in a moment")
			}
			return nil
		}), `{"template":"o-"}`)
		if s.Aborted || s.Error != "" || s.Stats.LocalObjects != 10 || tries.Load() != 4 {
			t.Errorf("%+v after %d tries", s, tries.Load())
		}
	})
	t.Run("a bucket that goes is not a missing object", func(t *testing.T) {
		t.Parallel()
		s := remove(t, rig(t, func(string) error { return apierr.BucketNotFound(wire.Bck{Name: "b1", Provider: "ais"}) }), `{"template":"o-{0..9}"}`)
		if !s.Aborted {
			t.Errorf("%+v", s)
		}
	})
}

func TestBadArguments(t *testing.T) {
	t.Parallel()
	r := rig(t, nil)
	for _, args := range []string{``, `{"x":1}`, `{"template":"a{1..2"}`, `{"num-workers":-2}`, `{"objnames":["../a"]}`} {
		spec := r.Spec(wire.ActDeleteListRange)
		spec.Args = []byte(args)
		if err := r.Registry.Prepare(spec); apierr.StatusOf(err) != 400 {
			t.Errorf("%s: %v", args, err)
		}
	}
	spec := r.Spec(wire.ActDeleteListRange)
	spec.Args, spec.Targets = []byte(`{}`), []string{"t1", "t2"}
	if err := r.Registry.Prepare(spec); apierr.StatusOf(err) != 409 {
		t.Errorf("other targets: %v", err)
	}
}
