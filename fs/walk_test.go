package fs_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/fs/faultfs"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// store puts an empty object where it belongs; an escaped one holds its name.
func store(t testing.TB, mp *fs.Mountpath, name string) {
	t.Helper()
	path, plain := mp.PlainPath(testBucket, name)
	if plain {
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		if err == nil {
			err = os.WriteFile(path, nil, 0o644)
		}
		if err == nil {
			return
		}
	}
	path = mp.EscapedPath(testBucket, name) // what plain place cannot hold
	touch(t, path)
	if err := os.WriteFile(path, []byte(name), 0o644); err != nil {
		t.Fatal(err)
	}
}

func trueName(path string) (string, bool, error) {
	data, err := os.ReadFile(path)
	return string(data), true, err
}

func walk(t testing.TB, mp *fs.Mountpath, opts fs.WalkOptions) []string {
	t.Helper()
	opts.TrueName = trueName
	var names []string
	err := mp.Walk(t.Context(), testBucket, opts, func(e fs.WalkEntry) error {
		if !exists(e.Path) {
			t.Errorf("%q: no file at %s", e.Name, e.Path)
		}
		names = append(names, e.Name)
		return nil
	})
	if err != nil {
		t.Fatalf("Walk: %v", err)
	}
	return names
}

func wantNames(t testing.TB, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestWalkOrder(t *testing.T) {
	t.Parallel()
	mp, _, _ := one(t)
	names := []string{
		"a", "a-b", "a.b", "a/", "a/b", "a/b/c", "a//b", "a0", "a/b-c", "a/b/../c", "b", "/lead", ".", "..", ".hidden",
		"%ob", "%ox/aa", "Ä", "a/b.c", strings.Repeat("x", 256), strings.Repeat("long/", 300) + "z", "z/y/x/w", "z/y-", "z/y",
	}
	for _, name := range names {
		store(t, mp, name)
	}
	slices.Sort(names)
	wantNames(t, walk(t, mp, fs.WalkOptions{}), names)
	for _, after := range append([]string{"0", "a/b/", "a/b/c/d", "zz"}, names...) {
		i, found := slices.BinarySearch(names, after)
		if found {
			i++
		}
		wantNames(t, walk(t, mp, fs.WalkOptions{After: after}), names[i:])
	}
}

func TestWalkProperty(t *testing.T) {
	t.Parallel()
	mp, _, _ := one(t)
	root := mp.BucketDir(testBucket, "")
	component := rapid.StringOfN(rapid.RuneFrom([]rune("ab-./0")), 0, 4, -1)
	rapid.Check(t, func(rt *rapid.T) {
		for _, content := range []string{fs.ContentObject, fs.ContentEscaped} {
			if err := os.RemoveAll(filepath.Join(root, content)); err != nil {
				rt.Fatal(err)
			}
			if err := os.Mkdir(filepath.Join(root, content), 0o755); err != nil {
				rt.Fatal(err)
			}
		}
		seen := make(map[string]bool)
		for _, parts := range rapid.SliceOfN(rapid.SliceOfN(component, 1, 4), 0, 40).Draw(rt, "names") {
			if name := strings.Join(parts, "/"); name != "" && !seen[name] {
				seen[name] = true
				store(t, mp, name)
			}
		}
		prefix := rapid.OneOf(rapid.Just(""), component, rapid.Custom(func(rt *rapid.T) string {
			return component.Draw(rt, "dir") + "/" + component.Draw(rt, "base")
		})).Draw(rt, "prefix")
		after := rapid.OneOf(rapid.Just(""), component, rapid.Custom(func(rt *rapid.T) string {
			return component.Draw(rt, "dir") + "/" + component.Draw(rt, "base")
		})).Draw(rt, "after")
		var want []string
		for name := range seen {
			if strings.HasPrefix(name, prefix) && name > after {
				want = append(want, name)
			}
		}
		slices.Sort(want)
		if got := walk(t, mp, fs.WalkOptions{Prefix: prefix, After: after}); !slices.Equal(got, want) {
			rt.Fatalf("prefix %q after %q\ngot  %q\nwant %q", prefix, after, got, want)
		}
		// The same in pages, and without recursion.
		var paged []string
		for token := after; ; {
			page, n := walkPage(t, mp, prefix, token, 3), len(paged)
			paged = append(paged, page...)
			if len(paged) == n {
				break
			}
			token = paged[len(paged)-1]
		}
		if !slices.Equal(paged, want) {
			rt.Fatalf("pages %q\nwant  %q", paged, want)
		}
		got, flat := walkFlat(t, mp, prefix), flatten(seen, prefix)
		if !slices.Equal(got, flat) {
			rt.Fatalf("flat, prefix %q\ngot  %q\nwant %q", prefix, got, flat)
		}
	})
}

func walkPage(t testing.TB, mp *fs.Mountpath, prefix, after string, limit int) []string {
	t.Helper()
	var names []string
	opts := fs.WalkOptions{Prefix: prefix, After: after, Limit: limit, TrueName: trueName}
	err := mp.Walk(t.Context(), testBucket, opts, func(e fs.WalkEntry) error {
		if len(names) == limit {
			return fs.ErrStopWalk
		}
		names = append(names, e.Name)
		return nil
	})
	if err != nil {
		t.Fatalf("Walk: %v", err)
	}
	return names
}

func walkFlat(t testing.TB, mp *fs.Mountpath, prefix string) []string {
	t.Helper()
	var names []string
	err := mp.Walk(t.Context(), testBucket, fs.WalkOptions{Prefix: prefix, TrueName: trueName}, func(e fs.WalkEntry) error {
		rest := e.Name[len(prefix):]
		if i := strings.IndexByte(rest, '/'); i >= 0 {
			names = append(names, prefix+rest[:i+1])
			return fs.SkipPast(prefix + rest[:i+1])
		}
		names = append(names, e.Name)
		return nil
	})
	if err != nil {
		t.Fatalf("Walk: %v", err)
	}
	return names
}

func flatten(names map[string]bool, prefix string) []string {
	var list []string
	for name := range names {
		rest, ok := strings.CutPrefix(name, prefix)
		if !ok {
			continue
		}
		if i := strings.IndexByte(rest, '/'); i >= 0 {
			rest = rest[:i+1]
		}
		list = append(list, prefix+rest)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func TestWalkOfALargeDirectoryInBatches(t *testing.T) {
	t.Parallel()
	mp, _, _ := one(t)
	var names []string
	for i := range 1500 {
		name := fmt.Sprintf("n%05d", i*7919%1500)
		if i%10 == 0 {
			name = fmt.Sprintf("/esc%05d", i) // more escaped names than it looks at in one go
		}
		store(t, mp, name)
		names = append(names, name)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	// A limit of 1 makes batches of the smallest size; the walk goes on.
	wantNames(t, walk(t, mp, fs.WalkOptions{Limit: 1}), names)
}

func TestWalkReadsOnlyWhatItNeeds(t *testing.T) {
	t.Parallel()
	mp, system, _ := one(t)
	for _, name := range []string{"a/1", "b/1", "b/2/3", "c/1", "c/2/x", "c/9"} {
		store(t, mp, name)
	}
	read := func(opts fs.WalkOptions) []string {
		system.Reset()
		walk(t, mp, opts)
		var dirs []string
		for _, c := range system.Calls() {
			if c.Op == faultfs.OpReadDir && !strings.Contains(c.Path, fs.ContentEscaped) {
				dirs = append(dirs, strings.TrimPrefix(c.Path, mp.BucketDir(testBucket, fs.ContentObject)))
			}
		}
		return dirs
	}
	wantNames(t, read(fs.WalkOptions{After: "b/2/3"}), []string{"", "/b", "/b/2", "/c", "/c/2"})
	wantNames(t, read(fs.WalkOptions{After: "c/2/x"}), []string{"", "/c", "/c/2"})
	wantNames(t, read(fs.WalkOptions{After: "b-"}), []string{"", "/b", "/b/2", "/c", "/c/2"})
	wantNames(t, read(fs.WalkOptions{Prefix: "c/"}), []string{"/c", "/c/2"})
	wantNames(t, read(fs.WalkOptions{Prefix: "c/2"}), []string{"/c", "/c/2"})
	wantNames(t, read(fs.WalkOptions{Prefix: "b/", After: "c"}), nil)
	wantNames(t, read(fs.WalkOptions{Prefix: "../../"}), nil)
	system.Reset()
	walkFlat(t, mp, "")
	if n := system.Count(faultfs.OpReadDir, "/%ob/b/2"); n != 0 {
		t.Errorf("a listing without recursion read %d directories below the first level", n)
	}
}

func TestWalkErrors(t *testing.T) {
	t.Parallel()
	mp, system, _ := one(t)
	store(t, mp, "a/b")
	store(t, mp, "c")
	everything := func(fs.WalkEntry) error { return nil }
	system.Inject(faultfs.Fault{Op: faultfs.OpReadDir, Path: "%ob/a", Err: errDisk})
	wantErrno(t, mp.Walk(t.Context(), testBucket, fs.WalkOptions{}, everything), unix.EIO)
	system.Inject(faultfs.Fault{Op: faultfs.OpReadDir, Path: "%ox", Err: errDisk})
	wantErrno(t, mp.Walk(t.Context(), testBucket, fs.WalkOptions{TrueName: trueName}, everything), unix.EIO)

	mine := errors.New("mine")
	if err := mp.Walk(t.Context(), testBucket, fs.WalkOptions{}, func(fs.WalkEntry) error { return mine }); !errors.Is(err, mine) {
		t.Errorf("the callback's error came back as %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := mp.Walk(ctx, testBucket, fs.WalkOptions{}, everything); !errors.Is(err, context.Canceled) {
		t.Errorf("a canceled walk returned %v", err)
	}
	missing := testBucket
	missing.Name = "missing"
	if err := mp.Walk(t.Context(), missing, fs.WalkOptions{TrueName: trueName}, everything); err != nil {
		t.Errorf("a bucket without directories: %v", err)
	}
}

func TestWalkIgnoresWhatIsNoFile(t *testing.T) {
	t.Parallel()
	mp, _, _ := one(t)
	dir := mp.BucketDir(testBucket, fs.ContentObject)
	store(t, mp, "b")
	if err := os.Symlink("/etc", filepath.Join(dir, "a")); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "empty/deep"), 0o755); err != nil {
		t.Fatal(err)
	}
	wantNames(t, walk(t, mp, fs.WalkOptions{}), []string{"b"})
}

func BenchmarkWalk10000(b *testing.B) {
	mp := open(b, options(b.TempDir())).Available().Paths[0]
	for i := range 10_000 {
		touch(b, mp.BucketDir(testBucket, fs.ContentObject)+fmt.Sprintf("/dir%02d/file%05d.jpg", i%50, i))
	}
	for name, opts := range map[string]fs.WalkOptions{
		"all":  {},
		"page": {After: "dir25/file05", Limit: 1000},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				n := 0
				err := mp.Walk(context.Background(), testBucket, opts, func(fs.WalkEntry) error {
					if n++; opts.Limit > 0 && n == opts.Limit {
						return fs.ErrStopWalk
					}
					return nil
				})
				if err != nil || opts.Limit == 0 && n != 10_000 {
					b.Fatal(n, err)
				}
			}
		})
	}
}
