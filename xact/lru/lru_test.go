package lru

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/unit"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
	fsys "github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/fs/faultfs"
	"github.com/aistore-go/aistore/xact"
	"github.com/aistore-go/aistore/xact/xacttest"
)

// size is that of an object, and disk that of the disk, in bytes.
const (
	size = 2 << 20
	disk = 100 * size
)

// shared is a disk most of which others use.
type shared struct{ fsys.System }

func (s shared) Statfs(path string) (fsys.FilesystemInfo, error) {
	used := int64(disk * 9 / 10)
	err := filepath.WalkDir(path, func(file string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && strings.Contains(file, "/%ob/") {
			if info, err := e.Info(); err == nil {
				used += info.Size()
			}
		}
		return nil
	})
	return fsys.FilesystemInfo{Total: disk, Available: uint64(max(0, disk-used))}, err
}

// rig is a target whose disk is used to nine tenths by others, with watermarks of 92
// and 95 percent, and objects of ten percent in all, the first the oldest.
func rig(t *testing.T, props func(*meta.Bprops), faults *faultfs.System) *xacttest.Rig {
	t.Helper()
	system := shared{fsys.Unix()}
	if faults != nil {
		system.System = faults
	}
	r := xacttest.New(t, xacttest.Options{
		Mountpaths: 1, System: system,
		Space: func() fsys.Watermarks { return fsys.Watermarks{Cleanup: 80, Low: 92, High: 95, OutOfSpace: 100} },
		Props: func(p *meta.Bprops) {
			p.LRU.Enabled, p.Access = true, meta.AccessAll
			if props != nil {
				props(p)
			}
		},
	}, Registration())
	content := strings.Repeat("x", size)
	for i := range 10 {
		name := fmt.Sprintf("o%d", i)
		attrs := r.Put(name, content)
		path, _ := attrs.Mountpath.PlainPath(r.Bck, name)
		if err := fsys.Unix().SetTimes(path, time.Now().Add(-time.Duration(20-i)*time.Hour).UnixNano(), -1); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func left(t *testing.T, r *xacttest.Rig) string {
	t.Helper()
	var names []string
	for i := range 10 {
		name := fmt.Sprintf("o%d", i)
		if _, err := r.Store.Head(t.Context(), r.Key(name)); err == nil {
			names = append(names, name)
		}
	}
	return strings.Join(names, " ")
}

// TestEvictsDownToTheLowWatermark: the oldest first, and no more than is needed.
func TestEvictsDownToTheLowWatermark(t *testing.T) {
	t.Parallel()
	r := rig(t, nil, nil)
	snap := r.Run(r.Spec(xact.KindLRU))
	if have := left(t, r); have != "o8 o9" || snap.Stats.LocalObjects != 8 || snap.Stats.LocalBytes != 8*size || snap.Error != "" {
		t.Errorf("left %q, %+v, %q", have, snap.Stats, snap.Error)
	}
	if !strings.Contains(snap.ControlMessage, "used:100% highwm:95% lowwm:92% buckets:1 looked:10 evicted:8/16777216") {
		t.Errorf("message %q", snap.ControlMessage)
	}
	if snap = r.Run(r.Spec(xact.KindLRU)); snap.Stats.LocalObjects != 0 || snap.EndTime.IsZero() || snap.AbortError != "" {
		t.Errorf("below the high watermark: %+v", snap)
	}
}

// TestEvictsInBatches: whatever the batch, and none that was accessed within the
// protected time.
func TestEvictsInBatches(t *testing.T) {
	t.Parallel()
	r := rig(t, nil, nil)
	r.Config.LRU.BatchSize = 3
	r.Run(r.Spec(xact.KindLRU))
	if have := left(t, r); have != "o8 o9" {
		t.Errorf("in batches of 3: left %q", have)
	}
	r = rig(t, func(p *meta.Bprops) { p.LRU.DontEvictTime = unit.Duration(17*time.Hour + 30*time.Minute) }, nil)
	if snap := r.Run(r.Spec(xact.KindLRU)); left(t, r) != "o3 o4 o5 o6 o7 o8 o9" || snap.Stats.LocalObjects != 3 {
		t.Errorf("time of the bucket: left %q", left(t, r))
	}
	r = rig(t, nil, nil)
	r.Config.LRU.DontEvictTime = unit.Duration(24 * time.Hour)
	if r.Run(r.Spec(xact.KindLRU)); len(left(t, r)) != len("o0 ")*10-1 {
		t.Errorf("time of the cluster: left %q", left(t, r))
	}
}

// TestBucketsThatDidNotOptIn: nothing is evicted, force or not.
func TestBucketsThatDidNotOptIn(t *testing.T) {
	t.Parallel()
	r := rig(t, func(p *meta.Bprops) { p.LRU.Enabled = false }, nil)
	snap := r.Run(r.Spec(xact.KindLRU))
	if have := left(t, r); len(have) != 29 || snap.Stats.LocalObjects != 0 || !strings.Contains(snap.ControlMessage, "buckets:0") {
		t.Errorf("left %q, %q", have, snap.ControlMessage)
	}
	for args, want := range map[string]string{
		`{"force":true}`: "holds the only copy",
		`{"buckets":[{"name":"absent","provider":"ais"}]}`:          "absent",
		`{"force":true,"buckets":[{"name":"b1","provider":"ais"}]}`: "holds the only copy",
		`[]`: "arguments",
	} {
		spec := r.Spec(xact.KindLRU)
		spec.Args = json.RawMessage(args)
		if err := r.Registry.Prepare(spec); err == nil || !strings.Contains(err.Error(), want) || apierr.StatusOf(err) >= 500 {
			t.Errorf("%s: %v", args, err)
		}
	}
	spec := r.Spec(xact.KindLRU)
	spec.Bck, spec.BID, spec.Args = wire.Bck{}, 0, json.RawMessage(`{"force":true}`)
	if err := r.Registry.Prepare(spec); apierr.StatusOf(err) != 400 || !strings.Contains(err.Error(), "needs the buckets") {
		t.Errorf("force without buckets: %v", err)
	}
}

// TestEvictsFromADiskThatFails: what fails is told, the rest goes on, and objects
// that could not be evicted are whole.
func TestEvictsFromADiskThatFails(t *testing.T) {
	t.Parallel()
	faults := faultfs.New(nil)
	r := rig(t, nil, faults)
	faults.Inject(faultfs.Fault{Op: faultfs.OpUnlink, Path: "/%ob/o1", Times: -1, Err: unix.EIO})
	snap := r.Run(r.Spec(xact.KindLRU))
	if have := left(t, r); have != "o1 o9" || snap.Stats.LocalObjects != 8 || !strings.Contains(snap.Error, "evict ais://b1/o1") {
		t.Errorf("left %q, %+v, %q", have, snap.Stats, snap.Error)
	}
}

// TestEvictionIsAborted: between two objects.
func TestEvictionIsAborted(t *testing.T) {
	t.Parallel()
	faults := faultfs.New(nil)
	r := rig(t, nil, faults)
	jobs, removed := make(chan *xact.Xaction, 1), 0
	faults.Before(func(c faultfs.Call) {
		if c.Op == faultfs.OpUnlink && strings.Contains(c.Path, "/%ob/") {
			if removed++; removed == 3 {
				(<-jobs).Abort(errors.New("enough"))
			}
		}
	})
	x := r.Start(r.Spec(xact.KindLRU))
	jobs <- x
	if snap := r.Finish(x); snap.AbortError != "enough" || left(t, r) != "o3 o4 o5 o6 o7 o8 o9" {
		t.Errorf("left %q, %+v", left(t, r), snap)
	}
}
