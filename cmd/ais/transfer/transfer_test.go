package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// tree makes files of one byte each.
func tree(t *testing.T, files ...string) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "src")
	for _, name := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestCollect(t *testing.T) {
	t.Parallel()
	root := tree(t, "a.txt", "b.go", "sub/c.txt", "sub/deep/d.txt", ".hidden", "sub/e f?#")
	if err := os.Symlink("a.txt", filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", filepath.Join(root, "broken")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(".", filepath.Join(root, "sub", "loop")); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name      string
		selection Selection
		want      []string
	}{
		{"one level", Selection{}, []string{".hidden", "a.txt", "b.go", "link"}},
		{"recursive", Selection{Recursive: true}, []string{".hidden", "a.txt", "b.go", "link", "sub/c.txt", "sub/deep/d.txt", "sub/e f?#"}},
		{"pattern", Selection{Pattern: "*.txt"}, []string{"a.txt"}},
		{"pattern, recursive", Selection{Pattern: "*.txt", Recursive: true}, []string{"a.txt", "sub/c.txt", "sub/deep/d.txt"}},
		{"with the folder's name", Selection{WithRoot: true, Pattern: "a*"}, []string{"src/a.txt"}},
		{"prefix", Selection{Prefix: "p/", Pattern: "a*"}, []string{"p/a.txt"}},
		{"prefix without a slash", Selection{Prefix: "p-", Pattern: "a*", WithRoot: true}, []string{"p-src/a.txt"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, folder := range []string{root, root + "/", root + "/sub/.."} {
				sources, skipped, err := Collect(context.Background(), folder, tt.selection)
				if err != nil {
					t.Fatal(err)
				}
				var names []string
				for _, s := range sources {
					names = append(names, s.Name)
					if s.Size != 1 {
						t.Errorf("%s has %d bytes", s.Name, s.Size)
					}
				}
				if diff := cmp.Diff(tt.want, names); diff != "" {
					t.Errorf("%s: %s", folder, diff)
				}
				if tt.selection.Pattern == "" && len(skipped) == 0 {
					t.Error("the broken link was not reported")
				}
			}
		})
	}
	if _, _, err := Collect(context.Background(), root, Selection{Pattern: "["}); err == nil {
		t.Error("a bad pattern: no error")
	}
	if _, _, err := Collect(context.Background(), filepath.Join(root, "a.txt"), Selection{}); err == nil {
		t.Error("a file: no error")
	}
}

func TestSplit(t *testing.T) {
	t.Parallel()
	root := tree(t, "we[ir]d/x", "a.txt")
	for name, want := range map[string][2]string{
		root:                {root, ""},
		root + "/*.txt":     {root + "/", "*.txt"},
		root + "/we[ir]d":   {root + "/we[ir]d", ""},
		"*.go":              {".", "*.go"},
		root + "/none":      {root + "/none", ""},
		root + "/we[ir]d/?": {root + "/we[ir]d/", "?"},
	} {
		if folder, pattern := Split(name); folder != want[0] || pattern != want[1] {
			t.Errorf("Split(%q) = %q, %q", name, folder, pattern)
		}
	}
}

func TestObjectName(t *testing.T) {
	t.Parallel()
	for _, tt := range [][3]string{
		{"/x/file", "", "file"}, {"/x/file", "dir/", "dir/file"}, {"/x/file", "name", "name"}, {"file", "a/b", "a/b"},
	} {
		if got := ObjectName(tt[0], tt[1]); got != tt[2] {
			t.Errorf("ObjectName(%q, %q) = %q, want %q", tt[0], tt[1], got, tt[2])
		}
	}
}

func TestGroups(t *testing.T) {
	t.Parallel()
	groups, total := Groups([]Source{{Name: "a.go", Size: 1}, {Name: "x/b.go", Size: 2}, {Name: "c", Size: 4}, {Name: "d.e/f", Size: 8}})
	want := []Group{{"", 2, 12}, {".go", 2, 3}}
	if diff := cmp.Diff(want, groups); diff != "" || total.Count != 4 || total.Size != 15 {
		t.Fatalf("%s %+v", diff, total)
	}
}

func TestLocalName(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a", "a/b", "...", "a..b/c", "-x", "~x", "a b", "ж", `a\b`} {
		if local, err := LocalName(name); err != nil || local != name {
			t.Errorf("%q: %q, %v", name, local, err)
		}
	}
	for _, name := range []string{"", ".", "..", "/", "/etc/passwd", "../x", "a/../../x", "a/..", "./a", "a//b", "a/", "a/./b", "//x", "x\x00y"} {
		if local, err := LocalName(name); err == nil {
			t.Errorf("%q was accepted as %q", name, local)
		}
	}
}

// Nothing outside the folder is touched, whatever the names and links.
func TestFolderCannotBeLeft(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	outside := filepath.Join(base, "outside")
	if err := os.MkdirAll(outside, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(outside, "file"), []byte("untouched"), 0o600); err != nil {
		t.Fatal(err)
	}
	folder, err := OpenFolder(filepath.Join(base, "out"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = folder.Close() })
	for link, target := range map[string]string{"abs": outside, "rel": "../outside", "file": "../outside/file"} {
		if err := os.Symlink(target, filepath.Join(base, "out", link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"../outside/file", "abs/file", "rel/file", "rel/new", "/" + outside + "/file", "../new"} {
		pending, err := folder.Create(name)
		if err == nil {
			_, _ = pending.Write([]byte("evil"))
			err = pending.Commit()
		}
		if err == nil {
			t.Errorf("%q was written", name)
		}
	}
	// A link in the file's own place is replaced, not followed.
	pending, err := folder.Create("file")
	if err != nil {
		t.Fatal(err)
	}
	if err := pending.Commit(); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(outside)
	if err != nil || len(entries) != 1 {
		t.Fatalf("%v, %v", entries, err)
	}
	if data, err := os.ReadFile(filepath.Join(outside, "file")); err != nil || string(data) != "untouched" {
		t.Fatalf("%q, %v", data, err)
	}
	if entries, err = os.ReadDir(base); err != nil || len(entries) != 2 {
		t.Fatalf("%v, %v", entries, err)
	}
}

func TestPending(t *testing.T) {
	t.Parallel()
	root := filepath.Join(t.TempDir(), "out")
	folder, err := OpenFolder(root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = folder.Close() })
	for _, content := range []string{"first", "second"} {
		pending, err := folder.Create("a/b/c")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := pending.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
		if err := pending.Commit(); err != nil {
			t.Fatal(err)
		}
		if data, err := os.ReadFile(filepath.Join(root, "a/b/c")); err != nil || string(data) != content {
			t.Fatalf("%q, %v", data, err)
		}
	}
	pending, err := folder.Create("a/b/c")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pending.Write([]byte("half")); err != nil {
		t.Fatal(err)
	}
	if err := pending.Abort(); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(filepath.Join(root, "a/b"))
	if err != nil || len(entries) != 1 {
		t.Fatalf("%v, %v", entries, err)
	}
	if data, err := os.ReadFile(filepath.Join(root, "a/b/c")); err != nil || string(data) != "second" {
		t.Fatalf("%q, %v", data, err)
	}
}

func TestEach(t *testing.T) {
	t.Parallel()
	items := make([]int, 100)
	for i := range items {
		items[i] = i
	}
	name := func(i int) string { return fmt.Sprintf("%03d", i) }
	var running, most atomic.Int32
	work := func(failAt int) func(context.Context, int) (int64, error) {
		return func(_ context.Context, i int) (int64, error) {
			n := running.Add(1)
			defer running.Add(-1)
			for {
				m := most.Load()
				if n <= m || most.CompareAndSwap(m, n) {
					break
				}
			}
			if i >= failAt {
				return 0, errors.New("failed")
			}
			return 2, nil
		}
	}
	if r := Each(t.Context(), items, 7, false, name, work(1000)); r.Done != 100 || r.Bytes != 200 || r.Failures != nil || r.Skipped != 0 {
		t.Errorf("%+v", r)
	}
	if most.Load() > 7 {
		t.Errorf("%d at a time", most.Load())
	}
	if r := Each(t.Context(), items, 3, true, name, work(90)); r.Done != 90 || len(r.Failures) != 10 || r.Failures[0].Name != "090" {
		t.Errorf("%+v", r)
	}
	if r := Each(t.Context(), items, 1, false, name, work(10)); r.Done != 10 || len(r.Failures) != 1 || r.Skipped != 89 {
		t.Errorf("%+v", r)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if r := Each(ctx, items, 3, true, name, work(1000)); r.Done != 0 || r.Skipped != 100 {
		t.Errorf("%+v", r)
	}
}

func TestWriteFailures(t *testing.T) {
	t.Parallel()
	r := Result{Failures: []Failure{{"a\nb", errors.New("x")}}}
	path, err := r.WriteFailures("test-*.log")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(path) })
	if data, err := os.ReadFile(path); err != nil || !strings.Contains(string(data), `"a\nb": x`) {
		t.Fatalf("%q, %v", data, err)
	}
}

func TestProgressWithoutTerminal(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	p := NewProgress(&out, false, 3, 2048)
	p.Object()
	_, _ = p.Writer(io.Discard).Write(make([]byte, 1024))
	_, _ = io.ReadAll(p.Reader(io.NopCloser(strings.NewReader("x"))))
	p.End()
	if out.String() != "1 of 3 objects, 1.00KiB of 2.00KiB\n" {
		t.Fatalf("%q", out.String())
	}
	var none *Progress
	none.Object()
	none.Bytes(1)
	none.End()
}

func FuzzLocalName(f *testing.F) {
	for _, seed := range []string{"a/b", "../x", "a//b", "/x", "."} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		local, err := LocalName(name)
		if err != nil {
			return
		}
		joined := filepath.Join("/out", local)
		if joined != "/out/"+name || !strings.HasPrefix(joined, "/out/") {
			t.Fatalf("%q becomes %q", name, joined)
		}
	})
}
