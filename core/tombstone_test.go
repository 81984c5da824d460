package core

import (
	"context"
	"github.com/aistore-go/aistore/fs/faultfs"
	"sync"
	"testing"

	"github.com/aistore-go/aistore/core/meta"
)

func TestTombstone(t *testing.T) {
	t.Parallel()
	for name, props := range map[string]func(*meta.Bprops){"none": nil, "sync": durable} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, rigOptions{mountpaths: 2, props: props})
			ctx := context.Background()
			for _, object := range []string{"a/b", "c", "with//empty component"} {
				old := r.put(object, "content")
				buried, err := r.store.Bury(ctx, r.key(object))
				if err != nil || !buried.Final {
					t.Fatal(buried, err)
				}
				stamp := buried.Stamp
				if stamp.Compare(old.Stamp) <= 0 {
					t.Errorf("stamp %+v of the tombstone after %+v", stamp, old.Stamp)
				}
				if _, _, err := r.tryGet(object); statusOf(err) != 404 {
					t.Errorf("GET: %v", err)
				}
				if _, err := r.store.Head(ctx, r.key(object)); statusOf(err) != 404 {
					t.Errorf("HEAD: %v", err)
				}
				if err := r.store.Delete(ctx, r.key(object)); statusOf(err) != 404 {
					t.Errorf("DELETE: %v", err)
				}
				if attrs, kind, err := r.store.Look(ctx, r.key(object)); err != nil || kind != KindTombstone || attrs.Stamp != stamp {
					t.Errorf("Look: %d %+v %v", kind, attrs.Stamp, err)
				}
			}
			r.put("d", "stays")
			if names := r.names(ListOptions{}); len(names) != 1 || names[0] != "d" {
				t.Errorf("listed: %q", names)
			}
			page, err := r.store.List(ctx, r.bck, r.props, ListOptions{Stamps: true, Props: ListSize})
			if err != nil || len(page) != 4 || !page[0].Tombstone || page[2].Tombstone || page[2].Attrs.Stamp.IsZero() {
				t.Errorf("with tombstones: %+v, %v", page, err)
			}
			again := r.put("c", "new")
			if content, _, _ := r.get("c"); content != "new" {
				t.Errorf("%q", content)
			}
			if attrs, kind, err := r.store.Look(ctx, r.key("c")); err != nil || kind != KindObject || attrs.Stamp != again.Stamp {
				t.Errorf("Look: %d %+v %v", kind, attrs.Stamp, err)
			}
			r.restart()
			if _, kind, err := r.store.Look(ctx, r.key("a/b")); err != nil || kind != KindTombstone {
				t.Errorf("after a restart: %d, %v", kind, err)
			}
			if err := r.store.RemoveTombstones(ctx, r.bmdWith(r.props)); err != nil {
				t.Fatal(err)
			}
			if _, kind, err := r.store.Look(ctx, r.key("a/b")); err != nil || kind != 0 {
				t.Errorf("after the end of tombstones: %d, %v", kind, err)
			}
			if content, _, _ := r.get("c"); content != "new" {
				t.Errorf("%q", content)
			}
		})
	}
}

func TestRemoveOlder(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	ctx := context.Background()
	old := r.put("o", "content")
	if err := r.store.RemoveOlder(ctx, r.key("o"), old.Stamp); err != nil {
		t.Fatal(err)
	}
	if _, _, found := r.get("o"); !found {
		t.Error("what is not older was removed")
	}
	newer := old.Stamp
	newer.Epoch++
	for range 2 {
		if err := r.store.RemoveOlder(ctx, r.key("o"), newer); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, found := r.get("o"); found {
		t.Error("what is older is still there")
	}
}

// TestTombstonesOfABucketThatGoes: a bucket that is destroyed meanwhile does not
// keep the tombstones of others from being removed.
func TestTombstonesOfABucketThatGoes(t *testing.T) {
	t.Parallel()
	system := faultfs.New(nil)
	r := newRig(t, rigOptions{system: system})
	ctx := context.Background()
	for _, name := range []string{"a", "b"} {
		if _, err := r.store.Bury(ctx, r.key(name)); err != nil {
			t.Fatal(err)
		}
	}
	r.indexed()
	var once sync.Once
	system.Before(func(c faultfs.Call) {
		if c.Op != faultfs.OpGetXattr {
			return
		}
		once.Do(func() {
			if err := r.store.ApplyBMD(ctx, r.bmd, r.bmdWith()); err != nil {
				t.Error(err)
			}
		})
	})
	if err := r.store.RemoveTombstones(ctx, r.bmd); err != nil {
		t.Errorf("%v", err)
	}
}
