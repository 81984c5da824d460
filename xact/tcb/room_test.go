package tcb

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/fs/faultfs"
	"github.com/aistore-go/aistore/xact"
	"github.com/aistore-go/aistore/xact/xacttest"
)

// alone is a cluster of one target.
type alone struct{ store *core.Store }

func (c *alone) Remove(ctx context.Context, key core.Key) (int64, error) {
	return 0, c.store.Delete(ctx, key)
}

func (c *alone) Stat(ctx context.Context, key core.Key) (core.Attrs, error) {
	return c.store.Head(ctx, key)
}

func (c *alone) Copy(ctx context.Context, _ string, from, to core.Key, moves bool) (core.Attrs, bool, error) {
	attrs, err := c.store.Copy(ctx, from, to, moves)
	return attrs, false, err
}

func (c *alone) Present(ctx context.Context, bck wire.Bck, props *meta.Bprops, names []string) ([]bool, error) {
	there := make([]bool, len(names))
	for i, name := range names {
		_, err := c.store.Head(ctx, core.Key{Bck: bck, Props: props, Name: name})
		there[i] = err == nil
	}
	return there, nil
}

func (c *alone) Answers(context.Context, core.Key, core.Stamp) (bool, error) { return true, nil }

// TestCopyStopsOnAFullDisk: whatever call finds no space, the copy stops with one error that
// says which object did not fit and which target is full, also if it is to go on over errors;
// the sources and the copies before are whole, and started again when there is room it
// copies all.
func TestCopyStopsOnAFullDisk(t *testing.T) {
	t.Parallel()
	const objects = 10
	for _, kind := range []string{wire.ActCopyBucket, wire.ActCopyListRange} {
		for _, op := range []faultfs.Op{faultfs.OpCreate, faultfs.OpWrite, faultfs.OpSetXattr, faultfs.OpRename, faultfs.OpMkdir} {
			t.Run(kind+"/"+string(op), func(t *testing.T) {
				t.Parallel()
				disk := faultfs.New(nil)
				disk.Record(false)
				cluster := &alone{}
				r := xacttest.New(t, xacttest.Options{System: disk}, Bucket(cluster), Objects(cluster))
				cluster.store = r.Store
				to := wire.Bck{Name: "b2", Provider: wire.ProviderAIS}
				props := r.Props.Clone()
				props.BID++
				before := r.View.BMD
				r.View.BMD = meta.NewBMD("cluster01", before.Version+1, meta.BucketEntry{Bck: r.Bck, Props: r.Props}, meta.BucketEntry{Bck: to, Props: props})
				if err := r.Store.ApplyBMD(t.Context(), before, r.View.BMD); err != nil {
					t.Fatal(err)
				}
				target := meta.Snode{ID: "t1", Role: meta.RoleTarget}
				r.View.Smap = (&meta.Smap{Version: 1, Tmap: map[string]*meta.Snode{"t1": &target}, Pmap: map[string]*meta.Snode{}}).Freeze()
				content := strings.Repeat("content ", 100)
				for i := range objects {
					r.Put(fmt.Sprintf("d%d/o", i), content)
				}
				args, err := json.Marshal(Args{CopyObjectsMsg: wire.CopyObjectsMsg{CopyBucketMsg: wire.CopyBucketMsg{ContinueOnError: true, NumWorkers: 1}}})
				if err != nil {
					t.Fatal(err)
				}
				start := func() *xact.Xaction {
					spec := r.Spec(kind)
					spec.Source, spec.To, spec.Bck, spec.BID, spec.ToBID, spec.Args = r.Bck, to, to, r.Props.BID, props.BID, args
					if kind == wire.ActCopyListRange {
						spec.Bck = r.Bck
					}
					return r.Start(spec)
				}
				copied := func() (n int) {
					for i := range objects {
						if _, err := r.Store.Head(t.Context(), core.Key{Bck: to, Props: props, Name: fmt.Sprintf("d%d/o", i)}); err == nil {
							n++
						}
						reader, err := r.Store.Open(t.Context(), r.Key(fmt.Sprintf("d%d/o", i)))
						if err != nil || reader.Size != int64(len(content)) {
							t.Fatalf("a source: %v", err)
						}
						if err := reader.Close(); err != nil {
							t.Error(err)
						}
					}
					return n
				}
				disk.Inject(faultfs.Fault{Op: op, Path: "/@ais/b2/", Nth: 5, Times: -1, Err: unix.ENOSPC})
				s := r.Finish(start())
				disk.Heal()
				n := copied()
				if !s.Aborted || strings.Count(s.Error+s.AbortError, "cannot be stored, t[t1] is full") == 0 || n == 0 || n == objects {
					t.Errorf("%d copies, %+v", n, s)
				}
				x := start() // copy-listrange waits for more when it is done
				xacttest.Await(t, "all are copied", func() bool { return copied() == objects })
				if s := x.Snap(); s.Aborted || s.Error != "" {
					t.Errorf("again: %+v", s)
				}
			})
		}
	}
}
