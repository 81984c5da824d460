package core

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/fs"
)

// chunkedMirror is a rig whose objects of more than 6,000 bytes lie in chunks.
func chunkedMirror(t *testing.T, mountpaths, copies int, more func(*meta.Bprops)) *rig {
	return mirrorRig(t, mountpaths, copies, func(p *meta.Bprops) {
		chunkedProps(p)
		if more != nil {
			more(p)
		}
	})
}

// inChunks is a content of several chunks, which tells where it was taken from.
func inChunks(tag string) string { return strings.Repeat(tag+"; ", 15_000/(len(tag)+2)) }

// chunkFiles returns the files of a chunked generation by what they are:
// "file", "manifest", and the numbers of chunks.
func (r *rig) chunkFiles(name string) map[string][]Belonging {
	r.tb.Helper()
	all, err := r.store.Belongings(context.Background(), r.key(name))
	if err != nil {
		r.tb.Fatal(err)
	}
	files := map[string][]Belonging{}
	for i := range all {
		kind := all[i].Kind.String()
		switch all[i].Kind {
		case BelongsObject, BelongsCopy:
			kind = "file"
		case BelongsChunk:
			kind = fmt.Sprint(all[i].Number)
		}
		files[kind] = append(files[kind], all[i])
	}
	return files
}

// wantChunkCopies checks that a name has so many files of each of its chunks and of
// its manifest, on as many mountpaths, all alike, and nothing else.
func (r *rig) wantChunkCopies(name, content string, want int) {
	r.tb.Helper()
	files := r.chunkFiles(name)
	whole := ""
	for i := range len(files) - 1 {
		kind := fmt.Sprint(i + 1)
		if i == 0 {
			kind = "file"
		}
		first, err := os.ReadFile(files[kind][0].Path)
		if err != nil {
			r.tb.Fatal(err)
		}
		whole += string(first)
	}
	for kind, all := range files {
		var on []string
		var first []byte
		for i := range all {
			data, err := os.ReadFile(all[i].Path)
			if first == nil {
				first = data
			}
			if err != nil || string(data) != string(first) || all[i].Stamp != all[0].Stamp || all[i].Upload != files["file"][0].Upload {
				r.tb.Errorf("%s differs: %v", all[i].Path, err)
			}
			on = append(on, all[i].Mountpath.ID)
		}
		if slices.Sort(on); len(slices.Compact(on)) != want || len(all) != want {
			r.tb.Errorf("%q: %d files of %q, want %d", name, len(all), kind, want)
		}
	}
	if whole != content {
		r.tb.Errorf("%q: %d bytes in files, want %d", name, len(whole), len(content))
	}
}

// TestCopiesOfChunks: an object in chunks has as many copies as any other, whatever
// made it; they go with it, and nothing is left behind.
func TestCopiesOfChunks(t *testing.T) {
	t.Parallel()
	r := chunkedMirror(t, 4, 3, nil)
	names := []string{"a", "d/e", "x//y", "parts"}
	put := func(tag string) {
		for _, name := range names {
			if name == "parts" {
				r.upload(name, inChunks(tag)[:7000], inChunks(tag)[7000:7777], inChunks(tag)[7777:])
			} else {
				r.put(name, inChunks(tag))
			}
		}
	}
	check := func(tag string, want int) {
		t.Helper()
		for _, name := range names {
			r.wantChunkCopies(name, inChunks(tag), want)
			attrs, err := r.store.Head(t.Context(), r.key(name))
			if content, _, _ := r.get(name); content != inChunks(tag) || err != nil || attrs.Copies != want {
				t.Errorf("%q: %.20q, %d copies, want %d, %v", name, content, attrs.Copies, want, err)
			}
		}
	}
	put("one")
	check("one", 1)
	if did := r.arrange(); did.Copied != 2*len(names) {
		t.Errorf("%+v", did)
	}
	check("one", 3)
	if did := r.arrangeAll(); did != (Arranged{}) {
		t.Errorf("once more: %+v", did)
	}
	check("one", 3)
	put("another")
	check("another", 1)
	r.arrange()
	for _, name := range names {
		if _, err := r.patch(name, false, KV{"key", "value"}); err != nil {
			t.Fatal(err)
		}
	}
	r.arrange()
	check("another", 3)
	for _, copies := range []int{2, 1, 4} {
		props := r.props.Clone()
		props.Mirror.Enabled, props.Mirror.Copies = copies > 1, copies
		bmd := r.bmdWith(props)
		if err := r.store.ApplyBMD(t.Context(), r.bmd, bmd); err != nil {
			t.Fatal(err)
		}
		r.bmd, r.props = bmd, props
		r.arrangeAll()
		check("another", copies)
	}
	if c, err := r.store.CollectGarbage(t.Context(), r.bck, r.props, -1e9); err != nil || c.Files != 0 {
		t.Errorf("collected: %+v, %v", c, err)
	}
	for _, name := range names {
		if err := r.store.Delete(t.Context(), r.key(name)); err != nil {
			t.Fatal(err)
		}
	}
	if left := r.files(); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}

// TestDamagedChunksAreReadFromCopies: whatever happens to a file of a chunked
// object, reads go on, and it is made again.
func TestDamagedChunksAreReadFromCopies(t *testing.T) {
	t.Parallel()
	lost := func(path string) error { return os.Remove(path) }
	short := func(path string) error { return os.Truncate(path, 3) }
	flipped := func(path string) error {
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		data[len(data)/2] ^= 1
		return os.WriteFile(path, data, 0o644)
	}
	norecord := func(path string) error { return fs.Unix().SetXattr(path, XattrRecord, []byte("rubbish")) }
	for _, tc := range []struct {
		name, kind string
		harm       func(path string) error
		warm       bool
	}{
		{"chunk lost", "2", lost, false}, {"chunk short", "3", short, false}, {"chunk flipped", "2", flipped, true},
		{"file lost", "file", lost, false}, {"file short", "file", short, false}, {"file flipped", "file", flipped, true},
		{"record lost", "file", norecord, false},
		{"manifest lost", "manifest", lost, false}, {"manifest short", "manifest", short, false}, {"manifest flipped", "manifest", flipped, false},
	} {
		for at := range 3 { // each of the three files, the object's own among them
			t.Run(fmt.Sprint(tc.name, " ", at), func(t *testing.T) {
				t.Parallel()
				r := chunkedMirror(t, 4, 3, func(p *meta.Bprops) { p.Checksum.ValidateWarmGet = tc.warm })
				content := inChunks("content")
				r.put("o", content)
				r.arrange()
				r.wantChunkCopies("o", content, 3)
				if err := tc.harm(r.chunkFiles("o")[tc.kind][at].Path); err != nil {
					t.Fatal(err)
				}
				for range 2 {
					if got, _, found := r.get("o"); !found || got != content {
						t.Errorf("%d bytes, found %v", len(got), found)
					}
				}
				// What no read has touched the verification finds, or whoever arranges it.
				if _, err := r.store.VerifyObject(t.Context(), r.key("o"), VerifyOptions{Repair: true}); err != nil {
					t.Error(err)
				}
				r.arrangeAll()
				if report := r.verify("o", VerifyOptions{}); report.Damaged() != 0 {
					t.Errorf("%+v", report)
				}
				r.wantChunkCopies("o", content, 3)
			})
		}
	}
}

// TestLostMountpathOfChunks: the same when a whole disk is lost, each in turn.
func TestLostMountpathOfChunks(t *testing.T) {
	t.Parallel()
	for lost := range 4 {
		t.Run(fmt.Sprint(lost), func(t *testing.T) {
			t.Parallel()
			r := chunkedMirror(t, 4, 2, nil)
			const n = 8
			for i := range n {
				r.put(fmt.Sprint("o", i), inChunks(fmt.Sprint("content ", i)))
			}
			r.arrange()
			if err := r.fs.Remove(r.dirs[lost], fs.Disable, false); err != nil {
				t.Fatal(err)
			}
			if err := os.RemoveAll(r.dirs[lost]); err != nil {
				t.Fatal(err)
			}
			r.dirs = slices.Delete(r.dirs, lost, lost+1)
			for i := range n {
				if content, _, found := r.get(fmt.Sprint("o", i)); !found || content != inChunks(fmt.Sprint("content ", i)) {
					t.Errorf("o%d: %d bytes, found %v", i, len(content), found)
				}
			}
			r.arrangeAll()
			for i := range n {
				r.wantChunkCopies(fmt.Sprint("o", i), inChunks(fmt.Sprint("content ", i)), 2)
			}
		})
	}
}

// TestVersionsKeepTheirChunks: what becomes a noncurrent version stays as it is,
// and it is mirrored once it is the object again.
func TestVersionsKeepTheirChunks(t *testing.T) {
	t.Parallel()
	r := chunkedMirror(t, 3, 2, nil)
	first, err := r.tryPut("o", inChunks("first"), PutOptions{Size: -1, Keep: KeepVersion})
	if err != nil {
		t.Fatal(err)
	}
	r.arrange()
	second, err := r.tryPut("o", inChunks("second"), PutOptions{Size: -1, Keep: KeepVersion})
	if err != nil {
		t.Fatal(err)
	}
	r.arrange()
	r.arrangeAll()
	for id, want := range map[string]string{first.VersionID(): inChunks("first"), second.VersionID(): inChunks("second")} {
		if got, err := r.readVersion("o", id); err != nil || got != want {
			t.Errorf("version %s: %.20q, %v", id, got, err)
		}
	}
	if _, err := r.store.DeleteVersion(t.Context(), r.key("o"), second.VersionID()); err != nil {
		t.Fatal(err)
	}
	if got, _, _ := r.get("o"); got != inChunks("first") {
		t.Errorf("%.20q", got)
	}
	r.arrange()
	files := r.chunkFiles("o")
	if delete(files, BelongsVersionName.String()); len(files["file"]) != 2 || len(files["2"]) != 2 || len(files["manifest"]) != 2 {
		t.Errorf("%+v", files)
	}
	if err := r.store.Delete(t.Context(), r.key("o")); err != nil {
		t.Fatal(err)
	}
	if left := r.files("/%ov/"); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}

// TestCrashesOfMirroredChunks: the power goes at each system call of an overwrite,
// a DELETE and the making of copies of an object in chunks: it is the old one or
// the new one, whole. Then a disk is lost, and no older generation comes back.
func TestCrashesOfMirroredChunks(t *testing.T) {
	t.Parallel()
	first, second := inChunks("first"), inChunks("second")
	for _, op := range []struct {
		name string
		run  func(*rig) error
		want string
	}{
		{"overwrite", func(r *rig) error {
			_, err := r.tryPut("o", second, PutOptions{Size: int64(len(second))})
			return err
		}, second},
		{"delete", func(r *rig) error { return r.store.Delete(context.Background(), r.key("o")) }, ""},
		{"arrange", func(r *rig) error {
			_, err := r.store.Arrange(context.Background(), r.key("o"))
			return err
		}, first},
	} {
		t.Run(op.name, func(t *testing.T) {
			t.Parallel()
			step := 1
			if testing.Short() {
				step = 7
			}
			for n := 1; n < 2000; n += step {
				r := crashRig(t, 3, func(p *meta.Bprops) {
					mirrored(2)(p)
					chunkedProps(p)
				})
				r.put("o", first)
				if op.name != "arrange" {
					r.arrange()
				}
				reached, err := r.crashAt(n, op.run)
				content, _, readErr := r.tryGet("o")
				if readErr != nil && statusOf(readErr) != 404 {
					t.Fatalf("call %d: %v after %v", n, readErr, err)
				}
				if !reached && content != op.want || content != op.want && content != first && content != "" || content == "" && op.name != "delete" {
					t.Fatalf("call %d: %.20q after %v", n, content, err)
				}
				r.arrangeAndLoseHome("o")
				if again, _, _ := r.get("o"); again != content {
					t.Fatalf("call %d: %.20q, and with its disk lost %.20q", n, content, again)
				}
				r.release()
				if !reached {
					return
				}
			}
			t.Error("it does not end")
		})
	}
}

// TestChunkIsLostWithAllItsCopies: the object stays, readable but for that chunk,
// nobody makes copies of it, and DELETE removes all of it.
func TestChunkIsLostWithAllItsCopies(t *testing.T) {
	t.Parallel()
	r := chunkedMirror(t, 3, 2, nil)
	content := inChunks("content")
	r.put("o", content)
	r.arrange()
	for _, b := range r.chunkFiles("o")["3"] {
		if err := os.Remove(b.Path); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if did, err := r.store.Arrange(t.Context(), r.key("o")); err != nil || !did.Broken || did.Instances != 1 || did.Short() != 1 {
			t.Errorf("%+v, %v", did, err)
		}
		if _, _, err := r.tryGet("o"); statusOf(err) != 500 || !strings.Contains(fmt.Sprint(err), "truncated") {
			t.Error(err)
		}
	}
	reader, err := r.store.Open(t.Context(), r.key("o"))
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	if err := reader.Prepare(t.Context(), 10, 100); err != nil {
		t.Error(err)
	}
	if _, err := reader.ReadAt(buf, 10); err != nil || string(buf) != content[10:110] {
		t.Errorf("%q, %v", buf, err)
	}
	if err := reader.Close(); err != nil {
		t.Error(err)
	}
	if err := r.store.Delete(t.Context(), r.key("o")); err != nil {
		t.Fatal(err)
	}
	if left := r.files(); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}
