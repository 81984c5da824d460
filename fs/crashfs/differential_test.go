package crashfs_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/fs/crashfs"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// TestAnswersLikeTheKernel runs random calls here and on a real filesystem and
// compares every answer, and the trees at the end.
func TestAnswersLikeTheKernel(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		root, err := os.MkdirTemp(base, "")
		if err != nil {
			rt.Fatal(err)
		}
		real, model := fs.Unix(), crashfs.New(crashfs.Options{Disks: []crashfs.Disk{{Path: root}}})
		path := rapid.SampledFrom([]string{"a", "b", "d", "d/a", "d/e", "d/e/f", strings.Repeat("n", 256), "a/x", "a\x00b"})
		flags := rapid.SampledFrom([]int{
			unix.O_RDONLY, unix.O_RDWR | unix.O_CREAT, unix.O_RDWR | unix.O_CREAT | unix.O_EXCL, unix.O_WRONLY | unix.O_CREAT | unix.O_TRUNC,
			unix.O_RDONLY | unix.O_DIRECTORY, unix.O_WRONLY | unix.O_APPEND, unix.O_RDWR | unix.O_NOFOLLOW,
		})
		both := func(what string, call func(s fs.System) (string, error)) {
			wantText, wantErr := call(real)
			gotText, gotErr := call(model)
			if gotText != wantText || errnoOf(gotErr) != errnoOf(wantErr) {
				rt.Fatalf("%s: %q, %v; the kernel says %q, %v", what, gotText, gotErr, wantText, wantErr)
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"file": func(rt *rapid.T) {
				p, fl := filepath.Join(root, path.Draw(rt, "path")), flags.Draw(rt, "flags")
				if fl&unix.O_DIRECTORY != 0 && fl&unix.O_CREAT != 0 {
					return
				}
				content := []byte(rapid.StringN(0, 10, 10).Draw(rt, "content"))
				size := int64(rapid.IntRange(0, 20).Draw(rt, "size"))
				at := int64(rapid.IntRange(0, 20).Draw(rt, "at"))
				both("file "+p, func(s fs.System) (string, error) { return useFile(s, p, fl, content, size, at) })
			},
			"mkdir": func(rt *rapid.T) {
				p := filepath.Join(root, path.Draw(rt, "path"))
				both("mkdir "+p, func(s fs.System) (string, error) { return "", s.Mkdir(p, 0o755) })
			},
			"rename": func(rt *rapid.T) {
				p, q := filepath.Join(root, path.Draw(rt, "from")), filepath.Join(root, path.Draw(rt, "to"))
				both("rename "+p+" "+q, func(s fs.System) (string, error) { return "", s.Rename(p, q) })
			},
			"link": func(rt *rapid.T) {
				p, q := filepath.Join(root, path.Draw(rt, "from")), filepath.Join(root, path.Draw(rt, "to"))
				both("link "+p+" "+q, func(s fs.System) (string, error) { return "", s.Link(p, q) })
			},
			"unlink": func(rt *rapid.T) {
				p := filepath.Join(root, path.Draw(rt, "path"))
				both("unlink "+p, func(s fs.System) (string, error) { return "", s.Unlink(p) })
			},
			"rmdir": func(rt *rapid.T) {
				p := filepath.Join(root, path.Draw(rt, "path"))
				both("rmdir "+p, func(s fs.System) (string, error) { return "", s.Rmdir(p) })
			},
			"xattr": func(rt *rapid.T) {
				p := filepath.Join(root, path.Draw(rt, "path"))
				length := rapid.IntRange(0, 12).Draw(rt, "length")
				both("xattr "+p, func(s fs.System) (string, error) {
					err := s.SetXattr(p, "user.x", []byte(strings.Repeat("v", length)))
					var buf [8]byte
					n, getErr := s.GetXattr(p, "user.x", buf[:])
					return fmt.Sprint(max(n, 0), errnoOf(getErr)), err
				})
				if rapid.Bool().Draw(rt, "remove") {
					both("remove xattr "+p, func(s fs.System) (string, error) { return "", s.RemoveXattr(p, "user.x") })
				}
			},
			"": func(rt *rapid.T) {
				both("tree", func(s fs.System) (string, error) { return tree(s, root) })
			},
		})
	})
}

func useFile(s fs.System, path string, flags int, content []byte, size, at int64) (string, error) {
	f, err := s.Open(path, flags, 0o644)
	if err != nil {
		return "", err
	}
	var log []string
	note := func(what string, n int, err error) { log = append(log, fmt.Sprint(what, n, errnoOf(err))) }
	n, err := f.Write(content)
	note("write", n, err)
	if flags&unix.O_APPEND == 0 {
		n, err = f.WriteAt(content, at)
		note("write at", n, err)
	}
	if flags&unix.O_DIRECTORY == 0 && flags&unix.O_ACCMODE != unix.O_RDONLY {
		note("truncate", 0, f.Truncate(size))
	}
	if flags&unix.O_ACCMODE != unix.O_WRONLY {
		buf := make([]byte, 30)
		n, err = f.ReadAt(buf, 3)
		note("read at"+string(buf[:n]), n, err)
	}
	info, err := f.Stat()
	if info.Kind == fs.KindDir {
		info.Size = 0
	}
	note("stat", int(info.Size), err)
	note("sync", 0, f.Sync())
	return strings.Join(log, "; "), f.Close()
}

func errnoOf(err error) string {
	var errno syscall.Errno
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, io.EOF):
		return "EOF"
	case errors.As(err, &errno):
		return unix.ErrnoName(errno)
	}
	return err.Error()
}

// tree is every path with kind, size and links.
func tree(s fs.System, dir string) (string, error) {
	var lines []string
	var visit func(dir string) error
	visit = func(dir string) error {
		var names []string
		if err := s.ReadDir(dir, func(name []byte, _ fs.EntryKind) error {
			names = append(names, string(name))
			return nil
		}); err != nil {
			return err
		}
		for _, name := range names {
			path := dir + "/" + name
			info, err := s.Stat(path)
			if err != nil {
				return err
			}
			if info.Kind == fs.KindDir {
				lines = append(lines, path)
				if err := visit(path); err != nil {
					return err
				}
				continue
			}
			lines = append(lines, fmt.Sprint(path, info.Size, info.Links))
		}
		return nil
	}
	err := visit(dir)
	slices.Sort(lines)
	return strings.Join(lines, "\n"), err
}
