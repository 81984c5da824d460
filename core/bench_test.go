package core

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/core/meta"
)

const benchObjects = 1000

// benchRig is a store in memory, so that the figures are CPU time; the durable
// benchmarks use the disk of the temporary directory instead.
func benchRig(b *testing.B, props func(*meta.Bprops), disk bool) (*rig, []string) {
	b.Helper()
	root := b.TempDir()
	if !disk {
		root = memoryDir(b)
	}
	r := newRig(b, rigOptions{mountpaths: 4, root: root, props: props})
	names := make([]string, benchObjects)
	for i := range names {
		names[i] = fmt.Sprintf("dir-%02d/object-%06d", i%32, i)
	}
	return r, names
}

func fillBench(b *testing.B, r *rig, names []string, content []byte) {
	b.Helper()
	for _, name := range names {
		if _, err := r.store.Put(context.Background(), r.key(name), bytes.NewReader(content), PutOptions{Size: int64(len(content))}); err != nil {
			b.Fatal(err)
		}
	}
}

func benchGet(b *testing.B, r *rig, reader *Reader, name string, buf []byte) {
	if err := r.store.OpenInto(context.Background(), r.key(name), reader); err != nil {
		b.Fatal(err)
	}
	reader.Touch()
	if n, err := reader.ReadAt(buf, 0); n != len(buf) {
		b.Fatal(n, err)
	}
	if err := reader.Close(); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkGet4KiB(b *testing.B) {
	r, names := benchRig(b, nil, false)
	fillBench(b, r, names, make([]byte, 4096))
	buf, reader := make([]byte, 4096), new(Reader)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		benchGet(b, r, reader, names[i%len(names)], buf)
	}
}

// BenchmarkGet4KiBCold reads objects whose records are not in memory.
func BenchmarkGet4KiBCold(b *testing.B) {
	r, names := benchRig(b, nil, false)
	fillBench(b, r, names, make([]byte, 4096))
	buf, reader := make([]byte, 4096), new(Reader)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i%len(names) == 0 {
			r.store.DropRecords()
		}
		benchGet(b, r, reader, names[i%len(names)], buf)
	}
}

func BenchmarkGet4KiBParallel(b *testing.B) {
	r, names := benchRig(b, nil, false)
	fillBench(b, r, names, make([]byte, 4096))
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		buf, reader := make([]byte, 4096), new(Reader)
		for i := 0; pb.Next(); i++ {
			benchGet(b, r, reader, names[i%len(names)], buf)
		}
	})
}

func BenchmarkHead(b *testing.B) {
	r, names := benchRig(b, nil, false)
	fillBench(b, r, names, make([]byte, 4096))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := r.store.Head(context.Background(), r.key(names[i%len(names)])); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkGetMiss(b *testing.B) {
	r, names := benchRig(b, nil, false)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := r.store.Open(context.Background(), r.key(names[i%len(names)])); err == nil {
			b.Fatal("found")
		}
	}
}

func benchPut(b *testing.B, r *rig, body *bytes.Reader, content []byte, name string) {
	body.Reset(content)
	if _, err := r.store.Put(context.Background(), r.key(name), body, PutOptions{Size: int64(len(content))}); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkPut4KiBNone(b *testing.B) {
	r, _ := benchRig(b, nil, false)
	content, body := make([]byte, 4096), &bytes.Reader{}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		benchPut(b, r, body, content, "new/"+strconv.Itoa(i%50_000))
	}
}

func BenchmarkPut4KiBNoneOverwrite(b *testing.B) {
	r, names := benchRig(b, nil, false)
	content, body := make([]byte, 4096), &bytes.Reader{}
	fillBench(b, r, names, content)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		benchPut(b, r, body, content, names[i%len(names)])
	}
}

func BenchmarkPut4KiBNoneParallel(b *testing.B) {
	r, _ := benchRig(b, nil, false)
	content := make([]byte, 4096)
	var count atomic.Int64
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		body := &bytes.Reader{}
		for pb.Next() {
			benchPut(b, r, body, content, "new/"+strconv.Itoa(int(count.Add(1)%50_000)))
		}
	})
}

func BenchmarkPut4KiBSync(b *testing.B) {
	r, _ := benchRig(b, durable, true)
	content, body := make([]byte, 4096), &bytes.Reader{}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		benchPut(b, r, body, content, "new/"+strconv.Itoa(i))
	}
}

func BenchmarkPut4KiBSyncParallel(b *testing.B) {
	r, _ := benchRig(b, durable, true)
	content := make([]byte, 4096)
	var count atomic.Int64
	b.SetParallelism(32)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		body := &bytes.Reader{}
		for pb.Next() {
			benchPut(b, r, body, content, "new/"+strconv.Itoa(int(count.Add(1))))
		}
	})
}

func BenchmarkPut1MiBNone(b *testing.B) {
	r, names := benchRig(b, nil, false)
	content, body := make([]byte, 1<<20), &bytes.Reader{}
	b.SetBytes(int64(len(content)))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		benchPut(b, r, body, content, names[i%32])
	}
}

func BenchmarkList1000(b *testing.B) {
	for _, c := range []struct {
		name  string
		props ListProps
	}{{"names", 0}, {"size", ListSize}, {"all", ListSize | ListChecksum | ListAtime | ListVersion | ListCustom | ListLocation | ListCopies}} {
		b.Run(c.name, func(b *testing.B) {
			r, _ := benchRig(b, nil, false)
			names := make([]string, 20_000)
			for i := range names {
				names[i] = fmt.Sprintf("dir-%03d/object-%06d", i/100, i)
			}
			fillBench(b, r, names, []byte("x"))
			b.ReportAllocs()
			after := ""
			for b.Loop() {
				page, err := r.store.List(context.Background(), r.bck, r.props, ListOptions{Limit: 1000, After: after, Props: c.props})
				if err != nil {
					b.Fatal(err)
				}
				if after = ""; len(page) == 1000 {
					after = page[999].Name
				}
			}
		})
	}
}

func benchLarge(b *testing.B, r *rig, size int) {
	content, body := make([]byte, size), &bytes.Reader{}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		benchPut(b, r, body, content, "large/"+strconv.Itoa(i%4))
	}
}

func BenchmarkPut32MiBNone(b *testing.B) {
	r, _ := benchRig(b, nil, false)
	benchLarge(b, r, 32<<20)
}

func BenchmarkPut32MiBSync(b *testing.B) {
	r, _ := benchRig(b, durable, true)
	benchLarge(b, r, 32<<20)
}

func BenchmarkMetadataEncode(b *testing.B) {
	rec := benchRecord()
	buf := make([]byte, 0, recordBuffer)
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := rec.appendInline(buf); !ok {
			b.Fatal("does not fit")
		}
	}
}

func BenchmarkMetadataDecode(b *testing.B) {
	source := benchRecord()
	frame, _ := source.appendInline(nil)
	var rec record
	b.ReportAllocs()
	for b.Loop() {
		_, content, err := openFrame(frame)
		if err == nil {
			err = rec.decodeBody(content)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

func benchRecord() record {
	return record{
		kind: KindObject, size: 4096, bid: 1<<63 | 7, stamp: Stamp{Epoch: 1, Clock: 1 << 60, Node: 1 << 50}, version: "17",
		checksum: cksum.Value{Type: cksum.XXHash2, Value: "45ab6734b21e6968"}, mtime: 1 << 60, atime: 1 << 60,
	}
}

// BenchmarkChecksum is the default checksum of a body.
func BenchmarkChecksum(b *testing.B) {
	for _, size := range []int{4 << 10, 1 << 20} {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			data := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := sumOf(cksum.XXHash2, data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDelete(b *testing.B) {
	r := newRig(b, rigOptions{root: memoryDir(b)})
	b.ReportAllocs()
	for i := range b.N {
		name := "o" + strconv.Itoa(i)
		b.StopTimer()
		r.put(name, "content")
		b.StartTimer()
		if err := r.store.Delete(context.Background(), r.key(name)); err != nil {
			b.Fatal(err)
		}
	}
}
