package core

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/fs"
)

// TestNamesTellWhatAFileIs: what a file is, a manifest that is completed or an upload that is not,
// a chunk, a version, no part of any object's name can change.
func TestNamesTellWhatAFileIs(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	piece := rapid.SampledFrom([]string{
		"a", ".", "..", ".tar", ".done", "done", "%", "%2F", " ", "/", "0", "00001", ".00001", "name", strings.Repeat("c", 255), "\n", "é", "abcdefghij12", ".abcdefghij12",
	})
	rapid.Check(t, func(rt *rapid.T) {
		r := newRig(t, rigOptions{mountpaths: 2, root: memoryDir(t), props: func(p *meta.Bprops) {
			p.Chunks.MaxMonolithicSize, p.Chunks.ChunkSize = 1000, 500
		}})
		defer r.close()
		names := rapid.SliceOfNDistinct(rapid.Custom(func(rt *rapid.T) string {
			return strings.Join(rapid.SliceOfN(piece, 1, 4).Draw(rt, "pieces"), "")
		}), 1, 4, rapid.ID).Draw(rt, "names")
		for _, name := range names {
			for i := range 2 {
				content := strings.Repeat(fmt.Sprint(name, i), 2000/len(name)+100)
				if _, err := r.tryPut(name, content, PutOptions{Size: -1, Keep: KeepVersion, SkipVC: true}); err != nil {
					rt.Fatal(err)
				}
			}
		}
		total := 0
		for _, name := range names {
			all, err := r.store.Belongings(ctx, r.key(name))
			if err != nil {
				rt.Fatal(err)
			}
			kinds := map[BelongingKind]int{}
			for _, b := range all {
				kinds[b.Kind]++
				if b.Kind != BelongsVersionName && b.Upload == "" || b.Damage != nil {
					rt.Fatalf("%q: %+v", name, b)
				}
			}
			if kinds[BelongsObject] != 1 || kinds[BelongsVersion] != 1 || kinds[BelongsManifest] != 2 || kinds[BelongsUpload] != 0 || kinds[BelongsChunk] < 2 ||
				kinds[BelongsOlder]+kinds[BelongsCopy]+kinds[BelongsDamaged] != 0 {
				rt.Fatalf("%q: %v", name, kinds)
			}
			total += len(all)
			if report := r.verify(name, VerifyOptions{Repair: true}); report.Damaged() != 0 || report.Garbage != 0 || report.Objects != 1 || report.Versions != 1 {
				rt.Fatalf("%q: %+v", name, report)
			}
		}
		if files := r.files("/.$deleted/"); len(files) != total {
			rt.Fatalf("%d files, %d belong to names", len(files), total)
		}
	})
}

// TestPlaceOfALongNameDependsOnTheNameAlone: where a long name lies depends on the name alone, and 4,096 bytes are
// the limit.
func TestPlaceOfALongNameDependsOnTheNameAlone(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{mountpaths: 3, root: memoryDir(t)})
	for _, name := range []string{strings.Repeat("x", 256), strings.Repeat("x", 4096), strings.Repeat("dir/", 1023) + "last", "d/" + strings.Repeat("y", 300) + "/z"} {
		places := map[string]bool{}
		for _, mp := range r.fs.Available().Paths {
			if _, plain := mp.PlainPath(r.bck, name); plain {
				t.Errorf("%.20q has a plain place", name)
			}
			places[strings.TrimPrefix(mp.EscapedPath(r.bck, name), mp.Path)] = true
		}
		if len(places) != 1 {
			t.Errorf("%.20q: %v", name, places)
		}
		r.put(name, "content")
		if content, _, _ := r.get(name); content != "content" {
			t.Errorf("%.20q holds %q", name, content)
		}
	}
	if got := r.names(ListOptions{}); len(got) != 4 {
		t.Errorf("%d names are listed", len(got))
	}
	if _, err := r.tryPut(strings.Repeat("x", 4097), "", PutOptions{Size: -1}); statusOf(err) != 400 {
		t.Errorf("4097 bytes: %v", err)
	}
	if !fs.IsPlainName(strings.Repeat("x", 255)) {
		t.Error("255 bytes have no plain place")
	}
}
