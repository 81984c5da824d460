package core

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/cksum"
)

// gate is a guard that tests open and close.
type gate struct {
	refuse, expire atomic.Bool
	begun, ended   atomic.Int64
	epoch          atomic.Uint64
	onBegin        func()
}

func (g *gate) Begin(key Key, _ uint64) (Ticket, error) {
	if g.refuse.Load() {
		return 0, apierr.Unavailable(time.Second, "%s: not the owner", key.Cname())
	}
	if g.onBegin != nil {
		g.onBegin()
	}
	return Ticket(g.begun.Add(1)), nil
}

func (g *gate) End(Ticket) error {
	g.ended.Add(1)
	if g.expire.Load() {
		return apierr.Unavailable(time.Second, "the lease has ended")
	}
	return nil
}

func guarded(t *testing.T, g *gate, props func(*rigOptions)) *rig {
	t.Helper()
	o := rigOptions{store: func(o *Options) { o.Guard, o.Epoch = g, g.epoch.Load }}
	if props != nil {
		props(&o)
	}
	return newRig(t, o)
}

func TestGuardRefuses(t *testing.T) {
	t.Parallel()
	g := &gate{}
	r := guarded(t, g, nil)
	r.put("o", "old")
	g.refuse.Store(true)
	if _, err := r.tryPut("o", "new", PutOptions{Size: 3}); statusOf(err) != 503 {
		t.Errorf("PUT: %v", err)
	}
	for _, name := range []string{"o", "absent"} { // who is not the owner cannot know that it is absent
		if err := r.store.Delete(context.Background(), r.key(name)); statusOf(err) != 503 {
			t.Errorf("DELETE %s: %v", name, err)
		}
	}
	if content, _, _ := r.get("o"); content != "old" {
		t.Errorf("%q", content)
	}
	if left := r.files("/%ob/"); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// TestGuardForbidsTheAnswer ends the lease between the commit and the answer:
// what took place is not acknowledged, and every ticket is given back.
func TestGuardForbidsTheAnswer(t *testing.T) {
	t.Parallel()
	for name, props := range map[string]func(*rigOptions){"none": nil, "sync": func(o *rigOptions) { o.props = durable }} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := &gate{}
			r := guarded(t, g, props)
			r.put("o", "old")
			g.expire.Store(true)
			if _, err := r.tryPut("o", "new", PutOptions{Size: 3}); statusOf(err) != 503 {
				t.Errorf("PUT: %v", err)
			}
			if content, _, _ := r.get("o"); content != "new" {
				t.Errorf("%q", content)
			}
			sum, err := cksum.Of(r.props.Checksum.Type, []byte("new"))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := r.tryPut("o", "new", PutOptions{Size: 3, Checksum: sum}); statusOf(err) != 503 {
				t.Errorf("identical PUT: %v", err)
			}
			for range 2 {
				if err := r.store.Delete(context.Background(), r.key("o")); statusOf(err) != 503 {
					t.Errorf("DELETE: %v", err)
				}
			}
			if g.begun.Load() != g.ended.Load() {
				t.Errorf("%d commits began, %d ended", g.begun.Load(), g.ended.Load())
			}
		})
	}
}

// TestStampHasTheEpochOfTheCommit changes the placement between the making of
// the record and the commit.
func TestStampHasTheEpochOfTheCommit(t *testing.T) {
	t.Parallel()
	for name, props := range map[string]func(*rigOptions){"none": nil, "sync": func(o *rigOptions) { o.props = durable }} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := &gate{}
			r := guarded(t, g, props)
			g.epoch.Store(3)
			g.onBegin = func() { g.epoch.CompareAndSwap(3, 4) }
			attrs, err := r.tryPut("o", "new", PutOptions{Size: 3})
			if err != nil || attrs.Stamp.Epoch != 4 {
				t.Errorf("stamp %+v, %v", attrs.Stamp, err)
			}
			if _, again, _ := r.get("o"); again.Stamp != attrs.Stamp {
				t.Errorf("stored %+v, answered %+v", again.Stamp, attrs.Stamp)
			}
			if g.begun.Load() != g.ended.Load() {
				t.Errorf("%d commits began, %d ended", g.begun.Load(), g.ended.Load())
			}
		})
	}
}
