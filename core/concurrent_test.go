package core

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/fs/faultfs"
)

// TestConcurrentOperations lets writers, readers, deleters and listers meet on
// few names: what is read is always one whole write.
func TestConcurrentOperations(t *testing.T) {
	t.Parallel()
	for _, props := range []func(*meta.Bprops){nil, durable} {
		r := newRig(t, rigOptions{mountpaths: 2, props: props, root: memoryDir(t)})
		names := []string{"p", "p/q", "a//b", "o", strings.Repeat("z", 300)}
		ctx := context.Background()
		var wg sync.WaitGroup
		rounds := 150
		for g := range 3 {
			wg.Go(func() {
				for i := range rounds {
					name := names[(i+g)%len(names)]
					content := strings.Repeat(fmt.Sprintf("%d.%d;", g, i), 1+i%3*20_000)
					if _, err := r.tryPut(name, content, PutOptions{Size: int64(len(content))}); err != nil {
						t.Errorf("PUT: %v", err)
					}
				}
			})
			wg.Go(func() {
				for i := range rounds * 4 {
					content, attrs, err := r.tryGet(names[i%len(names)])
					if statusOf(err) == 404 {
						continue
					}
					if err != nil {
						t.Errorf("GET: %v", err)
						continue
					}
					sum, err := sumOf(cksum.XXHash2, []byte(content))
					if err != nil || attrs.Checksum != sum || attrs.Size != int64(len(content)) {
						t.Errorf("GET: torn read: %+v of %d bytes", attrs, len(content))
					}
				}
			})
		}
		wg.Go(func() {
			for i := range rounds {
				err := r.store.Delete(ctx, r.key(names[i%len(names)]))
				if err != nil && statusOf(err) != 404 {
					t.Errorf("DELETE: %v", err)
				}
			}
		})
		wg.Go(func() {
			for range rounds {
				page, err := r.store.List(ctx, r.bck, r.props, ListOptions{Props: ListSize | ListAtime | ListCustom})
				if err != nil {
					t.Errorf("list: %v", err)
				}
				for i := range page {
					if i > 0 && page[i-1].Name >= page[i].Name {
						t.Errorf("list: %q after %q", page[i].Name, page[i-1].Name)
					}
				}
			}
		})
		wg.Wait()
		if left := r.files("/%ob/", "/%ox/", "/.$deleted/"); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
	}
}

// Every acknowledged overwrite of one name counts: versions have no gaps.
func TestConcurrentOverwritesCount(t *testing.T) {
	t.Parallel()
	for _, props := range []func(*meta.Bprops){nil, durable} {
		r := newRig(t, rigOptions{props: props, root: memoryDir(t)})
		var wg sync.WaitGroup
		var seen sync.Map
		for g := range 8 {
			wg.Go(func() {
				for i := range 25 {
					attrs, err := r.tryPut("o", fmt.Sprint(g, i), PutOptions{Size: -1})
					if err != nil {
						t.Errorf("PUT: %v", err)
						return
					}
					if _, twice := seen.LoadOrStore(attrs.Version, true); twice {
						t.Errorf("version %s was given twice", attrs.Version)
					}
				}
			})
		}
		wg.Wait()
		if _, attrs, _ := r.get("o"); attrs.Version != "200" {
			t.Errorf("version %s after 200 writes", attrs.Version)
		}
	}
}

func TestReaderKeepsItsGeneration(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	r.put("o", "first")
	reader, err := r.store.Open(context.Background(), r.key("o"))
	if err != nil {
		t.Fatal(err)
	}
	r.put("o", "second")
	if err := r.store.Delete(context.Background(), r.key("o")); err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(reader.File)
	if err != nil || string(content) != "first" || reader.Size != 5 {
		t.Fatalf("%q, %v", content, err)
	}
	if err := reader.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestReadWaitsForTheFlush: what a GET returns of a durable bucket is durable.
func TestReadWaitsForTheFlush(t *testing.T) {
	t.Parallel()
	sys := faultfs.New(nil)
	r := newRig(t, rigOptions{system: sys, props: durable})
	r.put("o", "old")
	reached, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	sys.Before(func(c faultfs.Call) {
		if c.Op == faultfs.OpSyncDir {
			once.Do(func() { close(reached); <-release })
		}
	})
	written := make(chan error, 1)
	go func() {
		_, err := r.tryPut("o", "new", PutOptions{Size: 3})
		written <- err
	}()
	<-reached // renamed, not flushed
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := r.store.Open(ctx, r.key("o")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("GET before the flush: %v", err)
	}
	close(release)
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	if content, _, _ := r.get("o"); content != "new" {
		t.Errorf("%q", content)
	}
}

// TestDestroyDuringWrites destroys and re-creates a bucket under writers: no
// write to the old one shows in the new one, no directory comes back.
func TestDestroyDuringWrites(t *testing.T) {
	t.Parallel()
	for _, props := range []func(*meta.Bprops){nil, durable} {
		r := newRig(t, rigOptions{mountpaths: 2, props: props, root: memoryDir(t)})
		for range 5 {
			old := r.props
			var wg sync.WaitGroup
			var written atomic.Int64
			begun := make(chan struct{})
			for g := range 4 {
				wg.Go(func() {
					for i := 0; ; i++ {
						key := Key{Bck: r.bck, Props: old, Name: fmt.Sprintf("d%d/%d/o", g, i)}
						_, err := r.store.Put(context.Background(), key, strings.NewReader("x"), PutOptions{Size: 1})
						if err != nil {
							if statusOf(err) != 404 || !strings.Contains(err.Error(), `bucket "ais://b1" does not exist`) {
								t.Errorf("PUT into a bucket that goes: %v", err)
							}
							return
						}
						if written.Add(1) == 20 {
							close(begun)
						}
					}
				})
			}
			<-begun
			recreate(t, r)
			wg.Wait()
			if names := r.names(ListOptions{}); len(names) != 0 {
				t.Fatalf("in the new bucket: %q", names)
			}
			if left := r.files("/.$deleted/"); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
		}
	}
}

// repeated is a long body that costs no memory.
type repeated struct {
	block []byte
	left  int64
}

func (r *repeated) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), int64(len(r.block)), r.left)
	copy(p, r.block[:n])
	r.left -= n
	return int(n), nil
}

// TestLongBodyNeedsLittleMemory streams an object in and out.
func TestLongBodyNeedsLittleMemory(t *testing.T) {
	const size = 512 << 20
	r := newRig(t, rigOptions{})
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	body := &repeated{block: []byte(strings.Repeat("0123456789abcdef", 4096)), left: size}
	attrs, err := r.store.Put(context.Background(), r.key("o"), body, PutOptions{Size: size})
	if err != nil || attrs.Size != size {
		t.Fatalf("%+v, %v", attrs, err)
	}
	runtime.ReadMemStats(&after)
	if grown := int64(after.TotalAlloc - before.TotalAlloc); grown > 8<<20 {
		t.Errorf("%d bytes were allocated for an object of %d", grown, size)
	}
	reader, err := r.store.Open(context.Background(), r.key("o"))
	if err != nil {
		t.Fatal(err)
	}
	h, err := cksum.New(cksum.XXHash2)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(h, struct{ io.Reader }{reader.File}); err != nil {
		t.Fatal(err)
	}
	if sum := cksum.Sum(cksum.XXHash2, h); sum != attrs.Checksum {
		t.Errorf("read %v, stored %v", sum, attrs.Checksum)
	}
	if err := reader.Close(); err != nil {
		t.Fatal(err)
	}
}
