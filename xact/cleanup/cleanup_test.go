package cleanup

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/cmn/feature"
	"github.com/aistore-go/aistore/cmn/unit"
	"github.com/aistore-go/aistore/fs"
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
	r := xacttest.New(t, xacttest.Options{System: late{fs.Unix()}, Config: change}, Registration())
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
