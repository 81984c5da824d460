package core

import (
	"context"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aistore-go/aistore/core/meta"
)

// TestDamageInPlaceIsReportedOnce: a damaged chunked object is reported as one
// that goes to quarantine is, once, and counts until it is whole or gone.
func TestDamageInPlaceIsReportedOnce(t *testing.T) {
	t.Parallel()
	ctx, content := context.Background(), strings.Repeat("0123456789abcdef", 1<<14) // 256 KiB
	var reports atomic.Int64
	r := newRig(t, rigOptions{mountpaths: 3, root: memoryDir(t), props: func(p *meta.Bprops) {
		p.Chunks.MaxMonolithicSize, p.Chunks.ChunkSize = 100_000, 50_000
	}, store: func(o *Options) { o.OnDamage = func(Damage) { reports.Add(1) } }})
	chunk := func(name string) string {
		all, err := r.store.Belongings(ctx, r.key(name))
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range all {
			if b.Kind == BelongsChunk {
				return b.Path
			}
		}
		t.Fatal("no chunk")
		return ""
	}
	validated := r.props.Clone()
	validated.Checksum.ValidateWarmGet = true
	read := func(name string, validate bool) error {
		key := r.key(name)
		if validate {
			key.Props = validated
		}
		reader, err := r.store.Open(ctx, key)
		if err != nil {
			return err
		}
		err = reader.Prepare(ctx, 0, reader.Size)
		return closeAfter(err, reader)
	}
	want := func(what string, reported, damaged int64) {
		t.Helper()
		n, err := r.store.DamagedCount()
		if err != nil || n != damaged || reports.Load() != reported {
			t.Errorf("%s: %d reports and %d damaged objects, want %d and %d (%v)", what, reports.Load(), n, reported, damaged, err)
		}
	}
	for _, name := range []string{"missing", "flipped"} {
		if _, err := r.tryPut(name, content, PutOptions{Size: -1}); err != nil {
			t.Fatal(err)
		}
		if err := read(name, true); err != nil {
			t.Fatal(err)
		}
	}
	want("whole", 0, 0)
	path := chunk("missing")
	if err := os.Rename(path, path+".away"); err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		if err := read("missing", i%2 == 0); err == nil || !strings.Contains(err.Error(), "truncated") {
			t.Errorf("a chunk is missing: %v", err)
		}
	}
	want("a chunk is missing", 1, 1)
	flipBit(t, chunk("flipped"), 100)
	for range 2 {
		if err := read("flipped", true); err == nil || !strings.Contains(err.Error(), "truncated") {
			t.Errorf("a chunk was changed: %v", err)
		}
	}
	if err := read("flipped", false); err != nil {
		t.Errorf("a read that does not validate: %v", err)
	}
	want("a chunk was changed", 2, 2)
	if err := os.Rename(path+".away", path); err != nil {
		t.Fatal(err)
	}
	if err := read("missing", true); err != nil {
		t.Errorf("the chunk is back: %v", err)
	}
	want("the chunk is back", 2, 1)
	if _, err := r.tryPut("flipped", "small", PutOptions{Size: -1}); err != nil {
		t.Fatal(err)
	}
	want("overwritten", 2, 0)
}

func closeAfter(err error, r *Reader) error {
	if closed := r.Close(); err == nil {
		return closed
	}
	return err
}
