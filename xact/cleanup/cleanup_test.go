package cleanup

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/cmn/feature"
	"github.com/aistore-go/aistore/cmn/unit"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/fs/faultfs"
	"github.com/aistore-go/aistore/xact"
	"github.com/aistore-go/aistore/xact/xacttest"
)

// late is a system on which everything changed three hours ago.
type late struct{ fs.System }

func (s late) Stat(path string) (fs.FileInfo, error) {
	info, err := s.System.Stat(path)
	info.Mtime -= int64(3 * time.Hour)
	info.Ctime -= int64(3 * time.Hour)
	return info, err
}

// rig is a target with garbage: a work file, a file that nobody committed, a name
// that is no content type, and an empty directory; and with three objects.
func rig(t *testing.T, change func(*config.Cluster)) (*xacttest.Rig, map[string]string) {
	t.Helper()
	return rigOn(t, late{fs.Unix()}, change)
}

// rigOn is rig on the disks of a system.
func rigOn(t *testing.T, system fs.System, change func(*config.Cluster)) (*xacttest.Rig, map[string]string) {
	t.Helper()
	r := xacttest.New(t, xacttest.Options{System: system, Config: change}, Registration(nil))
	for _, name := range []string{"a", "dir/b"} {
		r.Put(name, "content")
	}
	r.Put("empty", "")
	mp := r.Disks.Available().Paths[0]
	garbage := map[string]string{
		"work":    mp.BucketDir(r.Bck, fs.ContentWork) + "/put.0123abcd.1.7b",
		"bare":    mp.BucketDir(r.Bck, fs.ContentObject) + "/bare",
		"unknown": mp.BucketDir(r.Bck, "") + "/junk",
		"dir":     mp.BucketDir(r.Bck, fs.ContentObject) + "/x/y/z",
	}
	for name, path := range garbage {
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		if err == nil && name == "dir" {
			err = os.Mkdir(path, 0o755)
		} else if err == nil {
			err = os.WriteFile(path, []byte("garbage"), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return r, garbage
}

func there(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func whole(t *testing.T, r *xacttest.Rig, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := r.Store.Head(t.Context(), r.Key(name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCleansUp(t *testing.T) {
	t.Parallel()
	r, garbage := rig(t, nil)
	snap := r.Run(r.Spec(xact.KindCleanup))
	for name, path := range garbage {
		if there(path) {
			t.Errorf("%s is left", name)
		}
	}
	if snap.Stats.LocalObjects != 3 || snap.Stats.LocalBytes != 21 || snap.Error != "" || snap.AbortError != "" {
		t.Errorf("%+v %q %q", snap.Stats, snap.Error, snap.AbortError)
	}
	if !strings.Contains(snap.ControlMessage, "oldwork:1 invalid:2 empty-dirs:3 rm:3/21B") {
		t.Errorf("message %q", snap.ControlMessage)
	}
	whole(t, r, "a", "dir/b", "empty")
}

// TestSettings: what is young stays, what is unknown with the feature, empty objects
// without the flag.
func TestSettings(t *testing.T) {
	t.Parallel()
	r, garbage := rig(t, func(c *config.Cluster) { c.Space.DontCleanupTime = unit.Duration(4 * time.Hour) })
	spec := r.Spec(xact.KindCleanup)
	spec.Args = json.RawMessage(`{"flags":1}`)
	if snap := r.Run(spec); !there(garbage["bare"]) || !there(garbage["dir"]) || !strings.Contains(snap.ControlMessage, "too-fresh:2") {
		t.Errorf("too young: %q", snap.ControlMessage)
	}
	whole(t, r, "a", "dir/b", "empty")

	r, garbage = rig(t, func(c *config.Cluster) { c.Features |= feature.KeepUnknownFQN; c.Space.BatchSize = 1 })
	r.Run(r.Spec(xact.KindCleanup))
	if !there(garbage["unknown"]) || there(garbage["bare"]) {
		t.Errorf("with Keep-Unknown-FQN: unknown there %v, bare there %v", there(garbage["unknown"]), there(garbage["bare"]))
	}
	whole(t, r, "a", "dir/b", "empty")
}

func TestBadArguments(t *testing.T) {
	t.Parallel()
	r, _ := rig(t, nil)
	for args, want := range map[string]string{
		`{"flags":2}`: "flags of cleanup-store: 2: accepted are 1",
		`"x"`:         "arguments",
		`{"buckets":[{"name":"absent","provider":"ais"}]}`: "absent",
	} {
		spec := r.Spec(xact.KindCleanup)
		spec.Args = json.RawMessage(args)
		if err := r.Registry.Prepare(spec); err == nil || !strings.Contains(err.Error(), want) || apierr.StatusOf(err) >= 500 {
			t.Errorf("%s: %v", args, err)
		}
	}
}

// TestDryRun: nothing goes, the report says what would, by category and with paths; the run
// after it removes exactly that. It is no answer to one who asks for a cleanup.
func TestDryRun(t *testing.T) {
	t.Parallel()
	r, garbage := rig(t, nil)
	if err := os.MkdirAll(filepath.Join(r.Disks.Available().Paths[0].Path, fs.TrashDir, "b9", "1"), 0o755); err != nil {
		t.Fatal(err)
	}
	removed := filepath.Join(r.Disks.Available().Paths[0].Path, fs.TrashDir, "b9", "1", "file")
	if err := os.WriteFile(removed, []byte("was removed"), 0o600); err != nil {
		t.Fatal(err)
	}
	spec := r.Spec(xact.KindCleanup)
	spec.Bck, spec.BID = wire.Bck{}, 0
	spec.Args = json.RawMessage(`{"flags":33}`)
	snap := r.Run(spec)
	for name, path := range garbage {
		if !there(path) {
			t.Errorf("%s is gone", name)
		}
	}
	whole(t, r, "a", "dir/b", "empty")
	if snap.Stats.LocalObjects != 0 || snap.Error != "" || !strings.HasPrefix(snap.ControlMessage, "dry-run visits:") || !there(removed) {
		t.Errorf("%+v %q %q", snap.Stats, snap.ControlMessage, snap.Error)
	}
	report, ok := snap.Ext.(*wire.CleanupReport)
	if !ok || !report.DryRun {
		t.Fatalf("%T %+v", snap.Ext, snap.Ext)
	}
	got := map[string]string{}
	for _, of := range report.Removals {
		got[of.Category] = fmt.Sprintf("%d/%d", of.Files, of.Bytes)
		if of.Why == "" {
			t.Errorf("%s: no reason is given", of.Category)
		}
	}
	want := map[string]string{"trash": "1/11", "oldwork": "1/7", "invalid": "2/14", "empty-dirs": "3/0"}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for _, of := range []string{"work", "bare", "unknown"} {
		if !slices.ContainsFunc(report.Examples, func(e wire.CleanupExample) bool { return e.Path == garbage[of] && e.Size == 7 }) {
			t.Errorf("%s is not named: %+v", of, report.Examples)
		}
	}
	spec = r.Spec(xact.KindCleanup)
	spec.Bck, spec.BID = wire.Bck{}, 0
	spec.Args = json.RawMessage(`{"flags":1}`)
	if snap := r.Run(spec); snap.Ext != nil || !strings.Contains(snap.ControlMessage, "oldwork:1 invalid:2 empty-dirs:3 rm:3/21B") {
		t.Errorf("%v %q", snap.Ext, snap.ControlMessage)
	}
	if there(removed) {
		t.Error("the trash is not empty")
	}
	running := []xact.Active{{Spec: spec}}
	dry := &xact.Spec{ID: "dry", Kind: xact.KindCleanup, Args: json.RawMessage(`{"flags":32}`)}
	if v := xact.Coexist("t1", dry, running, false); v.Join != nil || v.Err != nil {
		t.Errorf("a dry run beside a cleanup: %+v", v)
	}
	if v := xact.Coexist("t1", spec, []xact.Active{{Spec: dry}}, false); v.Join != nil || v.Err != nil {
		t.Errorf("a cleanup beside a dry run: %+v", v)
	}
}

// TestNoRoomInTheTrash: what is to be kept for a day and finds no room in the trash stays
// where it is, the job says so, does the rest, and the same again, when there is room,
// moves it.
func TestNoRoomInTheTrash(t *testing.T) {
	t.Parallel()
	for _, op := range []faultfs.Op{faultfs.OpMkdir, faultfs.OpRename} {
		disk := faultfs.New(late{fs.Unix()})
		r, garbage := rigOn(t, disk, nil)
		path := "/" + fs.TrashDir + "/%retained"
		disk.Inject(faultfs.Fault{Op: op, Path: path, Times: -1, Err: unix.ENOSPC})
		snap := r.Run(r.Spec(xact.KindCleanup))
		if !there(garbage["unknown"]) || there(garbage["bare"]) || there(garbage["work"]) || !strings.Contains(snap.Error, "out of space") {
			t.Errorf("%s: unknown there %v, bare there %v: %q", op, there(garbage["unknown"]), there(garbage["bare"]), snap.Error)
		}
		disk.Heal()
		if snap := r.Run(r.Spec(xact.KindCleanup)); there(garbage["unknown"]) || snap.Error != "" {
			t.Errorf("%s, again: %q", op, snap.Error)
		}
		whole(t, r, "a", "dir/b", "empty")
	}
}
