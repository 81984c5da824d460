package core

import (
	"context"
	"testing"

	"github.com/aistore-go/aistore/core/meta"
)

// TestMarksBesideStagedSlices: with durability "redundant" what is staged of a write that is under way is
// nothing that a deletion has found, and hides from it nothing that was committed; the write
// goes on if its stamp is the greater one.
func TestMarksBesideStagedSlices(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for _, staged := range []uint64{15, 30} {
		for _, committed := range []bool{false, true} {
			r := newRig(t, rigOptions{props: func(p *meta.Bprops) { p.Durability = meta.DurabilityRedundant }})
			content := randomBytes(3, 5000)
			if committed {
				keep(t, r.store, r.key("o"), 1, 10, content)
			}
			if v, err := stage(r.store, r.key("o"), 1, staged, content); err != nil || !v.Done {
				t.Fatalf("stage: %+v, %v", v, err)
			}
			v, err := r.store.MarkSlices(ctx, r.key("o"), stampAt(20), SliceDeleted, false)
			if err != nil || !v.Done || v.Had != committed || v.Newest.Compare(stampAt(20)) > 0 {
				t.Errorf("staged %d, committed %v: %+v, %v", staged, committed, v, err)
			}
			held, err := r.store.LookSlices(ctx, r.key("o"), false)
			if err != nil || len(held) == 0 || !held[0].IsMark() || held[0].Stamp != stampAt(20) {
				t.Errorf("staged %d, committed %v: %+v, %v", staged, committed, held, err)
			}
			done, err := r.store.CommitSlice(ctx, r.key("o"), stampAt(staged), 1)
			if err != nil || done.Done != (staged > 20) {
				t.Errorf("staged %d, committed %v: its commit: %+v, %v", staged, committed, done, err)
			}
		}
	}
}
