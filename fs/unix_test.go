package fs_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/fs"
	"golang.org/x/sys/unix"
)

func TestUnixFile(t *testing.T) {
	t.Parallel()
	system, path := fs.Unix(), filepath.Join(t.TempDir(), strings.Repeat("n", 255))
	f, err := system.Open(path, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, 0o640)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte("hello ")); err != nil {
		t.Error(err)
	}
	if _, err := f.WriteAt([]byte("world"), 6); err != nil {
		t.Error(err)
	}
	if err := f.SetXattr("user.ais.lom", []byte("record")); err != nil {
		t.Error(err)
	}
	if err := f.SetTimes(1_000_000_007, -1); err != nil {
		t.Error(err)
	}
	for _, err := range []error{f.Sync(), f.Datasync(), f.StartWriteback(0, 0), system.SetTimes(path, -1, 2_000_000_009)} {
		if err != nil {
			t.Error(err)
		}
	}
	info, err := f.Stat()
	if err != nil || info.Size != 11 || info.Atime != 1_000_000_007 || info.Mtime != 2_000_000_009 || info.Mode != 0o640 || info.Kind != fs.KindFile {
		t.Errorf("Stat = %+v, %v", info, err)
	}
	buf := make([]byte, 64)
	if n, err := f.GetXattr("user.ais.lom", buf); err != nil || string(buf[:n]) != "record" {
		t.Errorf("GetXattr = %q, %v", buf[:n], err)
	}
	if _, err := f.GetXattr("user.ais.lom", buf[:2]); !errors.Is(err, unix.ERANGE) {
		t.Errorf("GetXattr into a short buffer: %v", err)
	}
	if _, err := f.GetXattr("user.none", buf); !errors.Is(err, unix.ENODATA) {
		t.Errorf("GetXattr of none: %v", err)
	}
	if n, err := f.GetXattr("user.ais.lom", nil); n != 6 || err != nil {
		t.Errorf("length of the attribute = %d, %v", n, err)
	}
	if n, err := f.ReadAt(buf, 6); string(buf[:n]) != "world" || !errors.Is(err, io.EOF) {
		t.Errorf("ReadAt = %q, %v", buf[:n], err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if err := f.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if _, err := f.Read(buf); !errors.Is(err, unix.EBADF) {
		t.Errorf("Read after Close: %v", err)
	}

	if f, err = system.Open(path, unix.O_RDONLY, 0); err != nil {
		t.Fatal(err)
	}
	file := f.OSFile()
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	data, err := io.ReadAll(file)
	if err != nil || !bytes.Equal(data, []byte("hello world")) {
		t.Errorf("the taken file reads %q, %v", data, err)
	}
	if err := file.Close(); err != nil {
		t.Error(err)
	}
}

func TestUnixErrors(t *testing.T) {
	t.Parallel()
	system, dir := fs.Unix(), t.TempDir()
	_, err := system.Open(dir+"/missing", unix.O_RDONLY, 0)
	if !errors.Is(err, os.ErrNotExist) || !errors.Is(err, unix.ENOENT) {
		t.Errorf("open of nothing: %v", err)
	}
	touch(t, dir+"/a")
	if _, err := system.Open(dir+"/a\x00b", unix.O_RDONLY, 0); !errors.Is(err, unix.EINVAL) {
		t.Errorf("a NUL in a path must not shorten it: %v", err)
	}
	if _, err := system.Open(dir+"/"+strings.Repeat("x", 256), unix.O_RDONLY, 0); !fs.IsNameProblem(err) {
		t.Errorf("a component that is too long: %v", err)
	}
	if _, err := system.Open(dir+strings.Repeat("/x", 4000), unix.O_RDONLY, 0); !fs.IsNameProblem(err) {
		t.Errorf("a path that is too long: %v", err)
	}
	if err := system.Rename(dir+"/none", dir+"/b"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("rename of nothing: %v", err)
	}
	if err := system.Rename(dir+"/a", dir+"/a/b"); !fs.IsNameProblem(err) {
		t.Errorf("rename below a file: %v", err)
	}
	first, err := system.Open(dir+"/a", unix.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	second, err := system.Open(dir+"/a", unix.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := system.Flock(first); err != nil {
		t.Error(err)
	}
	wantErrno(t, system.Flock(second), unix.EWOULDBLOCK)
	for _, f := range []fs.File{first, second} {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestReadDir(t *testing.T) {
	t.Parallel()
	system, dir := fs.Unix(), t.TempDir()
	want := make(map[string]fs.EntryKind)
	for i := range 2000 { // more than one buffer
		name := strings.Repeat("n", i%200) + string(rune('a'+i%26)) + strings.Repeat("m", i/200)
		if want[name] != 0 {
			continue
		}
		want[name] = fs.KindFile
		touch(t, dir+"/"+name)
	}
	if err := os.Mkdir(dir+"/...", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("x", dir+"/.link"); err != nil {
		t.Fatal(err)
	}
	want["..."], want[".link"] = fs.KindDir, fs.KindOther
	err := system.ReadDir(dir, func(name []byte, kind fs.EntryKind) error {
		if want[string(name)] != kind {
			t.Errorf("entry %q of kind %d", name, kind)
		}
		delete(want, string(name))
		return nil
	})
	if err != nil || len(want) != 0 {
		t.Errorf("%v; not seen: %v", err, want)
	}
	mine := errors.New("mine")
	if err := system.ReadDir(dir, func([]byte, fs.EntryKind) error { return mine }); !errors.Is(err, mine) {
		t.Errorf("the callback's error came back as %v", err)
	}
}

// The calls of a small GET allocate the File and nothing else.
func TestReadAllocations(t *testing.T) { // counts allocations, so it runs alone
	system, path, buf, record := fs.Unix(), t.TempDir()+"/file", make([]byte, 4096), make([]byte, 2048)
	if err := os.WriteFile(path, buf, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := system.SetXattr(path, "user.ais.lom", record[:200]); err != nil {
		t.Fatal(err)
	}
	n := testing.AllocsPerRun(100, func() { readOnce(t, system, path, buf, record) })
	if n > 1 {
		t.Errorf("%v allocations, want 1", n)
	}
}

func readOnce(t testing.TB, system fs.System, path string, buf, record []byte) {
	f, err := system.Open(path, unix.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := f.GetXattr("user.ais.lom", record); err != nil || n != 200 {
		t.Fatal(n, err)
	}
	if info, err := f.Stat(); err != nil || info.Size != 4096 {
		t.Fatal(info, err)
	}
	if n, err := f.ReadAt(buf, 0); err != nil || n != 4096 {
		t.Fatal(n, err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func BenchmarkRead4KiB(b *testing.B) {
	system, path, buf, record := fs.Unix(), b.TempDir()+"/file", make([]byte, 4096), make([]byte, 2048)
	if err := os.WriteFile(path, buf, 0o644); err != nil {
		b.Fatal(err)
	}
	if err := system.SetXattr(path, "user.ais.lom", record[:200]); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		readOnce(b, system, path, buf, record)
	}
}
