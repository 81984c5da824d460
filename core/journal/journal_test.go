package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/fs/faultfs"
)

func open(tb testing.TB, o Options) *Journal {
	tb.Helper()
	if o.System == nil {
		o.System = fs.Unix()
	}
	j, err := Open(o)
	if err != nil {
		tb.Fatal(err)
	}
	return j
}

func replay(tb testing.TB, j *Journal) (records []Record) {
	tb.Helper()
	if err := j.Replay(func(r Record) error { records = append(records, r); return nil }); err != nil {
		tb.Fatal(err)
	}
	return records
}

func segments(tb testing.TB, dir string) (names []string) {
	tb.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		tb.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != spareName {
			names = append(names, filepath.Join(dir, e.Name()))
		}
	}
	return names
}

// TestReplayFindsWhatWasAppended, over many small segments, by many writers.
func TestReplayFindsWhatWasAppended(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j := open(t, Options{Dir: dir, Segment: 500})
	var group sync.WaitGroup
	for w := range 8 {
		group.Go(func() {
			for i := range 50 {
				if _, err := j.Append(Commit, uint64(w), fmt.Sprintf("w%d/%d", w, i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if err := j.Close(false); err != nil {
		t.Fatal(err)
	}
	j = open(t, Options{Dir: dir})
	got := map[uint64][]string{}
	for _, r := range replay(t, j) {
		if r.Op != Commit {
			t.Errorf("%+v", r)
		}
		got[r.BID] = append(got[r.BID], r.Name)
	}
	for w := range uint64(8) {
		if len(got[w]) != 50 || got[w][49] != fmt.Sprintf("w%d/49", w) {
			t.Errorf("writer %d: %q", w, got[w])
		}
	}
	if n := j.OldSegments(); n < 8 {
		t.Errorf("%d segments", n)
	}
	if err := j.DropOld(); err != nil {
		t.Error(err)
	}
	if left := segments(t, dir); len(left) != 1 {
		t.Errorf("left: %q", left)
	}
	if err := j.Close(true); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("after a clean end: %v, %v", left, err)
	}
}

// TestSegmentsGoWhenTheirFramesAreSettled, and not before; the spare one is
// used again, and what it held does not come back.
func TestSegmentsGoWhenTheirFramesAreSettled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	full := make(chan struct{}, 100)
	j := open(t, Options{Dir: dir, Segment: 300, OnFull: func() { full <- struct{}{} }})
	var pins []Pin
	for i := range 40 {
		pin, err := j.Append(Delete, 7, fmt.Sprintf("name-%02d", i))
		if err != nil {
			t.Fatal(err)
		}
		pins = append(pins, pin)
	}
	if len(full) == 0 || len(j.Settled().segments) != 0 {
		t.Fatalf("%d segments are full, %d settled while all are pinned", len(full), len(j.Settled().segments))
	}
	before := len(segments(t, dir))
	for _, pin := range pins[:20] {
		pin.Release()
	}
	if err := j.Remove(j.Settled()); err != nil {
		t.Fatal(err)
	}
	if after := len(segments(t, dir)); after >= before || after == 1 {
		t.Errorf("%d segments, then %d", before, after)
	}
	for i := range 40 { // over the spare one
		pin, err := j.Append(Commit, 7, fmt.Sprintf("later-%02d", i))
		if err != nil {
			t.Fatal(err)
		}
		pin.Release()
	}
	if err := j.Close(false); err != nil {
		t.Fatal(err)
	}
	j = open(t, Options{Dir: dir})
	names := map[string]int{}
	for _, r := range replay(t, j) {
		names[r.Name]++
	}
	for i := range 40 {
		if names[fmt.Sprintf("later-%02d", i)] != 1 || i >= 20 && names[fmt.Sprintf("name-%02d", i)] != 1 {
			t.Errorf("%d: %v", i, names)
		}
	}
	if names["name-00"] != 0 {
		t.Error("a frame of a segment that was used again came back")
	}
	if err := j.Close(true); err != nil {
		t.Error(err)
	}
}

// TestDamageAtEveryByte cuts a segment off, and flips a bit, at every place:
// what comes before is replayed, and nothing that was not written.
func TestDamageAtEveryByte(t *testing.T) {
	t.Parallel()
	const first = 42
	data := appendHead(nil, first)
	var want []Record
	ends := []int{len(data)}
	for i, name := range []string{"a", "dir/with\x00nul", strings.Repeat("n", 300), "last"} {
		r := Record{Op: Commit, BID: 1<<63 | 5, Name: name}
		data = appendFrame(data, first+uint64(i), &r)
		want = append(want, r)
		ends = append(ends, len(data))
	}
	check := func(what string, data []byte, whole int) {
		t.Helper()
		var got []Record
		_, err := parseSegment(data, first, func(r Record) error { got = append(got, r); return nil })
		if broken := strings.HasPrefix(what, "bit") && whole < len(want)-1; errors.Is(err, ErrDamaged) != broken {
			t.Fatalf("%s: %v", what, err)
		}
		if !slices.Equal(got, want[:whole]) {
			t.Fatalf("%s: %d records, want %d", what, len(got), whole)
		}
	}
	wholeBefore := func(at int) int {
		n := 0
		for n < len(want) && ends[n+1] <= at {
			n++
		}
		return n
	}
	for at := range len(data) + 1 {
		check(fmt.Sprintf("cut at %d", at), data[:at], wholeBefore(at))
		check(fmt.Sprintf("zeros from %d", at), append(slices.Clone(data[:at]), make([]byte, 100)...), wholeBefore(at))
		if at == len(data) {
			break
		}
		for bit := range 8 {
			flipped := slices.Clone(data)
			flipped[at] ^= 1 << bit
			whole := wholeBefore(at)
			if at < headSize {
				whole = len(want) // what a frame says is in the frame
			}
			check(fmt.Sprintf("bit %d of byte %d", bit, at), flipped, whole)
		}
	}
}

// TestAppendOnAFullDisk: a segment that cannot be followed by another goes on.
func TestAppendOnAFullDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	system := faultfs.New(nil)
	j := open(t, Options{Dir: dir, System: system, Segment: 200})
	for _, op := range []faultfs.Op{faultfs.OpCreate, faultfs.OpPreallocate, faultfs.OpRename} {
		system.Inject(faultfs.Fault{Op: op, Err: unix.ENOSPC, Times: -1})
	}
	for i := range 20 {
		if _, err := j.Append(Delete, 1, fmt.Sprintf("name-%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	system.Inject(faultfs.Fault{Op: faultfs.OpWrite, Err: unix.ENOSPC, Short: 10})
	if _, err := j.Append(Delete, 1, "torn"); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("no room for the frame: %v", err)
	}
	system.Heal()
	if _, err := j.Append(Delete, 1, "after"); err != nil {
		t.Error(err)
	}
	if err := j.Close(false); err != nil {
		t.Fatal(err)
	}
	j = open(t, Options{Dir: dir})
	records := replay(t, j)
	if n := len(records); n != 21 || records[n-1].Name != "after" {
		t.Errorf("%d records: %+v", n, records)
	}
	if err := j.Close(true); err != nil {
		t.Error(err)
	}
}

// TestNewSegmentsAfterTrouble: when no further segment could be made for a
// while, none of the attempts stays, and later there are segments as ever.
func TestNewSegmentsAfterTrouble(t *testing.T) {
	t.Parallel()
	for _, trouble := range []struct {
		name  string
		fault faultfs.Fault
		open  bool // it is there at the opening
	}{
		{"no spare one can be made", faultfs.Fault{Op: faultfs.OpCreate, Path: "/" + spareName, Err: unix.ENOSPC, Times: -1}, true},
		{"the directory cannot be flushed", faultfs.Fault{Op: faultfs.OpSyncDir, Err: unix.EIO, Times: -1}, false},
	} {
		t.Run(trouble.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			system := faultfs.New(nil)
			if trouble.open {
				system.Inject(trouble.fault)
			}
			j := open(t, Options{Dir: dir, System: system, Segment: 200})
			add := func(n int) {
				for i := range n {
					if pin, err := j.Append(Commit, 1, fmt.Sprintf("name-%d", i)); err == nil {
						pin.Release()
					}
				}
			}
			add(3)
			before := len(segments(t, dir))
			if !trouble.open {
				system.Inject(trouble.fault)
				add(20)
				if after := len(segments(t, dir)); after > before {
					t.Errorf("%d segments, then %d", before, after)
				}
			}
			system.Heal()
			add(20)
			if after := len(segments(t, dir)); after < before+3 {
				t.Errorf("%d segments, and %d when the trouble is over", before, after)
			}
			if err := j.Close(true); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestFramesAreReadBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := Record{
			Op: Op(rapid.IntRange(1, 5).Draw(t, "op")), BID: rapid.Uint64().Draw(t, "bid"),
			Name: string(rapid.SliceOfN(rapid.Byte(), 0, 5000).Draw(t, "name")),
		}
		seq := rapid.Uint64().Draw(t, "seq")
		frame := appendFrame(nil, seq, &r)
		if got, n := parseFrame(append(slices.Clone(frame), "rest"...), seq); n != len(frame) || got != r {
			t.Fatalf("%+v, %d", got, n)
		}
		if _, n := parseFrame(frame, seq+1); n != 0 {
			t.Fatal("a frame of another number")
		}
	})
}

func FuzzJournal(f *testing.F) {
	f.Add(appendFrame(appendHead(nil, 1), 1, &Record{Op: Commit, BID: 1, Name: "x"}))
	f.Fuzz(func(t *testing.T, data []byte) {
		var again []byte
		seq := uint64(1)
		_, err := parseSegment(data, 1, func(r Record) error {
			again = appendFrame(again, seq, &r)
			seq++
			return nil
		})
		if err != nil && !errors.Is(err, ErrDamaged) {
			t.Fatal(err)
		}
		if r, n := parseFrame(again, 1); len(again) > 0 && (n == 0 || r.Op == 0) {
			t.Fatalf("not read back: %x", again)
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	j := open(b, Options{Dir: b.TempDir()})
	b.ReportAllocs()
	for b.Loop() {
		pin, err := j.Append(Commit, 1<<63|7, "some/directory/object-000000123")
		if err != nil {
			b.Fatal(err)
		}
		pin.Release()
	}
	if err := j.Close(true); err != nil {
		b.Error(err)
	}
}
