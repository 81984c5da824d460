package core

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestRemovedByHand: rm -r <mountpath>/* is noticed; the mountpath is used again, and what is
// gone is not listed.
func TestRemovedByHand(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := newRig(t, rigOptions{mountpaths: 2})
	var there []string
	for i := range 20 {
		name := fmt.Sprintf("dir/o%02d", i)
		if attrs := r.put(name, name); attrs.Mountpath.Path != r.dirs[0] {
			there = append(there, name)
		}
	}
	if len(there) == 0 || len(there) == 20 {
		t.Fatalf("%d of 20 objects on the second mountpath", len(there))
	}
	if wiped := r.store.MendDirectories(ctx); wiped != nil {
		t.Fatalf("nothing was removed, and %+v", wiped)
	}
	visible, err := filepath.Glob(r.dirs[0] + "/[^.]*") // as a shell does it
	if err != nil || len(visible) == 0 {
		t.Fatal(visible, err)
	}
	for _, path := range visible {
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
	}
	wiped := r.store.MendDirectories(ctx)
	if len(wiped) != 1 || wiped[0].Mountpath.Path != r.dirs[0] || len(wiped[0].Buckets) != 1 || wiped[0].Buckets[0] != r.bck {
		t.Fatalf("%+v", wiped)
	}
	r.until("what is gone is not listed", func() bool { return slices.Equal(r.names(ListOptions{}), there) })
	for i := range 20 {
		name := fmt.Sprintf("dir/o%02d", i)
		if _, _, found := r.get(name); found != slices.Contains(there, name) {
			t.Errorf("%s: found %v", name, found)
		}
		r.put(name, "again")
	}
	if names := r.names(ListOptions{}); len(names) != 20 {
		t.Errorf("%d names after all were written again", len(names))
	}
	if wiped := r.store.MendDirectories(ctx); wiped != nil {
		t.Errorf("it is found twice: %+v", wiped)
	}
	if err := os.RemoveAll(r.dirs[0]); err != nil {
		t.Fatal(err)
	}
	if wiped := r.store.MendDirectories(ctx); wiped != nil {
		t.Errorf("a mountpath that is gone: %+v", wiped)
	}
	if err := os.MkdirAll(r.dirs[0], 0o755); err != nil { // so that the store can be closed
		t.Fatal(err)
	}
}
