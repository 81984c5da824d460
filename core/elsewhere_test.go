package core

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/fs/faultfs"
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

// slowBody gives its content when it is let go.
type slowBody struct {
	first, rest io.Reader
	begun       chan struct{}
	release     chan struct{}
	once        sync.Once
}

func newSlowBody(content string) *slowBody {
	half := len(content) / 2
	return &slowBody{
		first: strings.NewReader(content[:half]), rest: strings.NewReader(content[half:]),
		begun: make(chan struct{}), release: make(chan struct{}),
	}
}

func (b *slowBody) Read(p []byte) (int, error) {
	n, err := b.first.Read(p)
	if n > 0 || !errors.Is(err, io.EOF) {
		return n, err
	}
	b.once.Do(func() { close(b.begun) })
	<-b.release
	return b.rest.Read(p)
}

// A write whose place changes while its body comes goes to the new place.
func TestPutOverAChangeOfMountpaths(t *testing.T) {
	t.Parallel()
	for _, size := range []int{100, 100 << 10, 700 << 10, 3 << 20} {
		for _, durability := range []string{meta.DurabilityNone, meta.DurabilitySync} {
			for _, how := range []string{"attach", "disable"} {
				t.Run(fmt.Sprintf("%s/%s/%d", how, durability, size), func(t *testing.T) {
					t.Parallel()
					system := faultfs.New(nil)
					r := newRig(t, rigOptions{mountpaths: 2, system: system, props: func(p *meta.Bprops) { p.Durability = durability }})
					content := strings.Repeat("0123456789", size/10)
					// Many at a time, so that some are on each mountpath.
					var bodies []*slowBody
					var puts sync.WaitGroup
					for i := range 8 {
						body := newSlowBody(content)
						bodies = append(bodies, body)
						puts.Go(func() {
							if _, err := r.store.Put(context.Background(), r.key(fmt.Sprintf("o%d", i)), body, PutOptions{Size: int64(len(content))}); err != nil {
								t.Errorf("PUT: %v", err)
							}
						})
					}
					for _, body := range bodies {
						<-body.begun
					}
					gone := r.fs.Available().Paths[0]
					if how == "attach" {
						r.attach("third")
					} else {
						r.disable(gone.Path)
					}
					for _, body := range bodies {
						close(body.release)
					}
					puts.Wait()
					set := r.fs.Available()
					for i := range bodies {
						have, attrs, found := r.get(fmt.Sprintf("o%d", i))
						o, err := r.store.resolve(r.key(fmt.Sprintf("o%d", i)))
						if err != nil || !found || have != content || attrs.Mountpath != o.mp || !set.Has(attrs.Mountpath) {
							t.Errorf("o%d: found %v, %d bytes, on %v", i, found, len(have), attrs.Mountpath)
						}
					}
					if left := r.files("/%ob/"); len(left) > 0 {
						t.Errorf("left behind: %q", left)
					}
					for _, call := range system.Calls() { // on other disks that would fail
						if call.Op == faultfs.OpRename && strings.Split(call.Path, "/@ais/")[0] != strings.Split(call.NewPath, "/@ais/")[0] && strings.Contains(call.NewPath, "/%ob/") {
							t.Errorf("%s", call)
						}
					}
				})
			}
		}
	}
}

// TestChangesUnderLoad changes the mountpaths under writers, readers, deleters
// and listers: nobody sees anything but what was acknowledged.
func TestChangesUnderLoad(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{mountpaths: 3, root: memoryDir(t)})
	const workers, rounds = 8, 30
	var done atomic.Bool
	var work sync.WaitGroup
	steady := someNames(20)
	for _, name := range steady {
		r.put("steady/"+name, name)
	}
	for w := range workers {
		work.Go(func() {
			random := rand.New(rand.NewPCG(uint64(w), 1))
			holds := map[string]string{} // names of this worker alone
			for n := 0; !done.Load(); n++ {
				name := fmt.Sprintf("w%d/o%d", w, random.IntN(12))
				switch random.IntN(5) {
				case 0, 1:
					content := fmt.Sprintf("%s generation %d %s", name, n, strings.Repeat("x", random.IntN(2)*150_000))
					if _, err := r.tryPut(name, content, PutOptions{Size: int64(len(content))}); err != nil {
						t.Errorf("PUT %s: %v", name, err)
						return
					}
					holds[name] = content
				case 2:
					err := r.store.Delete(context.Background(), r.key(name))
					if _, there := holds[name]; there != (err == nil) || err != nil && statusOf(err) != 404 {
						t.Errorf("DELETE %s, there: %v: %v", name, there, err)
						return
					}
					delete(holds, name)
				case 3:
					content, _, err := r.tryGet(name)
					want, there := holds[name]
					if there != (err == nil) || content != want || err != nil && statusOf(err) != 404 {
						t.Errorf("GET %s, there: %v: %.40q, want %.40q, %v", name, there, content, want, err)
						return
					}
				default:
					if random.IntN(4) > 0 {
						continue
					}
					page, err := r.store.List(context.Background(), r.bck, r.props, ListOptions{Prefix: "steady/"})
					if err != nil || len(page) != len(steady) {
						t.Errorf("listing of %d names, want %d: %v", len(page), len(steady), err)
						return
					}
				}
			}
		})
	}
	for round := range rounds {
		leaving := r.fs.Available().Paths[round%2].Path
		if err := r.fs.BeginRemoval(leaving, []fs.Removal{fs.Disable, fs.Detach}[round%2]); err != nil {
			t.Error(err)
			break
		}
		if round == 3 {
			r.attach("fourth")
		}
		r.enable(leaving)
		if t.Failed() {
			break
		}
	}
	done.Store(true)
	work.Wait()
}

// An older generation that cannot be removed is never read, and goes with the
// next delete; a delete that cannot remove one fails and changes nothing that
// is seen.
func TestOlderGenerationThatCannotBeRemoved(t *testing.T) {
	t.Parallel()
	system := faultfs.New(nil)
	r := newRig(t, rigOptions{mountpaths: 2, system: system})
	names := someNames(30)
	for _, name := range names {
		r.put(name, "old")
	}
	name := r.placedOn(r.attach("third"), names)[0]
	stuck := func() {
		for _, dir := range r.dirs[:2] {
			system.Inject(faultfs.Fault{Op: faultfs.OpUnlink, Path: dir + "/@ais/b1/%ob/", Err: unix.EIO, Times: -1})
		}
	}
	stuck()
	r.put(name, "new")
	if content, _, _ := r.get(name); content != "new" || r.generations(name) != 2 {
		t.Errorf("%q, %d generations", content, r.generations(name))
	}
	if have := r.allNames(ListOptions{Limit: 1000}); !slices.Equal(have, names) {
		t.Errorf("listing %q", have)
	}
	if err := r.store.Delete(context.Background(), r.key(name)); statusOf(err) != 500 {
		t.Errorf("DELETE: %v", err)
	}
	if content, _, _ := r.get(name); content != "new" {
		t.Errorf("after a failed DELETE: %q", content)
	}
	system.Heal()
	if err := r.store.Delete(context.Background(), r.key(name)); err != nil {
		t.Error(err)
	}
	if _, _, found := r.get(name); found || r.generations(name) != 0 {
		t.Errorf("deleted: found %v, %d generations", found, r.generations(name))
	}
}

// Whatever call fails, an overwrite and a delete of an object that lies
// elsewhere are done, or not done, as they say.
func TestFaultAtEveryCallElsewhere(t *testing.T) {
	t.Parallel()
	for _, delete := range []bool{false, true} {
		for n := 1; n < 300; n++ {
			system := faultfs.New(nil)
			r := newRig(t, rigOptions{mountpaths: 2, root: memoryDir(t), system: system, props: durable})
			names := someNames(40)
			for _, name := range names {
				r.put(name, "old")
			}
			name := r.placedOn(r.attach("third"), names)[0]
			system.Reset()
			system.Inject(faultfs.Fault{Nth: n, Err: unix.EIO, Late: n%2 == 0})
			var err error
			if delete {
				err = r.store.Delete(context.Background(), r.key(name))
			} else {
				_, err = r.tryPut(name, "new", PutOptions{Size: 3})
			}
			fired := slices.ContainsFunc(system.Calls(), func(c faultfs.Call) bool { return errors.Is(c.Err, unix.EIO) })
			system.Heal()
			for range 2 {
				content, _, found := r.get(name)
				switch {
				case err == nil && delete && found, err == nil && !delete && content != "new",
					found && content != "old" && content != "new", !found && !delete:
					t.Errorf("delete %v, call %d, error %v: found %v, %q", delete, n, err, found, content)
				}
				r.restart()
			}
			if err := r.store.Delete(context.Background(), r.key(name)); err != nil && statusOf(err) != 404 {
				t.Errorf("call %d: %v", n, err)
			}
			if _, _, found := r.get(name); found || r.generations(name) != 0 {
				t.Errorf("call %d: deleted: found %v, %d generations", n, found, r.generations(name))
			}
			r.close()
			if !fired {
				t.Logf("delete %v: %d calls", delete, n-1)
				break
			}
		}
	}
}
