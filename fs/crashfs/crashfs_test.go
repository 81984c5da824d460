package crashfs_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/fs/crashfs"
	"github.com/aistore-go/aistore/fs/faultfs"
	"golang.org/x/sys/unix"
)

const crashes = 400

func newSystem() *crashfs.System {
	return crashfs.New(crashfs.Options{Disks: []crashfs.Disk{{Path: "/disk"}}})
}

// must ends the test on an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func create(t *testing.T, s fs.System, path string) fs.File {
	t.Helper()
	f, err := s.Open(path, unix.O_RDWR|unix.O_CREAT, 0o644)
	must(t, err)
	return f
}

func write(t *testing.T, f fs.File, content string) {
	t.Helper()
	_, err := f.Write([]byte(content))
	must(t, err)
}

func syncDir(t *testing.T, s fs.System, path string) {
	t.Helper()
	f, err := s.Open(path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	must(t, err)
	must(t, f.Sync())
	must(t, f.Close())
}

// read is the content of a file, "absent" if there is none.
func read(t *testing.T, s fs.System, path string) string {
	t.Helper()
	f, err := s.Open(path, unix.O_RDONLY, 0)
	if errors.Is(err, unix.ENOENT) {
		return "absent"
	}
	must(t, err)
	data, err := io.ReadAll(f)
	must(t, err)
	must(t, f.Close())
	return string(data)
}

// attribute is a value, "absent" if there is none.
func attribute(t *testing.T, s fs.System, path string) string {
	t.Helper()
	var buf [100]byte
	n, err := s.GetXattr(path, "user.x", buf[:])
	if errors.Is(err, unix.ENODATA) {
		return "absent"
	}
	must(t, err)
	return string(buf[:n])
}

// outcomes crashes again and again and counts what is found.
func outcomes(t *testing.T, o crashfs.Options, run func(*crashfs.System), look func(*crashfs.System) string) map[string]int {
	t.Helper()
	found := make(map[string]int)
	for seed := range uint64(crashes) {
		s := crashfs.New(o)
		run(s)
		after := s.Crash(seed)
		found[look(after)]++
		if _, err := s.Stat("/disk"); !errors.Is(err, crashfs.ErrDown) {
			t.Fatalf("a call after the crash: %v", err)
		}
	}
	return found
}

// TestWhatACrashMayLeave has, for each sequence of calls, all that is ever
// found afterwards.
func TestWhatACrashMayLeave(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 3*4096)
	for _, test := range []struct {
		name string
		run  func(t *testing.T, s *crashfs.System)
		look func(t *testing.T, s *crashfs.System) string
		want []string
	}{
		{
			"a synced file in a directory that is not", func(t *testing.T, s *crashfs.System) {
				f := create(t, s, "/disk/a")
				write(t, f, "content")
				must(t, f.Sync())
			},
			func(t *testing.T, s *crashfs.System) string { return read(t, s, "/disk/a") },
			[]string{"absent", "content"},
		},
		{
			"a synced file in a synced directory", func(t *testing.T, s *crashfs.System) {
				f := create(t, s, "/disk/a")
				write(t, f, "content")
				must(t, f.Sync())
				syncDir(t, s, "/disk")
			},
			func(t *testing.T, s *crashfs.System) string { return read(t, s, "/disk/a") },
			[]string{"content"},
		},
		{
			"everything after syncfs", func(t *testing.T, s *crashfs.System) {
				must(t, s.Mkdir("/disk/d", 0o755))
				f := create(t, s, "/disk/d/a")
				write(t, f, long)
				must(t, f.SetXattr("user.x", []byte("v")))
				must(t, s.Syncfs(f))
			},
			func(t *testing.T, s *crashfs.System) string {
				return fmt.Sprint(len(read(t, s, "/disk/d/a")), attribute(t, s, "/disk/d/a"))
			},
			[]string{fmt.Sprint(len(long), "v")},
		},
		{
			"an attribute after fdatasync", func(t *testing.T, s *crashfs.System) {
				f := create(t, s, "/disk/a")
				syncDir(t, s, "/disk")
				write(t, f, "content")
				must(t, f.SetXattr("user.x", []byte("v")))
				must(t, f.Datasync())
			},
			func(t *testing.T, s *crashfs.System) string {
				return read(t, s, "/disk/a") + attribute(t, s, "/disk/a")
			},
			[]string{"contentv", "contentabsent"},
		},
		{
			"a synced file in a directory whose name is not", func(t *testing.T, s *crashfs.System) {
				must(t, s.Mkdir("/disk/d", 0o755))
				f := create(t, s, "/disk/d/a")
				write(t, f, "content")
				must(t, f.Sync())
				syncDir(t, s, "/disk/d")
			},
			func(t *testing.T, s *crashfs.System) string { return read(t, s, "/disk/d/a") },
			[]string{"absent", "content"},
		},
		{
			"a rename over a name", func(t *testing.T, s *crashfs.System) {
				for _, path := range []string{"/disk/w", "/disk/d"} {
					must(t, s.Mkdir(path, 0o755))
				}
				for path, content := range map[string]string{"/disk/d/a": "old", "/disk/w/a": "new"} {
					f := create(t, s, path)
					write(t, f, content)
					must(t, s.Syncfs(f))
				}
				must(t, s.Rename("/disk/w/a", "/disk/d/a"))
			},
			func(t *testing.T, s *crashfs.System) string {
				return read(t, s, "/disk/w/a") + " " + read(t, s, "/disk/d/a")
			},
			[]string{"new old", "absent new", "new new"},
		},
		{
			"a rename whose old directory is synced", func(t *testing.T, s *crashfs.System) {
				for _, path := range []string{"/disk/w", "/disk/d"} {
					must(t, s.Mkdir(path, 0o755))
				}
				f := create(t, s, "/disk/w/a")
				write(t, f, "new")
				must(t, s.Syncfs(f))
				must(t, s.Rename("/disk/w/a", "/disk/d/a"))
				syncDir(t, s, "/disk/w")
			},
			func(t *testing.T, s *crashfs.System) string {
				return read(t, s, "/disk/w/a") + " " + read(t, s, "/disk/d/a")
			},
			[]string{"absent new"},
		},
		{
			"a rename of a directory", func(t *testing.T, s *crashfs.System) {
				for _, path := range []string{"/disk/t", "/disk/d", "/disk/d/b"} {
					must(t, s.Mkdir(path, 0o755))
				}
				f := create(t, s, "/disk/d/b/a")
				must(t, s.Syncfs(f))
				must(t, s.Rename("/disk/d/b", "/disk/t/b"))
			},
			func(t *testing.T, s *crashfs.System) string {
				return read(t, s, "/disk/d/b/a") + " " + read(t, s, "/disk/t/b/a")
			},
			[]string{" absent", "absent "},
		},
		{
			"a removed name", func(t *testing.T, s *crashfs.System) {
				f := create(t, s, "/disk/a")
				write(t, f, "old")
				must(t, s.Syncfs(f))
				must(t, f.Close())
				must(t, s.Unlink("/disk/a"))
			},
			func(t *testing.T, s *crashfs.System) string { return read(t, s, "/disk/a") },
			[]string{"old", "absent"},
		},
		{
			"a removed name in a synced directory", func(t *testing.T, s *crashfs.System) {
				f := create(t, s, "/disk/a")
				must(t, s.Syncfs(f))
				must(t, s.Unlink("/disk/a"))
				syncDir(t, s, "/disk")
			},
			func(t *testing.T, s *crashfs.System) string { return read(t, s, "/disk/a") },
			[]string{"absent"},
		},
		{
			"data after a failed sync and a good one", func(t *testing.T, s *crashfs.System) {
				f := create(t, s, "/disk/a")
				must(t, s.Syncfs(f))
				write(t, f, "content")
				s.Before(func(c faultfs.Call) error {
					if c.Op == faultfs.OpSync {
						return unix.EIO
					}
					return nil
				})
				if err := f.Sync(); !errors.Is(err, unix.EIO) {
					t.Fatalf("the fault did not happen: %v", err)
				}
				s.Before(nil)
				must(t, f.Sync())
			},
			func(t *testing.T, s *crashfs.System) string { return read(t, s, "/disk/a") },
			[]string{"content", "\x00\x00\x00\x00\x00\x00\x00"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			found := outcomes(t, crashfs.Options{Disks: []crashfs.Disk{{Path: "/disk"}}},
				func(s *crashfs.System) { test.run(t, s) }, func(s *crashfs.System) string { return test.look(t, s) })
			for _, want := range test.want {
				if found[want] == 0 {
					t.Errorf("%q was never found in %d crashes: %v", want, crashes, found)
				}
				delete(found, want)
			}
			if len(found) > 0 {
				t.Errorf("found, and must never be: %v", found)
			}
		})
	}
}

// TestUnsyncedData: whole, shorter, or full of holes; with Ordered never the last.
func TestUnsyncedData(t *testing.T) {
	t.Parallel()
	content := bytes.Repeat([]byte("abcdefgh"), 2048) // 4 pages
	for _, ordered := range []bool{false, true} {
		found := outcomes(t, crashfs.Options{Disks: []crashfs.Disk{{Path: "/disk"}}, Ordered: ordered}, func(s *crashfs.System) {
			f := create(t, s, "/disk/a")
			for i := 0; i < len(content); i += 3000 {
				write(t, f, string(content[i:min(i+3000, len(content))]))
			}
			syncDir(t, s, "/disk")
		}, func(s *crashfs.System) string {
			switch got := []byte(read(t, s, "/disk/a")); {
			case bytes.Equal(got, content):
				return "whole"
			case bytes.HasPrefix(content, got):
				return "shorter"
			case len(got) == len(content):
				return "torn at full size"
			}
			return "torn"
		})
		if found["whole"] == 0 || found["shorter"] == 0 || (found["torn"] > 0) == ordered || (found["torn at full size"] > 0) == ordered {
			t.Errorf("ordered %v: %v", ordered, found)
		}
	}
}

// TestKillLosesNothingAndSavesNothing: a process that ends leaves the kernel's
// view, and a later loss of power still finds it unsynced.
func TestKillLosesNothingAndSavesNothing(t *testing.T) {
	t.Parallel()
	found := map[string]int{}
	for seed := range uint64(crashes) {
		s := newSystem()
		f := create(t, s, "/disk/a")
		must(t, s.Flock(f))
		write(t, f, "content")
		after := s.Kill()
		if _, err := f.Write([]byte("x")); !errors.Is(err, crashfs.ErrDown) {
			t.Fatalf("a write of a process that was killed: %v", err)
		}
		if got := read(t, after, "/disk/a"); got != "content" {
			t.Fatalf("after the kill: %q", got)
		}
		again := create(t, after, "/disk/a")
		must(t, after.Flock(again)) // the lock ended with the process
		if n := len(after.OpenFiles()); n != 1 {
			t.Fatalf("%d open files", n)
		}
		found[read(t, after.Crash(seed), "/disk/a")]++
	}
	if found["absent"] == 0 || found["content"] == 0 {
		t.Errorf("after the loss of power: %v", found)
	}
}

func TestCrashIsDeterministic(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		var dumps [2]string
		for i := range dumps {
			s := newSystem()
			for j := range 50 {
				dir := fmt.Sprintf("/disk/d%d", j%5)
				if err := s.Mkdir(dir, 0o755); err != nil && !errors.Is(err, unix.EEXIST) {
					t.Fatal(err)
				}
				f := create(t, s, fmt.Sprintf("%s/f%d", dir, j))
				write(t, f, strings.Repeat("x", j*997))
				must(t, f.SetXattr("user.x", []byte("v")))
				if j%3 == 0 {
					must(t, s.Rename(f.Path(), fmt.Sprintf("%s/r%d", dir, j%10)))
				}
				must(t, f.Close())
			}
			after := s.Crash(seed)
			after.Walk("/disk", func(path string, info fs.FileInfo) {
				dumps[i] += fmt.Sprintln(path, info.Size, info.Inode, info.Links)
			})
		}
		if dumps[0] != dumps[1] {
			t.Fatalf("seed %d:\n%s\n%s", seed, dumps[0], dumps[1])
		}
	}
}

func TestSpace(t *testing.T) {
	t.Parallel()
	s := crashfs.New(crashfs.Options{Disks: []crashfs.Disk{{Path: "/disk", Size: 16 * 4096}}})
	must(t, s.Mkdir("/disk/d", 0o755)) // two directories: 14 blocks are left
	f := create(t, s, "/disk/d/a")
	n, err := f.Write(make([]byte, 20*4096))
	if n != 14*4096 || !errors.Is(err, unix.ENOSPC) {
		t.Errorf("wrote %d, %v", n, err)
	}
	if err := s.Mkdir("/disk/e", 0o755); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("mkdir on a full disk: %v", err)
	}
	must(t, s.Unlink("/disk/d/a"))
	if info, err := s.Statfs("/disk"); err != nil || info.Available != 0 {
		t.Errorf("an open file without a name keeps its blocks: %+v, %v", info, err)
	}
	must(t, f.Close())
	if used := s.Used("/disk"); used != 2*4096 {
		t.Errorf("%d bytes in use", used)
	}
	g := create(t, s, "/disk/b")
	must(t, g.Preallocate(5000))
	if used := s.Used("/disk"); used != 4*4096 {
		t.Errorf("%d bytes in use after preallocation", used)
	}
	after := s.Kill()
	if used := after.Used("/disk"); used != 4*4096 {
		t.Errorf("%d bytes in use after a kill", used)
	}
	if used := after.Crash(1).Used("/disk"); used > 4*4096 {
		t.Errorf("%d bytes in use after a crash", used)
	}
}

func TestFaultsAndSkips(t *testing.T) {
	t.Parallel()
	s := newSystem()
	f := create(t, s, "/disk/a")
	verdict := error(&crashfs.Fault{Err: unix.EIO, Short: 3})
	s.Before(func(faultfs.Call) error { return verdict })
	if n, err := f.Write([]byte("12345")); n != 3 || !errors.Is(err, unix.EIO) {
		t.Errorf("a short write: %d, %v", n, err)
	}
	verdict = &crashfs.Fault{Err: unix.EROFS, Late: true}
	if err := s.Rename("/disk/a", "/disk/b"); !errors.Is(err, unix.EROFS) {
		t.Errorf("a late fault: %v", err)
	}
	verdict = crashfs.ErrSkip
	if err := s.Unlink("/disk/b"); err != nil {
		t.Errorf("a skipped call: %v", err)
	}
	s.Before(nil)
	if got := read(t, s, "/disk/b"); got != "123" {
		t.Errorf("content %q", got)
	}
}

func TestOSFile(t *testing.T) {
	t.Parallel()
	s := newSystem()
	f := create(t, s, "/disk/a")
	write(t, f, "content")
	taken := f.OSFile()
	data, err := os.ReadFile(fmt.Sprintf("/proc/self/fd/%d", taken.Fd()))
	if err != nil || string(data) != "content" {
		t.Errorf("%q, %v", data, err)
	}
	must(t, taken.Close())
	must(t, f.Close())
	if open := s.OpenFiles(); len(open) > 0 {
		t.Errorf("open: %q", open)
	}
}
