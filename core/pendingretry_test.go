package core

import (
	"fmt"
	"testing"
	"time"

	"github.com/aistore-go/aistore/core/meta"
)

func TestRetries(t *testing.T) {
	t.Parallel()
	now := time.Unix(1e9, 0)
	r := NewRetries(time.Second, 30*time.Second)
	name := func(name string, clock uint64) *Pending {
		return &Pending{Key: Key{Name: name, Props: &meta.Bprops{BID: 7}}, Stamp: Stamp{Clock: clock}}
	}
	a := name("a", 1)
	for _, seconds := range []int{1, 2, 4, 8, 16, 30, 30} {
		want := time.Duration(seconds) * time.Second
		if !r.Due(a, now) {
			t.Fatalf("before a wait of %v it is not due", want)
		}
		r.Failed(a, now)
		if got := r.Next(now); got != want || r.Due(a, now.Add(want-1)) {
			t.Fatalf("due after %v, or before; want %v", got, want)
		}
		if !r.Due(name("a", 2), now) || !r.Due(name("b", 1), now) {
			t.Fatal("another generation, or another name, waits")
		}
		now = now.Add(want)
	}
	r.Failed(name("a", 2), now)
	if got := r.Next(now); got != time.Second {
		t.Errorf("another generation has failed for the first time, and waits for %v", got)
	}
	r.Done(a)
	if got := r.Next(now); got != 30*time.Second || !r.Due(a, now) {
		t.Errorf("done, and due after %v", got)
	}
	// What owes nothing any more is not remembered for ever.
	r.Failed(a, now)
	_ = r.Next(now.Add(32 * time.Second))
	if len(r.names) != 0 {
		t.Errorf("%d names", len(r.names))
	}
	// There is a bound; who is beyond it waits for the longest time.
	for i := range maxRetries {
		r.Failed(name(fmt.Sprint(i), 1), now)
	}
	r.Failed(a, now)
	if len(r.names) != maxRetries || r.Due(a, now.Add(29*time.Second)) || !r.Due(a, now.Add(30*time.Second)) {
		t.Errorf("%d names", len(r.names))
	}
	var none *Retries
	if none.Failed(a, now); !none.Due(a, now) {
		t.Error("no Retries delay something")
	}
	none.Done(a)
}
