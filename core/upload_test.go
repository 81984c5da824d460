package core

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// create begins an upload.
func (r *rig) create(name string) string {
	r.tb.Helper()
	id, err := r.store.CreateUpload(context.Background(), r.key(name), CreateOptions{})
	if err != nil {
		r.tb.Fatalf("create %q: %v", name, err)
	}
	return id
}

func (r *rig) tryPart(name, id string, number int, content string) error {
	_, err := r.store.PutPart(context.Background(), r.key(name), id, number, strings.NewReader(content), PartOptions{Size: int64(len(content))})
	return err
}

func (r *rig) part(name, id string, number int, content string) {
	r.tb.Helper()
	if err := r.tryPart(name, id, number, content); err != nil {
		r.tb.Fatalf("part %d of %q: %v", number, name, err)
	}
}

// tryComplete completes with parts 1..n.
func (r *rig) tryComplete(name, id string, numbers ...int) (Attrs, error) {
	o := CompleteOptions{}
	for _, n := range numbers {
		o.Parts = append(o.Parts, CompletePart{Number: n})
	}
	return r.store.CompleteUpload(context.Background(), r.key(name), id, o)
}

func upTo(n int) []int {
	numbers := make([]int, n)
	for i := range numbers {
		numbers[i] = i + 1
	}
	return numbers
}

// upload makes an object of parts.
func (r *rig) upload(name string, parts ...string) Attrs {
	r.tb.Helper()
	id := r.create(name)
	for i, content := range parts {
		r.part(name, id, i+1, content)
	}
	attrs, err := r.tryComplete(name, id, upTo(len(parts))...)
	if err != nil {
		r.tb.Fatalf("complete %q: %v", name, err)
	}
	return attrs
}

func crcOf(content string) cksum.Value {
	return cksum.Value{Type: cksum.CRC32C, Value: hex32(crc32.Checksum([]byte(content), castagnoli))}
}

// pieces are parts of several sizes whose content tells them apart.
func pieces(n int) []string {
	parts := make([]string, n)
	for i := range parts {
		parts[i] = strings.Repeat(fmt.Sprintf("part-%d;", i+1), 1+i*517%1900)
	}
	return parts
}

// TestUpload: parts in order, one after the other, become an object with the
// checksum of its bucket, spread over the mountpaths.
func TestUpload(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{cksum.XXHash2, cksum.XXHash, cksum.MD5, cksum.SHA256, cksum.SHA512, cksum.CRC32C, cksum.None} {
		r := newRig(t, rigOptions{mountpaths: 3, root: memoryDir(t), props: func(p *meta.Bprops) { p.Checksum.Type = kind }})
		r.put("o", "old")
		parts := pieces(20)
		whole := strings.Join(parts, "")
		attrs := r.upload("o", parts...)
		sum, _ := cksum.Of(kind, []byte(whole))
		if attrs.Size != int64(len(whole)) || attrs.Version != "2" || attrs.Chunks != 20 || attrs.Checksum.Value != sum.Value || attrs.Checksum.IsNone() != (kind == cksum.None) {
			t.Errorf("%s: attributes %+v, want checksum %v", kind, attrs, sum)
		}
		content, got, found := r.get("o")
		if !found || content != whole || got.Checksum != attrs.Checksum || got.Chunks != 20 || got.LargestChunk == 0 || got.Version != "2" {
			t.Errorf("%s: GET found %v, %d bytes of %d, %+v", kind, found, len(content), len(whole), got)
		}
		if err := r.store.Verify(context.Background(), r.key("o")); err != nil {
			t.Error(err)
		}
		page, err := r.store.List(context.Background(), r.bck, r.props, ListOptions{Props: ListSize})
		if err != nil || len(page) != 1 || page[0].Flags != wire.EntryPresent|wire.EntryIsChunked || page[0].Attrs.Size != int64(len(whole)) {
			t.Errorf("%s: listing %+v, %v", kind, page, err)
		}
		if n := len(r.files("/%ob/", "/%ut/")); n != 19 {
			t.Errorf("%s: %d files but the object and its manifest, want 19 chunks", kind, n)
		}
		r.restart()
		if content, _, _ := r.get("o"); content != whole {
			t.Errorf("%s: another content after a restart", kind)
		}
		r.put("o", "one file again")
		if left := r.files("/%ob/"); len(left) > 0 {
			t.Errorf("%s: an overwrite leaves %q", kind, left)
		}
		r.upload("o", parts...)
		if err := r.store.Delete(context.Background(), r.key("o")); err != nil {
			t.Error(err)
		}
		if left := r.files(); len(left) > 0 {
			t.Errorf("%s: a delete leaves %q", kind, left)
		}
	}
}

// TestUploadOutOfOrder: parts come in any order, at the same time, some of
// them twice.
func TestUploadOutOfOrder(t *testing.T) {
	t.Parallel()
	for _, mode := range []struct {
		name  string
		props func(*meta.Bprops)
	}{{"none", nil}, {"sync", durable}} {
		r := newRig(t, rigOptions{mountpaths: 3, root: memoryDir(t), props: mode.props})
		parts := pieces(60)
		id := r.create("d/o")
		order := rand.Perm(60)
		var wg sync.WaitGroup
		for g := range 6 {
			wg.Go(func() {
				for i := g; i < 60; i += 6 {
					n := order[i]
					if n%5 == 0 {
						if err := r.tryPart("d/o", id, n+1, "replaced"); err != nil {
							t.Error(err)
						}
					}
					if err := r.tryPart("d/o", id, n+1, parts[n]); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		list, err := r.store.ListParts(context.Background(), r.key("d/o"), id)
		if err != nil || len(list) != 60 {
			t.Fatalf("%s: %d parts, %v", mode.name, len(list), err)
		}
		for i, p := range list {
			if p.Number != i+1 || p.Size != int64(len(parts[i])) || hex32(p.CRC32C) != crcOf(parts[i]).Value {
				t.Fatalf("%s: part %+v at %d", mode.name, p, i)
			}
		}
		numbers := upTo(60)
		slices.Reverse(numbers)
		attrs, err := r.tryComplete("d/o", id, numbers...)
		whole := strings.Join(parts, "")
		if err != nil || attrs.Checksum != crcOf(whole) {
			t.Fatalf("%s: %+v, %v, want %v", mode.name, attrs, err, crcOf(whole))
		}
		if content, _, _ := r.get("d/o"); content != whole {
			t.Errorf("%s: another content", mode.name)
		}
		if err := r.store.Verify(context.Background(), r.key("d/o")); err != nil {
			t.Error(err)
		}
		if n := len(r.files("/%ob/", "/%ut/")); n != 59 {
			t.Errorf("%s: %d chunks, want 59", mode.name, n)
		}
	}
}

// TestUploadRestart: an upload goes on after a restart, as if nothing had
// happened: parts, checksum in order, list of parts.
func TestUploadRestart(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{mountpaths: 2, root: memoryDir(t), props: durable})
	parts := pieces(9)
	whole := strings.Join(parts, "")
	id, err := r.store.CreateUpload(context.Background(), r.key("o"), CreateOptions{Custom: []KV{{"k", "v"}}})
	if err != nil {
		t.Fatal(err)
	}
	for i, content := range parts {
		r.part("o", id, i+1, content)
		if i%4 == 1 {
			r.restart()
		}
	}
	attrs, err := r.tryComplete("o", id, upTo(9)...)
	sum, _ := sumOf(cksum.XXHash2, []byte(whole))
	if err != nil || attrs.Checksum != sum || len(attrs.Custom) != 1 {
		t.Fatalf("%+v, %v, want %v", attrs, err, sum)
	}
	if content, _, _ := r.get("o"); content != whole {
		t.Error("another content")
	}
	for _, again := range []bool{false, true} {
		if again {
			r.restart()
		}
		if _, err := r.tryComplete("o", id, upTo(9)...); statusOf(err) != 404 {
			t.Errorf("a finished upload is completed again: %v", err)
		}
		if err := r.tryPart("o", id, 1, "x"); statusOf(err) != 404 {
			t.Errorf("a finished upload gets a part: %v", err)
		}
		if err := r.store.AbortUpload(context.Background(), r.key("o"), id); statusOf(err) != 404 {
			t.Errorf("a finished upload is aborted: %v", err)
		}
		if _, err := r.store.ListParts(context.Background(), r.key("o"), id); statusOf(err) != 404 {
			t.Errorf("a finished upload lists its parts: %v", err)
		}
	}
	if content, _, _ := r.get("o"); content != whole {
		t.Error("another content at the end")
	}
}

// TestUploadRefused: what clients do wrong, with the texts that they know.
func TestUploadRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{root: memoryDir(t)})
	id := r.create("o")
	for _, c := range []struct {
		name    string
		run     func() error
		status  int
		message string
	}{
		{"no parts", func() error { _, err := r.tryComplete("o", id); return err }, 400, "no chunks"},
		{"number 0", func() error { return r.tryPart("o", id, 0, "x") }, 500, "invalid chunk number"},
		{"number -1", func() error { return r.tryPart("o", id, -1, "x") }, 500, "invalid chunk number"},
		{"number 10000", func() error { return r.tryPart("o", id, 10000, "x") }, 500, "exceeds the maximum allowed"},
		{"another object", func() error { return r.tryPart("p", id, 1, "x") }, 404, "does not exist"},
		{"another id", func() error { return r.tryPart("o", "000000000000", 1, "x") }, 404, "does not exist"},
		{"a path as id", func() error { return r.tryPart("o", "../../../../x", 1, "x") }, 404, "does not exist"},
		{"complete another id", func() error { _, err := r.tryComplete("o", "nope", 1); return err }, 404, "does not exist"},
		{"short body", func() error {
			_, err := r.store.PutPart(context.Background(), r.key("o"), id, 1, strings.NewReader("abc"), PartOptions{Size: 5})
			return err
		}, 500, "shorter than announced"},
		{"long body", func() error {
			_, err := r.store.PutPart(context.Background(), r.key("o"), id, 1, strings.NewReader("abcdef"), PartOptions{Size: 5})
			return err
		}, 400, "longer than announced"},
		{"wrong SHA-256", func() error {
			_, err := r.store.PutPart(context.Background(), r.key("o"), id, 1, strings.NewReader("abc"), PartOptions{Size: 3, SHA256: strings.Repeat("0", 64)})
			return err
		}, 400, "sha256"},
		{"a gap", func() error {
			r.part("o", id, 1, "one")
			r.part("o", id, 3, "three")
			_, err := r.tryComplete("o", id, 1, 3)
			return err
		}, 400, "chunk at (1) has invalid number 3 (count=2)"},
		{"too few", func() error { _, err := r.tryComplete("o", id, 1); return err }, 400, "partial completion"},
		{"too many", func() error { _, err := r.tryComplete("o", id, 1, 3, 4); return err }, 400, "partial completion"},
		{"twice", func() error { _, err := r.tryComplete("o", id, 1, 1, 3); return err }, 400, "partial completion"},
		{"listed in wrong order", func() error {
			_, err := r.store.CompleteUpload(context.Background(), r.key("o"), id, CompleteOptions{Listed: true, Parts: []CompletePart{{Number: 3}, {Number: 1}}})
			return err
		}, 400, "is listed after"},
	} {
		err := c.run()
		if statusOf(err) != c.status || err == nil || !strings.Contains(err.Error(), c.message) {
			t.Errorf("%s: %d %v, want %d with %q", c.name, statusOf(err), err, c.status, c.message)
		}
	}
	if _, _, found := r.get("o"); found {
		t.Error("the object is visible")
	}
	// With gaps and parts left out, as S3 does it.
	r.part("o", id, 7, "seven")
	attrs, err := r.store.CompleteUpload(context.Background(), r.key("o"), id, CompleteOptions{Listed: true, Parts: []CompletePart{{Number: 3}, {Number: 7}}})
	if content, _, _ := r.get("o"); err != nil || content != "threeseven" || attrs.Checksum != crcOf(content) {
		t.Errorf("%q, %+v, %v", content, attrs, err)
	}
	if err := r.store.Verify(context.Background(), r.key("o")); err != nil {
		t.Error(err)
	}
	if n := len(r.files("/%ob/", "/%ut/")); n != 1 {
		t.Errorf("%d chunks beside the object, want 1: %q", n, r.files())
	}
}

// TestAbortWhileParts arrive: none of it stays, and no part is acknowledged
// afterwards.
func TestAbortWhileParts(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{mountpaths: 2, root: memoryDir(t)})
	for range 20 {
		id := r.create("o")
		var wg sync.WaitGroup
		started := make(chan struct{}, 100)
		for g := range 4 {
			wg.Go(func() {
				for n := g + 1; n < 100; n += 4 {
					started <- struct{}{}
					if err := r.tryPart("o", id, n, strings.Repeat("x", 5000)); err != nil {
						if statusOf(err) != 404 {
							t.Error(err)
						}
						return
					}
				}
			})
		}
		for range 10 {
			<-started
		}
		if err := r.store.AbortUpload(context.Background(), r.key("o"), id); err != nil {
			t.Error(err)
		}
		wg.Wait()
		if left := r.files(); len(left) > 0 {
			t.Fatalf("an abort leaves %q", left)
		}
	}
}

// TestLargePutIsChunked: a PUT beyond the limit of one file, of known and of
// unknown size.
func TestLargePutIsChunked(t *testing.T) {
	t.Parallel()
	for _, mode := range []struct {
		name  string
		props func(*meta.Bprops)
	}{{"none", nil}, {"sync", durable}} {
		r := newRig(t, rigOptions{mountpaths: 3, root: memoryDir(t), props: func(p *meta.Bprops) {
			p.Chunks.MaxMonolithicSize, p.Chunks.ChunkSize = 300_000, 70_000
			if mode.props != nil {
				mode.props(p)
			}
		}})
		for _, c := range []struct {
			size    int
			known   bool
			chunks  int
			largest int64
		}{
			{300_000, true, 0, 0}, {300_000, false, 0, 0},
			{300_001, true, 5, 70_000}, {300_001, false, 2, 300_000},
			{1_000_000, true, 15, 70_000}, {1_000_000, false, 11, 300_000},
			{700_000, true, 10, 70_000}, {370_000, false, 2, 300_000},
		} {
			content := strings.Repeat(fmt.Sprint(c.size, c.known, ";"), c.size)[:c.size]
			sum, _ := cksum.Of(cksum.MD5, []byte(content))
			o := PutOptions{Size: -1, Checksum: sum}
			if c.known {
				o.Size = int64(c.size)
			}
			attrs, err := r.tryPut("o", content, o)
			if err != nil || attrs.Chunks != c.chunks || attrs.LargestChunk != c.largest || attrs.Size != int64(c.size) {
				t.Fatalf("%s: %+v: %+v, %v", mode.name, c, attrs, err)
			}
			got, attrs, _ := r.get("o")
			if sum, _ := sumOf(cksum.XXHash2, []byte(content)); got != content || attrs.Checksum != sum {
				t.Errorf("%s: %+v: another content, %+v", mode.name, c, attrs)
			}
			if err := r.store.Verify(context.Background(), r.key("o")); err != nil {
				t.Error(err)
			}
			wrong := cksum.Value{Type: cksum.MD5, Value: strings.Repeat("0", 32)}
			if _, err := r.tryPut("o", content, PutOptions{Size: o.Size, Checksum: wrong}); statusOf(err) != 500 {
				t.Errorf("%s: a wrong checksum: %v", mode.name, err)
			}
			if _, err := r.tryPut("o", content[:c.size-1], PutOptions{Size: int64(c.size)}); statusOf(err) != 500 {
				t.Errorf("%s: a short body: %v", mode.name, err)
			}
			if n := len(r.files("/%ob/", "/%ut/")); n != max(c.chunks-1, 0) {
				t.Errorf("%s: %+v: %d chunk files", mode.name, c, n)
			}
			if got, _, _ := r.get("o"); got != content {
				t.Errorf("%s: another content after refused writes", mode.name)
			}
		}
	}
}

// TestReaderKeepsItsChunks: whoever reads goes on to read the same object,
// and its chunks go when he has ended.
func TestReaderKeepsItsChunks(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{mountpaths: 2, root: memoryDir(t)})
	parts := pieces(5)
	for _, replace := range []struct {
		name string
		run  func() error
	}{
		{"PUT", func() error { r.put("o", "new"); return nil }},
		{"upload", func() error { r.upload("o", "new", "er"); return nil }},
		{"DELETE", func() error { return r.store.Delete(context.Background(), r.key("o")) }},
	} {
		r.upload("o", parts...)
		reader, err := r.store.Open(context.Background(), r.key("o"))
		if err != nil {
			t.Fatal(err)
		}
		if err := replace.run(); err != nil {
			t.Fatal(err)
		}
		var got strings.Builder
		err = reader.Segments(context.Background(), 3, reader.Size-5, func(s Segment) (int64, error, error) {
			buf := make([]byte, s.Length)
			n, err := s.File.ReadAt(buf, s.Offset)
			got.Write(buf[:n])
			return int64(n), err, nil
		})
		if want := strings.Join(parts, ""); err != nil || got.String() != want[3:len(want)-2] {
			t.Errorf("%s: another content: %v", replace.name, err)
		}
		if err := reader.Close(); err != nil {
			t.Error(err)
		}
		_ = r.store.Delete(context.Background(), r.key("o")) // there, or not
		if left := r.files(); len(left) > 0 {
			t.Errorf("%s: %q stay after the last reader", replace.name, left)
		}
	}
}

// TestRangesOfChunks reads every range of a small object.
func TestRangesOfChunks(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{mountpaths: 2, root: memoryDir(t)})
	r.upload("o", "abc", "d", "efghi", "jk")
	whole := "abcdefghijk"
	reader, err := r.store.Open(context.Background(), r.key("o"))
	if err != nil {
		t.Fatal(err)
	}
	for start := range len(whole) + 1 {
		for end := start; end <= len(whole); end++ {
			buf := make([]byte, end-start)
			n, err := reader.ReadAt(buf, int64(start))
			if n != len(buf) || string(buf) != whole[start:end] || err != nil {
				t.Fatalf("[%d,%d): %q, %v", start, end, buf[:n], err)
			}
		}
	}
	if err := reader.Close(); err != nil {
		t.Error(err)
	}
}

// TestUploadOfAllParts is the greatest upload there is, listed in any order.
func TestUploadOfAllParts(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{mountpaths: 2, root: memoryDir(t)})
	id := r.create("o")
	want := make([]byte, MaxParts)
	numbers := make([]int, MaxParts)
	for i := range want {
		want[i], numbers[i] = byte('a'+i%26), MaxParts-i
		r.part("o", id, i+1, string(want[i:i+1]))
	}
	if err := r.tryPart("o", id, MaxParts+1, "x"); statusOf(err) != 500 || !strings.Contains(err.Error(), "exceeds the maximum allowed") {
		t.Errorf("one more: %v", err)
	}
	if _, err := r.tryComplete("o", id, numbers[1:]...); statusOf(err) != 400 || !strings.Contains(err.Error(), "partial completion") {
		t.Errorf("one less: %v", err)
	}
	if attrs, err := r.tryComplete("o", id, numbers...); err != nil || attrs.Chunks != MaxParts || attrs.Size != MaxParts {
		t.Fatalf("%+v, %v", attrs, err)
	}
	for range 2 {
		if content, _, _ := r.get("o"); content != string(want) {
			t.Fatalf("%d bytes", len(content))
		}
		r.restart()
	}
	if err := r.store.Delete(context.Background(), r.key("o")); err != nil {
		t.Fatal(err)
	}
	if left := r.files(); len(left) > 0 {
		t.Errorf("left behind: %d files", len(left))
	}
}

// TestUploadOverAMountpathThatCameBack: its parts are found, although the process
// remembers them from before.
func TestUploadOverAMountpathThatCameBack(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{mountpaths: 3, props: durable})
	id := r.create("o")
	parts := pieces(12)
	for i, content := range parts {
		r.part("o", id, i+1, content)
	}
	for _, dir := range r.dirs {
		r.disable(dir)
		r.enable(dir)
	}
	if _, err := r.tryComplete("o", id, upTo(len(parts))...); err != nil {
		t.Fatal(err)
	}
	if content, _, _ := r.get("o"); content != strings.Join(parts, "") {
		t.Errorf("%d bytes", len(content))
	}
}

// TestUploadWithPartsOutOfUse: an upload cannot be completed while the disk of a part is out
// of use, which is not the same as lost: it can when the disk is back, when the part
// is uploaded again, and after a restart.
func TestUploadWithPartsOutOfUse(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"enabled again", "restarted and enabled again", "uploaded again", "lost"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, rigOptions{mountpaths: 3, props: durable})
			id := r.create("o")
			parts := pieces(12)
			for i, content := range parts {
				r.part("o", id, i+1, content)
			}
			o, err := r.store.resolve(r.key("o"))
			if err != nil {
				t.Fatal(err)
			}
			out := ""
			var on []int // parts that lie there
			for number := range parts {
				for _, mp := range r.fs.Available().Paths {
					if mp == o.mp || out != "" && mp.Path != out {
						continue // the upload itself is with the place of the name
					}
					if _, err := os.Stat(chunkPath(mp, &o, id, number+1)); err == nil {
						out, on = mp.Path, append(on, number+1)
					}
				}
			}
			if len(on) == 0 {
				t.Fatal("all parts are with the upload")
			}
			if how == "lost" {
				for _, number := range on {
					if err := os.Remove(chunkPath(r.fs.Available().ByPath(out), &o, id, number)); err != nil {
						t.Fatal(err)
					}
				}
				if _, err := r.tryComplete("o", id, upTo(len(parts))...); statusOf(err) != 500 || !strings.Contains(err.Error(), "is lost") {
					t.Fatalf("%v", err)
				}
				return
			}
			r.disable(out)
			if how == "restarted and enabled again" {
				r.restart()
			}
			_, err = r.tryComplete("o", id, upTo(len(parts))...)
			var typed *apierr.Error
			if !errors.As(err, &typed) || typed.Status != 503 || typed.RetryAfter <= 0 || !strings.Contains(typed.Message, out) {
				t.Fatalf("%v", err)
			}
			if how == "uploaded again" {
				for _, number := range on {
					r.part("o", id, number, parts[number-1])
				}
			} else {
				r.enable(out)
			}
			if how == "restarted and enabled again" {
				r.restart()
			}
			if _, err := r.tryComplete("o", id, upTo(len(parts))...); err != nil {
				t.Fatal(err)
			}
			if content, _, _ := r.get("o"); content != strings.Join(parts, "") {
				t.Errorf("%d bytes", len(content))
			}
		})
	}
}
