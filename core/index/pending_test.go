package index

import (
	"fmt"
	"sync"
	"testing"
)

// TestPendingMemoryIsBounded: what is beyond the bound is counted all the same.
func TestPendingMemoryIsBounded(t *testing.T) {
	t.Parallel()
	var p pendingTable
	const more = 1000
	key := func(i int) []byte { return appendPendingKey(nil, WorkCopies, 7, fmt.Sprint(i)) }
	for i := range maxTracked + more {
		p.add(key(i), WorkCopies, &Owed{BID: 7, Since: int64(1000 + i)})
	}
	if s := p.stats(WorkCopies); s.Count != maxTracked+more || s.Oldest != 1000 || len(p.tracked) > maxTracked {
		t.Errorf("%+v, %d in memory", s, len(p.tracked))
	}
	if _, sure := p.holds(key(maxTracked + 1)); sure {
		t.Error("it is sure of what it does not know")
	}
	for i := range maxTracked + more {
		p.remove(key(i), WorkCopies, p.mark())
	}
	if s := p.stats(WorkCopies); s != (PendingStats{}) {
		t.Errorf("%+v", s)
	}
	if holds, sure := p.holds(key(1)); holds || !sure {
		t.Error("nothing is pending, and that is not known")
	}
}

// TestWhatIsNotedMeanwhileStaysPending: somebody finds a copy missing just when
// another one says that all are made.
func TestWhatIsNotedMeanwhileStaysPending(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	for i := range 500 {
		name := fmt.Sprint(i)
		r.x.Owe(WorkCopies, &Owed{BID: 7, Name: name, Since: 1})
		var both sync.WaitGroup
		both.Go(func() {
			if _, err := r.x.Discharge(t.Context(), WorkCopies, &Owed{BID: 7, Name: name, Since: 1}); err != nil {
				t.Error(err)
			}
		})
		both.Go(func() { r.x.Owe(WorkCopies, &Owed{BID: 7, Name: name, Since: 2}) })
		both.Wait()
		all, err := r.x.OwedAfter(t.Context(), WorkCopies, 0, "", 10)
		if err != nil || len(all) != 1 || all[0].Name != name || r.x.Pending(WorkCopies).Count != 1 {
			t.Fatalf("%d: %+v, %+v, %v", i, all, r.x.Pending(WorkCopies), err)
		}
		if done, err := r.x.Discharge(t.Context(), WorkCopies, &all[0]); !done || err != nil {
			t.Fatalf("%d: done %v, %v", i, done, err)
		}
	}
	if s := r.x.Pending(WorkCopies); s != (PendingStats{}) {
		t.Errorf("%+v", s)
	}
}
