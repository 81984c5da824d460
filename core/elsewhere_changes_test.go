package core

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
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
			system.Restart(faultfs.Fault{Nth: n, Err: unix.EIO, Late: n%2 == 0})
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
