package core

import (
	"strconv"
	"testing"
)

// TestUnusedUploadsAreForgotten: memory holds a bounded number of parts of
// uploads that nobody uses, those used last; what is in use stays.
func TestUnusedUploadsAreForgotten(t *testing.T) {
	t.Parallel()
	table := newUploadTable()
	inUse := &upload{id: "in use"}
	table.loaded(loading(t, table, inUse.id), inUse)
	const count = keptParts/16 + 10
	for i := range count {
		table.add(&upload{id: strconv.Itoa(i)})
		if i == 20 {
			if u, _ := table.use("0"); u == nil {
				t.Fatal("an upload is forgotten too early")
			} else {
				table.doneWith(u)
			}
		}
	}
	// "0" was used again after 20 others were made.
	for id, want := range map[string]bool{"in use": true, "0": true, "1": false, "9": false, "10": false, "11": true, strconv.Itoa(count - 1): true} {
		if got := table.has(id); got != want {
			t.Errorf("upload %q is remembered: %v, want %v", id, got, want)
		}
	}
	if table.kept > keptParts || table.unused.Len() != len(table.byID)-1 {
		t.Errorf("%d unused uploads of %d take %d parts, limit %d", table.unused.Len(), len(table.byID), table.kept, keptParts)
	}
	inUse.ended = true
	table.doneWith(inUse)
	if table.has(inUse.id) {
		t.Error("an upload that has ended is remembered")
	}
}

// loading begins a load.
func loading(t *testing.T, table *uploadTable, id string) string {
	t.Helper()
	if u, wait := table.use(id); u != nil || wait != nil {
		t.Fatalf("upload %q is there already", id)
	}
	if _, wait := table.use(id); wait == nil {
		t.Fatal("the second user does not wait for the first one's load")
	}
	return id
}
