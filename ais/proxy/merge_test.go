package proxy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/aistore-go/aistore/cmn/wire"
)

// source is a target's sorted names, with a window of its own limit.
func source(names []string, window int, calls *int) fetchFunc {
	return func(_ context.Context, after string, limit int) ([]wire.LsoEntry, bool, error) {
		if calls != nil {
			*calls++
		}
		limit = min(limit, window)
		from := sort.SearchStrings(names, after)
		if from < len(names) && names[from] == after {
			from++
		}
		var entries []wire.LsoEntry
		for _, name := range names[from:min(len(names), from+limit)] {
			entries = append(entries, wire.LsoEntry{Name: name})
		}
		return entries, from+limit < len(names), nil
	}
}

// TestPagesOfAnySizeHaveEveryNameOnce is the promise of a listing, with names
// that lie on any targets, some of them on several.
func TestPagesOfAnySizeHaveEveryNameOnce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		lists := rapid.SliceOfN(rapid.SliceOfN(rapid.StringMatching(`[ab/]{1,4}`), 0, 60), 1, 5).Draw(rt, "targets")
		window := rapid.IntRange(1, 10).Draw(rt, "window")
		pageSize := rapid.IntRange(1, 70).Draw(rt, "pagesize")
		var want []string
		var fetches []fetchFunc
		for _, names := range lists {
			slices.Sort(names)
			names = slices.Compact(names)
			want = append(want, names...)
			fetches = append(fetches, source(names, window, nil))
		}
		slices.Sort(want)
		want = slices.Compact(want)

		var got []string
		for after := ""; ; {
			page, full, err := mergePage(context.Background(), fetches, after, pageSize, false)
			if err != nil {
				rt.Fatal(err)
			}
			for _, e := range page {
				got = append(got, e.Name)
			}
			if !full {
				break
			}
			if len(page) > pageSize {
				rt.Fatalf("a page has %d of %d entries", len(page), pageSize)
			}
			after = page[len(page)-1].Name
		}
		if !slices.Equal(got, want) {
			rt.Fatalf("listed %q, want %q", got, want)
		}
	})
}

func TestOneTargetsErrorIsThePages(t *testing.T) {
	t.Parallel()
	broken := errors.New("disk on fire")
	names := make([]string, 500)
	for i := range names {
		names[i] = fmt.Sprintf("%04d", i)
	}
	for _, failing := range []int{1, 2} { // the first call, and a refill
		calls := 0
		good := source(names, 1000, nil)
		bad := func(ctx context.Context, after string, limit int) ([]wire.LsoEntry, bool, error) {
			if calls++; calls == failing {
				return nil, false, broken
			}
			return source(names, 10, nil)(ctx, after, limit)
		}
		if page, _, err := mergePage(context.Background(), []fetchFunc{good, bad}, "", 200, false); !errors.Is(err, broken) || page != nil {
			t.Errorf("call %d failed: %d entries, error %v", failing, len(page), err)
		}
	}
}

func TestEvenTargetsAreAskedOnce(t *testing.T) {
	t.Parallel()
	lists := make([][]string, 3)
	for i := range 30_000 {
		lists[i*7919%3] = append(lists[i*7919%3], fmt.Sprintf("%08d", i))
	}
	calls := 0
	var fetches []fetchFunc
	for _, names := range lists {
		f := source(names, 1<<20, nil)
		fetches = append(fetches, func(ctx context.Context, after string, limit int) ([]wire.LsoEntry, bool, error) {
			if limit > 10_000*6/5/3+1 {
				t.Errorf("a target is asked for %d names", limit)
			}
			return f(ctx, after, limit)
		})
	}
	if _, _, err := mergePage(context.Background(), fetches[:1], "", 1, false); err != nil {
		t.Fatal(err)
	}
	fetches[0] = source(lists[0], 1<<20, &calls)
	page, _, err := mergePage(context.Background(), fetches, "", 10_000, false)
	if err != nil || len(page) != 10_000 {
		t.Fatalf("%d entries, %v", len(page), err)
	}
	if calls != 1 {
		t.Errorf("a target was asked %d times for one page", calls)
	}
}

// TestPageOfLongNamesIsBounded: it is shorter, says so, and nothing is lost.
func TestPageOfLongNamesIsBounded(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("n", 4000)
	var names []string
	for i := range 40_000 {
		names = append(names, fmt.Sprintf("%06d", i)+long)
	}
	count, after := 0, ""
	for pages := 1; ; pages++ {
		page, full, err := mergePage(context.Background(), []fetchFunc{source(names, 1000, nil)}, after, 100_000, false)
		if err != nil {
			t.Fatal(err)
		}
		count += len(page)
		if !full {
			if pages < 3 || count != len(names) {
				t.Errorf("%d names on %d pages, want %d on more", count, pages, len(names))
			}
			return
		}
		after = page[len(page)-1].Name
	}
}

func BenchmarkMerge(b *testing.B) {
	lists := make([][]string, 3)
	for i := range 30_000 {
		lists[i%3] = append(lists[i%3], fmt.Sprintf("dir/object-%08d", i))
	}
	var fetches []fetchFunc
	for _, names := range lists {
		entries := make([]wire.LsoEntry, len(names))
		for i, name := range names {
			entries[i].Name = name
		}
		fetches = append(fetches, func(_ context.Context, _ string, limit int) ([]wire.LsoEntry, bool, error) {
			return entries[:limit], true, nil
		})
	}
	b.ReportAllocs()
	for b.Loop() {
		if page, _, err := mergePage(context.Background(), fetches, "", 10_000, false); err != nil || len(page) != 10_000 {
			b.Fatal(len(page), err)
		}
	}
}

// TestEveryEntryOfAName: with the flag MISSING a name is listed once for each of
// its files, in the order of their status, and never cut apart by a page.
func TestEveryEntryOfAName(t *testing.T) {
	t.Parallel()
	files := func(entries ...wire.LsoEntry) fetchFunc {
		return func(_ context.Context, after string, _ int) (window []wire.LsoEntry, more bool, err error) {
			for _, e := range entries {
				if e.Name > after {
					window = append(window, e)
				}
			}
			return window, false, nil
		}
	}
	entry := func(name string, status uint16) wire.LsoEntry {
		return wire.LsoEntry{Name: name, Flags: wire.EntryPresent | status}
	}
	fetches := []fetchFunc{
		files(entry("a", wire.EntryMisplacedNode), entry("b", wire.EntryOK), entry("b", wire.EntryReplica)),
		files(entry("a", wire.EntryOK), entry("c", wire.EntryOrphanReplica)),
	}
	var got []string
	for after, more := "", true; more; {
		page, full, err := mergePage(t.Context(), fetches, after, 1, true)
		if err != nil {
			t.Fatal(err)
		}
		for i := range page {
			got = append(got, fmt.Sprintf("%s%d", page[i].Name, page[i].Status()))
		}
		if more = full; more {
			after = page[len(page)-1].Name
			got = append(got, "|")
		}
	}
	if want := "a0 a1 | b0 b3 | c4 |"; strings.Join(got, " ") != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestDeletedNamesAmongAllFiles: with all files of a name asked for, a name
// whose newest file is the mark of a deletion is not listed; an older mark is no
// file; and a directory that several targets have something in is one entry.
func TestDeletedNamesAmongAllFiles(t *testing.T) {
	t.Parallel()
	file := func(name string, clock uint64, tombstone bool, flags uint16) wire.LsoEntry {
		return wire.LsoEntry{Name: name, Flags: flags, Mark: &wire.LsoMark{Clock: clock, Tombstone: tombstone}}
	}
	target := func(entries ...wire.LsoEntry) fetchFunc {
		return func(context.Context, string, int) ([]wire.LsoEntry, bool, error) { return entries, false, nil }
	}
	fetches := []fetchFunc{
		target(file("d/", 0, false, wire.EntryIsDir), file("gone", 3, true, 0), file("new", 3, false, 0), file("only a mark", 1, true, 0), file("z", 1, false, 1)),
		target(file("d/", 0, false, wire.EntryIsDir), file("gone", 2, false, 1), file("new", 2, true, 1), file("z", 2, false, 0)),
		target(file("gone", 1, false, 1), file("new", 1, false, 1)),
	}
	page, _, err := mergePage(t.Context(), fetches, "", 100, true)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i := range page {
		got = append(got, fmt.Sprintf("%s:%d", page[i].Name, page[i].Status()))
	}
	if want := []string{"d/:0", "new:0", "new:1", "z:0", "z:1"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
