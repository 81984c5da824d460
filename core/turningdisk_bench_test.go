package core

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/fs"
)

// turningDisk is a system whose flushes take as long as those of a disk that turns,
// however many run at a time: a disk's cache is flushed for all of them.
type turningDisk struct {
	fs.System
	flush time.Duration
}

type turningFile struct {
	fs.File
	disk *turningDisk
}

func (d *turningDisk) Open(path string, flags int, mode uint32) (fs.File, error) {
	f, err := d.System.Open(path, flags, mode)
	if err != nil {
		return nil, err
	}
	return &turningFile{File: f, disk: d}, nil
}

// wait blocks the thread, as a flush does: the runtime rounds its own short sleeps
// up to milliseconds when nothing else is to be done.
func (d *turningDisk) wait() {
	for left := unix.NsecToTimespec(int64(d.flush)); unix.Nanosleep(&left, &left) == unix.EINTR; {
	}
}

func (d *turningDisk) Syncfs(fs.File) error { d.wait(); return nil }

func (d *turningDisk) SyncfsReportsErrors() bool { return true }

func (d *turningDisk) Flock(f fs.File) error { return d.System.Flock(f.(*turningFile).File) }

func (f *turningFile) Sync() error { f.disk.wait(); return nil }

func (f *turningFile) Datasync() error { f.disk.wait(); return nil }

// BenchmarkDurablePutOnASlowDisk compares durable writes of 4 KiB by 32 clients
// with a program that writes, flushes and renames one file after the other. The
// metric "x" is the ratio of the rates.
func BenchmarkDurablePutOnASlowDisk(b *testing.B) {
	const clients = 32
	for _, flush := range []time.Duration{time.Millisecond, 4 * time.Millisecond} {
		b.Run(flush.String(), func(b *testing.B) {
			disk := &turningDisk{System: fs.Unix(), flush: flush}
			root := memoryDir(b)
			r := newRig(b, rigOptions{root: root, system: disk, props: durable})
			content := strings.Repeat("x", 4096)

			const alone = 50
			began := time.Now()
			for i := range alone {
				path := filepath.Join(root, fmt.Sprint("plain", i))
				f, err := disk.Open(path+".work", unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o644)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.WriteString(f, content); err != nil {
					b.Fatal(err)
				}
				if err := f.Datasync(); err != nil {
					b.Fatal(err)
				}
				if err := f.Close(); err != nil {
					b.Fatal(err)
				}
				if err := os.Rename(path+".work", path); err != nil {
					b.Fatal(err)
				}
			}
			plain := float64(alone) / time.Since(began).Seconds()

			var count atomic.Int64
			b.ResetTimer()
			began = time.Now()
			var group sync.WaitGroup
			for range clients {
				group.Go(func() {
					for n := count.Add(1); n <= int64(b.N); n = count.Add(1) {
						if _, err := r.tryPut(fmt.Sprint("o", n), content, PutOptions{Size: 4096}); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			group.Wait()
			rate := float64(b.N) / time.Since(began).Seconds()
			b.ReportMetric(rate/plain, "x")
			b.ReportMetric(rate, "PUT/s")
		})
	}
}
