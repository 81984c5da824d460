package rechunk

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/xact"
	"github.com/aistore-go/aistore/xact/xacttest"
)

// alone is a cluster of one target.
type alone struct {
	store *core.Store
	calls atomic.Int32
	fail  func(ctx context.Context, name string) error // before the work; may be nil
}

func (c *alone) Rechunk(ctx context.Context, key core.Key, chunkSize int64) (core.Rechunked, error) {
	c.calls.Add(1)
	if c.fail != nil {
		if err := c.fail(ctx, key.Name); err != nil {
			return core.Rechunked{}, err
		}
	}
	return c.store.Rechunk(ctx, key, chunkSize)
}

// rig is a target with objects of 1,000, 2,000, ... 9,000 bytes, "a-1" to "a-9", and as
// many others "b-1" to "b-9".
func rig(t *testing.T, props func(*meta.Bprops), fail func(context.Context, string) error) (*xacttest.Rig, *alone) {
	t.Helper()
	return rigOn(t, nil, props, fail)
}

// rigOn is rig on the disks of a system.
func rigOn(t *testing.T, system fs.System, props func(*meta.Bprops), fail func(context.Context, string) error) (*xacttest.Rig, *alone) {
	t.Helper()
	cluster := &alone{fail: fail}
	r := xacttest.New(t, xacttest.Options{System: system, Props: func(p *meta.Bprops) {
		p.Chunks.ChunkSize = 4096
		if props != nil {
			props(p)
		}
	}}, Registration(cluster))
	cluster.store = r.Store
	r.View.Smap = (&meta.Smap{Version: 1, Tmap: map[string]*meta.Snode{"t1": {ID: "t1", Role: meta.RoleTarget}}, Pmap: map[string]*meta.Snode{}}).Freeze()
	for i := 1; i <= 9; i++ {
		for _, letter := range []string{"a", "b"} {
			r.Put(fmt.Sprintf("%s-%d", letter, i), strings.Repeat(letter, 1000*i))
		}
	}
	return r, cluster
}

func run(t *testing.T, r *xacttest.Rig, args string) *wire.Snap {
	t.Helper()
	spec := r.Spec(wire.ActRechunk)
	spec.Args = []byte(args)
	return r.Run(spec)
}

// chunked are the objects that lie in chunks, as "name:chunks".
func chunked(t *testing.T, r *xacttest.Rig) string {
	t.Helper()
	var found []string
	for _, letter := range []string{"a", "b"} {
		for i := 1; i <= 9; i++ {
			name := fmt.Sprintf("%s-%d", letter, i)
			attrs, err := r.Store.Head(t.Context(), r.Key(name))
			if err != nil || attrs.Size != int64(1000*i) {
				t.Fatalf("%s: %d bytes, %v", name, attrs.Size, err)
			}
			if attrs.Chunks > 0 {
				found = append(found, fmt.Sprintf("%s:%d", name, attrs.Chunks))
			}
		}
	}
	return strings.Join(found, " ")
}

func TestRechunk(t *testing.T) {
	t.Parallel()
	r, cluster := rig(t, nil, nil)
	for _, step := range []struct {
		name, args, want string
		objects, bytes   int64
		calls            int32
	}{
		{
			"those with a prefix, from a size on", `{"rechunk":{"objsize-limit":5000,"chunk-size":2000,"prefix":"a-","sync-remote":false}}`,
			"a-5:3 a-6:3 a-7:4 a-8:4 a-9:5", 5, 35_000, 5,
		},
		{"the same again", `{"rechunk":{"objsize-limit":5000,"chunk-size":2000,"prefix":"a-"}}`, "a-5:3 a-6:3 a-7:4 a-8:4 a-9:5", 0, 0, 5},
		{"other sizes", `{"rechunk":{"objsize-limit":7000,"chunk-size":4000}}`, "a-7:2 a-8:2 a-9:3 b-7:2 b-8:2 b-9:3", 8, 59_000, 8},
		{"one file each, of a prefix", `{"rechunk":{"objsize-limit":0,"chunk-size":4000,"prefix":"b-"}}`, "a-7:2 a-8:2 a-9:3", 3, 24_000, 3},
		{"by the bucket's properties", `{"name":"","flags":0}`, "", 3, 24_000, 3},
	} {
		cluster.calls.Store(0)
		s := run(t, r, step.args)
		if s.Aborted || s.Error != "" || s.EndTime.IsZero() || s.Stats.LocalObjects != step.objects || s.Stats.LocalBytes != step.bytes || cluster.calls.Load() != step.calls {
			t.Errorf("%s: %d calls, %+v", step.name, cluster.calls.Load(), s)
		}
		if got := chunked(t, r); got != step.want {
			t.Errorf("%s: %q, want %q (%s)", step.name, got, step.want, s.ControlMessage)
		}
	}
}

func TestRechunkByProperties(t *testing.T) {
	t.Parallel()
	r, _ := rig(t, func(p *meta.Bprops) { p.Chunks.ObjSizeLimit, p.Chunks.ChunkSize = 9000, 3000 }, nil)
	if s := run(t, r, `{"name":"b-"}`); s.Aborted || s.Stats.LocalObjects != 1 {
		t.Errorf("%+v", s)
	}
	if got := chunked(t, r); got != "b-9:3" {
		t.Errorf("%q", got)
	}
}

// TestErrorsOfSingleObjects are counted, and the others are stored anew; only what all
// would meet ends the job.
func TestErrorsOfSingleObjects(t *testing.T) {
	t.Parallel()
	const args = `{"rechunk":{"objsize-limit":1,"chunk-size":1024}}`
	fail := func(err error) func(context.Context, string) error {
		return func(_ context.Context, name string) error {
			if name == "a-7" {
				return err
			}
			return nil
		}
	}
	for _, tc := range []struct {
		name    string
		err     error
		aborted bool
		text    string
	}{
		{"damage", apierr.New(500, wire.CodeBadChecksum, "a-7 is damaged"), false, "a-7 is damaged"},
		{"it was deleted", apierr.ObjectNotFound("a-7"), false, ""},
		{"it is another target's", apierr.Wrap(core.ErrNotOwner, 503, "", "not mine"), false, ""},
		{"no space", apierr.New(507, wire.CodeCapExceeded, "out of space"), true, "out of space"},
		{"the bucket goes", apierr.BucketNotFound(wire.Bck{Name: "b1", Provider: "ais"}), true, "does not exist"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r, _ := rig(t, nil, fail(tc.err))
			s := run(t, r, args)
			if s.Aborted != tc.aborted || !strings.Contains(s.Error+s.AbortError, tc.text) || !tc.aborted && s.Stats.LocalObjects != 15 || tc.text == "" && s.Error != "" {
				t.Errorf("%+v", s)
			}
		})
	}
	t.Run("a 503 is tried again", func(t *testing.T) {
		t.Parallel()
		var tries atomic.Int32
		r, _ := rig(t, nil, func(_ context.Context, name string) error {
			if name == "a-7" && tries.Add(1) < 3 {
				return apierr.Unavailable(time.Second, "in a moment")
			}
			return nil
		})
		if s := run(t, r, args); s.Aborted || s.Error != "" || s.Stats.LocalObjects != 16 || tries.Load() != 3 {
			t.Errorf("%d tries, %+v", tries.Load(), s)
		}
	})
}

// TestAbortAndGoOn: a job that is stopped leaves every object in the old form or in the
// new one, and the next one does the rest.
func TestAbortAndGoOn(t *testing.T) {
	t.Parallel()
	const args = `{"rechunk":{"objsize-limit":1,"chunk-size":1024}}`
	begun := make(chan struct{}, 100)
	var open atomic.Bool
	r, cluster := rig(t, nil, func(ctx context.Context, name string) error {
		if name != "b-5" || open.Load() {
			return nil
		}
		begun <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	})
	spec := r.Spec(wire.ActRechunk)
	spec.Args = []byte(args)
	x := r.Start(spec)
	<-begun
	x.Abort(xact.ErrUserAbort)
	if s := r.Finish(x); !s.Aborted || s.AbortError != "user abort" || s.Error != "" {
		t.Errorf("%+v", s)
	}
	before := x.Objects()
	_ = chunked(t, r) // all are whole
	open.Store(true)
	cluster.calls.Store(0)
	if s := run(t, r, args); s.Aborted || s.Stats.LocalObjects != 16-before {
		t.Errorf("%d were done before: %+v", before, s)
	}
}

func TestBadArguments(t *testing.T) {
	t.Parallel()
	r, _ := rig(t, nil, nil)
	for _, args := range []string{
		``, `{"x":1}`, `{"rechunk":{"chunk-size":0}}`, `{"rechunk":{"chunk-size":-1}}`, `{"rechunk":{"chunk-size":1023}}`, `{"rechunk":{"chunk-size":5368709121}}`,
		`{"rechunk":{"chunk-size":4096,"objsize-limit":-1}}`, `{"rechunk":{"chunk-size":4096,"prefix":"../a"}}`, `{"rechunk":{"chunk-size":4096,"sync-remote":true}}`,
	} {
		spec := r.Spec(wire.ActRechunk)
		spec.Args = []byte(args)
		if err := r.Registry.Prepare(spec); apierr.StatusOf(err) != 400 {
			t.Errorf("%s: %v", args, err)
		}
	}
}
