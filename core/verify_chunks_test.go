package core

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/core/meta"
)

// TestVerifyChunked: damage of a chunk or of the manifest is found in the
// current generation and in a noncurrent one. What cannot be repaired stays in
// place, is not served where it is damaged, and says "truncated".
func TestVerifyChunked(t *testing.T) {
	t.Parallel()
	content := strings.Repeat("0123456789abcdef", 1<<14) // 256 KiB
	one := func(r *rig, kind BelongingKind) Belonging {
		r.tb.Helper()
		all, err := r.store.Belongings(context.Background(), r.key("o"))
		if err != nil {
			r.tb.Fatal(err)
		}
		for _, b := range all {
			if b.Kind == kind {
				return b
			}
		}
		r.tb.Fatalf("no %s", kind)
		return Belonging{}
	}
	for _, h := range []struct {
		name    string
		content bool // only reading the content tells
		do      func(r *rig)
	}{
		{"bit of a chunk", true, func(r *rig) { flipBit(r.tb, one(r, BelongsChunk).Path, 100) }},
		{"chunk truncated", false, func(r *rig) {
			if err := os.Truncate(one(r, BelongsChunk).Path, 5); err != nil {
				r.tb.Fatal(err)
			}
		}},
		{"chunk gone", false, func(r *rig) {
			if err := os.Remove(one(r, BelongsChunk).Path); err != nil {
				r.tb.Fatal(err)
			}
		}},
	} {
		for _, noncurrent := range []bool{false, true} {
			name := h.name + "/current"
			if noncurrent {
				name = h.name + "/noncurrent"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				r := newRig(t, rigOptions{mountpaths: 3, root: memoryDir(t), props: func(p *meta.Bprops) {
					p.Chunks.MaxMonolithicSize, p.Chunks.ChunkSize = 100_000, 50_000
				}})
				if _, err := r.tryPut("o", content, PutOptions{Size: -1, Keep: KeepVersion}); err != nil {
					t.Fatal(err)
				}
				if noncurrent {
					if _, err := r.tryPut("o", "small", PutOptions{Size: -1, Keep: KeepVersion}); err != nil {
						t.Fatal(err)
					}
				}
				if report := r.verify("o", VerifyOptions{}); report.Damaged() != 0 || report.Chunks == 0 || report.Garbage != 0 {
					t.Fatalf("whole: %+v", report)
				}
				h.do(r)
				if report := r.verify("o", VerifyOptions{SkipContent: true}); (report.Reported == 0) != h.content {
					t.Fatalf("without content: %+v", report)
				}
				report := r.verify("o", VerifyOptions{})
				if report.Reported != 1 || !strings.Contains(report.Findings[0].Problem, "truncated") {
					t.Fatalf("%+v", report)
				}
				if report = r.verify("o", VerifyOptions{Repair: true}); report.Left != 1 {
					t.Fatalf("repair: %+v", report)
				}
				if n, err := r.store.QuarantineCount(); n != 0 || err != nil {
					t.Fatalf("%d in quarantine, %v", n, err)
				}
				if report = r.verify("o", VerifyOptions{}); report.Reported != 1 {
					t.Fatalf("it has not stayed: %+v", report)
				}
			})
		}
	}
}
