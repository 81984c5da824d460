package fs

import (
	"context"
	"errors"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// oncePerFile reports a write-back error as the kernel does: once to each file
// that was open when it happened.
type oncePerFile struct {
	System
	failed bool
	told   map[File]bool
}

func (*oncePerFile) SyncfsReportsErrors() bool { return true }

func (s *oncePerFile) Syncfs(f File) error {
	if !s.failed || s.told[f] {
		return nil
	}
	s.told[f] = true
	return unix.EIO
}

// TestSettlingTakesNoErrorAway: the flush that shortens the list of directories
// meets a write-back error that a round has to know of, too.
func TestSettlingTakesNoErrorAway(t *testing.T) {
	t.Parallel()
	system := &oncePerFile{System: Unix(), told: make(map[File]bool)}
	dir := t.TempDir()
	fsys := &Filesystem{root: dir, system: system, onEvent: func(Event) {}}
	if err := fsys.open(dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := fsys.close(); err != nil {
			t.Error(err)
		}
	})
	system.failed = true
	for i := range maxFreshDirs + 2 {
		path := dir + "/" + strconv.Itoa(i)
		fsys.beforeMkdir(path)
		fsys.afterMkdir(path, true)
	}
	if len(system.told) != 1 {
		t.Fatal("the list was not settled")
	}
	var request FlushRequest
	for i := range syncfsMinFiles {
		f, err := system.Open(dir+"/"+strconv.Itoa(i), unix.O_RDWR|unix.O_CREAT, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close() //nolint:errcheck // nothing was written to it
		request.Files = append(request.Files, f)
	}
	if err := fsys.Flush(context.Background(), request); !errors.Is(err, unix.EIO) {
		t.Errorf("a round after a write-back error: %v", err)
	}
}
