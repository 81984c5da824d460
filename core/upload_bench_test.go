package core

import (
	"bytes"
	"context"
	"testing"
)

// benchParts is the number of parts, and partSize their size, of the object
// that the benchmarks upload and read.
const (
	benchParts = 8
	partSize   = 1 << 20
)

func benchUpload(b *testing.B, r *rig, name string, content []byte, body *bytes.Reader) {
	b.Helper()
	ctx, key := context.Background(), r.key(name)
	id, err := r.store.CreateUpload(ctx, key, CreateOptions{})
	if err != nil {
		b.Fatal(err)
	}
	o := CompleteOptions{}
	for n := range benchParts {
		body.Reset(content)
		if _, err := r.store.PutPart(ctx, key, id, n+1, body, PartOptions{Size: partSize}); err != nil {
			b.Fatal(err)
		}
		o.Parts = append(o.Parts, CompletePart{Number: n + 1})
	}
	if _, err := r.store.CompleteUpload(ctx, key, id, o); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkUpload is a whole multipart upload, to compare with
// BenchmarkPut1MiBNone.
func BenchmarkUpload(b *testing.B) {
	r, names := benchRig(b, nil, false)
	content, body := make([]byte, partSize), &bytes.Reader{}
	b.SetBytes(benchParts * partSize)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		benchUpload(b, r, names[i%8], content, body)
	}
}

// BenchmarkGetChunked opens, checks and reads an object of 8 chunks.
func BenchmarkGetChunked(b *testing.B) {
	r, _ := benchRig(b, nil, false)
	benchUpload(b, r, "o", make([]byte, partSize), &bytes.Reader{})
	buf := make([]byte, partSize)
	b.SetBytes(benchParts * partSize)
	b.ReportAllocs()
	for b.Loop() {
		reader, err := r.store.Open(context.Background(), r.key("o"))
		if err != nil {
			b.Fatal(err)
		}
		if err := reader.Prepare(context.Background(), 0, reader.Size); err != nil {
			b.Fatal(err)
		}
		err = reader.Segments(context.Background(), 0, reader.Size, func(s Segment) (int64, error, error) {
			n, err := s.File.ReadAt(buf[:s.Length], s.Offset)
			return int64(n), err, nil
		})
		if err != nil {
			b.Fatal(err)
		}
		if err := reader.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkOpenChunked is what opening costs beside the content.
func BenchmarkOpenChunked(b *testing.B) {
	r, _ := benchRig(b, nil, false)
	benchUpload(b, r, "o", make([]byte, partSize), &bytes.Reader{})
	b.ReportAllocs()
	for b.Loop() {
		reader, err := r.store.Open(context.Background(), r.key("o"))
		if err != nil {
			b.Fatal(err)
		}
		if err := reader.Prepare(context.Background(), 100, 4096); err != nil {
			b.Fatal(err)
		}
		if err := reader.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
