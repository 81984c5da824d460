package core

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/fs/faultfs"
)

// largeCustom fits no attribute.
var largeCustom = []KV{{"k", strings.Repeat("v", 2040)}}

func (r *rig) sidecars() []string { return r.files("/%ob/", "/%ox/", "/%ov/", "/%wk/") }

// strays leaves sidecars of no object behind, as crashes do: one of a name that
// is gone, one of a former generation, a torn one. It returns how many sidecars
// are in use beside them.
func (r *rig) strays() (used int) {
	r.tb.Helper()
	put := func(name string, keep Keep) {
		if _, err := r.tryPut(name, name, PutOptions{Size: int64(len(name)), Custom: largeCustom, Keep: keep}); err != nil {
			r.tb.Fatal(err)
		}
	}
	put("live", KeepNothing)
	put("esc//aped", KeepNothing)
	put("versions", KeepVersion)
	put("versions", KeepVersion)
	inUse := r.sidecars()
	put("gone", KeepNothing)
	o, err := r.store.resolve(r.key("gone"))
	if err != nil {
		r.tb.Fatal(err)
	}
	if err := os.Remove(o.plain); err != nil {
		r.tb.Fatal(err)
	}
	for i, path := range inUse { // a sidecar of an earlier stamp beside each
		content, err := os.ReadFile(path)
		if err != nil {
			r.tb.Fatal(err)
		}
		if i == 0 {
			content = content[:100]
		}
		hash := path[:strings.LastIndexByte(path, '.')]
		if err := os.WriteFile(hash+"."+Stamp{Epoch: 1, Clock: uint64(i), Node: 1}.fileSuffix(), content, 0o644); err != nil {
			r.tb.Fatal(err)
		}
	}
	return len(inUse)
}

// untilFilesAreNewer returns when files that are written are newer than the start
// of the store: their clock lags behind by some milliseconds, and what seems to
// be older than the mountpaths is not collected.
func (r *rig) untilFilesAreNewer() {
	r.tb.Helper()
	for probe := filepath.Join(filepath.Dir(r.dirs[0]), "probe"); ; {
		if err := os.WriteFile(probe, nil, 0o644); err != nil {
			r.tb.Fatal(err)
		}
		info, err := os.Stat(probe)
		if err != nil {
			r.tb.Fatal(err)
		}
		if info.ModTime().UnixNano() > r.store.started {
			return
		}
	}
}

func (r *rig) wantSidecarsInUse(when string, want int) {
	r.tb.Helper()
	if found := r.sidecars(); len(found) != want {
		r.tb.Errorf("%s: %d sidecars, want %d: %q", when, len(found), want, found)
	}
	for _, name := range []string{"live", "esc//aped", "versions"} {
		if content, attrs, err := r.tryGet(name); err != nil || content != name || !slices.Equal(attrs.Custom, largeCustom) {
			r.tb.Errorf("%s: %s: %q, %v", when, name, content, err)
		}
	}
	all, err := r.store.ListVersions(context.Background(), r.key("versions"))
	if err != nil || len(all) != 2 || all[1].Damage != nil || !slices.Equal(all[1].Attrs.Custom, largeCustom) {
		r.tb.Errorf("%s: versions: %+v, %v", when, all, err)
	}
}

func (r *rig) collect(age time.Duration) (int, error) {
	c, err := r.store.CollectGarbage(context.Background(), r.bck, r.props, age)
	return c.Files, err
}

// Sidecars of no object go once they are old, or of an earlier process; those in
// use stay.
func TestLeftSidecarsAreCollected(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{mountpaths: 2, props: durable, store: walking})
	r.untilFilesAreNewer()
	used := r.strays()
	all := len(r.sidecars())
	if n, err := r.collect(time.Hour); n != 0 || err != nil || len(r.sidecars()) != all {
		t.Errorf("young ones: %d files collected, %v", n, err)
	}
	r.restart()
	if n, err := r.collect(time.Hour); n != all-used || err != nil {
		t.Errorf("%d files collected, want %d, %v", n, all-used, err)
	}
	r.wantSidecarsInUse("after the collection", used)
	// What has been looked at is not looked at again, what is new is.
	if _, err := r.tryPut("live", "live", PutOptions{Size: 4, Custom: []KV{{"l", strings.Repeat("w", 2040)}}}); err != nil {
		t.Fatal(err)
	}
	if n, err := r.collect(-time.Second); n != 0 || err != nil {
		t.Errorf("%d files collected, %v", n, err)
	}
	if _, attrs, err := r.tryGet("live"); err != nil || len(attrs.Custom) != 2 {
		t.Errorf("an object with a new sidecar: %d keys, %v", len(attrs.Custom), err)
	}
}

// Files of an earlier bucket of the same name, as a loss of power can bring them
// back before their way into the trash was durable, are of no name of this one.
// That they are is said in their sidecars.
func TestSidecarsOfAnEarlierBucketStay(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{mountpaths: 1, props: durable, store: walking})
	r.untilFilesAreNewer()
	names := []string{"live", "esc//aped", "versions"}
	for _, name := range append(names, "versions") {
		keep := KeepNothing
		if name == "versions" {
			keep = KeepVersion
		}
		if _, err := r.tryPut(name, name, PutOptions{Size: int64(len(name)), Custom: largeCustom, Keep: keep}); err != nil {
			t.Fatal(err)
		}
	}
	before := r.sidecars()
	r.props = r.props.Clone()
	r.props.BID++
	r.bmd = r.bmdWith(r.props)
	r.restart()
	if n, err := r.collect(time.Hour); n != 0 || err != nil {
		t.Errorf("%d files collected, %v", n, err)
	}
	for _, name := range names {
		if err := r.store.Delete(context.Background(), r.key(name)); !apierr.IsNotFound(err) {
			t.Errorf("%s: removed: %v", name, err)
		}
		if _, _, err := r.tryGet(name); !apierr.IsNotFound(err) {
			t.Errorf("%s: read: %v", name, err)
		}
		if all, err := r.store.ListVersions(context.Background(), r.key(name)); len(all) != 0 || err != nil {
			t.Errorf("%s: versions: %+v, %v", name, all, err)
		}
	}
	if after := r.sidecars(); !slices.Equal(after, before) {
		t.Errorf("sidecars are %q, were %q", after, before)
	}
	r.put("live", "new")
	if content, _, found := r.get("live"); !found || content != "new" {
		t.Errorf("a new object in the place of an earlier one: %q, %t", content, found)
	}
}

// Whatever call of a collection fails, what is in use stays, and the next one
// removes the rest.
func TestFaultAtEveryCallOfACollectionOfSidecars(t *testing.T) {
	t.Parallel()
	sys := faultfs.New(nil)
	r := newRig(t, rigOptions{mountpaths: 2, props: durable, store: walking, system: sys})
	r.untilFilesAreNewer()
	for n, fired := 1, true; fired; n += 3 {
		used := r.strays()
		r.restart()
		sys.Restart(faultfs.Fault{Nth: n, Err: unix.EIO, Late: n%2 == 0})
		_, _ = r.collect(time.Hour) // may tell of the fault
		fired = slices.ContainsFunc(sys.Calls(), func(call faultfs.Call) bool { return errors.Is(call.Err, unix.EIO) })
		sys.Heal()
		sys.Reset()
		r.restart()
		if _, err := r.collect(time.Hour); err != nil {
			t.Fatalf("call %d: %v", n, err)
		}
		r.wantSidecarsInUse("after a fault", used)
		for _, name := range []string{"live", "esc//aped", "versions"} {
			if err := r.store.Delete(context.Background(), r.key(name)); err != nil {
				t.Fatal(err)
			}
		}
		all, err := r.store.ListVersions(context.Background(), r.key("versions"))
		for i := len(all) - 1; i >= 0 && err == nil; i-- {
			_, err = r.store.DeleteVersion(context.Background(), r.key("versions"), all[i].rec.versionID())
		}
		if left := r.sidecars(); err != nil || len(left) > 0 {
			t.Fatalf("call %d: left: %q, %v", n, left, err)
		}
	}
}

// afterSidecar calls back when a sidecar has its place, and its record not yet.
type afterSidecar struct {
	fs.System
	then func()
}

func (s *afterSidecar) Rename(from, to string) error {
	err := s.System.Rename(from, to)
	if s.then != nil && strings.Contains(to, "/"+fs.ContentSidecar+"/") {
		s.then()
	}
	return err
}

// A sidecar that a write is about to use stays, however old it is.
func TestASidecarUnderWayIsNotCollected(t *testing.T) {
	t.Parallel()
	sys := &afterSidecar{System: fs.Unix()}
	r := newRig(t, rigOptions{props: durable, store: walking, system: sys})
	calls := 0
	sys.then = func() {
		calls++
		if n, err := r.collect(-time.Hour); n != 0 || err != nil {
			t.Errorf("%d files collected, %v", n, err)
		}
	}
	if _, err := r.tryPut("o", "x", PutOptions{Size: 1, Custom: largeCustom}); err != nil {
		t.Fatal(err)
	}
	sys.then = nil
	if _, attrs, err := r.tryGet("o"); calls == 0 || err != nil || !slices.Equal(attrs.Custom, largeCustom) {
		t.Errorf("%d collections meanwhile, %v", calls, err)
	}
	if n := len(r.store.sidecars.paths); n != 0 {
		t.Errorf("%d sidecars are said to be under way at the end", n)
	}
}

// A DELETE, and the quarantine of an object whose record cannot be read, take all
// sidecars of the name along.
func TestSidecarsGoWithTheirName(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{props: durable, store: walking})
	r.strays()
	if err := r.store.Delete(context.Background(), r.key("esc//aped")); err != nil {
		t.Fatal(err)
	}
	o, err := r.store.resolve(r.key("live"))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.fs.Available().Paths[0].System().SetXattr(o.plain, XattrRecord, []byte("not a record")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.tryGet("live"); err == nil {
		t.Error("a damaged object was read")
	}
	for _, path := range r.sidecars() {
		for _, name := range []string{"live", "esc//aped"} {
			of, err := r.store.resolve(r.key(name))
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(path, of.mp.HashedPath(r.bck, fs.ContentSidecar, name, ".")) {
				t.Errorf("a sidecar of %s is left: %s", name, path)
			}
		}
	}
	aside, err := filepath.Glob(filepath.Join(r.dirs[0], fs.QuarantineDir, "*", "*.*"))
	if err != nil || len(aside) != 3 { // two sidecars and why.json
		t.Errorf("in quarantine: %q, %v", aside, err)
	}
}
