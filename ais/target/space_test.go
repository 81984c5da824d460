package target

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/xact"
)

// fillable is a disk of which a test says how full it is.
type fillable struct {
	fs.System
	pct float64
}

func (f *fillable) Statfs(path string) (fs.FilesystemInfo, error) {
	const total = 1 << 40
	return fs.FilesystemInfo{Total: total, Available: total - uint64(f.pct/100*total)}, nil
}

// TestSpaceKeeper: what begins by itself, when, and how often.
func TestSpaceKeeper(t *testing.T) {
	t.Parallel()
	disk := &fillable{System: fs.Unix()}
	disks, err := fs.Open(fs.Options{
		Mountpaths: map[string]string{filepath.Join(t.TempDir(), "mp"): ""}, TestMode: true, NodeID: "t1", System: disk,
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := disks.Close(); err != nil {
			t.Error(err)
		}
	}()
	var ran []string
	cleans, evicts, ready := float64(0), float64(0), true
	now := time.Unix(1e9, 0)
	k := &spaceKeeper{
		capacity: disks.RefreshCapacity, measure: disks.RefreshCapacity, now: func() time.Time { return now },
		ready: func() bool { return ready }, log: slog.New(slog.NewTextHandler(io.Discard, nil)), wake: make(chan struct{}, 1),
		run: func(_ context.Context, kind string) (int64, error) {
			ran = append(ran, kind)
			freed := cleans
			if kind == xact.KindLRU {
				freed = evicts
			}
			disk.pct -= freed
			if freed < 0 {
				disk.pct += freed
				return 0, errors.New("cannot")
			}
			return int64(freed), nil
		},
	}
	step := func(what string, after time.Duration, pct float64, want string) {
		t.Helper()
		now = now.Add(after)
		disk.pct, ran = pct, nil
		k.look(context.Background())
		if have := strings.Join(ran, " "); have != want {
			t.Errorf("%s: %q, want %q", what, have, want)
		}
	}
	step("below the watermark of cleanup", 0, 60, "")
	ready = false
	step("before the buckets are known", 0, 70, "")
	ready = true
	step("above it", 0, 70, "cleanup-store")
	step("a minute later", time.Minute, 70, "")
	step("ten minutes later, but the last one found nothing", 9*time.Minute, 70, "")
	step("twenty minutes later", 10*time.Minute, 70, "cleanup-store")
	step("more space is used than then", 10*time.Minute, 72, "cleanup-store")
	cleans = 5
	step("above the high watermark, and cleanup is enough", 10*time.Minute, 93, "cleanup-store")
	cleans = 0
	step("ten minutes later it is not", 10*time.Minute, 93, "cleanup-store lru")
	step("there was nothing to evict", time.Minute, 93, "")
	evicts = 20
	step("until ten minutes have passed", 10*time.Minute, 93, "lru")
	step("what was freed is used again", 10*time.Second, 93, "lru")
	evicts = -1
	step("eviction fails", time.Minute, 93, "lru")
	step("and waits", time.Minute, 93, "")
}
