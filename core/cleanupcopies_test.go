package core

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/fs"
)

// instancesOf counts the files of a plain name.
func (r *rig) instancesOf(name string) (n int) {
	for _, dir := range r.dirs {
		if _, err := os.Stat(filepath.Join(dir, "@ais/b1", fs.ContentObject, name)); err == nil {
			n++
		}
	}
	return n
}

// TestCleanupOfCopies: those that the bucket is not to have any more go, and no
// others; eviction takes an object with all its copies.
func TestCleanupOfCopies(t *testing.T) {
	t.Parallel()
	r := mirrorRig(t, 3, 3, evictable)
	for _, name := range []string{"a", "b"} {
		r.put(name, "content of "+name)
	}
	r.arrange()
	set := func(copies int) {
		props := r.props.Clone()
		props.Mirror.Enabled, props.Mirror.Copies = copies > 1, copies
		before := r.bmd
		r.props = props
		r.bmd = meta.NewBMD("cluster01", before.Version+1, meta.BucketEntry{Bck: r.bck, Props: props})
		if err := r.store.ApplyBMD(context.Background(), before, r.bmd); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		copies, want int
		change       func(*CleanupOptions)
	}{
		{3, 3, nil}, {2, 3, func(o *CleanupOptions) { o.KeepMisplaced = true }}, {2, 2, nil}, {1, 1, nil},
	} {
		set(step.copies)
		counts := r.cleanNow(step.change)
		for _, name := range []string{"a", "b"} {
			if n := r.instancesOf(name); n != step.want {
				t.Errorf("%d copies configured: %s has %d, want %d; %s", step.copies, name, n, step.want, counts)
			}
			if content, _, _ := r.get(name); content != "content of "+name {
				t.Errorf("%s: %q", name, content)
			}
		}
	}
	set(3)
	if _, err := r.store.Arrange(context.Background(), r.key("a")); err != nil || r.instancesOf("a") != 3 {
		t.Fatalf("copies again: %d, %v", r.instancesOf("a"), err)
	}
	r.store.DropRecords()
	if err := r.store.ClearMetadata(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	r.age(5, "a")
	all := r.oldest(r.choice(10)).Oldest[r.fs.Filesystems()[0]]
	i := slices.IndexFunc(all, func(x Evictable) bool { return x.Key.Name == "a" })
	if i < 0 {
		t.Fatalf("not chosen: %q", namesOf(all))
	}
	if kept := r.evict(&all[i]); kept != KeptNot || r.instancesOf("a") != 0 {
		t.Errorf("kept %q, %d files are left", kept, r.instancesOf("a"))
	}
}
