package core

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/fs/faultfs"
)

// slowDisk delays every flush, one after the other, and counts them. It is
// slower than disks are, so that a busy machine does not count.
type slowDisk struct {
	fs.System
	mu      sync.Mutex
	flushes atomic.Int64
	writing atomic.Bool // nothing is delayed before
}

func (d *slowDisk) wait() {
	if !d.writing.Load() {
		return
	}
	d.flushes.Add(1)
	d.mu.Lock()
	defer d.mu.Unlock()
	<-time.After(20 * time.Millisecond)
}

func (d *slowDisk) Open(path string, flags int, mode uint32) (fs.File, error) {
	f, err := d.System.Open(path, flags, mode)
	if err != nil {
		return nil, err
	}
	return &slowFile{f, d}, nil
}

func (d *slowDisk) Syncfs(f fs.File) error {
	d.wait()
	return d.System.Syncfs(f.(*slowFile).File)
}

func (d *slowDisk) Flock(f fs.File) error { return d.System.Flock(f.(*slowFile).File) }

type slowFile struct {
	fs.File
	disk *slowDisk
}

func (f *slowFile) Sync() error {
	f.disk.wait()
	return f.File.Sync()
}

func (f *slowFile) Datasync() error {
	f.disk.wait()
	return f.File.Datasync()
}

// TestDurableWritesShareFlushes is 32 clients on a disk that takes its time for
// each flush. A program that flushes its files one by one waits for one flush
// each; together they must wait for a tenth of that.
func TestDurableWritesShareFlushes(t *testing.T) {
	disk := &slowDisk{System: fs.Unix()}
	disk.writing.Store(true)
	r := newRig(t, rigOptions{system: disk, props: durable, root: memoryDir(t)})
	const clients, each = 32, 24
	content := strings.Repeat("x", 4096)
	put := func(client, i int) {
		name := fmt.Sprintf("dir-%d/object-%d-%d", i%4, client, i)
		if _, err := r.tryPut(name, content, PutOptions{Size: int64(len(content))}); err != nil {
			t.Error(err)
		}
	}
	for i := range 4 { // the directories; and what a flush takes is known
		put(clients, i)
	}
	disk.flushes.Store(0)
	before := r.fs.Filesystems()[0].FlushStats()
	var group sync.WaitGroup
	for client := range clients {
		group.Go(func() {
			for i := range each {
				put(client, i)
			}
		})
	}
	group.Wait()
	disk.writing.Store(false)
	after := r.fs.Filesystems()[0].FlushStats()
	writes, flushes, rounds := int64(clients*each), disk.flushes.Load(), after.Rounds-before.Rounds
	t.Logf("%d writes, %d flushes, %d rounds, %d of them syncfs", writes, flushes, rounds, after.Syncfs-before.Syncfs)
	if flushes*10 > writes {
		t.Errorf("%d flushes for %d writes: more than one in ten", flushes, writes)
	}
	if requests := after.Requests - before.Requests; requests > 2*writes {
		t.Errorf("%d requests for %d writes: more than two rounds each", requests, writes)
	}
}

// TestWritersDoNotWaitForTheFlush holds the last flush of an overwrite up: reads
// of the name wait for it, one of another name does not, and neither does
// another writer of the name.
func TestWritersDoNotWaitForTheFlush(t *testing.T) {
	t.Parallel()
	sys := faultfs.New(nil)
	r := newRig(t, rigOptions{system: sys, props: durable})
	r.put("d/o", "old")
	r.put("d/other", "other")
	held, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	sys.Before(func(c faultfs.Call) {
		if c.Op == faultfs.OpSyncDir && strings.HasSuffix(c.Path, "/d") {
			once.Do(func() {
				close(held)
				<-release
			})
		}
	})
	written := make(chan error, 1)
	go func() {
		_, err := r.tryPut("d/o", "first", PutOptions{Size: 5})
		written <- err
	}()
	<-held
	if content, _, _ := r.get("d/other"); content != "other" {
		t.Errorf("%q", content)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := r.store.Open(ctx, r.key("d/o")); !errors.Is(err, context.Canceled) {
		t.Errorf("a read did not wait: %v", err)
	}
	if _, err := r.store.Head(ctx, r.key("d/o")); !errors.Is(err, context.Canceled) {
		t.Errorf("HEAD did not wait: %v", err)
	}
	// A writer that need not flush is not held up; readers go on waiting, now
	// for what it wrote.
	hasty := r.key("d/o")
	hasty.Props = r.props.Clone()
	hasty.Props.Durability = meta.DurabilityNone
	if _, err := r.store.Put(context.Background(), hasty, strings.NewReader("second"), PutOptions{Size: 6}); err != nil {
		t.Error(err)
	}
	if _, err := r.store.Open(ctx, r.key("d/o")); !errors.Is(err, context.Canceled) {
		t.Errorf("a read did not wait: %v", err)
	}
	close(release)
	if err := <-written; err != nil {
		t.Error(err)
	}
	if content, attrs, _ := r.get("d/o"); content != "second" || attrs.Version != "3" {
		t.Errorf("%q, version %s", content, attrs.Version)
	}
}

// TestFailedFlushUnlocked fails the last flush of a write while a second one
// waits for the name and a reader for both.
func TestFailedFlushUnlocked(t *testing.T) {
	t.Parallel()
	sys := faultfs.New(nil)
	r := newRig(t, rigOptions{system: sys, props: durable})
	r.put("d/o", "old")
	sys.Inject(faultfs.Fault{Op: faultfs.OpSyncDir, Path: "/%ob/d", Err: unix.EIO})
	var group sync.WaitGroup
	var failed atomic.Int64
	for i := range 8 {
		group.Go(func() {
			content := fmt.Sprintf("new %d", i)
			if _, err := r.tryPut("d/o", content, PutOptions{Size: int64(len(content))}); err != nil {
				failed.Add(1)
				if statusOf(err) != 500 || !errors.Is(err, fs.ErrFlushFailed) {
					t.Error(err)
				}
			}
		})
		group.Go(func() {
			if content, _, err := r.tryGet("d/o"); err != nil || content != "old" && !strings.HasPrefix(content, "new ") {
				t.Errorf("%q, %v", content, err)
			}
		})
	}
	group.Wait()
	if failed.Load() == 0 {
		t.Error("no write failed")
	}
	sys.Heal()
	r.put("d/o", "last")
	if content, _, _ := r.get("d/o"); content != "last" {
		t.Errorf("%q", content)
	}
}

// BenchmarkDurable compares durable writes of 4 KiB by 32 clients with a program
// that writes, flushes and renames such files one at a time, on the disk of the
// temporary directory: the metric "ratio" is what a write of the program takes
// to what one of the store takes.
func BenchmarkDurable(b *testing.B) {
	r, _ := benchRig(b, durable, true)
	content := make([]byte, 4096)
	serial := func(n int) time.Duration {
		dir := b.TempDir()
		start := time.Now()
		for i := range n {
			work := filepath.Join(dir, "work")
			f, err := os.Create(work)
			if err != nil {
				b.Fatal(err)
			}
			_, err = f.Write(content)
			if err = errors.Join(err, unix.Fdatasync(int(f.Fd())), f.Close(), os.Rename(work, filepath.Join(dir, fmt.Sprint(i)))); err != nil {
				b.Fatal(err)
			}
		}
		return time.Since(start) / time.Duration(n)
	}
	one := serial(200)
	var count atomic.Int64
	b.SetParallelism(16) // of two processors
	b.ReportAllocs()
	b.ResetTimer()
	start := time.Now()
	b.RunParallel(func(pb *testing.PB) {
		body := &bytes.Reader{}
		for pb.Next() {
			benchPut(b, r, body, content, fmt.Sprint("new/", count.Add(1)))
		}
	})
	b.ReportMetric(float64(one)/(float64(time.Since(start))/float64(count.Load())), "ratio")
	b.ReportMetric(float64(one.Microseconds()), "serial-us")
}
