package transfer

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aistore-go/aistore/cmd/ais/measure"
)

// Failure is an item that could not be done.
type Failure struct {
	Name string
	Err  error
}

// Result is what a pool has done.
type Result struct {
	Done     int64 // items
	Bytes    int64
	Elapsed  time.Duration
	Failures []Failure // by name
	Skipped  int64     // items that were not begun after a failure or an interruption
}

// Summary is "N objects, SIZE in TIME: N objects/s, SIZE/s".
func (r *Result) Summary(units measure.Units) string {
	seconds := max(r.Elapsed.Seconds(), 1e-6)
	return fmt.Sprintf("%s objects, %s in %.2fs: %s objects/s, %s/s",
		measure.Count(r.Done), measure.Size(r.Bytes, units), r.Elapsed.Seconds(),
		measure.Count(int64(float64(r.Done)/seconds)), measure.Size(int64(float64(r.Bytes)/seconds), units))
}

// WriteFailures writes the failures to a new file in the folder for temporary
// files, and returns its path.
func (r *Result) WriteFailures(pattern string) (string, error) {
	file, err := os.CreateTemp("", pattern)
	if err != nil {
		return "", err
	}
	var text strings.Builder
	for _, failure := range r.Failures {
		fmt.Fprintf(&text, "%q: %v\n", failure.Name, failure.Err)
	}
	_, err = file.WriteString(text.String())
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	return file.Name(), err
}

// Each does the work for every item with a number of workers. It ends early
// when the context ends, and, unless keepGoing, after the first failure. Work
// returns the bytes that it moved.
func Each[T any](ctx context.Context, items []T, workers int, keepGoing bool, name func(T) string, work func(context.Context, T) (int64, error)) *Result {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var (
		began                    = time.Now()
		next, done, bytes, begun atomic.Int64
		lock                     sync.Mutex
		failures                 []Failure
		group                    sync.WaitGroup
	)
	for range max(1, min(workers, len(items))) {
		group.Go(func() {
			for ctx.Err() == nil {
				i := next.Add(1) - 1
				if i >= int64(len(items)) {
					return
				}
				begun.Add(1)
				n, err := work(ctx, items[i])
				if err != nil {
					if ctx.Err() != nil && !keepGoing {
						lock.Lock()
						secondary := len(failures) > 0 // this one only fell with the first
						lock.Unlock()
						if secondary {
							begun.Add(-1)
							return
						}
					}
					lock.Lock()
					failures = append(failures, Failure{Name: name(items[i]), Err: err})
					lock.Unlock()
					if !keepGoing {
						stop()
					}
					continue
				}
				done.Add(1)
				bytes.Add(n)
			}
		})
	}
	group.Wait()
	slices.SortFunc(failures, func(a, b Failure) int { return strings.Compare(a.Name, b.Name) })
	return &Result{
		Done: done.Load(), Bytes: bytes.Load(), Elapsed: time.Since(began), Failures: failures,
		Skipped: int64(len(items)) - begun.Load(),
	}
}
