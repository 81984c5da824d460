package core

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/fs"
)

// attach adds a mountpath to the running store.
func (r *rig) attach(name string) *fs.Mountpath {
	r.tb.Helper()
	path := filepath.Join(filepath.Dir(r.dirs[0]), name)
	if err := os.MkdirAll(path, 0o755); err != nil {
		r.tb.Fatal(err)
	}
	err := r.store.ChangeMountpaths(func(prepare fs.Prepare) error { return r.fs.Attach(path, "", prepare) })
	if err != nil {
		r.tb.Fatal(err)
	}
	if !slices.Contains(r.dirs, path) {
		r.dirs = append(r.dirs, path)
	}
	return r.fs.Available().ByPath(path)
}

func (r *rig) enable(path string) {
	r.tb.Helper()
	if err := r.store.ChangeMountpaths(func(prepare fs.Prepare) error { return r.fs.Enable(path, prepare) }); err != nil {
		r.tb.Fatal(err)
	}
}

func (r *rig) disable(path string) {
	r.tb.Helper()
	if err := r.fs.Remove(path, fs.Disable, false); err != nil {
		r.tb.Fatal(err)
	}
}

// generations counts the files of a name on all mountpaths.
func (r *rig) generations(name string) (n int) {
	for _, file := range r.files("/.ais.", "/%wk/", "/%md/", "/.$deleted/") {
		if strings.HasSuffix(file, "/%ob/"+name) {
			n++
		}
	}
	return n
}

// someNames are names of which each mountpath gets some.
func someNames(count int) []string {
	names := make([]string, count)
	for i := range names {
		names[i] = fmt.Sprintf("dir%d/object-%03d", i%7, i)
	}
	slices.Sort(names)
	return names
}

// moved returns those of the names that are placed on a mountpath.
func (r *rig) placedOn(mp *fs.Mountpath, names []string) (placed []string) {
	for _, name := range names {
		if o, err := r.store.resolve(r.key(name)); err != nil || o.mp == mp {
			placed = append(placed, name)
		}
	}
	if len(placed) == 0 {
		r.tb.Fatal("no name is placed on the mountpath")
	}
	return placed
}

func TestObjectsAreFoundAfterAMountpathWasAdded(t *testing.T) {
	t.Parallel()
	for _, durability := range []string{meta.DurabilityNone, meta.DurabilitySync} {
		t.Run(durability, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, rigOptions{mountpaths: 2, props: func(p *meta.Bprops) { p.Durability = durability }})
			names := someNames(60)
			for _, name := range names {
				if _, err := r.tryPut(name, "first "+name, PutOptions{Size: -1, Custom: []KV{{"color", "red"}}}); err != nil {
					t.Fatal(err)
				}
			}
			before := map[string]Attrs{}
			for _, name := range names {
				_, before[name], _ = r.get(name)
			}
			third := r.attach("third")
			moved := r.placedOn(third, names)
			check := func(content string) {
				t.Helper()
				for _, name := range names {
					have, attrs, found := r.get(name)
					if !found || have != content+" "+name && have != "first "+name {
						t.Fatalf("%s: found %v, %q", name, found, have)
					}
					was := before[name]
					if have == "first "+name && (attrs.Version != was.Version || attrs.Checksum != was.Checksum || attrs.Stamp != was.Stamp || attrs.Mtime != was.Mtime) {
						t.Errorf("%s: %+v, was %+v", name, attrs, was)
					}
				}
				if all := r.allNames(ListOptions{Limit: 7}); !slices.Equal(all, names) {
					t.Errorf("listing: %d names, want %d: %q", len(all), len(names), all)
				}
			}
			check("first")
			attrs, err := r.store.Head(context.Background(), r.key(moved[0]))
			if err != nil || attrs.Mountpath == third {
				t.Errorf("HEAD: %v, on %v", err, attrs.Mountpath)
			}

			// Overwritten: at the place now, one generation on.
			next := r.put(moved[0], "second "+moved[0])
			if next.Version != "2" || next.Mountpath != third || next.Stamp.Compare(attrs.Stamp) <= 0 {
				t.Errorf("overwritten: %+v", next)
			}
			if color, _ := next.CustomValue("color"); color != "red" {
				t.Error("custom keys of the former generation are lost")
			}
			if n := r.generations(moved[0]); n != 1 {
				t.Errorf("%d generations after the overwrite", n)
			}
			check("second")

			// Deleted: nowhere any more.
			if err := r.store.Delete(context.Background(), r.key(moved[1])); err != nil {
				t.Fatal(err)
			}
			if _, _, found := r.get(moved[1]); found || r.generations(moved[1]) != 0 {
				t.Error("deleted and still there")
			}
			if err := r.store.Delete(context.Background(), r.key(moved[1])); statusOf(err) != 404 {
				t.Errorf("deleted twice: %v", err)
			}
			names = slices.DeleteFunc(names, func(name string) bool { return name == moved[1] })
			check("second")
			r.restart()
			check("second")
		})
	}
}

// A disk that was away has old generations, and misses what came since.
func TestMountpathThatComesBack(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{mountpaths: 3})
	names := someNames(60)
	for _, name := range names {
		r.put(name, "old")
	}
	away := r.fs.Available().Paths[1]
	on := r.placedOn(away, names)
	r.disable(away.Path)
	for _, name := range on {
		if _, _, found := r.get(name); found {
			t.Fatalf("%s is read off a disabled mountpath", name)
		}
	}
	if have := r.allNames(ListOptions{Limit: 1000}); len(have) != len(names)-len(on) {
		t.Errorf("%d names are listed, want %d", len(have), len(names)-len(on))
	}
	r.put(on[0], "newer")
	r.put(on[1], "newer, then deleted")
	if err := r.store.Delete(context.Background(), r.key(on[1])); err != nil {
		t.Fatal(err)
	}
	r.put(on[2], "newer, and deleted when the old one is back")
	if _, err := r.store.Bury(context.Background(), r.key(on[3])); err != nil {
		t.Fatal(err)
	}
	r.enable(away.Path)
	if n := r.generations(on[2]); n != 2 {
		t.Errorf("%d generations, want two", n)
	}
	if err := r.store.Delete(context.Background(), r.key(on[2])); err != nil || r.generations(on[2]) != 0 {
		t.Errorf("DELETE of two generations: %v, %d are left", err, r.generations(on[2]))
	}
	for _, gone := range []string{on[2], on[3]} { // deleted; under a tombstone
		if _, _, found := r.get(gone); found {
			t.Errorf("%s is read", gone)
		}
	}
	names = slices.DeleteFunc(names, func(name string) bool { return name == on[2] || name == on[3] })
	want := map[string]string{on[0]: "newer"}
	for _, name := range names {
		content, _, found := r.get(name)
		expected := "old"
		if want[name] != "" {
			expected = want[name]
		}
		if !found || content != expected {
			t.Errorf("%s: found %v, %q, want %q", name, found, content, expected)
		}
	}
	if have := r.allNames(ListOptions{Limit: 10}); !slices.Equal(have, names) {
		t.Errorf("listing %q", have)
	}
	page, err := r.store.List(context.Background(), r.bck, r.props, ListOptions{Prefix: on[0], Props: ListSize})
	if err != nil || len(page) != 1 || page[0].Attrs.Size != int64(len("newer")) {
		t.Errorf("the listing shows the old generation: %+v, %v", page, err)
	}
	if n := r.generations(on[0]); n != 2 {
		t.Errorf("%d generations, want the two that the disks hold", n)
	}
	if attrs := r.put(on[0], "newest"); attrs.Mountpath.Path != away.Path || r.generations(on[0]) != 1 {
		t.Errorf("on %v, %d generations", attrs.Mountpath, r.generations(on[0]))
	}
	r.put(on[0], "once more")
	if err := r.store.Delete(context.Background(), r.key(on[0])); err != nil || r.generations(on[0]) != 0 {
		t.Errorf("%v, %d generations after DELETE", err, r.generations(on[0]))
	}
}

// What lies on a mountpath that waits to leave is read, and nothing new comes.
func TestMountpathThatWaitsToLeave(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{mountpaths: 2})
	names := someNames(30)
	for _, name := range names {
		r.put(name, "old")
	}
	leaving := r.fs.Available().Paths[0]
	on := r.placedOn(leaving, names)
	if err := r.fs.BeginRemoval(leaving.Path, fs.Disable); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if content, _, found := r.get(name); !found || content != "old" {
			t.Errorf("%s: %v %q", name, found, content)
		}
	}
	for _, name := range on {
		if attrs := r.put(name, "new"); attrs.Mountpath == leaving || attrs.Version != "2" {
			t.Errorf("%s: %+v", name, attrs)
		}
	}
	if have := r.allNames(ListOptions{Limit: 4}); !slices.Equal(have, names) {
		t.Errorf("listing %q", have)
	}
	if holds, err := leaving.HoldsObjects(); holds || err != nil {
		t.Errorf("still holds objects: %v, %v", holds, err)
	}
	if err := r.fs.FinishRemoval(leaving.Path); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if _, _, found := r.get(name); !found {
			t.Errorf("%s is lost", name)
		}
	}
}

func TestEscapedNamesAndSidecarsElsewhere(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{mountpaths: 2})
	big := []KV{{"k", strings.Repeat("v", 2040)}}
	var names []string
	for i := range 30 {
		names = append(names, fmt.Sprintf("%03d%s", i, strings.Repeat("x", 300)), fmt.Sprintf("side-%d", i))
	}
	for _, name := range names {
		if _, err := r.tryPut(name, "content", PutOptions{Size: 7, Custom: big}); err != nil {
			t.Fatal(err)
		}
	}
	third := r.attach("third")
	moved := r.placedOn(third, names)
	for _, name := range names {
		_, attrs, found := r.get(name)
		if value, _ := attrs.CustomValue("k"); !found || value != big[0].Value {
			t.Errorf("%.20s: %v", name, found)
		}
	}
	for _, name := range moved {
		r.put(name, "again")
		if content, attrs, _ := r.get(name); content != "again" || attrs.Mountpath != third || attrs.Version != "2" {
			t.Errorf("%.20s: %q on %v", name, content, attrs.Mountpath)
		}
	}
	for _, name := range names {
		if err := r.store.Delete(context.Background(), r.key(name)); err != nil {
			t.Errorf("%.20s: %v", name, err)
		}
	}
	if left := r.files(); len(left) > 0 {
		t.Errorf("%d files are left: %q", len(left), left[0])
	}
}

// A damaged object that lies elsewhere goes to the quarantine of its disk.
func TestDamageElsewhere(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{mountpaths: 2, props: func(p *meta.Bprops) { p.Checksum.ValidateWarmGet = true }})
	names := someNames(30)
	for _, name := range names {
		r.put(name, "content")
	}
	files := map[string]string{}
	for _, name := range names {
		files[name] = r.fileOf(name)
	}
	moved := r.placedOn(r.attach("third"), names)
	file := files[moved[0]]
	if err := os.WriteFile(file, []byte("CONTENT"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.tryGet(moved[0]); statusOf(err) != 500 {
		t.Errorf("GET of a damaged object: %v", err)
	}
	if _, _, err := r.tryGet(moved[0]); statusOf(err) != 404 {
		t.Errorf("after quarantine: %v", err)
	}
	root := strings.Split(file, "/@ais/")[0]
	if found, err := filepath.Glob(root + "/.ais.quarantine/*/data"); err != nil || len(found) != 1 {
		t.Errorf("quarantine %q, %v", found, err)
	}
}
