package fs_test

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/fs"
)

// BenchmarkFlush is a durable 4 KiB PUT without its record, on the disk of the
// repository: work file, flush, rename, flush of the directory. "raw" does it
// with plain fsync calls and no rounds.
func BenchmarkFlush(b *testing.B) {
	for _, variant := range []string{"rounds", "rounds-per-file", "raw"} {
		for _, writers := range []int{1, 8, 64} {
			b.Run(variant+"/writers="+strconv.Itoa(writers), func(b *testing.B) { benchmarkFlush(b, variant, writers) })
		}
	}
}

func benchmarkFlush(b *testing.B, variant string, writers int) {
	// Not the folder of temporary files, which may be in memory.
	root, err := os.MkdirTemp(".", ".bench-")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = os.RemoveAll(root) })
	if root, err = filepath.Abs(root); err != nil {
		b.Fatal(err)
	}
	opts := options(root)
	if variant == "rounds-per-file" {
		opts.System = perFile{fs.Unix()}
	}
	mp := open(b, opts).Available().Paths[0]
	if err := mp.CreateBucket(testBucket); err != nil {
		b.Fatal(err)
	}
	dir := mp.BucketDir(testBucket, fs.ContentObject)
	flushFile := func(f fs.File) error {
		return mp.Filesystem().Flush(context.Background(), fs.FlushRequest{Files: []fs.File{f}, Bytes: 4096})
	}
	flushDir := func() error {
		return mp.Filesystem().Flush(context.Background(), fs.FlushRequest{Dirs: []string{dir}})
	}
	if variant == "raw" {
		flushFile = func(f fs.File) error { return f.Sync() }
		flushDir = func() error {
			f, err := mp.System().Open(dir, unix.O_RDONLY, 0)
			if err == nil {
				err = f.Sync()
			}
			if err == nil {
				err = f.Close()
			}
			return err
		}
	}
	payload := make([]byte, 4096)
	before := mp.Filesystem().FlushStats()
	put := func(i int) error {
		path, f, err := mp.NewWork(testBucket, "put")
		if err == nil {
			_, err = f.Write(payload)
		}
		if err == nil {
			err = flushFile(f)
		}
		if err == nil {
			err = mp.System().Rename(path, dir+"/"+strconv.Itoa(i))
		}
		if err == nil {
			err = flushDir()
		}
		if err == nil {
			err = f.Close()
		}
		return err
	}
	var group sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	for w := range writers {
		group.Go(func() {
			for i := w; i < b.N; i += writers {
				if err := put(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	b.StopTimer()
	stats := mp.Filesystem().FlushStats()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "puts/s")
	b.ReportMetric(float64(stats.Rounds-before.Rounds)/float64(b.N), "rounds/op")
}

func (perFile) SyncfsReportsErrors() bool { return false }
