package core

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/core/meta"
)

// cpuTime is what this process has used, in nanoseconds.
func cpuTime(tb testing.TB) int64 {
	tb.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// BenchmarkArrange brings objects to the number of copies that their bucket has
// got, 4 at a time for each of 4 mountpaths, as make-n-copies and resilver do.
func BenchmarkArrange(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 20} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			r := newRig(b, rigOptions{mountpaths: 4, root: b.TempDir(), props: func(p *meta.Bprops) { p.Durability = meta.DurabilitySync }})
			content := string(randomBytes(1, size))
			for i := range b.N {
				r.put(fmt.Sprint("o", i), content)
			}
			mirrored(2)(r.props)
			var next atomic.Int64
			var workers sync.WaitGroup
			b.SetBytes(int64(size))
			before := cpuTime(b)
			b.ResetTimer()
			for range 16 {
				workers.Go(func() {
					for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
						if did, err := r.store.ArrangeCopies(context.Background(), r.key(fmt.Sprint("o", i-1))); err != nil || did.Copied != 1 {
							b.Errorf("%+v, %v", did, err)
						}
					}
				})
			}
			workers.Wait()
			b.StopTimer()
			b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N)/1000, "cpu-µs/op")
		})
	}
}
