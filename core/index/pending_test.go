package index

import (
	"fmt"
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
		p.remove(key(i), WorkCopies)
	}
	if s := p.stats(WorkCopies); s != (PendingStats{}) {
		t.Errorf("%+v", s)
	}
	if holds, sure := p.holds(key(1)); holds || !sure {
		t.Error("nothing is pending, and that is not known")
	}
}
