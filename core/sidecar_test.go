package core

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/fs"
)

// TestSidecar walks the sizes around the limit of the attribute, on the disk
// of the temporary directory (ext4 gives a file's attributes one block).
func TestSidecar(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{props: durable})
	for _, name := range []string{"plain", "esc//aped", strings.Repeat("n", 4096)} {
		sizes := []int{0, 1, 100, 1000, 1500, 1800, MaxCustomRequest}
		for size := 1850; size < 1960; size += 3 { // some of these are the last that fit
			sizes = append(sizes, size)
		}
		for _, size := range append(sizes, MaxCustomRequest) {
			want := []KV{{"k", strings.Repeat("v", max(size-1, 0))}}
			o := PutOptions{Size: 1, SkipVC: true, Custom: want}
			if _, err := r.tryPut(name, "x", o); err != nil {
				t.Fatalf("%d bytes of custom metadata: %v", size, err)
			}
			attrs, err := r.store.Head(context.Background(), r.key(name))
			if err != nil || len(attrs.Custom) != 1 || attrs.Custom[0] != want[0] {
				t.Fatalf("%d bytes: %+v, %v", size, attrs, err)
			}
		}
	}
	// Growing by merging: every generation leaves one sidecar at most.
	for i := range 12 {
		if _, err := r.tryPut("grown", "x", PutOptions{Size: 1, Custom: []KV{{fmt.Sprintf("key%d", i), strings.Repeat("v", 2000)}}}); err != nil {
			t.Fatal(err)
		}
	}
	r.restart()
	if _, attrs, _ := r.get("grown"); len(attrs.Custom) != 12 || attrs.Version != "12" {
		t.Fatalf("%d keys, version %s", len(attrs.Custom), attrs.Version)
	}
	page, err := r.store.List(context.Background(), r.bck, r.props, ListOptions{Props: ListCustom | ListSize})
	if err != nil || len(page) != 4 || page[1].Name != "grown" || len(page[1].Attrs.Custom) != 12 {
		t.Fatalf("listed %d, %v", len(page), err)
	}
	if n := len(r.files("/%ob/", "/%ox/")); n != 4 {
		t.Errorf("%d sidecars for 4 objects: %q", n, r.files("/%ob/", "/%ox/"))
	}
	for _, e := range page {
		if err := r.store.Delete(context.Background(), r.key(e.Name)); err != nil {
			t.Fatal(err)
		}
	}
	if left := r.files(); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// Other attributes on the file leave less room than the limit: the sidecar
// takes what does not fit, it is not a full disk.
func TestSidecarWhenTheAttributeDoesNotFit(t *testing.T) {
	t.Parallel()
	crowded := &crowdedSystem{System: fs.Unix()}
	r := newRig(t, rigOptions{system: crowded})
	want := KV{"k", strings.Repeat("v", 1500)}
	if _, err := r.tryPut("o", "x", PutOptions{Size: 1, Custom: []KV{want}}); err != nil {
		t.Fatal(err)
	}
	if _, attrs, _ := r.get("o"); len(attrs.Custom) != 1 || attrs.Custom[0] != want {
		t.Fatalf("%+v", attrs)
	}
}

// crowdedSystem gives every new work file an attribute of somebody else's.
type crowdedSystem struct{ fs.System }

func (s *crowdedSystem) Open(path string, flags int, mode uint32) (fs.File, error) {
	f, err := s.System.Open(path, flags, mode)
	if err == nil && strings.Contains(path, "/"+fs.ContentWork+"/put.") {
		err = f.SetXattr("user.somebody", make([]byte, 3500))
	}
	return f, err
}
