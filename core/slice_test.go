package core

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"

	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/fs/crashfs"
	"github.com/aistore-go/aistore/fs/faultfs"
)

// sliceBody is a slice as it is sent: its bytes and their checksums.
func sliceBody(content []byte) io.Reader {
	var sums []byte
	for off := 0; off < len(content); off += SliceUnit {
		sums = binary.LittleEndian.AppendUint64(sums, xxhash.Sum64(content[off:min(off+SliceUnit, len(content))]))
	}
	return io.MultiReader(bytes.NewReader(content), bytes.NewReader(sums))
}

func randomBytes(seed uint64, n int) []byte {
	random := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	data := make([]byte, n)
	_, _ = random.Read(data) // never fails
	return data
}

func stampAt(clock uint64) Stamp { return Stamp{Epoch: 1, Clock: clock, Node: 7} }

// sliceOf is slice n of 2+2 of an object of twice the content's size.
func sliceOf(key Key, n int, clock uint64, content []byte) *Slice {
	attrs := Attrs{Size: int64(2 * len(content)), Stamp: stampAt(clock), BID: key.Props.BID, Version: "3", Mtime: 5, Atime: 6, Custom: []KV{{"k", "v"}}}
	return &Slice{
		Name: key.Name, State: SliceKept, Stamp: attrs.Stamp, Number: n, Data: 2, Parity: 2, Length: int64(len(content)), Object: attrs,
	}
}

func stage(s *Store, key Key, n int, clock uint64, content []byte) (SliceVerdict, error) {
	return s.StageSlice(context.Background(), key, sliceOf(key, n, clock, content), sliceBody(content))
}

func keep(tb testing.TB, s *Store, key Key, n int, clock uint64, content []byte) {
	tb.Helper()
	if v, err := stage(s, key, n, clock, content); err != nil || !v.Done {
		tb.Fatalf("stage: %+v, %v", v, err)
	}
	if v, err := s.CommitSlice(context.Background(), key, stampAt(clock), n); err != nil || !v.Done {
		tb.Fatalf("commit: %+v, %v", v, err)
	}
}

func readSliceOf(s *Store, key Key, n int, clock uint64) ([]byte, error) {
	r, err := s.OpenSlice(context.Background(), key, stampAt(clock), n)
	if err != nil {
		return nil, err
	}
	data := make([]byte, r.Length)
	_, err = r.ReadAt(data, 0)
	return data, errors.Join(err, r.Close())
}

// held describes what a store holds of a name.
func held(tb testing.TB, s *Store, key Key) string {
	tb.Helper()
	all, err := s.LookSlices(context.Background(), key, true)
	if err != nil {
		tb.Fatal(err)
	}
	var out []string
	for i := range all {
		sl := &all[i]
		what := map[SliceState]string{SliceKept: "kept", SliceSuperseded: "superseded", SliceDeleted: "deleted"}[sl.State]
		if sl.Staged {
			what = "staged"
		}
		out = append(out, fmt.Sprintf("%s %d@%d", what, sl.Number, sl.Stamp.Clock))
	}
	return strings.Join(out, " ")
}

// TestSliceSteps: a slice is staged, committed, replaced by a greater generation
// and by marks, never by a smaller one.
func TestSliceSteps(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"d/o", "a//b"} {
		r := newRig(t, rigOptions{props: durable})
		ctx, key, s := context.Background(), r.key(name), r.store
		small, large := randomBytes(1, 1000), randomBytes(2, 3*SliceUnit+17)
		keep(t, s, key, 1, 10, small)
		if got, err := readSliceOf(s, key, 1, 10); err != nil || !bytes.Equal(got, small) {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
		if v, err := stage(s, key, 2, 20, large); err != nil || !v.Done {
			t.Fatalf("%+v, %v", v, err)
		}
		if got := held(t, s, key); got != "kept 1@10 staged 2@20" {
			t.Errorf("after staging: %s", got)
		}
		if v, err := stage(s, key, 3, 15, small); err != nil || v.Done || !v.Refused(stampAt(15)) || v.Newest != stampAt(20) {
			t.Errorf("an older generation: %+v, %v", v, err)
		}
		if v, err := s.CommitSlice(ctx, key, stampAt(20), 2); err != nil || !v.Done {
			t.Errorf("%+v, %v", v, err)
		}
		if v, err := s.CommitSlice(ctx, key, stampAt(20), 2); err != nil || !v.Done {
			t.Errorf("commit again: %+v, %v", v, err)
		}
		if v, err := s.CommitSlice(ctx, key, stampAt(10), 1); err != nil || v.Done {
			t.Errorf("commit of an older one: %+v, %v", v, err)
		}
		if got := held(t, s, key); got != "kept 2@20" {
			t.Errorf("after commit: %s", got)
		}
		if got, err := readSliceOf(s, key, 2, 20); err != nil || !bytes.Equal(got, large) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		all, err := s.LookSlices(ctx, key, false)
		if err != nil || len(all) != 1 || all[0].Object.Version != "3" || len(all[0].Object.Custom) != 1 || all[0].Object.Size != int64(2*len(large)) {
			t.Errorf("%+v, %v", all, err)
		}
		if v, err := s.MarkSlices(ctx, key, stampAt(19), SliceSuperseded, true); err != nil || v.Done || v.Newest != stampAt(20) {
			t.Errorf("an older mark: %+v, %v", v, err)
		}
		if v, err := s.MarkSlices(ctx, key, stampAt(30), SliceDeleted, true); err != nil || !v.Done || !v.Had {
			t.Errorf("a mark: %+v, %v", v, err)
		}
		r.restart()
		s = r.store
		if got := held(t, s, key); got != "deleted 0@30" {
			t.Errorf("after the mark: %s", got)
		}
		if v, err := stage(s, key, 1, 25, small); err != nil || !v.Refused(stampAt(25)) {
			t.Errorf("older than the mark: %+v, %v", v, err)
		}
		if err := s.ForgetMark(ctx, key, stampAt(29)); err != nil || held(t, s, key) != "deleted 0@30" {
			t.Errorf("another mark: %v", err)
		}
		if err := s.ForgetMark(ctx, key, stampAt(30)); err != nil || held(t, s, key) != "" {
			t.Errorf("%v", err)
		}
		if v, err := s.MarkSlices(ctx, key, stampAt(35), SliceDeleted, false); err != nil || !v.Done || held(t, s, key) != "" {
			t.Errorf("a mark on nothing: %+v, %v", v, err)
		}
		keep(t, s, key, 1, 40, nil)
		if got, err := readSliceOf(s, key, 1, 40); err != nil || len(got) != 0 {
			t.Errorf("an empty slice: %v", err)
		}
		if files := r.files("/.$deleted/"); len(files) != 1 {
			t.Errorf("left behind: %q", files)
		}
	}
}

// TestSliceThatIsRefused: nothing is left of what is not a slice of the object,
// breaks off, or differs from its checksums.
func TestSliceThatIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	key, content := r.key("o"), randomBytes(3, SliceUnit+9)
	whole, _ := io.ReadAll(sliceBody(content)) // of memory
	for what, change := range map[string]func(*Slice, []byte) []byte{
		"number":     func(sl *Slice, b []byte) []byte { sl.Number = 5; return b },
		"name":       func(sl *Slice, b []byte) []byte { sl.Name = "x"; return b },
		"length":     func(sl *Slice, b []byte) []byte { sl.Length--; return b },
		"generation": func(sl *Slice, b []byte) []byte { sl.Stamp = stampAt(1); return b },
		"bucket":     func(sl *Slice, b []byte) []byte { sl.Object.BID++; return b },
		"breaks off": func(_ *Slice, b []byte) []byte { return b[:len(content)-1] },
		"no sums":    func(_ *Slice, b []byte) []byte { return b[:len(content)+3] },
		"bytes":      func(_ *Slice, b []byte) []byte { b[SliceUnit+1] ^= 1; return b },
	} {
		sl := sliceOf(key, 1, 10, content)
		body := change(sl, bytes.Clone(whole))
		if v, err := r.store.StageSlice(context.Background(), key, sl, bytes.NewReader(body)); err == nil || v.Done {
			t.Errorf("%s: %+v, %v", what, v, err)
		}
	}
	if files := r.files(); len(files) > 0 {
		t.Errorf("left behind: %q", files)
	}
}

// TestSliceThatComesLate: a slice that a mark has overtaken on its way is refused,
// though there was nothing that the mark could have replaced; what is newer is taken.
func TestSliceThatComesLate(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{props: durable})
	key, s := r.key("o"), r.store
	if v, err := s.MarkSlices(context.Background(), key, stampAt(20), SliceDeleted, false); err != nil || !v.Done || v.Had {
		t.Fatalf("%+v, %v", v, err)
	}
	if v, err := stage(s, key, 1, 10, randomBytes(1, 1000)); err != nil || v.Done || !v.Refused(stampAt(10)) || v.Newest != stampAt(20) {
		t.Errorf("a late slice: %+v, %v", v, err)
	}
	if got := held(t, s, key); got != "" {
		t.Errorf("held: %s", got)
	}
	keep(t, s, key, 1, 20, randomBytes(1, 1000))
	for i := range maxFences + 10 {
		s.fences.raise(uint64(i), stampAt(1))
	}
	if len(s.fences.late) > maxFences || len(s.fences.queue) > maxFences {
		t.Errorf("%d marks are remembered", len(s.fences.late))
	}
}

// TestSliceAmended: new metadata, small or large, keep the content.
func TestSliceAmended(t *testing.T) {
	t.Parallel()
	for _, length := range []int{10, 70 * SliceUnit} { // checksums in the attribute, and not
		r := newRig(t, rigOptions{props: durable})
		key, content := r.key("o"), randomBytes(4, length)
		keep(t, r.store, key, 4, 10, content)
		attrs := sliceOf(key, 4, 10, content).Object
		for i, custom := range []string{"new", strings.Repeat("x", 3000), "small again"} {
			from := attrs.Stamp
			attrs.Stamp, attrs.Custom = stampAt(uint64(11+i)), []KV{{"k", custom}}
			if v, err := r.store.AmendSlice(context.Background(), key, from, &attrs); err != nil || !v.Done {
				t.Fatalf("%+v, %v", v, err)
			}
			all, err := r.store.LookSlices(context.Background(), key, true)
			if err != nil || len(all) != 1 || all[0].Stamp != attrs.Stamp || all[0].Object.Custom[0].Value != custom {
				t.Fatalf("%d: %d slices, %v", i, len(all), err)
			}
		}
		if got, err := readSliceOf(r.store, key, 4, 13); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		if v, err := r.store.AmendSlice(context.Background(), key, stampAt(10), &attrs); err != nil || !v.Done {
			t.Errorf("the last change again: %+v, %v", v, err)
		}
	}
}

// TestDamagedSliceGoesToQuarantine: changed bytes are found where they are read,
// a changed record wherever it is met.
func TestDamagedSliceGoesToQuarantine(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	key, content := r.key("o"), randomBytes(5, 2*SliceUnit+100)
	entry := meta.BucketEntry{Bck: r.bck, Props: r.props}
	file := func() string { return r.files("/" + fs.QuarantineDir + "/")[0] }
	flip := func() {
		t.Helper()
		data, err := os.ReadFile(file())
		if err == nil {
			data[SliceUnit+5] ^= 4
			var f *os.File
			if f, err = os.OpenFile(file(), os.O_RDWR, 0); err == nil {
				_, err = f.WriteAt(data, 0)
				err = errors.Join(err, f.Close())
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	keep(t, r.store, key, 1, 10, content)
	flip()
	reader, err := r.store.OpenSlice(context.Background(), key, stampAt(10), 1)
	if err != nil {
		t.Fatal(err)
	}
	part := make([]byte, 50)
	if _, err := reader.ReadAt(part, 3); err != nil || !bytes.Equal(part, content[3:53]) {
		t.Errorf("the first unit is whole: %v", err)
	}
	if n, err := reader.ReadAt(part, SliceUnit-10); n != 10 || statusOf(err) != 500 {
		t.Errorf("%d bytes of a damaged unit, %v", n-10, err)
	}
	if err := reader.Close(); err != nil {
		t.Error(err)
	}
	if got := held(t, r.store, key); got != "" {
		t.Errorf("held: %s", got)
	}
	keep(t, r.store, key, 1, 10, content)
	flip()
	if got := held(t, r.store, key); got != "" { // verifies
		t.Errorf("held: %s", got)
	}
	keep(t, r.store, key, 1, 10, content)
	if err := fs.Unix().SetXattr(file(), XattrSlice, []byte("nonsense")); err != nil {
		t.Fatal(err)
	}
	visited := 0
	if err := r.store.WalkSlices(context.Background(), entry, func(*Slice) error { visited++; return nil }); err != nil || visited != 0 {
		t.Errorf("%d visited, %v", visited, err)
	}
	if aside, err := r.store.Quarantine(context.Background()); err != nil || len(aside) != 3 {
		t.Errorf("%d in quarantine, %v", len(aside), err)
	}
}

// TestWalkSlices: all that is held is visited, of this incarnation of the bucket.
func TestWalkSlices(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{mountpaths: 3})
	want := map[string]bool{}
	for i := range 50 {
		key := r.key(fmt.Sprintf("dir/%d", i))
		keep(t, r.store, key, 1, 10, []byte("12"))
		want[key.Name+" kept"] = true
		if i%5 == 0 {
			if _, err := stage(r.store, key, 2, 11, []byte("34")); err != nil {
				t.Fatal(err)
			}
			want[key.Name+" staged"] = true
		}
	}
	entry := meta.BucketEntry{Bck: r.bck, Props: r.props}
	err := r.store.WalkSlices(context.Background(), entry, func(sl *Slice) error {
		what := sl.Name + " kept"
		if sl.Staged {
			what = sl.Name + " staged"
		}
		if !want[what] {
			t.Errorf("visited: %s", what)
		}
		delete(want, what)
		return nil
	})
	if err != nil || len(want) > 0 {
		t.Errorf("%v, not visited: %v", err, want)
	}
}

// TestPowerIsLostDuringSliceSteps: whatever call the power is lost at, a name
// holds what was there before or what was to be, and what was acknowledged stays.
func TestPowerIsLostDuringSliceSteps(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	old, next := randomBytes(6, 3000), randomBytes(7, 5000)
	state := func(c *callCrash) string {
		key, out := c.key("o"), ""
		all, err := c.store.LookSlices(ctx, key, true)
		if err != nil {
			c.t.Fatal(err)
		}
		for i := range all {
			if sl := &all[i]; !sl.Staged { // the name of a staged one need not be durable
				value := ""
				if !sl.IsMark() {
					value = fmt.Sprintf("%.9s/%d", sl.Object.Custom[0].Value, len(sl.Object.Custom[0].Value))
				}
				out += fmt.Sprintf("%d:%d@%d %d bytes %s", sl.State, sl.Number, sl.Stamp.Clock, sl.Length, value)
			}
		}
		if aside, err := c.store.Quarantine(ctx); err != nil || len(aside) > 0 {
			c.t.Errorf("in quarantine: %+v, %v", aside, err)
		}
		return out
	}
	amend := func(custom string) func(*callCrash) error {
		return func(c *callCrash) error {
			attrs := sliceOf(c.key("o"), 1, 10, old).Object
			attrs.Stamp, attrs.Custom = stampAt(20), []KV{{"k", custom}}
			_, err := c.store.AmendSlice(ctx, c.key("o"), stampAt(10), &attrs)
			return err
		}
	}
	steps := map[string]func(*callCrash) error{
		"overwrite": func(c *callCrash) error {
			v, err := stage(c.store, c.key("o"), 2, 20, next)
			if err == nil && v.Done {
				v, err = c.store.CommitSlice(ctx, c.key("o"), stampAt(20), 2)
			}
			if err == nil && !v.Done {
				err = errors.New("refused")
			}
			return err
		},
		"mark": func(c *callCrash) error {
			_, err := c.store.MarkSlices(ctx, c.key("o"), stampAt(20), SliceSuperseded, true)
			return err
		},
		"amend":           amend("new"),
		"amend with tail": amend(strings.Repeat("n", 3000)),
	}
	for name, run := range steps {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			prepare := func() (*callCrash, string) {
				c := newCallCrash(t)
				keep(t, c.store, c.key("o"), 1, 10, old)
				return c, state(c)
			}
			whole, before := prepare()
			if err := run(whole); err != nil {
				t.Fatal(err)
			}
			wanted := state(whole)
			whole.close()
			for seed := range uint64(4) {
				for n, reached := 1, true; reached; n++ {
					c, _ := prepare()
					calls := 0
					var after *crashfs.System
					c.system.Before(func(faultfs.Call) error {
						if calls++; calls == n {
							after = c.system.Crash(seed*1000 + uint64(n))
						}
						return nil
					})
					err := run(c)
					if reached = after != nil; !reached {
						after = c.system.Crash(seed)
					}
					c.close()
					c.system = after
					c.open()
					if got := state(c); got != wanted && (err == nil || got != before) {
						t.Errorf("seed %d, call %d: %q, was %q (%v)", seed, n, got, before, err)
					}
					c.close()
				}
			}
		})
	}
}

// TestObjectRestored: an object of which nothing is here comes back as it was;
// what is newer stays.
func TestObjectRestored(t *testing.T) {
	t.Parallel()
	for _, props := range []func(*meta.Bprops){durable, func(p *meta.Bprops) {
		p.Chunks.MaxMonolithicSize, p.Chunks.ChunkSize = 1000, 700
	}} {
		r := newRig(t, rigOptions{props: props})
		content := string(randomBytes(8, 4000))
		was, err := r.tryPut("d/o", content, PutOptions{Size: 4000, Custom: []KV{{"k", "v"}}})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.store.Delete(context.Background(), r.key("d/o")); err != nil {
			t.Fatal(err)
		}
		bad := was
		bad.Checksum.Value = strings.Repeat("0", 16)
		if err := r.store.RestoreObject(context.Background(), r.key("d/o"), &bad, strings.NewReader(content), nil); err == nil {
			t.Error("content that differs from its checksum was restored")
		}
		if err := r.store.RestoreObject(context.Background(), r.key("d/o"), &was, strings.NewReader(content), nil); err != nil {
			t.Fatal(err)
		}
		r.restart()
		got, attrs, found := r.get("d/o")
		if !found || got != content || attrs.LastChange() != was.LastChange() || attrs.Version != was.Version || attrs.Mtime != was.Mtime || attrs.Checksum != was.Checksum {
			t.Errorf("found %v: %+v, was %+v", found, attrs, was)
		}
		if names := r.names(ListOptions{}); len(names) != 1 {
			t.Errorf("listed: %q", names)
		}
		r.put("d/o", "newer")
		if err := r.store.RestoreObject(context.Background(), r.key("d/o"), &was, strings.NewReader(content), nil); err != nil {
			t.Error(err)
		}
		if got, _, _ := r.get("d/o"); got != "newer" {
			t.Errorf("an older generation took the place of %q", got)
		}
	}
}

// TestProtectionNote: the note is that of one generation.
func TestProtectionNote(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	ctx, key := context.Background(), r.key("o")
	attrs := r.put("o", "content")
	note := Protection{Stamp: attrs.LastChange(), Data: 4, Parity: 2, Holders: []string{"t1", "t22", "t3", "t4", "t5", "target-with-a-long-id-000000000006"}}
	for _, note := range []Protection{{Stamp: note.Stamp, Parity: 1, Holders: []string{"t1"}}, note} {
		if err := r.store.NoteProtection(ctx, key, note); err != nil {
			t.Fatal(err)
		}
		if _, p, err := r.store.Protection(ctx, key); err != nil || !reflect.DeepEqual(p, note) {
			t.Errorf("%+v, %v", p, err)
		}
	}
	if err := r.store.RevokeProtection(ctx, key, note.Stamp); err != nil {
		t.Fatal(err)
	}
	if _, p, err := r.store.Protection(ctx, key); err != nil || !p.Stamp.IsZero() {
		t.Errorf("after it was taken back: %+v, %v", p, err)
	}
	attrs = r.put("o", "other")
	if err := r.store.NoteProtection(ctx, key, note); err != nil {
		t.Error(err)
	}
	if _, p, err := r.store.Protection(ctx, key); err != nil || !p.Stamp.IsZero() {
		t.Errorf("of another generation: %+v, %v", p, err)
	}
	note.Stamp, note.Data = attrs.LastChange(), 0
	if err := r.store.NoteProtection(ctx, key, note); err != nil {
		t.Error(err)
	}
	if attrs, err := r.store.SetCustom(ctx, key, []KV{{"k", "v"}}, false); err != nil || attrs.LastChange() == note.Stamp {
		t.Errorf("%v", err)
	}
	if _, p, err := r.store.Protection(ctx, key); err != nil || !p.Stamp.IsZero() {
		t.Errorf("of other metadata: %+v, %v", p, err)
	}
	if _, _, err := r.store.Protection(ctx, r.key("none")); statusOf(err) != 404 {
		t.Errorf("%v", err)
	}
}
