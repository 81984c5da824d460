package fs_test

import (
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/fs"
)

// sizedSystem tells made-up capacities.
type sizedSystem struct {
	fs.System
	available atomic.Uint64 // of 1 TiB
	calls     atomic.Int64
	err       atomic.Pointer[error]
}

func (s *sizedSystem) Statfs(path string) (fs.FilesystemInfo, error) {
	s.calls.Add(1)
	if err := s.err.Load(); err != nil {
		return fs.FilesystemInfo{}, *err
	}
	info, err := s.System.Statfs(path)
	info.Total, info.Available, info.Free = 1<<40, s.available.Load(), s.available.Load()+1<<30
	return info, err
}

func TestCapacity(t *testing.T) {
	t.Parallel()
	system, seen := &sizedSystem{System: fs.Unix()}, new(events)
	system.available.Store(1 << 39)
	var now atomic.Int64
	root := t.TempDir()
	opts := options(filepath.Join(root, "1"), filepath.Join(root, "2"))
	opts.System, opts.OnEvent = system, seen.add
	opts.Clock = func() time.Time { return time.Unix(now.Load(), 0) }
	m := open(t, opts)

	c := m.Capacity()
	if c.PctMax != 50 || c.PctAvg != 50 || c.PctMin != 50 || c.Used != 1<<39 || c.Avail != 1<<39 || len(c.Mountpaths) != 2 {
		t.Errorf("half full: %+v", c)
	}
	if m.OutOfSpace() != nil || c.Err() != nil {
		t.Error("half full is out of space")
	}
	system.available.Store(1 << 40 * 4 / 100)
	asked := system.calls.Load()
	now.Add(9)
	if m.Capacity().PctMax != 50 || system.calls.Load() != asked {
		t.Error("figures are not kept for ten seconds")
	}
	now.Add(2)
	err := m.OutOfSpace()
	if apierr.StatusOf(err) != 507 || apierr.CodeOf(err) != "ErrCapExceeded" ||
		!strings.HasPrefix(err.Error(), "out of space: used 96% of total capacity on at least one of the mountpaths (total used 983.04GiB out of 1.00TiB)") {
		t.Errorf("at 96%%: %v", err)
	}
	if seen.count(fs.EventSpace) != 1 {
		t.Errorf("%d events, want 1", seen.count(fs.EventSpace))
	}
	system.available.Store(1 << 40 * 8 / 100)
	c = m.RefreshCapacity()
	if err := c.Err(); m.OutOfSpace() != nil || err == nil || !strings.HasPrefix(err.Error(), "low on free space: used capacity 92% exceeded high watermark(90%)") {
		t.Errorf("at 92%%: %v, alert %v", m.OutOfSpace(), err)
	}
	system.err.Store(&[]error{errDisk}[0])
	c = m.RefreshCapacity()
	if c.PctMax != 0 || c.Mountpaths[0].Err == nil || seen.count(fs.EventIOError) == 0 {
		t.Errorf("a disk that cannot be asked: %+v", c)
	}
}

func TestVolumeTooSmall(t *testing.T) {
	t.Parallel()
	small := &tinySystem{System: fs.Unix()}
	path := filepath.Join(t.TempDir(), "mp")
	opts := options(path)
	opts.System = small
	open(t, opts) // a warning in test mode
	touch(t, filepath.Join(t.TempDir(), "x"))
	other := options(t.TempDir())
	other.System, other.TestMode = small, false
	_, err := fs.Open(other)
	wantText(t, err, "smaller than 10.00MiB")
}

type tinySystem struct{ fs.System }

func (s *tinySystem) Statfs(path string) (fs.FilesystemInfo, error) {
	info, err := s.System.Statfs(path)
	info.Total = 9 << 20
	return info, err
}
