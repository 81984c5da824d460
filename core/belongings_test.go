package core

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/fs"
)

// TestBelongingsAreAll compares what belongs to the names of a bucket with a
// walk of the disks: every file belongs to one name, and to the right one.
func TestBelongingsAreAll(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := newRig(t, rigOptions{mountpaths: 3, root: memoryDir(t)})
	large := []KV{{"k", strings.Repeat("v", 2000)}}
	names := []string{"p", "p/q", "a//b", "dir/", "..", "o", strings.Repeat("n", 4096), "\xff\x00"}
	kinds := map[BelongingKind]int{}
	for i, name := range names {
		for j := range 4 {
			o := PutOptions{Size: -1, Keep: Keep(j % 2)}
			if (i+j)%2 == 0 {
				o.Custom = large
			}
			if _, err := r.tryPut(name, fmt.Sprint(name, j), o); err != nil {
				t.Fatal(err)
			}
		}
		if i%2 == 0 {
			if _, err := r.store.PutDeleteMarker(ctx, r.key(name), KeepVersion); err != nil {
				t.Fatal(err)
			}
			r.put(name, "again")
			if _, err := r.tryPut(name, "and again", PutOptions{Size: -1, Keep: KeepVersion}); err != nil {
				t.Fatal(err)
			}
		}
	}
	// Copies, an older generation, a record that cannot be read, and what
	// uploads have.
	home := map[string]string{}
	for _, name := range names {
		home[name] = strings.SplitN(r.fileOf(name), "/@", 2)[0]
	}
	at := func(i int, content, name, suffix string) string {
		set := r.fs.Available()
		mp := set.Paths[i%len(set.Paths)]
		if suffix == "" {
			path, ok := mp.PlainPath(r.bck, name)
			if ok {
				return path
			}
			return mp.EscapedPath(r.bck, name)
		}
		return mp.HashedPath(r.bck, content, name, "") + suffix
	}
	write := func(path string, rec *record) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("content"), 0o644); err != nil {
			t.Fatal(err)
		}
		if rec == nil {
			return
		}
		frame, _ := rec.appendInline(nil)
		if err := fs.Unix().SetXattr(path, XattrRecord, frame); err != nil {
			t.Fatal(err)
		}
	}
	all, err := r.store.ListVersions(ctx, r.key("o"))
	if err != nil {
		t.Fatal(err)
	}
	copied, older := all[0].rec, all[0].rec
	copied.custom = nil
	older.custom, older.stamp.Clock = nil, 1
	for i, mp := range r.fs.Available().Paths {
		if mp.Path == home["o"] {
			write(at(i+1, fs.ContentObject, "o", ""), &copied)
			write(at(i+2, fs.ContentObject, "o", ""), &older)
		}
		if mp.Path == home["a//b"] {
			path := at(i+1, fs.ContentObject, "a//b", "")
			write(path, nil)
			if err := fs.Unix().SetXattr(path, XattrRecord, []byte("garbage")); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i, name := range names {
		for number := range 3 {
			write(at(i+number, fs.ContentChunk, name, fmt.Sprintf("/abcdefghij%02d.%05d", i, number+2)), nil)
		}
		write(at(i, fs.ContentManifest, name, fmt.Sprintf("/abcdefghij%02d.done", i)), nil)
		write(at(i+1, fs.ContentManifest, name, "/opened000000"), nil)
	}
	var found []string
	for _, name := range names {
		before := len(found)
		belongings, err := r.store.Belongings(ctx, r.key(name))
		if err != nil {
			t.Fatal(err)
		}
		current := 0
		for _, b := range belongings {
			kinds[b.Kind]++
			found = append(found, b.Path)
			info, err := os.Stat(b.Path)
			if err != nil || info.Size() != b.Size || !strings.HasPrefix(b.Path, b.Mountpath.Path+"/") {
				t.Errorf("%.20q: %+v: %v", name, b, err)
			}
			if b.Kind == BelongsObject {
				current++
				if b.Path != r.fileOf(name) {
					t.Errorf("%.20q: the object is %s", name, b.Path)
				}
			}
			if (b.Kind == BelongsChunk || b.Kind == BelongsManifest || b.Kind == BelongsUpload) && len(b.Upload) != 12 {
				t.Errorf("%.20q: upload %q", name, b.Upload)
			}
			if (b.Damage != nil) != (b.Kind == BelongsDamaged) {
				t.Errorf("%.20q: %+v", name, b)
			}
		}
		if current != 1 || len(found) == before {
			t.Errorf("%.20q: %d current files", name, current)
		}
	}
	want := r.files("/.$deleted/")
	slices.Sort(want)
	slices.Sort(found)
	if !slices.Equal(found, want) {
		for _, path := range found {
			if !slices.Contains(want, path) {
				t.Errorf("listed twice, or not there: %s", path)
			}
		}
		for _, path := range want {
			if !slices.Contains(found, path) {
				t.Errorf("belongs to nobody: %s", path)
			}
		}
		t.Fatalf("%d files belong to names, %d are there", len(found), len(want))
	}
	for kind := BelongsObject; int(kind) < len(belongingNames); kind++ {
		if kinds[kind] == 0 {
			t.Errorf("no %s among them", kind)
		}
	}
	none, err := r.store.Belongings(ctx, r.key("none"))
	if err != nil || len(none) != 0 {
		t.Errorf("of a name that was never written: %v, %v", none, err)
	}
}

// TestStrayFilesBelongToNobody: only what has the name of a chunk or of an
// upload is one; a file that somebody has put beside them is left alone, also by
// a DELETE.
func TestStrayFilesBelongToNobody(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := newRig(t, rigOptions{root: memoryDir(t)})
	r.upload("o", oldParts...)
	mp := r.fs.Available().Paths[0]
	before, err := r.store.Belongings(ctx, r.key("o"))
	if err != nil {
		t.Fatal(err)
	}
	var stray []string
	for _, name := range []string{"notes.txt", "short.done", "abcdefghij00.00000", "abcdefghij00.1", "abcdefghij00.10001", "ABCDEFGHIJ00", "abcdefghij00.done.bak"} {
		for _, content := range []string{fs.ContentChunk, fs.ContentManifest} {
			path := mp.HashedPath(r.bck, content, "o", "") + "/" + name
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, nil, 0o644); err != nil {
				t.Fatal(err)
			}
			stray = append(stray, path)
		}
	}
	after, err := r.store.Belongings(ctx, r.key("o"))
	if err != nil || len(after) != len(before) {
		t.Errorf("%d files belong to the name, %d did before: %v", len(after), len(before), err)
	}
	if err := r.store.Delete(ctx, r.key("o")); err != nil {
		t.Fatal(err)
	}
	left := r.files("/.$deleted/")
	slices.Sort(left)
	slices.Sort(stray)
	if !slices.Equal(left, stray) {
		t.Errorf("left are %q", left)
	}
}
