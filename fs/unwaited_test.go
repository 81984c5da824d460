package fs_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/fs"
)

// reopened opens a file the second time, with what the first opening has told.
func reopened(tb testing.TB, system fs.System, path string) (fs.File, fs.FileInfo) {
	tb.Helper()
	f, err := system.Open(path, unix.O_RDONLY, 0)
	if err != nil {
		tb.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil {
		tb.Fatal(err)
	}
	for range 2 { // the first one tells of the device
		if err := f.Close(); err != nil {
			tb.Fatal(err)
		}
		if f, err = fs.Reopen(system, f, path, unix.O_RDONLY|unix.O_NOFOLLOW, info.Dev); err != nil {
			tb.Fatal(err)
		}
	}
	return f, info
}

// folders are one in memory and one on a disk, if the machine has both.
func folders(tb testing.TB) map[string]string {
	all := map[string]string{"disk": tb.TempDir()}
	if dir, err := os.MkdirTemp("/dev/shm", "fs-test-"); err == nil {
		tb.Cleanup(func() { _ = os.RemoveAll(dir) })
		all["memory"] = dir
	}
	return all
}

func TestReopenedFilesAreRead(t *testing.T) {
	t.Parallel()
	for where, dir := range folders(t) {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			content := strings.Repeat("0123456789abcdef", 40_000) // more than one call takes
			path := filepath.Join(dir, "object")
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			f, info := reopened(t, fs.Unix(), path)
			again, err := f.Stat()
			if err != nil || again != info {
				t.Errorf("%+v (%v), want %+v", again, err, info)
			}
			for _, cached := range []bool{true, false} {
				if !cached { // what is not in memory comes from the disk
					on, err := os.OpenFile(path, os.O_RDWR, 0)
					if err == nil {
						err = errors.Join(on.Sync(), unix.Fadvise(int(on.Fd()), 0, 0, unix.FADV_DONTNEED), on.Close())
					}
					if err != nil {
						t.Fatal(err)
					}
				}
				for _, part := range []struct{ off, length int }{{0, 1}, {0, 4096}, {5000, 100_000}, {0, 128 << 10}, {1, 600_000}, {639_990, 10}, {639_990, 100}, {640_000, 1}, {0, 0}} {
					buf := make([]byte, part.length)
					n, err := f.ReadAt(buf, int64(part.off))
					want := content[part.off:min(part.off+part.length, len(content))]
					if string(buf[:n]) != want || (err != nil) != (len(want) < part.length) || err != nil && err != io.EOF { //nolint:errorlint // as io.ReaderAt has it
						t.Errorf("cached %v, %d bytes at %d: %d bytes, error %v", cached, part.length, part.off, n, err)
					}
				}
			}
			if err := errors.Join(f.Close(), f.Close()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestReopeningWhatIsNotThereOrNoFile(t *testing.T) {
	t.Parallel()
	for where, dir := range folders(t) {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(dir, "object")
			if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
			system := fs.Unix()
			f, info := reopened(t, system, path)
			if err := errors.Join(f.Close(), os.Remove(path)); err != nil {
				t.Fatal(err)
			}
			if _, err := fs.Reopen(system, f, path, unix.O_RDONLY, info.Dev); !errors.Is(err, unix.ENOENT) {
				t.Errorf("a removed file: %v", err)
			}
			if err := os.Symlink("elsewhere", path); err != nil {
				t.Fatal(err)
			}
			if _, err := fs.Reopen(system, f, path, unix.O_RDONLY|unix.O_NOFOLLOW, info.Dev); !errors.Is(err, unix.ELOOP) {
				t.Errorf("a link: %v", err)
			}
			if err := errors.Join(os.Remove(path), unix.Mkfifo(path, 0o600)); err != nil {
				t.Fatal(err)
			}
			// Nobody writes to it: whoever waits for that waits for ever.
			if f, err := fs.Reopen(system, f, path, unix.O_RDONLY, info.Dev); err == nil {
				if now, err := f.Stat(); err != nil || now.Kind != fs.KindOther {
					t.Errorf("a pipe shows as %+v (%v)", now, err)
				}
				_ = f.Close() // nothing was written
			}
		})
	}
}

// BenchmarkReopen is what a warm GET of 4 KiB does with its file.
func BenchmarkReopen(b *testing.B) {
	for where, dir := range folders(b) {
		for _, known := range []bool{false, true} {
			name := where + "/first"
			if known {
				name = where + "/again"
			}
			b.Run(name, func(b *testing.B) {
				path := filepath.Join(dir, "object")
				if err := os.WriteFile(path, make([]byte, 4096), 0o600); err != nil {
					b.Fatal(err)
				}
				system := fs.Unix()
				f, info := reopened(b, system, path)
				dev := info.Dev
				if !known {
					dev = 0
				}
				buf := make([]byte, 4096)
				b.ReportAllocs()
				for b.Loop() {
					err := f.Close()
					if err == nil {
						f, err = fs.Reopen(system, f, path, unix.O_RDONLY|unix.O_NOATIME, dev)
					}
					if err == nil {
						_, err = f.Stat()
					}
					if err == nil {
						_, err = f.ReadAt(buf, 0)
					}
					if err != nil {
						b.Fatal(err)
					}
				}
				_ = f.Close() // was only read
			})
		}
	}
}
