package fs_test

import (
	"bytes"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/fs/faultfs"
)

func TestCopyRange(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	content := bytes.Repeat([]byte("0123456789abcdef"), 1<<14)
	open := func(system fs.System, name string) fs.File {
		f, err := system.Open(filepath.Join(dir, name), unix.O_RDWR|unix.O_CREAT, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		return f
	}
	from, to := open(fs.Unix(), "from"), open(fs.Unix(), "to")
	if _, err := from.Write(content); err != nil {
		t.Fatal(err)
	}
	done := int64(0)
	for done < int64(len(content)) {
		n, ok, err := fs.CopyRange(to, from, done, int64(len(content))-done)
		if err != nil || n == 0 && ok {
			t.Fatalf("%d %v %v", n, ok, err)
		}
		if !ok {
			return // this filesystem cannot: nothing was copied
		}
		done += n
	}
	got := make([]byte, len(content))
	if _, err := to.ReadAt(got, 0); err != nil || !bytes.Equal(got, content) {
		t.Errorf("other content: %v", err)
	}
	if n, ok, err := fs.CopyRange(to, from, int64(len(content)), 1); n != 0 || !ok || err != nil {
		t.Errorf("beyond the end: %d %v %v", n, ok, err)
	}
	// Through a system that makes calls fail every byte is read and written.
	other := open(faultfs.New(nil), "other")
	if _, ok, err := fs.CopyRange(other, from, 0, 1); ok || err != nil {
		t.Errorf("%v %v", ok, err)
	}
}
